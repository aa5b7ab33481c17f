/* Interface names and the router's own namespace.
 *
 * A netlink socket belongs to the namespace of the thread that opened it, and so do its ioctls: names are
 * asked through it.  Whatever else must happen inside the namespace runs in a thread of its own that ends
 * afterwards, so that no thread of the program is ever left in the wrong place.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

unsigned ferry_linux_ifindex(const struct ferry_linux *d, const char *name)
{
    struct ifreq request = {0};
    if (d->means)
        return d->means->ifindex(d, name);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    return *name && !ioctl(d->fd, SIOCGIFINDEX, &request) ? (unsigned)request.ifr_ifindex : 0;
}

void ferry_linux_ifname(const struct ferry_linux *d, unsigned index, char ret[static FERRY_DEV_LEN])
{
    struct ifreq request = {.ifr_ifindex = (int)index};
    if (d->means) {
        d->means->ifname(d, index, ret);
        return;
    }
    ret[0] = '\0';
    if (index && !ioctl(d->fd, SIOCGIFNAME, &request))
        snprintf(ret, FERRY_DEV_LEN, "%s", request.ifr_name);
}

int ferry_linux_ifflags(const struct ferry_linux *d, const char *name)
{
    struct ifreq request = {0};
    if (d->means)
        return d->means->ifflags(d, name);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    return ioctl(d->fd, SIOCGIFFLAGS, &request) ? -1 : (int)(unsigned short)request.ifr_flags;
}

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

int ferry_linux_inside(const struct ferry_linux *d, int (*work)(void *ctx, struct ferry_err *err), void *ctx,
                       struct ferry_err *err)
{
    struct visit v = {.netns = d->netns, .work = work, .ctx = ctx, .err = err};
    pthread_t thread;
    if (!d->netns)
        return work(ctx, err);
    int failed = pthread_create(&thread, NULL, visit_thread, &v);
    if (failed)
        return ferry_error(err, FERRY_EIO, "cannot start a thread: %s", strerror(failed));
    pthread_join(thread, NULL);
    return v.result;
}
