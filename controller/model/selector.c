/* Which queried prefixes a held route touches: a radix tree per family and routing table.
 *
 * A tree is path-compressed: a node's prefix is what all below it share.  Invariants:
 *  1. A child's prefix is longer than its parent's and covered by it; `child[b]` holds those whose next bit is
 *     b.
 *  2. A node without items has two children.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/fib.h>

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct node {
    struct ferry_prefix prefix;
    uint32_t child[2];
    uint32_t item; /* the first item of exactly this prefix, or NONE; others follow in `next_item` */
};

struct tree {
    uint32_t table;
    uint8_t family;
    uint32_t root;
};

struct ferry_selector {
    struct node *nodes;
    size_t n_nodes;
    struct tree *trees; /* sorted by compare_trees */
    size_t n_trees;
    uint32_t *next_item; /* [query items] */
};

static int compare_trees(const void *left, const void *right)
{
    const struct tree *a = left, *b = right;
    int c = (a->table > b->table) - (a->table < b->table);
    return c ? c : (int)a->family - (int)b->family;
}

static unsigned bit(const struct ferry_addr *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1u;
}

/* How many leading bits two prefixes share. */
static uint8_t common(const struct ferry_prefix *a, const struct ferry_prefix *b)
{
    unsigned most = a->len < b->len ? a->len : b->len, n = 0;
    while (n < most) {
        unsigned char differ = a->addr.bytes[n / 8] ^ b->addr.bytes[n / 8];
        if (differ) {
            n += (unsigned)__builtin_clz(differ) - 24; /* an int has 32 bits */
            break;
        }
        n += 8;
    }
    return (uint8_t)(n < most ? n : most);
}

static uint32_t new_node(struct ferry_selector *s, const struct ferry_prefix *prefix)
{
    FERRY_GROW(s->nodes, s->n_nodes);
    s->nodes[s->n_nodes] = (struct node){.prefix = *prefix, .child = {NONE, NONE}, .item = NONE};
    return (uint32_t)s->n_nodes++;
}

/* The node of exactly this prefix in the tree below `at` (NONE: empty), made where missing; *at may change.
 */
static uint32_t insert(struct ferry_selector *s, uint32_t *root, const struct ferry_prefix *prefix)
{
    uint32_t parent = NONE, at = *root, made;
    unsigned side = 0;
    while (at != NONE && ferry_prefix_covers(&s->nodes[at].prefix, prefix)) {
        if (s->nodes[at].prefix.len == prefix->len)
            return at;
        parent = at;
        side = bit(&prefix->addr, s->nodes[at].prefix.len);
        at = s->nodes[at].child[side];
    }
    uint32_t leaf = made = new_node(s, prefix);
    if (at != NONE) { /* `prefix` covers what is there, or they part somewhere above both */
        struct ferry_prefix shared = *prefix;
        shared.len = common(prefix, &s->nodes[at].prefix);
        shared = ferry_prefix_network(&shared);
        if (shared.len < prefix->len) {
            made = new_node(s, &shared);
            s->nodes[made].child[bit(&prefix->addr, shared.len)] = leaf;
        }
        s->nodes[made].child[bit(&s->nodes[at].prefix.addr, shared.len)] = at;
    }
    if (parent == NONE)
        *root = made;
    else
        s->nodes[parent].child[side] = made;
    return leaf;
}

static struct tree *find_tree(const struct ferry_selector *s, uint32_t table, uint8_t family)
{
    struct tree key = {.table = table, .family = family};
    return s->n_trees ? bsearch(&key, s->trees, s->n_trees, sizeof *s->trees, compare_trees) : NULL;
}

static void make_trees(struct ferry_selector *s, const struct ferry_query *query)
{
    s->trees = ferry_calloc(query->n, sizeof *s->trees);
    for (size_t i = 0; i < query->n; i++)
        s->trees[i] = (struct tree){query->items[i].table, query->items[i].prefix.addr.family, NONE};
    if (query->n)
        qsort(s->trees, query->n, sizeof *s->trees, compare_trees);
    for (size_t i = 0; i < query->n; i++)
        if (i == 0 || compare_trees(&s->trees[s->n_trees - 1], &s->trees[i]) != 0)
            s->trees[s->n_trees++] = s->trees[i];
}

struct ferry_selector *ferry_selector_new(const struct ferry_query *query)
{
    struct ferry_selector *s = ferry_calloc(1, sizeof *s);
    make_trees(s, query);
    s->next_item = ferry_calloc(query->n, sizeof *s->next_item);
    for (size_t i = query->n; i-- > 0;) { /* backwards, so that items of one prefix come in their order */
        const struct ferry_query_item *item = &query->items[i];
        uint32_t node = insert(s, &find_tree(s, item->table, item->prefix.addr.family)->root, &item->prefix);
        s->next_item[i] = s->nodes[node].item;
        s->nodes[node].item = (uint32_t)i;
    }
    return s;
}

void ferry_selector_free(struct ferry_selector *selector)
{
    if (!selector)
        return;
    free(selector->nodes);
    free(selector->trees);
    free(selector->next_item);
    free(selector);
}

struct call {
    void (*found)(void *ctx, uint32_t query_item, enum ferry_relation relation);
    void *ctx;
};

static void report(const struct ferry_selector *s, uint32_t node, enum ferry_relation relation,
                   const struct call *call)
{
    for (uint32_t i = s->nodes[node].item; i != NONE; i = s->next_item[i])
        call->found(call->ctx, i, relation);
}

/* All below; by invariant 1 the recursion is at most 128 deep. */
static void report_below(const struct ferry_selector *s, uint32_t node, const struct call *call)
{
    for (unsigned side = 0; side < 2; side++) {
        uint32_t child = s->nodes[node].child[side];
        if (child == NONE)
            continue;
        report(s, child, FERRY_COVERING, call);
        report_below(s, child, call);
    }
}

void ferry_selector_match(const struct ferry_selector *selector, const struct ferry_prefix *prefix,
                          uint32_t table,
                          void (*found)(void *ctx, uint32_t query_item, enum ferry_relation relation),
                          void *ctx)
{
    const struct tree *tree = find_tree(selector, table, prefix->addr.family);
    struct call call = {found, ctx};
    uint32_t at = tree ? tree->root : NONE;
    while (at != NONE && selector->nodes[at].prefix.len < prefix->len &&
           ferry_prefix_covers(&selector->nodes[at].prefix, prefix)) {
        report(selector, at, FERRY_MORE_SPECIFIC, &call);
        at = selector->nodes[at].child[bit(&prefix->addr, selector->nodes[at].prefix.len)];
    }
    if (at == NONE || !ferry_prefix_covers(prefix, &selector->nodes[at].prefix))
        return;
    report(selector, at, selector->nodes[at].prefix.len == prefix->len ? FERRY_EXACT : FERRY_COVERING, &call);
    report_below(selector, at, &call);
}
