/* Running a hook's program: real ones, through /bin/sh where a test needs a script.
 * SPDX-License-Identifier: MIT */
#include "txn/program.h"

#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct ferry_program_end run_in(const struct ferry_env *env, const char *script, unsigned timeout_s,
                                       const char *input, const char *(*interrupted)(void))
{
    char *argv[] = {"/bin/sh", "-c", (char *)script, "hook", "one two", "$(three)", NULL};
    char *envp[] = {"PATH=/usr/bin:/bin", "FERRY_TX=tx", NULL};
    struct ferry_program p = {argv, envp, input, timeout_s, interrupted};
    struct ferry_program_end end;
    ferry_program_run(env, &p, &end);
    return end;
}

static struct ferry_program_end run_for(const char *script, unsigned timeout_s, const char *input,
                                        const char *(*interrupted)(void))
{
    return run_in(&ferry_env_real, script, timeout_s, input, interrupted);
}

static struct ferry_program_end run(const char *script)
{
    return run_for(script, 20, NULL, NULL);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_output_and_status(void **state)
{
    (void)state;
    struct ferry_program_end end = run("echo out; echo err >&2; exit 3");
    assert_int_equal(end.status, 3);
    assert_string_equal(end.output, "out\nerr\n");
    assert_false(end.timed_out);
    free(end.output);
    end = run("kill -9 $$");
    assert_int_equal(end.status, 128 + SIGKILL);
    assert_string_equal(end.output, "");
    free(end.output);
}

/* No shell comes between, and nothing of ours goes along. */
static void test_what_it_gets(void **state)
{
    (void)state;
    setenv("FERRY_SECRET", "x", 1);
    signal(SIGPIPE, SIG_IGN);
    struct ferry_program_end end =
        run_for("printf '%s|%s|' \"$1\" \"$2\"; cat; pwd; env | grep -c . ; env | grep SECRET; ls "
                "/proc/$$/fd | wc -l;"
                " grep SigIgn /proc/$$/status; ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$ && echo own group",
                20, "app 10.0.0.0/8 a b\n", NULL);
    signal(SIGPIPE, SIG_DFL);
    char expected[512];
    snprintf(expected, sizeof expected, "one two|$(three)|app 10.0.0.0/8 a b\n/\n%s", "");
    assert_true(strstr(end.output, expected) == end.output);
    assert_null(strstr(end.output, "SECRET"));
    const char *ignored = strstr(end.output, "SigIgn:\t");
    assert_non_null(ignored); /* but for 32 and 33, glibc's own, which its posix_spawn ignores */
    assert_int_equal(strtoull(ignored + strlen("SigIgn:\t"), NULL, 16) & ~(3ull << 31), 0);
    assert_non_null(strstr(end.output, "own group\n"));
    free(end.output);
    end = run("readlink /proc/$$/fd/*"); /* not through a pipe, which would be among them */
    char pipes[2][32], more;
    assert_int_equal(
        sscanf(end.output, "/memfd:ferry-hook (deleted) %31s %31s %c", pipes[0], pipes[1], &more), 2);
    assert_true(strstr(pipes[0], "pipe:") == pipes[0]);
    assert_string_equal(pipes[0], pipes[1]); /* 0, 1 and 2; nothing else was inherited */
    free(end.output);
}

static void test_cannot_be_started(void **state)
{
    (void)state;
    char *argv[] = {"/nonexistent/program", NULL}, *envp[] = {NULL};
    struct ferry_program p = {argv, envp, NULL, 5, NULL};
    struct ferry_program_end end;
    ferry_program_run(&ferry_env_real, &p, &end);
    assert_int_equal(end.status, -1);
    assert_string_equal(end.output, "cannot be started: No such file or directory");
    free(end.output);
}

static volatile sig_atomic_t ready;

static void be_ready(int signal)
{
    (void)signal;
    ready = 1;
}

/* Its time is over as soon as it says that it is ready. */
static uint64_t when_ready(void *ctx)
{
    return ferry_env_real.monotonic_us(ctx) + (ready ? 1000000000ull : 0);
}

/* The whole group goes, also who ignores SIGTERM. */
static void test_late(void **state)
{
    (void)state;
    struct ferry_env env = ferry_env_real;
    env.monotonic_us = when_ready;
    ready = 0;
    signal(SIGUSR1, be_ready);
    double began = seconds();
    struct ferry_program_end end = run_in(
        &env, "sh -c 'trap \"\" TERM; echo $$; kill -USR1 $0; sleep 999; sleep 999' $PPID & echo $!; wait",
        1000, NULL, NULL);
    signal(SIGUSR1, SIG_DFL);
    assert_true(ready && end.timed_out);
    assert_int_not_equal(end.status, 0);
    assert_true(seconds() - began < 60);
    pid_t child = (pid_t)atoi(end.output);
    assert_true(child > 1);
    for (int i = 0; i < 500 && kill(child, 0) == 0; i++)
        usleep(10000); /* a zombie until init has reaped it */
    FERRY_AUTOFREE char *path = ferry_asprintf("/proc/%d/cmdline", (int)child);
    FILE *f = fopen(path, "re");
    char line[8] = "";
    if (f) {
        assert_null(fgets(line, sizeof line, f)); /* nothing but a zombie */
        fclose(f);
    }
    free(end.output);
}

static const char *stop(void)
{
    return "SIGINT";
}

static void test_interrupted(void **state)
{
    (void)state;
    double began = seconds();
    struct ferry_program_end end = run_for("sleep 1000", 1000, NULL, stop);
    assert_string_equal(end.signal, "SIGINT");
    assert_false(end.timed_out);
    assert_true(seconds() - began < 20);
    free(end.output);
}

/* What goes on in the background keeps nobody waiting, and lives on. */
static void test_background(void **state)
{
    (void)state;
    double began = seconds();
    struct ferry_program_end end = run("sleep 600 & echo $!");
    assert_int_equal(end.status, 0);
    assert_true(seconds() - began < 15);
    pid_t child = (pid_t)atoi(end.output);
    assert_true(child > 1);
    assert_int_equal(kill(child, 0), 0);
    kill(child, SIGKILL);
    free(end.output);
}

static void test_much_output(void **state)
{
    (void)state;
    struct ferry_program_end end =
        run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo the end");
    assert_int_equal(end.status, 0);
    size_t n = strlen(end.output);
    assert_true(n > 16000 && n < 16600);
    assert_true(strstr(end.output, " bytes left out]\n") && end.output[0] == '[');
    assert_string_equal(end.output + n - strlen("line 19999\nthe end\n"), "line 19999\nthe end\n");
    unsigned long cut = strtoul(end.output + 1, NULL, 10);
    assert_int_equal(cut + 16384, 20000 * 6 - 1 + 10 * 1 + 90 * 2 + 900 * 3 + 9000 * 4 + 10000 * 5 +
                                      strlen("the end\n") + 1);
    free(end.output);
}

static void test_not_text(void **state)
{
    (void)state;
    struct ferry_program_end end = run("printf 'a\\000b\\033[31m\\377\\303\\244\\303\\355\\240\\200z\\r\\n'");
    assert_string_equal(end.output, "a?b?[31m?\xc3\xa4????z?\n");
    free(end.output);
}

static void fake(void *ctx, const struct ferry_program *program, struct ferry_program_end *ret)
{
    (*(int *)ctx)++;
    assert_int_equal(program->timeout_s, 9);
    *ret = (struct ferry_program_end){.output = ferry_strdup("fake")};
}

static void test_injected(void **state)
{
    (void)state;
    int calls = 0;
    struct ferry_env env = ferry_env_real;
    char *argv[] = {"/x", NULL}, *envp[] = {NULL};
    struct ferry_program p = {argv, envp, NULL, 9, NULL};
    struct ferry_program_end end;
    env.ctx = &calls;
    env.run_program = fake;
    ferry_program_run(&env, &p, &end);
    assert_int_equal(calls, 1);
    assert_string_equal(end.output, "fake");
    free(end.output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_status), cmocka_unit_test(test_what_it_gets),
        cmocka_unit_test(test_cannot_be_started), cmocka_unit_test(test_late),
        cmocka_unit_test(test_interrupted),       cmocka_unit_test(test_background),
        cmocka_unit_test(test_much_output),       cmocka_unit_test(test_not_text),
        cmocka_unit_test(test_injected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
