/* Loads the links of a topology; see load.h.  SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/mem.h"

#include <string.h>

/* Both ends have addresses of the family. */
static bool both_have(const struct ferry_loader *l, const struct ferry_link *link, uint8_t family)
{
    const struct ferry_end *ends[] = {&link->a, &link->b};
    size_t have = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct ferry_interface *f = &l->t->routers[ends[i]->router].interfaces[ends[i]->interface];
        for (size_t j = 0; j < f->n_addresses; j++) {
            if (f->addresses[j].addr.family == family) {
                have++;
                break;
            }
        }
    }
    return have == 2;
}

/* A family that both ends have must be usable, and there must be one. */
static void check_networks(struct ferry_loader *l, uint32_t endpoints, const struct ferry_link *link)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    bool usable = false;
    for (size_t i = 0; i < FERRY_COUNT(families); i++) {
        bool has = ferry_link_via(l->t, &link->a, &link->b, families[i]) != NULL;
        usable = usable || has;
        if (!has && both_have(l, link, families[i])) {
            ferry_json_error(l->doc, endpoints, &l->err, "the %s addresses of the two ends share no network",
                             families[i] == AF_INET ? "IPv4" : "IPv6");
            return;
        }
    }
    if (!usable)
        ferry_json_error(l->doc, endpoints, &l->err, "the two ends have no addresses of a common network");
}

/* Several links on an interface are a LAN; two between the same interfaces are a slip. */
static void take_ends(struct ferry_loader *l, uint32_t endpoints, const struct ferry_link *link)
{
    bool in_order = link->a.router < link->b.router;
    struct ferry_end ends[2] = {in_order ? link->a : link->b, in_order ? link->b : link->a};
    const void *key = ferry_json_arena(l->doc, ends, sizeof ends);
    for (size_t i = 0; i < 2; i++)
        (void)ferry_map_add(&l->links, (const struct ferry_end *)key + i, sizeof *ends, 0);
    if (ferry_map_add(&l->links, key, sizeof ends, 0) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, endpoints, &l->err, "there is a link between these two interfaces already");
}

static bool load_ends(struct ferry_loader *l, uint32_t object, uint32_t index)
{
    struct ferry_link *link = &l->t->links[index];
    uint32_t array;
    if (ferry_json_need(l->doc, object, "endpoints", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return false;
    if (ferry_json_count(l->doc, array) != 2) {
        ferry_json_error(l->doc, array, &l->err, "a link has two endpoints, found %u",
                         ferry_json_count(l->doc, array));
        return false;
    }
    uint32_t a = ferry_json_first(l->doc, array), b = ferry_json_next(l->doc, a);
    bool good_a = ferry_load_end(l, a, &link->a), good_b = ferry_load_end(l, b, &link->b);
    if (!good_a || !good_b)
        return false;
    if (link->a.router == link->b.router) {
        ferry_json_error(l->doc, array, &l->err, "both ends are on router '%s'",
                         l->t->routers[link->a.router].name);
        return false;
    }
    take_ends(l, array, link);
    check_networks(l, array, link);
    return true;
}

static void load_costs(struct ferry_loader *l, uint32_t object, struct ferry_link *link)
{
    uint32_t costs = FERRY_JSON_NONE, one = ferry_json_get(l->doc, object, "cost");
    int64_t forward = 1, backward = 1;
    if (ferry_json_opt(l->doc, object, "costs", FERRY_JSON_ARRAY, &costs, &l->err) < 0)
        return;
    if (costs != FERRY_JSON_NONE && one != FERRY_JSON_NONE) {
        ferry_json_error_key(l->doc, costs, &l->err, "'cost' and 'costs' exclude each other");
    } else if (costs != FERRY_JSON_NONE && ferry_json_count(l->doc, costs) != 2) {
        ferry_json_error(l->doc, costs, &l->err, "[forward, backward] is expected, found %u elements",
                         ferry_json_count(l->doc, costs));
    } else if (costs != FERRY_JSON_NONE) {
        uint32_t first = ferry_json_first(l->doc, costs);
        (void)!ferry_json_int(l->doc, first, 1, UINT32_MAX, &forward, &l->err);
        (void)!ferry_json_int(l->doc, ferry_json_next(l->doc, first), 1, UINT32_MAX, &backward, &l->err);
    } else if (ferry_json_opt_int(l->doc, object, "cost", 1, UINT32_MAX, &forward, &l->err) == 0) {
        backward = forward;
    }
    link->cost_ab = (uint32_t)forward;
    link->cost_ba = (uint32_t)backward;
}

void ferry_load_links(struct ferry_loader *l, uint32_t array)
{
    static const char *const keys[] = {"endpoints", "cost",           "costs", "kind",
                                       "tunnel",    "local-networks", NULL};
    l->t->links = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->t->links);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        uint32_t index = (uint32_t)l->t->n_links++;
        if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
            continue;
        (void)!ferry_json_keys(l->doc, v, keys, &l->err);
        load_costs(l, v, &l->t->links[index]);
        ferry_load_tunnel(l, v, index, load_ends(l, v, index));
    }
}
