/* One stage backward: read, put back what holds `after`, read again; and the end of an undo.
 *
 *  U1. A key that holds `before` is left alone; one that holds `after` is swapped; anything else is somebody
 *      else's and is never touched.
 *  U2. An earlier stage is undone only when every change of the later one has been read as undone: every state
 *      on the way is then one that the proof of the plan covers.
 *  U3. A gateway is attached again only if every gateway of other sites was read as detached.  A silent router
 *      that may have attached the subnet keeps it detached elsewhere: no service is better than two.
 *  U4. UNDONE is said only of what was read.  What was not, or is otherwise, is listed, and the state is
 *      STUCK.
 *  U5. The router is told to take an isolated gateway away also where its address is gone already: its policy
 *      rules, which come before it and go after it, are no key that could be read.
 *  U6. Nothing is sent to a router that may lay a later stage again by itself (D9 of txn_deadman.c).
 *
 * SPDX-License-Identifier: MIT */
#include "txn/place.h"
#include "txn/txn_engine.h"

#include <ferry/dns.h>

#include <string.h>

#define TRIES 7
#define WAIT_US                                                                                              \
    20000 /* doubled each time up to the most: 1.2 s together, beside the drivers' own deadlines */
#define WAIT_MAX 400000

static void view_cleanup(struct ferry_view *view)
{
    ferry_view_clear(view);
}

enum finding { IS_UNDONE, TO_DO, BLOCKED, FOREIGN };

static bool change_has_key(const struct ferry_change *a, const struct ferry_change *b)
{
    return a->group == b->group && a->router == b->router && a->kind == b->kind && a->table == b->table &&
           a->metric == b->metric;
}

/* Whether the key had this value before an earlier stage: then this one never came to it. */
static bool is_earlier(const struct ferry_txn *txn, size_t stage, const struct ferry_batch_op *ref,
                       const struct ferry_entry *found)
{
    struct ferry_cell cell = {
        .router = ref->change->router, .group = ref->change->group, .subnet = ref->subnet};
    for (size_t s = 0; s < stage; s++)
        for (size_t i = 0; i < txn->plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &txn->plan->stages[s].changes[i];
            if (change_has_key(c, ref->change) &&
                ferry_entry_same(ferry_cell_entry(txn->plan, &cell, c->before), found))
                return true;
        }
    return false;
}

static bool leads(const struct ferry_entry *e, const struct ferry_nexthop *hop)
{
    for (uint16_t i = 0; e && i < e->n_nexthops; i++)
        if (ferry_addr_equal(&e->nexthops[i].via, &hop->via) && !strcmp(e->nexthops[i].dev, hop->dev))
            return true;
    return false;
}

/* A swap of next hops that was cut off after the new ones were added and before the old ones were taken away: drivers
 * that make before they break leave it so. */
static bool half_swapped(const struct ferry_entry *found, const struct ferry_op *op)
{
    const struct ferry_entry *a = op->before, *b = op->after;
    if (op->kind != FERRY_KIND_ROUTE || !found || !a || !b || found->type != FERRY_UNICAST ||
        a->type != FERRY_UNICAST || b->type != FERRY_UNICAST ||
        (found->protocol != a->protocol && found->protocol != b->protocol))
        return false;
    bool all = true;
    for (uint16_t i = 0; i < found->n_nexthops; i++)
        all &= leads(a, &found->nexthops[i]) || leads(b, &found->nexthops[i]);
    for (uint16_t i = 0; i < a->n_nexthops; i++)
        all &= leads(found, &a->nexthops[i]);
    for (uint16_t i = 0; i < b->n_nexthops; i++)
        all &= leads(found, &b->nexthops[i]);
    return all;
}

