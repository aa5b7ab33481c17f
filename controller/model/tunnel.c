/* Tunnels of policy-based VPNs: their names, keys and entries, and the commands that change what they carry.  See
 * ferry/tunnel.h.
 *
 *  1. What ferry_tunnel_parse lets through holds no character that means something to a shell: a name, an interface, or
 *     base64, one blank between them.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/driver.h>
#include <ferry/tunnel.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const char *const types[] = {[FERRY_WIREGUARD] = "wireguard", [FERRY_STRONGSWAN] = "strongswan"};

const char *ferry_side_name(uint8_t side)
{
    return side == FERRY_SIDE_REMOTE ? "remote" : "local";
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and `more`; a letter or digit first (of a key any of them). */
static bool all_of(const char *text, const char *more, size_t least, size_t most)
{
    size_t n = strlen(text);
    bool key = least > 1;
    for (size_t i = 0; i < n; i++)
        if (!is_plain(text[i]) && ((i == 0 && !key) || !strchr(more, text[i])))
            return false;
    return n >= least && n <= most;
}

bool ferry_tunnel_words_ok(enum ferry_tunnel_type type, const char *first, const char *second)
{
    enum { KEY = 44 /* 32 bytes in base64 */, NAME = 63 };
    if (type == FERRY_STRONGSWAN)
        return all_of(first, "_-", 1, NAME) && all_of(second, "_-", 1, NAME);
    return all_of(first, "._-", 1, FERRY_DEV_LEN - 1) && all_of(second, "+/=", KEY, KEY) &&
           strchr(second, '=') == second + KEY - 1;
}

bool ferry_tunnel_parse(const char *text, size_t len, struct ferry_tunnel *ret)
{
    char copy[FERRY_TUNNEL_MAX + 1];
    struct ferry_tunnel tunnel = {0};
    if (len > FERRY_TUNNEL_MAX || memchr(text, '\0', len))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *first = strchr(copy, ' '), *second = first ? strchr(first + 1, ' ') : NULL;
    if (!second)
        return false;
    *first++ = *second++ = '\0';
    for (int i = FERRY_WIREGUARD; i <= FERRY_STRONGSWAN; i++)
        if (strcmp(copy, types[i]) == 0)
            tunnel.type = (enum ferry_tunnel_type)i;
    if (!tunnel.type || !ferry_tunnel_words_ok(tunnel.type, first, second))
        return false;
    memcpy(tunnel.first, first, strlen(first));
    memcpy(tunnel.second, second, strlen(second));
    *ret = tunnel;
    return true;
}

uint32_t ferry_selector_key(const char *text, size_t len, uint8_t side)
{
    uint32_t h = 2166136261u; /* FNV-1a, 32 bits */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * 16777619u;
    return (h & ~1u) | (side & 1u);
}

const struct ferry_entry *ferry_selector_entry(struct ferry_pool *pool, const char *tunnel, uint8_t side)
{
    struct ferry_entry e = {.type = FERRY_TRAFFIC_SELECTOR,
                            .metric = ferry_selector_key(tunnel, strlen(tunnel), side),
                            .protocol = side,
                            .native_len = (uint32_t)strlen(tunnel),
                            .native = (const uint8_t *)tunnel};
    return ferry_pool_entry(pool, &e);
}

/* ---- Commands. ---- */

/* `wg set` takes a whole list: the line asks for the one that is there. */
static int native_wireguard(const struct ferry_tunnel *t, const char *prefix, bool add, char *buf,
                            size_t size)
{
    return snprintf(
        buf, size,
        "wg set %s peer %s allowed-ips \"$(wg show %s allowed-ips | awk '$1 == \"%s\" { for (i = 2; i <= "
        "NF; i++) if ($i != \"(none)\" && $i != \"%s\") print $i }%s%s%s' | paste -sd,)\"\n",
        t->first, t->second, t->first, t->second, prefix, add ? " END { print \"" : "", add ? prefix : "",
        add ? "\" }" : "");
}

/* A list is a file of one line that swanctl.conf includes (docs/topology-file.md); strongSwan reads all of it
 * again, and the child comes up with the new list. */
static int native_strongswan(const struct ferry_tunnel *t, uint8_t side, const char *prefix, bool add,
                             char *buf, size_t size)
{
    const char *name = ferry_side_name(side);
    FERRY_AUTOFREE char *file = ferry_asprintf("/etc/swanctl/ferry/%s.%s.%s_ts", t->first, t->second, name);
    return snprintf(
        buf, size,
        "awk -F'[=, ]+' '{ for (i = 2; i <= NF; i++) if ($i != \"\" && $i != \"%s\") l = l \",\" $i } END "
        "{ print \"%s_ts = \" substr(l%s%s%s, 2) }' %s > %s.new && mv %s.new %s\n"
        "swanctl --load-conns\n"
        "swanctl --terminate --child %s || true\n",
        prefix, name, add ? " \"," : "", add ? prefix : "", add ? "\"" : "", file, file, file, file,
        t->second);
}

int ferry_selector_native(const struct ferry_op *op, char *buf, size_t size)
{
    const struct ferry_entry *e = op->after ? op->after : op->before;
    char prefix[FERRY_PREFIX_STRLEN];
    struct ferry_tunnel tunnel;
    if (!e || !ferry_tunnel_parse((const char *)e->native, e->native_len, &tunnel))
        return -1;
    ferry_prefix_text(&op->prefix, prefix);
    return tunnel.type == FERRY_WIREGUARD
               ? native_wireguard(&tunnel, prefix, op->after != NULL, buf, size)
               : native_strongswan(&tunnel, e->protocol, prefix, op->after != NULL, buf, size);
}
