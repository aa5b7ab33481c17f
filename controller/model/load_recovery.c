/* Loads the recovery plans of a topology: "recovery-plans"; see load.h and ferry/recovery.h.
 *
 * A network or subnet stands in a plan once: its groups are transactions one after the other, and the second would find
 * nothing to do.
 *
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/mem.h"
#include "model/load_hooks.h"

#include <ferry/networks.h>
#include <ferry/recovery.h>
#include <string.h>

struct loading {
    struct ferry_loader *l;
    struct ferry_map networks; /* by name */
    struct ferry_map used;     /* of the plan in hand: "network NAME", "subnet NAME" */
};

static void clear(struct loading *o)
{
    ferry_map_clear(&o->networks);
    ferry_map_clear(&o->used);
}

static uint32_t find(struct loading *o, uint32_t v, bool network)
{
    struct ferry_loader *l = o->l;
    const struct ferry_map *map = network ? &o->networks : &l->subnets;
    const char *what = network ? "VM network" : "subnet", *name = NULL;
    if (ferry_json_string(l->doc, v, &name, &l->err) < 0)
        return FERRY_NONE;
    uint32_t index = ferry_map_get(map, name, strlen(name));
    FERRY_AUTOFREE char *key = ferry_asprintf("%s %s", what, name);
    size_t len = strlen(key);
    if (index == FERRY_MAP_NONE)
        ferry_json_error(l->doc, v, &l->err, "there is no %s '%.80s'", what, name);
    else if (ferry_map_add(&o->used, ferry_json_arena(l->doc, key, len), len, index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, v, &l->err, "'%.80s' stands in this recovery plan already", name);
    else if (network && l->t->networks->networks[index].mapped == FERRY_NONE)
        ferry_json_error(l->doc, v, &l->err, "'%.80s' is not mapped, so nothing follows", name);
    else
        return index;
    return FERRY_NONE;
}

static size_t load_list(struct loading *o, uint32_t object, const char *key, bool network, uint32_t **ret)
{
    struct ferry_loader *l = o->l;
    uint32_t array = FERRY_JSON_NONE;
    size_t n = 0;
    if (ferry_json_opt(l->doc, object, key, FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return 0;
    *ret = ferry_calloc(ferry_json_count(l->doc, array), sizeof **ret);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        uint32_t index = find(o, v, network);
        if (index != FERRY_NONE)
            (*ret)[n++] = index;
    }
    return n;
}

static void load_group(struct loading *o, uint32_t v, struct ferry_map *names,
                       struct ferry_recovery_group *group, uint32_t index)
{
    static const char *const keys[] = {"name", "networks", "subnets", "to", "hooks", NULL};
    struct ferry_loader *l = o->l;
    uint32_t hooks = FERRY_JSON_NONE;
    size_t before = l->findings->n;
    group->to = FERRY_NONE;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    const char *name = ferry_load_name(l, v);
    if (name && ferry_map_add(names, name, strlen(name), index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "name"), &l->err, "there is a group '%s' already",
                         name);
    group->name = ferry_strdup(name ? name : "?");
    group->n_networks = load_list(o, v, "networks", true, &group->networks);
    group->n_subnets = load_list(o, v, "subnets", false, &group->subnets);
    bool to = ferry_json_get(l->doc, v, "to") != FERRY_JSON_NONE;
    if (to || group->n_subnets)
        group->to = ferry_load_reference(l, v, "to", &l->sites, "site");
    if (to && !group->n_subnets && l->findings->n == before)
        ferry_json_error(l->doc, v, &l->err,
                         "'to' goes with 'subnets': networks go where they are mapped to");
    if (!group->n_networks && !group->n_subnets && l->findings->n == before)
        ferry_json_error(l->doc, v, &l->err, "a group has networks or subnets");
    if (ferry_json_opt(l->doc, v, "hooks", FERRY_JSON_OBJECT, &hooks, &l->err) == 0 &&
        hooks != FERRY_JSON_NONE) {
        group->own_hooks = true;
        (void)!ferry_hooks_load(l->doc, hooks, &group->hooks, &l->err);
    }
}

static void load_plan(struct loading *o, uint32_t v, struct ferry_map *names,
                      struct ferry_recovery_plan *plan, uint32_t index)
{
    static const char *const keys[] = {"name", "groups", NULL};
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map groups = {0};
    struct ferry_loader *l = o->l;
    uint32_t array = FERRY_JSON_NONE;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    const char *name = ferry_load_name(l, v);
    if (name && ferry_map_add(names, name, strlen(name), index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "name"), &l->err,
                         "there is a recovery plan '%s' already", name);
    plan->name = ferry_strdup(name ? name : "?");
    if (ferry_json_need(l->doc, v, "groups", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    if (ferry_json_count(l->doc, array) == 0)
        ferry_json_error(l->doc, array, &l->err, "a recovery plan has one group or more");
    plan->groups = ferry_calloc(ferry_json_count(l->doc, array), sizeof *plan->groups);
    ferry_map_clear(&o->used);
    FERRY_JSON_EACH(l->doc, array, group)
    {
        if (ferry_load_full(l))
            return;
        uint32_t at = (uint32_t)plan->n_groups++;
        load_group(o, group, &groups, &plan->groups[at], at);
    }
}

void ferry_load_recovery(struct ferry_loader *l)
{
    FERRY_CLEANUP(clear) struct loading o = {.l = l};
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map names = {0};
    uint32_t array = FERRY_JSON_NONE;
    const struct ferry_networks *n = l->t->networks;
    if (ferry_json_opt(l->doc, FERRY_JSON_ROOT, "recovery-plans", FERRY_JSON_ARRAY, &array, &l->err) < 0 ||
        array == FERRY_JSON_NONE)
        return;
    for (uint32_t i = 0; n && i < n->n_networks; i++)
        if (n->networks[i].name)
            ferry_map_add(&o.networks, n->networks[i].name, strlen(n->networks[i].name), i);
    struct ferry_recovery_plans *plans = l->t->recovery = ferry_calloc(1, sizeof *plans);
    plans->v = ferry_calloc(ferry_json_count(l->doc, array), sizeof *plans->v);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        uint32_t index = (uint32_t)plans->n++;
        load_plan(&o, v, &names, &plans->v[index], index);
    }
}

/* ---- The end, and names. ---- */

void ferry_recovery_plans_free(struct ferry_recovery_plans *plans)
{
    for (size_t i = 0; plans && i < plans->n; i++) {
        struct ferry_recovery_plan *plan = &plans->v[i];
        for (size_t k = 0; k < plan->n_groups; k++) {
            free(plan->groups[k].name);
            free(plan->groups[k].networks);
            free(plan->groups[k].subnets);
            ferry_hooks_clear(&plan->groups[k].hooks);
        }
        free(plan->groups);
        free(plan->name);
    }
    free(plans ? plans->v : NULL);
    free(plans);
}

const struct ferry_recovery_plan *ferry_recovery_plan_find(const struct ferry_recovery_plans *plans,
                                                           const char *name)
{
    for (size_t i = 0; plans && i < plans->n; i++)
        if (strcmp(plans->v[i].name, name) == 0)
            return &plans->v[i];
    return NULL;
}
