/* The contract of read.  SPDX-License-Identifier: MIT */
#include "words.h"

/* ---- Reading. ---- */

static void test_nothing_is_read_as_nothing(void **state)
{
    struct contract_router *r = *state;
    struct ferry_fib fib = ask(r, "192.168.1.0/24", MAIN, NULL, NULL);
    assert_int_equal(fib.n, 0);
    assert_false(fib.cut);
    ferry_fib_clear(&fib);
}

static void test_an_empty_query_selects_nothing(void **state)
{
    struct contract_router *r = *state;
    struct ferry_query query = {0};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    done(*state, op_route("192.168.1.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1)));
    assert_int_equal(r->ops->read(r->driver, &query, &fib, &err), 0);
    assert_int_equal(fib.n, 0);
    ferry_fib_clear(&fib);
}

static void test_the_best_covering_route_is_read(void **state)
{
    struct contract_router *r = *state;
    const struct ferry_entry *best = ROUTE(MAIN, 40, FERRY, VIA1);
    done(r, op_route("0.0.0.0/0", MAIN, 5, NULL, ROUTE(MAIN, 5, FERRY, VIA2)));
    done(r, op_route("192.168.0.0/16", MAIN, 50, NULL, ROUTE(MAIN, 50, FERRY, VIA2)));
    done(r, op_route("192.168.0.0/16", MAIN, 40, NULL, best));
    done(r, op_route("192.168.0.0/17", 100, 1, NULL, ROUTE(100, 1, FERRY, VIA1)));
    done(r, op_route("192.168.64.0/18", MAIN, 1, NULL, ROUTE(MAIN, 1, FERRY, VIA2)));
    struct ferry_fib fib = ask(r, "192.168.1.0/24", MAIN, NULL, NULL);
    struct ferry_prefix p = net("192.168.0.0/16");
    assert_int_equal(fib.n, 1);
    assert_int_equal(fib.items[0].relation, FERRY_COVERING);
    assert_true(ferry_prefix_equal(&fib.items[0].prefix, &p));
    same_entry(&fib.items[0].entry, best);
    ferry_fib_clear(&fib);
}

static void test_every_more_specific_route_is_read(void **state)
{
    struct contract_router *r = *state;
    done(r, op_route("192.168.1.0/25", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1)));
    done(r, op_route("192.168.1.0/25", MAIN, 30, NULL, ROUTE(MAIN, 30, FERRY, VIA2)));
    done(r, op_route("192.168.1.255/32", MAIN, 20, NULL, DROP(FERRY_BLACKHOLE, MAIN, 20)));
    done(r, op_route("192.168.1.0/26", 100, 20, NULL, ROUTE(100, 20, FERRY, VIA2)));
    done(r, op_route("192.168.2.0/25", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA2)));
    struct ferry_fib fib = ask(r, "192.168.1.0/24", MAIN, NULL, NULL);
    struct ferry_prefix half = net("192.168.1.0/25"), last = net("192.168.1.255/32");
    assert_int_equal(fib.n, 3);
    assert_int_equal(only(&fib, FERRY_MORE_SPECIFIC), 3);
    assert_true(ferry_prefix_equal(&fib.items[0].prefix, &half));
    assert_int_equal(fib.items[0].entry.metric, 20);
    assert_true(ferry_prefix_equal(&fib.items[1].prefix, &half));
    assert_int_equal(fib.items[1].entry.metric, 30);
    assert_true(ferry_prefix_equal(&fib.items[2].prefix, &last));
    assert_false(fib.cut);
    ferry_fib_clear(&fib);
}

static void test_too_many_more_specific_routes_are_cut(void **state)
{
    struct contract_router *r = *state;
    enum { N = 1001 };
    struct ferry_op *ops = ferry_calloc(N, sizeof *ops);
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, 20);
    for (unsigned i = 0; i < N; i++) {
        char prefix[FERRY_PREFIX_STRLEN];
        snprintf(prefix, sizeof prefix, "172.20.%u.%u/32", i / 256, i % 256);
        ops[i] = op_route(prefix, MAIN, 20, NULL, drop);
    }
    for (unsigned i = 0; i < N - 1; i += 100) /* a driver has seconds for what it is told at once */
        apply(r, &ops[i], 100);
    struct ferry_fib fib = ask(r, "172.20.0.0/16", MAIN, NULL, NULL);
    assert_int_equal(fib.n, 1000);
    assert_false(fib.cut);
    ferry_fib_clear(&fib);
    apply(r, &ops[N - 1], 1);
    fib = ask(r, "172.20.0.0/16", MAIN, NULL, NULL);
    assert_int_equal(fib.n, 1000);
    assert_true(fib.cut);
    ferry_fib_clear(&fib);
    free(ops);
}

