/* The slot `apply`: compare-and-set of a batch of ops.
 *
 *  A1. One look at the router for the whole batch; an op is sent only where its key holds exactly `before`
 *      (every attribute), and nothing else stands under that key.
 *  A2. New routes carry CREATE|EXCL: the kernel itself refuses when somebody was quicker.  A replacement
 *      carries REPLACE and is sent only where the kernel's own key (prefix, tos, metric, table) holds one
 *      route; so it cannot hit another one. Deletions name every attribute.
 *  A3. Several ops on one key build on each other in order.
 *  A4. An outcome is DONE only when every message of the op was answered (talk.c, T2); where some of an op's
 *      messages were done and others not, it is UNKNOWN.
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- Keys. ---- */

enum { KEYS = 1024 /* of one datagram; what is beyond is looked up unprepared */ };

static uint64_t hash_key(const struct ferry_prefix *p, uint32_t table, uint32_t metric)
{
    uint64_t words[2], h = ((uint64_t)table << 32 | metric) ^ ((uint64_t)p->len << 24) ^ p->addr.family;
    memcpy(words, p->addr.bytes, sizeof words);
    h = (h ^ words[0]) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 29) ^ words[1]) * 0xbf58476d1ce4e5b9u;
    return h ^ (h >> 32);
}

static bool same_key(const struct ferry_linux_slot *s, const struct ferry_prefix *p, uint32_t table,
                     uint32_t metric)
{
    return s->table == table && s->metric == metric && s->prefix.len == p->len &&
           s->prefix.addr.family == p->addr.family && !memcmp(s->prefix.addr.bytes, p->addr.bytes, 16);
}

static void index_put(struct ferry_linux_apply *a, uint64_t hash, size_t slot)
{
    size_t at = hash & a->index_mask;
    while (a->index[at].slot)
        at = (at + 1) & a->index_mask;
    a->index[at] = (struct ferry_linux_place){(uint32_t)(hash >> 32), (uint32_t)slot + 1};
}

static void index_grow(struct ferry_linux_apply *a, size_t at_least)
{
    size_t room = 64;
    while (room < at_least * 2)
        room *= 2;
    free(a->index);
    a->index = ferry_calloc(room, sizeof *a->index);
    a->index_mask = room - 1;
    for (size_t i = 0; i < a->n_slots; i++)
        index_put(a, hash_key(&a->slots[i].prefix, a->slots[i].table, a->slots[i].metric), i);
}

static struct ferry_linux_slot *slot_find(struct ferry_linux_apply *a, uint64_t hash,
                                          const struct ferry_prefix *p, uint32_t table, uint32_t metric)
{
    if (!a->n_slots)
        return NULL;
    for (size_t at = hash & a->index_mask; a->index[at].slot; at = (at + 1) & a->index_mask)
        if (a->index[at].tag == (uint32_t)(hash >> 32) &&
            same_key(&a->slots[a->index[at].slot - 1], p, table, metric))
            return &a->slots[a->index[at].slot - 1];
    return NULL;
}

struct ferry_linux_slot *ferry_linux_slot_get(struct ferry_linux_apply *a, const struct ferry_prefix *prefix,
                                              uint32_t table, uint32_t metric, bool *ret_new)
{
    uint64_t hash = hash_key(prefix, table, metric);
    struct ferry_linux_slot *s = slot_find(a, hash, prefix, table, metric);
    *ret_new = !s;
    if (s)
        return s;
    if (a->n_slots == a->slots_room) {
        size_t room = a->slots_room ? a->slots_room * 2 : a->n + 16;
        struct ferry_linux_slot *slots = aligned_alloc(sizeof *slots, room * sizeof *slots);
        if (!slots)
            abort(); /* as ferry_calloc does */
        if (a->n_slots)
            memcpy(slots, a->slots, a->n_slots * sizeof *slots);
        free(a->slots);
        a->slots = slots;
        a->slots_room = room;
        index_grow(a, a->slots_room);
    }
    s = &a->slots[a->n_slots];
    *s = (struct ferry_linux_slot){.prefix = *prefix, .table = table, .metric = metric};
    index_put(a, hash, a->n_slots++);
    return s;
}

/* ---- Outcomes. ---- */

void ferry_linux_apply_refuse(struct ferry_linux_apply *a, size_t i, enum ferry_outcome outcome,
                              const char *fmt, ...)
{
    struct ferry_op *op = &a->ops[i];
    char prefix[FERRY_PREFIX_STRLEN], text[700];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    op->outcome = outcome;
    ferry_op_why(op, "%s: %s: %s", a->d->router, ferry_prefix_text(&op->prefix, prefix), text);
}

