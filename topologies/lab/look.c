/* What a namespace of a lab holds now, compared with what the layout says.  Neighbours: look.h, layout.c, run.c
 * (`ip -j`).
 *
 * Routes are compared as canonical lines: one writer for the layout's entries, one for what `ip -j` says.
 *
 * SPDX-License-Identifier: MIT */
#include "look.h"

#include "base/mem.h"
#include "run.h"
#include <json-c/json.h>
#include <netinet/in.h>
#include <string.h>

static void put_json(json_object **o)
{
    json_object_put(*o);
}

/* ---- Lines ---- */

void ferry_lab_lines_clear(struct ferry_lab_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++) {
        free(lines->v[i]);
    }
    free(lines->v);
}

void ferry_lab_lines_add(struct ferry_lab_lines *lines, char *line)
{
    FERRY_GROW(lines->v, lines->n);
    lines->v[lines->n++] = line;
}

static int line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void ferry_lab_lines_sort(struct ferry_lab_lines *lines)
{
    if (lines->n) {
        qsort(lines->v, lines->n, sizeof *lines->v, line_compare);
    }
}

bool ferry_lab_lines_have(const struct ferry_lab_lines *lines, const char *line)
{
    return lines->n && bsearch(&line, lines->v, lines->n, sizeof *lines->v, line_compare);
}

/* "PREFIX table T metric M" and one " via V dev D weight W" a next hop, sorted; "PREFIX protocol P" of one that BGP or
 * OSPF makes. */
static char *line_of_route(const struct ferry_lab_route *route)
{
    char prefix[FERRY_PREFIX_STRLEN], via[FERRY_ADDR_STRLEN], *line = NULL, protocol[16];
    if (route->dynamic) { /* which way, the protocol decides */
        return ferry_asprintf("%s protocol %s", ferry_prefix_text(&route->prefix, prefix),
                              ferry_protocol_name(route->entry->protocol, protocol));
    }
    size_t len;
    const struct ferry_entry *e = route->entry;
    FERRY_CLEANUP(ferry_lab_lines_clear) struct ferry_lab_lines legs = {0};
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *nh = &e->nexthops[i];
        ferry_lab_lines_add(&legs, ferry_asprintf(" via %s dev %s weight %u", ferry_addr_text(&nh->via, via),
                                                  nh->dev, nh->weight ? nh->weight : 1u));
    }
    ferry_lab_lines_sort(&legs);
    FILE *out = open_memstream(&line, &len);
    fprintf(out, "%s table %u metric %u", ferry_prefix_text(&route->prefix, prefix), e->table, e->metric);
    for (size_t i = 0; i < legs.n; i++) {
        fputs(legs.v[i], out);
    }
    fclose(out);
    return line;
}

static const char *text_of(json_object *o, const char *key, const char *otherwise)
{
    json_object *v;
    const char *text = json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;
    return text ? text : otherwise;
}

static int number_of(json_object *o, const char *key, int otherwise)
{
    json_object *v;
    return json_object_object_get_ex(o, key, &v) ? json_object_get_int(v) : otherwise;
}

static char *line_of_leg(json_object *leg, bool known_dev)
{
    return ferry_asprintf(" via %s dev %s weight %d", text_of(leg, "gateway", "none"),
                          known_dev ? text_of(leg, "dev", "") : "", number_of(leg, "weight", 1));
}

/* The same line from one object of `ip -d -j route`.  `known_dev`: false leaves the device out, as a routed
 * gateway does that names none. */
static char *line_of_json(json_object *o, int family, bool known_dev)
{
    const char *dst = text_of(o, "dst", ""), *table = text_of(o, "table", "main");
    const char *any = family == AF_INET ? "0.0.0.0" : "::";
    char *line = NULL;
    size_t len;
    FERRY_CLEANUP(ferry_lab_lines_clear) struct ferry_lab_lines legs = {0};
    json_object *list;
    if (json_object_object_get_ex(o, "nexthops", &list)) {
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            ferry_lab_lines_add(&legs, line_of_leg(json_object_array_get_idx(list, i), known_dev));
        }
    } else {
        ferry_lab_lines_add(&legs, line_of_leg(o, known_dev));
    }
    ferry_lab_lines_sort(&legs);
    FILE *out = open_memstream(&line, &len);
    fprintf(out, "%s", strcmp(dst, "default") ? dst : any);
    if (!strchr(dst, '/')) {
        fputs(strcmp(dst, "default") ? (family == AF_INET ? "/32" : "/128") : "/0", out);
    }
    fprintf(out, " table %s metric %d", strcmp(table, "main") ? table : "254", number_of(o, "metric", 0));
    for (size_t i = 0; i < legs.n; i++) {
        fputs(legs.v[i], out);
    }
    fclose(out);
    return line;
}

/* ---- Reading a namespace ---- */

static int ip_json(const char *netns, const char *const *args, json_object **ret, struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = NULL;
    int r = ferry_lab_ip(netns, args, NULL, -1, &text, err);
    if (r < 0) {
        return r;
    }
    json_object *root = *text ? json_tokener_parse(text) : json_object_new_array();
    if (!json_object_is_type(root, json_type_array)) {
        json_object_put(root);
        return ferry_error(err, FERRY_EIO, "%s: `ip -j %s` said something else than a list", netns, args[1]);
    }
    *ret = root;
    return 0;
}

