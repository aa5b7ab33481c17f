/* The prover against brute force, on thousands of random plans of a few routers: the same verdict, the same
 * stage, the same number of events, and a counterexample that replays.
 *
 * Half of the plans are safe ones spoilt (and, mostly, mended so that only their order is wrong), half are
 * made of random changes.
 *
 * SPDX-License-Identifier: MIT */
#include "plan_spoil.h"
#include "prove_both.h"
#include "prove_builder.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS       12000u
#define SEEDS_LARGE 1500u
#define ROUTERS_MAX 20

static uint64_t verdicts[FERRY_UNFINISHED + 1], states, plans, undos;

/* Next hops towards routers that stand earlier in `order`: a tree, or with luck several paths. */
static void towards(struct dice *d, const unsigned *order, unsigned position, unsigned metric, char *ret)
{
    ret += sprintf(ret, "%u>%c", metric, 'a' + order[dice_roll(d, position)]);
    char second = (char)('a' + order[dice_roll(d, position)]);
    if (dice_roll(d, 3) == 0 && second != ret[-1]) {
        ret[0] = second;
        ret[1] = '\0';
    }
}

static void shuffle(struct dice *d, unsigned *order, unsigned n, unsigned first)
{
    for (unsigned i = 0; i < n; i++)
        order[i] = (first + i) % n;
    for (unsigned i = n - 1; i > 1; i--) {
        unsigned k = 1 + dice_roll(d, i), other = order[i];
        order[i] = order[k];
        order[k] = other;
    }
}

struct trees {
    unsigned n;
    char old[ROUTERS_MAX][16], new[ROUTERS_MAX][16]; /* [router] */
};

static struct ferry_plan *start(struct dice *d, struct trees *t, unsigned n)
{
    unsigned order[ROUTERS_MAX];
    char to[16];
    t->n = n;
    struct ferry_plan *p = build_plan(t->n);
    build_group(p, "p", "q", dice_roll(d, 3) ? "10.0.0.0/24" : "2001:db8::/64");
    shuffle(d, order, t->n, 0);
    strcpy(t->old[0], "@");
    for (unsigned i = 1; i < t->n; i++)
        towards(d, order, i, dice_roll(d, 4) ? 20 : 300, t->old[order[i]]);
    shuffle(d, order, t->n, t->n - 1);
    strcpy(t->new[t->n - 1], "@");
    for (unsigned i = 1; i < t->n; i++)
        towards(d, order, i, dice_roll(d, 4) ? 20 : 300, t->new[order[i]]);
    for (unsigned r = 0; r < t->n; r++) {
        char stack[40];
        sprintf(stack, "%s%s", t->old[r], dice_roll(d, 8) ? "" : " 400!");
        build_hold(p, 0, (char)('a' + r), stack);
        if (r && dice_roll(d, 12) == 0) {
            strcpy(t->old[r], "-");
            build_hold(p, 0, (char)('a' + r), "-");
            sprintf(to, "100>%c", dice_roll(d, 3) ? (int)('a' + dice_roll(d, r)) : '?');
            build_cover(p, 0, (char)('a' + r), "0.0.0.0/0", to);
        }
        if (dice_roll(d, 10) == 0)
            p->routers[r].driver.type = ferry_strdup("netlink");
    }
    if (dice_roll(d, 4) == 0)
        strcpy(p->mode, "undo");
    return p;
}

static void each_router(struct ferry_plan *p, enum ferry_phase phase, const struct trees *t,
                        char (*before)[16], char (*after)[16])
{
    build_stage(p, phase);
    for (unsigned r = 0; r < t->n; r++)
        if (before ? before[r][0] != '-' : true)
            build_change(p, 0, (char)('a' + r), before ? before[r] : "-", after ? after[r] : "-");
}

/* Blackholes under everything; everything away; everything new; blackholes away.  Always safe. */
static void plain_move(struct ferry_plan *p, struct trees *t)
{
    char holes[ROUTERS_MAX][16];
    for (unsigned r = 0; r < t->n; r++)
        strcpy(holes[r], "2100!");
    each_router(p, FERRY_PREPARE, t, NULL, holes);
    each_router(p, FERRY_DETACH, t, t->old, NULL);
    each_router(p, FERRY_ATTACH, t, NULL, t->new);
    each_router(p, FERRY_SETTLE, t, holes, NULL);
}

static void random_changes(struct ferry_plan *p, struct dice *d, const struct trees *t, unsigned most)
{
    unsigned n_stages = 1 + dice_roll(d, 4);
    for (unsigned s = 0; s < n_stages; s++) {
        build_stage(p, (enum ferry_phase)(dice_roll(d, 3) ? s : dice_roll(d, 4)));
        for (unsigned n = 1 + dice_roll(d, most); n; n--) {
            unsigned r = dice_roll(d, t->n), what = dice_roll(d, 10);
            const char *metric = (const char *[]){"20", "20", "300", "2100"}[dice_roll(d, 4)];
            char after[16];
            const char *new = dice_roll(d, 2) ? t->new[r] : t->old[r];
            if (what < 4 && *new != '-')
                strcpy(after, new);
            else
                sprintf(after,
                        what < 6   ? "%s!"
                        : what < 7 ? "%s>%c"
                                   : "%s>x",
                        metric, 'a' + dice_roll(d, t->n));
            struct ferry_change *c = NULL;
            if (what < 7)
                c = build_change(p, 0, (char)('a' + r), "-", after);
            else if (what < 9)
                c = build_change(p, 0, (char)('a' + r), "-", r == 0 && dice_roll(d, 2) ? "@" : "20!");
            else
                c = build_change(p, 0, (char)('a' + r), "-", "@");
            if (what >= 7 && dice_roll(d, 4))
                c->after = NULL;
        }
    }
    spoil_mend(p);
}

