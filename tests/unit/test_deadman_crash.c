/* Transactions that await a confirmation (test_deadman.c), with every driver call failing once, and the
 * controller killed at every call and every write.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman_story.h"

#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Faults: the n-th call breaks, for every n. ---- */

/* Each story is a whole move, and more: more of them are left out than elsewhere. */
static unsigned step(void)
{
    return getenv("FERRY_TEST_FULL") ? 1 : 2 * world_step() + 1;
}

static void every_call_breaks(enum ferry_fault_kind kind)
{
    for (unsigned n = 1, fired = 1; fired; n += step()) {
        struct story s;
        struct ferry_err err = {0};
        enum ferry_txn_state state = FERRY_TXN_READY;
        struct ferry_fault_rule rule = {.kind = kind, .nth = n};
        story_init_clocked(&s);
        watch_start(s.w.topology);
        story_break(&s, &rule);
        s.faults.find = watch_find;
        int r = deadman_apply(&s, &state, &err);
        if (r == 0 && state == FERRY_TXN_AWAITING_CONFIRM)
            r = deadman_say(&s, ferry_txn_confirm, &state, &err);
        fired = (unsigned)s.faults.fired;
        story_mend(&s);
        bool kept = r == 0 && state == FERRY_TXN_COMMITTED;
        if (r == 0 && !kept && state != FERRY_TXN_UNDONE)
            fail_msg("%s at call %u: %s", ferry_fault_kind_name(kind), n, ferry_txn_state_name(state));
        FERRY_AUTOFREE char *then = world_snapshot(&s.w);
        story_pass(OVER_S);
        story_holds(&s, kept ? then : s.before);
        assert_int_equal(story_attached(&s), 1);
        r = world_recover(&s.w, &state, NULL, &err);
        if (r < 0 || (r == 0 && state != FERRY_TXN_UNDONE && state != FERRY_TXN_COMMITTED))
            fail_msg("%s at call %u: recover: %s", ferry_fault_kind_name(kind), n, err.text);
        story_holds(&s, kept ? then : s.before);
        assert_int_equal(watch_two_sites(), 0);
        story_clear(&s);
    }
}

static void every_call_is_refused(void **unused)
{
    (void)unused;
    every_call_breaks(FERRY_FAULT_ERROR);
}

static void every_answer_is_lost(void **unused)
{
    (void)unused;
    every_call_breaks(FERRY_FAULT_LOST_REPLY);
}

static void every_connection_breaks(void **unused)
{
    (void)unused;
    every_call_breaks(FERRY_FAULT_DISCONNECT);
}

/* ---- Death: the controller is killed at every call and every write. ---- */

enum task { APPLY, CONFIRM, EXTEND, REVERT, RECOVER };
enum where { AT_JOURNAL, BEFORE_CALL, AFTER_CALL };

static int do_task(struct story *s, enum task task, struct ferry_err *err)
{
    enum ferry_txn_state state;
    switch (task) {
    case APPLY:
        return deadman_apply(s, &state, err);
    case CONFIRM:
        return deadman_say(s, ferry_txn_confirm, &state, err);
    case EXTEND:
        return deadman_extend(s, 500, &state, err);
    case REVERT:
        return deadman_say(s, ferry_txn_revert, &state, err);
    case RECOVER:
        return world_recover(&s->w, &state, NULL, err);
    }
    return -1;
}

/* As in test_kill.c: a fleet's threads may still be on their way out. */
static void wait_until_alone(void)
{
    for (int tries = 0; tries < 200; tries++) {
        struct dirent **names = NULL;
        int n = scandir("/proc/self/task", &names, NULL, NULL);
        for (int i = 0; i < n; i++)
            free(names[i]);
        free(names);
        if (n <= 3)
            return;
        usleep(1000);
    }
}

static struct {
    unsigned at, seen;
} dying;

static void maybe_die(void *ctx, const char *name)
{
    (void)ctx;
    if (!strncmp(name, "journal-", 8) && ++dying.seen == dying.at)
        kill(getpid(), SIGKILL);
}

