/* `ferry plan`: computes, proves, prints and saves a plan; writes to no router.
 * SPDX-License-Identifier: MIT */
#include "ui/recovery.h"

#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_OUT = 0x3000, KEY_FORMAT, KEY_REVERSE, KEY_DETAILED };

enum format { FORMAT_NONE, FORMAT_TEXT, FORMAT_NATIVE, FORMAT_JSON };

struct plan_options {
    struct ui *ui;
    struct ui_selection selection;
    struct ui_overrides overrides;
    const char *out;
    enum format format;
    bool reverse, detailed;
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Output:", 3},
    {"out", KEY_OUT, "FILE", 0, "Write the plan document there, whatever the format on stdout", 3},
    {"format", KEY_FORMAT, "FORMAT", 0, "text (default), native (the routers' own commands) or json", 3},
    {"reverse", KEY_REVERSE, NULL, 0, "Show (and write with --out) the undo instead", 3},
    {"detailed-exitcode", KEY_DETAILED, NULL, 0, "Exit with 2 where there is something to do", 3},
    {0},
};

static int set_format(struct plan_options *o, const char *name)
{
    if (strcmp(name, "text") == 0)
        o->format = FORMAT_TEXT;
    else if (strcmp(name, "native") == 0)
        o->format = FORMAT_NATIVE;
    else if (strcmp(name, "json") == 0)
        o->format = FORMAT_JSON;
    else
        return ui_usage(o->ui, "--format: '%s' is none of text, native, json", name);
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct plan_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->selection.ui = o->ui;
        o->selection.overrides = &o->overrides.set;
        state->child_inputs[0] = state->child_inputs[1] = &o->selection;
        state->child_inputs[2] = &o->overrides;
        return 0;
    case KEY_OUT:
        if (!*arg)
            return ui_usage(o->ui, "--out needs a file");
        o->out = arg;
        return 0;
    case KEY_FORMAT:
        return set_format(o, arg);
    case KEY_REVERSE:
        o->reverse = true;
        return 0;
    case KEY_DETAILED:
        o->detailed = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {.argp = &ui_selection_argp}, {.argp = &ui_offline_argp}, {.argp = &ui_override_argp}, {0}};
static const struct argp argp = {.options = options, .parser = parse, .children = children};

static int write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

#define LINKS 40 /* as many as the kernel follows: path_resolution(7) */

/* Where symbolic links lead, also to nothing yet, malloc'd; NULL: in circles.  realpath(3) wants an end that is
 * there. */
static char *follow(const char *path)
{
    char *at = ferry_strdup(path), target[PATH_MAX];
    for (unsigned i = 0; i < LINKS; i++) {
        ssize_t n = readlink(at, target, sizeof target - 1);
        if (n < 0)
            return at;
        target[n] = '\0';
        const char *slash = target[0] == '/' ? NULL : strrchr(at, '/');
        char *next = ferry_asprintf("%.*s%s", slash ? (int)(slash + 1 - at) : 0, at, target);
        free(at);
        at = next;
    }
    free(at);
    return NULL;
}

/* A regular file appears whole or not at all; a device or pipe is written to as it is, and a link stays one. */
static int write_file(struct ui *ui, const char *given, const char *text)
{
    struct stat st;
    FERRY_AUTOFREE char *path = follow(given);
    if (!path)
        return ferry_error(&ui->err, FERRY_EIO, "--out: cannot write %s: %s", given, strerror(ELOOP));
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    FERRY_AUTOFREE char *temporary = ferry_asprintf("%s.%ld.tmp", path, (long)getpid());
    const char *to = special ? path : temporary;
    int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC | (special ? 0 : O_EXCL), 0666);
    if (fd < 0)
        return ferry_error(&ui->err, FERRY_EIO, "--out: cannot write %s: %s", given, strerror(errno));
    int r = write_all(fd, text, strlen(text));
    if (r == 0 && !special && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && !special && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0 && !special)
        unlink(temporary);
    return r < 0 ? ferry_error(&ui->err, FERRY_EIO, "--out: cannot write %s: %s", given, strerror(-r)) : 0;
}

static int reverse(struct ui *ui, struct ferry_plan **plan)
{
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *undo = NULL;
    int r = ferry_plan_reverse(*plan, &undo, &ui->err);
    if (r == 0)
        r = ui_plan_prove(ui, undo);
    if (r < 0)
        return r;
    ferry_plan_free(*plan);
    *plan = FERRY_STEAL(undo);
    return 0;
}

static int print(struct ui *ui, const struct plan_options *o, const struct ferry_plan *plan,
                 const char *document)
{
    enum format format = ui->json ? FORMAT_JSON : o->format ? o->format : FORMAT_TEXT;
    if (format == FORMAT_JSON)
        return fputs(document, stdout), 0;
    if (format == FORMAT_NATIVE)
        return ui_plan_native(ui, plan, stdout);
    ui_plan_text(ui, plan, stdout);
    if (ferry_plan_is_empty(plan) || o->reverse)
        return 0;
    if (o->selection.offline)
        printf("Planned offline: the routers may hold something else; plan from them before you apply.\n");
    else if (o->out)
        printf("Apply it: ferry -t %s apply %s\n", ui->topology_file, o->out);
    else
        printf("Keep it with --out FILE and apply it: ferry -t %s apply FILE\n", ui->topology_file);
    return 0;
}

