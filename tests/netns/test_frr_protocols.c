/* Announcements on real daemons: an origination that moves, BGP's and OSPF's, as the driver finds, writes and
 * verifies it; and a neighbour that Ferry does not control.  The lab: frr_triangle.h.
 *
 * SPDX-License-Identifier: MIT */
#include "frr_triangle.h"

#include "contract/shell.h"

#include <json-c/json.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <unistd.h>

/* ---- Ops as apply would make them. ---- */

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p;
    assert_int_equal(ferry_prefix_parse(text, &p, &err), 0);
    return p;
}

/* What the router announces of a prefix, interned in nothing: the native bytes leak into `native`. */
static bool found(int router, const char *of, struct ferry_entry *ret, uint8_t **native)
{
    struct ferry_err err;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
    struct ferry_prefix p = prefix(of);
    if (ferry_frr_config_read(&routers[router], &running, &err) < 0)
        fail_msg("%s", err.text);
    return ferry_frr_announce_find(&routers[router].config, &running, &p, ret, native);
}

static int check(int router, const struct ferry_op *op, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
    memset(err, 0, sizeof *err);
    if (ferry_frr_config_read(&routers[router], &running, err) < 0)
        fail_msg("%s", err->text);
    int r = ferry_frr_protocol_check(&routers[router], &running, err);
    if (r == 0)
        r = ferry_frr_announce_check(&routers[router], &running, op, err);
    if (r < 0)
        print_message("%s: %s: %s\n", names[router], err->rule, err->text);
    return r;
}

/* Writes an announcement's change and what goes with it in one file. */
static void announce(int router, const char *of, const struct ferry_entry *before,
                     const struct ferry_entry *after, const char *with)
{
    struct ferry_err err;
    struct ferry_frr_files files = {0};
    struct ferry_op op = {
        .kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(of), .before = before, .after = after};
    if (ferry_frr_announce_lines(&routers[router].config, &op, &files, &err) < 0)
        fail_msg("%s", err.text);
    triangle_conf(router, "%s%s", files.file[0].v, with);
    ferry_frr_files_clear(&files);
    uint64_t end = triangle_now_us() + 20000000;
    int r;
    while ((r = ferry_frr_announce_settled(&routers[router], &op, &err)) == 0 && triangle_now_us() < end)
        usleep(1000);
    assert_int_equal(r, 1);
}

static int heard(int router, const struct ferry_op *op, struct ferry_err *err)
{
    struct ferry_frr_config running = {0};
    if (ferry_frr_config_read(&routers[router], &running, err) < 0)
        fail_msg("%s", err->text);
    ferry_frr_keep(&routers[router], &running);
    return ferry_frr_announce_heard(&routers[router], op, err);
}

/* The route that a pinned router's protocol would leave it to. */
static void expect_dynamic(int router, const char *of, const char *text)
{
    uint64_t end = triangle_now_us() + 40000000;
    char buf[256] = "nothing";
    while (triangle_now_us() < end) {
        struct ferry_err err;
        FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config running = {0};
        FERRY_CLEANUP(ferry_frr_rib_clear) struct ferry_frr_rib rib = {0};
        struct ferry_prefix p = prefix(of);
        if (ferry_frr_config_read(&routers[router], &running, &err) < 0 ||
            ferry_frr_rib_read(&routers[router], AF_INET, FERRY_TABLE_MAIN, &p, &rib, &err) < 0)
            fail_msg("%s", err.text);
        snprintf(buf, sizeof buf, "nothing");
        for (size_t i = 0; i < rib.n; i++) {
            struct ferry_entry e;
            if (!ferry_frr_protocol_entry(&running, &rib.routes[i], &e))
                continue;
            ferry_entry_text(&e, buf, sizeof buf);
            free((void *)e.nexthops);
        }
        if (strcmp(buf, text) == 0)
            return;
        usleep(5000);
    }
    fail_msg("%s: %s by its protocol, not %s", names[router], buf, text);
}

/* ---- A watch on r3: its BGP table, and its kernel. ---- */

struct watch {
    volatile bool stop;
    unsigned looks, both; /* samples in which two AS originate the prefix */
    pthread_t thread;
};

