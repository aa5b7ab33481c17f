/* Names, record sets, and the records that follow machines to other addresses: planned, written, read back,
 * proven; without any name server.  SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ferry/dns.h>
#include <ferry/plan.h>
#include <ferry/prove.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* app1 and app2 share "www"; at the recovery site there are other addresses. */
static const char topology_text[] =
    "{\"ferry\": 1, \"name\": \"dns\", \"sites\": [{\"name\": \"a\"}, {\"name\": \"b\"}],"
    "\"routers\": [{\"name\": \"r1\", \"site\": \"a\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": "
    "[{\"name\": \"lan0\"}]}],"
    "\"subnets\": [{\"name\": \"net\", \"prefix\": \"192.168.1.0/24\", \"home\": \"a\", \"gateways\": "
    "[{\"router\": \"r1\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"}]}],"
    "\"servers\": [{\"name\": \"s1\", \"site\": \"a\"}, {\"name\": \"s2\", \"site\": \"b\"}],"
    "\"logical-networks\": [{\"name\": \"l\"}],"
    "\"vm-networks\": [{\"name\": \"n1\", \"logical-network\": \"l\", \"server\": \"s1\", \"subnets\": "
    "[{\"name\": \"x\", \"prefix\": \"192.168.1.0/24\"}]}, {\"name\": \"n2\", \"logical-network\": \"l\", "
    "\"server\": \"s2\", "
    "\"subnets\": [{\"name\": \"x\", \"prefix\": \"172.16.1.0/24\"}], \"pool\": "
    "[\"172.16.1.10-172.16.1.20\"]}],"
    "\"mappings\": [{\"source\": \"n1\", \"target\": \"n2\"}],"
    "\"workloads\": [{\"name\": \"app1\", \"network\": \"n1\", \"address\": \"192.168.1.10\", \"dns\": "
    "[{\"name\": \"app1.example.com\", \"ttl\": 3600}, \"WWW.example.com.\"]},"
    "{\"name\": \"app2\", \"network\": \"n1\", \"address\": \"192.168.1.11\", \"dns\": \"www.example.com\"}],"
    "\"name-servers\": [{\"name\": \"ns1\", \"site\": \"a\", \"address\": \"192.0.2.1\", \"key-file\": "
    "\"/k\", "
    "\"zones\": [\"example.com\", \"1.168.192.in-addr.arpa\", \"1.16.172.in-addr.arpa\"], \"secondaries\": "
    "[\"192.0.2.2\"]}]}";

