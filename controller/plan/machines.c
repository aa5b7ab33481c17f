/* The machines of a subnet that moves: whoever has an address in it moves along, wanted or not; who is not
 * ready to, refuses the plan (rule not-ready).  Used by make.c and obey.c; docs/site-recovery.md.
 *
 * A NIC that is not created at the target goes nowhere, and its address is nobody's until the failback: that is
 * said.  A machine that is not ready refuses the plan for such a NIC too: it has it still, and would lose it.
 *
 * A stretched subnet's machines move one by one: there is nothing to say of them here but that.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/map.h"

#include <ferry/networks.h>

#include <stdio.h>
#include <string.h>

struct names {
    char *v;
    size_t len, room;
    uint32_t last; /* machine */
    size_t n;
};

/* One subnet that moves. */
struct moved {
    const struct ferry_group *group;
    const struct ferry_plan_subnet *subnet;
    uint32_t from, home, to; /* sites */
    struct names along, not_ready, left_out;
};

struct machines {
    const struct ferry_topology *t;
    struct moved *v;
    size_t n;
    struct ferry_map by_prefix;
};

static void clear(struct machines *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].along.v);
        free(m->v[i].not_ready.v);
        free(m->v[i].left_out.v);
    }
    free(m->v);
    ferry_map_clear(&m->by_prefix);
}

/* A machine once, also where several of its NICs are in the subnet. */
static void add_name(struct names *names, uint32_t machine, const char *name)
{
    size_t len = strlen(name);
    if (names->n && names->last == machine)
        return;
    if (names->len + len + 3 > names->room) {
        names->room = 2 * names->room + len + 3;
        names->v = ferry_realloc(names->v, names->room, 1);
    }
    names->len += (size_t)sprintf(names->v + names->len, "%s%s", names->n ? ", " : "", name);
    names->last = machine;
    names->n++;
}

static void find_subnets(struct machines *m, const struct ferry_plan *plan)
{
    size_t n = 0;
    for (size_t g = 0; g < plan->n_groups; g++)
        n += plan->groups[g].n_subnets;
    m->v = ferry_calloc(n, sizeof *m->v);
    for (size_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_group *group = &plan->groups[g];
        for (size_t s = 0; !group->stretched && s < group->n_subnets; s++) {
            uint32_t subnet = ferry_topology_subnet(m->t, group->subnets[s].name);
            if (subnet == FERRY_NONE)
                continue; /* ferry_plan_fit says so */
            m->v[m->n] = (struct moved){.group = group,
                                        .subnet = &group->subnets[s],
                                        .home = m->t->subnets[subnet].home,
                                        .to = ferry_topology_site(m->t, group->to),
                                        .from = group->from ? ferry_topology_site(m->t, group->from)
                                                            : m->t->subnets[subnet].home};
            ferry_map_add(&m->by_prefix, &group->subnets[s].prefix, sizeof group->subnets[s].prefix,
                          (uint32_t)m->n++);
        }
    }
}

/* "VM4 (back)": each NIC by itself. */
static void add_nic(struct names *names, const struct ferry_workload *w, const struct ferry_nic *nic)
{
    FERRY_AUTOFREE char *text = ferry_asprintf("%s (%s)", w->name, nic->name);
    names->last = FERRY_NONE;
    add_name(names, 0, text);
}

/* Whether a NIC of that network is missing at a site: back at its own it is there. */
static bool is_left_out(const struct ferry_networks *n, const struct ferry_nic *nic, uint32_t site)
{
    return nic->type == FERRY_NIC_NOT_CREATED && n->networks[nic->network].site != site;
}

/* Of the site that the subnet leaves, or of its home: those came along when it left that. */
static bool is_there(const struct moved *moved, uint32_t site)
{
    return site == moved->from || site == moved->home;
}

