/* `ferry rollback` and `ferry recover`: from the journal and the routers alone; no topology is needed.
 * SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"
#include <ferry/debt.h>
#include <string.h>

enum { KEY_ATTEST = 0x9100 };

struct rollback_options {
    struct ui *ui;
    struct ui_run_options run;
    struct ui_overrides overrides;
    const char *id, *attest;
};

static const struct argp_option rollback_argp_options[] = {
    {"attest", KEY_ATTEST, "TEXT", 0,
     "Of a disaster move: you vouch that the lost site serves, so that it may be led to again; journalled",
     0},
    {0},
};

static error_t rollback_parse(int key, char *arg, struct argp_state *state)
{
    struct rollback_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->run.ui = o->ui;
        state->child_inputs[0] = &o->run;
        state->child_inputs[1] = &o->overrides;
        return 0;
    case KEY_ATTEST:
        o->attest = arg;
        return ui_text_check(o->ui, "--attest", arg);
    case ARGP_KEY_ARG:
        if (o->id)
            return ARGP_ERR_UNKNOWN;
        o->id = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child rollback_children[] = {
    {.argp = &ui_run_argp}, {.argp = &ui_override_argp}, {0}};
static const struct argp rollback_argp = {
    .options = rollback_argp_options, .parser = rollback_parse, .children = rollback_children};

/* The rollback that undid a transaction, or NULL. */
static const struct ferry_txn_record *undone_by(struct ferry_txn_record *const *list, size_t n,
                                                const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (list[i]->undoes && strcmp(list[i]->undoes, id) == 0 && list[i]->state == FERRY_TXN_COMMITTED)
            return list[i];
    return NULL;
}

/* The newest committed move that was not undone. */
static int choose(struct ui *ui, struct ferry_txn_record *const *list, size_t n, char ret[24])
{
    for (size_t i = 0; i < n; i++) {
        if (list[i]->state != FERRY_TXN_COMMITTED || strcmp(list[i]->kind, "apply") != 0 ||
            undone_by(list, n, list[i]->id))
            continue;
        memcpy(ret, list[i]->id, sizeof list[i]->id);
        return 0;
    }
    return ferry_refuse(&ui->err, "nothing-to-undo",
                        "no committed transaction is left to roll back; see `ferry history`");
}

static int may_undo(struct ui *ui, struct ferry_txn_record *const *list, size_t n,
                    const struct ferry_txn_record *r)
{
    const struct ferry_txn_record *by = undone_by(list, n, r->id);
    if (by)
        return ferry_refuse(&ui->err, "already-undone", "%s was rolled back already, by %s", r->id, by->id);
    if (r->state == FERRY_TXN_UNDONE)
        return ferry_refuse(&ui->err, "already-undone",
                            "%s was rolled back when it ran; it left nothing behind", r->id);
    if (r->state != FERRY_TXN_COMMITTED)
        return ferry_refuse(&ui->err, "unfinished", "%s is %s: run `ferry recover` first", r->id,
                            ferry_txn_state_name(r->state));
    return 0;
}

static int find(struct ui *ui, const char *id, struct ferry_txn_record **ret)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records records = {0};
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    char chosen[24];
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_txn_look(journal, &ui->err);
    if (r == 0 && journal)
        r = ferry_journal_list(journal, 0, &records.v, &records.n, &ui->err);
    if (r == 0 && !id)
        r = choose(ui, records.v, records.n, chosen);
    if (r == 0 && !journal)
        r = ferry_error(&ui->err, FERRY_EUSAGE, "there are no transactions: no journal in %s", ui->state_dir);
    if (r == 0)
        r = ferry_journal_get(journal, id ? id : chosen, &record, &ui->err);
    if (r == 0)
        r = may_undo(ui, records.v, records.n, record);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(record);
    return 0;
}

/* The plan alone suffices to reach real routers.  Simulated ones that were never written to start at home,
 * which the topology knows whole, the plan only for its own subnets: so the topology that the plan was made
 * from is used where it is at hand (in *t already, or named), and not asked for where it is not. */
static int rollback_fleet(struct ui *ui, const struct ferry_plan *plan, struct ferry_topology **t,
                          struct ferry_fleet **ret)
{
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_err ignored;
    if (!*t && ui->topology_file && ferry_topology_load(ui->topology_file, t, NULL, &ignored) < 0)
        *t = NULL;
    return *t && strcmp((*t)->sha256, plan->topology_sha256) == 0
               ? ferry_fleet_for_topology(&config, *t, ret, &ui->err)
               : ferry_fleet_for_plan(&config, plan, ret, &ui->err);
}

