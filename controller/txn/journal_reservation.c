/* The journal's reservations of addresses.  See ferry/reservation.h.
 *
 *  A1. An address of a network is reserved for one NIC at most; a NIC has at most one for each of its own addresses.
 *  A2. They are written with the journal's lock held (J3), with an entry in the audit log in the same SQLite
 *      transaction.
 *
 * The table is made with the first reservation.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/mem.h"

#include <ferry/reservation.h>
#include <string.h>

/* A1 */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS reservation (topology TEXT NOT NULL, workload TEXT NOT NULL, nic TEXT NOT "
    "NULL,"
    " own TEXT NOT NULL, network TEXT NOT NULL, address TEXT NOT NULL, since_us INTEGER NOT NULL,"
    " PRIMARY KEY (topology, workload, nic, own), UNIQUE (topology, network, address))";

void ferry_reservations_clear(struct ferry_reservations *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->v[i].workload);
        free(list->v[i].nic);
        free(list->v[i].network);
    }
    free(list->v);
    *list = (struct ferry_reservations){0};
}

/* ---- Reading. ---- */

static int add_row(struct ferry_journal *journal, struct ferry_reservations *list, sqlite3_stmt *s,
                   struct ferry_err *err)
{
    struct ferry_reservation r = {.since_us = (uint64_t)sqlite3_column_int64(s, 5)};
    if (ferry_addr_parse(ferry_journal_text(s, 3), &r.own, err) < 0 ||
        ferry_addr_parse(ferry_journal_text(s, 4), &r.address, err) < 0)
        return ferry_error(err, FERRY_EIO, "%s/journal.db: a reservation of %s holds no address",
                           journal->state_dir, ferry_journal_text(s, 0));
    r.workload = ferry_strdup(ferry_journal_text(s, 0));
    r.nic = ferry_strdup(ferry_journal_text(s, 1));
    r.network = ferry_strdup(ferry_journal_text(s, 2));
    FERRY_GROW(list->v, list->n);
    list->v[list->n++] = r;
    return 0;
}

int ferry_journal_reservations(struct ferry_journal *journal, const char *topology,
                               struct ferry_reservations *ret, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    FERRY_CLEANUP(ferry_reservations_clear) struct ferry_reservations list = {0};
    int r = ferry_journal_has_table(journal, "reservation", err);
    if (r > 0)
        r = ferry_journal_prepare(journal,
                                  "SELECT workload, nic, network, own, address, since_us FROM reservation"
                                  " WHERE topology = ? ORDER BY workload, nic, own",
                                  &s, err);
    if (r < 0)
        return r;
    if (s)
        sqlite3_bind_text(s, 1, topology, -1, SQLITE_STATIC);
    int row = SQLITE_DONE;
    while (r == 0 && s && (row = sqlite3_step(s)) == SQLITE_ROW)
        r = add_row(journal, &list, s, err);
    if (r < 0)
        return r;
    if (row != SQLITE_DONE)
        return ferry_journal_error(journal, "read reservations", err);
    *ret = list;
    list = (struct ferry_reservations){0};
    return 0;
}

/* ---- Writing. ---- */

/* With the lock: the SQLite transaction, the log's beginning, the table. */
static int begin(struct ferry_journal *journal, struct ferry_err *err)
{
    int r = ferry_journal_execute(journal, "BEGIN IMMEDIATE", "begin", err);
    if (r < 0)
        return r;
    r = ferry_audit_start(journal, err);
    return r < 0 ? r : ferry_journal_execute(journal, schema, "make the table of reservations", err);
}

/* ferry_journal_end, and lets the lock go. */
static int end(struct ferry_journal *journal, int r, struct ferry_err *err)
{
    r = ferry_journal_end(journal, r, "commit reservations", err);
    ferry_journal_unlock(journal);
    return r;
}

/* `last`: of this SQLite transaction; it says what the table then holds. */
static int audit(struct ferry_journal *journal, const char *what, const char *text, bool last,
                 struct ferry_err *err)
{
    return ferry_audit_add(
        journal, &(struct ferry_audit_entry){.what = what, .text = text, .with_reservations = last}, err);
}

static int forget(struct ferry_journal *journal, const char *topology, const struct ferry_reservation *it,
                  struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    char own[FERRY_ADDR_STRLEN];
    int r = ferry_journal_prepare(
        journal, "DELETE FROM reservation WHERE topology = ? AND workload = ? AND nic = ? AND own = ?", &s,
        err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, topology, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, it->workload, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, it->nic, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, ferry_addr_text(&it->own, own), -1, SQLITE_TRANSIENT);
    return sqlite3_step(s) == SQLITE_DONE ? 0 : ferry_journal_error(journal, "replace a reservation", err);
}

static int put(struct ferry_journal *journal, const char *topology, const struct ferry_reservation *it,
               bool last, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    char own[FERRY_ADDR_STRLEN], address[FERRY_ADDR_STRLEN];
    int r = ferry_journal_prepare(
        journal,
        "INSERT INTO reservation (topology, workload, nic, own, network, address, since_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, topology, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, it->workload, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, it->nic, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, ferry_addr_text(&it->own, own), -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(s, 5, it->network, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 6, ferry_addr_text(&it->address, address), -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(s, 7, (sqlite3_int64)journal->env->realtime_us(journal->env->ctx));
    int row = sqlite3_step(s);
    if (row == SQLITE_CONSTRAINT)
        return ferry_refuse(err, "reserved",
                            "%s in %s is reserved for somebody else already: nothing was reserved", address,
                            it->network);
    if (row != SQLITE_DONE)
        return ferry_journal_error(journal, "write a reservation", err);
    FERRY_AUTOFREE char *text =
        ferry_asprintf("%s %s %s: %s in %s", it->workload, it->nic, own, address, it->network);
    return audit(journal, "reserve", text, last, err);
}

int ferry_journal_reserve(struct ferry_journal *journal, const char *topology,
                          const struct ferry_reservation *list, size_t n, struct ferry_err *err)
{
    int r = ferry_journal_lock(journal, err);
    if (r < 0)
        return r;
    r = begin(journal, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = forget(journal, topology, &list[i], err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = put(journal, topology, &list[i], i + 1 == n, err);
    return end(journal, r, err);
}

static int take_back(struct ferry_journal *journal, const char *topology, const char *workload, size_t *ret_n,
                     struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(
        journal, "DELETE FROM reservation WHERE topology = ?1 AND (?2 IS NULL OR workload = ?2)", &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, topology, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, workload, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        return ferry_journal_error(journal, "take reservations back", err);
    *ret_n = (size_t)sqlite3_changes(journal->db);
    FERRY_AUTOFREE char *text = ferry_asprintf("%s: %zu", workload ? workload : "all machines", *ret_n);
    return *ret_n ? audit(journal, "release", text, true, err) : 0;
}

int ferry_journal_release(struct ferry_journal *journal, const char *topology, const char *workload,
                          size_t *ret_n, struct ferry_err *err)
{
    size_t n = 0;
    int r = ferry_journal_lock(journal, err);
    if (r < 0)
        return r;
    r = begin(journal, err);
    if (r == 0)
        r = take_back(journal, topology, workload, &n, err);
    r = end(journal, r, err);
    if (r == 0)
        *ret_n = n;
    return r;
}
