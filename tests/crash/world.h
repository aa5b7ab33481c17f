/* A small world for the tests of transactions: an example topology on simulated routers (or real ones) under
 * a state directory of its own, snapshots of what the routers hold, and a watch that sees whether a subnet is
 * ever attached at two sites.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_WORLD_H
#define FERRY_TESTS_WORLD_H

#include <ferry/txn.h>

#include "fault/fault.h"

struct world {
    char dir[64]; /* the state directory */
    struct ferry_env env;
    struct ferry_topology *topology;
    struct ferry_fleet_config config;
    struct ferry_journal *journal;
};

/* `topology`: a file's name in topologies/; `drivers`: "sim", or "lab": the file's own, as network namespaces
 * of this test (world_lab_up first), in which every router must be as it was when the world is cleared. */
void world_init(struct world *w, const char *topology, const char *drivers);
void world_clear(struct world *w); /* removes the directory */
/* The move of one subnet to a site, planned from what the routers hold. */
struct ferry_plan *world_plan(struct world *w, const char *subnet, const char *site);
struct ferry_plan *world_try_plan(struct world *w, const char *subnet, const char *site,
                                  struct ferry_err *err);
/* A fleet without faults. */
struct ferry_fleet *world_fleet(struct world *w);
/* What every router holds for every subnet, a line each; malloc'd. */
char *world_snapshot(struct world *w);
/* SHA-256 over names and contents of the files in a directory below the state directory ("" for all of it).
 */
void world_digest(const struct world *w, const char *below, char ret[65]);
/* begin and run to the end.  0 and the state, or what begin said; ret_record (may be NULL) from the journal.
 */
int world_apply(struct world *w, struct ferry_plan *plan, const struct ferry_txn_options *options,
                enum ferry_txn_state *ret, struct ferry_txn_record **ret_record, struct ferry_err *err);
int world_recover(struct world *w, enum ferry_txn_state *ret, struct ferry_txn_record **ret_record,
                  struct ferry_err *err);
/* Fails the test where the audit log is broken, or disagrees with the transactions. */
void world_audit(struct world *w);
/* One change by a foreign hand, by a driver of its own: `before` and `after` as in an op. */
void world_meddle(struct world *w, const char *router, struct ferry_op *op);
/* The op of a unicast or blackhole route. */
struct ferry_op world_route(const char *prefix, struct ferry_entry *entry);

/* The world itself is broken: says so, and ends the program.  `err` may be NULL. */
void world_die(const char *what, const struct ferry_err *err);

/* From one n-th event that something befalls to the next: each of them; but every seventh in a sanitized build,
 * which is many times slower, and in a lab, unless FERRY_TEST_FULL is in the environment. */
unsigned world_step(void);

/* Builds the topology as namespaces with names of this process's own.  False, and says why, where that is
 * impossible. */
bool world_lab_up(const char *topology);
void world_lab_down(const char *topology);
/* What `ip` says of routes, addresses and rules of every router: byte for byte; malloc'd. */
char *world_lab_state(const struct world *w);
/* Brings the routers back to where they were before `plan` was applied: a lab outlives its worlds. */
void world_lab_restore(struct world *w, const struct ferry_plan *plan);

/* ---- The watch: inside of the faults, it sees every driver call as the router does. ---- */

void watch_start(const struct ferry_topology *t);
const struct ferry_driver_ops *watch_find(const char *type);
/* How often a subnet was seen attached at two sites; calls seen. */
unsigned watch_two_sites(void);
unsigned long watch_calls(void);

#endif
