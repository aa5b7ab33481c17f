/* The simulator beyond the driver contract: its state file.  SPDX-License-Identifier: MIT */
#include <ferry/driver.h>

#include "base/mem.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], file[96];
static const struct ferry_driver_ops *const sim = &ferry_driver_sim;

static int up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/ferry-test-sim-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/sim/r1.json", dir);
    return 0;
}

static int down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct ferry_driver *open_sim(const struct ferry_fib *initial)
{
    struct ferry_driver *driver;
    struct ferry_err err;
    if (sim->open(&ferry_env_real, NULL, "r1", dir, initial, &driver, &err) < 0)
        fail_msg("%s", err.text);
    return driver;
}

static struct ferry_prefix net(const char *text)
{
    struct ferry_prefix p;
    struct ferry_err err;
    assert_int_equal(ferry_prefix_parse(text, &p, &err), 0);
    return p;
}

static struct ferry_fib all(struct ferry_driver *driver)
{
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (sim->read(driver, &(struct ferry_query){.all = true}, &fib, &err) < 0)
        fail_msg("%s", err.text);
    return fib;
}

static size_t count(struct ferry_driver *driver)
{
    struct ferry_fib fib = all(driver);
    size_t n = fib.n;
    ferry_fib_clear(&fib);
    return n;
}

static const struct ferry_entry drop = {
    .type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 20, .protocol = FERRY_PROTOCOL};

static struct ferry_op add_drop(const char *prefix)
{
    return (struct ferry_op){.prefix = net(prefix), .table = FERRY_TABLE_MAIN, .metric = 20, .after = &drop};
}

static void write_file(const char *text)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_the_file_comes_with_the_first_change(void **state)
{
    (void)state;
    struct ferry_fib initial = {0};
    struct ferry_err err;
    struct ferry_op op = add_drop("192.168.1.0/24"), again = op;
    ferry_fib_add(&initial, &(struct ferry_fib_item){.prefix = net("10.0.0.0/8"), .entry = drop});
    struct ferry_driver *driver = open_sim(&initial);
    assert_int_equal(count(driver), 1);
    again.before = &drop;
    assert_int_equal(sim->check(driver, &op, 1, &err), 0);
    assert_int_equal(sim->apply(driver, &again, 1, &err), 0);
    assert_int_equal(again.outcome, FERRY_STALE);
    ferry_op_clear(&again);
    assert_int_not_equal(access(file, F_OK), 0);
    assert_int_equal(sim->apply(driver, &op, 1, &err), 0);
    assert_int_equal(op.outcome, FERRY_DONE);
    assert_int_equal(access(file, F_OK), 0);
    sim->close(driver);
    driver = open_sim(NULL); /* the file wins over `initial` */
    assert_int_equal(count(driver), 2);
    sim->close(driver);
    ferry_fib_clear(&initial);
}

