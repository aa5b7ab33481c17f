/* What a router holds of one prefix, put together from its configuration, its RIB and its kernel.
 *
 *  H1. Static routes are what the configuration says, the RIB only lends what it does not: the interface behind an
 *      address, what a recursive next hop resolves to, what is down.
 *  H2. `native` of a static entry is, where its fields do not say it all, every line of it after the prefix: what FRR
 *      printed is what it is told again.
 *  H3. Connected and kernel routes have FRR's distance 0, and are nobody's to write here.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

struct made {
    struct ferry_entry e;
    struct ferry_nexthop *hops;
    size_t n_hops;
    struct ferry_frr_text native;
};

static void made_clear(struct made *m)
{
    free(m->hops);
    ferry_frr_text_clear(&m->native);
    *m = (struct made){0};
}

static int hop_compare(const void *a, const void *b)
{
    return ferry_nexthop_compare(a, b);
}

static void hop_add(struct made *m, const struct ferry_nexthop *hop)
{
    for (size_t i = 0; i < m->n_hops; i++)
        if (!ferry_nexthop_compare(&m->hops[i], hop))
            return;
    FERRY_GROW(m->hops, m->n_hops);
    m->hops[m->n_hops++] = *hop;
}

static void made_add(struct made *m, const struct ferry_prefix *prefix, uint32_t query,
                     enum ferry_relation relation, struct ferry_fib *ret)
{
    struct ferry_fib_item item = {.prefix = *prefix, .query = query, .relation = relation, .entry = m->e};
    if (m->n_hops > 1)
        qsort(m->hops, m->n_hops, sizeof *m->hops, hop_compare);
    item.entry.nexthops = m->hops;
    item.entry.n_nexthops = (uint16_t)m->n_hops;
    item.entry.native = (const uint8_t *)m->native.v;
    item.entry.native_len = (uint32_t)m->native.n;
    ferry_fib_add(ret, &item);
}

static const struct ferry_frr_route *rib_static(const struct ferry_frr_rib *rib,
                                                const struct ferry_frr_static *s)
{
    for (size_t i = 0; rib && i < rib->n; i++) {
        const struct ferry_frr_route *r = &rib->routes[i];
        if (!strcmp(r->protocol, "static") && r->table == s->table && r->distance == s->distance &&
            ferry_prefix_equal(&r->prefix, &s->prefix))
            return r;
    }
    return NULL;
}

static bool leg_of(const struct ferry_frr_leg *leg, const struct ferry_frr_static *s)
{
    return !leg->resolver && ferry_addr_equal(&leg->via, &s->via) && (!*s->dev || !strcmp(leg->dev, s->dev));
}

static struct ferry_nexthop hop_of(const struct ferry_frr_leg *leg)
{
    struct ferry_nexthop hop = {
        .router = FERRY_NO_ROUTER, .via = leg->via, .weight = 1, .onlink = leg->onlink};
    strcpy(hop.dev, leg->dev);
    hop.down = !leg->active;
    return hop;
}

/* The next hops that one line stands for (H1). */
static void legs_add(struct made *m, const struct ferry_frr_static *s, const struct ferry_frr_rib *rib,
                     const struct ferry_frr_route *route)
{
    struct ferry_nexthop hop = {
        .router = FERRY_NO_ROUTER, .via = s->via, .weight = 1, .onlink = s->onlink, .down = rib && !route};
    strcpy(hop.dev, s->dev);
    size_t i = 0;
    while (route && i < route->n_legs && !leg_of(&route->legs[i], s))
        i++;
    if (route && i == route->n_legs)
        hop.down = true;
    else if (route && !route->legs[i].recursive) {
        strcpy(hop.dev, route->legs[i].dev);
        hop.down = !route->legs[i].active;
    } else if (route) {
        for (i++; i < route->n_legs && route->legs[i].resolver; i++) {
            hop = hop_of(&route->legs[i]);
            hop_add(m, &hop);
        }
        return;
    }
    hop_add(m, &hop);
}

static bool plain(const struct ferry_frr_static *s)
{
    return !*s->rest && (!s->tag || s->tag == FERRY_FRR_TAG) && (s->type != FERRY_UNICAST || *s->dev);
}

/* The entry of the lines [0, n), which share table and distance.  A next hop goes before what drops, as a whole answer
 * of FRR has never both. */
