/* Groups of the plan document: subnets, gateways, what routers hold and fall to; see plan_parse.h.
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include <ferry/device.h>

#include <stdio.h>
#include <string.h>

enum { SUBNETS_MAX = 1000000 };

/* What it brings along. */
static int parse_brought(struct parsing *p, uint32_t v, struct ferry_gateway *ret, struct ferry_err *err)
{
    const char *make = "";
    struct ferry_device device;
    int r = ferry_json_opt_string(p->doc, v, "make", &make, err);
    if (r == 0)
        r = ferry_json_opt_bool(p->doc, v, "rules", &ret->rules, err);
    if (r == 0)
        r = ferry_json_opt_bool(p->doc, v, "isolated", &ret->isolated, err);
    if (r < 0)
        return r;
    if (*make && !ferry_device_parse(make, &device))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "make"), err,
                                "'%.80s' is neither 'vlan PARENT ID' nor 'bridge PORT …'", make);
    if ((*make || ret->rules || ret->isolated) && ret->via.family)
        return ferry_json_error(p->doc, v, err, "only a connected gateway brings something along");
    snprintf(ret->make, sizeof ret->make, "%s", make);
    return 0;
}

static int parse_gateway(struct parsing *p, uint32_t v, const struct ferry_plan_subnet *subnet,
                         struct ferry_plan_gateway *ret, struct ferry_err *err)
{
    static const char *const known[] = {"router", "interface", "address", "via", "make",
                                        "rules",  "isolated",  "native",  NULL};
    const char *name;
    uint32_t at, router = 0;
    int r = parse_named(p, v, known, "router", &at, &name, err);
    if (r == 0)
        r = parse_router(p, at, name, false, &router, err);
    if (r < 0)
        return r;
    ret->gateway = (struct ferry_gateway){.router = router, .interface = FERRY_NONE};
    at = ferry_json_get(p->doc, v, "interface");
    if (at != FERRY_JSON_NONE && (r = parse_dev(p, at, ret->interface, err)) < 0)
        return r;
    at = ferry_json_get(p->doc, v, "address");
    if (at != FERRY_JSON_NONE && (r = parse_prefix(p, at, false, &ret->gateway.address, err)) < 0)
        return r;
    if (at != FERRY_JSON_NONE && (ret->gateway.address.len != subnet->prefix.len ||
                                  !ferry_prefix_contains(&subnet->prefix, &ret->gateway.address.addr)))
        return ferry_json_error(p->doc, at, err, "the address is not one of the subnet's, with its length");
    uint32_t via = ferry_json_get(p->doc, v, "via");
    if (via != FERRY_JSON_NONE && (r = parse_addr(p, via, &ret->gateway.via, err)) < 0)
        return r;
    if ((at == FERRY_JSON_NONE) == (via == FERRY_JSON_NONE))
        return ferry_json_error(p->doc, v, err, "a gateway needs either an address or a via");
    if (via == FERRY_JSON_NONE && !ret->interface[0])
        return ferry_json_error(p->doc, v, err, "a gateway with an address needs an interface");
    r = parse_brought(p, v, &ret->gateway, err);
    if (r < 0)
        return r;
    at = ferry_json_get(p->doc, v, "native");
    if (at != FERRY_JSON_NONE) {
        FERRY_AUTOFREE uint8_t *native = NULL;
        struct ferry_entry e = {.type = FERRY_GATEWAY};
        r = parse_native(p, at, &native, &e.native_len, err);
        if (r < 0)
            return r;
        e.native = native;
        ret->attached = ferry_pool_entry(p->plan->pool, &e);
    }
    return 0;
}

static int parse_gateways(struct parsing *p, uint32_t v, struct ferry_plan_subnet *subnet,
                          struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, v, "gateways", FERRY_JSON_ARRAY, &list, err);
    if (r < 0 || list == FERRY_JSON_NONE)
        return r;
    subnet->gateways = ferry_calloc(ferry_json_count(p->doc, list), sizeof *subnet->gateways);
    FERRY_JSON_EACH(p->doc, list, child)
    {
        struct ferry_plan_gateway *g = &subnet->gateways[subnet->n_gateways];
        r = parse_gateway(p, child, subnet, g, err);
        if (r < 0)
            return r;
        for (size_t i = 0; i < subnet->n_gateways; i++)
            if (subnet->gateways[i].gateway.router == g->gateway.router)
                return ferry_json_error(p->doc, child, err, "a second gateway on the same router");
        subnet->n_gateways++;
    }
    return 0;
}

static int parse_subnet(struct parsing *p, uint32_t v, struct ferry_group *group, struct ferry_err *err)
{
    static const char *const known[] = {"name", "prefix", "gateways", NULL};
    struct ferry_plan_subnet *s = &group->subnets[group->n_subnets];
    const char *name;
    uint32_t at, prefix = FERRY_JSON_NONE;
    int r = parse_named(p, v, known, "name", &at, &name, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, "prefix", FERRY_JSON_STRING, &prefix, err);
    if (r == 0)
        r = parse_prefix(p, prefix, true, &s->prefix, err);
    if (r < 0)
        return r;
    s->name = ferry_strdup(name);
    group->n_subnets++;
    if (s->prefix.addr.family != group->subnets[0].prefix.addr.family)
        return ferry_json_error(p->doc, prefix, err, "IPv4 and IPv6 cannot share a group");
    /* Into the map go the bytes of an array that does not move any more. */
    if (ferry_map_add(&p->prefixes, &s->prefix, sizeof s->prefix, 0) != FERRY_MAP_NONE)
        return ferry_json_error(p->doc, prefix, err, "this prefix is there already");
    return parse_gateways(p, v, s, err);
}

