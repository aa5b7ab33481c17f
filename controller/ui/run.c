/* Running a transaction for a person.  See run.h.  SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"
#include "ui/probe.h"
#include "watch/readiness.h"
#include <pwd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KEY_YES = 0x5000, KEY_DRY_RUN, KEY_PROBE };

static const struct argp_option consent_options[] = {
    {NULL, 0, NULL, 0, "Running it:", 4},
    {"yes", KEY_YES, NULL, 0, "Do not ask", 4},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Only the prechecks: what would be refused; write nothing", 4},
    {0},
};

static error_t consent_parse(int key, char *arg, struct argp_state *state)
{
    struct ui_run_options *o = state->input;
    (void)arg;
    switch (key) {
    case KEY_YES:
        o->yes = true;
        return 0;
    case KEY_DRY_RUN:
        o->dry_run = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp ui_consent_argp = {.options = consent_options, .parser = consent_parse};

static const struct argp_option options[] = {
    {"probe", KEY_PROBE, "ADDRESS", 0,
     "Send 1,000 echo requests a second there from every other router's LAN, and report the outage; several "
     "times",
     4},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct ui_run_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = o;
        return 0;
    case KEY_PROBE: {
        struct ferry_addr address;
        struct ferry_err err;
        if (ferry_addr_parse(arg, &address, &err) < 0)
            return ui_usage(o->ui, "--probe: '%s' is no address", arg);
        FERRY_GROW(o->probes, o->n_probes);
        o->probes[o->n_probes++] = arg;
        return 0;
    }
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{.argp = &ui_consent_argp}, {0}};
const struct argp ui_run_argp = {.options = options, .parser = parse, .children = children};

int ui_run_may(struct ui *ui, const struct ui_run_options *o)
{
    if (o->yes || o->dry_run || ui_can_ask())
        return 0;
    return ferry_refuse(&ui->err, "confirmation",
                        "there is no terminal to ask on: add --yes to go ahead; nothing was written");
}

const char *ui_user_name(void)
{
    const char *sudo = getenv("SUDO_USER");
    if (sudo && *sudo && geteuid() == 0)
        return sudo;
    const struct passwd *pw = getpwuid(getuid());
    return pw ? pw->pw_name : "unknown";
}

struct ferry_txn_options ui_txn_options(struct ui *ui, const char *kind, const char *undoes, void *progress)
{
    (void)ui;
    return (struct ferry_txn_options){
        .kind = kind,
        .undoes = undoes,
        .user = ui_user_name(),
        .progress = ui_progress_event,
        .progress_ctx = progress,
        .interrupted = ui_signals_caught,
    };
}

/* ---- Before ---- */

static int show_drift(struct ui *ui, const struct ferry_hand *drift, size_t n, int r)
{
    if (ui->json) {
        if (!ui->details)
            ui->details = json_object_new_object();
        if (n)
            json_object_object_add(ui->details, "drift", ferry_hands_json(drift, n));
    } else if (n) {
        ui_note(ui, "What is not as the plan found it:");
        ui_hands_text(ui, drift, n, stderr);
    }
    return r;
}

/* What a file says of routers has to be so, also where it changes nothing there. */
static int nothing(struct ui *ui, struct ferry_fleet *fleet, struct ferry_plan *plan,
                   const struct ui_run *how)
{
    struct ferry_hand *drift = NULL;
    size_t n = 0;
    int r = plan->n_groups ? ferry_txn_precheck(fleet, plan, &drift, &n, &ui->err) : 0;
    if (r < 0)
        r = show_drift(ui, drift, n, r);
    ferry_hands_free(drift, n);
    if (r < 0)
        return r;
    if (!ui->json)
        return printf("Nothing to do: %s.\n",
                      how->saved ? "this plan changes nothing" : "everything is where it shall be"),
               UI_OK;
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "nothing_to_do", json_object_new_boolean(true));
    json_object_object_add(doc, "plan", json_object_new_string(plan->id));
    ui_run_say_json(how, doc);
    return UI_OK;
}

