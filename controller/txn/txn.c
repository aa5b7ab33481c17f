/* A transaction, step by step: stages, verification, commit; or the undo.  How it begins: txn_begin.c.
 *
 *      begin ─→ READY ─→ APPLYING ─→ VERIFYING ─→ COMMITTED
 *                           │            │  (drill: held)  │
 *                           │            └─→ AWAITING-CONFIRM ─→ COMMITTED, or UNDOING (confirm.c)
 *                           ├─→ PAUSED ─→ APPLYING, or UNDOING (hooks.c, pause.c)
 *                           └────────→ UNDOING ←───────────┘ (drill: abort)
 *                                        └─→ UNDONE or STUCK
 *
 *  T1. The lock is held from before the prechecks (txn_begin.c) until ferry_txn_free.
 *  T2. Between the first detach and the last attach the journal is not written, but for a hook's or a pause's
 *      sake that the plan has there; what else there is to say is written after.
 *  T3. States are left by what was read from routers alone: COMMITTED after a good verification, UNDONE after
 *      every key was read back at its first value.
 *
 * Everything runs on the caller's thread but the drivers, which the fleet's workers run.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MOST_REASONS 20 /* notes about failures */

void ferry_txn_point(const struct ferry_env *env, const char *name)
{
    if (env->crash_point)
        env->crash_point(env->ctx, name);
}

void ferry_txn_sleep(struct ferry_txn *txn, uint64_t us)
{
    if (txn->env->sleep_us) {
        txn->env->sleep_us(txn->env->ctx, us);
        return;
    }
    struct timespec t = {.tv_sec = (time_t)(us / 1000000u), .tv_nsec = (long)(us % 1000000u) * 1000};
    nanosleep(&t, NULL);
}

void ferry_txn_say(struct ferry_txn *txn, enum ferry_txn_event event, size_t stage, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    FERRY_GROW(txn->events.v, txn->events.n);
    txn->events.v[txn->events.n++] =
        (struct ferry_journal_event){txn->env->realtime_us(txn->env->ctx), ferry_strdup(text)};
    if (txn->progress)
        txn->progress(txn->progress_ctx, event, stage, text);
}

void ferry_txn_set_state(struct ferry_txn *txn, enum ferry_txn_state state)
{
    if (txn->record.state == state)
        return;
    txn->record.state = state;
    ferry_txn_say(txn, FERRY_EVENT_STATE, SIZE_MAX, "%s", ferry_txn_state_name(state));
}

/* The first reason stays: what comes after follows from it.  A stage of ten thousand subnets may fail ten
 * thousand times: the outcomes have them all, people are told of some. */
void ferry_txn_set_reason(struct ferry_txn *txn, const char *text)
{
    if (!txn->record.reason)
        txn->record.reason = ferry_strdup(text);
    if (txn->n_reasons++ >= MOST_REASONS)
        return;
    ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s", text);
}

int ferry_txn_save(struct ferry_txn *txn, const char *crash_point, struct ferry_err *err)
{
    int r = ferry_journal_save(txn->journal, &txn->record, &txn->events, crash_point, err);
    txn->hooks_unsaved = txn->hooks_unsaved && r < 0;
    if (r < 0)
        return ferry_error_prefix(err, -FERRY_EUNKNOWN,
                                  "the journal could not be written (`ferry recover` will look again)");
    return 0;
}

/* ---- Making one. ---- */

static void find_critical(struct ferry_txn *txn)
{
    const struct ferry_plan *plan = txn->plan;
    txn->first_critical = SIZE_MAX;
    for (size_t i = 0; i < plan->n_stages; i++) {
        enum ferry_phase phase = plan->stages[i].phase;
        if (phase == FERRY_DETACH && txn->first_critical == SIZE_MAX)
            txn->first_critical = i;
        if (phase == FERRY_DETACH || phase == FERRY_ATTACH)
            txn->last_critical = i;
    }
}

