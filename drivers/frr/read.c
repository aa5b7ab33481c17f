/* The slot `read`: configuration, RIB and kernel, which must agree about every prefix that was asked about.
 *
 *  R1. The prefixes that matter are those that were asked about, and whatever the configuration or the kernel
 *      has around them.  FRR is asked about each by itself: a whole RIB costs it 0.4 ms a route.
 *  R2. Of the prefixes asked about, RIB and kernel must say the same within the deadline.  FRR needs about 10 ms from a
 *      changed configuration to the kernel.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

enum { MORE_SPECIFIC_MAX = 1000 /* a queried prefix, include/ferry/fib.h */, AGREE_US = 2000000 };

struct around {
    struct ferry_prefix prefix;
    uint32_t table;
};

/* One prefix that matters to one item. */
struct hit {
    struct around what;
    uint32_t query;
    enum ferry_relation relation;
};

struct reader {
    struct ferry_frr *d;
    const struct ferry_query *query;
    struct ferry_frr_kernel kernel;
    struct hit *hits;
    size_t n_hits;
    const struct around *at; /* the prefix that is being matched */
    struct ferry_fib fib;
};

static void reader_clear(struct reader *r)
{
    ferry_frr_kernel_clear(&r->kernel);
    ferry_fib_clear(&r->fib);
    free(r->hits);
}

void ferry_frr_pause(const struct ferry_frr *d, uint64_t us)
{
    if (d->env->sleep_us)
        d->env->sleep_us(d->env->ctx, us);
    else {
        struct timespec t = {.tv_nsec = (long)us * 1000};
        nanosleep(&t, NULL);
    }
}

static int fetch_kernel(struct reader *r, struct ferry_err *err)
{
    bool families[2] = {r->query->all, r->query->all}, addresses = false;
    int result = 0;
    ferry_frr_kernel_clear(&r->kernel);
    for (size_t i = 0; i < r->query->n && !r->query->all; i++) {
        const struct ferry_query_item *item = &r->query->items[i];
        addresses |= item->gateway && item->gateway->address.addr.family;
        families[item->prefix.addr.family == AF_INET6] = true;
    }
    for (size_t i = 0; i < r->query->n && !r->query->all && r->query->n <= FERRY_FRR_FEW && !result; i++)
        result =
            ferry_frr_kernel_routes(r->d, "route", r->query->items[i].prefix.addr.family,
                                    &r->query->items[i].prefix, r->query->items[i].table, &r->kernel, err);
    for (size_t f = 0; f < 2 && (r->query->all || r->query->n > FERRY_FRR_FEW) && !result; f++)
        if (families[f])
            result =
                ferry_frr_kernel_routes(r->d, "routes", f ? AF_INET6 : AF_INET, NULL, 0, &r->kernel, err);
    for (size_t f = 0; f < 2 && addresses && !result; f++)
        if (families[f])
            result = ferry_frr_kernel_addresses(r->d, f ? AF_INET6 : AF_INET, &r->kernel, err);
    return result;
}

/* ---- What matters. ---- */

static void hit_add(struct reader *r, uint32_t query, enum ferry_relation relation)
{
    FERRY_GROW(r->hits, r->n_hits);
    r->hits[r->n_hits++] = (struct hit){*r->at, query, relation};
}

static void found(void *ctx, uint32_t query, enum ferry_relation relation)
{
    if (relation != FERRY_EXACT)
        hit_add(ctx, query, relation);
}

static int hit_compare(const void *x, const void *y)
{
    const struct hit *a = x, *b = y;
    if (a->query != b->query)
        return a->query < b->query ? -1 : 1;
    if (a->relation != b->relation)
        return (int)a->relation - (int)b->relation;
    if (a->relation == FERRY_COVERING && a->what.prefix.len != b->what.prefix.len)
        return b->what.prefix.len - a->what.prefix.len; /* the longest first */
    int c = ferry_prefix_compare(&a->what.prefix, &b->what.prefix);
    return c ? c : a->what.table < b->what.table ? -1 : a->what.table > b->what.table;
}

