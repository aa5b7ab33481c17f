/* After a crash: what was in flight is finished or undone, from the plan in the journal and from the routers
 * alone.
 *
 *  R1. Marks in the journal are not believed (J5 of journal.c): where the transaction stood is found by
 *      reading every key.
 *  R2. A silent or meddled router may stand further than all others show: then the latest stage that fits is
 *      taken, whose undo asks that router first, and stops there while it is silent.  Where no place fits all keys
 *      (a router was restarted with something older), the one that fits most of them is.
 *  R3. Recovering twice changes nothing more: a key that holds `before` is not written.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <string.h>

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

/* What all the keys together say about where the plan stands.  "At k": stages [0, k) done, stage k perhaps in
 * part. */
struct reach {
    size_t *fits; /* [n_stages + 1]: how many keys fit with "at k" */
    size_t n;     /* how many keys were placed */
    size_t least; /* the latest of all keys' earliest places */
    bool doubt;   /* something was silent or foreign */
    size_t moved; /* stages up to the last one whose changes a protocol shows as made */
};

/* The values that one key goes through. */
struct chain {
    const struct ferry_change **changes;
    size_t *stages;
    size_t n;
};

static void place_key(const struct ferry_txn *txn, const struct ferry_cell *cell, const struct chain *chain,
                      const struct ferry_entry *found, struct reach *reach)
{
    size_t last = txn->plan->n_stages, first_fit = SIZE_MAX;
    for (size_t k = 0, i = 0; k <= last; k++) {
        /* chain->changes[i] is the first one in stage k or later */
        while (i < chain->n && chain->stages[i] < k)
            i++;
        const struct ferry_entry *now =
            i < chain->n ? chain->changes[i]->before : chain->changes[chain->n - 1]->after;
        bool fit = ferry_entry_same(ferry_cell_entry(txn->plan, cell, now), found);
        if (!fit && i < chain->n && chain->stages[i] == k)
            fit = ferry_entry_same(ferry_cell_entry(txn->plan, cell, chain->changes[i]->after), found);
        reach->fits[k] += fit;
        if (fit && first_fit == SIZE_MAX)
            first_fit = k;
    }
    if (first_fit == SIZE_MAX) {
        reach->doubt = true;
        return;
    }
    reach->n++;
    if (first_fit > reach->least)
        reach->least = first_fit;
}

static bool same_key(const struct ferry_change *a, const struct ferry_change *b)
{
    return a->kind == b->kind && a->table == b->table && a->metric == b->metric;
}

/* The changes of (group, router), in the order of stages. */
struct changes_of {
    const struct ferry_change **v;
    size_t *stages;
    size_t n;
};

static struct changes_of *index_changes(const struct ferry_plan *plan)
{
    struct changes_of *of = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *of);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            struct changes_of *at = &of[ferry_state_at(plan, c->group, c->router)];
            FERRY_GROW(at->v, at->n);
            FERRY_GROW(at->stages, at->n);
            at->stages[at->n] = s;
            at->v[at->n++] = c;
        }
    return of;
}

static void free_changes(struct changes_of *of, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(of[i].v);
        free(of[i].stages);
    }
    free(of);
}

static void place_protocol(const struct ferry_change *c, size_t stage, const struct ferry_view *view,
                           const struct ferry_view_part *part, size_t cell, struct reach *reach)
{
    const struct ferry_entry *found = ferry_view_key(view, part, cell, c->kind, c->table, c->metric);
    if (ferry_entry_same(c->after, found) && stage >= reach->moved)
        reach->moved = stage + 1;
}

static void place_cell(const struct ferry_txn *txn, const struct ferry_view *view,
                       const struct ferry_view_part *part, size_t cell, const struct changes_of *of,
                       struct reach *reach)
{
    FERRY_AUTOFREE const struct ferry_change **chained = ferry_calloc(of->n, sizeof *chained);
    FERRY_AUTOFREE size_t *stages = ferry_calloc(of->n, sizeof *stages);
    for (size_t i = 0; i < of->n; i++) {
        bool first = !ferry_change_by_itself(of->v[i]);
        if (!first) /* says nothing of how far the rest is, but is told to go back */
            place_protocol(of->v[i], of->stages[i], view, part, cell, reach);
        for (size_t k = 0; first && k < i; k++)
            first = !same_key(of->v[k], of->v[i]);
        if (!first)
            continue;
        struct chain chain = {chained, stages, 0};
        for (size_t k = i; k < of->n; k++)
            if (same_key(of->v[k], of->v[i])) {
                chain.stages[chain.n] = of->stages[k];
                chain.changes[chain.n++] = of->v[k];
            }
        const struct ferry_change *c = of->v[i];
        place_key(txn, &view->cells[cell], &chain,
                  ferry_view_key(view, part, cell, c->kind, c->table, c->metric), reach);
    }
}

