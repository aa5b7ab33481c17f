/* Guards of the engine that stand behind another one, each met alone: a driver that says no, a longer prefix
 * that comes while it moves, a gateway that nobody has read, a way back that is silent.  Simulated routers.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"
#include "txn/txn_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- At the begin. ---- */

static void what_a_driver_refuses_is_not_begun(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    struct ferry_fault_rule rule = {
        .kind = FERRY_FAULT_ERROR, .call = FERRY_FAULT_CHECK, .router = "edge-recovery", .nth = 1};
    struct ferry_fault_script script = {.find = w.config.find, .rules = &rule, .n_rules = 1};
    ferry_fault_install(&script);
    w.config.find = ferry_fault_find;
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "precheck");
    assert_int_equal(rule.fired, 1);
    ferry_fault_install(NULL);
    w.config.find = script.find;
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* C2: what nobody has read is not compared, and its plan may be stale. */
static void a_silent_router_that_it_needs_begins_nothing(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    struct ferry_fault_rule rule = {
        .kind = FERRY_FAULT_ERROR, .call = FERRY_FAULT_READ, .router = "edge-recovery", .nth = 1};
    struct ferry_fault_script script = {.find = w.config.find, .rules = &rule, .n_rules = 1};
    ferry_fault_install(&script);
    w.config.find = ferry_fault_find;
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unreachable");
    assert_non_null(strstr(err.text, "edge-recovery"));
    ferry_fault_install(NULL);
    w.config.find = script.find;
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- Forward. ---- */

struct meddler {
    struct world *w;
    struct ferry_op op;
    bool done;
};

static void meddle_after_the_first(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    struct meddler *m = ctx;
    (void)text;
    if (event == FERRY_EVENT_STAGE_DONE && stage == 0 && !m->done) {
        world_meddle(m->w, "edge-third", &m->op);
        m->done = true;
    }
}

/* It draws packets away from what was moved, and no key of the plan shows it. */
static void a_longer_prefix_that_comes_meanwhile_turns_it_back(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_txn_record *record = NULL;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1, .dev = "to-primary"};
    struct ferry_entry e = {
        .type = FERRY_UNICAST, .table = FERRY_TABLE_MAIN, .protocol = 4, .n_nexthops = 1, .nexthops = &hop};
    assert_int_equal(ferry_addr_parse("10.255.13.1", &hop.via, &err), 0);
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    struct meddler m = {.w = &w, .op = world_route("192.168.1.128/25", &e)};
    struct ferry_txn_options options = {
        .kind = "apply", .progress = meddle_after_the_first, .progress_ctx = &m};
    assert_int_equal(world_apply(&w, plan, &options, &state, &record, &err), 0);
    assert_true(m.done);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_non_null(strstr(record->reason, "192.168.1.128/25"));
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
}

static void begin(struct world *w, struct ferry_plan *plan, const char *kind, struct ferry_fleet **ret_fleet,
                  struct ferry_txn **ret)
{
    struct ferry_err err = {0};
    struct ferry_txn_options options = {.kind = kind};
    assert_int_equal(ferry_fleet_for_topology(&w->config, w->topology, ret_fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(w->journal, *ret_fleet, plan, &options, ret, NULL, NULL, &err), 0);
}

/* The interlock, without the proof and the read-back that stand before it: X1 is all it has to go by. */
static void nothing_is_attached_while_another_site_may_be(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    begin(&w, plan, "apply", &fleet, &txn);
    while (txn->stage < plan->n_stages && plan->stages[txn->stage].phase != FERRY_ATTACH)
        assert_true(ferry_txn_step(txn, &err) >= 0);
    assert_true(txn->stage < plan->n_stages);
    const struct ferry_plan_subnet *s = &plan->groups[0].subnets[0];
    assert_int_equal(s->n_gateways, 2);
    for (size_t k = 0; k < s->n_gateways; k++)
        assert_int_equal(txn->interlock.state[txn->interlock.offset[0][0] + k], FERRY_DETACHED);
    memset(&txn->interlock.state[txn->interlock.offset[0][0]], FERRY_ATTACHED_UNKNOWN, s->n_gateways);
    assert_true(ferry_txn_step(txn, &err) >= 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_UNDOING);
    assert_non_null(strstr(txn->record.reason, "edge-primary is attached or announces it, or may"));
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_UNDONE);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- Backward. ---- */

/* The old gateway cannot take the subnet up again as long as its router is silent, so the new one keeps it. */
static void the_new_site_serves_while_the_way_back_is_silent(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    enum ferry_txn_state state;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    struct ferry_fault_rule rule = {.kind = FERRY_FAULT_DISCONNECT, .router = "nobody yet"};
    struct ferry_fault_script script = {.find = w.config.find, .rules = &rule, .n_rules = 1};
    ferry_fault_install(&script);
    w.config.find = ferry_fault_find;
    begin(&w, plan, "drill", &fleet, &txn);
    ferry_txn_hold(txn);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_abort(txn, "the drill is over", &err), 0);
    while (txn->stage && plan->stages[txn->stage - 1].phase != FERRY_ATTACH)
        assert_true(ferry_txn_step(txn, &err) >= 0);
    assert_true(txn->stage > 0);
    rule.router = "edge-primary"; /* no call is under way */
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_STUCK);
    assert_true(rule.fired > 0);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    ferry_fault_install(NULL);
    w.config.find = script.find;
    FERRY_AUTOFREE char *kept = world_snapshot(&w);
    assert_non_null(strstr(kept, "edge-recovery app gateway"));
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* U3, where U2 is content: the new gateway was read as detached, and is silent when the old one's turn has come. */
static void nothing_is_attached_again_while_the_new_site_is_silent(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    enum ferry_txn_state state;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    struct ferry_fault_rule rule = {.kind = FERRY_FAULT_DISCONNECT, .router = "nobody yet"};
    struct ferry_fault_script script = {.find = w.config.find, .rules = &rule, .n_rules = 1};
    ferry_fault_install(&script);
    w.config.find = ferry_fault_find;
    begin(&w, plan, "drill", &fleet, &txn);
    ferry_txn_hold(txn);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_abort(txn, "the drill is over", &err), 0);
    while (txn->stage && plan->stages[txn->stage - 1].phase != FERRY_DETACH)
        assert_true(ferry_txn_step(txn, &err) >= 0);
    assert_true(txn->stage > 0);
    rule.router = "edge-recovery"; /* no call is under way */
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_STUCK);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    ferry_fault_install(NULL);
    w.config.find = script.find;
    FERRY_AUTOFREE char *kept = world_snapshot(&w);
    assert_null(strstr(kept, "edge-primary app gateway"));
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_plan_free(plan);
    world_clear(&w);
}

