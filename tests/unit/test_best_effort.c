/* Why a best-effort router that falls silent in the middle of a move ends that move (docs/disaster.md): for a
 * router that stays as it was, the rest of a plan that was made with it is not safe as proven.  On random
 * networks, each router without a gateway is left out in turn, and the prover is asked.
 *
 * SPDX-License-Identifier: MIT */
#include "small_net.h"

#include "base/mem.h"

#include <ferry/prove.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 1500u

static bool has_gateway(const struct ferry_topology *t, const char *name)
{
    for (size_t s = 0; s < t->n_subnets; s++)
        for (size_t i = 0; i < t->subnets[s].n_gateways; i++)
            if (!strcmp(t->routers[t->subnets[s].gateways[i].router].name, name))
                return true;
    return false;
}

/* How many changes were its own. */
static size_t leave_out(struct ferry_plan *plan, uint32_t router)
{
    size_t gone = 0;
    for (size_t s = 0; s < plan->n_stages; s++) {
        struct ferry_stage *stage = &plan->stages[s];
        size_t n = 0;
        for (size_t i = 0; i < stage->n_changes; i++)
            if (stage->changes[i].router != router)
                stage->changes[n++] = stage->changes[i];
        gone += stage->n_changes - n;
        stage->n_changes = n;
    }
    return gone;
}

static void without_one_router_a_plan_is_not_safe(void **unused)
{
    unsigned verdicts[FERRY_UNFINISHED + 1] = {0}, asked = 0;
    (void)unused;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct dice d = {seed};
        struct ferry_topology *t = NULL;
        struct ferry_err err;
        FERRY_AUTOFREE char *text = small_net(&d);
        assert_int_equal(ferry_topology_parse("small", text, strlen(text), &t, NULL, &err), 0);
        struct ferry_plan *plan = small_plan(t, &d, false, NULL);
        for (uint32_t v = 0; v < plan->n_routers; v++) {
            if (has_gateway(t, plan->routers[v].name))
                continue;
            struct ferry_plan *copy = spoil_copy(plan);
            struct ferry_proof proof;
            if (leave_out(copy, v)) {
                asked++;
                int r = ferry_prove(copy, 12, &proof, &err);
                assert_true(r == 0 || r == -FERRY_EREFUSED);
                verdicts[r ? proof.bad.violation : FERRY_SAFE]++;
                ferry_proof_clear(&proof);
            }
            spoil_copy_free(copy);
        }
        ferry_plan_free(plan);
        ferry_topology_free(t);
    }
    print_message("%u times one router was left out:", asked);
    for (unsigned v = 0; v <= FERRY_UNFINISHED; v++)
        if (verdicts[v])
            print_message(" %s %u", ferry_violation_name((enum ferry_violation)v), verdicts[v]);
    print_message("\n");
    assert_true(asked > 200);
    assert_true(verdicts[FERRY_LOOP] > 0); /* packets in circles: nobody may go on as if nothing were */
    assert_int_equal(verdicts[FERRY_TWO_SITES], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_one_router_a_plan_is_not_safe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
