/* Rules of the dead-man that the simulation meets too rarely to be their test, each met alone: a confirm and a
 * deadline that come through in part, pins of a stage that never came, a stage that begins late, an undo that
 * lasts into the deadline.  Simulated routers, a clock that the test turns, and a wire that can be cut.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"
#include "txn/deadman_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WINDOW_S 60u
#define ARMED_S  (WINDOW_S + 20) /* MARGIN_S of txn_deadman.c */
#define OVER_S   160u            /* whatever was armed has fired, and every step of it */
#define FAR_S    4u              /* more than stages are apart where all hear in time */
#define START_US (1790000000ull * 1000000)

static uint64_t clock_us;

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_us;
}

static void sleep_clock(void *ctx, uint64_t us)
{
    (void)ctx;
    clock_us += us;
}

static void pass(unsigned seconds)
{
    clock_us += 1000000ull * seconds;
}

/* ---- The wire. ---- */

#define NEVER 1000u
#define TELLS (1u << FERRY_DEADMAN_ARM | 1u << FERRY_DEADMAN_EXTEND | 1u << FERRY_DEADMAN_NEXT)
#define MOVES (1u << FERRY_DEADMAN_NEXT | 1u << FERRY_DEADMAN_MOVE | 1u << FERRY_DEADMAN_SETTLE)

static struct {
    unsigned verbs;           /* bits 1 << verb: of these dead-man calls … */
    unsigned left;            /* … so many come through; then the controller hears nobody */
    bool cut;                 /* it has come to that */
    bool fatal;               /* whoever applies anything dies */
    const char *slow;         /* an apply takes nine seconds there */
    unsigned slowed;          /* how many have */
    const char *silent;       /* this router is, … */
    uint64_t silent_until_us; /* … until then */
    char id[24];              /* of the dead-man that was armed last */
    unsigned limit_s;         /* a LIMIT takes so long */
    const char *far;          /* this router hears of a deadline FAR_S late */
    unsigned way_us;          /* a dead-man call takes so long, beside that */
    unsigned moves;           /* of deadlines */
    unsigned begun;           /* ops on a router whose undo had begun */
    unsigned ops;             /* all of them */
    struct {
        struct ferry_driver *driver;
        char name[64];
    } open[16];
} wire;

static struct ferry_driver_ops wire_ops;

static const struct ferry_driver_ops *sim(void)
{
    return ferry_driver_find("sim");
}

static bool is_of(const struct ferry_driver *driver, const char *router)
{
    for (size_t i = 0; i < FERRY_COUNT(wire.open); i++)
        if (wire.open[i].driver == driver && !strcmp(wire.open[i].name, router))
            return true;
    return false;
}

static bool hears(const char *router)
{
    return !wire.cut && !(wire.silent && !strcmp(wire.silent, router) && clock_us < wire.silent_until_us);
}

/* 0, or the call fails after a driver's patience. */
static int reach(const struct ferry_driver *driver, struct ferry_err *err)
{
    for (size_t i = 0; i < FERRY_COUNT(wire.open); i++)
        if (wire.open[i].driver == driver && !hears(wire.open[i].name)) {
            pass(wire.cut ? 0 : 3);
            return ferry_error(err, FERRY_EUNKNOWN, "no answer");
        }
    return 0;
}

static int wire_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                     const char *router, const char *state_dir, const struct ferry_fib *initial,
                     struct ferry_driver **ret, struct ferry_err *err)
{
    if (!hears(router))
        return ferry_error(err, FERRY_EIO, "cannot be reached");
    int r = sim()->open(env, config, router, state_dir, initial, ret, err);
    for (size_t i = 0; r == 0 && i < FERRY_COUNT(wire.open); i++)
        if (!wire.open[i].driver) {
            wire.open[i].driver = *ret;
            snprintf(wire.open[i].name, sizeof wire.open[i].name, "%s", router);
            break;
        }
    return r;
}

static void wire_close(struct ferry_driver *driver)
{
    for (size_t i = 0; i < FERRY_COUNT(wire.open); i++)
        if (wire.open[i].driver == driver)
            wire.open[i].driver = NULL;
    sim()->close(driver);
}