static void test_every_field_goes_through_the_file(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_nexthop hops[] = {
        {.router = FERRY_NO_ROUTER, .dev = "eth0", .weight = 256},
        {.router = FERRY_NO_ROUTER, .dev = "a\"b\\c", .weight = 1, .onlink = true}};
    assert_int_equal(ferry_addr_parse("fd00::1", &hops[1].via, &err), 0);
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = 4294967295u,
                            .metric = 4294967295u,
                            .protocol = 77,
                            .n_nexthops = 2,
                            .nexthops = hops,
                            .native_len = 3,
                            .native = (const uint8_t *)"\0\xff\x10"};
    struct ferry_entry odd = {.type = FERRY_GATEWAY, .native_len = 2, .native = (const uint8_t *)"xy"};
    struct ferry_gateway connected = {.address = net("fd00:1::1/64")}, routed = {0};
    assert_int_equal(ferry_addr_parse("10.0.0.9", &routed.via, &err), 0);
    struct ferry_op ops[] = {
        {.prefix = net("fd00:2::/127"), .table = e.table, .metric = e.metric, .after = &e},
        {.kind = FERRY_KIND_GATEWAY,
         .prefix = net("fd00:1::/64"),
         .after = &odd,
         .gateway = &connected,
         .interface = "lan0"},
        {.kind = FERRY_KIND_GATEWAY, .prefix = net("10.1.0.0/16"), .after = &odd, .gateway = &routed},
    };
    struct ferry_driver *driver = open_sim(NULL);
    assert_int_equal(sim->apply(driver, ops, 3, &err), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ops[i].outcome, FERRY_DONE);
    sim->close(driver);
    driver = open_sim(NULL);
    for (size_t i = 0; i < 3; i++) {
        ops[i].before = ops[i].after; /* compare-and-set on the whole value: that it works is the proof */
        ops[i].after = NULL;
    }
    assert_int_equal(sim->apply(driver, ops, 3, &err), 0);
    for (size_t i = 0; i < 3; i++)
        if (ops[i].outcome != FERRY_DONE)
            fail_msg("%s", ops[i].why);
    assert_int_equal(count(driver), 0);
    sim->close(driver);
}

static void test_what_a_person_edits_is_seen_at_once(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_op op = add_drop("192.168.1.0/24");
    struct ferry_driver *driver = open_sim(NULL);
    assert_int_equal(sim->apply(driver, &op, 1, &err), 0);
    write_file("{\"ferry\": 1, \"kind\": \"sim\", \"gateways\": [], \"routes\": [\n"
               "{\"prefix\": \"192.168.1.0/24\", \"type\": \"unreachable\", \"metric\": 20, \"protocol\": "
               "\"static\"}]}");
    op.before = &drop;
    op.after = NULL;
    assert_int_equal(sim->apply(driver, &op, 1, &err), 0);
    assert_int_equal(op.outcome, FERRY_STALE);
    assert_non_null(strstr(op.why, "unreachable"));
    ferry_op_clear(&op);
    unlink(file);
    assert_int_equal(count(driver), 0);
    sim->close(driver);
}

static void test_a_broken_file_is_an_error(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{\"gateways\": [], \"routes\": [{\"prefix\": \"10.0.0.0/33\", \"type\": \"blackhole\", \"metric\": "
        "1, \"protocol\": \"static\"}]}",
        "{\"gateways\": [], \"routes\": [{\"prefix\": \"10.0.0.0/8\", \"type\": \"gateway\", \"metric\": 1, "
        "\"protocol\": \"static\"}]}",
        "{\"gateways\": [], \"routes\": [{\"prefix\": \"10.0.0.0/8\", \"type\": \"blackhole\", \"metric\": "
        "-1, \"protocol\": \"static\"}]}",
        "{\"gateways\": [], \"routes\": [{\"prefix\": \"10.0.0.0/8\", \"type\": \"blackhole\", \"metric\": "
        "1, \"protocol\": \"nobody\"}]}",
        "{\"gateways\": [], \"routes\": [{\"prefix\": \"10.0.0.0/8\", \"type\": \"blackhole\", \"metric\": "
        "1, \"protocol\": \"static\", \"native\": \"0\"}]}",
        "{\"gateways\": [{\"prefix\": \"10.0.0.0/8\", \"interface\": \"a-name-that-is-too-long\"}], "
        "\"routes\": []}",
        "{\"gateways\": [7], \"routes\": []}",
    };
    struct ferry_err err;
    struct ferry_op op = add_drop("192.168.1.0/24");
    struct ferry_driver *driver = open_sim(NULL), *other = NULL;
    assert_int_equal(sim->apply(driver, &op, 1, &err), 0);
    for (size_t i = 0; i < FERRY_COUNT(broken); i++) {
        struct ferry_fib fib = {0};
        write_file(broken[i]);
        err.text[0] = '\0';
        assert_int_equal(sim->read(driver, &(struct ferry_query){.all = true}, &fib, &err), -FERRY_EIO);
        assert_non_null(strstr(err.text, "r1.json"));
        op = add_drop("192.168.9.0/24");
        assert_int_equal(sim->apply(driver, &op, 1, &err), -FERRY_EIO);
        assert_int_equal(op.outcome, FERRY_REFUSED);
        ferry_op_clear(&op);
        assert_int_equal(sim->open(&ferry_env_real, NULL, "r1", dir, NULL, &other, &err), -FERRY_EIO);
        assert_null(other);
    }
    sim->close(driver);
}

