/* `ferry audit`: who did what, and the proof that nobody has changed that since.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <string.h>
#include <time.h>

enum { KEY_TX = 0x7000, KEY_SINCE, KEY_ANCHOR };

struct audit_options {
    struct ui *ui;
    const char *what; /* "head", "verify", or NULL: list */
    const char *tx;   /* an id, its beginning, or "last"; NULL: all */
    char since[32];   /* the beginning of a time as entries have it; "": all */
    bool anchored;
    struct ferry_audit_anchor anchor;
};

static const struct argp_option options[] = {
    {"tx", KEY_TX, "TX", 0, "Only the entries of this transaction", 0},
    {"since", KEY_SINCE, "WHEN", 0, "Only what came after: 2026-11-28, 2026-11-28T06:30, or a DURATION ago",
     0},
    {"anchor", KEY_ANCHOR, "SEQ:HASH", 0, "verify: the log must hold what `ferry audit head` printed then",
     0},
    {0},
};

/* ---- The command line. ---- */

/* "2026-11-28", "2026-11-28T06:30", "2026-11-28T06:30:00.5Z": all of it a beginning of this. */
static bool looks_like_time(const char *text)
{
    static const char pattern[] = "0000-00-00T00:00:00.000000Z";
    size_t n = strlen(text);
    if (n < 10 || n >= sizeof pattern)
        return false;
    for (size_t i = 0; i < n; i++)
        if (pattern[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i] && text[i] != 'Z')
            return false;
    return true;
}

/* Whether the calendar has it, as far as it goes: a day that does not exist would select from somewhere else. */
static bool is_time(const char *text)
{
    char whole[] = "0000-01-01T00:00:00";
    struct tm asked = {0}, found;
    memcpy(whole, text, strcspn(text, "Z") < sizeof whole - 1 ? strcspn(text, "Z") : sizeof whole - 1);
    if (!strptime(whole, "%Y-%m-%dT%H:%M:%S", &asked))
        return false;
    found = asked;
    return timegm(&found) != -1 && found.tm_mday == asked.tm_mday;
}

static error_t since(struct audit_options *o, const char *arg)
{
    struct ferry_err ignored;
    uint64_t us = 0;
    if (looks_like_time(arg)) {
        if (!is_time(arg))
            return ui_usage(o->ui, "--since: there is no such time as '%s'", arg);
        snprintf(o->since, sizeof o->since, "%s", arg);
        o->since[strcspn(o->since, "Z")] = '\0';
        return 0;
    }
    if (ui_duration_parse(arg, &us, &ignored) < 0)
        return ui_usage(o->ui, "--since: '%s' is neither a time (2026-11-28T06:30:00Z) nor a duration (2h)",
                        arg);
    uint64_t now = o->ui->env.realtime_us(o->ui->env.ctx);
    ferry_time_text(us < now ? now - us : 1, o->since);
    o->since[strcspn(o->since, "Z")] = '\0';
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct audit_options *o = state->input;
    bool verify = o->what && !strcmp(o->what, "verify");
    switch (key) {
    case KEY_TX:
        o->tx = arg;
        return 0;
    case KEY_SINCE:
        return since(o, arg);
    case KEY_ANCHOR:
        o->anchored = true;
        return ferry_audit_anchor_parse(arg, &o->anchor, &o->ui->err) < 0 ? EINVAL : 0;
    case ARGP_KEY_ARG:
        if (o->what)
            return ARGP_ERR_UNKNOWN;
        if (strcmp(arg, "verify") && strcmp(arg, "head"))
            return ui_usage(o->ui, "'%s' is neither head nor verify", arg);
        o->what = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->anchored && !verify)
            return ui_usage(o->ui, "--anchor is for `ferry audit verify`");
        if (o->what && (o->tx || o->since[0]))
            return ui_usage(o->ui, "--tx and --since are for the list alone");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = options, .parser = parse};

/* ---- The list. ---- */

static const char *text_of(struct json_object *entry, const char *name)
{
    struct json_object *v = NULL;
    return json_object_object_get_ex(entry, name, &v) && v ? json_object_get_string(v) : NULL;
}

struct lines {
    struct ferry_audit_line *v;
    size_t n;
    struct json_object **entries; /* [line]; NULL: it is no object */
};

static void lines_clear(struct lines *l)
{
    for (size_t i = 0; l->entries && i < l->n; i++)
        json_object_put(l->entries[i]);
    free(l->entries);
    ferry_audit_lines_free(l->v, l->n);
}

static int load(struct ui *ui, struct lines *l)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_audit_list(journal, &l->v, &l->n, &ui->err);
    if (r < 0)
        return r;
    l->entries = ferry_calloc(l->n + 1, sizeof(struct json_object *));
    for (size_t i = 0; i < l->n; i++) {
        struct json_object *o = json_tokener_parse(l->v[i].entry);
        if (json_object_is_type(o, json_type_object))
            l->entries[i] = o;
        else
            json_object_put(o);
    }
    return 0;
}

