/* A folder in memory for targets whose parser reads files: one a process, removed at its end.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_FUZZ_SCRATCH_H
#define FERRY_TESTS_FUZZ_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

const char *fuzz_scratch(void);
/* Writes FOLDER/NAME anew; returns its path, which holds until the next call. */
const char *fuzz_scratch_file(const char *name, const void *bytes, size_t n);

#endif
