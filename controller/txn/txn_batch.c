/* A stage of a plan as ops with their read-back, and what every router should hold before and after it.
 *
 * Everything that a stage's run needs is allocated here, before its first write, because the detach and
 * attach stages of the outage are built ahead of it.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <ferry/dns.h>

#include <string.h>

/* ---- What the plan says about (group, router). ---- */

const struct ferry_plan_gateway *ferry_plan_gateway_at(const struct ferry_plan *plan, uint32_t group,
                                                       uint32_t subnet, uint32_t router)
{
    const struct ferry_plan_subnet *s = &plan->groups[group].subnets[subnet];
    for (size_t i = 0; i < s->n_gateways; i++)
        if (s->gateways[i].gateway.router == router)
            return &s->gateways[i];
    return NULL;
}

/* A test's copy is in its own table wherever it is looked for: production may hold the same prefix in another. */
static bool of_test(const struct ferry_group *g)
{
    return g->n_subnets == 1 && g->subnets[0].n_gateways && g->subnets[0].gateways[0].gateway.isolated;
}

uint32_t *ferry_plan_tables(const struct ferry_plan *plan)
{
    uint32_t *tables = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *tables);
    for (uint32_t g = 0; g < plan->n_groups; g++)
        for (uint32_t r = 0; r < plan->n_routers; r++) {
            const struct ferry_stack *stack = plan->groups[g].initial[r];
            uint32_t *table = &tables[ferry_state_at(plan, g, r)];
            *table = FERRY_TABLE_MAIN;
            for (uint32_t i = 0; stack && i < stack->n; i++)
                if (ferry_entry_kind(stack->entries[i]) == FERRY_KIND_ROUTE)
                    *table = stack->entries[i]->table;
        }
    for (size_t i = 0; i < plan->n_stages; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
            const struct ferry_change *c = &plan->stages[i].changes[k];
            bool placed = c->kind == FERRY_KIND_ROUTE || (c->kind == FERRY_KIND_GATEWAY && c->table);
            for (size_t r = 0; placed && r < plan->n_routers; r++)
                if (r == c->router || of_test(&plan->groups[c->group]))
                    tables[ferry_state_at(plan, c->group, (uint32_t)r)] = c->table;
        }
    return tables;
}

bool *ferry_plan_needed(const struct ferry_plan *plan)
{
    bool *needed = ferry_calloc(plan->n_routers, sizeof *needed);
    for (size_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_group *group = &plan->groups[g];
        for (size_t r = 0; r < plan->n_routers; r++)
            needed[r] |= group->initial[r] != NULL;
        for (size_t i = 0; i < group->n_subnets; i++)
            for (size_t k = 0; k < group->subnets[i].n_gateways; k++)
                needed[group->subnets[i].gateways[k].gateway.router] = true;
    }
    for (size_t i = 0; i < plan->n_stages; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++)
            needed[plan->stages[i].changes[k].router] = true;
    for (size_t r = 0; r < plan->n_routers; r++)
        needed[r] &= !plan->routers[r].lost;
    return needed;
}

size_t ferry_plan_widest(const struct ferry_plan *plan)
{
    size_t widest = 0;
    for (size_t i = 0; i < plan->n_groups; i++)
        if (plan->groups[i].n_subnets > widest)
            widest = plan->groups[i].n_subnets;
    return widest;
}

/* ---- States. ---- */

static const struct ferry_stack *stack_put(struct ferry_plan *plan, const struct ferry_stack *stack,
                                           const struct ferry_change *c, const struct ferry_entry *value)
{
    uint32_t had = stack ? stack->n : 0, n = 0;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(had + 1, sizeof *entries);
    for (uint32_t i = 0; i < had; i++)
        if (!ferry_entry_has_key(stack->entries[i], c->kind, c->table, c->metric))
            entries[n++] = stack->entries[i];
    if (value)
        entries[n++] = value;
    return ferry_pool_stack(plan->pool, entries, n);
}

const struct ferry_stack **ferry_states_initial(const struct ferry_plan *plan)
{
    const struct ferry_stack **states = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *states);
    for (uint32_t g = 0; g < plan->n_groups; g++)
        memcpy(states + ferry_state_at(plan, g, 0), plan->groups[g].initial,
               plan->n_routers * sizeof *states);
    return states;
}

