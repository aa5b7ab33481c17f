/* What the parts of the topology loader share: load.c (document, sites), load_routers.c, load_links.c,
 * load_tunnels.c, load_subnets.c, load_test.c, load_networks.c, load_workloads.c, load_hosts.c, load_recovery.c,
 * load_dns.c, load_lab.c.  Each part reads one section after those that it refers to, reports what it finds
 * through ferry_json_error and goes on; a finding anywhere means that the topology is thrown away.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_LOAD_H
#define FERRY_MODEL_LOAD_H

#include <ferry/topology.h>

#include "model/json.h"
#include "model/map.h"

/* An address of a router's interface. */
struct ferry_load_address {
    struct ferry_addr addr;
    uint32_t router;
    uint32_t v; /* in the document */
};

struct ferry_loader {
    struct ferry_json *doc;
    struct ferry_topology *t;
    struct ferry_findings *findings;
    struct ferry_err err;                            /* written by every finding, read by nobody */
    struct ferry_map sites, routers, subnets, hosts; /* by name */
    struct ferry_map prefixes;                       /* subnets by prefix */
    /* Addresses by bytes: the index into `addresses`; those that are on a second router are in `doubles`. */
    struct ferry_map owners;
    struct ferry_load_address *addresses, *doubles;
    size_t n_addresses, n_doubles;
    struct ferry_map links;   /* their ends, and the pairs of ends */
    const char *name;         /* of the file, in messages */
    struct ferry_map tunnels; /* routers with the keys of their tunnels */
    struct ferry_load_network {
        struct ferry_prefix prefix;
        uint32_t v, link, end;
    } * local_networks;
    size_t n_local_networks;
    uint32_t *tests; /* by subnet: where its test stands in the document, or FERRY_JSON_NONE */
};

/* No more findings are wanted. */
bool ferry_load_full(const struct ferry_loader *l);

/* "name" of an object, checked; NULL after a finding.  The text lives as long as the document. */
const char *ferry_load_name(struct ferry_loader *l, uint32_t object);
/* The index that a member names, or FERRY_NONE after a finding.  `what`: "site". */
uint32_t ferry_load_reference(struct ferry_loader *l, uint32_t object, const char *key,
                              const struct ferry_map *map, const char *what);
bool ferry_load_is_name(const char *text);
/* Kernel's dev_valid_name() (net/core/dev.c) and our own rule for names. */
bool ferry_load_is_interface(const char *text);
/* "ROUTER:INTERFACE"; false after a finding. */
bool ferry_load_end(struct ferry_loader *l, uint32_t v, struct ferry_end *ret);
/* A routing table's number under `key`, if it is there. */
void ferry_load_table(struct ferry_loader *l, uint32_t object, uint32_t *ret);
/* An address with length that a host or router can have; false after a finding. */
bool ferry_load_address(struct ferry_loader *l, uint32_t v, struct ferry_prefix *ret);
/* A plain unicast address; false after a finding. */
bool ferry_load_plain_address(struct ferry_loader *l, uint32_t v, struct ferry_addr *ret);
/* A prefix that can be somebody's subnet: no host bits, not the default route, nothing special; false after a
 * finding. */
bool ferry_load_prefix(struct ferry_loader *l, uint32_t v, struct ferry_prefix *ret);
/* The broadcast address of an IPv4 network of at most 30 bits. */
bool ferry_load_is_broadcast(const struct ferry_prefix *p);
/* The network's own address (in IPv6: its subnet-router anycast address), where it has one. */
bool ferry_load_is_network(const struct ferry_prefix *p);
bool ferry_load_is_link_local(const struct ferry_addr *a);

void ferry_load_routers(struct ferry_loader *l, uint32_t array);
void ferry_load_links(struct ferry_loader *l, uint32_t array);
/* How an interface is made that a gateway brings along (load_devices.c); the check once all of the router's are
 * known. */
void ferry_load_make(struct ferry_loader *l, uint32_t object, struct ferry_interface *interface);
void ferry_load_check_make(struct ferry_loader *l, uint32_t object, const struct ferry_router *router,
                           const struct ferry_interface *interface);
/* The new interface PARENT.ID of a router, where the name is one, else FERRY_NONE. */
uint32_t ferry_load_vlan_of_name(struct ferry_loader *l, uint32_t router, const char *name);
/* What a gateway, loaded so far, brings along: its interface, rules. */
void ferry_load_brought(struct ferry_loader *l, uint32_t object, const struct ferry_subnet *subnet,
                        struct ferry_gateway *gateway);
/* Kind, tunnel and local networks of a link (load_tunnels.c); `ends_known`: its ends are good ones. */
void ferry_load_tunnel(struct ferry_loader *l, uint32_t object, uint32_t index, bool ends_known);
/* Rule local-network, after the subnets. */
void ferry_load_check_local_networks(struct ferry_loader *l);
void ferry_load_subnets(struct ferry_loader *l, uint32_t array);
/* Where a subnet is tried out (load_test.c); and, after the subnets, that nothing of a test is anybody else's. */
void ferry_load_test(struct ferry_loader *l, uint32_t object, struct ferry_subnet *subnet);
void ferry_load_check_tests(struct ferry_loader *l);
/* A gateway of a subnet with this prefix (NULL: unknown). */
void ferry_load_gateway(struct ferry_loader *l, uint32_t object, const struct ferry_prefix *subnet,
                        struct ferry_gateway *gateway);
/* After the subnets: only a gateway's address may be on two routers. */
void ferry_load_check_doubles(struct ferry_loader *l);
void ferry_load_lab(struct ferry_loader *l, uint32_t object);
/* Networks, mappings, machines: after the subnets. */
void ferry_load_networks(struct ferry_loader *l);
/* The machines' own routes in subnets that have such (load_hosts.c): after the networks. */
void ferry_load_hosts(struct ferry_loader *l);
/* Name servers: after the routers. */
void ferry_load_name_servers(struct ferry_loader *l);
/* The safety rules and the hooks. */
void ferry_load_rules(struct ferry_loader *l);
/* After networks and subnets. */
void ferry_load_recovery(struct ferry_loader *l);

#endif
