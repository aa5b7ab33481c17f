/* Documents that outside programs read: transactions, times, hands.  json-c's, dropped with json_object_put.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_WATCH_DOCUMENTS_H
#define FERRY_WATCH_DOCUMENTS_H

#include <ferry/txn.h>

struct json_object;
struct ferry_debts;
void ferry_json_object_cleanup(struct json_object **doc);

/* RFC 3339, UTC; "-" for 0. */
const char *ferry_time_text(uint64_t us, char buf[static 32]);
/* Committed or undone: nothing is left to do. */
bool ferry_txn_state_ended(enum ferry_txn_state state);

/* The transaction document of docs/contract.md. */
struct json_object *ferry_record_json(const struct ferry_txn_record *r);
struct json_object *ferry_record_brief_json(const struct ferry_txn_record *r); /* for lists */
struct json_object *ferry_hands_json(const struct ferry_hand *hands, size_t n);
struct json_object *ferry_debts_json(const struct ferry_debts *debts);
/* Where a full record is paused, and at what; NULL where it is not. */
struct json_object *ferry_paused_json(const struct ferry_txn_record *r);

/* The outcomes of one change, over the subnets of its group. */
struct ferry_tally {
    size_t n[4]; /* by enum ferry_outcome */
    enum ferry_outcome worst;
};
struct ferry_tally ferry_record_tally(const struct ferry_txn_record *r, size_t stage, size_t change);

#endif
