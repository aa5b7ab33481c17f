/* --network: the moves that follow from a VM network's mapping, and which machines they take along.
 * SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include <string.h>

int ui_find_network(struct ui *ui, const struct ferry_networks *n, const char *name, uint32_t *ret)
{
    size_t count = n ? n->n_networks : 0;
    uint32_t i = n ? ferry_networks_network(n, name) : FERRY_NONE;
    if (i != FERRY_NONE) {
        *ret = i;
        return 0;
    }
    FERRY_AUTOFREE const char **names = ferry_calloc(count + 1, sizeof *names);
    for (size_t k = 0; k < count; k++)
        names[k] = n->networks[k].name;
    return ui_unknown(ui, "network", name, names, count);
}

int ui_find_machine(struct ui *ui, const struct ferry_networks *n, const char *name, uint32_t *ret)
{
    size_t count = n ? n->n_workloads : 0;
    uint32_t i = n ? ferry_networks_workload(n, name) : FERRY_NONE;
    if (i != FERRY_NONE) {
        *ret = i;
        return 0;
    }
    FERRY_AUTOFREE const char **names = ferry_calloc(count + 1, sizeof *names);
    for (size_t k = 0; k < count; k++)
        names[k] = n->workloads[k].name;
    return ui_unknown(ui, "machine", name, names, count);
}

void ui_moves_add(struct ui_moves *m, struct ferry_move move)
{
    FERRY_GROW(m->v, m->n);
    m->v[m->n++] = move;
}

void ui_moves_clear(struct ui_moves *m)
{
    free(m->v);
}

bool ui_host_stays(const struct ferry_topology *t, const struct ferry_subnet *host, uint32_t to)
{
    const struct ferry_nic *nic = &t->networks->workloads[host->machine].nics[host->nic];
    return nic->type == FERRY_NIC_NOT_CREATED && t->networks->networks[nic->network].site != to;
}

/* "VM1, VM3" of the machines that go along; NULL: none. */
static char *machines_along(const struct ferry_networks *n, const struct ferry_network_move *move)
{
    char *list = NULL;
    for (size_t i = 0; i < n->n_workloads; i++) {
        const struct ferry_workload *w = &n->workloads[i];
        bool along = false;
        for (size_t k = 0; k < w->n_nics; k++)
            along = along || ferry_network_moves_along(n, move, &w->nics[k]);
        if (!along)
            continue;
        char *longer = ferry_asprintf("%s%s%s", list ? list : "", list ? ", " : "", w->name);
        free(list);
        list = longer;
    }
    return list;
}

static void say(const struct ui *ui, const struct ferry_topology *t, const struct ferry_network_move *move)
{
    const struct ferry_networks *n = t->networks;
    const struct ferry_vm_network *from = &n->networks[move->network], *to = &n->networks[move->target];
    char prefix[FERRY_PREFIX_STRLEN];
    ferry_prefix_text(&move->prefix, prefix);
    FERRY_AUTOFREE char *along = move->follows == FERRY_FOLLOWS_ROUTED ? machines_along(n, move) : NULL;
    switch (move->follows) {
    case FERRY_FOLLOWS_ROUTED:
        ui_note(ui, "%s, %s %s: %s %s %s to %s; machines that move along: %s", from->name,
                from->subnets[move->subnet].name, prefix,
                t->subnets[move->routed].host_routes ? "host routes in" : "subnet",
                t->subnets[move->routed].name, t->subnets[move->routed].host_routes ? "lead" : "moves",
                t->sites[to->site].name, along ? along : "none");
        break;
    case FERRY_FOLLOWS_READDRESSED:
        ui_note(ui, "%s, %s %s: %s, subnet %s, has other addresses: no route changes", from->name,
                from->subnets[move->subnet].name, prefix, to->name, to->subnets[move->target_subnet].name);
        break;
    case FERRY_FOLLOWS_UNROUTED:
        ui_warn(ui, "%s, %s %s: the topology routes no such subnet: nothing moves", from->name,
                from->subnets[move->subnet].name, prefix);
        break;
    }
}

char *ui_dhcp_gap(const struct ferry_networks *n, const struct ferry_nic *nic, uint32_t target,
                  uint32_t subnet)
{
    const struct ferry_vm_network *from = &n->networks[nic->network], *to = &n->networks[target];
    struct ferry_range missing;
    char text[FERRY_RANGE_STRLEN];
    if (to == from)
        return NULL;
    if (!from->n_dhcp)
        return ferry_asprintf("%s names no DHCP range: whether %s leases the same cannot be checked",
                              from->name, to->name);
    if (ferry_dhcp_covers(from, nic->subnet, to, subnet, &missing))
        return NULL;
    return ferry_asprintf("DHCP of %s (subnet %s) does not lease %s, which that of %s does", to->name,
                          to->subnets[subnet].name, ferry_range_text(&missing, text), from->name);
}

