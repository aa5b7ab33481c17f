/* The parts of the prover's brute force, for it alone: prove_brute.c (stages, the document, the verdict),
 * prove_brute_state.c (states and packets), prove_brute_rules.c (what must hold when).
 *
 * Written from the definitions of docs/prover.md, not from the prover, of which nothing may be included here: a
 * state is a list of what is held under which key, events are applied one by one, and packets are followed with
 * their whole path in hand.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_PROVE_BRUTE_PARTS_H
#define FERRY_TEST_PROVE_BRUTE_PARTS_H

#include "prove_brute.h"

#define BRUTE_KEYS  256 /* that one state holds; more: abort */
#define BRUTE_NODES 16  /* routers of a plan */
#define BRUTE_DEPTH 20  /* changes of a stage, and stages of a plan */

/* ---- prove_brute_state.c ---- */

struct brute_held {
    uint32_t group, router;
    enum ferry_kind kind;
    uint32_t metric;
    const struct ferry_entry *entry; /* NULL: nothing any more */
};

struct brute_state {
    const struct ferry_plan *plan;
    struct brute_held v[BRUTE_KEYS];
    size_t n;
};

/* What is held under a key, which is made where it is missing; lives as long as the state. */
struct brute_held *brute_find(struct brute_state *s, uint32_t group, uint32_t router, enum ferry_kind kind,
                              uint32_t metric);
/* The initial state; free() it. */
struct brute_state *brute_state_new(const struct ferry_plan *plan);
/* The change takes effect; whether it found what it expects. */
bool brute_fire(struct brute_state *s, const struct ferry_change *c);
/* What forwards; *ret_own false where the router holds nothing. */
const struct ferry_entry *brute_forwards(const struct brute_state *s, uint32_t group, uint32_t router,
                                         bool *ret_own);

/* What can become of a packet: ARRIVES alone, or a set of the others. */
enum { BRUTE_ARRIVES = 0, BRUTE_STRAYS = 1, BRUTE_CIRCLES = 2 };

int brute_fate(const struct brute_state *s, uint32_t group, uint32_t router);

/* The site of a gateway of the group; never NULL. */
const char *brute_site(const struct ferry_plan *plan, uint32_t group, uint32_t router);
/* Whether the router is lost and may have the group attached. */
bool brute_may_attach(const struct ferry_plan *plan, uint32_t group, uint32_t router);
bool brute_same_key(const struct ferry_change *a, const struct ferry_change *b);

/* ---- prove_brute_rules.c: docs/prover.md, "What must hold when" ---- */

/* What is asked of a state. */
struct brute_rules {
    bool must[BRUTE_NODES], may_fall[BRUTE_NODES];
    bool fence; /* no live router may lead to a lost one, or nobody knows where */
    bool open;  /* a fence cannot hold: in the first stage */
    /* The metric from which on a protocol's route can win; UINT32_MAX: none. */
    uint32_t exposed_from[BRUTE_NODES];
};

/* What a plan comes to for one group. */
struct brute_course {
    bool delivered[BRUTE_DEPTH + 1][BRUTE_NODES]; /* at each boundary between stages */
    bool held[BRUTE_DEPTH + 1][BRUTE_NODES];
    bool own_drop[BRUTE_NODES]; /* at the end: packets can end in a drop of Ferry's */
    size_t prepared, attached;  /* boundaries: after the last prepare, before the first settle */
};

void brute_run(const struct ferry_plan *plan, uint32_t group, struct brute_course *c);
struct brute_rules brute_rules_of(const struct ferry_plan *plan, uint32_t group, const struct brute_course *c,
                                  size_t stage);
enum ferry_violation brute_judge(const struct brute_state *s, uint32_t group,
                                 const struct brute_rules *rules);

#endif
