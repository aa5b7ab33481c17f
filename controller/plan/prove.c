/* The prover: every state that a plan can pass through, checked from the plan document alone.
 *
 * Neighbours: prove_parts.h names the parts; docs/prover.md has definitions and proofs.  It shares no code
 * with the planner.  Order of the checks, and with it which fault is reported: first the document against
 * itself (prove_form.c); then, stage by stage, the fault of fewest changes; then what is left at the end.
 *
 * Invariants:
 *  1. p->bad is the best counterexample so far: earliest stage, then fewest events, then enum order, then
 *     group.
 *  2. What the graph says about a stage and what walking says about it is the same, or the proof fails as a
 *     whole.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WALK_BITS_MAX 24u /* 16 million states a stage */
/* Routers visited by walking, all stages together: about half a second.  A thousand groups of a thousand
 * routers each would else take minutes, and the graph has said all there is to say. */
#define WALK_VISITS_MAX UINT64_C(20000000)

const char *ferry_violation_name(enum ferry_violation v)
{
    static const char *const names[] = {
        [FERRY_SAFE] = "safe",
        [FERRY_LOOP] = "loop",
        [FERRY_TWO_SITES] = "two-sites",
        [FERRY_LOST] = "lost",
        [FERRY_FALLS] = "falls",
        [FERRY_MISMATCH] = "mismatch",
        [FERRY_FOREIGN] = "foreign",
        [FERRY_UNFINISHED] = "unfinished",
        [FERRY_UNPINNED] = "unpinned",
        [FERRY_LOST_SITE] = "lost-site",
        [FERRY_LOCAL_NETWORK] = "local-network",
        [FERRY_TEST_ISOLATED] = "test-isolated",
    };
    return (size_t)v < FERRY_COUNT(names) ? names[v] : "unknown";
}

static void counterexample_clear(struct ferry_counterexample *bad)
{
    free(bad->events);
    free(bad->routers);
    *bad = (struct ferry_counterexample){0};
}

void ferry_proof_clear(struct ferry_proof *proof)
{
    free(proof->certificate_text);
    counterexample_clear(&proof->bad);
    *proof = (struct ferry_proof){0};
}

/* ---- Counterexamples. ---- */

static bool better(const struct ferry_counterexample *a, const struct ferry_counterexample *b)
{
    if (a->stage != b->stage)
        return a->stage < b->stage;
    if ((a->violation == FERRY_UNFINISHED) != (b->violation == FERRY_UNFINISHED))
        return b->violation == FERRY_UNFINISHED;
    if (a->n_events != b->n_events)
        return a->n_events < b->n_events;
    return a->violation != b->violation ? a->violation < b->violation : a->group < b->group;
}

static void add_router(struct ferry_counterexample *c, uint32_t router)
{
    FERRY_GROW(c->routers, c->n_routers);
    c->routers[c->n_routers++] = router;
}

static void add_event(const struct prover *p, struct ferry_counterexample *c, uint32_t change)
{
    FERRY_GROW(c->events, c->n_events);
    c->events[c->n_events++] = (struct ferry_step){p->stage, change};
}

/* The events after which slot `top` (or, past the last one, nothing) of the router can be on top. */
static void add_events(const struct prover *p, struct ferry_counterexample *c, uint32_t router, uint32_t top,
                       bool fired)
{
    const struct prove_row *row = &p->rows[router];
    for (uint32_t i = 0; i < top; i++)
        if (row->slots[i].now && row->slots[i].rank < PROVE_ANNOUNCEMENT)
            add_event(p, c, row->slots[i].change);
    if (fired)
        add_event(p, c, row->slots[top].change);
}

static struct ferry_counterexample candidate(const struct prover *p, enum ferry_violation violation)
{
    return (struct ferry_counterexample){.violation = violation, .group = p->class->group, .stage = p->stage};
}

static void finding(struct ferry_counterexample *c, const char *fmt, ...) FERRY_PRINTF(2, 3);