/* Whether a path that is not withdrawn (bgpd shows such a one until it has tidied up) ends at this AS. */
static bool originates(const char *table, const char *as)
{
    struct json_object *document = json_tokener_parse(table), *paths, *o, *text;
    bool found_one = false;
    for (size_t i = 0;
         json_object_object_get_ex(document, "paths", &paths) && i < json_object_array_length(paths); i++) {
        struct json_object *path = json_object_array_get_idx(paths, i);
        if (json_object_object_get_ex(path, "removed", &o) ||
            !json_object_object_get_ex(path, "aspath", &o) || !json_object_object_get_ex(o, "string", &text))
            continue;
        FERRY_AUTOFREE char *spaced = ferry_asprintf(" %s", json_object_get_string(text));
        size_t n = strlen(spaced), m = strlen(as);
        found_one |= n >= m && strcmp(spaced + n - m, as) == 0;
    }
    json_object_put(document);
    return found_one;
}

static void *watch(void *ctx)
{
    struct watch *w = ctx;
    while (!w->stop) {
        FERRY_AUTOFREE char *text = triangle_show(&routers[LOOK], "show bgp ipv4 unicast %s json", BGP_P);
        bool first = originates(text, " 65001"), second = originates(text, " 65002");
        w->looks++;
        if (first && second && !w->both++)
            fprintf(stderr, "two origins: %s\n", text);
        usleep(200);
    }
    return NULL;
}

static void bird_knows(const char *as)
{
    uint64_t end = triangle_now_us() + 20000000;
    for (;;) {
        FERRY_AUTOFREE char *text = shell_text("birdc -s /run/frr/bird.ctl show route " BGP_P " all");
        char *path = strstr(text, "BGP.as_path:");
        if (as ? path && strncmp(path + 13, as, strlen(as)) == 0 : !path)
            return;
        if (triangle_now_us() > end)
            fail_msg("BIRD does not know %s: %s", as ? as : "that it is gone", text);
        usleep(10000);
    }
}

static const struct ferry_entry plain_bgp = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_BGP};
static const struct ferry_entry plain_ospf = {.type = FERRY_ANNOUNCEMENT, .protocol = RTPROT_OSPF};

static void pins(bool there)
{
    const char *no = there ? "" : "no ";
    triangle_conf(R2, "%sip route " BGP_P " 10.0.12.1 tag 2100\n", no);
    triangle_conf(R3, "%sip route " BGP_P " 10.0.13.1 tag 2100\n", no);
}

#define EVENTS "/run/frr/events"

static void until_said(const char *command, const char *words, bool there)
{
    for (int i = 0; i < 2000; i++, usleep(10000)) {
        FERRY_AUTOFREE char *text = shell_text("%s", command);
        if (!strstr(text, words) == !there)
            return;
    }
    fail_msg("%s: %s '%s'", command, there ? "no" : "still", words);
}

/* A move of the origination, there and back: r3 forwards as it is pinned, never sees two origins, and follows
 * in the end; BIRD learns and unlearns; the configuration comes back. */
