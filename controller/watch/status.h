/* One look at all routers and at the journal: where each subnet is, what drifted, what awaits a hand.
 *
 * Being away from home alone is no drift: a router drifts where its live forwarding for a subnet does not
 * lead, or not on a shortest path, to where the subnet is attached (paths.c).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_WATCH_STATUS_H
#define FERRY_WATCH_STATUS_H

#include "watch/paths.h"

#include <ferry/debt.h>
#include <ferry/txn.h>

struct json_object;

/* What ferry_journal_list gives, or full records. */
struct ferry_records {
    struct ferry_txn_record **v;
    size_t n;
};
void ferry_records_clear(struct ferry_records *records);

/* What the journal says of unfinished business. */
struct ferry_unfinished {
    struct ferry_records records;    /* full: not committed, not undone; newest first */
    struct ferry_txn_record *newest; /* where it has ended and a hand is needed all the same; else NULL */
    struct ferry_debts debts;        /* what lost routers still owe */
    bool running;                    /* the newest one has its controller still */
    /* The newest transaction of all and its state: whoever finds both unchanged after a look knows that no transaction
     * of Ferry's own has written meanwhile. */
    char newest_id[24];
    enum ferry_txn_state newest_state;
    uint64_t deadline_us; /* of the one that awaits its confirmation; 0: none does */
};
/* Reads it; nothing where there is no journal. */
int ferry_unfinished_read(const struct ferry_env *env, const char *state_dir, struct ferry_unfinished *ret,
                          struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_unfinished_clear(struct ferry_unfinished *u);
/* Whether a transaction is under way, or was left half way: what routers hold is then no drift. */
bool ferry_unfinished_moving(const struct ferry_unfinished *u);

struct ferry_status {
    struct ferry_live *live;        /* of all subnets */
    struct ferry_pool *pool;        /* that `live` points into */
    struct ferry_path_drift *drift; /* sorted by subnet, then router */
    size_t n_drift, n_unreachable;
    struct ferry_unfinished unfinished;
};
/* Empty, with columns for every subnet. */
void ferry_status_init(struct ferry_status *s, const struct ferry_topology *t);
void ferry_status_clear(struct ferry_status *s);
/* Reads every router, and judges; the journal is ferry_unfinished_read's. */
int ferry_status_read(struct ferry_status *s, struct ferry_fleet *fleet,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* Reads one router anew, and judges all. */
int ferry_status_read_router(struct ferry_status *s, struct ferry_fleet *fleet, uint32_t router,
                             struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether there is anything that --detailed-exitcode tells. */
bool ferry_status_different(const struct ferry_status *s);
/* The document of `ferry status --json`. */
struct json_object *ferry_status_json(const struct ferry_status *s);

#endif
