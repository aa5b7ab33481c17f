/* Interfaces and policy rules that a gateway brings along (ferry/device.h): made before it is attached, taken away after it
 * was detached, in the same call of `apply`.
 *
 *  D1. What is there already is used as it is, and stays.  What Ferry makes is in group FERRY_DEVICE_GROUP from its first
 *      moment on (rules: protocol FERRY_PROTOCOL); nothing else is ever removed.
 *  D2. An interface goes only once it has no address but link-local ones: several gateways may share it, in whatever order
 *      they come and go.
 *  D3. A gateway is attached whether or not its interface was there: what could not be made is refused in its turn
 *      (gateway.c), and what was made for an attachment that failed is taken away again.  Rules are not read back: where one of a
 *      batch could not be made, no gateway of that batch that brings some is attached.
 *  D4. The rules of an isolated gateway are there before its interface is, and go after it: at no moment do packets of a test
 *      meet the router's own tables.
 *  D5. An isolated gateway is DONE away with when its rules are: no key of the router shows them, so that only this answer can.
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

#include <ferry/device.h>

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <stdio.h>

struct request {
    struct nlmsghdr h;
    union {
        struct ifinfomsg ifi;
        struct fib_rule_hdr rule;
        uint8_t room[512];
    };
};

static struct nlattr *put(struct request *q, unsigned type, const void *v, size_t n)
{
    struct nlattr *a = (struct nlattr *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));
    a->nla_type = (uint16_t)type;
    a->nla_len = (uint16_t)(NLA_HDRLEN + n);
    if (n)
        memcpy(nla_data(a), v, n);
    q->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->h.nlmsg_len) + NLA_HDRLEN + NLA_ALIGN(n));
    return a;
}

static void end(struct request *q, struct nlattr *nest)
{
    nest->nla_len = (uint16_t)((char *)q + q->h.nlmsg_len - (char *)nest);
}

static void hear_nothing(void *ctx, struct nlmsghdr *h)
{
    (void)ctx;
    (void)h;
}

/* Positive: the kernel's number, its words in `err`. */
static int tell(struct ferry_linux *d, struct request *q, struct ferry_err *err)
{
    return ferry_linux_ask(d, &q->h, hear_nothing, NULL, err);
}

/* ---- What is there. ---- */

struct link_facts {
    uint32_t group, master;
};

static void hear_link(void *ctx, struct nlmsghdr *h)
{
    struct link_facts *facts = ctx;
    struct nlattr *tb[IFLA_MAX + 1] = {0};
    if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(struct ifinfomsg), tb, IFLA_MAX, NULL) < 0)
        return;
    facts->group = tb[IFLA_GROUP] ? nla_get_u32(tb[IFLA_GROUP]) : 0;
    facts->master = tb[IFLA_MASTER] ? nla_get_u32(tb[IFLA_MASTER]) : 0;
}

static int look_at(struct ferry_linux *d, const char *name, struct link_facts *ret, struct ferry_err *err)
{
    struct request q = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof q.ifi), .nlmsg_type = RTM_GETLINK}};
    *ret = (struct link_facts){0};
    if (d->means)
        return d->means->link(d, name, &ret->group, &ret->master, err);
    q.ifi.ifi_index = (int)ferry_linux_ifindex(d, name);
    return ferry_linux_ask(d, &q.h, hear_link, ret, err);
}

struct count {
    struct ferry_linux *d;
    unsigned ifindex;
    const struct ferry_addr *only; /* this one; NULL: all but link-local ones */
    size_t n;
};

static void hear_address(void *ctx, struct nlmsghdr *h)
{
    struct count *c = ctx;
    struct ferry_linux_address a;
    if (!ferry_linux_address_parse(c->d, h, &a) || a.ifindex != c->ifindex)
        return;
    if (c->only)
        c->n += ferry_addr_equal(&a.local, c->only);
    else
        c->n += a.family == AF_INET || a.local.bytes[0] != 0xfe || (a.local.bytes[1] & 0xc0) != 0x80;
}

/* D2; `only` as in struct count. */
static int addresses_left(struct ferry_linux *d, const char *name, const struct ferry_addr *only, size_t *ret,
                          struct ferry_err *err)
{
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg ifa;
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.ifa), .nlmsg_type = RTM_GETADDR}};
    struct count c = {.d = d, .ifindex = ferry_linux_ifindex(d, name), .only = only};
    struct ferry_linux_dump dump = {.request = &request.h, .each = hear_address, .ctx = &c};
    int result = 1;
    for (int i = 0; i < 10 && result == 1; i++) {
        c.n = 0;
        result = ferry_linux_dump(d, &dump, err);
    }
    *ret = c.n;
    return result == 1 ? ferry_error(err, FERRY_EIO, "the router's addresses change too fast to be read")
                       : result;
}

