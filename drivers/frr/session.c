/* The conversation with a router: a kept vtysh that is asked, a kept shell that lends a hand, and a vtysh -f that
 * waits for the next lines.
 *
 *  S1. The kept vtysh hears `show` commands of this driver and comments, nothing else: no text of a topology reaches
 *      it but prefixes and table numbers in their binary form's spelling.
 *  S2. An answer is what stands between two comment lines with a nonce that only this question has.  What does not
 *      begin and end so is no answer: the process is killed, and a new one is asked once.
 *  S3. Lines are sent to a writer once.  Whether it took them or not, they are never sent again here.
 *  S4. Writers are started in one go, ahead, and again only when fewer are left than a stage needs: one that is started
 *      between detach and attach is not there in time, and takes the processor from those that work.
 *
 * Measured on FRR 8.4: a vtysh costs 25 to 30 ms to start, a kept one answers in 0.2 to 2 ms; a waiting `vtysh -f` has
 * sent XFRR_start_configuration and hinders nobody, but for bgpd's leaking between VRFs: so it waits a short time only,
 * and ends by itself (router/frr.sh).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

enum {
    ANSWER_MS = 3000,       /* a stopped daemon hangs vtysh */
    ANSWER_MAX = 256 << 20, /* bytes: 1,000,000 routes as JSON are more; nobody asks for them */
    RETRY_US = 1000000,
    WRITE_MS =
        4500, /* below the engine's patience; and 0.2 ms a static route: FRR takes 11 s where there are 50,000 */
    WARM_US = 15 * 1000 * 1000 /* less than the script lets it wait */
};

static const char *pathspace(const struct ferry_frr *d)
{
    return d->config.pathspace && *d->config.pathspace ? d->config.pathspace : "-";
}

static void drop(struct ferry_remote_process **p)
{
    ferry_remote_kill(*p);
    *p = NULL;
}

static int open_process(struct ferry_frr *d, const char *verb, struct ferry_remote_process **p,
                        struct ferry_err *err)
{
    return *p ? 0 : ferry_remote_start(d->remote, verb, pathspace(d), p, err);
}

/* The lines between the marks, without the echo of the question and the prompt at the end. */
static int frame(const char *answer, size_t n, const char *begin, bool echo, char **ret, size_t *ret_n,
                 struct ferry_err *err)
{
    const char *from = memmem(answer, n, begin, strlen(begin)), *end = answer + n;
    from = from ? memchr(from, '\n', (size_t)(end - from)) : NULL;
    if (from && echo)
        from = memchr(from + 1, '\n', (size_t)(end - from - 1));
    const char *last = from ? memrchr(from, '\n', (size_t)(end - from)) : NULL;
    if (!last)
        return ferry_error(err, FERRY_EIO, "an answer without its beginning");
    size_t length = (size_t)(last - from);
    char *text = ferry_calloc(length + 2, 1);
    memcpy(text, from + 1, length);
    if (memchr(text, 0, length)) {
        free(text);
        return ferry_error(err, FERRY_EIO, "an answer with NULs in it");
    }
    *ret = text;
    *ret_n = length;
    return 0;
}

static int ask_once(struct ferry_frr *d, const char *verb, struct ferry_remote_process **p,
                    const char *question, char **ret, size_t *ret_n, struct ferry_err *err)
{
    bool vtysh = p == &d->show;
    char begin[48], end[48], *answer = NULL;
    uint64_t nonce = d->env->random(d->env->ctx);
    snprintf(begin, sizeof begin, "ferry-%016" PRIx64 "-a", nonce);
    snprintf(end, sizeof end, "%sferry-%016" PRIx64 "-z", vtysh ? "! " : "", nonce);
    size_t n_answer;
    int result = open_process(d, verb, p, err);
    if (result < 0)
        return result;
    FERRY_AUTOFREE char *sent = vtysh ? ferry_asprintf("! %s\n%s\n%s\n", begin, question, end)
                                      : ferry_asprintf("%s %s %s\n", begin, end, question);
    result = ferry_remote_send(*p, sent, strlen(sent), ANSWER_MS, err);
    if (!result)
        result = ferry_remote_expect(*p, end, ANSWER_MAX, ANSWER_MS, &answer, &n_answer, err);
    if (!result)
        result = frame(answer, n_answer, begin, vtysh, ret, ret_n, err);
    /* vtysh lost a daemon, and leaves out that one's part without another word; its complaint comes unbuffered, before or
     * within the answer. */
    static const char lost[] = "closing connection to ", found[] = "connecting to ";
    if (!result && vtysh &&
        (memmem(answer, n_answer, lost, sizeof lost - 1) ||
         memmem(answer, n_answer, found, sizeof found - 1))) {
        free(FERRY_STEAL(*ret));
        result = ferry_error(err, FERRY_EIO, "vtysh lost one of FRR's daemons");
    }
    free(answer);
    if (result < 0)
        drop(p);
    return result;
}

static int ask(struct ferry_frr *d, const char *verb, struct ferry_remote_process **p, const char *question,
               char **ret, size_t *ret_n, struct ferry_err *err)
{
    bool kept = *p;
    uint64_t begun = d->env->monotonic_us(d->env->ctx);
    int result = ask_once(d, verb, p, question, ret, ret_n, err);
    /* It may have stood there while a daemon was restarted; a daemon that is silent will be silent again. */
    if (result < 0 && kept && d->env->monotonic_us(d->env->ctx) - begun < RETRY_US)
        result = ask_once(d, verb, p, question, ret, ret_n, err);
    return result < 0 ? ferry_error_prefix(err, -FERRY_EIO, "%s: %.60s", verb, question) : 0;
}

