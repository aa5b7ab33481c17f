/* What the targets of whole drivers ask of them: about the same three prefixes, with the same ops.
 *
 * 192.168.1.0/24 is attached at lan0 as 192.168.1.1/24, fd00:1::/64 as fd00:1::1/64, 10.1.0.0/16 is only routed.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_FUZZ_ROUTES_H
#define FERRY_TESTS_FUZZ_ROUTES_H

#include <ferry/driver.h>

void fuzz_read(struct ferry_driver *driver);
void fuzz_read_all(struct ferry_driver *driver);
void fuzz_check_ops(struct ferry_driver *driver);
void fuzz_apply(struct ferry_driver *driver);
void fuzz_persist(struct ferry_driver *driver);
void fuzz_deadman(struct ferry_driver *driver);

#endif
