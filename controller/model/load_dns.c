/* Loads what a topology says of DNS: its name servers, and the names of machines' NICs; see load.h.
 * SPDX-License-Identifier: MIT */
#include "model/load_networks.h"

#include <ferry/dns.h>

#include "base/mem.h"
#include "model/driver_config.h"

#include <string.h>

enum { NAMES_MAX = 64, ZONES_MAX = 1024, SECONDARIES_MAX = 64 };

/* ---- Lists, kept as one text with a space between their elements. ---- */

static void list_add(char **list, const char *word)
{
    char *longer = ferry_asprintf("%s%s%s", *list ? *list : "", *list ? " " : "", word);
    free(*list);
    *list = longer;
}

static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == n && memcmp(at, word, n) == 0)
            return true;
    return false;
}

static bool load_domain(struct ferry_loader *l, uint32_t v, char ret[static FERRY_DNS_NAME_LEN])
{
    const char *text = NULL;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return false;
    if (ferry_dns_name(text, ret))
        return true;
    ferry_json_error(l->doc, v, &l->err,
                     "'%.80s' is not a domain name: two labels or more, of letters, digits, '-' and '_'",
                     text);
    return false;
}

static uint32_t load_array(struct ferry_loader *l, uint32_t object, const char *key, uint32_t most)
{
    uint32_t array = FERRY_JSON_NONE;
    if (ferry_json_opt(l->doc, object, key, FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return FERRY_JSON_NONE;
    if (array != FERRY_JSON_NONE && ferry_json_count(l->doc, array) > most) {
        ferry_json_error(l->doc, array, &l->err, "more than %u", most);
        return FERRY_JSON_NONE;
    }
    return array;
}

/* ---- Name servers. ---- */

static void load_zones(struct ferry_loader *l, uint32_t object, struct ferry_driver_config *config)
{
    char name[FERRY_DNS_NAME_LEN];
    uint32_t array = load_array(l, object, "zones", ZONES_MAX);
    if (array == FERRY_JSON_NONE || ferry_json_count(l->doc, array) == 0) {
        ferry_json_error(l->doc, object, &l->err, "'zones' is missing: those that it takes updates of");
        return;
    }
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        if (!load_domain(l, v, name))
            continue;
        if (list_has(config->zones, name))
            ferry_json_error(l->doc, v, &l->err, "zone '%s' stands twice", name);
        else
            list_add(&config->zones, name);
    }
}

/* The primary's own address among them would only be asked twice; still nobody means it. */
static void load_secondaries(struct ferry_loader *l, uint32_t object, struct ferry_driver_config *config)
{
    char text[FERRY_ADDR_STRLEN];
    struct ferry_addr a;
    uint32_t array = load_array(l, object, "secondaries", SECONDARIES_MAX);
    if (array == FERRY_JSON_NONE)
        return;
    FERRY_JSON_EACH(l->doc, array, v)
    {
        const char *plain = NULL;
        struct ferry_err why;
        if (ferry_load_full(l))
            return;
        if (ferry_json_string(l->doc, v, &plain, &l->err) < 0)
            continue;
        if (ferry_addr_parse(plain, &a, &why) < 0)
            ferry_json_error(l->doc, v, &l->err, "%s", why.text);
        else if (list_has(config->secondaries, ferry_addr_text(&a, text)) ||
                 (config->host && strcmp(config->host, text) == 0))
            ferry_json_error(l->doc, v, &l->err, "%s stands twice", text);
        else
            list_add(&config->secondaries, text);
    }
}

static void load_address(struct ferry_loader *l, uint32_t object, struct ferry_driver_config *config)
{
    const char *plain = NULL;
    struct ferry_addr a;
    struct ferry_err why;
    char text[FERRY_ADDR_STRLEN];
    int64_t port = 0;
    if (ferry_json_need_string(l->doc, object, "address", &plain, &l->err) == 0) {
        if (ferry_addr_parse(plain, &a, &why) < 0)
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, "address"), &l->err, "%s", why.text);
        else
            config->host = ferry_strdup(ferry_addr_text(&a, text));
    }
    if (ferry_json_opt_int(l->doc, object, "port", 1, UINT16_MAX, &port, &l->err) == 0)
        config->port = (uint16_t)port;
}

