/* The world, injected: clock, randomness, log.  One process can then simulate everything from a seed.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_ENV_H
#define FERRY_ENV_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum ferry_log_level { FERRY_LOG_ERROR, FERRY_LOG_WARNING, FERRY_LOG_INFO, FERRY_LOG_DEBUG };

/* A program to run to its end: one of a hook's.  Its standard input holds `input`, its two outputs are kept. */
struct ferry_program {
    char *const *argv, *const *envp; /* NULL-terminated; no shell */
    const char *input;
    unsigned timeout_s;               /* then its whole process group is killed */
    const char *(*interrupted)(void); /* not NULL from it: likewise.  May be NULL. */
};
struct ferry_program_end {
    int status;         /* exit status; 128 + signal; -1: it could not be started */
    bool timed_out;     /* killed for being late */
    const char *signal; /* what interrupted() said; static */
    char *output;       /* the last 16 KiB of it, printable UTF-8; malloc'd, never NULL */
};

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
    /* Runs a program.  NULL: posix_spawn(3). */
    void (*run_program)(void *ctx, const struct ferry_program *program, struct ferry_program_end *ret);
};

/* The real clock, getrandom(2), and a log that is silent. */
extern const struct ferry_env ferry_env_real;

void ferry_log(const struct ferry_env *env, enum ferry_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
