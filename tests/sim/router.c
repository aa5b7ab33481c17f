/* What a router does: it serves messages one after the other, each op an event of its own, so that routers change in
 * every order and between any two changes something else may come.  Beside that: timers of its dead-man, restarts, and
 * strangers who write to it.
 *
 *  1. Messages are served in the order in which they came.  A new session ends the older ones: what they still had on
 *     the way is not served: a claim's doing (drivers/remote/claim.c).  `--unfenced` lets it be served.
 *  2. Whatever changes a table ends in router_changed, and so before the packet walker.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include "base/mem.h"
#include "txn/txn_engine.h"

#include <string.h>

/* ---- Tables. ---- */

void router_clear(struct router *r)
{
    ferry_sim_table_clear(&r->table);
    ferry_sim_table_clear(&r->saved);
    ferry_sim_table_clear(&r->planned);
    ferry_sim_deadman_clear(&r->deadman);
    *r = (struct router){0};
}

void table_copy(struct ferry_sim_table *to, const struct ferry_sim_table *from)
{
    ferry_sim_table_clear(to);
    for (size_t i = 0; i < from->n_devices; i++)
        ferry_sim_table_add_device(to, from->devices[i]);
    for (size_t i = 0; i < from->n; i++) {
        const struct ferry_sim_slot *s = from->slots[i];
        for (size_t k = 0; k < s->n_routes; k++)
            ferry_sim_table_set(to, &s->prefix, s->routes[k].table, s->routes[k].metric, &s->routes[k]);
        if (s->attached)
            ferry_sim_table_attach(to, &s->prefix, &s->place, &s->attachment);
        if (s->announced)
            ferry_sim_table_announce(to, &s->prefix, &s->announcement);
    }
}

const struct ferry_entry *router_key(const struct router *r, const struct ferry_op *op)
{
    const struct ferry_sim_slot *s = ferry_sim_table_find(&r->table, &op->prefix);
    if (!s)
        return NULL;
    if (op->kind == FERRY_KIND_GATEWAY)
        return s->attached ? &s->attachment : NULL;
    if (op->kind == FERRY_KIND_ANNOUNCEMENT)
        return s->announced ? &s->announcement : NULL;
    return ferry_sim_slot_route(s, op->table ? op->table : FERRY_TABLE_MAIN, op->metric);
}

/* ---- Serving. ---- */

static bool is_moved(const struct world *w, const struct ferry_prefix *prefix)
{
    for (size_t i = 0; i < w->topology->n_subnets; i++)
        if (ferry_prefix_equal(&w->topology->subnets[i].prefix, prefix))
            return true;
    return false;
}

static void finish(struct world *w, struct message *m)
{
    if (m->duplicate && !m->doubled &&
        !m->closed) { /* it comes a second time, and one of the two answers is heard */
        m->doubled = true;
        bool second = rng_below(&w->rng, 2);
        for (size_t i = 0; i < m->work.n_ops; i++) {
            struct ferry_op again = m->work.ops[i];
            again.why = NULL;
            ferry_sim_table_op(&w->routers[m->router].table, &again, true);
            if (second)
                m->work.ops[i].outcome = again.outcome;
            ferry_op_clear(&again);
            router_changed(w, m->router, &m->work.ops[i].prefix, BY_FERRY);
        }
    }
    message_reply(w, m);
}

static bool is_over(const struct world *w, const struct message *m)
{
    return m->closed || (m->session != w->routers[m->router].session && !w->options->unfenced);
}

/* No router acknowledges what its routing protocol will make of it. */
static bool is_learnt(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_ROUTE &&
           (ferry_entry_dynamic(op->before) || ferry_entry_dynamic(op->after));
}

static void one_op(struct world *w, struct message *m, struct ferry_op *op)
{
    struct router *r = &w->routers[m->router];
    static const enum fault faults[] = {F_REFUSED, F_LIAR};
    for (size_t i = 0; i < FERRY_COUNT(faults); i++)
        if (w->faulty && !is_learnt(op) && rng_in(&w->rng, 4)) {
            w->counts->faults[faults[i]]++;
            op->outcome = faults[i] == F_LIAR ? FERRY_DONE : FERRY_REFUSED;
            trace(w, "%s: %s", w->topology->routers[m->router].name, fault_names[faults[i]]);
            return;
        }
    if (!is_moved(w, &op->prefix))
        violation(w, "%s: an op on a prefix that is not moved", w->topology->routers[m->router].name);
    ferry_sim_table_op(&r->table, op, true);
    trace(w, "%s: op %d metric %u: %s", w->topology->routers[m->router].name, (int)op->kind, op->metric,
          ferry_outcome_name(op->outcome));
    if (op->outcome == FERRY_DONE)
        router_changed(w, m->router, &op->prefix, BY_FERRY);
}