static struct ferry_topology *load(const char *text)
{
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_parse("t", text, strlen(text), &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

/* ---- Names and record sets. ---- */

static void test_names(void **state)
{
    static const char *const good[][2] = {{"app.example.com", "app.example.com."},
                                          {"APP.Example.COM.", "app.example.com."},
                                          {"_x.a-b.c", "_x.a-b.c."}};
    static const char *const bad[] = {"",      ".",    "com",   "a..b",  "-a.b", "a-.b",
                                      "a b.c", ".a.b", "a.b..", "a\n.b", "a/b.c"};
    char name[FERRY_DNS_NAME_LEN], label[80] = "", most[300] = "";
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(good); i++) {
        assert_true(ferry_dns_name(good[i][0], name));
        assert_string_equal(name, good[i][1]);
    }
    for (size_t i = 0; i < FERRY_COUNT(bad); i++)
        if (ferry_dns_name(bad[i], name))
            fail_msg("taken: '%s'", bad[i]);
    memset(label, 'a', 63);
    for (int i = 0; i < 3; i++)
        strcat(strcat(most, label), ".");
    label[61] = '\0';
    strcat(most, label); /* 253 */
    assert_true(ferry_dns_name(most, name));
    assert_int_equal(strlen(name), 254);
    strcat(most, "a");
    assert_false(ferry_dns_name(most, name));
}

static void test_names_of_addresses(void **state)
{
    struct ferry_addr a;
    struct ferry_err err;
    char name[FERRY_DNS_NAME_LEN];
    (void)state;
    assert_int_equal(ferry_addr_parse("192.168.1.10", &a, &err), 0);
    ferry_dns_reverse(&a, name);
    assert_string_equal(name, "10.1.168.192.in-addr.arpa.");
    assert_true(ferry_dns_is_reverse(name));
    assert_int_equal(ferry_addr_parse("2001:db8::567:89ab", &a, &err), 0); /* RFC 3596 §2.5's form */
    ferry_dns_reverse(&a, name);
    assert_string_equal(name, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.");
    assert_true(ferry_dns_is_reverse(name));
    assert_false(ferry_dns_is_reverse("arpa.example.com."));
    assert_false(ferry_dns_is_reverse("xin-addr.arpa."));
}

static void test_the_longest_zone_has_the_name(void **state)
{
    static const char zones[] = "example.com. sub.example.com. ample.com.";
    size_t len;
    (void)state;
    assert_ptr_equal(ferry_dns_zone(zones, "a.sub.example.com.", &len), zones + 13);
    assert_int_equal(len, strlen("sub.example.com."));
    assert_ptr_equal(ferry_dns_zone(zones, "asub.example.com.", &len), zones);
    assert_ptr_equal(ferry_dns_zone(zones, "example.com.", &len), zones);
    assert_null(ferry_dns_zone(zones, "com.", &len));
    assert_null(ferry_dns_zone(NULL, "example.com.", &len));
}

static const struct ferry_entry *entry(struct ferry_pool *pool, const char *text)
{
    struct ferry_entry e = {.type = FERRY_DNS,
                            .metric = FERRY_DNS_A,
                            .native = (const uint8_t *)text,
                            .native_len = (uint32_t)strlen(text)};
    return ferry_pool_entry(pool, &e);
}

static void test_record_sets_and_what_stands_between(void **state)
{
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_rrset set = {.ttl = 300};
    char text[200];
    (void)state;
    ferry_rrset_add(&set, "10.0.0.2");
    ferry_rrset_add(&set, "10.0.0.1");
    ferry_rrset_add(&set, "10.0.0.2");
    assert_int_equal(set.n, 2);
    const struct ferry_entry *a = ferry_rrset_entry(pool, FERRY_DNS_A, &set), *b = entry(pool, "30 10.0.0.3");
    assert_ptr_equal(a, entry(pool, "300 10.0.0.1 10.0.0.2"));
    assert_string_equal(ferry_entry_text(a, text, sizeof text), "dns A 300 10.0.0.1 10.0.0.2");
    ferry_rrset_remove(&set, "10.0.0.1");
    ferry_rrset_remove(&set, "10.0.0.2");
    assert_null(ferry_rrset_entry(pool, FERRY_DNS_A, &set));
    ferry_rrset_clear(&set);
    assert_true(ferry_rrset_of_entry(a, &set));
    assert_int_equal(set.n, 2);
    ferry_rrset_clear(&set);
    assert_false(ferry_rrset_of_entry(entry(pool, "CNAME x.y."), &set));
    assert_false(ferry_rrset_of_entry(entry(pool, "300 10.0.0.1 !192.0.2.2 ?"), &set));
    const struct ferry_entry *split =
        entry(pool, "30 10.0.0.3 !192.0.2.2 300 10.0.0.1 10.0.0.2 !192.0.2.3 ?");
    assert_true(ferry_dns_between(split, a, b));
    assert_true(ferry_dns_between(split, b, a));
    assert_string_equal(ferry_entry_text(split, text, sizeof text),
                        "dns A 30 10.0.0.3, but 192.0.2.2: 300 10.0.0.1 10.0.0.2, but 192.0.2.3: ?");
    assert_false(ferry_dns_between(split, a, NULL));
    assert_false(ferry_dns_between(a, a, b)); /* they agree */
    assert_false(ferry_dns_between(entry(pool, "30 10.0.0.3 !192.0.2.2 300 10.9.9.9"), a, b));
    assert_true(ferry_dns_between(entry(pool, "- !192.0.2.2 30 10.0.0.3"), NULL, b));
    ferry_pool_free(pool);
}

/* ---- Plans. ---- */

struct made {
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_address_rows rows;
    struct ferry_dns_questions q;
    struct ferry_plan *plan;
    struct ferry_err err;
    int result;
};

/* A plan of nothing but records; `found` changes what servers hold, before. */
static struct made make(int what, uint32_t ttl, void (*found)(struct made *m))
{
    struct made m = {.t = load(topology_text), .pool = ferry_pool_new()};
    struct ferry_dns_terms terms = {.ttl = ttl};
    struct ferry_live *live = ferry_live_new(m.t, m.pool, NULL, 0);
    terms.what = what;
    ferry_networks_addresses(m.t, false, NULL, 0, &m.rows);
    assert_int_equal(ferry_plan_make(live, NULL, 0, &m.plan, &m.err), 0);
    ferry_live_free(live);
    ferry_dns_ask(m.t, m.rows.v, m.rows.n, &terms, &m.q);
    ferry_dns_assume(m.t, m.rows.v, m.rows.n, m.pool, &m.q);
    if (found)
        found(&m);
    m.result = ferry_plan_dns(m.plan, m.t, m.rows.v, m.rows.n, &m.q, &terms, &m.err);
    return m;
}

static void unmake(struct made *m)
{
    ferry_plan_free(m->plan);
    ferry_dns_questions_clear(&m->q);
    ferry_address_rows_clear(&m->rows);
    ferry_pool_free(m->pool);
    ferry_topology_free(m->t);
}

static struct ferry_dns_question *question(struct made *m, const char *name)
{
    for (size_t i = 0; i < m->q.n; i++)
        if (strcmp(m->q.v[i].name, name) == 0)
            return &m->q.v[i];
    fail_msg("%s is not asked for", name);
    return NULL;
}

static void holds(struct made *m, const char *name, const char *text)
{
    const struct ferry_entry *e = text ? entry(m->pool, text) : NULL;
    question(m, name)->found = ferry_pool_stack(m->pool, &e, e != NULL);
}

/* "NAME TYPE: before -> after" of every change, a line each. */
static void check_changes(const struct ferry_plan *plan, const char *wanted)
{
    char all[2000] = "", before[300], after[300], name[300];
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            assert_int_equal(c->kind, FERRY_KIND_DNS);
            assert_true(ferry_plan_is_name_server(plan, c->router));
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s: %s -> %s\n",
                     ferry_change_name(plan, c, name, sizeof name),
                     ferry_entry_text(c->before, before, sizeof before),
                     ferry_entry_text(c->after, after, sizeof after));
        }
    assert_string_equal(all, wanted);
}

