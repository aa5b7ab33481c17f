/* Interface names and the router's own namespace.
 *
 * A netlink socket belongs to the namespace of the thread that opened it, and so do its ioctls: names are
 * asked through it.  Whatever else must happen inside the namespace runs in a thread of its own that ends
 * afterwards, so that no thread of the program is ever left in the wrong place.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "remote/netns.h"

#include <stdio.h>
#include <sys/ioctl.h>

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
