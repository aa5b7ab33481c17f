/* See story.h.
 *
 * SPDX-License-Identifier: MIT */
#include "story.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

uint64_t story_clock_us;

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return story_clock_us;
}

static void sleep_clock(void *ctx, uint64_t us)
{
    (void)ctx;
    story_clock_us += us;
}

void story_pass(unsigned seconds)
{
    story_clock_us += UINT64_C(1000000) * seconds;
}

static void plan(struct story *s)
{
    s->plan = world_plan(&s->w, "app", "recovery");
    s->before = world_snapshot(&s->w);
}

void story_init(struct story *s)
{
    *s = (struct story){.plan = NULL};
    world_init(&s->w, "three-site.json", "sim");
    plan(s);
}

void story_init_clocked(struct story *s)
{
    story_init_unplanned(s, "three-site.json");
    plan(s);
}

void story_init_unplanned(struct story *s, const char *topology)
{
    *s = (struct story){.plan = NULL};
    world_init(&s->w, topology, "sim");
    story_clock_us = STORY_START_US;
    s->w.env.realtime_us = s->w.env.monotonic_us = read_clock;
    s->w.env.sleep_us = sleep_clock;
    s->w.config.workers = 1;
}

void story_leave(struct story *s)
{
    ferry_txn_free(s->txn);
    ferry_fleet_free(s->fleet);
    s->txn = NULL;
    s->fleet = NULL;
}

void story_clear(struct story *s)
{
    story_leave(s);
    free(s->before);
    ferry_plan_free(s->plan);
    world_clear(&s->w);
}

void story_begin(struct story *s, const char *kind)
{
    struct ferry_err err = {0};
    struct ferry_txn_options options = {.kind = kind};
    assert_int_equal(ferry_fleet_for_topology(&s->w.config, s->w.topology, &s->fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(s->w.journal, s->fleet, s->plan, &options, &s->txn, NULL, NULL, &err),
                     0);
}

void story_turn_back(struct story *s)
{
    struct ferry_err err = {0};
    story_begin(s, "drill");
    ferry_txn_hold(s->txn);
    assert_int_equal(ferry_txn_run(s->txn, &err), 0);
    assert_int_equal(ferry_txn_abort(s->txn, "the drill is over", &err), 0);
}

void story_recover(struct story *s)
{
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    assert_int_equal(world_recover(&s->w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    story_holds(s, s->before);
}

void story_break(struct story *s, struct ferry_fault_rule *rule)
{
    s->faults = (struct ferry_fault_script){.find = s->w.config.find, .rules = rule, .n_rules = 1};
    ferry_fault_install(&s->faults);
    s->w.config.find = ferry_fault_find;
}

void story_mend(struct story *s)
{
    ferry_fault_install(NULL);
    s->w.config.find = ferry_driver_find;
}

void story_holds(struct story *s, const char *snapshot)
{
    FERRY_AUTOFREE char *now = world_snapshot(&s->w);
    assert_string_equal(now, snapshot);
}

unsigned story_attached(struct story *s)
{
    FERRY_AUTOFREE char *now = world_snapshot(&s->w);
    unsigned n = 0;
    for (const char *p = now; (p = strstr(p, " app gateway")); p++)
        n++;
    return n;
}
