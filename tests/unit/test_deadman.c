/* Transactions that await a confirmation, on simulated routers and a clock that the test turns: kept, put off, expired;
 * with every driver call failing once, and the controller killed at every call and every write.
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

#define WINDOW_S 60u
#define OVER_S   1000u /* whatever was armed has fired, and every step of it */

/* ---- The world and its clock. ---- */

static uint64_t clock_us;

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_us;
}

static void sleep_clock(void *ctx, uint64_t us)
{
    (void)ctx;
    clock_us += us;
}

static void pass(unsigned seconds)
{
    clock_us += 1000000ull * seconds;
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

struct story {
    struct world w;
    struct ferry_plan *plan;
    char *pre;
};

static void begin(struct story *s)
{
    clock_us = 1790000000ull * 1000000;
    world_init(&s->w, "three-site.json", "sim");
    s->w.env.realtime_us = s->w.env.monotonic_us = read_clock;
    s->w.env.sleep_us = sleep_clock;
    s->w.config.workers = 1; /* the order of calls is the same each time */
    s->plan = world_plan(&s->w, "app", "recovery");
    s->pre = world_snapshot(&s->w);
}

static void end(struct story *s)
{
    free(s->pre);
    ferry_plan_free(s->plan);
    world_clear(&s->w);
}

static int apply(struct story *s, enum ferry_txn_state *ret, struct ferry_err *err)
{
    struct ferry_txn_options options = {.kind = "apply", .user = "test", .confirm_within_s = WINDOW_S};
    return world_apply(&s->w, s->plan, &options, ret, NULL, err);
}

static char *applied(struct story *s)
{
    struct ferry_err err = {0};
    enum ferry_txn_state state = FERRY_TXN_STUCK;
    if (apply(s, &state, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(state, FERRY_TXN_AWAITING_CONFIRM);
    return world_snapshot(&s->w);
}

typedef int verb_fn(struct ferry_journal *, const struct ferry_fleet_config *,
                    const struct ferry_txn_options *, const char *, struct ferry_txn_record **,
                    struct ferry_err *);

static int say(struct story *s, verb_fn *verb, enum ferry_txn_state *ret, struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    int r = verb(s->w.journal, &s->w.config, &options, NULL, &record, err);
    if (r == 0)
        *ret = record->state;
    ferry_txn_record_free(record);
    return r;
}

static int extend(struct story *s, unsigned seconds, enum ferry_txn_state *ret, struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    int r = ferry_txn_extend(s->w.journal, &s->w.config, &options, NULL, seconds, &record, err);
    if (r == 0)
        *ret = record->state;
    ferry_txn_record_free(record);
    return r;
}

static void holds(struct story *s, const char *wanted)
{
    FERRY_AUTOFREE char *now = world_snapshot(&s->w);
    assert_string_equal(now, wanted);
}

static unsigned attached(struct story *s)
{
    FERRY_AUTOFREE char *now = world_snapshot(&s->w);
    unsigned n = 0;
    for (const char *p = now; (p = strstr(p, " app gateway")); p++)
        n++;
    return n;
}

/* ---- With everybody in health. ---- */

static void a_confirm_keeps_it(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    begin(&s);
    FERRY_AUTOFREE char *post = applied(&s);
    assert_int_equal(apply(&s, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unfinished");
    assert_non_null(strstr(err.text, "ferry confirm"));
    pass(WINDOW_S - 20);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0); /* leaves it alone */
    assert_int_equal(state, FERRY_TXN_AWAITING_CONFIRM);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "not-awaiting");
    pass(OVER_S);
    holds(&s, post);
    end(&s);
}

static void without_one_the_routers_undo_it(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    begin(&s);
    FERRY_AUTOFREE char *post = applied(&s);
    pass(WINDOW_S - 2);
    holds(&s, post);
    unsigned nowhere = 0;
    for (unsigned i = 0; i < 20; i++) { /* nobody but the routers is at work */
        pass(1);
        assert_true(attached(&s) <= 1);
        nowhere += attached(&s) == 0;
    }
    assert_in_range(nowhere, 1, 4);
    holds(&s, s.pre);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), 0); /* late */
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    holds(&s, s.pre);
    end(&s);
}

static void recover_settles_what_is_overdue(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    begin(&s);
    free(applied(&s));
    pass(WINDOW_S + 1); /* in the middle of the undo: waits for its end */
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    holds(&s, s.pre);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 1);
    end(&s);
}

