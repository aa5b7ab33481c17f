/* Running a transaction for a person: progress, signals, probes, drift, the report and the exit status.
 * Used by apply, drill, rollback and recover.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_RUN_H
#define FERRY_UI_RUN_H

#include "ui/ui.h"

/* How to run it.  Zero-initialised: an unasked apply without probes. */
struct ui_run {
    const char *kind;   /* "apply", "rollback", "drill" */
    const char *undoes; /* id, or NULL */
    bool yes, dry_run;
    bool saved;                /* the plan is a file's */
    uint64_t hold_us;          /* drill */
    unsigned confirm_within_s; /* apply; 0: it needs no confirm */
    char **probes;             /* addresses */
    size_t n_probes;
    const struct ferry_topology *topology; /* for probes and rules; may be NULL without them */
    struct ferry_overrides *overrides;     /* may be NULL */
    unsigned pause_before;                 /* 1 << enum ferry_phase */
    struct json_object *
        *document; /* with --json: takes the document instead of stdout; NULL: it is printed */
};

/* run_report.c: what it came to. */
struct ui_end {
    const struct ui_run *how;
    const struct ferry_txn_record *record;
    bool verified; /* drill: the move was whole before it was undone */
    bool passed;   /* and it held as long as was asked for, and what was probed answered */
    bool failed;   /* the journal could not be written to the end: ui->err says why */
};
/* Prints it; the exit status. */
int ui_run_report(const struct ui *ui, const struct ui_end *end, const struct ferry_plan *plan);
/* To whoever collects the documents (`how->document`), or to stdout.  Takes `doc`. */
void ui_run_say_json(const struct ui_run *how, struct json_object *doc);
int ui_record_exit(const struct ferry_txn_record *record);
/* Where a committed transaction would not outlive a restart; nothing where it would. */
void ui_unsaved_text(const struct ui *ui, const struct ferry_txn_record *record);

/* --yes, --dry-run, --probe: every option struct that has it begins with `struct ui *ui`. */
struct ui_run_options {
    struct ui *ui;
    bool yes, dry_run;
    char **probes;
    size_t n_probes;
};
extern const struct argp ui_run_argp;
/* --yes and --dry-run alone. */
extern const struct argp ui_consent_argp;
/* Refuses at once where nobody can be asked; -FERRY_EUSAGE. */
int ui_run_may(struct ui *ui, const struct ui_run_options *o);
/* Shows the plan, asks, runs it (or the prechecks alone).  An exit status or a negative code. */
int ui_run_plan(struct ui *ui, struct ferry_fleet *fleet, struct ferry_plan *plan, const struct ui_run *how);
/* ferry_txn_begin that shows what drifted. */
int ui_run_begin(struct ui *ui, struct ferry_journal *journal, struct ferry_fleet *fleet,
                 struct ferry_plan *plan, const struct ferry_txn_options *how, struct ferry_txn **ret);
/* Steps until it ends, holds or pauses; a signal turns it round, and is then noted in `aborted`, where it is the
 * first. */
int ui_run_steps(struct ui *ui, struct ferry_txn *txn, bool *aborted);
/* Takes up what is paused (`id` NULL: the one that is), and runs it like ui_run_plan. */
int ui_run_paused(struct ui *ui, struct ferry_journal *journal, const char *id, enum ferry_pass how,
                  bool yes);
/* The options of every transaction that this program starts. */
struct ferry_txn_options ui_txn_options(struct ui *ui, const char *kind, const char *undoes, void *progress);
/* Who runs this program: behind sudo the person. */
const char *ui_user_name(void);
/* What to do about it, and until when. */
void ui_awaiting_text(const struct ui *ui, const struct ferry_txn_record *record);
/* What a record says after `verb`: confirm, extend, recover, or the rollback of what awaited.  Its exit status. */
int ui_outcome(struct ui *ui, const struct ferry_txn_record *record, const char *verb);

/* progress.c: lines about stages, never written between detach and attach. */
struct ui_progress;
struct ui_progress *ui_progress_new(const struct ui *ui,
                                    const struct ferry_plan *plan); /* plan may be NULL */
/* Where the plan is known later. */
void ui_progress_plan(struct ui_progress *progress, const struct ferry_plan *plan);
void ui_progress_event(void *progress, enum ferry_txn_event event, size_t stage, const char *text);
void ui_progress_flush(struct ui_progress *progress);
void ui_progress_free(struct ui_progress *progress); /* takes NULL; flushes */
void ui_progress_cleanup(struct ui_progress **progress);

/* signals.c */
void ui_signals_catch(void);
/* The signal's name where one asked to stop, else NULL. */
const char *ui_signals_caught(void);

#endif
