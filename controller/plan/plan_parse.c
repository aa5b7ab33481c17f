/* Reads the plan document back (docs/plan-document.md), strictly: unknown keys, broken references and values
 * that cannot be are refused with their position.  Documents written by hand may leave out what only Ferry
 * adds: id, mode, topology, routers, warnings, proof, and the gateways of subnets.
 *
 * Whether the plan is safe is not asked here: that is the prover's.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include "model/load_hooks.h"

#include "model/driver_config.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { CHANGES_MAX = 4000000, ROUTERS_MAX = 1000000 };

/* ---- Routers. ---- */

static int parse_driver(struct parsing *p, uint32_t v, struct ferry_driver_config *ret, struct ferry_err *err)
{
    static const char *const known[] = {"type", "netns",     "transport", "host",        "port",
                                        "user", "pathspace", "identity",  "known_hosts", "host_key",
                                        "jump", "key_file",  "zones",     "secondaries", NULL};
    const char *type = NULL;
    int64_t port = 0;
    int r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "type", &type, err);
    if (r == 0)
        r = ferry_json_opt_int(p->doc, v, "port", 1, UINT16_MAX, &port, err);
    if (r < 0)
        return r;
    ret->type = ferry_strdup(type);
    ret->port = (uint16_t)port;
    for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++) {
        const char *text = NULL;
        r = ferry_json_opt_string(p->doc, v, f->key, &text, err);
        if (r < 0)
            return r;
        if (text && !ferry_driver_field_ok(f, text))
            return ferry_json_error(p->doc, ferry_json_get(p->doc, v, f->key), err, "'%.80s' cannot be a %s",
                                    text, f->key);
        *ferry_driver_field_at(f, ret) = ferry_strdup(text);
    }
    return 0;
}

/* "routing" and "origination" of a router. */
static int parse_routing(struct parsing *p, uint32_t v, struct ferry_driver_config *ret,
                         struct ferry_err *err)
{
    static const char *const known[] = {"prefix-list", "area", NULL};
    const char *text = NULL, *list = NULL, *area = NULL;
    uint32_t how = FERRY_JSON_NONE;
    struct ferry_addr addr;
    struct ferry_err ignored;
    int r = ferry_json_opt_string(p->doc, v, "routing", &text, err);
    if (r == 0)
        r = ferry_json_opt(p->doc, v, "origination", FERRY_JSON_OBJECT, &how, err);
    if (r == 0 && how != FERRY_JSON_NONE)
        r = ferry_json_keys(p->doc, how, known, err);
    if (r == 0 && how != FERRY_JSON_NONE)
        r = ferry_json_opt_string(p->doc, how, "prefix-list", &list, err);
    if (r == 0 && how != FERRY_JSON_NONE)
        r = ferry_json_opt_string(p->doc, how, "area", &area, err);
    if (r < 0)
        return r;
    while (text && strcmp(text, ferry_routing_name(ret->routing)) != 0)
        if (ret->routing++ == FERRY_ROUTING_OSPF)
            return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "routing"), err,
                                    "'%.40s' is not a routing: static, bgp or ospf", text);
    if (list && !parse_is_name(list))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, how, "prefix-list"), err,
                                "'%.80s' cannot be the name of a prefix-list", list);
    if (area && (ferry_addr_parse(area, &addr, &ignored) < 0 || addr.family != AF_INET))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, how, "area"), err, "'%.40s' is not an area",
                                area);
    ret->prefix_list = ferry_strdup(list);
    ret->area = ferry_strdup(area);
    return 0;
}

static void add_router(struct parsing *p, const char *name)
{
    struct ferry_plan *plan = p->plan;
    char *own = ferry_strdup(name);
    if (ferry_map_add(&p->routers, own, strlen(own), (uint32_t)plan->n_routers) != FERRY_MAP_NONE) {
        free(own);
        return;
    }
    FERRY_GROW(plan->routers, plan->n_routers);
    plan->routers[plan->n_routers++] = (struct ferry_plan_router){.name = own};
}

