/* Loads the subnets of a topology and their gateways; see load.h.  SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Prefixes that are no subnet of anybody's (RFC 6890). */
static const struct {
    struct ferry_prefix prefix;
    const char *what;
} special[] = {
    {{{AF_INET, {127}}, 8}, "loopback"},         {{{AF_INET, {169, 254}}, 16}, "link-local"},
    {{{AF_INET, {224}}, 4}, "multicast"},        {{{AF_INET, {255, 255, 255, 255}}, 32}, "broadcast"},
    {{{AF_INET6, {[15] = 1}}, 128}, "loopback"}, {{{AF_INET6, {0xfe, 0x80}}, 10}, "link-local"},
    {{{AF_INET6, {0xff}}, 8}, "multicast"},
};

static bool check_prefix(struct ferry_loader *l, uint32_t v, const char *text, const struct ferry_prefix *p)
{
    char buf[FERRY_PREFIX_STRLEN];
    struct ferry_prefix network = ferry_prefix_network(p);
    if (ferry_prefix_has_host_bits(p)) {
        ferry_json_error(l->doc, v, &l->err, "%s has host bits: the network is %s", text,
                         ferry_prefix_text(&network, buf));
        return false;
    }
    if (p->len == 0) {
        ferry_json_error(l->doc, v, &l->err, "%s is the default route, not a subnet", text);
        return false;
    }
    for (size_t i = 0; i < FERRY_COUNT(special); i++) {
        const struct ferry_prefix *s = &special[i].prefix;
        if (ferry_prefix_covers(s, p) || ferry_prefix_covers(p, s)) {
            ferry_json_error(l->doc, v, &l->err, "%s holds %s addresses (%s), not a subnet", text,
                             special[i].what, ferry_prefix_text(s, buf));
            return false;
        }
    }
    return true;
}

bool ferry_load_prefix(struct ferry_loader *l, uint32_t v, struct ferry_prefix *ret)
{
    struct ferry_err why;
    const char *text = NULL;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return false;
    if (ferry_prefix_parse(text, ret, &why) < 0) {
        ferry_json_error(l->doc, v, &l->err, "%s", why.text);
        return false;
    }
    return check_prefix(l, v, text, ret);
}

static bool load_prefix(struct ferry_loader *l, uint32_t object, uint32_t index)
{
    const char *text = NULL;
    struct ferry_prefix p;
    uint32_t v;
    if (ferry_json_need(l->doc, object, "prefix", FERRY_JSON_STRING, &v, &l->err) < 0 ||
        !ferry_load_prefix(l, v, &p))
        return false;
    uint32_t first = ferry_map_add(&l->prefixes, ferry_json_arena(l->doc, &p, sizeof p), sizeof p, index);
    if (first != FERRY_MAP_NONE && ferry_json_string(l->doc, v, &text, &l->err) == 0)
        ferry_json_error(l->doc, v, &l->err, "%s is subnet '%s' already", text, l->t->subnets[first].name);
    l->t->subnets[index].prefix = p;
    return true;
}

/* ---- Gateways. ---- */

/* A connected one: "neither its network nor its broadcast address". */
static void load_connected(struct ferry_loader *l, uint32_t v, const struct ferry_prefix *subnet,
                           struct ferry_gateway *gateway)
{
    char buf[FERRY_PREFIX_STRLEN];
    const char *text = NULL, *not = NULL;
    struct ferry_prefix a;
    struct ferry_err why;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return;
    if (ferry_prefix_parse(text, &a, &why) < 0) {
        ferry_json_error(l->doc, v, &l->err, "%s", why.text);
        return;
    }
    if (!ferry_prefix_contains(subnet, &a.addr))
        not = "is not in";
    else if (a.len != subnet->len)
        not = "has not the length of";
    else if (ferry_load_is_network(&a))
        not = "is the address of the network";
    else if (ferry_load_is_broadcast(&a))
        not = "is the broadcast address of";
    if (not )
        ferry_json_error(l->doc, v, &l->err, "%s %s %s", text, not, ferry_prefix_text(subnet, buf));
    gateway->address = a;
}