/* Of a plan that is safe the undo is. */
static void undo_too(const struct ferry_plan *p, unsigned seed)
{
    struct ferry_plan *undo = NULL;
    struct ferry_proof proof;
    struct ferry_err err = {.text = ""};
    for (size_t i = 0; i < p->n_stages; i++)
        for (size_t k = 0; k < p->stages[i].n_changes; k++)
            if (!p->stages[i].changes[k].before && !p->stages[i].changes[k].after)
                return; /* no document can say this */
    assert_int_equal(ferry_plan_reverse(p, &undo, &err), 0);
    int result = ferry_prove(undo, 0, &proof, &err);
    if (result)
        print_error("seed %u, the undo: %s\n", seed, err.text);
    assert_int_equal(result, 0);
    ferry_proof_clear(&proof);
    ferry_plan_free(undo);
    undos++;
}

static void compare(const struct ferry_plan *p, unsigned seed, const char *how)
{
    struct proven proven = prove_both(p, seed, how);
    plans++;
    states += proven.brute.states;
    verdicts[proven.brute.violation]++;
    assert_true(proven.same);
    if (!proven.said && strcmp(p->mode, "planned") == 0)
        undo_too(p, seed);
}

static void spoil_and_compare(const struct ferry_plan *p, struct dice *d, unsigned seed)
{
    struct ferry_plan *copy = spoil_copy(p);
    const char *how = NULL;
    for (unsigned n = 1 + dice_roll(d, 3); n; n--) {
        const char *one = spoil_plan(copy, d);
        how = one ? one : how;
    }
    if (dice_roll(d, 4))
        spoil_mend(copy);
    compare(copy, seed, how ? how : "unspoilt");
    spoil_copy_free(copy);
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct dice d = {seed};
        struct trees t;
        struct ferry_plan *p = start(&d, &t, 3 + dice_roll(&d, 3));
        if (seed % 2) {
            plain_move(p, &t);
            compare(p, seed, "plain");
            spoil_and_compare(p, &d, seed);
        } else {
            random_changes(p, &d, &t, 6);
            compare(p, seed, "random");
        }
        ferry_plan_free(p);
    }
    print_message("%lu plans, %lu states walked by brute force:", (unsigned long)plans,
                  (unsigned long)states);
    for (unsigned v = 0; v <= FERRY_UNFINISHED; v++)
        print_message(" %s %lu", ferry_violation_name((enum ferry_violation)v), (unsigned long)verdicts[v]);
    print_message("; %lu undos proven\n", (unsigned long)undos);
    /* A test that never saw a fault of a kind would prove nothing about it. */
    for (unsigned v = 0; v <= FERRY_UNFINISHED; v++)
        assert_true(v == FERRY_FOREIGN || v == FERRY_UNPINNED || v == FERRY_LOST_SITE || verdicts[v] >= 50);
}

/* Larger networks, too many paths for brute force: the graph and the walk inside of the prover must agree
 * (else it fails as a whole), and the counterexample must not depend on whether it walked. */
static void test_larger(void **state)
{
    uint64_t unsafe = 0, walked = 0;
    (void)state;
    for (unsigned seed = 0; seed < SEEDS_LARGE; seed++) {
        struct dice d = {seed};
        struct trees t;
        struct ferry_plan *p = start(&d, &t, 8 + dice_roll(&d, 13));
        struct ferry_proof a, b;
        struct ferry_err err = {.text = ""};
        if (seed % 2)
            p->groups[0].to[0] = 'p'; /* where it is: then being unfinished does not hide the rest */
        random_changes(p, &d, &t, 11);
        int with = ferry_prove(p, 12, &a, &err);
        if (with && with != -FERRY_EREFUSED)
            print_error("seed %u: %s\n", seed, err.text);
        assert_true(with == 0 || with == -FERRY_EREFUSED);
        assert_int_equal(ferry_prove(p, 0, &b, &err), with);
        assert_int_equal(a.bad.violation, b.bad.violation);
        assert_int_equal(a.bad.n_events, b.bad.n_events);
        assert_string_equal(a.bad.text, b.bad.text);
        unsafe += with != 0;
        walked += a.walked;
        ferry_proof_clear(&a);
        ferry_proof_clear(&b);
        ferry_plan_free(p);
    }
    print_message("%u plans of 8 to 20 routers, %lu unsafe, %lu states walked\n", SEEDS_LARGE,
                  (unsigned long)unsafe, (unsigned long)walked);
    assert_true(unsafe > 500 && unsafe < SEEDS_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_larger)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
