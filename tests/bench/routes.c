/* 100,000 routes replaced: the netlink driver, the bare batched netlink floor, and `ip -batch`, in one run.
 *
 * Usage: sudo bench-routes [ROUTES [ROUNDS]].  Each way runs in a process of its own, in turns, on the same
 * table; times are medians.  The driver's time is its whole apply(): look at the router, compare every route,
 * write, answers matched. Memory is the peak that the work itself adds; what the caller's ops take is told
 * beside it.
 *
 * SPDX-License-Identifier: MIT */
#include "linux/linux.h"

#include <arpa/inet.h>
#include <base/mem.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NETNS_LEN 48

struct result {
    double seconds;
    long peak_kib, ops_kib;
    int failed;
};

struct bench {
    char netns[NETNS_LEN];
    unsigned n;
    char *batch_file[2];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void shell(const char *fmt, ...) FERRY_PRINTF(1, 2);
static void shell(const char *fmt, ...)
{
    char command[500];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    if (system(command)) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
}

/* The i-th prefix, scattered over 11.0.0.0/8 and on. */
static uint32_t prefix_of(unsigned i, unsigned n)
{
    return htonl((11u << 24) + (unsigned)((uint64_t)i * 2654435761u % n) * 256u);
}

static long status_kib(const char *key)
{
    char line[200];
    long value = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)))
            value = atol(line + strlen(key));
    if (f)
        fclose(f);
    return value;
}

static void reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

/* ---- The driver. ---- */

static void by_driver(const struct bench *b, int to, struct result *ret)
{
    struct ferry_err err;
    struct ferry_driver *driver;
    struct ferry_driver_config config = {.type = "netlink", .netns = (char *)b->netns};
    struct ferry_nexthop hop[2] = {{.router = FERRY_NO_ROUTER, .dev = "up0", .weight = 1},
                                   {.router = FERRY_NO_ROUTER, .dev = "up1", .weight = 1}};
    struct ferry_entry entry[2];
    long before = status_kib("VmRSS:");
    (void)!ferry_addr_parse("10.255.1.2", &hop[0].via, &err);
    (void)!ferry_addr_parse("10.255.2.2", &hop[1].via, &err);
    for (int i = 0; i < 2; i++)
        entry[i] = (struct ferry_entry){.type = FERRY_UNICAST,
                                        .table = FERRY_TABLE_MAIN,
                                        .metric = 20,
                                        .protocol = 210,
                                        .n_nexthops = 1,
                                        .nexthops = &hop[i]};
    struct ferry_op *ops = ferry_calloc(b->n, sizeof *ops);
    for (unsigned i = 0; i < b->n; i++) {
        uint32_t a = prefix_of(i, b->n);
        ops[i] = (struct ferry_op){.kind = FERRY_KIND_ROUTE,
                                   .prefix = {.addr.family = AF_INET, .len = 24},
                                   .table = FERRY_TABLE_MAIN,
                                   .metric = 20,
                                   .before = &entry[!to],
                                   .after = &entry[to]};
        memcpy(ops[i].prefix.addr.bytes, &a, 4);
    }
    if (ferry_driver_linux.open(&ferry_env_real, &config, "bench", NULL, NULL, &driver, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        ret->failed = 1;
        return;
    }
    ret->ops_kib = status_kib("VmRSS:") - before;
    before = status_kib("VmRSS:");
    reset_peak();
    double start = now();
    int result = ferry_driver_linux.apply(driver, ops, b->n, &err);
    ret->seconds = now() - start;
    ret->peak_kib = status_kib("VmHWM:") - before;
    for (unsigned i = 0; i < b->n; i++)
        if (ops[i].outcome != FERRY_DONE && !ret->failed++)
            fprintf(stderr, "%s %s\n", ferry_outcome_name(ops[i].outcome), ops[i].why);
    ret->failed |= result < 0;
    ferry_driver_linux.close(driver);
}

/* ---- The floor: nothing but messages, 100 a send, an ack on the last. ---- */

struct message {
    struct nlmsghdr h;
    struct rtmsg rtm;
    struct {
        struct rtattr head;
        uint32_t v;
    } dst, gateway, oif, metric;
};

static void enter(const char *netns)
{
    char path[100];
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET)) {
        perror(path);
        exit(1);
    }
    close(fd);
}

/* Reads the table and throws it away: what any look before writing costs at least. */
static void bare_dump(int fd)
{
    static char answer[64 * 1024];
    struct {
        struct nlmsghdr h;
        struct rtmsg rtm;
    } request = {.h = {.nlmsg_len = sizeof request,
                       .nlmsg_type = RTM_GETROUTE,
                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .rtm = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN}};
    int strict = 1;
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof strict);
    if (send(fd, &request, sizeof request, 0) < 0)
        return;
    for (ssize_t n; (n = recv(fd, answer, sizeof answer, 0)) > 0;)
        for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                return;
}

