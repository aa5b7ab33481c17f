/* The real world.  SPDX-License-Identifier: MIT */
#include <ferry/env.h>

#include <sys/random.h>
#include <time.h>

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t real_monotonic_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_MONOTONIC);
}

static uint64_t real_realtime_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_REALTIME);
}

static uint64_t real_random(void *ctx)
{
    uint64_t bits = 0;
    (void)ctx;
    while (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        ;
    return bits;
}

static void silent_log(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    (void)ctx;
    (void)level;
    (void)fmt;
    (void)args;
}

const struct ferry_env ferry_env_real = {
    .monotonic_us = real_monotonic_us,
    .realtime_us = real_realtime_us,
    .random = real_random,
    .log = silent_log,
};

void ferry_log(const struct ferry_env *env, enum ferry_log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    env->log(env->ctx, level, fmt, args);
    va_end(args);
}
