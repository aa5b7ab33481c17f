/* Processes on the router: framed, bounded, timed, whatever carries the bytes.
 *
 *  P1. A word is checked before anything is sent; the script checks again.
 *  P2. A verb has ended when its output ended with the end mark, which carries this process's own nonce, both streams
 *      have ended, and the exit status is the mark's.  All else is -FERRY_EUNKNOWN, from the moment that it may run.
 *  P3. It surely did not run where the transport says so, where the script ended without the begin mark, or where a
 *      call's input was not taken whole (the script counts it).
 *  P4. Both streams are read whenever anything is waited for, so that neither can block the router.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/internal.h"

#include <stdio.h>
#include <string.h>

enum {
    CALL_MS = 10000,
    MOST_BYTES = 64 * 1024 * 1024, /* remote.h's default */
    NOISE_BYTES = 64 * 1024,       /* what a login shell may say before the begin mark */
    WORD_BYTES = 255,              /* core.sh, C1 */
};

uint64_t ferry_remote_now(const struct ferry_remote *remote)
{
    return remote->env->monotonic_us(remote->env->ctx);
}

int ferry_remote_left_ms(const struct ferry_remote *remote, uint64_t deadline_us)
{
    uint64_t now = ferry_remote_now(remote);
    if (now >= deadline_us)
        return 0;
    uint64_t ms = (deadline_us - now + 999) / 1000;
    return ms > 600000 ? 600000 : (int)ms;
}

static uint64_t deadline_of(const struct ferry_remote *remote, unsigned timeout_ms)
{
    return ferry_remote_now(remote) + 1000ull * (timeout_ms ? timeout_ms : CALL_MS);
}

/* ---- Bytes. ---- */

void ferry_remote_bytes_add(struct ferry_remote_bytes *b, const void *bytes, size_t n)
{
    if (n > b->most - b->n) {
        b->over = true;
        n = b->most - b->n;
    }
    if (b->n + n + 1 > b->room) {
        size_t room = b->room ? b->room : 4096;
        while (room < b->n + n + 1)
            room *= 2;
        if (room > b->most + 1)
            room = b->most + 1;
        b->v = ferry_realloc(b->v, room, 1);
        b->room = room;
    }
    memcpy(b->v + b->n, bytes, n);
    b->n += n;
    b->v[b->n] = '\0';
}

void ferry_remote_bytes_drop(struct ferry_remote_bytes *b, size_t n)
{
    if (!b->v)
        return;
    memmove(b->v, b->v + n, b->n - n + 1);
    b->n -= n;
}

static void limit(struct ferry_remote_bytes *b, size_t most)
{
    b->most = most ? most : MOST_BYTES;
    if (b->n > b->most)
        b->over = true;
}