static void finding(struct ferry_counterexample *c, const char *fmt, ...)
{
    va_list args;
    size_t len = strlen(c->text);
    va_start(args, fmt);
    vsnprintf(c->text + len, sizeof c->text - len, fmt, args);
    va_end(args);
}

/* Keeps the better one; takes `c` over (1). */
static void offer(struct prover *p, struct ferry_counterexample *c)
{
    if (p->found && !better(c, &p->bad)) {
        counterexample_clear(c);
        return;
    }
    counterexample_clear(&p->bad);
    p->bad = *c;
    p->found = true;
}

static const char *name_of(const struct prover *p, uint32_t router)
{
    return p->plan->routers[router].name;
}

/* ---- One stage. ---- */

static void check_loop(struct prover *p, const struct prove_graph *g)
{
    FERRY_AUTOFREE struct prove_pick *picks = ferry_calloc(g->n, sizeof *picks);
    size_t n = prove_graph_cycle(g, picks);
    if (!n)
        return;
    struct ferry_counterexample c = candidate(p, FERRY_LOOP);
    finding(&c, "packets go round and round: ");
    for (size_t i = 0; i < n; i++) {
        const struct prove_option *o = &g->options[picks[i].option];
        add_router(&c, picks[i].router);
        add_events(p, &c, picks[i].router, o->top, o->fired);
        finding(&c, "%s -> ", name_of(p, picks[i].router));
    }
    finding(&c, "%s", name_of(p, picks[0].router));
    offer(p, &c);
}

static const struct prove_slot *gateway_slot(const struct prover *p, uint32_t router)
{
    return prove_slot_of(p, router, PROVE_GATEWAY);
}

/* What makes packets come here, the gateway or the announcement, whichever is there after fewer changes; or NULL. */
static const struct prove_slot *origin_slot(const struct prover *p, uint32_t router)
{
    const struct prove_slot *best = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        const struct prove_slot *slot = prove_slot_of(p, router, i ? PROVE_ANNOUNCEMENT : PROVE_GATEWAY);
        if (slot && (slot->now || slot->after) && (!best || (slot->now && !best->now)))
            best = slot;
    }
    return best;
}

static bool stretched(const struct prover *p)
{
    return p->plan->groups[p->class->group].stretched;
}

/* A stretched subnet is at two sites on purpose; nothing else about it is excepted. */
static void check_two_sites(struct prover *p)
{
    size_t n = 0;
    if (stretched(p))
        return;
    FERRY_AUTOFREE uint32_t *at = ferry_calloc(p->plan->n_routers, sizeof *at);
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        if (origin_slot(p, r))
            at[n++] = r;
    uint32_t best[2] = {0, 0}, best_cost = PROVE_NONE;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            uint32_t cost = (uint32_t)!origin_slot(p, at[i])->now + (uint32_t)!origin_slot(p, at[k])->now;
            if (cost >= best_cost || strcmp(prove_site(p->plan, p->class->group, at[i]),
                                            prove_site(p->plan, p->class->group, at[k])) == 0)
                continue;
            if (p->reconcile && cost == 0) /* what it is for */
                continue;
            best_cost = cost;
            best[0] = at[k];
            best[1] = at[i];
        }
    if (best_cost == PROVE_NONE)
        return;
    struct ferry_counterexample c = candidate(p, FERRY_TWO_SITES);
    for (size_t i = 0; i < 2; i++) {
        const struct prove_slot *slot = origin_slot(p, best[i]);
        bool announced = slot->rank == PROVE_ANNOUNCEMENT;
        add_router(&c, best[i]);
        if (!slot->now)
            add_event(p, &c, slot->change);
        finding(&c, "%s%s %s (%s)",
                i           ? " and"
                : announced ? "announced at"
                            : "attached at",
                i && announced ? " announced at" : "", prove_site(p->plan, p->class->group, best[i]),
                name_of(p, best[i]));
    }
    finding(&c, " at once");
    offer(p, &c);
}

