/* Static routes within FRR's `vrf` blocks: read from what a router says, told as lines, and refused where it is not clear
 * whose they are.  The texts are FRR 8.4's, recorded on a kernel with VRF devices; the same against a real zebra there:
 * tests/netns/test_frr_vrf.c.
 * SPDX-License-Identifier: MIT */
#include "frr/internal.h"

#include "fuzz/fuzz.h"
#include "fuzz/router.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define P "192.168.1.0/24"

static const char says[] =
    "Building configuration...\n\nCurrent configuration:\n!\nfrr version 8.4.4\nfrr defaults traditional\n"
    "hostname edge\nno ip forwarding\nno ipv6 forwarding\nservice integrated-vtysh-config\n!\n"
    "ip route 192.168.1.0/24 10.255.2.2 up1\nip route 192.168.3.0/24 10.255.2.2 up1 table 100\n"
    "ip route 192.168.5.0/24 10.255.2.2 up1 table 100\nip route 192.168.6.0/24 10.255.1.2 up0 nexthop-vrf "
    "red\n"
    "ip route 192.168.7.0/24 10.255.2.2 up1 table 300\n!\n"
    "vrf red\n ip route 192.168.1.0/24 10.255.1.2 up0\n ip route 192.168.2.0/24 10.255.1.2 up0 tag 2100 30\n"
    " ip route 192.168.2.0/24 10.255.1.3 up0 tag 2100 30\n ip route 192.168.3.0/24 blackhole 254\n"
    " ip route 192.168.4.0/24 10.255.2.2 nexthop-vrf default\n"
    " ipv6 route fd00:1::/64 fd00:255:1::2 up0\nexit-vrf\n!\n"
    "vrf green\n ip route 192.168.9.0/24 10.255.1.2 up0\nexit-vrf\n!\n"
    "interface lan0\n ip address 192.168.8.1/24\nexit\n!\nend\n";
static const char vrfs[] = "vrf blue id 9 table 200\nvrf green inactive (configured)\n"
                           "vrf red id 8 table 100 (configured)\nvrf space id 11 netns /run/netns/space\n"
                           "vrf tag id 12 table 400\n";

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p;
    assert_int_equal(ferry_prefix_parse(text, &p, &err), 0);
    return p;
}

static struct ferry_addr addr(const char *text)
{
    struct ferry_err err;
    struct ferry_addr a;
    assert_int_equal(ferry_addr_parse(text, &a, &err), 0);
    return a;
}

static struct ferry_frr_config parsed(bool with_vrfs)
{
    struct ferry_err err;
    struct ferry_frr_config c;
    if (ferry_frr_config_parse(says, strlen(says), &c, &err) < 0)
        fail_msg("%s", err.text);
    if (with_vrfs)
        ferry_frr_config_vrfs(&c, vrfs);
    return c;
}

/* ---- Reading. ---- */

static void finds(const struct ferry_frr_config *c, const char *of, uint32_t table, size_t n,
                  const char *first)
{
    size_t found, counted = 0;
    struct ferry_prefix p = prefix(of);
    const struct ferry_frr_static *s = ferry_frr_config_statics(c, &p, table, &found);
    for (size_t i = 0; i < found; i++)
        counted += s[i].table == table && ferry_frr_static_counts(c, &s[i]);
    assert_int_equal(counted, n);
    if (n)
        assert_string_equal(ferry_frr_after_prefix(s->line), first);
}

static void test_a_table_is_its_vrfs(void **state)
{
    (void)state;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config c = parsed(true);
    assert_int_equal(c.n_vrfs, 3); /* neither the inactive one nor a namespace */
    assert_string_equal(ferry_frr_config_vrf(&c, 100)->name, "red");
    assert_string_equal(ferry_frr_config_vrf(&c, 200)->name, "blue");
    assert_string_equal(ferry_frr_config_vrf(&c, 400)->name, ""); /* vtysh would take it for an option */
    assert_null(ferry_frr_config_vrf(&c, 300));
    assert_null(ferry_frr_config_vrf(&c, FERRY_TABLE_MAIN));
    finds(&c, P, FERRY_TABLE_MAIN, 1, "10.255.2.2 up1");
    finds(&c, P, 100, 1, "10.255.1.2 up0");
    finds(&c, P, 200, 0, NULL);
    finds(&c, "192.168.2.0/24", 100, 2, "10.255.1.2 up0 tag 2100 30");
    finds(&c, "192.168.2.0/24", FERRY_TABLE_MAIN, 0, NULL);
    finds(&c, "192.168.5.0/24", 100, 1, "10.255.2.2 up1 table 100"); /* zebra puts it into the VRF's RIB */
    finds(&c, "192.168.7.0/24", 300, 1, "10.255.2.2 up1 table 300");
    finds(&c, "192.168.9.0/24", FERRY_TABLE_MAIN, 0, NULL);
    finds(&c, "fd00:1::/64", 100, 1, "fd00:255:1::2 up0");
}