static void test_what_cannot_be_saved_is_refused(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_op op = add_drop("192.168.1.0/24");
    struct ferry_driver *driver = open_sim(NULL);
    char blocked[80];
    snprintf(blocked, sizeof blocked, "%s/sim", dir);
    FILE *f = fopen(blocked, "w"); /* a file where the directory should be */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(sim->apply(driver, &op, 1, &err), -FERRY_EIO);
    assert_int_equal(op.outcome, FERRY_REFUSED);
    unlink(blocked);
    assert_int_equal(count(driver), 0);
    assert_int_equal(sim->apply(driver, &op, 1, &err), 0);
    assert_int_equal(op.outcome, FERRY_DONE);
    assert_int_equal(count(driver), 1);
    sim->close(driver);
}

static void test_names_that_are_paths_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "../r1", "a/b", "/etc/passwd"};
    for (size_t i = 0; i < FERRY_COUNT(names); i++) {
        struct ferry_driver *driver = NULL;
        struct ferry_err err;
        assert_int_equal(sim->open(&ferry_env_real, NULL, names[i], dir, NULL, &driver, &err), -FERRY_EIO);
        assert_null(driver);
    }
}

static void test_ten_thousand_routes_out_of_order(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct ferry_op *ops = ferry_calloc(N, sizeof *ops);
    struct ferry_query_item *items = ferry_calloc(N, sizeof *items);
    struct ferry_fib fib = {0};
    struct ferry_err err;
    for (unsigned i = 0; i < N; i++) {
        unsigned scattered = i * 7919u % N; /* 7919 is prime: every prefix once, out of order */
        ops[i] = add_drop("10.0.0.0/24");
        ops[i].prefix.addr.bytes[1] = (uint8_t)(scattered / 256);
        ops[i].prefix.addr.bytes[2] = (uint8_t)(scattered % 256);
        items[i] = (struct ferry_query_item){.prefix = ops[i].prefix, .table = FERRY_TABLE_MAIN};
    }
    struct ferry_driver *driver = open_sim(NULL);
    assert_int_equal(sim->apply(driver, ops, N, &err), 0);
    assert_int_equal(sim->read(driver, &(struct ferry_query){.items = items, .n = N}, &fib, &err), 0);
    assert_int_equal(fib.n, N);
    sim->close(driver);
    driver = open_sim(NULL);
    assert_int_equal(count(driver), N);
    sim->close(driver);
    ferry_fib_clear(&fib);
    free(ops);
    free(items);
}

/* ---- The dead-man. ---- */

static uint64_t clock_us;

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_us;
}

static enum ferry_deadman_state say(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                                    struct ferry_deadman deadman, unsigned *ret_left_s)
{
    enum ferry_deadman_state state = FERRY_DEADMAN_NONE;
    struct ferry_err err;
    deadman.id = "t1";
    if (sim->deadman(driver, verb, &deadman, &state, ret_left_s, &err) < 0)
        fail_msg("%s", err.text);
    return state;
}