void ferry_states_stage(struct ferry_plan *plan, const struct ferry_stack **states, size_t stage, bool back)
{
    const struct ferry_stage *s = &plan->stages[stage];
    for (size_t i = 0; i < s->n_changes; i++) {
        const struct ferry_change *c = &s->changes[i];
        const struct ferry_stack **at = &states[ferry_state_at(plan, c->group, c->router)];
        *at = stack_put(plan, *at, c, back ? c->before : c->after);
    }
}

/* ---- Batches. ---- */

size_t ferry_batch_width(const struct ferry_stage *stage)
{
    size_t width = FERRY_BATCH_OPS / (stage->n_changes ? stage->n_changes : 1);
    return width ? width : 1;
}

/* Indices of the stage's changes by router; changes of one router stay in order. */
static size_t *by_router(const struct ferry_plan *plan, const struct ferry_stage *s)
{
    FERRY_AUTOFREE size_t *first = ferry_calloc(plan->n_routers + 1, sizeof *first);
    size_t *sorted = ferry_calloc(s->n_changes, sizeof *sorted);
    for (size_t i = 0; i < s->n_changes; i++)
        first[s->changes[i].router + 1]++;
    for (size_t r = 0; r < plan->n_routers; r++)
        first[r + 1] += first[r];
    for (size_t i = 0; i < s->n_changes; i++)
        sorted[first[s->changes[i].router]++] = i;
    return sorted;
}

/* Where each change's outcomes begin in the record. */
static size_t *outcome_bases(const struct ferry_plan *plan, size_t stage)
{
    const struct ferry_stage *s = &plan->stages[stage];
    size_t *bases = ferry_calloc(s->n_changes, sizeof *bases), at = 0;
    for (size_t i = 0; i < stage; i++)
        at += ferry_stage_outcomes(plan, &plan->stages[i]);
    for (size_t i = 0; i < s->n_changes; i++) {
        bases[i] = at;
        at += plan->groups[s->changes[i].group].n_subnets;
    }
    return bases;
}

struct slice {
    size_t from, to;
};

static struct slice slice_of(const struct ferry_plan *plan, const struct ferry_change *c, size_t from,
                             size_t width)
{
    size_t n = plan->groups[c->group].n_subnets;
    return (struct slice){from < n ? from : n, from + width < n ? from + width : n};
}

/* The first cell of (router, group), added where it is not there yet. */
struct marks {
    uint32_t *router; /* [group]: the last router with cells of it, plus one */
    size_t *cell;
};

static size_t cells_of(struct ferry_batch *b, const struct ferry_change *c, struct slice slice,
                       struct marks *marks, const struct ferry_stack *const *states)
{
    if (marks->router[c->group] == c->router + 1)
        return marks->cell[c->group];
    marks->router[c->group] = c->router + 1;
    marks->cell[c->group] = b->view.n_cells;
    for (size_t i = slice.from; i < slice.to; i++)
        ferry_view_add(
            &b->view,
            &(struct ferry_cell){
                .router = c->router,
                .group = c->group,
                .subnet = (uint32_t)i,
                .expected = states ? states[ferry_state_at(b->view.plan, c->group, c->router)] : NULL,
            });
    return marks->cell[c->group];
}

static void fill_jobs(struct ferry_batch *b)
{
    b->part_first = ferry_calloc(b->view.n_parts + 1, sizeof *b->part_first);
    b->jobs = ferry_calloc(2 * b->view.n_parts, sizeof *b->jobs);
    size_t at = 0;
    for (size_t p = 0; p < b->view.n_parts; p++) {
        const struct ferry_view_part *part = &b->view.parts[p];
        b->part_first[p] = at;
        while (at < b->n_ops && b->refs[at].change->router == part->router)
            at++;
        b->jobs[2 * p] = (struct ferry_job){.router = part->router,
                                            .verb = FERRY_JOB_APPLY,
                                            .ops = b->ops + b->part_first[p],
                                            .n_ops = at - b->part_first[p]};
        b->jobs[2 * p + 1] = ferry_view_job(part);
    }
    b->part_first[b->view.n_parts] = at;
}

