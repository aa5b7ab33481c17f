/* A VLAN subinterface that is there already is used as it is (device.c, D1), if it is the one that the gateway means: an address
 * on another VLAN would be at another network's machines.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ferry/device.h>

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>

struct hearing {
    const struct ferry_linux *d;
    struct ferry_linux_vlan *vlan;
};

static void hear(void *ctx, struct nlmsghdr *h)
{
    struct hearing *to = ctx;
    struct nlattr *tb[IFLA_MAX + 1] = {0}, *info[IFLA_INFO_MAX + 1] = {0}, *data[IFLA_VLAN_MAX + 1] = {0};
    if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(struct ifinfomsg), tb, IFLA_MAX, NULL) < 0 ||
        !tb[IFLA_LINKINFO] || nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], NULL) < 0 ||
        !info[IFLA_INFO_KIND] || nla_strcmp(info[IFLA_INFO_KIND], "vlan") != 0 || !info[IFLA_INFO_DATA] ||
        nla_parse_nested(data, IFLA_VLAN_MAX, info[IFLA_INFO_DATA], NULL) < 0 || !data[IFLA_VLAN_ID])
        return;
    to->vlan->id = nla_get_u16(data[IFLA_VLAN_ID]);
    to->vlan->other = data[IFLA_VLAN_PROTOCOL] && nla_get_u16(data[IFLA_VLAN_PROTOCOL]) != htons(ETH_P_8021Q);
    if (tb[IFLA_LINK])
        ferry_linux_ifname(to->d, nla_get_u32(tb[IFLA_LINK]), to->vlan->parent);
}

static int look_at(struct ferry_linux *d, const char *name, struct ferry_linux_vlan *ret,
                   struct ferry_err *err)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg ifi;
    } request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof request.ifi), .nlmsg_type = RTM_GETLINK}};
    struct hearing to = {.d = d, .vlan = ret};
    *ret = (struct ferry_linux_vlan){0};
    if (d->means)
        return d->means->vlan(d, name, ret, err);
    request.ifi.ifi_index = (int)ferry_linux_ifindex(d, name);
    return ferry_linux_ask(d, &request.h, hear, &to, err);
}

int ferry_linux_device_fits(struct ferry_linux *d, const char *name, const struct ferry_device *device,
                            struct ferry_err *err)
{
    struct ferry_linux_vlan vlan;
    if (device->kind != FERRY_DEVICE_VLAN || !device->n_below)
        return 0;
    int result = look_at(d, name, &vlan, err);
    if (result || !vlan.id) /* no VLAN at all: somebody's own way to get there */
        return result;
    if (vlan.id == device->vlan && !vlan.other && !strcmp(vlan.parent, device->below[0]))
        return 0;
    ferry_error(err, FERRY_EIO, "%s is there already, as VLAN %u%s of %s, not as VLAN %u of %s", name,
                vlan.id, vlan.other ? " (802.1ad)" : "",
                vlan.parent[0] ? vlan.parent : "an interface elsewhere", device->vlan, device->below[0]);
    return EEXIST;
}
