/* One seed: a network, and moves on it, one after the other, each by a process of its own, as the command
 * line would run it.
 *
 *     a move: the process plans, applies, verifies        (it may die, routers may be cut off, strangers write, …)
 *     then `recover`, by processes that may die too, until the faults end
 *     then quiet: what is under way arrives, `recover` once more, and the verdict:
 *         committed and every router at the end of the plan;  undone, or never begun, and every router as it was;
 *         or stuck, which strangers and restarts alone may bring about, with hands that name each difference.
 *         What is stuck a person mends as the hands say: `recover` must then come to an end.
 *
 * SPDX-License-Identifier: MIT */
#include "process.h"

#include "base/mem.h"

#include <string.h>

#define QUIET_TRY  4 /* from this recovery on the faults are over */
#define MOST_TRIES 12
#define OVERDUE_US 20000000000ull /* any deadline has passed, whatever the clock said when it was set */

struct world *the_world;

const char *const ending_names[E_COUNT] = {"committed", "undone", "stuck",  "refused",
                                           "drift",     "error",  "no plan"};

/* ---- Faults. ---- */

static void ev_restart(struct world *w, void *what, uint64_t r)
{
    (void)what;
    if (w->faulty)
        router_restart(w, (uint32_t)r);
}

static void ev_meddle(struct world *w, void *what, uint64_t r)
{
    (void)what;
    if (w->faulty)
        router_meddle(w, (uint32_t)r);
}

static void ev_clock(struct world *w, void *what, uint64_t arg)
{
    (void)what, (void)arg;
    if (!w->faulty)
        return;
    bool back = rng_below(&w->rng, 2);
    int64_t jump = (int64_t)rng_below(&w->rng, 7200) * 1000000;
    w->wall_skew_us += back ? -jump : jump;
    w->counts->faults[back ? F_CLOCK_BACK : F_CLOCK_FORTH]++;
}

/* 10 ms to a minute, short ones more often. */
static uint64_t some_time(struct world *w)
{
    uint64_t us = 10000;
    for (unsigned n = rng_below(&w->rng, 13); n; n--)
        us *= 2;
    return us + rng_below(&w->rng, (unsigned)us);
}

enum { CUT_BOTH, CUT_TO, CUT_FROM, FREEZE };

static void ev_cut(struct world *w, void *what, uint64_t arg)
{
    static const enum fault names[] = {F_CUT, F_CUT_TO, F_CUT_FROM, F_FROZEN};
    struct router *r = &w->routers[arg >> 8];
    unsigned how = arg & 255;
    uint64_t until = now_us() + some_time(w);
    (void)what;
    if (!w->faulty)
        return;
    w->counts->faults[names[how]]++;
    trace(w, "%s: %s", w->topology->routers[arg >> 8].name, fault_names[names[how]]);
    if (how == CUT_BOTH || how == CUT_TO)
        r->cut_to_us = until;
    if (how == CUT_BOTH || how == CUT_FROM)
        r->cut_from_us = until;
    if (how == FREEZE)
        r->frozen_us = until;
}

static void ev_partition(struct world *w, void *what, uint64_t arg)
{
    uint64_t until = now_us() + some_time(w);
    (void)what, (void)arg;
    if (!w->faulty)
        return;
    w->counts->faults[F_PARTITION]++;
    for (uint32_t r = 0; r < w->n_routers; r++)
        if (rng_below(&w->rng, 2))
            w->routers[r].cut_to_us = w->routers[r].cut_from_us = until;
}

/* Most fall into the move itself, which takes some tens of milliseconds where nothing is wrong. */
static uint64_t soon(struct world *w)
{
    return now_us() + rng_below(&w->rng, rng_below(&w->rng, 4) ? 80000 : 20000000);
}

static void plan_faults(struct world *w)
{
    unsigned n = w->n_routers;
    for (unsigned i = rng_below(&w->rng, 4); i; i--)
        at(soon(w), ev_cut, NULL, (uint64_t)rng_below(&w->rng, n) << 8 | rng_below(&w->rng, 4));
    if (rng_in(&w->rng, 50))
        at(soon(w), ev_partition, NULL, 0);
    if (rng_in(&w->rng, 100))
        at(soon(w), ev_clock, NULL, 0);
    if (w->options->strangers && rng_in(&w->rng, 60))
        at(soon(w), ev_restart, NULL, rng_below(&w->rng, n));
    for (unsigned i = w->options->strangers && rng_in(&w->rng, 150) ? 1 + rng_below(&w->rng, 3) : 0; i; i--)
        at(soon(w), ev_meddle, NULL, rng_below(&w->rng, n));
    if (rng_in(&w->rng, 120))
        disk_break(DISK_FULL + rng_below(&w->rng, DISK_FAULTS - DISK_FULL), rng_below(&w->rng, 60),
                   rng_below(&w->rng, 3) ? 1 : 1000000);
}

