/* One stage forward: all of its ops on all of its routers at once, each router's read-back right behind, and
 * the judgement.
 *
 *  A1. Nothing is written to a router before the transaction's row is durable (J2 of journal.c).
 *  A2. Between the first detach and the last attach nothing is allocated that grows with the plan, nothing is
 *      synced to disk, and nothing is read but what the stage has touched.
 *  A3. A stage is done when every touched stack was read back as exactly what the plan says, with nothing else
 *      beside it. What a driver says alone is not enough, and a lost answer alone is no failure.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/place.h"
#include "txn/txn_engine.h"

#include <assert.h>
#include <stdio.h>

#define READ_TRIES   3 /* of a stage's read-back, before the stage is given up */
#define READ_WAIT_US 20000

/* The stages of the outage, as they will stand: so that their runs begin without a pause. */
static void build_ahead(struct ferry_txn *txn)
{
    struct ferry_plan *plan = txn->plan;
    size_t n_ops = 0, widest = ferry_plan_widest(plan);
    for (size_t i = txn->first_critical; i <= txn->last_critical; i++) {
        if (ferry_batch_width(&plan->stages[i]) < widest)
            return;
        n_ops += ferry_stage_outcomes(plan, &plan->stages[i]);
    }
    if (n_ops > 2 * (size_t)FERRY_BATCH_OPS)
        return;
    size_t n = plan->n_groups * plan->n_routers;
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_memdup(txn->states, n * sizeof *states);
    for (size_t i = txn->first_critical; i <= txn->last_critical; i++) {
        ferry_states_stage(plan, states, i, false);
        txn->ready[i] = ferry_batch_new(plan, i, 0, widest, states);
    }
}

static int fail(struct ferry_txn *txn, size_t router, const char *key, const char *what)
{
    FERRY_AUTOFREE char *text = ferry_asprintf(
        "stage %zu (%s): %s: %s%s%s", txn->stage + 1, ferry_phase_name(txn->plan->stages[txn->stage].phase),
        txn->plan->routers[router].name, key ? key : "", key ? ": " : "", what);
    ferry_txn_set_reason(txn, text);
    return 1;
}

static int check_exclusive(struct ferry_txn *txn, const struct ferry_batch *b)
{
    for (size_t i = 0; i < b->n_ops; i++) {
        const struct ferry_change *c = b->refs[i].change;
        if (!ferry_kind_is_place(c->kind) || !c->after)
            continue;
        uint32_t other = ferry_interlock_conflict(&txn->interlock, c->group, b->refs[i].subnet, c->router);
        if (other != FERRY_NO_ROUTER) {
            FERRY_AUTOFREE char *what = ferry_asprintf(
                "not %s: %s is attached or announces it, or may",
                c->kind == FERRY_KIND_GATEWAY ? "attached" : "announced", txn->plan->routers[other].name);
            return fail(txn, c->router, NULL, what);
        }
    }
    return 0;
}

/* What became of an op, by what was found and what the driver said. */
static enum ferry_outcome outcome_of(const struct ferry_op *op, const struct ferry_entry *found)
{
    if (op->outcome == FERRY_REFUSED || op->outcome == FERRY_STALE)
        return op->outcome;
    if (ferry_entry_same(found, op->after))
        return FERRY_DONE;
    return ferry_entry_same(found, op->before) ? FERRY_REFUSED : FERRY_STALE;
}

