/* model: shortest paths against Bellman-Ford on random networks: both families, parallel links, costs that
 * differ by direction, several gateways, with and without ECMP.  tests/scenario/test_spf.py compares with
 * networkx.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include <ferry/topology.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t seed;

/* Knuth's MMIX. */
static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

/* A topology put together by hand, without index: link i has the networks 10.i.i.0/24 and 2001:db8:i::/64. */
static struct ferry_topology *make(uint32_t n_routers, uint32_t n_links, bool ecmp)
{
    struct ferry_topology *t = ferry_calloc(1, sizeof *t);
    t->ecmp = ecmp;
    t->n_routers = n_routers;
    t->routers = ferry_calloc(n_routers, sizeof *t->routers);
    t->links = ferry_calloc(n_links, sizeof *t->links);
    for (uint32_t r = 0; r < n_routers; r++) {
        t->routers[r].table = 1000 + r;
        t->routers[r].interfaces = ferry_calloc(2 * n_links, sizeof *t->routers[r].interfaces);
    }
    return t;
}

static struct ferry_end add_interface(struct ferry_topology *t, uint32_t router, uint32_t link, uint8_t host,
                                      unsigned families)
{
    struct ferry_router *r = &t->routers[router];
    struct ferry_interface *i = &r->interfaces[r->n_interfaces++];
    uint8_t high = (uint8_t)(link >> 8), low = (uint8_t)link;
    snprintf(i->name, sizeof i->name, "l%u", link);
    i->addresses = ferry_calloc(2, sizeof *i->addresses);
    if (families & 1)
        i->addresses[i->n_addresses++] = (struct ferry_prefix){{AF_INET, {10, high, low, host}}, 24};
    if (families & 2)
        i->addresses[i->n_addresses++] =
            (struct ferry_prefix){{AF_INET6, {0x20, 1, 0xd, 0xb8, high, low, [15] = host}}, 64};
    return (struct ferry_end){router, (uint32_t)r->n_interfaces - 1};
}

static void add_link(struct ferry_topology *t, uint32_t a, uint32_t b, uint32_t ab, uint32_t ba,
                     unsigned families)
{
    uint32_t index = (uint32_t)t->n_links++;
    t->links[index] = (struct ferry_link){.cost_ab = ab, .cost_ba = ba};
    t->links[index].a = add_interface(t, a, index, 1, families);
    t->links[index].b = add_interface(t, b, index, 2, random_below(4) ? families : 3);
}

static struct ferry_topology *random_topology(void)
{
    uint32_t n = 1 + random_below(12), links = random_below(2 * n + 1), most = 1 + random_below(5);
    struct ferry_topology *t = make(n, links, random_below(2));
    while (n > 1 && t->n_links < links) {
        uint32_t a = random_below(n), b = (a + 1 + random_below(n - 1)) % n;
        add_link(t, a, b, 1 + random_below(most), 1 + random_below(most), 1 + random_below(3));
    }
    return t;
}

/* One direction of a link. */
struct arc {
    uint32_t from, to, cost;
    const char *dev;
    const struct ferry_addr *via;
};

static bool arc_of(const struct ferry_topology *t, uint32_t link, bool backwards, uint8_t family,
                   struct arc *ret)
{
    const struct ferry_link *l = &t->links[link];
    const struct ferry_end *from = backwards ? &l->b : &l->a, *to = backwards ? &l->a : &l->b;
    const struct ferry_interface *here = &t->routers[from->router].interfaces[from->interface];
    const struct ferry_interface *there = &t->routers[to->router].interfaces[to->interface];
    bool has = false;
    ret->via = NULL;
    for (size_t i = 0; i < here->n_addresses; i++)
        has = has || here->addresses[i].addr.family == family;
    for (size_t i = 0; i < there->n_addresses; i++)
        if (there->addresses[i].addr.family == family)
            ret->via = &there->addresses[i].addr;
    ret->from = from->router;
    ret->to = to->router;
    ret->cost = backwards ? l->cost_ba : l->cost_ab;
    ret->dev = here->name;
    return has && ret->via;
}

static void bellman_ford(const struct ferry_topology *t, uint8_t family, uint64_t *distance)
{
    struct arc arc;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < 2 * t->n_links; i++) {
            if (!arc_of(t, i / 2, i % 2, family, &arc) || distance[arc.to] == UINT64_MAX ||
                distance[arc.from] <= distance[arc.to] + arc.cost)
                continue;
            distance[arc.from] = distance[arc.to] + arc.cost;
            changed = true;
        }
    }
}

static bool has_hop(const struct ferry_entry *e, const struct arc *arc)
{
    for (size_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        if (hop->router == arc->to && strcmp(hop->dev, arc->dev) == 0 &&
            ferry_addr_equal(&hop->via, arc->via) && hop->weight == 1 && !hop->onlink)
            return true;
    }
    return false;
}

