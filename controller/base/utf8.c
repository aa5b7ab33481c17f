/* See utf8.h.  SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <string.h>

size_t ferry_utf8_length(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t len = !n || (p[0] >= 0x80 && p[0] < 0xc2) ? 0
                 : p[0] < 0x80                       ? 1
                 : p[0] < 0xe0                       ? 2
                 : p[0] < 0xf0                       ? 3
                 : p[0] < 0xf5                       ? 4
                                                     : 0;
    if (len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

char *ferry_utf8_clean(char *text)
{
    size_t left = strlen(text);
    for (char *p = text; left;) {
        size_t n = ferry_utf8_length(p, left);
        if (!n) {
            *p = '?';
            n = 1;
        }
        p += n;
        left -= n;
    }
    return text;
}
