/* The daemon's life: one loop, three workers, what is started and stopped in which order.
 * SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define LOST 1 /* what the loop ends with where the state directory is no longer this daemon's */

/* ---- One daemon a state directory. ---- */

/* The directory is made by the journal's opening, which also finds a journal that nobody can use before
 * anything else is done. */
static int take_state_dir(struct ferryd *d, struct ferry_err *err)
{
    struct ferry_journal *journal = NULL;
    int r = ferry_journal_open(&d->env, d->options->state_dir, &journal, err);
    ferry_journal_close(journal);
    if (r < 0)
        return r;
    d->state_dir = realpath(d->options->state_dir, NULL);
    if (!d->state_dir)
        return ferry_error(err, FERRY_EIO, "%s: %s", d->options->state_dir, strerror(errno));
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/daemon.lock", d->state_dir);
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0)
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB)) {
        char pid[32] = "";
        ssize_t n = read(d->lock_fd, pid, sizeof pid - 1);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        return ferry_error(err, FERRY_ELOCKED, "%s: another ferryd works on it%s%s", d->state_dir,
                           pid[0] ? ": process " : "", pid);
    }
    (void)!ftruncate(d->lock_fd, 0);
    (void)!dprintf(d->lock_fd, "%ld\n", (long)getpid());
    return 0;
}

static void problem(struct ferryd *d, const char *text)
{
    snprintf(d->problem, sizeof d->problem, "%s", text);
    ferryd_say_status(d);
}

void ferryd_keep_state_dir(struct ferryd *d)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/daemon.lock", d->state_dir);
    struct stat ours, there;
    if (d->stopping || fstat(d->lock_fd, &ours))
        return;
    if (stat(path, &there) ? errno != ENOENT && errno != ENOTDIR
                           : there.st_dev == ours.st_dev && there.st_ino == ours.st_ino)
        return;
    FERRY_AUTOFREE char *text = ferry_asprintf("%s was taken away, and with it perhaps the journal", path);
    problem(d, text);
    d->stopping = true;
    sd_event_exit(d->event, LOST);
}

/* ---- Signals. ---- */

/* The old one is kept where the new one is no good. */
static void reload(struct ferryd *d)
{
    struct ferry_err err;
    struct ferryd_site *site = NULL;
    uint64_t now = d->env.monotonic_us(d->env.ctx);
    if (!d->options->topology_file) {
        ferryd_log(5, NULL, "SIGHUP: no topology file was given, there is nothing to reload");
        return;
    }
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now);
    if (ferryd_site_load(d, &site, &err) < 0) {
        ferryd_log(3, NULL, "SIGHUP: the topology is kept as it was: %s", err.text);
        FERRY_AUTOFREE char *text = ferry_asprintf("topology not reloaded: %s", err.text);
        problem(d, text);
    } else {
        ferryd_site_unref(d->site);
        d->site = site;
        ferryd_sight_clear(&d->known);
        d->ready = -1;
        ferryd_rest_over(&d->deliver_rest); /* another topology may refuse less */
        ferryd_look_site(d);
        ferryd_log(5, NULL, "SIGHUP: reloaded %s", d->options->topology_file);
        problem(d, "");
    }
    sd_notify(0, "READY=1");
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *ctx)
{
    struct ferryd *d = ctx;
    if (info->ssi_signo == SIGHUP) {
        reload(d);
        return 0;
    }
    d->stopping = true;
    sd_notify(0, "STOPPING=1\nSTATUS=ending what was begun");
    ferryd_log(5, NULL, "%s: stopping", info->ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
    return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* ---- Start and stop. ---- */

static int start_loop(struct ferryd *d, struct ferry_err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < FERRY_COUNT(signals); i++)
        sigaddset(&set, signals[i]);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before there is any thread */
    int r = sd_event_new(&d->event);
    for (size_t i = 0; r >= 0 && i < FERRY_COUNT(signals); i++)
        r = sd_event_add_signal(d->event, NULL, signals[i], on_signal, d);
    if (r >= 0)
        r = sd_event_set_watchdog(d->event, true); /* pings at half of $WATCHDOG_USEC, if there is one */
    return r < 0 ? ferry_error(err, FERRY_EIO, "no event loop: %s", strerror(-r)) : 0;
}

static int start(struct ferryd *d, struct ferry_err *err)
{
    int r = ferryd_server_check(d, err);
    if (r == 0)
        r = start_loop(d, err);
    if (r == 0)
        r = take_state_dir(d, err);
    if (r == 0 && d->options->topology_file)
        r = ferryd_site_load(d, &d->site, err);
    if (r == 0)
        r = ferryd_worker_new(d->event, &d->looker, err);
    if (r == 0)
        r = ferryd_worker_new(d->event, &d->asker, err);
    if (r == 0)
        r = ferryd_worker_new(d->event, &d->writer, err);
    if (r == 0)
        r = ferryd_server_start(d, err);
    if (r == 0)
        r = ferryd_settle_start(d, err); /* before the first look, which may name the same transaction */
    if (r == 0)
        r = ferryd_look_start(d, err);
    if (r == 0)
        r = ferryd_ready_start(d, err);
    return r;
}

static void stop(struct ferryd *d)
{
    d->stopping = true;
    ferryd_worker_free(d->writer); /* what it has begun it ends */
    ferryd_worker_free(d->asker);
    ferryd_worker_free(d->looker);
    ferryd_server_stop(d);
    ferryd_ready_stop(d);
    ferryd_settle_stop(d);
    ferryd_look_stop(d);
    ferryd_site_unref(d->site);
    sd_event_unref(d->event);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    free(d->state_dir);
}

int ferryd_run(const struct ferryd_options *options, struct ferry_err *err)
{
    struct ferryd d = {.options = options, .env = ferry_env_real, .lock_fd = -1, .ready = -1};
    d.env.log = ferryd_env_log;
    int r = start(&d, err);
    if (r == 0) {
        ferryd_log(5, NULL, "watching %s, state in %s, listening at %s",
                   d.site ? d.site->topology->name : "no topology", d.state_dir, options->socket);
        ferryd_say_status(&d);
        sd_notifyf(0, "READY=1\nMAINPID=%ld", (long)getpid());
        int ended = sd_event_loop(d.event);
        if (ended < 0)
            r = ferry_error(err, FERRY_EIO, "the event loop ended: %s", strerror(-ended));
        if (ended == LOST)
            r = ferry_error(err, FERRY_EIO, "%s: stopping", d.problem);
    }
    stop(&d);
    return r;
}
