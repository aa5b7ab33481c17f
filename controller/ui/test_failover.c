/* `ferry test-failover`: a copy of a subnet at its recovery site, in a network that nothing else meets, while
 * the subnet itself serves; and its end.
 *
 *  1. It is applied with a window, and what undoes it is left on the routers before it begins: it ends without anybody.
 *  2. Production is read before and after; where it differs the test is undone at once.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/test_failover.h"

#include "base/mem.h"
#include "watch/documents.h"
#include <string.h>

enum { KEY_MOVE = 0xa000, KEY_FOR, KEY_CLEANUP, KEY_RESULT, KEY_NOTE };

#define LEAST_S   5     /* as of apply --confirm-within */
#define DEFAULT_S 7200u /* two hours: long enough to look, too short to be forgotten over night */

struct test_options {
    struct ui *ui;
    struct ui_run_options run;
    char **moves;
    size_t n_moves;
    unsigned seconds;
    bool cleanup, said, failed;
    const char *note;
};

static const struct argp_option argp_options[] = {
    {"move", KEY_MOVE, "SUBNET=SITE", 0, "Which subnet is tried out, and where; several times", 1},
    {"for", KEY_FOR, "DURATION", 0, "When the routers clean it up by themselves: 5s to 24h (default 2h)", 1},
    {"cleanup", KEY_CLEANUP, NULL, 0, "End the test that runs, now", 2},
    {"result", KEY_RESULT, "RESULT", 0, "With --cleanup, or after the end: passed (default) or failed", 2},
    {"note", KEY_NOTE, "TEXT", 0, "Likewise: what is to be remembered of it", 2},
    {0},
};

static int end_of_line(struct test_options *o)
{
    bool about_the_end = o->cleanup || o->said || o->note;
    if (about_the_end && (o->n_moves || o->seconds))
        return ui_usage(o->ui, "--cleanup, --result and --note end a test; --move and --for begin one");
    if (!o->n_moves && o->seconds)
        return ui_usage(o->ui, "--for: of what? --move SUBNET=SITE");
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct test_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->run.ui = o->ui;
        state->child_inputs[0] = &o->run;
        return 0;
    case KEY_MOVE:
        FERRY_GROW(o->moves, o->n_moves);
        o->moves[o->n_moves++] = arg;
        return 0;
    case KEY_FOR:
        return ui_seconds_parse(o->ui, "--for", arg, LEAST_S, FERRY_CONFIRM_MOST_S, &o->seconds);
    case KEY_CLEANUP:
        o->cleanup = true;
        return 0;
    case KEY_RESULT:
        o->said = true;
        o->failed = strcmp(arg, "failed") == 0;
        return o->failed || strcmp(arg, "passed") == 0
                   ? 0
                   : ui_usage(o->ui, "--result: '%s' is neither passed nor failed", arg);
    case KEY_NOTE:
        o->note = arg;
        return ui_text_check(o->ui, "--note", arg);
    case ARGP_KEY_END:
        return o->ui->help || o->ui->version ? 0 : end_of_line(o);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{.argp = &ui_consent_argp}, {0}};
static const struct argp argp = {.options = argp_options, .parser = parse, .children = children};

/* ---- The journal. ---- */

/* The test that runs, or else the newest one; NULL: none. */
static const struct ferry_txn_record *find(const struct ferry_records *list)
{
    const struct ferry_txn_record *newest = NULL;
    for (size_t i = list->n; i-- > 0;) /* newest first */
        if (ferry_test_is(list->v[i]))
            newest = list->v[i];
    for (size_t i = 0; i < list->n; i++)
        if (ferry_test_is(list->v[i]) && list->v[i]->state == FERRY_TXN_AWAITING_CONFIRM)
            return list->v[i];
    return newest;
}

static const struct ferry_test_result *result_of(const struct ferry_test_result *all, size_t n,
                                                 const char *tx)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(all[i].tx, tx))
            return &all[i];
    return NULL;
}

