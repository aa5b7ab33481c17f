/* Gateways attached, detached and put back, with everything that the kernel takes along.
 * SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

static const struct ferry_entry plain = {.type = FERRY_GATEWAY};

static struct ferry_gateway at(const char *address)
{
    return (struct ferry_gateway){.address = kernel_prefix(address)};
}

static bool is_attached(const struct kernel *k, const char *prefix, const struct ferry_gateway *g,
                        uint32_t table)
{
    struct ferry_fib fib = kernel_read(k, prefix, table, g, "lan0");
    bool attached = false;
    for (size_t i = 0; i < fib.n; i++)
        attached |= fib.items[i].relation == FERRY_EXACT && fib.items[i].entry.type == FERRY_GATEWAY;
    ferry_fib_clear(&fib);
    return attached;
}

/* An address added without nodad is tentative for a moment, even where detection is off. */
static void settle(struct kernel *k)
{
    for (int i = 0; i < 1000; i++) {
        char *text = kernel_text(k, "addr show dev lan0 tentative");
        bool tentative = strstr(text, "fd00:1::") != NULL;
        free(text);
        if (!tentative)
            return;
        usleep(10000);
    }
    fail_msg("addresses stay tentative");
}

/* Detaches what is attached and puts it back.  `look` runs in between. */
static void round_trip(struct kernel *k, const char *prefix, const char *address, uint32_t table, bool native,
                       void (*look)(struct kernel *k))
{
    struct ferry_gateway g = at(address);
    settle(k);
    char *was = kernel_snapshot(k);
    struct ferry_fib fib = kernel_read(k, prefix, table, &g, "lan0");
    const struct ferry_entry *e = kernel_only(&fib);
    assert_int_equal(e->type, FERRY_GATEWAY);
    assert_int_equal(e->native_len != 0, native);
    struct ferry_op detach = kernel_gateway(prefix, &g, "lan0", e, NULL);
    detach.table = table;
    struct ferry_op attach = kernel_swap(&detach);
    kernel_apply(k, &detach, FERRY_DONE);
    assert_false(is_attached(k, prefix, &g, table));
    if (look)
        look(k);
    kernel_apply(k, &attach, FERRY_DONE);
    kernel_same(k, was);
    struct ferry_fib again = kernel_read(k, prefix, table, &g, "lan0");
    assert_true(ferry_entry_equal(kernel_only(&again), e, FERRY_CMP_EXACT));
    ferry_fib_clear(&again);
    ferry_fib_clear(&fib);
    free(was);
}

static void test_plain_gateways_are_as_ip_makes_them(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = at(A4), g6 = at(A6);
    char *empty = kernel_snapshot(k);
    kernel_ip(k, "addr add " A4 " dev lan0");
    kernel_ip(k, "addr add " A6 " dev lan0 nodad");
    char *by_ip = kernel_snapshot(k);
    round_trip(k, P4, A4, 254, false, NULL);
    round_trip(k, P6, A6, 254, false, NULL);
    kernel_same(k, by_ip);
    struct ferry_op off4 = kernel_gateway(P4, &g4, "lan0", &plain, NULL),
                    off6 = kernel_gateway(P6, &g6, "lan0", &plain, NULL);
    kernel_apply(k, &off4, FERRY_DONE);
    kernel_apply(k, &off6, FERRY_DONE);
    kernel_same(k, empty);
    struct ferry_op on4 = kernel_swap(&off4), on6 = kernel_swap(&off6);
    kernel_apply(k, &on4, FERRY_DONE);
    kernel_apply(k, &on6, FERRY_DONE);
    kernel_same(k, by_ip);
    free(empty);
    free(by_ip);
}

/* A single IPv4 address gets no route from the kernel: what is attached is plain all the same, in both
 * tables. */