static const char *stray_why(const struct prove_option *o)
{
    if (!o->entry)
        return "has no route that the plan knows";
    if (o->entry->type == FERRY_GATEWAY)
        return "delivers to another subnet";
    if (o->entry->type != FERRY_UNICAST)
        return "drops it";
    return "sends it to a next hop outside of the plan";
}

static void check_lost(struct prover *p, struct prove_graph *g)
{
    if (!p->must)
        return;
    prove_graph_measure(g);
    uint32_t worst = PROVE_NONE;
    for (uint32_t r = 0; r < g->n; r++)
        if (p->must[r] && g->far[r] != PROVE_FAR && (worst == PROVE_NONE || g->far[r] < g->far[worst]))
            worst = r;
    if (worst == PROVE_NONE)
        return;
    FERRY_AUTOFREE struct prove_pick *picks = ferry_calloc(g->n, sizeof *picks);
    size_t n = prove_graph_way(g, worst, picks);
    struct ferry_counterexample c = candidate(p, FERRY_LOST);
    finding(&c, "%s is no longer delivered: ", name_of(p, worst));
    for (size_t i = 0; i < n; i++) {
        const struct prove_option *o = &g->options[picks[i].option];
        add_router(&c, picks[i].router);
        add_events(p, &c, picks[i].router, o->top, o->fired);
        finding(&c, "%s%s", i ? " -> " : "", name_of(p, picks[i].router));
    }
    finding(&c, " %s", stray_why(&g->options[picks[n - 1].option]));
    offer(p, &c);
}

/* A route that a kernel prefers to the attachment: the router does not deliver although it is attached. */
static void check_beaten(struct prover *p)
{
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        const struct prove_slot *gateway = gateway_slot(p, r);
        if (!gateway || !(gateway->now || gateway->after))
            continue;
        for (size_t i = 1; i < p->rows[r].n; i++) {
            const struct prove_slot *s = &p->rows[r].slots[i];
            if (!(s->now || s->after) || !prove_beats_gateway(p, r, s))
                continue;
            struct ferry_counterexample c = candidate(p, FERRY_LOST);
            finding(&c, "%s is attached, but its route of metric %u wins over the attachment", name_of(p, r),
                    s->metric);
            add_router(&c, r);
            if (!gateway->now)
                add_event(p, &c, gateway->change);
            if (!s->now)
                add_event(p, &c, s->change);
            offer(p, &c);
        }
    }
}

static void check_falls(struct prover *p, const struct prove_graph *g)
{
    for (uint32_t r = 0; r < g->n; r++) {
        if (g->empty_cost[r] == PROVE_NONE || p->may_fall[r] ||
            (p->found && p->bad.stage == p->stage && p->bad.n_events < g->empty_cost[r]))
            continue;
        uint32_t own = 0;
        while (own < p->rows[r].n && p->rows[r].slots[own].layer == 0)
            own++;
        struct ferry_counterexample c = candidate(p, FERRY_FALLS);
        finding(&c, "%s holds nothing for the prefix and falls to what covers it", name_of(p, r));
        add_router(&c, r);
        add_events(p, &c, r, own, false);
        offer(p, &c);
    }
}

static void check_unpinned(struct prover *p, const struct prove_graph *g)
{
    char text[160];
    for (uint32_t r = 0; r < g->n; r++)
        for (uint32_t i = g->first[r]; i < g->first[r + 1]; i++) {
            const struct prove_option *o = &g->options[i];
            if (o->layer != 0 || !prove_exposed(p, r, o->entry))
                continue;
            struct ferry_counterexample c = candidate(p, FERRY_UNPINNED);
            finding(&c, "%s is not held still while its routing protocol changes: %s", name_of(p, r),
                    ferry_entry_text(o->entry, text, sizeof text));
            add_router(&c, r);
            add_events(p, &c, r, o->top, o->fired);
            offer(p, &c);
        }
}

