/* The FRR driver within VRFs: a real zebra and staticd, and VRF devices in the contract suite's router.  Where the
 * running kernel has none, tests/uml/run has one that does: tests/campaign/frr-vrf.
 * SPDX-License-Identifier: MIT */
#include "contract/shell.h"
#include "contract/words.h"

#include <unistd.h>

#define P     "192.168.1.0/24"
#define P6    "fd00:1::/64"
#define RED   100u
#define ODD   "10.7.0.0/24"
#define OTHER "10.255.1.3 up0"

static void by_hand(struct contract_router *r, const char *lines)
{
    shell("printf '%s\\n' | vtysh -N %s -f /dev/stdin", lines, r->netns);
}

/* All that must come back: configuration, and the kernel without FRR's own numbers of nexthop objects. */
static char *whole(struct contract_router *r)
{
    return shell_text("vtysh -N %s -c 'show running-config'; ip -n %s route show table all | grep -v "
                      "'fe80:\\|^ff00\\|local fe80\\|multicast' | sed 's/nhid [0-9]* //' | sort",
                      r->netns, r->netns);
}

static void until_has(struct contract_router *r, const char *command, const char *what)
{
    for (int i = 0; i < 600; i++, usleep(50000)) {
        FERRY_AUTOFREE char *said = shell_text("%s", command);
        if (strstr(said, what))
            return;
    }
    fail_msg("%s: %s never says %s", r->netns, command, what);
}

static void opened(struct contract_router *r)
{
    struct ferry_err err;
    if (r->driver)
        r->ops->close(r->driver);
    r->driver = NULL;
    if (r->ops->open(&ferry_env_real, &r->config, "r1", r->state_dir, &r->initial, &r->driver, &err) < 0)
        fail_msg("%s", err.text);
}

static int vrf_up(void **state)
{
    int result = up(state);
    struct contract_router *r = *state;
    const char *ns = r->netns;
    shell("ip -n %s -force -batch - <<'E'\nlink add red type vrf table 100\nlink set red up\n"
          "link add green type vrf table 300\nlink set green up\nlink set up0 master red\nlink set lan0 "
          "master red\n"
          "addr replace fd00:255:1::1/64 dev up0 nodad\nE",
          ns);
    FERRY_AUTOFREE char *vrfs = ferry_asprintf("vtysh -N %s -c 'show vrf' -c 'show interface up0'", ns);
    until_has(r, vrfs, "table 300");
    until_has(r, vrfs, "fd00:255:1::1");
    return result;
}

static void refused(struct contract_router *r, struct ferry_op op, const char *why)
{
    struct ferry_err err;
    assert_int_equal(r->ops->check(r->driver, &op, 1, &err), 0); /* said before anything is written */
    assert_int_equal(op.outcome, FERRY_REFUSED);
    if (!strstr(op.why, why))
        fail_msg("'%s' does not say '%s'", op.why, why);
    apply(r, &op, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why, why));
    ferry_op_clear(&op);
}

/* ---- Routes. ---- */