static int make(struct ui *ui, const struct plan_options *o, struct ferry_plan **ret)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    struct ferry_fleet_config config = ui_fleet_config(ui);
    if (!ui_selection_given(&o->selection))
        return ferry_error(&ui->err, FERRY_EUSAGE,
                           "plan: nothing to plan: give --move SUBNET=SITE, --evacuate SITE --to SITE, "
                           "--failback, --network NETWORK or --recovery-plan PLAN");
    int r = ui_topology_load(ui, &t);
    if (r == 0 && !o->selection.offline)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    if (r == 0)
        r = ui_plan_select(ui, &o->selection, t, fleet, &plan);
    if (r == 0 && o->reverse)
        r = reverse(ui, &plan);
    if (r == 0)
        r = ferry_plan_check_readable(plan, &ui->err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(plan);
    return 0;
}

/* A recovery plan: a plan for each of its groups. */
static int run_recovery(struct ui *ui, const struct plan_options *o)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(ui_recovery_clear) struct ui_recovery steps = {0};
    struct ferry_fleet_config config = ui_fleet_config(ui);
    bool any = false;
    if (o->reverse)
        return ferry_error(&ui->err, FERRY_EUSAGE, "plan: --reverse is of one plan, not of a recovery plan");
    int r = ui_topology_load(ui, &t);
    if (r == 0 && !o->selection.offline)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r == 0)
        r = ui_recovery_select(ui, &o->selection, t, fleet, &steps);
    if (r < 0)
        return r;
    FERRY_AUTOFREE char *document = ui_recovery_write(&steps);
    if (o->out && (r = write_file(ui, o->out, document)) < 0)
        return r;
    if (ui->json || o->format == FORMAT_JSON)
        fputs(document, stdout);
    else if (o->format != FORMAT_NATIVE)
        ui_recovery_text(ui, &steps, stdout);
    for (size_t i = 0; r == 0 && i < steps.n; i++) {
        any |= !ferry_plan_is_empty(steps.v[i].plan);
        if (!ui->json && o->format == FORMAT_NATIVE)
            r = ui_plan_native(ui, steps.v[i].plan, stdout);
    }
    return r < 0 ? r : o->detailed && any ? UI_DIFFERENT : UI_OK;
}

static int run(struct ui *ui, void *opaque)
{
    struct plan_options *o = opaque;
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    int r = ui_overrides_check(ui, &o->overrides);
    if (r == 0 && ui->json && o->format != FORMAT_NONE && o->format != FORMAT_JSON)
        r = ferry_error(&ui->err, FERRY_EUSAGE, "plan: --json and --format %s exclude each other",
                        o->format == FORMAT_TEXT ? "text" : "native");
    if (r == 0 && o->selection.recovery)
        return run_recovery(ui, o);
    if (r == 0)
        r = make(ui, o, &plan);
    if (r < 0)
        return r;
    FERRY_AUTOFREE char *document = ferry_plan_write(plan, true);
    if (o->out && (r = write_file(ui, o->out, document)) < 0)
        return r;
    if ((r = print(ui, o, plan, document)) < 0)
        return r;
    return o->detailed && !ferry_plan_is_empty(plan) ? UI_DIFFERENT : UI_OK;
}

static void clear(void *opaque)
{
    ui_selection_clear(&((struct plan_options *)opaque)->selection);
    ui_overrides_clear(&((struct plan_options *)opaque)->overrides);
}

const struct ui_verb ui_verb_plan = {
    .name = "plan",
    .args = "",
    .purpose = "Computes a safe move from what the routers hold now, proves it and shows it.",
    .examples = "Nothing is written to any router.  The text shows, for each stage and router, what is added "
                "(+), removed (-) "
                "and changed (~), and why.  --format native prints the exact commands, in order: a "
                "shell script where all routers are this machine or its namespaces, else blocks for the "
                "routers that they name.\n\n"
                "Examples:\n"
                "  ferry -t site.json plan --move app=recovery\n"
                "  ferry -t site.json plan --move app=recovery --move 10.8.0.0/16=third --out move.plan\n"
                "  ferry -t site.json plan --evacuate primary --to recovery --format native\n"
                "  ferry -t site.json plan --network VMNetwork1-NewYork\n"
                "  ferry -t site.json plan --failback --reverse\n"
                "  ferry -t site.json plan --offline --active app=recovery --move app=primary --json\n\n"
                "Exit status: 0, also where there is nothing to do; with --detailed-exitcode 2 where there "
                "is something; "
                "4 where no safe plan exists, with the rule.\n",
    .argp = &argp,
    .options_size = sizeof(struct plan_options),
    .run = run,
    .clear = clear,
};