static void check_astray(struct prover *p, const struct prove_graph *g)
{
    char text[160];
    for (uint32_t r = 0; r < g->n; r++)
        for (uint32_t i = g->first[r]; i < g->first[r + 1]; i++) {
            const struct prove_option *o = &g->options[i];
            if (!prove_leads_astray(p, r, o->entry))
                continue;
            struct ferry_counterexample c = candidate(p, FERRY_LOST_SITE);
            finding(&c, "%s is not fenced off from a site that is lost and may be active: %s", name_of(p, r),
                    ferry_entry_text(o->entry, text, sizeof text));
            add_router(&c, r);
            add_events(p, &c, r, o->top, o->fired);
            offer(p, &c);
        }
}

static void check_local_network(struct prover *p)
{
    const struct prove_slot *selector, *gateway;
    uint32_t router, attached;
    char text[256];
    if (prove_local_network(p, &selector, &router, &gateway, &attached) == PROVE_NONE)
        return;
    struct ferry_counterexample c = candidate(p, FERRY_LOCAL_NETWORK);
    finding(&c, "attached at %s (%s), while a tunnel takes it away from there: %s holds %s",
            p->plan->routers[attached].site, name_of(p, attached), name_of(p, router),
            ferry_entry_text(selector->now ? selector->now : selector->after, text, sizeof text));
    add_router(&c, attached);
    add_router(&c, router);
    if (!gateway->now)
        add_event(p, &c, gateway->change);
    if (!selector->now)
        add_event(p, &c, selector->change);
    offer(p, &c);
}

/* Before anything else is asked: whether a fence can hold at all. */
static void check_open(struct prover *p)
{
    uint32_t rival, neighbour;
    if (!prove_lost_open(p, &rival, &neighbour))
        return;
    struct ferry_counterexample c = candidate(p, FERRY_LOST_SITE);
    c.stage = 0;
    finding(&c,
            "%s, which is lost, may be attached, and %s, which is not under control either, may lead there; "
            "nobody "
            "vouches that it is dead",
            name_of(p, rival), name_of(p, neighbour));
    add_router(&c, rival);
    add_router(&c, neighbour);
    offer(p, &c);
}

static size_t n_changes(const struct prover *p, uint32_t stage)
{
    size_t n = 0;
    for (size_t i = 0; i < p->class->n_layers && p->plan->n_stages; i++) {
        size_t at = (size_t)p->class->layers[i] * p->plan->n_stages + stage;
        n += p->first[at + 1] - p->first[at];
    }
    return n;
}

/* Whether the stage is to be walked; if so, that is paid for. */
static bool affordable(struct prover *p)
{
    size_t n = n_changes(p, p->stage);
    if (!p->bits || n > p->bits || p->plan->n_routers << n > p->visits_left)
        return false;
    p->visits_left -= p->plan->n_routers << n;
    return true;
}

/* Checks the stage that is in the rows.  `p->found` before is kept aside, so that walking is compared with
 * what the graph says about this stage alone. */
static int check_stage(struct prover *p, struct prove_graph *g, const char *what, struct ferry_err *err)
{
    struct ferry_counterexample before = p->bad;
    bool found_before = p->found;
    p->bad = (struct ferry_counterexample){0};
    p->found = false;
    prove_graph_build(p, g);
    check_loop(p, g);
    check_two_sites(p);
    check_lost(p, g);
    check_beaten(p);
    check_falls(p, g);
    check_unpinned(p, g);
    check_astray(p, g);
    check_local_network(p);
    struct prove_verdict said = {p->found ? p->bad.violation : FERRY_SAFE, (uint32_t)p->bad.n_events},
                         walked = said;
    if (affordable(p)) {
        walked = prove_walk(p);
        p->walked -= p->stage > 0; /* its first state is the last one of the stage before: counted there */
    } else {
        p->all_walked = false;
    }
    if (!p->found && !found_before)
        prove_certify(p, what, g);
    if (found_before)
        offer(p, &before);
    if (said.violation == walked.violation && said.n_events == walked.n_events)
        return 0;
    return ferry_error(
        err, FERRY_EIO,
        "internal fault: the prover disagrees with itself about stage %u, group %s: the graph says %s "
        "(%u changes), walking says %s (%u changes)",
        p->stage + 1, p->plan->groups[p->class->group].id, ferry_violation_name(said.violation),
        said.n_events, ferry_violation_name(walked.violation), walked.n_events); /* (2) */
}

