/* The world, injected: clock, randomness, log.  One process can then simulate everything from a seed.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_ENV_H
#define FERRY_ENV_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum ferry_log_level { FERRY_LOG_ERROR, FERRY_LOG_WARNING, FERRY_LOG_INFO, FERRY_LOG_DEBUG };

struct ferry_env {
    void *ctx;
    uint64_t (*monotonic_us)(void *ctx); /* CLOCK_MONOTONIC, microseconds */
    uint64_t (*realtime_us)(void *ctx);  /* microseconds since 1970-01-01 UTC */
    uint64_t (*random)(void *ctx);       /* 64 random bits */
    /* A message for people; never NULL, may do nothing; called from any thread. */
    void (*log)(void *ctx, enum ferry_log_level level, const char *fmt, va_list args);
    /* Called at named points of a transaction ("journal-commit", "driver-apply", …), where tests
     * kill the process or fail the call.  NULL in production. */
    void (*crash_point)(void *ctx, const char *name);
    /* Waits between two tries of a silent router.  NULL: nanosleep(2). */
    void (*sleep_us)(void *ctx, uint64_t us);
};

/* The real clock, getrandom(2), and a log that is silent. */
extern const struct ferry_env ferry_env_real;

void ferry_log(const struct ferry_env *env, enum ferry_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