static void plan_crash(struct world *w, unsigned per_mille)
{
    w->crash_at = w->faulty && rng_in(&w->rng, per_mille)
                      ? 1 + rng_below(&w->rng, rng_below(&w->rng, 3) ? 250 : 40)
                      : 0;
    w->crash_power = rng_below(&w->rng, 2);
}

static void be_quiet(struct world *w)
{
    w->faulty = false;
    disk_break(DISK_FINE, 0, 0);
    for (uint32_t r = 0; r < w->n_routers; r++)
        w->routers[r].cut_to_us = w->routers[r].cut_from_us = w->routers[r].frozen_us =
            w->routers[r].free_us = 0;
    do /* until nothing is under way any more */
        world_run(w, now_us() + 25000000);
    while (w->messages);
}

/* ---- A move. ---- */

static bool has_ended(const struct run *run, bool whole)
{
    return whole && (run->none || (run->known && run->ending != E_ERROR && run->ending != E_STUCK));
}

static bool awaits(const struct run *run, bool whole)
{
    return whole && run->known && run->ending == E_STUCK && run->state == FERRY_TXN_AWAITING_CONFIRM;
}

/* What the person at the keyboard does with what awaits: confirms, puts off, undoes, or forgets it. */
static bool answer_window(struct world *w, struct run *run)
{
    world_run(w, now_us() + rng_below(&w->rng, 3 * run->window_s) * 500000ull);
    if (rng_below(&w->rng, 5) == 0) {
        world_run(w, now_us() + (run->window_s + 60) * 1000000ull);
        return false;
    }
    run->verb = rng_below(&w->rng, 4) == 0 ? EXTEND : rng_below(&w->rng, 4) == 0 ? REVERT : CONFIRM;
    plan_crash(w, 200);
    bool whole = process(run, run_confirm);
    return whole && run->known && run->ending < E_REFUSED;
}

/* Until the journal says that it has ended: true; or is stuck though all is quiet: false. */
static bool recover_all(struct world *w, struct run *run, bool whole)
{
    for (int try = 0; try < MOST_TRIES && !w->violated; try++) {
        bool waits = awaits(run, whole);
        if (waits && try < QUIET_TRY) {
            whole = answer_window(w, run);
            continue;
        }
        if (has_ended(run, whole))
            return true;
        if (run->quiet && whole && !waits && run->known && run->ending == E_STUCK)
            return false;
        if (try >= QUIET_TRY) {
            be_quiet(w);
            run->quiet = true;
        } else {
            world_run(w, now_us() + some_time(w));
            plan_crash(w, 250);
            w->counts->faults[F_KILL_RECOVER] += w->crash_at != 0;
        }
        if (waits)
            world_run(w, now_us() + OVERDUE_US);
        w->counts->recovered++;
        whole = process(run, run_recover);
    }
    return has_ended(run, whole);
}

static void mend(struct world *w, struct run *run)
{
    if (!w->meddled)
        violation(w, "stuck, though nobody has meddled");
    w->counts->stuck_then_mended++;
    claim_mend(w);
    for (uint32_t r = 0; r < w->n_routers; r++)
        w->routers[r].tainted_us = 0;
    process(run, run_recover);
    if (!run->known || run->state != FERRY_TXN_UNDONE)
        violation(w, "a person has mended all, and recover says %s",
                  run->known ? ferry_txn_state_name(run->state) : "nothing");
}

/* The journal's last word, when all is quiet, against the routers. */
static void judge(struct world *w, struct run *run, const char *last_id, bool was_faulty)
{
    char why[128] = "";
    if (was_faulty || !run->fresh) { /* else all is quiet, and it has just been said */
        be_quiet(w);
        run->quiet = true;
        process(run, run_look);
    }
    bool begun = strcmp(run->id, last_id) != 0;
    if (!w->planned)
        return;
    unsigned where = claim_where(w, why, sizeof why);
    bool good = begun && run->state == FERRY_TXN_COMMITTED ? where & AT_POST : where & AT_PRE;
    if (begun && run->state != FERRY_TXN_COMMITTED && run->state != FERRY_TXN_UNDONE)
        violation(w, "when all is quiet the journal says %s", ferry_txn_state_name(run->state));
    else if (!good)
        violation(w, "when all is quiet the journal says %s, but %s",
                  begun ? ferry_txn_state_name(run->state) : "that nothing was begun", why);
    w->counts
        ->endings[!begun ? run->ending < E_REFUSED ? E_ERROR : run->ending : ending_of_state(run->state)]++;
}

/* Where nothing went wrong nothing may be refused: a plan that is in the wrong order is refused by the prover. */
static void judge_calm(struct world *w, const struct run *run)
{
    bool moved = run->kind != DRILL;
    if (run->ending != (moved ? E_COMMITTED : E_UNDONE) &&
        (run->kind != CONFIRMED || run->ending != E_UNDONE))
        violation(w, "nothing was wrong, and it ended as %s: %s", ending_names[run->ending], run->err.text);
}

static void forget_move(struct world *w)
{
    claim_forget(w);
    w->meddled = false;
    for (uint32_t r = 0; r < w->n_routers; r++) {
        w->routers[r].met = false;
        w->routers[r].tainted_us = 0;
    }
}

