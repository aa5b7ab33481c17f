/* The journal: SQLite under the state directory.  Opening and writing; journal_lock.c locks, journal_read.c reads.
 *
 * Invariants
 *  J1. The database runs with journal_mode=DELETE and synchronous=EXTRA: a write that has returned survives a
 *      power cut.  (No WAL: SQLite 3.40 can corrupt it with several connections.)
 *  J2. A transaction's row, its whole plan and the intents of all of its stages appear in one SQLite
 *      transaction, before anything is written to a router.
 *  J3. Only the holder of the lock writes; the lock is held from before begin until the transaction has ended
 *      or its process has.
 *  J4. At most one transaction is unfinished (ready, applying, verifying, undoing or stuck), awaits its
 *      confirmation, or is paused.
 *  J5. Progress marks are for people.  Recovery looks at the plan and at the routers, so that marks may be
 *      late.
 *  J6. The plan of a transaction never changes; an ended transaction changes only from committed to undone, in
 *      the same SQLite transaction that commits its rollback.
 *  J7. Every write of a transaction's rows adds its entry to the audit log, in the same SQLite transaction
 *      (journal_audit.c).
 *  J8. Nobody but SQLite opens the file: the locks by which it keeps processes apart are fcntl(2)'s, and a process loses all that it
 *      holds on a file when it closes any descriptor of it.  (SQLite, "How To Corrupt An SQLite Database File", 2.2.)
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA_VERSION 1
#define BUSY_MS        5000 /* a reader may hold the file for that long before a write fails */

static const char *const schema =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS txn (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " kind TEXT NOT NULL, undoes TEXT, user TEXT, reason TEXT, state TEXT NOT NULL,"
    " started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, deadline_us INTEGER NOT NULL,"
    " stages_begun INTEGER NOT NULL, plan_id TEXT NOT NULL, summary TEXT, plan TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS stage (txn INTEGER NOT NULL REFERENCES txn, stage INTEGER NOT NULL,"
    " outcomes BLOB NOT NULL, PRIMARY KEY (txn, stage)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS hand (txn INTEGER NOT NULL REFERENCES txn, router TEXT NOT NULL, key TEXT "
    "NOT NULL,"
    " expected TEXT NOT NULL, found TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS hand_txn ON hand (txn);"
    "CREATE TABLE IF NOT EXISTS outage (txn INTEGER NOT NULL REFERENCES txn, vantage TEXT NOT NULL, ms REAL "
    "NOT NULL,"
    " lost INTEGER NOT NULL, sent INTEGER NOT NULL, ttl_exceeded INTEGER NOT NULL, duplicates INTEGER NOT "
    "NULL);"
    "CREATE INDEX IF NOT EXISTS outage_txn ON outage (txn);"
    "CREATE TABLE IF NOT EXISTS event (txn INTEGER NOT NULL REFERENCES txn, at_us INTEGER NOT NULL, text "
    "TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS event_txn ON event (txn);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

int ferry_journal_error(struct ferry_journal *journal, const char *doing, struct ferry_err *err)
{
    return ferry_error(err, FERRY_EIO, "%s/journal.db: %s: %s", journal->state_dir, doing,
                       sqlite3_errmsg(journal->db));
}

int ferry_journal_prepare(struct ferry_journal *journal, const char *sql, sqlite3_stmt **ret,
                          struct ferry_err *err)
{
    if (sqlite3_prepare_v2(journal->db, sql, -1, ret, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "prepare", err);
    return 0;
}

int ferry_journal_has_table(struct ferry_journal *journal, const char *name, struct ferry_err *err)
{
    int r = 0;
    sqlite3_mutex_enter(sqlite3_db_mutex(journal->db)); /* the statement is everybody's */
    if (!journal->has_table)
        r = ferry_journal_prepare(journal, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
                                  &journal->has_table, err);
    if (!r) {
        sqlite3_bind_text(journal->has_table, 1, name, -1, SQLITE_STATIC);
        int step = sqlite3_step(journal->has_table);
        r = step == SQLITE_ROW || step == SQLITE_DONE ? step == SQLITE_ROW
                                                      : ferry_journal_error(journal, "look for a table", err);
        sqlite3_reset(journal->has_table);
    }
    sqlite3_mutex_leave(sqlite3_db_mutex(journal->db));
    return r;
}

static int execute(struct ferry_journal *journal, const char *sql, const char *doing, struct ferry_err *err)
{
    if (sqlite3_exec(journal->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, doing, err);
    return 0;
}

/* A new directory is only there after a power cut where its parent was synced; SQLite does that for its files alone (J1). */
static int sync_parent(const char *path, struct ferry_err *err)
{
    FERRY_AUTOFREE char *parent = ferry_strdup(path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (failed && failed != EINVAL &&
        failed != EACCES) /* a file system that does not know it; a parent of others */
        return ferry_error(err, FERRY_EIO, "%s: %s", slash ? parent : ".", strerror(failed));
    return 0;
}

static int make_one(const char *path, mode_t mode, struct ferry_err *err)
{
    if (!mkdir(path, mode))
        return sync_parent(path, err);
    return errno == EEXIST ? 0 : ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
}

/* Creates the directory with its parents; the last one is for its owner alone. */
static int make_directory(const char *path, struct ferry_err *err)
{
    FERRY_AUTOFREE char *copy = ferry_strdup(path);
    int r = 0;
    for (char *p = copy + 1; *p && !r; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        r = make_one(copy, 0755, err);
        *p = '/';
    }
    if (!r)
        r = make_one(path, 0700, err);
    if (r < 0)
        return r;
    struct stat st;
    if (stat(path, &st))
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return ferry_error(err, FERRY_EIO, "%s: is not a directory", path);
    return 0;
}

static int user_version(struct ferry_journal *journal, int *ret, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, "PRAGMA user_version", &s, err);
    if (r < 0)
        return r;
    if (sqlite3_step(s) != SQLITE_ROW)
        return ferry_journal_error(journal, "read the schema version", err);
    *ret = sqlite3_column_int(s, 0);
    return 0;
}

static int set_up(struct ferry_journal *journal, struct ferry_err *err)
{
    int version = 0, r;
    sqlite3_busy_timeout(journal->db, BUSY_MS);
    r = execute(journal, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON",
                "set up", err); /* J1 */
    if (r < 0)
        return r;
    r = user_version(journal, &version, err);
    if (r < 0)
        return r;
    if (version > SCHEMA_VERSION)
        return ferry_error(err, FERRY_EIO,
                           "%s/journal.db: was written by a newer Ferry (schema %d; this one knows %d)",
                           journal->state_dir, version, SCHEMA_VERSION);
    if (version < SCHEMA_VERSION && (r = execute(journal, schema, "create the schema", err)) < 0)
        return r;
    return ferry_journal_hooks_set_up(journal, err);
}

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

/* SQLite would create it readable for everybody; its rollback journal takes this file's mode.  J8: under its name it is never
 * opened here, so it is made under another one. */
static int make_file(const char *path, struct ferry_err *err)
{
    FERRY_AUTOFREE char *other = ferry_asprintf("%s.XXXXXX", path);
    int fd = mkostemp(other, O_CLOEXEC), failed = fd < 0 ? errno : 0;
    if (failed)
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(failed));
    close(fd);
    if (link(other, path) && errno != EEXIST)
        failed = errno;
    unlink(other);
    return failed ? ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(failed)) : 0;
}

/* 0, with SQLite's flags for opening it. */
static int find_file(const char *path, int *ret_flags, struct ferry_err *err)
{
    struct stat st;
    if (lstat(path, &st)) {
        int r = errno == ENOENT ? make_file(path, err)
                                : ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
        if (r < 0)
            return r;
    } else if (!S_ISREG(st.st_mode)) {
        return ferry_error(err, FERRY_EIO, "%s: is not a file", path);
    }
    *ret_flags = SQLITE_OPEN_READWRITE;
    if (!faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS))
        return 0;
    if (errno != EROFS)
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    *ret_flags = SQLITE_OPEN_READONLY; /* to look at; who wants to write hears it from SQLite */
    return 0;
}

