/* model: entries and the pool that interns them.  SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include <ferry/entry.h>
#include <string.h>
#include <time.h>

static struct ferry_nexthop hop(const char *via, const char *dev)
{
    struct ferry_nexthop h = {.router = FERRY_NO_ROUTER, .weight = 1};
    struct ferry_err err;
    if (*via && ferry_addr_parse(via, &h.via, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(h.dev, dev, strlen(dev) + 1);
    return h;
}

static struct ferry_entry route(const struct ferry_nexthop *hops, uint16_t n)
{
    return (struct ferry_entry){.type = FERRY_UNICAST,
                                .table = FERRY_TABLE_MAIN,
                                .metric = 20,
                                .protocol = 4,
                                .n_nexthops = n,
                                .nexthops = hops};
}

static void equal_values_are_one_pointer(void **state)
{
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_nexthop ab[] = {hop("10.0.0.1", "eth0"), hop("10.0.0.2", "eth1")};
    struct ferry_nexthop ba[] = {ab[1], ab[0]};
    struct ferry_entry one = route(ab, 2), other = route(ba, 2);
    (void)state;
    ab[0].down = true; /* already when it is new */
    const struct ferry_entry *p = ferry_pool_entry(pool, &one);
    ab[0].down = false;
    assert_ptr_equal(ferry_pool_entry(pool, &other), p);
    assert_int_equal(ba[0].via.bytes[3], 2); /* the caller's are not sorted */
    ba[0].down = true;
    assert_ptr_equal(ferry_pool_entry(pool, &other), p);
    assert_false(p->nexthops[0].down || p->nexthops[1].down);
    assert_ptr_not_equal(p->nexthops, ab);
    assert_int_equal(p->nexthops[0].via.bytes[3], 1);
    assert_int_equal(ferry_pool_count(pool), 1);
    assert_null(ferry_pool_stack(pool, NULL, 0));
    ferry_pool_free(pool);
    ferry_pool_free(NULL);
}

/* Each field by itself makes another value. */
static void every_field_counts(void **state)
{
    static const uint8_t native[] = {1, 2, 3}, other_native[] = {1, 2, 4};
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_nexthop base = hop("10.0.0.1", "eth0");
    struct ferry_nexthop hops[] = {base, base, base, base, base, base};
    struct ferry_entry e[13];
    (void)state;
    hops[1].router = 5;
    hops[2].weight = 2;
    hops[3].onlink = true;
    hops[4] = hop("10.0.0.2", "eth0");
    hops[5] = hop("10.0.0.1", "eth1");
    for (size_t i = 0; i < 6; i++)
        e[i] = route(&hops[i], 1);
    for (size_t i = 6; i < FERRY_COUNT(e); i++)
        e[i] = e[0];
    e[6].table = 100;
    e[7].metric = 21;
    e[8].protocol = 3;
    e[9].native = native;
    e[9].native_len = 3;
    e[10].native = other_native;
    e[10].native_len = 3;
    e[11].type = FERRY_BLACKHOLE;
    e[11].n_nexthops = 0;
    e[12] = e[11];
    e[12].type = FERRY_PROHIBIT;
    for (size_t i = 0; i < FERRY_COUNT(e); i++)
        for (size_t j = 0; j < FERRY_COUNT(e); j++) {
            bool same = ferry_pool_entry(pool, &e[i]) == ferry_pool_entry(pool, &e[j]);
            assert_int_equal(same, i == j);
            /* `router` is derived: two values, but equal. */
            bool derived = i <= 1 && j <= 1;
            assert_int_equal(ferry_entry_equal(&e[i], &e[j], FERRY_CMP_EXACT), i == j || derived);
            bool forwards =
                i == j || (i != 2 && i != 4 && i != 5 && j != 2 && j != 4 && j != 5 && i < 11 && j < 11);
            assert_int_equal(ferry_entry_equal(&e[i], &e[j], FERRY_CMP_FORWARDING), forwards);
        }
    assert_int_equal(ferry_pool_count(pool), FERRY_COUNT(e));
    assert_true(ferry_entry_equal(NULL, NULL, FERRY_CMP_EXACT));
    assert_false(ferry_entry_equal(NULL, &e[0], FERRY_CMP_FORWARDING));
    ferry_pool_free(pool);
}

