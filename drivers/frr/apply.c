/* The slot `apply`: compare and set.
 *
 *  A1. All ops of a batch are compared, in order, with what the router holds and the ops before them make of
 *      it; what is left of them is written once a key.
 *  A2. Looked, written and read back under one lock on the router (router/frr.sh), which keeps other Ferrys
 *      away, and which is kept between the stages of an outage; FRR 8.4 has none that would keep people away.
 *      A configuration that was read at most LOOK_US ago is not read again when FRR's RIB holds for the
 *      prefix what it says: reading it costs 18 ms where there are 1,000 static routes, in the middle of an
 *      outage.
 *  A3. FRR moves a next hop that it has at one distance when told of it at another (L4 of lines.c): refused.
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

#include <stdarg.h>
#include <stdio.h>

enum { LOOK_US = 2000000 };

void ferry_frr_slot_why(struct ferry_frr_slot *slot, enum ferry_outcome outcome, const char *fmt, ...)
{
    char text[800];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    free(slot->why);
    slot->why = ferry_strdup(text);
    slot->outcome = outcome;
}

static uint32_t table_of(const struct ferry_op *op)
{
    return op->table ? op->table : FERRY_TABLE_MAIN;
}

static const struct ferry_entry *slot_find(const struct ferry_frr_slot *slot)
{
    for (size_t i = 0; i < slot->holds.n; i++) {
        const struct ferry_entry *e = &slot->holds.items[i].entry;
        if (slot->key.kind == FERRY_KIND_GATEWAY ? e->type == FERRY_GATEWAY
            : slot->key.kind == FERRY_KIND_ANNOUNCEMENT
                ? e->type == FERRY_ANNOUNCEMENT
                : e->type != FERRY_GATEWAY && e->type != FERRY_ANNOUNCEMENT && !ferry_entry_dynamic(e) &&
                      e->metric == slot->key.metric)
            return e;
    }
    return NULL;
}

int ferry_frr_slot_look(struct ferry_frr *d, const struct ferry_frr_config *running,
                        struct ferry_frr_slot *slot, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_rib_clear) struct ferry_frr_rib rib = {0};
    FERRY_CLEANUP(ferry_frr_kernel_clear) struct ferry_frr_kernel kernel = {0};
    const struct ferry_op *key = &slot->key;
    bool gateway = key->kind == FERRY_KIND_GATEWAY;
    bool connected = gateway && key->gateway && key->gateway->address.addr.family;
    struct ferry_query_item item = {.prefix = key->prefix,
                                    .table = table_of(key),
                                    .gateway = gateway ? key->gateway : NULL,
                                    .interface = key->interface};
    struct ferry_frr_look look = {&d->config, running, &rib, connected ? &kernel : NULL};
    int result = 0;
    ferry_fib_clear(&slot->holds);
    if (ferry_frr_needs_rib(running, &key->prefix, item.table))
        result = ferry_frr_rib_read(d, key->prefix.addr.family, item.table, &key->prefix, &rib, err);
    if (!result && connected)
        result = ferry_frr_kernel_addresses(d, key->prefix.addr.family, &kernel, err);
    if (result < 0)
        return result;
    ferry_frr_hold(&look, &item, 0, FERRY_EXACT, &slot->holds);
    struct ferry_fib_item announced = {.prefix = key->prefix};
    uint8_t *native = NULL;
    if (key->kind == FERRY_KIND_ANNOUNCEMENT &&
        ferry_frr_announce_find(&d->config, running, &key->prefix, &announced.entry, &native)) {
        ferry_fib_add(&slot->holds, &announced);
        free(native);
    }
    slot->was = slot_find(slot);
    return 0;
}

/* ---- A2: whether what was read last is still so. ---- */

