/* Inside the planner of records: dns_ask.c (what to read), dns.c (what shall be).  SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_DNS_H
#define FERRY_PLAN_DNS_H

#include <ferry/dns.h>

#include "model/map.h"
#include "plan/planner.h"

#define FERRY_DNS_TTL_MADE 300u /* of a record that was not there, where the topology says nothing */

/* Questions by server and name. */
struct ferry_dns_asked {
    struct ferry_map map;
    char **keys;
    size_t n;
};
void ferry_dns_asked_all(struct ferry_dns_asked *a, const struct ferry_dns_questions *q);
/* The question, or FERRY_MAP_NONE. */
uint32_t ferry_dns_asked_find(const struct ferry_dns_asked *a, uint32_t server, const char *name);
void ferry_dns_asked_clear(struct ferry_dns_asked *a);

const struct ferry_nic *ferry_dns_nic(const struct ferry_topology *t, const struct ferry_address_row *row);
/* Whether the machine has another address after the move, and it is known. */
bool ferry_dns_moves(const struct ferry_address_row *row);
const struct ferry_entry *ferry_dns_entry_of(const struct ferry_stack *stack, uint32_t type);

#endif
