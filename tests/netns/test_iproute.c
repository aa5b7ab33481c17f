/* What is the iproute driver's alone: an ip that breaks off or lies, words that a batch cannot carry, an undo
 * that waits on the router.  test_linux_*.c are run against it, too.
 *
 * The program has a mount namespace of its own, in which an ip of the test's making stands before the real one.
 *
 * SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct ferry_entry drop4 = {
    .type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 30, .protocol = FERRY_PROTOCOL};

/* ---- A router whose ip is not to be trusted. ---- */

#define FAKE "/usr/local/sbin/ip"

/* What `ip` is for the driver from now on: a script, in which $real is the real one.  NULL: the real one. */
static void fake(const char *script)
{
    unlink(FAKE);
    if (!script)
        return;
    FILE *f = fopen(FAKE, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nreal=ip\n%s\n", script);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(FAKE, 0755), 0);
}

static int down(void **state)
{
    fake(NULL);
    return kernel_down(state);
}

static int read_all(const struct kernel *k, struct ferry_err *err)
{
    struct ferry_query query = {.all = true};
    struct ferry_fib fib = {0};
    int result = k->ops->read(k->driver, &query, &fib, err);
    ferry_fib_clear(&fib);
    return result;
}

static void unreadable(const struct kernel *k, const char *script, const char *words)
{
    struct ferry_err err;
    fake(script);
    assert_int_equal(read_all(k, &err), -FERRY_EIO);
    if (!strstr(err.text, words))
        fail_msg("said \"%s\", wanted \"%s\"", err.text, words);
}

#define WHEN_SAVED(what) "case \"$*\" in *'route save'*) " what " ;; *) exec $real \"$@\" ;; esac"
#define WHEN_LINKS(what) "case \"$*\" in *'link show'*) " what " ;; *) exec $real \"$@\" ;; esac"

static void test_what_ip_says_is_not_believed(void **state)
{
    struct kernel *k = *state;
    struct ferry_err err;
    assert_int_equal(read_all(k, &err), 0);
    unreadable(k, WHEN_SAVED("exit 0"), "said nothing");
    unreadable(k, WHEN_SAVED("echo Oops >&2; exit 2"), "failed: Oops");
    unreadable(k, WHEN_SAVED("kill -9 $$"), "failed");
    fake(WHEN_SAVED("printf '\\105\\061\\022\\044'"));
    assert_int_equal(read_all(k, &err), -FERRY_ESUPPORT);
    assert_non_null(strstr(err.text, "byte order"));
    /* A message longer than what is there, or shorter than itself; garbage behind the last one. */
    unreadable(k, WHEN_SAVED("$real \"$@\" | head -c 60"), "broken");
    unreadable(k, WHEN_SAVED("printf '\\044\\022\\061\\105\\000\\360\\000\\000\\030\\000'"), "broken");
    unreadable(k, WHEN_SAVED("printf '\\044\\022\\061\\105\\004\\000\\000\\000\\030\\000'"), "broken");
    unreadable(k, WHEN_SAVED("$real \"$@\"; head -c 3000 /dev/zero"), "broken");
    unreadable(k, WHEN_SAVED("$real \"$@\"; printf '\\n@ip 0\\n\\n@err\\nmore'"), "more than it was asked");
    unreadable(k, WHEN_LINKS("echo '[{\"ifname\":\"lo\",\"ifindex\":1,\"flags\":[]'"), "ip link");
    unreadable(k, WHEN_LINKS("echo '[{\"ifname\":\"lo\",\"ifindex\":1}]'"), "flags");
    unreadable(k, WHEN_LINKS("echo '[{\"ifname\":\"a-name-that-is-too-long\",\"ifindex\":1,\"flags\":[]}]'"),
               "too long");
    unreadable(k, WHEN_LINKS("exit 127"), "cannot show the interfaces");
    fake(NULL);
    assert_int_equal(read_all(k, &err), 0);
}

/* A dump that the kernel calls torn is read again, not for ever. */
static void test_a_torn_answer_is_asked_for_again(void **state)
{
    struct kernel *k = *state;
    struct ferry_err err;
    char once[300];
    snprintf(once, sizeof once,
             WHEN_SAVED(
                 "[ -e /usr/local/sbin/%s ] || { >/usr/local/sbin/%s; echo 'Dump was interrupted and may be "
                 "inconsistent.' >&2; }; exec $real \"$@\""),
             k->netns, k->netns);
    fake(once);
    assert_int_equal(read_all(k, &err), 0);
    snprintf(once, sizeof once, "/usr/local/sbin/%s", k->netns);
    assert_int_equal(unlink(once), 0); /* it was torn once */
    unreadable(k, WHEN_SAVED("echo 'Dump was interrupted and may be inconsistent.' >&2; exec $real \"$@\""),
               "too fast");
}

/* ---- Batches that end early. ---- */

static void outcomes(const struct kernel *k, const char *script, const enum ferry_outcome wanted[3])
{
    struct ferry_op ops[3];
    struct ferry_err err;
    for (int i = 0; i < 3; i++)
        ops[i] = kernel_route(((const char *const[]){"10.61.0.0/24", "10.62.0.0/24", "10.63.0.0/24"})[i],
                              NULL, &drop4);
    fake(script);
    (void)!k->ops->apply(k->driver, ops, 3, &err);
    fake(NULL);
    for (int i = 0; i < 3; i++) {
        if (ops[i].outcome != wanted[i])
            fail_msg("op %d is %s (%s), wanted %s", i, ferry_outcome_name(ops[i].outcome),
                     ops[i].why ? ops[i].why : "", ferry_outcome_name(wanted[i]));
        assert_int_equal(ops[i].why == NULL, wanted[i] == FERRY_DONE);
    }
    ferry_ops_clear(ops, 3);
    (void)kernel_try(k, "route flush proto 210");
}

/* The process that the driver keeps on the router dies while nothing is asked of it. */
static void kill_session(void)
{
    char path[64], stat[200] = "";
    int pid = 0, n = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, "%d", &pid) == 1)
        n++;
    fclose(f);
    assert_int_equal(n, 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; i < 10000 && !strstr(stat, ") Z"); i++) {
        usleep(1000);
        f = fopen(path, "r");
        assert_non_null(f);
        assert_non_null(fgets(stat, sizeof stat, f));
        fclose(f);
    }
}

