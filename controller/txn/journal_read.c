/* The journal, read: lists and whole records, and what measuring adds.  journal.c holds the invariants.
 * SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "base/mem.h"

#include <string.h>

#define UNFINISHED "'ready', 'applying', 'verifying', 'undoing', 'stuck'"

static const char *const state_names[] = {
    [FERRY_TXN_READY] = "ready",         [FERRY_TXN_APPLYING] = "applying",
    [FERRY_TXN_VERIFYING] = "verifying", [FERRY_TXN_AWAITING_CONFIRM] = "awaiting-confirm",
    [FERRY_TXN_COMMITTED] = "committed", [FERRY_TXN_UNDOING] = "undoing",
    [FERRY_TXN_UNDONE] = "undone",       [FERRY_TXN_STUCK] = "stuck",
    [FERRY_TXN_PAUSED] = "paused",
};

const char *ferry_txn_state_name(enum ferry_txn_state state)
{
    return (size_t)state < FERRY_COUNT(state_names) ? state_names[state] : "?";
}

void ferry_hands_free(struct ferry_hand *hands, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(hands[i].router);
        free(hands[i].key);
        free(hands[i].expected);
        free(hands[i].found);
    }
    free(hands);
}

void ferry_txn_record_free(struct ferry_txn_record *record)
{
    if (!record)
        return;
    free(record->kind);
    free(record->undoes);
    free(record->user);
    free(record->reason);
    free(record->summary);
    free(record->outcomes);
    ferry_plan_free(record->plan);
    ferry_hands_free(record->hands, record->n_hands);
    for (size_t i = 0; i < record->n_outages; i++)
        free(record->outages[i].vantage);
    free(record->outages);
    ferry_txn_hooks_free(record);
    free(record);
}

static void record_cleanup(struct ferry_txn_record **record)
{
    ferry_txn_record_free(*record);
}

/* ---- Outcomes. ---- */

size_t ferry_stage_outcomes(const struct ferry_plan *plan, const struct ferry_stage *stage)
{
    size_t n = 0;
    for (size_t i = 0; i < stage->n_changes; i++)
        n += plan->groups[stage->changes[i].group].n_subnets;
    return n;
}

size_t ferry_plan_outcomes(const struct ferry_plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_stages; i++)
        n += ferry_stage_outcomes(plan, &plan->stages[i]);
    return n;
}

enum ferry_outcome ferry_txn_outcome_at(const struct ferry_txn_record *r, size_t stage, size_t change,
                                        size_t subnet)
{
    size_t at = 0;
    for (size_t i = 0; i < stage; i++)
        at += ferry_stage_outcomes(r->plan, &r->plan->stages[i]);
    for (size_t i = 0; i < change; i++)
        at += r->plan->groups[r->plan->stages[stage].changes[i].group].n_subnets;
    at += subnet;
    return at < r->n_outcomes ? r->outcomes[at] : FERRY_UNKNOWN;
}

/* Byte 0: 0, then one byte, the outcome of all; or 1, then two bits each, the first in the lowest bits. */
uint8_t *ferry_outcomes_encode(const enum ferry_outcome *outcomes, size_t n, size_t *ret_len)
{
    size_t same = 1;
    while (same < n && outcomes[same] == outcomes[0])
        same++;
    if (same >= n) {
        uint8_t *blob = ferry_calloc(2, 1);
        blob[1] = n ? (uint8_t)outcomes[0] : 0;
        *ret_len = 2;
        return blob;
    }
    uint8_t *blob = ferry_calloc(1 + (n + 3) / 4, 1);
    blob[0] = 1;
    for (size_t i = 0; i < n; i++)
        blob[1 + i / 4] |= (uint8_t)(((unsigned)outcomes[i] & 3u) << (2 * (i % 4)));
    *ret_len = 1 + (n + 3) / 4;
    return blob;
}

bool ferry_outcomes_decode(const uint8_t *blob, size_t len, enum ferry_outcome *ret, size_t n)
{
    if (len == 2 && blob[0] == 0 && blob[1] <= FERRY_STALE) {
        for (size_t i = 0; i < n; i++)
            ret[i] = (enum ferry_outcome)blob[1];
        return true;
    }
    if (len != 1 + (n + 3) / 4 || blob[0] != 1)
        return false;
    for (size_t i = 0; i < n; i++)
        ret[i] = (enum ferry_outcome)((blob[1 + i / 4] >> (2 * (i % 4))) & 3u);
    return true;
}

/* ---- Records. ---- */

