/* Batches: the netlink driver's messages as lines for `ip -force -batch -`, and what ip says as answers.
 *
 *  B1. All lines of one call of `apply` go in one batch, which the router runs only when it has come whole (C3 in
 *      remote/router/core.sh): a connection that breaks leaves all of it undone, or lets all of it be done.
 *  B2. ip goes on past what the kernel refuses, and says of which line it was.  On what it does not
 *      understand it ends instead, with the same status: so the last line shows something, and where that is
 *      missing nobody knows what ran.
 *  B3. A line says everything that the message says, or is never sent (ferry_iproute_writable, before the first line).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <stdio.h>

#define LAST_LINE "link show dev lo\n"
enum { FEW = 32 /* lines */ };

/* ---- Lines. ---- */

/* What ip reads as it stands, and what may stand in a question (remote/router/ip.sh). */
static bool plain(const char *word)
{
    return !word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+=,-")];
}

int ferry_iproute_writable(const struct ferry_entry *entry, struct ferry_err *err)
{
    const char *unsaid = ferry_say_route_unsaid(entry);
    struct ferry_linux_record r;
    struct ferry_nexthop leg;
    bool words = true;
    if (unsaid)
        return ferry_refuse(err, "native", "the route has something that ip has no words for: %s", unsaid);
    for (uint16_t i = 0; i < entry->n_nexthops; i++)
        words &= plain(entry->nexthops[i].dev);
    for (size_t at = 0; ferry_linux_bytes_next(entry->native, entry->native_len, &at, &r);)
        if (r.tag == FERRY_LINUX_LEGS && ferry_linux_leg_unpack(&r, &leg))
            words &= plain(leg.dev);
    if (!words)
        return ferry_refuse(err, "native", "the name of an interface of the route cannot be written for ip");
    return 0;
}

static void room(struct ferry_text *t, size_t n)
{
    if (t->n + n <= t->size)
        return;
    t->size = (t->size + n) * 2;
    t->buf = ferry_realloc(t->buf, t->size, 1);
}

/* "ip -6 route …" as a batch has it: "route …".  ip finds the family by the prefix. */
static void strip(struct ferry_text *t, size_t from)
{
    size_t skip = !strncmp(t->buf + from, "ip -6 ", 6) ? 6 : 3;
    memmove(t->buf + from, t->buf + from + skip, t->n - from - skip);
    t->n -= skip;
}

static const char *verb(const struct nlmsghdr *h, bool gone)
{
    if (gone)
        return "del";
    if (h->nlmsg_flags & NLM_F_EXCL)
        return "add";
    return h->nlmsg_flags & NLM_F_CREATE ? "replace" : "change";
}

/* What hides an isolated gateway's address (linux/gateway.c, G6); false: another route. */
static bool say_local(struct ferry_linux *base, struct ferry_text *t, struct nlmsghdr *h, bool gone)
{
    const struct rtmsg *rtm = NLMSG_DATA(h);
    struct nlattr *tb[RTA_MAX + 1] = {0};
    char dev[FERRY_DEV_LEN];
    if ((rtm->rtm_type != RTN_LOCAL && rtm->rtm_type != RTN_BROADCAST) ||
        nlmsg_parse(h, sizeof *rtm, tb, RTA_MAX, NULL) < 0 || !tb[RTA_DST] || !tb[RTA_OIF] || !tb[RTA_TABLE])
        return false;
    base->means->ifname(base, nla_get_u32(tb[RTA_OIF]), dev);
    ferry_say(t, "ip route %s %s", verb(h, gone), rtm->rtm_type == RTN_LOCAL ? "local" : "broadcast");
    ferry_say_address(t, " ", rtm->rtm_family, nla_data(tb[RTA_DST]));
    ferry_say(t, " dev %s table %u proto %u\n", dev, nla_get_u32(tb[RTA_TABLE]), rtm->rtm_protocol);
    return plain(dev);
}

static bool say_message(struct ferry_linux *base, struct ferry_text *t, struct nlmsghdr *h,
                        struct ferry_linux_route *route)
{
    struct ferry_linux_address address;
    char dev[FERRY_DEV_LEN];
    bool gone = h->nlmsg_type == RTM_DELROUTE || h->nlmsg_type == RTM_DELADDR;
    room(t, FERRY_LINUX_MESSAGE_MAX);
    size_t from = t->n;
    if (h->nlmsg_type == RTM_NEWROUTE || h->nlmsg_type == RTM_DELROUTE) {
        h->nlmsg_type = RTM_NEWROUTE;
        if (ferry_linux_route_parse(base, h, route))
            ferry_say_route(t, NULL, verb(h, gone), &route->prefix, &route->entry);
        else if (!say_local(base, t, h, gone))
            return false;
    } else {
        h->nlmsg_type = RTM_NEWADDR;
        if (!ferry_linux_address_parse(base, h, &address))
            return false;
        if (nlmsg_find_attr(h, sizeof(struct ifaddrmsg), IFA_CACHEINFO)) /* as address_write puts it */
            address.flags |= IFA_F_DEPRECATED;
        base->means->ifname(base, address.ifindex, dev);
        if (!plain(dev) || !plain(address.label))
            return false;
        ferry_say_interface_address(t, NULL, verb(h, gone), &address, dev,
                                    !gone && address.flags & IFA_F_NODAD);
    }
    if (t->n >= t->size)
        return false;
    strip(t, from);
    return !memchr(t->buf + from, '#', t->n - from) && t->n - from < 4096;
}

