/* The journal's file: made, opened, closed; and the words in which SQLite is spoken to.  Invariants:
 * journal.c, of which J1, J8 and J9 are kept here.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

/* ---- What SQLite is told, and says. ---- */

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

int ferry_journal_execute(struct ferry_journal *journal, const char *sql, const char *doing,
                          struct ferry_err *err)
{
    if (sqlite3_exec(journal->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, doing, err);
    return 0;
}

int ferry_journal_end(struct ferry_journal *journal, int r, const char *doing, struct ferry_err *err)
{
    if (r == 0)
        r = ferry_journal_execute(journal, "COMMIT", doing, err);
    if (r < 0 && !sqlite3_get_autocommit(journal->db)) /* on some errors SQLite has done so */
        sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    if (r == 0)
        ferry_audit_tell(journal);
    return r;
}

/* ---- The file. ---- */

/* A new directory is only there after a power cut where its parent was synced; SQLite does that for its files
 * alone (J1). */
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
    r = ferry_journal_execute(journal,
                              "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON",
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
    if (version < SCHEMA_VERSION &&
        (r = ferry_journal_execute(journal, schema, "create the schema", err)) < 0)
        return r;
    return ferry_journal_hooks_set_up(journal, err);
}

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

static int open_database(const struct ferry_env *env, const char *state_dir, const char *path, int flags,
                         struct ferry_journal **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = ferry_calloc(1, sizeof *journal);
    journal->env = env;
    journal->lock_fd = -1;
    journal->state_dir = ferry_strdup(state_dir);
    if (sqlite3_open_v2(path, &journal->db, flags | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "open", err);
    int r = set_up(journal, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(journal);
    return 0;
}

/* Who comes second is told so (EEXIST), also where the file system has no hard links. */
static int name_file(const char *other, const char *path)
{
    if (!link(other, path))
        return 0;
    return errno == EPERM || errno == EOPNOTSUPP
               ? renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_NOREPLACE)
               : -1;
}

/* J9: from a file without a page SQLite takes a rollback journal away without syncing what that had undone
 * (pager.c, hasHotJournal), and what a power cut then leaves need not be a database.  SQLite would also create it
 * readable for everybody; its rollback journal takes this file's mode.  J8: here it is opened under another
 * name. */
static int make_file(const struct ferry_env *env, const char *state_dir, const char *path,
                     struct ferry_err *err)
{
    FERRY_AUTOFREE char *other = ferry_asprintf("%s.XXXXXX", path);
    int fd = mkostemp(other, O_CLOEXEC);
    if (fd < 0)
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    close(fd);
    struct ferry_journal *journal = NULL;
    int r = open_database(env, state_dir, other, SQLITE_OPEN_READWRITE, &journal, err);
    ferry_journal_close(journal);
    if (!r && name_file(other, path) && errno != EEXIST)
        r = ferry_error(err, FERRY_EIO, "%s: cannot be given its name: %s", path, strerror(errno));
    FERRY_AUTOFREE char *rollback = ferry_asprintf("%s-journal", other);
    unlink(rollback); /* of one that failed */
    unlink(other);
    return r;
}

/* 0, with SQLite's flags for opening it; 1 where it is not there. */
static int find_file(const char *path, int *ret_flags, struct ferry_err *err)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? 1 : ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ferry_error(err, FERRY_EIO, "%s: is not a file", path);
    if (!st.st_size) /* J9 */
        return ferry_error(
            err, FERRY_EIO,
            "%s: is empty: it was truncated, or made by an older Ferry that died at once; if no "
            "transaction was ever begun here, remove it",
            path);
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
    int flags = SQLITE_OPEN_READWRITE, r = make_directory(state_dir, err);
    if (r == 0)
        r = find_file(path, &flags, err);
    if (r == 1)
        r = make_file(env, state_dir, path, err);
    return r < 0 ? r : open_database(env, state_dir, path, flags, ret, err);
}

/* It makes nothing, also where the directory is taken away at this moment. */
int ferry_journal_look(const struct ferry_env *env, const char *state_dir, struct ferry_journal **ret,
                       struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", state_dir);
    int flags = 0, r = find_file(path, &flags, err);
    return r ? (r < 0 ? r : 0) : open_database(env, state_dir, path, flags, ret, err);
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
