/* Target: native bytes, as a plan document or the journal may hold them: a route's, or a gateway's snapshot.  Said in
 * the words of ip, unpacked, written as a message, packed again.
 *
 * The first byte: route or gateway, and the family.
 *
 *  - What is unpacked and packed again is the same.
 *  - A message that is written is no longer than FERRY_LINUX_MESSAGE_MAX.
 *
 * SPDX-License-Identifier: MIT */
#include "linux/native.h"

#include "fuzz.h"

static const char *const names[] = {"", "lan0"};

static unsigned any_ifindex(const struct ferry_linux *d, const char *name)
{
    (void)d;
    (void)name;
    return 3;
}

static int any_writable(const struct ferry_entry *entry, struct ferry_err *err)
{
    (void)entry;
    (void)err;
    return 0;
}

/* Every interface is there. */
static const struct ferry_linux_means means = {.ifindex = any_ifindex, .writable = any_writable};

static void say(const struct ferry_op *op)
{
    struct ferry_driver_config config = {.type = (char *)"netlink"};
    char text[600];
    int whole = ferry_linux_native(&config, op, text, sizeof text),
        counted = ferry_linux_native(&config, op, text, 1);
    FUZZ_CHECK(whole >= 0 && whole == counted);
}

static void check_route(const struct ferry_prefix *prefix, const struct ferry_entry *e)
{
    struct ferry_linux d = {.env = &fuzz_env, .router = (char *)"edge", .fd = -1, .means = &means};
    static uint8_t message[FERRY_LINUX_MESSAGE_MAX];
    struct ferry_err err = {0};
    int result = ferry_linux_route_write(&d, message, RTM_NEWROUTE, 0, prefix, e, &err);
    fuzz_said(result, &err);
    FUZZ_CHECK(result <= (int)sizeof message);
    result = ferry_linux_route_writable(&d, prefix, e, &err);
    fuzz_said(result, &err);
    (void)ferry_linux_same_key(e, e);
    (void)ferry_say_route_unsaid(e);
}

static void check_records(const uint8_t *v, size_t n)
{
    struct ferry_linux_record r;
    for (size_t at = 0; ferry_linux_bytes_next(v, n, &at, &r);) {
        FUZZ_CHECK(r.v >= v && r.len <= n && r.v + r.len <= v + n && at <= n);
        struct ferry_linux_bytes packed = {0};
        struct ferry_linux_address a;
        struct ferry_linux_route route = {0};
        struct ferry_nexthop leg = {0};
        if (r.tag == FERRY_LINUX_ADDRESS && ferry_linux_address_unpack(&r, &a) == 0) {
            struct ferry_linux_record again;
            struct ferry_linux_address b;
            size_t from = 0;
            uint8_t message[1024];
            ferry_linux_address_pack(&packed, &a);
            FUZZ_CHECK(ferry_linux_bytes_next(packed.v, packed.n, &from, &again) &&
                       ferry_linux_address_unpack(&again, &b) == 0);
            FUZZ_CHECK(ferry_linux_address_write(message, RTM_NEWADDR, 0, &a, 2) <= (int)sizeof message);
            (void)ferry_linux_addresses_lost(&a, 1);
        }
        if ((r.tag == FERRY_LINUX_ROUTE || r.tag == FERRY_LINUX_DEPENDENT) &&
            ferry_linux_route_unpack(&r, &route) == 0) {
            check_route(&route.prefix, &route.entry);
            ferry_linux_route_pack(&packed, r.tag, &route.prefix, &route.entry);
            ferry_linux_route_drop(&route, RTA_PREFSRC);
        }
        (void)ferry_linux_leg_unpack(&r, &leg);
        FUZZ_CHECK(memchr(leg.dev, 0, sizeof leg.dev));
        ferry_linux_route_clear(&route);
        ferry_linux_bytes_clear(&packed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_err err;
    struct ferry_gateway gateway = {.interface = FERRY_NONE};
    if (!size)
        return 0;
    fuzz_begin();
    bool v6 = data[0] & 1, is_gateway = data[0] & 2;
    uint8_t *bytes = (uint8_t *)fuzz_text(data + 1, size - 1);
    bytes = ferry_realloc(bytes, size > 1 ? size - 1 : 1, 1);
    struct ferry_nexthop hop = {.router = FERRY_NO_ROUTER, .dev = "eth0", .weight = 1};
    struct ferry_entry e = {.type = is_gateway ? FERRY_GATEWAY : FERRY_UNICAST,
                            .native = size > 1 ? bytes : NULL,
                            .native_len = (uint32_t)(size - 1)};
    struct ferry_op op = {.kind = is_gateway ? FERRY_KIND_GATEWAY : FERRY_KIND_ROUTE,
                          .table = 254,
                          .gateway = &gateway,
                          .interface = names[(data[0] >> 2) & 1]};
    FUZZ_CHECK(ferry_prefix_parse(v6 ? "fd00:1::/64" : "192.168.1.0/24", &op.prefix, &err) == 0);
    FUZZ_CHECK(ferry_prefix_parse(v6 ? "fd00:1::1/64" : "192.168.1.1/24", &gateway.address, &err) == 0);
    if (!is_gateway) {
        e.table = 254;
        e.metric = op.metric = 20;
        e.protocol = 4;
        e.nexthops = &hop;
        e.n_nexthops = !(data[0] & 4);
        e.nexthops = e.n_nexthops ? &hop : NULL;
        check_route(&op.prefix, &e);
    }
    op.before = &e;
    say(&op);
    op.before = NULL;
    op.after = &e;
    say(&op);
    check_records(bytes, size - 1);
    free(bytes);
    return 0;
}
