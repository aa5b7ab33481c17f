/* The driver of name servers against real BIND: two servers, TSIG, strangers, lost answers, dead servers.
 * SPDX-License-Identifier: MIT */
#include "named.h"

#include "dns/dns.h"

#include <ferry/dns.h>

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct named named;
static struct ferry_pool *pool;

#define ZONES "example.test. 168.192.in-addr.arpa."

static int open_by(const char *address, const char *key, const char *secondaries, struct ferry_driver **ret,
                   struct ferry_err *err)
{
    struct ferry_driver_config config = {.type = "dns",
                                         .host = (char *)address,
                                         .key_file = (char *)named_file(&named, key),
                                         .zones = ZONES,
                                         .secondaries = (char *)secondaries};
    return ferry_driver_dns.open(&ferry_env_real, &config, "ns1", "/nonexistent", NULL, ret, err);
}

static struct ferry_driver *driver_of(const char *address, const char *key, const char *secondaries)
{
    struct ferry_driver *driver = NULL;
    struct ferry_err err;
    if (open_by(address, key, secondaries, &driver, &err) < 0)
        fail_msg("%s", err.text);
    return driver;
}

/* "300 192.168.1.10" as an entry; NULL: nothing. */
static const struct ferry_entry *set(uint32_t type, const char *text)
{
    struct ferry_entry e = {.type = FERRY_DNS, .metric = type, .native = (const uint8_t *)text};
    if (!text)
        return NULL;
    e.native_len = (uint32_t)strlen(text);
    return ferry_pool_entry(pool, &e);
}

/* What the driver reads; "" for nothing.  Static. */
static const char *seen(struct ferry_driver *driver, const char *name, uint32_t type)
{
    static char text[500];
    struct ferry_query_item item = {.name = name};
    struct ferry_query query = {.items = &item, .n = 1};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (ferry_driver_dns.read(driver, &query, &fib, &err) < 0)
        fail_msg("%s", err.text);
    text[0] = '\0';
    for (size_t i = 0; i < fib.n; i++)
        if (fib.items[i].entry.metric == type) {
            assert_int_equal(fib.items[i].relation, FERRY_EXACT);
            assert_int_equal(fib.items[i].query, 0);
            snprintf(text, sizeof text, "%.*s", (int)fib.items[i].entry.native_len,
                     (const char *)fib.items[i].entry.native);
        }
    ferry_fib_clear(&fib);
    return text;
}

static struct ferry_op op_of(const char *name, uint32_t type, const char *before, const char *after)
{
    return (struct ferry_op){.kind = FERRY_KIND_DNS,
                             .name = name,
                             .metric = type,
                             .before = set(type, before),
                             .after = set(type, after)};
}

static int apply_one(struct ferry_driver *driver, struct ferry_op *op, struct ferry_err *err)
{
    err->text[0] = '\0';
    return ferry_driver_dns.apply(driver, op, 1, err);
}

/* One op of app's A record: what it does, and says. */
static void changes(struct ferry_driver *driver, const char *before, const char *after, int result,
                    enum ferry_outcome outcome, const char *words)
{
    struct ferry_op op = op_of("app.example.test.", FERRY_DNS_A, before, after);
    struct ferry_err err;
    assert_int_equal(apply_one(driver, &op, &err), result);
    if (op.outcome != outcome)
        fail_msg("%s: %s", ferry_outcome_name(op.outcome), op.why ? op.why : "");
    if (words && (!op.why || !strstr(op.why, words)))
        fail_msg("%s: wanted %s", op.why ? op.why : "no reason", words);
    if (op.why && strstr(op.why, "Canary"))
        fail_msg("the secret: %s", op.why);
    ferry_op_clear(&op);
}

static const char *at_primary(const char *name, const char *type)
{
    return named_dig("127.0.0.1", name, type);
}

/* ---- Reading. ---- */