/* What the options say, beside what was said before: of two people the one tells the result, the other the reason. */
static int note_beside(struct ui *ui, const struct test_options *o, struct ferry_journal *journal,
                       const struct ferry_txn_record *test, const struct ferry_test_result *earlier)
{
    struct ferry_test_result result = {.user = (char *)ui_user_name()};
    bool whole = o->cleanup || ferry_test_ended_well(test);
    if (!o->said && !o->cleanup && !earlier)
        return ferry_error(&ui->err, FERRY_EUSAGE, "--note: nobody has said yet how %s went: --result",
                           test->id);
    if (o->said && !o->failed && !whole)
        return ferry_refuse(&ui->err, "test-broken", "%s was never whole: it cannot have passed", test->id);
    result.passed = o->said || !earlier ? !o->failed : earlier->passed;
    result.note = o->note ? (char *)o->note : earlier ? earlier->note : NULL;
    snprintf(result.tx, sizeof result.tx, "%s", test->id);
    return ferry_journal_test_note(journal, &result, &ui->err);
}

static int note(struct ui *ui, const struct test_options *o, struct ferry_journal *journal,
                const struct ferry_txn_record *test)
{
    struct ferry_test_result *results = NULL;
    size_t n = 0;
    int r = ferry_journal_test_results(journal, &results, &n, &ui->err);
    if (r == 0)
        r = note_beside(ui, o, journal, test, result_of(results, n, test->id));
    ferry_test_results_free(results, n);
    return r;
}

/* ---- The beginning. ---- */

static void production_json(struct json_object *doc, const struct ui_production *p, const char *difference)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "compared", json_object_new_int64((int64_t)ui_production_cells(p)));
    json_object_object_add(o, "unchanged", json_object_new_boolean(!difference));
    json_object_object_add(o, "difference", difference ? json_object_new_string(difference) : NULL);
    json_object_object_add(doc, "production", o);
}

/* 2 */
static int take_back(struct ui *ui, const char *difference)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, NULL);
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_txn_options options = ui_txn_options(ui, "rollback", NULL, progress);
    ui_warn(ui, "production is not as it was before the test, which ends now: %s", difference);
    int r = ui_journal_open(ui, &journal);
    if (r == 0)
        r = ferry_txn_revert(journal, &config, &options, NULL, &record, &ui->err);
    ui_progress_flush(progress);
    return r < 0 ? ferry_error_prefix(&ui->err, -FERRY_EUNKNOWN, "the test runs still")
                 : ui_record_exit(record);
}

/* NULL: production is as it was. */
static char *difference_now(struct ui *ui, struct ui_production *p, struct ferry_fleet *fleet)
{
    return ui_production_read(ui, p, fleet, &p->after) < 0
               ? ferry_asprintf("it cannot be read any more: %s", ui->err.text)
               : ui_production_difference(p);
}

/* What came of it: the document of the transaction, where there is one. */
static int report(struct ui *ui, struct ui_production *p, struct ferry_fleet *fleet, int status,
                  struct json_object *doc)
{
    FERRY_AUTOFREE char *difference = status == UI_AWAITING ? difference_now(ui, p, fleet) : NULL;
    bool compared = status == UI_AWAITING;
    if (difference)
        status = take_back(ui, difference);
    if (ui->json && compared)
        production_json(doc, p, difference);
    else if (compared && !difference)
        printf("Production is untouched: what %zu routers hold for %zu subnets was read before and after.\n",
               p->t->n_routers, p->t->n_subnets);
    return status;
}