static void test_gateways_of_the_smallest_subnets_are_plain(void **state)
{
    static const char *const prefixes[] = {"172.16.9.9/32", "172.16.8.0/31", "fd00:9::9/128", "fd00:8::/127"};
    static const char *const addresses[] = {"172.16.9.9/32", "172.16.8.0/31", "fd00:9::9/128",
                                            "fd00:8::1/127"};
    static const uint32_t tables[] = {254, 4242};
    struct kernel *k = *state;
    for (size_t i = 0; i < 8; i++) {
        struct ferry_gateway g = at(addresses[i / 2]);
        char *was = kernel_snapshot(k);
        struct ferry_op on = kernel_gateway(prefixes[i / 2], &g, "lan0", NULL, &plain);
        on.table = tables[i % 2];
        struct ferry_op off = kernel_swap(&on);
        kernel_apply(k, &on, FERRY_DONE);
        struct ferry_fib fib = kernel_read(k, prefixes[i / 2], on.table, &g, "lan0");
        assert_true(ferry_entry_equal(kernel_only(&fib), &plain, FERRY_CMP_EXACT));
        ferry_fib_clear(&fib);
        kernel_apply(k, &off, FERRY_DONE);
        kernel_same(k, was);
        free(was);
    }
}

static void test_every_attribute_of_an_address_comes_back(void **state)
{
    static const struct {
        const char *add, *prefix, *address;
    } cases[] = {
        {A4 " broadcast + label lan0:gw", P4, A4},
        {A4 " broadcast 192.168.1.99", P4, A4},
        {A4 " metric 77", P4, A4},
        {A4 " scope link", P4, A4},
        {A4 " scope site label lan0:x", P4, A4},
        {A4 " preferred_lft 0", P4, A4},
        {A6 " metric 77 nodad", P6, A6},
        {A6 " preferred_lft 0", P6, A6},
        {A6 " home", P6, A6},
        {A6 " mngtmpaddr", P6, A6},
    };
    struct kernel *k = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("   %s\n", cases[i].add);
        kernel_ip(k, "addr add %s dev lan0", cases[i].add);
        round_trip(k, cases[i].prefix, cases[i].address, 254, true, NULL);
        kernel_ip(k, "addr flush dev lan0 scope site");
        kernel_ip(k, "addr flush dev lan0 scope link");
        kernel_ip(k, "addr flush dev lan0 scope global");
        kernel_ip(k, "link set lan0 down");
        kernel_stops(k, "lan0-peer");
        kernel_ip(k, "link set lan0 up");
        kernel_runs(k, "lan0");
        kernel_runs(k, "lan0-peer");
        kernel_settles(k);
    }
}

/* Pitfall 13: no second of duplicate address detection, and the flags are as they were. */
static void test_pitfall_13_ipv6_works_at_once(void **state)
{
    struct kernel *k = *state;
    kernel_exec(k, "sysctl -qw net.ipv6.conf.lan0.accept_dad=1");
    kernel_ip(k, "addr add " A6 " dev lan0");
    settle(k); /* the first time is the administrator's: up to 2 s */
    for (int i = 0; i < 20; i++)
        round_trip(k, P6, A6, 254, true, NULL);
}

static void nothing_left(struct kernel *k)
{
    char *text = kernel_text(k, "addr show dev lan0");
    assert_null(strstr(text, "192.168.1."));
    assert_null(strstr(text, "fd00:1:"));
    free(text);
}

