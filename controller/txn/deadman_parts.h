/* Between txn_deadman.c and deadman_steps.c: a router's part of the undo.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_DEADMAN_PARTS_H
#define FERRY_TXN_DEADMAN_PARTS_H

#include "txn/txn_engine.h"

#define FERRY_DEADMAN_GUARD_S 2u /* D3 */

struct ferry_deadman_undo {
    struct ferry_deadman deadman;
    struct ferry_deadman_step *steps; /* the deadman's, with their ops */
};
/* -FERRY_EREFUSED (rule dead-man) where it is too big. */
int ferry_deadman_undo(const struct ferry_txn *txn, uint32_t router, struct ferry_deadman_undo *ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_deadman_undos_free(struct ferry_deadman_undo *undos,
                              size_t n); /* malloc'd, and zero where not made */

/* How long after the deadline a stage is undone, in seconds: the last stage first. */
unsigned ferry_deadman_delay(const struct ferry_txn *txn, size_t stage);
/* The first stage whose undo must not be run before the stage has begun (D8), or n_stages. */
size_t ferry_deadman_late(const struct ferry_plan *plan);
/* Whether the stage, or one after it, changes the router. */
bool ferry_deadman_touches(const struct ferry_plan *plan, size_t stage, uint32_t router);
bool ferry_deadman_touches_later(const struct ferry_plan *plan, size_t stage, uint32_t router);

#endif
