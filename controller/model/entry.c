/* What a router holds under one key: equality, order, names, text.  Interning is in pool.c.
 * SPDX-License-Identifier: MIT */
#include <ferry/dns.h>
#include <ferry/tunnel.h>

#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* `router` last: it follows from the rest where next hops are of one router. */
int ferry_nexthop_compare(const struct ferry_nexthop *a, const struct ferry_nexthop *b)
{
    int c = ferry_addr_compare(&a->via, &b->via);
    if (c == 0)
        c = strncmp(a->dev, b->dev, sizeof a->dev);
    if (c == 0)
        c = ORDER(a->weight, b->weight);
    if (c == 0)
        c = ORDER(a->onlink, b->onlink);
    return c ? c : ORDER(a->router, b->router);
}

/* `router` is what somebody made of the address, not what the router holds: never part of equality. */
static bool nexthops_equal(const struct ferry_entry *a, const struct ferry_entry *b, bool onlink)
{
    if (a->n_nexthops != b->n_nexthops)
        return false;
    for (size_t i = 0; i < a->n_nexthops; i++) {
        const struct ferry_nexthop *x = &a->nexthops[i], *y = &b->nexthops[i];
        if (!ferry_addr_equal(&x->via, &y->via) || strncmp(x->dev, y->dev, sizeof x->dev) != 0 ||
            x->weight != y->weight || (onlink && x->onlink != y->onlink))
            return false;
    }
    return true;
}

bool ferry_entry_equal(const struct ferry_entry *a, const struct ferry_entry *b, enum ferry_cmp how)
{
    if (a == b || !a || !b)
        return a == b;
    if (a->type != b->type || !nexthops_equal(a, b, how == FERRY_CMP_EXACT))
        return false;
    if (how == FERRY_CMP_FORWARDING)
        return true;
    return a->table == b->table && a->metric == b->metric && a->protocol == b->protocol &&
           a->native_len == b->native_len &&
           (a->native_len == 0 || memcmp(a->native, b->native, a->native_len) == 0);
}

static const char *const type_names[] = {
    [FERRY_GATEWAY] = "gateway",
    [FERRY_UNICAST] = "unicast",
    [FERRY_BLACKHOLE] = "blackhole",
    [FERRY_UNREACHABLE] = "unreachable",
    [FERRY_PROHIBIT] = "prohibit",
    [FERRY_ANNOUNCEMENT] = "announcement",
    [FERRY_DNS] = "dns",
    [FERRY_TRAFFIC_SELECTOR] = "selector",
};

const char *ferry_entry_type_name(enum ferry_entry_type type)
{
    return type >= FERRY_GATEWAY && type <= FERRY_TRAFFIC_SELECTOR ? type_names[type] : "unknown";
}

enum ferry_entry_type ferry_entry_type_parse(const char *name)
{
    for (int i = FERRY_GATEWAY; i <= FERRY_TRAFFIC_SELECTOR; i++)
        if (strcmp(name, type_names[i]) == 0)
            return (enum ferry_entry_type)i;
    return (enum ferry_entry_type)0;
}

/* rt_protos of linux/rtnetlink.h, by the names of iproute2. */
static const struct {
    uint8_t number;
    const char *name;
} protocols[] = {
    {0, "unspec"}, {1, "redirect"}, {2, "kernel"},    {3, "boot"},
    {4, "static"}, {8, "gated"},    {9, "ra"},        {10, "mrt"},
    {11, "zebra"}, {12, "bird"},    {13, "dnrouted"}, {14, "xorp"},
    {15, "ntk"},   {16, "dhcp"},    {17, "mrouted"},  {18, "keepalived"},
    {42, "babel"}, {99, "openr"},   {186, "bgp"},     {187, "isis"},
    {188, "ospf"}, {189, "rip"},    {192, "eigrp"},   {FERRY_PROTOCOL, "ferry"},
};

const char *ferry_protocol_name(uint8_t protocol, char buf[static 16])
{
    snprintf(buf, 16, "%u", protocol);
    for (size_t i = 0; i < FERRY_COUNT(protocols); i++)
        if (protocols[i].number == protocol)
            snprintf(buf, 16, "%s", protocols[i].name);
    return buf;
}

