/* Policy-based VPNs: what their tunnels carry while subnets move, in every state of every stage of random
 * networks whose links are tunnels; and what is refused.
 *
 * The states are walked here, from the plan document's words alone: while service is whole (prepare, settle)
 * a router that forwards into a tunnel has the prefix among its remote selectors and, with strongSwan, the
 * other end among its local ones; and at no moment has a router of a site where the prefix is attached a
 * remote selector for it (rule local-network).
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/driver.h>
#include <ferry/prove.h>
#include <ferry/tunnel.h>

#include "base/mem.h"
#include "plan/planner.h"
#include "small_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { SEEDS = 300, BITS = 11 };

static unsigned long states, selectors, plans;

/* The site of rN. */
static unsigned site_of(const char *text, unsigned router)
{
    char key[40];
    unsigned site = 0;
    snprintf(key, sizeof key, "\"name\": \"r%u\", \"site\": \"s", router);
    const char *at = strstr(text, key);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(key), "%u", &site), 1);
    return site;
}

/* Whether the link whose costs stand here joins two sites. */
static bool between_sites(const char *text, const char *costs)
{
    unsigned a, b;
    const char *at = costs;
    while (*at != '[')
        at--;
    assert_int_equal(sscanf(at, "[\"r%u:l%*u\", \"r%u", &a, &b), 2);
    return site_of(text, a) != site_of(text, b);
}

/* The same network with some links made tunnels. */
static char *with_tunnels(const char *text, struct dice *d)
{
    static const char key[] = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
                      other[] = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
    char *ret = NULL;
    size_t len;
    FILE *f = open_memstream(&ret, &len);
    for (const char *p = text; *p; p++) {
        if (strncmp(p, "\"costs\"", 7) == 0 && dice_roll(d, 4) && between_sites(text, p)) {
            fputs("\"kind\": \"vpn-policy\", \"tunnel\": ", f);
            if (dice_roll(d, 2))
                fprintf(f, "{\"type\": \"wireguard\", \"keys\": [\"%s\", \"%s\"]}, ", key, other);
            else
                fprintf(f, "{\"type\": \"strongswan\", \"connections\": [\"c%zu/a\", \"c%zu/b\"]}, ",
                        (size_t)(p - text), (size_t)(p - text));
        }
        fputc(*p, f);
    }
    fclose(f);
    return ret;
}

static bool has(const struct ferry_stack *stack, const char *tunnel, uint8_t side)
{
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *e = stack->entries[i];
        if (e->type == FERRY_TRAFFIC_SELECTOR && e->protocol == side && e->native_len == strlen(tunnel) &&
            memcmp(e->native, tunnel, e->native_len) == 0)
            return true;
    }
    return false;
}

static bool sends_away(const struct ferry_stack *stack)
{
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (stack->entries[i]->type == FERRY_TRAFFIC_SELECTOR &&
            stack->entries[i]->protocol == FERRY_SIDE_REMOTE)
            return true;
    return false;
}

/* Whether every router that forwards into a tunnel finds it open. */
static void tunnels_open(const struct ferry_topology *t, const struct ferry_stack *const *now, unsigned seed,
                         size_t stage)
{
    for (uint32_t v = 0; v < t->n_routers; v++) {
        const struct ferry_entry *best = ferry_stack_best(now[v]);
        for (uint16_t h = 0; best && best->type == FERRY_UNICAST && h < best->n_nexthops; h++)
            for (size_t l = 0; l < t->n_links; l++) {
                const struct ferry_link *link = &t->links[l];
                bool b = link->b.router == v;
                const struct ferry_end *here = b ? &link->b : &link->a, *there = b ? &link->a : &link->b;
                if (link->kind != FERRY_LINK_VPN_POLICY || here->router != v ||
                    there->router != best->nexthops[h].router ||
                    strcmp(t->routers[v].interfaces[here->interface].name, best->nexthops[h].dev) != 0)
                    continue;
                if (!has(now[v], link->tunnel[b], FERRY_SIDE_REMOTE))
                    fail_msg("seed %u, stage %zu: %s forwards into a tunnel that does not take it", seed,
                             stage + 1, t->routers[v].name);
                if (strncmp(link->tunnel[!b], "strongswan", 10) == 0 &&
                    !has(now[there->router], link->tunnel[!b], FERRY_SIDE_LOCAL))
                    fail_msg("seed %u, stage %zu: %s does not take what %s sends", seed, stage + 1,
                             t->routers[there->router].name, t->routers[v].name);
            }
    }
}

