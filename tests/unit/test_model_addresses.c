/* model: which address a machine has after a failover, and why; DHCP ranges.  Each test is named after its rule.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "address_rows.h"

#include "base/mem.h"
#include <ferry/networks.h>
#include <string.h>

static struct ferry_topology *load(const char *path)
{
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_load(path, &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

/* Two sites and a server each; `networks`, `mappings` and `workloads` are filled in. */
static struct ferry_topology *make(const char *networks, const char *workloads)
{
    FERRY_AUTOFREE char *text = ferry_asprintf(
        "{\"ferry\": 1, \"name\": \"t\", \"sites\": [{\"name\": \"e\"}, {\"name\": \"w\"}], \"subnets\": [],"
        "\"routers\": [{\"name\": \"rw\", \"site\": \"w\", \"driver\": {\"type\": \"sim\"}, \"interfaces\":"
        " [{\"name\": \"lan\", \"addresses\": [\"10.1.0.2/24\"]}]}],"
        "\"servers\": [{\"name\": \"se\", \"site\": \"e\"}, {\"name\": \"sw\", \"site\": \"w\"}],"
        "\"logical-networks\": [{\"name\": \"l\"}], \"vm-networks\": [%s],"
        "\"mappings\": [{\"source\": \"from\", \"target\": \"to\"}], \"workloads\": [%s]}",
        networks, workloads);
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_parse("test", text, strlen(text), &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

#define NETWORK(name, server, rest)                                                                          \
    "{\"name\": \"" name "\", \"logical-network\": \"l\", \"server\": \"" server "\", " rest "}"
#define SUBNET(name, prefix) "{\"name\": \"" name "\", \"prefix\": \"" prefix "\"}"
#define MACHINE(name, network, address)                                                                      \
    "{\"name\": \"" name "\", \"network\": \"" network "\", \"address\": \"" address "\"}"
/* The same addresses on both sides. */
#define SAME                                                                                                 \
    NETWORK("from", "se",                                                                                    \
            "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "], \"pool\": [\"10.1.0.1-10.1.0.9\"]")              \
    ", " NETWORK("to", "sw",                                                                                 \
                 "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "], \"pool\": [\"10.1.0.1-10.1.0.9\"]")

static uint32_t network(const struct ferry_topology *t, const char *name)
{
    uint32_t i = ferry_networks_network(t->networks, name);
    if (i == FERRY_NONE)
        fail_msg("there is no network %s", name);
    return i;
}

/* ---- Addresses. ---- */

static void check_failover(struct ferry_topology *t, const struct want *want, size_t n)
{
    check_rows(t, false, NULL, 0, want, n);
    ferry_topology_free(t);
}
#define CHECK_FAILOVER(t, ...)                                                                               \
    do {                                                                                                     \
        const struct want want[] = {__VA_ARGS__};                                                            \
        check_failover(t, want, FERRY_COUNT(want));                                                          \
    } while (0)

static void the_same_address_where_the_pool_has_it_and_it_is_free(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("m", "from", "10.1.0.5")), {"to", "10.1.0.5", FERRY_ADDRESS_KEPT});
}

static void else_the_next_free_one_because_it_is_taken(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("m", "from", "10.1.0.5") ", " MACHINE("x", "to", "10.1.0.5")),
                   {"to", "10.1.0.1", FERRY_ADDRESS_TAKEN}, {NULL, NULL, FERRY_ADDRESS_UNCONNECTED});
}

static void else_the_next_free_one_because_the_pool_has_it_not(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("m", "from", "10.1.0.77")), {"to", "10.1.0.1", FERRY_ADDRESS_OUTSIDE});
}

/* 192.168.1.0/24 -> 172.16.1.0/24: the example of the pages where addresses change. */
static void another_prefix_means_another_address(void **state)
{
    (void)state;
    CHECK_FAILOVER(
        make(NETWORK("from", "se", "\"subnets\": [" SUBNET("apps", "192.168.1.0/24") "]") ", " NETWORK(
                 "to", "sw",
                 "\"subnets\": [" SUBNET("apps", "172.16.1.0/24") "], \"pool\": [\"172.16.1.4-172.16.1.9\"]"),
             MACHINE("m", "from", "192.168.1.10")),
        {"to", "172.16.1.4", FERRY_ADDRESS_OUTSIDE});
}

/* The first machine would get .1, which the second one keeps. */
static void what_can_be_kept_is_kept_before_others_are_handed_out(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("m", "from", "10.1.0.77") ", " MACHINE("k", "from", "10.1.0.1")),
                   {"to", "10.1.0.3", FERRY_ADDRESS_OUTSIDE}, {"to", "10.1.0.1", FERRY_ADDRESS_KEPT});
}

