/* A plan for people: by stage and router, what is added, removed and changed, and why.
 *
 * A change is shown once a group, however many subnets the group has; the last line counts each.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include <ferry/dns.h>

#include "base/mem.h"
#include <string.h>

#define LABEL_NAMES 3 /* subnets of a group that are named */

void ui_group_label(const struct ui *ui, const struct ferry_group *g, FILE *f)
{
    for (size_t i = 0; i < g->n_subnets && i < LABEL_NAMES; i++)
        fprintf(f, "%s%s", i ? ", " : "", g->subnets[i].name);
    if (g->n_subnets > LABEL_NAMES)
        fprintf(f, " %s and %zu more", ui_dots(ui), g->n_subnets - LABEL_NAMES);
}

static void print_groups(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    char buf[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < plan->n_groups; i++) {
        const struct ferry_group *g = &plan->groups[i];
        if (g->dns) {
            fprintf(f, "  %s%s%s  records of %s\n", ui_style(ui, f, UI_BOLD), g->id, ui_reset(ui, f),
                    g->subnets[0].name);
            continue;
        }
        fprintf(f, "  %s%s%s  %s %s %s  ", ui_style(ui, f, UI_BOLD), g->id, ui_reset(ui, f),
                g->from ? g->from : "nowhere", ui_arrow(ui), g->to);
        for (size_t k = 0; k < g->n_subnets && k < LABEL_NAMES; k++)
            fprintf(f, "%s%s (%s)", k ? ", " : "", g->subnets[k].name,
                    ferry_prefix_text(&g->subnets[k].prefix, buf));
        if (g->n_subnets > LABEL_NAMES)
            fprintf(f, " %s and %zu more", ui_dots(ui), g->n_subnets - LABEL_NAMES);
        fputc('\n', f);
    }
}

static const char *stage_sense(enum ferry_phase phase)
{
    switch (phase) {
    case FERRY_PREPARE:
        return "service still whole at the old site";
    case FERRY_DETACH:
        return "the outage begins";
    case FERRY_ATTACH:
        return "attached at the new site; the outage ends";
    case FERRY_SETTLE:
        return "clean-up and better paths";
    }
    return "";
}

/* A stage of records has them alone. */
static bool is_dns(const struct ferry_stage *stage)
{
    return stage->n_changes && stage->changes[0].kind == FERRY_KIND_DNS;
}

/* "gateway 192.168.1.1/24 on lan0", "gateway via 10.0.0.9"; of the first subnet of the group. */
static void print_gateway(const struct ferry_plan *plan, const struct ferry_change *c, FILE *f)
{
    char buf[FERRY_PREFIX_STRLEN];
    const struct ferry_plan_subnet *s = &plan->groups[c->group].subnets[0];
    const struct ferry_plan_gateway *gateway = NULL;
    for (size_t i = 0; i < s->n_gateways && !gateway; i++)
        if (s->gateways[i].gateway.router == c->router)
            gateway = &s->gateways[i];
    fputs("gateway", f);
    if (gateway && gateway->gateway.via.family)
        fprintf(f, " via %s", ferry_addr_text(&gateway->gateway.via, buf));
    else if (gateway && gateway->gateway.address.addr.family)
        fprintf(f, " %s", ferry_prefix_text(&gateway->gateway.address, buf));
    if (gateway && gateway->interface[0])
        fprintf(f, " on %s", gateway->interface);
    if (gateway && gateway->gateway.make[0])
        fprintf(f, " (%s)", gateway->gateway.make);
    if (gateway && gateway->gateway.rules)
        fputs(" with its rules", f);
}

static void print_change(const struct ui *ui, const struct ferry_plan *plan, const struct ferry_change *c,
                         FILE *f)
{
    char buf[FERRY_DNS_NAME_LEN + 8], text[512];
    const struct ferry_group *g = &plan->groups[c->group];
    enum ui_style style = !c->before ? UI_GREEN : !c->after ? UI_RED : UI_YELLOW;
    const char *key = ferry_change_name(plan, c, buf, sizeof buf);
    fprintf(f, "    %s%c ", ui_style(ui, f, style), !c->before ? '+' : !c->after ? '-' : '~');
    if (c->kind == FERRY_KIND_GATEWAY && g->n_subnets == 1) {
        print_gateway(plan, c, f);
        fprintf(f, " for %s", key);
    } else if (c->kind == FERRY_KIND_ANNOUNCEMENT) {
        fprintf(f, "announcement of %s in %s", key,
                ferry_protocol_name((c->after ? c->after : c->before)->protocol, text));
    } else if (c->kind == FERRY_KIND_SELECTOR) {
        fprintf(f, "%s %s", ferry_entry_text(c->after ? c->after : c->before, text, sizeof text), key);
    } else {
        fprintf(f, "%s %s", c->kind == FERRY_KIND_GATEWAY ? "gateway of" : ferry_kind_name(c->kind), key);
    }
    if (c->kind != FERRY_KIND_ROUTE && c->kind != FERRY_KIND_DNS) {
        /* its place, or protocol, says it all */
    } else if (c->before && c->after) {
        fprintf(f, " %s", ferry_entry_text(c->before, text, sizeof text));
        fprintf(f, "\n      %s %s", ui_arrow(ui), ferry_entry_text(c->after, text, sizeof text));
    } else {
        fprintf(f, " %s", ferry_entry_text(c->before ? c->before : c->after, text, sizeof text));
    }
    fputs(ui_reset(ui, f), f);
    FERRY_AUTOFREE char *why = ui_plain(c->why);
    if (why)
        fprintf(f, "  %s# %s%s", ui_style(ui, f, UI_DIM), why, ui_reset(ui, f));
    fputc('\n', f);
}

