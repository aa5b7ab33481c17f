/* The slot `check`: could the ops work?  Asks the kernel, and the LAN; changes nothing.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ferry/device.h>

#include <linux/netconf.h>
#include <stdarg.h>
#include <stdio.h>

enum { PROBE_MS = 25 /* for all ARP probes of a batch together; nothing has been written yet */ };

/* What was asked already: an answer serves for all ops of the batch. */
struct asked {
    struct ferry_addr via; /* family 0: about the device */
    char dev[FERRY_DEV_LEN];
    uint32_t table;
    char why[300]; /* "": fine */
};

struct checker {
    struct ferry_linux *d;
    struct asked *asked;
    size_t n_asked;
    struct ferry_linux_address *addresses; /* of the whole router */
    size_t n_addresses;
    struct {
        bool known, told; /* for the whole router; said already that it does not */
        int in;           /* and from this interface, the last one that was asked about */
    } forwards[2];        /* IPv4, IPv6 */
};

static void refuse(struct checker *c, struct ferry_op *op, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void refuse(struct checker *c, struct ferry_op *op, const char *fmt, ...)
{
    char prefix[FERRY_PREFIX_STRLEN], text[700];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    op->outcome = FERRY_REFUSED;
    ferry_op_why(op, "%s: %s: %s", c->d->router, ferry_prefix_text(&op->prefix, prefix), text);
}

/* ---- Interfaces and next hops. ---- */

static void look_at_device(struct checker *c, struct asked *a)
{
    int flags = ferry_linux_ifflags(c->d, a->dev);
    if (flags < 0)
        snprintf(a->why, sizeof a->why, "there is no interface %s", a->dev);
    else if (!(flags & IFF_UP))
        snprintf(a->why, sizeof a->why, "interface %s is down", a->dev);
    else if (!(flags & IFF_RUNNING))
        snprintf(a->why, sizeof a->why, "interface %s has no carrier", a->dev);
}

struct looked_up {
    bool answered, direct;
    unsigned ifindex;
};

static void hear_lookup(void *ctx, struct nlmsghdr *h)
{
    struct looked_up *l = ctx;
    struct nlattr *tb[RTA_MAX + 1] = {0};
    if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(struct rtmsg), tb, RTA_MAX, NULL) < 0)
        return;
    l->answered = true;
    l->direct = !tb[RTA_GATEWAY] && !tb[RTA_VIA];
    l->ifindex = tb[RTA_OIF] ? nla_get_u32(tb[RTA_OIF]) : 0;
}

static void put(struct nlmsghdr *h, unsigned type, const void *v, size_t n)
{
    struct nlattr *a = (struct nlattr *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
    a->nla_type = (uint16_t)type;
    a->nla_len = (uint16_t)(NLA_HDRLEN + n);
    memcpy(nla_data(a), v, n);
    h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + NLA_HDRLEN + NLA_ALIGN(n));
}

/* The kernel takes a gateway only where it is on the link; better to hear that now. */
static void look_up(struct checker *c, struct asked *a)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg rtm;
        char room[64];
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.rtm), .nlmsg_type = RTM_GETROUTE}};
    struct looked_up l = {0};
    struct ferry_err err;
    char via[FERRY_ADDR_STRLEN];
    unsigned ifindex = ferry_linux_ifindex(c->d, a->dev);
    request.rtm.rtm_family = a->via.family;
    request.rtm.rtm_flags = RTM_F_FIB_MATCH; /* else IPv4 takes anything behind a named device for on-link */
    request.rtm.rtm_dst_len = ferry_addr_bits(a->via.family);
    put(&request.h, RTA_DST, a->via.bytes, a->via.family == AF_INET ? 4 : 16);
    if (ifindex)
        put(&request.h, RTA_OIF, &ifindex, sizeof ifindex);
    int result = ferry_linux_ask(c->d, &request.h, hear_lookup, &l, &err);
    ferry_addr_text(&a->via, via);
    if (result > 0 || !l.answered)
        snprintf(a->why, sizeof a->why, "next hop %s is not reachable%s%s: %.180s", via,
                 ifindex ? " through " : "", a->dev, result ? err.text : "no answer");
    else if (!l.direct || (ifindex && l.ifindex != ifindex))
        snprintf(a->why, sizeof a->why, "next hop %s is not on the link%s%s", via, ifindex ? " of " : "",
                 a->dev);
}

