/* Transactions that await a confirmation, on simulated routers and a clock that the test turns: kept, put off, expired,
 * with routers that have no dead-man or do not answer.  Faults at every call and deaths: test_deadman_crash.c.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman_story.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- With everybody in health. ---- */

static void a_confirm_keeps_it(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init_clocked(&s);
    FERRY_AUTOFREE char *post = deadman_applied(&s);
    assert_int_equal(deadman_apply(&s, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "unfinished");
    assert_non_null(strstr(err.text, "ferry confirm"));
    story_pass(WINDOW_S - 20);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0); /* leaves it alone */
    assert_int_equal(state, FERRY_TXN_AWAITING_CONFIRM);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "not-awaiting");
    story_pass(OVER_S);
    story_holds(&s, post);
    story_clear(&s);
}

static void without_one_the_routers_undo_it(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init_clocked(&s);
    FERRY_AUTOFREE char *post = deadman_applied(&s);
    story_pass(WINDOW_S - 2);
    story_holds(&s, post);
    unsigned nowhere = 0;
    for (unsigned i = 0; i < 20; i++) { /* nobody but the routers is at work */
        story_pass(1);
        assert_true(story_attached(&s) <= 1);
        nowhere += story_attached(&s) == 0;
    }
    assert_in_range(nowhere, 1, 4);
    story_holds(&s, s.before);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), 0); /* late */
    assert_int_equal(state, FERRY_TXN_UNDONE);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    story_holds(&s, s.before);
    story_clear(&s);
}

static void recover_settles_what_is_overdue(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init_clocked(&s);
    free(deadman_applied(&s));
    story_pass(WINDOW_S + 1); /* in the middle of the undo: waits for its end */
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    story_holds(&s, s.before);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 1);
    story_clear(&s);
}

static void it_can_be_put_off(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init_clocked(&s);
    FERRY_AUTOFREE char *post = deadman_applied(&s);
    assert_int_equal(deadman_extend(&s, 10, &state, &err), -FERRY_EREFUSED); /* less than there is */
    assert_string_equal(err.rule, "extend");
    assert_int_equal(deadman_extend(&s, 500, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_AWAITING_CONFIRM);
    story_pass(400);
    story_holds(&s, post);
    story_pass(300);
    story_holds(&s, s.before);
    assert_int_equal(deadman_extend(&s, 500, &state, &err), 0); /* late */
    assert_int_equal(state, FERRY_TXN_UNDONE);
    story_clear(&s);
}

static void it_can_be_taken_back(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    story_init_clocked(&s);
    FERRY_AUTOFREE char *post = deadman_applied(&s);
    assert_int_equal(deadman_say(&s, ferry_txn_revert, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    story_holds(&s, s.before);
    /* Nothing is left armed that would come between a later transaction. */
    assert_int_equal(world_apply(&s.w, s.plan, NULL, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    story_pass(OVER_S);
    story_holds(&s, post);
    story_clear(&s);
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
    story_init_clocked(&s);
    s.w.config.find = find_without;
    assert_int_equal(deadman_apply(&s, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "dead-man");
    story_holds(&s, s.before);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 1); /* nothing had begun */
    story_clear(&s);
}

/* Begins a story in which edge-third fails whatever its dead-man is asked; no route may be written then. */
static int apply_unarmed(struct story *s, enum ferry_fault_kind kind, struct ferry_err *err)
{
    enum ferry_txn_state state;
    struct ferry_fault_rule rule = {
        .kind = kind, .call = FERRY_FAULT_DEADMAN, .router = "edge-third", .nth = 0};
    story_init_clocked(s);
    story_break(s, &rule);
    int r = deadman_apply(s, &state, err);
    assert_non_null(strstr(err->text, "edge-third"));
    story_mend(s);
    story_holds(s, s->before);
    return r;
}

static void one_that_cannot_be_armed_stops_it(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    assert_int_equal(apply_unarmed(&s, FERRY_FAULT_ERROR, &err), -FERRY_EIO);
    free(deadman_applied(&s)); /* the others are free again */
    story_clear(&s);
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
    assert_int_equal(deadman_apply(&s, &state, &err), -FERRY_EREFUSED);
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
    free(deadman_applied(&s));
    story_clear(&s);
}

static void a_silent_one_keeps_all_armed(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_fault_rule rule = {
        .kind = FERRY_FAULT_DISCONNECT, .call = FERRY_FAULT_DEADMAN, .router = "edge-primary", .nth = 0};
    story_init_clocked(&s);
    FERRY_AUTOFREE char *post = deadman_applied(&s);
    story_break(&s, &rule);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "edge-primary"));
    story_mend(&s);
    story_holds(&s, post);
    story_pass(OVER_S);
    story_holds(&s, s.before);
    story_clear(&s);
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
    story_init_clocked(&s);
    free(deadman_applied(&s));
    struct ferry_op op = world_route("192.168.1.0/24", &e), away = ferry_op_swap(&op);
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "verification");
    world_meddle(&s.w, "edge-third", &away);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), 0);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    story_clear(&s);
}

/* One that is refused does not put the deadline off. */
static void a_refused_confirm_gives_no_time(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_entry e = {.type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = 4};
    story_init_clocked(&s);
    free(deadman_applied(&s));
    struct ferry_op op = world_route("192.168.1.0/24", &e), away = ferry_op_swap(&op);
    story_pass(WINDOW_S - 5);
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(deadman_say(&s, ferry_txn_confirm, &state, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "verification");
    world_meddle(&s.w, "edge-third", &away);
    story_pass(5 + 10);
    story_holds(&s, s.before);
    story_clear(&s);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
