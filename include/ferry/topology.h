/* The topology file (docs/topology-file.md), loaded and checked.  Every reference is an index.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TOPOLOGY_H
#define FERRY_TOPOLOGY_H

#include <ferry/addr.h>
#include <ferry/entry.h>
#include <ferry/hook.h>
#include <ferry/rules.h>
#include <stddef.h>

#define FERRY_NAME_MAX 63
#define FERRY_NONE     UINT32_MAX

struct ferry_site {
    char *name;
};

/* How an interface is made that is not there yet (ferry/device.h): "vlan PARENT ID", "bridge [PORT …]"; "":
 * it is there. */
#define FERRY_MAKE_LEN 160

struct ferry_interface {
    char name[FERRY_DEV_LEN];
    char make[FERRY_MAKE_LEN];
    struct ferry_prefix *addresses; /* address + length, host bits kept */
    size_t n_addresses;
};

/* How a subnet's location is made known: by routes alone, or by a protocol that the router speaks. */
enum ferry_routing { FERRY_ROUTING_STATIC, FERRY_ROUTING_BGP, FERRY_ROUTING_OSPF };
const char *ferry_routing_name(enum ferry_routing routing); /* "static", "bgp", "ospf" */

/* A routing table that belongs to a VRF of its router. */
struct ferry_vrf {
    char name[FERRY_DEV_LEN]; /* the VRF's, and its device's */
    uint32_t table;           /* never FERRY_TABLE_MAIN */
};

/* Everything a driver needs to reach and to speak to its router.  Owned by whoever holds the struct. */
struct ferry_driver_config {
    char *type; /* "netlink", "sim", "frr", "iproute"; of a name server "dns" */
    char *
        netns; /* under /run/netns: the router itself; with ssh the namespace to connect from.  NULL: this machine's */
    char *transport; /* "local", "ssh" or NULL: ssh where there is a host, or of iproute; else local */
    /* Of frr and iproute; NULL or 0 where the file does not say. */
    char *host; /* NULL with ssh: the router's name */
    char *user, *pathspace;
    char *identity;    /* file of the private key; NULL: the agent's, then those in ~/.ssh */
    char *known_hosts; /* file; NULL: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts */
    char *host_key;    /* "SHA256:…", as ssh-keygen -l shows it: the only key that is accepted */
    char *jump;        /* "[user@]host[:port]" to go through, or NULL */
    uint16_t port;     /* 0: 22 */
    /* How it originates a moved subnet; of FERRY_ROUTING_STATIC nothing else matters. */
    enum ferry_routing routing;
    char *prefix_list; /* redistribute connected, filtered by this list; NULL: by `network` */
    char *area;        /* OSPF area of `network`, as an IPv4 address; NULL: "0.0.0.0" */
    /* Of frr: the VRFs that the router had when it was read last; not from the topology, and no part of
     * ferry_driver_config_equal. */
    struct ferry_vrf *vrfs;
    size_t n_vrfs;
    /* Of a name server: `host` is its address, `port` (0: 53) that of all servers of its zones. */
    char *key_file; /* the TSIG key, as tsig-keygen writes it */
    char *zones; /* those that it takes updates of, with a space between them, as ferry_dns_name has them */
    char *secondaries; /* addresses of the zones' other servers, which are read back too; likewise */
};
struct ferry_driver_config ferry_driver_config_copy(const struct ferry_driver_config *config);
void ferry_driver_config_clear(struct ferry_driver_config *config);
/* The VRF that a table belongs to, or NULL. */
const struct ferry_vrf *ferry_driver_config_vrf(const struct ferry_driver_config *config, uint32_t table);
/* Takes a copy, in place of what stood there. */
void ferry_driver_config_set_vrfs(struct ferry_driver_config *config, const struct ferry_vrf *vrfs, size_t n);
bool ferry_driver_config_equal(const struct ferry_driver_config *a, const struct ferry_driver_config *b);

/* What a plan does about a router that does not answer. */
enum ferry_policy {
    FERRY_POLICY_REQUIRED,    /* it is refused */
    FERRY_POLICY_BEST_EFFORT, /* its changes become a debt, where the rest is safe without */
    FERRY_POLICY_DEFERRED,    /* so they do in every plan: it is not touched, also where it answers */
};
const char *ferry_policy_name(enum ferry_policy policy); /* "required", "best-effort", "deferred" */

