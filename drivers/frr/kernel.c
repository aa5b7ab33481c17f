/* What the kernel forwards with, as `ip -j` says it: the last word about every route.  SPDX-License-Identifier: MIT */
#include "internal.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(struct json_object *o, const char *key)
{
    struct json_object *v;
    const char *text = json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;
    return text ? text : ""; /* null has none */
}

static uint32_t number_of(struct json_object *o, const char *key, uint32_t otherwise)
{
    struct json_object *v;
    if (!json_object_object_get_ex(o, key, &v))
        return otherwise;
    int64_t n = json_object_get_int64(v); /* `ip -N` prints some numbers as text */
    return n < 0 || n > UINT32_MAX ? otherwise : (uint32_t)n;
}

static bool flag_of(struct json_object *o, const char *flag)
{
    struct json_object *flags;
    if (!json_object_object_get_ex(o, "flags", &flags) || !json_object_is_type(flags, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(flags); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(flags, i));
        if (text && !strcmp(text, flag))
            return true;
    }
    return false;
}

static void hop_parse(struct json_object *o, struct ferry_nexthop *hop)
{
    struct ferry_err ignored;
    struct json_object *via;
    *hop = (struct ferry_nexthop){.router = FERRY_NO_ROUTER};
    const char *gateway = text_of(o, "gateway"), *dev = text_of(o, "dev");
    if (json_object_object_get_ex(o, "via", &via))
        gateway = text_of(via, "host");
    if (*gateway && ferry_addr_parse(gateway, &hop->via, &ignored) < 0)
        hop->via = (struct ferry_addr){0};
    if (strlen(dev) < sizeof hop->dev)
        strcpy(hop->dev, dev);
    uint32_t weight = number_of(o, "weight", 1);
    hop->weight = weight >= 1 && weight <= 256 ? (uint16_t)weight : 1;
    hop->onlink = flag_of(o, "onlink");
    hop->down = flag_of(o, "linkdown") || flag_of(o, "dead");
}

static bool type_parse(const char *type, enum ferry_entry_type *ret)
{
    if (!*type || !strcmp(type, "unicast") || !strcmp(type, "1"))
        *ret = FERRY_UNICAST;
    else if (!strcmp(type, "blackhole") || !strcmp(type, "6"))
        *ret = FERRY_BLACKHOLE;
    else if (!strcmp(type, "unreachable") || !strcmp(type, "7"))
        *ret = FERRY_UNREACHABLE;
    else if (!strcmp(type, "prohibit") || !strcmp(type, "8"))
        *ret = FERRY_PROHIBIT;
    else
        return false;
    return true;
}

static bool prefix_parse(const char *text, uint8_t family, struct ferry_prefix *ret)
{
    struct ferry_err ignored;
    if (!strcmp(text, "default")) {
        *ret = (struct ferry_prefix){.addr.family = family};
        return true;
    }
    if (strchr(text, '/'))
        return ferry_prefix_parse(text, ret, &ignored) == 0 && ret->addr.family == family &&
               !ferry_prefix_has_host_bits(ret);
    ret->len = ferry_addr_bits(family);
    return ferry_addr_parse(text, &ret->addr, &ignored) == 0 && ret->addr.family == family;
}

static int hop_compare(const void *a, const void *b)
{
    return ferry_nexthop_compare(a, b);
}

struct context {
    struct ferry_frr_kernel *kernel;
    uint8_t family;
    uint32_t table; /* where the answer does not say */
};

static void route_parse(struct json_object *o, const struct context *c)
{
    struct ferry_frr_kernel *k = c->kernel;
    struct json_object *hops;
    struct ferry_frr_kernel_route r = {.table = number_of(o, "table", c->table),
                                       .metric = number_of(o, "metric", 0),
                                       .protocol = (uint8_t)number_of(o, "protocol", 0)};
    if (!type_parse(text_of(o, "type"), &r.type) || !prefix_parse(text_of(o, "dst"), c->family, &r.prefix))
        return;
    bool many = json_object_object_get_ex(o, "nexthops", &hops) && json_object_is_type(hops, json_type_array);
    size_t n = many ? json_object_array_length(hops) : 1;
    if (n > UINT16_MAX)
        return;
    if (r.type == FERRY_UNICAST) {
        r.hops = ferry_calloc(n + 1, sizeof *r.hops);
        for (size_t i = 0; i < n; i++)
            hop_parse(many ? json_object_array_get_idx(hops, i) : o, &r.hops[r.n_hops++]);
        qsort(r.hops, r.n_hops, sizeof *r.hops, hop_compare);
    }
    FERRY_GROW(k->routes, k->n_routes);
    k->routes[k->n_routes++] = r;
}

static int routes_document(void *ctx, struct json_object *o, struct ferry_err *err)
{
    if (!json_object_is_type(o, json_type_array))
        return ferry_error(err, FERRY_EIO, "kernel routes that are no JSON array");
    for (size_t i = 0; i < json_object_array_length(o); i++)
        route_parse(json_object_array_get_idx(o, i), ctx);
    return 0;
}