static void next_op(struct world *w, void *what, uint64_t i)
{
    struct message *m = what;
    m->events--;
    if (!is_over(w, m)) {
        one_op(w, m, &m->work.ops[i]);
        if (i + 1 == m->work.n_ops)
            finish(w, m);
    }
    message_let_go(w, m);
}

static void deadman_fire_at(struct world *w, uint32_t r);

/* As drivers/sim/sim.c has it, on the clock of the router since it was started. */
static void serve_deadman(struct world *w, struct message *m)
{
    struct ferry_sim_deadman *d = &w->routers[m->router].deadman;
    const struct ferry_deadman *asked = m->work.deadman;
    enum ferry_deadman_verb verb = m->work.deadman_verb;
    if (verb == FERRY_DEADMAN_ARM && d->id && strcmp(d->id, asked->id) && ferry_sim_deadman_waits(d)) {
        m->work.result =
            ferry_error(&m->work.err, FERRY_EIO, "the undo of transaction %s is armed on this router", d->id);
        return;
    }
    bool mine = d->id && !strcmp(d->id, asked->id);
    if (verb == FERRY_DEADMAN_ARM &&
        (!mine || d->state == FERRY_DEADMAN_ARMED || d->state == FERRY_DEADMAN_NONE)) {
        ferry_sim_deadman_arm(d, asked);
        mine = true;
    }
    bool armed = mine && d->state == FERRY_DEADMAN_ARMED;
    if (armed && verb == FERRY_DEADMAN_ARM)
        d->deadline_us = now_us() + 1000000ull * asked->seconds;
    m->work.deadman_left_s = 0;
    m->work.deadman_state = mine ? ferry_sim_deadman_answer(d, verb, asked, now_us(), &m->work.deadman_left_s)
                                 : FERRY_DEADMAN_NONE;
    if (!armed || verb == FERRY_DEADMAN_LOOK)
        return;
    trace(w, "%s: dead-man, verb %d: %u s left", w->topology->routers[m->router].name, (int)verb,
          m->work.deadman_left_s);
    if (verb == FERRY_DEADMAN_ARM || verb == FERRY_DEADMAN_EXTEND || verb >= FERRY_DEADMAN_NEXT)
        deadman_fire_at(w, m->router);
}

static void serve(struct world *w, void *what, uint64_t arg)
{
    struct message *m = what;
    struct router *r = &w->routers[m->router];
    (void)arg;
    m->events--;
    m->work.result = 0;
    if (m->work.verb == VERB_OPEN && !m->closed && m->session > r->session)
        r->session = m->session;
    if (is_over(w, m)) {
        message_let_go(w, m);
        return;
    }
    if (m->work.verb == FERRY_JOB_APPLY && m->work.n_ops) {
        unsigned gap = w->faulty && rng_in(&w->rng, 20) ? 300000 : 40;
        uint64_t when = now_us();
        for (size_t i = 0; i < m->work.n_ops; i++, when += rng_below(&w->rng, gap)) {
            m->events++;
            at(when, next_op, m, i);
        }
        r->free_us = when;
        return;
    }
    if (m->work.verb == FERRY_JOB_READ)
        ferry_sim_table_read(&r->table, m->work.query, &m->work.fib);
    for (size_t i = 0; m->work.verb == FERRY_JOB_CHECK && i < m->work.n_ops; i++)
        ferry_sim_table_op(&r->table, &m->work.ops[i], false);
    if (m->work.verb == FERRY_JOB_PERSIST)
        table_copy(&r->saved, &r->table);
    if (m->work.verb == FERRY_JOB_DEADMAN)
        serve_deadman(w, m);
    message_reply(w, m);
    message_let_go(w, m);
}

void router_hear(struct world *w, void *message, uint64_t arg)
{
    struct message *m = message;
    struct router *r = &w->routers[m->router];
    uint64_t when = now_us();
    (void)arg;
    if (r->frozen_us > when)
        when = r->frozen_us + (w->options->unfenced ? rng_below(&w->rng, 2000000) : 0);
    if (r->free_us > when && !w->options->unfenced)
        when = r->free_us;
    if (when == now_us()) {
        serve(w, m, 0);
        return;
    }
    r->free_us = when;
    at(when, serve, m, 0);
}

/* ---- The timer. ---- */

static void on_timer(struct world *w, void *what, uint64_t r)
{
    (void)what;
    router_timer(w, (uint32_t)r);
}

