/* What a lab consists of, worked out from the topology alone: namespaces, wires, addresses, baseline routes.
 *
 * Pure: layout.c reads nothing but the topology and touches nothing.  lab.c builds it, status.c compares with
 * it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LAB_LAYOUT_H
#define FERRY_LAB_LAYOUT_H

#include <ferry/topology.h>
#include <stdio.h>
#include <string.h>

enum ferry_lab_role { FERRY_LAB_ROUTER, FERRY_LAB_LAN, FERRY_LAB_HOST };

/* What runs in a place: nothing (the kernel forwards), or daemons in a mount, UTS and PID namespace of its own. */
enum ferry_lab_machine { FERRY_LAB_KERNEL, FERRY_LAB_SSHD, FERRY_LAB_FRR, FERRY_LAB_BIRD };

struct ferry_lab_address {
    struct ferry_prefix address; /* address + length */
    char dev[FERRY_DEV_LEN];
    bool noprefixroute; /* its prefix is routed in a table of its own */
};

struct ferry_lab_route {
    struct ferry_prefix prefix;
    const struct ferry_entry *entry; /* interned in the layout's pool */
    bool dynamic;                    /* BGP or OSPF makes it; its next hops are the protocol's business */
};

/* A port of the LAN namespace: the other end of a router's or host's interface. */
struct ferry_lab_port {
    char name[FERRY_DEV_LEN];
    uint32_t bridge;
    char *alias; /* "edge-primary:lan0": whose it is */
};

struct ferry_lab_place {
    char *netns;
    enum ferry_lab_role role;
    char *of; /* name of the router, host or topology */
    enum ferry_lab_machine machine;
    const struct ferry_router *router; /* of a router; points into the topology */
    bool ssh;                          /* a router that runs an SSH server */
    const char *pathspace; /* of FRR that is reached from here: its files are this machine's, apart by name */
    const struct ferry_lab_host *host; /* of a host; points into the topology */
    const struct ferry_end *at;        /* of a host: the interface on whose LAN it is */
    bool forwards;
    char (*interfaces)[FERRY_DEV_LEN]; /* of routers and hosts; a LAN's are its bridges and ports */
    size_t n_interfaces;
    struct ferry_lab_address *addresses;
    size_t n_addresses;
    struct ferry_lab_route *routes;
    size_t n_routes;
    uint32_t *tables; /* other than main: each gets a policy rule */
    size_t n_tables;
    uint32_t n_bridges; /* LAN: "br0", "br1", … */
    struct ferry_lab_port *ports;
    size_t n_ports;
};

/* A veth pair between two places. */
struct ferry_lab_wire {
    uint32_t place[2];
    char name[2][FERRY_DEV_LEN];
};

struct ferry_lab_layout {
    struct ferry_pool *pool;
    struct ferry_lab_place *places;
    size_t n_places;
    struct ferry_lab_wire *wires;
    size_t n_wires;
    size_t n_left_out; /* routers that are not namespaces of this machine */
};

/* Sets an interface's name; cuts what the kernel would not take anyway. */
static inline void ferry_lab_set_dev(char dev[static FERRY_DEV_LEN], const char *name)
{
    size_t n = strnlen(name, FERRY_DEV_LEN - 1);
    memcpy(dev, name, n);
    memset(dev + n, 0, FERRY_DEV_LEN - n);
}

/* ---- router.c ---- */

/* The namespace that is the router in a lab, or NULL: the lab leaves it out.  A driver's `netns` is that, but for a
 * router that is reached by one of its own addresses: there it is where one connects from, and the router is the
 * namespace of its own name. */
const char *ferry_lab_router_netns(const struct ferry_router *router);
/* Sets what runs in the place of a router. */
void ferry_lab_set_machine(struct ferry_lab_place *place, const struct ferry_router *router);

/* ---- layout.c ---- */

/* -FERRY_EREFUSED: rule "no-netns" or "netns-shared".  -FERRY_EINPUT: a host at a link's interface. */
int ferry_lab_layout_new(const struct ferry_topology *t, struct ferry_lab_layout **ret,
                         struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_lab_layout_free(struct ferry_lab_layout *layout);

/* Second half of layout_new, in baseline.c: addresses of gateways at home, and every router's routes.
 * `place_of[router]` is its place, or FERRY_NONE. */
int ferry_lab_baseline(const struct ferry_topology *t, const uint32_t *place_of,
                       struct ferry_lab_layout *layout, struct ferry_err *err) FERRY_MUST_CHECK;

/* Lines for `ip -batch`, in script.c. */
void ferry_lab_script_wires(const struct ferry_lab_layout *layout, FILE *out);
void ferry_lab_script_links(const struct ferry_lab_place *place, FILE *out);
void ferry_lab_script_config(const struct ferry_lab_place *place, FILE *out);
/* Policy rules: one script a family, since a line cannot name it. */
void ferry_lab_script_rules(const struct ferry_lab_place *place, FILE *out);

#endif
