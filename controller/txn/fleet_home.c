/* Where simulated routers start, and reading a whole fleet.
 *
 * A fleet of a topology starts them at home.  A fleet of a plan starts them as the plan found them: a
 * simulated router without state of its own was never written to, so that is what it holds.  Both are worked
 * out when the first simulated router is used; a fleet without one never pays.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/fleet_parts.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct ferry_home {
    const struct ferry_topology *topology; /* this … */
    const struct ferry_plan *plan;         /* … or that; they outlive the fleet */
    struct ferry_pool *pool;
    struct ferry_live *live; /* of the topology */
};

struct ferry_home *ferry_home_of_topology(const struct ferry_topology *t)
{
    struct ferry_home *home = ferry_calloc(1, sizeof *home);
    home->topology = t;
    return home;
}

struct ferry_home *ferry_home_of_plan(const struct ferry_plan *plan)
{
    struct ferry_home *home = ferry_calloc(1, sizeof *home);
    home->plan = plan;
    return home;
}

void ferry_home_free(struct ferry_home *home)
{
    if (!home)
        return;
    if (home->live)
        ferry_live_free(home->live);
    if (home->pool)
        ferry_pool_free(home->pool);
    free(home);
}

/* An attachment with its place, in the form that the simulator's initial state takes (drivers/sim/sim.h). */
static void add_gateway(struct ferry_fib *fib, const struct ferry_prefix *prefix, const struct ferry_entry *e,
                        const struct ferry_gateway *gateway, const char *interface, uint32_t table)
{
    struct ferry_fib_item item = {
        .prefix = *prefix, .query = UINT32_MAX, .relation = FERRY_EXACT, .entry = *e};
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1};
    item.entry.table = table;
    /* A host's is itself, which would be taken for its address: any will do, it has one a router. */
    if (gateway && !(gateway->via.family && ferry_prefix_contains(prefix, &gateway->via))) {
        hop.via = gateway->via.family ? gateway->via : gateway->address.addr;
        if (interface)
            snprintf(hop.dev, sizeof hop.dev, "%s", interface);
        item.entry.nexthops = &hop;
        item.entry.n_nexthops = 1;
    }
    ferry_fib_add(fib, &item);
}

static void add_route(struct ferry_fib *fib, const struct ferry_prefix *prefix, const struct ferry_entry *e)
{
    struct ferry_fib_item item = {
        .prefix = *prefix, .query = UINT32_MAX, .relation = FERRY_EXACT, .entry = *e};
    ferry_fib_add(fib, &item);
}

/* Every interface has the kernel's fe80::/64: so the simulator knows which there are. */
static void add_interfaces(struct ferry_fib *fib, const struct ferry_router *router)
{
    if (router->n_interfaces == 0)
        return;
    FERRY_AUTOFREE struct ferry_nexthop *hops = ferry_calloc(router->n_interfaces, sizeof *hops);
    for (size_t i = 0; i < router->n_interfaces; i++) {
        hops[i] = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .weight = 1};
        memcpy(hops[i].dev, router->interfaces[i].name, sizeof hops[i].dev);
    }
    struct ferry_prefix link_local = {.addr = {.family = AF_INET6, .bytes = {0xfe, 0x80}}, .len = 64};
    struct ferry_entry e = {
        .type = FERRY_UNICAST,
        .table = FERRY_TABLE_MAIN,
        .metric = 256, /* IP6_RT_PRIO_ADDRCONF, net/ip6_route.h */
        .protocol = 2, /* RTPROT_KERNEL, linux/rtnetlink.h */
        .n_nexthops = (uint16_t)router->n_interfaces,
        .nexthops = hops,
    };
    add_route(fib, &link_local, &e);
}

static int prepare(struct ferry_home *home, struct ferry_err *err)
{
    const struct ferry_topology *t = home->topology;
    if (home->live)
        return 0;
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(t->n_subnets, sizeof *subnets);
    FERRY_AUTOFREE uint32_t *active = ferry_calloc(t->n_subnets, sizeof *active);
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        subnets[i] = i;
        active[i] = t->subnets[i].home;
    }
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(t, pool, subnets, t->n_subnets);
    int r = ferry_live_offline(live, active, err);
    if (r < 0) {
        ferry_live_free(live);
        ferry_pool_free(pool);
        return r;
    }
    home->pool = pool;
    home->live = live;
    return 0;
}

static const struct ferry_gateway *gateway_at_home(const struct ferry_topology *t,
                                                   const struct ferry_subnet *subnet, uint32_t router)
{
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].router == router &&
            (subnet->host_routes || t->routers[router].site == subnet->home))
            return &subnet->gateways[i];
    return NULL;
}

static const char *interface_name(const struct ferry_topology *t, const struct ferry_gateway *gateway)
{
    return gateway && gateway->interface != FERRY_NONE
               ? t->routers[gateway->router].interfaces[gateway->interface].name
               : NULL;
}

