/* Transactions on simulated routers: stale plans, foreign hands, the lock, rollback and its rollback, drills,
 * aborts.  Their journal: test_txn_journal.c; what happens when routers fail or the controller dies:
 * tests/crash.
 *
 * SPDX-License-Identifier: MIT */
#include "story.h"

#include "base/mem.h"
#include "txn/journal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static size_t history_length(struct world *w)
{
    struct ferry_err err;
    struct ferry_txn_record **list = NULL;
    size_t n = 0;
    assert_int_equal(ferry_journal_list(w->journal, 0, &list, &n, &err), 0);
    for (size_t i = 0; i < n; i++)
        ferry_txn_record_free(list[i]);
    free(list);
    return n;
}

/* ---- Stale plans. ---- */

static struct ferry_entry foreign_route(uint32_t metric, const char *via, const char *dev,
                                        struct ferry_nexthop *hop)
{
    struct ferry_err err;
    *hop = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .weight = 1};
    snprintf(hop->dev, sizeof hop->dev, "%s", dev);
    assert_int_equal(ferry_addr_parse(via, &hop->via, &err), 0);
    return (struct ferry_entry){.type = FERRY_UNICAST,
                                .table = FERRY_TABLE_MAIN,
                                .metric = metric,
                                .protocol = 4,
                                .n_nexthops = 1,
                                .nexthops = hop};
}

/* The plan is refused as stale, naming `router`; nothing is written anywhere. */
static void is_stale(struct world *w, struct ferry_plan *plan, const char *router, const char *key)
{
    struct ferry_err err = {0};
    struct ferry_fleet *fleet = NULL;
    struct ferry_txn *txn = NULL;
    struct ferry_hand *drift = NULL;
    size_t n = 0;
    char before[65], after[65];
    struct ferry_txn_options options = {.kind = "apply"};
    world_digest(w, "sim", before);
    assert_int_equal(ferry_fleet_for_topology(&w->config, w->topology, &fleet, &err), 0);
    assert_int_equal(ferry_txn_precheck(fleet, plan, &drift, &n, &err), -FERRY_EDRIFT);
    ferry_hands_free(drift, n);
    drift = NULL;
    assert_int_equal(ferry_txn_begin(w->journal, fleet, plan, &options, &txn, &drift, &n, &err),
                     -FERRY_EDRIFT);
    assert_null(txn);
    bool named = false;
    for (size_t i = 0; i < n; i++)
        named |= !strcmp(drift[i].router, router) && !strcmp(drift[i].key, key);
    if (!named)
        fail_msg("%s %s is not among the drift; the error is: %s", router, key, err.text);
    ferry_hands_free(drift, n);
    ferry_fleet_free(fleet);
    world_digest(w, "sim", after);
    assert_string_equal(before, after);
    assert_int_equal(history_length(w), 0);
}

static void a_changed_route_is_drift(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_nexthop hop;
    struct ferry_entry e = foreign_route(5, "10.255.23.1", "to-recovery", &hop);
    story_init(&s);
    struct ferry_op op = world_route("192.168.1.0/24", &e);
    world_meddle(&s.w, "edge-third", &op);
    is_stale(&s.w, s.plan, "edge-third", "route 192.168.1.0/24 metric 5");
    story_clear(&s);
}

static void a_longer_prefix_is_drift(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_nexthop hop;
    struct ferry_entry e = foreign_route(0, "10.255.13.1", "to-primary", &hop);
    story_init(&s);
    struct ferry_op op = world_route("192.168.1.128/25", &e);
    world_meddle(&s.w, "edge-third", &op);
    is_stale(&s.w, s.plan, "edge-third", "route 192.168.1.128/25 metric 0");
    story_clear(&s);
}

static void a_detached_gateway_is_drift(void **unused)
{
    (void)unused;
    struct story s;
    story_init(&s);
    bool found = false;
    for (size_t i = 0; i < s.plan->n_stages; i++)
        for (size_t k = 0; k < s.plan->stages[i].n_changes; k++) {
            const struct ferry_change *c = &s.plan->stages[i].changes[k];
            if (c->kind != FERRY_KIND_GATEWAY || c->after)
                continue;
            struct ferry_op op = ferry_plan_op(s.plan, c, 0);
            world_meddle(&s.w, s.plan->routers[c->router].name, &op);
            found = true;
        }
    assert_true(found);
    is_stale(&s.w, s.plan, "edge-primary", "gateway 192.168.1.0/24");
    story_clear(&s);
}

