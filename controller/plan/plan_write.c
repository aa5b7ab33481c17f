/* The plan document: written by hand into one growing buffer (a plan of a large network has a million
 * values), always with the same members in the same order, so that its identity can be computed from the
 * text. docs/plan-document.md describes every member; plan_parse.c reads it back.
 *
 * Invariant: what is written depends on the plan's content alone, and reading and writing it again gives the
 * same bytes.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <ferry/dns.h>

#include "base/hash.h"
#include "model/driver_config.h"
#include <ferry/tunnel.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where an entry already stands in the text: the same ones come again and again. */
struct written {
    const struct ferry_entry *entry; /* interned: the pointer is the value; NULL: free */
    size_t at, n;
};

struct out {
    char *v;
    size_t n, room;
    bool pretty;
    unsigned depth;          /* of what is broken into lines */
    unsigned inlined;        /* > 0: inside something that stays on one line */
    bool first;              /* nothing stands yet in the innermost array or object */
    bool keyed;              /* a key has just been written */
    struct written *written; /* hashed by pointer; `mask` + 1 places */
    size_t n_written, mask;
};

static void make_room(struct out *o, size_t n)
{
    if (o->room - o->n >= n + 1)
        return;
    o->room = 2 * o->room + n + 64;
    o->v = ferry_realloc(o->v, o->room, 1);
}

static void put(struct out *o, const char *s, size_t n)
{
    make_room(o, n);
    memcpy(o->v + o->n, s, n);
    o->n += n;
    o->v[o->n] = '\0';
}

