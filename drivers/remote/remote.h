/* One connection to one router that is driven by commands: here (in a network namespace) or over SSH.
 *
 * What runs on the router is one shell script, `ferry-router` (router/<part>.sh, joined when Ferry is built), with a
 * verb and at most a few plain words; all else goes through its standard input.  Where the script is installed on the
 * router as the forced command of Ferry's key (docs/router-setup.md), only VERB and words are sent; else the script
 * itself is, as the command.  Words match [A-Za-z0-9_./:@%+=,-]+, have at most 255 bytes and begin with "-" only where
 * that is all; nothing else is ever sent as a command.
 *
 * Nothing here is believed on an exit code alone: a call has succeeded when its output ended with the script's end
 * mark, the channel reached its end, and the exit status arrived.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_REMOTE_H
#define FERRY_REMOTE_H

#include <ferry/env.h>
#include <ferry/err.h>
#include <ferry/topology.h>
#include <stddef.h>

struct ferry_remote;

/* Connects: host key verified before anything is sent, then authenticated, then asks the script who it is.  Writes
 * nothing.  -FERRY_EIO with what to do about it. */
int ferry_remote_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                      const char *router, struct ferry_remote **ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_remote_close(struct ferry_remote *remote); /* takes NULL; ends its processes */

/* What the router said of itself when it was reached. */
struct ferry_remote_facts {
    bool installed;   /* the script is there as the forced command, or in the PATH */
    bool root;        /* uid 0 */
    bool vtysh;       /* there is a vtysh */
    bool systemd_run; /* systemd runs, and systemd-run is there */
    char boot_id[40]; /* /proc/sys/kernel/random/boot_id */
};
const struct ferry_remote_facts *ferry_remote_facts(const struct ferry_remote *remote);

/* Claims the router for this connection (router/fence.sh), or gives it back: from then on every process of it
 * is run only while nobody has claimed the router since, and nothing that an older connection of the same
 * state directory has left there, or still has on its way, is run any more.  Processes that are running
 * already are the caller's to end before.  0 also where it is so already, and, with a warning, where the
 * router has no means to keep claims.  -FERRY_ELOCKED: a controller of another state directory (NULL: any)
 * has it, and its connection lives. */
int ferry_remote_claim(struct ferry_remote *remote, const char *state_dir, bool wanted,
                       struct ferry_err *err) FERRY_MUST_CHECK;
bool ferry_remote_claimed(const struct ferry_remote *remote);

/* One call: VERB and words, bytes on standard input, everything that it says. */
struct ferry_remote_call {
    const char *verb;
    const char *words[6]; /* up to the first NULL */
    const void *input;    /* n_input bytes; then the end of input */
    size_t n_input;
    unsigned timeout_ms; /* 0: 10,000 */
    size_t most_bytes;   /* of out and err each; 0: 64 MiB.  More is an error */
};
struct ferry_remote_reply {
    char *out, *err; /* malloc'd, NUL-terminated, may hold NULs inside; without the end mark */
    size_t n_out, n_err;
    int status; /* the verb's exit status */
};
void ferry_remote_reply_clear(struct ferry_remote_reply *reply);
/* 0: the verb ran to its end, `ret->status` says how it ended.  -FERRY_EIO: nothing was run.
 * -FERRY_EUNKNOWN: it was sent, and what came of it is not known.  The verb is run only when the whole input
 * has come.  After either the connection is closed by the caller. */
int ferry_remote_call(struct ferry_remote *remote, const struct ferry_remote_call *call,
                      struct ferry_remote_reply *ret, struct ferry_err *err) FERRY_MUST_CHECK;

/* A verb that is started early and fed later: what would cost time in the outage is paid before it.  It sees
 * the end of its input when the connection breaks, too: a verb that must not act on half of it reads through
 * ferry_whole (router/core.sh), and FERRY_REMOTE_WHOLE is sent last. */
#define FERRY_REMOTE_WHOLE "! whole\n"
struct ferry_remote_process;
int ferry_remote_start(struct ferry_remote *remote, const char *verb, const char *const *words,
                       size_t n_words, struct ferry_remote_process **ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* Sends bytes.  -FERRY_EIO where the process is gone before anything was taken; else -FERRY_EUNKNOWN. */
int ferry_remote_send(struct ferry_remote_process *p, const void *bytes, size_t n, unsigned timeout_ms,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* Reads until `mark` has come.  `ret` (malloc'd) is what came since the mark before it, or since the verb
 * began; the mark is left out. */
int ferry_remote_expect(struct ferry_remote_process *p, const char *mark, size_t most_bytes,
                        unsigned timeout_ms, char **ret, size_t *ret_n,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* Ends its input, and waits for its end as ferry_remote_call does.  Frees it in every case. */
int ferry_remote_finish(struct ferry_remote_process *p, unsigned timeout_ms, size_t most_bytes,
                        struct ferry_remote_reply *ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_remote_kill(struct ferry_remote_process *p); /* takes NULL: ends and frees it, waits for nothing */
/* Ends its input, and waits until it has ended, `patience_ms` at most (0: only looks).  True: it has, or its
 * connection is lost; ferry_remote_finish then says how. */
bool ferry_remote_ended(struct ferry_remote_process *p, unsigned patience_ms);

/* The script itself, as it is sent: for what must stay on the router when the connection is gone. */
const char *ferry_remote_script(void);

#endif