static int judge_op(struct ferry_txn *txn, struct ferry_batch *b, const struct ferry_view_part *part,
                    size_t i, const struct ferry_err *job_err)
{
    struct ferry_op *op = &b->ops[i];
    enum ferry_outcome said = op->outcome, *outcome = &txn->record.outcomes[b->refs[i].outcome];
    FERRY_AUTOFREE char *key = NULL;
    if (part->result < 0) {
        *outcome = said == FERRY_DONE ? FERRY_UNKNOWN : said; /* A3 */
    } else {
        *outcome =
            outcome_of(op, ferry_view_key(&b->view, part, b->refs[i].cell, op->kind, op->table, op->metric));
        if (ferry_change_by_itself(b->refs[i].change) && said != FERRY_REFUSED && said != FERRY_STALE)
            *outcome = FERRY_DONE; /* its protocol's business: looked at when the router is left to it */
        if (*outcome == FERRY_DONE)
            return 0;
    }
    key = ferry_key_text(&op->prefix, op->name, op->kind, op->table, op->metric);
    FERRY_AUTOFREE char *what = NULL;
    if (part->result < 0 && said != FERRY_REFUSED && said != FERRY_STALE)
        what = ferry_asprintf("unknown: cannot be read back: %s", part->err.text);
    else if (said == FERRY_DONE)
        what = ferry_strdup("was acknowledged, but is not there");
    else
        what = ferry_asprintf("%s: %s", ferry_outcome_name(*outcome),
                              op->why            ? op->why
                              : job_err->text[0] ? job_err->text
                                                 : "no reason given");
    return fail(txn, part->router, key, what);
}

static int judge_cells(struct ferry_txn *txn, const struct ferry_batch *b, const struct ferry_view_part *part)
{
    for (size_t i = part->first_cell; part->result == 0 && i < part->first_cell + part->n_cells; i++) {
        if (ferry_view_holds(&b->view, part, i, b->view.cells[i].expected)) /* A3 */
            continue;
        struct ferry_hands hands = {0};
        ferry_view_diff(&b->view, part, i, b->view.cells[i].expected, &hands);
        FERRY_AUTOFREE char *what =
            hands.n ? ferry_asprintf("expected %s, found %s", hands.v[0].expected, hands.v[0].found)
                    : ferry_strdup("not what the plan says");
        int r = fail(txn, part->router, hands.n ? hands.v[0].key : NULL, what);
        ferry_hands_free(hands.v, hands.n);
        return r;
    }
    return 0;
}

static int judge(struct ferry_txn *txn, struct ferry_batch *b)
{
    int failed = 0;
    for (size_t p = 0; p < b->view.n_parts; p++) {
        const struct ferry_view_part *part = &b->view.parts[p];
        for (size_t i = b->part_first[p]; i < b->part_first[p + 1]; i++)
            failed |= judge_op(txn, b, part, i, &b->jobs[2 * p].err); /* all: each has its outcome */
        failed |= judge_cells(txn, b, part);
    }
    return failed;
}

static void read_again(struct ferry_txn *txn, struct ferry_batch *b)
{
    FERRY_AUTOFREE bool *silent = ferry_calloc(b->view.n_parts, sizeof *silent);
    for (int try = 1; try < READ_TRIES; try++) {
        bool any = false;
        for (size_t p = 0; p < b->view.n_parts; p++)
            any |= silent[p] = b->view.parts[p].result < 0;
        if (!any)
            return;
        ferry_txn_sleep(txn, READ_WAIT_US);
        ferry_view_read(&b->view, txn->fleet, silent);
    }
}

/* Whether the outage goes on at this router. */
static bool goes_on(const struct ferry_txn *txn, uint32_t router)
{
    const struct ferry_stage *next = &txn->plan->stages[txn->stage + 1];
    if (txn->stage < txn->first_critical || txn->stage >= txn->last_critical)
        return false;
    for (size_t i = 0; i < next->n_changes; i++)
        if (next->changes[i].router == router)
            return true;
    return false;
}

/* Which routers have something to do in later stages. */
static bool *busy_later(const struct ferry_txn *txn)
{
    bool *busy = ferry_calloc(txn->plan->n_routers, sizeof *busy);
    for (size_t s = txn->stage + 1; s < txn->plan->n_stages; s++)
        for (size_t i = 0; i < txn->plan->stages[s].n_changes; i++)
            busy[txn->plan->stages[s].changes[i].router] = true;
    return busy;
}

