/* The prover's parts, for the prover alone:
 *  - prove.c: the order in which all is checked, and the result;
 *  - prove_form.c, prove_dns.c, prove_test.c: the document against itself, records of names, test failovers;
 *  - prove_classes.c, prove_rows.c: which subnets see the same network, and what each router holds;
 *  - prove_course.c: what the whole plan says about one class, and with it what must hold when;
 *  - prove_stage.c: what is asked of a stage; prove_protocol.c (BGP and OSPF), prove_lost.c (routers that are
 *    not under control) and prove_tunnel.c (policy-based VPNs) have the finer points;
 *  - prove_graph.c, prove_walk.c: all states of a stage as one graph, and the same states one by one;
 *  - prove_bad.c, prove_text.c: counterexamples, and everything in words.
 *
 * Nothing here may include a header of the planner: the two must not share a mistake.  docs/prover.md has the
 * theory.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_PROVE_PARTS_H
#define FERRY_PLAN_PROVE_PARTS_H

#include <ferry/prove.h>

#define PROVE_NONE UINT32_MAX
#define PROVE_FAR  UINT64_MAX
/* A way is measured by events first, then hops. */
#define PROVE_EVENTS(n) ((uint64_t)(n) << 32)

/* Ranks of keys: a gateway wins over all routes; announcements and traffic selectors forward nothing. */
enum { PROVE_GATEWAY, PROVE_ROUTE, PROVE_ANNOUNCEMENT, PROVE_SELECTOR };

/* One key of one router: what it holds, and what this stage makes of it. */
struct prove_slot {
    uint32_t layer;  /* 0: the class's own prefix; else a covering prefix that the same plan moves */
    uint32_t rank;   /* PROVE_GATEWAY, … */
    uint32_t metric; /* of the route, or the selector's key */
    uint32_t change; /* in this stage; PROVE_NONE: not changed */
    const struct ferry_entry *now, *after; /* `after` equals `now` where not changed */
};

/* Sorted by layer, rank, metric: the first that holds something forwards. */
struct prove_row {
    struct prove_slot *slots;
    size_t n, room;
};

/* A change, indexed for all of the prover: sorted by group, stage, router, rank, metric. */
struct prove_ref {
    uint32_t group, stage, change, router, rank, table, metric;
};

/* Subnets of one group that see the same network: same family, same covering prefixes that move too. */
struct prove_class {
    uint32_t group;
    size_t subnet; /* one of them, for texts */
    uint8_t family;
    bool v6_connected; /* of one of them a connected gateway is known in the main table */
    uint32_t *layers;  /* groups; [0] is `group`, then the covering ones, longest prefix first */
    uint8_t *lens;     /* of their prefixes; [0] unused */
    size_t n_layers;
};

struct prover {
    const struct ferry_plan *plan;
    unsigned bits;        /* stages of at most so many changes are walked … */
    uint64_t visits_left; /* … until so many routers were visited */
    bool undo;            /* mode "undo" */
    bool reconcile;       /* mode "reconcile" */
    struct prove_ref *refs;
    size_t n_refs;
    size_t *first; /* [group * n_stages + stage]: its first ref; one more at the end */
    struct prove_class *classes;
    size_t n_classes;
    uint32_t *table; /* [router]: scratch of prove_form */

    /* The class and stage in hand. */
    const struct prove_class *class;
    uint32_t stage;
    struct prove_row *rows; /* [router] */
    const bool *must;       /* [router]: has to be delivered throughout this stage; NULL: none has to */
    const bool *may_fall;   /* [router]: may hold nothing in this stage */
    /* Of the class's group: the first and last stage that change what protocols know of it (first > last:
     * none), and from which metric on a router's route could be beaten by a protocol's, or is one:
     * FERRY_NONE: never. */
    uint32_t first_moving, last_moving;
    uint32_t *exposed_from; /* [router] */
    /* Of the class's group: the stages in which no live router may lead to a lost one (first > last: none);
     * whether it attaches or announces anything. */
    uint32_t fence_first, fence_last;
    bool attaches;

    /* The result so far. */
    bool found;
    struct ferry_counterexample bad;
    uint64_t walked;
    bool all_walked;
    char *text; /* the certificate */
    size_t text_len, text_room;
};

static inline const char *prove_name(const struct prover *p, uint32_t router)
{
    return p->plan->routers[router].name;
}

/* Whether the class's group is at two sites on purpose. */
static inline bool prove_stretched(const struct prover *p)
{
    return p->plan->groups[p->class->group].stretched;
}

/* ---- prove_form.c: the document against itself ---- */

/* Sets p->refs and p->first and checks keys, prefixes, phases and every `before`.  False where something is
 * wrong (then p->bad says what). */
bool prove_form(struct prover *p);
/* Says that a change is at fault; false. */
bool prove_wrong_change(struct prover *p, enum ferry_violation violation, uint32_t stage, uint32_t change,
                        const char *what);
