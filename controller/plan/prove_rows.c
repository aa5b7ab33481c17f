/* What each router holds, key by key, while the prover goes through the stages; see prove_parts.h.
 *
 * Invariants:
 *  1. A row is sorted by (layer, rank, metric) and has each key once.
 *  2. Outside of a stage every slot holds something and `change` is PROVE_NONE.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

/* <0, 0, >0 by layer, rank, metric. */
static int slot_order(const struct prove_slot *s, uint32_t layer, uint32_t rank, uint32_t metric)
{
    if (s->layer != layer)
        return s->layer < layer ? -1 : 1;
    if (s->rank != rank)
        return s->rank < rank ? -1 : 1;
    return s->metric == metric ? 0 : s->metric < metric ? -1 : 1;
}

/* The slot of the key, made where there is none. */
static struct prove_slot *row_slot(struct prove_row *row, uint32_t layer, uint32_t rank, uint32_t metric)
{
    size_t at = 0;
    while (at < row->n && slot_order(&row->slots[at], layer, rank, metric) < 0)
        at++;
    if (at < row->n && slot_order(&row->slots[at], layer, rank, metric) == 0)
        return &row->slots[at];
    if (row->n == row->room) {
        row->room = row->room ? 2 * row->room : 2;
        row->slots = ferry_realloc(row->slots, row->room, sizeof *row->slots);
    }
    memmove(row->slots + at + 1, row->slots + at, (row->n - at) * sizeof *row->slots);
    row->slots[at] =
        (struct prove_slot){.layer = layer, .rank = rank, .metric = metric, .change = PROVE_NONE};
    row->n++;
    return &row->slots[at];
}

static uint32_t rank_of(const struct ferry_entry *e)
{
    return e->type == FERRY_GATEWAY            ? PROVE_GATEWAY
           : e->type == FERRY_ANNOUNCEMENT     ? PROVE_ANNOUNCEMENT
           : e->type == FERRY_TRAFFIC_SELECTOR ? PROVE_SELECTOR
                                               : PROVE_ROUTE;
}

void prove_rows_load(struct prover *p, const struct prove_class *class)
{
    p->class = class;
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        p->rows[r].n = 0;
        for (uint32_t layer = 0; layer < class->n_layers; layer++) {
            const struct ferry_stack *stack = p->plan->groups[class->layers[layer]].initial[r];
            for (uint32_t i = 0; stack && i < stack->n; i++) {
                const struct ferry_entry *e = stack->entries[i];
                uint32_t rank = rank_of(e),
                         metric = rank == PROVE_ROUTE || rank == PROVE_SELECTOR ? e->metric : 0;
                struct prove_slot *slot = row_slot(&p->rows[r], layer, rank, metric);
                slot->now = slot->after = e;
            }
        }
    }
}

/* Whether a change finds what it says that it does, and says of whose the next hops are what was said before:
 * else its undo would lead elsewhere than what it puts back. */
static bool finds(const struct ferry_entry *now, const struct ferry_entry *before)
{
    if (now == before || !ferry_entry_equal(now, before, FERRY_CMP_EXACT))
        return now == before;
    for (uint16_t i = 0; i < now->n_nexthops; i++)
        if (now->nexthops[i].router != before->nexthops[i].router)
            return false;
    return true;
}

bool prove_rows_stage(struct prover *p, uint32_t stage, const struct prove_ref **ret_culprit)
{
    p->stage = stage;
    for (uint32_t layer = 0; layer < p->class->n_layers; layer++) {
        size_t at = (size_t)p->class->layers[layer] * p->plan->n_stages + stage;
        for (size_t i = p->first[at]; i < p->first[at + 1]; i++) {
            const struct prove_ref *ref = &p->refs[i];
            const struct ferry_change *c = &p->plan->stages[stage].changes[ref->change];
            struct prove_slot *slot = row_slot(&p->rows[ref->router], layer, ref->rank, ref->metric);
            if (!finds(slot->now, c->before)) {
                *ret_culprit = ref;
                return false;
            }
            slot->after = c->after;
            slot->change = ref->change;
        }
    }
    return true;
}

static void row_commit(struct prove_row *row)
{
    size_t kept = 0;
    for (size_t i = 0; i < row->n; i++) {
        struct prove_slot slot = row->slots[i];
        slot.now = slot.after;
        slot.change = PROVE_NONE;
        if (slot.now)
            row->slots[kept++] = slot;
    }
    row->n = kept;
}

void prove_rows_commit(struct prover *p)
{
    for (uint32_t layer = 0; layer < p->class->n_layers; layer++) {
        size_t at = (size_t)p->class->layers[layer] * p->plan->n_stages + p->stage;
        for (size_t i = p->first[at]; i < p->first[at + 1]; i++)
            row_commit(&p->rows[p->refs[i].router]);
    }
}

bool prove_row_held(const struct prove_row *row)
{
    for (size_t i = 0; i < row->n && row->slots[i].layer == 0; i++)
        if (row->slots[i].now && row->slots[i].rank < PROVE_ANNOUNCEMENT)
            return true;
    return false;
}

const struct prove_slot *prove_slot_of(const struct prover *p, uint32_t router, uint32_t rank)
{
    const struct prove_row *row = &p->rows[router];
    for (size_t i = 0; i < row->n && row->slots[i].layer == 0; i++)
        if (row->slots[i].rank == rank)
            return &row->slots[i];
    return NULL;
}

bool prove_beats_gateway(const struct prover *p, uint32_t router, const struct prove_slot *slot)
{
    const char *driver = p->plan->routers[router].driver.type;
    if (slot->layer || slot->rank != PROVE_ROUTE || !driver ||
        (strcmp(driver, "netlink") && strcmp(driver, "iproute")))
        return false;
    uint32_t table = slot->now ? slot->now->table : slot->after ? slot->after->table : FERRY_TABLE_MAIN;
    uint32_t attached = p->class->family == AF_INET                           ? 0
                        : p->class->v6_connected && table == FERRY_TABLE_MAIN ? 256
                                                                              : 1;
    return slot->metric <= attached;
}

static const struct ferry_cover *given_cover(const struct prover *p, uint32_t router)
{
    const struct ferry_group *g = &p->plan->groups[p->class->group];
    return g->covers && g->covers[router].entry ? &g->covers[router] : NULL;
}

const struct ferry_entry *prove_static_cover(const struct prover *p, uint32_t router)
{
    const struct ferry_cover *cover = given_cover(p, router);
    for (size_t i = 1; cover && i < p->class->n_layers; i++)
        if (p->class->lens[i] == cover->prefix.len)
            return NULL; /* the cover is itself moved: its own slots say what it is */
    return cover ? cover->entry : NULL;
}

bool prove_slot_visible(const struct prover *p, uint32_t router, const struct prove_slot *slot)
{
    const struct ferry_cover *cover = given_cover(p, router);
    return slot->layer == 0 || !cover || p->class->lens[slot->layer] >= cover->prefix.len;
}
