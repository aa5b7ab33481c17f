/* Names, addresses and entries of the plan document; see plan_parse.h.  SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include "base/hash.h"
#include <ferry/tunnel.h>

#include <linux/rtnetlink.h>
#include <string.h>

enum { NATIVE_MAX = 65536, NEXTHOPS_MAX = 1024, STACK_MAX = 1024 }; /* far above what a kernel has */

bool parse_is_name(const char *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = strlen(s);
    return n >= 1 && n <= FERRY_NAME_MAX && strchr(letters, s[0]) &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int parse_name(struct parsing *p, uint32_t v, const char **ret, struct ferry_err *err)
{
    const char *s;
    int r = ferry_json_string(p->doc, v, &s, err);
    if (r < 0)
        return r;
    if (!parse_is_name(s))
        return ferry_json_error(
            p->doc, v, err, "'%.80s' is not a name: a letter or digit, then up to 62 of A-Z a-z 0-9 . _ -",
            s);
    *ret = s;
    return 0;
}

int parse_named(struct parsing *p, uint32_t v, const char *const *known, const char *key, uint32_t *ret_at,
                const char **ret, struct ferry_err *err)
{
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need(p->doc, v, key, FERRY_JSON_STRING, ret_at, err);
    return r < 0 ? r : parse_name(p, *ret_at, ret, err);
}

int parse_router(struct parsing *p, uint32_t v, const char *name, bool is_key, uint32_t *ret,
                 struct ferry_err *err)
{
    uint32_t i = ferry_map_get(&p->routers, name, strlen(name));
    if (i == FERRY_MAP_NONE)
        return is_key ? ferry_json_error_key(p->doc, v, err, "there is no router '%.80s' in this plan", name)
                      : ferry_json_error(p->doc, v, err, "there is no router '%.80s' in this plan", name);
    *ret = i;
    return 0;
}

int parse_prefix(struct parsing *p, uint32_t v, bool network, struct ferry_prefix *ret, struct ferry_err *err)
{
    const char *s;
    struct ferry_prefix prefix;
    struct ferry_err why;
    int r = ferry_json_string(p->doc, v, &s, err);
    if (r < 0)
        return r;
    if (ferry_prefix_parse(s, &prefix, &why) < 0)
        return ferry_json_error(p->doc, v, err, "%s", why.text);
    if (network && ferry_prefix_has_host_bits(&prefix))
        return ferry_json_error(p->doc, v, err, "'%s' has host bits set", s);
    *ret = prefix;
    return 0;
}

int parse_addr(struct parsing *p, uint32_t v, struct ferry_addr *ret, struct ferry_err *err)
{
    const char *s;
    struct ferry_err why;
    int r = ferry_json_string(p->doc, v, &s, err);
    if (r < 0)
        return r;
    if (ferry_addr_parse(s, ret, &why) < 0)
        return ferry_json_error(p->doc, v, err, "%s", why.text);
    return 0;
}

/* The kernel's rule: dev_valid_name in net/core/dev.c. */
int parse_dev(struct parsing *p, uint32_t v, char ret[static FERRY_DEV_LEN], struct ferry_err *err)
{
    const char *s;
    int r = ferry_json_string(p->doc, v, &s, err);
    if (r < 0)
        return r;
    size_t n = strlen(s);
    bool good = n >= 1 && n < FERRY_DEV_LEN && strcmp(s, ".") && strcmp(s, "..");
    for (size_t i = 0; i < n; i++)
        good = good && (unsigned char)s[i] > ' ' && s[i] != '/' && s[i] != ':' && (unsigned char)s[i] != 0x7f;
    if (!good)
        return ferry_json_error(p->doc, v, err, "'%.80s' is not an interface name", s);
    memset(ret, 0, FERRY_DEV_LEN);
    memcpy(ret, s, n);
    return 0;
}

int parse_native(struct parsing *p, uint32_t v, uint8_t **ret, uint32_t *ret_len, struct ferry_err *err)
{
    const char *s;
    int r = ferry_json_string(p->doc, v, &s, err);
    if (r < 0)
        return r;
    size_t n = strlen(s);
    if (n < 2 || n > 2 * NATIVE_MAX)
        return ferry_json_error(p->doc, v, err, "1 to %d bytes in hex are expected", NATIVE_MAX);
    FERRY_AUTOFREE uint8_t *bytes = ferry_calloc(n / 2, 1);
    long len = ferry_unhex(s, bytes);
    if (len < 0)
        return ferry_json_error(p->doc, v, err, "bytes in lower-case hex are expected");
    *ret_len = (uint32_t)len;
    *ret = FERRY_STEAL(bytes);
    return 0;
}

/* ---- Next hops. ---- */

static int parse_nexthop(struct parsing *p, uint32_t v, struct ferry_nexthop *ret, struct ferry_err *err)
{
    static const char *const known[] = {"router", "via", "dev", "weight", "onlink", NULL};
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1};
    int64_t weight = 1;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    uint32_t router = r < 0 ? FERRY_JSON_NONE : ferry_json_get(p->doc, v, "router");
    if (r == 0 && router != FERRY_JSON_NONE && ferry_json_type(p->doc, router) != FERRY_JSON_NULL) {
        const char *name;
        r = parse_name(p, router, &name, err);
        if (r == 0)
            r = parse_router(p, router, name, false, &hop.router, err);
    }
    uint32_t via = r < 0 ? FERRY_JSON_NONE : ferry_json_get(p->doc, v, "via");
    if (r == 0 && via != FERRY_JSON_NONE)
        r = parse_addr(p, via, &hop.via, err);
    uint32_t dev = r < 0 ? FERRY_JSON_NONE : ferry_json_get(p->doc, v, "dev");
    if (r == 0 && dev != FERRY_JSON_NONE)
        r = parse_dev(p, dev, hop.dev, err);
    if (r == 0)
        r = ferry_json_opt_int(p->doc, v, "weight", 1, 256, &weight, err);
    if (r == 0)
        r = ferry_json_opt_bool(p->doc, v, "onlink", &hop.onlink, err);
    if (r < 0)
        return r;
    if (hop.router == FERRY_NO_ROUTER && !hop.via.family && !hop.dev[0])
        return ferry_json_error(p->doc, v, err, "a next hop needs a router, via or dev");
    hop.weight = (uint16_t)weight;
    *ret = hop;
    return 0;
}

