/* The plan document: what is read comes out again byte for byte; what is wrong is refused where it stands.
 * SPDX-License-Identifier: MIT */
#include <ferry/plan.h>

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* Everything a document can say: natives, tables, weights, onlink, unknown neighbours, covers, every type. */
static const char full[] =
    "{\"ferry\": 1, \"kind\": \"plan\", \"mode\": \"undo\","
    "\"topology\": {\"name\": \"t\", \"sha256\": "
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"},"
    "\"routers\": {\"b\": {\"site\": \"north\", \"driver\": {\"type\": \"netlink\", \"netns\": \"b\"}},"
    "\"a\": {\"site\": \"south\", \"driver\": {\"type\": \"frr\", \"transport\": \"ssh\"},"
    "\"vrfs\": {\"red\": 100, \"blue.7\": 4294967295}}, \"c\": {}},"
    "\"groups\": [{\"id\": \"g1\", \"from\": \"north\", \"to\": null,"
    "\"subnets\": [{\"name\": \"app\", \"prefix\": \"fd00:1::/64\", \"gateways\": ["
    "{\"router\": \"a\", \"interface\": \"lan0\", \"address\": \"fd00:1::1/64\", \"native\": \"00ff10\"},"
    "{\"router\": \"b\", \"via\": \"fd00:2::1\"}]}, {\"name\": \"db\", \"prefix\": \"fd00:3::/64\"}],"
    "\"initial\": {\"b\": [{\"type\": \"gateway\", \"metric\": 0},"
    "{\"type\": \"unicast\", \"metric\": 300, \"protocol\": \"static\", \"table\": 100, \"nexthops\": ["
    "{\"router\": \"a\", \"via\": \"fe80::1\", \"dev\": \"x0\", \"weight\": 256, \"onlink\": true},"
    "{\"router\": null, \"via\": \"fe80::2\", \"dev\": \"x1\"}], \"native\": \"0a0b\"}],"
    "\"a\": [{\"type\": \"unreachable\", \"metric\": 4294967295, \"protocol\": \"77\"}]},"
    "\"covers\": {\"c\": {\"prefix\": \"::/0\", \"entry\": {\"type\": \"prohibit\", \"metric\": 1,"
    "\"protocol\": \"bgp\"}}}}],"
    "\"stages\": [{\"phase\": \"prepare\", \"changes\": []}, {\"phase\": \"detach\", \"changes\": ["
    "{\"router\": \"b\", \"group\": \"g1\", \"kind\": \"gateway\", \"table\": 100, \"before\": {\"type\": "
    "\"gateway\"},"
    "\"after\": null, \"why\": \"say \\\"\\\\ \\u0007 \\u00e4\\n\"},"
    "{\"router\": \"c\", \"group\": \"g1\", \"kind\": \"route\", \"metric\": 20, \"table\": 7, \"before\": "
    "null,"
    "\"after\": {\"type\": \"blackhole\", \"metric\": 20, \"table\": 7, \"protocol\": \"ferry\"}}]}],"
    "\"warnings\": [\"one\", \"two\"], \"proof\": {\"states\": \"12\", \"certificate\": \"abc\"}}";

static struct ferry_plan *parse(const char *text, bool *matches)
{
    struct ferry_plan *plan = NULL;
    struct ferry_err err = {0};
    if (ferry_plan_parse("plan.json", text, strlen(text), &plan, matches, &err) < 0)
        fail_msg("%s", err.text);
    return plan;
}

static void test_round_trip(void **state)
{
    (void)state;
    bool matches = false;
    struct ferry_plan *plan = parse(full, &matches);
    assert_true(matches); /* without an id it claims none */
    for (int pretty = 0; pretty < 2; pretty++) {
        FERRY_AUTOFREE char *text = ferry_plan_write(plan, pretty);
        struct ferry_plan *again = parse(text, &matches);
        FERRY_AUTOFREE char *text_again = ferry_plan_write(again, pretty);
        assert_true(matches);
        assert_string_equal(text, text_again);
        assert_string_equal(plan->id, again->id);
        ferry_plan_free(again);
    }
    const struct ferry_entry *e = plan->groups[0].initial[0]->entries[1];
    assert_int_equal(e->table, 100);
    assert_int_equal(e->native_len, 2);
    assert_int_equal(e->n_nexthops, 2);
    assert_int_equal(plan->groups[0].subnets[0].gateways[0].attached->native_len, 3);
    assert_null(plan->groups[0].to);
    assert_int_equal(plan->stages[1].changes[0].table, 100);
    ferry_plan_free(plan);
}