struct ferry_batch *ferry_batch_new(struct ferry_plan *plan, size_t stage, size_t from, size_t width,
                                    const struct ferry_stack *const *states)
{
    const struct ferry_stage *s = &plan->stages[stage];
    FERRY_AUTOFREE size_t *sorted = by_router(plan, s);
    FERRY_AUTOFREE size_t *bases = outcome_bases(plan, stage);
    FERRY_AUTOFREE uint32_t *mark_router = ferry_calloc(plan->n_groups, sizeof *mark_router);
    FERRY_AUTOFREE size_t *mark_cell = ferry_calloc(plan->n_groups, sizeof *mark_cell);
    struct marks marks = {mark_router, mark_cell};
    struct ferry_batch *b = ferry_calloc(1, sizeof *b);
    b->view.plan = plan;
    size_t n_ops = 0;
    for (size_t i = 0; i < s->n_changes; i++) {
        struct slice slice = slice_of(plan, &s->changes[i], from, width);
        n_ops += slice.to - slice.from;
    }
    if (!n_ops) {
        free(b);
        return NULL;
    }
    b->ops = ferry_calloc(n_ops, sizeof *b->ops);
    b->refs = ferry_calloc(n_ops, sizeof *b->refs);
    for (size_t i = 0; i < s->n_changes; i++) {
        const struct ferry_change *c = &s->changes[sorted[i]];
        struct slice slice = slice_of(plan, c, from, width);
        size_t cell = cells_of(b, c, slice, &marks, states);
        for (size_t k = slice.from; k < slice.to; k++) {
            b->ops[b->n_ops] = ferry_plan_op(plan, c, k);
            b->refs[b->n_ops++] = (struct ferry_batch_op){.change = c,
                                                          .subnet = (uint32_t)k,
                                                          .cell = cell + (k - slice.from),
                                                          .outcome = bases[sorted[i]] + k};
        }
    }
    ferry_view_finish(&b->view);
    fill_jobs(b);
    return b;
}

void ferry_batch_free(struct ferry_batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < 2 * batch->view.n_parts; i++)
        ferry_fib_clear(&batch->jobs[i].fib);
    ferry_view_clear(&batch->view);
    ferry_ops_clear(batch->ops, batch->n_ops);
    free(batch->ops);
    free(batch->refs);
    free(batch->part_first);
    free(batch->jobs);
    free(batch);
}

/* ---- Views of everything. ---- */

/* A name server has nothing but the names of its zones (the planner gives a group to those alone), a router
 * none of them. */
static bool may_hold(const struct ferry_plan *plan, uint32_t router, uint32_t group)
{
    bool server = ferry_plan_is_name_server(plan, router);
    size_t len;
    if (server != plan->groups[group].dns)
        return false;
    return !server ||
           ferry_dns_zone(plan->routers[router].driver.zones, plan->groups[group].subnets[0].name, &len);
}

size_t ferry_txn_view_width(const struct ferry_plan *plan)
{
    size_t cells = plan->n_groups * plan->n_routers,
           width = 4 * (size_t)FERRY_BATCH_OPS / (cells ? cells : 1);
    return width ? width : 1;
}

void ferry_txn_view_all(struct ferry_plan *plan, const struct ferry_stack *const *states, size_t from,
                        size_t width, struct ferry_view *ret)
{
    *ret = (struct ferry_view){.plan = plan};
    for (uint32_t r = 0; r < plan->n_routers; r++)
        for (uint32_t g = 0; !plan->routers[r].lost && g < plan->n_groups; g++)
            for (size_t i = from; may_hold(plan, r, g) && i < from + width && i < plan->groups[g].n_subnets;
                 i++)
                ferry_view_add(ret, &(struct ferry_cell){
                                        .router = r,
                                        .group = g,
                                        .subnet = (uint32_t)i,
                                        .expected = states ? states[ferry_state_at(plan, g, r)] : NULL,
                                    });
    ferry_view_finish(ret);
}