static void a_plan_goes_stale_by_being_applied(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init(&s);
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    FERRY_AUTOFREE char *moved = world_snapshot(&s.w);
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_EDRIFT);
    story_holds(&s, moved);
    assert_int_equal(history_length(&s.w), 1);
    story_clear(&s);
}

static void an_unsafe_plan_is_refused(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init(&s);
    /* Everything at once: loops, and two sites. */
    struct ferry_stage *first = &s.plan->stages[0], *last = &s.plan->stages[s.plan->n_stages - 1],
                       swap = *first;
    assert_true(s.plan->n_stages > 1);
    *first = *last;
    *last = swap;
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_true(err.rule[0]);
    story_holds(&s, s.before);
    assert_int_equal(history_length(&s.w), 0);
    story_clear(&s);
}

/* ---- A foreign hand in the middle. ---- */

struct meddler {
    struct world *w;
    struct ferry_op op;
    const char *router;
    size_t stage;
};

static void meddle_after_stage(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    struct meddler *m = ctx;
    (void)text;
    if (event == FERRY_EVENT_STAGE_DONE && stage == m->stage) {
        world_meddle(m->w, m->router, &m->op);
        m->stage = SIZE_MAX;
    }
}

/* At what stage the transaction ends, somebody having put `e` on a router after the first. */
static void meddled(uint32_t metric, enum ferry_txn_state wanted)
{
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_nexthop hop;
    struct ferry_txn_record *record = NULL;
    struct ferry_entry e = foreign_route(metric, "10.255.23.1", "to-recovery", &hop);
    story_init(&s);
    struct meddler m = {&s.w, world_route("192.168.1.0/24", &e), "edge-third", 0};
    struct ferry_txn_options options = {.kind = "apply", .progress = meddle_after_stage, .progress_ctx = &m};
    assert_int_equal(world_apply(&s.w, s.plan, &options, &state, &record, &err), 0);
    assert_int_equal(m.stage, SIZE_MAX);
    if (state != wanted)
        fail_msg("%s instead of %s: %s", ferry_txn_state_name(state), ferry_txn_state_name(wanted),
                 record->reason);
    assert_non_null(record->reason);
    assert_non_null(strstr(record->reason, "metric"));
    /* The foreign route is still there, and nothing else has changed. */
    struct ferry_op away = ferry_op_swap(&m.op);
    world_meddle(&s.w, "edge-third", &away);
    if (state == FERRY_TXN_STUCK) {
        assert_int_equal(record->n_hands, 1);
        assert_string_equal(record->hands[0].router, "edge-third");
        assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0); /* now that it is gone */
        assert_int_equal(state, FERRY_TXN_UNDONE);
    }
    story_holds(&s, s.before);
    ferry_txn_record_free(record);
    story_clear(&s);
}

static void a_foreign_backup_makes_it_undo(void **unused)
{
    (void)unused;
    meddled(4000, FERRY_TXN_UNDONE);
}

static void a_foreign_better_route_needs_a_hand(void **unused)
{
    (void)unused;
    meddled(5, FERRY_TXN_STUCK);
}

/* ---- A router with an older configuration. ---- */

static _Atomic bool fell; /* some router was left without anything for the prefix */

static int apply_and_look(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    const struct ferry_driver_ops *sim = ferry_driver_find("sim");
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct ferry_query_item item = {.prefix = ops[i].prefix, .table = FERRY_TABLE_MAIN};
        struct ferry_query query = {.items = &item, .n = 1};
        struct ferry_fib fib = {0};
        bool holds = false;
        r = sim->apply(driver, &ops[i], 1, err);
        if (!r)
            r = sim->read(driver, &query, &fib, err);
        for (size_t k = 0; k < fib.n; k++)
            holds |= fib.items[k].relation == FERRY_EXACT;
        fell = fell || (r == 0 && !holds);
        ferry_fib_clear(&fib);
    }
    return r;
}

static struct ferry_driver_ops looking;

static const struct ferry_driver_ops *find_looking(const char *type) /* from every worker's thread */
{
    (void)type;
    return &looking;
}

