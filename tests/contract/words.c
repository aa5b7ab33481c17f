/* See words.h.  SPDX-License-Identifier: MIT */
#include "words.h"

const struct contract_driver *tested;
const struct ferry_entry attached = {.type = FERRY_GATEWAY};

int up(void **state)
{
    struct contract_router *r = ferry_calloc(1, sizeof *r);
    struct ferry_err err;
    tested->up(r);
    if (r->ops->open(&ferry_env_real, &r->config, "r1", r->state_dir, &r->initial, &r->driver, &err) < 0)
        fail_msg("open: %s", err.text);
    *state = r;
    return 0;
}

int down(void **state)
{
    struct contract_router *r = *state;
    r->ops->close(r->driver);
    tested->down(r);
    free(r);
    return 0;
}

/* ---- Words for entries, ops and reads. ---- */

struct ferry_prefix net(const char *text)
{
    struct ferry_prefix p;
    struct ferry_err err;
    if (ferry_prefix_parse(text, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

struct ferry_addr ip(const char *text)
{
    struct ferry_addr a;
    struct ferry_err err;
    if (ferry_addr_parse(text, &a, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

const struct ferry_entry *route(struct made *m, uint32_t table, uint32_t metric, unsigned protocol, ...)
{
    va_list legs;
    *m = (struct made){
        .e = {.type = FERRY_UNICAST, .table = table, .metric = metric, .protocol = (uint8_t)protocol}};
    va_start(legs, protocol);
    for (const char *leg; (leg = va_arg(legs, const char *));) {
        struct ferry_nexthop *hop = &m->hops[m->e.n_nexthops++];
        char via[64];
        unsigned weight = 1;
        *hop = (struct ferry_nexthop){.router = FERRY_NO_ROUTER};
        assert_true(sscanf(leg, "%63s %15s %u", via, hop->dev, &weight) >= 2);
        if (strcmp(via, "-") != 0)
            hop->via = ip(via);
        hop->weight = (uint16_t)(tested->cannot & CANNOT_WEIGH ? 1 : weight);
    }
    va_end(legs);
    m->e.nexthops = m->hops;
    return &m->e;
}

struct ferry_op op_route(const char *prefix, uint32_t table, uint32_t metric,
                         const struct ferry_entry *before, const struct ferry_entry *after)
{
    return (struct ferry_op){.kind = FERRY_KIND_ROUTE,
                             .prefix = net(prefix),
                             .table = table,
                             .metric = metric,
                             .before = before,
                             .after = after};
}

struct ferry_op op_gateway(const char *prefix, const struct ferry_gateway *gateway, const char *interface,
                           const struct ferry_entry *before, const struct ferry_entry *after)
{
    return (struct ferry_op){.kind = FERRY_KIND_GATEWAY,
                             .prefix = net(prefix),
                             .before = before,
                             .after = after,
                             .gateway = gateway,
                             .interface = interface};
}

struct ferry_op swapped(const struct ferry_op *op)
{
    struct ferry_op s = *op;
    s.before = op->after;
    s.after = op->before;
    s.outcome = FERRY_UNKNOWN;
    s.why = NULL;
    return s;
}

void apply(struct contract_router *r, struct ferry_op *ops, size_t n)
{
    struct ferry_err err;
    if (r->ops->apply(r->driver, ops, n, &err) != 0)
        fail_msg("apply: %s", err.text);
}

enum ferry_outcome apply_one(struct contract_router *r, struct ferry_op op)
{
    apply(r, &op, 1);
    if (op.outcome != FERRY_DONE)
        assert_true(op.why && *op.why); /* whoever says no says why */
    ferry_op_clear(&op);
    return op.outcome;
}

void done(struct contract_router *r, struct ferry_op op)
{
    apply(r, &op, 1);
    if (op.outcome != FERRY_DONE)
        fail_msg("%s: %s", ferry_outcome_name(op.outcome), op.why);
}

struct ferry_fib ask(struct contract_router *r, const char *prefix, uint32_t table,
                     const struct ferry_gateway *gateway, const char *interface)
{
    struct ferry_query_item item = {
        .prefix = net(prefix), .table = table, .gateway = gateway, .interface = interface};
    struct ferry_query query = {.items = &item, .n = 1};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (r->ops->read(r->driver, &query, &fib, &err) != 0)
        fail_msg("read: %s", err.text);
    return fib;
}

int by_everything(const void *a, const void *b)
{
    const struct ferry_fib_item *x = a, *y = b;
    int c = (int)x->query - (int)y->query;
    c = c ? c : (int)x->relation - (int)y->relation;
    c = c ? c : ferry_prefix_compare(&x->prefix, &y->prefix);
    c = c ? c : (int)x->entry.type - (int)y->entry.type;
    c = c ? c : (int)x->entry.table - (int)y->entry.table;
    return c ? c : x->entry.metric < y->entry.metric ? -1 : x->entry.metric > y->entry.metric;
}

size_t only(struct ferry_fib *fib, enum ferry_relation relation)
{
    size_t n = 0;
    for (size_t i = 0; i < fib->n; i++) {
        if (fib->items[i].relation != relation)
            continue;
        struct ferry_fib_item item = fib->items[n];
        fib->items[n++] = fib->items[i];
        fib->items[i] = item;
    }
    if (n > 1)
        qsort(fib->items, n, sizeof *fib->items, by_everything);
    return n;
}

void same_entry(const struct ferry_entry *found, const struct ferry_entry *expected)
{
    char f[400], e[400];
    if (!ferry_entry_equal(found, expected, FERRY_CMP_EXACT))
        fail_msg("found %s (%u native bytes), expected %s", ferry_entry_text(found, f, sizeof f),
                 found->native_len, ferry_entry_text(expected, e, sizeof e));
}

void holds_at(struct contract_router *r, const char *prefix, uint32_t table,
              const struct ferry_gateway *gateway, const char *interface,
              const struct ferry_entry *const *expected)
{
    struct ferry_fib fib = ask(r, prefix, table, gateway, interface);
    size_t n = only(&fib, FERRY_EXACT), want = 0;
    while (expected[want])
        want++;
    if (n != want) {
        char text[400];
        for (size_t i = 0; i < n; i++)
            print_error("  held: %s\n", ferry_entry_text(&fib.items[i].entry, text, sizeof text));
        fail_msg("%s: %zu entries, expected %zu", prefix, n, want);
    }
    for (size_t i = 0; i < n; i++) {
        struct ferry_prefix p = net(prefix);
        assert_true(ferry_prefix_equal(&fib.items[i].prefix, &p));
        assert_int_equal(fib.items[i].query, 0);
        same_entry(&fib.items[i].entry, expected[i]);
        for (size_t h = 0; h < fib.items[i].entry.n_nexthops; h++)
            assert_int_equal(fib.items[i].entry.nexthops[h].router, FERRY_NO_ROUTER);
    }
    ferry_fib_clear(&fib);
}

struct ferry_fib everything(struct contract_router *r)
{
    struct ferry_query query = {.all = true};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (r->ops->read(r->driver, &query, &fib, &err) != 0)
        fail_msg("read all: %s", err.text);
    struct ferry_fib kept = {0};
    struct ferry_prefix link_local = net("fe80::/10");
    for (size_t i = 0; i < fib.n; i++)
        if (!ferry_prefix_covers(&link_local, &fib.items[i].prefix))
            ferry_fib_add(&kept, &fib.items[i]);
    ferry_fib_clear(&fib);
    if (kept.n > 1)
        qsort(kept.items, kept.n, sizeof *kept.items, by_everything);
    return kept;
}

static void same_fib(const struct ferry_fib *a, const struct ferry_fib *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_true(ferry_prefix_equal(&a->items[i].prefix, &b->items[i].prefix));
        same_entry(&a->items[i].entry, &b->items[i].entry);
    }
}

void unchanged(struct contract_router *r, const struct ferry_fib *before)
{
    struct ferry_fib now = everything(r);
    same_fib(&now, before);
    ferry_fib_clear(&now);
}

void connected(struct contract_router *r, const char *prefix, const char *dev, uint32_t metric)
{
    struct ferry_fib fib = ask(r, prefix, MAIN, NULL, NULL);
    assert_int_equal(only(&fib, FERRY_EXACT), 1);
    const struct ferry_entry *e = &fib.items[0].entry;
    assert_int_equal(e->type, FERRY_UNICAST);
    assert_int_equal(e->table, MAIN);
    assert_int_equal(e->metric, metric);
    assert_int_equal(e->protocol, 2); /* RTPROT_KERNEL */
    assert_int_equal(e->n_nexthops, 1);
    assert_int_equal(e->nexthops[0].via.family, 0);
    assert_string_equal(e->nexthops[0].dev, dev);
    ferry_fib_clear(&fib);
}
