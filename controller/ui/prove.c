/* `ferry prove`: the independent proof of a saved plan.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <string.h>

struct prove_options {
    struct ui *ui;
    const char *file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct prove_options *o = state->input;
    if (key == ARGP_KEY_END && !o->file)
        return ui_usage(o->ui, "which PLAN?");
    if (key != ARGP_KEY_ARG || o->file)
        return ARGP_ERR_UNKNOWN;
    o->file = arg;
    return 0;
}

static const struct argp argp = {.parser = parse};

static struct json_object *counterexample_json(const struct ferry_plan *plan,
                                               const struct ferry_counterexample *bad)
{
    struct json_object *o = json_object_new_object(), *events = json_object_new_array();
    struct json_object *routers = json_object_new_array();
    for (size_t i = 0; i < bad->n_events; i++) {
        const struct ferry_step *e = &bad->events[i];
        const struct ferry_change *c = &plan->stages[e->stage].changes[e->change];
        struct json_object *event = json_object_new_object();
        json_object_object_add(event, "stage", json_object_new_int64(e->stage + 1));
        json_object_object_add(event, "change", json_object_new_int64(e->change + 1));
        json_object_object_add(event, "router", json_object_new_string(plan->routers[c->router].name));
        json_object_array_add(events, event);
    }
    for (size_t i = 0; i < bad->n_routers; i++)
        json_object_array_add(routers, json_object_new_string(plan->routers[bad->routers[i]].name));
    json_object_object_add(
        o, "group", bad->group < plan->n_groups ? json_object_new_string(plan->groups[bad->group].id) : NULL);
    json_object_object_add(o, "stage", json_object_new_int64((int64_t)bad->stage + 1));
    json_object_object_add(o, "events", events);
    json_object_object_add(o, "routers", routers);
    json_object_object_add(o, "text", json_object_new_string(bad->text));
    return o;
}

static struct json_object *proof_json(const struct ferry_plan *plan, const struct ferry_proof *proof)
{
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "plan", json_object_new_string(plan->id));
    json_object_object_add(doc, "safe", json_object_new_boolean(proof->safe));
    json_object_object_add(doc, "violation",
                           proof->safe ? NULL
                                       : json_object_new_string(ferry_violation_name(proof->bad.violation)));
    json_object_object_add(doc, "counterexample",
                           proof->safe ? NULL : counterexample_json(plan, &proof->bad));
    json_object_object_add(doc, "states", json_object_new_string(proof->states));
    json_object_object_add(doc, "certificate",
                           proof->safe ? json_object_new_string(proof->certificate) : NULL);
    json_object_object_add(doc, "exhaustive", json_object_new_boolean(proof->exhaustive));
    json_object_object_add(doc, "walked", json_object_new_int64((int64_t)proof->walked));
    return doc;
}

static void print_safe(const struct ui *ui, const struct ferry_proof *proof)
{
    printf("%sSafe.%s %s transient states: no loop, never two sites, nothing falls through, nothing lost "
           "outside of "
           "the hand-over.\n",
           ui_style(ui, stdout, UI_GREEN), ui_reset(ui, stdout), proof->states);
    if (proof->exhaustive)
        printf("Every one of them was also walked.\n");
    else if (proof->walked)
        printf("%llu of them were also walked.\n", (unsigned long long)proof->walked);
    printf("Certificate %s: in each stage every next hop, old and new, points forward in this order:\n%s",
           proof->certificate, proof->certificate_text ? proof->certificate_text : "");
}

static void print_change(const struct ui *ui, const struct ferry_plan *plan, const struct ferry_step *e)
{
    char before[512], after[512];
    const struct ferry_change *c = &plan->stages[e->stage].changes[e->change];
    printf("    %s: %s %s %s\n", plan->routers[c->router].name,
           ferry_entry_text(c->before, before, sizeof before), ui_arrow(ui),
           ferry_entry_text(c->after, after, sizeof after));
}

static void print_unsafe(const struct ui *ui, const struct ferry_plan *plan,
                         const struct ferry_counterexample *bad)
{
    printf("%sNot safe: %s.%s %s\n", ui_style(ui, stdout, UI_RED), ferry_violation_name(bad->violation),
           ui_reset(ui, stdout), bad->text);
    if (bad->stage < plan->n_stages && bad->n_events) {
        printf("  reached in stage %u (%s), with all stages before it done, when these take effect:\n",
               bad->stage + 1, ferry_phase_name(plan->stages[bad->stage].phase));
        for (size_t i = 0; i < bad->n_events; i++)
            print_change(ui, plan, &bad->events[i]);
    }
    for (size_t i = 0; i < bad->n_routers; i++)
        printf("%s%s", i ? ", " : "  routers: ", plan->routers[bad->routers[i]].name);
    if (bad->n_routers)
        putchar('\n');
}

/* The proof needs no topology; the one that the plan was made from, where it is named, knows sites that a
 * hand-made document leaves out. */
static void name_sites(const struct ui *ui, struct ferry_plan *plan)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    struct ferry_err ignored;
    if (ui->topology_file && ferry_topology_load(ui->topology_file, &t, NULL, &ignored) == 0 &&
        strcmp(t->sha256, plan->topology_sha256) == 0)
        ferry_plan_name_sites(plan, t);
}

static int run(struct ui *ui, void *options)
{
    const struct prove_options *o = options;
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    FERRY_CLEANUP(ferry_proof_clear) struct ferry_proof proof = {0};
    int r = ui_plan_file(ui, o->file, false, &plan);
    if (r < 0)
        return r;
    name_sites(ui, plan);
    r = ferry_prove(plan, UI_EXHAUSTIVE_BITS, &proof, &ui->err);
    if (r < 0 && (r != -FERRY_EREFUSED || proof.bad.violation == FERRY_SAFE))
        return r;
    if (ui->json)
        ui_print_json(proof_json(plan, &proof));
    else if (proof.safe)
        print_safe(ui, &proof);
    else
        print_unsafe(ui, plan, &proof.bad);
    return proof.safe ? UI_OK : UI_REFUSED;
}

const struct ui_verb ui_verb_prove = {
    .name = "prove",
    .args = "PLAN",
    .purpose = "Proves a saved plan, independently of the planner: certificate or counterexample.",
    .examples =
        "Needs neither the topology nor any router.  A plan that was changed by hand is proven all the same, "
        "with a warning.\n\n"
        "Examples:\n  ferry prove move.plan\n  ferry prove --json move.plan\n\n"
        "Exit status: 0 safe, 4 not safe (the counterexample is shown), 65 no plan document.\n",
    .argp = &argp,
    .options_size = sizeof(struct prove_options),
    .run = run,
};
