/* Entries of the plan document; see plan_write.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_write.h"

#include <ferry/dns.h>
#include <ferry/tunnel.h>

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

static void write_nexthop(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_nexthop *nh)
{
    char addr[FERRY_ADDR_STRLEN];
    plan_out_open(o, "{", true);
    plan_out_member(o, "router", nh->router < plan->n_routers ? plan->routers[nh->router].name : NULL);
    if (nh->via.family)
        plan_out_member(o, "via", ferry_addr_text(&nh->via, addr));
    if (nh->dev[0])
        plan_out_member(o, "dev", nh->dev);
    if (nh->weight > 1)
        plan_out_member_number(o, "weight", nh->weight);
    if (nh->onlink)
        plan_out_member_true(o, "onlink");
    plan_out_close(o, "}");
}

void plan_write_native(struct plan_out *o, const struct ferry_entry *e)
{
    if (!e->native_len)
        return;
    FERRY_AUTOFREE char *hex = ferry_calloc(2 * (size_t)e->native_len + 1, 1);
    ferry_hex(e->native, e->native_len, hex);
    plan_out_member(o, "native", hex);
}

static struct plan_written *find_written(struct plan_out *o, const struct ferry_entry *e)
{
    size_t i = ferry_hash_u64(0, (uint64_t)(uintptr_t)e) & o->mask;
    while (o->written[i].entry && o->written[i].entry != e)
        i = (i + 1) & o->mask;
    return &o->written[i];
}

static void grow_written(struct plan_out *o)
{
    if (o->written && 2 * o->n_written <= o->mask)
        return;
    struct plan_written *old = o->written;
    size_t n = old ? o->mask + 1 : 0;
    o->mask = n ? 2 * n - 1 : 255;
    o->written = ferry_calloc(o->mask + 1, sizeof *o->written);
    for (size_t i = 0; i < n; i++)
        if (old[i].entry)
            *find_written(o, old[i].entry) = old[i];
    free(old);
}

/* {"type": "dns", "record": "A", "ttl": 300, "data": ["192.168.1.10"]} */
static void write_records(struct plan_out *o, const struct ferry_entry *e)
{
    struct ferry_rrset set = {0};
    plan_out_member(o, "record", ferry_dns_type_name(e->metric));
    if (!ferry_rrset_of_entry(e, &set))
        return; /* nothing that a plan can hold */
    plan_out_member_number(o, "ttl", set.ttl);
    plan_out_key(o, "data");
    plan_out_open(o, "[", true);
    for (size_t i = 0; i < set.n; i++)
        plan_out_string(o, set.data[i]);
    plan_out_close(o, "]");
    ferry_rrset_clear(&set);
}

static void write_selector(struct plan_out *o, const struct ferry_entry *e)
{
    char tunnel[FERRY_TUNNEL_MAX + 1];
    snprintf(tunnel, sizeof tunnel, "%.*s", (int)e->native_len, (const char *)e->native);
    plan_out_open(o, "{", true);
    plan_out_member(o, "type", ferry_entry_type_name(e->type));
    plan_out_member(o, "side", ferry_side_name(e->protocol));
    plan_out_member(o, "tunnel", tunnel);
    plan_out_close(o, "}");
}

static void write_new_entry(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_entry *e)
{
    char protocol[16];
    if (e->type == FERRY_TRAFFIC_SELECTOR) {
        write_selector(o, e);
        return;
    }
    plan_out_open(o, "{", true);
    plan_out_member(o, "type", ferry_entry_type_name(e->type));
    if (e->type == FERRY_DNS) {
        write_records(o, e);
        plan_out_close(o, "}");
        return;
    }
    if (e->type != FERRY_ANNOUNCEMENT)
        plan_out_member_number(o, "metric", e->metric);
    if (e->type != FERRY_GATEWAY) {
        plan_out_member(o, "protocol", ferry_protocol_name(e->protocol, protocol));
        if (e->type != FERRY_ANNOUNCEMENT && e->table != FERRY_TABLE_MAIN)
            plan_out_member_number(o, "table", e->table);
    }
    if (e->type == FERRY_UNICAST) {
        plan_out_key(o, "nexthops");
        plan_out_open(o, "[", true);
        for (uint16_t i = 0; i < e->n_nexthops; i++)
            write_nexthop(o, plan, &e->nexthops[i]);
        plan_out_close(o, "]");
    }
    plan_write_native(o, e);
    plan_out_close(o, "}");
}

void plan_write_entry(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_entry *e)
{
    if (!e) {
        plan_out_string(o, NULL);
        return;
    }
    plan_out_item(o);
    grow_written(o);
    struct plan_written *w = find_written(o, e);
    if (w->entry) {
        plan_out_reserve(o, w->n);
        plan_out_bytes(o, o->v + w->at, w->n);
        return;
    }
    *w = (struct plan_written){.entry = e, .at = o->n};
    o->n_written++;
    o->keyed = true; /* what comes before it has been written */
    write_new_entry(o, plan, e);
    w->n = o->n - w->at;
}
