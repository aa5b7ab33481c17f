/* Moves where routers speak BGP: what is planned, refused, written, and what the prover says of broken ones.
 *
 *   a (primary) -- b (third) -- c (recovery), a chain
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/prove.h>

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

enum { A, B, C };                  /* routers */
enum { PRIMARY, RECOVERY, THIRD }; /* sites */

#define TOPOLOGY(of_a, of_b, of_c)                                                                           \
    "{\"ferry\": 1, \"name\": \"small\", \"sites\": [{\"name\": \"primary\"}, {\"name\": \"recovery\"}, "    \
    "{\"name\": \"third\"}], \"routers\": ["                                                                 \
    "{\"name\": \"a\", \"site\": \"primary\", " of_a ", \"interfaces\": [{\"name\": \"lan0\"}, "             \
    "{\"name\": \"ab\", \"addresses\": [\"10.0.1.1/30\"]}]}, "                                               \
    "{\"name\": \"b\", \"site\": \"third\", " of_b ", \"interfaces\": ["                                     \
    "{\"name\": \"ba\", \"addresses\": [\"10.0.1.2/30\"]}, "                                                 \
    "{\"name\": \"bc\", \"addresses\": [\"10.0.3.1/30\"]}]}, "                                               \
    "{\"name\": \"c\", \"site\": \"recovery\", " of_c ", \"interfaces\": [{\"name\": \"lan0\"}, "            \
    "{\"name\": \"cb\", \"addresses\": [\"10.0.3.2/30\"]}]}], "                                              \
    "\"links\": [{\"endpoints\": [\"a:ab\", \"b:ba\"]}, {\"endpoints\": [\"b:bc\", \"c:cb\"]}], "            \
    "\"subnets\": [{\"name\": \"app\", \"prefix\": \"192.168.1.0/24\", \"home\": \"primary\", "              \
    "\"gateways\": [{\"router\": \"a\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"}, "         \
    "{\"router\": \"c\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"}]}]}"

#define SIM(routing) "\"driver\": {\"type\": \"sim\"}, \"routing\": \"" routing "\""
#define FRR          "\"driver\": {\"type\": \"frr\", \"host\": \"10.9.9.9\"}"

static const char bgp[] = TOPOLOGY(SIM("bgp"), SIM("bgp"), SIM("bgp"));

struct bench {
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_live *live;
    struct ferry_plan *plan;
    struct ferry_err err;
};

static void clear(struct bench *b)
{
    ferry_plan_free(b->plan);
    ferry_live_free(b->live);
    ferry_pool_free(b->pool);
    ferry_topology_free(b->t);
}

static void start(struct bench *b, const char *text)
{
    uint32_t subnet = 0, active = PRIMARY;
    *b = (struct bench){0};
    if (ferry_topology_parse("small.json", text, strlen(text), &b->t, NULL, &b->err) < 0)
        fail_msg("%s", b->err.text);
    b->pool = ferry_pool_new();
    b->live = ferry_live_new(b->t, b->pool, &subnet, 1);
    assert_int_equal(ferry_live_offline(b->live, &active, &b->err), 0);
}

static int make(struct bench *b)
{
    struct ferry_move move = {0, RECOVERY};
    return ferry_plan_make(b->live, &move, 1, &b->plan, &b->err);
}

static void made(struct bench *b, const char *text)
{
    start(b, text);
    if (make(b) < 0)
        fail_msg("%s", b->err.text);
}

static void refused(struct bench *b, const char *rule, const char *words)
{
    assert_int_equal(make(b), -FERRY_EREFUSED);
    assert_string_equal(b->err.rule, rule);
    if (!strstr(b->err.text, words))
        fail_msg("%s", b->err.text);
    clear(b);
}

static const struct ferry_change *find(const struct ferry_plan *plan, size_t stage, uint32_t router,
                                       enum ferry_kind kind, uint32_t metric)
{
    for (size_t i = 0; i < plan->stages[stage].n_changes; i++) {
        const struct ferry_change *c = &plan->stages[stage].changes[i];
        if (c->router == router && c->kind == kind && c->metric == metric)
            return c;
    }
    fail_msg("stage %zu does not change %s %u of %s", stage + 1, ferry_kind_name(kind), metric,
             plan->routers[router].name);
    return NULL;
}

static void proven(const struct ferry_plan *plan)
{
    struct ferry_proof proof;
    struct ferry_err err;
    if (ferry_prove(plan, 12, &proof, &err) < 0)
        fail_msg("%s", err.text);
    ferry_proof_clear(&proof);
}

static void unsafe(struct bench *b, const char *rule, const char *words)
{
    struct ferry_proof proof;
    assert_int_equal(ferry_prove(b->plan, 12, &proof, &b->err), -FERRY_EREFUSED);
    if (strcmp(b->err.rule, rule) != 0 || !strstr(b->err.text, words))
        fail_msg("%s: %s", b->err.rule, b->err.text);
    ferry_proof_clear(&proof);
    clear(b);
}

