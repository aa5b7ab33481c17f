/* The dead-man: an undo on every router that the plan changes, which needs nobody once it is armed.
 *
 *  D1. Before the first write it is armed on all of them, and each has answered that it is.
 *  D2. Deadlines are set so that a router which attaches the subnet at the undo never comes to it before one that
 *      detaches it: it is told last, and later by as long as the others took to hear of theirs.  Routers that exchange
 *      subnets have no such order: refused.  A confirm goes through the stages of the plan once more, forward: all routers give up
 *      what undoes the first of them, then the second, ….  Who is cut off in the middle of it has left an undo that
 *      leads back to a state in which the plan has been.
 *  D3. Stages of the undo are `guard_s` apart, which is more than deadlines of two routers differ.
 *  D4. No stage begins with less than LOW_S left: what it sends has arrived before an undo begins.
 *  D5. A transaction has not ended while a router that was told to arm has not answered that it is disarmed: its undo would fall
 *      into a later one.
 *  D6. The engine's undo and a router's own do not mix: between its stages the latter goes through states that never were.  Where
 *      one has begun its end is awaited, everything is read again, and where the routers are is found anew.
 *  D7. A name server has none.  Its records go back when Ferry settles the transaction: after the routers, as any undo of theirs.
 *  D8. What undoes a stage is run only while the stage stands, done or begun, where it would lay routes that are not there
 *      otherwise: pins of routing protocols.
 *
 * docs/confirm.md tells the whole story.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/deadman_parts.h"
#include "txn/place.h"

#include <stdio.h>
#include <string.h>

#define MARGIN_S 20u      /* the apply itself, beside the window; moved on while it lasts (D4) */
#define LOW_S    15u      /* one call of a driver (10 s, ferry/txn.h), and its way */
#define DRIFT    7200u    /* window for which clocks differ by half a second at most: 70 ppm */
#define SKEW_US  1000000u /* D3: at most, of routers whose order matters */
#define AHEAD_S  60u      /* D6: a new deadline */
#define LEAP_S   15u      /* ahead of the others while deadlines are moved on */
#define SOON_S   3u       /* more than deadlines of routers differ */
#define STEP_US  500000u  /* between two looks at an undo */
#define TRIES    3
#define WAIT_US  100000u

/* What the undo does on a router. */
enum role { NOTHING = 0, DETACHES = 1, MIDDLE = 2, ATTACHES = 4, BOTH = 8 };
#define ALL (DETACHES | MIDDLE | ATTACHES | BOTH)

static bool is_place(const struct ferry_change *c)
{
    return ferry_kind_is_place(c->kind);
}

static void find_roles(struct ferry_txn *txn)
{
    const struct ferry_plan *plan = txn->plan;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            uint8_t *role = &txn->dead.roles[c->router];
            if (c->kind == FERRY_KIND_DNS)
                continue; /* D7 */
            uint8_t more = !is_place(c) ? MIDDLE : c->before ? ATTACHES : DETACHES;
            if (!*role || *role == MIDDLE || *role == more)
                *role = more == MIDDLE && *role ? *role : more;
            else if (more != MIDDLE)
                *role = BOTH;
        }
}

void ferry_txn_deadman_init(struct ferry_txn *txn, unsigned window_s)
{
    struct ferry_dead_men *d = &txn->dead;
    const struct ferry_plan *plan = txn->plan;
    d->on = true;
    d->window_s = window_s;
    d->margin_s = MARGIN_S + (unsigned)(txn->record.n_outcomes / 10000) + ferry_txn_hooks_last(txn);
    d->guard_s = FERRY_DEADMAN_GUARD_S + window_s / DRIFT;
    d->roles = ferry_calloc(plan->n_routers, 1);
    d->answers = ferry_calloc(plan->n_routers, sizeof *d->answers);
    d->maybe = ferry_calloc(plan->n_routers, sizeof *d->maybe);
    find_roles(txn);
    d->late = ferry_deadman_late(plan);
    d->protocols = d->late < plan->n_stages;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            d->protocols |= plan->stages[s].changes[i].kind == FERRY_KIND_ANNOUNCEMENT;
}

void ferry_txn_deadman_clear(struct ferry_txn *txn)
{
    free(txn->dead.roles);
    free(txn->dead.answers);
    free(txn->dead.maybe);
}

