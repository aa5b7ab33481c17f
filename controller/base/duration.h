/* Durations as people write them.  SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_DURATION_H
#define FERRY_BASE_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* "90s", "5m", "2h", "500ms"; at most nine digits.  False where it is none. */
bool ferry_duration_parse(const char *text, uint64_t *ret_us);

#endif
