/* The fleet: order, concurrency, deadlines, late returns, where simulated routers start.
 *
 * A toy driver stands in for the routers: its configuration's `netns` says how it behaves.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/txn.h>

#include "base/mem.h"
#include "fault/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The toy. ---- */

struct ferry_driver {
    struct ferry_driver_base base;
    const char *how;
    _Atomic int users;
};

/* Of a router that hangs.  One that does not is to be through by then, however busy the machine. */
#define DEADLINE_MS 1000u
/* Whoever waits for one that hangs waits for ever; so long the others may take. */
#define SOON_US 8000000u

static _Atomic unsigned opens, closes, working, most_working;
static _Atomic unsigned company; /* a slow one waits for so many to be at work at once */
static _Atomic bool hanging, used_by_two;
static _Atomic unsigned order[64], n_order;

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static uint64_t now_us(void)
{
    return ferry_env_real.monotonic_us(NULL);
}

static int toy_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                    const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                    struct ferry_err *err)
{
    (void)env, (void)router, (void)state_dir, (void)initial;
    opens++;
    if (!strcmp(config->netns, "closed"))
        return ferry_error(err, FERRY_EIO, "nobody opens");
    *ret = ferry_calloc(1, sizeof **ret);
    (*ret)->how = config->netns;
    return 0;
}

static void toy_close(struct ferry_driver *driver)
{
    closes++;
    free(driver);
}

static void enter(struct ferry_driver *driver)
{
    if (driver->users++)
        used_by_two = true;
    unsigned n = ++working, most = most_working;
    while (n > most && !atomic_compare_exchange_weak(&most_working, &most, n))
        ;
}

static void leave(struct ferry_driver *driver)
{
    working--;
    driver->users--;
}

static int toy_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                    struct ferry_err *err)
{
    (void)query, (void)err;
    enter(driver);
    if (!strcmp(driver->how, "slow")) {
        for (int i = 0; most_working < company && i < 5000; i++)
            sleep_ms(1);
        sleep_ms(20); /* for one too many to come */
    }
    struct ferry_fib_item item = {.entry = {.type = FERRY_BLACKHOLE, .metric = 7}};
    ferry_fib_add(ret, &item);
    leave(driver);
    return 0;
}

static int toy_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    int r = 0;
    enter(driver);
    while (!strcmp(driver->how, "hangs") && hanging)
        sleep_ms(1);
    for (size_t i = 0; i < n; i++) {
        unsigned at = n_order++;
        if (at < FERRY_COUNT(order))
            order[at] = ops[i].metric;
        ops[i].outcome = ops[i].after && ops[i].after->metric == ops[i].metric ? FERRY_DONE : FERRY_STALE;
        if (ops[i].outcome == FERRY_STALE)
            ferry_op_why(&ops[i], "stale on purpose");
    }
    if (!strcmp(driver->how, "breaks"))
        r = ferry_error(err, FERRY_EIO, "broken");
    leave(driver);
    return r;
}

static const struct ferry_driver_ops toy = {.type = "toy",
                                            .open = toy_open,
                                            .close = toy_close,
                                            .read = toy_read,
                                            .check = toy_apply,
                                            .apply = toy_apply};

static const struct ferry_driver_ops *find(const char *type)
{
    return !strcmp(type, "toy") ? &toy : ferry_driver_find(type);
}

