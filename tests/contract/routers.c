/* The routers on which the contract suite runs; see contract.h.  SPDX-License-Identifier: MIT */
#include "contract.h"
#include "frr.h"
#include "shell.h"
#include "ssh.h"

#include "fault/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void state_dir_up(struct contract_router *router)
{
    strcpy(router->state_dir, "/tmp/ferry-contract-XXXXXX");
    assert_non_null(mkdtemp(router->state_dir));
}

static void state_dir_down(struct contract_router *router)
{
    shell("rm -rf '%s'", router->state_dir);
}

/* ---- sim ---- */

static int always(void)
{
    return 0;
}

static void seed(struct ferry_fib *fib, const char *prefix, const char *const *devs, uint16_t n,
                 uint32_t metric)
{
    struct ferry_err err;
    struct ferry_nexthop hops[4] = {{0}};
    struct ferry_fib_item item = {
        .entry = {.type = FERRY_UNICAST, .table = FERRY_TABLE_MAIN, .metric = metric, .protocol = 2}};
    for (uint16_t i = 0; i < n; i++) {
        hops[i] = (struct ferry_nexthop){.router = FERRY_NO_ROUTER, .weight = 1};
        strcpy(hops[i].dev, devs[i]);
    }
    item.entry.nexthops = hops;
    item.entry.n_nexthops = n;
    assert_int_equal(ferry_prefix_parse(prefix, &item.prefix, &err), 0);
    ferry_fib_add(fib, &item);
}

static void sim_up(struct contract_router *router)
{
    state_dir_up(router);
    router->ops = ferry_driver_find("sim");
    router->config = (struct ferry_driver_config){.type = "sim"};
    seed(&router->initial, "fe80::/64", (const char *const[]){"lan0", "up0", "up1"}, 3, 256);
    seed(&router->initial, "10.255.1.0/24", (const char *const[]){"up0"}, 1, 0);
    seed(&router->initial, "10.255.2.0/24", (const char *const[]){"up1"}, 1, 0);
    seed(&router->initial, "fd00:255:1::/64", (const char *const[]){"up0"}, 1, 256);
    seed(&router->initial, "fd00:255:2::/64", (const char *const[]){"up1"}, 1, 256);
}

static void sim_down(struct contract_router *router)
{
    ferry_fib_clear(&router->initial);
    state_dir_down(router);
}

/* A second connection to the same router: the administrator's. */
static void by_hand(struct contract_router *router, struct ferry_op *op)
{
    const struct ferry_driver_ops *ops = ferry_driver_find("sim");
    struct ferry_driver *driver;
    struct ferry_err err;
    assert_int_equal(
        ops->open(&ferry_env_real, &router->config, "r1", router->state_dir, &router->initial, &driver, &err),
        0);
    assert_int_equal(ops->apply(driver, op, 1, &err), 0);
    assert_int_equal(op->outcome, FERRY_DONE);
    ops->close(driver);
}

static void sim_foreign(struct contract_router *router, const char *prefix)
{
    struct ferry_err err;
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .dev = "up0", .weight = 1};
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = FERRY_TABLE_MAIN,
                            .metric = 30,
                            .protocol = 4,
                            .n_nexthops = 1,
                            .nexthops = &hop,
                            .native_len = 3,
                            .native = (const uint8_t *)"mtu"};
    struct ferry_op op = {.table = FERRY_TABLE_MAIN, .metric = 30, .after = &e};
    bool v4 = !strchr(prefix, ':');
    assert_int_equal(ferry_prefix_parse(prefix, &op.prefix, &err), 0);
    assert_int_equal(ferry_addr_parse(v4 ? "10.255.1.2" : "fd00:255:1::2", &hop.via, &err), 0);
    by_hand(router, &op);
}

