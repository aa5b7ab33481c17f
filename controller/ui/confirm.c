/* `ferry confirm` and `ferry extend`: what was applied with --confirm-within.  From the journal and the routers alone.
 * SPDX-License-Identifier: MIT */
#include "ui/daemon.h"
#include "ui/show.h"

#include "base/mem.h"
#include <ferry/test.h>
#include <string.h>
#include <time.h>

struct confirm_options {
    struct ui *ui;
    const char *id, *duration;
    unsigned seconds;
};

static const struct argp_option argp_options[] = {
    {"yes", 'y', NULL, OPTION_HIDDEN, "Taken for the sake of scripts: the verb is the answer already", 0},
    {0},
};

static error_t confirm_parse(int key, char *arg, struct argp_state *state)
{
    struct confirm_options *o = state->input;
    if (key == 'y')
        return 0;
    if (key != ARGP_KEY_ARG || o->id)
        return ARGP_ERR_UNKNOWN;
    o->id = arg;
    return 0;
}

static error_t extend_parse(int key, char *arg, struct argp_state *state)
{
    struct confirm_options *o = state->input;
    switch (key) {
    case 'y':
        return 0;
    case ARGP_KEY_ARG:
        if (o->duration)
            return ARGP_ERR_UNKNOWN;
        if (!o->id)
            o->id = arg;
        else
            o->duration = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->ui->help || o->ui->version)
            return 0;
        if (!o->duration)
            return ui_usage(o->ui, "extend what, by how long? ferry extend TX DURATION");
        return ui_seconds_parse(o->ui, "DURATION", o->duration, 1, FERRY_EXTEND_MOST_S, &o->seconds);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp confirm_argp = {.options = argp_options, .parser = confirm_parse};
static const struct argp extend_argp = {.options = argp_options, .parser = extend_parse};

/* ---- What came of it. ---- */

/* The local time of day: what stands on the wall. */
static const char *clock_text(uint64_t us, char buf[static 16])
{
    time_t t = (time_t)(us / 1000000);
    struct tm tm;
    localtime_r(&t, &tm);
    strftime(buf, 16, "%H:%M:%S", &tm);
    return buf;
}

/* The same of a test failover. */
static void test_text(const struct ui *ui, const struct ferry_txn_record *r)
{
    char at[16];
    uint64_t now = ui->env.realtime_us(ui->env.ctx);
    const char *yellow = ui_style(ui, stdout, UI_YELLOW), *reset = ui_reset(ui, stdout);
    if (r->deadline_us <= now)
        printf("%stest failover over%s: transaction %s: its time ended at %s: the routers clean up by "
               "themselves; "
               "`ferry recover` looks\n",
               yellow, reset, r->id, clock_text(r->deadline_us, at));
    else
        printf("%stest failover runs%s: transaction %s: until %s (%llu s from now), then every router cleans "
               "up by "
               "itself\nEnd it: ferry test-failover --cleanup   More time: ferry extend %s 1h\n",
               yellow, reset, r->id, clock_text(r->deadline_us, at),
               (unsigned long long)((r->deadline_us - now) / 1000000), r->id);
}

void ui_awaiting_text(const struct ui *ui, const struct ferry_txn_record *r)
{
    char at[16];
    uint64_t now = ui->env.realtime_us(ui->env.ctx);
    const char *yellow = ui_style(ui, stdout, UI_YELLOW), *reset = ui_reset(ui, stdout);
    if (ferry_test_is(r)) {
        test_text(ui, r);
        return;
    }
    if (r->deadline_us <= now) {
        printf("%sawaiting confirm%s: transaction %s: nobody confirmed it before %s: the routers roll it "
               "back by "
               "themselves; `ferry recover` looks\n",
               yellow, reset, r->id, clock_text(r->deadline_us, at));
        return;
    }
    printf("%sawaiting confirm%s: transaction %s\n", yellow, reset, r->id);
    printf("Keep it: ferry confirm %s   before %s (%llu s from now), or every router rolls back by itself\n",
           r->id, clock_text(r->deadline_us, at), (unsigned long long)((r->deadline_us - now) / 1000000));
}

static void undone_text(const struct ui *ui, const struct ferry_txn_record *r, const char *verb)
{
    bool late = !strcmp(verb, "confirm") || !strcmp(verb, "extend");
    if (!strcmp(verb, "cleanup"))
        printf("%scleaned up and verified%s: everything is as before the test: transaction %s\n",
               ui_style(ui, stdout, UI_GREEN), ui_reset(ui, stdout), r->id);
    else if (!strcmp(verb, "recover"))
        printf("%s: rolled back: everything is as before and verified\n", r->id);
    else
        printf("%s%srolled back and verified%s: everything is as before: transaction %s\n",
               ui_style(ui, stdout, UI_YELLOW), late ? "too late: already " : "", ui_reset(ui, stdout),
               r->id);
    if (r->reason)
        printf("reason: %s\n", r->reason);
}

/* `doc`: the record's document, dropped here. */
static int outcome(struct ui *ui, const struct ferry_txn_record *r, struct json_object *doc, const char *verb)
{
    bool recover = !strcmp(verb, "recover");
    ui->wrote = true;
    if (ui->json) {
        if (recover)
            json_object_object_add(doc, "recovered",
                                   json_object_new_boolean(ferry_txn_state_ended(r->state)));
        ui_print_json(json_object_get(doc));
    } else if (r->state == FERRY_TXN_COMMITTED) {
        printf(recover ? "%s: finished: committed and verified\n"
                       : "%s: confirmed: committed on every router\n",
               r->id);
        ui_unsaved_text(ui, r);
    } else if (r->state == FERRY_TXN_UNDONE) {
        undone_text(ui, r, verb);
    } else if (r->state == FERRY_TXN_AWAITING_CONFIRM) {
        ui_awaiting_text(ui, r);
    } else if (r->state == FERRY_TXN_PAUSED) {
        ui_paused_text(ui, r, stdout);
    } else {
        printf("%s is %s: a person is needed\n", r->id, ferry_txn_state_name(r->state));
        if (r->reason)
            printf("reason: %s\n", r->reason);
        if (r->n_hands)
            ui_hands_text(ui, r->hands, r->n_hands, stdout);
    }
    json_object_put(doc);
    return ui_record_exit(r);
}

int ui_outcome(struct ui *ui, const struct ferry_txn_record *r, const char *verb)
{
    return outcome(ui, r, ferry_record_json(r), verb);
}

/* ---- The verbs. ---- */

/* By ferryd, where it runs. */
static int by_daemon(struct ui *ui, const struct confirm_options *o, const char *verb, bool *ret_asked)
{
    struct json_object *doc = NULL;
    int r = ui_daemon_settle(ui, o->id, o->seconds, &doc);
    *ret_asked = r <= 0;
    if (r)
        return r;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = ui_record_of(doc);
    return outcome(ui, record, doc, verb);
}

static int here(struct ui *ui, const struct confirm_options *o, const char *verb)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *record = NULL;
    FERRY_CLEANUP(ui_progress_cleanup) struct ui_progress *progress = ui_progress_new(ui, NULL);
    struct ferry_fleet_config config = ui_fleet_config(ui);
    struct ferry_txn_options options = ui_txn_options(ui, "confirm", NULL, progress);
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && !journal)
        r = ferry_journal_missing(ui->state_dir, o->id, "not-awaiting",
                                  "no transaction awaits a confirmation", &ui->err);
    if (r == 0 && o->duration)
        r = ferry_txn_extend(journal, &config, &options, o->id, o->seconds, &record, &ui->err);
    else if (r == 0)
        r = ferry_txn_confirm(journal, &config, &options, o->id, &record, &ui->err);
    ui_progress_flush(progress);
    return r < 0 ? r : ui_outcome(ui, record, verb);
}

