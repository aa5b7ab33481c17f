/* Before a transaction reads what it will write: its routers are its alone, also among controllers that share
 * no state directory.
 *
 * Two that begin at the same moment both come to the first router first: one of them gets all.  A router that
 * cannot be asked is no matter here: whoever needs it will hear so.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/txn_engine.h"

static int judge(const struct ferry_txn *txn, const struct ferry_job *jobs, size_t n, struct ferry_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (jobs[i].result == -FERRY_ELOCKED) {
            *err = jobs[i].err;
            return ferry_error_prefix(err, -FERRY_ELOCKED, "%s", txn->plan->routers[jobs[i].router].name);
        }
    return 0;
}

static size_t make_jobs(const struct ferry_txn *txn, int verb, struct ferry_job **ret)
{
    FERRY_AUTOFREE bool *needed = ferry_plan_needed(txn->plan);
    struct ferry_job *jobs = *ret = ferry_calloc(txn->plan->n_routers, sizeof *jobs);
    size_t n = 0;
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        if (needed[r] && ferry_fleet_has_claim(txn->fleet, r))
            jobs[n++] = (struct ferry_job){.router = r, .verb = verb};
    return n;
}

void ferry_txn_release(struct ferry_txn *txn)
{
    FERRY_AUTOFREE struct ferry_job *jobs = NULL;
    if (!txn->claimed)
        return;
    size_t n = make_jobs(txn, FERRY_JOB_RELEASE, &jobs);
    ferry_fleet_run(txn->fleet, jobs, n); /* what cannot be asked is released by the end of the process */
    txn->claimed = false;
}

int ferry_txn_claim(struct ferry_txn *txn, struct ferry_err *err)
{
    FERRY_AUTOFREE struct ferry_job *jobs = NULL;
    size_t n = make_jobs(txn, FERRY_JOB_CLAIM, &jobs);
    if (!n)
        return 0;
    txn->claimed = true;
    ferry_fleet_run(txn->fleet, jobs, 1);
    int r = judge(txn, jobs, 1, err);
    if (!r)
        ferry_fleet_run(txn->fleet, jobs + 1, n - 1);
    return r ? r : judge(txn, jobs, n, err);
}
