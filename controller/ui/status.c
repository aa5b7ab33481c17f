/* `ferry status`: where each subnet is, and what is not as it should be; with --readiness whether it could be moved.
 *
 * What is true is looked at in watch/, here or by the daemon; this file only shows the document.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/daemon.h"
#include "ui/run.h"
#include "ui/show.h"

#include "base/mem.h"
#include "watch/readiness.h"
#include <string.h>

enum { KEY_DETAILED = 0x7000, KEY_READINESS };

struct status_options {
    struct ui *ui;
    bool detailed, readiness;
};

static const struct argp_option options[] = {
    {"detailed-exitcode", KEY_DETAILED, NULL, 0,
     "Exit with 2 where there is drift, an unreachable router, a debt or an unfinished transaction; with "
     "--readiness also where a move would not work",
     0},
    {"readiness", KEY_READINESS, NULL, 0,
     "Also try, without writing, every move of every subnet to its other sites", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct status_options *o = state->input;
    (void)arg;
    switch (key) {
    case KEY_DETAILED:
        o->detailed = true;
        return 0;
    case KEY_READINESS:
        o->readiness = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = options, .parser = parse};

/* ---- Text ---- */

/* "a, b" of an array of strings; NULL for none.  malloc'd. */
static char *joined(struct json_object *list)
{
    char *text = NULL;
    for (size_t i = 0; i < ui_count(list); i++) {
        const char *item = json_object_get_string(json_object_array_get_idx(list, i));
        char *longer = text ? ferry_asprintf("%s, %s", text, item) : ferry_strdup(item);
        free(text);
        text = longer;
    }
    return text;
}

static bool at_two_sites(struct json_object *drift)
{
    for (size_t i = 0; i < ui_count(drift); i++)
        if (!strcmp(ui_text(json_object_array_get_idx(drift, i), "what"), "two sites"))
            return true;
    return false;
}

static void print_subnet(struct libscols_table *table, struct json_object *subnet)
{
    struct json_object *drift = ui_member(subnet, "drift");
    const char *site = ui_text(subnet, "active"), *home = ui_text(subnet, "home");
    bool several = at_two_sites(drift), partly = ui_count(ui_member(subnet, "unknown")) > 0;
    bool unknown = partly && !site && !several, away = !site || strcmp(site, home) != 0;
    char state[64] = "ok";
    FERRY_AUTOFREE char *attached = joined(ui_member(subnet, "attached"));
    if (ui_count(drift))
        snprintf(state, sizeof state, "drift (%zu)", ui_count(drift));
    else if (unknown)
        snprintf(state, sizeof state, "unknown");
    else if (away)
        snprintf(state, sizeof state, "away from home");
    else if (partly)
        snprintf(state, sizeof state, "partly unknown");
    const char *active = several ? "SEVERAL SITES" : unknown ? "unknown" : site ? site : "nowhere";
    ui_table_row(
        table,
        (const char *[]){ui_text(subnet, "name"), ui_text(subnet, "prefix"), home, active, attached, state},
        ui_count(drift)  ? UI_RED
        : away || partly ? UI_YELLOW
                         : UI_PLAIN);
}

static void print_drift(const struct ui *ui, struct json_object *subnets)
{
    static const char *const columns[] = {"SUBNET", "ROUTER", "DRIFT", "FOUND", NULL};
    struct libscols_table *table = NULL;
    for (size_t i = 0; i < ui_count(subnets); i++) {
        struct json_object *subnet = json_object_array_get_idx(subnets, i),
                           *drift = ui_member(subnet, "drift");
        for (size_t k = 0; k < ui_count(drift); k++) {
            struct json_object *d = json_object_array_get_idx(drift, k);
            if (!table) {
                putchar('\n');
                table = ui_table_new(ui, stdout, columns);
            }
            ui_table_row(table,
                         (const char *[]){ui_text(subnet, "name"), ui_text(d, "router"), ui_text(d, "what"),
                                          ui_text(d, "text")},
                         UI_RED);
        }
    }
    if (table)
        ui_table_print(table);
}

static void print_unreachable(const struct ui *ui, struct json_object *routers)
{
    for (size_t i = 0; i < ui_count(routers); i++) {
        struct json_object *router = json_object_array_get_idx(routers, i);
        if (!json_object_get_boolean(ui_member(router, "reachable")))
            printf("%sunreachable:%s %s: %s\n", ui_style(ui, stdout, UI_RED), ui_reset(ui, stdout),
                   ui_text(router, "name"), ui_text(router, "why"));
    }
}

static void print_unfinished(const struct ui *ui, struct json_object *item)
{
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *r = ui_record_of(item);
    if (r->state == FERRY_TXN_AWAITING_CONFIRM) {
        ui_awaiting_text(ui, r);
        return;
    }
    if (r->state == FERRY_TXN_PAUSED && !json_object_get_boolean(ui_member(item, "running"))) {
        ui_paused_after_text(ui, r, ui_number(ui_member(item, "paused"), "stages"), stdout);
        return;
    }
    printf("%sunfinished:%s transaction %s is %s: %s\n", ui_style(ui, stdout, UI_RED), ui_reset(ui, stdout),
           r->id, ferry_txn_state_name(r->state),
           json_object_get_boolean(ui_member(item, "running")) ? "it runs at this moment"
                                                               : "run `ferry recover`");
    if (r->n_hands)
        ui_hands_text(ui, r->hands, r->n_hands, stdout);
}

