/* Real BIND for tests: a primary on 127.0.0.1 that takes updates by TSIG, and a secondary on 127.0.0.2 that
 * follows it, both in a network namespace of the test's own; and a middle man on 127.0.0.3 that loses, forges
 * or is late with what passes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_DNS_NAMED_H
#define TESTS_DNS_NAMED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NAMED_SECRET "RmVycnlDYW5hcnlTZWNyZXQxMjM0NTY3ODkwYWJjZGU="

struct named {
    char directory[64];     /* with the key files key, other-secret, other-name, sha384 … */
    int primary, secondary; /* pids; 0: not running */
};

/* False, with the reason on stderr, where it cannot be: no root, no BIND. */
bool named_start(struct named *n);
void named_stop(struct named *n);
void named_kill(int *pid);
/* A file in the directory; its path is static until the next call. */
const char *named_file(const struct named *n, const char *name);
/* What dig says of a name at a server: "300 192.168.1.10 …", sorted; "" for nothing.  Static. */
const char *named_dig(const char *server, const char *name, const char *type);
/* The lines of an nsupdate script, sent to the primary with the good key. */
void named_update(const struct named *n, const char *lines);
/* The zones as they were at first. */
void named_reset(const struct named *n);

enum middle {
    MIDDLE_PASS,
    MIDDLE_LOSE,     /* an update gets there, its answer does not come back */
    MIDDLE_CUT,      /* an update does not get there */
    MIDDLE_FORGE,    /* an update does not get there, and is answered NOERROR without a signature */
    MIDDLE_STRANGER, /* somebody else is quicker: `lines` are sent before an update passes */
};
void middle_start(const struct named *n);
void middle_set(enum middle how, const char *lines);

#endif
