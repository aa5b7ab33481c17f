/* The proof of the audit log: the chain recomputed, and the transactions held against it.
 *
 *  V1. Each entry is judged against the stored hash of the one before it, so that what was changed is named, and not
 *      all that follows.
 *  V2. Log and rows are read in one SQLite transaction, and it ends before anything is recomputed: a reader
 *      holds back a writer's COMMIT.
 *
 * journal_audit.c has the invariants A1 to A5 that are held here.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/hash.h"
#include "base/mem.h"
#include "model/json.h"
#include "model/map.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A transaction as its rows say. */
struct row {
    char *id;
    char state[24], digest[65], tables_digest[65];
};

/* A transaction as the log says. */
struct heard {
    char id[24], state[24], digest[65], plan_digest[65];
    char tables_digest[65]; /* "": that entry is of a Ferry which did not say */
    uint64_t seq;           /* of its newest entry */
    bool there;             /* the journal has its row */
};

struct proof {
    struct ferry_journal *journal;
    struct ferry_audit_report report;
    struct ferry_audit_line *lines;
    size_t n_lines;
    uint64_t most; /* the highest number that an entry ever had, as SQLite remembers it */
    char **ids;
    size_t n_ids;
    struct row *rows; /* [id] */
    struct heard **heard;
    size_t n_heard;
    struct ferry_map by_id; /* into heard */
    char reservations[65];  /* digest of the table */
    struct {
        uint64_t seq; /* of the newest entry about them; 0: none is */
        char digest[65];
    } reserved;
};

static FERRY_PRINTF(4, 5) void problem(struct proof *p, uint64_t seq, const char *tx, const char *fmt, ...)
{
    struct ferry_audit_report *r = &p->report;
    if (r->n_problems++ >= FERRY_AUDIT_MOST)
        return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = r->n_problems - 1;
    FERRY_GROW(r->problems, n);
    r->problems[n] = (struct ferry_audit_problem){.seq = seq, .text = ferry_strdup(text)};
    snprintf(r->problems[n].tx, sizeof r->problems[n].tx, "%s", tx);
}

/* ---- What is there. ---- */

/* AUTOINCREMENT keeps it where entries were deleted. */
static int read_most(struct proof *p, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r =
        ferry_journal_prepare(p->journal, "SELECT seq FROM sqlite_sequence WHERE name = 'audit'", &s, err);
    if (r < 0)
        return r;
    if (sqlite3_step(s) == SQLITE_ROW)
        p->most = (uint64_t)sqlite3_column_int64(s, 0);
    return 0;
}

static int read_rows(struct proof *p, struct ferry_err *err)
{
    int r = ferry_audit_ids(p->journal, &p->ids, &p->n_ids, err);
    p->rows = ferry_calloc(p->n_ids, sizeof *p->rows);
    for (size_t i = 0; r == 0 && i < p->n_ids; i++) {
        p->rows[i].id = p->ids[i];
        r = ferry_audit_digest(p->journal, p->ids[i], p->rows[i].digest, p->rows[i].state, NULL, NULL, err);
        if (r == 0)
            r = ferry_audit_tables_digest(p->journal, p->ids[i], p->rows[i].tables_digest, err);
    }
    return r < 0 ? r : ferry_audit_reservations_digest(p->journal, p->reservations, err);
}

