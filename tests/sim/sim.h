/* The simulation: controllers, routers, the network between them and the controllers' disk, in one process on
 * one thread, everything from one seed.
 *
 *   heap.c    memory of a simulated process, thrown away as a whole when it dies    (release builds; malloc otherwise)
 *   fiber.c   simulated time, events, fibers; pthreads as fibers                    (--wrap: see CMakeLists.txt)
 *   disk.c    the disk under SQLite and under the lock: lost and torn writes, ENOSPC, EIO
 *   router.c  what a router does when a message, a timer, a restart or a stranger comes
 *   net.c     the driver: sessions and messages, delay, loss, partitions, one-way cuts
 *   walk.c    the packet walker, after every change of a router
 *   claim.c   what Ferry says, held against what the routers hold
 *   shapes.c  topologies       process.c  the program, a verb at a time
 *   episode.c one seed: faults, quiescence, the verdict             main.c  options, figures
 *
 * Invariants
 *  S1. Nothing here asks the real world: clock, randomness, files, threads and routers are simulated.  The same seed is
 *      the same run, event by event (trace_hash).
 *  S2. What the world owns never lies in a process's heap: code of the world runs between world_enter and world_leave.
 *  S3. The code under test is the real one: planner, prover, fleet with its threads, journal, engine, recovery.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_SIM_H
#define FERRY_TESTS_SIM_H

#include <ferry/txn.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/table.h"
#include "txn/fleet_parts.h"

#define SIM_ROUTERS 40
#define SIM_SUBNETS 8

/* ---- Randomness. ---- */

struct rng {
    uint64_t s;
};
uint64_t rng_next(struct rng *r);
static inline unsigned rng_below(struct rng *r, unsigned n) /* 0 .. n - 1 */
{
    return (unsigned)((rng_next(r) >> 32) * n >> 32);
}
static inline bool rng_in(struct rng *r, unsigned per_mille)
{
    return rng_below(r, 1000) < per_mille;
}

/* ---- heap.c ---- */

bool world_enter(void); /* returns where it was, for world_leave */
void world_leave(bool was);
void heap_warm(bool on); /* while on, processes too use libc's: what libraries make once must stay */
void heap_reset(void);   /* forgets all that the process had */

/* ---- fiber.c ---- */

struct world;
typedef void event_fn(struct world *w, void *what, uint64_t arg);

void time_reset(void);
uint64_t now_us(void); /* simulated, monotonic */
void at(uint64_t when_us, event_fn *fn, void *what, uint64_t arg);
/* Runs fn(arg) as the first fiber of a process.  Returns when that has ended (true), or the process died (false). */
bool process_run(struct world *w, void (*fn)(void *), void *arg);
bool process_alive(void); /* whether the caller is a fiber of the process */
void process_die(void);   /* from a fiber: never returns; from an event: it is gone when the event returns */
void fiber_sleep(uint64_t us);
struct fiber;
struct fiber *fiber_self(void);
void fiber_block(uint64_t until_us); /* until fiber_wake or then */
void fiber_wake(struct fiber *f);
/* Runs what is due until there is nothing left before `until_us`, with no process. */
void world_run(struct world *w, uint64_t until_us);

/* ---- disk.c ---- */

enum disk_fault { DISK_FINE, DISK_FULL, DISK_EIO_WRITE, DISK_EIO_SYNC, DISK_FAULTS };
void disk_install(void); /* once a process */
void disk_reset(void);   /* an empty disk */
void disk_process_gone(struct rng *r,
                       bool power); /* locks go; with `power` what was not synced goes, in part or torn */
void disk_break(enum disk_fault fault, uint64_t from_op, uint64_t n_ops); /* counted from now */

/* ---- router.c, net.c ---- */

enum fault {
    F_LOST_REPLY,
    F_LOST_REQUEST,
    F_LATE,
    F_DUPLICATE,
    F_CUT,
    F_CUT_TO,
    F_CUT_FROM,
    F_PARTITION,
    F_FROZEN,
    F_REFUSED,
    F_LIAR,
    F_RESTART,
    F_FOREIGN_ROUTE,
    F_FOREIGN_DELETE,
    F_FOREIGN_REPLACE,
    F_FOREIGN_OTHER,
    F_FOREIGN_SPECIFIC,
    F_FOREIGN_COVER,
    F_KILL,
    F_POWER,
    F_TORN,
    F_DISK_FULL,
    F_DISK_EIO,
    F_CLOCK_BACK,
    F_CLOCK_FORTH,
    F_SECOND,
    F_TIMER_FIRED,
    F_KILL_RECOVER,
    F_COUNT
};
extern const char *const fault_names[F_COUNT];

enum { VERB_OPEN = 100 }; /* beside those of struct ferry_job */

/* A call of a driver, on its way.  In the world's memory: it outlives the process that sent it. */
struct message {
    struct message *next, *before;
    uint32_t router;
    uint64_t session, sent_us;
    struct ferry_arena memory;
    struct ferry_work work; /* what is asked, and the answer */
    struct fiber *waiter;   /* NULL: nobody waits any more */
    bool answered, dead;    /* dead: the connection was lost first */
    bool lose_reply, duplicate, doubled, closed;
    unsigned events; /* that will still look at it */
};

struct hop_set {
    enum { FALLS_NOWHERE, ARRIVES, DROPS, LEAVES, FORWARDS } kind;
    uint8_t n, to[8];
};

