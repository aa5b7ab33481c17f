/* The prover, first part: the document against itself, before any state is looked at.  See prove_parts.h.
 *
 * What a change says it finds must be what the plan has come to; a change names one key of a moved prefix;
 * two groups, and two changes of a stage, never share a key.  Everything after this relies on it.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

const char *prove_site(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_group *g = &plan->groups[group];
    if (plan->routers[router].site)
        return plan->routers[router].site;
    const struct ferry_stack *stack = g->initial[router];
    /* Who announces at first counts as attached at first. */
    bool first = stack && (stack->entries[0]->type == FERRY_GATEWAY ||
                           stack->entries[stack->n - 1]->type == FERRY_ANNOUNCEMENT);
    const char *site = first ? g->from : g->to;
    return site ? site : "";
}

/* ---- Reporting.  Each returns false. ---- */

static bool wrong(struct prover *p, enum ferry_violation violation, uint32_t group, uint32_t stage,
                  const char *fmt, ...) FERRY_PRINTF(5, 6);

static bool wrong(struct prover *p, enum ferry_violation violation, uint32_t group, uint32_t stage,
                  const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    p->found = true;
    p->bad = (struct ferry_counterexample){.violation = violation, .group = group, .stage = stage};
    vsnprintf(p->bad.text, sizeof p->bad.text, fmt, args);
    va_end(args);
    return false;
}

/* The same about a change: it is the one event, at its router. */
bool prove_wrong_change(struct prover *p, enum ferry_violation violation, uint32_t stage, uint32_t change,
                        const char *what)
{
    const struct ferry_plan *plan = p->plan;
    const struct ferry_change *c = &plan->stages[stage].changes[change];
    bool known = c->router < plan->n_routers && c->group < plan->n_groups;
    wrong(p, violation, known ? c->group : 0, stage, "stage %u, change %u (%s, group %s): %s", stage + 1,
          change + 1, known ? plan->routers[c->router].name : "?", known ? plan->groups[c->group].id : "?",
          what);
    p->bad.events = ferry_calloc(1, sizeof *p->bad.events);
    p->bad.events[0] = (struct ferry_step){stage, change};
    p->bad.n_events = 1;
    if (known) {
        p->bad.routers = ferry_calloc(1, sizeof *p->bad.routers);
        p->bad.routers[0] = c->router;
        p->bad.n_routers = 1;
    }
    return false;
}

static bool wrong_initial(struct prover *p, uint32_t group, uint32_t router, const char *what)
{
    return wrong(p, FERRY_MISMATCH, group, 0, "initial state of group %s on %s: %s",
                 p->plan->groups[group].id, p->plan->routers[router].name, what);
}

/* ---- The initial state. ---- */

static bool next_hops_known(const struct ferry_plan *plan, const struct ferry_entry *e)
{
    for (size_t i = 0; e && i < e->n_nexthops; i++)
        if (e->nexthops[i].router != FERRY_NO_ROUTER && e->nexthops[i].router >= plan->n_routers)
            return false;
    return true;
}

static bool stack_ok(struct prover *p, uint32_t group, uint32_t router)
{
    const struct ferry_stack *stack = p->plan->groups[group].initial[router];
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *e = stack->entries[i];
        if (!next_hops_known(p->plan, e))
            return wrong_initial(p, group, router, "a next hop names no router of the plan");
        for (uint32_t k = 0; k < i; k++) {
            const struct ferry_entry *other = stack->entries[k];
            bool same = ferry_entry_kind(e) == ferry_entry_kind(other);
            bool routes = same && ferry_entry_kind(e) == FERRY_KIND_ROUTE;
            /* By their metrics. */
            bool several = routes || e->type == FERRY_DNS || e->type == FERRY_TRAFFIC_SELECTOR;
            if (same && (!several || e->metric == other->metric))
                return wrong_initial(p, group, router, "two entries under one key");
            if (routes && e->table != other->table)
                return wrong_initial(p, group, router, "entries in two tables");
        }
    }
    return true;
}

