/* Between txn_deadman.c, deadman_tell.c and deadman_steps.c.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_DEADMAN_PARTS_H
#define FERRY_TXN_DEADMAN_PARTS_H

#include "txn/txn_engine.h"

/* ---- deadman_steps.c: a router's part of the undo. ---- */

struct ferry_deadman_undo {
    struct ferry_deadman deadman;
    struct ferry_deadman_step *steps; /* the deadman's, with their ops */
};
/* -FERRY_EREFUSED (rule dead-man) where it is too big. */
int ferry_deadman_undo(const struct ferry_txn *txn, uint32_t router, struct ferry_deadman_undo *ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_deadman_undos_free(struct ferry_deadman_undo *undos,
                              size_t n); /* malloc'd, and zero where not made */

/* D3: what deadlines so far ahead may be apart, and how far stages must be for those that are. */
unsigned ferry_deadman_most_apart_s(const struct ferry_txn *txn, unsigned seconds);
unsigned ferry_deadman_guard_s(const struct ferry_plan *plan, unsigned apart_s, unsigned seconds);
/* How long after the deadline a stage is undone, in seconds: the last stage first. */
unsigned ferry_deadman_delay(const struct ferry_txn *txn, size_t stage);
/* D8: the delay of the first step that is to be run before this stage begins. */
unsigned ferry_deadman_from_s(const struct ferry_txn *txn, size_t stage);
/* The first stage whose undo must not be run before the stage has begun (D8), or n_stages. */
size_t ferry_deadman_late(const struct ferry_plan *plan);
/* Whether the stage, or one after it, changes the router. */
bool ferry_deadman_touches(const struct ferry_plan *plan, size_t stage, uint32_t router);
bool ferry_deadman_touches_later(const struct ferry_plan *plan, size_t stage, uint32_t router);

/* ---- deadman_tell.c: asking routers. ---- */

struct ferry_deadman_question {
    enum ferry_deadman_verb verb;
    const bool *of;    /* [router]: these alone; NULL: all */
    uint64_t until_us; /* ARM, EXTEND, NEXT: the deadline, monotonic, however long it takes to say so */
    unsigned from_s, to_s, split_s;
    bool earlier;
    const struct ferry_deadman_undo *undos; /* [router]: ARM */
};
/* All of them at once, and again those that failed; the answers are in txn->dead.answers. */
void ferry_deadman_ask(struct ferry_txn *txn, const struct ferry_deadman_question *question);
/* 0: all (`of`: these alone) are in that state (MOVING is ARMED, too).  1: some are not; the text says who.
 * Negative: some do not say. */
int ferry_deadman_judge(const struct ferry_txn *txn, const bool *of, enum ferry_deadman_state state,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* All of them with the same deadline, `seconds` from now, or as nearly as they let it be told.  As judge. */
int ferry_deadman_arm(struct ferry_txn *txn, unsigned seconds, const struct ferry_deadman_undo *undos,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* How far the deadlines that were told last are apart, at most; 0 where no two stages of the undo are as near as
 * that (D3). */
unsigned ferry_deadman_too_far_s(const struct ferry_txn *txn, unsigned seconds);
/* Another deadline, earlier than the one they have or later; and its second half alone, where that was cut off
 * (L1).  As judge. */
int ferry_deadman_tell(struct ferry_txn *txn, unsigned seconds, bool earlier,
                       struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_deadman_move(struct ferry_txn *txn, bool earlier, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