/* ---- Asking routers. ---- */

struct question {
    enum ferry_deadman_verb verb;
    unsigned roles; /* who is asked */
    const bool *of; /* [router]: of those these alone; NULL: all */
    unsigned seconds, from_s, to_s;
    const struct ferry_deadman_undo *undos; /* [router]: ARM */
};

static bool is_asked(const struct ferry_txn *txn, unsigned roles, const bool *of, size_t router)
{
    return txn->dead.roles[router] & roles && (!of || of[router]);
}

/* All of them at once; again those that failed: every verb may be said twice. */
static void ask(struct ferry_txn *txn, const struct question *q)
{
    size_t n_routers = txn->plan->n_routers, n;
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(n_routers, sizeof *jobs);
    FERRY_AUTOFREE struct ferry_deadman *what = ferry_calloc(n_routers, sizeof *what);
    for (int try = 0; try < TRIES; try++) {
        n = 0;
        if (try)
            ferry_txn_sleep(txn, WAIT_US);
        for (uint32_t r = 0; r < n_routers; r++) {
            if (!is_asked(txn, q->roles, q->of, r) || (try && txn->dead.answers[r].result == 0))
                continue;
            what[n] = q->undos ? q->undos[r].deadman : (struct ferry_deadman){.id = txn->record.id};
            what[n].seconds = q->seconds;
            what[n].from_s = q->from_s;
            what[n].to_s = q->to_s;
            jobs[n] = (struct ferry_job){
                .router = r, .verb = FERRY_JOB_DEADMAN, .deadman_verb = q->verb, .deadman = &what[n]};
            n++;
        }
        if (!n)
            return;
        ferry_txn_point(txn->env, "driver-deadman");
        ferry_fleet_run(txn->fleet, jobs, n);
        ferry_txn_point(txn->env, "driver-deadman");
        for (size_t i = 0; i < n; i++) {
            const struct ferry_job *job = &jobs[i];
            txn->dead.answers[job->router] =
                (struct ferry_dead_man){job->deadman_state, job->deadman_left_s, job->result, job->err};
            if (job->result == 0)
                txn->dead.maybe[job->router] = job->deadman_state == FERRY_DEADMAN_ARMED;
            else if (q->verb == FERRY_DEADMAN_ARM && job->result == -FERRY_EUNKNOWN)
                txn->dead.maybe[job->router] = true; /* also where it was silent from the second try on */
        }
    }
}

/* 0: all of these roles (`of`: of those these alone; NULL: all) are in that state.  1: some are not; the text says who.
 * Negative: some do not say. */
static int judge(const struct ferry_txn *txn, unsigned roles, const bool *of, enum ferry_deadman_state state,
                 struct ferry_err *err)
{
    static const char *const names[] = {"is gone", "is armed still", "was confirmed", "has begun"};
    int result = 0;
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        const char *name = txn->plan->routers[r].name;
        if (!is_asked(txn, roles, of, r))
            continue;
        if (a->result == -FERRY_ESUPPORT)
            return ferry_refuse(err, "dead-man", "%s: %s", name, a->err.text);
        if (a->result < 0) {
            *err = a->err;
            return ferry_error_prefix(err, a->result, "%s", name);
        }
        if (a->state == state)
            continue;
        ferry_error(err, FERRY_EIO, "%s: the undo there %s", name, names[a->state]);
        result = 1;
    }
    return result;
}

