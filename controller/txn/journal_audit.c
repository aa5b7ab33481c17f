/* The audit log, written: a table of the journal's database whose entries are chained by hashes.
 *
 *  A1. An entry appears in the same SQLite transaction as what it describes: neither is there without the other, and no
 *      sync to disk is added.
 *  A2. An entry is one JSON object in one line.  hash = SHA-256 (hash of the entry before as 64 hex digits, then the
 *      entry's bytes as they are stored); before the first stand 64 zeros.
 *  A3. Entries are numbered from 1 without gaps, and are only added: triggers refuse everything else.
 *  A4. The first entry says that the log begins; one more for every transaction that was there before it follows.
 *  A5. The newest entry of a transaction carries the digest of its rows, the newest one that reserves or releases the
 *      digest of all reservations.
 *
 * journal_audit_read.c and journal_audit_tables.c have the digests, journal_audit_verify.c the proof,
 * docs/audit.md what it is worth.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MOST_TEXT 4096 /* bytes of one member: reasons hold what routers say */

static const char *const schema =
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL, hash TEXT NOT NULL);"
    "CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN"
    " SELECT RAISE(ABORT, 'the audit log is only added to'); END;"
    "CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN"
    " SELECT RAISE(ABORT, 'the audit log is only added to'); END;"; /* A3 */

void ferry_journal_act(struct ferry_journal *journal, const struct ferry_actor *actor)
{
    free(journal->actor);
    journal->actor = ferry_memdup(actor, sizeof *actor);
}

/* ---- Members. ---- */

/* Whatever was given, what is written is JSON. */
static void add_text(struct json_object *o, const char *name, const char *text)
{
    if (!text)
        return;
    FERRY_AUTOFREE char *clean = ferry_utf8_clean(ferry_strdup(text));
    size_t n = 0, left = strlen(clean);
    for (size_t len; left && n < MOST_TEXT; n += len, left -= len)
        len = ferry_utf8_length(clean + n, left);
    json_object_object_add(o, name, json_object_new_string_len(clean, (int)n));
}

char *ferry_audit_time(uint64_t us, char buf[static 32])
{
    time_t seconds = (time_t)(us / 1000000u);
    struct tm tm;
    char stamp[24];
    if (!gmtime_r(&seconds, &tm) || !strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm))
        strcpy(stamp, "?");
    snprintf(buf, 32, "%s.%06uZ", stamp, (unsigned)(us % 1000000u));
    return buf;
}

static void add_actor(struct ferry_journal *journal, struct json_object *o)
{
    struct ferry_actor self;
    const struct ferry_actor *a = journal->actor;
    if (!a) {
        ferry_actor_self(&self);
        a = &self;
    }
    add_text(o, "command", a->command[0] ? a->command : NULL);
    add_text(o, "user", a->user[0] ? a->user : NULL);
    json_object_object_add(o, "uid", json_object_new_int64(a->uid));
    if (a->login != FERRY_NO_LOGIN)
        json_object_object_add(o, "login", json_object_new_int64(a->login));
    add_text(o, "sudo_user", a->sudo_user[0] ? a->sudo_user : NULL);
    add_text(o, "via", a->via);
    json_object_object_add(o, "pid", json_object_new_int64(a->pid));
}

/* ---- The chain. ---- */

void ferry_audit_chain(const char *prev, const char *entry, size_t len, char ret[static 65])
{
    FERRY_AUTOFREE char *all = ferry_calloc(64 + len, 1);
    memcpy(all, prev, 64);
    memcpy(all + 64, entry, len);
    ferry_sha256(all, 64 + len, ret); /* A2 */
}

static int append(struct ferry_journal *journal, const struct ferry_audit_anchor *head,
                  struct json_object *entry, struct ferry_err *err)
{
    char hash[65];
    FERRY_STATEMENT *s = NULL;
    const char *text = json_object_to_json_string_ext(entry, JSON_C_TO_STRING_NOSLASHESCAPE);
    ferry_audit_chain(head->hash, text, strlen(text), hash);
    int r = ferry_journal_prepare(journal, "INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)", &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)(head->seq + 1));
    sqlite3_bind_text(s, 2, text, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, hash, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        return ferry_journal_error(journal, "write the audit log", err);
    snprintf(journal->audit_head, sizeof journal->audit_head, "%llu:%s", (unsigned long long)head->seq + 1,
             hash);
    return 0;
}

/* What every entry begins with. */
static struct json_object *entry_new(struct ferry_journal *journal, uint64_t seq, const char *what)
{
    char at[32];
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "seq", json_object_new_int64((int64_t)seq));
    add_text(o, "at", ferry_audit_time(journal->env->realtime_us(journal->env->ctx), at));
    add_text(o, "what", what);
    return o;
}

static void put_object(struct json_object **o)
{
    json_object_put(*o);
}
#define AUTO_OBJECT FERRY_CLEANUP(put_object) struct json_object

/* 1: the log has no entry yet; `ret` is what stands before the first. */
static int head_of(struct ferry_journal *journal, struct ferry_audit_anchor *ret, struct ferry_err *err)
{
    bool exists;
    int r = ferry_audit_exists(journal, &exists, err);
    if (r < 0)
        return r;
    *ret = (struct ferry_audit_anchor){0};
    memcpy(ret->hash, FERRY_AUDIT_ZERO, sizeof ret->hash);
    return exists ? ferry_audit_head(journal, ret, err) : 1;
}

