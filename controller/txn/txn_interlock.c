/* Exclusivity at run time: no gateway is attached while one of another site is, or may be.
 *
 * The plan is proven to keep the sites apart if its stages run in order.  This is the second lock on the same
 * door: it looks at what was read, not at what should be so, and holds for the undo and for recovery too.
 *
 * Who announces a prefix draws its packets as if it were attached: it counts as attached here.
 *
 *  X1. DETACHED is only said of what was read as detached, after the last op that was sent to it.
 *  X2. Groups of stretched subnets, and no others, are excepted: they live at several sites by what the
 *      topology says, and ferry_plan_fit has held the plan against it.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <string.h>

static void note_attached(struct ferry_plan *plan, const struct ferry_stack *const *states, bool *ret)
{
    for (size_t i = 0; i < plan->n_groups * plan->n_routers; i++)
        ret[i] = ferry_stack_best(states[i]) && ferry_stack_best(states[i])->type == FERRY_GATEWAY;
}

void ferry_interlock_init(struct ferry_interlock *lock, struct ferry_plan *plan)
{
    size_t n = 0;
    lock->plan = plan;
    lock->offset = ferry_calloc(plan->n_groups, sizeof *lock->offset);
    for (size_t g = 0; g < plan->n_groups; g++) {
        lock->offset[g] = ferry_calloc(plan->groups[g].n_subnets, sizeof **lock->offset);
        for (size_t i = 0; i < plan->groups[g].n_subnets; i++) {
            lock->offset[g][i] = n;
            n += plan->groups[g].subnets[i].n_gateways;
        }
    }
    lock->state = ferry_calloc(n, 1);
    memset(lock->state, FERRY_ATTACHED_UNKNOWN, n);
    lock->old = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *lock->old);
    lock->new = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *lock->new);
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_states_initial(plan);
    note_attached(plan, states, lock->old);
    for (size_t i = 0; i < plan->n_stages; i++)
        ferry_states_stage(plan, states, i, false);
    note_attached(plan, states, lock->new);
}

void ferry_interlock_clear(struct ferry_interlock *lock)
{
    for (size_t g = 0; lock->offset && g < lock->plan->n_groups; g++)
        free(lock->offset[g]);
    free(lock->offset);
    free(lock->state);
    free(lock->old);
    free(lock->new);
    *lock = (struct ferry_interlock){0};
}

void ferry_interlock_see(struct ferry_interlock *lock, const struct ferry_view *view,
                         const struct ferry_view_part *part)
{
    for (size_t i = part->first_cell; i < part->first_cell + part->n_cells; i++) {
        const struct ferry_cell *cell = &view->cells[i];
        const struct ferry_plan_subnet *s = &lock->plan->groups[cell->group].subnets[cell->subnet];
        for (size_t k = 0; k < s->n_gateways; k++) {
            if (s->gateways[k].gateway.router != cell->router)
                continue;
            uint8_t *state = &lock->state[lock->offset[cell->group][cell->subnet] + k];
            if (part->result < 0) /* X1 */
                *state = FERRY_ATTACHED_UNKNOWN;
            else
                *state = ferry_view_key(view, part, i, FERRY_KIND_GATEWAY, 0, 0) ||
                                 ferry_view_key(view, part, i, FERRY_KIND_ANNOUNCEMENT, 0, 0)
                             ? FERRY_ATTACHED
                             : FERRY_DETACHED;
        }
    }
}

/* Whether two routers attach on different sides of the move. */
static bool apart(const struct ferry_interlock *lock, uint32_t group, uint32_t a, uint32_t b)
{
    const char *sa = lock->plan->routers[a].site, *sb = lock->plan->routers[b].site;
    if (sa && sb)
        return strcmp(sa, sb) != 0;
    size_t ia = ferry_state_at(lock->plan, group, a), ib = ferry_state_at(lock->plan, group, b);
    return lock->old[ia] != lock->old[ib] || lock->new[ia] != lock->new[ib];
}

uint32_t ferry_interlock_conflict(const struct ferry_interlock *lock, uint32_t group, uint32_t subnet,
                                  uint32_t router)
{
    const struct ferry_plan_subnet *s = &lock->plan->groups[group].subnets[subnet];
    if (lock->plan->groups[group].stretched) /* X2 */
        return FERRY_NO_ROUTER;
    for (size_t k = 0; k < s->n_gateways; k++) {
        uint32_t other = s->gateways[k].gateway.router;
        if (lock->fenced && lock->plan->routers[other].lost)
            continue;
        if (other != router && lock->state[lock->offset[group][subnet] + k] != FERRY_DETACHED &&
            apart(lock, group, other, router))
            return other;
    }
    return FERRY_NO_ROUTER;
}