#define MOVE                                                                                                 \
    "app1.example.com. A: dns A 3600 192.168.1.10 -> dns A 3600 172.16.1.10\n"                               \
    "www.example.com. A: dns A 300 192.168.1.10 192.168.1.11 -> dns A 300 172.16.1.10 172.16.1.11\n"         \
    "10.1.168.192.in-addr.arpa. PTR: dns PTR 3600 app1.example.com. -> nothing\n"                            \
    "10.1.16.172.in-addr.arpa. PTR: nothing -> dns PTR 3600 app1.example.com.\n"                             \
    "11.1.168.192.in-addr.arpa. PTR: dns PTR 300 www.example.com. -> nothing\n"                              \
    "11.1.16.172.in-addr.arpa. PTR: nothing -> dns PTR 300 www.example.com.\n"

static void test_records_follow_machines_also_where_two_share_a_name(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, NULL);
    struct ferry_proof proof = {0};
    if (m.result)
        fail_msg("%s", m.err.text);
    check_changes(m.plan, MOVE);
    assert_int_equal(m.plan->n_stages, 1);
    assert_int_equal(m.plan->stages[0].phase, FERRY_SETTLE);
    assert_int_equal(m.plan->n_warnings, 2); /* the TTLs */
    assert_int_equal(ferry_prove(m.plan, 12, &proof, &m.err), 0);
    ferry_proof_clear(&proof);
    unmake(&m);
}

static void test_the_undo_is_the_same_backwards(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, NULL);
    struct ferry_plan *undo = NULL, *again = NULL;
    struct ferry_proof proof = {0};
    assert_int_equal(ferry_plan_reverse(m.plan, &undo, &m.err), 0);
    assert_int_equal(ferry_prove(undo, 12, &proof, &m.err), 0);
    ferry_proof_clear(&proof);
    assert_int_equal(ferry_plan_reverse(undo, &again, &m.err), 0);
    check_changes(again, MOVE);
    ferry_plan_free(undo);
    ferry_plan_free(again);
    unmake(&m);
}

static void test_the_document_comes_back_the_same_and_fits_its_topology(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, NULL);
    struct ferry_plan *read = NULL;
    bool matches = false;
    char *text = ferry_plan_write(m.plan, true);
    if (ferry_plan_parse("p", text, strlen(text), &read, &matches, &m.err) < 0)
        fail_msg("%s", m.err.text);
    assert_true(matches);
    check_changes(read, MOVE);
    char *again = ferry_plan_write(read, true);
    assert_string_equal(text, again);
    if (ferry_plan_fit(read, m.t, &m.err) < 0)
        fail_msg("%s", m.err.text);
    assert_string_equal(read->id, m.plan->id);
    free(text);
    free(again);
    ferry_plan_free(read);
    unmake(&m);
}

