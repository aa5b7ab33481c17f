/* Faults on purpose: wraps any driver and breaks chosen calls, for the tests of everything above.
 *
 *     struct ferry_fault_rule rule = {.kind = FERRY_FAULT_LOST_REPLY, .nth = 7};
 *     struct ferry_fault_script script = {.find = ferry_driver_find, .rules = &rule, .n_rules = 1};
 *     ferry_fault_install(&script);
 *     config.find = ferry_fault_find;              // struct ferry_fleet_config
 *     … run a transaction …
 *     fired = script.fired;                        // 0: the run had less than 7 calls; the loop over n is
 * over ferry_fault_install(NULL);
 *
 * One script is installed at a time (a driver's ops have no context of their own).  Calls are counted from
 * the moment of installation, over all routers, in the order in which they begin; with several worker threads
 * that order varies from run to run, so a loop over n needs rules by router where it must be repeatable.
 * Drivers that were opened under a script are closed before it goes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DRIVERS_FAULT_H
#define FERRY_DRIVERS_FAULT_H

#include <ferry/driver.h>
#include <limits.h>
#include <stdatomic.h>

/* Which call; FERRY_FAULT_ANY counts and hits all of them. */
enum ferry_fault_call {
    FERRY_FAULT_ANY = 0,
    FERRY_FAULT_OPEN,
    FERRY_FAULT_READ,
    FERRY_FAULT_CHECK,
    FERRY_FAULT_APPLY,
    FERRY_FAULT_PERSIST,
    FERRY_FAULT_ANNOUNCE,
    FERRY_FAULT_DEADMAN, /* NOT_APPLIED: it says that it has none */
};
const char *ferry_fault_call_name(enum ferry_fault_call call);

/* What happens instead of, or with, the call.  "The others" are open, read, persist and announce. */
enum ferry_fault_kind {
    /* Refused before anything is done: apply and check give REFUSED for every op and return 0; the others
       -FERRY_EIO. */
    FERRY_FAULT_ERROR = 1,
    /* The connection is gone before anything is sent: -FERRY_EIO, ops REFUSED. */
    FERRY_FAULT_DISCONNECT,
    /* Sent into silence: waits `hang_ms`, does nothing, -FERRY_EUNKNOWN, ops UNKNOWN. */
    FERRY_FAULT_HANG,
    /* Waits `hang_ms` and then makes the call as it should be: for whoever waited less, done and never
       answered. */
    FERRY_FAULT_LATE,
    /* Done for real, but the answer is lost: -FERRY_EUNKNOWN, ops UNKNOWN.  An open or read is -FERRY_EIO. */
    FERRY_FAULT_LOST_REPLY,
    /* Says DONE (returns 0) and has done nothing.  Open and read are left alone: there is nothing to claim.
     */
    FERRY_FAULT_NOT_APPLIED,
    /* The first half of the ops is applied with its true outcomes, then the connection is lost:
     * -FERRY_EUNKNOWN, the rest UNKNOWN and not applied.  The others as DISCONNECT. */
    FERRY_FAULT_PARTIAL,
    /* env->crash_point("driver-<call>") where there is one, else SIGKILL to the own process: before the call,
     * or after it was done and before anybody hears of it. */
    FERRY_FAULT_CRASH_BEFORE,
    FERRY_FAULT_CRASH_AFTER,
};
const char *ferry_fault_kind_name(enum ferry_fault_kind kind);

/* As long as the script is installed. */
#define FERRY_FAULT_HELD UINT_MAX

struct ferry_fault_rule {
    enum ferry_fault_kind kind;
    enum ferry_fault_call call; /* ANY: whichever */
    const char *router;         /* NULL: whichever */
    uint64_t nth;               /* from 1: which of the calls that match `call` and `router`; 0: every one */
    bool from_then_on;          /* and all that match after it: a router that stays broken */
    unsigned hang_ms;           /* milliseconds, or FERRY_FAULT_HELD */
    /* The ferry_fault_install'er leaves these 0. */
    _Atomic uint64_t matched; /* how many calls matched */
    _Atomic uint64_t fired;   /* how many were broken */
};

struct ferry_fault_script {
    const struct ferry_driver_ops *(*find)(const char *type); /* the real drivers */
    struct ferry_fault_rule *rules;                           /* the first one that fires counts */
    size_t n_rules;
    /* The ferry_fault_install'er leaves these 0. */
    _Atomic uint64_t calls; /* driver calls so far, close and native not counted */
    _Atomic uint64_t fired; /* faults so far */
};

/* NULL: none.  `script` stays the caller's. */
void ferry_fault_install(struct ferry_fault_script *script);
/* For ferry_fleet_config.find.  NULL where the script's find has no such driver. */
const struct ferry_driver_ops *ferry_fault_find(const char *type);

#endif
