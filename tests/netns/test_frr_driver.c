/* The FRR driver where the contract suite does not look: what the kernel sees meanwhile, odd lines that come
 * back, daemons that stop, die and return, lines that FRR refuses or forgets without a word, and saving.
 *
 * Works on the contract suite's router: zebra and staticd in a namespace of their own.
 *
 * SPDX-License-Identifier: MIT */
#include "contract/shell.h"
#include "contract/words.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#define P "192.168.1.0/24"

static double now_ms(void)
{
    return (double)ferry_env_real.monotonic_us(NULL) / 1000;
}

static void by_hand(struct contract_router *r, const char *lines)
{
    shell("printf '%s\\n' | vtysh -N %s -f /dev/stdin", lines, r->netns);
}

/* All that must come back: configuration, and the kernel without FRR's own numbers of nexthop objects. */
static char *whole(struct contract_router *r)
{
    return shell_text("vtysh -N %s -c 'show running-config'; ip -n %s route show table all | grep -v "
                      "'fe80:\\|^ff00\\|local "
                      "fe80\\|multicast' | sed 's/nhid [0-9]* //' | sort",
                      r->netns, r->netns);
}

static void until_kernel_has(struct contract_router *r, const char *what)
{
    for (int i = 0; i < 3000; i++, usleep(10000)) {
        FERRY_AUTOFREE char *routes = shell_text("ip -n %s route show table all", r->netns);
        if (strstr(routes, what))
            return;
    }
    fail_msg("the kernel has no %s", what);
}

/* ---- What the kernel sees meanwhile. ---- */

static void test_no_swap_deletes_the_route(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *one = ROUTE(MAIN, 1, FERRY, VIA1), *two = ROUTE(MAIN, 1, FERRY, VIA2),
                             *both = ROUTE(MAIN, 1, FERRY, VIA1, VIA2),
                             *drop = DROP(FERRY_BLACKHOLE, MAIN, 254), *foreign = ROUTE(MAIN, 1, 4, VIA1);
    done(r, op_route(P, MAIN, 1, NULL, one));
    FERRY_AUTOFREE char *file = ferry_asprintf("%s/events", r->state_dir);
    shell_listen(r->netns, file);
    done(r, op_route(P, MAIN, 1, one, two));
    done(r, op_route(P, MAIN, 1, two, both));
    done(r, op_route(P, MAIN, 1, both, one));
    done(r, op_route(P, MAIN, 1, one, foreign)); /* another tag alone */
    done(r, op_route(P, MAIN, 1, foreign, two));
    done(r, op_route(P, MAIN, 1, two, both));
    done(r, op_route(P, MAIN, 254, NULL, drop));
    done(r, op_route(P, MAIN, 1, both, NULL)); /* detach: falls to the blackhole */
    done(r, op_route(P, MAIN, 1, NULL, two));  /* attach */
    FERRY_AUTOFREE char *events = shell_heard(r->netns, file);
    assert_non_null(strstr(events, "blackhole " P));
    if (strstr(events, "Deleted " P) || strstr(events, "Deleted blackhole " P))
        fail_msg("the route was deleted:\n%s", events);
}

/* Where packets for an address go, asked of the kernel without a pause, in the background. */
static void watch_lookups(struct contract_router *r, const char *family, const char *address)
{
    shell(
        "(yes 'route get %s' | timeout 60 ip -n %s -%s -force -batch - >%s/gets%s 2>&1) & echo $! >%s/pid%s",
        address, r->netns, family, r->state_dir, family, r->state_dir, family);
    for (int i = 0; i < 3000; i++, usleep(10000)) {
        FERRY_AUTOFREE char *seen = shell_text("head -c 100 %s/gets%s", r->state_dir, family);
        if (*seen)
            return;
    }
    fail_msg("the kernel says nothing about %s", address);
}

/* How often each way was seen. */
static void lookups(struct contract_router *r, const char *family, const char *wrong, unsigned *ret_wrong,
                    unsigned *ret_dropped)
{
    shell("pkill -P $(cat %s/pid%s); while pgrep -P $(cat %s/pid%s) >/dev/null; do sleep 0.05; done; true",
          r->state_dir, family, r->state_dir, family);
    FERRY_AUTOFREE char *went = shell_text("grep -c 'dev %s' %s/gets%s", wrong, r->state_dir, family);
    FERRY_AUTOFREE char *dropped = shell_text("grep -c 'Invalid argument' %s/gets%s", r->state_dir, family);
    *ret_wrong = (unsigned)strtoul(went, NULL, 10);
    *ret_dropped = (unsigned)strtoul(dropped, NULL, 10);
}

