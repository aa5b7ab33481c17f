/* model: the rules of networks and mappings.  Each test is named after its rule; those of docs/site-recovery.md's
 * tables after their rows.  The New York/Chicago example is topologies/new-york-chicago.json.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include <ferry/networks.h>
#include <string.h>

#define EXAMPLE FERRY_SOURCE_DIR "/topologies/new-york-chicago.json"

static struct ferry_topology *load(const char *path)
{
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_load(path, &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static uint32_t network(const struct ferry_topology *t, const char *name)
{
    uint32_t i = ferry_networks_network(t->networks, name);
    if (i == FERRY_NONE)
        fail_msg("there is no network %s", name);
    return i;
}

static uint32_t cloud(const struct ferry_topology *t, const char *name)
{
    for (uint32_t i = 0; i < t->networks->n_clouds; i++)
        if (strcmp(t->networks->clouds[i].name, name) == 0)
            return i;
    fail_msg("there is no cloud %s", name);
    return FERRY_NONE;
}

/* ---- Availability. ---- */

static void check_available(const char *cloud_name, const char *target, enum ferry_available want,
                            const char *why)
{
    struct ferry_topology *t = load(EXAMPLE);
    char text[256];
    assert_int_equal(ferry_network_available(t->networks, cloud(t, cloud_name), network(t, target)), want);
    ferry_network_available_text(t->networks, cloud(t, cloud_name), network(t, target), text);
    assert_string_equal(text, why);
    ferry_topology_free(t);
}

static void target_table_row_1_silver_offers_vmnetwork1_chicago(void **state)
{
    (void)state;
    check_available("SilverCloud1", "VMNetwork1-Chicago", FERRY_AVAILABLE, "");
}

static void target_table_row_2_gold_offers_vmnetwork1_chicago(void **state)
{
    (void)state;
    check_available("GoldCloud1", "VMNetwork1-Chicago", FERRY_AVAILABLE, "");
}

static void target_table_row_3_silver_does_not_offer_vmnetwork2_chicago(void **state)
{
    (void)state;
    check_available("SilverCloud1", "VMNetwork2-Chicago", FERRY_LOGICAL_UNASSOCIATED,
                    "its logical network LogicalNetwork2Chicago is not associated with SilverCloud2");
}

static void target_table_row_4_gold_offers_vmnetwork2_chicago(void **state)
{
    (void)state;
    check_available("GoldCloud1", "VMNetwork2-Chicago", FERRY_AVAILABLE, "");
}

/* Associated with the protecting cloud, and yet not available: LogicalNetwork1-NewYork is. */
static void a_target_is_on_the_target_server(void **state)
{
    (void)state;
    check_available("GoldCloud1", "VMNetwork1-NewYork", FERRY_OTHER_SERVER,
                    "VMNetwork1-NewYork is on server VMM-NewYork, GoldCloud2 on VMM-Chicago");
}

static void an_unprotected_cloud_has_no_target(void **state)
{
    (void)state;
    check_available("GoldCloud2", "VMNetwork1-Chicago", FERRY_CLOUD_UNPROTECTED,
                    "no cloud protects GoldCloud2");
}

static void a_cloud_uses_what_it_is_associated_with_or_has_machines_on(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    const struct ferry_networks *n = t->networks;
    (void)state;
    assert_true(ferry_cloud_uses(n, cloud(t, "GoldCloud1"), network(t, "VMNetwork1-NewYork"))); /* VM1 */
    assert_false(ferry_cloud_uses(n, cloud(t, "GoldCloud1"), network(t, "VMNetwork2-NewYork")));
    assert_true(ferry_cloud_uses(n, cloud(t, "GoldCloud2"), network(t, "VMNetwork2-Chicago")));
    assert_false(ferry_cloud_uses(n, cloud(t, "SilverCloud2"), network(t, "VMNetwork2-Chicago")));
    assert_false(ferry_cloud_uses(n, cloud(t, "GoldCloud2"), network(t, "VMNetwork1-NewYork"))); /* server */
    ferry_topology_free(t);
}

static void one_server_may_manage_two_sites(void **state)
{
    struct ferry_topology *t = load(FERRY_SOURCE_DIR "/tests/fixtures/topology/valid/networks.json");
    (void)state;
    assert_int_equal(t->networks->networks[network(t, "e")].server,
                     t->networks->networks[network(t, "w2")].server);
    assert_true(ferry_network_mappable(t->networks, network(t, "e"), network(t, "w2")));
    assert_false(
        ferry_network_mappable(t->networks, network(t, "w"), network(t, "w2"))); /* two servers, one site */
    assert_false(ferry_network_mappable(t->networks, network(t, "e"), network(t, "e")));
    ferry_topology_free(t);
}

