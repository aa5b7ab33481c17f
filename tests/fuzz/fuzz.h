/* What the fuzz targets share: a world without a clock of its own, checks that end the process, and text.
 *
 * A target is one file with LLVMFuzzerTestOneInput.  It is linked with libFuzzer (preset `fuzz`), and in every other
 * build with replay.c, which runs the corpus.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_FUZZ_H
#define FERRY_TESTS_FUZZ_H

#include <ferry/addr.h>
#include <ferry/env.h>
#include <ferry/err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with the broken expectation, as a sanitizer does. */
#define FUZZ_CHECK(expected) ((expected) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #expected, ""))
void fuzz_fail(const char *file, int line, const char *expected, const char *seen) __attribute__((noreturn));

/* The clock goes on by 20 ms a look and by what is slept, random numbers count from 1, nothing is logged.  The same for
 * every input after fuzz_begin. */
extern const struct ferry_env fuzz_env;
void fuzz_begin(void);

/* What `result` and `err` promise (ferry/err.h): a failure is one of the codes and has a text of one line without
 * control characters.  `result` >= 0: nothing is promised. */
void fuzz_said(int result, const struct ferry_err *err);
/* A failure of -FERRY_EINPUT that begins with "NAME:LINE:COLUMN: ". */
void fuzz_located(int result, const struct ferry_err *err, const char *name);

/* A prefix that others may rely on: a family, a length within it, no host bits. */
void fuzz_prefix_sound(const struct ferry_prefix *p);

/* A copy with a NUL behind it, exactly as long: reading on is seen by AddressSanitizer.  free() it. */
char *fuzz_text(const uint8_t *data, size_t size);

#endif
