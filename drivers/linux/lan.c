/* What is said on the LAN itself: who the gateway is, and the question whether somebody else is.
 *
 * The kernel announces nothing when an address is added (IPv4: never; IPv6: only after duplicate address
 * detection), so the machines on the LAN would go on sending to where the gateway was.  Frames are built here
 * and sent through one packet socket of the router's namespace.
 *
 *  L1. A new IPv6 gateway is deaf for a moment: forwarding begins with the kernel's ack, but the solicited-
 *      node group, on which machines ask who it is, is joined from a work queue, later.  Who asks in between
 *      asks again after a second.  So the driver is a member before the address is there, through a socket of
 *      its own.  That socket is open as long as the driver; the address then is a member by itself.
 *  L2. The same work queue brings the address's local route.  Who announces waits for it, for a bounded time:
 *      the outage is over then, and what is read of the router afterwards stays so.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LOCAL_US = 20000 /* a busy machine took 10 ms */, LOCAL_PAUSE_NS = 200000 };

struct arp_frame {
    struct ether_header ethernet;
    struct arphdr head;
    uint8_t sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
} __attribute__((packed));

struct na_frame {
    struct ether_header ethernet;
    struct ip6_hdr ip;
    struct nd_neighbor_advert na;
    struct nd_opt_hdr option;
    uint8_t mac[6];
} __attribute__((packed));

static int open_packet(void *ctx, struct ferry_err *err)
{
    struct ferry_linux *d = ctx;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ferry_error(err, FERRY_EIO, "cannot open a packet socket: %s", strerror(errno));
    d->packet_fd = fd;
    return 0;
}

static int open_member(void *ctx, struct ferry_err *err)
{
    struct ferry_linux *d = ctx;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ferry_error(err, FERRY_EIO, "cannot open a socket: %s", strerror(errno));
    d->member_fd = fd;
    return 0;
}

int ferry_linux_lan_open(struct ferry_linux *d, struct ferry_err *err)
{
    return d->packet_fd || d->means ? 0 : ferry_linux_inside(d, open_packet, d, err);
}

void ferry_linux_lan_join(struct ferry_linux *d, unsigned ifindex, const struct ferry_addr *address)
{
    struct ferry_err ignored;
    if (address->family != AF_INET6 || !ifindex || d->means ||
        (!d->member_fd && ferry_linux_inside(d, open_member, d, &ignored) < 0))
        return;
    struct ipv6_mreq group = {.ipv6mr_interface = ifindex,
                              .ipv6mr_multiaddr.s6_addr = {0xff, 0x02, [11] = 1, [12] = 0xff}};
    memcpy(&group.ipv6mr_multiaddr.s6_addr[13], &address->bytes[13], 3); /* RFC 4291 §2.7.1 */
    /* Best effort: EADDRINUSE is a member already. */
    (void)setsockopt(d->member_fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group);
}

/* The socket, the interface's index and hardware address.  1: it is no Ethernet. */
static int reach(struct ferry_linux *d, const char *interface, unsigned *ret_index, uint8_t ret_mac[static 6],
                 struct ferry_err *err)
{
    struct ifreq request = {0};
    int result = ferry_linux_lan_open(d, err);
    if (result < 0)
        return result;
    *ret_index = ferry_linux_ifindex(d, interface);
    if (!*ret_index)
        return ferry_error(err, FERRY_EIO, "there is no interface %s", interface);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    if (ioctl(d->fd, SIOCGIFHWADDR, &request))
        return ferry_error(err, FERRY_EIO, "%s: %s", interface, strerror(errno));
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return 1;
    memcpy(ret_mac, request.ifr_hwaddr.sa_data, 6);
    return 0;
}

