/* The rules that look at a whole plan: what it takes away, and what it overwrites (docs/rules.md).
 *
 * Asked when a plan is made and again before it is applied, so that a document that somebody wrote by hand
 * obeys them too.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <string.h>

/* Attached somewhere at first, nowhere at the end. */
static bool ends_nowhere(const struct ferry_plan *plan, uint32_t group)
{
    size_t first = 0, last;
    for (size_t v = 0; v < plan->n_routers; v++) {
        const struct ferry_stack *stack = plan->groups[group].initial[v];
        first += stack && stack->entries[0]->type == FERRY_GATEWAY;
    }
    last = first;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->group == group && c->kind == FERRY_KIND_GATEWAY && !c->before != !c->after)
                last = c->after ? last + 1 : last - (last > 0);
        }
    return first && !last;
}

static int last_site(const struct ferry_plan *plan, struct ferry_overrides *overrides, struct ferry_err *err)
{
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_group *group = &plan->groups[g];
        if (!group->n_subnets || !ends_nowhere(plan, g))
            continue;
        int r =
            ferry_rule_refuse(overrides, err, "last-site",
                              "%s would be left without a site: plan a move to one", group->subnets[0].name);
        if (r < 0)
            return r;
    }
    return 0;
}

/* How many subnets leave the site. */
static size_t leaving(const struct ferry_plan *plan, const char *site)
{
    size_t n = 0;
    for (size_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_group *group = &plan->groups[g];
        if (group->from && !strcmp(group->from, site) && (!group->to || strcmp(group->to, site)))
            n += group->n_subnets;
    }
    return n;
}

static int budget(const struct ferry_plan *plan, const struct ferry_topology *t,
                  struct ferry_overrides *overrides, struct ferry_err *err)
{
    size_t most = t->budget_withdrawals ? t->budget_withdrawals : SIZE_MAX;
    if (t->budget_percent) {
        size_t share = t->n_subnets * t->budget_percent / 100;
        share = share ? share : 1; /* a budget that lets nothing through would be no budget */
        most = share < most ? share : most;
    }
    for (size_t i = 0; i < t->n_sites && most < SIZE_MAX; i++) {
        size_t n = leaving(plan, t->sites[i].name);
        int r = n <= most ? 0
                          : ferry_rule_refuse(
                                overrides, err, "budget",
                                "%zu subnets would leave %s, the budget of a plan is %zu: move fewer at a "
                                "time",
                                n, t->sites[i].name, most);
        if (r < 0)
            return r;
    }
    return 0;
}

static int no_foreign(const struct ferry_plan *plan, struct ferry_overrides *overrides, struct ferry_err *err)
{
    char prefix[FERRY_PREFIX_STRLEN], text[256];
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->kind != FERRY_KIND_ROUTE || !c->before || c->before->protocol == FERRY_PROTOCOL ||
                ferry_entry_dynamic(c->before) || !plan->groups[c->group].n_subnets)
                continue;
            int r = ferry_rule_refuse(
                overrides, err, "no-foreign",
                "%s: the route to %s is not Ferry's and would be replaced: %s: take it away, or "
                "let Ferry have it",
                plan->routers[c->router].name,
                ferry_prefix_text(&plan->groups[c->group].subnets[0].prefix, prefix),
                ferry_entry_text(c->before, text, sizeof text));
            if (r < 0)
                return r;
        }
    return 0;
}

/* Of routers without a route of their own; the planner has looked at the others (make.c). */
static int covering(const struct ferry_plan *plan, struct ferry_overrides *overrides, struct ferry_err *err)
{
    char text[256];
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t v = 0; v < plan->n_routers && plan->groups[g].n_subnets; v++) {
            const struct ferry_entry *e = plan->groups[g].covers[v].entry;
            int r = !e ? 0
                       : ferry_rule_refuse(overrides, err, "covering-route",
                                           "%s: without a route of its own %s falls to a covering one: %s",
                                           plan->groups[g].subnets[0].name, plan->routers[v].name,
                                           ferry_entry_text(e, text, sizeof text));
            if (r < 0)
                return r;
        }
    return 0;
}

int ferry_plan_obey(const struct ferry_plan *plan, const struct ferry_topology *t,
                    struct ferry_overrides *overrides, struct ferry_err *err)
{
    int r = last_site(plan, overrides, err);
    if (r == 0 && t)
        r = budget(plan, t, overrides, err);
    if (r == 0 && t && strcmp(plan->mode, "reconcile") != 0) /* that moves nothing */
        r = ferry_plan_ready(plan, t, overrides, err);
    if (r == 0 && t)
        r = ferry_plan_asked(plan, t, overrides, err);
    if (r == 0 && t && t->rules & FERRY_NO_FOREIGN)
        r = no_foreign(plan, overrides, err);
    if (r == 0 && t && t->rules & FERRY_COVERING_ROUTE)
        r = covering(plan, overrides, err);
    return r;
}