/* Calls `found` for each route that the kernel has not made itself. */
static int each_route(const struct ferry_lab_place *p,
                      void (*found)(struct ferry_lab_lines *lines, json_object *route, int family),
                      struct ferry_lab_lines *lines, struct ferry_err *err)
{
    static const char *const families[] = {"-4", "-6"};
    for (size_t f = 0; f < FERRY_COUNT(families); f++) {
        const char *args[] = {families[f], "-d", "-j", "route", "show", "table", "all", NULL, NULL, NULL};
        if (p->machine != FERRY_LAB_FRR) {
            args[7] = "proto"; /* the kernel picks them out: there may be many others */
            args[8] = "static";
        }
        FERRY_CLEANUP(put_json) json_object *list = NULL;
        int r = ip_json(p->netns, args, &list, err);
        if (r < 0) {
            return r;
        }
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            json_object *o = json_object_array_get_idx(list, i);
            if (strcmp(text_of(o, "protocol", ""), "kernel") != 0) {
                found(lines, o, f == 0 ? AF_INET : AF_INET6);
            }
        }
    }
    ferry_lab_lines_sort(lines);
    return 0;
}

static const char *learnt_by(json_object *route)
{
    const char *protocol = text_of(route, "protocol", "");
    return !strcmp(protocol, "bgp") || !strcmp(protocol, "ospf") ? protocol : NULL;
}

static void add_lines(struct ferry_lab_lines *lines, json_object *o, int family)
{
    const char *protocol = learnt_by(o);
    if (protocol) {
        ferry_lab_lines_add(lines, ferry_asprintf("%s protocol %s", text_of(o, "dst", ""), protocol));
        return;
    }
    ferry_lab_lines_add(lines, line_of_json(o, family, true));
    ferry_lab_lines_add(lines, line_of_json(o, family, false));
}

static void add_learnt(struct ferry_lab_lines *lines, json_object *o, int family)
{
    const char *protocol = learnt_by(o);
    if (protocol) {
        FERRY_AUTOFREE char *line = line_of_json(o, family, true);
        ferry_lab_lines_add(lines, ferry_asprintf("%s protocol %s", line, protocol));
    }
}

/* Interfaces that are up with carrier, and addresses as "ADDRESS/LEN dev DEV". */
static int read_interfaces(const struct ferry_lab_place *p, struct ferry_lab_lines *ret_up,
                           struct ferry_lab_lines *ret_addresses, struct ferry_err *err)
{
    const char *args[] = {"-j", "address", "show", NULL};
    FERRY_CLEANUP(put_json) json_object *list = NULL;
    int r = ip_json(p->netns, args, &list, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i), *flags, *addresses;
        const char *dev = text_of(o, "ifname", "");
        for (size_t j = 0;
             json_object_object_get_ex(o, "flags", &flags) && j < json_object_array_length(flags); j++) {
            if (!strcmp(json_object_get_string(json_object_array_get_idx(flags, j)), "LOWER_UP")) {
                ferry_lab_lines_add(ret_up, ferry_strdup(dev));
            }
        }
        for (size_t j = 0;
             json_object_object_get_ex(o, "addr_info", &addresses) && j < json_object_array_length(addresses);
             j++) {
            json_object *a = json_object_array_get_idx(addresses, j);
            ferry_lab_lines_add(ret_addresses, ferry_asprintf("%s/%d dev %s", text_of(a, "local", ""),
                                                              number_of(a, "prefixlen", 0), dev));
        }
    }
    ferry_lab_lines_sort(ret_up);
    ferry_lab_lines_sort(ret_addresses);
    return 0;
}

int ferry_lab_look(const struct ferry_lab_place *p, struct ferry_lab_space *space, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_lab_lines_clear) struct ferry_lab_lines up = {0};
    FERRY_CLEANUP(ferry_lab_lines_clear) struct ferry_lab_lines addresses = {0};
    FERRY_CLEANUP(ferry_lab_lines_clear) struct ferry_lab_lines routes = {0};
    int r = read_interfaces(p, &up, &addresses, err);
    if (r < 0 || (r = each_route(p, add_lines, &routes, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < p->n_interfaces; i++) {
        space->interfaces_up += ferry_lab_lines_have(&up, p->interfaces[i]);
    }
    for (size_t i = 0; i < p->n_ports; i++) {
        space->interfaces_up += ferry_lab_lines_have(&up, p->ports[i].name);
    }
    for (size_t i = 0; i < p->n_addresses; i++) {
        char text[FERRY_PREFIX_STRLEN];
        FERRY_AUTOFREE char *line = ferry_asprintf(
            "%s dev %s", ferry_prefix_text(&p->addresses[i].address, text), p->addresses[i].dev);
        space->addresses_found += ferry_lab_lines_have(&addresses, line);
    }
    for (size_t i = 0; i < p->n_routes; i++) {
        FERRY_AUTOFREE char *line = line_of_route(&p->routes[i]);
        space->routes_found += ferry_lab_lines_have(&routes, line);
    }
    return 0;
}

int ferry_lab_learnt(const struct ferry_lab_place *place, char **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_lab_lines_clear) struct ferry_lab_lines lines = {0};
    size_t len;
    int r = each_route(place, add_learnt, &lines, err);
    if (r < 0) {
        return r;
    }
    FILE *out = open_memstream(ret, &len);
    for (size_t i = 0; i < lines.n; i++) {
        fprintf(out, "%s\n", lines.v[i]);
    }
    fclose(out);
    return 0;
}
