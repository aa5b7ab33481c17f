/* After the last stage: every router is read again, for every moved subnet, and must hold the plan's end
 * state; and a packet from every router that has a route must arrive, by longest-prefix match.
 *
 *  F1. Success is what was read after the last write, on every router that the plan needs.
 *  F2. A rollback goes back to what was, also where that was a router that dropped the subnet: what the move
 *      improved is not held against its undo.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <stdio.h>
#include <string.h>

#define READ_TRIES   4
#define READ_WAIT_US 20000 /* doubled each time: 140 ms together */

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

static int fail(struct ferry_txn *txn, const char *text)
{
    FERRY_AUTOFREE char *reason = ferry_asprintf("verification: %s", text);
    ferry_txn_set_reason(txn, reason);
    return 1;
}

void ferry_txn_read_patiently(struct ferry_txn *txn, struct ferry_view *view, const bool *needed)
{
    FERRY_AUTOFREE bool *silent = ferry_calloc(view->n_parts, sizeof *silent);
    uint64_t wait = READ_WAIT_US;
    ferry_txn_point(txn->env, "driver-read");
    ferry_view_read(view, txn->fleet, NULL);
    ferry_txn_point(txn->env, "driver-read");
    for (int try = 1; try < READ_TRIES; try++, wait *= 2) {
        bool any = false;
        for (size_t p = 0; p < view->n_parts; p++)
            any |= silent[p] = view->parts[p].result < 0 && needed[view->parts[p].router];
        if (!any)
            break;
        ferry_txn_sleep(txn, wait);
        ferry_view_read(view, txn->fleet, silent);
    }
    for (size_t p = 0; p < view->n_parts; p++)
        ferry_interlock_see(&txn->interlock, view, &view->parts[p]);
}

/* Of the route that forwards: a next hop whose link is down delivers nothing. */
static bool dead_hop(const struct ferry_view *view, const struct ferry_view_part *part, size_t cell)
{
    const struct ferry_entry *best = ferry_view_best(view, part, cell);
    for (size_t i = 0; best && i < best->n_nexthops; i++)
        if (best->nexthops[i].down)
            return true;
    return false;
}

static int verify_cell(struct ferry_txn *txn, const struct ferry_view *view,
                       const struct ferry_view_part *part, size_t cell)
{
    const struct ferry_cell *c = &view->cells[cell];
    const char *router = txn->plan->routers[c->router].name,
               *subnet = txn->plan->groups[c->group].subnets[c->subnet].name;
    if (!ferry_view_holds(view, part, cell, c->expected)) {
        struct ferry_hands hands = {0};
        ferry_view_diff(view, part, cell, c->expected, &hands);
        FERRY_AUTOFREE char *text = ferry_asprintf(
            "%s: %s: expected %s, found %s", router, hands.n ? hands.v[0].key : subnet,
            hands.n ? hands.v[0].expected : "the plan's end state", hands.n ? hands.v[0].found : "else");
        ferry_hands_free(hands.v, hands.n);
        return fail(txn, text);
    }
    if (dead_hop(view, part, cell)) {
        FERRY_AUTOFREE char *text =
            ferry_asprintf("%s: %s: the link to its next hop is down", router, subnet);
        return fail(txn, text);
    }
    return 0;
}

int ferry_txn_verify_specifics(struct ferry_txn *txn, const struct ferry_view *view)
{
    struct ferry_specific *now = NULL;
    size_t n = 0;
    int r = 0;
    ferry_specifics_collect(view, &now, &n);
    for (size_t i = 0; !r && i < n; i++) {
        if (ferry_specifics_have(txn->specifics, txn->n_specifics, &now[i]))
            continue;
        char prefix[FERRY_PREFIX_STRLEN];
        FERRY_AUTOFREE char *text =
            ferry_asprintf("%s: the longer prefix %s appeared inside %s",
                           txn->plan->routers[now[i].router].name, ferry_prefix_text(&now[i].prefix, prefix),
                           txn->plan->groups[now[i].group].subnets[now[i].subnet].name);
        r = fail(txn, text);
    }
    free(now);
    return r;
}

/* ---- Delivery: a walk from every router over what it now holds. ---- */

