/* Would a move work now?  See readiness.h.
 *
 *  1. Moves of subnets that do not overlap any other subnet do not touch each other: those from one site to
 *     one other are planned, proven and checked as one plan, and one by one only where that is refused.  A
 *     subnet that overlaps another is always tried alone: beside its neighbour it could pass where by itself
 *     it would not.
 *  2. What is drifted, or whose routers are in the middle of a transaction, is not ready, whatever the planner thinks.
 *
 * SPDX-License-Identifier: MIT */
#include "watch/readiness.h"

#include <ferry/test.h>

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

#define EXHAUSTIVE_BITS 12  /* as `plan`: stages up to 2^12 states a group are also walked one by one */
#define ALONE_MOST      256 /* of one refused plan: how many are then tried one by one */

static void plan_cleanup(struct ferry_plan **plan)
{
    ferry_plan_free(*plan);
}

static void fleet_cleanup(struct ferry_fleet **fleet)
{
    ferry_fleet_free(*fleet);
}

static bool overlaps(const struct ferry_topology *t, uint32_t subnet)
{
    const struct ferry_prefix *p = &t->subnets[subnet].prefix;
    for (uint32_t i = 0; i < t->n_subnets; i++)
        if (i != subnet &&
            (ferry_prefix_covers(&t->subnets[i].prefix, p) || ferry_prefix_covers(p, &t->subnets[i].prefix)))
            return true;
    return false;
}

static bool has_gateway(const struct ferry_topology *t, uint32_t subnet, uint32_t site)
{
    const struct ferry_subnet *s = &t->subnets[subnet];
    for (size_t i = 0; i < s->n_gateways; i++)
        if (t->routers[s->gateways[i].router].site == site)
            return true;
    return false;
}

/* ---- Which moves there are, and what speaks against them before any plan. ---- */

static void refuse(struct ferry_ready_move *move, const char *rule, const char *text)
{
    (void)ferry_refuse(&move->why, rule, "%s", text);
}

static void look_first(struct ferry_ready_move *move, const struct ferry_status *s)
{
    const struct ferry_topology *t = s->live->topology;
    char text[600];
    if (s->unfinished.records.n) {
        const struct ferry_txn_record *r = s->unfinished.records.v[0];
        if (ferry_test_is(r) && r->state == FERRY_TXN_AWAITING_CONFIRM)
            snprintf(text, sizeof text, "test failover %s runs: `ferry test-failover --cleanup` ends it",
                     r->id);
        else
            snprintf(text, sizeof text, "transaction %s is %s", r->id, ferry_txn_state_name(r->state));
        refuse(move, "unfinished", text);
        return;
    }
    for (size_t i = 0; i < s->n_drift; i++) {
        const struct ferry_path_drift *d = &s->drift[i];
        if (s->live->subnets[d->column] != move->subnet)
            continue;
        snprintf(text, sizeof text, "%s%s%s: %s", d->router == FERRY_NONE ? "" : t->routers[d->router].name,
                 d->router == FERRY_NONE ? "" : ": ", d->what, d->text);
        refuse(move, "drift", text);
        return;
    }
    if (move->from == FERRY_NONE)
        refuse(move, s->n_unreachable ? "unreachable" : "drift",
               s->n_unreachable ? "it is not known where it is active" : "it is active nowhere");
}

static void list_moves(const struct ferry_status *s, struct ferry_readiness *ready)
{
    const struct ferry_topology *t = s->live->topology;
    for (size_t column = 0; column < s->live->n_subnets; column++) {
        uint32_t subnet = s->live->subnets[column];
        bool several;
        uint32_t at = ferry_live_site(s->live, column, &several);
        bool stays = t->subnets[subnet].host_routes; /* its machines are subnets of their own */
        for (uint32_t site = 0; !stays && site < t->n_sites; site++) {
            if (site == at || !has_gateway(t, subnet, site))
                continue;
            FERRY_GROW(ready->moves, ready->n_moves);
            struct ferry_ready_move *move = &ready->moves[ready->n_moves++];
            *move = (struct ferry_ready_move){.subnet = subnet, .from = at, .to = site};
            look_first(move, s);
        }
    }
}

/* ---- Trying them. ---- */

static bool open_question(const struct ferry_ready_move *move)
{
    return !move->ready && !move->why.text[0];
}

/* What a try needs. */
struct trial {
    const struct ferry_status *status;
    struct ferry_fleet *fleet;
    struct ferry_journal *journal; /* NULL: there is none yet */
    struct ferry_readiness *ready;
};

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

