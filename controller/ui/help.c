/* Help to work from, and `version`.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <string.h>

static const char top_tail[] =
    "\n"
    "Global options (before or after the verb; each also as a variable):\n"
    "  -t, --topology FILE   the topology file                        FERRY_TOPOLOGY\n"
    "      --state-dir DIR   journal and lock (" UI_STATE_DIR ")         FERRY_STATE_DIR\n"
    "  -j, --json            one JSON document on stdout              FERRY_JSON=1\n"
    "      --color WHEN      auto, always or never                    FERRY_COLOR\n"
    "      --socket PATH     where ferryd listens (status, confirm, extend) FERRY_SOCKET\n"
    "      --no-daemon       do not ask ferryd, also where it runs    FERRY_NO_DAEMON=1\n"
    "  -h, --help            this help; after a verb: the verb's\n"
    "  -V, --version         the version\n"
    "\n"
    "SUBNET is a name or a prefix of the topology; TX is a transaction's id or its beginning;\n"
    "a DURATION is 90s, 5m, 2h or 500ms.  Results go to stdout, progress and messages to stderr.\n"
    "Verbs that write ask first on a terminal; --yes answers; without either they refuse.\n"
    "\n"
    "Examples:\n"
    "  ferry -t site.json validate\n"
    "  ferry -t site.json status\n"
    "  ferry -t site.json plan --move app=recovery --out move.plan\n"
    "  ferry prove move.plan\n"
    "  ferry -t site.json apply move.plan --probe 192.168.1.10\n"
    "  ferry rollback\n"
    "\n"
    "Exit status:\n"
    "   0  done; or nothing to do\n"
    "   1  error; nothing was written anywhere\n"
    "   2  with --detailed-exitcode: there are differences\n"
    "   3  drift: a router is no longer as the plan found it; nothing was written\n"
    "   4  refused by a precheck or a safety rule, which is named; nothing was written\n"
    "   5  failed, rolled back, and the rollback verified\n"
    "   6  partial or unknown: a person is needed; what is known of every router is shown\n"
    "   7  awaiting a person: applied and verified, for `ferry confirm`; or paused, for `ferry resume`\n"
    "   8  another transaction holds the lock, or another controller works on one of the routers\n"
    "  64  usage: unknown verb, option, subnet, site, router or transaction\n"
    "  65  bad input file (missing or unreadable too)\n"
    "\n"
    "Files:\n"
    "  " UI_STATE_DIR "                     the journal of all transactions, and the lock\n"
    "  /etc/iproute2/rt_protos.d/ferry.conf   the name of Ferry's routes in `ip route`: protocol 210\n";

static void help_top(FILE *f)
{
    fputs("Usage: ferry [OPTION...] VERB [ARGUMENT...]\n"
          "Moves whole IP subnets between sites: planned, proven, applied, verified, and undone exactly.\n"
          "\n"
          "Verbs (`ferry help VERB` says more):\n",
          f);
    for (size_t i = 0; ui_verbs[i]; i++)
        if (!ui_verbs[i]->hidden)
            fprintf(f, "  %-13s %s\n", ui_verbs[i]->name, ui_verbs[i]->purpose);
    fputs(top_tail, f);
}

static void help_verb(const struct ui_verb *verb, FILE *f)
{
    FERRY_AUTOFREE char *doc =
        ferry_asprintf("\n%s\v%s", verb->purpose, verb->examples ? verb->examples : "");
    FERRY_AUTOFREE char *name = ferry_asprintf("ferry %s", verb->name);
    struct argp_child children[3] = {{.argp = verb->argp}, {.argp = &ui_global_argp}, {0}};
    struct argp argp = {.args_doc = verb->args, .doc = doc, .children = children};
    argp_help(&argp, f, ARGP_HELP_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG | ARGP_HELP_POST_DOC, name);
}

void ui_help_print(const struct ui *ui, const struct ui_verb *verb)
{
    FERRY_AUTOFREE char *text = NULL;
    size_t size;
    FILE *f = ui->json ? open_memstream(&text, &size) : stdout;
    if (!f)
        abort();
    if (verb)
        help_verb(verb, f);
    else
        help_top(f);
    if (!ui->json)
        return;
    fclose(f);
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "help", json_object_new_string(text));
    ui_print_json(doc);
}

/* ---- help ---- */

struct help_options {
    struct ui *ui;
    const char *verb;
};

static error_t help_parse(int key, char *arg, struct argp_state *state)
{
    struct help_options *o = state->input;
    if (key != ARGP_KEY_ARG || o->verb)
        return ARGP_ERR_UNKNOWN;
    o->verb = arg;
    return 0;
}

static const struct argp help_argp = {.parser = help_parse};

static int help_run(struct ui *ui, void *options)
{
    const struct help_options *o = options;
    const struct ui_verb *verb = o->verb ? ui_verb_find(o->verb) : NULL;
    if (o->verb && !verb) {
        const char *names[32];
        size_t n = 0;
        for (size_t i = 0; ui_verbs[i]; i++)
            if (!ui_verbs[i]->hidden)
                names[n++] = ui_verbs[i]->name;
        const char *near = ui_nearest(o->verb, names, n);
        return ferry_error(&ui->err, FERRY_EUSAGE, "unknown verb '%s'%s%s%s", o->verb,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    ui_help_print(ui, verb);
    return UI_OK;
}

const struct ui_verb ui_verb_help = {
    .name = "help",
    .args = "[VERB]",
    .purpose = "Shows this help, or a verb's.",
    .examples = "Examples:\n  ferry help\n  ferry help plan\n",
    .argp = &help_argp,
    .options_size = sizeof(struct help_options),
    .run = help_run,
};

/* ---- version ---- */

static const struct argp version_argp = {0};

static int version_run(struct ui *ui, void *options)
{
    (void)options;
    if (ui->json) {
        struct json_object *doc = json_object_new_object();
        json_object_object_add(doc, "name", json_object_new_string("ferry"));
        json_object_object_add(doc, "version", json_object_new_string(FERRY_VERSION));
        ui_print_json(doc);
    } else {
        printf("ferry %s\n", FERRY_VERSION);
    }
    return UI_OK;
}

const struct ui_verb ui_verb_version = {
    .name = "version",
    .args = "",
    .purpose = "Shows the version.",
    .examples = "Examples:\n  ferry version\n",
    .argp = &version_argp,
    .options_size = sizeof(struct ui_options),
    .run = version_run,
};
