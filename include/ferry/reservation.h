/* Reservations in the journal: addresses that are kept for machines in the networks that they will fail over to; and
 * assignments: those that a transaction has made theirs.
 *
 * They are made before a move, by hand, and change no router and no machine: a reserved address is given to
 * nobody else by ferry_networks_addresses, and stays the same when other machines come and go.  They are told
 * apart by the topology's name.
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
/* Replaces, or adds, what machines have been given by transactions that are not undone, as `assigned_by`
 * says; those who are back in their own network have nothing assigned.  A topology without networks: of
 * everybody the latest. */
int ferry_journal_assignments(struct ferry_journal *journal, const struct ferry_topology *t,
                              struct ferry_reservations *list, struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether that is the machine's own network. */
bool ferry_reservation_is_home(const struct ferry_topology *t, const char *workload, const char *nic,
                               const char *network);
/* Makes them all or none, durably; one that a machine's NIC had for the same own address gives way.
 * -FERRY_EREFUSED (rule "reserved") where somebody else has one of the addresses; -FERRY_ELOCKED while a
 * transaction runs. */
int ferry_journal_reserve(struct ferry_journal *journal, const char *topology,
                          const struct ferry_reservation *list, size_t n,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* Takes back those of a machine, or of all (NULL).  `ret_n`: how many there were. */
int ferry_journal_release(struct ferry_journal *journal, const char *topology, const char *workload,
                          size_t *ret_n, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
