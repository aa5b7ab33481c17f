/* Routes in the words of `ip route`.
 *
 * What an entry's native bytes hold is said as far as ip has words; what it has none for is a comment at the
 * end of the line.  The shell takes the lines as they are.
 *
 * SPDX-License-Identifier: MIT */
#include "native.h"

#include <endian.h>
#include <linux/lwtunnel.h>

/* ---- Attributes. ---- */

static const char *const metric_names[] = {
    [RTAX_MTU] = "mtu",           [RTAX_WINDOW] = "window",
    [RTAX_RTT] = "rtt",           [RTAX_RTTVAR] = "rttvar",
    [RTAX_SSTHRESH] = "ssthresh", [RTAX_CWND] = "cwnd",
    [RTAX_ADVMSS] = "advmss",     [RTAX_REORDERING] = "reordering",
    [RTAX_HOPLIMIT] = "hoplimit", [RTAX_INITCWND] = "initcwnd",
    [RTAX_RTO_MIN] = "rto_min",   [RTAX_INITRWND] = "initrwnd",
    [RTAX_QUICKACK] = "quickack", [RTAX_CC_ALGO] = "congctl",
    [RTAX_FEATURES] = "features", [RTAX_FASTOPEN_NO_COOKIE] = "fastopen_no_cookie",
};

static void say_metrics(struct ferry_text *t, const uint8_t *v, int n)
{
    const struct nlattr *a = (const struct nlattr *)(const void *)v;
    uint32_t locked = 0;
    for (int left = n; nla_ok(a, left); a = nla_next(a, &left))
        if (nla_type(a) == RTAX_LOCK)
            locked = nla_get_u32(a);
    a = (const struct nlattr *)(const void *)v;
    for (int left = n; nla_ok(a, left); a = nla_next(a, &left)) {
        unsigned type = (unsigned)nla_type(a);
        /* ip locks rto_min by itself, and takes no such word there. */
        const char *lock = locked & 1u << type && type != RTAX_RTO_MIN ? "lock " : "";
        if (type >= FERRY_COUNT(metric_names) || !metric_names[type])
            continue;
        if (type == RTAX_CC_ALGO)
            ferry_say_word(t, *lock ? " congctl lock " : " congctl ", nla_get_string(a));
        else if (type == RTAX_FEATURES) /* ip knows no other one */
            ferry_say(t, nla_get_u32(a) & RTAX_FEATURE_ECN ? " features ecn" : "");
        else if (type == RTAX_RTT || type == RTAX_RTTVAR) /* in units of 1/8 and 1/4 ms */
            ferry_say(t, " %s %s%ums", metric_names[type], lock, nla_get_u32(a) / (type == RTAX_RTT ? 8 : 4));
        else
            ferry_say(t, " %s %s%u%s", metric_names[type], lock, nla_get_u32(a),
                      type == RTAX_RTO_MIN ? "ms" : "");
    }
}

static void say_flow(struct ferry_text *t, const struct ferry_linux_record *r)
{
    uint32_t flow = 0;
    memcpy(&flow, r->v, sizeof flow);
    if (flow >> 16)
        ferry_say(t, " realms %u/%u", flow >> 16, flow & 0xffff);
    else
        ferry_say(t, " realms %u", flow);
}

