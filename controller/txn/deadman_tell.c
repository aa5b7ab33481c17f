/* Asking routers of their dead-man, and telling them deadlines.  See txn_deadman.c, whose part this is.
 *
 *  L1. A deadline is never moved: a second one is told beside it, to all, and changes nothing.  Only when all of
 *      them have it the steps of the undo go over to it, stage by stage: to a later one the first stage first, to an
 *      earlier one the last stage first, each on all of its routers before the next one.  Whoever is cut off in
 *      between has left undos that stop at the first deadline in a state in which the plan has been, and go on from
 *      there at the second one: as a confirm (D2 of txn_deadman.c), but nothing stays.
 *  L2. While they are armed, before anything is written, deadlines are told again until they are near each other.
 *      A router counts a deadline from when it hears of it, which may be late: it was frozen, or the message was
 *      under way.  What comes more than FERRY_DEADMAN_LATE_S late changes nothing there (`seen_s`).
 *  L3. Before steps are moved all have answered that they have the new deadline: who is silent keeps the others
 *      where it is itself.
 *  L4. How far the deadlines are apart is known: a router counts its own from some moment between the question and
 *      the answer, and hears of no less than there is.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/deadman_parts.h"

#include <stdio.h>

#define TRIES   3
#define WAIT_US 100000u

/* ---- Asking. ---- */

static bool is_asked(const struct ferry_txn *txn, const bool *of, size_t router)
{
    return txn->dead.changed[router] && (!of || of[router]);
}

static uint64_t now_us(const struct ferry_txn *txn)
{
    return txn->env->monotonic_us(txn->env->ctx);
}

/* Never less than there is (L4). */
static unsigned seconds_until(const struct ferry_txn *txn, uint64_t until_us)
{
    uint64_t now = now_us(txn);
    return until_us > now ? (unsigned)((until_us - now + 999999) / 1000000) : 0;
}

/* L2: what the router's own clock shows now, by its last answer. */
static unsigned seen_s(const struct ferry_txn *txn, uint32_t router)
{
    const struct ferry_dead_man *a = &txn->dead.answers[router];
    uint64_t age = (now_us(txn) - a->heard_us) / 1000000;
    return a->left_s > age + 1 ? (unsigned)(a->left_s - age) : 1; /* 0: not asked for */
}

static bool tells(enum ferry_deadman_verb verb)
{
    return verb == FERRY_DEADMAN_ARM || verb == FERRY_DEADMAN_EXTEND || verb == FERRY_DEADMAN_NEXT;
}

static struct ferry_deadman sentence(const struct ferry_txn *txn, const struct ferry_deadman_question *q,
                                     uint32_t router)
{
    struct ferry_deadman what =
        q->undos ? q->undos[router].deadman : (struct ferry_deadman){.id = txn->record.id};
    if (tells(q->verb))
        what.seconds = seconds_until(txn, q->until_us);
    if (q->verb == FERRY_DEADMAN_EXTEND)
        what.seen_s = seen_s(txn, router);
    what.from_s = q->from_s;
    what.to_s = q->to_s;
    what.earlier = q->earlier;
    what.split_s = q->split_s;
    return what;
}

static bool is_armed(enum ferry_deadman_state state)
{
    return state == FERRY_DEADMAN_ARMED || state == FERRY_DEADMAN_MOVING;
}

static void hear(struct ferry_txn *txn, const struct ferry_job *job, uint64_t asked_us)
{
    struct ferry_dead_man *a = &txn->dead.answers[job->router];
    bool armed = is_armed(job->deadman_state);
    unsigned told_s = job->deadman->seconds;
    if (job->result < 0) { /* what was heard before stays what was seen (L2) */
        a->result = job->result;
        a->err = job->err;
    } else {
        *a = (struct ferry_dead_man){job->deadman_state, job->deadman_left_s, 0,           job->err,
                                     asked_us,           now_us(txn),         a->first_us, a->last_us};
        /* L4.  A router that keeps the later, or the earlier, of this one and the one that it has: neither of two
         * orders is another then, and no distance more than the greater of two. */
        if (tells(job->deadman_verb)) {
            a->first_us = a->asked_us + 1000000ull * told_s;
            a->last_us = a->heard_us + 1000000ull * told_s;
        }
        if (armed && job->deadman_verb == FERRY_DEADMAN_EXTEND &&
            (a->left_s > told_s || a->left_s + FERRY_DEADMAN_LATE_S < told_s))
            a->result = ferry_error(&a->err, FERRY_EIO, "heard of the new deadline too late");
    }
    if (job->result == 0)
        txn->dead.maybe[job->router] = armed;
    else if (job->deadman_verb == FERRY_DEADMAN_ARM && job->result == -FERRY_EUNKNOWN)
        txn->dead.maybe[job->router] = true; /* also where it was silent from the second try on */
}

/* Every verb may be said twice. */
void ferry_deadman_ask(struct ferry_txn *txn, const struct ferry_deadman_question *q)
{
    size_t n_routers = txn->plan->n_routers, n;
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(n_routers, sizeof *jobs);
    FERRY_AUTOFREE struct ferry_deadman *what = ferry_calloc(n_routers, sizeof *what);
    for (int try = 0; try < TRIES; try++) {
        n = 0;
        if (try)
            ferry_txn_sleep(txn, WAIT_US);
        for (uint32_t r = 0; r < n_routers; r++) {
            if (!is_asked(txn, q->of, r) || (try && txn->dead.answers[r].result == 0))
                continue;
            what[n] = sentence(txn, q, r);
            jobs[n] = (struct ferry_job){
                .router = r, .verb = FERRY_JOB_DEADMAN, .deadman_verb = q->verb, .deadman = &what[n]};
            n++;
        }
        if (!n)
            return;
        uint64_t asked_us = now_us(txn);
        ferry_txn_point(txn->env, "driver-deadman");
        ferry_fleet_run(txn->fleet, jobs, n);
        ferry_txn_point(txn->env, "driver-deadman");
        for (size_t i = 0; i < n; i++)
            hear(txn, &jobs[i], asked_us);
    }
}

