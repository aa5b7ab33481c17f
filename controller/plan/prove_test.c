/* Test failovers: a copy of a subnet is attached where nothing else can meet it (rule test-isolated).  See
 * prove_parts.h.
 *
 * A driver lets packets into an isolated gateway's table by that gateway's interface, and from its own
 * address, alone, and drops what finds no route there (ferry/device.h).  So production can meet a change of
 * the plan only if one of these fails, each of which is asked here of every change:
 *  1. It is in a table that the kernel does not look at by itself, and that no other group of the plan uses
 *     on that router.
 *  2. It attaches an isolated gateway, on an interface that the plan uses for nothing else; or it drops.
 *  3. Before the test no router holds anything there.
 * What the plan cannot know, that nobody else uses table and interface, the topology's loader and the
 * driver's precheck ask.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include <string.h>

enum { TABLE_DEFAULT = 253, TABLE_LOCAL = 255 /* linux/rtnetlink.h */ };

static const struct ferry_plan_gateway *gateway_on(const struct ferry_plan_subnet *s, uint32_t router)
{
    for (size_t i = 0; i < s->n_gateways; i++)
        if (s->gateways[i].gateway.router == router)
            return &s->gateways[i];
    return NULL;
}

/* 2. */
static const char *gateway_fault(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_group *group = &plan->groups[c->group];
    for (size_t i = 0; i < group->n_subnets; i++) {
        const struct ferry_plan_gateway *g = gateway_on(&group->subnets[i], c->router);
        if (!g || !g->gateway.isolated)
            return "it attaches a gateway that is not isolated";
        for (size_t k = 0; k < plan->n_groups; k++)
            for (size_t n = 0; n < plan->groups[k].n_subnets; n++) {
                const struct ferry_plan_gateway *other = gateway_on(&plan->groups[k].subnets[n], c->router);
                if (other && other != g && strcmp(other->interface, g->interface) == 0)
                    return "its interface has another gateway of the plan";
            }
    }
    return NULL;
}

static const char *test_fault(const struct ferry_plan *plan, const struct ferry_change *c)
{
    bool route = c->kind == FERRY_KIND_ROUTE;
    if (!route && c->kind != FERRY_KIND_GATEWAY)
        return "a test attaches, and drops, and does nothing else";
    if (!c->table || (c->table >= TABLE_DEFAULT && c->table <= TABLE_LOCAL)) /* 1 */
        return "it is in a table that packets of others are looked up in";
    if (plan->groups[c->group].n_subnets != 1)
        return "its table is that of several subnets";
    if (route && c->after && c->after->type == FERRY_UNICAST)
        return "it is a way out of the test";
    return route ? NULL : gateway_fault(plan, c);
}

/* 1: a table of a router is one group's. */
static bool tables_apart(struct prover *p, uint32_t stage, uint32_t change)
{
    const struct ferry_change *c = &p->plan->stages[stage].changes[change];
    for (uint32_t s = 0; s <= stage; s++)
        for (uint32_t i = 0; i < (s == stage ? change : p->plan->stages[s].n_changes); i++) {
            const struct ferry_change *other = &p->plan->stages[s].changes[i];
            if (other->router == c->router && other->table == c->table && other->group != c->group)
                return prove_wrong_change(p, FERRY_TEST_ISOLATED, stage, change,
                                          "its table is that of another subnet of the plan");
        }
    return true;
}

/* Whether one of the plan's gateways is isolated: then all of it is held to the rule, whatever it calls
 * itself. */
static bool isolates(const struct ferry_plan *plan)
{
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t s = 0; s < plan->groups[g].n_subnets; s++)
            for (size_t i = 0; i < plan->groups[g].subnets[s].n_gateways; i++)
                if (plan->groups[g].subnets[s].gateways[i].gateway.isolated)
                    return true;
    return false;
}

/* 3. */
static const char *beginning_fault(const struct ferry_plan *plan, const struct ferry_group *g)
{
    if (g->from)
        return "it comes from somewhere";
    for (size_t r = 0; r < plan->n_routers; r++)
        if (g->initial[r] || (g->covers && g->covers[r].entry))
            return "its table is not empty";
    return NULL;
}

bool prove_test(struct prover *p)
{
    const struct ferry_plan *plan = p->plan;
    bool test = plan->mode && strcmp(plan->mode, "test") == 0;
    if (!test && !isolates(plan))
        return true;
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            const char *fault =
                !test && !p->undo ? "an isolated gateway is for test failovers alone" : test_fault(plan, c);
            if (!fault && test)
                fault = beginning_fault(plan, &plan->groups[c->group]);
            if (fault)
                return prove_wrong_change(p, FERRY_TEST_ISOLATED, s, i, fault);
            if (!tables_apart(p, s, i))
                return false;
        }
    return true;
}