static void test_reads_what_all_servers_hold(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", "127.0.0.2");
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_A), "3600 192.168.1.10");
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_AAAA), "");
    assert_string_equal(seen(driver, "web.example.test.", FERRY_DNS_A), "300 192.168.1.20 192.168.1.21");
    assert_string_equal(seen(driver, "six.example.test.", FERRY_DNS_AAAA), "300 fd00:1::10");
    assert_string_equal(seen(driver, "10.1.168.192.in-addr.arpa.", FERRY_DNS_PTR), "300 app.example.test.");
    assert_string_equal(seen(driver, "nobody.example.test.", FERRY_DNS_A), "");
    assert_string_equal(seen(driver, "alias.example.test.", FERRY_DNS_A), "CNAME app.example.test.");
    ferry_driver_dns.close(driver);
}

static void test_a_server_without_authority_is_not_believed(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", NULL);
    struct ferry_query_item item = {.name = "www.example.org."};
    struct ferry_query query = {.items = &item, .n = 1};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    assert_int_equal(ferry_driver_dns.read(driver, &query, &fib, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    ferry_driver_dns.close(driver);
}

static void test_an_empty_query_selects_nothing(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.9", "key", NULL); /* nobody there */
    struct ferry_query query = {0};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    assert_int_equal(ferry_driver_dns.read(driver, &query, &fib, &err), 0);
    assert_int_equal(fib.n, 0);
    ferry_driver_dns.close(driver);
}

/* ---- Changing. ---- */

static void test_changes_and_undoes_exactly_on_every_server(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", "127.0.0.2");
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10 172.16.1.11", 0, FERRY_DONE, NULL);
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_A), "30 172.16.1.10 172.16.1.11");
    assert_string_equal(at_primary("app.example.test", "A"), "30 172.16.1.10 172.16.1.11");
    assert_string_equal(named_dig("127.0.0.2", "app.example.test", "A"), "30 172.16.1.10 172.16.1.11");
    changes(driver, "30 172.16.1.10 172.16.1.11", "3600 192.168.1.10", 0, FERRY_DONE, NULL);
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_A), "3600 192.168.1.10");
    assert_string_equal(named_dig("127.0.0.2", "app.example.test", "A"), "3600 192.168.1.10");
    ferry_driver_dns.close(driver);
}

static void test_the_ttl_alone_changes_and_goes_back(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key512", NULL); /* hmac-sha512 */
    changes(driver, "3600 192.168.1.10", "30 192.168.1.10", 0, FERRY_DONE, NULL);
    assert_string_equal(at_primary("app.example.test", "A"), "30 192.168.1.10");
    changes(driver, "30 192.168.1.10", "3600 192.168.1.10", 0, FERRY_DONE, NULL);
    assert_string_equal(at_primary("app.example.test", "A"), "3600 192.168.1.10");
    ferry_driver_dns.close(driver);
}