/* A confirmation, or a person. */
static bool awaits(const struct ferry_txn_record *r)
{
    return r->state == FERRY_TXN_AWAITING_CONFIRM || r->state == FERRY_TXN_PAUSED;
}

/* The transaction that awaits its confirmation, or is paused, where that is the one meant. */
static int find_awaiting(struct ui *ui, const char *id, struct ferry_journal *journal,
                         struct ferry_txn_record **ret)
{
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records records = {0};
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    const struct ferry_txn_record *awaiting = NULL;
    int r = journal ? ferry_journal_list(journal, 0, &records.v, &records.n, &ui->err) : 0;
    for (size_t i = 0; r == 0 && i < records.n; i++)
        if (awaits(records.v[i]))
            awaiting = records.v[i];
    if (r < 0 || !awaiting)
        return r;
    r = ferry_journal_get(journal, id ? id : awaiting->id, &record, &ui->err);
    if (r == 0 && awaits(record))
        *ret = FERRY_STEAL(record);
    return r;
}

/* It is undone as the move that it is: nothing of it was ever committed.  1: none awaits. */
static int revert(struct ui *ui, const struct rollback_options *o)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *awaiting = NULL, *record = NULL;
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, NULL);
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_txn_options options = ui_txn_options(ui, "rollback", NULL, progress);
    int r = ui_journal_look(ui, &journal);
    if (r == 0)
        r = find_awaiting(ui, o->id, journal, &awaiting);
    if (r < 0 || !awaiting)
        return r < 0 ? r : 1;
    if (o->run.dry_run)
        return ferry_refuse(&ui->err, "dry-run", "%s awaits a person: there is nothing to look at first",
                            awaiting->id);
    if (!o->run.yes && !ui_ask(ui, "Undo what awaits a confirmation or is paused?"))
        return ferry_error(&ui->err, FERRY_EIO, "not confirmed; nothing was written");
    r = ferry_txn_revert(journal, &config, &options, awaiting->id, &record, &ui->err);
    ui_progress_flush(progress);
    if (r < 0)
        return r;
    int status = ui_outcome(ui, record, "rollback");
    return status == UI_UNDONE ? UI_OK : status; /* it was asked for */
}

/* A disaster move is not undone towards a site that nobody sees serve. */
static int may_leave(struct ui *ui, const struct rollback_options *o, const struct ferry_txn_record *record)
{
    if (strcmp(record->plan->mode, "disaster") != 0 || o->attest)
        return 0;
    return ferry_refuse(
        &ui->err, "last-site",
        "%s moved away from a site that was lost: undone, the subnet would be attached nowhere that "
        "answers.  When its routers are back: `ferry reconcile`, then `apply --failback`; if a person "
        "knows that it serves: --attest TEXT",
        record->id);
}

/* Said as early as it is known; begin looks again, with the lock. */
static int may_undo_still(struct ui *ui, const struct ferry_plan *undo, const char *id)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    int r = ui_journal_look(ui, &journal);
    return r < 0 || !journal ? r : ferry_journal_refuse_reconciled(journal, undo, id, &ui->err);
}

/* The undo has a stretched subnet at two sites on its way, as the topology of that day allowed: where the one
 * of today is at hand, it is asked. */
static int may_stretch(struct ui *ui, const struct ferry_plan *undo, const struct ferry_topology *t)
{
    for (size_t g = 0; t && g < undo->n_groups; g++)
        for (size_t i = 0; undo->groups[g].stretched && i < undo->groups[g].n_subnets; i++) {
            const char *name = undo->groups[g].subnets[i].name;
            uint32_t subnet = ferry_topology_subnet(t, name);
            if (subnet != FERRY_NONE && !t->subnets[subnet].stretched)
                return ferry_refuse(
                    &ui->err, "two-sites",
                    "%s was stretched when it moved, and is not any more: undone, it would be at "
                    "two sites for a while; move it back with `ferry apply`",
                    name);
        }
    return 0;
}

