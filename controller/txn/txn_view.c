/* Views: reading subnets on routers, and comparing what was found with what was expected.
 *
 * Used by the prechecks, by every stage's read-back, by verification, undo and recovery; so that there is one
 * idea of "equal" in the engine.
 *
 *  V1. Equality is exact: every attribute and the driver's native bytes, everything but the index of a next
 *      hop's router, which drivers do not know.
 *  V2. What could not be read is never taken for anything.
 *  V3. What a routing protocol brought counts only where it forwards, and is then judged by where it leads:
 *      it changes by itself, and nobody follows it beneath something better.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

#include <ferry/dns.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

const struct ferry_entry ferry_many = {.type = FERRY_UNICAST, .metric = UINT32_MAX};

void ferry_view_add(struct ferry_view *view, const struct ferry_cell *cell)
{
    FERRY_GROW(view->cells, view->n_cells);
    view->cells[view->n_cells++] = *cell;
}

static struct ferry_query_item item_of(const struct ferry_plan *plan, const struct ferry_cell *cell,
                                       const uint32_t *tables)
{
    const struct ferry_plan_gateway *g = ferry_plan_gateway_at(plan, cell->group, cell->subnet, cell->router);
    const struct ferry_group *group = &plan->groups[cell->group];
    return (struct ferry_query_item){
        .prefix = group->subnets[cell->subnet].prefix,
        .name = group->dns ? group->subnets[cell->subnet].name : NULL,
        .table = tables[ferry_state_at(plan, cell->group, cell->router)],
        .gateway = g ? &g->gateway : NULL,
        .interface = g && g->interface[0] ? g->interface : NULL,
    };
}

void ferry_view_finish(struct ferry_view *view)
{
    FERRY_AUTOFREE uint32_t *tables = ferry_plan_tables(view->plan);
    view->items = ferry_calloc(view->n_cells, sizeof *view->items);
    view->head = ferry_calloc(view->n_cells, sizeof *view->head);
    for (size_t i = 0; i < view->n_cells; i++) {
        view->items[i] = item_of(view->plan, &view->cells[i], tables);
        if (!i || view->cells[i].router != view->cells[i - 1].router) {
            FERRY_GROW(view->parts, view->n_parts);
            view->parts[view->n_parts++] = (struct ferry_view_part){
                .router = view->cells[i].router, .first_cell = i, .result = -FERRY_EUNKNOWN};
        }
        view->parts[view->n_parts - 1].n_cells++;
    }
    for (size_t i = 0; i < view->n_parts; i++) {
        struct ferry_view_part *p = &view->parts[i];
        p->query = (struct ferry_query){.items = view->items + p->first_cell, .n = p->n_cells};
    }
}

void ferry_view_clear(struct ferry_view *view)
{
    for (size_t i = 0; i < view->n_parts; i++) {
        ferry_fib_clear(&view->parts[i].fib);
        free(view->parts[i].next);
    }
    free(view->parts);
    free(view->cells);
    free(view->items);
    free(view->head);
    *view = (struct ferry_view){.plan = view->plan};
}

struct ferry_job ferry_view_job(const struct ferry_view_part *part)
{
    return (struct ferry_job){.router = part->router, .verb = FERRY_JOB_READ, .query = &part->query};
}

void ferry_view_take(struct ferry_view *view, struct ferry_view_part *part, struct ferry_job *job)
{
    ferry_fib_clear(&part->fib);
    free(part->next);
    part->next = NULL;
    memset(view->head + part->first_cell, 0, part->n_cells * sizeof *view->head);
    part->result = job->result;
    part->err = job->err;
    if (job->result < 0) /* V2 */
        return;
    part->fib = job->fib;
    job->fib = (struct ferry_fib){0};
    part->next = ferry_calloc(part->fib.n, sizeof *part->next);
    for (size_t i = part->fib.n; i-- > 0;) {
        uint32_t q = part->fib.items[i].query;
        if (q >= part->n_cells)
            continue;
        part->next[i] = view->head[part->first_cell + q];
        view->head[part->first_cell + q] = (uint32_t)i + 1;
    }
}

void ferry_view_read(struct ferry_view *view, struct ferry_fleet *fleet, const bool *which)
{
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(view->n_parts, sizeof *jobs);
    size_t n = 0;
    for (size_t i = 0; i < view->n_parts; i++)
        if (!which || which[i])
            jobs[n++] = ferry_view_job(&view->parts[i]);
    ferry_fleet_run(fleet, jobs, n);
    n = 0;
    for (size_t i = 0; i < view->n_parts; i++)
        if (!which || which[i])
            ferry_view_take(view, &view->parts[i], &jobs[n++]);
}

