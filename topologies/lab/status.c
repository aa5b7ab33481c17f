/* What is there of a lab now, compared with what `lab up` makes.  Neighbours: layout.c (what it makes), run.c
 * (`ip -j`).
 *
 * Routes are compared as canonical lines: one writer for the layout's entries, one for what `ip -j` says.
 *
 * SPDX-License-Identifier: MIT */
#include "lab.h"

#include "base/mem.h"
#include "layout.h"
#include "run.h"
#include <json-c/json.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

const char *ferry_lab_state_name(enum ferry_lab_state state)
{
    switch (state) {
    case FERRY_LAB_DOWN:
        return "down";
    case FERRY_LAB_UP:
        return "up";
    case FERRY_LAB_BROKEN:
        return "broken";
    }
    return "?";
}

static void layout_cleanup(struct ferry_lab_layout **layout)
{
    ferry_lab_layout_free(*layout);
}

static void record_cleanup(struct ferry_lab_record **record)
{
    ferry_lab_record_free(*record);
}

static void put_json(json_object **o)
{
    json_object_put(*o);
}

/* ---- Lines ---- */

struct lines {
    char **v;
    size_t n;
};

static void lines_clear(struct lines *lines)
{
    for (size_t i = 0; i < lines->n; i++) {
        free(lines->v[i]);
    }
    free(lines->v);
}

static void lines_add(struct lines *lines, char *line)
{
    FERRY_GROW(lines->v, lines->n);
    lines->v[lines->n++] = line;
}

static int line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void lines_sort(struct lines *lines)
{
    if (lines->n) {
        qsort(lines->v, lines->n, sizeof *lines->v, line_compare);
    }
}

static bool lines_have(const struct lines *lines, const char *line)
{
    return lines->n && bsearch(&line, lines->v, lines->n, sizeof *lines->v, line_compare);
}

/* "PREFIX table T metric M" and one " via V dev D weight W" a next hop, sorted. */
static char *line_of_route(const struct ferry_lab_route *route)
{
    char prefix[FERRY_PREFIX_STRLEN], via[FERRY_ADDR_STRLEN], *line = NULL;
    size_t len;
    const struct ferry_entry *e = route->entry;
    FERRY_CLEANUP(lines_clear) struct lines legs = {0};
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *nh = &e->nexthops[i];
        lines_add(&legs, ferry_asprintf(" via %s dev %s weight %u", ferry_addr_text(&nh->via, via), nh->dev,
                                        nh->weight ? nh->weight : 1u));
    }
    lines_sort(&legs);
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
    return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : otherwise;
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
    FERRY_CLEANUP(lines_clear) struct lines legs = {0};
    json_object *list;
    if (json_object_object_get_ex(o, "nexthops", &list)) {
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            lines_add(&legs, line_of_leg(json_object_array_get_idx(list, i), known_dev));
        }
    } else {
        lines_add(&legs, line_of_leg(o, known_dev));
    }
    lines_sort(&legs);
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

static int read_routes(const struct ferry_lab_place *p, struct lines *ret, struct ferry_err *err)
{
    static const char *const families[] = {"-4", "-6"};
    for (size_t f = 0; f < FERRY_COUNT(families); f++) {
        const char *args[] = {families[f], "-d",  "-j",    "route",  "show",
                              "table",     "all", "proto", "static", NULL};
        FERRY_CLEANUP(put_json) json_object *list = NULL;
        int r = ip_json(p->netns, args, &list, err);
        if (r < 0) {
            return r;
        }
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            json_object *o = json_object_array_get_idx(list, i);
            int family = f == 0 ? AF_INET : AF_INET6;
            lines_add(ret, line_of_json(o, family, true));
            lines_add(ret, line_of_json(o, family, false));
        }
    }
    lines_sort(ret);
    return 0;
}

/* Interfaces that are up with carrier, and addresses as "ADDRESS/LEN dev DEV". */
static int read_interfaces(const struct ferry_lab_place *p, struct lines *ret_up, struct lines *ret_addresses,
                           struct ferry_err *err)
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
                lines_add(ret_up, ferry_strdup(dev));
            }
        }
        for (size_t j = 0;
             json_object_object_get_ex(o, "addr_info", &addresses) && j < json_object_array_length(addresses);
             j++) {
            json_object *a = json_object_array_get_idx(addresses, j);
            lines_add(ret_addresses, ferry_asprintf("%s/%d dev %s", text_of(a, "local", ""),
                                                    number_of(a, "prefixlen", 0), dev));
        }
    }
    lines_sort(ret_up);
    lines_sort(ret_addresses);
    return 0;
}

