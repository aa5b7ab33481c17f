/* Plans spoilt on purpose; see plan_spoil.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan_spoil.h"

#include "base/mem.h"
#include "prove_brute_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

unsigned dice_roll(struct dice *d, unsigned sides)
{
    d->seed = d->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((d->seed >> 33) % sides);
}

struct ferry_plan *spoil_copy(const struct ferry_plan *plan)
{
    struct ferry_plan *copy = ferry_memdup(plan, sizeof *plan);
    copy->stages = ferry_calloc(plan->n_stages, sizeof *copy->stages);
    for (size_t i = 0; i < plan->n_stages; i++) {
        copy->stages[i] = plan->stages[i];
        copy->stages[i].changes = ferry_calloc(64, sizeof *copy->stages[i].changes);
        memcpy(copy->stages[i].changes, plan->stages[i].changes,
               plan->stages[i].n_changes * sizeof *copy->stages[i].changes);
    }
    return copy;
}

void spoil_copy_free(struct ferry_plan *plan)
{
    for (size_t i = 0; i < plan->n_stages; i++)
        free(plan->stages[i].changes);
    free(plan->stages);
    free(plan);
}

static struct ferry_change take(struct ferry_stage *stage, size_t i)
{
    struct ferry_change c = stage->changes[i];
    memmove(stage->changes + i, stage->changes + i + 1, (--stage->n_changes - i) * sizeof c);
    return c;
}

static void give(struct ferry_stage *stage, struct ferry_change c)
{
    if (stage->n_changes == 64)
        abort();
    stage->changes[stage->n_changes++] = c;
}

static void retarget(struct ferry_plan *plan, struct ferry_change *c, struct dice *d)
{
    struct ferry_nexthop hops[BRUTE_NODES];
    struct ferry_entry e = *c->after;
    memcpy(hops, e.nexthops, e.n_nexthops * sizeof *hops);
    unsigned to = dice_roll(d, (unsigned)plan->n_routers + 1);
    struct ferry_nexthop *hop = &hops[dice_roll(d, e.n_nexthops)];
    hop->router = to == plan->n_routers ? FERRY_NO_ROUTER : to;
    hop->via.bytes[hop->via.family == AF_INET ? 2 : 14] = (uint8_t)(100 + to); /* its own address, too */
    e.nexthops = hops;
    c->after = ferry_pool_entry(plan->pool, &e);
}

static const struct ferry_entry *with_metric(struct ferry_plan *plan, const struct ferry_entry *e,
                                             uint32_t metric)
{
    if (!e)
        return NULL;
    struct ferry_entry copy = *e;
    copy.metric = metric;
    return ferry_pool_entry(plan->pool, &copy);
}

static void merge_stages(struct ferry_plan *plan, size_t into)
{
    while (plan->stages[into + 1].n_changes)
        give(&plan->stages[into], take(&plan->stages[into + 1], 0));
    free(plan->stages[into + 1].changes);
    memmove(plan->stages + into + 1, plan->stages + into + 2,
            (plan->n_stages - into - 2) * sizeof *plan->stages);
    plan->n_stages--;
}

/* The ways that need another stage. */
static const char *spoil_order(struct ferry_plan *plan, struct dice *d, struct ferry_stage *stage, size_t at,
                               size_t change)
{
    size_t other = dice_roll(d, 2) ? at + 1 : at - 1;
    unsigned way = dice_roll(d, 4);
    if (other >= plan->n_stages)
        return NULL;
    if (way == 0) {
        struct ferry_change *a = stage->changes, *b = plan->stages[other].changes;
        size_t n_a = stage->n_changes, n_b = plan->stages[other].n_changes;
        stage->changes = b;
        stage->n_changes = n_b;
        plan->stages[other].changes = a;
        plan->stages[other].n_changes = n_a;
        return "swap two stages";
    }
    if (way == 1 && stage->n_changes + plan->stages[other].n_changes <= 12) {
        merge_stages(plan, at < other ? at : other);
        return "merge two stages";
    }
    if (plan->stages[other].n_changes < 12)
        give(&plan->stages[other], take(stage, change));
    return "move a change to another stage";
}

const char *spoil_plan(struct ferry_plan *plan, struct dice *d)
{
    size_t at = dice_roll(d, (unsigned)plan->n_stages);
    struct ferry_stage *stage = &plan->stages[at];
    if (!stage->n_changes)
        return NULL;
    size_t i = dice_roll(d, (unsigned)stage->n_changes);
    struct ferry_change *c = &stage->changes[i];
    switch (dice_roll(d, 9)) {
    case 0:
        take(stage, i);
        return "drop a change";
    case 1:
        if (!c->after || c->after->type != FERRY_UNICAST)
            return NULL;
        retarget(plan, c, d);
        return "retarget a next hop";
    case 2:
        if (c->kind != FERRY_KIND_ROUTE)
            return NULL;
        c->metric = (uint32_t[]){5, 20, 30, 256, 2100, 3000}[dice_roll(d, 6)];
        c->before = with_metric(plan, c->before, c->metric);
        c->after = with_metric(plan, c->after, c->metric);
        return "change a metric";
    case 3:
        stage->phase = (enum ferry_phase)dice_roll(d, 4);
        return "change a phase";
    case 4:
        if (!c->after || c->after->type != FERRY_BLACKHOLE)
            return NULL;
        c->after = NULL;
        return "remove instead of dropping";
    case 5:
        if (stage->n_changes < 2)
            return NULL;
        struct ferry_change *b = &stage->changes[(i + 1) % stage->n_changes];
        uint32_t router = c->router;
        c->router = b->router;
        b->router = router;
        return "swap the routers of two changes";
    default:
        return spoil_order(plan, d, stage, at, i);
    }
}

void spoil_mend(struct ferry_plan *plan)
{
    FERRY_AUTOFREE struct brute_state *s = brute_state_new(plan);
    for (size_t i = 0; i < plan->n_stages; i++) {
        if (i && plan->stages[i].phase < plan->stages[i - 1].phase)
            plan->stages[i].phase = plan->stages[i - 1].phase;
        for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
            struct ferry_change *c = &plan->stages[i].changes[k];
            for (size_t j = 0; j < k; j++)
                if (brute_same_key(&plan->stages[i].changes[j], c)) {
                    take(&plan->stages[i], k--);
                    goto next; /* a stage has each key once */
                }
            c->before = brute_find(s, c->group, c->router, c->kind, c->metric)->entry;
            brute_fire(s, c);
        next:;
        }
    }
}