static const char *ask(struct checker *c, const struct ferry_addr *via, const char *dev)
{
    static const struct ferry_addr none;
    if (!via)
        via = &none;
    for (size_t i = 0; i < c->n_asked; i++)
        if (ferry_addr_equal(&c->asked[i].via, via) && !strcmp(c->asked[i].dev, dev))
            return c->asked[i].why;
    FERRY_GROW(c->asked, c->n_asked);
    struct asked *a = &c->asked[c->n_asked++];
    memset(a, 0, sizeof *a);
    a->via = *via;
    snprintf(a->dev, sizeof a->dev, "%s", dev);
    if (via->family)
        look_up(c, a);
    else
        look_at_device(c, a);
    return a->why;
}

static bool link_local(const struct ferry_addr *a)
{
    return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static void check_nexthops(struct checker *c, struct ferry_op *op, const struct ferry_entry *e)
{
    struct ferry_linux_record r;
    if (ferry_linux_bytes_find(e->native, e->native_len, RTA_NH_ID, &r))
        return; /* the object's legs are the kernel's business */
    for (uint16_t i = 0; i < e->n_nexthops && op->outcome == FERRY_DONE; i++) {
        const struct ferry_nexthop *leg = &e->nexthops[i];
        const char *why = leg->dev[0] ? ask(c, NULL, leg->dev) : "";
        if (!why[0] && leg->via.family && !leg->onlink && !link_local(&leg->via))
            why = ask(c, &leg->via, leg->dev);
        if (why[0])
            refuse(c, op, "%s", why);
    }
}

/* ---- Settings of the kernel. ---- */

struct setting {
    int type, value;
};

static void hear_netconf(void *ctx, struct nlmsghdr *h)
{
    struct setting *s = ctx;
    struct nlattr *tb[NETCONFA_MAX + 1] = {0};
    if (h->nlmsg_type == RTM_NEWNETCONF &&
        nlmsg_parse(h, sizeof(struct netconfmsg), tb, NETCONFA_MAX, NULL) >= 0 && tb[s->type])
        s->value = (int)nla_get_u32(tb[s->type]);
}

/* `unknown` where the kernel does not say. */
static int netconf(struct checker *c, uint8_t family, int ifindex, int type, int unknown)
{
    struct {
        struct nlmsghdr h;
        struct netconfmsg conf;
        char room[16];
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.conf), .nlmsg_type = RTM_GETNETCONF},
                 .conf.ncm_family = family};
    struct ferry_err ignored;
    struct setting s = {.type = type, .value = unknown};
    request.h.nlmsg_len = NLMSG_ALIGN(request.h.nlmsg_len);
    put(&request.h, NETCONFA_IFINDEX, &ifindex, sizeof ifindex);
    (void)!ferry_linux_ask(c->d, &request.h, hear_netconf, &s, &ignored);
    return s.value;
}

static int rp_filter(struct checker *c, int ifindex)
{
    return netconf(c, AF_INET, ifindex, NETCONFA_RP_FILTER, 0);
}

/* A router that does not forward delivers to nobody but itself.  It did so before the move, too: said, not
 * refused. */
static void check_forwarding(struct checker *c, const struct ferry_op *op)
{
    uint8_t family = op->prefix.addr.family;
    bool v6 = family == AF_INET6;
    if (!op->after || (op->kind == FERRY_KIND_ROUTE && op->after->type != FERRY_UNICAST) ||
        c->forwards[v6].told)
        return;
    bool attaches =
        op->kind == FERRY_KIND_GATEWAY && op->interface && ferry_linux_ifindex(c->d, op->interface) != 0;
    int in = attaches ? (int)ferry_linux_ifindex(c->d, op->interface) : c->forwards[v6].in;
    bool all = c->forwards[v6].known || netconf(c, family, NETCONFA_IFINDEX_ALL, NETCONFA_FORWARDING, 1);
    bool own = in == c->forwards[v6].in || netconf(c, family, in, NETCONFA_FORWARDING, 1);
    c->forwards[v6].known = all;
    c->forwards[v6].in = own ? in : 0;
    if (all && own)
        return;
    c->forwards[v6].told = true;
    ferry_log(c->d->env, FERRY_LOG_WARNING,
              "warning: %s does not forward IPv%c packets%s%s: sysctl -w net.ipv%c.conf.%s.forwarding=1",
              c->d->router, v6 ? '6' : '4', all ? " that come in by " : "", all ? op->interface : "",
              v6 ? '6' : '4', all ? op->interface : "all");
}

static bool uses(const struct ferry_entry *e, const char *dev)
{
    for (uint16_t i = 0; e && i < e->n_nexthops; i++)
        if (!strcmp(e->nexthops[i].dev, dev))
            return true;
    return false;
}

