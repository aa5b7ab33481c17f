/* Target: the whole FRR driver against a router that says what the input says: configuration, RIB, kernel, neighbours,
 * daemons, disk, dead-man; read, check, apply, persist.
 *
 *  - What is read answers the question: its prefixes are sound, its next hops in order, all in terms of the query.
 *  - Outcomes are honest: a check says done or refused; an apply that FRR was told nothing of is not done.
 *
 * SPDX-License-Identifier: MIT */
#include "frr/internal.h"

#include "fuzz.h"
#include "router.h"
#include "routes.h"

static struct ferry_frr *open_driver(const uint8_t *data, size_t size, enum ferry_routing routing)
{
    struct ferry_frr *d = ferry_calloc(1, sizeof *d);
    d->base.ops = &ferry_driver_frr;
    d->env = &fuzz_env;
    d->router = ferry_strdup("edge");
    d->config.type = ferry_strdup("frr");
    d->config.routing = routing;
    d->remote = fuzz_router("edge", data, size);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    fuzz_begin();
    /* The first byte: which protocol the router is said to speak, and what is asked of it. */
    struct ferry_frr *d = open_driver(data + 1, size - 1, (enum ferry_routing)(data[0] % 3));
    struct ferry_driver *driver = (struct ferry_driver *)d;
    switch (data[0] / 3 % 5) {
    case 0:
        fuzz_read(driver);
        break;
    case 1:
        fuzz_check_ops(driver);
        break;
    case 2:
        fuzz_apply(driver);
        break;
    case 3:
        fuzz_persist(driver);
        fuzz_deadman(driver);
        break;
    default:
        fuzz_read_all(driver);
        break;
    }
    ferry_driver_frr.close(driver);
    return 0;
}
