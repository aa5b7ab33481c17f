/* The driver of routers that run FRR, here (vtysh) or over SSH.  SPDX-License-Identifier: MIT */
#ifndef FERRY_FRR_H
#define FERRY_FRR_H

#include <ferry/driver.h>

extern const struct ferry_driver_ops ferry_driver_frr; /* type "frr" */

#endif
