/* The planner on one small network: every refusal by its rule, metrics of blackholes, pins, leftovers,
 * groups, and the undo.  The property tests are in tests/scenario/test_planner.py.
 *
 *   a (primary) -- b (third) -- c (recovery), a -- c dearer than over b, and e alone, which has no links
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { A, B, C, E };               /* routers */
enum { PRIMARY, RECOVERY, THIRD }; /* sites */
enum { APP, WIDE, INNER, SIX };    /* subnets */

static const char topology_text[] =
    "{\"ferry\": 1, \"name\": \"small\","
    "\"sites\": [{\"name\": \"primary\"}, {\"name\": \"recovery\"}, {\"name\": \"third\"}],"
    "\"routers\": ["
    "{\"name\": \"a\", \"site\": \"primary\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": [{\"name\": "
    "\"lan0\"},"
    "{\"name\": \"ab\", \"addresses\": [\"10.0.1.1/30\", \"fd00:1::1/64\"]},"
    "{\"name\": \"ac\", \"addresses\": [\"10.0.2.1/30\", \"fd00:2::1/64\"]}]},"
    "{\"name\": \"b\", \"site\": \"third\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": ["
    "{\"name\": \"ba\", \"addresses\": [\"10.0.1.2/30\", \"fd00:1::2/64\"]},"
    "{\"name\": \"bc\", \"addresses\": [\"10.0.3.1/30\", \"fd00:3::1/64\"]}]},"
    "{\"name\": \"c\", \"site\": \"recovery\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": [{\"name\": "
    "\"lan0\"},"
    "{\"name\": \"cb\", \"addresses\": [\"10.0.3.2/30\", \"fd00:3::2/64\"]},"
    "{\"name\": \"ca\", \"addresses\": [\"10.0.2.2/30\", \"fd00:2::2/64\"]}]},"
    "{\"name\": \"e\", \"site\": \"third\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": [{\"name\": "
    "\"lan0\"}]}],"
    "\"links\": [{\"endpoints\": [\"a:ab\", \"b:ba\"]}, {\"endpoints\": [\"b:bc\", \"c:cb\"]},"
    "{\"endpoints\": [\"a:ac\", \"c:ca\"], \"cost\": 5}],"
    "\"subnets\": ["
    "{\"name\": \"app\", \"prefix\": \"192.168.1.0/24\", \"home\": \"primary\", \"gateways\": ["
    "{\"router\": \"a\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"},"
    "{\"router\": \"c\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"},"
    "{\"router\": \"e\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"}]},"
    "{\"name\": \"wide\", \"prefix\": \"172.16.0.0/16\", \"home\": \"primary\", \"gateways\": ["
    "{\"router\": \"a\", \"interface\": \"lan0\", \"address\": \"172.16.0.1/16\"},"
    "{\"router\": \"c\", \"interface\": \"lan0\", \"address\": \"172.16.0.1/16\"}]},"
    "{\"name\": \"inner\", \"prefix\": \"172.16.5.0/24\", \"home\": \"primary\", \"gateways\": ["
    "{\"router\": \"a\", \"interface\": \"lan0\", \"address\": \"172.16.5.1/24\"},"
    "{\"router\": \"c\", \"interface\": \"lan0\", \"address\": \"172.16.5.1/24\"}]},"
    "{\"name\": \"six\", \"prefix\": \"fd01::/64\", \"home\": \"primary\", \"gateways\": ["
    "{\"router\": \"a\", \"interface\": \"lan0\", \"address\": \"fd01::1/64\"},"
    "{\"router\": \"c\", \"interface\": \"lan0\", \"address\": \"fd01::1/64\"}]}]}";

struct bench {
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_live *live;
    struct ferry_plan *plan;
    struct ferry_err err;
};

/* The clean state: everything at primary. */
static int setup(void **state)
{
    struct bench *b = ferry_calloc(1, sizeof *b);
    uint32_t subnets[] = {APP, WIDE, INNER, SIX}, active[] = {PRIMARY, PRIMARY, PRIMARY, PRIMARY};
    int r = ferry_topology_parse("small.json", topology_text, strlen(topology_text), &b->t, NULL, &b->err);
    if (r < 0)
        fail_msg("%s", b->err.text);
    b->pool = ferry_pool_new();
    b->live = ferry_live_new(b->t, b->pool, subnets, FERRY_COUNT(subnets));
    assert_int_equal(ferry_live_offline(b->live, active, &b->err), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    ferry_plan_free(b->plan);
    ferry_live_free(b->live);
    ferry_pool_free(b->pool);
    ferry_topology_free(b->t);
    free(b);
    return 0;
}

static const struct ferry_stack **cell(struct bench *b, uint32_t router, uint32_t subnet)
{
    return &b->live->stacks[router * b->live->n_subnets + subnet];
}

static void hold(struct bench *b, uint32_t router, uint32_t subnet, uint32_t n,
                 const struct ferry_entry *entries)
{
    const struct ferry_entry *interned[8];
    for (uint32_t i = 0; i < n; i++)
        interned[i] = ferry_pool_entry(b->pool, &entries[i]);
    *cell(b, router, subnet) = ferry_pool_stack(b->pool, interned, n);
}

/* A route of an administrator's; `hop` must outlive it. */
static struct ferry_entry route(uint32_t metric, const struct ferry_nexthop *hop)
{
    return (struct ferry_entry){.type = hop ? FERRY_UNICAST : FERRY_BLACKHOLE,
                                .table = FERRY_TABLE_MAIN,
                                .metric = metric,
                                .protocol = 4,
                                .n_nexthops = hop ? 1 : 0,
                                .nexthops = hop};
}

static struct ferry_nexthop via(struct bench *b, uint32_t router, const char *address, const char *dev)
{
    struct ferry_nexthop hop = {.router = router, .weight = 1};
    assert_int_equal(ferry_addr_parse(address, &hop.via, &b->err), 0);
    snprintf(hop.dev, sizeof hop.dev, "%s", dev);
    return hop;
}

static const struct ferry_entry gateway = {.type = FERRY_GATEWAY};

static int make(struct bench *b, uint32_t subnet, uint32_t to)
{
    struct ferry_move move = {subnet, to};
    ferry_plan_free(b->plan);
    b->plan = NULL;
    memset(&b->err, 0, sizeof b->err);
    return ferry_plan_make(b->live, &move, 1, &b->plan, &b->err);
}

static void refused(struct bench *b, uint32_t subnet, uint32_t to, const char *rule, const char *word)
{
    int r = make(b, subnet, to);
    assert_int_equal(r, -FERRY_EREFUSED);
    assert_null(b->plan);
    assert_string_equal(b->err.rule, rule);
    if (!strstr(b->err.text, word))
        fail_msg("'%s' does not name '%s'", b->err.text, word);
}

static void made(struct bench *b, uint32_t subnet)
{
    int r = make(b, subnet, RECOVERY);
    if (r < 0)
        fail_msg("refused: %s: %s", b->err.rule, b->err.text);
}

static void conflict(struct bench *b, uint32_t router, uint32_t subnet, enum ferry_relation relation,
                     const char *prefix, const struct ferry_entry *e)
{
    struct ferry_live *live = b->live;
    struct ferry_conflict c = {.router = router, .subnet = subnet, .relation = relation};
    assert_int_equal(ferry_prefix_parse(prefix, &c.prefix, &b->err), 0);
    c.entry = ferry_pool_entry(b->pool, e);
    live->conflicts = ferry_realloc(live->conflicts, live->n_conflicts + 1, sizeof *live->conflicts);
    live->conflicts[live->n_conflicts++] = c;
}

/* The change of `router` in phase `phase` with that metric and that type before or after; NULL: none. */
static const struct ferry_change *find(const struct ferry_plan *plan, enum ferry_phase phase, uint32_t router,
                                       uint32_t metric)
{
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (plan->stages[s].phase == phase && c->router == router && c->metric == metric &&
                c->kind == FERRY_KIND_ROUTE)
                return c;
        }
    return NULL;
}

static bool lays_drop(const struct ferry_change *c)
{
    return c && c->after && c->after->type == FERRY_BLACKHOLE && c->after->protocol == FERRY_PROTOCOL;
}

/* ---- Refusals. ---- */

static void test_two_sites(void **state)
{
    struct bench *b = *state;
    hold(b, C, APP, 1, &gateway);
    refused(b, APP, RECOVERY, "two-sites", "recovery");
}

static void test_unreachable(void **state)
{
    struct bench *b = *state;
    b->live->unreachable[B] = true;
    snprintf(b->live->unreachable_why[B].text, sizeof b->live->unreachable_why[B].text, "no such namespace");
    refused(b, APP, RECOVERY, "unreachable", "b cannot be read: no such namespace");
}

static void test_foreign_attachment(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1, .dev = "eth7"};
    struct ferry_entry kernel = route(0, &hop);
    kernel.protocol = 2;
    hold(b, B, APP, 1, &kernel);
    refused(b, APP, RECOVERY, "foreign-attachment", "b holds");
    kernel.protocol = 4; /* no better without the kernel's mark: there is no gateway on it */
    hold(b, B, APP, 1, &kernel);
    refused(b, APP, RECOVERY, "foreign-attachment", "eth7");
}

static void test_gateway_beaten(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop hop = via(b, B, "10.0.1.2", "ab"), hop6 = via(b, B, "fd00:1::2", "ab");
    hold(b, A, APP, 2, (struct ferry_entry[]){gateway, route(0, &hop)});
    refused(b, APP, RECOVERY, "gateway-beaten", "on a ");
    hold(b, A, SIX, 2, (struct ferry_entry[]){gateway, route(256, &hop6)});
    refused(b, SIX, RECOVERY, "gateway-beaten", "metric 256");
    hold(b, A, SIX, 2, (struct ferry_entry[]){gateway, route(1024, &hop6)});
    made(b, SIX);
}

static void test_more_specific(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop hop = via(b, A, "10.0.1.1", "ba");
    struct ferry_entry e = route(20, &hop);
    conflict(b, B, APP, FERRY_MORE_SPECIFIC, "192.168.1.128/25", &e);
    refused(b, APP, RECOVERY, "more-specific", "b holds the longer prefix 192.168.1.128/25");
    made(b, SIX); /* another subnet's conflict does not matter */
}

static void test_nested(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop hop = via(b, A, "10.0.1.1", "ba");
    struct ferry_entry e = route(20, &hop);
    conflict(b, B, WIDE, FERRY_MORE_SPECIFIC, "172.16.5.0/24", &e);
    made(b, WIDE); /* a subnet of the topology, which every router holds */
    *cell(b, B, INNER) = NULL;
    refused(b, WIDE, RECOVERY, "nested", "b has no route of its own");
}

/* The same where the inner one was not read: what is known of it are the routers that hold it. */
static void test_nested_unread(void **state)
{
    struct bench *b = *state;
    uint32_t read = WIDE, active[] = {PRIMARY, PRIMARY, PRIMARY, PRIMARY};
    struct ferry_nexthop hop = via(b, B, "10.0.3.1", "cb");
    struct ferry_entry e = route(20, &hop);
    ferry_live_free(b->live);
    b->live = ferry_live_new(b->t, b->pool, &read, 1);
    assert_int_equal(ferry_live_offline(b->live, active, &b->err), 0);
    made(b, WIDE);
    conflict(b, C, WIDE, FERRY_MORE_SPECIFIC, "172.16.5.0/24", &e);
    refused(b, WIDE, RECOVERY, "nested", "b has no route of its own");
}

/* A plan that brings routes in line does not leave the subnet at two sites: who lets go comes first, in a
 * plan of its own. */
static void test_reconcile_of_two_sites(void **state)
{
    struct bench *b = *state;
    struct ferry_move move = {APP, PRIMARY};
    struct ferry_plan_terms terms = {.mode = "reconcile"};
    hold(b, C, APP, 1, &gateway);
    assert_int_equal(ferry_plan_make_on(b->live, &move, 1, &terms, &b->plan, &b->err), -FERRY_EREFUSED);
    assert_null(b->plan);
    assert_string_equal(b->err.rule, "two-sites");
    assert_non_null(strstr(b->err.text, "recovery too, on c"));
    terms.detaching = true;
    terms.detach = C;
    assert_int_equal(ferry_plan_make_on(b->live, &move, 1, &terms, &b->plan, &b->err), 0);
}

static void test_loop(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_c = via(b, C, "10.0.3.2", "bc"), to_b = via(b, B, "10.0.3.1", "cb");
    struct ferry_entry one = route(20, &to_c), other = route(20, &to_b);
    hold(b, B, APP, 1, &one);
    hold(b, C, APP, 1, &other);
    refused(b, APP, RECOVERY, "loop", "b -> c -> b");
}

static void test_no_path(void **state)
{
    struct bench *b = *state;
    refused(b, APP, THIRD, "no-path", "no path to the gateways at third"); /* e has no links */
}

static void test_no_gateway(void **state)
{
    refused(*state, WIDE, THIRD, "no-gateway", "third");
}

static void test_duplicate_key(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_a = via(b, A, "10.0.1.1", "ba"), to_c = via(b, C, "10.0.3.2", "bc");
    hold(b, B, APP, 2, (struct ferry_entry[]){route(20, &to_a), route(20, &to_c)});
    refused(b, APP, RECOVERY, "duplicate-key", "b holds two routes");
}

static void test_no_metric(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_b = via(b, B, "10.0.3.1", "cb");
    struct ferry_entry e = route(UINT32_MAX, &to_b);
    hold(b, C, APP, 1, &e);
    refused(b, APP, RECOVERY, "no-metric", "c");
}

static void test_named_twice(void **state)
{
    struct bench *b = *state;
    struct ferry_move moves[] = {{APP, RECOVERY}, {APP, RECOVERY}};
    assert_int_equal(ferry_plan_make(b->live, moves, 2, &b->plan, &b->err), -FERRY_EUSAGE);
    assert_null(b->plan);
}

/* ---- What is planned. ---- */

static void test_clean(void **state)
{
    struct bench *b = *state;
    made(b, APP);
    /* b is on c's way to a: it has to pause with it. */
    assert_int_equal(b->plan->n_stages, 4);
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, A, FERRY_METRIC_DROP)));
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, B, FERRY_METRIC_DROP)));
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, C, FERRY_METRIC_DROP)));
    assert_non_null(find(b->plan, FERRY_DETACH, B, 20));
    assert_int_equal(find(b->plan, FERRY_ATTACH, B, 20)->after->nexthops[0].router, C);
    assert_null(find(b->plan, FERRY_SETTLE, B, FERRY_METRIC_DROP)->after);
    assert_int_equal(b->plan->n_warnings, 1); /* e has no path */
    assert_non_null(strstr(b->plan->warnings[0], "e has no path"));
}

