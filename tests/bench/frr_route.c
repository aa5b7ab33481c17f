/* One static route of FRR changed: the driver frr's apply() against one `vtysh -f` with the lines that do the same.
 *
 * Usage: bench-frr-route PREFIX GATEWAY OTHER [ROUNDS], inside a router (tests/bench/frr puts it there); a
 * gateway is an address, a space and an interface.  Three changes in turns, each way: add PREFIX by GATEWAY,
 * swap it to OTHER, remove it.  The clock of `vtysh -f` ends when its process has ended and the kernel has
 * said that the route is as wanted; the clock of apply() when it returns, which is after its own read-back,
 * and the kernel must have said so before: an apply that returns earlier is a failure here.  Both ways rest
 * before their clock begins: check() has started the vtysh that waits for lines by then, and has looked again, as
 * it does while a plan is checked and right before it is applied; neither is in the clock.  Prints one line of
 * JSON, medians and worst in milliseconds.
 *
 * SPDX-License-Identifier: MIT */
#include "frr/frr.h"

#include <arpa/inet.h>
#include <base/mem.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ROUNDS = 200, SETTLE_MS = 30000, REST_MS = 500 };

enum change { ADD, SWAP, REMOVE, CHANGES };
static const char *const change_names[CHANGES] = {"add", "swap", "remove"};

struct bench {
    const char *prefix_text, *gateway[2];
    struct ferry_prefix prefix;
    struct ferry_nexthop hop[2];
    struct ferry_entry entry[2];
    int events; /* routing events of this kernel */
    char file[40];
};

struct times {
    double done[CHANGES][MAX_ROUNDS]; /* the caller may go on */
    double gone[CHANGES][MAX_ROUNDS]; /* how long the kernel had no route in a swap; 0: never */
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "bench-frr-route: %s\n", what);
    exit(1);
}

/* Before a change: neither way pays for what came before it. */
static void rest(void)
{
    usleep(REST_MS * 1000);
}

/* ---- What the kernel says ---- */

static int listen_events(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), bytes = 16 << 20;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("no routing events");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    return fd;
}

static const void *attribute(const struct nlmsghdr *h, unsigned short type)
{
    const struct rtmsg *rtm = NLMSG_DATA(h);
    long left = (long)RTM_PAYLOAD(h);
    for (const struct rtattr *a = RTM_RTA(rtm); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == type)
            return RTA_DATA(a);
    return NULL;
}

/* -1: the message is about another route; else whether the prefix has a route now (1: by `hop`, 2: otherwise). */
static int route_after(const struct bench *b, const struct nlmsghdr *h, const struct ferry_nexthop *hop)
{
    const struct rtmsg *rtm = NLMSG_DATA(h);
    const void *dst = attribute(h, RTA_DST), *via = attribute(h, RTA_GATEWAY);
    if ((h->nlmsg_type != RTM_NEWROUTE && h->nlmsg_type != RTM_DELROUTE) || !dst ||
        rtm->rtm_dst_len != b->prefix.len || memcmp(dst, b->prefix.addr.bytes, 4) != 0)
        return -1;
    if (h->nlmsg_type == RTM_DELROUTE)
        return 0;
    return hop && via && !memcmp(via, hop->via.bytes, 4) ? 1 : 2;
}

/* Reads events until the route is by `hop` (NULL: gone).  Returns whether it came to that before `until`; adds
 * the time without any route to `ret_gone`. */
static bool wait_kernel(const struct bench *b, const struct ferry_nexthop *hop, double until,
                        double *ret_gone)
{
    static char buffer[256 * 1024];
    double without = 0;
    for (;;) {
        struct pollfd p = {.fd = b->events, .events = POLLIN};
        double left = until - now_ms();
        if (poll(&p, 1, left > 0 ? (int)left + 1 : 0) <= 0)
            return false;
        ssize_t n = recv(b->events, buffer, sizeof buffer, 0);
        double at = now_ms();
        for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            int state = route_after(b, h, hop);
            if (state == 0 && hop)
                without = at;
            if (state > 0 && without > 0) {
                *ret_gone += at - without;
                without = 0;
            }
            if (state == (hop ? 1 : 0))
                return true;
        }
    }
}

/* ---- The two ways ---- */

static const struct ferry_nexthop *wanted(const struct bench *b, enum change change)
{
    return change == ADD ? &b->hop[0] : change == SWAP ? &b->hop[1] : NULL;
}

