/* Loads a topology: the document, names, references; see load.h for its other parts.
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/hash.h"
#include "base/mem.h"
#include "model/topology_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest sensible topology (10,000 subnets, 1,000 routers) has about 300,000 values. */
static const struct ferry_json_limits limits = {.bytes = 256u << 20, .values = 8000000, .depth = 64};

bool ferry_load_full(const struct ferry_loader *l)
{
    return l->findings->n >= 100;
}

bool ferry_load_is_name(const char *text)
{
    static const char more[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strspn(text, more);
    return n > 0 && n <= FERRY_NAME_MAX && text[n] == '\0' && text[0] != '.' && text[0] != '_' &&
           text[0] != '-';
}

bool ferry_load_is_interface(const char *text)
{
    return ferry_load_is_name(text) && strlen(text) < FERRY_DEV_LEN;
}

const char *ferry_load_name(struct ferry_loader *l, uint32_t object)
{
    const char *name = NULL;
    if (ferry_json_need_string(l->doc, object, "name", &name, &l->err) < 0)
        return NULL;
    if (ferry_load_is_name(name))
        return name;
    ferry_json_error(
        l->doc, ferry_json_get(l->doc, object, "name"), &l->err,
        "'%.80s' is not a name: letters, digits, '.', '_' and '-', at most %d, a letter or digit first", name,
        FERRY_NAME_MAX);
    return NULL;
}

uint32_t ferry_load_reference(struct ferry_loader *l, uint32_t object, const char *key,
                              const struct ferry_map *map, const char *what)
{
    const char *name = NULL;
    if (ferry_json_need_string(l->doc, object, key, &name, &l->err) < 0)
        return FERRY_NONE;
    uint32_t index = ferry_map_get(map, name, strlen(name));
    if (index == FERRY_MAP_NONE)
        ferry_json_error(l->doc, ferry_json_get(l->doc, object, key), &l->err, "there is no %s '%.80s'", what,
                         name);
    return index;
}

static uint32_t find_interface(const struct ferry_router *router, const char *name)
{
    for (size_t i = 0; i < router->n_interfaces; i++)
        if (strcmp(router->interfaces[i].name, name) == 0)
            return (uint32_t)i;
    return FERRY_NONE;
}

bool ferry_load_end(struct ferry_loader *l, uint32_t v, struct ferry_end *ret)
{
    const char *text = NULL;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return false;
    const char *colon = strchr(text, ':');
    if (!colon) {
        ferry_json_error(l->doc, v, &l->err, "'%.160s' is not ROUTER:INTERFACE", text);
        return false;
    }
    uint32_t router = ferry_map_get(&l->routers, text, (size_t)(colon - text));
    if (router == FERRY_MAP_NONE) {
        ferry_json_error(l->doc, v, &l->err, "there is no router '%.*s'",
                         colon - text < 80 ? (int)(colon - text) : 80, text);
        return false;
    }
    uint32_t interface = find_interface(&l->t->routers[router], colon + 1);
    if (interface == FERRY_NONE) {
        ferry_json_error(l->doc, v, &l->err, "router '%s' has no interface '%.80s'",
                         l->t->routers[router].name, colon + 1);
        return false;
    }
    *ret = (struct ferry_end){.router = router, .interface = interface};
    return true;
}

void ferry_load_table(struct ferry_loader *l, uint32_t object, uint32_t *ret)
{
    int64_t table = *ret;
    if (ferry_json_opt_int(l->doc, object, "table", 1, UINT32_MAX, &table, &l->err) < 0)
        return;
    if (table == 255) /* RT_TABLE_LOCAL, linux/rtnetlink.h */
        ferry_json_error(l->doc, ferry_json_get(l->doc, object, "table"), &l->err,
                         "table 255 is the kernel's own (local)");
    *ret = (uint32_t)table;
}

/* ---- Addresses. ---- */

bool ferry_load_is_link_local(const struct ferry_addr *a)
{
    return a->family == AF_INET ? a->bytes[0] == 169 && a->bytes[1] == 254
                                : a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool ferry_load_is_network(const struct ferry_prefix *p)
{
    return p->len + 2 <= ferry_addr_bits(p->addr.family) && !ferry_prefix_has_host_bits(p);
}

bool ferry_load_is_broadcast(const struct ferry_prefix *p)
{
    struct ferry_prefix flipped = *p;
    for (size_t i = 0; i < 4; i++)
        flipped.addr.bytes[i] = (uint8_t)~p->addr.bytes[i];
    struct ferry_prefix mask = ferry_prefix_network(&flipped);
    return p->addr.family == AF_INET && p->len <= 30 &&
           memcmp(&mask.addr, &flipped.addr, sizeof mask.addr) == 0;
}

/* Why no machine can have this address, or NULL. */
static const char *not_unicast(const struct ferry_addr *a)
{
    static const uint8_t zero[16], loopback6[16] = {[15] = 1};
    if (memcmp(a->bytes, zero, sizeof zero) == 0)
        return "the unspecified address";
    if (a->family == AF_INET ? a->bytes[0] >= 224 && a->bytes[0] <= 239 : a->bytes[0] == 0xff)
        return "a multicast address";
    if (a->family == AF_INET ? a->bytes[0] == 127 : memcmp(a->bytes, loopback6, sizeof loopback6) == 0)
        return "a loopback address";
    return a->family == AF_INET && a->bytes[0] == 255 && a->bytes[1] == 255 && a->bytes[2] == 255 &&
                   a->bytes[3] == 255
               ? "the broadcast address"
               : NULL;
}

bool ferry_load_plain_address(struct ferry_loader *l, uint32_t v, struct ferry_addr *ret)
{
    const char *text = NULL;
    struct ferry_err why;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return false;
    if (ferry_addr_parse(text, ret, &why) < 0) {
        ferry_json_error(l->doc, v, &l->err, "%s", why.text);
        return false;
    }
    const char *not = not_unicast(ret);
    if (not )
        ferry_json_error(l->doc, v, &l->err, "%s is %s", text, not );
    return !not ;
}

bool ferry_load_address(struct ferry_loader *l, uint32_t v, struct ferry_prefix *ret)
{
    const char *text = NULL;
    struct ferry_err why;
    if (ferry_json_string(l->doc, v, &text, &l->err) < 0)
        return false;
    if (ferry_prefix_parse(text, ret, &why) < 0) {
        ferry_json_error(l->doc, v, &l->err, "%s", why.text);
        return false;
    }
    const char *not = not_unicast(&ret->addr);
    if (!not &&ret->len == 0)
        not = "in a network of length 0";
    if (!not &&ferry_load_is_network(ret))
        not = "the address of its network";
    if (!not &&ferry_load_is_broadcast(ret))
        not = "the broadcast address of its network";
    if (not )
        ferry_json_error(l->doc, v, &l->err, "%s is %s", text, not );
    return !not ;
}

/* ---- The document. ---- */

static void load_sites(struct ferry_loader *l, uint32_t array)
{
    static const char *const keys[] = {"name", NULL};
    l->t->sites = ferry_calloc(ferry_json_count(l->doc, array), sizeof *l->t->sites);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        uint32_t index = (uint32_t)l->t->n_sites++;
        if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0 ||
            ferry_json_keys(l->doc, v, keys, &l->err) < 0)
            continue;
        const char *name = ferry_load_name(l, v);
        if (!name)
            continue;
        l->t->sites[index].name = ferry_strdup(name);
        if (ferry_map_add(&l->sites, name, strlen(name), index) != FERRY_MAP_NONE)
            ferry_json_error(l->doc, ferry_json_get(l->doc, v, "name"), &l->err,
                             "there is a site '%s' already", name);
    }
}

