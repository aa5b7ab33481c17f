/* What is left of the routers' undos where a confirm, or a deadline, comes through in part: rules that the simulation meets too
 * rarely to be their test, each met alone.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman_wire.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- D2: a confirm that came through in part. ---- */

/* Whoever dies in the middle of a confirm leaves undos on some routers and none on others. */
static void confirm_in_part(prepare_fn *prepare_it, const char *far)
{
    size_t n_states;
    char **states = states_of_plan(prepare_it, &n_states);
    for (unsigned n = 0, kept = 0; !kept; n++) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_txn_options options = {.user = "test"};
        struct ferry_err err;
        prepare_it(&s);
        wire.far = far;
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        cut_after(n, 1u << FERRY_DEADMAN_LIMIT | 1u << FERRY_DEADMAN_CONFIRM);
        kept = ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err) == 0;
        ferry_txn_record_free(record);
        story_pass(OVER_S); /* nobody but the routers is at work */
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        if (!has_been(&s, states, now))
            fail_msg("cut off after %u calls it leads to\n%s", n, now);
        assert_true(!kept || n > s.w.topology->n_routers); /* there was something to cut off */
        story_clear(&s);
    }
    free_states(states, n_states);
}

static void a_confirm_that_is_cut_off_leads_to_where_the_plan_has_been(void **unused)
{
    (void)unused;
    confirm_in_part(prepare_plain, NULL);
    confirm_in_part(prepare_exchanged, NULL);
    confirm_in_part(prepare_plain, "edge-third"); /* stages are as far apart as when they were armed */
}

/* ---- K5: a confirm near the deadline. ---- */

static void confirm_late(unsigned limit_s, enum ferry_txn_state wanted)
{
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    prepare(&s, "three-site.json");
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    FERRY_AUTOFREE char *post = world_snapshot(&s.w);
    story_pass(WINDOW_S - 4);
    wire.limit_s = limit_s;
    wire.moves = 0;
    assert_int_equal(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
    assert_int_equal(record->state, wanted);
    assert_int_equal(wire.moves, 0);
    ferry_txn_record_free(record);
    story_pass(OVER_S);
    FERRY_AUTOFREE char *now = world_snapshot(&s.w);
    assert_string_equal(now, wanted == FERRY_TXN_COMMITTED ? post : s.before);
    story_clear(&s);
}

/* What is not moved cannot be moved in part.  Where the deadline comes first it is undone, whatever part of it
 * was given up. */
static void a_confirm_moves_no_deadline(void **unused)
{
    (void)unused;
    confirm_late(0, FERRY_TXN_COMMITTED);
    confirm_late(1, FERRY_TXN_UNDONE);
}

/* ---- K6: what an earlier confirm kept is looked at again. ---- */

static void confirm_again(unsigned n, unsigned verbs)
{
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    struct ferry_entry e = {.type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = 4};
    struct ferry_op op = world_route("192.168.1.0/24", &e), away = ferry_op_swap(&op);
    prepare(&s, "three-site.json");
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    cut_after(n, verbs);
    assert_true(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err) < 0);
    assert_true(wire.cut);
    wire.cut = false;
    cut_after(NEVER, 0);
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err),
                     -FERRY_EREFUSED);
    assert_string_equal(err.rule, "verification");
    assert_non_null(strstr(err.text, "an earlier confirm"));
    world_meddle(&s.w, "edge-third", &away);
    assert_int_equal(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
    assert_int_equal(record->state, FERRY_TXN_COMMITTED);
    ferry_txn_record_free(record);
    story_clear(&s);
}

static void an_earlier_confirm_vouches_for_nothing(void **unused)
{
    (void)unused;
    confirm_again(3, 1u << FERRY_DEADMAN_LOOK); /* all confirmed, and nobody heard it */
    confirm_again(3, 1u << FERRY_DEADMAN_LIMIT | 1u << FERRY_DEADMAN_CONFIRM);
}

