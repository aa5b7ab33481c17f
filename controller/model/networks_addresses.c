/* Which address a machine has after a failover or a failback, and why; see ferry/networks.h.
 *
 * Invariants
 *  1. What can be kept is kept: no address is handed out before every machine that can keep its own, and is not
 *     asked another for, has it; then what is asked for is given, in the order of the file.
 *  2. No address of a network is given to two NICs, nor one that a machine or a router of the site has there,
 *     nor one that is reserved for somebody else.
 *  3. The same topology and reservations give the same rows.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/networks.h>

#include "base/mem.h"
#include "model/map.h"

#include <string.h>

const char *ferry_address_why_name(enum ferry_address_why why)
{
    static const char *const names[] = {
        [FERRY_ADDRESS_KEPT] = "kept",
        [FERRY_ADDRESS_OWN] = "own",
        [FERRY_ADDRESS_RESERVED] = "reserved",
        [FERRY_ADDRESS_ASSIGNED] = "assigned",
        [FERRY_ADDRESS_OUTSIDE] = "outside-pool",
        [FERRY_ADDRESS_TAKEN] = "taken",
        [FERRY_ADDRESS_EXHAUSTED] = "exhausted",
        [FERRY_ADDRESS_NO_POOL] = "no-pool",
        [FERRY_ADDRESS_DHCP] = "dhcp",
        [FERRY_ADDRESS_UNCONNECTED] = "disconnected",
        [FERRY_ADDRESS_NOT_CREATED] = "not-created",
        [FERRY_ADDRESS_ASKED] = "asked-for",
        [FERRY_ADDRESS_UNAVAILABLE] = "not-available",
    };
    return (unsigned)why < FERRY_COUNT(names) ? names[why] : "unknown";
}

/* ---- Who has what. ---- */

/* The key of `taken`; padding is zero, as it is hashed. */
struct place {
    uint32_t network;
    struct ferry_addr a;
};

struct holder {
    struct holder *next;
    struct place place;
    const char *name; /* of a machine or router */
};

/* Where the next free address of a subnet is looked for, by family. */
struct cursor {
    size_t range;
    struct ferry_addr at; /* family 0: at the beginning of that range */
};

struct assigner {
    const struct ferry_topology *t;
    const struct ferry_networks *n;
    struct ferry_address_rows rows;
    struct ferry_map taken; /* into `by_index` */
    struct holder *holders, **by_index;
    size_t n_holders;
    size_t *subnet_base;    /* [n_networks]: the number of a network's first subnet */
    struct cursor *cursors; /* two a subnet: IPv4, IPv6 */
};

static struct place place_of(uint32_t network, const struct ferry_addr *a)
{
    struct place p;
    memset(&p, 0, sizeof p);
    p.network = network;
    memcpy(&p.a, a, sizeof p.a);
    return p;
}

static const struct holder *holder_of(const struct assigner *as, uint32_t network, const struct ferry_addr *a)
{
    struct place p = place_of(network, a);
    uint32_t index = ferry_map_get(&as->taken, &p, sizeof p);
    return index == FERRY_MAP_NONE ? NULL : as->by_index[index];
}

/* The first one keeps it. */
static void take(struct assigner *as, uint32_t network, const struct ferry_addr *a, const char *name)
{
    if (holder_of(as, network, a))
        return;
    struct holder *h = ferry_calloc(1, sizeof *h);
    h->place = place_of(network, a);
    h->name = name;
    h->next = as->holders;
    as->holders = h;
    FERRY_GROW(as->by_index, as->n_holders);
    as->by_index[as->n_holders] = h;
    ferry_map_add(&as->taken, &h->place, sizeof h->place, (uint32_t)as->n_holders++);
}

/* Addresses of the routers of a network's site that lie in its subnets; gateways' too, which the file lists apart. */
static void take_routers(struct assigner *as, uint32_t index)
{
    const struct ferry_topology *t = as->t;
    const struct ferry_vm_network *network = &as->n->networks[index];
    for (size_t s = 0; s < network->n_subnets; s++) {
        const struct ferry_network_subnet *subnet = &network->subnets[s];
        for (size_t r = 0; r < t->n_routers; r++)
            for (size_t i = 0; t->routers[r].site == network->site && i < t->routers[r].n_interfaces; i++)
                for (size_t j = 0; j < t->routers[r].interfaces[i].n_addresses; j++) {
                    const struct ferry_addr *a = &t->routers[r].interfaces[i].addresses[j].addr;
                    if (ferry_network_subnet_has(subnet, a))
                        take(as, index, a, t->routers[r].name);
                }
        for (size_t k = 0; k < t->n_subnets; k++)
            for (size_t g = 0; g < t->subnets[k].n_gateways; g++) {
                const struct ferry_gateway *gateway = &t->subnets[k].gateways[g];
                if (gateway->address.addr.family && t->routers[gateway->router].site == network->site &&
                    ferry_network_subnet_has(subnet, &gateway->address.addr))
                    take(as, index, &gateway->address.addr, t->routers[gateway->router].name);
            }
    }
}

