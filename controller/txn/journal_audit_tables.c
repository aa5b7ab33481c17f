/* What the audit log holds besides a transaction's own rows: the tables that came later, and those of no transaction.
 *
 *  T1. Whoever writes one of these tables adds an entry about the transaction (or of `reserve`, `release`) in the same
 *      SQLite transaction, after it (A1 of journal_audit.c).
 *  T2. A table that is not there holds no rows: that it is made later changes no digest.
 *
 * A table that is to be held, too, is one line here, one in docs/audit.md, and one in tests/scenario/audit_verifier.py.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/hash.h"
#include "base/mem.h"

struct table {
    const char *name, *sql;
};

/* Of a transaction, in this order. */
static const struct table tables[] = {
    {"debt", "SELECT router, subnet, prefix, site, owes, delivered_us FROM debt WHERE txn = ?"
             " ORDER BY router, prefix"},
    {"hook", "SELECT n, place, what, added, state, started_us, ended_us, status, tries, user, output,"
             " undo_output FROM hook WHERE txn = ? ORDER BY n"},
    {"override", "SELECT rule, user, at_us, refused FROM override WHERE txn = ? ORDER BY rule"},
    {"deadman", "SELECT guard_s FROM deadman WHERE txn = ?"},
    {"assignment", "SELECT topology, workload, nic, own, network_before, \"before\", network, address"
                   " FROM assignment WHERE txn = ? ORDER BY topology, workload, nic, own"},
};
static const struct table reservations = {
    "reservation", "SELECT topology, workload, nic, own, network, address, since_us FROM reservation"
                   " ORDER BY topology, workload, nic, own"};

static int put_table(struct ferry_journal *journal, FILE *out, const struct table *table, sqlite3_int64 seq,
                     struct ferry_err *err)
{
    int r = ferry_journal_has_table(journal, table->name, err); /* T2 */
    return r <= 0 ? r : ferry_audit_put_rows(journal, out, table->sql, seq, table->name, err);
}

static int digest(struct ferry_journal *journal, const struct table *list, size_t n, sqlite3_int64 seq,
                  char ret[static 65], struct ferry_err *err)
{
    char *text = NULL;
    size_t size;
    int r = 0;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; !r && i < n; i++)
        r = put_table(journal, out, &list[i], seq, err);
    fclose(out);
    if (!r)
        ferry_sha256(text, size, ret);
    free(text);
    return r;
}

int ferry_audit_tables_digest(struct ferry_journal *journal, const char *id, char ret[static 65],
                              struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, "SELECT seq FROM txn WHERE id = ?", &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_ROW)
        return ferry_journal_error(journal, "read for the audit log", err);
    return digest(journal, tables, FERRY_COUNT(tables), sqlite3_column_int64(s, 0), ret, err);
}

int ferry_audit_reservations_digest(struct ferry_journal *journal, char ret[static 65], struct ferry_err *err)
{
    return digest(journal, &reservations, 1, 0, ret, err);
}