/* The longest is two lines of `ip`, each with a prefix and a table. */
enum { QUESTION = 160 };

static const char *question(const char *what, const struct ferry_prefix *prefix, uint32_t table,
                            char buf[QUESTION])
{
    char text[FERRY_PREFIX_STRLEN];
    if (!prefix)
        return "route show table all";
    ferry_prefix_text(prefix, text);
    if (!strcmp(what, "exact"))
        snprintf(buf, QUESTION, "route show exact %s table %u", text, table);
    else
        snprintf(buf, QUESTION, "route show match %s table %u\nroute show root %s table %u", text, table,
                 text, table);
    return buf;
}

int ferry_frr_kernel_routes(struct ferry_frr *d, const char *what, uint8_t family,
                            const struct ferry_prefix *prefix, uint32_t table,
                            struct ferry_frr_kernel *kernel, struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    char line[QUESTION];
    size_t n;
    struct context c = {.kernel = kernel, .family = family, .table = prefix ? table : FERRY_TABLE_MAIN};
    int result = ferry_frr_ip(d, family, question(what, prefix, table, line), &answer, &n, err);
    if (result >= 0 && c.table != FERRY_TABLE_MAIN && strstr(answer, "FIB table does not exist"))
        return 0; /* then it holds nothing */
    return result < 0 ? result : ferry_frr_json(answer, n, routes_document, &c, err);
}

void ferry_frr_kernel_ahead(struct ferry_frr *d, const char *what, uint8_t family,
                            const struct ferry_prefix *prefix, uint32_t table)
{
    char line[QUESTION];
    ferry_frr_ahead(d, ferry_frr_ip_of(family), question(what, prefix, table, line));
}

static void address_parse(struct json_object *link, struct json_object *o, struct ferry_frr_kernel *k)
{
    struct ferry_err ignored;
    struct ferry_frr_kernel_address a = {.usable = true};
    struct json_object *v;
    const char *dev = text_of(link, "ifname");
    if (strlen(dev) >= sizeof a.dev || ferry_addr_parse(text_of(o, "local"), &a.address.addr, &ignored) < 0)
        return;
    uint32_t len = number_of(o, "prefixlen", 0);
    if (len > ferry_addr_bits(a.address.addr.family))
        return;
    strcpy(a.dev, dev);
    a.address.len = (uint8_t)len;
    a.usable =
        !json_object_object_get_ex(o, "tentative", &v) && !json_object_object_get_ex(o, "dadfailed", &v);
    FERRY_GROW(k->addresses, k->n_addresses);
    k->addresses[k->n_addresses++] = a;
}

static int addresses_document(void *ctx, struct json_object *o, struct ferry_err *err)
{
    struct json_object *infos;
    if (!json_object_is_type(o, json_type_array))
        return ferry_error(err, FERRY_EIO, "addresses that are no JSON array");
    for (size_t i = 0; i < json_object_array_length(o); i++) {
        struct json_object *link = json_object_array_get_idx(o, i);
        if (!json_object_object_get_ex(link, "addr_info", &infos) ||
            !json_object_is_type(infos, json_type_array))
            continue;
        for (size_t k = 0; k < json_object_array_length(infos); k++)
            address_parse(link, json_object_array_get_idx(infos, k), ctx);
    }
    return 0;
}

#define ADDRESSES "address show"

int ferry_frr_kernel_addresses(struct ferry_frr *d, uint8_t family, struct ferry_frr_kernel *kernel,
                               struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    size_t n;
    int result = ferry_frr_ip(d, family, ADDRESSES, &answer, &n, err);
    return result < 0 ? result : ferry_frr_json(answer, n, addresses_document, kernel, err);
}

void ferry_frr_addresses_ahead(struct ferry_frr *d, uint8_t family)
{
    ferry_frr_ahead(d, ferry_frr_ip_of(family), ADDRESSES);
}

void ferry_frr_kernel_clear(struct ferry_frr_kernel *kernel)
{
    for (size_t i = 0; i < kernel->n_routes; i++)
        free(kernel->routes[i].hops);
    free(kernel->routes);
    free(kernel->addresses);
    *kernel = (struct ferry_frr_kernel){0};
}

bool ferry_frr_kernel_zebra(const struct ferry_frr_kernel_route *route)
{
    return route->protocol == 11 || route->protocol == 42 ||
           (route->protocol >= 186 && route->protocol <= 198);
}

const struct ferry_frr_kernel_route *ferry_frr_kernel_best(const struct ferry_frr_kernel *kernel,
                                                           const struct ferry_prefix *prefix, uint32_t table)
{
    const struct ferry_frr_kernel_route *best = NULL;
    for (size_t i = 0; i < kernel->n_routes; i++) {
        const struct ferry_frr_kernel_route *r = &kernel->routes[i];
        if (r->table == table && ferry_prefix_equal(&r->prefix, prefix) &&
            (!best || r->metric < best->metric))
            best = r;
    }
    return best;
}
