/* The prover and routing protocols: when a router may follow BGP or OSPF.  See prove_parts.h.
 *
 * Nobody can say in which order, and through which loops, a protocol converges once the attachment or the
 * announcement of a prefix changes.  So from the first such change of a group to its last one, a router
 * that speaks a protocol must forward by something that no route of the protocol can beat.  What the plan says
 * of the protocol's routes is a forecast: this rule holds also where it is wrong.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include <linux/rtnetlink.h>
#include <string.h>

static void expose(struct prover *p, uint32_t router, const struct ferry_entry *e)
{
    if (ferry_entry_dynamic(e) && e->metric < p->exposed_from[router])
        p->exposed_from[router] = e->metric;
}

void prove_protocol_load(struct prover *p)
{
    const struct ferry_plan *plan = p->plan;
    const struct ferry_group *group = &plan->groups[p->class->group];
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        enum ferry_routing routing = plan->routers[r].driver.routing;
        const struct ferry_stack *stack = group->initial[r];
        p->exposed_from[r] = routing == FERRY_ROUTING_BGP    ? FERRY_DISTANCE_BGP
                             : routing == FERRY_ROUTING_OSPF ? FERRY_DISTANCE_OSPF
                                                             : PROVE_NONE;
        for (uint32_t i = 0; stack && i < stack->n; i++)
            expose(p, r, stack->entries[i]);
    }
    p->first_moving = PROVE_NONE;
    p->last_moving = 0;
    size_t at = (size_t)p->class->group * plan->n_stages;
    for (size_t i = plan->n_stages ? p->first[at] : 0; plan->n_stages && i < p->first[at + plan->n_stages];
         i++) {
        const struct prove_ref *ref = &p->refs[i];
        const struct ferry_change *c = &plan->stages[ref->stage].changes[ref->change];
        expose(p, ref->router, c->before);
        expose(p, ref->router, c->after);
        if (c->kind == FERRY_KIND_SELECTOR ||
            (c->kind == FERRY_KIND_ROUTE && !ferry_entry_dynamic(c->before) &&
             !ferry_entry_dynamic(c->after)))
            continue;
        p->first_moving = ref->stage < p->first_moving ? ref->stage : p->first_moving;
        p->last_moving = ref->stage > p->last_moving ? ref->stage : p->last_moving;
    }
}

bool prove_exposed(const struct prover *p, uint32_t router, const struct ferry_entry *e)
{
    if (p->stage < p->first_moving || p->stage > p->last_moving || p->exposed_from[router] == PROVE_NONE)
        return false;
    return e && e->type != FERRY_GATEWAY && (e->metric >= p->exposed_from[router] || ferry_entry_dynamic(e));
}

const char *prove_protocol_fault(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_group *g = &plan->groups[c->group];
    const struct ferry_entry *sides[] = {c->before, c->after};
    const char *site = prove_site(plan, c->group, c->router);
    for (size_t i = 0; c->kind == FERRY_KIND_ANNOUNCEMENT && i < 2; i++)
        if (sides[i] && sides[i]->protocol != RTPROT_BGP && sides[i]->protocol != RTPROT_OSPF)
            return "it announces in neither BGP nor OSPF";
    if (c->kind == FERRY_KIND_ANNOUNCEMENT && (!g->from || strcmp(site, g->from) != 0) &&
        (!g->to || strcmp(site, g->to) != 0))
        return "it announces at a site that the subnet neither leaves nor comes to";
    if (c->before && c->after && ferry_entry_dynamic(c->before) != ferry_entry_dynamic(c->after))
        return "a protocol's route and another one cannot replace each other";
    return NULL;
}
