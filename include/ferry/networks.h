/* Networks, mappings and machines: what a recovery plan knows of the machines whose subnets move.
 *
 * A logical network is what the infrastructure offers; a VM network is what machines connect to: it is on one
 * logical network, on one server, at one of that server's sites, and has named subnets.  A cloud is a set of
 * machines on a server; it is protected by another cloud.  A mapping says to which VM network the machines of
 * another one fail over.
 *
 * The functions here are the rules themselves (docs/site-recovery.md): pure, without I/O or clock, one test each in
 * tests/unit/test_model_networks.c.  Indices are those of the arrays; FERRY_NONE is "none".
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_NETWORKS_H
#define FERRY_NETWORKS_H

#include <ferry/topology.h>

/* Manages the networks and clouds of one site, or of several. */
struct ferry_server {
    char *name;
    uint32_t *sites;
    size_t n_sites;
};

struct ferry_logical_network {
    char *name;
};

struct ferry_cloud {
    char *name;
    uint32_t server;
    uint32_t protected_by; /* the protecting cloud; FERRY_NONE: this one is not protected */
    uint32_t *logical;     /* logical networks that it is associated with */
    size_t n_logical;
};

/* Both ends included, of one family. */
struct ferry_range {
    struct ferry_addr first, last;
};

struct ferry_network_subnet {
    char *name; /* unique in its network */
    struct ferry_prefix *prefixes;
    size_t n_prefixes; /* at least one */
};

/* What becomes of a network's addresses when it fails over. */
enum ferry_move_kind {
    FERRY_MOVE_BY_PREFIX, /* not said: subnet by subnet, retained where the target's has the same prefix */
    FERRY_MOVE_SUBNET,    /* kept: the whole subnet moves, the routers are changed */
    FERRY_MOVE_STRETCHED, /* kept: the subnet lives at both sites */
    FERRY_MOVE_CHANGE_ADDRESS, /* other ones at the recovery site: no route changes */
};
const char *ferry_move_kind_name(enum ferry_move_kind kind); /* "subnet-failover", …; NULL of the first */

struct ferry_vm_network {
    char *name;
    uint32_t logical, server;
    uint32_t site;   /* one of the server's */
    uint32_t mapped; /* the target VM network; FERRY_NONE: not mapped, and that is a state, not an error */
    enum ferry_move_kind move;
    struct ferry_network_subnet *subnets;
    size_t n_subnets; /* at least one */
    /* Disjoint; each range lies in one prefix of one subnet. */
    struct ferry_range *pool, *dhcp; /* static addresses to hand out; what the site's DHCP server leases */
    size_t n_pool, n_dhcp;
};

enum ferry_assignment { FERRY_ASSIGN_STATIC, FERRY_ASSIGN_DHCP };
const char *ferry_assignment_name(enum ferry_assignment assignment); /* "static", "dhcp" */

/* How the replica of a machine is connected since a failover. */
struct ferry_replica {
    enum { FERRY_REPLICA_UNCHANGED, FERRY_REPLICA_DISCONNECTED, FERRY_REPLICA_MOVED } state;
    uint32_t network; /* of FERRY_REPLICA_MOVED */
};

/* A DNS name that leads to a NIC's addresses. */
struct ferry_dns_label {
    char *name;   /* as ferry_dns_name has it */
    uint32_t ttl; /* seconds; 0: whatever it is found with */
};

/* What a NIC is at the target.  Exactly one of a machine is primary. */
enum ferry_nic_type {
    FERRY_NIC_PRIMARY,
    FERRY_NIC_SECONDARY,
    FERRY_NIC_NOT_CREATED, /* it stays behind, and is back after the failback as it was */
};
const char *ferry_nic_type_name(enum ferry_nic_type type); /* "primary", "secondary", "not-created" */

struct ferry_nic {
    char *name;
    uint32_t network, subnet;
    enum ferry_nic_type type;
    enum ferry_assignment assignment;
    struct ferry_addr
        *addresses; /* static: at least one; dhcp: what it has been leased, where that is known */
    size_t n_addresses;
    struct ferry_addr *asked; /* [n_addresses]: what is asked for at the target; family 0: nothing */
    struct ferry_replica replica;
    struct ferry_dns_label *dns; /* docs/dns.md */
    size_t n_dns;
};

struct ferry_workload {
    char *name;
    uint32_t cloud; /* or FERRY_NONE */
    bool
        not_ready; /* to move: not replicated yet, say.  It refuses plans that would take it along (rule not-ready) */
    struct ferry_nic *nics;
    size_t n_nics; /* at least one */
};

