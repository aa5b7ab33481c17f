/* Where each machine is after a failover or a failback, with which address, and why: all rows, in their order.  For
 * programs with cmocka.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_ADDRESS_ROWS_H
#define FERRY_TEST_ADDRESS_ROWS_H

#include "base/mem.h"

#include <ferry/networks.h>
#include <ferry/topology.h>
#include <string.h>

struct want {
    const char *network, *after; /* NULL: none */
    enum ferry_address_why why;
};

static void check_rows(const struct ferry_topology *t, bool failback,
                       const struct ferry_reservation *reservations, size_t n_reservations,
                       const struct want *want, size_t n)
{
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    ferry_networks_addresses(t, failback, reservations, n_reservations, &rows);
    assert_int_equal(rows.n, n);
    for (size_t i = 0; i < n; i++) {
        char text[FERRY_ADDR_STRLEN];
        const struct ferry_address_row *row = &rows.v[i];
        const char *there = row->network == FERRY_NONE ? NULL : t->networks->networks[row->network].name;
        ferry_addr_text(&row->after, text);
        if (row->why != want[i].why || !there != !want[i].network ||
            (there && strcmp(there, want[i].network) != 0) ||
            strcmp(text, want[i].after ? want[i].after : "none") != 0)
            fail_msg("row %zu: %s, %s, %s", i, there ? there : "nowhere", text,
                     ferry_address_why_name(row->why));
    }
}

#endif
