/* Announcements on real daemons: three FRR routers in a triangle, BGP between three AS for one prefix and OSPF for another,
 * and a BIRD as a neighbour that Ferry does not control.
 *
 * The program has mounts and processes of its own: FRR's directories and the names of namespaces are private, and whatever
 * happens here, the daemons end with it and the namespaces with them.
 *
 * SPDX-License-Identifier: MIT */
#include "frr/internal.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BGP_P  "192.168.1.0/24"
#define OSPF_P "192.168.2.0/24"

enum { R1, R2, R3, ROUTERS, LOOK = ROUTERS, ALL }; /* LOOK: a second conversation with r3 */
static struct ferry_frr routers[ALL];
static const char *const names[ALL] = {"r1", "r2", "r3", "r3"};

/* ---- Around. ---- */

static void FERRY_PRINTF(1, 2) sh(const char *fmt, ...)
{
    char command[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static char *FERRY_PRINTF(1, 2) say(const char *fmt, ...)
{
    char command[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = ferry_calloc(1, 1 << 18);
    text[fread(text, 1, (1 << 18) - 1, pipe)] = 0;
    pclose(pipe);
    return text;
}

static uint64_t now_us(void)
{
    return ferry_env_real.monotonic_us(NULL);
}

static char *show(struct ferry_frr *d, const char *fmt, const char *arg)
{
    struct ferry_err err;
    char command[128], *text;
    size_t n;
    snprintf(command, sizeof command, fmt, arg);
    if (ferry_frr_show(d, command, &text, &n, &err) < 0)
        fail_msg("%s: %s", command, err.text);
    return text;
}

static bool shows(struct ferry_frr *d, const char *command, const char *what)
{
    FERRY_AUTOFREE char *text = show(d, "%s", command);
    return strstr(text, what);
}

/* Waits at most `seconds` until the answer holds (or no longer holds) a text. */
static void until(struct ferry_frr *d, const char *command, const char *what, bool there, double seconds)
{
    uint64_t end = now_us() + (uint64_t)(seconds * 1e6);
    while (shows(d, command, what) != there) {
        if (now_us() > end) {
            FERRY_AUTOFREE char *text = show(d, "%s", command);
            fail_msg("%s: after %.1f s %s '%s':\n%s", command, seconds, there ? "no" : "still", what, text);
        }
        usleep(5000);
    }
}

static void conf(int router, const char *fmt, ...) FERRY_PRINTF(2, 3);
static void conf(int router, const char *fmt, ...)
{
    struct ferry_err err;
    struct ferry_frr_text t = {0};
    FERRY_AUTOFREE char *said = NULL;
    char lines[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(lines, sizeof lines, fmt, args);
    va_end(args);
    ferry_frr_text_add(&t, "%s", lines);
    if (ferry_frr_write(&routers[router], &t, &said, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(said, "");
    ferry_frr_text_clear(&t);
}

/* ---- The lab. ---- */

static void daemon_start(const char *ns, const char *daemon)
{
    sh("ip netns exec %s /usr/lib/frr/%s -N %s -d -A 127.0.0.1%s 2>/dev/null", ns, daemon, ns,
       strcmp(daemon, "zebra") == 0 ? " -s 90000000" : "");
}

static void router_start(int i, const char *config)
{
    const char *ns = names[i];
    sh("install -d -o frr -g frrvty /etc/frr/%s && install -d -o frr -g frrvty -m 755 /run/frr/%s", ns, ns);
    FERRY_AUTOFREE char *path = ferry_asprintf("/etc/frr/%s/frr.conf", ns);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(config, f);
    fclose(f);
    sh("echo 'service integrated-vtysh-config' > /etc/frr/%s/vtysh.conf", ns);
    sh("chown frr:frrvty /etc/frr/%s/*", ns);
    static const char *const daemons[] = {"zebra", "staticd", "bgpd", "ospfd"};
    for (size_t k = 0; k < FERRY_COUNT(daemons); k++)
        daemon_start(ns, daemons[k]);
    sh("ip netns exec %s vtysh -N %s -b >/dev/null 2>&1", ns, ns);
}

static void link_up(const char *a, const char *b, const char *net)
{
    sh("ip -n %s link add to-%s type veth peer name to-%s netns %s", a, b, a, b);
    sh("ip -n %s link set to-%s up && ip -n %s addr add %s.1/30 dev to-%s", a, b, a, net, b);
    sh("ip -n %s link set to-%s up && ip -n %s addr add %s.2/30 dev to-%s", b, a, b, net, a);
}

static void configure(int i)
{
    static const char *const as[] = {"65001", "65002", "65003"};
    static const char *const mine[3][2] = {{"to-r2", "to-r3"}, {"to-r1", "to-r3"}, {"to-r1", "to-r2"}};
    static const char *const peers[3][2][2] = {{{"10.0.12.2", "65002"}, {"10.0.13.2", "65003"}},
                                               {{"10.0.12.1", "65001"}, {"10.0.23.2", "65003"}},
                                               {{"10.0.13.1", "65001"}, {"10.0.23.1", "65002"}}};
    struct ferry_frr_text t = {0};
    for (int k = 0; k < 2; k++)
        ferry_frr_text_add(&t,
                           "interface %s\n ip ospf network point-to-point\n ip ospf hello-interval 1\n"
                           " ip ospf dead-interval 4\nexit\n",
                           mine[i][k]);
    ferry_frr_text_add(
        &t,
        "router ospf\n ospf router-id %d.%d.%d.%d\n timers throttle lsa all 200\n"
        " network 10.0.0.0/8 area 0\n passive-interface lan0\n area 0 range 10.99.0.0/16\nexit\n",
        i + 1, i + 1, i + 1, i + 1);
    ferry_frr_text_add(&t, "router bgp %s\n no bgp ebgp-requires-policy\n timers bgp 3 9\n", as[i]);
    for (int k = 0; k < 2; k++)
        ferry_frr_text_add(&t, " neighbor %s remote-as %s\n neighbor %s timers connect 1\n", peers[i][k][0],
                           peers[i][k][1], peers[i][k][0]);
    if (i == R3)
        ferry_frr_text_add(&t, " neighbor 10.0.39.2 remote-as 65009\n neighbor 10.0.39.2 timers connect 1\n");
    if (i == R1)
        ferry_frr_text_add(&t, " address-family ipv4 unicast\n  network " BGP_P "\n exit-address-family\n");
    ferry_frr_text_add(&t, "exit\n");
    if (i == R1)
        ferry_frr_text_add(&t, "interface lan0\n ip address 192.168.1.1/24\nexit\n");
    router_start(i, t.v);
    ferry_frr_text_clear(&t);
}

static void bird_start(void)
{
    FILE *f = fopen("/run/frr/bird.conf", "w");
    assert_non_null(f);
    fputs("router id 9.9.9.9;\nprotocol device {}\nprotocol bgp r3 { local 10.0.39.2 as 65009;\n"
          " neighbor 10.0.39.1 as 65003; connect retry time 1; ipv4 { import all; export none; }; }\n",
          f);
    fclose(f);
    sh("ip netns exec bird bird -c /run/frr/bird.conf -s /run/frr/bird.ctl -P /run/frr/bird.pid");
}

static int open_routers(void)
{
    struct ferry_err err;
    for (int i = 0; i < ALL; i++) {
        char *name = ferry_strdup(names[i]);
        routers[i] = (struct ferry_frr){
            .env = &ferry_env_real,
            .router = name,
            .config = {.type = "frr",
                       .netns = name,
                       .transport = "local",
                       .pathspace = name,
                       .routing = FERRY_ROUTING_BGP},
        };
        if (ferry_remote_open(&ferry_env_real, &routers[i].config, name, &routers[i].remote, &err) < 0)
            fail_msg("%s: %s", name, err.text);
    }
    return 0;
}

static int up(void **state)
{
    static const char *const spaces[] = {"r1", "r2", "r3", "bird", "lan"};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(spaces); i++)
        sh("ip netns add %s && ip -n %s link set lo up && ip netns exec %s sysctl -qw net.ipv4.ip_forward=1",
           spaces[i], spaces[i], spaces[i]);
    link_up("r1", "r2", "10.0.12");
    link_up("r1", "r3", "10.0.13");
    link_up("r2", "r3", "10.0.23");
    link_up("r3", "bird", "10.0.39");
    for (int i = R1; i <= R2; i++)
        sh("ip -n %s link add lan0 type veth peer name %s netns lan && ip -n %s link set lan0 up && "
           "ip -n lan link set %s up",
           names[i], names[i], names[i], names[i]);
    for (int i = 0; i < ROUTERS; i++)
        configure(i);
    bird_start();
    open_routers();
    for (int i = 0; i < ROUTERS; i++)
        until(&routers[i], "show ip ospf neighbor json", "Full", true, 30);
    until(&routers[R2], "show ip route " BGP_P " json", "10.0.12.1", true, 20);
    until(&routers[R3], "show ip route " BGP_P " json", "10.0.13.1", true, 20);
    until(&routers[R3], "show bgp neighbors 10.0.39.2 json", "\"Established\"", true, 20);
    return 0;
}

/* ---- Ops as apply would make them. ---- */

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p;
    assert_int_equal(ferry_prefix_parse(text, &p, &err), 0);
    return p;
}

/* What the router announces of a prefix, interned in nothing: the native bytes leak into `native`. */
static bool found(int router, const char *of, struct ferry_entry *ret, uint8_t **native)
{
    struct ferry_err err;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
    struct ferry_prefix p = prefix(of);
    if (ferry_frr_config_read(&routers[router], &running, &err) < 0)
        fail_msg("%s", err.text);
    return ferry_frr_announce_find(&routers[router].config, &running, &p, ret, native);
}

static int check(int router, const struct ferry_op *op, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
    memset(err, 0, sizeof *err);
    if (ferry_frr_config_read(&routers[router], &running, err) < 0)
        fail_msg("%s", err->text);
    int r = ferry_frr_protocol_check(&routers[router], &running, err);
    if (r == 0)
        r = ferry_frr_announce_check(&routers[router], &running, op, err);
    if (r < 0)
        print_message("%s: %s: %s\n", names[router], err->rule, err->text);
    return r;
}

/* Writes an announcement's change and what goes with it in one file. */
static void announce(int router, const char *of, const struct ferry_entry *before,
                     const struct ferry_entry *after, const char *with)
{
    struct ferry_err err;
    struct ferry_frr_files files = {0};
    struct ferry_op op = {
        .kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(of), .before = before, .after = after};
    if (ferry_frr_announce_lines(&routers[router].config, &op, &files, &err) < 0)
        fail_msg("%s", err.text);
    conf(router, "%s%s", files.file[0].v, with);
    ferry_frr_files_clear(&files);
    uint64_t end = now_us() + 2000000;
    int r;
    while ((r = ferry_frr_announce_settled(&routers[router], &op, &err)) == 0 && now_us() < end)
        usleep(1000);
    assert_int_equal(r, 1);
}

static int heard(int router, const struct ferry_op *op, struct ferry_err *err)
{
    struct ferry_frr_config running = {0};
    if (ferry_frr_config_read(&routers[router], &running, err) < 0)
        fail_msg("%s", err->text);
    ferry_frr_keep(&routers[router], &running);
    return ferry_frr_announce_heard(&routers[router], op, err);
}

/* The route that a pinned router's protocol would leave it to. */
static void expect_dynamic(int router, const char *of, const char *text)
{
    uint64_t end = now_us() + 12000000;
    char buf[256] = "nothing";
    while (now_us() < end) {
        struct ferry_err err;
        FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
        FERRY_CLEANUP(ferry_frr_rib_clear) struct ferry_frr_rib rib = {0};
        struct ferry_prefix p = prefix(of);
        if (ferry_frr_config_read(&routers[router], &running, &err) < 0 ||
            ferry_frr_rib_read(&routers[router], AF_INET, FERRY_TABLE_MAIN, &p, &rib, &err) < 0)
            fail_msg("%s", err.text);
        snprintf(buf, sizeof buf, "nothing");
        for (size_t i = 0; i < rib.n; i++) {
            struct ferry_entry e;
            if (!ferry_frr_protocol_entry(&running, &rib.routes[i], &e))
                continue;
            ferry_entry_text(&e, buf, sizeof buf);
            free((void *)e.nexthops);
        }
        if (strcmp(buf, text) == 0)
            return;
        usleep(5000);
    }
    fail_msg("%s: %s by its protocol, not %s", names[router], buf, text);
}

/* ---- A watch on r3: its BGP table, and its kernel. ---- */

struct watch {
    volatile bool stop;
    unsigned looks, both; /* samples in which two AS originate the prefix */
    pthread_t thread;
};

/* Whether a path that is not withdrawn (bgpd shows such a one until it has tidied up) ends at this AS. */
static bool originates(const char *table, const char *as)
{
    struct json_object *document = json_tokener_parse(table), *paths, *o, *text;
    bool found_one = false;
    for (size_t i = 0;
         json_object_object_get_ex(document, "paths", &paths) && i < json_object_array_length(paths); i++) {
        struct json_object *path = json_object_array_get_idx(paths, i);
        if (json_object_object_get_ex(path, "removed", &o) ||
            !json_object_object_get_ex(path, "aspath", &o) || !json_object_object_get_ex(o, "string", &text))
            continue;
        FERRY_AUTOFREE char *spaced = ferry_asprintf(" %s", json_object_get_string(text));
        size_t n = strlen(spaced), m = strlen(as);
        found_one |= n >= m && strcmp(spaced + n - m, as) == 0;
    }
    json_object_put(document);
    return found_one;
}

static void *watch(void *ctx)
{
    struct watch *w = ctx;
    while (!w->stop) {
        FERRY_AUTOFREE char *text = show(&routers[LOOK], "show bgp ipv4 unicast %s json", BGP_P);
        bool first = originates(text, " 65001"), second = originates(text, " 65002");
        w->looks++;
        if (first && second && !w->both++)
            fprintf(stderr, "two origins: %s\n", text);
        usleep(200);
    }
    return NULL;
}

static void bird_knows(const char *as)
{
    uint64_t end = now_us() + 5000000;
    for (;;) {
        FERRY_AUTOFREE char *text = say("birdc -s /run/frr/bird.ctl show route " BGP_P " all");
        char *path = strstr(text, "BGP.as_path:");
        if (as ? path && strncmp(path + 13, as, strlen(as)) == 0 : !path)
            return;
        if (now_us() > end)
            fail_msg("BIRD does not know %s: %s", as ? as : "that it is gone", text);
        usleep(10000);
    }
}

static const struct ferry_entry plain_bgp = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_BGP};
static const struct ferry_entry plain_ospf = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_OSPF};

static void pins(bool there)
{
    const char *no = there ? "" : "no ";
    conf(R2, "%sip route " BGP_P " 10.0.12.1 tag 2100\n", no);
    conf(R3, "%sip route " BGP_P " 10.0.13.1 tag 2100\n", no);
}

/* A move of the origination, there and back: r3 forwards as it is pinned, never sees two origins, and follows in the end;
 * BIRD learns and unlearns; the configuration comes back. */
static void test_bgp_move(void **state)
{
    (void)state;
    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    FERRY_AUTOFREE char *before1 = show(&routers[R1], "show running-config%s", "");
    FERRY_AUTOFREE char *before2 = show(&routers[R2], "show running-config%s", "");
    bird_knows("65003 65001");
    assert_true(found(R1, BGP_P, &e, &native));
    assert_null(native);
    assert_false(found(R2, BGP_P, &e, &native));
    expect_dynamic(R3, BGP_P, "unicast via 10.0.13.1 dev to-r1 metric 20 protocol bgp");
    pins(true);
    expect_dynamic(R3, BGP_P, "unicast via 10.0.13.1 dev to-r1 metric 20 protocol bgp");
    until(&routers[R3], "show ip route " BGP_P " json", "\"protocol\":\"static\"", true, 5);
    usleep(50000); /* zebra's own transaction: the events of the pin itself are not watched */

    struct watch w = {0};
    char line[256] = "";
    FILE *events = popen("echo $$; exec ip -n r3 monitor route", "r");
    assert_non_null(fgets(line, sizeof line, events));
    pid_t monitor = (pid_t)strtol(line, NULL, 10);
    assert_int_equal(pthread_create(&w.thread, NULL, watch, &w), 0);
    announce(R1, BGP_P, &plain_bgp, NULL,
             "ip route " BGP_P
             " blackhole 254 tag 2100\ninterface lan0\n no ip address 192.168.1.1/24\nexit\n");
    announce(R2, BGP_P, NULL, &plain_bgp,
             "interface lan0\n ip address 192.168.1.1/24\nexit\nno ip route " BGP_P " 10.0.12.1 tag 2100\n");
    expect_dynamic(R3, BGP_P, "unicast via 10.0.23.1 dev to-r2 metric 20 protocol bgp");
    expect_dynamic(R1, BGP_P, "unicast via 10.0.12.2 dev to-r2 metric 20 protocol bgp");
    bird_knows("65003 65002");
    w.stop = true;
    pthread_join(w.thread, NULL);
    assert_in_range(w.looks, 20, 1000000);
    assert_int_equal(w.both, 0);
    /* Until now no event of the prefix on r3; this one is its end. */
    conf(R3, "no ip route " BGP_P " 10.0.13.1 tag 2100\n");
    assert_non_null(fgets(line, sizeof line, events));
    assert_non_null(strstr(line, BGP_P));
    assert_non_null(strstr(line, "via 10.0.23.1 dev to-r2 proto bgp"));
    assert_null(strstr(line, "Deleted"));
    assert_int_equal(kill(monitor, SIGTERM), 0);
    pclose(events);

    announce(R2, BGP_P, &plain_bgp, NULL, "interface lan0\n no ip address 192.168.1.1/24\nexit\n");
    bird_knows(NULL);
    announce(R1, BGP_P, NULL, &plain_bgp,
             "interface lan0\n ip address 192.168.1.1/24\nexit\nno ip route " BGP_P
             " blackhole 254 tag 2100\n");
    expect_dynamic(R3, BGP_P, "unicast via 10.0.13.1 dev to-r1 metric 20 protocol bgp");
    expect_dynamic(R2, BGP_P, "unicast via 10.0.12.1 dev to-r1 metric 20 protocol bgp");
    bird_knows("65003 65001");
    FERRY_AUTOFREE char *after1 = show(&routers[R1], "show running-config%s", "");
    FERRY_AUTOFREE char *after2 = show(&routers[R2], "show running-config%s", "");
    assert_string_equal(before1, after1);
    assert_string_equal(before2, after2);
}

/* A statement without effect becomes a second origin with the first pin: it is read as what it is, in time. */
static void test_sleeping_statement(void **state)
{
    (void)state;
    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    conf(R3, "router bgp\n address-family ipv4 unicast\n  network " BGP_P "\n exit-address-family\nexit\n");
    until(&routers[R3], "show bgp ipv4 unicast " BGP_P " json", "\"sourced\":true", true, 2);
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(BGP_P), .after = &plain_bgp};
    struct ferry_err err;
    usleep(100000);
    assert_int_equal(ferry_frr_announce_settled(&routers[R3], &op, &err),
                     0); /* not active: its route is BGP's */
    assert_true(found(R3, BGP_P, &e, &native));
    conf(R3, "ip route " BGP_P " 10.0.13.1 tag 2100\n");
    until(&routers[R2], "show bgp ipv4 unicast " BGP_P " json", "\"string\":\"65003\"", true, 5);
    conf(R3, "no ip route " BGP_P " 10.0.13.1 tag 2100\n");
    announce(R3, BGP_P, &plain_bgp, NULL, "");
    until(&routers[R2], "show bgp ipv4 unicast " BGP_P " json", "\"string\":\"65003\"", false, 5);
}

/* An announcement that an outbound filter keeps from everybody is found where Ferry takes its last route away. */
static void test_unheard(void **state)
{
    (void)state;
    struct ferry_err err = {0};
    struct ferry_entry drop = {.type = FERRY_BLACKHOLE, .metric = 254, .protocol = FERRY_PROTOCOL};
    struct ferry_op make = {
        .kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("10.50.0.0/24"), .after = &plain_bgp};
    struct ferry_op last = {.kind = FERRY_KIND_ROUTE, .prefix = make.prefix, .metric = 254, .before = &drop};
    static const char filter[] =
        "ip prefix-list NONE seq 5 deny any\nrouter bgp\n address-family ipv4 unicast\n"
        "  neighbor 10.0.12.1 prefix-list NONE out\n"
        "  neighbor 10.0.23.2 prefix-list NONE out\n exit-address-family\nexit\n";
    static const char open[] =
        "router bgp\n address-family ipv4 unicast\n  no neighbor 10.0.12.1 prefix-list NONE out\n"
        "  no neighbor 10.0.23.2 prefix-list NONE out\n exit-address-family\nexit\n"
        "no ip prefix-list NONE seq 5 deny any\n";
    assert_int_equal(check(R2, &make, &err), 0);
    conf(R2, "%s", filter);
    assert_int_equal(heard(R2, &last, &err), 0); /* not there yet, as in the outage: at once */
    announce(R2, "10.50.0.0/24", NULL, &plain_bgp, "ip route 10.50.0.0/24 blackhole 254 tag 2100\n");
    assert_int_equal(heard(R2, &last, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-unheard");
    struct ferry_op other = last;
    other.prefix = prefix("10.51.0.0/24"); /* nobody asked for that one */
    assert_int_equal(heard(R2, &other, &err), 0);
    conf(R2, "%s", open);
    assert_int_equal(heard(R2, &last, &err), 0);
    announce(R2, "10.50.0.0/24", &plain_bgp, NULL, "no ip route 10.50.0.0/24 blackhole 254\n");
}

static void test_refusals(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(BGP_P), .after = &plain_bgp};
    struct ferry_driver_config *c = &routers[R2].config;
    assert_int_equal(check(R2, &op, &err), 0);
    conf(R2, "router bgp\n address-family ipv4 unicast\n  redistribute static\n exit-address-family\nexit\n");
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-redistribute");
    conf(R2, "route-map PINS deny 1\n match tag 2100\nexit\nroute-map PINS permit 2\nexit\n"
             "router bgp\n address-family ipv4 unicast\n  redistribute static route-map PINS\n"
             " exit-address-family\nexit\n");
    assert_int_equal(check(R2, &op, &err), 0);
    conf(R2, "router bgp\n address-family ipv4 unicast\n  no redistribute static\n exit-address-family\n"
             " neighbor 10.0.12.1 shutdown\n neighbor 10.0.23.2 shutdown\nexit\nno route-map PINS\n");
    until(&routers[R2], "show bgp ipv4 unicast summary json", "\"Established\"", false, 5);
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-no-neighbour");
    conf(R2, "router bgp\n no neighbor 10.0.12.1 shutdown\n no neighbor 10.0.23.2 shutdown\nexit\n");
    until(&routers[R2], "show ip route " BGP_P " json", "10.0.12.1", true, 20);

    c->prefix_list = (char *)"MOVED";
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-prefix-list");
    c->prefix_list = NULL;
    op.prefix = prefix("2001:db8:1::/64");
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED); /* no neighbour speaks IPv6 */
    assert_string_equal(err.rule, "frr-no-neighbour");
    op.after = &plain_ospf;
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-ospf6");
}

/* The entry stands before the address comes and goes before it goes: neither waits for bgpd's 5 s. */
static void test_prefix_list(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_driver_config *c = &routers[R2].config;
    struct ferry_op op = {
        .kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("10.60.0.0/24"), .after = &plain_bgp};
    conf(R2,
         "ip prefix-list MOVED seq 5 permit 10.200.0.0/16\nip prefix-list MOVED seq 10 permit 10.60.0.0/24\n"
         "ip prefix-list MOVED seq 20 deny 10.61.0.0/16 le 24\n"
         "route-map CONN permit 10\n match ip address prefix-list MOVED\nexit\n"
         "router bgp\n address-family ipv4 unicast\n  redistribute connected route-map CONN\n"
         " exit-address-family\nexit\n");
    FERRY_AUTOFREE char *before = show(&routers[R2], "show running-config%s", "");
    c->prefix_list = (char *)"MOVED";
    assert_int_equal(check(R2, &op, &err), 0);
    op.prefix = prefix("10.61.7.0/24");
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);

    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    assert_true(found(R2, "10.60.0.0/24", &e, &native)); /* an administrator's, with a place of its own */
    assert_memory_equal(e.native, "prefix-list seq 10", e.native_len);
    announce(R2, "10.60.0.0/24", &e, NULL, "");
    announce(R2, "10.62.0.0/24", NULL, &plain_bgp, "interface lan0\n ip address 10.62.0.1/24\nexit\n");
    until(&routers[R3], "show bgp ipv4 unicast 10.62.0.0/24 json", "65002", true, 1);
    announce(R2, "10.62.0.0/24", &plain_bgp, NULL, "interface lan0\n no ip address 10.62.0.1/24\nexit\n");
    until(&routers[R3], "show bgp ipv4 unicast 10.62.0.0/24 json", "65002", false, 1);
    struct ferry_frr_files files = {0};
    op.prefix = prefix("10.60.0.0/24");
    op.after = &e;
    assert_int_equal(ferry_frr_announce_lines(c, &op, &files, &err), 0);
    conf(R2, "%s", files.file[0].v);
    ferry_frr_files_clear(&files);
    FERRY_AUTOFREE char *after = show(&routers[R2], "show running-config%s", "");
    assert_string_equal(before, after);
    c->prefix_list = NULL;
    conf(R2,
         "router bgp\n address-family ipv4 unicast\n  no redistribute connected\n exit-address-family\nexit\n"
         "no route-map CONN\nno ip prefix-list MOVED\n");
}