static int parse_nexthops(struct parsing *p, uint32_t entry, struct ferry_nexthop **ret, uint16_t *ret_n,
                          struct ferry_err *err)
{
    uint32_t list, n = 0;
    int r = ferry_json_need(p->doc, entry, "nexthops", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    uint32_t count = ferry_json_count(p->doc, list);
    if (count < 1 || count > NEXTHOPS_MAX)
        return ferry_json_error(p->doc, list, err, "1 to %d next hops are expected", NEXTHOPS_MAX);
    FERRY_AUTOFREE struct ferry_nexthop *hops = ferry_calloc(count, sizeof *hops);
    FERRY_JSON_EACH(p->doc, list, hop)
    {
        r = parse_nexthop(p, hop, &hops[n++], err);
        if (r < 0)
            return r;
    }
    *ret_n = (uint16_t)count;
    *ret = FERRY_STEAL(hops);
    return 0;
}

/* ---- Entries. ---- */

static int parse_type(struct parsing *p, uint32_t v, const struct parse_key *key, enum ferry_entry_type *ret,
                      struct ferry_err *err)
{
    const char *name;
    uint32_t at;
    int r = ferry_json_need(p->doc, v, "type", FERRY_JSON_STRING, &at, err);
    if (r == 0)
        r = ferry_json_string(p->doc, at, &name, err);
    if (r < 0)
        return r;
    enum ferry_entry_type type = ferry_entry_type_parse(name);
    if (!type)
        return ferry_json_error(p->doc, at, err,
                                "'%.40s' is none of gateway, unicast, blackhole, unreachable, prohibit, "
                                "announcement, dns, selector",
                                name);
    if (key && key->kind != ferry_entry_kind(&(struct ferry_entry){.type = type}))
        return ferry_json_error(p->doc, at, err, "a %s change holds %ss alone", ferry_kind_name(key->kind),
                                ferry_kind_name(key->kind));
    *ret = type;
    return 0;
}

static int parse_protocol(struct parsing *p, uint32_t v, uint8_t *ret, struct ferry_err *err)
{
    uint32_t at = ferry_json_get(p->doc, v, "protocol");
    if (at == FERRY_JSON_NONE)
        return 0;
    const char *name;
    struct ferry_err why;
    int r = ferry_json_string(p->doc, at, &name, err);
    if (r < 0)
        return r;
    if (ferry_protocol_parse(name, ret, &why) < 0)
        return ferry_json_error(p->doc, at, err, "%s", why.text);
    return 0;
}

static int parse_announcement(struct parsing *p, uint32_t v, struct ferry_entry *e, struct ferry_err *err)
{
    int r = parse_protocol(p, v, &e->protocol, err);
    if (r == 0 && e->protocol != RTPROT_BGP && e->protocol != RTPROT_OSPF)
        return ferry_json_error(p->doc, v, err, "an announcement needs a 'protocol': bgp or ospf");
    return r;
}

/* {"type", "side", "tunnel"}: the metric, its key, follows. */
static int parse_selector(struct parsing *p, uint32_t v, const struct ferry_entry **ret,
                          struct ferry_err *err)
{
    static const char *const known[] = {"type", "side", "tunnel", NULL};
    struct ferry_tunnel tunnel;
    const char *side, *text;
    int r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "side", &side, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "tunnel", &text, err);
    if (r < 0)
        return r;
    bool remote = strcmp(side, ferry_side_name(FERRY_SIDE_REMOTE)) == 0;
    if (!remote && strcmp(side, ferry_side_name(FERRY_SIDE_LOCAL)) != 0)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "side"), err,
                                "'%.40s' is neither local nor remote", side);
    if (!ferry_tunnel_parse(text, strlen(text), &tunnel))
        return ferry_json_error(
            p->doc, ferry_json_get(p->doc, v, "tunnel"), err,
            "'%.80s' is neither 'wireguard INTERFACE KEY' nor 'strongswan CONNECTION CHILD'", text);
    *ret = ferry_selector_entry(p->plan->pool, text, remote ? FERRY_SIDE_REMOTE : FERRY_SIDE_LOCAL);
    return 0;
}

