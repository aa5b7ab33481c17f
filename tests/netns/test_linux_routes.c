/* Foreign routes with everything that the kernel knows: replaced, removed, and put back byte for byte.
 * SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <unistd.h>

static struct ferry_entry drop_of(const struct ferry_entry *e)
{
    return (struct ferry_entry){
        .type = FERRY_BLACKHOLE, .table = e->table, .metric = e->metric, .protocol = FERRY_PROTOCOL};
}

/* Each step of a move and its undo on the route that `prefix` has now. */
static void round_trip(struct kernel *k, const char *prefix, uint32_t table)
{
    char *was = kernel_snapshot(k);
    struct ferry_fib fib = kernel_read(k, prefix, table, NULL, NULL);
    const struct ferry_entry *e = kernel_only(&fib);
    const struct ferry_entry drop = drop_of(e);

    struct ferry_op replace = kernel_route(prefix, e, &drop), undo = kernel_swap(&replace);
    kernel_apply(k, &replace, FERRY_DONE);
    struct ferry_fib dropped = kernel_read(k, prefix, table, NULL, NULL);
    assert_true(ferry_entry_equal(kernel_only(&dropped), &drop, FERRY_CMP_EXACT));
    ferry_fib_clear(&dropped);
    kernel_apply(k, &undo, FERRY_DONE);
    kernel_same(k, was);

    struct ferry_op take = kernel_route(prefix, e, NULL), back = kernel_swap(&take);
    kernel_apply(k, &take, FERRY_DONE);
    struct ferry_fib none = kernel_read(k, prefix, table, NULL, NULL);
    for (size_t i = 0; i < none.n; i++)
        assert_int_not_equal(none.items[i].relation, FERRY_EXACT);
    ferry_fib_clear(&none);
    kernel_apply(k, &back, FERRY_DONE);
    kernel_same(k, was);

    struct ferry_fib again = kernel_read(k, prefix, table, NULL, NULL);
    assert_true(ferry_entry_equal(kernel_only(&again), e, FERRY_CMP_EXACT));
    ferry_fib_clear(&again);
    ferry_fib_clear(&fib);
    free(was);
}

#define V4 "192.168.1.0/24"
#define V6 "fd00:1::/64"

static const struct {
    const char *route; /* `ip route add …` */
    uint32_t table;
    bool native; /* more than the fields can say */
} v4_routes[] = {
    {V4 " via 10.255.1.2 dev up0 proto static", 254, false},
    {V4 " via 10.255.1.2 dev up0 metric 20 proto 210", 254, false},
    {V4 " via 10.255.1.2 dev up0 metric 20 proto bird src 10.255.2.1", 254, true},
    {V4 " via 10.255.1.2 dev up0 mtu lock 1400 advmss 1300 window 5000 rto_min 30ms initcwnd 7 hoplimit 9",
     254, true},
    {V4 " via 10.255.1.2 dev up0 congctl lock reno quickack 1 rtt 80ms features ecn", 254, true},
    {V4 " via 10.255.1.2 dev up0 realms 5/7", 254, true},
    {V4 " via 10.255.1.2 dev up0 realms 9", 254, true},
    {V4 " via 172.16.0.1 dev up0 onlink", 254, false},
    {V4 " via 10.255.1.2 dev up0 tos 0x10", 254, true},
    {V4 " via inet6 fd00:255:1::2 dev up0", 254, false},
    {V4 " dev up0", 254, false},
    {V4 " dev up0 scope global", 254, true},
    {V4 " via 10.255.1.2 dev up0 table 100 metric 5", 100, false},
    {V4 " via 10.255.1.2 dev up0 table 70000 metric 5", 70000, false},
    {V4 " metric 7 nexthop via 10.255.1.2 dev up0 weight 3 nexthop via 10.255.2.2 dev up1", 254, false},
    {V4 " nexthop via 10.255.2.2 dev up1 weight 256 nexthop via 10.255.1.2 dev up0", 254, true},
    {V4 " nexthop via 172.16.0.1 dev up0 onlink nexthop via 10.255.2.2 dev up1", 254, true},
    {V4 " mtu 1300 nexthop via 10.255.1.2 dev up0 realms 4 nexthop via 10.255.2.2 dev up1 realms 6/3", 254,
     true},
    {V4 " nexthop via inet6 fd00:255:2::2 dev up1 nexthop via 10.255.1.2 dev up0", 254, true},
    {V4 " nexthop dev up0 nexthop dev up1", 254, true} /* ip says scope global here */,
    {"blackhole " V4, 254, false},
    {"unreachable " V4 " metric 8 proto static", 254, false},
    {"prohibit " V4 " metric 8", 254, false},
    {"throw " V4 " table 100", 100, true},
    {V4 " encap ip id 77 src 1.2.3.4 dst 5.6.7.8 ttl 9 tos 4 dev up0", 254, true},
    {V4 " nexthop encap ip id 7 dst 5.6.7.8 via 10.255.1.2 dev up0 nexthop via 10.255.2.2 dev up1", 254,
     true},
};

