/* What the verbs of `ferry` share.  Only this folder prints: results to stdout, all else to stderr.
 *
 * main.c reads the command line and calls one verb; each verb's file holds its options, its help and its
 * work.
 *
 * Invariants
 *  1. With --json stdout carries exactly one JSON document, also when the verb fails.
 *  2. Exit statuses are made here alone (ui_exit_status), from `struct ferry_err`'s codes and transaction
 *     states.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_H
#define FERRY_UI_H

#include "watch/documents.h"
#include "watch/status.h"
#include <argp.h>
#include <ferry/audit.h>
#include <ferry/env.h>
#include <ferry/plan.h>
#include <ferry/prove.h>
#include <ferry/topology.h>
#include <ferry/txn.h>
#include <json-c/json.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>

/* Exit statuses of the contract. */
enum ui_exit {
    UI_OK = 0,
    UI_ERROR = 1,
    UI_DIFFERENT = 2,
    UI_DRIFT = 3,
    UI_REFUSED = 4,
    UI_UNDONE = 5,
    UI_UNKNOWN = 6,
    UI_AWAITING = 7,
    UI_LOCKED = 8,
    UI_USAGE = 64,
    UI_INPUT = 65,
};

#define UI_STATE_DIR       "/var/lib/ferry"
#define UI_EXHAUSTIVE_BITS 12 /* stages up to 2^12 states a group are also walked one by one */

struct ui {
    const char *topology_file; /* -t; NULL: not given */
    const char *state_dir;
    const char *socket; /* of ferryd; NULL: the usual one */
    bool no_daemon;     /* do not ask it */
    bool json;
    enum { UI_COLOR_AUTO, UI_COLOR_ALWAYS, UI_COLOR_NEVER } color;
    bool color_out, color_err; /* decided from `color`, the terminal and NO_COLOR */
    bool utf8;                 /* arrows and dashes may be printed */
    bool help, version;        /* --help, --version seen */
    const char *verb;          /* its name; NULL until it is known */
    bool wrote; /* a router or the journal: from then on the exit status says what became of it */
    struct ferry_env env;
    struct ferry_err err;        /* what a failing verb has to say */
    struct json_object *details; /* further members of the error's JSON document, or NULL */
};

/* Options of a verb: every option struct begins with `struct ui *ui`. */
struct ui_options {
    struct ui *ui;
};

struct ui_verb {
    const char *name;
    const char *args;     /* usage of the arguments */
    const char *purpose;  /* one line */
    const char *examples; /* what `ferry help VERB` ends with */
    const struct argp *argp;
    size_t options_size;
    bool hidden;
    /* An exit status, or a negative FERRY_E… code with ui->err filled. */
    int (*run)(struct ui *ui, void *options);
    void (*clear)(void *options); /* frees what parsing allocated; may be NULL */
};

/* NULL-terminated, in the order of the help. */
extern const struct ui_verb *const ui_verbs[];
const struct ui_verb *ui_verb_find(const char *name);

