/* Lost routers at run time: the fence is read back before anything is attached.
 *
 *  L1. A lost router is neither read nor written while the plan runs.
 *  L2. Nothing is attached before every live neighbour of a lost router was read, after the last detach
 *      stage, as holding exactly what was proven to lead to no lost router.
 *  L3. Where a person vouches that a site is dead, a router of it that answers, and is attached, proves the contrary.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/place.h"
#include "txn/txn_engine.h"

#include <string.h>

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

static int fail(struct ferry_txn *txn, uint32_t router, const char *what)
{
    FERRY_AUTOFREE char *text =
        ferry_asprintf("the fence does not stand: %s: %s", txn->plan->routers[router].name, what);
    ferry_txn_set_reason(txn, text);
    return 1;
}

/* [router]: live, and next to a lost one. */
static bool *borders(const struct ferry_plan *plan)
{
    bool *border = ferry_calloc(plan->n_routers, sizeof *border);
    for (size_t r = 0; r < plan->n_routers; r++)
        for (size_t i = 0; i < plan->routers[r].n_neighbours; i++)
            border[plan->routers[r].neighbours[i]] |= !plan->routers[plan->routers[r].neighbours[i]].lost;
    return border;
}

static void add_cells(const struct ferry_txn *txn, const bool *which, struct ferry_view *view)
{
    struct ferry_plan *plan = txn->plan;
    view->plan = plan;
    for (uint32_t r = 0; r < plan->n_routers; r++)
        for (uint32_t g = 0; which[r] && g < plan->n_groups; g++)
            for (uint32_t i = 0; i < plan->groups[g].n_subnets; i++)
                ferry_view_add(view,
                               &(struct ferry_cell){.router = r,
                                                    .group = g,
                                                    .subnet = i,
                                                    .expected = txn->states[ferry_state_at(plan, g, r)]});
    ferry_view_finish(view);
}

/* What it falls to, where it holds nothing: as the plan has seen it. */
static bool same_cover(const struct ferry_txn *txn, const struct ferry_view *view,
                       const struct ferry_view_part *part, size_t at)
{
    const struct ferry_cell *cell = &view->cells[at];
    const struct ferry_cover *cover = &txn->plan->groups[cell->group].covers[cell->router];
    const struct ferry_fib_item *found = NULL;
    for (uint32_t i = view->head[at]; i; i = part->next[i - 1])
        if (part->fib.items[i - 1].relation == FERRY_COVERING)
            found = &part->fib.items[i - 1];
    return found ? cover->entry && ferry_entry_same(cover->entry, &found->entry) : !cover->entry;
}

static int judge(struct ferry_txn *txn, struct ferry_view *view)
{
    for (size_t p = 0; p < view->n_parts; p++) {
        const struct ferry_view_part *part = &view->parts[p];
        if (part->result < 0)
            return fail(txn, part->router, part->err.text);
        for (size_t i = part->first_cell; i < part->first_cell + part->n_cells; i++)
            if (!ferry_view_holds(view, part, i, view->cells[i].expected) ||
                (!ferry_view_best(view, part, i) && !same_cover(txn, view, part, i)))
                return fail(txn, part->router, "does not hold what the plan says");
    }
    return ferry_txn_verify_specifics(txn, view);
}

static bool attaches(const struct ferry_stage *stage)
{
    for (size_t i = 0; i < stage->n_changes; i++)
        if (ferry_kind_is_place(stage->changes[i].kind) && stage->changes[i].after)
            return true;
    return false;
}

int ferry_txn_fence(struct ferry_txn *txn, size_t stage)
{
    if (txn->interlock.fenced || !attaches(&txn->plan->stages[stage]) || !ferry_plan_has_lost(txn->plan))
        return 0;
    FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
    FERRY_AUTOFREE bool *border = borders(txn->plan);
    add_cells(txn, border, &view);
    ferry_txn_read_patiently(txn, &view, border);
    if (judge(txn, &view)) /* L2 */
        return 1;
    txn->interlock.fenced = true;
    return 0;
}

int ferry_txn_check_attested(struct ferry_txn *txn, struct ferry_err *err)
{
    struct ferry_plan *plan = txn->plan;
    FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
    FERRY_AUTOFREE bool *lost = ferry_calloc(plan->n_routers, sizeof *lost);
    if (!plan->attest || strcmp(plan->mode, "undo") == 0)
        return 0;
    for (size_t r = 0; r < plan->n_routers; r++)
        lost[r] = plan->routers[r].lost;
    add_cells(txn, lost, &view);
    ferry_view_read(&view, txn->fleet, NULL);
    for (size_t i = 0; i < view.n_parts; i++) {
        const struct ferry_view_part *part = &view.parts[i];
        for (size_t c = part->first_cell; part->result == 0 && c < part->first_cell + part->n_cells; c++) {
            const struct ferry_group *group = &plan->groups[view.cells[c].group];
            const char *site = plan->routers[part->router].site;
            if ((!site || !group->to || strcmp(site, group->to) != 0) &&
                (ferry_view_key(&view, part, c, FERRY_KIND_GATEWAY, 0, 0) ||
                 ferry_view_key(&view, part, c, FERRY_KIND_ANNOUNCEMENT, 0, 0)))
                return ferry_refuse(err, "lost-site", /* L3 */
                                    "%s was attested to be dead, but answers, and has %s attached",
                                    plan->routers[part->router].name,
                                    group->subnets[view.cells[c].subnet].name);
        }
    }
    return 0;
}