/* ---- Subnet choice. ---- */

static uint32_t subnet_of(const struct ferry_topology *t, const char *source, uint32_t subnet,
                          const char *target)
{
    return ferry_network_subnet(t->networks, network(t, source), subnet, network(t, target));
}

static void the_target_subnet_has_the_name_of_the_sources(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    (void)state;
    /* apps is the first there and the second here */
    assert_int_equal(subnet_of(t, "VMNetwork1-NewYork", 0, "VMNetwork1-Chicago"), 1);
    assert_int_equal(subnet_of(t, "VMNetwork1-NewYork", 1, "VMNetwork1-Chicago"), 0);
    ferry_topology_free(t);
}

static void without_one_of_that_name_it_is_the_first_of_the_network(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    (void)state;
    assert_int_equal(subnet_of(t, "VMNetwork1-NewYork", 2, "VMNetwork1-Chicago"), 0); /* batch */
    ferry_topology_free(t);
}

/* ---- Failback. ---- */

static void check_failback(const char *mapped_now, struct ferry_replica replica, const char *replica_network,
                           const char *want, enum ferry_failback want_why)
{
    struct ferry_topology *t = load(EXAMPLE);
    enum ferry_failback why;
    uint32_t chicago = network(t, "VMNetwork1-Chicago");
    if (mapped_now)
        t->networks->networks[chicago].mapped = network(t, mapped_now);
    if (replica_network)
        replica.network = network(t, replica_network);
    uint32_t back =
        ferry_network_failback(t->networks, network(t, "VMNetwork1-NewYork"), chicago, &replica, &why);
    assert_int_equal(back, want ? network(t, want) : FERRY_NONE);
    assert_int_equal(why, want_why);
    ferry_topology_free(t);
}

static void failback_row_1_nothing_changed_leads_to_the_source_network(void **state)
{
    (void)state;
    check_failback(NULL, (struct ferry_replica){0}, NULL, "VMNetwork1-NewYork", FERRY_FAILBACK_SOURCE);
}

static void failback_row_2_a_disconnected_replica_leaves_the_machine_disconnected(void **state)
{
    (void)state;
    check_failback(NULL, (struct ferry_replica){.state = FERRY_REPLICA_DISCONNECTED}, NULL, NULL,
                   FERRY_FAILBACK_DISCONNECTED);
}

static void failback_row_3_a_replica_on_an_unmapped_network_leaves_the_machine_disconnected(void **state)
{
    (void)state;
    check_failback(NULL, (struct ferry_replica){.state = FERRY_REPLICA_MOVED}, "VMNetwork2-Chicago", NULL,
                   FERRY_FAILBACK_UNMAPPED);
}

static void failback_row_4_a_changed_mapping_leads_to_the_network_mapped_now(void **state)
{
    (void)state;
    check_failback("VMNetwork2-NewYork", (struct ferry_replica){0}, NULL, "VMNetwork2-NewYork",
                   FERRY_FAILBACK_MAPPED);
}

/* The other half of row 3. */
static void failback_of_a_replica_on_a_mapped_network_follows_that_mapping(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    enum ferry_failback why;
    uint32_t other = network(t, "VMNetwork2-Chicago"), to = network(t, "VMNetwork2-NewYork");
    (void)state;
    t->networks->networks[other].mapped = to;
    struct ferry_replica replica = {.state = FERRY_REPLICA_MOVED, .network = other};
    assert_int_equal(ferry_network_failback(t->networks, network(t, "VMNetwork1-NewYork"),
                                            network(t, "VMNetwork1-Chicago"), &replica, &why),
                     to);
    assert_int_equal(why, FERRY_FAILBACK_MAPPED);
    ferry_topology_free(t);
}

static void failback_without_a_mapping_of_the_target_leads_to_the_source_network(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    enum ferry_failback why;
    uint32_t source = network(t, "VMNetwork1-NewYork"), chicago = network(t, "VMNetwork1-Chicago");
    struct ferry_replica replica = {.state = FERRY_REPLICA_MOVED, .network = chicago}; /* that is no change */
    (void)state;
    t->networks->networks[chicago].mapped = FERRY_NONE;
    assert_int_equal(ferry_network_failback(t->networks, source, chicago, &replica, &why), source);
    assert_int_equal(why, FERRY_FAILBACK_SOURCE);
    ferry_topology_free(t);
}

/* ---- Which routes follow. ---- */