/* ---- options.c: the global options and what parsers use ---- */
extern const struct argp ui_global_argp;
/* Global options from FERRY_… variables. */
int ui_environment(struct ui *ui);
/* Sets ui->err; returns EINVAL, for argp parsers. */
int ui_usage(struct ui *ui, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* A text that goes into a document: likewise where it is empty, or no UTF-8. */
int ui_text_check(struct ui *ui, const char *option, const char *arg);
/* "90s", "5m", "2h", "500ms".  -FERRY_EUSAGE. */
int ui_duration_parse(const char *text, uint64_t *ret_us, struct ferry_err *err);
/* A duration in whole seconds within bounds.  0, or EINVAL with ui->err set, for argp parsers. */
int ui_seconds_parse(struct ui *ui, const char *what, const char *text, unsigned least, unsigned most,
                     unsigned *ret);
/* Parses a verb's command line with the global options beside its own; argv[0] is the verb. */
int ui_verb_parse(struct ui *ui, const struct ui_verb *verb, int argc, char **argv, void *options);
/* The nearest of `names` to `word`, or NULL where none is near. */
const char *ui_nearest(const char *word, const char *const *names, size_t n);

/* ---- help.c ---- */
/* On stdout, as text or as a document; of the program where `verb` is NULL. */
void ui_help_print(const struct ui *ui, const struct ui_verb *verb);

/* ---- term.c ---- */
enum ui_style { UI_PLAIN, UI_BOLD, UI_DIM, UI_GREEN, UI_RED, UI_YELLOW };
void ui_term_init(struct ui *ui);
/* Escape sequences for a stream, or "" without colour. */
const char *ui_style(const struct ui *ui, FILE *f, enum ui_style style);
const char *ui_reset(const struct ui *ui, FILE *f);
/* A line of progress on stderr. */
void ui_note(const struct ui *ui, const char *fmt, ...) FERRY_PRINTF(2, 3);
void ui_warn(const struct ui *ui, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* A text of others for a terminal, malloc'd; NULL for NULL: what cannot be printed, newlines too, becomes \xNN, as in
 * tables. */
char *ui_plain(const char *text);
const char *ui_arrow(const struct ui *ui);
const char *ui_dash(const struct ui *ui);
const char *ui_dots(const struct ui *ui);
/* Whether there is somebody to ask. */
bool ui_can_ask(void);
/* Asks on the terminal; true for yes. */
bool ui_ask(const struct ui *ui, const char *question);
int ui_exit_status(int code);
void ui_print_json(struct json_object *doc); /* pretty, with a newline; drops the reference */
/* Reports ui->err for `code` (negative) and returns the exit status. */
int ui_fail(struct ui *ui, int code);
/* Tables on `f`; the header names the columns, NULL at the end. */
struct libscols_table *ui_table_new(const struct ui *ui, FILE *f, const char *const *columns);
void ui_table_row(struct libscols_table *table, const char *const *cells, enum ui_style style);
void ui_table_print(struct libscols_table *table); /* and frees it */

/* ---- rules.c ---- */
/* --override-rule, once or more. */
struct ui_overrides {
    char **names;
    size_t n_names;
    struct ferry_overrides set; /* after ui_overrides_check */
};
extern const struct argp ui_override_argp;
/* -FERRY_EUSAGE: no such rule; -FERRY_EREFUSED: a firm one. */
int ui_overrides_check(struct ui *ui, struct ui_overrides *o);
void ui_overrides_clear(struct ui_overrides *o);

/* ---- select.c: from options to a plan ---- */
struct ui_selection {
    struct ui *ui;
    char **moves;       /* "SUBNET=SITE" */
    char **actives;     /* "SUBNET=SITE" */
    char **unreachable; /* routers */
    char **networks;    /* VM networks that fail over */
    size_t n_moves, n_actives, n_unreachable, n_networks;
    const char *evacuate, *to, *mode, *attest;
    bool failback, offline;
    const char *recovery;            /* a recovery plan */
    const struct ferry_hooks *hooks; /* of the group in hand; NULL: the topology's */
    const char *dns_ttl;             /* as given: the TTLs of names change, and nothing else */
    bool dns_ttl_restore;
    unsigned dns_ttl_s;
    struct ferry_overrides *overrides; /* the caller's; may be NULL */
};
/* --move, --evacuate, --to, --failback, --mode; and --offline, --active for `plan` alone. */
extern const struct argp ui_selection_argp, ui_offline_argp;
bool ui_selection_given(const struct ui_selection *s);
void ui_selection_clear(struct ui_selection *s);

int ui_topology_load(struct ui *ui, struct ferry_topology **ret);
void ui_topology_cleanup(struct ferry_topology **t);
void ui_plan_cleanup(struct ferry_plan **plan);
void ui_fleet_cleanup(struct ferry_fleet **fleet);
void ui_journal_cleanup(struct ferry_journal **journal);
void ui_record_cleanup(struct ferry_txn_record **record);
void ui_pool_cleanup(struct ferry_pool **pool);
struct ferry_fleet_config ui_fleet_config(struct ui *ui);
/* The journal to look at: `ret` stays NULL where there is none, and none is made for a look. */
int ui_journal_look(struct ui *ui, struct ferry_journal **ret);
/* Opens it, makes it where there is none; what is written is this process's and this verb's deed. */
int ui_journal_open(struct ui *ui, struct ferry_journal **ret);
/* -FERRY_EUSAGE: "unknown WHAT 'name'", with the nearest of `names`. */
int ui_unknown(struct ui *ui, const char *what, const char *name, const char *const *names, size_t n);
/* Indices by what stands on the command line; -FERRY_EUSAGE with the nearest name. */
int ui_find_subnet(struct ui *ui, const struct ferry_topology *t, const char *name, uint32_t *ret);
int ui_find_site(struct ui *ui, const struct ferry_topology *t, const char *name, uint32_t *ret);
int ui_find_router(struct ui *ui, const struct ferry_topology *t, const char *name, uint32_t *ret);
/* The plan for a selection, proven and sealed.  The fleet (of the topology) is made where routers are read
 * (not --offline); may be NULL. */
int ui_plan_select(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                   struct ferry_fleet *fleet, struct ferry_plan **ret);
/* Proves, fills the proof in, seals. */
int ui_plan_prove(struct ui *ui, struct ferry_plan *plan);
/* A file from the command line, id checked where `strict`. */
int ui_plan_file(struct ui *ui, const char *path, bool strict, struct ferry_plan **ret);

/* ---- lost.c: routers that a plan does without ---- */
int ui_lose_routers(struct ui *ui, const struct ui_selection *s, struct ferry_live *live,
                    const struct ferry_move *moves, size_t n_moves);
/* -FERRY_EREFUSED (rule debt): said as early as it is known; begin asks again. */
int ui_refuse_debts(struct ui *ui, const struct ferry_plan *plan);
void ui_debts_text(const struct ui *ui, struct json_object *debts); /* nothing where there are none */

/* ---- plan_text.c, plan_native.c ---- */
void ui_plan_text(const struct ui *ui, const struct ferry_plan *plan, FILE *f);
/* One line for each machine that gets another address, or whose reserved one becomes its own. */
void ui_plan_addresses_text(const struct ui *ui, const struct ferry_plan *plan, FILE *f);
int ui_plan_native(struct ui *ui, const struct ferry_plan *plan, FILE *f);
/* "app, web … and 197 more" of a group. */
void ui_group_label(const struct ui *ui, const struct ferry_group *g, FILE *f);

/* ---- record.c ---- */
void ui_record_text(const struct ui *ui, const struct ferry_txn_record *r, FILE *f);
void ui_hands_text(const struct ui *ui, const struct ferry_hand *hands, size_t n, FILE *f);
/* "0.016 s", malloc'd; NULL where it has not ended, or the clock was set back meanwhile. */
char *ui_took_text(const struct ferry_txn_record *r);
void ui_outages_text(const struct ui *ui, const struct ferry_txn_record *r, FILE *f);
/* What became of a hook, with its output. */
void ui_hook_text(const struct ui *ui, const struct ferry_txn_hook *h, FILE *f);
/* What is paused, and how to go on. */
void ui_paused_text(const struct ui *ui, const struct ferry_txn_record *r, FILE *f);
/* The same of one that has no plan. */
void ui_paused_after_text(const struct ui *ui, const struct ferry_txn_record *r, size_t n_stages, FILE *f);

extern const struct ui_verb ui_verb_validate, ui_verb_status, ui_verb_plan, ui_verb_prove, ui_verb_apply,
    ui_verb_rollback, ui_verb_recover, ui_verb_drill, ui_verb_test_failover, ui_verb_trace, ui_verb_confirm,
    ui_verb_extend, ui_verb_history, ui_verb_show, ui_verb_rules, ui_verb_networks, ui_verb_addresses,
    ui_verb_resume, ui_verb_retry, ui_verb_skip, ui_verb_audit, ui_verb_reconcile, ui_verb_lab,
    ui_verb_version, ui_verb_help, ui_verb_complete;

#endif