/* Told of every message in order.  An op that was not answered yet is UNKNOWN without a text. */
static void answer(void *ctx, uint32_t i, int error, const char *words)
{
    struct ferry_linux_apply *a = ctx;
    struct ferry_op *op = &a->ops[i];
    bool first = op->outcome == FERRY_UNKNOWN && !op->why;
    if (error == 0) {
        if (first)
            op->outcome = FERRY_DONE;
        else if (op->outcome != FERRY_DONE)
            op->outcome = FERRY_UNKNOWN; /* A4: the text says what failed before */
        return;
    }
    if (error == -1) {
        ferry_linux_apply_refuse(a, i, FERRY_UNKNOWN, "sent, but %s", words);
        return;
    }
    if (!first) { /* A4 */
        if (op->outcome == FERRY_DONE)
            ferry_linux_apply_refuse(a, i, FERRY_UNKNOWN, "done in part; then %s%s",
                                     error > 0 ? "the kernel refused: " : "", words);
        return;
    }
    if (error == EEXIST)
        ferry_linux_apply_refuse(a, i, FERRY_STALE, "somebody else put something there meanwhile (%s)",
                                 words);
    else if (error == ENOENT || error == ESRCH || error == EADDRNOTAVAIL)
        ferry_linux_apply_refuse(a, i, FERRY_STALE, "it is no longer there (%s)", words);
    else
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "%s%s", error > 0 ? "kernel refused: " : "", words);
}

/* ---- The look. ---- */

/* The next hops of a route that names a nexthop object are shown for planning: the object's number is what
 * counts. */
static bool same_route(const struct ferry_entry *x, const struct ferry_entry *y)
{
    struct ferry_linux_record r;
    if (ferry_entry_equal(x, y, FERRY_CMP_EXACT))
        return true;
    if (!x->native_len || x->native_len != y->native_len || memcmp(x->native, y->native, x->native_len) ||
        !ferry_linux_bytes_find(x->native, x->native_len, RTA_NH_ID, &r))
        return false;
    return x->type == y->type && x->table == y->table && x->metric == y->metric && x->protocol == y->protocol;
}

static void slot_drop(struct ferry_linux_slot *s)
{
    if (s->held) {
        free((void *)s->held->nexthops);
        free((void *)s->held->native);
    }
    free(s->held);
    s->held = NULL;
}

static void slot_hold(struct ferry_linux_slot *s, const struct ferry_entry *e)
{
    slot_drop(s);
    s->held = ferry_memdup(e, sizeof *e);
    s->held->nexthops = ferry_memdup(e->nexthops, e->n_nexthops * sizeof *e->nexthops);
    s->held->native = ferry_memdup(e->native, e->native_len);
}

static void restart(void *ctx)
{
    struct ferry_linux_apply *a = ctx;
    for (size_t i = 0; i < a->n_slots; i++) {
        a->slots[i].found = 0;
        a->slots[i].equal = a->slots[i].kernel = false;
        slot_drop(&a->slots[i]);
    }
    a->seen.n = 0;
}

static void ready(void *ctx)
{
    ferry_linux_gateway_ready(ctx);
}

/* The key of a route message, without taking all of it apart.  False: it is none, or has no destination. */
static bool quick_key(const struct nlmsghdr *h, struct ferry_linux_key *ret)
{
    const struct rtmsg *rtm = NLMSG_DATA(h);
    const struct nlattr *at = (const struct nlattr *)((const char *)h + NLMSG_LENGTH(sizeof *rtm));
    const char *end = (const char *)h + h->nlmsg_len;
    if (h->nlmsg_type != RTM_NEWROUTE)
        return false;
    size_t bytes = rtm->rtm_family == AF_INET ? 4 : 16;
    *ret = (struct ferry_linux_key){.message = h,
                                    .prefix = {.addr.family = rtm->rtm_family, .len = rtm->rtm_dst_len},
                                    .table = rtm->rtm_table};
    for (; (const char *)at + NLA_HDRLEN <= end && at->nla_len >= NLA_HDRLEN;
         at = (const struct nlattr *)((const char *)at + NLA_ALIGN(at->nla_len))) {
        const char *value = (const char *)at + NLA_HDRLEN;
        if (at->nla_type == RTA_TABLE)
            memcpy(&ret->table, value, sizeof ret->table);
        else if (at->nla_type == RTA_PRIORITY)
            memcpy(&ret->metric, value, sizeof ret->metric);
        else if (at->nla_type == RTA_DST) {
            memcpy(ret->prefix.addr.bytes, value, bytes);
            ret->dst = (uint16_t)(value - (const char *)h);
        }
    }
    ret->hash = hash_key(&ret->prefix, ret->table, ret->metric);
    return ret->dst != 0;
}