static void deadman_fire_at(struct world *w, uint32_t r)
{
    const struct ferry_sim_deadman *d = &w->routers[r].deadman;
    at(d->deadline_us, on_timer, NULL, r);
    if (d->next_us)
        at(d->next_us, on_timer, NULL, r);
    for (size_t i = 0; i < d->n_steps; i++)
        at(ferry_sim_deadman_due(d, &d->steps[i]), on_timer, NULL, r);
}

/* A step at a time, and after each the walker. */
void router_timer(struct world *w, uint32_t r)
{
    struct router *router = &w->routers[r];
    if (!ferry_sim_deadman_fire(&router->deadman, now_us(), &router->table))
        return;
    w->counts->faults[F_TIMER_FIRED]++;
    trace(w, "%s: the dead-man fires", w->topology->routers[r].name);
    router_changed(w, r, NULL, BY_TIMER);
}

/* ---- What befalls a router. ---- */

static void cut_sessions(struct world *w, uint32_t r)
{
    for (struct message *m = w->messages; m; m = m->next)
        if (m->router == r)
            m->closed = true;
    w->routers[r].session = ++w->sessions; /* nobody's: only what is opened from now on is served */
}

/* The sum over what is not the plan's: it may change by strangers and restarts alone, and is then expected to stay. */
static uint64_t beside_plan(const struct world *w, uint32_t r)
{
    uint64_t sum = sum_of_table(&w->routers[r].table);
    for (size_t i = 0; i < w->n_plan; i++) {
        const struct planned *p = &w->plan[i];
        const struct ferry_entry *e =
            p->router == r && p->key == i ? router_key(&w->routers[r], &p->op) : NULL;
        if (e)
            sum -= sum_of_entry(&p->op.prefix, e, e->table);
    }
    return sum;
}

static void expect(struct world *w, uint32_t r, uint64_t beside)
{
    uint64_t more = beside_plan(w, r) - beside;
    w->pre[r] += more;
    w->post[r] += more;
}

static bool is_of_plan(const struct world *w, uint32_t key, const struct ferry_entry *value)
{
    for (size_t i = 0; i < w->n_plan; i++)
        if (w->plan[i].key == key &&
            (value_same(value, w->plan[i].op.before) || value_same(value, w->plan[i].op.after)))
            return true;
    return false;
}

/* What an old configuration brings back under a key of the plan, and is of neither end of it, is a stranger's. */
static void restore_saved(struct world *w, uint32_t r)
{
    struct router *router = &w->routers[r];
    table_copy(&router->table, &router->saved);
    for (size_t i = 0; i < w->n_plan; i++) {
        struct ferry_op op = w->plan[i].op;
        op.after = router_key(router, &op);
        if (w->plan[i].router == r && w->plan[i].key == i && !is_of_plan(w, (uint32_t)i, op.after))
            claim_stranger(w, r, &op, NULL);
    }
}

void router_restart(struct world *w, uint32_t r)
{
    struct router *router = &w->routers[r];
    w->counts->faults[F_RESTART]++;
    w->meddled = true;
    trace(w, "%s: restarts", w->topology->routers[r].name);
    cut_sessions(w, r);
    uint64_t beside = beside_plan(w, r);
    restore_saved(w, r);
    expect(w, r, beside);
    if (router->deadman.id && ferry_sim_deadman_waits(&router->deadman)) {
        router->deadman.state =
            FERRY_DEADMAN_FIRED; /* docs/confirm.md: what was not saved is gone, so it is undone */
        router->deadman.n_done = router->deadman.n_steps;
    }
    router->met = true;
    router->tainted_us = now_us();
    router_changed(w, r, NULL, BY_WORLD);
}

/* Whether the plan has this key on this router. */
static bool is_planned(const struct world *w, uint32_t r, const struct ferry_op *op)
{
    for (size_t i = 0; i < w->n_plan; i++)
        if (w->plan[i].router == r && w->plan[i].op.kind == op->kind && w->plan[i].op.metric == op->metric &&
            (op->kind != FERRY_KIND_ROUTE || w->plan[i].op.table == op->table) &&
            ferry_prefix_equal(&w->plan[i].op.prefix, &op->prefix))
            return true;
    return false;
}