/* Every single value of the document matters to the id, proof and id excepted. */
static void test_identity(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"\"undo\"", "\"planned\""},
        {"weight\": 256", "weight\": 255"},
        {"00ff10", "00ff11"},
        {"\"table\": 7,", "\"table\": 8,"},
        {"lan0", "lan1"},
        {"\"one\"", "\"One\""},
        {"4294967295", "4294967294"},
        {"\"77\"", "\"78\""},
        {"::/0", "8000::/1"},
    };
    struct ferry_plan *plan = parse(full, NULL);
    for (size_t i = 0; i < FERRY_COUNT(edits); i++) {
        char text[sizeof full + 64];
        size_t n = 0;
        for (const char *p = full; *p;) {
            bool here = !strncmp(p, edits[i][0], strlen(edits[i][0]));
            n += (size_t)snprintf(text + n, sizeof text - n, "%.*s", here ? 64 : 1, here ? edits[i][1] : p);
            p += here ? strlen(edits[i][0]) : 1;
        }
        struct ferry_plan *edited = parse(text, NULL);
        if (!strcmp(edited->id, plan->id))
            fail_msg("'%s' for '%s' does not change the id", edits[i][1], edits[i][0]);
        ferry_plan_free(edited);
    }
    ferry_plan_free(plan);
}

#define HEAD "{\"ferry\": 1, \"kind\": \"plan\", "
#define GROUP                                                                                                \
    "\"groups\": [{\"id\": \"g\", \"from\": \"s\", \"to\": \"t\", \"subnets\": [{\"name\": \"n\", "          \
    "\"prefix\": \"10.0.0.0/8\"}], "
