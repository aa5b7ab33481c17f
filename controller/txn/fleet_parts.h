/* Inside the fleet: fleet.c (life, drivers), fleet_run.c (threads), fleet_copy.c (what jobs point to),
 * fleet_home.c (where simulated routers start, reading all of them).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_FLEET_PARTS_H
#define FERRY_TXN_FLEET_PARTS_H

#include <ferry/txn.h>
#include <pthread.h>

/* Memory that is freed at once. */
struct ferry_arena {
    struct ferry_arena_chunk *chunks;
    size_t left;
};
void *ferry_arena_alloc(struct ferry_arena *arena, size_t size);
void ferry_arena_clear(struct ferry_arena *arena);

/* A job with everything that it points to, so that a worker may come back after its caller has gone. */
struct ferry_work {
    int verb;
    const struct ferry_query *query;
    struct ferry_fib fib;
    struct ferry_op *ops;
    size_t n_ops;
    bool more, last;
    enum ferry_deadman_verb deadman_verb;
    const struct ferry_deadman *deadman;
    enum ferry_deadman_state deadman_state;
    unsigned deadman_left_s;
    int result;
    struct ferry_err err;
    struct ferry_job *job; /* the caller's; not for the worker */
};
/* One router's jobs of one run. */
struct ferry_task {
    struct ferry_task *next; /* in the queue */
    struct ferry_run *run;   /* NULL: given up; the worker frees it */
    uint32_t router;
    struct ferry_work *works;
    size_t n, done;
    bool started;
    uint64_t since_us; /* when works[done] began, or, not started, the task was made */
    struct ferry_arena arena;
};
void ferry_work_copy(struct ferry_arena *arena, struct ferry_job *job, struct ferry_work *ret);
/* Hands the results to the caller's job. */
void ferry_work_return(struct ferry_work *work);
void ferry_task_free(struct ferry_task *task);

struct ferry_run {
    size_t pending; /* tasks */
    pthread_cond_t done;
};

struct ferry_fleet_router {
    char *name;
    struct ferry_driver_config config;
    const struct ferry_driver_ops *ops;
    struct ferry_driver *driver; /* NULL: not open */
    bool claimed;                /* or shall be: each new connection claims it */
    bool seeded;                 /* `initial` was asked for */
    struct ferry_fib initial;
    bool silent;                /* a worker that was given up has it */
    struct ferry_task *waiting; /* for that one to come back */
};

struct ferry_worker {
    struct ferry_worker *next;
    struct ferry_fleet *fleet;
    pthread_t thread;
    bool ended; /* it touches nothing any more but what its thread has of its own */
};

struct ferry_fleet {
    struct ferry_fleet_config config;
    char *state_dir;
    struct ferry_fleet_router *routers;
    size_t n_routers;
    struct ferry_home *home; /* of a topology or a plan; NULL else */
    uint64_t deadline_us;
    pthread_mutex_t one_run; /* held by ferry_fleet_run */
    /* The rest under this one; a router's driver belongs to the worker that has its task. */
    pthread_mutex_t mutex;
    pthread_cond_t work, gone;
    struct ferry_task *ready, **ready_end;
    struct ferry_worker *workers;     /* all that were ever started */
    size_t n_threads, n_idle, n_lost; /* lost: given up, not back yet */
    size_t limit;                     /* threads, lost ones not counted */
    bool stop, orphaned;              /* orphaned: ferry_fleet_free is over, the last thread cleans up */
};

/* On the worker: opens the driver where it is not, and makes the call. */
void ferry_fleet_execute(struct ferry_fleet *fleet, struct ferry_fleet_router *router,
                         struct ferry_work *work);
/* Sets the result, and REFUSED or UNKNOWN for every op. */
void ferry_work_fail(struct ferry_work *work, int result, enum ferry_outcome outcome);
/* Frees all; no thread is left but perhaps the caller. */
void ferry_fleet_destroy(struct ferry_fleet *fleet);
/* Ends the threads; what silent routers still use goes when they come back. */
void ferry_fleet_stop(struct ferry_fleet *fleet);
void ferry_fleet_close(struct ferry_fleet_router *router);

/* Where simulated routers start. */
struct ferry_home;
struct ferry_home *ferry_home_of_topology(const struct ferry_topology *t);
struct ferry_home *ferry_home_of_plan(const struct ferry_plan *plan);
int ferry_home_initial(struct ferry_home *home, uint32_t router, struct ferry_fib *ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_home_free(struct ferry_home *home);

#endif
