/* See deadman_wire.h.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman_wire.h"

#include "base/mem.h"
#include "opened.h"
#include "txn/txn_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The wire. ---- */

#define TELLS (1u << FERRY_DEADMAN_ARM | 1u << FERRY_DEADMAN_EXTEND | 1u << FERRY_DEADMAN_NEXT)

struct wire wire;

static struct ferry_driver_ops wire_ops;

static bool hears(const char *router)
{
    return !wire.cut &&
           !(wire.silent && !strcmp(wire.silent, router) && story_clock_us < wire.silent_until_us);
}

/* 0, or the call fails after a driver's patience. */
static int reach(const struct ferry_driver *driver, struct ferry_err *err)
{
    if (hears(opened_name(driver)))
        return 0;
    story_pass(wire.cut ? 0 : 3);
    return ferry_error(err, FERRY_EUNKNOWN, "no answer");
}

static int wire_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                     const char *router, const char *state_dir, const struct ferry_fib *initial,
                     struct ferry_driver **ret, struct ferry_err *err)
{
    if (!hears(router))
        return ferry_error(err, FERRY_EIO, "cannot be reached");
    return opened_open(env, config, router, state_dir, initial, ret, err);
}

static int wire_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                     struct ferry_err *err)
{
    int r = reach(driver, err);
    return r < 0 ? r : simulator()->read(driver, query, ret, err);
}

static int wire_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    enum ferry_deadman_state state = FERRY_DEADMAN_NONE;
    unsigned left;
    int r = reach(driver, err);
    if (r < 0)
        return r;
    if (opened_is(driver, wire.slow)) {
        story_pass(9);
        wire.slowed++;
    }
    if (*wire.id)
        r = simulator()->deadman(driver, FERRY_DEADMAN_LOOK, &(struct ferry_deadman){.id = wire.id}, &state,
                                 &left, err);
    wire.begun += r == 0 && state == FERRY_DEADMAN_FIRED ? (unsigned)n : 0; /* on a worker: no assert */
    wire.ops += (unsigned)n;
    if (wire.fatal)
        _exit(0);
    return r < 0 ? r : simulator()->apply(driver, ops, n, err);
}

static int wire_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                        const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                        unsigned *ret_left_s, struct ferry_err *err)
{
    if (wire.verbs & 1u << verb)
        wire.cut |= wire.left-- == 0;
    int r = reach(driver, err);
    if (r < 0)
        return r;
    if (verb == FERRY_DEADMAN_LIMIT && opened_is(driver, wire.slow_limit)) {
        story_pass(10);
        if (++wire.limits % 3)
            return ferry_error(err, FERRY_EUNKNOWN, "no answer");
    }
    wire.moves += !!(MOVES & 1u << verb);
    if (verb == FERRY_DEADMAN_LIMIT)
        story_pass(wire.limit_s);
    if (opened_is(driver, wire.far) && (TELLS & 1u << verb))
        story_pass(FAR_S);
    story_clock_us += wire.way_us;
    if (verb == FERRY_DEADMAN_ARM)
        snprintf(wire.id, sizeof wire.id, "%s", deadman->id);
    r = simulator()->deadman(driver, verb, deadman, ret, ret_left_s, err);
    if (r == 0 && opened_is(driver, wire.at_it)) {
        *ret = FERRY_DEADMAN_FIRED;
        *ret_left_s = 1;
    }
    return r;
}

static const struct ferry_driver_ops *wire_find(const char *type)
{
    return ferry_driver_find(type) ? &wire_ops : NULL;
}

static void wire_reset(void)
{
    memset(&wire, 0, sizeof wire);
    wire.left = NEVER;
}

/* From now on so many calls of these verbs come through. */
void cut_after(unsigned n, unsigned verbs)
{
    wire.verbs = verbs;
    wire.left = n;
}

/* ---- A story. ---- */

static void use_wire(struct world *w)
{
    wire_reset();
    wire_ops = opened_ops();
    wire_ops.open = wire_open;
    wire_ops.read = wire_read;
    wire_ops.apply = wire_apply;
    wire_ops.deadman = wire_deadman;
    w->config.find = wire_find;
}

void prepare(struct story *s, const char *topology)
{
    story_init_unplanned(s, topology);
    use_wire(&s->w);
    s->plan = world_plan(&s->w, "app", "recovery");
    s->before = world_snapshot(&s->w);
}

void prepare_plain(struct story *s)
{
    prepare(s, "three-site.json");
}

void prepare_bgp(struct story *s)
{
    prepare(s, "three-site-bgp.json");
}

