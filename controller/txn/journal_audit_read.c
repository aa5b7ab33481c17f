/* The audit log, read: the entries, the head, and the digests of what the journal's other tables hold.
 * journal_audit.c has the invariants.  SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

int ferry_audit_exists(struct ferry_journal *journal, bool *ret, struct ferry_err *err)
{
    int r = ferry_journal_has_table(journal, "audit", err);
    if (r < 0)
        return r;
    *ret = r;
    return 0;
}

/* ---- Entries. ---- */

int ferry_audit_list(struct ferry_journal *journal, struct ferry_audit_line **ret, size_t *ret_n,
                     struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    struct ferry_audit_line *v = NULL;
    size_t n = 0;
    bool exists;
    int r = ferry_audit_exists(journal, &exists, err);
    if (r == 0 && exists)
        r = ferry_journal_prepare(journal, "SELECT seq, entry, hash FROM audit ORDER BY seq", &s, err);
    if (r < 0)
        return r;
    while (s && (r = sqlite3_step(s)) == SQLITE_ROW) {
        const char *entry = ferry_journal_text(s, 1);
        bool whole = strlen(entry) == (size_t)sqlite3_column_bytes(s, 1); /* a NUL would hide the rest */
        FERRY_GROW(v, n);
        v[n] = (struct ferry_audit_line){.seq = (uint64_t)sqlite3_column_int64(s, 0),
                                         .entry = ferry_strdup(whole ? entry : "")};
        snprintf(v[n++].hash, sizeof v->hash, "%s", ferry_journal_text(s, 2));
    }
    if (s && r != SQLITE_DONE) {
        ferry_audit_lines_free(v, n);
        return ferry_journal_error(journal, "read the audit log", err);
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

void ferry_audit_lines_free(struct ferry_audit_line *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(lines[i].entry);
    free(lines);
}

int ferry_audit_head(struct ferry_journal *journal, struct ferry_audit_anchor *ret, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    bool exists;
    int r = ferry_audit_exists(journal, &exists, err);
    if (r < 0 || !exists)
        return r < 0 ? r : 1;
    r = ferry_journal_prepare(journal, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", &s, err);
    if (r < 0)
        return r;
    r = sqlite3_step(s);
    if (r == SQLITE_DONE)
        return 1;
    if (r != SQLITE_ROW)
        return ferry_journal_error(journal, "read the audit log", err);
    if (strlen(ferry_journal_text(s, 1)) != 64)
        return ferry_error(err, FERRY_EIO, "%s/journal.db: damaged: the audit log's last entry has no hash",
                           journal->state_dir);
    ret->seq = (uint64_t)sqlite3_column_int64(s, 0);
    memcpy(ret->hash, ferry_journal_text(s, 1), sizeof ret->hash);
    return 0;
}

int ferry_audit_anchor_parse(const char *text, struct ferry_audit_anchor *ret, struct ferry_err *err)
{
    uint8_t bytes[32];
    char *end;
    unsigned long long seq = strtoull(text, &end, 10);
    if (*text < '1' || *text > '9' || *end != ':' || strlen(end + 1) != 64 ||
        ferry_unhex(end + 1, bytes) != 32)
        return ferry_error(err, FERRY_EUSAGE, "'%.100s' is no SEQ:HASH as `ferry audit head` prints it",
                           text);
    ret->seq = seq;
    memcpy(ret->hash, end + 1, sizeof ret->hash);
    return 0;
}

/* ---- Digests (docs/audit.md): every value as "LENGTH:BYTES\n", NULL as "-\n". ---- */

static void put_value(FILE *out, sqlite3_stmt *s, int i)
{
    if (sqlite3_column_type(s, i) == SQLITE_NULL) {
        fputs("-\n", out);
        return;
    }
    const void *bytes = sqlite3_column_blob(s, i); /* of a number: its decimal text */
    size_t n = (size_t)sqlite3_column_bytes(s, i);
    fprintf(out, "%zu:", n);
    fwrite(n ? bytes : "", 1, n, out);
    fputc('\n', out);
}

int ferry_audit_put_rows(struct ferry_journal *journal, FILE *out, const char *sql, sqlite3_int64 seq,
                         const char *mark, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, sql, &s, err);
    if (r < 0)
        return r;
    if (sqlite3_bind_parameter_count(s))
        sqlite3_bind_int64(s, 1, seq);
    while ((r = sqlite3_step(s)) == SQLITE_ROW) {
        fprintf(out, "%s\n", mark);
        for (int i = 0; i < sqlite3_column_count(s); i++)
            put_value(out, s, i);
    }
    return r == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read for the audit log", err);
}

static int put_record(struct ferry_journal *journal, FILE *out, sqlite3_int64 seq, struct ferry_err *err)
{
    int r = ferry_audit_put_rows(
        journal, out,
        "SELECT id, kind, undoes, user, reason, state, started_us, ended_us, deadline_us,"
        " stages_begun, plan_id, summary FROM txn WHERE seq = ?",
        seq, "txn", err);
    if (!r)
        r = ferry_audit_put_rows(journal, out,
                                 "SELECT stage, outcomes FROM stage WHERE txn = ? ORDER BY stage", seq,
                                 "stage", err);
    if (!r)
        r = ferry_audit_put_rows(journal, out,
                                 "SELECT router, key, expected, found FROM hand WHERE txn = ? ORDER BY rowid",
                                 seq, "hand", err);
    return r;
}

/* The row's number, and what an entry says of it. */
static int find(struct ferry_journal *journal, const char *id, sqlite3_int64 *ret_seq,
                char ret_state[static 24], char **ret_kind, char **ret_plan, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, "SELECT seq, state, kind, plan_id FROM txn WHERE id = ?", &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    r = sqlite3_step(s);
    if (r == SQLITE_DONE)
        return 1;
    if (r != SQLITE_ROW)
        return ferry_journal_error(journal, "read for the audit log", err);
    *ret_seq = sqlite3_column_int64(s, 0);
    snprintf(ret_state, 24, "%s", ferry_journal_text(s, 1));
    if (ret_kind)
        *ret_kind = ferry_strdup(ferry_journal_text(s, 2));
    if (ret_plan)
        *ret_plan = ferry_strdup(ferry_journal_text(s, 3));
    return 0;
}

int ferry_audit_digest(struct ferry_journal *journal, const char *id, char ret[static 65],
                       char ret_state[static 24], char **ret_kind, char **ret_plan, struct ferry_err *err)
{
    sqlite3_int64 seq = 0;
    char *text = NULL;
    size_t size;
    int r = find(journal, id, &seq, ret_state, ret_kind, ret_plan, err);
    if (r)
        return r;
    FILE *out = open_memstream(&text, &size);
    r = put_record(journal, out, seq, err);
    fclose(out);
    if (!r)
        ferry_sha256(text, size, ret);
    free(text);
    return r;
}

int ferry_audit_plan_digest(struct ferry_journal *journal, const char *id, char ret[static 65],
                            struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, "SELECT plan FROM txn WHERE id = ?", &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_ROW)
        return ferry_journal_error(journal, "read a plan for the audit log", err);
    const char *plan = ferry_journal_text(s, 0);
    ferry_sha256(plan, (size_t)sqlite3_column_bytes(s, 0), ret);
    return 0;
}

int ferry_audit_ids(struct ferry_journal *journal, char ***ret, size_t *ret_n, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    char **v = NULL;
    size_t n = 0;
    int r = ferry_journal_prepare(journal, "SELECT id FROM txn ORDER BY seq", &s, err);
    if (r < 0)
        return r;
    while ((r = sqlite3_step(s)) == SQLITE_ROW) {
        FERRY_GROW(v, n);
        v[n++] = ferry_strdup(ferry_journal_text(s, 0));
    }
    if (r != SQLITE_DONE) {
        ferry_audit_ids_free(v, n);
        return ferry_journal_error(journal, "list for the audit log", err);
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

void ferry_audit_ids_free(char **ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(ids[i]);
    free(ids);
}