/* Whether `via` may be there: on a listed network, or where the file lists none of its family. */
static bool on_network(const struct ferry_interface *interface, const struct ferry_addr *via)
{
    bool listed = false;
    for (size_t i = 0; i < interface->n_addresses; i++) {
        if (ferry_prefix_contains(&interface->addresses[i], via))
            return true;
        listed = listed || interface->addresses[i].addr.family == via->family;
    }
    return !listed;
}

static bool has_address(const struct ferry_router *router, const struct ferry_addr *a)
{
    for (size_t i = 0; i < router->n_interfaces; i++)
        for (size_t j = 0; j < router->interfaces[i].n_addresses; j++)
            if (ferry_addr_equal(&router->interfaces[i].addresses[j].addr, a))
                return true;
    return false;
}

/* Whether the router can reach the device directly, as the kernel demands of a next hop. */
static void check_reach(struct ferry_loader *l, uint32_t v, const char *text,
                        const struct ferry_gateway *gateway)
{
    const struct ferry_router *router = &l->t->routers[gateway->router];
    bool reached = false;
    if (gateway->interface != FERRY_NONE) {
        const struct ferry_interface *interface = &router->interfaces[gateway->interface];
        if (!ferry_load_is_link_local(&gateway->via) && !on_network(interface, &gateway->via))
            ferry_json_error(l->doc, v, &l->err, "%s is on no network of interface '%s'", text,
                             interface->name);
        return;
    }
    for (size_t i = 0; i < router->n_interfaces; i++)
        reached = reached || on_network(&router->interfaces[i], &gateway->via);
    if (ferry_load_is_link_local(&gateway->via))
        ferry_json_error(l->doc, v, &l->err, "%s is link-local: 'interface' is missing", text);
    else if (!reached)
        ferry_json_error(l->doc, v, &l->err, "%s is on no network of router '%s'", text, router->name);
}

static void load_routed(struct ferry_loader *l, uint32_t v, const struct ferry_prefix *subnet,
                        struct ferry_gateway *gateway)
{
    char buf[FERRY_PREFIX_STRLEN], text[FERRY_ADDR_STRLEN];
    if (!ferry_load_plain_address(l, v, &gateway->via))
        return;
    ferry_addr_text(&gateway->via, text);
    uint32_t owner = ferry_map_get(&l->owners, &gateway->via, sizeof gateway->via);
    if (gateway->via.family != subnet->addr.family)
        ferry_json_error(l->doc, v, &l->err, "%s is not of the family of %s", text,
                         ferry_prefix_text(subnet, buf));
    else if (ferry_prefix_contains(subnet, &gateway->via))
        ferry_json_error(l->doc, v, &l->err, "%s lies in %s, which is behind it", text,
                         ferry_prefix_text(subnet, buf));
    else if (has_address(&l->t->routers[gateway->router], &gateway->via))
        ferry_json_error(l->doc, v, &l->err, "%s is an address of router '%s' itself", text,
                         l->t->routers[gateway->router].name);
    else if (owner != FERRY_MAP_NONE) /* whose own route to the subnet leads to the gateway: a loop */
        ferry_json_error(l->doc, v, &l->err,
                         "%s is an address of router '%s' of this topology: name a device behind it that the "
                         "topology does not have, or make '%s' the gateway's router",
                         text, l->t->routers[l->addresses[owner].router].name,
                         l->t->routers[l->addresses[owner].router].name);
    else
        check_reach(l, v, text, gateway);
}

static bool load_place(struct ferry_loader *l, uint32_t object, struct ferry_gateway *gateway)
{
    const char *name = NULL;
    gateway->interface = FERRY_NONE;
    gateway->router = ferry_load_reference(l, object, "router", &l->routers, "router");
    if (gateway->router == FERRY_NONE ||
        ferry_json_opt_string(l->doc, object, "interface", &name, &l->err) < 0)
        return false;
    const struct ferry_router *router = &l->t->routers[gateway->router];
    for (size_t i = 0; name && i < router->n_interfaces; i++)
        if (strcmp(router->interfaces[i].name, name) == 0)
            gateway->interface = (uint32_t)i;
    if (!name || gateway->interface != FERRY_NONE)
        return true;
    gateway->interface = ferry_load_vlan_of_name(l, gateway->router, name);
    if (gateway->interface != FERRY_NONE)
        return true;
    ferry_json_error(l->doc, ferry_json_get(l->doc, object, "interface"), &l->err,
                     "router '%s' has no interface '%.80s'", router->name, name);
    return false;
}

