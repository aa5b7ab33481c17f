/* Loads what a topology says of networks: "servers", "logical-networks", "clouds", "vm-networks", "mappings";
 * and has the machines loaded (load_workloads.c).  See load.h and ferry/networks.h.
 *
 * A topology without any of these sections has no networks at all (NULL).
 *
 * SPDX-License-Identifier: MIT */
#include "model/load_networks.h"

#include "base/mem.h"

#include <string.h>

#define RANGES_MAX 1024 /* of one network: their overlaps are looked for pair by pair */

char *ferry_load_new_name(struct ferry_loader *l, uint32_t object, struct ferry_map *map, uint32_t index,
                          const char *what)
{
    const char *name = ferry_load_name(l, object);
    if (!name)
        return ferry_strdup("?");
    if (ferry_map_add(map, name, strlen(name), index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, ferry_json_get(l->doc, object, "name"), &l->err, "there is %s '%s' already",
                         what, name);
    return ferry_strdup(name);
}

uint32_t *ferry_load_one_or_many(struct ferry_loader *l, uint32_t object, const char *one, const char *many,
                                 size_t *ret_n)
{
    uint32_t single = ferry_json_get(l->doc, object, one), array = FERRY_JSON_NONE;
    size_t n = 0;
    *ret_n = 0;
    if (ferry_json_opt(l->doc, object, many, FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return NULL;
    if (single != FERRY_JSON_NONE && array != FERRY_JSON_NONE) {
        ferry_json_error_key(l->doc, array, &l->err, "'%s' and '%s' exclude each other", one, many);
        return NULL;
    }
    if (array != FERRY_JSON_NONE && ferry_json_count(l->doc, array) == 0)
        ferry_json_error(l->doc, array, &l->err, "'%s' is empty", many);
    uint32_t *list = ferry_calloc(1 + ferry_json_count(l->doc, array), sizeof *list);
    if (single != FERRY_JSON_NONE)
        list[n++] = single;
    FERRY_JSON_EACH(l->doc, array, v)
    list[n++] = v;
    *ret_n = n;
    return list;
}

/* The index that a string names, once in its array; FERRY_NONE after a finding. */
static uint32_t load_member(struct ferry_loader *l, uint32_t v, const struct ferry_map *map, const char *what,
                            const uint32_t *seen, size_t n_seen)
{
    const char *name = NULL;
    if (ferry_json_string(l->doc, v, &name, &l->err) < 0)
        return FERRY_NONE;
    uint32_t index = ferry_map_get(map, name, strlen(name));
    if (index == FERRY_MAP_NONE) {
        ferry_json_error(l->doc, v, &l->err, "there is no %s '%.80s'", what, name);
        return FERRY_NONE;
    }
    for (size_t i = 0; i < n_seen; i++)
        if (seen[i] == index) {
            ferry_json_error(l->doc, v, &l->err, "'%.80s' stands here already", name);
            return FERRY_NONE;
        }
    return index;
}

/* ---- Servers, logical networks, clouds. ---- */

static void load_server(struct ferry_network_loader *nl, uint32_t v, uint32_t index)
{
    static const char *const keys[] = {"name", "site", "sites", NULL};
    struct ferry_loader *l = nl->l;
    struct ferry_server *s = &nl->n->servers[index];
    size_t n;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    s->name = ferry_load_new_name(l, v, &nl->servers, index, "a server");
    FERRY_AUTOFREE uint32_t *sites = ferry_load_one_or_many(l, v, "site", "sites", &n);
    s->sites = ferry_calloc(n, sizeof *s->sites);
    for (size_t i = 0; i < n; i++) {
        uint32_t site = load_member(l, sites[i], &l->sites, "site", s->sites, s->n_sites);
        if (site != FERRY_NONE)
            s->sites[s->n_sites++] = site;
    }
    if (sites && n == 0 && ferry_json_get(l->doc, v, "sites") == FERRY_JSON_NONE)
        ferry_json_error(l->doc, v, &l->err, "'site' or 'sites' is missing");
}

static void load_logical(struct ferry_network_loader *nl, uint32_t v, uint32_t index)
{
    static const char *const keys[] = {"name", NULL};
    struct ferry_loader *l = nl->l;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    nl->n->logical[index].name = ferry_load_new_name(l, v, &nl->logical, index, "a logical network");
}

static void load_cloud(struct ferry_network_loader *nl, uint32_t v, uint32_t index)
{
    static const char *const keys[] = {"name", "server", "protected-by", "logical-networks", NULL};
    struct ferry_loader *l = nl->l;
    struct ferry_cloud *c = &nl->n->clouds[index];
    uint32_t array = FERRY_JSON_NONE;
    c->server = c->protected_by = FERRY_NONE;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    c->name = ferry_load_new_name(l, v, &nl->clouds, index, "a cloud");
    c->server = ferry_load_reference(l, v, "server", &nl->servers, "server");
    if (ferry_json_opt(l->doc, v, "logical-networks", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    c->logical = ferry_calloc(ferry_json_count(l->doc, array), sizeof *c->logical);
    FERRY_JSON_EACH(l->doc, array, member)
    {
        uint32_t logical = load_member(l, member, &nl->logical, "logical network", c->logical, c->n_logical);
        if (logical != FERRY_NONE)
            c->logical[c->n_logical++] = logical;
    }
}

/* After all clouds: one may be protected by a later one. */
static void load_protection(struct ferry_network_loader *nl, uint32_t v, uint32_t index)
{
    struct ferry_loader *l = nl->l;
    uint32_t by = ferry_json_get(l->doc, v, "protected-by");
    if (by == FERRY_JSON_NONE)
        return;
    uint32_t cloud = ferry_load_reference(l, v, "protected-by", &nl->clouds, "cloud");
    if (cloud == index)
        ferry_json_error(l->doc, by, &l->err, "a cloud does not protect itself");
    nl->n->clouds[index].protected_by = cloud;
}

/* ---- VM networks. ---- */

static bool ranges_overlap(const struct ferry_range *a, const struct ferry_range *b)
{
    return ferry_range_contains(a, &b->first) || ferry_range_contains(b, &a->first);
}

static bool load_ends(struct ferry_loader *l, uint32_t v, struct ferry_range *ret)
{
    char first[FERRY_ADDR_STRLEN];
    const char *text = NULL, *last;
    struct ferry_err why;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return false;
    const char *dash = strchr(text, '-');
    size_t len = dash ? (size_t)(dash - text) : strlen(text);
    last = dash ? dash + 1 : text;
    if (len >= sizeof first) {
        ferry_json_error(l->doc, v, &l->err, "'%.80s' is no range: FIRST-LAST, or one address", text);
        return false;
    }
    memcpy(first, text, len);
    first[len] = '\0';
    if (ferry_addr_parse(first, &ret->first, &why) < 0 || ferry_addr_parse(last, &ret->last, &why) < 0) {
        ferry_json_error(l->doc, v, &l->err, "'%.80s' is no range: FIRST-LAST, or one address", text);
        return false;
    }
    if (ret->first.family != ret->last.family) {
        ferry_json_error(l->doc, v, &l->err, "%s is of two families", text);
        return false;
    }
    if (ferry_addr_compare(&ret->first, &ret->last) > 0) {
        ferry_json_error(l->doc, v, &l->err, "%s does not go upwards", text);
        return false;
    }
    return true;
}

/* In one prefix of one subnet, and without the addresses that no machine can have. */
static bool check_range(struct ferry_loader *l, uint32_t v, const struct ferry_vm_network *network,
                        const struct ferry_range *range)
{
    char text[FERRY_RANGE_STRLEN], buf[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < network->n_subnets; i++)
        for (size_t j = 0; j < network->subnets[i].n_prefixes; j++) {
            const struct ferry_prefix *p = &network->subnets[i].prefixes[j];
            if (!ferry_prefix_contains(p, &range->first))
                continue;
            struct ferry_prefix first = {range->first, p->len}, last = {range->last, p->len};
            if (!ferry_prefix_contains(p, &range->last))
                ferry_json_error(l->doc, v, &l->err, "%s ends outside of %s", ferry_range_text(range, text),
                                 ferry_prefix_text(p, buf));
            else if (ferry_load_is_network(&first))
                ferry_json_error(l->doc, v, &l->err, "%s begins with the network's own address",
                                 ferry_range_text(range, text));
            else if (ferry_load_is_broadcast(&last))
                ferry_json_error(l->doc, v, &l->err, "%s ends with the broadcast address",
                                 ferry_range_text(range, text));
            else
                return true;
            return false;
        }
    ferry_json_error(l->doc, v, &l->err, "%s is in no subnet of the network", ferry_range_text(range, text));
    return false;
}

static const struct ferry_range *overlapping(const struct ferry_range *ranges, size_t n,
                                             const struct ferry_range *range)
{
    for (size_t i = 0; i < n; i++)
        if (ranges_overlap(&ranges[i], range))
            return &ranges[i];
    return NULL;
}

/* "pool", then "dhcp": no address is in two of their ranges. */
static void load_ranges(struct ferry_loader *l, uint32_t object, struct ferry_vm_network *network, bool dhcp)
{
    char text[FERRY_RANGE_STRLEN], other[FERRY_RANGE_STRLEN];
    uint32_t array = FERRY_JSON_NONE;
    size_t *n = dhcp ? &network->n_dhcp : &network->n_pool;
    if (ferry_json_opt(l->doc, object, dhcp ? "dhcp" : "pool", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    if (ferry_json_count(l->doc, array) > RANGES_MAX) {
        ferry_json_error(l->doc, array, &l->err, "more than %d ranges", RANGES_MAX);
        return;
    }
    struct ferry_range *list = ferry_calloc(ferry_json_count(l->doc, array), sizeof *list);
    *(dhcp ? &network->dhcp : &network->pool) = list;
    FERRY_JSON_EACH(l->doc, array, v)
    {
        struct ferry_range range;
        if (ferry_load_full(l))
            return;
        if (!load_ends(l, v, &range) || !check_range(l, v, network, &range))
            continue;
        const struct ferry_range *twice = overlapping(network->pool, network->n_pool, &range);
        if (!twice)
            twice = overlapping(network->dhcp, network->n_dhcp, &range);
        if (twice)
            ferry_json_error(l->doc, v, &l->err, "%s overlaps %s", ferry_range_text(&range, text),
                             ferry_range_text(twice, other));
        else
            list[(*n)++] = range;
    }
}

/* Subnets of one network are told apart by their addresses. */
static void check_overlap(struct ferry_loader *l, uint32_t v, const struct ferry_vm_network *network,
                          const struct ferry_prefix *p)
{
    char buf[FERRY_PREFIX_STRLEN], other[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < network->n_subnets; i++)
        for (size_t j = 0; j < network->subnets[i].n_prefixes; j++) {
            const struct ferry_prefix *q = &network->subnets[i].prefixes[j];
            if (ferry_prefix_covers(p, q) || ferry_prefix_covers(q, p)) {
                ferry_json_error(l->doc, v, &l->err, "%s overlaps %s of subnet '%s'",
                                 ferry_prefix_text(p, buf), ferry_prefix_text(q, other),
                                 network->subnets[i].name);
                return;
            }
        }
}

static void load_subnet(struct ferry_loader *l, uint32_t v, struct ferry_vm_network *network,
                        struct ferry_map *names)
{
    static const char *const keys[] = {"name", "prefix", "prefixes", NULL};
    struct ferry_network_subnet *s = &network->subnets[network->n_subnets];
    size_t n;
    s->name = NULL;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    s->name = ferry_load_new_name(l, v, names, (uint32_t)network->n_subnets, "a subnet");
    network->n_subnets++;
    FERRY_AUTOFREE uint32_t *prefixes = ferry_load_one_or_many(l, v, "prefix", "prefixes", &n);
    s->prefixes = ferry_calloc(n, sizeof *s->prefixes);
    for (size_t i = 0; i < n; i++) {
        struct ferry_prefix p;
        if (!ferry_load_prefix(l, prefixes[i], &p))
            continue;
        check_overlap(l, prefixes[i], network, &p);
        s->prefixes[s->n_prefixes++] = p;
    }
    if (prefixes && n == 0 && ferry_json_get(l->doc, v, "prefixes") == FERRY_JSON_NONE)
        ferry_json_error(l->doc, v, &l->err, "'prefix' or 'prefixes' is missing");
}

static void load_network_subnets(struct ferry_loader *l, uint32_t object, struct ferry_vm_network *network)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map names = {0};
    uint32_t array;
    if (ferry_json_need(l->doc, object, "subnets", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    if (ferry_json_count(l->doc, array) == 0)
        ferry_json_error(l->doc, array, &l->err, "a network has one subnet or more");
    network->subnets = ferry_calloc(ferry_json_count(l->doc, array), sizeof *network->subnets);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        load_subnet(l, v, network, &names);
    }
}

/* Its own, or the only one that its server has. */
static void load_network_site(struct ferry_network_loader *nl, uint32_t v, struct ferry_vm_network *network)
{
    struct ferry_loader *l = nl->l;
    uint32_t at = ferry_json_get(l->doc, v, "site");
    network->site = FERRY_NONE;
    if (at != FERRY_JSON_NONE)
        network->site = ferry_load_reference(l, v, "site", &l->sites, "site");
    if (network->server == FERRY_NONE)
        return;
    const struct ferry_server *server = &nl->n->servers[network->server];
    if (at == FERRY_JSON_NONE && server->n_sites == 1)
        network->site = server->sites[0];
    else if (at == FERRY_JSON_NONE && server->n_sites > 1)
        ferry_json_error(l->doc, v, &l->err, "'site' is missing: server '%s' has %zu", server->name,
                         server->n_sites);
    for (size_t i = 0; i < server->n_sites; i++)
        if (server->sites[i] == network->site)
            return;
    if (at != FERRY_JSON_NONE && network->site != FERRY_NONE)
        ferry_json_error(l->doc, at, &l->err, "server '%s' is not of that site", server->name);
}

static void load_move(struct ferry_loader *l, uint32_t object, struct ferry_vm_network *network)
{
    const char *text = NULL;
    if (ferry_json_opt_string(l->doc, object, "move", &text, &l->err) < 0 || !text)
        return;
    for (enum ferry_move_kind kind = FERRY_MOVE_SUBNET; ferry_move_kind_name(kind); kind++)
        if (strcmp(ferry_move_kind_name(kind), text) == 0) {
            network->move = kind;
            return;
        }
    ferry_json_error(l->doc, ferry_json_get(l->doc, object, "move"), &l->err,
                     "'%.40s' is none of subnet-failover, stretched, change-address", text);
}

static void load_network(struct ferry_network_loader *nl, uint32_t v, uint32_t index)
{
    static const char *const keys[] = {
        "name", "logical-network", "server", "site", "subnets", "pool", "dhcp", "move", NULL};
    struct ferry_loader *l = nl->l;
    struct ferry_vm_network *network = &nl->n->networks[index];
    network->logical = network->server = network->site = network->mapped = FERRY_NONE;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    network->name = ferry_load_new_name(l, v, &nl->networks, index, "a VM network");
    if (strcmp(network->name, "disconnected") == 0)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "name"), &l->err,
                         "'disconnected' says that a machine is on no network");
    network->logical = ferry_load_reference(l, v, "logical-network", &nl->logical, "logical network");
    network->server = ferry_load_reference(l, v, "server", &nl->servers, "server");
    load_network_site(nl, v, network);
    load_network_subnets(l, v, network);
    load_ranges(l, v, network, false);
    load_ranges(l, v, network, true);
    load_move(l, v, network);
}

/* ---- Mappings. ---- */

static void load_mapping(struct ferry_network_loader *nl, uint32_t v, uint32_t index)
{
    static const char *const keys[] = {"source", "target", NULL};
    struct ferry_loader *l = nl->l;
    struct ferry_networks *n = nl->n;
    (void)index;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    uint32_t source = ferry_load_reference(l, v, "source", &nl->networks, "VM network");
    uint32_t target = ferry_load_reference(l, v, "target", &nl->networks, "VM network");
    if (source == FERRY_NONE || target == FERRY_NONE)
        return;
    struct ferry_vm_network *from = &n->networks[source], *to = &n->networks[target];
    if (from->mapped != FERRY_NONE)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "source"), &l->err,
                         "'%s' is mapped to '%s' already", from->name, n->networks[from->mapped].name);
    else if (source == target)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "target"), &l->err, "'%s' is mapped to itself",
                         from->name);
    else if (from->site != FERRY_NONE && from->site == to->site)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "target"), &l->err,
                         "'%s' and '%s' are both at site '%s'", from->name, to->name,
                         l->t->sites[from->site].name);
    else {
        from->mapped = target;
        n->mappings[n->n_mappings++] = source;
    }
}