static struct ferry_fleet *make(const char *const *how, size_t n, unsigned workers, unsigned deadline_ms)
{
    struct ferry_fleet_config config = {
        .env = &ferry_env_real, .find = find, .workers = workers, .deadline_ms = deadline_ms};
    FERRY_AUTOFREE const char **names = ferry_calloc(n, sizeof *names);
    FERRY_AUTOFREE struct ferry_driver_config *configs = ferry_calloc(n, sizeof *configs);
    FERRY_AUTOFREE const struct ferry_driver_config **pointers = ferry_calloc(n, sizeof *pointers);
    struct ferry_fleet *fleet;
    struct ferry_err err;
    for (size_t i = 0; i < n; i++) {
        names[i] = "toy";
        configs[i] = (struct ferry_driver_config){.type = strcmp(how[i], "none") ? "toy" : "none",
                                                  .netns = (char *)how[i]};
        pointers[i] = &configs[i];
    }
    opens = closes = most_working = n_order = 0;
    hanging = true;
    assert_int_equal(ferry_fleet_new(&config, names, pointers, n, &fleet, &err), 0);
    return fleet; /* names and configs go: the fleet has copies */
}

static const struct ferry_query nothing = {0};

static struct ferry_job read_job(uint32_t router)
{
    return (struct ferry_job){.router = router, .verb = FERRY_JOB_READ, .query = &nothing};
}

static struct ferry_job apply_job(uint32_t router, struct ferry_op *ops, size_t n)
{
    return (struct ferry_job){.router = router, .verb = FERRY_JOB_APPLY, .ops = ops, .n_ops = n};
}

/* The last of the late ones cleans up after a fleet that was freed. */
static void all_come_back(void)
{
    hanging = false;
    for (int i = 0; closes < opens && i < 30000; i++)
        sleep_ms(1);
    assert_int_equal(closes, opens);
    sleep_ms(20); /* for the leak checker: that thread's own end */
}

/* ---- Tests. ---- */

static void test_jobs_of_a_router_run_in_order(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){"", ""}, 2, 0, 0);
    struct ferry_entry e[6];
    struct ferry_op ops[6];
    struct ferry_job jobs[6];
    for (uint32_t i = 0; i < 6; i++) {
        e[i] = (struct ferry_entry){.type = FERRY_BLACKHOLE, .metric = i};
        ops[i] = (struct ferry_op){.metric = i == 4 ? 99 : i, .after = &e[i]};
        jobs[i] = apply_job(0, &ops[i], 1);
    }
    ferry_fleet_run(fleet, jobs, 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(order[i], i == 4 ? 99 : i);
        assert_int_equal(jobs[i].result, 0);
        assert_int_equal(ops[i].outcome, i == 4 ? FERRY_STALE : FERRY_DONE);
    }
    assert_string_equal(ops[4].why, "stale on purpose");
    ferry_ops_clear(ops, 6);
    assert_int_equal(opens, 1); /* router 1 was not used */
    ferry_fleet_free(fleet);
    assert_int_equal(closes, 1);
}

static void test_routers_are_worked_on_side_by_side(void **state)
{
    (void)state;
    enum { N = 200 };
    const char *how[N];
    struct ferry_job jobs[N];
    for (uint32_t i = 0; i < N; i++) {
        how[i] = "slow";
        jobs[i] = read_job(i);
    }
    struct ferry_fleet *fleet = make(how, N, 0, 0);
    company = 64;
    ferry_fleet_run(fleet, jobs, N);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(jobs[i].result, 0);
        assert_int_equal(jobs[i].fib.n, 1);
        assert_int_equal(jobs[i].fib.items[0].entry.metric, 7);
        ferry_fib_clear(&jobs[i].fib);
    }
    assert_int_equal(most_working, 64);
    ferry_fleet_free(fleet);

    fleet = make(how, N, 3, 0);
    company = 3;
    ferry_fleet_run(fleet, jobs, 10);
    for (uint32_t i = 0; i < 10; i++)
        ferry_fib_clear(&jobs[i].fib);
    assert_int_equal(most_working, 3);
    assert_false(used_by_two);
    ferry_fleet_free(fleet);
}