/* Reads everything.  True where every router that the plan needs holds exactly the end state. */
static bool look(struct ferry_txn *txn, struct reach *reach)
{
    struct ferry_plan *plan = txn->plan;
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_states_initial(plan);
    FERRY_AUTOFREE bool *needed = ferry_plan_needed(plan);
    struct changes_of *of = index_changes(plan);
    size_t width = ferry_txn_view_width(plan), widest = ferry_plan_widest(plan);
    bool finished = true;
    for (size_t i = 0; i < plan->n_stages; i++)
        ferry_states_stage(plan, states, i, false);
    for (size_t from = 0; from < widest; from += width) {
        FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
        ferry_txn_view_all(plan, states, from, width, &view);
        ferry_txn_read_patiently(txn, &view, needed);
        for (size_t p = 0; p < view.n_parts; p++) {
            const struct ferry_view_part *part = &view.parts[p];
            if (part->result < 0) {
                reach->doubt |= needed[part->router]; /* R2 */
                finished &= !needed[part->router];
                continue;
            }
            for (size_t i = part->first_cell; i < part->first_cell + part->n_cells; i++) {
                finished &= ferry_view_holds(&view, part, i, view.cells[i].expected);
                place_cell(txn, &view, part, i, &of[ferry_state_at(plan, view.cells[i].group, part->router)],
                           reach);
            }
        }
        ferry_specifics_collect(&view, &txn->specifics, &txn->n_specifics);
    }
    ferry_specifics_sort(txn->specifics, txn->n_specifics);
    free_changes(of, plan->n_groups * plan->n_routers);
    return finished;
}

/* R2: the place that fits most keys, from the latest that any of them needs on. */
static size_t likely(const struct reach *reach, size_t n_stages)
{
    size_t best = reach->least;
    for (size_t k = best + 1; k <= n_stages; k++)
        if (reach->fits[k] > reach->fits[best])
            best = k;
    return best;
}

/* How many stages must be looked at by the undo. */
static size_t stages_to_undo(const struct ferry_txn *txn, const struct reach *reach)
{
    size_t n_stages = txn->plan->n_stages, least = SIZE_MAX, most = 0;
    for (size_t k = 0; k <= n_stages; k++)
        if (reach->fits[k] == reach->n) {
            least = least == SIZE_MAX ? k : least;
            most = k;
        }
    size_t at = least == SIZE_MAX ? likely(reach, n_stages) : reach->doubt ? most : least; /* R2 */
    size_t n = at < n_stages ? at + 1 : n_stages;
    return n > reach->moved ? n : reach->moved;
}

/* What the journal says of the outcomes, where it says anything. */
static void adopt(struct ferry_txn *txn, struct ferry_txn_record *stored)
{
    memcpy(txn->record.id, stored->id, sizeof txn->record.id);
    free(txn->record.outcomes);
    txn->record.outcomes = FERRY_STEAL(stored->outcomes);
    free(txn->record.kind);
    free(txn->record.undoes);
    free(txn->record.user); /* who began it, not who recovers */
    txn->record.kind = FERRY_STEAL(stored->kind);
    txn->record.undoes = FERRY_STEAL(stored->undoes);
    txn->record.user = FERRY_STEAL(stored->user);
    txn->record.reason = FERRY_STEAL(stored->reason);
    txn->record.hooks = FERRY_STEAL(stored->hooks);
    txn->record.overrides = FERRY_STEAL(stored->overrides);
    txn->record.n_hooks = stored->n_hooks;
    txn->record.n_overrides = stored->n_overrides;
    stored->n_hooks = stored->n_overrides = 0;
    txn->record.started_us = stored->started_us;
    txn->record.deadline_us = stored->deadline_us;
    txn->record.guard_s = stored->guard_s;
    txn->record.stages_begun = stored->stages_begun;
    txn->record.state = stored->state;
    memcpy(txn->record.plan_id, stored->plan_id, sizeof txn->record.plan_id);
}

static int finish(struct ferry_txn *txn, struct ferry_err *err)
{
    for (size_t i = 0; i < txn->record.n_outcomes; i++)
        txn->record.outcomes[i] = FERRY_DONE; /* every key was read at its last value */
    txn->record.stages_begun = txn->plan->n_stages;
    txn->record.ended_us = txn->env->realtime_us(txn->env->ctx);
    ferry_txn_set_state(txn, FERRY_TXN_COMMITTED);
    ferry_txn_persist_due(txn);
    int r = ferry_txn_save(txn, "journal-recover", err);
    return r == 0 && ferry_txn_persist(txn) ? ferry_txn_save(txn, "journal-persist", err) : r;
}

void ferry_txn_place(struct ferry_txn *txn)
{
    FERRY_AUTOFREE size_t *fits = ferry_calloc(txn->plan->n_stages + 1, sizeof *fits);
    struct reach reach = {.fits = fits};
    look(txn, &reach);
    size_t stage = stages_to_undo(txn, &reach);
    txn->stage = stage < txn->stage ? stage : txn->stage;
}