/* Replaces the first `old` in a written plan. */
static void refuses_document(const char *old, const char *new, const char *words)
{
    struct made m = make(FERRY_DNS_MOVE, 0, NULL);
    struct ferry_plan *read = NULL;
    struct ferry_proof proof = {0};
    char *text = ferry_plan_write(m.plan, false), *at = strstr(text, old);
    assert_non_null(at);
    char *changed = ferry_asprintf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    int r = ferry_plan_parse("p", changed, strlen(changed), &read, NULL, &m.err);
    if (r == 0)
        r = ferry_prove(read, 12, &proof, &m.err);
    if (r == 0)
        r = ferry_plan_fit(read, m.t, &m.err);
    if (r == 0)
        fail_msg("taken: %s", new);
    if (!strstr(m.err.text, words))
        fail_msg("%s: wanted %s", m.err.text, words);
    ferry_proof_clear(&proof);
    free(text);
    free(changed);
    ferry_plan_free(read);
    unmake(&m);
}

static void test_documents_that_cannot_be(void **state)
{
    (void)state;
    refuses_document("\"data\":[\"192.168.1.10\"]", "\"data\":[\"192.168.1.010\"]", "cannot be the data");
    refuses_document("\"data\":[\"192.168.1.10\"]", "\"data\":[\"192.168.1.10\",\"192.168.1.10\"]",
                     "stands twice");
    refuses_document("\"data\":[\"192.168.1.10\"]", "\"data\":[]", "1 to 1024");
    refuses_document("\"record\":\"A\"", "\"record\":\"TXT\"", "none of A, AAAA, PTR");
    refuses_document("\"ttl\":3600", "\"ttl\":3601", "expects");
    refuses_document("\"name\":\"app1.example.com.\"", "\"name\":\"app1.example.com\"", "no domain name");
    refuses_document("\"name\":\"app1.example.com.\"", "\"name\":\"other.example.com.\"",
                     "no machine's name");
    refuses_document("\"kind\":\"dns\"", "\"kind\":\"gateway\"", "is a name");
    refuses_document("\"key_file\":\"/k\"", "\"key_file\":\"/etc/shadow\"", "another driver");
    refuses_document("{\"router\":\"ns1\"", "{\"router\":\"r1\"", "no name server");
}

static void test_the_ttl_alone_ahead_and_restored(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_TTL, 30, NULL);
    assert_int_equal(m.result, 0);
    check_changes(
        m.plan,
        "app1.example.com. A: dns A 3600 192.168.1.10 -> dns A 30 192.168.1.10\n"
        "www.example.com. A: dns A 300 192.168.1.10 192.168.1.11 -> dns A 30 192.168.1.10 192.168.1.11\n");
    unmake(&m);
}

static void app1_is_low(struct made *m)
{
    holds(m, "app1.example.com.", "30 172.16.1.10");
}

static void test_the_ttl_goes_back_to_what_the_topology_says(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_TTL_RESTORE, 0, app1_is_low);
    assert_int_equal(m.result, 0);
    check_changes(m.plan, "app1.example.com. A: dns A 30 172.16.1.10 -> dns A 3600 172.16.1.10\n");
    assert_int_equal(m.plan->n_warnings, 1); /* www, of two machines: no TTL is said */
    unmake(&m);
}

static void somebody_elses(struct made *m)
{
    holds(m, "app1.example.com.", "300 10.9.9.9");
}

static void test_a_name_that_leads_elsewhere_is_refused(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, somebody_elses);
    assert_int_equal(m.result, -FERRY_EREFUSED);
    assert_string_equal(m.err.rule, "dns-record");
    assert_non_null(strstr(m.err.text, "10.9.9.9"));
    unmake(&m);
}

static void odd(struct made *m)
{
    holds(m, "app1.example.com.", "CNAME x.example.com.");
}

static void test_an_alias_is_refused(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, odd);
    assert_int_equal(m.result, -FERRY_EREFUSED);
    assert_string_equal(m.err.rule, "dns-record");
    unmake(&m);
}

static void moved_but_for_others(struct made *m)
{
    holds(m, "app1.example.com.", "3600 10.9.9.9 172.16.1.10");
    holds(m, "www.example.com.", NULL);
    struct ferry_dns_question *q = question(m, "10.1.168.192.in-addr.arpa.");
    q->found = NULL; /* it had no reverse record: it gets none */
    question(m, "11.1.168.192.in-addr.arpa.")->found = NULL;
}