static void hold(struct bench *b, uint32_t router, uint32_t n, const struct ferry_entry *entries)
{
    const struct ferry_entry *interned[4];
    for (uint32_t i = 0; i < n; i++)
        interned[i] = ferry_pool_entry(b->pool, &entries[i]);
    b->live->stacks[router] = ferry_pool_stack(b->pool, interned, n);
}

static struct ferry_entry best(const struct bench *b, uint32_t router)
{
    return *ferry_stack_best(b->live->stacks[router]);
}

static const struct ferry_entry gateway = {.type = FERRY_GATEWAY},
                                announcement = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_BGP};

/* ---- What is planned. ---- */

static void test_pinned(void **state)
{
    struct bench b;
    struct ferry_plan *undo = NULL;
    (void)state;
    made(&b, bgp);
    assert_int_equal(b.plan->n_stages, 6);
    assert_int_equal(b.plan->n_warnings, 0);
    assert_int_equal(b.plan->stages[0].n_changes, 2); /* b and c: a is attached */
    assert_int_equal(find(b.plan, 0, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_ROUTE)->after->nexthops[0].router,
                     A);
    assert_int_equal(find(b.plan, 1, C, FERRY_KIND_ROUTE, FERRY_DISTANCE_BGP - 1)->after->type,
                     FERRY_BLACKHOLE);
    assert_int_equal(find(b.plan, 1, A, FERRY_KIND_ROUTE, FERRY_DISTANCE_BGP - 1)->after->type,
                     FERRY_BLACKHOLE);
    assert_null(find(b.plan, 2, A, FERRY_KIND_ANNOUNCEMENT, 0)->after);
    assert_int_equal(find(b.plan, 3, C, FERRY_KIND_ANNOUNCEMENT, 0)->after->protocol, RTPROT_BGP);
    const struct ferry_change *c = find(b.plan, 3, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_BGP);
    assert_int_equal(c->before->nexthops[0].router, A);
    assert_int_equal(c->after->nexthops[0].router, C);
    assert_null(find(b.plan, 3, C, FERRY_KIND_ROUTE, FERRY_DISTANCE_BGP)->after);
    assert_null(find(b.plan, 5, A, FERRY_KIND_ROUTE, FERRY_DISTANCE_ROUTE)->after);
    assert_null(find(b.plan, 5, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_ROUTE)->after);
    proven(b.plan);
    assert_int_equal(ferry_plan_reverse(b.plan, &undo, &b.err), 0);
    proven(undo);
    ferry_plan_free(undo);
    clear(&b);
}

/* Nobody announces it explicitly: it follows from the attachment. */
static void test_implicit(void **state)
{
    struct bench b;
    (void)state;
    start(&b, bgp);
    hold(&b, A, 1, &gateway);
    assert_int_equal(make(&b), 0);
    for (size_t s = 0; s < b.plan->n_stages; s++)
        for (size_t i = 0; i < b.plan->stages[s].n_changes; i++)
            assert_int_not_equal(b.plan->stages[s].changes[i].kind, FERRY_KIND_ANNOUNCEMENT);
    assert_int_equal(b.plan->n_stages, 6);
    proven(b.plan);
    clear(&b);
}

/* Static FRR routers: distances, not metrics. */
static void test_distances(void **state)
{
    struct bench b;
    (void)state;
    made(&b, TOPOLOGY(SIM("static"), FRR, SIM("static")));
    assert_int_equal(b.plan->n_stages, 4);
    assert_int_equal(find(b.plan, 0, A, FERRY_KIND_ROUTE, FERRY_METRIC_DROP)->after->type, FERRY_BLACKHOLE);
    assert_int_equal(find(b.plan, 0, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_DROP)->after->type, FERRY_BLACKHOLE);
    assert_int_equal(find(b.plan, 2, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_ROUTE)->after->type, FERRY_UNICAST);
    proven(b.plan);
    clear(&b);
}

static void test_no_distance(void **state)
{
    struct bench b;
    (void)state;
    start(&b, TOPOLOGY(SIM("static"), FRR, SIM("static")));
    struct ferry_entry e = best(&b, B);
    e.metric = FERRY_DISTANCE_DROP;
    hold(&b, B, 1, &e);
    refused(&b, "no-metric", "under metric 254");
}

/* A protocol's route beneath something better is nobody's business. */
static void test_shadowed(void **state)
{
    struct bench b;
    (void)state;
    start(&b, bgp);
    struct ferry_entry learnt = best(&b, B), own = learnt;
    own.metric = 1;
    own.protocol = RTPROT_STATIC;
    hold(&b, B, 2, (struct ferry_entry[]){own, learnt});
    assert_int_equal(make(&b), 0);
    assert_int_equal(b.plan->groups[0].initial[B]->n, 1);
    assert_int_equal(b.plan->stages[0].n_changes, 1); /* c alone is pinned */
    proven(b.plan);
    clear(&b);
}

