/* Routers that really hang, past the fleet's deadline, in the middle of a move; some of them do in the end
 * what they were told.  Whatever the transaction says it did must be what the routers hold after the last of
 * them has come back.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A short hang ends while the engine still asks again; one that is held ends when the engine is through.  Who
 * does not hang is quicker than the deadline, however busy the machine. */
enum { DEADLINE_MS = 300, SHORT_MS = 750 };

/* ---- Whether one is still out there. ---- */

static _Atomic unsigned n_open; /* a fleet closes what a late one had when that has come back */

static const struct ferry_driver_ops *faulty;

static int open_counted(const struct ferry_env *env, const struct ferry_driver_config *config,
                        const char *router, const char *state_dir, const struct ferry_fib *initial,
                        struct ferry_driver **ret, struct ferry_err *err)
{
    int r = faulty->open(env, config, router, state_dir, initial, ret, err);
    n_open += r == 0;
    return r;
}

static void close_counted(struct ferry_driver *driver)
{
    faulty->close(driver);
    n_open--;
}

static struct ferry_driver_ops counted;

static const struct ferry_driver_ops *find_counted(const char *type)
{
    return ferry_driver_find(type) ? &counted : NULL;
}

static void count_them(void)
{
    faulty = ferry_fault_find("sim");
    counted = *faulty;
    counted.open = open_counted;
    counted.close = close_counted;
}

static void wait_for_the_late(void)
{
    struct timespec t = {.tv_nsec = 1000000};
    for (int i = 0; n_open && i < 60000; i++)
        nanosleep(&t, NULL);
    assert_int_equal(n_open, 0);
}

/* ---- One after the other. ---- */

/* Recovers, and returns the state in which that ended. */
static enum ferry_txn_state recovered(struct world *w)
{
    enum ferry_txn_state state = FERRY_TXN_STUCK;
    struct ferry_err err;
    w->config.find = ferry_driver_find;
    w->config.deadline_ms = 0;
    int r = world_recover(w, &state, NULL, &err);
    if (r)
        fail_msg("recover: %d %s", r, err.text);
    return state;
}

/* Returns whether the call came to pass. */
static bool one_run(const char *router, enum ferry_fault_kind kind, uint64_t nth, unsigned hang_ms,
                    unsigned *seen)
{
    static struct ferry_fault_rule rules[64]; /* of their own for each run: late ones may still look */
    static struct ferry_fault_script scripts[64];
    static struct world worlds[64];
    static size_t run;
    assert_true(run < FERRY_COUNT(rules));
    struct ferry_fault_rule *rule = &rules[run];
    struct world *w = &worlds[run];
    struct ferry_fault_script *script = &scripts[run++];
    struct ferry_err err = {0};
    struct ferry_txn_record *record = NULL;
    enum ferry_txn_state state = FERRY_TXN_READY;
    world_init(w, "three-site.json", "sim");
    struct ferry_plan *plan = world_plan(w, "app", "recovery");
    FERRY_AUTOFREE char *pre = world_snapshot(w);
    *rule = (struct ferry_fault_rule){
        .kind = kind, .call = FERRY_FAULT_APPLY, .router = router, .nth = nth, .hang_ms = hang_ms};
    *script = (struct ferry_fault_script){.find = ferry_driver_find, .rules = rule, .n_rules = 1};
    ferry_fault_install(script);
    count_them();
    w->config.find = find_counted;
    w->config.deadline_ms = DEADLINE_MS;
    int r = world_apply(w, plan, NULL, &state, &record, &err);
    if (r < 0)
        fail_msg("apply: %s", err.text);
    bool fired = script->fired > 0;
    ferry_fault_install(NULL);
    wait_for_the_late();
    seen[state]++;
    if (!fired)
        assert_int_equal(state, FERRY_TXN_COMMITTED);
    if (state == FERRY_TXN_STUCK) {
        assert_true(record->n_hands > 0);
        state = recovered(w);
    }
    FERRY_AUTOFREE char *now = world_snapshot(w);
    if (state == FERRY_TXN_UNDONE)
        assert_string_equal(now, pre);
    else
        assert_int_equal(state, FERRY_TXN_COMMITTED);
    if (state == FERRY_TXN_COMMITTED)
        assert_string_not_equal(now, pre);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(w);
    return fired;
}

static void every_apply(enum ferry_fault_kind kind)
{
    static const char *const routers[] = {"edge-primary", "edge-recovery", "edge-third"};
    unsigned seen[FERRY_TXN_STUCK + 1] = {0}, runs = 0;
    for (size_t i = 0; i < FERRY_COUNT(routers); i++)
        for (uint64_t n = 1; one_run(routers[i], kind, n, SHORT_MS, seen); n++)
            runs++;
    print_message("%s: %u runs: committed %u, undone %u, stuck and recovered %u\n",
                  ferry_fault_kind_name(kind), runs, seen[FERRY_TXN_COMMITTED], seen[FERRY_TXN_UNDONE],
                  seen[FERRY_TXN_STUCK]);
    assert_true(runs >= 7); /* every change of the move was hit */
}

static void test_hangs_and_does_nothing(void **state)
{
    (void)state;
    every_apply(FERRY_FAULT_HANG);
}

static void test_hangs_and_does_it_late(void **state)
{
    (void)state;
    every_apply(FERRY_FAULT_LATE);
}

static void test_stays_silent(void **state)
{
    (void)state;
    unsigned seen[FERRY_TXN_STUCK + 1] = {0};
    /* At letting the gateway go, at taking it up, and elsewhere. */
    assert_true(one_run("edge-primary", FERRY_FAULT_LATE, 2, FERRY_FAULT_HELD, seen));
    assert_true(one_run("edge-recovery", FERRY_FAULT_LATE, 3, FERRY_FAULT_HELD, seen));
    assert_true(one_run("edge-third", FERRY_FAULT_HANG, 1, FERRY_FAULT_HELD, seen));
    assert_int_equal(seen[FERRY_TXN_STUCK], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hangs_and_does_nothing),
        cmocka_unit_test(test_hangs_and_does_it_late),
        cmocka_unit_test(test_stays_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