static void find_machines(struct machines *m, const struct ferry_plan *plan)
{
    const struct ferry_networks *n = m->t->networks;
    find_subnets(m, plan);
    for (uint32_t w = 0; m->n && w < n->n_workloads; w++)
        for (size_t i = 0; i < n->workloads[w].n_nics; i++) {
            const struct ferry_nic *nic = &n->workloads[w].nics[i];
            const struct ferry_network_subnet *in = &n->networks[nic->network].subnets[nic->subnet];
            for (size_t k = 0; k < in->n_prefixes; k++) {
                uint32_t at = ferry_map_get(&m->by_prefix, &in->prefixes[k], sizeof in->prefixes[k]);
                if (at == FERRY_MAP_NONE || !is_there(&m->v[at], n->networks[nic->network].site))
                    continue;
                if (is_left_out(n, nic, m->v[at].to))
                    add_nic(&m->v[at].left_out, &n->workloads[w], nic);
                else
                    add_name(&m->v[at].along, w, n->workloads[w].name);
                if (n->workloads[w].not_ready)
                    add_name(&m->v[at].not_ready, w, n->workloads[w].name);
            }
        }
}

static void warn(struct ferry_plan *plan, char *text)
{
    FERRY_GROW(plan->warnings, plan->n_warnings);
    plan->warnings[plan->n_warnings++] = text;
}

/* Host routes of addresses that nobody has where they lead. */
static void say_hosts(struct ferry_plan *plan, const struct ferry_topology *t)
{
    const struct ferry_networks *n = t->networks;
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t s = 0; plan->groups[g].stretched && s < plan->groups[g].n_subnets; s++) {
            uint32_t subnet = ferry_topology_subnet(t, plan->groups[g].subnets[s].name);
            const struct ferry_subnet *host = subnet == FERRY_NONE ? NULL : &t->subnets[subnet];
            if (!host || !host->is_host)
                continue;
            const struct ferry_workload *w = &n->workloads[host->machine];
            if (is_left_out(n, &w->nics[host->nic], ferry_topology_site(t, plan->groups[g].to)))
                warn(plan, ferry_asprintf("%s: NIC %s of %s is not created at %s: nobody answers there",
                                          host->name, w->nics[host->nic].name, w->name, plan->groups[g].to));
        }
}

void ferry_plan_say_machines(struct ferry_plan *plan, const struct ferry_topology *t)
{
    FERRY_CLEANUP(clear) struct machines m = {.t = t};
    if (!t->networks)
        return;
    find_machines(&m, plan);
    for (size_t i = 0; i < m.n; i++) {
        const struct moved *moved = &m.v[i];
        if (!moved->along.n && !moved->left_out.n)
            continue;
        warn(plan, ferry_asprintf("%s: the whole subnet moves%s%s to %s; machines that move along: %s%s%s",
                                  moved->subnet->name, moved->group->from ? " from " : "",
                                  moved->group->from ? moved->group->from : "", moved->group->to,
                                  moved->along.n ? moved->along.v : "none",
                                  moved->left_out.n ? "; NICs that are not created there: " : "",
                                  moved->left_out.n ? moved->left_out.v : ""));
    }
    say_hosts(plan, t);
}

int ferry_plan_ready(const struct ferry_plan *plan, const struct ferry_topology *t,
                     struct ferry_overrides *overrides, struct ferry_err *err)
{
    FERRY_CLEANUP(clear) struct machines m = {.t = t};
    int r = 0;
    if (!t->networks)
        return 0;
    find_machines(&m, plan);
    for (size_t i = 0; r == 0 && i < m.n; i++) {
        const struct moved *moved = &m.v[i];
        if (moved->not_ready.n)
            r = ferry_rule_refuse(overrides, err, "not-ready",
                                  "%s moves as a whole, and of its machines %.400s %s not ready to move",
                                  moved->subnet->name, moved->not_ready.v,
                                  moved->not_ready.n == 1 ? "is" : "are");
    }
    return r;
}
