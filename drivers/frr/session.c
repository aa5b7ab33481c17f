/* The conversation with a router: a kept vtysh and kept `ip`s that are asked, a kept shell that lends a hand, and a
 * vtysh -f that waits for the next lines.
 *
 *  S1. The kept vtysh hears `show` commands of this driver and comments, nothing else, the kept `ip`s the driver's own
 *      words: no text of a topology reaches them but prefixes and table numbers in their binary form's spelling.
 *  S2. An answer is what stands between two lines with a nonce that only this question has.  What does not begin and
 *      end so is no answer: the process is killed, and a new one is asked once.
 *  S3. Lines are sent to a writer once.  Whether it took them or not, they are never sent again here.
 *  S4. Writers are started ahead, enough for an outage and the stages around it, and again only where fewer
 *      are left than a stage needs and the plan has more for this router (each costs it 75 ms of processor
 *      time): one that is started between detach and attach is not there in time, and takes the processor
 *      from those that work.
 *  S5. A question may be asked ahead, so that several travel together.  Its answer counts only within the
 *      slot that asked (ferry_frr_forget), and not once lines were sent since: it is never older than what it
 *      is taken to say.
 *
 * Measured on FRR 8.4: a vtysh costs 25 to 30 ms to start, a kept one answers in 0.2 to 2 ms, an `ip` 4 ms, a kept one
 * in 0.2 ms; a waiting `vtysh -f` has
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

/* The lock is the kept shell's, and goes with it. */
void ferry_frr_lose(struct ferry_frr *d, enum ferry_frr_talks which)
{
    drop(&d->talk[which].process);
    d->talk[which].n_ahead = 0;
    d->locked &= which != FERRY_FRR_HAND;
}

