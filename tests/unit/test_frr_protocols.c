/* What an FRR router originates, read from its running configuration and written back word for word; and what its
 * protocols' routes read as.  The same against real daemons: tests/netns/test_frr_protocols.c.
 * SPDX-License-Identifier: MIT */
#include "frr/internal.h"

#include <linux/rtnetlink.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p;
    assert_int_equal(ferry_prefix_parse(text, &p, &err), 0);
    return p;
}

static void parse(const char *body, struct ferry_frr_config *ret)
{
    struct ferry_err err;
    FERRY_AUTOFREE char *text = ferry_asprintf(
        "Building configuration...\n\nCurrent configuration:\n!\nfrr version 8.4.4\n%s!\nend\n", body);
    if (ferry_frr_config_parse(text, strlen(text), ret, &err) < 0)
        fail_msg("%s", err.text);
}

/* What is found of `of`: its native, "" for the plain one, NULL for nothing; and that its lines, taken away and put
 * back, are the expected ones. */
static void expect(struct ferry_driver_config *config, const char *body, const char *of, const char *native,
                   const char *lines)
{
    struct ferry_err err;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *bytes = NULL;
    struct ferry_frr_files files = {0};
    parse(body, &running);
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(of)};
    bool found = ferry_frr_announce_find(config, &running, &op.prefix, &e, &bytes);
    assert_int_equal(found, native != NULL);
    if (!found)
        return;
    assert_int_equal(e.type, FERRY_ANNOUNCEMENT);
    assert_int_equal(e.protocol, config->routing == FERRY_ROUTING_BGP ? RTPROT_BGP : RTPROT_OSPF);
    assert_int_equal(e.native_len, strlen(native));
    assert_memory_equal(native, e.native_len ? (const char *)e.native : "", e.native_len);
    op.before = &e;
    if (ferry_frr_announce_lines(config, &op, &files, &err) < 0)
        fail_msg("%s", err.text);
    op.before = NULL;
    op.after = &e;
    if (ferry_frr_announce_lines(config, &op, &files, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(files.file[0].v, lines);
    assert_int_equal(files.file[1].n, 0);
    ferry_frr_files_clear(&files);
}

static const char bgp[] = "router bgp 65002 view OTHER\n !\n address-family ipv4 unicast\n"
                          "  network 10.6.0.0/16\n exit-address-family\nexit\n!\n"
                          "router bgp 65002\n bgp router-id 2.2.2.2\n !\n address-family ipv4 unicast\n"
                          "  network 10.1.0.0/16 route-map X\n  network 10.2.0.0/16 label-index 5\n"
                          "  network 10.3.0.0/16 backdoor\n  network 10.4.0.0/16\n  redistribute connected\n"
                          " exit-address-family\n !\n address-family ipv6 unicast\n"
                          "  network 2001:db8:1::/64\n exit-address-family\nexit\n!\n"
                          "router bgp 65999 vrf RED\n !\n address-family ipv4 unicast\n"
                          "  network 10.5.0.0/16\n exit-address-family\nexit\n";

#define BGP(af, line) "router bgp\n address-family " af " unicast\n  " line "\n exit-address-family\nexit\n"

static void test_bgp(void **state)
{
    (void)state;
    struct ferry_driver_config c = {.routing = FERRY_ROUTING_BGP};
    expect(&c, bgp, "10.4.0.0/16", "",
           BGP("ipv4", "no network 10.4.0.0/16") BGP("ipv4", "network 10.4.0.0/16"));
    expect(&c, bgp, "10.1.0.0/16", "network route-map X",
           BGP("ipv4", "no network 10.1.0.0/16 route-map X") BGP("ipv4", "network 10.1.0.0/16 route-map X"));
    expect(&c, bgp, "10.2.0.0/16", "network label-index 5",
           BGP("ipv4", "no network 10.2.0.0/16 label-index 5")
               BGP("ipv4", "network 10.2.0.0/16 label-index 5"));
    expect(&c, bgp, "2001:db8:1::/64", "",
           BGP("ipv6", "no network 2001:db8:1::/64") BGP("ipv6", "network 2001:db8:1::/64"));
    expect(&c, bgp, "10.3.0.0/16", NULL, NULL); /* a backdoor originates nothing */
    expect(&c, bgp, "10.5.0.0/16", NULL, NULL); /* another VRF's */
    expect(&c, bgp, "10.6.0.0/16", NULL, NULL); /* a view's */
    expect(&c, bgp, "10.4.0.0/17", NULL, NULL);
    expect(&c, bgp, "10.0.0.0/16", NULL, NULL);
    c.routing = FERRY_ROUTING_STATIC;
    expect(&c, bgp, "10.4.0.0/16", NULL, NULL);
}

static void test_prefix_list(void **state)
{
    (void)state;
    static const char lists[] = "ip prefix-list MOVED description 10.1.0.0/16\n"
                                "ip prefix-list MOVED seq 5 permit 10.1.0.0/16\n"
                                "ip prefix-list MOVED seq 10 permit 10.2.0.0/16 le 24\n"
                                "ip prefix-list MOVED seq 15 deny 10.3.0.0/16\n"
                                "ip prefix-list MOVED seq 20 permit 10.4.0.0/16\n"
                                "ip prefix-list MOVED seq 3232235904 permit 192.168.1.0/24\n"
                                "ip prefix-list MOVED2 seq 5 permit 10.7.0.0/16\n";
    FERRY_AUTOFREE char *body = ferry_asprintf("%s!\n%s", bgp, lists);
    struct ferry_driver_config c = {.routing = FERRY_ROUTING_BGP, .prefix_list = "MOVED"};
    expect(&c, lists, "192.168.1.0/24", "",
           "no ip prefix-list MOVED seq 3232235904 permit 192.168.1.0/24\n"
           "ip prefix-list MOVED seq 3232235904 permit 192.168.1.0/24\n");
    expect(
        &c, lists, "10.1.0.0/16", "prefix-list seq 5",
        "no ip prefix-list MOVED seq 5 permit 10.1.0.0/16\nip prefix-list MOVED seq 5 permit 10.1.0.0/16\n");
    expect(&c, lists, "10.2.0.0/16", NULL, NULL); /* speaks of other prefixes too */
    expect(&c, lists, "10.3.0.0/16", NULL, NULL);
    expect(&c, lists, "10.7.0.0/16", NULL, NULL);
    expect(&c, body, "10.4.0.0/16", "network\nprefix-list seq 20",
           BGP("ipv4", "no network 10.4.0.0/16") "no ip prefix-list MOVED seq 20 permit 10.4.0.0/16\n" BGP(
               "ipv4", "network 10.4.0.0/16") "ip prefix-list MOVED seq 20 permit 10.4.0.0/16\n");
    c.routing = FERRY_ROUTING_OSPF;
    expect(&c, lists, "192.168.1.0/24", "",
           "no ip prefix-list MOVED seq 3232235904 permit 192.168.1.0/24\n"
           "ip prefix-list MOVED seq 3232235904 permit 192.168.1.0/24\n");
}

/* Entries come and go in any order: each prefix has a number of its own. */
static void test_places_in_a_list(void **state)
{
    (void)state;
    struct ferry_driver_config c = {.routing = FERRY_ROUTING_BGP, .prefix_list = "L"};
    static const char *const of[] = {"10.0.0.0/8",    "10.0.0.0/16",  "10.0.0.0/24", "10.0.0.0/31",
                                     "10.0.1.0/24",   "10.0.0.8/29",  "10.0.0.0/29", "10.128.0.0/9",
                                     "2001:db8::/64", "2001:db8::/48"};
    struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_BGP};
    unsigned long seen[FERRY_COUNT(of)];
    for (size_t i = 0; i < FERRY_COUNT(of); i++) {
        struct ferry_err err;
        struct ferry_frr_files files = {0};
        struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(of[i]), .after = &e};
        assert_int_equal(ferry_frr_announce_lines(&c, &op, &files, &err), 0);
        const char *seq = strstr(files.file[0].v, " seq ");
        assert_non_null(seq);
        seen[i] = strtoul(seq + 5, NULL, 10);
        assert_in_range(seen[i], 1, UINT32_MAX);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(seen[i], seen[k]);
        ferry_frr_files_clear(&files);
    }
}