static void load_head(struct ferry_loader *l)
{
    static const char *const keys[] = {"ferry",
                                       "name",
                                       "ecmp",
                                       "sites",
                                       "routers",
                                       "links",
                                       "subnets",
                                       "lab",
                                       "rules",
                                       "budget",
                                       "hold-down",
                                       "hooks",
                                       "servers",
                                       "logical-networks",
                                       "clouds",
                                       "vm-networks",
                                       "mappings",
                                       "workloads",
                                       "recovery-plans",
                                       "name-servers",
                                       NULL};
    int64_t version = 0;
    if (ferry_json_keys(l->doc, FERRY_JSON_ROOT, keys, &l->err) < 0 && ferry_load_full(l))
        return;
    if (ferry_json_need_int(l->doc, FERRY_JSON_ROOT, "ferry", INT64_MIN, INT64_MAX, &version, &l->err) == 0 &&
        version != 1)
        ferry_json_error(l->doc, ferry_json_get(l->doc, FERRY_JSON_ROOT, "ferry"), &l->err,
                         "format %lld is unknown: this Ferry reads format 1", (long long)version);
    const char *name = ferry_load_name(l, FERRY_JSON_ROOT);
    if (name)
        l->t->name = ferry_strdup(name);
    (void)!ferry_json_opt_bool(l->doc, FERRY_JSON_ROOT, "ecmp", &l->t->ecmp, &l->err);
}

