/* From entries to rtnetlink's route messages.  The rules are those of route.c.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

/* A message that grows in the caller's buffer of FERRY_LINUX_MESSAGE_MAX. */
struct writer {
    uint8_t *at;
    size_t n;
    bool full;
};

static void *put_attribute(struct writer *w, unsigned type, const void *v, size_t len)
{
    size_t padded = NLA_HDRLEN + NLA_ALIGN(len);
    if (w->n + padded > FERRY_LINUX_MESSAGE_MAX) {
        w->full = true;
        return NULL;
    }
    struct nlattr *a = (struct nlattr *)(w->at + w->n);
    memset(a, 0, padded);
    a->nla_type = (uint16_t)(type == RTA_ENCAP || type == RTA_METRICS ? type | NLA_F_NESTED : type);
    a->nla_len = (uint16_t)(NLA_HDRLEN + len);
    if (len && v)
        memcpy(nla_data(a), v, len);
    w->n += padded;
    return a;
}

static size_t address_bytes(uint8_t family)
{
    return family == AF_INET ? 4 : 16;
}

static void put_via(struct writer *w, uint8_t route_family, const struct ferry_addr *via)
{
    uint8_t bytes[2 + 16];
    uint16_t family = via->family;
    if (!via->family)
        return;
    if (via->family == route_family) {
        put_attribute(w, RTA_GATEWAY, via->bytes, address_bytes(via->family));
        return;
    }
    memcpy(bytes, &family, sizeof family);
    memcpy(bytes + 2, via->bytes, 16);
    put_attribute(w, RTA_VIA, bytes, 2 + address_bytes(via->family));
}

static int find_device(struct ferry_linux *d, const struct ferry_nexthop *leg, unsigned *ret,
                       struct ferry_err *err)
{
    *ret = 0;
    if (!leg->dev[0])
        return 0;
    *ret = ferry_linux_ifindex(d, leg->dev);
    return *ret ? 0 : ferry_refuse(err, "no-interface", "there is no interface %s", leg->dev);
}

/* A leg inside RTA_MULTIPATH, with what it has of its own. */
static int put_leg(struct ferry_linux *d, struct writer *w, uint8_t family, const struct ferry_nexthop *leg,
                   const uint8_t *own, size_t own_n, struct ferry_err *err)
{
    struct ferry_linux_record record;
    unsigned ifindex;
    size_t start = w->n, at = 0;
    int result = find_device(d, leg, &ifindex, err);
    if (result < 0)
        return result;
    if (w->n + sizeof(struct rtnexthop) > FERRY_LINUX_MESSAGE_MAX) {
        w->full = true;
        return 0;
    }
    struct rtnexthop *hop = (struct rtnexthop *)(w->at + start);
    w->n += sizeof *hop;
    put_via(w, family, &leg->via);
    while (own && ferry_linux_bytes_next(own, own_n, &at, &record))
        put_attribute(w, record.tag, record.v, record.len);
    memset(hop, 0, sizeof *hop);
    hop->rtnh_len = (uint16_t)(w->n - start);
    hop->rtnh_flags = leg->onlink ? RTNH_F_ONLINK : 0;
    hop->rtnh_hops = (uint8_t)(leg->weight ? leg->weight - 1 : 0);
    hop->rtnh_ifindex = (int)ifindex;
    return 0;
}

bool ferry_linux_leg_unpack(const struct ferry_linux_record *record, struct ferry_nexthop *ret)
{
    memset(ret, 0, sizeof *ret);
    if (record->len < FERRY_LINUX_LEG_BYTES)
        return false;
    ret->router = FERRY_NO_ROUTER;
    ret->via.family = record->v[0];
    ret->onlink = record->v[1];
    ret->weight = (uint16_t)(record->v[2] | record->v[3] << 8);
    memcpy(ret->via.bytes, record->v + 4, 16);
    memcpy(ret->dev, record->v + 20, FERRY_DEV_LEN);
    ret->dev[FERRY_DEV_LEN - 1] = '\0';
    return true;
}