/* Without `show vrf` the blocks are nobody's, and the default VRF has all tables. */
static void test_without_vrfs_nothing_is_taken_for_one(void **state)
{
    (void)state;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config c = parsed(false);
    struct ferry_frr d = {0};
    finds(&c, P, FERRY_TABLE_MAIN, 1, "10.255.2.2 up1");
    finds(&c, P, 100, 0, NULL);
    finds(&c, "192.168.5.0/24", 100, 1, "10.255.2.2 up1 table 100");
    finds(&c, "192.168.2.0/24", FERRY_TABLE_MAIN, 0, NULL);
    /* Who has blocks is asked, and who is asked about another table; nobody else. */
    assert_true(ferry_frr_vrfs_wanted(&d, &c));
    assert_false(ferry_frr_vrfs_wanted(&d, NULL));
    ferry_frr_vrfs_note(&d, FERRY_TABLE_MAIN);
    assert_false(ferry_frr_vrfs_wanted(&d, NULL));
    d.running_since_us = d.checked_us = 7;
    ferry_frr_vrfs_note(&d, 100);
    assert_true(ferry_frr_vrfs_wanted(&d, NULL));
    assert_int_equal(d.running_since_us + d.checked_us, 0); /* what was read before does not say it */
}

static struct ferry_fib held(const struct ferry_frr_config *c, const char *of, uint32_t table)
{
    static const struct ferry_driver_config config = {.type = (char *)"frr"};
    struct ferry_frr_look look = {.config = &config, .running = c};
    struct ferry_query_item item = {.prefix = prefix(of), .table = table};
    struct ferry_fib fib = {0};
    ferry_frr_hold(&look, &item, 0, FERRY_EXACT, &fib);
    return fib;
}

static void test_what_is_held(void **state)
{
    (void)state;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config c = parsed(true);
    FERRY_CLEANUP(ferry_fib_clear) struct ferry_fib one = held(&c, "192.168.2.0/24", 100);
    FERRY_CLEANUP(ferry_fib_clear) struct ferry_fib drop = held(&c, "192.168.3.0/24", 100);
    FERRY_CLEANUP(ferry_fib_clear) struct ferry_fib leak = held(&c, "192.168.4.0/24", 100);
    FERRY_CLEANUP(ferry_fib_clear) struct ferry_fib none = held(&c, "192.168.9.0/24", FERRY_TABLE_MAIN);
    assert_int_equal(one.n, 1);
    const struct ferry_entry *e = &one.items[0].entry;
    assert_int_equal(e->table, 100);
    assert_int_equal(e->metric, 30);
    assert_int_equal(e->protocol, FERRY_PROTOCOL);
    assert_int_equal(e->n_nexthops, 2);
    assert_int_equal(e->native_len, 0);
    assert_int_equal(drop.n, 1);
    assert_int_equal(drop.items[0].entry.type, FERRY_BLACKHOLE);
    assert_int_equal(drop.items[0].entry.table, 100);
    assert_int_equal(leak.n, 1); /* its words come back as they are */
    assert_memory_equal(leak.items[0].entry.native, "10.255.2.2 nexthop-vrf default",
                        leak.items[0].entry.native_len);
    assert_int_equal(none.n, 0);
}

static void test_what_is_reported(void **state)
{
    (void)state;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config c = parsed(true);
    FERRY_CLEANUP(ferry_fib_clear) struct ferry_fib fib = {0};
    struct ferry_frr d = {.running = &c};
    struct ferry_query_item items[] = {
        {.table = FERRY_TABLE_MAIN}, {.table = 100}, {.table = 300}, {.table = 400}};
    struct ferry_query query = {.items = items, .n = FERRY_COUNT(items)};
    ferry_frr_vrfs_report(&d, &query, &fib);
    assert_int_equal(fib.n_vrfs,
                     1); /* those of the tables that were asked about, with a name that can be told */
    assert_string_equal(fib.vrfs[0].name, "red");
    assert_int_equal(fib.vrfs[0].table, 100);
}

