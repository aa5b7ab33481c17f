/* The netlink driver's questions in the words of ip, and ip's saved messages handed back to it.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "base/mem.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/lwtunnel.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <stdio.h>

static const struct ferry_iproute_link *find_link(const struct ferry_linux *base, const char *name,
                                                  unsigned index)
{
    const struct ferry_iproute *d = (const struct ferry_iproute *)base;
    for (size_t i = 0; i < d->n_links; i++)
        if (name ? !strcmp(d->links[i].name, name) : d->links[i].index == index)
            return &d->links[i];
    return NULL;
}

static unsigned ifindex(const struct ferry_linux *base, const char *name)
{
    const struct ferry_iproute_link *l = find_link(base, name, 0);
    return l ? l->index : 0;
}

static void ifname(const struct ferry_linux *base, unsigned index, char ret[static FERRY_DEV_LEN])
{
    const struct ferry_iproute_link *l = find_link(base, NULL, index);
    memset(ret, 0, FERRY_DEV_LEN);
    if (l)
        memcpy(ret, l->name, FERRY_DEV_LEN);
}

static int ifflags(const struct ferry_linux *base, const char *name)
{
    const struct ferry_iproute_link *l = find_link(base, name, 0);
    return l ? l->flags : -1;
}

/* ---- Looks and dumps. ---- */

/* Of a few route ops only what stands under their prefixes; of many, or where others' routes matter, all. */
static void want_routes(const struct ferry_iproute *d, const struct ferry_linux_survey *s, int f,
                        struct ferry_iproute_list *list)
{
    char prefix[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < d->n_exact; i++)
        if ((d->exact[i].prefix.addr.family == AF_INET6) == f)
            ferry_iproute_list_add(list, "-%d route save table %u exact %s", f ? 6 : 4, d->exact[i].table,
                                   ferry_prefix_text(&d->exact[i].prefix, prefix));
    if (d->n_exact)
        return;
    if (s->table[f])
        ferry_iproute_list_add(list, "-%d route save table %u", f ? 6 : 4, s->table[f]);
    else
        ferry_iproute_list_add(list, "-%d route save table all", f ? 6 : 4);
}

int ferry_iproute_look(struct ferry_linux *base, const struct ferry_linux_survey *s, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    FERRY_CLEANUP(ferry_iproute_list_clear) struct ferry_iproute_list list = {0};
    ferry_iproute_forget(d);
    if (!s->wanted[0] && !s->wanted[1])
        return 0;
    ferry_iproute_list_add(&list, "link show");
    for (size_t i = 0; i < s->n_attachments; i++)
        if (!s->attachments[i].gateway->via.family)
            ferry_iproute_list_add(&list, "addr save");
    for (int f = 0; f < 2; f++)
        if (s->wanted[f])
            want_routes(d, s, f, &list);
    int result = ferry_iproute_fetch(d, &list, err);
    return result < 0 ? result : ferry_iproute_links(d, err);
}

/* A kernel's messages have the lengths that its types say; a router's may have any. */
static bool sound_hops(struct nlattr *multipath, const struct nla_policy *policy)
{
    struct rtnexthop *hop = nla_data(multipath);
    struct nlattr *tb[RTA_MAX + 1];
    int left = nla_len(multipath);
    for (; left >= (int)sizeof *hop && RTNH_OK(hop, left); hop = RTNH_NEXT(hop)) {
        int n = (int)(hop->rtnh_len - sizeof *hop);
        if (n > 0 &&
            nla_parse(tb, RTA_MAX, (struct nlattr *)RTNH_DATA(hop), n, (struct nla_policy *)policy) < 0)
            return false;
        left -= RTNH_ALIGN(hop->rtnh_len);
    }
    return left <= 0;
}

