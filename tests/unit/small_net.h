/* Random small networks, the same for the same seed: three to five routers, two or three sites, one or two
 * gateways a site, IPv4 or IPv6, ECMP or not, other tables than main now and then.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_SMALL_NET_H
#define FERRY_TEST_SMALL_NET_H

#include <ferry/plan.h>

#include "plan_spoil.h"

/* A topology file's text; malloc'd. */
char *small_net(struct dice *d);
/* The same where most routers speak BGP, or most OSPF; the others are static. */
char *small_net_speaking(struct dice *d);
/* The same where most subnets are stretched, some of them attached at both sites already when the plan is made. */
char *small_net_stretched(struct dice *d);
/* The plan that moves every subnet of the topology to a random other site, from home, as if offline; or
 * `messy`: from a state with foreign routes, and routers that hold nothing.  Aborts where the planner
 * refuses, unless `ret_refused` takes the error. */
struct ferry_plan *small_plan(const struct ferry_topology *t, struct dice *d, bool messy,
                              struct ferry_err *ret_refused);
/* The same in disaster mode: the home of the first subnet is lost, all of it or some routers; now and then
 * one elsewhere too, then perhaps with an attestation. */
struct ferry_plan *small_plan_lost(const struct ferry_topology *t, struct dice *d, bool messy,
                                   struct ferry_err *ret_refused);

#endif
