/* The fleet's threads: a run makes one task a router, workers take them from a queue, the caller waits for
 * all.
 *
 *  1. A router's driver is used by the worker that has its task alone: of a router at most one task is on a
 *     worker.
 *  2. A task that was given up (run == NULL) belongs to its worker; its router is `silent` until that returns.
 *  3. Of threads that are not lost there are at most `limit`; a lost one is replaced while there is work.
 *  4. A worker touches nothing of its caller's: jobs were copied (fleet_copy.c), names and configurations too
 *     (fleet.c).
 *
 * Deadlines are about real threads, so they go by the real monotonic clock, not by the environment's.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/fleet_parts.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now_us(void)
{
    return ferry_env_real.monotonic_us(NULL);
}

/* ---- Workers. ---- */

static void enqueue(struct ferry_fleet *fleet, struct ferry_task *task)
{
    task->next = NULL;
    *fleet->ready_end = task;
    fleet->ready_end = &task->next;
}

static struct ferry_task *dequeue(struct ferry_fleet *fleet)
{
    struct ferry_task *task = fleet->ready;
    fleet->ready = task->next;
    if (!fleet->ready)
        fleet->ready_end = &fleet->ready;
    return task;
}

static void come_back_late(struct ferry_fleet *fleet, struct ferry_task *task)
{
    struct ferry_fleet_router *router = &fleet->routers[task->router];
    router->silent = false;
    fleet->n_lost--;
    if (router->waiting) {
        enqueue(fleet, FERRY_STEAL(router->waiting));
        pthread_cond_signal(&fleet->work); /* this thread may be one too many and leave */
    }
    ferry_task_free(task);
}

/* With the mutex held, which is given up while a driver works. */
static void work_on(struct ferry_fleet *fleet, struct ferry_task *task)
{
    struct ferry_fleet_router *router = &fleet->routers[task->router];
    assert(!router->silent); /* invariant 1 */
    task->started = true;
    while (task->done < task->n) {
        task->since_us = now_us();
        pthread_mutex_unlock(&fleet->mutex);
        ferry_fleet_execute(fleet, router, &task->works[task->done]);
        pthread_mutex_lock(&fleet->mutex);
        if (!task->run) {
            come_back_late(fleet, task);
            return;
        }
        task->done++;
    }
    if (--task->run->pending == 0)
        pthread_cond_signal(&task->run->done);
}

static void *worker(void *arg)
{
    struct ferry_worker *self = arg;
    struct ferry_fleet *fleet = self->fleet;
    pthread_mutex_lock(&fleet->mutex);
    while (!fleet->stop && fleet->n_threads - fleet->n_lost <= fleet->limit) { /* invariant 3 */
        if (fleet->ready) {
            work_on(fleet, dequeue(fleet));
            continue;
        }
        fleet->n_idle++;
        pthread_cond_wait(&fleet->work, &fleet->mutex);
        fleet->n_idle--;
    }
    fleet->n_threads--;
    self->ended = true;
    bool last = fleet->orphaned && fleet->n_threads == 0;
    pthread_cond_broadcast(&fleet->gone);
    pthread_mutex_unlock(&fleet->mutex);
    if (last)
        ferry_fleet_destroy(fleet);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct ferry_fleet *fleet)
{
    struct ferry_worker *new = ferry_calloc(1, sizeof *new);
    sigset_t all, old;
    new->fleet = fleet;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&new->thread, NULL, worker, new);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e) {
        free(new);
        return e;
    }
    new->next = fleet->workers;
    fleet->workers = new;
    fleet->n_threads++;
    return 0;
}

/* Enough threads for what is in the queue. */
static void staff(struct ferry_fleet *fleet, size_t n_tasks)
{
    size_t busy_or_idle = fleet->n_threads - fleet->n_lost;
    size_t missing = n_tasks > fleet->n_idle ? n_tasks - fleet->n_idle : 0;
    while (missing-- && busy_or_idle < fleet->limit && start_thread(fleet) == 0)
        busy_or_idle++;
}

/* ---- The caller's side. ---- */

struct batch {
    struct ferry_run run;
    struct ferry_task **tasks;
    size_t n;
};

