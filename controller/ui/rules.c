/* `ferry rules`, and --override-rule of the verbs that plan or write.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <string.h>

enum { KEY_OVERRIDE = 0x8000 };

/* ---- --override-rule ---- */

static const struct argp_option override_options[] = {
    {"override-rule", KEY_OVERRIDE, "RULE", 0,
     "Go on where this rule would refuse (`ferry rules` lists them); several times.  It is kept in plan and "
     "journal",
     5},
    {0},
};

static error_t override_parse(int key, char *arg, struct argp_state *state)
{
    struct ui_overrides *o = state->input;
    if (key != KEY_OVERRIDE)
        return ARGP_ERR_UNKNOWN;
    FERRY_GROW(o->names, o->n_names);
    o->names[o->n_names++] = arg;
    return 0;
}

const struct argp ui_override_argp = {.options = override_options, .parser = override_parse};

int ui_overrides_check(struct ui *ui, struct ui_overrides *o)
{
    for (size_t i = 0; i < o->n_names; i++) {
        int r = ferry_overrides_add(&o->set, o->names[i], &ui->err);
        if (r < 0)
            return ferry_error_prefix(&ui->err, r, "--override-rule");
    }
    return 0;
}

void ui_overrides_clear(struct ui_overrides *o)
{
    free(o->names);
    ferry_overrides_clear(&o->set);
}

/* ---- rules ---- */

static const struct argp rules_argp = {0};

/* "yes", "no", or where a topology was named whether it is switched on there. */
static const char *when(const struct ferry_rule *rule, const struct ferry_topology *t)
{
    if (!rule->opt_in)
        return "always";
    return !t                        ? "where the topology asks for it"
           : t->rules & rule->opt_in ? "on in this topology"
                                     : "off in this topology";
}

static struct json_object *rule_json(const struct ferry_rule *rule, const struct ferry_topology *t)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "name", json_object_new_string(rule->name));
    json_object_object_add(o, "guards", json_object_new_string(rule->guards));
    json_object_object_add(o, "overridable", json_object_new_boolean(!rule->firm));
    json_object_object_add(o, "why_not", rule->firm ? json_object_new_string(rule->firm) : NULL);
    json_object_object_add(o, "opt_in", json_object_new_boolean(rule->opt_in));
    if (t)
        json_object_object_add(o, "on", json_object_new_boolean(!rule->opt_in || t->rules & rule->opt_in));
    return o;
}

static void print_json(const struct ferry_topology *t)
{
    struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
    for (unsigned i = 0; i < ferry_n_rules; i++)
        json_object_array_add(list, rule_json(&ferry_rules[i], t));
    json_object_object_add(doc, "rules", list);
    ui_print_json(doc);
}

static int rules_run(struct ui *ui, void *options)
{
    static const char *const columns[] = {"RULE", "OVERRIDE", "HOLDS", "GUARDS", NULL};
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    (void)options;
    int r = ui->topology_file ? ui_topology_load(ui, &t) : 0;
    if (r < 0)
        return r;
    if (ui->json) {
        print_json(t);
        return UI_OK;
    }
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (int firm = 0; firm < 2; firm++)
        for (unsigned i = 0; i < ferry_n_rules; i++) {
            const struct ferry_rule *rule = &ferry_rules[i];
            if (!rule->firm == !firm)
                ui_table_row(table,
                             (const char *[]){rule->name, rule->firm ? "never" : "by name", when(rule, t),
                                              rule->guards},
                             rule->firm ? UI_PLAIN : UI_BOLD);
        }
    ui_table_print(table);
    return UI_OK;
}

const struct ui_verb ui_verb_rules = {
    .name = "rules",
    .args = "",
    .purpose = "Lists the safety rules: what each guards, and whether it can be overridden.",
    .examples = "A rule that refuses is named in the message and in the JSON document of the error.  With a "
                "topology it "
                "also says which of the rules that are asked for are on.\n\n"
                "Examples:\n"
                "  ferry rules\n"
                "  ferry -t site.json rules --json\n"
                "  ferry -t site.json apply --evacuate primary --to recovery --override-rule budget\n",
    .argp = &rules_argp,
    .options_size = sizeof(struct ui_options),
    .run = rules_run,
};
