/* Debts: what routers that were not under control still owe, and how they come back.
 *
 * A plan with lost routers (ferry/plan.h) leaves debts.  They are durable before anything is written, count
 * unless their transaction was undone, and are delivered by transactions of kind "reconcile", before any
 * other plan may touch the router.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DEBT_H
#define FERRY_DEBT_H

#include <ferry/txn.h>

struct ferry_debt {
    char txn[24];          /* the newest transaction that left it */
    char *router;          /* who owes */
    char *subnet, *prefix; /* for which subnet */
    char *site;            /* where the subnet belongs since that transaction */
    char *owes;            /* for people: "gateway: let go of app; route: …" */
    uint64_t since_us;     /* realtime; when it began to owe */
};
struct ferry_debts {
    struct ferry_debt *v; /* by router, then prefix; one for each pair */
    size_t n;
};
void ferry_debts_clear(struct ferry_debts *debts);
/* Those that are not delivered; of one router, or of all (NULL). */
int ferry_journal_debts(struct ferry_journal *journal, const char *router, struct ferry_debts *ret,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* -FERRY_EREFUSED (rule "debt") where the plan counts on a router that still owes something.  Plans of mode
 * "reconcile", and debts of the transaction `except` (may be NULL), are let pass.  ferry_txn_begin asks too,
 * under its lock. */
int ferry_journal_refuse_debts(struct ferry_journal *journal, const struct ferry_plan *plan,
                               const char *except, struct ferry_err *err) FERRY_MUST_CHECK;
/* -FERRY_EREFUSED (rule "debt") where a router that transaction `undoes` did without has been brought in line
 * with it since: its undo would lead packets there in vain.  ferry_txn_begin asks too, under its lock. */
int ferry_journal_refuse_reconciled(struct ferry_journal *journal, const struct ferry_plan *undo,
                                    const char *undoes, struct ferry_err *err) FERRY_MUST_CHECK;

/* What a reconciliation may do; all zero: everything. */
struct ferry_reconcile_terms {
    /* n_routers of them; NULL: all.  Limits which returned routers are detached; routes are brought in line
     * everywhere, so that no router that answers is left with a way through one that is not. */
    const char *const *routers;
    size_t n_routers;
    struct ferry_overrides *overrides; /* may be NULL */
    bool dry;                          /* nothing is written: not the journal either */
};

/* The next step that brings routers in line: reads all of them, and plans, proven, from what they hold to
 * what the newest committed transaction of each subnet demands.  Subnets that debts are about are looked at,
 * and those that are attached at two sites.  The first plans detach what a returned router has attached (one
 * router each), then come the routes.
 *   0: `ret` is to be run as a transaction of kind "reconcile"; then call again.  1: nothing is to be
 *   changed.  Debts of the routers that answered have been marked as delivered; those of routers and
 *      subnets that this topology has no more too, but for what another topology (by its name) has left.
 * Transactions of other topologies say nothing of where a subnet belongs.  `journal` NULL: there is none yet;
 * then there is never anything to be run.  -FERRY_EREFUSED with the rule where no safe way exists.  Whoever
 * needed FERRY_RECONCILE_STEPS steps and is not in line chases routers that somebody else changes. */
#define FERRY_RECONCILE_STEPS(topology) (2 * (topology)->n_routers + 5)
int ferry_reconcile_next(struct ferry_journal *journal, struct ferry_fleet *fleet,
                         const struct ferry_topology *t, const struct ferry_reconcile_terms *terms,
                         struct ferry_plan **ret, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
