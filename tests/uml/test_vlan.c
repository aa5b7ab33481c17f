/* VLAN gateways on a kernel that has VLANs (../netns/test_linux_devices.c, where that one has none): made with the gateway, gone
 * with it, and tagged packets pass.  By netlink, and by the words of ip.
 *
 * All tests share one router, which each leaves as it found it.  Its trunk is lan0, and behind it is a machine with an interface
 * in VLAN 101 (192.168.1.10), one in VLAN 102 and an untagged one, all of the same network.  SPDX-License-Identifier: MIT */
#include "netns/kernel.h"

#include <ferry/device.h>

#include <unistd.h>

#define HOST4 "192.168.1.10"
#define HOST6 "fd00:1::10"

static char host[64]; /* the namespace behind the trunk */

static struct ferry_gateway with(const char *address, const char *make)
{
    struct ferry_gateway g = {.address = kernel_prefix(address)};
    snprintf(g.make, sizeof g.make, "%s", make);
    return g;
}

static struct ferry_op attach(const char *prefix, const struct ferry_gateway *g, const char *interface)
{
    return kernel_gateway(prefix, g, interface, NULL, &kernel_plain);
}

static bool there(const struct kernel *k, const char *dev)
{
    return kernel_try(k, "link show dev %s >/dev/null", dev);
}

/* Whether the router answers the machine behind the trunk, asked by one of its interfaces. */
static bool answers(const char *interface, const char *address, unsigned seconds)
{
    char command[300];
    snprintf(command, sizeof command,
             "exec nsenter --net=/run/netns/%s ping -q -c 1 -w %u -I %s %s >/dev/null 2>&1", host, seconds,
             interface, address);
    return system(command) == 0;
}

/* ---- What must come back exactly: kernel_snapshot and the kinds of interfaces, by few processes, which are dear here. ---- */

static char *was(const struct kernel *k)
{
    return kernel_text(k,
                       "-d -j -batch - <<E\naddr\nrule\nnexthop\nroute show table all\nE\n"
                       "ip -n %s -6 -d -j -batch - <<E\nrule\nroute show table all\nE",
                       k->netns);
}

static void same(const struct kernel *k, const char *before)
{
    char *now = was(k);
    for (int i = 0; i < 100 && strcmp(now, before); i++) { /* IPv6 has a work queue */
        free(now);
        usleep(100000);
        now = was(k);
    }
    assert_string_equal(now, before);
    free(now);
}

/* ---- The tests. ---- */

static void test_a_vlan_comes_and_goes_and_its_machines_are_reached(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "vlan lan0 101");
    struct ferry_op on = attach(P4, &g, "lan0.101"), off = kernel_swap(&on);
    char *before = was(k);
    kernel_check(k, &on, FERRY_DONE, NULL);
    same(k, before); /* a check leaves no trace */
    for (int i = 0; i < 2; i++) {
        kernel_apply(k, &on, FERRY_DONE);
        char *link = kernel_text(k, "-d link show dev lan0.101");
        assert_non_null(strstr(link, "lan0.101@lan0"));
        assert_non_null(strstr(link, ",UP"));
        assert_non_null(strstr(link, "group 210"));
        assert_non_null(strstr(link, "vlan protocol 802.1Q id 101"));
        free(link);
        assert_true(kernel_says(k, "addr show dev lan0.101", "inet " A4));
        assert_true(kernel_says(k, "route show " P4, "dev lan0.101"));
        assert_true(answers("trunk.101", "192.168.1.1", 20));
        if (!i) { /* not by another VLAN, nor without a tag */
            assert_false(answers("trunk.102", "192.168.1.1", 1));
            assert_false(answers("trunk", "192.168.1.1", 1));
        }
        struct ferry_fib fib = kernel_read(k, P4, 254, &g, "lan0.101");
        assert_int_equal(kernel_only(&fib)->type, FERRY_GATEWAY);
        ferry_fib_clear(&fib);
        kernel_check(k, &off, FERRY_DONE, NULL);
        kernel_apply(k, &off, FERRY_DONE);
        assert_false(there(k, "lan0.101"));
        same(k, before);
    }
    assert_false(answers("trunk.101", "192.168.1.1", 1));
    free(before);
}

static void test_the_last_of_two_gateways_takes_the_vlan_away(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = with(A4, "vlan lan0 101"), g6 = with(A6, "vlan lan0 101");
    struct ferry_op on4 = attach(P4, &g4, "lan0.101"), on6 = attach(P6, &g6, "lan0.101");
    struct ferry_op off4 = kernel_swap(&on4), off6 = kernel_swap(&on6);
    char *before = was(k);
    kernel_apply(k, &on4, FERRY_DONE);
    kernel_apply(k, &on6, FERRY_DONE);
    assert_true(answers("trunk.101", "fd00:1::1", 20));
    kernel_apply(k, &off4, FERRY_DONE);
    assert_true(kernel_says(k, "addr show dev lan0.101", "inet6 " A6));
    kernel_apply(k, &off6, FERRY_DONE);
    assert_false(there(k, "lan0.101"));
    same(k, before);
    free(before);
}

static void test_a_vlan_that_was_there_stays(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "vlan lan0 101");
    struct ferry_op on = attach(P4, &g, "lan0.101"), off = kernel_swap(&on);
    kernel_ip(k, "link add link lan0 name lan0.101 type vlan id 101");
    kernel_ip(k, "link set lan0.101 addrgenmode none up");
    kernel_runs(k, "lan0.101");
    char *before = was(k);
    kernel_check(k, &on, FERRY_DONE, NULL);
    kernel_apply(k, &on, FERRY_DONE);
    assert_true(answers("trunk.101", "192.168.1.1", 20));
    kernel_apply(k, &off, FERRY_DONE);
    same(k, before);
    kernel_ip(k, "link del lan0.101");
    free(before);
}

