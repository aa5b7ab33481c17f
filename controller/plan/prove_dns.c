/* The prover and names: what a plan changes of name servers' records.  See prove_parts.h.
 *
 * Records forward nothing, so that no order of them can loop or lose a packet.  What is checked is what the
 * engine relies on: they are of names, and on name servers, alone; every change finds what the ones before it
 * have left; and no stage changes a record set twice, for within a stage there is no order.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static bool is_server(const struct ferry_plan *plan, uint32_t router)
{
    const char *type = plan->routers[router].driver.type;
    return type && strcmp(type, "dns") == 0;
}

const char *prove_dns_fault(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_entry *sides[] = {c->before, c->after};
    bool names = plan->groups[c->group].dns;
    if ((c->kind == FERRY_KIND_DNS) != names)
        return names ? "it changes something else than records of a name" : "its group is no name";
    /* A document by hand that names no drivers: what it names here, apply looks up. */
    if (plan->routers[c->router].driver.type && is_server(plan, c->router) != names)
        return names ? "this router is no name server" : "a name server has no routes";
    for (size_t i = 0; names && i < FERRY_COUNT(sides); i++)
        if (sides[i] && (sides[i]->type != FERRY_DNS || sides[i]->metric != c->metric))
            return "its entry is not a record set of its type";
    return NULL;
}

const char *prove_dns_initial(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_stack *stack = plan->groups[group].initial[router];
    bool names = plan->groups[group].dns;
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if ((stack->entries[i]->type == FERRY_DNS) != names)
            return names ? "a name holds record sets alone" : "a record set is not a route";
    if (stack && plan->routers[router].driver.type && is_server(plan, router) != names)
        return names ? "this router is no name server" : "a name server has no routes";
    return NULL;
}

/* One change, for sorting by key. */
struct ref {
    const struct ferry_change *c;
    uint32_t stage, change;
};

static int order(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    const uint32_t xs[] = {x->c->group, x->c->router, x->c->metric, x->stage, x->change};
    const uint32_t ys[] = {y->c->group, y->c->router, y->c->metric, y->stage, y->change};
    for (size_t i = 0; i < FERRY_COUNT(xs); i++)
        if (xs[i] != ys[i])
            return xs[i] < ys[i] ? -1 : 1;
    return 0;
}

static struct ref *collect(const struct ferry_plan *plan, size_t *ret_n)
{
    struct ref *v = NULL;
    size_t n = 0;
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t i = 0; i < plan->stages[s].n_changes; i++)
            if (plan->stages[s].changes[i].kind == FERRY_KIND_DNS) {
                FERRY_GROW(v, n);
                v[n++] = (struct ref){&plan->stages[s].changes[i], s, i};
            }
    if (n)
        qsort(v, n, sizeof *v, order);
    *ret_n = n;
    return v;
}

static const struct ferry_entry *at_first(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_stack *stack = plan->groups[c->group].initial[c->router];
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (stack->entries[i]->metric == c->metric)
            return stack->entries[i];
    return NULL;
}

bool prove_dns(struct prover *p)
{
    size_t n;
    FERRY_AUTOFREE struct ref *v = collect(p->plan, &n);
    for (size_t i = 0; i < n; i++) {
        const struct ferry_change *c = v[i].c, *last = i ? v[i - 1].c : NULL;
        bool again =
            last && last->group == c->group && last->router == c->router && last->metric == c->metric;
        const struct ferry_entry *held = again ? last->after : at_first(p->plan, c);
        char text[400], found[160], expected[160];
        if (again && v[i - 1].stage == v[i].stage)
            return prove_wrong_change(p, FERRY_MISMATCH, v[i].stage, v[i].change,
                                      "this stage changes the same key twice, and its changes have no order");
        if (ferry_entry_equal(held, c->before, FERRY_CMP_EXACT))
            continue;
        snprintf(text, sizeof text, "expects %s, but finds %s",
                 ferry_entry_text(c->before, expected, sizeof expected),
                 ferry_entry_text(held, found, sizeof found));
        return prove_wrong_change(p, FERRY_MISMATCH, v[i].stage, v[i].change, text);
    }
    return true;
}
