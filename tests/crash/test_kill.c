/* The controller killed at every journal write and at every driver call of a transaction: `recover` in a
 * fresh process must lead to the pre- or the post-state, and a second recover must change nothing.  Recovery
 * itself is killed too.
 *
 * test-kill [TOPOLOGY SUBNET SITE [DRIVERS]]
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    const char *topology, *subnet, *site, *drivers;
} move = {"three-site.json", "app", "recovery", "sim"};

static char *pre, *post, *lab; /* lab: what the kernels held before; NULL for simulated routers */

/* ---- What a child does. ---- */

static struct {
    unsigned at, seen;
} dying;

static void maybe_die(void *ctx, const char *name)
{
    (void)ctx;
    /* Only the journal's: every driver call is hit by the fault driver, before and after. */
    if (!strncmp(name, "journal-", 8) && ++dying.seen == dying.at)
        kill(getpid(), SIGKILL);
}

enum where { AT_JOURNAL, BEFORE_CALL, AFTER_CALL };

enum task { APPLY, DRILL };

static int child_apply(struct world *w, struct ferry_plan *plan, enum task task, struct ferry_err *err)
{
    enum ferry_txn_state state;
    struct ferry_fleet *fleet = NULL;
    struct ferry_txn *txn = NULL;
    struct ferry_txn_options options = {.kind = "drill", .user = "test"};
    if (task == APPLY)
        return world_apply(w, plan, NULL, &state, NULL, err);
    int r = ferry_fleet_for_topology(&w->config, w->topology, &fleet, err);
    if (!r)
        r = ferry_txn_begin(w->journal, fleet, plan, &options, &txn, NULL, NULL, err);
    if (r < 0)
        return r;
    ferry_txn_hold(txn);
    r = ferry_txn_run(txn, err);
    if (!r)
        r = ferry_txn_abort(txn, "the drill ends", err);
    if (!r)
        r = ferry_txn_run(txn, err);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    return r;
}

/* A fleet's threads may still be on their way out, and a sanitizer's allocator, locked by one, would stay
 * locked in the child.  Waits for them, but not for those that a sanitizer keeps. */
static void wait_until_alone(void)
{
    for (int tries = 0; tries < 200; tries++) {
        struct dirent **names = NULL;
        int n = scandir("/proc/self/task", &names, NULL, NULL);
        for (int i = 0; i < n; i++)
            free(names[i]);
        free(names);
        if (n <= 3) /* ".", ".." and this one */
            return;
        usleep(1000);
    }
}

