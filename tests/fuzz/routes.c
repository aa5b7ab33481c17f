/* What the targets of whole drivers ask of them; see routes.h.  SPDX-License-Identifier: MIT */
#include "routes.h"

#include "fuzz.h"

#include <linux/rtnetlink.h>
#include <string.h>

enum { ITEMS = 3, OPS = 5 };

struct world {
    struct ferry_gateway gateways[2];
    struct ferry_query_item items[ITEMS];
    struct ferry_nexthop hops[2];
    struct ferry_entry route, drop, gateway, announcement;
};

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p;
    FUZZ_CHECK(ferry_prefix_parse(text, &p, &err) == 0);
    return p;
}

static void fill(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->gateways[0].address = prefix("192.168.1.1/24");
    w->gateways[1].address = prefix("fd00:1::1/64");
    w->items[0] = (struct ferry_query_item){prefix("192.168.1.0/24"), 254, &w->gateways[0], "lan0", NULL};
    w->items[1] = (struct ferry_query_item){prefix("fd00:1::/64"), 254, &w->gateways[1], "lan0", NULL};
    w->items[2] = (struct ferry_query_item){.prefix = prefix("10.1.0.0/16"), .table = 254};
    w->hops[0] = w->hops[1] = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .weight = 1, .dev = "eth0"};
    w->hops[0].via = prefix("10.0.0.2/32").addr;
    w->hops[1].via = prefix("10.0.0.6/32").addr;
    w->route = (struct ferry_entry){.type = FERRY_UNICAST,
                                    .table = 254,
                                    .metric = 20,
                                    .protocol = FERRY_PROTOCOL,
                                    .n_nexthops = 1,
                                    .nexthops = w->hops};
    w->drop =
        (struct ferry_entry){.type = FERRY_BLACKHOLE, .table = 254, .metric = 20, .protocol = FERRY_PROTOCOL};
    w->gateway = (struct ferry_entry){.type = FERRY_GATEWAY};
    w->announcement = (struct ferry_entry){.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_BGP};
}

static void ops_of(const struct world *w, struct ferry_op ops[OPS])
{
    memset(ops, 0, OPS * sizeof *ops);
    for (size_t i = 0; i < OPS; i++) {
        ops[i].prefix = w->items[0].prefix;
        ops[i].table = 254;
    }
    ops[0].metric = ops[1].metric = 20;
    ops[0].prefix = w->items[2].prefix;
    ops[0].before = &w->route;
    ops[0].after = &w->drop;
    ops[1].after = &w->route;
    ops[2].kind = ops[3].kind = FERRY_KIND_GATEWAY;
    ops[2].gateway = &w->gateways[0];
    ops[3].prefix = w->items[1].prefix;
    ops[3].gateway = &w->gateways[1];
    ops[2].interface = ops[3].interface = "lan0";
    ops[2].before = ops[3].after = &w->gateway;
    ops[4].kind = FERRY_KIND_ANNOUNCEMENT;
    ops[4].after = &w->announcement;
}

/* ---- Reading. ---- */

static void check_entry(const struct ferry_entry *e)
{
    FUZZ_CHECK(e->type >= FERRY_GATEWAY && e->type <= FERRY_ANNOUNCEMENT);
    FUZZ_CHECK(e->type == FERRY_UNICAST || !e->n_nexthops);
    FUZZ_CHECK(!e->n_nexthops == !e->nexthops && !e->native_len == !e->native);
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        FUZZ_CHECK(memchr(hop->dev, 0, sizeof hop->dev));
        FUZZ_CHECK(hop->weight >= 1 && hop->weight <= 256);
        FUZZ_CHECK(!hop->via.family || ferry_addr_bits(hop->via.family));
    }
}