static struct ferry_driver_ops noting; /* the simulator, that counts what is sent for one route */
static struct ferry_op noted;
static _Atomic unsigned n_noted;

static int apply_and_note(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    for (size_t i = 0; i < n; i++)
        n_noted += ops[i].kind == noted.kind && ops[i].metric == noted.metric &&
                   ferry_entry_same(ops[i].before, noted.after) &&
                   ferry_entry_same(ops[i].after, noted.before);
    return ferry_driver_find("sim")->apply(driver, ops, n, err);
}

static const struct ferry_driver_ops *find_noting(const char *type) /* from every worker's thread */
{
    (void)type;
    return &noting;
}

/* U1, without the driver's own compare-and-set behind it: the undo of a key that is somebody else's is not even
 * sent. */
static void what_is_somebody_elses_is_not_sent_to(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    struct ferry_entry theirs = {.type = FERRY_PROHIBIT, .table = FERRY_TABLE_MAIN, .protocol = 4};
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    const struct ferry_change *c = NULL;
    for (size_t i = 0; i < plan->stages[0].n_changes; i++)
        if (!strcmp(plan->routers[plan->stages[0].changes[i].router].name, "edge-third"))
            c = &plan->stages[0].changes[i];
    assert_true(c && c->before && c->after);
    noting = *ferry_driver_find("sim");
    noting.apply = apply_and_note;
    w.config.find = find_noting;
    noted = ferry_plan_op(plan, c, 0);
    n_noted = 0;
    begin(&w, plan, "drill", &fleet, &txn);
    ferry_txn_hold(txn);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    theirs.metric = c->metric;
    struct ferry_op op = noted;
    op.before = noted.after;
    op.after = &theirs;
    world_meddle(&w, "edge-third", &op);
    assert_int_equal(ferry_txn_abort(txn, "the drill is over", &err), 0);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_STUCK);
    assert_int_equal(n_noted, 0);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    w.config.find = ferry_driver_find;
    struct ferry_op away = ferry_op_swap(&op);
    world_meddle(&w, "edge-third", &away); /* it is there still */
    ferry_plan_free(plan);
    world_clear(&w);
}

/* Each key that is not as it was is a hand of its own: who mends the first one only has not mended all. */
static void stuck_names_every_difference(void **unused)
{
    static const char *const routers[] = {"edge-recovery", "edge-third"}; /* who have no gateway then */
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    enum ferry_txn_state state;
    struct ferry_entry theirs = {
        .type = FERRY_PROHIBIT, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = 4};
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    begin(&w, plan, "drill", &fleet, &txn);
    ferry_txn_hold(txn);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    struct ferry_op op = world_route("192.168.1.0/24", &theirs), away = ferry_op_swap(&op);
    for (size_t i = 0; i < FERRY_COUNT(routers); i++)
        world_meddle(&w, routers[i], &op);
    assert_int_equal(ferry_txn_abort(txn, "the drill is over", &err), 0);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_STUCK);
    const struct ferry_txn_record *record = ferry_txn_record(txn);
    for (size_t i = 0; i < FERRY_COUNT(routers); i++) {
        unsigned n = 0;
        for (size_t h = 0; h < record->n_hands; h++)
            n += !strcmp(record->hands[h].router, routers[i]) && strstr(record->hands[h].key, "metric 5");
        assert_int_equal(n, 1);
    }
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    for (size_t i = 0; i < FERRY_COUNT(routers); i++)
        world_meddle(&w, routers[i], &away);
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_plan_free(plan);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_driver_refuses_is_not_begun),
        cmocka_unit_test(a_silent_router_that_it_needs_begins_nothing),
        cmocka_unit_test(a_longer_prefix_that_comes_meanwhile_turns_it_back),
        cmocka_unit_test(nothing_is_attached_while_another_site_may_be),
        cmocka_unit_test(the_new_site_serves_while_the_way_back_is_silent),
        cmocka_unit_test(nothing_is_attached_again_while_the_new_site_is_silent),
        cmocka_unit_test(what_is_somebody_elses_is_not_sent_to),
        cmocka_unit_test(stuck_names_every_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
