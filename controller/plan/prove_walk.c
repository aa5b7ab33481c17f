/* The states of a stage one by one: whether each is good is found out by walking packets from every router.
 *
 * It shares nothing with prove_graph.c but the rows, so that each checks the other; prove.c compares.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <ferry/tunnel.h>

#include <string.h>

enum fate { UNKNOWN, ON_THE_WAY, DELIVERED, STRAYED };

struct walk {
    const struct prover *p;
    size_t n;
    struct prove_slot **changed; /* the slots that this stage changes */
    size_t n_changed;
    const struct ferry_entry **top; /* [router]: what forwards in this state */
    bool *own;                      /* [router]: whether that is of the prefix itself */
    enum fate *fate;                /* [router] */
    bool loop;
};

/* What the state `mask` puts into a slot. */
static const struct ferry_entry *slot_value(const struct walk *w, uint64_t mask, const struct prove_slot *s)
{
    for (size_t i = 0; i < w->n_changed; i++)
        if (w->changed[i] == s)
            return mask >> i & 1 ? s->after : s->now;
    return s->now;
}

static void set_top(struct walk *w, uint64_t mask, uint32_t r)
{
    const struct prove_row *row = &w->p->rows[r];
    w->own[r] = false;
    for (size_t i = 0; i < row->n; i++) {
        const struct ferry_entry *e = slot_value(w, mask, &row->slots[i]);
        if (!e || row->slots[i].rank >= PROVE_ANNOUNCEMENT || !prove_slot_visible(w->p, r, &row->slots[i]))
            continue;
        w->top[r] = e;
        w->own[r] = row->slots[i].layer == 0;
        return;
    }
    w->top[r] = prove_static_cover(w->p, r);
}

/* Sends a packet from `r` along every next hop. */
static enum fate send_from(struct walk *w, uint32_t r)
{
    if (w->fate[r] == ON_THE_WAY)
        w->loop = true;
    if (w->fate[r] != UNKNOWN)
        return w->fate[r];
    const struct ferry_entry *e = w->top[r];
    enum fate fate =
        e && e->type == FERRY_GATEWAY && w->own[r] && !prove_stale(w->p, r) ? DELIVERED : STRAYED;
    if (e && e->type == FERRY_UNICAST && e->n_nexthops) {
        w->fate[r] = ON_THE_WAY;
        fate = DELIVERED;
        for (size_t i = 0; i < e->n_nexthops; i++)
            if (e->nexthops[i].router == FERRY_NO_ROUTER || send_from(w, e->nexthops[i].router) == STRAYED)
                fate = STRAYED;
    }
    return w->fate[r] = fate;
}

static bool announces(const struct walk *w, uint64_t mask, uint32_t r)
{
    const struct prove_row *row = &w->p->rows[r];
    for (size_t i = 0; i < row->n; i++)
        if (row->slots[i].layer == 0 && row->slots[i].rank == PROVE_ANNOUNCEMENT &&
            slot_value(w, mask, &row->slots[i]))
            return true;
    return false;
}

/* Whether something made packets come to this router when the stage began. */
static bool was_there(const struct walk *w, uint32_t r)
{
    const struct prove_row *row = &w->p->rows[r];
    for (size_t i = 0; i < row->n; i++)
        if (row->slots[i].layer == 0 && row->slots[i].now &&
            (row->slots[i].rank == PROVE_GATEWAY || row->slots[i].rank == PROVE_ANNOUNCEMENT))
            return true;
    return false;
}

static bool draws(const struct walk *w, uint64_t mask, uint32_t r)
{
    return (w->own[r] && w->top[r]->type == FERRY_GATEWAY) || announces(w, mask, r);
}

/* Reconciling: two sites that were there before are what it is for; none may be added. */
static bool attached_anew(const struct walk *w, uint64_t mask)
{
    for (uint32_t a = 0; a < w->n; a++)
        for (uint32_t b = 0; draws(w, mask, a) && !was_there(w, a) && b < w->n; b++)
            if (draws(w, mask, b) && strcmp(prove_site(w->p->plan, w->p->class->group, a),
                                            prove_site(w->p->plan, w->p->class->group, b)) != 0)
                return true;
    return false;
}

static bool attached_twice(const struct walk *w, uint64_t mask)
{
    const char *site = NULL;
    if (w->p->plan->groups[w->p->class->group].stretched)
        return false;
    if (w->p->reconcile)
        return attached_anew(w, mask);
    for (uint32_t r = 0; r < w->n; r++) {
        if (!draws(w, mask, r))
            continue;
        const char *here = prove_site(w->p->plan, w->p->class->group, r);
        if (site && strcmp(site, here) != 0)
            return true;
        site = here;
    }
    return false;
}