static void print_stage(const struct ui *ui, const struct ferry_plan *plan, size_t i, FILE *f)
{
    const struct ferry_stage *stage = &plan->stages[i];
    FERRY_AUTOFREE bool *here = ferry_calloc(plan->n_routers + 1, sizeof *here);
    for (size_t k = 0; k < stage->n_changes; k++)
        here[stage->changes[k].router] = true;
    fprintf(f, "\n%sstage %zu/%zu %s%s: %s\n", ui_style(ui, f, UI_BOLD), i + 1, plan->n_stages,
            ferry_phase_name(stage->phase), ui_reset(ui, f),
            is_dns(stage) ? "records of names" : stage_sense(stage->phase));
    for (size_t r = 0; r < plan->n_routers; r++) {
        if (!here[r])
            continue;
        fprintf(f, "  %s", plan->routers[r].name);
        fprintf(f, plan->routers[r].site ? " (%s)\n" : "\n", plan->routers[r].site);
        for (size_t k = 0; k < stage->n_changes; k++)
            if (stage->changes[k].router == r)
                print_change(ui, plan, &stage->changes[k], f);
    }
}

struct counts {
    size_t add, change, remove, routers;
    size_t detach, attach; /* first detach stage, last attach stage; n_stages: none */
};

static struct counts count(const struct ferry_plan *plan)
{
    struct counts n = {.detach = plan->n_stages, .attach = plan->n_stages};
    FERRY_AUTOFREE bool *touched = ferry_calloc(plan->n_routers + 1, sizeof *touched);
    for (size_t i = 0; i < plan->n_stages; i++) {
        const struct ferry_stage *stage = &plan->stages[i];
        if (stage->phase == FERRY_DETACH && n.detach == plan->n_stages)
            n.detach = i;
        if (stage->phase == FERRY_ATTACH)
            n.attach = i;
        for (size_t k = 0; k < stage->n_changes; k++) {
            const struct ferry_change *c = &stage->changes[k];
            size_t *slot = !c->before ? &n.add : !c->after ? &n.remove : &n.change;
            *slot += plan->groups[c->group].n_subnets;
            touched[c->router] = true;
        }
    }
    for (size_t r = 0; r < plan->n_routers; r++)
        n.routers += touched[r];
    return n;
}

static void print_counts(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    struct counts n = count(plan);
    fprintf(f, "\n%sPlan:%s %zu to add, %zu to change, %zu to remove on %zu router%s in %zu stage%s; ",
            ui_style(ui, f, UI_BOLD), ui_reset(ui, f), n.add, n.change, n.remove, n.routers,
            n.routers == 1 ? "" : "s", plan->n_stages, plan->n_stages == 1 ? "" : "s");
    if (n.detach == plan->n_stages || n.attach == plan->n_stages || n.attach <= n.detach)
        fprintf(f, "no hand-over, no outage.\n");
    else if (n.attach - n.detach == 1)
        fprintf(f, "outage: one barrier (detach %s attach).\n", ui_arrow(ui));
    else
        fprintf(f, "outage: %zu barriers (detach %s attach).\n", n.attach - n.detach, ui_arrow(ui));
}

static void print_hooks(const struct ui *ui, const struct ferry_plan *plan, size_t stage, FILE *f)
{
    for (size_t i = 0; i < plan->hooks.n; i++) {
        const struct ferry_hook *h = &plan->hooks.v[i];
        FERRY_AUTOFREE char *pause = ui_plain(h->pause);
        FERRY_AUTOFREE char *program = h->run ? ferry_argv_text(h->run) : NULL;
        FERRY_AUTOFREE char *undo = h->undo ? ferry_argv_text(h->undo) : NULL;
        if (ferry_plan_boundary(plan, h->at) != stage || (!program && !h->pause))
            continue;
        fprintf(f, "\n%shook %s%s: ", ui_style(ui, f, UI_BOLD), ferry_boundary_name(h->at), ui_reset(ui, f));
        if (pause)
            fprintf(f, "pause: %s\n", pause);
        else
            fprintf(f, "%s  %s# at most %u s%s%s%s%s\n", program, ui_style(ui, f, UI_DIM), h->timeout_s,
                    undo ? ", undo: " : ", no undo", undo ? undo : "",
                    h->pause_on_failure ? ", a failure pauses" : "", ui_reset(ui, f));
    }
}