int ferry_deadman_judge(const struct ferry_txn *txn, const bool *of, enum ferry_deadman_state state,
                        struct ferry_err *err)
{
    static const char *const names[] = {"is gone",   "is armed still", "was confirmed",
                                        "has begun", "is armed still", "has begun"};
    int result = 0;
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        const char *name = txn->plan->routers[r].name;
        if (!is_asked(txn, of, r))
            continue;
        if (a->result == -FERRY_ESUPPORT)
            return ferry_refuse(err, "dead-man", "%s: %s", name, a->err.text);
        if (a->result < 0) {
            *err = a->err;
            return ferry_error_prefix(err, a->result, "%s", name);
        }
        if (a->state == state || (state == FERRY_DEADMAN_ARMED && is_armed(a->state)))
            continue;
        ferry_error(err, FERRY_EIO, "%s: the undo there %s", name, names[a->state]);
        result = 1;
    }
    return result;
}

/* ---- Telling. ---- */

/* Before anything is written a deadline may be moved as it is. */
static void armed_now(struct ferry_deadman_question *q)
{
    if (q->verb == FERRY_DEADMAN_ARM)
        q->verb = FERRY_DEADMAN_EXTEND;
    q->undos = NULL;
}

unsigned ferry_deadman_too_far_s(const struct ferry_txn *txn, unsigned seconds)
{
    uint64_t first = UINT64_MAX, last = 0;
    for (size_t r = 0; r < txn->plan->n_routers; r++) {
        const struct ferry_dead_man *a = &txn->dead.answers[r];
        if (!is_asked(txn, NULL, r))
            continue;
        first = a->first_us < first ? a->first_us : first;
        last = a->last_us > last ? a->last_us : last;
    }
    unsigned apart = last > first ? (unsigned)((last - first + 999999) / 1000000) : 0;
    return apart > ferry_deadman_most_apart_s(txn, seconds) ? apart : 0;
}

static int tell_once(struct ferry_txn *txn, struct ferry_deadman_question *q, unsigned seconds,
                     struct ferry_err *err)
{
    q->until_us = now_us(txn) + 1000000ull * seconds;
    ferry_deadman_ask(txn, q);
    int r = ferry_deadman_judge(txn, NULL, FERRY_DEADMAN_ARMED, err);
    txn->dead.until_us = r ? 0 : q->until_us; /* 0: not known of all of them */
    return r;
}

/* Once more where answers were so late that deadlines are farther apart than D3 lets them be. */
static int tell(struct ferry_txn *txn, struct ferry_deadman_question q, unsigned seconds,
                struct ferry_err *err)
{
    int r = tell_once(txn, &q, seconds, err);
    for (int try = 1; !r && try < TRIES && ferry_deadman_too_far_s(txn, seconds); try++) {
        armed_now(&q);
        r = tell_once(txn, &q, seconds, err);
    }
    return r;
}

int ferry_deadman_arm(struct ferry_txn *txn, unsigned seconds, const struct ferry_deadman_undo *undos,
                      struct ferry_err *err)
{
    struct ferry_deadman_question q = {
        .verb = FERRY_DEADMAN_ARM, .undos = undos, .from_s = ferry_deadman_from_s(txn, 0)}; /* D8 */
    return tell(txn, q, seconds, err);
}

/* ---- Moving. ---- */

static int move_stage(struct ferry_txn *txn, size_t stage, bool earlier, struct ferry_err *err)
{
    FERRY_AUTOFREE bool *of = ferry_calloc(txn->plan->n_routers, sizeof *of);
    unsigned delay = ferry_deadman_delay(txn, stage);
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        of[r] = ferry_deadman_touches(txn->plan, stage, r);
    ferry_deadman_ask(txn, &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_MOVE,
                                                            .of = of,
                                                            .earlier = earlier,
                                                            .split_s = earlier ? delay + 1 : delay});
    return ferry_deadman_judge(txn, of, FERRY_DEADMAN_ARMED, err);
}

int ferry_deadman_move(struct ferry_txn *txn, bool earlier, struct ferry_err *err)
{
    size_t n = txn->plan->n_stages;
    int r = 0;
    for (size_t i = 0; !r && i < n; i++)
        r = move_stage(txn, earlier ? n - 1 - i : i, earlier, err);
    if (r)
        return r;
    ferry_deadman_ask(txn,
                      &(struct ferry_deadman_question){.verb = FERRY_DEADMAN_SETTLE, .earlier = earlier});
    return ferry_deadman_judge(txn, NULL, FERRY_DEADMAN_ARMED, err);
}

int ferry_deadman_tell(struct ferry_txn *txn, unsigned seconds, bool earlier, struct ferry_err *err)
{
    int r = tell(txn, (struct ferry_deadman_question){.verb = FERRY_DEADMAN_NEXT, .earlier = earlier},
                 seconds, err);
    uint64_t until_us = txn->dead.until_us;
    if (!r && ferry_deadman_too_far_s(txn, seconds))
        r = ferry_error(err, FERRY_EIO, "the routers answer too slowly for a common deadline");
    if (!r) /* L3 */
        r = ferry_deadman_move(txn, earlier, err);
    if (!r && earlier &&
        now_us(txn) >= until_us) /* who heard of a stage after it kept that for the later one */
        r = ferry_error(err, FERRY_EIO, "the routers answer too slowly for a deadline so near");
    txn->dead.until_us = r ? 0 : until_us;
    return r;
}
