/* From rtnetlink's route messages to entries.
 *
 *  R1. The structured fields and `native` together say everything that `ip -d route` shows, and each thing
 *      once: an entry that is written (write.c) and read again is equal, and equal entries are the same for
 *      the kernel.
 *  R2. What follows from other things is left out: table, prefix and metric (the key), lifetimes' clocks, the
 *      device lo of IPv6's blackholes, the scope that the next hops imply, the gateway of a route that names a
 *      nexthop object (in `native` there is only the object's number; the next hops are shown for planning).
 *  R3. Legs whose order is Ferry's own (ferry_linux_leg_compare) and that have nothing special are in the
 *      fields alone.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <netinet/in.h>

static struct ferry_addr address(uint8_t family, const struct nlattr *a)
{
    struct ferry_addr addr = {.family = family};
    size_t want = family == AF_INET ? 4 : 16;
    if (a && (size_t)nla_len(a) >= want)
        memcpy(addr.bytes, nla_data(a), want);
    return addr;
}

static uint32_t number(const struct nlattr *a)
{
    uint32_t v = 0;
    if (a && nla_len(a) >= 4)
        memcpy(&v, nla_data(a), 4);
    return v;
}

int ferry_linux_leg_compare(const struct ferry_nexthop *a, const struct ferry_nexthop *b)
{
    int by = ferry_addr_compare(&a->via, &b->via);
    if (!by)
        by = strncmp(a->dev, b->dev, sizeof a->dev);
    if (!by)
        by = (int)a->weight - (int)b->weight;
    return by ? by : (int)a->onlink - (int)b->onlink;
}

static enum ferry_entry_type entry_type(uint8_t rtm_type)
{
    switch (rtm_type) {
    case RTN_UNICAST:
        return FERRY_UNICAST;
    case RTN_BLACKHOLE:
        return FERRY_BLACKHOLE;
    case RTN_PROHIBIT:
        return FERRY_PROHIBIT;
    case RTN_UNREACHABLE:
    case RTN_THROW: /* leaves the table: with nothing behind it the same; `native` tells them apart */
        return FERRY_UNREACHABLE;
    default:
        return 0;
    }
}

static struct ferry_nexthop *leg_room(struct ferry_linux_route *r)
{
    size_t n = r->entry.n_nexthops;
    if (n == r->legs_room) {
        r->legs_room = n ? n * 2 : 4;
        r->legs = ferry_realloc(r->legs, r->legs_room, sizeof *r->legs);
        r->leg_ifindex = ferry_realloc(r->leg_ifindex, r->legs_room, sizeof *r->leg_ifindex);
    }
    return &r->legs[n];
}