/* rw, at site w, has .2. */
static void an_address_of_a_router_of_the_site_is_not_free(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("m", "from", "10.1.0.2") ", " MACHINE("k", "from", "10.1.0.1")),
                   {"to", "10.1.0.3", FERRY_ADDRESS_TAKEN}, {"to", "10.1.0.1", FERRY_ADDRESS_KEPT});
}

static void a_pool_without_a_free_address_gives_none(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(NETWORK("from", "se", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "]") ", " NETWORK(
                            "to", "sw",
                            "\"subnets\": [" SUBNET(
                                "a", "10.1.0.0/24") "], \"pool\": [\"10.1.0.3\", \"10.1.0.5-10.1.0.6\"]"),
                        MACHINE("a", "from", "10.1.0.5") ", " MACHINE("b", "from", "10.1.0.8") ", " MACHINE(
                            "c", "from", "10.1.0.9") ", " MACHINE("d", "from", "10.1.0.10")),
                   {"to", "10.1.0.5", FERRY_ADDRESS_KEPT}, {"to", "10.1.0.3", FERRY_ADDRESS_OUTSIDE},
                   {"to", "10.1.0.6", FERRY_ADDRESS_OUTSIDE}, {"to", NULL, FERRY_ADDRESS_EXHAUSTED});
}

static void a_subnet_without_a_pool_gives_none(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(NETWORK("from", "se", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "]") ", " NETWORK(
                            "to", "sw", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "]"),
                        MACHINE("m", "from", "10.1.0.5")),
                   {"to", NULL, FERRY_ADDRESS_NO_POOL});
}

/* The pool's other addresses are of another subnet. */
static void an_address_is_of_the_target_subnet(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(NETWORK("from", "se", "\"subnets\": [" SUBNET("b", "10.2.0.0/24") "]") ", " NETWORK(
                            "to", "sw",
                            "\"subnets\": [" SUBNET("a", "10.1.0.0/24") ", " SUBNET(
                                "b", "10.3.0.0/24") "], \"pool\": [\"10.1.0.3\", \"10.3.0.7\"]"),
                        MACHINE("m", "from", "10.2.0.5")),
                   {"to", "10.3.0.7", FERRY_ADDRESS_OUTSIDE});
}

static void every_address_of_every_nic_in_its_own_family(void **state)
{
    struct ferry_topology *t = load(FERRY_SOURCE_DIR "/tests/fixtures/topology/valid/networks.json");
    (void)state;
    CHECK_FAILOVER(t, {"w", "10.1.0.10", FERRY_ADDRESS_KEPT},   /* m1 */
                   {"w", "10.1.0.11", FERRY_ADDRESS_KEPT},      /* m2 front */
                   {"w", "2001:db8:1::11", FERRY_ADDRESS_KEPT}, /* m2 front */
                   {"w", NULL, FERRY_ADDRESS_DHCP},             /* m2 back */
                   {NULL, NULL, FERRY_ADDRESS_UNCONNECTED},     /* m3 */
                   {"w", "10.1.0.12", FERRY_ADDRESS_OUTSIDE});  /* m4, from subnet b */
}

static void unmapped_is_a_state_and_not_an_error(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("m", "to", "10.1.0.5")), {NULL, NULL, FERRY_ADDRESS_UNCONNECTED});
}

static void a_new_machine_follows_its_networks_mapping(void **state)
{
    (void)state;
    CHECK_FAILOVER(make(SAME, MACHINE("old", "from", "10.1.0.5")), {"to", "10.1.0.5", FERRY_ADDRESS_KEPT});
    CHECK_FAILOVER(make(SAME, MACHINE("old", "from", "10.1.0.5") ", " MACHINE("new", "from", "10.1.0.6")),
                   {"to", "10.1.0.5", FERRY_ADDRESS_KEPT}, {"to", "10.1.0.6", FERRY_ADDRESS_KEPT});
}

static void failback_gives_a_machine_its_own_address(void **state)
{
    struct ferry_topology *t = make(SAME, MACHINE("m", "from", "10.1.0.77"));
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    char text[FERRY_ADDR_STRLEN];
    (void)state;
    check_rows(t, true, NULL, 0, &(struct want){"from", "10.1.0.77", FERRY_ADDRESS_OWN}, 1);
    ferry_networks_addresses(t, true, NULL, 0, &rows);
    assert_int_equal(rows.v[0].from, network(t, "to")); /* where failover put it, with what it was given */
    assert_string_equal(ferry_addr_text(&rows.v[0].before, text), "10.1.0.1");
    ferry_topology_free(t);
}

/* ---- Reservations. ---- */

