/* Bringing routers back in line: those that were lost while something moved, and those that took up again what had
 * moved away.  See ferry/debt.h.
 *
 *  R1. Where a subnet belongs is what the newest committed transaction says of it, else its debt.
 *  R2. First everybody who holds it elsewhere lets go, one router a plan; only then are routes touched.
 *  R3. A debt is delivered when its router was read as needing nothing more.  What another topology left is
 *      not ours to judge.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "base/mem.h"

#include <ferry/debt.h>
#include <string.h>

#define EXHAUSTIVE_BITS 12 /* as txn_check.c */

struct work {
    struct ferry_journal *journal;
    const struct ferry_topology *t;
    const struct ferry_reconcile_terms *terms;
    struct ferry_debts debts;
    struct ferry_live *live; /* every subnet of the topology: its column is its index */
    struct ferry_pool *pool;
    uint32_t *belongs; /* [subnet]: a site, or FERRY_NONE where nothing is to be looked at */
};

static void work_clear(struct work *w)
{
    ferry_debts_clear(&w->debts);
    ferry_live_free(w->live);
    ferry_pool_free(w->pool);
    free(w->belongs);
}

/* ---- Where subnets belong. ---- */

static bool is_of(const struct work *w, const struct ferry_plan *plan)
{
    return plan->topology_name && strcmp(plan->topology_name, w->t->name) == 0;
}

/* Whether the debt was left by a transaction of this topology. */
static int is_ours(const struct work *w, const struct ferry_debt *debt, bool *ret, struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    int r = ferry_journal_get(w->journal, debt->txn, &record, err);
    if (r == 0)
        *ret = is_of(w, record->plan);
    ferry_txn_record_free(record);
    return r;
}

/* Debts of other topologies are left out. */
static int find_debts(struct work *w, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_debts_clear) struct ferry_debts all = {0};
    char txn[sizeof all.v->txn] = ""; /* that was asked about last */
    bool ours = false;
    int r = w->journal ? ferry_journal_debts(w->journal, NULL, &all, err) : 0;
    for (size_t i = 0; r == 0 && i < all.n; i++) {
        if (strcmp(all.v[i].txn, txn) != 0)
            r = is_ours(w, &all.v[i], &ours, err);
        memcpy(txn, all.v[i].txn, sizeof txn);
        if (r < 0 || !ours)
            continue;
        FERRY_GROW(w->debts.v, w->debts.n);
        w->debts.v[w->debts.n++] = all.v[i];
        all.v[i] = (struct ferry_debt){0};
    }
    return r;
}

struct places {
    const struct work *w;
    uint32_t *v; /* [subnet] */
};

/* R1: what stands already is newer. */
static bool take_places(void *ctx, const struct ferry_txn_record *record)
{
    const struct places *p = ctx;
    const struct ferry_topology *t = p->w->t;
    const struct ferry_plan *plan = record->plan;
    if (!is_of(p->w, plan))
        return true;
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t i = 0; i < plan->groups[g].n_subnets; i++) {
            uint32_t s = ferry_topology_subnet(t, plan->groups[g].subnets[i].name);
            const char *to = plan->groups[g].to;
            if (s != FERRY_NONE && p->v[s] == FERRY_NONE && to)
                p->v[s] = ferry_topology_site(t, to);
        }
    return true;
}

static int find_places(struct work *w, uint32_t *place, struct ferry_err *err)
{
    struct places places = {w, place};
    int r = w->journal ? ferry_journal_committed(w->journal, NULL, take_places, &places, err) : 0;
    for (size_t i = 0; r == 0 && i < w->debts.n; i++) {
        uint32_t s = ferry_topology_subnet(w->t, w->debts.v[i].subnet);
        if (s != FERRY_NONE && place[s] == FERRY_NONE)
            place[s] = ferry_topology_site(w->t, w->debts.v[i].site);
    }
    return r;
}

