/* model: the state of subnets on all routers, from the topology alone and from what drivers read.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include <ferry/fib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PRIMARY, RECOVERY, THIRD }; /* sites and routers of three-site.json */

static struct ferry_topology *three;
static struct ferry_pool *pool;
static const uint32_t app[] = {0};

static struct ferry_topology *load(const char *file)
{
    FERRY_AUTOFREE char *path = ferry_asprintf(FERRY_SOURCE_DIR "/%s", file);
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_load(path, &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static int set_up(void **state)
{
    (void)state;
    three = load("topologies/three-site.json");
    pool = ferry_pool_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ferry_topology_free(three);
    ferry_pool_free(pool);
    return 0;
}

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_prefix p = {0};
    struct ferry_err err;
    if (ferry_prefix_parse(text, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static struct ferry_nexthop hop(const char *via, const char *dev)
{
    struct ferry_nexthop h = {.router = FERRY_NO_ROUTER, .weight = 1};
    struct ferry_err err;
    if (*via && ferry_addr_parse(via, &h.via, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(h.dev, dev, strlen(dev) + 1);
    return h;
}

static void read_route(struct ferry_fib *fib, const char *text, uint32_t query, enum ferry_relation relation,
                       uint32_t metric, const char *via, const char *dev)
{
    struct ferry_nexthop h = hop(via, dev);
    struct ferry_fib_item item = {.prefix = prefix(text), .query = query, .relation = relation};
    item.entry = (struct ferry_entry){
        .type = FERRY_UNICAST, .table = FERRY_TABLE_MAIN, .metric = metric, .protocol = 4};
    item.entry.n_nexthops = 1;
    item.entry.nexthops = &h;
    ferry_fib_add(fib, &item);
}

static void read_gateway(struct ferry_fib *fib, uint32_t query, const char *native)
{
    struct ferry_fib_item item = {
        .prefix = prefix("192.168.1.0/24"), .query = query, .relation = FERRY_EXACT};
    item.entry = (struct ferry_entry){.type = FERRY_GATEWAY, .native_len = (uint32_t)strlen(native)};
    item.entry.native = (const uint8_t *)native;
    ferry_fib_add(fib, &item);
}

static void expect_text(const struct ferry_entry *e, const char *text)
{
    char buf[256];
    assert_string_equal(ferry_entry_text(e, buf, sizeof buf), text);
}

static void offline_is_attached_and_routed(void **state)
{
    struct ferry_live *live = ferry_live_new(three, pool, app, 1);
    struct ferry_err err;
    uint32_t active = RECOVERY;
    (void)state;
    assert_int_equal(ferry_live_offline(live, &active, &err), 0);
    assert_int_equal(live->stacks[RECOVERY]->n, 1);
    expect_text(live->stacks[RECOVERY]->entries[0], "gateway");
    expect_text(live->stacks[PRIMARY]->entries[0],
                "unicast via 10.255.12.2 dev to-recovery metric 20 protocol static");
    assert_int_equal(live->stacks[PRIMARY]->entries[0]->nexthops[0].router, RECOVERY);
    assert_null(live->attached[0][0]);
    assert_int_equal(live->n_conflicts, 0);
    active = PRIMARY; /* again, elsewhere: nothing of the old state stays */
    assert_int_equal(ferry_live_offline(live, &active, &err), 0);
    expect_text(live->stacks[PRIMARY]->entries[0], "gateway");
    expect_text(live->stacks[THIRD]->entries[0],
                "unicast via 10.255.13.1 dev to-primary metric 20 protocol static");
    active = FERRY_NONE;
    assert_int_equal(ferry_live_offline(live, &active, &err), 0);
    assert_null(live->stacks[PRIMARY]);
    active = THIRD;
    assert_int_equal(ferry_live_offline(live, &active, &err), -FERRY_EUSAGE);
    assert_string_equal(err.text, "subnet 'app' has no gateway at site 'third'");
    ferry_live_free(live);
    ferry_live_free(NULL);
}

static void a_query_asks_for_every_column(void **state)
{
    struct ferry_topology *t = load("topologies/routed.json");
    uint32_t columns[] = {1, 0};
    struct ferry_live *live = ferry_live_new(t, pool, columns, 2);
    struct ferry_query *query = ferry_live_query(live, 0), *third = ferry_live_query(live, 2);
    (void)state;
    assert_int_equal(query->n, 2);
    assert_false(query->all);
    assert_true(ferry_prefix_equal(&query->items[0].prefix, &t->subnets[1].prefix));
    assert_int_equal(query->items[0].table, t->routers[0].table);
    assert_ptr_equal(query->items[0].gateway, &t->subnets[1].gateways[0]);
    assert_string_equal(query->items[0].interface, "lan0");
    assert_true(query->items[1].gateway->via.family == AF_INET);
    assert_null(third->items[0].gateway);
    assert_null(third->items[0].interface);
    ferry_query_free(query);
    ferry_query_free(third);
    ferry_query_free(NULL);
    ferry_live_free(live);
    ferry_topology_free(t);
}

static void what_was_read_becomes_a_stack(void **state)
{
    struct ferry_live *live = ferry_live_new(three, pool, app, 1);
    struct ferry_fib fib = {0};
    struct ferry_err err;
    (void)state;
    read_route(&fib, "192.168.1.0/24", 0, FERRY_EXACT, 500, "10.255.13.2", "to-third");
    read_gateway(&fib, 0, "label");
    read_route(&fib, "192.168.1.0/24", 0, FERRY_EXACT, 20, "10.255.12.2", "to-recovery");
    assert_int_equal(ferry_live_set(live, PRIMARY, &fib, &err), 0);
    ferry_fib_clear(&fib);
    const struct ferry_stack *stack = live->stacks[PRIMARY];
    assert_int_equal(stack->n, 3);
    expect_text(stack->entries[0], "gateway"); /* the plain one: stacks are shared by subnets */
    assert_int_equal(stack->entries[1]->metric, 20);
    assert_int_equal(stack->entries[1]->nexthops[0].router, RECOVERY);
    assert_int_equal(stack->entries[2]->nexthops[0].router, THIRD);
    assert_int_equal(live->attached[0][0]->native_len, 5);
    assert_null(live->attached[0][1]);
    /* Read again: empty. */
    assert_int_equal(ferry_live_set(live, PRIMARY, &fib, &err), 0);
    assert_null(live->stacks[PRIMARY]);
    assert_null(live->attached[0][0]);
    ferry_live_free(live);
}

/* Which of its tables are VRFs a plan has to know: its routers' lines stand in their blocks. */
static void vrfs_are_kept_with_what_was_read(void **state)
{
    struct ferry_live *live = ferry_live_new(three, pool, app, 1);
    struct ferry_vrf red = {"red", 100};
    struct ferry_fib fib = {.vrfs = ferry_memdup(&red, sizeof red), .n_vrfs = 1}, none = {0};
    struct ferry_err err;
    (void)state;
    assert_int_equal(ferry_live_set(live, PRIMARY, &fib, &err), 0);
    ferry_fib_clear(&fib);
    assert_int_equal(live->vrfs[PRIMARY].n, 1);
    assert_string_equal(live->vrfs[PRIMARY].v[0].name, "red");
    assert_int_equal(live->vrfs[RECOVERY].n, 0);
    struct ferry_driver_config config = {0}, copy;
    ferry_driver_config_set_vrfs(&config, live->vrfs[PRIMARY].v, live->vrfs[PRIMARY].n);
    assert_int_equal(ferry_live_set(live, PRIMARY, &none, &err), 0);
    assert_int_equal(live->vrfs[PRIMARY].n, 0);
    ferry_live_free(live);
    copy = ferry_driver_config_copy(&config);
    assert_true(
        ferry_driver_config_equal(&copy, &(struct ferry_driver_config){0})); /* no matter how it is reached */
    ferry_driver_config_clear(&config);
    assert_string_equal(ferry_driver_config_vrf(&copy, 100)->name, "red");
    assert_null(ferry_driver_config_vrf(&copy, FERRY_TABLE_MAIN));
    ferry_driver_config_clear(&copy);
}

static void next_hops_are_resolved(void **state)
{
    static const struct {
        const char *via, *dev;
        uint32_t router;
    } cases[] = {
        {"10.255.12.2", "to-recovery", RECOVERY},
        {"", "to-recovery", RECOVERY},         /* point to point */
        {"10.255.12.2", "", RECOVERY},         /* by the address alone */
        {"10.255.23.2", "lan0", THIRD},        /* an address of its other link */
        {"192.168.3.1", "to-recovery", THIRD}, /* the address says more than the link */
        {"", "lan0", FERRY_NO_ROUTER},
        {"", "", FERRY_NO_ROUTER},
        {"10.9.9.9", "to-recovery", FERRY_NO_ROUTER},
        {"10.255.12.2", "eth9", RECOVERY},
        {"fe80::1", "lan0", FERRY_NO_ROUTER},
    };
    struct ferry_live *live = ferry_live_new(three, pool, app, 1);
    struct ferry_err err;
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_fib fib = {0};
        read_route(&fib, "192.168.1.0/24", 0, FERRY_EXACT, 20, cases[i].via, cases[i].dev);
        assert_int_equal(ferry_live_set(live, PRIMARY, &fib, &err), 0);
        assert_int_equal(live->stacks[PRIMARY]->entries[0]->nexthops[0].router, cases[i].router);
        ferry_fib_clear(&fib);
    }
    ferry_live_free(live);
}

static void covers_and_conflicts_are_collected(void **state)
{
    struct ferry_live *live = ferry_live_new(three, pool, app, 1);
    struct ferry_fib fib = {0};
    struct ferry_err err;
    (void)state;
    read_route(&fib, "192.0.0.0/8", 0, FERRY_COVERING, 0, "10.255.13.1", "to-primary");
    read_route(&fib, "192.168.0.0/16", 0, FERRY_COVERING, 30, "10.255.13.1", "to-primary");
    read_route(&fib, "192.168.0.0/16", 0, FERRY_COVERING, 10, "10.255.23.1", "to-recovery");
    read_route(&fib, "0.0.0.0/0", 0, FERRY_COVERING, 0, "10.255.13.1", "to-primary");
    read_route(&fib, "192.168.1.128/25", 0, FERRY_MORE_SPECIFIC, 0, "10.255.13.1", "to-primary");
    assert_int_equal(ferry_live_set(live, THIRD, &fib, &err), 0);
    ferry_fib_clear(&fib);
    assert_int_equal(live->covers[THIRD]->metric, 10);
    assert_int_equal(live->covers[THIRD]->nexthops[0].router, RECOVERY);
    assert_int_equal(live->n_conflicts, 2);
    assert_int_equal(live->conflicts[0].relation, FERRY_MORE_SPECIFIC);
    assert_int_equal(live->conflicts[0].prefix.len, 25);
    assert_int_equal(live->conflicts[0].router, THIRD);
    assert_int_equal(live->conflicts[0].subnet, 0);
    assert_int_equal(live->conflicts[1].relation, FERRY_COVERING);
    assert_int_equal(live->conflicts[1].prefix.len, 16);
    assert_ptr_equal(live->conflicts[1].entry, live->covers[THIRD]);
    /* Another router's row is its own; a new reading replaces the old one. */
    read_route(&fib, "192.168.1.0/25", 0, FERRY_MORE_SPECIFIC, 0, "10.255.23.2", "to-third");
    assert_int_equal(ferry_live_set(live, RECOVERY, &fib, &err), 0);
    assert_int_equal(live->n_conflicts, 3);
    ferry_fib_clear(&fib);
    live->unreachable[THIRD] = true;
    assert_int_equal(ferry_live_set(live, THIRD, &fib, &err), 0);
    assert_false(live->unreachable[THIRD]);
    assert_null(live->covers[THIRD]);
    assert_int_equal(live->n_conflicts, 1);
    assert_int_equal(live->conflicts[0].router, RECOVERY);
    ferry_live_free(live);
}

static void nonsense_of_a_driver_changes_nothing(void **state)
{
    struct ferry_live *live = ferry_live_new(three, pool, app, 1);
    struct ferry_fib good = {0}, unasked = {0}, misplaced = {0};
    struct ferry_err err;
    (void)state;
    read_gateway(&good, 0, "");
    assert_int_equal(ferry_live_set(live, PRIMARY, &good, &err), 0);
    const struct ferry_stack *before = live->stacks[PRIMARY];
    read_gateway(&unasked, 1, "");
    assert_int_equal(ferry_live_set(live, PRIMARY, &unasked, &err), -FERRY_EIO);
    assert_string_equal(err.text, "edge-primary: the driver answered what was not asked: 192.168.1.0/24");
    assert_ptr_equal(live->stacks[PRIMARY], before);
    read_gateway(&misplaced, 0, "");
    assert_int_equal(ferry_live_set(live, THIRD, &misplaced, &err), -FERRY_EIO);
    assert_string_equal(err.text,
                        "edge-third: the driver reports 192.168.1.0/24 attached where it has no gateway");
    ferry_fib_clear(&good);
    ferry_fib_clear(&unasked);
    ferry_fib_clear(&misplaced);
    ferry_live_free(live);
}

/* Nested subnets see each other, and the networks of interfaces, as a driver would report them. */
static void offline_knows_the_surroundings(void **state)
{
    struct ferry_topology *t = load("tests/fixtures/topology/valid/nested-and-adjacent.json");
    uint32_t columns[] = {ferry_topology_subnet(t, "all"), ferry_topology_subnet(t, "app"),
                          ferry_topology_subnet(t, "next")};
    uint32_t west = ferry_topology_site(t, "west"), east = ferry_topology_site(t, "east");
    uint32_t e1 = ferry_topology_router(t, "e1"), w1 = ferry_topology_router(t, "w1"),
             active[] = {west, east, west};
    struct ferry_live *live = ferry_live_new(t, pool, columns, 3);
    struct ferry_err err;
    size_t specific = 0, covering = 0;
    (void)state;
    assert_int_equal(ferry_live_offline(live, active, &err), 0);
    assert_ptr_equal(live->covers[e1 * 3 + 1], live->stacks[e1 * 3]->entries[0]);       /* app falls to all */
    expect_text(live->covers[w1 * 3 + 1], "unicast dev lan0 metric 0 protocol kernel"); /* attached there */
    assert_null(live->covers[w1 * 3]);
    assert_null(live->covers[w1 * 3 + 2]); /* next is in table 100 */
    expect_text(live->stacks[e1 * 3]->entries[0], "unicast via 10.0.0.2 dev to-w1 metric 20 protocol static");
    expect_text(live->stacks[e1 * 3 + 2]->entries[0],
                "unicast via 10.0.0.2 dev to-w1 metric 20 protocol static table 100");
    for (size_t i = 0; i < live->n_conflicts; i++) {
        const struct ferry_conflict *c = &live->conflicts[i];
        specific += c->relation == FERRY_MORE_SPECIFIC && c->subnet == columns[0] && c->prefix.len == 24;
        covering += c->relation == FERRY_COVERING && c->subnet == columns[1] && c->prefix.len == 16;
    }
    assert_int_equal(specific, 2);
    assert_int_equal(covering, 2);
    assert_int_equal(live->n_conflicts, 4);
    ferry_live_free(live);
    ferry_topology_free(t);
}

/* The kernel's own routes for them stand in the main table alone. */
static void networks_of_interfaces_cover_in_the_main_table(void **state)
{
    static const char text[] =
        "{\"ferry\":1,\"name\":\"t\",\"sites\":[{\"name\":\"s\"}],\"routers\":[{\"name\":\"r\",\"site\":"
        "\"s\","
        "\"driver\":{\"type\":\"sim\"},\"interfaces\":[{\"name\":\"lan0\"},"
        "{\"name\":\"lan1\",\"addresses\":[\"172.16.0.1/24\",\"172.16.1.129/25\"]}]}],\"subnets\":["
        "{\"name\":\"main\",\"prefix\":\"172.16.0.128/25\",\"home\":\"s\",\"gateways\":["
        "{\"router\":\"r\",\"interface\":\"lan0\",\"address\":\"172.16.0.129/25\"}]},"
        "{\"name\":\"other\",\"prefix\":\"172.16.0.64/26\",\"home\":\"s\",\"table\":100,\"gateways\":["
        "{\"router\":\"r\",\"interface\":\"lan0\",\"address\":\"172.16.0.65/26\"}]},"
        "{\"name\":\"outer\",\"prefix\":\"172.16.1.0/24\",\"home\":\"s\",\"gateways\":["
        "{\"router\":\"r\",\"interface\":\"lan0\",\"address\":\"172.16.1.1/24\"}]}]}";
    uint32_t columns[] = {0, 1, 2}, active[] = {0, 0, 0};
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    (void)state;
    if (ferry_topology_parse("t", text, strlen(text), &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    struct ferry_live *live = ferry_live_new(t, pool, columns, 3);
    assert_int_equal(ferry_live_offline(live, active, &err), 0);
    expect_text(live->covers[0], "unicast dev lan1 metric 0 protocol kernel");
    assert_null(live->covers[1]);
    assert_null(live->covers[2]);
    assert_int_equal(live->n_conflicts, 2);
    assert_int_equal(live->conflicts[0].subnet, 2);
    assert_int_equal(live->conflicts[0].relation, FERRY_MORE_SPECIFIC);
    assert_int_equal(live->conflicts[1].subnet, 0);
    assert_int_equal(live->conflicts[1].relation, FERRY_COVERING);
    ferry_live_free(live);
    ferry_topology_free(t);
}

static void routed_gateways_and_tables(void **state)
{
    struct ferry_topology *t = load("topologies/routed.json");
    uint32_t column = 0, active = t->subnets[0].home;
    struct ferry_live *live = ferry_live_new(t, pool, &column, 1);
    struct ferry_err err;
    (void)state;
    assert_int_equal(ferry_live_offline(live, &active, &err), 0);
    expect_text(live->stacks[0]->entries[0], "gateway");
    expect_text(live->stacks[1]->entries[0],
                "unicast via 10.255.0.1 dev to-primary metric 20 protocol static");
    expect_text(live->stacks[2]->entries[0],
                "unicast via 10.255.0.5 dev to-primary metric 20 protocol static table 100");
    ferry_live_free(live);
    ferry_topology_free(t);
}

/* Two subnets that share their gateways share their trees: the same pointers. */
static void trees_are_shared(void **state)
{
    struct ferry_topology *t = load("topologies/subnets-200.json");
    FERRY_AUTOFREE uint32_t *columns = ferry_calloc(t->n_subnets, sizeof *columns);
    FERRY_AUTOFREE uint32_t *active = ferry_calloc(t->n_subnets, sizeof *active);
    struct ferry_err err;
    (void)state;
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        columns[i] = i;
        active[i] = t->subnets[i].home;
    }
    struct ferry_live *live = ferry_live_new(t, pool, columns, t->n_subnets);
    assert_int_equal(ferry_live_offline(live, active, &err), 0);
    size_t before = ferry_pool_count(pool);
    assert_true(before < 100);
    for (size_t i = 1; i < t->n_subnets; i++)
        if (active[i] == active[0] && t->subnets[i].prefix.addr.family == t->subnets[0].prefix.addr.family)
            assert_ptr_equal(live->stacks[i], live->stacks[0]);
    ferry_live_free(live);
    ferry_topology_free(t);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(offline_is_attached_and_routed),
        TEST(a_query_asks_for_every_column),
        TEST(what_was_read_becomes_a_stack),
        TEST(vrfs_are_kept_with_what_was_read),
        TEST(next_hops_are_resolved),
        TEST(covers_and_conflicts_are_collected),
        TEST(nonsense_of_a_driver_changes_nothing),
        TEST(offline_knows_the_surroundings),
        TEST(routed_gateways_and_tables),
        TEST(trees_are_shared),
        TEST(networks_of_interfaces_cover_in_the_main_table),
    };
    return cmocka_run_group_tests_name("model: live", tests, NULL, NULL);
}