static int run(struct ferry_txn *txn, struct ferry_batch *b)
{
    if (check_exclusive(txn, b))
        return 1;
    FERRY_AUTOFREE bool *busy = busy_later(txn);
    for (size_t p = 0; p < b->view.n_parts; p++) {
        b->jobs[2 * p].more = goes_on(txn, b->view.parts[p].router);
        b->jobs[2 * p].last = !busy[b->view.parts[p].router];
    }
    ferry_txn_point(txn->env, "driver-apply");
    ferry_fleet_run(txn->fleet, b->jobs, 2 * b->view.n_parts);
    ferry_txn_point(txn->env, "driver-apply");
    for (size_t p = 0; p < b->view.n_parts; p++)
        ferry_view_take(&b->view, &b->view.parts[p], &b->jobs[2 * p + 1]);
    read_again(txn, b);
    for (size_t p = 0; p < b->view.n_parts; p++)
        ferry_interlock_see(&txn->interlock, &b->view, &b->view.parts[p]);
    return judge(txn, b);
}

int ferry_txn_apply_stage(struct ferry_txn *txn)
{
    struct ferry_plan *plan = txn->plan;
    size_t stage = txn->stage, widest = ferry_plan_widest(plan),
           width = ferry_batch_width(&plan->stages[stage]);
    assert(txn->record.id[0]); /* A1 */
    if (ferry_txn_await(txn, stage, false) || ferry_txn_fence(txn, stage))
        return 1;
    if (stage == txn->first_critical)
        build_ahead(txn); /* A2 */
    ferry_states_stage(plan, txn->states, stage, false);
    txn->record.stages_begun = stage + 1;
    if (txn->ready[stage])
        return run(txn, txn->ready[stage]);
    int failed = 0;
    for (size_t from = 0; !failed && from < widest; from += width) {
        struct ferry_batch *b = ferry_batch_new(plan, stage, from, width, txn->states);
        if (!b)
            break;
        failed = run(txn, b);
        ferry_batch_free(b);
    }
    return failed;
}

/* ---- Around the outage. ---- */

static size_t collect_attached(const struct ferry_txn *txn, uint32_t router, bool back, struct ferry_op **ret)
{
    struct ferry_op *ops = NULL;
    size_t n = 0;
    for (size_t s = 0; s < txn->plan->n_stages; s++)
        for (size_t i = 0; i < txn->plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &txn->plan->stages[s].changes[i];
            if (c->router != router || c->kind != FERRY_KIND_GATEWAY || !(back ? c->before : c->after))
                continue;
            for (size_t k = 0; k < txn->plan->groups[c->group].n_subnets; k++) {
                struct ferry_op op = ferry_plan_op(txn->plan, c, k);
                FERRY_GROW(ops, n);
                ops[n] = back ? ferry_op_swap(&op) : op;
                ops[n++].outcome = FERRY_DONE;
            }
        }
    *ret = ops;
    return n;
}

void ferry_txn_announce(struct ferry_txn *txn, bool back)
{
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(txn->plan->n_routers, sizeof *jobs);
    size_t n = 0;
    for (uint32_t r = 0; r < txn->plan->n_routers; r++) {
        struct ferry_job job = {.router = r, .verb = FERRY_JOB_ANNOUNCE};
        job.n_ops = collect_attached(txn, r, back, &job.ops);
        if (job.n_ops)
            jobs[n++] = job;
    }
    if (n) {
        ferry_txn_point(txn->env, "driver-announce");
        ferry_fleet_run(txn->fleet, jobs, n);
        ferry_txn_point(txn->env, "driver-announce");
    }
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].result < 0)
            ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s: not announced on its LAN: %s",
                          txn->plan->routers[jobs[i].router].name, jobs[i].err.text);
        free(jobs[i].ops);
    }
}

static void not_saved(struct ferry_txn *txn, const char *router, const char *why)
{
    FERRY_GROW(txn->record.hands, txn->record.n_hands);
    txn->record.hands[txn->record.n_hands++] =
        (struct ferry_hand){.router = ferry_strdup(router),
                            .key = ferry_strdup("saved configuration"),
                            .expected = ferry_strdup("what runs, after a restart too"),
                            .found = ferry_strdup(why)};
}