static void test_bgp_move(void **state)
{
    (void)state;
    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    FERRY_AUTOFREE char *before1 = triangle_show(&routers[R1], "show running-config%s", "");
    FERRY_AUTOFREE char *before2 = triangle_show(&routers[R2], "show running-config%s", "");
    bird_knows("65003 65001");
    assert_true(found(R1, BGP_P, &e, &native));
    assert_null(native);
    assert_false(found(R2, BGP_P, &e, &native));
    expect_dynamic(R3, BGP_P, "unicast via 10.0.13.1 dev to-r1 metric 20 protocol bgp");
    pins(true);
    expect_dynamic(R3, BGP_P, "unicast via 10.0.13.1 dev to-r1 metric 20 protocol bgp");
    triangle_until(&routers[R3], "show ip route " BGP_P " json", "\"protocol\":\"static\"", true, 5);
    until_said("ip -n r3 route show " BGP_P, "proto bgp", false); /* events of the pin itself are none */

    struct watch w = {0};
    shell_listen("r3", EVENTS);
    assert_int_equal(pthread_create(&w.thread, NULL, watch, &w), 0);
    announce(R1, BGP_P, &plain_bgp, NULL,
             "ip route " BGP_P
             " blackhole 254 tag 2100\ninterface lan0\n no ip address 192.168.1.1/24\nexit\n");
    announce(R2, BGP_P, NULL, &plain_bgp,
             "interface lan0\n ip address 192.168.1.1/24\nexit\nno ip route " BGP_P " 10.0.12.1 tag 2100\n");
    expect_dynamic(R3, BGP_P, "unicast via 10.0.23.1 dev to-r2 metric 20 protocol bgp");
    expect_dynamic(R1, BGP_P, "unicast via 10.0.12.2 dev to-r2 metric 20 protocol bgp");
    bird_knows("65003 65002");
    w.stop = true;
    pthread_join(w.thread, NULL);
    assert_in_range(w.looks, 5, 1000000);
    assert_int_equal(w.both, 0);
    /* Until now no event of the prefix on r3; this one is its end. */
    triangle_conf(R3, "no ip route " BGP_P " 10.0.13.1 tag 2100\n");
    until_said("cat " EVENTS, BGP_P, true);
    FERRY_AUTOFREE char *events = shell_heard("r3", EVENTS);
    if (strncmp(events, BGP_P, strlen(BGP_P)) != 0 || strstr(events, "Deleted"))
        fail_msg("r3 has seen:\n%s", events);
    events[strcspn(events, "\n")] = '\0';
    assert_non_null(strstr(events, "via 10.0.23.1 dev to-r2 proto bgp"));

    announce(R2, BGP_P, &plain_bgp, NULL, "interface lan0\n no ip address 192.168.1.1/24\nexit\n");
    bird_knows(NULL);
    announce(R1, BGP_P, NULL, &plain_bgp,
             "interface lan0\n ip address 192.168.1.1/24\nexit\nno ip route " BGP_P
             " blackhole 254 tag 2100\n");
    expect_dynamic(R3, BGP_P, "unicast via 10.0.13.1 dev to-r1 metric 20 protocol bgp");
    expect_dynamic(R2, BGP_P, "unicast via 10.0.12.1 dev to-r1 metric 20 protocol bgp");
    bird_knows("65003 65001");
    FERRY_AUTOFREE char *after1 = triangle_show(&routers[R1], "show running-config%s", "");
    FERRY_AUTOFREE char *after2 = triangle_show(&routers[R2], "show running-config%s", "");
    assert_string_equal(before1, after1);
    assert_string_equal(before2, after2);
}

/* A statement without effect becomes a second origin with the first pin: it is read as what it is, in time. */
static void test_sleeping_statement(void **state)
{
    (void)state;
    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    triangle_conf(R3, "router bgp\n address-family ipv4 unicast\n  network " BGP_P
                      "\n exit-address-family\nexit\n");
    triangle_until(&routers[R3], "show bgp ipv4 unicast " BGP_P " json", "\"sourced\":true", true, 20);
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(BGP_P), .after = &plain_bgp};
    struct ferry_err err;
    usleep(100000);
    assert_int_equal(ferry_frr_announce_settled(&routers[R3], &op, &err),
                     0); /* not active: its route is BGP's */
    assert_true(found(R3, BGP_P, &e, &native));
    triangle_conf(R3, "ip route " BGP_P " 10.0.13.1 tag 2100\n");
    triangle_until(&routers[R2], "show bgp ipv4 unicast " BGP_P " json", "\"string\":\"65003\"", true, 20);
    triangle_conf(R3, "no ip route " BGP_P " 10.0.13.1 tag 2100\n");
    announce(R3, BGP_P, &plain_bgp, NULL, "");
    triangle_until(&routers[R2], "show bgp ipv4 unicast " BGP_P " json", "\"string\":\"65003\"", false, 20);
}

