/* Which tunnels of policy-based VPNs a forwarding needs; see tunnels.h.  SPDX-License-Identifier: MIT */
#include "model/tunnels.h"

#include <ferry/tunnel.h>

#include "base/mem.h"

#include <string.h>

bool ferry_link_carries(const struct ferry_topology *t, uint32_t link, int end, const struct ferry_entry *way)
{
    const struct ferry_link *l = &t->links[link];
    const struct ferry_end *here = end ? &l->b : &l->a, *there = end ? &l->a : &l->b;
    const char *dev = t->routers[here->router].interfaces[here->interface].name;
    for (size_t i = 0; way && way->type == FERRY_UNICAST && i < way->n_nexthops; i++)
        if (way->nexthops[i].router == there->router && strcmp(way->nexthops[i].dev, dev) == 0)
            return true;
    return false;
}

bool ferry_tunnel_has_local(const char *tunnel)
{
    return strncmp(tunnel, "strongswan ", 11) == 0;
}

static void expect(struct ferry_pool *pool, const struct ferry_stack **stack, const char *tunnel,
                   uint8_t side)
{
    uint32_t n = *stack ? (*stack)->n : 0;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc((size_t)n + 1, sizeof *entries);
    for (uint32_t i = 0; i < n; i++)
        entries[i] = (*stack)->entries[i];
    entries[n] = ferry_selector_entry(pool, tunnel, side);
    *stack = ferry_pool_stack(pool, entries, n + 1);
}

void ferry_selectors_expect(const struct ferry_topology *t, const struct ferry_entry *const *ways,
                            struct ferry_pool *pool, const struct ferry_stack **stacks)
{
    for (uint32_t i = 0; i < t->n_links; i++) {
        const struct ferry_link *link = &t->links[i];
        const uint32_t routers[2] = {link->a.router, link->b.router};
        for (int end = 0; link->kind == FERRY_LINK_VPN_POLICY && end < 2; end++) {
            if (!ferry_link_carries(t, i, end, ways[routers[end]]))
                continue;
            expect(pool, &stacks[routers[end]], link->tunnel[end], FERRY_SIDE_REMOTE);
            if (ferry_tunnel_has_local(link->tunnel[!end]))
                expect(pool, &stacks[routers[!end]], link->tunnel[!end], FERRY_SIDE_LOCAL);
        }
    }
}