static char *text_at(sqlite3_stmt *s, int column)
{
    return ferry_strdup((const char *)sqlite3_column_text(s, column));
}

#define RECORD_COLUMNS                                                                                       \
    "id, kind, undoes, user, reason, state, started_us, ended_us, deadline_us, stages_begun, plan_id, "      \
    "summary, seq"

static int record_from_row(struct ferry_journal *journal, sqlite3_stmt *s, struct ferry_txn_record **ret,
                           struct ferry_err *err)
{
    FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *r = ferry_calloc(1, sizeof *r);
    const char *id = (const char *)sqlite3_column_text(s, 0),
               *state = (const char *)sqlite3_column_text(s, 5),
               *plan_id = (const char *)sqlite3_column_text(s, 10);
    size_t known = 0;
    while (known < FERRY_COUNT(state_names) && (!state || strcmp(state, state_names[known])))
        known++;
    if (!id || strlen(id) >= sizeof r->id || !plan_id || strlen(plan_id) >= sizeof r->plan_id ||
        known == FERRY_COUNT(state_names))
        return ferry_error(err, FERRY_EIO, "%s/journal.db: damaged: transaction %s has state \"%s\"",
                           journal->state_dir, id ? id : "?", state ? state : "?");
    strcpy(r->id, id);
    strcpy(r->plan_id, plan_id);
    r->state = (enum ferry_txn_state)known;
    r->kind = text_at(s, 1);
    r->undoes = text_at(s, 2);
    r->user = text_at(s, 3);
    r->reason = text_at(s, 4);
    r->started_us = (uint64_t)sqlite3_column_int64(s, 6);
    r->ended_us = (uint64_t)sqlite3_column_int64(s, 7);
    r->deadline_us = (uint64_t)sqlite3_column_int64(s, 8);
    r->stages_begun = (size_t)sqlite3_column_int64(s, 9);
    r->summary = text_at(s, 11);
    *ret = FERRY_STEAL(r);
    return 0;
}

static int get_outages(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                       struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_has_table(journal, "outage_lasting", err);
    if (rc >= 0)
        rc = ferry_journal_prepare(
            journal,
            rc ? "SELECT vantage, ms, lost, sent, ttl_exceeded, duplicates,"
                 " EXISTS (SELECT 1 FROM outage_lasting l WHERE l.txn = o.txn AND l.vantage = o.vantage)"
                 " FROM outage o WHERE txn = ? ORDER BY rowid"
               : "SELECT vantage, ms, lost, sent, ttl_exceeded, duplicates, 0 FROM outage"
                 " WHERE txn = ? ORDER BY rowid",
            &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        FERRY_GROW(r->outages, r->n_outages);
        r->outages[r->n_outages++] = (struct ferry_outage){
            .vantage = text_at(s, 0),
            .ms = sqlite3_column_double(s, 1),
            .lost = (uint64_t)sqlite3_column_int64(s, 2),
            .sent = (uint64_t)sqlite3_column_int64(s, 3),
            .ttl_exceeded = (uint64_t)sqlite3_column_int64(s, 4),
            .duplicates = (uint64_t)sqlite3_column_int64(s, 5),
            .lasts = sqlite3_column_int(s, 6),
        };
    }
    return rc == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read outages", err);
}

static int get_hands(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                     struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(
        journal, "SELECT router, key, expected, found FROM hand WHERE txn = ? ORDER BY rowid", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        FERRY_GROW(r->hands, r->n_hands);
        r->hands[r->n_hands++] =
            (struct ferry_hand){text_at(s, 0), text_at(s, 1), text_at(s, 2), text_at(s, 3)};
    }
    return rc == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read hands", err);
}