/* "app: primary -> recovery", "app, db, 8 more: primary -> recovery; …", "2 addresses" */
static char *summary_of(const struct ferry_plan *plan)
{
    char *text = NULL;
    if (!plan->n_groups && plan->n_addresses)
        return ferry_asprintf("%zu address%s", plan->n_addresses, plan->n_addresses == 1 ? "" : "es");
    for (size_t g = 0; g < plan->n_groups && g < 3; g++) {
        const struct ferry_group *group = &plan->groups[g];
        FERRY_AUTOFREE char *names = ferry_strdup(group->n_subnets ? group->subnets[0].name : "nothing");
        if (group->n_subnets > 1) {
            char *more = ferry_asprintf("%s, %zu more", names, group->n_subnets - 1);
            free(names);
            names = more;
        }
        char *longer = group->dns ? ferry_asprintf("%s%sdns %s", text ? text : "", text ? "; " : "", names)
                                  : ferry_asprintf("%s%s%s: %s -> %s", text ? text : "", text ? "; " : "",
                                                   names, group->from ? group->from : "nowhere",
                                                   group->to ? group->to : "nowhere");
        free(text);
        text = longer;
    }
    if (plan->n_groups > 3) {
        char *longer = ferry_asprintf("%s; and %zu groups more", text, plan->n_groups - 3);
        free(text);
        text = longer;
    }
    return text ? text : ferry_strdup("nothing");
}

struct ferry_txn *ferry_txn_new(const struct ferry_env *env, struct ferry_fleet *fleet,
                                struct ferry_plan *plan, const struct ferry_txn_options *options)
{
    struct ferry_txn *txn = ferry_calloc(1, sizeof *txn);
    txn->env = env;
    txn->fleet = fleet;
    txn->plan = plan;
    txn->record.plan = plan;
    txn->record.state = FERRY_TXN_READY;
    txn->record.started_us = env->realtime_us(env->ctx);
    txn->record.summary = summary_of(plan);
    txn->record.n_outcomes = ferry_plan_outcomes(plan);
    txn->record.outcomes = ferry_calloc(txn->record.n_outcomes, sizeof *txn->record.outcomes);
    memcpy(txn->record.plan_id, plan->id, sizeof txn->record.plan_id);
    if (options) {
        txn->record.kind = ferry_strdup(options->kind ? options->kind : "apply");
        txn->record.undoes = ferry_strdup(options->undoes);
        txn->record.user = ferry_strdup(options->user);
        txn->progress = options->progress;
        txn->progress_ctx = options->progress_ctx;
        txn->interrupted = options->interrupted;
    }
    txn->states = ferry_states_initial(plan);
    txn->ready = ferry_calloc(plan->n_stages, sizeof *txn->ready);
    find_critical(txn);
    ferry_interlock_init(&txn->interlock, plan);
    return txn;
}

void ferry_txn_free(struct ferry_txn *txn)
{
    if (!txn)
        return;
    ferry_txn_release(txn);
    for (size_t i = 0; i < txn->plan->n_stages; i++)
        ferry_batch_free(txn->ready[i]);
    free(txn->ready);
    free(txn->states);
    free(txn->specifics);
    ferry_txn_deadman_clear(txn);
    ferry_interlock_clear(&txn->interlock);
    ferry_journal_events_clear(&txn->events);
    if (txn->journal)
        ferry_journal_unlock(txn->journal); /* T1 */
    struct ferry_txn_record *record = ferry_memdup(&txn->record, sizeof txn->record);
    record->plan = NULL; /* the caller's */
    ferry_txn_record_free(record);
    if (txn->taken) {
        ferry_txn_resumed_clear(txn->taken);
        free(txn->taken);
    }
    free(txn);
}

/* ---- Steps. ---- */