static void take_machines(struct assigner *as)
{
    for (uint32_t w = 0; w < as->n->n_workloads; w++) {
        const struct ferry_workload *machine = &as->n->workloads[w];
        for (uint32_t i = 0; i < machine->n_nics; i++)
            for (size_t a = 0; a < machine->nics[i].n_addresses; a++)
                take(as, machine->nics[i].network, &machine->nics[i].addresses[a], machine->name);
    }
}

/* ---- Rows. ---- */

static const struct ferry_nic *nic_of(const struct assigner *as, const struct ferry_address_row *row)
{
    return &as->n->workloads[row->workload].nics[row->nic];
}

static uint32_t subnet_in(const struct assigner *as, const struct ferry_nic *nic, uint32_t network)
{
    return network == FERRY_NONE     ? FERRY_NONE
           : network == nic->network ? nic->subnet
                                     : ferry_network_subnet(as->n, nic->network, nic->subnet, network);
}

/* Where a machine's replica is since the failover. */
static uint32_t replica_at(const struct ferry_nic *nic, uint32_t target)
{
    if (nic->type == FERRY_NIC_NOT_CREATED)
        return FERRY_NONE;
    switch (nic->replica.state) {
    case FERRY_REPLICA_DISCONNECTED:
        return FERRY_NONE;
    case FERRY_REPLICA_MOVED:
        return nic->replica.network;
    case FERRY_REPLICA_UNCHANGED:
        break;
    }
    return target;
}

/* `a`: of the NIC's addresses; FERRY_NONE: it has none. */
static void add_row(struct assigner *as, uint32_t workload, uint32_t index, uint32_t a, bool failback)
{
    const struct ferry_nic *nic = &as->n->workloads[workload].nics[index];
    uint32_t target = as->n->networks[nic->network].mapped;
    bool left_out = nic->type == FERRY_NIC_NOT_CREATED;
    struct ferry_address_row row = {
        .workload = workload, .nic = index, .network = left_out ? FERRY_NONE : target};
    if (a != FERRY_NONE)
        row.own = nic->addresses[a];
    if (a != FERRY_NONE && !failback)
        row.asked = nic->asked[a];
    row.from = failback ? replica_at(nic, target) : nic->network;
    if (!failback) {
        row.before = row.own;
    } else if (left_out) { /* as it was */
        row.network = nic->network;
        row.path = FERRY_FAILBACK_NOT_CREATED;
    } else {
        row.network = ferry_network_failback(as->n, nic->network, target, &nic->replica, &row.path);
    }
    row.from_subnet = subnet_in(as, nic, row.from);
    row.subnet = subnet_in(as, nic, row.network);
    FERRY_GROW(as->rows.v, as->rows.n);
    as->rows.v[as->rows.n++] = row;
}

static void add_rows(struct assigner *as, bool failback)
{
    for (uint32_t w = 0; w < as->n->n_workloads; w++)
        for (uint32_t i = 0; i < as->n->workloads[w].n_nics; i++) {
            const struct ferry_nic *nic = &as->n->workloads[w].nics[i];
            for (uint32_t a = 0; a < nic->n_addresses; a++)
                add_row(as, w, i, a, failback);
            if (nic->n_addresses == 0)
                add_row(as, w, i, FERRY_NONE, failback);
        }
}

static void give(struct assigner *as, struct ferry_address_row *row, const struct ferry_addr *a,
                 enum ferry_address_why why)
{
    row->after = *a;
    row->why = why;
    take(as, row->network, a, as->n->workloads[row->workload].name);
}

/* Whether the static pool of the row's subnet has the address. */
static bool pool_has(const struct assigner *as, const struct ferry_address_row *row,
                     const struct ferry_addr *a)
{
    const struct ferry_vm_network *network = &as->n->networks[row->network];
    return ferry_network_subnet_has(&network->subnets[row->subnet], a) &&
           ferry_ranges_contain(network->pool, network->n_pool, a);
}

