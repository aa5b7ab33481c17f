/* Records that follow machines to other addresses, as changes of a plan; see ferry/dns.h, docs/dns.md.
 *
 *  N1. A record set is changed, not replaced: of its records those of the machines that move, its TTL only
 *      where that is what was asked for.  What else is in it stays.
 *  N2. A name that leads neither to a machine's old address nor to its new one is somebody else's: refused.
 *  N3. A reverse record goes along where there was one; it is made only where the old address has no zone
 *      here to look into.
 *
 * Pure: what servers hold was read before, for the questions that ferry_dns_ask has asked.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/dns.h"

#include <stdio.h>
#include <string.h>

#define TTL_LONG 60u /* a move with more is warned of: so long may clients keep the old address */

/* ---- What shall be. ---- */

/* One record set of one server. */
struct target {
    bool loaded;
    struct ferry_rrset found, want;
    const char *why; /* the plan's */
};

enum { SLOTS = 3 }; /* types of a name: A, AAAA, PTR */
static const uint32_t slot_types[SLOTS] = {FERRY_DNS_A, FERRY_DNS_AAAA, FERRY_DNS_PTR};

struct work {
    struct ferry_plan *plan;
    const struct ferry_topology *t;
    const struct ferry_dns_questions *q;
    const struct ferry_dns_terms *terms;
    struct ferry_dns_asked asked;
    struct target *targets; /* [question * SLOTS] */
    struct ferry_err *err;
};

static void work_clear(struct work *w)
{
    for (size_t i = 0; i < w->q->n * SLOTS; i++) {
        ferry_rrset_clear(&w->targets[i].found);
        ferry_rrset_clear(&w->targets[i].want);
    }
    free(w->targets);
    ferry_dns_asked_clear(&w->asked);
}

static const char *server_name(const struct work *w, uint32_t server)
{
    return w->t->name_servers[server].name;
}

static int load(struct work *w, uint32_t question, uint32_t type, struct target *target)
{
    const struct ferry_dns_question *q = &w->q->v[question];
    const struct ferry_entry *e = ferry_dns_entry_of(q->found, type);
    char text[512];
    bool good = !e || ferry_rrset_of_entry(e, &target->found);
    for (size_t i = 0; good && i < target->found.n; i++)
        good = ferry_dns_data_ok(type, target->found.data[i]);
    if (!good)
        return ferry_refuse(w->err, "dns-record", "%s: %s is %s: nothing that Ferry can change and put back",
                            server_name(w, q->server), q->name, ferry_entry_text(e, text, sizeof text));
    target->loaded = true;
    target->want.ttl = target->found.ttl;
    for (size_t i = 0; i < target->found.n; i++)
        ferry_rrset_add(&target->want, target->found.data[i]);
    return 0;
}

/* The record set, or NULL where that server has not the name's zone, or is left out. */
static int target_of(struct work *w, uint32_t server, const char *name, uint32_t type, struct target **ret)
{
    uint32_t question = ferry_dns_asked_find(&w->asked, server, name), slot = 0;
    *ret = NULL;
    if (question == FERRY_MAP_NONE || (w->q->silent && w->q->silent[server]))
        return 0;
    while (slot_types[slot] != type)
        slot++;
    struct target *target = &w->targets[question * SLOTS + slot];
    int r = target->loaded ? 0 : load(w, question, type, target);
    if (r == 0)
        *ret = target;
    return r;
}

/* Two machines may share a name, and two servers a zone: one warning. */
static void warn_once(struct ferry_plan *plan, char *text)
{
    for (size_t i = 0; i < plan->n_warnings; i++)
        if (strcmp(plan->warnings[i], text) == 0) {
            free(text);
            return;
        }
    FERRY_GROW(plan->warnings, plan->n_warnings);
    plan->warnings[plan->n_warnings++] = text;
}

/* ---- A move. ---- */

