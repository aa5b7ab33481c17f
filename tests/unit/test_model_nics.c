/* model: what a NIC is at the target, and what address is asked for it.  Each test is named after its rule
 * (docs/site-recovery.md).  SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "address_rows.h"

#include "base/mem.h"
#include <ferry/networks.h>
#include <string.h>

/* Two networks with the same addresses, at sites e and w; "from" is mapped to "to".  Router rw has .2 at w. */
#define TOPOLOGY                                                                                             \
    "{\"ferry\": 1, \"name\": \"t\", \"sites\": [{\"name\": \"e\"}, {\"name\": \"w\"}], \"subnets\": [],"    \
    "\"routers\": [{\"name\": \"rw\", \"site\": \"w\", \"driver\": {\"type\": \"sim\"}, \"interfaces\":"     \
    " [{\"name\": \"lan\", \"addresses\": [\"10.1.0.2/24\"]}]}],"                                            \
    "\"servers\": [{\"name\": \"se\", \"site\": \"e\"}, {\"name\": \"sw\", \"site\": \"w\"}],"               \
    "\"logical-networks\": [{\"name\": \"l\"}], \"vm-networks\": ["                                          \
    "{\"name\": \"from\", \"logical-network\": \"l\", \"server\": \"se\", \"subnets\":"                      \
    " [{\"name\": \"a\", \"prefix\": \"10.1.0.0/24\"}], \"pool\": [\"10.1.0.1-10.1.0.9\"]},"                 \
    "{\"name\": \"to\", \"logical-network\": \"l\", \"server\": \"sw\", \"subnets\":"                        \
    " [{\"name\": \"a\", \"prefix\": \"10.1.0.0/24\"}], \"pool\": [\"10.1.0.1-10.1.0.9\"]}],"                \
    "\"mappings\": [{\"source\": \"from\", \"target\": \"to\"}], \"workloads\": [%s]}"

#define NIC(name, address, rest)                                                                             \
    "{\"name\": \"" name "\", \"network\": \"from\", \"address\": \"" address "\"" rest "}"
#define NICS(name, nics) "{\"name\": \"" name "\", \"nics\": [" nics "]}"
#define TYPE(type)       ", \"target-type\": \"" type "\""
#define ASKS(address)    ", \"target-address\": \"" address "\""
#define MACHINE(name, network, address, rest)                                                                \
    "{\"name\": \"" name "\", \"network\": \"" network "\", \"address\": \"" address "\"" rest "}"
#define LEFT_OUT TYPE("not-created")

