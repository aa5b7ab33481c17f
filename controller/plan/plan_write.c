/* The plan document: always with the same members in the same order, so that its identity can be computed
 * from the text.  docs/plan-document.md describes every member; plan_parse.c reads it back; plan_write.h
 * names the parts.
 *
 * Invariant: what is written depends on the plan's content alone, and reading and writing it again gives the
 * same bytes.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_write.h"

#include <ferry/dns.h>

#include "base/hash.h"

#include <string.h>

static void write_change(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_change *c)
{
    plan_out_open(o, "{", true);
    plan_out_member(o, "router", plan->routers[c->router].name);
    plan_out_member(o, "group", plan->groups[c->group].id);
    plan_out_member(o, "kind", ferry_kind_name(c->kind));
    if (c->kind == FERRY_KIND_ROUTE)
        plan_out_member_number(o, "metric", c->metric);
    if (c->kind == FERRY_KIND_DNS)
        plan_out_member(o, "record", ferry_dns_type_name(c->metric));
    if (c->table && c->table != FERRY_TABLE_MAIN)
        plan_out_member_number(o, "table", c->table);
    plan_out_key(o, "before");
    plan_write_entry(o, plan, c->before);
    plan_out_key(o, "after");
    plan_write_entry(o, plan, c->after);
    if (c->why)
        plan_out_member(o, "why", c->why);
    plan_out_close(o, "}");
}

static void write_stages(struct plan_out *o, const struct ferry_plan *plan)
{
    plan_out_key(o, "stages");
    plan_out_open(o, "[", false);
    for (size_t s = 0; s < plan->n_stages; s++) {
        plan_out_open(o, "{", false);
        plan_out_member(o, "phase", ferry_phase_name(plan->stages[s].phase));
        plan_out_key(o, "changes");
        plan_out_open(o, "[", false);
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            write_change(o, plan, &plan->stages[s].changes[i]);
        plan_out_close(o, "]");
        plan_out_close(o, "}");
    }
    plan_out_close(o, "]");
}

static void write_argv(struct plan_out *o, const char *name, char *const *argv)
{
    if (!argv)
        return;
    plan_out_key(o, name);
    plan_out_open(o, "[", true);
    for (; *argv; argv++)
        plan_out_string(o, *argv);
    plan_out_close(o, "]");
}

static void write_hook(struct plan_out *o, const struct ferry_hook *h)
{
    plan_out_open(o, "{", true);
    write_argv(o, "run", h->run);
    write_argv(o, "undo", h->undo);
    if (h->pause)
        plan_out_member(o, "pause", h->pause);
    if (h->pause_undo)
        plan_out_member(o, "undo", h->pause_undo);
    if (h->run || h->undo) {
        FERRY_AUTOFREE char *timeout = ferry_asprintf("%us", h->timeout_s);
        plan_out_member(o, "timeout", timeout);
        if (h->pause_on_failure)
            plan_out_member(o, "on-failure", "pause");
    }
    plan_out_close(o, "}");
}

/* As in a topology; nothing where there are none. */
static void write_hooks(struct plan_out *o, const struct ferry_hooks *hooks)
{
    if (!hooks->n)
        return;
    plan_out_key(o, "hooks");
    plan_out_open(o, "{", false);
    for (size_t i = 0; i < hooks->n; i++) {
        if (i == 0 || hooks->v[i - 1].at != hooks->v[i].at) {
            plan_out_key(o, ferry_boundary_name(hooks->v[i].at));
            plan_out_open(o, "[", false);
        }
        write_hook(o, &hooks->v[i]);
        if (i + 1 == hooks->n || hooks->v[i + 1].at != hooks->v[i].at)
            plan_out_close(o, "]");
    }
    plan_out_close(o, "}");
}

static void write_overrides(struct plan_out *o, const struct ferry_overrides *overrides)
{
    if (!overrides->n)
        return;
    plan_out_key(o, "overrides");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < overrides->n; i++) {
        plan_out_open(o, "{", true);
        plan_out_member(o, "rule", overrides->v[i].rule->name);
        plan_out_member(o, "refused", overrides->v[i].refused);
        plan_out_close(o, "}");
    }
    plan_out_close(o, "]");
}

static void write_debts(struct plan_out *o, const struct ferry_plan *plan)
{
    if (!plan->n_debts)
        return;
    plan_out_key(o, "debts");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < plan->n_debts; i++)
        write_change(o, plan, &plan->debts[i]);
    plan_out_close(o, "]");
}

static void write_addresses(struct plan_out *o, const struct ferry_plan *plan)
{
    char text[FERRY_ADDR_STRLEN];
    if (!plan->n_addresses)
        return;
    plan_out_key(o, "addresses");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        plan_out_open(o, "{", true);
        plan_out_member(o, "machine", a->machine);
        plan_out_member(o, "nic", a->nic);
        plan_out_member(o, "own", ferry_addr_text(&a->own, text));
        plan_out_member(o, "network", a->network);
        plan_out_member(o, "before", ferry_addr_text(&a->before, text));
        plan_out_member(o, "network_after", a->network_after);
        plan_out_member(o, "after", ferry_addr_text(&a->after, text));
        plan_out_member(o, "reason", a->reason);
        plan_out_close(o, "}");
    }
    plan_out_close(o, "]");
}

/* `whole`: with id and proof. */
static void write_plan(struct plan_out *o, const struct ferry_plan *plan, bool whole)
{
    o->first = true;
    plan_out_open(o, "{", false);
    plan_out_member_number(o, "ferry", 1);
    plan_out_member(o, "kind", "plan");
    if (whole)
        plan_out_member(o, "id", plan->id);
    plan_out_member(o, "mode", plan->mode);
    if (plan->topology_name) {
        plan_out_key(o, "topology");
        plan_out_open(o, "{", true);
        plan_out_member(o, "name", plan->topology_name);
        if (plan->topology_sha256[0])
            plan_out_member(o, "sha256", plan->topology_sha256);
        plan_out_close(o, "}");
    }
    if (plan->attest)
        plan_out_member(o, "attest", plan->attest);
    plan_write_routers(o, plan);
    plan_write_lost(o, plan);
    plan_write_groups(o, plan);
    plan_write_names(o, plan);
    write_stages(o, plan);
    write_debts(o, plan);
    write_addresses(o, plan);
    write_hooks(o, &plan->hooks);
    write_overrides(o, &plan->overrides);
    plan_out_key(o, "warnings");
    plan_out_open(o, "[", false);
    for (size_t i = 0; i < plan->n_warnings; i++)
        plan_out_string(o, plan->warnings[i]);
    plan_out_close(o, "]");
    if (whole && plan->proof_states) {
        plan_out_key(o, "proof");
        plan_out_open(o, "{", true);
        plan_out_member(o, "states", plan->proof_states);
        if (plan->proof_certificate)
            plan_out_member(o, "certificate", plan->proof_certificate);
        plan_out_close(o, "}");
    }
    plan_out_close(o, "}");
}

char *ferry_plan_write(const struct ferry_plan *plan, bool pretty)
{
    struct plan_out o = {.pretty = pretty};
    write_plan(&o, plan, true);
    plan_out_raw(&o, "\n");
    free(o.written);
    return o.v;
}

void ferry_plan_seal(struct ferry_plan *plan)
{
    struct plan_out o = {0};
    write_plan(&o, plan, false);
    ferry_sha256(o.v, o.n, plan->id);
    free(o.written);
    free(o.v);
}
