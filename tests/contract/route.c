/* The contract of apply, for routes: every type, compare and set, foreign routes.  SPDX-License-Identifier: MIT */
#include "words.h"

/* ---- Routes: add, replace, remove. ---- */

struct life {
    const char *prefix;
    uint32_t table, metric;
    const struct ferry_entry *first, *second;
};

static void live(struct contract_router *r, const struct life *l)
{
    struct ferry_fib before = everything(r);
    done(r, op_route(l->prefix, l->table, l->metric, NULL, l->first));
    HOLDS(r, l->prefix, l->table, l->first);
    done(r, op_route(l->prefix, l->table, l->metric, l->first, l->second));
    HOLDS(r, l->prefix, l->table, l->second);
    done(r, op_route(l->prefix, l->table, l->metric, l->second, NULL));
    HOLDS(r, l->prefix, l->table);
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_routes_of_every_type(void **state)
{
    static const enum ferry_entry_type types[] = {FERRY_BLACKHOLE, FERRY_UNREACHABLE, FERRY_PROHIBIT};
    if (tested->cannot & CANNOT_PROHIBIT)
        assert_int_equal(
            apply_one(*state, op_route("192.168.1.0/24", MAIN, 20, NULL, DROP(FERRY_PROHIBIT, MAIN, 20))),
            FERRY_REFUSED);
    for (size_t i = 0; i < FERRY_COUNT(types) - (tested->cannot & CANNOT_PROHIBIT ? 1 : 0); i++) {
        live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1),
                                    DROP(types[i], MAIN, 20)});
        live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, DROP(types[i], MAIN, 20),
                                    ROUTE(MAIN, 20, FERRY, VIA2)});
        live(*state, &(struct life){"fd00:1::/64", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1_6),
                                    DROP(types[i], MAIN, 20)});
        live(*state, &(struct life){"fd00:1::/64", MAIN, 20, DROP(types[i], MAIN, 20),
                                    ROUTE(MAIN, 20, FERRY, VIA2_6)});
    }
    live(*state,
         &(struct life){"192.168.1.0/24", MAIN, 9, DROP(PROHIBIT, MAIN, 9), DROP(FERRY_BLACKHOLE, MAIN, 9)});
}

static void test_next_hops_change(void **state)
{
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1),
                                ROUTE(MAIN, 20, FERRY, VIA2)});
    live(*state, &(struct life){"fd00:1::/64", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1_6),
                                ROUTE(MAIN, 20, FERRY, VIA2_6)});
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, "- lan0"),
                                ROUTE(MAIN, 20, FERRY, VIA2)});
    live(*state,
         &(struct life){"192.168.1.7/32", MAIN, 20, ROUTE(MAIN, 20, 4, VIA1), ROUTE(MAIN, 20, FERRY, VIA1)});
    live(*state,
         &(struct life){"0.0.0.0/0", MAIN, 20, ROUTE(MAIN, 20, 4, VIA1), ROUTE(MAIN, 20, FERRY, VIA2)});
}

static void test_several_next_hops(void **state)
{
    if (tested->cannot & CANNOT_WEIGH) {
        struct made heavy;
        route(&heavy, MAIN, 20, FERRY, VIA1, VIA2, (const char *)NULL);
        heavy.hops[1].weight = 2;
        assert_int_equal(apply_one(*state, op_route("192.168.1.0/24", MAIN, 20, NULL, &heavy.e)),
                         FERRY_REFUSED);
    }
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1, VIA2),
                                ROUTE(MAIN, 20, FERRY, VIA2)});
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1),
                                ROUTE(MAIN, 20, FERRY, VIA1 " 3", VIA2 " 256")});
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1 " 3", VIA2),
                                ROUTE(MAIN, 20, FERRY, VIA1, VIA2 " 3")});
    live(*state, &(struct life){"fd00:1::/64", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1_6, VIA2_6),
                                ROUTE(MAIN, 20, FERRY, VIA2_6)});
    live(*state, &(struct life){"fd00:1::/64", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1_6),
                                ROUTE(MAIN, 20, FERRY, VIA1_6 " 2", VIA2_6 " 5")});
    live(*state, &(struct life){"fd00:1::/64", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1_6, VIA2_6),
                                DROP(FERRY_BLACKHOLE, MAIN, 20)});
    live(*state, &(struct life){"fd00:1::/64", MAIN, 20, DROP(FERRY_BLACKHOLE, MAIN, 20),
                                ROUTE(MAIN, 20, FERRY, VIA1_6, VIA2_6)});
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, DROP(FERRY_BLACKHOLE, MAIN, 20),
                                ROUTE(MAIN, 20, FERRY, VIA1, "10.255.1.3 up0", VIA2)});
}

