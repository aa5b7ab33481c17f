/* Deadlines that come late, or are heard of late: the routers of test_deadman.c, behind a wire on which the
 * test holds things up.
 *
 * SPDX-License-Identifier: MIT */
#include "story.h"

#include "base/mem.h"
#include "opened.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WINDOW_S 60u
#define ARMED_S  (WINDOW_S + 20) /* MARGIN_S of txn_deadman.c */

/* ---- The wire. ---- */

enum what { FINE, SILENT, SLOW, LATE, HELD }; /* LATE: slow, and no answer */

static struct {
    const char *router;            /* what happens to calls there */
    enum ferry_deadman_verb verb;  /* of this verb */
    enum what script[16];          /* one call after the other; then fine */
    size_t at;                     /* how many there were */
    const char *arms_late;         /* of the arming this one is slow to answer */
    struct ferry_deadman held;     /* the last one that was held up */
    uint64_t forbidden_us, end_us; /* no op of the engine in between … */
    bool mixed;                    /* … and yet there was one */
    bool fatal;                    /* whoever applies anything dies */
} wire;

static struct ferry_driver_ops wire_ops;

static int wire_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                        const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                        unsigned *ret_left_s, struct ferry_err *err)
{
    enum what now = FINE;
    if (verb == wire.verb && opened_is(driver, wire.router))
        now = wire.at < FERRY_COUNT(wire.script) - 1 ? wire.script[wire.at++] : FINE;
    if (now == LATE)
        story_pass(9);
    if (now == SILENT || now == LATE)
        return ferry_error(err, FERRY_EIO, "nobody answers");
    if (now == HELD) {
        wire.held = *deadman;
        wire.held.id = NULL;
        return ferry_error(err, FERRY_EUNKNOWN, "no answer");
    }
    int r = simulator()->deadman(driver, verb, deadman, ret, ret_left_s, err);
    if (now == SLOW || (verb == FERRY_DEADMAN_ARM && opened_is(driver, wire.arms_late)))
        story_pass(9); /* the answer is on its way */
    return r;
}

static int wire_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    wire.mixed |=
        story_clock_us >= wire.forbidden_us && story_clock_us < wire.end_us; /* on a worker: no assert */
    int r = simulator()->apply(driver, ops, n, err);
    if (wire.fatal)
        _exit(0);
    return r;
}

static const struct ferry_driver_ops *wire_find(const char *type)
{
    return ferry_driver_find(type) ? &wire_ops : NULL;
}

/* What was held up comes through after all. */
static void deliver(struct world *w, const char *router, const char *id)
{
    struct ferry_driver *driver;
    struct ferry_err err;
    enum ferry_deadman_state state;
    unsigned left;
    wire.held.id = id;
    assert_true(wire.held.seconds > 0);
    assert_int_equal(simulator()->open(&w->env, NULL, router, w->dir, NULL, &driver, &err), 0);
    assert_int_equal(simulator()->deadman(driver, wire.verb, &wire.held, &state, &left, &err), 0);
    assert_int_equal(state, FERRY_DEADMAN_ARMED);
    simulator()->close(driver);
}

/* ---- A story. ---- */

static char applied[24]; /* the transaction of apply() */

static void prepare(struct story *s)
{
    memset(&wire, 0, sizeof wire);
    wire_ops = opened_ops();
    wire_ops.deadman = wire_deadman;
    wire_ops.apply = wire_apply;
    story_init_clocked(s);
    s->w.config.find = wire_find;
}