static int wire_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                     struct ferry_err *err)
{
    int r = reach(driver, err);
    return r < 0 ? r : sim()->read(driver, query, ret, err);
}

static int wire_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    enum ferry_deadman_state state = FERRY_DEADMAN_NONE;
    unsigned left;
    int r = reach(driver, err);
    if (r < 0)
        return r;
    if (wire.slow && is_of(driver, wire.slow)) {
        pass(9);
        wire.slowed++;
    }
    if (*wire.id)
        r = sim()->deadman(driver, FERRY_DEADMAN_LOOK, &(struct ferry_deadman){.id = wire.id}, &state, &left,
                           err);
    wire.begun += r == 0 && state == FERRY_DEADMAN_FIRED ? (unsigned)n : 0; /* on a worker: no assert */
    wire.ops += (unsigned)n;
    if (wire.fatal)
        _exit(0);
    return r < 0 ? r : sim()->apply(driver, ops, n, err);
}

static int wire_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                        const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                        unsigned *ret_left_s, struct ferry_err *err)
{
    if (wire.verbs & 1u << verb)
        wire.cut |= wire.left-- == 0;
    int r = reach(driver, err);
    if (r < 0)
        return r;
    wire.moves += !!(MOVES & 1u << verb);
    if (verb == FERRY_DEADMAN_LIMIT)
        pass(wire.limit_s);
    if (wire.far && is_of(driver, wire.far) && (TELLS & 1u << verb))
        pass(FAR_S);
    clock_us += wire.way_us;
    if (verb == FERRY_DEADMAN_ARM)
        snprintf(wire.id, sizeof wire.id, "%s", deadman->id);
    return sim()->deadman(driver, verb, deadman, ret, ret_left_s, err);
}

static const struct ferry_driver_ops *wire_find(const char *type)
{
    return ferry_driver_find(type) ? &wire_ops : NULL;
}

static void wire_reset(void)
{
    memset(&wire, 0, sizeof wire);
    wire.left = NEVER;
}

/* From now on so many calls of these verbs come through. */
static void cut_after(unsigned n, unsigned verbs)
{
    wire.verbs = verbs;
    wire.left = n;
}

/* ---- A story. ---- */

struct story {
    struct world w;
    struct ferry_plan *plan;
    char *pre;
};

static void use_wire(struct world *w)
{
    wire_reset();
    wire_ops = *sim();
    wire_ops.open = wire_open;
    wire_ops.close = wire_close;
    wire_ops.read = wire_read;
    wire_ops.apply = wire_apply;
    wire_ops.deadman = wire_deadman;
    clock_us = START_US;
    w->env.realtime_us = w->env.monotonic_us = read_clock;
    w->env.sleep_us = sleep_clock;
    w->config.workers = 1; /* the order of calls is the same each time */
    w->config.find = wire_find;
}

static void prepare(struct story *s, const char *topology)
{
    world_init(&s->w, topology, "sim");
    use_wire(&s->w);
    s->plan = world_plan(&s->w, "app", "recovery");
    s->pre = world_snapshot(&s->w);
}

typedef void prepare_fn(struct story *s);

static void prepare_plain(struct story *s)
{
    prepare(s, "three-site.json");
}

static void prepare_bgp(struct story *s)
{
    prepare(s, "three-site-bgp.json");
}

/* r2 is the new gateway of `app` and the old one of `db`: at the undo it does both. */
static void prepare_two(struct story *s, const char *db_to)
{
    struct ferry_err err;
    world_init(&s->w, "../tests/fixtures/txn/handed-on.json", "sim");
    use_wire(&s->w);
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = ferry_live_new(s->w.topology, pool, (uint32_t[]){0, 1}, 2);
    struct ferry_fleet *fleet = world_fleet(&s->w);
    struct ferry_move moves[] = {{0, ferry_topology_site(s->w.topology, "two")},
                                 {1, ferry_topology_site(s->w.topology, db_to)}};
    assert_int_equal(ferry_fleet_read_live(fleet, live, &err), 0);
    if (ferry_plan_make(live, moves, FERRY_COUNT(moves), &s->plan, &err) < 0)
        fail_msg("%s", err.text);
    ferry_fleet_free(fleet);
    ferry_live_free(live);
    ferry_pool_free(pool);
    s->pre = world_snapshot(&s->w);
}

