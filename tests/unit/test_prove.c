/* The prover, rule by rule, on networks of a few routers; test_prove_random.c compares it with brute force.
 *
 * The good plan that most tests break: a chain a - b - c, attached at a (site p), moves to c (site q).
 *
 * SPDX-License-Identifier: MIT */
#include "prove_builder.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>

static struct ferry_plan *chain(const char *prefix)
{
    struct ferry_plan *p = build_plan(3);
    build_group(p, "p", "q", prefix);
    build_hold(p, 0, 'a', "@");
    build_hold(p, 0, 'b', "20>a");
    build_hold(p, 0, 'c', "20>b");
    return p;
}

/* Lay blackholes under what is live; uncover them; attach; take them away. */
static void move_chain(struct ferry_plan *p)
{
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "-", "2100!");
    build_change(p, 0, 'b', "-", "2100!");
    build_change(p, 0, 'c', "-", "2100!");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'b', "20>a", "-");
    build_change(p, 0, 'c', "20>b", "-");
    build_stage(p, FERRY_ATTACH);
    build_change(p, 0, 'a', "-", "20>b");
    build_change(p, 0, 'b', "-", "20>c");
    build_change(p, 0, 'c', "-", "@");
    build_stage(p, FERRY_SETTLE);
    build_change(p, 0, 'a', "2100!", "-");
    build_change(p, 0, 'b', "2100!", "-");
    build_change(p, 0, 'c', "2100!", "-");
}

static void expect_safe(struct ferry_plan *p, const char *states)
{
    struct ferry_proof proof;
    struct ferry_err err = {.text = ""};
    int result = ferry_prove(p, 10, &proof, &err);
    if (result)
        print_error("%s\n", err.text);
    assert_int_equal(result, 0);
    assert_true(proof.safe);
    assert_true(proof.exhaustive);
    if (states) {
        assert_string_equal(proof.states, states);
        assert_int_equal(proof.walked, atoi(states));
    }
    char sha[65];
    ferry_sha256(proof.certificate_text, strlen(proof.certificate_text), sha);
    assert_string_equal(proof.certificate, sha);
    ferry_proof_clear(&proof);
    ferry_plan_free(p);
}

/* `stage` from 1; `routers` in order as letters. */
static void expect(struct ferry_plan *p, enum ferry_violation violation, uint32_t stage, size_t n_events,
                   const char *routers, const char *words)
{
    for (unsigned bits = 0; bits <= 10; bits += 10) { /* by the graph alone, and walked too */
        struct ferry_proof proof;
        struct ferry_err err;
        assert_int_equal(ferry_prove(p, bits, &proof, &err), -FERRY_EREFUSED);
        assert_false(proof.safe);
        if (proof.bad.violation != violation || !strstr(proof.bad.text, words))
            print_error("%s: %s\n", err.rule, err.text);
        assert_string_equal(err.rule, ferry_violation_name(violation));
        assert_string_equal(err.text, proof.bad.text);
        assert_int_equal(proof.bad.violation, violation);
        assert_int_equal(proof.bad.stage, stage - 1);
        assert_int_equal(proof.bad.n_events, n_events);
        for (size_t i = 0; i < n_events; i++)
            assert_int_equal(proof.bad.events[i].stage, stage - 1);
        assert_int_equal(proof.bad.n_routers, strlen(routers));
        for (size_t i = 0; routers[i]; i++)
            assert_int_equal(proof.bad.routers[i], routers[i] - 'a');
        assert_non_null(strstr(proof.bad.text, words));
        assert_null(proof.certificate_text);
        ferry_proof_clear(&proof);
    }
    ferry_plan_free(p);
}

static void test_safe(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    move_chain(p);
    expect_safe(p, "29"); /* 1 + 4 * (2^3 - 1) */
    p = chain("2001:db8:1::/64");
    move_chain(p);
    expect_safe(p, "29");
    p = chain("192.168.1.0/24"); /* the other way round, sites given */
    build_sites(p, "pxq");
    move_chain(p);
    expect_safe(p, "29");
}

static void test_certificate(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    struct ferry_proof proof;
    struct ferry_err err;
    move_chain(p);
    assert_int_equal(ferry_prove(p, 0, &proof, &err), 0);
    assert_false(proof.exhaustive);
    assert_int_equal(proof.walked, 0);
    assert_string_equal(proof.certificate_text,
                        "ferry certificate 1: within a line packets only travel to the right\n"
                        "stage 1 prepare g1: c b a\n"
                        "stage 2 detach g1: c b a\n"
                        "stage 3 attach g1: a b c\n"
                        "stage 4 settle g1: a b c\n");
    ferry_proof_clear(&proof);
    ferry_plan_free(p);
}

