/* `ferry lab`: a topology as network namespaces on this machine.  SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "../../topologies/lab/lab.h"
#include "base/mem.h"
#include <string.h>

struct lab_options {
    struct ui *ui;
    const char *what, *file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct lab_options *o = state->input;
    if (key == ARGP_KEY_END && !o->what)
        return ui_usage(o->ui, "up, down or status?");
    if (key != ARGP_KEY_ARG || (o->what && o->file))
        return ARGP_ERR_UNKNOWN;
    if (o->what) {
        o->file = arg;
        return 0;
    }
    if (strcmp(arg, "up") != 0 && strcmp(arg, "down") != 0 && strcmp(arg, "status") != 0)
        return ui_usage(o->ui, "'%s' is none of up, down, status", arg);
    o->what = arg;
    return 0;
}

static const struct argp argp = {.parser = parse};

static void progress(void *ctx, const char *line)
{
    ui_note(ctx, "%s", line);
}

static void print_done(struct ui *ui, const struct ferry_topology *t, const char *state, bool changed)
{
    ui->wrote = true;
    if (!ui->json) {
        printf("lab %s: %s%s\n", t->name, state, changed ? "" : " (was so already)");
        return;
    }
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "lab", json_object_new_string(t->name));
    json_object_object_add(doc, "state", json_object_new_string(state));
    json_object_object_add(doc, "changed", json_object_new_boolean(changed));
    ui_print_json(doc);
}

static struct json_object *space_json(const struct ferry_lab_space *s)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "netns", json_object_new_string(s->netns));
    json_object_object_add(o, "role", json_object_new_string(s->role));
    json_object_object_add(o, "of", s->of ? json_object_new_string(s->of) : NULL);
    json_object_object_add(o, "present", json_object_new_boolean(s->present));
    json_object_object_add(o, "interfaces", json_object_new_int64(s->interfaces));
    json_object_object_add(o, "interfaces_up", json_object_new_int64(s->interfaces_up));
    json_object_object_add(o, "addresses", json_object_new_int64((int64_t)s->addresses));
    json_object_object_add(o, "addresses_found", json_object_new_int64((int64_t)s->addresses_found));
    json_object_object_add(o, "routes", json_object_new_int64((int64_t)s->routes));
    json_object_object_add(o, "routes_found", json_object_new_int64((int64_t)s->routes_found));
    json_object_object_add(o, "processes", json_object_new_int64(s->processes));
    if (s->daemons) {
        json_object_object_add(o, "daemons", json_object_new_int64(s->daemons));
        json_object_object_add(o, "daemons_up", json_object_new_int64(s->daemons_up));
        json_object_object_add(o, "config_same", json_object_new_boolean(s->config_same));
    }
    return o;
}

static void print_status_json(const struct ferry_topology *t, const struct ferry_lab_status *status)
{
    struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; i < status->n_spaces; i++)
        json_object_array_add(list, space_json(&status->spaces[i]));
    json_object_object_add(doc, "lab", json_object_new_string(t->name));
    json_object_object_add(doc, "state", json_object_new_string(ferry_lab_state_name(status->state)));
    json_object_object_add(doc, "baseline", json_object_new_boolean(status->baseline));
    json_object_object_add(doc, "same_file", json_object_new_boolean(status->same_file));
    json_object_object_add(
        doc, "sha256", status->topology_sha256[0] ? json_object_new_string(status->topology_sha256) : NULL);
    json_object_object_add(doc, "spaces", list);
    ui_print_json(doc);
}

static void print_status(const struct ui *ui, const struct ferry_topology *t,
                         const struct ferry_lab_status *status)
{
    static const char *const columns[] = {"NETNS",  "ROLE",      "OF",      "UP",     "ADDRESSES",
                                          "ROUTES", "PROCESSES", "DAEMONS", "CONFIG", NULL};
    printf("lab %s: %s%s%s\n", t->name, ferry_lab_state_name(status->state),
           status->state == FERRY_LAB_UP ? status->baseline ? ", at its baseline" : ", not at its baseline"
                                         : "",
           status->state != FERRY_LAB_DOWN && !status->same_file ? "; built from another version of the file"
                                                                 : "");
    if (!status->n_spaces)
        return;
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < status->n_spaces; i++) {
        const struct ferry_lab_space *s = &status->spaces[i];
        bool whole = s->present && s->interfaces_up == s->interfaces && s->daemons_up == s->daemons;
        FERRY_AUTOFREE char *up =
            s->present ? ferry_asprintf("%u/%u", s->interfaces_up, s->interfaces) : NULL;
        FERRY_AUTOFREE char *addresses = ferry_asprintf("%zu/%zu", s->addresses_found, s->addresses);
        FERRY_AUTOFREE char *routes = ferry_asprintf("%zu/%zu", s->routes_found, s->routes);
        FERRY_AUTOFREE char *processes = ferry_asprintf("%u", s->processes);
        FERRY_AUTOFREE char *daemons = s->daemons ? ferry_asprintf("%u/%u", s->daemons_up, s->daemons) : NULL;
        ui_table_row(table,
                     (const char *[]){s->netns, s->role, s->of, up ? up : "missing", addresses, routes,
                                      processes, daemons,
                                      !s->daemons      ? NULL
                                      : s->config_same ? "baseline"
                                                       : "changed"},
                     whole ? UI_PLAIN : UI_RED);
    }
    ui_table_print(table);
}

static int run(struct ui *ui, void *options)
{
    const struct lab_options *o = options;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    if (o->file)
        ui->topology_file = o->file;
    int r = ui_topology_load(ui, &t);
    if (r < 0)
        return r;
    if (strcmp(o->what, "status") == 0) {
        FERRY_CLEANUP(ferry_lab_status_clear) struct ferry_lab_status status = {0};
        r = ferry_lab_status(t, &status, &ui->err);
        if (r < 0)
            return r;
        if (ui->json)
            print_status_json(t, &status);
        else
            print_status(ui, t, &status);
        return status.state == FERRY_LAB_BROKEN ? UI_ERROR : UI_OK;
    }
    bool up = strcmp(o->what, "up") == 0;
    if (up)
        ui_signals_catch();
    r = up ? ferry_lab_up(t, progress, ui, ui_signals_caught, &ui->err)
           : ferry_lab_down(t->name, progress, ui, &ui->err);
    if (r < 0)
        return r;
    print_done(ui, t, up ? "up" : "down", r == 0);
    return UI_OK;
}

const struct ui_verb ui_verb_lab = {
    .name = "lab",
    .args = "up|down|status [TOPOLOGY]",
    .purpose = "Builds a topology as network namespaces on this machine, baseline routes included.",
    .examples =
        "Needs root.  Only what `lab up` made itself is ever removed, namespaces and processes; `lab "
        "down` also "
        "cleans up after a "
        "crash.\n\n"
        "Examples:\n  ferry lab up topologies/three-site.json\n  ferry -t topologies/three-site.json "
        "lab status\n"
        "  ferry lab down topologies/three-site.json\n\n"
        "Exit status: 0; `lab status` 1 where the lab is broken; 4 where it is up already.  `lab up` that "
        "fails, or is interrupted (Ctrl-C, SIGTERM, SIGHUP), takes down what it made (1).\n",
    .argp = &argp,
    .options_size = sizeof(struct lab_options),
    .run = run,
};
