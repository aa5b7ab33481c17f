/* watch: what the tunnels of policy-based VPNs carry, compared with what is forwarded into them; on Woodgrove's
 * topology.  SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "watch/paths.h"
#include <ferry/tunnel.h>
#include <string.h>

#define TO_CLOUD       "strongswan cloud subnets"       /* on gw-on-premises */
#define TO_ON_PREMISES "strongswan on-premises subnets" /* on gw-cloud */

struct world {
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_live *live;
    uint32_t apps, on_premises, cloud; /* the column; routers */
};

/* All subnets at home, as the topology has them. */
static int set_up(void **state)
{
    static struct world w;
    struct ferry_err err;
    w = (struct world){.pool = ferry_pool_new()};
    if (ferry_topology_load(FERRY_SOURCE_DIR "/topologies/woodgrove.json", &w.t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    FERRY_AUTOFREE uint32_t *columns = ferry_calloc(w.t->n_subnets, sizeof *columns);
    FERRY_AUTOFREE uint32_t *homes = ferry_calloc(w.t->n_subnets, sizeof *homes);
    for (uint32_t i = 0; i < w.t->n_subnets; i++) {
        columns[i] = i;
        homes[i] = w.t->subnets[i].home;
    }
    w.live = ferry_live_new(w.t, w.pool, columns, w.t->n_subnets);
    assert_int_equal(ferry_live_offline(w.live, homes, &err), 0);
    w.apps = ferry_topology_subnet(w.t, "apps");
    w.on_premises = ferry_topology_router(w.t, "gw-on-premises");
    w.cloud = ferry_topology_router(w.t, "gw-cloud");
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    ferry_live_free(w->live);
    ferry_pool_free(w->pool);
    ferry_topology_free(w->t);
    return 0;
}

/* Takes an entry out of a router's row for a column, or puts it in. */
static void change(struct world *w, uint32_t router, uint32_t column, const char *tunnel, uint8_t side,
                   bool add)
{
    const struct ferry_stack **stack = &w->live->stacks[router * w->live->n_subnets + column];
    const struct ferry_entry *e = ferry_selector_entry(w->pool, tunnel, side), *entries[16];
    uint32_t n = 0, had = *stack ? (*stack)->n : 0;
    for (uint32_t i = 0; i < had; i++)
        if ((*stack)->entries[i] != e)
            entries[n++] = (*stack)->entries[i];
    assert_int_equal(n, add ? had : had - 1);
    if (add)
        entries[n++] = e;
    *stack = ferry_pool_stack(w->pool, entries, n);
}

/* The only drift there is; NULL: there is none. */
static void check(const struct world *w, uint32_t router, const char *text)
{
    FERRY_AUTOFREE struct ferry_path_drift *drift = NULL;
    size_t n = 0;
    ferry_paths_check(w->live, &drift, &n);
    if (n != (text ? 1 : 0))
        fail_msg("%zu drifts; the first: %s", n, n ? drift[0].text : "");
    if (!text)
        return;
    assert_int_equal(drift[0].column, w->apps);
    assert_int_equal(drift[0].router, router);
    assert_string_equal(drift[0].what, "tunnel");
    assert_string_equal(drift[0].text, text);
}

static void tunnels_that_carry_what_the_routes_need_are_no_drift(void **state)
{
    check(*state, 0, NULL);
}

static void a_tunnel_carries_what_is_forwarded_into_it(void **state)
{
    struct world *w = *state;
    change(w, w->cloud, w->apps, TO_ON_PREMISES, FERRY_SIDE_REMOTE, false);
    check(w, w->cloud, TO_ON_PREMISES ": does not carry what is forwarded into it");
}

static void a_tunnel_takes_in_what_the_other_end_sends(void **state)
{
    struct world *w = *state;
    change(w, w->on_premises, w->apps, TO_CLOUD, FERRY_SIDE_LOCAL, false);
    check(w, w->on_premises, TO_CLOUD ": does not take in what the other end sends");
}

static void a_tunnel_takes_nothing_away_from_its_own_site(void **state)
{
    struct world *w = *state;
    change(w, w->on_premises, w->apps, TO_CLOUD, FERRY_SIDE_REMOTE, true);
    check(w, w->on_premises, TO_CLOUD ": takes away what is attached at its own site");
}

/* Its driver may read none. */
static void a_router_that_holds_no_selector_is_not_judged(void **state)
{
    struct world *w = *state;
    for (uint32_t c = 0; c < w->live->n_subnets; c++) {
        const struct ferry_stack **stack = &w->live->stacks[w->cloud * w->live->n_subnets + c];
        const struct ferry_entry *entries[16];
        uint32_t n = 0;
        for (uint32_t i = 0; *stack && i < (*stack)->n; i++)
            if ((*stack)->entries[i]->type != FERRY_TRAFFIC_SELECTOR)
                entries[n++] = (*stack)->entries[i];
        *stack = ferry_pool_stack(w->pool, entries, n);
    }
    check(w, 0, NULL);
}

static void an_unreachable_router_is_not_judged(void **state)
{
    struct world *w = *state;
    change(w, w->cloud, w->apps, TO_ON_PREMISES, FERRY_SIDE_REMOTE, false);
    w->live->unreachable[w->cloud] = true;
    FERRY_AUTOFREE struct ferry_path_drift *drift = NULL;
    size_t n = 0;
    ferry_paths_check(w->live, &drift, &n);
    for (size_t i = 0; i < n; i++)
        assert_string_not_equal(drift[i].what, "tunnel");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tunnels_that_carry_what_the_routes_need_are_no_drift),
        TEST(a_tunnel_carries_what_is_forwarded_into_it),
        TEST(a_tunnel_takes_in_what_the_other_end_sends),
        TEST(a_tunnel_takes_nothing_away_from_its_own_site),
        TEST(a_router_that_holds_no_selector_is_not_judged),
        TEST(an_unreachable_router_is_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