static const struct {
    const char *route;
    uint32_t table;
    bool native;
} v6_routes[] = {
    {V6 " via fd00:255:1::2 dev up0 proto static", 254, false},
    {V6 " via fd00:255:1::2 dev up0 metric 20 proto 210", 254, false},
    {V6 " via fe80::77 dev up0 metric 20", 254, false},
    {V6 " via fd00:255:1::2 dev up0 src fd00:255:2::1", 254, true},
    {V6 " via fd00:255:1::2 dev up0 mtu lock 1400 advmss 1300 hoplimit 7", 254, true},
    {V6 " via fd00:255:1::2 dev up0 pref high", 254, true},
    {V6 " via fd00:255:1::2 dev up0 pref low", 254, true},
    {V6 " via fd00:999::1 dev up0 onlink", 254, false},
    {V6 " dev up0 metric 300", 254, false},
    {V6 " via fd00:255:1::2 dev up0 table 100 metric 5", 100, false},
    {V6 " metric 7 nexthop via fd00:255:1::2 dev up0 weight 3 nexthop via fd00:255:2::2 dev up1", 254, false},
    {V6 " nexthop via fd00:255:2::2 dev up1 weight 9 nexthop via fd00:255:1::2 dev up0", 254, true},
    {"blackhole " V6, 254, false},
    {"unreachable " V6 " metric 8 proto static", 254, false},
    {"prohibit " V6 " metric 8", 254, false},
    {"throw " V6 " table 100", 100, true},
    {V6 " encap seg6 mode encap segs fd00:255:1::5,fd00:255:1::6 via fd00:255:1::2 dev up0", 254, true},
    {V6 " encap ip6 id 3 dst fd00:255:1::5 hoplimit 9 dev up0", 254, true},
};

/* What no command could put back is refused before anything is written. */
static bool wordless(const char *route)
{
    return strstr(route, "encap seg6") || strstr(route, "encap ip6") || strstr(route, "nexthop encap");
}

static void left_alone(struct kernel *k, const char *prefix, uint32_t table)
{
    char *was = kernel_snapshot(k);
    struct ferry_fib fib = kernel_read(k, prefix, table, NULL, NULL);
    const struct ferry_entry *e = kernel_only(&fib);
    const struct ferry_entry drop = drop_of(e);
    struct ferry_op replace = kernel_route(prefix, e, &drop), take = kernel_route(prefix, e, NULL);
    assert_non_null(strstr(kernel_apply(k, &replace, FERRY_REFUSED), "no words"));
    assert_non_null(strstr(kernel_apply(k, &take, FERRY_REFUSED), "no words"));
    kernel_same(k, was);
    ferry_fib_clear(&fib);
    free(was);
}

static void one(struct kernel *k, const char *family, const char *route, const char *prefix, uint32_t table,
                bool native)
{
    if (!kernel_try(k, "%s route add %s", family, route)) {
        print_message("SKIPPED, this kernel cannot: %s\n", route);
        return;
    }
    struct ferry_fib fib = kernel_read(k, prefix, table, NULL, NULL);
    bool has = kernel_only(&fib)->native_len != 0;
    if (has != native)
        fail_msg("%s: native bytes: %d, wanted %d", route, has, native);
    ferry_fib_clear(&fib);
    print_message("   %s\n", route);
    if (KERNEL_IPROUTE && wordless(route))
        left_alone(k, prefix, table);
    else
        round_trip(k, prefix, table);
    if (!kernel_try(k, "%s route flush %s table %u", family, prefix,
                    table)) /* ip cannot echo a nexthop object */
        kernel_ip(k, "%s route del %s table %u", family, prefix, table);
}

