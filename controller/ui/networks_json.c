/* What `ferry networks` found, as a document.  SPDX-License-Identifier: MIT */
#include "ui/networks.h"

static struct json_object *text_or_null(const char *text)
{
    return text ? json_object_new_string(text) : NULL;
}

static struct json_object *servers_json(const struct ferry_topology *t)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; t->networks && i < t->networks->n_servers; i++) {
        const struct ferry_server *s = &t->networks->servers[i];
        struct json_object *o = json_object_new_object(), *sites = json_object_new_array();
        for (size_t k = 0; k < s->n_sites; k++)
            json_object_array_add(sites, json_object_new_string(t->sites[s->sites[k]].name));
        json_object_object_add(o, "name", json_object_new_string(s->name));
        json_object_object_add(o, "sites", sites);
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *clouds_json(const struct ferry_networks *n)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; n && i < n->n_clouds; i++) {
        const struct ferry_cloud *c = &n->clouds[i];
        struct json_object *o = json_object_new_object(), *logical = json_object_new_array();
        for (size_t k = 0; k < c->n_logical; k++)
            json_object_array_add(logical, json_object_new_string(n->logical[c->logical[k]].name));
        json_object_object_add(o, "name", json_object_new_string(c->name));
        json_object_object_add(o, "server", json_object_new_string(n->servers[c->server].name));
        json_object_object_add(
            o, "protected_by",
            text_or_null(c->protected_by == FERRY_NONE ? NULL : n->clouds[c->protected_by].name));
        json_object_object_add(o, "logical_networks", logical);
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *ranges_json(const struct ferry_range *ranges, size_t n)
{
    struct json_object *list = json_object_new_array();
    char text[FERRY_RANGE_STRLEN];
    for (size_t i = 0; i < n; i++)
        json_object_array_add(list, json_object_new_string(ferry_range_text(&ranges[i], text)));
    return list;
}

static struct json_object *subnets_json(const struct ferry_vm_network *network)
{
    struct json_object *list = json_object_new_array();
    char text[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < network->n_subnets; i++) {
        const struct ferry_network_subnet *s = &network->subnets[i];
        struct json_object *o = json_object_new_object(), *prefixes = json_object_new_array();
        for (size_t k = 0; k < s->n_prefixes; k++)
            json_object_array_add(prefixes, json_object_new_string(ferry_prefix_text(&s->prefixes[k], text)));
        json_object_object_add(o, "name", json_object_new_string(s->name));
        json_object_object_add(o, "prefixes", prefixes);
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *network_json(const struct ferry_topology *t,
                                        const struct ferry_vm_network *network)
{
    const struct ferry_networks *n = t->networks;
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "name", json_object_new_string(network->name));
    json_object_object_add(o, "logical_network", json_object_new_string(n->logical[network->logical].name));
    json_object_object_add(o, "server", json_object_new_string(n->servers[network->server].name));
    json_object_object_add(o, "site", json_object_new_string(t->sites[network->site].name));
    json_object_object_add(o, "subnets", subnets_json(network));
    json_object_object_add(o, "pool", ranges_json(network->pool, network->n_pool));
    json_object_object_add(o, "dhcp", ranges_json(network->dhcp, network->n_dhcp));
    json_object_object_add(
        o, "mapped_to",
        text_or_null(network->mapped == FERRY_NONE ? NULL : n->networks[network->mapped].name));
    return o;
}

static struct json_object *answers_json(const struct ferry_networks *n, const struct ui_targets *answers)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < answers->n; i++) {
        const struct ui_target *a = &answers->v[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "target", json_object_new_string(n->networks[a->target].name));
        json_object_object_add(o, "protected", json_object_new_string(n->clouds[a->cloud].name));
        json_object_object_add(o, "protecting",
                               json_object_new_string(n->clouds[n->clouds[a->cloud].protected_by].name));
        json_object_object_add(o, "available", json_object_new_boolean(a->available));
        json_object_object_add(o, "why", text_or_null(a->available ? NULL : a->why));
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *ui_networks_json(const struct ferry_topology *t, const struct ui_targets *answers,
                                     struct json_object *warnings)
{
    const struct ferry_networks *n = t->networks;
    struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
    json_object_object_add(doc, "topology", json_object_new_string(t->name));
    json_object_object_add(doc, "servers", servers_json(t));
    for (size_t i = 0; n && i < n->n_logical; i++)
        json_object_array_add(list, json_object_new_string(n->logical[i].name));
    json_object_object_add(doc, "logical_networks", list);
    json_object_object_add(doc, "clouds", clouds_json(n));
    list = json_object_new_array();
    for (size_t i = 0; n && i < n->n_networks; i++)
        json_object_array_add(list, network_json(t, &n->networks[i]));
    json_object_object_add(doc, "networks", list);
    list = json_object_new_array();
    for (size_t i = 0; n && i < n->n_mappings; i++) {
        struct json_object *o = json_object_new_object();
        const struct ferry_vm_network *from = &n->networks[n->mappings[i]];
        json_object_object_add(o, "source", json_object_new_string(from->name));
        json_object_object_add(o, "target", json_object_new_string(n->networks[from->mapped].name));
        json_object_array_add(list, o);
    }
    json_object_object_add(doc, "mappings", list);
    json_object_object_add(doc, "targets", answers_json(n, answers));
    json_object_object_add(doc, "warnings", json_object_get(warnings));
    return doc;
}