static void it_can_be_put_off(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    begin(&s);
    FERRY_AUTOFREE char *post = applied(&s);
    assert_int_equal(extend(&s, 10, &state, &err), -FERRY_EREFUSED); /* less than there is */
    assert_string_equal(err.rule, "extend");
    assert_int_equal(extend(&s, 500, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_AWAITING_CONFIRM);
    pass(400);
    holds(&s, post);
    pass(300);
    holds(&s, s.pre);
    assert_int_equal(extend(&s, 500, &state, &err), 0); /* late */
    assert_int_equal(state, FERRY_TXN_UNDONE);
    end(&s);
}

static void it_can_be_taken_back(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    begin(&s);
    FERRY_AUTOFREE char *post = applied(&s);
    assert_int_equal(say(&s, ferry_txn_revert, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    holds(&s, s.pre);
    /* Nothing is left armed that would come between a later transaction. */
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    pass(OVER_S);
    holds(&s, post);
    end(&s);
}

/* ---- Routers that cannot, or do not answer. ---- */

static struct ferry_driver_ops without;

static const struct ferry_driver_ops *find_without(const char *type)
{
    const struct ferry_driver_ops *ops = ferry_driver_find(type);
    if (!ops)
        return NULL;
    without = *ops;
    without.deadman = NULL;
    return &without;
}

static void a_router_without_one_is_refused(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    begin(&s);
    s.w.config.find = find_without;
    assert_int_equal(apply(&s, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "dead-man");
    holds(&s, s.pre);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 1); /* nothing had begun */
    end(&s);
}

static void break_router(struct story *s, struct ferry_fault_script *script, struct ferry_fault_rule *rule)
{
    *script = (struct ferry_fault_script){.find = ferry_driver_find, .rules = rule, .n_rules = 1};
    ferry_fault_install(script);
    s->w.config.find = ferry_fault_find;
}

static void mend(struct story *s)
{
    ferry_fault_install(NULL);
    s->w.config.find = ferry_driver_find;
}

/* Begins a story in which edge-third fails whatever its dead-man is asked; no route may be written then. */
static int apply_unarmed(struct story *s, enum ferry_fault_kind kind, struct ferry_err *err)
{
    enum ferry_txn_state state;
    struct ferry_fault_script script;
    struct ferry_fault_rule rule = {
        .kind = kind, .call = FERRY_FAULT_DEADMAN, .router = "edge-third", .nth = 0};
    begin(s);
    break_router(s, &script, &rule);
    int r = apply(s, &state, err);
    assert_non_null(strstr(err->text, "edge-third"));
    mend(s);
    holds(s, s->pre);
    return r;
}

static void one_that_cannot_be_armed_stops_it(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    assert_int_equal(apply_unarmed(&s, FERRY_FAULT_ERROR, &err), -FERRY_EIO);
    free(applied(&s)); /* the others are free again */
    end(&s);
}

/* It was told to arm, and neither that nor the disarming was answered: its undo must not come in a later move. */
static void one_that_may_be_armed_is_a_hand(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    assert_int_equal(apply_unarmed(&s, FERRY_FAULT_LOST_REPLY, &err), -FERRY_EUNKNOWN);
    assert_non_null(strstr(err.text, "ferry recover"));
    assert_int_equal(apply(&s, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unfinished");
    struct ferry_txn_record *record = NULL;
    assert_int_equal(ferry_journal_get(s.w.journal, NULL, &record, &err), 0);
    assert_int_equal(record->state, FERRY_TXN_STUCK);
    assert_int_equal(record->n_hands, 1);
    assert_string_equal(record->hands[0].router, "edge-third");
    assert_string_equal(record->hands[0].key, "dead-man");
    ferry_txn_record_free(record);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    free(applied(&s));
    end(&s);
}

static void a_silent_one_keeps_all_armed(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_fault_script script;
    struct ferry_fault_rule rule = {
        .kind = FERRY_FAULT_DISCONNECT, .call = FERRY_FAULT_DEADMAN, .router = "edge-primary", .nth = 0};
    begin(&s);
    FERRY_AUTOFREE char *post = applied(&s);
    break_router(&s, &script, &rule);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "edge-primary"));
    mend(&s);
    holds(&s, post);
    pass(OVER_S);
    holds(&s, s.pre);
    end(&s);
}

static void a_changed_router_is_not_confirmed(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1, .dev = "to-primary"};
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = FERRY_TABLE_MAIN,
                            .metric = 5,
                            .protocol = 4,
                            .n_nexthops = 1,
                            .nexthops = &hop};
    assert_int_equal(ferry_addr_parse("10.255.13.1", &hop.via, &err), 0);
    begin(&s);
    free(applied(&s));
    struct ferry_op op = world_route("192.168.1.0/24", &e), away = ferry_op_swap(&op);
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "verification");
    world_meddle(&s.w, "edge-third", &away);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    end(&s);
}

