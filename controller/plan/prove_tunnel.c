/* Policy-based VPNs: a tunnel of a site must not take a prefix away while it is attached there (rule
 * local-network).  See prove_parts.h.
 *
 * Like two sites, this is a matter of two slots: whichever order the changes of a stage take effect in, both
 * can be there at once exactly if each can.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include <ferry/tunnel.h>

#include <string.h>

static bool sends(const struct ferry_entry *e)
{
    return e && e->type == FERRY_TRAFFIC_SELECTOR && e->protocol == FERRY_SIDE_REMOTE;
}

bool prove_slot_remote(const struct prove_slot *slot)
{
    return slot->layer == 0 && slot->rank == PROVE_SELECTOR && (sends(slot->now) || sends(slot->after));
}

/* A selector of this router, the one that needs the fewest changes; `fresh`: one that is not there yet. */
static const struct prove_slot *remote_of(const struct prover *p, uint32_t router, bool fresh)
{
    const struct prove_row *row = &p->rows[router];
    const struct prove_slot *best = NULL;
    for (size_t i = 0; i < row->n; i++)
        if (prove_slot_remote(&row->slots[i]) && !(fresh && row->slots[i].now) &&
            (!best || (row->slots[i].now && !best->now)))
            best = &row->slots[i];
    return best;
}

uint32_t prove_local_network(const struct prover *p, const struct prove_slot **ret_selector,
                             uint32_t *ret_router, const struct prove_slot **ret_gateway,
                             uint32_t *ret_attached)
{
    const struct ferry_plan_router *routers = p->plan->routers;
    uint32_t best = PROVE_NONE;
    for (uint32_t a = 0; a < p->plan->n_routers; a++) {
        const struct prove_slot *gateway = prove_slot_of(p, a, PROVE_GATEWAY);
        if (!gateway || !routers[a].site)
            continue;
        for (uint32_t b = 0; b < p->plan->n_routers; b++) {
            if (!routers[b].site || strcmp(routers[a].site, routers[b].site) != 0)
                continue;
            const struct prove_slot *s = remote_of(p, b, p->reconcile && gateway->now);
            uint32_t cost = s ? (uint32_t)!gateway->now + (uint32_t)!s->now : PROVE_NONE;
            if (cost >= best)
                continue;
            best = cost;
            *ret_selector = s;
            *ret_router = b;
            *ret_gateway = gateway;
            *ret_attached = a;
        }
    }
    return best;
}

const char *prove_tunnel_fault(const struct ferry_change *c)
{
    const struct ferry_entry *sides[] = {c->before, c->after};
    if (c->kind != FERRY_KIND_SELECTOR)
        return NULL;
    for (size_t i = 0; i < 2; i++)
        if (sides[i] && ferry_selector_key((const char *)sides[i]->native, sides[i]->native_len,
                                           sides[i]->protocol) != c->metric)
            return "its key is not that of the tunnel and side";
    return NULL;
}
