/* From the command line to a plan: which subnets go where, from which state; topology, fleet and proof.
 * SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include "watch/paths.h"
#include <string.h>

enum {
    KEY_MOVE = 0x2000,
    KEY_EVACUATE,
    KEY_TO,
    KEY_FAILBACK,
    KEY_MODE,
    KEY_OFFLINE,
    KEY_ACTIVE,
    KEY_UNREACHABLE,
    KEY_ATTEST,
    KEY_NETWORK,
    KEY_RECOVERY,
    KEY_DNS_TTL
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What to move:", 1},
    {"move", KEY_MOVE, "SUBNET=SITE", 0, "Move this subnet to that site; may stand several times", 1},
    {"evacuate", KEY_EVACUATE, "SITE", 0, "Move every subnet that is active there (with --to)", 1},
    {"to", KEY_TO, "SITE", 0, "Where --evacuate moves to", 1},
    {"failback", KEY_FAILBACK, NULL, 0, "Move home every subnet that is away from home", 1},
    {"network", KEY_NETWORK, "NETWORK", 0,
     "Move what follows from this VM network's mapping: subnets that keep their addresses, addresses that "
     "change; "
     "with --failback: bring it back; several times",
     1},
    {"recovery-plan", KEY_RECOVERY, "PLAN", 0,
     "Move what the groups of this recovery plan of the topology say, one group after the other", 1},
    {"dns-ttl", KEY_DNS_TTL, "DURATION", 0,
     "With --network: move nothing, but set the TTL of its machines' names, ahead of a move; `restore`: back "
     "to "
     "what the topology says",
     1},
    {"mode", KEY_MODE, "MODE", 0,
     "planned: every router answers (default); disaster: the old site is lost, and fenced off first", 1},
    {"unreachable", KEY_UNREACHABLE, "ROUTER", 0,
     "With --mode disaster: this router is lost, whether it answers or not; several times", 1},
    {"attest", KEY_ATTEST, "TEXT", 0,
     "With --mode disaster: you vouch that the lost site is dead, where a fence cannot be proven; journalled",
     1},
    {0},
};

static const struct argp_option offline_options[] = {
    {"offline", KEY_OFFLINE, NULL, 0, "Plan from the topology alone, each subnet at home; read no router", 2},
    {"active", KEY_ACTIVE, "SUBNET=SITE", 0, "With --offline: this subnet is active there; several times", 2},
    {0},
};

static int once(struct ui_selection *s, const char **slot, const char *option, char *arg)
{
    if (*slot)
        return ui_usage(s->ui, "%s stands twice", option);
    if (!*arg)
        return ui_usage(s->ui, "%s needs a value", option);
    *slot = arg;
    return 0;
}

static int set_ttl(struct ui_selection *s, char *arg)
{
    int r = once(s, &s->dns_ttl, "--dns-ttl", arg);
    s->dns_ttl_restore = r == 0 && strcmp(arg, "restore") == 0;
    return r || s->dns_ttl_restore
               ? r
               : ui_seconds_parse(s->ui, "--dns-ttl", arg, 1, 7u * 24 * 3600, &s->dns_ttl_s);
}

static int finish(struct ui_selection *s)
{
    if (s->evacuate && !s->to)
        return ui_usage(s->ui, "--evacuate needs --to SITE");
    if (s->to && !s->evacuate)
        return ui_usage(s->ui, "--to goes with --evacuate SITE");
    if ((s->n_moves > 0) + (s->evacuate != NULL) + (s->failback || s->n_networks) + (s->recovery != NULL) > 1)
        return ui_usage(s->ui, "--move, --evacuate, --failback, --network and --recovery-plan exclude each "
                               "other (but --failback "
                               "--network is the way back of that network)");
    if ((s->n_unreachable || s->attest) && !(s->mode && strcmp(s->mode, "disaster") == 0))
        return ui_usage(s->ui, "%s goes with --mode disaster", s->attest ? "--attest" : "--unreachable");
    if (s->dns_ttl && !s->n_networks)
        return ui_usage(s->ui, "--dns-ttl goes with --network");
    if (s->dns_ttl && (s->failback || s->mode))
        return ui_usage(s->ui, "--dns-ttl moves nothing: no --failback, no --mode");
    if (s->n_actives && !s->offline)
        return ui_usage(s->ui, "--active goes with --offline");
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct ui_selection *s = state->input;
    switch (key) {
    case KEY_MOVE:
        FERRY_GROW(s->moves, s->n_moves);
        s->moves[s->n_moves++] = arg;
        return 0;
    case KEY_ACTIVE:
        FERRY_GROW(s->actives, s->n_actives);
        s->actives[s->n_actives++] = arg;
        return 0;
    case KEY_UNREACHABLE:
        FERRY_GROW(s->unreachable, s->n_unreachable);
        s->unreachable[s->n_unreachable++] = arg;
        return 0;
    case KEY_ATTEST:
        return ui_text_check(s->ui, "--attest", arg) ? EINVAL : once(s, &s->attest, "--attest", arg);
    case KEY_NETWORK:
        FERRY_GROW(s->networks, s->n_networks);
        s->networks[s->n_networks++] = arg;
        return 0;
    case KEY_RECOVERY:
        return once(s, &s->recovery, "--recovery-plan", arg);
    case KEY_DNS_TTL:
        return set_ttl(s, arg);
    case KEY_EVACUATE:
        return once(s, &s->evacuate, "--evacuate", arg);
    case KEY_TO:
        return once(s, &s->to, "--to", arg);
    case KEY_MODE:
        if (strcmp(arg, "planned") != 0 && strcmp(arg, "disaster") != 0)
            return ui_usage(s->ui, "--mode: '%s' is neither planned nor disaster", arg);
        s->mode = arg;
        return 0;
    case KEY_FAILBACK:
        s->failback = true;
        return 0;
    case KEY_OFFLINE:
        s->offline = true;
        return 0;
    case ARGP_KEY_END:
        return finish(s);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_offline(int key, char *arg, struct argp_state *state)
{
    return key == KEY_OFFLINE || key == KEY_ACTIVE ? parse(key, arg, state) : ARGP_ERR_UNKNOWN;
}

const struct argp ui_selection_argp = {.options = options, .parser = parse};
const struct argp ui_offline_argp = {.options = offline_options, .parser = parse_offline};

bool ui_selection_given(const struct ui_selection *s)
{
    return s->n_moves || s->evacuate || s->failback || s->n_networks || s->recovery;
}

void ui_selection_clear(struct ui_selection *s)
{
    free(s->moves);
    free(s->actives);
    free(s->unreachable);
    free(s->networks);
    s->moves = s->actives = s->unreachable = s->networks = NULL;
    s->n_moves = s->n_actives = s->n_unreachable = s->n_networks = 0;
}

/* ---- cleanups ---- */

