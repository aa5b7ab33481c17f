/* Random small networks; see small_net.h.  SPDX-License-Identifier: MIT */
#include "small_net.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTERS = 5, LINKS = 10 };

struct shape {
    unsigned n, n_links, n_sites;
    bool v6, stretched;
    unsigned a[LINKS], b[LINKS], site[ROUTERS];
    const char *speaks[ROUTERS]; /* a protocol, or NULL */
};

static bool linked(const struct shape *s, unsigned a, unsigned b)
{
    for (unsigned i = 0; i < s->n_links; i++)
        if ((s->a[i] == a && s->b[i] == b) || (s->a[i] == b && s->b[i] == a))
            return true;
    return false;
}

static struct shape shape_of(struct dice *d)
{
    struct shape s = {.n = 3 + dice_roll(d, 3), .v6 = dice_roll(d, 2)};
    s.n_sites = 2 + dice_roll(d, 2);
    for (unsigned r = 0; r < s.n; r++)
        s.site[r] = r < s.n_sites ? r : dice_roll(d, s.n_sites);
    for (unsigned r = 1; r < s.n; r++) { /* a tree … */
        s.a[s.n_links] = dice_roll(d, r);
        s.b[s.n_links++] = r;
    }
    for (unsigned extra = dice_roll(d, s.n + 1); extra; extra--) { /* … and some more */
        unsigned a = dice_roll(d, s.n), b = dice_roll(d, s.n);
        if (a == b || linked(&s, a, b) || s.n_links == LINKS)
            continue;
        s.a[s.n_links] = a;
        s.b[s.n_links++] = b;
    }
    return s;
}

static void put_router(FILE *f, const struct shape *s, unsigned r, bool table)
{
    fprintf(f, "%s{\"name\": \"r%u\", \"site\": \"s%u\", \"driver\": {\"type\": \"sim\"},%s", r ? ",\n" : "",
            r, s->site[r], table ? " \"table\": 100," : "");
    if (s->speaks[r])
        fprintf(f, " \"routing\": \"%s\",", s->speaks[r]);
    fputs(" \"interfaces\": [", f);
    for (unsigned i = 0; i < s->n_links; i++)
        if (s->a[i] == r || s->b[i] == r)
            fprintf(f,
                    s->v6 ? "{\"name\": \"l%u\", \"addresses\": [\"fd00:%u::%u/64\"]}, "
                          : "{\"name\": \"l%u\", \"addresses\": [\"10.255.%u.%u/30\"]}, ",
                    i, i, s->a[i] == r ? 1u : 2u);
    fprintf(f, "{\"name\": \"lan0\"}]}");
}

/* At every site one gateway or two, where it has two routers. */
static void put_subnet(FILE *f, const struct shape *s, struct dice *d, unsigned subnet)
{
    bool stretched = s->stretched && dice_roll(d, 4);
    bool taken[ROUTERS] = {false};
    const char *sep = "";
    fprintf(f, "%s{\"name\": \"n%u\", \"prefix\": ", subnet ? ",\n" : "", subnet);
    fprintf(f, s->v6 ? "\"2001:db8:%u::/64\"" : "\"10.%u.0.0/24\"", subnet);
    fprintf(f, ", %s\"home\": \"s%u\", \"gateways\": [", stretched ? "\"stretched\": true, " : "",
            dice_roll(d, s->n_sites));
    for (unsigned r = 0; r < s->n; r++) {
        if (taken[s->site[r]] && dice_roll(d, 2))
            continue;
        taken[s->site[r]] = true;
        fprintf(f, "%s{\"router\": \"r%u\", \"interface\": \"lan0\", \"address\": ", sep, r);
        fprintf(f, s->v6 ? "\"2001:db8:%u::1/64\"}" : "\"10.%u.0.1/24\"}", subnet);
        sep = ", ";
    }
    fprintf(f, "]}");
}

static char *net(struct dice *d, bool speaking, bool stretched)
{
    struct shape s = shape_of(d);
    s.stretched = stretched;
    const char *protocol = !speaking ? NULL : dice_roll(d, 2) ? "bgp" : "ospf";
    for (unsigned r = 0; protocol && r < s.n; r++)
        s.speaks[r] = dice_roll(d, 5) ? protocol : NULL;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    fprintf(f, "{\"ferry\": 1, \"name\": \"small\", \"ecmp\": %s, \"sites\": [",
            dice_roll(d, 2) ? "true" : "false");
    for (unsigned i = 0; i < s.n_sites; i++)
        fprintf(f, "%s{\"name\": \"s%u\"}", i ? ", " : "", i);
    fprintf(f, "],\n\"routers\": [");
    for (unsigned r = 0; r < s.n; r++)
        put_router(f, &s, r, dice_roll(d, 8) == 0);
    fprintf(f, "],\n\"links\": [");
    for (unsigned i = 0; i < s.n_links; i++)
        fprintf(f, "%s{\"endpoints\": [\"r%u:l%u\", \"r%u:l%u\"], \"costs\": [%u, %u]}", i ? ",\n" : "",
                s.a[i], i, s.b[i], i, 1 + dice_roll(d, 3), 1 + dice_roll(d, 3));
    fprintf(f, "],\n\"subnets\": [");
    unsigned n_subnets = 1 + dice_roll(d, 2);
    for (unsigned i = 0; i < n_subnets; i++)
        put_subnet(f, &s, d, i);
    fprintf(f, "]}\n");
    fclose(f);
    return text;
}