/* A new connection, as the engine makes one where a call failed. */
static void reopen(struct contract_router *r)
{
    struct ferry_err err;
    r->ops->close(r->driver);
    r->driver = NULL;
    if (r->ops->open(&ferry_env_real, &r->config, "r1", r->state_dir, &r->initial, &r->driver, &err) < 0)
        fail_msg("%s", err.text);
}

static void no_rule_stays(struct contract_router *r)
{
    for (int i = 0; i < 3000; i++, usleep(10000)) {
        FERRY_AUTOFREE char *rules = shell_text("ip -n %s rule; ip -n %s -6 rule", r->netns, r->netns);
        if (!strstr(rules, "proto 210") && !strstr(rules, "proto ferry"))
            return;
    }
    fail_msg("rules stay");
}

/* The connected route goes, and FRR's blackhole beneath comes only then; IPv6 routes are swapped by a deletion and an
 * addition.  A default route waits for both. */
static void no_packet_follows_the_default_route(struct contract_router *r, bool in_outage)
{
    const struct ferry_gateway four = {.address = net("192.168.1.1/24")},
                               six = {.address = net("fd00:1::1/64")};
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, 254), *one = ROUTE(MAIN, 1, FERRY, VIA1_6),
                             *two = ROUTE(MAIN, 1, FERRY, "fd00:255:1::3 up0");
    unsigned wrong[2], dropped[2];
    by_hand(r, "ip route 0.0.0.0/0 10.255.2.2 up1\\nipv6 route ::/0 fd00:255:2::2 up1");
    until_kernel_has(r, "default");
    struct ferry_op attach[] = {op_gateway(P, &four, "lan0", NULL, &attached),
                                op_gateway("fd00:1::/64", &six, "lan0", NULL, &attached)};
    apply(r, attach, 2);
    struct ferry_op below[] = {op_route(P, MAIN, 254, NULL, drop),
                               op_route("fd00:1::/64", MAIN, 254, NULL, drop)};
    apply(r, below, 2);
    watch_lookups(r, "4", "192.168.1.10");
    watch_lookups(r, "6", "fd00:1::10");
    struct ferry_op detach[] = {swapped(&attach[0]), swapped(&attach[1])};
    ((struct ferry_driver_base *)r->driver)->more = in_outage;
    apply(r, detach, 2);
    HOLDS(r, P, MAIN, drop); /* with zebra's route, or with the rules that do the same until it is there */
    HOLDS(r, "fd00:1::/64", MAIN, drop);
    ((struct ferry_driver_base *)r->driver)->more = false;
    done(r, op_route("fd00:1::/64", MAIN, 1, NULL, one));
    done(r, op_route("fd00:1::/64", MAIN, 1, one, two));
    done(r, op_route("fd00:1::/64", MAIN, 1, two, NULL));
    apply(r, attach, 2);
    lookups(r, "4", "up1", &wrong[0], &dropped[0]);
    lookups(r, "6", "up1", &wrong[1], &dropped[1]);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(detach[i].outcome, FERRY_DONE);
        if (wrong[i])
            fail_msg("%u packets to %s would have gone by the default route, %u were dropped", wrong[i],
                     i ? "IPv6" : "IPv4", dropped[i]);
        assert_true(dropped[i] > 0); /* it was looked while nothing was attached */
    }
    no_rule_stays(r);
}

static void test_no_packet_follows_the_default_route(void **state)
{
    no_packet_follows_the_default_route(*state, false);
}

static void test_no_packet_follows_the_default_route_in_an_outage(void **state)
{
    no_packet_follows_the_default_route(*state, true);
}

/* FRR takes a swap between a drop and a next hop as one change, of which zebra hears in two messages: it makes a deletion and an
 * addition of them where staticd does not run for a moment. */
