/* The prechecks: a plan is applied only if it is proven, if every router still is as the plan found it, and
 * if no driver knows a reason against it.  Writes nothing anywhere.
 *
 *  C1. The complete stacks of all moved prefixes are compared, on every router, not only the keys that change:
 *      an entry more than the plan knows is drift.
 *  C2. A router that the plan needs and that cannot be read is a refusal.  Planning and checking never assume.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <ferry/prove.h>
#include <stdio.h>
#include <string.h>

#define EXHAUSTIVE_BITS 12 /* up to 4,096 states a stage and group are also walked: below 10 ms */

static void proof_cleanup(struct ferry_proof *proof)
{
    ferry_proof_clear(proof);
}

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

static int prove(struct ferry_txn *txn, struct ferry_err *err)
{
    FERRY_CLEANUP(proof_cleanup) struct ferry_proof proof = {0};
    return ferry_prove(txn->plan, EXHAUSTIVE_BITS, &proof, err);
}

/* ---- Drift. ---- */

static void note_cover(struct ferry_txn *txn, const struct ferry_view *view,
                       const struct ferry_view_part *part, size_t at)
{
    const struct ferry_cell *cell = &view->cells[at];
    const struct ferry_group *group = &txn->plan->groups[cell->group];
    if (!group->covers || group->dns || ferry_stack_best(cell->expected))
        return;
    const struct ferry_cover *cover = &group->covers[cell->router];
    const struct ferry_fib_item *found = NULL;
    for (uint32_t i = view->head[at]; i; i = part->next[i - 1])
        if (part->fib.items[i - 1].relation == FERRY_COVERING)
            found = &part->fib.items[i - 1];
    if (!found ? !cover->entry
               : cover->entry && ferry_prefix_equal(&found->prefix, &cover->prefix) &&
                     ferry_entry_same(cover->entry, &found->entry))
        return;
    char prefix[FERRY_PREFIX_STRLEN] = "nothing", text[256] = "";
    if (found) {
        ferry_prefix_text(&found->prefix, prefix);
        ferry_entry_text(&found->entry, text, sizeof text);
    }
    ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX,
                  "%s: %s now falls to %s%s%s there, which the plan did not see",
                  txn->plan->routers[cell->router].name, group->subnets[cell->subnet].name, prefix,
                  *text ? " " : "", text);
}

/* -FERRY_EREFUSED where the part could not be read and is needed. */
static int compare_part(struct ferry_txn *txn, struct ferry_view *view, struct ferry_view_part *part,
                        const bool *needed, struct ferry_hands *drift, struct ferry_err *err)
{
    const char *name = txn->plan->routers[part->router].name;
    if (part->result < 0) {
        if (needed[part->router])
            return ferry_refuse(err, "unreachable", "%s cannot be read: %s", name, part->err.text); /* C2 */
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s, which the plan does not need, cannot be read: %s",
                      name, part->err.text);
        return 0;
    }
    if (part->fib.cut)
        return ferry_refuse(err, "more-specific",
                            "%s holds too many longer prefixes inside the moved subnets", name);
    for (size_t i = part->first_cell; i < part->first_cell + part->n_cells; i++) {
        if (!ferry_view_holds(view, part, i, view->cells[i].expected)) /* C1 */
            ferry_view_diff(view, part, i, view->cells[i].expected, drift);
        note_cover(txn, view, part, i);
    }
    ferry_interlock_see(&txn->interlock, view, part);
    return 0;
}

static bool is_overridden(const struct ferry_txn *txn, const char *rule)
{
    bool found = ferry_overrides_have(&txn->plan->overrides, rule);
    for (size_t i = 0; !found && i < txn->record.n_overrides; i++)
        found = !strcmp(txn->record.overrides[i].rule, rule);
    return found;
}

/* A longer prefix that is not held by all who hold the outer one: it came after the plan. */
static void compare_specifics(struct ferry_txn *txn, struct ferry_hands *drift)
{
    const struct ferry_plan *plan = txn->plan;
    FERRY_AUTOFREE bool *has = ferry_calloc(plan->n_routers, sizeof *has);
    bool overridden = is_overridden(txn, "more-specific");
    for (size_t i = 0, end; i < txn->n_specifics; i = end) {
        const struct ferry_specific *s = &txn->specifics[i];
        memset(has, 0, plan->n_routers * sizeof *has);
        for (end = i; end < txn->n_specifics && txn->specifics[end].group == s->group &&
                      txn->specifics[end].subnet == s->subnet &&
                      ferry_prefix_equal(&txn->specifics[end].prefix, &s->prefix);
             end++)
            has[txn->specifics[end].router] = true;
        bool everywhere = true;
        for (size_t r = 0; r < plan->n_routers; r++)
            everywhere &= has[r] || !plan->groups[s->group].initial[r];
        for (size_t k = i; !everywhere && k < end; k++) {
            const struct ferry_specific *x = &txn->specifics[k];
            if (overridden) {
                char prefix[FERRY_PREFIX_STRLEN];
                ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s: the longer prefix %s stays as it is",
                              plan->routers[x->router].name, ferry_prefix_text(&x->prefix, prefix));
                continue;
            }
            struct ferry_entry unknown = {.type = FERRY_UNICAST, .table = x->table, .metric = x->metric};
            ferry_hands_add(drift, plan->routers[x->router].name,
                            ferry_key_text(&x->prefix, NULL, FERRY_KIND_ROUTE, x->table, x->metric), NULL,
                            &unknown, false);
        }
    }
}

