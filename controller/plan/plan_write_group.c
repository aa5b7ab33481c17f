/* Routers, groups and names of the plan document; see plan_write.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_write.h"

#include "model/driver_config.h"

/* ---- Routers. ---- */

static void write_routing(struct plan_out *o, const struct ferry_driver_config *config)
{
    if (config->routing == FERRY_ROUTING_STATIC)
        return;
    plan_out_member(o, "routing", ferry_routing_name(config->routing));
    if (!config->prefix_list && !config->area)
        return;
    plan_out_key(o, "origination");
    plan_out_open(o, "{", true);
    if (config->prefix_list)
        plan_out_member(o, "prefix-list", config->prefix_list);
    if (config->area)
        plan_out_member(o, "area", config->area);
    plan_out_close(o, "}");
}

static void write_vrfs(struct plan_out *o, const struct ferry_driver_config *config)
{
    if (!config->n_vrfs)
        return;
    plan_out_key(o, "vrfs");
    plan_out_open(o, "{", true);
    for (size_t i = 0; i < config->n_vrfs; i++)
        plan_out_member_number(o, config->vrfs[i].name, config->vrfs[i].table);
    plan_out_close(o, "}");
}

void plan_write_routers(struct plan_out *o, const struct ferry_plan *plan)
{
    plan_out_key(o, "routers");
    plan_out_open(o, "{", false);
    for (size_t i = 0; i < plan->n_routers; i++) {
        const struct ferry_plan_router *r = &plan->routers[i];
        plan_out_key(o, r->name);
        plan_out_open(o, "{", true);
        if (r->site)
            plan_out_member(o, "site", r->site);
        if (r->driver.type) {
            plan_out_key(o, "driver");
            plan_out_open(o, "{", true);
            plan_out_member(o, "type", r->driver.type);
            for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++)
                if (*ferry_driver_field_at(f, &r->driver))
                    plan_out_member(o, f->key, *ferry_driver_field_at(f, &r->driver));
            if (r->driver.port)
                plan_out_member_number(o, "port", r->driver.port);
            plan_out_close(o, "}");
        }
        write_routing(o, &r->driver);
        write_vrfs(o, &r->driver);
        plan_out_close(o, "}");
    }
    plan_out_close(o, "}");
}

void plan_write_lost(struct plan_out *o, const struct ferry_plan *plan)
{
    if (!ferry_plan_has_lost(plan))
        return;
    plan_out_key(o, "lost");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < plan->n_routers; i++) {
        const struct ferry_plan_router *r = &plan->routers[i];
        if (!r->lost)
            continue;
        plan_out_open(o, "{", true);
        plan_out_member(o, "router", r->name);
        plan_out_key(o, "neighbours");
        plan_out_open(o, "[", true);
        for (size_t k = 0; k < r->n_neighbours; k++)
            plan_out_string(o, plan->routers[r->neighbours[k]].name);
        plan_out_close(o, "]");
        plan_out_close(o, "}");
    }
    plan_out_close(o, "]");
}

/* ---- Groups. ---- */

static void write_gateway(struct plan_out *o, const struct ferry_plan *plan,
                          const struct ferry_plan_gateway *g)
{
    char text[FERRY_PREFIX_STRLEN];
    plan_out_open(o, "{", true);
    plan_out_member(o, "router", plan->routers[g->gateway.router].name);
    if (g->interface[0])
        plan_out_member(o, "interface", g->interface);
    if (g->gateway.address.addr.family)
        plan_out_member(o, "address", ferry_prefix_text(&g->gateway.address, text));
    if (g->gateway.via.family)
        plan_out_member(o, "via", ferry_addr_text(&g->gateway.via, text));
    if (g->gateway.make[0])
        plan_out_member(o, "make", g->gateway.make);
    if (g->gateway.rules)
        plan_out_member_true(o, "rules");
    if (g->gateway.isolated)
        plan_out_member_true(o, "isolated");
    if (g->attached)
        plan_write_native(o, g->attached);
    plan_out_close(o, "}");
}

static void write_subnet(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_plan_subnet *s)
{
    char text[FERRY_PREFIX_STRLEN];
    plan_out_open(o, "{", true);
    plan_out_member(o, "name", s->name);
    plan_out_member(o, "prefix", ferry_prefix_text(&s->prefix, text));
    if (s->n_gateways) {
        plan_out_key(o, "gateways");
        plan_out_open(o, "[", true);
        for (size_t i = 0; i < s->n_gateways; i++)
            write_gateway(o, plan, &s->gateways[i]);
        plan_out_close(o, "]");
    }
    plan_out_close(o, "}");
}

static void write_initial(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_group *g)
{
    plan_out_key(o, "initial");
    plan_out_open(o, "{", false);
    for (size_t v = 0; v < plan->n_routers; v++) {
        if (!g->initial[v])
            continue;
        plan_out_key(o, plan->routers[v].name);
        plan_out_open(o, "[", true);
        for (uint32_t i = 0; i < g->initial[v]->n; i++)
            plan_write_entry(o, plan, g->initial[v]->entries[i]);
        plan_out_close(o, "]");
    }
    plan_out_close(o, "}");
}

static void write_covers(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_group *g)
{
    char text[FERRY_PREFIX_STRLEN];
    size_t n = 0;
    for (size_t v = 0; v < plan->n_routers; v++)
        n += g->covers[v].entry != NULL;
    if (!n)
        return;
    plan_out_key(o, "covers");
    plan_out_open(o, "{", false);
    for (size_t v = 0; v < plan->n_routers; v++) {
        const struct ferry_cover *c = &g->covers[v];
        if (!c->entry)
            continue;
        plan_out_key(o, plan->routers[v].name);
        plan_out_open(o, "{", true);
        if (c->prefix.addr.family)
            plan_out_member(o, "prefix", ferry_prefix_text(&c->prefix, text));
        plan_out_key(o, "entry");
        plan_write_entry(o, plan, c->entry);
        plan_out_close(o, "}");
    }
    plan_out_close(o, "}");
}

static void write_group(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_group *g)
{
    plan_out_open(o, "{", false);
    plan_out_member(o, "id", g->id);
    plan_out_member(o, "from", g->from);
    plan_out_member(o, "to", g->to);
    if (g->stretched)
        plan_out_member_true(o, "stretched");
    plan_out_key(o, "subnets");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < g->n_subnets; i++)
        write_subnet(o, plan, &g->subnets[i]);
    plan_out_close(o, "]");
    write_initial(o, plan, g);
    write_covers(o, plan, g);
    plan_out_close(o, "}");
}

void plan_write_groups(struct plan_out *o, const struct ferry_plan *plan)
{
    plan_out_key(o, "groups");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < plan->n_groups; i++)
        if (!plan->groups[i].dns)
            write_group(o, plan, &plan->groups[i]);
    plan_out_close(o, "]");
}

/* The names whose records change: groups too, but of no subnet. */
void plan_write_names(struct plan_out *o, const struct ferry_plan *plan)
{
    bool any = false;
    for (size_t i = 0; i < plan->n_groups; i++)
        any |= plan->groups[i].dns;
    if (!any)
        return;
    plan_out_key(o, "names");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < plan->n_groups; i++) {
        const struct ferry_group *g = &plan->groups[i];
        if (!g->dns)
            continue;
        plan_out_open(o, "{", false);
        plan_out_member(o, "id", g->id);
        plan_out_member(o, "name", g->subnets[0].name);
        write_initial(o, plan, g);
        plan_out_close(o, "}");
    }
    plan_out_close(o, "]");
}
