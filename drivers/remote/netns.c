/* Work in another network namespace.  A thread's namespace is inherited by what it opens and spawns, and ends with it.
 * SPDX-License-Identifier: MIT */
#include "remote/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct visit {
    const char *netns;
    int (*work)(void *ctx, struct ferry_err *err);
    void *ctx;
    struct ferry_err *err;
    int result;
};

static int enter(const char *netns, struct ferry_err *err)
{
    char path[300];
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ferry_error(err, FERRY_EIO, "network namespace %s: %s", netns, strerror(errno));
    int failed = setns(fd, CLONE_NEWNET) ? errno : 0;
    close(fd);
    if (failed)
        return ferry_error(err, FERRY_EIO, "cannot enter network namespace %s: %s", netns, strerror(failed));
    return 0;
}

static void *visit_thread(void *arg)
{
    struct visit *v = arg;
    v->result = enter(v->netns, v->err);
    if (!v->result)
        v->result = v->work(v->ctx, v->err);
    return NULL;
}

int ferry_remote_inside(const char *netns, int (*work)(void *ctx, struct ferry_err *err), void *ctx,
                        struct ferry_err *err)
{
    struct visit v = {.netns = netns, .work = work, .ctx = ctx, .err = err};
    pthread_t thread;
    if (!netns)
        return work(ctx, err);
    int failed = pthread_create(&thread, NULL, visit_thread, &v);
    if (failed)
        return ferry_error(err, FERRY_EIO, "cannot start a thread: %s", strerror(failed));
    pthread_join(thread, NULL);
    return v.result;
}
