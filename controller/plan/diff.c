/* The changes of every router of a class, each with its stage.  After goal.c; docs/planner.md has the table.
 *
 * Invariants
 *  1. A blackhole is laid in an earlier stage than the one in which what stands above it goes, and its metric
 *     lies between the two that it separates.
 *  2. A live route is replaced under its own key.
 *  3. At a gateway no route stronger than the attachment coexists with it.
 *  4. Every blackhole of Ferry's is taken away in settle.
 *  5. Where a router speaks a protocol, what stands above the protocol's route stays above whatever it brings,
 *     from the pins to the last stage.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/live_routing.h"

#include <stdio.h>
#include <string.h>

struct diff {
    struct ferry_work *work;
    struct ferry_plan *plan;
    struct ferry_slotted_list *list;
    uint32_t group;
};

static uint32_t table(const struct diff *d, uint32_t v)
{
    const struct ferry_work *w = d->work;
    const struct ferry_stack *stack = w->nodes[v].stack;
    if (stack && stack->entries[0]->type != FERRY_GATEWAY)
        return stack->entries[0]->table;
    return ferry_topology_table(w->t, v, w->live->subnets[w->class->column]);
}

static const char *say(const struct diff *d, const char *fmt, ...) FERRY_PRINTF(2, 3);
static const char *say(const struct diff *d, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return ferry_plan_string(d->plan, ferry_strdup(text));
}

/* "edge-a", "edge-a and edge-b", "edge-a, edge-b and 3 more" */
static const char *through(const struct diff *d, const struct ferry_entry *way, char *buf, size_t size)
{
    const char *names[2] = {"?", "?"};
    uint32_t n = 0, last = FERRY_NONE;
    for (uint16_t i = 0; i < way->n_nexthops; i++) {
        uint32_t w = way->nexthops[i].router;
        if (w == last)
            continue; /* a parallel link; next hops are sorted by router */
        last = w;
        if (n < 2)
            names[n] = w < d->work->n ? d->work->t->routers[w].name : "a router that Ferry does not know";
        n++;
    }
    if (n <= 1)
        snprintf(buf, size, "%s", names[0]);
    else if (n == 2)
        snprintf(buf, size, "%s and %s", names[0], names[1]);
    else
        snprintf(buf, size, "%s, %s and %u more", names[0], names[1], n - 2);
    return buf;
}

static void emit(struct diff *d, uint32_t slot, uint32_t v, enum ferry_kind kind,
                 const struct ferry_entry *before, const struct ferry_entry *after, const char *why)
{
    const struct ferry_entry *key = before ? before : after;
    FERRY_GROW(d->list->v, d->list->n);
    d->list->v[d->list->n++] =
        (struct ferry_slotted){.slot = slot,
                               .change = {.router = v,
                                          .group = d->group,
                                          .kind = kind,
                                          .table = kind == FERRY_KIND_ROUTE ? key->table : table(d, v),
                                          .metric = kind == FERRY_KIND_ROUTE ? key->metric : 0,
                                          .before = before,
                                          .after = after,
                                          .why = why}};
}

static void emit_route(struct diff *d, uint32_t slot, uint32_t v, const struct ferry_entry *before,
                       const struct ferry_entry *after, const char *why)
{
    emit(d, slot, v, FERRY_KIND_ROUTE, before, after, why);
}

/* Ferry's own unicast with the next hops of `way`. */
static const struct ferry_entry *route(const struct diff *d, const struct ferry_entry *way, uint32_t in_table,
                                       uint32_t metric)
{
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = in_table,
                            .metric = metric,
                            .protocol = FERRY_PROTOCOL,
                            .n_nexthops = way->n_nexthops,
                            .nexthops = way->nexthops};
    return ferry_pool_entry(d->work->pool, &e);
}

/* ---- Metrics. ---- */

static const struct ferry_driver_config *driver(const struct diff *d, uint32_t v)
{
    return &d->work->t->routers[v].driver;
}

/* Of a route where there was none. */
static uint32_t usual_metric(const struct diff *d, uint32_t v)
{
    return ferry_driver_has_distances(driver(d, v)) ? FERRY_DISTANCE_ROUTE : FERRY_METRIC_ROUTE;
}

/* Of a blackhole; invariant 5. */
static uint32_t usual_drop(const struct diff *d, uint32_t v)
{
    if (driver(d, v)->routing != FERRY_ROUTING_STATIC)
        return ferry_routing_distance(driver(d, v)->routing) - 1;
    return ferry_driver_has_distances(driver(d, v)) ? FERRY_DISTANCE_DROP : FERRY_METRIC_DROP;
}

