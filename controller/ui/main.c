/* The program `ferry`: global options, then one verb.  Everything a verb does stands in its own file.
 * SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include "base/secret.h"
#include "base/std.h"
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

const struct ui_verb *const ui_verbs[] = {
    &ui_verb_validate,  &ui_verb_status,   &ui_verb_plan,
    &ui_verb_prove,     &ui_verb_apply,    &ui_verb_confirm,
    &ui_verb_extend,    &ui_verb_resume,   &ui_verb_retry,
    &ui_verb_skip,      &ui_verb_rollback, &ui_verb_recover,
    &ui_verb_reconcile, &ui_verb_drill,    &ui_verb_test_failover,
    &ui_verb_trace,     &ui_verb_history,  &ui_verb_show,
    &ui_verb_audit,     &ui_verb_rules,    &ui_verb_networks,
    &ui_verb_addresses, &ui_verb_lab,      &ui_verb_version,
    &ui_verb_help,      &ui_verb_complete, NULL,
};

const struct ui_verb *ui_verb_find(const char *name)
{
    for (size_t i = 0; ui_verbs[i]; i++)
        if (strcmp(ui_verbs[i]->name, name) == 0)
            return ui_verbs[i];
    return NULL;
}

static int unknown_verb(struct ui *ui, const char *word)
{
    const char *names[32];
    size_t n = 0;
    for (size_t i = 0; ui_verbs[i]; i++)
        if (!ui_verbs[i]->hidden)
            names[n++] = ui_verbs[i]->name;
    const char *near = ui_nearest(word, names, n);
    if (near)
        return ferry_error(&ui->err, FERRY_EUSAGE, "unknown verb '%s'; did you mean '%s'?", word, near);
    return ferry_error(&ui->err, FERRY_EUSAGE, "unknown verb '%s'; `ferry help` lists them", word);
}

/* The options before the verb; `ret_at` is the verb's index in argv, or argc. */
static int before_verb(struct ui *ui, int argc, char **argv, int *ret_at)
{
    static const struct ui_verb top = {.name = ""};
    return ui_verb_parse(ui, &top, argc, argv, ret_at);
}

/* Whether --json stands anywhere: for errors that arise before all options are read. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-j") == 0 || strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

static int parse_and_run(struct ui *ui, const struct ui_verb *verb, int argc, char **argv, void *options)
{
    int r = ui_verb_parse(ui, verb, argc, argv, options);
    if (r < 0)
        return r;
    ui_term_init(ui);
    if (ui->version)
        return ui_verb_version.run(ui, options);
    if (ui->help) {
        ui_help_print(ui, verb);
        return UI_OK;
    }
    return verb->run(ui, options);
}

static int run_verb(struct ui *ui, const struct ui_verb *verb, int argc, char **argv)
{
    FERRY_AUTOFREE void *options = ferry_calloc(1, verb->options_size);
    ((struct ui_options *)options)->ui = ui;
    ui->verb = verb->name;
    int r = parse_and_run(ui, verb, argc, argv, options);
    if (verb->clear)
        verb->clear(options);
    return r;
}

static int run(struct ui *ui, int argc, char **argv)
{
    int at = argc;
    int r = ui_environment(ui);
    if (r == 0)
        r = before_verb(ui, argc, argv, &at);
    if (r < 0)
        return r;
    ui_term_init(ui);
    if (ui->version)
        return ui_verb_version.run(ui, &(struct ui_options){ui});
    if (ui->help) {
        ui_help_print(ui, NULL);
        return UI_OK;
    }
    if (at >= argc)
        return ferry_error(&ui->err, FERRY_EUSAGE, "a verb is needed; `ferry help` lists them");
    const struct ui_verb *verb = ui_verb_find(argv[at]);
    return verb ? run_verb(ui, verb, argc - at, argv + at) : unknown_verb(ui, argv[at]);
}

static void log_to_stderr(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    (void)ctx;
    if (level > FERRY_LOG_WARNING && !getenv("FERRY_DEBUG"))
        return;
    flockfile(stderr);
    fprintf(stderr, "ferry: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    funlockfile(stderr);
}

int main(int argc, char **argv)
{
    ferry_std_keep();
    ferry_no_core();
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN); /* a closed pipe must not end a transaction half way */
    setenv("ARGP_HELP_FMT", "no-dup-args-note,rmargin=100", 0);
    struct ui ui = {.state_dir = UI_STATE_DIR, .env = ferry_env_real};
    ui.env.log = log_to_stderr;
    ui_term_init(&ui);
    int r = run(&ui, argc, argv);
    if (r < 0) {
        ui.json = ui.json || wants_json(argc, argv);
        r = ui_fail(&ui, r);
    }
    json_object_put(ui.details);
    /* A reader that has seen enough (`| head`) is no failure. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
        fprintf(stderr, "ferry: cannot write the output: %s%s\n", strerror(errno),
                ui.wrote ? "; what was done is done: `ferry show last`" : "");
        if (!ui.wrote && (r == UI_OK || r == UI_DIFFERENT)) /* 1 would say that nothing was written */
            r = UI_ERROR;
    }
    return r;
}
