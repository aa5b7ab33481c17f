/* Every order in which the changes of a stage may take effect, executed on simulated routers.
 *
 * For random small networks: make the plan, then go through each stage's states change by change (a Gray
 * code: each step does or undoes one change through the driver), and after every step read all routers back
 * and walk packets from each of them.  In no state a loop, an attachment at two sites, or a router that falls
 * through; where the service must be whole, everything is delivered.  At the end the plan's undo is run the
 * same way, and the routers must hold what they held at first.
 *
 * The same where most routers speak BGP or OSPF: the simulator does what the plan foretells of the protocol, at
 * any moment of its stage.  While the subnet changes hands nobody may follow the protocol.
 *
 * A state is reached by some order of changes if and only if it is a set of changes done; so all states are
 * all orders. Neither the prover nor the planner's graphs are used for judging.
 *
 * SPDX-License-Identifier: MIT */
#include "small_net.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEDS       250u
#define SPEAKING    40u
#define SKIPPED     3u  /* stages that are too big, of those */
#define BITS_MAX    12u /* bigger stages are skipped, and counted */
#define ROUTERS_MAX 8u

struct world {
    const struct ferry_plan *plan;
    struct ferry_driver *drivers[ROUTERS_MAX];
    struct ferry_fib initial[ROUTERS_MAX], now[ROUTERS_MAX];
    struct ferry_query_item *items[ROUTERS_MAX];
    struct ferry_query query[ROUTERS_MAX];
    uint32_t group; /* whose state is looked at: each group's changes are permuted by themselves */
    bool spoilt;    /* faults are counted, not fatal */
    uint64_t faults;
};

static uint64_t states, stages, skipped, plans;
static char directory[] = "/tmp/ferry-interleavings-XXXXXX";

/* ---- Routers. ---- */

static const struct ferry_plan_gateway *gateway_on(const struct ferry_plan_subnet *s, uint32_t router)
{
    for (size_t i = 0; i < s->n_gateways; i++)
        if (s->gateways[i].gateway.router == router)
            return &s->gateways[i];
    return NULL;
}

static void add_initial(struct ferry_fib *fib, const struct ferry_plan_subnet *s, const struct ferry_entry *e,
                        const struct ferry_plan_gateway *gateway, uint32_t table)
{
    struct ferry_fib_item item = {
        .prefix = s->prefix, .query = UINT32_MAX, .relation = FERRY_EXACT, .entry = *e};
    struct ferry_nexthop at = {.router = FERRY_NO_ROUTER, .weight = 1};
    if (e->type == FERRY_GATEWAY) { /* says where, as the simulator wants it */
        at.via = gateway->gateway.address.addr;
        memcpy(at.dev, gateway->interface, sizeof at.dev);
        item.entry.table = table;
        item.entry.nexthops = &at;
        item.entry.n_nexthops = 1;
    }
    ferry_fib_add(fib, &item);
}

static uint32_t table_of(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_stack *stack = plan->groups[group].initial[router];
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (ferry_entry_kind(stack->entries[i]) == FERRY_KIND_ROUTE)
            return stack->entries[i]->table;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->group == group && c->router == router && c->table)
                return c->table;
        }
    return FERRY_TABLE_MAIN;
}

static void open_router(struct world *w, uint32_t r, const char *state_dir)
{
    const struct ferry_plan *plan = w->plan;
    const struct ferry_driver_ops *sim = ferry_driver_find("sim");
    struct ferry_err err;
    w->items[r] = ferry_calloc(plan->n_groups, sizeof *w->items[r]);
    w->query[r] = (struct ferry_query){.items = w->items[r], .n = plan->n_groups};
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_plan_subnet *s = &plan->groups[g].subnets[0];
        const struct ferry_plan_gateway *gateway = gateway_on(s, r);
        const struct ferry_stack *stack = plan->groups[g].initial[r];
        for (uint32_t i = 0; stack && i < stack->n; i++)
            for (size_t k = 0; k < plan->groups[g].n_subnets; k++)
                add_initial(&w->initial[r], &plan->groups[g].subnets[k], stack->entries[i],
                            gateway_on(&plan->groups[g].subnets[k], r), table_of(plan, g, r));
        w->items[r][g] = (struct ferry_query_item){.prefix = s->prefix,
                                                   .table = table_of(plan, g, r),
                                                   .gateway = gateway ? &gateway->gateway : NULL,
                                                   .interface = gateway ? gateway->interface : NULL};
    }
    assert_non_null(sim);
    assert_int_equal(sim->open(&ferry_env_real, &plan->routers[r].driver, plan->routers[r].name, state_dir,
                               &w->initial[r], &w->drivers[r], &err),
                     0);
}