static void say_attribute(struct ferry_text *t, uint8_t family, const struct ferry_linux_record *r)
{
    static const char *const prefs[] = {"medium", "high", "?", "low"};
    static const struct {
        uint8_t scope;
        const char *name;
    } scopes[] = {{RT_SCOPE_UNIVERSE, "global"},
                  {RT_SCOPE_SITE, "site"},
                  {RT_SCOPE_LINK, "link"},
                  {RT_SCOPE_HOST, "host"}};
    const char *scope = NULL;
    uint32_t id = 0;
    switch (r->tag) {
    case RTA_PREFSRC:
        if (r->len * 8 == ferry_addr_bits(family))
            ferry_say_address(t, " src ", family, r->v);
        break;
    case RTA_METRICS:
        say_metrics(t, r->v, (int)r->len);
        break;
    case RTA_FLOW:
        say_flow(t, r);
        break;
    case RTA_PREF:
        ferry_say(t, " pref %s", prefs[*r->v & 3]);
        break;
    case RTA_TTL_PROPAGATE:
        ferry_say(t, " ttl-propagate %s", *r->v ? "enabled" : "disabled");
        break;
    case RTA_NH_ID:
        memcpy(&id, r->v, sizeof id);
        ferry_say(t, " nhid %u", id);
        break;
    case FERRY_LINUX_TOS:
        ferry_say(t, " tos 0x%02x", *r->v);
        break;
    case FERRY_LINUX_SCOPE:
        for (size_t i = 0; i < FERRY_COUNT(scopes) && !scope; i++)
            if (scopes[i].scope == *r->v)
                scope = scopes[i].name;
        if (scope)
            ferry_say(t, " scope %s", scope);
        else
            ferry_say(t, " scope %u", *r->v);
        break;
    default:
        break;
    }
}

static uint16_t encap_type(const uint8_t *native, size_t n)
{
    struct ferry_linux_record r;
    uint16_t type = 0;
    if (ferry_linux_bytes_find(native, n, RTA_ENCAP_TYPE, &r) && r.len == sizeof type)
        memcpy(&type, r.v, sizeof type);
    return type;
}

/* <net/ip_tunnels.h> of the kernel: what ip has words for. */
enum { ENCAP_CSUM = 0x01, ENCAP_KEY = 0x04, ENCAP_SEQ = 0x08, ENCAP_FLAGS = 0x0d };

/* Of the encapsulations ip's own is said; the others are a comment. */
static void say_encap(struct ferry_text *t, const uint8_t *native, size_t n)
{
    struct ferry_linux_record r;
    struct nlattr *tb[LWTUNNEL_IP_MAX + 1] = {0};
    struct nla_policy policy[LWTUNNEL_IP_MAX + 1] = {
        [LWTUNNEL_IP_ID] = {.minlen = 8},  [LWTUNNEL_IP_DST] = {.minlen = 4},
        [LWTUNNEL_IP_SRC] = {.minlen = 4}, [LWTUNNEL_IP_TTL] = {.minlen = 1},
        [LWTUNNEL_IP_TOS] = {.minlen = 1}, [LWTUNNEL_IP_FLAGS] = {.minlen = 2}};
    uint64_t id = 0;
    if (encap_type(native, n) != LWTUNNEL_ENCAP_IP || !ferry_linux_bytes_find(native, n, RTA_ENCAP, &r) ||
        nla_parse(tb, LWTUNNEL_IP_MAX, (struct nlattr *)(void *)r.v, (int)r.len, policy) < 0)
        return;
    ferry_say(t, " encap ip");
    if (tb[LWTUNNEL_IP_ID])
        memcpy(&id, nla_data(tb[LWTUNNEL_IP_ID]), sizeof id);
    ferry_say(t, " id %llu", (unsigned long long)be64toh(id));
    if (tb[LWTUNNEL_IP_SRC] && nla_get_u32(tb[LWTUNNEL_IP_SRC]))
        ferry_say_address(t, " src ", AF_INET, nla_data(tb[LWTUNNEL_IP_SRC]));
    if (tb[LWTUNNEL_IP_DST])
        ferry_say_address(t, " dst ", AF_INET, nla_data(tb[LWTUNNEL_IP_DST]));
    if (tb[LWTUNNEL_IP_TOS] && nla_get_u8(tb[LWTUNNEL_IP_TOS]))
        ferry_say(t, " tos %u", nla_get_u8(tb[LWTUNNEL_IP_TOS]));
    if (tb[LWTUNNEL_IP_TTL])
        ferry_say(t, " ttl %u", nla_get_u8(tb[LWTUNNEL_IP_TTL]));
    unsigned flags = tb[LWTUNNEL_IP_FLAGS] ? be16toh(nla_get_u16(tb[LWTUNNEL_IP_FLAGS])) : 0;
    ferry_say(t, "%s%s%s", flags & ENCAP_KEY ? " key" : "", flags & ENCAP_CSUM ? " csum" : "",
              flags & ENCAP_SEQ ? " seq" : "");
}