static bool sound_route(struct nlmsghdr *h)
{
    const struct rtmsg *rtm = NLMSG_DATA(h);
    uint16_t bytes = rtm->rtm_family == AF_INET ? 4 : 16;
    struct nla_policy policy[RTA_MAX + 1] = {
        [RTA_DST] = {.minlen = bytes},     [RTA_SRC] = {.minlen = bytes},
        [RTA_GATEWAY] = {.minlen = bytes}, [RTA_PREFSRC] = {.minlen = bytes},
        [RTA_VIA] = {.minlen = 6},         [RTA_OIF] = {.minlen = 4},
        [RTA_PRIORITY] = {.minlen = 4},    [RTA_TABLE] = {.minlen = 4},
        [RTA_FLOW] = {.minlen = 4},        [RTA_NH_ID] = {.minlen = 4},
        [RTA_PREF] = {.minlen = 1},        [RTA_TTL_PROPAGATE] = {.minlen = 1},
        [RTA_ENCAP_TYPE] = {.minlen = 2},  [RTA_CACHEINFO] = {.minlen = sizeof(struct rta_cacheinfo)}};
    struct nla_policy metrics[RTAX_MAX + 1],
        encap[LWTUNNEL_IP_MAX + 1] = {[LWTUNNEL_IP_ID] = {.minlen = 8},  [LWTUNNEL_IP_DST] = {.minlen = 4},
                                      [LWTUNNEL_IP_SRC] = {.minlen = 4}, [LWTUNNEL_IP_TTL] = {.minlen = 1},
                                      [LWTUNNEL_IP_TOS] = {.minlen = 1}, [LWTUNNEL_IP_FLAGS] = {.minlen = 2}};
    struct nlattr *tb[RTA_MAX + 1], *inner[LWTUNNEL_IP_MAX + RTAX_MAX + 2];
    for (int i = 0; i <= RTAX_MAX; i++)
        metrics[i] = (struct nla_policy){.minlen = i ? 4 : 0};
    metrics[RTAX_CC_ALGO] = (struct nla_policy){.type = NLA_NUL_STRING};
    if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
        return true; /* nobody reads it */
    return rtm->rtm_dst_len <= 8 * bytes && nlmsg_parse(h, sizeof *rtm, tb, RTA_MAX, policy) >= 0 &&
           (!tb[RTA_MULTIPATH] || sound_hops(tb[RTA_MULTIPATH], policy)) &&
           (!tb[RTA_METRICS] || nla_parse_nested(inner, RTAX_MAX, tb[RTA_METRICS], metrics) >= 0) &&
           (!tb[RTA_ENCAP] || !tb[RTA_ENCAP_TYPE] || nla_get_u16(tb[RTA_ENCAP_TYPE]) != LWTUNNEL_ENCAP_IP ||
            nla_parse_nested(inner, LWTUNNEL_IP_MAX, tb[RTA_ENCAP], encap) >= 0);
}

static bool sound_address(struct nlmsghdr *h)
{
    const struct ifaddrmsg *ifa = NLMSG_DATA(h);
    uint16_t bytes = ifa->ifa_family == AF_INET ? 4 : 16;
    struct nla_policy policy[IFA_MAX + 1] = {
        [IFA_ADDRESS] = {.minlen = bytes}, [IFA_LOCAL] = {.minlen = bytes},
        [IFA_FLAGS] = {.minlen = 4},       [IFA_RT_PRIORITY] = {.minlen = 4},
        [IFA_PROTO] = {.minlen = 1},       [IFA_CACHEINFO] = {.minlen = sizeof(struct ifa_cacheinfo)}};
    struct nlattr *tb[IFA_MAX + 1];
    return ifa->ifa_prefixlen <= 8 * bytes && nlmsg_parse(h, sizeof *ifa, tb, IFA_MAX, policy) >= 0;
}

