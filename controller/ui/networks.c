/* `ferry networks`: networks, clouds, mappings, and which targets are available.  Reads the topology alone.
 * SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include <string.h>

enum { KEY_TARGET = 0xa000, KEY_SOURCE };

struct networks_options {
    struct ui *ui;
    const char *source;
    char **targets;
    size_t n_targets;
};

static const struct argp_option known[] = {
    {"target", KEY_TARGET, "NETWORK", 0,
     "Say for each pair of clouds whether this VM network is available as target, and why not; several times",
     1},
    {"source", KEY_SOURCE, "NETWORK", 0,
     "Ask for machines of this VM network: only clouds that use it; without --target every other network is "
     "asked about",
     1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct networks_options *o = state->input;
    if (key == KEY_TARGET) {
        FERRY_GROW(o->targets, o->n_targets);
        o->targets[o->n_targets++] = arg;
        return 0;
    }
    if (key != KEY_SOURCE)
        return ARGP_ERR_UNKNOWN;
    if (o->source)
        return ui_usage(o->ui, "--source stands twice");
    o->source = arg;
    return 0;
}

static const struct argp argp = {.options = known, .parser = parse};

static void clear(void *options)
{
    struct networks_options *o = options;
    free(o->targets);
}

/* ---- What is asked of a target. ---- */

static void answers_clear(struct ui_targets *answers)
{
    free(answers->v);
}

static void ask(const struct ferry_topology *t, uint32_t source, uint32_t cloud, uint32_t target,
                struct ui_targets *ret)
{
    const struct ferry_networks *n = t->networks;
    struct ui_target a = {.cloud = cloud, .target = target};
    a.available = ferry_network_available(n, cloud, target) == FERRY_AVAILABLE;
    ferry_network_available_text(n, cloud, target, a.why);
    if (source != FERRY_NONE && !ferry_network_mappable(n, source, target)) {
        a.available = false;
        snprintf(a.why, sizeof a.why,
                 source == target ? "it is the source itself" : "it is at the source's site, %s",
                 t->sites[n->networks[target].site].name);
    }
    FERRY_GROW(ret->v, ret->n);
    ret->v[ret->n++] = a;
}

/* Every pair of clouds, or with a source those that use it, for every target that is asked about. */
static int answer(struct ui *ui, const struct networks_options *o, const struct ferry_topology *t,
                  struct ui_targets *ret)
{
    const struct ferry_networks *n = t->networks;
    uint32_t source = FERRY_NONE;
    int r = o->source ? ui_find_network(ui, n, o->source, &source) : 0;
    size_t count = o->n_targets ? o->n_targets : o->source && n ? n->n_networks : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        uint32_t target = (uint32_t)i;
        if (o->n_targets)
            r = ui_find_network(ui, n, o->targets[i], &target);
        if (r < 0 || (!o->n_targets && target == source))
            continue;
        for (uint32_t c = 0; c < n->n_clouds; c++)
            if (n->clouds[c].protected_by != FERRY_NONE &&
                (source == FERRY_NONE || ferry_cloud_uses(n, c, source)))
                ask(t, source, c, target, ret);
    }
    return r;
}

/* ---- What should be looked at. ---- */

static void add_warning(struct json_object *list, char *text)
{
    json_object_array_add(list, json_object_new_string(text));
    free(text);
}

/* Clouds that use the source are protected, and for none of them the target is available. */
static bool is_offered_to_nobody(const struct ferry_networks *n, uint32_t source)
{
    bool asked = false;
    for (uint32_t c = 0; c < n->n_clouds; c++) {
        if (n->clouds[c].protected_by == FERRY_NONE || !ferry_cloud_uses(n, c, source))
            continue;
        if (ferry_network_available(n, c, n->networks[source].mapped) == FERRY_AVAILABLE)
            return false;
        asked = true;
    }
    return asked;
}

static struct json_object *warnings(const struct ferry_networks *n)
{
    struct json_object *list = json_object_new_array();
    for (uint32_t i = 0; n && i < n->n_logical; i++) {
        bool used = false;
        for (size_t k = 0; k < n->n_networks; k++)
            used = used || n->networks[k].logical == i;
        if (!used)
            add_warning(list, ferry_asprintf("logical network %s has no VM network", n->logical[i].name));
    }
    for (size_t i = 0; n && i < n->n_mappings; i++) {
        const struct ferry_vm_network *from = &n->networks[n->mappings[i]], *to = &n->networks[from->mapped];
        if (is_offered_to_nobody(n, n->mappings[i]))
            add_warning(list,
                        ferry_asprintf("%s is mapped to %s, which is available for no cloud that uses it",
                                       from->name, to->name));
        if (to->mapped != FERRY_NONE && to->mapped != n->mappings[i])
            add_warning(list, ferry_asprintf("%s is mapped to %s, but %s to %s: machines fail back there",
                                             from->name, to->name, to->name, n->networks[to->mapped].name));
    }
    return list;
}

/* ---- As tables. ---- */

/* "a, b" of a list that grows; NULL while it is empty. */
static void append(char **list, const char *text)
{
    char *longer = ferry_asprintf("%s%s%s", *list ? *list : "", *list ? ", " : "", text);
    free(*list);
    *list = longer;
}

