/* The audit log: what is written, and that every way of changing it afterwards is found, at the right entry.
 *
 * tests/crash/test_kill.c proves it after the controller was killed; tests/scenario/test_audit.py from outside.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"
#include "txn/journal_audit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- A world with a history. ---- */

static void apply(struct world *w, const char *site, const char *kind)
{
    struct ferry_err err;
    enum ferry_txn_state state;
    struct ferry_txn_options options = {.kind = kind, .user = "test"};
    struct ferry_plan *plan = world_plan(w, "app", site);
    if (world_apply(w, plan, &options, &state, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(state, FERRY_TXN_COMMITTED);
    ferry_plan_free(plan);
}

/* There, back, and there again. */
static void three_moves(struct world *w)
{
    world_init(w, "three-site.json", "sim");
    apply(w, "recovery", "apply");
    apply(w, "primary", "apply");
    apply(w, "recovery", "apply");
}

static size_t entries_of(struct world *w)
{
    struct ferry_err err;
    struct ferry_audit_line *lines = NULL;
    size_t n = 0;
    assert_int_equal(ferry_audit_list(w->journal, &lines, &n, &err), 0);
    ferry_audit_lines_free(lines, n);
    return n;
}

/* By another hand than Ferry's. */
static void meddle(struct world *w, const char *sql)
{
    sqlite3 *db = NULL;
    char *said = NULL;
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", w->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &said) != SQLITE_OK)
        fail_msg("%s: %s", sql, said);
    sqlite3_close(db);
}

static void report_of(struct world *w, const struct ferry_audit_anchor *anchor,
                      struct ferry_audit_report *ret)
{
    struct ferry_err err;
    if (ferry_audit_verify(w->journal, anchor, ret, &err) < 0)
        fail_msg("%s", err.text);
}

/* ---- What is written. ---- */

static void every_write_has_its_entry(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_audit_line *lines = NULL;
    size_t n = 0;
    struct ferry_actor actor = {
        .uid = 1007, .user = "alice", .login = 1003, .sudo_user = "b\xff\"b", .pid = 42, .via = "socket"};
    snprintf(actor.command, sizeof actor.command, "apply");
    world_init(&w, "three-site.json", "sim");
    ferry_journal_act(w.journal, &actor);
    apply(&w, "recovery", "apply");
    assert_int_equal(ferry_audit_list(w.journal, &lines, &n, &err), 0);
    assert_true(n >= 3);
    static const char *const what[] = {"\"what\":\"log-begins\"", "\"what\":\"begin\"",
                                       "\"what\":\"commit\""};
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(lines[i].seq, i + 1);
        assert_true(i >= 3 || strstr(lines[i].entry, what[i]));
        assert_non_null(strstr(lines[i].entry, "\"command\":\"apply\",\"user\":\"alice\",\"uid\":1007,"
                                               "\"login\":1003,\"sudo_user\":\"b?\\\"b\",\"via\":\"socket\","
                                               "\"pid\":42}"));
    }
    assert_non_null(strstr(lines[2].entry, "\"was\":\"applying\",\"state\":\"committed\""));
    ferry_audit_lines_free(lines, n);
    world_clear(&w);
}

static void nothing_is_fine(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_audit_anchor head;
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
    world_init(&w, "three-site.json", "sim");
    report_of(&w, NULL, &report);
    assert_int_equal(report.n_problems, 0);
    assert_int_equal(report.head.seq, 0);
    assert_int_equal(ferry_audit_head(w.journal, &head, &err), 1);
    world_clear(&w);
}

/* A journal from before there was a log: the log begins with what it finds. */
static void an_old_journal_is_taken_over(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_audit_line *lines = NULL;
    size_t n = 0;
    three_moves(&w);
    meddle(&w, "DROP TABLE audit");
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report before = {0};
    report_of(&w, NULL, &before);
    assert_int_equal(before.n_problems, 1); /* it could have been taken away */
    apply(&w, "primary", "apply");
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
    report_of(&w, NULL, &report);
    assert_int_equal(report.n_problems, 0);
    assert_int_equal(report.transactions, 4);
    assert_int_equal(ferry_audit_list(w.journal, &lines, &n, &err), 0);
    assert_non_null(strstr(lines[0].entry, "\"transactions\":3,"));
    for (size_t i = 1; i <= 3; i++)
        assert_non_null(strstr(lines[i].entry, "\"what\":\"found\""));
    assert_non_null(strstr(lines[4].entry, "\"what\":\"begin\""));
    ferry_audit_lines_free(lines, n);
    /* What was found is held on to, too. */
    meddle(&w, "UPDATE txn SET user = 'somebody' WHERE seq = 1");
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report after = {0};
    report_of(&w, NULL, &after);
    assert_int_equal(after.n_problems, 1);
    assert_int_equal(after.problems[0].seq, 2);
    world_clear(&w);
}

static void it_is_only_added_to(void **unused)
{
    (void)unused;
    static const char *const attempts[] = {"UPDATE audit SET entry = '{}' WHERE seq = 2",
                                           "DELETE FROM audit WHERE seq = 2", "DELETE FROM audit"};
    struct world w;
    world_init(&w, "three-site.json", "sim");
    apply(&w, "recovery", "apply");
    for (size_t i = 0; i < FERRY_COUNT(attempts); i++)
        assert_int_equal(sqlite3_exec(w.journal->db, attempts[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
    report_of(&w, NULL, &report);
    assert_int_equal(report.n_problems, 0);
    world_clear(&w);
}

/* An entry outside of a journal write, as other parts add them; and none where the write fails. */
static void others_add_theirs(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_audit_line *lines = NULL;
    size_t n = 0;
    world_init(&w, "three-site.json", "sim");
    const struct ferry_audit_entry entry = {
        .what = "override", .text = "because", .more = {{"rule", "budget"}, {"value", "x\ny"}}};
    for (int keep = 0; keep < 2; keep++) {
        assert_int_equal(sqlite3_exec(w.journal->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(ferry_audit_add(w.journal, &entry, &err), 0);
        sqlite3_exec(w.journal->db, keep ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL);
        assert_int_equal(entries_of(&w), keep ? 2 : 0);
    }
    assert_int_equal(ferry_audit_list(w.journal, &lines, &n, &err), 0);
    assert_non_null(strstr(lines[1].entry, "\"what\":\"override\",\"text\":\"because\",\"rule\":\"budget\","
                                           "\"value\":\"x\\ny\","));
    ferry_audit_lines_free(lines, n);
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
    report_of(&w, NULL, &report);
    assert_int_equal(report.n_problems, 0);
    /* Of a transaction that is not there nothing can be said. */
    assert_int_equal(sqlite3_exec(w.journal->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        ferry_audit_add(w.journal, &(struct ferry_audit_entry){.what = "commit", .tx = "none"}, &err),
        -FERRY_EIO);
    sqlite3_exec(w.journal->db, "ROLLBACK", NULL, NULL, NULL);
    world_clear(&w);
}

/* ---- What is found. ---- */

#define NO_TRIGGERS "DROP TRIGGER audit_update; DROP TRIGGER audit_delete; "

static void every_entry_is_held(void **unused)
{
    (void)unused;
    static const struct {
        const char *sql; /* %zu: the entry */
        int first;       /* where it shows, from the entry on; -1: before any entry */
        size_t least;    /* problems */
    } ways[] = {
        {"UPDATE audit SET entry = replace(entry, 'what', 'whaT') WHERE seq = %zu", 0, 1},
        {"UPDATE audit SET entry = entry || ' ' WHERE seq = %zu", 0, 1},
        {"UPDATE audit SET entry = CAST(entry AS TEXT) || char(0) || 'x' WHERE seq = %zu", 0, 1},
        {"UPDATE audit SET entry = 'x' WHERE seq = %zu", 0, 1},
        {"UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = %zu", 0, 1},
        {"UPDATE audit SET hash = '' WHERE seq = %zu", 0, 1},
        {"DELETE FROM audit WHERE seq = %zu", 1, 1},
        {"UPDATE audit SET seq = 1000 + seq WHERE seq = %zu", 1, 1},
        {"UPDATE audit SET seq = -1 WHERE seq = %zu; ", -1, 1},
    };
    struct world w;
    three_moves(&w);
    size_t n = entries_of(&w);
    FERRY_AUTOFREE char *keep = ferry_asprintf("%s/keep.db", w.dir);
    FERRY_AUTOFREE char *save = ferry_asprintf(NO_TRIGGERS "VACUUM INTO '%s'", keep);
    FERRY_AUTOFREE char *back = ferry_asprintf("ATTACH '%s' AS keep; DELETE FROM audit; INSERT INTO audit "
                                               "SELECT * FROM keep.audit; DETACH keep;"
                                               "UPDATE sqlite_sequence SET seq = %zu WHERE name = 'audit'",
                                               keep, n);
    meddle(&w, save);
    for (size_t way = 0; way < FERRY_COUNT(ways); way++)
        for (size_t k = 1; k <= n; k++) {
            FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
            char sql[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(sql, sizeof sql, ways[way].sql, k);
#pragma GCC diagnostic pop
            meddle(&w, sql);
            report_of(&w, NULL, &report);
            if (report.n_problems < ways[way].least)
                fail_msg("not found: %s", sql);
            size_t shows = ways[way].first < 0 ? UINT64_MAX : k + (size_t)ways[way].first;
            if (ways[way].first > 0 && k == n) /* nothing follows that would show it but the number */
                shows = way == 7 ? 1000 + n : 0;
            if (report.problems[0].seq != shows)
                fail_msg("%s: shows at %lld, not %lld: %s", sql, (long long)report.problems[0].seq,
                         (long long)shows, report.problems[0].text);
            meddle(&w, back);
        }
    FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
    report_of(&w, NULL, &report);
    assert_int_equal(report.n_problems, 0); /* it was put back each time */
    world_clear(&w);
}

static void every_row_is_held(void **unused)
{
    (void)unused;
    static const char *const ways[] = {
        "UPDATE txn SET state = 'undone' WHERE seq = 2",
        "UPDATE txn SET user = 'nobody' WHERE seq = 2",
        "UPDATE txn SET reason = 'another' WHERE seq = 2",
        "UPDATE txn SET started_us = started_us + 1 WHERE seq = 2",
        "UPDATE txn SET ended_us = ended_us + 1 WHERE seq = 2",
        "UPDATE txn SET summary = summary || ' ' WHERE seq = 2",
        "UPDATE txn SET plan_id = 'x' WHERE seq = 2",
        "UPDATE txn SET plan = replace(plan, 'recovery', 'Recovery') WHERE seq = 2",
        "UPDATE stage SET outcomes = x'0002' WHERE txn = 2 AND stage = 1",
        "DELETE FROM stage WHERE txn = 2 AND stage = 0",
        "INSERT INTO hand VALUES (2, 'edge-third', 'k', 'e', 'f')",
        "DELETE FROM stage WHERE txn = 2; DELETE FROM hand WHERE txn = 2; DELETE FROM event WHERE txn = 2;"
        "DELETE FROM txn WHERE seq = 2",
        "INSERT INTO txn SELECT 99, 'x', kind, undoes, user, reason, state, started_us, ended_us, "
        "deadline_us, stages_begun, plan_id, summary, plan FROM txn WHERE seq = 2",
    };
    for (size_t i = 0; i < FERRY_COUNT(ways); i++) {
        struct world w;
        FERRY_CLEANUP(ferry_audit_report_clear) struct ferry_audit_report report = {0};
        three_moves(&w);
        meddle(&w, ways[i]);
        report_of(&w, NULL, &report);
        if (report.n_problems != 1)
            fail_msg("%s: %zu problems", ways[i], report.n_problems);
        assert_true(report.problems[0].tx[0]);
        world_clear(&w);
    }
}

/* What cannot be seen from inside is seen from an anchor. */
static void an_anchor_holds_the_end(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err;
    struct ferry_audit_anchor head, parsed;
    char text[96];
    world_init(&w, "three-site.json", "sim");
    apply(&w, "recovery", "apply");
    FERRY_AUTOFREE char *old = ferry_asprintf("cp %s/journal.db %s/old.db", w.dir, w.dir);
    assert_int_equal(system(old), 0);
    apply(&w, "primary", "apply");
    assert_int_equal(ferry_audit_head(w.journal, &head, &err), 0);
    snprintf(text, sizeof text, "%llu:%s", (unsigned long long)head.seq, head.hash);
    assert_int_equal(ferry_audit_anchor_parse(text, &parsed, &err), 0);
    assert_int_equal(parsed.seq, head.seq);
    assert_string_equal(parsed.hash, head.hash);
    static const char *const bad[] = {"", "1", "1:", ":", "x:y", "0:ab", "-1:ab", "1:ab"};
    for (size_t i = 0; i < FERRY_COUNT(bad); i++)
        assert_int_equal(ferry_audit_anchor_parse(bad[i], &parsed, &err), -FERRY_EUSAGE);
    FERRY_CLEANUP(ferry_audit_report_clear)
    struct ferry_audit_report whole = {0}, cut = {0}, anchored = {0}, anew = {0};
    report_of(&w, &head, &whole);
    assert_int_equal(whole.n_problems, 0);
    /* The whole file as it was before the second move: whole in itself. */
    ferry_journal_close(w.journal);
    FERRY_AUTOFREE char *back = ferry_asprintf("cp %s/old.db %s/journal.db", w.dir, w.dir);
    assert_int_equal(system(back), 0);
    assert_int_equal(ferry_journal_open(&w.env, w.dir, &w.journal, &err), 0);
    report_of(&w, NULL, &cut);
    assert_int_equal(cut.n_problems, 0);
    report_of(&w, &head, &anchored);
    assert_int_equal(anchored.n_problems, 1);
    /* Written anew, and longer. */
    assert_int_equal(sqlite3_exec(w.journal->db, "DROP TABLE audit", NULL, NULL, NULL), SQLITE_OK);
    apply(&w, "recovery", "apply");
    report_of(&w, &head, &anew);
    assert_true(anew.n_problems >= 1);
    world_clear(&w);
}

/* ---- Side by side. ---- */

struct reader {
    struct world *w;
    atomic_bool stop;
    atomic_uint looks; /* those that were begun */
    unsigned whole;
};

static void *read_on(void *ctx)
{
    struct reader *r = ctx;
    struct ferry_journal *journal = NULL;
    struct ferry_err err;
    if (ferry_journal_open(&r->w->env, r->w->dir, &journal, &err) < 0)
        return NULL;
    while (!atomic_load(&r->stop)) {
        struct ferry_audit_report report = {0};
        r->looks++;
        if (!ferry_audit_verify(journal, NULL, &report, &err))
            r->whole += report.n_problems == 0;
        ferry_audit_report_clear(&report);
        usleep(200);
    }
    ferry_journal_close(journal);
    return NULL;
}

static void a_reader_verifies_while_it_is_written(void **unused)
{
    (void)unused;
    struct world w;
    pthread_t thread;
    struct reader reader = {.w = &w};
    world_init(&w, "three-site.json", "sim");
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (int i = 0; i < 6 || (reader.looks <= 3 && i < 1000); i++)
        apply(&w, i % 2 ? "primary" : "recovery", "apply");
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    assert_true(reader.looks > 3);
    assert_int_equal(reader.looks, reader.whole);
    world_clear(&w);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_write_has_its_entry), T(nothing_is_fine),         T(an_old_journal_is_taken_over),
        T(it_is_only_added_to),       T(others_add_theirs),       T(every_entry_is_held),
        T(every_row_is_held),         T(an_anchor_holds_the_end), T(a_reader_verifies_while_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
