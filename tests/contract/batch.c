/* The contract of batches, check, announce, persist and native.  SPDX-License-Identifier: MIT */
#include "words.h"

/* ---- Batches. ---- */

static void test_ops_take_effect_in_order(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *a = ROUTE(MAIN, 20, FERRY, VIA1), *b = ROUTE(MAIN, 20, FERRY, VIA2);
    struct ferry_op ops[] = {
        op_route("192.168.1.0/24", MAIN, 20, NULL, a), op_route("192.168.1.0/24", MAIN, 20, a, b),
        op_route("192.168.1.0/24", MAIN, 20, b, NULL), op_route("192.168.1.0/24", MAIN, 20, NULL, b)};
    apply(r, ops, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ops[i].outcome, FERRY_DONE);
    HOLDS(r, "192.168.1.0/24", MAIN, b);
}

static void test_a_batch_is_no_transaction(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *a = ROUTE(MAIN, 20, FERRY, VIA1);
    struct ferry_op ops[] = {
        op_route("192.168.1.0/24", MAIN, 20, NULL, a),
        op_route("192.168.2.0/24", MAIN, 20, a, NULL),
        op_route("192.168.3.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, "10.255.1.2 no-such-dev")),
        op_route("192.168.4.0/24", MAIN, 20, NULL, a),
    };
    for (size_t i = 0; i < 4; i++) {
        ops[i].outcome = FERRY_REFUSED; /* what stood there before must not matter */
        ferry_op_why(&ops[i], "old");
    }
    apply(r, ops, 4);
    assert_int_equal(ops[0].outcome, FERRY_DONE);
    assert_int_equal(ops[1].outcome, FERRY_STALE);
    assert_int_equal(ops[2].outcome, FERRY_REFUSED);
    assert_int_equal(ops[3].outcome, FERRY_DONE);
    assert_non_null(strstr(ops[2].why, "no-such-dev"));
    assert_string_not_equal(ops[1].why, "old");
    ferry_ops_clear(ops, 4);
    HOLDS(r, "192.168.1.0/24", MAIN, a);
    HOLDS(r, "192.168.2.0/24", MAIN);
    HOLDS(r, "192.168.3.0/24", MAIN);
    HOLDS(r, "192.168.4.0/24", MAIN, a);
}

static void test_no_ops_are_no_error(void **state)
{
    struct contract_router *r = *state;
    struct ferry_fib before = everything(r);
    apply(r, NULL, 0);
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_a_thousand_ops(void **state)
{
    struct contract_router *r = *state;
    enum { N = 1000 };
    struct ferry_fib before = everything(r);
    struct ferry_op *ops = ferry_calloc(N, sizeof *ops), *undo = ferry_calloc(N, sizeof *undo);
    const struct ferry_entry *a = ROUTE(MAIN, 20, FERRY, VIA1), *a6 = ROUTE(MAIN, 20, FERRY, VIA1_6, VIA2_6);
    for (unsigned i = 0; i < N; i++) {
        char prefix[FERRY_PREFIX_STRLEN];
        snprintf(prefix, sizeof prefix, i % 2 ? "fd00:%x::/64" : "172.%u.0.0/24", i % 2 ? i : 16 + i / 250);
        ops[i] = op_route(prefix, MAIN, 20, NULL, i % 2 ? a6 : a);
        if (i % 2 == 0) {
            ops[i].prefix.addr.bytes[2] = (uint8_t)(i % 250);
        }
        undo[N - 1 - i] = swapped(&ops[i]);
    }
    apply(r, ops, N);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(ops[i].outcome, FERRY_DONE);
    struct ferry_fib now = everything(r);
    assert_int_equal(now.n, before.n + N);
    ferry_fib_clear(&now);
    HOLDS(r, "fd00:3e7::/64", MAIN, a6);
    HOLDS(r, "172.19.248.0/24", MAIN, a);
    apply(r, undo, N);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(undo[i].outcome, FERRY_DONE);
    unchanged(r, &before);
    ferry_fib_clear(&before);
    free(ops);
    free(undo);
}

/* ---- Refusals, check, the rest. ---- */

static void test_what_cannot_be_is_refused(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = net("192.168.1.1/24")};
    struct ferry_fib before = everything(r);
    struct ferry_op op = op_gateway("192.168.1.0/24", &gateway, "no-such-dev", NULL, &attached);
    apply(r, &op, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why, "no-such-dev"));
    ferry_op_clear(&op);
    op = op_route("192.168.1.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1, "10.255.2.2 no-such-dev"));
    apply(r, &op, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why, "no-such-dev"));
    ferry_op_clear(&op);
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_check_changes_nothing(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = net("192.168.1.1/24")};
    const struct ferry_entry *a = ROUTE(MAIN, 20, FERRY, VIA1);
    struct ferry_err err;
    done(r, op_route("192.168.2.0/24", MAIN, 20, NULL, a));
    struct ferry_fib before = everything(r);
    struct ferry_op ops[] = {
        op_route("192.168.3.0/24", MAIN, 20, NULL, a),
        op_route("192.168.2.0/24", MAIN, 20, a, NULL),
        op_gateway("192.168.1.0/24", &gateway, "lan0", NULL, &attached),
        op_route("192.168.4.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, "10.255.1.2 no-such-dev")),
        op_gateway("192.168.5.0/24", &gateway, "no-such-dev", NULL, &attached),
    };
    if (r->ops->check(r->driver, ops, FERRY_COUNT(ops), &err) != 0)
        fail_msg("check: %s", err.text);
    for (size_t i = 0; i < FERRY_COUNT(ops); i++) {
        if (ops[i].outcome != (i < 3 ? FERRY_DONE : FERRY_REFUSED))
            fail_msg("op %zu: %s: %s", i, ferry_outcome_name(ops[i].outcome), ops[i].why);
        if (i >= 3)
            assert_non_null(strstr(ops[i].why, "no-such-dev"));
        ferry_op_clear(&ops[i]);
    }
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_what_was_written_outlives_the_driver(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = net("192.168.1.1/24")};
    struct ferry_err err;
    tested->foreign(r, "192.168.7.0/24");
    done(r, op_route("192.168.2.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1 " 2", VIA2)));
    done(r, op_route("fd00:2::/64", 100, 20, NULL, DROP(PROHIBIT, 100, 20)));
    done(r, op_gateway("192.168.1.0/24", &gateway, "lan0", NULL, &attached));
    struct ferry_fib before = everything(r);
    if (r->ops->persist)
        assert_int_equal(r->ops->persist(r->driver, &err), 0);
    r->ops->close(r->driver);
    r->driver = NULL;
    assert_int_equal(
        r->ops->open(&ferry_env_real, &r->config, "r1", r->state_dir, &r->initial, &r->driver, &err), 0);
    unchanged(r, &before);
    HOLDS_AT(r, "192.168.1.0/24", &gateway, "lan0", &attached);
    ferry_fib_clear(&before);
}

static void test_two_connections_see_the_same(void **state)
{
    struct contract_router *r = *state;
    struct contract_router other = *r;
    struct ferry_err err;
    const struct ferry_entry *a = ROUTE(MAIN, 20, FERRY, VIA1), *b = ROUTE(MAIN, 20, FERRY, VIA2);
    assert_int_equal(
        r->ops->open(&ferry_env_real, &r->config, "r1", r->state_dir, &r->initial, &other.driver, &err), 0);
    done(r, op_route("192.168.1.0/24", MAIN, 20, NULL, a));
    HOLDS(&other, "192.168.1.0/24", MAIN, a);
    done(&other, op_route("192.168.1.0/24", MAIN, 20, a, b));
    assert_int_equal(apply_one(r, op_route("192.168.1.0/24", MAIN, 20, a, NULL)), FERRY_STALE);
    HOLDS(r, "192.168.1.0/24", MAIN, b);
    r->ops->close(other.driver);
}

static void test_announcing_changes_nothing(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = net("192.168.1.1/24")},
                         gateway6 = {.address = net("fd00:1::1/64")};
    struct ferry_err err;
    struct ferry_op ops[] = {op_gateway("192.168.1.0/24", &gateway, "lan0", NULL, &attached),
                             op_gateway("fd00:1::/64", &gateway6, "lan0", NULL, &attached)};
    apply(r, ops, 2);
    struct ferry_fib before = everything(r);
    if (r->ops->announce && r->ops->announce(r->driver, ops, 2, &err) != 0)
        fail_msg("announce: %s", err.text);
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_native_commands_have_snprintfs_manners(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway connected = {.address = net("192.168.1.1/24")}, routed = {.via = ip("10.255.1.2")};
    const struct ferry_entry *a = ROUTE(MAIN, 20, FERRY, VIA1),
                             *ecmp = ROUTE(100, 20, FERRY, VIA1, VIA2 " 2");
    struct ferry_op ops[] = {
        op_route("192.168.1.0/24", MAIN, 20, NULL, a),
        op_route("192.168.1.0/24", MAIN, 20, a, DROP(FERRY_BLACKHOLE, MAIN, 20)),
        op_route("192.168.1.0/24", 100, 20, ecmp, NULL),
        op_route("192.168.1.0/24", 100, 20, NULL, ecmp),
        op_route("fd00:1::/64", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1_6)),
        op_gateway("192.168.1.0/24", &connected, "lan0", NULL, &attached),
        op_gateway("192.168.1.0/24", &connected, "lan0", &attached, NULL),
        op_gateway("192.168.1.0/24", &routed, "up0", NULL, &attached),
    };
    for (size_t i = 0; i < FERRY_COUNT(ops); i++) {
        char whole[1024], part[1024];
        int n = r->ops->native(&r->config, &ops[i], whole, sizeof whole);
        assert_in_range(n, 1, sizeof whole - 1);
        assert_int_equal(strlen(whole), n);
        assert_non_null(strstr(whole, i == 4 ? "ip" : "ip "));
        assert_non_null(strstr(whole, i == 4 ? "fd00:1::" : "192.168.1."));
        assert_int_equal(r->ops->native(&r->config, &ops[i], NULL, 0), n);
        for (int size = 1; size <= n; size++) {
            memset(part, '!', sizeof part);
            assert_int_equal(r->ops->native(&r->config, &ops[i], part, (size_t)size), n);
            assert_int_equal(strlen(part), size - 1);
            assert_memory_equal(part, whole, size - 1);
            assert_int_equal(part[size], '!');
        }
    }
}

const struct CMUnitTest batch_tests[] = {
    T(ops_take_effect_in_order),
    T(a_batch_is_no_transaction),
    T(no_ops_are_no_error),
    T(a_thousand_ops),
    T(what_cannot_be_is_refused),
    T(check_changes_nothing),
    T(what_was_written_outlives_the_driver),
    T(two_connections_see_the_same),
    T(announcing_changes_nothing),
    T(native_commands_have_snprintfs_manners),
};
const size_t n_batch_tests = FERRY_COUNT(batch_tests);
