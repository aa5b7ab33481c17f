/* The planner's front: moves and a live state in, a plan out.
 *
 * Every class is planned by itself (goal.c, order.c, diff.c) and the stages are merged: prepare round i of
 * all classes, then one detach, one attach and one settle; around them, where routers speak BGP or OSPF, one
 * that pins and one that unpins.  Classes never share a key, so that what is safe for each is safe for all.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/class.h"

#include <stdarg.h>
#include <string.h>

static void note_neighbour(struct ferry_plan *plan, uint32_t router, uint32_t neighbour)
{
    struct ferry_plan_router *r = &plan->routers[router];
    bool known = !r->lost;
    for (size_t i = 0; i < r->n_neighbours; i++)
        known |= r->neighbours[i] == neighbour;
    if (known)
        return;
    FERRY_GROW(r->neighbours, r->n_neighbours);
    r->neighbours[r->n_neighbours++] = neighbour;
}

static void copy_routers(struct ferry_plan *plan, const struct ferry_live *live)
{
    const struct ferry_topology *t = live->topology;
    plan->n_routers = t->n_routers;
    plan->routers = ferry_calloc(t->n_routers, sizeof *plan->routers);
    for (size_t i = 0; i < t->n_routers; i++) {
        const struct ferry_router *r = &t->routers[i];
        plan->routers[i] = (struct ferry_plan_router){.name = ferry_strdup(r->name),
                                                      .site = ferry_strdup(t->sites[r->site].name),
                                                      .driver = ferry_driver_config_copy(&r->driver),
                                                      .lost = live->lost[i]};
        ferry_driver_config_set_vrfs(&plan->routers[i].driver, live->vrfs[i].v, live->vrfs[i].n);
    }
    for (size_t i = 0; i < t->n_links; i++) {
        note_neighbour(plan, t->links[i].a.router, t->links[i].b.router);
        note_neighbour(plan, t->links[i].b.router, t->links[i].a.router);
    }
}

struct making {
    const struct ferry_live *live;
    const struct ferry_move *moves;
    const struct ferry_plan_terms *terms;
    const uint32_t *columns;
    struct ferry_goals *goals;  /* ways around lost routers */
    struct ferry_goals *whole;  /* ways of the whole topology; NULL where nothing is lost */
    struct ferry_topology open; /* the topology without the links of lost routers; `links` is its own */
    struct ferry_slotted_list list;
    uint32_t *group_of; /* [subnet], or FERRY_NONE */
    bool *moving;       /* [column] */
};

/* Fills moves' columns in; -FERRY_EUSAGE for a subnet that is not in the live state or named twice. */
static int find_columns(const struct ferry_live *live, const struct ferry_move *moves, size_t n,
                        uint32_t *columns, struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    FERRY_AUTOFREE uint32_t *column_of = ferry_calloc(t->n_subnets, sizeof *column_of);
    memset(column_of, 0xff, t->n_subnets * sizeof *column_of); /* FERRY_NONE */
    for (uint32_t c = 0; c < live->n_subnets; c++)
        column_of[live->subnets[c]] = c;
    for (size_t m = 0; m < n; m++) {
        uint32_t *column = &column_of[moves[m].subnet];
        if (*column == FERRY_NONE)
            return ferry_error(err, FERRY_EUSAGE, "%s: moved twice, or not read",
                               t->subnets[moves[m].subnet].name);
        columns[m] = *column;
        *column = FERRY_NONE;
    }
    return 0;
}

