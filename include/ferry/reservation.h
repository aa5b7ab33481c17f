/* Reservations in the journal: addresses that are kept for machines in the networks that they will fail over to.
 *
 * They are made before a move, by hand, and change no router and no machine: a reserved address is given to nobody else by
 * ferry_networks_addresses, and stays the same when other machines come and go.  They are told apart by the topology's name.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_RESERVATION_H
#define FERRY_RESERVATION_H

#include <ferry/networks.h>
#include <ferry/txn.h>

struct ferry_reservations {
    struct ferry_reservation *v; /* by machine, NIC, own address */
    size_t n;
};
void ferry_reservations_clear(struct ferry_reservations *list);
int ferry_journal_reservations(struct ferry_journal *journal, const char *topology,
                               struct ferry_reservations *ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* Makes them all or none, durably; one that a machine's NIC had for the same own address gives way.  -FERRY_EREFUSED (rule
 * "reserved") where somebody else has one of the addresses; -FERRY_ELOCKED while a transaction runs. */
int ferry_journal_reserve(struct ferry_journal *journal, const char *topology,
                          const struct ferry_reservation *list, size_t n,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* Takes back those of a machine, or of all (NULL).  `ret_n`: how many there were. */
int ferry_journal_release(struct ferry_journal *journal, const char *topology, const char *workload,
                          size_t *ret_n, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
