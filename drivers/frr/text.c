/* Text that grows.  SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

void ferry_frr_text_add(struct ferry_frr_text *t, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n > 0 && t->n + (size_t)n >= t->room) {
        t->room = (t->n + (size_t)n + 1) * 2;
        t->v = ferry_realloc(t->v, t->room, 1);
    }
    if (n > 0)
        t->n += (size_t)vsnprintf(t->v + t->n, t->room - t->n, fmt, again);
    va_end(again);
    va_end(args);
}

void ferry_frr_text_clear(struct ferry_frr_text *t)
{
    free(t->v);
    *t = (struct ferry_frr_text){0};
}

void ferry_frr_files_clear(struct ferry_frr_files *files)
{
    for (size_t i = 0; i < FERRY_FRR_FILES; i++)
        ferry_frr_text_clear(&files->file[i]);
}
