/* The hidden `ferry __complete LINE`: what may stand at the end of a command line, one a line.
 *
 * ferry.bash hands over the line up to the cursor and knows nothing itself.  Names come from the topology and
 * the journal that the line (or the environment) names.  "<files>" asks the shell for file names.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include <ferry/recovery.h>
#include <string.h>

#define MAX_WORDS 256

struct complete_options {
    struct ui *ui;
    const char *line;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct complete_options *o = state->input;
    if (key != ARGP_KEY_ARG || o->line)
        return ARGP_ERR_UNKNOWN;
    o->line = arg;
    return 0;
}

static const struct argp argp = {.parser = parse};

struct line {
    char *text; /* cut into words */
    const char *words[MAX_WORDS];
    size_t n;            /* the last one is being typed, perhaps empty */
    const char *current; /* that one; of `--move=app` what follows the `=` */
    const struct ui_verb *verb;
    size_t verb_at;
};

/* Blanks part words; quotes and backslashes keep them together, as far as names and paths need it. */
static void split(struct line *l, const char *text)
{
    char *out = l->text = ferry_strdup(text);
    const char *p = text;
    for (;;) {
        while (*p == ' ' || *p == '\t')
            p++;
        if (l->n == MAX_WORDS)
            return;
        l->words[l->n++] = out;
        for (char quote = 0; *p && (quote || (*p != ' ' && *p != '\t')); p++) {
            if (quote ? *p == quote : (*p == '"' || *p == '\''))
                quote = quote ? 0 : *p;
            else if (*p == '\\' && p[1] && !quote)
                *out++ = *++p;
            else
                *out++ = *p;
        }
        bool more = *p != '\0';
        *out++ = '\0';
        if (!more)
            return;
        p++;
    }
}

static void line_clear(struct line *l)
{
    free(l->text);
}

static void offer(const struct line *l, const char *candidate)
{
    if (strncmp(candidate, l->current, strlen(l->current)) == 0)
        printf("%.*s%s\n", (int)(l->current - l->words[l->n - 1]), l->words[l->n - 1], candidate);
}

static void offer_all(const struct line *l, const char *const *candidates)
{
    for (; *candidates; candidates++)
        offer(l, *candidates);
}

/* ---- Names ---- */

static void topology_file(struct ui *ui, const struct line *l)
{
    for (size_t i = 1; i + 1 < l->n; i++) {
        if (strcmp(l->words[i], "-t") == 0 || strcmp(l->words[i], "--topology") == 0)
            ui->topology_file = l->words[i + 1];
        else if (strncmp(l->words[i], "--topology=", 11) == 0)
            ui->topology_file = l->words[i] + 11;
        else if (strcmp(l->words[i], "--state-dir") == 0)
            ui->state_dir = l->words[i + 1];
        else if (strncmp(l->words[i], "--state-dir=", 12) == 0)
            ui->state_dir = l->words[i] + 12;
    }
}

static bool has_gateway(const struct ferry_topology *t, size_t subnet, size_t site)
{
    for (size_t i = 0; i < t->subnets[subnet].n_gateways; i++)
        if (t->routers[t->subnets[subnet].gateways[i].router].site == site)
            return true;
    return false;
}

static void offer_pairs(const struct line *l, const struct ferry_topology *t)
{
    const char *equals = strchr(l->current, '=');
    for (size_t i = 0; i < t->n_subnets; i++) {
        char prefix[FERRY_PREFIX_STRLEN];
        const char *names[] = {t->subnets[i].name, ferry_prefix_text(&t->subnets[i].prefix, prefix)};
        for (size_t k = 0; k < FERRY_COUNT(names); k++) {
            size_t len = strlen(names[k]);
            if (!equals && (k == 0 || l->current[0])) {
                FERRY_AUTOFREE char *half = ferry_asprintf("%s=", names[k]);
                offer(l, half);
            } else if (equals && len == (size_t)(equals - l->current) &&
                       strncmp(names[k], l->current, len) == 0) {
                for (size_t s = 0; s < t->n_sites; s++) {
                    if (!has_gateway(t, i, s))
                        continue;
                    FERRY_AUTOFREE char *whole = ferry_asprintf("%s=%s", names[k], t->sites[s].name);
                    offer(l, whole);
                }
            }
        }
    }
}