/* Where a machine of the subnet has its address by DHCP. */
static void check_dhcp(const struct ui *ui, const struct ferry_networks *n,
                       const struct ferry_network_move *move)
{
    for (size_t i = 0; i < n->n_workloads; i++)
        for (size_t k = 0; k < n->workloads[i].n_nics; k++) {
            const struct ferry_nic *nic = &n->workloads[i].nics[k];
            if (nic->assignment != FERRY_ASSIGN_DHCP || nic->type == FERRY_NIC_NOT_CREATED ||
                nic->network != move->network || nic->subnet != move->subnet)
                continue;
            FERRY_AUTOFREE char *gap = ui_dhcp_gap(n, nic, move->target, move->target_subnet);
            if (gap)
                ui_warn(ui, "%s", gap);
            return;
        }
}

/* Two networks may share a subnet: once, where both lead to one site. */
static int add_move(struct ui *ui, const struct ferry_topology *t, const struct ferry_network_move *move,
                    uint32_t subnet, struct ui_moves *moves)
{
    uint32_t to = t->networks->networks[move->target].site;
    for (size_t i = 0; i < moves->n; i++) {
        if (moves->v[i].subnet != subnet)
            continue;
        return moves->v[i].to == to
                   ? 0
                   : ferry_error(&ui->err, FERRY_EUSAGE, "--network: subnet %s would go to %s and to %s",
                                 t->subnets[subnet].name, t->sites[moves->v[i].to].name, t->sites[to].name);
    }
    ui_moves_add(moves, (struct ferry_move){subnet, to});
    return 0;
}

/* A subnet with host routes stays, and those of the network's machines follow them, one by one: who is not ready
 * stays too. */
static int add_moves(struct ui *ui, const struct ferry_topology *t, const struct ferry_network_move *move,
                     bool failback, struct ui_moves *moves)
{
    const struct ferry_networks *n = t->networks;
    int r = 0;
    if (!t->subnets[move->routed].host_routes)
        return add_move(ui, t, move, move->routed, moves);
    for (uint32_t i = 0; r == 0 && i < t->n_subnets; i++) {
        const struct ferry_subnet *host = &t->subnets[i];
        if (!host->is_host || host->around != move->routed || host->home != n->networks[move->network].site)
            continue;
        if (n->workloads[host->machine].not_ready && !failback)
            ui_warn(ui, "%s is not ready to move: its host route stays", n->workloads[host->machine].name);
        else if (ui_host_stays(t, host, n->networks[move->target].site) && !failback)
            ui_warn(ui, "NIC %s of %s is not created there: the host route %s stays",
                    n->workloads[host->machine].nics[host->nic].name, n->workloads[host->machine].name,
                    host->name);
        else
            r = add_move(ui, t, move, i, moves);
    }
    return r;
}

/* The network's "move" holds for each of its subnets. */
static int check_kind(struct ui *ui, const struct ferry_topology *t, const struct ferry_network_move *move)
{
    const struct ferry_vm_network *from = &t->networks->networks[move->network];
    const char *subnet = from->subnets[move->subnet].name, *kind = ferry_move_kind_name(from->move);
    bool keeps = from->move == FERRY_MOVE_SUBNET || from->move == FERRY_MOVE_STRETCHED;
    if (keeps && move->follows == FERRY_FOLLOWS_READDRESSED)
        return ferry_error(&ui->err, FERRY_EUSAGE,
                           "--network: %s says \"move\": \"%s\", but its subnet %s has other addresses in %s",
                           from->name, kind, subnet, t->networks->networks[move->target].name);
    if (keeps && move->follows == FERRY_FOLLOWS_ROUTED &&
        t->subnets[move->routed].stretched != (from->move == FERRY_MOVE_STRETCHED))
        return ferry_error(&ui->err, FERRY_EUSAGE,
                           "--network: %s says \"move\": \"%s\", but the routed subnet %s is %sstretched",
                           from->name, kind, t->subnets[move->routed].name,
                           t->subnets[move->routed].stretched ? "" : "not ");
    return 0;
}

int ui_network_moves(struct ui *ui, const struct ferry_topology *t, const struct ui_selection *s,
                     struct ui_moves *moves)
{
    char *const *networks = s->networks;
    size_t n = s->n_networks;
    FERRY_CLEANUP(ferry_network_moves_clear) struct ferry_network_moves list = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        uint32_t network;
        r = ui_find_network(ui, t->networks, networks[i], &network);
        if (r == 0 && t->networks->networks[network].mapped == FERRY_NONE)
            r = ferry_error(&ui->err, FERRY_EUSAGE, "--network: %s is not mapped, so nothing follows",
                            networks[i]);
        if (r == 0)
            ferry_network_moves_add(t, network, &list);
    }
    for (size_t i = 0; r == 0 && i < list.n; i++) {
        r = check_kind(ui, t, &list.v[i]);
        if (r < 0)
            return r;
        if (!s->failback)
            say(ui, t, &list.v[i]);
        if (!s->failback && (i == 0 || list.v[i].subnet != list.v[i - 1].subnet ||
                             list.v[i].network != list.v[i - 1].network))
            check_dhcp(ui, t->networks, &list.v[i]);
        if (list.v[i].follows == FERRY_FOLLOWS_ROUTED)
            r = add_moves(ui, t, &list.v[i], s->failback, moves);
    }
    return r;
}
