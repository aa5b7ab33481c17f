/* Interfaces that a gateway brings along: their texts and commands; see ferry/device.h.
 * SPDX-License-Identifier: MIT */
#include <ferry/device.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As the loader's: what a shell and ip take as it stands. */
static bool is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || !strchr("._-", c)))
            return false;
    }
    return n >= 1 && n < FERRY_DEV_LEN;
}

/* 0: it is none. */
static uint16_t vlan_id(const char *s)
{
    size_t n = strlen(s);
    unsigned long id =
        n >= 1 && n <= 4 && strspn(s, "0123456789") == n && s[0] != '0' ? strtoul(s, NULL, 10) : 0;
    return id <= 4094 ? (uint16_t)id : 0;
}

static bool take(struct ferry_device *device, const char *name)
{
    if (device->n_below == FERRY_DEVICE_PORTS || !is_name(name))
        return false;
    snprintf(device->below[device->n_below++], FERRY_DEV_LEN, "%s", name);
    return true;
}

bool ferry_device_parse(const char *text, struct ferry_device *ret)
{
    struct ferry_device device = {0};
    char copy[FERRY_MAKE_LEN], *rest = NULL, *words[FERRY_DEVICE_PORTS + 2];
    size_t n = 0;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (n == FERRY_DEVICE_PORTS + 2)
            return false;
        words[n++] = word;
    }
    if (n == 3 && strcmp(words[0], "vlan") == 0) {
        device.kind = FERRY_DEVICE_VLAN;
        device.vlan = vlan_id(words[2]);
        n = device.vlan ? 2 : 0;
    } else if (n >= 1 && strcmp(words[0], "bridge") == 0) {
        device.kind = FERRY_DEVICE_BRIDGE;
    } else {
        n = 0;
    }
    for (size_t i = 1; i < n; i++)
        if (!take(&device, words[i]))
            return false;
    if (n)
        *ret = device;
    return n > 0;
}

bool ferry_device_of_name(const char *name, const char *parent, char ret[static FERRY_MAKE_LEN])
{
    size_t n = strlen(parent);
    if (strncmp(name, parent, n) != 0 || name[n] != '.' || !vlan_id(name + n + 1))
        return false;
    snprintf(ret, FERRY_MAKE_LEN, "vlan %s %s", parent, name + n + 1);
    return true;
}

/* snprintf, piece by piece. */
static int add(char *buf, size_t size, int at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int add(char *buf, size_t size, int at, const char *fmt, ...)
{
    size_t left = (size_t)at < size ? size - (size_t)at : 0;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(left ? buf + at : NULL, left, fmt, args);
    va_end(args);
    return at + (n > 0 ? n : 0);
}

int ferry_device_lines(const char *name, const struct ferry_device *device, bool make, char *buf, size_t size)
{
    if (!make)
        return add(buf, size, 0, "ip link del dev %s\n", name);
    int at = device->kind == FERRY_DEVICE_VLAN
                 ? add(buf, size, 0, "ip link add link %s name %s group %u type vlan id %u\n",
                       device->below[0], name, FERRY_DEVICE_GROUP, device->vlan)
                 : add(buf, size, 0, "ip link add name %s group %u type bridge\n", name, FERRY_DEVICE_GROUP);
    for (size_t i = 0; device->kind == FERRY_DEVICE_BRIDGE && i < device->n_below; i++)
        at = add(buf, size, at, "ip link set dev %s master %s\n", device->below[i], name);
    return add(buf, size, at, "ip link set dev %s up\n", name);
}

int ferry_device_rules(const struct ferry_prefix *prefix, const char *interface, uint32_t table, bool make,
                       char *buf, size_t size)
{
    char text[FERRY_PREFIX_STRLEN];
    const char *ip = prefix->addr.family == AF_INET6 ? "ip -6" : "ip", *verb = make ? "add" : "del";
    int at = add(buf, size, 0, "%s rule %s to %s lookup %u priority %u protocol %u\n", ip, verb,
                 ferry_prefix_text(prefix, text), table, FERRY_RULE_PRIORITY, FERRY_PROTOCOL);
    return add(buf, size, at, "%s rule %s from %s iif %s lookup %u priority %u protocol %u\n", ip, verb, text,
               interface, table, FERRY_RULE_PRIORITY, FERRY_PROTOCOL);
}

static int add_drop(char *buf, size_t size, int at, const char *ip, const char *verb, const char *interface)
{
    return add(buf, size, at, "%s rule %s iif %s blackhole priority %u protocol %u\n", ip, verb, interface,
               FERRY_RULE_DROP, FERRY_PROTOCOL);
}

int ferry_device_isolation(const struct ferry_addr *address, const char *interface, uint32_t table, bool make,
                           char *buf, size_t size)
{
    char text[FERRY_ADDR_STRLEN];
    const char *ip = address->family == AF_INET6 ? "ip -6" : "ip", *verb = make ? "add" : "del";
    int at = make ? add_drop(buf, size, 0, ip, verb, interface) : 0;
    at = add(buf, size, at, "%s rule %s iif %s lookup %u priority %u protocol %u\n", ip, verb, interface,
             table, FERRY_RULE_ISOLATED, FERRY_PROTOCOL);
    at = add(buf, size, at, "%s rule %s from %s iif lo lookup %u priority %u protocol %u\n", ip, verb,
             ferry_addr_text(address, text), table, FERRY_RULE_ISOLATED, FERRY_PROTOCOL);
    return make ? at : add_drop(buf, size, at, ip, verb, interface);
}

int ferry_device_hiding(const struct ferry_prefix *address, const char *interface, uint32_t table, bool make,
                        char *buf, size_t size)
{
    char text[FERRY_ADDR_STRLEN];
    struct ferry_addr last = ferry_prefix_network(address).addr;
    ferry_addr_text(&address->addr, text);
    if (!make)
        return add(buf, size, 0, "ip route del local %s dev %s table %u\n", text, interface, table);
    int at = add(buf, size, 0, "ip route add local %s dev %s table %u protocol %u\n", text, interface, table,
                 FERRY_PROTOCOL);
    at = add(buf, size, at, "ip route del local %s dev %s table local\n", text, interface);
    if (address->len > 30)
        return at;
    for (unsigned bit = address->len; bit < 32; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    return add(buf, size, at, "ip route del broadcast %s dev %s table local\n", ferry_addr_text(&last, text),
               interface);
}
