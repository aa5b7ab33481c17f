/* A blackhole of the kernel's own beneath a route of FRR's, for the moment in which FRR has none there.
 *
 *  B1. zebra puts a static route in only when the kernel has told it that the connected one went: 7 to 10 ms later.  And
 *      it swaps IPv6 routes by a deletion and an addition, some 50 µs apart (but with --v6-rr-semantics).  Packets would
 *      follow a covering or the default route meanwhile.
 *  B2. A bridge is worse than whatever stands for the prefix, to the kernel (the metric) and to zebra (its upper byte is
 *      the distance: 255), so it changes nothing while there is anything else; no static route is evicted.
 *  B3. It is laid only where FRR holds something of the prefix before and after, and is lifted when that is read
 *      back, in the background.  What a Ferry that was killed has left is no route to the driver (kernel.c, rib.c), and is
 *      lifted with the next check, or the next apply, of the prefix.
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

#include <stdio.h>

enum { CHUNK = 64 }; /* prefixes a line of the kept shell */

static uint32_t table_of(const struct ferry_frr_slot *slot)
{
    return slot->key.table ? slot->key.table : FERRY_TABLE_MAIN;
}

static bool same_place(const struct ferry_frr_slot *a, const struct ferry_frr_slot *b)
{
    return table_of(a) == table_of(b) && ferry_prefix_equal(&a->key.prefix, &b->key.prefix);
}

static bool held_after(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot)
{
    if (slot->now)
        return true;
    for (size_t i = 0; i < slot->holds.n; i++)
        if (&slot->holds.items[i].entry != slot->was)
            return true;
    for (size_t i = 0; i < a->n_slots; i++)
        if (a->slots[i].now && a->slots[i].key.kind != FERRY_KIND_ANNOUNCEMENT &&
            same_place(&a->slots[i], slot))
            return true;
    return false;
}

/* B1, B3.  What a protocol has for the prefix was perhaps not looked at. */
static bool wanted(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot)
{
    bool protocol = a->d->config.routing != FERRY_ROUTING_STATIC;
    if (slot->key.kind == FERRY_KIND_ANNOUNCEMENT || ferry_entry_equal(slot->was, slot->now, FERRY_CMP_EXACT))
        return false;
    if (slot->key.prefix.addr.family == AF_INET6)
        return protocol || (slot->holds.n && held_after(a, slot));
    return slot->key.kind == FERRY_KIND_GATEWAY && slot->key.gateway->address.addr.family && slot->was &&
           held_after(a, slot);
}

/* One line of the kept shell for those of a family and table that are marked, from `*at` on; `marked` loses them. */
static bool line_of(const struct ferry_frr_apply *a, const char *verb, bool *marked, size_t *at,
                    struct ferry_frr_text *line)
{
    char text[FERRY_PREFIX_STRLEN];
    while (*at < a->n_slots && !marked[*at])
        ++*at;
    if (*at == a->n_slots)
        return false;
    const struct ferry_frr_slot *first = &a->slots[*at];
    uint8_t family = first->key.prefix.addr.family;
    line->n = 0;
    ferry_frr_text_add(line, "%s %d %u", verb, family == AF_INET6 ? 6 : 4, table_of(first));
    size_t n = 0;
    for (size_t i = *at; i < a->n_slots && n < CHUNK; i++) {
        const struct ferry_frr_slot *slot = &a->slots[i];
        if (!marked[i] || slot->key.prefix.addr.family != family || table_of(slot) != table_of(first))
            continue;
        ferry_frr_text_add(line, " %s", ferry_prefix_text(&slot->key.prefix, text));
        marked[i] = false;
        n++;
    }
    return true;
}

/* What `ip` said, but for bridges that stood there. */
static const char *complaint(char *said)
{
    char *rest = NULL;
    for (char *line = strtok_r(said, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!strstr(line, "File exists") && strncmp(line, "Command failed", 14) != 0)
            return line;
    return NULL;
}

int ferry_frr_bridge_lay(struct ferry_frr_apply *a, struct ferry_err *err)
{
    FERRY_AUTOFREE bool *marked = ferry_calloc(a->n_slots + 1, sizeof *marked);
    FERRY_CLEANUP(ferry_frr_text_clear) struct ferry_frr_text line = {0};
    size_t at = 0;
    for (size_t i = 0; i < a->n_slots; i++)
        marked[i] = a->slots[i].bridged = wanted(a, &a->slots[i]);
    while (line_of(a, "bridge", marked, &at, &line)) {
        FERRY_AUTOFREE char *said = NULL;
        size_t n;
        int result = ferry_frr_hand(a->d, line.v, &said, &n, err);
        if (result < 0)
            return result;
        const char *why = complaint(said);
        if (why && !a->d->unbridged)
            ferry_log(
                a->d->env, FERRY_LOG_WARNING,
                "warning: %s: no blackhole could be laid beneath what FRR changes (%s; Ferry needs root "
                "there): for some milliseconds packets may follow a covering route",
                a->d->router, why);
        a->d->unbridged |= why != NULL;
    }
    return 0;
}

void ferry_frr_bridge_lift(struct ferry_frr_apply *a)
{
    FERRY_AUTOFREE bool *marked = ferry_calloc(a->n_slots + 1, sizeof *marked);
    FERRY_CLEANUP(ferry_frr_text_clear) struct ferry_frr_text line = {0};
    struct ferry_err err;
    size_t at = 0;
    for (size_t i = 0; i < a->n_slots; i++)
        marked[i] = a->slots[i].bridged && a->slots[i].outcome != FERRY_UNKNOWN;
    while (line_of(a, "unbridge", marked, &at, &line)) {
        FERRY_AUTOFREE char *said = NULL;
        size_t n;
        if (ferry_frr_hand(a->d, line.v, &said, &n, &err) < 0)
            ferry_log(a->d->env, FERRY_LOG_WARNING,
                      "warning: %s: a blackhole of metric %u stays in the kernel until the next check: %s",
                      a->d->router, FERRY_FRR_BRIDGE_METRIC, err.text);
    }
}

/* ---- What was left (B3). ---- */

static bool named(const struct ferry_frr_kernel_place *place, const struct ferry_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((ops[i].table ? ops[i].table : FERRY_TABLE_MAIN) == place->table &&
            ferry_prefix_equal(&ops[i].prefix, &place->prefix))
            return true;
    return false;
}

int ferry_frr_bridge_sweep(struct ferry_frr *d, const struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_kernel_clear) struct ferry_frr_kernel kernel = {0};
    int result = 0;
    for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0)
        if (!result)
            result = ferry_frr_kernel_routes(d, "bridges", (uint8_t)family, NULL, 0, &kernel, err);
    for (size_t i = 0; i < kernel.n_bridges && !result; i++) {
        FERRY_AUTOFREE char *line = NULL, *said = NULL;
        const struct ferry_frr_kernel_place *place = &kernel.bridges[i];
        char text[FERRY_PREFIX_STRLEN];
        size_t length;
        if (!named(place, ops, n))
            continue;
        line = ferry_asprintf("unbridge %d %u %s", place->prefix.addr.family == AF_INET6 ? 6 : 4,
                              place->table, ferry_prefix_text(&place->prefix, text));
        result = ferry_frr_hand(d, line, &said, &length, err);
    }
    return result;
}
