/* Subnets that live at several sites at once: the new site is attached before the old one is left, and
 * nothing is dropped.
 *
 * With p the gateways that are left and q those of the new site:
 *   prepare  under each gateway of p its new route is laid; at q what would beat the attachment makes room
 *            q attaches; then everybody else takes the new way, in rounds (goal.c, order.c)
 *   detach   p lets go, and forwards by the route beneath
 *   settle   at q the route that led to p goes
 * Used by goal.c, diff.c and make.c.  docs/planner.md has the argument.
 *
 * Invariants
 *  1. A router that holds something holds something that forwards, in every state.
 *  2. At a gateway no route stronger than the attachment coexists with it: what would be is laid once more
 *     beneath, and goes, before the gateway comes.
 *  3. q is attached in an earlier stage than the first round, p lets go in a later one than the last.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/live_routing.h"

#include <string.h>

/* Prepare slots.  Rounds come after SLOT_ATTACH. */
enum { SLOT_UNDER, SLOT_ROOM, SLOT_ATTACH, N_SLOTS };

int ferry_work_stretch(struct ferry_work *work, struct ferry_plan *plan, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    const char *from = work->class->from == FERRY_NONE ? NULL : t->sites[work->class->from].name;
    for (uint32_t v = 0; v < work->n; v++) {
        const struct ferry_router *r = &t->routers[v];
        const struct ferry_stack *held = work->nodes[v].held;
        if (r->driver.routing != FERRY_ROUTING_STATIC ||
            (held && held->entries[held->n - 1]->type == FERRY_ANNOUNCEMENT))
            return ferry_refuse(
                err, "routing",
                "%s is stretched, and %s speaks %s: two sites that announce it at once, in an "
                "order that nobody can say, are not supported",
                work->subject, r->name,
                r->driver.routing == FERRY_ROUTING_STATIC ? "a routing protocol"
                                                          : ferry_routing_name(r->driver.routing));
    }
    ferry_plan_warn(
        plan,
        "%s is stretched: it lives at %s%s%s at once, which are one fault domain for it: a storm, a "
        "loop or a split of its network hits both, and Ferry cannot keep the sites apart",
        work->subject, from ? from : "several sites", from ? " and " : "",
        from ? t->sites[work->class->to].name : "");
    return 0;
}

void ferry_work_stretch_rounds(struct ferry_work *work)
{
    for (uint32_t v = 0; v < work->n; v++)
        if (work->round[v] != FERRY_NONE)
            work->round[v] += N_SLOTS;
}

/* ---- Changes. ---- */

struct stretch {
    struct ferry_work *work;
    struct ferry_plan *plan;
    struct ferry_slotted_list *list;
    uint32_t group, router, table;
};

static void emit(struct stretch *s, uint32_t slot, enum ferry_kind kind, const struct ferry_entry *before,
                 const struct ferry_entry *after, char *why)
{
    const struct ferry_entry *key = before ? before : after;
    FERRY_GROW(s->list->v, s->list->n);
    s->list->v[s->list->n++] =
        (struct ferry_slotted){.slot = slot,
                               .change = {.router = s->router,
                                          .group = s->group,
                                          .kind = kind,
                                          .table = s->table,
                                          .metric = kind == FERRY_KIND_ROUTE ? key->metric : 0,
                                          .before = before,
                                          .after = after,
                                          .why = ferry_plan_string(s->plan, why)}};
}

/* Ferry's own route that goes the way of `way`. */
static const struct ferry_entry *route(const struct stretch *s, const struct ferry_entry *way,
                                       uint32_t metric)
{
    struct ferry_entry e = *way;
    e.table = s->table;
    e.metric = metric;
    e.protocol = FERRY_PROTOCOL;
    e.native_len = 0;
    e.native = NULL;
    return ferry_pool_entry(s->work->pool, &e);
}

/* A metric above `floor` that nothing in entries [from, n) has, and before the first of them that is no
 * blackhole of Ferry's: the usual one, or the nearest; 0: there is none. */
static uint32_t free_metric(const struct stretch *s, uint32_t floor, uint32_t from, uint32_t usual,
                            uint32_t most)
{
    const struct ferry_stack *stack = s->work->nodes[s->router].stack;
    uint32_t metric = floor < usual ? usual : floor + 1;
    for (uint32_t i = from; stack && i < stack->n; i++)
        if (stack->entries[i]->metric <= metric)
            metric = stack->entries[i]->metric - 1;
    return floor < most && metric > floor ? metric : 0;
}

static int no_metric(const struct stretch *s, struct ferry_err *err)
{
    return ferry_refuse(err, "no-metric", "%s: on %s no metric is left for a route beneath the gateway",
                        s->work->subject, s->work->t->routers[s->router].name);
}

