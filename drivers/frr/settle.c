/* The lines go to vtysh, and what came of them is looked at: configuration, RIB, kernel, in this order.
 *
 *  T1. No exit status is believed, and no silence.  A word of vtysh is a complaint.
 *  T2. FRR takes the static routes of a file as one change, or none.  After a complaint every key is written by itself.
 *  T3. What breaks is sent only when what it leans on was read back: a refused next hop takes no old one along.
 *  T4. The configuration changes before vtysh ends, RIB and kernel about 10 ms later: those are asked again until the
 *      deadline.  What the configuration has and the RIB not is neither done nor undone: UNKNOWN.
 *  T5. Of addresses the effect is looked for at once; where the configuration then has all that was sent,
 *      what vtysh still says, and its end, change nothing.  The kernel is asked, not FRR, which has its work
 *      to do.  Not of a file that tells a protocol: its lines take effect one by one, and not all are
 *      compared.
 *  T6. Where FRR's RIB has what the lines make of the configuration, that is not read again here (predict.c).
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

#include <stdio.h>

enum { SETTLE_US = 3000000, GRACE_US = 300000, PAUSE_US = 1000, MANY = 16, LAST_TURN = 3 };

static uint32_t table_of(const struct ferry_frr_slot *slot)
{
    return slot->key.table ? slot->key.table : FERRY_TABLE_MAIN;
}

static bool changes(const struct ferry_frr_slot *slot)
{
    return !ferry_entry_equal(slot->was, slot->now, FERRY_CMP_EXACT);
}

static int slot_lines(const struct ferry_frr *d, const struct ferry_frr_slot *slot,
                      struct ferry_frr_files *files, struct ferry_err *err)
{
    struct ferry_op op = slot->key;
    op.before = slot->was;
    op.after = slot->now;
    return ferry_frr_lines(&d->config, &op, files, err);
}

/* The end of vtysh, and its words. */
static int hear(struct ferry_frr_apply *a, struct ferry_remote_process *p, bool *ret_complaint,
                struct ferry_err *err)
{
    FERRY_AUTOFREE char *said = NULL;
    int result = ferry_frr_write_end(a->d, p, &said, err);
    if (result < 0)
        return result;
    *ret_complaint = *said;
    if (*said && a->said.n < 2000)
        ferry_frr_text_add(&a->said, "%s%s", a->said.n ? "; " : "", said);
    return 0;
}

static int say(struct ferry_frr_apply *a, const struct ferry_frr_text *lines, bool *ret_complaint,
               struct ferry_err *err)
{
    struct ferry_remote_process *p;
    *ret_complaint = false;
    if (!lines->n)
        return 0;
    int result = ferry_frr_write_start(a->d, lines, &p, err);
    return result < 0 ? result : hear(a, p, ret_complaint, err);
}

/* ---- The configuration. ---- */

static int config_again(struct ferry_frr_apply *a, struct ferry_err *err)
{
    ferry_frr_config_clear(&a->running);
    return ferry_frr_config_read(a->d, &a->running, err);
}

/* Whether the configuration says the same.  What lines with words beyond the fields lead to is only known
 * once the RIB has them. */
static bool same_lines(const struct ferry_entry *a, const struct ferry_entry *b)
{
    if (!a || !b || !a->native_len || !b->native_len)
        return ferry_entry_equal(a, b, FERRY_CMP_EXACT);
    return a->type == b->type && a->table == b->table && a->metric == b->metric &&
           a->protocol == b->protocol && a->native_len == b->native_len &&
           !memcmp(a->native, b->native, a->native_len);
}

static bool connected(const struct ferry_frr_slot *slot)
{
    return slot->key.kind == FERRY_KIND_GATEWAY && slot->key.gateway->address.addr.family;
}

/* What the configuration says of a slot now: its outcome, DONE being only that the configuration has it.  An
 * address is given to the kernel, or taken from it, behind vtysh's back: where it is neither as before nor as
 * wanted, the kernel is asked again. */