struct ferry_router {
    char *name;
    uint32_t site;
    enum ferry_policy policy;
    struct ferry_driver_config driver;
    uint32_t table; /* where routes to the subnets go on this router; default FERRY_TABLE_MAIN */
    struct ferry_interface *interfaces;
    size_t n_interfaces;
};

/* A server that takes updates of DNS zones.  In a fleet and in a plan it stands behind the routers. */
struct ferry_name_server {
    char *name; /* no router's */
    uint32_t site;
    struct ferry_driver_config driver;
};

struct ferry_end {
    uint32_t router, interface;
};

enum ferry_link_kind {
    FERRY_LINK_DIRECT,
    FERRY_LINK_VPN,        /* route-based: carries whatever is routed into it */
    FERRY_LINK_VPN_POLICY, /* carries what its traffic selectors name */
};
const char *ferry_link_kind_name(enum ferry_link_kind kind); /* "direct", "vpn", "vpn-policy" */

/* A prefix that a gateway sends into its tunnel whatever moves: what VPN gateways call a local network. */
struct ferry_local_network {
    struct ferry_prefix prefix;
    char *where; /* "FILE:LINE:COLUMN: POINTER" */
};

struct ferry_link {
    struct ferry_end a, b;
    uint32_t cost_ab, cost_ba; /* positive */
    enum ferry_link_kind kind;
    char *tunnel[2]; /* of a vpn-policy: its name at `a` and at `b` (ferry/tunnel.h) */
    struct ferry_local_network *local_networks[2]; /* likewise */
    size_t n_local_networks[2];
};

/* A place where a subnet can be attached. */
struct ferry_gateway {
    uint32_t router;
    uint32_t interface;          /* FERRY_NONE for a `via` without one */
    struct ferry_prefix address; /* connected gateway: address + length; family 0 for a routed one */
    struct ferry_addr via;       /* routed gateway: the device behind which it sits; family 0 else */
    bool rules; /* connected gateway in a table of its own: policy rules lead there while it is attached */
    bool
        isolated; /* of a test failover: nothing that comes in by its interface leaves that table, nothing else gets there */
    char make[FERRY_MAKE_LEN]; /* its interface's; "" where that is there */
};

/* Where a copy of a subnet is tried out while the subnet itself serves (docs/test-failover.md). */
struct ferry_test {
    char *name;                     /* "SUBNET.test": of the copy, in plans and reports */
    struct ferry_prefix prefix;     /* the subnet's, or a shadow of it */
    uint32_t table;                 /* nobody else's, on any router */
    struct ferry_gateway *gateways; /* isolated ones */
    size_t n_gateways;
};

struct ferry_subnet {
    char *name;
    struct ferry_prefix prefix;
    uint32_t home;  /* site */
    uint32_t table; /* routing table on every router, or 0: the router's own default */
    struct ferry_gateway *gateways;
    size_t n_gateways;
    struct ferry_addr probe; /* an address inside that answers while it is served; family 0: none is known */
    bool
        stretched; /* it lives at several sites at once: a move attaches the new one before the old one is left */
    struct ferry_test *test; /* NULL: the file says nothing of one */
    bool host_routes; /* stretched: it stays at all its sites, and its machines have routes of their own */
    /* One that the file does not list: the address of a machine in a subnet with host routes (load_hosts.c). */
    bool is_host;
    uint32_t around;  /* of a host: the subnet that it lies in */
    uint32_t machine; /* of a host: in networks->workloads */
    uint32_t nic;     /* of a host: that machine's */
};

/* `lab`: machines for `ferry lab`, which no other verb looks at. */
struct ferry_lab_host {
    char *name;
    struct ferry_prefix *addresses; /* at most one a family */
    size_t n_addresses;
    struct ferry_addr *via; /* default gateways, at most one a family */
    size_t n_via;
    struct ferry_end *at; /* one machine behind each of these LANs: the same one, at several sites */
    size_t n_at;
    uint32_t bird_as; /* not 0: it runs BIRD in this AS, a BGP neighbour of the routers on its LANs ... */
    struct ferry_prefix *bird_networks; /* ... and originates these */
    size_t n_bird_networks;
};