/* r2 is the new gateway of `app` and the old one of `db`: at the undo it does both. */
static void prepare_two(struct story *s, const char *db_to)
{
    struct ferry_err err;
    story_init_unplanned(s, "../tests/fixtures/txn/handed-on.json");
    use_wire(&s->w);
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(s->w.topology, pool, (uint32_t[]){0, 1}, 2);
    struct ferry_fleet *fleet = world_fleet(&s->w);
    struct ferry_move moves[] = {{0, ferry_topology_site(s->w.topology, "two")},
                                 {1, ferry_topology_site(s->w.topology, db_to)}};
    assert_int_equal(ferry_fleet_read_live(fleet, live, &err), 0);
    if (ferry_plan_make(live, moves, FERRY_COUNT(moves), &s->plan, &err) < 0)
        fail_msg("%s", err.text);
    ferry_fleet_free(fleet);
    ferry_live_free(live);
    ferry_pool_free(pool);
    s->before = world_snapshot(&s->w);
}

void prepare_handed_on(struct story *s)
{
    prepare_two(s, "three");
}

void prepare_exchanged(struct story *s) /* and r1 does */
{
    prepare_two(s, "one");
}

enum ferry_txn_state apply(struct story *s, progress_fn *progress)
{
    struct ferry_txn_options options = {.kind = "apply",
                                        .user = "test",
                                        .confirm_within_s = WINDOW_S,
                                        .progress = progress,
                                        .progress_ctx = s};
    struct ferry_err err;
    enum ferry_txn_state state;
    if (world_apply(&s->w, s->plan, &options, &state, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return state;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

/* What one router holds; malloc'd. */
static char *part_of(const char *snapshot, const char *router)
{
    char *ret = NULL;
    size_t size, len = strlen(router);
    FILE *out = open_memstream(&ret, &size);
    for (const char *line = snapshot; *line; line = strchr(line, '\n') + 1)
        if (!strncmp(line, router, len) && line[len] == ' ')
            fwrite(line, 1, (size_t)(strchr(line, '\n') - line), out);
    fclose(out);
    return ret;
}

/* Whether every router stands before or after the same stage. */
bool has_been(const struct story *s, char *const *states, const char *now)
{
    for (size_t k = 0; k < s->plan->n_stages; k++) {
        size_t fits = 0;
        for (size_t r = 0; r < s->w.topology->n_routers; r++) {
            const char *name = s->w.topology->routers[r].name;
            FERRY_AUTOFREE char *here = part_of(now, name), *before = part_of(states[k], name),
                                *after = part_of(states[k + 1], name);
            fits += !strcmp(here, before) || !strcmp(here, after);
        }
        if (fits == s->w.topology->n_routers)
            return true;
    }
    return false;
}

/* [stage]: what the routers hold before it; the last one: after all of them. */
char **states_of_plan(prepare_fn *prepare_it, size_t *ret_n)
{
    struct story s;
    struct ferry_err err;
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    struct ferry_txn_options options = {.kind = "apply"};
    prepare_it(&s);
    size_t n = s.plan->n_stages;
    char **states = ferry_calloc(n + 1, sizeof *states);
    assert_int_equal(ferry_fleet_for_topology(&s.w.config, s.w.topology, &fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(s.w.journal, fleet, s.plan, &options, &txn, NULL, NULL, &err), 0);
    for (size_t k = 0; k <= n; k++) {
        while (txn->stage < k)
            assert_true(ferry_txn_step(txn, &err) >= 0);
        states[k] = world_snapshot(&s.w);
    }
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    story_clear(&s);
    *ret_n = n + 1;
    return states;
}

void free_states(char **states, size_t n)
{
    for (size_t k = 0; k < n; k++)
        free(states[k]);
    free(states);
}

/* From now on nobody but the routers is at work: whatever they have been told of the new deadline. */
void let_them_undo(struct story *s, char *const *states, unsigned n)
{
    FERRY_AUTOFREE char *last = ferry_strdup("");
    unsigned step = wire.far ? 1 : 2; /* D3: no stage is shorter */
    for (unsigned at = 0; at < OVER_S; at += step, story_pass(step)) {
        char *now = world_snapshot(&s->w);
        bool same = !strcmp(now, last);
        free(last);
        last = now;
        if (same)
            continue;
        if (count(now, " app gateway") > 1 || count(now, " db gateway") > 1)
            fail_msg("cut off after %u calls, at two sites %u s later:\n%s", n, at, now);
        if (!has_been(s, states, now))
            fail_msg("cut off after %u calls, where the plan has never been %u s later:\n%s", n, at, now);
    }
    story_holds(s, s->before);
}
