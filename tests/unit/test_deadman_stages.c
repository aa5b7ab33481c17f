/* When routers undo which stage, and what the engine does meanwhile: deadlines that are far apart, pins of a stage that never
 * came, a stage that begins late, an undo that lasts into the deadline.  Each met alone, as in test_deadman_guards.c.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman_wire.h"

#include "base/mem.h"
#include "txn/deadman_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- D3: deadlines that are far apart. ---- */

/* Who is two stages behind the others has packets sent to it that it sends back. */
static void stages_are_as_far_apart_as_deadlines(void **unused)
{
    static const char *const routers[] = {"edge-primary", "edge-recovery", "edge-third"};
    size_t n_states;
    char **states = states_of_plan(prepare_plain, &n_states);
    (void)unused;
    for (size_t i = 0; i < FERRY_COUNT(routers); i++) {
        struct story s;
        prepare_plain(&s);
        wire.far = routers[i];
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        let_them_undo(&s, states, 0);
        story_clear(&s);
    }
    free_states(states, n_states);
}

/* Stages were near each other when it was armed: then nobody comes to a deadline that one hears of so late. */
static void a_deadline_that_one_hears_of_too_late_is_nobodys(void **unused)
{
    size_t n_states;
    char **states = states_of_plan(prepare_plain, &n_states);
    (void)unused;
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    prepare_plain(&s);
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    wire.far = "edge-primary";
    assert_int_equal(ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, 900, &record, &err),
                     -FERRY_EUNKNOWN);
    assert_non_null(strstr(err.text, "too slowly"));
    let_them_undo(&s, states, 0); /* at the first one */
    story_clear(&s);
    free_states(states, n_states);
}

/* One router needs long for it, and the next stage is another one's. */
static void stages_of_many_changes_are_farther_apart(void **unused)
{
    (void)unused;
    struct story s;
    prepare_plain(&s);
    size_t n = s.plan->groups[0].n_subnets;
    unsigned few = ferry_deadman_guard_s(s.plan, 1, 60);
    s.plan->groups[0].n_subnets = 8000;
    unsigned many = ferry_deadman_guard_s(s.plan, 1, 60);
    s.plan->groups[0].n_subnets = n;
    assert_int_equal(few, 2);
    assert_in_range(many, few + 8, 60);
    story_clear(&s);
}

/* Answers take time, however little; the longest extend is as good as any. */
static void the_longest_extend_asks_for_no_more_than_there_is(void **unused)
{
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    (void)unused;
    prepare_plain(&s);
    wire.way_us = 1000;
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    if (ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, FERRY_EXTEND_MOST_S, &record, &err) < 0)
        fail_msg("%s", err.text);
    ferry_txn_record_free(record);
    story_clear(&s);
}

/* ---- D8: pins of a stage that never came. ---- */

/* Whether a route of Ferry leads another way than what the router held: "ROUTER app unicast via … dev …", then
 * its metric. */
static bool has_other_pin(const char *now, const char *pre)
{
    for (const char *line = now, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        FERRY_AUTOFREE char *one = strndup(line, (size_t)(end - line));
        char *metric = strstr(one, " metric ");
        if (!metric || !strstr(one, " unicast ") || !strstr(one, " protocol ferry"))
            continue;
        *metric = 0;
        if (!strstr(pre, one))
            return true;
    }
    return false;
}