static bool sound_rule(struct nlmsghdr *h)
{
    const struct fib_rule_hdr *rule = NLMSG_DATA(h);
    uint16_t bytes = rule->family == AF_INET ? 4 : 16;
    struct nla_policy policy[FRA_MAX + 1] = {[FRA_DST] = {.minlen = bytes},
                                             [FRA_SRC] = {.minlen = bytes},
                                             [FRA_IIFNAME] = {.type = NLA_NUL_STRING},
                                             [FRA_PRIORITY] = {.minlen = 4},
                                             [FRA_TABLE] = {.minlen = 4},
                                             [FRA_PROTOCOL] = {.minlen = 1}};
    struct nlattr *tb[FRA_MAX + 1];
    return nlmsg_parse(h, sizeof *rule, tb, FRA_MAX, policy) >= 0;
}

static bool sound(struct nlmsghdr *h)
{
    if (h->nlmsg_type == RTM_NEWRULE)
        return h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct fib_rule_hdr)) && sound_rule(h);
    if (h->nlmsg_type == RTM_NEWROUTE)
        return h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)) && sound_route(h);
    if (h->nlmsg_type == RTM_NEWADDR)
        return h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)) && sound_address(h);
    return true;
}

/* 1: what was heard is not one state (S1 in linux/survey.c). */
static int hand_over(const struct ferry_iproute_answer *a, const struct ferry_linux_dump *dump,
                     struct ferry_err *err)
{
    char words[200];
    if (strstr(a->err, "interrupted"))
        return 1;
    if (a->status && !strstr(a->err, "table does not exist")) /* then it holds nothing */
        return ferry_error(err, FERRY_EIO, "'ip %s' failed: %s", a->command,
                           ferry_iproute_words(a->err, words, sizeof words));
    if (a->n_out < 4)
        return a->status ? 0 : ferry_error(err, FERRY_EIO, "'ip %s' said nothing", a->command);
    uint32_t magic;
    size_t at = sizeof magic;
    memcpy(&magic, a->out, sizeof magic);
    if (ferry_iproute_saved(__builtin_bswap32(magic)))
        return ferry_error(err, FERRY_ESUPPORT, "the router's byte order is not this machine's");
    if (!ferry_iproute_saved(magic))
        return ferry_error(err, FERRY_EIO, "the answer to 'ip %s' is broken", a->command);
    for (struct nlmsghdr *h; at < a->n_out; at += NLMSG_ALIGN(h->nlmsg_len)) {
        h = (struct nlmsghdr *)(a->out + at);
        if (a->n_out - at < sizeof *h || h->nlmsg_len < sizeof *h || h->nlmsg_len > a->n_out - at ||
            NLMSG_ALIGN(h->nlmsg_len) > a->n_out - at || !sound(h))
            return ferry_error(err, FERRY_EIO, "the answer to 'ip %s' is broken", a->command);
        if (h->nlmsg_type == RTM_NEWROUTE || h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_NEWRULE)
            dump->each(dump->ctx, h);
    }
    return 0;
}

static int dump_one(struct ferry_iproute *d, const char *command, const struct ferry_linux_dump *dump,
                    struct ferry_err *err)
{
    const struct ferry_iproute_answer *a;
    int result = ferry_iproute_ask(d, command, &a, err);
    return result < 0 ? result : hand_over(a, dump, err);
}

static int dump_saved(struct ferry_iproute *d, const struct ferry_linux_dump *dump, struct ferry_err *err)
{
    char family[40];
    int result = 0;
    bool asked = false;
    unsigned type = dump->request->nlmsg_type;
    const struct rtgenmsg *gen = NLMSG_DATA(dump->request);
    if (type == RTM_GETADDR)
        return dump_one(d, "addr save", dump, err);
    snprintf(family, sizeof family, "-%d %s save", gen->rtgen_family == AF_INET6 ? 6 : 4,
             type == RTM_GETRULE ? "rule" : "route");
    if (type == RTM_GETRULE)
        return dump_one(d, family, dump, err);
    for (size_t i = 0; i < d->n_answers && result == 0; i++)
        if (!strncmp(d->answers[i].command, family, strlen(family))) {
            asked = true;
            result = hand_over(&d->answers[i], dump, err);
        }
    if (asked)
        return result;
    strcat(family, " table all");
    return dump_one(d, family, dump, err);
}

