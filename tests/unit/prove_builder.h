/* Plans in a few words, for the prover's tests.  Routers are the letters a, b, c, …  An entry is one word:
 *   @       the gateway          20>bc   unicast, metric 20, next hops b and c
 *   20!     a blackhole          20>?    unicast, next hop outside of the plan
 *   20x     an unreachable of protocol static        -   nothing
 * A stack is several words.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_PROVE_BUILDER_H
#define FERRY_TEST_PROVE_BUILDER_H

#include <ferry/prove.h>

/* A plan of n routers, mode "planned"; family AF_INET. */
struct ferry_plan *build_plan(unsigned n_routers);
/* One letter a router: its site; '.' leaves it unsaid. */
void build_sites(struct ferry_plan *plan, const char *letters);
/* Sites are names or NULL.  Returns the group's index. */
uint32_t build_group(struct ferry_plan *plan, const char *from, const char *to, const char *prefix);
void build_subnet(struct ferry_plan *plan, uint32_t group, const char *prefix);
void build_hold(struct ferry_plan *plan, uint32_t group, char router, const char *stack);
void build_cover(struct ferry_plan *plan, uint32_t group, char router, const char *prefix, const char *entry);
/* Later changes belong to it. */
void build_stage(struct ferry_plan *plan, enum ferry_phase phase);
struct ferry_change *build_change(struct ferry_plan *plan, uint32_t group, char router, const char *before,
                                  const char *after);
/* NULL for "-". */
const struct ferry_entry *build_entry(struct ferry_plan *plan, uint8_t family, const char *word);

#endif
