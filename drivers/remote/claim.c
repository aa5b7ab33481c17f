/* The claim of a router over a connection; the router's side is router/fence.sh, which has the invariants.
 *
 * Who claims is a state directory of a machine: STATE_DIR/controller holds a random number, made with the
 * first claim, and the machine's own number goes with it, so that a copy of the directory elsewhere is
 * somebody else.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/internal.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CALL_MS = 9000 /* less than the fleet waits */, REPLY_BYTES = 4096 };

/* The first line of a file; "" where there is none. */
static void read_line(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

/* Whole before it has its name, and only the first one gets it. */
static void make_number(const struct ferry_env *env, const char *path)
{
    FERRY_AUTOFREE char *other = ferry_asprintf("%s.XXXXXX", path);
    char text[20];
    int n = snprintf(text, sizeof text, "%016llx\n", (unsigned long long)env->random(env->ctx));
    int fd = mkostemp(other, O_CLOEXEC);
    if (fd < 0)
        return;
    bool whole = write(fd, text, (size_t)n) == n && !fsync(fd);
    close(fd);
    if (whole && link(other, path) && errno != EEXIST)
        whole = false; /* who claims without a number is nobody's earlier self */
    unlink(other);
}

static void find_owner(const struct ferry_remote *remote, const char *state_dir, char ret[static 17])
{
    char number[64] = "", machine[64], hash[65];
    if (state_dir) {
        FERRY_AUTOFREE char *path = ferry_asprintf("%s/controller", state_dir);
        read_line(path, number, sizeof number);
        if (strlen(number) != 16) {
            make_number(remote->env, path);
            read_line(path, number, sizeof number);
        }
    }
    if (strlen(number) != 16)
        snprintf(number, sizeof number, "%016llx", (unsigned long long)remote->env->random(remote->env->ctx));
    read_line("/etc/machine-id", machine, sizeof machine);
    FERRY_AUTOFREE char *both = ferry_asprintf("%s %s", number, machine);
    ferry_sha256(both, strlen(both), hash);
    snprintf(ret, 17, "%.16s", hash);
}

static int call(struct ferry_remote *remote, const char *verb, const char *first, const char *second,
                struct ferry_remote_reply *ret, struct ferry_err *err)
{
    const struct ferry_remote_call c = {
        .verb = verb, .words = {first, second, NULL}, .timeout_ms = CALL_MS, .most_bytes = REPLY_BYTES};
    int r = ferry_remote_call(remote, &c, ret, err);
    if (r < 0 || !ret->status)
        return r;
    char shown[200];
    ferry_remote_quote(ret->err, ret->n_err, shown, sizeof shown);
    return ferry_error(err, FERRY_EIO, "%s: %s", verb, *shown ? shown : "failed without a word");
}

/* What the router answered.  1: it has no means. */
static int judge(const struct ferry_remote *remote, const struct ferry_remote_reply *reply,
                 struct ferry_err *err)
{
    char owner[17], shown[200];
    unsigned seconds;
    if (!strcmp(reply->out, "claimed\n"))
        return 0;
    if (sscanf(reply->out, "held %16[0-9a-f] %u", owner, &seconds) == 2)
        return ferry_error(
            err, FERRY_ELOCKED,
            "another Ferry is working on this router, for %u s (controller %s): if it is gone, end "
            "its connection there, or wait until sshd does",
            seconds, owner);
    ferry_remote_quote(reply->out, reply->n_out, shown, sizeof shown);
    if (strncmp(shown, "unfenced ", 9) != 0)
        return ferry_error(err, FERRY_EIO, "the answer to a claim is not understood: %s", shown);
    ferry_log(remote->env, FERRY_LOG_WARNING,
              "warning: %s: it cannot be claimed: %s; what a lost connection has left on its way there may "
              "still be "
              "run later",
              remote->name, shown + 9);
    return 1;
}

static int take(struct ferry_remote *remote, const char *state_dir, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_remote_reply_clear) struct ferry_remote_reply reply = {0};
    char owner[17], token[17];
    find_owner(remote, state_dir, owner);
    snprintf(token, sizeof token, "%016llx", (unsigned long long)remote->env->random(remote->env->ctx));
    int r = call(remote, "claim", owner, token, &reply, err);
    if (r == 0)
        r = judge(remote, &reply, err);
    if (r == 0)
        memcpy(remote->claim, token, sizeof token);
    return r < 0 ? r : 0;
}

bool ferry_remote_claimed(const struct ferry_remote *remote)
{
    return *remote->claim;
}

int ferry_remote_claim(struct ferry_remote *remote, const char *state_dir, bool wanted, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_remote_reply_clear) struct ferry_remote_reply reply = {0};
    char token[17];
    if (wanted)
        return *remote->claim ? 0 : take(remote, state_dir, err);
    if (!*remote->claim)
        return 0;
    memcpy(token, remote->claim, sizeof token);
    *remote->claim = '\0'; /* the call is not one of the claim */
    return call(remote, "release", token, NULL, &reply, err);
}
