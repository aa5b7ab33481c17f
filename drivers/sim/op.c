/* One op on a simulated router: compare-and-set on its whole `before`, and what a kernel would say no to.
 *
 *  1. An op that is not DONE changed nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdio.h>
#include <string.h>

static void describe(const struct ferry_entry *e, const struct ferry_sim_place *place, char *buf, size_t size)
{
    char addr[FERRY_ADDR_STRLEN];
    if (!e || e->type != FERRY_GATEWAY) {
        ferry_entry_text(e, buf, size);
        return;
    }
    if (place->any)
        snprintf(buf, size, "attached%s", e->native_len ? " (not plainly)" : "");
    else
        snprintf(buf, size, "attached %s %s on %s%s", place->via.family ? "via" : "as",
                 ferry_addr_text(place->via.family ? &place->via : &place->address, addr),
                 *place->interface ? place->interface : "any interface",
                 e->native_len ? " (not plainly)" : "");
}

static void stale(struct ferry_op *op, bool write, const struct ferry_sim_place *asked,
                  const struct ferry_entry *found, const struct ferry_sim_place *found_at)
{
    char prefix[FERRY_PREFIX_STRLEN], expected_text[400], found_text[400];
    if (!write) { /* ops build on each other: whether `before` is there is asked at apply */
        op->outcome = FERRY_DONE;
        return;
    }
    describe(op->before, asked, expected_text, sizeof expected_text);
    describe(found, found_at, found_text, sizeof found_text);
    op->outcome = FERRY_STALE;
    ferry_op_why(op, "%s: found %s, expected %s", ferry_prefix_text(&op->prefix, prefix), found_text,
                 expected_text);
}

/* `what` may name something. */
static void refuse(struct ferry_op *op, const char *what, const char *name)
{
    char prefix[FERRY_PREFIX_STRLEN];
    op->outcome = FERRY_REFUSED;
    ferry_op_why(op, "%s: the simulated router refused: %s%s", ferry_prefix_text(&op->prefix, prefix), what,
                 name);
}

/* What a kernel would say no to. */
static bool route_is_possible(const struct ferry_sim_table *table, struct ferry_op *op)
{
    const struct ferry_entry *e = op->after;
    if (!e)
        return true;
    if (ferry_entry_kind(e) != FERRY_KIND_ROUTE || (e->type == FERRY_UNICAST) != (e->n_nexthops > 0)) {
        refuse(op, "a unicast route needs next hops, others have none", "");
        return false;
    }
    if (e->metric != op->metric ||
        (e->table ? e->table : FERRY_TABLE_MAIN) != (op->table ? op->table : FERRY_TABLE_MAIN)) {
        refuse(op, "table and metric of the route are not those of its key", "");
        return false;
    }
    for (size_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        if (!ferry_sim_table_has_device(table, hop->dev)) {
            refuse(op, "there is no device ", hop->dev);
            return false;
        }
        if (hop->via.family && hop->via.family != op->prefix.addr.family) {
            refuse(op, "next hop of another family", "");
            return false;
        }
        if (!hop->via.family && !*hop->dev) {
            refuse(op, "next hop without address and device", "");
            return false;
        }
    }
    return true;
}

static void apply_route(struct ferry_sim_table *table, struct ferry_op *op, bool write)
{
    uint32_t rt_table = op->table ? op->table : FERRY_TABLE_MAIN;
    const struct ferry_sim_slot *slot = ferry_sim_table_find(table, &op->prefix);
    const struct ferry_entry *found = slot ? ferry_sim_slot_route(slot, rt_table, op->metric) : NULL;
    if (!ferry_entry_equal(found, op->before, FERRY_CMP_EXACT)) {
        stale(op, write, NULL, found, NULL);
        return;
    }
    if (!route_is_possible(table, op))
        return;
    if (write)
        ferry_sim_table_set(table, &op->prefix, rt_table, op->metric, op->after);
    op->outcome = FERRY_DONE;
}

static void apply_gateway(struct ferry_sim_table *table, struct ferry_op *op, bool write)
{
    if (!op->gateway) {
        refuse(op, "a gateway's place is not given", "");
        return;
    }
    const struct ferry_sim_slot *slot = ferry_sim_table_find(table, &op->prefix);
    const struct ferry_entry *found = slot && slot->attached ? &slot->attachment : NULL;
    struct ferry_sim_place place = ferry_sim_place_of(op->gateway, op->interface, op->table);
    bool here = found && ferry_sim_place_equal(&place, &slot->place);
    if (!ferry_entry_equal(found, op->before, FERRY_CMP_EXACT) || (found && !here)) {
        stale(op, write, &place, found, slot ? &slot->place : NULL);
        return;
    }
    if (op->after && op->after->type != FERRY_GATEWAY) {
        refuse(op, "a route cannot stand in for an attachment", "");
        return;
    }
    if (op->after && !ferry_sim_table_has_device(table, place.interface)) {
        refuse(op, "there is no device ", place.interface);
        return;
    }
    if (write)
        ferry_sim_table_attach(table, &op->prefix, &place, op->after);
    op->outcome = FERRY_DONE;
}

static void apply_announcement(struct ferry_sim_table *table, struct ferry_op *op, bool write)
{
    const struct ferry_sim_slot *slot = ferry_sim_table_find(table, &op->prefix);
    const struct ferry_entry *found = slot && slot->announced ? &slot->announcement : NULL;
    if (!ferry_entry_equal(found, op->before, FERRY_CMP_EXACT)) {
        stale(op, write, NULL, found, NULL);
        return;
    }
    if (op->after && op->after->type != FERRY_ANNOUNCEMENT) {
        refuse(op, "what is no announcement cannot stand for one", "");
        return;
    }
    if (write)
        ferry_sim_table_announce(table, &op->prefix, op->after);
    op->outcome = FERRY_DONE;
}

static void apply_selector(struct ferry_sim_table *table, struct ferry_op *op, bool write)
{
    const struct ferry_sim_slot *slot = ferry_sim_table_find(table, &op->prefix);
    const struct ferry_entry *found = slot ? ferry_sim_slot_selector(slot, op->metric) : NULL;
    if (!ferry_entry_equal(found, op->before, FERRY_CMP_EXACT)) {
        stale(op, write, NULL, found, NULL);
        return;
    }
    if (op->after && (op->after->type != FERRY_TRAFFIC_SELECTOR || op->after->metric != op->metric)) {
        refuse(op, "what is no selector of this tunnel cannot stand for one", "");
        return;
    }
    if (write)
        ferry_sim_table_select(table, &op->prefix, op->metric, op->after);
    op->outcome = FERRY_DONE;
}

void ferry_sim_table_op(struct ferry_sim_table *table, struct ferry_op *op, bool write)
{
    op->outcome = FERRY_UNKNOWN;
    ferry_op_clear(op);
    if (op->kind == FERRY_KIND_GATEWAY)
        apply_gateway(table, op, write);
    else if (op->kind == FERRY_KIND_ANNOUNCEMENT)
        apply_announcement(table, op, write);
    else if (op->kind == FERRY_KIND_SELECTOR)
        apply_selector(table, op, write);
    else
        apply_route(table, op, write);
}
