/* Between the files of remote/: what a connection and a process are, and what a transport must be able to do.
 *
 * remote.c opens and asks who is there; process.c frames, bounds and times everything; local.c and ssh*.c only move
 * bytes.  All waiting is poll(2) with a deadline of the monotonic clock, in microseconds.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_REMOTE_INTERNAL_H
#define FERRY_REMOTE_INTERNAL_H

#include "remote/netns.h"
#include "remote/remote.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Written by join.cmake: the script without its comments, and the hash that it calls itself by. */
extern const char ferry_router_hash[], ferry_router_script[];

/* Bytes that have come, one NUL behind them. */
struct ferry_remote_bytes {
    char *v;
    size_t n, room;
    size_t most; /* more than this is an error */
    bool ended;  /* no more will come */
    bool over;   /* there were more than `most` */
};
void ferry_remote_bytes_add(struct ferry_remote_bytes *b, const void *bytes, size_t n);
void ferry_remote_bytes_drop(struct ferry_remote_bytes *b, size_t n); /* the first n */

struct ferry_remote_process {
    struct ferry_remote *remote;
    struct ferry_remote_process *next; /* of remote->processes */
    char verb[33];
    char nonce[17];
    struct ferry_remote_bytes out, err;
    bool begun;        /* the begin mark has come: the verb runs or ran, `out` starts behind it */
    bool exited;       /* the exit status has come */
    int status;        /* -1: ended by a signal, or nobody knows */
    bool input_ended;  /* nothing more can be sent */
    size_t n_searched; /* of `out`, by expect */
    /* local */
    pid_t pid;
    int pidfd, in_fd, out_fd, err_fd; /* -1: closed */
    /* ssh */
    struct ssh_channel_struct *channel;
};

/* How bytes get there and back. */
struct ferry_remote_transport {
    /* Starts `command` (words, up to NULL, all plain; `words[0]` is "ferry-router").  -FERRY_EIO: nothing was started;
     * -FERRY_EUNKNOWN. */
    int (*start)(struct ferry_remote *remote, struct ferry_remote_process *p, const char *const *words,
                 uint64_t deadline_us, struct ferry_err *err);
    /* Takes some bytes and returns how many; 0: none just now; negative: it reads no more. */
    ssize_t (*write)(struct ferry_remote_process *p, const void *bytes, size_t n);
    void (*end_input)(struct ferry_remote_process *p);
    /* Waits until the deadline for anything to come, or, with `writing`, for room; adds what came to p->out and p->err,
     * sets `ended`, `exited`, `status`.  May return early.  -FERRY_EUNKNOWN: the connection is lost. */
    int (*step)(struct ferry_remote_process *p, bool writing, uint64_t deadline_us, struct ferry_err *err);
    void (*end)(struct ferry_remote_process *p); /* kills it if it still runs; frees its own part of it */
    void (*close)(struct ferry_remote *remote);
};
extern const struct ferry_remote_transport ferry_remote_local, ferry_remote_over_ssh;
struct ferry_remote_hop; /* ssh.h */

struct ferry_remote {
    const struct ferry_env *env;
    const struct ferry_remote_transport *transport;
    struct ferry_driver_config config; /* its own copy */
    char *name;                        /* of the router */
    struct ferry_remote_facts facts;
    struct ferry_remote_process *processes; /* those that run */
    char claim[17];                         /* goes with every process; "": none */
    /* ssh */
    struct ferry_remote_hop *hop;
    bool sends_script; /* with every call: the router has none of its own */
};
/* Reaches the host, verifies it, authenticates; asks nothing yet. */
int ferry_remote_ssh_open(struct ferry_remote *remote, uint64_t deadline_us,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* Asks the script that is there who it is; where there is none, or another one, sends our own from now on. */
int ferry_remote_meet(struct ferry_remote *remote, uint64_t deadline_us,
                      struct ferry_err *err) FERRY_MUST_CHECK;

uint64_t ferry_remote_now(const struct ferry_remote *remote);
/* Milliseconds until the deadline for poll(2), rounded up; 0: it has passed. */
int ferry_remote_left_ms(const struct ferry_remote *remote, uint64_t deadline_us);

/* What a router said, made fit for one line of an error: printable, at most 200 bytes. */
void ferry_remote_quote(const char *bytes, size_t n, char *buf, size_t size);

#endif