static void collect(struct reader *r)
{
    struct ferry_selector *selector = r->query->all ? NULL : ferry_selector_new(r->query);
    for (size_t i = 0; i < r->d->running->n_statics + r->kernel.n_routes; i++) {
        const struct ferry_frr_static *s = i < r->d->running->n_statics ? &r->d->running->statics[i] : NULL;
        const struct ferry_frr_kernel_route *k = s ? NULL : &r->kernel.routes[i - r->d->running->n_statics];
        struct around at = s ? (struct around){s->prefix, s->table} : (struct around){k->prefix, k->table};
        if (s && !ferry_frr_static_counts(r->d->running, s))
            continue;
        r->at = &at;
        if (selector)
            ferry_selector_match(selector, &at.prefix, at.table, found, r);
        else if (s || k->table != 255 /* RT_TABLE_LOCAL */)
            hit_add(r, UINT32_MAX, FERRY_EXACT);
    }
    for (uint32_t i = 0; i < r->query->n && selector; i++) {
        struct around at = {r->query->items[i].prefix, r->query->items[i].table};
        r->at = &at;
        hit_add(r, i, FERRY_EXACT);
    }
    ferry_selector_free(selector);
    if (r->n_hits > 1)
        qsort(r->hits, r->n_hits, sizeof *r->hits, hit_compare);
    size_t n = 0;
    for (size_t i = 0; i < r->n_hits; i++)
        if (!i || hit_compare(&r->hits[i], &r->hits[n - 1]))
            r->hits[n++] = r->hits[i];
    r->n_hits = n;
}

/* ---- Answers. ---- */

static bool wants_rib(const struct reader *r, const struct hit *h)
{
    const struct ferry_frr_kernel_route *k =
        ferry_frr_kernel_best(&r->kernel, &h->what.prefix, h->what.table);
    return (h->relation == FERRY_EXACT && !r->query->all) ||
           (k && ferry_frr_kernel_zebra(k) && k->protocol != 196) ||
           ferry_frr_needs_rib(r->d->running, &h->what.prefix, h->what.table);
}

/* 1: RIB and kernel do not agree yet, `*ret_why` says about what. */
static int answer(struct reader *r, const struct hit *h, const char **ret_why, struct ferry_fib *ret,
                  struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_rib_clear) struct ferry_frr_rib rib = {0};
    struct ferry_query_item item = {.prefix = h->what.prefix, .table = h->what.table};
    struct ferry_frr_look look = {&r->d->config, r->d->running, NULL, &r->kernel};
    if (h->relation == FERRY_EXACT && !r->query->all &&
        ferry_frr_vrf_clear(r->d->running, &item.prefix, item.table, err) < 0)
        return -FERRY_EIO;
    if (wants_rib(r, h)) {
        look.rib = &rib;
        int result = ferry_frr_rib_read(r->d, item.prefix.addr.family, item.table, &item.prefix, &rib, err);
        if (result < 0)
            return result;
        *ret_why = ferry_frr_disagree(&look, &item.prefix, item.table);
        if (*ret_why && h->relation == FERRY_EXACT &&
            !ferry_frr_bridge_holds(r->d, &look, &item.prefix, item.table))
            return 1;
        if (!*ret_why)
            ferry_frr_bridge_over(r->d, &item.prefix);
    }
    if (h->relation == FERRY_EXACT && !r->query->all)
        item = r->query->items[h->query];
    ferry_frr_hold(&look, &item, h->query, h->relation, ret);
    struct ferry_fib_item announced = {.prefix = item.prefix, .query = h->query, .relation = h->relation};
    uint8_t *native = NULL;
    if (h->relation == FERRY_EXACT && !r->query->all &&
        ferry_frr_announce_find(&r->d->config, r->d->running, &item.prefix, &announced.entry, &native)) {
        ferry_fib_add(ret, &announced);
        free(native);
    }
    return 0;
}