static void print_ended(const struct ui *ui, struct json_object *item)
{
    FERRY_CLEANUP(ui_record_cleanup) struct ferry_txn_record *r = ui_record_of(item);
    printf("%sneeds a hand:%s transaction %s is %s\n", ui_style(ui, stdout, UI_RED), ui_reset(ui, stdout),
           r->id, ferry_txn_state_name(r->state));
    ui_hands_text(ui, r->hands, r->n_hands, stdout);
}

static void print_move(struct libscols_table *table, struct json_object *subnet, struct json_object *move)
{
    bool ready = json_object_get_boolean(ui_member(move, "ready"));
    const char *rule = ui_text(move, "rule"), *why = ui_text(move, "why");
    FERRY_AUTOFREE char *text =
        why ? ferry_asprintf("%s%s%s", rule ? rule : "", rule ? ": " : "", why) : NULL;
    ui_table_row(table,
                 (const char *[]){ui_text(subnet, "name"), ui_text(subnet, "active"), ui_text(move, "to"),
                                  ready ? "yes" : "NO", ui_text(move, "last_drill"),
                                  ui_text(move, "last_test"), text},
                 ready ? UI_PLAIN : UI_RED);
}

static void print_readiness(const struct ui *ui, struct json_object *readiness)
{
    static const char *const columns[] = {"SUBNET",     "FROM",      "TO",      "READY",
                                          "LAST DRILL", "LAST TEST", "WHY NOT", NULL};
    struct json_object *subnets = ui_member(readiness, "subnets");
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    putchar('\n');
    for (size_t i = 0; i < ui_count(subnets); i++) {
        struct json_object *subnet = json_object_array_get_idx(subnets, i),
                           *moves = ui_member(subnet, "moves");
        for (size_t k = 0; k < ui_count(moves); k++)
            print_move(table, subnet, json_object_array_get_idx(moves, k));
    }
    ui_table_print(table);
}

static void print_text(const struct ui *ui, struct json_object *doc)
{
    static const char *const columns[] = {"SUBNET", "PREFIX", "HOME", "ACTIVE", "ATTACHED", "STATE", NULL};
    struct json_object *subnets = ui_member(doc, "subnets"), *unfinished = ui_member(doc, "unfinished");
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < ui_count(subnets); i++)
        print_subnet(table, json_object_array_get_idx(subnets, i));
    ui_table_print(table);
    print_drift(ui, subnets);
    print_unreachable(ui, ui_member(doc, "routers"));
    for (size_t i = 0; i < ui_count(unfinished); i++)
        print_unfinished(ui, json_object_array_get_idx(unfinished, i));
    if (ui_member(doc, "ended_with_hands"))
        print_ended(ui, ui_member(doc, "ended_with_hands"));
    ui_debts_text(ui, ui_member(doc, "debts"));
    if (ui_member(doc, "readiness"))
        print_readiness(ui, ui_member(doc, "readiness"));
}

/* ---- Looking ---- */

static int look(struct ui *ui, const struct status_options *o, struct json_object **ret)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(ferry_status_clear) struct ferry_status s = {0};
    FERRY_CLEANUP(ferry_readiness_clear) struct ferry_readiness ready = {0};
    struct ferry_fleet_config config = ui_fleet_config(ui);
    int r = ui_topology_load(ui, &t);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r < 0)
        return r;
    ferry_status_init(&s, t);
    r = ferry_status_read(&s, fleet, &ui->err);
    if (r == 0)
        r = ferry_unfinished_read(&ui->env, ui->state_dir, &s.unfinished, &ui->err);
    if (r == 0 && o->readiness)
        r = ferry_readiness_read(&config, t, &ready, &ui->err);
    if (r < 0)
        return r;
    *ret = ferry_status_json(&s);
    if (o->readiness)
        json_object_object_add(*ret, "readiness", ferry_readiness_json(&ready));
    return 0;
}

static int run(struct ui *ui, void *opaque)
{
    const struct status_options *o = opaque;
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *doc = NULL;
    int r = ui_daemon_status(ui, o->readiness, &doc);
    if (r > 0) /* none to ask */
        r = look(ui, o, &doc);
    if (r < 0)
        return r;
    struct json_object *readiness = ui_member(doc, "readiness");
    bool different = json_object_get_boolean(ui_member(doc, "differences")) ||
                     (readiness && !json_object_get_boolean(ui_member(readiness, "ready")));
    if (ui->json)
        ui_print_json(json_object_get(doc));
    else
        print_text(ui, doc);
    return o->detailed && different ? UI_DIFFERENT : UI_OK;
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
        "A debt is what a router still owes that was lost while a subnet moved: `ferry reconcile` delivers "
        "it.\n\n"
        "--readiness makes and proves a plan for every move that could be asked for, and lets the routers' "
        "drivers check it; nothing is written.  Where ferryd runs for the same topology it is asked instead "
        "of the routers (not with --no-daemon).\n\n"
        "Examples:\n  ferry -t site.json status\n  ferry -t site.json status --json --detailed-exitcode\n"
        "  ferry -t site.json status --readiness\n\n"
        "Exit status: 0; with --detailed-exitcode 2 on drift, an unreachable router, a debt or an unfinished "
        "transaction, with --readiness also where a move would not work.\n",
    .argp = &argp,
    .options_size = sizeof(struct status_options),
    .run = run,
};