static void test_metric_between(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_a = via(b, A, "10.0.1.1", "ba"), to_c = via(b, C, "10.0.3.2", "bc");
    hold(b, B, APP, 2, (struct ferry_entry[]){route(20, &to_a), route(30, &to_c)});
    made(b, APP);
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, B, 29)));
    /* Without a gap the backup's own place. */
    hold(b, B, APP, 2, (struct ferry_entry[]){route(20, &to_a), route(21, &to_c)});
    made(b, APP);
    const struct ferry_change *c = find(b->plan, FERRY_PREPARE, B, 21);
    assert_true(lays_drop(c));
    assert_int_equal(c->before->type, FERRY_UNICAST);
}

static void test_old_gateway_backups(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_b = via(b, B, "10.0.1.2", "ab");
    hold(b, A, APP, 2, (struct ferry_entry[]){gateway, route(5, &to_b)});
    made(b, APP);
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, A, 4)));
    assert_int_equal(find(b->plan, FERRY_ATTACH, A, 3)->after->type, FERRY_UNICAST);
}

static void test_new_gateway_six(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_b = via(b, B, "fd00:3::1", "cb"), to_a = via(b, A, "fd00:2::1", "ca");
    /* A live route and a backup, both stronger than the attachment will be, and one weaker. */
    hold(b, C, SIX, 3, (struct ferry_entry[]){route(20, &to_b), route(100, &to_a), route(300, &to_a)});
    made(b, SIX);
    assert_null(find(b->plan, FERRY_PREPARE, C, 100)->after);
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, C, 299)));
    assert_null(find(b->plan, FERRY_DETACH, C, 20)->after);
    const struct ferry_stack *end = ferry_plan_state(b->plan, C, 0, b->plan->n_stages);
    assert_int_equal(end->n, 2);
    assert_int_equal(end->entries[0]->type, FERRY_GATEWAY);
    assert_int_equal(end->entries[1]->metric, 300);
}

