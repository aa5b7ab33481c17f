/* The contract of apply, for gateways.  SPDX-License-Identifier: MIT */
#include "words.h"

/* ---- Gateways. ---- */

struct place {
    const char *prefix, *interface;
    struct ferry_gateway gateway;
    bool connected;
};

static void attach_and_detach(struct contract_router *r, const struct place *p)
{
    struct ferry_fib before = everything(r);
    struct ferry_op op = op_gateway(p->prefix, &p->gateway, p->interface, NULL, &attached);
    done(r, op);
    HOLDS_AT(r, p->prefix, &p->gateway, p->interface, &attached);
    if (p->connected)
        connected(r, p->prefix, p->interface,
                  strchr(p->prefix, ':') && !tested->connected_is_best_always
                      ? 256
                      : 0);                          /* without asking for the gateway */
    assert_int_equal(apply_one(r, op), FERRY_STALE); /* it is there already */
    done(r, swapped(&op));
    HOLDS_AT(r, p->prefix, &p->gateway, p->interface);
    unchanged(r, &before);
    assert_int_equal(apply_one(r, swapped(&op)), FERRY_STALE); /* it is gone already */
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_connected_gateways(void **state)
{
    attach_and_detach(*state,
                      &(struct place){"192.168.1.0/24", "lan0", {.address = net("192.168.1.1/24")}, true});
    attach_and_detach(*state, &(struct place){"fd00:1::/64", "lan0", {.address = net("fd00:1::1/64")}, true});
}

static void test_routed_gateways(void **state)
{
    attach_and_detach(*state, &(struct place){"192.168.1.0/24", "up0", {.via = ip("10.255.1.2")}, false});
    attach_and_detach(
        *state,
        &(struct place){"192.168.1.0/24", NULL, {.interface = FERRY_NONE, .via = ip("10.255.1.2")}, false});
    attach_and_detach(*state, &(struct place){"fd00:1::/64", "up1", {.via = ip("fd00:255:2::2")}, false});
}

static void test_a_gateway_at_another_place_is_not_this_one(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway here = {.address = net("192.168.1.1/24")},
                         there = {.address = net("192.168.1.254/24")};
    done(r, op_gateway("192.168.1.0/24", &there, "lan0", NULL, &attached));
    struct ferry_fib before = everything(r), seen = ask(r, "192.168.1.0/24", MAIN, &here, "lan0");
    assert_int_equal(only(&seen, FERRY_EXACT), 1);
    assert_int_equal(seen.items[0].entry.type, FERRY_UNICAST); /* attached, but not as this gateway */
    ferry_fib_clear(&seen);
    assert_int_equal(apply_one(r, op_gateway("192.168.1.0/24", &here, "lan0", &attached, NULL)), FERRY_STALE);
    unchanged(r, &before);
    HOLDS_AT(r, "192.168.1.0/24", &there, "lan0", &attached);
    ferry_fib_clear(&before);
}

/* The address alone may be seen there, but never as the attachment that main would have. */
static void not_plain_in_main(struct contract_router *r, const char *prefix, const char *interface,
                              const struct ferry_gateway *gateway)
{
    struct ferry_fib fib = ask(r, prefix, MAIN, gateway, interface);
    for (size_t i = 0; i < fib.n; i++)
        assert_false(ferry_entry_equal(&fib.items[i].entry, &attached, FERRY_CMP_EXACT));
    ferry_fib_clear(&fib);
}

/* In another table than main, with a blackhole under it there. */
static void attach_in_table(struct contract_router *r, const char *prefix, const char *interface,
                            const struct ferry_gateway *gateway)
{
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, 100, DROP_METRIC);
    struct ferry_fib before = everything(r);
    struct ferry_op op = op_gateway(prefix, gateway, interface, NULL, &attached);
    op.table = 100;
    if (tested->cannot & CANNOT_ATTACH_IN_TABLES && gateway->address.addr.family) {
        assert_int_equal(apply_one(r, op), FERRY_REFUSED);
        unchanged(r, &before);
        ferry_fib_clear(&before);
        return;
    }
    done(r, op);
    holds_at(r, prefix, 100, gateway, interface, (const struct ferry_entry *const[]){&attached, NULL});
    not_plain_in_main(r, prefix, interface, gateway);
    done(r, op_route(prefix, 100, drop->metric, NULL, drop));
    holds_at(r, prefix, 100, gateway, interface, (const struct ferry_entry *const[]){&attached, drop, NULL});
    assert_int_equal(apply_one(r, op), FERRY_STALE);
    struct ferry_op in_main = swapped(&op);
    in_main.table = MAIN;
    assert_int_equal(apply_one(r, in_main), FERRY_STALE); /* attached, but elsewhere */
    done(r, swapped(&op));
    holds_at(r, prefix, 100, gateway, interface, (const struct ferry_entry *const[]){drop, NULL});
    done(r, op_route(prefix, 100, drop->metric, drop, NULL));
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_gateways_in_other_tables(void **state)
{
    attach_in_table(*state, "192.168.1.0/24", "lan0",
                    &(struct ferry_gateway){.address = net("192.168.1.1/24")});
    attach_in_table(*state, "fd00:1::/64", "lan0", &(struct ferry_gateway){.address = net("fd00:1::1/64")});
    attach_in_table(*state, "192.168.1.0/24", "up0", &(struct ferry_gateway){.via = ip("10.255.1.2")});
    attach_in_table(*state, "fd00:1::/64", "up1", &(struct ferry_gateway){.via = ip("fd00:255:2::2")});
}

/* An attachment that is not the plain one is known whole or not touched, and comes back as it was. */
static void foreign_attachment(struct contract_router *r, const char *prefix, const char *address)
{
    struct ferry_gateway gateway = {.address = net(address)};
    tested->foreign_gateway(r, address);
    struct ferry_fib before = everything(r), held = ask(r, prefix, MAIN, &gateway, "lan0");
    assert_int_equal(only(&held, FERRY_EXACT), 1);
    const struct ferry_entry *snapshot = &held.items[0].entry;
    assert_int_equal(snapshot->type, FERRY_GATEWAY);
    assert_true(snapshot->native_len > 0);

    assert_int_equal(apply_one(r, op_gateway(prefix, &gateway, "lan0", NULL, &attached)), FERRY_STALE);
    assert_int_equal(apply_one(r, op_gateway(prefix, &gateway, "lan0", &attached, NULL)), FERRY_STALE);
    unchanged(r, &before);
    struct ferry_op away = op_gateway(prefix, &gateway, "lan0", snapshot, NULL);
    if (tested->cannot & CANNOT_TAKE_FOREIGN6 && strchr(prefix, ':')) {
        assert_int_equal(apply_one(r, away), FERRY_REFUSED);
    } else {
        done(r, away);
        HOLDS_AT(r, prefix, &gateway, "lan0");
        done(r, swapped(&away));
    }
    HOLDS_AT(r, prefix, &gateway, "lan0", snapshot);
    unchanged(r, &before);
    ferry_fib_clear(&held);
    ferry_fib_clear(&before);
}

static void test_a_foreign_attachment_is_kept_or_restored(void **state)
{
    foreign_attachment(*state, "192.168.7.0/24", "192.168.7.1/24");
    foreign_attachment(*state, "fd00:7::/64", "fd00:7::1/64");
}

static void blackhole_under(struct contract_router *r, const char *prefix, const char *address)
{
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, DROP_METRIC);
    struct ferry_gateway gateway = {.address = net(address)};
    struct ferry_op op = op_gateway(prefix, &gateway, "lan0", NULL, &attached);
    done(r, op);
    done(r, op_route(prefix, MAIN, drop->metric, NULL, drop));
    HOLDS_AT(r, prefix, &gateway, "lan0", &attached, drop);
    done(r, swapped(&op));
    HOLDS_AT(r, prefix, &gateway, "lan0", drop);
    done(r, op);
    HOLDS_AT(r, prefix, &gateway, "lan0", &attached, drop);
    done(r, op_route(prefix, MAIN, drop->metric, drop, NULL));
    HOLDS_AT(r, prefix, &gateway, "lan0", &attached);
}

