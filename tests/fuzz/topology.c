/* Target: the topology file, and what the planner makes of whatever the loader took.
 *
 * Either every finding says where, and nothing is returned; or all references are indices, names find what bears them,
 * and each move to each site is refused with a rule, or planned so that its document reads back the same, under its own
 * id, and is proven.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <ferry/networks.h>
#include <ferry/plan.h>
#include <ferry/prove.h>
#include <string.h>

enum { INPUT_MOST = 16 * 1024, ROUTERS_MOST = 16, BITS = 4 };

static bool is_one(uint32_t index, size_t n)
{
    return index == FERRY_NONE || index < n;
}

static void check_networks(const struct ferry_networks *n, size_t n_sites)
{
    for (uint32_t i = 0; i < n->n_clouds; i++) {
        FUZZ_CHECK(n->clouds[i].server < n->n_servers && is_one(n->clouds[i].protected_by, n->n_clouds));
        for (uint32_t k = 0; k < n->n_networks; k++) {
            char why[256];
            ferry_network_available_text(n, i, k, why);
            FUZZ_CHECK(!why[0] == (ferry_network_available(n, i, k) == FERRY_AVAILABLE));
            (void)ferry_cloud_uses(n, i, k);
        }
    }
    for (uint32_t i = 0; i < n->n_networks; i++) {
        const struct ferry_vm_network *v = &n->networks[i];
        FUZZ_CHECK(ferry_networks_network(n, v->name) == i && v->n_subnets);
        FUZZ_CHECK(v->site < n_sites && v->server < n->n_servers && v->logical < n->n_logical);
        FUZZ_CHECK(is_one(v->mapped, n->n_networks));
        FUZZ_CHECK(v->mapped == FERRY_NONE || ferry_network_mappable(n, i, v->mapped));
    }
    for (size_t i = 0; i < n->n_workloads; i++) {
        size_t primary = 0;
        for (size_t k = 0; k < n->workloads[i].n_nics; k++)
            primary += n->workloads[i].nics[k].type == FERRY_NIC_PRIMARY;
        FUZZ_CHECK(primary == 1);
    }
}

/* No address of a network is given to two NICs, nor one that somebody has there; and what is given is the
 * pool's, or the machine's own.  What is asked for is given, for else the loader had refused it. */
static void check_addresses(const struct ferry_topology *t, bool failback)
{
    struct ferry_address_rows rows;
    ferry_networks_addresses(t, failback, NULL, 0, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct ferry_address_row *row = &rows.v[i];
        const struct ferry_nic *nic = &t->networks->workloads[row->workload].nics[row->nic];
        FUZZ_CHECK(nic->network < t->networks->n_networks);
        FUZZ_CHECK(is_one(row->network, t->networks->n_networks));
        FUZZ_CHECK(!row->asked.family || row->network == FERRY_NONE ||
                   ferry_addr_equal(&row->asked, &row->after));
        if (!row->after.family)
            continue;
        const struct ferry_vm_network *v = &t->networks->networks[row->network];
        FUZZ_CHECK(ferry_network_subnet_has(&v->subnets[row->subnet], &row->after));
        FUZZ_CHECK(row->why == FERRY_ADDRESS_OWN || ferry_ranges_contain(v->pool, v->n_pool, &row->after));
        for (size_t k = 0; k < rows.n; k++) {
            const struct ferry_address_row *other = &rows.v[k];
            const struct ferry_nic *owner = &t->networks->workloads[other->workload].nics[other->nic];
            if (k != i && other->network == row->network)
                FUZZ_CHECK(!ferry_addr_equal(&other->after, &row->after));
            if (row->why != FERRY_ADDRESS_OWN && owner->network == row->network)
                FUZZ_CHECK(!ferry_addr_equal(&other->own, &row->after));
        }
    }
    ferry_address_rows_clear(&rows);
}

static void check_end(const struct ferry_topology *t, const struct ferry_end *e)
{
    FUZZ_CHECK(e->router < t->n_routers && e->interface < t->routers[e->router].n_interfaces);
}