static void write_bare(const struct bench *b, int to, struct result *ret, bool look)
{
    enum { BATCH = 100 };
    static struct message batch[BATCH];
    char answer[8192];
    enter(b->netns);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct message m = {
        .h = {.nlmsg_len = sizeof m,
              .nlmsg_type = RTM_NEWROUTE,
              .nlmsg_flags = NLM_F_REQUEST | NLM_F_REPLACE},
        .rtm = {.rtm_family = AF_INET,
                .rtm_dst_len = 24,
                .rtm_table = RT_TABLE_MAIN,
                .rtm_protocol = 210,
                .rtm_type = RTN_UNICAST},
        .dst = {{8, RTA_DST}, 0},
        .gateway = {{8, RTA_GATEWAY}, inet_addr(to ? "10.255.2.2" : "10.255.1.2")},
        .oif = {{8, RTA_OIF}, if_nametoindex(to ? "up1" : "up0")},
        .metric = {{8, RTA_PRIORITY}, 20},
    };
    long before = status_kib("VmRSS:");
    reset_peak();
    double start = now();
    if (look)
        bare_dump(fd);
    for (unsigned i = 0; i < b->n;) {
        unsigned k = 0;
        for (; k < BATCH && i < b->n; k++, i++) {
            m.h.nlmsg_seq = i + 1;
            m.dst.v = prefix_of(i, b->n);
            batch[k] = m;
        }
        batch[k - 1].h.nlmsg_flags |= NLM_F_ACK;
        if (send(fd, batch, k * sizeof m, 0) < 0 || recv(fd, answer, sizeof answer, 0) < 0)
            ret->failed = 1;
        else
            ret->failed |= ((struct nlmsgerr *)NLMSG_DATA(answer))->error != 0;
    }
    ret->seconds = now() - start;
    ret->peak_kib = status_kib("VmHWM:") - before;
    close(fd);
}

static void bare(const struct bench *b, int to, struct result *ret)
{
    write_bare(b, to, ret, false);
}

static void bare_with_look(const struct bench *b, int to, struct result *ret)
{
    write_bare(b, to, ret, true);
}

/* ---- ip -batch. ---- */

static void by_ip(const struct bench *b, int to, struct result *ret)
{
    struct rusage usage;
    int status;
    double start = now();
    pid_t pid = fork();
    if (!pid) {
        execlp("ip", "ip", "-n", b->netns, "-batch", b->batch_file[to], NULL);
        _exit(127);
    }
    ret->failed = wait4(pid, &status, 0, &usage) != pid || status;
    ret->seconds = now() - start;
    ret->peak_kib = usage.ru_maxrss;
}

static void write_batch(struct bench *b, int to)
{
    b->batch_file[to] = ferry_asprintf("/tmp/%s-%d.batch", b->netns, to);
    FILE *f = fopen(b->batch_file[to], "w");
    for (unsigned i = 0; f && i < b->n; i++) {
        uint32_t a = prefix_of(i, b->n);
        char text[INET_ADDRSTRLEN];
        fprintf(f, "route replace %s/24 via %s dev up%d metric 20 proto 210\n",
                inet_ntop(AF_INET, &a, text, sizeof text), to ? "10.255.2.2" : "10.255.1.2", to);
    }
    if (!f || fclose(f)) {
        perror(b->batch_file[to]);
        exit(1);
    }
}

/* ---- ---- */

static struct result in_child(const struct bench *b, void (*way)(const struct bench *, int, struct result *),
                              int to)
{
    struct result *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct result result;
    memset(shared, 0, sizeof *shared);
    int status;
    pid_t pid = fork();
    if (!pid) {
        way(b, to, shared);
        _exit(shared->failed != 0);
    }
    waitpid(pid, &status, 0);
    shared->failed |= status != 0;
    result = *shared;
    munmap(shared, sizeof *shared);
    return result;
}

static int by_seconds(const void *x, const void *y)
{
    double a = ((const struct result *)x)->seconds, b = ((const struct result *)y)->seconds;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    enum { MAX_ROUNDS = 50, WAYS = 4 };
    static const char *const names[] = {"ferry's netlink driver", "bare netlink, 100 a send",
                                        "the same after a bare dump", "ip -batch"};
    static void (*const ways[])(const struct bench *, int, struct result *) = {by_driver, bare,
                                                                               bare_with_look, by_ip};
    struct bench b = {.n = argc > 1 ? (unsigned)atoi(argv[1]) : 100000};
    int rounds = argc > 2 ? atoi(argv[2]) : 7, to = 0;
    struct result results[WAYS][MAX_ROUNDS], load = {0};
    if (geteuid() || !b.n || rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: sudo bench-routes [ROUTES [ROUNDS]]\n");
        return 64;
    }
    snprintf(b.netns, sizeof b.netns, "ferry-bench-%d", (int)getpid());
    shell("ip netns add %s", b.netns);
    for (int i = 0; i < 2; i++) {
        shell("ip -n %s link add up%d type veth peer name peer%d && ip -n %s link set peer%d up && ip -n %s "
              "link set up%d up",
              b.netns, i, i, b.netns, i, b.netns, i);
        shell("ip -n %s addr add 10.255.%d.1/24 dev up%d", b.netns, i + 1, i);
        write_batch(&b, i);
    }
    by_ip(&b, 0, &load);
    int failed = load.failed;
    for (int round = 0; round < rounds && !failed; round++)
        for (int way = 0; way < WAYS && !failed; way++) {
            to = !to;
            results[way][round] = in_child(&b, ways[way], to);
            failed |= results[way][round].failed;
        }
    shell("ip netns del %s", b.netns);
    for (int i = 0; i < 2; i++) {
        unlink(b.batch_file[i]);
        free(b.batch_file[i]);
    }
    if (failed) {
        fprintf(stderr, "a way failed: no figures\n");
        return 1;
    }
    printf("%u IPv4 routes replaced (metric 20, another next hop), medians of %d rounds in turns\n", b.n,
           rounds);
    for (int way = 0; way < WAYS; way++)
        qsort(results[way], (size_t)rounds, sizeof **results, by_seconds);
    double floor = results[1][rounds / 2].seconds;
    for (int way = 0; way < WAYS; way++) {
        const struct result *r = &results[way][rounds / 2];
        printf("%-27s %8.1f ms   %5.2f × the floor   peak %ld KiB", names[way], r->seconds * 1e3,
               r->seconds / floor, r->peak_kib);
        if (r->ops_kib)
            printf(" (and the caller's ops: %ld KiB)", r->ops_kib);
        printf("\n");
    }
    return 0;
}