static void work_init(struct ferry_work *work, const struct making *m, struct ferry_class *class,
                      struct ferry_pool *pool)
{
    const struct ferry_live *live = m->live;
    const struct ferry_move *moves = m->moves;
    uint32_t n = (uint32_t)live->topology->n_routers;
    *work = (struct ferry_work){
        .live = live, .t = live->topology, .class = class, .pool = pool, .goals = m->goals, .n = n};
    work->terms = m->terms;
    work->reconcile = strcmp(m->terms->mode, "reconcile") == 0;
    work->fence = m->whole && !work->reconcile;
    work->subnet = &live->topology->subnets[moves[class->moves[0]].subnet];
    work->stretched = work->subnet->stretched && !work->fence && !work->reconcile;
    work->nodes = ferry_calloc(n, sizeof *work->nodes);
    work->old = ferry_calloc(n, sizeof *work->old);
    work->whole = ferry_calloc(n, sizeof *work->whole);
    work->mid = ferry_calloc(n, sizeof *work->mid);
    work->round = ferry_calloc(n, sizeof *work->round);
    work->subject = class->n_moves == 1
                        ? ferry_strdup(work->subnet->name)
                        : ferry_asprintf("%s and %u more", work->subnet->name, class->n_moves - 1);
}

/* ---- Groups. ---- */

static void add_subnet(struct ferry_group *group, const struct ferry_live *live, struct ferry_pool *pool,
                       uint32_t column)
{
    const struct ferry_topology *t = live->topology;
    const struct ferry_subnet *s = &t->subnets[live->subnets[column]];
    struct ferry_plan_subnet *ret = &group->subnets[group->n_subnets++];
    *ret = (struct ferry_plan_subnet){.name = ferry_strdup(s->name),
                                      .prefix = s->prefix,
                                      .gateways = ferry_calloc(s->n_gateways, sizeof *ret->gateways),
                                      .n_gateways = s->n_gateways};
    for (size_t i = 0; i < s->n_gateways; i++) {
        struct ferry_plan_gateway *g = &ret->gateways[i];
        const struct ferry_entry *attached = live->attached[column] ? live->attached[column][i] : NULL;
        g->gateway = s->gateways[i];
        if (g->gateway.interface != FERRY_NONE)
            memcpy(g->interface, t->routers[g->gateway.router].interfaces[g->gateway.interface].name,
                   sizeof g->interface);
        g->gateway.interface = FERRY_NONE;
        g->attached = attached ? ferry_pool_entry(pool, attached) : NULL;
    }
}

static void add_group(struct ferry_plan *plan, const struct ferry_work *work, const uint32_t *columns)
{
    const struct ferry_class *class = work->class;
    FERRY_GROW(plan->groups, plan->n_groups);
    struct ferry_group *group = &plan->groups[plan->n_groups++];
    *group = (struct ferry_group){
        .id = ferry_asprintf("g%zu", plan->n_groups),
        .from = class->from == FERRY_NONE ? NULL : ferry_strdup(work->t->sites[class->from].name),
        .to = ferry_strdup(work->t->sites[class->to].name),
        .stretched = work->stretched,
        .subnets = ferry_calloc(class->n_moves, sizeof *group->subnets),
        .initial = ferry_calloc(work->n, sizeof *group->initial),
        .covers = ferry_calloc(work->n, sizeof *group->covers)};
    for (uint32_t i = 0; i < class->n_moves; i++)
        add_subnet(group, work->live, plan->pool, columns[class->moves[i]]);
    for (uint32_t v = 0; v < work->n; v++) {
        group->initial[v] = work->nodes[v].held;
        group->covers[v].entry = work->nodes[v].cover;
    }
}

/* What a machine's route is there to beat: its own subnet's. */
static bool is_around(const struct ferry_topology *t, const struct ferry_conflict *c)
{
    const struct ferry_subnet *s = &t->subnets[c->subnet];
    return s->is_host && ferry_prefix_equal(&t->subnets[s->around].prefix, &c->prefix);
}

