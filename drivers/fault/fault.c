/* The wrapping driver; see fault.h.
 *
 *  1. Every call of the wrapped driver is counted once, before it is made, and at most one rule fires for it.
 *  2. Outcomes are what an honest driver in that trouble would say (FERRY_FAULT_NOT_APPLIED excepted: that is
 *     the lie).
 *
 * SPDX-License-Identifier: MIT */
#include "fault.h"

#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct ferry_driver {
    struct ferry_driver_base base;
    struct ferry_driver *inner;
    const struct ferry_driver_ops *inner_ops;
    const struct ferry_env *env;
    struct ferry_fault_script *script;
    char *router;
};

/* What to do with one call. */
struct verdict {
    enum ferry_fault_kind kind; /* 0: nothing */
    unsigned hang_ms;
    const struct ferry_env *env;
    const struct ferry_fault_script *script;
    enum ferry_fault_call call;
};

static struct ferry_fault_script *_Atomic installed;

static const char *const call_names[] = {
    [FERRY_FAULT_ANY] = "any",           [FERRY_FAULT_OPEN] = "open",       [FERRY_FAULT_READ] = "read",
    [FERRY_FAULT_CHECK] = "check",       [FERRY_FAULT_APPLY] = "apply",     [FERRY_FAULT_PERSIST] = "persist",
    [FERRY_FAULT_ANNOUNCE] = "announce", [FERRY_FAULT_DEADMAN] = "deadman",
};

static const char *const kind_names[] = {
    [0] = "none",
    [FERRY_FAULT_ERROR] = "error",
    [FERRY_FAULT_DISCONNECT] = "disconnect",
    [FERRY_FAULT_HANG] = "hang",
    [FERRY_FAULT_LATE] = "late",
    [FERRY_FAULT_LOST_REPLY] = "lost-reply",
    [FERRY_FAULT_NOT_APPLIED] = "not-applied",
    [FERRY_FAULT_PARTIAL] = "partial",
    [FERRY_FAULT_CRASH_BEFORE] = "crash-before",
    [FERRY_FAULT_CRASH_AFTER] = "crash-after",
};

const char *ferry_fault_call_name(enum ferry_fault_call call)
{
    return call_names[call];
}

const char *ferry_fault_kind_name(enum ferry_fault_kind kind)
{
    return kind_names[kind];
}

static void wait_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0)
        ;
}

static void hang(const struct verdict *verdict)
{
    if (verdict->hang_ms != FERRY_FAULT_HELD)
        wait_ms(verdict->hang_ms);
    else
        while (installed == verdict->script)
            wait_ms(1);
}

static bool fires(struct ferry_fault_rule *rule, enum ferry_fault_call call, const char *router)
{
    if ((rule->call != FERRY_FAULT_ANY && rule->call != call) ||
        (rule->router && strcmp(rule->router, router) != 0))
        return false;
    uint64_t n = atomic_fetch_add(&rule->matched, 1) + 1;
    if (rule->nth && n != rule->nth && !(rule->from_then_on && n > rule->nth))
        return false;
    atomic_fetch_add(&rule->fired, 1);
    return true;
}

/* Invariant 1. */
static struct verdict count(struct ferry_fault_script *script, const struct ferry_env *env,
                            enum ferry_fault_call call, const char *router)
{
    struct verdict verdict = {.env = env, .script = script, .call = call};
    atomic_fetch_add(&script->calls, 1);
    for (size_t i = 0; i < script->n_rules; i++) {
        if (!fires(&script->rules[i], call, router))
            continue;
        atomic_fetch_add(&script->fired, 1);
        verdict.kind = script->rules[i].kind;
        verdict.hang_ms = script->rules[i].hang_ms;
        if (verdict.kind == FERRY_FAULT_LATE) {
            hang(&verdict);
            verdict.kind = 0; /* and then as if nothing were */
        }
        break;
    }
    return verdict;
}

static void crash(const struct verdict *verdict)
{
    char name[32];
    snprintf(name, sizeof name, "driver-%s", call_names[verdict->call]);
    if (verdict->env->crash_point) {
        verdict->env->crash_point(verdict->env->ctx, name);
        return;
    }
    kill(getpid(), SIGKILL);
    pause();
}

static int fail(const struct verdict *verdict, struct ferry_err *err)
{
    const char *call = call_names[verdict->call];
    switch (verdict->kind) {
    case FERRY_FAULT_HANG:
        hang(verdict);
        return ferry_error(err, FERRY_EUNKNOWN, "fault: no answer to %s", call);
    case FERRY_FAULT_LOST_REPLY:
        return ferry_error(err, FERRY_EUNKNOWN, "fault: the answer to %s was lost", call);
    case FERRY_FAULT_PARTIAL:
        return ferry_error(err, FERRY_EUNKNOWN, "fault: the connection broke during %s", call);
    case FERRY_FAULT_DISCONNECT:
        return ferry_error(err, FERRY_EIO, "fault: the connection broke before %s", call);
    case FERRY_FAULT_ERROR:
    case FERRY_FAULT_NOT_APPLIED:
    case FERRY_FAULT_LATE:
    case FERRY_FAULT_CRASH_BEFORE:
    case FERRY_FAULT_CRASH_AFTER:
        break;
    }
    return ferry_error(err, FERRY_EIO, "fault: %s refused", call);
}