static int dump(struct ferry_linux *base, const struct ferry_linux_dump *dump, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    int result = dump_saved(d, dump, err);
    if (result == 1)
        ferry_iproute_forget(d); /* whoever tries again asks the router again */
    return result;
}

/* ---- Single questions. ---- */

void ferry_iproute_say_lookup(char *buf, size_t size, const struct ferry_addr *via, const char *dev)
{
    char text[FERRY_ADDR_STRLEN];
    snprintf(buf, size, "-%d route get fibmatch %s%s%s", via->family == AF_INET6 ? 6 : 4,
             ferry_addr_text(via, text), *dev ? " oif " : "", dev);
}

static void say_question(const struct ferry_linux *base, struct nlmsghdr *request, char *buf, size_t size,
                         char interface[static FERRY_DEV_LEN])
{
    struct nlattr *tb[RTA_MAX + 1] = {0};
    struct ferry_addr via = {0};
    const struct rtmsg *rtm = NLMSG_DATA(request);
    const struct netconfmsg *conf = NLMSG_DATA(request);
    interface[0] = buf[0] = '\0';
    if (request->nlmsg_type == RTM_GETROUTE && !nlmsg_parse(request, sizeof *rtm, tb, RTA_MAX, NULL) &&
        tb[RTA_DST]) {
        via.family = rtm->rtm_family;
        memcpy(via.bytes, nla_data(tb[RTA_DST]), via.family == AF_INET ? 4 : 16);
        if (tb[RTA_OIF])
            ifname(base, nla_get_u32(tb[RTA_OIF]), interface);
        ferry_iproute_say_lookup(buf, size, &via, interface);
    } else if (request->nlmsg_type == RTM_GETNETCONF &&
               !nlmsg_parse(request, sizeof *conf, tb, NETCONFA_MAX, NULL) && tb[NETCONFA_IFINDEX]) {
        int index = (int)nla_get_u32(tb[NETCONFA_IFINDEX]);
        if (index == NETCONFA_IFINDEX_ALL)
            strcpy(interface, "all");
        else
            ifname(base, (unsigned)index, interface);
        snprintf(buf, size, "-%d netconf show", conf->ncm_family == AF_INET6 ? 6 : 4);
    } else if (request->nlmsg_type == RTM_GETNEXTHOP &&
               !nlmsg_parse(request, sizeof(struct nhmsg), tb, NHA_MAX, NULL) && tb[NHA_ID]) {
        snprintf(buf, size, "nexthop show id %u", nla_get_u32(tb[NHA_ID]));
    }
}

static int ask(struct ferry_linux *base, struct nlmsghdr *request,
               void (*each)(void *ctx, struct nlmsghdr *answer), void *ctx, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    const struct ferry_iproute_answer *a;
    char command[200], interface[FERRY_DEV_LEN], words[200];
    say_question(base, request, command, sizeof command, interface);
    if (!command[0])
        return ferry_error(err, FERRY_ESUPPORT, "ip has no such question (%u)", request->nlmsg_type);
    int result = ferry_iproute_ask(d, command, &a, err);
    if (result < 0)
        return result;
    if (a->status) {
        ferry_error(err, FERRY_EIO, "%s", ferry_iproute_words(a->err, words, sizeof words));
        return ENOENT; /* the kernel's own number is not to be had */
    }
    return ferry_iproute_tell(d, a, request->nlmsg_type, interface, each, ctx, err);
}

const struct ferry_linux_means ferry_iproute_means = {
    .ifindex = ifindex,
    .ifname = ifname,
    .ifflags = ifflags,
    .dump = dump,
    .ask = ask,
    .lan_probe = ferry_iproute_probe,
    .look = ferry_iproute_look,
    .send = ferry_iproute_send,
    .refresh = ferry_iproute_refresh,
    .link = ferry_iproute_link,
    .vlan = ferry_iproute_vlan,
    .run = ferry_iproute_run,
    .writable = ferry_iproute_writable,
};