/* Warns of what routers would fall to, once a router and class, and notes the covering prefixes. */
static int note_covers(struct ferry_plan *plan, const struct ferry_live *live, const uint32_t *group_of,
                       struct ferry_overrides *overrides, struct ferry_err *err)
{
    enum { NAMED = 20 }; /* a warning each for so many routers of a class */
    FERRY_AUTOFREE size_t *count = ferry_calloc(plan->n_groups, sizeof *count);
    FERRY_AUTOFREE bool *warned = ferry_calloc(plan->n_groups * plan->n_routers, sizeof *warned);
    char prefix[FERRY_PREFIX_STRLEN], text[256];
    for (size_t i = 0; i < live->n_conflicts; i++) {
        const struct ferry_conflict *c = &live->conflicts[i];
        uint32_t g = group_of[c->subnet];
        if (c->relation != FERRY_COVERING || g == FERRY_NONE || warned[g * plan->n_routers + c->router])
            continue;
        warned[g * plan->n_routers + c->router] = true;
        if (plan->groups[g].covers[c->router].entry)
            plan->groups[g].covers[c->router].prefix = c->prefix;
        if (is_around(live->topology, c))
            continue;
        int r = !(live->topology->rules & FERRY_COVERING_ROUTE)
                    ? 0
                    : ferry_rule_refuse(overrides, err, "covering-route",
                                        "%s: without its own route %s would fall to %s (%s)",
                                        live->topology->subnets[c->subnet].name,
                                        plan->routers[c->router].name, ferry_prefix_text(&c->prefix, prefix),
                                        ferry_entry_text(c->entry, text, sizeof text));
        if (r < 0)
            return r;
        if (count[g]++ >= NAMED)
            continue;
        ferry_plan_warn(plan, "%s: without its own route %s would fall to %s (%s)",
                        live->topology->subnets[c->subnet].name, plan->routers[c->router].name,
                        ferry_prefix_text(&c->prefix, prefix), ferry_entry_text(c->entry, text, sizeof text));
    }
    for (size_t g = 0; g < plan->n_groups; g++)
        if (count[g] > NAMED)
            ferry_plan_warn(plan, "%s: and %zu more routers have a covering route",
                            plan->groups[g].subnets[0].name, count[g] - NAMED);
    return 0;
}

/* ---- Stages. ---- */

static void add_stage(struct ferry_plan *plan, enum ferry_phase phase, const struct ferry_slotted_list *list,
                      uint32_t slot)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->v[i].slot == slot;
    if (!n)
        return;
    FERRY_GROW(plan->stages, plan->n_stages);
    struct ferry_stage *stage = &plan->stages[plan->n_stages++];
    *stage = (struct ferry_stage){.phase = phase, .changes = ferry_calloc(n, sizeof *stage->changes)};
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].slot == slot)
            stage->changes[stage->n_changes++] = list->v[i].change;
}

static void add_stages(struct ferry_plan *plan, const struct ferry_slotted_list *list)
{
    uint32_t n_prepare = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].slot < FERRY_SLOT_PIN && list->v[i].slot >= n_prepare)
            n_prepare = list->v[i].slot + 1;
    add_stage(plan, FERRY_PREPARE, list, FERRY_SLOT_PIN);
    for (uint32_t slot = 0; slot < n_prepare; slot++)
        add_stage(plan, FERRY_PREPARE, list, slot);
    add_stage(plan, FERRY_DETACH, list, FERRY_SLOT_DETACH);
    add_stage(plan, FERRY_ATTACH, list, FERRY_SLOT_ATTACH);
    add_stage(plan, FERRY_SETTLE, list, FERRY_SLOT_SETTLE);
    add_stage(plan, FERRY_SETTLE, list, FERRY_SLOT_UNPIN);
}

/* ---- All together. ---- */

static void warn_partly(struct ferry_plan *plan, const struct ferry_work *work)
{
    for (uint32_t v = 0; v < work->n; v++)
        if (work->nodes[v].is_new && !work->nodes[v].is_old)
            ferry_plan_warn(plan, "%s is at %s already, but not attached at %s: nothing is changed",
                            work->subject, work->t->sites[work->class->to].name, work->t->routers[v].name);
}

static void making_clear(struct making *m)
{
    ferry_goals_free(m->goals);
    ferry_goals_free(m->whole);
    free(m->open.links);
    free(m->list.v);
    free(m->group_of);
    free(m->moving);
}

