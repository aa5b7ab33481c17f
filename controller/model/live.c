/* The state of chosen subnets on every router: from what drivers read, or from the topology alone.
 *
 * Next hops are resolved to routers here and nowhere else: first by the device (the router at the other end
 * of its link, when it has the address there or none is named), then by the address, where one router alone
 * has it.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/fib.h>

#include "base/mem.h"
#include "model/live_routing.h"
#include "model/map.h"
#include "model/tunnels.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* linux/rtnetlink.h, linux/ipv6_route.h */
#define RTPROT_KERNEL        2u
#define RTPROT_STATIC        4u
#define IP6_RT_PRIO_ADDRCONF 256u

struct ferry_live *ferry_live_new(const struct ferry_topology *t, struct ferry_pool *pool,
                                  const uint32_t *subnets, size_t n_subnets)
{
    struct ferry_live *live = ferry_calloc(1, sizeof *live);
    size_t cells = t->n_routers * n_subnets;
    live->topology = t;
    live->pool = pool;
    live->subnets = ferry_memdup(subnets, n_subnets * sizeof *subnets);
    live->n_subnets = n_subnets;
    live->n_routers = t->n_routers;
    live->stacks = ferry_calloc(cells, sizeof *live->stacks);
    live->covers = ferry_calloc(cells, sizeof *live->covers);
    live->attached = ferry_calloc(n_subnets, sizeof *live->attached);
    for (size_t i = 0; i < n_subnets; i++)
        live->attached[i] = ferry_calloc(t->subnets[subnets[i]].n_gateways, sizeof **live->attached);
    live->unreachable = ferry_calloc(t->n_routers, sizeof *live->unreachable);
    live->filled = ferry_calloc(t->n_routers, sizeof *live->filled);
    live->unreachable_why = ferry_calloc(t->n_routers, sizeof *live->unreachable_why);
    live->lost = ferry_calloc(t->n_routers, sizeof *live->lost);
    live->vrfs = ferry_calloc(t->n_routers, sizeof *live->vrfs);
    return live;
}

void ferry_live_free(struct ferry_live *live)
{
    if (!live)
        return;
    for (size_t i = 0; i < live->n_subnets; i++)
        free(live->attached[i]);
    free(live->attached);
    free(live->subnets);
    free(live->stacks);
    free(live->covers);
    free(live->unreachable);
    free(live->unreachable_why);
    free(live->conflicts);
    free(live->filled);
    free(live->lost);
    for (size_t i = 0; i < live->n_routers; i++)
        free(live->vrfs[i].v);
    free(live->vrfs);
    free(live);
}

/* The gateway of a subnet on a router (the loader lets there be one), or NULL. */
static const struct ferry_gateway *gateway_on(const struct ferry_subnet *subnet, uint32_t router)
{
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].router == router)
            return &subnet->gateways[i];
    return NULL;
}

struct ferry_query *ferry_live_query(const struct ferry_live *live, uint32_t router)
{
    const struct ferry_topology *t = live->topology;
    struct ferry_query *query = ferry_calloc(1, sizeof *query);
    struct ferry_query_item *items = ferry_calloc(live->n_subnets, sizeof *items);
    for (size_t i = 0; i < live->n_subnets; i++) {
        const struct ferry_subnet *subnet = &t->subnets[live->subnets[i]];
        items[i].prefix = subnet->prefix;
        items[i].table = ferry_topology_table(t, router, live->subnets[i]);
        items[i].gateway = gateway_on(subnet, router);
        if (items[i].gateway && items[i].gateway->interface != FERRY_NONE)
            items[i].interface = t->routers[router].interfaces[items[i].gateway->interface].name;
    }
    query->items = items;
    query->n = live->n_subnets;
    return query;
}

void ferry_query_free(struct ferry_query *query)
{
    if (!query)
        return;
    free((void *)(uintptr_t)query->items);
    free(query);
}

/* ---- What a driver read. ---- */

static bool interface_has(const struct ferry_topology *t, const struct ferry_end *end,
                          const struct ferry_addr *a)
{
    const struct ferry_interface *interface = &t->routers[end->router].interfaces[end->interface];
    for (size_t i = 0; i < interface->n_addresses; i++)
        if (ferry_addr_equal(&interface->addresses[i].addr, a))
            return true;
    return false;
}

