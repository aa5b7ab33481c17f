/* `ferry reconcile`: brings routers that were lost back in line, as transactions of kind "reconcile".
 * SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"

#include <ferry/debt.h>
#include <string.h>

struct reconcile_options {
    struct ui *ui;
    struct ui_run_options run;
    struct ui_overrides overrides;
    char **routers;
    size_t n_routers;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reconcile_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->run.ui = o->ui;
        state->child_inputs[0] = &o->run;
        state->child_inputs[1] = &o->overrides;
        return 0;
    case ARGP_KEY_ARG:
        FERRY_GROW(o->routers, o->n_routers);
        o->routers[o->n_routers++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{.argp = &ui_consent_argp}, {.argp = &ui_override_argp}, {0}};
static const struct argp argp = {.parser = parse, .children = children};

/* What has been done, for the report. */
struct done {
    struct ferry_records records;
    struct ferry_debts debts; /* that are left */
};

static void done_clear(struct done *d)
{
    ferry_records_clear(&d->records);
    ferry_debts_clear(&d->debts);
}

static void txn_cleanup(struct ferry_txn **txn)
{
    ferry_txn_free(*txn);
}

static int run_one(struct ui *ui, struct reconcile_options *o, struct ferry_journal *journal,
                   struct ferry_fleet *fleet, struct ferry_plan *plan, struct done *done)
{
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, plan);
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = NULL;
    struct ferry_txn_options how = ui_txn_options(ui, "reconcile", NULL, progress);
    struct ferry_txn_record *record = NULL;
    bool aborted = false;
    how.overrides = &o->overrides.set;
    int r = ui_run_begin(ui, journal, fleet, plan, &how, &txn);
    if (r == 0)
        r = ui_run_steps(ui, txn, &aborted);
    ui_progress_flush(progress);
    if (r == 0)
        r = ferry_journal_get(journal, ferry_txn_record(txn)->id, &record, &ui->err);
    if (r < 0)
        return r;
    FERRY_GROW(done->records.v, done->records.n);
    done->records.v[done->records.n++] = record;
    return ui_record_exit(record);
}

/* Shows the step, and asks.  1: it was a dry run. */
static int may_run(struct ui *ui, const struct reconcile_options *o, struct ferry_fleet *fleet,
                   struct ferry_plan *plan)
{
    if (!ui->json)
        ui_plan_text(ui, plan, o->run.dry_run ? stdout : stderr);
    if (o->run.dry_run) {
        int r = ferry_txn_precheck(fleet, plan, NULL, NULL, &ui->err);
        return r < 0 ? r : 1;
    }
    if (!o->run.yes && !ui_ask(ui, "Do it?"))
        return ferry_error(&ui->err, FERRY_EIO, "not confirmed; nothing more was written");
    return 0;
}

static int work(struct ui *ui, struct reconcile_options *o, struct ferry_journal *journal,
                const struct ferry_topology *t, struct ferry_fleet *fleet, struct done *done)
{
    const struct ferry_reconcile_terms terms = {.routers = (const char *const *)o->routers,
                                                .n_routers = o->n_routers,
                                                .overrides = &o->overrides.set,
                                                .dry = o->run.dry_run};
    int r = UI_OK;
    for (size_t round = 0; r == UI_OK; round++) {
        FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
        if (round >= FERRY_RECONCILE_STEPS(t))
            return ferry_error(&ui->err, FERRY_EIO,
                               "the routers change faster than they can be brought in line");
        r = ferry_reconcile_next(journal, fleet, t, &terms, &plan, &ui->err);
        if (r)
            return r == 1 ? UI_OK : r;
        r = may_run(ui, o, fleet, plan);
        if (r)
            return r == 1 ? UI_OK : r;
        r = run_one(ui, o, journal, fleet, plan, done);
    }
    return r;
}

static void describe(struct json_object *doc, const struct reconcile_options *o, const struct done *done)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < done->records.n; i++)
        json_object_array_add(list, ferry_record_json(done->records.v[i]));
    json_object_object_add(doc, "nothing_to_do",
                           json_object_new_boolean(!done->records.n && !o->run.dry_run));
    json_object_object_add(doc, "transactions", list);
    json_object_object_add(doc, "debts", ferry_debts_json(&done->debts));
}