/* The site of a gateway of the group.  A document that does not say counts gateways that are attached at
 * first to `from`, all others to `to`.  Never NULL. */
const char *prove_site(const struct ferry_plan *plan, uint32_t group, uint32_t router);

/* ---- prove_test.c: test failovers ---- */

/* Rule test-isolated; true where it is kept. */
bool prove_test(struct prover *p);

/* ---- prove_classes.c ---- */

/* A prefix and the subnet whose it is. */
struct prove_owned {
    struct ferry_prefix prefix;
    uint32_t group;
    size_t subnet;
};

/* All prefixes of the plan, a covering one before those that it covers; the caller frees them. */
struct prove_owned *prove_owned_sorted(const struct ferry_plan *plan, size_t *ret_n);
/* Splits the groups into p->classes. */
void prove_classes(struct prover *p);
void prove_classes_free(struct prover *p);

/* ---- prove_dns.c ---- */

/* What is wrong with a change as to records, names and name servers; NULL: nothing. */
const char *prove_dns_fault(const struct ferry_plan *plan, const struct ferry_change *c);
/* The same of what a router holds at first. */
const char *prove_dns_initial(const struct ferry_plan *plan, uint32_t group, uint32_t router);
/* Every `before` of records, and no record set twice in a stage. */
bool prove_dns(struct prover *p);

/* ---- prove_rows.c ---- */

void prove_rows_load(struct prover *p, const struct prove_class *class);
/* Puts the stage's changes into the rows; false where a `before` is not what is held, with the culprit. */
bool prove_rows_stage(struct prover *p, uint32_t stage, const struct prove_ref **ret_culprit);
/* The stage is done: every `after` holds. */
void prove_rows_commit(struct prover *p);
/* Whether the router holds something for the class's own prefix. */
bool prove_row_held(const struct prove_row *row);
/* Whether a route of this router, here, would beat an attached gateway: kernels rank a connected IPv6 prefix
 * 256. */
bool prove_beats_gateway(const struct prover *p, uint32_t router, const struct prove_slot *slot);
/* The router's cover that is not moved by this plan; NULL where it falls to nothing known. */
const struct ferry_entry *prove_static_cover(const struct prover *p, uint32_t router);
/* Whether a slot can matter: covering layers shorter than the static cover cannot. */
bool prove_slot_visible(const struct prover *p, uint32_t router, const struct prove_slot *slot);

/* The slot of the class's own gateway or announcement, or NULL. */
const struct prove_slot *prove_slot_of(const struct prover *p, uint32_t router, uint32_t rank);

/* ---- prove_protocol.c ---- */

/* Fills in first_moving, last_moving and exposed_from for p->class. */
void prove_protocol_load(struct prover *p);
/* Whether a router that forwards by this entry of its own follows a protocol, or could from now on, in a
 * stage in which what protocols know changes. */
bool prove_exposed(const struct prover *p, uint32_t router, const struct ferry_entry *e);
/* What is wrong with the announcements of a change, or with a protocol's route in it; NULL: nothing. */
const char *prove_protocol_fault(const struct ferry_plan *plan, const struct ferry_change *c);

/* ---- prove_tunnel.c ---- */

/* Whether a slot is, or becomes, a selector that sends the prefix into a tunnel: a local network of that
 * gateway. */
bool prove_slot_remote(const struct prove_slot *slot);
/* The pair that comes together after the fewest changes: a selector of that kind, and an attachment at the
 * same site; returns how many changes that takes, PROVE_NONE: never. */
uint32_t prove_local_network(const struct prover *p, const struct prove_slot **ret_selector,
                             uint32_t *ret_router, const struct prove_slot **ret_gateway,
                             uint32_t *ret_attached);
/* What is wrong with a change of a selector; NULL: nothing. */
const char *prove_tunnel_fault(const struct ferry_change *c);

/* ---- prove_lost.c ---- */

/* Fills in fence_first, fence_last and attaches for p->class. */
void prove_lost_load(struct prover *p);
/* Whether a live router that forwards by this entry leads to a lost one, or nobody knows where, in a stage in
 * which none may. */
bool prove_leads_astray(const struct prover *p, uint32_t router, const struct ferry_entry *e);
/* Reconciling: whether what this router has attached does not belong there. */
bool prove_stale(const struct prover *p, uint32_t router);
/* Whether a lost router may be attached at the site where the class's group goes to. */
bool prove_lost_serves(const struct prover *p);
/* What is wrong with a change, as to lost routers; NULL: nothing. */
const char *prove_lost_fault(const struct ferry_plan *plan, const struct ferry_change *c);
/* Whether a lost router that may be attached has a neighbour of another site that is not under control, and
 * nobody vouches. */
bool prove_lost_open(const struct prover *p, uint32_t *ret_rival, uint32_t *ret_neighbour);

/* ---- prove_graph.c ---- */

