/* Loads the machines of a topology and their NICs: "workloads"; see load_networks.h.  SPDX-License-Identifier: MIT */
#include "model/load_networks.h"

#include "base/mem.h"

#include <string.h>

#define NICS_MAX 64

/* A machine with one NIC may say at once what else its NIC would say. */
#define NIC_KEYS                                                                                             \
    "network", "subnet", "address", "addresses", "assignment", "replica", "dns", "target-type",              \
        "target-address"

struct machines {
    struct ferry_network_loader *nl;
    struct ferry_map addresses; /* machines by VM network and address */
    uint32_t types[NICS_MAX]; /* "target-type" of each NIC of the machine that is loaded, where it has one */
};

/* By name; without a name the one that the first address lies in, else the first. */
static uint32_t load_subnet(struct ferry_loader *l, uint32_t object, const struct ferry_vm_network *network,
                            const struct ferry_addr *first)
{
    const char *name = NULL;
    if (ferry_json_opt_string(l->doc, object, "subnet", &name, &l->err) < 0)
        return FERRY_NONE;
    for (uint32_t i = 0; i < network->n_subnets; i++) {
        const struct ferry_network_subnet *s = &network->subnets[i];
        if (name && strcmp(s->name, name) == 0)
            return i;
        for (size_t j = 0; !name && first && j < s->n_prefixes; j++)
            if (ferry_prefix_contains(&s->prefixes[j], first))
                return i;
    }
    if (!name)
        return 0;
    ferry_json_error(l->doc, ferry_json_get(l->doc, object, "subnet"), &l->err,
                     "network '%s' has no subnet '%.80s'", network->name, name);
    return FERRY_NONE;
}

static void check_address(struct machines *m, uint32_t v, const struct ferry_nic *nic,
                          const struct ferry_addr *a, uint32_t workload)
{
    struct ferry_loader *l = m->nl->l;
    const struct ferry_vm_network *network = &m->nl->n->networks[nic->network];
    const struct ferry_network_subnet *subnet = &network->subnets[nic->subnet];
    const struct ferry_prefix *in = NULL;
    char text[FERRY_ADDR_STRLEN];
    struct {
        uint32_t network;
        struct ferry_addr a;
    } key;
    for (size_t i = 0; i < subnet->n_prefixes && !in; i++)
        if (ferry_prefix_contains(&subnet->prefixes[i], a))
            in = &subnet->prefixes[i];
    struct ferry_prefix with = {*a, in ? in->len : 0};
    ferry_addr_text(a, text);
    if (!in)
        ferry_json_error(l->doc, v, &l->err, "%s is not in subnet '%s' of network '%s'", text, subnet->name,
                         network->name);
    else if (ferry_load_is_network(&with) || ferry_load_is_broadcast(&with))
        ferry_json_error(l->doc, v, &l->err, "%s is the %s address of subnet '%s'", text,
                         ferry_load_is_network(&with) ? "network's own" : "broadcast", subnet->name);
    memset(&key, 0, sizeof key); /* padding too: it is hashed */
    key.network = nic->network;
    key.a = *a;
    uint32_t other =
        ferry_map_add(&m->addresses, ferry_json_arena(l->doc, &key, sizeof key), sizeof key, workload);
    if (other != FERRY_MAP_NONE)
        ferry_json_error(l->doc, v, &l->err, "machine '%s' has %s in network '%s' already",
                         m->nl->n->workloads[other].name, text, network->name);
}

/* An element of "addresses" may be {"address", "target-address"}: gives the values of both. */
static bool open_address(struct ferry_loader *l, uint32_t *v, uint32_t *ret_asked)
{
    static const char *const keys[] = {"address", "target-address", NULL};
    uint32_t element = *v;
    if (ferry_json_type(l->doc, element) != FERRY_JSON_OBJECT)
        return true;
    if (ferry_json_keys(l->doc, element, keys, &l->err) < 0 ||
        ferry_json_need(l->doc, element, "address", FERRY_JSON_STRING, v, &l->err) < 0)
        return false;
    *ret_asked = ferry_json_get(l->doc, element, "target-address");
    return true;
}

/* The addresses, one after the other; `at`: where each stands. */
static void load_each(struct machines *m, uint32_t object, const uint32_t *list, size_t n, uint32_t *at,
                      struct ferry_nic *nic)
{
    struct ferry_loader *l = m->nl->l;
    uint32_t alone = ferry_json_get(l->doc, object, "target-address");
    bool many = ferry_json_get(l->doc, object, "addresses") != FERRY_JSON_NONE;
    if (alone != FERRY_JSON_NONE && (many || n == 0))
        ferry_json_error_key(l->doc, alone, &l->err,
                             many ? "'target-address' goes with 'address': in 'addresses' each has its own"
                                  : "'target-address' goes with 'address'");
    for (size_t i = 0; i < n; i++) {
        uint32_t v = list[i], asked = many ? FERRY_JSON_NONE : alone;
        if ((many && !open_address(l, &v, &asked)) ||
            !ferry_load_plain_address(l, v, &nic->addresses[nic->n_addresses]))
            continue;
        at[nic->n_addresses++] = v;
        if (asked != FERRY_JSON_NONE)
            ferry_load_asked(m->nl, asked, nic, nic->n_addresses - 1);
    }
}

