/* The journal: SQLite under the state directory.  Writing what becomes of a transaction; journal_open.c opens
 * the file, journal_lock.c locks, journal_read.c reads.
 *
 * Invariants
 *  J1. The database runs with journal_mode=DELETE and synchronous=EXTRA: a write that has returned survives a
 *      power cut.  (No WAL: SQLite 3.40 can corrupt it with several connections.)
 *  J2. A transaction's row, its whole plan and the intents of all of its stages appear in one SQLite
 *      transaction, before anything is written to a router.
 *  J3. Only the holder of the lock writes; the lock is held from before begin until the transaction has ended
 *      or its process has.  A holder whose lock's file was taken away writes no more.
 *  J4. At most one transaction is unfinished (ready, applying, verifying, undoing or stuck), awaits its
 *      confirmation, or is paused.
 *  J5. Progress marks are for people.  Recovery looks at the plan and at the routers, so that marks may be
 *      late.
 *  J6. The plan of a transaction never changes; an ended transaction changes only from committed to undone, in
 *      the same SQLite transaction that commits its rollback.
 *  J7. Every write of a transaction's rows adds its entry to the audit log, in the same SQLite transaction
 *      (journal_audit.c).
 *  J8. Nobody but SQLite opens the file: the locks by which it keeps processes apart are fcntl(2)'s, and a
 *      process loses all that it holds on a file when it closes any descriptor of it.  (SQLite, "How To
 *      Corrupt An SQLite Database File", 2.2.)
 *  J9. The file has its name when all of its tables are there and synced.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- A transaction's rows. ---- */

static void crash_point(struct ferry_journal *journal, const char *name)
{
    if (journal->env->crash_point)
        journal->env->crash_point(journal->env->ctx, name);
}

static int done(struct ferry_journal *journal, sqlite3_stmt *s, const char *doing, struct ferry_err *err)
{
    if (sqlite3_step(s) != SQLITE_DONE)
        return ferry_journal_error(journal, doing, err);
    sqlite3_reset(s);
    return 0;
}

static void make_id(struct ferry_journal *journal, uint64_t started_us, char ret[static 24])
{
    time_t seconds = (time_t)(started_us / 1000000u);
    struct tm tm;
    char stamp[16];
    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
    snprintf(ret, 24, "%s-%04x", stamp, (unsigned)(journal->env->random(journal->env->ctx) & 0xffff));
}

static int id_taken(struct ferry_journal *journal, const char *id, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, "SELECT 1 FROM txn WHERE id = ?", &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    r = sqlite3_step(s);
    if (r != SQLITE_ROW && r != SQLITE_DONE)
        return ferry_journal_error(journal, "look for an id", err);
    return r == SQLITE_ROW;
}

/* Into ret_seq the row's number, by which the other tables refer to it. */
static int insert_row(struct ferry_journal *journal, const struct ferry_txn_record *r, sqlite3_int64 *ret_seq,
                      struct ferry_err *err)
{
    FERRY_AUTOFREE char *plan = ferry_plan_write(r->plan, false);
    FERRY_STATEMENT *s = NULL;
    int rc =
        ferry_journal_prepare(journal,
                              "INSERT INTO txn (id, kind, undoes, user, reason, state, started_us, ended_us,"
                              " deadline_us, stages_begun, plan_id, summary, plan)"
                              " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                              &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(s, 1, r->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, r->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, r->undoes, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, r->user, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, r->reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 6, ferry_txn_state_name(r->state), -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 7, (sqlite3_int64)r->started_us);
    sqlite3_bind_int64(s, 8, (sqlite3_int64)r->ended_us);
    sqlite3_bind_int64(s, 9, (sqlite3_int64)r->deadline_us);
    sqlite3_bind_int64(s, 10, (sqlite3_int64)r->stages_begun);
    sqlite3_bind_text(s, 11, r->plan_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 12, r->summary, -1, SQLITE_STATIC);
    sqlite3_bind_text64(s, 13, plan, strlen(plan), SQLITE_STATIC, SQLITE_UTF8);
    rc = done(journal, s, "write the plan", err);
    if (!rc)
        *ret_seq = sqlite3_last_insert_rowid(journal->db);
    return rc;
}

static int put_outcomes(struct ferry_journal *journal, const struct ferry_txn_record *r, sqlite3_int64 seq,
                        struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal,
                                   "INSERT INTO stage (txn, stage, outcomes) VALUES (?, ?, ?)"
                                   " ON CONFLICT (txn, stage) DO UPDATE SET outcomes = excluded.outcomes",
                                   &s, err);
    const enum ferry_outcome *at = r->outcomes;
    for (size_t i = 0; !rc && i < r->plan->n_stages; i++) {
        size_t n = ferry_stage_outcomes(r->plan, &r->plan->stages[i]), len = 0;
        FERRY_AUTOFREE uint8_t *blob = ferry_outcomes_encode(at, n, &len);
        at += n;
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_int64(s, 2, (sqlite3_int64)i);
        sqlite3_bind_blob64(s, 3, blob, len, SQLITE_STATIC);
        rc = done(journal, s, "write outcomes", err);
    }
    return rc;
}