#define ONE HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"gateway\"}]}}], "
#define CHANGE(text)                                                                                         \
    ONE "\"stages\": [{\"phase\": \"detach\", \"changes\": [{\"router\": \"a\", \"group\": \"g\", " text     \
        "}]}]}"

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"[]", "an object"},
        {"{\"ferry\": 2, \"kind\": \"plan\"}", "/ferry"},
        {"{\"ferry\": 1, \"kind\": \"topology\"}", "not a plan"},
        {HEAD "\"colour\": 1, \"groups\": [], \"stages\": []}", "colour"},
        {HEAD "\"stages\": []}", "'groups' is missing"},
        {HEAD "\"groups\": []}", "'stages' is missing"},
        {HEAD "\"mode\": \"brave\", \"groups\": [], \"stages\": []}", "/mode"},
        {HEAD "\"topology\": {\"name\": \"x\", \"sha256\": \"zz\"}, \"groups\": [], \"stages\": []}",
         "/topology/sha256"},
        {HEAD "\"routers\": {\"a b\": {}}, \"groups\": [], \"stages\": []}", "'a b' is not a name"},
        {HEAD "\"routers\": {\"a\": {\"vrfs\": {\"a b\": 1}}}, \"groups\": [], \"stages\": []}",
         "'a b' cannot be the name of a VRF"},
        {HEAD "\"routers\": {\"a\": {\"vrfs\": {\"sixteen-letters-\": 1}}}, \"groups\": [], \"stages\": []}",
         "name of a VRF"},
        {HEAD "\"routers\": {\"a\": {\"vrfs\": {\"red\": 0}}}, \"groups\": [], \"stages\": []}",
         "/routers/a/vrfs/red"},
        {HEAD "\"routers\": {\"a\": {\"vrfs\": {\"red\": 254}}}, \"groups\": [], \"stages\": []}",
         "nor main"},
        {HEAD "\"routers\": {\"a\": {\"vrfs\": {\"red\": 7, \"blue\": 7}}}, \"groups\": [], \"stages\": []}",
         "no other VRF's"},
        {HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"tunnel\"}]}}], \"stages\": []}",
         "/groups/0/initial/a/0/type"},
        {HEAD GROUP
         "\"initial\": {\"a\": [{\"type\": \"gateway\"}, {\"type\": \"gateway\"}]}}], \"stages\": []}",
         "already"},
        {HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"unicast\", \"metric\": 1}]}}], \"stages\": []}",
         "nexthops"},
        {HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"blackhole\", \"nexthops\": []}]}}], \"stages\": []}",
         "only a unicast"},
        {HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"blackhole\", \"metric\": -1}]}}], \"stages\": []}",
         "metric"},
        {HEAD GROUP
         "\"initial\": {\"a\": [{\"type\": \"blackhole\", \"native\": \"xy\"}]}}], \"stages\": []}",
         "native"},
        {HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"unicast\", \"nexthops\": [{}]}]}}], \"stages\": []}",
         "needs a router"},
        {HEAD GROUP "\"initial\": {\"a\": [{\"type\": \"unicast\", \"nexthops\": [{\"dev\": \"a/b\"}]}]}}], "
                    "\"stages\": []}",
         "interface name"},
        {HEAD "\"routers\": {\"z\": {}}, " GROUP "\"initial\": {\"a\": []}}], \"stages\": []}",
         "no router 'a'"},
        {HEAD "\"groups\": [{\"id\": \"g\", \"subnets\": [], \"initial\": {}}], \"stages\": []}",
         "subnets are expected"},
        {HEAD "\"groups\": [{\"id\": \"g\", \"subnets\": [{\"name\": \"n\", \"prefix\": \"10.0.0.1/8\"}], "
              "\"initial\": {}}], \"stages\": []}",
         "host bits"},
        {HEAD "\"groups\": [{\"id\": \"g\", \"subnets\": [{\"name\": \"n\", \"prefix\": \"10.0.0.0/8\"}, "
              "{\"name\": \"m\", \"prefix\": \"10.0.0.0/8\"}], \"initial\": {}}], \"stages\": []}",
         "/groups/0/subnets/1/prefix"},
        {HEAD "\"groups\": [{\"id\": \"g\", \"subnets\": [{\"name\": \"n\", \"prefix\": \"10.0.0.0/8\"}, "
              "{\"name\": \"m\", \"prefix\": \"fd00::/8\"}], \"initial\": {}}], \"stages\": []}",
         "share a group"},
        {HEAD "\"groups\": [{\"id\": \"g\", \"subnets\": [{\"name\": \"n\", \"prefix\": \"10.0.0.0/8\", "
              "\"gateways\": [{\"router\": \"a\", \"interface\": \"l\", \"address\": \"11.0.0.1/8\"}]}], "
              "\"initial\": {}}], \"stages\": []}",
         "not one of the subnet's"},
        {ONE "\"stages\": [{\"phase\": \"jump\", \"changes\": []}]}", "/stages/0/phase"},
        {CHANGE("\"kind\": \"tunnel\", \"before\": null, \"after\": null"), "none of route, gateway"},
        {CHANGE("\"kind\": \"dns\", \"before\": null, \"after\": null"), "a group of subnets"},
        {CHANGE("\"kind\": \"gateway\", \"before\": null, \"after\": null"), "both null"},
        {CHANGE("\"kind\": \"gateway\", \"before\": null"), "'after' is missing"},
        {CHANGE("\"kind\": \"gateway\", \"before\": null, \"after\": {\"type\": \"blackhole\"}"),
         "holds gateways"},
        {CHANGE("\"kind\": \"route\", \"before\": null, \"after\": {\"type\": \"blackhole\"}"),
         "'metric' is missing"},
        {CHANGE("\"kind\": \"route\", \"metric\": 5, \"before\": null, \"after\": {\"type\": \"blackhole\", "
                "\"metric\": 6}"),
         "not that of the change's key"},
        {CHANGE("\"kind\": \"route\", \"metric\": 5, \"before\": null, \"after\": {\"type\": \"gateway\"}"),
         "holds routes"},
        {CHANGE("\"kind\": \"gateway\", \"metric\": 3, \"before\": null, \"after\": {\"type\": \"gateway\"}"),
         "metric"},
        {ONE "\"stages\": [{\"phase\": \"detach\", \"changes\": [{\"router\": \"a\", \"group\": \"h\", "
             "\"kind\": \"gateway\", \"before\": null, \"after\": {\"type\": \"gateway\"}}]}]}",
         "no group 'h'"},
        {ONE "\"stages\": [], \"stages\": []}", "stages"},
    };
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_plan *plan = NULL;
        struct ferry_err err = {0};
        int r = ferry_plan_parse("plan.json", cases[i].text, strlen(cases[i].text), &plan, NULL, &err);
        if (r != -FERRY_EINPUT || plan)
            fail_msg("taken: %s", cases[i].text);
        if (strncmp(err.text, "plan.json:1:", 12) || !strstr(err.text, cases[i].expected))
            fail_msg("'%s' does not say where and '%s': %s", err.text, cases[i].expected, cases[i].text);
    }
}

/* Cut anywhere, a document is an error and nothing worse. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof full - 1; n++) {
        struct ferry_plan *plan = NULL;
        struct ferry_err err = {0};
        assert_int_equal(ferry_plan_parse("plan.json", full, n, &plan, NULL, &err), -FERRY_EINPUT);
        assert_null(plan);
    }
}

static void test_load(void **state)
{
    (void)state;
    struct ferry_plan *plan = NULL;
    struct ferry_err err = {0};
    assert_int_equal(ferry_plan_load("/no/such/plan.json", &plan, NULL, &err), -FERRY_EINPUT);
    assert_int_equal(ferry_plan_load("/", &plan, NULL, &err), -FERRY_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_identity), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
