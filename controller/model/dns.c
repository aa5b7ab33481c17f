/* DNS names, and record sets as entries; see ferry/dns.h.  SPDX-License-Identifier: MIT */
#include <ferry/dns.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const struct {
    uint32_t type;
    const char *name;
} types[] = {{FERRY_DNS_A, "A"}, {FERRY_DNS_PTR, "PTR"}, {FERRY_DNS_AAAA, "AAAA"}};

const char *ferry_dns_type_name(uint32_t type)
{
    for (size_t i = 0; i < FERRY_COUNT(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return "?";
}

uint32_t ferry_dns_type_parse(const char *name)
{
    for (size_t i = 0; i < FERRY_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return 0;
}

enum ferry_dns_type ferry_dns_type_of(uint8_t family)
{
    return family == AF_INET6 ? FERRY_DNS_AAAA : FERRY_DNS_A;
}

/* ---- Names. ---- */

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool ferry_dns_name(const char *text, char ret[static FERRY_DNS_NAME_LEN])
{
    size_t n = strlen(text), label = 0, labels = 0;
    if (n > 0 && text[n - 1] == '.')
        n--;
    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i <= n; i++) {
        char c = i < n ? text[i] : '.';
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        ret[i] = c;
        if (c == '.') {
            if (label == 0 || label > 63 || ret[i - 1] == '-')
                return false;
            labels++;
            label = 0;
        } else if (!is_label_char(c) || (c == '-' && label == 0)) {
            return false;
        } else {
            label++;
        }
    }
    ret[n + 1] = '\0';
    return labels >= 2;
}

void ferry_dns_reverse(const struct ferry_addr *a, char ret[static FERRY_DNS_NAME_LEN])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    if (a->family == AF_INET) {
        snprintf(ret, FERRY_DNS_NAME_LEN, "%u.%u.%u.%u.in-addr.arpa.", a->bytes[3], a->bytes[2], a->bytes[1],
                 a->bytes[0]);
        return;
    }
    for (size_t i = 16; i-- > 0;) {
        ret[n++] = hex[a->bytes[i] & 15];
        ret[n++] = '.';
        ret[n++] = hex[a->bytes[i] >> 4];
        ret[n++] = '.';
    }
    memcpy(ret + n, "ip6.arpa.", sizeof "ip6.arpa.");
}

static bool ends_in(const char *name, size_t len, const char *zone, size_t zone_len)
{
    return len >= zone_len && memcmp(name + len - zone_len, zone, zone_len) == 0 &&
           (len == zone_len || name[len - zone_len - 1] == '.');
}

bool ferry_dns_is_reverse(const char *name)
{
    size_t n = strlen(name);
    return ends_in(name, n, "in-addr.arpa.", strlen("in-addr.arpa.")) ||
           ends_in(name, n, "ip6.arpa.", strlen("ip6.arpa."));
}

const char *ferry_dns_zone(const char *zones, const char *name, size_t *ret_len)
{
    const char *best = NULL;
    size_t n = strlen(name);
    *ret_len = 0;
    for (const char *at = zones; at && *at;) {
        size_t len = strcspn(at, " ");
        if (len > *ret_len && ends_in(name, n, at, len)) {
            best = at;
            *ret_len = len;
        }
        at += len;
        at += *at == ' ';
    }
    return best;
}

/* ---- Record sets. ---- */

void ferry_rrset_clear(struct ferry_rrset *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->data[i]);
    free(set->data);
    *set = (struct ferry_rrset){.ttl = set->ttl};
}

/* Where it stands, or would. */
static size_t place(const struct ferry_rrset *set, const char *data, bool *ret_there)
{
    size_t i = 0;
    while (i < set->n && strcmp(set->data[i], data) < 0)
        i++;
    *ret_there = i < set->n && strcmp(set->data[i], data) == 0;
    return i;
}

bool ferry_rrset_has(const struct ferry_rrset *set, const char *data)
{
    bool there;
    place(set, data, &there);
    return there;
}

