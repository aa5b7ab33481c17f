/* The engine and routing protocols: what it waits for, and what becomes of a protocol that never comes.
 *
 * Simulated routers write what the plan foretells; the driver here lets the test play the protocol instead.
 *
 * SPDX-License-Identifier: MIT */
#include "../crash/world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Whether the protocol does what ops say that it will: on the way, and on the way back. */
static bool follows, returns;
static const struct ferry_plan *moving;

static bool goes_back(const struct ferry_op *op)
{
    for (size_t s = 0; s < moving->n_stages; s++)
        for (size_t i = 0; i < moving->stages[s].n_changes; i++)
            if (ferry_entry_equal(moving->stages[s].changes[i].after, op->before, FERRY_CMP_EXACT) &&
                ferry_entry_equal(moving->stages[s].changes[i].before, op->after, FERRY_CMP_EXACT))
                return true;
    return false;
}

static int apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    const struct ferry_driver_ops *sim = ferry_driver_find("sim");
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        bool protocol = ferry_entry_dynamic(ops[i].before) || ferry_entry_dynamic(ops[i].after);
        if (protocol && !(goes_back(&ops[i]) ? returns : follows))
            ops[i].outcome = FERRY_DONE; /* as FRR's driver: it is not its to write */
        else
            r = sim->apply(driver, &ops[i], 1, err);
    }
    return r;
}

static struct ferry_driver_ops ops;

static const struct ferry_driver_ops *find(const char *type) /* from every worker's thread */
{
    (void)type;
    return &ops;
}

struct outcome {
    struct world w;
    enum ferry_txn_state state;
    struct ferry_txn_record *record;
    char *before, *after;
};

static void start(struct outcome *o)
{
    *o = (struct outcome){0};
    world_init(&o->w, "three-site-bgp.json", "sim");
    moving = world_plan(&o->w, "app", "recovery");
    o->before = world_snapshot(&o->w);
    o->w.config.find = find;
}

static void end(struct outcome *o)
{
    free(o->before);
    free(o->after);
    ferry_txn_record_free(o->record);
    ferry_plan_free((struct ferry_plan *)(uintptr_t)moving);
    world_clear(&o->w);
}

static void move(struct outcome *o)
{
    struct ferry_err err = {0};
    start(o);
    if (world_apply(&o->w, (struct ferry_plan *)(uintptr_t)moving, NULL, &o->state, &o->record, &err) < 0)
        fail_msg("%s", err.text);
    o->w.config.find = ferry_driver_find;
    o->after = world_snapshot(&o->w);
}

static void test_it_comes(void **state)
{
    struct outcome o;
    (void)state;
    follows = returns = true;
    move(&o);
    assert_int_equal(o.state, FERRY_TXN_COMMITTED);
    assert_null(strstr(o.after, "ferry")); /* nothing is pinned any more */
    end(&o);
}

/* BGP stays where it was: undone, and the reason names the router, what it chose and what was expected. */
static void test_it_never_comes(void **state)
{
    struct outcome o;
    (void)state;
    follows = false, returns = true;
    move(&o);
    assert_int_equal(o.state, FERRY_TXN_UNDONE);
    assert_string_equal(o.before, o.after);
    assert_non_null(strstr(o.record->reason, "bgp does not come to what the plan expects in 60 s: chose "));
    end(&o);
}

/* It follows the move, a later failure undoes the move, and it does not go back: the pins stay, and are hands. */
static void test_it_does_not_return(void **state)
{
    struct outcome o;
    struct ferry_err err = {0};
    struct ferry_txn *txn = NULL;
    struct ferry_fleet *fleet = NULL;
    (void)state;
    follows = true, returns = false;
    start(&o);
    struct ferry_txn_options options = {.kind = "drill", .user = "test"};
    assert_int_equal(ferry_fleet_for_topology(&o.w.config, o.w.topology, &fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(o.w.journal, fleet, (struct ferry_plan *)(uintptr_t)moving, &options,
                                     &txn, NULL, NULL, &err),
                     0);
    ferry_txn_hold(txn);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_VERIFYING);
    assert_int_equal(ferry_txn_abort(txn, "end of the drill", &err), 0);
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    assert_int_equal(ferry_txn_state(txn), FERRY_TXN_STUCK);
    const struct ferry_txn_record *record = ferry_txn_record(txn);
    assert_true(record->n_hands >= 2);
    assert_non_null(strstr(record->hands[0].found, "protocol ferry"));
    ferry_txn_free(txn);
    /* Once it has gone back by itself, recover takes the pins away. */
    returns = true;
    assert_int_equal(world_recover(&o.w, &o.state, NULL, &err), 0);
    assert_int_equal(o.state, FERRY_TXN_UNDONE);
    o.w.config.find = ferry_driver_find;
    o.after = world_snapshot(&o.w);
    assert_string_equal(o.before, o.after);
    ferry_fleet_free(fleet);
    end(&o);
}

/* What a protocol does beneath something better is no drift; where it forwards it is. */
static void test_drift(void **state)
{
    struct outcome o;
    struct ferry_err err = {0};
    (void)state;
    follows = returns = true;
    start(&o);
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .weight = 1, .dev = "to-primary-2"};
    assert_int_equal(ferry_addr_parse("10.255.13.9", &hop.via, &err), 0);
    struct ferry_entry other = {.type = FERRY_UNICAST,
                                .table = FERRY_TABLE_MAIN,
                                .metric = FERRY_DISTANCE_OSPF,
                                .protocol = 188,
                                .n_nexthops = 1,
                                .nexthops = &hop};
    struct ferry_op op = world_route("192.168.1.0/24", &other);
    o.w.config.find = ferry_driver_find;
    world_meddle(&o.w, "bgp-third", &op);
    struct ferry_plan *plan = (struct ferry_plan *)(uintptr_t)moving;
    struct ferry_fleet *fleet = world_fleet(&o.w);
    assert_int_equal(ferry_txn_precheck(fleet, plan, NULL, NULL, &err), 0);
    other.metric = 5; /* now it wins */
    op = world_route("192.168.1.0/24", &other);
    world_meddle(&o.w, "bgp-third", &op);
    assert_int_equal(ferry_txn_precheck(fleet, plan, NULL, NULL, &err), -FERRY_EDRIFT);
    ferry_fleet_free(fleet);
    end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_comes),
        cmocka_unit_test(test_it_never_comes),
        cmocka_unit_test(test_it_does_not_return),
        cmocka_unit_test(test_drift),
    };
    ops = *ferry_driver_find("sim");
    ops.apply = apply;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
