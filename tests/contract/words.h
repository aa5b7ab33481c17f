/* Words in which the contract suite speaks: entries, ops, reads, expectations.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_CONTRACT_WORDS_H
#define FERRY_TESTS_CONTRACT_WORDS_H

#include "contract.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAIN FERRY_TABLE_MAIN

/* The driver under test, and a fresh router for every test. */
extern const struct contract_driver *tested;
int up(void **state);
int down(void **state);
#define T(name) cmocka_unit_test_setup_teardown(test_##name, up, down)

/* The tests of each file. */
extern const struct CMUnitTest read_tests[], route_tests[], gateway_tests[], batch_tests[];
extern const size_t n_read_tests, n_route_tests, n_gateway_tests, n_batch_tests;

/* A route with up to three legs "VIA DEV WEIGHT"; NULL ends. */
struct made {
    struct ferry_entry e;
    struct ferry_nexthop hops[4];
};

struct ferry_prefix net(const char *text);
struct ferry_addr ip(const char *text);
const struct ferry_entry *route(struct made *m, uint32_t table, uint32_t metric, unsigned protocol, ...);
struct ferry_op op_route(const char *prefix, uint32_t table, uint32_t metric,
                         const struct ferry_entry *before, const struct ferry_entry *after);
struct ferry_op op_gateway(const char *prefix, const struct ferry_gateway *gateway, const char *interface,
                           const struct ferry_entry *before, const struct ferry_entry *after);
struct ferry_op swapped(const struct ferry_op *op);
void apply(struct contract_router *r, struct ferry_op *ops, size_t n);
enum ferry_outcome apply_one(struct contract_router *r, struct ferry_op op);
void done(struct contract_router *r, struct ferry_op op);
struct ferry_fib ask(struct contract_router *r, const char *prefix, uint32_t table,
                     const struct ferry_gateway *gateway, const char *interface);
int by_everything(const void *a, const void *b);
/* Items of one relation, sorted; moves them to the front and returns how many. */
size_t only(struct ferry_fib *fib, enum ferry_relation relation);
void same_entry(const struct ferry_entry *found, const struct ferry_entry *expected);
/* What is held for exactly this prefix, best first; NULL ends. */
void holds_at(struct contract_router *r, const char *prefix, uint32_t table,
              const struct ferry_gateway *gateway, const char *interface,
              const struct ferry_entry *const *expected);
/* Everything that the router holds in a canonical order, but for what interfaces have by themselves, when
 * they please: link-local routes. */
struct ferry_fib everything(struct contract_router *r);
void unchanged(struct contract_router *r, const struct ferry_fib *before);
/* The prefix is held as what follows from an address on `dev`; a driver may know more of it (native). */
void connected(struct contract_router *r, const char *prefix, const char *dev, uint32_t metric);

extern const struct ferry_entry attached;

#define ROUTE(...) route(&(struct made){.e = {.table = 0}}, __VA_ARGS__, (const char *)NULL)
#define DROP(type_, table_, metric_)                                                                         \
    (&(struct ferry_entry){                                                                                  \
        .type = (type_), .table = (table_), .metric = (metric_), .protocol = FERRY_PROTOCOL})
#define HOLDS(r, prefix, table, ...)                                                                         \
    holds_at(r, prefix, table, NULL, NULL,                                                                   \
             (const struct ferry_entry *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define HOLDS_AT(r, prefix, gateway, interface, ...)                                                         \
    holds_at(r, prefix, MAIN, gateway, interface,                                                            \
             (const struct ferry_entry *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define PROHIBIT    (tested->cannot & CANNOT_PROHIBIT ? FERRY_UNREACHABLE : FERRY_PROHIBIT)
#define DROP_METRIC (tested->drop_metric ? tested->drop_metric : FERRY_METRIC_DROP)
#define VIA1        "10.255.1.2 up0"
#define VIA2        "10.255.2.2 up1"
#define VIA1_6      "fd00:255:1::2 up0"
#define VIA2_6      "fd00:255:2::2 up1"
#define FERRY       FERRY_PROTOCOL

#endif
