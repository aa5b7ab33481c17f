/* What the contract suite needs of a driver: a router of its own for every test, and a hand that acts behind
 * the driver's back, as an administrator would.
 *
 * Every router has the interfaces lan0 (no address), up0 (10.255.1.1/24, fd00:255:1::1/64) and up1
 * (10.255.2.1/24, fd00:255:2::1/64), all up, with next hops .2 and ::2 behind the latter two.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_CONTRACT_H
#define FERRY_TESTS_CONTRACT_H

#include <ferry/driver.h>

struct contract_router {
    const struct ferry_driver_ops *ops;
    struct ferry_driver_config config;
    char state_dir[64];
    char netns[64];
    struct ferry_fib initial;
    struct ferry_driver *driver; /* open */
};

enum {
    CANNOT_PROHIBIT = 1,         /* no routes of type prohibit */
    CANNOT_WEIGH = 2,            /* next hops have no weight: the suite takes 1 for each */
    CANNOT_ATTACH_IN_TABLES = 4, /* connected gateways in table main only */
    CANNOT_TAKE_FOREIGN6 = 8,    /* a foreign IPv6 attachment is kept, not taken away */
};

struct contract_driver {
    const char *name; /* as in the test's name */
    /* 0, or 77 with a message on stderr: this machine cannot. */
    int (*available)(void);
    /* Fills all but `driver`. */
    void (*up)(struct contract_router *router);
    void (*down)(struct contract_router *router);
    /* Puts a route for `prefix` into table main with metric 30, protocol static, via the .2 or ::2 of up0,
     * that has an attribute beyond the entry's fields. */
    void (*foreign)(struct contract_router *router, const char *prefix);
    /* Attaches the prefix to lan0 with this address in a way that is not the plain one. */
    void (*foreign_gateway)(struct contract_router *router, const char *address);
    /* What this kind of router has no words for.  The suite expects a refusal in its place. */
    unsigned cannot;
    uint32_t drop_metric;          /* a blackhole's that is laid under a route; 0: FERRY_METRIC_DROP */
    bool connected_is_best_always; /* connected IPv6 prefixes have metric 0, too */
};

extern const struct contract_driver contract_sim, contract_netlink, contract_fault_sim,
    contract_fault_netlink, contract_iproute, contract_fault_iproute, contract_iproute_ssh, contract_frr;

#endif