static void test_pinned(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_b = via(b, B, "10.0.3.1", "cb");
    struct ferry_entry cover = route(7, &to_b);
    *cell(b, C, APP) = NULL;
    b->live->covers[C * b->live->n_subnets + APP] = ferry_pool_entry(b->pool, &cover);
    conflict(b, C, APP, FERRY_COVERING, "0.0.0.0/0", &cover);
    made(b, APP);
    const struct ferry_change *pin = find(b->plan, FERRY_PREPARE, C, FERRY_METRIC_ROUTE);
    assert_non_null(pin);
    assert_int_equal(pin->after->nexthops[0].router, B);
    assert_int_equal(b->plan->stages[1].phase, FERRY_PREPARE); /* the blackhole only under the pin */
    assert_true(lays_drop(find(b->plan, FERRY_PREPARE, C, FERRY_METRIC_DROP)));
    assert_ptr_equal(find(b->plan, FERRY_PREPARE, C, FERRY_METRIC_DROP), &b->plan->stages[1].changes[0]);
    assert_int_equal(b->plan->groups[0].covers[C].prefix.len, 0);
    assert_int_equal(b->plan->groups[0].covers[C].prefix.addr.family, AF_INET);
    assert_non_null(strstr(b->plan->warnings[1], "c would fall to 0.0.0.0/0"));
}

