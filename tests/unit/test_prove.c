/* The prover, rule by rule, on networks of a few routers.  What documents must say: test_prove_document.c;
 * against brute force: test_prove_random.c.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_safe(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_move(p);
    prove_expect_safe(p, "29"); /* 1 + 4 * (2^3 - 1) */
    p = build_chain("2001:db8:1::/64");
    build_move(p);
    prove_expect_safe(p, "29");
    p = build_chain("192.168.1.0/24"); /* the other way round, sites given */
    build_sites(p, "pxq");
    build_move(p);
    prove_expect_safe(p, "29");
}

static void test_certificate(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    struct ferry_proof proof;
    struct ferry_err err;
    build_move(p);
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
    struct ferry_plan *p = build_chain("192.168.1.0/24");
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
    prove_expect_safe(stretched_chain(true), "7");
    prove_expect(stretched_chain(false), FERRY_TWO_SITES, 1, 1, "ac", "attached at p (a) and q (c) at once");
}

static void test_stretched_is_lost_at_no_moment(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24"); /* what a move of another subnet may do */
    p->groups[0].stretched = true;
    build_move(p);
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
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    p->groups[0].stretched = true;
    build_stage(p, FERRY_PREPARE); /* b turns round while c still points at it */
    build_change(p, 0, 'b', "20>a", "20>c");
    prove_expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
    p = stretched_chain(true); /* the old site is never left */
    while (p->n_stages > 2)
        free(p->stages[--p->n_stages].changes);
    prove_expect(p, FERRY_UNFINISHED, 2, 1, "a", "a is still attached");
    p = stretched_chain(true); /* nothing lies beneath the gateway that goes */
    p->stages[0].changes[0] = p->stages[0].changes[1];
    p->stages[0].n_changes = 1;
    prove_expect(p, FERRY_LOST, 3, 1, "a", "a is no longer delivered");
}

static void test_loop(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24"); /* b turns round while c still points at it */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "20>c");
    build_change(p, 0, 'c', "20>b", "20!");
    prove_expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b, after 1 of the stage's changes: b route");

    p = build_chain("192.168.1.0/24"); /* from the start */
    build_hold(p, 0, 'b', "20>c");
    prove_expect(p, FERRY_LOOP, 1, 0, "bc", "from the start");

    p = build_chain("192.168.1.0/24"); /* by what lies below: two changes uncover it */
    build_hold(p, 0, 'b', "20>a 30>a 40>c");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "-");
    build_change(p, 0, 'b', "30>a", "-");
    prove_expect(p, FERRY_LOOP, 1, 2, "bc", "b -> c -> b");

    p = build_chain("192.168.1.0/24"); /* its own neighbour */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "20>b");
    prove_expect(p, FERRY_LOOP, 1, 1, "b", "b -> b");

    p = build_chain("2001:db8::/64"); /* one leg of two */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "20>ac");
    prove_expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
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
    prove_expect(p, FERRY_LOOP, 1, 1, "dfe", "d -> f -> e -> d");
}

static void test_loop_through_cover(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_hold(p, 0, 'b', "-"); /* b holds nothing, and its covering route leads to c */
    build_cover(p, 0, 'b', "0.0.0.0/0", "100>c");
    build_stage(p, FERRY_PREPARE);
    build_hold(p, 0, 'c', "20!");
    build_change(p, 0, 'c', "20!", "20>b");
    prove_expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
}

static void test_two_sites(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24"); /* a document without sites */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'c', "-", "@");
    prove_expect(p, FERRY_TWO_SITES, 1, 1, "ac", "attached at p (a) and q (c) at once");

    p = build_chain("192.168.1.0/24");
    build_sites(p, "pxq");
    build_hold(p, 0, 'c', "@");
    prove_expect(p, FERRY_TWO_SITES, 1, 0, "ac", "from the start");

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
    prove_expect(p, FERRY_TWO_SITES, 2, 1, "ac", "p (a) and q (c)");
}