bool ferry_linux_device_ours(struct ferry_linux *d, const char *name)
{
    struct link_facts facts;
    struct ferry_err ignored;
    return !ferry_linux_ifindex(d, name) ||
           (look_at(d, name, &facts, &ignored) == 0 && facts.group == FERRY_DEVICE_GROUP);
}

/* ---- Making. ---- */

static int create(struct ferry_linux *d, const char *name, const struct ferry_device *device,
                  struct ferry_err *err)
{
    static const char *const kinds[] = {[FERRY_DEVICE_VLAN] = "vlan", [FERRY_DEVICE_BRIDGE] = "bridge"};
    struct request q = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof q.ifi),
                              .nlmsg_type = RTM_NEWLINK,
                              .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL}};
    uint32_t group = FERRY_DEVICE_GROUP,
             below = device->n_below ? ferry_linux_ifindex(d, device->below[0]) : 0;
    q.ifi.ifi_flags = q.ifi.ifi_change = IFF_UP;
    put(&q, IFLA_IFNAME, name, strlen(name) + 1);
    put(&q, IFLA_GROUP, &group, sizeof group);
    if (device->kind == FERRY_DEVICE_VLAN)
        put(&q, IFLA_LINK, &below, sizeof below);
    struct nlattr *info = put(&q, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
    put(&q, IFLA_INFO_KIND, kinds[device->kind], strlen(kinds[device->kind]));
    if (device->kind == FERRY_DEVICE_VLAN) {
        struct nlattr *data = put(&q, IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
        put(&q, IFLA_VLAN_ID, &device->vlan, sizeof device->vlan);
        end(&q, data);
    }
    end(&q, info);
    return tell(d, &q, err);
}

static int enslave(struct ferry_linux *d, const char *port, unsigned bridge, struct ferry_err *err)
{
    struct request q = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof q.ifi), .nlmsg_type = RTM_NEWLINK}};
    q.ifi.ifi_index = (int)ferry_linux_ifindex(d, port);
    put(&q, IFLA_MASTER, &bridge, sizeof bridge);
    return tell(d, &q, err);
}

static int delete (struct ferry_linux *d, const char *name, struct ferry_err *err)
{
    struct request q = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof q.ifi), .nlmsg_type = RTM_DELLINK}};
    char line[64];
    if (d->means) {
        ferry_device_lines(name, NULL, false, line, sizeof line);
        return d->means->run(d, line, err);
    }
    q.ifi.ifi_index = (int)ferry_linux_ifindex(d, name);
    return tell(d, &q, err);
}

/* A half of it must not stay, and nobody else's go (D1). */
static void take_back(struct ferry_linux *d, const char *name)
{
    struct link_facts facts;
    struct ferry_err ignored;
    if (d->means && d->means->refresh(d, &ignored) < 0)
        return;
    if (ferry_linux_ifindex(d, name) && look_at(d, name, &facts, &ignored) == 0 &&
        facts.group == FERRY_DEVICE_GROUP)
        (void)!delete (d, name, &ignored);
}

/* Positive: it cannot be made, and why. */
static int make(struct ferry_linux *d, const char *name, const struct ferry_device *device,
                struct ferry_err *err)
{
    char lines[1024];
    int result = ferry_linux_device_possible(d, name, device, err);
    if (result)
        return result;
    if (d->means) {
        ferry_device_lines(name, device, true, lines, sizeof lines);
        result = d->means->run(d, lines, err);
    } else {
        result = create(d, name, device, err);
        for (size_t i = 0; !result && device->kind == FERRY_DEVICE_BRIDGE && i < device->n_below; i++)
            result = enslave(d, device->below[i], ferry_linux_ifindex(d, name), err);
    }
    if (result > 0)
        take_back(d, name);
    return result;
}