static void check_references(const struct ferry_topology *t)
{
    for (uint32_t i = 0; i < t->n_sites; i++)
        FUZZ_CHECK(ferry_topology_site(t, t->sites[i].name) == i);
    for (uint32_t i = 0; i < t->n_routers; i++) {
        FUZZ_CHECK(ferry_topology_router(t, t->routers[i].name) == i);
        FUZZ_CHECK(t->routers[i].site < t->n_sites && t->routers[i].driver.type);
    }
    for (size_t i = 0; i < t->n_links; i++) {
        check_end(t, &t->links[i].a);
        check_end(t, &t->links[i].b);
        FUZZ_CHECK(t->links[i].cost_ab && t->links[i].cost_ba);
    }
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        const struct ferry_subnet *s = &t->subnets[i];
        char text[FERRY_PREFIX_STRLEN];
        fuzz_prefix_sound(&s->prefix);
        FUZZ_CHECK(ferry_topology_subnet(t, s->name) == i);
        FUZZ_CHECK(ferry_topology_subnet(t, ferry_prefix_text(&s->prefix, text)) == i);
        FUZZ_CHECK(s->home < t->n_sites && s->n_gateways);
        for (size_t g = 0; g < s->n_gateways; g++)
            FUZZ_CHECK(s->gateways[g].router < t->n_routers &&
                       (s->gateways[g].interface == FERRY_NONE ||
                        s->gateways[g].interface < t->routers[s->gateways[g].router].n_interfaces));
    }
}

static void check_plan(const struct ferry_plan *plan)
{
    struct ferry_proof proof = {0};
    struct ferry_plan *again = NULL;
    struct ferry_err err;
    bool same_id = false;
    char *text = ferry_plan_write(plan, true), *text_again;
    if (ferry_plan_parse("plan", text, strlen(text), &again, &same_id, &err) < 0)
        fuzz_fail(__FILE__, __LINE__, "a plan that was made reads back", err.text);
    text_again = ferry_plan_write(again, true);
    FUZZ_CHECK(same_id && !strcmp(text, text_again));
    if (ferry_prove(again, BITS, &proof, &err) < 0)
        fuzz_fail(__FILE__, __LINE__, "a plan that was made is safe", err.text);
    ferry_proof_clear(&proof);
    ferry_plan_free(again);
    free(text);
    free(text_again);
}

/* Moves every subnet, each planned by itself: from its home to `site`. */
static void check_moves(const struct ferry_topology *t, uint32_t subnet, uint32_t site)
{
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(t, pool, &subnet, 1);
    struct ferry_move move = {.subnet = subnet, .to = site};
    struct ferry_plan *plan = NULL;
    struct ferry_err err;
    int result = ferry_live_offline(live, &t->subnets[subnet].home, &err);
    if (result >= 0)
        result = ferry_plan_make(live, &move, 1, &plan, &err);
    fuzz_said(result, &err);
    FUZZ_CHECK((result >= 0) == (plan != NULL));
    FUZZ_CHECK(result != -FERRY_EREFUSED || *err.rule);
    if (plan)
        check_plan(plan);
    ferry_plan_free(plan);
    ferry_live_free(live);
    ferry_pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_topology *t = NULL;
    struct ferry_findings findings = {0};
    struct ferry_err err = {0};
    if (size > INPUT_MOST)
        return 0;
    fuzz_begin();
    char *text = fuzz_text(data, size);
    int result = ferry_topology_parse("t.json", text, size, &t, &findings, &err);
    if (result < 0) {
        fuzz_located(result, &err, "t.json");
        FUZZ_CHECK(!t && findings.n);
        for (size_t i = 0; i < findings.n; i++)
            FUZZ_CHECK(*findings.v[i].text);
    } else {
        FUZZ_CHECK(!findings.n);
        check_references(t);
        if (t->networks) {
            check_networks(t->networks, t->n_sites);
            check_addresses(t, false);
            check_addresses(t, true);
        }
        for (uint32_t s = 0; s < t->n_subnets && s < 2 && t->n_routers <= ROUTERS_MOST; s++)
            for (uint32_t site = 0; site < t->n_sites && site < 4; site++)
                check_moves(t, s, site);
        ferry_topology_free(t);
    }
    ferry_findings_clear(&findings);
    free(text);
    return 0;
}
