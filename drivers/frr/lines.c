/* Ops as lines of vtysh.  An op says all that is needed: no router is asked.
 *
 *  L1. Prefixes and addresses are printed from their binary form.  Names come only as ferry_frr_name_fits takes them,
 *      and an entry's native words only where all of them are words of a static route.
 *  L2. Every context is entered from the top and left: a line that FRR refuses takes no other along.
 *  L3. What is new stands in the first file, what goes in the second.  FRR lets no drop stand beside a next hop of the
 *      same distance: such a swap is one file, which FRR takes as one change, its `no` first (and B1 of bridge.c).
 *  L4. FRR knows a static route by its next hop and interface, whatever its distance and tag: a line for the same one
 *      replaces, and needs no `no`.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ferry/tunnel.h>

#include "base/text.h"

#include <stdio.h>

enum { LINES_MAX = 128 };

/* The lines of one entry, without "ip route PREFIX ". */
struct side {
    char *v[LINES_MAX];
    size_t n;
    bool drops;
    const struct ferry_vrf *vrf; /* in whose block they stand; NULL: in none */
};

static void side_clear(struct side *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i]);
    s->n = 0;
}

bool ferry_frr_name_fits(const char *name)
{
    static const char *const words[] = {"Null0", "reject", "blackhole", "tag", "table", "onlink",
                                        "label", "color",  "bfd",       "vrf", "from",  "nexthop-vrf"};
    size_t n = strlen(name);
    if (n < 1 || n >= FERRY_DEV_LEN || strspn(name, "0123456789") == n || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        return false;
    for (size_t i = 0; i < FERRY_COUNT(words); i++)
        if (!strcmp(name, words[i]))
            return false;
    return name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@-") == n;
}

/* L1: words that FRR itself printed once, and that a plan brought back. */
static bool words_fit(const char *line, size_t n)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@- ";
    if (n < 1 || n > 1024 || line[0] == ' ')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!line[i] || !strchr(plain, line[i]))
            return false;
    return true;
}

static int side_native(const struct ferry_entry *e, struct side *ret, struct ferry_err *err)
{
    const char *at = (const char *)e->native, *end = at + e->native_len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        if (!words_fit(at, n) || ret->n == LINES_MAX)
            return ferry_error(err, FERRY_EREFUSED, "the native part of the entry is no static route of FRR");
        ret->v[ret->n++] = ferry_asprintf("%.*s", (int)n, at);
        at += n + 1;
    }
    return 0;
}

static void options(const struct ferry_entry *e, const struct ferry_nexthop *hop, const struct side *side,
                    struct ferry_frr_text *t)
{
    if (e->protocol == FERRY_PROTOCOL)
        ferry_frr_text_add(t, " tag %d", FERRY_FRR_TAG);
    if (e->metric != 1)
        ferry_frr_text_add(t, " %u", e->metric);
    if (e->table != FERRY_TABLE_MAIN && !side->vrf)
        ferry_frr_text_add(t, " table %u", e->table);
    if (hop && hop->onlink)
        ferry_frr_text_add(t, " onlink");
}

static int side_legs(const struct ferry_entry *e, struct side *ret, struct ferry_err *err)
{
    if (e->n_nexthops < 1 || e->n_nexthops > LINES_MAX)
        return ferry_error(err, FERRY_EREFUSED, "%u next hops: FRR is given 1 to %d", e->n_nexthops,
                           LINES_MAX);
    for (size_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        struct ferry_frr_text t = {0};
        char via[FERRY_ADDR_STRLEN];
        if (hop->weight > 1)
            return ferry_error(err, FERRY_EREFUSED, "a static route of FRR 8.4 has no weights");
        if (*hop->dev && !ferry_frr_name_fits(hop->dev))
            return ferry_error(err, FERRY_EREFUSED, "FRR cannot be told of an interface \"%.20s\"", hop->dev);
        if (!*hop->dev && !hop->via.family)
            return ferry_error(err, FERRY_EREFUSED, "a next hop without address and interface");
        if (hop->via.family)
            ferry_frr_text_add(&t, "%s%s", ferry_addr_text(&hop->via, via), *hop->dev ? " " : "");
        ferry_frr_text_add(&t, "%s", hop->dev);
        options(e, hop, ret, &t);
        ret->v[ret->n++] = t.v;
    }
    return 0;
}