static void choose_kind(struct world *w, struct run *run, bool can_roll_back)
{
    unsigned die = rng_below(&w->rng, 100);
    if (w->options->windows)
        die = 91;
    run->kind = die < 68 ? APPLY : die < 80 ? DRILL : die < 92 ? CONFIRMED : can_roll_back ? ROLLBACK : APPLY;
    run->window_s = 20 + rng_below(&w->rng, 60);
    w->counts->kinds[run->kind]++;
}

static bool move(struct world *w, bool *can_roll_back, char last_id[static 24])
{
    struct run run = {.w = w, .ending = E_ERROR};
    w->faulty = w->options->faults && rng_below(&w->rng, 4);
    bool faulty = w->faulty;
    w->claimed_us = 0;
    choose_kind(w, &run, *can_roll_back);
    trace(w, "---- a move of kind %d, %s faults", run.kind, w->faulty ? "with" : "no");
    if (w->faulty) {
        plan_faults(w);
        plan_crash(w, 350);
    }
    bool whole = process(&run, run_move);
    if (!recover_all(w, &run, whole) && !w->violated)
        mend(w, &run);
    bool meddled = w->meddled;
    if (!faulty && !w->violated)
        judge_calm(w, &run);
    if (!w->violated)
        judge(w, &run, last_id, faulty);
    *can_roll_back = run.state == FERRY_TXN_COMMITTED && strcmp(run.id, last_id) != 0 && run.kind != ROLLBACK;
    memcpy(last_id, run.id, sizeof run.id);
    w->counts->moves++;
    forget_move(w);
    /* Nobody plays the protocols but the plans: what an undo has left to them stays undone. */
    return !meddled && !(faulty && w->topology->routers[0].driver.routing != FERRY_ROUTING_STATIC);
}

/* ---- An episode. ---- */

static void start_routers(struct world *w)
{
    struct ferry_home *home = ferry_home_of_topology(w->topology);
    struct ferry_err err;
    for (uint32_t r = 0; r < w->n_routers; r++) {
        struct router *router = &w->routers[r];
        struct ferry_fib fib = {0};
        if (ferry_home_initial(home, r, &fib, &err) < 0)
            violation(w, "no first state: %s", err.text);
        for (size_t i = 0; i < fib.n; i++) {
            ferry_sim_table_seed(&router->table, &fib.items[i]);
            ferry_sim_table_seed(&router->saved, &fib.items[i]);
        }
        ferry_fib_clear(&fib);
        router->sum = sum_of_table(&router->table);
        router->delay_us = 100 + rng_below(&w->rng, 3000);
        router->jitter_us = 1 + rng_below(&w->rng, 1000);
        walk_refresh(w, r);
    }
    ferry_home_free(home);
}

static void report(const struct world *w, const char *name)
{
    fprintf(stderr, "VIOLATION seed %llu, shape %s: %s\n", (unsigned long long)w->seed, name, w->why);
    for (size_t i = w->n_tail > FERRY_COUNT(w->tail) ? w->n_tail - FERRY_COUNT(w->tail) : 0; i < w->n_tail;
         i++)
        fprintf(stderr, "    %s\n", w->tail[i % FERRY_COUNT(w->tail)]);
    fprintf(stderr, "replay: tests/sim/run --seed %llu --shape %s%s%s%s --moves %u --verbose\n",
            (unsigned long long)w->seed, name, w->options->faults ? "" : " --no-faults",
            w->options->unfenced ? " --unfenced" : "", w->options->windows ? " --windows" : "",
            w->options->per_episode);
}

void episode(const struct options *options, struct counts *counts, uint64_t seed, const char *name,
             const char *text, uint64_t moves)
{
    static struct world w;
    struct ferry_err err;
    char last_id[24] = "";
    bool can_roll_back = false;
    w = (struct world){.options = options, .counts = counts, .seed = seed};
    w.rng.s = seed * 0x9e3779b97f4a7c15u + 1;
    w.program.s = seed ^ 0x5851f42d4c957f2du;
    the_world = &w;
    time_reset();
    disk_reset();
    if (ferry_topology_parse(name, text, strlen(text), &w.topology, NULL, &err) < 0) {
        fprintf(stderr, "%s: %s\n", name, err.text);
        abort();
    }
    w.n_routers = (uint32_t)w.topology->n_routers;
    start_routers(&w);
    for (uint64_t i = 0; i < moves && !w.violated; i++)
        if (!move(&w, &can_roll_back, last_id))
            break; /* a new network */
    counts->episodes++;
    counts->simulated_us += now_us() - 1000000000;
    counts->trace = counts->trace * 31 + w.trace_hash;
    counts->violations += w.violated;
    if (w.violated && options->verbose)
        report(&w, name);
    messages_drop(&w);
    for (uint32_t r = 0; r < w.n_routers; r++)
        router_clear(&w.routers[r]);
    for (size_t i = 0; i < FERRY_COUNT(w.tail); i++)
        free(w.tail[i]);
    ferry_topology_free(w.topology);
}
