/* When something is read, and what.
 *
 * Reasons to read come from the kernels of netlink routers (drivers' `watch`), from the journal's file
 * (inotify), and from a clock that trusts neither.  They are gathered for a moment, and then one job of the
 * looker reads what they name.
 *
 *  L1. Between two looks there is a pause that grows with what a look costs: a router whose routes never rest
 *      takes at most a quarter of the looker's time.
 *  L2. While a transaction is under way its routers are left alone: its journal is looked at, and everything
 *      once it is over.
 *  L3. What was read counts only where the journal said the same before and after: else a move of ours would be drift.
 *
 * SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOON_US    20000u /* gathers what comes together */
#define JOURNAL_US 30000u
#define MOVING_US  1000000u /* between two looks at the journal while a transaction runs */
#define GAP_US     50000u   /* L1: the least pause */
#define GAP_MOST   5000000u
#define SINGLE     4 /* of more routers than this everything is read, side by side */

struct look {
    struct ferryd_job job;
    struct ferryd *d;
    struct ferryd_site *site; /* NULL: no topology */
    bool all;
    bool *which; /* [router] */
    size_t n_which;
    struct ferryd_sight sight;
    struct ferry_err err; /* "": none */
};

/* ---- On the looker. ---- */

static int read_routers(struct look *look, struct ferry_err *err)
{
    struct ferryd_site *site = look->site;
    if (look->all || !site->read || look->n_which > SINGLE) {
        if (site->status.live)
            ferry_status_clear(&site->status); /* with all that the pool has gathered */
        ferry_status_init(&site->status, site->topology);
        site->read = false;
        int r = ferry_status_read(&site->status, site->fleet, err);
        site->read = r == 0;
        return r;
    }
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < site->topology->n_routers; i++)
        if (look->which[i])
            r = ferry_status_read_router(&site->status, site->fleet, i, err);
    return r;
}

static void take_journal(struct ferryd_sight *sight, const struct ferry_unfinished *u)
{
    sight->journal = true;
    sight->moving = ferry_unfinished_moving(u);
    sight->running = u->running;
    sight->deadline_us = u->deadline_us;
    if (u->records.n) {
        memcpy(sight->tx, u->records.v[0]->id, sizeof sight->tx);
        sight->tx_state = u->records.v[0]->state;
    }
    memcpy(sight->newest, u->newest_id, sizeof sight->newest);
    sight->newest_state = u->newest_state;
}

/* Whether a router that answers owes something; what was deferred waits for a person, and what another
 * topology left for that one (C4 of deliver.c). */
static bool owing(const struct ferry_debts *debts, const struct ferry_status *s)
{
    for (size_t i = 0; i < debts->n; i++) {
        uint32_t r = ferry_topology_router(s->live->topology, debts->v[i].router);
        if (r != FERRY_NONE && !s->live->unreachable[r] &&
            s->live->topology->routers[r].policy != FERRY_POLICY_DEFERRED)
            return true;
    }
    return false;
}

static void take_routers(const struct look *look, const struct ferry_debts *debts, struct ferryd_sight *sight)
{
    const struct ferry_status *s = &look->site->status;
    const struct ferry_topology *t = look->site->topology;
    sight->n_routers = t->n_routers;
    sight->unreachable = ferry_memdup(s->live->unreachable, t->n_routers * sizeof *sight->unreachable);
    sight->n_unreachable = s->n_unreachable;
    sight->owing = owing(debts, s);
    sight->notes = ferry_calloc(s->n_drift, sizeof *sight->notes);
    for (size_t i = 0; i < s->n_drift; i++) {
        const struct ferry_path_drift *drift = &s->drift[i];
        sight->owing |= !strcmp(drift->what, FERRY_DRIFT_TWO_SITES);
        sight->notes[sight->n_notes++] = (struct ferryd_note){
            .subnet = ferry_strdup(t->subnets[s->live->subnets[drift->column]].name),
            .router = drift->router == FERRY_NONE ? NULL : ferry_strdup(t->routers[drift->router].name),
            .what = ferry_strdup(drift->what),
            .text = ferry_strdup(drift->text),
        };
    }
}

static bool same_journal(const struct ferry_unfinished *a, const struct ferry_unfinished *b)
{
    return !strcmp(a->newest_id, b->newest_id) && a->newest_state == b->newest_state;
}