/* Asks for what the look needs, so that it is one journey. */
static void look_ahead(struct ferry_frr *d, const struct ferry_op *ops, size_t n, bool goes_on)
{
    bool gateways = false;
    ferry_frr_forget(d);
    for (size_t i = 0; i < n; i++)
        ferry_frr_vrfs_note(d, ops[i].table);
    for (size_t i = 0; i < n && !(goes_on && ferry_frr_just_read(d)); i++)
        gateways |= ops[i].kind != FERRY_KIND_ROUTE;
    if (gateways || n > FERRY_FRR_FEW) {
        ferry_frr_ahead(d, FERRY_FRR_SHOW, FERRY_FRR_RUNNING);
        ferry_frr_vrfs_ahead(d);
    }
    for (size_t i = 0; i < n && n <= FERRY_FRR_FEW; i++) {
        uint8_t family = ops[i].prefix.addr.family;
        if (ops[i].kind == FERRY_KIND_ROUTE)
            ferry_frr_rib_ahead(d, family, table_of(&ops[i]), &ops[i].prefix);
        else if (ops[i].kind == FERRY_KIND_GATEWAY)
            ferry_frr_addresses_ahead(d, family);
    }
}

static int fresh(struct ferry_frr *d, const struct ferry_op *ops, size_t n, bool goes_on,
                 struct ferry_err *err)
{
    bool good =
        d->running && n <= FERRY_FRR_FEW && d->env->monotonic_us(d->env->ctx) - d->running_since_us < LOOK_US;
    if (n <= FERRY_FRR_FEW && goes_on && ferry_frr_just_read(d))
        return 0;
    for (size_t i = 0; i < n && good; i++) {
        FERRY_CLEANUP(ferry_frr_rib_clear) struct ferry_frr_rib rib = {0};
        size_t count;
        if (ops[i].kind != FERRY_KIND_ROUTE) { /* the RIB says nothing about these */
            good = false;
            break;
        }
        int result =
            ferry_frr_rib_read(d, ops[i].prefix.addr.family, table_of(&ops[i]), &ops[i].prefix, &rib, err);
        if (result < 0)
            return result;
        const struct ferry_frr_static *s =
            ferry_frr_config_statics(d->running, &ops[i].prefix, table_of(&ops[i]), &count);
        good = ferry_frr_rib_says(&rib, s, count, table_of(&ops[i]));
    }
    if (good)
        return 0;
    struct ferry_frr_config running = {0};
    int result = ferry_frr_config_read(d, &running, err);
    if (!result)
        ferry_frr_keep(d, &running);
    return result;
}

/* ---- Ops to slots. ---- */

static bool same_key(const struct ferry_op *a, const struct ferry_op *b)
{
    return a->kind == b->kind && ferry_prefix_equal(&a->prefix, &b->prefix) && table_of(a) == table_of(b) &&
           (a->kind != FERRY_KIND_ROUTE || a->metric == b->metric) &&
           (a->kind != FERRY_KIND_GATEWAY ||
            (a->gateway && b->gateway && ferry_prefix_equal(&a->gateway->address, &b->gateway->address) &&
             ferry_addr_equal(&a->gateway->via, &b->gateway->via) &&
             !strcmp(a->interface ? a->interface : "", b->interface ? b->interface : "")));
}

static uint32_t hash(const struct ferry_op *op)
{
    uint32_t h = 2166136261u ^ (uint32_t)op->kind ^ op->prefix.len;
    for (size_t i = 0; i < sizeof op->prefix.addr.bytes; i++)
        h = (h ^ op->prefix.addr.bytes[i]) * 16777619u;
    return (h ^ (op->kind == FERRY_KIND_ROUTE ? op->metric : 0)) * 16777619u;
}

struct index {
    uint32_t *slot; /* +1 */
    size_t size;
};

static struct ferry_frr_slot *slot_of(struct ferry_frr_apply *a, struct index *index,
                                      const struct ferry_op *op, bool *ret_new)
{
    size_t at = hash(op) & (index->size - 1);
    for (; index->slot[at]; at = (at + 1) & (index->size - 1))
        if (same_key(&a->slots[index->slot[at] - 1].key, op)) {
            *ret_new = false;
            return &a->slots[index->slot[at] - 1];
        }
    index->slot[at] = (uint32_t)++a->n_slots;
    struct ferry_frr_slot *slot = &a->slots[a->n_slots - 1];
    slot->key = *op;
    slot->key.why = NULL;
    *ret_new = true;
    return slot;
}

static void stale(struct ferry_op *op, const struct ferry_entry *found)
{
    char f[300], e[300], prefix[FERRY_PREFIX_STRLEN];
    ferry_entry_text(found, f, sizeof f);
    ferry_entry_text(op->before, e, sizeof e);
    op->outcome = FERRY_STALE;
    ferry_op_why(op, "%s: found %s%s, expected %s%s", ferry_prefix_text(&op->prefix, prefix), f,
                 found && found->native_len ? " (with more)" : "", e,
                 op->before && op->before->native_len ? " (with more)" : "");
}

