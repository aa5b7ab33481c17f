/* The conversation with the router's ip: one shell there that stays (router/ip.sh), several questions in one exchange.
 *
 *  Q1. Routes and addresses are asked for as the kernel's own messages (`ip route save`): the words of ip, JSON too, do
 *      not say everything (locks of metrics), and some of them twice (the `dst` of a route and of its encapsulation).
 *  Q2. Nothing that comes is believed to be as long as it says: lengths are checked against what is there, JSON is read
 *      by the strict reader.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "base/mem.h"
#include "model/json.h"

#include <stdarg.h>
#include <stdio.h>

#define MARK    "\n@ip "
#define ERR_END "\n@err\n"

void ferry_iproute_list_add(struct ferry_iproute_list *l, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->v[i], text))
            return;
    FERRY_GROW(l->v, l->n);
    l->v[l->n++] = ferry_strdup(text);
}

void ferry_iproute_list_clear(struct ferry_iproute_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}

void ferry_iproute_forget(struct ferry_iproute *d)
{
    for (size_t i = 0; i < d->n_answers; i++) {
        free(d->answers[i].command);
        free(d->answers[i].out);
        free(d->answers[i].err);
    }
    free(d->answers);
    d->answers = NULL;
    d->n_answers = 0;
}

const char *ferry_iproute_words(const char *err, char *buf, size_t size)
{
    static const char *const openings[] = {"RTNETLINK answers: ", "Error: "};
    for (size_t i = 0; i < FERRY_COUNT(openings); i++)
        if (!strncmp(err, openings[i], strlen(openings[i]))) {
            err += strlen(openings[i]);
            break;
        }
    size_t n = strcspn(err, "\n"), at = 0;
    for (size_t i = 0; i < n && at + 1 < size; i++)
        buf[at++] = err[i] >= ' ' && err[i] < 0x7f ? err[i] : '?';
    if (at && buf[at - 1] == '.')
        at--;
    buf[at] = '\0';
    return buf;
}

/* ---- One call. ---- */

bool ferry_iproute_saved(uint32_t magic)
{
    return magic == FERRY_IPROUTE_ROUTES || magic == FERRY_IPROUTE_ADDRESSES || magic == FERRY_IPROUTE_RULES;
}

/* Where the saved messages that begin at `at` end: they say themselves how long they are (Q2). */
static size_t end_of_saved(const char *out, size_t n, size_t at)
{
    uint32_t magic, bytes;
    if (n - at < sizeof magic)
        return at;
    memcpy(&magic, out + at, sizeof magic);
    if (!ferry_iproute_saved(magic))
        return at;
    at += sizeof magic;
    while (n - at >= sizeof bytes) {
        memcpy(&bytes, out + at, sizeof bytes);
        /* The mark, taken for a length, is more than a thousand million. */
        if (bytes < NLMSG_HDRLEN || bytes > n - at || NLMSG_ALIGN(bytes) > n - at)
            break;
        at += NLMSG_ALIGN(bytes);
    }
    return at;
}

static int start(struct ferry_iproute *d, struct ferry_err *err)
{
    return d->session ? 0 : ferry_remote_start(d->remote, "ip_session", NULL, 0, &d->session, err);
}

int ferry_iproute_talk(struct ferry_iproute *d, const char *what, const char *lines, size_t n, size_t n_lines,
                       char **ret, size_t *ret_n, struct ferry_err *err)
{
    unsigned long long nonce = d->base.env->random(d->base.env->ctx);
    FERRY_AUTOFREE char *bytes = ferry_calloc(1, n + 100);
    char mark[40];
    size_t head = (size_t)sprintf(bytes, "%s %016llx %zu\n", what, nonce, n_lines);
    memcpy(bytes + head, lines, n);
    head += n + (size_t)sprintf(bytes + head + n, "end %016llx\n", nonce);
    snprintf(mark, sizeof mark, "@done %016llx\n", nonce);
    int result = -FERRY_EIO;
    for (int i = 0; i < 2 && result == -FERRY_EIO;
         i++) { /* a session that has ended meanwhile took nothing */
        result = start(d, err);
        if (!result)
            result = ferry_remote_send(d->session, bytes, head, 0, err);
        if (result < 0)
            ferry_iproute_hang_up(d);
    }
    if (result < 0)
        return result;
    if (ferry_remote_expect(d->session, mark, (size_t)1 << 30, 0, ret, ret_n, err) < 0) {
        ferry_iproute_hang_up(d);
        return -FERRY_EUNKNOWN;
    }
    return 0;
}

void ferry_iproute_hang_up(struct ferry_iproute *d)
{
    ferry_remote_kill(d->session);
    d->session = NULL;
}

/* The status, one to three digits and the end of their line; returns what follows, or NULL. */
static const char *take_status(const char *at, const char *end, int *ret)
{
    int status = 0;
    const char *digits = at;
    for (; at < end && at - digits < 3 && *at >= '0' && *at <= '9'; at++)
        status = status * 10 + (*at - '0');
    if (at == digits || at == end || *at != '\n')
        return NULL;
    *ret = status;
    return at + 1;
}

bool ferry_iproute_part(const char *bytes, size_t n, size_t *at, struct ferry_iproute_part *ret)
{
    size_t from = end_of_saved(bytes, n, *at);
    const char *mark = memmem(bytes + from, n - from, MARK, strlen(MARK)), *end;
    ret->err = mark ? take_status(mark + strlen(MARK), bytes + n, &ret->status) : NULL;
    if (!ret->err)
        return false;
    end = memmem(ret->err, (size_t)(bytes + n - ret->err), ERR_END, strlen(ERR_END));
    if (!end)
        return false;
    ret->out = bytes + *at;
    ret->n_out = (size_t)(mark - ret->out);
    ret->n_err = (size_t)(end - ret->err);
    *at = (size_t)(end + strlen(ERR_END) - bytes);
    return true;
}

