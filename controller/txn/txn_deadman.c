/* The dead-man: an undo on every router that the plan changes, which needs nobody once it is armed.
 *
 *  D1. Before the first write it is armed on all of them, and each has answered that it is.
 *  D2. All undos together lead over states in which the plan has been: stage after stage, the last one first (D3).  A
 *      new deadline is set so that they do whatever part of them has heard of it (L1 of deadman_tell.c).  A confirm
 *      goes through the stages of the plan once more, forward: all routers give up what undoes the first of
 *      them, then the second, ….  Who is cut off in the middle of it has left an undo that leads back to a state
 *      in which the plan has been.
 *  D3. Stages of the undo are `guard_s` apart, which is more than deadlines of two routers differ, as they were
 *      heard of, and a router needs for a stage.  Routers that hear of theirs too far apart are armed anew with
 *      stages as far apart as that asks for; and never come to another deadline that they have heard of farther
 *      apart.
 *  D4. No stage begins with less than LOW_S left: what it sends has arrived before an undo begins.
 *  D5. A transaction has not ended while a router that was told to arm has not answered that it is disarmed:
 *      its undo would fall into a later one.
 *  D6. The engine's undo and a router's own do not mix: between its stages the latter goes through states
 *      that never were.  Where one has begun, or is about to, its end is awaited, everything is read again, and
 *      where the routers are is found anew.  An undo puts no deadline off: what is moved may be moved in part,
 *      and the routers come to the same end.  How near an undo is is counted from when a router said so, not from when
 *      the last of them has answered.
 *  D7. A name server has none.  Its records go back when Ferry settles the transaction: after the routers, as
 *      any undo of theirs.
 *  D8. What undoes a stage is run only while the stage stands, done or begun, where it would lay routes that
 *      are not there otherwise: pins of routing protocols.  And nothing is run before the first stage: a router that
 *      was armed, and cannot be reached when that came to nothing, has nothing to undo when its deadline comes.
 *  D9. Before the engine undoes a stage on a router, that one gives up what undoes later stages: its own undo would
 *      lay their states again, above what is not there any more.
 *
 * docs/confirm.md tells the whole story.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/deadman_parts.h"

#include <stdio.h>
#include <string.h>

#define MARGIN_S 20u     /* the apply itself, beside the window; moved on while it lasts (D4) */
#define LOW_S    15u     /* one call of a driver (10 s, ferry/txn.h), and its way */
#define APART_S  1u      /* what deadlines may be apart, unless they are seen to be more */
#define TRIES    3       /* to arm them */
#define STEP_US  500000u /* between two looks at an undo */

static void find_changed(struct ferry_txn *txn)
{
    const struct ferry_plan *plan = txn->plan;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            if (plan->stages[s].changes[i].kind != FERRY_KIND_DNS) /* D7 */
                txn->dead.changed[plan->stages[s].changes[i].router] = true;
}

void ferry_txn_deadman_init(struct ferry_txn *txn, unsigned window_s)
{
    struct ferry_dead_men *d = &txn->dead;
    const struct ferry_plan *plan = txn->plan;
    d->on = true;
    d->window_s = window_s;
    d->margin_s = MARGIN_S + (unsigned)(txn->record.n_outcomes / 10000) + ferry_txn_hooks_last(txn);
    if (!txn->record.guard_s)
        txn->record.guard_s = ferry_deadman_guard_s(plan, APART_S, window_s + d->margin_s);
    d->changed = ferry_calloc(plan->n_routers, sizeof *d->changed);
    d->answers = ferry_calloc(plan->n_routers, sizeof *d->answers);
    d->maybe = ferry_calloc(plan->n_routers, sizeof *d->maybe);
    find_changed(txn);
    d->late = ferry_deadman_late(plan);
    d->protocols = d->late < plan->n_stages;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            d->protocols |= plan->stages[s].changes[i].kind == FERRY_KIND_ANNOUNCEMENT;
}

void ferry_txn_deadman_clear(struct ferry_txn *txn)
{
    free(txn->dead.changed);
    free(txn->dead.answers);
    free(txn->dead.maybe);
}

/* ---- What the engine does with it. ---- */

int ferry_txn_deadman_check(const struct ferry_txn *txn, struct ferry_err *err)
{
    if (!txn->dead.on)
        return 0;
    bool any = !txn->plan->n_stages;
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        any |= txn->dead.changed[r];
    if (!any)
        return ferry_refuse(err, "dead-man",
                            "only records of name servers change, which cannot go back by themselves when no "
                            "confirm comes; apply without --confirm-within, and undo with `ferry rollback`");
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        if (txn->dead.changed[r] && !ferry_fleet_has_deadman(txn->fleet, r))
            return ferry_refuse(err, "dead-man",
                                "%s: a router of this kind cannot roll back by itself when no confirm comes; "
                                "apply without --confirm-within, and undo with `ferry rollback`",
                                txn->plan->routers[r].name);
    return 0;
}

