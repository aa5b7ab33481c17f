/* The course of a plan for one class of subnets: a rehearsal that looks at the states between the stages,
 * what follows from it for each stage, and what must hold at the end.  See prove_parts.h; docs/prover.md,
 * "What must hold when".
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <string.h>

struct prove_course prove_course_new(size_t n)
{
    bool *flags = ferry_calloc(9 * n, sizeof *flags);
    uint32_t *held = ferry_calloc(2 * n, sizeof *held);
    return (struct prove_course){flags,    flags + n,     flags + 2 * n, flags + 3 * n, flags + 4 * n, held,
                                 held + n, flags + 5 * n, flags + 6 * n, flags + 7 * n, flags + 8 * n, false};
}

void prove_course_free(struct prove_course *c)
{
    free(c->at_first);
    free(c->first_held);
}

/* Whether all packets from a router are delivered, given those of its next hops; the rows are between two
 * stages. */
static bool delivered_by(const struct prove_option *o, const bool *delivered)
{
    if (prove_option_stray(o))
        return false;
    for (size_t i = 0; o->entry->type == FERRY_UNICAST && i < o->entry->n_nexthops; i++)
        if (!delivered[o->entry->nexthops[i].router])
            return false;
    return true;
}

static void mark_delivered(struct prover *p, struct prove_graph *g, bool *ret)
{
    prove_graph_build(p, g);
    memset(ret, 0, g->n * sizeof *ret);
    for (size_t i = g->n_order; i-- > 0;)
        ret[g->order[i]] = delivered_by(&g->options[g->first[g->order[i]]], ret);
    for (bool again = g->n_order < g->n; again;) {
        again = false;
        for (uint32_t r = 0; r < g->n; r++) {
            bool now = delivered_by(&g->options[g->first[r]], ret);
            again |= now && !ret[r];
            ret[r] |= now;
        }
    }
}

/* Which routers' packets can end in a blackhole of Ferry's own; the graph is that of one state. */
static void mark_dropped(const struct prove_graph *g, bool *ret)
{
    for (size_t i = g->n_order; i-- > 0;) {
        uint32_t r = g->order[i];
        const struct prove_option *o = &g->options[g->first[r]];
        ret[r] = o->entry && o->layer == 0 && o->entry->type > FERRY_UNICAST &&
                 o->entry->protocol == FERRY_PROTOCOL;
        for (size_t k = 0; o->entry && o->entry->type == FERRY_UNICAST && k < o->entry->n_nexthops; k++)
            ret[r] |= o->entry->nexthops[k].router != FERRY_NO_ROUTER && ret[o->entry->nexthops[k].router];
    }
}

static void mark_held(const struct prover *p, struct prove_course *c, uint32_t boundary)
{
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        if (prove_row_held(&p->rows[r])) {
            c->last_held[r] = boundary;
            if (c->first_held[r] == PROVE_NONE)
                c->first_held[r] = boundary;
        }
}

static bool anybody_announces(const struct prover *p)
{
    bool any = false;
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        const struct prove_slot *slot = prove_slot_of(p, r, PROVE_ANNOUNCEMENT);
        any |= slot && slot->now;
    }
    return any;
}

/* Whether a router forwards by what a protocol brought, between two stages. */
static bool follows_protocol(const struct prover *p)
{
    bool any = false;
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        any |= p->rows[r].n && p->rows[r].slots[0].layer == 0 && ferry_entry_dynamic(p->rows[r].slots[0].now);
    return any;
}

void prove_rehearse(struct prover *p, struct prove_graph *g, struct prove_course *c)
{
    const struct prove_ref *none;
    bool settling = false, preparing = true;
    for (uint32_t r = 0; r < g->n; r++)
        c->first_held[r] = c->last_held[r] = PROVE_NONE;
    prove_rows_load(p, p->class);
    mark_delivered(p, g, c->at_first);
    mark_held(p, c, 0);
    c->announced_at_first = anybody_announces(p);
    for (uint32_t s = 0; s < p->plan->n_stages; s++) {
        if (preparing && p->plan->stages[s].phase != FERRY_PREPARE)
            mark_delivered(p, g, c->prepared);
        preparing &= p->plan->stages[s].phase == FERRY_PREPARE;
        if (!settling && p->plan->stages[s].phase == FERRY_SETTLE)
            mark_delivered(p, g, c->attached);
        settling |= p->plan->stages[s].phase == FERRY_SETTLE;
        if (prove_rows_stage(p, s, &none))
            prove_rows_commit(p);
        mark_held(p, c, s + 1);
    }
    mark_delivered(p, g, c->at_end);
    mark_dropped(g, c->dropped_at_end);
    if (preparing)
        memcpy(c->prepared, c->at_end, g->n * sizeof *c->prepared);
    for (uint32_t r = 0; r < g->n; r++) {
        bool kept = c->at_first[r] && (!p->undo || c->at_end[r]);
        c->must_always[r] = kept;
        c->must_prepare[r] = kept || (p->undo && c->prepared[r]);
        c->must_settle[r] = kept || (!p->undo && c->attached[r]);
    }
}