static void static_made(const struct ferry_frr_static *s, size_t n, const struct ferry_frr_rib *rib,
                        struct made *m)
{
    const struct ferry_frr_route *route = rib_static(rib, s);
    bool all_plain = true;
    *m = (struct made){.e = {.type = s->type,
                             .table = s->table,
                             .metric = s->distance,
                             .protocol = s->tag == FERRY_FRR_TAG ? FERRY_PROTOCOL : 4}};
    for (size_t i = 0; i < n; i++) {
        all_plain &= plain(&s[i]) && s[i].tag == s->tag && s[i].type == s->type;
        if (s[i].type != FERRY_UNICAST)
            continue;
        m->e.type = FERRY_UNICAST;
        legs_add(m, &s[i], rib, route);
    }
    for (size_t i = 0; i < n && !all_plain; i++)
        ferry_frr_text_add(&m->native, "%s%s", i ? "\n" : "", ferry_frr_after_prefix(s[i].line));
}

bool ferry_frr_needs_rib(const struct ferry_frr_config *running, const struct ferry_prefix *prefix,
                         uint32_t table)
{
    size_t n;
    const struct ferry_frr_static *s = ferry_frr_config_statics(running, prefix, table, &n);
    for (size_t i = 0; i < n; i++)
        if (s[i].table == table && s[i].type == FERRY_UNICAST && !*s[i].dev)
            return true;
    return false;
}

/* ---- Gateways. ---- */

/* The attachment of a connected gateway, and what of it FRR does not know. */
static bool connected_made(const struct ferry_frr_look *look, const struct ferry_query_item *item,
                           struct made *m)
{
    char want[FERRY_PREFIX_STRLEN + 16], address[FERRY_PREFIX_STRLEN];
    const struct ferry_frr_block *block =
        item->interface ? ferry_frr_config_interface(look->running, item->interface) : NULL;
    const struct ferry_prefix *a = &item->gateway->address;
    snprintf(want, sizeof want, "%s address %s", a->addr.family == AF_INET6 ? "ipv6" : "ip",
             ferry_prefix_text(a, address));
    size_t n = strlen(want);
    const char *line = NULL;
    for (size_t i = 0; block && i < block->n_lines; i++)
        if (!strncmp(block->lines[i], want, n) && (!block->lines[i][n] || block->lines[i][n] == ' '))
            line = block->lines[i] + n;
    bool in_kernel = false, beside = false;
    for (size_t i = 0; look->kernel && item->interface && i < look->kernel->n_addresses; i++) {
        const struct ferry_frr_kernel_address *k = &look->kernel->addresses[i];
        bool here = !strcmp(k->dev, item->interface);
        bool own = here && k->address.len == a->len && ferry_addr_equal(&k->address.addr, &a->addr);
        in_kernel |= own;
        beside |= here && !own && ferry_prefix_contains(&item->prefix, &k->address.addr);
    }
    *m = (struct made){.e = {.type = FERRY_GATEWAY}};
    if (!line && !in_kernel)
        return false;
    if (line && *line)
        ferry_frr_text_add(&m->native, "%s", line + 1);
    if (!line)
        ferry_frr_text_add(&m->native, "not configured in FRR");
    else if (look->kernel && !in_kernel)
        ferry_frr_text_add(&m->native, "not in the kernel");
    else if (beside)
        ferry_frr_text_add(&m->native, "beside other addresses of the subnet");
    return true;
}

/* A routed gateway: the lines that lead to `via`, alone at their distance. */
static bool routed_made(const struct ferry_query_item *item, const struct ferry_frr_static *s, size_t n,
                        struct made *m)
{
    if (n != 1 || s->type != FERRY_UNICAST || !ferry_addr_equal(&s->via, &item->gateway->via) ||
        (item->interface && *s->dev && strcmp(s->dev, item->interface) != 0))
        return false;
    bool own = s->tag == FERRY_FRR_TAG && s->distance == FERRY_DISTANCE_ROUTE && !*s->rest && !s->onlink &&
               !strcmp(s->dev, item->interface ? item->interface : "");
    *m = (struct made){.e = {.type = FERRY_GATEWAY}};
    if (!own)
        ferry_frr_text_add(&m->native, "%s", ferry_frr_after_prefix(s->line));
    return true;
}

/* ---- All of a prefix. ---- */

/* The kernel's own route (H3): not zebra's, and not what follows from the gateway. */
static bool kernel_made(const struct ferry_frr_look *look, const struct ferry_query_item *item, bool attached,
                        struct made *m)
{
    const struct ferry_frr_kernel_route *r =
        look->kernel ? ferry_frr_kernel_best(look->kernel, &item->prefix, item->table) : NULL;
    if (!r || ferry_frr_kernel_zebra(r))
        return false;
    if (attached && r->protocol == 2 && r->n_hops == 1 && item->interface &&
        !strcmp(r->hops[0].dev, item->interface))
        return false;
    *m = (struct made){.e = {.type = r->type, .table = r->table, .protocol = r->protocol}};
    for (uint16_t i = 0; i < r->n_hops; i++)
        hop_add(m, &r->hops[i]);
    return true;
}

