/* Isolated gateways of the netlink driver (docs/test-failover.md): what they let in and out, that they come and go exactly, and
 * what is refused beforehand.
 * SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <unistd.h>

#define PREFIX  "192.168.1.0/24"
#define ADDRESS "192.168.1.1/24"

enum { TABLE = 4242 };

static const struct ferry_entry plain = {.type = FERRY_GATEWAY};

static struct ferry_gateway isolated(const char *make)
{
    struct ferry_gateway g = {.address = kernel_prefix(ADDRESS), .isolated = true};
    snprintf(g.make, sizeof g.make, "%s", make);
    return g;
}

static struct ferry_op attach_to(const struct ferry_gateway *g, const char *interface)
{
    struct ferry_op op = kernel_gateway(PREFIX, g, interface, NULL, &plain);
    op.table = TABLE;
    return op;
}

/* Production has the same prefix, and its way leads through this router. */
static void serve_elsewhere(const struct kernel *k)
{
    kernel_exec(k, "sysctl -qw net.ipv4.ip_forward=1");
    kernel_ip(k, "route add " PREFIX " via 10.255.1.2 dev up0");
}

static void assert_isolated(const struct kernel *k, const char *interface)
{
    char word[64];
    assert_true(kernel_says(k, "route get 192.168.1.10", "via 10.255.1.2 dev up0"));
    assert_true(kernel_says(k, "route get 192.168.1.1", "via 10.255.1.2 dev up0")); /* not local */
    assert_true(kernel_says(k, "route get 192.168.1.255", "via 10.255.1.2 dev up0"));
    assert_false(kernel_says(k, "route show table local", "192.168.1."));
    snprintf(word, sizeof word, "route get 192.168.1.10 from 192.168.1.20 iif %s", interface);
    assert_true(kernel_says(k, word, interface));
    snprintf(word, sizeof word, "dev %s", interface);
    assert_true(kernel_says(k, "route get 192.168.1.10 from 192.168.1.1", word));
    assert_false(kernel_try(k, "route get 10.255.2.2 from 192.168.1.20 iif %s >/dev/null 2>&1", interface));
}

static void test_it_comes_and_goes_beside_production(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("");
    serve_elsewhere(k);
    char *was = kernel_snapshot(k);
    struct ferry_op on = attach_to(&g, "lan0"), off = kernel_swap(&on);
    for (int i = 0; i < 2; i++) {
        kernel_check(k, &on, FERRY_DONE, NULL);
        kernel_same(k, was); /* a check leaves no trace */
        kernel_apply(k, &on, FERRY_DONE);
        assert_isolated(k, "lan0");
        struct ferry_fib fib = kernel_read(k, PREFIX, TABLE, &g, "lan0");
        assert_int_equal(kernel_only(&fib)->type, FERRY_GATEWAY);
        assert_int_equal(kernel_only(&fib)->native_len, 0);
        ferry_fib_clear(&fib);
        fib = kernel_read(k, PREFIX, FERRY_TABLE_MAIN, NULL, NULL);
        assert_int_equal(kernel_only(&fib)->type, FERRY_UNICAST); /* production's */
        ferry_fib_clear(&fib);
        kernel_apply(k, &off, FERRY_DONE);
        kernel_same(k, was);
    }
    free(was);
}

static void test_its_bridge_comes_and_goes_with_it(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("bridge lan0");
    serve_elsewhere(k);
    char *was = kernel_snapshot(k);
    struct ferry_op on = attach_to(&g, "br-test"), off = kernel_swap(&on);
    kernel_check(k, &on, FERRY_DONE, NULL);
    kernel_apply(k, &on, FERRY_DONE);
    assert_isolated(k, "br-test");
    assert_true(kernel_says(k, "-d link show dev br-test", "group 210"));
    kernel_apply(k, &off, FERRY_DONE);
    assert_false(kernel_try(k, "link show dev br-test >/dev/null 2>&1"));
    kernel_same(k, was);
    free(was);
}

/* The kernel takes routes with an interface's last address alone. */
static void test_it_goes_where_somebody_put_an_address_beside_it(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("");
    struct ferry_op on = attach_to(&g, "lan0"), off = kernel_swap(&on);
    kernel_apply(k, &on, FERRY_DONE);
    kernel_ip(k, "addr add 10.99.0.1/24 dev lan0");
    kernel_apply(k, &off, FERRY_DONE);
    assert_false(kernel_says(k, "rule show", "lan0"));
    assert_false(kernel_says(k, "route show table all", "192.168.1."));
    assert_true(kernel_says(k, "addr show dev lan0", "inet 10.99.0.1/24"));
}

/* Killed between its rules and its address, and once more after that. */
static void test_what_a_crash_left_is_used_and_taken_away(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("");
    char *was = kernel_snapshot(k);
    kernel_ip(k, "rule add iif lan0 blackhole priority 2 protocol 210");
    kernel_ip(k, "rule add iif lan0 lookup 4242 priority 1 protocol 210");
    struct ferry_op on = attach_to(&g, "lan0"), off = kernel_swap(&on);
    kernel_check(k, &on, FERRY_DONE, NULL);
    kernel_apply(k, &on, FERRY_DONE);
    kernel_apply(k, &off, FERRY_DONE);
    kernel_same(k, was);
    free(was);
}