static const struct ferry_stack *held(const struct work *w, uint32_t router, uint32_t subnet)
{
    return w->live->stacks[(size_t)router * w->live->n_subnets + subnet];
}

/* Whether packets come to a router because it has the subnet. */
static bool draws(const struct ferry_stack *stack)
{
    return stack && (stack->entries[0]->type == FERRY_GATEWAY ||
                     stack->entries[stack->n - 1]->type == FERRY_ANNOUNCEMENT);
}

static bool drops(const struct ferry_stack *stack)
{
    const struct ferry_entry *best = ferry_stack_best(stack);
    return best && best->type == FERRY_BLACKHOLE && best->protocol == FERRY_PROTOCOL;
}

/* Attached or announced at two sites, or dropped by Ferry where it should go somewhere. */
static bool is_odd(const struct work *w, uint32_t subnet, bool *ret_two_sites)
{
    uint32_t site = FERRY_NONE;
    bool odd = *ret_two_sites = false;
    for (uint32_t r = 0; r < w->t->n_routers; r++) {
        odd |= drops(held(w, r, subnet));
        if (!draws(held(w, r, subnet)))
            continue;
        *ret_two_sites |=
            site != FERRY_NONE && site != w->t->routers[r].site && !w->t->subnets[subnet].stretched;
        site = w->t->routers[r].site;
    }
    return odd || *ret_two_sites;
}

static bool is_owed(const struct work *w, uint32_t subnet)
{
    for (size_t i = 0; i < w->debts.n; i++)
        if (ferry_topology_subnet(w->t, w->debts.v[i].subnet) == subnet)
            return true;
    return false;
}

static int choose(struct work *w, struct ferry_err *err)
{
    FERRY_AUTOFREE uint32_t *place = ferry_calloc(w->t->n_subnets, sizeof *place);
    for (uint32_t s = 0; s < w->t->n_subnets; s++)
        place[s] = w->belongs[s] = FERRY_NONE;
    int r = find_places(w, place, err);
    for (uint32_t s = 0; r == 0 && s < w->t->n_subnets; s++) {
        bool two;
        if (!is_odd(w, s, &two) && !is_owed(w, s))
            continue;
        if (place[s] == FERRY_NONE && two)
            return ferry_refuse(err, "two-sites",
                                "%s is attached or announced at two sites, and no transaction says where it "
                                "belongs; detach one by hand",
                                w->t->subnets[s].name);
        w->belongs[s] = place[s];
    }
    return r;
}

/* ---- Routers. ---- */

static bool is_stale(const struct work *w, uint32_t router, uint32_t subnet)
{
    return w->belongs[subnet] != FERRY_NONE && w->belongs[subnet] != w->t->routers[router].site &&
           draws(held(w, router, subnet));
}

static bool is_named(const struct work *w, const char *router)
{
    bool named = !w->terms->n_routers;
    for (size_t i = 0; i < w->terms->n_routers; i++)
        named |= strcmp(w->terms->routers[i], router) == 0;
    return named;
}

/* Who does not answer, and who came back but is not meant this time: done without. */
static void lose(struct work *w)
{
    FERRY_AUTOFREE bool *back = ferry_calloc(w->t->n_routers, sizeof *back);
    for (size_t i = 0; i < w->debts.n; i++) {
        uint32_t r = ferry_topology_router(w->t, w->debts.v[i].router);
        if (r != FERRY_NONE)
            back[r] = true;
    }
    for (uint32_t r = 0; r < w->t->n_routers; r++) {
        for (uint32_t s = 0; s < w->t->n_subnets; s++)
            back[r] |= is_stale(w, r, s);
        if (w->live->unreachable[r] || (back[r] && !is_named(w, w->t->routers[r].name)))
            ferry_live_lose(w->live, r);
    }
}

/* ---- Plans. ---- */

static void plan_cleanup(struct ferry_plan **plan)
{
    ferry_plan_free(*plan);
}

