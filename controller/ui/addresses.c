/* `ferry addresses`: where each machine would be after a failover or a failback, with which address, and why; and the
 * reservations.  Reads topology and journal, no router.
 * SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include <string.h>

enum {
    KEY_NETWORK = 0xa100,
    KEY_FAILBACK,
    KEY_CSV,
    KEY_REPLICA,
    KEY_MAP,
    KEY_RESERVE,
    KEY_RELEASE,
    KEY_YES,
    KEY_DETAILED
};

/* Names of the command line, several of a kind. */
struct names {
    char **v;
    size_t n;
};

struct addresses_options {
    struct ui *ui;
    const char *network;
    struct names machines, replicas, maps;
    bool failback, csv, reserve, release, yes, detailed;
};

static const struct argp_option known[] = {
    {"network", KEY_NETWORK, "NETWORK", 0, "Machines of this VM network alone", 1},
    {"failback", KEY_FAILBACK, NULL, 0, "After a failback: from where the replicas are now", 1},
    {"csv", KEY_CSV, NULL, 0, "Comma-separated values (RFC 4180) with a header", 1},
    {"replica", KEY_REPLICA, "MACHINE=NETWORK", 0,
     "With --failback: as if the machine's replica had been connected to that network, or 'disconnected'; "
     "several times",
     1},
    {"map", KEY_MAP, "NETWORK=NETWORK", 0,
     "As if the first were mapped to the second, or 'none'; several times", 1},
    {"detailed-exitcode", KEY_DETAILED, NULL, 0, "Exit with 2 where a machine would not keep its address", 1},
    {"reserve", KEY_RESERVE, NULL, 0, "Keep the addresses shown for these machines until the move", 2},
    {"release", KEY_RELEASE, NULL, 0, "Take the reservations of these machines back", 2},
    {"yes", KEY_YES, NULL, 0, "Do not ask", 2},
    {0},
};

static int add_name(struct ui *ui, struct names *names, char *arg, const char *option)
{
    if (option && !strchr(arg, '='))
        return ui_usage(ui, "%s: '%s' is not NAME=NETWORK", option, arg);
    FERRY_GROW(names->v, names->n);
    names->v[names->n++] = arg;
    return 0;
}

static int finish(struct addresses_options *o)
{
    if (o->replicas.n && !o->failback)
        return ui_usage(o->ui, "--replica goes with --failback");
    if (o->csv && o->ui->json)
        return ui_usage(o->ui, "--csv and --json exclude each other");
    if (o->reserve && o->release)
        return ui_usage(o->ui, "--reserve and --release exclude each other");
    if ((o->reserve || o->release) && (o->failback || o->maps.n || o->csv))
        return ui_usage(o->ui, "--reserve and --release are for failovers as the topology has them");
    if (o->yes && !o->reserve && !o->release)
        return ui_usage(o->ui, "--yes goes with --reserve or --release");
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct addresses_options *o = state->input;
    bool *const flags[] = {
        [KEY_FAILBACK - KEY_NETWORK] = &o->failback, [KEY_CSV - KEY_NETWORK] = &o->csv,
        [KEY_RESERVE - KEY_NETWORK] = &o->reserve,   [KEY_RELEASE - KEY_NETWORK] = &o->release,
        [KEY_YES - KEY_NETWORK] = &o->yes,           [KEY_DETAILED - KEY_NETWORK] = &o->detailed};
    switch (key) {
    case KEY_NETWORK:
        if (o->network)
            return ui_usage(o->ui, "--network stands twice");
        o->network = arg;
        return 0;
    case KEY_REPLICA:
        return add_name(o->ui, &o->replicas, arg, "--replica");
    case KEY_MAP:
        return add_name(o->ui, &o->maps, arg, "--map");
    case ARGP_KEY_ARG:
        return add_name(o->ui, &o->machines, arg, NULL);
    case ARGP_KEY_END:
        return finish(o);
    default:
        if (key < KEY_NETWORK || key > KEY_DETAILED)
            return ARGP_ERR_UNKNOWN;
        *flags[key - KEY_NETWORK] = true;
        return 0;
    }
}

