/* What the journal knows of the undos on the routers beside their deadline: how far their stages are apart, by which
 * later sentences name them (txn_deadman.c).
 *
 * The table is made with the first one.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "base/mem.h"

static const char schema[] = "CREATE TABLE IF NOT EXISTS deadman (txn INTEGER PRIMARY KEY REFERENCES txn,"
                             " guard_s INTEGER NOT NULL)";

int ferry_journal_put_deadman(struct ferry_journal *journal, const struct ferry_txn_record *r,
                              sqlite3_int64 seq, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    if (!r->guard_s)
        return 0;
    int rc = ferry_journal_execute(journal, schema, "make the table of dead-men", err);
    if (!rc)
        rc = ferry_journal_prepare(journal, "INSERT OR REPLACE INTO deadman VALUES (?, ?)", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    sqlite3_bind_int64(s, 2, r->guard_s);
    return sqlite3_step(s) == SQLITE_DONE ? 0 : ferry_journal_error(journal, "write the dead-man", err);
}

int ferry_journal_get_deadman(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                              struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_has_table(journal, "deadman", err);
    if (rc > 0)
        rc = ferry_journal_prepare(journal, "SELECT guard_s FROM deadman WHERE txn = ?", &s, err);
    if (!s)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        r->guard_s = (unsigned)sqlite3_column_int64(s, 0);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read the dead-man", err);
}