static void test_no_packet_follows_the_default_route_while_staticd_stalls(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, 1), *one = ROUTE(MAIN, 1, FERRY, VIA1);
    unsigned wrong, dropped;
    if (system("command -v strace >/dev/null")) {
        fprintf(stderr, "SKIPPED: there is no strace\n");
        skip();
    }
    by_hand(r, "ip route 0.0.0.0/0 10.255.2.2 up1");
    until_kernel_has(r, "default");
    done(r, op_route(P, MAIN, 1, NULL, drop));
    FERRY_AUTOFREE char *events = ferry_asprintf("%s/events", r->state_dir);
    shell_listen(r->netns, events);
    watch_lookups(r, "4", "192.168.1.10");
    shell("strace -qq -o %s/trace -p $(cat /run/frr/%s/staticd.pid) -e trace=write,writev,sendto,sendmsg "
          "-e inject=write,writev,sendto,sendmsg:delay_enter=30000 & echo $! >%s/strace; "
          "for i in $(seq 3000); do grep -q '^TracerPid:.*[1-9]' /proc/$(cat /run/frr/%s/staticd.pid)/status "
          "&& exit 0; "
          "sleep 0.01; done; exit 1",
          r->state_dir, r->netns, r->state_dir, r->netns);
    done(r, op_route(P, MAIN, 1, drop, one));
    done(r, op_route(P, MAIN, 1, one, drop));
    shell("kill $(cat %s/strace)", r->state_dir);
    lookups(r, "4", "up1", &wrong, &dropped);
    FERRY_AUTOFREE char *heard = shell_heard(r->netns, events);
    assert_non_null(strstr(heard, "Deleted")); /* else it shows nothing */
    assert_true(dropped > 0);
    if (wrong)
        fail_msg("%u packets would have gone by the default route, %u were dropped", wrong, dropped);
    no_rule_stays(r);
}

/* The driver ends where the outage was to go on. */
static void test_no_rule_stays_behind_a_driver(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_gateway four = {.address = net("192.168.1.1/24")};
    struct ferry_op attach = op_gateway(P, &four, "lan0", NULL, &attached), detach = swapped(&attach);
    done(r, attach);
    done(r, op_route(P, MAIN, 254, NULL, DROP(FERRY_BLACKHOLE, MAIN, 254)));
    ((struct ferry_driver_base *)r->driver)->more = true;
    apply(r, &detach, 1);
    FERRY_AUTOFREE char *rules = shell_text("ip -n %s rule", r->netns);
    assert_non_null(strstr(rules, "blackhole"));
    reopen(r);
    no_rule_stays(r);
}

/* What a killed Ferry left goes with the next check or apply of the prefix; nobody else's does. */
static void test_rules_that_were_left_go(void **state)
{
    struct contract_router *r = *state;
    struct ferry_err err;
    struct ferry_op op = op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA1));
    static const char left[] =
        "ip -n %s rule add pref 32765 to " P " lookup main suppress_prefixlength 23 proto 210;"
        "ip -n %s rule add pref 32765 to " P " blackhole proto 210;"
        "ip -n %s rule add pref 32765 to 192.168.7.0/24 blackhole proto 210;"
        "ip -n %s rule add pref 32765 to " P " blackhole proto 211";
    shell(left, r->netns, r->netns, r->netns, r->netns);
    assert_int_equal(r->ops->check(r->driver, &op, 1, &err), 0);
    FERRY_AUTOFREE char *rules = shell_text("ip -N -n %s rule show pref 32765", r->netns);
    assert_null(strstr(rules, "192.168.1.0/24 6 proto 210"));
    assert_null(strstr(rules, "suppress_prefixlength"));
    assert_non_null(strstr(rules, "192.168.7.0/24 6 proto 210"));
    assert_non_null(strstr(rules, "192.168.1.0/24 6 proto 211"));
    shell("ip -n %s rule del pref 32765 to 192.168.7.0/24 blackhole; ip -n %s rule del pref 32765 to " P
          " blackhole",
          r->netns, r->netns);
}

/* ---- What comes back. ---- */