static void check_fib(const struct ferry_fib *fib, const struct ferry_query *query)
{
    for (size_t i = 0; i < fib->n; i++) {
        const struct ferry_fib_item *item = &fib->items[i];
        fuzz_prefix_sound(&item->prefix);
        check_entry(&item->entry);
        if (query->all)
            continue;
        FUZZ_CHECK(item->query < query->n);
        const struct ferry_prefix *asked = &query->items[item->query].prefix;
        if (item->relation == FERRY_EXACT)
            FUZZ_CHECK(ferry_prefix_equal(&item->prefix, asked));
        else if (item->relation == FERRY_COVERING)
            FUZZ_CHECK(ferry_prefix_covers(&item->prefix, asked));
        else
            FUZZ_CHECK(ferry_prefix_covers(asked, &item->prefix));
    }
}

static void read_query(struct ferry_driver *driver, const struct ferry_query *query)
{
    struct ferry_driver_base *base = (struct ferry_driver_base *)driver;
    struct ferry_fib fib = {0};
    struct ferry_err err = {0};
    int result = base->ops->read(driver, query, &fib, &err);
    fuzz_said(result, &err);
    if (result < 0)
        FUZZ_CHECK(!fib.items && !fib.n);
    check_fib(&fib, query);
    ferry_fib_clear(&fib);
}

void fuzz_read(struct ferry_driver *driver)
{
    struct world w;
    fill(&w);
    read_query(driver, &(struct ferry_query){.items = w.items, .n = ITEMS});
}

void fuzz_read_all(struct ferry_driver *driver)
{
    read_query(driver, &(struct ferry_query){.all = true});
}

/* ---- Checking and writing. ---- */

static void check_outcomes(const struct ferry_op *ops, bool only_checked)
{
    for (size_t i = 0; i < OPS; i++) {
        FUZZ_CHECK(ops[i].outcome <= FERRY_STALE);
        FUZZ_CHECK(!only_checked || ops[i].outcome == FERRY_DONE || ops[i].outcome == FERRY_REFUSED);
        FUZZ_CHECK(ops[i].outcome == FERRY_DONE || ops[i].why);
    }
}

static void run_ops(struct ferry_driver *driver,
                    int (*run)(struct ferry_driver *, struct ferry_op *, size_t, struct ferry_err *),
                    bool only_checked)
{
    struct ferry_err err = {0};
    struct ferry_op ops[OPS];
    struct world w;
    fill(&w);
    ops_of(&w, ops);
    int result = run(driver, ops, OPS, &err);
    fuzz_said(result, &err);
    if (result >= 0)
        check_outcomes(ops, only_checked);
    ferry_ops_clear(ops, OPS);
}

void fuzz_check_ops(struct ferry_driver *driver)
{
    run_ops(driver, ((struct ferry_driver_base *)driver)->ops->check, true);
}

void fuzz_apply(struct ferry_driver *driver)
{
    run_ops(driver, ((struct ferry_driver_base *)driver)->ops->apply, false);
}

void fuzz_persist(struct ferry_driver *driver)
{
    struct ferry_driver_base *base = (struct ferry_driver_base *)driver;
    struct ferry_err err = {0};
    int result = base->ops->persist ? base->ops->persist(driver, &err) : 0;
    fuzz_said(result, &err);
}

void fuzz_deadman(struct ferry_driver *driver)
{
    struct ferry_driver_base *base = (struct ferry_driver_base *)driver;
    struct ferry_deadman_step step;
    struct ferry_deadman deadman = {
        .id = "20261120-101502-3fa9", .seconds = 60, .steps = &step, .n_steps = 1};
    struct ferry_op ops[OPS];
    struct world w;
    fill(&w);
    ops_of(&w, ops);
    step = (struct ferry_deadman_step){.ops = ops, .n_ops = OPS};
    for (int verb = FERRY_DEADMAN_ARM; verb <= FERRY_DEADMAN_LOOK; verb++) {
        enum ferry_deadman_state state = (enum ferry_deadman_state)77;
        unsigned left = 77;
        struct ferry_err err = {0};
        int result = base->ops->deadman(driver, (enum ferry_deadman_verb)verb, &deadman, &state, &left, &err);
        fuzz_said(result, &err);
        if (result < 0)
            FUZZ_CHECK((int)state == 77 && left == 77);
        else
            FUZZ_CHECK(state <= FERRY_DEADMAN_RESTS);
    }
    ferry_ops_clear(ops, OPS);
}