static enum finding find(struct ferry_txn *txn, size_t stage, const struct ferry_batch *b,
                         const struct ferry_view_part *part, size_t i)
{
    const struct ferry_op *op = &b->ops[i];
    const struct ferry_batch_op *ref = &b->refs[i];
    enum ferry_outcome *outcome = &txn->record.outcomes[ref->outcome];
    const struct ferry_entry *found =
        ferry_view_key(&b->view, part, ref->cell, op->kind, op->table, op->metric);
    if (ferry_change_by_itself(ref->change)) /* its protocol's; who only plays one is told once */
        return ferry_entry_same(found, op->after) ? TO_DO : IS_UNDONE;
    if (ferry_entry_same(found, op->before)) {
        if (*outcome == FERRY_UNKNOWN)
            *outcome = FERRY_REFUSED; /* nothing has changed */
        return IS_UNDONE;
    }
    if (!ferry_entry_same(found, op->after) && !half_swapped(found, op) &&
        !ferry_dns_between(found, op->before, op->after))
        return is_earlier(txn, stage, ref, found) ? IS_UNDONE : FOREIGN; /* U1 */
    if (*outcome == FERRY_UNKNOWN)
        *outcome = FERRY_DONE;
    if (ferry_kind_is_place(op->kind) && op->before &&
        ferry_interlock_conflict(&txn->interlock, ref->change->group, ref->subnet, ref->change->router) !=
            FERRY_NO_ROUTER)
        return BLOCKED; /* U3 */
    return TO_DO;
}

struct undo {
    struct ferry_txn *txn;
    size_t stage;
    struct ferry_batch *batch;
    struct ferry_op *swapped; /* room for all ops */
    size_t *origin;           /* [swapped]: the op */
    bool *told; /* [op]: of a protocol's route, and acknowledged; of an isolated gateway (U5), and answered */
    bool *armed;        /* [router]: U6 */
    bool *pending;      /* [part]: something is still to be done, or not known */
    bool foreign;       /* something is somebody else's */
    bool by_themselves; /* routers have undone meanwhile */
};

/* U5 */
static bool has_rules(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_GATEWAY && op->gateway && op->gateway->isolated && !op->before;
}

static enum finding find_untold(struct undo *u, const struct ferry_view_part *part, size_t i)
{
    bool by_itself = ferry_change_by_itself(u->batch->refs[i].change);
    if (by_itself && u->told[i])
        return IS_UNDONE;
    enum finding finding = find(u->txn, u->stage, u->batch, part, i);
    return finding == IS_UNDONE && has_rules(&u->batch->ops[i]) && !u->told[i] ? TO_DO : finding;
}

static void hear(struct undo *u, size_t i, enum ferry_outcome outcome)
{
    if (has_rules(&u->batch->ops[i]))
        u->told[i] |= outcome == FERRY_DONE || outcome == FERRY_STALE;
    else if (outcome == FERRY_DONE)
        u->told[i] = ferry_change_by_itself(u->batch->refs[i].change);
}

/* Puts the part's swapped ops at `at`; returns how many.  In the order of the plan, not backwards: within a
 * stage any order is safe, and a router shows its addresses in the order in which they came. */
static size_t decide(struct undo *u, size_t p, struct ferry_op *at)
{
    const struct ferry_view_part *part = &u->batch->view.parts[p];
    size_t n = 0;
    bool may = part->result == 0 && !u->armed[part->router];
    u->pending[p] = !may;
    for (size_t i = u->batch->part_first[p]; may && i < u->batch->part_first[p + 1]; i++) {
        enum finding finding = find_untold(u, part, i);
        if (finding == TO_DO) {
            ferry_op_clear(&at[n]); /* of the try before */
            u->origin[&at[n] - u->swapped] = i;
            at[n++] = ferry_op_swap(&u->batch->ops[i]);
        }
        u->pending[p] |= finding == TO_DO || finding == BLOCKED;
        u->foreign |= finding == FOREIGN;
    }
    return n;
}

static void see(struct undo *u)
{
    for (size_t p = 0; p < u->batch->view.n_parts; p++)
        ferry_interlock_see(&u->txn->interlock, &u->batch->view, &u->batch->view.parts[p]);
}

