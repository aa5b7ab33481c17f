/* A router for the tests of the drivers of Linux routers: a network namespace of its own, and the driver on
 * it: netlink, or iproute where FERRY_KERNEL_IPROUTE is defined.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_KERNEL_H
#define FERRY_TESTS_KERNEL_H

#include <ferry/driver.h>

#include <ferry/fib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef FERRY_KERNEL_IPROUTE
#define KERNEL_IPROUTE true
#else
#define KERNEL_IPROUTE false
#endif

/* The subnets that come and go there, and their gateways' addresses. */
#define P4 "192.168.1.0/24"
#define A4 "192.168.1.1/24"
#define P6 "fd00:1::/64"
#define A6 "fd00:1::1/64"

/* lan0 (the LAN, no address), up0 (10.255.1.1/24, fd00:255:1::1/64), up1 (10.255.2.1/24, fd00:255:2::1/64);
 * all veths with their other ends up in the same namespace. */
struct kernel {
    char netns[48];
    struct ferry_driver *driver;
    const struct ferry_driver_ops *ops;
};

/* For cmocka_unit_test_setup_teardown. */
int kernel_up(void **state);
int kernel_down(void **state);
/* How to open the driver. */
struct ferry_driver_config kernel_config(const struct kernel *k);
/* Exit status 77, said aloud, where namespaces cannot be made. */
void kernel_need_root(void);

/* Runs `ip -n NETNS ARGS`; fails the test where ip fails. */
void kernel_ip(const struct kernel *k, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* Whether it succeeded. */
bool kernel_try(const struct kernel *k, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* A command inside the namespace. */
void kernel_exec(const struct kernel *k, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* What it prints; freed by the caller. */
char *kernel_text(const struct kernel *k, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* Whether `ip -n NETNS COMMAND` prints these words. */
bool kernel_says(const struct kernel *k, const char *command, const char *words);
/* Everything that must come back byte for byte: routes of both families in all tables, addresses, rules,
 * nexthops. */
char *kernel_snapshot(const struct kernel *k);
void kernel_same(const struct kernel *k,
                 const char *snapshot); /* in the end; fails and shows both where it differs */

/* Waits until an interface runs, or does no more: the kernel acts on a carrier a moment after it came or went. */
void kernel_runs(const struct kernel *k, const char *dev);
void kernel_stops(const struct kernel *k, const char *dev);
/* Waits until IPv6 has made its own routes of what kernel_up() made: also after an interface was down. */
void kernel_settles(const struct kernel *k);

struct ferry_prefix kernel_prefix(const char *text);
/* A gateway of that address, and its entry, without anything more. */
struct ferry_gateway kernel_at(const char *address);
extern const struct ferry_entry kernel_plain;
struct ferry_addr kernel_addr(const char *text);

/* What is held under exactly this prefix; with a gateway, where `gateway` is given. */
struct ferry_fib kernel_read(const struct kernel *k, const char *prefix, uint32_t table,
                             const struct ferry_gateway *gateway, const char *interface);
/* The one entry of the exact prefix; fails where there is not just one.  Points into `fib`. */
const struct ferry_entry *kernel_only(const struct ferry_fib *fib);

struct ferry_op kernel_route(const char *prefix, const struct ferry_entry *before,
                             const struct ferry_entry *after);
struct ferry_op kernel_gateway(const char *prefix, const struct ferry_gateway *gateway, const char *interface,
                               const struct ferry_entry *before, const struct ferry_entry *after);
struct ferry_op kernel_swap(const struct ferry_op *op);
/* Asks the slot `check`; fails where the outcome is another one, or its reason lacks these words (NULL: any). */
void kernel_check(const struct kernel *k, struct ferry_op *op, enum ferry_outcome outcome, const char *words);
/* Applies, and fails where the outcome is another one.  Returns what the driver says about it, until the next
 * call. */
const char *kernel_apply(const struct kernel *k, struct ferry_op *op, enum ferry_outcome outcome);

#endif