/* Metric, table and protocol: by default those of the change's key, main and Ferry's own. */
static int parse_route_fields(struct parsing *p, uint32_t v, const struct parse_key *key,
                              struct ferry_entry *e, struct ferry_err *err)
{
    int64_t metric = key ? key->metric : 0, table = key ? key->table : FERRY_TABLE_MAIN;
    int r = ferry_json_opt_int(p->doc, v, "metric", 0, UINT32_MAX, &metric, err);
    if (r == 0)
        r = ferry_json_opt_int(p->doc, v, "table", 1, UINT32_MAX, &table, err);
    if (r < 0)
        return r;
    if (key && (metric != key->metric || table != key->table))
        return ferry_json_error(p->doc, v, err, "metric or table is not that of the change's key");
    e->metric = (uint32_t)metric;
    e->table = (uint32_t)table;
    e->protocol = FERRY_PROTOCOL;
    return parse_protocol(p, v, &e->protocol, err);
}

/* What may stand in an entry of each kind, and what does. */
static int parse_fields(struct parsing *p, uint32_t v, const struct parse_key *key, struct ferry_entry *e,
                        struct ferry_err *err)
{
    static const char *const of_route[] = {"type", "metric", "protocol", "table", "nexthops", "native", NULL};
    static const char *const of_gateway[] = {"type", "metric", "native", NULL};
    static const char *const of_announcement[] = {"type", "protocol", "native", NULL};
    static const char *const of_dns[] = {"type", "record", "ttl", "data", NULL};
    static const char *const *const known[] = {of_route, of_gateway, of_announcement, of_dns};
    enum ferry_kind kind = ferry_entry_kind(e);
    int64_t zero = 0;
    int r = ferry_json_keys(p->doc, v, known[kind], err);
    if (r < 0)
        return r;
    return kind == FERRY_KIND_GATEWAY        ? ferry_json_opt_int(p->doc, v, "metric", 0, 0, &zero, err)
           : kind == FERRY_KIND_ANNOUNCEMENT ? parse_announcement(p, v, e, err)
           : kind == FERRY_KIND_DNS          ? parse_record(p, v, &e->metric, err)
                                             : parse_route_fields(p, v, key, e, err);
}

