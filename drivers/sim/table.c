/* What a simulated router holds; see table.h.
 *
 *  1. A slot is never empty: it has a route, an attachment, an announcement or a selector.
 *  2. lengths[] counts exactly the slots.
 *
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include "base/mem.h"

#include <string.h>
#include <sys/socket.h>

static int compare_hops(const void *a, const void *b)
{
    return ferry_nexthop_compare(a, b);
}

static void entry_copy(struct ferry_entry *to, const struct ferry_entry *from)
{
    struct ferry_nexthop *hops = ferry_memdup(from->nexthops, from->n_nexthops * sizeof *hops);
    for (size_t i = 0; i < from->n_nexthops; i++) {
        hops[i].router = FERRY_NO_ROUTER;
        hops[i].down = false;
    }
    if (from->n_nexthops > 1)
        qsort(hops, from->n_nexthops, sizeof *hops, compare_hops);
    *to = *from;
    to->nexthops = hops;
    to->native = ferry_memdup(from->native, from->native_len);
}

static void entry_clear(struct ferry_entry *e)
{
    free((void *)e->nexthops);
    free((void *)e->native);
    *e = (struct ferry_entry){0};
}

static void slot_free(struct ferry_sim_slot *slot)
{
    for (size_t i = 0; i < slot->n_routes; i++)
        entry_clear(&slot->routes[i]);
    free(slot->routes);
    entry_clear(&slot->attachment);
    entry_clear(&slot->announcement);
    for (size_t i = 0; i < slot->n_selectors; i++)
        entry_clear(&slot->selectors[i]);
    free(slot->selectors);
    free(slot);
}

void ferry_sim_table_clear(struct ferry_sim_table *table)
{
    for (size_t i = 0; i < table->n; i++)
        slot_free(table->slots[i]);
    free(table->slots);
    free(table->devices);
    *table = (struct ferry_sim_table){0};
}

/* Where the prefix is, or would be. */
static size_t position(const struct ferry_sim_table *table, const struct ferry_prefix *prefix)
{
    size_t low = 0, high = table->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ferry_prefix_compare(&table->slots[middle]->prefix, prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t *length_count(struct ferry_sim_table *table, const struct ferry_prefix *prefix)
{
    return &table->lengths[prefix->addr.family == AF_INET6][prefix->len];
}

struct ferry_sim_slot *ferry_sim_table_find(const struct ferry_sim_table *table,
                                            const struct ferry_prefix *prefix)
{
    size_t i = position(table, prefix);
    return i < table->n && ferry_prefix_equal(&table->slots[i]->prefix, prefix) ? table->slots[i] : NULL;
}

static struct ferry_sim_slot *find_or_add(struct ferry_sim_table *table, const struct ferry_prefix *prefix)
{
    size_t i = position(table, prefix);
    if (i < table->n && ferry_prefix_equal(&table->slots[i]->prefix, prefix))
        return table->slots[i];
    FERRY_GROW(table->slots, table->n);
    memmove(table->slots + i + 1, table->slots + i, (table->n - i) * sizeof(struct ferry_sim_slot *));
    table->slots[i] = ferry_calloc(1, sizeof(struct ferry_sim_slot));
    table->slots[i]->prefix = *prefix;
    table->n++;
    ++*length_count(table, prefix);
    return table->slots[i];
}

static void drop_if_empty(struct ferry_sim_table *table, const struct ferry_prefix *prefix)
{
    size_t i = position(table, prefix);
    struct ferry_sim_slot *slot = table->slots[i];
    if (slot->n_routes || slot->attached || slot->announced || slot->n_selectors)
        return;
    --*length_count(table, prefix);
    table->n--;
    memmove(table->slots + i, table->slots + i + 1, (table->n - i) * sizeof(struct ferry_sim_slot *));
    slot_free(slot);
}

/* Index of the first route whose key is not below (rt_table, metric). */
static size_t route_position(const struct ferry_sim_slot *slot, uint32_t rt_table, uint32_t metric)
{
    size_t i = 0;
    while (i < slot->n_routes && (slot->routes[i].table < rt_table ||
                                  (slot->routes[i].table == rt_table && slot->routes[i].metric < metric)))
        i++;
    return i;
}

const struct ferry_entry *ferry_sim_slot_route(const struct ferry_sim_slot *slot, uint32_t rt_table,
                                               uint32_t metric)
{
    size_t i = route_position(slot, rt_table, metric);
    return i < slot->n_routes && slot->routes[i].table == rt_table && slot->routes[i].metric == metric
               ? &slot->routes[i]
               : NULL;
}

void ferry_sim_table_set(struct ferry_sim_table *table, const struct ferry_prefix *prefix, uint32_t rt_table,
                         uint32_t metric, const struct ferry_entry *e)
{
    struct ferry_sim_slot *slot = e ? find_or_add(table, prefix) : ferry_sim_table_find(table, prefix);
    if (!slot)
        return;
    size_t i = route_position(slot, rt_table, metric);
    if (ferry_sim_slot_route(slot, rt_table, metric)) {
        entry_clear(&slot->routes[i]);
    } else if (e) {
        FERRY_GROW(slot->routes, slot->n_routes);
        memmove(slot->routes + i + 1, slot->routes + i, (slot->n_routes - i) * sizeof *slot->routes);
        slot->n_routes++;
    } else {
        return;
    }
    if (e) {
        entry_copy(&slot->routes[i], e);
        slot->routes[i].table = rt_table;
        slot->routes[i].metric = metric;
        return;
    }
    slot->n_routes--;
    memmove(slot->routes + i, slot->routes + i + 1, (slot->n_routes - i) * sizeof *slot->routes);
    drop_if_empty(table, prefix);
}

void ferry_sim_table_attach(struct ferry_sim_table *table, const struct ferry_prefix *prefix,
                            const struct ferry_sim_place *place, const struct ferry_entry *e)
{
    struct ferry_sim_slot *slot = e ? find_or_add(table, prefix) : ferry_sim_table_find(table, prefix);
    if (!slot)
        return;
    entry_clear(&slot->attachment);
    slot->attached = e != NULL;
    if (!e) {
        drop_if_empty(table, prefix);
        return;
    }
    slot->place = *place;
    entry_copy(&slot->attachment, e);
    free((void *)slot->attachment.nexthops);
    slot->attachment.nexthops = NULL;
    slot->attachment.n_nexthops = 0;
    slot->attachment.table = 0;
}

bool ferry_sim_table_has_device(const struct ferry_sim_table *table, const char *dev)
{
    for (size_t i = 0; i < table->n_devices; i++)
        if (!strcmp(table->devices[i], dev))
            return true;
    return table->n_devices == 0 || !*dev;
}

void ferry_sim_table_add_device(struct ferry_sim_table *table, const char *dev)
{
    if (!*dev || (table->n_devices && ferry_sim_table_has_device(table, dev)))
        return;
    FERRY_GROW(table->devices, table->n_devices);
    strncpy(table->devices[table->n_devices], dev, FERRY_DEV_LEN - 1);
    table->devices[table->n_devices++][FERRY_DEV_LEN - 1] = '\0';
}

/* fe80::/64 of protocol kernel (2, RTPROT_KERNEL): every interface has it. */
static bool is_link_local(const struct ferry_fib_item *item)
{
    static const uint8_t fe80[16] = {0xfe, 0x80};
    return item->prefix.addr.family == AF_INET6 && item->prefix.len == 64 && item->entry.protocol == 2 &&
           !memcmp(item->prefix.addr.bytes, fe80, sizeof fe80);
}

void ferry_sim_table_seed(struct ferry_sim_table *table, const struct ferry_fib_item *item)
{
    const struct ferry_entry *e = &item->entry;
    if (is_link_local(item)) {
        for (size_t i = 0; i < e->n_nexthops; i++)
            ferry_sim_table_add_device(table, e->nexthops[i].dev);
    }
    if (e->type == FERRY_TRAFFIC_SELECTOR) {
        ferry_sim_table_select(table, &item->prefix, e->metric, e);
        return;
    }
    if (e->type == FERRY_ANNOUNCEMENT) {
        ferry_sim_table_announce(table, &item->prefix, e);
        return;
    }
    if (e->type != FERRY_GATEWAY) {
        ferry_sim_table_set(table, &item->prefix, e->table ? e->table : FERRY_TABLE_MAIN, e->metric, e);
        return;
    }
    struct ferry_sim_place place = {.any = e->n_nexthops == 0, .table = e->table};
    if (!place.any) {
        const struct ferry_nexthop *hop = &e->nexthops[0];
        bool inside = ferry_prefix_contains(&item->prefix, &hop->via);
        memcpy(place.interface, hop->dev, sizeof place.interface);
        *(inside ? &place.address : &place.via) = hop->via;
    }
    ferry_sim_table_attach(table, &item->prefix, &place, e);
}

const struct ferry_entry *ferry_sim_slot_selector(const struct ferry_sim_slot *slot, uint32_t key)
{
    for (size_t i = 0; i < slot->n_selectors; i++)
        if (slot->selectors[i].metric == key)
            return &slot->selectors[i];
    return NULL;
}

void ferry_sim_table_select(struct ferry_sim_table *table, const struct ferry_prefix *prefix, uint32_t key,
                            const struct ferry_entry *e)
{
    struct ferry_sim_slot *slot = e ? find_or_add(table, prefix) : ferry_sim_table_find(table, prefix);
    size_t i = 0;
    while (slot && i < slot->n_selectors && slot->selectors[i].metric != key)
        i++;
    if (!slot || (!e && i == slot->n_selectors))
        return;
    if (i == slot->n_selectors) {
        FERRY_GROW(slot->selectors, slot->n_selectors);
        slot->n_selectors++;
    } else {
        entry_clear(&slot->selectors[i]);
    }
    if (e) {
        entry_copy(&slot->selectors[i], e);
        return;
    }
    slot->n_selectors--;
    memmove(slot->selectors + i, slot->selectors + i + 1, (slot->n_selectors - i) * sizeof *slot->selectors);
    drop_if_empty(table, prefix);
}

void ferry_sim_table_announce(struct ferry_sim_table *table, const struct ferry_prefix *prefix,
                              const struct ferry_entry *e)
{
    struct ferry_sim_slot *slot = e ? find_or_add(table, prefix) : ferry_sim_table_find(table, prefix);
    if (!slot)
        return;
    entry_clear(&slot->announcement);
    slot->announced = e != NULL;
    if (e)
        entry_copy(&slot->announcement, e);
    else
        drop_if_empty(table, prefix);
}

struct ferry_sim_place ferry_sim_place_of(const struct ferry_gateway *gateway, const char *interface,
                                          uint32_t rt_table)
{
    struct ferry_sim_place place = {.address = gateway->address.addr,
                                    .via = gateway->via,
                                    .table = rt_table ? rt_table : FERRY_TABLE_MAIN};
    if (interface)
        strncpy(place.interface, interface, sizeof place.interface - 1);
    return place;
}

/* A routed gateway's interface may be left open. */
bool ferry_sim_place_equal(const struct ferry_sim_place *a, const struct ferry_sim_place *b)
{
    if (a->table && b->table && a->table != b->table)
        return false;
    if (a->any || b->any)
        return true;
    bool open = a->via.family && (!*a->interface || !*b->interface);
    return ferry_addr_equal(&a->address, &b->address) && ferry_addr_equal(&a->via, &b->via) &&
           (open || !strcmp(a->interface, b->interface));
}