/* ---- Its entries in the audit log (J7). ---- */

static int audit_begin(struct ferry_journal *journal, const struct ferry_txn_record *r, struct ferry_err *err)
{
    return ferry_audit_add(journal,
                           &(struct ferry_audit_entry){.what = "begin",
                                                       .tx = r->id,
                                                       .text = r->summary,
                                                       .with_plan = true,
                                                       .more = {{r->undoes ? "undoes" : NULL, r->undoes}}},
                           err);
}

/* `name` is the crash point's, "journal-commit"; `was` the state before. */
static int audit_save(struct ferry_journal *journal, const struct ferry_txn_record *r, const char *name,
                      const char *was, struct ferry_err *err)
{
    char hands[24], deadline[32];
    const char *what = strncmp(name, "journal-", 8) ? name : name + 8;
    struct ferry_audit_entry entry = {.tx = r->id, .was = was, .text = r->reason};
    size_t n = 0;
    entry.what = r->state == FERRY_TXN_STUCK ? "stuck" : what;
    if (r->state == FERRY_TXN_AWAITING_CONFIRM)
        entry.more[n++] = (struct ferry_audit_more){"deadline", ferry_audit_time(r->deadline_us, deadline)};
    snprintf(hands, sizeof hands, "%zu", r->n_hands);
    if (r->n_hands)
        entry.more[n++] = (struct ferry_audit_more){"hands", hands};
    return ferry_audit_add(journal, &entry, err);
}

int ferry_journal_begin(struct ferry_journal *journal, struct ferry_txn_record *record, struct ferry_err *err)
{
    crash_point(journal, "journal-begin");
    int rc = ferry_journal_lock_holds(journal, err); /* J3 */
    if (!rc)
        rc = ferry_journal_execute(journal, "BEGIN IMMEDIATE", "begin", err);
    if (rc < 0)
        return rc;
    rc = ferry_audit_start(journal, err);
    if (!rc)
        do {
            make_id(journal, record->started_us, record->id);
            rc = id_taken(journal, record->id, err);
        } while (rc > 0);
    sqlite3_int64 seq = 0;
    if (!rc)
        rc = insert_row(journal, record, &seq, err);
    if (!rc)
        rc = put_outcomes(journal, record, seq, err); /* J2: all unknown, the intents */
    if (!rc)
        rc = ferry_journal_put_hooks(journal, record, seq, err);
    if (!rc)
        rc = ferry_journal_put_overrides(journal, record, seq, err);
    if (!rc)
        rc = ferry_journal_put_deadman(journal, record, seq, err);
    if (!rc)
        rc = ferry_journal_put_debts(journal, record, seq, err); /* D1 of journal_debt.c */
    if (!rc)
        rc = ferry_journal_put_assignments(journal, record, seq, err); /* B1 of journal_assignment.c */
    if (!rc)
        rc = audit_begin(journal, record, err);
    crash_point(journal, "journal-begin-commit");
    rc = ferry_journal_end(journal, rc, "make the plan durable", err);
    if (!rc)
        ferry_journal_lock_note(journal, record->id);
    crash_point(journal, "journal-begin-done");
    return rc;
}

static int sequence_of(struct ferry_journal *journal, const char *id, sqlite3_int64 *ret,
                       char ret_state[static 24], struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal, "SELECT seq, state FROM txn WHERE id = ?", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_ROW)
        return ferry_error(err, FERRY_EIO, "%s/journal.db: transaction %s is no longer there",
                           journal->state_dir, id);
    *ret = sqlite3_column_int64(s, 0);
    snprintf(ret_state, 24, "%s", (const char *)sqlite3_column_text(s, 1)); /* NOT NULL */
    return 0;
}