static void away_and_back(struct contract_router *r, const char *prefix, uint32_t table, uint32_t distance)
{
    struct ferry_fib fib = ask(r, prefix, table, NULL, NULL);
    FERRY_AUTOFREE char *before = whole(r);
    assert_int_equal(only(&fib, FERRY_EXACT), 1);
    const struct ferry_entry *e = &fib.items[0].entry;
    bool v6 = strchr(prefix, ':');
    struct ferry_op away = op_route(prefix, table, distance, e, NULL),
                    other = op_route(prefix, table, distance, e,
                                     v6 ? ROUTE(table, distance, FERRY, "fd00:255:2::9 up1")
                                        : ROUTE(table, distance, FERRY, "10.255.2.9 up1"));
    assert_int_equal(e->metric, distance);
    done(r, away);
    HOLDS(r, prefix, table);
    done(r, swapped(&away));
    done(r, other);
    HOLDS(r, prefix, table, other.after);
    done(r, swapped(&other));
    FERRY_AUTOFREE char *after = whole(r);
    if (strcmp(before, after) != 0) {
        FILE *files[2];
        for (int i = 0; i < 2; i++) {
            char name[128];
            snprintf(name, sizeof name, "%s/%d", r->state_dir, i);
            files[i] = fopen(name, "w");
            fputs(i ? after : before, files[i]);
            fclose(files[i]);
        }
        FERRY_AUTOFREE char *differs = shell_text("cd %s && diff 0 1", r->state_dir);
        fail_msg("%s:\n%s", prefix, differs);
    }
    ferry_fib_clear(&fib);
}

static void test_odd_lines_come_back_exactly(void **state)
{
    struct contract_router *r = *state;
    by_hand(r, "ip route 10.9.9.0/24 10.255.2.2 up1");
    until_kernel_has(r, "10.9.9.0/24"); /* by which 10.2.0.0/24 is found */
    by_hand(
        r,
        "ip route 10.1.0.0/24 10.255.1.2\\n"
        "ip route 10.2.0.0/24 10.9.9.1 tag 5 40\\nip route 10.3.0.0/24 10.255.1.2 up0 tag 7 30\\n"
        "ip route 10.3.0.0/24 10.255.2.2 up1 tag 7 30\\nip route 10.4.0.0/24 Null0\\nip route 10.5.0.0/24 "
        "reject "
        "7\\n"
        "ip route 10.6.0.0/24 10.77.0.1 up0 onlink\\nip route 10.7.0.0/24 10.255.1.2 up0 tag 9 table 100\\n"
        "ip route 10.8.0.0/24 10.255.1.2 up0 color 5\\nip route 10.10.0.0/24 up0 200\\n"
        "ipv6 route fd00:1::/64 fd00:255:1::2 77\\nipv6 route fd00:2::/64 fe80::9 up0 tag 3\\n"
        "ipv6 route fd00:3::/64 blackhole 9");
    until_kernel_has(r, "blackhole fd00:3::/64");
    until_kernel_has(r, "10.2.0.0/24");
    away_and_back(r, "10.1.0.0/24", MAIN, 1);
    away_and_back(r, "10.2.0.0/24", MAIN, 40);
    away_and_back(r, "10.3.0.0/24", MAIN, 30);
    away_and_back(r, "10.4.0.0/24", MAIN, 1);
    away_and_back(r, "10.5.0.0/24", MAIN, 7);
    away_and_back(r, "10.6.0.0/24", MAIN, 1);
    away_and_back(r, "10.7.0.0/24", 100, 1);
    away_and_back(r, "10.8.0.0/24", MAIN, 1);
    away_and_back(r, "10.10.0.0/24", MAIN, 200);
    away_and_back(r, "fd00:1::/64", MAIN, 77);
    away_and_back(r, "fd00:2::/64", MAIN, 1);
    away_and_back(r, "fd00:3::/64", MAIN, 9);
}

/* ---- What FRR does not do, though it says nothing. ---- */

