/* Allocation that aborts where there is none; see mem.h.  SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *checked(void *p)
{
    if (!p) {
        fputs("ferry: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *ferry_calloc(size_t n, size_t size)
{
    return checked(calloc(n ? n : 1, size ? size : 1));
}

void *ferry_realloc(void *p, size_t n, size_t size)
{
    return checked(reallocarray(p, n ? n : 1, size ? size : 1));
}

void *ferry_memdup(const void *p, size_t n)
{
    return n ? memcpy(ferry_calloc(n, 1), p, n) : NULL;
}

char *ferry_strdup(const char *s)
{
    return s ? checked(strdup(s)) : NULL;
}

char *ferry_asprintf(const char *fmt, ...)
{
    char *s = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&s, fmt, args);
    va_end(args);
    return checked(n < 0 ? NULL : s);
}

void *ferry_grow(void *v, size_t n, size_t size)
{
    if (n & (n - 1)) /* room is always a power of two */
        return v;
    return ferry_realloc(v, n ? 2 * n : 1, size);
}
