/* The topology of a test failover: what the planner, the prover and the engine are given in place of the real
 * one, so that nothing of them need know of tests.
 *
 *  1. Routers keep their numbers: a fleet of the real topology serves the test's.
 *  2. There are no links.  No route can follow from the test, on no router: what is not there cannot be planned.
 *
 * SPDX-License-Identifier: MIT */
#include "model/test.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void ferry_test_free(struct ferry_test *test)
{
    if (!test)
        return;
    free(test->name);
    free(test->gateways);
    free(test);
}

static struct ferry_subnet copy_of(const struct ferry_subnet *s)
{
    return (struct ferry_subnet){.name = s->test->name,
                                 .prefix = s->test->prefix,
                                 .home = s->home,
                                 .table = s->test->table,
                                 .gateways = s->test->gateways,
                                 .n_gateways = s->test->n_gateways};
}

struct ferry_topology *ferry_topology_test(const struct ferry_topology *t, const bool *subnets)
{
    struct ferry_topology *test = ferry_calloc(1, sizeof *test);
    *test = (struct ferry_topology){.name = t->name,
                                    .sites = t->sites,
                                    .routers = t->routers, /* 1 */
                                    .n_sites = t->n_sites,
                                    .n_routers = t->n_routers};
    memcpy(test->sha256, t->sha256, sizeof test->sha256);
    test->subnets = ferry_calloc(t->n_subnets, sizeof *test->subnets);
    for (size_t i = 0; i < t->n_subnets; i++)
        if (subnets[i] && t->subnets[i].test)
            test->subnets[test->n_subnets++] = copy_of(&t->subnets[i]);
    return test;
}

void ferry_topology_test_free(struct ferry_topology *test)
{
    if (!test)
        return;
    free(test->subnets);
    free(test);
}