static int compare(struct ferry_txn *txn, struct ferry_hands *drift, struct ferry_err *err)
{
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_states_initial(txn->plan);
    FERRY_AUTOFREE bool *needed = ferry_plan_needed(txn->plan);
    for (size_t i = 0; i < txn->stage; i++) /* it was paused there */
        ferry_states_stage(txn->plan, states, i, false);
    size_t width = ferry_txn_view_width(txn->plan), widest = ferry_plan_widest(txn->plan);
    for (size_t from = 0; from < widest; from += width) {
        FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
        ferry_txn_view_all(txn->plan, states, from, width, &view);
        ferry_txn_point(txn->env, "driver-read");
        ferry_view_read(&view, txn->fleet, NULL);
        ferry_txn_point(txn->env, "driver-read");
        for (size_t i = 0; i < view.n_parts; i++) {
            int r = compare_part(txn, &view, &view.parts[i], needed, drift, err);
            if (r < 0)
                return r;
        }
        ferry_specifics_collect(&view, &txn->specifics, &txn->n_specifics);
    }
    ferry_specifics_sort(txn->specifics, txn->n_specifics);
    compare_specifics(txn, drift);
    if (!drift->n)
        return 0;
    const struct ferry_hand *h = &drift->v[0];
    return ferry_error(err, FERRY_EDRIFT, "%s: %s: planned from %s, found %s%s", h->router, h->key,
                       h->expected, h->found, drift->n > 1 ? "; and more" : "");
}

/* ---- What drivers say. ---- */

static int judge_check(const struct ferry_txn *txn, const struct ferry_job *job, struct ferry_err *err)
{
    const char *name = txn->plan->routers[job->router].name;
    if (job->result < 0)
        return ferry_refuse(err, "precheck", "%s: %s", name, job->err.text);
    for (size_t i = 0; i < job->n_ops; i++)
        if (job->ops[i].outcome != FERRY_DONE) {
            FERRY_AUTOFREE char *key = ferry_key_text(&job->ops[i].prefix, job->ops[i].name, job->ops[i].kind,
                                                      job->ops[i].table, job->ops[i].metric);
            return ferry_refuse(err, "precheck", "%s: %s: %s", name, key,
                                job->ops[i].why ? job->ops[i].why : "the driver says no");
        }
    return 0;
}

static int check_stage(struct ferry_txn *txn, size_t stage, struct ferry_err *err)
{
    size_t width = ferry_batch_width(&txn->plan->stages[stage]), widest = ferry_plan_widest(txn->plan);
    int r = 0;
    for (size_t from = 0; !r && from < widest; from += width) {
        struct ferry_batch *b = ferry_batch_new(txn->plan, stage, from, width, NULL);
        if (!b)
            break;
        FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(b->view.n_parts, sizeof *jobs);
        for (size_t i = 0; i < b->view.n_parts; i++) {
            jobs[i] = b->jobs[2 * i];
            jobs[i].verb = FERRY_JOB_CHECK;
        }
        ferry_txn_point(txn->env, "driver-check");
        ferry_fleet_run(txn->fleet, jobs, b->view.n_parts);
        ferry_txn_point(txn->env, "driver-check");
        for (size_t i = 0; !r && i < b->view.n_parts; i++)
            r = judge_check(txn, &jobs[i], err);
        ferry_batch_free(b);
    }
    return r;
}

int ferry_txn_check(struct ferry_txn *txn, struct ferry_hands *drift, struct ferry_err *err)
{
    int r = prove(txn, err);
    if (!r)
        r = ferry_txn_check_attested(txn, err);
    if (!r)
        r = compare(txn, drift, err);
    for (size_t i = txn->stage; !r && i < txn->plan->n_stages; i++)
        r = check_stage(txn, i, err);
    return r;
}