static int compare(struct ferry_frr_apply *a, struct ferry_frr_slot *slot, struct ferry_err *err)
{
    struct ferry_frr_slot seen = {.key = slot->key};
    const struct ferry_env *env = a->d->env;
    uint64_t until = env->monotonic_us(env->ctx) + GRACE_US;
    char text[300];
    int result;
    while (!(result = ferry_frr_slot_look(a->d, &a->running, &seen, err)) && connected(slot) &&
           !same_lines(seen.was, slot->now) && !same_lines(seen.was, slot->was) &&
           env->monotonic_us(env->ctx) < until)
        ferry_frr_pause(a->d, PAUSE_US);
    if (result < 0)
        return result;
    const char *said = a->said.n ? a->said.v : "vtysh said nothing";
    if (same_lines(seen.was, slot->now))
        slot->outcome = FERRY_DONE;
    else if (same_lines(seen.was, slot->was))
        ferry_frr_slot_why(slot, FERRY_REFUSED, "FRR did not take it: %s", said);
    else
        ferry_frr_slot_why(slot, FERRY_UNKNOWN, "FRR now has %s: %s",
                           ferry_entry_text(seen.was, text, sizeof text), said);
    ferry_fib_clear(&seen.holds);
    return 0;
}

/* ---- Writing. ---- */

/* T2, T3: one key by itself. */
static int write_one(struct ferry_frr_apply *a, struct ferry_frr_slot *slot, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_files_clear) struct ferry_frr_files files = {0};
    bool complaint = false;
    a->said.n = 0;
    int result = slot_lines(a->d, slot, &files, err);
    if (!result)
        result = say(a, &files.file[0], &complaint, err);
    if (result < 0)
        return result;
    slot->written = true;
    if (!complaint)
        result = say(a, &files.file[1], &complaint, err);
    if (!result)
        result = config_again(a, err);
    if (!result)
        result = compare(a, slot, err);
    return result;
}

/* What goes first: withdrawals, and prefix-lists, which redistribution looks at in the moment in which an
 * address changes.  What is announced anew goes last: bgpd takes longer over a `network` than zebra over the
 * address, and outages end with the address. */
static unsigned turn(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot)
{
    switch (slot->key.kind) {
    case FERRY_KIND_ANNOUNCEMENT:
        return slot->now && !a->d->config.prefix_list ? LAST_TURN : 0;
    case FERRY_KIND_ROUTE:
        return 1;
    case FERRY_KIND_DNS: /* never asked */
    case FERRY_KIND_GATEWAY:
    case FERRY_KIND_SELECTOR: /* refused before */
        break;
    }
    return 2;
}

static int gather(const struct ferry_frr_apply *a, struct ferry_frr_files *files, struct ferry_err *err)
{
    for (unsigned now = 0; now <= LAST_TURN; now++)
        for (size_t i = 0; i < a->n_slots; i++)
            if (turn(a, &a->slots[i]) == now && changes(&a->slots[i])) {
                int result = slot_lines(a->d, &a->slots[i], files, err);
                if (result < 0)
                    return result;
            }
    return 0;
}

static int one_by_one(struct ferry_frr_apply *a, struct ferry_err *err)
{
    ferry_frr_cool(a->d); /* those who waited may have lost a daemon that was restarted */
    int result = config_again(a, err);
    for (size_t i = 0; i < a->n_slots && !result; i++)
        if (changes(&a->slots[i]))
            result = compare(a, &a->slots[i], err);
    for (size_t i = 0; i < a->n_slots && !result; i++)
        if (changes(&a->slots[i]) && a->slots[i].outcome != FERRY_DONE)
            result = write_one(a, &a->slots[i], err);
    return result;
}

static int compare_all(struct ferry_frr_apply *a, bool *ret_done, struct ferry_err *err)
{
    int result = 0;
    *ret_done = true;
    for (size_t i = 0; i < a->n_slots && !result; i++)
        if (changes(&a->slots[i])) {
            result = compare(a, &a->slots[i], err);
            *ret_done &= a->slots[i].outcome == FERRY_DONE;
        }
    return result;
}

static int look_again(struct ferry_frr_apply *a, bool *ret_done, struct ferry_err *err)
{
    int result = config_again(a, err);
    return result < 0 ? result : compare_all(a, ret_done, err);
}

/* Asks for all that the next look needs, so that it is one journey. */
static void look_ahead(const struct ferry_frr_apply *a, bool config)
{
    size_t n = 0;
    ferry_frr_forget(a->d);
    if (config) {
        ferry_frr_ahead(a->d, FERRY_FRR_SHOW, FERRY_FRR_RUNNING);
        ferry_frr_vrfs_ahead(a->d);
    }
    for (size_t i = 0; i < a->n_slots && n < FERRY_FRR_FEW; i++) {
        const struct ferry_op *key = &a->slots[i].key;
        if (!changes(&a->slots[i]) || key->kind == FERRY_KIND_ANNOUNCEMENT)
            continue;
        n++;
        if (config && key->kind == FERRY_KIND_GATEWAY)
            ferry_frr_addresses_ahead(a->d,
                                      key->prefix.addr.family); /* for the comparison; then for `await` */
        ferry_frr_rib_ahead(a->d, key->prefix.addr.family, table_of(&a->slots[i]), &key->prefix);
        ferry_frr_kernel_ahead(a->d, "exact", key->prefix.addr.family, &key->prefix, table_of(&a->slots[i]));
        if (key->kind == FERRY_KIND_GATEWAY)
            ferry_frr_addresses_ahead(a->d, key->prefix.addr.family);
    }
}