static const struct argp argp = {.options = known, .parser = parse};

static void clear(void *options)
{
    struct addresses_options *o = options;
    free(o->machines.v);
    free(o->replicas.v);
    free(o->maps.v);
}

static void addresses_clear(struct ui_addresses *a)
{
    ferry_address_rows_clear(&a->rows);
    json_object_put(a->warnings);
}

/* ---- As if. ---- */

/* The network that stands behind "=", or FERRY_NONE where `nowhere` does. */
static int network_behind(struct ui *ui, const struct ferry_networks *n, const char *arg, const char *nowhere,
                          uint32_t *ret)
{
    const char *name = strchr(arg, '=') + 1;
    *ret = FERRY_NONE;
    if (strcmp(name, nowhere) == 0 && (!n || ferry_networks_network(n, name) == FERRY_NONE))
        return 0;
    return ui_find_network(ui, n, name, ret);
}

static char *name_before(const char *arg)
{
    return ferry_asprintf("%.*s", (int)(strchr(arg, '=') - arg), arg);
}

static int apply_map(struct ui *ui, const char *arg, const struct ferry_topology *t)
{
    FERRY_AUTOFREE char *name = name_before(arg);
    uint32_t source, target;
    int r = ui_find_network(ui, t->networks, name, &source);
    if (r == 0)
        r = network_behind(ui, t->networks, arg, "none", &target);
    if (r < 0)
        return ferry_error_prefix(&ui->err, r, "--map");
    if (target != FERRY_NONE && !ferry_network_mappable(t->networks, source, target))
        return ferry_error(&ui->err, FERRY_EUSAGE, "--map: %s and %s are at the same site", name,
                           t->networks->networks[target].name);
    t->networks->networks[source].mapped = target;
    return 0;
}

static int apply_replica(struct ui *ui, const char *arg, const struct ferry_topology *t)
{
    FERRY_AUTOFREE char *name = name_before(arg);
    struct ferry_replica replica = {.state = FERRY_REPLICA_DISCONNECTED};
    uint32_t machine;
    int r = ui_find_machine(ui, t->networks, name, &machine);
    if (r == 0)
        r = network_behind(ui, t->networks, arg, "disconnected", &replica.network);
    if (r < 0)
        return ferry_error_prefix(&ui->err, r, "--replica");
    if (replica.network != FERRY_NONE)
        replica.state = FERRY_REPLICA_MOVED;
    for (size_t i = 0; i < t->networks->workloads[machine].n_nics; i++)
        if (t->networks->workloads[machine].nics[i].type != FERRY_NIC_NOT_CREATED)
            t->networks->workloads[machine].nics[i].replica = replica;
    return 0;
}

static int apply_ifs(struct ui *ui, const struct addresses_options *o, const struct ferry_topology *t)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < o->maps.n; i++)
        r = apply_map(ui, o->maps.v[i], t);
    for (size_t i = 0; r == 0 && i < o->replicas.n; i++)
        r = apply_replica(ui, o->replicas.v[i], t);
    return r;
}

/* ---- What is asked for. ---- */

/* Leaves the rows of the machines and of the network that were named. */
static int select_rows(struct ui *ui, const struct addresses_options *o, struct ui_addresses *a)
{
    const struct ferry_networks *n = a->t->networks;
    FERRY_AUTOFREE bool *wanted = ferry_calloc(n ? n->n_workloads : 0, sizeof *wanted);
    uint32_t network = FERRY_NONE, machine;
    size_t kept = 0;
    int r = o->network ? ui_find_network(ui, n, o->network, &network) : 0;
    for (size_t i = 0; r == 0 && i < o->machines.n; i++) {
        r = ui_find_machine(ui, n, o->machines.v[i], &machine);
        if (r == 0)
            wanted[machine] = true;
    }
    for (size_t i = 0; r == 0 && i < a->rows.n; i++) {
        const struct ferry_address_row *row = &a->rows.v[i];
        if ((!o->machines.n || wanted[row->workload]) &&
            (!o->network || n->workloads[row->workload].nics[row->nic].network == network))
            a->rows.v[kept++] = *row;
    }
    a->rows.n = kept;
    return r;
}

