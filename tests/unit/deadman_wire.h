/* A world whose routers are behind a wire that can be cut, is slow, or is heard late, under a clock that the test turns; and
 * what must be so of the undos that routers do by themselves then.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_DEADMAN_WIRE_H
#define FERRY_TEST_DEADMAN_WIRE_H

#include "story.h"

#define WINDOW_S 60u
#define ARMED_S  (WINDOW_S + 20) /* MARGIN_S of txn_deadman.c */
#define OVER_S   160u            /* whatever was armed has fired, and every step of it */
#define FAR_S    4u              /* more than stages are apart where all hear in time */
#define NEVER    1000u
#define MOVES    (1u << FERRY_DEADMAN_NEXT | 1u << FERRY_DEADMAN_MOVE | 1u << FERRY_DEADMAN_SETTLE)

extern struct wire {
    unsigned verbs;           /* bits 1 << verb: of these dead-man calls … */
    unsigned left;            /* … so many come through; then the controller hears nobody */
    bool cut;                 /* it has come to that */
    bool fatal;               /* whoever applies anything dies */
    const char *slow;         /* an apply takes nine seconds there */
    unsigned slowed;          /* how many have */
    const char *silent;       /* this router is, … */
    uint64_t silent_until_us; /* … until then */
    char id[24];              /* of the dead-man that was armed last */
    unsigned limit_s;         /* a LIMIT takes so long */
    const char *slow_limit;   /* a LIMIT is answered there at the third try, after ten seconds each */
    unsigned limits;          /* how many tries there have been */
    const char *at_it;        /* this router says that its undo is not over */
    const char *far;          /* this router hears of a deadline FAR_S late */
    unsigned way_us;          /* a dead-man call takes so long, beside that */
    unsigned moves;           /* of deadlines */
    unsigned begun;           /* ops on a router whose undo had begun */
    unsigned ops;             /* all of them */
} wire;
/* From now on so many calls of these verbs (bits 1 << verb) come through. */
void cut_after(unsigned n, unsigned verbs);

/* A clocked story behind the wire. */
void prepare(struct story *s, const char *topology);
typedef void prepare_fn(struct story *s);
void prepare_plain(struct story *s);
void prepare_bgp(struct story *s);
/* r2 is the new gateway of `app` and the old one of `db`: at the undo it does both. */
void prepare_handed_on(struct story *s);
void prepare_exchanged(struct story *s); /* and r1 does */

typedef void progress_fn(void *ctx, enum ferry_txn_event event, size_t stage, const char *text);
enum ferry_txn_state apply(struct story *s, progress_fn *progress);

/* [stage]: what the routers hold before it; the last one: after all of them. */
char **states_of_plan(prepare_fn *prepare_it, size_t *ret_n);
void free_states(char **states, size_t n);
/* Whether every router stands before or after the same stage. */
bool has_been(const struct story *s, char *const *states, const char *now);
/* From now on nobody but the routers is at work: whatever they have been told of the new deadline. */
void let_them_undo(struct story *s, char *const *states, unsigned n);

#endif