static bool has_address(const struct ferry_frr_kernel *kernel, const struct ferry_op *key)
{
    for (size_t i = 0; i < kernel->n_addresses; i++) {
        const struct ferry_frr_kernel_address *k = &kernel->addresses[i];
        if (!strcmp(k->dev, key->interface) && k->address.len == key->gateway->address.len &&
            ferry_addr_equal(&k->address.addr, &key->gateway->address.addr))
            return true;
    }
    return false;
}

static int looked(struct ferry_frr_apply *a, struct ferry_err *err)
{
    bool done;
    look_ahead(a, true);
    return look_again(a, &done, err) < 0 ? -FERRY_EUNKNOWN : 0;
}

/* T5: waits until the kernel has the addresses that the lines are about, or vtysh has ended. */
static int addresses_changed(struct ferry_frr_apply *a, struct ferry_remote_process *p, bool *ret_changed,
                             struct ferry_err *err)
{
    bool changed = false, ended = false;
    for (int result; !changed && !ended;) {
        FERRY_CLEANUP(ferry_frr_kernel_clear) struct ferry_frr_kernel kernel = {0};
        bool families[2] = {false, false};
        for (size_t i = 0; i < a->n_slots; i++)
            families[a->slots[i].key.prefix.addr.family == AF_INET6] |= connected(&a->slots[i]);
        for (size_t f = 0; f < 2; f++)
            if (families[f] &&
                (result = ferry_frr_kernel_addresses(a->d, f ? AF_INET6 : AF_INET, &kernel, err)) < 0)
                return result;
        changed = true;
        for (size_t i = 0; i < a->n_slots; i++)
            if (changes(&a->slots[i]) && connected(&a->slots[i]))
                changed &= has_address(&kernel, &a->slots[i].key) == (a->slots[i].now != NULL);
        ended = !changed && ferry_remote_ended(p, 1);
    }
    *ret_changed = changed;
    return 0;
}

/* T5. */
static int say_and_look(struct ferry_frr_apply *a, const struct ferry_frr_text *lines, bool *ret_complaint,
                        struct ferry_err *err)
{
    struct ferry_remote_process *p;
    bool changed = false, done = false;
    int result = ferry_frr_write_start(a->d, lines, &p, err);
    if (result < 0)
        return result;
    result = addresses_changed(a, p, &changed, err);
    if (!result && changed) {
        look_ahead(a, true);
        result = look_again(a, &done, err);
    }
    if (result < 0) {
        ferry_remote_kill(p);
        return -FERRY_EUNKNOWN;
    }
    if (done) {
        ferry_remote_kill(a->d->wrote);
        a->d->wrote = p;
        return 0;
    }
    result = hear(a, p, ret_complaint, err);
    return result ? result : looked(a, err);
}

/* Whether the lines of the last file are about addresses, and none of them tells a protocol: all that does
 * stands in the first. */
static bool about_addresses(const struct ferry_frr_apply *a, size_t last)
{
    bool about = false;
    for (size_t i = 0; i < a->n_slots; i++) {
        if (a->slots[i].key.kind == FERRY_KIND_ANNOUNCEMENT && changes(&a->slots[i]) && !last)
            return false;
        about |= changes(&a->slots[i]) && connected(&a->slots[i]);
    }
    return about;
}

static int write_all(struct ferry_frr_apply *a, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_files_clear) struct ferry_frr_files files = {0};
    bool complaint = false, done;
    size_t last = FERRY_FRR_FILES - 1;
    int result = gather(a, &files, err);
    for (size_t i = 0; i < a->n_slots; i++)
        a->slots[i].written = changes(&a->slots[i]);
    while (last && !files.file[last].n)
        last--;
    bool at_once = about_addresses(a, last);
    for (size_t f = 0; f < last && !result && !complaint; f++)
        result = say(a, &files.file[f], &complaint, err);
    if (!result && !complaint && files.file[last].n) {
        result = at_once ? say_and_look(a, &files.file[last], &complaint, err)
                         : say(a, &files.file[last], &complaint, err);
        if (result == -FERRY_EIO && last)
            result = -FERRY_EUNKNOWN; /* the first was sent */
    }
    if (result < 0)
        return result;
    if (complaint)
        return one_by_one(a, err) < 0 ? -FERRY_EUNKNOWN : 0;
    if (at_once)
        return 0;
    return ferry_frr_predict(a, &files) ? compare_all(a, &done, err) : looked(a, err);
}

