/* What a gateway brings along: bridges, VLAN subinterfaces, policy rules.  Made with it, gone with it, and
 * what was there before stays.  SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <unistd.h>

static struct ferry_gateway with(const char *address, const char *make)
{
    struct ferry_gateway g = {.address = kernel_prefix(address)};
    snprintf(g.make, sizeof g.make, "%s", make);
    return g;
}

static struct ferry_op attach_to(const char *prefix, const struct ferry_gateway *g, const char *interface)
{
    return kernel_gateway(prefix, g, interface, NULL, &kernel_plain);
}

/* Interfaces with masters and kinds, too. */
static char *links(const struct kernel *k)
{
    return kernel_text(k, "-j link show"); /* not -d: it shows timers */
}

static void links_same(const struct kernel *k, const char *was)
{
    char *now = links(k);
    for (int i = 0; i < 1000 && strcmp(now, was);
         i++) { /* a port leaves its bridge's state behind soon, not at once */
        free(now);
        usleep(10000);
        now = links(k);
    }
    assert_string_equal(now, was);
    free(now);
}

static bool there(const struct kernel *k, const char *dev)
{
    return kernel_try(k, "link show dev %s >/dev/null", dev);
}

static void test_a_bridge_comes_and_goes_with_its_gateway(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "bridge lan0");
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on = attach_to(P4, &g, "br101"), off = kernel_swap(&on);
    kernel_check(k, &on, FERRY_DONE, NULL);
    kernel_same(k, was); /* a check leaves no trace */
    links_same(k, links_were);
    for (int i = 0; i < 2; i++) {
        kernel_apply(k, &on, FERRY_DONE);
        assert_true(kernel_says(k, "link show dev lan0", "master br101"));
        assert_true(kernel_says(k, "-d link show dev br101", "group 210"));
        assert_true(kernel_says(k, "addr show dev br101", "inet " A4));
        assert_true(kernel_says(k, "link show dev br101", ",UP"));
        struct ferry_fib fib = kernel_read(k, P4, 254, &g, "br101");
        assert_int_equal(kernel_only(&fib)->type, FERRY_GATEWAY);
        ferry_fib_clear(&fib);
        kernel_apply(k, &off, FERRY_DONE);
        assert_false(there(k, "br101"));
        kernel_same(k, was);
        links_same(k, links_were);
    }
    free(was);
    free(links_were);
}

static void test_the_last_gateway_takes_a_shared_bridge_away(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = with(A4, "bridge lan0"), g6 = with(A6, "bridge lan0");
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on4 = attach_to(P4, &g4, "br101"), on6 = attach_to(P6, &g6, "br101");
    struct ferry_op off4 = kernel_swap(&on4), off6 = kernel_swap(&on6);
    kernel_apply(k, &on4, FERRY_DONE);
    kernel_apply(k, &on6, FERRY_DONE);
    kernel_apply(k, &off4, FERRY_DONE);
    assert_true(there(k, "br101"));
    assert_true(kernel_says(k, "addr show dev br101", "inet6 " A6));
    kernel_apply(k, &off6, FERRY_DONE);
    assert_false(there(k, "br101"));
    kernel_same(k, was);
    links_same(k, links_were);
    free(was);
    free(links_were);
}

/* It comes with the carrier, where that is heard of. */
static void await_link_local(const struct kernel *k, const char *dev)
{
    char command[64];
    snprintf(command, sizeof command, "-6 addr show dev %s", dev);
    for (int i = 0; i < 1000 && !kernel_says(k, command, "fe80:"); i++)
        usleep(10000);
    assert_true(kernel_says(k, command, "fe80:"));
}

static void test_a_bridge_that_was_there_stays(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "bridge lan0");
    kernel_ip(k, "link add br101 type bridge");
    kernel_ip(k, "link set lan0 master br101");
    kernel_ip(k, "link set br101 up");
    kernel_runs(k, "br101");
    await_link_local(k, "br101");
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on = attach_to(P4, &g, "br101"), off = kernel_swap(&on);
    kernel_apply(k, &on, FERRY_DONE);
    kernel_apply(k, &off, FERRY_DONE);
    kernel_same(k, was);
    links_same(k, links_were);
    free(was);
    free(links_were);
}

