/* See frr_triangle.h.  SPDX-License-Identifier: MIT */
#include "frr_triangle.h"

#include "contract/shell.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct ferry_frr routers[ALL];
const char *const names[ALL] = {"r1", "r2", "r3", "r3"};

/* ---- Around. ---- */

uint64_t triangle_now_us(void)
{
    return ferry_env_real.monotonic_us(NULL);
}

char *triangle_show(struct ferry_frr *d, const char *fmt, const char *arg)
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
    FERRY_AUTOFREE char *text = triangle_show(d, "%s", command);
    return strstr(text, what);
}

/* Waits at most `seconds` until the answer holds (or no longer holds) a text. */
void triangle_until(struct ferry_frr *d, const char *command, const char *what, bool there, double seconds)
{
    uint64_t end = triangle_now_us() + (uint64_t)(seconds * 1e6);
    while (shows(d, command, what) != there) {
        if (triangle_now_us() > end) {
            FERRY_AUTOFREE char *text = triangle_show(d, "%s", command);
            fail_msg("%s: after %.1f s %s '%s':\n%s", command, seconds, there ? "no" : "still", what, text);
        }
        usleep(5000);
    }
}

void triangle_conf(int router, const char *fmt, ...)
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
    struct ferry_remote_process *p;
    if (ferry_frr_write_start(&routers[router], &t, &p, &err) < 0 ||
        ferry_frr_write_end(&routers[router], p, &said, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(said, "");
    ferry_frr_text_clear(&t);
}

/* ---- The lab. ---- */

static void daemon_start(const char *ns, const char *daemon)
{
    shell("ip netns exec %s /usr/lib/frr/%s -N %s -d -A 127.0.0.1%s 2>/dev/null", ns, daemon, ns,
          strcmp(daemon, "zebra") == 0 ? " -s 90000000" : "");
}

static void router_start(int i, const char *config)
{
    const char *ns = names[i];
    shell("install -d -o frr -g frrvty /etc/frr/%s && install -d -o frr -g frrvty -m 755 /run/frr/%s", ns,
          ns);
    FERRY_AUTOFREE char *path = ferry_asprintf("/etc/frr/%s/frr.conf", ns);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(config, f);
    fclose(f);
    shell("echo 'service integrated-vtysh-config' > /etc/frr/%s/vtysh.conf", ns);
    shell("chown frr:frrvty /etc/frr/%s/*", ns);
    static const char *const daemons[] = {"zebra", "staticd", "bgpd", "ospfd"};
    for (size_t k = 0; k < FERRY_COUNT(daemons); k++)
        daemon_start(ns, daemons[k]);
    shell("ip netns exec %s vtysh -N %s -b >/dev/null 2>&1", ns, ns);
}

static void link_up(const char *a, const char *b, const char *net)
{
    shell("ip -n %s link add to-%s type veth peer name to-%s netns %s", a, b, a, b);
    shell("ip -n %s link set to-%s up && ip -n %s addr add %s.1/30 dev to-%s", a, b, a, net, b);
    shell("ip -n %s link set to-%s up && ip -n %s addr add %s.2/30 dev to-%s", b, a, b, net, a);
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
    shell("ip netns exec bird bird -c /run/frr/bird.conf -s /run/frr/bird.ctl -P /run/frr/bird.pid");
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

int triangle_up(void **state)
{
    static const char *const spaces[] = {"r1", "r2", "r3", "bird", "lan"};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(spaces); i++)
        shell(
            "ip netns add %s && ip -n %s link set lo up && ip netns exec %s sysctl -qw net.ipv4.ip_forward=1",
            spaces[i], spaces[i], spaces[i]);
    link_up("r1", "r2", "10.0.12");
    link_up("r1", "r3", "10.0.13");
    link_up("r2", "r3", "10.0.23");
    link_up("r3", "bird", "10.0.39");
    for (int i = R1; i <= R2; i++)
        shell("ip -n %s link add lan0 type veth peer name %s netns lan && ip -n %s link set lan0 up && "
              "ip -n lan link set %s up",
              names[i], names[i], names[i], names[i]);
    for (int i = 0; i < ROUTERS; i++)
        configure(i);
    bird_start();
    open_routers();
    for (int i = 0; i < ROUTERS; i++)
        triangle_until(&routers[i], "show ip ospf neighbor json", "Full", true, 30);
    triangle_until(&routers[R2], "show ip route " BGP_P " json", "10.0.12.1", true, 20);
    triangle_until(&routers[R3], "show ip route " BGP_P " json", "10.0.13.1", true, 20);
    triangle_until(&routers[R3], "show bgp neighbors 10.0.39.2 json", "\"Established\"", true, 20);
    return 0;
}

/* ---- A world of its own. ---- */

static int inside(int (*run)(void))
{
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
    shell("chown frr:frrvty /run/frr /etc/frr && chown frr:frr /var/log/frr");
    return run();
}

int triangle_alone(int (*run)(void))
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
        int failed = inside(run);
        fflush(NULL);
        _exit(failed ? 1 : 0); /* and with it, as the first process, all daemons */
    }
    int status = 1;
    bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    fflush(NULL);
    _exit(ended ? WEXITSTATUS(status)
                : 1); /* nothing can be started here any more, not by LeakSanitizer either */
}