int ferry_journal_list(struct ferry_journal *journal, size_t limit, struct ferry_txn_record ***ret,
                       size_t *ret_n, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal, "SELECT " RECORD_COLUMNS " FROM txn ORDER BY seq DESC LIMIT ?",
                                   &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, limit ? (sqlite3_int64)limit : -1);
    struct ferry_txn_record **v = NULL;
    size_t n = 0;
    int row;
    while (!rc && (row = sqlite3_step(s)) != SQLITE_DONE) {
        struct ferry_txn_record *r = NULL;
        rc = row == SQLITE_ROW ? record_from_row(journal, s, &r, err)
                               : ferry_journal_error(journal, "list", err);
        if (rc)
            break;
        FERRY_GROW(v, n);
        v[n++] = r;
        rc = get_outages(journal, sqlite3_column_int64(s, 12), r, err);
        if (!rc)
            rc = get_hands(journal, sqlite3_column_int64(s, 12), r, err);
    }
    if (rc < 0) {
        for (size_t i = 0; i < n; i++)
            ferry_txn_record_free(v[i]);
        free(v);
        return rc;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

static int get_plan(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                    struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal, "SELECT plan FROM txn WHERE seq = ?", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    if (sqlite3_step(s) != SQLITE_ROW)
        return ferry_journal_error(journal, "read the plan", err);
    FERRY_AUTOFREE char *name = ferry_asprintf("journal: plan of %s", r->id);
    const char *text = (const char *)sqlite3_column_text(s, 0);
    rc = ferry_plan_parse(name, text ? text : "", (size_t)sqlite3_column_bytes(s, 0), &r->plan, NULL, err);
    /* Not the user's file: a journal that cannot be read is an error of ours, not of the input. */
    return rc == -FERRY_EINPUT ? -FERRY_EIO : rc;
}

static int get_outcomes(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                        struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc =
        ferry_journal_prepare(journal, "SELECT outcomes FROM stage WHERE txn = ? AND stage = ?", &s, err);
    if (rc < 0)
        return rc;
    r->n_outcomes = ferry_plan_outcomes(r->plan);
    r->outcomes = ferry_calloc(r->n_outcomes, sizeof *r->outcomes);
    enum ferry_outcome *at = r->outcomes;
    for (size_t i = 0; i < r->plan->n_stages; i++) {
        size_t n = ferry_stage_outcomes(r->plan, &r->plan->stages[i]);
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_int64(s, 2, (sqlite3_int64)i);
        if (sqlite3_step(s) != SQLITE_ROW ||
            !ferry_outcomes_decode(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), at, n))
            return ferry_error(err, FERRY_EIO,
                               "%s/journal.db: damaged: outcomes of transaction %s, stage %zu",
                               journal->state_dir, r->id, i + 1);
        sqlite3_reset(s);
        at += n;
    }
    return 0;
}

/* Positions `s` on the row, or says that there is none or that there are several. */
static int find_row(struct ferry_journal *journal, const char *id, sqlite3_stmt **ret, struct ferry_err *err)
{
    bool last = !id || !strcmp(id, "last");
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(
        journal,
        last ? "SELECT " RECORD_COLUMNS " FROM txn ORDER BY seq DESC LIMIT 1"
             : "SELECT " RECORD_COLUMNS
               ", count(*) OVER () FROM txn WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2",
        &s, err);
    if (rc < 0)
        return rc;
    if (!last)
        sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    rc = sqlite3_step(s);
    if (rc == SQLITE_DONE)
        return last ? ferry_error(err, FERRY_EUSAGE, "there is no transaction yet")
                    : ferry_error(err, FERRY_EUSAGE, "there is no transaction \"%s\"", id);
    if (rc != SQLITE_ROW)
        return ferry_journal_error(journal, "look for a transaction", err);
    if (!last && (!*id || sqlite3_column_int64(s, 13) > 1))
        return ferry_error(err, FERRY_EUSAGE, "\"%s\" is the beginning of several transactions' ids", id);
    *ret = FERRY_STEAL(s);
    return 0;
}

int ferry_journal_missing(const char *state_dir, const char *id, const char *rule, const char *text,
                          struct ferry_err *err)
{
    return id ? ferry_error(err, FERRY_EUSAGE, "there is no transaction \"%s\": no journal in %s", id,
                            state_dir)
              : ferry_refuse(err, rule, "%s", text);
}

int ferry_journal_get(struct ferry_journal *journal, const char *id, struct ferry_txn_record **ret,
                      struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *r = NULL;
    int rc = find_row(journal, id, &s, err);
    if (!rc)
        rc = record_from_row(journal, s, &r, err);
    if (rc < 0)
        return rc;
    sqlite3_int64 seq = sqlite3_column_int64(s, 12);
    rc = get_plan(journal, seq, r, err);
    if (!rc)
        rc = get_outcomes(journal, seq, r, err);
    if (!rc)
        rc = get_hands(journal, seq, r, err);
    if (!rc)
        rc = get_outages(journal, seq, r, err);
    if (!rc)
        rc = ferry_journal_get_hooks(journal, seq, r, err);
    if (!rc)
        rc = ferry_journal_get_deadman(journal, seq, r, err);
    if (rc < 0)
        return rc;
    *ret = FERRY_STEAL(r);
    return 0;
}