static void work(struct ferryd_job *job)
{
    struct look *look = (struct look *)job;
    const struct ferry_env *env = &look->d->env;
    FERRY_CLEANUP(ferry_unfinished_clear) struct ferry_unfinished before = {0}, after = {0};
    uint64_t began = env->monotonic_us(env->ctx);
    bool routers = look->site && (look->all || look->n_which);
    look->err.text[0] = '\0';
    int r = ferry_unfinished_read(env, look->d->state_dir, &before, &look->err);
    routers = routers && r == 0 && !ferry_unfinished_moving(&before); /* L2 */
    if (routers) {
        r = read_routers(look, &look->err);
        if (r == 0)
            r = ferry_unfinished_read(env, look->d->state_dir, &after, &look->err);
    }
    if (r == 0)
        take_journal(&look->sight, routers ? &after : &before);
    if (r == 0 && routers && !look->sight.moving && same_journal(&before, &after)) { /* L3 */
        look->sight.judged = true;
        take_routers(look, &after.debts, &look->sight);
    }
    look->sight.at_us = env->realtime_us(env->ctx);
    look->sight.took_us = env->monotonic_us(env->ctx) - began;
}

void ferryd_sight_clear(struct ferryd_sight *sight)
{
    for (size_t i = 0; i < sight->n_notes; i++) {
        free(sight->notes[i].subnet);
        free(sight->notes[i].router);
        free(sight->notes[i].what);
        free(sight->notes[i].text);
    }
    free(sight->notes);
    free(sight->unreachable);
    *sight = (struct ferryd_sight){0};
}

/* ---- On the loop. ---- */

static bool wanted(const struct ferryd *d)
{
    bool any = d->want_all || d->want_journal;
    for (size_t i = 0; d->site && !any && i < d->site->topology->n_routers; i++)
        any = d->dirty[i];
    return any;
}

