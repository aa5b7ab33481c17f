/* The planner as a filter, for tests in other languages: no router, no journal.
 *
 *   plan-tool plan TOPOLOGY [--state PLAN] [--active SUBNET=SITE]... SUBNET=SITE...   prints the plan
 *   plan-tool reverse PLAN      prints the undo
 *   plan-tool again PLAN        reads, and prints what it read; exit status 3 where the id is not its
 * content's plan-tool rounds            reads "n", then for every router its old and its target next hops as
 *                               "k w1 … wk m x1 … xm"; prints a round for every router, "-" where unchanged
 *
 * --state takes what routers hold and fall to from the groups of a plan document (by names, so that routers
 * may be left out).  Refusals go to stderr as "RULE: text" with status 4.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <ferry/prove.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int fail(int r, const struct ferry_err *err)
{
    fprintf(stderr, "%s%s%s\n", err->rule, err->rule[0] ? ": " : "", err->text);
    return r == -FERRY_EREFUSED ? 4 : r == -FERRY_EINPUT ? 65 : 1;
}

static int print(struct ferry_plan *plan)
{
    char *text = ferry_plan_write(plan, true);
    fputs(text, stdout);
    free(text);
    ferry_plan_free(plan);
    return 0;
}

/* ---- A live state from a document. ---- */

static const struct ferry_entry *adopt_entry(const struct ferry_live *live, const struct ferry_plan *state,
                                             const struct ferry_entry *e)
{
    struct ferry_entry copy = *e;
    struct ferry_nexthop *hops = ferry_calloc(e->n_nexthops, sizeof *hops);
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        hops[i] = e->nexthops[i];
        if (hops[i].router != FERRY_NO_ROUTER)
            hops[i].router = ferry_topology_router(live->topology, state->routers[hops[i].router].name);
    }
    copy.nexthops = hops;
    const struct ferry_entry *ret = ferry_pool_entry(live->pool, &copy);
    free(hops);
    return ret;
}

static void put_group(struct ferry_live *live, const struct ferry_plan *state,
                      const struct ferry_group *group)
{
    const struct ferry_topology *t = live->topology;
    for (size_t s = 0; s < group->n_subnets; s++) {
        uint32_t subnet = ferry_topology_subnet(t, group->subnets[s].name);
        size_t column = 0;
        while (column < live->n_subnets && live->subnets[column] != subnet)
            column++;
        if (column == live->n_subnets)
            continue;
        for (uint32_t v = 0; v < state->n_routers; v++) {
            uint32_t router = ferry_topology_router(t, state->routers[v].name);
            const struct ferry_stack *stack = group->initial[v];
            const struct ferry_entry *entries[64];
            uint32_t n = 0;
            for (; stack && n < stack->n && n < 64; n++)
                entries[n] = adopt_entry(live, state, stack->entries[n]);
            size_t cell = router * live->n_subnets + column;
            live->stacks[cell] = ferry_pool_stack(live->pool, entries, n);
            live->covers[cell] = NULL;
            if (!n && group->covers[v].entry)
                live->covers[cell] = adopt_entry(live, state, group->covers[v].entry);
        }
    }
}

/* ---- plan ---- */

static struct ferry_move parse_move(const struct ferry_topology *t, const char *text)
{
    char name[256];
    const char *equals = strchr(text, '=');
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - text) : 0, text);
    struct ferry_move move = {.subnet = ferry_topology_subnet(t, name),
                              .to = ferry_topology_site(t, equals ? equals + 1 : "")};
    if (move.subnet == FERRY_NONE || move.to == FERRY_NONE) {
        fprintf(stderr, "no such subnet or site: %s\n", text);
        exit(64);
    }
    return move;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int plan_moves(const struct ferry_topology *t, int argc, char **argv, struct ferry_plan **ret,
                      struct ferry_err *err)
{
    uint32_t *active = ferry_calloc(t->n_subnets, sizeof *active),
             *subnets = ferry_calloc(t->n_subnets, sizeof *subnets);
    struct ferry_move *moves = ferry_calloc(t->n_subnets + (size_t)argc, sizeof *moves);
    struct ferry_pool *pool = ferry_pool_new();
    size_t n_moves = 0;
    const char *state_path = NULL;
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        subnets[i] = i;
        active[i] = t->subnets[i].home;
    }
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--state") && i + 1 < argc) {
            state_path = argv[++i];
        } else if (!strcmp(argv[i], "--active") && i + 1 < argc) {
            struct ferry_move at = parse_move(t, argv[++i]);
            active[at.subnet] = at.to;
        } else if (!strncmp(argv[i], "*=", 2)) { /* all subnets */
            for (uint32_t s = 0; s < t->n_subnets; s++)
                moves[n_moves++] = (struct ferry_move){s, ferry_topology_site(t, argv[i] + 2)};
        } else {
            moves[n_moves++] = parse_move(t, argv[i]);
        }
    }
    struct ferry_live *live = ferry_live_new(t, pool, subnets, t->n_subnets);
    double start = now();
    int r = ferry_live_offline(live, active, err);
    double read = now();
    struct ferry_plan *state = NULL;
    if (r == 0 && state_path)
        r = ferry_plan_load(state_path, &state, NULL, err);
    for (size_t g = 0; r == 0 && state && g < state->n_groups; g++)
        put_group(live, state, &state->groups[g]);
    if (r == 0)
        r = ferry_plan_make(live, moves, n_moves, ret, err);
    if (getenv("PLAN_TOOL_TIME"))
        fprintf(stderr, "live %.3f s, plan %.3f s\n", read - start, now() - read);
    ferry_plan_free(state);
    ferry_live_free(live);
    ferry_pool_free(pool);
    free(active);
    free(subnets);
    free(moves);
    return r;
}

