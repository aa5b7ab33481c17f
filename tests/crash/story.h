/* A story of the engine, on a world of its own: subnet app of three-site.json moves to site recovery,
 * something befalls it, and what the routers hold is compared with what they held at first.  Simulated
 * routers; a clock that the test turns, if it wants.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_STORY_H
#define FERRY_TESTS_STORY_H

#include "world.h"

struct story {
    struct world w;
    struct ferry_plan *plan;
    char *before;              /* what the routers held at first: world_snapshot */
    struct ferry_fleet *fleet; /* of story_begin; NULL: not begun, or left */
    struct ferry_txn *txn;     /* the same */
    struct ferry_fault_script faults;
};

void story_init(struct story *s);
/* The same under story_clock_us, with one worker: the order of the drivers' calls is the same each time. */
void story_init_clocked(struct story *s);
/* The same on another topology; the plan, and what they held before it, are the caller's to set. */
void story_init_unplanned(struct story *s, const char *topology);
void story_clear(struct story *s); /* leaves it, too */

/* What a clocked story holds for the time, monotonic and of day. */
#define STORY_START_US UINT64_C(1790000000000000) /* in September 2026 */
extern uint64_t story_clock_us;
void story_pass(unsigned seconds);

/* A transaction on a fleet without faults but the story's. */
void story_begin(struct story *s, const char *kind);
/* Begun as a drill, done, and told to go back: its undo is what comes next. */
void story_turn_back(struct story *s);
/* As if the controller had gone: frees transaction and fleet, and ends nothing. */
void story_leave(struct story *s);
/* Another controller recovers it: it ends undone, and every router as it was. */
void story_recover(struct story *s);

/* What befalls the drivers from now on; the rule is the caller's, and may be changed while no call is under way. */
void story_break(struct story *s, struct ferry_fault_rule *rule);
void story_mend(struct story *s); /* the simulator alone, again */

void story_holds(struct story *s, const char *snapshot);
/* At how many routers app is attached. */
unsigned story_attached(struct story *s);

#endif
