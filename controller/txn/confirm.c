/* What awaits its confirmation: kept, put off, or undone.
 *
 *  K1. Committed is said only when every router has answered that its undo will not come any more.
 *  K2. Where one router's undo has begun, everything is undone: by the routers, and what they leave by the engine.
 *  K3. While a router cannot be asked, nothing is confirmed anywhere: the undos stay armed.
 *  K4. A test failover is put off, or undone; it is never confirmed.
 *  K5. A confirm moves no deadline, but K7.  One that is overtaken by it leaves what a death in the middle of it
 *      leaves: undos that end at a state in which the plan has been (D2 of txn_deadman.c); then K2.  A
 *      deadline that is moved in part leaves packets in circles, and where little is left of it routers are
 *      often slow.
 *  K6. Nothing is committed that was not just read back, also where an earlier confirm goes on: a router may
 *      have restarted since, with what was last saved.
 *  K7. An `extend` that was cut off is ended first: two orders of stages, one in the other, would leave what never
 *      was.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <ferry/test.h>

#include <string.h>
#include <time.h>

static uint64_t now_us(const struct ferry_txn *txn)
{
    return txn->env->realtime_us(txn->env->ctx);
}

/* ---- Back. ---- */

int ferry_txn_turn_back(struct ferry_txn *txn, const char *reason, struct ferry_err *err)
{
    (void)ferry_txn_deadman_back(txn); /* they are placed now anyway */
    if (!txn->record.reason)
        ferry_txn_set_reason(txn, reason);
    return ferry_txn_recover_undo(txn, err);
}

/* ---- Forth. ---- */

/* K1, K3.  0 with the record ended or, where `err` says why, a negative code with all as it was. */
static int confirm(struct ferry_txn *txn, struct ferry_err *err)
{
    struct ferry_deadman_look look;
    struct ferry_err why;
    ferry_txn_deadman_look(txn, &look);
    if (look.n[FERRY_DEADMAN_FIRED] || look.n[FERRY_DEADMAN_NONE])
        return ferry_txn_turn_back(txn, "a router had rolled back before the confirm came", err); /* K2 */
    if (look.n_silent) {
        *err = look.why;
        return ferry_error_prefix(err, -FERRY_EIO,
                                  "nothing was confirmed, the undo stays armed on every router");
    }
    int r = look.n[FERRY_DEADMAN_MOVING] ? ferry_txn_deadman_finish(txn, &look, err) : 0; /* K7 */
    if (r > 0)
        return ferry_txn_turn_back(txn, "the deadline passed before the confirm came", err);
    if (r < 0)
        return ferry_error_prefix(err, r, "nothing was confirmed, the undo stays armed on every router");
    if (!ferry_txn_is_whole(txn)) /* K6 */
        return ferry_refuse(err, "verification", "%s: %s",
                            txn->record.reason ? txn->record.reason : "the routers hold something else",
                            look.n[FERRY_DEADMAN_CONFIRMED]
                                ? "an earlier confirm came through, at least in part, and what it confirmed "
                                  "does not stand any more: `ferry rollback` takes all of it back"
                                : "nothing was confirmed, the undo stays armed");
    r = ferry_txn_deadman_confirm(txn, &why); /* K5 */
    if (r > 0)
        return ferry_txn_turn_back(txn, "the deadline passed before the confirm came", err); /* K2 */
    if (r < 0) {
        *err = why;
        return ferry_error_prefix(err, -FERRY_EUNKNOWN,
                                  "confirmed on some routers alone; confirm again before the deadline");
    }
    return ferry_txn_commit(txn, err);
}

int ferry_txn_overdue(struct ferry_txn *txn, struct ferry_err *err)
{
    struct ferry_deadman_look look;
    if (now_us(txn) < txn->record.deadline_us)
        return 0;
    ferry_txn_deadman_look(txn, &look);
    bool all = look.n[FERRY_DEADMAN_CONFIRMED] && !look.n_silent && !look.n[FERRY_DEADMAN_NONE] &&
               !look.n[FERRY_DEADMAN_ARMED] && !look.n[FERRY_DEADMAN_FIRED];
    if (all && ferry_txn_is_whole(txn))
        return ferry_txn_commit(txn, err); /* a confirm whose end was not heard */
    return ferry_txn_turn_back(
        txn, ferry_test_is(&txn->record) ? FERRY_TEST_EXPIRED : "no confirm came in time", err);
}

static int extend(struct ferry_txn *txn, unsigned seconds, struct ferry_err *err)
{
    struct ferry_deadman_look look;
    ferry_txn_deadman_look(txn, &look);
    if (look.n[FERRY_DEADMAN_FIRED] || look.n[FERRY_DEADMAN_NONE])
        return ferry_txn_turn_back(txn,
                                   ferry_test_is(&txn->record)
                                       ? FERRY_TEST_EXPIRED
                                       : "a router had rolled back before it was extended",
                                   err); /* K2 */
    if (look.n_silent) {
        *err = look.why;
        return ferry_error_prefix(err, -FERRY_EIO, "the deadline stays as it is");
    }
    if (look.n[FERRY_DEADMAN_CONFIRMED])
        return ferry_refuse(err, "extend", "a confirm has come through in part: `ferry confirm %s` ends it",
                            txn->record.id);
    int r = look.n[FERRY_DEADMAN_MOVING] ? ferry_txn_deadman_finish(txn, &look, err) : 0; /* K7 */
    if (!r && look.least_left_s > seconds)
        return ferry_refuse(err, "extend", "%u s are left already: that would be less", look.least_left_s);
    if (!r)
        r = ferry_txn_deadman_set(txn, seconds, err);
    if (r > 0)
        return ferry_txn_turn_back(txn, "the deadline passed before it was extended", err);
    if (r < 0)
        return ferry_error_prefix(err, -FERRY_EUNKNOWN, "not extended on every router; extend again");
    ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "extended by %u s from now", seconds);
    return ferry_txn_save(txn, "journal-await", err);
}