static int run(struct ui *ui, void *options)
{
    const struct confirm_options *o = options;
    const char *verb = o->duration ? "extend" : "confirm";
    bool asked = false;
    int status = by_daemon(ui, o, verb, &asked);
    if (!asked)
        status = here(ui, o, verb);
    return o->duration && status == UI_AWAITING ? UI_OK : status; /* extended, as asked */
}

const struct ui_verb ui_verb_confirm = {
    .name = "confirm",
    .args = "[TX]",
    .purpose = "Keeps what was applied with --confirm-within.",
    .examples =
        "Without TX: the transaction that awaits its confirmation.  Every router is asked first: where one "
        "does "
        "not answer nothing is confirmed, where one has rolled back already the rest is rolled back too.  "
        "Needs "
        "no topology file.\n\n"
        "Examples:\n  ferry confirm\n  ferry confirm 20261120-1015\n\n"
        "Exit status: 0 confirmed on every router, read back; 1 a router could not be asked: everything "
        "stays "
        "armed; 4 nothing awaits, or the routers hold something else; 5 too late: rolled back; 6 a person is "
        "needed.\n",
    .argp = &confirm_argp,
    .options_size = sizeof(struct confirm_options),
    .run = run,
};

const struct ui_verb ui_verb_extend = {
    .name = "extend",
    .args = "TX DURATION",
    .purpose = "Gives more time to confirm.",
    .examples = "The deadline is then DURATION from now, at most 2h; it never comes earlier than it was.\n\n"
                "Examples:\n  ferry extend 20261120-1015 30m\n\n"
                "Exit status: 0 extended; 4 it does not await a confirmation, or has more time already; 1, "
                "5, 6 as of "
                "confirm.\n",
    .argp = &extend_argp,
    .options_size = sizeof(struct confirm_options),
    .run = run,
};
