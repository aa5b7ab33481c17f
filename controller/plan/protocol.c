/* Routers that speak BGP or OSPF: what they announce, what they learn, and how a move holds them still.
 *
 * A protocol changes the routes of its routers by itself and in an order of its own.  So each of them is pinned first:
 * a static route with the same next hops, of a better distance, lies over the protocol's.  The rest of the
 * planner then sees static routers.  What the protocol will have made of it in the end is foretold by shortest
 * paths; the engine waits until it is so before it takes the pins away.
 *
 * Used by check.c (before goal.c) and make.c (after it).  docs/planner.md has the stages.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/live_routing.h"

#include <string.h>

static enum ferry_routing routing_of(const struct ferry_work *work, uint32_t v)
{
    return work->t->routers[v].driver.routing;
}

/* ---- What is there. ---- */

static int check_router(const struct ferry_work *work, uint32_t v, struct ferry_err *err)
{
    const struct ferry_router *router = &work->t->routers[v];
    const struct ferry_entry *best = ferry_stack_best(work->nodes[v].stack);
    const char *type = router->driver.type;
    char text[256], protocol[16];
    if (router->driver.routing != FERRY_ROUTING_STATIC && strcmp(type, "frr") != 0 &&
        strcmp(type, "sim") != 0)
        return ferry_refuse(err, "routing",
                            "%s: %s speaks %s, which the driver %s cannot work with; use the driver frr",
                            work->subject, router->name, ferry_routing_name(router->driver.routing), type);
    if (!ferry_entry_dynamic(best))
        return 0;
    if (router->driver.routing == FERRY_ROUTING_STATIC)
        return ferry_refuse(err, "routing",
                            "%s: %s has its route from %s, but is static in the topology; say "
                            "\"routing\": \"%s\" there",
                            work->subject, router->name, ferry_protocol_name(best->protocol, protocol),
                            ferry_protocol_name(best->protocol, protocol));
    if (best->type != FERRY_UNICAST || best->metric <= FERRY_DISTANCE_ROUTE + 1)
        return ferry_refuse(err, "routing", "%s: what %s has learnt cannot be held still: %s", work->subject,
                            router->name, ferry_entry_text(best, text, sizeof text));
    return 0;
}

static int check_announcement(struct ferry_work *work, uint32_t v, uint32_t *first, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    const struct ferry_stack *held = work->nodes[v].held;
    const struct ferry_entry *e = held ? held->entries[held->n - 1] : NULL;
    if (!e || e->type != FERRY_ANNOUNCEMENT)
        return 0;
    if (held->n > 1 && held->entries[held->n - 2]->type == FERRY_ANNOUNCEMENT)
        return ferry_refuse(err, "duplicate-key", "%s: %s announces it in two protocols; leave one",
                            work->subject, t->routers[v].name);
    if (*first != FERRY_NONE && t->routers[*first].site != t->routers[v].site)
        return ferry_refuse(err, "two-sites", "%s is announced at two sites: %s (%s) and %s (%s)",
                            work->subject, t->routers[*first].name, t->sites[t->routers[*first].site].name,
                            t->routers[v].name, t->sites[t->routers[v].site].name);
    if (t->routers[v].site != work->class->from)
        return ferry_refuse(err, "announced",
                            "%s: %s (%s) announces it, but it is not attached there; withdraw it first",
                            work->subject, t->routers[v].name, t->sites[t->routers[v].site].name);
    *first = v;
    work->nodes[v].announced = e;
    return 0;
}

/* Lays the pin on top of the node's stack where a protocol's route forwards, or could beat what does. */
static int pin(struct ferry_work *work, uint32_t v, struct ferry_err *err)
{
    struct ferry_node *node = &work->nodes[v];
    const struct ferry_entry *best = ferry_stack_best(node->stack);
    char text[256];
    if (!best || best->type == FERRY_GATEWAY || routing_of(work, v) == FERRY_ROUTING_STATIC ||
        (!ferry_entry_dynamic(best) && best->metric < ferry_routing_distance(routing_of(work, v))))
        return 0;
    if (best->type != FERRY_UNICAST)
        return ferry_refuse(err, "routing", "%s: %s could get a route from %s that beats its own: %s",
                            work->subject, work->t->routers[v].name, ferry_routing_name(routing_of(work, v)),
                            ferry_entry_text(best, text, sizeof text));
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = best->table,
                            .metric = FERRY_DISTANCE_ROUTE,
                            .protocol = FERRY_PROTOCOL,
                            .n_nexthops = best->n_nexthops,
                            .nexthops = best->nexthops};
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(node->stack->n + 1, sizeof *entries);
    memcpy(entries, node->stack->entries, node->stack->n * sizeof *entries);
    entries[node->stack->n] = node->pin = ferry_pool_entry(work->pool, &e);
    node->learnt = ferry_entry_dynamic(best) ? best : NULL;
    node->stack = ferry_pool_stack(work->pool, entries, node->stack->n + 1);
    return 0;
}