/* D2: tells all routers the same deadline. */
static int tell_once(struct ferry_txn *txn, enum ferry_deadman_verb verb, unsigned seconds, bool later,
                     const struct ferry_deadman_undo *undos, struct ferry_err *err)
{
    uint64_t began, took = UINT64_MAX;
    int r = 0;
    if (later) {
        ask(txn,
            &(struct question){.verb = FERRY_DEADMAN_EXTEND, .roles = ATTACHES, .seconds = seconds + LEAP_S});
        r = judge(txn, ATTACHES, NULL, FERRY_DEADMAN_ARMED, err);
    }
    unsigned from_s =
        txn->dead.late < txn->plan->n_stages ? ferry_deadman_delay(txn, txn->dead.late - 1) : 0; /* D8 */
    for (int try = 0; !r && try < TRIES && took > SKEW_US; try++) {
        /* Who attaches one subnet, too, never has an earlier deadline than who detaches it. */
        const unsigned order[] = {later || try ? BOTH : DETACHES | MIDDLE,
                                  later || try ? DETACHES | MIDDLE : BOTH};
        began = txn->env->monotonic_us(txn->env->ctx);
        for (size_t i = 0; !r && i < FERRY_COUNT(order); i++) {
            ask(txn, &(struct question){.verb = try ? FERRY_DEADMAN_EXTEND : verb,
                                        .roles = order[i],
                                        .seconds = seconds,
                                        .from_s = from_s,
                                        .undos = try ? NULL : undos});
            r = judge(txn, order[i], NULL, FERRY_DEADMAN_ARMED, err);
        }
        took = txn->env->monotonic_us(txn->env->ctx) - began;
        txn->dead.until_us = began + 1000000ull * seconds;
    }
    for (size_t i = 0; !r && took > SKEW_US && i < txn->plan->n_routers; i++)
        if (txn->dead.roles[i] == BOTH)
            return ferry_error(err, FERRY_EIO, "the routers answer too slowly for a common deadline");
    if (!r) {
        unsigned later_by = (unsigned)((took + 999999) / 1000000);
        ask(txn, &(struct question){.verb = verb,
                                    .roles = ATTACHES,
                                    .seconds = seconds + later_by,
                                    .from_s = from_s,
                                    .undos = undos});
        r = judge(txn, ATTACHES, NULL, FERRY_DEADMAN_ARMED, err);
    }
    if (r)
        txn->dead.until_us = 0; /* not known of all of them */
    return r;
}

/* D3: once more where an answer was so late that a router which attaches one subnet, and carries packets of another, would undo its part
 * of that one after its turn.  Whoever is slow each time is let be: its order (D2) holds. */
static int tell(struct ferry_txn *txn, enum ferry_deadman_verb verb, unsigned seconds, bool later,
                const struct ferry_deadman_undo *undos, struct ferry_err *err)
{
    int r = tell_once(txn, verb, seconds, later, undos, err);
    for (int try = 1; !r && try < TRIES; try++) {
        uint64_t began = txn->dead.until_us - 1000000ull * seconds;
        if (txn->env->monotonic_us(txn->env->ctx) - began <= SKEW_US)
            break;
        r = tell_once(txn, FERRY_DEADMAN_EXTEND, seconds, true, NULL, err);
    }
    return r;
}

/* ---- What the engine does with it. ---- */

static int refuse_without(const struct ferry_txn *txn, struct ferry_err *err)
{
    bool any = !txn->plan->n_stages;
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        any |= txn->dead.roles[r] != NOTHING;
    if (!any)
        return ferry_refuse(err, "dead-man",
                            "only records of name servers change, which cannot go back by themselves when no "
                            "confirm comes; apply without --confirm-within, and undo with `ferry rollback`");
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        if (txn->dead.roles[r] && !ferry_fleet_has_deadman(txn->fleet, r))
            return ferry_refuse(err, "dead-man",
                                "%s: a router of this kind cannot roll back by itself when no confirm comes; "
                                "apply without --confirm-within, and undo with `ferry rollback`",
                                txn->plan->routers[r].name);
    return 0;
}

/* A router that takes a subnet up in its undo, or one that lets it go (`back` false), and does the other to another subnet. */
static uint32_t crossing(const struct ferry_txn *txn, uint32_t group, bool back)
{
    const struct ferry_plan *plan = txn->plan;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->group == group && is_place(c) && !!c->before == back && txn->dead.roles[c->router] == BOTH)
                return c->router;
        }
    return FERRY_NONE;
}

/* D2 has no order for them. */
static int refuse_crossing(const struct ferry_txn *txn, struct ferry_err *err)
{
    const struct ferry_plan *plan = txn->plan;
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        uint32_t old = crossing(txn, g, true), new = crossing(txn, g, false);
        if (old != FERRY_NONE && new != FERRY_NONE)
            return ferry_refuse(
                err, "dead-man",
                "%s and %s each take up one subnet and let go of another: where only one of them heard of a "
                "new "
                "deadline, the undo of the other would put %s at two sites; move one subnet after the other",
                plan->routers[old].name, plan->routers[new].name, plan->groups[g].subnets[0].name);
    }
    return 0;
}