static void test_leftovers(void **state)
{
    struct bench *b = *state;
    struct ferry_nexthop to_a = via(b, A, "10.0.1.1", "ba");
    struct ferry_entry ours = route(FERRY_METRIC_DROP, NULL), live = route(20, &to_a);
    ours.protocol = FERRY_PROTOCOL;
    hold(b, B, APP, 2, (struct ferry_entry[]){live, ours});
    hold(b, E, APP, 2, (struct ferry_entry[]){route(20, NULL), ours}); /* not concerned otherwise */
    made(b, APP);
    assert_null(find(b->plan, FERRY_PREPARE, B, FERRY_METRIC_DROP)); /* it lies there already */
    assert_null(find(b->plan, FERRY_SETTLE, B, FERRY_METRIC_DROP)->after);
    assert_null(find(b->plan, FERRY_SETTLE, E, FERRY_METRIC_DROP)->after);
}

static void test_attached_nowhere(void **state)
{
    struct bench *b = *state;
    for (uint32_t v = A; v <= E; v++)
        *cell(b, v, APP) = NULL;
    made(b, APP);
    assert_null(b->plan->groups[0].from);
    assert_int_equal(b->plan->n_stages, 2);
    assert_int_equal(b->plan->stages[1].phase, FERRY_ATTACH);
    assert_int_equal(b->plan->stages[1].n_changes, 1);
}