static struct ferry_topology *make(const char *workloads)
{
    FERRY_AUTOFREE char *text = ferry_asprintf(TOPOLOGY, workloads);
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_parse("test", text, strlen(text), &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static void check(const char *workloads, bool failback, const struct want *want, size_t n)
{
    struct ferry_topology *t = make(workloads);
    check_rows(t, failback, NULL, 0, want, n);
    ferry_topology_free(t);
}
#define CHECK(workloads, failback, ...)                                                                      \
    do {                                                                                                     \
        const struct want want[] = {__VA_ARGS__};                                                            \
        check(workloads, failback, want, FERRY_COUNT(want));                                                 \
    } while (0)

/* ---- What a NIC is at the target. ---- */

static void check_types(const char *nics, const char *want)
{
    FERRY_AUTOFREE char *machine = ferry_asprintf("{\"name\": \"m\", \"nics\": [%s]}", nics);
    struct ferry_topology *t = make(machine);
    FERRY_AUTOFREE char *got = ferry_strdup("");
    for (size_t i = 0; i < t->networks->workloads[0].n_nics; i++) {
        FERRY_AUTOFREE char *before = got;
        got = ferry_asprintf("%s%s%s", before, *before ? " " : "",
                             ferry_nic_type_name(t->networks->workloads[0].nics[i].type));
    }
    assert_string_equal(got, want);
    ferry_topology_free(t);
}

static void one_nic_is_primary_the_others_are_secondary(void **state)
{
    (void)state;
    check_types(NIC("a", "10.1.0.4", ""), "primary");
    check_types(NIC("a", "10.1.0.4", "") ", " NIC("b", "10.1.0.5", ""), "primary secondary");
    check_types(NIC("a", "10.1.0.4", "") ", " NIC("b", "10.1.0.5", TYPE("primary")), "secondary primary");
    check_types(NIC("a", "10.1.0.4", TYPE("secondary")) ", " NIC("b", "10.1.0.5", ""), "secondary primary");
    check_types(NIC("a", "10.1.0.4", LEFT_OUT) ", " NIC("b", "10.1.0.5", "") ", " NIC("c", "10.1.0.6", ""),
                "not-created primary secondary");
}

/* Not even one that it could have kept; which others may then get. */
static void a_nic_that_is_not_created_gets_no_address(void **state)
{
    (void)state;
    CHECK(NICS("m", NIC("a", "10.1.0.4", "") ", " NIC("b", "10.1.0.5", LEFT_OUT)), false,
          {"to", "10.1.0.4", FERRY_ADDRESS_KEPT}, {NULL, NULL, FERRY_ADDRESS_NOT_CREATED});
    CHECK(NICS("m", NIC("a", "10.1.0.77", "") ", " NIC("b", "10.1.0.1", LEFT_OUT)), false,
          {"to", "10.1.0.1", FERRY_ADDRESS_OUTSIDE}, {NULL, NULL, FERRY_ADDRESS_NOT_CREATED});
}

static void failback_gives_a_nic_that_was_not_created_back_as_it_was(void **state)
{
    struct ferry_topology *t = make(NICS("m", NIC("a", "10.1.0.4", "") ", " NIC("b", "10.1.0.77", LEFT_OUT)));
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    (void)state;
    CHECK(NICS("m", NIC("a", "10.1.0.4", "") ", " NIC("b", "10.1.0.77", LEFT_OUT)), true,
          {"from", "10.1.0.4", FERRY_ADDRESS_OWN}, {"from", "10.1.0.77", FERRY_ADDRESS_OWN});
    ferry_networks_addresses(t, true, NULL, 0, &rows);
    assert_int_equal(rows.v[1].from, FERRY_NONE);
    assert_int_equal(rows.v[1].before.family, 0);
    assert_int_equal(rows.v[1].path, FERRY_FAILBACK_NOT_CREATED);
    ferry_topology_free(t);
}

/* ---- What is asked for. ---- */

static void an_address_that_is_asked_for_and_free_is_given(void **state)
{
    (void)state;
    CHECK(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.7")), false, {"to", "10.1.0.7", FERRY_ADDRESS_ASKED});
    CHECK(MACHINE("m", "from", "10.1.0.77", ASKS("10.1.0.7")), false,
          {"to", "10.1.0.7", FERRY_ADDRESS_ASKED});
    CHECK(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.5")), false, {"to", "10.1.0.5", FERRY_ADDRESS_ASKED});
}

/* The first machine would get .1 without. */
static void what_is_asked_for_is_given_before_others_are_handed_out(void **state)
{
    (void)state;
    CHECK(MACHINE("a", "from", "10.1.0.77", "") ", " MACHINE("b", "from", "10.1.0.78", ASKS("10.1.0.1")),
          false, {"to", "10.1.0.3", FERRY_ADDRESS_OUTSIDE}, {"to", "10.1.0.1", FERRY_ADDRESS_ASKED});
}

static void two_machines_may_change_their_addresses(void **state)
{
    (void)state;
    CHECK(MACHINE("a", "from", "10.1.0.5", ASKS("10.1.0.6")) ", " MACHINE("b", "from", "10.1.0.6",
                                                                          ASKS("10.1.0.5")),
          false, {"to", "10.1.0.6", FERRY_ADDRESS_ASKED}, {"to", "10.1.0.5", FERRY_ADDRESS_ASKED});
}

static void every_address_may_ask_for_its_own(void **state)
{
    (void)state;
    CHECK("{\"name\": \"m\", \"network\": \"from\", \"addresses\": [\"10.1.0.4\", {\"address\": \"10.1.0.5\""
          ", \"target-address\": \"10.1.0.8\"}, {\"address\": \"10.1.0.6\"}]}",
          false, {"to", "10.1.0.4", FERRY_ADDRESS_KEPT}, {"to", "10.1.0.8", FERRY_ADDRESS_ASKED},
          {"to", "10.1.0.6", FERRY_ADDRESS_KEPT});
}

static void on_the_way_back_nothing_is_asked_for(void **state)
{
    (void)state;
    CHECK(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.7")), true, {"from", "10.1.0.5", FERRY_ADDRESS_OWN});
}

/* Of one machine, m; `why` as the rows say it, `reserved`: what is reserved for somebody else. */
static void check_unavailable(const char *workloads, const char *reserved, enum ferry_address_why why,
                              const char *after, const char *text)
{
    struct ferry_topology *t = make(workloads);
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    char got[256], address[FERRY_ADDR_STRLEN];
    struct ferry_err err;
    struct ferry_reservation other = {.workload = (char *)(uintptr_t) "other",
                                      .nic = (char *)(uintptr_t) "nic0",
                                      .network = (char *)(uintptr_t) "to"};
    assert_int_equal(ferry_addr_parse("10.1.0.99", &other.own, &err), 0);
    if (reserved)
        assert_int_equal(ferry_addr_parse(reserved, &other.address, &err), 0);
    ferry_networks_addresses(t, false, &other, reserved ? 1 : 0, &rows);
    ferry_address_unavailable_text(t->networks, &rows.v[0], got);
    assert_string_equal(got, text);
    assert_string_equal(ferry_addr_text(&rows.v[0].after, address), after);
    assert_int_equal(rows.v[0].why, why);
    ferry_topology_free(t);
}

static void what_is_not_available_is_the_next_free_one(void **state)
{
    (void)state;
    check_unavailable(
        MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.7")) ", " MACHINE("other", "from", "10.1.0.99", ""),
        NULL, FERRY_ADDRESS_ASKED, "10.1.0.7", "");
    check_unavailable(
        MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.7")) ", " MACHINE("other", "from", "10.1.0.99", ""),
        "10.1.0.7", FERRY_ADDRESS_UNAVAILABLE, "10.1.0.1", "10.1.0.7, which is asked for, is taken by other");
}

/* What the file alone can tell is told of the file. */
static void check_refused(const char *workloads, const char *text)
{
    FERRY_AUTOFREE char *document = ferry_asprintf(TOPOLOGY, workloads);
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    assert_true(ferry_topology_parse("test", document, strlen(document), &t, NULL, &err) < 0);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void what_cannot_be_had_is_refused_at_load(void **state)
{
    (void)state;
    check_refused(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.2")),
                  "10.1.0.2, which is asked for, is taken by rw");
    check_refused(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.77")),
                  "is not in the pool of subnet a of to");
    check_refused(MACHINE("m", "from", "10.1.0.5", ASKS("10.2.0.7")), "is not in subnet a of to");
    check_refused(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.0")), "is not in the pool");
    check_refused(MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.7")) ", " MACHINE("n", "from", "10.1.0.6",
                                                                                  ASKS("10.1.0.7")),
                  "10.1.0.7, which is asked for, is taken by m");
    check_refused(
        MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.6")) ", " MACHINE("k", "from", "10.1.0.6", ""),
        "10.1.0.6, which is asked for, is taken by k");
    check_refused(
        MACHINE("m", "from", "10.1.0.5", ASKS("10.1.0.6")) ", " MACHINE("there", "to", "10.1.0.6", ""),
        "10.1.0.6, which is asked for, is taken by there");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_nic_is_primary_the_others_are_secondary),
        cmocka_unit_test(a_nic_that_is_not_created_gets_no_address),
        cmocka_unit_test(failback_gives_a_nic_that_was_not_created_back_as_it_was),
        cmocka_unit_test(an_address_that_is_asked_for_and_free_is_given),
        cmocka_unit_test(what_is_asked_for_is_given_before_others_are_handed_out),
        cmocka_unit_test(two_machines_may_change_their_addresses),
        cmocka_unit_test(every_address_may_ask_for_its_own),
        cmocka_unit_test(on_the_way_back_nothing_is_asked_for),
        cmocka_unit_test(what_is_not_available_is_the_next_free_one),
        cmocka_unit_test(what_cannot_be_had_is_refused_at_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
