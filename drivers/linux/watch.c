/* Hears that something has changed: a socket in the multicast groups of whatever can change where packets go.
 *
 *  W1. What arrives is no truth, only a reason to read: it is not even looked at.  A queue that ran over
 *      (ENOBUFS) says the same.
 *  W2. Links, addresses and nexthop objects count: the kernel drops the routes that lean on them without a
 *      word about each (README.md, facts of the kernel).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "remote/netns.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef RTNLGRP_NEXTHOP
#define RTNLGRP_NEXTHOP 32 /* linux/rtnetlink.h of 5.3 */
#endif

enum { QUEUE_BYTES = 1024 * 1024 }; /* it may run over: W1 */

static int open_groups(void *ctx, struct ferry_err *err)
{
    static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                 RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
                                 RTNLGRP_IPV6_RULE,  RTNLGRP_NEXTHOP};
    struct sockaddr_nl us = {.nl_family = AF_NETLINK};
    int bytes = QUEUE_BYTES, *ret_fd = ctx;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&us, sizeof us)) {
        int failed = errno;
        if (fd >= 0)
            close(fd);
        return ferry_error(err, FERRY_EIO, "cannot open a netlink socket: %s", strerror(failed));
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    for (size_t i = 0; i < FERRY_COUNT(groups); i++)
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) &&
            groups[i] != RTNLGRP_NEXTHOP) { /* a kernel without nexthop objects has none to tell of */
            int failed = errno;
            close(fd);
            return ferry_error(err, FERRY_EIO, "cannot hear the kernel's group %d: %s", groups[i],
                               strerror(failed));
        }
    *ret_fd = fd;
    return 0;
}

int ferry_linux_watch(const struct ferry_driver_config *config, int *ret_fd, struct ferry_err *err)
{
    return ferry_remote_inside(config->netns, open_groups, ret_fd, err);
}