static bool has_pool(const struct assigner *as, const struct ferry_address_row *row)
{
    const struct ferry_vm_network *network = &as->n->networks[row->network];
    for (size_t i = 0; i < network->n_pool; i++)
        if (network->pool[i].first.family == row->own.family &&
            ferry_network_subnet_has(&network->subnets[row->subnet], &network->pool[i].first))
            return true;
    return false;
}

/* What needs no address of a pool: true where the row is complete. */
static bool is_settled(const struct assigner *as, struct ferry_address_row *row)
{
    const struct ferry_nic *nic = nic_of(as, row);
    row->why = nic->type == FERRY_NIC_NOT_CREATED ? FERRY_ADDRESS_NOT_CREATED : FERRY_ADDRESS_UNCONNECTED;
    if (row->network == FERRY_NONE)
        return true;
    row->why = FERRY_ADDRESS_DHCP;
    if (nic->assignment == FERRY_ASSIGN_DHCP)
        return true;
    row->why = FERRY_ADDRESS_OWN;
    if (row->network == nic->network) { /* failback to where it came from */
        row->after = row->own;
        return true;
    }
    row->why = FERRY_ADDRESS_NO_POOL;
    return !has_pool(as, row);
}

/* Reservations by machine, NIC and own address: "VM1 nic0 192.168.1.10". */
struct reserved {
    struct ferry_map map;
    const struct ferry_reservation *list;
    char **keys;
    size_t n;
};

static char *reservation_key(const char *workload, const char *nic, const struct ferry_addr *own)
{
    char text[FERRY_ADDR_STRLEN];
    return ferry_asprintf("%s %s %s", workload, nic, ferry_addr_text(own, text));
}

static void reserved_init(struct reserved *r, const struct ferry_reservation *list, size_t n)
{
    *r = (struct reserved){.list = list, .n = n, .keys = ferry_calloc(n, sizeof *r->keys)};
    for (size_t i = 0; i < n; i++) {
        r->keys[i] = reservation_key(list[i].workload, list[i].nic, &list[i].own);
        ferry_map_add(&r->map, r->keys[i], strlen(r->keys[i]), (uint32_t)i);
    }
}

static void reserved_clear(struct reserved *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->keys[i]);
    free(r->keys);
    ferry_map_clear(&r->map);
}

static const struct ferry_reservation *reservation_of(const struct assigner *as, const struct reserved *r,
                                                      const struct ferry_address_row *row)
{
    if (r->n == 0)
        return NULL;
    FERRY_AUTOFREE char *key =
        reservation_key(as->n->workloads[row->workload].name, nic_of(as, row)->name, &row->own);
    uint32_t index = ferry_map_get(&r->map, key, strlen(key));
    return index == FERRY_MAP_NONE ? NULL : &r->list[index];
}

static void use_reservation(struct assigner *as, struct ferry_address_row *row,
                            const struct ferry_reservation *r)
{
    bool holds = strcmp(r->network, as->n->networks[row->network].name) == 0 &&
                 pool_has(as, row, &r->address) && !holder_of(as, row->network, &r->address);
    if (holds)
        give(as, row, &r->address, r->assigned_by[0] ? FERRY_ADDRESS_ASSIGNED : FERRY_ADDRESS_RESERVED);
    row->stale = !holds;
}

static void keep(struct assigner *as, struct ferry_address_row *row)
{
    const struct holder *holder = holder_of(as, row->network, &row->own);
    if (!pool_has(as, row, &row->own)) {
        row->why = FERRY_ADDRESS_OUTSIDE;
    } else if (holder) {
        row->why = FERRY_ADDRESS_TAKEN;
        row->taken_by = holder->name;
    } else {
        give(as, row, &row->own, FERRY_ADDRESS_KEPT);
    }
}

static void ask(struct assigner *as, struct ferry_address_row *row)
{
    const struct holder *holder = holder_of(as, row->network, &row->asked);
    row->why = FERRY_ADDRESS_UNAVAILABLE;
    if (holder)
        row->taken_by = holder->name;
    else if (pool_has(as, row, &row->asked))
        give(as, row, &row->asked, FERRY_ADDRESS_ASKED);
}

/* The first free address of the pool, in its order.  What was passed once is taken for good, so the cursor
 * only goes on. */
static void hand_out(struct assigner *as, struct ferry_address_row *row)
{
    const struct ferry_vm_network *network = &as->n->networks[row->network];
    struct cursor *c =
        &as->cursors[2 * (as->subnet_base[row->network] + row->subnet) + (row->own.family == AF_INET6)];
    for (; c->range < network->n_pool; c->range++, c->at.family = 0) {
        const struct ferry_range *range = &network->pool[c->range];
        if (range->first.family != row->own.family ||
            !ferry_network_subnet_has(&network->subnets[row->subnet], &range->first))
            continue;
        if (!c->at.family)
            c->at = range->first;
        while (holder_of(as, row->network, &c->at) && ferry_addr_next(&c->at) &&
               ferry_range_contains(range, &c->at))
            ;
        if (ferry_range_contains(range, &c->at) && !holder_of(as, row->network, &c->at)) {
            give(as, row, &c->at, row->why);
            return;
        }
    }
    row->why = FERRY_ADDRESS_EXHAUSTED;
}