/* ---- Equality. ---- */

static bool hop_same(const struct ferry_nexthop *a, const struct ferry_nexthop *b, enum ferry_cmp how)
{
    return ferry_addr_equal(&a->via, &b->via) && !strncmp(a->dev, b->dev, sizeof a->dev) &&
           a->weight == b->weight && (how == FERRY_CMP_FORWARDING || a->onlink == b->onlink);
}

static size_t hop_count(const struct ferry_entry *e, const struct ferry_nexthop *hop, enum ferry_cmp how)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_nexthops; i++)
        n += hop_same(&e->nexthops[i], hop, how);
    return n;
}

static bool hops_same(const struct ferry_entry *a, const struct ferry_entry *b, enum ferry_cmp how)
{
    if (a->n_nexthops != b->n_nexthops)
        return false;
    for (size_t i = 0; i < a->n_nexthops; i++) /* the order may differ, as it goes by router index first */
        if (!hop_same(&a->nexthops[i], &b->nexthops[i], how) &&
            hop_count(a, &a->nexthops[i], how) != hop_count(b, &a->nexthops[i], how))
            return false;
    return true;
}

bool ferry_entry_same(const struct ferry_entry *a, const struct ferry_entry *b)
{
    if (a == b)
        return a != &ferry_many;
    if (!a || !b || a == &ferry_many || b == &ferry_many || a->type != b->type)
        return false;
    if (a->native_len != b->native_len || (a->native_len && memcmp(a->native, b->native, a->native_len)))
        return false;
    if (a->type == FERRY_GATEWAY)
        return true;
    return a->table == b->table && a->metric == b->metric && a->protocol == b->protocol &&
           hops_same(a, b, FERRY_CMP_EXACT);
}

bool ferry_entry_same_way(const struct ferry_entry *a, const struct ferry_entry *b)
{
    if (!a || !b || a == &ferry_many || b == &ferry_many)
        return a == b && a != &ferry_many;
    return a->type == b->type && hops_same(a, b, FERRY_CMP_FORWARDING);
}

bool ferry_change_by_itself(const struct ferry_change *change)
{
    return ferry_entry_dynamic(change->before) || ferry_entry_dynamic(change->after);
}

const struct ferry_entry *ferry_cell_entry(const struct ferry_plan *plan, const struct ferry_cell *cell,
                                           const struct ferry_entry *e)
{
    if (!e || e->type != FERRY_GATEWAY)
        return e;
    const struct ferry_plan_gateway *g = ferry_plan_gateway_at(plan, cell->group, cell->subnet, cell->router);
    return g && g->attached ? g->attached : e;
}

const struct ferry_entry *ferry_view_key(const struct ferry_view *view, const struct ferry_view_part *part,
                                         size_t cell, enum ferry_kind kind, uint32_t table, uint32_t metric)
{
    assert(part->result == 0); /* V2 */
    const struct ferry_entry *found = NULL;
    for (uint32_t i = view->head[cell]; i; i = part->next[i - 1]) {
        const struct ferry_fib_item *item = &part->fib.items[i - 1];
        if (item->relation != FERRY_EXACT || !ferry_entry_has_key(&item->entry, kind, table, metric))
            continue;
        if (found && ferry_entry_dynamic(&item->entry))
            continue; /* V3: beneath the static one */
        if (found && !ferry_entry_dynamic(found))
            return &ferry_many;
        found = &item->entry;
    }
    return found;
}

const struct ferry_entry *ferry_view_best(const struct ferry_view *view, const struct ferry_view_part *part,
                                          size_t cell)
{
    const struct ferry_entry *best = NULL;
    for (uint32_t i = view->head[cell]; i; i = part->next[i - 1]) {
        const struct ferry_entry *e = &part->fib.items[i - 1].entry;
        if (part->fib.items[i - 1].relation != FERRY_EXACT || !ferry_entry_forwards(e))
            continue;
        if (e->type == FERRY_GATEWAY)
            return e;
        if (!best || e->metric < best->metric ||
            (e->metric == best->metric && ferry_entry_dynamic(best) && !ferry_entry_dynamic(e)))
            best = e;
    }
    return best;
}

/* V3. */
static bool counts(const struct ferry_entry *e, const struct ferry_entry *best)
{
    return e == best || !ferry_entry_dynamic(e);
}

/* What was found in the place of an entry that counts. */
static const struct ferry_entry *found_for(const struct ferry_view *view, const struct ferry_view_part *part,
                                           size_t cell, const struct ferry_entry *want)
{
    if (ferry_entry_dynamic(want))
        return ferry_view_best(view, part, cell);
    return ferry_view_key(view, part, cell, ferry_entry_kind(want), want->table, want->metric);
}

