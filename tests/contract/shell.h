/* Commands of this machine, for tests in C.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_SHELL_H
#define FERRY_TESTS_SHELL_H

#include <ferry/err.h>

/* Runs it with sh; fails the test where it fails. */
void shell(const char *fmt, ...) FERRY_PRINTF(1, 2);
/* What it prints, 256 KiB of it at most; freed by the caller. */
char *shell_text(const char *fmt, ...) FERRY_PRINTF(1, 2);
/* The route events of a namespace go into a file; from when this returns, until shell_heard does, which returns them
 * (freed by the caller).  Events of 203.0.113.0/24 are its own. */
void shell_listen(const char *netns, const char *file);
char *shell_heard(const char *netns, const char *file);

#endif