/* The one transaction that --tx means. */
static int find_tx(struct ui *ui, const struct lines *l, const char *wanted, const char **ret)
{
    bool last = !strcmp(wanted, "last");
    const char *found = NULL;
    for (size_t i = 0; i < l->n; i++) {
        const char *id = text_of(l->entries[i], "tx");
        if (!id || (!last && strncmp(id, wanted, strlen(wanted))))
            continue;
        if (found && !last && strcmp(found, id))
            return ferry_error(&ui->err, FERRY_EUSAGE, "\"%s\" is the beginning of several transactions' ids",
                               wanted);
        found = id;
    }
    if (!found)
        return ferry_error(&ui->err, FERRY_EUSAGE, "the audit log knows no transaction \"%s\"", wanted);
    *ret = found;
    return 0;
}

static bool chosen(const struct audit_options *o, const char *tx, struct json_object *entry)
{
    const char *id = text_of(entry, "tx"), *at = text_of(entry, "at");
    return (!tx || (id && !strcmp(id, tx))) && (!o->since[0] || (at && strcmp(at, o->since) >= 0));
}

/* "root", "alice (sudo says bob)", "root (login 1000)", "uid 1007". */
static char *who(struct json_object *entry)
{
    const char *user = text_of(entry, "user"), *sudo = text_of(entry, "sudo_user"),
               *uid = text_of(entry, "uid"), *login = text_of(entry, "login");
    FERRY_AUTOFREE char *name = user ? ferry_strdup(user) : ferry_asprintf("uid %s", uid ? uid : "?");
    bool same = !login || (uid && !strcmp(login, uid));
    if (sudo)
        return ferry_asprintf("%s (sudo says %s%s%s)", name, sudo, same ? "" : ", login ", same ? "" : login);
    return same ? FERRY_STEAL(name) : ferry_asprintf("%s (login %s)", name, login);
}

static void row(struct libscols_table *table, const struct ferry_audit_line *line, struct json_object *entry)
{
    FERRY_AUTOFREE char *seq = ferry_asprintf("%llu", (unsigned long long)line->seq);
    FERRY_AUTOFREE char *name = entry ? who(entry) : NULL;
    const char *was = text_of(entry, "was"), *state = text_of(entry, "state");
    FERRY_AUTOFREE char *change =
        was && state && strcmp(was, state) ? ferry_asprintf("%s > %s", was, state) : ferry_strdup(state);
    ui_table_row(table,
                 (const char *[]){seq, text_of(entry, "at"), name, text_of(entry, "command"),
                                  entry ? text_of(entry, "what") : "damaged", text_of(entry, "tx"), change,
                                  text_of(entry, "text")},
                 entry ? UI_PLAIN : UI_RED);
}

static void print_json(const struct audit_options *o, const struct lines *l, const char *tx)
{
    struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; i < l->n; i++) {
        if (!chosen(o, tx, l->entries[i]))
            continue;
        struct json_object *entry = l->entries[i] ? json_object_get(l->entries[i]) : json_object_new_object();
        json_object_object_add(entry, "hash", json_object_new_string(l->v[i].hash));
        json_object_array_add(list, entry);
    }
    json_object_object_add(doc, "entries", list);
    ui_print_json(doc);
}

static int list(struct ui *ui, const struct audit_options *o)
{
    static const char *const columns[] = {"SEQ", "AT", "WHO", "COMMAND", "WHAT", "TX", "STATE", "TEXT", NULL};
    FERRY_CLEANUP(lines_clear) struct lines l = {0};
    const char *tx = NULL;
    int r = load(ui, &l);
    if (r == 0 && o->tx)
        r = find_tx(ui, &l, o->tx, &tx);
    if (r < 0)
        return r;
    if (ui->json) {
        print_json(o, &l, tx);
        return UI_OK;
    }
    if (!l.n)
        return printf("The audit log is empty.\n"), UI_OK;
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < l.n; i++)
        if (chosen(o, tx, l.entries[i]))
            row(table, &l.v[i], l.entries[i]);
    ui_table_print(table);
    return UI_OK;
}

/* ---- head ---- */

static struct json_object *anchor_json(const struct ferry_audit_anchor *a)
{
    if (!a->seq)
        return NULL;
    struct json_object *o = json_object_new_object();
    FERRY_AUTOFREE char *text = ferry_asprintf("%llu:%s", (unsigned long long)a->seq, a->hash);
    json_object_object_add(o, "seq", json_object_new_int64((int64_t)a->seq));
    json_object_object_add(o, "hash", json_object_new_string(a->hash));
    json_object_object_add(o, "anchor", json_object_new_string(text));
    return o;
}

