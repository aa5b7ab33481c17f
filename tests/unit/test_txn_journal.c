/* The journal of transactions on simulated routers: its file, its locks, and what its records say.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"
#include "txn/journal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The file. ---- */

/* Whether another process could write into the journal now: SQLite's reserved byte (os.h). */
static bool others_may_write(const struct world *w)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", w->journal->state_dir);
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000001, .l_len = 1};
        int fd = open(path, O_RDWR | O_CLOEXEC);
        _exit(fd < 0 || fcntl(fd, F_GETLK, &lock) ? 2 : lock.l_type == F_UNLCK);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    assert_in_range(WEXITSTATUS(status), 0, 1);
    return WEXITSTATUS(status);
}

/* As the daemon's threads do, that look while one of them writes. */
static void opening_it_once_more_keeps_the_locks(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "three-site.json", "sim");
    struct ferry_journal *second = NULL;
    struct ferry_err err;
    struct stat st;
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/journal.db", w.journal->state_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_true(others_may_write(&w));
    assert_int_equal(sqlite3_exec(w.journal->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_false(others_may_write(&w));
    assert_int_equal(ferry_journal_open(w.journal->env, w.journal->state_dir, &second, &err), 0);
    ferry_journal_close(second);
    assert_false(others_may_write(&w));
    assert_int_equal(sqlite3_exec(w.journal->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    world_clear(&w);
}

/* ---- Its records. ---- */

static void records_say_what_was_done(void **unused)
{
    (void)unused;
    struct world w;
    struct ferry_err err = {0};
    enum ferry_txn_state state;
    struct ferry_txn_record *record = NULL, *got = NULL;
    world_init(&w, "three-site.json", "sim");
    struct stat st;
    FERRY_AUTOFREE char *file = ferry_asprintf("%s/journal.db", w.dir);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(ferry_journal_get(w.journal, NULL, &got, &err), -FERRY_EUSAGE);
    struct ferry_plan *plan = world_plan(&w, "app", "recovery");
    assert_int_equal(world_apply(&w, plan, NULL, &state, &record, &err), 0);
    assert_string_equal(record->summary, "app: primary -> recovery");
    assert_string_equal(record->user, "test");
    assert_string_equal(record->plan_id, plan->id);
    assert_int_equal(record->stages_begun, plan->n_stages);
    assert_true(record->ended_us >= record->started_us && record->started_us > 0);
    FERRY_AUTOFREE char *stored = ferry_plan_write(record->plan, true), *given = ferry_plan_write(plan, true);
    assert_string_equal(stored, given);
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t c = 0; c < plan->stages[s].n_changes; c++)
            assert_int_equal(ferry_txn_outcome_at(record, s, c, 0), FERRY_DONE);
    struct ferry_outage outage = {.vantage = "edge-third", .ms = 0.75, .lost = 1, .sent = 900};
    struct ferry_outage both[] = {outage, {.vantage = "edge-fourth", .ms = 300, .lasts = true}};
    assert_int_equal(ferry_journal_add_outage(w.journal, record->id, both, 2, &err), 0);
    assert_int_equal(ferry_journal_add_outage(w.journal, "no-such", &outage, 1, &err), -FERRY_EUSAGE);
    char part[24];
    snprintf(part, sizeof part, "%.15s", record->id);
    assert_int_equal(ferry_journal_get(w.journal, part, &got, &err), 0);
    assert_string_equal(got->id, record->id);
    assert_int_equal(got->n_outages, 2);
    assert_false(got->outages[0].lasts);
    assert_true(got->outages[1].lasts);
    assert_string_equal(got->outages[0].vantage, "edge-third");
    assert_true(got->outages[0].ms > 0.74 && got->outages[0].ms < 0.76);
    ferry_txn_record_free(got);
    assert_int_equal(ferry_journal_get(w.journal, "2", &got, &err), 0);
    ferry_txn_record_free(got);
    assert_int_equal(ferry_journal_get(w.journal, "3", &got, &err), -FERRY_EUSAGE);
    ferry_txn_record_free(record);
    ferry_plan_free(plan);
    world_clear(&w);
}

static void outcomes_are_packed(void **unused)
{
    (void)unused;
    enum ferry_outcome in[301], out[301];
    for (size_t n = 0; n < FERRY_COUNT(in); n++)
        for (unsigned seed = 0; seed < 5; seed++) {
            size_t len = 0;
            for (size_t i = 0; i < n; i++)
                in[i] = (enum ferry_outcome)(seed < 4 ? seed : (i * 7 + i / 5) % 4);
            FERRY_AUTOFREE uint8_t *blob = ferry_outcomes_encode(in, n, &len);
            assert_true(len == 2 || len == 1 + (n + 3) / 4);
            assert_true(seed == 4 || len == 2);
            assert_true(ferry_outcomes_decode(blob, len, out, n));
            assert_memory_equal(in, out, n * sizeof *in);
            assert_false(ferry_outcomes_decode(blob, len + 1, out, n));
            blob[0] = 9;
            assert_false(ferry_outcomes_decode(blob, len, out, n));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_it_once_more_keeps_the_locks),
        cmocka_unit_test(records_say_what_was_done),
        cmocka_unit_test(outcomes_are_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