static void what_was_never_begun_lays_no_pins(void **unused)
{
    (void)unused;
    struct story s;
    int status;
    prepare(&s, "three-site-bgp.json");
    assert_true(ferry_deadman_late(s.plan) < s.plan->n_stages);
    wire.fatal = true;
    pid_t child = fork();
    if (!child) {
        apply(&s, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* all are armed, and nothing is written */
    story_pass(ARMED_S - 2);
    for (unsigned at = ARMED_S - 2; at < ARMED_S + 40; at++, story_pass(1)) {
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        if (has_other_pin(now, s.before))
            fail_msg("%u s later:\n%s", at, now);
    }
    story_holds(&s, s.before);
    story_clear(&s);
}

/* Whoever is armed, and not reached any more when that came to nothing, is left as it is when its deadline comes. */
static void what_came_to_nothing_has_nothing_to_undo(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_txn_options options = {.kind = "apply", .user = "test", .confirm_within_s = WINDOW_S};
    struct ferry_err err;
    enum ferry_txn_state state;
    prepare_plain(&s);
    cut_after(2, 1u << FERRY_DEADMAN_ARM); /* the third router hears of nothing */
    assert_int_equal(world_apply(&s.w, s.plan, &options, &state, NULL, &err), -FERRY_EUNKNOWN);
    assert_true(wire.cut);
    for (unsigned at = 0; at < OVER_S; at++, story_pass(1)) {
        story_holds(&s, s.before);
    }
    wire.cut = false;
    cut_after(NEVER, 0);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    story_clear(&s);
}

static void die_at_the_hook(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    (void)ctx, (void)stage;
    if (event == FERRY_EVENT_NOTE && strstr(text, "hook before-prepare"))
        _exit(0);
}

/* Before the first stage is before its hook, too, however long that lasts. */
static void what_died_in_a_hook_before_it_has_nothing_to_undo(void **unused)
{
    (void)unused;
    struct story s;
    int status;
    char **argv = ferry_calloc(2, sizeof *argv);
    prepare_plain(&s);
    argv[0] = ferry_strdup("/bin/true");
    ferry_hooks_add(&s.plan->hooks,
                    &(struct ferry_hook){.at = FERRY_BEFORE_PREPARE, .run = argv, .timeout_s = 5});
    ferry_plan_seal(s.plan);
    pid_t child = fork();
    if (!child) {
        apply(&s, die_at_the_hook);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (unsigned at = 0; at < OVER_S; at++, story_pass(1)) {
        story_holds(&s, s.before);
    }
    story_clear(&s);
}

/* ---- D4: a stage that begins late. ---- */

static void near_the_deadline(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    (void)ctx, (void)text;
    if (event == FERRY_EVENT_STAGE_DONE && stage == 0)
        story_clock_us = STORY_START_US + 1000000ull * (ARMED_S - 17); /* enough for the next stage */
}

/* Nothing comes to a router after its undo has begun: before a stage the deadline is far enough, or put off.
 */
static void no_stage_begins_shortly_before_the_deadline(void **unused)
{
    (void)unused;
    struct story s;
    prepare(&s, "three-site.json");
    wire.slow = "edge-primary"; /* which detaches it, and then goes another way */
    assert_int_equal(apply(&s, near_the_deadline), FERRY_TXN_AWAITING_CONFIRM);
    assert_true(story_clock_us > STORY_START_US + 1000000ull * ARMED_S); /* it was put off */
    assert_true(wire.slowed >= 2);
    assert_int_equal(wire.begun, 0);
    wire.slow = NULL;
    story_pass(OVER_S);
    story_holds(&s, s.before);
    story_clear(&s);
}

/* ---- D6: an undo that lasts into the deadline. ---- */

static void one_falls_silent(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    const struct story *s = ctx;
    size_t late = ferry_deadman_late(s->plan);
    if (event != FERRY_EVENT_STAGE_START || stage != late || !strstr(text, "undo") || wire.silent)
        return;
    const struct ferry_stage *last = &s->plan->stages[late];
    wire.silent = s->plan->routers[last->changes[last->n_changes - 1].router].name;
    wire.silent_until_us = story_clock_us + 1000000ull * OVER_S / 2;
}

/* The routers have undone all of it while one was asked in vain: the engine finds them where they are.  Had it
 * gone on where it was, it would lay pins again that nobody has. */
static void where_the_routers_are_is_found_anew(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_err err;
    prepare(&s, "three-site-bgp.json");
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    story_pass(WINDOW_S - 19); /* enough for the first looks */
    wire.ops = 0;
    struct ferry_txn_options options = {.user = "test", .progress = one_falls_silent, .progress_ctx = &s};
    assert_int_equal(ferry_txn_revert(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
    assert_non_null(wire.silent); /* it came to that */
    assert_true(wire.ops > 0);    /* before the deadline */
    assert_int_equal(wire.begun, 0);
    assert_int_equal(record->state, FERRY_TXN_UNDONE);
    story_holds(&s, s.before);
    ferry_txn_record_free(record);
    story_clear(&s);
}

/* Asking one router took until the others had begun. */
static void nothing_is_sent_into_their_own_undo(void **unused)
{
    static const char *const topologies[] = {"three-site.json", "three-site-bgp.json"};
    (void)unused;
    unsigned undone = 0;
    for (size_t t = 0; t < FERRY_COUNT(topologies); t++)
        for (unsigned left = 16, n = 0; left < WINDOW_S; left++, n++) {
            struct story s;
            struct ferry_txn_record *record = NULL;
            struct ferry_txn_options options = {.user = "test"};
            struct ferry_err err;
            prepare(&s, topologies[t]);
            assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
            story_pass(WINDOW_S - left);
            wire.slow_limit = s.plan->routers[n % s.plan->n_routers].name;
            wire.begun = 0;
            assert_int_equal(ferry_txn_revert(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
            assert_int_equal(wire.begun, 0);
            undone += record->state == FERRY_TXN_UNDONE;
            ferry_txn_record_free(record);
            story_pass(OVER_S);
            story_holds(&s, s.before);
            story_clear(&s);
        }
    assert_true(undone > 0);
}

/* D5: what is still at it may write into what comes next. */
static void there_is_no_end_while_one_undoes(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_err err;
    enum ferry_txn_state state;
    prepare_plain(&s);
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    story_pass(OVER_S);
    story_holds(&s, s.before);
    wire.at_it = "edge-primary";
    assert_int_equal(world_recover(&s.w, &state, &record, &err), 0);
    assert_int_equal(state, FERRY_TXN_STUCK);
    assert_int_equal(record->n_hands, 1);
    assert_string_equal(record->hands[0].router, "edge-primary");
    assert_string_equal(record->hands[0].key, "dead-man");
    ferry_txn_record_free(record);
    wire.at_it = NULL;
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    story_clear(&s);
}

/* ---- D9: an undo that is cut off. ---- */

static unsigned dies_at; /* counted in what is said once the undo begins */

static void die_in_the_undo(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    (void)ctx, (void)stage, (void)text;
    if (event != FERRY_EVENT_NOTE && !dies_at--)
        _exit(0);
}

/* Who has died in the middle of its undo has left nothing that leads forward again. */
static void undo_in_part(prepare_fn *prepare_it)
{
    size_t n_states;
    char **states = states_of_plan(prepare_it, &n_states);
    for (unsigned n = 0, ended = 0; !ended; n++) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_err err;
        struct ferry_txn_options options = {.user = "test", .progress = die_in_the_undo};
        int status;
        prepare_it(&s);
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        dies_at = n;
        pid_t child = fork();
        if (!child)
            _exit(ferry_txn_revert(s.w.journal, &s.w.config, &options, NULL, &record, &err) ? 2 : 1);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        ended = WEXITSTATUS(status);
        assert_true(!ended || n >= s.plan->n_stages); /* there was something to cut off */
        let_them_undo(&s, states, n);
        story_clear(&s);
    }
    free_states(states, n_states);
}

static void an_undo_that_is_cut_off_leads_back(void **unused)
{
    (void)unused;
    undo_in_part(prepare_plain);
    undo_in_part(prepare_handed_on);
    undo_in_part(prepare_exchanged);
    undo_in_part(prepare_bgp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_are_as_far_apart_as_deadlines),
        cmocka_unit_test(a_deadline_that_one_hears_of_too_late_is_nobodys),
        cmocka_unit_test(stages_of_many_changes_are_farther_apart),
        cmocka_unit_test(the_longest_extend_asks_for_no_more_than_there_is),
        cmocka_unit_test(what_was_never_begun_lays_no_pins),
        cmocka_unit_test(what_came_to_nothing_has_nothing_to_undo),
        cmocka_unit_test(what_died_in_a_hook_before_it_has_nothing_to_undo),
        cmocka_unit_test(no_stage_begins_shortly_before_the_deadline),
        cmocka_unit_test(where_the_routers_are_is_found_anew),
        cmocka_unit_test(nothing_is_sent_into_their_own_undo),
        cmocka_unit_test(there_is_no_end_while_one_undoes),
        cmocka_unit_test(an_undo_that_is_cut_off_leads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
