/* The slot `native`: the commands that a person would type for an op, to be read and to be run.
 * SPDX-License-Identifier: MIT */
#include "native.h"

#include <ferry/device.h>
#include <ferry/tunnel.h>

#include "base/text.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

void ferry_say(struct ferry_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->n < t->size ? t->buf + t->n : NULL, t->n < t->size ? t->size - t->n : 0, fmt, args);
    va_end(args);
    t->n += n > 0 ? (size_t)n : 0;
}

void ferry_say_ip(struct ferry_text *t, const struct ferry_driver_config *config, bool v6, const char *what)
{
    ferry_say(t, "ip");
    if (config && config->netns)
        ferry_say(t, " -n %s", config->netns);
    ferry_say(t, "%s %s", v6 ? " -6" : "", what);
}

void ferry_say_word(struct ferry_text *t, const char *before, const char *word)
{
    FERRY_AUTOFREE char *quoted = ferry_shell_word(word);
    ferry_say(t, "%s%s", before, quoted);
}

void ferry_say_address(struct ferry_text *t, const char *before, uint8_t family, const void *bytes)
{
    char text[INET6_ADDRSTRLEN];
    ferry_say(t, "%s%s", before, inet_ntop(family, bytes, text, sizeof text) ? text : "?");
}

static void say_route_op(struct ferry_text *t, const struct ferry_driver_config *config,
                         const struct ferry_op *op)
{
    if (!op->before && op->after) {
        ferry_say_route(t, config, "add", &op->prefix, op->after);
    } else if (op->before && !op->after) {
        ferry_say_route(t, config, "del", &op->prefix, op->before);
    } else if (op->before && op->after && ferry_linux_same_key(op->before, op->after)) {
        ferry_say_route(t, config, "replace", &op->prefix, op->after);
    } else if (op->before && op->after) {
        ferry_say_route(t, config, "add", &op->prefix, op->after);
        ferry_say_route(t, config, "del", &op->prefix, op->before);
    }
}

/* ---- Gateways. ---- */

static void say_lasting(struct ferry_text *t, const struct ferry_linux_address *a)
{
    static const struct {
        uint32_t flag;
        const char *word;
    } words[] = {{IFA_F_NOPREFIXROUTE, "noprefixroute"},
                 {IFA_F_HOMEADDRESS, "home"},
                 {IFA_F_MANAGETEMPADDR, "mngtmpaddr"},
                 {IFA_F_MCAUTOJOIN, "autojoin"}};
    for (size_t i = 0; i < FERRY_COUNT(words); i++)
        if (a->flags & words[i].flag)
            ferry_say(t, " %s", words[i].word);
    if (a->flags & IFA_F_DEPRECATED)
        ferry_say(t, " preferred_lft 0");
    if (a->scope != RT_SCOPE_UNIVERSE)
        ferry_say(t, " scope %u", a->scope);
    if (a->metric)
        ferry_say(t, " metric %u", a->metric);
    if (a->proto)
        ferry_say(t, " proto 0x%x", a->proto);
}

void ferry_say_interface_address(struct ferry_text *t, const struct ferry_driver_config *config,
                                 const char *verb, const struct ferry_linux_address *a, const char *interface,
                                 bool nodad)
{
    ferry_say_ip(t, config, false, "addr");
    ferry_say(t, " %s", verb);
    ferry_say_address(t, " ", a->family, a->local.bytes);
    if (a->peer.family)
        ferry_say_address(t, " peer ", a->family, a->peer.bytes);
    ferry_say(t, "/%u", a->len);
    if (strcmp(verb, "del")) {
        if (a->broadcast.family)
            ferry_say_address(t, " broadcast ", a->family, a->broadcast.bytes);
        if (a->label[0])
            ferry_say_word(t, " label ", a->label);
        say_lasting(t, a);
    }
    ferry_say_word(t, " dev ", interface);
    ferry_say(t, "%s\n", nodad ? " nodad" : "");
}

