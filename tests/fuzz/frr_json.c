/* Target: FRR's JSON, one document at a time: the RIB, the kernel's routes and addresses as `ip -N -j` says them, and
 * what bgpd and ospfd say of their neighbours and announcements.  The first byte says of which question the rest is the
 * answer.
 *
 *  - What is kept is sound: prefixes, lengths, weights, families.
 *
 * SPDX-License-Identifier: MIT */
#include "frr/internal.h"

#include "fuzz.h"
#include "router.h"

#include <linux/rtnetlink.h>
#include <string.h>

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p;
    FUZZ_CHECK(ferry_prefix_parse(text, &p, &err) == 0);
    return p;
}

static void read_rib(struct ferry_frr *d, uint8_t family, struct ferry_err *err)
{
    struct ferry_frr_rib rib = {0};
    int result = ferry_frr_rib_read(d, family, FERRY_TABLE_MAIN, NULL, &rib, err);
    fuzz_said(result, err);
    for (size_t i = 0; i < rib.n; i++) {
        const struct ferry_frr_route *r = &rib.routes[i];
        FUZZ_CHECK(r->prefix.len <= ferry_addr_bits(r->prefix.addr.family));
        FUZZ_CHECK(memchr(r->protocol, 0, sizeof r->protocol));
        FUZZ_CHECK(!r->installed || r->selected);
        for (size_t k = 0; k < r->n_legs; k++)
            FUZZ_CHECK(r->legs[k].weight >= 1 && memchr(r->legs[k].dev, 0, FERRY_DEV_LEN));
    }
    ferry_frr_rib_clear(&rib);
}

static void read_kernel(struct ferry_frr *d, uint8_t family, struct ferry_err *err)
{
    struct ferry_frr_kernel kernel = {0};
    int result = ferry_frr_kernel_routes(d, "routes", family, NULL, 0, &kernel, err);
    fuzz_said(result, err);
    result = ferry_frr_kernel_addresses(d, family, &kernel, err);
    fuzz_said(result, err);
    for (size_t i = 0; i < kernel.n_routes; i++) {
        const struct ferry_frr_kernel_route *r = &kernel.routes[i];
        FUZZ_CHECK(r->prefix.addr.family == family && r->prefix.len <= ferry_addr_bits(family));
        FUZZ_CHECK(!r->n_hops || r->hops);
        for (uint16_t k = 0; k < r->n_hops; k++)
            FUZZ_CHECK(r->hops[k].weight >= 1 && r->hops[k].weight <= 256);
    }
    for (size_t i = 0; i < kernel.n_addresses; i++)
        FUZZ_CHECK(kernel.addresses[i].address.len <=
                   ferry_addr_bits(kernel.addresses[i].address.addr.family));
    ferry_frr_kernel_clear(&kernel);
}

static void ask_neighbours(struct ferry_frr *d, bool ospf, struct ferry_err *err)
{
    struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT, .protocol = ospf ? RTPROT_OSPF : RTPROT_BGP};
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("192.168.1.0/24"), .after = &e};
    struct ferry_frr_config running = {0};
    static const char text[] = "frr version 8.4\nrouter bgp 65001\nexit\nrouter ospf\nexit\nend\n";
    d->config.routing = ospf ? FERRY_ROUTING_OSPF : FERRY_ROUTING_BGP;
    int result = ferry_frr_announce_settled(d, &op, err);
    fuzz_said(result, err);
    FUZZ_CHECK(ferry_frr_config_parse(text, sizeof text - 1, &running, err) == 0);
    result = ferry_frr_announce_check(d, &running, &op, err);
    fuzz_said(result, err);
    ferry_frr_config_clear(&running);
}

static const char *const questions[] = {
    "show ip route json",
    "show ipv6 route json",
    "route show table all",
    "address show",
    "show bgp ipv4 unicast 192.168.1.0/24 json",
    "show bgp ipv4 unicast summary json",
    "show ip ospf interface json",
    "show ip ospf neighbor json",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_err err = {0};
    if (!size)
        return 0;
    fuzz_begin();
    unsigned which = data[0] % (sizeof questions / sizeof *questions);
    char *input = ferry_asprintf("@ %s\n", questions[which]);
    size_t head = strlen(input);
    input = ferry_realloc(input, head + size, 1);
    memcpy(input + head, data + 1, size - 1);
    struct ferry_frr *d = ferry_calloc(1, sizeof *d);
    d->base.ops = &ferry_driver_frr;
    d->env = &fuzz_env;
    d->router = ferry_strdup("edge");
    d->remote = fuzz_router("edge", (uint8_t *)input, head + size - 1);
    if (which < 2)
        read_rib(d, which ? AF_INET6 : AF_INET, &err);
    else if (which < 4)
        read_kernel(d, data[0] & 0x80 ? AF_INET6 : AF_INET, &err);
    else
        ask_neighbours(d, which >= 6, &err);
    ferry_driver_frr.close((struct ferry_driver *)d);
    free(input);
    return 0;
}
