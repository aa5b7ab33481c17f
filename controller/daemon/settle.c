/* Deadlines and recovery: what has not ended is finished or undone, by the same call as `ferry recover`.
 *
 *  S1. A transaction with a controller that lives is left alone: ferry_txn_recover needs the journal's lock,
 *      which that one has.
 *  S2. One that is stuck is tried again at the daemon's start, at once when a router came back, and else
 *      after more and more polls (rest.h): a reply may have been lost though its router was there all the
 *      while, and a person may have put back what a hand names.  Trying changes nothing where it must not:
 *      keys that hold neither value are never touched.  --no-recover leaves all that to people; a deadline
 *      that has passed is no crash, and is settled all the same.
 *  S3. What failed for another reason waits for the next poll.
 *
 * SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"
#include "watch/documents.h"
#include <ferry/audit.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define AFTER_US 50000u /* the routers' own undo begins at the deadline */

struct settle {
    struct ferryd_job job;
    struct ferryd *d;
    const char *why;
    int result;
    struct ferry_txn_record *record;
    struct ferry_err err;
};

/* ---- On the writer. ---- */

static void progress(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    (void)ctx;
    (void)stage;
    if (text && (event == FERRY_EVENT_NOTE || event == FERRY_EVENT_STATE))
        ferryd_log(6, NULL, "%s", text);
}

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

static void work(struct ferryd_job *job)
{
    struct settle *s = (struct settle *)job;
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = NULL;
    struct ferry_fleet_config config = ferryd_fleet_config(s->d);
    struct ferry_txn_options options = {.kind = "recover", .user = "ferryd", .progress = progress};
    struct ferry_actor actor;
    ferry_actor_self(&actor);
    snprintf(actor.command, sizeof actor.command, "recover");
    s->result = ferry_journal_look(&s->d->env, s->d->state_dir, &journal, &s->err);
    if (journal)
        ferry_journal_act(journal, &actor);
    if (s->result == 0)
        s->result = journal ? ferry_txn_recover(journal, &config, &options, &s->record, &s->err) : 1;
}

/* ---- On the loop. ---- */

static void report(const struct settle *s)
{
    if (s->result == -FERRY_ELOCKED || s->result > 0)
        return;
    if (s->result < 0) {
        ferryd_log(3, NULL, "cannot settle it: %s", s->err.text);
        return;
    }
    const struct ferry_txn_record *r = s->record;
    bool again = r->state == FERRY_TXN_STUCK && s->d->settle_rest.last && !strcmp(s->d->settle_tx, r->id);
    if (r->state != FERRY_TXN_AWAITING_CONFIRM) /* that one was left alone */
        ferryd_log(again                         ? 6
                   : r->state == FERRY_TXN_STUCK ? 3
                                                 : 4,
                   r->id, "%s: transaction %s is %s%s%s", s->why, r->id, ferry_txn_state_name(r->state),
                   r->reason ? ": " : "", r->reason ? r->reason : "");
}

static void settled(struct ferryd *d, const struct ferry_txn_record *record)
{
    if (strcmp(d->settle_tx, record->id) != 0)
        ferryd_rest_over(&d->settle_rest);
    memcpy(d->settle_tx, record->id, sizeof d->settle_tx);
    if (record->state == FERRY_TXN_STUCK)
        ferryd_rest_failed(&d->settle_rest); /* S2 */
    else
        ferryd_rest_over(&d->settle_rest);
}

static void done(struct ferryd_job *job)
{
    struct settle *s = (struct settle *)job;
    struct ferryd *d = s->d;
    d->settling = false;
    if (!job->dropped) {
        report(s);
        d->settle_failed = s->result < 0; /* S3 */
        if (s->result == 0)
            settled(d, s->record);
    }
    ferry_txn_record_free(s->record);
    free(s);
    if (!d->stopping) {
        ferryd_look_all(d);
        ferryd_say_status(d);
    }
}

void ferryd_settle(struct ferryd *d, const char *why)
{
    if (d->settling || d->stopping)
        return;
    struct settle *s = ferry_calloc(1, sizeof *s);
    *s = (struct settle){.job = {.work = work, .done = done}, .d = d, .why = why};
    d->settling = true;
    ferryd_worker_add(d->writer, &s->job);
}

static void overdue(struct ferryd *d)
{
    if (!d->settle_failed)
        ferryd_settle(d, "nobody has confirmed it in time");
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)source;
    (void)usec;
    overdue(ctx);
    return 0;
}

/* Whether something was left half way that nobody is at (S1).  What waits for a person by its own wish is not that. */
static bool to_recover(struct ferryd *d)
{
    const struct ferryd_sight *known = &d->known;
    bool first = !d->looked; /* S2 */
    d->looked = true;
    if (!known->tx[0] || known->running || d->settle_failed || !d->options->recover)
        return false;
    switch (known->tx_state) {
    case FERRY_TXN_READY:
    case FERRY_TXN_APPLYING:
    case FERRY_TXN_VERIFYING:
    case FERRY_TXN_UNDOING:
        return true;
    case FERRY_TXN_STUCK:
        if (strcmp(known->tx, d->settle_tx) != 0) { /* whoever left it so */
            memcpy(d->settle_tx, known->tx, sizeof d->settle_tx);
            ferryd_rest_once(&d->settle_rest);
        }
        return first || !ferryd_rests(&d->settle_rest);
    case FERRY_TXN_AWAITING_CONFIRM:
    case FERRY_TXN_PAUSED:
    case FERRY_TXN_COMMITTED:
    case FERRY_TXN_UNDONE:
        return false;
    }
    return false;
}

void ferryd_settle_consider(struct ferryd *d)
{
    const struct ferryd_sight *known = &d->known;
    uint64_t now = d->env.realtime_us(d->env.ctx), at = known->deadline_us + AFTER_US;
    if (!known->deadline_us) {
        sd_event_source_set_enabled(d->deadline_timer, SD_EVENT_OFF);
        if (to_recover(d))
            ferryd_settle(d, "its controller is gone");
        return;
    }
    if (at <= now) {
        if (!known->running) /* else somebody is at it, and the next look sees what came of it */
            overdue(d);
        return;
    }
    sd_event_source_set_time(d->deadline_timer,
                             at); /* of the clock on the wall: it may be put right meanwhile */
    sd_event_source_set_enabled(d->deadline_timer, SD_EVENT_ONESHOT);
}

int ferryd_settle_start(struct ferryd *d, struct ferry_err *err)
{
    int r = sd_event_add_time(d->event, &d->deadline_timer, CLOCK_REALTIME, 0, 1000, on_deadline, d);
    if (r < 0)
        return ferry_error(err, FERRY_EIO, "no timer: %s", strerror(-r));
    sd_event_source_set_enabled(d->deadline_timer, SD_EVENT_OFF);
    return 0;
}

void ferryd_settle_stop(struct ferryd *d)
{
    d->deadline_timer = sd_event_source_disable_unref(d->deadline_timer);
}