static int initial_of_topology(struct ferry_home *home, uint32_t router, struct ferry_fib *ret,
                               struct ferry_err *err)
{
    const struct ferry_topology *t = home->topology;
    int r = prepare(home, err);
    if (r < 0)
        return r;
    add_interfaces(ret, &t->routers[router]);
    for (size_t column = 0; column < home->live->n_subnets; column++) {
        const struct ferry_subnet *subnet = &t->subnets[column];
        const struct ferry_stack *stack = home->live->stacks[router * home->live->n_subnets + column];
        for (uint32_t i = 0; stack && i < stack->n; i++) {
            const struct ferry_entry *e = stack->entries[i];
            const struct ferry_gateway *gateway = gateway_at_home(t, subnet, router);
            if (e->type == FERRY_GATEWAY)
                add_gateway(ret, &subnet->prefix, e, gateway, interface_name(t, gateway),
                            ferry_topology_table(t, router, (uint32_t)column));
            else
                add_route(ret, &subnet->prefix, e);
        }
    }
    return 0;
}

/* The attachment of a subnet on a router as the plan found it. */
static void add_plan_gateway(struct ferry_fib *fib, const struct ferry_plan_subnet *subnet, uint32_t router,
                             const struct ferry_entry *e)
{
    const struct ferry_plan_gateway *at = NULL;
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].gateway.router == router && (!at || subnet->gateways[i].attached))
            at = &subnet->gateways[i];
    if (at)
        add_gateway(fib, &subnet->prefix, at->attached ? at->attached : e, &at->gateway, at->interface, 0);
    else
        add_gateway(fib, &subnet->prefix, e, NULL, NULL, 0);
}

static void initial_of_plan(const struct ferry_plan *plan, uint32_t router, struct ferry_fib *ret)
{
    for (size_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_group *group = &plan->groups[g];
        const struct ferry_stack *stack = group->initial ? group->initial[router] : NULL;
        for (size_t s = 0; stack && s < group->n_subnets; s++) {
            for (uint32_t i = 0; i < stack->n; i++) {
                if (stack->entries[i]->type == FERRY_GATEWAY)
                    add_plan_gateway(ret, &group->subnets[s], router, stack->entries[i]);
                else
                    add_route(ret, &group->subnets[s].prefix, stack->entries[i]);
            }
        }
        if (group->covers && group->covers[router].entry)
            add_route(ret, &group->covers[router].prefix, group->covers[router].entry);
    }
}

int ferry_home_initial(struct ferry_home *home, uint32_t router, struct ferry_fib *ret, struct ferry_err *err)
{
    if (home->topology)
        return initial_of_topology(home, router, ret, err);
    initial_of_plan(home->plan, router, ret);
    return 0;
}

/* ---- Reading all of it. ---- */

#define BATCH 64u /* routers read at once: bounds the memory of raw reads */

static int take(struct ferry_live *live, struct ferry_job *job, struct ferry_err *err)
{
    int r = 0;
    if (job->result < 0) {
        live->unreachable[job->router] = true;
        live->unreachable_why[job->router] = job->err;
    } else {
        live->unreachable[job->router] = false;
        r = ferry_live_set(live, job->router, &job->fib, err);
        if (r < 0)
            r = ferry_error_prefix(err, r, "%s", live->topology->routers[job->router].name);
    }
    ferry_fib_clear(&job->fib);
    return r;
}

int ferry_fleet_read_live(struct ferry_fleet *fleet, struct ferry_live *live, struct ferry_err *err)
{
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(BATCH, sizeof *jobs);
    size_t n_routers = live->topology->n_routers; /* name servers stand behind them */
    int result = 0;
    for (uint32_t first = 0; first < n_routers && result == 0; first += BATCH) {
        size_t n = n_routers - first < BATCH ? n_routers - first : BATCH;
        for (uint32_t i = 0; i < n; i++) {
            jobs[i] = (struct ferry_job){.router = first + i, .verb = FERRY_JOB_READ};
            jobs[i].query = ferry_live_query(live, first + i);
        }
        ferry_fleet_run(fleet, jobs, n);
        for (size_t i = 0; i < n; i++) {
            ferry_query_free((struct ferry_query *)jobs[i].query);
            if (result == 0)
                result = take(live, &jobs[i], err);
            ferry_fib_clear(&jobs[i].fib);
        }
    }
    return result;
}

int ferry_fleet_read_row(struct ferry_fleet *fleet, struct ferry_live *live, uint32_t router,
                         struct ferry_err *err)
{
    struct ferry_query *query = ferry_live_query(live, router);
    struct ferry_job job = {.router = router, .verb = FERRY_JOB_READ, .query = query};
    ferry_fleet_run(fleet, &job, 1);
    ferry_query_free(query);
    return take(live, &job, err);
}
