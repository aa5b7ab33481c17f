/* Loads the routers of a topology: drivers, interfaces, addresses; see load.h.
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/mem.h"
#include "model/driver_config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool one_of(const char *text, const char *const *names, size_t n, size_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* ---- Drivers. ---- */

static const char *const driver_types[] = {"netlink", "frr", "iproute", "sim"};

/* Keys of the drivers that reach another machine go with those alone. */
static void load_text(struct ferry_loader *l, uint32_t driver, const struct ferry_driver_field *field,
                      struct ferry_driver_config *config)
{
    const char *text = NULL;
    uint32_t v = ferry_json_get(l->doc, driver, field->key);
    if (v == FERRY_JSON_NONE)
        return;
    if (field->remote && !ferry_driver_is_remote(config->type))
        ferry_json_error_key(l->doc, v, &l->err, "'%s' does not go with driver '%s'", field->key,
                             config->type);
    else if (ferry_json_opt_string(l->doc, driver, field->key, &text, &l->err) < 0)
        return;
    else if (!ferry_driver_field_ok(field, text))
        ferry_json_error(l->doc, v, &l->err, "'%.80s' cannot be a %s", text, field->key);
    else
        *ferry_driver_field_at(field, config) = ferry_strdup(text);
}

static void load_remote(struct ferry_loader *l, uint32_t driver, struct ferry_driver_config *config)
{
    static const char *const transports[] = {"local", "ssh"};
    int64_t port = 0;
    size_t which;
    uint32_t v = ferry_json_get(l->doc, driver, "port");
    if (v != FERRY_JSON_NONE && !ferry_driver_is_remote(config->type))
        ferry_json_error_key(l->doc, v, &l->err, "'port' does not go with driver '%s'", config->type);
    else if (ferry_json_opt_int(l->doc, driver, "port", 1, UINT16_MAX, &port, &l->err) == 0)
        config->port = (uint16_t)port;
    if (config->transport && !one_of(config->transport, transports, FERRY_COUNT(transports), &which))
        ferry_json_error(l->doc, ferry_json_get(l->doc, driver, "transport"), &l->err,
                         "'%.40s' is not a transport: local or ssh", config->transport);
    if (config->host_key && strncmp(config->host_key, "SHA256:", 7) != 0)
        ferry_json_error(l->doc, ferry_json_get(l->doc, driver, "host_key"), &l->err,
                         "a host key is given as 'SHA256:…', as `ssh-keygen -l` shows it");
    if (!ferry_driver_by_ssh(config) && config->host)
        ferry_json_error(l->doc, ferry_json_get(l->doc, driver, "host"), &l->err,
                         "'host' does not go with transport local");
}

static void load_driver(struct ferry_loader *l, uint32_t object, struct ferry_driver_config *config)
{
    static const char *const keys[] = {"type",      "netns",    "transport",   "host",     "port", "user",
                                       "pathspace", "identity", "known_hosts", "host_key", "jump", NULL};
    uint32_t driver;
    const char *type = NULL;
    size_t which;
    if (ferry_json_need(l->doc, object, "driver", FERRY_JSON_OBJECT, &driver, &l->err) < 0 ||
        ferry_json_keys(l->doc, driver, keys, &l->err) < 0 ||
        ferry_json_need_string(l->doc, driver, "type", &type, &l->err) < 0)
        return;
    if (!one_of(type, driver_types, FERRY_COUNT(driver_types), &which)) {
        ferry_json_error(l->doc, ferry_json_get(l->doc, driver, "type"), &l->err,
                         "'%.40s' is not a driver: netlink, frr, iproute or sim", type);
        return;
    }
    config->type = ferry_strdup(type);
    for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++)
        load_text(l, driver, f, config);
    load_remote(l, driver, config);
}

/* ---- Interfaces. ---- */