/* Armed for 60 s, with three steps that put a route each: 0, 2 and 20 s after the deadline, from `first` on. */
static struct ferry_driver *armed(struct ferry_env *env, size_t first)
{
    struct ferry_op ops[] = {add_drop("10.1.0.0/16"), add_drop("10.2.0.0/16"), add_drop("10.3.0.0/16")};
    struct ferry_deadman_step steps[] = {{0, &ops[0], 1}, {2, &ops[1], 1}, {20, &ops[2], 1}};
    struct ferry_driver *driver;
    struct ferry_err err;
    unsigned left;
    clock_us = 1790000000ull * 1000000;
    *env = ferry_env_real;
    env->realtime_us = read_clock;
    assert_int_equal(sim->open(env, NULL, "r1", dir, NULL, &driver, &err), 0);
    struct ferry_deadman deadman = {.seconds = 60, .steps = steps + first, .n_steps = 3 - first};
    assert_int_equal(say(driver, FERRY_DEADMAN_ARM, deadman, &left), FERRY_DEADMAN_ARMED);
    assert_int_equal(left, 60);
    return driver;
}

/* Whoever may still confirm after the deadline keeps what others have begun to undo; whoever looks idle is
 * not waited for. */
static void test_it_has_fired_before_its_first_step(void **state)
{
    struct ferry_env env;
    struct ferry_driver *driver = armed(&env, 2);
    unsigned left;
    (void)state;
    clock_us += 61 * 1000000;
    for (enum ferry_deadman_verb verb = FERRY_DEADMAN_EXTEND; verb <= FERRY_DEADMAN_LIMIT; verb++) {
        assert_int_equal(say(driver, verb, (struct ferry_deadman){.seconds = 99, .to_s = 1}, &left),
                         FERRY_DEADMAN_FIRED);
        assert_int_equal(left, 1);
    }
    assert_int_equal(say(driver, FERRY_DEADMAN_ARM, (struct ferry_deadman){.seconds = 99}, &left),
                     FERRY_DEADMAN_FIRED); /* it is left once */
    assert_int_equal(count(driver), 0);
    clock_us += 20 * 1000000;
    assert_int_equal(say(driver, FERRY_DEADMAN_LOOK, (struct ferry_deadman){0}, &left), FERRY_DEADMAN_FIRED);
    assert_int_equal(left, 0);
    assert_int_equal(count(driver), 1);
    sim->close(driver);
}

/* Five seconds more or less than were seen are still the same; else the message was late. */
static void test_late_extensions_change_nothing(void **state)
{
    static const struct {
        unsigned seen_s, left_s;
    } cases[] = {{0, 99}, {45, 99}, {40, 99}, {39, 45}, {50, 99}, {51, 45}};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_env env;
        struct ferry_driver *driver = armed(&env, 0);
        unsigned left;
        clock_us += 15 * 1000000;
        struct ferry_deadman more = {.seconds = 99, .seen_s = cases[i].seen_s};
        assert_int_equal(say(driver, FERRY_DEADMAN_EXTEND, more, &left), FERRY_DEADMAN_ARMED);
        assert_int_equal(left, cases[i].left_s);
        assert_int_equal(say(driver, FERRY_DEADMAN_DISARM, more, &left), FERRY_DEADMAN_NONE);
        sim->close(driver);
    }
}

static void test_limits_choose_steps(void **state)
{
    static const struct {
        unsigned from_s, to_s, then_to_s, run, goes_on;
    } cases[] = {{0, 0, 0, 3, 1},   {1, 0, 0, 2, 1},  {0, 20, 0, 2, 1},
                 {0, 20, 99, 2, 1}, {0, 20, 2, 1, 0}, {2, 20, 0, 1, 1}};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_env env;
        struct ferry_driver *driver = armed(&env, 0);
        unsigned left;
        for (int twice = 0; twice < 2; twice++) {
            struct ferry_deadman limit = {.from_s = cases[i].from_s,
                                          .to_s = twice ? cases[i].then_to_s : cases[i].to_s};
            clock_us += 500000;
            assert_int_equal(say(driver, FERRY_DEADMAN_LIMIT, limit, &left), FERRY_DEADMAN_ARMED);
        }
        assert_int_equal(left, 59); /* the deadline has not moved */
        clock_us += 60 * 1000000;
        assert_int_equal(say(driver, FERRY_DEADMAN_LOOK, (struct ferry_deadman){0}, &left),
                         FERRY_DEADMAN_FIRED);
        assert_int_equal(left, cases[i].goes_on);
        clock_us += 60 * 1000000;
        assert_int_equal(say(driver, FERRY_DEADMAN_LOOK, (struct ferry_deadman){0}, &left),
                         FERRY_DEADMAN_FIRED);
        assert_int_equal(left, 0);
        assert_int_equal(count(driver), cases[i].run);
        sim->close(driver);
        down(NULL);
        up(NULL);
    }
}

