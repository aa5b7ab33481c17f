/* `ferry apply` and `ferry drill`: a plan from a file or from options, run on the routers.
 * SPDX-License-Identifier: MIT */
#include "ui/recovery.h"

#include "base/mem.h"
#include <string.h>

enum { KEY_CONFIRM = 0x6000, KEY_HOLD, KEY_PAUSE };

#define CONFIRM_LEAST_S 5 /* less is over before a person has read that it began */

struct apply_options {
    struct ui *ui;
    struct ui_selection selection;
    struct ui_run_options run;
    struct ui_overrides overrides;
    unsigned pause_before; /* 1 << enum ferry_phase */
    const char *file;
    unsigned confirm_s;
    uint64_t hold_us;
};

#define PAUSE_OPTION                                                                                         \
    {                                                                                                        \
        "pause-before", KEY_PAUSE, "PHASE", 0,                                                               \
            "Stop there and ask, or wait for `ferry resume`: before prepare, detach or settle; several "     \
            "times",                                                                                         \
            4                                                                                                \
    }

static const struct argp_option apply_argp_options[] = {
    PAUSE_OPTION,
    {"confirm-within", KEY_CONFIRM, "DURATION", 0,
     "Roll back, on the routers themselves, unless `ferry confirm` comes in time: 5s to 24h", 4},
    {0},
};

static const struct argp_option drill_argp_options[] = {
    PAUSE_OPTION,
    {"hold", KEY_HOLD, "DURATION", 0, "How long to stay at the new site before the rollback (default 0s)", 4},
    {0},
};

static int add_pause(struct apply_options *o, const char *name)
{
    for (enum ferry_phase phase = FERRY_PREPARE; phase <= FERRY_SETTLE; phase++)
        if (phase != FERRY_ATTACH && !strcmp(name, ferry_phase_name(phase))) {
            o->pause_before |= 1u << phase;
            return 0;
        }
    if (!strcmp(name, ferry_phase_name(FERRY_ATTACH)))
        return ui_usage(
            o->ui, "--pause-before attach: the subnets are attached nowhere then; a pause would be outage");
    return ui_usage(o->ui, "--pause-before: '%s' is none of prepare, detach, settle", name);
}

static int end(struct apply_options *o)
{
    bool given = ui_selection_given(&o->selection);
    const struct ui_selection *s = &o->selection;
    if (o->file && given)
        return ui_usage(o->ui, "a PLAN and --move, --evacuate, --failback, --network or --recovery-plan "
                               "exclude each other");
    if (o->file && (s->mode || s->n_unreachable || s->attest))
        return ui_usage(o->ui,
                        "--mode, --unreachable and --attest are for what is planned now; a PLAN has its own");
    if (o->selection.recovery && (o->confirm_s || o->hold_us))
        return ui_usage(
            o->ui, "--recovery-plan: its groups are transactions one after the other, and none can wait: "
                   "no --confirm-within, no --hold");
    if (!o->file && !given)
        return ui_usage(o->ui, "what? A PLAN, --move SUBNET=SITE, --evacuate SITE --to SITE, --failback, "
                               "--network NETWORK or --recovery-plan PLAN");
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct apply_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->selection.ui = o->run.ui = o->ui;
        state->child_inputs[0] = &o->selection;
        state->child_inputs[1] = &o->run;
        state->child_inputs[2] = &o->overrides;
        o->selection.overrides = &o->overrides.set;
        return 0;
    case KEY_PAUSE:
        return add_pause(o, arg);
    case KEY_CONFIRM:
        return ui_seconds_parse(o->ui, "--confirm-within", arg, CONFIRM_LEAST_S, FERRY_CONFIRM_MOST_S,
                                &o->confirm_s);
    case KEY_HOLD:
        if (ui_duration_parse(arg, &o->hold_us, &o->ui->err) < 0)
            return ui_usage(o->ui, "--hold: '%s' is no duration; write 90s, 5m, 2h or 500ms", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (o->file)
            return ARGP_ERR_UNKNOWN;
        o->file = arg;
        return 0;
    case ARGP_KEY_END:
        return o->ui->help || o->ui->version ? 0 : end(o);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {.argp = &ui_selection_argp}, {.argp = &ui_run_argp}, {.argp = &ui_override_argp}, {0}};
static const struct argp apply_argp = {.options = apply_argp_options, .parser = parse, .children = children};
static const struct argp drill_argp = {.options = drill_argp_options, .parser = parse, .children = children};

/* A saved plan is for one version of the topology file, and says of the network what that file says. */
static int check_topology(struct ui *ui, struct ferry_plan *plan, const struct ferry_topology *t)
{
    if (!plan->topology_sha256[0])
        return ferry_error(&ui->err, FERRY_EDRIFT,
                           "the plan does not say which version of the topology file it was made from "
                           "(/topology/sha256); plan again");
    if (strcmp(plan->topology_sha256, t->sha256) != 0)
        return ferry_error(
            &ui->err, FERRY_EDRIFT,
            "the topology file was changed since the plan was made (sha256 %.12s, now %.12s); plan again",
            plan->topology_sha256, t->sha256);
    return ferry_plan_fit(plan, t, &ui->err);
}

/* A saved plan obeys the rules of its topology too, those excepted that were overridden when it was made, or are
 * now. */
static int obey(struct ui *ui, struct apply_options *o, const struct ferry_topology *t,
                const struct ferry_plan *plan)
{
    ferry_overrides_merge(&o->overrides.set, &plan->overrides);
    return ferry_plan_obey(plan, t, &o->overrides.set, &ui->err);
}

static int get_plan(struct ui *ui, struct apply_options *o, const struct ferry_topology *t,
                    struct ferry_fleet *fleet, struct ferry_plan **ret)
{
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    int r =
        o->file ? ui_plan_file(ui, o->file, true, &plan) : ui_plan_select(ui, &o->selection, t, fleet, &plan);
    if (r == 0 && o->file)
        r = check_topology(ui, plan, t);
    if (r == 0 && o->file)
        r = obey(ui, o, t, plan);
    if (r == 0 && o->file) /* what is shown as proven is the prover's word, not the file's */
        r = ui_plan_prove(ui, plan);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(plan);
    return 0;
}

static int run(struct ui *ui, struct apply_options *o, const char *kind)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    struct ferry_fleet_config config = ui_fleet_config(ui);
    int r = ui_overrides_check(ui, &o->overrides);
    if (r == 0)
        r = ui_run_may(ui, &o->run);
    if (r == 0)
        r = ui_topology_load(ui, &t);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r == 0 && !o->selection.recovery)
        r = get_plan(ui, o, t, fleet, &plan);
    if (r < 0)
        return r;
    struct ui_run how = {
        .kind = kind,
        .yes = o->run.yes,
        .dry_run = o->run.dry_run,
        .saved = o->file != NULL,
        .hold_us = o->hold_us,
        .confirm_within_s = o->confirm_s,
        .probes = o->run.probes,
        .n_probes = o->run.n_probes,
        .topology = t,
        .overrides = &o->overrides.set,
        .pause_before = o->pause_before,
    };
    return o->selection.recovery ? ui_recovery_run(ui, &o->selection, t, fleet, &how)
                                 : ui_run_plan(ui, fleet, plan, &how);
}

