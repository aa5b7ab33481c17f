/* Messages to a name server, and their answers: over TCP, with a deadline, signed where it matters.
 *
 *  K1. TCP alone: an answer comes from whom it was asked, and none is cut.
 *  K2. A signed message's answer counts only with a good signature (RFC 8945 §5.3): else it is as if none had come.
 *
 * SPDX-License-Identifier: MIT */
#include "dns/internal.h"

#include "remote/netns.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECT_MS = 2000,
    FUDGE_S = 300, /* RFC 8945 §10: by how much clocks may differ */
    WINDOW = 16,   /* messages without their answers yet; BIND takes no more than 23 of a connection */
};

uint64_t ferry_dns_now(const struct ferry_driver *driver)
{
    return driver->env->monotonic_us(driver->env->ctx);
}

void ferry_dns_line_close(struct ferry_dns_line *line)
{
    if (line->fd >= 0)
        close(line->fd);
    line->fd = -1;
}

/* Whether the socket can be read, or written; false with errno. */
static bool wait_for(const struct ferry_dns_line *line, short events, uint64_t until_us)
{
    for (;;) {
        uint64_t now = ferry_dns_now(line->driver);
        struct pollfd p = {.fd = line->fd, .events = events};
        int left_ms = until_us > now ? (int)((until_us - now + 999) / 1000) : 0;
        int ready = left_ms ? poll(&p, 1, left_ms) : 0;
        if (ready > 0)
            return true;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            errno = ETIMEDOUT;
        return false;
    }
}

static int dial(void *ctx, struct ferry_err *err)
{
    struct ferry_dns_line *line = ctx;
    int one = 1, failed = 0;
    socklen_t size = sizeof failed;
    uint64_t soon = ferry_dns_now(line->driver) + 1000ull * CONNECT_MS;
    line->fd = socket(line->server->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->fd < 0)
        return ferry_error(err, FERRY_EIO, "%s: %s", line->server->address, strerror(errno));
    (void)setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(line->fd, (const struct sockaddr *)&line->server->to, line->server->to_len) < 0) {
        if (errno != EINPROGRESS ||
            !wait_for(line, POLLOUT, soon < line->deadline_us ? soon : line->deadline_us))
            failed = errno;
        else if (getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0)
            failed = errno;
    }
    if (!failed)
        return 0;
    ferry_dns_line_close(line);
    return ferry_error(err, FERRY_EIO, "%s: %s", line->server->address,
                       failed == ETIMEDOUT ? "no answer" : strerror(failed));
}

/* False with errno; `*ret_some`: at least one byte went out. */
static bool send_all(struct ferry_dns_line *line, const uint8_t *bytes, size_t n, bool *ret_some)
{
    while (n) {
        ssize_t sent = send(line->fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!wait_for(line, POLLOUT, line->deadline_us))
                return false;
            continue;
        }
        if (sent < 0)
            return false;
        *ret_some = true;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool receive_all(struct ferry_dns_line *line, uint8_t *bytes, size_t n)
{
    while (n) {
        ssize_t got = recv(line->fd, bytes, n, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!wait_for(line, POLLIN, line->deadline_us))
                return false;
            continue;
        }
        if (got <= 0) {
            errno = got ? errno : ECONNRESET;
            return false;
        }
        bytes += got;
        n -= (size_t)got;
    }
    return true;
}

/* ---- Messages. ---- */

const char *ferry_dns_tsig_error(const ldns_pkt *answer)
{
    static const struct {
        uint16_t code;
        const char *name;
    } errors[] = {
        {16, "BADSIG: the key's secret is another one there"},
        {17, "BADKEY: it does not know this key"},
        {18, "BADTIME: its clock differs by more than five minutes"},
        {22, "BADTRUNC: it wants a longer signature"},
    };
    ldns_rr *tsig = ldns_pkt_tsig(answer);
    const ldns_rdf *error = tsig ? ldns_rr_rdf(tsig, 5) : NULL;
    uint16_t code = error && ldns_rdf_size(error) == 2 ? ldns_rdf2native_int16(error) : 0;
    for (size_t i = 0; i < FERRY_COUNT(errors); i++)
        if (errors[i].code == code)
            return errors[i].name;
    return code ? "its answer says that the signature is wrong" : NULL;
}

const char *ferry_dns_rcode(const ldns_pkt *answer, char buf[static 24])
{
    const ldns_lookup_table *name = ldns_lookup_by_id(ldns_rcodes, (int)ldns_pkt_get_rcode(answer));
    if (name)
        snprintf(buf, 24, "%s", name->name);
    else
        snprintf(buf, 24, "rcode %d", (int)ldns_pkt_get_rcode(answer));
    return buf;
}

static bool is_answer_to(const ldns_pkt *answer, const ldns_pkt *message)
{
    return ldns_pkt_qr(answer) && ldns_pkt_id(answer) == ldns_pkt_id(message) &&
           ldns_pkt_get_opcode(answer) == ldns_pkt_get_opcode(message);
}

/* K2. */
static bool is_signed(const struct ferry_dns_key *key, const ldns_pkt *message, ldns_pkt *answer,
                      const uint8_t *wire, size_t n)
{
    ldns_rr *tsig = ldns_pkt_tsig(message);
    bool good = tsig && ldns_pkt_tsig(answer) &&
                ldns_pkt_tsig_verify(answer, wire, n, key->name, key->secret, ldns_rr_rdf(tsig, 3));
    ferry_secret_scrub(); /* ldns leaves the key where it decoded it */
    return good;
}