/* The weakest that a blackhole can be. */
static uint32_t last_metric(const struct diff *d, uint32_t v)
{
    return ferry_driver_has_distances(driver(d, v)) ? usual_drop(d, v) : UINT32_MAX;
}

static bool is_ours(const struct ferry_entry *e)
{
    return e->type == FERRY_BLACKHOLE && e->protocol == FERRY_PROTOCOL;
}

/* ---- Blackholes. ---- */

struct drop {
    const struct ferry_entry *entry;    /* NULL: none is needed */
    const struct ferry_entry *replaced; /* a backup under the same key */
    bool found;                         /* it is there already, left over from before */
    uint32_t removed;                   /* entries [1, removed) of the stack have to go as well */
};

/* Above `floor` and below the first entry that can stay: the usual metric, or the nearest that fits; where
 * none does, that entry's own place. */
static int find_drop(const struct diff *d, uint32_t v, uint32_t floor, struct drop *ret,
                     struct ferry_err *err)
{
    const struct ferry_stack *stack = d->work->nodes[v].stack;
    uint32_t i = 1, n = stack ? stack->n : 0, usual = usual_drop(d, v), metric = usual;
    struct drop drop = {0};
    if (floor >= last_metric(d, v))
        return ferry_refuse(err, "no-metric", "%s: on %s no metric is left for a blackhole under metric %u",
                            d->work->subject, d->work->t->routers[v].name, floor);
    while (i < n && stack->entries[i]->metric <= floor)
        i++; /* would be stronger than what it has to stay under */
    const struct ferry_entry *next = i < n ? stack->entries[i] : NULL;
    drop.removed = i;
    if (next && is_ours(next) && next->metric <= last_metric(d, v)) {
        drop.entry = next;
        drop.found = true;
        *ret = drop;
        return 0;
    }
    if (next && next->metric == floor + 1)
        drop.replaced = next;
    if (floor >= usual || drop.replaced)
        metric = floor + 1;
    else if (next && next->metric <= usual)
        metric = next->metric - 1;
    struct ferry_entry e = {
        .type = FERRY_BLACKHOLE, .table = table(d, v), .metric = metric, .protocol = FERRY_PROTOCOL};
    drop.entry = ferry_pool_entry(d->work->pool, &e);
    *ret = drop;
    return 0;
}

static void emit_drop(struct diff *d, uint32_t slot, uint32_t v, const struct drop *drop)
{
    const struct ferry_stack *stack = d->work->nodes[v].stack;
    const char *subject = d->work->subject;
    for (uint32_t i = 1; stack && i < drop->removed && i < stack->n; i++)
        emit_route(d, 0, v, stack->entries[i], NULL,
                   "make room: this backup would beat the gateway or the blackhole");
    if (drop->replaced)
        emit_route(
            d, slot, v, drop->replaced, drop->entry,
            say(d, "drop %s here once the way above is gone, instead of falling to this backup", subject));
    else if (!drop->found)
        emit_route(d, slot, v, NULL, drop->entry,
                   say(d, "drop %s here once the %s above is gone, instead of falling to anything else",
                       subject, d->work->nodes[v].is_old ? "gateway" : "route"));
}

static void emit_drop_end(struct diff *d, uint32_t v, const struct drop *drop)
{
    if (drop->entry)
        emit_route(d, FERRY_SLOT_SETTLE, v, drop->entry, NULL, "the blackhole has done its work");
}

/* Blackholes of Ferry's that an earlier run left below entry `from`. */
static void emit_leftovers(struct diff *d, uint32_t v, uint32_t from, const struct ferry_entry *except)
{
    const struct ferry_stack *stack = d->work->nodes[v].stack;
    for (uint32_t i = from; stack && i < stack->n; i++)
        if (is_ours(stack->entries[i]) && stack->entries[i] != except)
            emit_route(d, FERRY_SLOT_SETTLE, v, stack->entries[i], NULL, "left over from an earlier move");
}

/* ---- The four kinds of routers. ---- */

static void emit_unpin(struct diff *d, uint32_t v, const struct ferry_entry *last)
{
    char protocol[16];
    const struct ferry_node *node = &d->work->nodes[v];
    if (node->foretold && last && !d->work->fence)
        emit_route(d, FERRY_SLOT_UNPIN, v, last, NULL,
                   say(d, "unpin: leave %s to %s again, once it goes the same way", d->work->subject,
                       ferry_protocol_name(node->foretold->protocol, protocol)));
}

