/* Work in another network namespace of this machine.  SPDX-License-Identifier: MIT */
#ifndef FERRY_REMOTE_NETNS_H
#define FERRY_REMOTE_NETNS_H

#include <ferry/err.h>

/* Runs `work` in a network namespace: in a thread that ends with it.  NULL: here. */
int ferry_remote_inside(const char *netns, int (*work)(void *ctx, struct ferry_err *err), void *ctx,
                        struct ferry_err *err) FERRY_MUST_CHECK;

#endif