/* Whether a message is the last compared one but for its destination (and sequence). */
static bool as_before(const struct ferry_linux_apply *a, const struct nlmsghdr *h, size_t dst)
{
    const char *now = (const char *)h, *then = (const char *)a->seen.bytes;
    size_t after = dst + (((const struct rtmsg *)NLMSG_DATA(h))->rtm_family == AF_INET ? 4 : 16);
    return h->nlmsg_len == a->seen.n && dst == a->seen.dst &&
           !memcmp(now + NLMSG_HDRLEN, then + NLMSG_HDRLEN, dst - NLMSG_HDRLEN) &&
           !memcmp(now + after, then + after, a->seen.n - after);
}

/* Without gateways in the batch a route under no key of ours is passed by unread, and one that is like the
 * last one but for its destination gets the same verdict: in a batch of 100,000 routes nearly all are. */
static bool shortcut(void *ctx, const struct nlmsghdr *h)
{
    struct ferry_linux_apply *a = ctx;
    struct ferry_linux_key own, *key = &own;
    a->message = NULL;
    if (a->next_key < a->n_keys && a->keys[a->next_key].message == h)
        key = &a->keys[a->next_key++];
    else if (!quick_key(h, &own))
        return false;
    struct ferry_linux_slot *s = slot_find(a, key->hash, &key->prefix, key->table, key->metric);
    if (!s)
        return true;
    if (s->expected && s->expected == a->seen.equals && as_before(a, h, key->dst)) {
        s->found++;
        s->equal = true;
        return true;
    }
    a->message = h;
    a->message_dst = key->dst;
    return false;
}

/* Where the messages' keys will be looked for is fetched for all of them at once: one by one, each would wait
 * for memory. */
static void glance(void *ctx, const struct nlmsghdr *messages, int bytes)
{
    struct ferry_linux_apply *a = ctx;
    a->n_keys = a->next_key = 0;
    if (!a->n_slots)
        return;
    for (struct nlmsghdr *h = (struct nlmsghdr *)messages; a->n_keys < KEYS && nlmsg_ok(h, bytes);
         h = nlmsg_next(h, &bytes))
        if (quick_key(h, &a->keys[a->n_keys]))
            __builtin_prefetch(&a->index[a->keys[a->n_keys++].hash & a->index_mask]);
    for (size_t i = 0; i < a->n_keys; i++) {
        const struct ferry_linux_place *at = &a->index[a->keys[i].hash & a->index_mask];
        if (at->slot)
            __builtin_prefetch(&a->slots[at->slot - 1], 1);
    }
}

/* Remembers the message at hand for the shortcut: its route is just what this slot expects. */
static void note(struct ferry_linux_apply *a, const struct ferry_linux_slot *s)
{
    if (!a->message || a->message->nlmsg_len > sizeof a->seen.bytes)
        return;
    memcpy(a->seen.bytes, a->message, a->message->nlmsg_len);
    a->seen.n = a->message->nlmsg_len;
    a->seen.dst = a->message_dst;
    a->seen.equals = s->expected;
}

static void hear(void *ctx, struct ferry_linux_route *route, struct ferry_linux_attachment *own)
{
    struct ferry_linux_apply *a = ctx;
    struct ferry_linux_slot *s;
    ferry_linux_gateway_hear(a, route, own);
    s = slot_find(a, hash_key(&route->prefix, route->entry.table, route->entry.metric), &route->prefix,
                  route->entry.table, route->entry.metric);
    if (!s)
        return;
    if (own) {
        s->kernel = true;
        return;
    }
    s->found++;
    s->equal = s->expected && (s->leaning ? ferry_linux_gateway_alike(s->expected, &route->entry)
                                          : same_route(s->expected, &route->entry));
    if (!s->equal)
        slot_hold(s, &route->entry);
    else if (!s->leaning)
        note(a, s);
}