/* Told to go although nothing is attached any more, it takes along what nobody can read; not while others are
 * on its interface. */
static void test_its_rules_go_after_its_address_was_taken(void **state)
{
    static const char *const taken[] = {"addr del " ADDRESS " dev lan0", "link del lan0"};
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("");
    struct ferry_op on = attach_to(&g, "lan0"), off = kernel_swap(&on);
    kernel_apply(k, &on, FERRY_DONE);
    kernel_ip(k, "%s", taken[0]);
    kernel_ip(k, "addr add 10.99.0.1/24 dev lan0");
    kernel_apply(k, &off, FERRY_STALE);
    assert_true(kernel_says(k, "rule show", "lan0"));
    kernel_ip(k, "addr del 10.99.0.1/24 dev lan0");
    kernel_apply(k, &off, FERRY_STALE);
    assert_false(kernel_says(k, "rule show", "proto 210"));
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        kernel_apply(k, &on, FERRY_DONE);
        kernel_ip(k, "%s", taken[i]);
        kernel_apply(k, &off, FERRY_STALE);
        assert_false(kernel_says(k, "rule show", "proto 210"));
    }
}

static void test_an_attachment_that_fails_leaves_no_rule(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("");
    kernel_ip(k, "route add " PREFIX " dev lan0 table 4242"); /* after the check, say */
    char *was = kernel_snapshot(k);
    struct ferry_op on = attach_to(&g, "lan0");
    assert_non_null(strstr(kernel_apply(k, &on, FERRY_STALE), "another route stands"));
    kernel_same(k, was);
    free(was);
}

static void test_it_is_alone_or_refused(void **state)
{
    static const struct {
        const char *made, *unmade, *words;
    } others[] = {
        {"route add 10.5.0.0/16 dev lo table 4242", "route del 10.5.0.0/16 table 4242",
         "holds routes already"},
        {"route add blackhole default table 4242", "route del default table 4242", "holds routes already"},
        {"rule add to 10.5.0.0/16 lookup 4242 priority 900", "rule del priority 900", "leads to table 4242"},
        {"rule add iif up0 lookup 4242 priority 9 protocol 210", "rule del priority 9",
         "leads to table 4242"},
        {"rule add to 10.5.0.0/16 lookup main priority 1", "rule del priority 1", "looked at before"},
        {"rule add iif up0 blackhole priority 2 protocol 210", "rule del priority 2", "looked at before"},
        {"addr add 10.5.0.1/24 dev lan0", "addr del 10.5.0.1/24 dev lan0", "has an address already"},
    };
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("");
    struct ferry_op on = attach_to(&g, "lan0");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        kernel_ip(k, "%s", others[i].made);
        kernel_check(k, &on, FERRY_REFUSED, others[i].words);
        kernel_ip(k, "%s", others[i].unmade);
        kernel_check(k, &on, FERRY_DONE, NULL);
    }
    kernel_ip(k, "addr add 192.168.1.1/32 dev up0");
    kernel_check(k, &on, FERRY_REFUSED, "the router has 192.168.1.1 already");
}

static void test_the_commands_do_what_the_driver_does(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = isolated("bridge lan0");
    struct ferry_driver_config config = kernel_config(k);
    char lines[3000], file[64], command[200];
    serve_elsewhere(k);
    char *was = kernel_snapshot(k);
    struct ferry_op on = attach_to(&g, "br-test"), off = kernel_swap(&on);
    for (int i = 0; i < 2; i++) {
        assert_true(k->ops->native(&config, i ? &off : &on, lines, sizeof lines) < (int)sizeof lines);
        snprintf(file, sizeof file, "/tmp/ferry-isolated-%d", (int)getpid());
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        fputs(lines, f);
        fclose(f);
        snprintf(command, sizeof command, "sh -e %s", file); /* the lines name the namespace */
        assert_non_null(strstr(lines, " -n "));
        assert_int_equal(system(command), 0);
        unlink(file);
        if (!i)
            assert_isolated(k, "br-test");
    }
    kernel_same(k, was);
    free(was);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kernel_up, kernel_down)
    const struct CMUnitTest tests[] = {
        TEST(test_it_comes_and_goes_beside_production),
        TEST(test_its_bridge_comes_and_goes_with_it),
        TEST(test_it_goes_where_somebody_put_an_address_beside_it),
        TEST(test_what_a_crash_left_is_used_and_taken_away),
        TEST(test_its_rules_go_after_its_address_was_taken),
        TEST(test_an_attachment_that_fails_leaves_no_rule),
        TEST(test_it_is_alone_or_refused),
        TEST(test_the_commands_do_what_the_driver_does),
    };
    kernel_need_root();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