static void test_routes_stand_in_the_block(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *one = ROUTE(RED, 1, FERRY, VIA1), *two = ROUTE(RED, 1, FERRY, OTHER),
                             *both = ROUTE(RED, 1, FERRY, VIA1, OTHER),
                             *drop = DROP(FERRY_BLACKHOLE, RED, 254), *six = ROUTE(RED, 1, FERRY, VIA1_6),
                             *main6 = ROUTE(MAIN, 1, FERRY, VIA2_6);
    FERRY_AUTOFREE char *before = whole(r);
    struct ferry_op ops[] = {op_route(P, RED, 1, NULL, one),    op_route(P, RED, 1, one, both),
                             op_route(P, RED, 1, both, two),    op_route(P, RED, 254, NULL, drop),
                             op_route(P, RED, 1, two, NULL),    op_route(P6, RED, 1, NULL, six),
                             op_route(P6, MAIN, 1, NULL, main6)};
    FERRY_AUTOFREE char *file = ferry_asprintf("%s/events", r->state_dir);
    shell_listen(r->netns, file);
    for (size_t i = 0; i < FERRY_COUNT(ops); i++)
        done(r, ops[i]);
    HOLDS(r, P, RED, drop);
    HOLDS(r, P, MAIN);
    HOLDS(r, P, 300);
    HOLDS(r, P6, RED, six);
    HOLDS(r, P6, MAIN, main6);
    FERRY_AUTOFREE char *now = whole(r);
    assert_non_null(strstr(now, "vrf red\n ip route " P " blackhole tag 2100 254\n"
                                " ipv6 route " P6 " fd00:255:1::2 up0 tag 2100\nexit-vrf\n"));
    assert_non_null(strstr(now, "\nipv6 route " P6 " fd00:255:2::2 up1 tag 2100\n"));
    FERRY_AUTOFREE char *kernel = shell_text("ip -n %s route show table 100", r->netns);
    assert_non_null(strstr(kernel, "blackhole " P));
    for (size_t i = FERRY_COUNT(ops); i-- > 0;)
        done(r, swapped(&ops[i]));
    FERRY_AUTOFREE char *after = whole(r);
    assert_string_equal(before, after);
    /* No packet of the VRF met a hole in between: only the first addition was undone by a deletion. */
    FERRY_AUTOFREE char *events = shell_heard(r->netns, file);
    FERRY_AUTOFREE char *deleted = shell_text("grep -c '^Deleted.* " P "' %s", file);
    if (strcmp(deleted, "1\n") != 0)
        fail_msg("deleted %s times:\n%s", deleted, events);
}

static void away_and_back(struct contract_router *r, const char *prefix, uint32_t distance)
{
    struct ferry_fib fib = ask(r, prefix, RED, NULL, NULL);
    FERRY_AUTOFREE char *before = whole(r);
    assert_int_equal(only(&fib, FERRY_EXACT), 1);
    const struct ferry_entry *e = &fib.items[0].entry;
    struct ferry_op other = op_route(prefix, RED, distance, e, ROUTE(RED, distance, FERRY, OTHER));
    assert_int_equal(fib.n_vrfs, 1); /* what a plan will know */
    assert_string_equal(fib.vrfs[0].name, "red");
    assert_int_equal(e->table, RED);
    assert_int_equal(e->metric, distance);
    done(r, other);
    HOLDS(r, prefix, RED, other.after);
    done(r, swapped(&other));
    FERRY_AUTOFREE char *after = whole(r);
    assert_string_equal(before, after);
    ferry_fib_clear(&fib);
}

static void test_odd_lines_come_back_exactly(void **state)
{
    struct contract_router *r = *state;
    by_hand(
        r,
        "vrf red\\n ip route 10.1.0.0/24 10.255.1.2 tag 5 40\\n ip route 10.2.0.0/24 10.255.2.2 nexthop-vrf "
        "default\\n ip route 10.3.0.0/24 Null0\\nexit-vrf\\nip route 10.1.0.0/24 10.255.2.2 7\\n");
    FERRY_AUTOFREE char *kernel = ferry_asprintf("ip -n %s route show table 100", r->netns);
    until_has(r, kernel, "10.2.0.0/24");
    away_and_back(r, "10.1.0.0/24", 40);
    away_and_back(r, "10.2.0.0/24", 1); /* a leak into the default VRF */
    away_and_back(r, "10.3.0.0/24", 1);
}

/* ---- Gateways. ---- */

static struct ferry_op gateway_op(uint32_t table, const struct ferry_gateway *gateway, const char *interface)
{
    struct ferry_op op = op_gateway(P, gateway, interface, NULL, &attached);
    op.table = table;
    return op;
}