static int prove(struct ferry_plan *plan, struct ferry_err *err)
{
    struct ferry_proof proof = {0};
    int r = ferry_prove(plan, EXHAUSTIVE_BITS, &proof, err);
    if (r == 0) {
        plan->proof_states = ferry_strdup(proof.states);
        plan->proof_certificate = ferry_strdup(proof.certificate);
        ferry_plan_seal(plan);
    }
    ferry_proof_clear(&proof);
    return r < 0 ? ferry_error_prefix(err, r, "the plan is not safe") : 0;
}

/* 1: nothing is to be done. */
static int plan_for(const struct work *w, const struct ferry_plan_terms *terms, struct ferry_plan **ret,
                    struct ferry_err *err)
{
    FERRY_AUTOFREE struct ferry_move *moves = ferry_calloc(w->t->n_subnets, sizeof *moves);
    FERRY_CLEANUP(plan_cleanup) struct ferry_plan *plan = NULL;
    size_t n = 0;
    for (uint32_t s = 0; s < w->t->n_subnets; s++)
        if (w->belongs[s] != FERRY_NONE && (!terms->detaching || is_stale(w, terms->detach, s)))
            moves[n++] = (struct ferry_move){s, w->belongs[s]};
    int r = n ? ferry_plan_make_on(w->live, moves, n, terms, &plan, err) : 1;
    if (r == 0 && !plan->n_stages)
        return 1;
    if (r == 0)
        r = prove(plan, err);
    if (r == 0)
        *ret = FERRY_STEAL(plan);
    return r;
}

/* R3. */
static int deliver(const struct work *w, struct ferry_err *err)
{
    bool any = w->debts.n && !w->terms->dry;
    int r = any ? ferry_journal_lock(w->journal, err) : 0;
    if (r < 0 || !any)
        return r;
    for (size_t i = 0; r == 0 && i < w->debts.n; i++) {
        uint32_t v = ferry_topology_router(w->t, w->debts.v[i].router);
        uint32_t s = ferry_topology_subnet(w->t, w->debts.v[i].subnet);
        if (v == FERRY_NONE || s == FERRY_NONE || /* not in the topology any more */
            (!w->live->lost[v] && !drops(held(w, v, s))))
            r = ferry_journal_deliver(w->journal, &w->debts.v[i], err);
    }
    ferry_journal_unlock(w->journal);
    return r;
}

static int next(struct work *w, struct ferry_plan **ret, struct ferry_err *err)
{
    struct ferry_plan_terms terms = {.mode = "reconcile", .overrides = w->terms->overrides};
    for (uint32_t r = 0; r < w->t->n_routers; r++)
        for (uint32_t s = 0; s < w->t->n_subnets; s++)
            if (is_stale(w, r, s)) { /* R2 */
                terms.detaching = true;
                terms.detach = r;
                return plan_for(w, &terms, ret, err);
            }
    int r = plan_for(w, &terms, ret, err);
    if (r == 1 && (r = deliver(w, err)) == 0)
        r = 1;
    return r;
}

int ferry_reconcile_next(struct ferry_journal *journal, struct ferry_fleet *fleet,
                         const struct ferry_topology *t, const struct ferry_reconcile_terms *terms,
                         struct ferry_plan **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(work_clear) struct work w = {.journal = journal, .t = t, .terms = terms};
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(t->n_subnets, sizeof *subnets);
    w.pool = ferry_pool_new();
    w.belongs = ferry_calloc(t->n_subnets, sizeof *w.belongs);
    for (uint32_t s = 0; s < t->n_subnets; s++)
        subnets[s] = s;
    w.live = ferry_live_new(t, w.pool, subnets, t->n_subnets);
    int r = journal ? ferry_txn_look(journal, err) : 0;
    if (r == 0)
        r = find_debts(&w, err);
    if (r == 0)
        r = ferry_fleet_read_live(fleet, w.live, err);
    if (r == 0)
        r = choose(&w, err);
    if (r < 0)
        return r;
    lose(&w);
    return next(&w, ret, err);
}
