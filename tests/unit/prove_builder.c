/* Plans in a few words; see prove_builder.h.  SPDX-License-Identifier: MIT */
#include "prove_builder.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct ferry_plan *build_plan(unsigned n_routers)
{
    struct ferry_plan *plan = ferry_calloc(1, sizeof *plan);
    plan->mode = ferry_strdup("planned");
    plan->topology_name = ferry_strdup("built");
    plan->n_routers = n_routers;
    plan->routers = ferry_calloc(n_routers, sizeof *plan->routers);
    for (unsigned r = 0; r < n_routers; r++)
        plan->routers[r].name = ferry_asprintf("%c", (char)('a' + r));
    plan->pool = ferry_pool_new();
    return plan;
}

void build_sites(struct ferry_plan *plan, const char *letters)
{
    for (size_t r = 0; letters[r]; r++)
        if (letters[r] != '.')
            plan->routers[r].site = ferry_asprintf("%c", letters[r]);
}

static struct ferry_prefix prefix_of(const char *text)
{
    struct ferry_prefix p;
    struct ferry_err err;
    if (ferry_prefix_parse(text, &p, &err))
        abort();
    return p;
}

void build_subnet(struct ferry_plan *plan, uint32_t group, const char *prefix)
{
    struct ferry_group *g = &plan->groups[group];
    FERRY_GROW(g->subnets, g->n_subnets);
    g->subnets[g->n_subnets++] =
        (struct ferry_plan_subnet){.name = ferry_strdup(prefix), .prefix = prefix_of(prefix)};
}

uint32_t build_group(struct ferry_plan *plan, const char *from, const char *to, const char *prefix)
{
    FERRY_GROW(plan->groups, plan->n_groups);
    uint32_t group = (uint32_t)plan->n_groups++;
    plan->groups[group] = (struct ferry_group){
        .id = ferry_asprintf("g%u", group + 1),
        .from = ferry_strdup(from),
        .to = ferry_strdup(to),
        .initial = ferry_calloc(plan->n_routers, sizeof *plan->groups[group].initial),
        .covers = ferry_calloc(plan->n_routers, sizeof *plan->groups[group].covers),
    };
    build_subnet(plan, group, prefix);
    return group;
}

const struct ferry_entry *build_entry(struct ferry_plan *plan, uint8_t family, const char *word)
{
    struct ferry_nexthop hops[16];
    struct ferry_entry e = {.type = FERRY_GATEWAY};
    char *rest;
    if (*word == '-')
        return NULL;
    if (*word == '@')
        return ferry_pool_entry(plan->pool, &e);
    e = (struct ferry_entry){.table = FERRY_TABLE_MAIN, .protocol = FERRY_PROTOCOL, .nexthops = hops};
    e.metric = (uint32_t)strtoul(word, &rest, 10);
    e.type = *rest == '!' ? FERRY_BLACKHOLE : *rest == 'x' ? FERRY_UNREACHABLE : FERRY_UNICAST;
    e.protocol = *rest == 'x' ? 4 : FERRY_PROTOCOL;
    for (rest++; *rest && *rest != ' '; rest++) {
        struct ferry_nexthop *hop = &hops[e.n_nexthops++];
        *hop = (struct ferry_nexthop){.router = *rest == '?' ? FERRY_NO_ROUTER : (uint32_t)(*rest - 'a'),
                                      .weight = 1};
        hop->via.family = family;
        hop->via.bytes[0] = family == AF_INET ? 10 : 0xfd;
        hop->via.bytes[family == AF_INET ? 3 : 15] = (uint8_t)*rest;
        snprintf(hop->dev, sizeof hop->dev, "to-%c", *rest);
    }
    return ferry_pool_entry(plan->pool, &e);
}

static uint8_t family_of(const struct ferry_plan *plan, uint32_t group)
{
    return plan->groups[group].subnets[0].prefix.addr.family;
}

void build_hold(struct ferry_plan *plan, uint32_t group, char router, const char *stack)
{
    const struct ferry_entry *entries[8];
    uint32_t n = 0;
    for (const char *word = stack; word; word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL)
        if (*word != '-')
            entries[n++] = build_entry(plan, family_of(plan, group), word);
    plan->groups[group].initial[router - 'a'] = ferry_pool_stack(plan->pool, entries, n);
}

void build_cover(struct ferry_plan *plan, uint32_t group, char router, const char *prefix, const char *entry)
{
    plan->groups[group].covers[router - 'a'] =
        (struct ferry_cover){prefix_of(prefix), build_entry(plan, family_of(plan, group), entry)};
}

void build_stage(struct ferry_plan *plan, enum ferry_phase phase)
{
    FERRY_GROW(plan->stages, plan->n_stages);
    plan->stages[plan->n_stages++] = (struct ferry_stage){.phase = phase};
}

struct ferry_change *build_change(struct ferry_plan *plan, uint32_t group, char router, const char *before,
                                  const char *after)
{
    struct ferry_stage *stage = &plan->stages[plan->n_stages - 1];
    const struct ferry_entry *was = build_entry(plan, family_of(plan, group), before);
    const struct ferry_entry *is = build_entry(plan, family_of(plan, group), after);
    const struct ferry_entry *some = was ? was : is;
    FERRY_GROW(stage->changes, stage->n_changes);
    struct ferry_change *c = &stage->changes[stage->n_changes++];
    *c = (struct ferry_change){
        .router = (uint32_t)(router - 'a'),
        .group = group,
        .kind = some && some->type == FERRY_GATEWAY ? FERRY_KIND_GATEWAY : FERRY_KIND_ROUTE,
        .table = some && some->type != FERRY_GATEWAY ? FERRY_TABLE_MAIN : 0,
        .metric = some ? some->metric : 0,
        .before = was,
        .after = is,
    };
    return c;
}
