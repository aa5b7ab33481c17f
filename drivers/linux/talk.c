/* The conversation with the kernel: one rtnetlink socket, dumps, single questions, batches.
 *
 * libnl 3.7 opens the socket and builds and takes apart messages; sending and receiving is done here, because
 * libnl knows neither extended acks nor strict checking, and maps ENOBUFS to "out of memory".
 *
 *  T1. Answers are matched by sequence number; what belongs to an earlier exchange is dropped.
 *  T2. In a batch only the last message asks for an ack.  The kernel works through a send in order and always
 *      reports errors, so the ack of the last means: whatever of the same send was not refused was done.
 *  T3. Where the last ack does not come (ENOBUFS, timeout, a broken socket), nothing without an answer of its
 *      own is known.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#ifndef NETLINK_EXT_ACK
#define NETLINK_EXT_ACK 11
#endif
#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

enum {
    RECEIVE_BYTES = 256 * 1024,    /* one receive; a dump fills at most 32 KiB of it in today's kernels */
    QUEUE_BYTES = 4 * 1024 * 1024, /* the socket's queue: 128 errors with their words need about 100 KiB */
    MAX_ERRNO = 4095,              /* linux/err.h */
    ANSWER_MS = 5000, /* rtnetlink answers before send returns; this is for a kernel in trouble */
};

static int open_socket(void *ctx, struct ferry_err *err)
{
    struct ferry_linux *d = ctx;
    struct nl_sock *sock = nl_socket_alloc();
    if (!sock)
        return ferry_error(err, FERRY_EIO, "cannot open a netlink socket");
    int failed = nl_connect(sock, NETLINK_ROUTE);
    if (failed) {
        nl_socket_free(sock);
        return ferry_error(err, FERRY_EIO, "cannot open a netlink socket: %s", nl_geterror(failed));
    }
    d->sock = sock;
    d->fd = nl_socket_get_fd(sock);
    return 0;
}

