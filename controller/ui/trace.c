/* `ferry trace`: walks the live FIBs hop by hop, by longest-prefix match, over every equal-cost leg.
 *
 *  1. Each router is read at most once: trace shows the routers as they were within one moment, not a mixture.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include <string.h>

#define PROTOCOL_KERNEL 2 /* RTPROT_KERNEL, linux/rtnetlink.h: an address on an interface */

enum { KEY_FROM = 0x8000 };

struct trace_options {
    struct ui *ui;
    const char *address, *from;
};

static const struct argp_option options[] = {
    {"from", KEY_FROM, "ROUTER", 0, "The router at which the packet starts", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct trace_options *o = state->input;
    switch (key) {
    case KEY_FROM:
        o->from = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (o->address)
            return ARGP_ERR_UNKNOWN;
        o->address = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->address)
            return ui_usage(o->ui, "which ADDRESS?");
        return o->from ? 0 : ui_usage(o->ui, "--from ROUTER is needed");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = options, .parser = parse};

enum end { ONWARD, DELIVERED, BLACKHOLED, NO_ROUTE, LOOP, LEAVES, SILENT };

static const char *const end_names[] = {"onward", "delivered", "blackholed", "no-route",
                                        "loop",   "leaves",    "unreachable"};

/* What one router does with the address. */
struct hop {
    bool read;
    enum end end;
    bool matched;
    struct ferry_prefix prefix; /* that matched */
    struct ferry_fib fib;       /* owns `entry` */
    const struct ferry_entry *entry;
    char text[256]; /* how it ends, where it does */
    bool on_path, walked;
};

struct trace {
    struct ui *ui;
    const struct ferry_topology *t;
    struct ferry_fleet *fleet;
    struct ferry_addr address;
    uint32_t subnet;          /* the most specific of the topology that holds it, or FERRY_NONE */
    struct hop *hops;         /* [router] */
    struct json_object *list; /* with --json */
    bool bad;                 /* some leg is not delivered */
    char end[300];            /* of the first bad leg, else of the last */
    enum end how;
};

static uint32_t subnet_of(const struct ferry_topology *t, const struct ferry_addr *a)
{
    uint32_t best = FERRY_NONE;
    for (uint32_t i = 0; i < t->n_subnets; i++)
        if (ferry_prefix_contains(&t->subnets[i].prefix, a) &&
            (best == FERRY_NONE || t->subnets[i].prefix.len > t->subnets[best].prefix.len))
            best = i;
    return best;
}

/* The longest match, then the lowest metric; an attachment first. */
static void choose(struct hop *hop)
{
    for (size_t i = 0; i < hop->fib.n; i++) {
        const struct ferry_fib_item *item = &hop->fib.items[i];
        bool attached = item->entry.type == FERRY_GATEWAY;
        if (item->relation == FERRY_MORE_SPECIFIC || !ferry_entry_forwards(&item->entry))
            continue;
        if (hop->entry && (item->prefix.len < hop->prefix.len ||
                           (item->prefix.len == hop->prefix.len && !attached &&
                            (hop->entry->type == FERRY_GATEWAY || item->entry.metric >= hop->entry->metric))))
            continue;
        hop->entry = &item->entry;
        hop->prefix = item->prefix;
    }
    hop->matched = hop->entry != NULL;
}

static const struct ferry_gateway *gateway_on(const struct trace *tr, uint32_t router)
{
    const struct ferry_subnet *s = tr->subnet == FERRY_NONE ? NULL : &tr->t->subnets[tr->subnet];
    for (size_t i = 0; s && i < s->n_gateways; i++)
        if (s->gateways[i].router == router)
            return &s->gateways[i];
    return NULL;
}

static bool own_address(const struct trace *tr, uint32_t router)
{
    const struct ferry_router *r = &tr->t->routers[router];
    for (size_t i = 0; i < r->n_interfaces; i++)
        for (size_t k = 0; k < r->interfaces[i].n_addresses; k++)
            if (ferry_addr_equal(&r->interfaces[i].addresses[k].addr, &tr->address))
                return true;
    return false;
}

static const char *interface_name(const struct trace *tr, const struct ferry_gateway *g)
{
    return g->interface == FERRY_NONE ? "" : tr->t->routers[g->router].interfaces[g->interface].name;
}

/* The end of a packet on a router that has the address's prefix attached. */
static void delivered(const struct trace *tr, uint32_t router, struct hop *hop, const char *dev)
{
    char via[FERRY_ADDR_STRLEN];
    const char *name = tr->t->routers[router].name;
    const struct ferry_gateway *g = hop->entry->type == FERRY_GATEWAY ? gateway_on(tr, router) : NULL;
    hop->end = DELIVERED;
    if (g && g->via.family)
        snprintf(hop->text, sizeof hop->text, "delivered at %s (via %s)", name,
                 ferry_addr_text(&g->via, via));
    else if (g || dev[0])
        snprintf(hop->text, sizeof hop->text, "delivered at %s (%s)", name, g ? interface_name(tr, g) : dev);
    else
        snprintf(hop->text, sizeof hop->text, "delivered at %s", name);
}

static void judge_unicast(const struct trace *tr, uint32_t router, struct hop *hop)
{
    const struct ferry_nexthop *first = hop->entry->n_nexthops ? &hop->entry->nexthops[0] : NULL;
    const char *name = tr->t->routers[router].name;
    if (!first) {
        hop->end = NO_ROUTE;
        snprintf(hop->text, sizeof hop->text, "no next hop at %s", name);
        return;
    }
    if (first->via.family || hop->entry->protocol != PROTOCOL_KERNEL)
        return; /* onward; each leg is looked at by itself */
    uint32_t owner = ferry_topology_owner(tr->t, &tr->address);
    if (owner != FERRY_NO_ROUTER && owner != router) {
        hop->end = DELIVERED;
        snprintf(hop->text, sizeof hop->text, "delivered at %s (its own address)",
                 tr->t->routers[owner].name);
        return;
    }
    delivered(tr, router, hop, first->dev);
}

static void judge(const struct trace *tr, uint32_t router, struct hop *hop)
{
    const char *name = tr->t->routers[router].name;
    hop->end = ONWARD;
    if (own_address(tr, router)) {
        hop->end = DELIVERED;
        snprintf(hop->text, sizeof hop->text, "delivered at %s (its own address)", name);
    } else if (!hop->entry) {
        hop->end = NO_ROUTE;
        snprintf(hop->text, sizeof hop->text, "no route at %s", name);
    } else if (hop->entry->type == FERRY_GATEWAY) {
        delivered(tr, router, hop, "");
    } else if (hop->entry->type != FERRY_UNICAST) {
        hop->end = BLACKHOLED;
        snprintf(hop->text, sizeof hop->text, "%sed at %s",
                 hop->entry->type == FERRY_BLACKHOLE ? "blackhol" : "reject", name);
    } else {
        judge_unicast(tr, router, hop);
    }
}

static void read_hop(struct trace *tr, uint32_t router)
{
    struct hop *hop = &tr->hops[router];
    if (hop->read)
        return;
    hop->read = true;
    const struct ferry_topology *t = tr->t;
    const struct ferry_gateway *g = gateway_on(tr, router);
    uint32_t table =
        tr->subnet == FERRY_NONE ? t->routers[router].table : ferry_topology_table(t, router, tr->subnet);
    struct ferry_query_item items[2] = {
        {.prefix = {tr->address, ferry_addr_bits(tr->address.family)}, .table = table},
    };
    size_t n = 1;
    if (tr->subnet != FERRY_NONE)
        items[n++] = (struct ferry_query_item){
            .prefix = t->subnets[tr->subnet].prefix,
            .table = table,
            .gateway = g,
            .interface = g && g->interface != FERRY_NONE ? interface_name(tr, g) : NULL,
        };
    struct ferry_query query = {.items = items, .n = n};
    struct ferry_job job = {.router = router, .verb = FERRY_JOB_READ, .query = &query};
    ferry_fleet_run(tr->fleet, &job, 1);
    if (job.result < 0) {
        hop->end = SILENT;
        snprintf(hop->text, sizeof hop->text, "%s cannot be read: %.200s", t->routers[router].name,
                 job.err.text);
        return;
    }
    hop->fib = job.fib;
    choose(hop);
    judge(tr, router, hop);
}

/* ---- Walking and showing ---- */

static void show(struct trace *tr, uint32_t router, unsigned depth)
{
    const struct hop *hop = &tr->hops[router];
    char prefix[FERRY_PREFIX_STRLEN], entry[512];
    const char *name = tr->t->routers[router].name;
    if (tr->list) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "depth", json_object_new_int64(depth));
        json_object_object_add(o, "router", json_object_new_string(name));
        json_object_object_add(o, "prefix",
                               hop->matched ? json_object_new_string(ferry_prefix_text(&hop->prefix, prefix))
                                            : NULL);
        json_object_object_add(
            o, "route",
            hop->entry ? json_object_new_string(ferry_entry_text(hop->entry, entry, sizeof entry)) : NULL);
        json_object_array_add(tr->list, o);
        return;
    }
    printf("%*s%s%s%s", (int)depth * 2, "", ui_style(tr->ui, stdout, UI_BOLD), name,
           ui_reset(tr->ui, stdout));
    if (hop->matched)
        printf("  %s %s", ferry_prefix_text(&hop->prefix, prefix),
               ferry_entry_text(hop->entry, entry, sizeof entry));
    putchar('\n');
}

