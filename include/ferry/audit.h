/* The audit log: who did what, each entry chained to the one before by a hash.  docs/audit.md says what it proves.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_AUDIT_H
#define FERRY_AUDIT_H

#include <ferry/txn.h>

/* ---- Who. ---- */

#define FERRY_NO_LOGIN UINT32_MAX /* the kernel's word for "nobody has logged in" (proc(5), loginuid) */

/* On whose behalf the journal is written.  What is trustworthy stands beside each. */
struct ferry_actor {
    uint32_t uid;   /* the kernel's: the real uid of this process, or of a socket's peer */
    char user[64];  /* the user database's name of it; "" where it has none */
    uint32_t login; /* the kernel's: who logged in, whatever they became since (sudo, su); FERRY_NO_LOGIN */
    char sudo_user[64]; /* a claim: what SUDO_USER says, which root may set at will; "" */
    long pid;           /* the kernel's */
    char via[16];       /* "process": this one; "socket": a peer's request */
    char command[24];   /* the verb that was asked for; "" */
};

/* This process. */
void ferry_actor_self(struct ferry_actor *ret);
/* The peer of a socket, as SO_PEERCRED names it. */
void ferry_actor_peer(uint32_t uid, long pid, struct ferry_actor *ret);
/* From now on this one's deeds are written.  Without it: this process, no command. */
void ferry_journal_act(struct ferry_journal *journal, const struct ferry_actor *actor);

/* ---- Reading. ---- */

struct ferry_audit_line {
    uint64_t seq;
    char *entry;   /* one JSON object, the very bytes that are hashed */
    char hash[65]; /* SHA-256 (hash of the entry before, in hex, and `entry`) */
};
/* Oldest first; none where there is no log yet. */
int ferry_audit_list(struct ferry_journal *journal, struct ferry_audit_line **ret, size_t *ret_n,
                     struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_audit_lines_free(struct ferry_audit_line *lines, size_t n);

/* A point of the chain, to be kept where who can write the journal cannot. */
struct ferry_audit_anchor {
    uint64_t seq; /* from 1 */
    char hash[65];
};
/* The newest entry.  1: there is none. */
int ferry_audit_head(struct ferry_journal *journal, struct ferry_audit_anchor *ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
/* "SEQ:HASH".  -FERRY_EUSAGE. */
int ferry_audit_anchor_parse(const char *text, struct ferry_audit_anchor *ret,
                             struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- Verifying. ---- */

struct ferry_audit_problem {
    uint64_t seq; /* of the entry; 0: of none */
    char tx[24];  /* of the transaction; "": of none */
    char *text;
};
struct ferry_audit_report {
    size_t entries, transactions;
    struct ferry_audit_anchor head; /* seq 0: there is no log */
    /* In the order of the chain, then those of transactions; the first FERRY_AUDIT_MOST of n_problems. */
    struct ferry_audit_problem *problems;
    size_t n_problems;
};
#define FERRY_AUDIT_MOST 100

/* Recomputes the chain and compares it with the transactions and, where given, with an anchor.  That something is wrong
 * is no error: it stands in the report.  Needs no lock; holds the database, for reading, while it loads the log. */
int ferry_audit_verify(struct ferry_journal *journal, const struct ferry_audit_anchor *anchor,
                       struct ferry_audit_report *ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_audit_report_clear(struct ferry_audit_report *report);

#endif
