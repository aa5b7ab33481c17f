/* The journal's tables of hooks and overrides, and what hold-down asks of the past.
 *
 * Both are written in the SQLite transactions of journal.c: with the plan, and with every save.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "base/mem.h"
#include "model/map.h"

#include <string.h>

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS hook (txn INTEGER NOT NULL REFERENCES txn, n INTEGER NOT NULL, place TEXT "
    "NOT NULL,"
    " what TEXT NOT NULL, added INTEGER NOT NULL, state TEXT NOT NULL, started_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL, status INTEGER NOT NULL, tries INTEGER NOT NULL, user TEXT, output TEXT,"
    " undo_output TEXT, PRIMARY KEY (txn, n)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS override (txn INTEGER NOT NULL REFERENCES txn, rule TEXT NOT NULL, user TEXT,"
    " at_us INTEGER NOT NULL, refused TEXT, PRIMARY KEY (txn, rule)) WITHOUT ROWID;";

int ferry_journal_hooks_set_up(struct ferry_journal *journal, struct ferry_err *err)
{
    int r = ferry_journal_has_table(journal, "override", err); /* the last one that is made */
    if (r || sqlite3_db_readonly(journal->db, "main") == 1)
        return r < 0 ? r : 0; /* only to be looked at: then there are none */
    return ferry_journal_execute(journal, schema, "create the tables of hooks", err);
}

/* ---- Writing. ---- */

static int put(struct ferry_journal *journal, sqlite3_stmt *s, struct ferry_err *err)
{
    if (sqlite3_step(s) != SQLITE_DONE)
        return ferry_journal_error(journal, "write hooks", err);
    sqlite3_reset(s);
    return 0;
}