struct ferry_networks {
    struct ferry_server *servers;
    struct ferry_logical_network *logical;
    struct ferry_cloud *clouds;
    struct ferry_vm_network *networks;
    uint32_t *mappings; /* VM networks that are mapped, in the order of the file */
    struct ferry_workload *workloads;
    size_t n_servers, n_logical, n_clouds, n_networks, n_mappings, n_workloads;
};
void ferry_networks_free(struct ferry_networks *n); /* takes NULL */

/* Indices by name, or FERRY_NONE. */
uint32_t ferry_networks_network(const struct ferry_networks *n, const char *name);
uint32_t ferry_networks_workload(const struct ferry_networks *n, const char *name);

/* ---- Which targets are available. ---- */

enum ferry_available {
    FERRY_AVAILABLE,
    FERRY_CLOUD_UNPROTECTED,    /* no cloud protects it */
    FERRY_OTHER_SERVER,         /* the target is not on the protecting cloud's server */
    FERRY_LOGICAL_UNASSOCIATED, /* its logical network is not associated with the protecting cloud */
};
/* A target is offered for a protected cloud and the one that protects it exactly if it is on that one's
 * server and its logical network is associated with it. */
enum ferry_available ferry_network_available(const struct ferry_networks *n, uint32_t cloud, uint32_t target);
/* Why, in a sentence; "" where it is available. */
void ferry_network_available_text(const struct ferry_networks *n, uint32_t cloud, uint32_t target,
                                  char ret[static 256]);
/* Whether a cloud's machines may be on a VM network: one of them is, or both are of one server and the
 * network's logical network is associated with the cloud.  These are the clouds that are asked about where a
 * source network is chosen. */
bool ferry_cloud_uses(const struct ferry_networks *n, uint32_t cloud, uint32_t network);
/* Whether a mapping may lead from one to the other: not to itself, not within a site. */
bool ferry_network_mappable(const struct ferry_networks *n, uint32_t source, uint32_t target);

/* ---- Where a machine is connected. ---- */

/* The subnet of the target of the same name as the source's, else the target's first. */
uint32_t ferry_network_subnet(const struct ferry_networks *n, uint32_t source, uint32_t subnet,
                              uint32_t target);

enum ferry_failback {
    FERRY_FAILBACK_SOURCE,       /* nothing was changed: the network that it came from */
    FERRY_FAILBACK_DISCONNECTED, /* the replica was disconnected: so is the machine */
    FERRY_FAILBACK_UNMAPPED,     /* the replica is on a network that is mapped nowhere: disconnected */
    FERRY_FAILBACK_MAPPED,       /* the network that the replica's network is mapped to now */
    FERRY_FAILBACK_NOT_CREATED,  /* of a NIC that the replica had not: the network that it came from */
};
/* The VM network to which a machine fails back, or FERRY_NONE: disconnected.  `source`: its own; `target`:
 * where failover put the replica, FERRY_NONE where the source was not mapped. */
uint32_t ferry_network_failback(const struct ferry_networks *n, uint32_t source, uint32_t target,
                                const struct ferry_replica *replica, enum ferry_failback *ret_why);

/* ---- Which routes follow. ---- */

enum ferry_follows {
    FERRY_FOLLOWS_ROUTED,      /* its addresses are retained: the routed subnet moves to the target's site */
    FERRY_FOLLOWS_READDRESSED, /* the target's subnet has other addresses: no route changes */
    FERRY_FOLLOWS_UNROUTED,    /* its addresses are retained, but no routed subnet has that prefix */
};
/* What a failover of a network means for one prefix of one of its subnets. */
struct ferry_network_move {
    uint32_t network, subnet; /* of the source */
    struct ferry_prefix prefix;
    uint32_t target, target_subnet;
    enum ferry_follows follows;
    uint32_t routed; /* of FERRY_FOLLOWS_ROUTED: the topology's subnet */
};
struct ferry_network_moves {
    struct ferry_network_move *v; /* in the order of the file */
    size_t n;
};
/* Of a mapped network; nothing for an unmapped one.  Adds to what is in `ret`. */
void ferry_network_moves_add(const struct ferry_topology *t, uint32_t network,
                             struct ferry_network_moves *ret);
void ferry_network_moves_clear(struct ferry_network_moves *moves);
/* Whether a NIC is in the way of such a move: it is at the source's site, and one of its subnet's prefixes is
 * the one that moves; whatever its own network is, its addresses go along.  Not one that is not created there. */