static void test_ptr_and_aaaa_are_made_and_taken_away(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", "127.0.0.2");
    struct ferry_op ops[] = {
        op_of("10.1.168.192.in-addr.arpa.", FERRY_DNS_PTR, "300 app.example.test.", NULL),
        op_of("11.1.168.192.in-addr.arpa.", FERRY_DNS_PTR, NULL, "300 app.example.test."),
        op_of("six.example.test.", FERRY_DNS_AAAA, "300 fd00:1::10", "300 fd00:2::10"),
        op_of("new.example.test.", FERRY_DNS_A, NULL, "60 10.0.0.1"),
    };
    struct ferry_err err;
    if (ferry_driver_dns.check(driver, ops, FERRY_COUNT(ops), &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < FERRY_COUNT(ops); i++)
        assert_int_equal(ops[i].outcome, FERRY_DONE);
    assert_string_equal(at_primary("new.example.test", "A"), ""); /* a check changes nothing */
    assert_int_equal(ferry_driver_dns.apply(driver, ops, FERRY_COUNT(ops), &err), 0);
    for (size_t i = 0; i < FERRY_COUNT(ops); i++)
        assert_int_equal(ops[i].outcome, FERRY_DONE);
    assert_string_equal(seen(driver, "10.1.168.192.in-addr.arpa.", FERRY_DNS_PTR), "");
    assert_string_equal(at_primary("11.1.168.192.in-addr.arpa", "PTR"), "300 app.example.test.");
    assert_string_equal(at_primary("six.example.test", "AAAA"), "300 fd00:2::10");
    for (size_t i = 0; i < FERRY_COUNT(ops); i++) {
        struct ferry_op back = ops[i];
        back.before = ops[i].after;
        back.after = ops[i].before;
        assert_int_equal(apply_one(driver, &back, &err), 0);
        assert_int_equal(back.outcome, FERRY_DONE);
    }
    assert_string_equal(at_primary("10.1.168.192.in-addr.arpa", "PTR"), "300 app.example.test.");
    assert_string_equal(at_primary("11.1.168.192.in-addr.arpa", "PTR"), "");
    assert_string_equal(at_primary("new.example.test", "A"), "");
    ferry_driver_dns.close(driver);
}

/* ---- Compare and set. ---- */

static void test_what_is_not_as_planned_is_stale(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", NULL);
    changes(driver, "3600 192.168.1.99", "30 10.0.0.1", 0, FERRY_STALE, "found 3600 192.168.1.10");
    changes(driver, "300 192.168.1.10", "30 10.0.0.1", 0, FERRY_STALE,
            "found 3600 192.168.1.10"); /* the TTL alone */
    changes(driver, NULL, "30 10.0.0.1", 0, FERRY_STALE, "found 3600");
    struct ferry_op op = op_of("nobody.example.test.", FERRY_DNS_A, "30 10.0.0.1", NULL);
    struct ferry_err err;
    assert_int_equal(apply_one(driver, &op, &err), 0);
    assert_int_equal(op.outcome, FERRY_STALE);
    ferry_op_clear(&op);
    assert_string_equal(at_primary("app.example.test", "A"), "3600 192.168.1.10");
    ferry_driver_dns.close(driver);
}

static void test_a_stranger_who_comes_between_is_found_by_the_server(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.3", "key", NULL);
    middle_set(
        MIDDLE_STRANGER,
        "zone example.test\nupdate delete app.example.test A\nupdate add app.example.test 3600 A 10.9.9.9");
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", 0, FERRY_STALE, "NXRRSET");
    middle_set(MIDDLE_PASS, NULL);
    assert_string_equal(at_primary("app.example.test", "A"), "3600 10.9.9.9"); /* his, untouched */
    named_reset(&named);
    middle_set(MIDDLE_STRANGER,
               "zone example.test\nupdate add app.example.test 3600 A 10.9.9.9"); /* one more */
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", 0, FERRY_STALE, "NXRRSET");
    middle_set(MIDDLE_PASS, NULL);
    assert_string_equal(at_primary("app.example.test", "A"), "3600 10.9.9.9 192.168.1.10");
    middle_set(MIDDLE_STRANGER, "zone example.test\nupdate add new.example.test 60 A 10.9.9.9");
    struct ferry_op op = op_of("new.example.test.", FERRY_DNS_A, NULL, "60 10.0.0.1");
    struct ferry_err err;
    assert_int_equal(apply_one(driver, &op, &err), 0);
    assert_int_equal(op.outcome, FERRY_STALE);
    assert_non_null(strstr(op.why, "YXRRSET"));
    ferry_op_clear(&op);
    middle_set(MIDDLE_PASS, NULL);
    assert_string_equal(at_primary("new.example.test", "A"), "60 10.9.9.9");
    ferry_driver_dns.close(driver);
}

/* ---- Keys. ---- */

static void test_a_wrong_key_is_refused_and_changes_nothing(void **state)
{
    static const char *const wrong[][2] = {{"other-secret", "BADSIG"}, {"other-name", "BADKEY"}};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(wrong); i++) {
        struct ferry_driver *driver = driver_of("127.0.0.1", wrong[i][0], NULL);
        struct ferry_op op = op_of("app.example.test.", FERRY_DNS_A, "3600 192.168.1.10", "30 10.0.0.1");
        struct ferry_err err;
        assert_true(ferry_driver_dns.check(driver, &op, 1, &err) < 0); /* its questions are signed too */
        assert_non_null(strstr(err.text, wrong[i][1]));
        assert_true(apply_one(driver, &op, &err) < 0);
        assert_int_equal(op.outcome, FERRY_REFUSED);
        assert_non_null(strstr(op.why, wrong[i][1]));
        ferry_op_clear(&op);
        ferry_driver_dns.close(driver);
    }
    assert_string_equal(at_primary("app.example.test", "A"), "3600 192.168.1.10");
}