int parse_entry(struct parsing *p, uint32_t v, const struct parse_key *key, const struct ferry_entry **ret,
                struct ferry_err *err)
{
    struct ferry_entry e = {0};
    FERRY_AUTOFREE struct ferry_nexthop *hops = NULL;
    FERRY_AUTOFREE uint8_t *native = NULL;
    FERRY_AUTOFREE char *records = NULL;
    if (key && ferry_json_type(p->doc, v) == FERRY_JSON_NULL) {
        *ret = NULL;
        return 0;
    }
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = parse_type(p, v, key, &e.type, err);
    if (r == 0 && e.type == FERRY_TRAFFIC_SELECTOR)
        return parse_selector(p, v, ret, err);
    if (r == 0)
        r = parse_fields(p, v, key, &e, err);
    if (r == 0 && e.type == FERRY_UNICAST)
        r = parse_nexthops(p, v, &hops, &e.n_nexthops, err);
    if (r < 0)
        return r;
    uint32_t at = ferry_json_get(p->doc, v, "nexthops");
    if (e.type != FERRY_UNICAST && at != FERRY_JSON_NONE)
        return ferry_json_error_key(p->doc, at, err, "only a unicast route has next hops");
    at = ferry_json_get(p->doc, v, "native");
    if (at != FERRY_JSON_NONE) {
        r = parse_native(p, at, &native, &e.native_len, err);
        if (r < 0)
            return r;
    }
    if (e.type == FERRY_DNS) {
        r = parse_rrset(p, v, e.metric, &records, err);
        if (r < 0)
            return r;
        if (key && key->metric != e.metric)
            return ferry_json_error(p->doc, v, err, "its record is not that of the change");
        e.native_len = (uint32_t)strlen(records);
    }
    e.nexthops = hops;
    e.native = records ? (const uint8_t *)records : native;
    *ret = ferry_pool_entry(p->plan->pool, &e);
    return 0;
}

int parse_stack(struct parsing *p, uint32_t v, const struct ferry_stack **ret, struct ferry_err *err)
{
    uint32_t n = 0;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_ARRAY, err);
    if (r < 0)
        return r;
    uint32_t count = ferry_json_count(p->doc, v);
    if (count > STACK_MAX)
        return ferry_json_error(p->doc, v, err, "more than %d entries", STACK_MAX);
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(count, sizeof *entries);
    FERRY_JSON_EACH(p->doc, v, child)
    {
        r = parse_entry(p, child, NULL, &entries[n], err);
        if (r < 0)
            return r;
        for (uint32_t i = 0; i < n; i++)
            if (ferry_entry_has_key(entries[i], ferry_entry_kind(entries[n]), entries[n]->table,
                                    entries[n]->metric))
                return ferry_json_error(p->doc, child, err, "there is an entry with this key already");
        n++;
    }
    *ret = ferry_pool_stack(p->plan->pool, entries, n);
    return 0;
}