static void test_what_frr_would_not_do_is_never_done(void **state)
{
    struct contract_router *r = *state;
    struct made m;
    struct ferry_entry native = *ROUTE(MAIN, 1, FERRY, VIA1);
    done(r, op_route(P, MAIN, 254, NULL, DROP(FERRY_BLACKHOLE, MAIN, 254)));
    done(r, op_route(P, MAIN, 30, NULL, ROUTE(MAIN, 30, FERRY, VIA1)));
    FERRY_AUTOFREE char *before = whole(r);
    /* FRR would move the next hop, or the blackhole, from its other distance. */
    assert_int_equal(apply_one(r, op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA1))), FERRY_REFUSED);
    assert_int_equal(apply_one(r, op_route(P, MAIN, 1, NULL, DROP(FERRY_UNREACHABLE, MAIN, 1))),
                     FERRY_REFUSED);
    struct ferry_op moves[] = {op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA1)),
                               op_route(P, MAIN, 30, ROUTE(MAIN, 30, FERRY, VIA1), NULL)};
    struct ferry_err err;
    assert_int_equal(r->ops->check(r->driver, moves, 1, &err), 0); /* said before anything is written */
    assert_int_equal(moves[0].outcome, FERRY_REFUSED);
    assert_int_equal(r->ops->check(r->driver, moves, 2, &err), 0);
    assert_int_equal(moves[0].outcome, FERRY_DONE); /* the plan takes the other away */
    /* A word for another: what stands in a plan is no way into vtysh. */
    static const char *const words[] = {"10.255.1.2 up0\n!\nhostname x",
                                        "10.255.1.2 up0;reboot",
                                        "10.255.1.2 ?",
                                        "10.255.1.2 up0 $(id)",
                                        " ",
                                        "10.255.1.2\tup0"};
    for (size_t i = 0; i < FERRY_COUNT(words); i++) {
        native.native = (const uint8_t *)words[i];
        native.native_len = (uint32_t)strlen(words[i]);
        assert_int_equal(apply_one(r, op_route(P, MAIN, 1, NULL, &native)), FERRY_REFUSED);
    }
    static const char *const names[] = {"Null0", "blackhole", "reject", "a b", "x\ny",
                                        "up0?",  "!x",        "tag",    "7"};
    for (size_t i = 0; i < FERRY_COUNT(names); i++) {
        route(&m, MAIN, 1, FERRY, VIA2, (const char *)NULL);
        strcpy(m.hops[0].dev, names[i]);
        assert_int_equal(apply_one(r, op_route(P, MAIN, 1, NULL, &m.e)), FERRY_REFUSED);
    }
    FERRY_AUTOFREE char *after = whole(r);
    assert_string_equal(before, after);
    /* Configured, and never used: nobody is at the next hop's network. */
    enum ferry_outcome outcome =
        apply_one(r, op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, "10.99.9.9 up0")));
    assert_int_equal(outcome, FERRY_UNKNOWN);
}

static void test_a_refused_line_takes_no_other_along(void **state)
{
    struct contract_router *r = *state;
    struct ferry_entry odd = *ROUTE(MAIN, 30, 4, VIA1);
    odd.native = (const uint8_t *)"10.255.1.2 up0 30 label 100"; /* MPLS is off: FRR refuses the whole file */
    odd.native_len = (uint32_t)strlen((const char *)odd.native);
    struct ferry_op ops[] = {op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA1)),
                             op_route("192.168.2.0/24", MAIN, 30, NULL, &odd),
                             op_route("192.168.3.0/24", MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA2))};
    apply(r, ops, 3);
    assert_int_equal(ops[0].outcome, FERRY_DONE);
    assert_int_equal(ops[1].outcome, FERRY_REFUSED);
    assert_non_null(strstr(ops[1].why, "MPLS"));
    assert_int_equal(ops[2].outcome, FERRY_DONE);
    HOLDS(r, P, MAIN, ROUTE(MAIN, 1, FERRY, VIA1));
    HOLDS(r, "192.168.2.0/24", MAIN);
    ferry_op_clear(&ops[1]);
}

/* ---- VRFs; where there are some: test_frr_vrf.c. ---- */

