/* Adding to the audit log.  Reading and verifying it is public (ferry/audit.h).
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_JOURNAL_AUDIT_H
#define FERRY_TXN_JOURNAL_AUDIT_H

#include "txn/journal.h"

#include <ferry/audit.h>
#include <stdio.h>

/* What happened.  When, who, the transaction's kind, plan, state, and the digest of its rows are added by
 * ferry_audit_add. */
struct ferry_audit_entry {
    const char *what;       /* one word: "commit", "override", … */
    const char *tx;         /* the transaction's id, or NULL */
    const char *was;        /* its state before, or NULL */
    const char *text;       /* for people: a reason, an attestation; or NULL */
    bool with_plan;         /* says the digest of the plan document, too: when a transaction appears */
    bool with_reservations; /* says the digest of the table of reservations, too: who writes it */
    struct
        ferry_audit_more { /* further members, up to the first without a name; not those of docs/audit.md */
        const char *name, *value;
    } more[4];
};

/* Adds an entry.  Call it inside the SQLite transaction that makes what it describes durable, after what that writes:
 * the entry carries the digest of the transaction's rows as they then are, and `audit verify` holds the newest one of a
 * transaction against them.  So whoever writes to txn, stage, hand, or a table of journal_audit_tables.c adds an
 * entry. */
int ferry_audit_add(struct ferry_journal *journal, const struct ferry_audit_entry *entry,
                    struct ferry_err *err) FERRY_MUST_CHECK;
/* Begins the log where there is none yet, with what the journal holds already: call it in the SQLite transaction
 * before anything else is written.  ferry_audit_add does it, too. */
int ferry_audit_start(struct ferry_journal *journal, struct ferry_err *err) FERRY_MUST_CHECK;
/* "2026-11-28T06:37:08.402180Z"; returns buf. */
char *ferry_audit_time(uint64_t us, char buf[static 32]);
/* After COMMIT: tells the log of the environment where the chain stands. */
void ferry_audit_tell(struct ferry_journal *journal);

/* ---- Shared by journal_audit*.c. ---- */

/* SHA-256 over the rows of a transaction, but for its plan (docs/audit.md).  1: there is none of that id.
 * `ret_state` has its state, `ret_kind` and `ret_plan` (may be NULL) are malloc'd. */
int ferry_audit_digest(struct ferry_journal *journal, const char *id, char ret[static 65],
                       char ret_state[static 24], char **ret_kind, char **ret_plan,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* SHA-256 of its plan document, as it is stored. */
int ferry_audit_plan_digest(struct ferry_journal *journal, const char *id, char ret[static 65],
                            struct ferry_err *err) FERRY_MUST_CHECK;
/* SHA-256 over the rows of a transaction in the tables that came later: debts, hooks, overrides
 * (journal_audit_tables.c). */
int ferry_audit_tables_digest(struct ferry_journal *journal, const char *id, char ret[static 65],
                              struct ferry_err *err) FERRY_MUST_CHECK;
/* SHA-256 over all reservations of addresses, which belong to no transaction. */
int ferry_audit_reservations_digest(struct ferry_journal *journal, char ret[static 65],
                                    struct ferry_err *err) FERRY_MUST_CHECK;
/* All rows of a statement with one parameter, or none; a line `mark` before each. */
int ferry_audit_put_rows(struct ferry_journal *journal, FILE *out, const char *sql, sqlite3_int64 seq,
                         const char *mark, struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether the table is there. */
int ferry_audit_exists(struct ferry_journal *journal, bool *ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* hash = SHA-256 (prev, entry) */
void ferry_audit_chain(const char *prev, const char *entry, size_t len, char ret[static 65]);
#define FERRY_AUDIT_ZERO                                                                                     \
    "0000000000000000000000000000000000000000000000000000000000000000" /* before the first */
/* Every id of the journal, oldest first; malloc'd, as are its elements. */
int ferry_audit_ids(struct ferry_journal *journal, char ***ret, size_t *ret_n,
                    struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_audit_ids_free(char **ids, size_t n);

#endif
