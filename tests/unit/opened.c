/* See opened.h.
 *
 * SPDX-License-Identifier: MIT */
#include "opened.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static struct {
    struct ferry_driver *driver;
    char name[64];
} opened[16];

const struct ferry_driver_ops *simulator(void)
{
    return ferry_driver_find("sim");
}

int opened_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                struct ferry_err *err)
{
    int r = simulator()->open(env, config, router, state_dir, initial, ret, err);
    for (size_t i = 0; r == 0 && i < FERRY_COUNT(opened); i++)
        if (!opened[i].driver) {
            opened[i].driver = *ret;
            snprintf(opened[i].name, sizeof opened[i].name, "%s", router);
            break;
        }
    return r;
}

static void close_it(struct ferry_driver *driver)
{
    for (size_t i = 0; i < FERRY_COUNT(opened); i++)
        if (opened[i].driver == driver)
            opened[i].driver = NULL;
    simulator()->close(driver);
}

struct ferry_driver_ops opened_ops(void)
{
    struct ferry_driver_ops ops = *simulator();
    memset(opened, 0, sizeof opened);
    ops.open = opened_open;
    ops.close = close_it;
    return ops;
}

const char *opened_name(const struct ferry_driver *driver)
{
    for (size_t i = 0; i < FERRY_COUNT(opened); i++)
        if (opened[i].driver == driver)
            return opened[i].name;
    return NULL;
}

bool opened_is(const struct ferry_driver *driver, const char *router)
{
    const char *name = opened_name(driver);
    return router && name && !strcmp(name, router);
}