void ui_topology_cleanup(struct ferry_topology **t)
{
    ferry_topology_free(*t);
}

void ui_plan_cleanup(struct ferry_plan **plan)
{
    ferry_plan_free(*plan);
}

void ui_fleet_cleanup(struct ferry_fleet **fleet)
{
    ferry_fleet_free(*fleet);
}

void ui_journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

void ui_record_cleanup(struct ferry_txn_record **record)
{
    ferry_txn_record_free(*record);
}

void ui_pool_cleanup(struct ferry_pool **pool)
{
    ferry_pool_free(*pool);
}

/* ---- names ---- */

int ui_topology_load(struct ui *ui, struct ferry_topology **ret)
{
    if (!ui->topology_file)
        return ferry_error(&ui->err, FERRY_EUSAGE, "no topology: give -t FILE or set FERRY_TOPOLOGY");
    return ferry_topology_load(ui->topology_file, ret, NULL, &ui->err);
}

struct ferry_fleet_config ui_fleet_config(struct ui *ui)
{
    return (struct ferry_fleet_config){
        .env = &ui->env, .find = ferry_driver_find, .state_dir = ui->state_dir};
}

static void act(const struct ui *ui, struct ferry_journal *journal)
{
    struct ferry_actor actor;
    ferry_actor_self(&actor);
    snprintf(actor.command, sizeof actor.command, "%s", ui->verb ? ui->verb : "");
    ferry_journal_act(journal, &actor);
}

int ui_journal_open(struct ui *ui, struct ferry_journal **ret)
{
    int r = ferry_journal_open(&ui->env, ui->state_dir, ret, &ui->err);
    if (r == 0)
        act(ui, *ret);
    return r;
}

int ui_journal_look(struct ui *ui, struct ferry_journal **ret)
{
    int r = ferry_journal_look(&ui->env, ui->state_dir, ret, &ui->err);
    if (r == 0 && *ret)
        act(ui, *ret);
    return r;
}