/* A look in `us`, or earlier where one was due already. */
static void arm(struct ferryd *d, uint64_t us)
{
    uint64_t now, at;
    int enabled = SD_EVENT_OFF;
    if (d->looking || d->stopping) /* its end looks for what is wanted */
        return;
    sd_event_now(d->event, CLOCK_MONOTONIC, &now);
    if (us < d->gap_us)
        us = d->gap_us; /* L1 */
    if (sd_event_source_get_enabled(d->look_timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
        sd_event_source_get_time(d->look_timer, &at) >= 0 && at <= now + us)
        return;
    sd_event_source_set_time(d->look_timer, now + us);
    sd_event_source_set_enabled(d->look_timer, SD_EVENT_ONESHOT);
}

static void look_free(struct look *look)
{
    ferryd_sight_clear(&look->sight);
    ferryd_site_unref(look->site);
    free(look->which);
    free(look);
}

/* What could not be judged is still to be read. */
static void want_again(struct ferryd *d, const struct look *look)
{
    if (look->site != d->site)
        return;
    d->want_all |= look->all;
    for (size_t i = 0; look->site && i < look->site->topology->n_routers; i++)
        d->dirty[i] |= look->which[i];
}

static void done(struct ferryd_job *job)
{
    struct look *look = (struct look *)job;
    struct ferryd *d = look->d;
    bool other = look->sight.journal && (strcmp(look->sight.newest, d->known.newest) != 0 ||
                                         look->sight.newest_state != d->known.newest_state);
    d->looking = false;
    if (job->dropped || d->stopping) {
        look_free(look);
        return;
    }
    uint64_t gap = 3 * look->sight.took_us;
    d->gap_us = gap < GAP_US ? GAP_US : gap > GAP_MOST ? GAP_MOST : gap;
    if (look->err.text[0])
        ferryd_log(4, NULL, "cannot look: %s", look->err.text);
    if (!look->sight.judged && !look->err.text[0])
        want_again(d, look);
    if (look->site != d->site) /* it was of another topology */
        look->sight.judged = false;
    bool moving = look->sight.moving;
    ferryd_take_sight(d, &look->sight);
    d->want_all |= other; /* a transaction began or ended */
    look_free(look);
    d->want_journal |= moving;
    if (wanted(d))
        arm(d, moving ? MOVING_US : SOON_US);
}

static int on_look(sd_event_source *source, uint64_t usec, void *ctx)
{
    struct ferryd *d = ctx;
    size_t n = d->site ? d->site->topology->n_routers : 0;
    (void)source;
    (void)usec;
    if (d->looking || !wanted(d))
        return 0;
    struct look *look = ferry_calloc(1, sizeof *look);
    *look = (struct look){.job = {.work = work, .done = done}, .d = d, .site = ferryd_site_ref(d->site)};
    look->all = d->want_all;
    look->which = ferry_calloc(n + 1, sizeof *look->which);
    for (size_t i = 0; i < n; i++) {
        look->which[i] = d->dirty[i];
        look->n_which += d->dirty[i];
        d->dirty[i] = false;
    }
    d->want_all = d->want_journal = false;
    d->looking = true;
    ferryd_worker_add(d->looker, &look->job);
    return 0;
}

void ferryd_look_all(struct ferryd *d)
{
    d->want_all = true;
    arm(d, SOON_US);
}

static int on_poll(sd_event_source *source, uint64_t usec, void *ctx)
{
    struct ferryd *d = ctx;
    ferryd_keep_state_dir(d);
    d->settle_failed = false; /* whatever stood in its way: it is tried again */
    ferryd_rest_poll(&d->deliver_rest);
    ferryd_rest_poll(&d->settle_rest);
    ferryd_look_watches(d);
    ferryd_look_all(d);
    sd_event_source_set_time(source, usec + d->options->poll_us);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* ---- What the kernels say. ---- */

void ferryd_look_router(struct ferryd *d, uint32_t router)
{
    d->dirty[router] = true;
    arm(d, SOON_US);
}

static void unwatch(struct ferryd *d, uint32_t router)
{
    d->watches[router] = sd_event_source_disable_unref(d->watches[router]);
    if (d->watch_fds[router] >= 0)
        close(d->watch_fds[router]);
    d->watch_fds[router] = -1;
}

/* Empties the queue, within reason; what is in it does not matter. */
static int on_watch(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    struct ferryd *d = ctx;
    uint32_t router = 0;
    static char bytes[65536];
    (void)source;
    (void)events;
    while (d->watch_fds[router] != fd)
        router++;
    ferryd_look_router(d, router);
    for (unsigned i = 0; i < 256; i++) {
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0 ||
            (n < 0 && (errno == ENOBUFS || errno == EINTR))) /* lost some: everything is read anyway */
            continue;
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            unwatch(d, router); /* the next poll opens it again */
        break;
    }
    return 0;
}

void ferryd_look_watch(struct ferryd *d, uint32_t router)
{
    const struct ferry_router *r = &d->site->topology->routers[router];
    const struct ferry_driver_ops *ops = d->options->find(r->driver.type);
    struct ferry_err why;
    unwatch(d, router);
    if (!ops || !ops->watch)
        return;
    int fd, result = ops->watch(&r->driver, &fd, &why);
    if (result < 0)
        return; /* it cannot be reached: the look says so */
    d->watch_fds[router] = fd;
    if (sd_event_add_io(d->event, &d->watches[router], fd, EPOLLIN, on_watch, d) < 0)
        unwatch(d, router);
    ferryd_look_router(d, router); /* what came before is not heard */
}

void ferryd_look_watches(struct ferryd *d)
{
    for (uint32_t i = 0; d->site && i < d->site->topology->n_routers; i++)
        if (d->watch_fds[i] < 0)
            ferryd_look_watch(d, i);
}

static void forget_site(struct ferryd *d, size_t n)
{
    for (uint32_t i = 0; i < n; i++)
        unwatch(d, i);
    free(d->watches);
    free(d->watch_fds);
    free(d->dirty);
    d->watches = NULL;
    d->watch_fds = NULL;
    d->dirty = NULL;
    d->n_watched = 0;
}

void ferryd_look_site(struct ferryd *d)
{
    size_t n = d->site ? d->site->topology->n_routers : 0;
    forget_site(d, d->n_watched);
    d->watches = ferry_calloc(n + 1, sizeof(sd_event_source *));
    d->watch_fds = ferry_calloc(n + 1, sizeof *d->watch_fds);
    d->dirty = ferry_calloc(n + 1, sizeof *d->dirty);
    d->n_watched = n;
    for (size_t i = 0; i < n; i++)
        d->watch_fds[i] = -1;
    ferryd_look_watches(d);
    ferryd_look_all(d);
}

/* ---- What the journal's file says. ---- */

static int on_journal(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
    struct ferryd *d = ctx;
    (void)source;
    ferryd_keep_state_dir(d);
    if (event->len && strncmp(event->name, "journal.db", 10) != 0)
        return 0;
    d->want_journal = true;
    arm(d, JOURNAL_US);
    return 0;
}

/* ---- Life. ---- */

int ferryd_look_start(struct ferryd *d, struct ferry_err *err)
{
    uint64_t now;
    sd_event_now(d->event, CLOCK_MONOTONIC, &now);
    int r = sd_event_add_time(d->event, &d->look_timer, CLOCK_MONOTONIC, 0, 1000, on_look, d);
    if (r >= 0)
        r = sd_event_source_set_enabled(d->look_timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time(d->event, &d->poll_timer, CLOCK_MONOTONIC, now + d->options->poll_us, 0,
                              on_poll, d);
    if (r >= 0)
        r = sd_event_add_inotify(d->event, &d->journal_watch, d->state_dir,
                                 IN_MODIFY | IN_DELETE | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF, on_journal,
                                 d);
    if (r < 0)
        return ferry_error(err, FERRY_EIO, "%s: cannot be watched: %s", d->state_dir, strerror(-r));
    d->want_journal = true;
    ferryd_look_site(d);
    arm(d, 0);
    return 0;
}

void ferryd_look_stop(struct ferryd *d)
{
    d->look_timer = sd_event_source_disable_unref(d->look_timer);
    d->poll_timer = sd_event_source_disable_unref(d->poll_timer);
    d->journal_watch = sd_event_source_disable_unref(d->journal_watch);
    forget_site(d, d->n_watched);
    ferryd_sight_clear(&d->known);
}
