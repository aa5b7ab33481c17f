/* Which of the moved subnets share everything but the prefix: one plan a class.
 *
 * The key of a column is a 128-bit hash that is mixed row by row (the matrix is laid out that way); members
 * are then compared with the first of their class, again row by row, so that a collision costs a class of its
 * own and never a wrong plan.  Used by make.c.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/class.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct key {
    uint64_t a, b;
    uint32_t move;
};

static void mix(struct key *key, uint64_t value)
{
    key->a = ferry_hash_u64(key->a, value);
    key->b = ferry_hash_u64(key->b ^ UINT64_C(0xa5a5a5a55a5a5a5a), value);
}

static uint64_t pointer(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* Where it is and can be attached, and where its routes go. */
static void mix_subnet(struct key *key, const struct ferry_subnet *subnet, uint32_t to)
{
    mix(key, subnet->prefix.addr.family);
    mix(key, to);
    mix(key, subnet->table);
    mix(key, subnet->stretched);
    mix(key, subnet->is_host ? (uint64_t)subnet->around + 1 : 0); /* what its attachment stands on */
    for (size_t i = 0; i < subnet->n_gateways; i++)
        mix(key, (uint64_t)subnet->gateways[i].router << 1 | (subnet->gateways[i].via.family != 0));
}

static bool same_subnet(const struct ferry_subnet *a, const struct ferry_subnet *b)
{
    if (a->prefix.addr.family != b->prefix.addr.family || a->table != b->table ||
        a->stretched != b->stretched || a->is_host != b->is_host || (a->is_host && a->around != b->around) ||
        a->host_routes != b->host_routes || a->n_gateways != b->n_gateways)
        return false;
    for (size_t i = 0; i < a->n_gateways; i++)
        if (a->gateways[i].router != b->gateways[i].router ||
            !a->gateways[i].via.family != !b->gateways[i].via.family)
            return false;
    return true;
}

/* Covering prefixes too, where they forward: the order of the conflicts does not matter. */
static void mix_covers(const struct ferry_live *live, const uint32_t *move_of, const uint32_t *columns,
                       struct key *keys)
{
    for (size_t i = 0; i < live->n_conflicts; i++) {
        const struct ferry_conflict *c = &live->conflicts[i];
        if (c->relation != FERRY_COVERING || move_of[c->subnet] == FERRY_NONE)
            continue;
        if (ferry_stack_best(live->stacks[c->router * live->n_subnets + columns[move_of[c->subnet]]]))
            continue;
        struct key *key = &keys[move_of[c->subnet]];
        uint64_t h = ferry_hash_u64(c->router, c->prefix.len);
        h = ferry_hash(h, &c->prefix.addr, sizeof c->prefix.addr);
        key->a += ferry_hash_u64(h, 1);
        key->b += ferry_hash_u64(h, 2);
    }
}

static void mix_columns(const struct ferry_live *live, const uint32_t *columns, size_t n, struct key *keys)
{
    for (size_t v = 0; v < live->topology->n_routers; v++) {
        const struct ferry_stack *const *stacks = live->stacks + v * live->n_subnets;
        const struct ferry_entry *const *covers = live->covers + v * live->n_subnets;
        for (size_t m = 0; m < n; m++) {
            uint32_t c = columns[m];
            mix(&keys[m], pointer(stacks[c]));
            if (!ferry_stack_best(stacks[c]))
                mix(&keys[m], pointer(covers[c]));
        }
    }
}

static int by_key(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    if (a->b != b->b)
        return a->b < b->b ? -1 : 1;
    return a->move < b->move ? -1 : a->move > b->move;
}

/* leader[m]: the first move of m's class. */
static void verify(const struct ferry_live *live, const struct ferry_move *moves, const uint32_t *columns,
                   size_t n, uint32_t *leader)
{
    const struct ferry_subnet *subnets = live->topology->subnets;
    for (uint32_t m = 0; m < n; m++)
        if (moves[m].to != moves[leader[m]].to ||
            !same_subnet(&subnets[moves[m].subnet], &subnets[moves[leader[m]].subnet]))
            leader[m] = m;
    for (size_t v = 0; v < live->topology->n_routers; v++) {
        const struct ferry_stack *const *stacks = live->stacks + v * live->n_subnets;
        const struct ferry_entry *const *covers = live->covers + v * live->n_subnets;
        for (uint32_t m = 0; m < n; m++) {
            uint32_t c = columns[m], first = columns[leader[m]];
            if (stacks[c] != stacks[first] || (!ferry_stack_best(stacks[c]) && covers[c] != covers[first]))
                leader[m] = m;
        }
    }
}

static void find_leaders(const struct ferry_live *live, const struct ferry_move *moves,
                         const uint32_t *columns, size_t n, uint32_t *leader)
{
    FERRY_AUTOFREE struct key *keys = ferry_calloc(n, sizeof *keys);
    FERRY_AUTOFREE uint32_t *move_of = ferry_calloc(live->topology->n_subnets, sizeof *move_of);
    memset(move_of, 0xff, live->topology->n_subnets * sizeof *move_of); /* FERRY_NONE */
    for (uint32_t m = 0; m < n; m++) {
        keys[m].move = m;
        move_of[moves[m].subnet] = m;
        mix_subnet(&keys[m], &live->topology->subnets[moves[m].subnet], moves[m].to);
    }
    mix_columns(live, columns, n, keys);
    mix_covers(live, move_of, columns, keys);
    qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0, first = 0; i < n; i++) {
        if (keys[i].a != keys[first].a || keys[i].b != keys[first].b)
            first = i;
        leader[keys[i].move] = keys[first].move;
    }
    verify(live, moves, columns, n, leader);
}

void ferry_classes_free(struct ferry_classes *classes)
{
    for (size_t i = 0; i < classes->n; i++)
        free(classes->v[i].moves);
    free(classes->v);
    *classes = (struct ferry_classes){0};
}

void ferry_classes_make(const struct ferry_live *live, const struct ferry_move *moves,
                        const uint32_t *columns, size_t n, struct ferry_classes *ret)
{
    FERRY_AUTOFREE uint32_t *leader = ferry_calloc(n, sizeof *leader);
    FERRY_AUTOFREE uint32_t *class_of = ferry_calloc(n, sizeof *class_of);
    find_leaders(live, moves, columns, n, leader);
    for (uint32_t m = 0; m < n; m++) { /* a leader precedes its members */
        if (leader[m] == m) {
            class_of[m] = (uint32_t)ret->n;
            FERRY_GROW(ret->v, ret->n);
            ret->v[ret->n++] =
                (struct ferry_class){.column = columns[m], .from = FERRY_NONE, .to = moves[m].to};
        }
        struct ferry_class *class = &ret->v[class_of[leader[m]]];
        FERRY_GROW(class->moves, class->n_moves);
        class->moves[class->n_moves++] = m;
    }
}