static int load(struct proof *p, struct ferry_err *err) /* V2 */
{
    if (sqlite3_exec(p->journal->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(p->journal, "begin", err);
    int r = ferry_audit_list(p->journal, &p->lines, &p->n_lines, err);
    if (!r)
        r = read_most(p, err);
    if (!r)
        r = read_rows(p, err);
    sqlite3_exec(p->journal->db, "ROLLBACK", NULL, NULL, NULL);
    return r < 0 ? r : 0;
}

/* ---- The chain. ---- */

/* A member that is a text which fits; else "". */
static const char *member(struct ferry_json *doc, const char *name, size_t most)
{
    struct ferry_err ignored;
    const char *text = "";
    uint32_t v = ferry_json_get(doc, FERRY_JSON_ROOT, name);
    if (v == FERRY_JSON_NONE || ferry_json_string(doc, v, &text, &ignored) < 0 || strlen(text) >= most)
        return "";
    return text;
}

static struct heard *hear(struct proof *p, const char *id)
{
    uint32_t at = ferry_map_get(&p->by_id, id, strlen(id));
    if (at != FERRY_MAP_NONE)
        return p->heard[at];
    struct heard *h = ferry_calloc(1, sizeof *h);
    snprintf(h->id, sizeof h->id, "%s", id);
    FERRY_GROW(p->heard, p->n_heard);
    p->heard[p->n_heard] = h;
    ferry_map_add(&p->by_id, h->id, strlen(h->id), (uint32_t)p->n_heard++);
    return h;
}

/* What an entry says of its transaction. */
static void take(struct proof *p, struct ferry_json *doc, uint64_t seq)
{
    const char *id = member(doc, "tx", 24), *was = member(doc, "was", 24), *what = member(doc, "what", 24);
    if (!strcmp(what, "reserve") || !strcmp(what, "release")) {
        p->reserved.seq = seq;
        snprintf(p->reserved.digest, sizeof p->reserved.digest, "%s", member(doc, "reservations_sha256", 65));
    }
    if (!*id)
        return;
    struct heard *h = hear(p, id);
    if (*was && h->seq && strcmp(was, h->state))
        problem(p, seq, id, "says that the transaction was %s; entry %llu left it %s", was,
                (unsigned long long)h->seq, h->state);
    h->seq = seq;
    snprintf(h->state, sizeof h->state, "%s", member(doc, "state", 24));
    snprintf(h->digest, sizeof h->digest, "%s", member(doc, "record_sha256", 65));
    snprintf(h->tables_digest, sizeof h->tables_digest, "%s", member(doc, "tables_sha256", 65));
    const char *plan = member(doc, "plan_sha256", 65);
    if (*plan)
        snprintf(h->plan_digest, sizeof h->plan_digest, "%s", plan);
}

static void read_entry(struct proof *p, const struct ferry_audit_line *line)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    struct ferry_err err;
    int64_t seq = 0;
    if (ferry_json_parse("entry", line->entry, strlen(line->entry), NULL, NULL, &doc, &err) < 0 ||
        ferry_json_need_int(doc, FERRY_JSON_ROOT, "seq", 1, INT64_MAX, &seq, &err) < 0) {
        problem(p, line->seq, "", "is no entry: %s", err.text);
        return;
    }
    if ((uint64_t)seq != line->seq)
        problem(p, line->seq, "", "calls itself number %lld", (long long)seq);
    if (line == p->lines && strcmp(member(doc, "what", 24), "log-begins")) /* A4 */
        problem(p, line->seq, "", "is the first one, and does not say that the log begins");
    take(p, doc, line->seq);
}

static void check_chain(struct proof *p)
{
    const char *prev = FERRY_AUDIT_ZERO;
    uint64_t before = 0;
    for (size_t i = 0; i < p->n_lines; i++) {
        const struct ferry_audit_line *line = &p->lines[i];
        char hash[65];
        if (line->seq != before + 1) /* A3 */
            problem(p, line->seq, "", "follows number %llu: what stood between is gone",
                    (unsigned long long)before);
        ferry_audit_chain(prev, line->entry, strlen(line->entry), hash);
        if (strcmp(hash, line->hash)) /* A2 */
            problem(p, line->seq, "",
                    "was changed, or does not follow the one before: its hash is not that "
                    "of its text");
        read_entry(p, line);
        before = line->seq;
        prev = strlen(line->hash) == 64 ? line->hash : FERRY_AUDIT_ZERO; /* V1 */
    }
    if (p->most > before)
        problem(p, 0, "", "the log ends at number %llu, and has had %llu: its end was cut off",
                (unsigned long long)before, (unsigned long long)p->most);
}

/* ---- The transactions. ---- */

/* One at a time, after the reading: plans never change (J6). */
static int check_plan(struct proof *p, const struct heard *h, struct ferry_err *err)
{
    char digest[65];
    int r = ferry_audit_plan_digest(p->journal, h->id, digest, err);
    if (!r && strcmp(digest, h->plan_digest))
        problem(p, h->seq, h->id, "the plan that is stored is not the one that was begun");
    return r;
}

static int check_transactions(struct proof *p, struct ferry_err *err)
{
    int r = 0;
    for (size_t i = 0; !r && i < p->n_ids; i++) {
        const struct row *row = &p->rows[i];
        uint32_t at = ferry_map_get(&p->by_id, row->id, strlen(row->id));
        if (at == FERRY_MAP_NONE) {
            problem(p, 0, row->id, "the log knows nothing of it");
            continue;
        }
        struct heard *h = p->heard[at];
        h->there = true;
        if (strcmp(row->state, h->state))
            problem(p, h->seq, row->id, "is %s; the log left it %s", row->state, h->state);
        else if (strcmp(row->digest, h->digest)) /* A5 */
            problem(p, h->seq, row->id,
                    "its rows (times, outcomes, reason, hands) were changed since the "
                    "log's last entry about it");
        else if (*h->tables_digest && strcmp(row->tables_digest, h->tables_digest))
            problem(p, h->seq, row->id,
                    "its debts, hooks, overrides or assignments were changed since the log's last entry "
                    "about it");
        r = check_plan(p, h, err);
    }
    for (size_t i = 0; !r && i < p->n_heard; i++)
        if (!p->heard[i]->there)
            problem(p, p->heard[i]->seq, p->heard[i]->id, "is gone from the journal");
    return r;
}

/* Where no entry speaks of reservations there are none; an entry of a Ferry that said no digest holds nothing. */
static void check_reservations(struct proof *p)
{
    char none[65];
    ferry_sha256("", 0, none);
    const char *expected = p->reserved.seq ? p->reserved.digest : none;
    if (*expected && strcmp(p->reservations, expected))
        problem(p, p->reserved.seq, "",
                "the reservations of addresses were changed since the log's last entry about them");
}

static void check_anchor(struct proof *p, const struct ferry_audit_anchor *anchor)
{
    size_t n = p->n_lines;
    for (size_t i = 0; i < n; i++)
        if (p->lines[i].seq == anchor->seq) {
            if (strcmp(p->lines[i].hash, anchor->hash))
                problem(p, anchor->seq, "", "is not the one of the anchor: the log was written anew");
            return;
        }
    problem(p, 0, "", "the log ends at number %llu, before the anchor's %llu: its end was cut off",
            (unsigned long long)(n ? p->lines[n - 1].seq : 0), (unsigned long long)anchor->seq);
}

static void clear(struct proof *p)
{
    ferry_audit_report_clear(&p->report);
    ferry_audit_lines_free(p->lines, p->n_lines);
    ferry_audit_ids_free(p->ids, p->n_ids);
    free(p->rows);
    for (size_t i = 0; i < p->n_heard; i++)
        free(p->heard[i]);
    free(p->heard);
    ferry_map_clear(&p->by_id);
}

int ferry_audit_verify(struct ferry_journal *journal, const struct ferry_audit_anchor *anchor,
                       struct ferry_audit_report *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(clear) struct proof p = {.journal = journal};
    int r = load(&p, err);
    if (r < 0)
        return r;
    p.report.entries = p.n_lines;
    p.report.transactions = p.n_ids;
    check_chain(&p);
    if (p.n_lines) {
        const struct ferry_audit_line *last = &p.lines[p.n_lines - 1];
        p.report.head.seq = last->seq;
        memcpy(p.report.head.hash, last->hash, sizeof last->hash);
        r = check_transactions(&p, err);
        check_reservations(&p);
    } else if (p.n_ids) {
        problem(&p, 0, "",
                "there is no log, and there are transactions: they come from a Ferry that had "
                "none, or it was taken away");
    }
    if (r < 0)
        return r;
    if (anchor)
        check_anchor(&p, anchor);
    *ret = p.report;
    p.report = (struct ferry_audit_report){0};
    return 0;
}

void ferry_audit_report_clear(struct ferry_audit_report *report)
{
    for (size_t i = 0; i < report->n_problems && i < FERRY_AUDIT_MOST; i++)
        free(report->problems[i].text);
    free(report->problems);
    *report = (struct ferry_audit_report){0};
}