static int begin(struct ui *ui, const struct test_options *o)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    FERRY_CLEANUP(ui_production_clear) struct ui_production p = {0};
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *doc = NULL;
    struct ferry_fleet_config config = ui_fleet_config(ui);
    int r = ui_run_may(ui, &o->run);
    if (r == 0)
        r = ui_topology_load(ui, &t);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    p.t = t;
    if (r == 0)
        r = ui_production_read(ui, &p, fleet, &p.before);
    if (r == 0)
        r = ui_test_plan(ui, &p, o->moves, o->n_moves, fleet, &plan);
    if (r < 0)
        return r;
    struct ui_run how = {.kind = FERRY_TEST_KIND,
                         .yes = o->run.yes,
                         .dry_run = o->run.dry_run,
                         .confirm_within_s = o->seconds ? o->seconds : DEFAULT_S, /* 1 */
                         .document = &doc};
    int status = ui_run_plan(ui, fleet, plan, &how);
    if (status >= 0)
        status = report(ui, &p, fleet, status, doc);
    if (ui->json && doc && status >= 0)
        ui_print_json(json_object_get(doc));
    return status;
}

/* ---- The end. ---- */

static int nothing(const struct ui *ui)
{
    if (!ui->json)
        return printf("Nothing to clean up: no test failover runs.\n"), UI_OK;
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "nothing_to_do", json_object_new_boolean(true));
    ui_print_json(doc);
    return UI_OK;
}

static int no_test(struct ui *ui)
{
    return ferry_error(&ui->err, FERRY_EUSAGE,
                       "--result and --note: of what? there was no test failover yet");
}

static int clean_up(struct ui *ui, const struct test_options *o, struct ferry_journal *journal,
                    const struct ferry_txn_record *test)
{
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, NULL);
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_txn_options how = ui_txn_options(ui, "rollback", NULL, progress);
    if (o->run.dry_run)
        return ferry_refuse(&ui->err, "dry-run", "%s is only ended: there is nothing to look at first",
                            test->id);
    int r = ui_run_may(ui, &o->run);
    if (r == 0 && !o->run.yes && !ui_ask(ui, "End the test, and clean up?"))
        r = ferry_error(&ui->err, FERRY_EIO, "not confirmed; nothing was written");
    if (r == 0)
        r = ferry_txn_revert(journal, &config, &how, test->id, &record, &ui->err);
    ui_progress_flush(progress);
    if (r == 0 && record->state == FERRY_TXN_UNDONE)
        r = note(ui, o, journal, test);
    if (r < 0)
        return r;
    int status = ui_outcome(ui, record, "cleanup");
    return status == UI_UNDONE ? UI_OK : status; /* it was asked for */
}

static int end(struct ui *ui, const struct test_options *o)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *look = NULL, *journal = NULL;
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records list = {0};
    int r = ui_journal_look(ui, &look); /* none is made for a look */
    if (r < 0 || !look)
        return r < 0 ? r : o->cleanup ? nothing(ui) : no_test(ui);
    r = ui_journal_open(ui, &journal); /* what is written is this process's and this verb's deed */
    if (r == 0)
        r = ferry_journal_list(journal, 0, &list.v, &list.n, &ui->err);
    if (r < 0)
        return r;
    const struct ferry_txn_record *test = find(&list);
    if (!test && !o->cleanup)
        return no_test(ui);
    if (test && test->state == FERRY_TXN_AWAITING_CONFIRM && !o->cleanup)
        return ferry_refuse(&ui->err, "test-running",
                            "the test failover %s runs: --cleanup ends it, with --result and --note",
                            test->id);
    if (test && test->state == FERRY_TXN_AWAITING_CONFIRM)
        return clean_up(ui, o, journal, test);
    if (test && !ferry_txn_state_ended(test->state))
        return ferry_refuse(&ui->err, "unfinished", "the test failover %s is %s: run `ferry recover`",
                            test->id, ferry_txn_state_name(test->state));
    if (test && (o->said || o->note) && (r = note(ui, o, journal, test)) < 0)
        return r;
    if (test && (o->said || o->note) && !ui->json)
        printf("noted: transaction %s\n", test->id);
    return o->cleanup || !test ? nothing(ui) : UI_OK;
}

/* ---- What there was. ---- */

/* "running", "passed", "failed", "over": nobody has said which; "broken": it was never whole. */
static const char *word(const struct ferry_txn_record *r, const struct ferry_test_result *result)
{
    if (!ferry_txn_state_ended(r->state))
        return r->state == FERRY_TXN_AWAITING_CONFIRM ? "running" : ferry_txn_state_name(r->state);
    if (result)
        return result->passed ? "passed" : "failed";
    return ferry_test_ended_well(r) ? "over" : "broken";
}