static void test_unreachable_routers_say_that_nothing_was_sent(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){"closed", "none", ""}, 3, 0, 0);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op ops[3] = {{.after = &e}, {.after = &e}, {.after = &e}};
    struct ferry_job jobs[] = {apply_job(0, &ops[0], 1), apply_job(1, &ops[1], 1), apply_job(2, &ops[2], 1)};
    ferry_fleet_run(fleet, jobs, 3);
    assert_int_equal(jobs[0].result, -FERRY_EIO);
    assert_int_equal(ops[0].outcome, FERRY_REFUSED);
    assert_string_equal(ops[0].why, "nobody opens");
    ferry_ops_clear(ops, 3);
    assert_int_equal(jobs[1].result, -FERRY_ESUPPORT);
    assert_string_equal(jobs[1].err.text, "there is no driver 'none' in this build");
    assert_int_equal(jobs[2].result, 0);
    assert_int_equal(ops[2].outcome, FERRY_DONE);
    ferry_fleet_free(fleet);
}

static void test_a_broken_connection_is_opened_anew(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){"breaks"}, 1, 0, 0);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op op = {.after = &e};
    struct ferry_job jobs[] = {apply_job(0, &op, 1), read_job(0)};
    ferry_fleet_run(fleet, jobs, 2);
    assert_int_equal(jobs[0].result, -FERRY_EIO);
    assert_int_equal(op.outcome, FERRY_DONE); /* what the driver said stays */
    assert_int_equal(jobs[1].result, 0);
    assert_int_equal(opens, 2);
    ferry_fib_clear(&jobs[1].fib);
    ferry_fleet_free(fleet);
    assert_int_equal(closes, 2);
}

static void test_a_silent_router_holds_nobody_up(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){"hangs", "", ""}, 3, 0, DEADLINE_MS);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op *hung = ferry_calloc(2, sizeof *hung), other = {.after = &e};
    hung[0].after = hung[1].after = ferry_memdup(&e, sizeof e);
    struct ferry_job jobs[] = {apply_job(0, &hung[0], 1), apply_job(0, &hung[1], 1), apply_job(1, &other, 1)};
    uint64_t start = now_us();
    ferry_fleet_run(fleet, jobs, 3);
    assert_in_range(now_us() - start, 1000 * DEADLINE_MS, SOON_US);
    assert_int_equal(jobs[0].result, -FERRY_EUNKNOWN);
    assert_int_equal(hung[0].outcome, FERRY_UNKNOWN);
    assert_string_equal(hung[0].why, "no answer within 1 s");
    assert_int_equal(jobs[1].result, -FERRY_EIO);
    assert_int_equal(hung[1].outcome, FERRY_REFUSED); /* never sent */
    assert_int_equal(other.outcome, FERRY_DONE);
    free((void *)hung[0].after); /* the late worker must not look at these again */
    ferry_ops_clear(hung, 2);
    free(hung);

    /* Still silent: fails sooner, unsent; the others are served. */
    struct ferry_job again[] = {read_job(0), read_job(2)};
    start = now_us();
    ferry_fleet_run(fleet, again, 2);
    assert_in_range(now_us() - start, 1000 * DEADLINE_MS / 4, SOON_US);
    assert_int_equal(again[0].result, -FERRY_EIO);
    assert_string_equal(again[0].err.text, "not sent: the router is silent");
    assert_int_equal(again[1].result, 0);
    ferry_fib_clear(&again[1].fib);

    /* It comes back: everything as before. */
    hanging = false;
    for (int i = 0; i < 500; i++) {
        again[0] = read_job(0);
        ferry_fleet_run(fleet, again, 1);
        if (again[0].result == 0)
            break;
    }
    assert_int_equal(again[0].result, 0);
    ferry_fib_clear(&again[0].fib);
    ferry_fleet_free(fleet);
    assert_int_equal(closes, opens);
}