/* Attached at one site, it must be the one that the group comes from. */
static bool from_ok(struct prover *p, uint32_t group)
{
    const struct ferry_group *g = &p->plan->groups[group];
    const char *site = NULL;
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        if (!g->initial[r] || g->initial[r]->entries[0]->type != FERRY_GATEWAY)
            continue;
        const char *here = prove_site(p->plan, group, r);
        if (site && strcmp(site, here) != 0)
            return true; /* two sites: shown as such, with the routers */
        site = here;
    }
    if (site && !g->from)
        return wrong(p, FERRY_MISMATCH, group, 0, "group %s comes from nowhere, but is attached at %s", g->id,
                     site);
    if (site && strcmp(site, g->from) != 0)
        return wrong(p, FERRY_MISMATCH, group, 0, "group %s comes from %s, but is attached at %s", g->id,
                     g->from, site);
    return true;
}

static bool initial_ok(struct prover *p)
{
    for (uint32_t g = 0; g < p->plan->n_groups; g++) {
        for (uint32_t r = 0; r < p->plan->n_routers; r++) {
            const char *fault = prove_dns_initial(p->plan, g, r);
            if (fault)
                return wrong_initial(p, g, r, fault);
            if (!stack_ok(p, g, r))
                return false;
            if (p->plan->routers[r].lost &&
                (p->plan->groups[g].initial[r] ||
                 (p->plan->groups[g].covers && p->plan->groups[g].covers[r].entry)))
                return wrong_initial(p, g, r, "this router is lost: nothing is known of it");
        }
        for (uint32_t r = 0; p->plan->groups[g].covers && r < p->plan->n_routers; r++)
            if (!next_hops_known(p->plan, p->plan->groups[g].covers[r].entry))
                return wrong_initial(p, g, r, "a next hop of the cover names no router of the plan");
        if (!from_ok(p, g))
            return false;
    }
    return true;
}

/* ---- Prefixes. ---- */

static bool prefixes_ok(struct prover *p)
{
    size_t n;
    FERRY_AUTOFREE struct prove_owned *v = prove_owned_sorted(p->plan, &n);
    char text[FERRY_PREFIX_STRLEN];
    for (size_t i = 1; i < n; i++)
        if (ferry_prefix_equal(&v[i - 1].prefix, &v[i].prefix))
            return wrong(p, FERRY_FOREIGN, v[i].group, 0, "%s is moved by group %s and again by group %s",
                         ferry_prefix_text(&v[i].prefix, text), p->plan->groups[v[i - 1].group].id,
                         p->plan->groups[v[i].group].id);
    return true;
}

/* ---- Changes. ---- */

static bool gateway_of(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_group *g = &plan->groups[c->group];
    for (size_t s = 0; s < g->n_subnets; s++) {
        bool there = g->subnets[s].n_gateways == 0; /* a document that does not say */
        for (size_t i = 0; i < g->subnets[s].n_gateways; i++)
            there |= g->subnets[s].gateways[i].gateway.router == c->router;
        if (!there)
            return false;
    }
    return true;
}

static const char *entry_fault(const struct ferry_plan *plan, const struct ferry_change *c,
                               const struct ferry_entry *e, enum ferry_violation *ret_violation)
{
    *ret_violation = FERRY_FOREIGN;
    if (!e)
        return NULL;
    if (c->kind != ferry_entry_kind(e))
        return "its entry is of another kind than the change";
    if (!next_hops_known(plan, e))
        return "a next hop names no router of the plan";
    *ret_violation = FERRY_MISMATCH;
    if (e->metric != c->metric)
        return "its entry has another metric than its key";
    if (c->kind == FERRY_KIND_ROUTE && e->table != c->table)
        return "its entry is in another table than its key";
    return NULL;
}