/* "NAME=" for each name, then what may stand behind it. */
static void offer_behind(const struct line *l, const char *name, const struct ferry_networks *n,
                         const char *nowhere)
{
    size_t len = strlen(name);
    if (!strchr(l->current, '=')) {
        FERRY_AUTOFREE char *half = ferry_asprintf("%s=", name);
        offer(l, half);
        return;
    }
    if (strncmp(l->current, name, len) != 0 || l->current[len] != '=')
        return;
    for (size_t i = 0; i <= n->n_networks; i++) {
        FERRY_AUTOFREE char *whole =
            ferry_asprintf("%s=%s", name, i < n->n_networks ? n->networks[i].name : nowhere);
        offer(l, whole);
    }
}

static void offer_networks(const struct line *l, const char *what, const struct ferry_networks *n)
{
    for (size_t i = 0; n && i < n->n_networks; i++) {
        if (strcmp(what, "NETWORK") == 0)
            offer(l, n->networks[i].name);
        if (strcmp(what, "NETWORK=NETWORK") == 0)
            offer_behind(l, n->networks[i].name, n, "none");
    }
    for (size_t i = 0; n && i < n->n_workloads; i++) {
        if (strcmp(what, "MACHINE") == 0)
            offer(l, n->workloads[i].name);
        if (strcmp(what, "MACHINE=NETWORK") == 0)
            offer_behind(l, n->workloads[i].name, n, "disconnected");
    }
}

static void offer_names(struct ui *ui, const struct line *l, const char *what)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    if (ui_topology_load(ui, &t) < 0)
        return;
    if (strcmp(what, "SUBNET=SITE") == 0)
        offer_pairs(l, t);
    offer_networks(l, what, t->networks);
    for (size_t i = 0; strcmp(what, "SITE") == 0 && i < t->n_sites; i++)
        offer(l, t->sites[i].name);
    for (size_t i = 0; strcmp(what, "ROUTER") == 0 && i < t->n_routers; i++)
        offer(l, t->routers[i].name);
    for (size_t i = 0; strcmp(what, "PLAN") == 0 && t->recovery && i < t->recovery->n; i++)
        offer(l, t->recovery->v[i].name);
}

static void offer_transactions(struct ui *ui, const struct line *l)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records list = {0};
    offer(l, "last");
    if (ui_journal_look(ui, &journal) < 0 || !journal ||
        ferry_journal_list(journal, 0, &list.v, &list.n, &ui->err) < 0)
        return;
    for (size_t i = 0; i < list.n; i++)
        offer(l, list.v[i]->id);
}

/* ---- Options ---- */

static const struct argp_option *find_option(const struct argp *a, const char *word)
{
    for (const struct argp_option *o = a->options; o && (o->name || o->key || o->doc); o++) {
        if (o->name && strncmp(word, "--", 2) == 0 && strcmp(o->name, word + 2) == 0)
            return o;
        if (word[0] == '-' && word[1] && !word[2] && o->key == word[1])
            return o;
    }
    for (const struct argp_child *c = a->children; c && c->argp; c++) {
        const struct argp_option *o = find_option(c->argp, word);
        if (o)
            return o;
    }
    return NULL;
}

static void offer_options(const struct line *l, const struct argp *a)
{
    for (const struct argp_option *o = a->options; o && (o->name || o->key || o->doc); o++) {
        if (!o->name || (o->flags & OPTION_HIDDEN))
            continue;
        FERRY_AUTOFREE char *text = ferry_asprintf("--%s", o->name);
        offer(l, text);
    }
    for (const struct argp_child *c = a->children; c && c->argp; c++)
        offer_options(l, c->argp);
}

/* The option that a word names, of the verb or global. */
static const struct argp_option *option_of(const struct line *l, const char *word)
{
    const struct argp_option *o = find_option(&ui_global_argp, word);
    return o || !l->verb ? o : find_option(l->verb->argp, word);
}

/* Those that can be overridden. */
static void offer_rules(const struct line *l)
{
    for (unsigned i = 0; i < ferry_n_rules; i++)
        if (!ferry_rules[i].firm)
            offer(l, ferry_rules[i].name);
}

static void offer_value(struct ui *ui, const struct line *l, const struct argp_option *option)
{
    static const char *const colors[] = {"auto", "always", "never", NULL};
    static const char *const formats[] = {"text", "native", "json", NULL};
    static const char *const phases[] = {"prepare", "detach", "settle", NULL};
    static const char *const results[] = {"passed", "failed", NULL};
    static const char *const modes[] = {"planned", "disaster", NULL};
    const char *what = option->arg;
    if (strcmp(what, "TX") == 0)
        offer_transactions(ui, l);
    else if (strcmp(what, "FILE") == 0 || strcmp(what, "DIR") == 0)
        puts("<files>");
    else if (strcmp(option->name, "color") == 0)
        offer_all(l, colors);
    else if (strcmp(what, "FORMAT") == 0)
        offer_all(l, formats);
    else if (strcmp(what, "MODE") == 0)
        offer_all(l, modes);
    else if (strcmp(what, "RESULT") == 0)
        offer_all(l, results);
    else if (strcmp(what, "PHASE") == 0)
        offer_all(l, phases);
    else if (strcmp(what, "RULE") == 0)
        offer_rules(l);
    else
        offer_names(ui, l, what);
}

