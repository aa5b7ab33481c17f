/* Loads the addresses that are asked for at the target ("target-address" of a NIC's address); see load_networks.h.
 *
 *  1. Refused here is what no journal could change: what the target's pool has not, what a machine or a router has
 *     there, keeps there, or is asked for twice.  What is reserved for somebody is asked when a plan is made (rule
 *     target-address).
 *  2. The rules themselves are networks_addresses.c's: this only asks them, and says where in the file.
 *
 * SPDX-License-Identifier: MIT */
#include "model/load_networks.h"

#include "base/mem.h"

void ferry_load_asked(struct ferry_network_loader *nl, uint32_t v, struct ferry_nic *nic, size_t index)
{
    struct ferry_loader *l = nl->l;
    struct ferry_addr asked;
    char text[FERRY_ADDR_STRLEN], own[FERRY_ADDR_STRLEN];
    if (!ferry_load_plain_address(l, v, &asked))
        return;
    if (nic->type == FERRY_NIC_NOT_CREATED)
        ferry_json_error(l->doc, v, &l->err, "a NIC that is not created gets no address");
    else if (nic->assignment == FERRY_ASSIGN_DHCP)
        ferry_json_error(l->doc, v, &l->err, "by DHCP no address is asked for: that is not managed");
    else if (asked.family != nic->addresses[index].family)
        ferry_json_error(l->doc, v, &l->err, "%s is not of the family of %s", ferry_addr_text(&asked, text),
                         ferry_addr_text(&nic->addresses[index], own));
    nic->asked[index] = asked;
    FERRY_GROW(nl->asked, nl->n_asked);
    nl->asked[nl->n_asked++] = v;
}

void ferry_load_check_asked(struct ferry_network_loader *nl)
{
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    struct ferry_loader *l = nl->l;
    size_t at = 0;
    if (!nl->n_asked || l->findings->n)
        return;
    ferry_networks_addresses(l->t, false, NULL, 0, &rows);
    for (size_t i = 0; i < rows.n && at < nl->n_asked; i++) {
        char why[256];
        if (!rows.v[i].asked.family)
            continue;
        ferry_address_unavailable_text(nl->n, &rows.v[i], why);
        if (why[0])
            ferry_json_error(l->doc, nl->asked[at], &l->err, "%s", why);
        at++; /* rows are in the order of the file, too */
    }
}