/* Pitfall 14, first half: secondaries, in order, with what each has of its own. */
static void test_pitfall_14_secondaries_come_back_in_order(void **state)
{
    struct kernel *k = *state;
    for (int promote = 0; promote < 2; promote++) {
        kernel_exec(k, "sysctl -qw net.ipv4.conf.all.promote_secondaries=%d", promote);
        kernel_ip(k, "addr add 10.7.0.1/24 dev lan0");
        kernel_ip(k, "addr add " A4 " dev lan0 broadcast +");
        kernel_ip(k, "addr add 192.168.1.9/24 dev lan0 label lan0:nine");
        kernel_ip(k, "addr add 192.168.1.3/24 dev lan0 broadcast 192.168.1.255");
        kernel_ip(k, "addr add 192.168.1.200/24 dev lan0");
        round_trip(k, P4, A4, 254, true, nothing_left);
        kernel_ip(k, "addr flush dev lan0");
    }
    /* The gateway itself may be one of the secondaries. */
    kernel_ip(k, "addr add 192.168.1.9/24 dev lan0");
    kernel_ip(k, "addr add " A4 " dev lan0");
    round_trip(k, P4, A4, 254, true, nothing_left);
    kernel_ip(k, "addr add " A6 " dev lan0");
    kernel_ip(k, "addr add fd00:1::77/64 dev lan0 nodad");
    kernel_ip(k, "addr add fd00:1::3/64 dev lan0");
    round_trip(k, P6, A6, 254, true, NULL);
}

static void source_routes_work(struct kernel *k)
{
    char *text = kernel_text(k, "route show table all");
    assert_non_null(strstr(text, "10.50.0.0/16 via 10.255.1.2 dev up0"));
    assert_non_null(strstr(text, "10.51.0.0/16 via 10.255.1.9 dev up0 proto static "));
    assert_non_null(strstr(text, "10.52.0.0/16 via 10.255.1.2 dev up0 table 100"));
    assert_non_null(strstr(text, "10.53.0.0/16 proto bird"));
    free(text);
    text = kernel_text(k, "-6 route show table all");
    assert_non_null(strstr(text, "fd00:50::/32 via fd00:255:1::2 dev up0"));
    free(text);
}

/* Pitfall 14, second half: routes that name the address as their source.  No other destination loses its
 * route. */
static void test_pitfall_14_routes_with_the_source_survive(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "addr add 10.7.0.1/24 dev lan0");
    kernel_ip(k, "addr add " A4 " dev lan0");
    kernel_ip(k, "addr add 192.168.1.2/24 dev lan0");
    kernel_ip(k, "addr add " A6 " dev lan0 nodad");
    kernel_ip(k, "route add 10.50.0.0/16 via 10.255.1.2 dev up0 src 192.168.1.1");
    kernel_ip(k,
              "route add 10.51.0.0/16 via 10.255.1.9 dev up0 src 192.168.1.2 metric 9 proto static mtu 1400");
    kernel_ip(k, "route add 10.52.0.0/16 via 10.255.1.2 dev up0 src 192.168.1.1 table 100");
    kernel_ip(k, "route add 10.53.0.0/16 src 192.168.1.1 proto bird nexthop via 10.255.2.2 dev up1 weight 5 "
                 "nexthop via "
                 "10.255.1.2 dev up0");
    kernel_ip(k, "-6 route add fd00:50::/32 via fd00:255:1::2 dev up0 src fd00:1::1");
    kernel_ip(
        k, "-6 route add fd00:51::/32 via fd00:255:1::2 dev up0 src fd00:1::1 table 100 metric 7 mtu 1400");
    round_trip(k, P4, A4, 254, true, source_routes_work);
    round_trip(k, P6, A6, 254, true, source_routes_work);
}

static void lan_routes_work(struct kernel *k)
{
    char *text = kernel_text(k, "route show table all");
    assert_non_null(strstr(text, "10.60.0.0/16 via 192.168.1.254 dev lan0"));
    assert_non_null(strstr(text, "10.61.0.0/16 dev lan0 table 100"));
    assert_non_null(strstr(text, "10.62.0.0/16 via 192.168.1.253 dev lan0 table 100"));
    assert_null(strstr(text, "dead"));
    free(text);
}

