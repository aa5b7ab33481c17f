/* What every authoritative server of a name's zone holds for it.
 *
 *  R1. An answer counts only where the server has authority for the zone (AA): a cache says nothing of what it holds.
 *  R2. The servers of a zone follow its primary with a delay: where they differ they are asked again for a
 *      while.  What they then say still is told, each with its own words, so that it equals nothing that was
 *      planned.
 *  R3. A primary that cannot be asked is a name server that cannot be read.  A silent secondary is one of
 *      those that differ.
 *
 * SPDX-License-Identifier: MIT */
#include "dns/internal.h"

#include <string.h>
#include <time.h>

enum {
    READ_MS = 8000,  /* all of one call: the fleet gives up after 10 s (ferry/txn.h) */
    AGREE_MS = 6500, /* R2: BIND may keep a NOTIFY back for 5 s (notify-delay) */
    AGAIN_MS = 100,
};

/* ---- One server, one record set. ---- */

static void lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
}

static bool is_of(const ldns_rr *rr, const ldns_rdf *name)
{
    return ldns_dname_compare(ldns_rr_owner(rr), name) == 0;
}

static void add_data(struct ferry_rrset *set, const ldns_rr *rr)
{
    char *text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
    lower(text);
    ferry_rrset_add(set, text);
    free(text);
}

/* The record set in an answer; an alias shows as itself, which no plan can hold. */
static char *text_of(const ldns_pkt *answer, const ldns_rdf *name, uint32_t type)
{
    struct ferry_rrset set = {0};
    char *text = NULL;
    const ldns_rr_list *list = ldns_pkt_answer(answer);
    for (size_t i = 0; list && i < ldns_rr_list_rr_count(list) && !text; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (!is_of(rr, name) || ldns_rr_rd_count(rr) < 1)
            continue;
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME) {
            char *target = ldns_rdf2str(ldns_rr_rdf(rr, 0));
            text = ferry_asprintf("CNAME %s", target);
            free(target);
        } else if (ldns_rr_get_type(rr) == (ldns_rr_type)type) {
            set.ttl = ldns_rr_ttl(rr);
            add_data(&set, rr);
        }
    }
    text = text ? text : ferry_rrset_text(&set);
    ferry_rrset_clear(&set);
    return text;
}

static int judge(const struct ferry_dns_line *line, const ldns_pkt *answer, const char *name,
                 struct ferry_err *err)
{
    char rcode[24];
    const char *tsig = ferry_dns_tsig_error(answer);
    ldns_pkt_rcode code = ldns_pkt_get_rcode(answer);
    if (tsig)
        return ferry_error(err, FERRY_EIO, "%s: TSIG: %s", line->server->address, tsig);
    if (code != LDNS_RCODE_NOERROR && code != LDNS_RCODE_NXDOMAIN)
        return ferry_error(err, FERRY_EIO, "%s: %s: it answers %s", line->server->address, name,
                           ferry_dns_rcode(answer, rcode));
    if (!ldns_pkt_aa(answer)) /* R1 */
        return ferry_error(err, FERRY_EIO, "%s: it has no authority for the zone of %s",
                           line->server->address, name);
    return 0;
}

static int take(const struct ferry_dns_line *line, const struct ferry_dns_call *call,
                struct ferry_dns_look *look, struct ferry_err *err)
{
    int r = judge(line, call->answer, look->name, err);
    ldns_rdf *owner = r < 0 ? NULL : ldns_dname_new_frm_str(look->name);
    if (owner)
        look->text = text_of(call->answer, owner, look->type);
    ldns_rdf_deep_free(owner);
    return r;
}

int ferry_dns_look(struct ferry_dns_line *line, struct ferry_dns_look *looks, size_t n, struct ferry_err *err)
{
    struct ferry_dns_call *calls = ferry_calloc(n, sizeof *calls);
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        ldns_rdf *owner = ldns_dname_new_frm_str(looks[i].name);
        if (owner)
            calls[i].message = ldns_pkt_query_new(owner, (ldns_rr_type)looks[i].type, LDNS_RR_CLASS_IN, 0);
        if (!calls[i].message)
            r = ferry_error(err, FERRY_EIO, "'%.80s' is no domain name", looks[i].name);
        calls[i].sign = line->server == &line->driver->servers[0]; /* who knows the key */
    }
    if (r == 0)
        r = ferry_dns_exchange(line, calls, n, err);
    if (r == -FERRY_EUNKNOWN)
        r = -FERRY_EIO; /* nothing hangs on a question */
    for (size_t i = 0; r == 0 && i < n; i++)
        r = take(line, &calls[i], &looks[i], err);
    ferry_dns_calls_free(calls, n);
    return r;
}

void ferry_dns_looks_free(struct ferry_dns_look *looks, size_t n)
{
    for (size_t i = 0; looks && i < n; i++)
        free(looks[i].text);
    free(looks);
}

/* ---- All of them. ---- */

