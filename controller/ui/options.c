/* The global options, their FERRY_… variables, and the parsing of one verb's command line by argp.
 *
 * argp neither prints nor exits here: errors become ui->err, so that --json holds for them too.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/duration.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "watch/wire.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { KEY_STATE_DIR = 0x1000, KEY_COLOR, KEY_SOCKET, KEY_NO_DAEMON };

static const struct argp_option global_options[] = {
    {NULL, 0, NULL, 0, "Global options (before or after the verb):", -2},
    {"topology", 't', "FILE", 0, "The topology file (FERRY_TOPOLOGY)", -2},
    {"state-dir", KEY_STATE_DIR, "DIR", 0, "Journal and lock (FERRY_STATE_DIR; " UI_STATE_DIR ")", -2},
    {"json", 'j', NULL, 0, "Print one JSON document on stdout (FERRY_JSON=1)", -2},
    {"color", KEY_COLOR, "WHEN", 0, "auto, always or never (FERRY_COLOR)", -2},
    {"socket", KEY_SOCKET, "PATH", 0, "Where ferryd listens (FERRY_SOCKET; " FERRY_WIRE_SOCKET ")", -2},
    {"no-daemon", KEY_NO_DAEMON, NULL, 0, "Do not ask ferryd, also where it runs (FERRY_NO_DAEMON=1)", -2},
    {"help", 'h', NULL, 0, "Show this help", -1},
    {"version", 'V', NULL, 0, "Show the version", -1},
    {0},
};

int ui_usage(struct ui *ui, const char *fmt, ...)
{
    char text[sizeof ui->err.text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ferry_error(&ui->err, FERRY_EUSAGE, "%s", text);
    return EINVAL;
}

int ui_text_check(struct ui *ui, const char *option, const char *arg)
{
    size_t n = 1;
    if (!*arg)
        return ui_usage(ui, "%s needs a value", option);
    for (const char *p = arg; *p && n; p += n)
        n = ferry_utf8_length(p, strlen(p));
    return n ? 0 : ui_usage(ui, "%s: the text is not UTF-8", option);
}

static int set_color(struct ui *ui, const char *from, const char *when)
{
    if (strcmp(when, "auto") == 0)
        ui->color = UI_COLOR_AUTO;
    else if (strcmp(when, "always") == 0)
        ui->color = UI_COLOR_ALWAYS;
    else if (strcmp(when, "never") == 0)
        ui->color = UI_COLOR_NEVER;
    else
        return ui_usage(ui, "%s: '%s' is none of auto, always, never", from, when);
    return 0;
}

static error_t global_parse(int key, char *arg, struct argp_state *state)
{
    struct ui *ui = state->input;
    switch (key) {
    case 't':
        if (!*arg)
            return ui_usage(ui, "--topology needs a file");
        ui->topology_file = arg;
        return 0;
    case KEY_STATE_DIR:
        if (!*arg)
            return ui_usage(ui, "--state-dir needs a directory");
        ui->state_dir = arg;
        return 0;
    case KEY_SOCKET:
        if (!*arg)
            return ui_usage(ui, "--socket needs a path");
        ui->socket = arg;
        return 0;
    case KEY_NO_DAEMON:
        ui->no_daemon = true;
        return 0;
    case 'j':
        ui->json = true;
        return 0;
    case KEY_COLOR:
        return set_color(ui, "--color", arg);
    case 'h':
        ui->help = true;
        return 0;
    case 'V':
        ui->version = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp ui_global_argp = {.options = global_options, .parser = global_parse};

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* 1 or 0; unset: as it was. */
static int flag_variable(struct ui *ui, const char *name, bool *ret)
{
    const char *value = variable(name);
    if (!value)
        return 0;
    bool yes = !strcasecmp(value, "1") || !strcasecmp(value, "true") || !strcasecmp(value, "yes");
    bool no = !strcasecmp(value, "0") || !strcasecmp(value, "false") || !strcasecmp(value, "no");
    if (!yes && !no)
        return ferry_error(&ui->err, FERRY_EUSAGE, "%s: '%s' is neither 1 nor 0", name, value);
    *ret = yes;
    return 0;
}

int ui_environment(struct ui *ui)
{
    const char *value;
    if ((value = variable("FERRY_TOPOLOGY")))
        ui->topology_file = value;
    if ((value = variable("FERRY_STATE_DIR")))
        ui->state_dir = value;
    if ((value = variable("FERRY_COLOR")) && set_color(ui, "FERRY_COLOR", value))
        return -FERRY_EUSAGE;
    if ((value = variable("FERRY_SOCKET")))
        ui->socket = value;
    int r = flag_variable(ui, "FERRY_JSON", &ui->json);
    return r < 0 ? r : flag_variable(ui, "FERRY_NO_DAEMON", &ui->no_daemon);
}

