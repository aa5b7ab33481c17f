/* The driver of name servers; see README.md.  SPDX-License-Identifier: MIT */
#ifndef FERRY_DRIVERS_DNS_H
#define FERRY_DRIVERS_DNS_H

#include <ferry/driver.h>

extern const struct ferry_driver_ops ferry_driver_dns;

#endif
