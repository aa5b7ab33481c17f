/* What an FRR router originates: statements of its running configuration, found and written.
 *
 * A router originates a prefix by one statement or several.  Here each is a line of text without the prefix:
 *
 *   network [route-map X | label-index N]    BGP, under the unicast address family of the default instance
 *   network area A                           OSPF
 *   prefix-list seq N                        an entry of the list that redistribution is filtered by
 *
 * An announcement's `native` is these lines, joined by newlines; none where they are the one line that Ferry itself
 * would write.  Whether they have an effect now is not asked: `network` becomes active with any route of the prefix,
 * also with one that pins it.  neighbours.c asks the protocols.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <base/hash.h>
#include <ctype.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

/* ---- The statement that is Ferry's own. ---- */

/* Where a prefix's entry stands in a list: a number that no other prefix has (IPv4: its address with the bit after
 * its length set), so that entries come and go in any order and each comes back to its place. */
static uint32_t sequence(const struct ferry_prefix *prefix)
{
    const uint8_t *b = prefix->addr.bytes;
    if (prefix->addr.family == AF_INET && prefix->len < 32)
        return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] |
               1u << (31 - prefix->len);
    uint64_t mixed = ferry_hash_u64(ferry_hash(1, b, sizeof prefix->addr.bytes), prefix->len);
    return (uint32_t)(mixed >> 32) | 1u << 31;
}

static void add_plain(const struct ferry_driver_config *config, uint8_t protocol,
                      const struct ferry_prefix *prefix, struct ferry_frr_text *t)
{
    if (config->prefix_list)
        ferry_frr_text_add(t, "prefix-list seq %u", sequence(prefix));
    else if (protocol == RTPROT_OSPF)
        ferry_frr_text_add(t, "network area %s", config->area ? config->area : "0.0.0.0");
    else
        ferry_frr_text_add(t, "network");
}

/* ---- Lines. ---- */

/* Only words that mean nothing to vtysh but themselves: an entry may come from a plan's file. */
static bool fits(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr(" ._:@-", text[i]))
            return false;
    return n > 0 && n < 512;
}

static const char *family(const struct ferry_prefix *prefix)
{
    return prefix->addr.family == AF_INET6 ? "ipv6" : "ip";
}

/* `statement` is one line as the head of this file lists them. */
static int add_statement(const struct ferry_driver_config *config, const struct ferry_op *op, bool ospf,
                         bool remove, const char *statement, size_t n, struct ferry_frr_text *t,
                         struct ferry_err *err)
{
    static const char list[] = "prefix-list ", network[] = "network";
    const char *no = remove ? "no " : "";
    char prefix[FERRY_PREFIX_STRLEN];
    ferry_prefix_text(&op->prefix, prefix);
    if (!fits(statement, n))
        return ferry_refuse(err, "frr-statement", "%s: '%.*s' is no statement that Ferry could write", prefix,
                            (int)n, statement);
    size_t l = sizeof list - 1, w = sizeof network - 1;
    if (n > l && strncmp(statement, list, l) == 0) {
        const char *name = config->prefix_list;
        if (!name || !fits(name, strlen(name)) || strchr(name, ' '))
            return ferry_refuse(err, "frr-statement", "%s: no prefix-list is named for this router", prefix);
        ferry_frr_text_add(t, "%s%s prefix-list %s %.*s permit %s\n", no, family(&op->prefix), name,
                           (int)(n - l), statement + l, prefix);
        return 0;
    }
    if (strncmp(statement, network, w) != 0 || (n > w && statement[w] != ' '))
        return ferry_refuse(err, "frr-statement", "%s: '%.*s' is no statement that Ferry could write", prefix,
                            (int)n, statement);
    int rest = (int)(n - w);
    if (ospf)
        ferry_frr_text_add(t, "router ospf\n %snetwork %s%.*s\nexit\n", no, prefix, rest, statement + w);
    else
        ferry_frr_text_add(t,
                           "router bgp\n address-family %s unicast\n  %snetwork %s%.*s\n"
                           " exit-address-family\nexit\n",
                           op->prefix.addr.family == AF_INET6 ? "ipv6" : "ipv4", no, prefix, rest,
                           statement + w);
    return 0;
}