int ferry_linux_device_possible(struct ferry_linux *d, const char *name, const struct ferry_device *device,
                                struct ferry_err *err)
{
    struct link_facts facts;
    for (size_t i = 0; i < device->n_below; i++) {
        const char *below = device->below[i];
        int flags = ferry_linux_ifflags(d, below);
        if (flags < 0 || !(flags & IFF_UP)) {
            ferry_error(err, FERRY_EIO, "%s cannot be made: %s %s", name,
                        flags < 0 ? "there is no interface" : "this interface is down:", below);
            return ENODEV;
        }
        int result = device->kind == FERRY_DEVICE_BRIDGE ? look_at(d, below, &facts, err) : 0;
        if (result)
            return result;
        if (device->kind == FERRY_DEVICE_BRIDGE && facts.master) {
            ferry_error(err, FERRY_EIO, "%s cannot be made: %s is in another bridge", name, below);
            return EBUSY;
        }
        size_t addresses = 0;
        result = device->kind == FERRY_DEVICE_BRIDGE ? addresses_left(d, below, NULL, &addresses, err) : 0;
        if (result < 0)
            return result;
        if (addresses) { /* packets that come to a port go to the bridge: they would be cut off */
            ferry_error(err, FERRY_EIO, "%s cannot be made: %s has addresses of its own", name, below);
            return EBUSY;
        }
    }
    return 0;
}

/* ---- Rules. ---- */

struct rule {
    uint32_t priority;
    bool drops;                           /* else it leads to the op's table */
    const char *from_interface;           /* or NULL */
    const struct ferry_prefix *from, *to; /* or NULL */
};

static int tell_rule(struct ferry_linux *d, const struct ferry_op *op, const struct rule *rule, bool add,
                     struct ferry_err *err)
{
    uint32_t table = op->table;
    uint8_t protocol = FERRY_PROTOCOL, family = op->prefix.addr.family;
    size_t bytes = family == AF_INET ? 4 : 16;
    struct request q = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof q.rule),
                              .nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE,
                              .nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0}};
    q.rule.family = family;
    q.rule.action = rule->drops ? FR_ACT_BLACKHOLE : FR_ACT_TO_TBL;
    q.rule.table = table < 256 && !rule->drops ? (uint8_t)table : RT_TABLE_UNSPEC;
    if (!rule->drops)
        put(&q, FRA_TABLE, &table, sizeof table);
    put(&q, FRA_PRIORITY, &rule->priority, sizeof rule->priority);
    put(&q, FRA_PROTOCOL, &protocol, sizeof protocol);
    if (rule->to) {
        q.rule.dst_len = rule->to->len;
        put(&q, FRA_DST, rule->to->addr.bytes, bytes);
    }
    if (rule->from) {
        q.rule.src_len = rule->from->len;
        put(&q, FRA_SRC, rule->from->addr.bytes, bytes);
    }
    if (rule->from_interface)
        put(&q, FRA_IIFNAME, rule->from_interface, strlen(rule->from_interface) + 1);
    int result = tell(d, &q, err);
    return result == (add ? EEXIST : ENOENT) ? 0 : result;
}

/* Positive: refused. */
static int rules(struct ferry_linux *d, const struct ferry_op *op, bool add, struct ferry_err *err)
{
    char lines[512];
    struct rule to = {.priority = FERRY_RULE_PRIORITY, .to = &op->prefix},
                from = {
                    .priority = FERRY_RULE_PRIORITY, .from_interface = op->interface, .from = &op->prefix};
    if (d->means && op->prefix.addr.family == AF_INET6) {
        ferry_error(err, FERRY_EIO, "a batch of ip has no words for IPv6 rules");
        return EOPNOTSUPP;
    }
    if (d->means) {
        ferry_device_rules(&op->prefix, op->interface, op->table, add, lines, sizeof lines);
        return d->means->run(d, lines, err);
    }
    int result = tell_rule(d, op, &to, add, err);
    return result ? result : tell_rule(d, op, &from, add, err);
}

/* As ferry_device_isolation has it.  What drops comes first and goes last (D4). */
static int isolation(struct ferry_linux *d, const struct ferry_op *op, bool add, struct ferry_err *err)
{
    const struct ferry_prefix own = {.addr = op->gateway->address.addr, .len = ferry_addr_bits(AF_INET)};
    const struct rule all[] = {
        {.priority = FERRY_RULE_DROP, .drops = true, .from_interface = op->interface},
        {.priority = FERRY_RULE_ISOLATED, .from_interface = op->interface},
        {.priority = FERRY_RULE_ISOLATED, .from_interface = "lo", .from = &own},
    };
    char lines[512];
    int result = 0;
    if (op->prefix.addr.family != AF_INET) {
        ferry_error(err, FERRY_EIO, "an IPv6 gateway cannot be hidden from the router's other packets");
        return EOPNOTSUPP;
    }
    if (d->means) {
        ferry_device_isolation(&own.addr, op->interface, op->table, add, lines, sizeof lines);
        return d->means->run(d, lines, err);
    }
    for (size_t i = 0; !result && i < FERRY_COUNT(all); i++)
        result = tell_rule(d, op, &all[add ? i : FERRY_COUNT(all) - 1 - i], add, err);
    return result;
}

