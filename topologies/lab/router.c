/* What a router of a topology is in a lab: which namespace, which daemons.  Neighbours: layout.c.
 * SPDX-License-Identifier: MIT */
#include "layout.h"

#include "model/driver_config.h"
#include <string.h>

static bool has_address(const struct ferry_router *router, const struct ferry_addr *addr)
{
    for (size_t i = 0; i < router->n_interfaces; i++) {
        for (size_t a = 0; a < router->interfaces[i].n_addresses; a++) {
            if (ferry_addr_equal(&router->interfaces[i].addresses[a].addr, addr)) {
                return true;
            }
        }
    }
    return false;
}

const char *ferry_lab_router_netns(const struct ferry_router *router)
{
    const struct ferry_driver_config *driver = &router->driver;
    struct ferry_addr addr;
    struct ferry_err ignored;
    if (!strcmp(driver->type, "sim") || !driver->netns) {
        return NULL;
    }
    if (!ferry_driver_by_ssh(driver)) { /* FRR without a pathspace would be this machine's own */
        return strcmp(driver->type, "frr") != 0 || driver->pathspace ? driver->netns : NULL;
    }
    if (!driver->host || ferry_addr_parse(driver->host, &addr, &ignored) < 0) {
        return NULL; /* a name: nobody here resolves it */
    }
    if (!strncmp(driver->host, "127.", 4) || !strcmp(driver->host, "::1")) {
        return driver->netns;
    }
    return has_address(router, &addr) ? router->name : NULL;
}

void ferry_lab_set_machine(struct ferry_lab_place *p, const struct ferry_router *router)
{
    p->router = router;
    p->ssh = ferry_driver_is_remote(router->driver.type) && ferry_driver_by_ssh(&router->driver);
    p->machine = !strcmp(router->driver.type, "frr") ? FERRY_LAB_FRR
                 : p->ssh                            ? FERRY_LAB_SSHD
                                                     : FERRY_LAB_KERNEL;
    p->pathspace = p->ssh ? NULL : router->driver.pathspace;
}
