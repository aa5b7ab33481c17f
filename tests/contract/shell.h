/* Commands of this machine, for tests in C.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_SHELL_H
#define FERRY_TESTS_SHELL_H

#include <ferry/err.h>

/* Runs it with sh; fails the test where it fails. */
void shell(const char *fmt, ...) FERRY_PRINTF(1, 2);
/* What it prints, 256 KiB of it at most; freed by the caller. */
char *shell_text(const char *fmt, ...) FERRY_PRINTF(1, 2);

#endif
