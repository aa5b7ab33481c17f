/* Interface names and the router's own namespace.
 *
 * A netlink socket belongs to the namespace of the thread that opened it, and so do its ioctls: names are
 * asked through it.  Whatever else must happen inside the namespace runs in a thread of its own that ends
 * afterwards, so that no thread of the program is ever left in the wrong place.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "remote/netns.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

int ferry_linux_inside(const struct ferry_linux *d, int (*work)(void *ctx, struct ferry_err *err), void *ctx,
                       struct ferry_err *err)
{
    return ferry_remote_inside(d->netns, work, ctx, err);
}

/* An open file of nsfs keeps its namespace, and so its inode number, from being used again: ours is the socket. */
static int identify(const char *netns, uint64_t *ret_device, uint64_t *ret_inode, struct ferry_err *err)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    if (stat(path, &st))
        return ferry_error(err, FERRY_EIO, "network namespace %s: %s", netns, strerror(errno));
    *ret_device = st.st_dev;
    *ret_inode = st.st_ino;
    return 0;
}

int ferry_linux_note_netns(struct ferry_linux *d, struct ferry_err *err)
{
    return d->netns ? identify(d->netns, &d->netns_device, &d->netns_inode, err) : 0;
}

int ferry_linux_same_netns(const struct ferry_linux *d, struct ferry_err *err)
{
    uint64_t device, inode;
    if (!d->netns || d->means)
        return 0;
    int r = identify(d->netns, &device, &inode, err);
    if (r == 0 && (device != d->netns_device || inode != d->netns_inode))
        return ferry_error(err, FERRY_EIO, "network namespace %s was made anew", d->netns);
    return r;
}