static void make_goals(struct making *m, struct ferry_pool *pool)
{
    const struct ferry_topology *t = m->live->topology;
    bool any = false;
    for (size_t v = 0; v < t->n_routers; v++)
        any |= m->live->lost[v];
    if (!any) {
        m->goals = ferry_goals_new(t, pool);
        return;
    }
    m->open = *t;
    m->open.index = NULL; /* its graphs are of all links */
    m->open.links = ferry_calloc(t->n_links, sizeof *m->open.links);
    m->open.n_links = 0;
    for (size_t i = 0; i < t->n_links; i++)
        if (!m->live->lost[t->links[i].a.router] && !m->live->lost[t->links[i].b.router])
            m->open.links[m->open.n_links++] = t->links[i];
    m->goals = ferry_goals_new(&m->open, pool);
    m->whole = ferry_goals_new(t, pool);
}

/* 1: there is nothing to plan for this class. */
static int work_out(struct making *m, struct ferry_plan *plan, struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_class *class = work->class;
    int r = ferry_work_check(work, err);
    if (r < 0)
        return r;
    if (m->terms->detaching)
        return work->nodes[m->terms->detach].is_old || work->nodes[m->terms->detach].announced ? 0 : 1;
    bool there = class->from == class->to && !work->reconcile;
    bool disaster = work->fence && strcmp(m->terms->mode, "disaster") == 0;
    if (there && !disaster) {
        warn_partly(plan, work);
        return 1;
    }
    r = ferry_work_lost(work, plan, err);
    if (r == 0 && work->stretched)
        r = ferry_work_stretch(work, plan, err);
    if (r == 0)
        r = ferry_work_goal(work, err);
    if (r == 0 && there && ferry_work_idle(work)) /* else live routers still lead to the site that is lost */
        return 1;
    if (r == 0 && !work->fence && !work->stretched)
        r = ferry_work_foretell(work, plan, err);
    return r == 0 && work->reconcile && ferry_work_idle(work) ? 1 : r;
}

static int plan_class(struct making *m, struct ferry_plan *plan, struct ferry_class *class,
                      struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_work_clear) struct ferry_work work;
    work_init(&work, m, class, plan->pool);
    int r = work_out(m, plan, &work, err);
    if (r)
        return r < 0 ? r : 0;
    for (uint32_t i = 0; i < class->n_moves; i++) {
        uint32_t column = m->columns[class->moves[i]];
        m->moving[column] = true;
        m->group_of[m->live->subnets[column]] = (uint32_t)plan->n_groups;
    }
    add_group(plan, &work, m->columns);
    uint32_t group = (uint32_t)plan->n_groups - 1;
    if (m->terms->detaching)
        return ferry_work_detach(&work, plan, group, &m->list, err);
    r = ferry_work_diff(&work, plan, group, &m->list, err);
    if (r == 0)
        r = ferry_work_tunnels(&work, m->moves, plan, group, &m->list, err);
    return r < 0 || !m->whole ? r : ferry_work_debts(&work, m->whole, plan, group, err);
}

static void cleanup_plan(struct ferry_plan **plan)
{
    ferry_plan_free(*plan);
}

/* The topology's, and what to say of them.  A reconciliation moves nothing: whoever is served is served all
 * the while, and programs that stop and start machines would cut just that. */
void ferry_plan_add_hooks(struct ferry_plan *plan, const struct ferry_hooks *hooks)
{
    bool paused = false; /* subnets are attached nowhere for a while */
    if (ferry_plan_is_empty(plan) || strcmp(plan->mode, "reconcile") == 0)
        return;
    for (size_t i = 0; i < plan->n_groups; i++)
        paused |= !plan->groups[i].stretched;
    plan->hooks = ferry_hooks_copy(hooks);
    for (size_t i = 0; i < plan->hooks.n; i++) {
        const struct ferry_hook *h = &plan->hooks.v[i];
        FERRY_AUTOFREE char *program = h->run ? ferry_argv_text(h->run) : NULL;
        const char *what = program ? program : h->pause;
        if (what && paused && ferry_boundary_in_outage(h->at))
            ferry_plan_warn(plan, "hook %s: %s: the subnets are attached nowhere while it lasts%s",
                            ferry_boundary_name(h->at), what, h->pause ? ", until a person goes on" : "");
        if (h->run && !h->undo)
            ferry_plan_warn(plan, "hook %s: %s has no undo: a rollback leaves what it did",
                            ferry_boundary_name(h->at), what);
    }
}

