/* A plan's life: names, warnings, strings, freeing; the ops of its changes; the state between its stages.
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <ferry/dns.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *ferry_phase_name(enum ferry_phase phase)
{
    static const char *const names[] = {"prepare", "detach", "attach", "settle"};
    return (unsigned)phase < FERRY_COUNT(names) ? names[phase] : "unknown";
}

void ferry_plan_warn(struct ferry_plan *plan, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    FERRY_GROW(plan->warnings, plan->n_warnings);
    plan->warnings[plan->n_warnings++] = ferry_strdup(text);
}

const char *ferry_plan_string(struct ferry_plan *plan, char *owned)
{
    FERRY_GROW(plan->strings, plan->n_strings);
    return plan->strings[plan->n_strings++] = owned;
}

static void free_group(struct ferry_group *group)
{
    for (size_t i = 0; i < group->n_subnets; i++) {
        free(group->subnets[i].name);
        free(group->subnets[i].gateways);
    }
    free(group->id);
    free(group->from);
    free(group->to);
    free(group->subnets);
    free(group->initial);
    free(group->covers);
}

static void free_strings(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

bool ferry_plan_is_empty(const struct ferry_plan *plan)
{
    return !plan->n_stages && !plan->n_addresses;
}

bool ferry_plan_has_lost(const struct ferry_plan *plan)
{
    bool any = false;
    for (size_t i = 0; i < plan->n_routers; i++)
        any |= plan->routers[i].lost;
    return any;
}

bool ferry_plan_is_name_server(const struct ferry_plan *plan, uint32_t router)
{
    const char *type = plan->routers[router].driver.type;
    return type && strcmp(type, "dns") == 0;
}

const char *ferry_change_name(const struct ferry_plan *plan, const struct ferry_change *change, char *buf,
                              size_t size)
{
    const struct ferry_group *g = &plan->groups[change->group];
    char prefix[FERRY_PREFIX_STRLEN];
    if (g->dns)
        snprintf(buf, size, "%s %s", g->subnets[0].name, ferry_dns_type_name(change->metric));
    else
        snprintf(buf, size, "%s",
                 g->n_subnets == 1 ? ferry_prefix_text(&g->subnets[0].prefix, prefix) : g->id);
    return buf;
}

void ferry_plan_free(struct ferry_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->n_routers; i++) {
        struct ferry_plan_router *r = &plan->routers[i];
        free(r->name);
        free(r->site);
        free(r->neighbours);
        ferry_driver_config_clear(&r->driver);
    }
    for (size_t i = 0; i < plan->n_groups; i++)
        free_group(&plan->groups[i]);
    for (size_t i = 0; i < plan->n_stages; i++)
        free(plan->stages[i].changes);
    for (size_t i = 0; i < plan->n_addresses; i++)
        ferry_plan_address_clear(&plan->addresses[i]);
    free(plan->addresses);
    free_strings(plan->warnings, plan->n_warnings);
    ferry_hooks_clear(&plan->hooks);
    ferry_overrides_clear(&plan->overrides);
    free_strings(plan->strings, plan->n_strings);
    free(plan->routers);
    free(plan->groups);
    free(plan->stages);
    free(plan->mode);
    free(plan->attest);
    free(plan->debts);
    free(plan->topology_name);
    free(plan->proof_states);
    free(plan->proof_certificate);
    ferry_pool_free(plan->pool);
    free(plan);
}

size_t ferry_plan_boundary(const struct ferry_plan *plan, enum ferry_boundary at)
{
    unsigned phase = (unsigned)at / 2, after = (unsigned)at % 2;
    size_t stage = 0;
    for (size_t i = 0; i < plan->n_stages; i++)
        if ((unsigned)plan->stages[i].phase < phase + after) /* of a phase that is over by then */
            stage = i + 1;
    return stage;
}

/* ---- Ops. ---- */

static const struct ferry_plan_gateway *find_gateway(const struct ferry_plan_subnet *subnet, uint32_t router)
{
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].gateway.router == router)
            return &subnet->gateways[i];
    return NULL;
}

struct ferry_op ferry_plan_op(const struct ferry_plan *plan, const struct ferry_change *change, size_t subnet)
{
    const struct ferry_plan_subnet *s = &plan->groups[change->group].subnets[subnet];
    struct ferry_op op = {.kind = change->kind,
                          .prefix = s->prefix,
                          .table = change->table,
                          .metric = change->metric,
                          .before = change->before,
                          .after = change->after,
                          .stretched = plan->groups[change->group].stretched};
    if (change->kind == FERRY_KIND_DNS)
        op.name = s->name;
    if (change->kind != FERRY_KIND_GATEWAY)
        return op;
    const struct ferry_plan_gateway *g = find_gateway(s, change->router);
    if (!g)
        return op;
    op.gateway = &g->gateway;
    op.interface = g->interface[0] ? g->interface : NULL;
    if (g->attached && op.before)
        op.before = g->attached;
    if (g->attached && op.after)
        op.after = g->attached;
    return op;
}

struct ferry_op ferry_op_swap(const struct ferry_op *op)
{
    struct ferry_op ret = *op;
    ret.before = op->after;
    ret.after = op->before;
    ret.outcome = FERRY_UNKNOWN;
    ret.why = NULL;
    return ret;
}

/* ---- States. ---- */

const struct ferry_stack *ferry_change_apply(struct ferry_pool *pool, const struct ferry_stack *stack,
                                             const struct ferry_change *change)
{
    uint32_t n = stack ? stack->n : 0, k = 0;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc((size_t)n + 1, sizeof *entries);
    for (uint32_t i = 0; i < n; i++) {
        const struct ferry_entry *e = stack->entries[i];
        if (!ferry_entry_has_key(e, change->kind, change->table, change->metric))
            entries[k++] = e;
    }
    if (change->after)
        entries[k++] = change->after;
    return ferry_pool_stack(pool, entries, k);
}

const struct ferry_stack *ferry_plan_state(struct ferry_plan *plan, uint32_t router, uint32_t group,
                                           size_t n_stages)
{
    const struct ferry_stack *stack = plan->groups[group].initial[router];
    for (size_t s = 0; s < n_stages && s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->router == router && c->group == group)
                stack = ferry_change_apply(plan->pool, stack, c);
        }
    return stack;
}
