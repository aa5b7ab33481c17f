/* A hash map from bytes to a number, for names, prefixes and addresses.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_MAP_H
#define FERRY_MODEL_MAP_H

#include <stddef.h>
#include <stdint.h>

#define FERRY_MAP_NONE UINT32_MAX

struct ferry_map_slot {
    uint64_t hash;
    const void *key; /* NULL: free */
    size_t len;
    uint32_t value;
};

/* All zeros is an empty map.  Keys are not copied: they outlive the map. */
struct ferry_map {
    struct ferry_map_slot *slots;
    size_t n, mask;
};

uint32_t ferry_map_get(const struct ferry_map *map, const void *key, size_t len);
/* Puts it where there is none.  Returns FERRY_MAP_NONE then, else the value that is there, which stays. */
uint32_t ferry_map_add(struct ferry_map *map, const void *key, size_t len, uint32_t value);
/* Changes the value of a key that is there. */
void ferry_map_set(struct ferry_map *map, const void *key, size_t len, uint32_t value);
void ferry_map_clear(struct ferry_map *map);

#endif