/* The addresses of the attachment: those of the snapshot, or the plain one. */
static void say_addresses(struct ferry_text *t, const struct ferry_driver_config *config,
                          const struct ferry_op *op, const struct ferry_entry *e, bool add)
{
    const char *interface = op->interface ? op->interface : "?";
    struct ferry_linux_address all[64];
    struct ferry_linux_record r;
    size_t n = 0;
    for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r) && n < FERRY_COUNT(all);)
        if (r.tag == FERRY_LINUX_ADDRESS && !ferry_linux_address_unpack(&r, &all[n]))
            n++;
    if (!n)
        all[n++] = ferry_linux_address_plain(op->gateway, op->table ? op->table : FERRY_TABLE_MAIN);
    bool v6 = all[0].family == AF_INET6;
    for (size_t i = 0; i < n; i++) { /* as gateway.c does */
        const struct ferry_linux_address *a = &all[add == v6 ? n - 1 - i : i];
        ferry_say_interface_address(t, config, add ? "add" : "del", a, interface, add && v6);
        if (add && v6 && !(a->flags & IFA_F_NODAD))
            ferry_say_interface_address(t, config, "change", a, interface, false);
    }
}

static void say_own(struct ferry_text *t, const struct ferry_driver_config *config, const struct ferry_op *op,
                    const struct ferry_entry *e, const char *verb)
{
    struct ferry_linux_record r;
    struct ferry_linux_route route = {0};
    struct ferry_nexthop leg;
    struct ferry_entry plain =
        ferry_linux_gateway_route(op->gateway, op->interface, op->table ? op->table : FERRY_TABLE_MAIN, &leg);
    bool kept = ferry_linux_bytes_find(e->native, e->native_len, FERRY_LINUX_ROUTE, &r) &&
                !ferry_linux_route_unpack(&r, &route);
    ferry_say_route(t, config, verb, &op->prefix, kept ? &route.entry : &plain);
    ferry_linux_route_clear(&route);
}

static bool goes_with(const struct ferry_op *op, const struct ferry_linux_route *route)
{
    struct ferry_linux_address a;
    struct ferry_linux_record r;
    const struct ferry_entry *e = op->before;
    if (!route->prefsrc.family || op->prefix.addr.family != AF_INET)
        return false;
    if (ferry_addr_equal(&route->prefsrc, &op->gateway->address.addr))
        return true;
    for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r);)
        if (r.tag == FERRY_LINUX_ADDRESS && !ferry_linux_address_unpack(&r, &a) &&
            ferry_addr_equal(&a.local, &route->prefsrc))
            return true;
    return false;
}

/* Routes that lean on the gateway: kept from going with it, or put back as they were. */
static void say_leaning(struct ferry_text *t, const struct ferry_driver_config *config,
                        const struct ferry_op *op, const struct ferry_entry *e)
{
    struct ferry_linux_record r;
    struct ferry_linux_route route = {0};
    for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r);) {
        if (r.tag != FERRY_LINUX_DEPENDENT || ferry_linux_route_unpack(&r, &route))
            continue;
        if (op->after) {
            ferry_say_route(t, config, "replace", &route.prefix, &route.entry);
        } else if (goes_with(op, &route)) {
            ferry_linux_route_drop(&route, RTA_PREFSRC);
            ferry_say_route(t, config, "replace", &route.prefix, &route.entry);
        }
    }
    ferry_linux_route_clear(&route);
}

/* Whether a route goes through the interface; those legs get onlink, for nothing else resolves their machines
 * now. */
static bool through(const struct ferry_op *op, struct ferry_linux_route *route)
{
    struct ferry_linux_record r;
    bool any = false;
    for (uint16_t i = 0; i < route->entry.n_nexthops; i++)
        if (!strcmp(route->legs[i].dev, op->interface)) {
            any = true;
            route->legs[i].onlink |= route->legs[i].via.family == AF_INET;
        }
    for (size_t at = 0; ferry_linux_bytes_next(route->native.v, route->native.n, &at, &r);)
        if (r.tag == FERRY_LINUX_LEGS && r.len >= FERRY_LINUX_LEG_BYTES && r.v[0] == AF_INET &&
            !strcmp((const char *)r.v + 20, op->interface))
            route->native.v[(size_t)(r.v - route->native.v) + 1] = 1; /* as put by pack_leg (route.c) */
    return any;
}