static void ends(struct trace *tr, enum end how, const char *text, unsigned depth)
{
    bool good = how == DELIVERED;
    if (!tr->list)
        printf("%*s%s%s%s\n", (int)depth * 2, "", ui_style(tr->ui, stdout, good ? UI_GREEN : UI_RED), text,
               ui_reset(tr->ui, stdout));
    if (tr->bad)
        return;
    tr->bad = !good;
    tr->how = how;
    snprintf(tr->end, sizeof tr->end, "%s", text);
}

static void walk(struct trace *tr, uint32_t router, unsigned depth);

static void walk_leg(struct trace *tr, uint32_t router, const struct ferry_nexthop *leg, unsigned depth)
{
    char text[300], via[FERRY_ADDR_STRLEN];
    uint32_t next = leg->via.family ? ferry_topology_owner(tr->t, &leg->via) : FERRY_NO_ROUTER;
    if (next == FERRY_NO_ROUTER && leg->dev[0])
        next = ferry_topology_neighbour(tr->t, router, leg->dev, NULL);
    if (next != FERRY_NO_ROUTER) {
        walk(tr, next, depth);
        return;
    }
    snprintf(text, sizeof text, "leaves the topology at %s via %s%s%s", tr->t->routers[router].name,
             leg->via.family ? ferry_addr_text(&leg->via, via) : "",
             leg->via.family && leg->dev[0] ? " dev " : "", leg->dev);
    ends(tr, LEAVES, text, depth);
}

