/* Target: the journal.  The first byte says what the rest is:
 *  0  the whole SQLite file, as bytes;
 *  1  a sound journal whose one transaction has these bytes as a column: first the column's number, then its value
 *     (text, blob, or number), so that what SQLite vouches for is not all that is tried;
 *  2  the outcomes blob alone.
 *
 *  - Opening, listing and getting end with an error or with a record whose parts fit its plan.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "fuzz.h"
#include "scratch.h"

#include <base/mem.h>
#include <stdio.h>
#include <string.h>

static void look(void)
{
    struct ferry_journal *journal = NULL;
    struct ferry_txn_record **list = NULL, *r = NULL;
    struct ferry_err err = {0};
    char id[24] = "";
    size_t n = 0;
    int result = ferry_journal_open(&fuzz_env, fuzz_scratch(), &journal, &err);
    fuzz_said(result, &err);
    if (result < 0) {
        FUZZ_CHECK(!journal);
        return;
    }
    result = ferry_journal_list(journal, 5, &list, &n, &err);
    fuzz_said(result, &err);
    FUZZ_CHECK(result >= 0 || (!list && !n));
    for (size_t i = 0; i < n; i++) {
        struct ferry_txn_record *one = NULL;
        result = ferry_journal_get(journal, list[i]->id, &one, &err);
        fuzz_said(result, &err);
        ferry_txn_record_free(one);
        ferry_txn_record_free(list[i]);
    }
    free(list);
    result = ferry_journal_get(journal, "last", &r, &err);
    fuzz_said(result, &err);
    if (result >= 0) {
        FUZZ_CHECK(r->plan && r->n_outcomes == ferry_plan_outcomes(r->plan) &&
                   memchr(r->id, 0, sizeof r->id));
        for (size_t i = 0; i < r->n_outcomes; i++)
            FUZZ_CHECK(r->outcomes[i] <= FERRY_STALE);
        ferry_txn_record_free(r);
    }
    result = ferry_journal_unfinished(journal, true, id, &err);
    fuzz_said(result, &err);
    result = ferry_journal_check_undoable(journal, "20261120-101502-3fa9", &err);
    fuzz_said(result, &err);
    ferry_journal_close(journal);
}

static const char plan[] = "{\"ferry\": 1, \"kind\": \"plan\", \"mode\": \"planned\", \"routers\": [], "
                           "\"groups\": [], \"stages\": []}";

/* A journal as journal.c makes it, with one transaction. */
static void make(sqlite3 **ret)
{
    static const char rows[] =
        "INSERT INTO txn (id, kind, undoes, user, reason, state, started_us, ended_us, deadline_us, "
        "stages_begun, plan_id, summary, plan) VALUES ('20261120-101502-3fa9', 'apply', NULL, 'root', NULL, "
        "'committed', 1, 2, 0, 1, 'p', 's', ?);";
    struct ferry_journal *journal = NULL;
    struct ferry_err err = {0};
    sqlite3_stmt *s = NULL;
    char path[200];
    snprintf(path, sizeof path, "%s/journal.db", fuzz_scratch());
    (void)remove(path);
    FUZZ_CHECK(ferry_journal_open(&fuzz_env, fuzz_scratch(), &journal, &err) == 0);
    ferry_journal_close(journal);
    FUZZ_CHECK(sqlite3_open(path, ret) == SQLITE_OK);
    sqlite3_exec(*ret, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY", NULL, NULL, NULL);
    FUZZ_CHECK(sqlite3_prepare_v2(*ret, rows, -1, &s, NULL) == SQLITE_OK);
    sqlite3_bind_text(s, 1, plan, -1, SQLITE_STATIC);
    FUZZ_CHECK(sqlite3_step(s) == SQLITE_DONE);
    sqlite3_finalize(s);
    sqlite3_exec(*ret,
                 "INSERT INTO stage VALUES (1, 0, x'0001'); INSERT INTO hand VALUES (1, 'r', 'k', 'e', 'f');"
                 "INSERT INTO outage VALUES (1, 'v', 1.5, 1, 2, 3, 4)",
                 NULL, NULL, NULL);
}

static void column(const uint8_t *data, size_t size)
{
    static const char *const columns[] = {
        "UPDATE txn SET id = ?",         "UPDATE txn SET kind = ?",         "UPDATE txn SET undoes = ?",
        "UPDATE txn SET user = ?",       "UPDATE txn SET reason = ?",       "UPDATE txn SET state = ?",
        "UPDATE txn SET started_us = ?", "UPDATE txn SET stages_begun = ?", "UPDATE txn SET plan_id = ?",
        "UPDATE txn SET summary = ?",    "UPDATE txn SET plan = ?",         "UPDATE stage SET outcomes = ?",
        "UPDATE stage SET stage = ?",    "UPDATE hand SET router = ?",      "UPDATE hand SET found = ?",
        "UPDATE outage SET vantage = ?", "UPDATE outage SET ms = ?",        "UPDATE outage SET lost = ?"};
    sqlite3 *db;
    sqlite3_stmt *s = NULL;
    if (size < 2)
        return;
    make(&db);
    size_t which = data[0] % (sizeof columns / sizeof *columns);
    if (sqlite3_prepare_v2(db, columns[which], -1, &s, NULL) == SQLITE_OK) {
        const char *value = (const char *)data + 2;
        int n = (int)(size - 2);
        if (data[1] % 3 == 0)
            sqlite3_bind_text(s, 1, value, n, SQLITE_STATIC);
        else if (data[1] % 3 == 1)
            sqlite3_bind_blob(s, 1, value, n, SQLITE_STATIC);
        else {
            sqlite3_int64 number = 0;
            memcpy(&number, value, n < 8 ? (size_t)n : 8);
            sqlite3_bind_int64(s, 1, number);
        }
        (void)sqlite3_step(s); /* a constraint may say no */
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
    look();
}

static void outcomes(const uint8_t *data, size_t size)
{
    enum ferry_outcome v[64];
    size_t n = size ? data[0] % 65u : 0, n_blob;
    if (!size || !ferry_outcomes_decode(data + 1, size - 1, v, n))
        return;
    uint8_t *blob = ferry_outcomes_encode(v, n, &n_blob);
    enum ferry_outcome again[64];
    FUZZ_CHECK(ferry_outcomes_decode(blob, n_blob, again, n) && (!n || !memcmp(v, again, n * sizeof *v)));
    free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    fuzz_begin();
    switch (data[0] % 3) {
    case 0:
        fuzz_scratch_file("journal.db", data + 1, size - 1);
        look();
        break;
    case 1:
        column(data + 1, size - 1);
        break;
    default:
        outcomes(data + 1, size - 1);
        break;
    }
    return 0;
}