/* Puts the keys of all ops into the index, and tells the survey what to look at. */
static int prepare(struct ferry_linux_apply *a, struct ferry_err *err)
{
    bool gateways = false;
    a->attachment = ferry_calloc(a->n + 1, sizeof *a->attachment);
    a->slot_of = ferry_calloc(a->n + 1, sizeof *a->slot_of);
    for (size_t i = 0; i < a->n; i++) {
        struct ferry_op *op = &a->ops[i];
        op->outcome = FERRY_UNKNOWN;
        ferry_op_clear(op);
        if (op->kind == FERRY_KIND_SELECTOR)
            continue;
        if (op->kind == FERRY_KIND_GATEWAY) {
            gateways = true;
            ferry_linux_gateway_prepare(a, i);
            continue;
        }
        bool fresh;
        struct ferry_linux_slot *s = ferry_linux_slot_get(a, &op->prefix, op->table, op->metric, &fresh);
        a->slot_of[i] = (uint32_t)(s - a->slots);
        if (fresh || s->leaning) {
            s->op = (uint32_t)i;
            s->expected = op->before;
            s->leaning = false;
        }
        ferry_linux_survey_table(&a->survey, op->prefix.addr.family, op->table);
    }
    a->survey.d = a->d;
    a->survey.route = hear;
    a->survey.restart = restart;
    a->survey.ready = ready;
    a->survey.shortcut = gateways ? NULL : shortcut;
    if (a->n > 1000) { /* fewer are in the cache anyway */
        a->keys = ferry_calloc(KEYS, sizeof *a->keys);
        a->survey.glance = glance;
    }
    a->survey.ctx = a;
    return ferry_linux_survey_run(&a->survey, err);
}

/* ---- The turn of a route op. ---- */

int ferry_linux_apply_route(struct ferry_linux_apply *a, size_t i, uint16_t type, uint16_t flags,
                            const struct ferry_prefix *prefix, const struct ferry_entry *entry,
                            struct ferry_err *err)
{
    size_t dst = NLMSG_LENGTH(sizeof(struct rtmsg)) + NLA_HDRLEN;
    if (a->built.n && a->built.entry == entry && a->built.type == type && a->built.flags == flags &&
        a->built.family == prefix->addr.family) {
        uint8_t *at = ferry_linux_batch_room(&a->batch, a->built.n);
        memcpy(at, a->built.bytes, a->built.n);
        memcpy(at + dst, prefix->addr.bytes, prefix->addr.family == AF_INET ? 4 : 16);
        ((struct rtmsg *)NLMSG_DATA(at))->rtm_dst_len = prefix->len;
        ferry_linux_batch_add(&a->batch, (uint32_t)i);
        return 0;
    }
    uint8_t *at = ferry_linux_batch_room(&a->batch, FERRY_LINUX_MESSAGE_MAX);
    int bytes = ferry_linux_route_write(a->d, at, type, flags, prefix, entry, err);
    if (bytes < 0)
        return bytes;
    a->built.n = 0;
    if ((size_t)bytes <= sizeof a->built.bytes && entry != &a->unpacked.entry) {
        memcpy(a->built.bytes, at, (size_t)bytes);
        a->built.n = (size_t)bytes;
        a->built.entry = entry;
        a->built.type = type;
        a->built.flags = flags;
        a->built.family = prefix->addr.family;
    }
    ferry_linux_batch_add(&a->batch, (uint32_t)i);
    return 0;
}

/* A connected route follows from an address: whoever wants it gone removes that. */
static bool is_connected(const struct ferry_entry *e)
{
    return e && e->protocol == RTPROT_KERNEL && e->n_nexthops == 1 && !e->nexthops[0].via.family;
}

/* Whether the key holds what op i expects (A1, A3); tells the op where not. */
static bool compare(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_slot *s)
{
    struct ferry_op *op = &a->ops[i];
    const struct ferry_entry *now = s->turned ? a->ops[s->last].after : s->equal ? s->expected : s->held;
    char want[300], found[300];
    if (s->found > 1 && !s->turned)
        ferry_linux_apply_refuse(
            a, i, FERRY_STALE,
            "found %u routes in table %u with metric %u: which one is meant cannot be said", s->found,
            op->table, op->metric);
    else if (now != op->before && (!now || !op->before || !same_route(op->before, now)))
        ferry_linux_apply_refuse(a, i, FERRY_STALE, "expected %s, found %s%s",
                                 ferry_entry_text(op->before, want, sizeof want),
                                 ferry_entry_text(now, found, sizeof found),
                                 s->turned ? " (left by another change of the same batch)" : "");
    else if (is_connected(op->before) || (s->kernel && op->before))
        ferry_linux_apply_refuse(
            a, i, FERRY_REFUSED,
            "a connected route follows from an address of the interface: it is not changed by itself");
    return !op->why;
}