/* One task a router, its jobs in order. */
static void make_tasks(struct batch *batch, struct ferry_job *jobs, size_t n)
{
    uint32_t top = 0;
    for (size_t i = 0; i < n; i++)
        top = jobs[i].router > top ? jobs[i].router : top;
    FERRY_AUTOFREE struct ferry_task **of = ferry_calloc((size_t)top + 1, sizeof *of);
    FERRY_AUTOFREE size_t *count = ferry_calloc((size_t)top + 1, sizeof *count);
    for (size_t i = 0; i < n; i++)
        count[jobs[i].router]++;
    batch->tasks = ferry_calloc(n, sizeof *batch->tasks);
    for (size_t i = 0; i < n; i++) {
        struct ferry_task *task = of[jobs[i].router];
        if (!task) {
            task = of[jobs[i].router] = batch->tasks[batch->n++] = ferry_calloc(1, sizeof *task);
            task->router = jobs[i].router;
            task->run = &batch->run;
            task->works = ferry_calloc(count[task->router], sizeof *task->works);
        }
        ferry_work_copy(&task->arena, &jobs[i], &task->works[task->n++]);
    }
}

/* Fails the jobs from `first` on, which were never sent. */
static void not_sent(struct ferry_task *task, size_t first, const char *why)
{
    for (size_t i = first; i < task->n; i++)
        ferry_work_fail(&task->works[i], ferry_error(&task->works[i].err, FERRY_EIO, "%s", why),
                        FERRY_REFUSED);
}

/* Asks where a simulated router starts, here and not on a worker: invariant 4. */
static int seed(struct ferry_fleet *fleet, uint32_t index, struct ferry_err *err)
{
    struct ferry_fleet_router *router = &fleet->routers[index];
    int r = 0;
    if (router->seeded || !router->config.type || strcmp(router->config.type, "sim") != 0)
        return 0;
    if (fleet->config.initial)
        r = fleet->config.initial(fleet->config.initial_ctx, index, &router->initial, err);
    else if (fleet->home)
        r = ferry_home_initial(fleet->home, index, &router->initial, err);
    router->seeded = r >= 0;
    return r;
}

/* Puts it in the queue, or behind a silent router, or ends it at once. */
static void dispatch(struct ferry_fleet *fleet, struct batch *batch, struct ferry_task *task)
{
    struct ferry_fleet_router *router = &fleet->routers[task->router];
    struct ferry_err err;
    if (!router->silent && seed(fleet, task->router, &err) < 0) {
        not_sent(task, 0, err.text);
        batch->run.pending--;
        return;
    }
    task->since_us = now_us();
    if (router->silent)
        router->waiting = task;
    else
        enqueue(fleet, task);
}

/* Big batches get more time: 50 us an op or question, ten times what a kernel takes in its slowest order. */
static uint64_t allowance(const struct ferry_fleet *fleet, const struct ferry_task *task)
{
    const struct ferry_work *work = &task->works[task->done];
    return fleet->deadline_us + 50 * (work->n_ops + (work->query ? work->query->n : 0));
}

/* The results of a task whose deadline has passed; the task itself is then its worker's.  So the jobs are
 * answered from copies of their own. */
static void give_up(struct ferry_fleet *fleet, struct ferry_task *task)
{
    for (size_t i = 0; i < task->n; i++) {
        struct ferry_job *job = task->works[i].job;
        if (i < task->done) {
            ferry_work_return(&task->works[i]);
            continue;
        }
        enum ferry_outcome outcome = i == task->done ? FERRY_UNKNOWN : FERRY_REFUSED;
        job->result = i == task->done ? ferry_error(&job->err, FERRY_EUNKNOWN, "no answer within %.2g s",
                                                    (double)allowance(fleet, task) / 1e6)
                                      : ferry_error(&job->err, FERRY_EIO, "not sent: the router is silent");
        job->fib = (struct ferry_fib){0};
        for (size_t k = 0; job->ops && k < job->n_ops && job->verb != FERRY_JOB_ANNOUNCE; k++) {
            job->ops[k].outcome = outcome;
            ferry_op_why(&job->ops[k], "%s", job->err.text);
        }
    }
    fleet->routers[task->router].silent = true;
    fleet->n_lost++;
    task->run = NULL;
}

