/* Plans spoilt on purpose, one way at a time, the same for the same dice.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_PLAN_SPOIL_H
#define FERRY_TEST_PLAN_SPOIL_H

#include <ferry/plan.h>

/* A deterministic source of choices. */
struct dice {
    uint64_t seed;
};
unsigned dice_roll(struct dice *d, unsigned sides); /* 0 .. sides - 1 */

/* Copies the stages of a plan so that they can be spoilt (the rest is shared); free with spoil_copy_free. */
struct ferry_plan *spoil_copy(const struct ferry_plan *plan);
void spoil_copy_free(struct ferry_plan *plan);
/* Spoils the plan in one way and says how; NULL where this way does not apply. */
const char *spoil_plan(struct ferry_plan *plan, struct dice *d);
/* Makes every `before` agree with what the plan has come to. */
void spoil_mend(struct ferry_plan *plan);

#endif