static void print_overrides(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    for (size_t i = 0; i < plan->overrides.n; i++) {
        const struct ferry_override *o = &plan->overrides.v[i];
        FERRY_AUTOFREE char *refused = ui_plain(o->refused);
        fprintf(f, "%s%soverridden:%s rule %s: %s%s\n", i ? "" : "\n", ui_style(ui, f, UI_YELLOW),
                ui_reset(ui, f), o->rule->name,
                refused ? "would have refused: " : "it would not have refused", refused ? refused : "");
    }
}

static void print_lost(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    for (size_t i = 0; i < plan->n_routers; i++)
        if (plan->routers[i].lost)
            fprintf(f, "%slost:%s %s: neither read nor written; fenced off\n", ui_style(ui, f, UI_YELLOW),
                    ui_reset(ui, f), plan->routers[i].name);
    FERRY_AUTOFREE char *attest = ui_plain(plan->attest);
    if (attest)
        fprintf(f, "%sattested:%s %s\n", ui_style(ui, f, UI_YELLOW), ui_reset(ui, f), attest);
}

static void print_debts(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    for (size_t i = 0; i < plan->n_debts; i++) {
        FERRY_AUTOFREE char *why = ui_plain(plan->debts[i].why);
        fprintf(f, "%s%sdebt:%s %s: %s\n", i ? "" : "\n", ui_style(ui, f, UI_YELLOW), ui_reset(ui, f),
                plan->routers[plan->debts[i].router].name, why ? why : "");
    }
}

static bool any_stretched(const struct ferry_plan *plan)
{
    bool any = false;
    for (size_t i = 0; i < plan->n_groups; i++)
        any |= plan->groups[i].stretched;
    return any;
}

void ui_plan_addresses_text(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    char before[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
    for (size_t i = 0; i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        FERRY_AUTOFREE char *reason = ui_plain(a->reason);
        fprintf(f, "%s%saddress%s %s %s: %s (%s) %s %s (%s)  %s# %s%s\n", i ? "" : "\n",
                ui_style(ui, f, UI_BOLD), ui_reset(ui, f), a->machine, a->nic,
                ferry_addr_text(&a->before, before), a->network, ui_arrow(ui),
                ferry_addr_text(&a->after, after), a->network_after, ui_style(ui, f, UI_DIM), reason,
                ui_reset(ui, f));
    }
}

void ui_plan_text(const struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    FERRY_AUTOFREE char *topology = ui_plain(plan->topology_name);
    fprintf(f, "Plan %.12s, topology %s, mode %s\n", plan->id, topology, plan->mode);
    print_lost(ui, plan, f);
    print_groups(ui, plan, f);
    for (size_t i = 0; i < plan->n_stages; i++) {
        print_hooks(ui, plan, i, f);
        print_stage(ui, plan, i, f);
    }
    print_hooks(ui, plan, plan->n_stages, f);
    ui_plan_addresses_text(ui, plan, f);
    print_overrides(ui, plan, f);
    print_debts(ui, plan, f);
    for (size_t i = 0; i < plan->n_warnings; i++) {
        FERRY_AUTOFREE char *warning = ui_plain(plan->warnings[i]);
        fprintf(f, "%s%swarning:%s %s\n", i ? "" : "\n", ui_style(ui, f, UI_YELLOW), ui_reset(ui, f),
                warning);
    }
    if (ferry_plan_is_empty(plan)) {
        fprintf(f, "Nothing to do: everything is where it shall be.\n");
        return;
    }
    if (!plan->n_stages) {
        fprintf(f, "\n%sPlan:%s %zu address%s; no route changes.\n", ui_style(ui, f, UI_BOLD),
                ui_reset(ui, f), plan->n_addresses, plan->n_addresses == 1 ? "" : "es");
        return;
    }
    if (plan->proof_states)
        fprintf(
            f,
            "\nProven: no loop, no router without the subnet outside of the hand-over, never two sites%s, "
            "in all %s "
            "transient states.\n",
            any_stretched(plan) ? " (stretched subnets excepted: those are lost at no moment)" : "",
            plan->proof_states);
    print_counts(ui, plan, f);
}
