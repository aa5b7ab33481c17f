/* Test failovers: copies of subnets, tried out where nothing else meets them, and what became of them
 * (docs/test-failover.md).
 *
 * A test is a transaction of this kind that is applied with a window (confirm_within_s) and never confirmed:
 * cleaned up by hand (ferry_txn_revert), or by the routers themselves when its time is over.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_H
#define FERRY_TEST_H

#include <ferry/txn.h>

#define FERRY_TEST_KIND "test-failover"
/* The reasons of a test that ran whole. */
#define FERRY_TEST_OVER    "the test was cleaned up"
#define FERRY_TEST_EXPIRED "the test's time was over"

/* What a person says of it. */
struct ferry_test_result {
    char tx[24];
    bool passed;
    char *note, *user; /* or NULL */
    uint64_t at_us;    /* since 1970 UTC */
};
void ferry_test_results_free(struct ferry_test_result *list, size_t n);
/* By transaction, newest first. */
int ferry_journal_test_results(struct ferry_journal *journal, struct ferry_test_result **ret, size_t *ret_n,
                               struct ferry_err *err) FERRY_MUST_CHECK;
/* Notes it, in place of an earlier one, with an entry in the audit log.  -FERRY_ELOCKED while a transaction runs. */
int ferry_journal_test_note(struct ferry_journal *journal, const struct ferry_test_result *result,
                            struct ferry_err *err) FERRY_MUST_CHECK;

/* Of a record, also out of a list. */
static inline bool ferry_test_is(const struct ferry_txn_record *r)
{
    return r->kind && !__builtin_strcmp(r->kind, FERRY_TEST_KIND);
}
/* It was whole, and everything is as before it. */
bool ferry_test_ended_well(const struct ferry_txn_record *r);

#endif
