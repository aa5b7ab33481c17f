/* The slot `check`: whether the ops could work.  Leaves no trace but a vtysh that waits for the lines.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <json-c/json.h>
#include <stdio.h>

enum { MANY_STATICS = 10000, CHECKED_US = 5000000 };

/* ---- Interfaces. ---- */

struct seek {
    const char *name;
    bool found, up;
    char master[FERRY_DEV_LEN]; /* "": none */
    uint32_t table;             /* of the VRF that it is in; FERRY_TABLE_MAIN: it is in none */
};

/* "linkinfo": {"info_slave_kind": "vrf", "info_slave_data": {"table": 100}} */
static uint32_t table_of_link(struct json_object *link)
{
    struct json_object *info, *v;
    if (!json_object_object_get_ex(link, "linkinfo", &info) ||
        !json_object_object_get_ex(info, "info_slave_kind", &v) ||
        !json_object_is_type(v, json_type_string) || strcmp(json_object_get_string(v), "vrf") != 0 ||
        !json_object_object_get_ex(info, "info_slave_data", &info) ||
        !json_object_object_get_ex(info, "table", &v))
        return FERRY_TABLE_MAIN;
    int64_t table = json_object_get_int64(v); /* `ip -N` prints some numbers as text */
    return table < 1 || table > UINT32_MAX ? FERRY_TABLE_MAIN : (uint32_t)table;
}

static int links_document(void *ctx, struct json_object *o, struct ferry_err *err)
{
    struct seek *s = ctx;
    struct json_object *v;
    (void)err;
    for (size_t i = 0; json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++) {
        struct json_object *link = json_object_array_get_idx(o, i);
        if (!json_object_object_get_ex(link, "ifname", &v) || !json_object_is_type(v, json_type_string) ||
            strcmp(json_object_get_string(v), s->name) != 0)
            continue;
        s->found = true;
        s->table = table_of_link(link);
        if (json_object_object_get_ex(link, "master", &v) && json_object_is_type(v, json_type_string))
            snprintf(s->master, sizeof s->master, "%.15s", json_object_get_string(v));
        if (json_object_object_get_ex(link, "flags", &v) && json_object_is_type(v, json_type_array))
            for (size_t k = 0; k < json_object_array_length(v); k++) {
                const char *flag = json_object_get_string(json_object_array_get_idx(v, k));
                s->up |= flag && !strcmp(flag, "UP");
            }
    }
    return 0;
}

/* Looks into what was heard before; asks again where the name is not in it. */
static int device_seek(struct ferry_frr *d, struct seek *s, bool again, struct ferry_err *err)
{
    struct seek first = *s;
    int result = 0;
    if (d->links && !again) {
        result = ferry_frr_json(d->links, strlen(d->links), links_document, s, err);
        if (result < 0 || s->found)
            return result;
    }
    size_t n;
    free(d->links);
    d->links = NULL;
    *s = first;
    result = ferry_frr_ip(d, AF_INET, "link show", &d->links, &n, err);
    return result < 0 ? result : ferry_frr_json(d->links, n, links_document, s, err);
}

static int device_there(struct ferry_frr *d, const char *name, bool up, struct seek *ret,
                        struct ferry_err *err)
{
    struct seek s = {.name = name};
    int result = device_seek(d, &s, false, err);
    if (!result && !s.found)
        result = ferry_error(err, FERRY_EREFUSED, "there is no interface %s", name);
    if (!result && up && !s.up)
        result = ferry_error(err, FERRY_EREFUSED, "interface %s is down", name);
    *ret = s;
    return result;
}

/* The connected route of an address is in the table of the VRF that its interface is in. */
static int attached_in(const struct ferry_op *op, const struct seek *s, struct ferry_err *err)
{
    uint32_t table = op->table ? op->table : FERRY_TABLE_MAIN;
    if (table == s->table)
        return 0;
    if (s->table == FERRY_TABLE_MAIN)
        return ferry_error(err, FERRY_EREFUSED, "interface %s is in no VRF, and table %u is a VRF's", s->name,
                           table);
    return ferry_error(err, FERRY_EREFUSED,
                       "interface %s is in VRF %s, where routes of its addresses are in table %u, and the "
                       "subnet's table is %u here",
                       s->name, s->master, s->table, table);
}