static void test_a_bridge_with_an_address_of_somebody_elses_stays(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "bridge lan0");
    struct ferry_op on = attach_to(P4, &g, "br101"), off = kernel_swap(&on);
    kernel_apply(k, &on, FERRY_DONE);
    kernel_ip(k, "addr add 10.99.0.1/24 dev br101");
    kernel_apply(k, &off, FERRY_DONE);
    assert_true(kernel_says(k, "addr show dev br101", "inet 10.99.0.1/24"));
    assert_true(kernel_says(k, "link show dev lan0", "master br101"));
}

static void test_a_port_that_is_down_missing_or_taken_is_refused(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway none = with(A4, "bridge lan7"), g = with(A4, "bridge lan0");
    struct ferry_op on = attach_to(P4, &none, "br101");
    char *was = kernel_snapshot(k);
    kernel_check(k, &on, FERRY_REFUSED, "there is no interface lan7");
    if (!strstr(kernel_apply(k, &on, FERRY_REFUSED), "there is no interface lan7"))
        fail_msg("no reason");
    on = attach_to(P4, &g, "br101");
    kernel_ip(k, "link add other type bridge");
    kernel_ip(k, "link set lan0 master other");
    kernel_check(k, &on, FERRY_REFUSED, "lan0 is in another bridge");
    kernel_apply(k, &on, FERRY_REFUSED);
    assert_true(kernel_says(k, "link show dev lan0", "master other"));
    kernel_ip(k, "link del other");
    assert_false(there(k, "br101"));
    kernel_same(k, was);
    kernel_ip(k, "addr add 10.98.0.1/24 dev lan0");
    kernel_check(k, &on, FERRY_REFUSED, "lan0 has addresses of its own");
    kernel_apply(k, &on, FERRY_REFUSED);
    assert_false(there(k, "br101"));
    kernel_ip(k, "addr del 10.98.0.1/24 dev lan0");
    kernel_same(k, was);
    kernel_ip(k, "link set lan0 down");
    kernel_check(k, &on, FERRY_REFUSED, "this interface is down: lan0");
    assert_false(there(k, "br101"));
    free(was);
}

/* Where the kernel has no VLANs it says so, and nothing is left; where it has, they come and go. */
static void test_a_vlan_comes_and_goes_or_is_refused_without_a_trace(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "vlan lan0 101");
    bool can = kernel_try(k, "link add link lan0 name probe type vlan id 7");
    if (can)
        kernel_ip(k, "link del probe");
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on = attach_to(P4, &g, "lan0.101"), off = kernel_swap(&on);
    kernel_apply(k, &on, can ? FERRY_DONE : FERRY_REFUSED);
    if (can) {
        assert_true(kernel_says(k, "-d link show dev lan0.101", "id 101"));
        kernel_apply(k, &off, FERRY_DONE);
    } else {
        print_message("SKIPPED in part: this kernel has no VLAN devices; the refusal was tested\n");
    }
    assert_false(there(k, "lan0.101"));
    kernel_same(k, was);
    links_same(k, links_were);
    free(was);
    free(links_were);
}

static void test_rules_come_and_go_with_a_gateway_in_a_table_of_its_own(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "bridge lan0");
    g.rules = true;
    kernel_ip(k, "rule add to " P4 " lookup 100 priority 32764");
    kernel_ip(k, "rule add iif lan0 lookup 77 priority 500");
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on = attach_to(P4, &g, "br101");
    on.table = 100;
    struct ferry_op off = kernel_swap(&on);
    for (int i = 0; i < 2; i++) {
        kernel_apply(k, &on, FERRY_DONE);
        assert_true(kernel_says(k, "rule show", "from " P4 " iif br101 lookup 100 proto 210"));
        assert_true(kernel_says(k, "rule show", "from all to " P4 " lookup 100 proto 210"));
        assert_true(kernel_says(k, "route show table 100", P4 " dev br101"));
        assert_true(kernel_says(k, "route get 192.168.1.10", "dev br101"));
        kernel_apply(k, &off, FERRY_DONE);
        kernel_same(k, was);
        links_same(k, links_were);
    }
    free(was);
    free(links_were);
}

