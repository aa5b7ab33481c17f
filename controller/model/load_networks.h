/* What the loaders of networks and of machines share; see load.h.  SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_LOAD_NETWORKS_H
#define FERRY_MODEL_LOAD_NETWORKS_H

#include <ferry/networks.h>

#include "model/load.h"

struct ferry_network_loader {
    struct ferry_loader *l;
    struct ferry_networks *n;
    struct ferry_map servers, logical, clouds, networks, workloads; /* by name */
    uint32_t *asked; /* where the file asks for addresses, in its order: JSON values */
    size_t n_asked;
};

/* Every value under `one` (a value) or `many` (an array of them), which exclude each other; malloc'd, NULL
 * where there are none. */
uint32_t *ferry_load_one_or_many(struct ferry_loader *l, uint32_t object, const char *one, const char *many,
                                 size_t *ret_n);
/* The name of the next thing of a section, noted in its map; "?" after a finding. */
char *ferry_load_new_name(struct ferry_loader *l, uint32_t object, struct ferry_map *map, uint32_t index,
                          const char *what);
/* The DNS names of a NIC. */
void ferry_load_nic_names(struct ferry_loader *l, uint32_t object, struct ferry_nic *nic);
/* "target-address": what the address at `v` of a NIC's addresses asks for; `index`: its number there. */
void ferry_load_asked(struct ferry_network_loader *nl, uint32_t v, struct ferry_nic *nic, size_t index);
/* Whether all that is asked for can be had, by the topology alone; once everything else is loaded. */
void ferry_load_check_asked(struct ferry_network_loader *nl);
void ferry_load_workloads(struct ferry_network_loader *nl, uint32_t array);

#endif
