/* The test failover of a subnet, as the topology has it; see test.c.  SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_TEST_H
#define FERRY_MODEL_TEST_H

#include <ferry/topology.h>

void ferry_test_free(struct ferry_test *test); /* takes NULL */

#endif
