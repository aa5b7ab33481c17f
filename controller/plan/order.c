/* In how few rounds one forwarding becomes another without a loop in any interleaving (docs/planner.md).
 *
 * A round may hold a set R of routers if and only if the union of old and target edges for R, target edges
 * for the routers that are done and old ones for the rest is acyclic.  The greedy below adds routers to R one
 * by one in several orders and keeps the order that needs the fewest rounds.
 *
 * Invariants
 *  1. The current graph (see step()) is acyclic before and after every acceptance.
 *  2. A fixed router reaches fixed routers alone: no later acceptance can put it on a cycle.
 *  3. Every round accepts at least one router: the unfinished one that is lowest in the target has only fixed
 *     routers below it.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <assert.h>
#include <string.h>

enum { BEFORE, BOTH, AFTER };

struct rounds {
    const struct ferry_edges *old, *target;
    const bool *changing;
    uint32_t n, n_changing;
    uint32_t *old_order, *target_order; /* neighbours before oneself */
    uint8_t *state;                     /* BEFORE, BOTH (in this round), AFTER */
    bool *fixed;                        /* all that it reaches in target has changed for good */
    uint32_t *seen, stamp;              /* of the search */
    uint32_t *stack;
    uint32_t *candidates, *attempt;
};

static void rounds_clear(struct rounds *r)
{
    free(r->old_order);
    free(r->target_order);
    free(r->state);
    free(r->fixed);
    free(r->seen);
    free(r->stack);
    free(r->candidates);
    free(r->attempt);
}

static void push(struct rounds *r, const struct ferry_edges *edges, uint32_t v, uint32_t *depth)
{
    for (uint32_t i = edges->first[v]; i < edges->first[v + 1]; i++) {
        uint32_t w = edges->to[i];
        if (r->fixed[w] || r->seen[w] == r->stamp)
            continue;
        r->seen[w] = r->stamp;
        r->stack[(*depth)++] = w;
    }
}

/* Whether `from` leads to `v` in the current graph. */
static bool reaches(struct rounds *r, uint32_t from, uint32_t v)
{
    uint32_t depth = 0;
    if (r->fixed[from]) /* invariant 2: v is not fixed */
        return false;
    r->stamp++;
    r->seen[from] = r->stamp;
    r->stack[depth++] = from;
    while (depth) {
        uint32_t u = r->stack[--depth];
        if (u == v)
            return true;
        if (r->state[u] != AFTER)
            push(r, r->old, u, &depth);
        if (r->state[u] != BEFORE)
            push(r, r->target, u, &depth);
    }
    return false;
}

static bool has_edge(const struct ferry_edges *edges, uint32_t v, uint32_t w)
{
    for (uint32_t i = edges->first[v]; i < edges->first[v + 1]; i++)
        if (edges->to[i] == w)
            return true;
    return false;
}

static bool acceptable(struct rounds *r, uint32_t v)
{
    for (uint32_t i = r->target->first[v]; i < r->target->first[v + 1]; i++) {
        uint32_t w = r->target->to[i];
        if (!has_edge(r->old, v, w) && reaches(r, w, v))
            return false;
    }
    return true;
}

static void fix(struct rounds *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t v = r->target_order[i];
        bool fixed = r->state[v] == AFTER;
        for (uint32_t k = r->target->first[v]; fixed && k < r->target->first[v + 1]; k++)
            fixed = r->fixed[r->target->to[k]];
        r->fixed[v] = fixed;
    }
}

/* Runs the greedy over `candidates` in their order; stops where it is no better than `limit`. */
static uint32_t greedy(struct rounds *r, uint32_t limit)
{
    uint32_t left = r->n_changing, round = 0;
    FERRY_AUTOFREE uint32_t *queue = ferry_calloc(left, sizeof *queue);
    memcpy(queue, r->candidates, left * sizeof *queue);
    for (uint32_t v = 0; v < r->n; v++)
        r->state[v] = r->changing[v] ? BEFORE : AFTER;
    for (; left; round++) {
        uint32_t waiting = 0;
        if (round >= limit)
            return UINT32_MAX;
        fix(r);
        for (uint32_t i = 0; i < left; i++) {
            uint32_t v = queue[i];
            if (acceptable(r, v)) {
                r->state[v] = BOTH;
                r->attempt[v] = round;
            } else {
                queue[waiting++] = v;
            }
        }
        assert(waiting < left); /* invariant 3 */
        left = waiting;
        for (uint32_t i = 0; i < r->n_changing; i++)
            if (r->state[r->candidates[i]] == BOTH)
                r->state[r->candidates[i]] = AFTER;
    }
    return round;
}