uint32_t ferry_topology_next(const struct ferry_topology *t, uint32_t router, const struct ferry_nexthop *hop)
{
    struct ferry_end end;
    uint32_t neighbour = hop->dev[0] ? ferry_topology_neighbour(t, router, hop->dev, &end) : FERRY_NO_ROUTER;
    if (neighbour != FERRY_NO_ROUTER && (!hop->via.family || interface_has(t, &end, &hop->via)))
        return neighbour;
    return hop->via.family ? ferry_topology_owner(t, &hop->via) : FERRY_NO_ROUTER;
}

static const struct ferry_entry *intern(struct ferry_live *live, uint32_t router, const struct ferry_entry *e)
{
    struct ferry_nexthop few[16];
    FERRY_AUTOFREE struct ferry_nexthop *many = NULL;
    struct ferry_nexthop *hops = few;
    struct ferry_entry resolved = *e;
    if (e->n_nexthops > FERRY_COUNT(few))
        hops = many = ferry_calloc(e->n_nexthops, sizeof *hops);
    for (size_t i = 0; i < e->n_nexthops; i++) {
        hops[i] = e->nexthops[i];
        hops[i].router = ferry_topology_next(live->topology, router, &hops[i]);
    }
    resolved.nexthops = e->n_nexthops ? hops : NULL;
    return ferry_pool_entry(live->pool, &resolved);
}

static void clear_row(struct ferry_live *live, uint32_t router)
{
    size_t kept = 0;
    bool filled = live->filled[router];
    live->filled[router] = true;
    if (!filled)
        return;
    memset(&live->stacks[router * live->n_subnets], 0, live->n_subnets * sizeof *live->stacks);
    memset(&live->covers[router * live->n_subnets], 0, live->n_subnets * sizeof *live->covers);
    for (size_t i = 0; i < live->n_subnets; i++) {
        const struct ferry_subnet *subnet = &live->topology->subnets[live->subnets[i]];
        for (size_t j = 0; j < subnet->n_gateways; j++)
            if (subnet->gateways[j].router == router)
                live->attached[i][j] = NULL;
    }
    for (size_t i = 0; i < live->n_conflicts; i++)
        if (live->conflicts[i].router != router)
            live->conflicts[kept++] = live->conflicts[i];
    live->n_conflicts = kept;
}

void ferry_live_lose(struct ferry_live *live, uint32_t router)
{
    clear_row(live, router);
    live->lost[router] = true;
}

/* A row while it is filled. */
struct row {
    struct ferry_live *live;
    uint32_t router;
    struct ferry_prefix *cover; /* [column]: the prefix of its cover, where it has one */
};

static void add_conflict(const struct row *row, uint32_t column, enum ferry_relation relation,
                         const struct ferry_prefix *prefix, const struct ferry_entry *entry)
{
    struct ferry_live *live = row->live;
    FERRY_GROW(live->conflicts, live->n_conflicts);
    live->conflicts[live->n_conflicts++] = (struct ferry_conflict){
        .router = row->router,
        .subnet = live->subnets[column],
        .relation = relation,
        .prefix = *prefix,
        .entry = entry,
    };
}

/* The longest wins, then a gateway, then the lowest metric. */
static void add_cover(const struct row *row, uint32_t column, const struct ferry_prefix *prefix,
                      const struct ferry_entry *entry)
{
    const struct ferry_entry **cover = &row->live->covers[row->router * row->live->n_subnets + column];
    if (*cover && prefix->len < row->cover[column].len)
        return;
    if (*cover && prefix->len == row->cover[column].len &&
        ((*cover)->type == FERRY_GATEWAY ||
         (entry->type != FERRY_GATEWAY && (*cover)->metric <= entry->metric)))
        return;
    *cover = entry;
    row->cover[column] = *prefix;
}

/* The covers that have won are conflicts too, one a column. */
static void finish_row(const struct row *row)
{
    const struct ferry_entry *const *covers = &row->live->covers[row->router * row->live->n_subnets];
    for (uint32_t i = 0; i < row->live->n_subnets; i++)
        if (covers[i])
            add_conflict(row, i, FERRY_COVERING, &row->cover[i], covers[i]);
}

struct held {
    uint32_t column;
    const struct ferry_entry *entry;
};

static int compare_held(const void *left, const void *right)
{
    const struct held *a = left, *b = right;
    return (a->column > b->column) - (a->column < b->column);
}

/* Notes the driver's snapshot and returns the plain gateway, which all subnets share. */
static const struct ferry_entry *set_gateway(struct ferry_live *live, uint32_t router, uint32_t column,
                                             const struct ferry_entry *e)
{
    const struct ferry_subnet *subnet = &live->topology->subnets[live->subnets[column]];
    const struct ferry_gateway *gateway = gateway_on(subnet, router);
    if (e->native_len)
        live->attached[column][gateway - subnet->gateways] = ferry_pool_entry(live->pool, e);
    return ferry_pool_entry(live->pool, &(struct ferry_entry){.type = FERRY_GATEWAY});
}