struct ferry_topology {
    char *name;
    char sha256[65]; /* of the file's bytes, lower-case hex */
    bool ecmp;
    struct ferry_site *sites;
    struct ferry_router *routers;
    struct ferry_link *links;
    struct ferry_subnet *subnets;
    struct ferry_lab_host *lab_hosts;
    /* What the safety rules go by (docs/rules.md). */
    unsigned rules;                              /* enum ferry_opt_in: those that are switched on */
    uint32_t budget_withdrawals, budget_percent; /* 0: no limit */
    uint32_t hold_down_s;                        /* 0: none */
    struct ferry_hooks hooks;
    struct ferry_networks *networks;       /* ferry/networks.h; NULL: the file says nothing of them */
    struct ferry_recovery_plans *recovery; /* ferry/recovery.h; likewise */
    struct ferry_name_server *name_servers;
    size_t n_sites, n_routers, n_links, n_subnets, n_lab_hosts, n_name_servers;
    struct ferry_topology_index *index; /* the model's own: makes lookups quick; may be NULL */
};

/* One finding in a file: where and what.  Loading goes on past errors where it can. */
struct ferry_finding {
    char pointer[256];     /* RFC 6901 */
    unsigned line, column; /* from 1; 0 where unknown */
    char text[512];
};

struct ferry_findings {
    struct ferry_finding *v;
    size_t n;
};
void ferry_findings_clear(struct ferry_findings *findings);

/* Loads and checks.  On failure returns -FERRY_EINPUT with the first finding in `err` as
 * "FILE:LINE:COLUMN: POINTER: text", and all of them (at most 100) in `findings` (may be NULL). */
int ferry_topology_load(const char *path, struct ferry_topology **ret, struct ferry_findings *findings,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* The same from memory; `name` stands for the file in messages. */
int ferry_topology_parse(const char *name, const char *text, size_t len, struct ferry_topology **ret,
                         struct ferry_findings *findings, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_topology_free(struct ferry_topology *t);

/* Indices by name, or FERRY_NONE. */
uint32_t ferry_topology_site(const struct ferry_topology *t, const char *name);
uint32_t ferry_topology_router(const struct ferry_topology *t, const char *name);
/* By name or by prefix text. */
uint32_t ferry_topology_subnet(const struct ferry_topology *t, const char *name_or_prefix);
/* The topology as a test failover sees it: the same sites and routers, no links, and the copies of the marked
 * subnets alone.  It borrows from `t`, and goes with ferry_topology_test_free. */
struct ferry_topology *ferry_topology_test(const struct ferry_topology *t, const bool *subnets);
void ferry_topology_test_free(struct ferry_topology *test); /* takes NULL */
/* The routing table that holds a subnet's routes on a router: the subnet's, else the router's. */
uint32_t ferry_topology_table(const struct ferry_topology *t, uint32_t router, uint32_t subnet);
/* The router (index) that alone has an address on one of its interfaces, or FERRY_NO_ROUTER (also for link-local
 * ones). */
uint32_t ferry_topology_owner(const struct ferry_topology *t, const struct ferry_addr *a);
/* The router at the other end of the link on this interface (by name), or FERRY_NO_ROUTER; with `ret_end` (may be
 * NULL) which of its interfaces. */
uint32_t ferry_topology_neighbour(const struct ferry_topology *t, uint32_t router, const char *interface,
                                  struct ferry_end *ret_end);
/* The router that a next hop of `router` leads to, whatever hop->router says, or FERRY_NO_ROUTER. */
uint32_t ferry_topology_next(const struct ferry_topology *t, uint32_t router,
                             const struct ferry_nexthop *hop);
/* The address of `to` that is the next hop from `from` over their link in a family: the first one in a
 * network that both have, their own addresses differing.  NULL: none. */
const struct ferry_addr *ferry_link_via(const struct ferry_topology *t, const struct ferry_end *from,
                                        const struct ferry_end *to, uint8_t family);

/* Shortest paths towards a set of gateway routers (multi-source Dijkstra, costs towards the gateways).
 * `ret_entries[n_routers]` gets an interned unicast entry, a FERRY_GATEWAY entry at the gateways, or NULL
 * where there is no path.  One next hop, chosen deterministically (lowest distance, then link order), or all
 * shortest ones with `ecmp`.  Next hops carry the neighbour's address of `family` on the link. Entries get
 * `metric`, `protocol` and the table of each router (`table`, or the router's where 0). */
int ferry_spf(const struct ferry_topology *t, const uint32_t *gateways, size_t n_gateways, uint8_t family,
              uint32_t table, uint32_t metric, uint8_t protocol, struct ferry_pool *pool,
              const struct ferry_entry **ret_entries, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