/* ---- RIB and kernel. ---- */

/* Whether FRR uses every next hop of a route: it keeps one that it cannot use in its RIB, too, and learns of several
 * one after the other. */
static bool in_use(const struct ferry_frr_look *look, const struct ferry_frr_slot *slot)
{
    struct ferry_frr_look without_kernel = *look;
    struct ferry_query_item item = {.prefix = slot->key.prefix, .table = table_of(slot)};
    struct ferry_fib held = {0};
    bool used = false;
    without_kernel.kernel = NULL;
    ferry_frr_hold(&without_kernel, &item, 0, FERRY_EXACT, &held);
    for (size_t i = 0; i < held.n && !used; i++) {
        used = ferry_entry_equal(&held.items[i].entry, slot->now, FERRY_CMP_EXACT);
        for (uint16_t k = 0; k < held.items[i].entry.n_nexthops; k++)
            used &= !held.items[i].entry.nexthops[k].down;
    }
    ferry_fib_clear(&held);
    return used;
}

static const char *route_settled(const struct ferry_frr_look *look, const struct ferry_frr_slot *slot)
{
    bool in_rib = false;
    for (size_t i = 0; i < look->rib->n; i++) {
        const struct ferry_frr_route *r = &look->rib->routes[i];
        in_rib |=
            !strcmp(r->protocol, "static") && r->table == table_of(slot) && r->distance == slot->key.metric;
    }
    const struct ferry_entry *e = slot->now && !ferry_entry_dynamic(slot->now) ? slot->now : NULL;
    if (e && (!in_rib || !in_use(look, slot)))
        return "configured, but FRR does not use it: is its next hop reachable, its interface up?";
    if (!e && in_rib)
        return "no longer configured, but still in FRR's RIB";
    return ferry_frr_disagree(look, &slot->key.prefix, table_of(slot));
}

static const char *gateway_settled(const struct ferry_frr_apply *a, const struct ferry_frr_look *look,
                                   const struct ferry_frr_slot *slot)
{
    const struct ferry_gateway *g = slot->key.gateway;
    if (!g->address.addr.family) {
        const char *why = ferry_frr_disagree(look, &slot->key.prefix, table_of(slot));
        const struct ferry_frr_kernel_route *k =
            ferry_frr_kernel_best(look->kernel, &slot->key.prefix, table_of(slot));
        return why ? why : slot->now && !k ? "the route to the gateway is not in the kernel" : NULL;
    }
    bool there = has_address(look->kernel, &slot->key);
    const struct ferry_frr_kernel_route *k =
        ferry_frr_kernel_best(look->kernel, &slot->key.prefix, table_of(slot));
    bool routed = k && k->protocol == 2 && k->n_hops == 1 && !strcmp(k->hops[0].dev, slot->key.interface);
    if (there != (slot->now != NULL))
        return there ? "the kernel still has the address" : "the kernel has not got the address";
    if (routed != (slot->now != NULL))
        return routed ? "the kernel still has the connected route"
                      : "the kernel has no connected route: is the interface up?";
    if (slot->bridged && !ferry_frr_bridge_stays(a, slot)) /* what the bridge is to be lifted from */
        return ferry_frr_disagree(look, &slot->key.prefix, table_of(slot));
    return NULL;
}

