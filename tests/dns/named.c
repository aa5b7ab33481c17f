/* See named.h.  SPDX-License-Identifier: MIT */
#include "named.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *named_file(const struct named *n, const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", n->directory, name);
    return path;
}

static void put(const struct named *n, const char *name, int mode, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void put(const struct named *n, const char *name, int mode, const char *fmt, ...)
{
    va_list args;
    FILE *f = fopen(named_file(n, name), "w");
    assert_non_null(f);
    va_start(args, fmt);
    vfprintf(f, fmt, args);
    va_end(args);
    fclose(f);
    assert_int_equal(chmod(named_file(n, name), (mode_t)mode), 0);
}

static void write_zones(const struct named *n)
{
    put(n, "primary/forward", 0644,
        "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
        "app 3600 A 192.168.1.10\nweb A 192.168.1.20\nweb A 192.168.1.21\n"
        "six AAAA fd00:1::10\nalias CNAME app\n");
    put(n, "primary/reverse", 0644,
        "$TTL 300\n@ SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60\n@ NS "
        "ns.example.test.\n"
        "10.1 PTR app.example.test.\n");
}

static void write_files(const struct named *n)
{
    static const char *const zones[][2] = {{"example.test", "forward"}, {"168.192.in-addr.arpa", "reverse"}};
    char text[4000];
    put(n, "key", 0600, "key \"ferry\" {\n\talgorithm hmac-sha256;\n\tsecret \"" NAMED_SECRET "\";\n};\n");
    put(n, "key512", 0600,
        "# by tsig-keygen\nkey ferry512. { algorithm HMAC-SHA512; secret \"" NAMED_SECRET "\"; };\n");
    put(n, "other-secret", 0600,
        "key \"ferry\" { algorithm hmac-sha256; secret \"QW5vdGhlclNlY3JldEFub3RoZXJTZWNyZXRBbm90aGU=\"; "
        "};\n");
    put(n, "other-name", 0600, "key \"stranger\" { algorithm hmac-sha256; secret \"" NAMED_SECRET "\"; };\n");
    put(n, "sha384", 0600, "key \"ferry\" { algorithm hmac-sha384; secret \"" NAMED_SECRET "\"; };\n");
    put(n, "open", 0644, "key \"ferry\" { algorithm hmac-sha256; secret \"" NAMED_SECRET "\"; };\n");
    put(n, "broken", 0600, "key \"ferry\" { secret \"" NAMED_SECRET "\" };\n");
    mkdir(named_file(n, "primary"), 0755);
    mkdir(named_file(n, "secondary"), 0755);
    write_zones(n);
    for (int second = 0; second < 2; second++) {
        int at =
            snprintf(text, sizeof text,
                     "include \"%s/key\";\ninclude \"%s/key512\";\ncontrols {};\noptions {\n"
                     "  directory \"%s/%s\"; pid-file none; session-keyfile none; listen-on-v6 { none; };\n"
                     "  listen-on { 127.0.0.%d; }; recursion no; dnssec-validation no; notify explicit;\n"
                     "  notify-delay 0; notify-source 127.0.0.1; transfer-source 127.0.0.2; "
                     "empty-zones-enable no;\n};\n",
                     n->directory, n->directory, n->directory, second ? "secondary" : "primary", second + 1);
        for (int i = 0; i < 2; i++)
            at += snprintf(
                text + at, sizeof text - (size_t)at,
                second
                    ? "zone \"%s\" { type secondary; file \"%s\"; primaries { 127.0.0.1; }; };\n"
                    : "zone \"%s\" { type primary; file \"%s\"; allow-update { key ferry; key ferry512.; }; "
                      "also-notify { 127.0.0.2; }; };\n",
                zones[i][0], zones[i][1]);
        put(n, second ? "secondary.conf" : "primary.conf", 0644, "%s", text);
    }
}

static int spawn(const struct named *n, const char *which)
{
    char conf[160], log[160];
    snprintf(conf, sizeof conf, "%s/%s.conf", n->directory, which);
    snprintf(log, sizeof log, "%s/%s.log", n->directory, which);
    int pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(fd, 1);
    dup2(fd, 2);
    execlp("named", "named", "-4", "-n", "1", "-g", "-c", conf, (char *)NULL);
    _exit(127);
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

const char *named_dig(const char *server, const char *name, const char *type)
{
    static char text[2000];
    char command[400], line[400], *words[64], *save = NULL;
    size_t n = 0;
    snprintf(command, sizeof command,
             "dig +norec +tcp +noall +answer +time=20 +tries=1 @%s %s %s 2>/dev/null | sort", server, name,
             type);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[0] = '\0';
    while (fgets(line, sizeof line, pipe)) {
        n = 0;
        for (char *w = strtok_r(line, " \t\n", &save); w && n < 64; w = strtok_r(NULL, " \t\n", &save))
            words[n++] = w;
        if (n < 5 || line[0] == ';')
            continue;
        if (!text[0])
            snprintf(text, sizeof text, "%s", words[1]);
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s", words[4]);
    }
    pclose(pipe);
    return text;
}

static bool answers(const char *server, int pid)
{
    for (int i = 0; i < 500; i++) {
        if (*named_dig(server, "app.example.test", "A") &&
            *named_dig(server, "10.1.168.192.in-addr.arpa", "PTR"))
            return true;
        if (waitpid(pid, NULL, WNOHANG))
            return false;
        nap();
    }
    return false;
}

/* named listens on addresses that an interface has: 127.0.0.2 must be one. */
static bool own_network(void)
{
    return unshare(CLONE_NEWNET) == 0 &&
           system("ip link set lo up && ip addr add 127.0.0.2/8 dev lo && ip addr add 127.0.0.3/8 dev lo") ==
               0;
}

bool named_start(struct named *n)
{
    *n = (struct named){0};
    if (system("command -v named dig nsupdate >/dev/null 2>&1") != 0 || !own_network()) {
        fprintf(stderr, "SKIPPED: this needs root, and BIND (bind9, bind9-dnsutils)\n");
        return false;
    }
    strcpy(n->directory, "/tmp/ferry-named-XXXXXX");
    assert_non_null(mkdtemp(n->directory));
    write_files(n);
    n->primary = spawn(n, "primary");
    n->secondary = spawn(n, "secondary");
    if (answers("127.0.0.1", n->primary) && answers("127.0.0.2", n->secondary))
        return true;
    char command[200];
    snprintf(command, sizeof command, "cat %s/*.log >&2", n->directory);
    (void)!system(command);
    fail_msg("named does not answer");
    return false;
}

void named_kill(int *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

void named_stop(struct named *n)
{
    char command[100];
    named_kill(&n->primary);
    named_kill(&n->secondary);
    snprintf(command, sizeof command, "rm -rf %s", n->directory);
    if (n->directory[0])
        (void)!system(command);
}

void named_update(const struct named *n, const char *lines)
{
    char command[200];
    snprintf(command, sizeof command, "nsupdate -v -k %s", named_file(n, "key"));
    FILE *pipe = popen(command, "w");
    assert_non_null(pipe);
    fprintf(pipe, "server 127.0.0.1\n%s\nsend\n", lines);
    if (pclose(pipe) != 0)
        fail_msg("nsupdate failed: %s", lines);
}

void named_reset(const struct named *n)
{
    named_update(n, "zone example.test\nupdate delete app.example.test\nupdate delete web.example.test\n"
                    "update delete six.example.test\nupdate delete new.example.test\n"
                    "update add app.example.test 3600 A 192.168.1.10\n"
                    "update add web.example.test 300 A 192.168.1.20\n"
                    "update add web.example.test 300 A 192.168.1.21\n"
                    "update add six.example.test 300 AAAA fd00:1::10\nsend\n"
                    "zone 168.192.in-addr.arpa\nupdate delete 10.1.168.192.in-addr.arpa\n"
                    "update delete 11.1.168.192.in-addr.arpa\n"
                    "update add 10.1.168.192.in-addr.arpa 300 PTR app.example.test");
}

/* ---- The middle man. ---- */

static struct {
    const struct named *named;
    enum middle how;
    char lines[500];
    pthread_mutex_t mutex;
} middle = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void middle_set(enum middle how, const char *lines)
{
    pthread_mutex_lock(&middle.mutex);
    middle.how = how;
    snprintf(middle.lines, sizeof middle.lines, "%s", lines ? lines : "");
    pthread_mutex_unlock(&middle.mutex);
}

static bool all(int fd, uint8_t *bytes, size_t n, bool out)
{
    while (n) {
        ssize_t k = out ? send(fd, bytes, n, MSG_NOSIGNAL) : recv(fd, bytes, n, 0);
        if (k <= 0)
            return false;
        bytes += k;
        n -= (size_t)k;
    }
    return true;
}

static bool take(int fd, uint8_t *message, size_t *ret_n)
{
    if (!all(fd, message, 2, false))
        return false;
    *ret_n = 2 + ((size_t)message[0] << 8 | message[1]);
    return all(fd, message + 2, *ret_n - 2, false);
}

static int dial(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? fd : (close(fd), -1);
}

/* NOERROR to the message, without a signature. */
static void forge(int fd, uint8_t *message)
{
    message[0] = 0;
    message[1] = 12;
    message[4] |= 0x80;
    message[5] = 0;
    memset(message + 6, 0, 8);
    all(fd, message, 14, true);
}

static void *serve(void *arg)
{
    int client = (int)(intptr_t)arg, server = dial("127.0.0.1");
    static __thread uint8_t message[65600];
    size_t n;
    while (server >= 0 && take(client, message, &n)) {
        pthread_mutex_lock(&middle.mutex);
        bool update = (message[4] >> 3 & 15) == 5;
        enum middle how = update ? middle.how : MIDDLE_PASS;
        if (how == MIDDLE_STRANGER)
            named_update(middle.named, middle.lines);
        pthread_mutex_unlock(&middle.mutex);
        if (how == MIDDLE_CUT)
            break;
        if (how == MIDDLE_FORGE) {
            forge(client, message);
            continue;
        }
        if (!all(server, message, n, true) || !take(server, message, &n) || how == MIDDLE_LOSE ||
            !all(client, message, n, true))
            break;
    }
    close(server);
    close(client);
    return NULL;
}

static void *listen_all(void *arg)
{
    int fd = (int)(intptr_t)arg, client;
    while ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)client);
        pthread_detach(thread);
    }
    return NULL;
}

void middle_start(const struct named *n)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
    pthread_t thread;
    middle.named = n;
    inet_pton(AF_INET, "127.0.0.3", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(pthread_create(&thread, NULL, listen_all, (void *)(intptr_t)fd), 0);
    pthread_detach(thread);
}
