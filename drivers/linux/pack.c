/* A whole route as bytes: how a gateway's snapshot holds the routes that belong to it or lean on it.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

struct packed_route {
    uint8_t family, len, type, protocol;
    uint32_t table, metric;
    uint8_t bytes[16];
    uint16_t n_legs, zero;
};

struct packed_leg {
    uint8_t family, onlink;
    uint16_t weight;
    uint8_t bytes[16];
    char dev[FERRY_DEV_LEN];
};

void ferry_linux_route_pack(struct ferry_linux_bytes *b, unsigned tag, const struct ferry_prefix *prefix,
                            const struct ferry_entry *entry)
{
    struct ferry_linux_bytes all = {0};
    struct packed_route p = {.family = prefix->addr.family,
                             .len = prefix->len,
                             .type = (uint8_t)entry->type,
                             .protocol = entry->protocol,
                             .table = entry->table,
                             .metric = entry->metric,
                             .n_legs = entry->n_nexthops};
    memcpy(p.bytes, prefix->addr.bytes, 16);
    ferry_linux_bytes_raw(&all, &p, sizeof p);
    for (uint16_t i = 0; i < entry->n_nexthops; i++) {
        const struct ferry_nexthop *n = &entry->nexthops[i];
        struct packed_leg leg = {.family = n->via.family, .onlink = n->onlink, .weight = n->weight};
        memcpy(leg.bytes, n->via.bytes, 16);
        memcpy(leg.dev, n->dev, sizeof leg.dev);
        ferry_linux_bytes_raw(&all, &leg, sizeof leg);
    }
    ferry_linux_bytes_raw(&all, entry->native, entry->native_len);
    ferry_linux_bytes_put(b, tag, all.v, all.n);
    ferry_linux_bytes_clear(&all);
}

int ferry_linux_route_unpack(const struct ferry_linux_record *record, struct ferry_linux_route *ret)
{
    struct packed_route p;
    struct ferry_linux_record source;
    if (record->len < sizeof p)
        return -1;
    memcpy(&p, record->v, sizeof p);
    size_t legs = p.n_legs * sizeof(struct packed_leg);
    bool sound = record->len >= sizeof p + legs && p.len <= ferry_addr_bits(p.family) &&
                 p.type > FERRY_GATEWAY && p.type < FERRY_ANNOUNCEMENT;
    if (!sound)
        return -1;
    ferry_linux_route_clear(ret);
    ret->prefix.addr.family = p.family;
    ret->prefix.len = p.len;
    memcpy(ret->prefix.addr.bytes, p.bytes, 16);
    ret->legs_room = p.n_legs;
    ret->legs = ferry_calloc(p.n_legs + 1u, sizeof *ret->legs);
    for (uint16_t i = 0; i < p.n_legs; i++) {
        struct packed_leg leg;
        memcpy(&leg, record->v + sizeof p + i * sizeof leg, sizeof leg);
        struct ferry_nexthop *n = &ret->legs[i];
        n->router = FERRY_NO_ROUTER;
        n->via.family = leg.family;
        n->onlink = leg.onlink;
        n->weight = leg.weight;
        memcpy(n->via.bytes, leg.bytes, 16);
        memcpy(n->dev, leg.dev, sizeof n->dev);
        sound &= ferry_linux_name_sound(n->dev, sizeof n->dev);
        n->dev[FERRY_DEV_LEN - 1] = '\0';
    }
    ferry_linux_bytes_raw(&ret->native, record->v + sizeof p + legs, record->len - sizeof p - legs);
    ret->entry = (struct ferry_entry){.type = p.type,
                                      .table = p.table,
                                      .metric = p.metric,
                                      .protocol = p.protocol,
                                      .n_nexthops = p.n_legs,
                                      .nexthops = p.n_legs ? ret->legs : NULL,
                                      .native = ret->native.n ? ret->native.v : NULL,
                                      .native_len = (uint32_t)ret->native.n};
    if (ferry_linux_bytes_find(ret->entry.native, ret->entry.native_len, RTA_PREFSRC, &source) &&
        source.len == (p.family == AF_INET ? 4 : 16)) {
        ret->prefsrc.family = p.family;
        memcpy(ret->prefsrc.bytes, source.v, source.len);
    }
    return sound ? 0 : -1;
}

void ferry_linux_route_drop(struct ferry_linux_route *r, unsigned tag)
{
    struct ferry_linux_bytes out = {0};
    struct ferry_linux_record record;
    for (size_t at = 0; ferry_linux_bytes_next(r->native.v, r->native.n, &at, &record);)
        if (record.tag != tag)
            ferry_linux_bytes_put(&out, record.tag, record.v, record.len);
    ferry_linux_bytes_clear(&r->native);
    r->native = out;
    r->entry.native = out.n ? out.v : NULL;
    r->entry.native_len = (uint32_t)out.n;
}