static const char *change_fault(const struct ferry_plan *plan, const struct ferry_change *c,
                                enum ferry_violation *ret_violation)
{
    *ret_violation = FERRY_FOREIGN;
    if (c->group >= plan->n_groups)
        return "it names no group of the plan";
    if (c->router >= plan->n_routers)
        return "it names no router of the plan";
    if ((unsigned)c->kind > FERRY_KIND_SELECTOR)
        return "it is neither a route nor a gateway nor an announcement nor a record nor a selector";
    const char *dns = prove_dns_fault(plan, c);
    if (dns || c->kind == FERRY_KIND_DNS)
        return dns;
    if (c->kind != FERRY_KIND_ROUTE && c->kind != FERRY_KIND_SELECTOR && c->metric)
        return c->kind == FERRY_KIND_GATEWAY ? "a gateway has no metric" : "an announcement has no metric";
    const char *fault = entry_fault(plan, c, c->before, ret_violation);
    fault = fault ? fault : entry_fault(plan, c, c->after, ret_violation);
    if (fault)
        return fault;
    *ret_violation = FERRY_FOREIGN;
    fault = prove_lost_fault(plan, c);
    if (fault)
        return fault;
    *ret_violation = FERRY_MISMATCH;
    if (c->kind == FERRY_KIND_GATEWAY && !gateway_of(plan, c))
        return "this router is no gateway of the subnet";
    fault = prove_tunnel_fault(c);
    return fault ? fault : prove_protocol_fault(plan, c);
}

static int ref_order(const void *a, const void *b)
{
    const struct prove_ref *x = a, *y = b;
    const uint32_t xs[] = {x->group, x->stage, x->router, x->rank, x->metric, x->change};
    const uint32_t ys[] = {y->group, y->stage, y->router, y->rank, y->metric, y->change};
    for (size_t i = 0; i < FERRY_COUNT(xs); i++)
        if (xs[i] != ys[i])
            return xs[i] < ys[i] ? -1 : 1;
    return 0;
}

/* Every change on its own, and the phases' order; fills p->refs, sorted. */
static bool changes_ok(struct prover *p)
{
    static const uint32_t ranks[] = {[FERRY_KIND_ROUTE] = PROVE_ROUTE,
                                     [FERRY_KIND_GATEWAY] = PROVE_GATEWAY,
                                     [FERRY_KIND_ANNOUNCEMENT] = PROVE_ANNOUNCEMENT,
                                     [FERRY_KIND_SELECTOR] = PROVE_SELECTOR};
    const struct ferry_plan *plan = p->plan;
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        const struct ferry_stage *stage = &plan->stages[s];
        if (s && stage->phase < plan->stages[s - 1].phase)
            return wrong(p, FERRY_MISMATCH, 0, s, "stage %u (%s) comes after stage %u (%s)", s + 1,
                         ferry_phase_name(stage->phase), s, ferry_phase_name(plan->stages[s - 1].phase));
        for (uint32_t i = 0; i < stage->n_changes; i++) {
            const struct ferry_change *c = &stage->changes[i];
            enum ferry_violation violation;
            const char *fault = change_fault(plan, c, &violation);
            if (fault)
                return prove_wrong_change(p, violation, s, i, fault);
            if (c->kind == FERRY_KIND_DNS)
                continue; /* prove_dns */
            FERRY_GROW(p->refs, p->n_refs);
            p->refs[p->n_refs++] = (struct prove_ref){.group = c->group,
                                                      .stage = s,
                                                      .change = i,
                                                      .router = c->router,
                                                      .rank = ranks[c->kind],
                                                      .table = c->kind == FERRY_KIND_ROUTE ? c->table : 0,
                                                      .metric = c->metric};
        }
    }
    if (p->n_refs)
        qsort(p->refs, p->n_refs, sizeof *p->refs, ref_order);
    return true;
}

static void index_refs(struct prover *p)
{
    size_t n = p->plan->n_groups * p->plan->n_stages;
    p->first = ferry_calloc(n + 1, sizeof *p->first);
    for (size_t i = 0; i < p->n_refs; i++)
        p->first[p->refs[i].group * p->plan->n_stages + p->refs[i].stage + 1]++;
    for (size_t i = 0; i < n; i++)
        p->first[i + 1] += p->first[i];
}