static void warn(struct ui_addresses *a, char *text)
{
    json_object_array_add(a->warnings, json_object_new_string(text));
    free(text);
}

/* Each pair of subnets once. */
static void check_all_dhcp(struct ui_addresses *a)
{
    const struct ferry_networks *n = a->t->networks;
    for (size_t i = 0; i < a->rows.n; i++) {
        const struct ferry_address_row *row = &a->rows.v[i];
        const struct ferry_nic *nic = &n->workloads[row->workload].nics[row->nic];
        bool again = row->why != FERRY_ADDRESS_DHCP;
        for (size_t k = 0; !again && k < i; k++) {
            const struct ferry_nic *other = &n->workloads[a->rows.v[k].workload].nics[a->rows.v[k].nic];
            again = a->rows.v[k].why == FERRY_ADDRESS_DHCP && other->network == nic->network &&
                    other->subnet == nic->subnet && a->rows.v[k].network == row->network;
        }
        char *gap = again ? NULL : ui_dhcp_gap(n, nic, row->network, row->subnet);
        if (gap)
            warn(a, gap);
    }
}

static void check_orphans(struct ui_addresses *a, const struct ferry_reservations *reservations)
{
    for (size_t i = 0; i < reservations->n; i++)
        if (!a->t->networks ||
            ferry_networks_workload(a->t->networks, reservations->v[i].workload) == FERRY_NONE)
            warn(a, ferry_asprintf(
                        "an address is reserved for %s, which the topology does not know: `ferry addresses "
                        "--release` takes all reservations back",
                        reservations->v[i].workload));
}

static int look(struct ui *ui, const struct addresses_options *o, struct ui_addresses *a)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_reservations_clear) struct ferry_reservations reservations = {0};
    int r = ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_journal_reservations(journal, a->t->name, &reservations, &ui->err);
    if (r == 0 && journal)
        r = ferry_journal_assignments(journal, a->t, &reservations, &ui->err);
    if (r < 0)
        return r;
    ferry_networks_addresses(a->t, a->failback, reservations.v, reservations.n, &a->rows);
    r = select_rows(ui, o, a);
    if (r == 0)
        check_all_dhcp(a);
    if (r == 0 && !o->machines.n)
        check_orphans(a, &reservations);
    return r;
}

/* ---- Reservations. ---- */

static int agree(struct ui *ui, const struct addresses_options *o, const char *question)
{
    if (o->yes)
        return 0;
    if (!ui_can_ask())
        return ferry_refuse(&ui->err, "confirmation",
                            "there is no terminal to ask on: add --yes to go ahead; nothing was written");
    return ui_ask(ui, question) ? 0 : ferry_error(&ui->err, FERRY_EIO, "nothing was written");
}

/* Every address that Ferry gives; what is reserved already is so again, as it is. */
static int reserve(struct ui *ui, const struct addresses_options *o, const struct ui_addresses *a)
{
    const struct ferry_networks *n = a->t->networks;
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_AUTOFREE struct ferry_reservation *list = ferry_calloc(a->rows.n, sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < a->rows.n; i++) {
        const struct ferry_address_row *row = &a->rows.v[i];
        const struct ferry_workload *w = &n->workloads[row->workload];
        if (row->after.family)
            list[count++] = (struct ferry_reservation){.workload = w->name,
                                                       .nic = w->nics[row->nic].name,
                                                       .network = n->networks[row->network].name,
                                                       .own = row->own,
                                                       .address = row->after};
    }
    if (count == 0)
        return 0;
    int r = agree(ui, o, "Reserve these addresses?");
    if (r == 0)
        r = ui_journal_open(ui, &journal);
    if (r == 0)
        r = ferry_journal_reserve(journal, a->t->name, list, count, &ui->err);
    ui->wrote = r == 0;
    if (r == 0)
        ui_note(ui, "reserved: %zu addresses", count);
    return r;
}

