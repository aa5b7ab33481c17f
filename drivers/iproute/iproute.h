/* The driver "iproute": a plain Linux router without any agent, by its `ip`, over ssh or here.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_IPROUTE_H
#define FERRY_IPROUTE_H

#include <ferry/driver.h>

extern const struct ferry_driver_ops ferry_driver_iproute;

#endif