/* What the journal has against a plan. */
static int ask_journal(const struct trial *t, const struct ferry_plan *plan, struct ferry_err *err)
{
    struct ferry_overrides none = {0};
    int r = t->journal ? ferry_journal_refuse_debts(t->journal, plan, NULL, err) : 0;
    if (r == 0 && t->journal)
        r = ferry_txn_rested(t->journal, plan, t->ready->topology->hold_down_s, &none, err);
    return r;
}

/* A plan for these moves (indices), proven, compared and checked. */
static int attempt(const struct trial *t, const size_t *indices, size_t n, struct ferry_err *err)
{
    FERRY_CLEANUP(plan_cleanup) struct ferry_plan *plan = NULL;
    FERRY_AUTOFREE struct ferry_move *moves = ferry_calloc(n, sizeof *moves);
    struct ferry_ready_move *of = t->ready->moves;
    struct ferry_proof proof = {0};
    struct ferry_hand *drift = NULL;
    size_t n_drift = 0;
    for (size_t i = 0; i < n; i++)
        moves[i] = (struct ferry_move){of[indices[i]].subnet, of[indices[i]].to};
    int r = ferry_plan_make(t->status->live, moves, n, &plan, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        of[indices[i]].n_stages = plan->n_stages;
    if (r == 0)
        r = ferry_prove(plan, EXHAUSTIVE_BITS, &proof, err);
    if (r == 0)
        r = ask_journal(t, plan, err);
    if (r == 0)
        r = ferry_txn_precheck(t->fleet, plan, &drift, &n_drift, err);
    ferry_proof_clear(&proof);
    ferry_hands_free(drift, n_drift);
    return r;
}

static void settle(struct ferry_ready_move *move, int r, const struct ferry_err *err)
{
    move->ready = r == 0;
    if (r == 0)
        return;
    move->why = *err;
    if (!move->why.text[0])
        snprintf(move->why.text, sizeof move->why.text, "refused");
}

static void try_alone(const struct trial *t, size_t index)
{
    struct ferry_err err = {0};
    int r = attempt(t, &index, 1, &err);
    settle(&t->ready->moves[index], r, &err);
}

/* All open ones that go the way of `first`, together (1). */
static void try_together(const struct trial *t, size_t first)
{
    const struct ferry_readiness *ready = t->ready;
    FERRY_AUTOFREE size_t *indices = ferry_calloc(ready->n_moves, sizeof *indices);
    struct ferry_err err = {0};
    size_t n = 0;
    for (size_t i = first; i < ready->n_moves; i++) {
        const struct ferry_ready_move *move = &ready->moves[i];
        if (open_question(move) && move->from == ready->moves[first].from &&
            move->to == ready->moves[first].to && !overlaps(ready->topology, move->subnet))
            indices[n++] = i;
    }
    int r = attempt(t, indices, n, &err);
    for (size_t i = 0; i < n; i++) {
        if (r < 0 && n > 1 && i < ALONE_MOST)
            try_alone(t, indices[i]);
        else
            settle(&ready->moves[indices[i]], r, &err);
    }
}

int ferry_readiness_read(const struct ferry_fleet_config *config, const struct ferry_topology *t,
                         struct ferry_readiness *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_status_clear) struct ferry_status s;
    FERRY_CLEANUP(ferry_readiness_clear) struct ferry_readiness ready = {.topology = t};
    ferry_status_init(&s, t);
    int r = ferry_fleet_for_topology(config, t, &fleet, err);
    if (r == 0)
        r = ferry_unfinished_read(config->env, config->state_dir, &s.unfinished, err);
    if (r == 0)
        r = ferry_status_read(&s, fleet, err);
    if (r == 0)
        r = ferry_journal_look(config->env, config->state_dir, &journal, err);
    if (r < 0)
        return r;
    struct trial trial = {.status = &s, .fleet = fleet, .journal = journal, .ready = &ready};
    list_moves(&s, &ready);
    for (size_t i = 0; i < ready.n_moves; i++) {
        if (!open_question(&ready.moves[i]))
            continue;
        if (overlaps(t, ready.moves[i].subnet))
            try_alone(&trial, i);
        else
            try_together(&trial, i);
    }
    r = journal ? ferry_readiness_drills(journal, &ready, err) : 0;
    if (r < 0)
        return r;
    *ret = ready;
    ready = (struct ferry_readiness){0};
    return 0;
}

void ferry_readiness_clear(struct ferry_readiness *readiness)
{
    free(readiness->moves);
    *readiness = (struct ferry_readiness){0};
}

bool ferry_readiness_whole(const struct ferry_readiness *readiness)
{
    for (size_t i = 0; i < readiness->n_moves; i++)
        if (!readiness->moves[i].ready)
            return false;
    return true;
}
