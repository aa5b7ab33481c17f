/* One look at all routers and at the journal; see status.h.  SPDX-License-Identifier: MIT */
#include "watch/status.h"

#include "base/mem.h"
#include "watch/documents.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void ferry_records_clear(struct ferry_records *records)
{
    for (size_t i = 0; i < records->n; i++)
        ferry_txn_record_free(records->v[i]);
    free(records->v);
    *records = (struct ferry_records){0};
}

/* ---- The journal. ---- */

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

/* The list is without plans: what has not ended is read whole. */
static int take_unfinished(struct ferry_journal *journal, const struct ferry_records *list,
                           struct ferry_unfinished *u, struct ferry_err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct ferry_txn_record *full = NULL;
        if (ferry_txn_state_ended(list->v[i]->state))
            continue;
        int r = ferry_journal_get(journal, list->v[i]->id, &full, err);
        if (r < 0)
            return r;
        if (full->state == FERRY_TXN_AWAITING_CONFIRM)
            u->deadline_us = full->deadline_us;
        FERRY_GROW(u->records.v, u->records.n);
        u->records.v[u->records.n++] = full;
    }
    return 0;
}

static int take_newest(struct ferry_journal *journal, const struct ferry_records *list,
                       struct ferry_unfinished *u, struct ferry_err *err)
{
    if (!list->n)
        return 0;
    memcpy(u->newest_id, list->v[0]->id, sizeof u->newest_id);
    u->newest_state = list->v[0]->state;
    if (u->records.n)
        return 0;
    int r = ferry_journal_get(journal, list->v[0]->id, &u->newest, err);
    if (r == 0 && !u->newest->n_hands) {
        ferry_txn_record_free(u->newest);
        u->newest = NULL;
    }
    return r;
}

static int take(struct ferry_journal *journal, struct ferry_unfinished *u, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_records_clear) struct ferry_records list = {0};
    struct ferry_err why;
    ferry_unfinished_clear(u);
    int r = ferry_journal_list(journal, 0, &list.v, &list.n, err);
    if (r == 0)
        r = take_unfinished(journal, &list, u, err);
    if (r == 0)
        r = take_newest(journal, &list, u, err);
    if (r == 0)
        r = ferry_journal_debts(journal, NULL, &u->debts, err);
    u->running = r == 0 && u->records.n && ferry_txn_look(journal, &why) == -FERRY_ELOCKED;
    return r;
}

int ferry_unfinished_read(const struct ferry_env *env, const char *state_dir, struct ferry_unfinished *ret,
                          struct ferry_err *err)
{
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = NULL;
    FERRY_CLEANUP(ferry_unfinished_clear) struct ferry_unfinished u = {0};
    int r = ferry_journal_look(env, state_dir, &journal, err);
    if (r == 0 && journal)
        r = take(journal, &u, err);
    /* Who held the lock until now has written before how it ended: that is no controller that is gone. */
    if (r == 0 && u.records.n && !u.running)
        r = take(journal, &u, err);
    if (r < 0)
        return r;
    *ret = u;
    u = (struct ferry_unfinished){0};
    return 0;
}

void ferry_unfinished_clear(struct ferry_unfinished *u)
{
    ferry_records_clear(&u->records);
    ferry_txn_record_free(u->newest);
    ferry_debts_clear(&u->debts);
    *u = (struct ferry_unfinished){0};
}

bool ferry_unfinished_moving(const struct ferry_unfinished *u)
{
    for (size_t i = 0; i < u->records.n; i++)
        if (u->records.v[i]->state != FERRY_TXN_AWAITING_CONFIRM)
            return true; /* also where it is PAUSED: between two stages */
    return u->running;   /* it is being confirmed, or undone */
}

/* ---- The routers. ---- */

void ferry_status_init(struct ferry_status *s, const struct ferry_topology *t)
{
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(t->n_subnets + 1, sizeof *subnets);
    for (uint32_t i = 0; i < t->n_subnets; i++)
        subnets[i] = i;
    *s = (struct ferry_status){.pool = ferry_pool_new()};
    s->live = ferry_live_new(t, s->pool, subnets, t->n_subnets);
}

void ferry_status_clear(struct ferry_status *s)
{
    ferry_unfinished_clear(&s->unfinished);
    free(s->drift);
    ferry_live_free(s->live);
    ferry_pool_free(s->pool);
    *s = (struct ferry_status){0};
}

static void judge(struct ferry_status *s)
{
    s->n_unreachable = 0;
    for (size_t i = 0; i < s->live->topology->n_routers; i++)
        s->n_unreachable += s->live->unreachable[i];
    free(s->drift);
    s->drift = NULL;
    s->n_drift = 0;
    ferry_paths_check(s->live, &s->drift, &s->n_drift);
}

int ferry_status_read(struct ferry_status *s, struct ferry_fleet *fleet, struct ferry_err *err)
{
    int r = ferry_fleet_read_live(fleet, s->live, err);
    if (r == 0)
        judge(s);
    return r;
}

int ferry_status_read_router(struct ferry_status *s, struct ferry_fleet *fleet, uint32_t router,
                             struct ferry_err *err)
{
    int r = ferry_fleet_read_row(fleet, s->live, router, err);
    if (r == 0)
        judge(s);
    return r;
}

bool ferry_status_different(const struct ferry_status *s)
{
    return s->n_drift || s->n_unreachable || s->unfinished.records.n || s->unfinished.debts.n;
}
