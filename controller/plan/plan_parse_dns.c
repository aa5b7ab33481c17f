/* Names of the plan document whose records change, and their record sets; see plan_parse.h.
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include <ferry/dns.h>

#include <string.h>

enum { NAMES_MAX = 1000000, RECORDS_MAX = 1024 };

int parse_record(struct parsing *p, uint32_t v, uint32_t *ret, struct ferry_err *err)
{
    const char *name;
    int r = ferry_json_need_string(p->doc, v, "record", &name, err);
    if (r < 0)
        return r;
    *ret = ferry_dns_type_parse(name);
    return *ret ? 0
                : ferry_json_error(p->doc, ferry_json_get(p->doc, v, "record"), err,
                                   "'%.40s' is none of A, AAAA, PTR", name);
}

static void clear(struct ferry_rrset *set)
{
    ferry_rrset_clear(set);
}

int parse_rrset(struct parsing *p, uint32_t v, uint32_t type, char **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(clear) struct ferry_rrset set = {0};
    int64_t ttl = 0;
    uint32_t list;
    int r = ferry_json_need_int(p->doc, v, "ttl", 0, FERRY_DNS_TTL_MOST, &ttl, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, "data", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    uint32_t n = ferry_json_count(p->doc, list);
    if (n < 1 || n > RECORDS_MAX)
        return ferry_json_error(p->doc, list, err, "1 to %d records are expected", RECORDS_MAX);
    set.ttl = (uint32_t)ttl;
    FERRY_JSON_EACH(p->doc, list, child)
    {
        const char *text;
        r = ferry_json_string(p->doc, child, &text, err);
        if (r < 0)
            return r;
        if (!ferry_dns_data_ok(type, text))
            return ferry_json_error(p->doc, child, err, "'%.80s' cannot be the data of a record %s", text,
                                    ferry_dns_type_name(type));
        if (ferry_rrset_has(&set, text))
            return ferry_json_error(p->doc, child, err, "'%.80s' stands twice", text);
        ferry_rrset_add(&set, text);
    }
    *ret = ferry_rrset_text(&set);
    return 0;
}

static int parse_one(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    static const char *const known[] = {"id", "name", "initial", NULL};
    struct ferry_plan *plan = p->plan;
    struct ferry_group *group = &plan->groups[plan->n_groups++];
    const char *id, *name;
    char canonical[FERRY_DNS_NAME_LEN];
    uint32_t at;
    group->dns = true;
    int r = parse_named(p, v, known, "id", &at, &id, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "name", &name, err);
    if (r < 0)
        return r;
    group->id = ferry_strdup(id);
    if (ferry_map_add(&p->groups, group->id, strlen(group->id), (uint32_t)plan->n_groups - 1) !=
        FERRY_MAP_NONE)
        return ferry_json_error(p->doc, at, err, "there is a group '%s' already", id);
    if (!ferry_dns_name(name, canonical) || strcmp(canonical, name) != 0)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "name"), err,
                                "'%.80s' is no domain name in lower case with a dot at its end", name);
    group->subnets = ferry_calloc(group->n_subnets = 1, sizeof *group->subnets);
    group->subnets[0].name = ferry_strdup(name);
    group->initial = ferry_calloc(plan->n_routers, sizeof *group->initial);
    group->covers = ferry_calloc(plan->n_routers, sizeof *group->covers);
    /* Into the map goes what stays where it is; a prefix's bytes are no name's. */
    if (ferry_map_add(&p->prefixes, group->subnets[0].name, strlen(name), 0) != FERRY_MAP_NONE)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "name"), err, "this name is there already");
    return parse_initial(p, v, group, err);
}

int parse_names(struct parsing *p, struct ferry_err *err)
{
    uint32_t names = FERRY_JSON_NONE;
    struct ferry_plan *plan = p->plan;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "names", FERRY_JSON_ARRAY, &names, err);
    if (r < 0 || names == FERRY_JSON_NONE)
        return r;
    uint64_t count = ferry_json_count(p->doc, names);
    if (count > NAMES_MAX || (count + plan->n_groups) * plan->n_routers > UINT64_C(1) << 28)
        return ferry_json_error(p->doc, names, err, "too many names for so many routers");
    plan->groups = ferry_realloc(plan->groups, count + plan->n_groups, sizeof *plan->groups);
    memset(plan->groups + plan->n_groups, 0, count * sizeof *plan->groups);
    FERRY_JSON_EACH(p->doc, names, v)
    {
        r = parse_one(p, v, err);
        if (r < 0)
            return r;
    }
    return 0;
}
