/* The undo of a plan, as a plan of its own: the stages in reverse, every change with before and after
 * swapped.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <string.h>

static const struct ferry_entry *adopt(struct ferry_pool *pool, const struct ferry_entry *e)
{
    return e ? ferry_pool_entry(pool, e) : NULL;
}

/* Works out what every router holds for every group at the end, in one walk over the changes. */
struct states {
    const struct ferry_plan *plan;
    struct ferry_pool *pool;
    const struct ferry_stack **v; /* [group * n_routers + router] */
};

static const struct ferry_stack *adopt_stack(struct ferry_pool *pool, const struct ferry_stack *stack)
{
    if (!stack)
        return NULL;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(stack->n, sizeof *entries);
    for (uint32_t i = 0; i < stack->n; i++)
        entries[i] = ferry_pool_entry(pool, stack->entries[i]);
    return ferry_pool_stack(pool, entries, stack->n);
}

static void end_states(struct states *states)
{
    const struct ferry_plan *plan = states->plan;
    states->v = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *states->v);
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t v = 0; v < plan->n_routers; v++)
            states->v[g * plan->n_routers + v] = adopt_stack(states->pool, plan->groups[g].initial[v]);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            const struct ferry_stack **stack = &states->v[c->group * plan->n_routers + c->router];
            struct ferry_change own = *c;
            own.before = adopt(states->pool, c->before);
            own.after = adopt(states->pool, c->after);
            *stack = ferry_change_apply(states->pool, *stack, &own);
        }
}

static const char *reverse_why(const struct ferry_change *c)
{
    if (c->kind == FERRY_KIND_DNS)
        return !c->before ? "take the record away again"
               : c->after ? "as it was before"
                          : "put the record back";
    if (c->kind == FERRY_KIND_ANNOUNCEMENT)
        return c->before ? "announce it again" : "announce it no more";
    if (ferry_entry_dynamic(c->before) || ferry_entry_dynamic(c->after))
        return "the protocol goes back by itself";
    if (c->kind == FERRY_KIND_GATEWAY)
        return c->before ? "take the gateway up again" : "let the gateway go again";
    if (!c->before)
        return c->after->type == FERRY_BLACKHOLE ? "take the blackhole away again"
                                                 : "as before: no route here";
    if (!c->after)
        return c->before->type == FERRY_BLACKHOLE ? "lay the blackhole again"
                                                  : "put the route back as it was";
    return "back to the route from before";
}

static void reverse_stages(const struct ferry_plan *plan, struct ferry_plan *ret)
{
    static const enum ferry_phase opposite[] = {FERRY_SETTLE, FERRY_ATTACH, FERRY_DETACH, FERRY_PREPARE};
    ret->n_stages = plan->n_stages;
    ret->stages = ferry_calloc(plan->n_stages, sizeof *ret->stages);
    for (size_t s = 0; s < plan->n_stages; s++) {
        const struct ferry_stage *from = &plan->stages[plan->n_stages - 1 - s];
        struct ferry_stage *to = &ret->stages[s];
        *to = (struct ferry_stage){.phase = opposite[from->phase],
                                   .changes = ferry_calloc(from->n_changes, sizeof *to->changes),
                                   .n_changes = from->n_changes};
        for (size_t i = 0; i < from->n_changes; i++) {
            struct ferry_change c = from->changes[i];
            c.before = adopt(ret->pool, from->changes[i].after);
            c.after = adopt(ret->pool, from->changes[i].before);
            c.why = reverse_why(&from->changes[i]);
            to->changes[i] = c;
        }
    }
}

static void reverse_group(const struct ferry_group *from, const struct ferry_stack **end, size_t n_routers,
                          struct ferry_pool *pool, struct ferry_group *to)
{
    *to = (struct ferry_group){.id = ferry_strdup(from->id),
                               .dns = from->dns,
                               .from = ferry_strdup(from->to),
                               .to = ferry_strdup(from->from),
                               .stretched = from->stretched,
                               .subnets = ferry_calloc(from->n_subnets, sizeof *to->subnets),
                               .n_subnets = from->n_subnets,
                               .initial = ferry_calloc(n_routers, sizeof *to->initial),
                               .covers = ferry_calloc(n_routers, sizeof *to->covers)};
    for (size_t i = 0; i < from->n_subnets; i++) {
        const struct ferry_plan_subnet *a = &from->subnets[i];
        struct ferry_plan_subnet *b = &to->subnets[i];
        *b = *a;
        b->name = ferry_strdup(a->name);
        b->gateways = ferry_memdup(a->gateways, a->n_gateways * sizeof *a->gateways);
        for (size_t k = 0; k < b->n_gateways; k++)
            b->gateways[k].attached = adopt(pool, a->gateways[k].attached);
    }
    for (size_t v = 0; v < n_routers; v++) {
        to->initial[v] = end[v];
        to->covers[v] = from->covers[v];
        to->covers[v].entry = adopt(pool, from->covers[v].entry);
    }
}

static void reverse_routers(const struct ferry_plan *plan, struct ferry_plan *ret)
{
    ret->n_routers = plan->n_routers;
    ret->routers = ferry_calloc(plan->n_routers, sizeof *ret->routers);
    for (size_t i = 0; i < plan->n_routers; i++) {
        const struct ferry_plan_router *r = &plan->routers[i];
        ret->routers[i] = (struct ferry_plan_router){.name = ferry_strdup(r->name),
                                                     .site = ferry_strdup(r->site),
                                                     .driver = ferry_driver_config_copy(&r->driver),
                                                     .lost = r->lost,
                                                     .n_neighbours = r->n_neighbours};
        ret->routers[i].neighbours = ferry_memdup(r->neighbours, r->n_neighbours * sizeof *r->neighbours);
    }
}

int ferry_plan_reverse(const struct ferry_plan *plan, struct ferry_plan **ret, struct ferry_err *err)
{
    (void)err; /* nothing can fail, so far */
    struct ferry_plan *undo = ferry_calloc(1, sizeof *undo);
    undo->pool = ferry_pool_new();
    undo->mode = ferry_strdup(strcmp(plan->mode, "undo")  ? "undo"
                              : ferry_plan_has_lost(plan) ? "disaster"
                                                          : "planned");
    undo->attest = ferry_strdup(plan->attest);
    undo->topology_name = ferry_strdup(plan->topology_name);
    memcpy(undo->topology_sha256, plan->topology_sha256, sizeof undo->topology_sha256);
    reverse_routers(plan, undo);
    struct states states = {.plan = plan, .pool = undo->pool};
    end_states(&states);
    undo->n_groups = plan->n_groups;
    undo->groups = ferry_calloc(plan->n_groups, sizeof *undo->groups);
    for (size_t g = 0; g < plan->n_groups; g++)
        reverse_group(&plan->groups[g], states.v + g * plan->n_routers, plan->n_routers, undo->pool,
                      &undo->groups[g]);
    free(states.v);
    reverse_stages(plan, undo);
    ferry_plan_reverse_addresses(plan, undo);
    undo->hooks = ferry_hooks_reverse(&plan->hooks);
    ferry_overrides_merge(&undo->overrides, &plan->overrides); /* what was known there is still so */
    ferry_plan_seal(undo);
    *ret = undo;
    return 0;
}