static void assign(struct assigner *as, const struct ferry_reservation *reservations, size_t n)
{
    FERRY_CLEANUP(reserved_clear) struct reserved reserved;
    reserved_init(&reserved, reservations, n);
    FERRY_AUTOFREE bool *done = ferry_calloc(as->rows.n, sizeof *done);
    for (size_t i = 0; i < as->rows.n; i++) {
        struct ferry_address_row *row = &as->rows.v[i];
        done[i] = is_settled(as, row);
        bool left_out = row->why == FERRY_ADDRESS_NOT_CREATED;
        const struct ferry_reservation *r = done[i] && !left_out ? NULL : reservation_of(as, &reserved, row);
        row->stale = r && left_out;
        if (r && !left_out)
            use_reservation(as, row, r);
        done[i] = done[i] || row->why == FERRY_ADDRESS_RESERVED || row->why == FERRY_ADDRESS_ASSIGNED;
    }
    for (size_t i = 0; i < as->rows.n; i++)
        if (!done[i] && !as->rows.v[i].asked.family) {
            keep(as, &as->rows.v[i]);
            done[i] = as->rows.v[i].why == FERRY_ADDRESS_KEPT;
        }
    for (size_t i = 0; i < as->rows.n; i++)
        if (!done[i] && as->rows.v[i].asked.family) {
            ask(as, &as->rows.v[i]);
            done[i] = as->rows.v[i].why == FERRY_ADDRESS_ASKED;
        }
    for (size_t i = 0; i < as->rows.n; i++)
        if (!done[i])
            hand_out(as, &as->rows.v[i]);
}

static void assigner_clear(struct assigner *as)
{
    while (as->holders) {
        struct holder *next = as->holders->next;
        free(as->holders);
        as->holders = next;
    }
    ferry_map_clear(&as->taken);
    free(as->by_index);
    free(as->subnet_base);
    free(as->cursors);
    free(as->rows.v);
}

static void assigner_init(struct assigner *as, const struct ferry_topology *t)
{
    size_t subnets = 0;
    as->t = t;
    as->n = t->networks;
    as->subnet_base = ferry_calloc(as->n->n_networks, sizeof *as->subnet_base);
    for (size_t i = 0; i < as->n->n_networks; i++) {
        as->subnet_base[i] = subnets;
        subnets += as->n->networks[i].n_subnets;
    }
    as->cursors = ferry_calloc(2 * subnets, sizeof *as->cursors);
    for (uint32_t i = 0; i < as->n->n_networks; i++)
        take_routers(as, i);
    take_machines(as);
}

/* The address that the failover gave, where the replica still is where that put it. */
static void fill_before(struct ferry_address_rows *rows, const struct ferry_address_rows *failover)
{
    for (size_t i = 0; i < rows->n; i++)
        if (rows->v[i].from == failover->v[i].network)
            rows->v[i].before = failover->v[i].after;
}

void ferry_networks_addresses(const struct ferry_topology *t, bool failback,
                              const struct ferry_reservation *reservations, size_t n_reservations,
                              struct ferry_address_rows *ret)
{
    FERRY_CLEANUP(assigner_clear) struct assigner as = {0};
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows failover = {0};
    *ret = (struct ferry_address_rows){0};
    if (!t->networks)
        return;
    if (failback)
        ferry_networks_addresses(t, false, reservations, n_reservations, &failover);
    assigner_init(&as, t);
    /* Reservations are for failovers: on the way back they are somebody's. */
    for (size_t i = 0; failback && i < n_reservations; i++) {
        uint32_t network = ferry_networks_network(as.n, reservations[i].network);
        if (network != FERRY_NONE)
            take(&as, network, &reservations[i].address, reservations[i].workload);
    }
    add_rows(&as, failback);
    assign(&as, reservations, failback ? 0 : n_reservations);
    if (failback)
        fill_before(&as.rows, &failover);
    *ret = as.rows;
    as.rows = (struct ferry_address_rows){0};
}

void ferry_address_rows_clear(struct ferry_address_rows *rows)
{
    free(rows->v);
    *rows = (struct ferry_address_rows){0};
}