static void statics_add(const struct ferry_frr_look *look, const struct ferry_query_item *item,
                        uint32_t query, enum ferry_relation relation, struct ferry_fib *ret)
{
    size_t n, count;
    struct made m;
    bool routed = item->gateway && item->gateway->via.family && !item->gateway->address.addr.family,
         found = false;
    const struct ferry_frr_static *s =
        ferry_frr_config_statics(look->running, &item->prefix, item->table, &n);
    for (size_t i = 0; i < n; i += count) {
        for (count = 1;
             i + count < n && s[i + count].table == s[i].table && s[i + count].distance == s[i].distance;)
            count++;
        if (s[i].table != item->table)
            continue;
        if (routed && !found && (found = routed_made(item, &s[i], count, &m)))
            ;
        else
            static_made(&s[i], count, look->rib, &m);
        made_add(&m, &item->prefix, query, relation, ret);
        made_clear(&m);
    }
}

static void dynamic_add(const struct ferry_frr_look *look, const struct ferry_query_item *item,
                        uint32_t query, enum ferry_relation relation, struct ferry_fib *ret)
{
    for (size_t i = 0; look->rib && i < look->rib->n; i++) {
        struct ferry_fib_item made = {.prefix = item->prefix, .query = query, .relation = relation};
        const struct ferry_frr_route *r = &look->rib->routes[i];
        if (r->table != item->table || !ferry_prefix_equal(&r->prefix, &item->prefix) ||
            !ferry_frr_protocol_entry(look->running, r, &made.entry))
            continue;
        ferry_fib_add(ret, &made);
        free((void *)made.entry.nexthops);
    }
}

void ferry_frr_hold(const struct ferry_frr_look *look, const struct ferry_query_item *item, uint32_t query,
                    enum ferry_relation relation, struct ferry_fib *ret)
{
    struct made m;
    bool main_or_vrf = item->table == FERRY_TABLE_MAIN || ferry_frr_config_vrf(look->running, item->table);
    bool attached =
        item->gateway && item->gateway->address.addr.family && main_or_vrf && connected_made(look, item, &m);
    if (attached) {
        made_add(&m, &item->prefix, query, relation, ret);
        made_clear(&m);
    }
    if (kernel_made(look, item, attached, &m)) {
        made_add(&m, &item->prefix, query, relation, ret);
        made_clear(&m);
    }
    statics_add(look, item, query, relation, ret);
    dynamic_add(look, item, query, relation, ret);
}

/* ---- Agreement. ---- */

const char *ferry_frr_disagree(const struct ferry_frr_look *look, const struct ferry_prefix *prefix,
                               uint32_t table)
{
    const struct ferry_frr_kernel_route *k = ferry_frr_kernel_best(look->kernel, prefix, table);
    const struct ferry_frr_route *best = NULL;
    for (size_t i = 0; i < look->rib->n; i++) {
        const struct ferry_frr_route *r = &look->rib->routes[i];
        if (r->selected && r->table == table && ferry_prefix_equal(&r->prefix, prefix))
            best = r;
    }
    if (!best)
        return k && ferry_frr_kernel_zebra(k) ? "the kernel still has a route that FRR has not" : NULL;
    if (!k)
        return "FRR's best route is not in the kernel";
    if (!ferry_frr_kernel_zebra(k))
        return NULL;
    if (!best->installed)
        return "FRR has not installed its best route";
    size_t n = 0;
    for (size_t i = 0; i < best->n_legs; i++) {
        const struct ferry_frr_leg *leg = &best->legs[i];
        bool found = leg->type != FERRY_UNICAST ? k->type == leg->type : false;
        if (leg->recursive || !leg->fib)
            continue;
        n += leg->type == FERRY_UNICAST;
        for (uint16_t h = 0; h < k->n_hops && leg->type == FERRY_UNICAST; h++)
            found |= !strcmp(k->hops[h].dev, leg->dev) && ferry_addr_equal(&k->hops[h].via, &leg->via);
        if (!found)
            return "the kernel forwards otherwise than FRR says";
    }
    return n == k->n_hops ? NULL : "the kernel has other next hops than FRR";
}
