/* A router at the other end of a connection that says what the input says: drivers/remote with a transport of its own.
 *
 * The input is a list of answers, each headed by a line "@ QUESTION", or "@! QUESTION" for one that fails
 * (status 1, the text on standard error).  QUESTION is the verb of a call, or the first line that a kept
 * process was asked ("show running-config", "addr save").  The first answer of a question serves once, its
 * last one for ever; what has no answer is answered by nothing.  Marks and nonces are right: the marks
 * themselves are the target `remote`'s.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_FUZZ_ROUTER_H
#define FERRY_TESTS_FUZZ_ROUTER_H

#include "remote/internal.h"

#include <stddef.h>
#include <stdint.h>

/* `data` outlives it; one at a time.  ferry_remote_close ends it. */
struct ferry_remote *fuzz_router(const char *name, const uint8_t *data, size_t size);
/* One whose every process says just these bytes, and then ends with `status`; -1: it is killed. */
struct ferry_remote *fuzz_raw_router(const uint8_t *data, size_t size, int status);

#endif