static int send_frame(struct ferry_linux *d, unsigned ifindex, const void *frame, size_t bytes,
                      struct ferry_err *err)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_halen = 6};
    memcpy(to.sll_addr, frame, 6);
    if (sendto(d->packet_fd, frame, bytes, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return ferry_error(err, FERRY_EIO, "cannot send: %s", strerror(errno));
    return 0;
}

static struct arp_frame arp(const uint8_t mac[6], uint16_t op, const uint8_t *sender, const uint8_t *target)
{
    struct arp_frame f = {.ethernet.ether_type = htons(ETHERTYPE_ARP),
                          .head = {.ar_hrd = htons(ARPHRD_ETHER),
                                   .ar_pro = htons(ETHERTYPE_IP),
                                   .ar_hln = 6,
                                   .ar_pln = 4,
                                   .ar_op = htons(op)}};
    memset(f.ethernet.ether_dhost, 0xff, 6);
    memcpy(f.ethernet.ether_shost, mac, 6);
    memcpy(f.sender_mac, mac, 6);
    if (sender)
        memcpy(f.sender_ip, sender, 4);
    memcpy(f.target_ip, target, 4);
    return f;
}

static uint16_t checksum(const struct na_frame *f)
{
    uint32_t sum = 0;
    struct {
        uint8_t addresses[32];
        uint32_t length, next;
    } pseudo = {.length = f->ip.ip6_plen, .next = 0};
    memcpy(pseudo.addresses, &f->ip.ip6_src, 32); /* source and destination stand side by side */
    size_t length = ntohs(f->ip.ip6_plen);
    pseudo.length = htonl((uint32_t)length);
    pseudo.next = htonl(IPPROTO_ICMPV6);
    const uint8_t *parts[2] = {(const uint8_t *)&pseudo, (const uint8_t *)&f->na};
    const size_t sizes[2] = {sizeof pseudo, length};
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; i + 1 < sizes[p]; i += 2)
            sum += (uint32_t)(parts[p][i] << 8 | parts[p][i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static struct na_frame advertisement(const uint8_t mac[6], const struct ferry_addr *address)
{
    static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
    static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    struct na_frame f = {.ethernet.ether_type = htons(ETHERTYPE_IPV6)};
    memcpy(f.ethernet.ether_dhost, all_nodes_mac, 6);
    memcpy(f.ethernet.ether_shost, mac, 6);
    f.ip.ip6_flow = htonl(6u << 28);
    f.ip.ip6_plen = htons(sizeof f - sizeof f.ethernet - sizeof f.ip);
    f.ip.ip6_nxt = IPPROTO_ICMPV6;
    f.ip.ip6_hlim = 255; /* RFC 4861 §7.1.2 */
    memcpy(&f.ip.ip6_src, address->bytes, 16);
    memcpy(&f.ip.ip6_dst, all_nodes, 16);
    f.na.nd_na_type = ND_NEIGHBOR_ADVERT;
    f.na.nd_na_flags_reserved = ND_NA_FLAG_ROUTER | ND_NA_FLAG_OVERRIDE; /* RFC 4861 §7.2.6 */
    memcpy(&f.na.nd_na_target, address->bytes, 16);
    f.option.nd_opt_type = ND_OPT_TARGET_LINKADDR;
    f.option.nd_opt_len = 1;
    memcpy(f.mac, mac, 6);
    f.na.nd_na_cksum = checksum(&f);
    return f;
}

/* Whether the op attaches what a LAN can be told of. */
static bool announced(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_GATEWAY && op->after && op->gateway && !op->gateway->via.family &&
           op->interface;
}

int ferry_linux_lan_announce(struct ferry_linux *d, const char *interface, const struct ferry_addr *address,
                             struct ferry_err *err)
{
    unsigned ifindex;
    uint8_t mac[6];
    int result = reach(d, interface, &ifindex, mac, err);
    if (result)
        return result;
    if (address->family == AF_INET6) {
        struct na_frame f = advertisement(mac, address);
        return send_frame(d, ifindex, &f, sizeof f, err);
    }
    /* As a request and as a reply: some machines heed only one of them (RFC 5944 §4.6 allows both). */
    struct arp_frame f = arp(mac, ARPOP_REQUEST, address->bytes, address->bytes);
    result = send_frame(d, ifindex, &f, sizeof f, err);
    if (result < 0)
        return result;
    f.head.ar_op = htons(ARPOP_REPLY);
    memcpy(f.target_mac, mac, 6);
    return send_frame(d, ifindex, &f, sizeof f, err);
}

static void hear_type(void *ctx, struct nlmsghdr *h)
{
    const struct rtmsg *rtm = NLMSG_DATA(h);
    bool *local = ctx;
    *local = h->nlmsg_type == RTM_NEWROUTE && rtm->rtm_type == RTN_LOCAL;
}

/* Whether the kernel takes packets to the address as its own; true also where it will not say. */
static bool is_local(struct ferry_linux *d, const struct ferry_addr *address)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg rtm;
        struct nlattr dst;
        uint8_t bytes[16];
    } request = {.h = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETROUTE},
                 .rtm = {.rtm_family = AF_INET6, .rtm_dst_len = 128},
                 .dst = {.nla_len = NLA_HDRLEN + 16, .nla_type = RTA_DST}};
    struct ferry_err ignored;
    bool local = false;
    memcpy(request.bytes, address->bytes, 16);
    return ferry_linux_ask(d, &request.h, hear_type, &local, &ignored) < 0 || local;
}