/* A distance of its own, because something else stands between: pinned all the same. */
static void test_other_distance(void **state)
{
    struct bench b;
    (void)state;
    start(&b, bgp);
    struct ferry_entry learnt = best(&b, B), own = learnt;
    learnt.metric = 10;
    own.metric = 15;
    own.protocol = RTPROT_STATIC;
    hold(&b, B, 2, (struct ferry_entry[]){learnt, own});
    assert_int_equal(make(&b), 0);
    assert_int_equal(b.plan->stages[0].n_changes, 2);
    assert_int_equal(find(b.plan, 1, B, FERRY_KIND_ROUTE, 9)->after->type, FERRY_BLACKHOLE);
    proven(b.plan);
    clear(&b);
}

/* Somebody's blackhole beneath what is left to the protocol must not come up. */
static void test_beaten(void **state)
{
    struct bench b;
    (void)state;
    start(&b, bgp);
    struct ferry_entry drop = {
        .type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = RTPROT_STATIC};
    hold(&b, A, 3, (struct ferry_entry[]){gateway, drop, announcement});
    assert_int_equal(make(&b), 0);
    assert_int_equal(b.plan->n_warnings, 1);
    assert_non_null(strstr(b.plan->warnings[0], "a keeps a static route of Ferry's"));
    proven(b.plan);
    clear(&b);
}

static void test_other_way(void **state)
{
    struct bench b;
    (void)state;
    start(&b, bgp);
    struct ferry_nexthop hop = {.router = A, .weight = 1, .dev = "tunnel"};
    struct ferry_entry e = best(&b, B);
    e.nexthops = &hop;
    hold(&b, B, 1, &e);
    assert_int_equal(make(&b), 0);
    assert_int_equal(b.plan->n_warnings, 1);
    assert_non_null(strstr(b.plan->warnings[0], "b goes another way"));
    clear(&b);
}

/* ---- What is refused. ---- */

static void test_refused(void **state)
{
    struct bench b;
    (void)state;
    start(&b,
          TOPOLOGY(SIM("bgp"), "\"driver\": {\"type\": \"netlink\", \"netns\": \"b\"}, \"routing\": \"bgp\"",
                   SIM("bgp")));
    refused(&b, "routing", "use the driver frr");
    start(&b, bgp);
    struct ferry_entry learnt = best(&b, B);
    clear(&b);
    start(&b, TOPOLOGY(SIM("static"), SIM("static"), SIM("static")));
    struct ferry_entry e = best(&b, B);
    e.protocol = RTPROT_BGP;
    e.metric = FERRY_DISTANCE_BGP;
    hold(&b, B, 1, &e);
    refused(&b, "routing", "\"routing\": \"bgp\"");
    start(&b, bgp);
    hold(&b, B, 1, &announcement);
    refused(&b, "two-sites", "announced at two sites: a (primary) and b (third)");
    start(&b, bgp);
    hold(&b, A, 1, &gateway);
    hold(&b, C, 1, &announcement);
    refused(&b, "announced", "c (recovery) announces it");
    start(&b, bgp);
    hold(
        &b, A, 3,
        (struct ferry_entry[]){gateway, announcement, {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_OSPF}});
    refused(&b, "duplicate-key", "in two protocols");
    assert_true(ferry_entry_dynamic(&learnt));
}

/* ---- What the prover says. ---- */

static struct ferry_change take(struct ferry_stage *stage, const struct ferry_change *c)
{
    struct ferry_change ret = *c;
    size_t i = (size_t)(c - stage->changes);
    memmove(stage->changes + i, stage->changes + i + 1, (--stage->n_changes - i) * sizeof ret);
    return ret;
}

static void give(struct ferry_stage *stage, struct ferry_change c)
{
    stage->changes = ferry_realloc(stage->changes, stage->n_changes + 1, sizeof c);
    stage->changes[stage->n_changes++] = c;
}