static void puts_(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

static void line(struct out *o)
{
    if (!o->pretty || o->inlined)
        return;
    puts_(o, "\n");
    for (unsigned i = 0; i < o->depth; i++)
        puts_(o, "  ");
}

/* Before every value and key. */
static void item(struct out *o)
{
    if (o->keyed) {
        o->keyed = false;
        return;
    }
    if (!o->first) {
        puts_(o, ",");
        if (o->pretty && o->inlined)
            puts_(o, " ");
    }
    if (o->depth || o->inlined)
        line(o);
    o->first = false;
}

static void open_(struct out *o, const char *bracket, bool on_one_line)
{
    item(o);
    puts_(o, bracket);
    if (on_one_line || o->inlined)
        o->inlined++;
    else
        o->depth++;
    o->first = true;
}

static void close_(struct out *o, const char *bracket)
{
    bool empty = o->first;
    if (o->inlined) {
        o->inlined--;
    } else {
        o->depth--;
        if (!empty)
            line(o);
    }
    puts_(o, bracket);
    o->first = false;
}

/* The escapes that JSON demands, as Python's json.dumps(ensure_ascii=False) writes them. */
static void quoted(struct out *o, const char *s)
{
    static const char shorts[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    puts_(o, "\"");
    for (const char *p = s; *p;) {
        size_t plain = 0;
        while ((unsigned char)p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\')
            plain++;
        put(o, p, plain);
        p += plain;
        if (!*p)
            break;
        char escape[8];
        unsigned char c = (unsigned char)*p++;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c < sizeof shorts && shorts[c])
            snprintf(escape, sizeof escape, "\\%c", shorts[c]);
        else
            snprintf(escape, sizeof escape, "\\u%04x", c);
        puts_(o, escape);
    }
    puts_(o, "\"");
}

static void key(struct out *o, const char *name)
{
    item(o);
    quoted(o, name);
    puts_(o, o->pretty ? ": " : ":");
    o->keyed = true;
}

static void string(struct out *o, const char *s)
{
    item(o);
    if (s)
        quoted(o, s);
    else
        puts_(o, "null");
}

static void number(struct out *o, uint64_t n)
{
    char buf[20], *p = buf + sizeof buf;
    item(o);
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    put(o, p, (size_t)(buf + sizeof buf - p));
}

static void member(struct out *o, const char *name, const char *value)
{
    key(o, name);
    string(o, value);
}

static void member_number(struct out *o, const char *name, uint64_t value)
{
    key(o, name);
    number(o, value);
}

/* ---- Entries. ---- */

static void write_nexthop(struct out *o, const struct ferry_plan *plan, const struct ferry_nexthop *nh)
{
    char addr[FERRY_ADDR_STRLEN];
    open_(o, "{", true);
    member(o, "router", nh->router < plan->n_routers ? plan->routers[nh->router].name : NULL);
    if (nh->via.family)
        member(o, "via", ferry_addr_text(&nh->via, addr));
    if (nh->dev[0])
        member(o, "dev", nh->dev);
    if (nh->weight > 1)
        member_number(o, "weight", nh->weight);
    if (nh->onlink) {
        key(o, "onlink");
        item(o);
        puts_(o, "true");
    }
    close_(o, "}");
}

static void write_native(struct out *o, const struct ferry_entry *e)
{
    if (!e->native_len)
        return;
    FERRY_AUTOFREE char *hex = ferry_calloc(2 * (size_t)e->native_len + 1, 1);
    ferry_hex(e->native, e->native_len, hex);
    member(o, "native", hex);
}

static struct written *find_written(struct out *o, const struct ferry_entry *e)
{
    size_t i = ferry_hash_u64(0, (uint64_t)(uintptr_t)e) & o->mask;
    while (o->written[i].entry && o->written[i].entry != e)
        i = (i + 1) & o->mask;
    return &o->written[i];
}

static void grow_written(struct out *o)
{
    if (o->written && 2 * o->n_written <= o->mask)
        return;
    struct written *old = o->written;
    size_t n = old ? o->mask + 1 : 0;
    o->mask = n ? 2 * n - 1 : 255;
    o->written = ferry_calloc(o->mask + 1, sizeof *o->written);
    for (size_t i = 0; i < n; i++)
        if (old[i].entry)
            *find_written(o, old[i].entry) = old[i];
    free(old);
}

/* {"type": "dns", "record": "A", "ttl": 300, "data": ["192.168.1.10"]} */
static void write_records(struct out *o, const struct ferry_entry *e)
{
    struct ferry_rrset set = {0};
    member(o, "record", ferry_dns_type_name(e->metric));
    if (!ferry_rrset_of_entry(e, &set))
        return; /* nothing that a plan can hold */
    member_number(o, "ttl", set.ttl);
    key(o, "data");
    open_(o, "[", true);
    for (size_t i = 0; i < set.n; i++)
        string(o, set.data[i]);
    close_(o, "]");
    ferry_rrset_clear(&set);
}

static void write_selector(struct out *o, const struct ferry_entry *e)
{
    char tunnel[FERRY_TUNNEL_MAX + 1];
    snprintf(tunnel, sizeof tunnel, "%.*s", (int)e->native_len, (const char *)e->native);
    open_(o, "{", true);
    member(o, "type", ferry_entry_type_name(e->type));
    member(o, "side", ferry_side_name(e->protocol));
    member(o, "tunnel", tunnel);
    close_(o, "}");
}

static void write_new_entry(struct out *o, const struct ferry_plan *plan, const struct ferry_entry *e)
{
    char protocol[16];
    if (e->type == FERRY_TRAFFIC_SELECTOR) {
        write_selector(o, e);
        return;
    }
    open_(o, "{", true);
    member(o, "type", ferry_entry_type_name(e->type));
    if (e->type == FERRY_DNS) {
        write_records(o, e);
        close_(o, "}");
        return;
    }
    if (e->type != FERRY_ANNOUNCEMENT)
        member_number(o, "metric", e->metric);
    if (e->type != FERRY_GATEWAY) {
        member(o, "protocol", ferry_protocol_name(e->protocol, protocol));
        if (e->type != FERRY_ANNOUNCEMENT && e->table != FERRY_TABLE_MAIN)
            member_number(o, "table", e->table);
    }
    if (e->type == FERRY_UNICAST) {
        key(o, "nexthops");
        open_(o, "[", true);
        for (uint16_t i = 0; i < e->n_nexthops; i++)
            write_nexthop(o, plan, &e->nexthops[i]);
        close_(o, "]");
    }
    write_native(o, e);
    close_(o, "}");
}

static void write_entry(struct out *o, const struct ferry_plan *plan, const struct ferry_entry *e)
{
    if (!e) {
        string(o, NULL);
        return;
    }
    item(o);
    grow_written(o);
    struct written *w = find_written(o, e);
    if (w->entry) {
        make_room(o, w->n);
        put(o, o->v + w->at, w->n);
        return;
    }
    *w = (struct written){.entry = e, .at = o->n};
    o->n_written++;
    o->keyed = true; /* what comes before it has been written */
    write_new_entry(o, plan, e);
    w->n = o->n - w->at;
}

/* ---- Parts. ---- */

static void write_routing(struct out *o, const struct ferry_driver_config *config)
{
    if (config->routing == FERRY_ROUTING_STATIC)
        return;
    member(o, "routing", ferry_routing_name(config->routing));
    if (!config->prefix_list && !config->area)
        return;
    key(o, "origination");
    open_(o, "{", true);
    if (config->prefix_list)
        member(o, "prefix-list", config->prefix_list);
    if (config->area)
        member(o, "area", config->area);
    close_(o, "}");
}

static void write_routers(struct out *o, const struct ferry_plan *plan)
{
    key(o, "routers");
    open_(o, "{", false);
    for (size_t i = 0; i < plan->n_routers; i++) {
        const struct ferry_plan_router *r = &plan->routers[i];
        key(o, r->name);
        open_(o, "{", true);
        if (r->site)
            member(o, "site", r->site);
        if (r->driver.type) {
            key(o, "driver");
            open_(o, "{", true);
            member(o, "type", r->driver.type);
            for (const struct ferry_driver_field *f = ferry_driver_fields; f->key; f++)
                if (*ferry_driver_field_at(f, &r->driver))
                    member(o, f->key, *ferry_driver_field_at(f, &r->driver));
            if (r->driver.port)
                member_number(o, "port", r->driver.port);
            close_(o, "}");
        }
        write_routing(o, &r->driver);
        close_(o, "}");
    }
    close_(o, "}");
}

static void member_true(struct out *o, const char *name)
{
    key(o, name);
    item(o);
    puts_(o, "true");
}

static void write_gateway(struct out *o, const struct ferry_plan *plan, const struct ferry_plan_gateway *g)
{
    char text[FERRY_PREFIX_STRLEN];
    open_(o, "{", true);
    member(o, "router", plan->routers[g->gateway.router].name);
    if (g->interface[0])
        member(o, "interface", g->interface);
    if (g->gateway.address.addr.family)
        member(o, "address", ferry_prefix_text(&g->gateway.address, text));
    if (g->gateway.via.family)
        member(o, "via", ferry_addr_text(&g->gateway.via, text));
    if (g->gateway.make[0])
        member(o, "make", g->gateway.make);
    if (g->gateway.rules)
        member_true(o, "rules");
    if (g->gateway.isolated)
        member_true(o, "isolated");
    if (g->attached)
        write_native(o, g->attached);
    close_(o, "}");
}

static void write_subnet(struct out *o, const struct ferry_plan *plan, const struct ferry_plan_subnet *s)
{
    char text[FERRY_PREFIX_STRLEN];
    open_(o, "{", true);
    member(o, "name", s->name);
    member(o, "prefix", ferry_prefix_text(&s->prefix, text));
    if (s->n_gateways) {
        key(o, "gateways");
        open_(o, "[", true);
        for (size_t i = 0; i < s->n_gateways; i++)
            write_gateway(o, plan, &s->gateways[i]);
        close_(o, "]");
    }
    close_(o, "}");
}

static void write_initial(struct out *o, const struct ferry_plan *plan, const struct ferry_group *g)
{
    key(o, "initial");
    open_(o, "{", false);
    for (size_t v = 0; v < plan->n_routers; v++) {
        if (!g->initial[v])
            continue;
        key(o, plan->routers[v].name);
        open_(o, "[", true);
        for (uint32_t i = 0; i < g->initial[v]->n; i++)
            write_entry(o, plan, g->initial[v]->entries[i]);
        close_(o, "]");
    }
    close_(o, "}");
}

static void write_covers(struct out *o, const struct ferry_plan *plan, const struct ferry_group *g)
{
    char text[FERRY_PREFIX_STRLEN];
    size_t n = 0;
    for (size_t v = 0; v < plan->n_routers; v++)
        n += g->covers[v].entry != NULL;
    if (!n)
        return;
    key(o, "covers");
    open_(o, "{", false);
    for (size_t v = 0; v < plan->n_routers; v++) {
        const struct ferry_cover *c = &g->covers[v];
        if (!c->entry)
            continue;
        key(o, plan->routers[v].name);
        open_(o, "{", true);
        if (c->prefix.addr.family)
            member(o, "prefix", ferry_prefix_text(&c->prefix, text));
        key(o, "entry");
        write_entry(o, plan, c->entry);
        close_(o, "}");
    }
    close_(o, "}");
}

static void write_group(struct out *o, const struct ferry_plan *plan, const struct ferry_group *g)
{
    open_(o, "{", false);
    member(o, "id", g->id);
    member(o, "from", g->from);
    member(o, "to", g->to);
    if (g->stretched) {
        key(o, "stretched");
        item(o);
        puts_(o, "true");
    }
    key(o, "subnets");
    open_(o, "[", false);
    for (size_t i = 0; i < g->n_subnets; i++)
        write_subnet(o, plan, &g->subnets[i]);
    close_(o, "]");
    write_initial(o, plan, g);
    write_covers(o, plan, g);
    close_(o, "}");
}

/* The names whose records change: groups too, but of no subnet. */
static void write_names(struct out *o, const struct ferry_plan *plan)
{
    bool any = false;
    for (size_t i = 0; i < plan->n_groups; i++)
        any |= plan->groups[i].dns;
    if (!any)
        return;
    key(o, "names");
    open_(o, "[", false);
    for (size_t i = 0; i < plan->n_groups; i++) {
        const struct ferry_group *g = &plan->groups[i];
        if (!g->dns)
            continue;
        open_(o, "{", false);
        member(o, "id", g->id);
        member(o, "name", g->subnets[0].name);
        write_initial(o, plan, g);
        close_(o, "}");
    }
    close_(o, "]");
}

static void write_change(struct out *o, const struct ferry_plan *plan, const struct ferry_change *c)
{
    open_(o, "{", true);
    member(o, "router", plan->routers[c->router].name);
    member(o, "group", plan->groups[c->group].id);
    member(o, "kind", ferry_kind_name(c->kind));
    if (c->kind == FERRY_KIND_ROUTE)
        member_number(o, "metric", c->metric);
    if (c->kind == FERRY_KIND_DNS)
        member(o, "record", ferry_dns_type_name(c->metric));
    if (c->table && c->table != FERRY_TABLE_MAIN)
        member_number(o, "table", c->table);
    key(o, "before");
    write_entry(o, plan, c->before);
    key(o, "after");
    write_entry(o, plan, c->after);
    if (c->why)
        member(o, "why", c->why);
    close_(o, "}");
}

static void write_stages(struct out *o, const struct ferry_plan *plan)
{
    key(o, "stages");
    open_(o, "[", false);
    for (size_t s = 0; s < plan->n_stages; s++) {
        open_(o, "{", false);
        member(o, "phase", ferry_phase_name(plan->stages[s].phase));
        key(o, "changes");
        open_(o, "[", false);
        for (size_t i = 0; i < plan->stages[s].n_changes; i++)
            write_change(o, plan, &plan->stages[s].changes[i]);
        close_(o, "]");
        close_(o, "}");
    }
    close_(o, "]");
}

static void write_argv(struct out *o, const char *name, char *const *argv)
{
    if (!argv)
        return;
    key(o, name);
    open_(o, "[", true);
    for (; *argv; argv++)
        string(o, *argv);
    close_(o, "]");
}

static void write_hook(struct out *o, const struct ferry_hook *h)
{
    open_(o, "{", true);
    write_argv(o, "run", h->run);
    write_argv(o, "undo", h->undo);
    if (h->pause)
        member(o, "pause", h->pause);
    if (h->pause_undo)
        member(o, "undo", h->pause_undo);
    if (h->run || h->undo) {
        FERRY_AUTOFREE char *timeout = ferry_asprintf("%us", h->timeout_s);
        member(o, "timeout", timeout);
        if (h->pause_on_failure)
            member(o, "on-failure", "pause");
    }
    close_(o, "}");
}

/* As in a topology; nothing where there are none. */
static void write_hooks(struct out *o, const struct ferry_hooks *hooks)
{
    if (!hooks->n)
        return;
    key(o, "hooks");
    open_(o, "{", false);
    for (size_t i = 0; i < hooks->n; i++) {
        if (i == 0 || hooks->v[i - 1].at != hooks->v[i].at) {
            key(o, ferry_boundary_name(hooks->v[i].at));
            open_(o, "[", false);
        }
        write_hook(o, &hooks->v[i]);
        if (i + 1 == hooks->n || hooks->v[i + 1].at != hooks->v[i].at)
            close_(o, "]");
    }
    close_(o, "}");
}

static void write_overrides(struct out *o, const struct ferry_overrides *overrides)
{
    if (!overrides->n)
        return;
    key(o, "overrides");
    open_(o, "[", false);
    for (size_t i = 0; i < overrides->n; i++) {
        open_(o, "{", true);
        member(o, "rule", overrides->v[i].rule->name);
        member(o, "refused", overrides->v[i].refused);
        close_(o, "}");
    }
    close_(o, "]");
}

static void write_lost(struct out *o, const struct ferry_plan *plan)
{
    if (!ferry_plan_has_lost(plan))
        return;
    key(o, "lost");
    open_(o, "[", false);
    for (size_t i = 0; i < plan->n_routers; i++) {
        const struct ferry_plan_router *r = &plan->routers[i];
        if (!r->lost)
            continue;
        open_(o, "{", true);
        member(o, "router", r->name);
        key(o, "neighbours");
        open_(o, "[", true);
        for (size_t k = 0; k < r->n_neighbours; k++)
            string(o, plan->routers[r->neighbours[k]].name);
        close_(o, "]");
        close_(o, "}");
    }
    close_(o, "]");
}

static void write_debts(struct out *o, const struct ferry_plan *plan)
{
    if (!plan->n_debts)
        return;
    key(o, "debts");
    open_(o, "[", false);
    for (size_t i = 0; i < plan->n_debts; i++)
        write_change(o, plan, &plan->debts[i]);
    close_(o, "]");
}

static void write_addresses(struct out *o, const struct ferry_plan *plan)
{
    char text[FERRY_ADDR_STRLEN];
    if (!plan->n_addresses)
        return;
    key(o, "addresses");
    open_(o, "[", false);
    for (size_t i = 0; i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        open_(o, "{", true);
        member(o, "machine", a->machine);
        member(o, "nic", a->nic);
        member(o, "own", ferry_addr_text(&a->own, text));
        member(o, "network", a->network);
        member(o, "before", ferry_addr_text(&a->before, text));
        member(o, "network_after", a->network_after);
        member(o, "after", ferry_addr_text(&a->after, text));
        member(o, "reason", a->reason);
        close_(o, "}");
    }
    close_(o, "]");
}

/* `whole`: with id and proof. */
static void write_plan(struct out *o, const struct ferry_plan *plan, bool whole)
{
    o->first = true;
    open_(o, "{", false);
    member_number(o, "ferry", 1);
    member(o, "kind", "plan");
    if (whole)
        member(o, "id", plan->id);
    member(o, "mode", plan->mode);
    if (plan->topology_name) {
        key(o, "topology");
        open_(o, "{", true);
        member(o, "name", plan->topology_name);
        if (plan->topology_sha256[0])
            member(o, "sha256", plan->topology_sha256);
        close_(o, "}");
    }
    if (plan->attest)
        member(o, "attest", plan->attest);
    write_routers(o, plan);
    write_lost(o, plan);
    key(o, "groups");
    open_(o, "[", false);
    for (size_t i = 0; i < plan->n_groups; i++)
        if (!plan->groups[i].dns)
            write_group(o, plan, &plan->groups[i]);
    close_(o, "]");
    write_names(o, plan);
    write_stages(o, plan);
    write_debts(o, plan);
    write_addresses(o, plan);
    write_hooks(o, &plan->hooks);
    write_overrides(o, &plan->overrides);
    key(o, "warnings");
    open_(o, "[", false);
    for (size_t i = 0; i < plan->n_warnings; i++)
        string(o, plan->warnings[i]);
    close_(o, "]");
    if (whole && plan->proof_states) {
        key(o, "proof");
        open_(o, "{", true);
        member(o, "states", plan->proof_states);
        if (plan->proof_certificate)
            member(o, "certificate", plan->proof_certificate);
        close_(o, "}");
    }
    close_(o, "}");
}

char *ferry_plan_write(const struct ferry_plan *plan, bool pretty)
{
    struct out o = {.pretty = pretty};
    write_plan(&o, plan, true);
    puts_(&o, "\n");
    free(o.written);
    return o.v;
}

void ferry_plan_seal(struct ferry_plan *plan)
{
    struct out o = {0};
    write_plan(&o, plan, false);
    ferry_sha256(o.v, o.n, plan->id);
    free(o.written);
    free(o.v);
}