/* An announcement that an outbound filter keeps from everybody is found where Ferry takes its last route away. */
static void test_unheard(void **state)
{
    (void)state;
    struct ferry_err err = {0};
    struct ferry_entry drop = {.type = FERRY_BLACKHOLE, .metric = 254, .protocol = FERRY_PROTOCOL};
    struct ferry_op make = {
        .kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("10.50.0.0/24"), .after = &plain_bgp};
    struct ferry_op last = {.kind = FERRY_KIND_ROUTE, .prefix = make.prefix, .metric = 254, .before = &drop};
    static const char filter[] =
        "ip prefix-list NONE seq 5 deny any\nrouter bgp\n address-family ipv4 unicast\n"
        "  neighbor 10.0.12.1 prefix-list NONE out\n"
        "  neighbor 10.0.23.2 prefix-list NONE out\n exit-address-family\nexit\n";
    static const char open[] =
        "router bgp\n address-family ipv4 unicast\n  no neighbor 10.0.12.1 prefix-list NONE out\n"
        "  no neighbor 10.0.23.2 prefix-list NONE out\n exit-address-family\nexit\n"
        "no ip prefix-list NONE seq 5 deny any\n";
    assert_int_equal(check(R2, &make, &err), 0);
    triangle_conf(R2, "%s", filter);
    assert_int_equal(heard(R2, &last, &err), 0); /* not there yet, as in the outage: at once */
    announce(R2, "10.50.0.0/24", NULL, &plain_bgp, "ip route 10.50.0.0/24 blackhole 254 tag 2100\n");
    assert_int_equal(heard(R2, &last, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-unheard");
    struct ferry_op other = last;
    other.prefix = prefix("10.51.0.0/24"); /* nobody asked for that one */
    assert_int_equal(heard(R2, &other, &err), 0);
    triangle_conf(R2, "%s", open);
    assert_int_equal(heard(R2, &last, &err), 0);
    announce(R2, "10.50.0.0/24", &plain_bgp, NULL, "no ip route 10.50.0.0/24 blackhole 254\n");
}

static void test_refusals(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(BGP_P), .after = &plain_bgp};
    struct ferry_driver_config *c = &routers[R2].config;
    assert_int_equal(check(R2, &op, &err), 0);
    triangle_conf(
        R2, "router bgp\n address-family ipv4 unicast\n  redistribute static\n exit-address-family\nexit\n");
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-redistribute");
    triangle_conf(R2, "route-map PINS deny 1\n match tag 2100\nexit\nroute-map PINS permit 2\nexit\n"
                      "router bgp\n address-family ipv4 unicast\n  redistribute static route-map PINS\n"
                      " exit-address-family\nexit\n");
    assert_int_equal(check(R2, &op, &err), 0);
    triangle_conf(R2,
                  "router bgp\n address-family ipv4 unicast\n  no redistribute static\n exit-address-family\n"
                  " neighbor 10.0.12.1 shutdown\n neighbor 10.0.23.2 shutdown\nexit\nno route-map PINS\n");
    triangle_until(&routers[R2], "show bgp ipv4 unicast summary json", "\"Established\"", false, 20);
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-no-neighbour");
    triangle_conf(R2, "router bgp\n no neighbor 10.0.12.1 shutdown\n no neighbor 10.0.23.2 shutdown\nexit\n");
    triangle_until(&routers[R2], "show bgp ipv4 unicast summary json", "\"failedPeers\":0", true, 60);
    triangle_until(&routers[R2], "show ip route " BGP_P " json", "10.0.12.1", true, 60);

    c->prefix_list = (char *)"MOVED";
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-prefix-list");
    c->prefix_list = NULL;
    op.prefix = prefix("2001:db8:1::/64");
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED); /* no neighbour speaks IPv6 */
    assert_string_equal(err.rule, "frr-no-neighbour");
    op.after = &plain_ospf;
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "frr-ospf6");
}