static bool fits_key(struct ferry_linux_apply *a, size_t i, const struct ferry_entry *e)
{
    const struct ferry_op *op = &a->ops[i];
    if (!e || (e->table == op->table && e->metric == op->metric && e->type != FERRY_GATEWAY))
        return true;
    ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "the change's key and its entry disagree");
    return false;
}

static void turn(struct ferry_linux_apply *a, size_t i)
{
    struct ferry_op *op = &a->ops[i];
    struct ferry_linux_slot *s = &a->slots[a->slot_of[i]];
    if (!fits_key(a, i, op->before) || !fits_key(a, i, op->after) || !compare(a, i, s))
        return;
    s->turned = true;
    s->last = (uint32_t)i;
    struct ferry_err err = {0};
    int result = 0;
    if (!op->before && !op->after) {
        op->outcome = FERRY_DONE;
    } else if (!op->before) {
        result = ferry_linux_apply_route(a, i, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &op->prefix,
                                         op->after, &err);
    } else if (!op->after) {
        result = ferry_linux_apply_route(a, i, RTM_DELROUTE, 0, &op->prefix, op->before, &err);
    } else if ((result = ferry_linux_route_writable(a->d, &op->prefix, op->before, &err)) < 0) {
        ; /* a foreign route is replaced only where it could be written again */
    } else if (ferry_linux_same_key(op->before, op->after)) {
        result = ferry_linux_apply_route(a, i, RTM_NEWROUTE, NLM_F_REPLACE, &op->prefix, op->after, &err);
    } else { /* another tos: another key for the kernel; the new one first, so that there is no hole */
        ferry_linux_batch_together(&a->batch, 2, 2 * FERRY_LINUX_MESSAGE_MAX);
        result = ferry_linux_apply_route(a, i, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &op->prefix,
                                         op->after, &err);
        if (!result)
            result = ferry_linux_apply_route(a, i, RTM_DELROUTE, 0, &op->prefix, op->before, &err);
    }
    if (result < 0)
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "%s", err.text);
}

static void apply_clear(struct ferry_linux_apply *a)
{
    for (size_t i = 0; i < a->n_emptied; i++)
        ferry_linux_bytes_clear(&a->emptied[i].routes);
    free(a->emptied);
    ferry_linux_survey_clear(&a->survey);
    ferry_linux_batch_clear(&a->batch);
    ferry_linux_route_clear(&a->unpacked);
    for (size_t i = 0; i < a->n_slots; i++)
        slot_drop(&a->slots[i]);
    for (size_t i = 0; i < a->n_leaning; i++) {
        ferry_linux_route_clear(a->leaning[i]);
        free(a->leaning[i]);
    }
    free(a->leaning);
    free(a->slots);
    free(a->index);
    free(a->keys);
    free(a->attachment);
    free(a->slot_of);
}

int ferry_linux_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(apply_clear)
    struct ferry_linux_apply a = {.d = (struct ferry_linux *)driver, .ops = ops, .n = n};
    int result = ferry_linux_devices_make(a.d, ops, n, err);
    if (result >= 0)
        result = prepare(&a, err);
    if (result < 0) {
        for (size_t i = 0; i < n; i++)
            ferry_linux_apply_refuse(&a, i, FERRY_REFUSED, "not sent: %s", err->text);
        ferry_linux_devices_unmake(a.d, ops, n); /* D3 of device.c */
        return ferry_error_prefix(err, result, "%s", a.d->router);
    }
    ferry_linux_batch_init(&a.batch, a.d, answer, &a);
    for (size_t i = 0; i < n; i++) {
        if (ops[i].kind == FERRY_KIND_SELECTOR)
            ferry_linux_apply_refuse(&a, i, FERRY_REFUSED, "this driver changes no VPN tunnels");
        else if (ops[i].kind == FERRY_KIND_GATEWAY)
            ferry_linux_gateway_turn(&a, i);
        else
            turn(&a, i);
    }
    ferry_linux_batch_flush(&a.batch);
    if (a.batch.lost) {
        *err = a.batch.why;
        return ferry_error_prefix(err, -FERRY_EUNKNOWN, "%s", a.d->router);
    }
    ferry_linux_devices_unmake(a.d, ops, n);
    return 0;
}