static void keep(struct ferry_iproute *d, const char *command, const struct ferry_iproute_part *part)
{
    FERRY_GROW(d->answers, d->n_answers);
    struct ferry_iproute_answer *a = &d->answers[d->n_answers++];
    memset(a, 0, sizeof *a);
    a->command = ferry_strdup(command);
    a->status = part->status;
    a->n_out = part->n_out;
    a->out = ferry_calloc(1, part->n_out + 1);
    memcpy(a->out, part->out, part->n_out);
    a->err = ferry_calloc(1, part->n_err + 1);
    memcpy(a->err, part->err, part->n_err);
}

int ferry_iproute_fetch(struct ferry_iproute *d, const struct ferry_iproute_list *commands,
                        struct ferry_err *err)
{
    FERRY_AUTOFREE char *input = NULL, *said = NULL;
    size_t n_input = 0, n_lines = 0, n_said = 0, at = 0;
    struct ferry_iproute_part part;
    for (size_t i = 0; i < commands->n; i++) {
        if (ferry_iproute_answer(d, commands->v[i]))
            continue;
        size_t n = strlen(commands->v[i]);
        input = ferry_realloc(input, n_input + n + 1, 1);
        memcpy(input + n_input, commands->v[i], n);
        n_input += n + 1;
        input[n_input - 1] = '\n';
        n_lines++;
    }
    if (!n_input)
        return 0;
    if (ferry_iproute_talk(d, "show", input, n_input, n_lines, &said, &n_said, err) < 0)
        return -FERRY_EIO; /* nothing was written */
    for (size_t i = 0; i < commands->n; i++) {
        if (ferry_iproute_answer(d, commands->v[i]))
            continue;
        if (!ferry_iproute_part(said, n_said, &at, &part))
            return ferry_error(err, FERRY_EIO, "the answer to 'ip %s' is broken", commands->v[i]);
        keep(d, commands->v[i], &part);
    }
    if (at != n_said)
        return ferry_error(err, FERRY_EIO, "ip said more than it was asked");
    return 0;
}

const struct ferry_iproute_answer *ferry_iproute_answer(const struct ferry_iproute *d, const char *command)
{
    for (size_t i = 0; i < d->n_answers; i++)
        if (!strcmp(d->answers[i].command, command))
            return &d->answers[i];
    return NULL;
}

int ferry_iproute_ask(struct ferry_iproute *d, const char *command, const struct ferry_iproute_answer **ret,
                      struct ferry_err *err)
{
    char *one = (char *)command;
    struct ferry_iproute_list list = {.v = &one, .n = 1};
    int result = ferry_iproute_fetch(d, &list, err);
    if (result < 0)
        return result;
    *ret = ferry_iproute_answer(d, command);
    return 0;
}

/* ---- Interfaces. ---- */

static int hear_link(struct ferry_iproute *d, struct ferry_json *doc, uint32_t object, struct ferry_err *err)
{
    struct ferry_iproute_link link = {.flags = IFF_RUNNING};
    uint32_t flags = FERRY_JSON_NONE;
    const char *name, *word, *group = "";
    int64_t index;
    if (ferry_json_need_string(doc, object, "ifname", &name, err) < 0 ||
        ferry_json_need_int(doc, object, "ifindex", 1, INT32_MAX, &index, err) < 0 ||
        ferry_json_need(doc, object, "flags", FERRY_JSON_ARRAY, &flags, err) < 0)
        return -FERRY_EIO;
    if (ferry_json_opt_string(doc, object, "group", &group, err) < 0)
        return -FERRY_EIO;
    link.group = strspn(group, "0123456789") == strlen(group) ? (uint32_t)strtoul(group, NULL, 10) : 0;
    link.enslaved = ferry_json_get(doc, object, "master") != FERRY_JSON_NONE;
    if (strlen(name) >= sizeof link.name)
        return ferry_error(err, FERRY_EIO, "an interface's name is too long");
    strcpy(link.name, name);
    link.index = (unsigned)index;
    FERRY_JSON_EACH(doc, flags, flag)
    {
        if (ferry_json_string(doc, flag, &word, err) < 0)
            return -FERRY_EIO;
        if (!strcmp(word, "UP"))
            link.flags |= IFF_UP;
        else if (!strcmp(word, "NO-CARRIER"))
            link.flags &= ~IFF_RUNNING;
    }
    FERRY_GROW(d->links, d->n_links);
    d->links[d->n_links++] = link;
    return 0;
}

int ferry_iproute_links(struct ferry_iproute *d, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    const struct ferry_iproute_answer *a;
    char words[200];
    int result = ferry_iproute_ask(d, "link show", &a, err);
    if (result < 0)
        return result;
    if (a->status)
        return ferry_error(err, FERRY_EIO, "ip cannot show the interfaces: %s",
                           ferry_iproute_words(a->err, words, sizeof words));
    if (ferry_json_parse("ip link", (char *)a->out, a->n_out, NULL, NULL, &doc, err) < 0 ||
        ferry_json_want(doc, FERRY_JSON_ROOT, FERRY_JSON_ARRAY, err) < 0)
        return -FERRY_EIO;
    d->n_links = 0;
    FERRY_JSON_EACH(doc, FERRY_JSON_ROOT, link)
    if (hear_link(d, doc, link, err) < 0)
        return -FERRY_EIO;
    return 0;
}
