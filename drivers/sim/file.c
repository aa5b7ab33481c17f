/* The state file of a simulated router: one JSON document, replaced as a whole.
 *
 *   {"ferry": 1, "kind": "sim", "router": NAME, "interfaces": [NAME, …],
 *    "gateways": [{"prefix", "interface", "address" | "via", "table", "native"}, …],
 *    "routes": [{"prefix", "type", "table", "metric", "protocol", "nexthops": [{"via", "dev", "weight",
 * "onlink"}], "native"}, …],
 *    "announcements": [{"prefix", "protocol", "native"}, …],
 *    "selectors": [{"prefix", "side", "tunnel"}, …]}
 *
 * Members that say nothing (table main, weight 1, no native bytes …) are left out.  A gateway that names no
 * place is taken for whichever is asked about.
 *
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include "base/hash.h"
#include "base/mem.h"
#include "model/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Writing. ---- */

void ferry_sim_put_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(f, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void put_addr(FILE *f, const char *key, const struct ferry_addr *a)
{
    char text[FERRY_ADDR_STRLEN];
    fprintf(f, "\"%s\": \"%s\"", key, ferry_addr_text(a, text));
}

static void put_native(FILE *f, const struct ferry_entry *e)
{
    if (!e->native_len)
        return;
    FERRY_AUTOFREE char *hex = ferry_calloc(2 * (size_t)e->native_len + 1, 1);
    ferry_hex(e->native, e->native_len, hex);
    fprintf(f, ", \"native\": \"%s\"", hex);
}

static void put_nexthops(FILE *f, const struct ferry_entry *e)
{
    fputs(", \"nexthops\": [", f);
    for (size_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        fputs(i ? ", {\"dev\": " : "{\"dev\": ", f);
        ferry_sim_put_string(f, hop->dev);
        if (hop->via.family) {
            fputs(", ", f);
            put_addr(f, "via", &hop->via);
        }
        if (hop->weight > 1)
            fprintf(f, ", \"weight\": %u", hop->weight);
        fputs(hop->onlink ? ", \"onlink\": true}" : "}", f);
    }
    fputc(']', f);
}

void ferry_sim_put_route(FILE *f, const struct ferry_prefix *prefix, const struct ferry_entry *e)
{
    char text[FERRY_PREFIX_STRLEN], protocol[16];
    fprintf(f, "{\"prefix\": \"%s\", \"type\": \"%s\"", ferry_prefix_text(prefix, text),
            ferry_entry_type_name(e->type));
    if (e->table != FERRY_TABLE_MAIN)
        fprintf(f, ", \"table\": %u", e->table);
    fprintf(f, ", \"metric\": %u, \"protocol\": \"%s\"", e->metric,
            ferry_protocol_name(e->protocol, protocol));
    if (e->n_nexthops)
        put_nexthops(f, e);
    put_native(f, e);
    fputc('}', f);
}

void ferry_sim_put_gateway(FILE *f, const struct ferry_sim_slot *slot)
{
    const struct ferry_sim_place *place = &slot->place;
    char text[FERRY_PREFIX_STRLEN];
    fprintf(f, "{\"prefix\": \"%s\"", ferry_prefix_text(&slot->prefix, text));
    if (!place->any) {
        fputs(", \"interface\": ", f);
        ferry_sim_put_string(f, place->interface);
        fputs(", ", f);
        put_addr(f, place->via.family ? "via" : "address", place->via.family ? &place->via : &place->address);
    }
    if (place->table && place->table != FERRY_TABLE_MAIN)
        fprintf(f, ", \"table\": %u", place->table);
    put_native(f, &slot->attachment);
    fputc('}', f);
}

void ferry_sim_put_announcement(FILE *f, const struct ferry_sim_slot *slot)
{
    char text[FERRY_PREFIX_STRLEN], protocol[16];
    fprintf(f, "{\"prefix\": \"%s\", \"protocol\": \"%s\"", ferry_prefix_text(&slot->prefix, text),
            ferry_protocol_name(slot->announcement.protocol, protocol));
    put_native(f, &slot->announcement);
    fputc('}', f);
}

static void put_selectors(FILE *f, const struct ferry_sim_table *table)
{
    const char *between = "],\n\"selectors\": [\n";
    for (size_t i = 0; i < table->n; i++)
        for (size_t k = 0; k < table->slots[i]->n_selectors; k++) {
            fputs(between, f);
            ferry_sim_put_selector(f, &table->slots[i]->prefix, &table->slots[i]->selectors[k]);
            between = ",\n";
        }
}

/* Left out where there are none. */
static void put_announcements(FILE *f, const struct ferry_sim_table *table)
{
    const char *between = "],\n\"announcements\": [\n";
    for (size_t i = 0; i < table->n; i++) {
        const struct ferry_sim_slot *slot = table->slots[i];
        if (!slot->announced)
            continue;
        fputs(between, f);
        ferry_sim_put_announcement(f, slot);
        between = ",\n";
    }
}

static void put_document(FILE *f, const char *router, const struct ferry_sim_table *table)
{
    fputs("{\"ferry\": 1, \"kind\": \"sim\", \"router\": ", f);
    ferry_sim_put_string(f, router);
    fputs(",\n\"interfaces\": [", f);
    for (size_t i = 0; i < table->n_devices; i++) {
        fputs(i ? ", " : "", f);
        ferry_sim_put_string(f, table->devices[i]);
    }
    const char *between = "\n";
    fputs("],\n\"gateways\": [", f);
    for (size_t i = 0; i < table->n; i++) {
        if (!table->slots[i]->attached)
            continue;
        fputs(between, f);
        ferry_sim_put_gateway(f, table->slots[i]);
        between = ",\n";
    }
    between = "\n";
    fputs("],\n\"routes\": [", f);
    for (size_t i = 0; i < table->n; i++) {
        for (size_t r = 0; r < table->slots[i]->n_routes; r++) {
            fputs(between, f);
            ferry_sim_put_route(f, &table->slots[i]->prefix, &table->slots[i]->routes[r]);
            between = ",\n";
        }
    }
    put_announcements(f, table);
    put_selectors(f, table);
    fputs("]}\n", f);
}

int ferry_sim_table_save(const char *path, const char *router, const struct ferry_sim_table *table,
                         struct ferry_err *err)
{
    FERRY_AUTOFREE char *temporary = ferry_asprintf("%s.new", path);
    FILE *f = fopen(temporary, "we");
    if (!f)
        return ferry_error(err, FERRY_EIO, "%s: %s", temporary, strerror(errno));
    put_document(f, router, table);
    int failed = ferror(f) ? EIO : 0;
    if (fclose(f) != 0)
        failed = errno;
    if (!failed && rename(temporary, path) != 0)
        failed = errno;
    if (!failed)
        return 0;
    unlink(temporary);
    return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(failed));
}