static void stage_title(struct ferry_txn *txn, enum ferry_txn_event event, size_t stage, const char *what)
{
    const struct ferry_stage *s = &txn->plan->stages[stage];
    ferry_txn_say(txn, event, stage, "stage %zu of %zu (%s)%s", stage + 1, txn->plan->n_stages,
                  ferry_phase_name(s->phase), what);
}

/* T2: whether the subnets may stand detached while this stage is done or undone. */
static bool in_outage(const struct ferry_txn *txn, size_t stage)
{
    return txn->first_critical != SIZE_MAX && stage >= txn->first_critical && stage <= txn->last_critical;
}

int ferry_txn_turn(struct ferry_txn *txn, size_t stage)
{
    txn->stage = stage;
    txn->back_hook = txn->record.n_hooks;
    txn->record.ended_us = 0;
    txn->ended = txn->held = false;
    ferry_txn_set_state(txn, FERRY_TXN_UNDOING);
    return 1;
}

static int forward(struct ferry_txn *txn)
{
    size_t stage = txn->stage;
    ferry_txn_set_state(txn, FERRY_TXN_APPLYING);
    if (ferry_txn_deadman_stage(txn))
        return ferry_txn_turn(txn, stage);
    stage_title(txn, FERRY_EVENT_STAGE_START, stage, "");
    if (ferry_txn_apply_stage(txn))
        return ferry_txn_turn(txn, stage + 1);
    stage_title(txn, FERRY_EVENT_STAGE_DONE, stage, " done");
    if (txn->first_critical != SIZE_MAX && stage == txn->last_critical)
        ferry_txn_announce(txn, false);
    if (!in_outage(txn, stage + 1))
        ferry_txn_hooks_save(txn); /* what a hook of the outage has kept back */
    txn->stage++;
    return 1;
}

int ferry_txn_commit(struct ferry_txn *txn, struct ferry_err *err)
{
    enum ferry_txn_state before = txn->record.state;
    txn->record.ended_us = txn->env->realtime_us(txn->env->ctx);
    ferry_txn_set_state(txn, FERRY_TXN_COMMITTED); /* T3 */
    ferry_txn_persist_due(txn);
    int r = ferry_txn_save(txn, "journal-commit", err);
    if (r < 0) {
        ferry_txn_persist_undue(txn);
        txn->record.state = before; /* not durable: not so */
        txn->record.ended_us = 0;
        return r;
    }
    txn->kept = true;
    txn->ended = true;
    return ferry_txn_persist(txn) ? ferry_txn_save(txn, "journal-persist", err) : 0;
}

/* The routers undo it by themselves unless a confirm comes: the window begins now. */
static int await_confirm(struct ferry_txn *txn, struct ferry_err *err)
{
    struct ferry_err why;
    if (ferry_txn_deadman_set(txn, txn->dead.window_s, &why)) {
        FERRY_AUTOFREE char *reason = ferry_asprintf("the window could not begin: %s", why.text);
        ferry_txn_set_reason(txn, reason);
        return ferry_txn_turn(txn, txn->plan->n_stages);
    }
    txn->held = true;
    ferry_txn_set_state(txn, FERRY_TXN_AWAITING_CONFIRM);
    return ferry_txn_save(txn, "journal-await", err);
}

static int verify(struct ferry_txn *txn, struct ferry_err *err)
{
    ferry_txn_set_state(txn, FERRY_TXN_VERIFYING);
    if (ferry_txn_verify(txn))
        return ferry_txn_turn(txn, txn->plan->n_stages);
    if (txn->dead.on)
        return await_confirm(txn, err);
    if (!txn->hold)
        return ferry_txn_commit(txn, err);
    txn->held = true;
    return ferry_txn_save(txn, "journal-hold", err);
}