static enum ferry_txn_state apply(struct story *s)
{
    struct ferry_txn_options options = {.kind = "apply", .user = "test", .confirm_within_s = WINDOW_S};
    struct ferry_txn_record *record = NULL;
    struct ferry_err err;
    enum ferry_txn_state state;
    if (world_apply(&s->w, s->plan, &options, &state, &record, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(applied, record->id, sizeof applied);
    ferry_txn_record_free(record);
    return state;
}

static void begin(struct story *s)
{
    prepare(s);
    assert_int_equal(apply(s), FERRY_TXN_AWAITING_CONFIRM);
}

static int extend(struct story *s, unsigned seconds, struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    int r = ferry_txn_extend(s->w.journal, &s->w.config, &options, NULL, seconds, &record, err);
    ferry_txn_record_free(record);
    return r;
}

/* ---- What must hold. ---- */

/* Whoever hears of a deadline late counts it from then: the new gateway would stay beside the old one, which
 * came back in time.  One that arms slowly is why all are told again. */
static void a_deadline_that_is_heard_of_late_is_none(void **unused)
{
    static const char *const routers[] = {"edge-recovery", "edge-primary", "edge-third"};
    (void)unused;
    for (size_t i = 0; i < FERRY_COUNT(routers); i++) {
        struct story s;
        prepare(&s);
        wire.router = routers[i];
        wire.arms_late = "edge-primary"; /* the last one */
        wire.verb = FERRY_DEADMAN_EXTEND;
        wire.script[0] = HELD;
        assert_int_equal(apply(&s), FERRY_TXN_AWAITING_CONFIRM);
        assert_true(wire.at > 1); /* it came to that */
        wire.router = NULL;
        for (unsigned at = 0; at < 200; at++) { /* nobody but the routers is at work */
            if (at == 50)
                deliver(&s.w, routers[i], applied);
            assert_true(story_attached(&s) <= 1);
            story_pass(1);
        }
        story_holds(&s, s.before);
        story_clear(&s);
    }
}

/* One that comes in time is one, said twice too. */
static void one_answer_that_is_lost_matters_to_nobody(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err;
    begin(&s);
    story_pass(10);
    wire.router = "edge-recovery";
    wire.verb = FERRY_DEADMAN_NEXT;
    wire.script[0] = HELD;
    assert_int_equal(extend(&s, 70, &err), 0);
    wire.router = NULL;
    deliver(&s.w, "edge-recovery", applied);
    story_pass(65);
    assert_int_equal(story_attached(&s), 1);
    story_pass(100);
    story_holds(&s, s.before);
    story_clear(&s);
}

/* What is said to the third site so is lost, and nobody's deadline has moved: all undo at the first one. */
static void moves_nobody(enum ferry_deadman_verb verb, const enum what *script, size_t n)
{
    struct story s;
    struct ferry_err err;
    begin(&s);
    wire.router = "edge-third";
    wire.verb = verb;
    memcpy(wire.script, script, n * sizeof *script);
    story_pass(10);
    assert_true(extend(&s, 500, &err) < 0);
    assert_true(wire.at >= n); /* it came to that */
    wire.router = NULL;
    story_pass(WINDOW_S); /* less than any new deadline */
    story_holds(&s, s.before);
    story_clear(&s);
}

/* Who is silent keeps everybody's deadline where it is. */
static void one_silent_router_moves_nobody(void **unused)
{
    (void)unused;
    moves_nobody(FERRY_DEADMAN_LOOK, (enum what[]){FINE, SILENT, SILENT, SILENT}, 4);
}

/* Nor who has not heard of the second deadline: the others have, and stay at the first one. */
static void one_that_has_not_heard_moves_nobody(void **unused)
{
    (void)unused;
    moves_nobody(FERRY_DEADMAN_NEXT, (enum what[]){SILENT, SILENT, SILENT}, 3);
}

/* An answer is as old as the slowest one of the same question: enough was left when it was given, nothing when
 * it was heard.  The engine then undid the first stage while the routers began with the last one. */
static void an_old_answer_is_not_believed(void **unused)
{
    static const enum what script[] = {LATE, LATE, LATE,  /* before the routers are read */
                                       LATE, LATE, LATE}; /* before the first stage is undone */
    (void)unused;
    struct story s;
    struct ferry_err err;
    enum ferry_txn_state state;
    int status;
    prepare(&s);
    wire.fatal = true;
    pid_t child = fork();
    if (!child) {
        apply(&s);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* in the first stage */
    wire.fatal = false;
    wire.router = "edge-third";
    wire.verb = FERRY_DEADMAN_LOOK;
    memcpy(wire.script, script, sizeof script);
    wire.forbidden_us = story_clock_us + 1000000ull * ARMED_S;
    wire.end_us = wire.forbidden_us + 6000000; /* the routers are at it */
    story_pass(ARMED_S - 49);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_true(wire.at >= FERRY_COUNT(script)); /* it came to that */
    assert_false(wire.mixed);
    story_holds(&s, s.before);
    story_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_that_is_heard_of_late_is_none),
        cmocka_unit_test(one_answer_that_is_lost_matters_to_nobody),
        cmocka_unit_test(one_silent_router_moves_nobody),
        cmocka_unit_test(one_that_has_not_heard_moves_nobody),
        cmocka_unit_test(an_old_answer_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
