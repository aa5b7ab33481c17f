/* What the slot `check` finds out and says before anything is written.  SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <stdio.h>

static void refused(struct kernel *k, struct ferry_op op, const char *words)
{
    struct ferry_err err;
    assert_int_equal(k->ops->check(k->driver, &op, 1, &err), 0);
    if (!words && op.outcome != FERRY_DONE)
        fail_msg("%s", op.why);
    if (words && op.outcome != FERRY_REFUSED)
        fail_msg("not refused: wanted %s", words);
    if (words && !strstr(op.why, words))
        fail_msg("%s: wanted %s", op.why, words);
    ferry_op_clear(&op);
}

static void test_check_says_why_it_would_not_work(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = kernel_at(A4);
    struct ferry_nexthop a = {
        .router = FERRY_NO_ROUTER, .via = kernel_addr("10.255.1.2"), .dev = "up0", .weight = 1};
    struct ferry_nexthop b = {
        .router = FERRY_NO_ROUTER, .via = kernel_addr("10.255.2.2"), .dev = "up1", .weight = 1};
    struct ferry_entry x = {
        .type = FERRY_UNICAST, .table = 254, .metric = 20, .protocol = 210, .n_nexthops = 1, .nexthops = &a};
    struct ferry_entry y = x;
    y.nexthops = &b;
    char *was = kernel_snapshot(k);
    refused(k, kernel_route(P4, NULL, &x), NULL);
    refused(k, kernel_gateway(P4, &g, "lan0", NULL, &kernel_plain), NULL);
    refused(k, kernel_gateway(P4, &g, "nolan", NULL, &kernel_plain), "there is no interface nolan");
    a.via = kernel_addr("172.16.0.1");
    refused(k, kernel_route(P4, NULL, &x), "172.16.0.1");
    a.onlink = true;
    refused(k, kernel_route(P4, NULL, &x), NULL);
    a = (struct ferry_nexthop){
        .router = FERRY_NO_ROUTER, .via = kernel_addr("10.255.1.2"), .dev = "up0", .weight = 1};
    kernel_same(k, was);
    free(was);
    kernel_ip(k, "addr add " A4 " dev up1");
    refused(k, kernel_gateway(P4, &g, "lan0", NULL, &kernel_plain),
            "the router has 192.168.1.1 already, on up1");
    kernel_ip(k, "addr del " A4 " dev up1");
    kernel_ip(k, "link set lan0-peer down");
    kernel_stops(k, "lan0");
    refused(k, kernel_gateway(P4, &g, "lan0", NULL, &kernel_plain), "interface lan0 has no carrier");
    kernel_ip(k, "link set lan0 down");
    refused(k, kernel_gateway(P4, &g, "lan0", NULL, &kernel_plain), "interface lan0 is down");
    kernel_ip(k, "link set up1 down");
    refused(k, kernel_route(P4, &x, &y), "interface up1 is down");
    kernel_ip(k, "link set up1 up");
    kernel_runs(k, "up1");
    /* Pitfall 15: strict reverse path filtering. */
    refused(k, kernel_route(P4, &x, &y), NULL);
    kernel_exec(k, "sysctl -qw net.ipv4.conf.up0.rp_filter=1");
    refused(k, kernel_route(P4, &x, &y), "sysctl -w net.ipv4.conf.up0.rp_filter=2");
    kernel_exec(k, "sysctl -qw net.ipv4.conf.all.rp_filter=2");
    refused(k, kernel_route(P4, &x, &y), NULL);
}

static void keep(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    (void)level;
    vsnprintf(ctx, 300, fmt, args);
}

/* What the check of one op says to people. */
static void says(const struct kernel *k, struct ferry_op op, const char *words)
{
    char said[300] = "";
    struct ferry_env env = ferry_env_real;
    struct ferry_driver_config config = kernel_config(k);
    struct ferry_driver *driver;
    struct ferry_err err;
    env.ctx = said;
    env.log = keep;
    assert_int_equal(k->ops->open(&env, &config, "r1", NULL, NULL, &driver, &err), 0);
    assert_int_equal(k->ops->check(driver, &op, 1, &err), 0);
    assert_int_equal(op.outcome, FERRY_DONE);
    k->ops->close(driver);
    ferry_op_clear(&op);
    if (!strstr(said, words) || !*words != !*said)
        fail_msg("said \"%s\", wanted \"%s\"", said, words);
}

static void test_check_says_that_a_router_does_not_forward(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = kernel_at(A4), g6 = kernel_at(A6);
    struct ferry_op on4 = kernel_gateway(P4, &g4, "lan0", NULL, &kernel_plain),
                    on6 = kernel_gateway(P6, &g6, "lan0", NULL, &kernel_plain);
    kernel_exec(k, "sysctl -qw net.ipv4.conf.all.forwarding=1 net.ipv6.conf.all.forwarding=1");
    says(k, on4, "");
    says(k, on6, "");
    says(k, kernel_swap(&on4), "");
    kernel_exec(k, "sysctl -qw net.ipv4.conf.lan0.forwarding=0");
    says(k, on4,
         "r1 does not forward IPv4 packets that come in by lan0: sysctl -w net.ipv4.conf.lan0.forwarding=1");
    kernel_exec(k, "sysctl -qw net.ipv4.conf.all.forwarding=0 net.ipv6.conf.all.forwarding=0");
    says(k, on4, "r1 does not forward IPv4 packets: sysctl -w net.ipv4.conf.all.forwarding=1");
    says(k, on6, "r1 does not forward IPv6 packets: sysctl -w net.ipv6.conf.all.forwarding=1");
    says(k, kernel_swap(&on4), "");
}

/* Before anything is written, not in the middle of the move. */
static void test_check_says_what_could_not_come_back(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g4 = kernel_at(A4), g6 = kernel_at(A6);
    struct ferry_op off4 = kernel_gateway(P4, &g4, "lan0", &kernel_plain, NULL),
                    off6 = kernel_gateway(P6, &g6, "lan0", &kernel_plain, NULL);
    kernel_ip(k, "addr add " A4 " dev lan0");
    kernel_ip(k, "addr add " A6 " dev lan0 nodad");
    kernel_ip(
        k, "addr add fd00:7::3/64 dev lan0 valid_lft 1000 preferred_lft 900 metric 9"); /* another subnet's */
    refused(k, off4, NULL);
    refused(k, off6, NULL);
    kernel_ip(k, "addr add 192.168.1.2/24 dev lan0 valid_lft 1000 preferred_lft 900");
    refused(k, off4, "limited time");
    kernel_ip(k, "addr add fd00:1::3/64 dev lan0 valid_lft 1000 preferred_lft 900");
    refused(k, off6, "limited time");
    kernel_ip(k, "addr del fd00:1::3/64 dev lan0");
    kernel_ip(k, "addr add fd00:1::3/64 dev lan0 metric 300");
    refused(k, off6, "different metrics");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, kernel_up, kernel_down)
    const struct CMUnitTest tests[] = {
        T(test_check_says_why_it_would_not_work),
        T(test_check_says_what_could_not_come_back),
        T(test_check_says_that_a_router_does_not_forward),
    };
    kernel_need_root();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