static void records_text(struct ui *ui, const struct done *done)
{
    for (size_t i = 0; i < done->records.n; i++) {
        const struct ferry_txn_record *r = done->records.v[i];
        printf("%s: transaction %s%s%s\n", ferry_txn_state_name(r->state), r->id, r->reason ? ": " : "",
               r->reason ? r->reason : "");
        if (r->n_hands)
            ui_hands_text(ui, r->hands, r->n_hands, stdout);
    }
}

static int report(struct ui *ui, const struct reconcile_options *o, const struct done *done, int status)
{
    if (ui->json) {
        struct json_object *doc = json_object_new_object();
        describe(doc, o, done);
        ui_print_json(doc);
        return status;
    }
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *debts = ferry_debts_json(&done->debts);
    records_text(ui, done);
    if (o->run.dry_run)
        printf("Dry run: nothing was written.\n");
    else if (!done->records.n)
        printf("Nothing to do: every router that answers is in line.\n");
    ui_debts_text(ui, debts);
    return status;
}

/* A step could not be done after others were: no error that has written nothing. */
static int report_part(struct ui *ui, const struct reconcile_options *o, const struct done *done, int r)
{
    if (!done->records.n)
        return r;
    if (!ui->details)
        ui->details = json_object_new_object();
    if (ui->json)
        describe(ui->details, o, done);
    else
        records_text(ui, done);
    return ferry_error_prefix(&ui->err, -FERRY_EUNKNOWN, "%zu transaction%s done, then: %s%s",
                              done->records.n, done->records.n == 1 ? " was" : "s were",
                              r == -FERRY_EREFUSED ? "refused, rule " : "",
                              r == -FERRY_EREFUSED ? ui->err.rule : "");
}

/* A router that was asked for by name, and still owes. */
static int named_left(struct ui *ui, const struct reconcile_options *o, const struct done *done)
{
    for (size_t i = 0; i < done->debts.n && !o->run.dry_run; i++)
        for (size_t k = 0; k < o->n_routers; k++)
            if (strcmp(o->routers[k], done->debts.v[i].router) == 0)
                return ferry_error(&ui->err, FERRY_EIO,
                                   "%s still owes: %s (does it answer? see `ferry status`)", o->routers[k],
                                   done->debts.v[i].owes);
    return 0;
}

static int run(struct ui *ui, void *opaque)
{
    struct reconcile_options *o = opaque;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(done_clear) struct done done = {0};
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_err ignored;
    uint32_t router;
    int r = ui_overrides_check(ui, &o->overrides);
    if (r == 0)
        r = ui_run_may(ui, &o->run);
    if (r == 0)
        r = ui_topology_load(ui, &t);
    for (size_t i = 0; r == 0 && i < o->n_routers; i++)
        r = ui_find_router(ui, t, o->routers[i], &router);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r == 0)
        r = ui_journal_look(ui, &journal);
    if (r < 0)
        return r;
    ui_signals_catch();
    int status = work(ui, o, journal, t, fleet, &done);
    r = journal ? ferry_journal_debts(journal, NULL, &done.debts, status < 0 ? &ignored : &ui->err) : 0;
    if (r == 0 && status == UI_OK)
        r = named_left(ui, o, &done);
    r = status < 0 ? status : r;
    return r < 0 ? report_part(ui, o, &done, r) : report(ui, o, &done, status);
}

static void clear(void *opaque)
{
    struct reconcile_options *o = opaque;
    free(o->routers);
    ui_overrides_clear(&o->overrides);
}

const struct ui_verb ui_verb_reconcile = {
    .name = "reconcile",
    .args = "[ROUTER...]",
    .purpose = "Delivers what lost routers still owe, and detaches what came back where it does not belong.",
    .examples =
        "Reads the routers and compares them with what the newest committed transaction of each subnet says. "
        " "
        "First a returned router lets go, then come the routes; each step is planned, proven and journalled. "
        " Routers that "
        "still do not answer are done without, and keep their debts.  With ROUTERs: other returned ones are "
        "left alone.\n\n"
        "Examples:\n  ferry -t site.json reconcile\n  ferry -t site.json reconcile edge-primary --yes\n"
        "  ferry -t site.json reconcile --dry-run\n\n"
        "Exit status: 0 in line, or nothing to do; 1 a named router still owes; 4 refused, with the rule; 5 "
        "rolled back; "
        "6 a person is needed, also where some steps were done and the next one could not be.\n",
    .argp = &argp,
    .options_size = sizeof(struct reconcile_options),
    .run = run,
    .clear = clear,
};
