/* What routers hold, as drivers read it, and as a matrix of interned stacks for the planner.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_FIB_H
#define FERRY_FIB_H

#include <ferry/entry.h>
#include <ferry/topology.h>

/* One thing to look for on one router. */
struct ferry_query_item {
    struct ferry_prefix prefix;
    uint32_t table;
    /* Where the prefix can be attached on this router, or NULL.  With it the driver reports an attached
     * subnet as FERRY_GATEWAY, and not the routes that follow from the attachment. */
    const struct ferry_gateway *gateway;
    const char *interface; /* name of gateway->interface, or NULL */
    const char *name;      /* of a name server: whose record sets; the prefix is none */
};

/* An empty query selects nothing.  With `all`, every unicast-type route of every table is reported (local
 * and broadcast routes never are). */
struct ferry_query {
    const struct ferry_query_item *items;
    size_t n;
    bool all;
};

enum ferry_relation {
    FERRY_EXACT,         /* holds the queried prefix itself */
    FERRY_COVERING,      /* shorter: what the router falls to without it */
    FERRY_MORE_SPECIFIC, /* longer: beats it for a part of its addresses */
};

struct ferry_fib_item {
    struct ferry_prefix prefix; /* as held */
    uint32_t query;             /* index into the query: the item it answers (UINT32_MAX with `all`) */
    enum ferry_relation relation;
    struct ferry_entry entry; /* owned by the fib; next hops without `router` (FERRY_NO_ROUTER) */
};

/* Of covering routes only the best one of each queried prefix is reported (longest, then lowest metric); of
 * more-specific ones all, at most 1,000 a queried prefix (then `cut` is set).
 * A connected or foreign attachment that is not the queried gateway appears as a unicast entry of protocol
 * kernel without `via`. */
struct ferry_fib {
    struct ferry_fib_item *items;
    size_t n;
    bool cut;
    /* The router's VRFs, where its driver writes their routes by their names and a table was asked about that
     * is not main; else none. */
    struct ferry_vrf *vrfs;
    size_t n_vrfs;
};
void ferry_fib_clear(struct ferry_fib *fib);
/* Appends; copies the entry's next hops and native bytes. */
void ferry_fib_add(struct ferry_fib *fib, const struct ferry_fib_item *item);

/* Finds quickly which queried prefixes a held route touches: for drivers that walk big tables.
 * Built once a query (a radix tree per family and table). */
struct ferry_selector;
struct ferry_selector *ferry_selector_new(const struct ferry_query *query);
void ferry_selector_free(struct ferry_selector *selector);
/* Calls `found` for every queried item that `prefix` equals, covers or lies within. */
void ferry_selector_match(const struct ferry_selector *selector, const struct ferry_prefix *prefix,
                          uint32_t table,
                          void (*found)(void *ctx, uint32_t query_item, enum ferry_relation relation),
                          void *ctx);

struct ferry_conflict {
    uint32_t router, subnet;      /* subnet: index into the topology */
    enum ferry_relation relation; /* FERRY_COVERING or FERRY_MORE_SPECIFIC */
    struct ferry_prefix prefix;
    const struct ferry_entry *entry; /* interned */
};

/* The state of chosen subnets on every router. */
struct ferry_live {
    const struct ferry_topology *topology; /* not owned */
    struct ferry_pool *pool;               /* not owned */
    uint32_t *subnets;                     /* the columns: topology indices */
    size_t n_subnets;
    size_t n_routers; /* the rows: the topology's, which may be gone before this */
    /* [router * n_subnets + column]; NULL: holds nothing. */
    const struct ferry_stack **stacks;
    /* What stands where `stacks` is NULL: the best covering entry, or NULL. */
    const struct ferry_entry **covers;
    /* Driver snapshots of attached gateways, [column][gateway of that subnet]; NULL where not attached or
     * where the plain attachment says it all.  FERRY_GATEWAY entries, interned. */
    const struct ferry_entry ***attached;
    bool *unreachable;                 /* [router] */
    struct ferry_err *unreachable_why; /* [router] */
    bool *lost; /* [router]: not under control (ferry/plan.h); set by whoever plans, its row is then empty */
    struct ferry_conflict *conflicts;
    size_t n_conflicts;
    bool offline; /* by ferry_live_offline: of what lies around a column only other columns are known */
    struct ferry_live_vrfs {
        struct ferry_vrf *v;
        size_t n;
    } * vrfs;     /* [router]: as in ferry_fib */
    bool *filled; /* [router]: the model's own: its row was set before */
};

/* Columns for the given subnets; every router empty and reachable. */
struct ferry_live *ferry_live_new(const struct ferry_topology *t, struct ferry_pool *pool,
                                  const uint32_t *subnets, size_t n_subnets);
void ferry_live_free(struct ferry_live *live);
/* Says that a router is not under control, and forgets what was read there. */
void ferry_live_lose(struct ferry_live *live, uint32_t router);
/* The query that reads one router for all columns (same order); freed by ferry_query_free. */
struct ferry_query *ferry_live_query(const struct ferry_live *live, uint32_t router);
void ferry_query_free(struct ferry_query *query);
/* Puts what a driver read into a router's row: resolves next hops to routers, interns, collects conflicts. */
int ferry_live_set(struct ferry_live *live, uint32_t router, const struct ferry_fib *fib,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* Fills every row from the topology alone: subnet i of the columns attached at site `active[i]` (all gateways
 * there) and routed there by shortest paths: metric FERRY_METRIC_ROUTE (FRR: FERRY_DISTANCE_ROUTE), protocol static;
 * where gateways originate it in BGP or OSPF, those announce it and routers that speak the same hold its route.  What
 * --offline plans from, and what a sim router starts as (there with active = home). */
int ferry_live_offline(struct ferry_live *live, const uint32_t *active,
                       struct ferry_err *err) FERRY_MUST_CHECK;

#endif
