/* What a driver reads of a router: a list of items that owns its entries.  SPDX-License-Identifier: MIT */
#include <ferry/fib.h>

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* An entry's next hops and native bytes share one block, which starts with whichever there is. */
static void free_entry(const struct ferry_entry *e)
{
    free(e->n_nexthops ? (void *)(uintptr_t)e->nexthops : (void *)(uintptr_t)e->native);
}

void ferry_fib_clear(struct ferry_fib *fib)
{
    for (size_t i = 0; i < fib->n; i++)
        free_entry(&fib->items[i].entry);
    free(fib->items);
    free(fib->vrfs);
    *fib = (struct ferry_fib){0};
}

static int compare_nexthops(const void *a, const void *b)
{
    return ferry_nexthop_compare(a, b);
}

void ferry_fib_add(struct ferry_fib *fib, const struct ferry_fib_item *item)
{
    FERRY_GROW(fib->items, fib->n);
    struct ferry_fib_item *new = &fib->items[fib->n++];
    const struct ferry_entry *from = &item->entry;
    size_t hops_size = from->n_nexthops * sizeof *from->nexthops;
    *new = *item;
    new->entry.nexthops = NULL;
    new->entry.native = NULL;
    if (hops_size + from->native_len == 0)
        return;
    unsigned char *block = ferry_calloc(hops_size + from->native_len, 1);
    if (from->n_nexthops) {
        memcpy(block, from->nexthops, hops_size);
        qsort(block, from->n_nexthops, sizeof *from->nexthops, compare_nexthops);
        new->entry.nexthops = (const struct ferry_nexthop *)block;
    }
    if (from->native_len)
        new->entry.native = memcpy(block + hops_size, from->native, from->native_len);
}