void ferry_load_gateway(struct ferry_loader *l, uint32_t object, const struct ferry_prefix *subnet,
                        struct ferry_gateway *gateway)
{
    static const char *const keys[] = {"router", "interface", "address", "via", "rules", NULL};
    gateway->router = FERRY_NONE;
    if (ferry_json_want(l->doc, object, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, object, keys, &l->err);
    bool placed = load_place(l, object, gateway);
    uint32_t address = ferry_json_get(l->doc, object, "address"), via = ferry_json_get(l->doc, object, "via");
    if (address != FERRY_JSON_NONE && via != FERRY_JSON_NONE)
        ferry_json_error_key(l->doc, via, &l->err, "'address' and 'via' exclude each other");
    else if (address == FERRY_JSON_NONE && via == FERRY_JSON_NONE)
        ferry_json_error(l->doc, object, &l->err, "'address' or 'via' is missing");
    else if (address != FERRY_JSON_NONE && ferry_json_get(l->doc, object, "interface") == FERRY_JSON_NONE)
        ferry_json_error(l->doc, object, &l->err, "'interface' is missing: 'address' needs one");
    else if (address != FERRY_JSON_NONE && subnet)
        load_connected(l, address, subnet, gateway);
    else if (via != FERRY_JSON_NONE && subnet && placed)
        load_routed(l, via, subnet, gateway);
}

/* One a router: the attachment is the router's key (its prefix), and there is one. */
static void check_twice(struct ferry_loader *l, uint32_t v, const struct ferry_subnet *subnet,
                        struct ferry_map *routers, size_t index)
{
    const struct ferry_gateway *gateway = &subnet->gateways[index];
    if (gateway->router != FERRY_NONE &&
        ferry_map_add(routers, &gateway->router, sizeof gateway->router, (uint32_t)index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, v, &l->err, "router '%s' has a gateway of this subnet already",
                         l->t->routers[gateway->router].name);
}

static bool load_gateways(struct ferry_loader *l, uint32_t object, struct ferry_subnet *subnet,
                          bool prefix_known)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map routers = {0};
    uint32_t array;
    if (ferry_json_need(l->doc, object, "gateways", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return false;
    size_t before = l->findings->n;
    subnet->gateways = ferry_calloc(ferry_json_count(l->doc, array), sizeof *subnet->gateways);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return false;
        size_t index = subnet->n_gateways++;
        ferry_load_gateway(l, v, prefix_known ? &subnet->prefix : NULL, &subnet->gateways[index]);
        if (subnet->gateways[index].router != FERRY_NONE)
            ferry_load_brought(l, v, subnet, &subnet->gateways[index]);
        check_twice(l, v, subnet, &routers, index);
    }
    return l->findings->n == before;
}

static void check_home(struct ferry_loader *l, uint32_t object, const struct ferry_subnet *subnet)
{
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (l->t->routers[subnet->gateways[i].router].site == subnet->home)
            return;
    ferry_json_error(l->doc, ferry_json_get(l->doc, object, "home"), &l->err,
                     "the subnet has no gateway at its home, site '%s'", l->t->sites[subnet->home].name);
}

static void load_probe(struct ferry_loader *l, uint32_t object, struct ferry_subnet *subnet)
{
    char buf[FERRY_ADDR_STRLEN], prefix[FERRY_PREFIX_STRLEN];
    uint32_t v = ferry_json_get(l->doc, object, "probe");
    if (v == FERRY_JSON_NONE || !ferry_load_plain_address(l, v, &subnet->probe))
        return;
    if (!ferry_prefix_contains(&subnet->prefix, &subnet->probe))
        ferry_json_error(l->doc, v, &l->err, "%s is not in %s", ferry_addr_text(&subnet->probe, buf),
                         ferry_prefix_text(&subnet->prefix, prefix));
}

/* A stretched one lives at two sites or more: it has a gateway at each. */
static void load_stretched(struct ferry_loader *l, uint32_t object, struct ferry_subnet *subnet)
{
    uint32_t v = ferry_json_get(l->doc, object, "stretched");
    bool elsewhere = false;
    if (ferry_json_opt_bool(l->doc, object, "stretched", &subnet->stretched, &l->err) < 0 ||
        !subnet->stretched)
        return;
    for (size_t i = 0; i < subnet->n_gateways; i++)
        elsewhere = elsewhere || l->t->routers[subnet->gateways[i].router].site != subnet->home;
    if (!elsewhere)
        ferry_json_error(l->doc, v, &l->err, "a stretched subnet has gateways at two sites or more");
}

/* Routes of single machines follow them only where the subnet itself need not.  On a LAN such a route leads to the
 * machine by way of itself, which FRR takes and never installs (8.4.4: "inactive"). */
static void load_host_routes(struct ferry_loader *l, uint32_t object, struct ferry_subnet *subnet)
{
    uint32_t v = ferry_json_get(l->doc, object, "host-routes");
    if (ferry_json_opt_bool(l->doc, object, "host-routes", &subnet->host_routes, &l->err) < 0 ||
        !subnet->host_routes)
        return;
    if (!subnet->stretched)
        ferry_json_error(
            l->doc, v, &l->err,
            "only a stretched subnet has host routes: another one is at one site, and so are its "
            "machines");
    for (size_t i = 0; i < subnet->n_gateways; i++) {
        const struct ferry_router *router = &l->t->routers[subnet->gateways[i].router];
        if (router->driver.type && strcmp(router->driver.type, "frr") == 0 && !subnet->gateways[i].via.family)
            ferry_json_error(l->doc, v, &l->err,
                             "%s runs FRR, which takes no route to a machine on its own LAN: its gateway "
                             "needs a \"via\"",
                             router->name);
    }
}

static void load_subnet(struct ferry_loader *l, uint32_t object, uint32_t index)
{
    static const char *const keys[] = {"name",  "prefix",    "home",        "table", "gateways",
                                       "probe", "stretched", "host-routes", "test",  NULL};
    struct ferry_subnet *subnet = &l->t->subnets[index];
    subnet->name = ferry_strdup("?"); /* where it has none that can be shown */
    if (ferry_json_want(l->doc, object, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, object, keys, &l->err);
    const char *name = ferry_load_name(l, object);
    if (name) {
        snprintf(subnet->name = ferry_realloc(subnet->name, strlen(name) + 1, 1), strlen(name) + 1, "%s",
                 name);
        if (ferry_map_add(&l->subnets, name, strlen(name), index) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, "name"), &l->err,
                             "there is a subnet '%s' already", name);
    }
    bool prefix_known = load_prefix(l, object, index);
    subnet->home = ferry_load_reference(l, object, "home", &l->sites, "site");
    ferry_load_table(l, object, &subnet->table);
    if (prefix_known)
        load_probe(l, object, subnet);
    if (load_gateways(l, object, subnet, prefix_known) && subnet->home != FERRY_NONE) {
        check_home(l, object, subnet);
        load_stretched(l, object, subnet);
        load_host_routes(l, object, subnet);
    }
    if (prefix_known && name)
        ferry_load_test(l, object, subnet);
}

void ferry_load_subnets(struct ferry_loader *l, uint32_t array)
{
    l->t->subnets = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->t->subnets);
    l->tests = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->tests);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        load_subnet(l, v, (uint32_t)l->t->n_subnets++);
    }
}

void ferry_load_check_doubles(struct ferry_loader *l)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map gateways = {0};
    char buf[FERRY_ADDR_STRLEN];
    if (l->n_doubles == 0)
        return;
    for (size_t i = 0; i < l->t->n_subnets; i++)
        for (size_t j = 0; j < l->t->subnets[i].n_gateways; j++)
            ferry_map_add(&gateways, &l->t->subnets[i].gateways[j].address.addr, sizeof(struct ferry_addr),
                          0);
    for (size_t i = 0; i < l->n_doubles; i++) {
        const struct ferry_load_address *d = &l->doubles[i];
        uint32_t first = ferry_map_get(&l->owners, &d->addr, sizeof d->addr);
        if (ferry_map_get(&gateways, &d->addr, sizeof d->addr) == FERRY_MAP_NONE)
            ferry_json_error(l->doc, d->v, &l->err, "router '%s' has %s already",
                             l->t->routers[l->addresses[first].router].name, ferry_addr_text(&d->addr, buf));
    }
}