/* What stays armed would bring the past back into a later transaction: a person must know. */
static void add_hand(struct ferry_txn *txn, size_t router)
{
    FERRY_GROW(txn->record.hands, txn->record.n_hands);
    txn->record.hands[txn->record.n_hands++] =
        (struct ferry_hand){ferry_strdup(txn->plan->routers[router].name), ferry_strdup("dead-man"),
                            ferry_strdup("disarmed"), ferry_strdup("unknown")};
    ferry_txn_set_state(txn, FERRY_TXN_STUCK);
}

/* D8: what undoes the stages before this one is run, and that of this one and later ones where it may be. */
static int take_up(struct ferry_txn *txn, size_t stage, struct ferry_err *err)
{
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_LIMIT,
                                                            .from_s = ferry_deadman_from_s(txn, stage)});
    return ferry_deadman_judge(txn, NULL, FERRY_DEADMAN_ARMED, err);
}

static int arm(struct ferry_txn *txn, unsigned seconds, struct ferry_err *err)
{
    struct ferry_deadman_undo *undos = ferry_calloc(txn->plan->n_routers, sizeof *undos);
    int r = 0;
    for (uint32_t i = 0; !r && i < txn->plan->n_routers; i++)
        if (txn->dead.changed[i])
            r = ferry_deadman_undo(txn, i, &undos[i], err);
    if (!r)
        r = ferry_deadman_arm(txn, seconds, undos, err);
    ferry_deadman_undos_free(undos, txn->plan->n_routers);
    return r;
}

/* D3.  What the routers are told has to be known to whoever takes the transaction up. */
static int arm_apart(struct ferry_txn *txn, struct ferry_err *err)
{
    unsigned seconds = txn->dead.window_s + txn->dead.margin_s, apart = 0;
    for (int try = 0; try < TRIES; try++) {
        int r = try ? ferry_txn_save(txn, "journal-arm", err) : 0;
        if (!r)
            r = arm(txn, seconds, err);
        if (r || !(apart = ferry_deadman_too_far_s(txn, seconds)))
            return r;
        txn->record.guard_s = ferry_deadman_guard_s(txn->plan, apart + APART_S, seconds);
    }
    return ferry_error(err, FERRY_EIO, "the routers answer too slowly for a common deadline: %u s apart",
                       apart);
}

int ferry_txn_deadman_arm(struct ferry_txn *txn, struct ferry_err *err)
{
    int r = arm_apart(txn, err);
    if (!r)
        return 0;
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_DISARM});
    for (size_t i = 0; i < txn->plan->n_routers; i++)
        if (txn->dead.maybe[i])
            add_hand(txn, i); /* D5 */
    return r > 0 ? -FERRY_EIO : r;
}

/* Now: an answer may be as old as the silence of another router was long. */
static unsigned left_now_s(const struct ferry_txn *txn, const struct ferry_dead_man *a)
{
    uint64_t age = (txn->env->monotonic_us(txn->env->ctx) - a->asked_us + 999999) / 1000000;
    return a->left_s > age ? (unsigned)(a->left_s - age) : 0;
}

static bool waits(enum ferry_deadman_state state)
{
    return state == FERRY_DEADMAN_ARMED || state == FERRY_DEADMAN_MOVING || state == FERRY_DEADMAN_RESTS;
}

static void tally(const struct ferry_txn *txn, struct ferry_deadman_look *ret)
{
    *ret = (struct ferry_deadman_look){.least_left_s = UINT32_MAX};
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        if (!txn->dead.changed[r])
            continue;
        if (a->result < 0) {
            ret->n_silent++;
            ret->why = a->err;
            ferry_error_prefix(&ret->why, a->result, "%s", txn->plan->routers[r].name);
            continue;
        }
        ret->n[a->state]++;
        ret->n[FERRY_DEADMAN_ARMED] += a->state == FERRY_DEADMAN_MOVING;
        ret->n[FERRY_DEADMAN_FIRED] += a->state == FERRY_DEADMAN_RESTS;
        ret->n_undoing += a->state == FERRY_DEADMAN_FIRED && a->left_s;
        if (waits(a->state) && left_now_s(txn, a) < ret->least_left_s)
            ret->least_left_s = left_now_s(txn, a);
    }
}

void ferry_txn_deadman_look(struct ferry_txn *txn, struct ferry_deadman_look *ret)
{
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_LOOK});
    tally(txn, ret);
}

