/* The rules of networks and mappings, as pure functions; see ferry/networks.h.  Addresses are networks_addresses.c.
 * SPDX-License-Identifier: MIT */
#include <ferry/networks.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

const char *ferry_assignment_name(enum ferry_assignment assignment)
{
    return assignment == FERRY_ASSIGN_DHCP ? "dhcp" : "static";
}

const char *ferry_nic_type_name(enum ferry_nic_type type)
{
    static const char *const names[] = {[FERRY_NIC_PRIMARY] = "primary",
                                        [FERRY_NIC_SECONDARY] = "secondary",
                                        [FERRY_NIC_NOT_CREATED] = "not-created"};
    return (unsigned)type < FERRY_COUNT(names) ? names[type] : "unknown";
}

const char *ferry_move_kind_name(enum ferry_move_kind kind)
{
    static const char *const names[] = {[FERRY_MOVE_SUBNET] = "subnet-failover",
                                        [FERRY_MOVE_STRETCHED] = "stretched",
                                        [FERRY_MOVE_CHANGE_ADDRESS] = "change-address"};
    return (unsigned)kind < FERRY_COUNT(names) ? names[kind] : NULL;
}

/* ---- The end. ---- */

static void free_network(struct ferry_vm_network *network)
{
    for (size_t i = 0; i < network->n_subnets; i++) {
        free(network->subnets[i].name);
        free(network->subnets[i].prefixes);
    }
    free(network->subnets);
    free(network->pool);
    free(network->dhcp);
    free(network->name);
}

static void free_workload(struct ferry_workload *w)
{
    for (size_t i = 0; i < w->n_nics; i++) {
        free(w->nics[i].name);
        free(w->nics[i].addresses);
        free(w->nics[i].asked);
        for (size_t k = 0; k < w->nics[i].n_dns; k++)
            free(w->nics[i].dns[k].name);
        free(w->nics[i].dns);
    }
    free(w->nics);
    free(w->name);
}

void ferry_networks_free(struct ferry_networks *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n_servers; i++) {
        free(n->servers[i].name);
        free(n->servers[i].sites);
    }
    for (size_t i = 0; i < n->n_logical; i++)
        free(n->logical[i].name);
    for (size_t i = 0; i < n->n_clouds; i++) {
        free(n->clouds[i].name);
        free(n->clouds[i].logical);
    }
    for (size_t i = 0; i < n->n_networks; i++)
        free_network(&n->networks[i]);
    for (size_t i = 0; i < n->n_workloads; i++)
        free_workload(&n->workloads[i]);
    free(n->servers);
    free(n->logical);
    free(n->clouds);
    free(n->networks);
    free(n->mappings);
    free(n->workloads);
    free(n);
}

uint32_t ferry_networks_network(const struct ferry_networks *n, const char *name)
{
    for (uint32_t i = 0; i < n->n_networks; i++)
        if (strcmp(n->networks[i].name, name) == 0)
            return i;
    return FERRY_NONE;
}

uint32_t ferry_networks_workload(const struct ferry_networks *n, const char *name)
{
    for (uint32_t i = 0; i < n->n_workloads; i++)
        if (strcmp(n->workloads[i].name, name) == 0)
            return i;
    return FERRY_NONE;
}

/* ---- Which targets are available. ---- */

static bool is_associated(const struct ferry_cloud *cloud, uint32_t logical)
{
    for (size_t i = 0; i < cloud->n_logical; i++)
        if (cloud->logical[i] == logical)
            return true;
    return false;
}

enum ferry_available ferry_network_available(const struct ferry_networks *n, uint32_t cloud, uint32_t target)
{
    uint32_t by = n->clouds[cloud].protected_by;
    if (by == FERRY_NONE)
        return FERRY_CLOUD_UNPROTECTED;
    if (n->clouds[by].server != n->networks[target].server)
        return FERRY_OTHER_SERVER;
    return is_associated(&n->clouds[by], n->networks[target].logical) ? FERRY_AVAILABLE
                                                                      : FERRY_LOGICAL_UNASSOCIATED;
}

void ferry_network_available_text(const struct ferry_networks *n, uint32_t cloud, uint32_t target,
                                  char ret[static 256])
{
    const struct ferry_vm_network *network = &n->networks[target];
    const struct ferry_cloud *by =
        n->clouds[cloud].protected_by == FERRY_NONE ? NULL : &n->clouds[n->clouds[cloud].protected_by];
    ret[0] = '\0';
    switch (ferry_network_available(n, cloud, target)) {
    case FERRY_AVAILABLE:
        break;
    case FERRY_CLOUD_UNPROTECTED:
        snprintf(ret, 256, "no cloud protects %s", n->clouds[cloud].name);
        break;
    case FERRY_OTHER_SERVER:
        snprintf(ret, 256, "%s is on server %s, %s on %s", network->name, n->servers[network->server].name,
                 by->name, n->servers[by->server].name);
        break;
    case FERRY_LOGICAL_UNASSOCIATED:
        snprintf(ret, 256, "its logical network %s is not associated with %s",
                 n->logical[network->logical].name, by->name);
        break;
    }
}

bool ferry_cloud_uses(const struct ferry_networks *n, uint32_t cloud, uint32_t network)
{
    if (n->clouds[cloud].server != n->networks[network].server)
        return false;
    if (is_associated(&n->clouds[cloud], n->networks[network].logical))
        return true;
    for (size_t i = 0; i < n->n_workloads; i++)
        for (size_t j = 0; n->workloads[i].cloud == cloud && j < n->workloads[i].n_nics; j++)
            if (n->workloads[i].nics[j].network == network)
                return true;
    return false;
}