static void test_key_files_that_cannot_be_used(void **state)
{
    static const char *const files[][2] = {{"sha384", "hmac-sha384"},
                                           {"open", "everybody may read"},
                                           {"broken", "no key as tsig-keygen"},
                                           {"missing", "No such file"},
                                           {"primary", "not a regular file"}};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(files); i++) {
        struct ferry_driver *driver = NULL;
        struct ferry_err err;
        assert_int_equal(open_by("127.0.0.1", files[i][0], NULL, &driver, &err), -FERRY_EIO);
        assert_null(driver);
        if (!strstr(err.text, files[i][1]))
            fail_msg("%s: wanted %s", err.text, files[i][1]);
        assert_null(strstr(err.text, NAMED_SECRET));
    }
}

/* ---- Answers that do not come. ---- */

static void test_a_lost_answer_is_unknown_and_read_back(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.3", "key", NULL);
    middle_set(MIDDLE_LOSE, NULL);
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", -FERRY_EUNKNOWN, FERRY_UNKNOWN,
            "without an answer");
    middle_set(MIDDLE_PASS, NULL);
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_A), "30 172.16.1.10"); /* it was made */
    named_reset(&named);
    middle_set(MIDDLE_CUT, NULL);
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", -FERRY_EUNKNOWN, FERRY_UNKNOWN,
            "without an answer");
    middle_set(MIDDLE_PASS, NULL);
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_A), "3600 192.168.1.10"); /* it was not */
    ferry_driver_dns.close(driver);
}

static void test_an_answer_without_a_signature_is_no_answer(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.3", "key", NULL);
    middle_set(MIDDLE_FORGE, NULL);
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", -FERRY_EUNKNOWN, FERRY_UNKNOWN, "not signed");
    middle_set(MIDDLE_PASS, NULL);
    assert_string_equal(at_primary("app.example.test", "A"), "3600 192.168.1.10");
    ferry_driver_dns.close(driver);
}

static void test_ops_behind_a_lost_answer_are_unknown_too(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.3", "key", NULL);
    struct ferry_op ops[] = {
        op_of("app.example.test.", FERRY_DNS_A, "3600 192.168.1.10", "30 172.16.1.10"),
        op_of("new.example.test.", FERRY_DNS_A, NULL, "60 10.0.0.1"),
    };
    struct ferry_err err;
    middle_set(MIDDLE_LOSE, NULL);
    assert_int_equal(ferry_driver_dns.apply(driver, ops, FERRY_COUNT(ops), &err), -FERRY_EUNKNOWN);
    middle_set(MIDDLE_PASS, NULL);
    assert_int_equal(ops[0].outcome, FERRY_UNKNOWN);
    assert_int_equal(ops[1].outcome, FERRY_UNKNOWN); /* it was on its way */
    assert_string_equal(at_primary("app.example.test", "A"), "30 172.16.1.10");
    assert_string_equal(at_primary("new.example.test", "A"), "");
    ferry_ops_clear(ops, FERRY_COUNT(ops));
    ferry_driver_dns.close(driver);
}

/* ---- What cannot be asked for. ---- */

static void test_check_refuses_aliases_foreign_zones_and_routes(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", NULL);
    struct ferry_op ops[] = {
        op_of("alias.example.test.", FERRY_DNS_A, NULL, "60 10.0.0.1"),
        {.kind = FERRY_KIND_ROUTE},
    };
    struct ferry_err err;
    assert_int_equal(ferry_driver_dns.check(driver, ops, FERRY_COUNT(ops), &err), 0);
    assert_int_equal(ops[0].outcome, FERRY_REFUSED);
    assert_non_null(strstr(ops[0].why, "alias"));
    assert_int_equal(ops[1].outcome, FERRY_REFUSED);
    ferry_ops_clear(ops, FERRY_COUNT(ops));
    ferry_driver_dns.close(driver);
}