/* A required section; NONE after a finding. */
static uint32_t section(struct ferry_loader *l, const char *key)
{
    uint32_t v = FERRY_JSON_NONE;
    (void)!ferry_json_need(l->doc, FERRY_JSON_ROOT, key, FERRY_JSON_ARRAY, &v, &l->err);
    return v;
}

static void load_document(struct ferry_loader *l)
{
    uint32_t links = FERRY_JSON_NONE, lab = FERRY_JSON_NONE;
    if (ferry_json_want(l->doc, FERRY_JSON_ROOT, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    load_head(l);
    load_sites(l, section(l, "sites"));
    ferry_load_routers(l, section(l, "routers"));
    (void)!ferry_json_opt(l->doc, FERRY_JSON_ROOT, "links", FERRY_JSON_ARRAY, &links, &l->err);
    ferry_load_links(l, links);
    ferry_load_subnets(l, section(l, "subnets"));
    ferry_load_check_doubles(l);
    ferry_load_check_local_networks(l);
    ferry_load_check_tests(l);
    (void)!ferry_json_opt(l->doc, FERRY_JSON_ROOT, "lab", FERRY_JSON_OBJECT, &lab, &l->err);
    ferry_load_lab(l, lab);
    ferry_load_networks(l);
    ferry_load_hosts(l);
    ferry_load_name_servers(l);
    ferry_load_rules(l);
    ferry_load_recovery(l);
}

static void clear_loader(struct ferry_loader *l)
{
    struct ferry_map *maps[] = {&l->sites,    &l->routers, &l->subnets, &l->hosts,
                                &l->prefixes, &l->owners,  &l->links,   &l->tunnels};
    for (size_t i = 0; i < FERRY_COUNT(maps); i++)
        ferry_map_clear(maps[i]);
    free(l->addresses);
    free(l->doubles);
    free(l->local_networks);
    free(l->tests);
    ferry_topology_free(l->t);
}

/* In the order of the file; the sections are read in an order of their own. */
static int compare_findings(const void *left, const void *right)
{
    const struct ferry_finding *a = left, *b = right;
    int c = (a->line > b->line) - (a->line < b->line);
    if (c == 0)
        c = (a->column > b->column) - (a->column < b->column);
    return c ? c : strcmp(a->text, b->text);
}

static int first_finding(const char *name, struct ferry_findings *findings, struct ferry_err *err)
{
    qsort(findings->v, findings->n, sizeof *findings->v, compare_findings);
    const struct ferry_finding *f = &findings->v[0];
    return ferry_error(err, FERRY_EINPUT, "%s:%u:%u: %s%s%s", name, f->line, f->column, f->pointer,
                       f->pointer[0] ? ": " : "", f->text);
}

void ferry_findings_clear(struct ferry_findings *findings)
{
    free(findings->v);
    *findings = (struct ferry_findings){0};
}

/* `findings` not NULL. */
static int parse(const char *name, const char *text, size_t len, struct ferry_topology **ret,
                 struct ferry_findings *findings, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_parse(name, text, len, &limits, findings, &doc, err);
    if (r < 0)
        return r;
    FERRY_CLEANUP(clear_loader) struct ferry_loader l = {.doc = doc, .findings = findings, .name = name};
    l.t = ferry_calloc(1, sizeof *l.t);
    ferry_sha256(text, len, l.t->sha256);
    load_document(&l);
    if (findings->n)
        return first_finding(name, findings, err);
    l.t->index = ferry_topology_index_new(l.t);
    *ret = FERRY_STEAL(l.t);
    return 0;
}

int ferry_topology_parse(const char *name, const char *text, size_t len, struct ferry_topology **ret,
                         struct ferry_findings *findings, struct ferry_err *err)
{
    struct ferry_findings own = {0};
    int r = parse(name, text, len, ret, &own, err);
    if (findings)
        *findings = own;
    else
        ferry_findings_clear(&own);
    return r;
}

int ferry_topology_load(const char *path, struct ferry_topology **ret, struct ferry_findings *findings,
                        struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = NULL;
    size_t len = 0;
    int r = ferry_file_read(path, limits.bytes, &text, &len, err);
    if (r == 0)
        return ferry_topology_parse(path, text, len, ret, findings, err);
    if (findings) {
        findings->v = ferry_calloc(1, sizeof *findings->v);
        findings->n = 1;
        snprintf(findings->v[0].text, sizeof findings->v[0].text, "%.500s", err->text);
    }
    return r;
}