static void test_every_attribute_of_a_foreign_route_comes_back(void **state)
{
    for (size_t i = 0; i < sizeof v4_routes / sizeof *v4_routes; i++)
        one(*state, "-4", v4_routes[i].route, V4, v4_routes[i].table, v4_routes[i].native);
}

static void test_every_attribute_of_a_foreign_ipv6_route_comes_back(void **state)
{
    for (size_t i = 0; i < sizeof v6_routes / sizeof *v6_routes; i++)
        one(*state, "-6", v6_routes[i].route, V6, v6_routes[i].table, v6_routes[i].native);
}

/* Pitfalls 4, 5, 9: routes by nexthop object, a single one and a group, also where the kernel shows the
 * object alone. */
static void test_pitfall_4_5_nexthop_objects(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "nexthop add id 10 via 10.255.1.2 dev up0");
    kernel_ip(k, "nexthop add id 11 via 10.255.2.2 dev up1");
    kernel_ip(k, "nexthop add id 12 group 10,3/11");
    kernel_ip(k, "nexthop add id 13 blackhole");
    kernel_ip(k, "-6 nexthop add id 20 via fd00:255:1::2 dev up0");
    kernel_ip(k, "-6 nexthop add id 21 via fd00:255:2::2 dev up1");
    kernel_ip(k, "nexthop add id 22 group 20/21,5");
    for (int compat = 1; compat >= 0; compat--) {
        kernel_exec(k, "sysctl -qw net.ipv4.nexthop_compat_mode=%d", compat);
        one(k, "-4", V4 " nhid 10 metric 20 proto 196", V4, 254, true);
        one(k, "-4", V4 " nhid 12 mtu 1400", V4, 254, true);
        one(k, "-4", V4 " nhid 13", V4, 254, true);
        one(k, "-6", V6 " nhid 20 metric 20", V6, 254, true);
        one(k, "-6", V6 " nhid 22", V6, 254, true);
        kernel_ip(k, "route add " V4 " nhid 12");
        struct ferry_fib fib = kernel_read(k, V4, 254, NULL, NULL);
        const struct ferry_entry *e = kernel_only(&fib);
        assert_int_equal(e->n_nexthops, 2); /* for planning, whatever the kernel shows */
        assert_string_equal(e->nexthops[0].dev, "up0");
        assert_int_equal(e->nexthops[0].weight, 3);
        ferry_fib_clear(&fib);
        kernel_ip(k, "route del " V4);
    }
}

/* Pitfall 1: REPLACE would overwrite a route of somebody else, and of appended duplicates only the first. */
static void test_pitfall_1_replace_never_hits_what_is_not_ours(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 proto static metric 20");
    struct ferry_fib fib = kernel_read(k, V4, 254, NULL, NULL);
    struct ferry_entry e = *kernel_only(&fib), other = e, drop = drop_of(&e);
    char *was = kernel_snapshot(k);

    struct ferry_op add = kernel_route(V4, NULL, &drop);
    kernel_apply(k, &add, FERRY_STALE); /* somebody holds the key */
    kernel_same(k, was);
    other.protocol = 210;
    struct ferry_op replace = kernel_route(V4, &other, &drop);
    kernel_apply(k, &replace, FERRY_STALE); /* it is not the one that was meant */
    kernel_same(k, was);
    free(was);

    kernel_ip(k, "route append " V4 " via 10.255.2.2 dev up1 proto static metric 20");
    was = kernel_snapshot(k);
    replace = kernel_route(V4, &e, &drop);
    assert_non_null(strstr(kernel_apply(k, &replace, FERRY_STALE), "found 2 routes"));
    struct ferry_op take = kernel_route(V4, &e, NULL);
    kernel_apply(k, &take, FERRY_STALE);
    kernel_same(k, was);
    free(was);

    kernel_ip(k, "route flush " V4);
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 proto static metric 20 tos 4");
    was = kernel_snapshot(k);
    take = kernel_route(V4, &e, NULL);
    kernel_apply(k, &take, FERRY_STALE); /* the same but for its tos */
    kernel_same(k, was);
    free(was);
    ferry_fib_clear(&fib);
}