static int verb_plan(int argc, char **argv)
{
    struct ferry_err err = {0};
    struct ferry_topology *t;
    struct ferry_plan *plan;
    int r = ferry_topology_load(argv[0], &t, NULL, &err);
    if (r < 0)
        return fail(r, &err);
    r = plan_moves(t, argc - 1, argv + 1, &plan, &err);
    ferry_topology_free(t);
    return r < 0 ? fail(r, &err) : print(plan);
}

static int verb_read(const char *path, bool reverse)
{
    struct ferry_err err = {0};
    struct ferry_plan *plan, *undo;
    bool matches;
    int r = ferry_plan_load(path, &plan, &matches, &err);
    if (r < 0)
        return fail(r, &err);
    if (reverse) {
        r = ferry_plan_reverse(plan, &undo, &err);
        ferry_plan_free(plan);
        return r < 0 ? fail(r, &err) : print(undo);
    }
    print(plan);
    return matches ? 0 : 3;
}

static int prove(const struct ferry_plan *plan, const char *what, struct ferry_err *err)
{
    struct ferry_proof proof = {0};
    int r = ferry_prove(plan, 12, &proof, err);
    if (r == 0)
        printf("%s: safe, %s states, %" PRIu64 " walked\n", what, proof.states, proof.walked);
    ferry_proof_clear(&proof);
    return r < 0 ? ferry_error_prefix(err, r, "%s", what) : 0;
}

static int verb_prove(const char *path)
{
    struct ferry_err err = {0};
    struct ferry_plan *plan, *undo;
    int r = ferry_plan_load(path, &plan, NULL, &err);
    if (r < 0)
        return fail(r, &err);
    r = prove(plan, "plan", &err);
    if (r == 0)
        r = ferry_plan_reverse(plan, &undo, &err);
    ferry_plan_free(plan);
    if (r < 0)
        return fail(r, &err);
    r = prove(undo, "undo", &err);
    ferry_plan_free(undo);
    return r < 0 ? fail(r, &err) : 0;
}

/* ---- rounds ---- */

static struct ferry_entry read_hops(void)
{
    unsigned k = 0;
    if (scanf("%u", &k) != 1 || k > 1000)
        exit(64);
    struct ferry_nexthop *hops = ferry_calloc(k, sizeof *hops);
    for (unsigned i = 0; i < k; i++)
        if (scanf("%" SCNu32, &hops[i].router) != 1)
            exit(64);
    return (struct ferry_entry){.type = FERRY_UNICAST, .n_nexthops = (uint16_t)k, .nexthops = hops};
}

static int verb_rounds(void)
{
    uint32_t n;
    struct ferry_edges edges[2];
    if (scanf("%" SCNu32, &n) != 1 || n > 1000000)
        return 64;
    struct ferry_entry *entries[2] = {ferry_calloc(n, sizeof **entries), ferry_calloc(n, sizeof **entries)};
    const struct ferry_entry **way = ferry_calloc(n, sizeof *way);
    for (uint32_t v = 0; v < n; v++)
        for (int side = 0; side < 2; side++)
            entries[side][v] = read_hops();
    for (int side = 0; side < 2; side++) {
        for (uint32_t v = 0; v < n; v++)
            way[v] = &entries[side][v];
        ferry_edges_build(&edges[side], way, n);
    }
    bool *changing = ferry_calloc(n, sizeof *changing);
    uint32_t *round = ferry_calloc(n, sizeof *round);
    for (uint32_t v = 0; v < n; v++)
        changing[v] = !ferry_edges_same(&edges[0], &edges[1], v);
    uint32_t rounds = ferry_rounds(&edges[0], &edges[1], changing, round);
    if (rounds == UINT32_MAX)
        return 4;
    for (uint32_t v = 0; v < n; v++)
        if (round[v] == FERRY_NONE)
            fputs("- ", stdout);
        else
            printf("%" PRIu32 " ", round[v]);
    puts("");
    for (int side = 0; side < 2; side++) {
        ferry_edges_clear(&edges[side]);
        for (uint32_t v = 0; v < n; v++)
            free((void *)(uintptr_t)entries[side][v].nexthops);
        free(entries[side]);
    }
    free(way);
    free(changing);
    free(round);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && !strcmp(argv[1], "plan"))
        return verb_plan(argc - 2, argv + 2);
    if (argc == 3 && !strcmp(argv[1], "reverse"))
        return verb_read(argv[2], true);
    if (argc == 3 && !strcmp(argv[1], "again"))
        return verb_read(argv[2], false);
    if (argc == 3 && !strcmp(argv[1], "prove"))
        return verb_prove(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "rounds"))
        return verb_rounds();
    fputs("usage: see the head of plan_tool.c\n", stderr);
    return 64;
}
