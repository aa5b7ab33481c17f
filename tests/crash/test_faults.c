/* A failure of each kind at every driver call of a move: it must end in the pre-state (undone), in the
 * post-state (committed), or honestly stuck; with one site attached at most at any time; and the record must
 * say what the routers hold.  After the faults `recover` must bring whatever is stuck to an end.
 *
 * test-faults [TOPOLOGY SUBNET SITE [DRIVERS]] runs one move more closely and prints a table.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct counts {
    unsigned runs, refused, committed, undone, stuck, nowhere, recovered_pre, recovered_post;
    unsigned long calls;
};

struct move {
    const char *topology, *subnet, *site;
    const char *drivers;
};

static struct move chosen = {"three-site.json", "app", "recovery", "sim"};

struct expected {
    char *pre, *post;
    char *lab; /* what the kernels held before; NULL for simulated routers */
};

/* Every line in which `a` and `b` differ must belong to a router that has a hand. */
static void differences_are_told(const char *a, const char *b, const struct ferry_txn_record *r)
{
    FERRY_AUTOFREE char *copy = ferry_strdup(a);
    char *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        FERRY_AUTOFREE char *whole = ferry_asprintf("%s\n", line);
        if (strstr(b, whole))
            continue;
        size_t len = strcspn(line, " ");
        bool told = false;
        for (size_t i = 0; i < r->n_hands; i++)
            told |= strlen(r->hands[i].router) == len && !strncmp(r->hands[i].router, line, len);
        if (!told)
            fail_msg("%s: not told: %s", r->id, line);
    }
}

static void hands_are_true(const char *now, const struct ferry_txn_record *r)
{
    assert_true(r->n_hands > 0);
    for (size_t i = 0; i < r->n_hands; i++) {
        const struct ferry_hand *h = &r->hands[i];
        if (!strcmp(h->found, "unknown") || !strcmp(h->found, "nothing"))
            continue;
        FERRY_AUTOFREE char *line = ferry_asprintf(" %s\n", h->found);
        if (!strstr(now, line))
            fail_msg("%s: %s %s: said to hold \"%s\", but:\n%s", r->id, h->router, h->key, h->found, now);
    }
}

/* Whether the moved subnet is attached anywhere. */
static bool is_attached(const char *snapshot)
{
    FERRY_AUTOFREE char *gateway = ferry_asprintf(" %s gateway\n", chosen.subnet);
    return strstr(snapshot, gateway) != NULL;
}

static void check_record(struct world *w, enum ferry_txn_state state, const struct expected *e,
                         struct ferry_txn_record *r, struct counts *counts)
{
    FERRY_AUTOFREE char *now = world_snapshot(w);
    assert_int_equal(r->state, state);
    switch ((int)state) {
    case FERRY_TXN_COMMITTED:
        assert_string_equal(now, e->post);
        for (size_t i = 0; i < r->n_outcomes; i++)
            assert_int_equal(r->outcomes[i], FERRY_DONE);
        for (size_t i = 0; i < r->n_hands; i++) /* what could not be saved, and nothing else */
            assert_string_equal(r->hands[i].key, "saved configuration");
        assert_null(r->reason);
        counts->committed++;
        break;
    case FERRY_TXN_UNDONE:
        assert_string_equal(now, e->pre);
        assert_int_equal(r->n_hands, 0);
        assert_non_null(r->reason);
        counts->undone++;
        break;
    case FERRY_TXN_STUCK:
        differences_are_told(now, e->pre, r);
        differences_are_told(e->pre, now, r);
        hands_are_true(now, r);
        assert_non_null(r->reason);
        counts->stuck++;
        counts->nowhere += !is_attached(now);
        break;
    default:
        fail_msg("ended in state %s", ferry_txn_state_name(state));
    }
}

static void recover_stuck(struct world *w, const struct expected *e, struct counts *counts)
{
    struct ferry_err err;
    enum ferry_txn_state state = FERRY_TXN_STUCK;
    w->config.find = watch_find;
    int r = world_recover(w, &state, NULL, &err);
    if (r)
        fail_msg("recover: %d %s", r, err.text);
    FERRY_AUTOFREE char *now = world_snapshot(w);
    if (state == FERRY_TXN_UNDONE)
        assert_string_equal(now, e->pre);
    else if (state == FERRY_TXN_COMMITTED)
        assert_string_equal(now, e->post);
    else
        fail_msg("recover left it %s", ferry_txn_state_name(state));
    *(state == FERRY_TXN_UNDONE ? &counts->recovered_pre : &counts->recovered_post) += 1;
    assert_int_equal(world_recover(w, &state, NULL, &err), 1);
}

static void nothing_happened(struct world *w, const struct expected *e)
{
    struct ferry_err err;
    struct ferry_txn_record **list = NULL;
    size_t n = 1;
    FERRY_AUTOFREE char *now = world_snapshot(w);
    assert_string_equal(now, e->pre);
    assert_int_equal(ferry_journal_list(w->journal, 0, &list, &n, &err), 0);
    assert_int_equal(n, 0);
    free(list);
}

/* Puts a lab back where the move was made, and looks at every byte of it. */
static void as_before(struct world *w, const struct ferry_plan *plan, const struct expected *e)
{
    FERRY_AUTOFREE char *moved = world_snapshot(w);
    if (!strcmp(moved, e->post))
        world_lab_restore(w, plan);
    FERRY_AUTOFREE char *now = world_lab_state(w);
    assert_string_equal(now, e->lab);
}