/* In the middle of a move answers still come from where the subnet was: strict mode (max(all, interface) ==
 * 1) drops what comes in by another interface than the one that the route back names. */
static void check_rp_filter(struct checker *c, struct ferry_op *op)
{
    if (op->prefix.addr.family != AF_INET || !op->before || !op->after || op->before->type != FERRY_UNICAST ||
        op->after->type != FERRY_UNICAST)
        return;
    for (uint16_t i = 0; i < op->before->n_nexthops && op->outcome == FERRY_DONE; i++) {
        const char *dev = op->before->nexthops[i].dev;
        int all, own;
        if (!dev[0] || uses(op->after, dev))
            continue;
        all = rp_filter(c, NETCONFA_IFINDEX_ALL);
        own = rp_filter(c, (int)ferry_linux_ifindex(c->d, dev));
        if (all < 2 && own < 2 && (all == 1 || own == 1))
            refuse(c, op,
                   "rp_filter is strict on %s and would drop traffic from the subnet while its route moves "
                   "to another "
                   "interface; set it to loose: sysctl -w net.ipv4.conf.%s.rp_filter=2",
                   dev, dev);
    }
}

/* ---- Gateways. ---- */

static void hear_address(void *ctx, struct nlmsghdr *h)
{
    struct checker *c = ctx;
    struct ferry_linux_address a;
    if (!ferry_linux_address_parse(c->d, h, &a))
        return;
    FERRY_GROW(c->addresses, c->n_addresses);
    c->addresses[c->n_addresses++] = a;
}

static int read_addresses(struct checker *c, struct ferry_err *err)
{
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg ifa;
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.ifa), .nlmsg_type = RTM_GETADDR}};
    struct ferry_linux_dump dump = {.request = &request.h, .each = hear_address, .ctx = c};
    int result = 1;
    for (int i = 0; i < 10 && result == 1; i++) {
        c->n_addresses = 0;
        result = ferry_linux_dump(c->d, &dump, err);
    }
    return result == 1 ? ferry_error(err, FERRY_EIO, "the router's addresses change too fast to be read")
                       : result;
}

/* What goes must be able to come back. */
static void check_detach(struct checker *c, struct ferry_op *op)
{
    struct ferry_linux_address *ours = NULL;
    size_t n = 0;
    for (size_t i = 0; i < c->n_addresses; i++) {
        const struct ferry_linux_address *a = &c->addresses[i];
        struct ferry_prefix net = {.addr = a->peer.family ? a->peer : a->local, .len = a->len};
        net = ferry_prefix_network(&net);
        if (!ferry_prefix_equal(&net, &op->prefix) || a->ifindex != ferry_linux_ifindex(c->d, op->interface))
            continue;
        FERRY_GROW(ours, n);
        ours[n++] = *a;
    }
    const char *lost = ferry_linux_addresses_lost(ours, n);
    if (lost)
        refuse(c, op, "%s: %s", op->interface, lost);
    free(ours);
}

/* Whether its interface is not there yet, and comes with it. */
static bool comes(const struct checker *c, const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_GATEWAY && op->gateway && op->gateway->make[0] && op->interface &&
           !ferry_linux_ifindex(c->d, op->interface);
}

static int check_make(struct checker *c, const struct ferry_op *op, struct ferry_err *err)
{
    struct ferry_device device;
    if (!ferry_device_parse(op->gateway->make, &device))
        return ferry_refuse(err, "native", "how %s is made cannot be read", op->interface);
    return comes(c, op) ? ferry_linux_device_possible(c->d, op->interface, &device, err)
                        : ferry_linux_device_fits(c->d, op->interface, &device, err);
}

static void check_gateway(struct checker *c, struct ferry_op *op)
{
    const struct ferry_gateway *g = op->gateway;
    char text[FERRY_ADDR_STRLEN], name[FERRY_DEV_LEN];
    if (!g || (!g->via.family && !op->interface)) {
        refuse(c, op, "the change does not say where the gateway is");
        return;
    }
    struct ferry_err unmade;
    const char *why = op->interface && !comes(c, op) ? ask(c, NULL, op->interface) : "";
    bool makes = g->make[0] && op->interface && (comes(c, op) || !op->before);
    if (!why[0] && op->after && makes && check_make(c, op, &unmade))
        why = unmade.text;
    if (!why[0] && op->after && g->via.family)
        why = ask(c, &g->via, op->interface ? op->interface : "");
    if (why[0] && op->after) {
        refuse(c, op, "%s", why);
        return;
    }
    if (op->after && g->rules && c->d->means && op->prefix.addr.family == AF_INET6) {
        refuse(c, op, "a batch of ip has no words for IPv6 rules");
        return;
    }
    if (op->after && !op->before && g->isolated && ferry_linux_test_possible(c->d, op, &unmade)) {
        refuse(c, op, "%s", unmade.text);
        return;
    }
    if (op->before && !op->after && !g->via.family)
        check_detach(c, op);
    for (size_t i = 0; i < c->n_addresses && !g->via.family && op->after && !op->before; i++) {
        const struct ferry_linux_address *a = &c->addresses[i];
        ferry_linux_ifname(c->d, a->ifindex, name);
        if (!ferry_addr_equal(&a->local, &g->address.addr) ||
            (!strcmp(name, op->interface) && a->len == g->address.len))
            continue;
        refuse(c, op, "the router has %s already, on %s", ferry_addr_text(&a->local, text), name);
    }
}

