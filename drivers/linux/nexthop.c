/* Nexthop objects: what a route that names one forwards to.
 *
 * With net.ipv4.nexthop_compat_mode=0 the kernel's route messages name the object alone; its legs are asked
 * for here, for planning.  They are no part of the route's identity: the object's number is.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <linux/nexthop.h>

struct object {
    struct ferry_linux *d;
    bool blackhole, set;
    struct ferry_nexthop leg;
    struct nexthop_grp group[64];
    unsigned n_group;
};

static void hear(void *ctx, struct nlmsghdr *h)
{
    struct object *o = ctx;
    const struct nhmsg *nh = NLMSG_DATA(h);
    struct nlattr *tb[NHA_MAX + 1] = {0};
    struct nla_policy policy[NHA_MAX + 1] = {[NHA_OIF] = {.minlen = 4}};
    if (h->nlmsg_type != RTM_NEWNEXTHOP || nlmsg_parse(h, sizeof *nh, tb, NHA_MAX, policy) < 0)
        return;
    o->set = true;
    o->blackhole = tb[NHA_BLACKHOLE] != NULL;
    o->leg.router = FERRY_NO_ROUTER;
    o->leg.weight = 1;
    o->leg.onlink = (nh->nh_flags & RTNH_F_ONLINK) != 0;
    o->leg.down = (nh->nh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0;
    size_t bytes = ferry_addr_bits(nh->nh_family) / 8u;
    if (tb[NHA_GATEWAY] && bytes && (size_t)nla_len(tb[NHA_GATEWAY]) >= bytes) {
        o->leg.via.family = nh->nh_family;
        memcpy(o->leg.via.bytes, nla_data(tb[NHA_GATEWAY]), bytes);
    }
    if (tb[NHA_OIF])
        ferry_linux_ifname(o->d, nla_get_u32(tb[NHA_OIF]), o->leg.dev);
    if (tb[NHA_GROUP]) {
        o->n_group = (unsigned)nla_len(tb[NHA_GROUP]) / sizeof *o->group;
        if (o->n_group > FERRY_COUNT(o->group))
            o->n_group = FERRY_COUNT(o->group);
        memcpy(o->group, nla_data(tb[NHA_GROUP]), o->n_group * sizeof *o->group);
    }
}

static bool ask(struct ferry_linux *d, uint32_t id, struct object *ret)
{
    struct {
        struct nlmsghdr h;
        struct nhmsg nh;
        struct rtattr attribute;
        uint32_t id;
    } request = {.h = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETNEXTHOP},
                 .attribute = {.rta_len = RTA_LENGTH(sizeof id), .rta_type = NHA_ID},
                 .id = id};
    struct ferry_err ignored;
    memset(ret, 0, sizeof *ret);
    ret->d = d;
    return !ferry_linux_ask(d, &request.h, hear, ret, &ignored) && ret->set;
}

struct ferry_nexthop *ferry_linux_entry_resolve(struct ferry_linux *d, struct ferry_entry *entry)
{
    struct ferry_linux_record r;
    struct object object;
    uint32_t id;
    if (entry->type != FERRY_UNICAST || entry->n_nexthops ||
        !ferry_linux_bytes_find(entry->native, entry->native_len, RTA_NH_ID, &r) || r.len != sizeof id)
        return NULL;
    memcpy(&id, r.v, sizeof id);
    if (!ask(d, id, &object))
        return NULL;
    unsigned n = object.n_group ? object.n_group : 1, legs = 0;
    struct ferry_nexthop *v = ferry_calloc(n, sizeof *v);
    if (!object.n_group)
        v[legs++] = object.leg;
    for (unsigned i = 0; i < object.n_group; i++) {
        struct object member;
        if (!ask(d, object.group[i].id, &member))
            continue;
        v[legs] = member.leg;
        v[legs++].weight = (uint16_t)(object.group[i].weight + 1);
    }
    for (unsigned i = 1; i < legs; i++)
        for (unsigned j = i; j > 0 && ferry_linux_leg_compare(&v[j - 1], &v[j]) > 0; j--) {
            struct ferry_nexthop leg = v[j];
            v[j] = v[j - 1];
            v[j - 1] = leg;
        }
    entry->nexthops = v;
    entry->n_nexthops = (uint16_t)legs;
    return v;
}
