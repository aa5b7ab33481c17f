/* An op as `ip` commands: a simulated router is told what a real one would be.
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include <ferry/device.h>
#include <ferry/tunnel.h>

#include "base/mem.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* snprintf, piece by piece: `length` counts what was wanted. */
struct text {
    char *buf;
    size_t size, length;
};

static void put(struct text *t, const char *fmt, ...) FERRY_PRINTF(2, 3);
static void put(struct text *t, const char *fmt, ...)
{
    size_t left = t->length < t->size ? t->size - t->length : 0;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(left ? t->buf + t->length : NULL, left, fmt, args);
    va_end(args);
    if (n > 0)
        t->length += (size_t)n;
}

static void put_dev(struct text *t, const char *dev)
{
    FERRY_AUTOFREE char *word = ferry_shell_word(dev);
    put(t, " dev %s", word);
}

static void put_hop(struct text *t, const struct ferry_nexthop *hop)
{
    char addr[FERRY_ADDR_STRLEN];
    if (hop->via.family)
        put(t, " via %s", ferry_addr_text(&hop->via, addr));
    if (*hop->dev)
        put_dev(t, hop->dev);
}

static void put_route(struct text *t, const char *verb, const struct ferry_op *op,
                      const struct ferry_entry *e)
{
    char prefix[FERRY_PREFIX_STRLEN], protocol[16];
    put(t, "ip%s route %s ", op->prefix.addr.family == AF_INET6 ? " -6" : "", verb);
    if (e->type != FERRY_UNICAST)
        put(t, "%s ", ferry_entry_type_name(e->type));
    put(t, "%s", ferry_prefix_text(&op->prefix, prefix));
    if (e->n_nexthops == 1) {
        put_hop(t, &e->nexthops[0]);
        put(t, "%s", e->nexthops[0].onlink ? " onlink" : "");
    }
    if (op->table && op->table != FERRY_TABLE_MAIN)
        put(t, " table %u", op->table);
    put(t, " metric %u proto %s", op->metric, ferry_protocol_name(e->protocol, protocol));
    for (size_t i = 0; e->n_nexthops > 1 && i < e->n_nexthops; i++) {
        put(t, " nexthop");
        put_hop(t, &e->nexthops[i]);
        put(t, " weight %u%s", e->nexthops[i].weight, e->nexthops[i].onlink ? " onlink" : "");
    }
    put(t, "\n");
}

/* What it brings along. */
static void put_brought(struct text *t, const struct ferry_op *op, bool make)
{
    char lines[1024];
    struct ferry_device device;
    if (!op->interface || !op->before != make)
        return;
    if (make && op->gateway->isolated) {
        ferry_device_isolation(&op->gateway->address.addr, op->interface, op->table, true, lines,
                               sizeof lines);
        put(t, "%s", lines);
    }
    if (make && ferry_device_parse(op->gateway->make, &device)) {
        ferry_device_lines(op->interface, &device, true, lines, sizeof lines);
        put(t, "%s", lines);
    }
    if (op->gateway->rules) {
        ferry_device_rules(&op->prefix, op->interface, op->table, make, lines, sizeof lines);
        put(t, "%s", lines);
    }
    if (!make && op->gateway->make[0]) {
        ferry_device_lines(op->interface, NULL, false, lines, sizeof lines);
        put(t, "%s", lines);
    }
    if (!make && op->gateway->isolated) {
        ferry_device_isolation(&op->gateway->address.addr, op->interface, op->table, false, lines,
                               sizeof lines);
        put(t, "%s", lines);
    }
}

static void put_gateway(struct text *t, const struct ferry_op *op)
{
    char text[FERRY_PREFIX_STRLEN], addr[FERRY_ADDR_STRLEN];
    bool v6 = op->prefix.addr.family == AF_INET6, add = op->after != NULL;
    const char *family = v6 ? " -6" : "", *verb = add ? "add" : "del";
    if (!op->gateway)
        return;
    if (op->gateway->via.family) {
        put(t, "ip%s route %s %s via %s", family, verb, ferry_prefix_text(&op->prefix, text),
            ferry_addr_text(&op->gateway->via, addr));
        if (op->interface)
            put_dev(t, op->interface);
        put(t, "%s proto %u\n", v6 ? " metric 1" : "", FERRY_PROTOCOL);
        return;
    }
    put_brought(t, op, true);
    put(t, "ip%s addr %s %s", family, verb, ferry_prefix_text(&op->gateway->address, text));
    put_dev(t, op->interface ? op->interface : "?");
    put(t, "%s\n", v6 && add ? " nodad" : "");
    put_brought(t, op, false);
}

/* As FRR would be told; who speaks which AS or area is the router's own business. */
static void put_announcement(struct text *t, const struct ferry_op *op)
{
    const struct ferry_entry *e = op->after ? op->after : op->before;
    char protocol[16], prefix[FERRY_PREFIX_STRLEN];
    if (e)
        put(t, "vtysh -c 'configure terminal' -c 'router %s' -c '%snetwork %s'\n",
            ferry_protocol_name(e->protocol, protocol), op->after ? "" : "no ",
            ferry_prefix_text(&op->prefix, prefix));
}

int ferry_sim_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                     size_t size)
{
    struct text t = {.buf = buf, .size = size};
    char prefix[FERRY_PREFIX_STRLEN];
    (void)config;
    if (size)
        *buf = '\0';
    if (op->kind == FERRY_KIND_SELECTOR)
        return ferry_selector_native(op, buf, size);
    if (op->kind == FERRY_KIND_GATEWAY)
        put_gateway(&t, op);
    else if (op->kind == FERRY_KIND_ANNOUNCEMENT)
        put_announcement(&t, op);
    else if (ferry_entry_dynamic(op->before) || ferry_entry_dynamic(op->after))
        put(&t, "# %s: its routing protocol follows by itself\n", ferry_prefix_text(&op->prefix, prefix));
    else if (op->after)
        put_route(&t, op->before ? "replace" : "add", op, op->after);
    else if (op->before)
        put_route(&t, "del", op, op->before);
    return (int)t.length;
}