static void test_a_blackhole_lies_under_a_gateway(void **state)
{
    blackhole_under(*state, "192.168.1.0/24", "192.168.1.1/24");
    blackhole_under(*state, "fd00:1::/64", "fd00:1::1/64");
}

static void test_an_op_and_its_swap_leave_no_trace(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = net("192.168.1.1/24")},
                         gateway6 = {.address = net("fd00:1::1/64")};
    const struct ferry_entry *old = ROUTE(MAIN, 20, 4, VIA1, VIA2 " 4");
    done(r, op_route("192.168.2.0/24", MAIN, 20, NULL, old));
    struct ferry_fib before = everything(r);
    struct ferry_op ops[] = {
        op_route("192.168.2.0/24", MAIN, DROP_METRIC, NULL, DROP(FERRY_BLACKHOLE, MAIN, DROP_METRIC)),
        op_route("192.168.2.0/24", MAIN, 20, old, ROUTE(MAIN, 20, FERRY, VIA2)),
        op_gateway("192.168.1.0/24", &gateway, "lan0", NULL, &attached),
        op_gateway("fd00:1::/64", &gateway6, "lan0", NULL, &attached),
        op_route("fd00:2::/64", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1_6, VIA2_6)),
    };
    enum { N = FERRY_COUNT(ops) };
    struct ferry_op undo[N];
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++)
            undo[N - 1 - i] = swapped(&ops[i]);
        apply(r, ops, N);
        apply(r, undo, N);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(ops[i].outcome, FERRY_DONE);
            assert_int_equal(undo[i].outcome, FERRY_DONE);
        }
        unchanged(r, &before);
    }
    ferry_fib_clear(&before);
}

const struct CMUnitTest gateway_tests[] = {
    T(connected_gateways),
    T(routed_gateways),
    T(a_gateway_at_another_place_is_not_this_one),
    T(gateways_in_other_tables),
    T(a_foreign_attachment_is_kept_or_restored),
    T(a_blackhole_lies_under_a_gateway),
    T(an_op_and_its_swap_leave_no_trace),
};
const size_t n_gateway_tests = FERRY_COUNT(gateway_tests);