/* Sends what is to be done, with read-back.  False: there was nothing to send. */
static bool send_swapped(struct undo *u)
{
    struct ferry_view *view = &u->batch->view;
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(2 * view->n_parts, sizeof *jobs);
    FERRY_AUTOFREE size_t *part_of = ferry_calloc(view->n_parts, sizeof *part_of);
    size_t n = 0, at = 0;
    u->foreign = false;
    for (size_t p = 0; p < view->n_parts; p++) {
        size_t n_ops = decide(u, p, u->swapped + at);
        if (!n_ops)
            continue;
        part_of[n / 2] = p;
        jobs[n++] = (struct ferry_job){
            .router = view->parts[p].router, .verb = FERRY_JOB_APPLY, .ops = u->swapped + at, .n_ops = n_ops};
        jobs[n++] = ferry_view_job(&view->parts[p]);
        at += n_ops;
    }
    if (!n)
        return false;
    ferry_txn_point(u->txn->env, "driver-undo");
    ferry_fleet_run(u->txn->fleet, jobs, n);
    ferry_txn_point(u->txn->env, "driver-undo");
    for (size_t i = 0; i < at; i++)
        hear(u, u->origin[i], u->swapped[i].outcome);
    for (size_t i = 0; i < n / 2; i++)
        ferry_view_take(view, &view->parts[part_of[i]], &jobs[2 * i + 1]);
    see(u);
    return true;
}

/* True where every op of the batch was read as undone. */
static bool undo_batch(struct undo *u)
{
    uint64_t wait = WAIT_US;
    for (size_t p = 0; p < u->batch->view.n_parts; p++)
        u->pending[p] = true;
    for (int try = 0; try < TRIES; try++) {
        if (try) {
            ferry_txn_sleep(u->txn, wait);
            wait = 2 * wait < WAIT_MAX ? 2 * wait : WAIT_MAX;
        }
        ferry_txn_deadman_give_up_later(u->txn, u->stage, u->armed);
        ferry_txn_point(u->txn->env, "driver-read");
        ferry_view_read(&u->batch->view, u->txn->fleet, u->pending);
        ferry_txn_point(u->txn->env, "driver-read");
        if ((u->by_themselves = ferry_txn_deadman_back(u->txn))) /* asking may have taken until then */
            return false;
        see(u);
        bool pending = false;
        while (send_swapped(u)) {
            bool progress = false; /* what was sent may have set free what was blocked */
            for (size_t p = 0; p < u->batch->view.n_parts; p++) {
                bool was = u->pending[p];
                decide(u, p, u->swapped);
                progress |= was && !u->pending[p];
            }
            if (!progress)
                break;
        }
        for (size_t p = 0; p < u->batch->view.n_parts; p++)
            pending |= u->pending[p];
        if (!pending)
            return !u->foreign;
    }
    return false;
}