static void test_a_late_answer_to_one_that_waits(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){"hangs"}, 1, 1, 4 * DEADLINE_MS);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op op = {.after = &e};
    struct ferry_job job = apply_job(0, &op, 1), then = read_job(0);
    ferry_fleet_run(fleet, &job, 1);
    assert_int_equal(job.result, -FERRY_EUNKNOWN);
    hanging = false; /* returns within a few ms; the next job waits for that, up to a second */
    ferry_fleet_run(fleet, &then, 1);
    assert_int_equal(then.result, 0);
    ferry_fib_clear(&then.fib);
    ferry_op_clear(&op);
    ferry_fleet_free(fleet);
}

static void test_lost_workers_are_replaced(void **state)
{
    (void)state;
    struct ferry_fleet *fleet =
        make((const char *const[]){"hangs", "hangs", "", "hangs", ""}, 5, 1, DEADLINE_MS);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op ops[5];
    struct ferry_job jobs[5];
    for (uint32_t i = 0; i < 5; i++) {
        ops[i] = (struct ferry_op){.after = &e};
        jobs[i] = apply_job(i, &ops[i], 1);
    }
    ferry_fleet_run(fleet, jobs, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(ops[i].outcome, i == 2 || i == 4 ? FERRY_DONE : FERRY_UNKNOWN);
    ferry_ops_clear(ops, 5);
    assert_false(used_by_two);
    ferry_fleet_free(fleet);
    all_come_back();
}

static void test_free_does_not_wait_for_a_silent_router(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){"hangs", "hangs", ""}, 3, 0, DEADLINE_MS);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op ops[] = {{.after = &e}, {.after = &e}, {.after = &e}};
    struct ferry_job jobs[] = {apply_job(0, &ops[0], 1), apply_job(1, &ops[1], 1), apply_job(2, &ops[2], 1)};
    ferry_fleet_run(fleet, jobs, 3);
    uint64_t start = now_us();
    ferry_ops_clear(ops, 3);
    ferry_fleet_free(fleet);
    assert_in_range(now_us() - start, 0, SOON_US);
    assert_int_equal(closes, 1); /* the third router's, which is not silent */
    all_come_back();
}