/* Pitfalls 10 and 14: with an interface's last address the kernel silently deletes every route through it. */
static void test_pitfall_10_14_the_last_address_takes_no_routes_along(void **state)
{
    struct kernel *k = *state;
    kernel_ip(k, "addr add " A4 " dev lan0");
    kernel_ip(k, "route add 10.60.0.0/16 via 192.168.1.254 dev lan0 src 192.168.1.1 proto static");
    kernel_ip(k, "route add 10.61.0.0/16 dev lan0 table 100");
    kernel_ip(k, "route add 10.62.0.0/16 via 192.168.1.253 dev lan0 table 100 mtu 1400");
    kernel_ip(
        k,
        "route add 10.63.0.0/16 metric 4 nexthop via 192.168.1.254 dev lan0 nexthop via 10.255.1.2 dev up0");
    round_trip(k, P4, A4, 254, true, lan_routes_work);
    /* Two gateways on one interface, moved in one batch. */
    struct ferry_gateway g1 = at(A4), g2 = at("192.168.2.1/24");
    kernel_ip(k, "addr add 192.168.2.1/24 dev lan0");
    char *was = kernel_snapshot(k);
    struct ferry_fib f1 = kernel_read(k, P4, 254, &g1, "lan0"),
                     f2 = kernel_read(k, "192.168.2.0/24", 254, &g2, "lan0");
    struct ferry_op ops[2] = {kernel_gateway(P4, &g1, "lan0", kernel_only(&f1), NULL),
                              kernel_gateway("192.168.2.0/24", &g2, "lan0", kernel_only(&f2), NULL)};
    struct ferry_err err;
    assert_int_equal(k->ops->apply(k->driver, ops, 2, &err), 0);
    assert_int_equal(ops[0].outcome, FERRY_DONE);
    assert_int_equal(ops[1].outcome, FERRY_DONE);
    lan_routes_work(k);
    for (int i = 0; i < 2; i++)
        ops[i] = kernel_swap(&ops[i]);
    assert_int_equal(k->ops->apply(k->driver, ops, 2, &err), 0);
    assert_int_equal(ops[0].outcome, FERRY_DONE);
    assert_int_equal(ops[1].outcome, FERRY_DONE);
    kernel_same(k, was);
    ferry_fib_clear(&f1);
    ferry_fib_clear(&f2);
    free(was);
}

static void test_a_leaning_route_that_somebody_changed_is_not_overwritten(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = at(A4);
    kernel_ip(k, "addr add " A4 " dev lan0");
    kernel_ip(k, "route add 10.50.0.0/16 via 10.255.1.2 dev up0 src 192.168.1.1");
    struct ferry_fib fib = kernel_read(k, P4, 254, &g, "lan0");
    struct ferry_op detach = kernel_gateway(P4, &g, "lan0", kernel_only(&fib), NULL),
                    attach = kernel_swap(&detach);
    kernel_apply(k, &detach, FERRY_DONE);
    kernel_ip(k, "route replace 10.50.0.0/16 via 10.255.2.2 dev up1");
    char *was = kernel_snapshot(k);
    assert_non_null(strstr(kernel_apply(k, &attach, FERRY_STALE), "10.50.0.0/16"));
    kernel_same(k, was);
    /* And before a detach: a new one, or one less, is drift. */
    kernel_ip(k, "route replace 10.50.0.0/16 via 10.255.1.2 dev up0");
    kernel_apply(k, &attach, FERRY_DONE);
    kernel_ip(k, "route add 10.99.0.0/16 via 10.255.1.2 dev up0 src 192.168.1.1");
    kernel_apply(k, &detach, FERRY_STALE);
    free(was);
    ferry_fib_clear(&fib);
}