/* Blackholes that an earlier run left: beneath everything, they go in the end. */
static void emit_leftovers(struct stretch *s, uint32_t from)
{
    const struct ferry_stack *stack = s->work->nodes[s->router].stack;
    for (uint32_t i = from; stack && i < stack->n; i++)
        if (stack->entries[i]->type == FERRY_BLACKHOLE && stack->entries[i]->protocol == FERRY_PROTOCOL)
            emit(s, FERRY_SLOT_SETTLE, FERRY_KIND_ROUTE, stack->entries[i], NULL,
                 ferry_strdup("left over from an earlier move"));
}

static int leave(struct stretch *s, struct ferry_err *err)
{
    struct ferry_work *w = s->work;
    const struct ferry_node *node = &w->nodes[s->router];
    bool distances = ferry_driver_has_distances(&w->t->routers[s->router].driver);
    uint32_t floor = ferry_gateway_metric(w, s->router);
    uint32_t metric = free_metric(s,
                                  floor       ? floor
                                  : distances ? 0
                                              : 1,
                                  1, distances ? FERRY_DISTANCE_ROUTE : FERRY_METRIC_ROUTE,
                                  distances ? FERRY_DISTANCE_DROP : UINT32_MAX - 1);
    if (!metric)
        return no_metric(s, err);
    emit(s, SLOT_UNDER, FERRY_KIND_ROUTE, NULL, route(s, node->fresh, metric),
         ferry_asprintf("lie beneath the gateway: the way to %s once it has gone from here", w->subject));
    emit(s, FERRY_SLOT_DETACH, FERRY_KIND_GATEWAY, node->stack->entries[0], NULL,
         ferry_asprintf("leave %s at %s: %s has it already", w->subject,
                        w->t->sites[w->t->routers[s->router].site].name, w->t->sites[w->class->to].name));
    emit_leftovers(s, 1);
    return 0;
}

/* Invariant 2: the way of today once more, beneath the gateway; then the stronger ones go. */
static int make_room(struct stretch *s, uint32_t n_strong, const struct ferry_entry **ret,
                     struct ferry_err *err)
{
    const struct ferry_stack *stack = s->work->nodes[s->router].stack;
    uint32_t metric =
        free_metric(s, ferry_gateway_metric(s->work, s->router), n_strong, FERRY_METRIC_DROP, UINT32_MAX - 1);
    if (!metric)
        return no_metric(s, err);
    *ret = route(s, stack->entries[0], metric);
    emit(s, SLOT_UNDER, FERRY_KIND_ROUTE, NULL, *ret,
         ferry_strdup("the same way once more, beneath the gateway that follows"));
    for (uint32_t i = 0; i < n_strong;
         i++) /* those beneath the live one before it: none may ever be on top */
        emit(s, i ? SLOT_UNDER : SLOT_ROOM, FERRY_KIND_ROUTE, stack->entries[i], NULL,
             ferry_strdup("make room: this route would beat the gateway"));
    return 0;
}

static int take_up(struct stretch *s, struct ferry_err *err)
{
    static const struct ferry_entry plain = {.type = FERRY_GATEWAY};
    struct ferry_work *w = s->work;
    const struct ferry_stack *stack = w->nodes[s->router].stack;
    const struct ferry_entry *live = stack ? stack->entries[0] : NULL;
    uint32_t n_strong = 0;
    while (stack && n_strong < stack->n &&
           stack->entries[n_strong]->metric <= ferry_gateway_metric(w, s->router))
        n_strong++;
    if (n_strong) {
        int r = make_room(s, n_strong, &live, err);
        if (r < 0)
            return r;
    }
    emit(s, SLOT_ATTACH, FERRY_KIND_GATEWAY, NULL, ferry_pool_entry(w->pool, &plain),
         ferry_asprintf("take up %s at %s while it is still served elsewhere", w->subject,
                        w->t->sites[w->class->to].name));
    if (live)
        emit(s, FERRY_SLOT_SETTLE, FERRY_KIND_ROUTE, live, NULL,
             ferry_strdup("beneath the gateway it leads nowhere any more"));
    emit_leftovers(s, n_strong ? n_strong : 1);
    return 0;
}

int ferry_work_stretch_gateway(struct ferry_work *work, struct ferry_plan *plan, uint32_t group,
                               uint32_t router, struct ferry_slotted_list *ret, struct ferry_err *err)
{
    const struct ferry_node *node = &work->nodes[router];
    struct stretch s = {.work = work, .plan = plan, .list = ret, .group = group, .router = router};
    s.table = ferry_topology_table(work->t, router, work->live->subnets[work->class->column]);
    if (node->stack && node->stack->entries[node->stack->n - 1]->type != FERRY_GATEWAY)
        s.table = node->stack->entries[node->stack->n - 1]->table;
    if (node->is_old && node->is_new) {
        emit_leftovers(&s, 1);
        return 0;
    }
    return node->is_old ? leave(&s, err) : take_up(&s, err);
}
