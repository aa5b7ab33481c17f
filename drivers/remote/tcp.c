/* The way to an SSH server until it has said its first line.
 *
 * A dead peer is noticed by the kernel: TCP_USER_TIMEOUT for what was sent, keepalive for silence; libssh's own
 * keepalive is fine with peers that are gone.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/ssh.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    DEAD_MS = 5000, /* unanswered for so long: gone */
    PLACES = 8,     /* sshd begins to refuse at 10 (MaxStartups) */
};

struct dial {
    struct ferry_remote_hop *hop;
    uint64_t deadline_us;
};

static int options(int fd)
{
    static const struct {
        int level, name, value;
    } all[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},  {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 2}, {IPPROTO_TCP, TCP_KEEPINTVL, 1},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},  {IPPROTO_TCP, TCP_USER_TIMEOUT, DEAD_MS},
    };
    for (size_t i = 0; i < FERRY_COUNT(all); i++)
        if (setsockopt(fd, all[i].level, all[i].name, &all[i].value, sizeof all[i].value))
            return -1;
    return 0;
}

/* 0 or an errno. */
static int connect_by(const struct ferry_remote *remote, int fd, const struct addrinfo *a,
                      uint64_t deadline_us)
{
    int failed = 0;
    socklen_t size = sizeof failed;
    if (!connect(fd, a->ai_addr, a->ai_addrlen))
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        int ready = poll(&wait, 1, ferry_remote_left_ms(remote, deadline_us));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready ? errno : ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size))
            return errno;
        return failed;
    }
}

static int dial(void *ctx, struct ferry_err *err)
{
    struct dial *d = ctx;
    struct ferry_remote_hop *hop = d->hop;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    char port[8];
    size_t n = 0;
    int failed = 0;
    snprintf(port, sizeof port, "%u", hop->port);
    int unknown = getaddrinfo(hop->host, port, &hints, &list);
    if (unknown)
        return ferry_error(err, FERRY_EIO, "%s: %s", hop->host, gai_strerror(unknown));
    for (struct addrinfo *a = list; a; a = a->ai_next)
        n++;
    for (struct addrinfo *a = list; a && hop->fd < 0; a = a->ai_next, n--) {
        uint64_t now = ferry_remote_now(hop->remote);
        uint64_t part = d->deadline_us > now ? (d->deadline_us - now) / n : 0;
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        failed = fd < 0 || options(fd) ? errno : connect_by(hop->remote, fd, a, now + part);
        if (!failed)
            hop->fd = fd;
        else if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(list);
    if (hop->fd < 0)
        return ferry_error(err, FERRY_EIO, "%s port %u: %s", hop->host, hop->port,
                           failed == ETIMEDOUT ? "no answer" : strerror(failed));
    return 0;
}

int ferry_remote_tcp(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    uint64_t soon_us = ferry_remote_now(hop->remote) + 1000ull * DEAD_MS;
    struct dial d = {hop, soon_us < deadline_us ? soon_us : deadline_us};
    return ferry_remote_inside(hop->netns, dial, &d, err);
}

int ferry_remote_banner(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    for (;;) {
        char seen[200], shown[160];
        ssize_t n = recv(hop->fd, seen, sizeof seen, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0) {
            if (!memcmp(seen, "SSH-", n < 4 ? (size_t)n : 4))
                return 0; /* libssh reads the rest, and bounds it */
            ferry_remote_quote(seen, (size_t)n, shown, sizeof shown);
            bool busy = strstr(shown, "MaxStartups") != NULL;
            ferry_error(err, FERRY_EIO, "%s port %u: %s: it says '%s'", hop->host, hop->port,
                        busy ? "too many connect to it at once" : "this is no SSH server", shown);
            return busy ? 1 : -FERRY_EIO;
        }
        if (n == 0 || errno == ECONNRESET) {
            ferry_error(err, FERRY_EIO, "%s port %u: it hangs up at once (its MaxStartups may be reached)",
                        hop->host, hop->port);
            return 1;
        }
        if (errno != EAGAIN && errno != EINTR)
            return ferry_error(err, FERRY_EIO, "%s port %u: %s", hop->host, hop->port, strerror(errno));
        int result = ferry_remote_hop_wait(hop, deadline_us, err);
        if (result < 0)
            return result;
    }
}

/* ---- Places. ---- */

static sem_t places;
static pthread_once_t places_once = PTHREAD_ONCE_INIT;

static void places_init(void)
{
    sem_init(&places, 0, PLACES);
}

int ferry_remote_slot_take(struct ferry_remote_hop *hop, uint64_t deadline_us, struct ferry_err *err)
{
    struct timespec until;
    uint64_t now = ferry_remote_now(hop->remote), left = deadline_us > now ? deadline_us - now : 0;
    if (hop->slotted)
        return 0;
    pthread_once(&places_once, places_init);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(left / 1000000);
    until.tv_nsec += (long)(left % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (sem_timedwait(&places, &until))
        if (errno != EINTR)
            return ferry_error(err, FERRY_EIO, "%s port %u: too many connections are being made at once",
                               hop->host, hop->port);
    hop->slotted = true;
    return 0;
}

void ferry_remote_slot_give(struct ferry_remote_hop *hop)
{
    if (hop->slotted)
        sem_post(&places);
    hop->slotted = false;
}
