/* How a transaction begins: the lock, what the journal and people have to say against it, the routers claimed
 * and read, the plan proven, every intent durable, the dead-men armed; in this order, and nothing is written
 * to a router's routes.  See txn_engine.h; invariants T1 and T2 of txn.c.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <ferry/debt.h>
#include <ferry/test.h>

static void txn_cleanup(struct ferry_txn **txn)
{
    ferry_txn_free(*txn);
}

static int check(struct ferry_txn *txn, struct ferry_hand **ret_drift, size_t *ret_n_drift,
                 struct ferry_err *err)
{
    struct ferry_hands drift = {0};
    int r = ferry_txn_check(txn, &drift, err);
    if (r == -FERRY_EDRIFT && ret_drift) {
        *ret_drift = drift.v;
        *ret_n_drift = drift.n;
        return r;
    }
    ferry_hands_free(drift.v, drift.n);
    return r;
}

static bool is_test(struct ferry_journal *journal, const char *id)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_err ignored;
    bool test = ferry_journal_get(journal, id, &record, &ignored) == 0 && ferry_test_is(record);
    ferry_txn_record_free(record);
    return test;
}

static int refuse_unfinished(struct ferry_journal *journal, struct ferry_err *err)
{
    char id[24], crashed[24];
    int r = ferry_journal_unfinished(journal, true, id, err);
    if (r > 0 && ferry_journal_is_paused(journal, id))
        return ferry_refuse(
            err, "unfinished",
            "transaction %s is paused: `ferry show %s` says at what, `ferry resume`, `retry` or `skip` "
            "goes on, `ferry rollback %s` undoes it",
            id, id, id);
    bool awaits = r > 0 && ferry_journal_unfinished(journal, false, crashed, err) == 0;
    if (awaits && is_test(journal, id))
        return ferry_refuse(err, "unfinished",
                            "a test failover runs (transaction %s): `ferry test-failover --cleanup` ends it, "
                            "then this can begin",
                            id);
    if (awaits)
        return ferry_refuse(err, "unfinished",
                            "transaction %s awaits its confirmation: `ferry confirm %s` keeps it, `ferry "
                            "rollback %s` undoes it",
                            id, id, id);
    if (r > 0)
        return ferry_refuse(err, "unfinished",
                            "transaction %s has not ended; `ferry recover` finishes or undoes it", id);
    return r;
}

int ferry_txn_look(struct ferry_journal *journal, struct ferry_err *err)
{
    struct ferry_err busy;
    int r = refuse_unfinished(journal, err);
    if (r != -FERRY_EREFUSED || ferry_journal_running(journal, &busy) == 0)
        return r;
    *err = busy; /* it runs at this very moment */
    return -FERRY_ELOCKED;
}

/* No route was written: where a router cannot be armed, the transaction has ended before it began; unless one
 * may be armed all the same, for `recover` to disarm. */
static int arm(struct ferry_txn *txn, struct ferry_err *err)
{
    struct ferry_err ignored;
    int r = ferry_txn_deadman_arm(txn, err);
    if (!r)
        return 0;
    bool stuck = txn->record.state == FERRY_TXN_STUCK;
    ferry_txn_set_reason(txn, err->text);
    if (!stuck)
        ferry_txn_set_state(txn, FERRY_TXN_UNDONE);
    txn->record.ended_us = txn->env->realtime_us(txn->env->ctx);
    (void)!ferry_txn_save(txn, "journal-undone", &ignored); /* if not, recover finds nothing to undo */
    if (stuck)
        return ferry_error_prefix(
            err, -FERRY_EUNKNOWN,
            "no route was changed, but an undo may be armed (`ferry recover` disarms it)");
    return r == -FERRY_EUNKNOWN ? -FERRY_EIO : r;
}

static void overrides_cleanup(struct ferry_overrides *overrides)
{
    ferry_overrides_clear(overrides);
}

