/* What ip says in JSON, as the kernel would say it: only what the netlink driver asks of such answers.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "model/json.h"

#include <linux/netconf.h>
#include <linux/nexthop.h>

static void free_message(struct nl_msg **m)
{
    nlmsg_free(*m);
}

/* A message with its fixed part; NULL never: libnl aborts nobody, so this does, as ferry_calloc. */
static struct nl_msg *message(uint16_t type, const void *head, size_t n)
{
    struct nl_msg *m = nlmsg_alloc_simple(type, 0);
    if (!m || nlmsg_append(m, (void *)head, n, NLMSG_ALIGNTO) < 0)
        abort();
    return m;
}

static void put(struct nl_msg *m, int type, const void *v, size_t n)
{
    if (nla_put(m, type, (int)n, v) < 0)
        abort();
}

static void put_u32(struct nl_msg *m, int type, uint32_t v)
{
    put(m, type, &v, sizeof v);
}

static bool has_flag(struct ferry_json *doc, uint32_t object, const char *name)
{
    const char *word;
    struct ferry_err ignored;
    FERRY_JSON_EACH(doc, ferry_json_get(doc, object, "flags"), flag)
    if (!ferry_json_string(doc, flag, &word, &ignored) && !strcmp(word, name))
        return true;
    return false;
}

static bool get_device(struct ferry_iproute *d, struct ferry_json *doc, uint32_t object, uint32_t *ret)
{
    struct ferry_err ignored;
    const char *dev = NULL;
    if (ferry_json_opt_string(doc, object, "dev", &dev, &ignored) < 0 || !dev)
        return false;
    *ret = d->base.means->ifindex(&d->base, dev);
    return *ret != 0;
}

static bool get_gateway(struct ferry_json *doc, uint32_t object, struct ferry_addr *ret)
{
    struct ferry_err ignored;
    const char *text = NULL;
    uint32_t via = ferry_json_get(doc, object, "via");
    bool other =
        via != FERRY_JSON_NONE && ferry_json_type(doc, via) == FERRY_JSON_OBJECT; /* of another family */
    if (ferry_json_opt_string(doc, other ? via : object, other ? "host" : "gateway", &text, &ignored) < 0)
        return false;
    return text && !ferry_addr_parse(text, ret, &ignored);
}

/* ---- The three kinds. ---- */

static struct nl_msg *route(struct ferry_iproute *d, struct ferry_json *doc, uint32_t object)
{
    struct rtmsg rtm = {.rtm_type = RTN_UNICAST};
    struct ferry_addr via;
    uint32_t index;
    bool gateway = get_gateway(doc, object, &via);
    rtm.rtm_family = gateway ? via.family : AF_UNSPEC;
    struct nl_msg *m = message(RTM_NEWROUTE, &rtm, sizeof rtm);
    if (gateway)
        put(m, RTA_GATEWAY, via.bytes, via.family == AF_INET ? 4 : 16);
    if (get_device(d, doc, object, &index))
        put_u32(m, RTA_OIF, index);
    return m;
}

/* true or "on"; 2 for "loose". */
static bool get_setting(struct ferry_json *doc, uint32_t object, const char *key, uint32_t *ret)
{
    struct ferry_err ignored;
    uint32_t v = ferry_json_get(doc, object, key);
    const char *word;
    bool set;
    if (v == FERRY_JSON_NONE)
        return false;
    if (!ferry_json_bool(doc, v, &set, &ignored))
        *ret = set;
    else if (!ferry_json_string(doc, v, &word, &ignored))
        *ret = !strcmp(word, "loose") ? 2 : !strcmp(word, "strict") || !strcmp(word, "on");
    else
        return false;
    return true;
}

static struct nl_msg *settings(struct ferry_json *doc, uint32_t object)
{
    struct netconfmsg conf = {0};
    uint32_t v;
    struct nl_msg *m = message(RTM_NEWNETCONF, &conf, sizeof conf);
    if (get_setting(doc, object, "forwarding", &v))
        put_u32(m, NETCONFA_FORWARDING, v);
    if (get_setting(doc, object, "rp_filter", &v))
        put_u32(m, NETCONFA_RP_FILTER, v);
    return m;
}

static struct nl_msg *nexthop(struct ferry_iproute *d, struct ferry_json *doc, uint32_t object)
{
    struct nhmsg nh = {0};
    struct nexthop_grp members[64];
    struct ferry_addr via;
    struct ferry_err ignored;
    uint32_t index;
    size_t n = 0;
    bool gateway = get_gateway(doc, object, &via), blackhole = false;
    nh.nh_family = gateway ? via.family : AF_UNSPEC;
    nh.nh_flags = (has_flag(doc, object, "onlink") ? RTNH_F_ONLINK : 0) |
                  (has_flag(doc, object, "linkdown") ? RTNH_F_LINKDOWN : 0) |
                  (has_flag(doc, object, "dead") ? RTNH_F_DEAD : 0);
    struct nl_msg *m = message(RTM_NEWNEXTHOP, &nh, sizeof nh);
    if (gateway)
        put(m, NHA_GATEWAY, via.bytes, via.family == AF_INET ? 4 : 16);
    if (get_device(d, doc, object, &index))
        put_u32(m, NHA_OIF, index);
    blackhole = ferry_json_get(doc, object, "blackhole") != FERRY_JSON_NONE;
    if (blackhole)
        put(m, NHA_BLACKHOLE, NULL, 0);
    FERRY_JSON_EACH(doc, ferry_json_get(doc, object, "group"), member)
    {
        int64_t id = 0, weight = 1;
        if (n == FERRY_COUNT(members) || ferry_json_type(doc, member) != FERRY_JSON_OBJECT ||
            ferry_json_need_int(doc, member, "id", 1, UINT32_MAX, &id, &ignored) < 0 ||
            ferry_json_opt_int(doc, member, "weight", 1, 256, &weight, &ignored) < 0)
            break;
        members[n++] = (struct nexthop_grp){.id = (uint32_t)id, .weight = (uint8_t)(weight - 1)};
    }
    if (n)
        put(m, NHA_GROUP, members, n * sizeof *members);
    return m;
}

int ferry_iproute_tell(struct ferry_iproute *d, const struct ferry_iproute_answer *answer, unsigned type,
                       const char *interface, void (*each)(void *ctx, struct nlmsghdr *answer), void *ctx,
                       struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    if (ferry_json_parse(answer->command, (char *)answer->out, answer->n_out, NULL, NULL, &doc, err) < 0 ||
        ferry_json_want(doc, FERRY_JSON_ROOT, FERRY_JSON_ARRAY, err) < 0)
        return ferry_error_prefix(err, -FERRY_EIO, "ip");
    FERRY_JSON_EACH(doc, FERRY_JSON_ROOT, object)
    {
        FERRY_CLEANUP(free_message) struct nl_msg *m = NULL;
        const char *name = NULL;
        if (ferry_json_want(doc, object, FERRY_JSON_OBJECT, err) < 0)
            return -FERRY_EIO;
        if (type == RTM_GETNETCONF) {
            if (ferry_json_opt_string(doc, object, "interface", &name, err) < 0)
                return -FERRY_EIO;
            if (!name || strcmp(name, interface))
                continue;
            m = settings(doc, object);
        } else {
            m = type == RTM_GETROUTE ? route(d, doc, object) : nexthop(d, doc, object);
        }
        each(ctx, nlmsg_hdr(m));
        break;
    }
    return 0;
}