/* One cell of every router that the stages of the outage change: to hear whether it answers. */
static void add_critical(struct ferry_txn *txn, size_t stage, struct ferry_view *view)
{
    const struct ferry_plan *plan = txn->plan;
    FERRY_AUTOFREE const struct ferry_change **of = ferry_calloc(plan->n_routers, sizeof *of);
    for (size_t s = txn->first_critical; s <= stage; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            of[plan->stages[s].changes[i].router] = &plan->stages[s].changes[i];
    view->plan = txn->plan;
    for (uint32_t r = 0; r < plan->n_routers; r++)
        if (of[r] && plan->groups[of[r]->group].n_subnets)
            ferry_view_add(view, &(struct ferry_cell){.router = r, .group = of[r]->group});
    ferry_view_finish(view);
}

/* Whether all of them answer, asked for as long as an undo asks. */
static bool way_back_is_clear(struct ferry_txn *txn, size_t stage)
{
    FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
    add_critical(txn, stage, &view);
    FERRY_AUTOFREE bool *silent = ferry_calloc(view.n_parts, sizeof *silent);
    uint64_t wait = WAIT_US;
    ferry_view_read(&view, txn->fleet, NULL);
    for (int try = 1;; try++) {
        const struct ferry_view_part *last = NULL;
        for (size_t p = 0; p < view.n_parts; p++) {
            silent[p] = view.parts[p].result < 0;
            last = silent[p] ? &view.parts[p] : last;
        }
        if (!last)
            return true;
        if (try == TRIES) {
            ferry_txn_say(txn, FERRY_EVENT_NOTE, stage, "%s is silent (%s): what is attached stays so",
                          txn->plan->routers[last->router].name, last->err.text);
            return false;
        }
        ferry_txn_sleep(txn, wait);
        wait = 2 * wait < WAIT_MAX ? 2 * wait : WAIT_MAX;
        ferry_view_read(&view, txn->fleet, silent);
    }
}

int ferry_txn_undo_stage(struct ferry_txn *txn, size_t stage)
{
    txn->interlock.fenced = true; /* back to where it was, whatever a lost router does */
    if (txn->plan->stages[stage].phase == FERRY_ATTACH && txn->first_critical <= stage &&
        !way_back_is_clear(txn, stage))
        return 1; /* U4 */
    int waited = ferry_txn_await(txn, stage, true);
    if (waited)
        return waited;
    size_t widest = ferry_plan_widest(txn->plan), width = ferry_batch_width(&txn->plan->stages[stage]);
    FERRY_AUTOFREE bool *armed = ferry_txn_deadman_armed_later(txn, stage); /* U6 */
    bool undone = true, by_themselves = false;
    for (size_t from = 0; !by_themselves && from < widest; from += width) {
        struct ferry_batch *b = ferry_batch_new(txn->plan, stage, from, width, NULL);
        if (!b)
            break;
        struct undo u = {.txn = txn, .stage = stage, .batch = b, .armed = armed};
        u.swapped = ferry_calloc(b->n_ops, sizeof *u.swapped);
        u.origin = ferry_calloc(b->n_ops, sizeof *u.origin);
        u.told = ferry_calloc(b->n_ops, sizeof *u.told);
        u.pending = ferry_calloc(b->view.n_parts, sizeof *u.pending);
        undone &= undo_batch(&u);
        by_themselves = u.by_themselves;
        ferry_ops_clear(u.swapped, b->n_ops);
        free(u.swapped);
        free(u.origin);
        free(u.told);
        free(u.pending);
        ferry_batch_free(b);
    }
    if (by_themselves)
        return 2;
    return undone ? 0 : 1; /* U2: the caller stops here */
}

/* ---- The end. ---- */

/* [router]: whether a begun stage has touched it. */
static bool *touched_routers(const struct ferry_txn *txn)
{
    bool *touched = ferry_calloc(txn->plan->n_routers, sizeof *touched);
    for (size_t s = 0; s < txn->record.stages_begun; s++)
        for (size_t i = 0; i < txn->plan->stages[s].n_changes; i++)
            touched[txn->plan->stages[s].changes[i].router] = true;
    return touched;
}

/* Every key of a silent router that a begun stage changes, once, with its first `before`. */
static void silent_hands(const struct ferry_txn *txn, const struct ferry_view *view,
                         const struct ferry_view_part *part, struct ferry_hands *hands)
{
    const struct ferry_change **seen = NULL;
    size_t n_seen = 0;
    for (size_t stage = 0; stage < txn->record.stages_begun; stage++)
        for (size_t i = 0; i < txn->plan->stages[stage].n_changes; i++) {
            const struct ferry_change *c = &txn->plan->stages[stage].changes[i];
            size_t k = 0;
            while (k < n_seen && !change_has_key(seen[k], c))
                k++;
            if (c->router != part->router || k < n_seen || ferry_change_by_itself(c))
                continue;
            FERRY_GROW(seen, n_seen);
            seen[n_seen++] = c;
            for (size_t j = part->first_cell; j < part->first_cell + part->n_cells; j++) {
                const struct ferry_cell *cell = &view->cells[j];
                const struct ferry_plan_subnet *s = &txn->plan->groups[cell->group].subnets[cell->subnet];
                if (cell->group == c->group)
                    ferry_hands_add(hands, txn->plan->routers[c->router].name,
                                    ferry_key_text(&s->prefix, s->name, c->kind, c->table, c->metric),
                                    ferry_cell_entry(txn->plan, cell, c->before), NULL, true);
            }
        }
    free(seen);
}

/* Whether an entry that was not there before stands behind one that was, so that it forwards nothing. */
static bool is_harmless(const struct ferry_view *view, const struct ferry_view_part *part, size_t cell)
{
    const struct ferry_stack *stack = view->cells[cell].expected;
    const struct ferry_entry *best = ferry_stack_best(stack), *found = ferry_view_best(view, part, cell);
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *e = ferry_cell_entry(view->plan, &view->cells[cell], stack->entries[i]);
        if (!ferry_entry_dynamic(e) &&
            !ferry_entry_same(e, ferry_view_key(view, part, cell, ferry_entry_kind(e), e->table, e->metric)))
            return false;
    }
    if (!best || !ferry_entry_as_wanted(ferry_cell_entry(view->plan, &view->cells[cell], best), found))
        return !best && !found;
    for (uint32_t i = view->head[cell]; i; i = part->next[i - 1]) {
        const struct ferry_fib_item *item = &part->fib.items[i - 1];
        if (item->relation == FERRY_EXACT && item->entry.type == FERRY_ANNOUNCEMENT &&
            stack->entries[stack->n - 1]->type != FERRY_ANNOUNCEMENT)
            return false; /* draws packets from elsewhere */
    }
    return true;
}

