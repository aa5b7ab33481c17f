/* The plan of a test failover, and whether production is as it was.  See test_failover.h.
 *
 *  1. Where a subnet's test is, and that the subnet itself is elsewhere, is asked before anything is planned.
 *  2. What is compared was read by the drivers, from every router: two stacks of one pool are the same
 *     exactly if they are one.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/test_failover.h"

#include "base/mem.h"
#include <string.h>

/* ---- Production. ---- */

void ui_production_clear(struct ui_production *p)
{
    ferry_live_free(p->before);
    ferry_live_free(p->after);
    ferry_pool_free(p->pool);
    *p = (struct ui_production){0};
}

static struct ferry_live *live_of_all(const struct ferry_topology *t, struct ferry_pool *pool)
{
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(t->n_subnets + 1, sizeof *subnets);
    for (uint32_t i = 0; i < t->n_subnets; i++)
        subnets[i] = i;
    return ferry_live_new(t, pool, subnets, t->n_subnets);
}

int ui_production_read(struct ui *ui, struct ui_production *p, struct ferry_fleet *fleet,
                       struct ferry_live **ret)
{
    if (!p->pool)
        p->pool = ferry_pool_new();
    ferry_live_free(*ret);
    *ret = live_of_all(p->t, p->pool);
    return ferry_fleet_read_live(fleet, *ret, &ui->err);
}

size_t ui_production_cells(const struct ui_production *p)
{
    size_t n = 0;
    for (size_t v = 0; v < p->t->n_routers; v++)
        n += p->before->unreachable[v] ? 0 : p->before->n_subnets;
    return n;
}

char *ui_production_difference(const struct ui_production *p)
{
    char was[256], is[256];
    for (size_t v = 0; v < p->t->n_routers; v++) {
        const char *router = p->t->routers[v].name;
        if (p->before->unreachable[v])
            continue;
        if (p->after->unreachable[v])
            return ferry_asprintf("%s does not answer any more: %s", router,
                                  p->after->unreachable_why[v].text);
        for (size_t c = 0; c < p->before->n_subnets; c++) {
            size_t at = v * p->before->n_subnets + c;
            if (p->before->stacks[at] == p->after->stacks[at] &&
                p->before->covers[at] == p->after->covers[at])
                continue; /* 2 */
            return ferry_asprintf("%s: %s: was %s, is %s", router, p->t->subnets[c].name,
                                  ferry_entry_text(ferry_stack_best(p->before->stacks[at]), was, sizeof was),
                                  ferry_entry_text(ferry_stack_best(p->after->stacks[at]), is, sizeof is));
        }
    }
    return NULL;
}

/* ---- The plan. ---- */

static bool has_gateway_at(const struct ferry_topology *t, const struct ferry_gateway *g, size_t n,
                           uint32_t site)
{
    for (size_t i = 0; i < n; i++)
        if (t->routers[g[i].router].site == site)
            return true;
    return false;
}

/* 1 */
static int check_place(struct ui *ui, const struct ui_production *p, uint32_t subnet, uint32_t site)
{
    const struct ferry_topology *t = p->t;
    const struct ferry_subnet *s = &t->subnets[subnet];
    if (!s->test)
        return ferry_refuse(&ui->err, "test-isolated",
                            "%s has no isolated network to be tried out in: \"test\" of the subnet in the "
                            "topology says where (docs/test-failover.md)",
                            s->name);
    if (!has_gateway_at(t, s->test->gateways, s->test->n_gateways, site))
        return ferry_refuse(&ui->err, "test-isolated", "the test of %s has no gateway at %s", s->name,
                            t->sites[site].name);
    for (size_t v = 0; v < t->n_routers; v++) {
        const struct ferry_stack *stack = p->before->stacks[v * p->before->n_subnets + subnet];
        if (stack && stack->entries[0]->type == FERRY_GATEWAY && t->routers[v].site == site)
            return ferry_refuse(&ui->err, "test-isolated",
                                "%s is attached at %s itself, on %s: a test is at another site", s->name,
                                t->sites[site].name, t->routers[v].name);
    }
    return 0;
}

/* "SUBNET=SITE". */
static int find_move(struct ui *ui, const struct ferry_topology *t, const char *text, struct ferry_move *ret)
{
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text)
        return ferry_error(&ui->err, FERRY_EUSAGE, "--move: '%s' is not SUBNET=SITE", text);
    FERRY_AUTOFREE char *name = ferry_asprintf("%.*s", (int)(equals - text), text);
    int r = ui_find_subnet(ui, t, name, &ret->subnet);
    return r < 0 ? r : ui_find_site(ui, t, equals + 1, &ret->to);
}

struct selected {
    struct ferry_move *moves; /* of the real topology, by subnet */
    bool *subnets;
    size_t n;
};

static void selected_clear(struct selected *s)
{
    free(s->moves);
    free(s->subnets);
}

static int select_all(struct ui *ui, const struct ui_production *p, char *const *texts, size_t n,
                      struct selected *ret)
{
    const struct ferry_topology *t = p->t;
    ret->subnets = ferry_calloc(t->n_subnets + 1, sizeof *ret->subnets);
    ret->moves = ferry_calloc(t->n_subnets + 1, sizeof *ret->moves);
    for (size_t i = 0; i < n; i++) {
        struct ferry_move move;
        int r = find_move(ui, t, texts[i], &move);
        if (r == 0 && ret->subnets[move.subnet])
            r = ferry_error(&ui->err, FERRY_EUSAGE, "--move: %s is named twice",
                            t->subnets[move.subnet].name);
        if (r == 0)
            r = check_place(ui, p, move.subnet, move.to);
        if (r < 0)
            return r;
        ret->subnets[move.subnet] = true;
        ret->moves[move.subnet] = move;
    }
    for (uint32_t i = 0; i < t->n_subnets; i++) /* in the order of the copies */
        if (ret->subnets[i])
            ret->moves[ret->n] = (struct ferry_move){(uint32_t)ret->n, ret->moves[i].to}, ret->n++;
    return 0;
}

static void test_cleanup(struct ferry_topology **test)
{
    ferry_topology_test_free(*test);
}

static void live_cleanup(struct ferry_live **live)
{
    ferry_live_free(*live);
}

int ui_test_plan(struct ui *ui, const struct ui_production *p, char *const *texts, size_t n,
                 struct ferry_fleet *fleet, struct ferry_plan **ret)
{
    static const struct ferry_plan_terms terms = {.mode = "test"};
    FERRY_CLEANUP(selected_clear) struct selected s = {0};
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    int r = select_all(ui, p, texts, n, &s);
    if (r < 0)
        return r;
    FERRY_CLEANUP(test_cleanup) struct ferry_topology *test = ferry_topology_test(p->t, s.subnets);
    FERRY_CLEANUP(live_cleanup) struct ferry_live *live = live_of_all(test, p->pool);
    r = ferry_fleet_read_live(fleet, live, &ui->err);
    if (r == 0)
        r = ferry_plan_make_on(live, s.moves, s.n, &terms, &plan, &ui->err);
    if (r == 0)
        r = ui_plan_prove(ui, plan);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(plan);
    return 0;
}
