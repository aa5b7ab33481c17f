/* What people say of test failovers.  See ferry/test.h.
 *
 *  T1. It is written with the journal's lock held (J3), with an entry in the audit log in the same SQLite transaction.
 *
 * The table is made with the first one.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/mem.h"

#include <ferry/test.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS test_result (txn TEXT PRIMARY KEY NOT NULL, at_us INTEGER NOT NULL,"
    " user TEXT, passed INTEGER NOT NULL, note TEXT)";

void ferry_test_results_free(struct ferry_test_result *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].note);
        free(list[i].user);
    }
    free(list);
}

bool ferry_test_ended_well(const struct ferry_txn_record *r)
{
    return ferry_test_is(r) && r->state == FERRY_TXN_UNDONE && r->reason &&
           (!strcmp(r->reason, FERRY_TEST_OVER) || !strcmp(r->reason, FERRY_TEST_EXPIRED));
}

static struct ferry_test_result row_of(sqlite3_stmt *s)
{
    struct ferry_test_result it = {.at_us = (uint64_t)sqlite3_column_int64(s, 1),
                                   .user = ferry_strdup((const char *)sqlite3_column_text(s, 2)),
                                   .passed = sqlite3_column_int(s, 3) != 0,
                                   .note = ferry_strdup((const char *)sqlite3_column_text(s, 4))};
    snprintf(it.tx, sizeof it.tx, "%s", ferry_journal_text(s, 0));
    return it;
}

int ferry_journal_test_results(struct ferry_journal *journal, struct ferry_test_result **ret, size_t *ret_n,
                               struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    struct ferry_test_result *list = NULL;
    size_t n = 0;
    int row = SQLITE_DONE, r = ferry_journal_has_table(journal, "test_result", err);
    if (r > 0)
        r = ferry_journal_prepare(
            journal, "SELECT txn, at_us, user, passed, note FROM test_result ORDER BY txn DESC", &s, err);
    if (r < 0)
        return r;
    while (s && (row = sqlite3_step(s)) == SQLITE_ROW) {
        FERRY_GROW(list, n);
        list[n++] = row_of(s);
    }
    if (row != SQLITE_DONE) {
        ferry_test_results_free(list, n);
        return ferry_journal_error(journal, "read results of tests", err);
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

#define DOING "note the result of a test"

static int put(struct ferry_journal *journal, const struct ferry_test_result *it, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(
        journal, "INSERT OR REPLACE INTO test_result (txn, at_us, user, passed, note) VALUES (?, ?, ?, ?, ?)",
        &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, it->tx, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)journal->env->realtime_us(journal->env->ctx));
    sqlite3_bind_text(s, 3, it->user, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 4, it->passed);
    sqlite3_bind_text(s, 5, it->note, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        return ferry_journal_error(journal, "note the result of a test", err);
    FERRY_AUTOFREE char *text = ferry_asprintf("%s%s%s", it->passed ? "passed" : "failed",
                                               it->note ? ": " : "", it->note ? it->note : "");
    return ferry_audit_add(journal, /* T1 */
                           &(struct ferry_audit_entry){.what = "test-result", .tx = it->tx, .text = text},
                           err);
}

int ferry_journal_test_note(struct ferry_journal *journal, const struct ferry_test_result *result,
                            struct ferry_err *err)
{
    int r = ferry_journal_lock(journal, err);
    if (r < 0)
        return r;
    r = ferry_journal_execute(journal, "BEGIN IMMEDIATE", DOING, err);
    if (r == 0)
        r = ferry_audit_start(journal, err);
    if (r == 0)
        r = ferry_journal_execute(journal, schema, DOING, err);
    if (r == 0)
        r = put(journal, result, err);
    r = ferry_journal_end(journal, r, DOING, err);
    ferry_journal_unlock(journal);
    return r;
}