/* With an interface's last IPv4 address the kernel deletes the routes through it (gateway.c, G3). */
static void say_swept(struct ferry_text *t, const struct ferry_driver_config *config,
                      const struct ferry_op *op)
{
    struct ferry_linux_record r;
    struct ferry_linux_route route = {0};
    const struct ferry_entry *e = op->before;
    for (int pass = 0; pass < 2 && op->interface && op->prefix.addr.family == AF_INET; pass++)
        for (size_t at = 0; ferry_linux_bytes_next(e->native, e->native_len, &at, &r);) {
            if (r.tag != FERRY_LINUX_DEPENDENT || ferry_linux_route_unpack(&r, &route))
                continue;
            bool direct = route.entry.n_nexthops == 1 && !route.legs[0].via.family;
            if (direct == !pass && through(op, &route)) {
                if (goes_with(op, &route))
                    ferry_linux_route_drop(&route, RTA_PREFSRC);
                ferry_say_route(t, config, "replace", &route.prefix, &route.entry);
            }
        }
    ferry_linux_route_clear(&route);
}

/* "ip …" lines, in the router's namespace. */
static void say_lines(struct ferry_text *t, const struct ferry_driver_config *config, const char *lines)
{
    for (const char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1) {
        ferry_say(t, "ip");
        if (config && config->netns)
            ferry_say(t, " -n %s", config->netns);
        ferry_say(t, "%.*s\n", (int)(end - line - 2), line + 2);
    }
}

static void say_hidden(struct ferry_text *t, const struct ferry_driver_config *config,
                       const struct ferry_op *op, bool make)
{
    char lines[512];
    if (op->gateway->isolated && op->interface &&
        ferry_device_hiding(&op->gateway->address, op->interface, op->table, make, lines, sizeof lines))
        say_lines(t, config, lines);
}

static void say_gateway_op(struct ferry_text *t, const struct ferry_driver_config *config,
                           const struct ferry_op *op)
{
    const struct ferry_entry *e = op->after ? op->after : op->before;
    bool connected = op->gateway && !op->gateway->via.family;
    bool own = !connected || (op->table && op->table != FERRY_TABLE_MAIN);
    if (!e || !op->gateway || (op->before && op->after))
        return;
    if (op->after) {
        if (connected)
            say_addresses(t, config, op, e, true);
        say_hidden(t, config, op, true);
        if (own)
            say_own(t, config, op, e, "add");
        say_leaning(t, config, op, e);
        return;
    }
    say_leaning(t, config, op, e);
    if (own)
        say_own(t, config, op, e, "del");
    say_hidden(t, config, op, false);
    if (connected) {
        say_addresses(t, config, op, e, false);
        say_swept(t, config, op);
    }
}

/* What the gateway brings along: before it comes, or after it has gone. */
static void say_brought(struct ferry_text *t, const struct ferry_driver_config *config,
                        const struct ferry_op *op, bool make)
{
    char lines[1024];
    struct ferry_device device;
    const struct ferry_gateway *g = op->kind == FERRY_KIND_GATEWAY ? op->gateway : NULL;
    if (!g || g->via.family || !op->interface || !op->before != make || !op->after == make)
        return;
    if (make && g->isolated &&
        ferry_device_isolation(&g->address.addr, op->interface, op->table, true, lines, sizeof lines))
        say_lines(t, config, lines);
    if (make && ferry_device_parse(g->make, &device) &&
        ferry_device_lines(op->interface, &device, true, lines, sizeof lines))
        say_lines(t, config, lines);
    if (g->rules && ferry_device_rules(&op->prefix, op->interface, op->table, make, lines, sizeof lines))
        say_lines(t, config, lines);
    if (!make && g->make[0] && ferry_device_lines(op->interface, NULL, false, lines, sizeof lines))
        say_lines(t, config, lines);
    if (!make && g->isolated &&
        ferry_device_isolation(&g->address.addr, op->interface, op->table, false, lines, sizeof lines))
        say_lines(t, config, lines);
}

int ferry_linux_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                       size_t size)
{
    struct ferry_text t = {.buf = buf, .size = size};
    if (size)
        buf[0] = '\0';
    if (op->kind == FERRY_KIND_SELECTOR)
        return ferry_selector_native(op, buf, size);
    say_brought(&t, config, op, true);
    if (op->kind == FERRY_KIND_ROUTE)
        say_route_op(&t, config, op);
    else
        say_gateway_op(&t, config, op);
    say_brought(&t, config, op, false);
    return (int)t.n;
}