static void test_partial_attachments_are_not_taken_for_whole(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = at(A4);
    kernel_ip(k, "addr add " A4 " dev lan0");
    kernel_ip(k, "route del " P4 " dev lan0");
    struct ferry_fib fib = kernel_read(k, P4, 254, &g, "lan0");
    assert_false(ferry_entry_equal(kernel_only(&fib), &plain, FERRY_CMP_EXACT));
    ferry_fib_clear(&fib);
    struct ferry_op detach = kernel_gateway(P4, &g, "lan0", &plain, NULL);
    kernel_apply(k, &detach, FERRY_STALE);
    kernel_ip(k, "addr flush dev lan0");
    /* The right address with another length, or on another interface, is another attachment. */
    kernel_ip(k, "addr add 192.168.1.1/25 dev lan0");
    assert_false(is_attached(k, P4, &g, 254));
    kernel_ip(k, "addr flush dev lan0");
    kernel_ip(k, "addr add " A4 " dev up1");
    assert_false(is_attached(k, P4, &g, 254));
    kernel_ip(k, "addr del " A4 " dev up1");
    /* Another machine's address of the subnet on the interface: attaching would only add a secondary. */
    kernel_ip(k, "addr add 192.168.1.77/24 dev lan0");
    struct ferry_op attach = kernel_gateway(P4, &g, "lan0", NULL, &plain);
    kernel_apply(k, &attach, FERRY_STALE);
}

static void test_addresses_with_a_lifetime_are_refused(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = at(A4);
    kernel_ip(k, "addr add " A4 " dev lan0 valid_lft 1000 preferred_lft 900");
    struct ferry_fib fib = kernel_read(k, P4, 254, &g, "lan0");
    struct ferry_op detach = kernel_gateway(P4, &g, "lan0", kernel_only(&fib), NULL);
    kernel_apply(k, &detach, FERRY_REFUSED);
    assert_true(is_attached(k, P4, &g, 254));
    ferry_fib_clear(&fib);
}

/* The kernel cannot be brought back to that; see ferry_linux_addresses_lost in address.c. */
static void test_ipv6_addresses_with_different_metrics_are_refused(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = at(A6);
    kernel_ip(k, "addr add " A6 " dev lan0");
    kernel_ip(k, "addr add fd00:1::3/64 dev lan0 metric 300");
    settle(k);
    char *was = kernel_snapshot(k);
    struct ferry_fib fib = kernel_read(k, P6, 254, &g, "lan0");
    struct ferry_op detach = kernel_gateway(P6, &g, "lan0", kernel_only(&fib), NULL);
    kernel_apply(k, &detach, FERRY_REFUSED);
    kernel_same(k, was);
    ferry_fib_clear(&fib);
    free(was);
}

static void test_gateways_in_another_table(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = at(A4), g6 = at(A6);
    struct ferry_op on4 = kernel_gateway(P4, &g4, "lan0", NULL, &plain),
                    on6 = kernel_gateway(P6, &g6, "lan0", NULL, &plain);
    char *was = kernel_snapshot(k);
    on4.table = on6.table = 100;
    kernel_apply(k, &on4, FERRY_DONE);
    kernel_apply(k, &on6, FERRY_DONE);
    char *text = kernel_text(k, "route show table 100");
    assert_non_null(strstr(text, P4 " dev lan0"));
    free(text);
    round_trip(k, P4, A4, 100, false, NULL);
    round_trip(k, P6, A6, 100, false, NULL);
    struct ferry_op off4 = kernel_swap(&on4), off6 = kernel_swap(&on6);
    kernel_apply(k, &off4, FERRY_DONE);
    kernel_apply(k, &off6, FERRY_DONE);
    kernel_same(k, was);
    free(was);
    /* As an administrator would have made it: put back with what it had of its own. */
    kernel_ip(k, "addr add " A4 " dev lan0 noprefixroute");
    kernel_ip(k, "route add " P4 " dev lan0 table 100 proto static mtu 1400");
    round_trip(k, P4, A4, 100, true, NULL);
}

