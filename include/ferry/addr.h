/* IP addresses and prefixes, both families in one type.  SPDX-License-Identifier: MIT */
#ifndef FERRY_ADDR_H
#define FERRY_ADDR_H

#include <ferry/err.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h> /* AF_INET, AF_INET6 */

#define FERRY_ADDR_STRLEN   46 /* INET6_ADDRSTRLEN */
#define FERRY_PREFIX_STRLEN 50 /* the same with "/128" */

struct ferry_addr {
    uint8_t family;    /* AF_INET, AF_INET6, or 0: none */
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

/* As a prefix the host bits are zero; as an interface address (address + length) they need not be. */
struct ferry_prefix {
    struct ferry_addr addr;
    uint8_t len; /* bits */
};

/* 32 or 128; 0 for no family. */
uint8_t ferry_addr_bits(uint8_t family);
bool ferry_addr_equal(const struct ferry_addr *a, const struct ferry_addr *b);
/* By family, then bytes: <0, 0, >0. */
int ferry_addr_compare(const struct ferry_addr *a, const struct ferry_addr *b);
/* One further, one back; false where that leads around the family's ends. */
bool ferry_addr_next(struct ferry_addr *a);
bool ferry_addr_previous(struct ferry_addr *a);
/* Strict text forms (inet_pton): no leading zeros, no zone, no shorthand.  -FERRY_EINPUT. */
int ferry_addr_parse(const char *text, struct ferry_addr *ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* RFC 5952 for IPv6.  Returns buf; "none" without family. */
const char *ferry_addr_text(const struct ferry_addr *a, char buf[static FERRY_ADDR_STRLEN]);

bool ferry_prefix_equal(const struct ferry_prefix *a, const struct ferry_prefix *b);
int ferry_prefix_compare(const struct ferry_prefix *a, const struct ferry_prefix *b);
/* "ADDR/LEN", length required, host bits allowed (see ferry_prefix_has_host_bits).  -FERRY_EINPUT. */
int ferry_prefix_parse(const char *text, struct ferry_prefix *ret, struct ferry_err *err) FERRY_MUST_CHECK;
const char *ferry_prefix_text(const struct ferry_prefix *p, char buf[static FERRY_PREFIX_STRLEN]);
bool ferry_prefix_has_host_bits(const struct ferry_prefix *p);
/* The prefix with its host bits cleared. */
struct ferry_prefix ferry_prefix_network(const struct ferry_prefix *p);
/* Whether `outer` covers `inner` (equal counts); families must agree. */
bool ferry_prefix_covers(const struct ferry_prefix *outer, const struct ferry_prefix *inner);
bool ferry_prefix_contains(const struct ferry_prefix *p, const struct ferry_addr *a);

#endif