/* 0: the child came to its end alive.  1: it was killed. */
static int in_child(struct world *w, struct ferry_plan *plan, enum task task, enum where where, unsigned n)
{
    fflush(stdout);
    wait_until_alone();
    pid_t pid = fork();
    if (pid == 0) {
        struct ferry_fault_rule rule = {
            .kind = where == AFTER_CALL ? FERRY_FAULT_CRASH_AFTER : FERRY_FAULT_CRASH_BEFORE, .nth = n};
        struct ferry_fault_script script = {.find = ferry_driver_find, .rules = &rule, .n_rules = 1};
        struct ferry_err err;
        enum ferry_txn_state state;
        int r = ferry_journal_open(&w->env, w->dir, &w->journal, &err); /* SQLite's do not survive a fork */
        w->config.workers = 1; /* the order of calls is the same each time */
        if (where == AT_JOURNAL) {
            dying.at = n;
            w->env.crash_point = maybe_die;
        } else {
            ferry_fault_install(&script);
            w->config.find = ferry_fault_find;
        }
        if (!r)
            r = plan ? child_apply(w, plan, task, &err) : world_recover(w, &state, NULL, &err);
        if (r < 0)
            fprintf(stderr, "child: %s\n", err.text);
        _exit(r < 0 ? 3 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return 1;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return 0;
}

struct counts {
    unsigned kills, pre, post, none, recover_kills;
};

/* Puts a lab back where the move was made, and looks at every byte of it. */
static void as_before(struct world *w, const struct ferry_plan *plan)
{
    struct ferry_err err;
    FERRY_AUTOFREE char *now = world_snapshot(w);
    if (!w->journal)
        assert_int_equal(ferry_journal_open(&w->env, w->dir, &w->journal, &err), 0);
    if (!strcmp(now, post))
        world_lab_restore(w, plan);
    FERRY_AUTOFREE char *state = world_lab_state(w);
    assert_string_equal(state, lab);
}

static void look_after(struct world *w, enum task task, unsigned n, struct counts *counts)
{
    struct ferry_err err;
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_txn_record *record = NULL;
    char journal[2][65], sim[2][65];
    assert_int_equal(ferry_journal_open(&w->env, w->dir, &w->journal, &err), 0);
    world_audit(w);
    /* Recovery is killed too, somewhere else each time, and then runs to its end. */
    for (enum where where = AT_JOURNAL; where <= AFTER_CALL; where++) {
        ferry_journal_close(w->journal);
        counts->recover_kills += (unsigned)in_child(w, NULL, task, where, 1 + n % 17);
        assert_int_equal(ferry_journal_open(&w->env, w->dir, &w->journal, &err), 0);
        world_audit(w);
    }
    watch_start(w->topology);
    w->config.find = watch_find;
    int r = world_recover(w, &state, &record, &err);
    if (r < 0)
        fail_msg("recover: %s", err.text);
    world_audit(w);
    FERRY_AUTOFREE char *now = world_snapshot(w);
    struct ferry_txn_record *last = NULL;
    if (!ferry_journal_get(w->journal, NULL, &last, &err)) {
        if (last->state == FERRY_TXN_COMMITTED) {
            assert_int_equal(task, APPLY);
            assert_string_equal(now, post);
            counts->post++;
        } else {
            assert_int_equal(last->state, FERRY_TXN_UNDONE);
            assert_string_equal(now, pre);
            counts->pre++;
        }
        for (size_t i = 0; i < last->n_hands; i++) { /* killed between the commit and the saving */
            assert_int_equal(last->state, FERRY_TXN_COMMITTED);
            assert_string_equal(last->hands[i].key, "saved configuration");
        }
        assert_true(last->ended_us > 0);
    } else {
        assert_string_equal(now, pre);
        counts->none++;
    }
    FERRY_AUTOFREE char *kernels = lab ? world_lab_state(w) : NULL;
    world_digest(w, "", journal[0]);
    world_digest(w, "sim", sim[0]);
    assert_int_equal(world_recover(w, &state, NULL, &err), 1);
    world_digest(w, "", journal[1]);
    world_digest(w, "sim", sim[1]);
    assert_string_equal(journal[0], journal[1]);
    assert_string_equal(sim[0], sim[1]);
    FERRY_AUTOFREE char *kernels_then = lab ? world_lab_state(w) : NULL;
    if (lab)
        assert_string_equal(kernels, kernels_then);
    assert_int_equal(watch_two_sites(), 0);
    ferry_txn_record_free(record);
    ferry_txn_record_free(last);
}

static void kill_everywhere(enum where where, enum task task)
{
    struct counts counts = {0};
    for (unsigned n = 1; n < 1000; n += world_step()) {
        struct world w;
        world_init(&w, move.topology, move.drivers);
        struct ferry_plan *plan = world_plan(&w, move.subnet, move.site);
        ferry_journal_close(w.journal);
        w.journal = NULL;
        int killed = in_child(&w, plan, task, where, n);
        if (killed) {
            counts.kills++;
            look_after(&w, task, n, &counts);
        }
        if (lab)
            as_before(&w, plan);
        ferry_plan_free(plan);
        world_clear(&w);
        if (!killed)
            break;
    }
    printf(
        "%-14s %-6s killed %-12s %3u times: pre %u, post %u, not begun %u; recovery itself killed %u times\n",
        move.topology, task == APPLY ? "apply" : "drill",
        where == AT_JOURNAL    ? "at journal"
        : where == BEFORE_CALL ? "before call"
                               : "after call",
        counts.kills, counts.pre, counts.post, counts.none, counts.recover_kills);
    assert_true(counts.kills >= (where == AT_JOURNAL ? 6 : 30) / world_step());
    assert_true(counts.pre > 0 || world_step() > 1);
}

#define KILL(name, where, task)                                                                              \
    static void name(void **unused)                                                                          \
    {                                                                                                        \
        (void)unused;                                                                                        \
        kill_everywhere(where, task);                                                                        \
    }
KILL(apply_at_the_journal, AT_JOURNAL, APPLY)
KILL(apply_before_every_call, BEFORE_CALL, APPLY)
KILL(apply_after_every_call, AFTER_CALL, APPLY)
KILL(drill_at_the_journal, AT_JOURNAL, DRILL)
KILL(drill_before_every_call, BEFORE_CALL, DRILL)
KILL(drill_after_every_call, AFTER_CALL, DRILL)

static int expect(void **unused)
{
    struct world w;
    struct ferry_err err;
    enum ferry_txn_state state;
    (void)unused;
    world_init(&w, move.topology, move.drivers);
    struct ferry_plan *plan = world_plan(&w, move.subnet, move.site);
    pre = world_snapshot(&w);
    lab = strcmp(move.drivers, "lab") ? NULL : world_lab_state(&w);
    int r = world_apply(&w, plan, NULL, &state, NULL, &err);
    post = world_snapshot(&w);
    if (lab)
        as_before(&w, plan);
    ferry_plan_free(plan);
    world_clear(&w);
    return r || state != FERRY_TXN_COMMITTED;
}

static int forget(void **unused)
{
    (void)unused;
    free(pre);
    free(post);
    free(lab);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3) {
        move.topology = argv[1];
        move.subnet = argv[2];
        move.site = argv[3];
        move.drivers = argc > 4 ? argv[4] : "sim";
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apply_at_the_journal),    cmocka_unit_test(apply_before_every_call),
        cmocka_unit_test(apply_after_every_call),  cmocka_unit_test(drill_at_the_journal),
        cmocka_unit_test(drill_before_every_call), cmocka_unit_test(drill_after_every_call),
    };
    bool in_lab = !strcmp(move.drivers, "lab");
    if (in_lab && !world_lab_up(move.topology)) {
        printf("SKIPPED: the lab cannot be built\n");
        return 77;
    }
    int r = cmocka_run_group_tests(tests, expect, forget);
    if (in_lab)
        world_lab_down(move.topology);
    return r;
}
