/* One look at the router: the addresses of the interfaces concerned, then the routing tables, message by
 * message.
 *
 *  S1. A look is one state: where the kernel says that a dump was interrupted, all of it is done again.
 *  S2. A route belongs to an attachment (`own`) when the attachment could not do its work without it: the
 *      kernel's connected route of an address that is there; the device route of a gateway in another table;
 *      the route of a routed gateway.
 *  S3. A route leans on an attachment when the kernel would take it away, or change it, with the address: it
 *      names one of the addresses as its source (in main, where IPv4 deletes such routes; in any table for
 *      IPv6, which strips the source), or it goes through a machine inside an IPv4 subnet (deleted with an
 *      interface's last address).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRIES = 50 /* of an interrupted look */ };

void ferry_linux_survey_table(struct ferry_linux_survey *s, uint8_t family, uint32_t table)
{
    int f = family == AF_INET6;
    if (!s->wanted[f])
        s->table[f] = table;
    else if (s->table[f] != table)
        s->table[f] = RT_TABLE_UNSPEC;
    s->wanted[f] = true;
}

void ferry_linux_survey_attachment(struct ferry_linux_survey *s, const struct ferry_prefix *prefix,
                                   uint32_t table, const struct ferry_gateway *gateway, const char *interface)
{
    FERRY_GROW(s->attachments, s->n_attachments);
    struct ferry_linux_attachment *a = &s->attachments[s->n_attachments++];
    memset(a, 0, sizeof *a);
    a->prefix = *prefix;
    a->table = table ? table : FERRY_TABLE_MAIN;
    a->gateway = gateway;
    if (interface)
        snprintf(a->interface, sizeof a->interface, "%s", interface);
    ferry_linux_survey_table(s, prefix->addr.family, a->table);
    if (!gateway->via.family) /* routes that lean on an address may be in any table */
        s->table[prefix->addr.family == AF_INET6] = RT_TABLE_UNSPEC;
}

static int by_prefix(const void *x, const void *y, void *ctx)
{
    const struct ferry_linux_attachment *all = ctx;
    int by = ferry_prefix_compare(&all[*(const uint32_t *)x].prefix, &all[*(const uint32_t *)y].prefix);
    return by ? by
              : (*(const uint32_t *)x > *(const uint32_t *)y) - (*(const uint32_t *)x < *(const uint32_t *)y);
}

/* The first place in `order` whose prefix is not less. */
static size_t first_of(const struct ferry_linux_survey *s, const struct ferry_prefix *prefix)
{
    size_t low = 0, high = s->n_attachments;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ferry_prefix_compare(&s->attachments[s->order[middle]].prefix, prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#define FOR_EACH_AT(s, p, a)                                                                                 \
    for (size_t _i = first_of(s, p); _i < (s)->n_attachments && ((a) = &(s)->attachments[(s)->order[_i]],    \
                                                                ferry_prefix_equal(&(a)->prefix, p));        \
         _i++)

static void forget(struct ferry_linux_survey *s)
{
    s->n_addresses = 0;
    s->leaning = false;
    for (size_t i = 0; i < s->n_attachments; i++) {
        struct ferry_linux_attachment *a = &s->attachments[i];
        a->n_addresses = 0;
        a->present = a->passed = false;
        a->n_own = 0;
        a->own.n = a->dependents.n = 0;
        a->ifindex = ferry_linux_ifindex(s->d, a->interface);
    }
    if (s->restart)
        s->restart(s->ctx);
}

/* ---- Addresses. ---- */

static void hear_address(void *ctx, struct nlmsghdr *message)
{
    struct ferry_linux_survey *s = ctx;
    struct ferry_linux_address address;
    struct ferry_linux_attachment *a;
    if (!ferry_linux_address_parse(s->d, message, &address))
        return;
    FERRY_GROW(s->addresses, s->n_addresses);
    s->addresses[s->n_addresses++] = address;
    struct ferry_prefix net = {.addr = address.peer.family ? address.peer : address.local,
                               .len = address.len};
    net = ferry_prefix_network(&net);
    FOR_EACH_AT(s, &net, a)
    {
        if (!a->ifindex || a->ifindex != address.ifindex || a->gateway->via.family)
            continue;
        FERRY_GROW(a->addresses, a->n_addresses);
        a->addresses[a->n_addresses++] = address;
        if (!address.peer.family && ferry_addr_equal(&address.local, &a->gateway->address.addr))
            a->present = s->leaning = true;
    }
}

static int look_at_addresses(struct ferry_linux_survey *s, struct ferry_err *err)
{
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg ifa;
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.ifa), .nlmsg_type = RTM_GETADDR}};
    struct ferry_linux_dump dump = {.request = &request.h, .each = hear_address, .ctx = s};
    unsigned only = 0;
    bool several = false, any = false;
    uint8_t family = 0;
    for (size_t i = 0; i < s->n_attachments; i++) {
        const struct ferry_linux_attachment *a = &s->attachments[i];
        if (a->gateway->via.family || !a->ifindex)
            continue;
        several |= any && only != a->ifindex;
        family = any && family != a->prefix.addr.family ? AF_UNSPEC : a->prefix.addr.family;
        only = a->ifindex;
        any = true;
    }
    if (!any)
        return 0;
    request.ifa.ifa_family = family;
    request.ifa.ifa_index = several ? 0 : only;
    dump.filtered = !several;
    return ferry_linux_dump(s->d, &dump, err);
}