void ferry_rrset_add(struct ferry_rrset *set, const char *data)
{
    bool there;
    size_t at = place(set, data, &there);
    if (there)
        return;
    char *own = ferry_strdup(data); /* before: it may be one of another set's that moves */
    FERRY_GROW(set->data, set->n);
    memmove(set->data + at + 1, set->data + at, (set->n - at) * sizeof *set->data);
    set->data[at] = own;
    set->n++;
}

void ferry_rrset_remove(struct ferry_rrset *set, const char *data)
{
    bool there;
    size_t at = place(set, data, &there);
    if (!there)
        return;
    free(set->data[at]);
    set->n--;
    memmove(set->data + at, set->data + at + 1, (set->n - at) * sizeof *set->data);
}

bool ferry_dns_data_ok(uint32_t type, const char *text)
{
    struct ferry_addr a;
    struct ferry_err ignored;
    char buf[FERRY_DNS_NAME_LEN];
    if (type == FERRY_DNS_PTR)
        return ferry_dns_name(text, buf) && strcmp(text, buf) == 0;
    return ferry_addr_parse(text, &a, &ignored) == 0 && ferry_dns_type_of(a.family) == type &&
           strcmp(ferry_addr_text(&a, buf), text) == 0;
}

char *ferry_rrset_text(const struct ferry_rrset *set)
{
    if (!set->n)
        return NULL;
    char *text = ferry_asprintf("%u", set->ttl);
    for (size_t i = 0; i < set->n; i++) {
        char *longer = ferry_asprintf("%s %s", text, set->data[i]);
        free(text);
        text = longer;
    }
    return text;
}

char *ferry_dns_entry_native(const struct ferry_entry *e)
{
    return e ? ferry_asprintf("%.*s", (int)e->native_len, (const char *)e->native) : NULL;
}

bool ferry_rrset_of_entry(const struct ferry_entry *e, struct ferry_rrset *ret)
{
    FERRY_AUTOFREE char *text = ferry_dns_entry_native(e);
    struct ferry_rrset set = {0};
    char *end = NULL, *save = NULL;
    unsigned long ttl = text ? strtoul(text, &end, 10) : 0;
    if (!text || strchr(text, '!') || end == text || *end != ' ' || ttl > FERRY_DNS_TTL_MOST)
        return false;
    set.ttl = (uint32_t)ttl;
    for (char *word = strtok_r(end, " ", &save); word; word = strtok_r(NULL, " ", &save))
        ferry_rrset_add(&set, word);
    *ret = set;
    return true;
}

const struct ferry_entry *ferry_rrset_entry(struct ferry_pool *pool, uint32_t type,
                                            const struct ferry_rrset *set)
{
    FERRY_AUTOFREE char *text = ferry_rrset_text(set);
    if (!text)
        return NULL;
    struct ferry_entry e = {.type = FERRY_DNS,
                            .metric = type,
                            .native = (const uint8_t *)text,
                            .native_len = (uint32_t)strlen(text)};
    return ferry_pool_entry(pool, &e);
}

/* One server's part of what was found: `side` NULL is none. */
static bool part_is(const char *part, size_t n, const char *side)
{
    return side ? n == strlen(side) && memcmp(part, side, n) == 0 : n == 1 && *part == '-';
}

bool ferry_dns_between(const struct ferry_entry *found, const struct ferry_entry *a,
                       const struct ferry_entry *b)
{
    FERRY_AUTOFREE char *text = found && found->type == FERRY_DNS ? ferry_dns_entry_native(found) : NULL;
    FERRY_AUTOFREE char *one = ferry_dns_entry_native(a), *two = ferry_dns_entry_native(b);
    if (!text || !strchr(text, '!'))
        return false;
    for (const char *part = text; part;) {
        const char *next = strstr(part, " !");
        size_t n = next ? (size_t)(next - part) : strlen(part);
        if (!part_is(part, n, one) && !part_is(part, n, two) && !(n == 1 && *part == '?'))
            return false;
        part = next ? strchr(next + 1, ' ') : NULL; /* behind the server's address */
        part = part ? part + 1 : NULL;
    }
    return true;
}
