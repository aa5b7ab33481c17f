/* A router that came back with a subnet that has moved on: it lets go, and drops, and nothing else happens.  The routes
 * are a plan of their own, so that an undo never has to attach again what must not be.
 *
 * Used by make.c.  The prover allows two sites in such a plan where they were there before.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

static void emit(const struct ferry_work *work, struct ferry_plan *plan, struct ferry_slotted_list *list,
                 const struct ferry_change *c)
{
    FERRY_GROW(list->v, list->n);
    list->v[list->n++] = (struct ferry_slotted){.slot = FERRY_SLOT_DETACH, .change = *c};
    list->v[list->n - 1].change.table =
        ferry_topology_table(work->t, c->router, work->live->subnets[work->class->column]);
    list->v[list->n - 1].change.why =
        ferry_plan_string(plan, ferry_asprintf("let go of %s: it is at %s now", work->subject,
                                               work->t->sites[work->class->to].name));
}

int ferry_work_detach(struct ferry_work *work, struct ferry_plan *plan, uint32_t group,
                      struct ferry_slotted_list *ret, struct ferry_err *err)
{
    uint32_t v = work->terms->detach;
    const struct ferry_node *node = &work->nodes[v];
    struct ferry_change c = {.router = v, .group = group};
    if (node->is_old) {
        int r = ferry_work_lay_drop(work, plan, group, v, ret, err);
        if (r < 0)
            return r;
        c.kind = FERRY_KIND_GATEWAY;
        c.before = node->stack->entries[0];
        emit(work, plan, ret, &c);
    }
    if (node->announced) {
        c.kind = FERRY_KIND_ANNOUNCEMENT;
        c.before = node->announced;
        emit(work, plan, ret, &c);
    }
    return 0;
}
