/* See deadman_story.h.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

int deadman_apply(struct story *s, enum ferry_txn_state *ret, struct ferry_err *err)
{
    struct ferry_txn_options options = {.kind = "apply", .user = "test", .confirm_within_s = WINDOW_S};
    return world_apply(&s->w, s->plan, &options, ret, NULL, err);
}

char *deadman_applied(struct story *s)
{
    struct ferry_err err = {0};
    enum ferry_txn_state state = FERRY_TXN_STUCK;
    if (deadman_apply(s, &state, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(state, FERRY_TXN_AWAITING_CONFIRM);
    return world_snapshot(&s->w);
}

int deadman_say(struct story *s, deadman_verb *verb, enum ferry_txn_state *ret, struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    int r = verb(s->w.journal, &s->w.config, &options, NULL, &record, err);
    if (r == 0)
        *ret = record->state;
    ferry_txn_record_free(record);
    return r;
}

int deadman_extend(struct story *s, unsigned seconds, enum ferry_txn_state *ret, struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    int r = ferry_txn_extend(s->w.journal, &s->w.config, &options, NULL, seconds, &record, err);
    if (r == 0)
        *ret = record->state;
    ferry_txn_record_free(record);
    return r;
}
