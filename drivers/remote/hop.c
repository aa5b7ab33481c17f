/* An SSH session: how it is opened, how it waits, and how one runs through another.
 *
 *  H1. The host key is verified before the first byte of authentication.
 *  H2. ~/.ssh/config is not read, nothing is compressed, only public keys authenticate.
 *  H3. A session belongs to the thread that is in a call of its connection: there is none that pumps.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LONGEST_MS = 1000,      /* of one wait: whatever libssh may have kept to itself is asked for again */
    BACKOFF_US = 100 * 1000 /* after the first time that a server was busy; doubles */
};

/* libssh has a descriptor of its own of our socket.  It closes it on some paths and not on others (0.10), and
 * by then its number may be somebody else's: so it is closed here where it still is this socket. */
static void close_given(const struct ferry_remote_hop *hop)
{
    struct stat ours, given;
    if (hop->given >= 0 && !fstat(hop->fd, &ours) && !fstat(hop->given, &given) &&
        ours.st_dev == given.st_dev && ours.st_ino == given.st_ino)
        close(hop->given);
}

static void take_down(struct ferry_remote_hop *hop)
{
    if (hop->session) {
        ssh_disconnect(hop->session);
        ssh_free(hop->session);
    }
    close_given(hop);
    if (hop->fd >= 0)
        close(hop->fd);
    hop->session = NULL;
    hop->fd = hop->given = -1;
    if (hop->channel) {
        ssh_channel_close(hop->channel);
        ssh_channel_free(hop->channel);
    }
    hop->channel = NULL;
    if (hop->pair >= 0)
        close(hop->pair);
    hop->pair = -1;
    hop->shut = false;
    ferry_remote_slot_give(hop);
}

void ferry_remote_hop_free(struct ferry_remote_hop *hop)
{
    if (!hop)
        return;
    take_down(hop);
    ferry_remote_hop_free(hop->under);
    free(hop->up);
    free(hop->down);
    free(hop->host);
    free(hop->user);
    free(hop->identity);
    free(hop->known_hosts);
    free(hop->host_key);
    free(hop);
}

/* ---- Waiting, and carrying. ---- */

static void pump_up(struct ferry_remote_hop *hop)
{
    struct ferry_remote_pump *p = hop->up;
    for (;;) {
        if (!p->n) {
            ssize_t n = recv(hop->pair, p->bytes, sizeof p->bytes, MSG_DONTWAIT);
            if (n <= 0)
                return;
            p->at = 0;
            p->n = (size_t)n;
        }
        int taken = ssh_channel_write(hop->channel, p->bytes + p->at, (uint32_t)p->n);
        if (taken <= 0)
            return;
        p->at += (size_t)taken;
        p->n -= (size_t)taken;
    }
}

static void pump_down(struct ferry_remote_hop *hop)
{
    struct ferry_remote_pump *p = hop->down;
    while (!hop->shut) {
        if (!p->n) {
            int n = ssh_channel_read_nonblocking(hop->channel, p->bytes, sizeof p->bytes, 0);
            if (n < 0 ||
                (n == 0 && (ssh_channel_is_closed(hop->channel) || ssh_channel_is_eof(hop->channel)))) {
                shutdown(hop->pair, SHUT_RDWR);
                hop->shut = true;
            }
            if (n <= 0)
                return;
            p->at = 0;
            p->n = (size_t)n;
        }
        ssize_t taken = send(hop->pair, p->bytes + p->at, p->n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken < 0)
            return;
        p->at += (size_t)taken;
        p->n -= (size_t)taken;
    }
}

void ferry_remote_hop_pump(struct ferry_remote_hop *hop)
{
    if (!hop->channel || hop->shut)
        return;
    pump_up(hop);
    pump_down(hop);
}

static short session_events(const struct ferry_remote_hop *hop)
{
    return (short)(POLLIN |
                   (hop->session && (ssh_get_poll_flags(hop->session) & SSH_WRITE_PENDING) ? POLLOUT : 0));
}

int ferry_remote_hop_wait(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    struct pollfd fds[3] = {{.fd = hop->fd, .events = session_events(hop)}, {.fd = -1}, {.fd = -1}};
    int left = ferry_remote_left_ms(hop->remote, deadline_us);
    if (!left)
        return ferry_error(err, FERRY_EIO, "%s port %u: no answer in time", hop->host, hop->port);
    if (hop->channel && !hop->shut) {
        bool full = hop->down->n > 0, waiting = hop->up->n > 0;
        fds[1].fd = hop->under->fd;
        fds[1].events = session_events(hop->under);
        if (full && !waiting)
            fds[1].events &= (short)~POLLIN;
        fds[2].fd = hop->pair;
        fds[2].events = (short)((waiting ? 0 : POLLIN) | (full ? POLLOUT : 0));
    } else if (hop->under && !hop->channel) {
        fds[1].fd = hop->under->fd;
        fds[1].events = session_events(hop->under);
    }
    if (poll(fds, FERRY_COUNT(fds), left < LONGEST_MS ? left : LONGEST_MS) < 0 && errno != EINTR)
        return ferry_error(err, FERRY_EIO, "poll: %s", strerror(errno));
    ferry_remote_hop_pump(hop);
    return 0;
}

/* ---- Opening. ---- */

