/* Interface addresses: messages, and their packed form in gateways' snapshots.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

/* States of an address that come and go by themselves; IFA_F_PERMANENT follows from the lifetimes. */
#define STATE_FLAGS                                                                                          \
    (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_OPTIMISTIC | IFA_F_SECONDARY | IFA_F_PERMANENT |              \
     IFA_F_DEPRECATED)
#define FOREVER 0xffffffffu

static struct ferry_addr get_address(uint8_t family, const struct nlattr *a)
{
    struct ferry_addr addr = {.family = family};
    size_t n = family == AF_INET ? 4 : 16;
    if (a && (size_t)nla_len(a) >= n)
        memcpy(addr.bytes, nla_data(a), n);
    return addr;
}

bool ferry_linux_address_parse(struct ferry_linux *d, const struct nlmsghdr *message,
                               struct ferry_linux_address *ret)
{
    const struct ifaddrmsg *ifa = NLMSG_DATA(message);
    static const struct nla_policy policy[IFA_MAX + 1] = {
        [IFA_FLAGS] = {.type = NLA_U32},
        [IFA_RT_PRIORITY] = {.type = NLA_U32},
        [IFA_PROTO] = {.type = NLA_U8},
        [IFA_CACHEINFO] = {.minlen = sizeof(struct ifa_cacheinfo)},
    };
    struct nlattr *tb[IFA_MAX + 1] = {0};
    char name[FERRY_DEV_LEN];
    if (message->nlmsg_type != RTM_NEWADDR ||
        nlmsg_parse((struct nlmsghdr *)message, sizeof *ifa, tb, IFA_MAX, policy) < 0 ||
        (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
        return false;
    memset(ret, 0, sizeof *ret);
    ret->family = ifa->ifa_family;
    ret->len = ifa->ifa_prefixlen;
    ret->scope = ifa->ifa_scope;
    ret->ifindex = ifa->ifa_index;
    ret->flags = tb[IFA_FLAGS] ? nla_get_u32(tb[IFA_FLAGS]) : ifa->ifa_flags;
    ret->metric = tb[IFA_RT_PRIORITY] ? nla_get_u32(tb[IFA_RT_PRIORITY]) : 0;
    ret->proto = tb[IFA_PROTO] ? nla_get_u8(tb[IFA_PROTO]) : 0;
    struct ferry_addr other = get_address(ret->family, tb[IFA_ADDRESS]);
    ret->local = tb[IFA_LOCAL] ? get_address(ret->family, tb[IFA_LOCAL]) : other;
    if (tb[IFA_ADDRESS] && !ferry_addr_equal(&other, &ret->local))
        ret->peer = other;
    if (tb[IFA_BROADCAST])
        ret->broadcast = get_address(ret->family, tb[IFA_BROADCAST]);
    if (tb[IFA_LABEL]) {
        snprintf(ret->label, sizeof ret->label, "%.*s", nla_len(tb[IFA_LABEL]),
                 (const char *)nla_data(tb[IFA_LABEL]));
        ferry_linux_ifname(d, ret->ifindex, name);
        if (!strcmp(name, ret->label))
            memset(ret->label, 0, sizeof ret->label); /* all of it: it is compared packed */
    }
    if (tb[IFA_CACHEINFO]) {
        const struct ifa_cacheinfo *c = nla_data(tb[IFA_CACHEINFO]);
        ret->finite = c->ifa_valid != FOREVER || (c->ifa_prefered != FOREVER && c->ifa_prefered != 0);
    }
    if (ret->flags & IFA_F_NODAD) /* on its way to being usable at once, or there already */
        ret->flags &= ~(uint32_t)IFA_F_TENTATIVE;
    return true;
}

struct ferry_linux_address ferry_linux_address_plain(const struct ferry_gateway *g, uint32_t table)
{
    struct ferry_linux_address a = {.family = g->address.addr.family,
                                    .len = g->address.len,
                                    .scope = RT_SCOPE_UNIVERSE,
                                    .flags = IFA_F_PERMANENT,
                                    .local = g->address.addr};
    if (a.family == AF_INET6)
        a.flags |= IFA_F_NODAD;
    if (table != FERRY_TABLE_MAIN)
        a.flags |= IFA_F_NOPREFIXROUTE;
    return a;
}

/* Lifetimes run on while an address is away.  And the kernel mixes up the connected routes of IPv6 addresses
 * that share a subnet but not a metric: removing the addresses leaves one of the routes, changing a flag of
 * one takes the other's route away (seen on 6.18). */
const char *ferry_linux_addresses_lost(const struct ferry_linux_address *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].family == AF_INET6 && all[i].metric != all[0].metric)
            return "the addresses of the subnet have different metrics: the kernel could not be brought back "
                   "to that";
        if (all[i].finite)
            return "it got an address of the subnet for a limited time (DHCP or SLAAC), which could not be "
                   "put back";
        if (all[i].label[strcspn(all[i].label, " \t\n\"'\\#")])
            return "the label of an address has characters that no command can carry";
    }
    return NULL;
}