/* The rules that need the journal; and who has overridden which, for it. */
static int obey(struct ferry_txn *txn, struct ferry_journal *journal, const struct ferry_txn_options *options,
                struct ferry_err *err)
{
    FERRY_CLEANUP(overrides_cleanup) struct ferry_overrides all = {0};
    ferry_overrides_merge(&all, &txn->plan->overrides);
    if (options->overrides)
        ferry_overrides_merge(&all, options->overrides);
    int r = txn->record.undoes || !journal
                ? 0
                : ferry_txn_rested(journal, txn->plan, options->hold_down_s, &all, err);
    if (r < 0)
        return r;
    txn->record.overrides = ferry_calloc(all.n, sizeof *txn->record.overrides);
    for (; txn->record.n_overrides < all.n; txn->record.n_overrides++) {
        const struct ferry_override *o = &all.v[txn->record.n_overrides];
        txn->record.overrides[txn->record.n_overrides] =
            (struct ferry_txn_override){.rule = ferry_strdup(o->rule->name),
                                        .user = ferry_strdup(txn->record.user),
                                        .refused = ferry_strdup(o->refused),
                                        .at_us = txn->record.started_us};
    }
    return 0;
}

/* What the journal says against it. */
static int ask_journal(const struct ferry_txn *txn, struct ferry_journal *journal, struct ferry_err *err)
{
    const char *undoes = txn->record.undoes;
    int r = refuse_unfinished(journal, err);
    if (!r && undoes)
        r = ferry_journal_check_undoable(journal, undoes, err);
    if (!r && undoes)
        r = ferry_journal_refuse_reconciled(journal, txn->plan, undoes, err);
    if (!r)
        r = ferry_journal_refuse_debts(journal, txn->plan, undoes, err);
    return r ? r : ferry_journal_refuse_addresses(journal, txn->plan, err);
}

/* All that can be said against it before a router is asked; `journal` NULL: there is none yet. */
static int may_begin(struct ferry_txn *txn, struct ferry_journal *journal,
                     const struct ferry_txn_options *options, struct ferry_err *err)
{
    int r = ferry_plan_check_readable(txn->plan, err); /* by whoever recovers it */
    if (!r && journal)
        r = ask_journal(txn, journal, err);
    ferry_txn_hooks_init(txn, options->pause_before);
    if (!r)
        r = obey(txn, journal, options, err);
    if (!r && options->confirm_within_s)
        ferry_txn_deadman_init(txn, options->confirm_within_s);
    if (!r)
        r = ferry_txn_hooks_check(txn, err);
    return r ? r : ferry_txn_deadman_check(txn, err);
}

int ferry_txn_precheck(struct ferry_fleet *fleet, struct ferry_plan *plan, struct ferry_hand **ret_drift,
                       size_t *ret_n_drift, struct ferry_err *err)
{
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = ferry_txn_new(&ferry_env_real, fleet, plan, NULL);
    return check(txn, ret_drift, ret_n_drift, err);
}

int ferry_txn_rehearse(struct ferry_journal *journal, struct ferry_fleet *fleet, struct ferry_plan *plan,
                       const struct ferry_txn_options *options, struct ferry_hand **ret_drift,
                       size_t *ret_n_drift, struct ferry_err *err)
{
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = ferry_txn_new(&ferry_env_real, fleet, plan, options);
    int r = may_begin(txn, journal, options, err);
    return r ? r : check(txn, ret_drift, ret_n_drift, err);
}

int ferry_txn_begin(struct ferry_journal *journal, struct ferry_fleet *fleet, struct ferry_plan *plan,
                    const struct ferry_txn_options *options, struct ferry_txn **ret,
                    struct ferry_hand **ret_drift, size_t *ret_n_drift, struct ferry_err *err)
{
    int r = ferry_journal_lock(journal, err); /* T1 */
    if (r < 0)
        return r;
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = ferry_txn_new(journal->env, fleet, plan, options);
    txn->journal = journal;
    r = may_begin(txn, journal, options, err);
    if (!r)
        r = ferry_txn_claim(txn, err); /* before anything is read */
    if (!r)
        r = check(txn, ret_drift, ret_n_drift, err);
    if (r < 0)
        return r;
    if (txn->dead.on) /* from here on an undo may wait on the routers */
        txn->record.deadline_us =
            txn->env->realtime_us(txn->env->ctx) + 1000000ull * (txn->dead.window_s + txn->dead.margin_s);
    if (plan->attest)
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s attests: %s",
                      txn->record.user ? txn->record.user : "somebody", plan->attest);
    /* The journal says so already: it is not written again before the outage is over (T2). */
    txn->record.state = FERRY_TXN_APPLYING;
    r = ferry_journal_begin(journal, &txn->record, err);
    txn->record.state = FERRY_TXN_READY;
    if (!r && txn->dead.on)
        r = arm(txn, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(txn);
    return 0;
}