/* ---- The sections. ---- */

/* Counts first: an element that is broken has its index all the same. */
static void each(struct ferry_network_loader *nl, uint32_t array,
                 void (*load)(struct ferry_network_loader *, uint32_t, uint32_t))
{
    uint32_t index = 0;
    FERRY_JSON_EACH(nl->l->doc, array, v)
    {
        if (ferry_load_full(nl->l))
            return;
        load(nl, v, index++);
    }
}

static uint32_t find_section(struct ferry_loader *l, const char *key, bool *any)
{
    uint32_t v = FERRY_JSON_NONE;
    (void)!ferry_json_opt(l->doc, FERRY_JSON_ROOT, key, FERRY_JSON_ARRAY, &v, &l->err);
    *any = *any || v != FERRY_JSON_NONE;
    return v;
}

static void clear(struct ferry_network_loader *nl)
{
    struct ferry_map *maps[] = {&nl->servers, &nl->logical, &nl->clouds, &nl->networks, &nl->workloads};
    for (size_t i = 0; i < FERRY_COUNT(maps); i++)
        ferry_map_clear(maps[i]);
    free(nl->asked);
}

void ferry_load_networks(struct ferry_loader *l)
{
    bool any = false;
    uint32_t servers = find_section(l, "servers", &any), logical = find_section(l, "logical-networks", &any);
    uint32_t clouds = find_section(l, "clouds", &any), networks = find_section(l, "vm-networks", &any);
    uint32_t mappings = find_section(l, "mappings", &any), workloads = find_section(l, "workloads", &any);
    if (!any)
        return;
    FERRY_CLEANUP(clear) struct ferry_network_loader nl = {.l = l, .n = ferry_calloc(1, sizeof *nl.n)};
    struct ferry_networks *n = l->t->networks = nl.n;
    n->servers = ferry_calloc(n->n_servers = ferry_json_count(l->doc, servers), sizeof *n->servers);
    n->logical = ferry_calloc(n->n_logical = ferry_json_count(l->doc, logical), sizeof *n->logical);
    n->clouds = ferry_calloc(n->n_clouds = ferry_json_count(l->doc, clouds), sizeof *n->clouds);
    n->networks = ferry_calloc(n->n_networks = ferry_json_count(l->doc, networks), sizeof *n->networks);
    n->mappings = ferry_calloc(ferry_json_count(l->doc, mappings), sizeof *n->mappings);
    each(&nl, servers, load_server);
    each(&nl, logical, load_logical);
    each(&nl, clouds, load_cloud);
    each(&nl, clouds, load_protection);
    each(&nl, networks, load_network);
    each(&nl, mappings, load_mapping);
    ferry_load_workloads(&nl, workloads);
    ferry_load_check_asked(&nl);
}