static int diff_old_gateway(struct diff *d, uint32_t v, struct ferry_err *err)
{
    struct ferry_work *w = d->work;
    const struct ferry_node *node = &w->nodes[v];
    const struct ferry_entry *gateway = node->stack->entries[0];
    uint32_t floor = ferry_gateway_metric(w, v);
    struct drop drop;
    char names[160];
    /* One more, so that the new route fits between a metric of 0 and the blackhole. */
    int r = find_drop(d, v, floor ? floor : 1, &drop, err);
    if (r < 0)
        return r;
    uint32_t usual = usual_metric(d, v), metric = drop.entry->metric > usual ? usual : drop.entry->metric - 1;
    const struct ferry_entry *last = route(d, node->fresh, table(d, v), metric);
    emit_drop(d, 0, v, &drop);
    emit_drop_end(d, v, &drop);
    emit(d, FERRY_SLOT_DETACH, v, FERRY_KIND_GATEWAY, gateway, NULL,
         say(d, "let go of %s at %s", w->subject, w->t->sites[w->class->from].name));
    emit_route(
        d, FERRY_SLOT_ATTACH, v, NULL, last,
        say(d, "reach %s through %s from now on", w->subject, through(d, node->fresh, names, sizeof names)));
    emit_leftovers(d, v, drop.removed, drop.entry);
    emit_unpin(d, v, last);
    return 0;
}

/* The route that stands until the hand-over, laid or repaired first where need be; NULL: there is none.
 * `ret_slot`: from where on a blackhole may lie under it. */
static const struct ferry_entry *diff_pin(struct diff *d, uint32_t v, uint32_t *ret_slot)
{
    struct ferry_work *w = d->work;
    const struct ferry_node *node = &w->nodes[v];
    const struct ferry_entry *live = node->stack ? node->stack->entries[0] : NULL;
    char names[160];
    *ret_slot = 0;
    if (!node->pinned && w->round[v] == FERRY_NONE)
        return live;
    const struct ferry_entry *pin =
        route(d, w->whole[v], table(d, v), live ? live->metric : usual_metric(d, v));
    uint32_t slot = w->round[v] == FERRY_NONE ? 0 : w->round[v];
    emit_route(d, slot, v, live, pin,
               say(d, "reach %s through %s explicitly until the old gateway lets go", w->subject,
                   through(d, pin, names, sizeof names)));
    if (!live) /* with a live route the blackhole may lie there from the start */
        *ret_slot = slot + 1;
    return pin;
}

static int diff_critical(struct diff *d, uint32_t v, struct ferry_err *err)
{
    struct ferry_work *w = d->work;
    const struct ferry_node *node = &w->nodes[v];
    uint32_t slot, floor = 0, metric = usual_metric(d, v);
    struct drop drop = {0};
    char names[160];
    const struct ferry_entry *pin = diff_pin(d, v, &slot);
    if (pin)
        floor = metric = pin->metric;
    if (node->is_new && ferry_gateway_metric(w, v) > floor)
        floor = ferry_gateway_metric(w, v);
    if (pin || node->cover) {
        int r = find_drop(d, v, floor, &drop, err);
        if (r < 0)
            return r;
        emit_drop(d, !pin && w->fence ? FERRY_SLOT_DETACH : slot, v, &drop);
    }
    if (node->fresh)
        emit_drop_end(d, v, &drop);
    if (pin)
        emit_route(d, FERRY_SLOT_DETACH, v, pin, NULL,
                   say(d, "%s %s while it is nowhere%s", w->fence ? "fence: drop" : "drop", w->subject,
                       node->is_new ? "; its gateway follows" : ""));
    if (!node->fresh) { /* fenced, and no other way: it drops until a lost router is back */
        emit_leftovers(d, v, drop.removed ? drop.removed : 1, drop.entry);
        return 0;
    }
    if (node->is_new) {
        static const struct ferry_entry plain = {.type = FERRY_GATEWAY};
        emit(d, FERRY_SLOT_ATTACH, v, FERRY_KIND_GATEWAY, NULL, ferry_pool_entry(w->pool, &plain),
             say(d, "take up %s at %s", w->subject, w->t->sites[w->class->to].name));
    } else {
        const struct ferry_entry *last = route(d, node->fresh, table(d, v), metric);
        emit_unpin(d, v, last);
        emit_route(d, FERRY_SLOT_ATTACH, v, NULL, last,
                   say(d, "reach %s through %s, the new way", w->subject,
                       through(d, node->fresh, names, sizeof names)));
    }
    emit_leftovers(d, v, drop.removed ? drop.removed : 1, drop.entry);
    return 0;
}

