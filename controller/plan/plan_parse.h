/* What the parts of the plan document's reader share: plan_parse.c (the document), plan_parse_router.c
 * (routers), plan_parse_group.c (groups), plan_parse_stage.c (changes), plan_parse_dns.c (names and their
 * records) and plan_parse_entry.c (entries and names).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_PARSE_H
#define FERRY_PLAN_PARSE_H

#include "model/json.h"
#include "model/map.h"
#include "plan/planner.h"

struct parsing {
    struct ferry_json *doc;
    struct ferry_plan *plan;
    struct ferry_map routers, groups, prefixes; /* keys live in the plan */
};

/* The key that a change gives to its entries. */
struct parse_key {
    enum ferry_kind kind;
    uint32_t table, metric;
};

/* Whether it may name a router, site, subnet or group. */
bool parse_is_name(const char *s);
/* A string that is a name. */
int parse_name(struct parsing *p, uint32_t v, const char **ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* An object with these members and no others, and the one of them that is its name. */
int parse_named(struct parsing *p, uint32_t v, const char *const *known, const char *key, uint32_t *ret_at,
                const char **ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* The index of a router: `name` stands at `v` (as a value, or as a key where `is_key`). */
int parse_router(struct parsing *p, uint32_t v, const char *name, bool is_key, uint32_t *ret,
                 struct ferry_err *err) FERRY_MUST_CHECK;
int parse_prefix(struct parsing *p, uint32_t v, bool network, struct ferry_prefix *ret,
                 struct ferry_err *err) FERRY_MUST_CHECK;
int parse_addr(struct parsing *p, uint32_t v, struct ferry_addr *ret, struct ferry_err *err) FERRY_MUST_CHECK;
int parse_dev(struct parsing *p, uint32_t v, char ret[static FERRY_DEV_LEN],
              struct ferry_err *err) FERRY_MUST_CHECK;
/* Bytes from hex; *ret is malloc'd. */
int parse_native(struct parsing *p, uint32_t v, uint8_t **ret, uint32_t *ret_len,
                 struct ferry_err *err) FERRY_MUST_CHECK;
/* An entry object, or null where `key` (a change's) allows it; interned. */
int parse_entry(struct parsing *p, uint32_t v, const struct parse_key *key, const struct ferry_entry **ret,
                struct ferry_err *err) FERRY_MUST_CHECK;
/* "routers" and "lost" of the document, in this order (plan_parse_router.c). */
int parse_routers(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
int parse_lost(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
/* "stages" and "debts" of the document; routers, groups and names are known (plan_parse_stage.c). */
int parse_stages(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
int parse_debts(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
/* A gateway or announcement without a table: it is that of the group's routes on that router, or main. */
void parse_tables(struct ferry_plan *plan);
/* "groups" of the document; the routers are known (plan_parse_group.c). */
int parse_groups(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
/* "addresses" of the document (plan_address.c). */
int parse_addresses(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
/* "names" of the document, after the groups (plan_parse_dns.c). */
int parse_names(struct parsing *p, struct ferry_err *err) FERRY_MUST_CHECK;
/* The member "record" of a change or entry: the number of its type. */
int parse_record(struct parsing *p, uint32_t v, uint32_t *ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* "ttl" and "data" of an entry whose type is known: its native text, malloc'd. */
int parse_rrset(struct parsing *p, uint32_t v, uint32_t type, char **ret,
                struct ferry_err *err) FERRY_MUST_CHECK;
/* "initial" of a group, which has room for all routers. */
int parse_initial(struct parsing *p, uint32_t v, struct ferry_group *group,
                  struct ferry_err *err) FERRY_MUST_CHECK;
/* A router's holdings: an array of entries with different keys. */
int parse_stack(struct parsing *p, uint32_t v, const struct ferry_stack **ret,
                struct ferry_err *err) FERRY_MUST_CHECK;

#endif