int ferry_txn_deadman_check(const struct ferry_txn *txn, struct ferry_err *err)
{
    int r = txn->dead.on ? refuse_without(txn, err) : 0;
    return r < 0 || !txn->dead.on ? r : refuse_crossing(txn, err);
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

/* D8: what undoes the stages that come late is run, or (`from_s`) not. */
static int take_late(struct ferry_txn *txn, unsigned from_s, struct ferry_err *err)
{
    ask(txn, &(struct question){.verb = FERRY_DEADMAN_LIMIT, .roles = ALL, .from_s = from_s});
    return judge(txn, ALL, NULL, FERRY_DEADMAN_ARMED, err);
}

int ferry_txn_deadman_arm(struct ferry_txn *txn, struct ferry_err *err)
{
    struct ferry_deadman_undo *undos = ferry_calloc(txn->plan->n_routers, sizeof *undos);
    int r = 0;
    for (uint32_t i = 0; !r && i < txn->plan->n_routers; i++)
        if (txn->dead.roles[i])
            r = ferry_deadman_undo(txn, i, &undos[i], err);
    if (!r)
        r = tell(txn, FERRY_DEADMAN_ARM, txn->dead.window_s + txn->dead.margin_s, false, undos, err);
    ferry_deadman_undos_free(undos, txn->plan->n_routers);
    if (!r)
        return 0;
    ask(txn, &(struct question){.verb = FERRY_DEADMAN_DISARM, .roles = ALL});
    for (size_t i = 0; i < txn->plan->n_routers; i++)
        if (txn->dead.maybe[i])
            add_hand(txn, i); /* D5 */
    return r > 0 ? -FERRY_EIO : r;
}

int ferry_txn_deadman_set(struct ferry_txn *txn, unsigned seconds, bool later, struct ferry_err *err)
{
    int r = tell(txn, FERRY_DEADMAN_EXTEND, seconds, later, NULL, err);
    if (!r)
        txn->record.deadline_us =
            txn->env->realtime_us(txn->env->ctx) + txn->dead.until_us - txn->env->monotonic_us(txn->env->ctx);
    return r;
}

static void tally(const struct ferry_txn *txn, struct ferry_deadman_look *ret)
{
    *ret = (struct ferry_deadman_look){.least_left_s = UINT32_MAX};
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        if (!txn->dead.roles[r])
            continue;
        if (a->result < 0) {
            ret->n_silent++;
            ret->why = a->err;
            ferry_error_prefix(&ret->why, a->result, "%s", txn->plan->routers[r].name);
            continue;
        }
        ret->n[a->state]++;
        ret->n_undoing += a->state == FERRY_DEADMAN_FIRED && a->left_s;
        if (a->state == FERRY_DEADMAN_ARMED && a->left_s < ret->least_left_s)
            ret->least_left_s = a->left_s;
    }
}

void ferry_txn_deadman_look(struct ferry_txn *txn, struct ferry_deadman_look *ret)
{
    ask(txn, &(struct question){.verb = FERRY_DEADMAN_LOOK, .roles = ALL});
    tally(txn, ret);
}

/* Whether a router is at its undo, or about to begin.  One that cannot be asked is where others are: until theirs are over, counted
 * from when this process first saw one. */
static bool is_undoing(struct ferry_txn *txn, const struct ferry_deadman_look *look, uint64_t lasts)
{
    uint64_t now = txn->env->monotonic_us(txn->env->ctx);
    if (look->n[FERRY_DEADMAN_FIRED] && !txn->dead.fired_us)
        txn->dead.fired_us = now;
    return look->n_undoing ||
           (look->n[FERRY_DEADMAN_ARMED] &&
            look->least_left_s <= (look->n_silent || look->n[FERRY_DEADMAN_FIRED] ? LOW_S : SOON_S)) ||
           (look->n_silent && look->n[FERRY_DEADMAN_FIRED] && now < txn->dead.fired_us + lasts);
}

static void let_finish(struct ferry_txn *txn, struct ferry_deadman_look *look)
{
    uint64_t lasts = 1000000ull * ferry_txn_deadman_lasts(txn), most = lasts + 1000000ull * LOW_S;
    if (is_undoing(txn, look, lasts))
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX,
                      "the routers are undoing it by themselves: waiting %u s at most",
                      (unsigned)(most / 1000000));
    for (uint64_t slept = 0; slept < most && is_undoing(txn, look, lasts); slept += STEP_US) {
        ferry_txn_sleep(txn, STEP_US);
        ferry_txn_deadman_look(txn, look);
    }
}