static const uint32_t types[] = {FERRY_DNS_A, FERRY_DNS_AAAA, FERRY_DNS_PTR};
enum { TYPES = FERRY_COUNT(types) };

/* What a server says of every item and type; `at` tells where. */
struct said {
    struct ferry_dns_look *v;
    bool silent;
};

static bool is_asked(const struct ferry_query_item *item, size_t type)
{
    return item->name && ferry_dns_is_reverse(item->name) == (types[type] == FERRY_DNS_PTR);
}

static size_t count(const struct ferry_query *query)
{
    size_t n = 0;
    for (size_t i = 0; i < query->n; i++)
        for (size_t k = 0; k < TYPES; k++)
            n += is_asked(&query->items[i], k);
    return n;
}

static int ask_server(struct ferry_driver *driver, size_t server, const struct ferry_query *query,
                      uint64_t deadline_us, struct said *said, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_dns_line_close)
    struct ferry_dns_line line = {driver, &driver->servers[server], deadline_us, -1};
    size_t n = count(query), at = 0;
    said->v = ferry_calloc(n, sizeof *said->v);
    for (size_t i = 0; i < query->n; i++)
        for (size_t k = 0; k < TYPES; k++)
            if (is_asked(&query->items[i], k))
                said->v[at++] = (struct ferry_dns_look){.name = query->items[i].name, .type = types[k]};
    int r = ferry_dns_look(&line, said->v, n, err);
    said->silent = r < 0;
    return r;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* R2: those that answered. */
static bool agree(const struct ferry_driver *driver, const struct said *said, size_t n)
{
    for (size_t s = 1; s < driver->n_servers; s++)
        for (size_t i = 0; !said[s].silent && i < n; i++)
            if (!same(said[0].v[i].text, said[s].v[i].text))
                return false;
    return true;
}

/* The primary's words, and those of whoever differs; NULL: nothing anywhere. */
static char *together(const struct ferry_driver *driver, const struct said *said, size_t at)
{
    char *text = NULL;
    for (size_t s = 1; s < driver->n_servers; s++) {
        const char *own = said[0].v[at].text, *other = said[s].silent ? "?" : said[s].v[at].text;
        if (!said[s].silent && same(own, other))
            continue;
        char *longer = ferry_asprintf("%s !%s %s",
                                      text  ? text
                                      : own ? own
                                            : "-",
                                      driver->servers[s].address, other ? other : "-");
        free(text);
        text = longer;
    }
    return text ? text : ferry_strdup(said[0].v[at].text);
}

static void report(const struct ferry_driver *driver, const struct ferry_query *query,
                   const struct said *said, struct ferry_fib *ret)
{
    size_t at = 0;
    for (size_t i = 0; i < query->n; i++)
        for (size_t k = 0; k < TYPES; k++) {
            FERRY_AUTOFREE char *text = is_asked(&query->items[i], k) ? together(driver, said, at++) : NULL;
            if (!text)
                continue;
            struct ferry_fib_item item = {.query = (uint32_t)i,
                                          .relation = FERRY_EXACT,
                                          .entry = {.type = FERRY_DNS,
                                                    .metric = types[k],
                                                    .native = (const uint8_t *)text,
                                                    .native_len = (uint32_t)strlen(text)}};
            ferry_fib_add(ret, &item);
        }
}

static void pause_a_while(const struct ferry_driver *driver)
{
    if (driver->env->sleep_us)
        driver->env->sleep_us(driver->env->ctx, 1000ull * AGAIN_MS);
    else
        nanosleep(&(struct timespec){0, AGAIN_MS * 1000000l}, NULL);
}

static int ask_all(struct ferry_driver *driver, const struct ferry_query *query, uint64_t deadline_us,
                   struct said *said, struct ferry_err *err)
{
    struct ferry_err ignored;
    int r = 0;
    for (size_t s = 0; s < driver->n_servers; s++) {
        ferry_dns_looks_free(said[s].v, count(query));
        said[s].v = NULL;
        int failed = ask_server(driver, s, query, deadline_us, &said[s], s ? &ignored : err);
        if (s == 0 && failed < 0)
            return failed; /* R3 */
    }
    return r;
}

int ferry_dns_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                   struct ferry_err *err)
{
    uint64_t now = ferry_dns_now(driver), deadline_us = now + 1000ull * READ_MS,
             until_us = now + 1000ull * AGREE_MS;
    FERRY_AUTOFREE struct said *said = ferry_calloc(driver->n_servers, sizeof *said);
    struct ferry_fib fib = {0};
    int r = query->n ? ask_all(driver, query, deadline_us, said, err) : 0;
    while (r == 0 && query->n && !agree(driver, said, count(query)) && ferry_dns_now(driver) < until_us) {
        pause_a_while(driver);
        r = ask_all(driver, query, deadline_us, said, err);
    }
    if (r == 0 && query->n)
        report(driver, query, said, &fib);
    for (size_t s = 0; s < driver->n_servers; s++)
        ferry_dns_looks_free(said[s].v, count(query));
    if (r == 0)
        *ret = fib;
    return r;
}