struct router {
    struct ferry_sim_table table, saved, planned; /* planned: when the plan was made */
    struct ferry_sim_deadman deadman;
    uint64_t session;                /* the newest */
    uint64_t cut_to_us, cut_from_us; /* nothing comes through until then */
    uint64_t frozen_us, free_us;     /* serves nothing until then; FIFO: the last one ends then */
    unsigned delay_us, jitter_us;
    uint64_t sum;        /* over all entries; see walk.c */
    uint64_t tainted_us; /* when a stranger or a restart last changed a key of the plan; 0: never */
    bool met;            /* the stranger was here: some keys */
    struct hop_set forward[SIM_SUBNETS];
    bool attached[SIM_SUBNETS], by_world[SIM_SUBNETS]; /* by_world: attached by a restart, not by Ferry */
    bool exact[SIM_SUBNETS];                           /* holds the prefix itself */
    bool served[SIM_SUBNETS], held[SIM_SUBNETS];       /* when the move began */
};

/* One key of the plan, in the order of its stages. */
struct planned {
    struct ferry_op op; /* in the world's memory */
    uint32_t router, subnet, stage;
    uint32_t key; /* equal for all changes of one key */
    enum ferry_phase phase;
};

struct options {
    uint64_t seed, moves, seconds; /* seconds: of the real clock, at most; 0: as long as it takes */
    const char *shape, *edges;
    unsigned jobs, per_episode;
    bool faults, verbose, unfenced, quiet, strangers, first, windows; /* first: stop at the first violation;
                                                                         windows: every move has to be confirmed */
};

enum ending { E_COMMITTED, E_UNDONE, E_STUCK, E_REFUSED, E_DRIFT, E_ERROR, E_PLAN_REFUSED, E_COUNT };
extern const char *const ending_names[E_COUNT];

struct counts {
    uint64_t moves, episodes, events, walks, processes, calls, faults[F_COUNT], endings[E_COUNT];
    uint64_t stuck_then_mended, excused, whole_checks, claims, recovered, trace, violations, kinds[8];
    uint64_t simulated_us, cpu_us;
};

struct world {
    const struct options *options;
    struct counts *counts;
    struct rng rng, program; /* the world's dice; the program's randomness */
    struct ferry_topology *topology;
    struct router routers[SIM_ROUTERS];
    uint32_t n_routers;
    uint64_t seed, trace_hash;
    int64_t wall_skew_us;
    uint64_t sessions;
    /* The move under way. */
    bool faulty;  /* faults may come */
    bool meddled; /* a stranger or a restart has changed something in this move */
    bool planned; /* pre, post and keys are known */
    char plan_id[65];
    struct ferry_arena plan_memory;
    struct planned *plan, *strangers; /* strangers: what they have overwritten, in order */
    size_t n_plan, n_strangers;
    uint64_t pre[SIM_ROUTERS], post[SIM_ROUTERS];
    uint64_t process_us; /* when the last process began */
    uint64_t claimed_us; /* when the process began whose claim stands last */
    uint64_t crash_at, points;
    bool crash_power;
    struct message *messages;
    bool violated;
    char why[512];
    char *tail[64]; /* the last lines of the trace */
    size_t n_tail;
};
extern struct world *the_world;

void trace(struct world *w, const char *fmt, ...) FERRY_PRINTF(2, 3);
void violation(struct world *w, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* A place where the process may die; called by fibers. */
void crash_point(struct world *w);

extern const struct ferry_driver_ops sim_driver;
const struct ferry_driver_ops *sim_find(const char *type);
void messages_orphan(struct world *w); /* nobody waits for answers any more */
void messages_drop(struct world *w);   /* nor are they under way: before a new world */
void messages_unsent(struct world *w); /* of a machine that lost power */

/* An event: the message has come to its router. */
void router_hear(struct world *w, void *message, uint64_t arg);
void message_reply(struct world *w, struct message *m);
void message_let_go(struct world *w, struct message *m); /* frees it when nobody needs it any more */
void router_restart(struct world *w, uint32_t r);
void router_meddle(struct world *w, uint32_t r);
void router_timer(struct world *w, uint32_t r);
enum cause { BY_FERRY, BY_TIMER, BY_WORLD };
void router_changed(struct world *w, uint32_t r, const struct ferry_prefix *prefix, enum cause cause);
void router_clear(struct router *r);
void table_copy(struct ferry_sim_table *to, const struct ferry_sim_table *from);
uint64_t sum_of_entry(const struct ferry_prefix *prefix, const struct ferry_entry *e, uint32_t table);
uint64_t sum_of_table(const struct ferry_sim_table *table);
/* What the key of an op holds, or NULL. */
const struct ferry_entry *router_key(const struct router *r, const struct ferry_op *op);
bool value_same(const struct ferry_entry *a, const struct ferry_entry *b);

/* ---- walk.c ---- */

void walk_refresh(struct world *w, uint32_t r);
void walk_after(struct world *w, uint32_t r, const struct ferry_prefix *prefix, enum cause cause);
void walk_begin_move(struct world *w);

/* ---- claim.c ---- */

void claim_plan(struct world *w, const struct ferry_plan *plan); /* what the move is about to do */
void claim_forget(struct world *w);
void claim_stranger(struct world *w, uint32_t r, const struct ferry_op *op, const struct ferry_entry *before);
enum where { AT_PRE = 1, AT_POST = 2 };
unsigned claim_where(struct world *w, char *why,
                     size_t size); /* mask of enum where, tainted routers set aside */
/* Holds an ending against the routers. */
void claim_check(struct world *w, const struct ferry_txn_record *record, bool quiet);
void claim_mend(struct world *w); /* a person: every key of the plan back at its first value */

/* ---- shapes.c, episode.c ---- */

struct shape_list {
    char **names;
    char **texts;
    size_t n;
};
const struct shape_list *shapes(const char *edges_dir, const char **ret_missing);

void episode(const struct options *options, struct counts *counts, uint64_t seed, const char *name,
             const char *text, uint64_t moves);

#endif
