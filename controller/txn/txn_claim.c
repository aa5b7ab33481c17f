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

int ferry_txn_claim(struct ferry_txn *txn, struct ferry_err *err)
{
    FERRY_AUTOFREE bool *needed = ferry_plan_needed(txn->plan);
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(txn->plan->n_routers, sizeof *jobs);
    size_t n = 0;
    for (uint32_t r = 0; r < txn->plan->n_routers; r++)
        if (needed[r] && ferry_fleet_has_claim(txn->fleet, r))
            jobs[n++] = (struct ferry_job){.router = r, .verb = FERRY_JOB_CLAIM};
    if (!n)
        return 0;
    ferry_fleet_run(txn->fleet, jobs, 1);
    int r = judge(txn, jobs, 1, err);
    if (!r)
        ferry_fleet_run(txn->fleet, jobs + 1, n - 1);
    return r ? r : judge(txn, jobs, n, err);
}
