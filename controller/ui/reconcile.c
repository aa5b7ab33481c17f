/* `ferry reconcile`: brings routers that were lost back in line, as transactions of kind "reconcile".
 * SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"

#include <ferry/debt.h>
#include <string.h>

enum { KEY_YES = 0x9000, KEY_DRY_RUN };

struct reconcile_options {
    struct ui *ui;
    bool yes, dry_run;
    char **routers;
    size_t n_routers;
};

static const struct argp_option options[] = {
    {"yes", KEY_YES, NULL, 0, "Do not ask", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Show the next step and run its prechecks; write nothing", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reconcile_options *o = state->input;
    switch (key) {
    case KEY_YES:
        o->yes = true;
        return 0;
    case KEY_DRY_RUN:
        o->dry_run = true;
        return 0;
    case ARGP_KEY_ARG:
        FERRY_GROW(o->routers, o->n_routers);
        o->routers[o->n_routers++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = options, .parser = parse};

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

static int steps(struct ui *ui, struct ferry_txn *txn)
{
    int r;
    do {
        const char *name = ui_signals_caught();
        if (name && (r = ferry_txn_abort(txn, name, &ui->err)) < 0)
            return r;
        r = ferry_txn_step(txn, &ui->err);
    } while (r > 0);
    return r;
}

static int run_one(struct ui *ui, struct ferry_journal *journal, struct ferry_fleet *fleet,
                   struct ferry_plan *plan, struct done *done)
{
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, plan);
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = NULL;
    struct ferry_txn_options o = ui_txn_options(ui, "reconcile", NULL, progress);
    struct ferry_txn_record *record = NULL;
    int r = ferry_txn_begin(journal, fleet, plan, &o, &txn, NULL, NULL, &ui->err);
    if (r == 0)
        r = steps(ui, txn);
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
        ui_plan_text(ui, plan, o->dry_run ? stdout : stderr);
    if (o->dry_run) {
        int r = ferry_txn_precheck(fleet, plan, NULL, NULL, &ui->err);
        return r < 0 ? r : 1;
    }
    if (!o->yes && !ui_ask(ui, "Do it?"))
        return ferry_error(&ui->err, FERRY_EIO, "not confirmed; nothing more was written");
    return 0;
}

static int work(struct ui *ui, const struct reconcile_options *o, struct ferry_journal *journal,
                const struct ferry_topology *t, struct ferry_fleet *fleet, struct done *done)
{
    int r = UI_OK;
    for (size_t round = 0; r == UI_OK; round++) {
        FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
        if (round >= FERRY_RECONCILE_STEPS(t))
            return ferry_error(&ui->err, FERRY_EIO,
                               "the routers change faster than they can be brought in line");
        r = ferry_reconcile_next(journal, fleet, t, (const char *const *)o->routers, o->n_routers, &plan,
                                 &ui->err);
        if (r)
            return r == 1 ? UI_OK : r;
        r = may_run(ui, o, fleet, plan);
        if (r)
            return r == 1 ? UI_OK : r;
        r = run_one(ui, journal, fleet, plan, done);
    }
    return r;
}

static int report(struct ui *ui, const struct reconcile_options *o, const struct done *done, int status)
{
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *debts = ferry_debts_json(&done->debts);
    if (ui->json) {
        struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
        for (size_t i = 0; i < done->records.n; i++)
            json_object_array_add(list, ferry_record_json(done->records.v[i]));
        json_object_object_add(doc, "nothing_to_do",
                               json_object_new_boolean(!done->records.n && !o->dry_run));
        json_object_object_add(doc, "transactions", list);
        json_object_object_add(doc, "debts", json_object_get(debts));
        ui_print_json(doc);
        return status;
    }
    for (size_t i = 0; i < done->records.n; i++) {
        const struct ferry_txn_record *r = done->records.v[i];
        printf("%s: transaction %s%s%s\n", ferry_txn_state_name(r->state), r->id, r->reason ? ": " : "",
               r->reason ? r->reason : "");
        if (r->n_hands)
            ui_hands_text(ui, r->hands, r->n_hands, stdout);
    }
    if (o->dry_run)
        printf("Dry run: nothing was written.\n");
    else if (!done->records.n)
        printf("Nothing to do: every router that answers is in line.\n");
    ui_debts_text(ui, debts);
    return status;
}

/* A router that was asked for by name, and still owes. */
static int named_left(struct ui *ui, const struct reconcile_options *o, const struct done *done)
{
    for (size_t i = 0; i < done->debts.n && !o->dry_run; i++)
        for (size_t k = 0; k < o->n_routers; k++)
            if (strcmp(o->routers[k], done->debts.v[i].router) == 0)
                return ferry_error(&ui->err, FERRY_EIO,
                                   "%s still owes: %s (does it answer? see `ferry status`)", o->routers[k],
                                   done->debts.v[i].owes);
    return 0;
}

static int run(struct ui *ui, void *opaque)
{
    const struct reconcile_options *o = opaque;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(done_clear) struct done done = {0};
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ui_run_options may = {.ui = ui, .yes = o->yes, .dry_run = o->dry_run};
    uint32_t ignored;
    int status = UI_OK, r = ui_run_may(ui, &may);
    if (r == 0)
        r = ui_topology_load(ui, &t);
    for (size_t i = 0; r == 0 && i < o->n_routers; i++)
        r = ui_find_router(ui, t, o->routers[i], &ignored);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r == 0)
        r = ui_journal_open(ui, &journal);
    if (r < 0)
        return r;
    ui_signals_catch();
    status = work(ui, o, journal, t, fleet, &done);
    if (status < 0)
        return status;
    r = ferry_journal_debts(journal, NULL, &done.debts, &ui->err);
    if (r == 0 && status == UI_OK)
        r = named_left(ui, o, &done);
    return r < 0 ? r : report(ui, o, &done, status);
}

static void clear(void *opaque)
{
    free(((struct reconcile_options *)opaque)->routers);
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
        "6 a person is needed.\n",
    .argp = &argp,
    .options_size = sizeof(struct reconcile_options),
    .run = run,
    .clear = clear,
};
