/* The prover: takes the plan document alone and shares no code with the planner beyond the graph types.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PROVE_H
#define FERRY_PROVE_H

#include <ferry/plan.h>

enum ferry_violation {
    FERRY_SAFE = 0,
    FERRY_LOOP,          /* a forwarding loop */
    FERRY_TWO_SITES,     /* attached, or announced, at two sites at once */
    FERRY_LOST,          /* a router that delivered does not, outside detach and attach */
    FERRY_FALLS,         /* a router falls through to a covering prefix */
    FERRY_UNPINNED,      /* a router follows BGP or OSPF while what they know of the prefix changes */
    FERRY_LOST_SITE,     /* packets may get to a site that is lost, and may be active, while another is */
    FERRY_MISMATCH,      /* a `before` is not what the state holds there */
    FERRY_FOREIGN,       /* a change outside of the moved subnets' keys */
    FERRY_UNFINISHED,    /* the end is not: attached at `to` alone, delivered from everywhere */
    FERRY_LOCAL_NETWORK, /* a tunnel takes the prefix away from a site while it is attached there */
    FERRY_TEST_ISOLATED, /* a test failover changes what other packets can meet */
};
const char *ferry_violation_name(enum ferry_violation v); /* "loop", "two-sites", … : rule names */

struct ferry_step {
    uint32_t stage, change; /* an event: this change took effect */
};

/* A reachable bad state: do the events in order from the initial state (all earlier stages whole). */
struct ferry_counterexample {
    enum ferry_violation violation;
    uint32_t group;
    uint32_t stage;            /* in which it happens */
    struct ferry_step *events; /* the shortest list, within `stage` */
    size_t n_events;
    uint32_t *routers; /* the loop in order, or the routers concerned */
    size_t n_routers;
    char text[512];
};

struct ferry_proof {
    bool safe;
    char states[32]; /* how many states the proof covers: decimal, or "2^123.4" style where it does not fit */
    bool exhaustive; /* every one was also walked (small plans) */
    uint64_t walked; /* how many states were walked */
    char certificate[65];   /* sha256 of certificate_text */
    char *certificate_text; /* a topological order of the union graph of each stage and group; lines */
    struct ferry_counterexample bad; /* where !safe */
};

/* -FERRY_EREFUSED (rule = violation) where unsafe, with `ret` filled in all the same; 0 where safe.
 * Stages with at most `exhaustive_bits` changes a group are also walked state by state (0: never),
 * as long as that takes less than about a second; `exhaustive` says whether all were. */
int ferry_prove(const struct ferry_plan *plan, unsigned exhaustive_bits, struct ferry_proof *ret,
                struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_proof_clear(struct ferry_proof *proof);

#endif