int ferry_protocol_parse(const char *text, uint8_t *ret, struct ferry_err *err)
{
    for (size_t i = 0; i < FERRY_COUNT(protocols); i++) {
        if (strcmp(text, protocols[i].name) == 0) {
            *ret = protocols[i].number;
            return 0;
        }
    }
    size_t n = strspn(text, "0123456789");
    unsigned long value = n && n <= 3 && !text[n] ? strtoul(text, NULL, 10) : 256;
    if (value > 255)
        return ferry_error(err, FERRY_EINPUT, "'%.40s' is not a routing protocol: a name or 0 to 255", text);
    *ret = (uint8_t)value;
    return 0;
}

/* A text that grows in a fixed buffer. */
struct text {
    char *buf;
    size_t size, n;
};

static void add(struct text *t, const char *fmt, ...) FERRY_PRINTF(2, 3);

static void add(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->buf + t->n, t->size - t->n, fmt, args);
    va_end(args);
    if (n > 0)
        t->n = (size_t)n < t->size - t->n ? t->n + (size_t)n : t->size - 1;
}

static void add_nexthop(struct text *t, const struct ferry_nexthop *hop, bool several)
{
    char buf[FERRY_ADDR_STRLEN];
    if (several)
        add(t, " nexthop");
    if (hop->via.family)
        add(t, " via %s", ferry_addr_text(&hop->via, buf));
    if (hop->dev[0])
        add(t, " dev %s", hop->dev);
    if (hop->weight > 1)
        add(t, " weight %u", hop->weight);
    if (hop->onlink)
        add(t, " onlink");
    if (hop->down)
        add(t, " linkdown");
}

/* "A 300 192.168.1.10, but 192.0.2.2: 300 10.0.0.1": an answer that differs begins with '!' there. */
static void add_records(struct text *t, const struct ferry_entry *e)
{
    bool server = false;
    add(t, " %s ", ferry_dns_type_name(e->metric));
    for (uint32_t i = 0; i < e->native_len; i++) {
        char c = (char)e->native[i];
        bool other = c == ' ' && i + 1 < e->native_len && e->native[i + 1] == '!';
        if (other)
            add(t, ", but ");
        else if (c == ' ' && server)
            add(t, ": ");
        else if (c != '!')
            add(t, "%c", c);
        server = other || (server && c != ' ');
    }
}

static void add_entry(struct text *t, const struct ferry_entry *e)
{
    char protocol[16];
    add(t, "%s", e ? ferry_entry_type_name(e->type) : "nothing");
    if (!e)
        return;
    if (e->type == FERRY_DNS) {
        add_records(t, e);
        return;
    }
    for (size_t i = 0; i < e->n_nexthops; i++)
        add_nexthop(t, &e->nexthops[i], e->n_nexthops > 1);
    if (e->type == FERRY_TRAFFIC_SELECTOR) {
        add(t, " %s in %.*s", ferry_side_name(e->protocol), (int)e->native_len, (const char *)e->native);
        return;
    }
    if (e->type == FERRY_ANNOUNCEMENT)
        add(t, " protocol %s", ferry_protocol_name(e->protocol, protocol));
    else if (e->type != FERRY_GATEWAY) {
        add(t, " metric %" PRIu32 " protocol %s", e->metric, ferry_protocol_name(e->protocol, protocol));
        if (e->table != FERRY_TABLE_MAIN)
            add(t, " table %" PRIu32, e->table);
    }
    if (e->native_len)
        add(t, " (and %" PRIu32 " bytes of other attributes)", e->native_len);
}

/* The names of interfaces are the router's: the kernel allows them control characters. */
const char *ferry_entry_text(const struct ferry_entry *e, char *buf, size_t size)
{
    struct text t = {.buf = buf, .size = size};
    if (size == 0)
        return buf;
    buf[0] = '\0';
    add_entry(&t, e);
    ferry_text_tidy(buf);
    return buf;
}

bool ferry_entry_dynamic(const struct ferry_entry *e)
{
    return e && e->type != FERRY_GATEWAY && ferry_entry_forwards(e) &&
           (e->protocol == RTPROT_BGP || e->protocol == RTPROT_OSPF);
}

bool ferry_entry_forwards(const struct ferry_entry *e)
{
    return e->type != FERRY_ANNOUNCEMENT && e->type != FERRY_DNS && e->type != FERRY_TRAFFIC_SELECTOR;
}
