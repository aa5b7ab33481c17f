/* What the files of the planner share; nobody else includes it (the prover least of all).
 *
 *   make.c    ferry_plan_make: classes in, one merged plan out
 *   class.c   which subnets share everything: one plan a class
 *   check.c   what is refused before anything is planned, conflict.c: longer prefixes inside
 *   protocol.c  routers that speak BGP or OSPF: what they announce, learn now, and will learn
 *   obey.c    the rules that look at a whole plan
 *   goal.c    where every router forwards before, in the middle and after
 *   order.c   in how few rounds one forwarding becomes another
 *   diff.c    the changes of every router, each with its stage
 *   machines.c  whom a subnet takes along
 *   stretch.c subnets that live at several sites at once
 *   tunnels.c  what the tunnels of policy-based VPNs carry
 *   fence.c   where routers are lost: what it takes to do without them, and what they owe
 *   back.c    a router that came back lets go of what has moved on without it
 *   graph.c   next-hop graphs
 *
 * docs/planner.md has the theory.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_PLANNER_H
#define FERRY_PLAN_PLANNER_H

#include "base/mem.h"

#include <ferry/plan.h>

/* ---- Next-hop graphs: compressed adjacency. ---- */

struct ferry_edges {
    uint32_t n;
    uint32_t *first; /* [n + 1]: edges of v are to[first[v]] … to[first[v + 1] - 1] */
    uint32_t *to;
};

void ferry_edges_clear(struct ferry_edges *edges);
/* The neighbours that the entries forward to (next hops of unknown routers give no edge). */
void ferry_edges_build(struct ferry_edges *ret, const struct ferry_entry *const *forward, uint32_t n);
/* Fills `order` so that every edge leads to an earlier place, and returns 0; or returns the length of a
 * cycle, whose nodes then stand at the head of `order`, each forwarding to the next. */
uint32_t ferry_edges_sort(const struct ferry_edges *edges, uint32_t *order);
bool ferry_edges_same(const struct ferry_edges *a, const struct ferry_edges *b, uint32_t v);

/* ---- Rounds. ---- */

/* Splits the change of all `changing` routers from `old` to `target` (both acyclic) into rounds, as few as it
 * finds, so that no interleaving within a round has a loop.  round[v]: 0, 1, …; FERRY_NONE for the others.
 * Returns how many; UINT32_MAX where `old` or `target` has a cycle. */
uint32_t ferry_rounds(const struct ferry_edges *old, const struct ferry_edges *target, const bool *changing,
                      uint32_t *round);

/* ---- One class at work. ---- */

struct ferry_slotted_list; /* below */

/* Subnets with equal columns; the first one stands for all. */
struct ferry_class {
    uint32_t column; /* of the first, in the live state */
    uint32_t from;   /* site, or FERRY_NONE */
    uint32_t to;     /* site */
    uint32_t *moves; /* indices into the moves */
    uint32_t n_moves;
};

/* Shortest paths that several classes share. */
struct ferry_goals;
struct ferry_goals *ferry_goals_new(const struct ferry_topology *t, struct ferry_pool *pool);
void ferry_goals_free(struct ferry_goals *goals);
/* Entries towards the marked routers; owned by `goals`. */
int ferry_goals_get(struct ferry_goals *goals, const bool *gateways, uint8_t family, uint32_t table,
                    const struct ferry_entry *const **ret, struct ferry_err *err) FERRY_MUST_CHECK;

struct ferry_node {
    const struct ferry_stack *held; /* what it holds: the plan's initial state */
    /* The same without announcements and traffic selectors, and with the pin on top: what the rest of the
     * planner works on. */
    const struct ferry_stack *stack;
    const struct ferry_entry *announced; /* the announcement that it makes now, or NULL */
    const struct ferry_entry *learnt;    /* the protocol's route that forwards now, or NULL */
    const struct ferry_entry *foretold;  /* the protocol's route that forwards in the end, or NULL */
    const struct ferry_entry *pin;   /* laid over what a protocol may change, in the first stage; or NULL */
    const struct ferry_entry *cover; /* what it falls to; NULL: nothing */
    const struct ferry_entry *fresh; /* towards the new gateways; NULL: no path; a gateway entry at them */
    bool is_old, is_new;             /* a gateway now; a gateway then */
    bool delivers;                   /* all its paths end at an old gateway */
    bool critical;                   /* on the way from a new gateway to an old one: must drop in between */
    bool pinned;                     /* critical, and needs an explicit route for the time before */
};

