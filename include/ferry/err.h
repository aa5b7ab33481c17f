/* Errors: a negative code that is forwarded unchanged, and a text that needs no heap.
 *
 * Every function that can fail returns 0, or a negative FERRY_E… code, or a positive value which
 * its own comment names.  It takes a `struct ferry_err *` last, never NULL, and leaves its outputs
 * untouched on failure.  The place where an error arises writes the text; a caller may put one
 * prefix before it ("edge-third: ").
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_ERR_H
#define FERRY_ERR_H

#include <stddef.h>

#define FERRY_MUST_CHECK        __attribute__((warn_unused_result))
#define FERRY_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* What went wrong, by what the user can do about it.  ui/ maps each to an exit status. */
enum ferry_errno {
    FERRY_EIO = 1,  /* disk, socket, system call: exit 1 */
    FERRY_EUSAGE,   /* the command line: exit 64 */
    FERRY_EINPUT,   /* a file that we were given: exit 65 */
    FERRY_EDRIFT,   /* a router is not as the plan found it: exit 3 */
    FERRY_EREFUSED, /* a safety rule says no: exit 4; `rule` names it */
    FERRY_ELOCKED,  /* another transaction holds the lock: exit 8 */
    FERRY_EUNKNOWN, /* sent, no answer: a person or a read-back must say: exit 6 */
    FERRY_ESUPPORT, /* this driver or kernel cannot do it: exit 1 */
};

struct ferry_err {
    char rule[32];   /* for FERRY_EREFUSED: the rule's name; else empty */
    char text[1024]; /* one line, no newline at its end; cut with "..." where too long */
};

/* Writes the text and returns -code, so that the origin reads `return ferry_error(err, FERRY_EIO, …)`. */
int ferry_error(struct ferry_err *err, enum ferry_errno code, const char *fmt, ...) FERRY_PRINTF(3, 4);
/* The same for a refusal by the named rule; returns -FERRY_EREFUSED. */
int ferry_refuse(struct ferry_err *err, const char *rule, const char *fmt, ...) FERRY_PRINTF(3, 4);
/* Puts "prefix: " before the text and returns `code` (negative) unchanged. */
int ferry_error_prefix(struct ferry_err *err, int code, const char *fmt, ...) FERRY_PRINTF(3, 4);

#endif
