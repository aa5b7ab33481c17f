/* Longer prefixes inside the moved ones.
 *
 * A longer prefix that is no subnet of the topology silently beats the moved subnet for a part of its
 * addresses: refused.  One that is a subnet is independent, provided that every router that holds the outer
 * one holds the inner one too: otherwise packets for the inner one follow the outer one and move with it.
 * Used by make.c before anything is planned.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <stdlib.h>

struct held { /* a topology subnet inside a moved one, as a router holds it */
    uint32_t column, inner, router;
};

struct nest {
    const struct ferry_live *live;
    const struct ferry_topology *t;
    const bool *moving;  /* [column] */
    uint32_t *by_prefix; /* topology subnets, sorted */
    uint32_t *column_of; /* [subnet], or FERRY_NONE */
    struct held *held;
    size_t n_held;
    struct ferry_overrides *overrides;
};

static int by_prefix(const void *a, const void *b, void *ctx)
{
    const struct ferry_topology *t = ctx;
    return ferry_prefix_compare(&t->subnets[*(const uint32_t *)a].prefix,
                                &t->subnets[*(const uint32_t *)b].prefix);
}

static int by_column(const void *a, const void *b)
{
    const struct held *x = a, *y = b;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->inner < y->inner ? -1 : x->inner > y->inner;
}

static uint32_t find_prefix(const struct nest *nest, const struct ferry_prefix *prefix)
{
    size_t low = 0, high = nest->t->n_subnets;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        uint32_t subnet = nest->by_prefix[mid];
        int c = ferry_prefix_compare(&nest->t->subnets[subnet].prefix, prefix);
        if (c == 0)
            return subnet;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return FERRY_NONE;
}

static int collect(struct nest *nest, struct ferry_err *err)
{
    char prefix[FERRY_PREFIX_STRLEN], text[256];
    for (size_t i = 0; i < nest->live->n_conflicts; i++) {
        const struct ferry_conflict *c = &nest->live->conflicts[i];
        uint32_t column = nest->column_of[c->subnet];
        if (c->relation != FERRY_MORE_SPECIFIC || column == FERRY_NONE || !nest->moving[column])
            continue;
        uint32_t inner = find_prefix(nest, &c->prefix);
        if (inner == FERRY_NONE) {
            int r = ferry_rule_refuse(
                nest->overrides, err, "more-specific",
                "%s: %s holds the longer prefix %s (%s), which would stay behind and beat it",
                nest->t->subnets[c->subnet].name, nest->t->routers[c->router].name,
                ferry_prefix_text(&c->prefix, prefix), ferry_entry_text(c->entry, text, sizeof text));
            if (r < 0)
                return r;
            continue;
        }
        FERRY_GROW(nest->held, nest->n_held);
        nest->held[nest->n_held++] = (struct held){column, inner, c->router};
    }
    return 0;
}

static int refuse(const struct nest *nest, uint32_t outer, uint32_t inner, uint32_t router,
                  struct ferry_err *err)
{
    return ferry_refuse(
        err, "nested",
        "%s lies within %s, and %s has no route of its own for it: its packets would follow %s; "
        "give it one first",
        nest->t->subnets[inner].name, nest->t->subnets[outer].name, nest->t->routers[router].name,
        nest->t->subnets[outer].name);
}

static bool is_gateway(const struct ferry_subnet *subnet, uint32_t router)
{
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].router == router)
            return true;
    return false;
}

/* Inner subnets that were not read themselves: what is known of them are the longer prefixes found. */
static int check_held(struct nest *nest, struct ferry_err *err)
{
    const struct ferry_live *live = nest->live;
    if (!nest->n_held)
        return 0;
    FERRY_AUTOFREE bool *has = ferry_calloc(nest->t->n_routers, sizeof *has);
    qsort(nest->held, nest->n_held, sizeof *nest->held, by_column);
    for (size_t i = 0, end; i < nest->n_held; i = end) {
        uint32_t column = nest->held[i].column, inner = nest->held[i].inner;
        for (uint32_t v = 0; v < nest->t->n_routers; v++)
            has[v] = is_gateway(&nest->t->subnets[inner], v);
        for (end = i; end < nest->n_held && !by_column(&nest->held[i], &nest->held[end]); end++)
            has[nest->held[end].router] = true;
        if (nest->column_of[inner] != FERRY_NONE)
            continue;
        for (uint32_t v = 0; v < nest->t->n_routers; v++)
            if (!has[v] && ferry_stack_best(live->stacks[(size_t)v * live->n_subnets + column]))
                return refuse(nest, live->subnets[column], inner, v, err);
    }
    return 0;
}

static int check_pair(const struct nest *nest, uint32_t outer, uint32_t inner, struct ferry_err *err)
{
    const struct ferry_live *live = nest->live;
    uint32_t o = nest->column_of[outer], c = nest->column_of[inner];
    for (uint32_t v = 0; v < nest->t->n_routers; v++) {
        size_t row = (size_t)v * live->n_subnets;
        if (!ferry_stack_best(live->stacks[row + c]) && ferry_stack_best(live->stacks[row + o]) &&
            ferry_topology_table(nest->t, v, outer) == ferry_topology_table(nest->t, v, inner))
            return refuse(nest, outer, inner, v, err);
    }
    return 0;
}

/* Subnets that were read: pairs found by walking the sorted prefixes with a stack of ancestors. */
static int check_columns(const struct nest *nest, struct ferry_err *err)
{
    uint32_t depth = 0, chain[130]; /* one ancestor a length at most */
    for (size_t i = 0; i < nest->t->n_subnets; i++) {
        uint32_t inner = nest->by_prefix[i];
        const struct ferry_prefix *prefix = &nest->t->subnets[inner].prefix;
        while (depth && !ferry_prefix_covers(&nest->t->subnets[chain[depth - 1]].prefix, prefix))
            depth--;
        for (uint32_t k = 0; k < depth && nest->column_of[inner] != FERRY_NONE; k++) {
            uint32_t column = nest->column_of[chain[k]];
            if (column == FERRY_NONE || !nest->moving[column])
                continue;
            int r = check_pair(nest, chain[k], inner, err);
            if (r < 0)
                return r;
        }
        if (depth < FERRY_COUNT(chain))
            chain[depth++] = inner;
    }
    return 0;
}

int ferry_check_conflicts(const struct ferry_live *live, const bool *moving,
                          struct ferry_overrides *overrides, struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    struct nest nest = {.live = live, .t = t, .moving = moving, .overrides = overrides};
    nest.by_prefix = ferry_calloc(t->n_subnets, sizeof *nest.by_prefix);
    nest.column_of = ferry_calloc(t->n_subnets, sizeof *nest.column_of);
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        nest.by_prefix[i] = i;
        nest.column_of[i] = FERRY_NONE;
    }
    for (uint32_t c = 0; c < live->n_subnets; c++)
        nest.column_of[live->subnets[c]] = c;
    qsort_r(nest.by_prefix, t->n_subnets, sizeof *nest.by_prefix, by_prefix, (void *)t);
    int r = collect(&nest, err);
    if (r == 0)
        r = check_held(&nest, err);
    if (r == 0)
        r = check_columns(&nest, err);
    free(nest.by_prefix);
    free(nest.column_of);
    free(nest.held);
    return r;
}
