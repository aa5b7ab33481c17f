/* When each move was last practised: the drills of the journal that went to their end, and the test
 * failovers.  SPDX-License-Identifier: MIT */
#include "watch/readiness.h"

#include "base/mem.h"

#include <ferry/test.h>
#include <string.h>

#define DRILLS_MOST 200 /* plans that are read, newest first */

static void record_cleanup(struct ferry_txn_record **record)
{
    ferry_txn_record_free(*record);
}

static bool in_group(const struct ferry_group *g, const char *subnet)
{
    for (size_t i = 0; i < g->n_subnets; i++)
        if (!strcmp(g->subnets[i].name, subnet))
            return true;
    return false;
}

/* Whether the transaction practised the move; `name`: of the subnet, or of its copy. */
static bool practised(const struct ferry_txn_record *record, const char *name, const char *to)
{
    for (size_t k = 0; k < record->plan->n_groups; k++) {
        const struct ferry_group *g = &record->plan->groups[k];
        if (g->to && !strcmp(g->to, to) && in_group(g, name))
            return true;
    }
    return false;
}

/* Newest first: a move that has its drill, or test, keeps it. */
static void take(const struct ferry_txn_record *record, struct ferry_readiness *ready)
{
    const struct ferry_topology *t = ready->topology;
    bool test = ferry_test_is(record);
    for (size_t i = 0; i < ready->n_moves; i++) {
        struct ferry_ready_move *move = &ready->moves[i];
        const struct ferry_subnet *s = &t->subnets[move->subnet];
        const char *name = !test ? s->name : s->test ? s->test->name : NULL;
        if ((test ? move->tested_us : move->drilled_us) || !name ||
            !practised(record, name, t->sites[move->to].name))
            continue;
        memcpy(test ? move->test : move->drill, record->id, sizeof move->drill);
        *(test ? &move->tested_us : &move->drilled_us) = record->ended_us;
    }
}

/* Nobody has said of a test that it failed. */
static bool passed(const struct ferry_txn_record *r, const struct ferry_test_result *results, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(results[i].tx, r->id) && !results[i].passed)
            return false;
    if (ferry_test_is(r))
        return ferry_test_ended_well(r);
    return !strcmp(r->kind, "drill") && r->state == FERRY_TXN_UNDONE && r->reason &&
           !strcmp(r->reason, FERRY_DRILL_OVER);
}

int ferry_readiness_drills(struct ferry_journal *journal, struct ferry_readiness *readiness,
                           struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records list = {0};
    struct ferry_test_result *results = NULL;
    size_t read = 0, n_results = 0;
    int r = ferry_journal_list(journal, 0, &list.v, &list.n, err);
    if (r == 0)
        r = ferry_journal_test_results(journal, &results, &n_results, err);
    for (size_t i = 0; r == 0 && i < list.n && read < DRILLS_MOST; i++) {
        FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *full = NULL;
        if (!passed(list.v[i], results, n_results))
            continue;
        read++;
        r = ferry_journal_get(journal, list.v[i]->id, &full, err);
        if (r == 0)
            take(full, readiness);
    }
    ferry_test_results_free(results, n_results);
    return r;
}
