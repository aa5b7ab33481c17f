/* The driver contract: one suite, which every driver passes.  `test-contract DRIVER` runs it.
 *
 * Expectations are built by hand from ferry/driver.h and ferry/fib.h, never taken from a driver.  Each test
 * gets a fresh router.  SPDX-License-Identifier: MIT */
#include "contract.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAIN FERRY_TABLE_MAIN

static const struct contract_driver *tested;

static int up(void **state)
{
    struct contract_router *r = ferry_calloc(1, sizeof *r);
    struct ferry_err err;
    tested->up(r);
    if (r->ops->open(&ferry_env_real, &r->config, "r1", r->state_dir, &r->initial, &r->driver, &err) < 0)
        fail_msg("open: %s", err.text);
    *state = r;
    return 0;
}

static int down(void **state)
{
    struct contract_router *r = *state;
    r->ops->close(r->driver);
    tested->down(r);
    free(r);
    return 0;
}

/* ---- Words for entries, ops and reads. ---- */

static struct ferry_prefix P(const char *text) {
    struct ferry_prefix p;
    struct ferry_err err;
    if (ferry_prefix_parse(text, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static struct ferry_addr
A(const char *text) {
    struct ferry_addr a;
    struct ferry_err err;
    if (ferry_addr_parse(text, &a, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

/* A route with up to three legs "VIA DEV WEIGHT"; NULL ends. */
struct made {
    struct ferry_entry e;
    struct ferry_nexthop hops[4];
};

static const struct ferry_entry *route(struct made *m, uint32_t table, uint32_t metric, unsigned protocol, ...)
{
    va_list legs;
    *m = (struct made){.e = {.type = FERRY_UNICAST, .table = table, .metric = metric, .protocol = (uint8_t)protocol}};
    va_start(legs, protocol);
    for (const char *leg; (leg = va_arg(legs, const char *));) {
        struct ferry_nexthop *hop = &m->hops[m->e.n_nexthops++];
        char via[64];
        unsigned weight = 1;
        *hop = (struct ferry_nexthop){.router = FERRY_NO_ROUTER};
        assert_true(sscanf(leg, "%63s %15s %u", via, hop->dev, &weight) >= 2);
        if (strcmp(via, "-") != 0)
            hop->via = A(via);
        hop->weight = (uint16_t)weight;
    }
    va_end(legs);
    m->e.nexthops = m->hops;
    return &m->e;
}
#define ROUTE(...) route(&(struct made){.e = {.table = 0}}, __VA_ARGS__, (const char *)NULL)
#define DROP(type_, table_, metric_)                                                                         \
    (&(struct ferry_entry){                                                                                  \
        .type = (type_), .table = (table_), .metric = (metric_), .protocol = FERRY_PROTOCOL})
static const struct ferry_entry attached = {.type = FERRY_GATEWAY};

static struct ferry_op op_route(const char *prefix, uint32_t table, uint32_t metric,
                                const struct ferry_entry *before, const struct ferry_entry *after)
{
    return (struct ferry_op){.kind = FERRY_KIND_ROUTE,
                             .prefix = P(prefix),
                             .table = table,
                             .metric = metric,
                             .before = before,
                             .after = after};
}

static struct ferry_op op_gateway(const char *prefix, const struct ferry_gateway *gateway,
                                  const char *interface, const struct ferry_entry *before,
                                  const struct ferry_entry *after)
{
    return (struct ferry_op){.kind = FERRY_KIND_GATEWAY,
                             .prefix = P(prefix),
                             .before = before,
                             .after = after,
                             .gateway = gateway,
                             .interface = interface};
}

static struct ferry_op swapped(const struct ferry_op *op)
{
    struct ferry_op s = *op;
    s.before = op->after;
    s.after = op->before;
    s.outcome = FERRY_UNKNOWN;
    return s;
}

static void apply(struct contract_router *r, struct ferry_op *ops, size_t n)
{
    struct ferry_err err;
    if (r->ops->apply(r->driver, ops, n, &err) != 0)
        fail_msg("apply: %s", err.text);
}

static enum ferry_outcome apply_one(struct contract_router *r, struct ferry_op op)
{
    apply(r, &op, 1);
    if (op.outcome == FERRY_DONE)
        return op.outcome;
    assert_true(*op.why.text); /* whoever says no says why */
    return op.outcome;
}

static void done(struct contract_router *r, struct ferry_op op)
{
    apply(r, &op, 1);
    if (op.outcome != FERRY_DONE)
        fail_msg("%s: %s", ferry_outcome_name(op.outcome), op.why.text);
}

static struct ferry_fib ask(struct contract_router *r, const char *prefix, uint32_t table,
                            const struct ferry_gateway *gateway, const char *interface)
{
    struct ferry_query_item item = {
        .prefix = P(prefix), .table = table, .gateway = gateway, .interface = interface};
    struct ferry_query query = {.items = &item, .n = 1};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (r->ops->read(r->driver, &query, &fib, &err) != 0)
        fail_msg("read: %s", err.text);
    return fib;
}

static int by_everything(const void *a, const void *b)
{
    const struct ferry_fib_item *x = a, *y = b;
    int c = (int)x->query - (int)y->query;
    c = c ? c : (int)x->relation - (int)y->relation;
    c = c ? c : ferry_prefix_compare(&x->prefix, &y->prefix);
    c = c ? c : (int)x->entry.type - (int)y->entry.type;
    c = c ? c : (int)x->entry.table - (int)y->entry.table;
    return c ? c : (int)x->entry.metric - (int)y->entry.metric;
}

/* Items of one relation, sorted; moves them to the front and returns how many. */
static size_t only(struct ferry_fib *fib, enum ferry_relation relation)
{
    size_t n = 0;
    for (size_t i = 0; i < fib->n; i++) {
        if (fib->items[i].relation != relation)
            continue;
        struct ferry_fib_item item = fib->items[n];
        fib->items[n++] = fib->items[i];
        fib->items[i] = item;
    }
    if (n > 1)
        qsort(fib->items, n, sizeof *fib->items, by_everything);
    return n;
}

static void same_entry(const struct ferry_entry *found, const struct ferry_entry *expected)
{
    char f[400], e[400];
    if (!ferry_entry_equal(found, expected, FERRY_CMP_EXACT))
        fail_msg("found %s (%u native bytes), expected %s", ferry_entry_text(found, f, sizeof f),
                 found->native_len, ferry_entry_text(expected, e, sizeof e));
}

/* What is held for exactly this prefix, best first; NULL ends. */
static void holds_at(struct contract_router *r, const char *prefix, uint32_t table,
                     const struct ferry_gateway *gateway, const char *interface,
                     const struct ferry_entry *const *expected)
{
    struct ferry_fib fib = ask(r, prefix, table, gateway, interface);
    size_t n = only(&fib, FERRY_EXACT), want = 0;
    while (expected[want])
        want++;
    if (n != want) {
        char text[400];
        for (size_t i = 0; i < n; i++)
            print_error("  held: %s\n", ferry_entry_text(&fib.items[i].entry, text, sizeof text));
        fail_msg("%s: %zu entries, expected %zu", prefix, n, want);
    }
    for (size_t i = 0; i < n; i++) {
        struct ferry_prefix p = P(prefix);
        assert_true(ferry_prefix_equal(&fib.items[i].prefix, &p));
        assert_int_equal(fib.items[i].query, 0);
        same_entry(&fib.items[i].entry, expected[i]);
        for (size_t h = 0; h < fib.items[i].entry.n_nexthops; h++)
            assert_int_equal(fib.items[i].entry.nexthops[h].router, FERRY_NO_ROUTER);
    }
    ferry_fib_clear(&fib);
}
#define HOLDS(r, prefix, table, ...)                                                                         \
    holds_at(r, prefix, table, NULL, NULL,                                                                   \
             (const struct ferry_entry *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define HOLDS_AT(r, prefix, gateway, interface, ...)                                                         \
    holds_at(r, prefix, MAIN, gateway, interface,                                                            \
             (const struct ferry_entry *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Everything that the router holds, in a canonical order. */
static struct ferry_fib everything(struct contract_router *r)
{
    struct ferry_query query = {.all = true};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (r->ops->read(r->driver, &query, &fib, &err) != 0)
        fail_msg("read all: %s", err.text);
    if (fib.n > 1)
        qsort(fib.items, fib.n, sizeof *fib.items, by_everything);
    return fib;
}

static void same_fib(const struct ferry_fib *a, const struct ferry_fib *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_true(ferry_prefix_equal(&a->items[i].prefix, &b->items[i].prefix));
        same_entry(&a->items[i].entry, &b->items[i].entry);
    }
}

static void unchanged(struct contract_router *r, const struct ferry_fib *before)
{
    struct ferry_fib now = everything(r);
    same_fib(&now, before);
    ferry_fib_clear(&now);
}

#define VIA1   "10.255.1.2 up0"
#define VIA2   "10.255.2.2 up1"
#define VIA1_6 "fd00:255:1::2 up0"
#define VIA2_6 "fd00:255:2::2 up1"
#define FERRY  FERRY_PROTOCOL

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
    struct ferry_prefix p = P("192.168.0.0/16");
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
    struct ferry_prefix half = P("192.168.1.0/25"), last = P("192.168.1.255/32");
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
    apply(r, ops, N - 1);
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
    struct ferry_query_item items[] = {{.prefix = P("fd00:1::/64"), .table = MAIN},
                                       {.prefix = P("10.99.0.0/16"), .table = MAIN},
                                       {.prefix = P("192.168.1.0/24"), .table = 100},
                                       {.prefix = P("192.168.1.0/24"), .table = MAIN},
                                       {.prefix = P("192.168.0.0/16"), .table = MAIN}};
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
    struct contract_router *r = *state;
    HOLDS(r, "10.255.1.0/24", MAIN, ROUTE(MAIN, 0, 2, "- up0"));
    HOLDS(r, "fd00:255:2::/64", MAIN, ROUTE(MAIN, 256, 2, "- up1"));
}

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
    for (size_t i = 0; i < FERRY_COUNT(types); i++) {
        live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1),
                                    DROP(types[i], MAIN, 20)});
        live(*state, &(struct life){"192.168.1.0/24", MAIN, 20, DROP(types[i], MAIN, 20),
                                    ROUTE(MAIN, 20, FERRY, VIA2)});
        live(*state, &(struct life){"fd00:1::/64", MAIN, 20, ROUTE(MAIN, 20, FERRY, VIA1_6),
                                    DROP(types[i], MAIN, 20)});
        live(*state, &(struct life){"fd00:1::/64", MAIN, 20, DROP(types[i], MAIN, 20),
                                    ROUTE(MAIN, 20, FERRY, VIA2_6)});
    }
    live(*state, &(struct life){"192.168.1.0/24", MAIN, 9, DROP(FERRY_PROHIBIT, MAIN, 9),
                                DROP(FERRY_BLACKHOLE, MAIN, 9)});
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
    live(r, &(struct life){"fd00:1::/64", 100, 20, ROUTE(100, 20, FERRY, VIA1_6),
                           DROP(FERRY_PROHIBIT, 100, 20)});
}

static void stack_of_a_prefix(struct contract_router *r, const char *prefix,
                              const struct ferry_entry *live_route, const struct ferry_entry *backup)
{
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, FERRY_METRIC_DROP);
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

/* ---- Gateways. ---- */

struct place {
    const char *prefix, *interface;
    struct ferry_gateway gateway;
    const struct ferry_entry *as_route; /* how it looks without asking for the gateway */
};

static void attach_and_detach(struct contract_router *r, const struct place *p)
{
    struct ferry_fib before = everything(r);
    struct ferry_op op = op_gateway(p->prefix, &p->gateway, p->interface, NULL, &attached);
    done(r, op);
    HOLDS_AT(r, p->prefix, &p->gateway, p->interface, &attached);
    if (p->as_route)
        HOLDS(r, p->prefix, MAIN, p->as_route);
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
    attach_and_detach(
        *state, &(struct place){
                    "192.168.1.0/24", "lan0", {.address = P("192.168.1.1/24")}, ROUTE(MAIN, 0, 2, "- lan0")});
    attach_and_detach(
        *state, &(struct place){
                    "fd00:1::/64", "lan0", {.address = P("fd00:1::1/64")}, ROUTE(MAIN, 256, 2, "- lan0")});
}

static void test_routed_gateways(void **state)
{
    attach_and_detach(*state, &(struct place){"192.168.1.0/24", "up0", {.via = A("10.255.1.2")}, NULL});
    attach_and_detach(
        *state,
        &(struct place){"192.168.1.0/24", NULL, {.interface = FERRY_NONE, .via = A("10.255.1.2")}, NULL});
    attach_and_detach(*state, &(struct place){"fd00:1::/64", "up1", {.via = A("fd00:255:2::2")}, NULL});
}

static void test_a_gateway_at_another_place_is_not_this_one(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway here = {.address = P("192.168.1.1/24")}, there = {.address = P("192.168.1.254/24")};
    done(r, op_gateway("192.168.1.0/24", &there, "lan0", NULL, &attached));
    HOLDS_AT(r, "192.168.1.0/24", &here, "lan0", ROUTE(MAIN, 0, 2, "- lan0"));
    struct ferry_fib before = everything(r);
    assert_int_equal(apply_one(r, op_gateway("192.168.1.0/24", &here, "lan0", &attached, NULL)), FERRY_STALE);
    unchanged(r, &before);
    HOLDS_AT(r, "192.168.1.0/24", &there, "lan0", &attached);
    ferry_fib_clear(&before);
}

static void blackhole_under(struct contract_router *r, const char *prefix, const char *address)
{
    const struct ferry_entry *drop = DROP(FERRY_BLACKHOLE, MAIN, FERRY_METRIC_DROP);
    struct ferry_gateway gateway = {.address = P(address)};
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

/* ---- Compare and set. ---- */

static void stale(struct contract_router *r, const struct ferry_entry *held,
                  const struct ferry_entry *claimed)
{
    struct ferry_fib before = everything(r);
    struct ferry_op ops[] = {
        op_route("192.168.1.0/24", MAIN, 20, claimed, ROUTE(MAIN, 20, FERRY, "10.255.1.9 up0")),
        op_route("192.168.1.0/24", MAIN, 20, claimed, NULL)};
    apply(r, ops, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ops[i].outcome, FERRY_STALE);
        assert_non_null(strstr(ops[i].why.text, "found"));
        assert_non_null(strstr(ops[i].why.text, "192.168.1.0/24"));
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

static void test_an_op_and_its_swap_leave_no_trace(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = P("192.168.1.1/24")},
                         gateway6 = {.address = P("fd00:1::1/64")};
    const struct ferry_entry *old = ROUTE(MAIN, 20, 4, VIA1, VIA2 " 4");
    done(r, op_route("192.168.2.0/24", MAIN, 20, NULL, old));
    struct ferry_fib before = everything(r);
    struct ferry_op ops[] = {
        op_route("192.168.2.0/24", MAIN, FERRY_METRIC_DROP, NULL,
                 DROP(FERRY_BLACKHOLE, MAIN, FERRY_METRIC_DROP)),
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
        strcpy(ops[i].why.text, "old");
    }
    apply(r, ops, 4);
    assert_int_equal(ops[0].outcome, FERRY_DONE);
    assert_int_equal(ops[1].outcome, FERRY_STALE);
    assert_int_equal(ops[2].outcome, FERRY_REFUSED);
    assert_int_equal(ops[3].outcome, FERRY_DONE);
    assert_non_null(strstr(ops[2].why.text, "no-such-dev"));
    assert_string_not_equal(ops[1].why.text, "old");
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
    struct ferry_gateway gateway = {.address = P("192.168.1.1/24")};
    struct ferry_fib before = everything(r);
    struct ferry_op op = op_gateway("192.168.1.0/24", &gateway, "no-such-dev", NULL, &attached);
    apply(r, &op, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why.text, "no-such-dev"));
    op = op_route("192.168.1.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1, "10.255.2.2 no-such-dev"));
    apply(r, &op, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why.text, "no-such-dev"));
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_check_changes_nothing(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = P("192.168.1.1/24")};
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
            fail_msg("op %zu: %s: %s", i, ferry_outcome_name(ops[i].outcome), ops[i].why.text);
        if (i >= 3)
            assert_non_null(strstr(ops[i].why.text, "no-such-dev"));
    }
    unchanged(r, &before);
    ferry_fib_clear(&before);
}

static void test_what_was_written_outlives_the_driver(void **state)
{
    struct contract_router *r = *state;
    struct ferry_gateway gateway = {.address = P("192.168.1.1/24")};
    struct ferry_err err;
    done(r, op_route("192.168.2.0/24", MAIN, 20, NULL, ROUTE(MAIN, 20, FERRY, VIA1 " 2", VIA2)));
    done(r, op_route("fd00:2::/64", 100, 20, NULL, DROP(FERRY_PROHIBIT, 100, 20)));
    done(r, op_gateway("192.168.1.0/24", &gateway, "lan0", NULL, &attached));
    tested->foreign(r, "192.168.7.0/24");
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
    struct ferry_gateway gateway = {.address = P("192.168.1.1/24")},
                         gateway6 = {.address = P("fd00:1::1/64")};
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
    struct ferry_gateway connected = {.address = P("192.168.1.1/24")}, routed = {.via = A("10.255.1.2")};
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
        assert_non_null(strstr(whole, "ip "));
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

int main(int argc, char **argv)
{
    static const struct contract_driver *const drivers[] = {&contract_sim, &contract_fault_sim,
                                                            &contract_netlink, &contract_fault_netlink};
    const char *wanted = argc == 2 ? argv[1] : "sim";
    for (size_t i = 0; i < FERRY_COUNT(drivers); i++)
        if (!strcmp(drivers[i]->name, wanted))
            tested = drivers[i];
    if (!tested) {
        fprintf(stderr, "usage: test-contract sim|fault-sim|netlink|fault-netlink\n");
        return 64;
    }
    int r = tested->available();
    if (r)
        return r;
#define T(name) cmocka_unit_test_setup_teardown(test_##name, up, down)
    const struct CMUnitTest tests[] = {
        T(nothing_is_read_as_nothing),
        T(an_empty_query_selects_nothing),
        T(the_best_covering_route_is_read),
        T(every_more_specific_route_is_read),
        T(too_many_more_specific_routes_are_cut),
        T(answers_name_their_question),
        T(all_reads_every_table_and_family),
        T(a_connected_prefix_is_a_kernel_route),
        T(routes_of_every_type),
        T(next_hops_change),
        T(several_next_hops),
        T(tables_are_apart),
        T(a_blackhole_lies_under_a_live_route),
        T(connected_gateways),
        T(routed_gateways),
        T(a_gateway_at_another_place_is_not_this_one),
        T(a_blackhole_lies_under_a_gateway),
        T(before_is_compared_in_every_field),
        T(nothing_is_not_something),
        T(a_foreign_route_is_kept_or_restored),
        T(an_op_and_its_swap_leave_no_trace),
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}