/* What is asked of a transaction, whether it is begun or only tried. */
static struct ferry_txn_options options_of(struct ui *ui, const struct ui_run *how, void *progress)
{
    struct ferry_txn_options o = ui_txn_options(ui, how->kind, how->undoes, progress);
    o.confirm_within_s = how->confirm_within_s;
    o.overrides = how->overrides;
    o.pause_before = how->pause_before;
    o.hold_down_s = how->topology ? how->topology->hold_down_s : 0;
    return o;
}

static int start_probe(struct ui *ui, struct ferry_plan *plan, const struct ui_run *how,
                       struct ui_probe **ret)
{
    struct ui_probe_asked asked = {how->probes, how->n_probes, how->undoes == NULL, how->overrides};
    return ui_probe_start(ui, plan, how->topology, &asked, ret);
}

static int dry_run(struct ui *ui, struct ferry_journal *journal, struct ferry_fleet *fleet,
                   struct ferry_plan *plan, const struct ui_run *how)
{
    FERRY_CLEANUP(ui_probe_cleanup) struct ui_probe *probe = NULL;
    struct ferry_hand *drift = NULL;
    struct ferry_txn_options o = options_of(ui, how, NULL);
    size_t n = 0;
    o.progress = NULL;
    int r = start_probe(ui, plan, how, &probe);
    if (r < 0)
        return r;
    r = ferry_txn_rehearse(journal, fleet, plan, &o, &drift, &n, &ui->err);
    if (r < 0) {
        r = show_drift(ui, drift, n, r);
        ferry_hands_free(drift, n);
        return r;
    }
    if (ui->json) {
        FERRY_AUTOFREE char *text = ferry_plan_write(plan, false);
        struct json_object *doc = json_object_new_object();
        json_object_object_add(doc, "dry_run", json_object_new_boolean(true));
        json_object_object_add(doc, "plan", json_tokener_parse(text));
        ui_run_say_json(how, doc);
        return UI_OK;
    }
    ui_plan_text(ui, plan, stdout);
    printf("Dry run: every precheck passed; nothing was written.\n");
    return UI_OK;
}

/* ---- The transaction ---- */

int ui_run_begin(struct ui *ui, struct ferry_journal *journal, struct ferry_fleet *fleet,
                 struct ferry_plan *plan, const struct ferry_txn_options *how, struct ferry_txn **ret)
{
    struct ferry_hand *drift = NULL;
    size_t n = 0;
    int r = ferry_txn_begin(journal, fleet, plan, how, ret, &drift, &n, &ui->err);
    if (r < 0)
        r = show_drift(ui, drift, n, r);
    ferry_hands_free(drift, n);
    ui->wrote = ui->wrote || r == 0;
    return r;
}

static int abort_once(struct ui *ui, struct ferry_txn *txn, const char *reason, bool *aborted)
{
    if (*aborted)
        return 0;
    *aborted = true;
    return ferry_txn_abort(txn, reason, &ui->err);
}

int ui_run_steps(struct ui *ui, struct ferry_txn *txn, bool *aborted)
{
    int r;
    do {
        const char *name = ui_signals_caught();
        if (name && (r = abort_once(ui, txn, name, aborted)) < 0)
            return r;
        r = ferry_txn_step(txn, &ui->err);
    } while (r > 0);
    return r;
}

struct job {
    struct ui *ui;
    const struct ui_run *how;
    struct ferry_txn *txn;
    struct ui_progress *progress;
    struct ui_probe *probe; /* or NULL */
    bool verified;          /* drill: the move was whole before it was undone */
    bool passed;            /* and it held as long as was asked for, and what was probed answered */
    bool aborted;
};

static int turn(struct job *job, const char *reason)
{
    return abort_once(job->ui, job->txn, reason, &job->aborted);
}

static int steps(struct job *job)
{
    return ui_run_steps(job->ui, job->txn, &job->aborted);
}