/* D4, D6: a new deadline for all of them, or for none: while one is silent, which will begin, the others shall begin with it. */
static int put_off(struct ferry_txn *txn, unsigned seconds, struct ferry_deadman_look *look,
                   struct ferry_err *err)
{
    ferry_txn_deadman_look(txn, look);
    if (look->n_silent) {
        *err = look->why;
        return -FERRY_EIO;
    }
    int r = look->n[FERRY_DEADMAN_FIRED] ? 0 : ferry_txn_deadman_set(txn, seconds, true, err);
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
    if (txn->stage != txn->dead.late || !take_late(txn, 0, &err))
        return ferry_txn_deadman_ahead(txn);
    FERRY_AUTOFREE char *reason =
        ferry_asprintf("the dead-man could not be told of the last stages: %s", err.text);
    ferry_txn_set_reason(txn, reason);
    return 1;
}

bool ferry_txn_deadman_undone(struct ferry_txn *txn, size_t stage)
{
    struct ferry_err err;
    struct ferry_deadman_look look;
    if (!txn->dead.on || stage != txn->dead.late ||
        !take_late(txn, ferry_deadman_delay(txn, stage - 1), &err))
        return true;
    tally(txn, &look);
    return !look.n_silent; /* who is not armed any more lays none either */
}

bool ferry_txn_deadman_back(struct ferry_txn *txn)
{
    struct ferry_deadman_look look;
    struct ferry_err why;
    uint64_t now = txn->env->monotonic_us(txn->env->ctx);
    if (!txn->dead.on || now + 1000000ull * LOW_S < txn->dead.until_us)
        return false;
    ferry_txn_deadman_look(txn, &look);
    if (!look.n[FERRY_DEADMAN_FIRED] && look.least_left_s < LOW_S && put_off(txn, AHEAD_S, &look, &why))
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s", why.text); /* they undo the same */
    ferry_txn_deadman_look(txn, &look);
    let_finish(txn, &look);
    txn->dead.until_us = look.n_silent ? 0 : now + 1000000ull * look.least_left_s;
    bool more = look.n[FERRY_DEADMAN_FIRED] > txn->dead.n_fired;
    txn->dead.n_fired = look.n[FERRY_DEADMAN_FIRED];
    return more;
}

/* Routers that the stage changes and that are not confirmed: with `done` those that no later stage changes, else the others. */
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
    ask(txn,
        &(struct question){
            .verb = FERRY_DEADMAN_LIMIT, .roles = ALL, .of = of, .to_s = ferry_deadman_delay(txn, stage)});
    int r = judge(txn, ALL, of, FERRY_DEADMAN_ARMED, err);
    if (r)
        return r;
    pick(txn, stage, true, of);
    ask(txn, &(struct question){.verb = FERRY_DEADMAN_CONFIRM, .roles = ALL, .of = of});
    return judge(txn, ALL, of, FERRY_DEADMAN_CONFIRMED, err);
}

int ferry_txn_deadman_confirm(struct ferry_txn *txn, struct ferry_err *err)
{
    int r = 0;
    for (size_t s = 0; !r && s < txn->plan->n_stages; s++)
        r = keep_stage(txn, s, err);
    if (r)
        return r;
    ask(txn, &(struct question){.verb = FERRY_DEADMAN_LOOK, .roles = ALL});
    return judge(txn, ALL, NULL, FERRY_DEADMAN_CONFIRMED, err);
}

bool ferry_txn_deadman_disarm(struct ferry_txn *txn)
{
    struct ferry_deadman_look look;
    ask(txn, &(struct question){.verb = FERRY_DEADMAN_DISARM, .roles = ALL});
    tally(txn, &look);
    if (look.n[FERRY_DEADMAN_FIRED])
        let_finish(txn, &look);
    return look.n[FERRY_DEADMAN_FIRED];
}

void ferry_txn_deadman_left(struct ferry_txn *txn)
{
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        if (txn->dead.roles[r] && (a->result < 0 || a->state == FERRY_DEADMAN_ARMED))
            add_hand(txn, r); /* D5 */
    }
}