bool ferry_network_mappable(const struct ferry_networks *n, uint32_t source, uint32_t target)
{
    return source != target && n->networks[source].site != n->networks[target].site;
}

/* ---- Where a machine is connected. ---- */

uint32_t ferry_network_subnet(const struct ferry_networks *n, uint32_t source, uint32_t subnet,
                              uint32_t target)
{
    const struct ferry_vm_network *from = &n->networks[source], *to = &n->networks[target];
    for (uint32_t i = 0; i < to->n_subnets; i++)
        if (strcmp(to->subnets[i].name, from->subnets[subnet].name) == 0)
            return i;
    return 0;
}

uint32_t ferry_network_failback(const struct ferry_networks *n, uint32_t source, uint32_t target,
                                const struct ferry_replica *replica, enum ferry_failback *ret_why)
{
    bool moved = replica->state == FERRY_REPLICA_MOVED && replica->network != target;
    uint32_t at = moved ? replica->network : target;
    uint32_t mapped = at == FERRY_NONE ? FERRY_NONE : n->networks[at].mapped;
    *ret_why = FERRY_FAILBACK_MAPPED;
    if (replica->state == FERRY_REPLICA_DISCONNECTED)
        *ret_why = FERRY_FAILBACK_DISCONNECTED;
    else if (!moved && (mapped == FERRY_NONE || mapped == source))
        *ret_why = FERRY_FAILBACK_SOURCE;
    else if (mapped == FERRY_NONE)
        *ret_why = FERRY_FAILBACK_UNMAPPED;
    return *ret_why == FERRY_FAILBACK_SOURCE   ? source
           : *ret_why == FERRY_FAILBACK_MAPPED ? mapped
                                               : FERRY_NONE;
}

/* ---- Which routes follow. ---- */

static bool has_prefix(const struct ferry_network_subnet *subnet, const struct ferry_prefix *p)
{
    for (size_t i = 0; i < subnet->n_prefixes; i++)
        if (ferry_prefix_equal(&subnet->prefixes[i], p))
            return true;
    return false;
}

void ferry_network_moves_add(const struct ferry_topology *t, uint32_t network,
                             struct ferry_network_moves *ret)
{
    const struct ferry_networks *n = t->networks;
    const struct ferry_vm_network *from = &n->networks[network];
    char text[FERRY_PREFIX_STRLEN];
    for (uint32_t s = 0; from->mapped != FERRY_NONE && s < from->n_subnets; s++)
        for (size_t i = 0; i < from->subnets[s].n_prefixes; i++) {
            struct ferry_network_move move = {.network = network,
                                              .subnet = s,
                                              .prefix = from->subnets[s].prefixes[i],
                                              .target = from->mapped,
                                              .routed = FERRY_NONE,
                                              .follows = FERRY_FOLLOWS_READDRESSED};
            move.target_subnet = ferry_network_subnet(n, network, s, from->mapped);
            if (from->move != FERRY_MOVE_CHANGE_ADDRESS &&
                has_prefix(&n->networks[from->mapped].subnets[move.target_subnet], &move.prefix)) {
                move.routed = ferry_topology_subnet(t, ferry_prefix_text(&move.prefix, text));
                move.follows = move.routed == FERRY_NONE ? FERRY_FOLLOWS_UNROUTED : FERRY_FOLLOWS_ROUTED;
            }
            FERRY_GROW(ret->v, ret->n);
            ret->v[ret->n++] = move;
        }
}

void ferry_network_moves_clear(struct ferry_network_moves *moves)
{
    free(moves->v);
    *moves = (struct ferry_network_moves){0};
}

bool ferry_network_moves_along(const struct ferry_networks *n, const struct ferry_network_move *move,
                               const struct ferry_nic *nic)
{
    const struct ferry_vm_network *network = &n->networks[nic->network];
    return network->site == n->networks[move->network].site && nic->type != FERRY_NIC_NOT_CREATED &&
           has_prefix(&network->subnets[nic->subnet], &move->prefix);
}

/* ---- Addresses. ---- */

void ferry_address_unavailable_text(const struct ferry_networks *n, const struct ferry_address_row *row,
                                    char ret[static 256])
{
    char asked[FERRY_ADDR_STRLEN];
    ret[0] = '\0';
    if (!row->asked.family || row->network == FERRY_NONE || ferry_addr_equal(&row->asked, &row->after))
        return;
    const struct ferry_vm_network *network = &n->networks[row->network];
    const struct ferry_network_subnet *subnet = &network->subnets[row->subnet];
    ferry_addr_text(&row->asked, asked);
    if (row->why == FERRY_ADDRESS_RESERVED || row->why == FERRY_ADDRESS_ASSIGNED)
        snprintf(ret, 256, "%s, which is asked for, is not what was %s", asked,
                 ferry_address_why_name(row->why));
    else if (row->taken_by)
        snprintf(ret, 256, "%s, which is asked for, is taken by %s", asked, row->taken_by);
    else
        snprintf(ret, 256, "%s, which is asked for, is not in %ssubnet %s of %s", asked,
                 ferry_network_subnet_has(subnet, &row->asked) ? "the pool of " : "", subnet->name,
                 network->name);
}