static void test_a_gateway_is_attached_in_its_vrf(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_gateway gateway = {.address = net("192.168.1.1/24")};
    struct ferry_op op = gateway_op(RED, &gateway, "lan0");
    FERRY_AUTOFREE char *before = whole(r);
    refused(r, gateway_op(MAIN, &gateway, "lan0"), "interface lan0 is in VRF red");
    refused(r, gateway_op(RED, &gateway, "up1"), "interface up1 is in no VRF");
    refused(r, gateway_op(200, &gateway, "lan0"), "to table main and to VRFs only");
    done(r, op);
    struct ferry_fib fib = ask(r, P, RED, &gateway, "lan0");
    assert_int_equal(only(&fib, FERRY_EXACT), 1);
    assert_int_equal(fib.items[0].entry.type, FERRY_GATEWAY);
    ferry_fib_clear(&fib);
    FERRY_AUTOFREE char *kernel = shell_text("ip -n %s route show " P " table 100", r->netns);
    assert_non_null(strstr(kernel, "dev lan0"));
    done(r, swapped(&op));
    FERRY_AUTOFREE char *after = whole(r);
    assert_string_equal(before, after);
}

/* ---- Saving. ---- */

static void test_blocks_are_saved(void **state)
{
    struct contract_router *r = *state;
    struct ferry_err err;
    struct ferry_op op = op_route(P, RED, 1, NULL, ROUTE(RED, 1, FERRY, VIA1));
    done(r, op);
    if (r->ops->persist(r->driver, &err) < 0)
        fail_msg("%s", err.text);
    FERRY_AUTOFREE char *saved = shell_text("cat /etc/frr/%s/frr.conf", r->netns);
    const char *block = strstr(saved, "\nvrf red\n"), *end = block ? strstr(block, "exit-vrf") : NULL;
    const char *line = block ? strstr(block, "\n ip route " P " 10.255.1.2 up0 tag 2100\n") : NULL;
    if (!line || !end || line > end)
        fail_msg("no such line in the block of red:\n%s", saved);
    done(r, swapped(&op));
}

/* ---- Refusals. ---- */

static void test_it_must_be_clear_whose_a_table_is(void **state)
{
    struct contract_router *r = *state;
    static struct ferry_vrf then[] = {{"blue", RED}, {"green", 300}};
    struct ferry_op op = op_route(ODD, RED, 1, NULL, ROUTE(RED, 1, FERRY, VIA1));
    by_hand(r, "ip route " ODD
               " 10.255.2.2 table 100\\nvrf green\\n ip route 10.8.0.0/24 blackhole\\nexit-vrf\\n");
    FERRY_AUTOFREE char *before = whole(r);
    refused(r, op, "the default VRF has a static route for this prefix there");
    r->config.vrfs = then;
    r->config.n_vrfs = FERRY_COUNT(then);
    opened(r); /* as with a plan that was made before */
    refused(r, op_route(P, RED, 1, NULL, ROUTE(RED, 1, FERRY, VIA1)), "table 100 was VRF blue's");
    FERRY_AUTOFREE char *after = whole(r);
    assert_string_equal(before, after);
    shell("ip -n %s link del green", r->netns);
    FERRY_AUTOFREE char *vrfs = ferry_asprintf("vtysh -N %s -c 'show vrf'", r->netns);
    until_has(r, vrfs, "green inactive");
    opened(r);
    refused(r, op_route(P, 300, 1, NULL, DROP(FERRY_BLACKHOLE, 300, 1)), "VRF green is inactive");
    r->config.n_vrfs = 0;
}

int main(void)
{
    tested = &contract_frr;
    int skipped = tested->available();
    if (skipped)
        return skipped;
    if (system("ip link add ferry-vrf type vrf table 77 2>/dev/null && ip link del ferry-vrf")) {
        fprintf(stderr, "SKIPPED: this kernel has no VRF devices: tests/campaign/frr-vrf\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes_stand_in_the_block),
        cmocka_unit_test(test_odd_lines_come_back_exactly),
        cmocka_unit_test(test_a_gateway_is_attached_in_its_vrf),
        cmocka_unit_test(test_blocks_are_saved),
        cmocka_unit_test(test_it_must_be_clear_whose_a_table_is),
    };
    return cmocka_run_group_tests(tests, vrf_up, down);
}
