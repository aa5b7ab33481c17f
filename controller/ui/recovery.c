/* --recovery-plan: the groups of a recovery plan, each a plan and a transaction of its own, in order.  See recovery.h.
 *
 * All groups are planned before anything is written, so that what would be refused is so at once; each is
 * planned once more when its turn comes, from what the routers hold by then.  What ended well stays: a plan
 * that stopped goes on where it is called again, for a group that is where it shall be is nothing to do.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/recovery.h"

#include "base/mem.h"

#include <ferry/networks.h>
#include <ferry/recovery.h>
#include <string.h>

void ui_recovery_clear(struct ui_recovery *r)
{
    for (size_t i = 0; i < r->n; i++)
        ferry_plan_free(r->v[i].plan);
    free(r->v);
    *r = (struct ui_recovery){0};
}

static void names_clear(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

static void selection_clear(struct ui_selection *s)
{
    names_clear(s->moves, s->n_moves);
    free(s->networks);
}

/* As if the group stood on the command line. */
static struct ui_selection selection_of(const struct ui_selection *s, const struct ferry_topology *t,
                                        const struct ferry_recovery_group *g)
{
    struct ui_selection ret = *s;
    ret.recovery = NULL;
    ret.moves = ferry_calloc(g->n_subnets, sizeof *ret.moves);
    ret.networks = ferry_calloc(g->n_networks, sizeof *ret.networks);
    for (ret.n_moves = 0; ret.n_moves < g->n_subnets; ret.n_moves++)
        ret.moves[ret.n_moves] =
            ferry_asprintf("%s=%s", t->subnets[g->subnets[ret.n_moves]].name, t->sites[g->to].name);
    for (ret.n_networks = 0; ret.n_networks < g->n_networks; ret.n_networks++)
        ret.networks[ret.n_networks] = t->networks->networks[g->networks[ret.n_networks]].name;
    ret.hooks = g->own_hooks ? &g->hooks : NULL;
    return ret;
}

static int select_group(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                        struct ferry_fleet *fleet, const struct ferry_recovery_group *g,
                        struct ferry_plan **ret)
{
    FERRY_CLEANUP(selection_clear) struct ui_selection one = selection_of(s, t, g);
    int r = ui_plan_select(ui, &one, t, fleet, ret);
    return r < 0 ? ferry_error_prefix(&ui->err, r, "group %s", g->name) : 0;
}

static int find(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                const struct ferry_recovery_plan **ret)
{
    size_t n = t->recovery ? t->recovery->n : 0;
    *ret = ferry_recovery_plan_find(t->recovery, s->recovery);
    if (*ret)
        return 0;
    FERRY_AUTOFREE const char **names = ferry_calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = t->recovery->v[i].name;
    return ui_unknown(ui, "recovery plan", s->recovery, names, n);
}

int ui_recovery_select(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                       struct ferry_fleet *fleet, struct ui_recovery *ret)
{
    const struct ferry_recovery_plan *plan;
    FERRY_CLEANUP(ui_recovery_clear) struct ui_recovery steps = {0};
    int r = find(ui, s, t, &plan);
    if (r < 0)
        return r;
    steps.name = plan->name;
    steps.v = ferry_calloc(plan->n_groups, sizeof *steps.v);
    for (; r == 0 && steps.n < plan->n_groups; steps.n += r == 0) {
        steps.v[steps.n].name = plan->groups[steps.n].name;
        r = select_group(ui, s, t, fleet, &plan->groups[steps.n], &steps.v[steps.n].plan);
    }
    if (r < 0)
        return r;
    *ret = steps;
    steps = (struct ui_recovery){0};
    return 0;
}

/* ---- Showing. ---- */

static struct json_object *head_json(const struct ui_recovery *r)
{
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "ferry", json_object_new_int(1));
    json_object_object_add(doc, "kind", json_object_new_string("recovery-plan"));
    json_object_object_add(doc, "name", json_object_new_string(r->name));
    return doc;
}