static void test_ospf_move(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++)
        routers[i].config.routing = FERRY_ROUTING_OSPF;
    struct ferry_entry e, drop = {.type = FERRY_BLACKHOLE, .metric = 254, .protocol = FERRY_PROTOCOL};
    struct ferry_err err;
    FERRY_AUTOFREE uint8_t *native = NULL;
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(OSPF_P), .after = &plain_ospf};
    struct ferry_op last = {.kind = FERRY_KIND_ROUTE, .prefix = op.prefix, .metric = 254, .before = &drop};
    FERRY_AUTOFREE char *before = show(&routers[R2], "show running-config%s", "");
    conf(R1,
         "interface lan0\n ip address 192.168.2.1/24\nexit\nrouter ospf\n network " OSPF_P " area 0\nexit\n");
    expect_dynamic(R3, OSPF_P, "unicast via 10.0.13.1 dev to-r1 metric 110 protocol ospf");
    expect_dynamic(R1, OSPF_P, "nothing"); /* its own network is no route elsewhere */
    assert_true(found(R1, OSPF_P, &e, &native));
    assert_false(found(R2, OSPF_P, &e, &native));
    assert_null(native); /* as the router writes this area: "area 0" */
    assert_int_equal(check(R2, &op, &err), 0);
    conf(R3, "ip route " OSPF_P " 10.0.13.1 tag 2100\n");

    announce(R1, OSPF_P, &plain_ospf, NULL, "interface lan0\n no ip address 192.168.2.1/24\nexit\n");
    announce(R2, OSPF_P, NULL, &plain_ospf, "interface lan0\n ip address 192.168.2.1/24\nexit\n");
    expect_dynamic(R3, OSPF_P, "unicast via 10.0.23.1 dev to-r2 metric 110 protocol ospf");
    expect_dynamic(R1, OSPF_P, "unicast via 10.0.12.2 dev to-r2 metric 110 protocol ospf");
    assert_int_equal(heard(R2, &last, &err), 0);
    conf(R3, "no ip route " OSPF_P " 10.0.13.1 tag 2100\n");

    announce(R2, OSPF_P, &plain_ospf, NULL, "interface lan0\n no ip address 192.168.2.1/24\nexit\n");
    expect_dynamic(R3, OSPF_P, "nothing");
    FERRY_AUTOFREE char *after = show(&routers[R2], "show running-config%s", "");
    assert_string_equal(before, after);
}

