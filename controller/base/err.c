/* The texts of errors.  SPDX-License-Identifier: MIT */
#include <ferry/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Texts quote files and routers: one line, and nothing that a terminal would obey, whatever they say. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if (*text == '\n' || *text == '\t')
            *text = ' ';
        else if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static void put(struct ferry_err *err, const char *fmt, va_list args)
{
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    if (n >= (int)sizeof err->text)
        memcpy(err->text + sizeof err->text - 4, "...", 4);
    make_plain(err->text);
}

int ferry_error(struct ferry_err *err, enum ferry_errno code, const char *fmt, ...)
{
    va_list args;
    err->rule[0] = '\0';
    va_start(args, fmt);
    put(err, fmt, args);
    va_end(args);
    return -(int)code;
}

int ferry_refuse(struct ferry_err *err, const char *rule, const char *fmt, ...)
{
    va_list args;
    snprintf(err->rule, sizeof err->rule, "%s", rule);
    va_start(args, fmt);
    put(err, fmt, args);
    va_end(args);
    return -FERRY_EREFUSED;
}

int ferry_error_prefix(struct ferry_err *err, int code, const char *fmt, ...)
{
    struct ferry_err old = *err;
    va_list args;
    va_start(args, fmt);
    put(err, fmt, args);
    va_end(args);
    size_t n = strlen(err->text);
    int left = snprintf(err->text + n, sizeof err->text - n, ": %s", old.text);
    if (left >= (int)(sizeof err->text - n))
        memcpy(err->text + sizeof err->text - 4, "...", 4);
    return code;
}