/* The controller dies when all is done but said, and edge-third comes back with the route that it had at
 * first: no place in the plan fits all routers.  The undo must begin where the others are, at the end: from
 * any earlier stage it would take the subnet from the recovery site without a blackhole under it. */
static void recovery_begins_where_most_keys_fit(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init(&s);
    story_begin(&s, "drill");
    ferry_txn_hold(s.txn);
    assert_int_equal(ferry_txn_run(s.txn, &err), 0);
    story_leave(&s);
    unsigned restored = 0;
    for (size_t stage = s.plan->n_stages; stage-- > 0;)
        for (size_t i = 0; i < s.plan->stages[stage].n_changes; i++) {
            const struct ferry_change *c = &s.plan->stages[stage].changes[i];
            if (strcmp(s.plan->routers[c->router].name, "edge-third") != 0)
                continue;
            struct ferry_op op = ferry_plan_op(s.plan, c, 0), swapped = ferry_op_swap(&op);
            world_meddle(&s.w, "edge-third", &swapped);
            restored++;
        }
    assert_int_equal(restored, 1);
    fell = false;
    looking = *ferry_driver_find("sim");
    looking.apply = apply_and_look;
    s.w.config.find = find_looking;
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_false(fell);
    story_holds(&s, s.before);
    story_clear(&s);
}

/* ---- The lock. ---- */

static void two_at_once_are_refused(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_journal *other = NULL;
    story_init(&s);
    story_begin(&s, "apply");
    assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_READY);
    assert_int_equal(ferry_journal_open(&s.w.env, s.w.dir, &other, &err), 0);

    struct ferry_journal *mine = s.w.journal;
    s.w.journal = other;
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_ELOCKED);
    assert_non_null(strstr(err.text, ferry_txn_record(s.txn)->id)); /* the holder */
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), -FERRY_ELOCKED);
    s.w.journal = mine;
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_ELOCKED);

    /* Given up without an end: whoever comes next must look after it first. */
    story_leave(&s);
    s.w.journal = other;
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unfinished");
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    s.w.journal = mine;
    ferry_journal_close(other);
    story_clear(&s);
}

/* ---- Rollback, drill, abort. ---- */

