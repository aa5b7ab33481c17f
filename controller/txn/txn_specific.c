/* Longer prefixes inside the moved ones: they beat the moved subnet for a part of its addresses.
 *
 * The plan document does not say which of them are subnets of their own, but a subnet of its own is held by
 * every router that holds the outer one (the planner refuses otherwise).  One that some routers hold and
 * others do not came later, from somebody else.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <string.h>

static int compare_prefix(const struct ferry_specific *a, const struct ferry_specific *b)
{
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->subnet != b->subnet)
        return a->subnet < b->subnet ? -1 : 1;
    return ferry_prefix_compare(&a->prefix, &b->prefix);
}

static int compare(const void *va, const void *vb)
{
    const struct ferry_specific *a = va, *b = vb;
    int c = compare_prefix(a, b);
    if (c)
        return c;
    return a->router < b->router ? -1 : a->router > b->router;
}

void ferry_specifics_collect(const struct ferry_view *view, struct ferry_specific **v, size_t *n)
{
    for (size_t p = 0; p < view->n_parts; p++) {
        const struct ferry_view_part *part = &view->parts[p];
        if (part->result < 0)
            continue;
        for (size_t i = 0; i < part->fib.n; i++) {
            const struct ferry_fib_item *item = &part->fib.items[i];
            if (item->relation != FERRY_MORE_SPECIFIC || item->query >= part->n_cells)
                continue;
            const struct ferry_cell *cell = &view->cells[part->first_cell + item->query];
            FERRY_GROW(*v, *n);
            (*v)[(*n)++] = (struct ferry_specific){cell->group,  cell->subnet,      part->router,
                                                   item->prefix, item->entry.table, item->entry.metric};
        }
    }
}

void ferry_specifics_sort(struct ferry_specific *v, size_t n)
{
    if (n)
        qsort(v, n, sizeof *v, compare);
}

bool ferry_specifics_have(const struct ferry_specific *v, size_t n, const struct ferry_specific *s)
{
    return n && bsearch(s, v, n, sizeof *v, compare);
}