/* Whether the plan has changed this key in a begun stage: then it is ours to put back. */
static bool is_ours(const struct ferry_txn *txn, const struct ferry_cell *cell, const struct ferry_hand *hand)
{
    const struct ferry_plan_subnet *s = &txn->plan->groups[cell->group].subnets[cell->subnet];
    for (size_t stage = 0; stage < txn->record.stages_begun; stage++)
        for (size_t i = 0; i < txn->plan->stages[stage].n_changes; i++) {
            const struct ferry_change *c = &txn->plan->stages[stage].changes[i];
            if (c->group != cell->group || c->router != cell->router)
                continue;
            FERRY_AUTOFREE char *key = ferry_key_text(&s->prefix, s->name, c->kind, c->table, c->metric);
            if (!strcmp(key, hand->key))
                return true;
        }
    return false;
}

static void end_cell(struct ferry_txn *txn, const struct ferry_view *view, const struct ferry_view_part *part,
                     size_t i, bool touched, struct ferry_hands *hands)
{
    struct ferry_hands found = {0};
    if (ferry_view_holds(view, part, i, view->cells[i].expected))
        return;
    bool harmless = is_harmless(view, part, i);
    ferry_view_diff(view, part, i, view->cells[i].expected, &found);
    for (size_t k = 0; k < found.n; k++) {
        struct ferry_hand *h = &found.v[k];
        if (!is_ours(txn, &view->cells[i], h) && (harmless || !touched)) {
            ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX,
                          "%s: %s: found %s, which is not Ferry's: left alone", h->router, h->key, h->found);
            continue;
        }
        FERRY_GROW(hands->v, hands->n);
        hands->v[hands->n++] = *h;
        *h = (struct ferry_hand){0};
    }
    ferry_hands_free(found.v, found.n);
}

void ferry_txn_undo_end(struct ferry_txn *txn)
{
    FERRY_AUTOFREE const struct ferry_stack **states = ferry_states_initial(txn->plan);
    FERRY_AUTOFREE bool *touched = touched_routers(txn);
    size_t width = ferry_txn_view_width(txn->plan), widest = ferry_plan_widest(txn->plan);
    struct ferry_hands hands = {0};
    for (size_t from = 0; from < widest; from += width) {
        FERRY_CLEANUP(view_cleanup) struct ferry_view view = {0};
        ferry_txn_view_all(txn->plan, states, from, width, &view);
        ferry_txn_read_patiently(txn, &view, touched);
        for (size_t p = 0; p < view.n_parts; p++) {
            const struct ferry_view_part *part = &view.parts[p];
            bool ours = touched[part->router];
            if (part->result < 0 && ours)
                silent_hands(txn, &view, part, &hands); /* U5 */
            for (size_t i = part->first_cell; part->result == 0 && i < part->first_cell + part->n_cells; i++)
                end_cell(txn, &view, part, i, ours, &hands);
        }
    }
    ferry_txn_hooks_hands(txn, &hands);
    ferry_hands_free(txn->record.hands, txn->record.n_hands);
    txn->record.hands = hands.v;
    txn->record.n_hands = hands.n;
    ferry_txn_set_state(txn, hands.n ? FERRY_TXN_STUCK : FERRY_TXN_UNDONE);
}