static int put_packed_legs(struct ferry_linux *d, struct writer *w, uint8_t family,
                           const struct ferry_entry *e, struct ferry_err *err)
{
    struct ferry_linux_record r;
    for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r);) {
        struct ferry_nexthop leg;
        if (r.tag != FERRY_LINUX_LEGS || !ferry_linux_leg_unpack(&r, &leg))
            continue;
        int result =
            put_leg(d, w, family, &leg, r.v + FERRY_LINUX_LEG_BYTES, r.len - FERRY_LINUX_LEG_BYTES, err);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Legs in Ferry's order (R3); the entry's own may be another one. */
static int put_sorted_legs(struct ferry_linux *d, struct writer *w, uint8_t family,
                           const struct ferry_entry *e, struct ferry_err *err)
{
    const struct ferry_nexthop *last = NULL;
    for (unsigned put = 0; put < e->n_nexthops;) {
        const struct ferry_nexthop *next = NULL;
        unsigned same = 0;
        for (uint16_t i = 0; i < e->n_nexthops; i++) {
            const struct ferry_nexthop *leg = &e->nexthops[i];
            if (last && ferry_linux_leg_compare(leg, last) <= 0)
                continue;
            int by = next ? ferry_linux_leg_compare(leg, next) : -1;
            same = by < 0 ? 1 : by == 0 ? same + 1 : same;
            next = by < 0 ? leg : next;
        }
        for (put += same; same && next; same--) {
            int result = put_leg(d, w, family, next, NULL, 0, err);
            if (result < 0)
                return result;
        }
        last = next;
    }
    return 0;
}

static int put_nexthops(struct ferry_linux *d, struct writer *w, struct rtmsg *rtm,
                        const struct ferry_entry *e, struct ferry_err *err)
{
    struct ferry_linux_record r;
    if (e->type != FERRY_UNICAST || ferry_linux_bytes_find(e->native, e->native_len, RTA_NH_ID, &r))
        return 0; /* a route that names a nexthop object must not name a gateway as well */
    bool packed = ferry_linux_bytes_find(e->native, e->native_len, FERRY_LINUX_LEGS, &r);
    if (e->n_nexthops > 1 || packed) {
        struct nlattr *nest = put_attribute(w, RTA_MULTIPATH, NULL, 0);
        if (!nest)
            return 0;
        int result = packed ? put_packed_legs(d, w, rtm->rtm_family, e, err)
                            : put_sorted_legs(d, w, rtm->rtm_family, e, err);
        nest->nla_len = (uint16_t)(w->at + w->n - (uint8_t *)nest);
        return result;
    }
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *leg = &e->nexthops[i];
        unsigned ifindex;
        int result = find_device(d, leg, &ifindex, err);
        if (result < 0)
            return result;
        put_via(w, rtm->rtm_family, &leg->via);
        if (ifindex)
            put_attribute(w, RTA_OIF, &ifindex, sizeof ifindex);
        if (leg->onlink)
            rtm->rtm_flags |= RTNH_F_ONLINK;
    }
    return 0;
}

static uint8_t kernel_type(enum ferry_entry_type type)
{
    switch (type) {
    case FERRY_BLACKHOLE:
        return RTN_BLACKHOLE;
    case FERRY_UNREACHABLE:
        return RTN_UNREACHABLE;
    case FERRY_PROHIBIT:
        return RTN_PROHIBIT;
    case FERRY_GATEWAY:
    case FERRY_ANNOUNCEMENT: /* never asked */
    case FERRY_DNS:
    case FERRY_TRAFFIC_SELECTOR:
    case FERRY_UNICAST:
        break;
    }
    return RTN_UNICAST;
}

static uint8_t implied_scope(uint8_t family, const struct ferry_entry *e)
{
    struct ferry_linux_record r;
    if (family != AF_INET || e->type != FERRY_UNICAST ||
        ferry_linux_bytes_find(e->native, e->native_len, RTA_NH_ID, &r))
        return RT_SCOPE_UNIVERSE;
    for (uint16_t i = 0; i < e->n_nexthops; i++)
        if (e->nexthops[i].via.family)
            return RT_SCOPE_UNIVERSE;
    return RT_SCOPE_LINK;
}