static int rollback_run(struct ui *ui, void *options)
{
    struct rollback_options *o = options;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *undo = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    int r = ui_overrides_check(ui, &o->overrides);
    if (r == 0)
        r = ui_run_may(ui, &o->run);
    if (r == 0) {
        r = revert(ui, o);
        if (r <= 0 || r > 1)
            return r;
        r = 0;
    }
    if (r == 0 && o->run.n_probes)
        r = ui_topology_load(ui, &t);
    if (r == 0)
        r = find(ui, o->id, &record);
    if (r == 0)
        r = may_leave(ui, o, record);
    if (r == 0)
        r = ferry_plan_reverse(record->plan, &undo, &ui->err);
    if (r == 0 && o->attest) {
        free(undo->attest);
        undo->attest = ferry_strdup(o->attest);
    }
    if (r == 0)
        r = may_undo_still(ui, undo, record->id);
    if (r == 0)
        r = ui_plan_prove(ui, undo);
    if (r == 0)
        r = rollback_fleet(ui, undo, &t, &fleet);
    if (r == 0)
        r = may_stretch(ui, undo, t);
    if (r < 0)
        return r;
    struct ui_run how = {
        .kind = "rollback",
        .undoes = record->id,
        .yes = o->run.yes,
        .dry_run = o->run.dry_run,
        .probes = o->run.probes,
        .n_probes = o->run.n_probes,
        .topology = t,
        .overrides = &o->overrides.set,
    };
    return ui_run_plan(ui, fleet, undo, &how);
}

static void rollback_clear(void *options)
{
    free(((struct rollback_options *)options)->run.probes);
    ui_overrides_clear(&((struct rollback_options *)options)->overrides);
}

const struct ui_verb ui_verb_rollback = {
    .name = "rollback",
    .args = "[TX]",
    .purpose = "Undoes a transaction: planned, proven and journalled as one of its own.",
    .examples =
        "Without TX: the newest committed move that was not undone.  Every router must still be as that "
        "transaction "
        "left it.  Needs no topology file, but for --probe.  Also undoes what is paused, or awaits its "
        "confirmation.\n\n"
        "Examples:\n  ferry rollback\n  ferry rollback 20261120-1015 --yes\n  ferry rollback --dry-run\n\n"
        "Exit status: as of apply; 4 where it was undone already.\n",
    .argp = &rollback_argp,
    .options_size = sizeof(struct rollback_options),
    .run = rollback_run,
    .clear = rollback_clear,
};

/* ---- recover ---- */

struct recover_options {
    struct ui *ui;
};

static const struct argp_option recover_argp_options[] = {
    {"yes", 'y', NULL, OPTION_HIDDEN, "Taken for the sake of scripts: recover never asks", 0},
    {0},
};

static error_t recover_parse(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    (void)state;
    return key == 'y' ? 0 : ARGP_ERR_UNKNOWN;
}

static const struct argp recover_argp = {.options = recover_argp_options, .parser = recover_parse};

static int report(struct ui *ui, const struct ferry_txn_record *record)
{
    int status = ui_outcome(ui, record, "recover");
    return status == UI_UNDONE ? UI_OK : status;
}

static int recover_run(struct ui *ui, void *options)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, NULL);
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_txn_options o = ui_txn_options(ui, "recover", NULL, progress);
    (void)options;
    int r = ui_journal_look(ui, &journal);
    if (r == 0)
        r = !journal ? 1 : ferry_txn_recover(journal, &config, &o, &record, &ui->err);
    if (r < 0)
        return r;
    if (r == 0)
        return report(ui, record);
    if (ui->json) {
        struct json_object *doc = json_object_new_object();
        json_object_object_add(doc, "nothing_to_do", json_object_new_boolean(true));
        ui_print_json(doc);
    } else {
        printf("Nothing to recover: no transaction is unfinished.\n");
    }
    return UI_OK;
}

const struct ui_verb ui_verb_recover = {
    .name = "recover",
    .args = "",
    .purpose = "After a crash: finishes or undoes what was in flight.",
    .examples =
        "Works from the journal and the routers alone, and does not ask: it only brings to an end what was "
        "begun.  "
        "Running it again changes nothing more.\n\n"
        "Examples:\n  ferry recover\n  ferry --state-dir /srv/ferry recover --json\n\n"
        "Exit status: 0 nothing is unfinished any more; 6 a person is needed: run it again when the routers "
        "answer; 7 what awaits `ferry confirm` was left alone, for its deadline has not come, or what is "
        "paused, for a person.\n",
    .argp = &recover_argp,
    .options_size = sizeof(struct recover_options),
    .run = recover_run,
};