/* True where it was killed. */
static bool killed_in(struct story *s, enum task task, enum where where, unsigned n)
{
    fflush(stdout);
    wait_until_alone();
    pid_t pid = fork();
    if (pid == 0) {
        struct ferry_fault_rule rule = {
            .kind = where == AFTER_CALL ? FERRY_FAULT_CRASH_AFTER : FERRY_FAULT_CRASH_BEFORE, .nth = n};
        struct ferry_err err;
        if (ferry_journal_open(&s->w.env, s->w.dir, &s->w.journal, &err) < 0)
            _exit(2); /* SQLite's do not survive a fork */
        dying.at = where == AT_JOURNAL ? n : 0;
        dying.seen = 0;
        if (where == AT_JOURNAL)
            s->w.env.crash_point = maybe_die;
        else
            story_break(s, &rule);
        _exit(do_task(s, task, &err) < 0 ? 3 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

/* Where it begins: elsewhere in each `where`, for a step above one. */
static unsigned first(enum where where)
{
    return 1 + (unsigned)where % step();
}

/* The routers alone come back: nobody recovers before they have. */
static void every_apply_dies(void **unused)
{
    (void)unused;
    for (enum where where = AT_JOURNAL; where <= AFTER_CALL; where++)
        for (unsigned n = first(where), killed = 1; killed; n += step()) {
            struct story s;
            struct ferry_err err = {0};
            enum ferry_txn_state state;
            story_init_clocked(&s);
            killed = killed_in(&s, APPLY, where, n);
            for (unsigned i = 0; i < 40; i++) {
                story_pass(3);
                assert_true(story_attached(&s) <= 1);
            }
            story_pass(OVER_S);
            story_holds(&s, s.before);
            int r = world_recover(&s.w, &state, NULL, &err);
            if (r < 0 || (r == 0 && state != FERRY_TXN_UNDONE))
                fail_msg("killed at %u (%d): %s", n, where, r < 0 ? err.text : ferry_txn_state_name(state));
            story_holds(&s, s.before);
            assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err),
                             0); /* nothing is in the way */
            assert_int_equal(state, FERRY_TXN_COMMITTED);
            story_clear(&s);
        }
}

/* Whatever comes after it, now or when the deadline is over, leads to all or nothing. */
static void every_verb_dies(enum task task, bool late)
{
    unsigned not_saved = 0; /* ends between the commit and the routers' own saving */
    for (enum where where = AT_JOURNAL; where <= AFTER_CALL; where++)
        for (unsigned n = first(where), killed = 1; killed; n += step()) {
            struct story s;
            struct ferry_err err = {0};
            enum ferry_txn_state state;
            story_init_clocked(&s);
            FERRY_AUTOFREE char *post = deadman_applied(&s);
            if (task == RECOVER)
                story_pass(WINDOW_S + 1);
            killed = killed_in(&s, task, where, n);
            for (unsigned i = 0; late && i < 40; i++) {
                story_pass(3);
                assert_true(story_attached(&s) <= 1);
            }
            if (late)
                story_pass(OVER_S);
            int r = world_recover(&s.w, &state, NULL, &err);
            if (r == 0 && state == FERRY_TXN_AWAITING_CONFIRM)
                r = deadman_say(&s, ferry_txn_confirm, &state, &err);
            if (r < 0 || (r == 0 && state != FERRY_TXN_UNDONE && state != FERRY_TXN_COMMITTED))
                fail_msg("killed at %u (%d): %s", n, where, r < 0 ? err.text : ferry_txn_state_name(state));
            struct ferry_txn_record *record = NULL;
            assert_int_equal(ferry_journal_get(s.w.journal, NULL, &record, &err), 0);
            const char *wanted = record->state == FERRY_TXN_COMMITTED ? post : s.before;
            not_saved += record->state == FERRY_TXN_COMMITTED && record->n_hands;
            ferry_txn_record_free(record);
            story_holds(&s, wanted);
            story_pass(OVER_S);
            story_holds(&s, wanted);
            story_clear(&s);
        }
    assert_true(task != CONFIRM || not_saved || step() > 1); /* a hand is asked for */
}

static void every_confirm_dies(void **unused)
{
    (void)unused;
    every_verb_dies(CONFIRM, false);
    every_verb_dies(CONFIRM, true);
}

static void every_extend_dies(void **unused)
{
    (void)unused;
    every_verb_dies(EXTEND, true);
}

static void every_revert_dies(void **unused)
{
    (void)unused;
    every_verb_dies(REVERT, false);
    every_verb_dies(REVERT, true);
}

static void every_recover_dies(void **unused)
{
    (void)unused;
    every_verb_dies(RECOVER, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_refused),   cmocka_unit_test(every_answer_is_lost),
        cmocka_unit_test(every_connection_breaks), cmocka_unit_test(every_apply_dies),
        cmocka_unit_test(every_confirm_dies),      cmocka_unit_test(every_extend_dies),
        cmocka_unit_test(every_revert_dies),       cmocka_unit_test(every_recover_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
