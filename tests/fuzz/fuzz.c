/* What the fuzz targets share; see fuzz.h.  SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

void fuzz_fail(const char *file, int line, const char *expected, const char *seen)
{
    fprintf(stderr, "%s:%d: not so: %s%s%s\n", file, line, expected, *seen ? ": " : "", seen);
    abort();
}

/* ---- The world. ---- */

static struct {
    uint64_t us, random;
} world;

void fuzz_begin(void)
{
    world.us = 1000000;
    world.random = 0;
}

static uint64_t now_us(void *ctx)
{
    (void)ctx;
    return world.us += 20000;
}

static uint64_t count(void *ctx)
{
    (void)ctx;
    return ++world.random;
}

static void sleep_us(void *ctx, uint64_t us)
{
    (void)ctx;
    world.us += us;
}

static void no_log(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    (void)ctx;
    (void)level;
    (void)fmt;
    (void)args;
}

const struct ferry_env fuzz_env = {
    .monotonic_us = now_us, .realtime_us = now_us, .random = count, .log = no_log, .sleep_us = sleep_us};

/* ---- Checks. ---- */

void fuzz_said(int result, const struct ferry_err *err)
{
    if (result >= 0)
        return;
    FUZZ_CHECK(result >= -FERRY_ESUPPORT);
    FUZZ_CHECK(memchr(err->text, 0, sizeof err->text) && *err->text);
    FUZZ_CHECK(memchr(err->rule, 0, sizeof err->rule));
    for (const char *c = err->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            fuzz_fail(__FILE__, __LINE__, "an error is one line without control characters", err->text);
}

void fuzz_located(int result, const struct ferry_err *err, const char *name)
{
    unsigned line = 0, column = 0;
    size_t n = strlen(name);
    fuzz_said(result, err);
    FUZZ_CHECK(result == -FERRY_EINPUT);
    if (strncmp(err->text, name, n) != 0 || sscanf(err->text + n, ":%u:%u: ", &line, &column) != 2 || !line ||
        !column)
        fuzz_fail(__FILE__, __LINE__, "an error says where", err->text);
}

void fuzz_prefix_sound(const struct ferry_prefix *p)
{
    FUZZ_CHECK(p->addr.family == AF_INET || p->addr.family == AF_INET6);
    FUZZ_CHECK(p->len <= ferry_addr_bits(p->addr.family));
    FUZZ_CHECK(!ferry_prefix_has_host_bits(p));
}

char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}
