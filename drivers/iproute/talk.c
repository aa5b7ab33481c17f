/* Questions to the router's ip: several in one call, their answers told apart.
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

#define MARK "\n@ip "

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

/* Where the saved messages that begin at `at` end: they say themselves how long they are (Q2). */
static size_t end_of_saved(const char *out, size_t n, size_t at)
{
    uint32_t magic, bytes;
    if (n - at < sizeof magic)
        return at;
    memcpy(&magic, out + at, sizeof magic);
    if (magic != FERRY_IPROUTE_ROUTES && magic != FERRY_IPROUTE_ADDRESSES)
        return at;
    at += sizeof magic;
    while (n - at >= sizeof bytes) {
        memcpy(&bytes, out + at, sizeof bytes);
        /* The mark, taken for a length, is more than a thousand million. */
        if (bytes < NLMSG_HDRLEN || NLMSG_ALIGN(bytes) > n - at)
            break;
        at += NLMSG_ALIGN(bytes);
    }
    return at;
}

/* Takes the answer to one command off the front of what is left. */
static bool take(struct ferry_iproute *d, const char *command, struct ferry_remote_reply *reply,
                 size_t *out_at, size_t *err_at)
{
    size_t from = end_of_saved(reply->out, reply->n_out, *out_at);
    const char *mark = memmem(reply->out + from, reply->n_out - from, MARK, strlen(MARK));
    const char *err_end = memmem(reply->err + *err_at, reply->n_err - *err_at, "@ip\n", 4);
    int status, used = 0;
    if (!mark || !err_end || sscanf(mark + strlen(MARK), "%d\n%n", &status, &used) != 1 || !used)
        return false;
    FERRY_GROW(d->answers, d->n_answers);
    struct ferry_iproute_answer *a = &d->answers[d->n_answers++];
    memset(a, 0, sizeof *a);
    a->command = ferry_strdup(command);
    a->status = status;
    a->n_out = (size_t)(mark - reply->out) - *out_at;
    a->out = ferry_calloc(1, a->n_out + 1);
    memcpy(a->out, reply->out + *out_at, a->n_out);
    size_t words = (size_t)(err_end - reply->err) - *err_at;
    a->err = ferry_calloc(1, words + 1);
    memcpy(a->err, reply->err + *err_at, words);
    *out_at = (size_t)(mark - reply->out) + strlen(MARK) + strspn(mark + strlen(MARK), "0123456789") + 1;
    *err_at = (size_t)(err_end - reply->err) + 4;
    return true;
}

int ferry_iproute_fetch(struct ferry_iproute *d, const struct ferry_iproute_list *commands,
                        struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_remote_reply_clear) struct ferry_remote_reply reply = {0};
    FERRY_AUTOFREE char *input = NULL;
    size_t n_input = 0, out_at = 0, err_at = 0;
    char words[200];
    for (size_t i = 0; i < commands->n; i++) {
        if (ferry_iproute_answer(d, commands->v[i]))
            continue;
        size_t n = strlen(commands->v[i]);
        input = ferry_realloc(input, n_input + n + 1, 1);
        memcpy(input + n_input, commands->v[i], n);
        n_input += n + 1;
        input[n_input - 1] = '\n';
    }
    if (!n_input)
        return 0;
    struct ferry_remote_call call = {
        .verb = "ip_show", .input = input, .n_input = n_input, .most_bytes = (size_t)1 << 30};
    int result = ferry_remote_call(d->remote, &call, &reply, err);
    if (result < 0)
        return -FERRY_EIO; /* nothing was written */
    if (reply.status)
        return ferry_error(err, FERRY_EIO, "ip_show ended with status %d: %s", reply.status,
                           ferry_iproute_words(reply.err, words, sizeof words));
    for (size_t i = 0; i < commands->n; i++)
        if (!ferry_iproute_answer(d, commands->v[i]) && !take(d, commands->v[i], &reply, &out_at, &err_at))
            return ferry_error(err, FERRY_EIO, "the answer to 'ip %s' is broken", commands->v[i]);
    if (out_at != reply.n_out)
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
    const char *name, *word;
    int64_t index;
    if (ferry_json_need_string(doc, object, "ifname", &name, err) < 0 ||
        ferry_json_need_int(doc, object, "ifindex", 1, INT32_MAX, &index, err) < 0 ||
        ferry_json_need(doc, object, "flags", FERRY_JSON_ARRAY, &flags, err) < 0)
        return -FERRY_EIO;
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