static int undo(struct ferry_txn *txn, const struct reach *reach, struct ferry_err *err)
{
    txn->stage = stages_to_undo(txn, reach);
    /* Stages that the routers show as begun were; those that only silence allows may have been. */
    if (txn->record.stages_begun < txn->stage)
        txn->record.stages_begun = txn->stage;
    FERRY_AUTOFREE char *hook = ferry_txn_hook_cut_off(txn);
    FERRY_AUTOFREE char *text =
        hook ? ferry_asprintf("the controller stopped while this ran: %s", hook) : NULL;
    if (!txn->record.reason)
        ferry_txn_set_reason(txn, text ? text : "the controller stopped before the end");
    ferry_txn_turn(txn, txn->stage);
    return ferry_txn_run(txn, err);
}

static int recover(struct ferry_txn *txn, struct ferry_err *err)
{
    FERRY_AUTOFREE size_t *fits = ferry_calloc(txn->plan->n_stages + 1, sizeof *fits);
    struct reach reach = {.fits = fits};
    bool finished = look(txn, &reach);
    ferry_journal_lock_note(txn->journal, txn->record.id);
    if (finished && strcmp(txn->record.kind, "drill") != 0 && ferry_txn_hooks_whole(txn) &&
        !ferry_txn_verify(txn))
        return finish(txn, err);
    return undo(txn, &reach, err);
}

bool ferry_txn_is_whole(struct ferry_txn *txn)
{
    FERRY_AUTOFREE size_t *fits = ferry_calloc(txn->plan->n_stages + 1, sizeof *fits);
    struct reach reach = {.fits = fits};
    return look(txn, &reach) && !ferry_txn_verify(txn);
}

int ferry_txn_recover_undo(struct ferry_txn *txn, struct ferry_err *err)
{
    FERRY_AUTOFREE size_t *fits = ferry_calloc(txn->plan->n_stages + 1, sizeof *fits);
    struct reach reach = {.fits = fits};
    look(txn, &reach);
    return undo(txn, &reach, err);
}

/* ---- Taking it up. ---- */

void ferry_txn_resumed_clear(struct ferry_resumed *resumed)
{
    if (resumed->txn)
        resumed->txn->journal = NULL; /* the lock is our caller's */
    ferry_txn_free(resumed->txn);
    ferry_fleet_free(resumed->fleet);
    ferry_txn_record_free(resumed->stored);
}

int ferry_txn_resume(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                     const struct ferry_txn_options *options, const char *id, struct ferry_resumed *ret,
                     struct ferry_err *err)
{
    *ret = (struct ferry_resumed){0};
    int r = ferry_journal_get(journal, id, &ret->stored, err);
    if (!r)
        r = options->topology && !strcmp(options->topology->sha256, ret->stored->plan->topology_sha256)
                ? ferry_fleet_for_topology(config, options->topology, &ret->fleet, err)
                : ferry_fleet_for_plan(config, ret->stored->plan, &ret->fleet, err);
    if (r < 0)
        return r;
    ret->txn = ferry_txn_new(journal->env, ret->fleet, ret->stored->plan, options);
    ret->txn->journal = journal;
    adopt(ret->txn, ret->stored);
    if (ret->txn->record.deadline_us) /* the window is not longer than this */
        ferry_txn_deadman_init(
            ret->txn, (unsigned)((ret->txn->record.deadline_us - ret->txn->record.started_us) / 1000000));
    return ferry_txn_claim(ret->txn, err);
}

static int recover_locked(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                          const struct ferry_txn_options *options, struct ferry_txn_record **ret,
                          struct ferry_err *err)
{
    char id[24];
    int r = ferry_journal_unfinished(journal, true, id, err);
    if (r <= 0)
        return r < 0 ? r : 1;
    FERRY_CLEANUP(ferry_txn_resumed_clear) struct ferry_resumed resumed;
    r = ferry_txn_resume(journal, config, options, id, &resumed, err);
    if (r < 0)
        return r;
    if (resumed.txn->record.state == FERRY_TXN_PAUSED && strcmp(resumed.txn->record.kind, "drill") != 0)
        r = 0; /* a person's to end */
    else if (resumed.txn->record.state == FERRY_TXN_AWAITING_CONFIRM)
        r = ferry_txn_overdue(resumed.txn, err);
    else if (resumed.txn->dead.on) /* nobody has confirmed it */
        r = ferry_txn_turn_back(resumed.txn, "the controller stopped before the end", err);
    else
        r = recover(resumed.txn, err);
    return r < 0 ? r : ferry_journal_get(journal, id, ret, err);
}

int ferry_txn_recover(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, struct ferry_txn_record **ret,
                      struct ferry_err *err)
{
    int r = ferry_journal_lock(journal, err);
    if (r < 0)
        return r;
    r = recover_locked(journal, config, options, ret, err);
    ferry_journal_unlock(journal);
    return r;
}