static void print_networks(const struct ui *ui, const struct ferry_topology *t)
{
    static const char *const columns[] = {"SITE", "SERVER", "VM NETWORK", "MAPPED TO", "SUBNETS", NULL};
    const struct ferry_networks *n = t->networks;
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    char prefix[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < n->n_networks; i++) {
        const struct ferry_vm_network *network = &n->networks[i];
        FERRY_AUTOFREE char *subnets = NULL;
        for (size_t s = 0; s < network->n_subnets; s++)
            for (size_t p = 0; p < network->subnets[s].n_prefixes; p++) {
                FERRY_AUTOFREE char *one =
                    ferry_asprintf("%s %s", network->subnets[s].name,
                                   ferry_prefix_text(&network->subnets[s].prefixes[p], prefix));
                append(&subnets, one);
            }
        ui_table_row(
            table,
            (const char *[]){t->sites[network->site].name, n->servers[network->server].name, network->name,
                             network->mapped == FERRY_NONE ? "not mapped" : n->networks[network->mapped].name,
                             subnets},
            UI_PLAIN);
    }
    ui_table_print(table);
}

static void print_clouds(const struct ui *ui, const struct ferry_networks *n)
{
    static const char *const columns[] = {"CLOUD", "SERVER", "PROTECTED BY", "LOGICAL NETWORKS", NULL};
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < n->n_clouds; i++) {
        const struct ferry_cloud *c = &n->clouds[i];
        FERRY_AUTOFREE char *logical = NULL;
        for (size_t k = 0; k < c->n_logical; k++)
            append(&logical, n->logical[c->logical[k]].name);
        ui_table_row(table,
                     (const char *[]){c->name, n->servers[c->server].name,
                                      c->protected_by == FERRY_NONE ? NULL : n->clouds[c->protected_by].name,
                                      logical},
                     UI_PLAIN);
    }
    ui_table_print(table);
}

/* A row for each site where a logical network has VM networks. */
static void print_logical(const struct ui *ui, const struct ferry_topology *t)
{
    static const char *const columns[] = {"SITE", "LOGICAL NETWORK", "VM NETWORKS", NULL};
    const struct ferry_networks *n = t->networks;
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (uint32_t i = 0; i < n->n_logical; i++) {
        bool any = false;
        for (uint32_t site = 0; site < t->n_sites; site++) {
            FERRY_AUTOFREE char *networks = NULL;
            for (size_t k = 0; k < n->n_networks; k++)
                if (n->networks[k].logical == i && n->networks[k].site == site)
                    append(&networks, n->networks[k].name);
            any = any || networks;
            if (networks)
                ui_table_row(table, (const char *[]){t->sites[site].name, n->logical[i].name, networks},
                             UI_PLAIN);
        }
        if (!any)
            ui_table_row(table, (const char *[]){NULL, n->logical[i].name, NULL}, UI_PLAIN);
    }
    ui_table_print(table);
}

static void print_answers(const struct ui *ui, const struct ferry_networks *n,
                          const struct ui_targets *answers)
{
    static const char *const columns[] = {
        "TARGET", "PROTECTED CLOUD", "PROTECTING CLOUD", "TARGET NETWORK", "WHY", NULL};
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < answers->n; i++) {
        const struct ui_target *a = &answers->v[i];
        ui_table_row(table,
                     (const char *[]){n->networks[a->target].name, n->clouds[a->cloud].name,
                                      n->clouds[n->clouds[a->cloud].protected_by].name,
                                      a->available ? "available" : "not available",
                                      a->available ? NULL : a->why},
                     a->available ? UI_PLAIN : UI_YELLOW);
    }
    ui_table_print(table);
}

static void print_text(const struct ui *ui, const struct networks_options *o, const struct ferry_topology *t,
                       const struct ui_targets *answers)
{
    if (o->n_targets || o->source) {
        if (answers->n)
            print_answers(ui, t->networks, answers);
        else
            ui_note(ui, "no protected cloud uses it");
        return;
    }
    print_networks(ui, t);
    if (t->networks->n_clouds) {
        putchar('\n');
        print_clouds(ui, t->networks);
    }
    putchar('\n');
    print_logical(ui, t);
}

static int run(struct ui *ui, void *options)
{
    const struct networks_options *o = options;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(answers_clear) struct ui_targets answers = {0};
    int r = ui_topology_load(ui, &t);
    if (r == 0)
        r = answer(ui, o, t, &answers);
    if (r < 0)
        return r;
    struct json_object *said = warnings(t->networks);
    if (ui->json)
        ui_print_json(ui_networks_json(t, &answers, said));
    else if (!t->networks)
        ui_note(ui, "topology %s says nothing of networks", t->name);
    else
        print_text(ui, o, t, &answers);
    for (size_t i = 0; !ui->json && i < json_object_array_length(said); i++)
        ui_warn(ui, "%s", json_object_get_string(json_object_array_get_idx(said, i)));
    json_object_put(said);
    return UI_OK;
}

const struct ui_verb ui_verb_networks = {
    .name = "networks",
    .args = "",
    .purpose = "Lists networks, clouds and mappings, and says which targets are available.",
    .examples = "Reads the topology alone, no router.  A target is available for a pair of clouds exactly if "
                "it is on the "
                "protecting cloud's server and its logical network is associated with that cloud.\n\n"
                "Examples:\n"
                "  ferry networks\n"
                "  ferry networks --target VMNetwork1-Chicago --target VMNetwork2-Chicago\n"
                "  ferry -t site.json networks --source VMNetwork1-NewYork --json\n",
    .argp = &argp,
    .options_size = sizeof(struct networks_options),
    .run = run,
    .clear = clear,
};
