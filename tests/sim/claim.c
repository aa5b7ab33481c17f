/* What Ferry says of a move, held against the routers.
 *
 * When a plan is made, the sum over each router's entries is known, and by the plan's changes the sum at its
 * end: pre and post.  What strangers do beside the plan's keys is added to both, so that a stranger's route
 * which Ferry touched shows.
 *
 *  C1. committed: every router at post.  undone, refused, drift, or an error before the begin: every router at pre.
 *  C2. stuck: said so, and every key of the plan that is not at its first value is among the hands.
 *  C3. A router to which a stranger or a restart came after the process had begun is set aside: nobody can
 *      know what came after the last reading.  At the end, when all is quiet, nobody is set aside.
 *  C4. What a stranger puts under a key of the plan is not Ferry's to take away: it may still be there.
 *  C5. Where the power took the end of an earlier move out of the journal (its rollback journal came back),
 *      that move is recovered once more: its end is the beginning of this one.
 *  C6. A drill is never committed.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include "base/mem.h"
#include "txn/txn_engine.h"

#include <string.h>

static bool same_key(const struct planned *a, const struct planned *b)
{
    return a->router == b->router && a->op.kind == b->op.kind && a->op.table == b->op.table &&
           a->op.metric == b->op.metric && ferry_prefix_equal(&a->op.prefix, &b->op.prefix);
}

void claim_forget(struct world *w)
{
    ferry_arena_clear(&w->plan_memory);
    free(w->plan);
    free(w->strangers);
    w->plan = w->strangers = NULL;
    w->n_plan = w->n_strangers = 0;
    w->planned = false;
}

static uint32_t subnet_of(const struct world *w, const struct ferry_prefix *prefix)
{
    for (uint32_t s = 0; s < w->topology->n_subnets; s++)
        if (ferry_prefix_equal(&w->topology->subnets[s].prefix, prefix))
            return s;
    return 0;
}

static void add_change(struct world *w, const struct ferry_plan *plan, size_t stage,
                       const struct ferry_change *c, size_t k)
{
    struct ferry_op op = ferry_plan_op(plan, c, k);
    struct ferry_job job = {.verb = FERRY_JOB_APPLY, .ops = &op, .n_ops = 1};
    struct ferry_work work;
    ferry_work_copy(&w->plan_memory, &job, &work);
    struct planned *p = &w->plan[w->n_plan];
    *p = (struct planned){.op = work.ops[0],
                          .router = ferry_topology_router(w->topology, plan->routers[c->router].name),
                          .subnet = subnet_of(w, &op.prefix),
                          .stage = (uint32_t)stage,
                          .key = (uint32_t)w->n_plan,
                          .phase = plan->stages[stage].phase};
    for (size_t i = 0; i < w->n_plan; i++)
        if (same_key(&w->plan[i], p)) {
            p->key = w->plan[i].key;
            break;
        }
    w->n_plan++;
    w->post[p->router] -= sum_of_entry(&op.prefix, p->op.before, op.table ? op.table : FERRY_TABLE_MAIN);
    w->post[p->router] += sum_of_entry(&op.prefix, p->op.after, op.table ? op.table : FERRY_TABLE_MAIN);
}

void claim_plan(struct world *w, const struct ferry_plan *plan)
{
    bool was = world_enter();
    size_t n = 0;
    claim_forget(w);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            n += plan->groups[plan->stages[s].changes[i].group].n_subnets;
    w->plan = ferry_calloc(n, sizeof *w->plan);
    for (uint32_t r = 0; r < w->n_routers; r++)
        w->post[r] = w->pre[r] = w->routers[r].sum;
    for (uint32_t r = 0; w->faulty && r < w->n_routers; r++)
        table_copy(&w->routers[r].planned, &w->routers[r].table);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            for (size_t k = 0; k < plan->groups[plan->stages[s].changes[i].group].n_subnets; k++)
                add_change(w, plan, s, &plan->stages[s].changes[i], k);
    w->planned = true;
    memcpy(w->plan_id, plan->id, sizeof w->plan_id);
    walk_begin_move(w);
    world_leave(was);
}

/* The last thing that a stranger did to the key of the plan, or NULL. */
static const struct planned *stranger_at(const struct world *w, const struct planned *key)
{
    for (size_t i = w->n_strangers; i-- > 0;)
        if (same_key(&w->strangers[i], key))
            return &w->strangers[i];
    return NULL;
}

