/* What the prover must say, found out the slow way; and plans spoilt on purpose.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_PROVE_BRUTE_H
#define FERRY_TEST_PROVE_BRUTE_H

#include <ferry/prove.h>

struct brute {
    enum ferry_violation violation;
    uint32_t stage;
    size_t n_events;
    uint64_t states; /* looked at */
};

/* MISMATCH stands for every fault of the document itself, FOREIGN too.
 * Plays every order of events of every stage, one event at a time, and walks packets from every router. */
struct brute brute_prove(const struct ferry_plan *plan);
/* Whether the state after these events (all earlier stages whole) has this violation for the group. */
bool brute_replay(const struct ferry_plan *plan, const struct ferry_counterexample *bad);

/* A deterministic source of choices. */
struct dice {
    uint64_t seed;
};
unsigned dice_roll(struct dice *d, unsigned sides); /* 0 .. sides - 1 */

/* Copies the stages of a plan so that they can be spoilt (the rest is shared); free with brute_spoil_free. */
struct ferry_plan *brute_copy(const struct ferry_plan *plan);
void brute_copy_free(struct ferry_plan *plan);
/* Spoils the plan in one way and says how; NULL where this way does not apply. */
const char *brute_spoil(struct ferry_plan *plan, struct dice *d);
/* Makes every `before` agree with what the plan has come to. */
void brute_mend(struct ferry_plan *plan);

#endif
