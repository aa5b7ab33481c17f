/* Loads what a link says of a VPN: its kind, the tunnel's names at both ends, the local networks; see load.h.
 *
 * A local network of an end is what its gateway sends into the tunnel.  Rule local-network: none of them may overlap a
 * subnet that is on the near side, the site of that end.
 *
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include <ferry/tunnel.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {
    [FERRY_LINK_DIRECT] = "direct", [FERRY_LINK_VPN] = "vpn", [FERRY_LINK_VPN_POLICY] = "vpn-policy"};

const char *ferry_link_kind_name(enum ferry_link_kind kind)
{
    return (unsigned)kind < FERRY_COUNT(kinds) ? kinds[kind] : "unknown";
}

static void load_kind(struct ferry_loader *l, uint32_t object, struct ferry_link *link)
{
    const char *name = "direct";
    if (ferry_json_opt_string(l->doc, object, "kind", &name, &l->err) < 0)
        return;
    for (size_t i = 0; i < FERRY_COUNT(kinds); i++) {
        if (strcmp(kinds[i], name) == 0) {
            link->kind = (enum ferry_link_kind)i;
            return;
        }
    }
    ferry_json_error(l->doc, ferry_json_get(l->doc, object, "kind"), &l->err,
                     "'%.40s' is not a kind of link: direct, vpn or vpn-policy", name);
}

/* ---- The tunnel. ---- */

static bool two_strings(struct ferry_loader *l, uint32_t array, const char *ret[2], uint32_t ret_v[2])
{
    if (ferry_json_count(l->doc, array) != 2) {
        ferry_json_error(l->doc, array, &l->err, "one for each end is expected, found %u",
                         ferry_json_count(l->doc, array));
        return false;
    }
    ret_v[0] = ferry_json_first(l->doc, array);
    ret_v[1] = ferry_json_next(l->doc, ret_v[0]);
    return ferry_json_string(l->doc, ret_v[0], &ret[0], &l->err) == 0 &&
           ferry_json_string(l->doc, ret_v[1], &ret[1], &l->err) == 0;
}

static const char *interface_of(const struct ferry_loader *l, const struct ferry_end *end)
{
    return l->t->routers[end->router].interfaces[end->interface].name;
}

/* `keys`: the public key of each end.  An end's tunnel is named after the other one's. */
static void load_wireguard(struct ferry_loader *l, uint32_t tunnel, struct ferry_link *link)
{
    uint32_t array, v[2];
    const char *keys[2];
    const struct ferry_end *ends[2] = {&link->a, &link->b};
    if (ferry_json_need(l->doc, tunnel, "keys", FERRY_JSON_ARRAY, &array, &l->err) < 0 ||
        !two_strings(l, array, keys, v))
        return;
    for (size_t i = 0; i < 2; i++) {
        const char *interface = interface_of(l, ends[i]);
        if (!ferry_tunnel_words_ok(FERRY_WIREGUARD, interface, keys[1 - i]))
            ferry_json_error(l->doc, v[1 - i], &l->err,
                             "'%.60s' is not a public key of WireGuard (44 characters)", keys[1 - i]);
        else
            link->tunnel[i] = ferry_asprintf("wireguard %s %s", interface, keys[1 - i]);
    }
}

/* `connections`: at each end, CONNECTION/CHILD of swanctl.conf. */
static void load_strongswan(struct ferry_loader *l, uint32_t tunnel, struct ferry_link *link)
{
    uint32_t array, v[2];
    const char *names[2];
    if (ferry_json_need(l->doc, tunnel, "connections", FERRY_JSON_ARRAY, &array, &l->err) < 0 ||
        !two_strings(l, array, names, v))
        return;
    for (size_t i = 0; i < 2; i++) {
        const char *slash = strchr(names[i], '/');
        FERRY_AUTOFREE char *connection = ferry_strdup(names[i]);
        if (slash)
            connection[slash - names[i]] = '\0';
        if (!slash || !ferry_tunnel_words_ok(FERRY_STRONGSWAN, connection, slash + 1))
            ferry_json_error(l->doc, v[i], &l->err,
                             "CONNECTION/CHILD is expected, each of letters, digits, _ and -, found '%.80s'",
                             names[i]);
        else
            link->tunnel[i] = ferry_asprintf("strongswan %s %s", connection, slash + 1);
    }
}

/* Within a router, each tunnel is one link's; and so are the keys of their selectors. */
static void take_tunnels(struct ferry_loader *l, uint32_t v, const struct ferry_link *link)
{
    const uint32_t routers[2] = {link->a.router, link->b.router};
    for (size_t i = 0; i < 2; i++) {
        if (!link->tunnel[i])
            continue;
        uint32_t key[2] = {routers[i], ferry_selector_key(link->tunnel[i], strlen(link->tunnel[i]), 0)};
        if (ferry_map_add(&l->tunnels, ferry_json_arena(l->doc, key, sizeof key), sizeof key, 0) !=
            FERRY_MAP_NONE)
            ferry_json_error(l->doc, v, &l->err, "router '%s' has a link through this tunnel already",
                             l->t->routers[routers[i]].name);
    }
}

