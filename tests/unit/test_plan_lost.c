/* There and back on random networks: a site is lost, the subnet moves without it, the site comes back as it was, and is
 * reconciled.  Every plan on the way is proven; at the end all is as after a planned move.
 *
 * SPDX-License-Identifier: MIT */
#include "small_net.h"

#include "base/mem.h"

#include <ferry/prove.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 1500u

struct world {
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_live *live;
    uint32_t *subnets;
};

static void world_make(struct world *w, const char *text, unsigned seed)
{
    struct ferry_err err;
    if (ferry_topology_parse("small", text, strlen(text), &w->t, NULL, &err))
        fail_msg("seed %u: %s", seed, err.text);
    w->pool = ferry_pool_new();
    w->subnets = ferry_calloc(w->t->n_subnets, sizeof *w->subnets);
    for (uint32_t i = 0; i < w->t->n_subnets; i++)
        w->subnets[i] = i;
    w->live = ferry_live_new(w->t, w->pool, w->subnets, w->t->n_subnets);
}

static void world_free(struct world *w)
{
    ferry_live_free(w->live);
    ferry_pool_free(w->pool);
    ferry_topology_free(w->t);
    free(w->subnets);
}

static void at_home(struct world *w, bool away, uint32_t to)
{
    struct ferry_err err;
    FERRY_AUTOFREE uint32_t *active = ferry_calloc(w->t->n_subnets, sizeof *active);
    for (uint32_t i = 0; i < w->t->n_subnets; i++)
        active[i] = w->t->subnets[i].home;
    if (away)
        active[0] = to;
    assert_int_equal(ferry_live_offline(w->live, active, &err), 0);
}

/* Carries out a plan for subnet 0 on the routers that are not lost. */
static void carry_out(struct world *w, struct ferry_plan *plan)
{
    struct ferry_proof proof;
    struct ferry_err err;
    struct ferry_plan *undo = NULL;
    if (ferry_prove(plan, 12, &proof, &err))
        fail_msg("%s\n%s", err.text, ferry_plan_write(plan, true));
    ferry_proof_clear(&proof);
    if (strcmp(plan->mode, "reconcile")) { /* the undo of a reconciliation would bring two sites back */
        assert_int_equal(ferry_plan_reverse(plan, &undo, &err), 0);
        if (ferry_prove(undo, 12, &proof, &err))
            fail_msg("undo: %s\n%s", err.text, ferry_plan_write(undo, true));
        ferry_proof_clear(&proof);
        ferry_plan_free(undo);
    }
    for (uint32_t r = 0; plan->n_groups && r < plan->n_routers; r++) {
        const struct ferry_stack *stack = ferry_plan_state(plan, r, 0, plan->n_stages);
        const struct ferry_entry *entries[16];
        uint32_t n = stack ? stack->n : 0;
        assert_true(n <= 16);
        for (uint32_t i = 0; i < n; i++)
            entries[i] = ferry_pool_entry(w->pool, stack->entries[i]);
        if (!plan->routers[r].lost)
            w->live->stacks[r * w->live->n_subnets] = ferry_pool_stack(w->pool, entries, n);
    }
}

static bool attached(const struct world *w, uint32_t r)
{
    const struct ferry_entry *best = ferry_stack_best(w->live->stacks[r * w->live->n_subnets]);
    return best && best->type == FERRY_GATEWAY;
}

/* As ferry_reconcile_next does it.  How many plans it took. */
static unsigned reconcile(struct world *w, uint32_t to, unsigned seed)
{
    struct ferry_move move = {0, to};
    struct ferry_err err;
    for (unsigned n = 0; n < 12; n++) {
        struct ferry_plan_terms terms = {.mode = "reconcile"};
        struct ferry_plan *plan = NULL;
        for (uint32_t r = 0; r < w->t->n_routers && !terms.detaching; r++)
            if (attached(w, r) && w->t->routers[r].site != to) {
                terms.detaching = true;
                terms.detach = r;
            }
        if (ferry_plan_make_on(w->live, &move, 1, &terms, &plan, &err))
            fail_msg("seed %u: reconcile: %s: %s", seed, err.rule, err.text);
        bool idle = !plan->n_stages;
        carry_out(w, plan);
        ferry_plan_free(plan);
        if (idle)
            return n;
    }
    fail_msg("seed %u: no end", seed);
    return 0;
}

static void expect_as_planned(struct world *w, struct world *ideal, unsigned seed)
{
    for (uint32_t r = 0; r < w->t->n_routers; r++) {
        const struct ferry_stack *got = w->live->stacks[r * w->live->n_subnets];
        const struct ferry_stack *want = ideal->live->stacks[r * w->live->n_subnets];
        if (!want)
            continue;
        if (!got || got->n != want->n ||
            !ferry_entry_equal(got->entries[0], want->entries[0], FERRY_CMP_FORWARDING))
            fail_msg("seed %u: router %u is not as after a planned move", seed, r);
    }
}

static void test_there_and_back(void **state)
{
    unsigned refused = 0, moved = 0, plans = 0, fenced_for_good = 0;
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct dice d = {seed};
        struct world w = {0}, ideal = {0};
        struct ferry_plan *plan = NULL;
        struct ferry_err err;
        FERRY_AUTOFREE char *text = small_net(&d);
        world_make(&w, text, seed);
        world_make(&ideal, text, seed);
        uint32_t home = w.t->subnets[0].home;
        uint32_t to = (home + 1 + dice_roll(&d, (unsigned)w.t->n_sites - 1)) % (uint32_t)w.t->n_sites;
        at_home(&w, false, 0);
        at_home(&ideal, true, to);
        FERRY_AUTOFREE const struct ferry_stack **before =
            ferry_memdup(w.live->stacks, w.t->n_routers * w.t->n_subnets * sizeof *w.live->stacks);
        bool all = dice_roll(&d, 3);
        for (uint32_t r = 0; r < w.t->n_routers; r++)
            if (w.t->routers[r].site == home && (all || dice_roll(&d, 2)))
                ferry_live_lose(w.live, r);
        struct ferry_plan_terms terms = {.mode = "disaster"};
        struct ferry_move move = {0, to};
        if (ferry_plan_make_on(w.live, &move, 1, &terms, &plan, &err)) {
            assert_string_not_equal(err.rule, "");
            refused++;
        } else {
            carry_out(&w, plan);
            moved++;
            for (size_t i = 0; i < plan->n_debts; i++)
                fenced_for_good += !plan->routers[plan->debts[i].router].lost;
            for (uint32_t r = 0; r < w.t->n_routers; r++)
                if (w.live->lost[r]) { /* it comes back with all that it held */
                    w.live->lost[r] = false;
                    memcpy(w.live->stacks + r * w.t->n_subnets, before + r * w.t->n_subnets,
                           w.t->n_subnets * sizeof *before);
                }
            plans += reconcile(&w, to, seed);
            expect_as_planned(&w, &ideal, seed);
        }
        ferry_plan_free(plan);
        world_free(&w);
        world_free(&ideal);
    }
    print_message(
        "%u moved without a site, and back in line with %u plans more; %u routers dropped until then; "
        "%u refused\n",
        moved, plans, fenced_for_good, refused);
    assert_true(moved > SEEDS / 2 && plans > moved && fenced_for_good > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
