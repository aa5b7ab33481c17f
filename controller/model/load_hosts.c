/* Host routes: where a stretched subnet says "host-routes", each of its machines is a subnet of its own, of one
 * address, that the file does not list; see load.h.  What moves a subnet moves it: planned, proven, journalled and
 * undone like any other.
 *
 *  1. A host is named after its machine; its further addresses are MACHINE.2, MACHINE.3, …
 *  2. It has a gateway where the subnet around it has one, and its home is the site of its machine's network.
 *  3. It is stretched: its new site is attached before the old one is left.
 *  4. On a LAN it is attached by a route to itself, which needs the LAN's own: the subnet around it never moves
 *     (plan/check.c).
 *
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include <ferry/networks.h>

#include "base/mem.h"

#include <string.h>

struct hosts {
    struct ferry_loader *l;
    uint32_t v;   /* of "workloads" */
    size_t n_own; /* subnets that the file lists */
};

/* The innermost listed subnet with host routes around an address, or FERRY_NONE. */
static uint32_t around(const struct hosts *h, const struct ferry_addr *a)
{
    const struct ferry_topology *t = h->l->t;
    uint32_t best = FERRY_NONE;
    for (uint32_t i = 0; i < h->n_own; i++)
        if (t->subnets[i].host_routes && ferry_prefix_contains(&t->subnets[i].prefix, a) &&
            (best == FERRY_NONE || t->subnets[i].prefix.len > t->subnets[best].prefix.len))
            best = i;
    return best;
}

/* Invariant 2; false: the subnet around has none at the machine's site. */
static bool add_gateways(const struct ferry_topology *t, const struct ferry_subnet *outer,
                         struct ferry_subnet *host)
{
    bool home = false;
    host->gateways = ferry_calloc(outer->n_gateways, sizeof *host->gateways);
    for (size_t i = 0; i < outer->n_gateways; i++) {
        const struct ferry_gateway *from = &outer->gateways[i];
        host->gateways[host->n_gateways++] =
            (struct ferry_gateway){.router = from->router,
                                   .interface = from->interface,
                                   .via = from->via.family ? from->via : host->prefix.addr};
        home = home || t->routers[from->router].site == host->home;
    }
    return home;
}

static void add_names(const struct hosts *h, uint32_t index)
{
    struct ferry_loader *l = h->l;
    const struct ferry_subnet *host = &l->t->subnets[index];
    char text[FERRY_PREFIX_STRLEN];
    const char *name = ferry_json_arena(l->doc, host->name, strlen(host->name) + 1);
    if (strlen(name) > FERRY_NAME_MAX)
        ferry_json_error(l->doc, h->v, &l->err, "'%s' would be too long a name for a host route", name);
    if (ferry_map_add(&l->subnets, name, strlen(name), index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, h->v, &l->err, "the host route '%s' has the name of a subnet", name);
    if (ferry_map_add(&l->prefixes, ferry_json_arena(l->doc, &host->prefix, sizeof host->prefix),
                      sizeof host->prefix, index) != FERRY_MAP_NONE)
        ferry_json_error(l->doc, h->v, &l->err, "%s, of machine '%s', is a subnet already",
                         ferry_prefix_text(&host->prefix, text), name);
}

static void add_host(const struct hosts *h, uint32_t outer, uint32_t machine, uint32_t nic,
                     const struct ferry_addr *a, uint32_t nth)
{
    struct ferry_topology *t = h->l->t;
    const char *name = t->networks->workloads[machine].name;
    uint32_t site = t->networks->networks[t->networks->workloads[machine].nics[nic].network].site;
    uint32_t index = (uint32_t)t->n_subnets++;
    t->subnets = ferry_realloc(t->subnets, t->n_subnets, sizeof *t->subnets);
    struct ferry_subnet *host = &t->subnets[index];
    *host = (struct ferry_subnet){.name = nth ? ferry_asprintf("%s.%u", name, nth + 1) : ferry_strdup(name),
                                  .prefix = {*a, ferry_addr_bits(a->family)},
                                  .home = site,
                                  .table = t->subnets[outer].table,
                                  .stretched = true,
                                  .is_host = true,
                                  .around = outer,
                                  .machine = machine,
                                  .nic = nic};
    if (!add_gateways(t, &t->subnets[outer], host))
        ferry_json_error(h->l->doc, h->v, &h->l->err,
                         "machine '%s' has no host route: subnet '%s' has no gateway at its site", name,
                         t->subnets[outer].name);
    add_names(h, index);
}

void ferry_load_hosts(struct ferry_loader *l)
{
    const struct ferry_networks *n = l->t->networks;
    struct hosts h = {
        .l = l, .v = ferry_json_get(l->doc, FERRY_JSON_ROOT, "workloads"), .n_own = l->t->n_subnets};
    bool any = false;
    for (size_t i = 0; i < h.n_own; i++)
        any = any || l->t->subnets[i].host_routes;
    for (uint32_t w = 0; any && n && !l->findings->n && w < n->n_workloads; w++) {
        uint32_t nth = 0;
        for (uint32_t i = 0; i < n->workloads[w].n_nics; i++) {
            const struct ferry_nic *nic = &n->workloads[w].nics[i];
            for (size_t k = 0; nic->assignment == FERRY_ASSIGN_STATIC && k < nic->n_addresses; k++) {
                uint32_t outer = around(&h, &nic->addresses[k]);
                if (outer != FERRY_NONE)
                    add_host(&h, outer, w, i, &nic->addresses[k], nth++);
            }
        }
    }
}