static void prepare_handed_on(struct story *s)
{
    prepare_two(s, "three");
}

static void prepare_exchanged(struct story *s) /* and r1 does */
{
    prepare_two(s, "one");
}

static void end(struct story *s)
{
    free(s->pre);
    ferry_plan_free(s->plan);
    world_clear(&s->w);
}

typedef void progress_fn(void *ctx, enum ferry_txn_event event, size_t stage, const char *text);

static enum ferry_txn_state apply(struct story *s, progress_fn *progress)
{
    struct ferry_txn_options options = {.kind = "apply",
                                        .user = "test",
                                        .confirm_within_s = WINDOW_S,
                                        .progress = progress,
                                        .progress_ctx = s};
    struct ferry_err err;
    enum ferry_txn_state state;
    if (world_apply(&s->w, s->plan, &options, &state, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return state;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

/* ---- D2: a confirm that came through in part. ---- */

/* What one router holds; malloc'd. */
static char *part_of(const char *snapshot, const char *router)
{
    char *ret = NULL;
    size_t size, len = strlen(router);
    FILE *out = open_memstream(&ret, &size);
    for (const char *line = snapshot; *line; line = strchr(line, '\n') + 1)
        if (!strncmp(line, router, len) && line[len] == ' ')
            fwrite(line, 1, (size_t)(strchr(line, '\n') - line), out);
    fclose(out);
    return ret;
}

/* Whether every router stands before or after the same stage. */
static bool has_been(const struct story *s, char *const *states, const char *now)
{
    for (size_t k = 0; k < s->plan->n_stages; k++) {
        size_t fits = 0;
        for (size_t r = 0; r < s->w.topology->n_routers; r++) {
            const char *name = s->w.topology->routers[r].name;
            FERRY_AUTOFREE char *here = part_of(now, name), *before = part_of(states[k], name),
                                *after = part_of(states[k + 1], name);
            fits += !strcmp(here, before) || !strcmp(here, after);
        }
        if (fits == s->w.topology->n_routers)
            return true;
    }
    return false;
}

/* [stage]: what the routers hold before it; the last one: after all of them. */
static char **states_of_plan(prepare_fn *prepare_it, size_t *ret_n)
{
    struct story s;
    struct ferry_err err;
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
    struct ferry_txn_options options = {.kind = "apply"};
    prepare_it(&s);
    size_t n = s.plan->n_stages;
    char **states = ferry_calloc(n + 1, sizeof *states);
    assert_int_equal(ferry_fleet_for_topology(&s.w.config, s.w.topology, &fleet, &err), 0);
    assert_int_equal(ferry_txn_begin(s.w.journal, fleet, s.plan, &options, &txn, NULL, NULL, &err), 0);
    for (size_t k = 0; k <= n; k++) {
        while (txn->stage < k)
            assert_true(ferry_txn_step(txn, &err) >= 0);
        states[k] = world_snapshot(&s.w);
    }
    assert_int_equal(ferry_txn_run(txn, &err), 0);
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    end(&s);
    *ret_n = n + 1;
    return states;
}

static void free_states(char **states, size_t n)
{
    for (size_t k = 0; k < n; k++)
        free(states[k]);
    free(states);
}

/* Whoever dies in the middle of a confirm leaves undos on some routers and none on others. */
static void confirm_in_part(prepare_fn *prepare_it, const char *far)
{
    size_t n_states;
    char **states = states_of_plan(prepare_it, &n_states);
    for (unsigned n = 0, kept = 0; !kept; n++) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_txn_options options = {.user = "test"};
        struct ferry_err err;
        prepare_it(&s);
        wire.far = far;
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        cut_after(n, 1u << FERRY_DEADMAN_LIMIT | 1u << FERRY_DEADMAN_CONFIRM);
        kept = ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err) == 0;
        ferry_txn_record_free(record);
        pass(OVER_S); /* nobody but the routers is at work */
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        if (!has_been(&s, states, now))
            fail_msg("cut off after %u calls it leads to\n%s", n, now);
        assert_true(!kept || n > s.w.topology->n_routers); /* there was something to cut off */
        end(&s);
    }
    free_states(states, n_states);
}

static void a_confirm_that_is_cut_off_leads_to_where_the_plan_has_been(void **unused)
{
    (void)unused;
    confirm_in_part(prepare_plain, NULL);
    confirm_in_part(prepare_exchanged, NULL);
    confirm_in_part(prepare_plain, "edge-third"); /* stages are as far apart as when they were armed */
}

/* ---- K5: a confirm near the deadline. ---- */

static void confirm_late(unsigned limit_s, enum ferry_txn_state wanted)
{
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    prepare(&s, "three-site.json");
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    FERRY_AUTOFREE char *post = world_snapshot(&s.w);
    pass(WINDOW_S - 4);
    wire.limit_s = limit_s;
    wire.moves = 0;
    assert_int_equal(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
    assert_int_equal(record->state, wanted);
    assert_int_equal(wire.moves, 0);
    ferry_txn_record_free(record);
    pass(OVER_S);
    FERRY_AUTOFREE char *now = world_snapshot(&s.w);
    assert_string_equal(now, wanted == FERRY_TXN_COMMITTED ? post : s.pre);
    end(&s);
}

/* What is not moved cannot be moved in part.  Where the deadline comes first it is undone, whatever part of it
 * was given up. */
static void a_confirm_moves_no_deadline(void **unused)
{
    (void)unused;
    confirm_late(0, FERRY_TXN_COMMITTED);
    confirm_late(1, FERRY_TXN_UNDONE);
}

/* ---- K6: what an earlier confirm kept is looked at again. ---- */

static void confirm_again(unsigned n, unsigned verbs)
{
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    struct ferry_entry e = {.type = FERRY_BLACKHOLE, .table = FERRY_TABLE_MAIN, .metric = 5, .protocol = 4};
    struct ferry_op op = world_route("192.168.1.0/24", &e), away = ferry_op_swap(&op);
    prepare(&s, "three-site.json");
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    cut_after(n, verbs);
    assert_true(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err) < 0);
    assert_true(wire.cut);
    wire.cut = false;
    cut_after(NEVER, 0);
    world_meddle(&s.w, "edge-third", &op);
    assert_int_equal(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err),
                     -FERRY_EREFUSED);
    assert_string_equal(err.rule, "verification");
    assert_non_null(strstr(err.text, "an earlier confirm"));
    world_meddle(&s.w, "edge-third", &away);
    assert_int_equal(ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
    assert_int_equal(record->state, FERRY_TXN_COMMITTED);
    ferry_txn_record_free(record);
    end(&s);
}

static void an_earlier_confirm_vouches_for_nothing(void **unused)
{
    (void)unused;
    confirm_again(3, 1u << FERRY_DEADMAN_LOOK); /* all confirmed, and nobody heard it */
    confirm_again(3, 1u << FERRY_DEADMAN_LIMIT | 1u << FERRY_DEADMAN_CONFIRM);
}

/* ---- D2, L1: a deadline that was moved in part. ---- */

/* From now on nobody but the routers is at work: whatever they have been told of the new deadline. */
static void let_them_undo(struct story *s, char *const *states, unsigned n)
{
    FERRY_AUTOFREE char *last = ferry_strdup("");
    unsigned step = wire.far ? 1 : 2; /* D3: no stage is shorter */
    for (unsigned at = 0; at < OVER_S; at += step, pass(step)) {
        char *now = world_snapshot(&s->w);
        bool same = !strcmp(now, last);
        free(last);
        last = now;
        if (same)
            continue;
        if (count(now, " app gateway") > 1 || count(now, " db gateway") > 1)
            fail_msg("cut off after %u calls, at two sites %u s later:\n%s", n, at, now);
        if (!has_been(s, states, now))
            fail_msg("cut off after %u calls, where the plan has never been %u s later:\n%s", n, at, now);
    }
    FERRY_AUTOFREE char *now = world_snapshot(&s->w);
    assert_string_equal(now, s->pre);
}

/* Cuts the wire after each of the messages of one `extend`, or of the beginning of a window. */
static void move_in_part(prepare_fn *prepare_it, bool earlier, unsigned step)
{
    size_t n_states;
    char **states = states_of_plan(prepare_it, &n_states);
    for (unsigned n = 0, told = 0; !told; n += step) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_txn_options options = {.user = "test", .kind = "apply", .confirm_within_s = WINDOW_S};
        struct ferry_err err;
        enum ferry_txn_state state = FERRY_TXN_READY;
        prepare_it(&s);
        if (earlier)
            cut_after(n, MOVES);
        int r = world_apply(&s.w, s.plan, &options, &state, NULL, &err);
        told = r == 0 && state == FERRY_TXN_AWAITING_CONFIRM;
        if (!earlier) {
            assert_true(told);
            cut_after(n, MOVES);
            told = ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, 100, &record, &err) == 0;
        }
        ferry_txn_record_free(record);
        let_them_undo(&s, states, n);
        assert_true(!told || n > 2 * s.w.topology->n_routers); /* there was something to cut off */
        end(&s);
    }
    free_states(states, n_states);
}