static int devices(struct ferry_frr *d, const struct ferry_op *op, bool up, struct ferry_err *err)
{
    struct seek s;
    int result = 0;
    if (!op->after || ferry_entry_dynamic(op->after))
        return 0;
    if (op->kind == FERRY_KIND_GATEWAY && op->interface) {
        result = device_there(d, op->interface, up, &s, err);
        return result < 0 || !op->gateway->address.addr.family ? result : attached_in(op, &s, err);
    }
    for (uint16_t i = 0; op->kind == FERRY_KIND_ROUTE && i < op->after->n_nexthops && !result; i++)
        if (*op->after->nexthops[i].dev && !op->after->native_len)
            result = device_there(d, op->after->nexthops[i].dev, up, &s, err);
    return result;
}

int ferry_frr_devices(struct ferry_frr *d, const struct ferry_op *op, struct ferry_err *err)
{
    return devices(d, op, false, err);
}

/* ---- Daemons. ----
 *
 * The kept vtysh names those that it reached when it was started; one that it lost since shows with the
 * running configuration, which all of them are asked for just before (session.c), and so does one that hangs. */

int ferry_frr_daemons(struct ferry_frr *d, const struct ferry_driver_config *config, struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    size_t n;
    const char *wanted[] = {"zebra", "staticd",
                            config->routing == FERRY_ROUTING_BGP    ? "bgpd"
                            : config->routing == FERRY_ROUTING_OSPF ? "ospfd"
                                                                    : "zebra"};
    int result = ferry_frr_show(d, "show daemons", &answer, &n, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < FERRY_COUNT(wanted); i++) {
        char word[16];
        bool found = false;
        for (const char *at = answer; at && !found; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL) {
            found = sscanf(at, " %15s", word) == 1 && !strcmp(word, wanted[i]);
        }
        if (!found) {
            ferry_frr_lose(d, FERRY_FRR_SHOW); /* it would not find the daemon once that is back */
            return ferry_refuse(err, "daemon",
                                "FRR's %s does not answer: `systemctl status frr`, `show watchfrr`",
                                wanted[i]);
        }
    }
    return 0;
}

/* ---- Next hops. ---- */

/* Whether an address is reached directly through `dev`: FRR has a connected route for it there. */
static int next_hop(struct ferry_frr *d, const struct ferry_nexthop *hop, uint32_t table,
                    struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    char command[112], via[FERRY_ADDR_STRLEN], quoted[FERRY_DEV_LEN + 2];
    size_t n;
    if (!hop->via.family || hop->onlink || (hop->via.family == AF_INET6 && hop->via.bytes[0] == 0xfe))
        return 0;
    const struct ferry_vrf *vrf = ferry_frr_config_vrf(d->running, table);
    snprintf(command, sizeof command, "show %s route%s%s %s json",
             hop->via.family == AF_INET6 ? "ipv6" : "ip", vrf ? " vrf " : "", vrf ? vrf->name : "",
             ferry_addr_text(&hop->via, via));
    int result = ferry_frr_show(d, command, &answer, &n, err);
    if (result < 0)
        return result;
    snprintf(quoted, sizeof quoted, "\"%.15s", hop->dev);
    if (!strstr(answer, "\"installed\":true") || (*hop->dev && !strstr(answer, quoted)))
        return ferry_error(err, FERRY_EREFUSED, "next hop %s is not reached through %s: look at `%s`", via,
                           *hop->dev ? hop->dev : "anything", command);
    return 0;
}

/* Whether FRR has the op's next hop at another distance, and none of these ops is about that. */
static int elsewhere(const struct ferry_frr *d, const struct ferry_op *op, const struct ferry_op *ops,
                     size_t n, struct ferry_err *err)
{
    uint32_t distance;
    if ((op->after && ferry_entry_dynamic(op->after)) ||
        !ferry_frr_config_elsewhere(d->running, op, &distance))
        return 0;
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == FERRY_KIND_ROUTE && ops[i].before && ops[i].metric == distance &&
            ops[i].table == op->table && ferry_prefix_equal(&ops[i].prefix, &op->prefix))
            return 0;
    return ferry_error(err, FERRY_EREFUSED, FERRY_FRR_ELSEWHERE, distance);
}