static void note_deadline(struct ferry_txn *txn)
{
    txn->record.deadline_us =
        txn->env->realtime_us(txn->env->ctx) + txn->dead.until_us - txn->env->monotonic_us(txn->env->ctx);
}

int ferry_txn_deadman_finish(struct ferry_txn *txn, struct ferry_deadman_look *ret, struct ferry_err *err)
{
    int r = ferry_deadman_move(txn, false, err);
    if (r)
        return r;
    tally(txn, ret);
    txn->dead.until_us = txn->env->monotonic_us(txn->env->ctx) + 1000000ull * ret->least_left_s;
    note_deadline(txn);
    return ferry_txn_save(txn, "journal-await", err);
}

/* A window begins when all have come to its deadline: after some question for each stage, as long as one now. */
static unsigned ask_s(const struct ferry_txn *txn, uint64_t took_us)
{
    return (unsigned)((took_us * (txn->plan->n_stages + 3) + 999999) / 1000000);
}

int ferry_txn_deadman_set(struct ferry_txn *txn, unsigned seconds, struct ferry_err *err)
{
    struct ferry_deadman_look look;
    uint64_t began = txn->env->monotonic_us(txn->env->ctx);
    ferry_txn_deadman_look(txn, &look);
    uint64_t took = txn->env->monotonic_us(txn->env->ctx) - began;
    int r = ferry_deadman_judge(txn, NULL, FERRY_DEADMAN_ARMED, err); /* L3 */
    bool earlier = seconds + ask_s(txn, took) < look.least_left_s;
    if (!r)
        r = ferry_deadman_tell(txn, earlier ? seconds + ask_s(txn, took) : seconds, earlier, err);
    if (!r)
        note_deadline(txn);
    return r;
}

/* Whether a router is at its undo, or about to begin.  One that cannot be asked is where others are: until
 * theirs are over, counted from when this process first saw one. */
static bool is_undoing(struct ferry_txn *txn, const struct ferry_deadman_look *look, uint64_t lasts)
{
    uint64_t now = txn->env->monotonic_us(txn->env->ctx);
    if (look->n[FERRY_DEADMAN_FIRED] && !txn->dead.fired_us)
        txn->dead.fired_us = now;
    return look->n_undoing || look->least_left_s < LOW_S ||
           (look->n_silent && look->n[FERRY_DEADMAN_FIRED] && now < txn->dead.fired_us + lasts);
}

static void let_finish(struct ferry_txn *txn, struct ferry_deadman_look *look)
{
    uint64_t lasts = 1000000ull * ferry_txn_deadman_lasts(txn), most = lasts + 1000000ull * LOW_S;
    if (is_undoing(txn, look, lasts))
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX,
                      "the routers undo it by themselves, now or in a moment: waiting %u s at most",
                      (unsigned)(most / 1000000));
    for (uint64_t slept = 0; slept < most && is_undoing(txn, look, lasts); slept += STEP_US) {
        ferry_txn_sleep(txn, STEP_US);
        ferry_txn_deadman_look(txn, look);
    }
}

/* D4, D6: a new deadline for all of them, or for none: while one is silent, which will begin, the others
 * shall begin with it. */
static int put_off(struct ferry_txn *txn, unsigned seconds, struct ferry_deadman_look *look,
                   struct ferry_err *err)
{
    ferry_txn_deadman_look(txn, look);
    if (look->n_silent) {
        *err = look->why;
        return -FERRY_EIO;
    }
    int r = look->n[FERRY_DEADMAN_FIRED] ? 0 : ferry_txn_deadman_set(txn, seconds, err);
    if (r)
        ferry_txn_deadman_look(txn, look);
    return look->n[FERRY_DEADMAN_FIRED] ? ferry_error(err, FERRY_EIO, "a router has begun to undo it") : r;
}

int ferry_txn_deadman_ahead(struct ferry_txn *txn)
{
    struct ferry_deadman_look look;
    struct ferry_err err;
    uint64_t now = txn->env->monotonic_us(txn->env->ctx);
    if (!txn->dead.on || now + 1000000ull * LOW_S < txn->dead.until_us || /* D4 */
        !put_off(txn, txn->dead.window_s + txn->dead.margin_s, &look, &err))
        return 0;
    FERRY_AUTOFREE char *reason = ferry_asprintf("the dead-man could not be moved on: %s", err.text);
    ferry_txn_set_reason(txn, reason);
    return 1;
}

int ferry_txn_deadman_stage(struct ferry_txn *txn)
{
    struct ferry_err err;
    if (!txn->dead.on)
        return 0;
    if ((txn->stage != 0 && txn->stage != txn->dead.late) || !take_up(txn, txn->stage + 1, &err))
        return ferry_txn_deadman_ahead(txn);
    FERRY_AUTOFREE char *reason = ferry_asprintf("the dead-man could not be told what to undo: %s", err.text);
    ferry_txn_set_reason(txn, reason);
    return 1;
}