static void say_why(struct work *w, struct target *target, const struct ferry_address_row *row)
{
    char before[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
    if (!target->why)
        target->why = ferry_plan_string(w->plan, ferry_asprintf("%s moves from %s to %s",
                                                                w->t->networks->workloads[row->workload].name,
                                                                ferry_addr_text(&row->before, before),
                                                                ferry_addr_text(&row->after, after)));
}

static int move_forward(struct work *w, uint32_t server, const struct ferry_address_row *row,
                        const struct ferry_dns_label *label)
{
    uint32_t type = ferry_dns_type_of(row->before.family);
    char before[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
    struct target *target;
    int r = target_of(w, server, label->name, type, &target);
    if (r < 0 || !target)
        return r;
    ferry_addr_text(&row->before, before);
    ferry_addr_text(&row->after, after);
    bool moved = ferry_rrset_has(&target->found, after);
    if (!target->found.n) {
        target->want.ttl = label->ttl ? label->ttl : FERRY_DNS_TTL_MADE;
    } else if (!ferry_rrset_has(&target->found, before) && !moved) { /* N2 */
        FERRY_AUTOFREE char *held = ferry_rrset_text(&target->found);
        return ferry_refuse(w->err, "dns-record",
                            "%s: %s %s is %s, which leads to %s neither at %s nor at %s: set it right first",
                            server_name(w, server), label->name, ferry_dns_type_name(type), held,
                            w->t->networks->workloads[row->workload].name, before, after);
    }
    /* N1: another machine of the name may have, or get, what this one leaves. */
    if (ferry_rrset_has(&target->found, before) || !target->found.n) {
        ferry_rrset_remove(&target->want, before);
        ferry_rrset_add(&target->want, after);
        say_why(w, target, row);
    }
    if (target->found.n && target->found.ttl > TTL_LONG && !moved)
        warn_once(w->plan,
                  ferry_asprintf(
                      "%s %s has a TTL of %u s: so long may clients keep the old address; lower it ahead of "
                      "the move with --dns-ttl",
                      label->name, ferry_dns_type_name(type), target->found.ttl));
    return 0;
}

/* Whether some server here has the zone, so that one can see what the address's name was. */
static bool has_zone(const struct ferry_topology *t, const char *name)
{
    size_t len;
    for (size_t s = 0; s < t->n_name_servers; s++)
        if (ferry_dns_zone(t->name_servers[s].driver.zones, name, &len))
            return true;
    return false;
}

/* Takes the name off the old address; whether it stood there, and with which TTL. */
static int leave_reverse(struct work *w, const struct ferry_address_row *row, const char *reverse,
                         const struct ferry_dns_label *label, bool *ret_stood, uint32_t *ret_ttl)
{
    for (uint32_t s = 0; s < w->t->n_name_servers; s++) {
        struct target *target;
        int r = target_of(w, s, reverse, FERRY_DNS_PTR, &target);
        if (r < 0)
            return r;
        if (!target || !ferry_rrset_has(&target->found, label->name))
            continue;
        ferry_rrset_remove(&target->want, label->name);
        *ret_stood = true;
        *ret_ttl = target->found.ttl;
        say_why(w, target, row);
    }
    return 0;
}

static int move_reverse(struct work *w, const struct ferry_address_row *row,
                        const struct ferry_dns_label *label, bool first)
{
    char old[FERRY_DNS_NAME_LEN], new[FERRY_DNS_NAME_LEN];
    uint32_t ttl = label->ttl ? label->ttl : FERRY_DNS_TTL_MADE;
    bool stood = false;
    ferry_dns_reverse(&row->before, old);
    ferry_dns_reverse(&row->after, new);
    int r = leave_reverse(w, row, old, label, &stood, &ttl);
    if (!stood && (!first || has_zone(w->t, old))) /* N3 */
        return r;
    for (uint32_t s = 0; r == 0 && s < w->t->n_name_servers; s++) {
        struct target *target;
        r = target_of(w, s, new, FERRY_DNS_PTR, &target);
        if (r < 0 || !target)
            continue;
        if (!target->found.n)
            target->want.ttl = ttl;
        ferry_rrset_add(&target->want, label->name);
        say_why(w, target, row);
    }
    return r;
}

static int move_row(struct work *w, const struct ferry_address_row *row)
{
    const struct ferry_nic *nic = ferry_dns_nic(w->t, row);
    int r = 0;
    if (!nic->n_dns)
        return 0;
    if (!row->after.family && row->why != FERRY_ADDRESS_UNCONNECTED) {
        warn_once(w->plan,
                  ferry_asprintf("%s: its address after the move is not known (%s): %s stays as it is",
                                 w->t->networks->workloads[row->workload].name,
                                 ferry_address_why_name(row->why), nic->dns[0].name));
        return 0;
    }
    if (!ferry_dns_moves(row))
        return 0;
    for (size_t k = 0; r == 0 && k < nic->n_dns; k++) {
        if (!has_zone(w->t, nic->dns[k].name))
            warn_once(w->plan,
                      ferry_asprintf("no name server of the topology has the zone of %s: it is not changed",
                                     nic->dns[k].name));
        for (uint32_t s = 0; r == 0 && s < w->t->n_name_servers; s++)
            r = move_forward(w, s, row, &nic->dns[k]);
        if (r == 0)
            r = move_reverse(w, row, &nic->dns[k], k == 0);
    }
    return r;
}

/* ---- TTLs. ---- */

static int set_ttl(struct work *w, const struct ferry_address_row *row)
{
    const struct ferry_nic *nic = ferry_dns_nic(w->t, row);
    const struct ferry_addr *a = row->before.family ? &row->before : &row->own;
    bool restore = w->terms->what == FERRY_DNS_TTL_RESTORE;
    if (!a->family)
        return 0;
    for (size_t k = 0; k < nic->n_dns; k++) {
        const struct ferry_dns_label *label = &nic->dns[k];
        if (restore && !label->ttl) {
            warn_once(w->plan, ferry_asprintf("%s: the topology says no TTL to go back to: it stays as it is",
                                              label->name));
            continue;
        }
        for (uint32_t s = 0; s < w->t->n_name_servers; s++) {
            struct target *target;
            int r = target_of(w, s, label->name, ferry_dns_type_of(a->family), &target);
            if (r < 0)
                return r;
            if (!target || !target->found.n)
                continue;
            target->want.ttl = restore ? label->ttl : w->terms->ttl;
            target->why = restore ? "as the topology says" : "ahead of a move: clients shall ask again soon";
        }
    }
    return 0;
}

/* ---- Into the plan. ---- */

/* Name servers behind the routers, and room for them in every group. */
static void add_servers(struct ferry_plan *plan, const struct ferry_topology *t)
{
    size_t had = plan->n_routers, n = t->n_routers + t->n_name_servers;
    if (had >= n)
        return;
    plan->routers = ferry_realloc(plan->routers, n, sizeof *plan->routers);
    for (size_t i = 0; i < t->n_name_servers; i++)
        plan->routers[t->n_routers + i] =
            (struct ferry_plan_router){.name = ferry_strdup(t->name_servers[i].name),
                                       .site = ferry_strdup(t->sites[t->name_servers[i].site].name),
                                       .driver = ferry_driver_config_copy(&t->name_servers[i].driver)};
    plan->n_routers = n;
    for (size_t g = 0; g < plan->n_groups; g++) {
        struct ferry_group *group = &plan->groups[g];
        group->initial = ferry_realloc(group->initial, n, sizeof *group->initial);
        group->covers = ferry_realloc(group->covers, n, sizeof *group->covers);
        memset(group->initial + had, 0, (n - had) * sizeof *group->initial);
        memset(group->covers + had, 0, (n - had) * sizeof *group->covers);
    }
}

static const struct ferry_stack *adopt(struct ferry_pool *pool, const struct ferry_stack *stack)
{
    const struct ferry_entry *entries[SLOTS];
    uint32_t n = 0;
    for (uint32_t i = 0; stack && i < stack->n && n < SLOTS; i++)
        entries[n++] = ferry_pool_entry(pool, stack->entries[i]);
    return ferry_pool_stack(pool, entries, n);
}

/* The group of a name; made when first asked for. */
static uint32_t group_of(struct work *w, struct ferry_map *groups, const char *name)
{
    struct ferry_plan *plan = w->plan;
    uint32_t at = ferry_map_get(groups, name, strlen(name)), n_names = 0;
    if (at != FERRY_MAP_NONE)
        return at;
    for (size_t g = 0; g < plan->n_groups; g++)
        n_names += plan->groups[g].dns;
    FERRY_GROW(plan->groups, plan->n_groups);
    struct ferry_group *group = &plan->groups[plan->n_groups];
    *group = (struct ferry_group){.id = ferry_asprintf("d%u", n_names + 1),
                                  .dns = true,
                                  .subnets = ferry_calloc(1, sizeof *group->subnets),
                                  .n_subnets = 1,
                                  .initial = ferry_calloc(plan->n_routers, sizeof *group->initial),
                                  .covers = ferry_calloc(plan->n_routers, sizeof *group->covers)};
    group->subnets[0].name = ferry_strdup(name);
    ferry_map_add(groups, group->subnets[0].name, strlen(name), (uint32_t)plan->n_groups);
    return (uint32_t)plan->n_groups++;
}

static void add_change(struct work *w, struct ferry_map *groups, uint32_t question, uint32_t slot,
                       struct ferry_stage *stage)
{
    struct ferry_plan *plan = w->plan;
    struct target *target = &w->targets[question * SLOTS + slot];
    const struct ferry_entry *before = ferry_rrset_entry(plan->pool, slot_types[slot], &target->found);
    const struct ferry_entry *after = ferry_rrset_entry(plan->pool, slot_types[slot], &target->want);
    if (!target->loaded || before == after)
        return;
    add_servers(plan, w->t);
    uint32_t group = group_of(w, groups, w->q->v[question].name);
    FERRY_GROW(stage->changes, stage->n_changes);
    stage->changes[stage->n_changes++] =
        (struct ferry_change){.router = (uint32_t)w->t->n_routers + w->q->v[question].server,
                              .group = group,
                              .kind = FERRY_KIND_DNS,
                              .metric = slot_types[slot],
                              .before = before,
                              .after = after,
                              .why = target->why};
}

/* Behind the last stage that attaches. */
static void add_stage(struct ferry_plan *plan, const struct ferry_stage *stage)
{
    size_t at = 0;
    while (at < plan->n_stages && plan->stages[at].phase != FERRY_SETTLE)
        at++;
    FERRY_GROW(plan->stages, plan->n_stages);
    memmove(plan->stages + at + 1, plan->stages + at, (plan->n_stages - at) * sizeof *plan->stages);
    plan->stages[at] = *stage;
    plan->n_stages++;
}

static void add_changes(struct work *w)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map groups = {0};
    struct ferry_stage stage = {.phase = FERRY_SETTLE};
    bool moves_nothing_else = ferry_plan_is_empty(w->plan);
    for (uint32_t i = 0; i < w->q->n; i++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            add_change(w, &groups, i, slot, &stage);
    if (!stage.n_changes)
        return;
    for (size_t i = 0; i < w->q->n; i++) { /* all that a name has, also where it stays */
        const struct ferry_dns_question *q = &w->q->v[i];
        uint32_t group = ferry_map_get(&groups, q->name, strlen(q->name));
        if (group != FERRY_MAP_NONE && !(w->q->silent && w->q->silent[q->server]))
            w->plan->groups[group].initial[w->t->n_routers + q->server] = adopt(w->plan->pool, q->found);
    }
    add_stage(w->plan, &stage);
    if (moves_nothing_else && w->terms->what == FERRY_DNS_MOVE)
        ferry_plan_add_hooks(w->plan, &w->t->hooks);
}

static int refuse_silent(struct work *w)
{
    for (uint32_t s = 0; w->q->silent && s < w->t->n_name_servers; s++) {
        if (!w->q->silent[s])
            continue;
        int r = ferry_rule_refuse(w->terms->overrides, w->err, "name-server",
                                  "%s does not answer: its records would lead to the old addresses",
                                  server_name(w, s));
        if (r < 0)
            return r;
        warn_once(w->plan,
                  ferry_asprintf("%s does not answer: its records are left as they are", server_name(w, s)));
    }
    return 0;
}

int ferry_plan_dns(struct ferry_plan *plan, const struct ferry_topology *t,
                   const struct ferry_address_row *rows, size_t n_rows, const struct ferry_dns_questions *q,
                   const struct ferry_dns_terms *terms, struct ferry_err *err)
{
    FERRY_CLEANUP(work_clear)
    struct work w = {.plan = plan, .t = t, .q = q, .terms = terms, .err = err};
    w.targets = ferry_calloc(q->n * SLOTS, sizeof *w.targets);
    ferry_dns_asked_all(&w.asked, q);
    int r = refuse_silent(&w);
    for (size_t i = 0; r == 0 && i < n_rows; i++)
        r = terms->what == FERRY_DNS_MOVE ? move_row(&w, &rows[i]) : set_ttl(&w, &rows[i]);
    if (r < 0)
        return r;
    add_changes(&w);
    if (terms->overrides)
        ferry_overrides_merge(&plan->overrides, terms->overrides);
    ferry_plan_seal(plan);
    return 0;
}

bool ferry_plan_is_ttl_only(const struct ferry_plan *plan)
{
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            struct ferry_rrset before = {0}, after = {0};
            bool same = c->kind == FERRY_KIND_DNS && c->before && c->after &&
                        ferry_rrset_of_entry(c->before, &before) && ferry_rrset_of_entry(c->after, &after) &&
                        before.n == after.n;
            for (size_t k = 0; same && k < before.n; k++)
                same = strcmp(before.data[k], after.data[k]) == 0;
            ferry_rrset_clear(&before);
            ferry_rrset_clear(&after);
            if (!same)
                return false;
        }
    return plan->n_stages > 0 && !plan->n_addresses;
}

bool ferry_dns_is_known(const struct ferry_topology *t, const char *name)
{
    if (ferry_dns_is_reverse(name))
        return true;
    for (size_t i = 0; t->networks && i < t->networks->n_workloads; i++)
        for (size_t n = 0; n < t->networks->workloads[i].n_nics; n++)
            for (size_t k = 0; k < t->networks->workloads[i].nics[n].n_dns; k++)
                if (strcmp(t->networks->workloads[i].nics[n].dns[k].name, name) == 0)
                    return true;
    return false;
}