static int add_entry(const struct ferry_driver_config *config, const struct ferry_op *op,
                     const struct ferry_entry *entry, bool remove, struct ferry_frr_text *t,
                     struct ferry_err *err)
{
    struct ferry_frr_text plain = {0};
    const char *v = (const char *)entry->native;
    size_t n = entry->native_len;
    if (!n) {
        add_plain(config, entry->protocol, &op->prefix, &plain);
        v = plain.v;
        n = plain.n;
    }
    int r = 0;
    for (size_t from = 0; from < n && r == 0;) {
        const char *end = memchr(v + from, '\n', n - from);
        size_t length = end ? (size_t)(end - v) - from : n - from;
        r = add_statement(config, op, entry->protocol == RTPROT_OSPF, remove, v + from, length, t, err);
        from += length + 1;
    }
    ferry_frr_text_clear(&plain);
    return r;
}

int ferry_frr_announce_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                             struct ferry_frr_files *files, struct ferry_err *err)
{
    const struct ferry_entry *entries[] = {op->before, op->after};
    struct ferry_frr_text *t = &files->file[0];
    for (size_t i = 0; i < FERRY_COUNT(entries); i++) {
        const struct ferry_entry *e = entries[i];
        if (!e)
            continue;
        char text[FERRY_PREFIX_STRLEN];
        if (e->type != FERRY_ANNOUNCEMENT || (e->protocol != RTPROT_BGP && e->protocol != RTPROT_OSPF))
            return ferry_refuse(err, "frr-statement", "%s: only BGP and OSPF announce",
                                ferry_prefix_text(&op->prefix, text));
        if (e->protocol == RTPROT_OSPF && op->prefix.addr.family == AF_INET6)
            return ferry_refuse(err, "frr-ospf6", "%s: OSPF for IPv6 (ospf6d) is not supported",
                                ferry_prefix_text(&op->prefix, text));
        int r = add_entry(config, op, e, e == op->before, t, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Finding. ---- */

static const char *after(const char *line, const char *beginning)
{
    size_t n = strlen(beginning);
    return strncmp(line, beginning, n) == 0 ? line + n : NULL;
}

/* What follows "network PREFIX" in a line (and its space), or NULL. */
static const char *after_network(const char *line, const char *prefix)
{
    line += strspn(line, " ");
    const char *rest = after(line, "network ");
    rest = rest ? after(rest, prefix) : NULL;
    return rest && (*rest == ' ' || !*rest) ? rest : NULL;
}

static void found(struct ferry_frr_text *t, const char *word, const char *rest)
{
    ferry_frr_text_add(t, "%s%s%s", t->n ? "\n" : "", word, rest);
}

const struct ferry_frr_block *ferry_frr_bgp_block(const struct ferry_frr_config *running)
{
    for (size_t i = 0; i < running->n_blocks; i++) {
        const char *as = after(running->blocks[i].header, "router bgp ");
        if (as && !strchr(as, ' '))
            return &running->blocks[i];
    }
    return NULL;
}

const struct ferry_frr_block *ferry_frr_ospf_block(const struct ferry_frr_config *running)
{
    for (size_t i = 0; i < running->n_blocks; i++)
        if (strcmp(running->blocks[i].header, "router ospf") == 0)
            return &running->blocks[i];
    return NULL;
}

bool ferry_frr_bgp_next(const struct ferry_frr_block *block, uint8_t af, size_t *i)
{
    const char *family_line = af == AF_INET6 ? "address-family ipv6 unicast" : "address-family ipv4 unicast";
    bool inside = *i > 0;
    for (size_t k = inside ? *i : 0; k < block->n_lines; k++) {
        const char *line = block->lines[k] + strspn(block->lines[k], " ");
        if (!inside) {
            inside = strcmp(line, family_line) == 0;
        } else if (strcmp(line, "exit-address-family") == 0) {
            return false;
        } else {
            *i = k + 1;
            return true;
        }
    }
    return false;
}

static void find_bgp(const struct ferry_frr_config *running, const struct ferry_prefix *prefix,
                     const char *text, struct ferry_frr_text *t)
{
    const struct ferry_frr_block *block = ferry_frr_bgp_block(running);
    for (size_t i = 0; block && ferry_frr_bgp_next(block, prefix->addr.family, &i);) {
        const char *rest = after_network(block->lines[i - 1], text);
        if (rest && strcmp(rest, " backdoor") != 0) /* which originates nothing */
            found(t, "network", rest);
    }
}

static bool same_area(const char *a, const char *b)
{
    struct ferry_err ignored;
    struct ferry_addr addr[2] = {{0}};
    const char *text[2] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        if (ferry_addr_parse(text[i], &addr[i], &ignored) == 0)
            continue;
        uint32_t number = (uint32_t)strtoul(text[i], NULL, 10);
        addr[i].family = AF_INET;
        for (unsigned k = 0; k < 4; k++)
            addr[i].bytes[k] = (uint8_t)(number >> (24 - 8 * k));
    }
    return ferry_addr_equal(&addr[0], &addr[1]);
}

/* `area 0 range …`, `area 0.0.0.0 stub`: whichever way this router says it. */
static void learn_area(struct ferry_driver_config *config, const struct ferry_frr_block *block)
{
    const char *mine = config->area ? config->area : "0.0.0.0";
    for (size_t i = 0; i < block->n_lines; i++) {
        const char *line = block->lines[i] + strspn(block->lines[i], " ");
        char area[FERRY_ADDR_STRLEN];
        if (sscanf(line, "area %45[0-9.] ", area) != 1 || !same_area(area, mine) || strcmp(area, mine) == 0)
            continue;
        free(config->area);
        config->area = ferry_strdup(area);
        return;
    }
}

static void find_ospf(struct ferry_driver_config *config, const struct ferry_frr_config *running,
                      const char *text, struct ferry_frr_text *t)
{
    const struct ferry_frr_block *block = ferry_frr_ospf_block(running);
    if (!block)
        return;
    learn_area(config, block);
    for (size_t i = 0; i < block->n_lines; i++) {
        const char *rest = after_network(block->lines[i], text);
        if (rest)
            found(t, "network", rest);
    }
}

static void find_listed(const char *list, const struct ferry_frr_config *running,
                        const struct ferry_prefix *prefix, const char *text, struct ferry_frr_text *t)
{
    FERRY_AUTOFREE char *beginning = ferry_asprintf("%s prefix-list %s ", family(prefix), list);
    for (size_t i = 0; i < running->n_blocks; i++) {
        const char *rest = after(running->blocks[i].header, beginning);
        const char *permit = rest ? strstr(rest, " permit ") : NULL;
        if (!permit || strcmp(permit + strlen(" permit "), text) != 0)
            continue;
        FERRY_AUTOFREE char *place = ferry_asprintf(" %.*s", (int)(permit - rest), rest);
        found(t, "prefix-list", place);
    }
}

bool ferry_frr_announce_find(struct ferry_driver_config *config, const struct ferry_frr_config *running,
                             const struct ferry_prefix *prefix, struct ferry_entry *ret, uint8_t **ret_native)
{
    if (config->routing == FERRY_ROUTING_STATIC)
        return false;
    char text[FERRY_PREFIX_STRLEN];
    ferry_prefix_text(prefix, text);
    struct ferry_frr_text t = {0}, plain = {0};
    bool ospf = config->routing == FERRY_ROUTING_OSPF;
    if (!ospf)
        find_bgp(running, prefix, text, &t);
    else if (prefix->addr.family == AF_INET)
        find_ospf(config, running, text, &t);
    if (config->prefix_list)
        find_listed(config->prefix_list, running, prefix, text, &t);
    bool there = t.n > 0;
    if (there) {
        *ret = (struct ferry_entry){.type = FERRY_ANNOUNCEMENT, .protocol = ospf ? RTPROT_OSPF : RTPROT_BGP};
        add_plain(config, ret->protocol, prefix, &plain);
        if (plain.n != t.n || memcmp(plain.v, t.v, t.n) != 0) {
            ret->native_len = (uint32_t)t.n;
            ret->native = *ret_native = ferry_memdup(t.v, t.n);
        }
    }
    ferry_frr_text_clear(&t);
    ferry_frr_text_clear(&plain);
    return there;
}