static void roll_back(struct world *w, const char *id, char *ret_id)
{
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_txn_record *undone = NULL, *record = NULL;
    struct ferry_plan *reverse = NULL;
    assert_int_equal(ferry_journal_get(w->journal, id, &undone, &err), 0);
    assert_int_equal(undone->state, FERRY_TXN_COMMITTED);
    assert_int_equal(ferry_plan_reverse(undone->plan, &reverse, &err), 0);
    struct ferry_txn_options options = {.kind = "rollback", .undoes = undone->id, .user = "test"};
    int r = world_apply(w, reverse, &options, &state, &record, &err);
    if (r)
        fail_msg("rollback: %s", err.text);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    assert_string_equal(record->kind, "rollback");
    assert_string_equal(record->undoes, undone->id);
    strcpy(ret_id, record->id);
    /* Nothing can be rolled back twice. */
    assert_int_equal(world_apply(w, reverse, &options, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "not-committed");
    ferry_txn_record_free(undone);
    assert_int_equal(ferry_journal_get(w->journal, id, &undone, &err), 0);
    assert_int_equal(undone->state, FERRY_TXN_UNDONE);
    ferry_txn_record_free(undone);
    ferry_txn_record_free(record);
    ferry_plan_free(reverse);
}

static void a_rollback_and_its_rollback(void **unused)
{
    (void)unused;
    static const struct {
        const char *topology, *subnet, *site;
    } moves[] = {{"three-site.json", "app", "recovery"},
                 {"two-gateways.json", NULL, NULL},
                 {"dual-stack.json", NULL, NULL}};
    for (size_t i = 0; i < FERRY_COUNT(moves); i++) {
        struct world w;
        struct ferry_err err = {0};
        enum ferry_txn_state state;
        struct ferry_txn_record *record = NULL;
        char back[24], again[24];
        world_init(&w, moves[i].topology, "sim");
        const char *subnet = moves[i].subnet ? moves[i].subnet : w.topology->subnets[0].name,
                   *site = moves[i].site;
        for (size_t s = 0; !site && s < w.topology->subnets[0].n_gateways; s++) {
            uint32_t at = w.topology->routers[w.topology->subnets[0].gateways[s].router].site;
            if (at != w.topology->subnets[0].home)
                site = w.topology->sites[at].name;
        }
        struct ferry_plan *plan = world_plan(&w, subnet, site);
        FERRY_AUTOFREE char *before = world_snapshot(&w);
        watch_start(w.topology);
        w.config.find = watch_find;
        assert_int_equal(world_apply(&w, plan, NULL, &state, &record, &err), 0);
        assert_int_equal(state, FERRY_TXN_COMMITTED);
        FERRY_AUTOFREE char *moved = world_snapshot(&w);
        roll_back(&w, record->id, back);
        FERRY_AUTOFREE char *now = world_snapshot(&w);
        assert_string_equal(now, before);
        roll_back(&w, back, again);
        FERRY_AUTOFREE char *then = world_snapshot(&w);
        assert_string_equal(then, moved);
        assert_int_equal(watch_two_sites(), 0);
        ferry_txn_record_free(record);
        ferry_plan_free(plan);
        world_clear(&w);
    }
}

static void a_drill_leaves_nothing_behind(void **unused)
{
    (void)unused;
    for (int hold = 0; hold < 2; hold++) {
        struct story s;
        struct ferry_err err = {0};
        struct ferry_txn_record *record = NULL;
        story_init(&s);
        story_begin(&s, "drill");
        if (hold)
            ferry_txn_hold(s.txn);
        assert_int_equal(ferry_txn_run(s.txn, &err), 0);
        assert_int_equal(ferry_txn_state(s.txn), hold ? FERRY_TXN_VERIFYING : FERRY_TXN_COMMITTED);
        assert_int_equal(ferry_txn_step(s.txn, &err), 0); /* it waits */
        FERRY_AUTOFREE char *moved = world_snapshot(&s.w);
        assert_string_not_equal(moved, s.before);
        assert_int_equal(ferry_txn_abort(s.txn, "the drill is over", &err), 0);
        assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_UNDOING);
        assert_int_equal(ferry_txn_run(s.txn, &err), 0);
        assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_UNDONE);
        story_holds(&s, s.before);
        assert_int_equal(ferry_journal_get(s.w.journal, "last", &record, &err), 0);
        assert_int_equal(record->state, FERRY_TXN_UNDONE);
        assert_string_equal(record->reason, "the drill is over");
        ferry_txn_record_free(record);
        story_clear(&s);
    }
}

static void an_abort_after_every_step(void **unused)
{
    (void)unused;
    for (int steps = 0, committed = 0; !committed; steps++) {
        struct story s;
        struct ferry_err err = {0};
        story_init(&s);
        story_begin(&s, "apply");
        for (int i = 0; i < steps; i++)
            assert_true(ferry_txn_step(s.txn, &err) >= 0);
        committed = ferry_txn_state(s.txn) == FERRY_TXN_COMMITTED;
        if (committed) {
            assert_int_equal(ferry_txn_abort(s.txn, "too late", &err), -FERRY_EUSAGE);
            assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_COMMITTED);
        } else {
            assert_int_equal(ferry_txn_abort(s.txn, "interrupted", &err), 0);
            assert_int_equal(ferry_txn_run(s.txn, &err), 0);
            assert_int_equal(ferry_txn_state(s.txn), FERRY_TXN_UNDONE);
            story_holds(&s, s.before);
        }
        assert_true(steps < 50);
        story_clear(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_route_is_drift),
        cmocka_unit_test(a_longer_prefix_is_drift),
        cmocka_unit_test(a_detached_gateway_is_drift),
        cmocka_unit_test(a_plan_goes_stale_by_being_applied),
        cmocka_unit_test(an_unsafe_plan_is_refused),
        cmocka_unit_test(a_foreign_backup_makes_it_undo),
        cmocka_unit_test(a_foreign_better_route_needs_a_hand),
        cmocka_unit_test(recovery_begins_where_most_keys_fit),
        cmocka_unit_test(two_at_once_are_refused),
        cmocka_unit_test(a_rollback_and_its_rollback),
        cmocka_unit_test(a_drill_leaves_nothing_behind),
        cmocka_unit_test(an_abort_after_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