static int check_items(const struct ferry_live *live, uint32_t router, const struct ferry_fib *fib,
                       struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    char buf[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < fib->n; i++) {
        const struct ferry_fib_item *item = &fib->items[i];
        if (item->query >= live->n_subnets)
            return ferry_error(err, FERRY_EIO, "%s: the driver answered what was not asked: %s",
                               t->routers[router].name, ferry_prefix_text(&item->prefix, buf));
        if (item->relation == FERRY_EXACT && item->entry.type == FERRY_GATEWAY &&
            !gateway_on(&t->subnets[live->subnets[item->query]], router))
            return ferry_error(err, FERRY_EIO, "%s: the driver reports %s attached where it has no gateway",
                               t->routers[router].name, ferry_prefix_text(&item->prefix, buf));
    }
    return 0;
}

int ferry_live_set(struct ferry_live *live, uint32_t router, const struct ferry_fib *fib,
                   struct ferry_err *err)
{
    int r = check_items(live, router, fib, err);
    if (r < 0)
        return r;
    clear_row(live, router);
    live->unreachable[router] = live->offline = false;
    free(live->vrfs[router].v);
    live->vrfs[router].v = ferry_memdup(fib->vrfs, fib->n_vrfs * sizeof *fib->vrfs);
    live->vrfs[router].n = fib->n_vrfs;
    FERRY_AUTOFREE struct held *held = ferry_calloc(fib->n, sizeof *held);
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(fib->n, sizeof *entries);
    FERRY_AUTOFREE struct ferry_prefix *cover = ferry_calloc(live->n_subnets, sizeof *cover);
    struct row row = {.live = live, .router = router, .cover = cover};
    size_t n = 0;
    for (size_t i = 0; i < fib->n; i++) {
        const struct ferry_fib_item *item = &fib->items[i];
        if (item->relation == FERRY_EXACT && item->entry.type == FERRY_GATEWAY) {
            held[n++] = (struct held){item->query, set_gateway(live, router, item->query, &item->entry)};
            continue;
        }
        const struct ferry_entry *e = intern(live, router, &item->entry);
        if (item->relation == FERRY_EXACT)
            held[n++] = (struct held){item->query, e};
        else if (item->relation == FERRY_COVERING)
            add_cover(&row, item->query, &item->prefix, e);
        else
            add_conflict(&row, item->query, item->relation, &item->prefix, e);
    }
    finish_row(&row);
    qsort(held, n, sizeof *held, compare_held);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && held[j].column == held[i].column; j++)
            entries[j - i] = held[j].entry;
        live->stacks[router * live->n_subnets + held[i].column] =
            ferry_pool_stack(live->pool, entries, (uint32_t)(j - i));
    }
    return 0;
}

/* ---- The topology alone: trees. ---- */

/* Subnets that share gateways, family and table share their trees. */
struct tree {
    uint32_t *key;                     /* family, table, gateway routers */
    const struct ferry_stack **stacks; /* [router] */
};

struct forest {
    struct ferry_map by_key; /* trees */
    struct tree *v;
    uint32_t n;
};

static void clear_forest(struct forest *forest)
{
    for (uint32_t i = 0; i < forest->n; i++) {
        free(forest->v[i].key);
        free(forest->v[i].stacks);
    }
    free(forest->v);
    ferry_map_clear(&forest->by_key);
}