/* One that is refused does not put the deadline off. */
static void a_refused_confirm_gives_no_time(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_entry e = {.type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = 4};
    begin(&s);
    free(applied(&s));
    struct ferry_op op = world_route("192.168.1.0/24", &e), away = ferry_op_swap(&op);
    pass(WINDOW_S - 5);
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "verification");
    world_meddle(&s.w, "edge-third", &away);
    pass(5 + 10);
    holds(&s, s.pre);
    end(&s);
}

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
        struct ferry_fault_script script;
        struct ferry_fault_rule rule = {.kind = kind, .nth = n};
        begin(&s);
        watch_start(s.w.topology);
        break_router(&s, &script, &rule);
        script.find = watch_find;
        int r = apply(&s, &state, &err);
        if (r == 0 && state == FERRY_TXN_AWAITING_CONFIRM)
            r = say(&s, ferry_txn_confirm, &state, &err);
        fired = (unsigned)script.fired;
        mend(&s);
        bool kept = r == 0 && state == FERRY_TXN_COMMITTED;
        if (r == 0 && !kept && state != FERRY_TXN_UNDONE)
            fail_msg("%s at call %u: %s", ferry_fault_kind_name(kind), n, ferry_txn_state_name(state));
        FERRY_AUTOFREE char *then = world_snapshot(&s.w);
        pass(OVER_S);
        holds(&s, kept ? then : s.pre);
        assert_int_equal(attached(&s), 1);
        r = world_recover(&s.w, &state, NULL, &err);
        if (r < 0 || (r == 0 && state != FERRY_TXN_UNDONE && state != FERRY_TXN_COMMITTED))
            fail_msg("%s at call %u: recover: %s", ferry_fault_kind_name(kind), n, err.text);
        holds(&s, kept ? then : s.pre);
        assert_int_equal(watch_two_sites(), 0);
        end(&s);
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
        return apply(s, &state, err);
    case CONFIRM:
        return say(s, ferry_txn_confirm, &state, err);
    case EXTEND:
        return extend(s, 500, &state, err);
    case REVERT:
        return say(s, ferry_txn_revert, &state, err);
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

