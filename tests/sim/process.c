/* What the program under test is run as: one process a verb, as the command line would, with an environment
 * that asks the world.
 *
 * SPDX-License-Identifier: MIT */
#include "process.h"

#include "base/mem.h"
#include "txn/journal.h"

#include <string.h>

#define STATE_DIR "/simulated"
#define EPOCH_US  1764000000000000ull

/* ---- What the program sees of the world. ---- */

static uint64_t env_monotonic(void *ctx)
{
    (void)ctx;
    return now_us();
}

static uint64_t env_realtime(void *ctx)
{
    return EPOCH_US + now_us() + (uint64_t)((struct world *)ctx)->wall_skew_us;
}

static uint64_t env_random(void *ctx)
{
    return rng_next(&((struct world *)ctx)->program);
}

static void env_log(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    (void)ctx, (void)level, (void)fmt, (void)args;
}

static void env_point(void *ctx, const char *name)
{
    (void)name;
    crash_point(ctx);
}

static void env_sleep(void *ctx, uint64_t us)
{
    (void)ctx;
    fiber_sleep(us);
}

void crash_point(struct world *w)
{
    if (!process_alive() || ++w->points != w->crash_at)
        return;
    trace(w, "the controller dies (%s)", w->crash_power ? "power" : "killed");
    w->counts->faults[w->crash_power ? F_POWER : F_KILL]++;
    process_die();
}

static int no_initial(void *ctx, uint32_t router, struct ferry_fib *ret, struct ferry_err *err)
{
    (void)ctx, (void)router, (void)ret, (void)err;
    return 0;
}

/* ---- Processes. ---- */

static void say(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    struct run *run = ctx;
    struct world *w = run->w;
    (void)event, (void)stage;
    trace(w, "  %s", text);
    if (event != FERRY_EVENT_STAGE_START || !w->faulty || !rng_in(&w->rng, 20))
        return;
    struct ferry_journal *second = NULL; /* another controller wants to begin now */
    struct ferry_err err;
    w->counts->faults[F_SECOND]++;
    if (ferry_journal_open(&run->env, STATE_DIR, &second, &err) == 0 &&
        ferry_journal_lock(second, &err) != -FERRY_ELOCKED)
        violation(w, "a second controller got the lock");
    ferry_journal_close(second);
}

static enum ending ending_of(int r)
{
    return r == -FERRY_EREFUSED ? E_REFUSED : r == -FERRY_EDRIFT ? E_DRIFT : E_ERROR;
}

enum ending ending_of_state(enum ferry_txn_state state)
{
    return state == FERRY_TXN_COMMITTED ? E_COMMITTED : state == FERRY_TXN_UNDONE ? E_UNDONE : E_STUCK;
}

static void fails(struct run *run, int r)
{
    run->ending = ending_of(r);
    run->known = true;
    trace(run->w, "  %s%s%s", run->err.rule, run->err.rule[0] ? ": " : "", run->err.text);
}

static bool is_at(const struct world *w, uint32_t s, uint32_t site)
{
    for (uint32_t r = 0; r < w->n_routers; r++)
        if (w->routers[r].attached[s] && w->topology->routers[r].site == site)
            return true;
    return false;
}

static int plan_move(struct run *run, struct ferry_fleet *fleet, struct ferry_plan **ret)
{
    struct world *w = run->w;
    const struct ferry_topology *t = w->topology;
    uint32_t subnets[SIM_SUBNETS];
    struct ferry_move moves[SIM_SUBNETS];
    size_t n = 0;
    for (uint32_t s = 0; s < t->n_subnets; s++)
        subnets[s] = s;
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(t, pool, subnets, t->n_subnets);
    uint32_t first = rng_below(&w->rng, (unsigned)t->n_subnets);
    for (uint32_t i = 0; i < t->n_subnets; i++)
        if (i == first || rng_below(&w->rng, 3) == 0) {
            const struct ferry_subnet *s = &t->subnets[i];
            uint32_t site = FERRY_NONE;
            for (int try = 0; try < 8 && (site == FERRY_NONE || is_at(w, i, site)); try++)
                site = t->routers[s->gateways[rng_below(&w->rng, (unsigned)s->n_gateways)].router].site;
            moves[n++] = (struct ferry_move){i, site};
        }
    int r = ferry_fleet_read_live(fleet, live, &run->err);
    if (!r)
        r = ferry_plan_make(live, moves, n, ret, &run->err);
    ferry_live_free(live);
    ferry_pool_free(pool);
    return r;
}

static int plan_rollback(struct run *run, struct ferry_journal *journal, char undoes[static 24],
                         struct ferry_plan **ret)
{
    struct ferry_txn_record *record = NULL;
    int r = ferry_journal_get(journal, NULL, &record, &run->err);
    if (r < 0)
        return r;
    memcpy(undoes, record->id, sizeof record->id);
    r = ferry_plan_reverse(record->plan, ret, &run->err);
    ferry_txn_record_free(record);
    return r;
}

/* C1: where nothing was begun nothing was written. */
static void check_untouched(struct run *run)
{
    char why[128] = "";
    run->w->claimed_us = run->w->process_us;
    if (run->w->planned && !(claim_where(run->w, why, sizeof why) & AT_PRE))
        violation(run->w, "nothing was begun (%s), but %s", run->err.text, why);
}

/* What is said of the transaction, held against the routers. */
static void take(struct run *run, const struct ferry_txn_record *record)
{
    run->known = run->fresh = true;
    run->state = record->state;
    run->ending = ending_of_state(record->state);
    memcpy(run->id, record->id, sizeof run->id);
    claim_check(run->w, record, run->quiet);
}