static bool sayable(unsigned tag, uint16_t encap)
{
    if (tag == RTA_ENCAP || tag == RTA_ENCAP_TYPE)
        return encap == LWTUNNEL_ENCAP_IP;
    static const unsigned known[] = {RTA_PREFSRC,       RTA_METRICS,     RTA_FLOW,        RTA_PREF,
                                     RTA_TTL_PROPAGATE, RTA_NH_ID,       FERRY_LINUX_TOS, FERRY_LINUX_SCOPE,
                                     FERRY_LINUX_TYPE,  FERRY_LINUX_LEGS};
    for (size_t i = 0; i < FERRY_COUNT(known); i++)
        if (known[i] == tag)
            return true;
    return false;
}

static const char *unsaid_metrics(const uint8_t *v, int n)
{
    const struct nlattr *a = (const struct nlattr *)(const void *)v;
    uint32_t locked = 0, there = 0;
    for (; nla_ok(a, n); a = nla_next(a, &n)) {
        unsigned type = (unsigned)nla_type(a);
        uint32_t value = nla_len(a) >= 4 ? nla_get_u32(a) : 0;
        if (type == RTAX_LOCK)
            locked = value;
        else if (type >= FERRY_COUNT(metric_names) || !metric_names[type])
            return "a metric that ip does not know";
        else if ((type == RTAX_RTT && value % 8) || (type == RTAX_RTTVAR && value % 4))
            return "a round-trip time that is no whole number of milliseconds";
        else if (type == RTAX_FEATURES && value & ~(uint32_t)RTAX_FEATURE_ECN)
            return "a feature that ip does not know";
        there |= 1u << type;
    }
    if (locked & ~there)
        return "a lock on a metric that is not set";
    return there & 1u << RTAX_RTO_MIN && !(locked & 1u << RTAX_RTO_MIN) ? "rto_min without a lock" : NULL;
}

static const char *unsaid_encap(const struct ferry_linux_record *r)
{
    const struct nlattr *a = (const struct nlattr *)(const void *)r->v;
    for (int n = (int)r->len; nla_ok(a, n); a = nla_next(a, &n))
        if (nla_type(a) > LWTUNNEL_IP_FLAGS || (nla_type(a) == LWTUNNEL_IP_FLAGS && nla_len(a) >= 2 &&
                                                be16toh(nla_get_u16(a)) & ~(uint16_t)ENCAP_FLAGS))
            return "options of its encapsulation";
    return NULL;
}

const char *ferry_say_route_unsaid(const struct ferry_entry *e)
{
    struct ferry_linux_record r, own;
    const char *why = NULL;
    for (size_t at = 0; !why && ferry_linux_bytes_next(e->native, e->native_len, &at, &r);) {
        if (!sayable(r.tag, encap_type(e->native, e->native_len)))
            why = r.tag == RTA_ENCAP || r.tag == RTA_ENCAP_TYPE ? "its encapsulation"
                  : r.tag == FERRY_LINUX_EXPIRES                ? "its lifetime"
                  : r.tag == RTA_SRC                            ? "the source that it is for"
                                                                : "an attribute";
        else if (r.tag == RTA_METRICS)
            why = unsaid_metrics(r.v, (int)r.len);
        else if (r.tag == RTA_ENCAP)
            why = unsaid_encap(&r);
        else if (r.tag == FERRY_LINUX_LEGS &&
                 ferry_linux_bytes_find(r.v + FERRY_LINUX_LEG_BYTES, r.len - FERRY_LINUX_LEG_BYTES, RTA_ENCAP,
                                        &own))
            why = "the encapsulation of one of its next hops";
    }
    return why;
}

/* ---- Routes. ---- */

