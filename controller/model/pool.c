/* Interning of entries and stacks: equal values become the same pointer.
 *
 * Two hash tables with open addressing over an arena that only grows.  Invariants:
 *  1. An interned entry's next hops are sorted and none is `down`.
 *  2. Two entries of one pool that agree in all fields (`router` of the next hops included: on different
 *     routers the same device leads to different neighbours) are one pointer.
 *  3. A stack's entries are interned in the same pool and sorted by compare_entries, a total order.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/entry.h>

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK       65536u
#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct slot {
    uint64_t hash;
    const void *value; /* NULL: free */
};

struct table {
    struct slot *slots;
    size_t n, mask; /* mask + 1 slots, at most half of them taken */
};

struct ferry_pool {
    struct chunk *chunks;
    struct table entries, stacks;
};

static void *arena(struct ferry_pool *pool, size_t size)
{
    struct chunk *chunk = pool->chunks;
    size = (size + 15) & ~(size_t)15;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK ? size : CHUNK;
        chunk = ferry_realloc(NULL, 1, sizeof *chunk + room);
        *chunk = (struct chunk){.next = pool->chunks, .size = room};
        pool->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += size;
    return p;
}

static void table_init(struct table *table)
{
    table->mask = 63;
    table->slots = ferry_calloc(table->mask + 1, sizeof *table->slots);
}

static void table_put(struct table *table, uint64_t hash, const void *value)
{
    size_t i = hash & table->mask;
    while (table->slots[i].value)
        i = (i + 1) & table->mask;
    table->slots[i] = (struct slot){hash, value};
    table->n++;
}

static void table_add(struct table *table, uint64_t hash, const void *value)
{
    if (2 * (table->n + 1) > table->mask + 1) {
        struct table bigger = {.mask = 4 * (table->mask + 1) - 1};
        bigger.slots = ferry_calloc(bigger.mask + 1, sizeof *bigger.slots);
        for (size_t i = 0; i <= table->mask; i++)
            if (table->slots[i].value)
                table_put(&bigger, table->slots[i].hash, table->slots[i].value);
        free(table->slots);
        *table = bigger;
    }
    table_put(table, hash, value);
}

struct ferry_pool *ferry_pool_new(void)
{
    struct ferry_pool *pool = ferry_calloc(1, sizeof *pool);
    table_init(&pool->entries);
    table_init(&pool->stacks);
    return pool;
}

void ferry_pool_free(struct ferry_pool *pool)
{
    if (!pool)
        return;
    while (pool->chunks) {
        struct chunk *next = pool->chunks->next;
        free(pool->chunks);
        pool->chunks = next;
    }
    free(pool->entries.slots);
    free(pool->stacks.slots);
    free(pool);
}

size_t ferry_pool_count(const struct ferry_pool *pool)
{
    return pool->entries.n + pool->stacks.n;
}

/* ---- Entries. ---- */

static int compare_nexthops(const void *a, const void *b)
{
    return ferry_nexthop_compare(a, b);
}

/* A total order in which the best comes first. */
static int compare_entries(const struct ferry_entry *a, const struct ferry_entry *b)
{
    int c = ORDER(b->type == FERRY_GATEWAY, a->type == FERRY_GATEWAY);
    if (c == 0)
        c = ORDER(!ferry_entry_forwards(a), !ferry_entry_forwards(b));
    if (c == 0)
        c = ORDER(a->type == FERRY_ANNOUNCEMENT, b->type == FERRY_ANNOUNCEMENT);
    if (c == 0)
        c = ORDER(a->metric, b->metric);
    if (c == 0)
        c = ORDER(a->table, b->table);
    if (c == 0)
        c = ORDER(a->type, b->type);
    if (c == 0)
        c = ORDER(a->protocol, b->protocol);
    if (c == 0)
        c = ORDER(a->n_nexthops, b->n_nexthops);
    for (size_t i = 0; c == 0 && i < a->n_nexthops; i++)
        c = ferry_nexthop_compare(&a->nexthops[i], &b->nexthops[i]);
    if (c == 0)
        c = ORDER(a->native_len, b->native_len);
    return c || !a->native_len ? c : memcmp(a->native, b->native, a->native_len);
}