/* True where it was killed. */
static bool killed_in(struct story *s, enum task task, enum where where, unsigned n)
{
    fflush(stdout);
    wait_until_alone();
    pid_t pid = fork();
    if (pid == 0) {
        struct ferry_fault_rule rule = {
            .kind = where == AFTER_CALL ? FERRY_FAULT_CRASH_AFTER : FERRY_FAULT_CRASH_BEFORE, .nth = n};
        struct ferry_fault_script script;
        struct ferry_err err;
        if (ferry_journal_open(&s->w.env, s->w.dir, &s->w.journal, &err) < 0)
            _exit(2); /* SQLite's do not survive a fork */
        dying.at = where == AT_JOURNAL ? n : 0;
        dying.seen = 0;
        if (where == AT_JOURNAL)
            s->w.env.crash_point = maybe_die;
        else
            break_router(s, &script, &rule);
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
            begin(&s);
            killed = killed_in(&s, APPLY, where, n);
            for (unsigned i = 0; i < 40; i++) {
                pass(3);
                assert_true(attached(&s) <= 1);
            }
            pass(OVER_S);
            holds(&s, s.pre);
            int r = world_recover(&s.w, &state, NULL, &err);
            if (r < 0 || (r == 0 && state != FERRY_TXN_UNDONE))
                fail_msg("killed at %u (%d): %s", n, where, r < 0 ? err.text : ferry_txn_state_name(state));
            holds(&s, s.pre);
            assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err),
                             0); /* nothing is in the way */
            assert_int_equal(state, FERRY_TXN_COMMITTED);
            end(&s);
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
            begin(&s);
            FERRY_AUTOFREE char *post = applied(&s);
            if (task == RECOVER)
                pass(WINDOW_S + 1);
            killed = killed_in(&s, task, where, n);
            for (unsigned i = 0; late && i < 40; i++) {
                pass(3);
                assert_true(attached(&s) <= 1);
            }
            if (late)
                pass(OVER_S);
            int r = world_recover(&s.w, &state, NULL, &err);
            if (r == 0 && state == FERRY_TXN_AWAITING_CONFIRM)
                r = say(&s, ferry_txn_confirm, &state, &err);
            if (r < 0 || (r == 0 && state != FERRY_TXN_UNDONE && state != FERRY_TXN_COMMITTED))
                fail_msg("killed at %u (%d): %s", n, where, r < 0 ? err.text : ferry_txn_state_name(state));
            struct ferry_txn_record *record = NULL;
            assert_int_equal(ferry_journal_get(s.w.journal, NULL, &record, &err), 0);
            const char *wanted = record->state == FERRY_TXN_COMMITTED ? post : s.pre;
            not_saved += record->state == FERRY_TXN_COMMITTED && record->n_hands;
            ferry_txn_record_free(record);
            holds(&s, wanted);
            pass(OVER_S);
            holds(&s, wanted);
            end(&s);
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
        cmocka_unit_test(a_confirm_keeps_it),
        cmocka_unit_test(without_one_the_routers_undo_it),
        cmocka_unit_test(recover_settles_what_is_overdue),
        cmocka_unit_test(it_can_be_put_off),
        cmocka_unit_test(it_can_be_taken_back),
        cmocka_unit_test(a_router_without_one_is_refused),
        cmocka_unit_test(one_that_cannot_be_armed_stops_it),
        cmocka_unit_test(one_that_may_be_armed_is_a_hand),
        cmocka_unit_test(a_silent_one_keeps_all_armed),
        cmocka_unit_test(a_changed_router_is_not_confirmed),
        cmocka_unit_test(a_refused_confirm_gives_no_time),
        cmocka_unit_test(every_call_is_refused),
        cmocka_unit_test(every_answer_is_lost),
        cmocka_unit_test(every_connection_breaks),
        cmocka_unit_test(every_apply_dies),
        cmocka_unit_test(every_confirm_dies),
        cmocka_unit_test(every_extend_dies),
        cmocka_unit_test(every_revert_dies),
        cmocka_unit_test(every_recover_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
