/* Debts, and subnets that came back at a second site: brought in line by what `ferry reconcile` does, at first contact.
 *
 *  C1. It begins when a look shows that there is work: a router that owes answers, or a subnet is at two
 *      sites.  Rule "debt" keeps everybody else from that router meanwhile.
 *  C2. Nothing else may be unfinished: that is settled first, and the look after it comes here again.
 *  C3. What was refused, or found nothing to do, waits for the next poll, and is said once.  After
 *      transactions that failed more and more polls are left out (rest.h).
 *  C4. A debt of a router that this topology does not know is no work: it may be another topology's.
 *
 * SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"
#include <ferry/audit.h>
#include <stdio.h>
#include <string.h>

struct delivery {
    struct ferryd_job job;
    struct ferryd *d;
    struct ferryd_site *site;
    int result;  /* 1: nothing was to be done, and nothing is otherwise now */
    bool undone; /* a transaction did not come to its end */
    struct ferry_err err;
};

/* ---- On the writer. ---- */

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

static void fleet_cleanup(struct ferry_fleet **fleet)
{
    ferry_fleet_free(*fleet);
}

static void plan_cleanup(struct ferry_plan **plan)
{
    ferry_plan_free(*plan);
}

static void txn_cleanup(struct ferry_txn **txn)
{
    ferry_txn_free(*txn);
}

static int run(struct delivery *v, struct ferry_journal *journal, struct ferry_fleet *fleet,
               struct ferry_plan *plan)
{
    FERRY_CLEANUP(txn_cleanup) struct ferry_txn *txn = NULL;
    struct ferry_txn_options options = {.kind = "reconcile", .user = "ferryd"};
    int r = ferry_txn_begin(journal, fleet, plan, &options, &txn, NULL, NULL, &v->err);
    v->undone = r == 0;
    if (r == 0)
        r = ferry_txn_run(txn, &v->err);
    if (r < 0)
        return r;
    const struct ferry_txn_record *record = ferry_txn_record(txn);
    v->undone = record->state != FERRY_TXN_COMMITTED;
    ferryd_log(4, record->id, "reconcile: transaction %s is %s%s%s", record->id,
               ferry_txn_state_name(record->state), record->reason ? ": " : "",
               record->reason ? record->reason : "");
    return v->undone ? ferry_error(&v->err, FERRY_EIO, "the last transaction is %s",
                                   ferry_txn_state_name(record->state))
                     : 0;
}

static int count_debts(struct ferry_journal *journal, size_t *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_debts_clear) struct ferry_debts debts = {0};
    int r = ferry_journal_debts(journal, NULL, &debts, err);
    *ret = debts.n;
    return r;
}

static int deliver(struct delivery *v)
{
    const struct ferry_topology *t = v->site->topology;
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(fleet_cleanup) struct ferry_fleet *fleet = NULL;
    struct ferry_fleet_config config = ferryd_fleet_config(v->d);
    struct ferry_reconcile_terms all = {0};
    struct ferry_actor actor;
    size_t before = 0, after = 0;
    ferry_actor_self(&actor);
    snprintf(actor.command, sizeof actor.command, "reconcile");
    int r = ferry_journal_open(&v->d->env, v->d->state_dir, &journal, &v->err);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, &v->err);
    if (r == 0)
        r = count_debts(journal, &before, &v->err);
    if (r < 0)
        return r;
    ferry_journal_act(journal, &actor);
    for (size_t step = 0; step < FERRY_RECONCILE_STEPS(t); step++) {
        FERRY_CLEANUP(plan_cleanup) struct ferry_plan *plan = NULL;
        r = ferry_reconcile_next(journal, fleet, t, &all, &plan, &v->err);
        if (r == 1) {
            r = count_debts(journal, &after, &v->err);
            return r < 0 ? r : !step && before == after;
        }
        if (r == 0)
            r = run(v, journal, fleet, plan);
        if (r < 0)
            return r;
    }
    return ferry_error(&v->err, FERRY_EIO, "the routers change faster than they can be brought in line");
}

static void work(struct ferryd_job *job)
{
    struct delivery *v = (struct delivery *)job;
    v->result = deliver(v);
}

/* ---- On the loop. ---- */

static void done(struct ferryd_job *job)
{
    struct delivery *v = (struct delivery *)job;
    struct ferryd *d = v->d;
    d->delivering = false;
    if (!job->dropped && v->result != -FERRY_ELOCKED) { /* else somebody is at it, and a look follows */
        if (v->undone)                                  /* C3 */
            ferryd_rest_failed(&d->deliver_rest);
        else if (v->result)
            ferryd_rest_once(&d->deliver_rest);
        else
            ferryd_rest_over(&d->deliver_rest);
        if (v->result < 0 && strcmp(d->deliver_err.text, v->err.text) != 0)
            ferryd_log(3, NULL, "cannot reconcile: %s%s%s", v->err.rule, v->err.rule[0] ? ": " : "",
                       v->err.text);
        d->deliver_err = v->result < 0 ? v->err : (struct ferry_err){0};
    }
    ferryd_site_unref(v->site);
    free(v);
    if (!d->stopping)
        ferryd_look_all(d);
}

void ferryd_deliver_consider(struct ferryd *d)
{
    if (!d->options->reconcile || !d->known.owing || d->known.tx[0] || d->settling || d->delivering ||
        ferryd_rests(&d->deliver_rest) || d->stopping)
        return;
    struct delivery *v = ferry_calloc(1, sizeof *v);
    *v = (struct delivery){.job = {.work = work, .done = done}, .d = d, .site = ferryd_site_ref(d->site)};
    d->delivering = true;
    ferryd_worker_add(d->writer, &v->job);
}