static void local_networks(const struct ferry_topology *t, const struct ferry_stack *const *now,
                           unsigned seed, size_t stage)
{
    for (uint32_t a = 0; a < t->n_routers; a++) {
        const struct ferry_entry *best = ferry_stack_best(now[a]);
        for (uint32_t b = 0; best && best->type == FERRY_GATEWAY && b < t->n_routers; b++)
            if (t->routers[a].site == t->routers[b].site && sends_away(now[b]))
                fail_msg("seed %u, stage %zu: local-network: %s attached, %s sends it away", seed, stage + 1,
                         t->routers[a].name, t->routers[b].name);
    }
}

static void walk_stage(struct ferry_plan *plan, const struct ferry_topology *t, uint32_t group, size_t stage,
                       struct dice *d, unsigned seed)
{
    const struct ferry_stage *s = &plan->stages[stage];
    const struct ferry_stack *before[8], *now[8];
    const struct ferry_change *changes[64];
    size_t n = 0;
    for (uint32_t v = 0; v < t->n_routers; v++)
        before[v] = ferry_plan_state(plan, v, group, stage);
    for (size_t i = 0; i < s->n_changes; i++)
        if (s->changes[i].group == group) {
            changes[n++] = &s->changes[i];
            selectors += s->changes[i].kind == FERRY_KIND_SELECTOR;
        }
    size_t masks = n <= BITS ? (size_t)1 << n : (size_t)1 << BITS;
    for (size_t k = 0; k < masks; k++, states++) {
        uint64_t mask = n <= BITS ? k : ((uint64_t)dice_roll(d, 1 << 16) << 16) | dice_roll(d, 1 << 16);
        memcpy(now, before, sizeof now);
        for (size_t i = 0; i < n; i++)
            if (mask >> i & 1)
                now[changes[i]->router] = ferry_change_apply(plan->pool, now[changes[i]->router], changes[i]);
        local_networks(t, now, seed, stage);
        if (s->phase == FERRY_PREPARE || s->phase == FERRY_SETTLE)
            tunnels_open(t, now, seed, stage);
    }
}

static void walk(struct ferry_plan *plan, const struct ferry_topology *t, struct dice *d, unsigned seed)
{
    for (uint32_t g = 0; g < plan->n_groups; g++)
        for (size_t s = 0; s < plan->n_stages; s++)
            walk_stage(plan, t, g, s, d, seed);
}

static void proven(const struct ferry_plan *plan, unsigned seed)
{
    struct ferry_proof proof;
    struct ferry_err err;
    if (ferry_prove(plan, 12, &proof, &err) < 0)
        fail_msg("seed %u: %s", seed, err.text);
    ferry_proof_clear(&proof);
}

static void test_every_state_of_random_moves(void **state)
{
    unsigned refused = 0;
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct dice d = {seed};
        struct ferry_topology *t = NULL;
        struct ferry_plan *undo = NULL;
        struct ferry_err err, refusal = {.text = ""};
        FERRY_AUTOFREE char *plain = small_net(&d);
        FERRY_AUTOFREE char *text = with_tunnels(plain, &d);
        if (ferry_topology_parse("small", text, strlen(text), &t, NULL, &err))
            fail_msg("seed %u: %s\n%s", seed, err.text, text);
        struct ferry_plan *plan = small_plan(t, &d, false, &refusal);
        if (!plan) {
            assert_string_equal(refusal.rule, "local-network");
            refused++;
        } else {
            proven(plan, seed);
            walk(plan, t, &d, seed);
            assert_int_equal(ferry_plan_reverse(plan, &undo, &err), 0);
            proven(undo, seed);
            walk(undo, t, &d, seed);
            plans++;
        }
        ferry_plan_free(undo);
        ferry_plan_free(plan);
        ferry_topology_free(t);
    }
    print_message("%lu plans, their undos too, %lu changes of selectors, %lu states; %u refused\n", plans,
                  selectors, states, refused);
    assert_true(plans > SEEDS / 2 && selectors > plans && refused > 0);
}

/* The rule in the prover: a removal that comes late, an addition that comes early, of random moves. */
static void test_the_prover_finds_what_breaks_the_rule(void **state)
{
    unsigned found = 0, tried = 0;
    (void)state;
    for (unsigned seed = 0; seed < SEEDS / 2; seed++) {
        struct dice d = {seed};
        struct ferry_topology *t = NULL;
        struct ferry_err err, refusal;
        FERRY_AUTOFREE char *plain = small_net(&d);
        FERRY_AUTOFREE char *text = with_tunnels(plain, &d);
        assert_int_equal(ferry_topology_parse("small", text, strlen(text), &t, NULL, &err), 0);
        struct ferry_plan *plan = small_plan(t, &d, false, &refusal);
        for (size_t s = 0; plan && s < plan->n_stages; s++) {
            struct ferry_stage *stage = &plan->stages[s];
            for (size_t i = 0; i < stage->n_changes && s + 1 < plan->n_stages; i++) {
                struct ferry_change c = stage->changes[i];
                struct ferry_stage *last = &plan->stages[plan->n_stages - 1];
                if (stage->phase != FERRY_DETACH || c.kind != FERRY_KIND_SELECTOR ||
                    last->phase != FERRY_SETTLE)
                    continue;
                struct ferry_proof proof;
                memmove(stage->changes + i, stage->changes + i + 1, (--stage->n_changes - i) * sizeof c);
                last->changes = ferry_realloc(last->changes, last->n_changes + 1, sizeof c);
                last->changes[last->n_changes++] = c;
                tried++;
                assert_int_equal(ferry_prove(plan, 12, &proof, &err), -FERRY_EREFUSED);
                found += strcmp(err.rule, "local-network") == 0;
                ferry_proof_clear(&proof);
                s = plan->n_stages;
                break;
            }
        }
        ferry_plan_free(plan);
        ferry_topology_free(t);
    }
    print_message("%u of %u late removals found\n", found, tried);
    assert_true(tried > 10);
    assert_int_equal(found, tried);
}

