/* Stages and debts of the plan document: changes; see plan_parse.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include <string.h>

enum { CHANGES_MAX = 4000000 };

static int parse_kind(struct parsing *p, uint32_t v, enum ferry_kind *ret, struct ferry_err *err)
{
    const char *kind;
    int r = ferry_json_need_string(p->doc, v, "kind", &kind, err);
    if (r < 0)
        return r;
    *ret = FERRY_KIND_ROUTE;
    while (strcmp(kind, ferry_kind_name(*ret)) != 0)
        if ((*ret)++ == FERRY_KIND_SELECTOR)
            return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "kind"), err,
                                    "'%.40s' is none of route, gateway, announcement, dns, selector", kind);
    return 0;
}

/* A route's metric must be there; the table may be left out where it is main, that of others also where the
 * group has routes on that router (0 until parse_tables). */
static int parse_change_key(struct parsing *p, uint32_t v, struct ferry_change *c, struct ferry_err *err)
{
    bool route = c->kind == FERRY_KIND_ROUTE;
    if (c->kind == FERRY_KIND_DNS)
        return parse_record(p, v, &c->metric, err);
    int64_t metric = 0, table = route ? FERRY_TABLE_MAIN : 0;
    int r = route ? ferry_json_need_int(p->doc, v, "metric", 0, UINT32_MAX, &metric, err)
                  : ferry_json_opt_int(p->doc, v, "metric", 0, 0, &metric, err);
    if (r == 0)
        r = ferry_json_opt_int(p->doc, v, "table", 1, UINT32_MAX, &table, err);
    c->metric = (uint32_t)metric;
    c->table = (uint32_t)table;
    return r;
}

static int parse_sides(struct parsing *p, uint32_t v, struct ferry_change *c, struct ferry_err *err)
{
    static const char *const names[] = {"before", "after"};
    const struct ferry_entry **const sides[] = {&c->before, &c->after};
    struct parse_key key = {.kind = c->kind, .table = c->table, .metric = c->metric};
    for (size_t i = 0; i < FERRY_COUNT(names); i++) {
        uint32_t at = ferry_json_get(p->doc, v, names[i]);
        if (at == FERRY_JSON_NONE)
            return ferry_json_error(p->doc, v, err, "'%s' is missing (null: nothing)", names[i]);
        int r = parse_entry(p, at, &key, sides[i], err);
        if (r < 0)
            return r;
    }
    if (!c->before && !c->after)
        return ferry_json_error(p->doc, v, err, "before and after are both null");
    if (c->kind != FERRY_KIND_SELECTOR)
        return 0;
    c->metric = (c->after ? c->after : c->before)->metric; /* its key is what it says */
    if (c->before && c->after)
        return ferry_json_error(p->doc, v, err, "a selector comes or goes: one of before and after is null");
    return 0;
}

static int parse_change(struct parsing *p, uint32_t v, struct ferry_change *ret, struct ferry_err *err)
{
    static const char *const known[] = {"router", "group", "kind", "metric", "table",
                                        "before", "after", "why",  "record", NULL};
    struct ferry_change c = {0};
    const char *router, *group, *why = NULL;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "router", &router, err);
    if (r == 0)
        r = parse_router(p, ferry_json_get(p->doc, v, "router"), router, false, &c.router, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "group", &group, err);
    if (r < 0)
        return r;
    c.group = ferry_map_get(&p->groups, group, strlen(group));
    if (c.group == FERRY_MAP_NONE)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "group"), err,
                                "there is no group '%.80s' in this plan", group);
    r = parse_kind(p, v, &c.kind, err);
    if (r == 0 && (c.kind == FERRY_KIND_DNS) != p->plan->groups[c.group].dns)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "group"), err, "'%.80s' is %s", group,
                                p->plan->groups[c.group].dns ? "a name, whose changes are of kind dns"
                                                             : "a group of subnets, which have no records");
    if (r == 0 && c.kind != FERRY_KIND_DNS && ferry_json_get(p->doc, v, "record") != FERRY_JSON_NONE)
        return ferry_json_error_key(p->doc, ferry_json_get(p->doc, v, "record"), err,
                                    "only a change of kind dns has one");
    if (r == 0)
        r = parse_change_key(p, v, &c, err);
    if (r == 0)
        r = parse_sides(p, v, &c, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, v, "why", &why, err);
    if (r < 0)
        return r;
    c.why = why ? ferry_plan_string(p->plan, ferry_strdup(why)) : NULL;
    *ret = c;
    return 0;
}