/* The routers that were changed, and keep what they hold only when told. */
static size_t to_persist(const struct ferry_txn *txn, struct ferry_job **ret)
{
    const struct ferry_plan *plan = txn->plan;
    FERRY_AUTOFREE bool *changed = ferry_calloc(plan->n_routers, sizeof *changed);
    struct ferry_job *jobs = *ret = ferry_calloc(plan->n_routers, sizeof *jobs);
    size_t n = 0;
    for (size_t s = 0; s < txn->record.stages_begun; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            changed[plan->stages[s].changes[i].router] = true;
    for (uint32_t r = 0; r < plan->n_routers; r++)
        if (changed[r] && ferry_fleet_has_persist(txn->fleet, r))
            jobs[n++] = (struct ferry_job){.router = r, .verb = FERRY_JOB_PERSIST};
    return n;
}

void ferry_txn_persist_due(struct ferry_txn *txn)
{
    FERRY_AUTOFREE struct ferry_job *jobs = NULL;
    txn->n_due = to_persist(txn, &jobs);
    for (size_t i = 0; i < txn->n_due; i++)
        not_saved(txn, txn->plan->routers[jobs[i].router].name, "not known: the controller stopped before");
}

void ferry_txn_persist_undue(struct ferry_txn *txn)
{
    for (; txn->n_due; txn->n_due--) {
        struct ferry_hand *hand = &txn->record.hands[--txn->record.n_hands];
        free(hand->router);
        free(hand->key);
        free(hand->expected);
        free(hand->found);
    }
}

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

static void add_hands(struct ferry_txn *txn, struct ferry_hands *hands)
{
    for (size_t i = 0; i < hands->n; i++) {
        FERRY_GROW(txn->record.hands, txn->record.n_hands);
        txn->record.hands[txn->record.n_hands++] = hands->v[i];
    }
    free(hands->v);
}

/* A daemon that died since the verification came back with what was saved before the move: what is saved now
 * is looked at. */
static void look_at_saved(struct ferry_txn *txn, const bool *saved)
{
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_states_initial(txn->plan);
    size_t width = ferry_txn_view_width(txn->plan), widest = ferry_plan_widest(txn->plan);
    for (size_t s = 0; s < txn->plan->n_stages; s++)
        ferry_states_stage(txn->plan, states, s, false);
    for (size_t from = 0; from < widest; from += width) {
        FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
        struct ferry_hands hands = {0};
        ferry_txn_view_all(txn->plan, states, from, width, &view);
        FERRY_AUTOFREE bool *asked = ferry_calloc(view.n_parts, sizeof *asked);
        for (size_t p = 0; p < view.n_parts; p++)
            asked[p] = saved[view.parts[p].router];
        ferry_view_read(&view, txn->fleet, asked);
        for (size_t p = 0; p < view.n_parts; p++)
            for (size_t i = view.parts[p].first_cell; asked[p] && view.parts[p].result == 0 &&
                                                      i < view.parts[p].first_cell + view.parts[p].n_cells;
                 i++)
                if (!ferry_view_holds(&view, &view.parts[p], i, view.cells[i].expected))
                    ferry_view_diff(&view, &view.parts[p], i, view.cells[i].expected, &hands);
        add_hands(txn, &hands);
    }
}

bool ferry_txn_persist(struct ferry_txn *txn)
{
    FERRY_AUTOFREE struct ferry_job *jobs = NULL;
    size_t n = to_persist(txn, &jobs);
    ferry_txn_point(txn->env, "driver-persist");
    ferry_fleet_run(txn->fleet, jobs, n);
    ferry_txn_point(txn->env, "driver-persist");
    ferry_txn_persist_undue(txn);
    FERRY_AUTOFREE bool *saved = ferry_calloc(txn->plan->n_routers, sizeof *saved);
    for (size_t i = 0; i < n; i++) {
        saved[jobs[i].router] = jobs[i].result == 0;
        if (jobs[i].result < 0) {
            const char *router = txn->plan->routers[jobs[i].router].name;
            ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s: not made to last over a restart: %s", router,
                          jobs[i].err.text);
            not_saved(txn, router, jobs[i].err.text);
        }
    }
    if (n && txn->record.state == FERRY_TXN_COMMITTED)
        look_at_saved(txn, saved);
    return n > 0;
}
