/* model: the selector against a comparison of all with all, and the fib that owns its entries.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include <ferry/fib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t seed;

/* Knuth's MMIX. */
static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

/* Few distinct bits, so that prefixes nest, meet and repeat often. */
static struct ferry_prefix random_prefix(bool wide)
{
    struct ferry_prefix p = {.addr.family = random_below(2) ? AF_INET : AF_INET6};
    uint8_t bits = ferry_addr_bits(p.addr.family);
    p.len = (uint8_t)random_below(bits + 1u);
    for (size_t i = 0; i < bits / 8u; i++)
        p.addr.bytes[i] = (uint8_t)(wide ? random_below(256) : random_below(3) ? 0 : 1u << random_below(8));
    return ferry_prefix_network(&p);
}

struct expected {
    const struct ferry_query *query;
    unsigned char *relation; /* [item]: 1 + relation, 0: none */
};

static void found(void *ctx, uint32_t item, enum ferry_relation relation)
{
    struct expected *e = ctx;
    assert_true(item < e->query->n);
    if (e->relation[item] != 1 + relation)
        fail_msg("item %u: relation %d is not expected, or is reported twice", item, relation);
    e->relation[item] = 0;
}

static void compare_with_brute_force(size_t n, bool wide)
{
    FERRY_AUTOFREE struct ferry_query_item *items = ferry_calloc(n, sizeof *items);
    FERRY_AUTOFREE unsigned char *relation = ferry_calloc(n, 1);
    struct ferry_query query = {.items = items, .n = n};
    struct expected expected = {&query, relation};
    for (size_t i = 0; i < n; i++) {
        items[i].prefix = random_prefix(wide);
        items[i].table = FERRY_TABLE_MAIN + random_below(2);
    }
    struct ferry_selector *selector = ferry_selector_new(&query);
    for (size_t round = 0; round < 300; round++) {
        struct ferry_prefix p =
            round % 3 && n ? items[random_below((uint32_t)n)].prefix : random_prefix(wide);
        uint32_t table = FERRY_TABLE_MAIN + random_below(3);
        for (size_t i = 0; i < n; i++) {
            const struct ferry_prefix *q = &items[i].prefix;
            bool covers = ferry_prefix_covers(&p, q), covered = ferry_prefix_covers(q, &p);
            if (items[i].table != table)
                relation[i] = 0;
            else
                relation[i] = (unsigned char)(covers && covered ? 1 + FERRY_EXACT
                                              : covers          ? 1 + FERRY_COVERING
                                              : covered         ? 1 + FERRY_MORE_SPECIFIC
                                                                : 0);
        }
        ferry_selector_match(selector, &p, table, found, &expected);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(relation[i], 0); /* nothing was left out */
    }
    ferry_selector_free(selector);
}

static void it_finds_what_brute_force_finds(void **state)
{
    (void)state;
    seed = 20261120;
    for (size_t n = 0; n < 40; n++)
        for (int again = 0; again < 5; again++)
            compare_with_brute_force(n, again == 0);
    compare_with_brute_force(3000, false);
    compare_with_brute_force(3000, true);
}

static void add_found(void *ctx, uint32_t item, enum ferry_relation relation)
{
    (void)relation;
    *(uint64_t *)ctx += item;
}

static void an_empty_query_selects_nothing(void **state)
{
    struct ferry_selector *selector = ferry_selector_new(&(struct ferry_query){0});
    struct ferry_prefix all = {.addr.family = AF_INET};
    uint64_t sum = 0;
    (void)state;
    ferry_selector_match(selector, &all, FERRY_TABLE_MAIN, add_found, &sum);
    assert_true(sum == 0);
    ferry_selector_free(selector);
    ferry_selector_free(NULL);
}

static void a_million_routes_are_walked_quickly(void **state)
{
    const uint32_t n = 10000;
    FERRY_AUTOFREE struct ferry_query_item *items = ferry_calloc(n, sizeof *items);
    uint64_t sum = 0;
    (void)state;
    for (uint32_t i = 0; i < n; i++)
        items[i] = (struct ferry_query_item){
            .prefix = {{AF_INET, {10, (uint8_t)(i >> 8), (uint8_t)i}}, 24},
            .table = FERRY_TABLE_MAIN,
        };
    clock_t start = clock();
    struct ferry_selector *selector = ferry_selector_new(&(struct ferry_query){.items = items, .n = n});
    for (uint32_t i = 0; i < 1000000; i++) {
        struct ferry_prefix p = {
            {AF_INET, {(uint8_t)(10 + (i >> 19)), (uint8_t)(i >> 11), (uint8_t)(i >> 3), 0}}, 24};
        ferry_selector_match(selector, &p, FERRY_TABLE_MAIN, add_found, &sum);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("1,000,000 routes against 10,000 prefixes in %.2f s\n", seconds);
    assert_true(sum == 8ull * n * (n - 1) / 2);
    assert_true(seconds < 60); /* all against all would take minutes */
    ferry_selector_free(selector);
}

static void a_fib_owns_what_is_added(void **state)
{
    struct ferry_fib fib = {0};
    struct ferry_nexthop hops[2] = {{.router = 2, .weight = 1, .dev = "b"},
                                    {.router = 1, .weight = 1, .dev = "a"}};
    uint8_t native[] = {7, 8};
    struct ferry_fib_item item = {.entry = {.type = FERRY_UNICAST, .n_nexthops = 2, .nexthops = hops}};
    (void)state;
    ferry_fib_add(&fib, &item);
    item.entry.native = native;
    item.entry.native_len = 2;
    ferry_fib_add(&fib, &item);
    item.entry.n_nexthops = 0;
    ferry_fib_add(&fib, &item);
    item.entry.native_len = 0;
    ferry_fib_add(&fib, &item);
    memset(hops, 0xff, sizeof hops);
    memset(native, 0, sizeof native);
    assert_int_equal(fib.n, 4);
    assert_string_equal(fib.items[0].entry.nexthops[0].dev, "a"); /* sorted */
    assert_string_equal(fib.items[1].entry.nexthops[1].dev, "b");
    assert_int_equal(fib.items[1].entry.native[1], 8);
    assert_int_equal(fib.items[2].entry.native[0], 7);
    assert_null(fib.items[3].entry.native);
    ferry_fib_clear(&fib);
    assert_int_equal(fib.n, 0);
    ferry_fib_clear(&fib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_brute_force_finds),
        cmocka_unit_test(an_empty_query_selects_nothing),
        cmocka_unit_test(a_million_routes_are_walked_quickly),
        cmocka_unit_test(a_fib_owns_what_is_added),
    };
    return cmocka_run_group_tests_name("model: selector", tests, NULL, NULL);
}
