/* Waiting for routing protocols: before a stage, forward or backward, leaves a router to BGP or OSPF, the
 * protocol's own route there must forward as the plan says.
 *
 *  W1. A router is left to its protocol only when the protocol's route was read, beneath what is pinned, as
 *      going the way that the stage's end state says.  A protocol that has not converged is never followed.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <stdio.h>
#include <string.h>

/* BGP's default advertisement interval between sites is 30 s (RFC 4271 §10); a withdrawal and an update may each wait
 * for one. */
#define AWAIT_US    UINT64_C(60000000)
#define WAIT_US     10000u /* doubled each time up to the most */
#define WAIT_MAX_US 500000u

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

/* Plans without protocols pay nothing. */
static bool speaks(const struct ferry_plan *plan)
{
    for (size_t r = 0; r < plan->n_routers; r++)
        if (plan->routers[r].driver.routing != FERRY_ROUTING_STATIC)
            return true;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            if (ferry_change_by_itself(&plan->stages[s].changes[i]))
                return true;
    return false;
}

struct await {
    struct ferry_txn *txn;
    size_t stage;
    bool back;
    uint64_t since_us, slept_us;
    bool said;
};

/* The cells of the slice that the stage leaves to their protocol; `expected` is what is waited for. */
static void collect(const struct await *a, const struct ferry_stack *const *now,
                    const struct ferry_stack *const *then, size_t from, size_t width, struct ferry_view *ret)
{
    const struct ferry_plan *plan = a->txn->plan;
    *ret = (struct ferry_view){.plan = a->txn->plan};
    for (uint32_t r = 0; r < plan->n_routers; r++)
        for (uint32_t g = 0; g < plan->n_groups; g++) {
            size_t at = ferry_state_at(plan, g, r);
            if (now[at] == then[at] || !ferry_entry_dynamic(ferry_stack_best(then[at])) ||
                ferry_entry_dynamic(ferry_stack_best(now[at])))
                continue;
            for (size_t i = from; i < from + width && i < plan->groups[g].n_subnets; i++)
                ferry_view_add(ret,
                               &(struct ferry_cell){
                                   .router = r, .group = g, .subnet = (uint32_t)i, .expected = then[at]});
        }
    ferry_view_finish(ret);
}

/* What the protocol has for this cell, whatever lies above it; NULL: nothing. */
static const struct ferry_entry *learnt(const struct ferry_view *view, const struct ferry_view_part *part,
                                        size_t cell)
{
    const struct ferry_entry *best = NULL;
    for (uint32_t i = view->head[cell]; i; i = part->next[i - 1]) {
        const struct ferry_fib_item *item = &part->fib.items[i - 1];
        if (item->relation == FERRY_EXACT && ferry_entry_dynamic(&item->entry) &&
            (!best || item->entry.metric < best->metric))
            best = &item->entry;
    }
    return best;
}

/* The first cell of the part that is not as it shall be, or SIZE_MAX. */
static size_t behind(const struct ferry_view *view, const struct ferry_view_part *part)
{
    if (part->result < 0)
        return part->first_cell;
    for (size_t i = part->first_cell; i < part->first_cell + part->n_cells; i++)
        if (!ferry_entry_same_way(ferry_stack_best(view->cells[i].expected), learnt(view, part, i)))
            return i;
    return SIZE_MAX;
}

static int give_up(struct await *a, const struct ferry_view *view, const struct ferry_view_part *part,
                   size_t i)
{
    struct ferry_txn *txn = a->txn;
    const struct ferry_cell *cell = &view->cells[i];
    const struct ferry_entry *want = ferry_stack_best(cell->expected);
    char expected[256], found[1200], protocol[16];
    ferry_protocol_name(want->protocol, protocol);
    ferry_entry_text(want, expected, sizeof expected);
    if (part->result < 0)
        snprintf(found, sizeof found, "%s cannot be read: %s", txn->plan->routers[part->router].name,
                 part->err.text);
    else
        ferry_entry_text(learnt(view, part, i), found, sizeof found);
    FERRY_AUTOFREE char *text = ferry_asprintf(
        "stage %zu (%s)%s: %s: %s: %s does not come to what the plan expects in %u s: chose %s, expected %s",
        a->stage + 1, ferry_phase_name(txn->plan->stages[a->stage].phase), a->back ? ": undo" : "",
        txn->plan->routers[cell->router].name, txn->plan->groups[cell->group].subnets[cell->subnet].name,
        protocol, (unsigned)(AWAIT_US / 1000000), found, expected);
    ferry_txn_set_reason(txn, text);
    return 1;
}

/* As ferry_txn_await, of this view. */
static int await_view(struct await *a, struct ferry_view *view)
{
    struct ferry_txn *txn = a->txn;
    FERRY_AUTOFREE bool *pending = ferry_calloc(view->n_parts, sizeof *pending);
    uint64_t wait = WAIT_US;
    memset(pending, true, view->n_parts * sizeof *pending);
    for (;;) {
        const struct ferry_view_part *last = NULL;
        size_t cell = SIZE_MAX;
        ferry_txn_point(txn->env, "driver-read");
        ferry_view_read(view, txn->fleet, pending);
        ferry_txn_point(txn->env, "driver-read");
        for (size_t p = 0; p < view->n_parts; p++) {
            size_t found = pending[p] ? behind(view, &view->parts[p]) : SIZE_MAX;
            pending[p] = found != SIZE_MAX;
            if (pending[p]) {
                last = &view->parts[p];
                cell = found;
            }
        }
        if (!last)
            return 0;
        const char *interrupted = !a->back && txn->interrupted ? txn->interrupted() : NULL;
        if (interrupted) {
            ferry_txn_set_reason(txn, interrupted);
            return 1;
        }
        if (a->back ? ferry_txn_deadman_back(txn) : ferry_txn_deadman_ahead(txn))
            return a->back ? 2 : 1;
        if (a->slept_us >= AWAIT_US || txn->env->monotonic_us(txn->env->ctx) - a->since_us >= AWAIT_US)
            return give_up(a, view, last, cell);
        if (!a->said)
            ferry_txn_say(txn, FERRY_EVENT_NOTE, a->stage, "waiting for the routing protocol, on %s at least",
                          txn->plan->routers[last->router].name);
        a->said = true;
        ferry_txn_sleep(txn, wait);
        a->slept_us += wait; /* where tests do not sleep, time passes all the same */
        wait = 2 * wait < WAIT_MAX_US ? 2 * wait : WAIT_MAX_US;
    }
}

int ferry_txn_await(struct ferry_txn *txn, size_t stage, bool back)
{
    struct ferry_plan *plan = txn->plan;
    struct await a = {.txn = txn, .stage = stage, .back = back};
    size_t n = plan->n_groups * plan->n_routers, width = ferry_txn_view_width(plan);
    if (!speaks(plan))
        return 0;
    a.since_us = txn->env->monotonic_us(txn->env->ctx);
    FERRY_AUTOFREE const struct ferry_stack **now = ferry_states_initial(plan);
    for (size_t s = 0; s < stage + back; s++)
        ferry_states_stage(plan, now, s, false);
    FERRY_AUTOFREE const struct ferry_stack **then = ferry_memdup(now, n * sizeof *now);
    ferry_states_stage(plan, then, stage, back);
    for (size_t from = 0; from < ferry_plan_widest(plan); from += width) {
        FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
        collect(&a, now, then, from, width, &view);
        int r = view.n_cells ? await_view(&a, &view) : 0;
        if (r) /* W1 */
            return r;
    }
    return 0;
}