static int end_undo(struct ferry_txn *txn, struct ferry_err *err)
{
    ferry_txn_undo_end(txn);
    if (txn->record.state == FERRY_TXN_UNDONE && txn->dead.on) {
        if (ferry_txn_deadman_disarm(txn))
            ferry_txn_undo_end(txn);
        ferry_txn_deadman_left(txn);
    }
    txn->record.ended_us = txn->env->realtime_us(txn->env->ctx);
    /* Nothing was saved but by a commit: saving without need would save what others have not. */
    bool saves = txn->record.state == FERRY_TXN_UNDONE && txn->kept;
    if (saves)
        ferry_txn_persist_due(txn);
    int r = ferry_txn_save(txn, "journal-undone", err);
    if (r < 0) {
        ferry_txn_persist_undue(txn);
        return r;
    }
    txn->ended = true;
    return saves && ferry_txn_persist(txn) ? ferry_txn_save(txn, "journal-persist", err) : 0;
}

/* T2: an undo says that it has begun as soon as that costs no outage. */
static int backward(struct ferry_txn *txn, struct ferry_err *err)
{
    if (!txn->stage)
        return ferry_txn_hook_backward(txn, false) ? 1 : end_undo(txn, err);
    size_t stage = txn->stage - 1;
    if (!txn->undo_said && !in_outage(txn, stage)) {
        txn->undo_said = true;
        int r = ferry_txn_save(txn, "journal-undoing", err);
        if (r < 0)
            ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s", err->text); /* putting back matters more */
    }
    if (ferry_txn_hook_backward(txn, in_outage(txn, stage)))
        return 1;
    if (ferry_txn_deadman_back(txn)) {
        ferry_txn_place(txn);
        return 1;
    }
    stage_title(txn, FERRY_EVENT_STAGE_START, stage, ": undo");
    int r = ferry_txn_undo_stage(txn, stage);
    if (r == 2) {
        ferry_txn_place(txn);
        return 1;
    }
    if (r || !ferry_txn_deadman_undone(txn, stage)) {
        stage_title(txn, FERRY_EVENT_NOTE, stage, " could not be undone; earlier ones stay as they are");
        return end_undo(txn, err);
    }
    stage_title(txn, FERRY_EVENT_STAGE_DONE, stage, " undone");
    if (stage == txn->first_critical)
        ferry_txn_announce(txn, true);
    txn->stage = stage;
    return 1;
}

int ferry_txn_step(struct ferry_txn *txn, struct ferry_err *err)
{
    if (txn->ended || txn->held)
        return 0;
    if (txn->record.state == FERRY_TXN_UNDOING)
        return backward(txn, err);
    if (ferry_txn_hook_due(txn))
        return ferry_txn_hook_forward(txn);
    if (txn->stage < txn->plan->n_stages)
        return forward(txn);
    return verify(txn, err);
}

int ferry_txn_run(struct ferry_txn *txn, struct ferry_err *err)
{
    int r;
    do
        r = ferry_txn_step(txn, err);
    while (r > 0);
    return r;
}

int ferry_txn_abort(struct ferry_txn *txn, const char *reason, struct ferry_err *err)
{
    enum ferry_txn_state state = txn->record.state;
    if (state == FERRY_TXN_UNDOING || state == FERRY_TXN_UNDONE || state == FERRY_TXN_STUCK)
        return 0; /* it is on its way */
    if (state == FERRY_TXN_COMMITTED && strcmp(txn->record.kind, "drill") != 0)
        return ferry_error(err, FERRY_EUSAGE, "transaction %s is committed: `ferry rollback` undoes it",
                           txn->record.id);
    ferry_txn_set_reason(txn, reason);
    ferry_txn_turn(txn, txn->record.stages_begun);
    return 0;
}

void ferry_txn_hold(struct ferry_txn *txn)
{
    txn->hold = true;
}

enum ferry_txn_state ferry_txn_state(const struct ferry_txn *txn)
{
    return txn->record.state;
}

const struct ferry_txn_record *ferry_txn_record(const struct ferry_txn *txn)
{
    return &txn->record;
}