static void read_router(struct world *w, uint32_t r)
{
    struct ferry_err err;
    ferry_fib_clear(&w->now[r]);
    assert_int_equal(ferry_driver_find("sim")->read(w->drivers[r], &w->query[r], &w->now[r], &err), 0);
}

static void do_change(struct world *w, const struct ferry_change *c, bool forward)
{
    struct ferry_err err;
    for (size_t s = 0; s < w->plan->groups[c->group].n_subnets; s++) {
        struct ferry_op op = ferry_plan_op(w->plan, c, s);
        if (!forward)
            op = ferry_op_swap(&op);
        assert_int_equal(ferry_driver_find("sim")->apply(w->drivers[c->router], &op, 1, &err), 0);
        if (op.outcome != FERRY_DONE)
            print_error("%s\n", op.why);
        assert_int_equal(op.outcome, FERRY_DONE);
    }
    read_router(w, c->router);
}

/* ---- Packets: what a router holds is what its driver reads. ---- */

static const struct ferry_entry *forwards(const struct world *w, uint32_t router)
{
    const struct ferry_entry *best = NULL;
    for (size_t i = 0; i < w->now[router].n; i++) {
        const struct ferry_fib_item *item = &w->now[router].items[i];
        if (item->query != w->group || item->relation != FERRY_EXACT ||
            item->entry.type == FERRY_ANNOUNCEMENT)
            continue;
        if (!best || item->entry.type == FERRY_GATEWAY ||
            (best->type != FERRY_GATEWAY && item->entry.metric < best->metric))
            best = &item->entry;
    }
    return best;
}

enum { ARRIVES = 0, DROPPED = 1, CIRCLES = 2, FALLS = 4, LEAVES = 8, FOLLOWS = 16 };

static int packet(const struct world *w, const struct ferry_topology *t, uint32_t router, unsigned ttl)
{
    const struct ferry_entry *e = forwards(w, router);
    int fate = 0;
    if (!e)
        return FALLS;
    if (e->type != FERRY_UNICAST)
        return e->type == FERRY_GATEWAY ? ARRIVES : DROPPED;
    if (!ttl)
        return CIRCLES;
    for (size_t i = 0; i < e->n_nexthops; i++) {
        uint32_t next = ferry_topology_owner(t, &e->nexthops[i].via);
        fate |= next == FERRY_NO_ROUTER ? LEAVES : packet(w, t, next, ttl - 1);
    }
    return fate;
}

static bool announces(const struct world *w, uint32_t router)
{
    for (size_t i = 0; i < w->now[router].n; i++)
        if (w->now[router].items[i].query == w->group &&
            w->now[router].items[i].entry.type == FERRY_ANNOUNCEMENT)
            return true;
    return false;
}

/* Attached, or announced, at two sites?  -1: at none. */
static int attached_sites(const struct world *w, const struct ferry_topology *t)
{
    uint32_t site = FERRY_NONE;
    for (uint32_t r = 0; r < t->n_routers; r++) {
        const struct ferry_entry *e = forwards(w, r);
        if ((!e || e->type != FERRY_GATEWAY) && !announces(w, r))
            continue;
        if (site != FERRY_NONE && site != t->routers[r].site)
            return 2;
        site = t->routers[r].site;
    }
    return site == FERRY_NONE ? -1 : 1;
}

