/* Policy-based VPNs: what their tunnels carry follows the subnet.
 *
 * A router that will forward into a tunnel needs the prefix there first: as a remote selector at its end, as
 * a local one at the other end where the tunnel has such.  What nobody forwards into any more is taken away
 * last.  So there is always enough, and the order of the routes (order.c) stays as it is.  Two moments are
 * bound by rule local-network: while the subnet is attached at a site no tunnel of that site takes it away;
 * so at the old site it is added when the new gateway attaches, and at the new site it is removed when the
 * old one detaches.
 *
 * Used by make.c, after diff.c.  docs/planner.md has the table.
 *
 * Invariants
 *  1. A remote selector at the site of an attached gateway is refused where it is found, and never planned.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/tunnels.h"

#include <ferry/tunnel.h>

#include <string.h>

struct tunnels {
    struct ferry_work *work;
    struct ferry_plan *plan;
    struct ferry_slotted_list *list;
    uint32_t group;
    const struct ferry_link *link;
    uint32_t index; /* of the link */
};

static uint32_t router_at(const struct tunnels *t, int end)
{
    return end ? t->link->b.router : t->link->a.router;
}

static bool at_site(const struct tunnels *t, int end, uint32_t site)
{
    return site != FERRY_NONE && t->work->t->routers[router_at(t, end)].site == site;
}

static bool uses(const struct tunnels *t, int end, const struct ferry_entry *way)
{
    return ferry_link_carries(t->work->t, t->index, end, way);
}

static bool holds(const struct tunnels *t, int end, uint8_t side)
{
    const struct ferry_stack *held = t->work->nodes[router_at(t, end)].held;
    const struct ferry_entry *e = ferry_selector_entry(t->work->pool, t->link->tunnel[end], side);
    for (uint32_t i = 0; held && i < held->n; i++)
        if (held->entries[i] == e)
            return true;
    return false;
}

static void emit(struct tunnels *t, uint32_t slot, int end, uint8_t side, bool add)
{
    const struct ferry_work *w = t->work;
    uint32_t v = router_at(t, end);
    const struct ferry_entry *e = ferry_selector_entry(w->pool, t->link->tunnel[end], side);
    char *why =
        ferry_asprintf("%s %s %s the tunnel to %s", side == FERRY_SIDE_REMOTE ? "send" : "take", w->subject,
                       side == FERRY_SIDE_REMOTE ? add ? "into" : "no more into"
                       : add                     ? "in from"
                                                 : "in no more from",
                       w->t->routers[router_at(t, !end)].name);
    FERRY_GROW(t->list->v, t->list->n);
    t->list->v[t->list->n++] = (struct ferry_slotted){
        .slot = slot,
        .change = {.router = v,
                   .group = t->group,
                   .kind = FERRY_KIND_SELECTOR,
                   .table = ferry_topology_table(w->t, v, w->live->subnets[w->class->column]),
                   .metric = e->metric,
                   .before = add ? NULL : e,
                   .after = add ? e : NULL,
                   .why = ferry_plan_string(t->plan, why)}};
}

static int refuse(const struct tunnels *t, int end, const char *what, struct ferry_err *err)
{
    const struct ferry_topology *top = t->work->t;
    return ferry_refuse(err, "local-network", "%s: %s (%s) %s", t->work->subject,
                        top->routers[router_at(t, end)].name,
                        top->sites[top->routers[router_at(t, end)].site].name, what);
}

/* What an end needs: in the end; on the way there, beyond what it has. */
struct need {
    bool has, then, meanwhile;
};

static struct need need_of(const struct tunnels *t, int end)
{
    const struct ferry_work *w = t->work;
    uint32_t v = router_at(t, end);
    const struct ferry_entry *fresh = w->nodes[v].fresh;
    struct need need = {.has = holds(t, end, FERRY_SIDE_REMOTE)};
    need.then = fresh ? uses(t, end, fresh) : need.has; /* no way: it is left as it is */
    need.meanwhile = uses(t, end, w->whole[v]) || uses(t, end, w->mid[v]);
    return need;
}