static void sim_foreign_gateway(struct contract_router *router, const char *address)
{
    struct ferry_err err;
    struct ferry_gateway gateway = {0};
    struct ferry_entry e = {.type = FERRY_GATEWAY, .native_len = 5, .native = (const uint8_t *)"label"};
    struct ferry_op op = {.kind = FERRY_KIND_GATEWAY, .after = &e, .gateway = &gateway, .interface = "lan0"};
    assert_int_equal(ferry_prefix_parse(address, &gateway.address, &err), 0);
    op.prefix = ferry_prefix_network(&gateway.address);
    by_hand(router, &op);
}

/* ---- netlink ---- */

static int may_make_namespaces(void)
{
    char name[64], command[256];
    snprintf(name, sizeof name, "ferry-contract-%d-probe", (int)getpid());
    snprintf(command, sizeof command, "ip netns add %s 2>/dev/null && ip netns del %s", name, name);
    if (!ferry_driver_find("netlink"))
        fprintf(stderr, "SKIPPED: this build has no netlink driver\n");
    else if (geteuid() != 0 || system(command) != 0)
        fprintf(stderr, "SKIPPED: the netlink driver needs network namespaces (root)\n");
    else
        return 0;
    return 77;
}

static void netlink_up(struct contract_router *router)
{
    static unsigned count;
    char *ns = router->netns;
    state_dir_up(router);
    snprintf(ns, sizeof router->netns, "ferry-contract-%d-%u", (int)getpid(), count++);
    router->ops = ferry_driver_find("netlink");
    router->config = (struct ferry_driver_config){.type = "netlink", .netns = ns};
    shell("ip netns add %s", ns);
    shell("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", ns);
    shell("ip -n %s link set lo up", ns);
    for (int i = 0; i < 3; i++) {
        const char *dev = ((const char *const[]){"lan0", "up0", "up1"})[i];
        shell("ip -n %s link add %s type veth peer name %s-peer", ns, dev, dev);
        shell("ip netns exec %s sysctl -qw net.ipv6.conf.%s.accept_dad=0", ns, dev);
        shell("ip -n %s link set %s-peer up && ip -n %s link set %s up", ns, dev, ns, dev);
        if (i)
            shell(
                "ip -n %s addr add 10.255.%d.1/24 dev %s && ip -n %s addr add fd00:255:%d::1/64 dev %s nodad",
                ns, i, dev, ns, i, dev);
    }
}

static void netlink_down(struct contract_router *router)
{
    shell("ip netns del %s", router->netns);
    state_dir_down(router);
}

static void netlink_foreign(struct contract_router *router, const char *prefix)
{
    bool v6 = strchr(prefix, ':');
    shell("ip -n %s route add %s via %s dev up0 metric 30 proto static mtu 1400", router->netns, prefix,
          v6 ? "fd00:255:1::2" : "10.255.1.2");
}

static void netlink_foreign_gateway(struct contract_router *router, const char *address)
{
    bool v6 = strchr(address, ':');
    shell("ip -n %s addr add %s dev lan0 %s", router->netns, address,
          v6 ? "nodad metric 77" : "brd + label lan0:svc");
}

/* ---- iproute: the same machine, spoken to by its own ip ---- */

static void iproute_up(struct contract_router *router)
{
    netlink_up(router);
    router->ops = ferry_driver_find("iproute");
    router->config =
        (struct ferry_driver_config){.type = "iproute", .transport = "local", .netns = router->netns};
}

static int may_connect(void)
{
    int r = contract_ssh_available();
    return r ? r : may_make_namespaces();
}

static void iproute_ssh_up(struct contract_router *router)
{
    iproute_up(router);
    contract_ssh_up(router);
}

static void iproute_ssh_down(struct contract_router *router)
{
    contract_ssh_down(router);
    netlink_down(router);
}

/* ---- frr ---- */

static int may_run_frr(void)
{
    int r = may_make_namespaces();
    return r ? r : contract_frr_available();
}

