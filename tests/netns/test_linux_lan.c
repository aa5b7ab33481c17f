/* Gateways and their LAN: it is told who has the address now, an IPv6 gateway hears its questions, a taken
 * address is found.
 *
 * SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <unistd.h>

/* A machine on the LAN, in a namespace of its own: lan0's other end. */
static struct kernel pc_up(const struct kernel *k)
{
    struct kernel pc = {0};
    char command[200];
    snprintf(pc.netns, sizeof pc.netns, "%.40s-pc", k->netns);
    snprintf(command, sizeof command, "ip netns add %s", pc.netns);
    assert_int_equal(system(command), 0);
    kernel_exec(&pc, "sysctl -qw net.ipv6.conf.default.accept_dad=0");
    kernel_ip(k, "link set lan0-peer netns %s", pc.netns);
    kernel_ip(&pc, "link set lan0-peer up");
    kernel_runs(k, "lan0");
    return pc;
}

static void pc_down(const struct kernel *pc)
{
    char command[200];
    snprintf(command, sizeof command, "ip netns del %s", pc->netns);
    assert_int_equal(system(command), 0);
}

static bool pc_knows(const struct kernel *pc, const char *address, const char *mac)
{
    char *text = kernel_text(pc, "neigh show %s", address);
    bool knows = strstr(text, mac) != NULL;
    free(text);
    return knows;
}

/* Pitfall 12: adding an address announces nothing, so the driver does. */
static void test_pitfall_12_the_lan_is_told(void **state)
{
    struct kernel *k = *state, pc = pc_up(k);
    struct ferry_gateway g4 = kernel_at(A4), g6 = kernel_at(A6);
    struct ferry_op ops[2] = {kernel_gateway(P4, &g4, "lan0", NULL, &kernel_plain),
                              kernel_gateway(P6, &g6, "lan0", NULL, &kernel_plain)};
    struct ferry_err err;
    bool told4 = false, told6 = false, before;
    static const char old[] = "02:00:00:00:00:99";
    /* It has talked to the gateway where that was before. */
    kernel_ip(&pc, "addr add 192.168.1.10/24 dev lan0-peer");
    kernel_ip(&pc, "addr add fd00:1::10/64 dev lan0-peer nodad");
    kernel_ip(&pc, "neigh add 192.168.1.1 lladdr %s dev lan0-peer nud stale", old);
    kernel_ip(&pc, "neigh add fd00:1::1 lladdr %s dev lan0-peer nud stale", old);
    assert_int_equal(k->ops->apply(k->driver, ops, 2, &err), 0);
    before = pc_knows(&pc, "192.168.1.1", old);
    assert_int_equal(k->ops->announce(k->driver, ops, 2, &err), 0);
    for (int i = 0; i < 200 && !(told4 && (told6 || KERNEL_IPROUTE)); i++) {
        told4 = !pc_knows(&pc, "192.168.1.1", old);
        told6 = !pc_knows(&pc, "fd00:1::1", old);
        usleep(10000);
    }
    pc_down(&pc);
    assert_true(before);
    assert_true(told4);
    if (!KERNEL_IPROUTE) /* no tool of a plain router says it */
        assert_true(told6);
}

#ifndef FERRY_KERNEL_IPROUTE
static bool hears_questions(const struct kernel *k)
{
    char *text = kernel_text(k, "-6 maddr show dev lan0");
    bool hears = strstr(text, "ff02::1:ff00:1\n") || strstr(text, "ff02::1:ff00:1 ");
    free(text);
    return hears;
}

/* Announcing awaits the kernel's own membership: it leaves with an address also where it had not joined yet,
 * and would take ours. */
static void come_and_go(struct kernel *k, struct ferry_op *attach)
{
    struct ferry_op detach = kernel_swap(attach);
    struct ferry_err err;
    kernel_apply(k, attach, FERRY_DONE);
    assert_int_equal(k->ops->announce(k->driver, attach, 1, &err), 0);
    kernel_apply(k, &detach, FERRY_DONE);
}

/* The kernel itself hears them a moment after the attach, which is too late: the driver does not depend on
 * the address for it, neither before the attach nor when it is undone. */
static void test_pitfall_13_an_ipv6_gateway_hears_questions_at_once(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = kernel_at(A6);
    struct ferry_op attach = kernel_gateway(P6, &g, "lan0", NULL, &kernel_plain);
    struct ferry_err err;
    assert_false(hears_questions(k));
    assert_int_equal(k->ops->check(k->driver, &attach, 1, &err), 0);
    assert_int_equal(attach.outcome, FERRY_DONE);
    assert_true(hears_questions(k));
    come_and_go(k, &attach);
    assert_true(hears_questions(k));
}

/* A recovery attaches without having checked. */
static void test_pitfall_13_it_hears_them_unchecked_too(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = kernel_at(A6);
    struct ferry_op attach = kernel_gateway(P6, &g, "lan0", NULL, &kernel_plain);
    come_and_go(k, &attach);
    assert_true(hears_questions(k));
}
#endif

/* Pitfall 13 for IPv4: somebody on the LAN has the address already; of several, each is said. */
static void test_pitfall_13_a_taken_address_is_found(void **state)
{
    struct kernel *k = *state, pc = pc_up(k);
    struct ferry_gateway g1 = kernel_at(A4), g2 = kernel_at("192.168.2.1/24");
    struct ferry_op ops[2] = {kernel_gateway(P4, &g1, "lan0", NULL, &kernel_plain),
                              kernel_gateway("192.168.2.0/24", &g2, "lan0", NULL, &kernel_plain)};
    struct ferry_err err;
    assert_int_equal(k->ops->check(k->driver, ops, 2, &err), 0);
    bool free_before = ops[0].outcome == FERRY_DONE && ops[1].outcome == FERRY_DONE;
    kernel_ip(&pc, "addr add " A4 " dev lan0-peer");
    kernel_ip(&pc, "addr add 192.168.2.1/24 dev lan0-peer");
    assert_int_equal(k->ops->check(k->driver, ops, 2, &err), 0);
    pc_down(&pc);
    assert_true(free_before);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops[i].outcome, FERRY_REFUSED);
        assert_non_null(strstr(ops[i].why, i ? "answers for 192.168.2.1" : "answers for 192.168.1.1"));
    }
    ferry_ops_clear(ops, 2);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, kernel_up, kernel_down)
    const struct CMUnitTest tests[] = {
        T(test_pitfall_12_the_lan_is_told),
#ifndef FERRY_KERNEL_IPROUTE /* nobody joins a group over there */
        T(test_pitfall_13_an_ipv6_gateway_hears_questions_at_once),
        T(test_pitfall_13_it_hears_them_unchecked_too),
#endif
        T(test_pitfall_13_a_taken_address_is_found),
    };
    kernel_need_root();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
