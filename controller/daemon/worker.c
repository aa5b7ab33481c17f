/* Threads for what blocks.  See worker.h.
 *
 *  1. Lists are touched under the mutex alone; a job belongs to whoever took it off a list.
 *
 * SPDX-License-Identifier: MIT */
#include "daemon/worker.h"

#include "base/mem.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct list {
    struct ferryd_job *first, **end;
};

struct ferryd_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct list todo, done;
    bool stop;
    int fd; /* eventfd: something is in `done` */
    sd_event_source *source;
};

static void put(struct list *list, struct ferryd_job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static struct ferryd_job *take(struct list *list)
{
    struct ferryd_job *job = list->first;
    if (job && !(list->first = job->next))
        list->end = &list->first;
    return job;
}

static void finish(struct ferryd_worker *worker, struct ferryd_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    put(&worker->done, job);
    pthread_mutex_unlock(&worker->mutex);
    (void)!write(worker->fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void *work(void *arg)
{
    struct ferryd_worker *worker = arg;
    pthread_mutex_lock(&worker->mutex);
    while (!worker->stop) {
        struct ferryd_job *job = take(&worker->todo);
        if (!job) {
            pthread_cond_wait(&worker->more, &worker->mutex);
            continue;
        }
        pthread_mutex_unlock(&worker->mutex);
        job->work(job);
        finish(worker, job);
        pthread_mutex_lock(&worker->mutex);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

static void hand_back(struct ferryd_worker *worker)
{
    for (;;) {
        pthread_mutex_lock(&worker->mutex);
        struct ferryd_job *job = take(&worker->done);
        pthread_mutex_unlock(&worker->mutex);
        if (!job)
            return;
        job->done(job);
    }
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    uint64_t n;
    (void)source;
    (void)events;
    (void)!read(fd, &n, sizeof n);
    hand_back(ctx);
    return 0;
}

int ferryd_worker_new(sd_event *event, struct ferryd_worker **ret, struct ferry_err *err)
{
    struct ferryd_worker *worker = ferry_calloc(1, sizeof *worker);
    worker->todo.end = &worker->todo.first;
    worker->done.end = &worker->done.first;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->more, NULL);
    worker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = worker->fd < 0 ? errno : 0;
    if (!failed)
        failed = -sd_event_add_io(event, &worker->source, worker->fd, EPOLLIN, on_done, worker);
    if (failed <= 0)
        failed = pthread_create(&worker->thread, NULL, work, worker);
    if (failed > 0) {
        sd_event_source_unref(worker->source);
        if (worker->fd >= 0)
            close(worker->fd);
        free(worker);
        return ferry_error(err, FERRY_EIO, "cannot start a thread: %s", strerror(failed));
    }
    *ret = worker;
    return 0;
}

void ferryd_worker_add(struct ferryd_worker *worker, struct ferryd_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    put(&worker->todo, job);
    pthread_cond_signal(&worker->more);
    pthread_mutex_unlock(&worker->mutex);
}

void ferryd_worker_post(struct ferryd_worker *worker, struct ferryd_job *note)
{
    finish(worker, note);
}

void ferryd_worker_free(struct ferryd_worker *worker)
{
    if (!worker)
        return;
    pthread_mutex_lock(&worker->mutex);
    worker->stop = true;
    pthread_cond_signal(&worker->more);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    hand_back(worker);
    for (struct ferryd_job *job; (job = take(&worker->todo));) {
        job->dropped = true;
        job->done(job);
    }
    sd_event_source_unref(worker->source);
    close(worker->fd);
    pthread_mutex_destroy(&worker->mutex);
    pthread_cond_destroy(&worker->more);
    free(worker);
}