int ferry_journal_open(const struct ferry_env *env, const char *state_dir, struct ferry_journal **ret,
                       struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", state_dir);
    int flags = 0, r = make_directory(state_dir, err);
    if (r == 0)
        r = find_file(path, &flags, err);
    if (r < 0)
        return r;
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = ferry_calloc(1, sizeof *journal);
    journal->env = env;
    journal->lock_fd = -1;
    journal->state_dir = ferry_strdup(state_dir);
    if (sqlite3_open_v2(path, &journal->db, flags | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "open", err);
    r = set_up(journal, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(journal);
    return 0;
}

int ferry_journal_look(const struct ferry_env *env, const char *state_dir, struct ferry_journal **ret,
                       struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", state_dir);
    struct stat st;
    if (stat(path, &st) ? errno == ENOENT : st.st_size == 0)
        return 0;
    return ferry_journal_open(env, state_dir, ret, err);
}

void ferry_journal_close(struct ferry_journal *journal)
{
    if (!journal)
        return;
    ferry_journal_unlock(journal);
    sqlite3_finalize(journal->has_table);
    sqlite3_close(journal->db);
    free(journal->state_dir);
    free(journal->actor);
    free(journal);
}

/* ---- Writing. ---- */

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

/* Ends the SQLite transaction: COMMIT where rc is 0, else ROLLBACK. */
static int finish(struct ferry_journal *journal, int rc, const char *doing, struct ferry_err *err)
{
    if (!rc)
        rc = execute(journal, "COMMIT", doing, err);
    if (rc < 0)
        sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    else
        ferry_audit_tell(journal);
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
    assert(journal->lock_fd >= 0); /* J3 */
    crash_point(journal, "journal-begin");
    int rc = execute(journal, "BEGIN IMMEDIATE", "begin", err);
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
        rc = ferry_journal_put_debts(journal, record, seq, err); /* D1 of journal_debt.c */
    if (!rc)
        rc = ferry_journal_put_assignments(journal, record, seq, err); /* B1 of journal_assignment.c */
    if (!rc)
        rc = audit_begin(journal, record, err);
    crash_point(journal, "journal-begin-commit");
    rc = finish(journal, rc, "make the plan durable", err);
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
    assert(journal->lock_fd >= 0); /* J3 */
    sqlite3_int64 seq = 0;
    char was[24];
    crash_point(journal, name);
    int rc = execute(journal, "BEGIN IMMEDIATE", "begin", err);
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
        rc = put_events(journal, events, seq, err);
    if (!rc)
        rc = audit_save(journal, record, name, was, err);
    if (!rc && record->undoes && record->state == FERRY_TXN_COMMITTED)
        rc = mark_undone(journal, record, err);
    crash_point(journal, name);
    rc = finish(journal, rc, name, err);
    if (!rc)
        ferry_journal_events_clear(events);
    crash_point(journal, name);
    return rc;
}
