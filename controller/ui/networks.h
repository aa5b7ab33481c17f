/* What the verbs `networks` and `addresses` share.  SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_NETWORKS_H
#define FERRY_UI_NETWORKS_H

#include "ui/ui.h"

#include <ferry/reservation.h>

/* Indices by name; -FERRY_EUSAGE with the nearest one.  `n` may be NULL. */
int ui_find_network(struct ui *ui, const struct ferry_networks *n, const char *name, uint32_t *ret);
int ui_find_machine(struct ui *ui, const struct ferry_networks *n, const char *name, uint32_t *ret);

/* ---- select_network.c: from a network's mapping to moves ---- */

struct ui_moves {
    struct ferry_move *v;
    size_t n;
};
void ui_moves_add(struct ui_moves *m, struct ferry_move move);
void ui_moves_clear(struct ui_moves *m);
/* Whether a host route's NIC is not created at that site, so that it does not follow its machine there. */
bool ui_host_stays(const struct ferry_topology *t, const struct ferry_subnet *host, uint32_t to);
/* The moves that follow from the mappings of the networks that were named; on stderr what each prefix does,
 * and which machines go along.  -FERRY_EUSAGE: unknown, not mapped, one subnet to two sites, or not as the
 * network's "move" says. */
int ui_network_moves(struct ui *ui, const struct ferry_topology *t, const struct ui_selection *s,
                     struct ui_moves *moves);

/* ---- select_address.c: from a network's mapping to the addresses of its machines ---- */

struct ui_readdressing {
    struct ferry_plan_address *v; /* names belong to the topology, or to `reservations` */
    size_t n;
    char **warnings;
    size_t n_warnings;
    struct ferry_reservations reservations;
};
/* What the machines of these networks get by the rules and the journal; at a failback what they get back. */
int ui_network_addresses(struct ui *ui, const struct ferry_topology *t, const struct ui_selection *s,
                         struct ui_readdressing *ret);
void ui_readdressing_clear(struct ui_readdressing *r);

/* ---- select_dns.c: the records that follow, read from the name servers (not with --offline) ---- */
/* `given`: what earlier moves gave; names that do not lead there yet follow, too. */
int ui_plan_dns(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                struct ferry_fleet *fleet, const struct ferry_reservations *given, struct ferry_plan *plan);

/* What the DHCP of a NIC's target subnet does not lease, or that it cannot be known; NULL: nothing to say. 
 * malloc'd. */
char *ui_dhcp_gap(const struct ferry_networks *n, const struct ferry_nic *nic, uint32_t target,
                  uint32_t subnet);

/* ---- networks_json.c ---- */

/* May machines of `cloud` fail over to `target`? */
struct ui_target {
    uint32_t cloud, target;
    bool available;
    char why[256]; /* it is not */
};
struct ui_targets {
    struct ui_target *v;
    size_t n;
};
struct json_object *ui_networks_json(const struct ferry_topology *t, const struct ui_targets *answers,
                                     struct json_object *warnings);

/* ---- addresses_show.c ---- */

struct ui_addresses {
    const struct ferry_topology *t;
    bool failback;
    struct ferry_address_rows rows; /* those to show */
    struct json_object *warnings;   /* an array of texts */
};
void ui_addresses_table(const struct ui *ui, const struct ui_addresses *a);
void ui_addresses_csv(const struct ui_addresses *a);
struct json_object *ui_addresses_json(const struct ui_addresses *a);

#endif
