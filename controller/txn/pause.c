/* What is paused: a person lets it go on, has the failed program run once more, or leaves it out.
 *
 *  P1. Who lets it pass is durable before anything else happens.
 *  P2. A paused transaction is taken up only if every router holds, with every attribute, what it held when it paused.
 *  P3. It is paused between stages: everything before is read back, nothing after has begun.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <string.h>

const struct ferry_txn_hook *ferry_txn_paused_at(const struct ferry_txn_record *record)
{
    for (size_t i = 0; record->state == FERRY_TXN_PAUSED && i < record->n_hooks; i++)
        if (record->hooks[i].state == FERRY_HOOK_PAUSED || record->hooks[i].state == FERRY_HOOK_FAILED)
            return &record->hooks[i];
    return NULL;
}

static int not_paused(const struct ferry_txn_record *record, struct ferry_err *err)
{
    return ferry_refuse(err, "not-paused", "transaction %s is %s, not paused", record->id,
                        ferry_txn_state_name(record->state));
}

static int fits(const struct ferry_txn_hook *h, enum ferry_pass how, const char *id, struct ferry_err *err)
{
    if (how == FERRY_RESUME && h->state == FERRY_HOOK_FAILED)
        return ferry_refuse(
            err, "pause",
            "%s is paused at a hook that failed: `ferry retry %s` runs it again, `ferry skip %s` "
            "goes on without it, `ferry rollback %s` undoes everything",
            id, id, id, id);
    if (how == FERRY_RETRY && h->state == FERRY_HOOK_PAUSED)
        return ferry_refuse(
            err, "pause",
            "%s is paused for a person, no hook has failed: `ferry resume %s` goes on, `ferry skip "
            "%s` goes on and notes that the step was left out",
            id, id, id);
    return 0;
}

int ferry_txn_pass(struct ferry_txn *txn, enum ferry_pass how, const char *user, struct ferry_err *err)
{
    static const enum ferry_hook_state states[] = {[FERRY_RESUME] = FERRY_HOOK_DONE,
                                                   [FERRY_RETRY] = FERRY_HOOK_WAITING,
                                                   [FERRY_SKIP] = FERRY_HOOK_SKIPPED};
    static const char *const words[] = {
        [FERRY_RESUME] = "resumed", [FERRY_RETRY] = "retried", [FERRY_SKIP] = "skipped"};
    struct ferry_txn_hook *h = (struct ferry_txn_hook *)ferry_txn_paused_at(&txn->record);
    if (!h)
        return not_paused(&txn->record, err);
    int r = fits(h, how, txn->record.id, err);
    if (r < 0)
        return r;
    struct ferry_txn_hook before = *h;
    h->user = ferry_strdup(user);
    h->ended_us = h->hook.pause ? txn->env->realtime_us(txn->env->ctx) : h->ended_us;
    ferry_txn_hook_mark(txn, h, states[how]);
    ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s by %s: hook %s", words[how], user ? user : "unknown",
                  ferry_boundary_name(h->hook.at));
    ferry_txn_set_state(txn, FERRY_TXN_APPLYING);
    r = ferry_txn_save(txn, "journal-resume", err); /* P1 */
    if (r < 0) {
        free(h->user);
        *h = before;
        txn->record.state = FERRY_TXN_PAUSED;
        return r;
    }
    free(before.user);
    txn->held = false;
    return 0;
}

int ferry_txn_revert_paused(struct ferry_txn *txn, struct ferry_err *err)
{
    if (!txn->record.reason)
        ferry_txn_set_reason(txn, "rolled back while it was paused");
    return ferry_txn_recover_undo(txn, err); /* the routers say how far it had come, not the journal */
}

/* ---- From the journal. ---- */

static void record_cleanup(struct ferry_txn_record **record)
{
    ferry_txn_record_free(*record);
}

static int find(struct ferry_journal *journal, const char *id, char ret_id[static 24], struct ferry_err *err)
{
    FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *record = NULL;
    int r = id ? 1 : ferry_journal_unfinished(journal, true, ret_id, err);
    if (r == 0)
        return ferry_refuse(err, "not-paused", "no transaction is paused");
    if (r > 0)
        r = ferry_journal_get(journal, id ? id : ret_id, &record, err);
    if (r < 0)
        return r;
    memcpy(ret_id, record->id, sizeof record->id);
    return record->state == FERRY_TXN_PAUSED ? 0 : not_paused(record, err);
}

/* P3: where it stands, by the journal. */
static void stand(struct ferry_txn *txn)
{
    txn->stage = txn->record.stages_begun;
    for (size_t i = 0; i < txn->stage; i++)
        ferry_states_stage(txn->plan, txn->states, i, false);
    const struct ferry_txn_hook *h = ferry_txn_paused_at(&txn->record);
    txn->next_hook = h ? (size_t)(h - txn->record.hooks) : txn->record.n_hooks;
    txn->held = true;
}

static int take_up(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                   const struct ferry_txn_options *options, const char *wanted, enum ferry_pass how,
                   struct ferry_txn **ret, struct ferry_hands *drift, struct ferry_err *err)
{
    char id[24];
    FERRY_CLEANUP(ferry_txn_resumed_clear) struct ferry_resumed resumed = {0};
    int r = find(journal, wanted, id, err);
    if (r == 0)
        r = ferry_txn_resume(journal, config, options, id, &resumed, err);
    if (r < 0)
        return r;
    struct ferry_txn *txn = resumed.txn;
    const struct ferry_txn_hook *h = ferry_txn_paused_at(&txn->record);
    if (!h) /* the journal is damaged: better undone than guessed at */
        return not_paused(&txn->record, err);
    stand(txn);
    ferry_journal_lock_note(journal, id);
    r = fits(h, how, id, err);
    if (r == 0)
        r = ferry_txn_check(txn, drift, err); /* P2 */
    if (r == 0)
        r = ferry_txn_pass(txn, how, options->user, err);
    if (r < 0)
        return r;
    txn->taken = ferry_memdup(&resumed, sizeof resumed);
    txn->taken->txn = NULL;
    resumed = (struct ferry_resumed){0};
    *ret = txn;
    return 0;
}

int ferry_txn_take_up(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, const char *id, enum ferry_pass how,
                      struct ferry_txn **ret, struct ferry_hand **ret_drift, size_t *ret_n_drift,
                      struct ferry_err *err)
{
    struct ferry_hands drift = {0};
    int r = ferry_journal_lock(journal, err);
    if (r < 0)
        return r;
    r = take_up(journal, config, options, id, how, ret, &drift, err);
    if (r < 0)
        ferry_journal_unlock(journal);
    if (r == -FERRY_EDRIFT && ret_drift) {
        *ret_drift = drift.v;
        *ret_n_drift = drift.n;
        return r;
    }
    ferry_hands_free(drift.v, drift.n);
    return r;
}