static void a_deadline_that_is_put_off_in_part_leads_over_the_plan(void **unused)
{
    (void)unused;
    move_in_part(prepare_plain, false, 1);
    move_in_part(prepare_handed_on, false, 3);
    move_in_part(prepare_exchanged, false, 3);
    move_in_part(prepare_bgp, false, 7);
}

static void a_window_that_begins_in_part_leads_over_the_plan(void **unused)
{
    (void)unused;
    move_in_part(prepare_plain, true, 1);
    move_in_part(prepare_handed_on, true, 3);
    move_in_part(prepare_exchanged, true, 3);
    move_in_part(prepare_bgp, true, 7);
}

/* ---- D3: deadlines that are far apart. ---- */

/* Who is two stages behind the others has packets sent to it that it sends back. */
static void stages_are_as_far_apart_as_deadlines(void **unused)
{
    static const char *const routers[] = {"edge-primary", "edge-recovery", "edge-third"};
    size_t n_states;
    char **states = states_of_plan(prepare_plain, &n_states);
    (void)unused;
    for (size_t i = 0; i < FERRY_COUNT(routers); i++) {
        struct story s;
        prepare_plain(&s);
        wire.far = routers[i];
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        let_them_undo(&s, states, 0);
        end(&s);
    }
    free_states(states, n_states);
}