int ferry_linux_connect(struct ferry_linux *d, struct ferry_err *err)
{
    int one = 1, bytes = QUEUE_BYTES;
    int result =
        ferry_linux_note_netns(d, err); /* before: if it changes between the two, the next read sees that */
    if (result == 0)
        result = ferry_linux_inside(d, open_socket, d, err);
    if (result < 0)
        return result;
    /* Without strict checking the kernel ignores filters of dumps, silently: that is no connection. */
    if (setsockopt(d->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one))
        return ferry_error(err, FERRY_ESUPPORT, "this kernel cannot filter dumps (it is older than 4.20)");
    (void)setsockopt(d->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
    (void)setsockopt(d->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    if (setsockopt(d->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
        (void)setsockopt(d->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    d->buf_bytes = RECEIVE_BYTES;
    d->buf = ferry_calloc(1, d->buf_bytes);
    d->seq = (uint32_t)d->env->random(d->env->ctx) | 1;
    return 0;
}

static int send_bytes(struct ferry_linux *d, const void *bytes, size_t n, struct ferry_err *err)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do
        sent = sendto(d->fd, bytes, n, 0, (struct sockaddr *)&kernel, sizeof kernel);
    while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)n)
        return ferry_error(err, FERRY_EIO, "cannot send to the kernel: %s",
                           sent < 0 ? strerror(errno) : "cut short");
    return 0;
}

/* The next datagram, in d->buf; its length, or -FERRY_EUNKNOWN. */
static ssize_t receive(struct ferry_linux *d, struct ferry_err *err)
{
    for (;;) {
        struct sockaddr_nl from = {0};
        struct iovec io = {d->buf, d->buf_bytes};
        struct msghdr message = {
            .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &io, .msg_iovlen = 1};
        ssize_t n = recvmsg(d->fd, &message, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd wait = {.fd = d->fd, .events = POLLIN};
            int ready = poll(&wait, 1, ANSWER_MS);
            if (ready > 0 || (ready < 0 && errno == EINTR))
                continue;
            return ferry_error(err, FERRY_EUNKNOWN, "the kernel did not answer within %d s",
                               ANSWER_MS / 1000);
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ferry_error(err, FERRY_EUNKNOWN, "the kernel's answer was lost: %s", strerror(errno));
        if (message.msg_flags & MSG_TRUNC)
            return ferry_error(err, FERRY_EUNKNOWN, "the kernel's answer was cut (over %zu bytes)",
                               d->buf_bytes);
        if (from.nl_pid == 0)
            return n;
    }
}

/* What an NLMSG_ERROR says: 0 or a positive errno; its words, or errno's, in `words`. */
static int read_ack(struct nlmsghdr *h, char *words, size_t size)
{
    const struct nlmsgerr *e = NLMSG_DATA(h);
    if (h->nlmsg_len < NLMSG_LENGTH(sizeof *e)) {
        snprintf(words, size, "an answer that is too short");
        return EPROTO;
    }
    if (e->error > 0 || e->error < -MAX_ERRNO) {
        snprintf(words, size, "an answer that is no answer");
        return EPROTO;
    }
    snprintf(words, size, "%s", e->error ? strerror(-e->error) : "");
    size_t skip = sizeof *e, echoed = e->msg.nlmsg_len;
    if (!(h->nlmsg_flags & NLM_F_CAPPED) && echoed > sizeof(struct nlmsghdr))
        skip += NLMSG_ALIGN(echoed - sizeof(struct nlmsghdr));
    if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && h->nlmsg_len > NLMSG_LENGTH(skip)) {
        struct nlattr *text = nla_find((struct nlattr *)((char *)NLMSG_DATA(h) + skip),
                                       (int)(h->nlmsg_len - NLMSG_LENGTH(skip)), NLMSGERR_ATTR_MSG);
        if (text && nla_len(text) > 0)
            snprintf(words, size, "%.*s", nla_len(text), (const char *)nla_data(text));
    }
    return -e->error;
}

enum dump_result { DUMP_DONE = 0, DUMP_AGAIN = 1, DUMP_MORE = 2 };

static int dump_datagram(struct ferry_linux *d, const struct ferry_linux_dump *dump, int n, bool *torn,
                         struct ferry_err *err)
{
    if (dump->glance)
        dump->glance(dump->ctx, (struct nlmsghdr *)d->buf, n);
    for (struct nlmsghdr *h = (struct nlmsghdr *)d->buf; nlmsg_ok(h, n); h = nlmsg_next(h, &n)) {
        if (h->nlmsg_seq != dump->request->nlmsg_seq) /* T1 */
            continue;
        *torn |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (h->nlmsg_type == NLMSG_DONE) {
            int code = h->nlmsg_len >= NLMSG_LENGTH(sizeof code) ? *(int *)NLMSG_DATA(h) : 0;
            int failed = code < -MAX_ERRNO ? EPROTO : -code;
            if (failed > 0 && failed != ENOENT) /* a table that does not exist holds nothing */
                return ferry_error(err, FERRY_EIO, "the kernel ended a dump: %s", strerror(failed));
            return *torn ? DUMP_AGAIN : DUMP_DONE;
        }
        if (h->nlmsg_type == NLMSG_ERROR) {
            char words[200];
            int failed = read_ack(h, words, sizeof words);
            if (failed == ENOENT)
                return DUMP_DONE;
            return ferry_error(err, FERRY_EIO, "the kernel refused a dump: %s", words);
        }
        if (dump->filtered && !(h->nlmsg_flags & NLM_F_DUMP_FILTERED))
            return ferry_error(err, FERRY_ESUPPORT, "this kernel ignores the filter of a dump");
        if (h->nlmsg_type >= NLMSG_MIN_TYPE)
            dump->each(dump->ctx, h);
    }
    return DUMP_MORE;
}

int ferry_linux_dump(struct ferry_linux *d, const struct ferry_linux_dump *dump, struct ferry_err *err)
{
    bool torn = false;
    int result;
    if (d->means)
        return d->means->dump(d, dump, err);
    dump->request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    dump->request->nlmsg_seq = ++d->seq;
    result = send_bytes(d, dump->request, dump->request->nlmsg_len, err);
    for (result = result < 0 ? result : DUMP_MORE; result == DUMP_MORE;) {
        ssize_t n = receive(d, err);
        if (n < 0)
            return ferry_error_prefix(err, -FERRY_EIO, "reading");
        result = dump_datagram(d, dump, (int)n, &torn, err);
    }
    return result; /* DUMP_AGAIN is the 1 that the header promises */
}

int ferry_linux_ask(struct ferry_linux *d, struct nlmsghdr *request,
                    void (*each)(void *ctx, struct nlmsghdr *answer), void *ctx, struct ferry_err *err)
{
    if (d->means)
        return d->means->ask(d, request, each, ctx, err);
    request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    request->nlmsg_seq = ++d->seq;
    int result = send_bytes(d, request, request->nlmsg_len, err);
    if (result < 0)
        return result;
    for (;;) {
        ssize_t got = receive(d, err);
        if (got < 0)
            return (int)got;
        int n = (int)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)d->buf; nlmsg_ok(h, n); h = nlmsg_next(h, &n)) {
            char words[200];
            if (h->nlmsg_seq != request->nlmsg_seq) /* T1 */
                continue;
            if (h->nlmsg_type != NLMSG_ERROR) {
                each(ctx, h);
                continue;
            }
            int failed = read_ack(h, words, sizeof words);
            if (failed)
                ferry_error(err, FERRY_EIO, "%s", words);
            return failed;
        }
    }
}