static void test_native_is_an_nsupdate_that_names_the_key_by_its_file(void **state)
{
    char text[1000];
    struct ferry_driver_config config = {
        .type = "dns", .host = "192.0.2.1", .key_file = "/etc/ferry/key", .zones = ZONES};
    struct ferry_op op = op_of("app.example.test.", FERRY_DNS_A, "3600 192.168.1.10", "30 172.16.1.10");
    (void)state;
    assert_true(ferry_driver_dns.native(&config, &op, text, sizeof text) > 0);
    assert_string_equal(text,
                        "nsupdate -k '/etc/ferry/key' <<'END'\nserver 192.0.2.1 53\nzone example.test.\n"
                        "prereq yxrrset app.example.test. A 192.168.1.10\nupdate delete app.example.test. A\n"
                        "update add app.example.test. 30 A 172.16.1.10\nsend\nEND\n");
}

/* ---- Dead servers: last, as they stay dead. ---- */

static void test_a_silent_secondary_is_said_and_stands_between(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", "127.0.0.2");
    named_kill(&named.secondary);
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", 0, FERRY_DONE, NULL);
    const char *text = seen(driver, "app.example.test.", FERRY_DNS_A);
    assert_string_equal(text, "30 172.16.1.10 !127.0.0.2 ?");
    const struct ferry_entry *found = set(FERRY_DNS_A, text), *before = set(FERRY_DNS_A, "3600 192.168.1.10"),
                             *after = set(FERRY_DNS_A, "30 172.16.1.10");
    assert_false(ferry_entry_equal(found, after, FERRY_CMP_EXACT));
    assert_true(ferry_dns_between(found, before, after));
    changes(driver, "30 172.16.1.10", "3600 192.168.1.10", 0, FERRY_DONE, NULL);
    assert_string_equal(seen(driver, "app.example.test.", FERRY_DNS_A), "3600 192.168.1.10 !127.0.0.2 ?");
    ferry_driver_dns.close(driver);
}

static void test_a_dead_primary_cannot_be_read_nor_changed(void **state)
{
    (void)state;
    struct ferry_driver *driver = driver_of("127.0.0.1", "key", NULL);
    struct ferry_query_item item = {.name = "app.example.test."};
    struct ferry_query query = {.items = &item, .n = 1};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    named_kill(&named.primary);
    assert_int_equal(ferry_driver_dns.read(driver, &query, &fib, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    changes(driver, "3600 192.168.1.10", "30 172.16.1.10", -FERRY_EIO, FERRY_REFUSED, "127.0.0.1");
    ferry_driver_dns.close(driver);
}

static int fresh(void **state)
{
    (void)state;
    named_reset(&named);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reads_what_all_servers_hold, fresh),
        cmocka_unit_test(test_a_server_without_authority_is_not_believed),
        cmocka_unit_test(test_an_empty_query_selects_nothing),
        cmocka_unit_test_setup(test_changes_and_undoes_exactly_on_every_server, fresh),
        cmocka_unit_test_setup(test_the_ttl_alone_changes_and_goes_back, fresh),
        cmocka_unit_test_setup(test_ptr_and_aaaa_are_made_and_taken_away, fresh),
        cmocka_unit_test_setup(test_what_is_not_as_planned_is_stale, fresh),
        cmocka_unit_test_setup(test_a_stranger_who_comes_between_is_found_by_the_server, fresh),
        cmocka_unit_test_setup(test_a_wrong_key_is_refused_and_changes_nothing, fresh),
        cmocka_unit_test(test_key_files_that_cannot_be_used),
        cmocka_unit_test_setup(test_a_lost_answer_is_unknown_and_read_back, fresh),
        cmocka_unit_test_setup(test_an_answer_without_a_signature_is_no_answer, fresh),
        cmocka_unit_test_setup(test_ops_behind_a_lost_answer_are_unknown_too, fresh),
        cmocka_unit_test(test_check_refuses_aliases_foreign_zones_and_routes),
        cmocka_unit_test(test_native_is_an_nsupdate_that_names_the_key_by_its_file),
        cmocka_unit_test_setup(test_a_silent_secondary_is_said_and_stands_between, fresh),
        cmocka_unit_test(test_a_dead_primary_cannot_be_read_nor_changed),
    };
    if (!named_start(&named))
        return 77;
    middle_start(&named);
    pool = ferry_pool_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ferry_pool_free(pool);
    named_stop(&named);
    return failed;
}