static int read_space(const struct ferry_lab_place *p, struct ferry_lab_space *space, struct ferry_err *err)
{
    FERRY_CLEANUP(lines_clear) struct lines up = {0};
    FERRY_CLEANUP(lines_clear) struct lines addresses = {0};
    FERRY_CLEANUP(lines_clear) struct lines routes = {0};
    int r = read_interfaces(p, &up, &addresses, err);
    if (r < 0 || (r = read_routes(p, &routes, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < p->n_interfaces; i++) {
        space->interfaces_up += lines_have(&up, p->interfaces[i]);
    }
    for (size_t i = 0; i < p->n_ports; i++) {
        space->interfaces_up += lines_have(&up, p->ports[i].name);
    }
    for (size_t i = 0; i < p->n_addresses; i++) {
        char text[FERRY_PREFIX_STRLEN];
        FERRY_AUTOFREE char *line = ferry_asprintf(
            "%s dev %s", ferry_prefix_text(&p->addresses[i].address, text), p->addresses[i].dev);
        space->addresses_found += lines_have(&addresses, line);
    }
    for (size_t i = 0; i < p->n_routes; i++) {
        FERRY_AUTOFREE char *line = line_of_route(&p->routes[i]);
        space->routes_found += lines_have(&routes, line);
    }
    return 0;
}

/* ---- The whole ---- */

static void count_process(void *ctx, size_t index, pid_t pid, const char *name)
{
    struct ferry_lab_status *status = ctx;
    (void)pid;
    (void)name;
    status->spaces[index].processes++;
}

static const char *role_name(enum ferry_lab_role role)
{
    return role == FERRY_LAB_ROUTER ? "router" : role == FERRY_LAB_LAN ? "lan" : "host";
}

static void status_cleanup(struct ferry_lab_status *status)
{
    ferry_lab_status_clear(status);
}

static bool recorded(const struct ferry_lab_record *record, const char *netns, ino_t inode)
{
    for (size_t i = 0; record && i < record->n_netns; i++) {
        if (!strcmp(record->netns[i].name, netns)) {
            return !record->netns[i].inode || record->netns[i].inode == inode;
        }
    }
    return false;
}

static int read_spaces(const struct ferry_lab_layout *layout, const struct ferry_lab_record *record,
                       struct ferry_lab_status *status, struct ferry_err *err)
{
    FERRY_AUTOFREE ino_t *inodes = ferry_calloc(layout->n_places + 1, sizeof *inodes);
    bool whole = record && record->complete;
    status->baseline = true;
    status->n_spaces = layout->n_places;
    status->spaces = ferry_calloc(layout->n_places + 1, sizeof *status->spaces);
    for (size_t i = 0; i < layout->n_places; i++) {
        const struct ferry_lab_place *p = &layout->places[i];
        ino_t inode = ferry_lab_netns_inode(p->netns);
        struct ferry_lab_space *s = &status->spaces[i];
        *s = (struct ferry_lab_space){.netns = ferry_strdup(p->netns),
                                      .role = role_name(p->role),
                                      .of = ferry_strdup(p->of),
                                      .present = inode && recorded(record, p->netns, inode),
                                      .interfaces = (unsigned)(p->n_interfaces + p->n_ports),
                                      .addresses = p->n_addresses,
                                      .routes = p->n_routes};
        int r = s->present ? read_space(p, s, err) : 0;
        if (r < 0) {
            return r;
        }
        inodes[i] = s->present ? inode : 0;
        whole &= s->present && s->interfaces_up == s->interfaces;
        status->baseline &= s->present && s->addresses_found == s->addresses && s->routes_found == s->routes;
    }
    ferry_lab_processes(inodes, layout->n_places, count_process, status);
    status->state = !record ? FERRY_LAB_DOWN : whole ? FERRY_LAB_UP : FERRY_LAB_BROKEN;
    return 0;
}

int ferry_lab_status(const struct ferry_topology *t, struct ferry_lab_status *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_lab_unlock) int lock = -1;
    FERRY_CLEANUP(layout_cleanup) struct ferry_lab_layout *layout = NULL;
    FERRY_CLEANUP(record_cleanup) struct ferry_lab_record *record = NULL;
    FERRY_CLEANUP(status_cleanup) struct ferry_lab_status status = {0};
    if (geteuid() != 0) {
        return ferry_refuse(err, "root", "looking into network namespaces needs root (sudo)");
    }
    int r = ferry_lab_layout_new(t, &layout, err);
    if (r < 0 || (r = ferry_lab_lock(&lock, err)) < 0 ||
        (r = ferry_lab_record_load(t->name, &record, err)) < 0 ||
        (r = read_spaces(layout, record, &status, err)) < 0) {
        return r;
    }
    if (record) {
        memcpy(status.topology_sha256, record->topology_sha256, sizeof status.topology_sha256);
        status.same_file = !strcmp(record->topology_sha256, t->sha256);
    }
    *ret = status;
    status = (struct ferry_lab_status){0};
    return 0;
}

void ferry_lab_status_clear(struct ferry_lab_status *status)
{
    for (size_t i = 0; i < status->n_spaces; i++) {
        free(status->spaces[i].netns);
        free(status->spaces[i].of);
    }
    free(status->spaces);
    *status = (struct ferry_lab_status){0};
}