static int grow_tree(struct ferry_live *live, const uint32_t *key, size_t n_gateways,
                     const struct ferry_stack **stacks, struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(t->n_routers, sizeof *entries);
    int r = ferry_spf(t, key + 2, n_gateways, (uint8_t)key[0], key[1], FERRY_METRIC_ROUTE, RTPROT_STATIC,
                      live->pool, entries, err);
    bool spoken[3] = {false};
    for (size_t i = 0; i < n_gateways; i++)
        spoken[t->routers[key[2 + i]].driver.routing] = true;
    for (uint32_t i = 0; r == 0 && i < t->n_routers; i++)
        stacks[i] = ferry_live_expected(live, i, entries[i], spoken);
    if (r == 0)
        ferry_selectors_expect(t, entries, live->pool, stacks);
    return r;
}

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* The tree of a subnet that is active at a site (with host routes: at all of its own), grown if it is new. */
static int find_tree(struct ferry_live *live, struct forest *forest, const struct ferry_subnet *subnet,
                     uint32_t site, const struct ferry_stack *const **ret, struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    FERRY_AUTOFREE uint32_t *key = ferry_calloc(2 + subnet->n_gateways, sizeof *key);
    size_t n = 0;
    key[0] = subnet->prefix.addr.family;
    key[1] = subnet->table;
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->host_routes || t->routers[subnet->gateways[i].router].site == site)
            key[2 + n++] = subnet->gateways[i].router;
    if (n == 0)
        return ferry_error(err, FERRY_EUSAGE, "subnet '%s' has no gateway at site '%s'", subnet->name,
                           site < t->n_sites ? t->sites[site].name : "?");
    qsort(key + 2, n, sizeof *key, compare_numbers);
    uint32_t found = ferry_map_get(&forest->by_key, key, (2 + n) * sizeof *key);
    if (found == FERRY_MAP_NONE) {
        const struct ferry_stack **stacks = ferry_calloc(t->n_routers, sizeof *stacks);
        int r = grow_tree(live, key, n, stacks, err);
        if (r < 0) {
            free(stacks);
            return r;
        }
        found = forest->n;
        FERRY_GROW(forest->v, forest->n);
        forest->v[forest->n++] = (struct tree){.key = FERRY_STEAL(key), .stacks = stacks};
        ferry_map_add(&forest->by_key, forest->v[found].key, (2 + n) * sizeof *key, found);
    }
    *ret = forest->v[found].stacks;
    return 0;
}

/* ---- The topology alone: what covers what. ---- */

/* Columns whose prefix covers that of another one. */
struct nesting {
    uint32_t inner, outer;
};

struct nestings {
    struct nesting *v;
    size_t n;
    uint32_t inner; /* being looked up */
};

static void found_outer(void *ctx, uint32_t item, enum ferry_relation relation)
{
    struct nestings *nestings = ctx;
    if (relation != FERRY_MORE_SPECIFIC)
        return;
    FERRY_GROW(nestings->v, nestings->n);
    nestings->v[nestings->n++] = (struct nesting){.inner = nestings->inner, .outer = item};
}

/* A network of one of a router's interfaces. */
struct connected {
    const struct row *row;
    struct ferry_prefix network;
    const struct ferry_entry *entry;
};

static void found_connected(void *ctx, uint32_t item, enum ferry_relation relation)
{
    const struct connected *c = ctx;
    const struct ferry_live *live = c->row->live;
    if (relation == FERRY_EXACT ||
        ferry_topology_table(live->topology, c->row->router, live->subnets[item]) != FERRY_TABLE_MAIN)
        return;
    if (relation == FERRY_COVERING)
        add_cover(c->row, item, &c->network, c->entry);
    else
        add_conflict(c->row, item, relation, &c->network, c->entry);
}

/* The route that the kernel makes of an address on an interface. */
static const struct ferry_entry *connected_route(struct ferry_live *live, uint32_t router, uint32_t interface,
                                                 uint8_t family)
{
    const struct ferry_topology *t = live->topology;
    const char *dev = t->routers[router].interfaces[interface].name;
    struct ferry_nexthop hop = {.weight = 1, .router = ferry_topology_neighbour(t, router, dev, NULL)};
    struct ferry_entry e = {
        .type = FERRY_UNICAST, .protocol = RTPROT_KERNEL, .n_nexthops = 1, .nexthops = &hop};
    memcpy(hop.dev, dev, sizeof hop.dev);
    e.table = FERRY_TABLE_MAIN;
    e.metric = family == AF_INET6 ? IP6_RT_PRIO_ADDRCONF : 0;
    return ferry_pool_entry(live->pool, &e);
}

static void add_connected(const struct row *row, const struct ferry_selector *selector)
{
    struct ferry_live *live = row->live;
    const struct ferry_router *router = &live->topology->routers[row->router];
    for (uint32_t i = 0; i < router->n_interfaces; i++) {
        const struct ferry_interface *interface = &router->interfaces[i];
        for (size_t j = 0; j < interface->n_addresses; j++) {
            uint8_t family = interface->addresses[j].addr.family;
            struct connected c = {.row = row, .network = ferry_prefix_network(&interface->addresses[j])};
            c.entry = connected_route(live, row->router, i, family);
            if (c.network.len < ferry_addr_bits(family))
                ferry_selector_match(selector, &c.network, FERRY_TABLE_MAIN, found_connected, &c);
        }
    }
}