static void walk(struct trace *tr, uint32_t router, unsigned depth)
{
    struct hop *hop = &tr->hops[router];
    char text[300];
    read_hop(tr, router);
    if (hop->on_path) {
        show(tr, router, depth);
        snprintf(text, sizeof text, "loop: back at %s", tr->t->routers[router].name);
        ends(tr, LOOP, text, depth + 1);
        return;
    }
    show(tr, router, depth);
    if (hop->walked) /* an equal-cost leg met another: shown above */
        return;
    if (hop->end != ONWARD) {
        ends(tr, hop->end, hop->text, depth + 1);
    } else {
        hop->on_path = true;
        for (size_t i = 0; i < hop->entry->n_nexthops; i++)
            walk_leg(tr, router, &hop->entry->nexthops[i], depth + 1);
        hop->on_path = false;
    }
    hop->walked = true;
}

static void trace_clear(struct trace *tr)
{
    for (size_t i = 0; tr->hops && i < tr->t->n_routers; i++)
        ferry_fib_clear(&tr->hops[i].fib);
    free(tr->hops);
}

static int run(struct ui *ui, void *opaque)
{
    const struct trace_options *o = opaque;
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    FERRY_CLEANUP(ui_fleet_cleanup) struct ferry_fleet *fleet = NULL;
    FERRY_CLEANUP(trace_clear) struct trace tr = {.ui = ui};
    struct ferry_fleet_config config = ui_fleet_config(ui);
    uint32_t from;
    if (ferry_addr_parse(o->address, &tr.address, &ui->err) < 0)
        return ferry_error(&ui->err, FERRY_EUSAGE, "trace: '%s' is no address", o->address);
    int r = ui_topology_load(ui, &t);
    if (r == 0)
        r = ui_find_router(ui, t, o->from, &from);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &ui->err);
    if (r < 0)
        return r;
    tr.t = t;
    tr.fleet = fleet;
    tr.subnet = subnet_of(t, &tr.address);
    tr.hops = ferry_calloc(t->n_routers, sizeof *tr.hops);
    tr.list = ui->json ? json_object_new_array() : NULL;
    walk(&tr, from, 0);
    if (ui->json) {
        struct json_object *doc = json_object_new_object();
        json_object_object_add(doc, "address", json_object_new_string(o->address));
        json_object_object_add(doc, "from", json_object_new_string(o->from));
        json_object_object_add(doc, "hops", tr.list);
        json_object_object_add(doc, "delivered", json_object_new_boolean(!tr.bad));
        json_object_object_add(doc, "result", json_object_new_string(end_names[tr.how]));
        json_object_object_add(doc, "end", json_object_new_string(tr.end));
        ui_print_json(doc);
    }
    return tr.bad ? UI_ERROR : UI_OK;
}

const struct ui_verb ui_verb_trace = {
    .name = "trace",
    .args = "ADDRESS",
    .purpose = "Walks the live FIBs hop by hop from a router towards an address.",
    .examples = "Each line is a router with the prefix that matched and its route; equal-cost legs are all "
                "followed.  It ends with "
                "delivered, blackholed, no route, loop, or where the packet leaves the topology.\n\n"
                "Examples:\n  ferry -t site.json trace 192.168.1.10 --from edge-third\n"
                "  ferry -t site.json trace 2001:db8::10 --from edge-third --json\n\n"
                "Exit status: 0 delivered on every leg, else 1.\n",
    .argp = &argp,
    .options_size = sizeof(struct trace_options),
    .run = run,
};