static int check_one(struct ferry_frr *d, const struct ferry_op *op, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_files_clear) struct ferry_frr_files files = {0};
    int result = ferry_frr_vrf_check(d, op, err);
    if (!result)
        result = ferry_frr_lines(&d->config, op, &files, err);
    if (!result)
        result = devices(d, op, true, err);
    if (!result && op->kind == FERRY_KIND_ANNOUNCEMENT)
        result = ferry_frr_announce_check(d, d->running, op, err);
    if (!result && op->kind == FERRY_KIND_ROUTE)
        result = ferry_frr_protocol_op_check(op, err);
    for (uint16_t i = 0; op->kind == FERRY_KIND_ROUTE && op->after && !ferry_entry_dynamic(op->after) &&
                         !op->after->native_len && i < op->after->n_nexthops && !result;
         i++)
        result = next_hop(d, &op->after->nexthops[i], op->table, err);
    return result;
}

/* Lines that somebody has not saved would be saved with ours. */
static void unsaved(struct ferry_frr *d)
{
    bool same;
    struct ferry_err ignored;
    if (ferry_frr_saved(d, &same, &ignored) == 0 && !same)
        ferry_log(d->env, FERRY_LOG_WARNING,
                  "warning: %s: FRR runs with a configuration that is not saved; saving what Ferry changes "
                  "would save "
                  "that too (compare `show running-config` with frr.conf)",
                  d->router);
}

/* The router itself.  A plan is checked stage by stage: once is enough for all of them; what happens behind a
 * look is seen by apply, which compares, and reads back. */
static int check_router(struct ferry_frr *d, struct ferry_err *err)
{
    struct ferry_frr_config running = {0};
    if (d->checked_us && d->env->monotonic_us(d->env->ctx) - d->checked_us < CHECKED_US)
        return 0;
    int result = ferry_frr_config_read(d, &running, err);
    if (!result) {
        ferry_frr_keep(d, &running);
        result = ferry_frr_daemons(d, &d->config, err);
    }
    if (result < 0)
        return result;
    if (d->config.routing != FERRY_ROUTING_STATIC)
        result = ferry_frr_protocol_check(d, d->running, err);
    if (result < 0)
        return result;
    if (d->running->n_statics > MANY_STATICS)
        ferry_log(d->env, FERRY_LOG_WARNING,
                  "warning: %s has %zu static routes: FRR takes seconds for one change of so many; prefer "
                  "origination "
                  "or addresses there",
                  d->router, d->running->n_statics);
    unsaved(d);
    free(d->links);
    d->links = NULL;
    d->checked_us = d->env->monotonic_us(d->env->ctx);
    return 0;
}

int ferry_frr_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_frr *d = (struct ferry_frr *)driver;
    struct ferry_err why;
    if (!n)
        return 0;
    ferry_frr_forget(d);
    for (size_t i = 0; i < n; i++)
        ferry_frr_vrfs_note(d, ops[i].table);
    int result = check_router(d, err);
    if (!result)
        result = ferry_frr_bridge_sweep(d, ops, n, err);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", d->router);
    for (size_t i = 0; i < n; i++) {
        char prefix[FERRY_PREFIX_STRLEN];
        ferry_op_clear(&ops[i]);
        result = check_one(d, &ops[i], &why);
        if (!result)
            result = elsewhere(d, &ops[i], ops, n, &why);
        ops[i].outcome = result < 0 ? FERRY_REFUSED : FERRY_DONE;
        if (result < 0)
            ferry_op_why(&ops[i], "%s: %s", ferry_prefix_text(&ops[i].prefix, prefix), why.text);
    }
    if (ferry_frr_warm(d, FERRY_FRR_WRITERS, &why) < 0)
        ferry_log(d->env, FERRY_LOG_DEBUG, "%s: no vtysh waits: %s", d->router, why.text);
    return 0;
}
