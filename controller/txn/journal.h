/* What the engine alone may do with the journal: lock, begin, save.  Reading is public (ferry/txn.h).
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_JOURNAL_H
#define FERRY_TXN_JOURNAL_H

#include <ferry/txn.h>
#include <sqlite3.h>

struct ferry_actor; /* ferry/audit.h */

struct ferry_journal {
    const struct ferry_env *env;
    char *state_dir;
    sqlite3 *db;
    sqlite3_stmt *has_table;   /* kept: it is asked before most others */
    int lock_fd;               /* -1: not ours */
    struct ferry_actor *actor; /* on whose behalf it is written; NULL: of this process */
    char audit_head[96];       /* "SEQ:HASH" of the newest entry that was added; "": none */
};

/* A line of the transaction's log, not yet written. */
struct ferry_journal_event {
    uint64_t at_us; /* since 1970 UTC */
    char *text;
};
struct ferry_journal_events {
    struct ferry_journal_event *v;
    size_t n;
};

/* One transaction at a time, of all processes.  -FERRY_ELOCKED names the holder where it is known. */
int ferry_journal_lock(struct ferry_journal *journal, struct ferry_err *err) FERRY_MUST_CHECK;
/* -FERRY_EIO where the locked file is not the one at its path any more: somebody else may hold that one. */
int ferry_journal_lock_holds(const struct ferry_journal *journal, struct ferry_err *err) FERRY_MUST_CHECK;
/* -FERRY_ELOCKED where a transaction, of any process, holds the lock; else 0, and it is still nobody's. */
int ferry_journal_running(const struct ferry_journal *journal, struct ferry_err *err) FERRY_MUST_CHECK;
/* Says in the lock file which transaction holds it. */
void ferry_journal_lock_note(struct ferry_journal *journal, const char *id);
void ferry_journal_unlock(struct ferry_journal *journal);

/* 1 and the id where a transaction is unfinished, 0 where none is.  With `awaiting` one that awaits its
 * confirmation, or is paused, counts too. */
int ferry_journal_unfinished(struct ferry_journal *journal, bool awaiting, char ret_id[static 24],
                             struct ferry_err *err) FERRY_MUST_CHECK;
bool ferry_journal_is_paused(struct ferry_journal *journal, const char *id);
/* 0 where `id` is committed, so that a rollback may undo it; else -FERRY_EREFUSED, rule "not-committed". */
int ferry_journal_check_undoable(struct ferry_journal *journal, const char *id,
                                 struct ferry_err *err) FERRY_MUST_CHECK;

/* Shows what is committed, whole and newest first, as long as `visit` wants more; `after`: only what came
 * after that transaction (NULL: all). */
int ferry_journal_committed(struct ferry_journal *journal, const char *after,
                            bool (*visit)(void *ctx, const struct ferry_txn_record *record), void *ctx,
                            struct ferry_err *err) FERRY_MUST_CHECK;

/* Makes the plan and every intent durable; gives the record its id. */
int ferry_journal_begin(struct ferry_journal *journal, struct ferry_txn_record *record,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* Writes what has become of it: state, reason, times, outcomes, hands, and the events, which it empties.
 * Committing a rollback marks what it undoes in the same SQLite transaction. */
int ferry_journal_save(struct ferry_journal *journal, const struct ferry_txn_record *record,
                       struct ferry_journal_events *events, const char *crash_point,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* Which addresses it gives, within the SQLite transaction of begin (journal_assignment.c). */
int ferry_journal_put_assignments(struct ferry_journal *journal, const struct ferry_txn_record *record,
                                  int64_t seq, struct ferry_err *err) FERRY_MUST_CHECK;
/* -FERRY_EDRIFT where a machine is not at the address that the plan finds; -FERRY_EREFUSED (rule reserved)
 * where somebody else has one that it gives.  With the lock. */
int ferry_journal_refuse_addresses(struct ferry_journal *journal, const struct ferry_plan *plan,
                                   struct ferry_err *err) FERRY_MUST_CHECK;
/* What the plan's lost routers owe, likewise (journal_debt.c). */
int ferry_journal_put_debts(struct ferry_journal *journal, const struct ferry_txn_record *record, int64_t seq,
                            struct ferry_err *err) FERRY_MUST_CHECK;
/* With the lock held: nothing is owed any more by this router for this prefix. */
struct ferry_debt;
int ferry_journal_deliver(struct ferry_journal *journal, const struct ferry_debt *debt,
                          struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_journal_events_clear(struct ferry_journal_events *events);

/* ---- Hooks and overrides (journal_hook.c), within the SQLite transactions of the others. ---- */

int ferry_journal_hooks_set_up(struct ferry_journal *journal, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_journal_put_hooks(struct ferry_journal *journal, const struct ferry_txn_record *r,
                            sqlite3_int64 seq, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_journal_put_overrides(struct ferry_journal *journal, const struct ferry_txn_record *r,
                                sqlite3_int64 seq, struct ferry_err *err) FERRY_MUST_CHECK;
/* Into a record that has its plan. */
int ferry_journal_get_hooks(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                            struct ferry_err *err) FERRY_MUST_CHECK;
/* What ferry_txn_record_free frees of them. */
void ferry_txn_hooks_free(struct ferry_txn_record *r);

/* ---- The dead-man (journal_deadman.c), likewise. ---- */

int ferry_journal_put_deadman(struct ferry_journal *journal, const struct ferry_txn_record *r,
                              sqlite3_int64 seq, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_journal_get_deadman(struct ferry_journal *journal, sqlite3_int64 seq, struct ferry_txn_record *r,
                              struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- SQLite (journal_open.c). ---- */

int ferry_journal_error(struct ferry_journal *journal, const char *doing, struct ferry_err *err);
int ferry_journal_prepare(struct ferry_journal *journal, const char *sql, sqlite3_stmt **ret,
                          struct ferry_err *err);
/* Statements without values or rows. */
int ferry_journal_execute(struct ferry_journal *journal, const char *sql, const char *doing,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* Ends an SQLite transaction: commits, and tells of the audit log's new head, where `r` is 0; else what was
 * written is as if it never was.  `r`, or what became of the commit. */
int ferry_journal_end(struct ferry_journal *journal, int r, const char *doing,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* 1 where there is such a table: some are made with their first row. */
int ferry_journal_has_table(struct ferry_journal *journal, const char *name,
                            struct ferry_err *err) FERRY_MUST_CHECK;
/* "" for NULL. */
static inline const char *ferry_journal_text(sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    return text ? (const char *)text : "";
}
static inline void ferry_journal_finalize(sqlite3_stmt **s)
{
    sqlite3_finalize(*s);
}
#define FERRY_STATEMENT FERRY_CLEANUP(ferry_journal_finalize) sqlite3_stmt

/* Outcomes of one stage as a blob: one value for all, or two bits each.  malloc'd. */
uint8_t *ferry_outcomes_encode(const enum ferry_outcome *outcomes, size_t n, size_t *ret_len);
/* False where the blob is not one for `n` outcomes. */
bool ferry_outcomes_decode(const uint8_t *blob, size_t len, enum ferry_outcome *ret, size_t n);
/* How many outcomes a stage, or all stages, have. */
size_t ferry_stage_outcomes(const struct ferry_plan *plan, const struct ferry_stage *stage);
size_t ferry_plan_outcomes(const struct ferry_plan *plan);

#endif