static void test_unsafe(void **state)
{
    struct bench b;
    (void)state;
    made(&b, bgp); /* unpinned in the stage that lays what holds it */
    struct ferry_stage *s = b.plan->stages;
    give(&s[3], take(&s[5], find(b.plan, 5, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_ROUTE)));
    unsafe(&b, "mismatch", "twice");

    made(&b, bgp); /* the announcement leaves before the pins are there */
    s = b.plan->stages;
    s[0].phase = s[1].phase = s[2].phase = FERRY_DETACH;
    give(&s[0], take(&s[2], find(b.plan, 2, A, FERRY_KIND_ANNOUNCEMENT, 0)));
    unsafe(&b, "unpinned", "b is not held still");

    made(&b, bgp); /* announced at c while a is attached */
    s = b.plan->stages;
    give(&s[2], take(&s[3], find(b.plan, 3, C, FERRY_KIND_ANNOUNCEMENT, 0)));
    unsafe(&b, "two-sites", "announced at recovery (c) at once");

    made(&b, bgp); /* never announced again */
    s = b.plan->stages;
    take(&s[3], find(b.plan, 3, C, FERRY_KIND_ANNOUNCEMENT, 0));
    unsafe(&b, "unfinished", "nobody announces it any more");

    made(&b, bgp); /* announced for ever */
    s = b.plan->stages;
    take(&s[2], find(b.plan, 2, A, FERRY_KIND_ANNOUNCEMENT, 0));
    unsafe(&b, "two-sites", "announced at primary (a)");

    made(&b, bgp); /* announced at a third site */
    s = b.plan->stages;
    struct ferry_change c = *find(b.plan, 3, C, FERRY_KIND_ANNOUNCEMENT, 0);
    c.router = B;
    give(&s[3], c);
    unsafe(&b, "mismatch", "neither leaves nor comes to");

    made(&b, bgp); /* a static route in the place of the protocol's */
    s = b.plan->stages;
    struct ferry_change *own =
        (struct ferry_change *)(uintptr_t)find(b.plan, 3, B, FERRY_KIND_ROUTE, FERRY_DISTANCE_BGP);
    struct ferry_entry e = *own->after;
    e.protocol = FERRY_PROTOCOL;
    own->after = ferry_pool_entry(b.plan->pool, &e);
    unsafe(&b, "mismatch", "cannot replace each other");
}

/* ---- The document. ---- */

static void test_document(void **state)
{
    struct bench b;
    struct ferry_plan *again = NULL;
    bool matches = false;
    (void)state;
    made(&b, TOPOLOGY(SIM("bgp") ", \"origination\": {\"prefix-list\": \"MOVED\"}", SIM("ospf"),
                      SIM("ospf") ", \"origination\": {\"area\": \"0.0.0.7\"}"));
    for (int pretty = 0; pretty < 2; pretty++) {
        FERRY_AUTOFREE char *text = ferry_plan_write(b.plan, pretty);
        if (ferry_plan_parse("plan.json", text, strlen(text), &again, &matches, &b.err) < 0)
            fail_msg("%s", b.err.text);
        assert_true(matches);
        FERRY_AUTOFREE char *twice = ferry_plan_write(again, pretty);
        assert_string_equal(text, twice);
        assert_int_equal(again->routers[A].driver.routing, FERRY_ROUTING_BGP);
        assert_string_equal(again->routers[A].driver.prefix_list, "MOVED");
        assert_string_equal(again->routers[C].driver.area, "0.0.0.7");
        assert_int_equal(again->groups[0].initial[A]->entries[1]->type, FERRY_ANNOUNCEMENT);
        ferry_plan_free(again);
    }
    clear(&b);
}

static void test_broken_documents(void **state)
{
    static const struct {
        const char *entry, *words;
    } cases[] = {
        {"{\"type\": \"announcement\"}", "needs a 'protocol'"},
        {"{\"type\": \"announcement\", \"protocol\": \"static\"}", "needs a 'protocol'"},
        {"{\"type\": \"announcement\", \"protocol\": \"bgp\", \"metric\": 0}", "metric"},
        {"{\"type\": \"announcement\", \"protocol\": \"bgp\", \"nexthops\": []}", "nexthops"},
        {"{\"type\": \"announcement\", \"protocol\": \"bgp\"}, {\"type\": \"announcement\", \"protocol\": "
         "\"ospf\"}",
         "this key already"},
    };
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_plan *plan = NULL;
        struct ferry_err err = {0};
        FERRY_AUTOFREE char *text =
            ferry_asprintf("{\"ferry\": 1, \"kind\": \"plan\", \"groups\": [{\"id\": \"g1\", \"subnets\": "
                           "[{\"name\": \"n\", "
                           "\"prefix\": \"10.0.0.0/8\"}], \"initial\": {\"a\": [%s]}}], \"stages\": []}",
                           cases[i].entry);
        assert_int_equal(ferry_plan_parse("p", text, strlen(text), &plan, NULL, &err), -FERRY_EINPUT);
        if (!strstr(err.text, cases[i].words))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pinned),         cmocka_unit_test(test_implicit),
        cmocka_unit_test(test_distances),      cmocka_unit_test(test_no_distance),
        cmocka_unit_test(test_shadowed),       cmocka_unit_test(test_beaten),
        cmocka_unit_test(test_other_distance), cmocka_unit_test(test_other_way),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_unsafe),
        cmocka_unit_test(test_document),       cmocka_unit_test(test_broken_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
