/* A stream of ICMP echo requests: sending, matching answers, and the arithmetic of the outage.
 *
 * Each request carries its 64-bit number as payload, and a random identifier; a TTL exceeded is ours by the
 * identifier in the packet that it quotes (RFC 792, RFC 4443).  Times are those of sending: an answer that
 * waits for address resolution is late, not lost.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/probe_stream.h"

#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LAST_ANSWERS_US 100000u /* how long late answers are waited for at the end: a silence so long lasts */
#define RECEIVE_BUFFER  (4 << 20)

struct probe_packet {
    uint8_t type, code;
    uint16_t checksum, ident, sequence;
    uint64_t number;
} __attribute__((packed));

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void sleep_until(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* RFC 1071 */
static uint16_t checksum(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static socklen_t socket_address(const struct ferry_addr *a, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->ss_family = a->family;
    if (a->family == AF_INET) {
        memcpy(&((struct sockaddr_in *)ret)->sin_addr, a->bytes, 4);
        return sizeof(struct sockaddr_in);
    }
    memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, a->bytes, 16);
    return sizeof(struct sockaddr_in6);
}

static int enter(struct ui_stream *s)
{
    if (!s->netns)
        return 0;
    FERRY_AUTOFREE char *path = ferry_asprintf("/run/netns/%s", s->netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ferry_error(&s->err, FERRY_EIO, "%s: %s", path, strerror(errno));
    int r = setns(fd, CLONE_NEWNET);
    int e = errno;
    close(fd);
    return r < 0 ? ferry_error(&s->err, FERRY_EIO, "setns %s: %s", path, strerror(e)) : 0;
}

static int open_socket(struct ui_stream *s)
{
    struct sockaddr_storage source, target;
    bool v6 = s->target.family == AF_INET6;
    int size = RECEIVE_BUFFER;
    s->fd =
        socket(s->target.family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (s->fd < 0)
        return ferry_error(&s->err, FERRY_EIO, "no raw socket: %s", strerror(errno));
    if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    socklen_t len = socket_address(&s->source, &source);
    if (bind(s->fd, (struct sockaddr *)&source, len) < 0)
        return ferry_error(&s->err, FERRY_EIO, "cannot send from the vantage's address: %s", strerror(errno));
    /* Not connected: a TTL exceeded comes from a router, not from the target. */
    socket_address(&s->target, &target);
    if (!v6) {
        struct icmp_filter filter = {~(1u << ICMP_ECHOREPLY | 1u << ICMP_TIME_EXCEEDED)};
        setsockopt(s->fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
        return 0;
    }
    struct icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &filter);
    setsockopt(s->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
    return 0;
}

static void send_one(struct ui_stream *s)
{
    bool v6 = s->target.family == AF_INET6;
    struct sockaddr_storage target;
    socklen_t len = socket_address(&s->target, &target);
    struct probe_packet p = {.type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
                             .ident = htons(s->ident),
                             .sequence = htons((uint16_t)s->n),
                             .number = s->n};
    if (!v6)
        p.checksum = checksum(&p, sizeof p);
    FERRY_GROW(s->sent_us, s->n);
    FERRY_GROW(s->answers, s->n);
    s->answers[s->n] = 0;
    s->sent_us[s->n++] = now_us();
    /* No route, or a blackhole: the error is the loss. */
    if (sendto(s->fd, &p, sizeof p, MSG_DONTWAIT, (struct sockaddr *)&target, len) < 0)
        return;
}

static void answered(struct ui_stream *s, const uint8_t *icmp, size_t len)
{
    struct probe_packet p;
    if (len < sizeof p)
        return;
    memcpy(&p, icmp, sizeof p);
    if (ntohs(p.ident) != s->ident || p.number >= s->n)
        return;
    uint8_t *count = &s->answers[p.number];
    if (s->sent_us[p.number] > atomic_load(&s->last_us)) /* only this thread writes it */
        atomic_store(&s->last_us, s->sent_us[p.number]);
    if (*count == 0)
        atomic_fetch_add(&s->answered, 1);
    else
        s->duplicates++;
    if (*count < UINT8_MAX)
        ++*count;
}

/* Whether the packet quoted by an error is one of ours. */
static bool quoted(const struct ui_stream *s, const uint8_t *inner, size_t len)
{
    bool v6 = s->target.family == AF_INET6;
    if (len < (v6 ? sizeof(struct ip6_hdr) : sizeof(struct iphdr)))
        return false;
    size_t header = v6 ? sizeof(struct ip6_hdr) : (size_t)(inner[0] & 0xf) * 4;
    uint16_t ident;
    if (len < header + 8)
        return false;
    memcpy(&ident, inner + header + 4, sizeof ident);
    return ntohs(ident) == s->ident;
}

static void receive(struct ui_stream *s)
{
    bool v6 = s->target.family == AF_INET6;
    uint8_t buf[2048];
    ssize_t n;
    while ((n = recv(s->fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
        size_t header = v6 ? 0 : (size_t)(buf[0] & 0xf) * 4, len = (size_t)n;
        if (len < header + 8)
            continue;
        uint8_t type = buf[header];
        if (type == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
            answered(s, buf + header, len - header);
        else if (type == (v6 ? ICMP6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED) &&
                 quoted(s, buf + header + 8, len - header - 8))
            s->ttl_exceeded++;
    }
}

static void *stream(void *arg)
{
    struct ui_stream *s = arg;
    struct sched_param priority = {.sched_priority = 1};
    if (enter(s) < 0 || open_socket(s) < 0) {
        atomic_store(&s->failed, true);
        return NULL;
    }
    /* Better pacing where it is allowed. */
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
    uint64_t next = now_us();
    while (!atomic_load(&s->stop)) {
        send_one(s);
        next += UI_PROBE_PERIOD_US;
        if (next < s->sent_us[s->n - 1]) /* we were not run in time: no burst */
            next = s->sent_us[s->n - 1] + UI_PROBE_PERIOD_US;
        sleep_until(next);
        receive(s);
    }
    uint64_t end = now_us() + LAST_ANSWERS_US;
    while (now_us() < end && atomic_load(&s->answered) < s->n) {
        sleep_until(now_us() + UI_PROBE_PERIOD_US);
        receive(s);
    }
    return NULL;
}

int ui_stream_start(struct ui_stream *s, struct ferry_err *err)
{
    s->fd = -1;
    int e = pthread_create(&s->thread, NULL, stream, s);
    if (e)
        return ferry_error(err, FERRY_EIO, "probe: no thread: %s", strerror(e));
    s->running = true;
    return 0;
}

void ui_stream_stop(struct ui_stream *s)
{
    if (!s->running)
        return;
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    s->running = false;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void ui_stream_outage(const struct ui_stream *s, struct ferry_outage *ret)
{
    size_t first = 0;
    uint64_t longest = 0;
    while (first < s->n && !s->answers[first])
        first++;
    ret->lost = 0;
    ret->sent = s->n - first;
    ret->lasts = first == s->n;
    for (size_t i = first; i < s->n; i++) {
        if (s->answers[i])
            continue;
        size_t next = i;
        while (next < s->n && !s->answers[next])
            next++;
        ret->lost += next - i;
        uint64_t end = next < s->n ? s->sent_us[next] : s->sent_us[s->n - 1] + UI_PROBE_PERIOD_US;
        if (end - s->sent_us[i] > longest)
            longest = end - s->sent_us[i];
        ret->lasts = next == s->n && end - s->sent_us[i] >= LAST_ANSWERS_US;
        i = next;
    }
    ret->ms = (double)longest / 1000.0;
    ret->ttl_exceeded = s->ttl_exceeded;
    ret->duplicates = s->duplicates;
}
