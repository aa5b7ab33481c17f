/* The prover and its documents: what contradicts itself, what is somebody else's, groups and prefixes inside of others.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>

static void test_mismatch(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>c", "20!");
    prove_expect(p, FERRY_MISMATCH, 1, 1, "b", "expects unicast");

    p = build_chain(
        "192.168.1.0/24"); /* its undo would lead to nobody where the document's state leads to a */
    build_stage(p, FERRY_PREPARE);
    struct ferry_change *c = build_change(p, 0, 'b', "20>a", "20!");
    struct ferry_nexthop hop = c->before->nexthops[0];
    struct ferry_entry astray = *c->before;
    hop.router = FERRY_NO_ROUTER;
    astray.nexthops = &hop;
    c->before = ferry_pool_entry(p->pool, &astray);
    prove_expect(p, FERRY_MISMATCH, 1, 1, "b", "names other routers behind its next hops");

    p = build_chain("192.168.1.0/24"); /* a running state, not only the first */
    build_move(p);
    p->stages[3].changes[1].before = build_entry(p, AF_INET, "2100x");
    prove_expect(p, FERRY_MISMATCH, 4, 1, "b", "but finds blackhole");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "2100!");
    build_change(p, 0, 'b', "-", "2100x");
    prove_expect(p, FERRY_MISMATCH, 1, 1, "b", "the same key twice");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>a")->metric = 30;
    prove_expect(p, FERRY_MISMATCH, 1, 1, "b", "another metric than its key");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>a")->table = 100;
    prove_expect(p, FERRY_MISMATCH, 1, 1, "b", "another table than its key");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_DETACH);
    build_stage(p, FERRY_PREPARE);
    prove_expect(p, FERRY_MISMATCH, 2, 0, "", "comes after stage 1 (detach)");

    p = build_chain("192.168.1.0/24");
    build_sites(p, "xxq");
    prove_expect(p, FERRY_MISMATCH, 1, 0, "", "comes from p, but is attached at x");

    p = build_chain("192.168.1.0/24");
    build_hold(p, 0, 'b', "20>a 20!");
    prove_expect(p, FERRY_MISMATCH, 1, 0, "", "two entries under one key");
}

static void test_no_gateway_there(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    struct ferry_plan_subnet *s = &p->groups[0].subnets[0];
    s->n_gateways = 1;
    s->gateways = calloc(1, sizeof *s->gateways);
    s->gateways[0].gateway.router = 0;
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'c', "-", "@");
    prove_expect(p, FERRY_MISMATCH, 1, 1, "c", "no gateway of the subnet");
}

static void test_foreign(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20!")->router = 3;
    prove_expect(p, FERRY_FOREIGN, 1, 1, "", "no router of the plan");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20!")->group = 1;
    prove_expect(p, FERRY_FOREIGN, 1, 1, "", "no group of the plan");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "20>a", "20>d");
    prove_expect(p, FERRY_FOREIGN, 1, 1, "b", "names no router of the plan");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "@", "@")->kind = FERRY_KIND_ROUTE;
    prove_expect(p, FERRY_FOREIGN, 1, 1, "a", "of another kind");

    p = build_chain("192.168.1.0/24");
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'b', "-", "20>a")->kind = FERRY_KIND_GATEWAY;
    prove_expect(p, FERRY_FOREIGN, 1, 1, "b", "has no metric");

    p = build_chain("192.168.1.0/24");
    build_group(p, NULL, NULL, "192.168.1.0/24");
    prove_expect(p, FERRY_FOREIGN, 1, 0, "", "192.168.1.0/24 is moved by group g1 and again by group g2");

    p = build_chain("192.168.1.0/24"); /* another table than the route that it is to replace */
    build_stage(p, FERRY_PREPARE);
    struct ferry_change *c = build_change(p, 0, 'b', "-", "30>a");
    struct ferry_entry e = *c->after;
    e.table = c->table = 100;
    c->after = ferry_pool_entry(p->pool, &e);
    prove_expect(p, FERRY_FOREIGN, 1, 1, "b", "in another table than the subnet's other routes");
}

static void test_from_nowhere(void **state)
{
    (void)state;
    struct ferry_plan *p = build_plan(2);
    build_group(p, NULL, "q", "10.0.0.0/24");
    build_hold(p, 0, 'a', "20!");
    build_stage(p, FERRY_ATTACH);
    build_change(p, 0, 'b', "-", "@");
    build_change(p, 0, 'a', "20!", "20>b");
    prove_expect_safe(p, "4");

    p = build_plan(2);
    strcpy(p->mode, "undo");
    build_group(p, "q", NULL, "10.0.0.0/24");
    build_hold(p, 0, 'a', "20>b");
    build_hold(p, 0, 'b', "@");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "@", "-");
    build_change(p, 0, 'a', "20>b", "20x");
    prove_expect_safe(p, "4");

    p = build_plan(2); /* a drop of Ferry's own is not what was there before */
    strcpy(p->mode, "undo");
    build_group(p, "q", NULL, "10.0.0.0/24");
    build_hold(p, 0, 'a', "20>b");
    build_hold(p, 0, 'b', "@");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'b', "@", "-");
    build_change(p, 0, 'a', "20>b", "20!");
    prove_expect(p, FERRY_UNFINISHED, 1, 2, "a", "a was delivered at first");
}

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
            prove_expect(p, FERRY_LOOP, 1, 1, "bc", "b -> c -> b");
        } else {
            build_change(p, 1, 'c', "-", "@");
            prove_expect_safe(p, NULL);
        }
    }
}

static void test_groups(void **state)
{
    (void)state;
    struct ferry_plan *p = build_chain("192.168.1.0/24");
    build_group(p, "p", "q", "192.168.2.0/24");
    build_hold(p, 1, 'a', "@");
    build_hold(p, 1, 'b', "20>a");
    build_move(p);
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
        cmocka_unit_test(test_mismatch), cmocka_unit_test(test_no_gateway_there),
        cmocka_unit_test(test_foreign),  cmocka_unit_test(test_from_nowhere),
        cmocka_unit_test(test_nested),   cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
