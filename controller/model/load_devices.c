/* Loads how interfaces are made that a gateway brings along: "vlan", "bridge" of an interface, and gateways
 * on PARENT.ID; see load.h, ferry/device.h.
 *
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include <ferry/device.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const struct ferry_interface *find_interface(const struct ferry_router *router, const char *name)
{
    for (size_t i = 0; i < router->n_interfaces; i++)
        if (strcmp(router->interfaces[i].name, name) == 0)
            return &router->interfaces[i];
    return NULL;
}

/* "vlan": {"parent": NAME, "id": N} */
static void load_vlan(struct ferry_loader *l, uint32_t v, struct ferry_interface *interface)
{
    static const char *const keys[] = {"parent", "id", NULL};
    const char *parent;
    int64_t id;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0 ||
        ferry_json_keys(l->doc, v, keys, &l->err) < 0 ||
        ferry_json_need_string(l->doc, v, "parent", &parent, &l->err) < 0 ||
        ferry_json_need_int(l->doc, v, "id", 1, 4094, &id, &l->err) < 0)
        return;
    if (ferry_load_is_interface(parent))
        snprintf(interface->make, sizeof interface->make, "vlan %s %lld", parent, (long long)id);
    else
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "parent"), &l->err,
                         "'%.80s' is not an interface name", parent);
}

/* "bridge": [PORT, …] */
static void load_bridge(struct ferry_loader *l, uint32_t v, struct ferry_interface *interface)
{
    size_t n = 0;
    if (ferry_json_want(l->doc, v, FERRY_JSON_ARRAY, &l->err) < 0)
        return;
    if (ferry_json_count(l->doc, v) > FERRY_DEVICE_PORTS) {
        ferry_json_error(l->doc, v, &l->err, "a bridge has %u ports at most", FERRY_DEVICE_PORTS);
        return;
    }
    n += (size_t)snprintf(interface->make, sizeof interface->make, "bridge");
    FERRY_JSON_EACH(l->doc, v, port)
    {
        const char *name;
        if (ferry_json_string(l->doc, port, &name, &l->err) < 0)
            return;
        if (!ferry_load_is_interface(name)) {
            ferry_json_error(l->doc, port, &l->err, "'%.80s' is not an interface name", name);
            return;
        }
        n += (size_t)snprintf(interface->make + n, sizeof interface->make - n, " %s", name);
    }
}

void ferry_load_make(struct ferry_loader *l, uint32_t object, struct ferry_interface *interface)
{
    uint32_t vlan = ferry_json_get(l->doc, object, "vlan"), bridge = ferry_json_get(l->doc, object, "bridge");
    if (vlan != FERRY_JSON_NONE && bridge != FERRY_JSON_NONE)
        ferry_json_error_key(l->doc, bridge, &l->err, "'vlan' and 'bridge' exclude each other");
    else if (vlan != FERRY_JSON_NONE)
        load_vlan(l, vlan, interface);
    else if (bridge != FERRY_JSON_NONE)
        load_bridge(l, bridge, interface);
}

void ferry_load_check_make(struct ferry_loader *l, uint32_t object, const struct ferry_router *router,
                           const struct ferry_interface *interface)
{
    struct ferry_device device;
    const char *type = router->driver.type;
    if (!interface->make[0] || !ferry_device_parse(interface->make, &device))
        return;
    if (type && strcmp(type, "frr") == 0)
        ferry_json_error(l->doc, object, &l->err, "the driver frr makes no interfaces");
    if (interface->n_addresses)
        ferry_json_error(l->doc, object, &l->err,
                         "interface '%s' is made for a gateway: it has no addresses of its own",
                         interface->name);
    for (size_t i = 0; i < device.n_below; i++) {
        const struct ferry_interface *below = find_interface(router, device.below[i]);
        if (!below || below == interface)
            ferry_json_error(l->doc, object, &l->err, "router '%s' has no interface '%s' to make '%s' of",
                             router->name, device.below[i], interface->name);
        else if (device.kind == FERRY_DEVICE_BRIDGE && below->n_addresses)
            ferry_json_error(
                l->doc, object, &l->err,
                "'%s' has addresses, and packets that come to a port go to the bridge: a port has none",
                below->name);
    }
}

uint32_t ferry_load_vlan_of_name(struct ferry_loader *l, uint32_t router, const char *name)
{
    struct ferry_router *r = &l->t->routers[router];
    struct ferry_interface interface = {0};
    if (!ferry_load_is_interface(name) || (r->driver.type && strcmp(r->driver.type, "frr") == 0))
        return FERRY_NONE;
    for (size_t i = 0; i < r->n_interfaces && !interface.make[0]; i++)
        if (!r->interfaces[i].make[0])
            ferry_device_of_name(name, r->interfaces[i].name, interface.make);
    if (!interface.make[0])
        return FERRY_NONE;
    memcpy(interface.name, name, strlen(name) + 1);
    r->interfaces = ferry_realloc(r->interfaces, r->n_interfaces + 1, sizeof *r->interfaces);
    r->interfaces[r->n_interfaces] = interface;
    return (uint32_t)r->n_interfaces++;
}

void ferry_load_brought(struct ferry_loader *l, uint32_t object, const struct ferry_subnet *subnet,
                        struct ferry_gateway *gateway)
{
    uint32_t v = ferry_json_get(l->doc, object, "rules");
    const struct ferry_router *router = &l->t->routers[gateway->router];
    uint32_t table = subnet->table ? subnet->table : router->table;
    if (gateway->address.addr.family && gateway->interface != FERRY_NONE)
        memcpy(gateway->make, router->interfaces[gateway->interface].make, sizeof gateway->make);
    if (v == FERRY_JSON_NONE || ferry_json_bool(l->doc, v, &gateway->rules, &l->err) < 0 || !gateway->rules)
        return;
    if (!gateway->address.addr.family)
        ferry_json_error_key(l->doc, v, &l->err, "'rules' goes with a connected gateway");
    else if (!table || table == FERRY_TABLE_MAIN)
        ferry_json_error_key(l->doc, v, &l->err,
                             "'rules' goes with a table of its own: the subnet's or the router's");
    else if (router->driver.type && strcmp(router->driver.type, "frr") == 0)
        ferry_json_error_key(l->doc, v, &l->err, "the driver frr makes no rules");
}