/* ---- Routes. ---- */

static bool is_own(const struct ferry_linux_attachment *a, const struct ferry_linux_route *r)
{
    const struct ferry_entry *e = &r->entry;
    if (e->type != FERRY_UNICAST || e->table != a->table || e->n_nexthops != 1)
        return false;
    const struct ferry_nexthop *leg = &r->legs[0];
    if (a->gateway->via.family)
        return !a->passed && ferry_addr_equal(&leg->via, &a->gateway->via) &&
               (!a->interface[0] || !strcmp(leg->dev, a->interface));
    if (!a->present || leg->via.family || r->first_ifindex != a->ifindex)
        return false;
    if (a->table != FERRY_TABLE_MAIN)
        return !a->passed;
    if (e->protocol != RTPROT_KERNEL)
        return false;
    for (size_t i = 0; i < a->n_addresses; i++) {
        uint32_t metric = a->addresses[i].metric;
        if (!metric && a->prefix.addr.family == AF_INET6)
            metric = 256; /* IP6_RT_PRIO_ADDRCONF, net/ip6_route.h */
        if (metric == e->metric && !(a->addresses[i].flags & IFA_F_NOPREFIXROUTE))
            return true;
    }
    return false;
}

static void take_own(struct ferry_linux_attachment *a, const struct ferry_linux_route *r)
{
    struct ferry_nexthop leg;
    a->n_own++;
    if (!a->gateway->via.family && a->table == FERRY_TABLE_MAIN)
        return; /* it follows from the address */
    a->present = true;
    struct ferry_entry plain = ferry_linux_gateway_route(a->gateway, a->interface, a->table, &leg);
    if (plain.n_nexthops &&
        !leg.dev[0]) /* the kernel found the device for a routed gateway without interface */
        memcpy(leg.dev, r->legs[0].dev, sizeof leg.dev);
    if (!ferry_entry_equal(&plain, &r->entry, FERRY_CMP_EXACT))
        ferry_linux_route_pack(&a->own, FERRY_LINUX_ROUTE, &r->prefix, &r->entry);
}

/* S3. */
static bool leans_on(const struct ferry_linux_attachment *a, const struct ferry_linux_route *r)
{
    uint8_t family = a->prefix.addr.family;
    if (!a->present || a->gateway->via.family || r->prefix.addr.family != family)
        return false;
    if (r->prefsrc.family && (family == AF_INET6 || r->entry.table == FERRY_TABLE_MAIN))
        for (size_t i = 0; i < a->n_addresses; i++)
            if (ferry_addr_equal(&a->addresses[i].local, &r->prefsrc))
                return true;
    if (family == AF_INET && !r->nhid)
        for (uint16_t i = 0; i < r->entry.n_nexthops; i++)
            if (r->legs[i].via.family && r->leg_ifindex[i] == a->ifindex &&
                ferry_prefix_contains(&a->prefix, &r->legs[i].via))
                return true;
    return false;
}

static void glance(void *ctx, const struct nlmsghdr *messages, int bytes)
{
    struct ferry_linux_survey *s = ctx;
    s->glance(s->ctx, messages, bytes);
}

static void hear_route(void *ctx, struct nlmsghdr *message)
{
    struct ferry_linux_survey *s = ctx;
    struct ferry_linux_route *r = &s->scratch;
    struct ferry_linux_attachment *a, *own = NULL;
    if (s->shortcut && s->shortcut(s->ctx, message))
        return;
    if (!ferry_linux_route_parse(s->d, message, r))
        return;
    if (s->n_attachments)
        FOR_EACH_AT(s, &r->prefix, a)
        {
            if (r->entry.table != a->table)
                continue;
            if (!own && is_own(a, r)) {
                own = a;
                take_own(a, r);
            }
            a->passed = true;
        }
    if (s->leaning && !own)
        for (size_t i = 0; i < s->n_attachments; i++)
            if (leans_on(&s->attachments[i], r))
                ferry_linux_route_pack(&s->attachments[i].dependents, FERRY_LINUX_DEPENDENT, &r->prefix,
                                       &r->entry);
    if (s->route)
        s->route(s->ctx, r, own);
}