static int parse_one_router(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    static const char *const known[] = {"site", "driver", "routing", "origination", NULL};
    const char *name = ferry_json_key(p->doc, v);
    uint32_t driver = FERRY_JSON_NONE, site = FERRY_JSON_NONE;
    int r = 0;
    if (!parse_is_name(name))
        r = ferry_json_error_key(p->doc, v, err, "'%.80s' is not a name", name);
    if (r == 0)
        r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_opt(p->doc, v, "site", FERRY_JSON_STRING, &site, err);
    if (r == 0)
        r = ferry_json_opt(p->doc, v, "driver", FERRY_JSON_OBJECT, &driver, err);
    if (r < 0)
        return r;
    add_router(p, name);
    struct ferry_plan_router *router = &p->plan->routers[p->plan->n_routers - 1];
    if (site != FERRY_JSON_NONE) {
        const char *text;
        r = parse_name(p, site, &text, err);
        if (r < 0)
            return r;
        router->site = ferry_strdup(text);
    }
    if (driver != FERRY_JSON_NONE)
        r = parse_driver(p, driver, &router->driver, err);
    return r < 0 ? r : parse_routing(p, v, &router->driver, err);
}

/* Where the document lists no routers: all that it names, in the order of their first appearance. */
static void collect_routers(struct parsing *p, uint32_t v)
{
    FERRY_JSON_EACH(p->doc, v, child)
    {
        const char *key = ferry_json_key(p->doc, child), *name;
        enum ferry_json_type type = ferry_json_type(p->doc, child);
        struct ferry_err ignored;
        if (key && !strncmp(key, "x-", 2))
            continue;
        if (key && type == FERRY_JSON_OBJECT && (!strcmp(key, "initial") || !strcmp(key, "covers"))) {
            FERRY_JSON_EACH(p->doc, child, row)
            if (parse_is_name(ferry_json_key(p->doc, row)))
                add_router(p, ferry_json_key(p->doc, row));
        }
        if (key && type == FERRY_JSON_STRING && !strcmp(key, "router") &&
            ferry_json_string(p->doc, child, &name, &ignored) == 0 && parse_is_name(name))
            add_router(p, name);
        if (type == FERRY_JSON_OBJECT || type == FERRY_JSON_ARRAY)
            collect_routers(p, child); /* the reader bounds the depth */
    }
}

