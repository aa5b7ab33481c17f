/* Updates (RFC 2136): one record set a message, with what must be found as its prerequisite.
 *
 *  W1. A message changes a record set whole or not at all, and only where the server itself finds `before`
 *      (§2.4.2, §2.4.3): nobody comes between the look and the write.  A prerequisite says nothing of the TTL
 *      (§3.2.3): that is looked at just before.
 *  W2. DONE is a signed NOERROR of the primary.  Where the others stand, the read-back says.
 *  W3. No answer, or SERVFAIL, is UNKNOWN: the update may have been made.
 *
 * SPDX-License-Identifier: MIT */
#include "dns/internal.h"

#include <string.h>

enum { APPLY_MS = 8000 }; /* one call: the fleet gives up after 10 s (ferry/txn.h) */

/* ---- Records of a message. ---- */

static ldns_rr *record(const char *name, uint32_t type, ldns_rr_class class, uint32_t ttl)
{
    ldns_rr *rr = ldns_rr_new();
    ldns_rr_set_owner(rr, ldns_dname_new_frm_str(name));
    ldns_rr_set_type(rr, (ldns_rr_type)type);
    ldns_rr_set_class(rr, class);
    ldns_rr_set_ttl(rr, ttl);
    ldns_rr_set_rd_count(rr, 0);
    return rr;
}

static ldns_rdf *data(uint32_t type, const char *text)
{
    ldns_rdf_type kind = type == FERRY_DNS_A      ? LDNS_RDF_TYPE_A
                         : type == FERRY_DNS_AAAA ? LDNS_RDF_TYPE_AAAA
                                                  : LDNS_RDF_TYPE_DNAME;
    return ldns_rdf_new_frm_str(kind, text);
}

/* All records of a set; `ttl` 0 in prerequisites.  False where one cannot be. */
static bool push_set(ldns_rr_list *list, const char *name, uint32_t type, const struct ferry_rrset *set,
                     uint32_t ttl)
{
    for (size_t i = 0; i < set->n; i++) {
        ldns_rdf *rdf = data(type, set->data[i]);
        if (!rdf)
            return false;
        ldns_rr *rr = record(name, type, LDNS_RR_CLASS_IN, ttl);
        ldns_rr_push_rdf(rr, rdf);
        ldns_rr_list_push_rr(list, rr);
    }
    return true;
}

/* `op` NULL: a message that asks for nothing, to see whether it may.  NULL where it cannot be made. */
static ldns_pkt *make_update(const char *zone, size_t zone_len, const struct ferry_op *op)
{
    struct ferry_rrset before = {0}, after = {0};
    FERRY_AUTOFREE char *apex = ferry_asprintf("%.*s", (int)zone_len, zone);
    ldns_rr_list *prerequisites = ldns_rr_list_new(), *updates = ldns_rr_list_new();
    bool good = !op || ((!op->before || ferry_rrset_of_entry(op->before, &before)) &&
                        (!op->after || ferry_rrset_of_entry(op->after, &after)));
    if (op && good) {
        if (before.n) /* W1: these very records, and no more */
            good = push_set(prerequisites, op->name, op->metric, &before, 0);
        else
            ldns_rr_list_push_rr(prerequisites, record(op->name, op->metric, LDNS_RR_CLASS_NONE, 0));
        if (before.n)
            ldns_rr_list_push_rr(updates, record(op->name, op->metric, LDNS_RR_CLASS_ANY, 0));
        good = good && push_set(updates, op->name, op->metric, &after, after.ttl);
    }
    ldns_pkt *message = good ? ldns_update_pkt_new(ldns_dname_new_frm_str(apex), LDNS_RR_CLASS_IN,
                                                   prerequisites, updates, NULL)
                             : NULL;
    ldns_rr_list_deep_free(prerequisites);
    ldns_rr_list_deep_free(updates);
    ferry_rrset_clear(&before);
    ferry_rrset_clear(&after);
    return message;
}

/* ---- What the server says. ---- */

static enum ferry_outcome judge(struct ferry_op *op, const ldns_pkt *answer)
{
    char rcode[24];
    const char *tsig = ferry_dns_tsig_error(answer);
    ldns_pkt_rcode code = ldns_pkt_get_rcode(answer);
    ferry_dns_rcode(answer, rcode);
    if (tsig) {
        ferry_op_why(op, "TSIG: %s", tsig);
        return FERRY_REFUSED;
    }
    if (code == LDNS_RCODE_NOERROR)
        return FERRY_DONE;
    if (code == LDNS_RCODE_YXDOMAIN || code == LDNS_RCODE_YXRRSET || code == LDNS_RCODE_NXDOMAIN ||
        code == LDNS_RCODE_NXRRSET) {
        ferry_op_why(op, "%s: somebody has changed the records meanwhile", rcode);
        return FERRY_STALE;
    }
    ferry_op_why(op, "the server answers %s", rcode);
    return code == LDNS_RCODE_SERVFAIL ? FERRY_UNKNOWN : FERRY_REFUSED; /* W3 */
}

static bool is_record(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_DNS && op->name;
}

