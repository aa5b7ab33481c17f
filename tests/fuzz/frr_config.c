/* Target: `show running-config`, taken apart and looked into.
 *
 *  - Whatever was taken stands in order, and every static route is found by its prefix.
 *  - What an announcement is found as can be said again, taken away and put back.
 *  - A static route within a VRF is found in that VRF's table.
 *  - The same text is the same hash; on failure the output is untouched.
 *
 * SPDX-License-Identifier: MIT */
#include "frr/internal.h"

#include "fuzz.h"

#include <string.h>

static void check_statics(const struct ferry_frr_config *c)
{
    for (size_t i = 0; i < c->n_statics; i++) {
        const struct ferry_frr_static *s = &c->statics[i];
        size_t n = 0;
        FUZZ_CHECK(s->prefix.len <= ferry_addr_bits(s->prefix.addr.family));
        FUZZ_CHECK(s->line && s->rest && s->vrf && memchr(s->dev, 0, sizeof s->dev));
        FUZZ_CHECK(i == 0 || strcmp(c->statics[i - 1].vrf, s->vrf) <= 0);
        if (!ferry_frr_static_counts(c, s) || (!*s->vrf && ferry_frr_config_vrf(c, s->table)))
            continue;
        const struct ferry_frr_static *first = ferry_frr_config_statics(c, &s->prefix, s->table, &n);
        FUZZ_CHECK(first && first <= s && s < first + n);
    }
}

static void check_announcements(const struct ferry_frr_config *c, enum ferry_routing routing,
                                const char *list)
{
    static const char *const prefixes[] = {"192.168.1.0/24", "10.1.0.0/16", "fd00:1::/64"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct ferry_driver_config config = {.routing = routing, .prefix_list = list ? strdup(list) : NULL};
        struct ferry_frr_files files = {0};
        struct ferry_entry e = {0};
        struct ferry_err err = {0};
        struct ferry_prefix prefix;
        uint8_t *native = NULL;
        FUZZ_CHECK(ferry_prefix_parse(prefixes[i], &prefix, &err) == 0);
        if (ferry_frr_announce_find(&config, c, &prefix, &e, &native)) {
            struct ferry_op op = {.kind = FERRY_KIND_ANNOUNCEMENT, .prefix = prefix, .before = &e};
            FUZZ_CHECK(e.type == FERRY_ANNOUNCEMENT);
            int result = ferry_frr_announce_lines(&config, &op, &files, &err);
            fuzz_said(result, &err);
            op.before = NULL;
            op.after = &e;
            result = ferry_frr_announce_lines(&config, &op, &files, &err);
            fuzz_said(result, &err);
        }
        ferry_frr_files_clear(&files);
        free(native);
        ferry_driver_config_clear(&config);
    }
}

static void check_hold(const struct ferry_frr_config *c)
{
    struct ferry_driver_config config = {.type = (char *)"frr", .vrfs = c->vrfs, .n_vrfs = c->n_vrfs};
    struct ferry_frr_look look = {.config = &config, .running = c};
    for (size_t i = 0; i < c->n_statics && i < 20; i++) {
        struct ferry_query_item item = {.prefix = c->statics[i].prefix, .table = c->statics[i].table};
        struct ferry_fib fib = {0};
        ferry_frr_hold(&look, &item, 0, FERRY_EXACT, &fib);
        for (size_t k = 0; k < fib.n; k++) {
            struct ferry_op op = {.kind = FERRY_KIND_ROUTE,
                                  .prefix = item.prefix,
                                  .table = fib.items[k].entry.table,
                                  .metric = fib.items[k].entry.metric,
                                  .before = &fib.items[k].entry};
            struct ferry_frr_files files = {0};
            struct ferry_err err = {0};
            int result = ferry_frr_lines(&config, &op, &files, &err);
            fuzz_said(result, &err);
            ferry_frr_files_clear(&files);
        }
        ferry_fib_clear(&fib);
        (void)ferry_frr_needs_rib(c, &item.prefix, item.table);
    }
}

/* The same beside VRFs: two that it may have, and whatever its text is as what `show vrf` says. */
static void check_vrfs(struct ferry_frr_config *c, const char *text)
{
    ferry_frr_config_vrfs(c, "vrf red id 9 table 100\nvrf green inactive (configured)\n");
    ferry_frr_config_vrfs(c, text);
    for (size_t i = 0; i < c->n_vrfs; i++) {
        FUZZ_CHECK(c->vrfs[i].table && c->vrfs[i].table != FERRY_TABLE_MAIN);
        FUZZ_CHECK(!*c->vrfs[i].name || ferry_frr_vrf_name_fits(c->vrfs[i].name));
        FUZZ_CHECK(ferry_frr_config_vrf(c, c->vrfs[i].table) == &c->vrfs[i]); /* each table once */
    }
    check_statics(c);
    check_hold(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_frr_config config = {.hash = 7}, again = {0};
    struct ferry_err err = {0};
    fuzz_begin();
    char *text = fuzz_text(data, size);
    int result = ferry_frr_config_parse(text, size, &config, &err);
    fuzz_said(result, &err);
    if (result < 0) {
        FUZZ_CHECK(result == -FERRY_EIO && config.hash == 7 && !config.blocks && !config.statics);
    } else {
        FUZZ_CHECK(ferry_frr_config_parse(text, size, &again, &err) == 0 && again.hash == config.hash);
        check_statics(&config);
        check_announcements(&config, FERRY_ROUTING_BGP, NULL);
        check_announcements(&config, FERRY_ROUTING_OSPF, NULL);
        check_announcements(&config, FERRY_ROUTING_BGP, "MOVED");
        check_hold(&config);
        check_vrfs(&config, text);
        ferry_frr_config_clear(&config);
        ferry_frr_config_clear(&again);
    }
    free(text);
    return 0;
}
