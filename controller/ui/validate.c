/* `ferry validate`: a topology file alone; touches no router.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <string.h>

struct validate_options {
    struct ui *ui;
    const char *file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct validate_options *o = state->input;
    if (key != ARGP_KEY_ARG || o->file)
        return ARGP_ERR_UNKNOWN;
    o->file = arg;
    return 0;
}

static const struct argp argp = {.parser = parse};

static struct json_object *findings_json(const struct ferry_findings *findings)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < findings->n; i++) {
        const struct ferry_finding *f = &findings->v[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "pointer", json_object_new_string(f->pointer));
        json_object_object_add(o, "line", json_object_new_int64(f->line));
        json_object_object_add(o, "column", json_object_new_int64(f->column));
        json_object_object_add(o, "message", json_object_new_string(f->text));
        json_object_array_add(list, o);
    }
    return list;
}

/* `r`, which is still to be said, or the exit status. */
static int failed(struct ui *ui, const char *file, const struct ferry_findings *findings, int r)
{
    if (ui->json) {
        if (!ui->details)
            ui->details = json_object_new_object();
        json_object_object_add(ui->details, "valid", json_object_new_boolean(false));
        json_object_object_add(ui->details, "findings", findings_json(findings));
        return r;
    }
    if (!findings->n || !findings->v[0].line) /* the file as a whole */
        return r;
    for (size_t i = 0; i < findings->n; i++) {
        const struct ferry_finding *f = &findings->v[i];
        ui_note(ui, "%s:%u:%u: %s%s%s", file, f->line, f->column, f->pointer, f->pointer[0] ? ": " : "",
                f->text);
    }
    return ui_exit_status(r);
}

static void valid(struct ui *ui, const char *file, const struct ferry_topology *t)
{
    if (!ui->json) {
        printf("%s: valid: topology %s, %zu sites, %zu routers, %zu links, %zu subnets\n", file, t->name,
               t->n_sites, t->n_routers, t->n_links, t->n_subnets);
        return;
    }
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "valid", json_object_new_boolean(true));
    json_object_object_add(doc, "file", json_object_new_string(file));
    json_object_object_add(doc, "name", json_object_new_string(t->name));
    json_object_object_add(doc, "sha256", json_object_new_string(t->sha256));
    json_object_object_add(doc, "sites", json_object_new_int64((int64_t)t->n_sites));
    json_object_object_add(doc, "routers", json_object_new_int64((int64_t)t->n_routers));
    json_object_object_add(doc, "links", json_object_new_int64((int64_t)t->n_links));
    json_object_object_add(doc, "subnets", json_object_new_int64((int64_t)t->n_subnets));
    json_object_object_add(doc, "findings", json_object_new_array());
    ui_print_json(doc);
}

static int run(struct ui *ui, void *options)
{
    const struct validate_options *o = options;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ferry_findings_clear) struct ferry_findings findings = {0};
    const char *file = o->file ? o->file : ui->topology_file;
    if (!file)
        return ferry_error(&ui->err, FERRY_EUSAGE,
                           "validate: no topology: name it, give -t FILE or set FERRY_TOPOLOGY");
    int r = ferry_topology_load(file, &t, &findings, &ui->err);
    if (r < 0)
        return failed(ui, file, &findings, r);
    valid(ui, file, t);
    return UI_OK;
}

const struct ui_verb ui_verb_validate = {
    .name = "validate",
    .args = "[FILE]",
    .purpose = "Checks a topology file alone; touches no router.",
    .examples = "Every finding is shown as FILE:LINE:COLUMN: JSON-POINTER: text, in the file's order; the "
                "document as a whole has no pointer.  Exit status 0 or 65.\n\n"
                "Examples:\n  ferry -t site.json validate\n  ferry validate site.json --json\n",
    .argp = &argp,
    .options_size = sizeof(struct validate_options),
    .run = run,
};
