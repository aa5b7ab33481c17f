/* Addresses and prefixes.  SPDX-License-Identifier: MIT */
#include <ferry/addr.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

uint8_t ferry_addr_bits(uint8_t family)
{
    return family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
}

int ferry_addr_compare(const struct ferry_addr *a, const struct ferry_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool ferry_addr_equal(const struct ferry_addr *a, const struct ferry_addr *b)
{
    return ferry_addr_compare(a, b) == 0;
}

bool ferry_addr_next(struct ferry_addr *a)
{
    for (size_t i = ferry_addr_bits(a->family) / 8; i-- > 0;)
        if (++a->bytes[i])
            return true;
    return false;
}

bool ferry_addr_previous(struct ferry_addr *a)
{
    for (size_t i = ferry_addr_bits(a->family) / 8; i-- > 0;)
        if (a->bytes[i]--)
            return true;
    return false;
}

int ferry_addr_parse(const char *text, struct ferry_addr *ret, struct ferry_err *err)
{
    struct ferry_addr a = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(a.family, text, a.bytes) != 1)
        return ferry_error(err, FERRY_EINPUT, "'%.80s' is not an IPv4 or IPv6 address", text);
    *ret = a;
    return 0;
}

const char *ferry_addr_text(const struct ferry_addr *a, char buf[static FERRY_ADDR_STRLEN])
{
    if (!a->family || !inet_ntop(a->family, a->bytes, buf, FERRY_ADDR_STRLEN))
        snprintf(buf, FERRY_ADDR_STRLEN, "none");
    return buf;
}

/* Whether the first `len` bits agree. */
static bool same_bits(const uint8_t *a, const uint8_t *b, uint8_t len)
{
    uint8_t rest = len % 8;
    if (memcmp(a, b, len / 8) != 0)
        return false;
    return !rest || ((a[len / 8] ^ b[len / 8]) >> (8 - rest)) == 0;
}

struct ferry_prefix ferry_prefix_network(const struct ferry_prefix *p)
{
    struct ferry_prefix net = *p;
    for (unsigned i = 0; i < sizeof net.addr.bytes; i++) {
        unsigned from = 8 * i;
        if (from >= net.len)
            net.addr.bytes[i] = 0;
        else if (from + 8 > net.len)
            net.addr.bytes[i] &= (uint8_t)(0xff << (from + 8 - net.len));
    }
    return net;
}

bool ferry_prefix_has_host_bits(const struct ferry_prefix *p)
{
    struct ferry_prefix net = ferry_prefix_network(p);
    return !ferry_prefix_equal(&net, p);
}

int ferry_prefix_compare(const struct ferry_prefix *a, const struct ferry_prefix *b)
{
    int c = ferry_addr_compare(&a->addr, &b->addr);
    return c ? c : (int)a->len - (int)b->len;
}

bool ferry_prefix_equal(const struct ferry_prefix *a, const struct ferry_prefix *b)
{
    return ferry_prefix_compare(a, b) == 0;
}

int ferry_prefix_parse(const char *text, struct ferry_prefix *ret, struct ferry_err *err)
{
    const char *slash = strchr(text, '/');
    char addr[FERRY_ADDR_STRLEN];
    struct ferry_prefix p = {0};
    if (!slash || (size_t)(slash - text) >= sizeof addr)
        return ferry_error(err, FERRY_EINPUT, "'%.80s' is not a prefix: ADDRESS/LENGTH is expected", text);
    memcpy(addr, text, (size_t)(slash - text));
    addr[slash - text] = '\0';
    int r = ferry_addr_parse(addr, &p.addr, err);
    if (r < 0)
        return r;
    const char *digit = slash + 1;
    unsigned len = 0;
    size_t n = strspn(digit, "0123456789");
    for (size_t i = 0; i < n && len < 1000; i++)
        len = 10 * len + (unsigned)(digit[i] - '0');
    if (n == 0 || digit[n] || (n > 1 && digit[0] == '0') || len > ferry_addr_bits(p.addr.family))
        return ferry_error(err, FERRY_EINPUT, "'%.80s' is not a prefix: the length must be 0 to %u", text,
                           ferry_addr_bits(p.addr.family));
    p.len = (uint8_t)len;
    *ret = p;
    return 0;
}

const char *ferry_prefix_text(const struct ferry_prefix *p, char buf[static FERRY_PREFIX_STRLEN])
{
    ferry_addr_text(&p->addr, buf);
    size_t n = strlen(buf);
    snprintf(buf + n, FERRY_PREFIX_STRLEN - n, "/%u", p->len);
    return buf;
}

bool ferry_prefix_contains(const struct ferry_prefix *p, const struct ferry_addr *a)
{
    return p->addr.family == a->family && same_bits(p->addr.bytes, a->bytes, p->len);
}

bool ferry_prefix_covers(const struct ferry_prefix *outer, const struct ferry_prefix *inner)
{
    return outer->len <= inner->len && ferry_prefix_contains(outer, &inner->addr);
}