/* ---- A class: a rehearsal that looks at the states between the stages, then stage by stage. ---- */

struct course {
    bool *at_first, *at_end;   /* [router]: packets from there are delivered, all of them */
    bool *prepared, *attached; /* the same after the last prepare stage, before the first settle stage */
    bool *dropped_at_end;      /* [router]: some packets end in a drop of Ferry's own at the end */
    uint32_t *first_held, *last_held; /* [router]: boundaries; PROVE_NONE: never; 0 is the initial state */
    bool *must_prepare, *must_settle, *may_fall;
    bool *must_always; /* of a stretched subnet, in every stage */
    bool announced_at_first;
};

static struct course course_new(size_t n)
{
    bool *flags = ferry_calloc(9 * n, sizeof *flags);
    uint32_t *held = ferry_calloc(2 * n, sizeof *held);
    return (struct course){flags,    flags + n,     flags + 2 * n, flags + 3 * n, flags + 4 * n, held,
                           held + n, flags + 5 * n, flags + 6 * n, flags + 7 * n, flags + 8 * n, false};
}

static void course_free(struct course *c)
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

static void mark_held(const struct prover *p, struct course *c, uint32_t boundary)
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

static void rehearse(struct prover *p, struct prove_graph *g, struct course *c)
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
            add_router(bad, r);
            finding(bad, "%s%s %s", bad->text[0] ? ", " : "", name_of(p, r), what);
        }
    }
    return n;
}

/* What is left: attached and announced at the right site alone, and nobody cut off. */
static void check_end(struct prover *p, struct course *c)
{
    const struct ferry_group *group = &p->plan->groups[p->class->group];
    struct ferry_counterexample bad = candidate(p, FERRY_UNFINISHED);
    bool attached = check_left(p, PROVE_GATEWAY, "is still attached", &bad) > 0;
    bool announced = check_left(p, PROVE_ANNOUNCEMENT, "still announces it", &bad) > 0;
    if (group->to && !announced && c->announced_at_first && follows_protocol(p))
        finding(&bad, "%snobody announces it any more", bad.text[0] ? ", " : "");
    if (group->to && !attached && !(p->undo && prove_lost_serves(p)))
        finding(&bad, "attached nowhere");
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        if (c->at_first[r] && (p->undo ? c->dropped_at_end[r] : !c->at_end[r])) {
            finding(&bad, "%s%s was delivered at first and is not any more", bad.text[0] ? ", " : "",
                    name_of(p, r));
            add_router(&bad, r);
            break;
        }
    if (!bad.text[0]) {
        counterexample_clear(&bad);
        return;
    }
    size_t at = (size_t)p->class->group * p->plan->n_stages + p->plan->n_stages;
    for (size_t i = p->plan->n_stages ? p->first[at - 1] : 0; p->plan->n_stages && i < p->first[at]; i++)
        add_event(p, &bad, p->refs[i].change);
    offer(p, &bad);
}