static int put_native(struct writer *w, struct rtmsg *rtm, const struct ferry_entry *e, struct ferry_err *err)
{
    struct ferry_linux_record r;
    uint32_t flags;
    size_t at = 0;
    while (ferry_linux_bytes_next(e->native, e->native_len, &at, &r)) {
        if (r.tag == FERRY_LINUX_EXPIRES)
            return ferry_refuse(err, "lifetime",
                                "the route has a lifetime: it could not be put back as it was");
        if (r.tag < 0x100)
            put_attribute(w, r.tag, r.v, r.len);
        else if (r.tag == FERRY_LINUX_TOS && r.len == 1)
            rtm->rtm_tos = *r.v;
        else if (r.tag == FERRY_LINUX_SCOPE && r.len == 1)
            rtm->rtm_scope = *r.v;
        else if (r.tag == FERRY_LINUX_TYPE && r.len == 1)
            rtm->rtm_type = *r.v;
        else if (r.tag == FERRY_LINUX_SRC_LEN && r.len == 1)
            rtm->rtm_src_len = *r.v;
        else if (r.tag == FERRY_LINUX_FLAGS && r.len == sizeof flags)
            rtm->rtm_flags |= *(const uint32_t *)memcpy(&flags, r.v, sizeof flags);
        else if (r.tag != FERRY_LINUX_LEGS)
            return ferry_refuse(err, "native",
                                "the route has an attribute that this driver does not know (%u)", r.tag);
    }
    if (at != e->native_len)
        return ferry_refuse(err, "native", "the route's native bytes are broken");
    return 0;
}

int ferry_linux_route_write(struct ferry_linux *d, uint8_t *at, uint16_t type, uint16_t flags,
                            const struct ferry_prefix *prefix, const struct ferry_entry *entry,
                            struct ferry_err *err)
{
    struct writer w = {.at = at, .n = NLMSG_LENGTH(sizeof(struct rtmsg))};
    struct nlmsghdr *h = (struct nlmsghdr *)at;
    if (d->means && d->means->writable(entry, err) < 0)
        return -FERRY_EREFUSED;
    memset(at, 0, w.n);
    struct rtmsg *rtm = NLMSG_DATA(h);
    h->nlmsg_type = type;
    h->nlmsg_flags = flags;
    rtm->rtm_family = prefix->addr.family;
    rtm->rtm_dst_len = prefix->len;
    rtm->rtm_table = (uint8_t)(entry->table < 256 ? entry->table : RT_TABLE_UNSPEC);
    rtm->rtm_protocol = entry->protocol;
    rtm->rtm_type = kernel_type(entry->type);
    rtm->rtm_scope = implied_scope(prefix->addr.family, entry);
    /* The destination stands first, at a fixed place: batches patch it. */
    put_attribute(&w, RTA_DST, prefix->addr.bytes, address_bytes(prefix->addr.family));
    put_attribute(&w, RTA_TABLE, &entry->table, sizeof entry->table);
    if (entry->metric)
        put_attribute(&w, RTA_PRIORITY, &entry->metric, sizeof entry->metric);
    int result = put_nexthops(d, &w, rtm, entry, err);
    if (!result)
        result = put_native(&w, rtm, entry, err);
    if (!result && w.full)
        result = ferry_refuse(err, "native", "the route is too large for one message");
    h->nlmsg_len = (uint32_t)w.n;
    return result < 0 ? result : (int)w.n;
}

int ferry_linux_route_writable(struct ferry_linux *d, const struct ferry_prefix *prefix,
                               const struct ferry_entry *entry, struct ferry_err *err)
{
    uint8_t scratch[FERRY_LINUX_MESSAGE_MAX];
    if (!entry->native_len && !d->means) /* the kernel takes every name */
        return 0;
    int bytes = ferry_linux_route_write(d, scratch, RTM_NEWROUTE, 0, prefix, entry, err);
    return bytes < 0 ? bytes : 0;
}

bool ferry_linux_same_key(const struct ferry_entry *a, const struct ferry_entry *b)
{
    static const unsigned keys[] = {FERRY_LINUX_TOS, FERRY_LINUX_SRC_LEN, RTA_SRC};
    for (size_t i = 0; i < FERRY_COUNT(keys); i++) {
        struct ferry_linux_record x = {0}, y = {0};
        bool in_a = ferry_linux_bytes_find(a->native, a->native_len, keys[i], &x);
        bool in_b = ferry_linux_bytes_find(b->native, b->native_len, keys[i], &y);
        if (in_a != in_b || (in_a && (x.len != y.len || memcmp(x.v, y.v, x.len))))
            return false;
    }
    return a->table == b->table && a->metric == b->metric;
}