/* ---- The verbs. ---- */

enum verb { CONFIRM, EXTEND, REVERT };
static const char *const verb_names[] = {[CONFIRM] = "confirm", [EXTEND] = "extend", [REVERT] = "rollback"};

static void record_cleanup(struct ferry_txn_record **record)
{
    ferry_txn_record_free(*record);
}

/* 0: it awaits.  1: it has ended, `ret` has the record. */
static int find(struct ferry_journal *journal, const char *id, enum verb verb, char ret_id[static 24],
                struct ferry_txn_record **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *record = NULL;
    char crashed[24];
    int r = id ? 1 : ferry_journal_unfinished(journal, true, ret_id, err);
    if (r == 0)
        return ferry_refuse(err, "not-awaiting", "no transaction awaits a confirmation");
    if (r > 0)
        r = ferry_journal_get(journal, id ? id : ret_id, &record, err);
    if (r < 0)
        return r;
    memcpy(ret_id, record->id, sizeof record->id);
    if (ferry_test_is(record) && verb == CONFIRM) /* K4 */
        return ferry_refuse(err, "test-running",
                            "transaction %s is a test failover, which is never kept: `ferry extend %s "
                            "DURATION` gives it more time, `ferry test-failover --cleanup` ends it",
                            record->id, record->id);
    if (record->state == FERRY_TXN_AWAITING_CONFIRM || (record->state == FERRY_TXN_PAUSED && verb == REVERT))
        return 0;
    if (record->state == FERRY_TXN_PAUSED)
        return ferry_refuse(err, "not-awaiting",
                            "transaction %s is paused: `ferry resume`, `retry` or `skip` goes on",
                            record->id);
    if (ferry_journal_unfinished(journal, false, crashed, err) > 0 && !strcmp(crashed, record->id))
        return ferry_refuse(err, "unfinished", "transaction %s is %s: run `ferry recover`", record->id,
                            ferry_txn_state_name(record->state));
    if (!record->deadline_us)
        return ferry_refuse(err, "not-awaiting", "transaction %s is %s: it never awaited a confirmation",
                            record->id, ferry_txn_state_name(record->state));
    if (verb == EXTEND && record->state == FERRY_TXN_COMMITTED)
        return ferry_refuse(err, "not-awaiting",
                            "transaction %s is committed: no deadline is left to put off", record->id);
    *ret = FERRY_STEAL(record);
    return 1;
}

static int act_locked(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, const char *wanted, enum verb verb,
                      unsigned seconds, struct ferry_txn_record **ret, struct ferry_err *err)
{
    char id[24];
    int r = find(journal, wanted, verb, id, ret, err);
    if (r)
        return r < 0 ? r : 0;
    FERRY_CLEANUP(ferry_txn_resumed_clear) struct ferry_resumed resumed;
    r = ferry_txn_resume(journal, config, options, id, &resumed, err);
    if (r < 0)
        return r;
    ferry_journal_lock_note(journal, id);
    resumed.txn->stage = resumed.txn->plan->n_stages;
    bool test = ferry_test_is(&resumed.txn->record);
    ferry_txn_say(resumed.txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s by %s", verb_names[verb],
                  options->user ? options->user : "unknown"); /* the record names who began it */
    if (verb == CONFIRM)
        r = confirm(resumed.txn, err);
    else if (verb == EXTEND)
        r = extend(resumed.txn, seconds, err);
    else if (resumed.txn->record.state == FERRY_TXN_PAUSED)
        r = ferry_txn_revert_paused(resumed.txn, err);
    else
        r = ferry_txn_turn_back(resumed.txn, test ? FERRY_TEST_OVER : "rolled back before the confirm", err);
    return r < 0 ? r : ferry_journal_get(journal, id, ret, err);
}

static int act(struct ferry_journal *journal, const struct ferry_fleet_config *config,
               const struct ferry_txn_options *options, const char *id, enum verb verb, unsigned seconds,
               struct ferry_txn_record **ret, struct ferry_err *err)
{
    int r = ferry_journal_lock(journal, err);
    if (r < 0)
        return r;
    r = act_locked(journal, config, options, id, verb, seconds, ret, err);
    ferry_journal_unlock(journal);
    return r;
}

int ferry_txn_confirm(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, const char *id, struct ferry_txn_record **ret,
                      struct ferry_err *err)
{
    return act(journal, config, options, id, CONFIRM, 0, ret, err);
}

int ferry_txn_extend(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                     const struct ferry_txn_options *options, const char *id, unsigned seconds,
                     struct ferry_txn_record **ret, struct ferry_err *err)
{
    return act(journal, config, options, id, EXTEND, seconds, ret, err);
}

int ferry_txn_revert(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                     const struct ferry_txn_options *options, const char *id, struct ferry_txn_record **ret,
                     struct ferry_err *err)
{
    return act(journal, config, options, id, REVERT, 0, ret, err);
}
