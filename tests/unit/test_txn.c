/* Transactions on simulated routers: stale plans, the lock, rollback and its rollback, drills, aborts, the
 * journal.
 *
 * What happens when routers fail or the controller dies is in tests/crash.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

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

/* ---- The file. ---- */

/* Whether another process could write into the journal now: SQLite's reserved byte (os.h). */
static bool others_may_write(const struct world *w)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", w->journal->state_dir);
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000001, .l_len = 1};
        int fd = open(path, O_RDWR | O_CLOEXEC);
        _exit(fd < 0 || fcntl(fd, F_GETLK, &lock) ? 2 : lock.l_type == F_UNLCK);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    assert_in_range(WEXITSTATUS(status), 0, 1);
    return WEXITSTATUS(status);
}

/* As the daemon's threads do, that look while one of them writes. */
static void opening_it_once_more_keeps_the_locks(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "three-site.json", "sim");
    struct ferry_journal *second = NULL;
    struct ferry_err err;
    struct stat st;
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", w.journal->state_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_true(others_may_write(&w));
    assert_int_equal(sqlite3_exec(w.journal->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_false(others_may_write(&w));
    assert_int_equal(ferry_journal_open(w.journal->env, w.journal->state_dir, &second, &err), 0);
    ferry_journal_close(second);
    assert_false(others_may_write(&w));
    assert_int_equal(sqlite3_exec(w.journal->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    world_clear(&w);
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
    struct world w;
    struct ferry_nexthop hop;
    struct ferry_entry e = foreign_route(5, "10.255.23.1", "to-recovery", &hop);
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    struct ferry_op op = world_route("192.168.1.0/24", &e);
    world_meddle(&w, "edge-third", &op);
    is_stale(&w, plan, "edge-third", "route 192.168.1.0/24 metric 5");
    ferry_plan_free(plan);
    world_clear(&w);
}

static void a_longer_prefix_is_drift(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_nexthop hop;
    struct ferry_entry e = foreign_route(0, "10.255.13.1", "to-primary", &hop);
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    struct ferry_op op = world_route("192.168.1.128/25", &e);
    world_meddle(&w, "edge-third", &op);
    is_stale(&w, plan, "edge-third", "route 192.168.1.128/25 metric 0");
    ferry_plan_free(plan);
    world_clear(&w);
}

static void a_detached_gateway_is_drift(void **unused)
{
    (void)unused;
    struct world w;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    bool found = false;
    for (size_t i = 0; i < plan->n_stages; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
            const struct ferry_change *c = &plan->stages[i].changes[k];
            if (c->kind != FERRY_KIND_GATEWAY || c->after)
                continue;
            struct ferry_op op = ferry_plan_op(plan, c, 0);
            world_meddle(&w, plan->routers[c->router].name, &op);
            found = true;
        }
    assert_true(found);
    is_stale(&w, plan, "edge-primary", "gateway 192.168.1.0/24");
    ferry_plan_free(plan);
    world_clear(&w);
}

static void a_plan_goes_stale_by_being_applied(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    FERRY_AUTOFREE char *moved = world_snapshot(&w);
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_EDRIFT);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, moved);
    assert_int_equal(history_length(&w), 1);
    ferry_plan_free(plan);
    world_clear(&w);
}

static void an_unsafe_plan_is_refused(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    /* Everything at once: loops, and two sites. */
    struct ferry_stage *first = &plan->stages[0], *last = &plan->stages[plan->n_stages - 1], swap = *first;
    assert_true(plan->n_stages > 1);
    *first = *last;
    *last = swap;
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_true(err.rule[0]);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    assert_int_equal(history_length(&w), 0);
    ferry_plan_free(plan);
    world_clear(&w);
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
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_nexthop hop;
    struct ferry_txn_record *record = NULL;
    struct ferry_entry e = foreign_route(metric, "10.255.23.1", "to-recovery", &hop);
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    struct meddler m = {&w, world_route("192.168.1.0/24", &e), "edge-third", 0};
    struct ferry_txn_options options = {.kind = "apply", .progress = meddle_after_stage, .progress_ctx = &m};
    assert_int_equal(world_apply(&w, plan, &options, &state, &record, &err), 0);
    assert_int_equal(m.stage, SIZE_MAX);
    if (state != wanted)
        fail_msg("%s instead of %s: %s", ferry_txn_state_name(state), ferry_txn_state_name(wanted),
                 record->reason);
    assert_non_null(record->reason);
    assert_non_null(strstr(record->reason, "metric"));
    /* The foreign route is still there, and nothing else has changed. */
    struct ferry_op away = ferry_op_swap(&m.op);
    world_meddle(&w, "edge-third", &away);
    if (state == FERRY_TXN_STUCK) {
        assert_int_equal(record->n_hands, 1);
        assert_string_equal(record->hands[0].router, "edge-third");
        assert_int_equal(world_recover(&w, &state, NULL, &err), 0); /* now that it is gone */
        assert_int_equal(state, FERRY_TXN_UNDONE);
    }
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
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

static void begin_and_run(struct world *w, struct ferry_plan *plan, const char *kind, bool hold,
                          struct ferry_fleet **ret_fleet, struct ferry_txn **ret)
{
    struct ferry_err err = {0};
    struct ferry_txn_options options = {.kind = kind};
    assert_int_equal(ferry_fleet_for_topology(&w->config, w->topology, ret_fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(w->journal, *ret_fleet, plan, &options, ret, NULL, NULL, &err), 0);
    if (hold)
        ferry_txn_hold(*ret);
}

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

/* The controller dies when all is done but said, and edge-third comes back with the route that it had at first: no place in the plan
 * fits all routers.  The undo must begin where the others are, at the end: from any earlier stage it would take the subnet from
 * the recovery site without a blackhole under it. */
static void recovery_begins_where_most_keys_fit(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    FERRY_AUTOFREE char *before = world_snapshot(&w);
    begin_and_run(&w, plan, "drill", true, &fleet, &txn);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    unsigned restored = 0;
    for (size_t s = plan->n_stages; s-- > 0;)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (strcmp(plan->routers[c->router].name, "edge-third") != 0)
                continue;
            struct ferry_op op = ferry_plan_op(plan, c, 0), swapped = ferry_op_swap(&op);
            world_meddle(&w, "edge-third", &swapped);
            restored++;
        }
    assert_int_equal(restored, 1);
    fell = false;
    looking = *ferry_driver_find("sim");
    looking.apply = apply_and_look;
    w.config.find = find_looking;
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_false(fell);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, before);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- The lock. ---- */

static void two_at_once_are_refused(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_fleet *fleet = NULL;
    struct ferry_txn *txn = NULL;
    struct ferry_journal *other = NULL;
    struct ferry_txn_options options = {.kind = "apply"};
    world_init(&w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    assert_int_equal(ferry_fleet_for_topology(&w.config, w.topology, &fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(w.journal, fleet, plan, &options, &txn, NULL, NULL, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_READY);
    assert_int_equal(ferry_journal_open(&w.env, w.dir, &other, &err), 0);

    struct ferry_journal *mine = w.journal;
    w.journal = other;
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_ELOCKED);
    assert_non_null(strstr(err.text, ferry_txn_record(txn)->id)); /* the holder */
    assert_int_equal(world_recover(&w, &state, NULL, &err), -FERRY_ELOCKED);
    w.journal = mine;
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_ELOCKED);

    /* Given up without an end: whoever comes next must look after it first. */
    ferry_txn_free(txn);
    w.journal = other;
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unfinished");
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    w.journal = mine;
    ferry_journal_close(other);
    ferry_fleet_free(fleet);
    ferry_plan_free(plan);
    world_clear(&w);
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
        struct world w;
        struct ferry_err err = {0};
        struct ferry_fleet *fleet;
        struct ferry_txn *txn;
        struct ferry_txn_record *record = NULL;
        world_init(&w, "three-site.json", "sim");
        struct ferry_plan *plan = world_plan(&w, "app", "recovery");
        FERRY_AUTOFREE char *before = world_snapshot(&w);
        begin_and_run(&w, plan, "drill", hold, &fleet, &txn);
        assert_int_equal(ferry_txn_run(txn, &err), 0);
        assert_int_equal(ferry_txn_state(txn), hold ? FERRY_TXN_VERIFYING : FERRY_TXN_COMMITTED);
        assert_int_equal(ferry_txn_step(txn, &err), 0); /* it waits */
        FERRY_AUTOFREE char *moved = world_snapshot(&w);
        assert_string_not_equal(moved, before);
        assert_int_equal(ferry_txn_abort(txn, "the drill is over", &err), 0);
        assert_int_equal(ferry_txn_state(txn), FERRY_TXN_UNDOING);
        assert_int_equal(ferry_txn_run(txn, &err), 0);
        assert_int_equal(ferry_txn_state(txn), FERRY_TXN_UNDONE);
        FERRY_AUTOFREE char *now = world_snapshot(&w);
        assert_string_equal(now, before);
        assert_int_equal(ferry_journal_get(w.journal, "last", &record, &err), 0);
        assert_int_equal(record->state, FERRY_TXN_UNDONE);
        assert_string_equal(record->reason, "the drill is over");
        ferry_txn_record_free(record);
        ferry_txn_free(txn);
        ferry_fleet_free(fleet);
        ferry_plan_free(plan);
        world_clear(&w);
    }
}

static void an_abort_after_every_step(void **unused)
{
    (void)unused;
    for (int steps = 0, committed = 0; !committed; steps++) {
        struct world w;
        struct ferry_err err = {0};
        struct ferry_fleet *fleet;
        struct ferry_txn *txn;
        world_init(&w, "three-site.json", "sim");
        struct ferry_plan *plan = world_plan(&w, "app", "recovery");
        FERRY_AUTOFREE char *before = world_snapshot(&w);
        begin_and_run(&w, plan, "apply", false, &fleet, &txn);
        for (int i = 0; i < steps; i++)
            assert_true(ferry_txn_step(txn, &err) >= 0);
        committed = ferry_txn_state(txn) == FERRY_TXN_COMMITTED;
        if (committed) {
            assert_int_equal(ferry_txn_abort(txn, "too late", &err), -FERRY_EUSAGE);
            assert_int_equal(ferry_txn_state(txn), FERRY_TXN_COMMITTED);
        } else {
            assert_int_equal(ferry_txn_abort(txn, "interrupted", &err), 0);
            assert_int_equal(ferry_txn_run(txn, &err), 0);
            assert_int_equal(ferry_txn_state(txn), FERRY_TXN_UNDONE);
            FERRY_AUTOFREE char *now = world_snapshot(&w);
            assert_string_equal(now, before);
        }
        assert_true(steps < 50);
        ferry_txn_free(txn);
        ferry_fleet_free(fleet);
        ferry_plan_free(plan);
        world_clear(&w);
    }
}

/* ---- The journal. ---- */

static void records_say_what_was_done(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_txn_record *record = NULL, *got = NULL;
    world_init(&w, "three-site.json", "sim");
    struct stat st;
    FERRY_AUTOFREE char *file = ferry_asprintf("%s/journal.db", w.dir);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(ferry_journal_get(w.journal, NULL, &got, &err), -FERRY_EUSAGE);
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    assert_int_equal(world_apply(&w, plan, NULL, &state, &record, &err), 0);
    assert_string_equal(record->summary, "app: primary -> recovery");
    assert_string_equal(record->user, "test");
    assert_string_equal(record->plan_id, plan->id);
    assert_int_equal(record->stages_begun, plan->n_stages);
    assert_true(record->ended_us >= record->started_us && record->started_us > 0);
    FERRY_AUTOFREE char *stored = ferry_plan_write(record->plan, true), *given = ferry_plan_write(plan, true);
    assert_string_equal(stored, given);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t c = 0; c < plan->stages[s].n_changes; c++)
            assert_int_equal(ferry_txn_outcome_at(record, s, c, 0), FERRY_DONE);
    struct ferry_outage outage = {.vantage = "edge-third", .ms = 0.75, .lost = 1, .sent = 900};
    assert_int_equal(ferry_journal_add_outage(w.journal, record->id, &outage, 1, &err), 0);
    assert_int_equal(ferry_journal_add_outage(w.journal, "no-such", &outage, 1, &err), -FERRY_EUSAGE);
    char part[24];
    snprintf(part, sizeof part, "%.15s", record->id);
    assert_int_equal(ferry_journal_get(w.journal, part, &got, &err), 0);
    assert_string_equal(got->id, record->id);
    assert_int_equal(got->n_outages, 1);
    assert_string_equal(got->outages[0].vantage, "edge-third");
    assert_true(got->outages[0].ms > 0.74 && got->outages[0].ms < 0.76);
    ferry_txn_record_free(got);
    assert_int_equal(ferry_journal_get(w.journal, "2", &got, &err), 0);
    ferry_txn_record_free(got);
    assert_int_equal(ferry_journal_get(w.journal, "3", &got, &err), -FERRY_EUSAGE);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
}

static void outcomes_are_packed(void **unused)
{
    (void)unused;
    enum ferry_outcome in[301], out[301];
    for (size_t n = 0; n < FERRY_COUNT(in); n++)
        for (unsigned seed = 0; seed < 5; seed++) {
            size_t len = 0;
            for (size_t i = 0; i < n; i++)
                in[i] = (enum ferry_outcome)(seed < 4 ? seed : (i * 7 + i / 5) % 4);
            FERRY_AUTOFREE uint8_t *blob = ferry_outcomes_encode(in, n, &len);
            assert_true(len == 2 || len == 1 + (n + 3) / 4);
            assert_true(seed == 4 || len == 2);
            assert_true(ferry_outcomes_decode(blob, len, out, n));
            assert_memory_equal(in, out, n * sizeof *in);
            assert_false(ferry_outcomes_decode(blob, len + 1, out, n));
            blob[0] = 9;
            assert_false(ferry_outcomes_decode(blob, len, out, n));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_it_once_more_keeps_the_locks),
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
        cmocka_unit_test(records_say_what_was_done),
        cmocka_unit_test(outcomes_are_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