static void diff_plain(struct diff *d, uint32_t v)
{
    struct ferry_work *w = d->work;
    const struct ferry_node *node = &w->nodes[v];
    const struct ferry_entry *live = node->stack ? node->stack->entries[0] : NULL, *last = live;
    char names[160];
    bool over_drop = w->reconcile && live && is_ours(live) && live->metric > usual_metric(d, v);
    if (w->round[v] != FERRY_NONE) { /* the last of Ferry's drops goes; nothing of it stays as a metric */
        last = route(d, node->fresh, table(d, v), live && !over_drop ? live->metric : usual_metric(d, v));
        emit_route(d, w->round[v], v, over_drop ? NULL : live, last,
                   say(d,
                       node->delivers ? "reach %s through %s now, before the old gateway lets go"
                                      : "reach %s through %s: it had no way until now",
                       w->subject, through(d, node->fresh, names, sizeof names)));
    }
    emit_unpin(d, v, last);
    emit_leftovers(d, v, over_drop && last != live ? 0 : 1, NULL);
}

/* ---- What routers announce and learn. ---- */

static void emit_protocol(struct diff *d, uint32_t v)
{
    struct ferry_work *w = d->work;
    const struct ferry_node *node = &w->nodes[v];
    enum ferry_routing routing = driver(d, v)->routing;
    char protocol[16], names[160];
    if (node->pin)
        emit_route(d, FERRY_SLOT_PIN, v, NULL, node->pin,
                   say(d, "pin: hold %s on its way through %s, whatever %s does meanwhile", w->subject,
                       through(d, node->pin, names, sizeof names), ferry_routing_name(routing)));
    if (node->announced)
        emit(d, FERRY_SLOT_DETACH, v, FERRY_KIND_ANNOUNCEMENT, node->announced, NULL,
             say(d, "announce %s in %s no more", w->subject,
                 ferry_protocol_name(node->announced->protocol, protocol)));
    if (node->is_new && w->announces && routing != FERRY_ROUTING_STATIC) {
        struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT, .protocol = ferry_routing_protocol(routing)};
        emit(d, FERRY_SLOT_ATTACH, v, FERRY_KIND_ANNOUNCEMENT, NULL, ferry_pool_entry(w->pool, &e),
             say(d, "announce %s in %s from now on", w->subject, ferry_routing_name(routing)));
    }
    if (node->learnt != node->foretold && !w->fence) /* interned; with lost speakers nothing is foretold */
        emit_route(d, FERRY_SLOT_ATTACH, v, node->learnt, node->foretold,
                   say(d, "%s follows by itself, beneath what is pinned", ferry_routing_name(routing)));
}

static void warn_pathless(const struct diff *d)
{
    uint32_t n = 0, first = FERRY_NONE;
    for (uint32_t v = 0; v < d->work->n; v++)
        if (!d->work->nodes[v].fresh && !d->work->live->lost[v] && !d->work->nodes[v].critical) {
            first = n++ ? first : v;
        }
    if (n == 1)
        ferry_plan_warn(d->plan, "%s: %s has no path to %s and is left as it is", d->work->subject,
                        d->work->t->routers[first].name, d->work->t->sites[d->work->class->to].name);
    else if (n)
        ferry_plan_warn(d->plan, "%s: %s and %u more routers have no path to %s and are left as they are",
                        d->work->subject, d->work->t->routers[first].name, n - 1,
                        d->work->t->sites[d->work->class->to].name);
}

int ferry_work_lay_drop(struct ferry_work *work, struct ferry_plan *plan, uint32_t group, uint32_t router,
                        struct ferry_slotted_list *ret, struct ferry_err *err)
{
    struct diff d = {.work = work, .plan = plan, .list = ret, .group = group};
    struct drop drop;
    int r = find_drop(&d, router, ferry_gateway_metric(work, router), &drop, err);
    if (r == 0)
        emit_drop(&d, 0, router, &drop);
    return r;
}

int ferry_work_diff(struct ferry_work *work, struct ferry_plan *plan, uint32_t group,
                    struct ferry_slotted_list *ret, struct ferry_err *err)
{
    struct diff d = {.work = work, .plan = plan, .list = ret, .group = group};
    for (uint32_t v = 0; v < work->n; v++) {
        const struct ferry_node *node = &work->nodes[v];
        int r = 0;
        if (work->live->lost[v])
            continue;
        if (node->is_old && node->is_new) { /* reconciling: it is where it belongs */
            emit_leftovers(&d, v, 1, NULL);
            continue;
        }
        emit_protocol(&d, v);
        if (work->stretched && (node->is_old || node->is_new))
            r = ferry_work_stretch_gateway(work, plan, group, v, ret, err);
        else if (node->is_old)
            r = diff_old_gateway(&d, v, err);
        else if (node->critical)
            r = diff_critical(&d, v, err);
        else
            diff_plain(&d, v);
        if (r < 0)
            return r;
    }
    warn_pathless(&d);
    return 0;
}