static void note_address(struct ferry_loader *l, uint32_t v, uint32_t router, const struct ferry_addr *addr)
{
    char buf[FERRY_ADDR_STRLEN];
    struct ferry_load_address new = {.addr = *addr, .router = router, .v = v};
    if (ferry_load_is_link_local(addr)) /* every link may have them */
        return;
    FERRY_GROW(l->addresses, l->n_addresses);
    l->addresses[l->n_addresses++] = new;
    uint32_t first = ferry_map_add(&l->owners, ferry_json_arena(l->doc, addr, sizeof *addr), sizeof *addr,
                                   (uint32_t)l->n_addresses - 1);
    if (first == FERRY_MAP_NONE)
        return;
    if (l->addresses[first].router == router) {
        ferry_json_error(l->doc, v, &l->err, "this router has %s already", ferry_addr_text(addr, buf));
        return;
    }
    FERRY_GROW(l->doubles, l->n_doubles);
    l->doubles[l->n_doubles++] = new;
}

static void load_addresses(struct ferry_loader *l, uint32_t object, uint32_t router,
                           struct ferry_interface *interface)
{
    uint32_t array = FERRY_JSON_NONE;
    if (ferry_json_opt(l->doc, object, "addresses", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    interface->addresses = ferry_calloc(ferry_json_count(l->doc, array), sizeof *interface->addresses);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        struct ferry_prefix address;
        if (ferry_load_full(l))
            return;
        if (!ferry_load_address(l, v, &address))
            continue;
        interface->addresses[interface->n_addresses++] = address;
        note_address(l, v, router, &address.addr);
    }
}

static void load_interface(struct ferry_loader *l, uint32_t object, uint32_t router, struct ferry_map *names,
                           struct ferry_interface *interface)
{
    static const char *const keys[] = {"name", "addresses", "vlan", "bridge", NULL};
    const char *name = NULL;
    if (ferry_json_want(l->doc, object, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    if (ferry_json_keys(l->doc, object, keys, &l->err) == 0 &&
        ferry_json_need_string(l->doc, object, "name", &name, &l->err) == 0) {
        uint32_t v = ferry_json_get(l->doc, object, "name");
        if (!ferry_load_is_interface(name))
            ferry_json_error(
                l->doc, v, &l->err,
                "'%.80s' is not an interface name: letters, digits, '.', '_' and '-', at most %d, "
                "a letter or digit first",
                name, FERRY_DEV_LEN - 1);
        else if (ferry_map_add(names, name, strlen(name), 0) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, v, &l->err, "this router has an interface '%s' already", name);
        else
            memcpy(interface->name, name, strlen(name) + 1);
    }
    load_addresses(l, object, router, interface);
    ferry_load_make(l, object, interface);
}

static void load_interfaces(struct ferry_loader *l, uint32_t object, uint32_t index,
                            struct ferry_router *router)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map names = {0};
    uint32_t array = FERRY_JSON_NONE;
    if (ferry_json_opt(l->doc, object, "interfaces", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    router->interfaces = ferry_calloc(ferry_json_count(l->doc, array), sizeof *router->interfaces);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        load_interface(l, v, index, &names, &router->interfaces[router->n_interfaces++]);
    }
    size_t i = 0;
    FERRY_JSON_EACH(l->doc, array, v)
    ferry_load_check_make(l, v, router, &router->interfaces[i++]);
}

/* ---- Routers. ---- */

static void load_routing(struct ferry_loader *l, uint32_t object, struct ferry_driver_config *config)
{
    static const char *const names[] = {"static", "bgp", "ospf"}; /* in the order of the enum */
    const char *text = NULL;
    size_t which;
    if (ferry_json_opt_string(l->doc, object, "routing", &text, &l->err) < 0 || !text)
        return;
    uint32_t v = ferry_json_get(l->doc, object, "routing");
    if (!one_of(text, names, FERRY_COUNT(names), &which)) {
        ferry_json_error(l->doc, v, &l->err, "'%.40s' is not a routing: static, bgp or ospf", text);
        return;
    }
    config->routing = (enum ferry_routing)which;
}

/* "origination": {"prefix-list": NAME} or {"area": "0.0.0.0"}: how the router makes a moved subnet known. */
static void load_origination(struct ferry_loader *l, uint32_t object, struct ferry_driver_config *config)
{
    static const char *const keys[] = {"prefix-list", "area", NULL};
    const char *list = NULL, *area = NULL;
    uint32_t v = FERRY_JSON_NONE;
    struct ferry_addr addr;
    struct ferry_err ignored;
    if (ferry_json_opt(l->doc, object, "origination", FERRY_JSON_OBJECT, &v, &l->err) < 0 ||
        v == FERRY_JSON_NONE || ferry_json_keys(l->doc, v, keys, &l->err) < 0 ||
        ferry_json_opt_string(l->doc, v, "prefix-list", &list, &l->err) < 0 ||
        ferry_json_opt_string(l->doc, v, "area", &area, &l->err) < 0)
        return;
    if (config->routing == FERRY_ROUTING_STATIC)
        ferry_json_error(l->doc, v, &l->err, "'origination' goes with routing bgp or ospf");
    else if (area && config->routing != FERRY_ROUTING_OSPF)
        ferry_json_error(l->doc, v, &l->err, "'area' goes with routing ospf");
    else if (area && list)
        ferry_json_error(l->doc, v, &l->err, "either 'area' or 'prefix-list'");
    else if (area && (ferry_addr_parse(area, &addr, &ignored) < 0 || addr.family != AF_INET))
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "area"), &l->err,
                         "'%.40s' is not an area: write it as an IPv4 address, as 0.0.0.0", area);
    else if (list && !ferry_load_is_name(list))
        ferry_json_error(l->doc, ferry_json_get(l->doc, v, "prefix-list"), &l->err,
                         "'%.80s' cannot be the name of a prefix-list", list);
    else {
        config->prefix_list = ferry_strdup(list);
        config->area = ferry_strdup(area);
    }
}

static void load_policy(struct ferry_loader *l, uint32_t object, struct ferry_router *router)
{
    const char *text = NULL;
    if (ferry_json_opt_string(l->doc, object, "policy", &text, &l->err) < 0 || !text)
        return;
    while (strcmp(text, ferry_policy_name(router->policy)) != 0)
        if (router->policy++ == FERRY_POLICY_DEFERRED) {
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, "policy"), &l->err,
                             "'%.40s' is not a policy: required, best-effort or deferred", text);
            router->policy = FERRY_POLICY_REQUIRED;
            return;
        }
}

static void load_router(struct ferry_loader *l, uint32_t object, uint32_t index)
{
    static const char *const keys[] = {"name",  "site",       "driver", "routing", "origination",
                                       "table", "interfaces", "policy", NULL};
    struct ferry_router *router = &l->t->routers[index];
    router->table = FERRY_TABLE_MAIN;
    router->name = ferry_strdup("?"); /* where it has none that can be shown */
    if (ferry_json_want(l->doc, object, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, object, keys, &l->err);
    const char *name = ferry_load_name(l, object);
    if (name) {
        free(router->name);
        router->name = ferry_strdup(name);
        if (ferry_map_add(&l->routers, name, strlen(name), index) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, "name"), &l->err,
                             "there is a router '%s' already", name);
    }
    router->site = ferry_load_reference(l, object, "site", &l->sites, "site");
    load_driver(l, object, &router->driver);
    load_routing(l, object, &router->driver);
    load_origination(l, object, &router->driver);
    ferry_load_table(l, object, &router->table);
    load_policy(l, object, router);
    load_interfaces(l, object, index, router);
}

void ferry_load_routers(struct ferry_loader *l, uint32_t array)
{
    l->t->routers = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->t->routers);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        load_router(l, v, (uint32_t)l->t->n_routers++);
    }
}