static void test_states_beyond_64_bits(void **state)
{
    (void)state;
    struct ferry_plan *p = build_plan(100);
    struct ferry_proof proof;
    struct ferry_err err;
    build_group(p, "p", NULL, "10.0.0.0/24");
    build_stage(p, FERRY_PREPARE);
    for (uint32_t r = 0; r < 100; r++) {
        build_change(p, 0, 'a', "-", "20!");
        p->stages[0].changes[r].router = r;
    }
    build_stage(p, FERRY_PREPARE);
    assert_int_equal(ferry_prove(p, 10, &proof, &err), 0);
    assert_string_equal(proof.states, "2^100.0");
    assert_false(proof.exhaustive);
    ferry_proof_clear(&proof);
    p->stages[0].n_changes = 63;
    assert_int_equal(ferry_prove(p, 10, &proof, &err), 0);
    assert_string_equal(proof.states, "9223372036854775808");
    ferry_proof_clear(&proof);
    ferry_plan_free(p);
}

/* c attaches while a still is, b turns round, a leaves. */
static struct ferry_plan *stretched_chain(bool stretched)
{
    struct ferry_plan *p = chain("192.168.1.0/24");
    p->groups[0].stretched = stretched;
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "-", "20>b");
    build_change(p, 0, 'c', "-", "@");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>c");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_stage(p, FERRY_SETTLE);
    build_change(p, 0, 'c', "20>b", "-");
    return p;
}

static void test_stretched_may_be_at_two_sites(void **state)
{
    (void)state;
    expect_safe(stretched_chain(true), "7");
    expect(stretched_chain(false), FERRY_TWO_SITES, 1, 1, "ac", "attached at p (a) and q (c) at once");
}

static void test_stretched_is_lost_at_no_moment(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24"); /* what a move of another subnet may do */
    p->groups[0].stretched = true;
    move_chain(p);
    struct ferry_proof proof;
    struct ferry_err err;
    assert_int_equal(ferry_prove(p, 10, &proof, &err), -FERRY_EREFUSED);
    assert_int_equal(proof.bad.violation, FERRY_LOST);
    assert_int_equal(p->stages[proof.bad.stage].phase, FERRY_DETACH);
    ferry_proof_clear(&proof);
    ferry_plan_free(p);
}

static void test_stretched_loops_and_ends_as_ever(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    p->groups[0].stretched = true;
    build_stage(p, FERRY_PREPARE); /* b turns round while c still points at it */
    build_change(p, 0, 'b', "20>a", "20>c");
    expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
    p = stretched_chain(true); /* the old site is never left */
    while (p->n_stages > 2)
        free(p->stages[--p->n_stages].changes);
    expect(p, FERRY_UNFINISHED, 2, 1, "a", "a is still attached");
    p = stretched_chain(true); /* nothing lies beneath the gateway that goes */
    p->stages[0].changes[0] = p->stages[0].changes[1];
    p->stages[0].n_changes = 1;
    expect(p, FERRY_LOST, 3, 1, "a", "a is no longer delivered");
}

static void test_loop(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24"); /* b turns round while c still points at it */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "20>c");
    build_change(p, 0, 'c', "20>b", "20!");
    expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b, after 1 of the stage's changes: b route");

    p = chain("192.168.1.0/24"); /* from the start */
    build_hold(p, 0, 'b', "20>c");
    expect(p, FERRY_LOOP, 1, 0, "bc", "from the start");

    p = chain("192.168.1.0/24"); /* by what lies below: two changes uncover it */
    build_hold(p, 0, 'b', "20>a 30>a 40>c");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "-");
    build_change(p, 0, 'b', "30>a", "-");
    expect(p, FERRY_LOOP, 1, 2, "bc", "b -> c -> b");

    p = chain("192.168.1.0/24"); /* its own neighbour */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "20>b");
    expect(p, FERRY_LOOP, 1, 1, "b", "b -> b");

    p = chain("2001:db8::/64"); /* one leg of two */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "20>ac");
    expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
}

