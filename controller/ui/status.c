/* `ferry status`: reads the routers and says where each subnet is, and what is not as it should be.
 *
 * Being away from home alone is no drift: a router drifts where its live forwarding for a subnet does not
 * lead, or not on a shortest path, to where the subnet is attached (paths.c).
 *
 * SPDX-License-Identifier: MIT */
#include "ui/paths.h"
#include "ui/run.h"

#include "base/mem.h"

#include <ferry/debt.h>
#include <string.h>

enum { KEY_DETAILED = 0x7000 };

struct status_options {
    struct ui *ui;
    bool detailed;
};

static const struct argp_option options[] = {
    {"detailed-exitcode", KEY_DETAILED, NULL, 0,
     "Exit with 2 where there is drift, an unreachable router, a debt or an unfinished transaction", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct status_options *o = state->input;
    (void)arg;
    if (key != KEY_DETAILED)
        return ARGP_ERR_UNKNOWN;
    o->detailed = true;
    return 0;
}

static const struct argp argp = {.options = options, .parser = parse};

/* All that is shown. */
struct status {
    struct ui *ui;
    struct ferry_live *live;
    struct ui_path_drift *drift; /* sorted by subnet, then router */
    size_t n_drift, n_unreachable;
    struct ui_records unfinished;
    struct ferry_txn_record *newest; /* where it has ended and a hand is needed all the same; else NULL */
    struct ferry_debts debts;        /* what lost routers still owe */
    bool running;                    /* the unfinished one has its controller still */
};

static bool different(const struct status *s)
{
    return s->n_drift || s->n_unreachable || s->unfinished.n || s->debts.n;
}

/* A gateway of the subnet that cannot be read: it may be attached there. */
static bool unseen(const struct ferry_live *live, size_t column, uint32_t router)
{
    const struct ferry_subnet *subnet = &live->topology->subnets[live->subnets[column]];
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].router == router)
            return live->unreachable[router];
    return false;
}

static bool any_unseen(const struct ferry_live *live, size_t column)
{
    for (uint32_t r = 0; r < live->topology->n_routers; r++)
        if (unseen(live, column, r))
            return true;
    return false;
}

/* ---- JSON ---- */

static struct json_object *drift_json(const struct status *s, size_t column)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < s->n_drift; i++) {
        const struct ui_path_drift *d = &s->drift[i];
        if (d->column != column)
            continue;
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "router",
                               d->router == FERRY_NONE
                                   ? NULL
                                   : json_object_new_string(s->live->topology->routers[d->router].name));
        json_object_object_add(o, "what", json_object_new_string(d->what));
        json_object_object_add(o, "text", json_object_new_string(d->text));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *subnet_json(const struct status *s, size_t column)
{
    const struct ferry_live *live = s->live;
    const struct ferry_topology *t = live->topology;
    const struct ferry_subnet *subnet = &t->subnets[live->subnets[column]];
    struct json_object *o = json_object_new_object(), *attached = json_object_new_array();
    struct json_object *unknown = json_object_new_array();
    char buf[FERRY_PREFIX_STRLEN];
    bool several;
    uint32_t site = ui_active_site(live, column, &several);
    for (uint32_t r = 0; r < t->n_routers; r++) {
        if (ui_is_attached(live, r, column))
            json_object_array_add(attached, json_object_new_string(t->routers[r].name));
        if (unseen(live, column, r))
            json_object_array_add(unknown, json_object_new_string(t->routers[r].name));
    }
    json_object_object_add(o, "name", json_object_new_string(subnet->name));
    json_object_object_add(o, "prefix", json_object_new_string(ferry_prefix_text(&subnet->prefix, buf)));
    json_object_object_add(o, "home", json_object_new_string(t->sites[subnet->home].name));
    json_object_object_add(o, "active",
                           site == FERRY_NONE ? NULL : json_object_new_string(t->sites[site].name));
    json_object_object_add(o, "attached", attached);
    json_object_object_add(o, "unknown", unknown);
    json_object_object_add(o, "drift", drift_json(s, column));
    return o;
}

static struct json_object *routers_json(const struct ferry_live *live)
{
    struct json_object *list = json_object_new_array();
    for (size_t r = 0; r < live->topology->n_routers; r++) {
        const struct ferry_router *router = &live->topology->routers[r];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(router->name));
        json_object_object_add(o, "site", json_object_new_string(live->topology->sites[router->site].name));
        json_object_object_add(o, "reachable", json_object_new_boolean(!live->unreachable[r]));
        json_object_object_add(
            o, "why", live->unreachable[r] ? json_object_new_string(live->unreachable_why[r].text) : NULL);
        json_object_array_add(list, o);
    }
    return list;
}

