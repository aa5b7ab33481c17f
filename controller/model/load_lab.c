/* Loads the machines of the lab (docs/lab.md); see load.h.  SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/mem.h"

#include <string.h>

/* A value that may be one string or an array of strings: the first element of either. */
static uint32_t elements(struct ferry_loader *l, uint32_t v, size_t *ret_n)
{
    bool array = v != FERRY_JSON_NONE && ferry_json_type(l->doc, v) == FERRY_JSON_ARRAY;
    *ret_n = array ? ferry_json_count(l->doc, v) : v != FERRY_JSON_NONE;
    return array ? ferry_json_first(l->doc, v) : v;
}

static void second_of_family(struct ferry_loader *l, uint32_t v, uint8_t family)
{
    ferry_json_error(l->doc, v, &l->err, "a second %s address: one a family is enough for a host",
                     family == AF_INET ? "IPv4" : "IPv6");
}

static void load_addresses(struct ferry_loader *l, uint32_t object, struct ferry_lab_host *host)
{
    size_t n;
    uint32_t one = ferry_json_get(l->doc, object, "address"), v = ferry_json_get(l->doc, object, "addresses");
    if (one != FERRY_JSON_NONE && v != FERRY_JSON_NONE) {
        ferry_json_error_key(l->doc, v, &l->err, "'address' and 'addresses' exclude each other");
        return;
    }
    v = elements(l, v == FERRY_JSON_NONE ? one : v, &n);
    if (n == 0)
        ferry_json_error(l->doc, object, &l->err, "'addresses' is missing");
    host->addresses = ferry_calloc(n, sizeof *host->addresses);
    for (size_t i = 0; i < n && !ferry_load_full(l); i++, v = ferry_json_next(l->doc, v)) {
        struct ferry_prefix *a = &host->addresses[host->n_addresses];
        if (!ferry_load_address(l, v, a))
            continue;
        for (size_t j = 0; j < host->n_addresses; j++)
            if (host->addresses[j].addr.family == a->addr.family)
                second_of_family(l, v, a->addr.family);
        host->n_addresses++;
    }
}

static void load_vias(struct ferry_loader *l, uint32_t object, struct ferry_lab_host *host)
{
    size_t n;
    uint32_t v = elements(l, ferry_json_get(l->doc, object, "via"), &n);
    host->via = ferry_calloc(n, sizeof *host->via);
    for (size_t i = 0; i < n && !ferry_load_full(l); i++, v = ferry_json_next(l->doc, v)) {
        struct ferry_addr *via = &host->via[host->n_via];
        char buf[FERRY_ADDR_STRLEN];
        bool reached = false;
        if (!ferry_load_plain_address(l, v, via))
            continue;
        for (size_t j = 0; j < host->n_via; j++)
            if (host->via[j].family == via->family)
                second_of_family(l, v, via->family);
        for (size_t j = 0; j < host->n_addresses; j++)
            reached = reached || ferry_prefix_contains(&host->addresses[j], via);
        if (!reached && !ferry_load_is_link_local(via))
            ferry_json_error(l->doc, v, &l->err, "%s is on no network of this host",
                             ferry_addr_text(via, buf));
        host->n_via++;
    }
}

static void load_places(struct ferry_loader *l, uint32_t object, struct ferry_lab_host *host)
{
    size_t n;
    uint32_t v = elements(l, ferry_json_get(l->doc, object, "at"), &n);
    if (n == 0)
        ferry_json_error(l->doc, object, &l->err, "'at' is missing: ROUTER:INTERFACE, one or several");
    host->at = ferry_calloc(n, sizeof *host->at);
    for (size_t i = 0; i < n && !ferry_load_full(l); i++, v = ferry_json_next(l->doc, v)) {
        struct ferry_end *end = &host->at[host->n_at];
        if (!ferry_load_end(l, v, end))
            continue;
        for (size_t j = 0; j < host->n_at; j++)
            if (host->at[j].router == end->router && host->at[j].interface == end->interface)
                ferry_json_error(l->doc, v, &l->err, "the host is there already");
        if (ferry_map_get(&l->links, end, sizeof *end) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, v, &l->err, "this interface is the end of a link, not a LAN");
        host->n_at++;
    }
}

/* "bird": {"as": N, "networks": [PREFIX, …]}: a router that no topology controls. */
static void load_bird(struct ferry_loader *l, uint32_t object, struct ferry_lab_host *host)
{
    static const char *const keys[] = {"as", "networks", NULL};
    uint32_t bird = FERRY_JSON_NONE, array = FERRY_JSON_NONE;
    int64_t as = 0;
    if (ferry_json_opt(l->doc, object, "bird", FERRY_JSON_OBJECT, &bird, &l->err) < 0 ||
        bird == FERRY_JSON_NONE || ferry_json_keys(l->doc, bird, keys, &l->err) < 0 ||
        ferry_json_need_int(l->doc, bird, "as", 1, UINT32_MAX, &as, &l->err) < 0 ||
        ferry_json_opt(l->doc, bird, "networks", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    host->bird_as = (uint32_t)as;
    host->bird_networks = ferry_calloc(ferry_json_count(l->doc, array), sizeof *host->bird_networks);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        const char *text = NULL;
        struct ferry_err why;
        struct ferry_prefix *network = &host->bird_networks[host->n_bird_networks];
        if (ferry_load_full(l) || ferry_json_string(l->doc, v, &text, &l->err) < 0)
            return;
        if (ferry_prefix_parse(text, network, &why) < 0 || !ferry_load_is_network(network))
            ferry_json_error(l->doc, v, &l->err, "'%.80s' is not NETWORK/LENGTH", text);
        host->n_bird_networks++;
    }
}

static void load_host(struct ferry_loader *l, uint32_t object, uint32_t index)
{
    static const char *const keys[] = {"name", "address", "addresses", "via", "at", "bird", NULL};
    struct ferry_lab_host *host = &l->t->lab_hosts[index];
    if (ferry_json_want(l->doc, object, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, object, keys, &l->err);
    const char *name = ferry_load_name(l, object);
    if (name) {
        host->name = ferry_strdup(name);
        if (ferry_map_add(&l->hosts, name, strlen(name), index) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, "name"), &l->err,
                             "there is a host '%s' already", name);
    }
    load_addresses(l, object, host);
    load_vias(l, object, host);
    load_places(l, object, host);
    load_bird(l, object, host);
}

void ferry_load_lab(struct ferry_loader *l, uint32_t object)
{
    static const char *const keys[] = {"hosts", NULL};
    uint32_t array = FERRY_JSON_NONE;
    if (object == FERRY_JSON_NONE || ferry_json_keys(l->doc, object, keys, &l->err) < 0 ||
        ferry_json_opt(l->doc, object, "hosts", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    l->t->lab_hosts = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->t->lab_hosts);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        load_host(l, v, (uint32_t)l->t->n_lab_hosts++);
    }
}