/* The table is made with the first one. */
static int add_lasting(struct ferry_journal *journal, const char *id, const char *vantage,
                       struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_execute(journal,
                                   "CREATE TABLE IF NOT EXISTS outage_lasting (txn INTEGER NOT NULL"
                                   " REFERENCES txn, vantage TEXT NOT NULL, PRIMARY KEY (txn, vantage))"
                                   " WITHOUT ROWID",
                                   "make the table of outages that last", err);
    if (!rc)
        rc = ferry_journal_prepare(
            journal, "INSERT OR IGNORE INTO outage_lasting SELECT seq, ?2 FROM txn WHERE id = ?1", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, vantage, -1, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? 0 : ferry_journal_error(journal, "write outages", err);
}

int ferry_journal_add_outage(struct ferry_journal *journal, const char *id,
                             const struct ferry_outage *outages, size_t n, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(
        journal, "INSERT INTO outage SELECT seq, ?2, ?3, ?4, ?5, ?6, ?7 FROM txn WHERE id = ?1", &s, err);
    if (rc < 0)
        return rc;
    if (sqlite3_exec(journal->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "begin", err);
    for (size_t i = 0; !rc && i < n; i++) {
        sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 2, outages[i].vantage, -1, SQLITE_STATIC);
        sqlite3_bind_double(s, 3, outages[i].ms);
        sqlite3_bind_int64(s, 4, (sqlite3_int64)outages[i].lost);
        sqlite3_bind_int64(s, 5, (sqlite3_int64)outages[i].sent);
        sqlite3_bind_int64(s, 6, (sqlite3_int64)outages[i].ttl_exceeded);
        sqlite3_bind_int64(s, 7, (sqlite3_int64)outages[i].duplicates);
        if (sqlite3_step(s) != SQLITE_DONE)
            rc = ferry_journal_error(journal, "write outages", err);
        else if (!sqlite3_changes(journal->db))
            rc = ferry_error(err, FERRY_EUSAGE, "there is no transaction \"%s\"", id);
        else if (outages[i].lasts)
            rc = add_lasting(journal, id, outages[i].vantage, err);
        sqlite3_reset(s);
    }
    if (!rc && sqlite3_exec(journal->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = ferry_journal_error(journal, "write outages", err);
    if (rc < 0)
        sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* ---- What the engine asks. ---- */

int ferry_journal_unfinished(struct ferry_journal *journal, bool awaiting, char ret_id[static 24],
                             struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal,
                                   awaiting ? "SELECT id FROM txn WHERE state IN (" UNFINISHED
                                              ", 'awaiting-confirm', 'paused') ORDER BY seq DESC LIMIT 1"
                                            : "SELECT id FROM txn WHERE state IN (" UNFINISHED
                                              ") ORDER BY seq DESC LIMIT 1",
                                   &s, err);
    if (rc < 0)
        return rc;
    rc = sqlite3_step(s);
    if (rc == SQLITE_DONE)
        return 0;
    const char *id = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    if (!id || strlen(id) >= 24)
        return ferry_journal_error(journal, "look for an unfinished transaction", err);
    strcpy(ret_id, id);
    return 1;
}

int ferry_journal_check_undoable(struct ferry_journal *journal, const char *id, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(journal, "SELECT state FROM txn WHERE id = ?", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    rc = sqlite3_step(s);
    if (rc == SQLITE_DONE)
        return ferry_error(err, FERRY_EUSAGE, "there is no transaction \"%s\"", id);
    if (rc != SQLITE_ROW)
        return ferry_journal_error(journal, "look for a transaction", err);
    const char *state = (const char *)sqlite3_column_text(s, 0);
    if (!state || strcmp(state, "committed"))
        return ferry_refuse(err, "not-committed",
                            "transaction %s is %s, not committed: there is nothing to roll back", id,
                            state ? state : "?");
    return 0;
}

int ferry_journal_committed(struct ferry_journal *journal, const char *after,
                            bool (*visit)(void *ctx, const struct ferry_txn_record *record), void *ctx,
                            struct ferry_err *err)
{
    struct ferry_txn_record **list = NULL;
    size_t n = 0;
    bool more = true;
    int r = ferry_journal_list(journal, 0, &list, &n, err);
    for (size_t i = 0; r == 0 && more && i < n && !(after && strcmp(list[i]->id, after) == 0); i++) {
        FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *full = NULL;
        if (list[i]->state == FERRY_TXN_COMMITTED)
            r = ferry_journal_get(journal, list[i]->id, &full, err);
        if (full)
            more = visit(ctx, full);
    }
    for (size_t i = 0; i < n; i++)
        ferry_txn_record_free(list[i]);
    free(list);
    return r;
}