static void test_tunnel_names(void **state)
{
    static const char key[] = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
    struct ferry_tunnel t;
    char text[128];
    (void)state;
    snprintf(text, sizeof text, "wireguard wg0 %s", key);
    assert_true(ferry_tunnel_parse(text, strlen(text), &t));
    assert_int_equal(t.type, FERRY_WIREGUARD);
    assert_string_equal(t.first, "wg0");
    assert_string_equal(t.second, key);
    assert_true(ferry_tunnel_parse("strongswan a b-c_d", 18, &t));
    static const char *const bad[] = {"",
                                      "wireguard",
                                      "wireguard wg0",
                                      "strongswan a",
                                      "strongswan",
                                      "strongswan  a b",
                                      "strongswan a b c",
                                      "strongswan a $b",
                                      "ipsec a b",
                                      "strongswan -a b",
                                      "strongswan a b\n",
                                      "wireguard wg0 AAAA",
                                      "strongswan a/b c"};
    for (size_t i = 0; i < FERRY_COUNT(bad); i++)
        assert_false(ferry_tunnel_parse(bad[i], strlen(bad[i]), &t));
    uint32_t remote = ferry_selector_key(text, strlen(text), FERRY_SIDE_REMOTE);
    assert_int_equal(remote ^ ferry_selector_key(text, strlen(text), FERRY_SIDE_LOCAL), 1);
}

/* Selectors, and record sets, are several to a router: the metric tells them apart.  What forwards comes
 * first in a stack, an announcement last. */
static void test_keys_and_order(void **state)
{
    static const char tunnel[] = "strongswan a b";
    struct ferry_pool *pool = ferry_pool_new();
    (void)state;
    const struct ferry_entry *local = ferry_selector_entry(pool, tunnel, FERRY_SIDE_LOCAL),
                             *remote = ferry_selector_entry(pool, tunnel, FERRY_SIDE_REMOTE);
    struct ferry_entry record = {.type = FERRY_DNS, .metric = 1}, announced = {.type = FERRY_ANNOUNCEMENT},
                       drop = {.type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = UINT32_MAX};
    assert_true(ferry_entry_forwards(&drop));
    assert_false(ferry_entry_forwards(&record));
    assert_false(ferry_entry_forwards(&announced));
    assert_false(ferry_entry_forwards(remote));
    assert_true(ferry_entry_has_key(remote, FERRY_KIND_SELECTOR, 7, remote->metric));
    assert_false(ferry_entry_has_key(remote, FERRY_KIND_SELECTOR, 7, local->metric));
    assert_false(ferry_entry_has_key(remote, FERRY_KIND_DNS, 0, remote->metric));
    assert_true(ferry_entry_has_key(&record, FERRY_KIND_DNS, 7, 1));
    assert_false(ferry_entry_has_key(&record, FERRY_KIND_DNS, 0, 28));
    assert_false(ferry_entry_has_key(&record, FERRY_KIND_SELECTOR, 0, 1));
    const struct ferry_entry *entries[] = {ferry_pool_entry(pool, &announced), remote, local,
                                           ferry_pool_entry(pool, &drop)};
    const struct ferry_stack *stack = ferry_pool_stack(pool, entries, FERRY_COUNT(entries));
    assert_ptr_equal(stack->entries[0], entries[3]);
    assert_ptr_equal(stack->entries[3], entries[0]);
    assert_ptr_equal(ferry_stack_best(stack), entries[3]);
    assert_null(ferry_stack_best(ferry_pool_stack(pool, entries, 3)));
    ferry_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_state_of_random_moves),
                                       cmocka_unit_test(test_the_prover_finds_what_breaks_the_rule),
                                       cmocka_unit_test(test_tunnel_names),
                                       cmocka_unit_test(test_keys_and_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