/* What is held, TTL included: REFUSED becomes DONE where it is `before`, else STALE. */
static int compare(struct ferry_dns_line *line, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_dns_look *looks = ferry_calloc(n, sizeof *looks);
    FERRY_AUTOFREE size_t *which = ferry_calloc(n, sizeof *which);
    size_t n_looks = 0;
    for (size_t i = 0; i < n; i++)
        if (is_record(&ops[i])) {
            which[n_looks] = i;
            looks[n_looks++] = (struct ferry_dns_look){.name = ops[i].name, .type = ops[i].metric};
        } else {
            ferry_op_why(&ops[i], "a name server has records alone");
        }
    int r = ferry_dns_look(line, looks, n_looks, err);
    for (size_t i = 0; i < n_looks; i++) {
        struct ferry_op *op = &ops[which[i]];
        FERRY_AUTOFREE char *want = ferry_dns_entry_native(op->before);
        const char *found = looks[i].text;
        bool same = found && want ? strcmp(found, want) == 0 : found == want;
        if (r == 0)
            op->outcome = same ? FERRY_DONE : FERRY_STALE;
        if (r < 0 || !same)
            ferry_op_why(op, r < 0 ? "not sent: %s" : "found %s",
                         r < 0   ? err->text
                         : found ? found
                                 : "nothing");
    }
    ferry_dns_looks_free(looks, n_looks);
    return r;
}

/* Those that compare has found as planned. */
static int update(struct ferry_dns_line *line, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_dns_call *calls = ferry_calloc(n, sizeof *calls);
    FERRY_AUTOFREE struct ferry_op **of = ferry_calloc(n, sizeof *of);
    size_t n_calls = 0, zone_len;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].outcome != FERRY_DONE)
            continue;
        const char *zone = ferry_dns_zone(line->driver->zones, ops[i].name, &zone_len);
        ldns_pkt *message = zone ? make_update(zone, zone_len, &ops[i]) : NULL;
        ops[i].outcome = FERRY_REFUSED;
        if (!message) {
            ferry_op_why(&ops[i], zone ? "no update can be made of it" : "none of its zones has this name");
            continue;
        }
        of[n_calls] = &ops[i];
        calls[n_calls++] = (struct ferry_dns_call){.message = message, .sign = true};
    }
    int r = ferry_dns_exchange(line, calls, n_calls, err);
    for (size_t i = 0; i < n_calls; i++) {
        of[i]->outcome = calls[i].answer ? judge(of[i], calls[i].answer)
                         : calls[i].sent ? FERRY_UNKNOWN /* W3 */
                                         : FERRY_REFUSED;
        if (!calls[i].answer)
            ferry_op_why(of[i], "%s%s", calls[i].sent ? "" : "not sent: ", err->text);
    }
    ferry_dns_calls_free(calls, n_calls);
    return r;
}

int ferry_dns_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_dns_line_close)
    struct ferry_dns_line line = {driver, &driver->servers[0], ferry_dns_now(driver) + 1000ull * APPLY_MS,
                                  -1};
    for (size_t i = 0; i < n; i++) {
        ferry_op_clear(&ops[i]);
        ops[i].outcome = FERRY_REFUSED;
    }
    int r = compare(&line, ops, n, err);
    return r < 0 ? r : update(&line, ops, n, err);
}

/* ---- Beforehand. ---- */

/* Whether this key may update the op's zone: an update of nothing, which changes nothing and is judged as any
 * other.  (BIND asks an allow-update list for it; what an update-policy says of single names only the update
 * itself hears.) */
static int may_update(struct ferry_dns_line *line, struct ferry_op *op, const char *zone, size_t zone_len,
                      struct ferry_err *err)
{
    struct ferry_dns_call *call = ferry_calloc(1, sizeof *call);
    *call = (struct ferry_dns_call){.message = make_update(zone, zone_len, NULL), .sign = true};
    int r = ferry_dns_exchange(line, call, 1, err);
    if (r == 0 && judge(op, call->answer) != FERRY_DONE)
        op->outcome = FERRY_REFUSED;
    ferry_dns_calls_free(call, 1);
    return r == -FERRY_EUNKNOWN ? -FERRY_EIO : r; /* it asked for nothing */
}

static int check_op(struct ferry_dns_line *line, struct ferry_op *op, const char *found, const char **asked,
                    struct ferry_err *err)
{
    size_t len;
    const char *zone = ferry_dns_zone(line->driver->zones, op->name, &len);
    if (zone && !(found && strncmp(found, "CNAME ", 6) == 0)) {
        bool again = zone == *asked; /* ops of one zone stand next to each other, mostly */
        *asked = zone;
        return again ? 0 : may_update(line, op, zone, len, err);
    }
    op->outcome = FERRY_REFUSED;
    if (zone)
        ferry_op_why(op, "it is an alias: %s",
                     found); /* an update beside it would be ignored, RFC 2136 §3.4.2.2 */
    else
        ferry_op_why(op, "none of its zones has this name");
    return 0;
}

int ferry_dns_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_dns_line_close)
    struct ferry_dns_line line = {driver, &driver->servers[0], ferry_dns_now(driver) + 1000ull * APPLY_MS,
                                  -1};
    struct ferry_dns_look *looks = ferry_calloc(n, sizeof *looks);
    const char *asked = NULL;
    size_t n_looks = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        ferry_op_clear(&ops[i]);
        ops[i].outcome = FERRY_DONE;
        if (is_record(&ops[i])) {
            looks[n_looks++] = (struct ferry_dns_look){.name = ops[i].name, .type = ops[i].metric};
            continue;
        }
        ops[i].outcome = FERRY_REFUSED;
        ferry_op_why(&ops[i], "a name server has records alone");
    }
    int r = ferry_dns_look(&line, looks, n_looks, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (is_record(&ops[i]))
            r = check_op(&line, &ops[i], looks[at++].text, &asked, err);
    ferry_dns_looks_free(looks, n_looks);
    return r;
}