void ferry_remote_quote(const char *bytes, size_t n, char *buf, size_t size)
{
    size_t k = 0;
    if (size > 200)
        size = 200;
    while (n && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
        n--;
    for (size_t i = 0; i < n && k + 1 < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        buf[k++] = c == '\n' || c == '\t' ? ' ' : c < ' ' || c > '~' ? '?' : (char)c;
    }
    buf[k] = '\0';
    if (n > k && k > 3)
        memcpy(buf + k - 3, "...", 3);
}

/* ---- What is sent. ---- */

static bool plain(const char *word)
{
    static const char signs[] = "_./:@%+=,-";
    size_t n = strlen(word);
    if (!n || n > WORD_BYTES || (*word == '-' && n > 1))
        return false;
    for (; *word; word++)
        if (!((*word >= 'A' && *word <= 'Z') || (*word >= 'a' && *word <= 'z') ||
              (*word >= '0' && *word <= '9') || strchr(signs, *word)))
            return false;
    return true;
}

static int check_words(const char *verb, const char *const *words, size_t n, struct ferry_err *err) /* P1 */
{
    char shown[80];
    if (strlen(verb) > 32 || !plain(verb)) {
        ferry_remote_quote(verb, strlen(verb), shown, sizeof shown);
        return ferry_error(err, FERRY_EIO, "'%s' is no verb: nothing was sent", shown);
    }
    for (size_t i = 0; i < n && words[i]; i++)
        if (!plain(words[i])) {
            ferry_remote_quote(words[i], strlen(words[i]), shown, sizeof shown);
            return ferry_error(
                err, FERRY_EIO,
                "the word '%s' has characters that are never sent to a router, or is longer than %d "
                "bytes: nothing was sent",
                shown, WORD_BYTES);
        }
    return 0;
}

static void unlink_process(struct ferry_remote_process *p)
{
    struct ferry_remote_process **at = &p->remote->processes;
    while (*at && *at != p)
        at = &(*at)->next;
    if (*at)
        *at = p->next;
}

void ferry_remote_kill(struct ferry_remote_process *p)
{
    if (!p)
        return;
    p->remote->transport->end(p);
    unlink_process(p);
    free(p->out.v);
    free(p->err.v);
    free(p);
}

static void kill_pointer(struct ferry_remote_process **p)
{
    ferry_remote_kill(*p);
}

/* `n_input` 0: the script does not wait for input before it runs the verb. */
static int start(struct ferry_remote *remote, const char *verb, const char *const *words, size_t n_words,
                 size_t n_input, uint64_t deadline_us, struct ferry_remote_process **ret,
                 struct ferry_err *err)
{
    char nonce[64], bytes[24] = "";
    const char *line[12] = {"ferry-router", nonce, verb};
    int result = check_words(verb, words, n_words, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < n_words && words[i]; i++)
        line[3 + i] = words[i];
    FERRY_CLEANUP(kill_pointer) struct ferry_remote_process *p = ferry_calloc(1, sizeof *p);
    p->remote = remote;
    p->next = remote->processes;
    remote->processes = p;
    p->status = -1;
    p->pidfd = p->in_fd = p->out_fd = p->err_fd = -1;
    limit(&p->out, 0);
    limit(&p->err, 0);
    snprintf(p->verb, sizeof p->verb, "%s", verb);
    snprintf(p->nonce, sizeof p->nonce, "%016llx", (unsigned long long)remote->env->random(remote->env->ctx));
    if (n_input)
        snprintf(bytes, sizeof bytes, ":%zu", n_input);
    snprintf(nonce, sizeof nonce, "@%s%s%s%s", p->nonce, bytes, *remote->claim ? "/" : "", remote->claim);
    result = remote->transport->start(remote, p, line, deadline_us, err);
    if (result < 0)
        return result;
    *ret = FERRY_STEAL(p);
    return 0;
}

/* ---- What comes back. ---- */

/* Takes what stands before the begin mark, and the mark, off the output. */
static void look_for_begin(struct ferry_remote_process *p)
{
    char mark[48];
    int n = snprintf(mark, sizeof mark, "ferry-begin %s\n", p->nonce);
    if (p->begun || !p->out.n)
        return;
    char *at = memmem(p->out.v, p->out.n, mark, (size_t)n);
    if (at) {
        p->begun = true;
        ferry_remote_bytes_drop(&p->out, (size_t)(at - p->out.v) + (size_t)n);
    } else if (p->out.n > NOISE_BYTES) {
        p->out.over = true;
    }
}

/* Waits for anything.  1: the deadline has passed. */
static int step(struct ferry_remote_process *p, bool writing, uint64_t deadline_us, struct ferry_err *err)
{
    if (!ferry_remote_left_ms(p->remote, deadline_us))
        return 1;
    int result = p->remote->transport->step(p, writing, deadline_us, err); /* P4 */
    if (result < 0)
        return result;
    look_for_begin(p);
    if (p->out.over || p->err.over) {
        const struct ferry_remote_bytes *b = p->out.over ? &p->out : &p->err;
        return ferry_error(err, FERRY_EUNKNOWN, "%s: it says more than %zu bytes%s", p->verb,
                           p->out.over && !p->begun ? (size_t)NOISE_BYTES : b->most,
                           p->out.over && !p->begun ? " before it begins" : "");
    }
    return 0;
}

static bool over(const struct ferry_remote_process *p)
{
    return p->out.ended && p->err.ended && p->exited;
}

/* What to say where it ended otherwise than a verb ends. */
static int odd_end(const struct ferry_remote_process *p, struct ferry_err *err)
{
    char shown[200];
    const struct ferry_remote_bytes *said = p->err.n ? &p->err : &p->out;
    ferry_remote_quote(said->v ? said->v : "", said->n, shown, sizeof shown);
    if (!p->begun && p->status >= 0) /* P3 */
        return ferry_error(err, FERRY_EIO, "%s was not run there (exit status %d)%s%s", p->verb, p->status,
                           *shown ? ": " : "", shown);
    return ferry_error(err, FERRY_EUNKNOWN, "%s: the answer was cut off%s%s", p->verb, *shown ? ": " : "",
                       shown);
}

/* Takes the end mark off the output; the status in it, or an error. */
static int take_end(struct ferry_remote_process *p, struct ferry_err *err) /* P2 */
{
    char mark[64];
    if (!p->begun || p->status < 0)
        return odd_end(p, err);
    size_t n = (size_t)snprintf(mark, sizeof mark, "\nferry-end %s %d\n", p->nonce, p->status);
    if (p->out.n < n || memcmp(p->out.v + p->out.n - n, mark, n) != 0)
        return odd_end(p, err);
    p->out.n -= n;
    p->out.v[p->out.n] = '\0';
    return p->status;
}

static char *take_bytes(struct ferry_remote_bytes *b)
{
    return b->v ? FERRY_STEAL(b->v) : ferry_calloc(1, 1);
}

/* Sends the rest of the input, ends it, and waits for the end of the verb. */
static int run_to_end(struct ferry_remote_process *p, const char *input, size_t n_input, uint64_t deadline_us,
                      struct ferry_remote_reply *ret, struct ferry_err *err)
{
    const struct ferry_remote_transport *t = p->remote->transport;
    bool lost = false, counted = n_input > 0;
    while (!over(p)) {
        if (n_input && !lost) {
            ssize_t taken = t->write(p, input, n_input);
            lost = taken < 0; /* it reads no more: how it ends will tell */
            input += lost ? 0 : taken;
            n_input -= lost ? 0 : (size_t)taken;
        }
        if (!p->input_ended && (lost || !n_input)) {
            p->input_ended = true;
            t->end_input(p);
        }
        int result = step(p, n_input && !lost, deadline_us, err);
        if (result > 0)
            result = ferry_error(err, FERRY_EUNKNOWN, "%s: no end of the answer in time%s", p->verb,
                                 p->begun ? "" : ", nor a beginning");
        if (result < 0) /* P3 */
            return counted && n_input && result == -FERRY_EUNKNOWN ? -FERRY_EIO : result;
    }
    int status = take_end(p, err);
    if (status < 0)
        return status;
    *ret = (struct ferry_remote_reply){.n_out = p->out.n, .n_err = p->err.n, .status = status};
    ret->out = take_bytes(&p->out);
    ret->err = take_bytes(&p->err);
    return 0;
}

void ferry_remote_reply_clear(struct ferry_remote_reply *reply)
{
    free(reply->out);
    free(reply->err);
    *reply = (struct ferry_remote_reply){0};
}

int ferry_remote_call(struct ferry_remote *remote, const struct ferry_remote_call *call,
                      struct ferry_remote_reply *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(kill_pointer) struct ferry_remote_process *p = NULL;
    uint64_t deadline_us = deadline_of(remote, call->timeout_ms);
    int result =
        start(remote, call->verb, call->words, FERRY_COUNT(call->words), call->n_input, deadline_us, &p, err);
    if (result < 0)
        return result;
    limit(&p->out, call->most_bytes);
    limit(&p->err, call->most_bytes);
    return run_to_end(p, call->input, call->n_input, deadline_us, ret, err);
}

int ferry_remote_start(struct ferry_remote *remote, const char *verb, const char *const *words,
                       size_t n_words, struct ferry_remote_process **ret, struct ferry_err *err)
{
    return start(remote, verb, words, n_words, 0, deadline_of(remote, 0), ret, err);
}

int ferry_remote_send(struct ferry_remote_process *p, const void *bytes, size_t n, unsigned timeout_ms,
                      struct ferry_err *err)
{
    const char *at = bytes;
    size_t left = n;
    uint64_t deadline_us = deadline_of(p->remote, timeout_ms);
    while (left) {
        ssize_t taken = p->remote->transport->write(p, at, left);
        if (taken < 0 || over(p))
            return ferry_error(err, left == n ? FERRY_EIO : FERRY_EUNKNOWN, "%s: it has ended", p->verb);
        at += taken;
        left -= (size_t)taken;
        if (!left)
            return 0;
        int result = step(p, true, deadline_us, err);
        if (result > 0)
            result = ferry_error(err, FERRY_EUNKNOWN, "%s: it does not read its input", p->verb);
        if (result < 0)
            return result;
    }
    return 0;
}

int ferry_remote_expect(struct ferry_remote_process *p, const char *mark, size_t most_bytes,
                        unsigned timeout_ms, char **ret, size_t *ret_n, struct ferry_err *err)
{
    size_t n_mark = strlen(mark);
    uint64_t deadline_us = deadline_of(p->remote, timeout_ms);
    limit(&p->out, most_bytes);
    p->n_searched = 0;
    for (;;) {
        char *at = p->begun && p->out.n > p->n_searched
                       ? memmem(p->out.v + p->n_searched, p->out.n - p->n_searched, mark, n_mark)
                       : NULL;
        if (at) {
            size_t n = (size_t)(at - p->out.v);
            char *found = ferry_calloc(n + 1, 1);
            memcpy(found, p->out.v, n);
            ferry_remote_bytes_drop(&p->out, n + n_mark);
            *ret = found;
            *ret_n = n;
            return 0;
        }
        p->n_searched = p->begun && p->out.n >= n_mark ? p->out.n - n_mark + 1 : 0;
        if (over(p) || p->out.ended)
            return odd_end(p, err);
        int result = step(p, false, deadline_us, err);
        if (result > 0)
            result = ferry_error(err, FERRY_EUNKNOWN, "%s: no answer in time", p->verb);
        if (result < 0)
            return result;
    }
}

bool ferry_remote_ended(struct ferry_remote_process *p, unsigned patience_ms)
{
    struct ferry_err ignored;
    uint64_t deadline_us = ferry_remote_now(p->remote) + 1000ull * patience_ms + 1;
    int result = 0;
    if (!p->input_ended) {
        p->input_ended = true;
        p->remote->transport->end_input(p);
    }
    while (!over(p) && !result)
        result = step(p, false, deadline_us, &ignored);
    return over(p) || result < 0;
}

int ferry_remote_finish(struct ferry_remote_process *p, unsigned timeout_ms, size_t most_bytes,
                        struct ferry_remote_reply *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(kill_pointer) struct ferry_remote_process *mine = p;
    limit(&mine->out, most_bytes);
    limit(&mine->err, most_bytes);
    return run_to_end(mine, NULL, 0, deadline_of(mine->remote, timeout_ms), ret, err);
}