static bool keys_ok(struct prover *p)
{
    for (size_t i = 1; i < p->n_refs; i++) {
        const struct prove_ref *a = &p->refs[i - 1], *b = &p->refs[i];
        if (a->group == b->group && a->stage == b->stage && a->router == b->router && a->rank == b->rank &&
            a->metric == b->metric && a->table == b->table)
            return prove_wrong_change(p, FERRY_MISMATCH, b->stage, b->change,
                                      "this stage changes the same key twice, and its changes have no order");
    }
    return true;
}

/* On one router all routes of a group are in one table, and the attachment, where the plan says, in the same.
 */
static bool tables_ok(struct prover *p, uint32_t group)
{
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        const struct ferry_stack *stack = p->plan->groups[group].initial[r];
        p->table[r] = 0;
        for (uint32_t i = 0; stack && i < stack->n; i++)
            if (ferry_entry_kind(stack->entries[i]) == FERRY_KIND_ROUTE)
                p->table[r] = stack->entries[i]->table;
    }
    size_t at = group * p->plan->n_stages;
    for (size_t i = p->first[at]; i < p->first[at + p->plan->n_stages]; i++) {
        const struct prove_ref *ref = &p->refs[i];
        uint32_t table = p->plan->stages[ref->stage].changes[ref->change].table;
        if (table && p->table[ref->router] && p->table[ref->router] != table)
            return prove_wrong_change(p, FERRY_FOREIGN, ref->stage, ref->change,
                                      "it is in another table than the subnet's other routes on this router");
        p->table[ref->router] = table ? table : p->table[ref->router];
    }
    return true;
}

static bool mismatch(struct prover *p, const struct prove_ref *ref)
{
    const struct ferry_change *c = &p->plan->stages[ref->stage].changes[ref->change];
    const struct prove_row *row = &p->rows[ref->router];
    const struct ferry_entry *held = NULL;
    for (size_t i = 0; i < row->n; i++)
        if (row->slots[i].rank == ref->rank && row->slots[i].metric == ref->metric)
            held = row->slots[i].now;
    char text[400], found[160], expected[160];
    if (held && c->before && ferry_entry_equal(held, c->before, FERRY_CMP_EXACT))
        return prove_wrong_change(p, FERRY_MISMATCH, ref->stage, ref->change,
                                  "names other routers behind its next hops than what it finds");
    snprintf(text, sizeof text, "expects %s, but finds %s",
             c->before ? ferry_entry_text(c->before, expected, sizeof expected) : "nothing under this key",
             held ? ferry_entry_text(held, found, sizeof found) : "nothing under this key");
    return prove_wrong_change(p, FERRY_MISMATCH, ref->stage, ref->change, text);
}

static bool befores_ok(struct prover *p, uint32_t group)
{
    struct prove_class class = {.group = group, .layers = &group, .n_layers = 1};
    size_t at = group * p->plan->n_stages;
    if (p->first[at] == p->first[at + p->plan->n_stages])
        return true;
    prove_rows_load(p, &class);
    for (uint32_t s = 0; s < p->plan->n_stages; s++) {
        const struct prove_ref *culprit;
        if (!prove_rows_stage(p, s, &culprit))
            return mismatch(p, culprit);
        prove_rows_commit(p);
    }
    p->class = NULL;
    return true;
}

bool prove_form(struct prover *p)
{
    if (!initial_ok(p) || !prefixes_ok(p) || !changes_ok(p) || !prove_dns(p))
        return false;
    index_refs(p);
    if (!keys_ok(p))
        return false;
    for (uint32_t g = 0; g < p->plan->n_groups; g++)
        if (!tables_ok(p, g) || !befores_ok(p, g))
            return false;
    return prove_test(p);
}