int ferry_journal_put_hooks(struct ferry_journal *journal, const struct ferry_txn_record *r,
                            sqlite3_int64 seq, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc =
        !r->n_hooks
            ? 0
            : ferry_journal_prepare(
                  journal,
                  "INSERT INTO hook VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (txn, n) DO"
                  " UPDATE SET state = excluded.state, started_us = excluded.started_us,"
                  " ended_us = excluded.ended_us, status = excluded.status, tries = excluded.tries,"
                  " user = excluded.user, output = excluded.output, undo_output = excluded.undo_output",
                  &s, err);
    for (size_t i = 0; !rc && i < r->n_hooks; i++) {
        const struct ferry_txn_hook *h = &r->hooks[i];
        FERRY_AUTOFREE char *what = h->hook.pause ? ferry_strdup(h->hook.pause)
                                                  : ferry_argv_text(h->hook.run ? h->hook.run : h->hook.undo);
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_int64(s, 2, (sqlite3_int64)i);
        sqlite3_bind_text(s, 3, ferry_boundary_name(h->hook.at), -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, what, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int(s, 5, h->added);
        sqlite3_bind_text(s, 6, ferry_hook_state_name(h->state), -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 7, (sqlite3_int64)h->started_us);
        sqlite3_bind_int64(s, 8, (sqlite3_int64)h->ended_us);
        sqlite3_bind_int(s, 9, h->status);
        sqlite3_bind_int64(s, 10, h->tries);
        sqlite3_bind_text(s, 11, h->user, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 12, h->output, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 13, h->undo_output, -1, SQLITE_STATIC);
        rc = put(journal, s, err);
    }
    return rc;
}

int ferry_journal_put_overrides(struct ferry_journal *journal, const struct ferry_txn_record *r,
                                sqlite3_int64 seq, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = !r->n_overrides
                 ? 0
                 : ferry_journal_prepare(journal, "INSERT INTO override VALUES (?, ?, ?, ?, ?)", &s, err);
    for (size_t i = 0; !rc && i < r->n_overrides; i++) {
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_text(s, 2, r->overrides[i].rule, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 3, r->overrides[i].user, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 4, (sqlite3_int64)r->overrides[i].at_us);
        sqlite3_bind_text(s, 5, r->overrides[i].refused, -1, SQLITE_STATIC);
        rc = put(journal, s, err);
    }
    return rc;
}

/* ---- Reading. ---- */

static char *text_at(sqlite3_stmt *s, int column)
{
    return ferry_strdup((const char *)sqlite3_column_text(s, column));
}

static int damaged(struct ferry_journal *journal, const struct ferry_txn_record *r, struct ferry_err *err)
{
    return ferry_error(err, FERRY_EIO, "%s/journal.db: damaged: the hooks of transaction %s",
                       journal->state_dir, r->id);
}

static bool parse_names(sqlite3_stmt *s, struct ferry_txn_hook *h)
{
    const char *place = (const char *)sqlite3_column_text(s, 0),
               *state = (const char *)sqlite3_column_text(s, 3);
    unsigned at = 0, known = FERRY_HOOK_WAITING;
    while (at < FERRY_BOUNDARIES && (!place || strcmp(place, ferry_boundary_name((enum ferry_boundary)at))))
        at++;
    while (known <= FERRY_HOOK_UNDO_FAILED &&
           (!state || strcmp(state, ferry_hook_state_name((enum ferry_hook_state)known))))
        known++;
    h->hook.at = (enum ferry_boundary)at;
    h->state = (enum ferry_hook_state)known;
    return at < FERRY_BOUNDARIES && known <= FERRY_HOOK_UNDO_FAILED;
}

static int hook_from_row(struct ferry_journal *journal, sqlite3_stmt *s, struct ferry_hooks *planned,
                         size_t *used, struct ferry_txn_record *r, struct ferry_err *err)
{
    FERRY_GROW(r->hooks, r->n_hooks);
    struct ferry_txn_hook *h = &r->hooks[r->n_hooks++];
    *h = (struct ferry_txn_hook){.added = sqlite3_column_int(s, 2) != 0};
    if (!parse_names(s, h))
        return damaged(journal, r, err);
    if (h->added) {
        h->hook.pause = text_at(s, 1);
    } else if (*used < planned->n && planned->v[*used].at == h->hook.at) {
        h->hook = planned->v[*used];
        planned->v[(*used)++] = (struct ferry_hook){0}; /* moved */
    } else {
        return damaged(journal, r, err);
    }
    h->started_us = (uint64_t)sqlite3_column_int64(s, 4);
    h->ended_us = (uint64_t)sqlite3_column_int64(s, 5);
    h->status = sqlite3_column_int(s, 6);
    h->tries = (unsigned)sqlite3_column_int64(s, 7);
    h->user = text_at(s, 8);
    h->output = text_at(s, 9);
    h->undo_output = text_at(s, 10);
    return 0;
}

static int get_hooks(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                     struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    FERRY_CLEANUP(ferry_hooks_clear) struct ferry_hooks planned = ferry_hooks_copy(&r->plan->hooks);
    size_t used = 0;
    int rc =
        ferry_journal_prepare(journal,
                              "SELECT place, what, added, state, started_us, ended_us, status, tries, user,"
                              " output, undo_output FROM hook WHERE txn = ? ORDER BY n",
                              &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        int h = hook_from_row(journal, s, &planned, &used, r, err);
        if (h < 0)
            return h;
    }
    if (rc != SQLITE_DONE)
        return ferry_journal_error(journal, "read hooks", err);
    return used == planned.n ? 0 : damaged(journal, r, err);
}

static int get_overrides(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                         struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int rc = ferry_journal_prepare(
        journal, "SELECT rule, user, at_us, refused FROM override WHERE txn = ? ORDER BY rule", &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, seq);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        FERRY_GROW(r->overrides, r->n_overrides);
        r->overrides[r->n_overrides++] =
            (struct ferry_txn_override){.rule = text_at(s, 0),
                                        .user = text_at(s, 1),
                                        .at_us = (uint64_t)sqlite3_column_int64(s, 2),
                                        .refused = text_at(s, 3)};
    }
    return rc == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read overrides", err);
}

int ferry_journal_get_hooks(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                            struct ferry_err *err)
{
    int rc = ferry_journal_has_table(journal, "override", err);
    if (rc <= 0)
        return rc;
    rc = get_hooks(journal, seq, r, err);
    return rc < 0 ? rc : get_overrides(journal, seq, r, err);
}