/* Whether the stranger's value still stands there. */
static bool is_strange(const struct world *w, const struct planned *key)
{
    const struct planned *s = stranger_at(w, key);
    return s && value_same(router_key(&w->routers[key->router], &key->op), s->op.after);
}

/* C4. */
static bool is_left_alone(const struct world *w, uint32_t r)
{
    for (size_t i = 0; i < w->n_plan; i++) {
        const struct planned *p = &w->plan[i];
        if (p->router == r && p->key == i && !is_strange(w, p) &&
            !value_same(router_key(&w->routers[r], &p->op), p->op.before))
            return false;
    }
    return true;
}

unsigned claim_where(struct world *w, char *why, size_t size)
{
    unsigned where = AT_PRE | AT_POST;
    for (uint32_t r = 0; r < w->n_routers; r++) {
        const struct router *router = &w->routers[r];
        if (router->tainted_us && router->tainted_us >= w->claimed_us)
            continue; /* C3 */
        bool pre = router->sum == w->pre[r] || (router->tainted_us && is_left_alone(w, r)),
             post = router->sum == w->post[r];
        if (where && (!pre || !post)) /* of the one that decides it, not of those after it */
            snprintf(why, size, "%s is at %s", w->topology->routers[r].name,
                     pre    ? "the first state"
                     : post ? "the last state"
                            : "neither state");
        where &= (pre ? AT_PRE : 0u) | (post ? AT_POST : 0u);
    }
    return where;
}

/* C2. */
static void check_hands(struct world *w, const struct ferry_txn_record *record)
{
    if (!record->n_hands)
        violation(w, "stuck without a hand");
    for (size_t i = 0; i < w->n_plan; i++) {
        const struct planned *p = &w->plan[i];
        const struct ferry_entry *found = router_key(&w->routers[p->router], &p->op);
        bool first = p->key == i,
             said = is_strange(w, p) && p->stage >= record->stages_begun; /* C4: only noted */
        if (!first || value_same(found, p->op.before) || ferry_entry_dynamic(found) ||
            ferry_entry_dynamic(p->op.before))
            continue;
        FERRY_AUTOFREE char *key =
            ferry_key_text(&p->op.prefix, p->op.name, p->op.kind, p->op.table, p->op.metric);
        for (size_t h = 0; h < record->n_hands; h++)
            said |= !strcmp(record->hands[h].router, w->topology->routers[p->router].name) &&
                    !strcmp(record->hands[h].key, key);
        if (!said)
            violation(w, "stuck, and %s: %s is not among the hands", w->topology->routers[p->router].name,
                      key);
    }
}

void claim_check(struct world *w, const struct ferry_txn_record *record, bool quiet)
{
    char why[128] = "";
    enum ferry_txn_state state = record->state;
    w->counts->claims++;
    if (state == FERRY_TXN_COMMITTED || state == FERRY_TXN_UNDONE)
        w->claimed_us = w->process_us;
    if (state == FERRY_TXN_STUCK) {
        if (quiet)
            check_hands(w, record);
        return;
    }
    unsigned where = claim_where(w, why, sizeof why);
    if (strcmp(record->plan_id, w->plan_id) != 0) { /* C5 */
        if (!(where & AT_PRE))
            violation(w, "said %s of an earlier move, but %s", ferry_txn_state_name(state), why);
        return;
    }
    if (state == FERRY_TXN_COMMITTED && !strcmp(record->kind, "drill")) /* C6 */
        violation(w, "a drill was committed");
    if (state == FERRY_TXN_COMMITTED && !(where & AT_POST))
        violation(w, "said committed, but %s", why);
    if (state == FERRY_TXN_UNDONE && !(where & AT_PRE))
        violation(w, "said undone, but %s", why);
}

void claim_stranger(struct world *w, uint32_t r, const struct ferry_op *op, const struct ferry_entry *before)
{
    struct ferry_op was = *op;
    struct ferry_job job = {.verb = FERRY_JOB_APPLY, .ops = &was, .n_ops = 1};
    struct ferry_work work;
    was.before = before;
    ferry_work_copy(&w->plan_memory, &job, &work);
    FERRY_GROW(w->strangers, w->n_strangers);
    w->strangers[w->n_strangers++] = (struct planned){.op = work.ops[0], .router = r};
}

/* What the hands ask for: every router as it was when the plan was made. */
void claim_mend(struct world *w)
{
    for (uint32_t r = 0; r < w->n_routers; r++) {
        struct router *router = &w->routers[r];
        table_copy(&router->table, &router->planned);
        router->sum = w->pre[r] = sum_of_table(&router->table);
        walk_refresh(w, r);
    }
}