int parse_initial(struct parsing *p, uint32_t v, struct ferry_group *group, struct ferry_err *err)
{
    uint32_t initial, router = 0;
    int r = ferry_json_need(p->doc, v, "initial", FERRY_JSON_OBJECT, &initial, err);
    if (r < 0)
        return r;
    FERRY_JSON_EACH(p->doc, initial, row)
    {
        r = parse_router(p, row, ferry_json_key(p->doc, row), true, &router, err);
        if (r == 0)
            r = parse_stack(p, row, &group->initial[router], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_covers(struct parsing *p, uint32_t v, struct ferry_group *group, struct ferry_err *err)
{
    static const char *const known[] = {"prefix", "entry", NULL};
    uint32_t covers = FERRY_JSON_NONE, router = 0;
    int r = ferry_json_opt(p->doc, v, "covers", FERRY_JSON_OBJECT, &covers, err);
    if (r < 0 || covers == FERRY_JSON_NONE)
        return r;
    FERRY_JSON_EACH(p->doc, covers, row)
    {
        uint32_t entry = FERRY_JSON_NONE;
        r = parse_router(p, row, ferry_json_key(p->doc, row), true, &router, err);
        if (r == 0)
            r = ferry_json_want(p->doc, row, FERRY_JSON_OBJECT, err);
        if (r == 0)
            r = ferry_json_keys(p->doc, row, known, err);
        if (r == 0)
            r = ferry_json_need(p->doc, row, "entry", FERRY_JSON_OBJECT, &entry, err);
        if (r == 0)
            r = parse_entry(p, entry, NULL, &group->covers[router].entry, err);
        uint32_t prefix = r < 0 ? FERRY_JSON_NONE : ferry_json_get(p->doc, row, "prefix");
        if (prefix != FERRY_JSON_NONE)
            r = parse_prefix(p, prefix, true, &group->covers[router].prefix, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A site's name, or null (or absent): nowhere. */
static int parse_site(struct parsing *p, uint32_t v, const char *key, char **ret, struct ferry_err *err)
{
    uint32_t at = ferry_json_get(p->doc, v, key);
    const char *name;
    if (at == FERRY_JSON_NONE || ferry_json_type(p->doc, at) == FERRY_JSON_NULL)
        return 0;
    int r = parse_name(p, at, &name, err);
    if (r == 0)
        *ret = ferry_strdup(name);
    return r;
}

static int parse_group_head(struct parsing *p, uint32_t v, struct ferry_group *group, struct ferry_err *err)
{
    static const char *const known[] = {"id",      "from",    "to",     "stretched",
                                        "subnets", "initial", "covers", NULL};
    const char *id;
    uint32_t at;
    int r = parse_named(p, v, known, "id", &at, &id, err);
    if (r < 0)
        return r;
    group->id = ferry_strdup(id);
    if (ferry_map_add(&p->groups, group->id, strlen(group->id), (uint32_t)p->plan->n_groups - 1) !=
        FERRY_MAP_NONE)
        return ferry_json_error(p->doc, at, err, "there is a group '%s' already", id);
    r = parse_site(p, v, "from", &group->from, err);
    if (r == 0)
        r = parse_site(p, v, "to", &group->to, err);
    return r < 0 ? r : ferry_json_opt_bool(p->doc, v, "stretched", &group->stretched, err);
}

static int parse_group(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    struct ferry_plan *plan = p->plan;
    struct ferry_group *group = &plan->groups[plan->n_groups++];
    uint32_t subnets;
    int r = parse_group_head(p, v, group, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, "subnets", FERRY_JSON_ARRAY, &subnets, err);
    if (r < 0)
        return r;
    uint32_t count = ferry_json_count(p->doc, subnets);
    if (count < 1 || count > SUBNETS_MAX)
        return ferry_json_error(p->doc, subnets, err, "1 to %d subnets are expected", SUBNETS_MAX);
    group->subnets = ferry_calloc(count, sizeof *group->subnets);
    group->initial = ferry_calloc(plan->n_routers, sizeof *group->initial);
    group->covers = ferry_calloc(plan->n_routers, sizeof *group->covers);
    FERRY_JSON_EACH(p->doc, subnets, s)
    {
        r = parse_subnet(p, s, group, err);
        if (r < 0)
            return r;
    }
    r = parse_initial(p, v, group, err);
    return r < 0 ? r : parse_covers(p, v, group, err);
}

int parse_groups(struct parsing *p, struct ferry_err *err)
{
    uint32_t groups;
    int r = ferry_json_need(p->doc, FERRY_JSON_ROOT, "groups", FERRY_JSON_ARRAY, &groups, err);
    if (r < 0)
        return r;
    uint64_t count = ferry_json_count(p->doc, groups);
    if (count > SUBNETS_MAX || count * p->plan->n_routers > UINT64_C(1) << 28)
        return ferry_json_error(p->doc, groups, err, "too many groups for so many routers");
    p->plan->groups = ferry_calloc(count, sizeof *p->plan->groups);
    FERRY_JSON_EACH(p->doc, groups, group)
    {
        r = parse_group(p, group, err);
        if (r < 0)
            return r;
    }
    return 0;
}
