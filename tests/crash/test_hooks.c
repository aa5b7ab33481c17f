/* Hooks and pauses: failing at every program, cut off at every write of the journal and around every program,
 * while paused and while a paused move goes on.
 *
 * The programs here are a function that writes down what is switched on; `run` switches on, `undo` off.
 * Whatever happens: a committed move has everything on, an undone one nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TOPOLOGY "../tests/fixtures/topology/valid/hooks.json"

/* ---- Programs: argv[1] names the switch. ---- */

static struct {
    const struct world *w;
    unsigned calls, fail_run, fail_undo; /* the n-th run fails; all undos from the n-th on */
    unsigned undos;
} programs;

static char *switch_path(const struct world *w, const char *name)
{
    return ferry_asprintf("%s/switch-%s", w->dir, name);
}

static void run_program(void *ctx, const struct ferry_program *p, struct ferry_program_end *ret)
{
    (void)ctx;
    bool undo = false;
    for (char *const *e = p->envp; *e; e++)
        undo |= !strcmp(*e, "FERRY_ACTION=undo");
    FERRY_AUTOFREE char *path = switch_path(programs.w, p->argv[1]);
    bool fails = undo ? programs.fail_undo && ++programs.undos >= programs.fail_undo
                      : ++programs.calls == programs.fail_run;
    assert_true(strstr(p->input, "app 192.168.1.0/24 ") == p->input);
    if (!undo) { /* also one that fails has done half of its work */
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fclose(f);
    } else if (!fails) {
        unlink(path);
    }
    *ret = (struct ferry_program_end){.status = fails ? 7 : 0,
                                      .output = ferry_strdup(fails ? "some words\nit broke\n" : "fine\n")};
}

static const char *const switches[] = {"freeze", "stop-app", "ship", "start-app", "report"};

/* How many are on. */
static unsigned on(const struct world *w)
{
    unsigned n = 0;
    for (size_t i = 0; i < FERRY_COUNT(switches); i++) {
        FERRY_AUTOFREE char *path = switch_path(w, switches[i]);
        n += access(path, F_OK) == 0;
    }
    FERRY_AUTOFREE char *never = switch_path(w, "only-back"); /* it has nothing to take back */
    assert_int_not_equal(access(never, F_OK), 0);
    return n;
}

static void init(struct world *w)
{
    world_init(w, TOPOLOGY, "sim");
    w->env.run_program = run_program;
    memset(&programs, 0, sizeof programs);
    programs.w = w;
}

/* ---- Moving, with a person who lets every pause pass, here or from the journal. ---- */

enum person { HERE, LATER };

static int begin(struct world *w, struct ferry_plan *plan, const char *kind, struct ferry_fleet **fleet,
                 struct ferry_txn **txn, struct ferry_err *err)
{
    struct ferry_txn_options options = {.kind = kind, .user = "test"};
    int r = ferry_fleet_for_topology(&w->config, w->topology, fleet, err);
    return r < 0 ? r : ferry_txn_begin(w->journal, *fleet, plan, &options, txn, NULL, NULL, err);
}

static int pass(struct ferry_txn *txn, struct ferry_err *err)
{
    const struct ferry_txn_hook *h = ferry_txn_paused_at(ferry_txn_record(txn));
    assert_non_null(h);
    int r = ferry_txn_pass(txn, h->state == FERRY_HOOK_FAILED ? FERRY_RETRY : FERRY_RESUME, "person", err);
    return r < 0 ? r : ferry_txn_run(txn, err);
}

static int take_up(struct world *w, enum ferry_pass how, struct ferry_txn **txn, struct ferry_err *err)
{
    struct ferry_txn_options options = {.user = "person", .topology = w->topology};
    struct ferry_hand *drift = NULL;
    size_t n = 0;
    int r = ferry_txn_take_up(w->journal, &w->config, &options, NULL, how, txn, &drift, &n, err);
    assert_int_equal(r == -FERRY_EDRIFT, n > 0);
    ferry_hands_free(drift, n);
    return r;
}

