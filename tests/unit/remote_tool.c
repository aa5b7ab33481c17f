/* The transports of remote/, driven from a command line by tests/netns/test_remote*.py.
 *
 *   remote-tool [key=value …] -- command …      one line of JSON for each command that did something
 *
 * keys: netns, transport, host, port, user, identity, known_hosts, host_key, jump, and for the calls that
 * follow timeout, most, input (text), zeros (that many bytes), name.  Commands: `call VERB WORD…`, `repeat N
 * VERB WORD…`, `start VERB WORD`, `send TEXT` ("\n" added), `expect MARK`, `finish`, `kill`, `claim
 * STATE_DIR`, `release`, `wait` (a line on stdin), `parallel N` (connections at once), `facts`, each up to
 * the next `--`.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/remote.h"

#include "base/mem.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static struct ferry_driver_config config;
static struct ferry_remote_call call;
static const char *name = "router";
static struct ferry_remote *connection;
static struct ferry_remote_process *process;

static double now_ms(void)
{
    return (double)ferry_env_real.monotonic_us(NULL) / 1000.0;
}

static void text(const char *key, const char *bytes, size_t n)
{
    printf(", \"%s\": \"", key);
    for (size_t i = 0; i < n && i < 2000; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    printf("\", \"n_%s\": %zu", key, n);
}

static void report(const char *what, int result, double since, const struct ferry_remote_reply *reply,
                   const struct ferry_err *err)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"what\": \"%s\", \"result\": \"%s\", \"ms\": %.2f, \"rss_kb\": %ld", what,
           !result                     ? "ok"
           : result == -FERRY_EIO      ? "io"
           : result == -FERRY_EUNKNOWN ? "unknown"
           : result == -FERRY_ELOCKED  ? "locked"
                                       : "other",
           now_ms() - since, usage.ru_maxrss);
    if (result)
        text("text", err->text, strlen(err->text));
    if (!result && reply) {
        printf(", \"status\": %d", reply->status);
        text("out", reply->out, reply->n_out);
        text("err", reply->err, reply->n_err);
    }
    printf("}\n");
    fflush(stdout);
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static int open_one(struct ferry_remote **ret, struct ferry_err *err)
{
    return ferry_remote_open(&ferry_env_real, &config, name, ret, err);
}

static void *open_thread(void *arg)
{
    struct ferry_remote *remote = NULL;
    struct ferry_err err;
    double since = now_ms();
    (void)arg;
    int result = open_one(&remote, &err);
    flockfile(stdout);
    report("parallel", result, since, NULL, &err);
    funlockfile(stdout);
    ferry_remote_close(remote);
    return NULL;
}

static void parallel(size_t n)
{
    pthread_t *threads = ferry_calloc(n, sizeof *threads);
    for (size_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, open_thread, NULL))
            abort();
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static bool ready(void)
{
    struct ferry_err err;
    double since = now_ms();
    if (connection)
        return true;
    int result = open_one(&connection, &err);
    report("open", result, since, NULL, &err);
    return !result;
}

static void facts(void)
{
    const struct ferry_remote_facts *f = ferry_remote_facts(connection);
    printf("{\"what\": \"facts\", \"installed\": %d, \"root\": %d, \"vtysh\": %d, \"systemd_run\": %d, "
           "\"boot_id\": "
           "\"%s\"}\n",
           f->installed, f->root, f->vtysh, f->systemd_run, f->boot_id);
}

static void run_call(const char *what, char **words, size_t n, unsigned times)
{
    struct ferry_remote_reply reply = {0};
    struct ferry_err err;
    double since = now_ms();
    int result = 0;
    call.verb = words[0];
    for (size_t i = 0; i < FERRY_COUNT(call.words); i++)
        call.words[i] = i + 1 < n ? words[i + 1] : NULL;
    for (unsigned i = 0; i < times && !result; i++) {
        ferry_remote_reply_clear(&reply);
        result = ferry_remote_call(connection, &call, &reply, &err);
    }
    report(what, result, since, &reply, &err);
    ferry_remote_reply_clear(&reply);
}

static void run(char **words, size_t n)
{
    struct ferry_remote_reply reply = {0};
    struct ferry_err err;
    char *got = NULL, line[100];
    size_t n_got = 0;
    int result = 0;
    if (!strcmp(words[0], "parallel")) {
        parallel(strtoul(words[1], NULL, 10));
        return;
    }
    if (!ready())
        return;
    double since = now_ms();
    if (!strcmp(words[0], "call")) {
        run_call("call", words + 1, n - 1, 1);
        return;
    } else if (!strcmp(words[0], "repeat")) {
        run_call("repeat", words + 2, n - 2, (unsigned)strtoul(words[1], NULL, 10));
        return;
    } else if (!strcmp(words[0], "facts")) {
        facts();
        return;
    } else if (!strcmp(words[0], "wait")) {
        printf("{\"what\": \"wait\"}\n");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin))
            exit(2);
        return;
    } else if (!strcmp(words[0], "start")) {
        result = ferry_remote_start(connection, words[1], (const char *const *)words + 2, n > 2 ? n - 2 : 0,
                                    &process, &err);
    } else if (!strcmp(words[0], "send")) {
        char *all = ferry_asprintf("%s\n", words[1]);
        result = ferry_remote_send(process, all, strlen(all), call.timeout_ms, &err);
        free(all);
    } else if (!strcmp(words[0], "expect")) {
        result = ferry_remote_expect(process, words[1], call.most_bytes, call.timeout_ms, &got, &n_got, &err);
        reply = (struct ferry_remote_reply){.out = got, .n_out = n_got};
    } else if (!strcmp(words[0], "finish")) {
        result = ferry_remote_finish(process, call.timeout_ms, call.most_bytes, &reply, &err);
        process = NULL;
    } else if (!strcmp(words[0], "claim")) {
        result = ferry_remote_claim(connection, words[1], true, &err);
    } else if (!strcmp(words[0], "release")) {
        result = ferry_remote_claim(connection, NULL, false, &err);
    } else if (!strcmp(words[0], "kill")) {
        ferry_remote_kill(process);
        process = NULL;
    }
    report(words[0], result, since, &reply, &err);
    ferry_remote_reply_clear(&reply);
}

static void set(char *word)
{
    char *value = strchr(word, '=');
    static char *zeros;
    if (!value)
        exit(64);
    *value++ = '\0';
    const struct {
        const char *key;
        char **to;
    } texts[] = {
        {"netns", &config.netns},       {"transport", &config.transport},     {"host", &config.host},
        {"user", &config.user},         {"identity", &config.identity},       {"jump", &config.jump},
        {"host_key", &config.host_key}, {"known_hosts", &config.known_hosts},
    };
    for (size_t i = 0; i < FERRY_COUNT(texts); i++)
        if (!strcmp(word, texts[i].key))
            *texts[i].to = value;
    unsigned long number = strtoul(value, NULL, 10);
    if (!strcmp(word, "port"))
        config.port = (uint16_t)number;
    if (!strcmp(word, "name"))
        name = value;
    if (!strcmp(word, "timeout"))
        call.timeout_ms = (unsigned)number;
    if (!strcmp(word, "most"))
        call.most_bytes = number;
    if (!strcmp(word, "input")) {
        call.input = value;
        call.n_input = strlen(value);
    }
    if (!strcmp(word, "zeros")) {
        free(zeros);
        zeros = ferry_calloc(number + 1, 1);
        memset(zeros, 'z', number);
        call.input = zeros;
        call.n_input = number;
    }
    if (!strcmp(word, "zeros") && !number)
        call.input = NULL;
}

int main(int argc, char **argv)
{
    unsigned fds = count_fds();
    for (int i = 1; i < argc;) {
        int end = i;
        while (end < argc && strcmp(argv[end], "--") != 0)
            end++;
        if (end > i && strchr(argv[i], '=') && argv[i][0] >= 'a' && strcspn(argv[i], "=") < 12)
            for (; i < end; i++)
                set(argv[i]);
        else if (end > i)
            run(argv + i, (size_t)(end - i));
        i = end + 1;
    }
    ferry_remote_kill(process);
    ferry_remote_close(connection);
    printf("{\"what\": \"end\", \"leaked_fds\": %d}\n", (int)(count_fds() - fds));
    return 0;
}