/* ---- Two deadlines. ---- */

/* Armed for 60 s; another deadline `seconds` from now, and the steps of `split_s` and more at the later one. */
static struct ferry_driver *armed_twice(struct ferry_env *env, bool earlier, unsigned seconds,
                                        unsigned split_s)
{
    struct ferry_driver *driver = armed(env, 0);
    struct ferry_deadman what = {.seconds = seconds, .earlier = earlier, .split_s = split_s};
    unsigned left;
    assert_int_equal(say(driver, FERRY_DEADMAN_MOVE, what, &left), FERRY_DEADMAN_ARMED); /* there is one */
    say(driver, FERRY_DEADMAN_NEXT, what, &left);
    assert_int_equal(left, 60); /* every step is where it was */
    assert_int_equal(say(driver, FERRY_DEADMAN_MOVE, what, &left), FERRY_DEADMAN_MOVING);
    what.split_s = earlier ? 0 : 21; /* what went over does not come back */
    assert_int_equal(say(driver, FERRY_DEADMAN_MOVE, what, &left), FERRY_DEADMAN_MOVING);
    what.seconds = 500;
    assert_int_equal(say(driver, FERRY_DEADMAN_NEXT, what, &left), FERRY_DEADMAN_MOVING); /* too late */
    assert_int_equal(say(driver, FERRY_DEADMAN_EXTEND, what, &left), FERRY_DEADMAN_MOVING);
    return driver;
}

static enum ferry_deadman_state look_in(struct ferry_driver *driver, unsigned seconds, unsigned *ret_left_s)
{
    clock_us += 1000000ull * seconds;
    return say(driver, FERRY_DEADMAN_LOOK, (struct ferry_deadman){0}, ret_left_s);
}

static void test_the_rest_of_an_undo_begins_where_it_is_told(void **state)
{
    static const unsigned begins[] = {20, 0}; /* what was given up does not come back */
    struct ferry_env env;
    unsigned left;
    struct ferry_driver *driver = armed_twice(&env, false, 99, 2);
    (void)state;
    assert_int_equal(look_in(driver, 61, &left), FERRY_DEADMAN_RESTS);
    for (size_t i = 0; i < FERRY_COUNT(begins); i++)
        assert_int_equal(
            say(driver, FERRY_DEADMAN_LIMIT, (struct ferry_deadman){.from_s = begins[i], .to_s = 1}, &left),
            FERRY_DEADMAN_RESTS);
    look_in(driver, 200, &left);
    assert_int_equal(count(driver), 2); /* the first one, and the last one */
    sim->close(driver);
}