static uint64_t hash_entry(const struct ferry_entry *e)
{
    uint64_t h = ferry_hash_u64((uint64_t)e->type << 8 | e->protocol, (uint64_t)e->table << 32 | e->metric);
    for (size_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        h = ferry_hash(h, hop->via.bytes, ferry_addr_bits(hop->via.family) / 8);
        h = ferry_hash(h, hop->dev, strnlen(hop->dev, sizeof hop->dev));
        h = ferry_hash_u64(h, (uint64_t)hop->router << 32 | (uint64_t)hop->weight << 1 | hop->onlink);
    }
    return e->native_len ? ferry_hash(h, e->native, e->native_len) : h;
}

static const struct ferry_entry *find_entry(const struct ferry_pool *pool, uint64_t hash,
                                            const struct ferry_entry *e)
{
    const struct table *table = &pool->entries;
    for (size_t i = hash & table->mask; table->slots[i].value; i = (i + 1) & table->mask)
        if (table->slots[i].hash == hash && compare_entries(table->slots[i].value, e) == 0)
            return table->slots[i].value;
    return NULL;
}

static bool is_sorted(const struct ferry_entry *e)
{
    for (size_t i = 1; i < e->n_nexthops; i++)
        if (ferry_nexthop_compare(&e->nexthops[i - 1], &e->nexthops[i]) > 0)
            return false;
    return true;
}

const struct ferry_entry *ferry_pool_entry(struct ferry_pool *pool, const struct ferry_entry *e)
{
    struct ferry_entry wanted = *e;
    FERRY_AUTOFREE struct ferry_nexthop *sorted = NULL;
    if (!is_sorted(e)) {
        wanted.nexthops = sorted = ferry_memdup(e->nexthops, e->n_nexthops * sizeof *sorted);
        qsort(sorted, e->n_nexthops, sizeof *sorted, compare_nexthops);
    }
    uint64_t hash = hash_entry(&wanted);
    const struct ferry_entry *found = find_entry(pool, hash, &wanted);
    if (found)
        return found;
    struct ferry_entry *new = arena(pool, sizeof *new);
    *new = wanted;
    new->nexthops = NULL;
    new->native = NULL;
    if (wanted.n_nexthops) {
        struct ferry_nexthop *hops = arena(pool, wanted.n_nexthops * sizeof *hops);
        memcpy(hops, wanted.nexthops, wanted.n_nexthops * sizeof *hops);
        for (size_t i = 0; i < wanted.n_nexthops; i++)
            hops[i].down = false; /* invariant 1 */
        new->nexthops = hops;
    }
    if (wanted.native_len)
        new->native = memcpy(arena(pool, wanted.native_len), wanted.native, wanted.native_len);
    table_add(&pool->entries, hash, new);
    return new;
}

/* ---- Stacks. ---- */

const struct ferry_entry *ferry_stack_best(const struct ferry_stack *stack)
{
    return stack && ferry_entry_forwards(stack->entries[0]) ? stack->entries[0] : NULL;
}

static int compare_pointers(const void *a, const void *b)
{
    return compare_entries(*(const struct ferry_entry *const *)a, *(const struct ferry_entry *const *)b);
}

const struct ferry_stack *ferry_pool_stack(struct ferry_pool *pool, const struct ferry_entry *const *entries,
                                           uint32_t n)
{
    if (n == 0)
        return NULL;
    FERRY_AUTOFREE const struct ferry_entry **sorted = NULL;
    if (n > 1) {
        sorted = ferry_memdup(entries, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_pointers);
        entries = sorted;
    }
    uint64_t hash = n;
    for (uint32_t i = 0; i < n; i++)
        hash = ferry_hash_u64(hash, (uintptr_t)entries[i]);
    const struct table *table = &pool->stacks;
    for (size_t i = hash & table->mask; table->slots[i].value; i = (i + 1) & table->mask) {
        const struct ferry_stack *stack = table->slots[i].value;
        if (table->slots[i].hash == hash && stack->n == n &&
            memcmp(stack->entries, entries, n * sizeof *entries) == 0)
            return stack;
    }
    struct ferry_stack *new = arena(pool, sizeof *new + n * sizeof *entries);
    new->n = n;
    memcpy(new->entries, entries, n * sizeof *entries);
    table_add(&pool->stacks, hash, new);
    return new;
}