/* Takes up what is paused and runs on until it is not. */
static int go_on(struct world *w, enum ferry_txn_state *ret, struct ferry_err *err)
{
    int r = 0;
    *ret = FERRY_TXN_PAUSED;
    while (r == 0 && *ret == FERRY_TXN_PAUSED) {
        struct ferry_txn *txn = NULL;
        r = take_up(w, FERRY_RESUME, &txn, err);
        if (r == -FERRY_EREFUSED)
            r = take_up(w, FERRY_RETRY, &txn, err);
        if (r == 0)
            r = ferry_txn_run(txn, err);
        if (r == 0)
            *ret = ferry_txn_state(txn);
        ferry_txn_free(txn);
    }
    return r;
}

static int move_all(struct world *w, struct ferry_plan *plan, enum person person, enum ferry_txn_state *ret,
                    struct ferry_err *err)
{
    struct ferry_fleet *fleet = NULL;
    struct ferry_txn *txn = NULL;
    int r = begin(w, plan, "apply", &fleet, &txn, err);
    if (r == 0)
        r = ferry_txn_run(txn, err);
    while (r == 0 && person == HERE && ferry_txn_state(txn) == FERRY_TXN_PAUSED)
        r = pass(txn, err);
    if (r == 0)
        *ret = ferry_txn_state(txn);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    return r == 0 && *ret == FERRY_TXN_PAUSED ? go_on(w, ret, err) : r;
}

static struct ferry_txn_record *last(struct world *w)
{
    struct ferry_err err;
    struct ferry_txn_record *record = NULL;
    if (ferry_journal_get(w->journal, NULL, &record, &err) < 0)
        fail_msg("%s", err.text);
    return record;
}

static char *pre, *post;

static int expect(void **unused)
{
    struct world w;
    struct ferry_err err;
    enum ferry_txn_state state = FERRY_TXN_READY;
    (void)unused;
    init(&w);
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    pre = world_snapshot(&w);
    assert_int_equal(move_all(&w, plan, HERE, &state, &err), 0);
    post = world_snapshot(&w);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    assert_int_equal(on(&w), FERRY_COUNT(switches));
    assert_string_not_equal(pre, post);
    ferry_plan_free(plan);
    world_clear(&w);
    return 0;
}

static int forget(void **unused)
{
    (void)unused;
    free(pre);
    free(post);
    return 0;
}

/* ---- The order, the marks, the way back as a transaction of its own. ---- */