/* Of the machines that were named, else of all. */
static int release(struct ui *ui, const struct addresses_options *o, const struct ui_addresses *a)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    size_t total = 0, n = 0;
    if (o->network)
        return ferry_error(&ui->err, FERRY_EUSAGE, "--release: name machines, or none for all");
    int r = ui_journal_look(ui, &journal);
    if (r < 0 || !journal)
        return r;
    r = agree(ui, o, o->machines.n ? "Take their reservations back?" : "Take all reservations back?");
    ferry_journal_close(FERRY_STEAL(journal));
    if (r == 0)
        r = ui_journal_open(ui, &journal);
    for (size_t i = 0; r == 0 && i < (o->machines.n ? o->machines.n : 1); i++) {
        r = ferry_journal_release(journal, a->t->name, o->machines.n ? o->machines.v[i] : NULL, &n, &ui->err);
        total += r == 0 ? n : 0;
    }
    ui->wrote = r == 0;
    if (r == 0)
        ui_note(ui, "released: %zu addresses", total);
    return r;
}

/* ---- The verb. ---- */

static void show(const struct ui *ui, const struct addresses_options *o, const struct ui_addresses *a)
{
    if (ui->json) {
        ui_print_json(ui_addresses_json(a));
        return;
    }
    if (o->csv)
        ui_addresses_csv(a);
    else if (!a->t->networks || !a->t->networks->n_workloads)
        ui_note(ui, "topology %s says nothing of machines", a->t->name);
    else if (a->rows.n)
        ui_addresses_table(ui, a);
    for (size_t i = 0; i < json_object_array_length(a->warnings); i++)
        ui_warn(ui, "%s", json_object_get_string(json_object_array_get_idx(a->warnings, i)));
}

static bool all_keep(const struct ui_addresses *a)
{
    for (size_t i = 0; i < a->rows.n; i++)
        if (a->rows.v[i].why != FERRY_ADDRESS_DHCP &&
            !ferry_addr_equal(&a->rows.v[i].own, &a->rows.v[i].after))
            return false;
    return true;
}

static int run(struct ui *ui, void *options)
{
    const struct addresses_options *o = options;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(addresses_clear)
    struct ui_addresses a = {.failback = o->failback, .warnings = json_object_new_array()};
    int r = ui_topology_load(ui, &t);
    a.t = t;
    if (r == 0)
        r = apply_ifs(ui, o, t);
    if (r == 0)
        r = look(ui, o, &a);
    if (r == 0 && o->reserve && !o->yes && !ui->json)
        ui_addresses_table(ui, &a);
    if (r == 0 && (o->reserve || o->release)) {
        r = o->reserve ? reserve(ui, o, &a) : release(ui, o, &a);
        ferry_address_rows_clear(&a.rows);
        json_object_put(a.warnings);
        a.warnings = json_object_new_array();
        r = r < 0 ? r : look(ui, o, &a); /* as it is now */
    }
    if (r < 0)
        return r;
    show(ui, o, &a);
    return o->detailed && !all_keep(&a) ? UI_DIFFERENT : UI_OK;
}

const struct ui_verb ui_verb_addresses = {
    .name = "addresses",
    .args = "[MACHINE...]",
    .purpose = "Shows each machine's address before and after a failover, and why.",
    .examples = "Every machine follows its network's mapping.  It keeps its address where the target's "
                "static pool has it and "
                "it is free, else it gets the next free one; DHCP addresses are not managed, but a target "
                "that does not lease "
                "the source's range is warned of.  Reads topology and journal, no router; --reserve and "
                "--release write to "
                "the journal alone, and ask.\n\n"
                "Examples:\n"
                "  ferry addresses\n"
                "  ferry addresses --network VMNetwork1-NewYork --csv\n"
                "  ferry addresses --failback --replica VM1=disconnected\n"
                "  ferry addresses VM1 VM2 --reserve\n",
    .argp = &argp,
    .options_size = sizeof(struct addresses_options),
    .run = run,
    .clear = clear,
};