/* The members that say which transaction it is, and how it stands. */
static int add_transaction(struct ferry_journal *journal, struct json_object *o,
                           const struct ferry_audit_entry *entry, struct ferry_err *err)
{
    char digest[65], plan_digest[65], tables_digest[65], state[24];
    FERRY_AUTOFREE char *kind = NULL, *plan = NULL;
    int r = ferry_audit_digest(journal, entry->tx, digest, state, &kind, &plan, err);
    if (r > 0)
        return ferry_error(err, FERRY_EIO, "%s/journal.db: transaction %s is not there to be audited",
                           journal->state_dir, entry->tx);
    if (!r && entry->with_plan)
        r = ferry_audit_plan_digest(journal, entry->tx, plan_digest, err);
    if (!r)
        r = ferry_audit_tables_digest(journal, entry->tx, tables_digest, err);
    if (r < 0)
        return r;
    add_text(o, "tx", entry->tx);
    add_text(o, "kind", kind);
    add_text(o, "plan", plan);
    add_text(o, "was", entry->was);
    add_text(o, "state", state);
    add_text(o, "text", entry->text);
    if (entry->with_plan)
        add_text(o, "plan_sha256", plan_digest);
    add_text(o, "record_sha256", digest); /* A5 */
    add_text(o, "tables_sha256", tables_digest);
    return 0;
}

static int add_reservations(struct ferry_journal *journal, struct json_object *o, struct ferry_err *err)
{
    char digest[65];
    int r = ferry_audit_reservations_digest(journal, digest, err);
    if (r == 0)
        add_text(o, "reservations_sha256", digest); /* A5 */
    return r;
}

static int add(struct ferry_journal *journal, const struct ferry_audit_anchor *head,
               const struct ferry_audit_entry *entry, struct ferry_err *err)
{
    AUTO_OBJECT *o = entry_new(journal, head->seq + 1, entry->what);
    if (entry->tx) {
        int r = add_transaction(journal, o, entry, err);
        if (r < 0)
            return r;
    } else {
        add_text(o, "text", entry->text);
    }
    if (entry->with_reservations) {
        int r = add_reservations(journal, o, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < FERRY_COUNT(entry->more) && entry->more[i].name; i++)
        add_text(o, entry->more[i].name, entry->more[i].value);
    add_actor(journal, o);
    return append(journal, head, o, err);
}

int ferry_audit_add(struct ferry_journal *journal, const struct ferry_audit_entry *entry,
                    struct ferry_err *err)
{
    struct ferry_audit_anchor head;
    assert(!sqlite3_get_autocommit(journal->db)); /* A1 */
    int r = ferry_audit_start(journal, err);
    if (r == 0)
        r = head_of(journal, &head, err);
    return r < 0 ? r : add(journal, &head, entry, err);
}

/* ---- The beginning. ---- */

/* SHA-256 over the digests of all of them, one after the other. */
static int digest_all(struct ferry_journal *journal, char *const *ids, size_t n, char ret[static 65],
                      struct ferry_err *err)
{
    FERRY_AUTOFREE char *all = ferry_calloc(n * 64 + 1, 1);
    char state[24], one[65];
    for (size_t i = 0; i < n; i++) {
        int r = ferry_audit_digest(journal, ids[i], one, state, NULL, NULL, err);
        if (r < 0)
            return r;
        memcpy(all + i * 64, one, 64);
    }
    ferry_sha256(all, n * 64, ret);
    return 0;
}

static int begin_log(struct ferry_journal *journal, struct ferry_audit_anchor *head, size_t n,
                     const char *records, struct ferry_err *err)
{
    char name[33];
    AUTO_OBJECT *o = entry_new(journal, 1, "log-begins");
    for (size_t i = 0; i < 2; i++) /* so that no two logs are alike */
        snprintf(name + 16 * i, 17, "%016llx", (unsigned long long)journal->env->random(journal->env->ctx));
    add_text(o, "log", name);
    json_object_object_add(o, "transactions", json_object_new_int64((int64_t)n));
    add_text(o, "records_sha256", records);
    add_actor(journal, o);
    int r = append(journal, head, o, err);
    return r < 0 ? r : ferry_audit_head(journal, head, err);
}

static int adopt(struct ferry_journal *journal, struct ferry_audit_anchor *head, char *const *ids, size_t n,
                 struct ferry_err *err)
{
    char records[65];
    int r = digest_all(journal, ids, n, records, err);
    if (!r)
        r = begin_log(journal, head, n, records, err);
    for (size_t i = 0; !r && i < n; i++) { /* A4 */
        r = add(journal, head, &(struct ferry_audit_entry){.what = "found", .tx = ids[i], .with_plan = true},
                err);
        if (!r)
            r = ferry_audit_head(journal, head, err);
    }
    return r;
}

int ferry_audit_start(struct ferry_journal *journal, struct ferry_err *err)
{
    struct ferry_audit_anchor head;
    bool exists;
    char **ids = NULL;
    size_t n = 0;
    int r = ferry_audit_exists(journal, &exists, err);
    if (r < 0 || exists) /* the table is made with its first entry */
        return r;
    if (sqlite3_exec(journal->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "create the audit log", err);
    r = head_of(journal, &head, err);
    if (r >= 0)
        r = ferry_audit_ids(journal, &ids, &n, err);
    if (r >= 0)
        r = adopt(journal, &head, ids, n, err);
    ferry_audit_ids_free(ids, n);
    return r;
}

void ferry_audit_tell(struct ferry_journal *journal)
{
    if (journal->audit_head[0])
        ferry_log(journal->env, FERRY_LOG_INFO, "audit head %s", journal->audit_head);
}