static int check_class(struct prover *p, struct prove_graph *g, struct course *c, struct ferry_err *err)
{
    const struct prove_ref *none;
    rehearse(p, g, c);
    prove_rows_load(p, p->class);
    prove_protocol_load(p);
    prove_lost_load(p);
    check_open(p);
    for (uint32_t s = 0; s < p->plan->n_stages || s == 0; s++) {
        p->stage = s;
        if (p->found && p->bad.stage < s)
            return 0;
        if (s && !n_changes(p, s))
            continue;
        enum ferry_phase phase = p->plan->n_stages ? p->plan->stages[s].phase : FERRY_PREPARE;
        p->must = phase == FERRY_PREPARE         ? c->must_prepare
                  : phase == FERRY_SETTLE        ? c->must_settle
                  : stretched(p)                 ? c->must_always
                  : p->reconcile && !p->attaches ? c->at_first
                                                 : NULL;
        p->may_fall = c->may_fall;
        for (uint32_t r = 0; r < g->n; r++)
            c->may_fall[r] =
                c->first_held[r] == PROVE_NONE || c->first_held[r] > s || (p->undo && c->last_held[r] <= s);
        if (p->plan->n_stages && !prove_rows_stage(p, s, &none))
            return ferry_error(err, FERRY_EIO, "internal fault: a change no longer finds what it expects");
        int result = check_stage(p, g, p->plan->n_stages ? ferry_phase_name(phase) : "unchanged", err);
        if (result)
            return result;
        if (p->plan->n_stages)
            prove_rows_commit(p);
    }
    p->stage = p->plan->n_stages ? (uint32_t)p->plan->n_stages - 1 : 0;
    check_end(p, c);
    return 0;
}

static int check_classes(struct prover *p, struct ferry_err *err)
{
    struct prove_graph *g = prove_graph_new(p->plan->n_routers);
    struct course c = course_new(p->plan->n_routers);
    int result = 0;
    prove_classes(p);
    for (size_t i = 0; i < p->n_classes && !result; i++) {
        p->class = &p->classes[i];
        result = check_class(p, g, &c, err);
    }
    if (!result && p->found)
        prove_explain(p);
    course_free(&c);
    prove_graph_free(g);
    return result;
}

static void prover_clear(struct prover *p)
{
    for (size_t r = 0; r < p->plan->n_routers; r++)
        free(p->rows[r].slots);
    free(p->rows);
    free(p->table);
    free(p->exposed_from);
    free(p->refs);
    free(p->first);
    prove_classes_free(p);
    counterexample_clear(&p->bad);
    free(p->text);
}

int ferry_prove(const struct ferry_plan *plan, unsigned exhaustive_bits, struct ferry_proof *ret,
                struct ferry_err *err)
{
    FERRY_CLEANUP(prover_clear)
    struct prover p = {
        .plan = plan,
        .bits = exhaustive_bits < WALK_BITS_MAX ? exhaustive_bits : WALK_BITS_MAX,
        .undo = plan->mode && strcmp(plan->mode, "undo") == 0,
        .reconcile = plan->mode && strcmp(plan->mode, "reconcile") == 0,
        .all_walked = exhaustive_bits > 0,
        .visits_left = WALK_VISITS_MAX,
        .rows = ferry_calloc(plan->n_routers, sizeof *p.rows),
        .table = ferry_calloc(plan->n_routers, sizeof *p.table),
        .exposed_from = ferry_calloc(plan->n_routers, sizeof *p.exposed_from),
    };
    int result = prove_form(&p) ? check_classes(&p, err) : 0;
    if (result)
        return result;
    struct ferry_proof proof = {.safe = !p.found, .exhaustive = p.all_walked, .walked = p.walked};
    if (p.first)
        prove_states(&p, proof.states);
    if (p.found) {
        proof.exhaustive = false;
        proof.bad = p.bad;
        p.bad = (struct ferry_counterexample){0};
        *ret = proof;
        return ferry_refuse(err, ferry_violation_name(ret->bad.violation), "%s", ret->bad.text);
    }
    proof.certificate_text = p.text ? FERRY_STEAL(p.text) : ferry_strdup("");
    ferry_sha256(proof.certificate_text, strlen(proof.certificate_text), proof.certificate);
    *ret = proof;
    return 0;
}
