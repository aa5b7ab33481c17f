/* Transactions without a lost router, on simulated routers with faults: it is never called, whatever else
 * fails there is one end, and what it owes counts exactly while the move does.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"

#include <ferry/debt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOST "edge-primary"

/* Planned without edge-primary, as if it did not answer. */
static struct ferry_plan *plan_without(struct world *w)
{
    struct ferry_err err;
    struct ferry_plan *plan = NULL;
    const struct ferry_topology *t = w->topology;
    uint32_t app = ferry_topology_subnet(t, "app");
    struct ferry_move move = {app, ferry_topology_site(t, "recovery")};
    struct ferry_plan_terms terms = {.mode = "disaster"};
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(t, pool, &app, 1);
    struct ferry_fleet *fleet = world_fleet(w);
    assert_int_equal(ferry_fleet_read_live(fleet, live, &err), 0);
    ferry_live_lose(live, ferry_topology_router(t, LOST));
    if (ferry_plan_make_on(live, &move, 1, &terms, &plan, &err))
        fail_msg("%s", err.text);
    ferry_fleet_free(fleet);
    ferry_live_free(live);
    ferry_pool_free(pool);
    return plan;
}

static size_t n_debts(struct world *w)
{
    struct ferry_err err;
    struct ferry_debts debts = {0};
    assert_int_equal(ferry_journal_debts(w->journal, NULL, &debts, &err), 0);
    size_t n = debts.n;
    ferry_debts_clear(&debts);
    return n;
}

/* One fault; false where the run was over before it could strike. */
static bool strike(enum ferry_fault_kind kind, const char *router, uint64_t nth, unsigned *ret_ends)
{
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state = FERRY_TXN_READY;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = plan_without(&w);
    char *before = world_snapshot(&w);
    struct ferry_fault_rule rules[] = {
        {.kind = FERRY_FAULT_DISCONNECT, .router = LOST},
        {.kind = kind, .router = router, .nth = nth, .hang_ms = 1},
    };
    struct ferry_fault_script script = {.find = w.config.find, .rules = rules, .n_rules = 2};
    ferry_fault_install(&script);
    w.config.find = ferry_fault_find;
    struct ferry_txn_options options = {.kind = "apply"};
    int r = world_apply(&w, plan, &options, &state, NULL, &err);
    assert_int_equal(rules[0].matched, 0); /* it was left alone */
    bool struck = rules[1].fired > 0;
    ferry_fault_install(NULL);
    w.config.find = script.find;
    if (r == 0 && state == FERRY_TXN_STUCK)
        assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    char *after = world_snapshot(&w);
    if (r == 0 && state == FERRY_TXN_COMMITTED) {
        assert_int_equal(n_debts(&w), 1);
        ret_ends[0]++;
    } else {
        assert_true(r < 0 || state == FERRY_TXN_UNDONE);
        assert_string_equal(before, after);
        assert_int_equal(n_debts(&w), 0);
        ret_ends[r < 0 ? 2 : 1]++;
    }
    free(before);
    free(after);
    ferry_plan_free(plan);
    world_clear(&w);
    return struck;
}

static void any_fault_has_an_end(void **unused)
{
    static const enum ferry_fault_kind kinds[] = {FERRY_FAULT_LOST_REPLY, FERRY_FAULT_NOT_APPLIED};
    static const char *const routers[] = {"edge-third"};
    unsigned ends[3] = {0};
    (void)unused;
    for (size_t k = 0; k < FERRY_COUNT(kinds); k++)
        for (size_t r = 0; r < FERRY_COUNT(routers); r++)
            for (uint64_t n = 1; strike(kinds[k], routers[r], n, ends); n++)
                assert_true(n < 100);
    print_message("%u committed, %u undone, %u refused\n", ends[0], ends[1], ends[2]);
    assert_true(ends[0] && ends[1] && ends[2]);
}

/* ---- The fence is read. ---- */

static struct world *meddled;
static unsigned points;

/* After the stage that detaches was read back, and before anything attaches, somebody leads edge-third to the
 * lost site. */
static void meddle(void *ctx, const char *name)
{
    (void)ctx;
    if (!meddled || strcmp(name, "driver-apply") != 0 || ++points != 4)
        return;
    struct world *w = meddled;
    struct ferry_err err;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1, .dev = "to-primary"};
    meddled = NULL;
    assert_int_equal(ferry_addr_parse("10.255.13.1", &hop.via, &err), 0);
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = FERRY_TABLE_MAIN,
                            .metric = 5,
                            .protocol = 4,
                            .n_nexthops = 1,
                            .nexthops = &hop};
    struct ferry_op op = world_route("192.168.1.0/24", &e);
    world_meddle(w, "edge-third", &op);
}

static void a_hole_in_the_fence_attaches_nothing(void **unused)
{
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_txn_record *record = NULL;
    (void)unused;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = plan_without(&w);
    w.env.crash_point = meddle;
    meddled = &w;
    points = 0;
    struct ferry_txn_options options = {.kind = "apply"};
    assert_int_equal(world_apply(&w, plan, &options, &state, &record, &err), 0);
    assert_null(meddled); /* it has happened */
    assert_true(state == FERRY_TXN_UNDONE || state == FERRY_TXN_STUCK);
    assert_non_null(strstr(record->reason, "the fence does not stand: edge-third"));
    assert_int_equal(record->stages_begun, 2); /* attach was never begun */
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- Debts. ---- */

static void who_owes_is_not_planned_with(void **unused)
{
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state = FERRY_TXN_READY;
    (void)unused;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = plan_without(&w);
    struct ferry_txn_options options = {.kind = "apply"}, reconcile = {.kind = "reconcile"};
    const struct ferry_reconcile_terms all = {0};
    assert_int_equal(world_apply(&w, plan, &options, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    ferry_plan_free(plan);
    for (unsigned n = 0;; n++) {
        struct ferry_fleet *fleet = world_fleet(&w);
        int r = ferry_reconcile_next(w.journal, fleet, w.topology, &all, &plan, &err);
        ferry_fleet_free(fleet);
        if (r == 1) {
            assert_int_equal(n, 2);
            break;
        }
        assert_int_equal(r, 0);
        assert_int_equal(n_debts(&w), 1);
        /* The same changes by another name are refused: what is owed comes first. */
        free(plan->mode);
        plan->mode = ferry_strdup("planned");
        assert_int_equal(ferry_journal_refuse_debts(w.journal, plan, NULL, &err), -FERRY_EREFUSED);
        assert_string_equal(err.rule, "debt");
        free(plan->mode);
        plan->mode = ferry_strdup("reconcile");
        assert_int_equal(world_apply(&w, plan, &reconcile, &state, NULL, &err), 0);
        assert_int_equal(state, FERRY_TXN_COMMITTED);
        ferry_plan_free(plan);
    }
    assert_int_equal(n_debts(&w), 0);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_fault_has_an_end),
                                       cmocka_unit_test(a_hole_in_the_fence_attaches_nothing),
                                       cmocka_unit_test(who_owes_is_not_planned_with)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