int ui_unknown(struct ui *ui, const char *what, const char *name, const char *const *names, size_t n)
{
    const char *near = ui_nearest(name, names, n);
    return ferry_error(&ui->err, FERRY_EUSAGE, "unknown %s '%s'%s%s%s", what, name,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int ui_find_subnet(struct ui *ui, const struct ferry_topology *t, const char *name, uint32_t *ret)
{
    uint32_t i = ferry_topology_subnet(t, name);
    if (i != FERRY_NONE) {
        *ret = i;
        return 0;
    }
    FERRY_AUTOFREE const char **names = ferry_calloc(t->n_subnets + 1, sizeof *names);
    for (size_t k = 0; k < t->n_subnets; k++)
        names[k] = t->subnets[k].name;
    return ui_unknown(ui, "subnet", name, names, t->n_subnets);
}

int ui_find_site(struct ui *ui, const struct ferry_topology *t, const char *name, uint32_t *ret)
{
    uint32_t i = ferry_topology_site(t, name);
    if (i != FERRY_NONE) {
        *ret = i;
        return 0;
    }
    FERRY_AUTOFREE const char **names = ferry_calloc(t->n_sites + 1, sizeof *names);
    for (size_t k = 0; k < t->n_sites; k++)
        names[k] = t->sites[k].name;
    return ui_unknown(ui, "site", name, names, t->n_sites);
}

int ui_find_router(struct ui *ui, const struct ferry_topology *t, const char *name, uint32_t *ret)
{
    uint32_t i = ferry_topology_router(t, name);
    if (i != FERRY_NONE) {
        *ret = i;
        return 0;
    }
    FERRY_AUTOFREE const char **names = ferry_calloc(t->n_routers + 1, sizeof *names);
    for (size_t k = 0; k < t->n_routers; k++)
        names[k] = t->routers[k].name;
    return ui_unknown(ui, "router", name, names, t->n_routers);
}

static int parse_pair(struct ui *ui, const struct ferry_topology *t, const char *option, const char *text,
                      struct ferry_move *ret)
{
    FERRY_AUTOFREE char *subnet = ferry_strdup(text);
    char *equals = strrchr(subnet, '=');
    struct ferry_move move;
    if (!equals || equals == subnet || !equals[1])
        return ferry_error(&ui->err, FERRY_EUSAGE, "%s: '%s' is not SUBNET=SITE", option, text);
    *equals = '\0';
    int r = ui_find_subnet(ui, t, subnet, &move.subnet);
    if (r == 0)
        r = ui_find_site(ui, t, equals + 1, &move.to);
    if (r < 0)
        return ferry_error_prefix(&ui->err, r, "%s", option);
    *ret = move;
    return 0;
}

/* ---- the state and the moves ---- */

static bool is_moved(const struct ui_moves *moves, uint32_t subnet)
{
    for (size_t i = 0; i < moves->n; i++)
        if (moves->v[i].subnet == subnet)
            return true;
    return false;
}

/* Who names a machine with host routes means all of its addresses that it has there; who names a further one of them (MACHINE.2)
 * that one. */
static void take_along(const struct ferry_topology *t, struct ui_moves *moves)
{
    size_t n_named = moves->n;
    for (size_t i = 0; i < n_named; i++) {
        struct ferry_move named = moves->v[i];
        const struct ferry_subnet *host = &t->subnets[named.subnet];
        if (!host->is_host || strcmp(host->name, t->networks->workloads[host->machine].name) != 0)
            continue;
        for (uint32_t k = 0; k < t->n_subnets; k++)
            if (t->subnets[k].is_host && t->subnets[k].machine == host->machine && !is_moved(moves, k) &&
                !ui_host_stays(t, &t->subnets[k], named.to))
                ui_moves_add(moves, (struct ferry_move){k, named.to});
    }
}

static int named_moves(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                       struct ui_moves *moves)
{
    for (size_t i = 0; i < s->n_moves; i++) {
        struct ferry_move move;
        int r = parse_pair(ui, t, "--move", s->moves[i], &move);
        if (r < 0)
            return r;
        if (is_moved(moves, move.subnet))
            return ferry_error(&ui->err, FERRY_EUSAGE, "--move: subnet %s stands twice",
                               t->subnets[move.subnet].name);
        ui_moves_add(moves, move);
    }
    take_along(t, moves);
    return 0;
}

/* A stretched subnet is at several. */
static bool is_at(const struct ferry_live *live, size_t column, uint32_t site)
{
    bool at = false;
    for (size_t r = 0; r < live->topology->n_routers; r++)
        at |= live->topology->routers[r].site == site && ferry_live_attached(live, r, column);
    return at;
}

/* Whether a subnet that is attached nowhere one can see may be on a router that does not answer: one of
 * `site` or, where `other`, of any but that. */
static bool may_be_at(const struct ferry_live *live, size_t column, uint32_t site, bool other)
{
    const struct ferry_topology *t = live->topology;
    const struct ferry_subnet *subnet = &t->subnets[live->subnets[column]];
    bool silent = false;
    for (size_t r = 0; r < t->n_routers; r++)
        if (ferry_live_attached(live, r, column))
            return false;
    for (size_t i = 0; i < subnet->n_gateways; i++) {
        uint32_t r = subnet->gateways[i].router;
        silent |= live->unreachable[r] && (t->routers[r].site == site) != other;
    }
    return silent;
}

/* --evacuate and --failback look at where subnets are. */
static int found_moves(struct ui *ui, const struct ui_selection *s, const struct ferry_live *live,
                       struct ui_moves *moves)
{
    const struct ferry_topology *t = live->topology;
    uint32_t from = FERRY_NONE, to = FERRY_NONE;
    int r = 0;
    if (s->evacuate && (r = ui_find_site(ui, t, s->evacuate, &from)) < 0)
        return ferry_error_prefix(&ui->err, r, "--evacuate");
    if (s->evacuate && (r = ui_find_site(ui, t, s->to, &to)) < 0)
        return ferry_error_prefix(&ui->err, r, "--to");
    if (s->evacuate && from == to)
        return ferry_error(&ui->err, FERRY_EUSAGE, "--evacuate and --to name the same site");
    for (size_t i = 0; i < live->n_subnets; i++) {
        const struct ferry_subnet *subnet = &t->subnets[live->subnets[i]];
        bool several;
        uint32_t at = ferry_live_site(live, i, &several);
        if (subnet->host_routes) { /* its machines are subnets of their own */
            if (s->evacuate && is_at(live, i, from))
                ui_note(ui, "%s stays attached at %s too: only its machines' host routes move", subnet->name,
                        t->sites[from].name);
            continue;
        }
        if (several)
            return ferry_refuse(&ui->err, "two-sites",
                                "%s is attached at two sites; see `ferry status`, and `ferry reconcile`",
                                subnet->name);
        /* What may be there is taken for being there: if it cannot be moved so, the planner says why. */
        bool leaves = (s->evacuate ? is_at(live, i, from) : at != subnet->home && at != FERRY_NONE) ||
                      may_be_at(live, i, s->evacuate ? from : subnet->home, s->failback);
        if (leaves)
            ui_moves_add(moves, (struct ferry_move){live->subnets[i], s->evacuate ? to : subnet->home});
    }
    return 0;
}

static int fill_offline(struct ui *ui, const struct ui_selection *s, struct ferry_live *live)
{
    const struct ferry_topology *t = live->topology;
    FERRY_AUTOFREE uint32_t *active = ferry_calloc(live->n_subnets + 1, sizeof *active);
    FERRY_AUTOFREE bool *said = ferry_calloc(t->n_subnets + 1, sizeof *said);
    for (size_t i = 0; i < live->n_subnets; i++)
        active[i] = t->subnets[live->subnets[i]].home;
    for (size_t k = 0; k < s->n_actives; k++) {
        struct ferry_move at;
        int r = parse_pair(ui, t, "--active", s->actives[k], &at);
        if (r < 0)
            return r;
        if (said[at.subnet])
            return ferry_error(&ui->err, FERRY_EUSAGE, "--active: subnet %s stands twice",
                               t->subnets[at.subnet].name);
        said[at.subnet] = true;
        for (size_t i = 0; i < live->n_subnets; i++)
            if (live->subnets[i] == at.subnet)
                active[i] = at.to;
    }
    return ferry_live_offline(live, active, &ui->err);
}

static void live_cleanup(struct ferry_live **live)
{
    ferry_live_free(*live);
}

/* Said as early as it is known; begin looks again, with the lock. */
static int rested(struct ui *ui, const struct ferry_topology *t, struct ferry_overrides *overrides,
                  struct ferry_plan *plan)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    int r = t->hold_down_s ? ui_journal_look(ui, &journal) : 0;
    if (r == 0 && journal)
        r = ferry_txn_rested(journal, plan, t->hold_down_s, overrides, &ui->err);
    if (r == 0 && overrides)
        ferry_overrides_merge(&plan->overrides, overrides);
    return r;
}

int ui_plan_select(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                   struct ferry_fleet *fleet, struct ferry_plan **ret)
{
    FERRY_CLEANUP(ui_moves_clear) struct ui_moves moves = {0};
    FERRY_CLEANUP(ui_pool_cleanup) struct ferry_pool *pool = ferry_pool_new();
    FERRY_CLEANUP(live_cleanup) struct ferry_live *live = NULL;
    FERRY_CLEANUP(ui_readdressing_clear) struct ui_readdressing readdressing = {0};
    int r = named_moves(ui, s, t, &moves);
    if (r == 0 && s->n_networks && !s->dns_ttl)
        r = ui_network_moves(ui, t, s, &moves);
    if (r == 0 && (s->n_networks || s->failback) && !s->dns_ttl)
        r = ui_network_addresses(ui, t, s, &readdressing);
    if (r < 0)
        return r;
    bool search = s->evacuate || s->failback, all = search && !s->n_networks;
    size_t n = all ? t->n_subnets : moves.n;
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(n + 1, sizeof *subnets);
    for (size_t i = 0; i < n; i++)
        subnets[i] = all ? (uint32_t)i : moves.v[i].subnet;
    if (search)
        moves.n = 0; /* what is away is looked for among these */
    live = ferry_live_new(t, pool, subnets, n);
    r = s->offline ? fill_offline(ui, s, live) : ferry_fleet_read_live(fleet, live, &ui->err);
    if (r == 0 && search)
        r = found_moves(ui, s, live, &moves);
    if (r == 0)
        r = ui_lose_routers(ui, s, live, moves.v, moves.n);
    if (r < 0)
        return r;
    struct ferry_plan_terms terms = {.mode = s->mode ? s->mode : "planned",
                                     .attest = s->attest,
                                     .overrides = s->overrides,
                                     .addresses = readdressing.v,
                                     .n_addresses = readdressing.n,
                                     .warnings = readdressing.warnings,
                                     .hooks = s->hooks,
                                     .n_warnings = readdressing.n_warnings};
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    r = ferry_plan_make_on(live, moves.v, moves.n, &terms, &plan, &ui->err);
    if (r == 0)
        r = ui_plan_dns(ui, s, t, fleet, &readdressing.reservations, plan);
    if (r == 0 && !s->offline)
        r = ui_refuse_debts(ui, plan);
    if (r == 0 && !s->offline)
        r = rested(ui, t, s->overrides, plan);
    if (r == 0)
        r = ui_plan_prove(ui, plan);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(plan);
    return 0;
}

int ui_plan_prove(struct ui *ui, struct ferry_plan *plan)
{
    struct ferry_proof proof = {0};
    int r = ferry_prove(plan, UI_EXHAUSTIVE_BITS, &proof, &ui->err);
    if (r == 0) {
        free(plan->proof_states);
        free(plan->proof_certificate);
        plan->proof_states = ferry_strdup(proof.states);
        plan->proof_certificate = ferry_strdup(proof.certificate);
        ferry_plan_seal(plan);
    }
    ferry_proof_clear(&proof);
    return r < 0 ? ferry_error_prefix(&ui->err, r, "the plan is not safe") : 0;
}

int ui_plan_file(struct ui *ui, const char *path, bool strict, struct ferry_plan **ret)
{
    FERRY_CLEANUP(ui_plan_cleanup) struct ferry_plan *plan = NULL;
    bool matches = false;
    int r = ferry_plan_load(path, &plan, &matches, &ui->err);
    if (r < 0)
        return r;
    if (!matches && strict)
        return ferry_error(&ui->err, FERRY_EINPUT,
                           "%s: the id is not that of the content: the plan was changed by hand", path);
    if (!matches)
        ui_warn(ui, "%s: the id is not that of the content; `apply` will refuse this plan", path);
    *ret = FERRY_STEAL(plan);
    return 0;
}
