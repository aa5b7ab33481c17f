/* The fault driver: every kind of fault does, says and counts what fault.h promises. SPDX-License-Identifier: MIT */
#include <ferry/driver.h>

#include "base/mem.h"
#include "fault/fault.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static struct ferry_fault_rule rule;
static struct ferry_fault_script script;
static const struct ferry_driver_config config = {.type = "sim"};

static int up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/ferry-test-fault-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int down(void **state)
{
    char command[128];
    (void)state;
    ferry_fault_install(NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void install(struct ferry_fault_rule r)
{
    rule.kind = r.kind;
    rule.call = r.call;
    rule.router = r.router;
    rule.nth = r.nth;
    rule.from_then_on = r.from_then_on;
    rule.hang_ms = r.hang_ms;
    rule.matched = rule.fired = 0;
    script.find = ferry_driver_find;
    script.rules = &rule;
    script.n_rules = 1;
    script.calls = script.fired = 0;
    ferry_fault_install(&script);
}

static const struct ferry_driver_ops *faulty(void)
{
    return ferry_fault_find("sim");
}

static struct ferry_driver *opened(const char *router)
{
    struct ferry_driver *driver;
    struct ferry_err err;
    if (faulty()->open(&ferry_env_real, &config, router, dir, NULL, &driver, &err) < 0)
        fail_msg("%s", err.text);
    return driver;
}

static const struct ferry_entry drop = {
    .type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 20, .protocol = FERRY_PROTOCOL};

static void make_ops(struct ferry_op *ops, size_t n)
{
    struct ferry_err err;
    for (size_t i = 0; i < n; i++) {
        ops[i] = (struct ferry_op){.table = FERRY_TABLE_MAIN, .metric = 20, .after = &drop};
        assert_int_equal(ferry_prefix_parse("10.0.0.0/24", &ops[i].prefix, &err), 0);
        ops[i].prefix.addr.bytes[1] = (uint8_t)i;
    }
}

/* What the router really holds. */
static size_t held(const char *router)
{
    const struct ferry_driver_ops *sim = ferry_driver_find("sim");
    struct ferry_driver *driver;
    struct ferry_fib fib = {0};
    struct ferry_err err;
    assert_int_equal(sim->open(&ferry_env_real, &config, router, dir, NULL, &driver, &err), 0);
    assert_int_equal(sim->read(driver, &(struct ferry_query){.all = true}, &fib, &err), 0);
    sim->close(driver);
    size_t n = fib.n;
    ferry_fib_clear(&fib);
    return n;
}

static void test_apply(void **state)
{
    (void)state;
    static const struct {
        enum ferry_fault_kind kind;
        int result;
        enum ferry_outcome first, last;
        size_t held;
    } cases[] = {
        {FERRY_FAULT_ERROR, 0, FERRY_REFUSED, FERRY_REFUSED, 0},
        {FERRY_FAULT_DISCONNECT, -FERRY_EIO, FERRY_REFUSED, FERRY_REFUSED, 0},
        {FERRY_FAULT_HANG, -FERRY_EUNKNOWN, FERRY_UNKNOWN, FERRY_UNKNOWN, 0},
        {FERRY_FAULT_LATE, 0, FERRY_DONE, FERRY_DONE, 5},
        {FERRY_FAULT_LOST_REPLY, -FERRY_EUNKNOWN, FERRY_UNKNOWN, FERRY_UNKNOWN, 5},
        {FERRY_FAULT_NOT_APPLIED, 0, FERRY_DONE, FERRY_DONE, 0},
        {FERRY_FAULT_PARTIAL, -FERRY_EUNKNOWN, FERRY_DONE, FERRY_UNKNOWN, 2},
    };
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        char router[8];
        struct ferry_op ops[5];
        struct ferry_err err = {.text = ""};
        snprintf(router, sizeof router, "r%zu", i);
        install((struct ferry_fault_rule){
            .kind = cases[i].kind, .call = FERRY_FAULT_APPLY, .nth = 1, .hang_ms = 10});
        struct ferry_driver *driver = opened(router);
        make_ops(ops, 5);
        uint64_t start = ferry_env_real.monotonic_us(NULL);
        assert_int_equal(faulty()->apply(driver, ops, 5, &err), cases[i].result);
        if (cases[i].kind == FERRY_FAULT_HANG || cases[i].kind == FERRY_FAULT_LATE)
            assert_true(ferry_env_real.monotonic_us(NULL) - start >= 10000);
        assert_int_equal(ops[0].outcome, cases[i].first);
        assert_int_equal(ops[4].outcome, cases[i].last);
        if (ops[4].outcome != FERRY_DONE)
            assert_non_null(strstr(ops[4].why, "fault: "));
        ferry_ops_clear(ops, 5);
        assert_int_equal(held(router), cases[i].held);
        assert_int_equal(script.fired, 1);
        /* The second call is left alone. */
        make_ops(ops, 5);
        assert_int_equal(faulty()->apply(driver, ops, 5, &err), 0);
        assert_int_equal(ops[4].outcome, cases[i].held > 4 ? FERRY_STALE : FERRY_DONE);
        ferry_ops_clear(ops, 5);
        faulty()->close(driver);
    }
}

static void test_check_read_persist(void **state)
{
    (void)state;
    static const enum ferry_fault_kind kinds[] = {FERRY_FAULT_ERROR,       FERRY_FAULT_DISCONNECT,
                                                  FERRY_FAULT_HANG,        FERRY_FAULT_LOST_REPLY,
                                                  FERRY_FAULT_NOT_APPLIED, FERRY_FAULT_PARTIAL};
    for (size_t i = 0; i < FERRY_COUNT(kinds); i++) {
        struct ferry_op op;
        struct ferry_fib fib = {0};
        struct ferry_err err;
        bool lie = kinds[i] == FERRY_FAULT_NOT_APPLIED, refusal = kinds[i] == FERRY_FAULT_ERROR;
        install((struct ferry_fault_rule){.kind = kinds[i], .nth = 2, .from_then_on = true});
        struct ferry_driver *driver = opened("r1"); /* the first call */
        make_ops(&op, 1);
        assert_int_equal(faulty()->check(driver, &op, 1, &err) == 0, lie || refusal);
        assert_int_equal(op.outcome == FERRY_DONE, lie);
        assert_int_equal(faulty()->read(driver, &(struct ferry_query){.all = true}, &fib, &err) == 0, lie);
        assert_int_equal(faulty()->persist(driver, &err) == 0, lie);
        assert_int_equal(faulty()->announce(driver, &op, 1, &err), 0); /* sim has none: not a call */
        assert_int_equal(script.calls, 4);
        assert_int_equal(script.fired, 3);
        assert_int_equal(held("r1"), 0);
        ferry_fib_clear(&fib);
        ferry_op_clear(&op);
        faulty()->close(driver);
    }
}

static void test_open(void **state)
{
    (void)state;
    struct ferry_driver *driver = NULL;
    struct ferry_err err;
    install(
        (struct ferry_fault_rule){.kind = FERRY_FAULT_LOST_REPLY, .call = FERRY_FAULT_OPEN, .router = "r2"});
    driver = opened("r1");
    faulty()->close(driver);
    driver = NULL;
    assert_int_equal(faulty()->open(&ferry_env_real, &config, "r2", dir, NULL, &driver, &err), -FERRY_EIO);
    assert_null(driver);
    assert_null(ferry_fault_find("no-such-driver"));
    assert_int_equal(rule.matched, 1);
    assert_int_equal(script.calls, 2);
}

static void test_every_nth_call_can_be_hit(void **state)
{
    (void)state;
    size_t n = 1;
    for (;; n++) {
        struct ferry_op op;
        struct ferry_fib fib = {0};
        struct ferry_err err;
        int failures = 0;
        struct ferry_driver *driver = NULL;
        install((struct ferry_fault_rule){.kind = FERRY_FAULT_DISCONNECT, .nth = n});
        make_ops(&op, 1);
        if (faulty()->open(&ferry_env_real, &config, "r1", dir, NULL, &driver, &err) == 0) {
            failures += faulty()->read(driver, &(struct ferry_query){0}, &fib, &err) != 0;
            failures += faulty()->check(driver, &op, 1, &err) != 0;
            failures += faulty()->apply(driver, &op, 1, &err) != 0;
            faulty()->close(driver);
        } else {
            failures++;
        }
        ferry_op_clear(&op);
        if (script.fired == 0)
            break;
        assert_int_equal(failures, 1);
    }
    assert_int_equal(n, 5);
}

/* Runs one apply in a child; returns its wait status. */
static int crash_in_child(enum ferry_fault_kind kind, const char *router)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct ferry_op op;
        struct ferry_err err;
        install((struct ferry_fault_rule){.kind = kind, .call = FERRY_FAULT_APPLY});
        struct ferry_driver *driver;
        if (faulty()->open(&ferry_env_real, &config, router, dir, NULL, &driver, &err) == 0) {
            make_ops(&op, 1);
            faulty()->apply(driver, &op, 1, &err);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_crashes_kill_the_process(void **state)
{
    (void)state;
    int status = crash_in_child(FERRY_FAULT_CRASH_BEFORE, "before");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(held("before"), 0);
    status = crash_in_child(FERRY_FAULT_CRASH_AFTER, "after");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(held("after"), 1);
}

static char crashed_at[64];

static void note_crash(void *ctx, const char *name)
{
    (void)ctx;
    snprintf(crashed_at, sizeof crashed_at, "%s", name);
}

static void test_crash_points_are_told(void **state)
{
    (void)state;
    struct ferry_env env = ferry_env_real;
    struct ferry_driver *driver;
    struct ferry_op op;
    struct ferry_err err;
    env.crash_point = note_crash;
    install((struct ferry_fault_rule){.kind = FERRY_FAULT_CRASH_AFTER, .call = FERRY_FAULT_APPLY});
    assert_int_equal(faulty()->open(&env, &config, "r1", dir, NULL, &driver, &err), 0);
    make_ops(&op, 1);
    assert_int_equal(faulty()->apply(driver, &op, 1, &err), 0);
    assert_string_equal(crashed_at, "driver-apply");
    faulty()->close(driver);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, up, down)
    const struct CMUnitTest tests[] = {
        T(apply),
        T(check_read_persist),
        T(open),
        T(every_nth_call_can_be_hit),
        T(crashes_kill_the_process),
        T(crash_points_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
