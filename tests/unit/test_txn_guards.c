/* Guards of the engine that stand behind another one, each met alone: a driver that says no, a longer prefix
 * that comes while it moves, a gateway that nobody has read, a way back that is silent.  Simulated routers.
 *
 * SPDX-License-Identifier: MIT */
#include "story.h"

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
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init(&s);
    struct ferry_fault_rule rule = {
        .kind = FERRY_FAULT_ERROR, .call = FERRY_FAULT_CHECK, .router = "edge-recovery", .nth = 1};
    story_break(&s, &rule);
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "precheck");
    assert_int_equal(rule.fired, 1);
    story_mend(&s);
    story_holds(&s, s.before);
    story_clear(&s);
}

/* C2: what nobody has read is not compared, and its plan may be stale. */
static void a_silent_router_that_it_needs_begins_nothing(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init(&s);
    struct ferry_fault_rule rule = {
        .kind = FERRY_FAULT_ERROR, .call = FERRY_FAULT_READ, .router = "edge-recovery", .nth = 1};
    story_break(&s, &rule);
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unreachable");
    assert_non_null(strstr(err.text, "edge-recovery"));
    story_mend(&s);
    story_holds(&s, s.before);
    story_clear(&s);
}

/* Whoever recovers it reads the plan from the journal, and from nowhere else. */
static void what_could_not_be_read_again_is_not_begun(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    struct ferry_txn_record **list = NULL;
    enum ferry_txn_state state;
    size_t n = 1;
    story_init(&s);
    s.plan->attest = ferry_strdup("f\xfcr tot");
    ferry_plan_seal(s.plan);
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unreadable");
    assert_non_null(strstr(err.text, "/attest: not UTF-8"));
    assert_int_equal(ferry_journal_list(s.w.journal, 0, &list, &n, &err), 0);
    assert_int_equal(n, 0);
    free(list);
    story_holds(&s, s.before);
    story_clear(&s);
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
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_txn_record *record = NULL;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1, .dev = "to-primary"};
    struct ferry_entry e = {
        .type = FERRY_UNICAST, .table = FERRY_TABLE_MAIN, .protocol = 4, .n_nexthops = 1, .nexthops = &hop};
    assert_int_equal(ferry_addr_parse("10.255.13.1", &hop.via, &err), 0);
    story_init(&s);
    struct meddler m = {.w = &s.w, .op = world_route("192.168.1.128/25", &e)};
    struct ferry_txn_options options = {
        .kind = "apply", .progress = meddle_after_the_first, .progress_ctx = &m};
    assert_int_equal(world_apply(&s.w, s.plan, &options, &state, &record, &err), 0);
    assert_true(m.done);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_non_null(strstr(record->reason, "192.168.1.128/25"));
    story_holds(&s, s.before);
    ferry_txn_record_free(record);
    story_clear(&s);
}

/* The interlock, without the proof and the read-back that stand before it: X1 is all it has to go by. */
static void nothing_is_attached_while_another_site_may_be(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    story_init(&s);
    story_begin(&s, "apply");
    while (s.txn->stage < s.plan->n_stages && s.plan->stages[s.txn->stage].phase != FERRY_ATTACH)
        assert_true(ferry_txn_step(s.txn, &err) >= 0);
    assert_true(s.txn->stage < s.plan->n_stages);
    const struct ferry_plan_subnet *subnet = &s.plan->groups[0].subnets[0];
    assert_int_equal(subnet->n_gateways, 2);
    for (size_t k = 0; k < subnet->n_gateways; k++)
        assert_int_equal(s.txn->interlock.state[s.txn->interlock.offset[0][0] + k], FERRY_DETACHED);
    memset(&s.txn->interlock.state[s.txn->interlock.offset[0][0]], FERRY_ATTACHED_UNKNOWN,
           subnet->n_gateways);
    assert_true(ferry_txn_step(s.txn, &err) >= 0);
    assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_UNDOING);
    assert_non_null(strstr(s.txn->record.reason, "edge-primary is attached or announces it, or may"));
    assert_int_equal(ferry_txn_run(s.txn, &err), 0);
    assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_UNDONE);
    story_holds(&s, s.before);
    story_clear(&s);
}

/* ---- Backward. ---- */

/* Turns back, and at the undo of `phase` a router falls silent: stuck.  It answers again after that. */
static void story_falls_silent(struct story *s, enum ferry_phase phase, const char *router)
{
    struct ferry_err err = {0};
    struct ferry_fault_rule rule = {.kind = FERRY_FAULT_DISCONNECT, .router = "nobody yet"};
    story_break(s, &rule);
    story_turn_back(s);
    while (s->txn->stage && s->plan->stages[s->txn->stage - 1].phase != phase)
        assert_true(ferry_txn_step(s->txn, &err) >= 0);
    assert_true(s->txn->stage > 0);
    rule.router = router; /* no call is under way */
    assert_int_equal(ferry_txn_run(s->txn, &err), 0);
    assert_int_equal(ferry_txn_state(s->txn), FERRY_TXN_STUCK);
    assert_true(rule.fired > 0);
    story_leave(s);
    story_mend(s);
}