/* Stages were near each other when it was armed: then nobody comes to a deadline that one hears of so late. */
static void a_deadline_that_one_hears_of_too_late_is_nobodys(void **unused)
{
    size_t n_states;
    char **states = states_of_plan(prepare_plain, &n_states);
    (void)unused;
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    prepare_plain(&s);
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    wire.far = "edge-primary";
    assert_int_equal(ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, 900, &record, &err),
                     -FERRY_EUNKNOWN);
    assert_non_null(strstr(err.text, "too slowly"));
    let_them_undo(&s, states, 0); /* at the first one */
    end(&s);
    free_states(states, n_states);
}

/* Answers take time, however little; the longest extend is as good as any. */
static void the_longest_extend_asks_for_no_more_than_there_is(void **unused)
{
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    struct ferry_err err;
    (void)unused;
    prepare_plain(&s);
    wire.way_us = 1000;
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    if (ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, FERRY_EXTEND_MOST_S, &record, &err) < 0)
        fail_msg("%s", err.text);
    ferry_txn_record_free(record);
    end(&s);
}

/* K7, RESTS: what was put off in part, and has undone a part of it, obeys whoever comes then. */
static void what_was_put_off_in_part_is_settled(unsigned wait_s, enum ferry_txn_state wanted)
{
    for (unsigned n = 0, told = 0; !told; n++) {
        struct story s;
        struct ferry_txn_record *record = NULL;
        struct ferry_txn_options options = {.user = "test"};
        struct ferry_err err;
        prepare_plain(&s);
        assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
        FERRY_AUTOFREE char *post = world_snapshot(&s.w);
        cut_after(n, MOVES);
        told = ferry_txn_extend(s.w.journal, &s.w.config, &options, NULL, 900, &record, &err) == 0;
        ferry_txn_record_free(record);
        record = NULL;
        wire.cut = false;
        cut_after(NEVER, 0);
        pass(wait_s);
        if (told)
            wanted = FERRY_TXN_COMMITTED;
        if (ferry_txn_confirm(s.w.journal, &s.w.config, &options, NULL, &record, &err) < 0)
            fail_msg("after %u calls: %s", n, err.text);
        assert_int_equal(record->state, wanted);
        ferry_txn_record_free(record);
        pass(1000);
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        assert_string_equal(now, wanted == FERRY_TXN_COMMITTED ? post : s.pre);
        end(&s);
    }
}