static void test_lost(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20!");
    prove_expect(p, FERRY_LOST, 1, 1, "b", "b is no longer delivered: b drops it");

    p = build_chain("192.168.1.0/24"); /* an unknown next hop is no delivery */
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'c', "20>b", "20>b?");
    prove_expect(p, FERRY_LOST, 1, 1, "c", "outside of the plan");

    p = build_chain("192.168.1.0/24"); /* detached too early */
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "-", "2100!");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "@", "-");
    prove_expect(p, FERRY_LOST, 2, 1, "a", "a drops it");

    p = build_chain("192.168.1.0/24"); /* in settle again */
    build_move(p);
    build_stage(p, FERRY_SETTLE);
    build_change(p, 0, 'a', "-", "10!");
    prove_expect(p, FERRY_LOST, 5, 1, "a", "a drops it");
}

/* A router that was never delivered need not be. */
static void test_not_lost(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
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
    prove_expect_safe(p, NULL);
}

static void test_falls(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "20>a", "-");
    build_change(p, 0, 'b', "-", "30>a");
    prove_expect(p, FERRY_FALLS, 1, 1, "b", "b holds nothing");

    p = build_chain("192.168.1.0/24"); /* in the detached gateway */
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    prove_expect(p, FERRY_FALLS, 1, 1, "a", "a gateway -> nothing");

    p = build_chain("192.168.1.0/24"); /* what held nothing at first, must not after it was given something */
    build_hold(p, 0, 'c', "-");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'c', "-", "20>b");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'c', "20>b", "-");
    prove_expect(p, FERRY_FALLS, 2, 1, "c", "falls");
}

/* An undo may take back what its plan had given, but not in between. */
static void test_falls_undo(void **state)
{
    (void)state;
    for (unsigned again = 0; again < 2; again++) {
        struct ferry_plan *p = build_chain("192.168.1.0/24");
        strcpy(p->mode, "undo");
        build_hold(p, 0, 'c', "20>b 2100!");
        p->groups[0].to[0] = 'p';
        build_stage(p, again ? FERRY_DETACH : FERRY_SETTLE);
        build_change(p, 0, 'c', "20>b", "-");
        build_change(p, 0, 'c', "2100!", "-");
        if (!again) {
            prove_expect_safe(p, "4");
            continue;
        }
        build_stage(p, FERRY_SETTLE);
        build_change(p, 0, 'c', "-", "20>b");
        prove_expect(p, FERRY_FALLS, 1, 2, "c", "falls");
    }
}

static void test_unfinished(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "2100!");
    prove_expect(p, FERRY_UNFINISHED, 1, 1, "a", "a is still attached");

    p = build_chain("192.168.1.0/24");
    build_move(p);
    p->stages[2].n_changes--; /* nobody attaches */
    prove_expect(p, FERRY_LOST, 4, 0, "c", "c drops it, as soon as the stage starts");

    p = build_chain("192.168.1.0/24");
    build_move(p);
    p->stages[2].n_changes--;
    free(p->stages[--p->n_stages].changes);
    prove_expect(p, FERRY_UNFINISHED, 3, 2, "a", "attached nowhere, a was delivered at first");

    p = build_chain("192.168.1.0/24"); /* nothing to do, at the wrong end */
    prove_expect(p, FERRY_UNFINISHED, 1, 0, "a", "still attached");
    p = build_chain("192.168.1.0/24");
    p->groups[0].to[0] = 'p';
    prove_expect_safe(p, "1");
}

/* Attached nowhere at first; and its undo, which ends so. */
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
            prove_expect_safe(p, "2");
        else
            prove_expect(p, FERRY_LOST, 1, 1, "b", "wins over the attachment");
    }
}

/* A prefix inside of another one that moves too: what a router without a route of its own falls to, moves. */
/* Groups are proven one by one, and the fault of the earliest stage is shown. */
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
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_gateway_beaten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