static bool beaten(const struct walk *w, uint64_t mask, uint32_t r)
{
    const struct prove_row *row = &w->p->rows[r];
    if (!w->own[r] || w->top[r]->type != FERRY_GATEWAY)
        return false;
    for (size_t i = 0; i < row->n; i++)
        if (slot_value(w, mask, &row->slots[i]) && prove_beats_gateway(w->p, r, &row->slots[i]))
            return true;
    return false;
}

static bool was_attached(const struct walk *w, uint32_t r)
{
    const struct prove_slot *gateway = prove_slot_of(w->p, r, PROVE_GATEWAY);
    return gateway && gateway->now;
}

/* The selector of a tunnel that sends the prefix away from this router, in this state; NULL: there is none. */
static const struct prove_slot *sent_away(const struct walk *w, uint64_t mask, uint32_t r, bool at_first)
{
    const struct prove_row *row = &w->p->rows[r];
    for (size_t i = 0; i < row->n; i++) {
        const struct prove_slot *s = &row->slots[i];
        const struct ferry_entry *e = slot_value(w, mask, s);
        if (s->layer == 0 && e && e->type == FERRY_TRAFFIC_SELECTOR && e->protocol == FERRY_SIDE_REMOTE &&
            !(at_first && s->now))
            return s;
    }
    return NULL;
}

/* A tunnel at a site takes the prefix to another one while it is attached at the first.  Reconciling: what
 * was so before is another plan's business. */
static bool local_network(const struct walk *w, uint64_t mask)
{
    for (uint32_t a = 0; a < w->n; a++) {
        if (!w->own[a] || w->top[a]->type != FERRY_GATEWAY)
            continue;
        for (uint32_t b = 0; b < w->n; b++) {
            const char *here = w->p->plan->routers[a].site, *there = w->p->plan->routers[b].site;
            bool old = w->p->reconcile && was_attached(w, a);
            if (here && there && strcmp(here, there) == 0 && sent_away(w, mask, b, old))
                return true;
        }
    }
    return false;
}

static enum ferry_violation state_verdict(struct walk *w, uint64_t mask)
{
    bool lost = false, falls = false, unpinned = false, astray = false;
    memset(w->fate, 0, w->n * sizeof *w->fate);
    w->loop = false;
    for (uint32_t r = 0; r < w->n; r++) {
        enum fate fate = send_from(w, r);
        lost |= fate == STRAYED && w->p->must && w->p->must[r];
        lost |= beaten(w, mask, r);
        falls |= !w->own[r] && !w->p->may_fall[r];
        astray |= prove_leads_astray(w->p, r, w->top[r]);
        unpinned |= w->own[r] && prove_exposed(w->p, r, w->top[r]);
    }
    return w->loop                   ? FERRY_LOOP
           : attached_twice(w, mask) ? FERRY_TWO_SITES
           : lost                    ? FERRY_LOST
           : falls                   ? FERRY_FALLS
           : unpinned                ? FERRY_UNPINNED
           : astray                  ? FERRY_LOST_SITE
           : local_network(w, mask)  ? FERRY_LOCAL_NETWORK
                                     : FERRY_SAFE;
}

struct prove_verdict prove_walk(struct prover *p)
{
    size_t n = p->plan->n_routers;
    FERRY_AUTOFREE struct prove_slot **changed = NULL;
    FERRY_AUTOFREE bool *touched = ferry_calloc(n, sizeof *touched);
    FERRY_AUTOFREE const struct ferry_entry **top = ferry_calloc(n, sizeof *top);
    FERRY_AUTOFREE bool *own = ferry_calloc(n, sizeof *own);
    FERRY_AUTOFREE enum fate *fate = ferry_calloc(n, sizeof *fate);
    struct walk w = {.p = p, .n = n, .top = top, .own = own, .fate = fate};
    for (uint32_t r = 0; r < n; r++)
        for (size_t i = 0; i < p->rows[r].n; i++)
            if (p->rows[r].slots[i].change != PROVE_NONE) {
                touched[r] = true;
                FERRY_GROW(changed, w.n_changed);
                changed[w.n_changed++] = &p->rows[r].slots[i];
            }
    w.changed = changed;
    struct prove_verdict worst = {FERRY_SAFE, 0};
    for (uint64_t mask = 0; mask < UINT64_C(1) << w.n_changed; mask++) {
        for (uint32_t r = 0; r < n; r++)
            if (!mask || touched[r])
                set_top(&w, mask, r);
        enum ferry_violation violation = state_verdict(&w, mask);
        uint32_t events = (uint32_t)__builtin_popcountll(mask);
        if (violation != FERRY_SAFE && (worst.violation == FERRY_SAFE || events < worst.n_events ||
                                        (events == worst.n_events && violation < worst.violation)))
            worst = (struct prove_verdict){violation, events};
        p->walked++;
    }
    return worst;
}