static void test_already_there(void **state)
{
    struct bench *b = *state;
    assert_int_equal(make(b, APP, PRIMARY), 0);
    assert_int_equal(b->plan->n_stages, 0);
}

static void test_groups(void **state)
{
    struct bench *b = *state;
    struct ferry_move moves[] = {{WIDE, RECOVERY}, {SIX, RECOVERY}, {INNER, RECOVERY}};
    assert_int_equal(ferry_plan_make(b->live, moves, 3, &b->plan, &b->err), 0);
    assert_int_equal(b->plan->n_groups, 2); /* wide and inner share everything */
    assert_int_equal(b->plan->groups[0].n_subnets, 2);
    assert_string_equal(b->plan->groups[0].subnets[1].name, "inner");
    assert_int_equal(b->plan->n_stages, 4);
}

/* The undo of the undo changes the same keys in the same stages, and the states meet in between. */
static void test_reverse(void **state)
{
    struct bench *b = *state;
    struct ferry_plan *undo;
    uint8_t native[] = {1, 2, 254};
    struct ferry_entry attached = {.type = FERRY_GATEWAY, .native_len = sizeof native, .native = native};
    b->live->attached[APP][0] = ferry_pool_entry(b->pool, &attached);
    made(b, APP);
    assert_int_equal(ferry_plan_reverse(b->plan, &undo, &b->err), 0);
    assert_string_equal(undo->mode, "undo");
    assert_int_equal(undo->n_stages, b->plan->n_stages);
    for (size_t s = 0; s <= undo->n_stages; s++)
        for (uint32_t v = A; v <= E; v++) {
            const struct ferry_stack *x = ferry_plan_state(undo, v, 0, s);
            const struct ferry_stack *y = ferry_plan_state(b->plan, v, 0, undo->n_stages - s);
            assert_int_equal(x ? x->n : 0, y ? y->n : 0);
            for (uint32_t i = 0; x && i < x->n; i++)
                assert_true(ferry_entry_equal(x->entries[i], y->entries[i], FERRY_CMP_EXACT));
        }
    /* The op that puts the gateway back carries the snapshot of what it was. */
    for (size_t i = 0; i < undo->stages[2].n_changes; i++) {
        const struct ferry_change *c = &undo->stages[2].changes[i];
        if (c->kind != FERRY_KIND_GATEWAY)
            continue;
        struct ferry_op op = ferry_plan_op(undo, c, 0), swapped = ferry_op_swap(&op);
        assert_int_equal(op.after->native_len, sizeof native);
        assert_memory_equal(op.after->native, native, sizeof native);
        assert_null(op.before);
        assert_string_equal(op.interface, "lan0");
        assert_ptr_equal(swapped.before, op.after);
    }
    ferry_plan_free(undo);
}

#define BENCH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH(test_two_sites),
        BENCH(test_unreachable),
        BENCH(test_foreign_attachment),
        BENCH(test_gateway_beaten),
        BENCH(test_more_specific),
        BENCH(test_nested),
        BENCH(test_nested_unread),
        BENCH(test_reconcile_of_two_sites),
        BENCH(test_loop),
        BENCH(test_no_path),
        BENCH(test_no_gateway),
        BENCH(test_duplicate_key),
        BENCH(test_no_metric),
        BENCH(test_named_twice),
        BENCH(test_clean),
        BENCH(test_metric_between),
        BENCH(test_old_gateway_backups),
        BENCH(test_new_gateway_six),
        BENCH(test_pinned),
        BENCH(test_leftovers),
        BENCH(test_attached_nowhere),
        BENCH(test_already_there),
        BENCH(test_groups),
        BENCH(test_reverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