static void test_routed_gateways(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = {.via = kernel_addr("10.255.1.9")}, g6 = {.via = kernel_addr("fd00:255:1::9")};
    static const char *const routes[] = {
        P4 " via 10.255.1.9 dev up0 proto 210", P4 " via 10.255.1.9 dev up0 proto static",
        P4 " via 10.255.1.9 dev up0 metric 70 mtu 1400", P6 " via fd00:255:1::9 dev up0 proto 210 metric 1",
        P6 " via fd00:255:1::9 dev up0 proto static"};
    for (size_t i = 0; i < 5; i++) {
        const struct ferry_gateway *g = i < 3 ? &g4 : &g6;
        const char *prefix = i < 3 ? P4 : P6;
        kernel_ip(k, "route add %s", routes[i]);
        char *was = kernel_snapshot(k);
        struct ferry_fib fib = kernel_read(k, prefix, 254, g, "up0");
        const struct ferry_entry *e = kernel_only(&fib);
        assert_int_equal(e->type, FERRY_GATEWAY);
        assert_int_equal(e->native_len == 0, i == 0 || i == 3);
        struct ferry_op detach = kernel_gateway(prefix, g, "up0", e, NULL), attach = kernel_swap(&detach);
        kernel_apply(k, &detach, FERRY_DONE);
        struct ferry_fib none = kernel_read(k, prefix, 254, g, "up0");
        assert_int_equal(none.n, 0);
        kernel_apply(k, &attach, FERRY_DONE);
        kernel_same(k, was);
        kernel_apply(k, &detach, FERRY_DONE);
        ferry_fib_clear(&fib);
        free(was);
    }
}

/* The commands of `native`, typed by a person, leave the kernel as the driver does. */
static void as_typed(struct kernel *k, struct ferry_op op)
{
    struct ferry_driver_config config = kernel_config(k);
    char text[4096], *line, *rest = NULL;
    struct ferry_op undo = kernel_swap(&op);
    struct ferry_err err;
    char *was = kernel_snapshot(k);
    kernel_apply(k, &op, FERRY_DONE);
    (void)!k->ops->announce(k->driver, &op, 1, &err); /* it awaits what the kernel does later */
    char *by_driver = kernel_snapshot(k);
    kernel_apply(k, &undo, FERRY_DONE);
    kernel_same(k, was);
    for (int i = 0; i < 2; i++) {
        assert_in_range(k->ops->native(&config, i ? &undo : &op, text, sizeof text), 1, sizeof text - 1);
        print_message("   %s", text);
        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            if (system(line))
                fail_msg("failed: %s", line);
        kernel_same(k, i ? was : by_driver);
    }
    free(was);
    free(by_driver);
}

#ifndef FERRY_KERNEL_IPROUTE /* whose driver refuses odd names: test_iproute.c */
/* An undo that waits on the router, in words of a batch; or refused before it is one. */
static void waits(struct kernel *k, const char *id, struct ferry_op op, bool sayable)
{
    struct ferry_op undo = kernel_swap(&op);
    struct ferry_deadman_step step = {.ops = &undo, .n_ops = 1};
    struct ferry_deadman d = {.id = id, .seconds = 600, .steps = &step, .n_steps = 1},
                         soon = {.id = id, .seconds = 1};
    enum ferry_deadman_state state;
    unsigned left;
    struct ferry_err err;
    int r = k->ops->deadman(k->driver, FERRY_DEADMAN_ARM, &d, &state, &left, &err);
    assert_int_equal(r, sayable ? 0 : -FERRY_EREFUSED);
    if (!sayable)
        return;
    char *was = kernel_snapshot(k);
    kernel_apply(k, &op, FERRY_DONE);
    assert_int_equal(state, FERRY_DEADMAN_ARMED);
    assert_int_equal(k->ops->deadman(k->driver, FERRY_DEADMAN_EXTEND, &soon, &state, &left, &err), 0);
    for (int i = 0; i < 1000 && (state != FERRY_DEADMAN_FIRED || left); i++, usleep(10000))
        assert_int_equal(k->ops->deadman(k->driver, FERRY_DEADMAN_LOOK, &d, &state, &left, &err), 0);
    kernel_same(k, was);
    free(was);
}

