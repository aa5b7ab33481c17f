/* The driver "netlink": a Linux kernel's routing tables, this machine's own or those of a network namespace.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LINUX_H
#define FERRY_LINUX_H

#include <ferry/driver.h>

extern const struct ferry_driver_ops ferry_driver_linux;

#endif
