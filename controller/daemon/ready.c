/* Readiness: from time to time every move is tried, without writing, so that the day it is needed is not the
 * day on which somebody learns that it would not work.  SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"
#include "watch/readiness.h"
#include <string.h>
#include <time.h>

#define FIRST_US 2000000u /* after the start: let the first look and a recovery go before */

struct attempt {
    struct ferryd_job job;
    struct ferryd *d;
    struct ferryd_site *site;
    int result;
    struct ferry_readiness readiness;
    struct ferry_err err;
};

static void work(struct ferryd_job *job)
{
    struct attempt *a = (struct attempt *)job;
    struct ferry_fleet_config config = ferryd_fleet_config(a->d);
    a->result = ferry_readiness_read(&config, a->site->topology, &a->readiness, &a->err);
}

/* Says the moves that would not work, where that is news. */
static void report(struct ferryd *d, const struct attempt *a)
{
    const struct ferry_topology *t = a->site->topology;
    int ready = ferry_readiness_whole(&a->readiness);
    for (size_t i = 0; ready == 0 && d->ready != 0 && i < a->readiness.n_moves; i++) {
        const struct ferry_ready_move *move = &a->readiness.moves[i];
        if (!move->ready)
            ferryd_log(4, NULL, "not ready: %s to %s: %s%s%s", t->subnets[move->subnet].name,
                       t->sites[move->to].name, move->why.rule, move->why.rule[0] ? ": " : "",
                       move->why.text);
    }
    if (ready && d->ready == 0)
        ferryd_log(5, NULL, "ready again: every move would work");
    d->ready = ready;
}

static void done(struct ferryd_job *job)
{
    struct attempt *a = (struct attempt *)job;
    struct ferryd *d = a->d;
    d->trying = false;
    if (!job->dropped && !d->stopping && a->site == d->site) {
        /* In the middle of a move nothing is ready, and that is no news. */
        if (a->result < 0)
            ferryd_log(4, NULL, "cannot try the moves: %s", a->err.text);
        else if (!d->known.tx[0])
            report(d, a);
        ferryd_say_status(d);
    }
    ferry_readiness_clear(&a->readiness);
    ferryd_site_unref(a->site);
    free(a);
}

static int on_ready(sd_event_source *source, uint64_t usec, void *ctx)
{
    struct ferryd *d = ctx;
    sd_event_source_set_time(source, usec + d->options->readiness_us);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    if (d->trying || !d->site || d->known.tx[0])
        return 0;
    struct attempt *a = ferry_calloc(1, sizeof *a);
    *a = (struct attempt){.job = {.work = work, .done = done}, .d = d, .site = ferryd_site_ref(d->site)};
    d->trying = true;
    ferryd_worker_add(d->asker, &a->job);
    return 0;
}

int ferryd_ready_start(struct ferryd *d, struct ferry_err *err)
{
    uint64_t now, first = d->options->readiness_us < FIRST_US ? d->options->readiness_us : FIRST_US;
    d->ready = -1;
    if (!d->options->readiness_us)
        return 0;
    sd_event_now(d->event, CLOCK_MONOTONIC, &now);
    int r = sd_event_add_time(d->event, &d->ready_timer, CLOCK_MONOTONIC, now + first, 0, on_ready, d);
    return r < 0 ? ferry_error(err, FERRY_EIO, "no timer: %s", strerror(-r)) : 0;
}

void ferryd_ready_stop(struct ferryd *d)
{
    d->ready_timer = sd_event_source_disable_unref(d->ready_timer);
}