static int parse_routers(struct parsing *p, struct ferry_err *err)
{
    uint32_t routers = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "routers", FERRY_JSON_OBJECT, &routers, err);
    if (r < 0)
        return r;
    if (routers == FERRY_JSON_NONE) {
        collect_routers(p, ferry_json_get(p->doc, FERRY_JSON_ROOT, "groups"));
        collect_routers(p, ferry_json_get(p->doc, FERRY_JSON_ROOT, "names"));
        collect_routers(p, ferry_json_get(p->doc, FERRY_JSON_ROOT, "stages"));
        collect_routers(p, ferry_json_get(p->doc, FERRY_JSON_ROOT, "lost"));
        return 0;
    }
    if (ferry_json_count(p->doc, routers) > ROUTERS_MAX)
        return ferry_json_error(p->doc, routers, err, "more than %d routers", ROUTERS_MAX);
    FERRY_JSON_EACH(p->doc, routers, v)
    {
        r = parse_one_router(p, v, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Lost routers. ---- */

static int parse_router_at(struct parsing *p, uint32_t v, uint32_t *ret, struct ferry_err *err)
{
    const char *name;
    int r = ferry_json_string(p->doc, v, &name, err);
    return r < 0 ? r : parse_router(p, v, name, false, ret, err);
}

static int parse_one_lost(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    static const char *const known[] = {"router", "neighbours", NULL};
    uint32_t at = FERRY_JSON_NONE, list = FERRY_JSON_NONE, index;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, "router", FERRY_JSON_STRING, &at, err);
    if (r == 0)
        r = parse_router_at(p, at, &index, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, "neighbours", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    struct ferry_plan_router *router = &p->plan->routers[index];
    if (router->lost)
        return ferry_json_error(p->doc, at, err, "'%.80s' is lost already", router->name);
    router->lost = true;
    FERRY_JSON_EACH(p->doc, list, child)
    {
        uint32_t neighbour;
        r = parse_router_at(p, child, &neighbour, err);
        if (r < 0)
            return r;
        FERRY_GROW(router->neighbours, router->n_neighbours);
        router->neighbours[router->n_neighbours++] = neighbour;
    }
    return 0;
}

static int parse_lost(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "lost", FERRY_JSON_ARRAY, &list, err);
    if (r < 0 || list == FERRY_JSON_NONE)
        return r;
    FERRY_JSON_EACH(p->doc, list, v)
    {
        r = parse_one_lost(p, v, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Stages. ---- */

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
 * group has routes on that router (0 until place_others). */
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

static int parse_debts(struct parsing *p, struct ferry_err *err)
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

static int parse_stages(struct parsing *p, struct ferry_err *err)
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

/* A gateway or announcement without a table: it is that of the group's routes on that router, or main. */
static void place_others(struct ferry_plan *plan)
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

/* ---- The document. ---- */

static int parse_head(struct parsing *p, const char **ret_id, struct ferry_err *err)
{
    static const char *const known[] = {"ferry",   "kind",      "id",       "mode",   "attest", "topology",
                                        "routers", "lost",      "groups",   "stages", "debts",  "addresses",
                                        "hooks",   "overrides", "warnings", "proof",  "names",  NULL};
    const char *kind, *mode = "planned", *attest = NULL;
    int64_t version;
    int r = ferry_json_want(p->doc, FERRY_JSON_ROOT, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, FERRY_JSON_ROOT, known, err);
    if (r == 0)
        r = ferry_json_need_int(p->doc, FERRY_JSON_ROOT, "ferry", 1, 1, &version, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, FERRY_JSON_ROOT, "kind", &kind, err);
    if (r < 0)
        return r;
    if (strcmp(kind, "plan"))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, FERRY_JSON_ROOT, "kind"), err,
                                "this is a '%.40s', not a plan", kind);
    r = ferry_json_opt_string(p->doc, FERRY_JSON_ROOT, "id", ret_id, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, FERRY_JSON_ROOT, "mode", &mode, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, FERRY_JSON_ROOT, "attest", &attest, err);
    if (r < 0)
        return r;
    if (strcmp(mode, "planned") && strcmp(mode, "disaster") && strcmp(mode, "reconcile") &&
        strcmp(mode, "undo") && strcmp(mode, "test"))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, FERRY_JSON_ROOT, "mode"), err,
                                "'%.40s' is none of planned, disaster, reconcile, test, undo", mode);
    p->plan->mode = ferry_strdup(mode);
    p->plan->attest = ferry_strdup(attest);
    return 0;
}

static int parse_topology(struct parsing *p, struct ferry_err *err)
{
    static const char *const known[] = {"name", "sha256", NULL};
    uint32_t v = FERRY_JSON_NONE;
    const char *name, *sha256 = "";
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "topology", FERRY_JSON_OBJECT, &v, err);
    if (r < 0 || v == FERRY_JSON_NONE)
        return r;
    r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "name", &name, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, v, "sha256", &sha256, err);
    if (r < 0)
        return r;
    if (sha256[0] && (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "sha256"), err,
                                "64 lower-case hex digits are expected");
    p->plan->topology_name = ferry_strdup(name);
    memcpy(p->plan->topology_sha256, sha256, strlen(sha256) + 1);
    return 0;
}

static int parse_warnings(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "warnings", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    p->plan->warnings = ferry_calloc(ferry_json_count(p->doc, list), sizeof *p->plan->warnings);
    FERRY_JSON_EACH(p->doc, list, v)
    {
        const char *text;
        r = ferry_json_string(p->doc, v, &text, err);
        if (r < 0)
            return r;
        p->plan->warnings[p->plan->n_warnings++] = ferry_strdup(text);
    }
    return 0;
}

static int parse_hooks(struct parsing *p, struct ferry_err *err)
{
    uint32_t v = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "hooks", FERRY_JSON_OBJECT, &v, err);
    return r < 0 || v == FERRY_JSON_NONE ? r : ferry_hooks_load(p->doc, v, &p->plan->hooks, err);
}