/* One of the things that may forward on a router in some state of the stage. */
struct prove_option {
    const struct ferry_entry *entry; /* NULL: nothing does */
    uint32_t cost;                   /* the fewest changes of this router that lead there */
    uint32_t top;   /* the slot; all before it are empty then; == row->n: none or the cover */
    uint32_t layer; /* of the slot; PROVE_NONE for a cover */
    bool fired;     /* it is the slot's `after` */
    bool stale;     /* a gateway that does not belong there */
};

struct prove_graph {
    size_t n;        /* routers */
    uint32_t *first; /* [n + 1]: a router's options */
    struct prove_option *options;
    size_t room;
    bool stale; /* while it is built: of the router in hand */
    uint32_t
        *empty_cost; /* [n]: the fewest changes after which nothing of its own is left; PROVE_NONE: never */
    uint32_t *order; /* topological, packets travel to the right; n_order < n: there is a cycle */
    size_t n_order;
    uint64_t *far; /* [n]: to the nearest place where packets are not delivered; PROVE_FAR: none */
};

/* A choice of options on different routers: together they make one reachable state. */
struct prove_pick {
    uint32_t router, option;
};

struct prove_graph *prove_graph_new(size_t n);
void prove_graph_free(struct prove_graph *g);
/* The union of all states of the stage that is in the rows, sorted. */
void prove_graph_build(const struct prover *p, struct prove_graph *g);
/* Whether packets that follow this option can end here undelivered. */
bool prove_option_stray(const struct prove_option *o);
/* The cycle of fewest events, then fewest routers, in order; returns their number, 0 for none. */
size_t prove_graph_cycle(const struct prove_graph *g, struct prove_pick *ret);
/* Fills g->far. */
void prove_graph_measure(struct prove_graph *g);
/* The way from `router` to the nearest undelivered end; returns its length. */
size_t prove_graph_way(const struct prove_graph *g, uint32_t router, struct prove_pick *ret);

/* ---- prove_walk.c ---- */

struct prove_verdict {
    enum ferry_violation violation;
    uint32_t n_events;
};
/* Walks packets from every router in every state of the stage; the worst-first verdict with the fewest
 * events. */
struct prove_verdict prove_walk(struct prover *p);

/* ---- prove_stage.c ---- */

/* Builds the graph of the stage that is in the rows, and offers whatever it says is wrong. */
void prove_stage(struct prover *p, struct prove_graph *g);
/* Before any stage: whether a fence can hold at all. */
void prove_open(struct prover *p);

/* ---- prove_course.c ---- */

/* What the states between the stages say. */
struct prove_course {
    bool *at_first, *at_end;   /* [router]: packets from there are delivered, all of them */
    bool *prepared, *attached; /* the same after the last prepare stage, before the first settle stage */
    bool *dropped_at_end;      /* [router]: some packets end in a drop of Ferry's own at the end */
    uint32_t *first_held, *last_held; /* [router]: boundaries; PROVE_NONE: never; 0 is the initial state */
    bool *must_prepare, *must_settle, *may_fall;
    bool *must_always; /* of a stretched subnet, in every stage */
    bool announced_at_first;
};

struct prove_course prove_course_new(size_t n_routers);
void prove_course_free(struct prove_course *c);
/* Goes through all stages of p->class; leaves the rows as they are at the end. */
void prove_rehearse(struct prover *p, struct prove_graph *g, struct prove_course *c);
/* Takes a stage in hand: p->stage, p->must and p->may_fall. */
void prove_ask(struct prover *p, const struct prove_course *c, uint32_t stage);
/* What is left: attached and announced at the right site alone, and nobody cut off. */
void prove_end(struct prover *p, const struct prove_course *c);

/* ---- prove_bad.c ---- */

/* Of the class and stage in hand, without routers, events and text. */
struct ferry_counterexample prove_bad_new(const struct prover *p, enum ferry_violation violation);
void prove_bad_clear(struct ferry_counterexample *bad);
/* Appends to its text, which is cut where it is full. */
void prove_bad_say(struct ferry_counterexample *c, const char *fmt, ...) FERRY_PRINTF(2, 3);
void prove_bad_router(struct ferry_counterexample *c, uint32_t router);
/* A change of the stage in hand. */
void prove_bad_event(const struct prover *p, struct ferry_counterexample *c, uint32_t change);
/* The events after which slot `top` (or, past the last one, nothing) of the router can be on top. */
void prove_bad_events(const struct prover *p, struct ferry_counterexample *c, uint32_t router, uint32_t top,
                      bool fired);
/* Keeps the better one in p->bad; takes `c` over. */
void prove_bad_offer(struct prover *p, struct ferry_counterexample *c);

/* ---- prove_text.c ---- */

void prove_certify(struct prover *p, const char *what, const struct prove_graph *g);
void prove_states(const struct prover *p, char ret[static 32]);
void prove_explain(struct prover *p);

#endif