/* The slot `read`, of a router that answers so. */
static const char rib[] =
    "{\n  \"192.168.1.0/24\":[\n    {\n      \"prefix\":\"192.168.1.0/24\",\n      \"prefixLen\":24,\n"
    "      \"protocol\":\"static\",\n      \"vrfId\":8,\n      \"vrfName\":\"red\",\n      "
    "\"selected\":true,\n"
    "      \"destSelected\":true,\n      \"distance\":1,\n      \"metric\":0,\n      \"installed\":true,\n"
    "      \"table\":100,\n      \"internalStatus\":16,\n      \"internalFlags\":73,\n"
    "      \"internalNextHopNum\":1,\n      \"internalNextHopActiveNum\":1,\n      \"nexthopGroupId\":20,\n"
    "      \"installedNexthopGroupId\":20,\n      \"uptime\":\"00:00:46\",\n      \"nexthops\":[\n        {\n"
    "          \"flags\":3,\n          \"fib\":true,\n          \"ip\":\"10.255.1.2\",\n          "
    "\"afi\":\"ipv4\",\n"
    "          \"interfaceIndex\":3,\n          \"interfaceName\":\"up0\",\n          \"active\":true,\n"
    "          \"weight\":1\n        }\n      ]\n    }\n  ]\n}\n";
static const char kernel[] =
    "[{\"type\":\"1\",\"dst\":\"192.168.1.0/24\",\"nhid\":20,\"gateway\":\"10.255.1.2\",\"dev\":\"up0\","
    "\"table\":\"100\",\"protocol\":\"196\",\"scope\":\"0\",\"metric\":20,\"flags\":[],\"nh_info\":{\"id\":"
    "20,"
    "\"gateway\":\"10.255.1.2\",\"dev\":\"up0\",\"scope\":\"253\",\"protocol\":\"11\",\"flags\":[]}}]\n";

static int read_red(const char *answers, const char *of, struct ferry_fib *ret, struct ferry_err *err)
{
    struct ferry_frr *d = ferry_calloc(1, sizeof *d);
    struct ferry_query_item item = {.prefix = prefix(of), .table = 100};
    struct ferry_query query = {.items = &item, .n = 1};
    fuzz_begin();
    d->base.ops = &ferry_driver_frr;
    d->env = &fuzz_env;
    d->router = ferry_strdup("edge");
    d->config.type = ferry_strdup("frr");
    d->remote = fuzz_router("edge", (const uint8_t *)answers, strlen(answers));
    int result = ferry_driver_frr.read((struct ferry_driver *)d, &query, ret, err);
    ferry_driver_frr.close((struct ferry_driver *)d);
    return result;
}