void prove_ask(struct prover *p, const struct prove_course *c, uint32_t stage)
{
    enum ferry_phase phase = p->plan->n_stages ? p->plan->stages[stage].phase : FERRY_PREPARE;
    p->stage = stage;
    p->must = phase == FERRY_PREPARE         ? c->must_prepare
              : phase == FERRY_SETTLE        ? c->must_settle
              : prove_stretched(p)           ? c->must_always
              : p->reconcile && !p->attaches ? c->at_first
                                             : NULL;
    p->may_fall = c->may_fall;
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        c->may_fall[r] = c->first_held[r] == PROVE_NONE || c->first_held[r] > stage ||
                         (p->undo && c->last_held[r] <= stage);
}

/* ---- The end. ---- */

/* Whether an origin of this rank was there in the document's initial state. */
static bool slot_at_first(const struct prover *p, uint32_t router, uint32_t rank)
{
    const struct ferry_stack *stack = p->plan->groups[p->class->group].initial[router];
    enum ferry_entry_type type = rank == PROVE_GATEWAY ? FERRY_GATEWAY : FERRY_ANNOUNCEMENT;
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (stack->entries[i]->type == type)
            return true;
    return false;
}

/* Who is attached, or announces, at the end, and shall not; returns how many are or do. */
static size_t check_left(const struct prover *p, uint32_t rank, const char *what,
                         struct ferry_counterexample *bad)
{
    const struct ferry_group *group = &p->plan->groups[p->class->group];
    size_t n = 0;
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        const struct prove_slot *slot = prove_slot_of(p, r, rank);
        if (!slot || !slot->now)
            continue;
        if (prove_stale(p, r) && slot_at_first(p, r, rank)) /* another plan's business */
            continue;
        n++;
        if (p->undo && group->stretched &&
            slot_at_first(p, r, rank)) /* it was at both before the move, too */
            continue;
        if (!group->to || strcmp(prove_site(p->plan, p->class->group, r), group->to) != 0) {
            prove_bad_router(bad, r);
            prove_bad_say(bad, "%s%s %s", bad->text[0] ? ", " : "", prove_name(p, r), what);
        }
    }
    return n;
}

void prove_end(struct prover *p, const struct prove_course *c)
{
    const struct ferry_group *group = &p->plan->groups[p->class->group];
    struct ferry_counterexample bad = prove_bad_new(p, FERRY_UNFINISHED);
    bool attached = check_left(p, PROVE_GATEWAY, "is still attached", &bad) > 0;
    bool announced = check_left(p, PROVE_ANNOUNCEMENT, "still announces it", &bad) > 0;
    if (group->to && !announced && c->announced_at_first && follows_protocol(p))
        prove_bad_say(&bad, "%snobody announces it any more", bad.text[0] ? ", " : "");
    if (group->to && !attached && !(p->undo && prove_lost_serves(p)))
        prove_bad_say(&bad, "attached nowhere");
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        if (c->at_first[r] && (p->undo ? c->dropped_at_end[r] : !c->at_end[r])) {
            prove_bad_say(&bad, "%s%s was delivered at first and is not any more", bad.text[0] ? ", " : "",
                          prove_name(p, r));
            prove_bad_router(&bad, r);
            break;
        }
    if (!bad.text[0]) {
        prove_bad_clear(&bad);
        return;
    }
    size_t at = (size_t)p->class->group * p->plan->n_stages + p->plan->n_stages;
    for (size_t i = p->plan->n_stages ? p->first[at - 1] : 0; p->plan->n_stages && i < p->first[at]; i++)
        prove_bad_event(p, &bad, p->refs[i].change);
    prove_bad_offer(p, &bad);
}