static void test_what_is_there_stays_what_is_missing_is_made(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, moved_but_for_others);
    if (m.result)
        fail_msg("%s", m.err.text);
    check_changes(m.plan, "www.example.com. A: nothing -> dns A 300 172.16.1.10 172.16.1.11\n");
    unmake(&m);
}

static void silent(struct made *m)
{
    m->q.silent = ferry_calloc(1, sizeof *m->q.silent);
    m->q.silent[0] = true;
}

static void test_a_silent_name_server_refuses_and_can_be_left_out(void **state)
{
    (void)state;
    struct made m = make(FERRY_DNS_MOVE, 0, silent);
    assert_int_equal(m.result, -FERRY_EREFUSED);
    assert_string_equal(m.err.rule, "name-server");
    struct ferry_overrides overrides = {0};
    struct ferry_dns_terms terms = {.overrides = &overrides};
    assert_int_equal(ferry_overrides_add(&overrides, "name-server", &m.err), 0);
    assert_int_equal(ferry_plan_dns(m.plan, m.t, m.rows.v, m.rows.n, &m.q, &terms, &m.err), 0);
    assert_int_equal(m.plan->n_stages, 0);
    assert_non_null(m.plan->overrides.v[0].refused);
    ferry_overrides_clear(&overrides);
    unmake(&m);
}

/* ---- The topology file. ---- */

static void refuses_topology(const char *old, const char *new, const char *words)
{
    const char *at = strstr(topology_text, old);
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    assert_non_null(at);
    char *text = ferry_asprintf("%.*s%s%s", (int)(at - topology_text), topology_text, new, at + strlen(old));
    if (ferry_topology_parse("t", text, strlen(text), &t, NULL, &err) == 0)
        fail_msg("taken: %s", new);
    if (!strstr(err.text, words))
        fail_msg("%s: wanted %s", err.text, words);
    free(text);
}

static void test_topologies_that_cannot_be(void **state)
{
    (void)state;
    refuses_topology("\"192.0.2.1\"", "\"ns.example.com\"", "is not an IPv4");
    refuses_topology("[\"192.0.2.2\"]", "[\"192.0.2.1\"]", "stands twice");
    refuses_topology("\"zones\": [\"example.com\", \"1.168.192.in-addr.arpa\", \"1.16.172.in-addr.arpa\"]",
                     "\"zones\": []", "'zones' is missing");
    refuses_topology("\"example.com\", \"1.168", "\"exa mple.com\", \"1.168", "not a domain name");
    refuses_topology("\"key-file\": \"/k\", ", "", "key-file");
    refuses_topology("\"/k\"", "\"/k;x\"", "cannot be a key-file");
    refuses_topology("\"name\": \"ns1\"", "\"name\": \"r1\"", "there is a router 'r1' already");
    refuses_topology("\"dns\": \"www.example.com\"", "\"dns\": \"www\"", "not a domain name");
    refuses_topology("\"ttl\": 3600", "\"ttl\": 0", "ttl");
    refuses_topology("\"WWW.example.com.\"", "\"APP1.example.com.\"", "stands twice");
    refuses_topology("\"address\": \"192.0.2.1\"", "\"address\": \"192.0.2.1\", \"secret\": \"x\"", "secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_of_addresses),
        cmocka_unit_test(test_the_longest_zone_has_the_name),
        cmocka_unit_test(test_record_sets_and_what_stands_between),
        cmocka_unit_test(test_records_follow_machines_also_where_two_share_a_name),
        cmocka_unit_test(test_the_undo_is_the_same_backwards),
        cmocka_unit_test(test_the_document_comes_back_the_same_and_fits_its_topology),
        cmocka_unit_test(test_documents_that_cannot_be),
        cmocka_unit_test(test_the_ttl_alone_ahead_and_restored),
        cmocka_unit_test(test_the_ttl_goes_back_to_what_the_topology_says),
        cmocka_unit_test(test_a_name_that_leads_elsewhere_is_refused),
        cmocka_unit_test(test_an_alias_is_refused),
        cmocka_unit_test(test_what_is_there_stays_what_is_missing_is_made),
        cmocka_unit_test(test_a_silent_name_server_refuses_and_can_be_left_out),
        cmocka_unit_test(test_topologies_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