int ferry_plan_make(const struct ferry_live *live, const struct ferry_move *moves, size_t n_moves,
                    struct ferry_plan **ret, struct ferry_err *err)
{
    static const struct ferry_plan_terms planned = {.mode = "planned"};
    return ferry_plan_make_on(live, moves, n_moves, &planned, ret, err);
}

int ferry_plan_make_on(const struct ferry_live *live, const struct ferry_move *moves, size_t n_moves,
                       const struct ferry_plan_terms *terms, struct ferry_plan **ret, struct ferry_err *err)
{
    const struct ferry_topology *t = live->topology;
    struct ferry_overrides *overrides = terms->overrides;
    FERRY_AUTOFREE uint32_t *columns = ferry_calloc(n_moves, sizeof *columns);
    FERRY_CLEANUP(ferry_classes_free) struct ferry_classes classes = {0};
    FERRY_CLEANUP(making_clear)
    struct making m = {.live = live, .moves = moves, .columns = columns, .terms = terms};
    FERRY_CLEANUP(cleanup_plan) struct ferry_plan *plan = ferry_calloc(1, sizeof *plan);
    int r = find_columns(live, moves, n_moves, columns, err);
    if (r < 0)
        return r;
    plan->pool = ferry_pool_new();
    plan->mode = ferry_strdup(terms->mode);
    plan->attest = ferry_strdup(terms->attest);
    plan->topology_name = ferry_strdup(t->name);
    memcpy(plan->topology_sha256, t->sha256, sizeof plan->topology_sha256);
    copy_routers(plan, live);
    make_goals(&m, plan->pool);
    if (!m.whole && strcmp(terms->mode, "disaster") == 0)
        return ferry_refuse(
            err, "lost-site",
            "every router answers, and none was named with --unreachable: nothing is lost; move "
            "with --mode planned");
    m.moving = ferry_calloc(live->n_subnets, sizeof *m.moving);
    m.group_of = ferry_calloc(t->n_subnets, sizeof *m.group_of);
    memset(m.group_of, 0xff, t->n_subnets * sizeof *m.group_of); /* FERRY_NONE */
    ferry_classes_make(live, moves, columns, n_moves, &classes);
    for (size_t i = 0; i < classes.n; i++) {
        r = plan_class(&m, plan, &classes.v[i], err);
        if (r < 0)
            return r;
    }
    r = ferry_check_conflicts(live, m.moving, overrides, err);
    if (r < 0)
        return r;
    r = note_covers(plan, live, m.group_of, overrides, err);
    if (r < 0)
        return r;
    add_stages(plan, &m.list);
    for (size_t i = 0; i < terms->n_addresses; i++)
        ferry_plan_add_address(plan, &terms->addresses[i]);
    for (size_t i = 0; i < terms->n_warnings; i++)
        ferry_plan_warn(plan, "%s", terms->warnings[i]);
    ferry_plan_add_hooks(plan, terms->hooks ? terms->hooks : &t->hooks);
    if (strcmp(plan->mode, "reconcile") != 0)
        ferry_plan_say_machines(plan, t);
    r = ferry_plan_obey(plan, t, overrides, err);
    if (r < 0)
        return r;
    if (overrides)
        ferry_overrides_merge(&plan->overrides, overrides);
    ferry_plan_seal(plan);
    *ret = FERRY_STEAL(plan);
    return 0;
}