/* Two loops are possible: the one of one change is shown, although it has more routers. */
static void test_loop_fewest_events(void **state)
{
    (void)state;
    struct ferry_plan *p = build_plan(6);
    build_group(p, "p", "q", "10.1.0.0/16");
    build_hold(p, 0, 'a', "@");
    build_hold(p, 0, 'b', "20>a");
    build_hold(p, 0, 'c', "20>a");
    build_hold(p, 0, 'd', "20>a");
    build_hold(p, 0, 'e', "20>d");
    build_hold(p, 0, 'f', "20>e");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>c");
    build_change(p, 0, 'c', "20>a", "20>b");
    build_change(p, 0, 'd', "20>a", "20>f");
    expect(p, FERRY_LOOP, 1, 1, "dfe", "d -> f -> e -> d");
}

static void test_loop_through_cover(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_hold(p, 0, 'b', "-"); /* b holds nothing, and its covering route leads to c */
    build_cover(p, 0, 'b', "0.0.0.0/0", "100>c");
    build_stage(p, FERRY_PREPARE);
    build_hold(p, 0, 'c', "20!");
    build_change(p, 0, 'c', "20!", "20>b");
    expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
}

static void test_two_sites(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24"); /* a document without sites */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'c', "-", "@");
    expect(p, FERRY_TWO_SITES, 1, 1, "ac", "attached at p (a) and q (c) at once");

    p = chain("192.168.1.0/24");
    build_sites(p, "pxq");
    build_hold(p, 0, 'c', "@");
    expect(p, FERRY_TWO_SITES, 1, 0, "ac", "from the start");

    p = build_plan(
        4); /* two gateways a site: within a site both may be attached, the quickest clash is shown */
    build_sites(p, "ppqq");
    build_group(p, "p", "q", "10.0.0.0/24");
    build_hold(p, 0, 'a', "@");
    build_hold(p, 0, 'b', "20!");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "@");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'c', "-", "@");
    build_change(p, 0, 'd', "-", "@");
    build_change(p, 0, 'a', "@", "-");
    expect(p, FERRY_TWO_SITES, 2, 1, "ac", "p (a) and q (c)");
}

static void test_lost(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20!");
    expect(p, FERRY_LOST, 1, 1, "b", "b is no longer delivered: b drops it");

    p = chain("192.168.1.0/24"); /* an unknown next hop is no delivery */
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'c', "20>b", "20>b?");
    expect(p, FERRY_LOST, 1, 1, "c", "outside of the plan");

    p = chain("192.168.1.0/24"); /* detached too early */
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "-", "2100!");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "@", "-");
    expect(p, FERRY_LOST, 2, 1, "a", "a drops it");

    p = chain("192.168.1.0/24"); /* in settle again */
    move_chain(p);
    build_stage(p, FERRY_SETTLE);
    build_change(p, 0, 'a', "-", "10!");
    expect(p, FERRY_LOST, 5, 1, "a", "a drops it");
}

/* A router that was never delivered need not be. */
static void test_not_lost(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_hold(p, 0, 'c', "20>?");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'c', "20>?", "20!");
    build_change(p, 0, 'a', "-", "2100!");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'b', "20>a", "20!");
    build_stage(p, FERRY_ATTACH);
    build_change(p, 0, 'c', "-", "@");
    build_change(p, 0, 'b', "20!", "20>c");
    build_change(p, 0, 'a', "-", "20>b");
    expect_safe(p, NULL);
}

static void test_falls(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "-");
    build_change(p, 0, 'b', "-", "30>a");
    expect(p, FERRY_FALLS, 1, 1, "b", "b holds nothing");

    p = chain("192.168.1.0/24"); /* in the detached gateway */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    expect(p, FERRY_FALLS, 1, 1, "a", "a gateway -> nothing");

    p = chain("192.168.1.0/24"); /* what held nothing at first, must not after it was given something */
    build_hold(p, 0, 'c', "-");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'c', "-", "20>b");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'c', "20>b", "-");
    expect(p, FERRY_FALLS, 2, 1, "c", "falls");
}

/* An undo may take back what its plan had given, but not in between. */
static void test_falls_undo(void **state)
{
    (void)state;
    for (unsigned again = 0; again < 2; again++) {
        struct ferry_plan *p = chain("192.168.1.0/24");
        strcpy(p->mode, "undo");
        build_hold(p, 0, 'c', "20>b 2100!");
        p->groups[0].to[0] = 'p';
        build_stage(p, again ? FERRY_DETACH : FERRY_SETTLE);
        build_change(p, 0, 'c', "20>b", "-");
        build_change(p, 0, 'c', "2100!", "-");
        if (!again) {
            expect_safe(p, "4");
            continue;
        }
        build_stage(p, FERRY_SETTLE);
        build_change(p, 0, 'c', "-", "20>b");
        expect(p, FERRY_FALLS, 1, 2, "c", "falls");
    }
}

