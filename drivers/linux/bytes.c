/* Records of bytes: how the driver encodes what entry fields cannot say.
 *
 *  B1. They also come from plan documents and journals, so nothing in them is believed: a record that is not
 *      as long as its tag says, or bears a name that no command could carry, is broken, and whoever steps
 *      through the records stops before it.  So all others read them without looking.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

void ferry_linux_bytes_raw(struct ferry_linux_bytes *b, const void *v, size_t n)
{
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2 + 64;
        b->v = ferry_realloc(b->v, b->room, 1);
    }
    if (n)
        memcpy(b->v + b->n, v, n);
    b->n += n;
}

void ferry_linux_bytes_put(struct ferry_linux_bytes *b, unsigned tag, const void *v, size_t n)
{
    uint16_t head[2] = {(uint16_t)tag, (uint16_t)n};
    ferry_linux_bytes_raw(b, head, sizeof head);
    ferry_linux_bytes_raw(b, v, n);
    ferry_linux_bytes_raw(b, "\0\0\0", (4 - n % 4) % 4);
}

void ferry_linux_bytes_clear(struct ferry_linux_bytes *b)
{
    free(b->v);
    memset(b, 0, sizeof *b);
}

/* B1: names are printed into commands. */
bool ferry_linux_name_sound(const char *name, size_t size)
{
    size_t n = strnlen(name, size);
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr("\"'`\\#$;&|<>()*?", name[i]))
            return false;
    return n < size;
}

static bool sound_metrics(const uint8_t *v, size_t n)
{
    uint16_t head[2]; /* struct nlattr */
    for (size_t at = 0; n - at >= sizeof head; at += NLA_ALIGN(head[0])) {
        memcpy(head, v + at, sizeof head);
        if (head[0] < NLA_HDRLEN || head[0] > n - at)
            return false;
        size_t len = head[0] - NLA_HDRLEN, type = head[1] & (unsigned)NLA_TYPE_MASK;
        if (type >= 32) /* locks are bits of a u32 */
            return false;
        if (type == RTAX_CC_ALGO ? !ferry_linux_name_sound((const char *)v + at + NLA_HDRLEN, len) : len < 4)
            return false;
        if ((size_t)NLA_ALIGN(head[0]) > n - at)
            break;
    }
    return true;
}

static bool sound_leg(const struct ferry_linux_record *r)
{
    struct ferry_linux_record own;
    size_t at = 0;
    if (r->len < FERRY_LINUX_LEG_BYTES ||
        !ferry_linux_name_sound((const char *)r->v + FERRY_LINUX_LEG_BYTES - FERRY_DEV_LEN, FERRY_DEV_LEN))
        return false;
    const uint8_t *v = r->v + FERRY_LINUX_LEG_BYTES;
    size_t n = r->len - FERRY_LINUX_LEG_BYTES;
    while (ferry_linux_bytes_next(v, n, &at, &own))
        if (own.tag == FERRY_LINUX_LEGS)
            return false;
    return at == n;
}

/* B1. */
static bool sound(const struct ferry_linux_record *r)
{
    switch (r->tag) {
    case RTA_SRC:
    case RTA_PREFSRC:
        return r->len == 4 || r->len == 16;
    case RTA_FLOW:
    case RTA_NH_ID:
    case FERRY_LINUX_FLAGS:
        return r->len == 4;
    case RTA_ENCAP_TYPE:
        return r->len == 2;
    case RTA_PREF:
    case RTA_TTL_PROPAGATE:
    case FERRY_LINUX_TOS:
    case FERRY_LINUX_SCOPE:
    case FERRY_LINUX_TYPE:
    case FERRY_LINUX_SRC_LEN:
        return r->len == 1;
    case RTA_METRICS:
        return sound_metrics(r->v, r->len);
    case FERRY_LINUX_LEGS:
        return sound_leg(r);
    default: /* who unpacks those looks himself */
        return true;
    }
}

bool ferry_linux_bytes_next(const uint8_t *v, size_t n, size_t *at, struct ferry_linux_record *ret)
{
    uint16_t head[2];
    if (n - *at < sizeof head)
        return false;
    memcpy(head, v + *at, sizeof head);
    size_t padded = sizeof head + (head[1] + 3u) / 4 * 4;
    if (n - *at < padded)
        return false;
    struct ferry_linux_record r = {.tag = head[0], .len = head[1], .v = v + *at + sizeof head};
    if (!sound(&r))
        return false;
    *ret = r;
    *at += padded;
    return true;
}

bool ferry_linux_bytes_find(const uint8_t *v, size_t n, unsigned tag, struct ferry_linux_record *ret)
{
    size_t at = 0;
    while (ferry_linux_bytes_next(v, n, &at, ret))
        if (ret->tag == tag)
            return true;
    return false;
}