/* ---- Reading. ---- */

int ferry_sim_get_prefix(struct ferry_json *doc, uint32_t v, struct ferry_prefix *ret, struct ferry_err *err)
{
    const char *text;
    struct ferry_err why;
    int r = ferry_json_need_string(doc, v, "prefix", &text, err);
    if (r < 0)
        return r;
    if (ferry_prefix_parse(text, ret, &why) < 0)
        return ferry_json_error(doc, v, err, "%s", why.text);
    return 0;
}

static int get_addr(struct ferry_json *doc, uint32_t v, const char *key, struct ferry_addr *ret,
                    struct ferry_err *err)
{
    const char *text = NULL;
    struct ferry_err why;
    int r = ferry_json_opt_string(doc, v, key, &text, err);
    if (r < 0 || !text)
        return r;
    if (ferry_addr_parse(text, ret, &why) < 0)
        return ferry_json_error(doc, v, err, "%s", why.text);
    return 0;
}

static int get_dev(struct ferry_json *doc, uint32_t v, const char *key, char ret[FERRY_DEV_LEN],
                   struct ferry_err *err)
{
    const char *text = "";
    int r = ferry_json_opt_string(doc, v, key, &text, err);
    if (r < 0)
        return r;
    if (strlen(text) >= FERRY_DEV_LEN)
        return ferry_json_error(doc, v, err, "'%s' is too long for an interface", text);
    memset(ret, 0, FERRY_DEV_LEN);
    memcpy(ret, text, strlen(text));
    return 0;
}