/* The entry stands before the address comes and goes before it goes: neither waits for bgpd's 5 s. */
static void test_prefix_list(void **state)
{
    (void)state;
    struct ferry_err err;
    struct ferry_driver_config *c = &routers[R2].config;
    struct ferry_op op = {
        .kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix("10.60.0.0/24"), .after = &plain_bgp};
    triangle_conf(
        R2,
        "ip prefix-list MOVED seq 5 permit 10.200.0.0/16\nip prefix-list MOVED seq 10 permit 10.60.0.0/24\n"
        "ip prefix-list MOVED seq 20 deny 10.61.0.0/16 le 24\n"
        "route-map CONN permit 10\n match ip address prefix-list MOVED\nexit\n"
        "router bgp\n address-family ipv4 unicast\n  redistribute connected route-map CONN\n"
        " exit-address-family\nexit\n");
    FERRY_AUTOFREE char *before = triangle_show(&routers[R2], "show running-config%s", "");
    c->prefix_list = (char *)"MOVED";
    assert_int_equal(check(R2, &op, &err), 0);
    op.prefix = prefix("10.61.7.0/24");
    assert_int_equal(check(R2, &op, &err), -FERRY_EREFUSED);

    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    assert_true(found(R2, "10.60.0.0/24", &e, &native)); /* an administrator's, with a place of its own */
    assert_memory_equal(e.native, "prefix-list seq 10", e.native_len);
    announce(R2, "10.60.0.0/24", &e, NULL, "");
    announce(R2, "10.62.0.0/24", NULL, &plain_bgp, "interface lan0\n ip address 10.62.0.1/24\nexit\n");
    triangle_until(&routers[R3], "show bgp ipv4 unicast 10.62.0.0/24 json", "65002", true, 4);
    announce(R2, "10.62.0.0/24", &plain_bgp, NULL, "interface lan0\n no ip address 10.62.0.1/24\nexit\n");
    triangle_until(&routers[R3], "show bgp ipv4 unicast 10.62.0.0/24 json", "65002", false, 4);
    struct ferry_frr_files files = {0};
    op.prefix = prefix("10.60.0.0/24");
    op.after = &e;
    assert_int_equal(ferry_frr_announce_lines(c, &op, &files, &err), 0);
    triangle_conf(R2, "%s", files.file[0].v);
    ferry_frr_files_clear(&files);
    FERRY_AUTOFREE char *after = triangle_show(&routers[R2], "show running-config%s", "");
    assert_string_equal(before, after);
    c->prefix_list = NULL;
    triangle_conf(
        R2,
        "router bgp\n address-family ipv4 unicast\n  no redistribute connected\n exit-address-family\nexit\n"
        "no route-map CONN\nno ip prefix-list MOVED\n");
}

static void test_ospf_move(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++)
        routers[i].config.routing = FERRY_ROUTING_OSPF;
    struct ferry_entry e, drop = {.type = FERRY_BLACKHOLE, .metric = 254, .protocol = FERRY_PROTOCOL};
    struct ferry_err err;
    FERRY_AUTOFREE uint8_t *native = NULL;
    struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix(OSPF_P), .after = &plain_ospf};
    struct ferry_op last = {.kind = FERRY_KIND_ROUTE, .prefix = op.prefix, .metric = 254, .before = &drop};
    FERRY_AUTOFREE char *before = triangle_show(&routers[R2], "show running-config%s", "");
    triangle_conf(R1, "interface lan0\n ip address 192.168.2.1/24\nexit\nrouter ospf\n network " OSPF_P
                      " area 0\nexit\n");
    expect_dynamic(R3, OSPF_P, "unicast via 10.0.13.1 dev to-r1 metric 110 protocol ospf");
    expect_dynamic(R1, OSPF_P, "nothing"); /* its own network is no route elsewhere */
    assert_true(found(R1, OSPF_P, &e, &native));
    assert_false(found(R2, OSPF_P, &e, &native));
    assert_null(native); /* as the router writes this area: "area 0" */
    assert_int_equal(check(R2, &op, &err), 0);
    triangle_conf(R3, "ip route " OSPF_P " 10.0.13.1 tag 2100\n");

    announce(R1, OSPF_P, &plain_ospf, NULL, "interface lan0\n no ip address 192.168.2.1/24\nexit\n");
    announce(R2, OSPF_P, NULL, &plain_ospf, "interface lan0\n ip address 192.168.2.1/24\nexit\n");
    expect_dynamic(R3, OSPF_P, "unicast via 10.0.23.1 dev to-r2 metric 110 protocol ospf");
    expect_dynamic(R1, OSPF_P, "unicast via 10.0.12.2 dev to-r2 metric 110 protocol ospf");
    assert_int_equal(heard(R2, &last, &err), 0);
    triangle_conf(R3, "no ip route " OSPF_P " 10.0.13.1 tag 2100\n");

    announce(R2, OSPF_P, &plain_ospf, NULL, "interface lan0\n no ip address 192.168.2.1/24\nexit\n");
    expect_dynamic(R3, OSPF_P, "nothing");
    FERRY_AUTOFREE char *after = triangle_show(&routers[R2], "show running-config%s", "");
    assert_string_equal(before, after);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bgp_move),    cmocka_unit_test(test_sleeping_statement),
        cmocka_unit_test(test_unheard),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_prefix_list), cmocka_unit_test(test_ospf_move),
    };
    return cmocka_run_group_tests(tests, triangle_up, NULL);
}

int main(void)
{
    return triangle_alone(run);
}
