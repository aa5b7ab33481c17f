/* Host routes: the machines of a stretched subnet as subnets of one address, their moves planned, proven and turned
 * round, on topologies/host-routes.json.  From outside: tests/scenario/test_host_routes.py; on kernels:
 * test_host_routes_lab.py.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/networks.h>
#include <ferry/prove.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include <string.h>
#include <sys/socket.h>

#define EXAMPLE FERRY_SOURCE_DIR "/topologies/host-routes.json"

enum { PRIMARY, RECOVERY, THIRD };           /* sites, and their routers */
enum { APP, WEB, WEB6, WEB1, WEB1_6, WEB2 }; /* subnets: those of the file, then the machines' */
enum { N_SUBNETS = WEB2 + 1, BITS = 12 };

struct bench {
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_live *live;
    struct ferry_plan *plan;
    struct ferry_err err;
};

/* The clean state: all at home. */
static int setup(void **state)
{
    struct bench *b = ferry_calloc(1, sizeof *b);
    uint32_t subnets[N_SUBNETS], active[N_SUBNETS];
    if (ferry_topology_load(EXAMPLE, &b->t, NULL, &b->err) < 0)
        fail_msg("%s", b->err.text);
    assert_int_equal(b->t->n_subnets, N_SUBNETS);
    for (uint32_t i = 0; i < N_SUBNETS; i++) {
        subnets[i] = i;
        active[i] = b->t->subnets[i].home;
    }
    b->pool = ferry_pool_new();
    b->live = ferry_live_new(b->t, b->pool, subnets, N_SUBNETS);
    assert_int_equal(ferry_live_offline(b->live, active, &b->err), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    ferry_plan_free(b->plan);
    ferry_live_free(b->live);
    ferry_pool_free(b->pool);
    ferry_topology_free(b->t);
    free(b);
    return 0;
}

static void make(struct bench *b, const struct ferry_move *moves, size_t n)
{
    if (ferry_plan_make(b->live, moves, n, &b->plan, &b->err) < 0)
        fail_msg("%s", b->err.text);
}

static void check_safe(const struct ferry_plan *plan)
{
    struct ferry_proof proof = {0};
    struct ferry_err err = {0};
    if (ferry_prove(plan, BITS, &proof, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(proof.safe && proof.exhaustive);
    ferry_proof_clear(&proof);
}

static void check_host(const struct bench *b, uint32_t index, const char *name, const char *prefix,
                       uint32_t around, const char *machine)
{
    const struct ferry_subnet *s = &b->t->subnets[index];
    char text[FERRY_PREFIX_STRLEN];
    assert_string_equal(s->name, name);
    assert_string_equal(ferry_prefix_text(&s->prefix, text), prefix);
    assert_true(s->is_host && s->stretched && !s->host_routes);
    assert_int_equal(s->around, around);
    assert_string_equal(b->t->networks->workloads[s->machine].name, machine);
    assert_int_equal(s->home, PRIMARY);
    assert_int_equal(s->n_gateways, 2);
    for (size_t i = 0; i < s->n_gateways; i++) {
        assert_true(ferry_addr_equal(&s->gateways[i].via, &s->prefix.addr));
        assert_int_equal(s->gateways[i].router, b->t->subnets[around].gateways[i].router);
        assert_int_equal(s->gateways[i].interface, b->t->subnets[around].gateways[i].interface);
    }
    assert_int_equal(ferry_topology_subnet(b->t, name), index);
    assert_int_equal(ferry_topology_subnet(b->t, prefix), index);
}

static void each_address_of_a_machine_is_a_subnet(void **state)
{
    const struct bench *b = *state;
    check_host(b, WEB1, "web-1", "192.168.2.10/32", WEB, "web-1");
    check_host(b, WEB1_6, "web-1.2", "2001:db8:2::10/128", WEB6, "web-1");
    check_host(b, WEB2, "web-2", "192.168.2.11/32", WEB, "web-2");
    assert_int_equal(ferry_topology_subnet(b->t, "app-1"), FERRY_NONE); /* its subnet has no host routes */
}

static void the_subnet_around_is_at_all_its_sites(void **state)
{
    const struct bench *b = *state;
    for (uint32_t subnet = WEB; subnet <= WEB6; subnet++)
        for (uint32_t router = PRIMARY; router <= THIRD; router++) {
            const struct ferry_stack *s = b->live->stacks[router * N_SUBNETS + subnet];
            assert_non_null(s);
            assert_int_equal(s->entries[0]->type, router == THIRD ? FERRY_UNICAST : FERRY_GATEWAY);
        }
}

static void a_move_is_proven_and_so_is_its_way_back(void **state)
{
    struct bench *b = *state;
    struct ferry_plan *back = NULL;
    for (uint32_t host = WEB1; host <= WEB1_6; host++) {
        make(b, &(struct ferry_move){host, RECOVERY}, 1);
        assert_true(b->plan->n_groups == 1 && b->plan->groups[0].stretched);
        for (size_t s = 0; s < b->plan->n_stages; s++)
            assert_true(b->plan->stages[s].phase != FERRY_ATTACH); /* nothing is away for a moment */
        check_safe(b->plan);
        assert_int_equal(ferry_plan_reverse(b->plan, &back, &b->err), 0);
        check_safe(back);
        ferry_plan_free(back);
        ferry_plan_free(b->plan);
        b->plan = NULL;
    }
}

static void machines_of_one_subnet_move_as_one_group(void **state)
{
    struct bench *b = *state;
    const struct ferry_move moves[] = {{WEB1, RECOVERY}, {WEB1_6, RECOVERY}, {WEB2, RECOVERY}};
    make(b, moves, FERRY_COUNT(moves));
    assert_int_equal(b->plan->n_groups, 2); /* one a family */
    assert_int_equal(b->plan->groups[0].n_subnets, 2);
    check_safe(b->plan);
}

/* Break before make: the old site would send what comes to the new one, which does not have it yet and sends it
 * back. */
static void the_old_site_first_is_no_safe_plan(void **state)
{
    struct bench *b = *state;
    make(b, &(struct ferry_move){WEB2, RECOVERY}, 1);
    size_t attach = 0, detach = 0;
    for (size_t s = 0; s < b->plan->n_stages; s++) {
        const struct ferry_change *c = &b->plan->stages[s].changes[0];
        if (c->kind == FERRY_KIND_GATEWAY)
            *(c->after ? &attach : &detach) = s;
    }
    assert_true(attach < detach);
    struct ferry_stage moved = b->plan->stages[attach];
    b->plan->stages[attach] = b->plan->stages[detach];
    b->plan->stages[detach] = moved;
    b->plan->stages[attach].phase = FERRY_PREPARE;
    b->plan->stages[detach].phase = FERRY_DETACH;
    struct ferry_proof proof = {0};
    assert_int_equal(ferry_prove(b->plan, BITS, &proof, &b->err), -FERRY_EREFUSED);
    assert_false(proof.safe);
    assert_true(proof.bad.violation == FERRY_LOOP || proof.bad.violation == FERRY_LOST);
    ferry_proof_clear(&proof);
}

static void the_subnet_around_does_not_move(void **state)
{
    struct bench *b = *state;
    assert_int_equal(ferry_plan_make(b->live, &(struct ferry_move){WEB, RECOVERY}, 1, &b->plan, &b->err),
                     -FERRY_EREFUSED);
    assert_string_equal(b->err.rule, "host-routes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_address_of_a_machine_is_a_subnet, setup, teardown),
        cmocka_unit_test_setup_teardown(the_subnet_around_is_at_all_its_sites, setup, teardown),
        cmocka_unit_test_setup_teardown(a_move_is_proven_and_so_is_its_way_back, setup, teardown),
        cmocka_unit_test_setup_teardown(machines_of_one_subnet_move_as_one_group, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_site_first_is_no_safe_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(the_subnet_around_does_not_move, setup, teardown),
    };
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