static void test_mismatch(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>c", "20!");
    expect(p, FERRY_MISMATCH, 1, 1, "b", "expects unicast");

    p = chain("192.168.1.0/24"); /* a running state, not only the first */
    move_chain(p);
    p->stages[3].changes[1].before = build_entry(p, AF_INET, "2100x");
    expect(p, FERRY_MISMATCH, 4, 1, "b", "but finds blackhole");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "2100!");
    build_change(p, 0, 'b', "-", "2100x");
    expect(p, FERRY_MISMATCH, 1, 1, "b", "the same key twice");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>a")->metric = 30;
    expect(p, FERRY_MISMATCH, 1, 1, "b", "another metric than its key");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>a")->table = 100;
    expect(p, FERRY_MISMATCH, 1, 1, "b", "another table than its key");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_DETACH);
    build_stage(p, FERRY_PREPARE);
    expect(p, FERRY_MISMATCH, 2, 0, "", "comes after stage 1 (detach)");

    p = chain("192.168.1.0/24");
    build_sites(p, "xxq");
    expect(p, FERRY_MISMATCH, 1, 0, "", "comes from p, but is attached at x");

    p = chain("192.168.1.0/24");
    build_hold(p, 0, 'b', "20>a 20!");
    expect(p, FERRY_MISMATCH, 1, 0, "", "two entries under one key");
}

static void test_no_gateway_there(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    struct ferry_plan_subnet *s = &p->groups[0].subnets[0];
    s->n_gateways = 1;
    s->gateways = calloc(1, sizeof *s->gateways);
    s->gateways[0].gateway.router = 0;
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'c', "-", "@");
    expect(p, FERRY_MISMATCH, 1, 1, "c", "no gateway of the subnet");
}

static void test_foreign(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20!")->router = 3;
    expect(p, FERRY_FOREIGN, 1, 1, "", "no router of the plan");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20!")->group = 1;
    expect(p, FERRY_FOREIGN, 1, 1, "", "no group of the plan");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>d");
    expect(p, FERRY_FOREIGN, 1, 1, "b", "names no router of the plan");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "@", "@")->kind = FERRY_KIND_ROUTE;
    expect(p, FERRY_FOREIGN, 1, 1, "a", "of another kind");

    p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "20>a")->kind = FERRY_KIND_GATEWAY;
    expect(p, FERRY_FOREIGN, 1, 1, "b", "has no metric");

    p = chain("192.168.1.0/24");
    build_group(p, NULL, NULL, "192.168.1.0/24");
    expect(p, FERRY_FOREIGN, 1, 0, "", "192.168.1.0/24 is moved by group g1 and again by group g2");

    p = chain("192.168.1.0/24"); /* another table than the route that it is to replace */
    build_stage(p, FERRY_PREPARE);
    struct ferry_change *c = build_change(p, 0, 'b', "-", "30>a");
    struct ferry_entry e = *c->after;
    e.table = c->table = 100;
    c->after = ferry_pool_entry(p->pool, &e);
    expect(p, FERRY_FOREIGN, 1, 1, "b", "in another table than the subnet's other routes");
}

static void test_unfinished(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "2100!");
    expect(p, FERRY_UNFINISHED, 1, 1, "a", "a is still attached");

    p = chain("192.168.1.0/24");
    move_chain(p);
    p->stages[2].n_changes--; /* nobody attaches */
    expect(p, FERRY_LOST, 4, 0, "c", "c drops it, as soon as the stage starts");

    p = chain("192.168.1.0/24");
    move_chain(p);
    p->stages[2].n_changes--;
    free(p->stages[--p->n_stages].changes);
    expect(p, FERRY_UNFINISHED, 3, 2, "a", "attached nowhere, a was delivered at first");

    p = chain("192.168.1.0/24"); /* nothing to do, at the wrong end */
    expect(p, FERRY_UNFINISHED, 1, 0, "a", "still attached");
    p = chain("192.168.1.0/24");
    p->groups[0].to[0] = 'p';
    expect_safe(p, "1");
}