static void hold(const struct job *job)
{
    const struct ui *ui = job->ui;
    bool terminal = isatty(STDERR_FILENO);
    uint64_t now, end = ui->env.monotonic_us(ui->env.ctx) + job->how->hold_us, said = UINT64_MAX;
    while (!ui_signals_caught() && (now = ui->env.monotonic_us(ui->env.ctx)) < end) {
        uint64_t left = (end - now + 999999) / 1000000;
        if (left != said && (terminal || said == UINT64_MAX))
            fprintf(stderr, "%sholding, %llu s left%s", terminal ? "\r" : "", (unsigned long long)left,
                    terminal ? "  " : "\n");
        said = left;
        uint64_t slice = end - now < 100000 ? end - now : 100000;
        nanosleep(&(struct timespec){0, (long)slice * 1000}, NULL);
    }
    if (terminal && said != UINT64_MAX)
        fputc('\n', stderr);
}

/* Who has had no answer since the move, or NULL.  Where the hold is a short one it is waited for. */
static const char *silent(const struct job *job, uint64_t since_us)
{
    const struct ui *ui = job->ui;
    const char *vantage;
    while ((vantage = ui_probe_silent(job->probe, since_us)) && !ui_signals_caught() &&
           ui->env.monotonic_us(ui->env.ctx) < since_us + UI_PROBE_PATIENCE_US)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    return vantage;
}

/* Who is asked at a pause: 1 to go on, 0 to leave it paused. */
static int ask_to_pass(struct job *job)
{
    const struct ferry_txn_hook *h = ferry_txn_paused_at(ferry_txn_record(job->txn));
    bool failed = h && h->state == FERRY_HOOK_FAILED;
    if (job->how->yes || !ui_can_ask())
        return 0;
    ui_progress_flush(job->progress);
    ui_paused_text(job->ui, ferry_txn_record(job->txn), stderr);
    if (!ui_ask(job->ui, failed ? "Run it again?" : "Is it done, and shall it go on?"))
        return 0;
    int r = ferry_txn_pass(job->txn, failed ? FERRY_RETRY : FERRY_RESUME, ui_user_name(), &job->ui->err);
    return r < 0 ? r : 1;
}

/* Steps past the pauses that somebody answers.  A drill leaves nothing behind, so it does not stay paused. */
static int steps_and_pauses(struct job *job)
{
    bool drill = strcmp(job->how->kind, "drill") == 0;
    int r = steps(job);
    while (r == 0 && ferry_txn_state(job->txn) == FERRY_TXN_PAUSED) {
        r = ask_to_pass(job);
        if (r < 0 || (r == 0 && !drill && !ui_signals_caught()))
            return r;
        if (r == 0)
            r = turn(job,
                     ui_signals_caught() ? ui_signals_caught() : "the drill paused, and nobody let it go on");
        if (r >= 0)
            r = steps(job);
    }
    return r;
}

static int drive(struct job *job)
{
    bool drill = strcmp(job->how->kind, "drill") == 0;
    if (drill)
        ferry_txn_hold(job->txn);
    int r = steps_and_pauses(job);
    if (r < 0 || !drill || job->aborted || ferry_txn_state(job->txn) != FERRY_TXN_VERIFYING)
        return r;
    job->verified = true;
    uint64_t verified_us = job->ui->env.monotonic_us(job->ui->env.ctx);
    hold(job);
    const char *vantage = silent(job, verified_us), *name = ui_signals_caught();
    FERRY_AUTOFREE char *unanswered =
        vantage ? ferry_asprintf("the probe from %s had no answer at the new site", vantage) : NULL;
    job->passed = !name && !vantage;
    r = turn(job, name ? name : vantage ? unanswered : FERRY_DRILL_OVER);
    return r < 0 ? r : steps(job);
}

/* ---- After ---- */

static void txn_cleanup(struct ferry_txn **txn)
{
    ferry_txn_free(*txn);
}