/* The packed form; everything but the interface's number. */
struct packed {
    uint8_t family, len, scope, proto, finite, peer, broadcast, zero;
    uint32_t flags, metric;
    uint8_t local[16], peer_bytes[16], broadcast_bytes[4];
    char label[FERRY_DEV_LEN];
};

void ferry_linux_address_pack(struct ferry_linux_bytes *b, const struct ferry_linux_address *a)
{
    struct packed p = {.family = a->family,
                       .len = a->len,
                       .scope = a->scope,
                       .proto = a->proto,
                       .finite = a->finite,
                       .peer = a->peer.family != 0,
                       .broadcast = a->broadcast.family != 0,
                       .flags = a->flags,
                       .metric = a->metric};
    memcpy(p.local, a->local.bytes, 16);
    memcpy(p.peer_bytes, a->peer.bytes, 16);
    memcpy(p.broadcast_bytes, a->broadcast.bytes, 4);
    memcpy(p.label, a->label, sizeof p.label);
    ferry_linux_bytes_put(b, FERRY_LINUX_ADDRESS, &p, sizeof p);
}

int ferry_linux_address_unpack(const struct ferry_linux_record *record, struct ferry_linux_address *ret)
{
    struct packed p;
    if (record->len != sizeof p)
        return -1;
    memcpy(&p, record->v, sizeof p);
    if (!ferry_addr_bits(p.family) || p.len > ferry_addr_bits(p.family) ||
        !ferry_linux_name_sound(p.label, sizeof p.label))
        return -1;
    memset(ret, 0, sizeof *ret);
    ret->family = p.family;
    ret->len = p.len;
    ret->scope = p.scope;
    ret->proto = p.proto;
    ret->finite = p.finite;
    ret->flags = p.flags;
    ret->metric = p.metric;
    ret->local.family = p.family;
    ret->peer.family = p.peer ? p.family : 0;
    ret->broadcast.family = p.broadcast ? p.family : 0;
    memcpy(ret->local.bytes, p.local, 16);
    memcpy(ret->peer.bytes, p.peer_bytes, 16);
    memcpy(ret->broadcast.bytes, p.broadcast_bytes, 4);
    memcpy(ret->label, p.label, sizeof ret->label);
    ret->label[FERRY_DEV_LEN - 1] = '\0';
    return 0;
}

static void put(uint8_t *at, struct nlmsghdr *h, unsigned type, const void *v, size_t n)
{
    struct nlattr *a = (struct nlattr *)(at + NLMSG_ALIGN(h->nlmsg_len));
    memset(a, 0, NLA_HDRLEN + NLA_ALIGN(n));
    a->nla_type = (uint16_t)type;
    a->nla_len = (uint16_t)(NLA_HDRLEN + n);
    memcpy(nla_data(a), v, n);
    h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + NLA_HDRLEN + NLA_ALIGN(n));
}

int ferry_linux_address_write(uint8_t *at, uint16_t type, uint16_t flags, const struct ferry_linux_address *a,
                              unsigned ifindex)
{
    struct nlmsghdr *h = (struct nlmsghdr *)at;
    size_t bytes = a->family == AF_INET ? 4 : 16;
    memset(at, 0, NLMSG_LENGTH(sizeof(struct ifaddrmsg)));
    struct ifaddrmsg *ifa = NLMSG_DATA(h);
    h->nlmsg_len = NLMSG_LENGTH(sizeof *ifa);
    h->nlmsg_type = type;
    h->nlmsg_flags = flags;
    ifa->ifa_family = a->family;
    ifa->ifa_prefixlen = a->len;
    ifa->ifa_scope = a->scope;
    ifa->ifa_index = ifindex;
    put(at, h, IFA_LOCAL, a->local.bytes, bytes);
    put(at, h, IFA_ADDRESS, a->peer.family ? a->peer.bytes : a->local.bytes, bytes);
    if (type == RTM_DELADDR)
        return (int)h->nlmsg_len;
    uint32_t lasting = a->flags & ~(uint32_t)STATE_FLAGS;
    if (a->broadcast.family)
        put(at, h, IFA_BROADCAST, a->broadcast.bytes, bytes);
    if (a->label[0])
        put(at, h, IFA_LABEL, a->label, strlen(a->label) + 1);
    if (lasting)
        put(at, h, IFA_FLAGS, &lasting, sizeof lasting);
    if (a->metric)
        put(at, h, IFA_RT_PRIORITY, &a->metric, sizeof a->metric);
    if (a->proto)
        put(at, h, IFA_PROTO, &a->proto, 1);
    if (a->flags & IFA_F_DEPRECATED) { /* preferred_lft 0 */
        struct ifa_cacheinfo c = {.ifa_prefered = 0, .ifa_valid = FOREVER};
        put(at, h, IFA_CACHEINFO, &c, sizeof c);
    }
    return (int)h->nlmsg_len;
}