static void test_there_and_back(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_plan *undo = NULL;
    init(&w);
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    assert_int_equal(move_all(&w, plan, LATER, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    struct ferry_txn_record *record = last(&w);
    assert_int_equal(record->n_hooks, 7);
    for (size_t i = 0; i < record->n_hooks; i++) {
        const struct ferry_txn_hook *h = &record->hooks[i];
        assert_true(i == 0 || record->hooks[i - 1].hook.at <= h->hook.at);
        assert_int_equal(h->state, h->hook.run || h->hook.pause ? FERRY_HOOK_DONE : FERRY_HOOK_WAITING);
        if (h->hook.run)
            assert_string_equal(h->output, "fine\n");
        if (h->hook.pause)
            assert_string_equal(h->user, "person");
    }
    assert_int_equal(ferry_plan_reverse(record->plan, &undo, &err), 0);
    assert_int_equal(undo->hooks.n, 7);
    assert_int_equal(undo->hooks.v[0].at, FERRY_BEFORE_PREPARE);
    assert_string_equal(undo->hooks.v[0].run[1], "report");
    /* `undo` of the hooks is what the rollback runs, so everything goes off, by programs that are told to run. */
    for (size_t i = 0; i < FERRY_COUNT(switches); i++) {
        FERRY_AUTOFREE char *path = switch_path(&w, switches[i]);
        unlink(path);
    }
    assert_int_equal(move_all(&w, undo, HERE, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, pre);
    for (size_t i = 0; i < FERRY_COUNT(switches); i++) {
        FERRY_AUTOFREE char *path = switch_path(&w, switches[i]);
        assert_int_equal(access(path, F_OK), 0);
    }
    ferry_txn_record_free(record);
    ferry_plan_free(undo);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- Every program fails in turn. ---- */

static void test_every_hook_fails(void **unused)
{
    (void)unused;
    unsigned undone = 0, retried = 0, n;
    for (n = 1; n < 20; n++) {
        struct world w;
        struct ferry_err err;
        enum ferry_txn_state state = FERRY_TXN_READY;
        init(&w);
        programs.fail_run = n;
        struct ferry_plan *plan = world_plan(&w, "app", "recovery");
        assert_int_equal(move_all(&w, plan, n % 2 ? HERE : LATER, &state, &err), 0);
        FERRY_AUTOFREE char *now = world_snapshot(&w);
        struct ferry_txn_record *record = last(&w);
        if (state == FERRY_TXN_UNDONE) {
            assert_string_equal(now, pre);
            assert_int_equal(on(&w), 0);
            assert_non_null(strstr(record->reason, "exit status 7: it broke"));
            undone++;
        } else {
            assert_int_equal(state, FERRY_TXN_COMMITTED);
            assert_string_equal(now, post);
            assert_int_equal(on(&w), FERRY_COUNT(switches));
            for (size_t i = 0; i < record->n_hooks; i++)
                retried += record->hooks[i].tries > 1;
        }
        bool clean = programs.calls < n;
        ferry_txn_record_free(record);
        ferry_plan_free(plan);
        world_clear(&w);
        if (clean)
            break;
    }
    assert_int_equal(n, 6); /* five programs, and a run in which none fails */
    assert_int_equal(undone, 4);
    assert_int_equal(retried, 1); /* the one that pauses */
}

/* The routers go back although an `undo` fails; a person hears of it; recover tries again. */
static void test_undo_fails(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    enum ferry_txn_state state = FERRY_TXN_READY;
    init(&w);
    programs.fail_run = 5; /* report, after everything else */
    programs.fail_undo = 2;
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    assert_int_equal(move_all(&w, plan, HERE, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_STUCK);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, pre);
    assert_int_equal(on(&w), 4);
    struct ferry_txn_record *record = last(&w);
    assert_int_equal(record->n_hands, 4);
    assert_string_equal(record->hands[0].router, "-");
    assert_string_equal(record->hands[0].found, "its undo failed");
    ferry_txn_record_free(record);
    programs.fail_undo = 0;
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_int_equal(on(&w), 0);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- Paused. ---- */

/* Paused before detach: the first pause of the topology. */
static struct ferry_plan *paused(struct world *w)
{
    struct ferry_err err;
    struct ferry_fleet *fleet = NULL;
    struct ferry_txn *txn = NULL;
    init(w);
    struct ferry_plan *plan = world_plan(w, "app", "recovery");
    assert_int_equal(begin(w, plan, "apply", &fleet, &txn, &err), 0);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_PAUSED);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    assert_int_equal(on(w), 2);
    return plan;
}

static void test_wrong_verbs(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_txn *txn = NULL;
    struct ferry_txn_record *record = NULL;
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_plan *plan = paused(&w);
    assert_int_equal(take_up(&w, FERRY_RETRY, &txn, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "pause");
    struct ferry_txn_options options = {.kind = "apply", .user = "test"};
    assert_int_equal(ferry_txn_confirm(w.journal, &w.config, &options, NULL, &record, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "not-awaiting");
    assert_int_equal(world_apply(&w, plan, NULL, &state, NULL, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unfinished");
    assert_int_equal(world_recover(&w, &state, NULL, &err), 0); /* a person's to end */
    assert_int_equal(state, FERRY_TXN_PAUSED);
    assert_int_equal(go_on(&w, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    assert_int_equal(take_up(&w, FERRY_SKIP, &txn, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "not-paused");
    ferry_plan_free(plan);
    world_clear(&w);
}

static void test_skip(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_txn *txn = NULL;
    struct ferry_plan *plan = paused(&w);
    assert_int_equal(take_up(&w, FERRY_SKIP, &txn, &err), 0);
    programs.fail_run = programs.calls + 2; /* start-app pauses on failure */
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_PAUSED);
    ferry_txn_free(txn);
    assert_int_equal(take_up(&w, FERRY_RESUME, &txn, &err), -FERRY_EREFUSED);
    assert_int_equal(take_up(&w, FERRY_SKIP, &txn, &err), 0);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_COMMITTED);
    ferry_txn_free(txn);
    struct ferry_txn_record *record = last(&w);
    unsigned skipped = 0;
    for (size_t i = 0; i < record->n_hooks; i++)
        if (record->hooks[i].state == FERRY_HOOK_SKIPPED) {
            assert_string_equal(record->hooks[i].user, "person");
            skipped++;
        }
    assert_int_equal(skipped, 2);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
}

static void test_revert(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.kind = "rollback", .user = "test"};
    struct ferry_plan *plan = paused(&w);
    assert_int_equal(ferry_txn_revert(w.journal, &w.config, &options, NULL, &record, &err), 0);
    assert_int_equal(record->state, FERRY_TXN_UNDONE);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, pre);
    assert_int_equal(on(&w), 0);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* A router that is not as it was when it paused: nothing is written, and it stays paused. */
static void test_drift_while_paused(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_txn *txn = NULL;
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_plan *plan = paused(&w);
    struct ferry_entry foreign = {
        .type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 7, .protocol = 4};
    struct ferry_op add = world_route("192.168.1.0/24", &foreign);
    world_meddle(&w, "edge-third", &add);
    char before[2][65], after[2][65];
    world_digest(&w, "sim", before[0]);
    world_digest(&w, "", before[1]);
    assert_int_equal(take_up(&w, FERRY_RESUME, &txn, &err), -FERRY_EDRIFT);
    world_digest(&w, "sim", after[0]);
    world_digest(&w, "", after[1]);
    assert_string_equal(before[0], after[0]);
    assert_string_equal(before[1], after[1]);
    struct ferry_op take = ferry_op_swap(&add);
    world_meddle(&w, "edge-third", &take);
    assert_int_equal(go_on(&w, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    FERRY_AUTOFREE char *now = world_snapshot(&w);
    assert_string_equal(now, post);
    ferry_plan_free(plan);
    world_clear(&w);
}

/* ---- Cut off everywhere. ---- */

static struct {
    unsigned at, seen;
} dying;

static void maybe_die(void *ctx, const char *name)
{
    (void)ctx;
    if ((!strncmp(name, "journal-", 8) || !strncmp(name, "hook-", 5)) && ++dying.seen == dying.at)
        kill(getpid(), SIGKILL);
}

/* What is done, and with how many programs that work. */
enum task { MOVE_HERE, MOVE_LATER, MOVE_FAILING, RECOVER };

static int child(struct world *w, struct ferry_plan *plan, enum task task, struct ferry_err *err)
{
    enum ferry_txn_state state;
    programs.fail_run = task == MOVE_FAILING ? 5 : 0;
    if (task != RECOVER)
        return move_all(w, plan, task == MOVE_LATER ? LATER : HERE, &state, err);
    int r = world_recover(w, &state, NULL, err);
    return r < 0 ? r : 0;
}

/* 1: it was killed.  The fleets' threads have ended with their fleets: nothing else runs here. */
static int in_child(struct world *w, struct ferry_plan *plan, enum task task, unsigned n)
{
    fflush(stdout);
    usleep(1000);
    pid_t pid = fork();
    if (pid == 0) {
        struct ferry_err err = {0};
        int r = ferry_journal_open(&w->env, w->dir, &w->journal, &err);
        dying.at = n;
        w->env.crash_point = maybe_die;
        w->config.workers = 1;
        if (!r)
            r = child(w, plan, task, &err);
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
    unsigned kills, pre, post, none, paused;
};

/* Whatever was left is recovered, by a recovery that is cut off first; what is paused is resumed or undone. */
static void look_after(struct world *w, unsigned n, struct counts *counts)
{
    struct ferry_err err;
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.kind = "rollback", .user = "test"};
    in_child(w, NULL, RECOVER, 1 + n % 7);
    assert_int_equal(ferry_journal_open(&w->env, w->dir, &w->journal, &err), 0);
    int r = world_recover(w, &state, NULL, &err);
    assert_true(r >= 0);
    if (ferry_journal_get(w->journal, NULL, &record, &err) < 0) {
        counts->none++;
        assert_int_equal(on(w), 0);
        return;
    }
    state = record->state;
    if (state == FERRY_TXN_PAUSED) {
        counts->paused++;
        ferry_txn_record_free(record);
        if (n % 2)
            assert_int_equal(ferry_txn_revert(w->journal, &w->config, &options, NULL, &record, &err), 0);
        else
            assert_int_equal(go_on(w, &state, &err), 0);
        if (n % 2 == 0)
            record = last(w);
        state = record->state;
    }
    FERRY_AUTOFREE char *now = world_snapshot(w);
    assert_string_equal(now, state == FERRY_TXN_COMMITTED ? post : pre);
    if (state != FERRY_TXN_COMMITTED)
        assert_int_equal(state, FERRY_TXN_UNDONE);
    if (on(w) != (state == FERRY_TXN_COMMITTED ? FERRY_COUNT(switches) : 0))
        fail_msg("%s, but %u switches are on", ferry_txn_state_name(state), on(w));
    *(state == FERRY_TXN_COMMITTED ? &counts->post : &counts->pre) += 1;
    assert_int_equal(world_recover(w, &state, NULL, &err), 1);
    ferry_txn_record_free(record);
}

/* At each `step`-th point; at all of them with FERRY_TEST_FULL in the environment. */
static void kill_everywhere(enum task task, const char *name, unsigned step)
{
    struct counts counts = {0};
    if (getenv("FERRY_TEST_FULL"))
        step = 1;
    for (unsigned n = 1; n < 500; n += step) {
        struct world w;
        init(&w);
        struct ferry_plan *plan = world_plan(&w, "app", "recovery");
        ferry_journal_close(w.journal);
        w.journal = NULL;
        int killed = in_child(&w, plan, task, n);
        if (killed) {
            counts.kills++;
            look_after(&w, n, &counts);
        }
        ferry_plan_free(plan);
        world_clear(&w);
        if (!killed)
            break;
    }
    printf("hooks, %-14s killed %3u times: pre %u, post %u, not begun %u; of these paused %u\n", name,
           counts.kills, counts.pre, counts.post, counts.none, counts.paused);
    assert_true(counts.kills >= 30 / step);
    assert_true(counts.pre > 10 / step && (step > 1 || counts.paused > 0));
    assert_int_equal(counts.pre + counts.post + counts.none, counts.kills);
}

static void test_killed_here(void **unused)
{
    (void)unused;
    kill_everywhere(MOVE_HERE, "asked at once", 5);
}

static void test_killed_later(void **unused)
{
    (void)unused;
    kill_everywhere(MOVE_LATER, "resumed later", 2);
}

static void test_killed_failing(void **unused)
{
    (void)unused;
    kill_everywhere(MOVE_FAILING, "undone", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_hook_fails),
        cmocka_unit_test(test_undo_fails),
        cmocka_unit_test(test_wrong_verbs),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_revert),
        cmocka_unit_test(test_drift_while_paused),
        cmocka_unit_test(test_killed_here),
        cmocka_unit_test(test_killed_later),
        cmocka_unit_test(test_killed_failing),
    };
    return cmocka_run_group_tests(tests, expect, forget);
}