/* The message as it goes out: its length in two bytes before it (RFC 1035 §4.2.2). */
static int encode(struct ferry_dns_line *line, struct ferry_dns_call *call, uint16_t id, uint8_t **ret,
                  size_t *ret_n, struct ferry_err *err)
{
    const struct ferry_dns_key *key = &line->driver->key;
    uint8_t *wire = NULL;
    size_t n = 0;
    ldns_status status = LDNS_STATUS_OK;
    ldns_pkt_set_id(call->message, id);
    if (call->sign) {
        status = ldns_pkt_tsig_sign(call->message, key->name, key->secret, FUDGE_S, key->algorithm, NULL);
        ferry_secret_scrub();
    }
    if (status == LDNS_STATUS_OK)
        status = ldns_pkt2wire(&wire, call->message, &n);
    if (status != LDNS_STATUS_OK || n > UINT16_MAX) {
        free(wire);
        return ferry_error(err, FERRY_EIO, "%s: the message cannot be made: %s", line->server->address,
                           ldns_get_errorstr_by_id(status));
    }
    uint8_t *framed = ferry_calloc(n + 2, 1);
    framed[0] = (uint8_t)(n >> 8);
    framed[1] = (uint8_t)n;
    memcpy(framed + 2, wire, n);
    free(wire);
    *ret = framed;
    *ret_n = n + 2;
    return 0;
}

static int no_answer(struct ferry_dns_line *line, struct ferry_err *err)
{
    int failed = errno;
    ferry_dns_line_close(line);
    return ferry_error(err, FERRY_EUNKNOWN, "%s: %s", line->server->address,
                       failed == ETIMEDOUT    ? "no answer"
                       : failed == ECONNRESET ? "it hung up without an answer"
                                              : strerror(failed));
}

/* The call that an answer belongs to; NULL: none that waits. */
static struct ferry_dns_call *call_of(struct ferry_dns_call *calls, size_t n, const ldns_pkt *answer)
{
    for (size_t i = 0; i < n; i++)
        if (calls[i].sent && !calls[i].answer && is_answer_to(answer, calls[i].message))
            return &calls[i];
    return NULL;
}

static int receive_one(struct ferry_dns_line *line, struct ferry_dns_call *calls, size_t n,
                       struct ferry_err *err)
{
    uint8_t head[2];
    ldns_pkt *answer = NULL;
    if (!receive_all(line, head, sizeof head))
        return no_answer(line, err);
    size_t len = (size_t)head[0] << 8 | head[1];
    FERRY_AUTOFREE uint8_t *in = ferry_calloc(len, 1);
    if (!receive_all(line, in, len))
        return no_answer(line, err);
    struct ferry_dns_call *call =
        ldns_wire2pkt(&answer, in, len) == LDNS_STATUS_OK ? call_of(calls, n, answer) : NULL;
    const char *fault = !answer ? "its answer cannot be read"
                        : !call ? "its answer is to something else"
                        : call->sign && !ferry_dns_tsig_error(answer) &&
                                !is_signed(&line->driver->key, call->message, answer, in, len)
                            ? "its answer is not signed with the key"
                            : NULL;
    if (!fault) {
        call->answer = answer;
        return 0;
    }
    ldns_pkt_free(answer);
    ferry_dns_line_close(line);
    return ferry_error(err, FERRY_EUNKNOWN, "%s: %s", line->server->address, fault);
}

static int send_one(struct ferry_dns_line *line, struct ferry_dns_call *call, uint16_t id,
                    struct ferry_err *err)
{
    FERRY_AUTOFREE uint8_t *out = NULL;
    size_t n = 0;
    int r = encode(line, call, id, &out, &n, err);
    if (r < 0)
        return r;
    if (send_all(line, out, n, &call->sent))
        return 0;
    no_answer(line, err);
    return call->sent ? -FERRY_EUNKNOWN : -FERRY_EIO;
}

int ferry_dns_exchange(struct ferry_dns_line *line, struct ferry_dns_call *calls, size_t n,
                       struct ferry_err *err)
{
    size_t n_sent = 0, n_answered = 0;
    uint16_t id = (uint16_t)line->driver->env->random(line->driver->env->ctx);
    int r = line->fd >= 0 ? 0 : ferry_remote_inside(line->driver->netns, dial, line, err);
    while (r == 0 && n_answered < n) {
        if (n_sent < n && n_sent - n_answered < WINDOW) {
            r = send_one(line, &calls[n_sent], id++, err);
            n_sent += r == 0;
            continue;
        }
        r = receive_one(line, calls + (n_sent > 2 * WINDOW ? n_sent - 2 * WINDOW : 0),
                        n_sent > 2 * WINDOW ? 2 * WINDOW : n_sent, err);
        n_answered += r == 0;
    }
    return r;
}

void ferry_dns_calls_free(struct ferry_dns_call *calls, size_t n)
{
    for (size_t i = 0; calls && i < n; i++) {
        ldns_pkt_free(calls[i].message);
        ldns_pkt_free(calls[i].answer);
    }
    free(calls);
}