static void add_leg(struct ferry_linux *d, struct ferry_linux_route *r, const struct nlattr *gateway,
                    const struct nlattr *via, unsigned ifindex, unsigned flags, unsigned hops)
{
    struct ferry_nexthop *leg = leg_room(r);
    memset(leg, 0, sizeof *leg);
    leg->router = FERRY_NO_ROUTER;
    if (gateway) {
        leg->via = address(r->prefix.addr.family, gateway);
    } else if (via && (size_t)nla_len(via) >= sizeof(struct rtvia) + 4) {
        const struct rtvia *v = nla_data(via);
        size_t bytes = ferry_addr_bits((uint8_t)v->rtvia_family) / 8u;
        if (v->rtvia_family < 256 && bytes && (size_t)nla_len(via) >= sizeof *v + bytes) {
            leg->via.family = (uint8_t)v->rtvia_family;
            memcpy(leg->via.bytes, v->rtvia_addr, bytes);
        }
    }
    if (ifindex != r->name_index) {
        ferry_linux_ifname(d, ifindex, r->name);
        r->name_index = ifindex;
    }
    memcpy(leg->dev, r->name, sizeof leg->dev);
    leg->weight = (uint16_t)(hops + 1);
    leg->onlink = (flags & RTNH_F_ONLINK) != 0;
    leg->down = (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0;
    r->leg_ifindex[r->entry.n_nexthops++] = ifindex;
}

/* One leg of FERRY_LINUX_LEGS: fixed fields, then what it has of its own. */
static void pack_leg(struct ferry_linux_bytes *b, const struct ferry_nexthop *leg, struct nlattr *tb[])
{
    struct ferry_linux_bytes own = {0};
    static const int kept[] = {RTA_FLOW, RTA_ENCAP_TYPE, RTA_ENCAP};
    uint8_t fixed[FERRY_LINUX_LEG_BYTES] = {leg->via.family, leg->onlink, (uint8_t)leg->weight,
                                            (uint8_t)(leg->weight >> 8)};
    memcpy(fixed + 4, leg->via.bytes, 16);
    memcpy(fixed + 20, leg->dev, FERRY_DEV_LEN);
    ferry_linux_bytes_raw(&own, fixed, sizeof fixed);
    for (size_t i = 0; i < FERRY_COUNT(kept); i++)
        if (tb[kept[i]])
            ferry_linux_bytes_put(&own, (unsigned)kept[i], nla_data(tb[kept[i]]),
                                  (size_t)nla_len(tb[kept[i]]));
    ferry_linux_bytes_put(b, FERRY_LINUX_LEGS, own.v, own.n);
    ferry_linux_bytes_clear(&own);
}

/* The legs of RTA_MULTIPATH; into `packed` as well, and whether that must be kept (R3). */
static bool parse_legs(struct ferry_linux *d, struct ferry_linux_route *r, struct nlattr *multipath,
                       struct ferry_linux_bytes *packed)
{
    struct rtnexthop *hop = nla_data(multipath);
    int left = nla_len(multipath);
    bool special = false;
    while (left >= (int)sizeof *hop && RTNH_OK(hop, left)) {
        struct nlattr *tb[RTA_MAX + 1] = {0};
        int bytes = (int)(hop->rtnh_len - sizeof *hop);
        if (bytes > 0)
            (void)nla_parse(tb, RTA_MAX, (struct nlattr *)RTNH_DATA(hop), bytes, NULL);
        add_leg(d, r, tb[RTA_GATEWAY], tb[RTA_VIA], (unsigned)hop->rtnh_ifindex, hop->rtnh_flags,
                hop->rtnh_hops);
        uint16_t n = r->entry.n_nexthops;
        pack_leg(packed, &r->legs[n - 1], tb);
        special |= tb[RTA_FLOW] || tb[RTA_ENCAP];
        special |= n > 1 && ferry_linux_leg_compare(&r->legs[n - 2], &r->legs[n - 1]) > 0;
        left -= RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
    return special;
}

static uint8_t implied_scope(const struct ferry_linux_route *r)
{
    const struct ferry_entry *e = &r->entry;
    if (r->prefix.addr.family != AF_INET || r->nhid || e->type != FERRY_UNICAST)
        return RT_SCOPE_UNIVERSE;
    for (uint16_t i = 0; i < e->n_nexthops; i++)
        if (r->legs[i].via.family)
            return RT_SCOPE_UNIVERSE;
    return RT_SCOPE_LINK;
}

static void pack_u8(struct ferry_linux_bytes *b, unsigned tag, uint8_t v)
{
    ferry_linux_bytes_put(b, tag, &v, 1);
}

/* The source in a connected route is the address that the route follows from.  Nobody restores such a route
 * by itself (apply.c refuses that), so it is not told. */
static bool connected_source(const struct ferry_linux_route *r)
{
    return r->entry.protocol == RTPROT_KERNEL && r->entry.n_nexthops == 1 && !r->legs[0].via.family &&
           ferry_prefix_contains(&r->prefix, &r->prefsrc);
}

/* Everything beside the fields (R1, R2), ascending by tag. */
static void pack_native(struct ferry_linux_route *r, const struct rtmsg *rtm, struct nlattr *tb[],
                        const struct ferry_linux_bytes *legs)
{
    struct ferry_linux_bytes *b = &r->native;
    static const int kept[] = {RTA_SRC,        RTA_PREFSRC, RTA_METRICS,       RTA_FLOW, RTA_PREF,
                               RTA_ENCAP_TYPE, RTA_ENCAP,   RTA_TTL_PROPAGATE, RTA_NH_ID};
    const struct rta_cacheinfo *cache = tb[RTA_CACHEINFO] ? nla_data(tb[RTA_CACHEINFO]) : NULL;
    for (size_t i = 0; i < FERRY_COUNT(kept); i++) {
        const struct nlattr *a = tb[kept[i]];
        if (!a || (kept[i] == RTA_PREF && *(uint8_t *)nla_data(a) == 0)) /* ICMPV6_ROUTER_PREF_MEDIUM */
            continue;
        if (kept[i] == RTA_PREFSRC && connected_source(r))
            continue;
        if (r->nhid &&
            (kept[i] == RTA_ENCAP || kept[i] == RTA_ENCAP_TYPE || kept[i] == RTA_FLOW)) /* the object's */
            continue;
        ferry_linux_bytes_put(b, (unsigned)kept[i], nla_data(a), (size_t)nla_len(a));
    }
    if (rtm->rtm_tos)
        pack_u8(b, FERRY_LINUX_TOS, rtm->rtm_tos);
    if (rtm->rtm_scope != implied_scope(r))
        pack_u8(b, FERRY_LINUX_SCOPE, rtm->rtm_scope);
    if (rtm->rtm_type == RTN_THROW)
        pack_u8(b, FERRY_LINUX_TYPE, rtm->rtm_type);
    if (rtm->rtm_flags & RTNH_F_PERVASIVE) {
        uint32_t flags = RTNH_F_PERVASIVE;
        ferry_linux_bytes_put(b, FERRY_LINUX_FLAGS, &flags, sizeof flags);
    }
    if (rtm->rtm_src_len)
        pack_u8(b, FERRY_LINUX_SRC_LEN, rtm->rtm_src_len);
    if (cache && cache->rta_expires)
        ferry_linux_bytes_put(b, FERRY_LINUX_EXPIRES, NULL, 0);
    if (legs)
        ferry_linux_bytes_raw(b, legs->v, legs->n);
}

static void sort_legs(struct ferry_linux_route *r)
{
    for (uint16_t i = 1; i < r->entry.n_nexthops; i++)
        for (uint16_t j = i; j > 0 && ferry_linux_leg_compare(&r->legs[j - 1], &r->legs[j]) > 0; j--) {
            struct ferry_nexthop leg = r->legs[j];
            unsigned index = r->leg_ifindex[j];
            r->legs[j] = r->legs[j - 1];
            r->leg_ifindex[j] = r->leg_ifindex[j - 1];
            r->legs[j - 1] = leg;
            r->leg_ifindex[j - 1] = index;
        }
}

static bool parse_key(const struct rtmsg *rtm, struct nlattr *tb[], struct ferry_linux_route *ret)
{
    uint32_t table = tb[RTA_TABLE] ? number(tb[RTA_TABLE]) : rtm->rtm_table;
    if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
        return false;
    if ((rtm->rtm_flags & RTM_F_CLONED) || table == RT_TABLE_LOCAL || !entry_type(rtm->rtm_type))
        return false;
    memset(&ret->prefix, 0, sizeof ret->prefix);
    memset(&ret->entry, 0, sizeof ret->entry);
    ret->prefix.addr = address(rtm->rtm_family, tb[RTA_DST]);
    ret->prefix.len = rtm->rtm_dst_len;
    if (ret->prefix.len > ferry_addr_bits(rtm->rtm_family) || ferry_prefix_has_host_bits(&ret->prefix))
        return false; /* no kernel holds such a route */
    ret->entry.type = entry_type(rtm->rtm_type);
    ret->entry.table = table;
    ret->entry.metric = number(tb[RTA_PRIORITY]);
    ret->entry.protocol = rtm->rtm_protocol;
    ret->nhid = number(tb[RTA_NH_ID]);
    ret->native.n = 0;
    ret->prefsrc = tb[RTA_PREFSRC] ? address(rtm->rtm_family, tb[RTA_PREFSRC]) : (struct ferry_addr){0};
    return true;
}

bool ferry_linux_route_parse(struct ferry_linux *d, const struct nlmsghdr *message,
                             struct ferry_linux_route *ret)
{
    const struct rtmsg *rtm = NLMSG_DATA(message);
    struct nlattr *tb[RTA_MAX + 1] = {0};
    struct ferry_linux_bytes legs = {0};
    bool special = false;
    if (message->nlmsg_type != RTM_NEWROUTE ||
        nlmsg_parse((struct nlmsghdr *)message, sizeof *rtm, tb, RTA_MAX, NULL) < 0 ||
        !parse_key(rtm, tb, ret))
        return false;
    if (ret->entry.type == FERRY_UNICAST) {
        if (tb[RTA_MULTIPATH])
            special = parse_legs(d, ret, tb[RTA_MULTIPATH], &legs);
        else if (tb[RTA_OIF] || tb[RTA_GATEWAY] || tb[RTA_VIA])
            add_leg(d, ret, tb[RTA_GATEWAY], tb[RTA_VIA], number(tb[RTA_OIF]), rtm->rtm_flags, 0);
    }
    ret->first_ifindex = ret->entry.n_nexthops ? ret->leg_ifindex[0] : 0;
    pack_native(ret, rtm, tb, special && !ret->nhid ? &legs : NULL);
    ferry_linux_bytes_clear(&legs);
    sort_legs(ret);
    ret->entry.nexthops = ret->entry.n_nexthops ? ret->legs : NULL;
    ret->entry.native = ret->native.n ? ret->native.v : NULL;
    ret->entry.native_len = (uint32_t)ret->native.n;
    return true;
}

void ferry_linux_route_clear(struct ferry_linux_route *r)
{
    free(r->legs);
    free(r->leg_ifindex);
    ferry_linux_bytes_clear(&r->native);
    memset(r, 0, sizeof *r);
}
