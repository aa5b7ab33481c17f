/* DNS: record sets as what name servers hold, and their changes when machines get other addresses (docs/dns.md).
 *
 * A name server that takes updates (RFC 2136) stands in a plan behind the routers, and a name in it as a
 * group of its own (`ferry_group.dns`): key, before, after, undo, journal and recovery are those of routes.
 * The key of an entry is its name and `metric`, the number of the record type; `native` is the record set as
 * text: the TTL and the records, ascending, each after a space: "300 192.168.1.10 192.168.1.11".  What the
 * servers of a zone do not agree on has the others' behind it, each after " !" and the server's address ("-":
 * none, "?": silent); such an entry equals nothing that a plan says.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DNS_H
#define FERRY_DNS_H

#include <ferry/fib.h>
#include <ferry/networks.h>
#include <ferry/rules.h>

/* RFC 1035 §3.2.2, RFC 3596 §2.1. */
enum ferry_dns_type { FERRY_DNS_A = 1, FERRY_DNS_PTR = 12, FERRY_DNS_AAAA = 28 };
const char *ferry_dns_type_name(uint32_t type);        /* "A", "PTR", "AAAA"; "?" */
uint32_t ferry_dns_type_parse(const char *name);       /* 0: none of them */
enum ferry_dns_type ferry_dns_type_of(uint8_t family); /* of an address */

/* ---- Names. ---- */

#define FERRY_DNS_NAME_LEN 256         /* RFC 1035 §2.3.4, with the dot at the end and a NUL */
#define FERRY_DNS_TTL_MOST 2147483647u /* RFC 2181 §8 */

/* A host's or zone's name in lower case with a dot at its end; false where it cannot be one: labels of
 * letters, digits, '-' and '_', two at least. */
bool ferry_dns_name(const char *text, char ret[static FERRY_DNS_NAME_LEN]);
/* "10.1.168.192.in-addr.arpa.", RFC 3596 §2.5 for IPv6. */
void ferry_dns_reverse(const struct ferry_addr *a, char ret[static FERRY_DNS_NAME_LEN]);
/* Whether it is a name of addresses: its records are PTR. */
bool ferry_dns_is_reverse(const char *name);
/* The longest of the zones (names with a space between them) that the name is in, or NULL; it ends at a space or
 * NUL. */
const char *ferry_dns_zone(const char *zones, const char *name, size_t *ret_len);

/* ---- Record sets. ---- */

struct ferry_rrset {
    uint32_t ttl; /* seconds */
    char **data;  /* addresses, or names with a dot at their end; ascending by strcmp */
    size_t n;
};
void ferry_rrset_clear(struct ferry_rrset *set);
bool ferry_rrset_has(const struct ferry_rrset *set, const char *data);
void ferry_rrset_add(struct ferry_rrset *set, const char *data); /* once more changes nothing */
void ferry_rrset_remove(struct ferry_rrset *set, const char *data);
/* Whether a plan can hold it: an address of the type's family, or a host's name in lower case with a dot at its end. */
bool ferry_dns_data_ok(uint32_t type, const char *text);
/* The native bytes as a NUL-terminated text, malloc'd; NULL for none. */
char *ferry_rrset_text(const struct ferry_rrset *set);
char *ferry_dns_entry_native(const struct ferry_entry *e);
/* False where the servers did not agree, or it is no record set (an alias, CNAME). */
bool ferry_rrset_of_entry(const struct ferry_entry *e, struct ferry_rrset *ret);
/* Interned; NULL for a set without records. */
const struct ferry_entry *ferry_rrset_entry(struct ferry_pool *pool, uint32_t type,
                                            const struct ferry_rrset *set);
/* Whether every server holds `a` or `b` (NULL: none) or is silent, and they do not agree: a change that has
 * not reached all. */
bool ferry_dns_between(const struct ferry_entry *found, const struct ferry_entry *a,
                       const struct ferry_entry *b);

/* ---- What a plan does. ---- */

/* One name on one name server: what has to be read, and what was.  A name has A and AAAA records, one of addresses
 * PTR. */
struct ferry_dns_question {
    uint32_t server; /* topology index */
    char *name;
    const struct ferry_stack *found; /* interned by whoever reads; NULL: nothing */
};
struct ferry_dns_questions {
    struct ferry_dns_question *v;
    size_t n;
    bool *silent; /* [server]: it did not answer; NULL: all did */
};
void ferry_dns_questions_clear(struct ferry_dns_questions *q);

struct ferry_dns_terms {
    enum {
        FERRY_DNS_MOVE,        /* the records follow the addresses; a TTL stays as it was found */
        FERRY_DNS_TTL,         /* the TTL alone changes: lowered ahead of a move */
        FERRY_DNS_TTL_RESTORE, /* the same, back to what the topology says */
    } what;
    uint32_t ttl;                      /* of FERRY_DNS_TTL */
    struct ferry_overrides *overrides; /* or NULL */
};

/* What is to be read before a plan can change the records of these machines: the rows of those that move, as
 * ferry_networks_addresses gives them.  Each name once a server. */
void ferry_dns_ask(const struct ferry_topology *t, const struct ferry_address_row *rows, size_t n_rows,
                   const struct ferry_dns_terms *terms, struct ferry_dns_questions *ret);
/* What the servers would answer were all as the topology says: for --offline. */
void ferry_dns_assume(const struct ferry_topology *t, const struct ferry_address_row *rows, size_t n_rows,
                      struct ferry_pool *pool, struct ferry_dns_questions *q);
struct ferry_plan;
/* Adds the changes to a plan: one stage, behind the attachment and before what else settles, so that an
 * answer leads where the address works already.  Seals.  -FERRY_EREFUSED: dns-record (a name leads elsewhere
 * than to the machine), name-server (one does not answer). */
int ferry_plan_dns(struct ferry_plan *plan, const struct ferry_topology *t,
                   const struct ferry_address_row *rows, size_t n_rows, const struct ferry_dns_questions *q,
                   const struct ferry_dns_terms *terms, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