static void test_of_two_deadlines_each_has_its_steps(void **state)
{
    static const struct {
        bool earlier;
        unsigned seconds, split_s, first, goes_on,
            second; /* deadlines; how long the first one's steps go on */
        size_t run; /* at the first one */
    } cases[] = {{false, 99, 2, 60, 0, 99, 1},
                 {false, 99, 20, 60, 2, 99, 2},
                 {true, 20, 1, 20, 0, 60, 1},
                 {true, 20, 3, 20, 2, 60, 2}};
    (void)state;
    for (size_t i = 0; i < 2 * FERRY_COUNT(cases); i++) {
        struct ferry_env env;
        unsigned left, k = (unsigned)i / 2;
        struct ferry_driver *driver = armed_twice(&env, cases[k].earlier, cases[k].seconds, cases[k].split_s);
        assert_int_equal(look_in(driver, cases[k].first - 1, &left), FERRY_DEADMAN_MOVING);
        assert_int_equal(left, 1);
        if (cases[k].goes_on)
            assert_int_equal(look_in(driver, 1, &left), FERRY_DEADMAN_FIRED);
        assert_int_equal(look_in(driver, cases[k].goes_on ? cases[k].goes_on : 1, &left),
                         FERRY_DEADMAN_RESTS);
        assert_int_equal(left, cases[k].second - cases[k].first - cases[k].goes_on);
        assert_int_equal(count(driver), cases[k].run);
        if (i % 2) { /* nothing but a disarm keeps it */
            assert_int_equal(say(driver, FERRY_DEADMAN_CONFIRM, (struct ferry_deadman){0}, &left),
                             FERRY_DEADMAN_RESTS);
            look_in(driver, cases[k].second - cases[k].first + 20, &left);
            assert_int_equal(left, 0);
            assert_int_equal(count(driver), 3);
        } else {
            assert_int_equal(say(driver, FERRY_DEADMAN_DISARM, (struct ferry_deadman){0}, &left),
                             FERRY_DEADMAN_NONE);
            look_in(driver, 200, &left);
            assert_int_equal(count(driver), cases[k].run);
        }
        sim->close(driver);
        down(NULL);
        up(NULL);
    }
}

static void test_a_deadline_is_settled(void **state)
{
    (void)state;
    for (int earlier = 0; earlier < 2; earlier++) {
        struct ferry_env env;
        unsigned left;
        struct ferry_deadman what = {.earlier = earlier};
        struct ferry_driver *driver = armed_twice(&env, earlier, earlier ? 20 : 99, earlier ? 21 : 0);
        assert_int_equal(say(driver, FERRY_DEADMAN_SETTLE, what, &left), FERRY_DEADMAN_ARMED);
        assert_int_equal(left, earlier ? 20 : 99);
        assert_int_equal(say(driver, FERRY_DEADMAN_SETTLE, what, &left), FERRY_DEADMAN_ARMED);
        assert_int_equal(look_in(driver, left + 20, &left), FERRY_DEADMAN_FIRED);
        assert_int_equal(count(driver), 3);
        sim->close(driver);
        down(NULL);
        up(NULL);
    }
}

static void test_commands_name_interfaces_as_a_shell_reads_them(void **state)
{
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .dev = "a;id"};
    struct ferry_entry e = {.type = FERRY_UNICAST, .table = 254, .n_nexthops = 1, .nexthops = &hop};
    struct ferry_op op = {.prefix = net("192.168.1.0/24"), .table = 254, .after = &e};
    struct ferry_driver_config config = {.type = (char *)"sim"};
    char text[200];
    (void)state;
    assert_in_range(sim->native(&config, &op, text, sizeof text), 1, sizeof text - 1);
    assert_non_null(strstr(text, "dev 'a;id' metric"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, up, down)
    const struct CMUnitTest tests[] = {
        T(the_file_comes_with_the_first_change),
        T(every_field_goes_through_the_file),
        T(what_a_person_edits_is_seen_at_once),
        T(a_broken_file_is_an_error),
        T(what_cannot_be_saved_is_refused),
        T(names_that_are_paths_are_refused),
        T(ten_thousand_routes_out_of_order),
        T(it_has_fired_before_its_first_step),
        T(late_extensions_change_nothing),
        T(limits_choose_steps),
        T(of_two_deadlines_each_has_its_steps),
        T(the_rest_of_an_undo_begins_where_it_is_told),
        T(a_deadline_is_settled),
        T(commands_name_interfaces_as_a_shell_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