/* L2 */
static void await_local(struct ferry_linux *d, const struct ferry_op *ops, size_t n)
{
    uint64_t end = d->env->monotonic_us(d->env->ctx) + LOCAL_US;
    for (size_t i = 0; i < n; i++)
        while (announced(&ops[i]) && ops[i].prefix.addr.family == AF_INET6 &&
               !is_local(d, &ops[i].gateway->address.addr)) {
            if (d->env->monotonic_us(d->env->ctx) >= end)
                return;
            nanosleep(&(struct timespec){.tv_nsec = LOCAL_PAUSE_NS}, NULL);
        }
}

int ferry_linux_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                         struct ferry_err *err)
{
    struct ferry_linux *d = (struct ferry_linux *)driver;
    int worst = 0;
    for (size_t i = 0; i < n; i++) {
        const struct ferry_op *op = &ops[i];
        if (!announced(op))
            continue;
        int result = ferry_linux_lan_announce(d, op->interface, &op->gateway->address.addr, err);
        if (result < 0) /* best effort: the others are told all the same */
            worst = ferry_error_prefix(err, result, "%s: announcing the gateway", d->router);
    }
    await_local(d, ops, n);
    return worst;
}

/* ---- Probes. ---- */

enum { LATE_FRAMES = 1000 /* of a LAN that never ends to say something */ };

static void hear_reply(struct ferry_linux_probe *probes, size_t n, struct ferry_linux *d,
                       const struct arp_frame *f, const struct sockaddr_ll *from)
{
    if (from->sll_pkttype == PACKET_OUTGOING || f->ethernet.ether_type != htons(ETHERTYPE_ARP))
        return;
    for (size_t i = 0; i < n; i++)
        if (!memcmp(f->sender_ip, probes[i].address->bytes, 4) &&
            ferry_linux_ifindex(d, probes[i].interface) == (unsigned)from->sll_ifindex) {
            probes[i].taken = true;
            memcpy(probes[i].by, f->sender_mac, 6);
        }
}

static int open_arp(void *ctx, struct ferry_err *err)
{
    int *fd = ctx;
    *fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE_ARP));
    return *fd < 0 ? ferry_error(err, FERRY_EIO, "cannot open a packet socket: %s", strerror(errno)) : 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

int ferry_linux_lan_probe(struct ferry_linux *d, struct ferry_linux_probe *probes, size_t n, unsigned wait_ms,
                          struct ferry_err *err)
{
    FERRY_CLEANUP(close_fd) int fd = -1;
    if (d->means)
        return d->means->lan_probe(d, probes, n, wait_ms, err);
    int result = ferry_linux_inside(d, open_arp, &fd, err);
    for (size_t i = 0; i < n && result >= 0; i++) {
        unsigned ifindex;
        uint8_t mac[6];
        result = reach(d, probes[i].interface, &ifindex, mac, err);
        if (result)
            continue;
        struct arp_frame f = arp(mac, ARPOP_REQUEST, NULL, probes[i].address->bytes);
        result = send_frame(d, ifindex, &f, sizeof f, err);
    }
    uint64_t end = d->env->monotonic_us(d->env->ctx) + wait_ms * 1000u;
    /* What has come by the end is heard also where this was not run until later. */
    for (unsigned late = 0; result >= 0 && late < LATE_FRAMES;) {
        uint64_t now = d->env->monotonic_us(d->env->ctx);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, now < end ? (int)((end - now + 999) / 1000) : 0) <= 0) {
            if (now >= end)
                break;
            continue;
        }
        late += now >= end;
        struct arp_frame f;
        struct sockaddr_ll from;
        socklen_t from_bytes = sizeof from;
        if (recvfrom(fd, &f, sizeof f, 0, (struct sockaddr *)&from, &from_bytes) == (ssize_t)sizeof f)
            hear_reply(probes, n, d, &f, &from);
    }
    return result < 0 ? result : 0;
}