static void test_ospf(void **state)
{
    (void)state;
    struct ferry_driver_config c = {.routing = FERRY_ROUTING_OSPF};
    static const char dotted[] =
        "router ospf\n network 10.1.0.0/16 area 0.0.0.0\n network 10.2.0.0/16 area 0.0.0.7\n"
        "exit\n";
    static const char decimal[] =
        "router ospf\n network 10.1.0.0/16 area 0\n area 0 range 10.128.0.0/9\nexit\n";
    expect(&c, dotted, "10.1.0.0/16", "",
           "router ospf\n no network 10.1.0.0/16 area 0.0.0.0\nexit\n"
           "router ospf\n network 10.1.0.0/16 area 0.0.0.0\nexit\n");
    expect(&c, dotted, "10.2.0.0/16", "network area 0.0.0.7",
           "router ospf\n no network 10.2.0.0/16 area 0.0.0.7\nexit\n"
           "router ospf\n network 10.2.0.0/16 area 0.0.0.7\nexit\n");
    expect(&c, "router ospf 2\n network 10.1.0.0/16 area 0.0.0.0\nexit\n", "10.1.0.0/16", NULL, NULL);
    assert_null(c.area);
    /* FRR would write all lines of the area as Ferry's line has it. */
    expect(&c, decimal, "10.1.0.0/16", "",
           "router ospf\n no network 10.1.0.0/16 area 0\nexit\n"
           "router ospf\n network 10.1.0.0/16 area 0\nexit\n");
    assert_string_equal(c.area, "0");
    free(c.area);
}

