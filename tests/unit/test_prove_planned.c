/* The planner's plans for random small networks: every plan and every undo is proven, the document says the
 * same after a round trip, and spoilt plans get the verdict that brute force gives.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_both.h"
#include "small_net.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS  1500u
#define SPOILT 4u /* a plan */
#define FEWER  3u /* seeds where routers speak: the stages are longer, and brute force takes its time */

static uint64_t verdicts[FERRY_UNFINISHED + 1], states, mutants, plans;

static bool agree(const struct ferry_plan *p, const char *how, unsigned seed, enum ferry_violation *ret)
{
    struct proven proven = prove_both(p, seed, how);
    states += proven.brute.states;
    *ret = proven.said;
    return proven.same;
}

static void expect_safe(const struct ferry_plan *p, const char *how, unsigned seed)
{
    enum ferry_violation said;
    assert_true(agree(p, how, seed, &said));
    if (said) {
        struct ferry_proof proof;
        struct ferry_err err;
        if (ferry_prove(p, 0, &proof, &err))
            print_error("seed %u, %s: %s\n%s", seed, how, err.text, ferry_plan_write(p, true));
    }
    assert_int_equal(said, FERRY_SAFE);
}

/* As on real routers, where an IPv6 route of Ferry's usual metric would win over an attached gateway. */
static void as_netlink(struct ferry_plan *p)
{
    for (size_t r = 0; r < p->n_routers; r++) {
        free(p->routers[r].driver.type);
        p->routers[r].driver.type = ferry_strdup("netlink");
    }
    ferry_plan_seal(p);
}

/* Saved and read back it is proven with the same certificate. */
static void round_trip(const struct ferry_plan *p)
{
    struct ferry_proof a, b;
    struct ferry_err err;
    struct ferry_plan *again = NULL;
    bool matches = false;
    FERRY_AUTOFREE char *text = ferry_plan_write(p, true);
    assert_int_equal(ferry_plan_parse("saved", text, strlen(text), &again, &matches, &err), 0);
    assert_true(matches);
    assert_int_equal(ferry_prove(p, 0, &a, &err), 0);
    assert_int_equal(ferry_prove(again, 0, &b, &err), 0);
    assert_string_equal(a.certificate, b.certificate);
    assert_string_equal(a.states, b.states);
    ferry_proof_clear(&a);
    ferry_proof_clear(&b);
    ferry_plan_free(again);
}

static void spoil(const struct ferry_plan *p, struct dice *d, unsigned seed)
{
    for (unsigned i = 0; i < SPOILT; i++) {
        struct ferry_plan *copy = spoil_copy(p);
        const char *how = NULL;
        enum ferry_violation said;
        for (unsigned n = 1 + dice_roll(d, 3); n; n--) {
            const char *one = spoil_plan(copy, d);
            how = one ? one : how;
        }
        if (dice_roll(d, 4))
            spoil_mend(copy);
        if (how) {
            assert_true(agree(copy, how, seed, &said));
            verdicts[said]++;
            mutants++;
        }
        spoil_copy_free(copy);
    }
}

enum nets { PLAIN, SPEAKING, LOSING, STRETCHED };

static void run(bool messy, enum nets nets)
{
    bool speaking = nets == SPEAKING, losing = nets == LOSING;
    unsigned refused = 0, seeds = nets == PLAIN ? SEEDS : SEEDS / FEWER;
    memset(verdicts, 0, sizeof verdicts);
    states = mutants = plans = 0;
    for (unsigned seed = 0; seed < seeds; seed++) {
        struct dice d = {seed};
        struct ferry_topology *t = NULL;
        struct ferry_plan *undo = NULL;
        struct ferry_err err;
        FERRY_AUTOFREE char *text = speaking            ? small_net_speaking(&d)
                                    : nets == STRETCHED ? small_net_stretched(&d)
                                                        : small_net(&d);
        if (ferry_topology_parse("small", text, strlen(text), &t, NULL, &err))
            fail_msg("seed %u: %s\n%s", seed, err.text, text);
        struct ferry_err refusal = {.text = ""};
        struct ferry_plan *p = losing ? small_plan_lost(t, &d, messy, &refusal)
                                      : small_plan(t, &d, messy, messy ? &refusal : NULL);
        if (!p) {
            assert_string_not_equal(refusal.rule, ""); /* a reason with a name */
            refused++;
            ferry_topology_free(t);
            continue;
        }
        if (seed % 2 && !speaking) /* where distances are metrics */
            as_netlink(p);
        expect_safe(p, "plan", seed);
        assert_int_equal(ferry_plan_reverse(p, &undo, &err), 0);
        expect_safe(undo, "undo", seed);
        round_trip(p);
        round_trip(undo);
        plans += 2;
        if (p->n_stages) {
            spoil(p, &d, seed);
            spoil(undo, &d, seed);
        }
        ferry_plan_free(undo);
        ferry_plan_free(p);
        ferry_topology_free(t);
    }
    print_message(
        "%u refused; %lu plans and undos proven; %lu spoilt ones; %lu states walked by brute force:", refused,

        (unsigned long)plans, (unsigned long)mutants, (unsigned long)states);
    for (unsigned v = 0; v <= FERRY_UNFINISHED; v++)
        print_message(" %s %lu", ferry_violation_name((enum ferry_violation)v), (unsigned long)verdicts[v]);
    print_message("\n");
    for (unsigned v = 0; v <= FERRY_UNFINISHED; v++)
        assert_true(v == FERRY_FOREIGN || (v == FERRY_UNPINNED && !speaking) ||
                    (v == FERRY_LOST_SITE && !losing) ||
                    verdicts[v] >= (losing || nets == STRETCHED ? 10 : 20));
    assert_true(refused < SEEDS / FEWER / 2);
}

static void test_planned(void **state)
{
    (void)state;
    run(false, PLAIN);
}

static void test_planned_from_a_mess(void **state)
{
    (void)state;
    run(true, PLAIN);
}

static void test_planned_where_routers_speak(void **state)
{
    (void)state;
    run(false, SPEAKING);
}

static void test_planned_from_a_mess_where_routers_speak(void **state)
{
    (void)state;
    run(true, SPEAKING);
}

static void test_lost(void **state)
{
    (void)state;
    run(false, LOSING);
}

static void test_lost_from_a_mess(void **state)
{
    (void)state;
    run(true, LOSING);
}

static void test_stretched(void **state)
{
    (void)state;
    run(false, STRETCHED);
}

static void test_stretched_from_a_mess(void **state)
{
    (void)state;
    run(true, STRETCHED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_planned),
                                       cmocka_unit_test(test_planned_from_a_mess),
                                       cmocka_unit_test(test_planned_where_routers_speak),
                                       cmocka_unit_test(test_planned_from_a_mess_where_routers_speak),
                                       cmocka_unit_test(test_lost),
                                       cmocka_unit_test(test_lost_from_a_mess),
                                       cmocka_unit_test(test_stretched),
                                       cmocka_unit_test(test_stretched_from_a_mess)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