static struct json_object *row_json(const struct ferry_txn_record *r, const struct ferry_test_result *result)
{
    struct json_object *o = ferry_record_brief_json(r);
    json_object_object_add(o, "result", json_object_new_string(word(r, result)));
    json_object_object_add(o, "note", result && result->note ? json_object_new_string(result->note) : NULL);
    return o;
}

static void show(const struct ui *ui, const struct ferry_records *list,
                 const struct ferry_test_result *results, size_t n_results)
{
    static const char *const columns[] = {"ID",   "STARTED", "UNTIL", "RESULT",
                                          "USER", "SUMMARY", "NOTE",  NULL};
    struct json_object *doc = json_object_new_object(), *tests = json_object_new_array();
    struct libscols_table *table = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct ferry_txn_record *r = list->v[i];
        const struct ferry_test_result *result = result_of(results, n_results, r->id);
        char started[32], until[32];
        if (!ferry_test_is(r))
            continue;
        json_object_array_add(tests, row_json(r, result));
        if (ui->json)
            continue;
        if (!table)
            table = ui_table_new(ui, stdout, columns);
        uint64_t until_us = r->ended_us ? r->ended_us : r->deadline_us;
        ui_table_row(table,
                     (const char *[]){r->id, ferry_time_text(r->started_us, started),
                                      until_us ? ferry_time_text(until_us, until) : NULL, word(r, result),
                                      r->user, r->summary, result ? result->note : NULL},
                     r->state == FERRY_TXN_AWAITING_CONFIRM ? UI_YELLOW : UI_PLAIN);
    }
    json_object_object_add(doc, "tests", tests);
    if (ui->json) {
        ui_print_json(doc);
        return;
    }
    json_object_put(doc);
    if (table)
        ui_table_print(table);
    else
        printf("No test failovers yet: ferry test-failover --move SUBNET=SITE begins one.\n");
}

static int list(struct ui *ui)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records records = {0};
    struct ferry_test_result *results = NULL;
    size_t n = 0;
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_journal_list(journal, 0, &records.v, &records.n, &ui->err);
    if (r == 0 && journal)
        r = ferry_journal_test_results(journal, &results, &n, &ui->err);
    if (r == 0)
        show(ui, &records, results, n);
    ferry_test_results_free(results, n);
    return r < 0 ? r : UI_OK;
}

static int run(struct ui *ui, void *opaque)
{
    const struct test_options *o = opaque;
    if (o->n_moves)
        return begin(ui, o);
    return o->cleanup || o->said || o->note ? end(ui, o) : list(ui);
}

static void clear(void *opaque)
{
    free(((struct test_options *)opaque)->moves);
}

const struct ui_verb ui_verb_test_failover = {
    .name = "test-failover",
    .args = "",
    .purpose = "Tries a subnet out at its recovery site, isolated, while it serves where it is.",
    .examples = "The copy is attached where \"test\" of the subnet in the topology says: in a routing table "
                "of its own, "
                "on an interface of its own, which nothing else reaches and which reaches nothing else.  The "
                "routers clean "
                "up by themselves when its time is over, also without this program.  No move begins "
                "meanwhile.  Without "
                "options: the tests that were, and the one that runs.\n\n"
                "Examples:\n"
                "  ferry -t site.json test-failover --move app=recovery --for 4h\n"
                "  ferry extend TX 1h\n"
                "  ferry test-failover --cleanup --result failed --note 'the database did not start'\n"
                "  ferry test-failover\n\n"
                "Exit status: 7 it runs, verified, and production is untouched; 0 cleaned up and verified, "
                "or nothing to "
                "do; 4 refused; 5 it failed and was rolled back; 6 a person is needed.\n",
    .argp = &argp,
    .options_size = sizeof(struct test_options),
    .run = run,
    .clear = clear,
};