/* NULL in *ret_why: RIB and kernel have it. */
static int slot_settled(struct ferry_frr_apply *a, struct ferry_frr_slot *slot,
                        const struct ferry_frr_kernel *whole, const char **ret_why, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_rib_clear) struct ferry_frr_rib rib = {0};
    FERRY_CLEANUP(ferry_frr_kernel_clear) struct ferry_frr_kernel kernel = {0};
    const struct ferry_prefix *prefix = &slot->key.prefix;
    struct ferry_frr_look look = {&a->d->config, &a->running, &rib, whole ? whole : &kernel};
    if (slot->key.kind == FERRY_KIND_ANNOUNCEMENT) {
        struct ferry_op op = slot->key;
        op.before = slot->was;
        op.after = slot->now;
        int settled = ferry_frr_announce_settled(a->d, &op, err);
        *ret_why = settled == 0 ? "configured, but the protocol does not announce it" : NULL;
        return settled < 0 ? settled : 0;
    }
    int result = ferry_frr_rib_read(a->d, prefix->addr.family, table_of(slot), prefix, &rib, err);
    *ret_why = NULL;
    if (!result && slot->key.kind == FERRY_KIND_ROUTE) { /* FRR first: it costs less to ask */
        struct ferry_frr_kernel none = {0};
        struct ferry_frr_look cheap = {&a->d->config, &a->running, &rib, &none};
        const char *why = route_settled(&cheap, slot);
        if (why && strcmp(why, "FRR's best route is not in the kernel") != 0) {
            *ret_why = why;
            return 0;
        }
    }
    if (!result && !whole)
        result =
            ferry_frr_kernel_routes(a->d, "exact", prefix->addr.family, prefix, table_of(slot), &kernel, err);
    if (!result && !whole && slot->key.kind == FERRY_KIND_GATEWAY && slot->key.gateway->address.addr.family)
        result = ferry_frr_kernel_addresses(a->d, prefix->addr.family, &kernel, err);
    if (!result)
        *ret_why =
            slot->key.kind == FERRY_KIND_ROUTE ? route_settled(&look, slot) : gateway_settled(a, &look, slot);
    return result;
}

/* One round over those that are not settled: how many are left. */
static int round_of(struct ferry_frr_apply *a, bool *open, const char **whys, size_t *ret_left,
                    struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_kernel_clear) struct ferry_frr_kernel kernel = {0};
    size_t n = 0;
    int result = 0;
    bool families[2] = {false, false};
    for (size_t i = 0; i < a->n_slots; i++)
        if (open[i]) {
            n++;
            families[a->slots[i].key.prefix.addr.family == AF_INET6] = true;
        }
    for (size_t f = 0; f < 2 && n > MANY && !result; f++) {
        uint8_t family = f ? AF_INET6 : AF_INET;
        if (families[f])
            result = ferry_frr_kernel_routes(a->d, "routes", family, NULL, 0, &kernel, err);
        if (families[f] && !result)
            result = ferry_frr_kernel_addresses(a->d, family, &kernel, err);
    }
    *ret_left = 0;
    for (size_t i = 0; i < a->n_slots && !result; i++) {
        if (!open[i])
            continue;
        result = slot_settled(a, &a->slots[i], n > MANY ? &kernel : NULL, &whys[i], err);
        open[i] = whys[i];
        *ret_left += open[i];
    }
    return result;
}

static int await(struct ferry_frr_apply *a, struct ferry_err *err)
{
    FERRY_AUTOFREE bool *open = ferry_calloc(a->n_slots + 1, sizeof *open);
    FERRY_AUTOFREE const char **whys = ferry_calloc(a->n_slots + 1, sizeof *whys);
    const struct ferry_env *env = a->d->env;
    uint64_t until = env->monotonic_us(env->ctx) + SETTLE_US;
    size_t left = 1;
    for (size_t i = 0; i < a->n_slots; i++)
        open[i] = changes(&a->slots[i]) && a->slots[i].outcome == FERRY_DONE;
    for (;;) {
        int result = round_of(a, open, whys, &left, err);
        if (result < 0)
            return -FERRY_EUNKNOWN;
        if (!left || env->monotonic_us(env->ctx) >= until)
            break;
        ferry_frr_pause(a->d, PAUSE_US);
        look_ahead(a, false);
    }
    for (size_t i = 0; i < a->n_slots; i++)
        if (open[i])
            ferry_frr_slot_why(&a->slots[i], FERRY_UNKNOWN, "%s", whys[i]);
    return 0;
}

int ferry_frr_settle(struct ferry_frr_apply *a, struct ferry_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_slots; i++) {
        n += changes(&a->slots[i]);
        a->slots[i].outcome = changes(&a->slots[i]) ? FERRY_UNKNOWN : FERRY_DONE;
    }
    if (!n)
        return 0;
    uint64_t read_us = a->d->running_since_us;
    int result = ferry_frr_bridge_lay(a, err);
    if (!result)
        result = write_all(a, err);
    if (!result) {
        result = await(a, err);
        ferry_frr_keep(a->d, &a->running);
        a->d->predicted = a->predicted;
        if (a->predicted)
            a->d->running_since_us = read_us; /* what is beside is as old as that */
    }
    for (size_t i = 0; i < a->n_slots && result == -FERRY_EIO; i++)
        a->slots[i].outcome = FERRY_REFUSED; /* not sent */
    ferry_frr_bridge_lift(a);
    return result;
}