/* A route by a neighbour, of a stranger's protocol. */
static bool some_route(struct world *w, uint32_t r, uint8_t family, struct ferry_entry *e,
                       struct ferry_nexthop *hop)
{
    const struct ferry_topology *t = w->topology;
    struct ferry_end near[16], far[16];
    unsigned n = 0;
    for (size_t i = 0; i < t->n_links && n < FERRY_COUNT(near); i++) {
        const struct ferry_link *l = &t->links[i];
        if (l->a.router != r && l->b.router != r)
            continue;
        near[n] = l->a.router == r ? l->a : l->b;
        far[n++] = l->a.router == r ? l->b : l->a;
    }
    if (!n)
        return false;
    unsigned i = rng_below(&w->rng, n);
    const struct ferry_addr *via = ferry_link_via(t, &near[i], &far[i], family);
    if (!via)
        return false;
    *hop = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .via = *via, .weight = 1};
    memcpy(hop->dev, t->routers[r].interfaces[near[i].interface].name, sizeof hop->dev);
    *e = (struct ferry_entry){
        .type = FERRY_UNICAST, .table = FERRY_TABLE_MAIN, .protocol = 4, .n_nexthops = 1, .nexthops = hop};
    return true;
}

/* One write of a stranger. */
static void stranger_writes(struct world *w, uint32_t r, struct ferry_op *op, enum fault kind)
{
    struct router *router = &w->routers[r];
    uint64_t beside = beside_plan(w, r);
    claim_stranger(w, r, op, router_key(router, op));
    ferry_sim_table_set(&router->table, &op->prefix, op->table, op->metric, op->after);
    if (rng_below(&w->rng, 2))
        ferry_sim_table_set(&router->saved, &op->prefix, op->table, op->metric, op->after);
    w->counts->faults[kind]++;
    trace(w, "%s: a stranger: %s metric %u", w->topology->routers[r].name, fault_names[kind], op->metric);
    if (kind != F_FOREIGN_OTHER) {
        w->meddled = true;
        router->met = true;
    }
    if (is_planned(w, r, op))
        router->tainted_us = now_us();
    expect(w, r, beside);
    router_changed(w, r, NULL, BY_WORLD);
}

void router_meddle(struct world *w, uint32_t r)
{
    static const enum fault kinds[] = {F_FOREIGN_ROUTE, F_FOREIGN_DELETE,   F_FOREIGN_REPLACE,
                                       F_FOREIGN_OTHER, F_FOREIGN_SPECIFIC, F_FOREIGN_COVER,
                                       F_FOREIGN_OTHER};
    enum fault kind = kinds[rng_below(&w->rng, FERRY_COUNT(kinds))];
    const struct ferry_topology *t = w->topology;
    uint32_t s = rng_below(&w->rng, (unsigned)t->n_subnets);
    struct ferry_op op = {
        .kind = FERRY_KIND_ROUTE, .prefix = t->subnets[s].prefix, .table = ferry_topology_table(t, r, s)};
    const struct ferry_sim_slot *slot = ferry_sim_table_find(&w->routers[r].table, &op.prefix);
    struct ferry_entry e;
    struct ferry_nexthop hop;
    if (!some_route(w, r, op.prefix.addr.family, &e, &hop))
        return;
    op.after = &e;
    op.metric = (uint32_t[]){5, 20, 30, 1000, 2100, 4000}[rng_below(&w->rng, 6)];
    if (kind == F_FOREIGN_DELETE || kind == F_FOREIGN_REPLACE) {
        if (!slot || !slot->n_routes)
            return;
        op.metric = slot->routes[rng_below(&w->rng, (unsigned)slot->n_routes)].metric;
        if (kind == F_FOREIGN_DELETE)
            op.after = NULL;
    } else if (kind == F_FOREIGN_SPECIFIC) {
        op.prefix.len++;
    } else if (kind == F_FOREIGN_COVER) {
        op.prefix.len -= 4;
        op.prefix = ferry_prefix_network(&op.prefix);
    } else if (kind == F_FOREIGN_OTHER) {
        op.prefix.addr.bytes[0] ^= 0x20;
    }
    if (kind != F_FOREIGN_DELETE && kind != F_FOREIGN_REPLACE && kind != F_FOREIGN_ROUTE &&
        is_moved(w, &op.prefix))
        return;
    e.metric = op.metric;
    e.table = op.table;
    if (rng_below(&w->rng, 4) == 0) {
        e.type = FERRY_BLACKHOLE;
        e.n_nexthops = 0;
    }
    stranger_writes(w, r, &op, kind);
}

/* ---- After a change. ---- */

void router_changed(struct world *w, uint32_t r, const struct ferry_prefix *prefix, enum cause cause)
{
    struct router *router = &w->routers[r];
    router->sum = sum_of_table(&router->table);
    w->trace_hash = w->trace_hash * 0x9e3779b97f4a7c15u + router->sum + now_us();
    walk_after(w, r, prefix, cause);
}