enum mark { FRESH, OPEN, GOOD, BAD };

struct walk {
    const struct ferry_plan *plan;
    const struct ferry_stack *const *states; /* of the group, [router] */
    const struct ferry_group *group;
    uint8_t *mark;
};

/* Reconciling: attached where it does not belong. */
static bool stale(const struct walk *w, uint32_t router)
{
    const char *site = w->plan->routers[router].site;
    return strcmp(w->plan->mode, "reconcile") == 0 && site && w->group->to && strcmp(site, w->group->to) != 0;
}

/* Depth first; as deep as the longest path. */
static enum mark walk(struct walk *w, uint32_t router)
{
    if (w->mark[router] != FRESH)
        return w->mark[router] == OPEN ? BAD : w->mark[router]; /* open: a loop */
    const struct ferry_entry *best = ferry_stack_best(w->states[router]);
    enum mark mark = GOOD;
    w->mark[router] = OPEN;
    if (!best)
        mark = BAD; /* falls to a covering prefix */
    else if (best->type == FERRY_UNICAST)
        for (size_t i = 0; i < best->n_nexthops; i++) {
            uint32_t next = best->nexthops[i].router;
            if (next != FERRY_NO_ROUTER && walk(w, next) == BAD)
                mark = BAD;
        }
    else if (best->type != FERRY_GATEWAY || stale(w, router))
        mark = BAD;
    w->mark[router] = (uint8_t)mark;
    return mark;
}

static int verify_delivery(struct ferry_txn *txn, const struct ferry_stack *const *states)
{
    const struct ferry_plan *plan = txn->plan;
    FERRY_AUTOFREE uint8_t *before = ferry_calloc(plan->n_routers, 1);
    FERRY_AUTOFREE uint8_t *after = ferry_calloc(plan->n_routers, 1);
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        if (plan->groups[g].dns)
            continue; /* nothing is forwarded by it */
        for (size_t r = 0; r < plan->n_routers; r++)
            before[r] = after[r] = FRESH;
        struct walk old = {plan, plan->groups[g].initial, &plan->groups[g], before};
        struct walk new = {plan, states + ferry_state_at(plan, g, 0), &plan->groups[g], after};
        for (uint32_t r = 0; r < plan->n_routers; r++) {
            if (!new.states[r] || walk(&new, r) == GOOD || (old.states[r] && walk(&old, r) == BAD))
                continue;
            FERRY_AUTOFREE char *text = ferry_asprintf("%s: %s is no longer delivered", plan->routers[r].name,
                                                       plan->groups[g].subnets[0].name);
            return fail(txn, text);
        }
    }
    return 0;
}

static int verify_view(struct ferry_txn *txn, struct ferry_view *view, const bool *needed)
{
    for (size_t p = 0; p < view->n_parts; p++) {
        const struct ferry_view_part *part = &view->parts[p];
        if (part->result < 0 && needed[part->router]) { /* F1 */
            FERRY_AUTOFREE char *text = ferry_asprintf("%s cannot be read: %s",
                                                       txn->plan->routers[part->router].name, part->err.text);
            return fail(txn, text);
        }
        for (size_t i = part->first_cell; part->result == 0 && i < part->first_cell + part->n_cells; i++)
            if (verify_cell(txn, view, part, i))
                return 1;
    }
    return ferry_txn_verify_specifics(txn, view);
}

int ferry_txn_verify(struct ferry_txn *txn)
{
    struct ferry_plan *plan = txn->plan;
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_states_initial(plan);
    FERRY_AUTOFREE bool *needed = ferry_plan_needed(plan);
    size_t width = ferry_txn_view_width(plan), widest = ferry_plan_widest(plan);
    for (size_t i = 0; i < plan->n_stages; i++)
        ferry_states_stage(plan, states, i, false);
    for (size_t from = 0; from < widest; from += width) {
        FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
        ferry_txn_view_all(plan, states, from, width, &view);
        ferry_txn_read_patiently(txn, &view, needed);
        if (verify_view(txn, &view, needed))
            return 1;
    }
    return txn->record.undoes ? 0 : verify_delivery(txn, states); /* F2 */
}