bool *ferry_txn_deadman_armed_later(const struct ferry_txn *txn, size_t stage)
{
    bool *ret = ferry_calloc(txn->plan->n_routers, sizeof *ret);
    for (uint32_t r = 0; txn->dead.on && r < txn->plan->n_routers; r++)
        ret[r] = txn->dead.changed[r] && ferry_deadman_touches(txn->plan, stage, r) &&
                 ferry_deadman_touches_later(txn->plan, stage, r);
    return ret;
}

void ferry_txn_deadman_give_up_later(struct ferry_txn *txn, size_t stage, bool *armed)
{
    if (!txn->dead.on)
        return;
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_LIMIT,
                                                            .of = armed,
                                                            .from_s = ferry_deadman_delay(txn, stage)});
    for (size_t r = 0; r < txn->plan->n_routers; r++)
        armed[r] &= txn->dead.answers[r].result < 0;
}

/* D8, where the late stages were begun, and where they were not but some router may have heard that they were about
 * to be. */
bool ferry_txn_deadman_undone(struct ferry_txn *txn, size_t stage)
{
    struct ferry_err err;
    struct ferry_deadman_look look;
    size_t late = txn->dead.late;
    bool first = stage == late || (stage + 1 == late && txn->record.stages_begun <= late);
    if (!txn->dead.on || late == txn->plan->n_stages || !first || !take_up(txn, late, &err))
        return true;
    tally(txn, &look);
    return !look.n_silent; /* who is not armed any more lays none either */
}

bool ferry_txn_deadman_back(struct ferry_txn *txn)
{
    struct ferry_deadman_look look;
    uint64_t now = txn->env->monotonic_us(txn->env->ctx);
    if (!txn->dead.on || now + 1000000ull * LOW_S < txn->dead.until_us)
        return false;
    ferry_txn_deadman_look(txn, &look);
    let_finish(txn, &look);
    txn->dead.until_us = look.n_silent ? 0 : now + 1000000ull * look.least_left_s;
    bool more = look.n[FERRY_DEADMAN_FIRED] > txn->dead.n_fired;
    txn->dead.n_fired = look.n[FERRY_DEADMAN_FIRED];
    return more;
}

/* Routers that the stage changes and that are not confirmed: with `done` those that no later stage changes,
 * else the others. */
static void pick(const struct ferry_txn *txn, size_t stage, bool done, bool *ret)
{
    for (uint32_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        ret[r] = ferry_deadman_touches(txn->plan, stage, r) &&
                 (a->result < 0 || a->state == FERRY_DEADMAN_ARMED) &&
                 ferry_deadman_touches_later(txn->plan, stage, r) != done;
    }
}

/* D2: what undoes this stage goes, on all of its routers.  Who has nothing else left to undo is confirmed. */
static int keep_stage(struct ferry_txn *txn, size_t stage, struct ferry_err *err)
{
    FERRY_AUTOFREE bool *of = ferry_calloc(txn->plan->n_routers, sizeof *of);
    pick(txn, stage, false, of);
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_LIMIT,
                                                            .of = of,
                                                            .to_s = ferry_deadman_delay(txn, stage)});
    int r = ferry_deadman_judge(txn, of, FERRY_DEADMAN_ARMED, err);
    if (r)
        return r;
    pick(txn, stage, true, of);
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_CONFIRM, .of = of});
    return ferry_deadman_judge(txn, of, FERRY_DEADMAN_CONFIRMED, err);
}

int ferry_txn_deadman_confirm(struct ferry_txn *txn, struct ferry_err *err)
{
    int r = 0;
    for (size_t s = 0; !r && s < txn->plan->n_stages; s++)
        r = keep_stage(txn, s, err);
    if (r)
        return r;
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_LOOK});
    return ferry_deadman_judge(txn, NULL, FERRY_DEADMAN_CONFIRMED, err);
}

bool ferry_txn_deadman_disarm(struct ferry_txn *txn)
{
    struct ferry_deadman_look look;
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_DISARM});
    tally(txn, &look);
    if (look.n[FERRY_DEADMAN_FIRED])
        let_finish(txn, &look);
    return look.n[FERRY_DEADMAN_FIRED];
}

void ferry_txn_deadman_left(struct ferry_txn *txn)
{
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        bool undoes = a->state == FERRY_DEADMAN_FIRED && a->left_s;
        if (txn->dead.changed[r] && (a->result < 0 || waits(a->state) || undoes))
            add_hand(txn, r); /* D5 */
    }
}
