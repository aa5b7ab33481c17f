/* What one router holds for one prefix under one key, and the pool that interns such values.
 *
 * An entry never names its prefix: ten thousand subnets that share their trees share their entries.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_ENTRY_H
#define FERRY_ENTRY_H

#include <ferry/addr.h>
#include <stddef.h>

#define FERRY_PROTOCOL     210u /* rtm_protocol of every route that Ferry makes; see contract */
#define FERRY_TABLE_MAIN   254u /* RT_TABLE_MAIN, linux/rtnetlink.h */
#define FERRY_METRIC_ROUTE 20u  /* a route that Ferry adds where there was none */
#define FERRY_METRIC_DROP                                                                                    \
    2100u /* a blackhole laid under it: worse than IPv6's 256 (connected) and 1024 (static) */
/* On FRR, where `metric` is the administrative distance, 1 to 254 (255 is never used). */
#define FERRY_DISTANCE_ROUTE 1u
#define FERRY_DISTANCE_DROP  254u
/* What a routing protocol's own route is reported as, whatever its distance, as long as the order of the
 * stack stays right. */
#define FERRY_DISTANCE_BGP  20u
#define FERRY_DISTANCE_OSPF 110u
#define FERRY_NO_ROUTER     UINT32_MAX
#define FERRY_DEV_LEN       16 /* IFNAMSIZ */

enum ferry_entry_type {
    FERRY_GATEWAY = 1, /* the subnet is attached here; wins over every route */
    FERRY_UNICAST,
    FERRY_BLACKHOLE,
    FERRY_UNREACHABLE,
    FERRY_PROHIBIT,
    /* The router originates the prefix in `protocol` (RTPROT_BGP or RTPROT_OSPF).  Forwards nothing: last in
     * every stack, of metric and table 0.  `native`: how, where it is not the plain way of its driver config. */
    FERRY_ANNOUNCEMENT,
    /* A record set of a name server (ferry/dns.h): `metric` is its type's number, `native` what it says.  Forwards
     * nothing, and stands in no stack with anything else. */
    FERRY_DNS,
    /* A policy-based VPN tunnel of the router carries the prefix: in `native` the tunnel (ferry/tunnel.h), in
     * `protocol` the side (FERRY_SIDE_LOCAL, FERRY_SIDE_REMOTE), in `metric` the key that follows from both;
     * table 0.  Forwards nothing: in every stack after the routes, before an announcement. */
    FERRY_TRAFFIC_SELECTOR,
};

struct ferry_nexthop {
    uint32_t router;         /* index of the neighbour that owns `via`; FERRY_NO_ROUTER: none that we know */
    struct ferry_addr via;   /* family 0: directly on the device */
    char dev[FERRY_DEV_LEN]; /* "" where unknown */
    uint16_t weight;         /* 1..256 (rtnh_hops + 1) */
    bool onlink;             /* RTNH_F_ONLINK */
    bool down;               /* RTNH_F_LINKDOWN or DEAD when read; never part of equality */
};

/* The key of an entry on its router is (table, prefix, metric); of a gateway (prefix). */
struct ferry_entry {
    enum ferry_entry_type type;
    uint32_t table;   /* 0 for a gateway */
    uint32_t metric;  /* lowest wins; 0 for a gateway */
    uint8_t protocol; /* rtm_protocol; 0 for a gateway */
    uint16_t n_nexthops;
    const struct ferry_nexthop *nexthops; /* sorted by ferry_nexthop_compare; unicast only */
    /* What the fields above cannot say, in the driver's own encoding, without the prefix: whatever is
     * needed to put a foreign route or address back exactly.  Length 0: the fields say it all. */
    uint32_t native_len; /* bytes */
    const uint8_t *native;
};

enum ferry_cmp {
    FERRY_CMP_EXACT,      /* every attribute, native included */
    FERRY_CMP_FORWARDING, /* where packets go: type, next hops with weights; not metric, protocol, native */
};

int ferry_nexthop_compare(const struct ferry_nexthop *a, const struct ferry_nexthop *b);
/* NULL equals NULL alone. */
bool ferry_entry_equal(const struct ferry_entry *a, const struct ferry_entry *b, enum ferry_cmp how);
/* One line as `ip route` would say it, without the prefix: "unicast via 10.0.0.1 dev eth0 metric 20
 * protocol static".  NULL: "nothing".  Returns buf. */
const char *ferry_entry_text(const struct ferry_entry *e, char *buf, size_t size);
const char *ferry_entry_type_name(enum ferry_entry_type type);
/* Whether a routing protocol (RTPROT_BGP, RTPROT_OSPF) made this route and will change it by itself: nobody
 * writes it, and where something better lies above it, nobody compares it.  False for NULL. */
bool ferry_entry_dynamic(const struct ferry_entry *e);
/* Whether packets could be forwarded by it: neither an announcement nor a record set nor a traffic selector. */
bool ferry_entry_forwards(const struct ferry_entry *e);
/* 0 where the name is unknown. */
enum ferry_entry_type ferry_entry_type_parse(const char *name);
/* "static", "kernel", "ferry", … or the number; rt_protos of linux/rtnetlink.h.  Returns buf. */
const char *ferry_protocol_name(uint8_t protocol, char buf[static 16]);
/* Names and numbers 0..255.  -FERRY_EINPUT. */
int ferry_protocol_parse(const char *text, uint8_t *ret, struct ferry_err *err) FERRY_MUST_CHECK;

/* All entries of one router for one prefix, best first: a gateway, then routes by ascending metric, then
 * traffic selectors, then an announcement.  Never empty: nothing is NULL. */
struct ferry_stack {
    uint32_t n;
    const struct ferry_entry *entries[];
};
/* The entry that forwards; NULL for NULL, and where nothing in it forwards. */
const struct ferry_entry *ferry_stack_best(const struct ferry_stack *stack);

/* Interns entries and stacks: equal values are the same pointer, valid until the pool is freed.
 * Not safe for use by several threads at once. */
struct ferry_pool;
struct ferry_pool *ferry_pool_new(void);
void ferry_pool_free(struct ferry_pool *pool);
/* Copies; sorts the next hops; clears `down` in the interned copy. */
const struct ferry_entry *ferry_pool_entry(struct ferry_pool *pool, const struct ferry_entry *e);
/* `entries` are interned already; sorts them; NULL for n == 0. */
const struct ferry_stack *ferry_pool_stack(struct ferry_pool *pool, const struct ferry_entry *const *entries,
                                           uint32_t n);
/* How many distinct entries and stacks it holds. */
size_t ferry_pool_count(const struct ferry_pool *pool);

#endif