static int head(struct ui *ui)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    struct ferry_audit_anchor a = {0};
    int r = ui_journal_look(ui, &journal);
    if (r == 0)
        r = journal ? ferry_audit_head(journal, &a, &ui->err) : 1;
    if (r > 0)
        return ferry_error(&ui->err, FERRY_EIO, "the audit log is empty: nothing was done yet");
    if (r < 0)
        return r;
    if (ui->json)
        ui_print_json(anchor_json(&a));
    else
        printf("%llu:%s\n", (unsigned long long)a.seq, a.hash);
    return UI_OK;
}

/* ---- verify ---- */

static void report_json(const struct audit_options *o, const struct ferry_audit_report *r)
{
    struct json_object *doc = json_object_new_object(), *problems = json_object_new_array();
    for (size_t i = 0; i < r->n_problems && i < FERRY_AUDIT_MOST; i++) {
        const struct ferry_audit_problem *p = &r->problems[i];
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "seq", p->seq ? json_object_new_int64((int64_t)p->seq) : NULL);
        json_object_object_add(one, "tx", p->tx[0] ? json_object_new_string(p->tx) : NULL);
        json_object_object_add(one, "message", json_object_new_string(p->text));
        json_object_array_add(problems, one);
    }
    json_object_object_add(doc, "ok", json_object_new_boolean(!r->n_problems));
    json_object_object_add(doc, "entries", json_object_new_int64((int64_t)r->entries));
    json_object_object_add(doc, "transactions", json_object_new_int64((int64_t)r->transactions));
    json_object_object_add(doc, "head", anchor_json(&r->head));
    json_object_object_add(doc, "anchor", anchor_json(&o->anchor));
    json_object_object_add(doc, "n_problems", json_object_new_int64((int64_t)r->n_problems));
    json_object_object_add(doc, "problems", problems);
    ui_print_json(doc);
}

static void problem_text(const struct ferry_audit_problem *p)
{
    if (p->seq)
        printf("entry %llu", (unsigned long long)p->seq);
    if (p->tx[0])
        printf("%stransaction %s", p->seq ? ", " : "", p->tx);
    printf("%s%s\n", p->seq || p->tx[0] ? ": " : "", p->text);
}

static void report_text(const struct ui *ui, const struct ferry_audit_report *r)
{
    if (r->n_problems) {
        printf("%sthe audit log is broken%s, or the journal is: %zu problem%s\n",
               ui_style(ui, stdout, UI_RED), ui_reset(ui, stdout), r->n_problems,
               r->n_problems == 1 ? "" : "s; the first comes first");
        for (size_t i = 0; i < r->n_problems && i < FERRY_AUDIT_MOST; i++)
            problem_text(&r->problems[i]);
        return;
    }
    printf("%swhole%s: %zu entries, %zu transaction%s\n", ui_style(ui, stdout, UI_GREEN),
           ui_reset(ui, stdout), r->entries, r->transactions, r->transactions == 1 ? "" : "s");
    if (r->head.seq)
        printf("head %llu:%s\n", (unsigned long long)r->head.seq, r->head.hash);
}

static int verify(struct ui *ui, const struct audit_options *o)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_audit_verify(journal, o->anchored ? &o->anchor : NULL, &report, &ui->err);
    if (r < 0)
        return r;
    if (!journal && o->anchored) {
        report.problems = ferry_calloc(1, sizeof *report.problems);
        report.problems[report.n_problems++].text =
            ferry_asprintf("there is no journal in %s, and there was one", ui->state_dir);
    }
    if (ui->json)
        report_json(o, &report);
    else
        report_text(ui, &report);
    return report.n_problems ? UI_UNKNOWN : UI_OK;
}

static int run(struct ui *ui, void *opaque)
{
    const struct audit_options *o = opaque;
    if (!o->what)
        return list(ui, o);
    return strcmp(o->what, "head") ? verify(ui, o) : head(ui);
}

const struct ui_verb ui_verb_audit = {
    .name = "audit",
    .args = "[head|verify]",
    .purpose = "Lists who did what; proves that nobody has changed that log since.",
    .examples =
        "Every write of the journal adds an entry, chained to the one before by its SHA-256.  `verify` "
        "recomputes the chain and holds the transactions against it.  Whoever can write the journal can "
        "write "
        "a whole new log: keep what `head` prints somewhere else, and give it to --anchor.\n\n"
        "Examples:\n  ferry audit --since 24h\n  ferry audit --tx last --json\n"
        "  ferry audit head | ssh elsewhere 'cat >> anchors'\n"
        "  ferry audit verify --anchor 12:5a1e...\n\n"
        "Exit status: 0; `verify` 6 where the log or the journal was changed: a person is needed.\n",
    .argp = &argp,
    .options_size = sizeof(struct audit_options),
    .run = run,
};