/* Attached nowhere at first; and its undo, which ends so. */
static void test_from_nowhere(void **state)
{
    (void)state;
    struct ferry_plan *p = build_plan(2);
    build_group(p, NULL, "q", "10.0.0.0/24");
    build_hold(p, 0, 'a', "20!");
    build_stage(p, FERRY_ATTACH);
    build_change(p, 0, 'b', "-", "@");
    build_change(p, 0, 'a', "20!", "20>b");
    expect_safe(p, "4");

    p = build_plan(2);
    strcpy(p->mode, "undo");
    build_group(p, "q", NULL, "10.0.0.0/24");
    build_hold(p, 0, 'a', "20>b");
    build_hold(p, 0, 'b', "@");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "@", "-");
    build_change(p, 0, 'a', "20>b", "20x");
    expect_safe(p, "4");

    p = build_plan(2); /* a drop of Ferry's own is not what was there before */
    strcpy(p->mode, "undo");
    build_group(p, "q", NULL, "10.0.0.0/24");
    build_hold(p, 0, 'a', "20>b");
    build_hold(p, 0, 'b', "@");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "@", "-");
    build_change(p, 0, 'a', "20>b", "20!");
    expect(p, FERRY_UNFINISHED, 1, 2, "a", "a was delivered at first");
}

/* The kernel ranks a connected IPv6 prefix 256: Ferry's usual metric 20 would win over the attachment. */
static void test_gateway_beaten(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *driver, *route;
        bool safe;
    } cases[] = {
        {"2001:db8::/64", "netlink", "20>a", false}, {"2001:db8::/64", "netlink", "257>a", true},
        {"2001:db8::/64", "sim", "20>a", true},      {"10.0.0.0/24", "netlink", "20>a", true},
        {"10.0.0.0/24", "netlink", "0>a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ferry_plan *p = build_plan(2);
        build_group(p, NULL, "q", cases[i].prefix);
        p->routers[1].driver.type = strdup(cases[i].driver);
        build_hold(p, 0, 'a', "20!");
        build_hold(p, 0, 'b', cases[i].route);
        build_stage(p, FERRY_ATTACH);
        build_change(p, 0, 'b', "-", "@");
        if (cases[i].safe)
            expect_safe(p, "2");
        else
            expect(p, FERRY_LOST, 1, 1, "b", "wins over the attachment");
    }
}

/* A prefix inside of another one that moves too: what a router without a route of its own falls to, moves. */
static void test_nested(void **state)
{
    (void)state;
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        struct ferry_plan *p = build_plan(3);
        build_group(p, NULL, NULL, "10.0.0.0/8");
        build_group(p, NULL, "q", "10.1.0.0/16");
        build_hold(p, 0, 'a', "20!");
        build_hold(p, 0, 'b', "20!");
        build_hold(p, 0, 'c', "20!");
        build_hold(p, 1, 'b', "20>c");
        build_cover(p, 1, 'a', "10.0.0.0/8", "20!");
        build_cover(p, 1, 'c', "10.0.0.0/8", "20!");
        build_stage(p, FERRY_ATTACH);
        build_change(p, 0, 'c', "20!", wrong ? "20>ab" : "20>a"); /* c falls to this for 10.1.0.0/16 */
        if (wrong) {
            expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
        } else {
            build_change(p, 1, 'c', "-", "@");
            expect_safe(p, NULL);
        }
    }
}

/* Groups are proven one by one, and the fault of the earliest stage is shown. */
static void test_groups(void **state)
{
    (void)state;
    struct ferry_plan *p = chain("192.168.1.0/24");
    build_group(p, "p", "q", "192.168.2.0/24");
    build_hold(p, 1, 'a', "@");
    build_hold(p, 1, 'b', "20>a");
    move_chain(p);
    p->stages[2].changes[1].after = build_entry(p, AF_INET, "20>a");
    p->n_stages = 2;
    build_change(p, 1, 'b', "20>a", "20>b");
    p->n_stages = 4;
    struct ferry_proof proof;
    struct ferry_err err;
    assert_int_equal(ferry_prove(p, 10, &proof, &err), -FERRY_EREFUSED);
    assert_int_equal(proof.bad.violation, FERRY_LOOP);
    assert_int_equal(proof.bad.group, 1);
    assert_int_equal(proof.bad.stage, 1);
    assert_int_equal(proof.bad.events[0].change, 3);
    ferry_proof_clear(&proof);
    ferry_plan_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_states_beyond_64_bits),
        cmocka_unit_test(test_stretched_may_be_at_two_sites),
        cmocka_unit_test(test_stretched_is_lost_at_no_moment),
        cmocka_unit_test(test_stretched_loops_and_ends_as_ever),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_loop_fewest_events),
        cmocka_unit_test(test_loop_through_cover),
        cmocka_unit_test(test_two_sites),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_not_lost),
        cmocka_unit_test(test_falls),
        cmocka_unit_test(test_falls_undo),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_no_gateway_there),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_from_nowhere),
        cmocka_unit_test(test_gateway_beaten),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