static void test_another_vlan_of_that_name_is_refused(void **state)
{
    static const struct {
        const char *there, *words;
    } others[] = {
        {"link add link lan0 name lan0.101 type vlan id 102",
         "lan0.101 is there already, as VLAN 102 of lan0, not as VLAN 101 of lan0"},
        {"link add link up0 name lan0.101 type vlan id 101",
         "lan0.101 is there already, as VLAN 101 of up0, not as VLAN 101 of lan0"},
        {"link add link lan0 name lan0.101 type vlan protocol 802.1ad id 101",
         "lan0.101 is there already, as VLAN 101 (802.1ad) of lan0, not as VLAN 101 of lan0"},
    };
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "vlan lan0 101");
    struct ferry_op on = attach(P4, &g, "lan0.101");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        kernel_ip(k, "%s", others[i].there);
        kernel_ip(k, "link set lan0.101 addrgenmode none up");
        kernel_runs(k, "lan0.101");
        char *before = was(k);
        kernel_check(k, &on, FERRY_REFUSED, others[i].words);
        same(k, before);
        kernel_ip(k, "link del lan0.101");
        free(before);
    }
}

static void test_a_parent_that_is_missing_or_down_is_refused(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway none = with(A4, "vlan lan7 101"), g = with(A4, "vlan lan0 101");
    struct ferry_op on = attach(P4, &none, "lan7.101");
    kernel_check(k, &on, FERRY_REFUSED, "there is no interface lan7");
    on = attach(P4, &g, "lan0.101");
    kernel_ip(k, "link set lan0 down");
    char *before = was(k);
    kernel_check(k, &on, FERRY_REFUSED, "this interface is down: lan0");
    kernel_apply(k, &on, FERRY_REFUSED);
    assert_false(there(k, "lan0.101"));
    same(k, before);
    kernel_ip(k, "link set lan0 up");
    kernel_runs(k, "lan0");
    free(before);
}

/* Without what is not the driver's: its number, its address, and a state that follows the link's in its own time. */
#define LOOK "-d -o link show dev lan0.101 | sed 's/^[0-9]*//; s/link.ether [0-9a-f:]*//; s/ state [A-Z]*//'"

/* Also in a table of its own, with its rules. */
static void test_the_commands_do_what_the_driver_does(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = with(A4, "vlan lan0 101");
    struct ferry_driver_config config = kernel_config(k);
    struct ferry_op on = attach(P4, &g, "lan0.101");
    char lines[2000], *made[2];
    g.rules = true;
    on.table = 100;
    struct ferry_op off = kernel_swap(&on);
    char *before = was(k);
    kernel_apply(k, &on, FERRY_DONE);
    made[0] = kernel_text(k, LOOK);
    assert_true(kernel_says(k, "rule show", "from " P4 " iif lan0.101 lookup 100 proto 210"));
    assert_true(answers("trunk.101", "192.168.1.1", 20));
    kernel_apply(k, &off, FERRY_DONE);
    same(k, before);
    for (int i = 0; i < 2; i++) {
        assert_true(k->ops->native(&config, i ? &off : &on, lines, sizeof lines) < (int)sizeof lines);
        assert_non_null(strstr(lines, "ip -n ")); /* nothing for the root namespace */
        FILE *shell = popen("sh -e", "w");
        assert_non_null(shell);
        fputs(lines, shell);
        assert_int_equal(pclose(shell), 0);
        assert_int_equal(there(k, "lan0.101"), !i);
        if (i)
            break;
        made[1] = kernel_text(k, LOOK);
        assert_string_equal(made[0], made[1]);
        assert_true(answers("trunk.101", "192.168.1.1", 20));
    }
    same(k, before);
    free(made[0]);
    free(made[1]);
    free(before);
}

static int up(void **state)
{
    if (kernel_up(state) < 0)
        return -1;
    const struct kernel *k = *state;
    char command[1000];
    snprintf(host, sizeof host, "%s-host", k->netns);
    snprintf(command, sizeof command,
             "ip netns add %s && ip -n %s link set lan0-peer netns %s name trunk && ip -n %s -batch - <<E\n"
             "link set trunk up\n"
             "addr add 192.168.1.12/24 dev trunk\n"
             "link add link trunk name trunk.101 type vlan id 101\n"
             "addr add " HOST4 "/24 dev trunk.101\n"
             "addr add " HOST6 "/64 dev trunk.101 nodad\n"
             "link set trunk.101 up\n"
             "link add link trunk name trunk.102 type vlan id 102\n"
             "addr add 192.168.1.11/24 dev trunk.102\n"
             "link set trunk.102 up\n"
             "E",
             host, k->netns, host, host);
    if (system(command) != 0)
        return -1;
    kernel_runs(k, "lan0");
    return 0;
}

static int down(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "ip netns del %s", host);
    int result = system(command);
    return kernel_down(state) || result ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_vlan_comes_and_goes_and_its_machines_are_reached),
        cmocka_unit_test(test_the_last_of_two_gateways_takes_the_vlan_away),
        cmocka_unit_test(test_a_vlan_that_was_there_stays),
        cmocka_unit_test(test_another_vlan_of_that_name_is_refused),
        cmocka_unit_test(test_a_parent_that_is_missing_or_down_is_refused),
        cmocka_unit_test(test_the_commands_do_what_the_driver_does),
    };
    kernel_need_root();
    return cmocka_run_group_tests(tests, up, down);
}