/* The old gateway cannot take the subnet up again as long as its router is silent, so the new one keeps it. */
static void the_new_site_serves_while_the_way_back_is_silent(void **unused)
{
    (void)unused;
    struct story s;
    story_init(&s);
    story_falls_silent(&s, FERRY_ATTACH, "edge-primary");
    FERRY_AUTOFREE char *kept = world_snapshot(&s.w);
    assert_non_null(strstr(kept, "edge-recovery app gateway"));
    story_recover(&s);
    story_clear(&s);
}

/* U3, where U2 is content: the new gateway was read as detached, and is silent when the old one's turn has come. */
static void nothing_is_attached_again_while_the_new_site_is_silent(void **unused)
{
    (void)unused;
    struct story s;
    story_init(&s);
    story_falls_silent(&s, FERRY_DETACH, "edge-recovery");
    FERRY_AUTOFREE char *kept = world_snapshot(&s.w);
    assert_null(strstr(kept, "edge-primary app gateway"));
    story_recover(&s);
    story_clear(&s);
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
    struct story s;
    struct ferry_err err = {0};
    struct ferry_entry theirs = {.type = FERRY_PROHIBIT, .table = FERRY_TABLE_MAIN, .protocol = 4};
    story_init(&s);
    const struct ferry_change *c = NULL;
    for (size_t i = 0; i < s.plan->stages[0].n_changes; i++)
        if (!strcmp(s.plan->routers[s.plan->stages[0].changes[i].router].name, "edge-third"))
            c = &s.plan->stages[0].changes[i];
    assert_true(c && c->before && c->after);
    noting = *ferry_driver_find("sim");
    noting.apply = apply_and_note;
    s.w.config.find = find_noting;
    noted = ferry_plan_op(s.plan, c, 0);
    n_noted = 0;
    story_begin(&s, "drill");
    ferry_txn_hold(s.txn);
    assert_int_equal(ferry_txn_run(s.txn, &err), 0);
    theirs.metric = c->metric;
    struct ferry_op op = noted;
    op.before = noted.after;
    op.after = &theirs;
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(ferry_txn_abort(s.txn, "the drill is over", &err), 0);
    assert_int_equal(ferry_txn_run(s.txn, &err), 0);
    assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_STUCK);
    assert_int_equal(n_noted, 0);
    story_leave(&s);
    s.w.config.find = ferry_driver_find;
    struct ferry_op away = ferry_op_swap(&op);
    world_meddle(&s.w, "edge-third", &away); /* it is there still */
    story_clear(&s);
}

/* Each key that is not as it was is a hand of its own: who mends the first one only has not mended all. */
static void stuck_names_every_difference(void **unused)
{
    static const char *const routers[] = {"edge-recovery", "edge-third"}; /* who have no gateway then */
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    struct ferry_entry theirs = {
        .type = FERRY_PROHIBIT, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = 4};
    story_init(&s);
    story_begin(&s, "drill");
    ferry_txn_hold(s.txn);
    assert_int_equal(ferry_txn_run(s.txn, &err), 0);
    struct ferry_op op = world_route("192.168.1.0/24", &theirs), away = ferry_op_swap(&op);
    for (size_t i = 0; i < FERRY_COUNT(routers); i++)
        world_meddle(&s.w, routers[i], &op);
    assert_int_equal(ferry_txn_abort(s.txn, "the drill is over", &err), 0);
    assert_int_equal(ferry_txn_run(s.txn, &err), 0);
    assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_STUCK);
    const struct ferry_txn_record *record = ferry_txn_record(s.txn);
    for (size_t i = 0; i < FERRY_COUNT(routers); i++) {
        unsigned n = 0;
        for (size_t h = 0; h < record->n_hands; h++)
            n += !strcmp(record->hands[h].router, routers[i]) && strstr(record->hands[h].key, "metric 5");
        assert_int_equal(n, 1);
    }
    story_leave(&s);
    for (size_t i = 0; i < FERRY_COUNT(routers); i++)
        world_meddle(&s.w, routers[i], &away);
    story_recover(&s);
    story_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_driver_refuses_is_not_begun),
        cmocka_unit_test(a_silent_router_that_it_needs_begins_nothing),
        cmocka_unit_test(what_could_not_be_read_again_is_not_begun),
        cmocka_unit_test(a_longer_prefix_that_comes_meanwhile_turns_it_back),
        cmocka_unit_test(nothing_is_attached_while_another_site_may_be),
        cmocka_unit_test(the_new_site_serves_while_the_way_back_is_silent),
        cmocka_unit_test(nothing_is_attached_again_while_the_new_site_is_silent),
        cmocka_unit_test(what_is_somebody_elses_is_not_sent_to),
        cmocka_unit_test(stuck_names_every_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