static void print_json(const struct status *s)
{
    struct json_object *doc = json_object_new_object(), *subnets = json_object_new_array();
    struct json_object *unfinished = json_object_new_array(), *hands = json_object_new_array();
    for (size_t i = 0; i < s->live->n_subnets; i++)
        json_object_array_add(subnets, subnet_json(s, i));
    for (size_t i = 0; i < s->unfinished.n; i++) {
        const struct ferry_txn_record *r = s->unfinished.v[i];
        struct json_object *list = ui_hands_json(r->hands, r->n_hands);
        for (size_t k = 0; k < json_object_array_length(list); k++)
            json_object_array_add(hands, json_object_get(json_object_array_get_idx(list, k)));
        json_object_put(list);
        json_object_array_add(unfinished, ui_record_brief_json(r));
    }
    if (s->newest) {
        json_object_put(hands);
        hands = ui_hands_json(s->newest->hands, s->newest->n_hands);
    }
    json_object_object_add(doc, "topology", json_object_new_string(s->live->topology->name));
    json_object_object_add(doc, "subnets", subnets);
    json_object_object_add(doc, "routers", routers_json(s->live));
    json_object_object_add(doc, "unfinished", unfinished);
    json_object_object_add(doc, "needs_hand", hands);
    json_object_object_add(doc, "debts", ui_debts_json(&s->debts));
    json_object_object_add(doc, "differences", json_object_new_boolean(different(s)));
    ui_print_json(doc);
}

/* ---- Text ---- */

static char *attached_text(const struct ferry_live *live, size_t column)
{
    char *text = NULL;
    for (size_t r = 0; r < live->topology->n_routers; r++) {
        if (!ui_is_attached(live, r, column))
            continue;
        char *longer = text ? ferry_asprintf("%s, %s", text, live->topology->routers[r].name)
                            : ferry_strdup(live->topology->routers[r].name);
        free(text);
        text = longer;
    }
    return text;
}

static void print_subnet(const struct status *s, struct libscols_table *table, size_t column)
{
    const struct ferry_live *live = s->live;
    const struct ferry_topology *t = live->topology;
    const struct ferry_subnet *subnet = &t->subnets[live->subnets[column]];
    char prefix[FERRY_PREFIX_STRLEN], state[64] = "ok";
    size_t drifts = 0;
    bool several, partly = any_unseen(live, column);
    uint32_t site = ui_active_site(live, column, &several);
    bool unknown = partly && site == FERRY_NONE && !several;
    FERRY_AUTOFREE char *attached = attached_text(live, column);
    for (size_t i = 0; i < s->n_drift; i++)
        drifts += s->drift[i].column == column;
    if (drifts)
        snprintf(state, sizeof state, "drift (%zu)", drifts);
    else if (unknown)
        snprintf(state, sizeof state, "unknown");
    else if (site != subnet->home)
        snprintf(state, sizeof state, "away from home");
    else if (partly)
        snprintf(state, sizeof state, "partly unknown");
    const char *active = several              ? "SEVERAL SITES"
                         : unknown            ? "unknown"
                         : site == FERRY_NONE ? "nowhere"
                                              : t->sites[site].name;
    ui_table_row(table,
                 (const char *[]){subnet->name, ferry_prefix_text(&subnet->prefix, prefix),
                                  t->sites[subnet->home].name, active, attached, state},
                 drifts                           ? UI_RED
                 : site != subnet->home || partly ? UI_YELLOW
                                                  : UI_PLAIN);
}

static void print_drift(const struct status *s)
{
    static const char *const columns[] = {"SUBNET", "ROUTER", "DRIFT", "FOUND", NULL};
    const struct ferry_topology *t = s->live->topology;
    struct libscols_table *table = ui_table_new(s->ui, stdout, columns);
    putchar('\n');
    for (size_t i = 0; i < s->n_drift; i++) {
        const struct ui_path_drift *d = &s->drift[i];
        ui_table_row(table,
                     (const char *[]){t->subnets[s->live->subnets[d->column]].name,
                                      d->router == FERRY_NONE ? "-" : t->routers[d->router].name, d->what,
                                      d->text},
                     UI_RED);
    }
    ui_table_print(table);
}

