/* Answers queries about a simulated router, as struct ferry_fib asks.
 *
 *  1. An attachment whose table nobody said counts as held in every table.
 *  2. Asked about with its gateway it is a FERRY_GATEWAY; otherwise it is the kernel's route that would follow
 *     from it.
 *
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include <string.h>
#include <sys/socket.h>

#define MORE_SPECIFIC_MAX 1000u /* ferry/fib.h */
#define PROTOCOL_KERNEL   2u    /* RTPROT_KERNEL, linux/rtnetlink.h */
#define PROTOCOL_STATIC   4u    /* RTPROT_STATIC */
#define METRIC_CONNECTED6 256u  /* IP6_RT_PRIO_ADDRCONF, net/ip6_route.h */

struct answer {
    struct ferry_fib *fib;
    uint32_t query;
    uint32_t table;
};

/* Invariant 1. */
static bool attached_in(const struct ferry_sim_slot *slot, uint32_t table)
{
    return slot->attached && (!slot->place.table || slot->place.table == table);
}

static void add(const struct answer *answer, const struct ferry_prefix *prefix, enum ferry_relation relation,
                const struct ferry_entry *e)
{
    struct ferry_fib_item item = {
        .prefix = *prefix, .query = answer->query, .relation = relation, .entry = *e};
    ferry_fib_add(answer->fib, &item);
}

/* Invariant 2, second half. */
static void add_attachment_as_route(const struct answer *answer, const struct ferry_sim_slot *slot,
                                    enum ferry_relation relation)
{
    const struct ferry_sim_place *place = &slot->place;
    bool v6 = slot->prefix.addr.family == AF_INET6, routed = place->via.family != 0;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .via = place->via, .weight = 1};
    memcpy(hop.dev, place->interface, sizeof hop.dev);
    struct ferry_entry e = {
        .type = FERRY_UNICAST,
        .table = answer->table,
        .metric = !v6      ? 0
                  : routed ? 1
                           : METRIC_CONNECTED6,
        .protocol = routed ? PROTOCOL_STATIC : PROTOCOL_KERNEL,
        .n_nexthops = 1,
        .nexthops = &hop,
    };
    add(answer, &slot->prefix, relation, &e);
}

static size_t add_slot(const struct answer *answer, const struct ferry_sim_slot *slot,
                       enum ferry_relation relation, size_t limit)
{
    size_t n = 0;
    if (attached_in(slot, answer->table) && n < limit) {
        add_attachment_as_route(answer, slot, relation);
        n++;
    }
    for (size_t i = 0; i < slot->n_routes && n < limit; i++) {
        if (slot->routes[i].table != answer->table)
            continue;
        add(answer, &slot->prefix, relation, &slot->routes[i]);
        n++;
    }
    return n;
}

static void read_exact(const struct ferry_sim_table *table, const struct answer *answer,
                       const struct ferry_query_item *asked)
{
    const struct ferry_sim_slot *slot = ferry_sim_table_find(table, &asked->prefix);
    if (!slot)
        return;
    if (attached_in(slot, answer->table)) {
        struct ferry_sim_place place = {0};
        if (asked->gateway)
            place = ferry_sim_place_of(asked->gateway, asked->interface, asked->table);
        if (asked->gateway && ferry_sim_place_equal(&place, &slot->place))
            add(answer, &slot->prefix, FERRY_EXACT, &slot->attachment);
        else
            add_attachment_as_route(answer, slot, FERRY_EXACT);
    }
    for (size_t i = 0; i < slot->n_routes; i++)
        if (slot->routes[i].table == answer->table)
            add(answer, &slot->prefix, FERRY_EXACT, &slot->routes[i]);
    for (size_t i = 0; i < slot->n_selectors; i++)
        add(answer, &slot->prefix, FERRY_EXACT, &slot->selectors[i]);
    if (slot->announced)
        add(answer, &slot->prefix, FERRY_EXACT, &slot->announcement);
}

static void read_covering(const struct ferry_sim_table *table, const struct answer *answer,
                          const struct ferry_query_item *asked)
{
    const size_t *lengths = table->lengths[asked->prefix.addr.family == AF_INET6];
    for (int len = asked->prefix.len - 1; len >= 0; len--) {
        if (!lengths[len])
            continue;
        struct ferry_prefix shorter = {.addr = asked->prefix.addr, .len = (uint8_t)len};
        shorter = ferry_prefix_network(&shorter);
        const struct ferry_sim_slot *slot = ferry_sim_table_find(table, &shorter);
        if (slot && add_slot(answer, slot, FERRY_COVERING, 1))
            return;
    }
}

/* How many items a slot makes. */
static size_t held(const struct ferry_sim_slot *slot, uint32_t table)
{
    size_t n = attached_in(slot, table);
    for (size_t i = 0; i < slot->n_routes; i++)
        n += slot->routes[i].table == table;
    return n;
}

static void read_more_specific(const struct ferry_sim_table *table, const struct answer *answer,
                               const struct ferry_query_item *asked)
{
    size_t low = 0, high = table->n, n = 0;
    while (low < high) { /* the first slot after the prefix itself */
        size_t middle = low + (high - low) / 2;
        if (ferry_prefix_compare(&table->slots[middle]->prefix, &asked->prefix) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    /* At an equal address a shorter length stands before: all that follow are longer. */
    for (; low < table->n && ferry_prefix_contains(&asked->prefix, &table->slots[low]->prefix.addr); low++) {
        const struct ferry_sim_slot *slot = table->slots[low];
        if (n + held(slot, answer->table) > MORE_SPECIFIC_MAX)
            answer->fib->cut = true;
        n += add_slot(answer, slot, FERRY_MORE_SPECIFIC, MORE_SPECIFIC_MAX - n);
        if (n >= MORE_SPECIFIC_MAX && answer->fib->cut)
            return;
    }
}

static void read_all(const struct ferry_sim_table *table, struct ferry_fib *fib)
{
    struct answer answer = {.fib = fib, .query = UINT32_MAX, .table = FERRY_TABLE_MAIN};
    for (size_t i = 0; i < table->n; i++) {
        const struct ferry_sim_slot *slot = table->slots[i];
        answer.table = slot->place.table ? slot->place.table : FERRY_TABLE_MAIN;
        if (slot->attached)
            add_attachment_as_route(&answer, slot, FERRY_EXACT);
        for (size_t r = 0; r < slot->n_routes; r++)
            add(&answer, &slot->prefix, FERRY_EXACT, &slot->routes[r]);
    }
}

void ferry_sim_table_read(const struct ferry_sim_table *table, const struct ferry_query *query,
                          struct ferry_fib *ret)
{
    if (query->all) {
        read_all(table, ret);
        return;
    }
    for (size_t i = 0; i < query->n; i++) {
        const struct ferry_query_item *asked = &query->items[i];
        struct answer answer = {
            .fib = ret, .query = (uint32_t)i, .table = asked->table ? asked->table : FERRY_TABLE_MAIN};
        read_exact(table, &answer, asked);
        read_covering(table, &answer, asked);
        read_more_specific(table, &answer, asked);
    }
}