bool ferry_network_moves_along(const struct ferry_networks *n, const struct ferry_network_move *move,
                               const struct ferry_nic *nic);

/* ---- Addresses. ---- */

/* Whether the DHCP ranges of the target's subnet cover those of the source's; false with the first part that
 * they do not. */
bool ferry_dhcp_covers(const struct ferry_vm_network *source, uint32_t subnet,
                       const struct ferry_vm_network *target, uint32_t target_subnet,
                       struct ferry_range *ret_missing);
bool ferry_network_subnet_has(const struct ferry_network_subnet *subnet, const struct ferry_addr *a);
bool ferry_ranges_contain(const struct ferry_range *ranges, size_t n, const struct ferry_addr *a);
bool ferry_range_contains(const struct ferry_range *range, const struct ferry_addr *a);
/* "A-B", or "A" alone. */
#define FERRY_RANGE_STRLEN (2 * FERRY_ADDR_STRLEN)
const char *ferry_range_text(const struct ferry_range *range, char buf[static FERRY_RANGE_STRLEN]);

/* An address that is kept for a machine in the network that it will fail over to.  It is reserved before the
 * move, and becomes the machine's address only at it. */
struct ferry_reservation {
    char *workload, *nic, *network;
    struct ferry_addr own, address; /* the machine's own, and the one that is kept for it */
    uint64_t since_us;              /* since 1970 UTC; 0: not stored yet */
    /* The transaction that has made it the machine's address; "": it is only kept. */
    char assigned_by[24];
};

enum ferry_address_why {
    FERRY_ADDRESS_KEPT,        /* the pool has it, and it is free */
    FERRY_ADDRESS_OWN,         /* failback: it is the machine's own */
    FERRY_ADDRESS_RESERVED,    /* so it was reserved */
    FERRY_ADDRESS_ASSIGNED,    /* a move has made it the machine's address already */
    FERRY_ADDRESS_OUTSIDE,     /* the pool has not the machine's own: the next free one */
    FERRY_ADDRESS_TAKEN,       /* the machine's own is taken there: the next free one */
    FERRY_ADDRESS_EXHAUSTED,   /* the pool has no free one: none */
    FERRY_ADDRESS_NO_POOL,     /* the subnet has no pool of the family: none */
    FERRY_ADDRESS_DHCP,        /* not managed */
    FERRY_ADDRESS_UNCONNECTED, /* the machine is connected nowhere */
    FERRY_ADDRESS_NOT_CREATED, /* the machine has no such NIC at the target */
    FERRY_ADDRESS_ASKED,       /* so it was asked for by name, and it is free */
    FERRY_ADDRESS_UNAVAILABLE, /* what was asked for is not to be had: the next free one */
};

const char *
ferry_address_why_name(enum ferry_address_why why); /* "kept", "own", "reserved", "outside-pool", … */

/* One address of one NIC, before and after. */
struct ferry_address_row {
    uint32_t workload, nic;
    struct ferry_addr own; /* what the topology says; family 0: nothing (dhcp) */
    uint32_t from,
        from_subnet; /* where it is before: its network; at a failback its replica's.  FERRY_NONE: nowhere */
    struct ferry_addr before; /* family 0: not known */
    struct ferry_addr asked;  /* of a failover: what is asked for there; family 0: nothing */
    uint32_t network, subnet; /* after; FERRY_NONE: connected nowhere */
    enum ferry_failback path; /* of failback: why that network */
    struct ferry_addr after;  /* family 0: none that Ferry gives */
    enum ferry_address_why why;
    /* Who has the machine's own there, or what is asked for: a machine or router, as the topology names it. */
    const char *taken_by;
    bool stale; /* there was a reservation, which does not hold any more */
};
struct ferry_address_rows {
    struct ferry_address_row *v; /* in the order of the file: machines, NICs, addresses */
    size_t n;
};
/* Where every machine would be, and with which addresses, were its network to fail over (or, with `failback`,
 * back).  Addresses that can be kept are kept, and those that are asked for given, before others are handed out;
 * a static address is free where no machine and no router of the site has it in that network, and nobody else has
 * it reserved. */
void ferry_networks_addresses(const struct ferry_topology *t, bool failback,
                              const struct ferry_reservation *reservations, size_t n_reservations,
                              struct ferry_address_rows *ret);
/* Why a machine does not get the address that is asked for it; "" where it does, or none is asked for. */
void ferry_address_unavailable_text(const struct ferry_networks *n, const struct ferry_address_row *row,
                                    char ret[static 256]);
void ferry_address_rows_clear(struct ferry_address_rows *rows);

#endif
