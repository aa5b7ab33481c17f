/* Simulated routers that know by which name each of their drivers was opened, for tests that put something between them and
 * the engine.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_OPENED_H
#define FERRY_TEST_OPENED_H

#include <ferry/driver.h>

/* ferry_driver_ops of the simulator, with open and close that keep the names; a test puts its own functions in. */
struct ferry_driver_ops opened_ops(void);
int opened_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                struct ferry_err *err);
/* The router of an open driver, or NULL. */
const char *opened_name(const struct ferry_driver *driver);
/* Whether it is this router's; `router` may be NULL: nobody's. */
bool opened_is(const struct ferry_driver *driver, const char *router);
const struct ferry_driver_ops *simulator(void);

#endif