static void print_text(const struct status *s)
{
    static const char *const columns[] = {"SUBNET", "PREFIX", "HOME", "ACTIVE", "ATTACHED", "STATE", NULL};
    const struct ferry_live *live = s->live;
    struct libscols_table *table = ui_table_new(s->ui, stdout, columns);
    for (size_t i = 0; i < live->n_subnets; i++)
        print_subnet(s, table, i);
    ui_table_print(table);
    if (s->n_drift)
        print_drift(s);
    for (size_t r = 0; r < live->topology->n_routers; r++)
        if (live->unreachable[r])
            printf("%sunreachable:%s %s: %s\n", ui_style(s->ui, stdout, UI_RED), ui_reset(s->ui, stdout),
                   live->topology->routers[r].name, live->unreachable_why[r].text);
    for (size_t i = 0; i < s->unfinished.n; i++) {
        const struct ferry_txn_record *r = s->unfinished.v[i];
        if (r->state == FERRY_TXN_AWAITING_CONFIRM) {
            ui_awaiting_text(s->ui, r);
            continue;
        }
        if (r->state == FERRY_TXN_PAUSED && !s->running) {
            ui_paused_text(s->ui, r, stdout);
            continue;
        }
        printf("%sunfinished:%s transaction %s is %s: %s\n", ui_style(s->ui, stdout, UI_RED),
               ui_reset(s->ui, stdout), r->id, ferry_txn_state_name(r->state),
               s->running ? "it runs at this moment" : "run `ferry recover`");
        if (r->n_hands)
            ui_hands_text(s->ui, r->hands, r->n_hands, stdout);
    }
    if (s->newest) {
        printf("%sneeds a hand:%s transaction %s is %s\n", ui_style(s->ui, stdout, UI_RED),
               ui_reset(s->ui, stdout), s->newest->id, ferry_txn_state_name(s->newest->state));
        ui_hands_text(s->ui, s->newest->hands, s->newest->n_hands, stdout);
    }
    ui_debts_text(s->ui, &s->debts);
}

/* ---- Reading ---- */

static void status_clear(struct status *s)
{
    ui_records_clear(&s->unfinished);
    ferry_txn_record_free(s->newest);
    ferry_debts_clear(&s->debts);
    free(s->drift);
    ferry_live_free(s->live);
}

static int read_journal(struct ui *ui, struct status *s)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ui_records_clear) struct ui_records list = {0};
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_journal_list(journal, 0, &list.v, &list.n, &ui->err);
    if (r == 0 && journal)
        r = ferry_journal_debts(journal, NULL, &s->debts, &ui->err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.n; i++) {
        struct ferry_txn_record *full = NULL;
        if (!ui_state_ended(list.v[i]->state) &&
            ferry_journal_get(journal, list.v[i]->id, &full, &ui->err) == 0) {
            FERRY_GROW(s->unfinished.v, s->unfinished.n);
            s->unfinished.v[s->unfinished.n++] = full;
        }
    }
    if (list.n && !s->unfinished.n && ferry_journal_get(journal, list.v[0]->id, &s->newest, &ui->err) == 0 &&
        !s->newest->n_hands) {
        ferry_txn_record_free(s->newest);
        s->newest = NULL;
    }
    struct ferry_err why;
    s->running = s->unfinished.n && ferry_txn_look(journal, &why) == -FERRY_ELOCKED;
    return 0;
}

static int read_all(struct ui *ui, const struct ferry_topology *t, struct ferry_pool *pool, struct status *s)
{
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(t->n_subnets + 1, sizeof *subnets);
    struct ferry_fleet_config config = ui_fleet_config(ui);
    for (uint32_t i = 0; i < t->n_subnets; i++)
        subnets[i] = i;
    int r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r < 0)
        return r;
    s->live = ferry_live_new(t, pool, subnets, t->n_subnets);
    r = ferry_fleet_read_live(fleet, s->live, &ui->err);
    if (r == 0)
        r = read_journal(ui, s);
    if (r < 0)
        return r;
    for (size_t i = 0; i < t->n_routers; i++)
        s->n_unreachable += s->live->unreachable[i];
    ui_paths_check(s->live, &s->drift, &s->n_drift);
    return 0;
}

static int run(struct ui *ui, void *opaque)
{
    const struct status_options *o = opaque;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_pool_cleanup) struct ferry_pool *pool = ferry_pool_new();
    FERRY_CLEANUP(status_clear) struct status s = {.ui = ui};
    int r = ui_topology_load(ui, &t);
    if (r == 0)
        r = read_all(ui, t, pool, &s);
    if (r < 0)
        return r;
    if (ui->json)
        print_json(&s);
    else
        print_text(&s);
    return o->detailed && different(&s) ? UI_DIFFERENT : UI_OK;
}

const struct ui_verb ui_verb_status = {
    .name = "status",
    .args = "",
    .purpose = "Reads the routers: where each subnet is active, what drifted, what awaits a hand.",
    .examples =
        "Drift: `does not deliver` (a router's forwarding for a subnet ends elsewhere or loops), `other "
        "path` (it delivers, "
        "but not on a shortest path), `two sites` (attached at both), `part` (only some of a site's gateways "
        "are attached). "
        "Being away from home is no drift.  Where a gateway's router cannot be read, a subnet that is seen "
        "nowhere is `unknown`, one that is seen at home `partly unknown`: it may be attached there too.\n\n"
        "Examples:\n  ferry -t site.json status\n  ferry -t site.json status --json --detailed-exitcode\n\n"
        "A debt is what a router still owes that was lost while a subnet moved: `ferry reconcile` delivers "
        "it.\n\n"
        "Exit status: 0; with --detailed-exitcode 2 on drift, an unreachable router, a debt or an unfinished "
        "transaction.\n",
    .argp = &argp,
    .options_size = sizeof(struct status_options),
    .run = run,
};