static void load_tunnel(struct ferry_loader *l, uint32_t object, struct ferry_link *link)
{
    static const char *const keys[] = {"type", "keys", "connections", NULL};
    const char *type = NULL;
    uint32_t v;
    if (ferry_json_need(l->doc, object, "tunnel", FERRY_JSON_OBJECT, &v, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    if (ferry_json_need_string(l->doc, v, "type", &type, &l->err) < 0)
        return;
    bool wireguard = strcmp(type, "wireguard") == 0, strongswan = strcmp(type, "strongswan") == 0;
    uint32_t other = ferry_json_get(l->doc, v, wireguard ? "connections" : "keys");
    if (!wireguard && !strongswan)
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "type"), &l->err,
                         "'%.40s' is not a kind of tunnel: wireguard or strongswan", type);
    else if (other != FERRY_JSON_NONE)
        ferry_json_error_key(l->doc, other, &l->err, "not of a %s tunnel", type);
    else if (wireguard)
        load_wireguard(l, v, link);
    else
        load_strongswan(l, v, link);
    take_tunnels(l, v, link);
}

/* ---- Local networks. ---- */

static void load_network(struct ferry_loader *l, uint32_t v, uint32_t link, size_t end, size_t index)
{
    struct ferry_local_network *n = &l->t->links[link].local_networks[end][index];
    unsigned line, column;
    if (!ferry_load_prefix(l, v, &n->prefix))
        return;
    ferry_json_position(l->doc, v, &line, &column);
    n->where =
        ferry_asprintf("%s:%u:%u: /links/%u/local-networks/%zu/%zu", l->name, line, column, link, end, index);
    FERRY_GROW(l->local_networks, l->n_local_networks);
    l->local_networks[l->n_local_networks++] =
        (struct ferry_load_network){.v = v, .link = link, .end = (uint32_t)end, .prefix = n->prefix};
}

static void load_networks(struct ferry_loader *l, uint32_t object, uint32_t index)
{
    struct ferry_link *link = &l->t->links[index];
    uint32_t array = FERRY_JSON_NONE;
    size_t end = 0;
    if (ferry_json_opt(l->doc, object, "local-networks", FERRY_JSON_ARRAY, &array, &l->err) < 0 ||
        array == FERRY_JSON_NONE)
        return;
    if (ferry_json_count(l->doc, array) != 2) {
        ferry_json_error(l->doc, array, &l->err, "a list for each end is expected, found %u",
                         ferry_json_count(l->doc, array));
        return;
    }
    FERRY_JSON_EACH(l->doc, array, list)
    {
        if (ferry_json_want(l->doc, list, FERRY_JSON_ARRAY, &l->err) < 0)
            return;
        link->local_networks[end] =
            ferry_calloc(ferry_json_count(l->doc, list), sizeof **link->local_networks);
        FERRY_JSON_EACH(l->doc, list, v)
        load_network(l, v, index, end, link->n_local_networks[end]++);
        end++;
    }
}

void ferry_load_tunnel(struct ferry_loader *l, uint32_t object, uint32_t index, bool ends_known)
{
    static const char *const of_policy[] = {"tunnel", "local-networks"};
    struct ferry_link *link = &l->t->links[index];
    load_kind(l, object, link);
    for (size_t i = 0; i < FERRY_COUNT(of_policy) && link->kind != FERRY_LINK_VPN_POLICY; i++) {
        uint32_t v = ferry_json_get(l->doc, object, of_policy[i]);
        if (v != FERRY_JSON_NONE)
            ferry_json_error_key(l->doc, v, &l->err, "only a link of kind vpn-policy has '%s'", of_policy[i]);
    }
    if (link->kind != FERRY_LINK_VPN_POLICY)
        return;
    if (ends_known && l->t->routers[link->a.router].site == l->t->routers[link->b.router].site)
        ferry_json_error(l->doc, object, &l->err,
                         "a link of kind vpn-policy joins two sites, not two routers of one");
    load_networks(l, object, index);
    if (ends_known)
        load_tunnel(l, object, link);
}

void ferry_load_check_local_networks(struct ferry_loader *l)
{
    char network[FERRY_PREFIX_STRLEN], prefix[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < l->n_local_networks; i++) {
        const struct ferry_load_network *n = &l->local_networks[i];
        const struct ferry_link *link = &l->t->links[n->link];
        const struct ferry_router *router = &l->t->routers[n->end ? link->b.router : link->a.router];
        for (size_t k = 0; k < l->t->n_subnets; k++) {
            const struct ferry_subnet *s = &l->t->subnets[k];
            bool overlap =
                ferry_prefix_covers(&n->prefix, &s->prefix) || ferry_prefix_covers(&s->prefix, &n->prefix);
            if (!overlap || s->home != router->site)
                continue;
            ferry_json_error(
                l->doc, n->v, &l->err,
                "rule local-network: %s would be a local network of %s, beyond the tunnel, but %s (%s) is "
                "on its near side, %s",
                ferry_prefix_text(&n->prefix, network), router->name, s->name,
                ferry_prefix_text(&s->prefix, prefix), l->t->sites[s->home].name);
            break;
        }
    }
}