/* Everything about one class on its way through goal.c and diff.c. */
struct ferry_work {
    const struct ferry_live *live;
    const struct ferry_topology *t;
    const struct ferry_plan_terms *terms;
    bool fence;     /* routers are lost: whoever changes drops first, all at once (fence.c) */
    bool exclusive; /* ... and one of them may be attached at another site */
    bool reconcile; /* the subnet stays where it is */
    bool stretched; /* new gateways are attached first, nothing is dropped (stretch.c) */
    const struct ferry_subnet *subnet; /* the first of the class */
    struct ferry_class *class;
    struct ferry_pool *pool; /* the plan's */
    struct ferry_goals *goals;
    uint32_t n; /* routers */
    struct ferry_node *nodes;
    /* Forwarding of every router: today; when all deliver; just before the hand-over. */
    const struct ferry_entry **old, **whole, **mid;
    uint32_t *round; /* of the change of a router's live route, or FERRY_NONE */
    uint32_t n_rounds;
    uint32_t n_old; /* attached gateways */
    bool
        announces; /* the new gateways that speak a protocol announce; else they originate it by themselves */
    char *subject; /* "app", or "app and 9 more" */
};

void ferry_work_clear(struct ferry_work *work);
/* Reads the class's columns into `nodes`, refusing what cannot be planned (check.c). */
int ferry_work_check(struct ferry_work *work, struct ferry_err *err) FERRY_MUST_CHECK;
/* Refuses what is announced or learnt in other ways than the topology says, and pins (protocol.c). */
int ferry_work_protocols(struct ferry_work *work, struct ferry_err *err) FERRY_MUST_CHECK;
/* What protocols will make of the move: announced at the new gateways, learnt elsewhere.  After ferry_work_goal. */
int ferry_work_foretell(struct ferry_work *work, struct ferry_plan *plan,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* Refuses what no fence makes safe; says what is done without (fence.c).  After ferry_work_check. */
int ferry_work_lost(struct ferry_work *work, struct ferry_plan *plan, struct ferry_err *err) FERRY_MUST_CHECK;
/* Refuses what cannot be done without a pause; says what stretching costs (stretch.c).  After ferry_work_check. */
int ferry_work_stretch(struct ferry_work *work, struct ferry_plan *plan,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* Shifts the rounds, so that the new gateways are attached before the first.  After ferry_work_goal. */
void ferry_work_stretch_rounds(struct ferry_work *work);
/* The changes of a gateway that is left, or taken up. */
int ferry_work_stretch_gateway(struct ferry_work *work, struct ferry_plan *plan, uint32_t group,
                               uint32_t router, struct ferry_slotted_list *ret,
                               struct ferry_err *err) FERRY_MUST_CHECK;
/* Marks who has to drop first. */
void ferry_work_fence(struct ferry_work *work);
/* Adds what is owed; `whole` knows the ways through lost routers too. */
int ferry_work_debts(struct ferry_work *work, struct ferry_goals *whole, struct ferry_plan *plan,
                     uint32_t group, struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether nothing is to be done about this class where it is. */
bool ferry_work_idle(const struct ferry_work *work);
/* Fills in old, whole, mid and the rounds. */
int ferry_work_goal(struct ferry_work *work, struct ferry_err *err) FERRY_MUST_CHECK;
/* Longer prefixes inside the moving columns (conflict.c). */
int ferry_check_conflicts(const struct ferry_live *live, const bool *moving,
                          struct ferry_overrides *overrides, struct ferry_err *err) FERRY_MUST_CHECK;
/* The metric at which the attachment of this gateway competes with routes of the same prefix. */
uint32_t ferry_gateway_metric(const struct ferry_work *work, uint32_t router);

/* ---- Changes with their stage. ---- */

/* Slots: before the first round come the pins; the prepare rounds count from 0, then: */
#define FERRY_SLOT_PIN    UINT32_C(0xffffffef)
#define FERRY_SLOT_DETACH UINT32_C(0xfffffff0)
#define FERRY_SLOT_ATTACH UINT32_C(0xfffffff1)
#define FERRY_SLOT_SETTLE UINT32_C(0xfffffff2)
#define FERRY_SLOT_UNPIN  UINT32_C(0xfffffff3)

struct ferry_slotted {
    uint32_t slot;
    struct ferry_change change;
};

struct ferry_slotted_list {
    struct ferry_slotted *v;
    size_t n;
};

/* Appends the changes of the class as group `group`; `why` texts are owned by the plan. */
int ferry_work_diff(struct ferry_work *work, struct ferry_plan *plan, uint32_t group,
                    struct ferry_slotted_list *ret, struct ferry_err *err) FERRY_MUST_CHECK;

/* What tunnels carry (tunnels.c), after ferry_work_diff.  -FERRY_EREFUSED (rule local-network). */
int ferry_work_tunnels(struct ferry_work *work, const struct ferry_move *moves, struct ferry_plan *plan,
                       uint32_t group, struct ferry_slotted_list *ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* The same for a router that lets go of what does not belong to its site (back.c). */
int ferry_work_detach(struct ferry_work *work, struct ferry_plan *plan, uint32_t group,
                      struct ferry_slotted_list *ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* Lays a blackhole under the attachment of `router`, in the first prepare stage; it stays. */
int ferry_work_lay_drop(struct ferry_work *work, struct ferry_plan *plan, uint32_t group, uint32_t router,
                        struct ferry_slotted_list *ret, struct ferry_err *err) FERRY_MUST_CHECK;

/* Warns, for each subnet that moves as a whole, of the machines that move along: all of them (machines.c). */
void ferry_plan_say_machines(struct ferry_plan *plan, const struct ferry_topology *t);
/* Rule not-ready: none of them may not be ready to. */
int ferry_plan_ready(const struct ferry_plan *plan, const struct ferry_topology *t,
                     struct ferry_overrides *overrides, struct ferry_err *err) FERRY_MUST_CHECK;

/* These hooks, with what is to be said of them; none where nothing moves. */
void ferry_plan_add_hooks(struct ferry_plan *plan, const struct ferry_hooks *hooks);
/* Whether it changes TTLs alone, so that nothing moves (dns.c). */
bool ferry_plan_is_ttl_only(const struct ferry_plan *plan);
/* Whether some machine of the topology has this name, or it is one of addresses. */
bool ferry_dns_is_known(const struct ferry_topology *t, const char *name);
/* Appends to plan->warnings. */
void ferry_plan_warn(struct ferry_plan *plan, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* The stack after a change; all interned in `pool`. */
const struct ferry_stack *ferry_change_apply(struct ferry_pool *pool, const struct ferry_stack *stack,
                                             const struct ferry_change *change);
/* plan_address.c: addresses of machines in a plan. */
void ferry_plan_address_clear(struct ferry_plan_address *address);
/* Appends those of `plan`, with before and after swapped. */
void ferry_plan_reverse_addresses(const struct ferry_plan *plan, struct ferry_plan *ret);
/* Refuses what the topology does not have (rule topology). */
int ferry_plan_asked(const struct ferry_plan *plan, const struct ferry_topology *t,
                     struct ferry_overrides *overrides, struct ferry_err *err);
int ferry_plan_fit_addresses(const struct ferry_plan *plan, const struct ferry_topology *t,
                             struct ferry_err *err) FERRY_MUST_CHECK;
/* A text that lives as long as the plan. */
const char *ferry_plan_string(struct ferry_plan *plan, char *owned);

#endif