static void frr_up(struct contract_router *router)
{
    netlink_up(router);
    router->ops = ferry_driver_find("frr");
    router->config =
        (struct ferry_driver_config){.type = "frr", .transport = "local", .netns = router->netns};
    contract_frr_up(router);
}

static void frr_down(struct contract_router *router)
{
    contract_frr_down(router);
    netlink_down(router);
}

static void frr_foreign(struct contract_router *router, const char *prefix)
{
    char line[200];
    bool v6 = strchr(prefix, ':');
    snprintf(line, sizeof line, "%s route %s %s up0 tag 77 30", v6 ? "ipv6" : "ip", prefix,
             v6 ? "fd00:255:1::2" : "10.255.1.2");
    contract_frr_vtysh(router, line);
}

static void frr_foreign_gateway(struct contract_router *router, const char *address)
{
    char line[200];
    if (strchr(address, ':')) { /* in the kernel, where FRR has no words for more than the address */
        netlink_foreign_gateway(router, address);
        return;
    }
    snprintf(line, sizeof line, "interface lan0\nip address %s label lan0:svc", address);
    contract_frr_vtysh(router, line);
}

/* ---- fault, without any rule: must not be felt. ---- */

static struct ferry_fault_script no_faults = {.find = ferry_driver_find};

static void fault_sim_up(struct contract_router *router)
{
    sim_up(router);
    ferry_fault_install(&no_faults);
    router->ops = ferry_fault_find("sim");
}

static void fault_netlink_up(struct contract_router *router)
{
    netlink_up(router);
    ferry_fault_install(&no_faults);
    router->ops = ferry_fault_find("netlink");
}

static void fault_iproute_up(struct contract_router *router)
{
    iproute_up(router);
    ferry_fault_install(&no_faults);
    router->ops = ferry_fault_find("iproute");
}

const struct contract_driver contract_sim = {
    "sim", always, sim_up, sim_down, sim_foreign, sim_foreign_gateway, 0, 0, false};
const struct contract_driver contract_fault_sim = {
    "fault-sim", always, fault_sim_up, sim_down, sim_foreign, sim_foreign_gateway, 0, 0, false};
const struct contract_driver contract_netlink = {
    "netlink", may_make_namespaces, netlink_up, netlink_down, netlink_foreign, netlink_foreign_gateway, 0, 0,
    false};
const struct contract_driver contract_fault_netlink = {"fault-netlink",
                                                       may_make_namespaces,
                                                       fault_netlink_up,
                                                       netlink_down,
                                                       netlink_foreign,
                                                       netlink_foreign_gateway,
                                                       0,
                                                       0,
                                                       false};
const struct contract_driver contract_iproute = {
    "iproute", may_make_namespaces, iproute_up, netlink_down, netlink_foreign, netlink_foreign_gateway, 0, 0,
    false};
const struct contract_driver contract_fault_iproute = {"fault-iproute",
                                                       may_make_namespaces,
                                                       fault_iproute_up,
                                                       netlink_down,
                                                       netlink_foreign,
                                                       netlink_foreign_gateway,
                                                       0,
                                                       0,
                                                       false};
const struct contract_driver contract_iproute_ssh = {"iproute-ssh",
                                                     may_connect,
                                                     iproute_ssh_up,
                                                     iproute_ssh_down,
                                                     netlink_foreign,
                                                     netlink_foreign_gateway,
                                                     0,
                                                     0,
                                                     false};
const struct contract_driver contract_frr = {
    .name = "frr",
    .available = may_run_frr,
    .up = frr_up,
    .down = frr_down,
    .foreign = frr_foreign,
    .foreign_gateway = frr_foreign_gateway,
    .cannot = CANNOT_PROHIBIT | CANNOT_WEIGH | CANNOT_ATTACH_IN_TABLES | CANNOT_TAKE_FOREIGN6,
    .drop_metric = FERRY_DISTANCE_DROP,
    .connected_is_best_always = true,
};
