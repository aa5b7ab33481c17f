/* Threads for what blocks: the event loop hands a job over, and gets it back when it is done.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DAEMON_WORKER_H
#define FERRY_DAEMON_WORKER_H

#include <ferry/err.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

struct ferryd_job {
    struct ferryd_job *next;
    void (*work)(struct ferryd_job *job); /* on the worker's thread */
    void (*done)(struct ferryd_job *job); /* on the loop's, which then owns the job again */
    bool dropped;                         /* `work` was never called: the worker ended */
};

struct ferryd_worker;
/* One thread; jobs in their order. */
int ferryd_worker_new(sd_event *event, struct ferryd_worker **ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferryd_worker_add(struct ferryd_worker *worker, struct ferryd_job *job);
/* From the worker's own thread, in the middle of a job: only `done` of `note` is called. */
void ferryd_worker_post(struct ferryd_worker *worker, struct ferryd_job *note);
/* Waits for the job that is being worked on, drops those behind it, calls `done` of all.  Takes NULL. */
void ferryd_worker_free(struct ferryd_worker *worker);

#endif