/* A channel of the hop under this one, and a socket pair whose other end libssh takes for a connection. */
static int reach_through(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    int pair[2], result;
    hop->channel = NULL;
    ssh_channel channel = ssh_channel_new(hop->under->session);
    if (!channel)
        return ferry_error(err, FERRY_EIO, "%s: %s", hop->under->host, ssh_get_error(hop->under->session));
    while ((result = ssh_channel_open_forward(channel, hop->host, (int)hop->port, "127.0.0.1", 0)) ==
           SSH_AGAIN)
        if ((result = ferry_remote_hop_wait(hop->under, deadline_us, err)) < 0) {
            ssh_channel_free(channel);
            return ferry_error(err, FERRY_EIO, "%s port %u: no answer through %s in time", hop->host,
                               hop->port, hop->under->host);
        }
    if (result != SSH_OK) {
        ssh_channel_free(channel);
        return ferry_error(err, FERRY_EIO, "%s port %u: %s cannot reach it: %s", hop->host, hop->port,
                           hop->under->host, ssh_get_error(hop->under->session));
    }
    hop->channel = channel;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return ferry_error(err, FERRY_EIO, "socketpair: %s", strerror(errno));
    hop->fd = pair[0];
    hop->pair = pair[1];
    hop->up->n = hop->down->n = 0;
    return 0;
}

static int prepare(struct ferry_remote_hop *hop, unsigned families, struct ferry_err *err)
{
    static const bool no_config = false;
    const int nodelay = 1;
    const char *global = hop->known_hosts ? "/dev/null" : "/etc/ssh/ssh_known_hosts";
    FERRY_AUTOFREE char *mine = ferry_remote_in_home(".ssh/known_hosts");
    char types[200];
    ferry_remote_families(families, types, sizeof types);
    ssh_session s = hop->session = ssh_new();
    hop->given = fcntl(hop->fd, F_DUPFD_CLOEXEC, 0);
    if (!s || hop->given < 0)
        return ferry_error(err, FERRY_EIO, "%s: no session: %s", hop->host, strerror(errno));
    bool ok = !ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no_config) && /* H2 */
              !ssh_options_set(s, SSH_OPTIONS_HOST, hop->host) &&
              !ssh_options_set(s, SSH_OPTIONS_PORT, &hop->port) &&
              (!hop->user || !ssh_options_set(s, SSH_OPTIONS_USER, hop->user)) &&
              !ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, hop->known_hosts ? hop->known_hosts : mine) &&
              !ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, global) &&
              (!*types || !ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, types)) &&
              !ssh_options_set(s, SSH_OPTIONS_COMPRESSION, "no") &&
              !ssh_options_set(s, SSH_OPTIONS_NODELAY, &nodelay) &&
              !ssh_options_set(s, SSH_OPTIONS_FD, &hop->given);
    if (!ok)
        return ferry_error(err, FERRY_EIO, "%s: %s", hop->host, ssh_get_error(s));
    ssh_set_blocking(s, 0);
    ssh_set_counters(s, &hop->raw, NULL);
    return 0;
}

static int exchange(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    int result;
    while ((result = ssh_connect(hop->session)) == SSH_AGAIN)
        if ((result = ferry_remote_hop_wait(hop, deadline_us, err)) < 0)
            return result;
    if (result != SSH_OK)
        return ferry_error(err, FERRY_EIO, "%s port %u: %s", hop->host, hop->port,
                           ssh_get_error(hop->session));
    return 0;
}

/* Once.  1: try again, later (`*families` unchanged) or at once. */
static int try_open(struct ferry_remote_hop *hop, unsigned *families, uint64_t deadline_us,
                    struct ferry_err *err)
{
    int result = hop->jump ? ferry_remote_slot_take(hop, deadline_us, err) : 0;
    if (!result)
        result = hop->under ? reach_through(hop, deadline_us, err) : ferry_remote_tcp(hop, deadline_us, err);
    if (!result)
        result = ferry_remote_banner(hop, deadline_us, err);
    if (!result)
        result = ferry_remote_slot_take(hop, deadline_us, err);
    if (!result)
        result = prepare(hop, *families, err);
    if (!result)
        result = exchange(hop, deadline_us, err);
    if (!result)
        result = ferry_remote_verify(hop, families, err); /* H1 */
    hop->verified = !result;
    if (!result)
        result = ferry_remote_authenticate(hop, deadline_us, err);
    return result;
}

static void nap(const struct ferry_env *env, uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    if (env->sleep_us)
        env->sleep_us(env->ctx, us);
    else
        nanosleep(&t, NULL);
}

int ferry_remote_hop_open(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    unsigned families = 0;
    struct ferry_err other_key;
    for (uint64_t wait_us = BACKOFF_US;; wait_us *= 2) {
        unsigned before = families;
        int result = try_open(hop, &families, deadline_us, err);
        ferry_remote_slot_give(hop);
        if (result < 0 && families && !hop->verified)
            *err = other_key; /* that it has no key of another type is not the point */
        if (result <= 0)
            return result;
        take_down(hop);
        if (families != before) {
            other_key = *err;
            continue;
        }
        /* The randomness keeps many that were refused together from coming back together. */
        const struct ferry_env *env = hop->remote->env;
        uint64_t us = wait_us + env->random(env->ctx) % wait_us;
        if (ferry_remote_now(hop->remote) + us >= deadline_us)
            return -FERRY_EIO;
        nap(env, us);
    }
}