/* A member that is a text of the driver's configuration. */
static void load_text(struct ferry_loader *l, uint32_t object, const char *key, const char *field,
                      bool needed, struct ferry_driver_config *config)
{
    const char *text = NULL;
    if ((needed ? ferry_json_need_string(l->doc, object, key, &text, &l->err)
                : ferry_json_opt_string(l->doc, object, key, &text, &l->err)) < 0 ||
        !text)
        return;
    for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++) {
        if (strcmp(f->key, field) != 0)
            continue;
        if (ferry_driver_field_ok(f, text))
            *ferry_driver_field_at(f, config) = ferry_strdup(text);
        else
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, key), &l->err, "'%.80s' cannot be a %s",
                             text, key);
    }
}

static void load_name_server(struct ferry_loader *l, uint32_t object, struct ferry_map *names, uint32_t index)
{
    static const char *const keys[] = {"name",     "site",  "address",     "port", "netns",
                                       "key-file", "zones", "secondaries", NULL};
    struct ferry_name_server *server = &l->t->name_servers[index];
    server->site = FERRY_NONE;
    server->driver.type = ferry_strdup("dns");
    server->name = ferry_strdup("?");
    if (ferry_json_want(l->doc, object, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, object, keys, &l->err);
    const char *name = ferry_load_name(l, object);
    if (name) {
        free(server->name);
        server->name = ferry_strdup(name);
        bool router = ferry_map_get(&l->routers, name, strlen(name)) != FERRY_MAP_NONE;
        if (router || ferry_map_add(names, name, strlen(name), index) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, ferry_json_get(l->doc, object, "name"), &l->err,
                             "there is a %s '%s' already", router ? "router" : "name server", name);
    }
    server->site = ferry_load_reference(l, object, "site", &l->sites, "site");
    load_address(l, object, &server->driver);
    load_text(l, object, "netns", "netns", false, &server->driver);
    load_text(l, object, "key-file", "key_file", true, &server->driver);
    load_zones(l, object, &server->driver);
    load_secondaries(l, object, &server->driver);
}

void ferry_load_name_servers(struct ferry_loader *l)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map names = {0};
    uint32_t array = FERRY_JSON_NONE;
    (void)!ferry_json_opt(l->doc, FERRY_JSON_ROOT, "name-servers", FERRY_JSON_ARRAY, &array, &l->err);
    if (array == FERRY_JSON_NONE)
        return;
    l->t->name_servers = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->t->name_servers);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        load_name_server(l, v, &names, (uint32_t)l->t->n_name_servers++);
    }
}

/* ---- The names of a NIC. ---- */

static void load_label(struct ferry_loader *l, uint32_t v, struct ferry_nic *nic)
{
    static const char *const keys[] = {"name", "ttl", NULL};
    char name[FERRY_DNS_NAME_LEN];
    int64_t ttl = 0;
    uint32_t at = v;
    if (ferry_json_type(l->doc, v) == FERRY_JSON_OBJECT) {
        if (ferry_json_keys(l->doc, v, keys, &l->err) < 0 ||
            ferry_json_need(l->doc, v, "name", FERRY_JSON_STRING, &at, &l->err) < 0 ||
            ferry_json_opt_int(l->doc, v, "ttl", 1, FERRY_DNS_TTL_MOST, &ttl, &l->err) < 0)
            return;
    }
    if (!load_domain(l, at, name))
        return;
    for (size_t i = 0; i < nic->n_dns; i++)
        if (strcmp(nic->dns[i].name, name) == 0) {
            ferry_json_error(l->doc, at, &l->err, "'%s' stands twice", name);
            return;
        }
    nic->dns[nic->n_dns++] = (struct ferry_dns_label){.name = ferry_strdup(name), .ttl = (uint32_t)ttl};
}

/* "dns": a name, or an array of names and of {"name", "ttl"}. */
void ferry_load_nic_names(struct ferry_loader *l, uint32_t object, struct ferry_nic *nic)
{
    uint32_t v = ferry_json_get(l->doc, object, "dns");
    if (v == FERRY_JSON_NONE)
        return;
    if (ferry_json_type(l->doc, v) != FERRY_JSON_ARRAY) {
        nic->dns = ferry_calloc(1, sizeof *nic->dns);
        load_label(l, v, nic);
        return;
    }
    uint32_t n = ferry_json_count(l->doc, v);
    if (n > NAMES_MAX) {
        ferry_json_error(l->doc, v, &l->err, "more than %d names", NAMES_MAX);
        return;
    }
    nic->dns = ferry_calloc(n, sizeof *nic->dns);
    FERRY_JSON_EACH(l->doc, v, child)
    {
        if (ferry_load_full(l))
            return;
        load_label(l, child, nic);
    }
}