static void test_a_session_that_ended_is_begun_again(void **state)
{
    struct kernel *k = *state;
    struct ferry_op put = kernel_route(P4, NULL, &drop4), take = kernel_swap(&put);
    struct ferry_err err;
    assert_int_equal(read_all(k, &err), 0);
    kill_session();
    kernel_apply(k, &put, FERRY_DONE);
    kill_session();
    assert_int_equal(read_all(k, &err), 0);
    unreadable(k, WHEN_LINKS("kill -9 0"), "");
    fake(NULL);
    kernel_apply(k, &take, FERRY_DONE);
}

#define WHEN_BATCH(what) "case \"$*\" in *-batch*) " what " ;; *) exec $real \"$@\" ;; esac"

static void test_outcomes_are_honest_where_ip_breaks_off(void **state)
{
    struct kernel *k = *state;
    static const enum ferry_outcome done[3] = {FERRY_DONE, FERRY_DONE, FERRY_DONE},
                                    unknown[3] = {FERRY_UNKNOWN, FERRY_UNKNOWN, FERRY_UNKNOWN},
                                    middle[3] = {FERRY_DONE, FERRY_STALE, FERRY_DONE},
                                    after[3] = {FERRY_UNKNOWN, FERRY_STALE, FERRY_UNKNOWN};
    outcomes(k, NULL, done);
    outcomes(k, WHEN_BATCH("exec $real \"$@\""), done);
    outcomes(k, WHEN_BATCH("exit 0"), unknown);
    outcomes(k, WHEN_BATCH("echo 'Error: what?' >&2; exit 255"), unknown);
    outcomes(k, WHEN_BATCH("$real \"$@\"; kill -9 $$"), unknown); /* done, but who knows */
    outcomes(k, WHEN_BATCH("$real \"$@\"; kill -9 0"), unknown);
    outcomes(k, WHEN_BATCH("head -n 1 | $real \"$@\""), unknown);
    /* Somebody was quicker between the look and the batch. */
    outcomes(k, WHEN_BATCH("$real route add unreachable 10.62.0.0/24 metric 30 proto 210; exec $real \"$@\""),
             middle);
    outcomes(
        k,
        WHEN_BATCH(
            "$real route add unreachable 10.62.0.0/24 metric 30 proto 210; head -n 2 | exec $real \"$@\""),
        after);
}

