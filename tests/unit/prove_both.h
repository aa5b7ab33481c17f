/* The prover and brute force on one plan: the same verdict, or else it is said how they differ.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_PROVE_BOTH_H
#define FERRY_TEST_PROVE_BOTH_H

#include "prove_brute.h"

struct proven {
    bool same;
    enum ferry_violation said; /* by the prover; MISMATCH for FOREIGN, too */
    struct brute brute;
};

/* With a counterexample, stage and number of events must be the same, and a replay must show it.  Two seeds of
 * three have the prover walk the states of stages, too. */
struct proven prove_both(const struct ferry_plan *p, unsigned seed, const char *how);

#endif