char *ui_recovery_write(const struct ui_recovery *r)
{
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *doc = head_json(r);
    struct json_object *groups = json_object_new_array();
    for (size_t i = 0; i < r->n; i++) {
        FERRY_AUTOFREE char *text = ferry_plan_write(r->v[i].plan, false);
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(r->v[i].name));
        json_object_object_add(o, "plan", json_tokener_parse(text));
        json_object_array_add(groups, o);
    }
    json_object_object_add(doc, "groups", groups);
    return ferry_asprintf("%s\n", json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY |
                                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void title(const struct ui *ui, const struct ui_recovery *r, size_t i, FILE *f)
{
    fprintf(f, "%s%sRecovery plan %s, group %zu of %zu: %s%s\n", i ? "\n" : "", ui_style(ui, f, UI_BOLD),
            r->name, i + 1, r->n, r->v[i].name, ui_reset(ui, f));
}

void ui_recovery_text(const struct ui *ui, const struct ui_recovery *r, FILE *f)
{
    for (size_t i = 0; i < r->n; i++) {
        title(ui, r, i, f);
        ui_plan_text(ui, r->v[i].plan, f);
    }
}

/* ---- Running. ---- */

struct running {
    struct ui *ui;
    const struct ui_selection *selection;
    const struct ferry_topology *t;
    struct ferry_fleet *fleet;
    const struct ferry_recovery_plan *plan;
    const struct ui_run *how;
    struct json_object *groups; /* with --json: what became of each */
    size_t n_done;              /* transactions that ended well, and left something moved */
};

static void running_clear(struct running *run)
{
    json_object_put(run->groups);
}

static int run_group(struct running *run, size_t i)
{
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    const struct ferry_recovery_group *g = &run->plan->groups[i];
    struct json_object *said = NULL, *o = NULL;
    struct ui_run how = *run->how;
    int r = select_group(run->ui, run->selection, run->t, run->fleet, g, &plan);
    if (r < 0)
        return r;
    if (!run->ui->json) {
        struct ui_recovery_step step = {g->name, plan};
        printf("%sGroup %zu of %zu: %s\n", i ? "\n" : "", i + 1, run->plan->n_groups, step.name);
        fflush(stdout);
    }
    how.document = &said;
    r = ui_run_plan(run->ui, run->fleet, plan, &how);
    if (r < 0)
        return ferry_error_prefix(&run->ui->err, r, "group %s", g->name);
    o = json_object_new_object();
    json_object_object_add(o, "name", json_object_new_string(g->name));
    json_object_object_add(o, "result", said);
    json_object_array_add(run->groups, o);
    run->n_done += r == UI_OK && !ferry_plan_is_empty(plan) && !how.dry_run && strcmp(how.kind, "drill") != 0;
    return r;
}

static void describe(const struct running *run, struct json_object *doc)
{
    json_object_object_add(doc, "recovery_plan", json_object_new_string(run->plan->name));
    json_object_object_add(doc, "groups", json_object_get(run->groups));
}

/* What went before stays: no error that has written nothing. */
static int stopped(struct running *run, size_t i, int r)
{
    struct ui *ui = run->ui;
    if (!run->n_done)
        return r;
    if (!ui->details)
        ui->details = json_object_new_object();
    if (ui->json)
        describe(run, ui->details);
    return ferry_error_prefix(
        &ui->err, -FERRY_EUNKNOWN, "%zu group%s moved and stay%s so; stopped at group %s%s%s", run->n_done,
        run->n_done == 1 ? "" : "s", run->n_done == 1 ? "s" : "", run->plan->groups[i].name,
        r == -FERRY_EREFUSED ? ", refused by rule " : "", r == -FERRY_EREFUSED ? ui->err.rule : "");
}

int ui_recovery_run(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                    struct ferry_fleet *fleet, const struct ui_run *how)
{
    FERRY_CLEANUP(ui_recovery_clear) struct ui_recovery first = {0};
    FERRY_CLEANUP(running_clear)
    struct running run = {.ui = ui, .selection = s, .t = t, .fleet = fleet, .how = how};
    int r = find(ui, s, t, &run.plan);
    if (r == 0)
        r = ui_recovery_select(ui, s, t, fleet, &first);
    if (r < 0)
        return r;
    run.groups = json_object_new_array();
    for (size_t i = 0; r == 0 && i < run.plan->n_groups; i++) {
        r = run_group(&run, i);
        if (r < 0)
            return stopped(&run, i, r);
    }
    if (ui->json) {
        struct json_object *doc = json_object_new_object();
        describe(&run, doc);
        ui_print_json(doc);
    } else if (r != UI_OK) {
        printf("Stopped here; what moved before stays.  Go on: the same command again.\n");
    }
    return r;
}
