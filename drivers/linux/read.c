/* The slot `read`: what the router holds, straight from the kernel.  SPDX-License-Identifier: MIT */
#include "internal.h"

enum { MORE_SPECIFIC_MAX = 1000 /* a queried prefix, include/ferry/fib.h */ };

/* The best covering route so far of one queried prefix. */
struct cover {
    struct ferry_fib_item item; /* entry's vectors are owned here */
    bool set;
};

struct reader {
    struct ferry_linux *d;
    const struct ferry_query *query;
    struct ferry_selector *selector;
    struct ferry_linux_survey survey;
    struct ferry_fib fib;
    struct cover *covers; /* [query->n] */
    uint32_t *n_specific; /* [query->n] */
    uint32_t *attachment; /* [query->n]: index + 1 in the survey, 0: none */
    bool unresolved;      /* some routes name a nexthop object alone */
    /* The route at hand. */
    struct ferry_linux_route *route;
    const struct ferry_linux_attachment *own;
};

static void item_free(struct ferry_fib_item *item)
{
    free((void *)item->entry.nexthops);
    free((void *)item->entry.native);
}

static void keep_cover(struct reader *r, uint32_t i)
{
    struct cover *c = &r->covers[i];
    const struct ferry_linux_route *route = r->route;
    if (c->set && (c->item.prefix.len > route->prefix.len ||
                   (c->item.prefix.len == route->prefix.len && c->item.entry.metric <= route->entry.metric)))
        return;
    if (c->set)
        item_free(&c->item);
    c->set = true;
    c->item = (struct ferry_fib_item){
        .prefix = route->prefix, .query = i, .relation = FERRY_COVERING, .entry = route->entry};
    c->item.entry.nexthops = ferry_memdup(route->legs, route->entry.n_nexthops * sizeof *route->legs);
    c->item.entry.native = ferry_memdup(route->native.v, route->native.n);
}

static void found(void *ctx, uint32_t i, enum ferry_relation relation)
{
    struct reader *r = ctx;
    struct ferry_fib_item item = {
        .prefix = r->route->prefix, .query = i, .relation = relation, .entry = r->route->entry};
    if (relation == FERRY_COVERING) {
        keep_cover(r, i);
        return;
    }
    if (relation == FERRY_EXACT && r->own && r->attachment[i] &&
        r->own == &r->survey.attachments[r->attachment[i] - 1])
        return; /* it follows from the attachment */
    if (relation == FERRY_MORE_SPECIFIC && r->n_specific[i]++ >= MORE_SPECIFIC_MAX) {
        r->fib.cut = true;
        return;
    }
    ferry_fib_add(&r->fib, &item);
}

static void hear(void *ctx, struct ferry_linux_route *route, struct ferry_linux_attachment *own)
{
    struct reader *r = ctx;
    r->route = route;
    r->own = own;
    r->unresolved |= route->nhid && !route->entry.n_nexthops;
    if (r->query->all) {
        struct ferry_fib_item item = {
            .prefix = route->prefix, .query = UINT32_MAX, .relation = FERRY_EXACT, .entry = route->entry};
        ferry_fib_add(&r->fib, &item);
        return;
    }
    ferry_selector_match(r->selector, &route->prefix, route->entry.table, found, r);
}

static void restart(void *ctx)
{
    struct reader *r = ctx;
    ferry_fib_clear(&r->fib);
    r->unresolved = false;
    for (size_t i = 0; i < r->query->n; i++) {
        if (r->covers[i].set)
            item_free(&r->covers[i].item);
        r->covers[i].set = false;
        r->n_specific[i] = 0;
    }
}

static void reader_clear(struct reader *r)
{
    restart(r);
    ferry_linux_survey_clear(&r->survey);
    ferry_selector_free(r->selector);
    free(r->covers);
    free(r->n_specific);
    free(r->attachment);
}

/* Next hops of routes that name a nexthop object alone; the kernel can be asked now that the dump is over. */
static void resolve(struct reader *r)
{
    struct ferry_fib whole = {.cut = r->fib.cut};
    for (size_t i = 0; i < r->fib.n; i++) {
        struct ferry_fib_item item = r->fib.items[i];
        struct ferry_nexthop *legs = ferry_linux_entry_resolve(r->d, &item.entry);
        ferry_fib_add(&whole, &item);
        free(legs);
    }
    ferry_fib_clear(&r->fib);
    r->fib = whole;
}

static void finish(struct reader *r)
{
    struct ferry_linux_bytes bytes = {0};
    for (uint32_t i = 0; i < r->query->n; i++) {
        struct ferry_fib_item item = {
            .prefix = r->query->items[i].prefix, .query = i, .relation = FERRY_EXACT};
        if (r->attachment[i] &&
            ferry_linux_attachment_entry(&r->survey.attachments[r->attachment[i] - 1], &bytes, &item.entry))
            ferry_fib_add(&r->fib, &item);
        if (r->covers[i].set)
            ferry_fib_add(&r->fib, &r->covers[i].item);
    }
    ferry_linux_bytes_clear(&bytes);
    if (r->unresolved)
        resolve(r);
}

int ferry_linux_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                     struct ferry_err *err)
{
    FERRY_CLEANUP(reader_clear) struct reader r = {.d = (struct ferry_linux *)driver, .query = query};
    r.survey = (struct ferry_linux_survey){.d = r.d, .route = hear, .restart = restart, .ctx = &r};
    r.covers = ferry_calloc(query->n + 1, sizeof *r.covers);
    r.n_specific = ferry_calloc(query->n + 1, sizeof *r.n_specific);
    r.attachment = ferry_calloc(query->n + 1, sizeof *r.attachment);
    for (size_t i = 0; i < query->n && !query->all; i++) {
        const struct ferry_query_item *item = &query->items[i];
        ferry_linux_survey_table(&r.survey, item->prefix.addr.family, item->table);
        if (!item->gateway)
            continue;
        ferry_linux_survey_attachment(&r.survey, &item->prefix, item->table, item->gateway, item->interface);
        r.attachment[i] = (uint32_t)r.survey.n_attachments;
    }
    if (query->all) {
        ferry_linux_survey_table(&r.survey, AF_INET, RT_TABLE_UNSPEC);
        ferry_linux_survey_table(&r.survey, AF_INET6, RT_TABLE_UNSPEC);
    } else {
        r.selector = ferry_selector_new(query);
    }
    int result = ferry_linux_same_netns(r.d, err);
    if (result == 0)
        result = ferry_linux_survey_run(&r.survey, err);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", r.d->router);
    finish(&r);
    *ret = r.fib;
    memset(&r.fib, 0, sizeof r.fib);
    return 0;
}
