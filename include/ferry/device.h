/* Interfaces that a gateway brings along: made when it is attached, taken away when it is detached.
 *
 * How one is made is a text, the same in topology, plan and driver:
 *   "vlan PARENT ID"       a VLAN subinterface (802.1Q), ID 1 to 4094
 *   "bridge [PORT …]"      a bridge with these ports
 * What Ferry makes carries the interface group FERRY_DEVICE_GROUP, from the message that creates it on: only
 * that is ever removed, and only once no address is left on it.  Policy rules that Ferry makes carry the
 * protocol FERRY_PROTOCOL.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DEVICE_H
#define FERRY_DEVICE_H

#include <ferry/topology.h>

#define FERRY_DEVICE_GROUP 210u
#define FERRY_RULE_PRIORITY                                                                                  \
    32764u /* before main (32766), and before what FRR routers get for a moment (32765) */
/* Of an isolated gateway: before all rules of others but the kernel's first (local), and one after the other. */
#define FERRY_RULE_ISOLATED 1u
#define FERRY_RULE_DROP     2u
#define FERRY_DEVICE_PORTS  8u

enum ferry_device_kind { FERRY_DEVICE_VLAN = 1, FERRY_DEVICE_BRIDGE };
struct ferry_device {
    enum ferry_device_kind kind;
    uint16_t vlan;
    /* The parent of a VLAN, the ports of a bridge: what has to be there already. */
    char below[FERRY_DEVICE_PORTS][FERRY_DEV_LEN];
    size_t n_below;
};
/* False where the text says none. */
bool ferry_device_parse(const char *text, struct ferry_device *ret);
/* "PARENT.ID" as the text of its VLAN; false where the name is none, or the parent's is not `parent`. */
bool ferry_device_of_name(const char *name, const char *parent, char ret[static FERRY_MAKE_LEN]);

/* The commands that make and unmake it, one a line, each for `ip`; appends with snprintf's counting. */
int ferry_device_lines(const char *name, const struct ferry_device *device, bool make, char *buf,
                       size_t size);
/* The two rules of a connected gateway in a table of its own: packets to the prefix, and packets of the
 * prefix from its interface.  Both name the prefix: gateways that share an interface do not share them. */
int ferry_device_rules(const struct ferry_prefix *prefix, const char *interface, uint32_t table, bool make,
                       char *buf, size_t size);
/* Those of an isolated one: packets from its interface, and the router's own from its address, are looked up
 * in the table, and what comes in by the interface and has no route there is dropped, silently: an answer
 * would go to who has that address elsewhere.  What drops is made first and unmade last. */
int ferry_device_isolation(const struct ferry_addr *address, const char *interface, uint32_t table, bool make,
                           char *buf, size_t size);
/* After its address was added, or before it goes: the address is known to the table alone, not to the one
 * that all packets are looked up in first.  IPv4. */
int ferry_device_hiding(const struct ferry_prefix *address, const char *interface, uint32_t table, bool make,
                        char *buf, size_t size);

#endif