/* ---- Words. ---- */

static void test_a_name_that_a_batch_cannot_carry_is_refused(void **state)
{
    static const char *const names[] = {"a#b", "a\"b", "a\\b", "a'b", "a;b", "$(id)", "-batch", "up"};
    struct kernel *k = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char quoted[40] = "\"";
        for (const char *c = names[i]; *c; c++)
            sprintf(quoted + strlen(quoted), strchr("\"\\", *c) ? "\\%c" : "%c", *c);
        strcat(quoted, "\"");
        if (!kernel_try(k, "link add name %s type veth peer name other", quoted)) {
            print_message("SKIPPED, this ip cannot: %s\n", names[i]);
            continue;
        }
        kernel_ip(k, "link set dev %s up", quoted);
        kernel_ip(k, "route add " P4 " dev %s metric 30", quoted);
        char *was = kernel_snapshot(k);
        struct ferry_fib fib = kernel_read(k, P4, FERRY_TABLE_MAIN, NULL, NULL);
        const struct ferry_entry *e = kernel_only(&fib);
        assert_string_equal(e->nexthops[0].dev, names[i]);
        struct ferry_op take = kernel_route(P4, e, NULL), back = kernel_swap(&take);
        bool carried = !strpbrk(names[i], "#\"\\';$");
        struct ferry_nexthop leg = {.router = FERRY_NO_ROUTER, .dev = "up0", .weight = 1};
        struct ferry_entry other = *e;
        other.nexthops = &leg;
        struct ferry_op swap =
            kernel_route(P4, e, &other); /* before anything is written: it must be able to come back */
        struct ferry_err err;
        assert_int_equal(k->ops->check(k->driver, &swap, 1, &err), 0);
        assert_int_equal(swap.outcome, carried ? FERRY_DONE : FERRY_REFUSED);
        ferry_op_clear(&swap);
        if (!carried) {
            assert_non_null(strstr(kernel_apply(k, &take, FERRY_REFUSED), "cannot be written for ip"));
        } else {
            kernel_apply(k, &take, FERRY_DONE);
            kernel_apply(k, &back, FERRY_DONE);
        }
        kernel_same(k, was);
        free(was);
        ferry_fib_clear(&fib);
        kernel_ip(k, "link del dev %s", quoted);
    }
}

static void test_a_label_that_a_batch_cannot_carry_is_refused(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g = {.address = kernel_prefix("192.168.1.1/24")};
    kernel_ip(k, "addr add 192.168.1.1/24 dev lan0 label 'lan0:a b'");
    struct ferry_fib fib = kernel_read(k, P4, FERRY_TABLE_MAIN, &g, "lan0");
    struct ferry_op detach = kernel_gateway(P4, &g, "lan0", kernel_only(&fib), NULL);
    assert_non_null(strstr(kernel_apply(k, &detach, FERRY_REFUSED), "label"));
    ferry_fib_clear(&fib);
}

/* ---- Test failovers. ---- */

enum { TEST_TABLE = 4242 };

static const struct ferry_entry attached = {.type = FERRY_GATEWAY};

