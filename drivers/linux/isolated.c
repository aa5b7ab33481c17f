/* Whether an isolated gateway (ferry/device.h) would be alone where it is put: asked before anything is written, rule
 * test-isolated.
 *
 *  1. Its table holds nothing, and no rule but its own leads there.
 *  2. No rule is looked at before its own, the kernel's first one (the table local) excepted: such a rule
 *     could lead packets of the test out, or others in.
 *  3. Its interface has no address: what has one is somebody's network.
 *
 * What a crash left of its own rules is none of these.  IPv4 alone: an IPv6 address comes into the table local by a work
 * queue of the kernel's, some time after it was added (README.md), and cannot be hidden in the same send (gateway.c, G6).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ferry/device.h>

#include <linux/fib_rules.h>
#include <stdio.h>

enum { TRIES = 10 /* of an interrupted look */ };

struct look {
    struct ferry_linux *d;
    const struct ferry_op *op;
    char why[200]; /* "": nothing speaks against it */
};

static uint32_t number(struct nlattr *const *tb, int type)
{
    return tb[type] ? nla_get_u32(tb[type]) : 0;
}

static bool own(const struct look *l, const struct fib_rule_hdr *rule, struct nlattr *const *tb)
{
    uint8_t protocol = tb[FRA_PROTOCOL] ? nla_get_u8(tb[FRA_PROTOCOL]) : 0;
    const char *iif = tb[FRA_IIFNAME] ? nla_data(tb[FRA_IIFNAME]) : "";
    if (protocol != FERRY_PROTOCOL || rule->dst_len)
        return false;
    if (rule->src_len)
        return !strcmp(iif, "lo") && rule->src_len == 32 && tb[FRA_SRC] &&
               !memcmp(nla_data(tb[FRA_SRC]), l->op->gateway->address.addr.bytes, 4);
    return !strcmp(iif, l->op->interface);
}

static void hear_rule(void *ctx, struct nlmsghdr *h)
{
    struct look *l = ctx;
    const struct fib_rule_hdr *rule = NLMSG_DATA(h);
    struct nlattr *tb[FRA_MAX + 1] = {0};
    if (h->nlmsg_type != RTM_NEWRULE || nlmsg_parse(h, sizeof *rule, tb, FRA_MAX, NULL) < 0)
        return;
    uint32_t priority = number(tb, FRA_PRIORITY), table = tb[FRA_TABLE] ? number(tb, FRA_TABLE) : rule->table;
    bool first = !priority && rule->action == FR_ACT_TO_TBL && table == RT_TABLE_LOCAL;
    if (first || own(l, rule, tb))
        return;
    if (priority <= FERRY_RULE_DROP)
        snprintf(l->why, sizeof l->why, "a rule of priority %u is looked at before those of the test",
                 priority);
    else if (rule->action == FR_ACT_TO_TBL && table == l->op->table)
        snprintf(l->why, sizeof l->why,
                 "a rule (priority %u) leads to table %u already: a test has one of its own", priority,
                 table);
}

static void hear_route(void *ctx, struct nlmsghdr *h)
{
    struct look *l = ctx;
    const struct rtmsg *rtm = NLMSG_DATA(h);
    struct nlattr *tb[RTA_MAX + 1] = {0};
    if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof *rtm, tb, RTA_MAX, NULL) < 0)
        return;
    if ((tb[RTA_TABLE] ? number(tb, RTA_TABLE) : rtm->rtm_table) == l->op->table)
        snprintf(l->why, sizeof l->why, "table %u holds routes already: a test has one of its own",
                 l->op->table);
}

static void hear_address(void *ctx, struct nlmsghdr *h)
{
    struct look *l = ctx;
    struct ferry_linux_address a;
    char text[FERRY_ADDR_STRLEN];
    if (ferry_linux_address_parse(l->d, h, &a) && a.family == AF_INET &&
        a.ifindex == ferry_linux_ifindex(l->d, l->op->interface))
        snprintf(l->why, sizeof l->why, "%s has an address already, %s: a test has its interface to itself",
                 l->op->interface, ferry_addr_text(&a.local, text));
}

static int ask(struct look *l, struct nlmsghdr *request, void (*each)(void *ctx, struct nlmsghdr *answer),
               struct ferry_err *err)
{
    struct ferry_linux_dump dump = {.request = request, .each = each, .ctx = l};
    int result = l->why[0] ? 0 : 1;
    for (int i = 0; i < TRIES && result == 1; i++)
        result = ferry_linux_dump(l->d, &dump, err);
    return result == 1
               ? ferry_error(err, FERRY_EIO, "the router's rules and tables change too fast to be read")
               : result;
}

int ferry_linux_test_possible(struct ferry_linux *d, const struct ferry_op *op, struct ferry_err *err)
{
    struct look l = {.d = d, .op = op};
    struct {
        struct nlmsghdr h;
        struct fib_rule_hdr rule;
    } rules = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof rules.rule), .nlmsg_type = RTM_GETRULE},
               .rule = {.family = AF_INET}};
    struct {
        struct nlmsghdr h;
        struct rtmsg rtm;
    } routes = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof routes.rtm), .nlmsg_type = RTM_GETROUTE},
                .rtm = {.rtm_family = AF_INET}};
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg ifa;
    } addresses = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof addresses.ifa), .nlmsg_type = RTM_GETADDR},
                   .ifa = {.ifa_family = AF_INET}};
    if (op->prefix.addr.family != AF_INET) {
        ferry_error(err, FERRY_EIO, "an IPv6 gateway cannot be hidden from the router's other packets");
        return 1;
    }
    int result = ask(&l, &rules.h, hear_rule, err); /* 1, 2 */
    if (result == 0)
        result = ask(&l, &routes.h, hear_route, err); /* 1 */
    if (result == 0)
        result = ask(&l, &addresses.h, hear_address, err); /* 3 */
    if (result == 0 && l.why[0]) {
        ferry_error(err, FERRY_EIO, "%s", l.why);
        return 1;
    }
    return result;
}