static int parse_override(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    static const char *const known[] = {"rule", "refused", NULL};
    const char *name, *refused = NULL;
    struct ferry_err why;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "rule", &name, err);
    uint32_t text = r < 0 ? FERRY_JSON_NONE : ferry_json_get(p->doc, v, "refused");
    if (r == 0 && text != FERRY_JSON_NONE && ferry_json_type(p->doc, text) != FERRY_JSON_NULL)
        r = ferry_json_string(p->doc, text, &refused, err);
    if (r < 0)
        return r;
    struct ferry_overrides *o = &p->plan->overrides;
    size_t before = o->n;
    if (ferry_overrides_add(o, name, &why) < 0)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "rule"), err, "%.300s", why.text);
    if (o->n == before)
        return ferry_json_error(p->doc, v, err, "rule %s stands twice", name);
    o->v[before].refused = ferry_strdup(refused);
    return 0;
}

static int parse_overrides(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "overrides", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    FERRY_JSON_EACH(p->doc, list, v)
    {
        r = parse_override(p, v, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_proof(struct parsing *p, struct ferry_err *err)
{
    static const char *const known[] = {"states", "certificate", NULL};
    uint32_t v = FERRY_JSON_NONE;
    const char *states = NULL, *certificate = NULL;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "proof", FERRY_JSON_OBJECT, &v, err);
    if (r < 0 || v == FERRY_JSON_NONE)
        return r;
    r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "states", &states, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, v, "certificate", &certificate, err);
    if (r < 0)
        return r;
    p->plan->proof_states = ferry_strdup(states);
    p->plan->proof_certificate = ferry_strdup(certificate);
    return 0;
}

static int parse_document(struct parsing *p, bool *ret_id_matches, struct ferry_err *err)
{
    const char *id = NULL;
    int r = parse_head(p, &id, err);
    if (r == 0)
        r = parse_topology(p, err);
    if (r == 0)
        r = parse_routers(p, err);
    if (r == 0)
        r = parse_lost(p, err);
    if (r == 0)
        r = parse_groups(p, err);
    if (r == 0)
        r = parse_names(p, err);
    if (r == 0)
        r = parse_stages(p, err);
    if (r == 0)
        r = parse_debts(p, err);
    if (r == 0)
        place_others(p->plan);
    if (r == 0)
        r = parse_addresses(p, err);
    if (r == 0)
        r = parse_hooks(p, err);
    if (r == 0)
        r = parse_overrides(p, err);
    if (r == 0)
        r = parse_warnings(p, err);
    if (r == 0)
        r = parse_proof(p, err);
    if (r < 0)
        return r;
    ferry_plan_seal(p->plan);
    if (ret_id_matches)
        *ret_id_matches = !id || !strcmp(id, p->plan->id); /* without an id it claims nothing */
    return 0;
}

static void parsing_clear(struct parsing *p)
{
    ferry_map_clear(&p->routers);
    ferry_map_clear(&p->groups);
    ferry_map_clear(&p->prefixes);
    ferry_plan_free(p->plan);
}

static int parse(struct ferry_json *doc, struct ferry_plan **ret, bool *ret_id_matches, struct ferry_err *err)
{
    FERRY_CLEANUP(parsing_clear) struct parsing p = {.doc = doc, .plan = ferry_calloc(1, sizeof *p.plan)};
    p.plan->pool = ferry_pool_new();
    int r = parse_document(&p, ret_id_matches, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(p.plan);
    return 0;
}

int ferry_plan_parse(const char *name, const char *text, size_t len, struct ferry_plan **ret,
                     bool *ret_id_matches, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_parse(name, text, len, NULL, NULL, &doc, err);
    return r < 0 ? r : parse(doc, ret, ret_id_matches, err);
}

int ferry_plan_load(const char *path, struct ferry_plan **ret, bool *ret_id_matches, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_load(path, NULL, NULL, &doc, err);
    return r < 0 ? r : parse(doc, ret, ret_id_matches, err);
}
