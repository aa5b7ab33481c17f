/* Records of bytes: how the driver encodes what entry fields cannot say.  SPDX-License-Identifier: MIT */
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

bool ferry_linux_bytes_next(const uint8_t *v, size_t n, size_t *at, struct ferry_linux_record *ret)
{
    uint16_t head[2];
    if (n - *at < sizeof head)
        return false;
    memcpy(head, v + *at, sizeof head);
    size_t padded = sizeof head + (head[1] + 3u) / 4 * 4;
    if (n - *at < padded)
        return false;
    ret->tag = head[0];
    ret->len = head[1];
    ret->v = v + *at + sizeof head;
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
