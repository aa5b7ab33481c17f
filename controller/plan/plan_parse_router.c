/* Routers of the plan document, and which of them are lost; see plan_parse.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include "model/driver_config.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { ROUTERS_MAX = 1000000, VRFS_MAX = 65536 };

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

/* "vrfs" of a router: {NAME: TABLE}. */
static int parse_vrfs(struct parsing *p, uint32_t v, struct ferry_driver_config *ret, struct ferry_err *err)
{
    uint32_t vrfs = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, v, "vrfs", FERRY_JSON_OBJECT, &vrfs, err);
    if (r < 0 || vrfs == FERRY_JSON_NONE)
        return r;
    if (ferry_json_count(p->doc, vrfs) > VRFS_MAX)
        return ferry_json_error(p->doc, vrfs, err, "more than %d VRFs", VRFS_MAX);
    ret->vrfs = ferry_calloc(ferry_json_count(p->doc, vrfs), sizeof *ret->vrfs);
    FERRY_JSON_EACH(p->doc, vrfs, one)
    {
        const char *name = ferry_json_key(p->doc, one);
        struct ferry_vrf *vrf = &ret->vrfs[ret->n_vrfs];
        int64_t table;
        if (!ferry_driver_vrf_ok(name))
            return ferry_json_error_key(p->doc, one, err, "'%.80s' cannot be the name of a VRF", name);
        r = ferry_json_int(p->doc, one, 1, UINT32_MAX, &table, err);
        if (r < 0)
            return r;
        if (table == FERRY_TABLE_MAIN || ferry_driver_config_vrf(ret, (uint32_t)table))
            return ferry_json_error(p->doc, one, err, "table %u is no other VRF's, nor main",
                                    (unsigned)table);
        snprintf(vrf->name, sizeof vrf->name, "%s", name);
        vrf->table = (uint32_t)table;
        ret->n_vrfs++;
    }
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
    static const char *const known[] = {"site", "driver", "routing", "origination", "vrfs", NULL};
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
    if (r == 0)
        r = parse_routing(p, v, &router->driver, err);
    return r < 0 ? r : parse_vrfs(p, v, &router->driver, err);
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

int parse_routers(struct parsing *p, struct ferry_err *err)
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

int parse_lost(struct parsing *p, struct ferry_err *err)
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