static void judge(struct world *w, const struct ferry_topology *t, enum ferry_phase phase, unsigned seed,
                  uint64_t done)
{
    bool whole = phase == FERRY_PREPARE || phase == FERRY_SETTLE;
    int fate = 0;
    for (uint32_t r = 0; r < t->n_routers; r++) {
        fate |= packet(w, t, r, (unsigned)t->n_routers);
        if (!whole && ferry_entry_dynamic(forwards(w, r)))
            fate |= FOLLOWS;
    }
    int sites = attached_sites(w, t);
    bool good = !(fate & (CIRCLES | FALLS | LEAVES | FOLLOWS)) && sites != 2 &&
                (!whole || (fate == ARRIVES && sites == 1));
    w->faults += !good;
    if (!good && !w->spoilt)
        print_error("seed %u, %s, changes %llx: packets %d, sites %d\n", seed, ferry_phase_name(phase),
                    (unsigned long long)done, fate, sites);
    assert_true(good || w->spoilt);
    states++;
}

/* ---- Stages. ---- */

static void run_stage(struct world *w, const struct ferry_topology *t, const struct ferry_stage *stage,
                      unsigned seed)
{
    const struct ferry_change *own[64];
    unsigned n = 0;
    for (size_t i = 0; i < stage->n_changes; i++)
        if (stage->changes[i].group == w->group)
            own[n++] = &stage->changes[i];
    stages++;
    uint64_t done = 0, all = ((uint64_t)1 << n) - 1;
    for (uint64_t step = 0; n <= BITS_MAX && step <= all; step++) {
        uint64_t gray = step ^ step >> 1;
        if (gray != done) {
            unsigned i = (unsigned)__builtin_ctzll(gray ^ done);
            do_change(w, own[i], gray >> i & 1);
        }
        done = gray;
        judge(w, t, stage->phase, seed, done);
    }
    skipped += n > BITS_MAX;
    for (unsigned i = 0; i < n; i++)
        if (!(done >> i & 1))
            do_change(w, own[i], true);
}

/* What all routers hold, as text. */
static char *holdings(const struct world *w)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    for (uint32_t r = 0; r < w->plan->n_routers; r++) {
        const struct ferry_query all = {.all = true};
        struct ferry_fib fib = {0};
        struct ferry_err err;
        assert_int_equal(ferry_driver_find("sim")->read(w->drivers[r], &all, &fib, &err), 0);
        for (size_t i = 0; i < fib.n; i++) {
            char prefix[FERRY_PREFIX_STRLEN], entry[512];
            fprintf(f, "%s %s %s\n", w->plan->routers[r].name,
                    ferry_prefix_text(&fib.items[i].prefix, prefix),
                    ferry_entry_text(&fib.items[i].entry, entry, sizeof entry));
        }
        ferry_fib_clear(&fib);
        for (size_t i = 0; i < w->now[r].n; i++)
            if (w->now[r].items[i].entry.type == FERRY_ANNOUNCEMENT)
                fprintf(f, "%s announces %zu\n", w->plan->routers[r].name, (size_t)w->now[r].items[i].query);
    }
    fclose(f);
    return text;
}

/* One group's orders at a time: groups share no key, and the others have no part in what is walked. */
static uint64_t run_plan(const struct ferry_plan *plan, const struct ferry_topology *t, unsigned seed,
                         bool spoilt, char **ret_before, char **ret_after)
{
    struct world w = {.plan = plan, .spoilt = spoilt};
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        open_router(&w, r, directory);
        read_router(&w, r);
    }
    *ret_before = holdings(&w);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (w.group = 0; w.group < plan->n_groups; w.group++)
            run_stage(&w, t, &plan->stages[s], seed);
    *ret_after = holdings(&w);
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        ferry_driver_find("sim")->close(w.drivers[r]);
        ferry_fib_clear(&w.initial[r]);
        ferry_fib_clear(&w.now[r]);
        free(w.items[r]);
    }
    plans++;
    return w.faults;
}

static void remove_states(const struct ferry_plan *plan, const char *state_dir)
{
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        FERRY_AUTOFREE char *path = ferry_asprintf("%s/sim/%s.json", state_dir, plan->routers[r].name);
        unlink(path);
    }
}