static struct ferry_op isolated(struct ferry_gateway *g, const char *make, const char *interface)
{
    *g = (struct ferry_gateway){.address = kernel_prefix("192.168.1.1/24"), .isolated = true};
    snprintf(g->make, sizeof g->make, "%s", make);
    struct ferry_op op = kernel_gateway(P4, g, interface, NULL, &attached);
    op.table = TEST_TABLE;
    return op;
}

#define WHEN_RULES(what) "case \"$*\" in *'rule save'*) " what " ;; *) exec $real \"$@\" ;; esac"

/* Who cannot say which rules there are is not let isolate anything. */
static void test_what_it_says_of_rules_is_not_believed(void **state)
{
    static const struct {
        const char *script, *words;
    } lies[] = {
        {WHEN_RULES("exit 0"), "said nothing"},
        {WHEN_RULES("echo Oops >&2; exit 2"), "failed: Oops"},
        {WHEN_RULES("printf '\\161\\160\\151\\206'"), "byte order"},
        {WHEN_RULES("printf '\\206\\151\\160\\161\\004\\000\\000\\000\\040\\000'"), "broken"},
        {WHEN_RULES("$real \"$@\"; head -c 3000 /dev/zero"), "broken"},
        {WHEN_RULES("echo 'Dump was interrupted and may be inconsistent.' >&2; exec $real \"$@\""),
         "too fast"},
    };
    struct kernel *k = *state;
    struct ferry_gateway g;
    struct ferry_op on = isolated(&g, "", "lan0");
    char once[300];
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        fake(lies[i].script);
        kernel_check(k, &on, FERRY_REFUSED, lies[i].words);
    }
    snprintf(
        once, sizeof once,
        WHEN_RULES("[ -e /usr/local/sbin/%s ] || { >/usr/local/sbin/%s; echo 'Dump was interrupted.' >&2; "
                   "}; exec $real \"$@\""),
        k->netns, k->netns);
    fake(once);
    kernel_check(k, &on, FERRY_DONE, NULL);
    snprintf(once, sizeof once, "/usr/local/sbin/%s", k->netns);
    assert_int_equal(unlink(once), 0); /* it was torn once */
}

/* All of its rules, or none and no address. */
static void test_a_rule_that_the_router_refuses_leaves_nothing(void **state)
{
    static const char *const lines[] = {"rule add iif lan0 blackhole", "rule add iif lan0 lookup",
                                        "rule add from 192.168.1.1 iif lo"};
    struct kernel *k = *state;
    struct ferry_gateway g;
    struct ferry_op on = isolated(&g, "", "lan0"), off = kernel_swap(&on);
    char script[300], *was = kernel_snapshot(k);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        snprintf(script, sizeof script,
                 WHEN_BATCH("sed 's|^%s .*|route add 0.0.0.1 via 0.0.0.2|' | $real \"$@\""), lines[i]);
        fake(script);
        kernel_apply(k, &on, FERRY_REFUSED);
        kernel_same(k, was);
    }
    fake(NULL);
    kernel_apply(k, &on, FERRY_DONE);
    kernel_apply(k, &off, FERRY_DONE);
    kernel_same(k, was);
    free(was);
}

/* Nothing that could be read shows its rules: the answer must not be that it is gone. */
static void test_a_test_is_not_gone_while_its_rules_are_there(void **state)
{
    struct kernel *k = *state;
    struct ferry_gateway g;
    struct ferry_op on = isolated(&g, "", "lan0"), off = kernel_swap(&on);
    char *was = kernel_snapshot(k);
    kernel_apply(k, &on, FERRY_DONE);
    fake(WHEN_BATCH("lines=$(cat); case $lines in *'rule del'*) echo 'Error: not now' >&2; exit 1 ;; esac; "
                    "echo \"$lines\" | $real \"$@\""));
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(kernel_apply(k, &off, FERRY_UNKNOWN), "left behind: not now"));
        assert_true(kernel_says(k, "rule show", "lan0"));
        assert_false(kernel_says(k, "addr show dev lan0", "192.168.1.1"));
    }
    fake(NULL);
    kernel_apply(k, &off, FERRY_STALE); /* its address had gone before */
    kernel_same(k, was);
    free(was);
}