static double by_vtysh(const struct bench *b, enum change change, double *ret_gone)
{
    FILE *f = fopen(b->file, "w");
    if (!f)
        fail(b->file);
    if (change != REMOVE)
        fprintf(f, "ip route %s %s tag 2100\n", b->prefix_text, b->gateway[change == SWAP]);
    if (change != ADD)
        fprintf(f, "no ip route %s %s\n", b->prefix_text, b->gateway[change == REMOVE]);
    fclose(f);
    int status;
    double start = now_ms();
    pid_t pid = fork();
    if (!pid) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 1);
        dup2(null, 2);
        execlp("vtysh", "vtysh", "-f", b->file, NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        fail("vtysh -f failed");
    double ended = now_ms();
    if (!wait_kernel(b, wanted(b, change), ended + SETTLE_MS, ret_gone))
        fail("the kernel does not follow vtysh -f");
    double seen = now_ms();
    return (seen > ended ? seen : ended) - start;
}

static struct ferry_driver *driver;

static double by_driver(const struct bench *b, enum change change, double *ret_gone)
{
    struct ferry_err err;
    struct ferry_op op = {.kind = FERRY_KIND_ROUTE,
                          .prefix = b->prefix,
                          .table = FERRY_TABLE_MAIN,
                          .metric = 1,
                          .before = change == ADD ? NULL : &b->entry[change == SWAP ? 0 : 1],
                          .after = change == REMOVE ? NULL : &b->entry[change == ADD ? 0 : 1]};
    for (int i = 0; i < 2; i++) { /* the second one as an engine has it, right before */
        if (ferry_driver_frr.check(driver, &op, 1, &err) < 0 || op.outcome != FERRY_DONE)
            fail(op.why ? op.why : err.text);
        if (!i)
            rest();
    }
    double start = now_ms();
    int r = ferry_driver_frr.apply(driver, &op, 1, &err);
    double ended = now_ms();
    if (r < 0 || op.outcome != FERRY_DONE)
        fail(op.why ? op.why : err.text);
    if (!wait_kernel(b, wanted(b, change), ended, ret_gone))
        fail("apply() said done before the kernel did");
    ferry_op_clear(&op);
    return ended - start;
}

/* ---- ---- */

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void report(const char *name, struct times *t, size_t rounds)
{
    printf("\"%s\": {", name);
    for (int c = 0; c < CHANGES; c++) {
        qsort(t->done[c], rounds, sizeof(double), by_value);
        qsort(t->gone[c], rounds, sizeof(double), by_value);
        printf("%s\"%s\": {\"median\": %.2f, \"worst\": %.2f, \"gone\": %.2f}", c ? ", " : "",
               change_names[c], t->done[c][rounds / 2], t->done[c][rounds - 1], t->gone[c][rounds - 1]);
    }
    printf("}");
}

int main(int argc, char **argv)
{
    static struct times floor_times, driver_times;
    struct ferry_err err;
    struct ferry_driver_config config = {.type = "frr", .transport = "local"};
    int rounds = argc > 4 ? atoi(argv[4]) : 15;
    struct bench b = {.file = "/tmp/ferry-bench-frr-XXXXXX"};
    if (argc < 4 || rounds < 1 || rounds > MAX_ROUNDS || ferry_prefix_parse(argv[1], &b.prefix, &err) < 0) {
        fprintf(stderr, "usage: bench-frr-route PREFIX GATEWAY OTHER [ROUNDS]\n");
        return 64;
    }
    b.prefix_text = argv[1];
    for (int i = 0; i < 2; i++) {
        char address[FERRY_ADDR_STRLEN];
        b.gateway[i] = argv[2 + i];
        b.hop[i] = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .weight = 1};
        if (sscanf(argv[2 + i], "%45s %15s", address, b.hop[i].dev) != 2)
            fail("a gateway is an address, a space and an interface");
        if (ferry_addr_parse(address, &b.hop[i].via, &err) < 0)
            fail(err.text);
        b.entry[i] = (struct ferry_entry){.type = FERRY_UNICAST,
                                          .table = FERRY_TABLE_MAIN,
                                          .metric = 1,
                                          .protocol = FERRY_PROTOCOL,
                                          .n_nexthops = 1,
                                          .nexthops = &b.hop[i]};
    }
    int fd = mkstemp(b.file);
    close(fd);
    b.events = listen_events();
    double start = now_ms();
    if (ferry_driver_frr.open(&ferry_env_real, &config, "bench", NULL, NULL, &driver, &err) < 0)
        fail(err.text);
    double opened = now_ms() - start;
    for (int round = 0; round < rounds; round++)
        for (enum change c = ADD; c < CHANGES; c++) {
            rest();
            floor_times.done[c][round] = by_vtysh(&b, c, &floor_times.gone[c][round]);
        }
    for (int round = 0; round < rounds; round++)
        for (enum change c = ADD; c < CHANGES; c++)
            driver_times.done[c][round] = by_driver(&b, c, &driver_times.gone[c][round]);
    ferry_driver_frr.close(driver);
    unlink(b.file);
    printf("{\"open\": %.1f, ", opened);
    report("vtysh", &floor_times, (size_t)rounds);
    printf(", ");
    report("driver", &driver_times, (size_t)rounds);
    printf("}\n");
    return 0;
}