/* Pitfall 2: IPv6 replaces within a class; a device-only sibling survives beside the gateway legs. */
static void test_pitfall_2_ipv6_siblings_of_another_class(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "-6 route add " V6 " via fd00:255:1::2 dev up0 metric 20");
    struct ferry_fib fib = kernel_read(k, V6, 254, NULL, NULL);
    struct ferry_entry drop = drop_of(kernel_only(&fib));
    kernel_ip(k, "-6 route append " V6 " dev up1 metric 20");
    char *was = kernel_snapshot(k);
    struct ferry_op replace = kernel_route(V6, kernel_only(&fib), &drop);
    kernel_apply(k, &replace, FERRY_STALE);
    kernel_same(k, was);
    ferry_fib_clear(&fib);
    free(was);
    /* From two legs to one, to a blackhole, to two again: never anything left over. */
    kernel_ip(k, "-6 route flush " V6);
    kernel_ip(k, "-6 route add " V6
                 " metric 20 nexthop via fd00:255:1::2 dev up0 nexthop via fd00:255:2::2 dev up1");
    round_trip(k, V6, 254);
    fib = kernel_read(k, V6, 254, NULL, NULL);
    struct ferry_nexthop leg = {
        .router = FERRY_NO_ROUTER, .via = kernel_addr("fd00:255:2::9"), .dev = "up1", .weight = 1};
    struct ferry_entry single = {.type = FERRY_UNICAST,
                                 .table = 254,
                                 .metric = 20,
                                 .protocol = 210,
                                 .n_nexthops = 1,
                                 .nexthops = &leg};
    was = kernel_snapshot(k);
    struct ferry_op narrow = kernel_route(V6, kernel_only(&fib), &single), widen = kernel_swap(&narrow);
    kernel_apply(k, &narrow, FERRY_DONE);
    struct ferry_fib now = kernel_read(k, V6, 254, NULL, NULL);
    assert_true(ferry_entry_equal(kernel_only(&now), &single, FERRY_CMP_EXACT));
    ferry_fib_clear(&now);
    kernel_apply(k, &widen, FERRY_DONE);
    kernel_same(k, was);
    ferry_fib_clear(&fib);
    free(was);
}

/* Pitfall 3: an under-specified delete takes the wrong route. */
static void test_pitfall_3_deletes_only_what_was_named(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 metric 20 proto 210");
    struct ferry_fib fib = kernel_read(k, V4, 254, NULL, NULL);
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 metric 30 proto static");
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 metric 20 proto 210 table 100");
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 metric 20 proto 210 tos 8");
    kernel_ip(k, "route add 192.168.1.0/25 via 10.255.1.2 dev up0 metric 20 proto 210");
    struct ferry_op take = kernel_route(V4, kernel_only(&fib), NULL);
    kernel_apply(k, &take, FERRY_STALE); /* with the tos one under the same key nothing is sent */
    kernel_ip(k, "route del " V4 " tos 8 metric 20");
    kernel_apply(k, &take, FERRY_DONE);
    char *left = kernel_text(k, "route show table all " V4);
    assert_non_null(strstr(left, "metric 30"));
    assert_non_null(strstr(left, "table 100"));
    free(left);
    left = kernel_text(k, "route show " V4);
    assert_null(strstr(left, "proto 210"));
    free(left);
    left = kernel_text(k, "route show 192.168.1.0/25");
    assert_non_null(strstr(left, "proto 210"));
    free(left);
    ferry_fib_clear(&fib);
}

/* Pitfall 6: a filter that the kernel ignored would show routes of other tables. */
static void test_pitfall_6_other_tables_are_not_seen(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "route add " V4 " via 10.255.1.2 dev up0 table 100");
    kernel_ip(k, "-6 route add " V6 " via fd00:255:1::2 dev up0 table 100");
    struct ferry_fib fib = kernel_read(k, V4, 254, NULL, NULL);
    assert_int_equal(fib.n, 0);
    ferry_fib_clear(&fib);
    fib = kernel_read(k, V6, 254, NULL, NULL);
    assert_int_equal(fib.n, 0);
    ferry_fib_clear(&fib);
    fib = kernel_read(k, V4, 101, NULL, NULL); /* a table that does not exist */
    assert_int_equal(fib.n, 0);
    ferry_fib_clear(&fib);
}

/* Pitfalls 7 and 8: in a batch around bad ones everything else is done, each outcome is the op's own, and no
 * ack is lost. */