static void set_outcomes(struct ferry_op *ops, size_t n, enum ferry_outcome outcome,
                         const struct ferry_err *why)
{
    for (size_t i = 0; i < n; i++) {
        ops[i].outcome = outcome;
        if (why)
            ferry_op_why(&ops[i], "%s", why->text);
    }
}

/* ---- Open and read: nothing on the router changes, so a lost answer is just an error. ---- */

/* Whether the call is to be made; if not, *ret_result is the answer. */
static bool harmless_call(const struct verdict *verdict, int *ret_result, struct ferry_err *err)
{
    switch (verdict->kind) {
    case FERRY_FAULT_NOT_APPLIED:
    case FERRY_FAULT_LATE:
    case FERRY_FAULT_CRASH_AFTER:
        return true;
    case FERRY_FAULT_CRASH_BEFORE:
        crash(verdict);
        return true;
    case FERRY_FAULT_LOST_REPLY:
    case FERRY_FAULT_PARTIAL:
    case FERRY_FAULT_DISCONNECT:
    case FERRY_FAULT_ERROR:
        fail(verdict, err);
        *ret_result = -FERRY_EIO;
        return false;
    case FERRY_FAULT_HANG:
        *ret_result = fail(verdict, err);
        return false;
    }
    return true;
}

static int fault_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                      const char *router, const char *state_dir, const struct ferry_fib *initial,
                      struct ferry_driver **ret, struct ferry_err *err)
{
    struct ferry_fault_script *script = installed;
    const struct ferry_driver_ops *inner = script ? script->find(config->type) : NULL;
    if (!inner)
        return ferry_error(err, FERRY_ESUPPORT, "fault: nothing to wrap for '%s'", config->type);
    struct verdict verdict = count(script, env, FERRY_FAULT_OPEN, router);
    int r = 0;
    if (!harmless_call(&verdict, &r, err))
        return r;
    struct ferry_driver *opened;
    r = inner->open(env, config, router, state_dir, initial, &opened, err);
    if (verdict.kind == FERRY_FAULT_CRASH_AFTER)
        crash(&verdict);
    if (r < 0)
        return r;
    struct ferry_driver *driver = ferry_calloc(1, sizeof *driver);
    driver->base.ops = ferry_fault_find(config->type);
    driver->inner = opened;
    driver->inner_ops = inner;
    driver->env = env;
    driver->script = script;
    driver->router = ferry_strdup(router);
    *ret = driver;
    return 0;
}

static void fault_close(struct ferry_driver *driver)
{
    if (!driver)
        return;
    driver->inner_ops->close(driver->inner);
    free(driver->router);
    free(driver);
}

static int fault_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                      struct ferry_err *err)
{
    struct verdict verdict = count(driver->script, driver->env, FERRY_FAULT_READ, driver->router);
    int r = 0;
    if (!harmless_call(&verdict, &r, err))
        return r;
    r = driver->inner_ops->read(driver->inner, query, ret, err);
    if (verdict.kind == FERRY_FAULT_CRASH_AFTER)
        crash(&verdict);
    return r;
}

/* ---- Check and apply: calls with outcomes. ---- */

typedef int call_fn(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);

/* Invariant 2. */
static int call_with_ops(struct ferry_driver *driver, call_fn *inner, const struct verdict *verdict,
                         struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_err ignored;
    size_t half = n / 2;
    int r;
    switch (verdict->kind) {
    case FERRY_FAULT_ERROR:
        fail(verdict, err);
        set_outcomes(ops, n, FERRY_REFUSED, err);
        return 0;
    case FERRY_FAULT_DISCONNECT:
        r = fail(verdict, err);
        set_outcomes(ops, n, FERRY_REFUSED, err);
        return r;
    case FERRY_FAULT_HANG:
        r = fail(verdict, err);
        set_outcomes(ops, n, FERRY_UNKNOWN, err);
        return r;
    case FERRY_FAULT_LOST_REPLY:
        inner(driver->inner, ops, n, &ignored);
        r = fail(verdict, err);
        set_outcomes(ops, n, FERRY_UNKNOWN, err);
        return r;
    case FERRY_FAULT_NOT_APPLIED:
        set_outcomes(ops, n, FERRY_DONE, NULL);
        return 0;
    case FERRY_FAULT_PARTIAL:
        if (half)
            inner(driver->inner, ops, half, &ignored);
        r = fail(verdict, err);
        set_outcomes(ops + half, n - half, FERRY_UNKNOWN, err);
        return r;
    case FERRY_FAULT_LATE: /* waited already */
        break;
    case FERRY_FAULT_CRASH_BEFORE:
        crash(verdict);
        break;
    case FERRY_FAULT_CRASH_AFTER:
        r = inner(driver->inner, ops, n, err);
        crash(verdict);
        return r;
    }
    return inner(driver->inner, ops, n, err);
}