static void load_addresses(struct machines *m, uint32_t object, struct ferry_nic *nic, uint32_t workload)
{
    struct ferry_loader *l = m->nl->l;
    size_t n;
    FERRY_AUTOFREE uint32_t *list = ferry_load_one_or_many(l, object, "address", "addresses", &n);
    FERRY_AUTOFREE uint32_t *at = ferry_calloc(n, sizeof *at);
    nic->addresses = ferry_calloc(n, sizeof *nic->addresses);
    nic->asked = ferry_calloc(n, sizeof *nic->asked);
    load_each(m, object, list, n, at, nic);
    if (list && n == 0 && nic->assignment == FERRY_ASSIGN_STATIC &&
        ferry_json_get(l->doc, object, "addresses") == FERRY_JSON_NONE)
        ferry_json_error(l->doc, object, &l->err, "'address' is missing: without one it is \"dhcp\"");
    if (nic->network == FERRY_NONE || m->nl->n->networks[nic->network].n_subnets == 0)
        return;
    nic->subnet = load_subnet(l, object, &m->nl->n->networks[nic->network],
                              nic->n_addresses ? &nic->addresses[0] : NULL);
    for (size_t i = 0; i < nic->n_addresses && nic->subnet != FERRY_NONE; i++)
        check_address(m, at[i], nic, &nic->addresses[i], workload);
}

static void load_assignment(struct ferry_loader *l, uint32_t object, struct ferry_nic *nic)
{
    const char *text = "static";
    if (ferry_json_opt_string(l->doc, object, "assignment", &text, &l->err) < 0)
        return;
    if (strcmp(text, "static") == 0)
        return;
    nic->assignment = FERRY_ASSIGN_DHCP;
    if (strcmp(text, "dhcp") != 0)
        ferry_json_error(l->doc, ferry_json_get(l->doc, object, "assignment"), &l->err,
                         "'%.40s' is neither static nor dhcp", text);
}

/* Without one it may become the primary one: choose_primary. */
static void load_type(struct machines *m, uint32_t object, size_t index, struct ferry_nic *nic)
{
    struct ferry_loader *l = m->nl->l;
    const char *text = NULL;
    nic->type = FERRY_NIC_SECONDARY;
    m->types[index] = FERRY_JSON_NONE;
    if (ferry_json_opt_string(l->doc, object, "target-type", &text, &l->err) < 0 || !text)
        return;
    m->types[index] = ferry_json_get(l->doc, object, "target-type");
    for (enum ferry_nic_type type = FERRY_NIC_PRIMARY; type <= FERRY_NIC_NOT_CREATED; type++)
        if (strcmp(text, ferry_nic_type_name(type)) == 0) {
            nic->type = type;
            return;
        }
    ferry_json_error(l->doc, m->types[index], &l->err,
                     "'%.40s' is neither primary, secondary nor not-created", text);
    m->types[index] = FERRY_JSON_NONE; /* one finding is enough */
}

/* The one that says so, else the first that says nothing of it; a machine without one has no way out of the
 * network that it fails over to. */
static void choose_primary(struct machines *m, uint32_t v, struct ferry_workload *w)
{
    struct ferry_loader *l = m->nl->l;
    size_t primary = w->n_nics, silent = w->n_nics;
    for (size_t i = w->n_nics; i-- > 0;)
        if (m->types[i] == FERRY_JSON_NONE)
            silent = i;
    for (size_t i = 0; i < w->n_nics; i++) {
        if (w->nics[i].type != FERRY_NIC_PRIMARY)
            continue;
        if (primary < w->n_nics)
            ferry_json_error(l->doc, m->types[i], &l->err,
                             "NIC '%s' is the primary one of machine '%s' already", w->nics[primary].name,
                             w->name);
        else
            primary = i;
    }
    if (primary == w->n_nics)
        primary = silent;
    if (primary < w->n_nics)
        w->nics[primary].type = FERRY_NIC_PRIMARY;
    else
        ferry_json_error(
            l->doc, v, &l->err,
            "machine '%s' has no primary NIC at the target: one of those that are created must be", w->name);
}

/* "disconnected", or the VM network that the replica was moved to. */
static void load_replica(struct ferry_network_loader *nl, uint32_t object, struct ferry_nic *nic)
{
    const char *text = NULL;
    nic->replica.network = FERRY_NONE;
    if (ferry_json_opt_string(nl->l->doc, object, "replica", &text, &nl->l->err) < 0 || !text)
        return;
    if (nic->type == FERRY_NIC_NOT_CREATED)
        ferry_json_error(nl->l->doc, ferry_json_get(nl->l->doc, object, "replica"), &nl->l->err,
                         "a NIC that is not created has no replica");
    nic->replica.state = FERRY_REPLICA_DISCONNECTED;
    if (strcmp(text, "disconnected") == 0)
        return;
    nic->replica.state = FERRY_REPLICA_MOVED;
    nic->replica.network = ferry_load_reference(nl->l, object, "replica", &nl->networks, "VM network");
}