/* ---- The two moments. ---- */

static bool brings(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_GATEWAY && op->gateway && op->interface && !op->gateway->via.family &&
           (op->gateway->make[0] || op->gateway->rules || op->gateway->isolated);
}

int ferry_linux_devices_make(struct ferry_linux *d, const struct ferry_op *ops, size_t n,
                             struct ferry_err *err)
{
    bool asked = false;
    d->unmade[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const struct ferry_op *op = &ops[i];
        struct ferry_device device;
        int result = 0;
        if (!brings(op) || op->before || !op->after)
            continue;
        if (d->means && !asked && (result = d->means->refresh(d, err)) < 0)
            return result;
        asked = true;
        if (op->gateway->isolated)
            result = isolation(d, op, true, err); /* D4 */
        if (result == 0 && ferry_device_parse(op->gateway->make, &device) &&
            !ferry_linux_ifindex(d, op->interface)) { /* D1 */
            result = make(d, op->interface, &device, err);
            if (result == 0 && d->means)
                result = d->means->refresh(d, err);
        }
        if (result == 0 && op->gateway->rules && ferry_linux_ifindex(d, op->interface))
            result = rules(d, op, true, err);
        if (result < 0)
            return result;
        if (result > 0)
            snprintf(d->unmade, sizeof d->unmade, "%.240s", err->text); /* D3 */
    }
    return 0;
}

static int take_interface_away(struct ferry_linux *d, const struct ferry_op *op, struct ferry_err *err)
{
    struct link_facts facts;
    size_t left = 0;
    if (!op->gateway->make[0] || !ferry_linux_ifindex(d, op->interface))
        return 0;
    int result = look_at(d, op->interface, &facts, err);
    if (result || facts.group != FERRY_DEVICE_GROUP) /* D1 */
        return result;
    result = addresses_left(d, op->interface, NULL, &left, err);
    return result || left ? result : delete (d, op->interface, err);
}

static int take_away(struct ferry_linux *d, const struct ferry_op *op, struct ferry_err *err)
{
    int result = op->gateway->rules ? rules(d, op, false, err) : 0;
    if (result == 0)
        result = take_interface_away(d, op, err);
    return result || !op->gateway->isolated ? result : isolation(d, op, false, err); /* D4 */
}

/* Whether the rules of an isolated gateway, whose op was STALE, would stay without it: it found something else there when it
 * came; or somebody took its address, or its interface, away before it went. */
static int abandoned(struct ferry_linux *d, const struct ferry_op *op, bool *ret, struct ferry_err *err)
{
    size_t there = 0;
    const struct ferry_addr *only = op->before ? NULL : &op->gateway->address.addr;
    int result = addresses_left(d, op->interface, only, &there, err);
    *ret = result == 0 && !there;
    return result;
}

/* D5. */
static void left_behind(struct ferry_linux *d, struct ferry_op *op, const struct ferry_err *err)
{
    ferry_log(d->env, FERRY_LOG_WARNING,
              "warning: %s: what was made for the gateway on %s is left behind: %s", d->router, op->interface,
              err->text);
    if (!op->gateway->isolated || op->after)
        return;
    op->outcome = FERRY_UNKNOWN;
    ferry_op_why(op, "%s: what isolated the gateway on %s is left behind: %s", d->router, op->interface,
                 err->text);
}

void ferry_linux_devices_unmake(struct ferry_linux *d, struct ferry_op *ops, size_t n)
{
    bool asked = false;
    for (size_t i = 0; i < n; i++) {
        struct ferry_op *op = &ops[i];
        struct ferry_err err;
        bool detached = op->before && !op->after && op->outcome == FERRY_DONE;
        bool failed = !op->before && op->after && op->outcome == FERRY_REFUSED;
        bool stale = !op->before != !op->after && op->outcome == FERRY_STALE;
        if (!brings(op) || (!detached && !failed && !(stale && op->gateway->isolated)))
            continue;
        int result = d->means && !asked ? d->means->refresh(d, &err) : 0;
        bool goes = true;
        asked |= result == 0;
        if (result == 0 && stale)
            result = abandoned(d, op, &goes, &err);
        if (result == 0 && goes)
            result = take_away(d, op, &err);
        if (result)
            left_behind(d, op, &err);
    }
}