static int fault_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct verdict verdict = count(driver->script, driver->env, FERRY_FAULT_CHECK, driver->router);
    return call_with_ops(driver, driver->inner_ops->check, &verdict, ops, n, err);
}

static int fault_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct verdict verdict = count(driver->script, driver->env, FERRY_FAULT_APPLY, driver->router);
    ((struct ferry_driver_base *)driver->inner)->more = driver->base.more;
    ((struct ferry_driver_base *)driver->inner)->last = driver->base.last;
    return call_with_ops(driver, driver->inner_ops->apply, &verdict, ops, n, err);
}

/* ---- Persist and announce. ---- */

/* Whether the call is to be made, as for harmless_call. */
static bool plain_call(const struct verdict *verdict, int *ret_result, struct ferry_err *err)
{
    if (verdict->kind == FERRY_FAULT_NOT_APPLIED) {
        *ret_result = 0;
        return false;
    }
    return verdict->kind == FERRY_FAULT_LOST_REPLY || harmless_call(verdict, ret_result, err);
}

static int plain_done(const struct verdict *verdict, int result, struct ferry_err *err)
{
    if (verdict->kind == FERRY_FAULT_CRASH_AFTER)
        crash(verdict);
    return verdict->kind == FERRY_FAULT_LOST_REPLY ? fail(verdict, err) : result;
}

static int fault_persist(struct ferry_driver *driver, struct ferry_err *err)
{
    int r = 0;
    if (!driver->inner_ops->persist)
        return 0;
    struct verdict verdict = count(driver->script, driver->env, FERRY_FAULT_PERSIST, driver->router);
    if (!plain_call(&verdict, &r, err))
        return r;
    return plain_done(&verdict, driver->inner_ops->persist(driver->inner, err), err);
}

static int fault_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                          struct ferry_err *err)
{
    int r = 0;
    if (!driver->inner_ops->announce)
        return 0;
    struct verdict verdict = count(driver->script, driver->env, FERRY_FAULT_ANNOUNCE, driver->router);
    if (!plain_call(&verdict, &r, err))
        return r;
    return plain_done(&verdict, driver->inner_ops->announce(driver->inner, ops, n, err), err);
}

/* A router without a dead-man says so; ferry_fleet_has_deadman cannot see that through this one. */
static int fault_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                         const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                         unsigned *ret_left_s, struct ferry_err *err)
{
    int r = 0;
    if (!driver->inner_ops->deadman)
        return ferry_error(err, FERRY_ESUPPORT, "a %s router has no dead-man", driver->inner_ops->type);
    struct verdict verdict = count(driver->script, driver->env, FERRY_FAULT_DEADMAN, driver->router);
    if (verdict.kind == FERRY_FAULT_NOT_APPLIED)
        *ret = FERRY_DEADMAN_NONE;
    if (!plain_call(&verdict, &r, err))
        return r;
    return plain_done(&verdict,
                      driver->inner_ops->deadman(driver->inner, verb, deadman, ret, ret_left_s, err), err);
}

/* Not counted: it writes nothing. */
static int fault_claim(struct ferry_driver *driver, bool wanted, struct ferry_err *err)
{
    return driver->inner_ops->claim ? driver->inner_ops->claim(driver->inner, wanted, err) : 0;
}

static int fault_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                        size_t size)
{
    struct ferry_fault_script *script = installed;
    const struct ferry_driver_ops *inner = script ? script->find(config->type) : NULL;
    if (size)
        *buf = '\0';
    return inner ? inner->native(config, op, buf, size) : 0;
}

static const struct ferry_driver_ops fault_ops = {
    .type = "fault",
    .open = fault_open,
    .close = fault_close,
    .read = fault_read,
    .check = fault_check,
    .apply = fault_apply,
    .persist = fault_persist,
    .announce = fault_announce,
    .native = fault_native,
    .deadman = fault_deadman,
    .claim = fault_claim,
};

void ferry_fault_install(struct ferry_fault_script *script)
{
    installed = script;
}

const struct ferry_driver_ops *ferry_fault_find(const char *type)
{
    struct ferry_fault_script *script = installed;
    return script && script->find(type) ? &fault_ops : NULL;
}