static int answers(struct reader *r, const char **ret_why, struct ferry_prefix *ret_prefix,
                   struct ferry_err *err)
{
    uint32_t specific = 0, query = UINT32_MAX;
    bool covered = false;
    int disagrees = 0;
    for (size_t i = 0; i < r->n_hits; i++) {
        const struct hit *h = &r->hits[i];
        const char *why = NULL;
        struct ferry_fib one = {0};
        if (h->query != query) {
            specific = 0;
            covered = false;
        }
        query = h->query;
        if (h->relation == FERRY_COVERING && covered)
            continue;
        int result = answer(r, h, &why, &one, err);
        if (result > 0) {
            *ret_why = why;
            *ret_prefix = h->what.prefix;
            disagrees = 1;
        }
        for (size_t k = 0; k < one.n && result == 0; k++) {
            if (h->relation == FERRY_COVERING && k)
                break;
            if (h->relation == FERRY_MORE_SPECIFIC && specific++ >= MORE_SPECIFIC_MAX) {
                r->fib.cut = true;
                break;
            }
            ferry_fib_add(&r->fib, &one.items[k]);
        }
        covered |= h->relation == FERRY_COVERING && one.n;
        ferry_fib_clear(&one);
        if (result < 0)
            return result;
    }
    return disagrees;
}

/* Asks for all that the look needs, so that it is one journey. */
static void look_ahead(struct reader *r, bool config)
{
    ferry_frr_forget(r->d);
    if (config) {
        ferry_frr_ahead(r->d, FERRY_FRR_SHOW, FERRY_FRR_RUNNING);
        ferry_frr_vrfs_ahead(r->d);
    }
    for (size_t i = 0; i < r->query->n && r->query->n <= FERRY_FRR_FEW && !r->query->all; i++) {
        const struct ferry_query_item *item = &r->query->items[i];
        uint8_t family = item->prefix.addr.family;
        ferry_frr_rib_ahead(r->d, family, item->table, &item->prefix);
        ferry_frr_kernel_ahead(r->d, "route", family, &item->prefix, item->table);
        if (item->gateway && item->gateway->address.addr.family)
            ferry_frr_addresses_ahead(r->d, family);
    }
}

static int look(struct reader *r, const char **ret_why, struct ferry_prefix *ret_prefix,
                struct ferry_err *err)
{
    bool known = r->d->locked && !r->query->all && ferry_frr_just_read(r->d);
    look_ahead(r, !known);
    ferry_fib_clear(&r->fib);
    r->n_hits = 0;
    struct ferry_frr_config running = {0};
    int result = known ? 0 : ferry_frr_config_read(r->d, &running, err);
    if (!result && !known)
        ferry_frr_keep(r->d, &running);
    if (!result)
        result = fetch_kernel(r, err);
    if (result < 0)
        return result;
    collect(r);
    return answers(r, ret_why, ret_prefix, err);
}

int ferry_frr_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                   struct ferry_err *err)
{
    FERRY_CLEANUP(reader_clear) struct reader r = {.d = (struct ferry_frr *)driver, .query = query};
    const struct ferry_frr *d = r.d;
    const char *why = NULL;
    struct ferry_prefix prefix;
    char text[FERRY_PREFIX_STRLEN];
    if (!query->n && !query->all)
        return 0;
    for (size_t i = 0; i < query->n; i++)
        ferry_frr_vrfs_note(r.d, query->items[i].table);
    if (query->all) /* of every table */
        ferry_frr_vrfs_note(r.d, UINT32_MAX);
    uint64_t until = d->env->monotonic_us(d->env->ctx) + AGREE_US;
    int result;
    while ((result = look(&r, &why, &prefix, err)) > 0 && d->env->monotonic_us(d->env->ctx) < until)
        ferry_frr_pause(d, 1000);
    if (result > 0)
        result = ferry_error(err, FERRY_EIO, "%s: %s; look at `show ip route`, and at FRR's log",
                             ferry_prefix_text(&prefix, text), why);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", d->router);
    ferry_frr_vrfs_report(d, query, &r.fib);
    *ret = r.fib;
    r.fib = (struct ferry_fib){0};
    return 0;
}