static void clear(void *opaque)
{
    struct apply_options *o = opaque;
    ui_selection_clear(&o->selection);
    ui_overrides_clear(&o->overrides);
    free(o->run.probes);
}

static int apply_run(struct ui *ui, void *options)
{
    return run(ui, options, "apply");
}

static int drill_run(struct ui *ui, void *options)
{
    return run(ui, options, "drill");
}

const struct ui_verb ui_verb_apply = {
    .name = "apply",
    .args = "[PLAN]",
    .purpose = "Moves: precheck, journal, apply, verify; or rolls everything back.",
    .examples =
        "A PLAN is applied only if it is unchanged, made from this very topology file, and every "
        "router is still as it "
        "found it.  Without one it is made from the options now.  The plan is proven, shown and "
        "asked about before "
        "anything is written.  Ctrl-C rolls back.\n\n"
        "Examples:\n"
        "  ferry -t site.json apply move.plan\n"
        "  ferry -t site.json apply --move app=recovery --yes --probe 192.168.1.10\n"
        "  ferry -t site.json apply --move app=recovery --confirm-within 5m\n"
        "  ferry -t site.json apply --evacuate primary --to recovery --dry-run\n\n"
        "Exit status: 0 committed and verified, or nothing to do; 3 drift, 4 refused, 8 locked "
        "(nothing was written); "
        "5 failed and rolled back; 6 a person is needed; 7 awaiting a person: applied and verified, for "
        "`ferry confirm`, or paused, for `ferry resume`.\n",
    .argp = &apply_argp,
    .options_size = sizeof(struct apply_options),
    .run = apply_run,
    .clear = clear,
};

const struct ui_verb ui_verb_drill = {
    .name = "drill",
    .args = "[PLAN]",
    .purpose = "Moves, verifies, holds, rolls back, verifies; leaves nothing behind.",
    .examples = "Whatever happens while it runs, also Ctrl-C, it rolls back.\n\n"
                "Examples:\n"
                "  ferry -t site.json drill --move app=recovery --hold 90s --probe 192.168.1.10\n"
                "  ferry -t site.json drill move.plan --hold 5m --yes\n\n"
                "Exit status: 0 only where both the move and the rollback were verified; 5 rolled back "
                "early, or what was probed did not answer at the new site; 6 a person is needed.\n",
    .argp = &drill_argp,
    .options_size = sizeof(struct apply_options),
    .run = drill_run,
    .clear = clear,
};
