/* The slots: what each will want to know is asked for in one exchange; the rest is the netlink driver's.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

enum { EXACT_MAX = 4 /* prefixes; each costs an ip of its own on the router, 1 to 2 ms */ };

int ferry_iproute_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                       struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    int result = ferry_linux_read(driver, query, ret, err);
    ferry_iproute_forget(d);
    return result;
}

/* Whether the look may leave out what does not stand under the ops' own prefixes. */
static bool few_routes(const struct ferry_op *ops, size_t n)
{
    size_t prefixes = n > 0;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].kind != FERRY_KIND_ROUTE)
            return false;
        prefixes += i && (!ferry_prefix_equal(&ops[i].prefix, &ops[i - 1].prefix) ||
                          ops[i].table != ops[i - 1].table);
        if (prefixes > EXACT_MAX)
            return false;
    }
    return true;
}

int ferry_iproute_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    d->exact = ops;
    d->n_exact = few_routes(ops, n) ? n : 0;
    int result = ferry_linux_apply(driver, ops, n, err);
    d->n_exact = 0;
    ferry_iproute_forget(d);
    return result;
}

static bool link_local(const struct ferry_addr *a)
{
    return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* What linux/check.c is going to ask about one op. */
static void expect(struct ferry_iproute_list *list, const struct ferry_op *op)
{
    char command[200];
    int family = op->prefix.addr.family == AF_INET6 ? 6 : 4;
    ferry_iproute_list_add(list, "-%d netconf show", family);
    if (op->kind == FERRY_KIND_GATEWAY && op->gateway && op->gateway->isolated && op->after) {
        ferry_iproute_list_add(list, "-%d rule save", family);
        ferry_iproute_list_add(list, "-%d route save table %u", family, op->table);
    }
    for (uint16_t i = 0; op->kind == FERRY_KIND_ROUTE && op->after && i < op->after->n_nexthops; i++) {
        const struct ferry_nexthop *leg = &op->after->nexthops[i];
        if (!leg->via.family || leg->onlink || link_local(&leg->via))
            continue;
        ferry_iproute_say_lookup(command, sizeof command, &leg->via, leg->dev);
        ferry_iproute_list_add(list, "%s", command);
    }
    if (op->kind == FERRY_KIND_GATEWAY && op->gateway && !strncmp(op->gateway->make, "vlan ", 5) && op->after)
        ferry_iproute_list_add(list, FERRY_IPROUTE_VLANS);
    if (op->kind == FERRY_KIND_GATEWAY && op->gateway && op->gateway->via.family && op->after) {
        ferry_iproute_say_lookup(command, sizeof command, &op->gateway->via,
                                 op->interface ? op->interface : "");
        ferry_iproute_list_add(list, "%s", command);
    }
}

int ferry_iproute_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    FERRY_CLEANUP(ferry_iproute_list_clear) struct ferry_iproute_list list = {0};
    ferry_iproute_list_add(&list, "link show");
    ferry_iproute_list_add(&list, "addr save");
    for (size_t i = 0; i < n; i++)
        expect(&list, &ops[i]);
    ferry_iproute_forget(d);
    int result = ferry_iproute_fetch(d, &list, err);
    if (result >= 0)
        result = ferry_iproute_links(d, err);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", d->base.router);
    result = ferry_linux_check(driver, ops, n, err);
    ferry_iproute_forget(d);
    return result;
}

int ferry_iproute_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                         size_t size)
{
    struct ferry_driver_config there = *config;
    if (!config->transport || strcmp(config->transport, "local"))
        there.netns = NULL; /* it is where the connection starts, not where the commands run */
    return ferry_linux_native(&there, op, buf, size);
}

int ferry_iproute_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                          const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                          unsigned *ret_left_s, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    return ferry_linux_undo(&d->base, d->remote, verb, deadman, ret, ret_left_s, err);
}

/* The session was started without the claim, or with it: another one is, when it is wanted. */
int ferry_iproute_claim(struct ferry_driver *driver, bool wanted, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    if (ferry_remote_claimed(d->remote) == wanted)
        return 0;
    ferry_iproute_hang_up(d);
    int result = ferry_remote_claim(d->remote, d->state_dir, wanted, err);
    return result < 0 ? ferry_error_prefix(err, result, "%s", d->base.router) : 0;
}
