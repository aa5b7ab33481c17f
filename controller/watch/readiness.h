/* Readiness: for every subnet and every other site where it could be, whether a move would work now.
 *
 * Nothing is written: the plan is made and proven, the routers are compared with it, their drivers check
 * every op (what `apply --dry-run` does).  Whoever holds the routers' drivers open for long should not use
 * those: a check may leave a router in a multicast group until the driver is closed
 * (drivers/linux/README.md).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_WATCH_READINESS_H
#define FERRY_WATCH_READINESS_H

#include "watch/status.h"

/* The reason of a drill that went to its end (ui/run.c). */
#define FERRY_DRILL_OVER "the drill is over"

struct ferry_ready_move {
    uint32_t subnet, from, to; /* topology indices; from FERRY_NONE: it is nowhere, or at two sites */
    bool ready;
    struct ferry_err why; /* where not: rule (perhaps empty) and text */
    size_t n_stages;      /* of its plan; 0: none could be made */
    char drill[24];       /* the last drill of this move that passed; "": none */
    uint64_t drilled_us;
    char test[24]; /* the last test failover of this move that ran whole; "": none */
    uint64_t tested_us;
};

struct ferry_readiness {
    const struct ferry_topology *topology; /* not owned */
    struct ferry_ready_move *moves;        /* by subnet, then site */
    size_t n_moves;
};
/* Reads the routers with a fleet of its own. */
int ferry_readiness_read(const struct ferry_fleet_config *config, const struct ferry_topology *t,
                         struct ferry_readiness *ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_readiness_clear(struct ferry_readiness *readiness);
bool ferry_readiness_whole(const struct ferry_readiness *readiness); /* every move is ready */
struct json_object *ferry_readiness_json(const struct ferry_readiness *readiness);

/* drills.c: fills `drill` and `test` of the moves from the journal. */
int ferry_readiness_drills(struct ferry_journal *journal, struct ferry_readiness *readiness,
                           struct ferry_err *err) FERRY_MUST_CHECK;

#endif