int ferry_frr_show(struct ferry_frr *d, const char *command, char **ret, size_t *ret_n, struct ferry_err *err)
{
    return ask(d, "frr_show", &d->show, command, ret, ret_n, err);
}

int ferry_frr_hand(struct ferry_frr *d, const char *line, char **ret, size_t *ret_n, struct ferry_err *err)
{
    return ask(d, "frr_hand", &d->hand, line, ret, ret_n, err);
}

int ferry_frr_json(const char *text, size_t n,
                   int (*each)(void *ctx, struct json_object *document, struct ferry_err *err), void *ctx,
                   struct ferry_err *err)
{
    struct json_tokener *tokener = json_tokener_new_ex(32);
    int result = 0;
    for (size_t at = 0; !result;) {
        while (at < n && strchr(" \t\r\n", text[at]))
            at++;
        if (at == n)
            break;
        json_tokener_reset(tokener);
        struct json_object *document = json_tokener_parse_ex(tokener, text + at, (int)(n - at));
        if (!document)
            result = ferry_error(err, FERRY_EIO, "an answer that is no JSON: %.60s", text + at);
        else
            result = each(ctx, document, err);
        at += json_tokener_get_parse_end(tokener);
        json_object_put(document);
    }
    json_tokener_free(tokener);
    return result;
}

int ferry_frr_show_json(struct ferry_frr *d, const char *command,
                        int (*each)(void *ctx, struct json_object *document, struct ferry_err *err),
                        void *ctx, struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = NULL;
    size_t n;
    int result = ferry_frr_show(d, command, &text, &n, err);
    return result < 0 ? result : ferry_frr_json(text, n, each, ctx, err);
}

/* ---- Writing. ---- */

static bool waits(const struct ferry_frr *d, size_t i, uint64_t now)
{
    return d->writer[i] && now - d->writer_since_us[i] <= WARM_US;
}

/* S4. */
int ferry_frr_warm(struct ferry_frr *d, struct ferry_err *err)
{
    uint64_t now = d->env->monotonic_us(d->env->ctx);
    size_t n = 0;
    for (size_t i = 0; i < FERRY_FRR_WRITERS; i++)
        n += waits(d, i, now);
    for (size_t i = 0; i < FERRY_FRR_WRITERS && n < FERRY_FRR_FILES; i++) {
        if (waits(d, i, now))
            continue;
        drop(&d->writer[i]);
        int result = open_process(d, "frr_write", &d->writer[i], err);
        if (result < 0)
            return result;
        d->writer_since_us[i] = now;
    }
    return 0;
}

/* The only words of vtysh that are no complaint. */
static bool harmless(const char *line)
{
    return !*line || !strcmp(line, "Note: this version of vtysh never writes vtysh.conf");
}

/* The one that has waited longest is surely there; an empty place where none waits. */
static size_t oldest(const struct ferry_frr *d)
{
    uint64_t now = d->env->monotonic_us(d->env->ctx);
    size_t best = 0;
    for (size_t i = 1; i < FERRY_FRR_WRITERS; i++)
        if (waits(d, i, now) && (!waits(d, best, now) || d->writer_since_us[i] < d->writer_since_us[best]))
            best = i;
    return best;
}

int ferry_frr_write(struct ferry_frr *d, const struct ferry_frr_text *lines, char **ret_said,
                    struct ferry_err *err)
{
    struct ferry_remote_reply reply = {0};
    size_t which = oldest(d);
    if (!waits(d, which, d->env->monotonic_us(d->env->ctx)))
        drop(&d->writer[which]);
    int result = open_process(d, "frr_write", &d->writer[which], err);
    if (result < 0)
        return -FERRY_EIO;
    struct ferry_remote_process *p = FERRY_STEAL(d->writer[which]);
    result = ferry_remote_send(p, lines->v, lines->n, ANSWER_MS, err);
    if (!result && ferry_remote_send(p, FERRY_REMOTE_WHOLE, strlen(FERRY_REMOTE_WHOLE), ANSWER_MS, err) < 0)
        result = -FERRY_EUNKNOWN; /* perhaps it did come */
    if (result < 0) {
        ferry_remote_kill(p);
        return result;
    }
    result = ferry_remote_finish(p, WRITE_MS + (d->running ? (unsigned)(d->running->n_statics / 5) : 0),
                                 1 << 20, &reply, err);
    if (result < 0)
        return -FERRY_EUNKNOWN;
    struct ferry_frr_text said = {0};
    if (reply.status)
        ferry_frr_text_add(&said, "vtysh ended with status %d", reply.status);
    char *parts[] = {reply.out, reply.err};
    for (size_t i = 0; i < FERRY_COUNT(parts); i++) {
        char *rest = NULL;
        for (char *line = strtok_r(parts[i], "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            if (!harmless(line) && said.n < 600)
                ferry_frr_text_add(&said, "%s%s", said.n ? "; " : "", line);
    }
    ferry_remote_reply_clear(&reply);
    *ret_said = said.v ? said.v : ferry_strdup("");
    return 0;
}

void ferry_frr_cool(struct ferry_frr *d)
{
    for (size_t i = 0; i < FERRY_FRR_WRITERS; i++)
        drop(&d->writer[i]);
}

void ferry_frr_hang_up(struct ferry_frr *d)
{
    drop(&d->show);
    drop(&d->hand);
    ferry_frr_cool(d);
}
