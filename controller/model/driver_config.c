/* The texts of a driver's configuration; see driver_config.h.  SPDX-License-Identifier: MIT */
#include "model/driver_config.h"

#include "base/mem.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct ferry_driver_config, member)

#define LIST_MAX 65536u

const struct ferry_driver_field ferry_driver_fields[] = {
    {"netns", AT(netns), "_", "._-", 0, false},
    {"transport", AT(transport), "", "", 0, true},
    {"host", AT(host), ":", ".:-_%", 0, true}, /* a name, or an address of either family */
    {"user", AT(user), "_", "._-", 0, true},
    {"pathspace", AT(pathspace), "_", "._-", 0, true},
    {"identity", AT(identity), "/~", "/._-~+@ ", 0, true},
    {"known_hosts", AT(known_hosts), "/~", "/._-~+@ ", 0, true},
    {"host_key", AT(host_key), "", ":+/=", 0, true}, /* base64 */
    {"jump", AT(jump), "_:[", "._-@:[]%", 0, true},
    {"key_file", AT(key_file), "/~", "/._-~+@ ", 0, false},
    {"zones", AT(zones), "_", "._- ", LIST_MAX, false},
    {"secondaries", AT(secondaries), ":", ".: ", LIST_MAX, false},
    {0},
};

enum { TEXT_MAX = 253 }; /* a host name, RFC 1035 §2.3.4; plenty for the others */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool ferry_driver_field_ok(const struct ferry_driver_field *field, const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > (field->most ? field->most : TEXT_MAX) ||
        !(is_plain(text[0]) || strchr(field->first, text[0])))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!is_plain(text[i]) && !strchr(field->more, text[i]))
            return false;
    return true;
}

bool ferry_driver_vrf_ok(const char *name)
{
    static const struct ferry_driver_field vrf = {.first = "_", .more = "._:@-", .most = FERRY_DEV_LEN - 1};
    return ferry_driver_field_ok(&vrf, name);
}

bool ferry_driver_is_remote(const char *type)
{
    return strcmp(type, "frr") == 0 || strcmp(type, "iproute") == 0;
}

bool ferry_driver_by_ssh(const struct ferry_driver_config *config)
{
    if (config->transport)
        return strcmp(config->transport, "ssh") == 0;
    return config->host || (config->type && strcmp(config->type, "iproute") == 0);
}

struct ferry_driver_config ferry_driver_config_copy(const struct ferry_driver_config *config)
{
    struct ferry_driver_config copy = *config;
    copy.type = ferry_strdup(config->type);
    copy.prefix_list = ferry_strdup(config->prefix_list);
    copy.area = ferry_strdup(config->area);
    copy.vrfs = ferry_memdup(config->vrfs, config->n_vrfs * sizeof *config->vrfs);
    for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++)
        *ferry_driver_field_at(f, &copy) = ferry_strdup(*ferry_driver_field_at(f, config));
    return copy;
}

void ferry_driver_config_clear(struct ferry_driver_config *config)
{
    free(config->type);
    free(config->prefix_list);
    free(config->area);
    free(config->vrfs);
    for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++)
        free(*ferry_driver_field_at(f, config));
    *config = (struct ferry_driver_config){0};
}

const struct ferry_vrf *ferry_driver_config_vrf(const struct ferry_driver_config *config, uint32_t table)
{
    for (size_t i = 0; i < config->n_vrfs; i++)
        if (config->vrfs[i].table == table)
            return &config->vrfs[i];
    return NULL;
}

void ferry_driver_config_set_vrfs(struct ferry_driver_config *config, const struct ferry_vrf *vrfs, size_t n)
{
    struct ferry_vrf *copy = ferry_memdup(vrfs, n * sizeof *vrfs);
    free(config->vrfs);
    config->vrfs = copy;
    config->n_vrfs = n;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool ferry_driver_config_equal(const struct ferry_driver_config *a, const struct ferry_driver_config *b)
{
    for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++)
        if (!same(*ferry_driver_field_at(f, a), *ferry_driver_field_at(f, b)))
            return false;
    return same(a->type, b->type) && a->port == b->port && a->routing == b->routing &&
           same(a->prefix_list, b->prefix_list) && same(a->area, b->area);
}

const char *ferry_routing_name(enum ferry_routing routing)
{
    switch (routing) {
    case FERRY_ROUTING_STATIC:
        return "static";
    case FERRY_ROUTING_BGP:
        return "bgp";
    case FERRY_ROUTING_OSPF:
        return "ospf";
    }
    return "unknown";
}

const char *ferry_policy_name(enum ferry_policy policy)
{
    static const char *const names[] = {"required", "best-effort", "deferred"};
    return (unsigned)policy < FERRY_COUNT(names) ? names[policy] : "unknown";
}