static void refuse(struct ferry_op *op, const char *why)
{
    char prefix[FERRY_PREFIX_STRLEN];
    op->outcome = FERRY_REFUSED;
    ferry_op_why(op, "%s: %s", ferry_prefix_text(&op->prefix, prefix), why);
}

static bool leads(const struct ferry_frr_static *s, const struct ferry_entry *e)
{
    for (uint16_t k = 0; k < e->n_nexthops; k++)
        if (ferry_addr_equal(&e->nexthops[k].via, &s->via) &&
            (!*s->dev || !strcmp(e->nexthops[k].dev, s->dev)))
            return true;
    return false;
}

/* Whether a swap of next hops was cut off between its two files, or its undo was: all of both stand there, and nothing
 * else.  The tag is what the last file gave to all of them: staticd has one for a distance. */
static bool half_done(const struct ferry_frr *d, const struct ferry_op *op, const struct ferry_frr_slot *slot)
{
    const struct ferry_entry *a = op->before, *b = op->after;
    size_t n, of_a = 0, of_b = 0;
    const struct ferry_frr_static *s = ferry_frr_config_statics(d->running, &op->prefix, table_of(op), &n);
    if (op->kind != FERRY_KIND_ROUTE || !a || !b || a->type != FERRY_UNICAST || b->type != FERRY_UNICAST ||
        !slot->was || slot->now != slot->was ||
        (slot->was->protocol != a->protocol && slot->was->protocol != b->protocol))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i].table != table_of(op) || s[i].distance != op->metric)
            continue;
        if (s[i].type != FERRY_UNICAST || (!leads(&s[i], a) && !leads(&s[i], b)))
            return false;
        of_a += leads(&s[i], a);
        of_b += leads(&s[i], b);
    }
    return of_a == a->n_nexthops && of_b == b->n_nexthops;
}

/* Whether an op can be taken; says so in it where not. */
static bool takes(struct ferry_frr *d, struct ferry_op *op, const struct ferry_frr_slot *slot)
{
    FERRY_CLEANUP(ferry_frr_files_clear) struct ferry_frr_files files = {0};
    struct ferry_err err;
    uint32_t distance;
    bool equal = op->kind == FERRY_KIND_ROUTE || op->kind == FERRY_KIND_GATEWAY || !slot->now || !op->before
                     ? ferry_entry_equal(slot->now, op->before, FERRY_CMP_EXACT)
                     : slot->now->protocol == op->before->protocol &&
                           ferry_entry_equal(slot->now, op->before, FERRY_CMP_EXACT);
    if (ferry_frr_vrf_check(d, op, &err) < 0)
        refuse(op, err.text); /* whose key it is is not clear: nothing is compared */
    else if (!equal && !half_done(d, op, slot))
        stale(op, slot->now);
    else if (ferry_frr_lines(&d->config, op, &files, &err) < 0 || ferry_frr_devices(d, op, &err) < 0 ||
             ferry_frr_announce_heard(d, op, &err) < 0)
        refuse(op, err.text);
    else if (ferry_frr_config_elsewhere(d->running, op, &distance)) {
        char text[200];
        snprintf(text, sizeof text, FERRY_FRR_ELSEWHERE, distance);
        refuse(op, text);
    } else
        return true;
    return false;
}

static bool nothing_to_write(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_ROUTE && (op->before || op->after) &&
           (!op->before || ferry_entry_dynamic(op->before)) && (!op->after || ferry_entry_dynamic(op->after));
}