static struct ferry_reservation reservation(const char *workload, const char *own, const char *address)
{
    struct ferry_reservation r = {.workload = (char *)(uintptr_t)workload,
                                  .nic = (char *)(uintptr_t) "nic0",
                                  .network = (char *)(uintptr_t) "to"};
    struct ferry_err err;
    assert_int_equal(ferry_addr_parse(own, &r.own, &err), 0);
    assert_int_equal(ferry_addr_parse(address, &r.address, &err), 0);
    return r;
}

static void a_reserved_address_is_its_machines_and_nobody_elses(void **state)
{
    struct ferry_topology *t =
        make(SAME, MACHINE("new", "from", "10.1.0.1") ", " MACHINE("m", "from", "10.1.0.77"));
    struct ferry_reservation kept = reservation("m", "10.1.0.77", "10.1.0.1");
    const struct want want[] = {{"to", "10.1.0.3", FERRY_ADDRESS_TAKEN},
                                {"to", "10.1.0.1", FERRY_ADDRESS_RESERVED}};
    (void)state;
    check_rows(t, false, &kept, 1, want, 2);
    ferry_topology_free(t);
}

static void a_reservation_that_does_not_hold_any_more_is_said(void **state)
{
    struct ferry_topology *t =
        make(SAME, MACHINE("m", "from", "10.1.0.5") ", " MACHINE("x", "to", "10.1.0.8"));
    struct ferry_reservation kept = reservation("m", "10.1.0.5", "10.1.0.8");
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    char text[FERRY_ADDR_STRLEN];
    (void)state;
    ferry_networks_addresses(t, false, &kept, 1, &rows);
    assert_true(rows.v[0].stale);
    assert_string_equal(ferry_addr_text(&rows.v[0].after, text), "10.1.0.5");
    ferry_topology_free(t);
}

static void a_reservation_is_of_the_network_that_is_mapped(void **state)
{
    struct ferry_topology *t = make(SAME, MACHINE("m", "from", "10.1.0.5"));
    struct ferry_reservation kept = reservation("m", "10.1.0.5", "10.1.0.8");
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    (void)state;
    kept.network = "elsewhere";
    ferry_networks_addresses(t, false, &kept, 1, &rows);
    assert_true(rows.v[0].stale);
    assert_int_equal(rows.v[0].why, FERRY_ADDRESS_KEPT);
    ferry_topology_free(t);
}

/* ---- DHCP. ---- */

static void check_dhcp(const char *from, const char *to, const char *missing)
{
    FERRY_AUTOFREE char *networks = ferry_asprintf(
        NETWORK("from", "se", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "], \"dhcp\": [%s]") ", " NETWORK(
            "to", "sw", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "], \"dhcp\": [%s]"),
        from, to);
    struct ferry_topology *t = make(networks, "");
    struct ferry_range range;
    char text[FERRY_RANGE_STRLEN];
    bool covered = ferry_dhcp_covers(&t->networks->networks[0], 0, &t->networks->networks[1], 0, &range);
    assert_string_equal(covered ? "" : ferry_range_text(&range, text), missing);
    ferry_topology_free(t);
}

static void the_targets_dhcp_range_covers_the_sources(void **state)
{
    (void)state;
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "\"10.1.0.10-10.1.0.20\"", "");
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "\"10.1.0.1-10.1.0.200\"", "");
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "\"10.1.0.15-10.1.0.30\", \"10.1.0.2-10.1.0.14\"", "");
    check_dhcp("", "", "");
}

static void what_it_does_not_cover_is_named(void **state)
{
    (void)state;
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "", "10.1.0.10-10.1.0.20");
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "\"10.1.0.10-10.1.0.19\"", "10.1.0.20");
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "\"10.1.0.11-10.1.0.30\"", "10.1.0.10");
    check_dhcp("\"10.1.0.10-10.1.0.20\"", "\"10.1.0.10-10.1.0.12\", \"10.1.0.16-10.1.0.30\"",
               "10.1.0.13-10.1.0.15");
}

/* ---- Random topologies: no address twice, whatever there is. ---- */

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

static char *random_machines(void)
{
    bool used[2][32] = {{false}};
    char *list = ferry_strdup("");
    for (unsigned i = 0; i < 24; i++) {
        unsigned side = random_below(3) == 0, host = 1 + random_below(31);
        if (used[side][host])
            continue;
        used[side][host] = true;
        char *longer =
            ferry_asprintf("%s%s{\"name\": \"m%u\", \"network\": \"%s\", \"address\": \"10.1.0.%u\"}", list,
                           *list ? ", " : "", i, side ? "to" : "from", host);
        free(list);
        list = longer;
    }
    return list;
}