static void test_pitfall_7_8_outcomes_are_matched_to_ops(void **state)
{
    enum { N = 5000 };
    struct kernel *k = *state;
    struct ferry_nexthop good = {
        .router = FERRY_NO_ROUTER, .via = kernel_addr("10.255.1.2"), .dev = "up0", .weight = 1};
    struct ferry_nexthop bad = {
        .router = FERRY_NO_ROUTER, .via = kernel_addr("172.16.9.9"), .dev = "up0", .weight = 1};
    struct ferry_entry e[2] = {{.type = FERRY_UNICAST,
                                .table = 254,
                                .metric = 20,
                                .protocol = 210,
                                .n_nexthops = 1,
                                .nexthops = &good}};
    e[1] = e[0];
    e[1].nexthops = &bad;
    struct ferry_op *ops = calloc(N, sizeof *ops);
    struct ferry_err err;
    for (uint32_t i = 0; i < N; i++) {
        ops[i] = kernel_route("10.0.0.0/24", NULL, &e[i % 7 == 3]);
        ops[i].prefix.addr.bytes[1] = (uint8_t)(i >> 8);
        ops[i].prefix.addr.bytes[2] = (uint8_t)i;
    }
    assert_int_equal(k->ops->apply(k->driver, ops, N, &err), 0);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(ops[i].outcome, i % 7 == 3 ? FERRY_REFUSED : FERRY_DONE);
        if (i % 7 == 3)
            assert_non_null(strstr(ops[i].why, "kernel refused: Nexthop has invalid gateway"));
    }
    assert_int_equal(strncmp(ops[3].why, "r1: 10.0.3.0/24: ", 17), 0);
    char *count = kernel_text(k, "route show proto 210 | wc -l");
    assert_int_equal(atoi(count), N - (N + 3) / 7);
    free(count);
    ferry_ops_clear(ops, N);
    free(ops);
}

/* A next hop whose link has no carrier, or is down, is told (pitfall 10). */
static void test_pitfall_10_legs_that_are_down(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "route add " V4 " nexthop via 10.255.1.2 dev up0 nexthop via 10.255.2.2 dev up1");
    kernel_ip(k, "link set up1-peer down");
    kernel_stops(k, "up1");
    struct ferry_fib fib = kernel_read(k, V4, 254, NULL, NULL);
    const struct ferry_entry *e = kernel_only(&fib);
    assert_int_equal(e->n_nexthops, 2);
    assert_false(e->nexthops[0].down);
    assert_true(e->nexthops[1].down);
    assert_int_equal(e->native_len, 0);
    ferry_fib_clear(&fib);
}

/* Pitfall 15: the driver's socket is in its namespace, and the calling thread has not moved. */
static void test_pitfall_15_the_socket_lives_in_its_namespace(void **state)
{
    struct kernel *k = *state;
    char before[64] = "", after[64] = "";
    struct ferry_driver *driver;
    struct ferry_err err;
    struct ferry_driver_config config = kernel_config(k), nowhere = config;
    nowhere.netns = "ferry-linux-does-not-exist";
    assert_true(readlink("/proc/thread-self/ns/net", before, sizeof before - 1) > 0);
    assert_int_equal(k->ops->open(&ferry_env_real, &config, "r1", NULL, NULL, &driver, &err), 0);
    assert_true(readlink("/proc/thread-self/ns/net", after, sizeof after - 1) > 0);
    assert_string_equal(before, after);
    k->ops->close(driver);
    assert_int_equal(k->ops->open(&ferry_env_real, &nowhere, "r1", NULL, NULL, &driver, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "ferry-linux-does-not-exist"));
    k->ops->close(NULL);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, kernel_up, kernel_down)
    const struct CMUnitTest tests[] = {
        T(test_every_attribute_of_a_foreign_route_comes_back),
        T(test_every_attribute_of_a_foreign_ipv6_route_comes_back),
        T(test_pitfall_1_replace_never_hits_what_is_not_ours),
        T(test_pitfall_2_ipv6_siblings_of_another_class),
        T(test_pitfall_3_deletes_only_what_was_named),
        T(test_pitfall_4_5_nexthop_objects),
        T(test_pitfall_6_other_tables_are_not_seen),
        T(test_pitfall_7_8_outcomes_are_matched_to_ops),
        T(test_pitfall_10_legs_that_are_down),
        T(test_pitfall_15_the_socket_lives_in_its_namespace),
    };
    kernel_need_root();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