/* Invariant 1. */
static int check(const struct tunnels *t, int end, const struct need *need, struct ferry_err *err)
{
    const struct ferry_class *class = t->work->class;
    bool reconcile = t->work->reconcile, between = at_site(t, end, class->from) || at_site(t, end, class->to);
    if (t->work->stretched && between && (need->has || need->then || need->meanwhile))
        return refuse(
            t, end, "would send it, which is stretched and attached at its own site too, into a tunnel", err);
    if (need->has && at_site(t, end, class->from) && t->work->n_old && !reconcile)
        return refuse(
            t, end,
            "sends it into a tunnel while it is attached at its own site; take it out of that list first",
            err);
    if (need->then && at_site(t, end, class->to))
        return refuse(t, end, "would reach it, at its own site, through a tunnel to another one", err);
    if (need->meanwhile && !need->has && at_site(t, end, class->from) && !reconcile)
        return refuse(t, end,
                      "would have to send it into a tunnel before the old gateway of its own site lets go",
                      err);
    return 0;
}

static int plan_end(struct tunnels *t, int end, struct ferry_err *err)
{
    const struct ferry_class *class = t->work->class;
    struct need need = need_of(t, end);
    int r = check(t, end, &need, err);
    if (r < 0)
        return r;
    bool wanted = need.then || need.meanwhile;
    if (wanted && !need.has)
        emit(t, at_site(t, end, class->from) ? FERRY_SLOT_ATTACH : FERRY_SLOT_PIN, end, FERRY_SIDE_REMOTE,
             true);
    if (!need.then && (need.has || wanted))
        emit(t, at_site(t, end, class->to) ? FERRY_SLOT_DETACH : FERRY_SLOT_SETTLE, end, FERRY_SIDE_REMOTE,
             false);
    if (!ferry_tunnel_has_local(t->link->tunnel[!end]) || t->work->live->lost[router_at(t, !end)])
        return 0;
    bool has = holds(t, !end, FERRY_SIDE_LOCAL);
    if (wanted && !has)
        emit(t, FERRY_SLOT_PIN, !end, FERRY_SIDE_LOCAL, true);
    if (!need.then && (has || wanted))
        emit(t, FERRY_SLOT_SETTLE, !end, FERRY_SIDE_LOCAL, false);
    return 0;
}

/* What the file says that this end's tunnel carries whatever moves: it must not overlap what comes to its side.  The
 * subnet itself is no conflict: its entry moves. */
static int check_list(const struct tunnels *t, int end, const struct ferry_move *moves, struct ferry_err *err)
{
    const struct ferry_work *w = t->work;
    char network[FERRY_PREFIX_STRLEN], prefix[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; at_site(t, end, w->class->to) && i < t->link->n_local_networks[end]; i++) {
        const struct ferry_local_network *n = &t->link->local_networks[end][i];
        for (uint32_t m = 0; m < w->class->n_moves; m++) {
            const struct ferry_subnet *s = &w->t->subnets[moves[w->class->moves[m]].subnet];
            if (ferry_prefix_equal(&n->prefix, &s->prefix) || (!ferry_prefix_covers(&n->prefix, &s->prefix) &&
                                                               !ferry_prefix_covers(&s->prefix, &n->prefix)))
                continue;
            return ferry_refuse(
                err, "local-network",
                "%s: %s is a local network of %s, beyond the tunnel, and overlaps %s (%s), which would "
                "be attached on its near side; list there only what stays",
                n->where, ferry_prefix_text(&n->prefix, network), w->t->routers[router_at(t, end)].name,
                s->name, ferry_prefix_text(&s->prefix, prefix));
        }
    }
    return 0;
}

int ferry_work_tunnels(struct ferry_work *work, const struct ferry_move *moves, struct ferry_plan *plan,
                       uint32_t group, struct ferry_slotted_list *ret, struct ferry_err *err)
{
    struct tunnels t = {.work = work, .plan = plan, .list = ret, .group = group};
    for (t.index = 0; t.index < work->t->n_links; t.index++) {
        t.link = &work->t->links[t.index];
        for (int end = 0; t.link->kind == FERRY_LINK_VPN_POLICY && end < 2; end++) {
            if (work->live->lost[router_at(&t, end)])
                continue;
            int r = check_list(&t, end, moves, err);
            if (r == 0)
                r = plan_end(&t, end, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}