/* ---- A world of its own. ---- */

static int inside(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bgp_move),    cmocka_unit_test(test_sleeping_statement),
        cmocka_unit_test(test_unheard),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_prefix_list), cmocka_unit_test(test_ospf_move),
    };
    static const char *const own[] = {"/run/netns", "/run/frr", "/etc/frr", "/var/log/frr"};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL))
        return 1;
    for (size_t i = 0; i < FERRY_COUNT(own); i++) {
        if (mkdir(own[i], 0755) && errno != EEXIST)
            return 1;
        if (mount("tmpfs", own[i], "tmpfs", 0, "mode=755"))
            return 1;
    }
    sh("chown frr:frrvty /run/frr /etc/frr && chown frr:frr /var/log/frr");
    return cmocka_run_group_tests(tests, up, NULL);
}

int main(void)
{
    if (geteuid() != 0 || access("/usr/lib/frr/bgpd", X_OK) || access("/usr/sbin/bird", X_OK)) {
        fprintf(stderr, "SKIPPED: needs root, FRR and BIRD\n");
        return 77;
    }
    if (unshare(CLONE_NEWPID | CLONE_NEWNS)) {
        fprintf(stderr, "SKIPPED: cannot have processes and mounts of its own\n");
        return 77;
    }
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        int failed = inside();
        fflush(NULL);
        _exit(failed ? 1 : 0); /* and with it, as the first process, all daemons */
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
