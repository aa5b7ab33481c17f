/* Recovery plans: named groups of networks and subnets that fail over one after the other (docs/site-recovery.md).
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_RECOVERY_H
#define FERRY_RECOVERY_H

#include <ferry/topology.h>

/* Moves in one transaction: all phases of one group are over before the next one begins. */
struct ferry_recovery_group {
    char *name;
    uint32_t *networks;           /* VM networks that fail over by their mapping */
    uint32_t *subnets;            /* routed subnets ... */
    uint32_t to;                  /* ... and the site that they go to; FERRY_NONE where there are none */
    size_t n_networks, n_subnets; /* together at least one */
    bool own_hooks;               /* `hooks` in place of the topology's */
    struct ferry_hooks hooks;
};

struct ferry_recovery_plan {
    char *name;
    struct ferry_recovery_group *groups; /* in order */
    size_t n_groups;                     /* at least one */
};

struct ferry_recovery_plans {
    struct ferry_recovery_plan *v;
    size_t n;
};
void ferry_recovery_plans_free(struct ferry_recovery_plans *plans); /* takes NULL */
/* By name, or NULL. */
const struct ferry_recovery_plan *ferry_recovery_plan_find(const struct ferry_recovery_plans *plans,
                                                           const char *name);

#endif