static void no_address_of_a_network_is_given_twice(void **state)
{
    (void)state;
    for (seed = 1; seed < 300; seed++) {
        uint64_t kept = seed;
        FERRY_AUTOFREE char *machines = random_machines();
        struct ferry_topology *t = make(
            NETWORK("from", "se", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "]") ", " NETWORK(
                "to", "sw",
                "\"subnets\": [" SUBNET(
                    "a", "10.1.0.0/24") "], \"pool\": [\"10.1.0.4-10.1.0.12\", \"10.1.0.20-10.1.0.26\"]"),
            machines);
        FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
        const char *who[256] = {NULL};
        unsigned given = 0, free_ones = 16, wanted = 0;
        ferry_networks_addresses(t, false, NULL, 0, &rows);
        for (size_t i = 0; i < rows.n; i++) {
            const struct ferry_address_row *row = &rows.v[i];
            bool there =
                row->network == FERRY_NONE; /* a machine of the target network, which is not mapped */
            uint8_t host = there ? row->own.bytes[3] : row->after.bytes[3];
            bool in_pool = (host >= 4 && host <= 12) || (host >= 20 && host <= 26);
            wanted += !there;
            free_ones -= there && in_pool;
            given += !there && row->after.family;
            if (host && who[host])
                fail_msg("seed %llu: 10.1.0.%u is %s's and %s's", (unsigned long long)kept, host, who[host],
                         t->networks->workloads[row->workload].name);
            assert_true(there || !host || in_pool);
            who[host] = host ? t->networks->workloads[row->workload].name : NULL;
        }
        /* None is refused while there is one. */
        assert_int_equal(given, wanted < free_ones ? wanted : free_ones);
        ferry_topology_free(t);
        seed = kept;
    }
}

/* Each machine has reserved what another one would get, going round: all of it is given, and nothing twice. */
static void reservations_hold_whatever_they_are(void **state)
{
    (void)state;
    for (seed = 1; seed < 100; seed++) {
        uint64_t kept = seed;
        FERRY_AUTOFREE char *machines = random_machines();
        struct ferry_topology *t =
            make(NETWORK("from", "se", "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "]") ", " NETWORK(
                     "to", "sw",
                     "\"subnets\": [" SUBNET("a", "10.1.0.0/24") "], \"pool\": [\"10.1.0.4-10.1.0.26\"]"),
                 machines);
        FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows before = {0}, rows = {0};
        struct ferry_reservation list[32];
        size_t at[32], n = 0;
        ferry_networks_addresses(t, false, NULL, 0, &before);
        for (size_t i = 0; i < before.n; i++)
            if (before.v[i].after.family)
                at[n++] = i;
        for (size_t i = 0; i < n; i++)
            list[i] =
                (struct ferry_reservation){.workload = t->networks->workloads[before.v[at[i]].workload].name,
                                           .nic = (char *)(uintptr_t) "nic0",
                                           .network = (char *)(uintptr_t) "to",
                                           .own = before.v[at[i]].own,
                                           .address = before.v[at[(i + 1) % n]].after};
        ferry_networks_addresses(t, false, list, n, &rows);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(rows.v[at[i]].why, FERRY_ADDRESS_RESERVED);
            assert_false(rows.v[at[i]].stale);
            assert_true(ferry_addr_equal(&rows.v[at[i]].after, &before.v[at[(i + 1) % n]].after));
        }
        ferry_topology_free(t);
        seed = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_address_where_the_pool_has_it_and_it_is_free),
        cmocka_unit_test(else_the_next_free_one_because_it_is_taken),
        cmocka_unit_test(else_the_next_free_one_because_the_pool_has_it_not),
        cmocka_unit_test(another_prefix_means_another_address),
        cmocka_unit_test(what_can_be_kept_is_kept_before_others_are_handed_out),
        cmocka_unit_test(an_address_of_a_router_of_the_site_is_not_free),
        cmocka_unit_test(a_pool_without_a_free_address_gives_none),
        cmocka_unit_test(a_subnet_without_a_pool_gives_none),
        cmocka_unit_test(an_address_is_of_the_target_subnet),
        cmocka_unit_test(every_address_of_every_nic_in_its_own_family),
        cmocka_unit_test(unmapped_is_a_state_and_not_an_error),
        cmocka_unit_test(a_new_machine_follows_its_networks_mapping),
        cmocka_unit_test(failback_gives_a_machine_its_own_address),
        cmocka_unit_test(a_reserved_address_is_its_machines_and_nobody_elses),
        cmocka_unit_test(a_reservation_that_does_not_hold_any_more_is_said),
        cmocka_unit_test(a_reservation_is_of_the_network_that_is_mapped),
        cmocka_unit_test(the_targets_dhcp_range_covers_the_sources),
        cmocka_unit_test(what_it_does_not_cover_is_named),
        cmocka_unit_test(no_address_of_a_network_is_given_twice),
        cmocka_unit_test(reservations_hold_whatever_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