static int parse_phase(struct parsing *p, uint32_t v, enum ferry_phase *ret, struct ferry_err *err)
{
    const char *name;
    int r = ferry_json_need_string(p->doc, v, "phase", &name, err);
    if (r < 0)
        return r;
    for (enum ferry_phase phase = FERRY_PREPARE; phase <= FERRY_SETTLE; phase++)
        if (!strcmp(name, ferry_phase_name(phase))) {
            *ret = phase;
            return 0;
        }
    return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "phase"), err,
                            "'%.40s' is none of prepare, detach, attach, settle", name);
}

static int parse_stage(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    static const char *const known[] = {"phase", "changes", NULL};
    struct ferry_stage *stage = &p->plan->stages[p->plan->n_stages++];
    uint32_t changes;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = parse_phase(p, v, &stage->phase, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, "changes", FERRY_JSON_ARRAY, &changes, err);
    if (r < 0)
        return r;
    if (ferry_json_count(p->doc, changes) > CHANGES_MAX)
        return ferry_json_error(p->doc, changes, err, "more than %d changes", CHANGES_MAX);
    stage->changes = ferry_calloc(ferry_json_count(p->doc, changes), sizeof *stage->changes);
    FERRY_JSON_EACH(p->doc, changes, change)
    {
        r = parse_change(p, change, &stage->changes[stage->n_changes], err);
        if (r < 0)
            return r;
        stage->n_changes++;
    }
    return 0;
}

int parse_debts(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "debts", FERRY_JSON_ARRAY, &list, err);
    if (r < 0 || list == FERRY_JSON_NONE)
        return r;
    if (ferry_json_count(p->doc, list) > CHANGES_MAX)
        return ferry_json_error(p->doc, list, err, "more than %d debts", CHANGES_MAX);
    p->plan->debts = ferry_calloc(ferry_json_count(p->doc, list), sizeof *p->plan->debts);
    FERRY_JSON_EACH(p->doc, list, v)
    {
        struct ferry_change *debt = &p->plan->debts[p->plan->n_debts];
        r = parse_change(p, v, debt, err);
        if (r < 0)
            return r;
        if (!debt->table)
            debt->table = FERRY_TABLE_MAIN;
        p->plan->n_debts++;
    }
    return 0;
}

int parse_stages(struct parsing *p, struct ferry_err *err)
{
    uint32_t stages;
    int r = ferry_json_need(p->doc, FERRY_JSON_ROOT, "stages", FERRY_JSON_ARRAY, &stages, err);
    if (r < 0)
        return r;
    p->plan->stages = ferry_calloc(ferry_json_count(p->doc, stages), sizeof *p->plan->stages);
    FERRY_JSON_EACH(p->doc, stages, stage)
    {
        r = parse_stage(p, stage, err);
        if (r < 0)
            return r;
    }
    return 0;
}

void parse_tables(struct ferry_plan *plan)
{
    FERRY_AUTOFREE uint32_t *tables = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *tables);
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t r = 0; r < plan->n_routers; r++) {
            const struct ferry_stack *stack = plan->groups[g].initial[r];
            for (uint32_t i = 0; stack && i < stack->n; i++)
                if (ferry_entry_kind(stack->entries[i]) == FERRY_KIND_ROUTE)
                    tables[g * plan->n_routers + r] = stack->entries[i]->table;
        }
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < plan->n_stages; i++)
            for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
                struct ferry_change *c = &plan->stages[i].changes[k];
                uint32_t *table = &tables[c->group * plan->n_routers + c->router];
                if (pass == 0 && c->kind == FERRY_KIND_ROUTE)
                    *table = c->table;
                else if (pass == 1 && c->table == 0 && c->kind != FERRY_KIND_DNS)
                    c->table = *table ? *table : FERRY_TABLE_MAIN;
            }
}
