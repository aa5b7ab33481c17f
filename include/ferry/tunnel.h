/* Tunnels of policy-based VPNs, and which prefixes they carry.
 *
 * A tunnel is a text, the same in topology, plan and driver, that names it on one router:
 *   "wireguard INTERFACE PUBLIC-KEY-OF-THE-OTHER-END"   its entries are the peer's allowed-ips: remote ones alone
 *   "strongswan CONNECTION CHILD"                       its entries are remote_ts and local_ts of swanctl.conf
 * The side "remote" is what the router sends into the tunnel: what VPN gateways call a local network, after
 * the people at the other end.  "local" is what it takes as its own side.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TUNNEL_H
#define FERRY_TUNNEL_H

#include <ferry/entry.h>

#define FERRY_SIDE_LOCAL  0u
#define FERRY_SIDE_REMOTE 1u
#define FERRY_TUNNEL_MAX  160u /* two names of 63, the kind, blanks */

const char *ferry_side_name(uint8_t side); /* "local", "remote" */

enum ferry_tunnel_type { FERRY_WIREGUARD = 1, FERRY_STRONGSWAN };
/* The two words after the type; point into the text that was parsed. */
struct ferry_tunnel {
    enum ferry_tunnel_type type;
    char first[64];  /* interface; connection */
    char second[64]; /* public key; child */
};
/* False where the text is no tunnel.  What it lets through needs no quoting in a shell. */
bool ferry_tunnel_parse(const char *text, size_t len, struct ferry_tunnel *ret);
/* The words of a tunnel are good ones: an interface and 32 bytes in base64; two names. */
bool ferry_tunnel_words_ok(enum ferry_tunnel_type type, const char *first, const char *second);

/* The key of a selector: FNV-1a of the text; the last bit is the side. */
uint32_t ferry_selector_key(const char *text, size_t len, uint8_t side);
/* The interned entry: this tunnel carries the prefix, on this side. */
const struct ferry_entry *ferry_selector_entry(struct ferry_pool *pool, const char *tunnel, uint8_t side);

/* The commands of a change of a selector, as a driver's `native` gives them. */
struct ferry_op;
int ferry_selector_native(const struct ferry_op *op, char *buf, size_t size);

#endif