int ui_duration_parse(const char *text, uint64_t *ret_us, struct ferry_err *err)
{
    return ferry_duration_parse(text, ret_us)
               ? 0
               : ferry_error(err, FERRY_EUSAGE, "'%s' is no duration; write 90s, 5m, 2h or 500ms", text);
}

int ui_seconds_parse(struct ui *ui, const char *what, const char *text, unsigned least, unsigned most,
                     unsigned *ret)
{
    uint64_t us;
    if (ui_duration_parse(text, &us, &ui->err) < 0)
        return ui_usage(ui, "%s: '%s' is no duration; write 90s, 5m or 2h", what, text);
    if (us < 1000000ull * least || us > 1000000ull * most || us % 1000000)
        return ui_usage(ui, "%s: %s is not between %us and %uh in whole seconds", what, text, least,
                        most / 3600);
    *ret = (unsigned)(us / 1000000);
    return 0;
}

/* Optimal string alignment distance, for short words. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t n = strlen(a), m = strlen(b), d[MAX + 1][MAX + 1];
    if (n > MAX || m > MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *ui_nearest(const char *word, const char *const *names, size_t n)
{
    const char *near = NULL;
    size_t best = strlen(word) <= 3 ? 2 : 4; /* nearer than this */
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, names[i]);
        if (d < best && d < strlen(names[i])) {
            best = d;
            near = names[i];
        }
    }
    return near;
}

/* ---- One verb's command line ---- */

struct parse {
    struct ui *ui;
    const struct argp *argp; /* the verb's; NULL: the options before the verb */
    void *options;           /* the verb's; before the verb: an int, where the verb stands */
};

static size_t collect_options(const struct argp *argp, const char **names, size_t n, size_t max)
{
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
        if (o->name && n < max)
            names[n++] = o->name;
    for (const struct argp_child *c = argp->children; c && c->argp; c++)
        n = collect_options(c->argp, names, n, max);
    return n;
}

static const struct argp_option *option_named(const struct argp *argp, const char *name)
{
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
        if (o->name && strcmp(o->name, name) == 0)
            return o;
    for (const struct argp_child *c = argp->children; c && c->argp; c++) {
        const struct argp_option *o = option_named(c->argp, name);
        if (o)
            return o;
    }
    return NULL;
}

/* Says what is wrong with an option that getopt did not take. */
static void explain(struct ui *ui, const struct argp *argp, const struct argp_state *state)
{
    const char *word = state->next > 0 && state->next <= state->argc ? state->argv[state->next - 1] : "";
    if (word[0] != '-' && state->next < state->argc)
        word = state->argv[state->next];
    if (strncmp(word, "--", 2) != 0) {
        bool value = word[0] == '-' && word[1] == 't' && !word[2];
        ui_usage(ui, value ? "%s needs a value: FILE" : "unknown option '%s'", word);
        return;
    }
    FERRY_AUTOFREE char *name = ferry_strdup(word + 2);
    name[strcspn(name, "=")] = '\0';
    const struct argp_option *o = option_named(argp, name);
    if (o) {
        ui_usage(ui, o->arg ? "--%s needs a value: %s" : "--%s takes no value%.0s", name,
                 o->arg ? o->arg : "");
        return;
    }
    const char *names[64];
    size_t n = collect_options(argp, names, 0, FERRY_COUNT(names)), fits = 0;
    for (size_t i = 0; i < n; i++)
        fits += strncmp(names[i], name, strlen(name)) == 0;
    const char *near = ui_nearest(name, names, n);
    if (fits > 1)
        ui_usage(ui, "--%s is ambiguous", name);
    else if (near)
        ui_usage(ui, "unknown option --%s; did you mean --%s?", name, near);
    else
        ui_usage(ui, "unknown option --%s", name);
}

static error_t verb_parse(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = p->ui;
        if (p->argp)
            state->child_inputs[1] = p->options;
        return 0;
    case ARGP_KEY_ARG: /* the verb: what follows is parsed with it */
        if (p->argp)
            return ARGP_ERR_UNKNOWN;
        *(int *)p->options = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_ERROR:
        if (!p->ui->err.text[0])
            explain(p->ui, state->root_argp, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int ui_verb_parse(struct ui *ui, const struct ui_verb *verb, int argc, char **argv, void *options)
{
    struct argp_child children[3] = {{.argp = &ui_global_argp}, {.argp = verb->argp}, {0}};
    struct argp argp = {.parser = verb_parse, .children = children};
    struct parse p = {ui, verb->argp, options};
    int end = argc;
    ui->err.text[0] = '\0';
    error_t e =
        argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP, &end, &p);
    if (e == 0 && end < argc && !ui->help && !ui->version)
        e = ui_usage(ui, "unexpected argument '%s'", argv[end]);
    if (e == 0 || ui->help || ui->version)
        return 0;
    if (!ui->err.text[0])
        ui_usage(ui, "%s", strerror(e));
    if (verb->name[0])
        ferry_error_prefix(&ui->err, -FERRY_EUSAGE, "%s", verb->name);
    return -FERRY_EUSAGE;
}