static int finish(struct job *job, struct ferry_journal *journal, const struct ferry_plan *plan, int r)
{
    struct ui *ui = job->ui;
    char id[sizeof ferry_txn_record(job->txn)->id];
    struct ferry_err err = {0};
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    snprintf(id, sizeof id, "%s", ferry_txn_record(job->txn)->id);
    if (job->probe) {
        size_t n;
        ui_probe_stop(job->probe);
        const struct ferry_outage *outages = ui_probe_outages(job->probe, &n);
        if (ferry_journal_add_outage(journal, id, outages, n, &err) < 0)
            ui_warn(ui, "the outage could not be stored: %s", err.text);
    }
    if (r < 0)
        ui_note(ui, "ferry: %s", ui->err.text);
    /* The journal's word; where it cannot be read any more, what we have in memory. */
    const struct ferry_txn_record *shown = ferry_txn_record(job->txn);
    if (ferry_journal_get(journal, id, &record, &err) == 0)
        shown = record;
    struct ui_end end = {
        .how = job->how, .record = shown, .verified = job->verified, .passed = job->passed, .failed = r < 0};
    return ui_run_report(ui, &end, plan);
}

static int begin(struct job *job, struct ferry_journal *journal, struct ferry_fleet *fleet,
                 struct ferry_plan *plan, struct ui_progress *progress)
{
    struct ferry_txn_options o = options_of(job->ui, job->how, progress);
    return ui_run_begin(job->ui, journal, fleet, plan, &o, &job->txn);
}

static int transact(struct ui *ui, struct ferry_fleet *fleet, struct ferry_plan *plan,
                    const struct ui_run *how)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_probe_cleanup) struct ui_probe *probe = NULL;
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, plan);
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = NULL;
    int r = ui_journal_open(ui, &journal);
    if (r == 0)
        r = start_probe(ui, plan, how, &probe);
    if (r < 0)
        return r;
    ui_signals_catch();
    struct job job = {.ui = ui, .how = how, .progress = progress, .probe = probe};
    r = begin(&job, journal, fleet, plan, progress);
    if (r < 0)
        return r;
    txn = job.txn;
    r = drive(&job);
    ui_progress_flush(progress);
    return finish(&job, journal, plan, r);
}

int ui_run_paused(struct ui *ui, struct ferry_journal *journal, const char *id, enum ferry_pass pass,
                  bool yes)
{
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, NULL);
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = NULL;
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_txn_options o = ui_txn_options(ui, NULL, NULL, progress);
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    struct ferry_hand *drift = NULL;
    struct ferry_err ignored;
    size_t n = 0;
    if (ui->topology_file && ferry_topology_load(ui->topology_file, &t, NULL, &ignored) == 0)
        o.topology = t;
    ui_signals_catch();
    int r = ferry_txn_take_up(journal, &config, &o, id, pass, &txn, &drift, &n, &ui->err);
    if (r < 0)
        r = show_drift(ui, drift, n, r);
    ferry_hands_free(drift, n);
    if (r < 0)
        return r;
    ui->wrote = true;
    const struct ferry_txn_record *record = ferry_txn_record(txn);
    ui_progress_plan(progress, record->plan);
    struct ui_run how = {.kind = record->kind, .undoes = record->undoes, .yes = yes};
    struct job job = {.ui = ui, .how = &how, .txn = txn, .progress = progress};
    r = drive(&job);
    ui_progress_flush(progress);
    return finish(&job, journal, record->plan, r);
}

int ui_run_plan(struct ui *ui, struct ferry_fleet *fleet, struct ferry_plan *plan, const struct ui_run *how)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    if (ferry_plan_is_empty(plan) || how->dry_run) {
        /* Another transaction's unfinished business is no ground to say "nothing to do" or "every precheck passed". */
        int r = ui_journal_look(ui, &journal);
        if (r == 0 && journal)
            r = ferry_txn_look(journal, &ui->err);
        if (r < 0)
            return r;
    }
    if (ferry_plan_is_empty(plan))
        return nothing(ui, fleet, plan, how);
    if (how->dry_run)
        return dry_run(ui, journal, fleet, plan, how);
    if (!ui->json)
        ui_plan_text(ui, plan, stderr);
    if (!how->yes && !ui_ask(ui, strcmp(how->kind, "drill") == 0 ? "Move it, and bring it back?" : "Do it?"))
        return ferry_error(&ui->err, FERRY_EIO, "not confirmed; nothing was written");
    return transact(ui, fleet, plan, how);
}