/* ---- D2, L1: a deadline that was moved in part. ---- */

/* Cuts the wire after each of the messages of one `extend`, or of the beginning of a window. */
static void move_in_part(prepare_fn *prepare_it, bool earlier, unsigned step)
{
    size_t n_states;
    char **states = states_of_plan(prepare_it, &n_states);
    for (unsigned n = 0, told = 0; !told; n += step) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_txn_options options = {.user = "test", .kind = "apply", .confirm_within_s = WINDOW_S};
        struct ferry_err err;
        enum ferry_txn_state state = FERRY_TXN_READY;
        prepare_it(&s);
        if (earlier)
            cut_after(n, MOVES);
        int r = world_apply(&s.w, s.plan, &options, &state, NULL, &err);
        told = r == 0 && state == FERRY_TXN_AWAITING_CONFIRM;
        if (!earlier) {
            assert_true(told);
            cut_after(n, MOVES);
            told = ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, 100, &record, &err) == 0;
        }
        ferry_txn_record_free(record);
        let_them_undo(&s, states, n);
        assert_true(!told || n > 2 * s.w.topology->n_routers); /* there was something to cut off */
        story_clear(&s);
    }
    free_states(states, n_states);
}

static void a_deadline_that_is_put_off_in_part_leads_over_the_plan(void **unused)
{
    (void)unused;
    move_in_part(prepare_plain, false, 1);
    move_in_part(prepare_handed_on, false, 3);
    move_in_part(prepare_exchanged, false, 3);
    move_in_part(prepare_bgp, false, 7);
}

static void a_window_that_begins_in_part_leads_over_the_plan(void **unused)
{
    (void)unused;
    move_in_part(prepare_plain, true, 1);
    move_in_part(prepare_handed_on, true, 3);
    move_in_part(prepare_exchanged, true, 3);
    move_in_part(prepare_bgp, true, 7);
}

/* K7, RESTS: what was put off in part, and has undone a part of it, obeys whoever comes then. */
static void what_was_put_off_in_part_is_settled(unsigned wait_s, enum ferry_txn_state wanted)
{
    for (unsigned n = 0, told = 0; !told; n++) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_txn_options options = {.user = "test"};
        struct ferry_err err;
        prepare_plain(&s);
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        FERRY_AUTOFREE char *post = world_snapshot(&s.w);
        cut_after(n, MOVES);
        told = ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, 900, &record, &err) == 0;
        ferry_txn_record_free(record);
        record = NULL;
        wire.cut = false;
        cut_after(NEVER, 0);
        story_pass(wait_s);
        if (told)
            wanted = FERRY_TXN_COMMITTED;
        if (ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err) < 0)
            fail_msg("after %u calls: %s", n, err.text);
        assert_int_equal(record->state, wanted);
        ferry_txn_record_free(record);
        story_pass(1000);
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        assert_string_equal(now, wanted == FERRY_TXN_COMMITTED ? post : s.before);
        story_clear(&s);
    }
}

static void a_confirm_settles_what_was_put_off_in_part(void **unused)
{
    (void)unused;
    what_was_put_off_in_part_is_settled(5, FERRY_TXN_COMMITTED);
}

static void a_part_of_an_undo_is_no_end(void **unused)
{
    (void)unused;
    what_was_put_off_in_part_is_settled(WINDOW_S + 30, FERRY_TXN_UNDONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_confirm_that_is_cut_off_leads_to_where_the_plan_has_been),
        cmocka_unit_test(a_confirm_moves_no_deadline),
        cmocka_unit_test(an_earlier_confirm_vouches_for_nothing),
        cmocka_unit_test(a_deadline_that_is_put_off_in_part_leads_over_the_plan),
        cmocka_unit_test(a_window_that_begins_in_part_leads_over_the_plan),
        cmocka_unit_test(a_confirm_settles_what_was_put_off_in_part),
        cmocka_unit_test(a_part_of_an_undo_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
