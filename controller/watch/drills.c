/* When each move was last practised: the drills of the journal that went to their end.  SPDX-License-Identifier: MIT */
#include "watch/readiness.h"

#include "base/mem.h"
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

/* Newest first: a move that has its drill keeps it. */
static void take(const struct ferry_txn_record *record, struct ferry_readiness *ready)
{
    const struct ferry_topology *t = ready->topology;
    for (size_t i = 0; i < ready->n_moves; i++) {
        struct ferry_ready_move *move = &ready->moves[i];
        for (size_t k = 0; !move->drilled_us && k < record->plan->n_groups; k++) {
            const struct ferry_group *g = &record->plan->groups[k];
            if (!g->to || strcmp(g->to, t->sites[move->to].name) != 0 ||
                !in_group(g, t->subnets[move->subnet].name))
                continue;
            memcpy(move->drill, record->id, sizeof move->drill);
            move->drilled_us = record->ended_us;
        }
    }
}

static bool passed(const struct ferry_txn_record *r)
{
    return !strcmp(r->kind, "drill") && r->state == FERRY_TXN_UNDONE && r->reason &&
           !strcmp(r->reason, FERRY_DRILL_OVER);
}

int ferry_readiness_drills(struct ferry_journal *journal, struct ferry_readiness *readiness,
                           struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records list = {0};
    size_t read = 0;
    int r = ferry_journal_list(journal, 0, &list.v, &list.n, err);
    for (size_t i = 0; r == 0 && i < list.n && read < DRILLS_MOST; i++) {
        FERRY_CLEANUP(record_cleanup) struct ferry_txn_record *full = NULL;
        if (!passed(list.v[i]))
            continue;
        read++;
        r = ferry_journal_get(journal, list.v[i]->id, &full, err);
        if (r == 0)
            take(full, readiness);
    }
    return r;
}