static int look_at_routes(struct ferry_linux_survey *s, int f, struct ferry_err *err)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg rtm;
        struct rtattr attribute;
        uint32_t table;
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.rtm), .nlmsg_type = RTM_GETROUTE},
                 .rtm = {.rtm_family = f ? AF_INET6 : AF_INET}};
    struct ferry_linux_dump dump = {
        .request = &request.h, .each = hear_route, .glance = s->glance ? glance : NULL, .ctx = s};
    if (s->table[f]) {
        dump.filtered = true;
        request.attribute.rta_type = RTA_TABLE;
        request.attribute.rta_len = RTA_LENGTH(sizeof request.table);
        request.table = s->table[f];
        request.rtm.rtm_table = (uint8_t)(request.table < 256 ? request.table : RT_TABLE_UNSPEC);
        request.h.nlmsg_len += request.attribute.rta_len;
    }
    return ferry_linux_dump(s->d, &dump, err);
}

int ferry_linux_survey_run(struct ferry_linux_survey *s, struct ferry_err *err)
{
    free(s->order);
    s->order = ferry_calloc(s->n_attachments + 1, sizeof *s->order);
    for (size_t i = 0; i < s->n_attachments; i++)
        s->order[i] = (uint32_t)i;
    qsort_r(s->order, s->n_attachments, sizeof *s->order, by_prefix, s->attachments);
    for (int i = 0; i < TRIES; i++) {
        int result = s->d->means ? s->d->means->look(s->d, s, err) : 0;
        if (result < 0)
            return result;
        forget(s); /* S1 */
        result = look_at_addresses(s, err);
        if (!result && s->ready)
            s->ready(s->ctx);
        for (int f = 0; !result && f < 2; f++)
            if (s->wanted[f])
                result = look_at_routes(s, f, err);
        if (result <= 0)
            return result;
    }
    return ferry_error(err, FERRY_EIO,
                       "the router's tables change too fast to be read (%d dumps were interrupted)", TRIES);
}

void ferry_linux_survey_clear(struct ferry_linux_survey *s)
{
    for (size_t i = 0; i < s->n_attachments; i++) {
        free(s->attachments[i].addresses);
        ferry_linux_bytes_clear(&s->attachments[i].own);
        ferry_linux_bytes_clear(&s->attachments[i].dependents);
    }
    free(s->attachments);
    free(s->order);
    free(s->addresses);
    ferry_linux_route_clear(&s->scratch);
}

/* ---- What an attachment amounts to. ---- */

struct ferry_entry ferry_linux_gateway_route(const struct ferry_gateway *g, const char *interface,
                                             uint32_t table, struct ferry_nexthop *leg)
{
    uint8_t family = g->via.family ? g->via.family : g->address.addr.family;
    memset(leg, 0, sizeof *leg);
    leg->router = FERRY_NO_ROUTER;
    leg->via = g->via;
    leg->weight = 1;
    if (interface)
        snprintf(leg->dev, sizeof leg->dev, "%s", interface);
    return (struct ferry_entry){.type = FERRY_UNICAST,
                                .table = table,
                                .metric = family == AF_INET6,
                                .protocol = FERRY_PROTOCOL,
                                .n_nexthops = 1,
                                .nexthops = leg};
}

/* Whether the kernel makes a route of it; a single IPv4 address has its local one alone (fib_add_ifaddr,
 * net/ipv4/fib_frontend.c). */
static bool has_prefix_route(const struct ferry_linux_address *a)
{
    return !(a->flags & IFA_F_NOPREFIXROUTE) && (a->family != AF_INET || a->len < 32);
}

static bool same_address(const struct ferry_linux_address *x, const struct ferry_linux_address *y)
{
    struct ferry_linux_bytes a = {0}, b = {0};
    ferry_linux_address_pack(&a, x);
    ferry_linux_address_pack(&b, y);
    bool same = a.n == b.n && !memcmp(a.v, b.v, a.n);
    ferry_linux_bytes_clear(&a);
    ferry_linux_bytes_clear(&b);
    return same;
}

bool ferry_linux_attachment_entry(const struct ferry_linux_attachment *a, struct ferry_linux_bytes *bytes,
                                  struct ferry_entry *ret)
{
    bytes->n = 0;
    if (!a->present)
        return false;
    if (!a->gateway->via.family) {
        struct ferry_linux_address plain = ferry_linux_address_plain(a->gateway, a->table);
        bool routed_by_kernel = a->table != FERRY_TABLE_MAIN;
        if (a->n_addresses != 1 || !same_address(&a->addresses[0], &plain))
            for (size_t i = 0; i < a->n_addresses; i++)
                ferry_linux_address_pack(bytes, &a->addresses[i]);
        for (size_t i = 0; i < a->n_addresses; i++)
            routed_by_kernel |= has_prefix_route(&a->addresses[i]);
        if (routed_by_kernel && !a->n_own)
            ferry_linux_bytes_put(bytes, FERRY_LINUX_BARE, NULL, 0);
    }
    ferry_linux_bytes_raw(bytes, a->own.v, a->own.n);
    ferry_linux_bytes_raw(bytes, a->dependents.v, a->dependents.n);
    *ret = (struct ferry_entry){
        .type = FERRY_GATEWAY, .native = bytes->n ? bytes->v : NULL, .native_len = (uint32_t)bytes->n};
    return true;
}