static void test_tables_are_apart(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *in_main = ROUTE(MAIN, 20, FERRY, VIA1), *in_100 = ROUTE(100, 20, FERRY, VIA2),
                             *in_70000 = DROP(FERRY_BLACKHOLE, 70000, 20);
    done(r, op_route("192.168.1.0/24", MAIN, 20, NULL, in_main));
    done(r, op_route("192.168.1.0/24", 100, 20, NULL, in_100));
    done(r, op_route("192.168.1.0/24", 70000, 20, NULL, in_70000));
    HOLDS(r, "192.168.1.0/24", MAIN, in_main);
    HOLDS(r, "192.168.1.0/24", 100, in_100);
    HOLDS(r, "192.168.1.0/24", 70000, in_70000);
    HOLDS(r, "192.168.1.0/24", 101);
    done(r, op_route("192.168.1.0/24", 100, 20, in_100, NULL));
    HOLDS(r, "192.168.1.0/24", MAIN, in_main);
    HOLDS(r, "192.168.1.0/24", 100);
    HOLDS(r, "192.168.1.0/24", 70000, in_70000);
    live(r, &(struct life){"fd00:1::/64", 100, 20, ROUTE(100, 20, FERRY, VIA1_6), DROP(PROHIBIT, 100, 20)});
}

static void stack_of_a_prefix(struct contract_router *r, const char *prefix,
                              const struct ferry_entry *live_route, const struct ferry_entry *backup)
{
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, DROP_METRIC);
    done(r, op_route(prefix, MAIN, backup->metric, NULL, backup));
    done(r, op_route(prefix, MAIN, 20, NULL, live_route));
    done(r, op_route(prefix, MAIN, drop->metric, NULL, drop));
    HOLDS(r, prefix, MAIN, live_route, backup, drop);
    done(r, op_route(prefix, MAIN, 20, live_route, NULL));
    HOLDS(r, prefix, MAIN, backup, drop);
    done(r, op_route(prefix, MAIN, drop->metric, drop, NULL));
    HOLDS(r, prefix, MAIN, backup);
}

static void test_a_blackhole_lies_under_a_live_route(void **state)
{
    stack_of_a_prefix(*state, "192.168.1.0/24", ROUTE(MAIN, 20, FERRY, VIA1), ROUTE(MAIN, 50, 4, VIA2));
    stack_of_a_prefix(*state, "fd00:1::/64", ROUTE(MAIN, 20, FERRY, VIA1_6), ROUTE(MAIN, 50, 4, VIA2_6));
}

/* ---- Compare and set. ---- */

static void stale(struct contract_router *r, const struct ferry_entry *held,
                  const struct ferry_entry *claimed)
{
    if (tested->cannot & CANNOT_WEIGH && held && claimed && ferry_entry_equal(held, claimed, FERRY_CMP_EXACT))
        return; /* only the weights were different */
    struct ferry_fib before = everything(r);
    struct ferry_op ops[] = {
        op_route("192.168.1.0/24", MAIN, 20, claimed, ROUTE(MAIN, 20, FERRY, "10.255.1.9 up0")),
        op_route("192.168.1.0/24", MAIN, 20, claimed, NULL)};
    apply(r, ops, 2);
    for (size_t i = 0; i < 2; i++) {
        if (ops[i].outcome != FERRY_STALE)
            fail_msg("%s in place of stale: %s", ferry_outcome_name(ops[i].outcome), ops[i].why);
        if (!strstr(ops[i].why, "192.168.1.0/24") || !strstr(ops[i].why, "expected"))
            fail_msg("does not say what was expected where: %s", ops[i].why);
        ferry_op_clear(&ops[i]);
    }
    unchanged(r, &before);
    if (held)
        HOLDS(r, "192.168.1.0/24", MAIN, held);
    ferry_fib_clear(&before);
}

