/* See kernel.h.  SPDX-License-Identifier: MIT */
#include "kernel.h"

#ifdef FERRY_KERNEL_IPROUTE
#include "iproute/iproute.h"
#else
#include "linux/linux.h"
#endif

#include <unistd.h>

static int run(const char *command)
{
    return system(command);
}

#define FORMAT(buf)                                                                                          \
    va_list args;                                                                                            \
    va_start(args, fmt);                                                                                     \
    vsnprintf(buf, sizeof(buf), fmt, args);                                                                  \
    va_end(args)

bool kernel_try(const struct kernel *k, const char *fmt, ...)
{
    char words[2000], command[2200];
    FORMAT(words);
    snprintf(command, sizeof command, "ip -n %s %s 2>/dev/null", k->netns, words);
    return run(command) == 0;
}

void kernel_ip(const struct kernel *k, const char *fmt, ...)
{
    char words[2000], command[2200];
    FORMAT(words);
    snprintf(command, sizeof command, "ip -n %s %s", k->netns, words);
    if (run(command) != 0)
        fail_msg("failed: %s", command);
}

void kernel_exec(const struct kernel *k, const char *fmt, ...)
{
    char words[2000], command[2200];
    FORMAT(words);
    snprintf(command, sizeof command, "ip netns exec %s %s", k->netns, words);
    if (run(command) != 0)
        fail_msg("failed: %s", command);
}