bool ferry_entry_as_wanted(const struct ferry_entry *want, const struct ferry_entry *found)
{
    if (ferry_entry_dynamic(want))
        return ferry_entry_dynamic(found) && ferry_entry_same_way(want, found);
    return ferry_entry_same(want, found);
}

bool ferry_view_holds(const struct ferry_view *view, const struct ferry_view_part *part, size_t cell,
                      const struct ferry_stack *stack)
{
    if (part->result < 0) /* V2 */
        return false;
    const struct ferry_entry *best = ferry_view_best(view, part, cell);
    size_t n = 0, wanted = 0;
    for (uint32_t i = view->head[cell]; i; i = part->next[i - 1])
        n += part->fib.items[i - 1].relation == FERRY_EXACT && counts(&part->fib.items[i - 1].entry, best);
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *want = stack->entries[i];
        if (!counts(want, stack->entries[0]))
            continue;
        wanted++;
        if (!ferry_entry_as_wanted(ferry_cell_entry(view->plan, &view->cells[cell], want),
                                   found_for(view, part, cell, want)))
            return false;
    }
    return n == wanted;
}

/* ---- Differences, for people. ---- */

char *ferry_key_text(const struct ferry_prefix *prefix, const char *name, enum ferry_kind kind,
                     uint32_t table, uint32_t metric)
{
    char p[FERRY_PREFIX_STRLEN], in_table[24] = "";
    if (kind == FERRY_KIND_DNS)
        return ferry_asprintf("dns %s %s", name, ferry_dns_type_name(metric));
    ferry_prefix_text(prefix, p);
    if (kind != FERRY_KIND_ROUTE)
        return ferry_asprintf("%s %s", ferry_kind_name(kind), p);
    if (table != FERRY_TABLE_MAIN)
        snprintf(in_table, sizeof in_table, " table %u", table);
    return ferry_asprintf("route %s%s metric %u", p, in_table, metric);
}

static char *value_text(const struct ferry_entry *e)
{
    char text[512];
    return e == &ferry_many ? ferry_strdup("several entries under one key")
                            : ferry_strdup(ferry_entry_text(e, text, sizeof text));
}

void ferry_hands_add(struct ferry_hands *hands, const char *router, char *key,
                     const struct ferry_entry *expected, const struct ferry_entry *found, bool silent)
{
    FERRY_GROW(hands->v, hands->n);
    hands->v[hands->n++] = (struct ferry_hand){
        .router = ferry_strdup(router),
        .key = key,
        .expected = value_text(expected),
        .found = silent ? ferry_strdup("unknown") : value_text(found),
    };
}

static bool stack_has(const struct ferry_stack *stack, const struct ferry_entry *e)
{
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *want = stack->entries[i];
        if (counts(want, stack->entries[0]) &&
            (ferry_entry_dynamic(want) ? ferry_entry_dynamic(e)
                                       : ferry_entry_has_key(want, ferry_entry_kind(e), e->table, e->metric)))
            return true;
    }
    return false;
}

void ferry_view_diff(const struct ferry_view *view, const struct ferry_view_part *part, size_t cell,
                     const struct ferry_stack *stack, struct ferry_hands *hands)
{
    const struct ferry_cell *c = &view->cells[cell];
    const char *router = view->plan->routers[c->router].name;
    const struct ferry_plan_subnet *s = &view->plan->groups[c->group].subnets[c->subnet];
    const struct ferry_entry *best = ferry_view_best(view, part, cell);
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *want = ferry_cell_entry(view->plan, c, stack->entries[i]);
        if (!counts(stack->entries[i], stack->entries[0]))
            continue;
        const struct ferry_entry *found = found_for(view, part, cell, want);
        if (!ferry_entry_as_wanted(want, found))
            ferry_hands_add(
                hands, router,
                ferry_key_text(&s->prefix, s->name, ferry_entry_kind(want), want->table, want->metric), want,
                found, false);
    }
    for (uint32_t i = view->head[cell]; i; i = part->next[i - 1]) {
        const struct ferry_fib_item *item = &part->fib.items[i - 1];
        const struct ferry_entry *e = &item->entry;
        if (item->relation == FERRY_EXACT && counts(e, best) && !stack_has(stack, e))
            ferry_hands_add(hands, router,
                            ferry_key_text(&s->prefix, s->name, ferry_entry_kind(e), e->table, e->metric),
                            NULL, e, false);
    }
}