static void subnets_that_keep_their_addresses_move_and_others_do_not(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    FERRY_CLEANUP(ferry_network_moves_clear) struct ferry_network_moves moves = {0};
    (void)state;
    ferry_network_moves_add(t, network(t, "VMNetwork1-NewYork"), &moves);
    assert_int_equal(moves.n, 3); /* apps, web, batch */
    assert_int_equal(moves.v[0].follows, FERRY_FOLLOWS_ROUTED);
    assert_int_equal(moves.v[0].routed, ferry_topology_subnet(t, "apps"));
    assert_int_equal(moves.v[1].follows, FERRY_FOLLOWS_ROUTED);
    assert_int_equal(moves.v[1].routed, ferry_topology_subnet(t, "web"));
    assert_int_equal(moves.v[2].follows, FERRY_FOLLOWS_READDRESSED);
    ferry_network_moves_add(t, network(t, "VMNetwork2-NewYork"), &moves); /* not mapped */
    assert_int_equal(moves.n, 3);
    ferry_topology_free(t);
}

static void a_prefix_that_nothing_routes_is_named(void **state)
{
    struct ferry_topology *t = load(FERRY_SOURCE_DIR "/tests/fixtures/topology/valid/networks.json");
    FERRY_CLEANUP(ferry_network_moves_clear) struct ferry_network_moves moves = {0};
    (void)state;
    ferry_network_moves_add(t, network(t, "e"), &moves);
    assert_int_equal(moves.n, 3); /* two prefixes of a, one of b */
    assert_int_equal(moves.v[0].follows, FERRY_FOLLOWS_UNROUTED);
    assert_int_equal(moves.v[1].follows, FERRY_FOLLOWS_UNROUTED);
    assert_int_equal(moves.v[2].follows, FERRY_FOLLOWS_READDRESSED);
    ferry_topology_free(t);
}

static void every_machine_of_the_site_in_that_subnet_moves_along(void **state)
{
    struct ferry_topology *t = load(EXAMPLE);
    const struct ferry_networks *n = t->networks;
    FERRY_CLEANUP(ferry_network_moves_clear) struct ferry_network_moves moves = {0};
    (void)state;
    ferry_network_moves_add(t, network(t, "VMNetwork1-NewYork"), &moves);
    for (size_t i = 0; i < n->n_workloads; i++) {
        const char *name = n->workloads[i].name;
        bool apps = strcmp(name, "VM1") == 0 || strcmp(name, "VM3") == 0 || strcmp(name, "VM5") == 0 ||
                    strcmp(name, "VM9") == 0;
        assert_int_equal(ferry_network_moves_along(n, &moves.v[0], &n->workloads[i].nics[0]),
                         apps);          /* VM7 is in Chicago */
        if (n->workloads[i].n_nics == 3) /* VM9 has a third one there, which is not created in Chicago */
            assert_false(ferry_network_moves_along(n, &moves.v[0], &n->workloads[i].nics[2]));
    }
    ferry_topology_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_table_row_1_silver_offers_vmnetwork1_chicago),
        cmocka_unit_test(target_table_row_2_gold_offers_vmnetwork1_chicago),
        cmocka_unit_test(target_table_row_3_silver_does_not_offer_vmnetwork2_chicago),
        cmocka_unit_test(target_table_row_4_gold_offers_vmnetwork2_chicago),
        cmocka_unit_test(a_target_is_on_the_target_server),
        cmocka_unit_test(an_unprotected_cloud_has_no_target),
        cmocka_unit_test(a_cloud_uses_what_it_is_associated_with_or_has_machines_on),
        cmocka_unit_test(one_server_may_manage_two_sites),
        cmocka_unit_test(the_target_subnet_has_the_name_of_the_sources),
        cmocka_unit_test(without_one_of_that_name_it_is_the_first_of_the_network),
        cmocka_unit_test(failback_row_1_nothing_changed_leads_to_the_source_network),
        cmocka_unit_test(failback_row_2_a_disconnected_replica_leaves_the_machine_disconnected),
        cmocka_unit_test(failback_row_3_a_replica_on_an_unmapped_network_leaves_the_machine_disconnected),
        cmocka_unit_test(failback_row_4_a_changed_mapping_leads_to_the_network_mapped_now),
        cmocka_unit_test(failback_of_a_replica_on_a_mapped_network_follows_that_mapping),
        cmocka_unit_test(failback_without_a_mapping_of_the_target_leads_to_the_source_network),
        cmocka_unit_test(subnets_that_keep_their_addresses_move_and_others_do_not),
        cmocka_unit_test(a_prefix_that_nothing_routes_is_named),
        cmocka_unit_test(every_machine_of_the_site_in_that_subnet_moves_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