static void a_confirm_settles_what_was_put_off_in_part(void **unused)
{
    (void)unused;
    what_was_put_off_in_part_is_settled(5, FERRY_TXN_COMMITTED);
}

static void a_part_of_an_undo_is_no_end(void **unused)
{
    (void)unused;
    what_was_put_off_in_part_is_settled(WINDOW_S + 30, FERRY_TXN_UNDONE);
}

/* ---- D8: pins of a stage that never came. ---- */

/* Whether a route of Ferry leads another way than what the router held: "ROUTER app unicast via … dev …", then
 * its metric. */
static bool has_other_pin(const char *now, const char *pre)
{
    for (const char *line = now, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        FERRY_AUTOFREE char *one = strndup(line, (size_t)(end - line));
        char *metric = strstr(one, " metric ");
        if (!metric || !strstr(one, " unicast ") || !strstr(one, " protocol ferry"))
            continue;
        *metric = 0;
        if (!strstr(pre, one))
            return true;
    }
    return false;
}

static void what_was_never_begun_lays_no_pins(void **unused)
{
    (void)unused;
    struct story s;
    int status;
    prepare(&s, "three-site-bgp.json");
    assert_true(ferry_deadman_late(s.plan) < s.plan->n_stages);
    wire.fatal = true;
    pid_t child = fork();
    if (!child) {
        apply(&s, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* all are armed, and nothing is written */
    pass(ARMED_S - 2);
    for (unsigned at = ARMED_S - 2; at < ARMED_S + 40; at++, pass(1)) {
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        if (has_other_pin(now, s.pre))
            fail_msg("%u s later:\n%s", at, now);
    }
    FERRY_AUTOFREE char *now = world_snapshot(&s.w);
    assert_string_equal(now, s.pre);
    end(&s);
}

/* Whoever is armed, and not reached any more when that came to nothing, is left as it is when its deadline comes. */
static void what_came_to_nothing_has_nothing_to_undo(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_txn_options options = {.kind = "apply", .user = "test", .confirm_within_s = WINDOW_S};
    struct ferry_err err;
    enum ferry_txn_state state;
    prepare_plain(&s);
    cut_after(2, 1u << FERRY_DEADMAN_ARM); /* the third router hears of nothing */
    assert_int_equal(world_apply(&s.w, s.plan, &options, &state, NULL, &err), -FERRY_EUNKNOWN);
    assert_true(wire.cut);
    for (unsigned at = 0; at < OVER_S; at++, pass(1)) {
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        assert_string_equal(now, s.pre);
    }
    wire.cut = false;
    cut_after(NEVER, 0);
    assert_int_equal(world_recover(&s.w, &state, NULL, &err), 0);
    assert_int_equal(state, FERRY_TXN_UNDONE);
    end(&s);
}

static void die_at_the_hook(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    (void)ctx, (void)stage;
    if (event == FERRY_EVENT_NOTE && strstr(text, "hook before-prepare"))
        _exit(0);
}

/* Before the first stage is before its hook, too, however long that lasts. */
static void what_died_in_a_hook_before_it_has_nothing_to_undo(void **unused)
{
    (void)unused;
    struct story s;
    int status;
    char **argv = ferry_calloc(2, sizeof *argv);
    prepare_plain(&s);
    argv[0] = ferry_strdup("/bin/true");
    ferry_hooks_add(&s.plan->hooks,
                    &(struct ferry_hook){.at = FERRY_BEFORE_PREPARE, .run = argv, .timeout_s = 5});
    pid_t child = fork();
    if (!child) {
        apply(&s, die_at_the_hook);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (unsigned at = 0; at < OVER_S; at++, pass(1)) {
        FERRY_AUTOFREE char *now = world_snapshot(&s.w);
        assert_string_equal(now, s.pre);
    }
    end(&s);
}

/* ---- D4: a stage that begins late. ---- */

static void near_the_deadline(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    (void)ctx, (void)text;
    if (event == FERRY_EVENT_STAGE_DONE && stage == 0)
        clock_us = START_US + 1000000ull * (ARMED_S - 17); /* enough for the next stage */
}

/* Nothing comes to a router after its undo has begun: before a stage the deadline is far enough, or put off.
 */
static void no_stage_begins_shortly_before_the_deadline(void **unused)
{
    (void)unused;
    struct story s;
    prepare(&s, "three-site.json");
    wire.slow = "edge-primary"; /* which detaches it, and then goes another way */
    assert_int_equal(apply(&s, near_the_deadline), FERRY_TXN_AWAITING_CONFIRM);
    assert_true(clock_us > START_US + 1000000ull * ARMED_S); /* it was put off */
    assert_true(wire.slowed >= 2);
    assert_int_equal(wire.begun, 0);
    wire.slow = NULL;
    pass(OVER_S);
    FERRY_AUTOFREE char *now = world_snapshot(&s.w);
    assert_string_equal(now, s.pre);
    end(&s);
}

/* ---- D6: an undo that lasts into the deadline. ---- */

static void one_falls_silent(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    const struct story *s = ctx;
    size_t late = ferry_deadman_late(s->plan);
    if (event != FERRY_EVENT_STAGE_START || stage != late || !strstr(text, "undo") || wire.silent)
        return;
    const struct ferry_stage *last = &s->plan->stages[late];
    wire.silent = s->plan->routers[last->changes[last->n_changes - 1].router].name;
    wire.silent_until_us = clock_us + 1000000ull * OVER_S / 2;
}

/* The routers have undone all of it while one was asked in vain: the engine finds them where they are.  Had it
 * gone on where it was, it would lay pins again that nobody has. */
static void where_the_routers_are_is_found_anew(void **unused)
{
    (void)unused;
    struct story s;
    struct ferry_txn_record *record = NULL;
    struct ferry_err err;
    prepare(&s, "three-site-bgp.json");
    assert_int_equal(apply(&s, NULL), FERRY_TXN_AWAITING_CONFIRM);
    pass(WINDOW_S - 18); /* enough for the first looks */
    wire.ops = 0;
    struct ferry_txn_options options = {.user = "test", .progress = one_falls_silent, .progress_ctx = &s};
    assert_int_equal(ferry_txn_revert(s.w.journal, &s.w.config, &options, NULL, &record, &err), 0);
    assert_non_null(wire.silent); /* it came to that */
    assert_true(wire.ops > 0);    /* before the deadline */
    assert_int_equal(wire.begun, 0);
    assert_int_equal(record->state, FERRY_TXN_UNDONE);
    FERRY_AUTOFREE char *now = world_snapshot(&s.w);
    assert_string_equal(now, s.pre);
    ferry_txn_record_free(record);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_confirm_that_is_cut_off_leads_to_where_the_plan_has_been),
        cmocka_unit_test(a_confirm_moves_no_deadline),
        cmocka_unit_test(an_earlier_confirm_vouches_for_nothing),
        cmocka_unit_test(a_deadline_that_is_put_off_in_part_leads_over_the_plan),
        cmocka_unit_test(a_window_that_begins_in_part_leads_over_the_plan),
        cmocka_unit_test(stages_are_as_far_apart_as_deadlines),
        cmocka_unit_test(a_deadline_that_one_hears_of_too_late_is_nobodys),
        cmocka_unit_test(the_longest_extend_asks_for_no_more_than_there_is),
        cmocka_unit_test(a_confirm_settles_what_was_put_off_in_part),
        cmocka_unit_test(a_part_of_an_undo_is_no_end),
        cmocka_unit_test(what_was_never_begun_lays_no_pins),
        cmocka_unit_test(what_came_to_nothing_has_nothing_to_undo),
        cmocka_unit_test(what_died_in_a_hook_before_it_has_nothing_to_undo),
        cmocka_unit_test(no_stage_begins_shortly_before_the_deadline),
        cmocka_unit_test(where_the_routers_are_is_found_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