int ferry_work_protocols(struct ferry_work *work, struct ferry_err *err)
{
    uint32_t first = FERRY_NONE;
    bool implicit = false;
    int r = 0;
    for (uint32_t v = 0; r == 0 && v < work->n; v++) {
        r = check_router(work, v, err);
        if (r == 0)
            r = check_announcement(work, v, &first, err);
        if (r == 0)
            r = pin(work, v, err);
        implicit = implicit || (work->nodes[v].is_old && routing_of(work, v) != FERRY_ROUTING_STATIC);
    }
    work->announces = first != FERRY_NONE || !implicit;
    return r;
}

/* ---- What will be. ---- */

/* Whether something that stays would be preferred to the protocol's route once the pin is gone. */
static bool is_beaten(const struct ferry_node *node, const struct ferry_entry *foretold)
{
    for (uint32_t i = 0; node->stack && i < node->stack->n; i++) {
        const struct ferry_entry *e = node->stack->entries[i];
        bool goes = e == node->pin || e == node->learnt || e->type == FERRY_GATEWAY ||
                    (e->type == FERRY_BLACKHOLE && e->protocol == FERRY_PROTOCOL);
        if (!goes && e->metric <= foretold->metric)
            return true;
    }
    return false;
}

/* A router that has its route from a protocol, had nothing or has been a gateway learns it again, if a new
 * gateway speaks the same. */
static const struct ferry_entry *foretell(const struct ferry_work *work, uint32_t v, const bool spoken[3])
{
    const struct ferry_node *node = &work->nodes[v];
    enum ferry_routing routing = routing_of(work, v);
    if (routing == FERRY_ROUTING_STATIC || !spoken[routing] || node->is_new || !node->fresh ||
        node->fresh->type != FERRY_UNICAST || !(node->pin || node->is_old || !node->stack))
        return NULL;
    struct ferry_entry e = *node->fresh;
    e.protocol = ferry_routing_protocol(routing);
    e.metric = ferry_routing_distance(routing);
    if (node->learnt && node->learnt->protocol != e.protocol)
        return NULL;
    if (node->learnt)
        e.metric = node->learnt->metric;
    if (is_beaten(node, &e))
        return NULL;
    return ferry_pool_entry(work->pool, &e);
}

/* Who does not choose shortest paths today will not choose those that are foretold. */
static int warn_of_other_ways(const struct ferry_work *work, struct ferry_plan *plan, struct ferry_err *err)
{
    const struct ferry_entry *const *shortest;
    FERRY_AUTOFREE bool *gateways = ferry_calloc(work->n, sizeof *gateways);
    char learnt[200], other[200];
    for (uint32_t v = 0; v < work->n; v++)
        gateways[v] = work->nodes[v].is_old;
    if (!work->n_old)
        return 0;
    int r = ferry_goals_get(work->goals, gateways, work->subnet->prefix.addr.family, work->subnet->table,
                            &shortest, err);
    for (uint32_t v = 0; r == 0 && v < work->n; v++) {
        const struct ferry_node *node = &work->nodes[v];
        if (!node->learnt || !node->foretold || !shortest[v] ||
            ferry_entry_equal(node->learnt, shortest[v], FERRY_CMP_FORWARDING))
            continue;
        struct ferry_entry expected = *node->learnt;
        expected.nexthops = shortest[v]->nexthops;
        expected.n_nexthops = shortest[v]->n_nexthops;
        ferry_plan_warn(
            plan,
            "%s: %s goes another way than the topology's costs say (%s, not %s): should %s choose so "
            "again after the move, the move is undone; make the topology's costs like the protocol's",
            work->subject, work->t->routers[v].name, ferry_entry_text(node->learnt, learnt, sizeof learnt),
            ferry_entry_text(&expected, other, sizeof other), ferry_routing_name(routing_of(work, v)));
    }
    return r;
}

int ferry_work_foretell(struct ferry_work *work, struct ferry_plan *plan, struct ferry_err *err)
{
    bool spoken[3] = {false};
    for (uint32_t v = 0; v < work->n; v++)
        if (work->nodes[v].is_new)
            spoken[routing_of(work, v)] = true;
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        node->foretold = foretell(work, v, spoken);
        enum ferry_routing routing = routing_of(work, v);
        bool left = routing != FERRY_ROUTING_STATIC && (node->pin || node->is_old) && !node->is_new;
        if (left && !node->foretold)
            ferry_plan_warn(plan, "%s: %s keeps a static route of Ferry's: %s", work->subject,
                            work->t->routers[v].name,
                            spoken[routing] ? "another static one would beat what its protocol brings"
                                            : "no new gateway announces it in the router's protocol");
    }
    return warn_of_other_ways(work, plan, err);
}