/* ---- The dead-man. ---- */

static enum ferry_deadman_state deadman(const struct kernel *k, enum ferry_deadman_verb verb,
                                        const struct ferry_deadman *d)
{
    enum ferry_deadman_state state = FERRY_DEADMAN_NONE;
    struct ferry_err err;
    unsigned left;
    if (k->ops->deadman(k->driver, verb, d, &state, &left, &err))
        fail_msg("%s", err.text);
    return state;
}

/* The deadline comes nearer once all is done that is to be undone: until then there is time. */
static void fires(const struct kernel *k, const struct ferry_deadman *d)
{
    struct ferry_deadman soon = {.id = d->id, .seconds = 1};
    assert_int_equal(deadman(k, FERRY_DEADMAN_LOOK, d), FERRY_DEADMAN_ARMED);
    (void)deadman(k, FERRY_DEADMAN_EXTEND, &soon);
    for (int i = 0; i < 1000 && deadman(k, FERRY_DEADMAN_LOOK, d) != FERRY_DEADMAN_FIRED; i++)
        usleep(10000);
    assert_int_equal(deadman(k, FERRY_DEADMAN_LOOK, d), FERRY_DEADMAN_FIRED);
}

/* A move's worth of ops, undone by the router itself; twice, for it may have begun before. */
static void test_an_undo_waits_on_the_router(void **state)
{
    struct kernel *k = *state;
    struct ferry_entry plain = {.type = FERRY_GATEWAY};
    struct ferry_gateway g4 = {.address = kernel_prefix("192.168.1.1/24")},
                         g6 = {.address = kernel_prefix("fd00:1::1/64")};
    kernel_ip(k, "route add " P4 " via 10.255.1.2 metric 30 mtu lock 1400 src 10.255.2.1");
    kernel_ip(k, "addr add fd00:1::1/64 dev lan0 metric 77");
    struct ferry_fib fib4 = kernel_read(k, P4, FERRY_TABLE_MAIN, NULL, NULL),
                     fib6 = kernel_read(k, P6, FERRY_TABLE_MAIN, &g6, "lan0");
    struct ferry_op ops[3] = {
        kernel_route(P4, kernel_only(&fib4), &drop4),
        kernel_gateway(P4, &g4, "lan0", NULL, &plain),
        kernel_gateway(P6, &g6, "lan0", kernel_only(&fib6), NULL),
    };
    struct ferry_op undo[3] = {kernel_swap(&ops[2]), kernel_swap(&ops[1]), kernel_swap(&ops[0])};
    struct ferry_deadman_step steps[2] = {{.ops = undo, .n_ops = 2}, {.ops = undo + 2, .n_ops = 1}};
    struct ferry_deadman d = {.id = "t1", .seconds = 600, .steps = steps, .n_steps = 2};
    struct ferry_err err;
    char *was = kernel_snapshot(k);
    assert_int_equal(deadman(k, FERRY_DEADMAN_ARM, &d), FERRY_DEADMAN_ARMED);
    assert_int_equal(k->ops->apply(k->driver, ops, 3, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ops[i].outcome, FERRY_DONE);
    fires(k, &d);
    kernel_same(k, was);
    assert_int_equal(deadman(k, FERRY_DEADMAN_CONFIRM, &d), FERRY_DEADMAN_FIRED);
    /* Where all of it is as it was already, the undo is harmless. */
    d.id = "t2";
    assert_int_equal(deadman(k, FERRY_DEADMAN_ARM, &d), FERRY_DEADMAN_ARMED);
    fires(k, &d);
    kernel_same(k, was);
    free(was);
    ferry_fib_clear(&fib4);
    ferry_fib_clear(&fib6);
}

/* Armed by one who has not looked at the router yet; `foreign`: the bridge is somebody else's, and stays. */
static void ends_by_the_clock(struct kernel *k, bool foreign)
{
    struct ferry_gateway g;
    struct ferry_op on = isolated(&g, "bridge lan0", "br-test"), off = kernel_swap(&on);
    struct ferry_deadman_step step = {.ops = &off, .n_ops = 1};
    struct ferry_deadman d = {.id = "t4", .seconds = 600, .steps = &step, .n_steps = 1};
    if (foreign) {
        kernel_ip(k, "link add br-test type bridge");
        kernel_ip(k, "link set lan0 master br-test");
        kernel_ip(k, "link set br-test up");
        kernel_runs(k, "br-test");
        for (int i = 0; i < 1000 && !kernel_says(k, "-6 addr show dev br-test", "fe80:"); i++)
            usleep(10000);
    }
    char *was = kernel_snapshot(k);
    assert_int_equal(deadman(k, FERRY_DEADMAN_ARM, &d), FERRY_DEADMAN_ARMED);
    kernel_apply(k, &on, FERRY_DONE);
    assert_true(kernel_says(k, "rule show", "br-test"));
    fires(k, &d);
    for (int i = 0; i < 1000 && (kernel_says(k, "rule show", "br-test") ||
                                 (!foreign && kernel_try(k, "link show dev br-test >/dev/null")));
         i++)
        usleep(10000);
    assert_true(kernel_try(k, "link show dev br-test >/dev/null 2>&1") == foreign);
    kernel_same(k, was);
    free(was);
}

static void test_the_clock_takes_a_test_away(void **state)
{
    ends_by_the_clock(*state, false);
}

static void test_the_clock_leaves_a_bridge_that_was_there_before(void **state)
{
    ends_by_the_clock(*state, true);
}

/* Refused when it is armed, not found out when it fires. */
static void test_an_undo_without_words_is_not_armed(void **state)
{
    struct kernel *k = *state;
    enum ferry_deadman_state armed;
    struct ferry_err err;
    unsigned left;
    if (!kernel_try(k, "-6 route add " P6 " encap ip6 id 3 dst fd00:255:1::5 dev up0 metric 30"))
        skip();
    struct ferry_fib fib = kernel_read(k, P6, FERRY_TABLE_MAIN, NULL, NULL);
    struct ferry_op undo = kernel_route(P6, &drop4, kernel_only(&fib));
    struct ferry_deadman_step step = {.ops = &undo, .n_ops = 1};
    struct ferry_deadman d = {.id = "t3", .seconds = 60, .steps = &step, .n_steps = 1};
    assert_int_equal(k->ops->deadman(k->driver, FERRY_DEADMAN_ARM, &d, &armed, &left, &err), -FERRY_EREFUSED);
    assert_non_null(strstr(err.text, "its encapsulation"));
    assert_int_equal(deadman(k, FERRY_DEADMAN_LOOK, &d), FERRY_DEADMAN_NONE);
    ferry_fib_clear(&fib);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, kernel_up, down)
    const struct CMUnitTest tests[] = {
        T(test_what_ip_says_is_not_believed),
        T(test_a_torn_answer_is_asked_for_again),
        T(test_a_session_that_ended_is_begun_again),
        T(test_outcomes_are_honest_where_ip_breaks_off),
        T(test_a_name_that_a_batch_cannot_carry_is_refused),
        T(test_a_label_that_a_batch_cannot_carry_is_refused),
        T(test_what_it_says_of_rules_is_not_believed),
        T(test_a_rule_that_the_router_refuses_leaves_nothing),
        T(test_a_test_is_not_gone_while_its_rules_are_there),
        T(test_an_undo_waits_on_the_router),
        T(test_the_clock_takes_a_test_away),
        T(test_the_clock_leaves_a_bridge_that_was_there_before),
        T(test_an_undo_without_words_is_not_armed),
    };
    kernel_need_root();
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1); /* without the fake */
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
        mount("ferry", "/usr/local/sbin", "tmpfs", 0, NULL) || mount("ferry", "/var/lib", "tmpfs", 0, NULL)) {
        fprintf(stderr, "SKIPPED: no mount namespace of its own: %s\n", strerror(errno));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
