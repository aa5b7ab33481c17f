/* The simulated router: a driver without a router behind it, and the example in docs/writing-a-driver.md.
 *
 * What it holds is kept in STATE_DIR/sim/ROUTER.json, written whole and renamed into place at the end of
 * every apply that changed something.  Before the first such file it holds `initial`, with two additions:
 *
 *  1. An item of type FERRY_GATEWAY may carry one next hop, which says where the subnet is attached: `dev` is
 *     the interface, `via` its address (inside the prefix) or the device behind which the subnet sits (outside
 *     of it). Without one it is taken for any gateway that it is asked about.  Its `table` says where the
 *     attachment holds, 0: in every table.
 *  2. The devices of the IPv6 link-local route fe80::/64 (protocol kernel) are the router's interfaces.  Where
 *     there is none, names of devices are not checked.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DRIVERS_SIM_H
#define FERRY_DRIVERS_SIM_H

#include <ferry/driver.h>

extern const struct ferry_driver_ops ferry_driver_sim;

/* The `ip` commands for an op; see native in ferry_driver_ops. */
int ferry_sim_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                     size_t size);

#endif