/* Sorts the candidates by ascending key, ties by index. */
static void order_by(struct rounds *r, const uint32_t *key)
{
    uint32_t k = 0;
    FERRY_AUTOFREE uint32_t *count = ferry_calloc((size_t)r->n + 2, sizeof *count);
    for (uint32_t v = 0; v < r->n; v++)
        if (r->changing[v])
            count[key[v] + 1]++;
    for (uint32_t i = 0; i <= r->n; i++)
        count[i + 1] += count[i];
    for (uint32_t v = 0; v < r->n; v++)
        if (r->changing[v]) {
            r->candidates[count[key[v]]++] = v;
            k++;
        }
    assert(k == r->n_changing);
}

/* Changing routers on the longest way down the target, itself not counted. */
static void depth_below(const struct rounds *r, uint32_t *key)
{
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t v = r->target_order[i], most = 0;
        for (uint32_t k = r->target->first[v]; k < r->target->first[v + 1]; k++) {
            uint32_t w = r->target->to[k], d = key[w] + r->changing[w];
            most = d > most ? d : most;
        }
        key[v] = most;
    }
}

/* Changing routers on the longest chain that leads here in the old graph, itself not counted. */
static void depth_above(const struct rounds *r, uint32_t *key)
{
    memset(key, 0, r->n * sizeof *key);
    for (uint32_t i = r->n; i-- > 0;) {
        uint32_t v = r->old_order[i], d = key[v] + r->changing[v];
        for (uint32_t k = r->old->first[v]; k < r->old->first[v + 1]; k++) {
            uint32_t w = r->old->to[k];
            key[w] = d > key[w] ? d : key[w];
        }
    }
}

/* Who forwards to a router that still forwards back to it has to wait for it: so many rounds at least. */
static uint32_t lower_bound(const struct rounds *r, uint32_t *key)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t v = r->target_order[i];
        key[v] = 0;
        for (uint32_t k = r->target->first[v]; r->changing[v] && k < r->target->first[v + 1]; k++) {
            uint32_t w = r->target->to[k];
            if (r->changing[w] && key[w] >= key[v] && has_edge(r->old, w, v))
                key[v] = key[w] + 1;
        }
        most = key[v] > most ? key[v] : most;
    }
    return most + 1;
}

/* A fixed sequence (xorshift64): the same input always gives the same plan. */
static void shuffle(struct rounds *r, uint64_t *state)
{
    for (uint32_t i = r->n_changing; i > 1; i--) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        uint32_t k = (uint32_t)(*state % i), v = r->candidates[k];
        r->candidates[k] = r->candidates[i - 1];
        r->candidates[i - 1] = v;
    }
}

static void rounds_init(struct rounds *r)
{
    r->old_order = ferry_calloc(r->n, sizeof *r->old_order);
    r->target_order = ferry_calloc(r->n, sizeof *r->target_order);
    r->state = ferry_calloc(r->n, sizeof *r->state);
    r->fixed = ferry_calloc(r->n, sizeof *r->fixed);
    r->seen = ferry_calloc(r->n, sizeof *r->seen);
    r->stack = ferry_calloc(r->n, sizeof *r->stack);
    r->candidates = ferry_calloc(r->n, sizeof *r->candidates);
    r->attempt = ferry_calloc(r->n, sizeof *r->attempt);
    for (uint32_t v = 0; v < r->n; v++)
        r->n_changing += r->changing[v];
}

static uint32_t best_of(struct rounds *r, uint32_t *round)
{
    /* Shuffles by the size, so that planning stays a matter of milliseconds. */
    enum { ORDERS = 2, SHUFFLES_MOST = 40, SHUFFLED_ROUTERS = 4000 };
    FERRY_AUTOFREE uint32_t *key = ferry_calloc(r->n, sizeof *key);
    uint32_t best = UINT32_MAX, least = lower_bound(r, key), shuffles = SHUFFLED_ROUTERS / r->n + 1;
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    uint32_t tries = ORDERS + (shuffles < SHUFFLES_MOST ? shuffles : SHUFFLES_MOST);
    for (uint32_t i = 0; i < tries && best > least; i++) {
        if (i == 0)
            depth_below(r, key);
        else if (i == 1)
            depth_above(r, key);
        if (i < ORDERS)
            order_by(r, key);
        else
            shuffle(r, &seed);
        uint32_t used = greedy(r, best);
        if (used >= best)
            continue;
        best = used;
        for (uint32_t v = 0; v < r->n; v++)
            round[v] = r->changing[v] ? r->attempt[v] : FERRY_NONE;
    }
    return best;
}

uint32_t ferry_rounds(const struct ferry_edges *old, const struct ferry_edges *target, const bool *changing,
                      uint32_t *round)
{
    FERRY_CLEANUP(rounds_clear)
    struct rounds r = {.old = old, .target = target, .changing = changing, .n = old->n};
    rounds_init(&r);
    if (ferry_edges_sort(old, r.old_order) || ferry_edges_sort(target, r.target_order))
        return UINT32_MAX;
    if (!r.n_changing) {
        for (uint32_t v = 0; v < r.n; v++)
            round[v] = FERRY_NONE;
        return 0;
    }
    return best_of(&r, round);
}
