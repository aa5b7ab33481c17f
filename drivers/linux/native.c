/* The slot `native`: what a person would type.  SPDX-License-Identifier: MIT */
#include "internal.h"
int ferry_linux_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                       size_t size)
{
    (void)config;
    (void)op;
    if (size)
        buf[0] = '\0';
    return 0;
}