static void stacks_are_sorted_best_first(void **state)
{
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_nexthop h = hop("10.0.0.1", "eth0");
    struct ferry_entry e = route(&h, 1);
    const struct ferry_entry *entries[4];
    (void)state;
    entries[0] = ferry_pool_entry(pool, &e);
    e.metric = 4294967295;
    entries[1] = ferry_pool_entry(pool, &e);
    entries[2] = ferry_pool_entry(pool, &(struct ferry_entry){.type = FERRY_GATEWAY});
    e.metric = 0;
    entries[3] = ferry_pool_entry(pool, &e);
    const struct ferry_stack *stack = ferry_pool_stack(pool, entries, 4);
    assert_int_equal(stack->n, 4);
    assert_ptr_equal(stack->entries[0], entries[2]);
    assert_ptr_equal(stack->entries[1], entries[3]);
    assert_ptr_equal(stack->entries[2], entries[0]);
    assert_ptr_equal(stack->entries[3], entries[1]);
    const struct ferry_entry *shuffled[] = {entries[1], entries[3], entries[0], entries[2]};
    assert_ptr_equal(ferry_pool_stack(pool, shuffled, 4), stack);
    assert_ptr_not_equal(ferry_pool_stack(pool, shuffled, 3), stack);
    ferry_pool_free(pool);
}

static void texts_read_like_ip_route(void **state)
{
    struct ferry_nexthop hops[] = {hop("10.0.0.1", "eth0"), hop("fe80::1", "eth1")};
    struct ferry_entry e = route(hops, 1);
    char buf[256], tiny[8];
    (void)state;
    assert_string_equal(ferry_entry_text(NULL, buf, sizeof buf), "nothing");
    assert_string_equal(ferry_entry_text(&e, buf, sizeof buf),
                        "unicast via 10.0.0.1 dev eth0 metric 20 protocol static");
    assert_string_equal(ferry_entry_text(&e, tiny, sizeof tiny), "unicast");
    struct ferry_nexthop odd = {.router = FERRY_NO_ROUTER, .dev = "a\033[2J"}; /* a router can name one so */
    struct ferry_entry through = {.type = FERRY_UNICAST, .table = 254, .n_nexthops = 1, .nexthops = &odd};
    assert_string_equal(ferry_entry_text(&through, buf, sizeof buf),
                        "unicast dev a?[2J metric 0 protocol unspec");
    e.n_nexthops = 2;
    e.protocol = 210;
    e.table = 7;
    hops[1].weight = 3;
    hops[1].onlink = true;
    assert_string_equal(ferry_entry_text(&e, buf, sizeof buf),
                        "unicast nexthop via 10.0.0.1 dev eth0 nexthop via fe80::1 dev eth1 weight 3 onlink "
                        "metric 20 protocol ferry table 7");
    e = (struct ferry_entry){.type = FERRY_GATEWAY, .native_len = 9, .native = (const uint8_t *)"123456789"};
    assert_string_equal(ferry_entry_text(&e, buf, sizeof buf), "gateway (and 9 bytes of other attributes)");
}

static void names_print_as_they_parse(void **state)
{
    struct ferry_err err;
    char buf[16];
    uint8_t back;
    (void)state;
    for (int i = 0; i < 256; i++) {
        assert_int_equal(ferry_protocol_parse(ferry_protocol_name((uint8_t)i, buf), &back, &err), 0);
        assert_int_equal(back, i);
    }
    assert_string_equal(ferry_protocol_name(4, buf), "static");
    assert_string_equal(ferry_protocol_name(210, buf), "ferry");
    assert_string_equal(ferry_protocol_name(211, buf), "211");
    static const char *const bad[] = {"", "256", "-1", "4x", "Static", "1000000000000"};
    for (size_t i = 0; i < FERRY_COUNT(bad); i++)
        assert_int_equal(ferry_protocol_parse(bad[i], &back, &err), -FERRY_EINPUT);
    for (enum ferry_entry_type t = FERRY_GATEWAY; t <= FERRY_PROHIBIT; t++)
        assert_int_equal(ferry_entry_type_parse(ferry_entry_type_name(t)), t);
    assert_int_equal(ferry_entry_type_parse("throw"), 0);
}

/* What ten thousand subnets on a thousand routers ask for. */
static void ten_million_lookups_take_seconds(void **state)
{
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_nexthop h = hop("10.0.0.1", "eth0");
    struct ferry_entry e = route(&h, 1);
    clock_t start = clock();
    (void)state;
    for (uint32_t i = 0; i < 10000000; i++) {
        h.via.bytes[2] = (uint8_t)(i % 2003 >> 8);
        h.via.bytes[3] = (uint8_t)(i % 2003);
        const struct ferry_entry *p = ferry_pool_entry(pool, &e);
        if (!ferry_pool_stack(pool, &p, 1))
            fail();
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("10,000,000 entries and stacks looked up in %.2f s\n", seconds);
    assert_int_equal(ferry_pool_count(pool), 2 * 2003);
    assert_true(seconds < 60); /* a hundred times more than needed: only a quadratic pool fails */
    ferry_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_values_are_one_pointer), cmocka_unit_test(every_field_counts),
        cmocka_unit_test(stacks_are_sorted_best_first), cmocka_unit_test(texts_read_like_ip_route),
        cmocka_unit_test(names_print_as_they_parse),    cmocka_unit_test(ten_million_lookups_take_seconds),
    };
    return cmocka_run_group_tests_name("model: pool", tests, NULL, NULL);
}