static void test_what_is_read(void **state)
{
    (void)state;
    struct ferry_err err;
    FERRY_CLEANUP(ferry_fib_clear) struct ferry_fib fib = {0};
    struct ferry_fib none = {0};
    FERRY_AUTOFREE char *answers =
        ferry_asprintf("@ show running-config\n%s@ show vrf\n%s@ show ip route vrf red " P " json\n%s"
                       "@ route show match " P " table 100\n%s@ route show root " P " table 100\n%s",
                       says, vrfs, rib, kernel, kernel);
    if (read_red(answers, P, &fib, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(fib.n, 1); /* the route of the same prefix in table main is another's */
    assert_int_equal(fib.items[0].relation, FERRY_EXACT);
    const struct ferry_entry *e = &fib.items[0].entry;
    assert_int_equal(e->table, 100);
    assert_int_equal(e->n_nexthops, 1);
    assert_string_equal(e->nexthops[0].dev, "up0");
    assert_false(e->nexthops[0].down);
    assert_int_equal(fib.n_vrfs, 1);
    assert_string_equal(fib.vrfs[0].name, "red");
    /* FRR says it, and the kernel has not got it. */
    FERRY_AUTOFREE char *cut = ferry_strdup(answers);
    *strstr(cut, "@ route show match") = '\0';
    assert_int_equal(read_red(cut, P, &none, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "not in the kernel"));
    assert_int_equal(read_red(answers, "192.168.3.0/24", &none, &err), -FERRY_EIO);
    assert_non_null(strstr(err.text, "table 100 is VRF red's, and the default VRF has"));
}

/* ---- Lines. ---- */

static struct ferry_vrf red = {"red", 100};
static const struct ferry_driver_config in_red = {.type = (char *)"frr", .vrfs = &red, .n_vrfs = 1};

struct made {
    struct ferry_entry e;
    struct ferry_nexthop hops[2];
};

static const struct ferry_entry *route(struct made *m, uint32_t table, uint32_t metric, const char *a,
                                       const char *b)
{
    const char *vias[] = {a, b};
    *m = (struct made){.e = {.type = a ? FERRY_UNICAST : FERRY_BLACKHOLE,
                             .table = table,
                             .metric = metric,
                             .protocol = FERRY_PROTOCOL,
                             .nexthops = m->hops}};
    for (size_t i = 0; i < 2 && vias[i]; i++)
        m->hops[m->e.n_nexthops++] = (struct ferry_nexthop){
            .router = FERRY_NO_ROUTER, .via = addr(vias[i]), .dev = "up0", .weight = 1};
    return &m->e;
}

/* The two files of an op, and its undo, as the preview shows them. */
static void tells(const char *of, const struct ferry_entry *before, const struct ferry_entry *after,
                  const char *first, const char *second)
{
    struct ferry_frr_files files = {0};
    struct ferry_err err;
    char shown[2000];
    struct ferry_op op = {
        .kind = FERRY_KIND_ROUTE, .prefix = prefix(of), .table = 100, .before = before, .after = after};
    if (ferry_frr_lines(&in_red, &op, &files, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(files.file[0].v ? files.file[0].v : "", first);
    assert_string_equal(files.file[1].v ? files.file[1].v : "", second);
    assert_int_equal(ferry_frr_native(&in_red, &op, shown, sizeof shown), strlen(first) + strlen(second));
    assert_memory_equal(shown, first, strlen(first));
    assert_string_equal(shown + strlen(first), second);
    ferry_frr_files_clear(&files);
}

static void test_lines_stand_in_the_block(void **state)
{
    (void)state;
    struct made a, b;
    tells(P, NULL, route(&a, 100, 1, "10.255.1.2", NULL),
          "vrf red\n ip route " P " 10.255.1.2 up0 tag 2100\nexit-vrf\n", "");
    tells(P, route(&a, 100, 1, "10.255.1.2", NULL), NULL, "",
          "vrf red\n no ip route " P " 10.255.1.2 up0 tag 2100\nexit-vrf\n");
    tells(P, route(&a, 100, 30, "10.255.1.2", "10.255.1.3"), route(&b, 100, 30, "10.255.1.3", "10.255.1.4"),
          "vrf red\n ip route " P " 10.255.1.4 up0 tag 2100 30\nexit-vrf\n",
          "vrf red\n no ip route " P " 10.255.1.2 up0 tag 2100 30\nexit-vrf\n");
    /* FRR lets no drop stand beside a next hop: one file, one block. */
    tells(P, route(&a, 100, 1, "10.255.1.2", NULL), route(&b, 100, 1, NULL, NULL),
          "vrf red\n no ip route " P " 10.255.1.2 up0 tag 2100\n ip route " P
          " blackhole tag 2100\nexit-vrf\n",
          "");
    tells("fd00:1::/64", NULL, route(&a, 100, 1, "fd00:255:1::2", NULL),
          "vrf red\n ipv6 route fd00:1::/64 fd00:255:1::2 up0 tag 2100\nexit-vrf\n", "");
    struct ferry_entry leak = {.type = FERRY_UNICAST, .table = 100, .metric = 1, .protocol = 4};
    leak.native = (const uint8_t *)"10.255.2.2 nexthop-vrf default";
    leak.native_len = (uint32_t)strlen((const char *)leak.native);
    tells(P, &leak, NULL, "", "vrf red\n no ip route " P " 10.255.2.2 nexthop-vrf default\nexit-vrf\n");
    /* Another table is none of a VRF. */
    tells(P, NULL, route(&a, 300, 1, "10.255.1.2", NULL),
          "ip route " P " 10.255.1.2 up0 tag 2100 table 300\n", "");
}

static void test_gateways(void **state)
{
    (void)state;
    struct ferry_gateway connected = {.address = prefix(P)}, routed = {.via = addr("10.255.1.9")};
    struct ferry_entry attached = {.type = FERRY_GATEWAY};
    struct ferry_frr_files files = {0};
    struct ferry_err err;
    connected.address.addr.bytes[3] = 1;
    struct ferry_op op = {.kind = FERRY_KIND_GATEWAY,
                          .prefix = prefix(P),
                          .table = 100,
                          .gateway = &connected,
                          .interface = "lan0",
                          .after = &attached};
    assert_int_equal(ferry_frr_lines(&in_red, &op, &files, &err), 0);
    assert_string_equal(files.file[0].v, "interface lan0\n ip address 192.168.1.1/24\nexit\n");
    ferry_frr_files_clear(&files);
    op.table = 300;
    assert_int_equal(ferry_frr_lines(&in_red, &op, &files, &err), -FERRY_EREFUSED);
    op.table = 100;
    op.gateway = &routed;
    assert_int_equal(ferry_frr_lines(&in_red, &op, &files, &err), 0);
    assert_string_equal(files.file[0].v, "vrf red\n ip route " P " 10.255.1.9 lan0 tag 2100\nexit-vrf\n");
    ferry_frr_files_clear(&files);
}

/* L1 of lines.c: what stands in a plan is no way into vtysh. */
static void test_no_name_is_a_way_into_vtysh(void **state)
{
    (void)state;
    static const char *const names[] = {"", "a b", "x\n!\nhostn", "red?", "tag", "7", "-f", "."};
    struct made m;
    struct ferry_err err;
    for (size_t i = 0; i < FERRY_COUNT(names); i++) {
        struct ferry_vrf odd = {.table = 100};
        struct ferry_driver_config config = {.type = (char *)"frr", .vrfs = &odd, .n_vrfs = 1};
        struct ferry_frr_files files = {0};
        struct ferry_op op = {
            .prefix = prefix(P), .table = 100, .after = route(&m, 100, 1, "10.255.1.2", NULL)};
        strcpy(odd.name, names[i]);
        assert_int_equal(ferry_frr_lines(&config, &op, &files, &err), -FERRY_EREFUSED);
        assert_int_equal(files.file[0].n + files.file[1].n, 0);
    }
}

/* ---- Refusals. ---- */

static void refuses(const struct ferry_frr *d, const char *of, uint32_t table, enum ferry_kind kind,
                    const char *why)
{
    struct ferry_err err;
    struct ferry_op op = {.kind = kind, .prefix = prefix(of), .table = table};
    int result = ferry_frr_vrf_check(d, &op, &err);
    assert_int_equal(result, why ? -FERRY_EREFUSED : 0);
    if (why && !strstr(err.text, why))
        fail_msg("'%s' does not say '%s'", err.text, why);
}

static void test_it_must_be_clear_whose_a_table_is(void **state)
{
    (void)state;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config c = parsed(true);
    struct ferry_vrf then[] = {{"red", 100}, {"blu", 200}, {"green", 500}, {"gone", 600}};
    struct ferry_frr d = {.running = &c, .planned = then, .n_planned = FERRY_COUNT(then)};
    refuses(&d, P, FERRY_TABLE_MAIN, FERRY_KIND_ROUTE, NULL);
    refuses(&d, P, 0, FERRY_KIND_ANNOUNCEMENT, NULL);
    refuses(&d, P, 100, FERRY_KIND_ROUTE, NULL);
    refuses(&d, P, 300, FERRY_KIND_ROUTE, NULL);
    refuses(&d, P, 100, FERRY_KIND_ANNOUNCEMENT, "nothing is announced from within VRFs");
    refuses(&d, "192.168.3.0/24", 100, FERRY_KIND_ROUTE, "table 100 is VRF red's, and the default VRF has");
    refuses(&d, "192.168.5.0/24", 100, FERRY_KIND_ROUTE, "table 100 is VRF red's, and the default VRF has");
    refuses(&d, P, 200, FERRY_KIND_ROUTE,
            "table 200 was VRF blu's when this was planned, and is VRF blue now");
    refuses(&d, P, 500, FERRY_KIND_ROUTE, "VRF green is inactive");
    refuses(&d, P, 600, FERRY_KIND_ROUTE, "and is no VRF's now");
    refuses(&d, P, 400, FERRY_KIND_ROUTE, "whose name vtysh cannot be told");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_is_its_vrfs),
        cmocka_unit_test(test_without_vrfs_nothing_is_taken_for_one),
        cmocka_unit_test(test_what_is_held),
        cmocka_unit_test(test_what_is_reported),
        cmocka_unit_test(test_what_is_read),
        cmocka_unit_test(test_lines_stand_in_the_block),
        cmocka_unit_test(test_gateways),
        cmocka_unit_test(test_no_name_is_a_way_into_vtysh),
        cmocka_unit_test(test_it_must_be_clear_whose_a_table_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