/* Whatever an interface is called: the kernel allows nearly everything, and a shell shall not run it. */
static void test_native_commands_take_names_as_they_are(void **state)
{
    static const char *const names[] = {"'$(false)'", "'a;false'", "'*&|<>'", "'\"x'",
                                        /* not for a batch of ip, which is given none of these: */
                                        "\"it's\"", "\"$(printf 'a\\033[2J')\""};
    struct kernel *k = *state;
    enum { N = sizeof names / sizeof *names, BATCH = 4 };
    for (int i = 0; i < N; i++) {
        kernel_ip(k, "link add name %s type veth peer name odd0", names[i]);
        kernel_ip(k, "link set dev %s up", names[i]);
        kernel_ip(k, "link set dev odd0 up");
        kernel_ip(k, "addr add 10.77.0.1/24 dev %s", names[i]);
        kernel_ip(k, "route add " P4 " via 10.77.0.2 dev %s", names[i]);
        struct ferry_fib fib = kernel_read(k, P4, 254, NULL, NULL);
        as_typed(k, kernel_route(P4, kernel_only(&fib), NULL));
        waits(k, (char[]){'t', (char)('0' + i), 0}, kernel_route(P4, kernel_only(&fib), NULL), i < BATCH);
        ferry_fib_clear(&fib);
        kernel_ip(k, "link del dev odd0");
    }
}
#endif

