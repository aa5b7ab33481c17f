/* `ferry resume`, `ferry retry`, `ferry skip`: what to do with a transaction that is paused; and what is said of it.
 * SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"
#include <string.h>

struct pause_options {
    struct ui *ui;
    const char *id;
    bool yes;
};

static const struct argp_option options[] = {
    {"yes", 'y', NULL, 0, "Do not ask: neither now nor at the next pause", 4},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct pause_options *o = state->input;
    switch (key) {
    case 'y':
        o->yes = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->id)
            return ARGP_ERR_UNKNOWN;
        o->id = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = options, .parser = parse};

/* ---- What is said of it. ---- */

static void print_output(const struct ui *ui, const char *output, FILE *f)
{
    for (const char *line = output; line && *line;) {
        size_t n = strcspn(line, "\n");
        fprintf(f, "    %s%.*s%s\n", ui_style(ui, f, UI_DIM), (int)n, line, ui_reset(ui, f));
        line += n + (line[n] == '\n');
    }
}

void ui_hook_text(const struct ui *ui, const struct ferry_txn_hook *h, FILE *f)
{
    FERRY_AUTOFREE char *program = h->hook.pause || h->hook.pause_undo
                                       ? NULL
                                       : ferry_argv_text(h->hook.run ? h->hook.run : h->hook.undo);
    bool bad =
        h->state == FERRY_HOOK_FAILED || h->state == FERRY_HOOK_UNDO_FAILED || h->state == FERRY_HOOK_RUNNING;
    bool nothing = !h->hook.run && !h->hook.pause; /* only on the way back */
    enum ui_style style = nothing || h->state == FERRY_HOOK_WAITING ? UI_DIM : bad ? UI_RED : UI_GREEN;
    fprintf(f, "  %s%-11s%s %s: %s%s", ui_style(ui, f, h->state == FERRY_HOOK_PAUSED ? UI_YELLOW : style),
            nothing ? "-" : ferry_hook_state_name(h->state), ui_reset(ui, f), ferry_boundary_name(h->hook.at),
            program ? "" : "pause: ",
            program         ? program
            : h->hook.pause ? h->hook.pause
                            : h->hook.pause_undo);
    if (h->started_us && h->ended_us > h->started_us && program)
        fprintf(f, "  (%.3f s%s", (double)(h->ended_us - h->started_us) / 1e6, h->status ? "" : ")");
    if (h->started_us && h->ended_us > h->started_us && program && h->status)
        fprintf(f, ", status %d)", h->status);
    fprintf(f, "%s%s\n", h->user ? "  by " : "", h->user ? h->user : "");
    print_output(ui, h->output, f);
    print_output(ui, h->undo_output, f);
}

void ui_paused_after_text(const struct ui *ui, const struct ferry_txn_record *r, size_t n_stages, FILE *f)
{
    const struct ferry_txn_hook *h = ferry_txn_paused_at(r);
    bool failed = h && h->state == FERRY_HOOK_FAILED;
    fprintf(f, "%spaused%s: transaction %s, after %zu of %zu stages: every router is read back\n",
            ui_style(ui, f, UI_YELLOW), ui_reset(ui, f), r->id, r->stages_begun, n_stages);
    if (h)
        ui_hook_text(ui, h, f);
    if (failed)
        fprintf(f, "Run it again: ferry retry %s   go on without it: ferry skip %s\n", r->id, r->id);
    else
        fprintf(f, "When it is done: ferry resume %s   go on without it: ferry skip %s\n", r->id, r->id);
    fprintf(f, "Undo everything: ferry rollback %s\n", r->id);
}

void ui_paused_text(const struct ui *ui, const struct ferry_txn_record *r, FILE *f)
{
    ui_paused_after_text(ui, r, r->plan ? r->plan->n_stages : 0, f);
}

/* ---- The verbs. ---- */

static int take_up(struct ui *ui, const struct pause_options *o, enum ferry_pass how)
{
    static const char *const questions[] = {
        [FERRY_RESUME] = "Is it done, and shall it go on?",
        [FERRY_RETRY] = "Run what failed once more?",
        [FERRY_SKIP] = "Go on without it?",
    };
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    if (!o->yes && !ui_can_ask())
        return ferry_refuse(&ui->err, "confirmation",
                            "there is no terminal to ask on: add --yes to go ahead; nothing was written");
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && !journal)
        r = ferry_journal_missing(ui->state_dir, o->id, "not-paused", "no transaction is paused", &ui->err);
    if (r == 0 && !o->yes && !ui_ask(ui, questions[how]))
        r = ferry_error(&ui->err, FERRY_EIO, "not confirmed; nothing was written");
    return r < 0 ? r : ui_run_paused(ui, journal, o->id, how, o->yes);
}

static int resume_run(struct ui *ui, void *opaque)
{
    return take_up(ui, opaque, FERRY_RESUME);
}

static int retry_run(struct ui *ui, void *opaque)
{
    return take_up(ui, opaque, FERRY_RETRY);
}

static int skip_run(struct ui *ui, void *opaque)
{
    return take_up(ui, opaque, FERRY_SKIP);
}

#define STATUS                                                                                               \
    "Exit status: as of apply; 3 a router is no longer as it was when it paused: nothing was written, it "   \
    "stays "                                                                                                 \
    "paused; 4 it is not paused, or this is the wrong verb.\n"

const struct ui_verb ui_verb_resume = {
    .name = "resume",
    .args = "[TX]",
    .purpose = "Goes on with what is paused for a person.",
    .examples = "Without TX: the transaction that is paused.  The plan is proven again, and every router "
                "must still hold "
                "what it held.  Needs no topology file.\n\n"
                "Examples:\n  ferry resume\n  ferry resume 20261120-1015 --yes\n\n" STATUS,
    .argp = &argp,
    .options_size = sizeof(struct pause_options),
    .run = resume_run,
};

const struct ui_verb ui_verb_retry = {
    .name = "retry",
    .args = "[TX]",
    .purpose = "Runs the hook that failed once more, and goes on.",
    .examples = "Of a transaction that paused because a hook with \"on-failure\": \"pause\" failed.\n\n"
                "Examples:\n  ferry retry\n  ferry retry 20261120-1015 --yes\n\n" STATUS,
    .argp = &argp,
    .options_size = sizeof(struct pause_options),
    .run = retry_run,
};

const struct ui_verb ui_verb_skip = {
    .name = "skip",
    .args = "[TX]",
    .purpose = "Leaves out the hook or step at which it is paused, and goes on.",
    .examples = "The journal keeps who left it out, and `ferry show` says so.\n\n"
                "Examples:\n  ferry skip\n  ferry skip 20261120-1015 --yes\n\n" STATUS,
    .argp = &argp,
    .options_size = sizeof(struct pause_options),
    .run = skip_run,
};