static int side_make(const struct ferry_driver_config *config, const struct ferry_entry *e, struct side *ret,
                     struct ferry_err *err)
{
    if (!e || ferry_entry_dynamic(e))
        return 0;
    ret->vrf = ferry_driver_config_vrf(config, e->table);
    if (ret->vrf && !ferry_frr_vrf_name_fits(ret->vrf->name)) /* L1 */
        return ferry_error(err, FERRY_EREFUSED, "FRR cannot be told of a VRF \"%.20s\"", ret->vrf->name);
    ret->drops = e->type != FERRY_UNICAST;
    if (e->metric < 1 || e->metric > 254)
        return ferry_error(err, FERRY_EREFUSED,
                           "%s, which FRR does not make: its static routes have a distance of 1 to 254",
                           e->metric ? "a metric above 254" : "a route of the kernel");
    if (e->protocol != FERRY_PROTOCOL && e->protocol != 4)
        return ferry_error(err, FERRY_EREFUSED, "a route of protocol %u is none of FRR's static ones",
                           e->protocol);
    if (e->native_len)
        return side_native(e, ret, err);
    if (e->type == FERRY_UNICAST)
        return side_legs(e, ret, err);
    if (e->type != FERRY_BLACKHOLE && e->type != FERRY_UNREACHABLE)
        return ferry_error(err, FERRY_EREFUSED,
                           "FRR has no static route of type %s: use blackhole or unreachable",
                           ferry_entry_type_name(e->type));
    struct ferry_frr_text t = {0};
    ferry_frr_text_add(&t, e->type == FERRY_BLACKHOLE ? "blackhole" : "reject");
    options(e, NULL, ret, &t);
    ret->v[ret->n++] = t.v;
    return 0;
}

/* What FRR knows a line by (L4): the words up to the first option, and the table. */
void ferry_frr_line_identity(const char *line, char *buf, size_t size)
{
    static const char *const options_[] = {"tag", "onlink", "label", "color", "bfd"};
    static const char *const drops[] = {"blackhole", "reject", "Null0"};
    FERRY_AUTOFREE char *copy = ferry_strdup(line);
    char *rest = NULL;
    size_t n = 0;
    unsigned at = 0;
    *buf = 0;
    for (char *w = strtok_r(copy, " ", &rest); w && n < size; w = strtok_r(NULL, " ", &rest), at++) {
        bool skip = false, drop = false;
        for (size_t i = 0; i < FERRY_COUNT(options_); i++)
            skip |= !strcmp(w, options_[i]);
        for (size_t i = 0; i < FERRY_COUNT(drops); i++)
            drop |= !strcmp(w, drops[i]);
        if (skip && (!strcmp(w, "tag") || !strcmp(w, "label") || !strcmp(w, "color")))
            strtok_r(NULL, " ", &rest);
        bool table = !strcmp(w, "table");
        if (!skip && (table || at == 0 || strspn(w, "0123456789") != strlen(w)))
            n += (size_t)snprintf(buf + n, size - n, "%s ", drop ? "drop" : w);
        if (table && (w = strtok_r(NULL, " ", &rest)) && n < size)
            n += (size_t)snprintf(buf + n, size - n, "%s ", w);
    }
}

static bool same_identity(const char *a, const char *b)
{
    char x[256], y[256];
    ferry_frr_line_identity(a, x, sizeof x);
    ferry_frr_line_identity(b, y, sizeof y);
    return !strcmp(x, y);
}

static bool has(const struct side *s, const char *line, bool (*same)(const char *a, const char *b))
{
    for (size_t i = 0; i < s->n; i++)
        if (same(s->v[i], line))
            return true;
    return false;
}

static bool same_text(const char *a, const char *b)
{
    return !strcmp(a, b);
}

/* The lines of one op in one file, within the block of their VRF where they have one (L2). */
static void block_add(struct ferry_frr_text *file, const struct ferry_vrf *vrf, char *lines)
{
    char *rest = NULL;
    if (vrf && lines)
        ferry_frr_text_add(file, "vrf %s\n", vrf->name);
    for (char *line = lines ? strtok_r(lines, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
        ferry_frr_text_add(file, "%s%s\n", vrf ? " " : "", line);
    if (vrf && lines)
        ferry_frr_text_add(file, "exit-vrf\n");
}

static int swap(const struct ferry_prefix *prefix, const struct side *before, const struct side *after,
                struct ferry_frr_files *files, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_files_clear) struct ferry_frr_files made = {0};
    char text[FERRY_PREFIX_STRLEN];
    const char *ip = prefix->addr.family == AF_INET6 ? "ipv6" : "ip";
    ferry_prefix_text(prefix, text);
    bool one_file = before->n && after->n && before->drops != after->drops; /* L3 */
    for (size_t i = 0; i < before->n + after->n; i++)
        if (strlen(i < before->n ? before->v[i] : after->v[i - before->n]) > FERRY_FRR_LINE_MAX - 100)
            return ferry_error(err, FERRY_EREFUSED, "a line too long for vtysh");
    for (size_t i = 0; i < before->n; i++)
        if (!has(after, before->v[i], same_identity))
            ferry_frr_text_add(&made.file[one_file ? 0 : FERRY_FRR_FILES - 1], "no %s route %s %s\n", ip,
                               text, before->v[i]);
    for (size_t i = 0; i < after->n; i++)
        if (!has(before, after->v[i], same_text))
            ferry_frr_text_add(&made.file[0], "%s route %s %s\n", ip, text, after->v[i]);
    for (size_t i = 0; i < FERRY_FRR_FILES; i++)
        block_add(&files->file[i], before->n ? before->vrf : after->vrf, made.file[i].v);
    return 0;
}

static int route_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                       struct ferry_frr_files *files, struct ferry_err *err)
{
    FERRY_CLEANUP(side_clear) struct side before = {0};
    FERRY_CLEANUP(side_clear) struct side after = {0};
    int result = side_make(config, op->before, &before, err);
    if (!result)
        result = side_make(config, op->after, &after, err);
    return result ? result : swap(&op->prefix, &before, &after, files, err);
}