/* FRR has a VRF in its configuration that the kernel has not: its block is nobody's, and stays as it is. */
static void test_an_inactive_vrf_is_left_alone(void **state)
{
    struct contract_router *r = *state;
    struct ferry_err err;
    struct ferry_vrf then = {"green", 300};
    const struct ferry_entry *one = ROUTE(MAIN, 1, FERRY, VIA1), *two = ROUTE(300, 1, FERRY, VIA2);
    by_hand(r, "vrf green\\n ip route " P " 10.255.2.2 up1\\nexit-vrf");
    FERRY_AUTOFREE char *before = whole(r);
    assert_non_null(strstr(before, "vrf green\n ip route " P " 10.255.2.2 up1\nexit-vrf\n"));
    HOLDS(r, P, MAIN);
    done(r, op_route(P, MAIN, 1, NULL, one));
    done(r, op_route(P, 300, 1, NULL, two)); /* a table of the default VRF, as any other */
    HOLDS(r, P, MAIN, one);
    HOLDS(r, P, 300, two);
    done(r, op_route(P, MAIN, 1, one, NULL));
    done(r, op_route(P, 300, 1, two, NULL));
    r->config.vrfs = &then;
    r->config.n_vrfs = 1;
    reopen(r); /* as with a plan from when the VRF was there */
    r->config.n_vrfs = 0;
    struct ferry_op op = op_route(P, 300, 1, NULL, two);
    assert_int_equal(r->ops->check(r->driver, &op, 1, &err), 0);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why, "VRF green is inactive"));
    apply(r, &op, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why, "VRF green is inactive"));
    ferry_op_clear(&op);
    FERRY_AUTOFREE char *after = whole(r);
    assert_string_equal(before, after);
}

/* ---- Daemons. ---- */

static void signal_daemon(struct contract_router *r, const char *daemon, const char *signal)
{
    shell("kill -%s $(cat /run/frr/%s/%s.pid)", signal, r->netns, daemon);
}

static void test_a_stopped_daemon_is_not_waited_for(void **state)
{
    static const char *const daemons[] = {"staticd", "zebra"};
    struct contract_router *r = *state;
    struct ferry_err err;
    for (size_t i = 0; i < FERRY_COUNT(daemons); i++) {
        struct ferry_op op = op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA1));
        struct ferry_fib fib = ask(r, P, MAIN, NULL, NULL); /* kept vtysh */
        ferry_fib_clear(&fib);
        signal_daemon(r, daemons[i], "STOP");
        double begun = now_ms();
        int result = r->ops->apply(r->driver, &op, 1, &err);
        double took = now_ms() - begun;
        signal_daemon(r, daemons[i], "CONT");
        assert_int_not_equal(op.outcome, FERRY_DONE);
        assert_true(result < 0);
        assert_true(took < 20000); /* it stands still for as long as it is waited for */
        ferry_op_clear(&op);
        reopen(r);
        HOLDS(r, P, MAIN);
    }
}

/* Dead when this returns: it answers nobody, and its lock is another one's to take. */
static void kill_daemon(struct contract_router *r, const char *daemon)
{
    shell("pid=$(cat /run/frr/%s/%s.pid) && kill -KILL $pid || exit; for i in $(seq 3000); do "
          "case $(cut -d' ' -f3 /proc/$pid/stat 2>/dev/null) in ''|Z) exit 0;; esac; sleep 0.01; done; "
          "exit 1",
          r->netns, daemon);
}

static void start_staticd(struct contract_router *r)
{
    shell("ip netns exec %s /usr/lib/frr/staticd -d -A 127.0.0.1 -N %s", r->netns, r->netns);
    shell("for i in $(seq 600); do vtysh -N %s -c 'show daemons' | grep -q staticd && exit 0; sleep 0.05; "
          "done; exit 1",
          r->netns);
}

static void test_a_daemon_that_died_is_missed_and_found_again(void **state)
{
    struct contract_router *r = *state;
    struct ferry_err err;
    const struct ferry_entry *one = ROUTE(MAIN, 1, FERRY, VIA1);
    struct ferry_op op = op_route(P, MAIN, 1, NULL, one);
    struct ferry_fib fib = ask(r, P, MAIN, NULL, NULL); /* a vtysh is kept that knows the daemon which dies */
    ferry_fib_clear(&fib);
    kill_daemon(r, "staticd");
    (void)!r->ops->apply(r->driver, &op, 1, &err);
    assert_int_not_equal(op.outcome, FERRY_DONE);
    ferry_op_clear(&op);
    reopen(r);
    struct ferry_op checked = op_route(P, MAIN, 1, NULL, one);
    assert_int_equal(r->ops->check(r->driver, &checked, 1, &err), -FERRY_EREFUSED);
    assert_non_null(strstr(err.text, "staticd"));
    assert_true(r->ops->persist(r->driver, &err) < 0); /* it would save without staticd's part */
    start_staticd(r);                                  /* as watchfrr does, while a connection is kept */
    done(r, op_route(P, MAIN, 1, NULL, one));
    HOLDS(r, P, MAIN, one);
    kill_daemon(r, "staticd");
    start_staticd(r);
    /* A vtysh that starts beside a daemon that starts may miss it without a word: refused then, and nothing is
     * written. */
    op = op_route("192.168.9.0/24", MAIN, 1, NULL, one);
    for (int i = 0; i < 5 && op.outcome != FERRY_DONE; i++)
        if (r->ops->apply(r->driver, &op, 1, &err) < 0)
            reopen(r);
    assert_int_equal(op.outcome, FERRY_DONE);
    HOLDS(r, "192.168.9.0/24", MAIN, one);
}