static void test_an_empty_run_and_an_unused_fleet(void **state)
{
    (void)state;
    struct ferry_fleet *fleet = make((const char *const[]){""}, 1, 0, 0);
    ferry_fleet_run(fleet, NULL, 0);
    assert_int_equal(opens, 0);
    ferry_fleet_free(fleet);
    ferry_fleet_free(NULL);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_a_stage_costs_little(void **state)
{
    (void)state;
    enum { RUNS = 1000 };
    struct ferry_fleet *fleet = make((const char *const[]){"", "", ""}, 3, 0, 0);
    struct ferry_entry e = {.type = FERRY_BLACKHOLE};
    struct ferry_op ops[] = {{.after = &e}, {.after = &e}, {.after = &e}};
    uint64_t took[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        struct ferry_job jobs[] = {apply_job(0, &ops[0], 1), apply_job(1, &ops[1], 1),
                                   apply_job(2, &ops[2], 1)};
        uint64_t start = now_us();
        ferry_fleet_run(fleet, jobs, 3);
        took[i] = now_us() - start;
    }
    qsort(took, RUNS, sizeof took[0], compare_u64);
    print_message("dispatch and join of three routers: median %lu us, 10th percentile %lu us, 99th %lu us\n",
                  (unsigned long)took[RUNS / 2], (unsigned long)took[RUNS / 10],
                  (unsigned long)took[RUNS * 99 / 100]);
    /* The aim is 150; sanitizers are slower, and where the machine is busy most runs wait for a processor. */
    assert_in_range(took[RUNS / 10], 0, 3000);
    ferry_fleet_free(fleet);
}

/* ---- Simulated routers. ---- */

static const char topology_text[] =
    "{\"ferry\": 1, \"name\": \"two\", \"sites\": [{\"name\": \"a\"}, {\"name\": \"b\"}],"
    " \"routers\": ["
    "  {\"name\": \"ra\", \"site\": \"a\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": ["
    "   {\"name\": \"to-b\", \"addresses\": [\"10.255.12.1/30\"]}, {\"name\": \"lan0\"}]},"
    "  {\"name\": \"rb\", \"site\": \"b\", \"driver\": {\"type\": \"sim\"}, \"interfaces\": ["
    "   {\"name\": \"to-a\", \"addresses\": [\"10.255.12.2/30\"]}, {\"name\": \"lan0\"}]}],"
    " \"links\": [{\"endpoints\": [\"ra:to-b\", \"rb:to-a\"]}],"
    " \"subnets\": [{\"name\": \"app\", \"prefix\": \"192.168.1.0/24\", \"home\": \"a\", \"gateways\": ["
    "  {\"router\": \"ra\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"},"
    "  {\"router\": \"rb\", \"interface\": \"lan0\", \"address\": \"192.168.1.1/24\"}]}]}";

struct world {
    char dir[64];
    struct ferry_topology *t;
    struct ferry_pool *pool;
    struct ferry_live *live;
    struct ferry_fleet *fleet;
};

static void world_up(struct world *w, const struct ferry_driver_ops *(*finder)(const char *))
{
    struct ferry_err err;
    uint32_t app = 0;
    strcpy(w->dir, "/tmp/ferry-test-fleet-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    int r = ferry_topology_parse("two", topology_text, sizeof topology_text - 1, &w->t, NULL, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    struct ferry_fleet_config config = {.env = &ferry_env_real, .find = finder, .state_dir = w->dir};
    w->pool = ferry_pool_new();
    w->live = ferry_live_new(w->t, w->pool, &app, 1);
    assert_int_equal(ferry_fleet_for_topology(&config, w->t, &w->fleet, &err), 0);
}

static void world_down(struct world *w)
{
    char command[128];
    ferry_fleet_free(w->fleet);
    ferry_live_free(w->live);
    ferry_pool_free(w->pool);
    ferry_topology_free(w->t);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

static void test_simulated_routers_start_at_home(void **state)
{
    (void)state;
    struct world w;
    struct ferry_err err;
    world_up(&w, ferry_driver_find);
    assert_int_equal(ferry_fleet_read_live(w.fleet, w.live, &err), 0);
    assert_false(w.live->unreachable[0]);
    assert_non_null(w.live->stacks[0]);
    assert_int_equal(w.live->stacks[0]->n, 1);
    assert_int_equal(w.live->stacks[0]->entries[0]->type, FERRY_GATEWAY);
    assert_non_null(w.live->stacks[1]);
    const struct ferry_entry *route = w.live->stacks[1]->entries[0];
    assert_int_equal(route->type, FERRY_UNICAST);
    assert_int_equal(route->metric, FERRY_METRIC_ROUTE);
    assert_int_equal(route->nexthops[0].router, 0);
    assert_string_equal(route->nexthops[0].dev, "to-a");

    /* What is written stays, also for the next fleet. */
    struct ferry_op op = {.kind = FERRY_KIND_GATEWAY,
                          .prefix = w.t->subnets[0].prefix,
                          .before = w.live->stacks[0]->entries[0],
                          .gateway = &w.t->subnets[0].gateways[0],
                          .interface = "lan0"};
    struct ferry_job job = apply_job(0, &op, 1);
    ferry_fleet_run(w.fleet, &job, 1);
    assert_int_equal(op.outcome, FERRY_DONE);
    ferry_fleet_free(w.fleet);
    struct ferry_fleet_config config = {
        .env = &ferry_env_real, .find = ferry_driver_find, .state_dir = w.dir};
    assert_int_equal(ferry_fleet_for_topology(&config, w.t, &w.fleet, &err), 0);
    assert_int_equal(ferry_fleet_read_live(w.fleet, w.live, &err), 0);
    assert_null(w.live->stacks[0]);
    assert_non_null(w.live->stacks[1]);
    world_down(&w);
}

static void test_simulated_routers_know_their_interfaces(void **state)
{
    (void)state;
    struct world w;
    world_up(&w, ferry_driver_find);
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .dev = "to-nowhere", .weight = 1};
    struct ferry_entry e = {
        .type = FERRY_UNICAST, .table = 254, .metric = 5, .protocol = 210, .n_nexthops = 1, .nexthops = &hop};
    struct ferry_op op = {.prefix = w.t->subnets[0].prefix, .table = 254, .metric = 5, .after = &e};
    struct ferry_job job = apply_job(0, &op, 1);
    ferry_fleet_run(w.fleet, &job, 1);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    assert_non_null(strstr(op.why, "to-nowhere"));
    ferry_op_clear(&op);
    world_down(&w);
}

static void test_unreachable_routers_are_marked(void **state)
{
    (void)state;
    struct world w;
    struct ferry_err err;
    struct ferry_fault_rule rule = {.kind = FERRY_FAULT_ERROR, .call = FERRY_FAULT_OPEN, .router = "rb"};
    struct ferry_fault_script script = {.find = ferry_driver_find, .rules = &rule, .n_rules = 1};
    ferry_fault_install(&script);
    world_up(&w, ferry_fault_find);
    assert_int_equal(ferry_fleet_read_live(w.fleet, w.live, &err), 0);
    assert_false(w.live->unreachable[0]);
    assert_true(w.live->unreachable[1]);
    assert_string_equal(w.live->unreachable_why[1].text, "fault: open refused");
    assert_int_equal(script.fired, 1);
    world_down(&w);
    ferry_fault_install(NULL);
}

static void test_a_plans_simulated_routers_start_as_it_found_them(void **state)
{
    (void)state;
    struct ferry_err err;
    char dir[] = "/tmp/ferry-test-fleet-XXXXXX", command[128];
    assert_non_null(mkdtemp(dir));
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_entry plain = {.type = FERRY_GATEWAY};
    struct ferry_entry drop = {.type = FERRY_BLACKHOLE, .table = 254, .metric = 2100, .protocol = 210};
    const struct ferry_entry *entries[] = {ferry_pool_entry(pool, &plain), ferry_pool_entry(pool, &drop)};
    const struct ferry_stack *initial[] = {ferry_pool_stack(pool, entries, 2), NULL};
    struct ferry_plan_gateway gateway = {.interface = "lan0"};
    assert_int_equal(ferry_prefix_parse("192.168.1.1/24", &gateway.gateway.address, &err), 0);
    struct ferry_plan_subnet subnet = {
        .prefix = ferry_prefix_network(&gateway.gateway.address), .gateways = &gateway, .n_gateways = 1};
    struct ferry_cover covers[2] = {{.entry = NULL}, {.entry = entries[1]}};
    assert_int_equal(ferry_prefix_parse("192.168.0.0/16", &covers[1].prefix, &err), 0);
    struct ferry_group group = {.subnets = &subnet, .n_subnets = 1, .initial = initial, .covers = covers};
    struct ferry_plan_router routers[] = {{.name = "ra", .driver = {.type = "sim"}},
                                          {.name = "rb", .driver = {.type = "sim"}}};
    struct ferry_plan plan = {
        .routers = routers, .n_routers = 2, .groups = &group, .n_groups = 1, .pool = pool};
    struct ferry_fleet_config config = {.env = &ferry_env_real, .find = ferry_driver_find, .state_dir = dir};
    struct ferry_fleet *fleet;
    assert_int_equal(ferry_fleet_for_plan(&config, &plan, &fleet, &err), 0);

    struct ferry_query_item asked = {
        .prefix = subnet.prefix, .table = 254, .gateway = &gateway.gateway, .interface = "lan0"};
    struct ferry_query query = {.items = &asked, .n = 1};
    struct ferry_job jobs[] = {read_job(0), read_job(1)};
    jobs[0].query = jobs[1].query = &query;
    ferry_fleet_run(fleet, jobs, 2);
    assert_int_equal(jobs[0].fib.n, 2);
    assert_int_equal(jobs[0].fib.items[0].entry.type, FERRY_GATEWAY);
    assert_int_equal(jobs[0].fib.items[1].entry.type, FERRY_BLACKHOLE);
    assert_int_equal(jobs[1].fib.n, 1);
    assert_int_equal(jobs[1].fib.items[0].relation, FERRY_COVERING);
    ferry_fib_clear(&jobs[0].fib);
    ferry_fib_clear(&jobs[1].fib);
    ferry_fleet_free(fleet);
    ferry_pool_free(pool);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* Two routers that are one machine could be two sites that are one. */
static void test_one_machine_is_one_router(void **state)
{
    static const struct {
        struct ferry_driver_config a, b;
        const char *words; /* NULL: two machines */
    } cases[] = {
        {{.type = "netlink", .netns = "x"}, {.type = "netlink", .netns = "x"}, "namespace x"},
        {{.type = "netlink"}, {.type = "frr"}, "this machine itself"},
        {{.type = "netlink", .netns = "x"}, {.type = "frr", .netns = "x", .pathspace = "p"}, "namespace x"},
        {{.type = "frr", .pathspace = "p"}, {.type = "frr", .pathspace = "p"}, "pathspace p"},
        {{.type = "frr", .pathspace = "p"}, {.type = "frr", .pathspace = "q"}, NULL},
        {{.type = "frr", .host = "h"}, {.type = "iproute", .host = "h", .port = 22}, "h port 22"},
        {{.type = "frr", .host = "h"}, {.type = "frr", .host = "h", .port = 23}, NULL},
        {{.type = "frr", .host = "h"}, {.type = "frr", .host = "h", .jump = "j"}, NULL},
        {{.type = "frr", .host = "h", .netns = "x"}, {.type = "frr", .host = "h", .netns = "y"}, NULL},
        {{.type = "frr", .transport = "ssh"}, {.type = "frr", .transport = "ssh"}, NULL}, /* by their names */
        {{.type = "sim"}, {.type = "sim"}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *names[] = {"a", "b"};
        const struct ferry_driver_config *configs[] = {&cases[i].a, &cases[i].b};
        struct ferry_fleet_config config = {
            .env = &ferry_env_real, .find = ferry_driver_find, .state_dir = "/nowhere"};
        struct ferry_fleet *fleet = NULL;
        struct ferry_err err = {0};
        int r = ferry_fleet_new(&config, names, configs, 2, &fleet, &err);
        assert_int_equal(r, cases[i].words ? -FERRY_EREFUSED : 0);
        if (cases[i].words) {
            assert_string_equal(err.rule, "same-machine");
            assert_non_null(strstr(err.text, cases[i].words));
        }
        ferry_fleet_free(fleet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_of_a_router_run_in_order),
        cmocka_unit_test(test_routers_are_worked_on_side_by_side),
        cmocka_unit_test(test_unreachable_routers_say_that_nothing_was_sent),
        cmocka_unit_test(test_a_broken_connection_is_opened_anew),
        cmocka_unit_test(test_a_silent_router_holds_nobody_up),
        cmocka_unit_test(test_a_late_answer_to_one_that_waits),
        cmocka_unit_test(test_lost_workers_are_replaced),
        cmocka_unit_test(test_free_does_not_wait_for_a_silent_router),
        cmocka_unit_test(test_an_empty_run_and_an_unused_fleet),
        cmocka_unit_test(test_a_stage_costs_little),
        cmocka_unit_test(test_simulated_routers_start_at_home),
        cmocka_unit_test(test_simulated_routers_know_their_interfaces),
        cmocka_unit_test(test_unreachable_routers_are_marked),
        cmocka_unit_test(test_one_machine_is_one_router),
        cmocka_unit_test(test_a_plans_simulated_routers_start_as_it_found_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