static void test_native_commands_do_what_the_driver_does(void **state)
{
    static const char *const routes[] = {
        P4 " via 10.255.1.2 dev up0 proto static metric 20",
        P4 " via 10.255.1.2 dev up0 src 10.255.2.1 mtu lock 1400 advmss 1300 realms 5/7",
        P4 " via 10.255.1.2 dev up0 rto_min 30ms rtt lock 80ms rttvar 40ms window 3000 cwnd lock 9 ssthresh "
           "8 features ecn "
           "hoplimit lock 9 initcwnd 5 initrwnd 6 reordering 4 quickack 1 congctl lock reno "
           "fastopen_no_cookie 1",
        P4 " via 172.16.0.1 dev up0 onlink metric 9",
        P4 " via inet6 fd00:255:1::2 dev up0",
        P4 " tos 0x10 dev up0 scope global",
        P4 " mtu 1300 nexthop via 10.255.2.2 dev up1 weight 7 nexthop via 10.255.1.2 dev up0",
        P4 " metric 3 nexthop via 10.255.1.2 dev up0 weight 7 nexthop via 172.16.0.1 dev up1 onlink",
        P4 " encap ip id 77 src 1.2.3.4 dst 5.6.7.8 ttl 9 dev up0",
        "blackhole " P4 " metric 7",
        "unreachable " P4,
        "prohibit " P4 " proto static",
        P4 " nhid 5",
    };
    static const char *const routes6[] = {
        P6 " via fd00:255:1::2 dev up0 proto static metric 20",
        P6 " via fd00:255:1::2 dev up0 src fd00:255:2::1 mtu lock 1400 pref high",
        P6 " metric 7 nexthop via fd00:255:1::2 dev up0 weight 3 nexthop via fd00:255:2::2 dev up1",
        "blackhole " P6 " metric 7",
    };
    struct kernel *k = *state;
    struct ferry_gateway g4 = at(A4), g6 = at(A6), via = {.via = kernel_addr("10.255.1.9")};
    kernel_ip(k, "nexthop add id 5 via 10.255.1.2 dev up0");
    enum { N4 = sizeof routes / sizeof *routes, N6 = sizeof routes6 / sizeof *routes6 };
    for (size_t i = 0; i < N4 + N6; i++) {
        const char *route = i < N4 ? routes[i] : routes6[i - N4], *prefix = i < N4 ? P4 : P6;
        kernel_ip(k, "route add %s", route);
        struct ferry_fib fib = kernel_read(k, prefix, 254, NULL, NULL);
        const struct ferry_entry *e = kernel_only(&fib);
        struct ferry_entry drop = {
            .type = FERRY_BLACKHOLE, .table = 254, .metric = e->metric, .protocol = 210};
        as_typed(k, kernel_route(prefix, e, NULL));
        if (!strstr(route, " tos ")) /* another key for ip */
            as_typed(k, kernel_route(prefix, e, &drop));
        if (!kernel_try(k, "%s route flush %s", i < N4 ? "-4" : "-6",
                        prefix)) /* ip cannot echo a nexthop object */
            kernel_ip(k, "%s route del %s", i < N4 ? "-4" : "-6", prefix);
        ferry_fib_clear(&fib);
    }
    as_typed(k, kernel_gateway(P4, &g4, "lan0", NULL, &plain));
    as_typed(k, kernel_gateway(P6, &g6, "lan0", NULL, &plain));
    as_typed(k, kernel_gateway(P4, &via, "up0", NULL, &plain));
    struct ferry_op other = kernel_gateway(P4, &g4, "lan0", NULL, &plain);
    other.table = 100;
    as_typed(k, other);
    kernel_ip(k, "addr add 10.7.0.1/24 dev lan0");
    kernel_ip(k, "addr add " A4 " dev lan0 broadcast + label lan0:gw metric 7");
    kernel_ip(k, "addr add 192.168.1.3/24 dev lan0");
    kernel_ip(k, "addr add " A6 " dev lan0");
    kernel_ip(k, "route add 10.50.0.0/16 via 10.255.1.2 dev up0 src 192.168.1.1");
    settle(k);
    struct ferry_fib f4 = kernel_read(k, P4, 254, &g4, "lan0"), f6 = kernel_read(k, P6, 254, &g6, "lan0");
    as_typed(k, kernel_gateway(P4, &g4, "lan0", kernel_only(&f4), NULL));
    as_typed(k, kernel_gateway(P6, &g6, "lan0", kernel_only(&f6), NULL));
    ferry_fib_clear(&f4);
    ferry_fib_clear(&f6);
    /* The interface's last address: the kernel would take the routes through it along. */
    kernel_ip(k, "addr del 10.7.0.1/24 dev lan0");
    kernel_ip(k, "route add 10.51.0.0/16 via 192.168.1.50 metric 5");
    kernel_ip(k, "route add 10.52.0.0/16 dev lan0 src 192.168.1.1");
    kernel_ip(k, "route add 10.53.0.0/16 nexthop via 192.168.1.60 nexthop via 10.255.1.2");
    kernel_ip(k, "route add 10.54.0.0/16 nexthop via 10.255.1.2 weight 4 nexthop via 192.168.1.60");
    settle(k);
    f4 = kernel_read(k, P4, 254, &g4, "lan0");
    as_typed(k, kernel_gateway(P4, &g4, "lan0", kernel_only(&f4), NULL));
    ferry_fib_clear(&f4);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, kernel_up, kernel_down)
    const struct CMUnitTest tests[] = {
        T(test_plain_gateways_are_as_ip_makes_them),
        T(test_gateways_of_the_smallest_subnets_are_plain),
        T(test_every_attribute_of_an_address_comes_back),
        T(test_pitfall_13_ipv6_works_at_once),
        T(test_pitfall_14_secondaries_come_back_in_order),
        T(test_pitfall_14_routes_with_the_source_survive),
        T(test_pitfall_10_14_the_last_address_takes_no_routes_along),
        T(test_a_leaning_route_that_somebody_changed_is_not_overwritten),
        T(test_partial_attachments_are_not_taken_for_whole),
        T(test_addresses_with_a_lifetime_are_refused),
        T(test_ipv6_addresses_with_different_metrics_are_refused),
        T(test_gateways_in_another_table),
        T(test_routed_gateways),
        T(test_native_commands_do_what_the_driver_does),
#ifndef FERRY_KERNEL_IPROUTE
        T(test_native_commands_take_names_as_they_are),
#endif
    };
    kernel_need_root();
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
        mount("ferry", "/var/lib", "tmpfs", 0, NULL)) { /* what waits leaves its record there */
        fprintf(stderr, "SKIPPED: no mount namespace of its own: %s\n", strerror(errno));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
