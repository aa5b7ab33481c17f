/* The undo of a plan as what each router gets of it: steps, and when.  See txn_deadman.c, whose part this is.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/deadman_parts.h"

#define UNPIN_S  20u     /* more before pins go: a routing protocol converges */
#define LASTS_S  1u      /* a stage of the undo, on one router */
#define OPS_S    1000u   /* as many more, a second more */
#define DRIFT    7200u   /* window for which clocks differ by half a second at most: 70 ppm */
#define MOST_OPS 262144u /* of one router's undo */

/* D8.  A pin that an earlier stage has laid goes in the end: nothing, pin, nothing.  So whoever undoes that without
 * its ever having been done lays one of a way that was not taken. */
size_t ferry_deadman_late(const struct ferry_plan *plan)
{
    for (size_t s = 1; s < plan->n_stages; s++)
        for (size_t i = 0; plan->stages[s].phase == FERRY_SETTLE && i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->kind == FERRY_KIND_ROUTE && !c->after && c->before && c->before->type == FERRY_UNICAST &&
                c->before->protocol == FERRY_PROTOCOL)
                return s;
        }
    return plan->n_stages;
}

bool ferry_deadman_touches(const struct ferry_plan *plan, size_t stage, uint32_t router)
{
    for (size_t i = 0; i < plan->stages[stage].n_changes; i++)
        if (plan->stages[stage].changes[i].router == router)
            return true;
    return false;
}

bool ferry_deadman_touches_later(const struct ferry_plan *plan, size_t stage, uint32_t router)
{
    for (size_t s = stage + 1; s < plan->n_stages; s++)
        if (ferry_deadman_touches(plan, s, router))
            return true;
    return false;
}

/* What one router lets go of is gone when another one takes it up. */
static unsigned lasts_s(const struct ferry_plan *plan)
{
    size_t most = 0;
    for (size_t s = 0; s < plan->n_stages; s++) {
        FERRY_AUTOFREE size_t *n = ferry_calloc(plan->n_routers, sizeof *n);
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            n[c->router] += plan->groups[c->group].n_subnets;
            most = n[c->router] > most ? n[c->router] : most;
        }
    }
    return LASTS_S + (unsigned)(most / OPS_S);
}

/* The longest extend (FERRY_EXTEND_MOST_S) is one DRIFT: it asks for no more than the shortest window. */
unsigned ferry_deadman_guard_s(const struct ferry_plan *plan, unsigned apart_s, unsigned seconds)
{
    return apart_s + lasts_s(plan) + (seconds ? (seconds - 1) / DRIFT : 0);
}

unsigned ferry_deadman_most_apart_s(const struct ferry_txn *txn, unsigned seconds)
{
    unsigned other = ferry_deadman_guard_s(txn->plan, 0, seconds);
    return txn->record.guard_s > other ? txn->record.guard_s - other : 0;
}

/* After the deadline; the undo begins with the last stage. */
unsigned ferry_deadman_delay(const struct ferry_txn *txn, size_t stage)
{
    const struct ferry_dead_men *d = &txn->dead;
    unsigned at = (unsigned)(txn->plan->n_stages - 1 - stage) * txn->record.guard_s;
    return at + (d->protocols && txn->plan->stages[stage].phase == FERRY_PREPARE ? UNPIN_S : 0);
}

unsigned ferry_deadman_from_s(const struct ferry_txn *txn, size_t stage)
{
    if (stage == 0) /* none */
        return txn->plan->n_stages ? ferry_deadman_delay(txn, 0) + 1 : 0;
    return stage <= txn->dead.late && txn->dead.late < txn->plan->n_stages
               ? ferry_deadman_delay(txn, txn->dead.late - 1)
               : 0;
}

unsigned ferry_txn_deadman_lasts(const struct ferry_txn *txn)
{
    return (txn->plan->n_stages ? ferry_deadman_delay(txn, 0) : 0) + 2 * txn->record.guard_s;
}

static size_t count_ops(const struct ferry_plan *plan, size_t stage, uint32_t router)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->stages[stage].n_changes; i++)
        if (plan->stages[stage].changes[i].router == router)
            n += plan->groups[plan->stages[stage].changes[i].group].n_subnets;
    return n;
}

/* As an undo by the engine sends them: in the order of the plan. */
static struct ferry_op *stage_ops(const struct ferry_plan *plan, size_t stage, uint32_t router, size_t n)
{
    struct ferry_op *ops = ferry_calloc(n, sizeof *ops);
    size_t at = 0;
    for (size_t i = 0; i < plan->stages[stage].n_changes; i++) {
        const struct ferry_change *c = &plan->stages[stage].changes[i];
        for (size_t k = 0; c->router == router && k < plan->groups[c->group].n_subnets; k++) {
            struct ferry_op op = ferry_plan_op(plan, c, k);
            ops[at++] = ferry_op_swap(&op);
        }
    }
    return ops;
}

int ferry_deadman_undo(const struct ferry_txn *txn, uint32_t router, struct ferry_deadman_undo *ret,
                       struct ferry_err *err)
{
    const struct ferry_plan *plan = txn->plan;
    size_t total = 0;
    ret->steps = ferry_calloc(plan->n_stages, sizeof *ret->steps);
    ret->deadman.id = txn->record.id;
    ret->deadman.steps = ret->steps;
    for (size_t s = plan->n_stages; s-- > 0;) {
        size_t n = count_ops(plan, s, router);
        if (!n)
            continue;
        if ((total += n) > MOST_OPS)
            return ferry_refuse(err, "dead-man", "%s: an undo of more than %u changes cannot be left there",
                                plan->routers[router].name, MOST_OPS);
        ret->steps[ret->deadman.n_steps++] =
            (struct ferry_deadman_step){ferry_deadman_delay(txn, s), stage_ops(plan, s, router, n), n};
    }
    return 0;
}

void ferry_deadman_undos_free(struct ferry_deadman_undo *undos, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        for (size_t i = 0; i < undos[r].deadman.n_steps; i++)
            free(undos[r].steps[i].ops);
        free(undos[r].steps);
    }
    free(undos);
}
