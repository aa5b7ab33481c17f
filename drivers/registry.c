/* The drivers that are built in: the only place, beside tests, that names them.  SPDX-License-Identifier: MIT */
#include "dns/dns.h"
#include "frr/frr.h"
#include "iproute/iproute.h"
#include "linux/linux.h"
#include "sim/sim.h"

#include <string.h>

static const struct ferry_driver_ops *const drivers[] = {
    &ferry_driver_dns, &ferry_driver_frr, &ferry_driver_iproute, &ferry_driver_linux, &ferry_driver_sim,
};

const struct ferry_driver_ops *ferry_driver_find(const char *type)
{
    for (size_t i = 0; type && i < sizeof drivers / sizeof drivers[0]; i++)
        if (!strcmp(drivers[i]->type, type))
            return drivers[i];
    return NULL;
}