/* A protected machine's network is one of its cloud's: of its server, and where the cloud says any, of its
 * logical networks. */
static void check_cloud(struct ferry_network_loader *nl, uint32_t object, uint32_t index,
                        const struct ferry_nic *nic)
{
    struct ferry_loader *l = nl->l;
    if (index == FERRY_NONE || nic->network == FERRY_NONE)
        return;
    const struct ferry_cloud *cloud = &nl->n->clouds[index];
    const struct ferry_vm_network *network = &nl->n->networks[nic->network];
    bool associated = cloud->n_logical == 0;
    for (size_t i = 0; i < cloud->n_logical; i++)
        associated = associated || cloud->logical[i] == network->logical;
    uint32_t v = ferry_json_get(l->doc, object, "network");
    if (cloud->server != network->server)
        ferry_json_error(l->doc, v, &l->err, "network '%s' is not on the server of cloud '%s'", network->name,
                         cloud->name);
    else if (!associated && network->logical != FERRY_NONE)
        ferry_json_error(l->doc, v, &l->err,
                         "network '%s' is on logical network '%s', which is not associated with cloud '%s'",
                         network->name, nl->n->logical[network->logical].name, cloud->name);
}

static void load_nic(struct machines *m, uint32_t object, uint32_t workload, size_t index)
{
    struct ferry_network_loader *nl = m->nl;
    struct ferry_nic *nic = &nl->n->workloads[workload].nics[index];
    nic->subnet = FERRY_NONE;
    load_type(m, object, index, nic);
    nic->network = ferry_load_reference(nl->l, object, "network", &nl->networks, "VM network");
    load_assignment(nl->l, object, nic);
    load_addresses(m, object, nic, workload);
    load_replica(nl, object, nic);
    ferry_load_nic_names(nl->l, object, nic);
    check_cloud(nl, object, nl->n->workloads[workload].cloud, nic);
}

static void load_nics(struct machines *m, uint32_t array, uint32_t index)
{
    static const char *const keys[] = {"name", NIC_KEYS, NULL};
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map names = {0};
    struct ferry_loader *l = m->nl->l;
    struct ferry_workload *w = &m->nl->n->workloads[index];
    uint32_t n = ferry_json_count(l->doc, array);
    if (n == 0 || n > NICS_MAX) {
        ferry_json_error(l->doc, array, &l->err, "a machine has 1 to %d NICs", NICS_MAX);
        return;
    }
    w->nics = ferry_calloc(n, sizeof *w->nics);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        if (ferry_load_full(l))
            return;
        if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
            continue;
        (void)!ferry_json_keys(l->doc, v, keys, &l->err);
        size_t nic = w->n_nics++;
        w->nics[nic].name = ferry_load_new_name(l, v, &names, (uint32_t)nic, "a NIC");
        load_nic(m, v, index, nic);
    }
    choose_primary(m, array, w);
}

static void load_workload(struct machines *m, uint32_t v, uint32_t index)
{
    static const char *const keys[] = {"name", "cloud", "ready", "nics", NIC_KEYS, NULL};
    static const char *const of_nic[] = {NIC_KEYS};
    struct ferry_loader *l = m->nl->l;
    struct ferry_workload *w = &m->nl->n->workloads[index];
    uint32_t array = FERRY_JSON_NONE;
    bool ready = true;
    w->cloud = FERRY_NONE;
    if (ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    w->name = ferry_load_new_name(l, v, &m->nl->workloads, index, "a machine");
    (void)!ferry_json_opt_bool(l->doc, v, "ready", &ready, &l->err);
    w->not_ready = !ready;
    if (ferry_json_get(l->doc, v, "cloud") != FERRY_JSON_NONE)
        w->cloud = ferry_load_reference(l, v, "cloud", &m->nl->clouds, "cloud");
    if (ferry_json_opt(l->doc, v, "nics", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    if (array == FERRY_JSON_NONE) {
        w->nics = ferry_calloc(w->n_nics = 1, sizeof *w->nics);
        w->nics[0].name = ferry_strdup("nic0");
        load_nic(m, v, index, 0);
        choose_primary(m, v, w);
        return;
    }
    for (size_t i = 0; i < FERRY_COUNT(of_nic); i++) {
        uint32_t member = ferry_json_get(l->doc, v, of_nic[i]);
        if (member != FERRY_JSON_NONE)
            ferry_json_error_key(l->doc, member, &l->err, "'%s' and 'nics' exclude each other", of_nic[i]);
    }
    load_nics(m, array, index);
}

static void clear(struct machines *m)
{
    ferry_map_clear(&m->addresses);
}

void ferry_load_workloads(struct ferry_network_loader *nl, uint32_t array)
{
    FERRY_CLEANUP(clear) struct machines m = {.nl = nl};
    struct ferry_networks *n = nl->n;
    n->workloads = ferry_calloc(ferry_json_count(nl->l->doc, array), sizeof *n->workloads);
    FERRY_JSON_EACH(nl->l->doc, array, v)
    {
        if (ferry_load_full(nl->l))
            return;
        load_workload(&m, v, (uint32_t)n->n_workloads++);
    }
}