static void test_gateways_that_share_an_interface_have_their_own_rules(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway one = with(A4, "bridge lan0"), two = with("192.168.2.1/24", "bridge lan0");
    one.rules = two.rules = true;
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on1 = attach_to(P4, &one, "br101"), on2 = attach_to("192.168.2.0/24", &two, "br101");
    on1.table = on2.table = 100;
    struct ferry_op off1 = kernel_swap(&on1), off2 = kernel_swap(&on2);
    kernel_apply(k, &on1, FERRY_DONE);
    kernel_apply(k, &on2, FERRY_DONE);
    kernel_apply(k, &off1, FERRY_DONE);
    assert_true(kernel_says(k, "rule show", "from 192.168.2.0/24 iif br101 lookup 100 proto 210"));
    assert_true(kernel_says(k, "rule show", "from all to 192.168.2.0/24 lookup 100 proto 210"));
    assert_false(kernel_says(k, "rule show", P4));
    kernel_apply(k, &off2, FERRY_DONE);
    kernel_same(k, was);
    links_same(k, links_were);
    free(was);
    free(links_were);
}

static void test_ipv6_rules(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A6, "");
    g.rules = true;
    char *was = kernel_snapshot(k);
    struct ferry_op on = kernel_gateway(P6, &g, "lan0", NULL, &kernel_plain);
    on.table = 100;
    struct ferry_op off = kernel_swap(&on);
    if (KERNEL_IPROUTE) { /* a batch of ip has no words for them */
        kernel_check(k, &on, FERRY_REFUSED, "no words for IPv6 rules");
        kernel_apply(k, &on, FERRY_REFUSED); /* nobody has asked: still no gateway without its rules */
        kernel_same(k, was);
        free(was);
        return;
    }
    kernel_apply(k, &on, FERRY_DONE);
    assert_true(kernel_says(k, "-6 rule show", "from all to " P6 " lookup 100 proto 210"));
    kernel_apply(k, &off, FERRY_DONE);
    kernel_same(k, was);
    free(was);
}

static void test_the_commands_do_what_the_driver_does(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "bridge lan0");
    struct ferry_driver_config config = kernel_config(k);
    char lines[2000], file[64], command[200];
    g.rules = true;
    char *was = kernel_snapshot(k), *links_were = links(k);
    struct ferry_op on = attach_to(P4, &g, "br101");
    on.table = 100;
    struct ferry_op off = kernel_swap(&on);
    for (int i = 0; i < 2; i++) {
        assert_true(k->ops->native(&config, i ? &off : &on, lines, sizeof lines) < (int)sizeof lines);
        snprintf(file, sizeof file, "/tmp/ferry-devices-%d", (int)getpid());
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        fputs(lines, f);
        fclose(f);
        snprintf(command, sizeof command, "%s sh -e %s", strstr(lines, " -n ") ? "" : "ip netns exec", file);
        if (strstr(lines, " -n "))
            assert_int_equal(system(command), 0);
        else
            kernel_exec(k, "sh -e %s", file);
        unlink(file);
        assert_int_equal(there(k, "br101"), !i);
    }
    kernel_same(k, was);
    links_same(k, links_were);
    free(was);
    free(links_were);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kernel_up, kernel_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_bridge_comes_and_goes_with_its_gateway),
        TEST(test_the_last_gateway_takes_a_shared_bridge_away),
        TEST(test_a_bridge_that_was_there_stays),
        TEST(test_a_bridge_with_an_address_of_somebody_elses_stays),
        TEST(test_a_port_that_is_down_missing_or_taken_is_refused),
        TEST(test_a_vlan_comes_and_goes_or_is_refused_without_a_trace),
        TEST(test_rules_come_and_go_with_a_gateway_in_a_table_of_its_own),
        TEST(test_gateways_that_share_an_interface_have_their_own_rules),
        TEST(test_ipv6_rules),
        TEST(test_the_commands_do_what_the_driver_does),
    };
    kernel_need_root();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