static void transact(struct run *run, struct ferry_journal *journal, struct ferry_fleet *fleet,
                     struct ferry_plan *plan, const char *undoes)
{
    struct world *w = run->w;
    static const char *const kinds[] = {"apply", "drill", "apply", "rollback"};
    struct ferry_txn_options options = {.kind = kinds[run->kind],
                                        .undoes = undoes,
                                        .user = "simulated",
                                        .confirm_within_s = run->kind == CONFIRMED ? run->window_s : 0,
                                        .progress = say,
                                        .progress_ctx = run};
    struct ferry_txn *txn = NULL;
    struct ferry_hand *drift = NULL;
    size_t n_drift = 0;
    int r = ferry_txn_begin(journal, fleet, plan, &options, &txn, &drift, &n_drift, &run->err);
    ferry_hands_free(drift, n_drift);
    if (r < 0) {
        fails(run, r);
        check_untouched(run);
        return;
    }
    if (run->kind == DRILL)
        ferry_txn_hold(txn);
    r = ferry_txn_run(txn, &run->err);
    if (!r && run->kind == DRILL && ferry_txn_state(txn) == FERRY_TXN_VERIFYING) {
        fiber_sleep(rng_below(&w->rng, 100000));
        r = ferry_txn_abort(txn, "the drill is over", &run->err);
        if (!r)
            r = ferry_txn_run(txn, &run->err);
    }
    if (r < 0) {
        fails(run, r);
    } else {
        const struct ferry_txn_record *record = ferry_txn_record(txn);
        take(run, record);
    }
    ferry_txn_free(txn);
}

void run_move(void *arg)
{
    struct run *run = arg;
    struct ferry_journal *journal = NULL;
    struct ferry_fleet *fleet = NULL;
    struct ferry_plan *plan = NULL;
    char undoes[24] = "";
    int r = ferry_journal_open(&run->env, STATE_DIR, &journal, &run->err);
    if (!r)
        r = ferry_fleet_for_topology(&run->config, run->w->topology, &fleet, &run->err);
    if (!r && run->kind == ROLLBACK)
        r = plan_rollback(run, journal, undoes, &plan);
    else if (!r)
        r = plan_move(run, fleet, &plan);
    if (r < 0) {
        fails(run, r);
        if (run->ending == E_REFUSED)
            run->ending = E_PLAN_REFUSED;
    } else {
        claim_plan(run->w, plan);
        transact(run, journal, fleet, plan, *undoes ? undoes : NULL);
    }
    ferry_plan_free(plan);
    ferry_fleet_free(fleet);
    ferry_journal_close(journal);
}

void run_recover(void *arg)
{
    struct run *run = arg;
    struct ferry_journal *journal = NULL;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "simulated", .progress = say, .progress_ctx = run};
    int r = ferry_journal_open(&run->env, STATE_DIR, &journal, &run->err);
    if (!r)
        r = ferry_txn_recover(journal, &run->config, &options, &record, &run->err);
    run->none = r > 0;
    if (r < 0)
        fails(run, r);
    else if (r == 0)
        take(run, record);
    ferry_txn_record_free(record);
    ferry_journal_close(journal);
}

void run_confirm(void *arg)
{
    struct run *run = arg;
    struct ferry_journal *journal = NULL;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "simulated", .progress = say, .progress_ctx = run};
    int r = ferry_journal_open(&run->env, STATE_DIR, &journal, &run->err);
    if (!r && run->verb == CONFIRM)
        r = ferry_txn_confirm(journal, &run->config, &options, NULL, &record, &run->err);
    else if (!r && run->verb == EXTEND)
        r = ferry_txn_extend(journal, &run->config, &options, NULL, 60, &record, &run->err);
    else if (!r)
        r = ferry_txn_revert(journal, &run->config, &options, NULL, &record, &run->err);
    if (r < 0)
        fails(run, r);
    else
        take(run, record);
    ferry_txn_record_free(record);
    ferry_journal_close(journal);
}

void run_look(void *arg)
{
    struct run *run = arg;
    struct ferry_journal *journal = NULL;
    struct ferry_txn_record *record = NULL;
    int r = ferry_journal_open(&run->env, STATE_DIR, &journal, &run->err);
    if (!r && ferry_journal_get(journal, NULL, &record, &run->err) == 0) {
        memcpy(run->id, record->id, sizeof run->id);
        run->state = record->state;
    }
    if (r < 0)
        violation(run->w, "the journal cannot be opened: %s", run->err.text);
    ferry_txn_record_free(record);
    ferry_journal_close(journal);
}

bool process(struct run *run, void (*fn)(void *))
{
    struct world *w = run->w;
    run->env =
        (struct ferry_env){w, env_monotonic, env_realtime, env_random, env_log, env_point, env_sleep, NULL};
    run->config = (struct ferry_fleet_config){
        .env = &run->env, .find = sim_find, .state_dir = STATE_DIR, .initial = no_initial};
    run->known = run->none = run->fresh = false;
    w->points = 0;
    w->process_us = now_us();
    w->counts->processes++;
    bool whole = process_run(w, fn, run);
    messages_orphan(w);
    if (!whole && w->crash_power)
        messages_unsent(w);
    disk_process_gone(&w->rng, !whole && w->crash_power);
    heap_reset();
    w->crash_at = 0;
    return whole;
}
