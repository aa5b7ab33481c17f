/* A lab for the tests of announcements: three FRR routers in a triangle, r1 (AS 65001, lan0, which announces BGP_P), r2
 * (65002, lan0) and r3 (65003), all with OSPF too, and a BIRD (65009) behind r3 as a neighbour that Ferry does not
 * control.
 *
 * The program that uses it has mounts and processes of its own: FRR's directories and the names of namespaces
 * are private, and whatever happens there, the daemons end with it and the namespaces with them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_FRR_TRIANGLE_H
#define FERRY_TESTS_FRR_TRIANGLE_H

#include "frr/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define BGP_P  "192.168.1.0/24"
#define OSPF_P "192.168.2.0/24"

enum { R1, R2, R3, ROUTERS, LOOK = ROUTERS, ALL }; /* LOOK: a second conversation with r3 */
extern struct ferry_frr routers[ALL];
extern const char *const names[ALL];

/* Runs the tests in a world of their own; 77, said aloud, where there cannot be one. */
int triangle_alone(int (*run)(void));
/* For cmocka's group: all up and known to each other. */
int triangle_up(void **state);

uint64_t triangle_now_us(void);
/* vtysh's answer to a command with one "%s" in it; freed by the caller. */
char *triangle_show(struct ferry_frr *d, const char *fmt, const char *arg);
/* Waits at most `seconds` until the answer holds (or no longer holds) a text. */
void triangle_until(struct ferry_frr *d, const char *command, const char *what, bool there, double seconds);
/* Lines for vtysh -f, which must have no word to say. */
void triangle_conf(int router, const char *fmt, ...) FERRY_PRINTF(2, 3);

#endif
