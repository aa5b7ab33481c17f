/* Inside the driver of name servers: key.c (the TSIG key), talk.c (a message and its answer), read.c (record
 * sets of all servers), apply.c (updates), native.c (the same as nsupdate).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DRIVERS_DNS_INTERNAL_H
#define FERRY_DRIVERS_DNS_INTERNAL_H

#include "dns/dns.h"

#include <ferry/dns.h>

#include "base/mem.h"
#include "base/secret.h"

#include <ldns/ldns.h>
#include <netinet/in.h>

/* A TSIG key (RFC 8945).  What is secret in it stands here alone, and is wiped when it goes. */
struct ferry_dns_key {
    char *name;      /* with a dot at its end */
    char *algorithm; /* "hmac-sha256." or "hmac-sha512." */
    char *secret;    /* base64 */
};
/* Reads what tsig-keygen has written.  -FERRY_EIO: unreadable, readable by everybody, or no key that can be
 * used; the text says nothing of the secret. */
int ferry_dns_key_load(const char *path, struct ferry_dns_key *ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_dns_key_clear(struct ferry_dns_key *key);

struct ferry_dns_server {
    char address[FERRY_ADDR_STRLEN];
    struct sockaddr_storage to;
    socklen_t to_len;
};

struct ferry_driver {
    struct ferry_driver_base base;
    const struct ferry_env *env;
    char *name, *netns, *zones;
    struct ferry_dns_server *servers; /* [0] takes the updates */
    size_t n_servers;
    struct ferry_dns_key key;
};

/* ---- talk.c ---- */

/* A TCP connection to one server (RFC 7766), for one call of the driver. */
struct ferry_dns_line {
    struct ferry_driver *driver;
    const struct ferry_dns_server *server;
    uint64_t deadline_us; /* monotonic */
    int fd;               /* -1: not connected */
};
uint64_t ferry_dns_now(const struct ferry_driver *driver);
void ferry_dns_line_close(struct ferry_dns_line *line);
/* A message and its answer; both are freed by ferry_dns_calls_free. */
struct ferry_dns_call {
    ldns_pkt *message;
    bool sign; /* then the answer's signature is checked too */
    bool sent; /* it may have been, in part at least */
    ldns_pkt *answer;
};
/* Sends all, several ahead of their answers (RFC 7766 §6.2.1.1).  0: each has its answer.  Else at the first
 * that fails; a call that was sent and has no answer may have been heard.  -FERRY_EIO, -FERRY_EUNKNOWN. */
int ferry_dns_exchange(struct ferry_dns_line *line, struct ferry_dns_call *calls, size_t n,
                       struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_dns_calls_free(struct ferry_dns_call *calls, size_t n);
/* "BADKEY", "BADSIG", … where the server says so of our signature (RFC 8945 §5.2), or NULL. */
const char *ferry_dns_tsig_error(const ldns_pkt *answer);
const char *ferry_dns_rcode(const ldns_pkt *answer, char buf[static 24]);

/* ---- read.c ---- */

/* A name and type, and what one server says of it: as a native text, malloc'd; NULL: nothing. */
struct ferry_dns_look {
    const char *name;
    uint32_t type;
    char *text;
};
/* -FERRY_EIO: some could not be asked, or a server has no authority for one. */
int ferry_dns_look(struct ferry_dns_line *line, struct ferry_dns_look *looks, size_t n,
                   struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_dns_looks_free(struct ferry_dns_look *looks, size_t n);
int ferry_dns_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                   struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- apply.c, native.c ---- */

int ferry_dns_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n,
                    struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_dns_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n,
                    struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_dns_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                     size_t size);

#endif