static void test_before_is_compared_in_every_field(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *held = ROUTE(MAIN, 20, FERRY, VIA1, VIA2 " 2");
    struct made onlink;
    done(r, op_route("192.168.1.0/24", MAIN, 20, NULL, held));
    stale(r, held, NULL);
    stale(r, held, DROP(FERRY_BLACKHOLE, MAIN, 20));
    stale(r, held, ROUTE(MAIN, 20, 4, VIA1, VIA2 " 2"));
    stale(r, held, ROUTE(MAIN, 20, FERRY, VIA1));
    stale(r, held, ROUTE(MAIN, 20, FERRY, VIA1, VIA2));
    stale(r, held, ROUTE(MAIN, 20, FERRY, VIA1, "10.255.2.3 up1 2"));
    stale(r, held, ROUTE(MAIN, 20, FERRY, VIA1, "10.255.2.2 up0 2"));
    route(&onlink, MAIN, 20, FERRY, VIA1, VIA2 " 2", (const char *)NULL);
    onlink.hops[0].onlink = true;
    stale(r, held, &onlink.e);
    struct ferry_entry native = *held;
    native.native = (const uint8_t *)"\1\2\3\4";
    native.native_len = 4;
    stale(r, held, &native);
    done(r, op_route("192.168.1.0/24", MAIN, 20, held, DROP(FERRY_BLACKHOLE, MAIN, 20)));
    stale(r, DROP(FERRY_BLACKHOLE, MAIN, 20), DROP(FERRY_UNREACHABLE, MAIN, 20));
    stale(r, DROP(FERRY_BLACKHOLE, MAIN, 20), held);
}

static void test_nothing_is_not_something(void **state)
{
    struct contract_router *r = *state;
    stale(r, NULL, ROUTE(MAIN, 20, FERRY, VIA1));
    /* The same value under another metric, or in another table, is another key. */
    done(r, op_route("192.168.1.0/24", MAIN, 21, NULL, ROUTE(MAIN, 21, FERRY, VIA1)));
    done(r, op_route("192.168.1.0/24", 100, 20, NULL, ROUTE(100, 20, FERRY, VIA1)));
    stale(r, NULL, ROUTE(MAIN, 20, FERRY, VIA1));
    HOLDS(r, "192.168.1.0/24", MAIN, ROUTE(MAIN, 21, FERRY, VIA1));
}

static void foreign_key(struct contract_router *r, const char *prefix, const char *hop, const char *own)
{
    tested->foreign(r, prefix);
    struct ferry_fib before = everything(r), held = ask(r, prefix, MAIN, NULL, NULL);
    assert_int_equal(only(&held, FERRY_EXACT), 1);
    const struct ferry_entry *foreign = &held.items[0].entry, *ours = ROUTE(MAIN, 30, FERRY, own);
    assert_true(foreign->native_len > 0);
    assert_int_equal(foreign->protocol, 4);
    assert_true(ferry_entry_equal(foreign, ROUTE(MAIN, 30, 4, hop), FERRY_CMP_FORWARDING));

    assert_int_equal(apply_one(r, op_route(prefix, MAIN, 30, NULL, ours)), FERRY_STALE);
    assert_int_equal(apply_one(r, op_route(prefix, MAIN, 30, ROUTE(MAIN, 30, 4, hop), NULL)), FERRY_STALE);
    unchanged(r, &before);

    /* Known whole, it may be replaced, and comes back with all that it had. */
    struct ferry_op replace = op_route(prefix, MAIN, 30, foreign, ours),
                    away = op_route(prefix, MAIN, 30, foreign, NULL);
    done(r, replace);
    HOLDS(r, prefix, MAIN, ours);
    done(r, swapped(&replace));
    unchanged(r, &before);
    done(r, away);
    HOLDS(r, prefix, MAIN);
    done(r, swapped(&away));
    unchanged(r, &before);
    ferry_fib_clear(&held);
    ferry_fib_clear(&before);
}

static void test_a_foreign_route_is_kept_or_restored(void **state)
{
    foreign_key(*state, "192.168.7.0/24", VIA1, VIA2);
    foreign_key(*state, "fd00:7::/64", VIA1_6, VIA2_6);
}

const struct CMUnitTest route_tests[] = {
    T(routes_of_every_type),
    T(next_hops_change),
    T(several_next_hops),
    T(tables_are_apart),
    T(a_blackhole_lies_under_a_live_route),
    T(before_is_compared_in_every_field),
    T(nothing_is_not_something),
    T(a_foreign_route_is_kept_or_restored),
};
const size_t n_route_tests = FERRY_COUNT(route_tests);