/* Looks at every task's deadline.  Returns when to look again. */
static uint64_t expire(struct ferry_fleet *fleet, struct batch *batch)
{
    uint64_t now = now_us(), next = now + fleet->deadline_us;
    for (size_t i = 0; i < batch->n; i++) {
        struct ferry_task *task = batch->tasks[i];
        if (!task || task->done == task->n)
            continue;
        struct ferry_fleet_router *router = &fleet->routers[task->router];
        bool waits = router->waiting == task;
        if (!task->started && !waits)
            continue; /* in the queue: waits for a worker, which comes (invariant 3) */
        uint64_t end = task->since_us + (waits ? fleet->deadline_us / 4 : allowance(fleet, task));
        if (end > now) {
            next = end < next ? end : next;
            continue;
        }
        batch->run.pending--;
        if (waits) {
            router->waiting = NULL;
            not_sent(task, 0, "not sent: the router is silent");
            continue;
        }
        give_up(fleet, task);
        batch->tasks[i] = NULL;
    }
    return next;
}

/* No thread could be started at all. */
static void fail_queue(struct ferry_fleet *fleet, struct batch *batch)
{
    while (fleet->ready) {
        not_sent(dequeue(fleet), 0, "no thread could be started");
        batch->run.pending--;
    }
}

static void wait_for_all(struct ferry_fleet *fleet, struct batch *batch)
{
    uint64_t look = now_us() + fleet->deadline_us / 4;
    while (batch->run.pending) {
        struct timespec t = {.tv_sec = (time_t)(look / 1000000), .tv_nsec = (long)(look % 1000000) * 1000};
        if (pthread_cond_timedwait(&batch->run.done, &fleet->mutex, &t) != ETIMEDOUT)
            continue;
        look = expire(fleet, batch);
        if (!fleet->ready)
            continue;
        staff(fleet, batch->n);
        if (fleet->n_threads == fleet->n_lost)
            fail_queue(fleet, batch);
    }
}

void ferry_fleet_run(struct ferry_fleet *fleet, struct ferry_job *jobs, size_t n)
{
    struct batch batch = {0};
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        assert(jobs[i].router < fleet->n_routers);
    pthread_mutex_lock(&fleet->one_run);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&batch.run.done, &attr);
    pthread_condattr_destroy(&attr);
    make_tasks(&batch, jobs, n);
    batch.run.pending = batch.n;

    pthread_mutex_lock(&fleet->mutex);
    for (size_t i = 0; i < batch.n; i++)
        dispatch(fleet, &batch, batch.tasks[i]);
    staff(fleet, batch.n);
    if (fleet->ready && fleet->n_threads == fleet->n_lost)
        fail_queue(fleet, &batch);
    for (size_t i = 0; i < batch.n && i < fleet->n_idle; i++)
        pthread_cond_signal(&fleet->work);
    wait_for_all(fleet, &batch);
    pthread_mutex_unlock(&fleet->mutex);

    for (size_t i = 0; i < batch.n; i++) {
        struct ferry_task *task = batch.tasks[i];
        for (size_t k = 0; task && k < task->n; k++)
            ferry_work_return(&task->works[k]);
        if (task)
            ferry_task_free(task);
    }
    free(batch.tasks);
    pthread_cond_destroy(&batch.run.done);
    pthread_mutex_unlock(&fleet->one_run);
}

void ferry_fleet_stop(struct ferry_fleet *fleet)
{
    pthread_mutex_lock(&fleet->mutex);
    fleet->stop = true;
    pthread_cond_broadcast(&fleet->work);
    while (fleet->n_threads > fleet->n_lost)
        pthread_cond_wait(&fleet->gone, &fleet->mutex);
    for (size_t i = 0; i < fleet->n_routers; i++)
        if (!fleet->routers[i].silent)
            ferry_fleet_close(&fleet->routers[i]);
    /* Awaited to their very end: libcrypto frees a thread's part when that ends, and must not be torn down by then. */
    for (struct ferry_worker *w = fleet->workers; w; w = w->next)
        (void)(w->ended ? pthread_join(w->thread, NULL) : pthread_detach(w->thread));
    fleet->orphaned = fleet->n_threads > 0;
    bool last = !fleet->orphaned;
    pthread_mutex_unlock(&fleet->mutex);
    if (last)
        ferry_fleet_destroy(fleet);
}