/* What forwards a column on a router, seen from another column: an attachment is then a route like any other,
 * as drivers report it. */
static const struct ferry_entry *seen_from_outside(const struct row *row, uint32_t column)
{
    struct ferry_live *live = row->live;
    const struct ferry_stack *stack = live->stacks[row->router * live->n_subnets + column];
    const struct ferry_subnet *subnet = &live->topology->subnets[live->subnets[column]];
    const struct ferry_gateway *gateway = gateway_on(subnet, row->router);
    const struct ferry_entry *best = ferry_stack_best(stack);
    if (!best || best->type != FERRY_GATEWAY)
        return best;
    if (gateway->address.addr.family)
        return connected_route(live, row->router, gateway->interface, gateway->address.addr.family);
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .via = gateway->via, .weight = 1};
    struct ferry_entry e = {
        .type = FERRY_UNICAST, .protocol = RTPROT_STATIC, .n_nexthops = 1, .nexthops = &hop};
    if (gateway->interface != FERRY_NONE)
        memcpy(hop.dev, live->topology->routers[row->router].interfaces[gateway->interface].name,
               sizeof hop.dev);
    e.table = ferry_topology_table(live->topology, row->router, live->subnets[column]);
    e.metric = gateway->via.family == AF_INET6 ? 1 : 0; /* what the lab's baseline has */
    return ferry_pool_entry(live->pool, &e);
}

static void add_nestings(const struct row *row, const struct nestings *nestings)
{
    struct ferry_live *live = row->live;
    const struct ferry_topology *t = live->topology;
    for (size_t i = 0; i < nestings->n; i++) {
        uint32_t inner = nestings->v[i].inner, outer = nestings->v[i].outer;
        if (ferry_topology_table(t, row->router, live->subnets[inner]) !=
            ferry_topology_table(t, row->router, live->subnets[outer]))
            continue;
        const struct ferry_entry *inside = seen_from_outside(row, inner),
                                 *outside = seen_from_outside(row, outer);
        if (inside)
            add_conflict(row, outer, FERRY_MORE_SPECIFIC, &t->subnets[live->subnets[inner]].prefix, inside);
        if (outside)
            add_cover(row, inner, &t->subnets[live->subnets[outer]].prefix, outside);
    }
}

/* Tables differ by router, so the selector looks at prefixes alone and the table is compared later. */
static void add_surroundings(struct ferry_live *live)
{
    const struct ferry_topology *t = live->topology;
    FERRY_AUTOFREE struct ferry_query_item *items = ferry_calloc(live->n_subnets, sizeof *items);
    FERRY_AUTOFREE struct ferry_prefix *cover = ferry_calloc(live->n_subnets, sizeof *cover);
    struct nestings nestings = {0};
    for (size_t i = 0; i < live->n_subnets; i++) {
        items[i].prefix = t->subnets[live->subnets[i]].prefix;
        items[i].table = FERRY_TABLE_MAIN;
    }
    struct ferry_selector *selector =
        ferry_selector_new(&(struct ferry_query){.items = items, .n = live->n_subnets});
    for (; nestings.inner < live->n_subnets; nestings.inner++)
        ferry_selector_match(selector, &items[nestings.inner].prefix, FERRY_TABLE_MAIN, found_outer,
                             &nestings);
    for (uint32_t r = 0; r < t->n_routers; r++) {
        struct row row = {.live = live, .router = r, .cover = cover};
        add_connected(&row, selector);
        add_nestings(&row, &nestings);
        finish_row(&row);
    }
    ferry_selector_free(selector);
    free(nestings.v);
}

int ferry_live_offline(struct ferry_live *live, const uint32_t *active, struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    FERRY_CLEANUP(clear_forest) struct forest forest = {0};
    FERRY_AUTOFREE const struct ferry_stack *const **trees = ferry_calloc(live->n_subnets, sizeof *trees);
    for (size_t i = 0; i < live->n_subnets; i++) {
        const struct ferry_subnet *subnet = &t->subnets[live->subnets[i]];
        int r = active[i] == FERRY_NONE ? 0 : find_tree(live, &forest, subnet, active[i], &trees[i], err);
        if (r < 0)
            return r;
    }
    for (uint32_t r = 0; r < t->n_routers; r++) {
        clear_row(live, r);
        live->unreachable[r] = false;
        for (size_t i = 0; i < live->n_subnets; i++)
            live->stacks[r * live->n_subnets + i] = trees[i] ? trees[i][r] : NULL;
    }
    add_surroundings(live);
    live->offline = true;
    return 0;
}