static void say_leg(struct ferry_text *t, uint8_t family, const struct ferry_nexthop *leg, bool one_of_many)
{
    if (one_of_many)
        ferry_say(t, " nexthop");
    if (leg->via.family && leg->via.family != family)
        ferry_say(t, " via inet6");
    else if (leg->via.family)
        ferry_say(t, " via");
    if (leg->via.family)
        ferry_say_address(t, " ", leg->via.family, leg->via.bytes);
    if (leg->dev[0])
        ferry_say_word(t, " dev ", leg->dev);
    if (one_of_many && leg->weight > 1)
        ferry_say(t, " weight %u", leg->weight);
    if (leg->onlink)
        ferry_say(t, " onlink");
}

/* Legs as they stand in the native bytes (route.c), in the kernel's order. */
static bool say_packed_legs(struct ferry_text *t, uint8_t family, const struct ferry_entry *e)
{
    struct ferry_linux_record r, own;
    bool any = false;
    for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r);) {
        struct ferry_nexthop leg = {0};
        if (r.tag != FERRY_LINUX_LEGS || !ferry_linux_leg_unpack(&r, &leg))
            continue;
        say_leg(t, family, &leg, true);
        if (ferry_linux_bytes_find(r.v + FERRY_LINUX_LEG_BYTES, r.len - FERRY_LINUX_LEG_BYTES, RTA_FLOW,
                                   &own))
            say_flow(t, &own);
        any = true;
    }
    return any;
}

static void say_legs(struct ferry_text *t, uint8_t family, const struct ferry_entry *e)
{
    const struct ferry_nexthop *sorted[64];
    unsigned n = e->n_nexthops < FERRY_COUNT(sorted) ? e->n_nexthops : FERRY_COUNT(sorted);
    if (say_packed_legs(t, family, e))
        return;
    for (unsigned i = 0; i < n; i++) {
        unsigned j = i;
        for (; j > 0 && ferry_linux_leg_compare(sorted[j - 1], &e->nexthops[i]) > 0; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = &e->nexthops[i];
    }
    for (unsigned i = 0; i < n; i++)
        say_leg(t, family, sorted[i], n > 1);
}

void ferry_say_route(struct ferry_text *t, const struct ferry_driver_config *config, const char *verb,
                     const struct ferry_prefix *prefix, const struct ferry_entry *e)
{
    char p[FERRY_PREFIX_STRLEN], protocol[16];
    struct ferry_linux_record r;
    bool v6 = prefix->addr.family == AF_INET6, unsaid = false;
    const char *type = ferry_entry_type_name(e->type);
    if (ferry_linux_bytes_find(e->native, e->native_len, FERRY_LINUX_TYPE, &r))
        type = "throw";
    ferry_say_ip(t, config, v6, "route");
    ferry_say(t, " %s%s%s %s", verb, e->type == FERRY_UNICAST ? "" : " ",
              e->type == FERRY_UNICAST ? "" : type, ferry_prefix_text(prefix, p));
    bool object = ferry_linux_bytes_find(e->native, e->native_len, RTA_NH_ID, &r);
    bool many = e->n_nexthops > 1 || ferry_linux_bytes_find(e->native, e->native_len, FERRY_LINUX_LEGS, &r);
    say_encap(t, e->native, e->native_len);
    if (!object && !many)
        say_legs(t, prefix->addr.family, e);
    if (e->metric)
        ferry_say(t, " metric %u", e->metric);
    if (e->protocol == FERRY_PROTOCOL || strcmp(ferry_protocol_name(e->protocol, protocol), "ferry") == 0)
        ferry_say(t, " proto %u", e->protocol); /* the name needs a file that may not be installed there */
    else
        ferry_say(t, " proto %s", protocol);
    if (e->table != FERRY_TABLE_MAIN && e->table)
        ferry_say(t, " table %u", e->table);
    for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r);) {
        say_attribute(t, prefix->addr.family, &r);
        unsaid |= !sayable(r.tag, encap_type(e->native, e->native_len));
    }
    if (!object && many) /* ip wants nexthops last */
        say_legs(t, prefix->addr.family, e);
    ferry_say(t, unsaid ? " # and what ip cannot say\n" : "\n");
}