/* All shortest arcs, or the first of them in the order of the links. */
static void check_hops(const struct ferry_topology *t, uint32_t router, const uint64_t *distance,
                       uint8_t family, const struct ferry_entry *e)
{
    size_t n = 0;
    for (uint32_t i = 0; i < 2 * t->n_links; i++) {
        struct arc arc;
        if (!arc_of(t, i / 2, i % 2, family, &arc) || arc.from != router || distance[arc.to] == UINT64_MAX ||
            distance[arc.to] + arc.cost != distance[router])
            continue;
        if (t->ecmp || n == 0)
            assert_true(has_hop(e, &arc));
        n++;
    }
    assert_int_equal(e->n_nexthops, t->ecmp ? n : 1);
    assert_int_equal(e->type, FERRY_UNICAST);
    assert_int_equal(e->metric, 77);
    assert_int_equal(e->protocol, 4);
}

static void compare(const struct ferry_topology *t, uint8_t family, uint32_t table)
{
    uint64_t distance[16];
    uint32_t gateways[4];
    const struct ferry_entry *entries[16];
    struct ferry_err err;
    struct ferry_pool *pool = ferry_pool_new();
    size_t n = random_below(4);
    memset(distance, 0xff, sizeof distance);
    for (size_t i = 0; i < n; i++) {
        gateways[i] = random_below((uint32_t)t->n_routers); /* the same one twice, too */
        distance[gateways[i]] = 0;
    }
    assert_int_equal(ferry_spf(t, gateways, n, family, table, 77, 4, pool, entries, &err), 0);
    bellman_ford(t, family, distance);
    for (uint32_t r = 0; r < t->n_routers; r++) {
        if (distance[r] == UINT64_MAX) {
            assert_null(entries[r]);
        } else if (distance[r] == 0) {
            assert_int_equal(entries[r]->type, FERRY_GATEWAY);
        } else {
            check_hops(t, r, distance, family, entries[r]);
            assert_int_equal(entries[r]->table, table ? table : 1000 + r);
        }
    }
    ferry_pool_free(pool);
}

static void it_finds_what_bellman_ford_finds(void **state)
{
    (void)state;
    seed = 20261120;
    for (int i = 0; i < 5000; i++) {
        struct ferry_topology *t = random_topology();
        compare(t, AF_INET, 0);
        compare(t, AF_INET6, 42);
        ferry_topology_free(t);
    }
}

static void a_gateway_must_be_a_router(void **state)
{
    struct ferry_topology *t = make(1, 0, false);
    const struct ferry_entry *untouched = (const struct ferry_entry *)(uintptr_t)1, *entry = untouched;
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_err err;
    (void)state;
    assert_int_equal(ferry_spf(t, &(uint32_t){1}, 1, AF_INET, 0, 20, 4, pool, &entry, &err), -FERRY_EINPUT);
    assert_ptr_equal(entry, untouched);
    ferry_pool_free(pool);
    ferry_topology_free(t);
}

/* Costs near 2^32 add up beyond it. */
static void distances_do_not_overflow(void **state)
{
    struct ferry_topology *t = make(3, 3, true);
    const struct ferry_entry *entries[3];
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_err err;
    (void)state;
    add_link(t, 0, 1, UINT32_MAX, UINT32_MAX, 3);
    add_link(t, 1, 2, UINT32_MAX, UINT32_MAX, 3);
    add_link(t, 0, 2, UINT32_MAX, UINT32_MAX, 3);
    assert_int_equal(ferry_spf(t, &(uint32_t){0}, 1, AF_INET, 0, 20, 4, pool, entries, &err), 0);
    assert_int_equal(entries[2]->n_nexthops, 1);
    assert_int_equal(entries[2]->nexthops[0].router, 0);
    ferry_pool_free(pool);
    ferry_topology_free(t);
}

/* 2,500 routers, 10,000 links. */
static void ten_thousand_links_are_quick(void **state)
{
    struct ferry_topology *t = ferry_calloc(1, sizeof *t);
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(2500, sizeof *entries);
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_err err;
    (void)state;
    seed = 1;
    t->ecmp = true;
    t->n_routers = 2500;
    t->routers = ferry_calloc(t->n_routers, sizeof *t->routers);
    t->links = ferry_calloc(10000, sizeof *t->links);
    for (uint32_t i = 0; i < 2500; i++)
        t->routers[i].interfaces = ferry_calloc(64, sizeof *t->routers[i].interfaces);
    while (t->n_links < 10000) {
        uint32_t a = (uint32_t)t->n_links % 2500, b = (a + 1 + random_below(2499)) % 2500;
        if (t->routers[a].n_interfaces < 64 && t->routers[b].n_interfaces < 64)
            add_link(t, a, b, 1 + random_below(9), 1 + random_below(9), 3);
    }
    clock_t start = clock();
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(ferry_spf(t, &i, 1, AF_INET6, 0, 20, 4, pool, entries, &err), 0);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("10 times 10,000 links in %.3f s\n", seconds);
    assert_true(seconds < 20); /* a hundred times more than needed */
    ferry_pool_free(pool);
    ferry_topology_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_bellman_ford_finds),
        cmocka_unit_test(a_gateway_must_be_a_router),
        cmocka_unit_test(distances_do_not_overflow),
        cmocka_unit_test(ten_thousand_links_are_quick),
    };
    return cmocka_run_group_tests_name("model: shortest paths", tests, NULL, NULL);
}