/* An entry may come from a plan's file: what is no statement is not written. */
static void test_refused_statements(void **state)
{
    (void)state;
    struct ferry_driver_config c = {.routing = FERRY_ROUTING_BGP};
    static const char *const natives[] = {
        "network route-map X\nline vty",
        "network route-map X!",
        "networks",
        "network x;y",
        "no router bgp",
        "network\n\nnetwork",
        "neighbor x",
        "prefix-list seq 5", /* no list */
        "network route-map X\r\nno debug",
        "network ?",
    };
    for (size_t i = 0; i < FERRY_COUNT(natives); i++) {
        struct ferry_err err;
        struct ferry_frr_files files = {0};
        struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT,
                                .protocol = RTPROT_BGP,
                                .native = (const uint8_t *)natives[i],
                                .native_len = (uint32_t)strlen(natives[i])};
        struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("10.1.0.0/16"), .after = &e};
        if (ferry_frr_announce_lines(&c, &op, &files, &err) != -FERRY_EREFUSED)
            fail_msg("'%s' became: %s", natives[i], files.file[0].v ? files.file[0].v : "nothing");
        ferry_frr_files_clear(&files);
    }
    struct ferry_err err;
    struct ferry_frr_files files = {0};
    struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_OSPF};
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("2001:db8::/64"), .after = &e};
    c.routing = FERRY_ROUTING_OSPF;
    assert_int_equal(ferry_frr_announce_lines(&c, &op, &files, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-ospf6");
}

/* ---- Routes of protocols. ---- */

static struct ferry_frr_leg leg(const char *via, const char *dev)
{
    struct ferry_err err;
    struct ferry_frr_leg l = {.type = FERRY_UNICAST, .weight = 1, .active = true};
    if (via)
        assert_int_equal(ferry_addr_parse(via, &l.via, &err), 0);
    snprintf(l.dev, sizeof l.dev, "%s", dev);
    return l;
}

static void test_entries(void **state)
{
    (void)state;
    struct ferry_frr_config running = {0};
    struct ferry_entry e;
    char text[256];
    /* Two of iBGP's next hops that resolve to the same one, as FRR lists them. */
    struct ferry_frr_leg legs[] = {leg("10.0.9.1", ""), leg("10.0.34.1", "to-r3"), leg("10.0.9.2", ""),
                                   leg("10.0.34.1", "to-r3"), leg("10.0.35.1", "to-r5")};
    legs[0].recursive = legs[2].recursive = true;
    legs[1].resolver = legs[3].resolver = true;
    legs[4].active = false;
    struct ferry_frr_route route = {.prefix = prefix("192.168.1.0/24"),
                                    .protocol = "bgp",
                                    .table = 254,
                                    .distance = 200,
                                    .legs = legs,
                                    .n_legs = 5};
    assert_true(ferry_frr_protocol_entry(&running, &route, &e));
    assert_true(ferry_entry_dynamic(&e));
    assert_string_equal(ferry_entry_text(&e, text, sizeof text),
                        "unicast via 10.0.34.1 dev to-r3 metric 20 protocol bgp");
    free((void *)e.nexthops);

    /* A static route between the true distance and the usual one keeps its place. */
    parse("ip route 192.168.1.0/24 10.0.34.1 150\nip route 192.168.2.0/24 10.0.34.1 150\n", &running);
    assert_true(ferry_frr_protocol_entry(&running, &route, &e));
    assert_int_equal(e.metric, 200);
    free((void *)e.nexthops);
    route.distance = 20;
    assert_true(ferry_frr_protocol_entry(&running, &route, &e));
    assert_int_equal(e.metric, FERRY_DISTANCE_BGP);
    free((void *)e.nexthops);
    ferry_frr_config_clear(&running);

    /* OSPF's route to its own network is the attachment, and no way elsewhere. */
    struct ferry_frr_leg own = leg(NULL, "lan0");
    struct ferry_frr_route ospf = {
        .prefix = route.prefix, .protocol = "ospf", .table = 254, .distance = 110, .legs = &own, .n_legs = 1};
    assert_false(ferry_frr_protocol_entry(&running, &ospf, &e));
    own = leg("10.0.12.1", "to-r1");
    assert_true(ferry_frr_protocol_entry(&running, &ospf, &e));
    assert_int_equal(e.metric, FERRY_DISTANCE_OSPF);
    assert_int_equal(e.protocol, RTPROT_OSPF);
    free((void *)e.nexthops);
    snprintf(ospf.protocol, sizeof ospf.protocol, "static");
    assert_false(ferry_frr_protocol_entry(&running, &ospf, &e));
    own.active = false;
    snprintf(ospf.protocol, sizeof ospf.protocol, "ospf");
    assert_false(ferry_frr_protocol_entry(&running, &ospf, &e));
}

/* bgpd prefers link-local next hops, and a plan speaks of those in the topology. */
static void test_link_local(void **state)
{
    (void)state;
    static const char *const vias[] = {"fd00:12::1", "fe80::1", "febf::1", "fec0::1"};
    for (size_t i = 0; i < FERRY_COUNT(vias); i++) {
        struct ferry_err err = {0};
        struct ferry_nexthop hop = {.dev = "to-r1", .weight = 1};
        assert_int_equal(ferry_addr_parse(vias[i], &hop.via, &err), 0);
        struct ferry_entry e = {.type = FERRY_UNICAST,
                                .table = 254,
                                .metric = FERRY_DISTANCE_BGP,
                                .protocol = RTPROT_BGP,
                                .n_nexthops = 1,
                                .nexthops = &hop};
        struct ferry_op op = {
            .kind = FERRY_KIND_ROUTE, .prefix = prefix("2001:db8:1::/64"), .before = &e, .after = &e};
        bool link_local = i == 1 || i == 2;
        assert_int_equal(ferry_frr_protocol_op_check(&op, &err), link_local ? -FERRY_EREFUSED : 0);
        op.before = NULL;
        assert_int_equal(ferry_frr_protocol_op_check(&op, &err), 0);
    }
}

/* ---- Redistribution. ---- */

static void test_redistribution(void **state)
{
    (void)state;
    static const struct {
        const char *line, *map;
        bool fine;
    } rows[] = {
        {"redistribute static", "", false},
        {"redistribute static metric 5", "", false},
        {"redistribute ipv4 static level-2", "", false},
        {"redistribute connected", "", true},
        {"redistribute static route-map M", "", true}, /* no such route-map: nothing passes */
        {"redistribute static route-map M", "route-map M permit 10\nexit\n", false},
        {"redistribute static route-map M",
         "route-map M deny 5\n match tag 2100\nexit\nroute-map M permit 10\nexit\n", true},
        {"redistribute static metric 5 route-map M",
         "route-map M deny 5\n match tag 2100\nexit\nroute-map M permit 10\nexit\n", true},
        {"redistribute static route-map M",
         "route-map M permit 1\nexit\nroute-map M deny 5\n match tag 2100\nexit\n", false},
        {"redistribute static route-map M",
         "route-map M deny 5\n match tag 2101\nexit\nroute-map M permit 10\nexit\n", false},
        {"redistribute static route-map M",
         "route-map M deny 5\n match ip address prefix-list L\n match tag 2100\nexit\nroute-map M permit "
         "10\nexit\n",
         false},
        {"redistribute static route-map M",
         "route-map M permit 1\n match tag 77\nexit\nroute-map M deny 5\nexit\nroute-map M permit 10\nexit\n",
         true},
        {"redistribute static route-map M",
         "route-map MM deny 5\n match tag 2100\nexit\nroute-map M permit 10\nexit\n", false},
    };
    for (size_t i = 0; i < FERRY_COUNT(rows); i++) {
        struct ferry_err err = {0};
        struct ferry_frr d = {.config = {.routing = FERRY_ROUTING_BGP}};
        struct ferry_frr_config running = {0};
        FERRY_AUTOFREE char *body = ferry_asprintf(
            "router bgp 65001\n !\n address-family ipv4 unicast\n  %s\n exit-address-family\nexit\n!\n%s",
            rows[i].line, rows[i].map);
        parse(body, &running);
        int r = ferry_frr_protocol_check(&d, &running, &err);
        if (r != (rows[i].fine ? 0 : -FERRY_EREFUSED))
            fail_msg("row %zu: %d %s", i, r, err.text);
        assert_string_equal(err.rule, rows[i].fine ? "" : "frr-redistribute");
        d.config.routing = FERRY_ROUTING_STATIC; /* there statics are how a place is made known */
        assert_int_equal(ferry_frr_protocol_check(&d, &running, &err), 0);
        ferry_frr_config_clear(&running);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bgp),
        cmocka_unit_test(test_prefix_list),
        cmocka_unit_test(test_ospf),
        cmocka_unit_test(test_places_in_a_list),
        cmocka_unit_test(test_refused_statements),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_link_local),
        cmocka_unit_test(test_redistribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
