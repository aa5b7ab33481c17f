/* A hash map with open addressing; see map.h.  SPDX-License-Identifier: MIT */
#include "model/map.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* The slot of the key, or the free one where it belongs. */
static struct ferry_map_slot *find(const struct ferry_map *map, uint64_t hash, const void *key, size_t len)
{
    size_t i = hash & map->mask;
    for (; map->slots[i].key; i = (i + 1) & map->mask)
        if (map->slots[i].hash == hash && map->slots[i].len == len &&
            memcmp(map->slots[i].key, key, len) == 0)
            break;
    return &map->slots[i];
}

uint32_t ferry_map_get(const struct ferry_map *map, const void *key, size_t len)
{
    if (!map->slots)
        return FERRY_MAP_NONE;
    const struct ferry_map_slot *slot = find(map, ferry_hash(0, key, len), key, len);
    return slot->key ? slot->value : FERRY_MAP_NONE;
}

/* At most half of the slots are taken. */
static void grow(struct ferry_map *map)
{
    struct ferry_map bigger = {.n = map->n, .mask = map->slots ? 2 * map->mask + 1 : 15};
    bigger.slots = ferry_calloc(bigger.mask + 1, sizeof *bigger.slots);
    for (size_t i = 0; map->slots && i <= map->mask; i++)
        if (map->slots[i].key)
            *find(&bigger, map->slots[i].hash, map->slots[i].key, map->slots[i].len) = map->slots[i];
    free(map->slots);
    *map = bigger;
}

uint32_t ferry_map_add(struct ferry_map *map, const void *key, size_t len, uint32_t value)
{
    uint64_t hash = ferry_hash(0, key, len);
    if (!map->slots || 2 * (map->n + 1) > map->mask + 1)
        grow(map);
    struct ferry_map_slot *slot = find(map, hash, key, len);
    if (slot->key)
        return slot->value;
    *slot = (struct ferry_map_slot){.hash = hash, .key = key, .len = len, .value = value};
    map->n++;
    return FERRY_MAP_NONE;
}

void ferry_map_set(struct ferry_map *map, const void *key, size_t len, uint32_t value)
{
    find(map, ferry_hash(0, key, len), key, len)->value = value;
}

void ferry_map_clear(struct ferry_map *map)
{
    free(map->slots);
    *map = (struct ferry_map){0};
}