void ferry_txn_hooks_free(struct ferry_txn_record *r)
{
    for (size_t i = 0; i < r->n_hooks; i++) {
        struct ferry_hooks one = {ferry_memdup(&r->hooks[i].hook, sizeof *one.v), 1};
        ferry_hooks_clear(&one);
        free(r->hooks[i].user);
        free(r->hooks[i].output);
        free(r->hooks[i].undo_output);
    }
    for (size_t i = 0; i < r->n_overrides; i++) {
        free(r->overrides[i].rule);
        free(r->overrides[i].user);
        free(r->overrides[i].refused);
    }
    free(r->hooks);
    free(r->overrides);
}

bool ferry_journal_is_paused(struct ferry_journal *journal, const char *id)
{
    FERRY_STATEMENT *s = NULL;
    struct ferry_err ignored;
    if (ferry_journal_prepare(journal, "SELECT 1 FROM txn WHERE id = ? AND state = 'paused'", &s, &ignored) <
        0)
        return false;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_ROW;
}

/* ---- Hold-down. ---- */

static void map_subnets(const struct ferry_plan *plan, struct ferry_map *map)
{
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t i = 0; !plan->groups[g].dns && i < plan->groups[g].n_subnets; i++)
            ferry_map_add(map, &plan->groups[g].subnets[i].prefix, sizeof(struct ferry_prefix), 0);
}

static void record_cleanup(struct ferry_txn_record **record)
{
    ferry_txn_record_free(*record);
}

/* The subnet of `plan` that transaction `id` moved, or NULL. */
static int moved_by(struct ferry_journal *journal, const char *id, const struct ferry_map *map,
                    const struct ferry_plan *plan, const char **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *r = NULL;
    int rc = ferry_journal_get(journal, id, &r, err);
    if (rc < 0)
        return rc;
    const struct ferry_prefix *found = NULL;
    for (size_t g = 0; !found && g < r->plan->n_groups; g++)
        for (size_t i = 0; !found && !r->plan->groups[g].dns && i < r->plan->groups[g].n_subnets; i++)
            if (ferry_map_get(map, &r->plan->groups[g].subnets[i].prefix, sizeof *found) != FERRY_MAP_NONE)
                found = &r->plan->groups[g].subnets[i].prefix;
    for (size_t g = 0; found && g < plan->n_groups; g++)
        for (size_t i = 0; i < plan->groups[g].n_subnets; i++)
            if (ferry_prefix_equal(found, &plan->groups[g].subnets[i].prefix))
                *ret = plan->groups[g].subnets[i].name;
    return 0;
}

static int rested(struct ferry_journal *journal, const struct ferry_plan *plan, const struct ferry_map *map,
                  unsigned hold_down_s, struct ferry_overrides *overrides, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    uint64_t now = journal->env->realtime_us(journal->env->ctx), hold = 1000000ull * hold_down_s;
    /* A clock that was set back makes the past look like the future: it rests then too.  Who reconciles moves
     * nothing. */
    int rc = ferry_journal_prepare(journal,
                                   "SELECT id, ended_us FROM txn WHERE state = 'committed' AND kind <> "
                                   "'reconcile' AND ended_us > ? ORDER BY seq DESC",
                                   &s, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(s, 1, now > hold ? (sqlite3_int64)(now - hold) : 0);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(s, 0), *name = NULL;
        uint64_t ended = (uint64_t)sqlite3_column_int64(s, 1);
        rc = moved_by(journal, id, map, plan, &name, err);
        if (rc == 0 && name)
            rc = ferry_rule_refuse(overrides, err, "hold-down",
                                   "%s was moved %llu s ago by %s and rests for %u s after a move: wait",
                                   name, (unsigned long long)(now > ended ? (now - ended) / 1000000 : 0), id,
                                   hold_down_s);
        if (rc < 0)
            return rc;
    }
    return rc == SQLITE_DONE ? 0 : ferry_journal_error(journal, "look for earlier moves", err);
}

int ferry_txn_rested(struct ferry_journal *journal, const struct ferry_plan *plan, unsigned hold_down_s,
                     struct ferry_overrides *overrides, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map map = {0};
    if (!hold_down_s || !plan->n_stages)
        return 0;
    map_subnets(plan, &map);
    return rested(journal, plan, &map, hold_down_s, overrides, err);
}