static int open_process(struct ferry_frr *d, const char *verb, struct ferry_remote_process **p,
                        struct ferry_err *err)
{
    const char *words[] = {pathspace(d)};
    return *p ? 0 : ferry_remote_start(d->remote, verb, words, FERRY_COUNT(words), p, err);
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

/* How each of those that are kept is called, begins an answer, and says a line that means nothing. */
static const struct {
    const char *verb, *mark;
    bool echo; /* the line after the first mark is no answer */
} manners[FERRY_FRR_TALKS] = {
    [FERRY_FRR_SHOW] = {"frr_show", "! ", true}, /* a comment, and the echo of the question */
    [FERRY_FRR_HAND] = {"frr_hand", "", false},
    [FERRY_FRR_IP4] = {"frr_ip4", "", true}, /* "Object … is unknown", and "Command failed" */
    [FERRY_FRR_IP6] = {"frr_ip6", "", true},
};

static int put(struct ferry_frr *d, enum ferry_frr_talks which, const char *question, uint64_t nonce,
               struct ferry_err *err)
{
    struct ferry_frr_talk *t = &d->talk[which];
    const char *mark = manners[which].mark;
    int result = open_process(d, manners[which].verb, &t->process, err);
    if (result < 0)
        return result;
    FERRY_AUTOFREE char *sent =
        which == FERRY_FRR_HAND
            ? ferry_asprintf("ferry-%016" PRIx64 "-a ferry-%016" PRIx64 "-z %s\n", nonce, nonce, question)
            : ferry_asprintf("%sferry-%016" PRIx64 "-a\n%s\n%sferry-%016" PRIx64 "-z\n", mark, nonce,
                             question, mark, nonce);
    return ferry_remote_send(t->process, sent, strlen(sent), ANSWER_MS, err);
}

static int hear(struct ferry_frr *d, enum ferry_frr_talks which, uint64_t nonce, char **ret, size_t *ret_n,
                struct ferry_err *err)
{
    char begin[48], end[48], *answer = NULL;
    size_t n_answer;
    snprintf(begin, sizeof begin, "ferry-%016" PRIx64 "-a", nonce);
    snprintf(end, sizeof end, "%sferry-%016" PRIx64 "-z", manners[which].mark, nonce);
    int result =
        ferry_remote_expect(d->talk[which].process, end, ANSWER_MAX, ANSWER_MS, &answer, &n_answer, err);
    if (!result)
        result = frame(answer, n_answer, begin, manners[which].echo, ret, ret_n, err);
    /* vtysh lost a daemon, and leaves out that one's part without another word; its complaint comes
     * unbuffered, before or within the answer. */
    static const char lost[] = "closing connection to ", found[] = "connecting to ";
    if (!result && which == FERRY_FRR_SHOW &&
        (memmem(answer, n_answer, lost, sizeof lost - 1) ||
         memmem(answer, n_answer, found, sizeof found - 1))) {
        free(FERRY_STEAL(*ret));
        result = ferry_error(err, FERRY_EIO, "vtysh lost one of FRR's daemons");
    }
    free(answer);
    return result;
}

static int ask_once(struct ferry_frr *d, enum ferry_frr_talks which, const char *question, char **ret,
                    size_t *ret_n, struct ferry_err *err)
{
    uint64_t nonce = d->env->random(d->env->ctx);
    d->talk[which].n_ahead = 0; /* what was asked ahead and not wanted stands before this answer */
    int result = put(d, which, question, nonce, err);
    if (!result)
        result = hear(d, which, nonce, ret, ret_n, err);
    if (result < 0)
        ferry_frr_lose(d, which);
    return result;
}

/* S5: whether the question is on its way; those before it are not wanted any more. */
static bool asked_ahead(struct ferry_frr_talk *t, const char *question, uint64_t *ret_nonce)
{
    for (size_t i = 0; i < t->n_ahead; i++)
        if (!strcmp(t->ahead[i].question, question)) {
            *ret_nonce = t->ahead[i].nonce;
            t->n_ahead -= i + 1;
            memmove(t->ahead, t->ahead + i + 1, t->n_ahead * sizeof *t->ahead);
            return true;
        }
    return false;
}

static int ask(struct ferry_frr *d, enum ferry_frr_talks which, const char *question, char **ret,
               size_t *ret_n, struct ferry_err *err)
{
    struct ferry_frr_talk *t = &d->talk[which];
    bool kept = t->process;
    uint64_t begun = d->env->monotonic_us(d->env->ctx), nonce;
    int result;
    if (asked_ahead(t, question, &nonce)) {
        result = hear(d, which, nonce, ret, ret_n, err);
        if (result < 0)
            ferry_frr_lose(d, which);
    } else
        result = ask_once(d, which, question, ret, ret_n, err);
    /* It may have stood there while a daemon was restarted; a daemon that is silent will be silent again. */
    if (result < 0 && kept && d->env->monotonic_us(d->env->ctx) - begun < RETRY_US)
        result = ask_once(d, which, question, ret, ret_n, err);
    return result < 0 ? ferry_error_prefix(err, -FERRY_EIO, "%s: %.60s", manners[which].verb, question) : 0;
}

/* Sent, and its answer left where it stands: before the next one, where nobody looks (frame). */
static bool tell(struct ferry_frr *d, enum ferry_frr_talks which, const char *question, uint64_t *ret_nonce)
{
    struct ferry_err ignored; /* whoever asks in earnest will hear of it */
    *ret_nonce = d->env->random(d->env->ctx);
    if (put(d, which, question, *ret_nonce, &ignored) == 0)
        return true;
    ferry_frr_lose(d, which);
    return false;
}

void ferry_frr_tell(struct ferry_frr *d, enum ferry_frr_talks which, const char *line)
{
    uint64_t nonce;
    (void)tell(d, which, line, &nonce);
}

void ferry_frr_ahead(struct ferry_frr *d, enum ferry_frr_talks which, const char *question)
{
    struct ferry_frr_talk *t = &d->talk[which];
    uint64_t nonce;
    if (t->n_ahead == FERRY_COUNT(t->ahead) || strlen(question) >= sizeof t->ahead->question ||
        !tell(d, which, question, &nonce))
        return;
    t->ahead[t->n_ahead].nonce = nonce;
    strcpy(t->ahead[t->n_ahead++].question, question);
}

void ferry_frr_forget(struct ferry_frr *d)
{
    for (size_t i = 0; i < FERRY_FRR_TALKS; i++)
        d->talk[i].n_ahead = 0;
}

int ferry_frr_show(struct ferry_frr *d, const char *command, char **ret, size_t *ret_n, struct ferry_err *err)
{
    return ask(d, FERRY_FRR_SHOW, command, ret, ret_n, err);
}

int ferry_frr_hand(struct ferry_frr *d, const char *line, char **ret, size_t *ret_n, struct ferry_err *err)
{
    return ask(d, FERRY_FRR_HAND, line, ret, ret_n, err);
}

int ferry_frr_ip(struct ferry_frr *d, uint8_t family, const char *line, char **ret, size_t *ret_n,
                 struct ferry_err *err)
{
    return ask(d, ferry_frr_ip_of(family), line, ret, ret_n, err);
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

/* An interface that the configuration has a block of: entering that changes nothing.  NULL: none is known. */
static const char *any_interface(const struct ferry_frr *d)
{
    static const char header[] = "interface ";
    for (size_t i = 0; d->running && i < d->running->n_blocks; i++) {
        const char *name = d->running->blocks[i].header + sizeof header - 1;
        if (!strncmp(d->running->blocks[i].header, header, sizeof header - 1) && ferry_frr_name_fits(name))
            return name;
    }
    return NULL;
}

static int open_writer(struct ferry_frr *d, size_t i, struct ferry_err *err)
{
    const char *words[] = {pathspace(d), any_interface(d)};
    return d->writer[i]
               ? 0
               : ferry_remote_start(d->remote, "frr_write", words, words[1] ? 2 : 1, &d->writer[i], err);
}

static bool waits(const struct ferry_frr *d, size_t i, uint64_t now)
{
    return d->writer[i] && now - d->writer_since_us[i] <= WARM_US;
}

/* S4. */
int ferry_frr_warm(struct ferry_frr *d, size_t wanted, struct ferry_err *err)
{
    uint64_t now = d->env->monotonic_us(d->env->ctx);
    size_t n = 0;
    if (d->wrote && ferry_remote_ended(d->wrote, 0))
        drop(&d->wrote);
    for (size_t i = 0; i < FERRY_FRR_WRITERS; i++)
        n += waits(d, i, now);
    for (size_t i = 0; i < FERRY_FRR_WRITERS && n < wanted; i++) {
        if (waits(d, i, now))
            continue;
        n++;
        drop(&d->writer[i]);
        int result = open_writer(d, i, err);
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

int ferry_frr_write_start(struct ferry_frr *d, const struct ferry_frr_text *lines,
                          struct ferry_remote_process **ret, struct ferry_err *err)
{
    size_t which = oldest(d);
    ferry_frr_forget(d);
    if (!waits(d, which, d->env->monotonic_us(d->env->ctx)))
        drop(&d->writer[which]);
    int result = open_writer(d, which, err);
    if (result < 0)
        return -FERRY_EIO;
    struct ferry_remote_process *p = FERRY_STEAL(d->writer[which]);
    d->running_since_us = 0; /* what was read is not so any more */
    result = ferry_remote_send(p, lines->v, lines->n, ANSWER_MS, err);
    if (!result && ferry_remote_send(p, FERRY_REMOTE_WHOLE, strlen(FERRY_REMOTE_WHOLE), ANSWER_MS, err) < 0)
        result = -FERRY_EUNKNOWN; /* perhaps it did come */
    if (result < 0) {
        ferry_remote_kill(p);
        return result;
    }
    *ret = p;
    return 0;
}

int ferry_frr_write_end(struct ferry_frr *d, struct ferry_remote_process *p, char **ret_said,
                        struct ferry_err *err)
{
    struct ferry_remote_reply reply = {0};
    ferry_frr_forget(d);
    int result = ferry_remote_finish(p, WRITE_MS + (d->running ? (unsigned)(d->running->n_statics / 5) : 0),
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
    drop(&d->wrote);
}

void ferry_frr_hang_up(struct ferry_frr *d)
{
    for (size_t i = 0; i < FERRY_FRR_TALKS; i++)
        ferry_frr_lose(d, (enum ferry_frr_talks)i);
    ferry_frr_cool(d);
}