/* True where the fault came to pass. */
static bool run_one(const struct move *move, const struct expected *e, struct ferry_fault_rule rule,
                    struct counts *counts)
{
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state = FERRY_TXN_READY;
    struct ferry_txn_record *record = NULL;
    world_init(&w, move->topology, move->drivers);
    struct ferry_plan *plan = world_plan(&w, move->subnet, move->site);
    struct ferry_fault_script script = {.find = watch_find, .rules = &rule, .n_rules = 1};
    watch_start(w.topology);
    ferry_fault_install(&script);
    w.config.find = ferry_fault_find;
    int r = world_apply(&w, plan, NULL, &state, &record, &err);
    bool fired = script.fired > 0;
    ferry_fault_install(NULL);
    if (fired) {
        counts->runs++;
        if (r < 0) {
            assert_true(r == -FERRY_EREFUSED || r == -FERRY_EDRIFT || r == -FERRY_EIO);
            nothing_happened(&w, e);
            counts->refused++;
        } else {
            check_record(&w, state, e, record, counts);
            if (state == FERRY_TXN_STUCK)
                recover_stuck(&w, e, counts);
        }
        counts->calls += watch_calls();
    } else {
        assert_int_equal(r, 0);
        assert_int_equal(state, FERRY_TXN_COMMITTED);
    }
    assert_int_equal(watch_two_sites(), 0);
    if (e->lab)
        as_before(&w, plan, e);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
    return fired;
}

static struct expected expect(const struct move *move)
{
    struct world w;
    struct ferry_err err = {0};
    struct expected e;
    enum ferry_txn_state state = FERRY_TXN_READY;
    world_init(&w, move->topology, move->drivers);
    struct ferry_plan *plan = world_plan(&w, move->subnet, move->site);
    e.pre = world_snapshot(&w);
    e.lab = strcmp(move->drivers, "lab") ? NULL : world_lab_state(&w);
    watch_start(w.topology);
    w.config.find = watch_find;
    int r = world_apply(&w, plan, NULL, &state, NULL, &err);
    if (r)
        fail_msg("without a fault: %d %s", r, err.text);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    assert_int_equal(watch_two_sites(), 0);
    e.post = world_snapshot(&w);
    assert_string_not_equal(e.pre, e.post);
    if (e.lab)
        as_before(&w, plan, &e);
    ferry_plan_free(plan);
    world_clear(&w);
    return e;
}

static void matrix(const struct move *move, enum ferry_fault_kind kind, bool stays)
{
    struct expected e = expect(move);
    struct counts c = {0};
    struct world w;
    world_init(&w, move->topology, move->drivers);
    size_t n_routers = w.topology->n_routers;
    for (size_t r = 0; r < n_routers; r++)
        for (uint64_t n = 1;; n += world_step()) {
            struct ferry_fault_rule rule = {
                .kind = kind, .router = w.topology->routers[r].name, .nth = n, .from_then_on = stays};
            if (!run_one(move, &e, rule, &c))
                break;
            assert_true(n < 1000);
        }
    world_clear(&w);
    free(e.pre);
    free(e.post);
    free(e.lab);
    assert_true(c.runs > 10 / world_step());
    printf(
        "%-14s %-12s %-6s runs %3u: refused %3u, committed %3u, undone %3u, stuck %3u (attached nowhere %u; "
        "recovered: pre %u, post %u), %lu driver calls watched\n",
        move->topology, ferry_fault_kind_name(kind), stays ? "stays" : "once", c.runs, c.refused, c.committed,
        c.undone, c.stuck, c.nowhere, c.recovered_pre, c.recovered_post, c.calls);
}

#define MATRIX(name, kind)                                                                                   \
    static void name##_once(void **unused)                                                                   \
    {                                                                                                        \
        (void)unused;                                                                                        \
        matrix(&chosen, kind, false);                                                                        \
    }                                                                                                        \
    static void name##_stays(void **unused)                                                                  \
    {                                                                                                        \
        (void)unused;                                                                                        \
        matrix(&chosen, kind, true);                                                                         \
    }
MATRIX(an_error, FERRY_FAULT_ERROR)
MATRIX(a_lost_connection, FERRY_FAULT_DISCONNECT)
MATRIX(silence, FERRY_FAULT_HANG)
MATRIX(a_lost_reply, FERRY_FAULT_LOST_REPLY)
MATRIX(a_false_reply, FERRY_FAULT_NOT_APPLIED)
MATRIX(half_a_batch, FERRY_FAULT_PARTIAL)

int main(int argc, char **argv)
{
    if (argc > 3)
        chosen = (struct move){argv[1], argv[2], argv[3], argc > 4 ? argv[4] : "sim"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_once),          cmocka_unit_test(an_error_stays),
        cmocka_unit_test(a_lost_connection_once), cmocka_unit_test(a_lost_connection_stays),
        cmocka_unit_test(silence_once),           cmocka_unit_test(silence_stays),
        cmocka_unit_test(a_lost_reply_once),      cmocka_unit_test(a_lost_reply_stays),
        cmocka_unit_test(a_false_reply_once),     cmocka_unit_test(a_false_reply_stays),
        cmocka_unit_test(half_a_batch_once),      cmocka_unit_test(half_a_batch_stays),
    };
    bool lab = !strcmp(chosen.drivers, "lab");
    if (lab && !world_lab_up(chosen.topology)) {
        printf("SKIPPED: the lab cannot be built\n");
        return 77;
    }
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    if (lab)
        world_lab_down(chosen.topology);
    return r;
}
