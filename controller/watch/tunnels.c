/* Whether the tunnels of policy-based VPNs carry what is forwarded into them; see paths.h.
 *
 *  1. Packets that a router sends into a tunnel whose traffic selectors do not name the subnet are lost, though every
 *     route is right; a tunnel that names it where it is attached on its own side takes them away from there.
 *  2. A router that holds no traffic selector at all is not judged: not every driver reads them, and one that does
 *     not must not be called broken.
 *
 * SPDX-License-Identifier: MIT */
#include "watch/paths.h"

#include "base/mem.h"
#include "model/tunnels.h"

#include <ferry/tunnel.h>
#include <stdio.h>
#include <string.h>

static const struct ferry_stack *stack_of(const struct ferry_live *live, size_t router, size_t column)
{
    return live->stacks[router * live->n_subnets + column];
}

static bool holds_any(const struct ferry_live *live, size_t router)
{
    for (size_t c = 0; c < live->n_subnets; c++) {
        const struct ferry_stack *stack = stack_of(live, router, c);
        for (uint32_t i = 0; stack && i < stack->n; i++)
            if (stack->entries[i]->type == FERRY_TRAFFIC_SELECTOR)
                return true;
    }
    return false;
}

bool *ferry_tunnels_judged(const struct ferry_live *live)
{
    const struct ferry_topology *t = live->topology;
    bool *judged = ferry_calloc(t->n_routers + 1, sizeof *judged);
    for (size_t i = 0; i < t->n_links; i++) {
        const uint32_t ends[2] = {t->links[i].a.router, t->links[i].b.router};
        for (int end = 0; t->links[i].kind == FERRY_LINK_VPN_POLICY && end < 2; end++)
            judged[ends[end]] =
                judged[ends[end]] || (!live->unreachable[ends[end]] && holds_any(live, ends[end]));
    }
    return judged;
}

static bool holds(const struct ferry_live *live, size_t router, size_t column, const char *tunnel,
                  uint8_t side)
{
    const struct ferry_stack *stack = stack_of(live, router, column);
    const struct ferry_entry *e = ferry_selector_entry(live->pool, tunnel, side);
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (stack->entries[i] == e)
            return true;
    return false;
}

static bool attached_at(const struct ferry_live *live, uint32_t site, size_t column)
{
    for (size_t r = 0; r < live->topology->n_routers; r++)
        if (live->topology->routers[r].site == site && ferry_live_attached(live, r, column))
            return true;
    return false;
}

static void add(struct ferry_path_drift **drift, size_t *n, size_t column, uint32_t router, const char *text,
                const char *tunnel)
{
    FERRY_GROW(*drift, *n);
    struct ferry_path_drift *d = &(*drift)[(*n)++];
    *d = (struct ferry_path_drift){.column = column, .router = router, .what = "tunnel"};
    snprintf(d->text, sizeof d->text, "%s: %s", tunnel, text);
}

void ferry_tunnels_check(const struct ferry_live *live, size_t column, const bool *judged,
                         struct ferry_path_drift **drift, size_t *n)
{
    const struct ferry_topology *t = live->topology;
    for (uint32_t i = 0; i < t->n_links; i++) {
        const struct ferry_link *link = &t->links[i];
        const uint32_t routers[2] = {link->a.router, link->b.router};
        for (int end = 0; link->kind == FERRY_LINK_VPN_POLICY && end < 2; end++) {
            uint32_t here = routers[end], there = routers[!end];
            bool sends = ferry_link_carries(t, i, end, ferry_stack_best(stack_of(live, here, column)));
            bool carries = holds(live, here, column, link->tunnel[end], FERRY_SIDE_REMOTE);
            if (judged[here] && sends && !carries)
                add(drift, n, column, here, "does not carry what is forwarded into it", link->tunnel[end]);
            if (judged[here] && carries && attached_at(live, t->routers[here].site, column))
                add(drift, n, column, here, "takes away what is attached at its own site", link->tunnel[end]);
            if (judged[there] && sends && ferry_tunnel_has_local(link->tunnel[!end]) &&
                !holds(live, there, column, link->tunnel[!end], FERRY_SIDE_LOCAL))
                add(drift, n, column, there, "does not take in what the other end sends", link->tunnel[!end]);
        }
    }
}
