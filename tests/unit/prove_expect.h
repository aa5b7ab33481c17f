/* What the prover must say, and the good plan that most of its tests break: a chain a - b - c, attached at a (site p),
 * moves to c (site q).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_PROVE_EXPECT_H
#define FERRY_TEST_PROVE_EXPECT_H

#include "prove_builder.h"

/* The chain, before any stage. */
struct ferry_plan *build_chain(const char *prefix);
/* Its move: lay blackholes under what is live; uncover them; attach; take them away. */
void build_move(struct ferry_plan *p);

/* Both free the plan.  `states`: how many there are, all of them walked; NULL: any. */
void prove_expect_safe(struct ferry_plan *p, const char *states);
/* By the graph alone, and walked too; `stage` from 1; `routers` in order as letters; `words`: in the counterexample. */
void prove_expect(struct ferry_plan *p, enum ferry_violation violation, uint32_t stage, size_t n_events,
                  const char *routers, const char *words);

#endif