/* ---- Batches. ---- */

void ferry_linux_batch_init(struct ferry_linux_batch *b, struct ferry_linux *d,
                            void (*answer)(void *ctx, uint32_t tag, int error, const char *words), void *ctx)
{
    memset(b, 0, sizeof *b);
    b->d = d;
    b->answer = answer;
    b->ctx = ctx;
    b->bytes = ferry_calloc(1, FERRY_LINUX_BATCH_BYTES);
}

void ferry_linux_batch_clear(struct ferry_linux_batch *b)
{
    free(b->bytes);
    b->bytes = NULL;
}

static void flush(struct ferry_linux_batch *b, bool last);

uint8_t *ferry_linux_batch_room(struct ferry_linux_batch *b, size_t bytes)
{
    if (b->n == FERRY_COUNT(b->tags) || b->n_bytes + bytes > FERRY_LINUX_BATCH_BYTES)
        flush(b, false);
    return b->bytes + b->n_bytes;
}

void ferry_linux_batch_together(struct ferry_linux_batch *b, size_t messages, size_t bytes)
{
    if (b->n + messages > FERRY_COUNT(b->tags) || b->n_bytes + bytes > FERRY_LINUX_BATCH_BYTES)
        flush(b, false);
}

void ferry_linux_batch_add(struct ferry_linux_batch *b, uint32_t tag)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(b->bytes + b->n_bytes);
    h->nlmsg_flags |= NLM_F_REQUEST;
    h->nlmsg_seq = ++b->d->seq;
    b->last_offset = (uint32_t)b->n_bytes;
    b->tags[b->n++] = tag;
    b->n_bytes += NLMSG_ALIGN(h->nlmsg_len);
}

/* Reports messages [*next, until): done by T2, or not known by T3. */
static void report(struct ferry_linux_batch *b, unsigned *next, unsigned until, int error, const char *words)
{
    for (; *next < until; ++*next)
        b->answer(b->ctx, b->tags[*next], error, words);
}

/* Reads answers until the last message's; `first` is the sequence number of tags[0]. */
static int gather(struct ferry_linux_batch *b, uint32_t first, unsigned *next, struct ferry_err *err)
{
    while (*next < b->n) {
        ssize_t got = receive(b->d, err);
        if (got < 0)
            return (int)got;
        int n = (int)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)b->d->buf; nlmsg_ok(h, n); h = nlmsg_next(h, &n)) {
            char words[200];
            uint32_t i = h->nlmsg_seq - first;
            if (i >= b->n || i < *next || h->nlmsg_type != NLMSG_ERROR) /* T1 */
                continue;
            int error = read_ack(h, words, sizeof words);
            report(b, next, i, 0, "");
            report(b, next, i + 1, error, words);
        }
    }
    return 0;
}

static void flush(struct ferry_linux_batch *b, bool last)
{
    unsigned next = 0;
    if (b->d->means) {
        b->d->means->send(b, last);
        b->n = 0;
        b->n_bytes = 0;
        return;
    }
    if (!b->n)
        return;
    if (b->lost) {
        report(b, &next, b->n, -2, "not sent: the connection had failed before");
    } else {
        struct nlmsghdr *newest = (struct nlmsghdr *)(b->bytes + b->last_offset);
        newest->nlmsg_flags |= NLM_F_ACK;
        int result = send_bytes(b->d, b->bytes, b->n_bytes, &b->why);
        if (!result)
            result = gather(b, ((struct nlmsghdr *)b->bytes)->nlmsg_seq, &next, &b->why);
        if (result < 0) {
            b->lost = true;
            report(b, &next, b->n, -1, b->why.text); /* T3 */
        }
    }
    b->n = 0;
    b->n_bytes = 0;
}

void ferry_linux_batch_flush(struct ferry_linux_batch *b)
{
    flush(b, true);
}
