/* `ferry history` and `ferry show`: what was done.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <errno.h>
#include <string.h>

enum { KEY_LIMIT = 0x4000 };

/* ---- history ---- */

struct history_options {
    struct ui *ui;
    size_t limit;
};

static const struct argp_option history_argp_options[] = {
    {"limit", KEY_LIMIT, "N", 0, "At most the N newest; 0 for all (default)", 0},
    {0},
};

static error_t history_parse(int key, char *arg, struct argp_state *state)
{
    struct history_options *o = state->input;
    char *end;
    if (key != KEY_LIMIT)
        return ARGP_ERR_UNKNOWN;
    errno = 0;
    unsigned long n = strtoul(arg, &end, 10);
    if (errno || *end || arg[0] < '0' || arg[0] > '9')
        return ui_usage(o->ui, "--limit: '%s' is no number", arg);
    o->limit = n;
    return 0;
}

static const struct argp history_argp = {.options = history_argp_options, .parser = history_parse};

static void history_row(struct libscols_table *table, const struct ferry_txn_record *r)
{
    char started[32];
    double worst = 0;
    bool lasts = false;
    for (size_t i = 0; i < r->n_outages; i++) {
        worst = r->outages[i].ms > worst ? r->outages[i].ms : worst;
        lasts = lasts || r->outages[i].lasts;
    }
    FERRY_AUTOFREE char *took = ui_took_text(r);
    FERRY_AUTOFREE char *outage = r->n_outages ? ferry_asprintf("%s%.1f ms", lasts ? "> " : "", worst) : NULL;
    enum ui_style style = r->state == FERRY_TXN_COMMITTED ? UI_PLAIN
                          : r->state == FERRY_TXN_UNDONE  ? UI_DIM
                                                          : UI_RED;
    ui_table_row(table,
                 (const char *[]){r->id, ferry_txn_state_name(r->state), r->kind,
                                  ferry_time_text(r->started_us, started), took, outage, r->user, r->summary},
                 style);
}

static int history_run(struct ui *ui, void *options)
{
    static const char *const columns[] = {"ID",     "STATE", "KIND",    "STARTED", "TOOK",
                                          "OUTAGE", "USER",  "SUMMARY", NULL};
    const struct history_options *o = options;
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records records = {0};
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_journal_list(journal, o->limit, &records.v, &records.n, &ui->err);
    if (r < 0)
        return r;
    if (ui->json) {
        struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
        for (size_t i = 0; i < records.n; i++)
            json_object_array_add(list, ferry_record_brief_json(records.v[i]));
        json_object_object_add(doc, "transactions", list);
        ui_print_json(doc);
        return UI_OK;
    }
    if (!records.n)
        return printf("No transactions yet.\n"), UI_OK;
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < records.n; i++)
        history_row(table, records.v[i]);
    ui_table_print(table);
    return UI_OK;
}

const struct ui_verb ui_verb_history = {
    .name = "history",
    .args = "",
    .purpose = "Lists the transactions: when, who, what, how it ended, the outage measured.",
    .examples = "Examples:\n  ferry history\n  ferry history --limit 10 --json\n",
    .argp = &history_argp,
    .options_size = sizeof(struct history_options),
    .run = history_run,
};

/* ---- show ---- */

struct show_options {
    struct ui *ui;
    const char *id;
};

static error_t show_parse(int key, char *arg, struct argp_state *state)
{
    struct show_options *o = state->input;
    if (key != ARGP_KEY_ARG || o->id)
        return ARGP_ERR_UNKNOWN;
    o->id = arg;
    return 0;
}

static const struct argp show_argp = {.parser = show_parse};

static int show_run(struct ui *ui, void *options)
{
    const struct show_options *o = options;
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && !journal)
        r = ferry_error(&ui->err, FERRY_EUSAGE, "there are no transactions: no journal in %s", ui->state_dir);
    if (r == 0)
        r = ferry_journal_get(journal, o->id, &record, &ui->err);
    if (r < 0)
        return r;
    if (ui->json)
        ui_print_json(ferry_record_json(record));
    else
        ui_record_text(ui, record, stdout);
    return UI_OK;
}

const struct ui_verb ui_verb_show = {
    .name = "show",
    .args = "[TX]",
    .purpose = "Shows a transaction: every change with before, after and outcome.",
    .examples =
        "TX is an id, the beginning of one, or `last` (default).  An outcome is done, refused, stale (the "
        "router held something else) or unknown; changes of stages that were never begun have none.\n\n"
        "Examples:\n  ferry show\n  ferry show 20261120-101502 --json\n",
    .argp = &show_argp,
    .options_size = sizeof(struct show_options),
    .run = show_run,
};
