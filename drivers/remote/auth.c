/* Who we are: a key from a file, from the agent, or from ~/.ssh.  Nothing else: no passwords, no questions.
 * SPDX-License-Identifier: MIT */
#include "remote/ssh.h"

#include "base/secret.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_KEY_BYTES = 64 * 1024 };
enum { AGENT_MS = 3000 }; /* an agent answers in microseconds; libssh would wait for a stopped one for ever */

/* What was tried, for the text of a refusal. */
struct tried {
    char text[400];
};

static void note(struct tried *t, const char *fmt, const char *what)
{
    size_t n = strlen(t->text);
    snprintf(t->text + n, sizeof t->text - n, n ? "; " : "");
    n = strlen(t->text);
    snprintf(t->text + n, sizeof t->text - n, fmt, what);
}

static void key_free(ssh_key *key)
{
    if (*key)
        ssh_key_free(*key);
}

/* 1: that key is not welcome. */
static int judge(struct ferry_remote_hop *hop, int result, struct ferry_err *err)
{
    if (result == SSH_AUTH_SUCCESS)
        return 0;
    if (result == SSH_AUTH_DENIED)
        return 1;
    if (result == SSH_AUTH_PARTIAL)
        return ferry_error(err, FERRY_EIO, "%s wants more than a key (its AuthenticationMethods)", hop->host);
    return ferry_error(err, FERRY_EIO, "%s: authentication: %s", hop->host, ssh_get_error(hop->session));
}

/* ---- Keys in files. ---- */

static int locked(const char *prompt, char *buf, size_t len, int echo, int verify, void *ctx)
{
    (void)prompt;
    (void)buf;
    (void)len;
    (void)echo;
    (void)verify;
    *(bool *)ctx = true;
    return -1;
}

static int try_file(struct ferry_remote_hop *hop, const char *path, struct tried *tried, uint64_t deadline_us,
                    struct ferry_err *err)
{
    FERRY_CLEANUP(key_free) ssh_key key = NULL;
    FERRY_CLEANUP(ferry_secret_freep) char *text = ferry_secret_read(path, MOST_KEY_BYTES);
    bool asked = false;
    int result;
    if (!text) {
        note(tried, "%s cannot be read", path);
        return 1;
    }
    if (ssh_pki_import_privkey_base64(text, NULL, locked, &asked, &key)) {
        note(tried,
             asked ? "%s needs a passphrase: load it into an agent (ssh-add), and leave \"identity\" out"
                   : "%s is no private key",
             path);
        return 1;
    }
    while ((result = ssh_userauth_publickey(hop->session, NULL, key)) == SSH_AUTH_AGAIN)
        if ((result = ferry_remote_hop_wait(hop, deadline_us, err)) < 0)
            return result;
    result = judge(hop, result, err);
    if (result > 0)
        note(tried, "%s is not accepted", path);
    return result;
}

/* libssh wipes the key, but neither its copy of the text nor its stack (0.10). */
static int by_file(struct ferry_remote_hop *hop, const char *path, struct tried *tried, uint64_t deadline_us,
                   struct ferry_err *err)
{
    int result = try_file(hop, path, tried, deadline_us, err);
    ferry_secret_scrub();
    return result;
}

static int by_default_files(struct ferry_remote_hop *hop, struct tried *tried, uint64_t deadline_us,
                            struct ferry_err *err)
{
    static const char *const names[] = {".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"};
    for (size_t i = 0; i < FERRY_COUNT(names); i++) {
        FERRY_AUTOFREE char *path = ferry_remote_in_home(names[i]);
        if (access(path, F_OK))
            continue;
        int result = by_file(hop, path, tried, deadline_us, err);
        if (result <= 0)
            return result;
    }
    return 1;
}

/* ---- The agent's keys. ---- */

/* Reads or writes all of it in time. */
static bool agent_bytes(const struct ferry_remote *remote, int fd, void *bytes, size_t n, bool sending,
                        uint64_t deadline_us)
{
    for (char *at = bytes; n;) {
        ssize_t done = sending ? send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(fd, at, n, MSG_DONTWAIT);
        if (done > 0) {
            at += done;
            n -= (size_t)done;
            continue;
        }
        if (!done || (errno != EAGAIN && errno != EINTR))
            return false;
        struct pollfd wait = {.fd = fd, .events = sending ? POLLOUT : POLLIN};
        if (poll(&wait, 1, ferry_remote_left_ms(remote, deadline_us)) == 0)
            return false;
    }
    return true;
}

/* A connection to an agent that answers, or -1: it is asked for its keys once, before libssh does. */
static int agent_open(const struct ferry_remote *remote, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned char ask[5] = {0, 0, 0, 1, 11}, size[4], waste[512]; /* SSH_AGENTC_REQUEST_IDENTITIES */
    uint64_t deadline_us = ferry_remote_now(remote) + 1000ull * AGENT_MS;
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval most = {.tv_sec = AGENT_MS / 1000};
    if (fd < 0)
        return -1;
    bool ok = !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) && /* bounds connect(2), too */
              !connect(fd, (struct sockaddr *)&address, sizeof address) &&
              agent_bytes(remote, fd, ask, sizeof ask, true, deadline_us) &&
              agent_bytes(remote, fd, size, sizeof size, false, deadline_us);
    size_t left = ok ? (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3] : 0;
    ok = ok && left <= 256 * 1024;
    for (; ok && left; left -= left < sizeof waste ? left : sizeof waste)
        ok = agent_bytes(remote, fd, waste, left < sizeof waste ? left : sizeof waste, false, deadline_us);
    if (ok)
        return fd;
    close(fd);
    return -1;
}

static int by_agent(struct ferry_remote_hop *hop, struct tried *tried, uint64_t deadline_us,
                    struct ferry_err *err)
{
    const char *path = getenv("SSH_AUTH_SOCK");
    int result;
    if (!path || !*path) {
        note(tried, "there is no agent (%s is not set)", "SSH_AUTH_SOCK");
        return 1;
    }
    int fd = agent_open(hop->remote, path);
    if (fd < 0) {
        note(tried, "no agent answers at %s", path);
        return 1;
    }
    ssh_set_agent_socket(hop->session, fd); /* its own now */
    while ((result = ssh_userauth_agent(hop->session, NULL)) == SSH_AUTH_AGAIN)
        if ((result = ferry_remote_hop_wait(hop, deadline_us, err)) < 0)
            return result;
    result = judge(hop, result, err);
    if (result > 0)
        note(tried, "%s's keys are not accepted, or it has none", "the agent");
    return result;
}

int ferry_remote_authenticate(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    struct tried tried = {""};
    int result;
    if (hop->identity) {
        result = by_file(hop, hop->identity, &tried, deadline_us, err);
    } else {
        result = by_agent(hop, &tried, deadline_us, err);
        if (result > 0)
            result = by_default_files(hop, &tried, deadline_us, err);
    }
    if (result > 0)
        return ferry_error(err, FERRY_EIO, "%s lets nobody in%s%s with the keys that we have: %s", hop->host,
                           hop->user ? " as " : "", hop->user ? hop->user : "", tried.text);
    return result;
}