/* `e` takes the bytes over. */
static int get_native(struct ferry_json *doc, uint32_t v, struct ferry_entry *e, struct ferry_err *err)
{
    const char *hex = "";
    int r = ferry_json_opt_string(doc, v, "native", &hex, err);
    if (r < 0 || !*hex)
        return r;
    FERRY_AUTOFREE uint8_t *bytes = ferry_calloc(strlen(hex) / 2 + 1, 1);
    long n = ferry_unhex(hex, bytes);
    if (n < 0)
        return ferry_json_error(doc, v, err, "'native' is not hexadecimal");
    e->native_len = (uint32_t)n;
    e->native = FERRY_STEAL(bytes);
    return 0;
}

static int get_nexthop(struct ferry_json *doc, uint32_t v, struct ferry_nexthop *ret, struct ferry_err *err)
{
    int64_t weight = 1;
    *ret = (struct ferry_nexthop){.router = FERRY_NO_ROUTER};
    int r = ferry_json_want(doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = get_dev(doc, v, "dev", ret->dev, err);
    if (r == 0)
        r = get_addr(doc, v, "via", &ret->via, err);
    if (r == 0)
        r = ferry_json_opt_int(doc, v, "weight", 1, 256, &weight, err);
    if (r == 0)
        r = ferry_json_opt_bool(doc, v, "onlink", &ret->onlink, err);
    ret->weight = (uint16_t)weight;
    return r;
}

static int get_nexthops(struct ferry_json *doc, uint32_t route, struct ferry_entry *e, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(doc, route, "nexthops", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    uint32_t n = ferry_json_count(doc, list);
    if (n > UINT16_MAX)
        return ferry_json_error(doc, list, err, "too many next hops");
    FERRY_AUTOFREE struct ferry_nexthop *hops = ferry_calloc(n, sizeof *hops);
    size_t i = 0;
    FERRY_JSON_EACH(doc, list, v)
    {
        r = get_nexthop(doc, v, &hops[i++], err);
        if (r < 0)
            return r;
    }
    e->n_nexthops = (uint16_t)n;
    e->nexthops = FERRY_STEAL(hops);
    return 0;
}

static int get_protocol(struct ferry_json *doc, uint32_t route, uint8_t *ret, struct ferry_err *err)
{
    const char *text;
    struct ferry_err why;
    int r = ferry_json_need_string(doc, route, "protocol", &text, err);
    if (r < 0)
        return r;
    if (ferry_protocol_parse(text, ret, &why) < 0)
        return ferry_json_error(doc, route, err, "%s", why.text);
    return 0;
}

static int get_entry(struct ferry_json *doc, uint32_t v, struct ferry_entry *e, struct ferry_err *err)
{
    const char *type;
    int64_t table = FERRY_TABLE_MAIN, metric;
    int r = ferry_json_need_string(doc, v, "type", &type, err);
    if (r == 0)
        r = ferry_json_opt_int(doc, v, "table", 1, UINT32_MAX, &table, err);
    if (r == 0)
        r = ferry_json_need_int(doc, v, "metric", 0, UINT32_MAX, &metric, err);
    if (r == 0)
        r = get_protocol(doc, v, &e->protocol, err);
    if (r < 0)
        return r;
    e->type = ferry_entry_type_parse(type);
    e->table = (uint32_t)table;
    e->metric = (uint32_t)metric;
    if (!e->type || ferry_entry_kind(e) != FERRY_KIND_ROUTE)
        return ferry_json_error(doc, v, err, "'%s' is not a type of route", type);
    r = get_nexthops(doc, v, e, err);
    if (r == 0)
        r = get_native(doc, v, e, err);
    return r;
}

static void entry_done(struct ferry_entry *e)
{
    free((void *)e->nexthops);
    free((void *)e->native);
}

int ferry_sim_load_route(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                         struct ferry_err *err)
{
    FERRY_CLEANUP(entry_done) struct ferry_entry e = {0};
    struct ferry_prefix prefix;
    int r = ferry_json_want(doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_sim_get_prefix(doc, v, &prefix, err);
    if (r == 0)
        r = get_entry(doc, v, &e, err);
    if (r == 0)
        ferry_sim_table_set(table, &prefix, e.table, e.metric, &e);
    return r;
}

int ferry_sim_load_gateway(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                           struct ferry_err *err)
{
    FERRY_CLEANUP(entry_done) struct ferry_entry e = {.type = FERRY_GATEWAY};
    struct ferry_sim_place place = {0};
    struct ferry_prefix prefix;
    int64_t rt_table = 0;
    int r = ferry_json_want(doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_sim_get_prefix(doc, v, &prefix, err);
    if (r == 0)
        r = get_dev(doc, v, "interface", place.interface, err);
    if (r == 0)
        r = get_addr(doc, v, "address", &place.address, err);
    if (r == 0)
        r = get_addr(doc, v, "via", &place.via, err);
    if (r == 0)
        r = ferry_json_opt_int(doc, v, "table", 1, UINT32_MAX, &rt_table, err);
    if (r == 0)
        r = get_native(doc, v, &e, err);
    if (r < 0)
        return r;
    place.any = !place.address.family && !place.via.family;
    place.table = rt_table || place.any ? (uint32_t)rt_table : FERRY_TABLE_MAIN;
    ferry_sim_table_attach(table, &prefix, &place, &e);
    return 0;
}

int ferry_sim_load_announcement(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                                struct ferry_err *err)
{
    FERRY_CLEANUP(entry_done) struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT};
    struct ferry_prefix prefix;
    int r = ferry_json_want(doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_sim_get_prefix(doc, v, &prefix, err);
    if (r == 0)
        r = get_protocol(doc, v, &e.protocol, err);
    if (r == 0)
        r = get_native(doc, v, &e, err);
    if (r == 0)
        ferry_sim_table_announce(table, &prefix, &e);
    return r;
}

static int load_document(struct ferry_json *doc, struct ferry_sim_table *table, struct ferry_err *err)
{
    uint32_t interfaces = FERRY_JSON_NONE, announcements = FERRY_JSON_NONE, selectors = FERRY_JSON_NONE,
             gateways, routes;
    int r = ferry_json_want(doc, FERRY_JSON_ROOT, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_opt(doc, FERRY_JSON_ROOT, "interfaces", FERRY_JSON_ARRAY, &interfaces, err);
    if (r == 0)
        r = ferry_json_need(doc, FERRY_JSON_ROOT, "gateways", FERRY_JSON_ARRAY, &gateways, err);
    if (r == 0)
        r = ferry_json_need(doc, FERRY_JSON_ROOT, "routes", FERRY_JSON_ARRAY, &routes, err);
    if (r == 0)
        r = ferry_json_opt(doc, FERRY_JSON_ROOT, "announcements", FERRY_JSON_ARRAY, &announcements, err);
    if (r == 0)
        r = ferry_json_opt(doc, FERRY_JSON_ROOT, "selectors", FERRY_JSON_ARRAY, &selectors, err);
    if (r < 0)
        return r;
    FERRY_JSON_EACH(doc, interfaces, v)
    {
        const char *name;
        r = ferry_json_string(doc, v, &name, err);
        if (r < 0)
            return r;
        ferry_sim_table_add_device(table, name);
    }
    FERRY_JSON_EACH(doc, gateways, v)
    {
        r = ferry_sim_load_gateway(doc, v, table, err);
        if (r < 0)
            return r;
    }
    FERRY_JSON_EACH(doc, routes, v)
    {
        r = ferry_sim_load_route(doc, v, table, err);
        if (r < 0)
            return r;
    }
    FERRY_JSON_EACH(doc, announcements, v)
    {
        r = ferry_sim_load_announcement(doc, v, table, err);
        if (r < 0)
            return r;
    }
    FERRY_JSON_EACH(doc, selectors, v)
    {
        r = ferry_sim_load_selector(doc, v, table, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int ferry_sim_table_load(const char *path, struct ferry_sim_table *ret, struct ferry_err *err)
{
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return 1;
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    FERRY_CLEANUP(ferry_sim_table_clear) struct ferry_sim_table table = {0};
    int r = ferry_json_load(path, NULL, NULL, &doc, err);
    if (r == 0)
        r = load_document(doc, &table, err);
    if (r < 0)
        return -FERRY_EIO; /* the router's memory, not a file that the user gave us */
    ferry_sim_table_clear(ret);
    *ret = table;
    table = (struct ferry_sim_table){0};
    return 0;
}