static int update_row(struct ferry_journal *journal, const struct ferry_txn_record *r, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(
        journal,
        "UPDATE txn SET state = ?, reason = ?, ended_us = ?, deadline_us = ?, stages_begun = ? WHERE id = ?",
        &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(s, 1, ferry_txn_state_name(r->state), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, r->reason, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)r->ended_us);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)r->deadline_us);
    sqlite3_bind_int64(s, 5, (sqlite3_int64)r->stages_begun);
    sqlite3_bind_text(s, 6, r->id, -1, SQLITE_STATIC);
    return done(journal, s, "write the state", err);
}

static int mark_undone(struct ferry_journal *journal, const struct ferry_txn_record *r, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    FERRY_AUTOFREE char *reason = ferry_asprintf("rolled back by %s", r->id);
    int rc = ferry_journal_prepare(
        journal, "UPDATE txn SET state = 'undone', reason = ? WHERE id = ? AND state = 'committed'", &s,
        err); /* J6 */
    if (rc < 0)
        return rc;
    sqlite3_bind_text(s, 1, reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, r->undoes, -1, SQLITE_STATIC);
    rc = done(journal, s, "mark what was rolled back", err);
    if (rc < 0 || !sqlite3_changes(journal->db))
        return rc;
    return ferry_audit_add(journal,
                           &(struct ferry_audit_entry){
                               .what = "rolled-back", .tx = r->undoes, .was = "committed", .text = reason},
                           err);
}

static int put_hands(struct ferry_journal *journal, const struct ferry_txn_record *r, sqlite3_int64 seq,
                     struct ferry_err *err)
{
    FERRY_STATEMENT *drop = NULL, *s = NULL;
    int rc = ferry_journal_prepare(journal, "DELETE FROM hand WHERE txn = ?", &drop, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(drop, 1, seq);
    rc = done(journal, drop, "write hands", err);
    if (!rc)
        rc = ferry_journal_prepare(journal, "INSERT INTO hand VALUES (?, ?, ?, ?, ?)", &s, err);
    for (size_t i = 0; !rc && i < r->n_hands; i++) {
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_text(s, 2, r->hands[i].router, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 3, r->hands[i].key, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, r->hands[i].expected, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 5, r->hands[i].found, -1, SQLITE_STATIC);
        rc = done(journal, s, "write hands", err);
    }
    return rc;
}

static int put_events(struct ferry_journal *journal, const struct ferry_journal_events *events,
                      sqlite3_int64 seq, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal, "INSERT INTO event VALUES (?, ?, ?)", &s, err);
    for (size_t i = 0; !rc && i < events->n; i++) {
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_int64(s, 2, (sqlite3_int64)events->v[i].at_us);
        sqlite3_bind_text(s, 3, events->v[i].text, -1, SQLITE_STATIC);
        rc = done(journal, s, "write events", err);
    }
    return rc;
}

void ferry_journal_events_clear(struct ferry_journal_events *events)
{
    for (size_t i = 0; i < events->n; i++)
        free(events->v[i].text);
    free(events->v);
    *events = (struct ferry_journal_events){0};
}

int ferry_journal_save(struct ferry_journal *journal, const struct ferry_txn_record *record,
                       struct ferry_journal_events *events, const char *name, struct ferry_err *err)
{
    sqlite3_int64 seq = 0;
    char was[24];
    crash_point(journal, name);
    int rc = ferry_journal_lock_holds(journal, err); /* J3 */
    if (!rc)
        rc = ferry_journal_execute(journal, "BEGIN IMMEDIATE", "begin", err);
    if (rc < 0)
        return rc;
    rc = ferry_audit_start(journal, err);
    if (!rc)
        rc = sequence_of(journal, record->id, &seq, was, err);
    if (!rc)
        rc = update_row(journal, record, err);
    if (!rc)
        rc = put_outcomes(journal, record, seq, err);
    if (!rc)
        rc = put_hands(journal, record, seq, err);
    if (!rc)
        rc = ferry_journal_put_hooks(journal, record, seq, err);
    if (!rc)
        rc = ferry_journal_put_deadman(journal, record, seq, err);
    if (!rc)
        rc = put_events(journal, events, seq, err);
    if (!rc)
        rc = audit_save(journal, record, name, was, err);
    if (!rc && record->undoes && record->state == FERRY_TXN_COMMITTED)
        rc = mark_undone(journal, record, err);
    crash_point(journal, name);
    rc = ferry_journal_end(journal, rc, name, err);
    if (!rc)
        ferry_journal_events_clear(events);
    crash_point(journal, name);
    return rc;
}