static void test_answers_name_their_question(void **state)
{
    struct contract_router *r = *state;
    done(r, op_route("192.168.1.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1)));
    done(r, op_route("192.168.1.0/24", 100, 30, NULL, ROUTE(100, 30, FERRY, VIA1)));
    done(r, op_route("fd00:1::/64", MAIN, 40, NULL, ROUTE(MAIN, 40, FERRY, VIA1_6)));
    struct ferry_query_item items[] = {{.prefix = net("fd00:1::/64"), .table = MAIN},
                                       {.prefix = net("10.99.0.0/16"), .table = MAIN},
                                       {.prefix = net("192.168.1.0/24"), .table = 100},
                                       {.prefix = net("192.168.1.0/24"), .table = MAIN},
                                       {.prefix = net("192.168.0.0/16"), .table = MAIN}};
    struct ferry_query query = {.items = items, .n = FERRY_COUNT(items)};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    assert_int_equal(r->ops->read(r->driver, &query, &fib, &err), 0);
    assert_int_equal(fib.n, 4);
    qsort(fib.items, fib.n, sizeof *fib.items, by_everything);
    static const struct {
        uint32_t query, metric;
        enum ferry_relation relation;
    } expected[] = {
        {0, 40, FERRY_EXACT}, {2, 30, FERRY_EXACT}, {3, 20, FERRY_EXACT}, {4, 20, FERRY_MORE_SPECIFIC}};
    for (size_t i = 0; i < FERRY_COUNT(expected); i++) {
        assert_int_equal(fib.items[i].query, expected[i].query);
        assert_int_equal(fib.items[i].entry.metric, expected[i].metric);
        assert_int_equal(fib.items[i].relation, expected[i].relation);
    }
    ferry_fib_clear(&fib);
}

static void test_all_reads_every_table_and_family(void **state)
{
    struct contract_router *r = *state;
    struct ferry_fib before = everything(r);
    struct ferry_op ops[] = {
        op_route("192.168.1.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1)),
        op_route("192.168.1.0/24", MAIN, 21, NULL, DROP(FERRY_BLACKHOLE, MAIN, 21)),
        op_route("192.168.1.0/24", 1000, 20, NULL, ROUTE(1000, 20, FERRY, VIA2)),
        op_route("fd00:1::/64", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1_6)),
    };
    apply(r, ops, FERRY_COUNT(ops));
    struct ferry_fib after = everything(r);
    assert_int_equal(after.n, before.n + 4);
    size_t seen = 0;
    for (size_t i = 0; i < after.n; i++) {
        assert_int_equal(after.items[i].query, UINT32_MAX);
        for (size_t k = 0; k < FERRY_COUNT(ops); k++)
            seen += ferry_prefix_equal(&after.items[i].prefix, &ops[k].prefix) &&
                    ferry_entry_equal(&after.items[i].entry, ops[k].after, FERRY_CMP_EXACT);
    }
    assert_int_equal(seen, 4);
    ferry_fib_clear(&before);
    ferry_fib_clear(&after);
}

static void test_a_connected_prefix_is_a_kernel_route(void **state)
{
    connected(*state, "10.255.1.0/24", "up0", 0);
    connected(*state, "fd00:255:2::/64", "up1", tested->connected_is_best_always ? 0 : 256);
}

const struct CMUnitTest read_tests[] = {
    T(nothing_is_read_as_nothing),
    T(an_empty_query_selects_nothing),
    T(the_best_covering_route_is_read),
    T(every_more_specific_route_is_read),
    T(too_many_more_specific_routes_are_cut),
    T(answers_name_their_question),
    T(all_reads_every_table_and_family),
    T(a_connected_prefix_is_a_kernel_route),
};
const size_t n_read_tests = FERRY_COUNT(read_tests);
