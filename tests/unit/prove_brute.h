/* What the prover must say, found out the slow way.
 *
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

#endif