static size_t arguments(const struct line *l)
{
    size_t n = 0;
    for (size_t i = l->verb_at + 1; i + 1 < l->n; i++) {
        const struct argp_option *o = l->words[i][0] == '-' ? option_of(l, l->words[i]) : NULL;
        if (o && o->arg)
            i++;
        else if (l->words[i][0] != '-')
            n++;
    }
    return n;
}

static void offer_verbs(const struct line *l)
{
    for (size_t i = 0; ui_verbs[i]; i++)
        if (!ui_verbs[i]->hidden)
            offer(l, ui_verbs[i]->name);
}

static bool one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static void offer_argument(struct ui *ui, const struct line *l)
{
    static const char *const lab[] = {"up", "down", "status", NULL};
    static const char *const audit[] = {"head", "verify", NULL};
    static const char *const of_files[] = {"validate", "prove", "apply", "drill", NULL};
    static const char *const of_transactions[] = {"rollback", "show",  "confirm", "extend",
                                                  "resume",   "retry", "skip",    NULL};
    const char *verb = l->verb->name;
    size_t n = arguments(l);
    if (strcmp(verb, "lab") == 0 && n == 0)
        offer_all(l, lab);
    else if (strcmp(verb, "audit") == 0 && n == 0)
        offer_all(l, audit);
    else if (strcmp(verb, "lab") == 0 && n == 1)
        puts("<files>");
    else if (strcmp(verb, "help") == 0 && n == 0)
        offer_verbs(l);
    else if (strcmp(verb, "addresses") == 0)
        offer_names(ui, l, "MACHINE");
    else if (one_of(verb, of_transactions) && n == 0)
        offer_transactions(ui, l);
    else if (one_of(verb, of_files) && n == 0)
        puts("<files>");
    else if (strcmp(verb, "reconcile") == 0)
        offer_names(ui, l, "ROUTER");
}

static void find_verb(struct line *l)
{
    for (size_t i = 1; i + 1 < l->n && !l->verb; i++) {
        const struct argp_option *o =
            l->words[i][0] == '-' ? find_option(&ui_global_argp, l->words[i]) : NULL;
        if (o && o->arg)
            i++;
        else if (l->words[i][0] != '-') {
            l->verb = ui_verb_find(l->words[i]);
            l->verb_at = i;
            return;
        }
    }
}

/* The option whose value is being typed, after it or behind its `=`; NULL: none. */
static const struct argp_option *value_of(struct line *l)
{
    const char *equals = strncmp(l->current, "--", 2) == 0 ? strchr(l->current, '=') : NULL;
    const struct argp_option *option = NULL;
    if (l->n >= 2 && l->words[l->n - 2][0] == '-')
        option = option_of(l, l->words[l->n - 2]);
    if ((option && option->arg) || !equals)
        return option && option->arg ? option : NULL;
    FERRY_AUTOFREE char *name = ferry_asprintf("%.*s", (int)(equals - l->current), l->current);
    option = option_of(l, name);
    if (!option || !option->arg)
        return NULL;
    l->current = equals + 1;
    return option;
}

static int run(struct ui *ui, void *opaque)
{
    const struct complete_options *o = opaque;
    FERRY_CLEANUP(line_clear) struct line l = {0};
    if (!o->line)
        return UI_OK;
    split(&l, o->line);
    l.current = l.words[l.n - 1];
    find_verb(&l);
    topology_file(ui, &l);
    const struct argp_option *option = value_of(&l);
    if (option) {
        offer_value(ui, &l, option);
    } else if (l.current[0] == '-') {
        offer_options(&l, &ui_global_argp);
        if (l.verb)
            offer_options(&l, l.verb->argp);
    } else if (l.verb) {
        offer_argument(ui, &l);
    } else if (!l.verb_at) {
        offer_verbs(&l);
    }
    return UI_OK;
}

const struct ui_verb ui_verb_complete = {
    .name = "__complete",
    .args = "LINE",
    .purpose = "For shell completion.",
    .argp = &argp,
    .options_size = sizeof(struct complete_options),
    .hidden = true,
    .run = run,
};