static int take_all(struct ferry_frr_apply *a, struct ferry_op *ops, size_t n, uint32_t *slot_of_op,
                    struct ferry_err *err)
{
    struct index index = {.size = 16};
    while (index.size < 2 * n)
        index.size *= 2;
    FERRY_AUTOFREE uint32_t *table = index.slot = ferry_calloc(index.size, sizeof *index.slot);
    (void)table;
    a->slots = ferry_calloc(n + 1, sizeof *a->slots);
    for (size_t i = 0; i < n; i++) {
        bool new;
        if (nothing_to_write(&ops[i])) { /* the protocol does it */
            ops[i].outcome = FERRY_DONE;
            continue;
        }
        struct ferry_frr_slot *slot = slot_of(a, &index, &ops[i], &new);
        if (new) {
            int result = ferry_frr_slot_look(a->d, a->d->running, slot, err);
            if (result < 0)
                return result;
            slot->now = slot->was;
        }
        if (!takes(a->d, &ops[i], slot))
            continue;
        slot->now = ops[i].after;
        slot_of_op[i] = (uint32_t)(slot - a->slots) + 1;
    }
    return 0;
}

static void apply_clear(struct ferry_frr_apply *a)
{
    for (size_t i = 0; i < a->n_slots; i++) {
        ferry_fib_clear(&a->slots[i].holds);
        free(a->slots[i].why);
    }
    free(a->slots);
    ferry_frr_config_clear(&a->running);
    ferry_frr_text_clear(&a->said);
}

static int lock(struct ferry_frr *d, struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    size_t n;
    if (d->locked)
        return 0;
    int result = ferry_frr_hand(d, "lock", &answer, &n, err);
    if (result < 0)
        return result;
    if (strncmp(answer, "locked\n", 7) != 0)
        return ferry_error(err, FERRY_EIO,
                           "somebody else holds Ferry's lock on this router (flock of /run/frr)");
    d->locked = true;
    return 0;
}

static void unlock(struct ferry_frr *d)
{
    FERRY_AUTOFREE char *answer = NULL;
    struct ferry_err err;
    size_t n;
    d->locked = false;
    if (ferry_frr_hand(d, "unlock", &answer, &n, &err) < 0)
        ferry_log(d->env, FERRY_LOG_WARNING, "%s: the lock stays until the connection ends: %s", d->router,
                  err.text);
}

static int locked(struct ferry_frr_apply *a, struct ferry_op *ops, size_t n, bool goes_on,
                  struct ferry_err *err)
{
    FERRY_AUTOFREE uint32_t *slot_of_op = ferry_calloc(n + 1, sizeof *slot_of_op);
    look_ahead(a->d, ops, n, goes_on);
    int result = fresh(a->d, ops, n, goes_on, err);
    if (!result)
        result = take_all(a, ops, n, slot_of_op, err);
    if (result < 0)
        return result;
    result = ferry_frr_settle(a, err);
    for (size_t i = 0; i < n; i++) {
        if (!slot_of_op[i])
            continue;
        const struct ferry_frr_slot *slot = &a->slots[slot_of_op[i] - 1];
        ops[i].outcome = slot->outcome;
        char prefix[FERRY_PREFIX_STRLEN];
        if (slot->outcome != FERRY_DONE)
            ferry_op_why(&ops[i], "%s: %s", ferry_prefix_text(&ops[i].prefix, prefix),
                         slot->why ? slot->why : "not known");
    }
    return result;
}

int ferry_frr_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(apply_clear) struct ferry_frr_apply a = {.d = (struct ferry_frr *)driver};
    struct ferry_err ignored;
    for (size_t i = 0; i < n; i++) {
        ops[i].outcome = FERRY_UNKNOWN;
        ferry_op_clear(&ops[i]);
    }
    if (!n)
        return 0;
    bool goes_on = a.d->locked;
    int result = lock(a.d, err);
    if (!result) {
        result = locked(&a, ops, n, goes_on, err);
        if (!a.d->base.more)
            unlock(a.d);
    }
    if (result == -FERRY_EIO)
        for (size_t i = 0; i < n; i++) {
            ops[i].outcome = FERRY_REFUSED;
            ferry_op_why(&ops[i], "not sent: %s", err->text);
        }
    if (result == -FERRY_EUNKNOWN)
        for (size_t i = 0; i < n; i++)
            if (ops[i].outcome == FERRY_UNKNOWN && !ops[i].why)
                ferry_op_why(&ops[i], "%s", err->text);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", a.d->router);
    if (!a.d->base.last && ferry_frr_warm(a.d, a.d->base.more ? 1 : FERRY_FRR_FILES, &ignored) < 0)
        ferry_log(a.d->env, FERRY_LOG_DEBUG, "%s: no vtysh waits: %s", a.d->router, ignored.text);
    return 0;
}