char *small_net(struct dice *d)
{
    return net(d, false, false);
}

char *small_net_stretched(struct dice *d)
{
    return net(d, false, true);
}

char *small_net_speaking(struct dice *d)
{
    return net(d, true, false);
}

/* What other people left on one router: backups, a foreign drop below, or nothing but a covering route. */
static void mess(struct ferry_live *live, struct dice *d, size_t router, size_t column)
{
    size_t at = router * live->n_subnets + column;
    const struct ferry_stack *stack = live->stacks[at];
    const struct ferry_entry *entries[4];
    uint32_t n = 0;
    if (!stack)
        return;
    struct ferry_entry more = *stack->entries[0];
    bool gateway = more.type == FERRY_GATEWAY;
    for (; n < stack->n; n++)
        entries[n] = stack->entries[n];
    unsigned way = dice_roll(d, 12);
    if (way == 0 && !gateway) {
        live->stacks[at] = NULL;
        more.metric = 1024;
        live->covers[at] = dice_roll(d, 4) ? ferry_pool_entry(live->pool, &more) : NULL;
        return;
    }
    more.protocol = 4;
    more.metric = (uint32_t[]){30, 1000, 2100, 4000}[dice_roll(d, 4)];
    if (way == 1 && gateway)
        more.table = ferry_topology_table(live->topology, (uint32_t)router, live->subnets[column]);
    if (way <= 2) {
        more.type = FERRY_BLACKHOLE;
        more.n_nexthops = 0;
    }
    if (way > 4 || (gateway && way != 1))
        return;
    entries[n++] = ferry_pool_entry(live->pool, &more);
    live->stacks[at] = ferry_pool_stack(live->pool, entries, n);
}

/* A stretched subnet may be at its new site already. */
static void attach_too(struct ferry_live *live, uint32_t column, uint32_t site)
{
    static const struct ferry_entry plain = {.type = FERRY_GATEWAY};
    const struct ferry_entry *gateway = ferry_pool_entry(live->pool, &plain);
    const struct ferry_subnet *s = &live->topology->subnets[column];
    for (size_t i = 0; i < s->n_gateways; i++)
        if (live->topology->routers[s->gateways[i].router].site == site)
            live->stacks[s->gateways[i].router * live->n_subnets + column] =
                ferry_pool_stack(live->pool, &gateway, 1);
}

static void lose(struct ferry_live *live, struct dice *d)
{
    const struct ferry_topology *t = live->topology;
    bool all = dice_roll(d, 3), any = false;
    for (uint32_t r = 0; r < t->n_routers; r++)
        if (t->routers[r].site == t->subnets[0].home && (all || !any || dice_roll(d, 2))) {
            ferry_live_lose(live, r);
            any = true;
        }
    if (dice_roll(d, 6) == 0)
        ferry_live_lose(live, dice_roll(d, (unsigned)t->n_routers));
}

static struct ferry_plan *make(const struct ferry_topology *t, struct dice *d, bool messy, bool losing,
                               struct ferry_err *ret_refused)
{
    struct ferry_plan_terms terms = {.mode = losing ? "disaster" : "planned"};
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(t->n_subnets, sizeof *subnets);
    FERRY_AUTOFREE uint32_t *active = ferry_calloc(t->n_subnets, sizeof *active);
    FERRY_AUTOFREE struct ferry_move *moves = ferry_calloc(t->n_subnets, sizeof *moves);
    struct ferry_err err;
    struct ferry_plan *plan = NULL;
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        subnets[i] = i;
        active[i] = t->subnets[i].home;
        uint32_t away = 1 + dice_roll(d, (unsigned)t->n_sites - 1);
        moves[i] = (struct ferry_move){i, (uint32_t)((active[i] + away) % t->n_sites)};
    }
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(t, pool, subnets, t->n_subnets);
    int r = ferry_live_offline(live, active, &err);
    for (size_t i = 0; r == 0 && messy && i < t->n_routers * t->n_subnets; i++)
        mess(live, d, i / t->n_subnets, i % t->n_subnets);
    for (uint32_t i = 0; r == 0 && i < t->n_subnets; i++)
        if (t->subnets[i].stretched && dice_roll(d, 3) == 0)
            attach_too(live, i, moves[i].to);
    if (losing)
        lose(live, d);
    if (losing && dice_roll(d, 2))
        terms.attest = "it burnt";
    if (r == 0)
        r = ferry_plan_make_on(live, moves, t->n_subnets, &terms, &plan, &err);
    if (r < 0 && !ret_refused) {
        fprintf(stderr, "no plan: %s\n", err.text);
        abort();
    }
    if (r < 0)
        *ret_refused = err;
    ferry_live_free(live);
    ferry_pool_free(pool);
    return plan;
}

struct ferry_plan *small_plan(const struct ferry_topology *t, struct dice *d, bool messy,
                              struct ferry_err *ret_refused)
{
    return make(t, d, messy, false, ret_refused);
}

struct ferry_plan *small_plan_lost(const struct ferry_topology *t, struct dice *d, bool messy,
                                   struct ferry_err *ret_refused)
{
    return make(t, d, messy, true, ret_refused);
}