/* Whether machines on the LANs answer for the addresses that shall be attached (RFC 5227).  A stretched
 * subnet's may: the other site's gateway has the same one on the same LAN. */
static int probe(struct checker *c, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_AUTOFREE struct ferry_linux_probe *probes = ferry_calloc(n + 1, sizeof *probes);
    FERRY_AUTOFREE size_t *who = ferry_calloc(n + 1, sizeof *who);
    size_t count = 0;
    char text[FERRY_ADDR_STRLEN];
    for (size_t i = 0; i < n; i++) {
        const struct ferry_op *op = &ops[i];
        if (op->kind != FERRY_KIND_GATEWAY || op->before || !op->after || op->outcome != FERRY_DONE ||
            comes(c, op) || op->stretched || op->gateway->via.family ||
            op->gateway->address.addr.family != AF_INET)
            continue;
        who[count] = i;
        probes[count++] =
            (struct ferry_linux_probe){.interface = op->interface, .address = &op->gateway->address.addr};
    }
    if (!count)
        return 0;
    int result = ferry_linux_lan_probe(c->d, probes, count, PROBE_MS, err);
    for (size_t i = 0; i < count && result >= 0; i++)
        if (probes[i].taken)
            refuse(c, &ops[who[i]], "a machine on %s (%02x:%02x:%02x:%02x:%02x:%02x) answers for %s",
                   probes[i].interface, probes[i].by[0], probes[i].by[1], probes[i].by[2], probes[i].by[3],
                   probes[i].by[4], probes[i].by[5], ferry_addr_text(probes[i].address, text));
    return result;
}

/* What the outage should not wait for: the sockets, and (lan.c, L1) the groups of IPv6 gateways.  Also of
 * those that will go, so that they could come back. */
static void get_ready(struct checker *c, const struct ferry_op *ops, size_t n)
{
    struct ferry_err err;
    for (size_t i = 0; i < n; i++) {
        const struct ferry_op *op = &ops[i];
        if (op->kind != FERRY_KIND_GATEWAY || op->outcome != FERRY_DONE || op->gateway->via.family)
            continue;
        if (op->after)
            (void)!ferry_linux_lan_open(c->d, &err); /* it is tried again, and said, when it is needed */
        ferry_linux_lan_join(c->d, ferry_linux_ifindex(c->d, op->interface), &op->gateway->address.addr);
    }
}

static void checker_clear(struct checker *c)
{
    free(c->asked);
    free(c->addresses);
}

int ferry_linux_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(checker_clear) struct checker c = {.d = (struct ferry_linux *)driver};
    struct ferry_err unsaid;
    int result = read_addresses(&c, err);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", c.d->router);
    for (size_t i = 0; i < n; i++) {
        struct ferry_op *op = &ops[i];
        op->outcome = FERRY_DONE;
        ferry_op_clear(op);
        if (op->kind == FERRY_KIND_SELECTOR) {
            refuse(&c, op, "the driver %s changes no VPN tunnels; `plan --format native` has the commands",
                   c.d->base.ops->type);
            continue;
        }
        check_forwarding(&c, op);
        if (op->kind == FERRY_KIND_GATEWAY) {
            check_gateway(&c, op);
            continue;
        }
        if (op->after)
            check_nexthops(&c, op, op->after);
        check_rp_filter(&c, op);
        if (op->before && ferry_linux_route_writable(c.d, &op->prefix, op->before, &unsaid) < 0)
            refuse(&c, op, "%s", unsaid.text); /* it must be able to come back */
    }
    result = probe(&c, ops, n, err);
    if (result >= 0)
        get_ready(&c, ops, n);
    return result < 0 ? ferry_error_prefix(err, result, "%s", c.d->router) : 0;
}