/* ---- Answers. ---- */

static int error_number(const char *words)
{
    static const struct {
        const char *part;
        int number;
    } known[] = {{"File exists", EEXIST},
                 {"Address already assigned", EEXIST},
                 {"No such process", ESRCH},
                 {"No such file or directory", ENOENT},
                 {"table does not exist", ESRCH},
                 {"Cannot assign requested address", EADDRNOTAVAIL},
                 {"Address not available", EADDRNOTAVAIL},
                 {"Address not found", EADDRNOTAVAIL}};
    for (size_t i = 0; i < FERRY_COUNT(known); i++)
        if (strstr(words, known[i].part))
            return known[i].number;
    return EINVAL;
}

/* Tells each line's answer; `heard` is all of standard error. */
static void tell(struct ferry_linux_batch *b, const struct ferry_iproute *d, const char *heard, bool ended)
{
    char words[200], rest[200];
    size_t next = 0;
    const char *at = heard, *failed;
    while ((failed = strstr(at, "Command failed -:"))) {
        unsigned long line = strtoul(failed + strlen("Command failed -:"), NULL, 10);
        if (line <= next || line > d->n_tags)
            break;
        for (; next + 1 < line; next++)
            b->answer(b->ctx, d->tags[next], ended ? 0 : -1, "ip ended before its last line");
        ferry_iproute_words(at, words, sizeof words);
        b->answer(b->ctx, d->tags[next++], error_number(words), words);
        at = failed + strcspn(failed, "\n");
        at += *at == '\n';
    }
    snprintf(words, sizeof words, "ip ended before its last line: %.150s",
             ferry_iproute_words(at, rest, sizeof rest));
    for (; next < d->n_tags; next++)
        b->answer(b->ctx, d->tags[next], ended ? 0 : -1, words);
}

static void lost(struct ferry_linux_batch *b, const struct ferry_iproute *d, int result)
{
    b->lost = true;
    for (size_t i = 0; i < d->n_tags; i++)
        b->answer(b->ctx, d->tags[i], result == -FERRY_EIO ? -2 : -1, b->why.text);
}

/* A few lines: by the session, which is there already. */
static void run_few(struct ferry_linux_batch *b, struct ferry_iproute *d)
{
    FERRY_AUTOFREE char *said = NULL;
    struct ferry_iproute_part part;
    size_t n_said, at = 0;
    int result =
        ferry_iproute_talk(d, "batch", d->lines.buf, d->lines.n, d->n_tags + 1, &said, &n_said, &b->why);
    if (!result && (!ferry_iproute_part(said, n_said, &at, &part) || at != n_said))
        result = ferry_error(&b->why, FERRY_EUNKNOWN, "what ip said is broken");
    if (result < 0) {
        lost(b, d, result);
        return;
    }
    bool ended = part.status <= 1 && memmem(part.out, part.n_out, "lo:", 3);
    said[(size_t)(part.err - said) + part.n_err] = '\0';
    tell(b, d, part.err, ended);
}

/* Many: a shell would read them letter by letter. */
static void run_many(struct ferry_linux_batch *b, struct ferry_iproute *d)
{
    FERRY_CLEANUP(ferry_remote_reply_clear) struct ferry_remote_reply reply = {0};
    struct ferry_remote_call call = {.verb = "ip_batch", .input = d->lines.buf, .n_input = d->lines.n};
    int result = ferry_remote_call(d->remote, &call, &reply, &b->why);
    if (result < 0) {
        lost(b, d, result);
        return;
    }
    bool ended = (reply.status == 0 || reply.status == 1) && reply.n_out && strstr(reply.out, "lo:");
    tell(b, d, reply.err, ended);
}

static void run(struct ferry_linux_batch *b, struct ferry_iproute *d)
{
    room(&d->lines, sizeof LAST_LINE);
    memcpy(d->lines.buf + d->lines.n, LAST_LINE, sizeof LAST_LINE - 1);
    d->lines.n += sizeof LAST_LINE - 1;
    if (d->n_tags <= FEW)
        run_few(b, d);
    else
        run_many(b, d);
}

void ferry_iproute_send(struct ferry_linux_batch *b, bool last)
{
    struct ferry_iproute *d = (struct ferry_iproute *)b->d;
    struct ferry_linux_route route = {0};
    size_t at = 0;
    for (unsigned i = 0; i < b->n; i++) {
        struct nlmsghdr *h = (struct nlmsghdr *)(b->bytes + at);
        size_t from = d->lines.n;
        at += NLMSG_ALIGN(h->nlmsg_len);
        if (!say_message(b->d, &d->lines, h, &route)) {
            d->lines.n = from;
            b->answer(b->ctx, b->tags[i], -2, "not sent: ip has no words for it");
            continue;
        }
        FERRY_GROW(d->tags, d->n_tags);
        d->tags[d->n_tags++] = b->tags[i];
    }
    ferry_linux_route_clear(&route);
    if (!last)
        return;
    if (d->n_tags)
        run(b, d);
    free(d->tags);
    d->tags = NULL;
    d->n_tags = d->lines.n = 0;
}