static void one_network(unsigned seed, bool speaking)
{
    struct dice d = {seed + 1000000};
    struct ferry_topology *t = NULL;
    struct ferry_plan *undo = NULL, *redo = NULL;
    struct ferry_err err;
    FERRY_AUTOFREE char *text = speaking ? small_net_speaking(&d) : small_net(&d);
    if (ferry_topology_parse("small", text, strlen(text), &t, NULL, &err))
        fail_msg("seed %u: %s", seed, err.text);
    struct ferry_plan *p = small_plan(t, &d, false, NULL);
    assert_int_equal(ferry_plan_reverse(p, &undo, &err), 0);
    assert_int_equal(ferry_plan_reverse(undo, &redo, &err), 0);
    FERRY_AUTOFREE char *home = NULL, *moved = NULL, *from = NULL, *back = NULL, *start = NULL, *again = NULL;
    run_plan(p, t, seed, false, &home, &moved);
    run_plan(undo, t, seed, false, &from, &back);
    run_plan(redo, t, seed, false, &start, &again);
    assert_string_not_equal(home, moved);
    assert_string_equal(moved, from);
    assert_string_equal(home, back);
    assert_string_equal(home, start);
    assert_string_equal(moved, again);
    remove_states(p, directory);
    ferry_plan_free(redo);
    ferry_plan_free(undo);
    ferry_plan_free(p);
    ferry_topology_free(t);
}

static void run_networks(unsigned n, bool speaking)
{
    plans = stages = states = skipped = 0;
    for (unsigned seed = 0; seed < n; seed++)
        one_network(seed, speaking);
    print_message("%lu plans (moves, undos, redos), %lu stages, %lu states executed and walked; %lu stages "
                  "of more than "
                  "%u changes not permuted\n",
                  (unsigned long)plans, (unsigned long)stages, (unsigned long)states, (unsigned long)skipped,
                  BITS_MAX);
    assert_true(skipped <= (speaking ? SKIPPED : 0));
}

static void test_interleavings(void **state)
{
    (void)state;
    run_networks(SEEDS, false);
}

static void test_where_routers_speak(void **state)
{
    (void)state;
    run_networks(SPEAKING, true);
}

/* Detach and attach at once: what everybody does who pushes a move unordered.  NULL where a key would change
 * twice. */
static struct ferry_plan *unordered(const struct ferry_plan *p)
{
    struct ferry_plan *copy = spoil_copy(p);
    size_t at = 0;
    while (copy->stages[at].phase != FERRY_DETACH)
        at++;
    struct ferry_stage *a = &copy->stages[at], *b = &copy->stages[at + 1];
    for (size_t i = 0; i < b->n_changes; i++) {
        struct ferry_change *c = &b->changes[i];
        for (size_t k = 0; k < a->n_changes; k++)
            if (a->changes[k].router == c->router && a->changes[k].group == c->group &&
                a->changes[k].kind == c->kind && a->changes[k].metric == c->metric) {
                spoil_copy_free(copy);
                return NULL;
            }
        a->changes[a->n_changes++] = *c;
    }
    b->n_changes = 0;
    return copy;
}

/* The walking finds faults where there are some. */
static void test_unordered(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned seed = 0; seed < 40; seed++) {
        struct dice d = {seed + 1000000};
        struct ferry_topology *t = NULL;
        struct ferry_err err;
        FERRY_AUTOFREE char *text = small_net(&d), *before = NULL, *after = NULL;
        assert_int_equal(ferry_topology_parse("small", text, strlen(text), &t, NULL, &err), 0);
        struct ferry_plan *p = small_plan(t, &d, false, NULL);
        struct ferry_plan *bad = unordered(p);
        if (bad) {
            assert_true(run_plan(bad, t, seed, true, &before, &after) > 0);
            found++;
            remove_states(p, directory);
            spoil_copy_free(bad);
        }
        ferry_plan_free(p);
        ferry_topology_free(t);
    }
    assert_true(found >= 10);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    FERRY_AUTOFREE char *sim = ferry_asprintf("%s/sim", directory);
    rmdir(sim);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_interleavings),
                                       cmocka_unit_test(test_where_routers_speak),
                                       cmocka_unit_test(test_unordered)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