/* ---- Saving. ---- */

static unsigned warned;

static void hear(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    (void)ctx;
    char text[512];
    vsnprintf(text, sizeof text, fmt, args);
    warned += level == FERRY_LOG_WARNING && strstr(text, "not saved");
}

static void test_saving_is_looked_at(void **state)
{
    struct contract_router *r = *state;
    struct ferry_err err;
    struct ferry_env env = ferry_env_real;
    struct ferry_op op = op_route("192.168.9.0/24", MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA2));
    env.log = hear;
    done(r, op_route(P, MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA1)));
    r->ops->close(r->driver);
    assert_int_equal(r->ops->open(&env, &r->config, "r1", r->state_dir, &r->initial, &r->driver, &err), 0);
    assert_int_equal(r->ops->check(r->driver, &op, 1, &err), 0);
    assert_int_equal(warned, 1); /* somebody's lines are not saved */
    if (r->ops->persist(r->driver, &err) < 0)
        fail_msg("%s", err.text);
    shell("grep -q '^ip route " P " 10.255.1.2 up0 tag 2100$' /etc/frr/%s/frr.conf", r->netns);
    shell("test -f /etc/frr/%s/frr.conf.ferry", r->netns);
    assert_int_equal(r->ops->check(r->driver, &op, 1, &err), 0);
    assert_int_equal(warned, 1);
    /* A full disk: what was saved stays. */
    FERRY_AUTOFREE char *saved = shell_text("cat /etc/frr/%s/frr.conf", r->netns);
    done(r, op);
    shell(
        "cd /etc/frr/%s && cp -a . %s/frr && mount -t tmpfs -o size=64k tmpfs /etc/frr/%s && cp -a %s/frr/. "
        "/etc/frr/%s && head -c 100000 /dev/zero >/etc/frr/%s/full 2>/dev/null || :",
        r->netns, r->state_dir, r->netns, r->state_dir, r->netns, r->netns);
    assert_true(r->ops->persist(r->driver, &err) < 0);
    FERRY_AUTOFREE char *still = shell_text("cat /etc/frr/%s/frr.conf", r->netns);
    assert_string_equal(saved, still);
    shell("umount /etc/frr/%s", r->netns);
    /* A file for each daemon, beside what only vtysh knows. */
    shell(
        "cd /etc/frr/%s && rm frr.conf && printf 'no service integrated-vtysh-config\\nbanner motd line a# b"
        "\\nusername root nopassword\\n' >vtysh.conf",
        r->netns);
    reopen(r);
    assert_int_equal(r->ops->persist(r->driver, &err), 0);
    shell("cd /etc/frr/%s && test ! -e frr.conf && grep -q '^ip route " P "' staticd.conf", r->netns);
}

int main(void)
{
    tested = &contract_frr;
    int skipped = tested->available();
    if (skipped)
        return skipped;
    const struct CMUnitTest tests[] = {
        T(no_swap_deletes_the_route),
        T(no_packet_follows_the_default_route),
        T(no_packet_follows_the_default_route_in_an_outage),
        T(no_packet_follows_the_default_route_while_staticd_stalls),
        T(no_rule_stays_behind_a_driver),
        T(rules_that_were_left_go),
        T(odd_lines_come_back_exactly),
        T(what_frr_would_not_do_is_never_done),
        T(a_refused_line_takes_no_other_along),
        T(an_inactive_vrf_is_left_alone),
        T(a_stopped_daemon_is_not_waited_for),
        T(a_daemon_that_died_is_missed_and_found_again),
        T(saving_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