/* ---- Gateways. ---- */

struct ferry_entry ferry_frr_gateway_route(const struct ferry_op *op, struct ferry_nexthop *hop)
{
    *hop = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .via = op->gateway->via, .weight = 1};
    if (op->interface && strlen(op->interface) < sizeof hop->dev)
        strcpy(hop->dev, op->interface);
    return (struct ferry_entry){.type = FERRY_UNICAST,
                                .table = op->table ? op->table : FERRY_TABLE_MAIN,
                                .metric = FERRY_DISTANCE_ROUTE,
                                .protocol = FERRY_PROTOCOL,
                                .n_nexthops = 1,
                                .nexthops = hop};
}

static int routed_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                        struct ferry_frr_files *files, struct ferry_err *err)
{
    struct ferry_nexthop hop;
    struct ferry_entry sides[2];
    struct ferry_op route = *op;
    const struct ferry_entry *given[] = {op->before, op->after};
    for (size_t i = 0; i < 2; i++) {
        sides[i] = ferry_frr_gateway_route(op, &hop);
        sides[i].native = given[i] ? given[i]->native : NULL;
        sides[i].native_len = given[i] ? given[i]->native_len : 0;
    }
    route.before = op->before ? &sides[0] : NULL;
    route.after = op->after ? &sides[1] : NULL;
    return route_lines(config, &route, files, err);
}

static int connected_line(const struct ferry_op *op, const struct ferry_entry *e, const char *no,
                          struct ferry_frr_text *t, struct ferry_err *err)
{
    char address[FERRY_PREFIX_STRLEN];
    const char *ip = op->gateway->address.addr.family == AF_INET6 ? "ipv6" : "ip";
    const char *words = (const char *)e->native;
    if (e->native_len && (strncmp(words, "label ", 6) != 0 || !words_fit(words, e->native_len)))
        return ferry_error(
            err, FERRY_EREFUSED,
            "%s has addresses that FRR's configuration does not have (%.*s): FRR cannot take them away "
            "and bring them back; first configure them in FRR (`interface %s`, `%s address …`)",
            op->interface, (int)e->native_len, words, op->interface, ip);
    ferry_frr_text_add(t, "interface %s\n %s%s address %s%s%.*s\nexit\n", op->interface, no, ip,
                       ferry_prefix_text(&op->gateway->address, address), e->native_len ? " " : "",
                       (int)e->native_len, words ? words : "");
    return 0;
}

static int gateway_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                         struct ferry_frr_files *files, struct ferry_err *err)
{
    int result = 0;
    if (!op->gateway)
        return ferry_error(err, FERRY_EREFUSED, "no gateway is named");
    if (!op->gateway->address.addr.family)
        return routed_lines(config, op, files, err);
    if (!op->interface || !ferry_frr_name_fits(op->interface))
        return ferry_error(err, FERRY_EREFUSED, "FRR cannot be told of an interface \"%.20s\"",
                           op->interface ? op->interface : "");
    if (op->table && op->table != FERRY_TABLE_MAIN && !ferry_driver_config_vrf(config, op->table))
        return ferry_error(err, FERRY_EREFUSED,
                           "FRR attaches to table main and to VRFs only, not to table %u", op->table);
    if (op->before)
        result = connected_line(op, op->before, "no ", &files->file[FERRY_FRR_FILES - 1], err);
    if (!result && op->after)
        result = connected_line(op, op->after, "", &files->file[0], err);
    return result;
}

int ferry_frr_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                    struct ferry_frr_files *files, struct ferry_err *err)
{
    switch (op->kind) {
    case FERRY_KIND_GATEWAY:
        return gateway_lines(config, op, files, err);
    case FERRY_KIND_ANNOUNCEMENT:
        return ferry_frr_announce_lines(config, op, files, err);
    case FERRY_KIND_DNS:
        return ferry_error(err, FERRY_ESUPPORT, "a router has no records");
    case FERRY_KIND_SELECTOR:
        return ferry_error(err, FERRY_EREFUSED, "the driver frr changes no VPN tunnels");
    case FERRY_KIND_ROUTE:
        break;
    }
    return route_lines(config, op, files, err);
}

int ferry_frr_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                     size_t size)
{
    FERRY_CLEANUP(ferry_frr_files_clear) struct ferry_frr_files files = {0};
    struct ferry_frr_text all = {0};
    struct ferry_err err;
    if (op->kind == FERRY_KIND_SELECTOR)
        return ferry_selector_native(op, buf, size);
    if (ferry_frr_lines(config, op, &files, &err) < 0) {
        ferry_text_tidy(err.text);
        ferry_frr_text_add(&all, "! %s\n", err.text);
    }
    for (size_t i = 0; i < FERRY_FRR_FILES; i++)
        if (files.file[i].n)
            ferry_frr_text_add(&all, "%s", files.file[i].v);
    int n = snprintf(buf, size, "%s", all.v ? all.v : "");
    ferry_frr_text_clear(&all);
    return n;
}