char *kernel_text(const struct kernel *k, const char *fmt, ...)
{
    char words[2000], command[2200];
    FORMAT(words);
    snprintf(command, sizeof command, "ip -n %s %s", k->netns, words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = 1 << 20, n = 0;
    char *text = calloc(1, size);
    while (n + 1 < size) {
        size_t got = fread(text + n, 1, size - n - 1, pipe);
        if (!got)
            break;
        n += got;
    }
    assert_int_equal(pclose(pipe), 0);
    return text;
}

bool kernel_says(const struct kernel *k, const char *command, const char *words)
{
    char *text = kernel_text(k, "%s", command);
    bool found = strstr(text, words) != NULL;
    free(text);
    return found;
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

/* `ret_settled`: each IPv6 address has its local route. */
static char *look(const struct kernel *k, bool *ret_settled)
{
    static const char *const looks[] = {"-d -j -4 route show table all", "-d -j -6 route show table all",
                                        "-j addr", "-j rule", "-d -j nexthop"};
    unsigned local[sizeof looks / sizeof *looks], six[sizeof looks / sizeof *looks];
    char *all = calloc(1, 1);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        char *text = kernel_text(k, "%s", looks[i]);
        local[i] = count(text, "\"type\":\"local\"");
        six[i] = count(text, "\"family\":\"inet6\"");
        all = realloc(all, strlen(all) + strlen(text) + 1);
        strcat(all, text);
        free(text);
    }
    *ret_settled = local[1] == six[2];
    return all;
}

/* IPv6 puts an address's local route in from a work queue: soon, not at once. */
char *kernel_snapshot(const struct kernel *k)
{
    bool settled;
    char *all = look(k, &settled);
    for (int i = 0; i < 1000 && !settled; i++) {
        free(all);
        usleep(10000);
        all = look(k, &settled);
    }
    if (!settled)
        fail_msg("an IPv6 address never gets its local route:\n%.3000s", all);
    return all;
}

void kernel_same(const struct kernel *k, const char *snapshot)
{
    char *now = kernel_snapshot(k);
    for (int i = 0; i < 1000 && strcmp(now, snapshot); i++) {
        free(now);
        usleep(10000);
        now = kernel_snapshot(k);
    }
    if (strcmp(now, snapshot)) {
        size_t i = 0;
        while (now[i] == snapshot[i])
            i++;
        i = i > 200 ? i - 200 : 0;
        fail_msg("the router is not as it was:\nwas …%.600s\nis  …%.600s", snapshot + i, now + i);
    }
    free(now);
}

void kernel_need_root(void)
{
    if (geteuid() != 0 ||
        run("ip netns add ferry-linux-probe-$$ 2>/dev/null && ip netns del ferry-linux-probe-$$")) {
        fprintf(stderr, "SKIPPED: the netlink driver's tests need network namespaces (root)\n");
        exit(77);
    }
}

static void await_carrier(const struct kernel *k, const char *dev, bool wanted)
{
    for (int i = 0; i < 1000; i++) {
        char *link = kernel_text(k, "link show %s", dev);
        bool running = strstr(link, "state UP");
        free(link);
        if (running == wanted)
            return;
        usleep(10000);
    }
    fail_msg("%s has %s carrier", dev, wanted ? "no" : "still a");
}

void kernel_runs(const struct kernel *k, const char *dev)
{
    await_carrier(k, dev, true);
}

void kernel_stops(const struct kernel *k, const char *dev)
{
    await_carrier(k, dev, false);
}

/* IPv6's own routes come from a work queue: one that comes after the first snapshot is no change of Ferry's. */
static void await_anycast(const struct kernel *k, int wanted)
{
    int n = 0;
    for (int i = 0; i < 1000 && n != wanted; i++) {
        char *text = kernel_text(k, "-6 route show table local type anycast");
        n = 0;
        for (const char *at = text; (at = strchr(at, '\n')); at++)
            n++;
        free(text);
        if (n != wanted)
            usleep(10000);
    }
    if (n != wanted)
        fail_msg("%d anycast routes, not %d", n, wanted);
}

struct ferry_driver_config kernel_config(const struct kernel *k)
{
#ifdef FERRY_KERNEL_IPROUTE
    return (struct ferry_driver_config){.type = "iproute", .transport = "local", .netns = (char *)k->netns};
#else
    return (struct ferry_driver_config){.type = "netlink", .netns = (char *)k->netns};
#endif
}

/* Link-local ones of all six, and of the prefixes of up0 and up1. */
void kernel_settles(const struct kernel *k)
{
    await_anycast(k, 3 * 2 + 2);
}

int kernel_up(void **state)
{
    static unsigned count;
    struct kernel *k = calloc(1, sizeof *k);
    struct ferry_err err;
    snprintf(k->netns, sizeof k->netns, "ferry-linux-%d-%u", (int)getpid(), count++);
    *state = k;
    char command[100];
    snprintf(command, sizeof command, "ip netns add %s", k->netns);
    if (run(command))
        return -1;
    kernel_exec(k, "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1");
    kernel_ip(k, "link set lo up");
    for (int i = 0; i < 3; i++) {
        const char *dev = ((const char *const[]){"lan0", "up0", "up1"})[i];
        kernel_ip(k, "link add %s type veth peer name %s-peer", dev, dev);
        kernel_ip(k, "link set %s-peer up", dev);
        kernel_ip(k, "link set %s up", dev);
        kernel_runs(k, dev);
        if (i) {
            kernel_ip(k, "addr add 10.255.%d.1/24 dev %s", i, dev);
            kernel_ip(k, "addr add fd00:255:%d::1/64 dev %s nodad", i, dev);
        }
    }
    kernel_settles(k);
    struct ferry_driver_config config = kernel_config(k);
#ifdef FERRY_KERNEL_IPROUTE
    k->ops = &ferry_driver_iproute;
#else
    k->ops = &ferry_driver_linux;
#endif
    if (k->ops->open(&ferry_env_real, &config, "r1", NULL, NULL, &k->driver, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

int kernel_down(void **state)
{
    struct kernel *k = *state;
    char command[100];
    k->ops->close(k->driver);
    snprintf(command, sizeof command, "ip netns del %s", k->netns);
    int result = run(command);
    free(k);
    return result;
}

struct ferry_prefix kernel_prefix(const char *text)
{
    struct ferry_prefix p;
    struct ferry_err err;
    assert_int_equal(ferry_prefix_parse(text, &p, &err), 0);
    return p;
}

const struct ferry_entry kernel_plain = {.type = FERRY_GATEWAY};

struct ferry_gateway kernel_at(const char *address)
{
    return (struct ferry_gateway){.address = kernel_prefix(address)};
}

struct ferry_addr kernel_addr(const char *text)
{
    struct ferry_addr a;
    struct ferry_err err;
    assert_int_equal(ferry_addr_parse(text, &a, &err), 0);
    return a;
}

struct ferry_fib kernel_read(const struct kernel *k, const char *prefix, uint32_t table,
                             const struct ferry_gateway *gateway, const char *interface)
{
    struct ferry_query_item item = {
        .prefix = kernel_prefix(prefix), .table = table, .gateway = gateway, .interface = interface};
    struct ferry_query query = {.items = &item, .n = 1};
    struct ferry_fib fib = {0};
    struct ferry_err err;
    if (k->ops->read(k->driver, &query, &fib, &err) < 0)
        fail_msg("%s", err.text);
    return fib;
}

const struct ferry_entry *kernel_only(const struct ferry_fib *fib)
{
    const struct ferry_entry *only = NULL;
    for (size_t i = 0; i < fib->n; i++)
        if (fib->items[i].relation == FERRY_EXACT) {
            assert_null(only);
            only = &fib->items[i].entry;
        }
    assert_non_null(only);
    return only;
}

struct ferry_op kernel_route(const char *prefix, const struct ferry_entry *before,
                             const struct ferry_entry *after)
{
    const struct ferry_entry *e = before ? before : after;
    return (struct ferry_op){.kind = FERRY_KIND_ROUTE,
                             .prefix = kernel_prefix(prefix),
                             .table = e->table,
                             .metric = e->metric,
                             .before = before,
                             .after = after};
}

struct ferry_op kernel_gateway(const char *prefix, const struct ferry_gateway *gateway, const char *interface,
                               const struct ferry_entry *before, const struct ferry_entry *after)
{
    return (struct ferry_op){.kind = FERRY_KIND_GATEWAY,
                             .prefix = kernel_prefix(prefix),
                             .before = before,
                             .after = after,
                             .gateway = gateway,
                             .interface = interface};
}

struct ferry_op kernel_swap(const struct ferry_op *op)
{
    struct ferry_op swapped = *op;
    swapped.before = op->after;
    swapped.after = op->before;
    swapped.why = NULL;
    return swapped;
}

void kernel_check(const struct kernel *k, struct ferry_op *op, enum ferry_outcome outcome, const char *words)
{
    struct ferry_err err;
    if (k->ops->check(k->driver, op, 1, &err) < 0)
        fail_msg("%s", err.text);
    if (op->outcome != outcome || (words && (!op->why || !strstr(op->why, words))))
        fail_msg("outcome %d: %s", op->outcome, op->why ? op->why : "no word");
    ferry_op_clear(op);
}

const char *kernel_apply(const struct kernel *k, struct ferry_op *op, enum ferry_outcome outcome)
{
    static char why[1024];
    struct ferry_err err;
    int result = k->ops->apply(k->driver, op, 1, &err);
    if (result < 0)
        fail_msg("%s", err.text);
    if (op->outcome != outcome)
        fail_msg("%s, wanted %s: %s", ferry_outcome_name(op->outcome), ferry_outcome_name(outcome), op->why);
    snprintf(why, sizeof why, "%s", op->why ? op->why : "");
    ferry_op_clear(op);
    return why;
}
