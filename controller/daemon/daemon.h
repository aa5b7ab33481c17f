/* What the files of ferryd share.  README.md says which file does what.
 *
 * Invariants
 *  D1. The loop's thread owns everything here; what blocks (routers, journal) is a job of a worker (worker.h).
 *  D2. Nothing is locked while nothing is done: the journal's lock is taken by ferry_txn_recover, _confirm,
 *      _extend and by a reconciliation, and is gone when they return.
 *  D3. What the daemon knows it has read; what it was told (by the kernel, by inotify) is only a reason to read.
 *  D4. Nothing here decides what is safe: transactions are the engine's, drift is watch/paths.c's.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DAEMON_H
#define FERRY_DAEMON_H

#include "daemon/rest.h"
#include "daemon/worker.h"
#include "watch/status.h"

#include <ferry/topology.h>
#include <ferry/txn.h>
#include <sys/types.h>

struct ferryd_options {
    const char *topology_file; /* NULL: deadlines and recovery alone */
    const char *state_dir, *socket;
    const char
        *group; /* whose members may use the socket; NULL: root alone, and whoever the daemon runs as */
    mode_t socket_mode;    /* of the socket */
    uint64_t poll_us;      /* how often everything is read, whatever was heard */
    uint64_t readiness_us; /* how often every move is tried; 0: only when asked */
    uint64_t idle_us;      /* how long a client may say nothing */
    bool recover;          /* what was in flight is finished or undone without being asked */
    bool reconcile;        /* debts are delivered, and second sites detached, without being asked */
    const struct ferry_driver_ops *(*find)(const char *type);
};

/* A loaded topology and the drivers that reach its routers; replaced as a whole by a reload. */
struct ferryd_site {
    unsigned refs; /* the loop's, and one of every job that works with it; counted on the loop's thread */
    struct ferry_topology *topology;
    struct ferry_fleet *fleet;
    struct ferry_status status; /* what was read last: of the job that looks, alone */
    bool read;                  /* `status` was read whole once */
};

/* A drift that was noticed. */
struct ferryd_note {
    char *subnet, *router, *what, *text; /* router NULL: the subnet as a whole */
    uint64_t since_us;                   /* since 1970 */
};

/* What a look has found. */
struct ferryd_sight {
    bool journal;                  /* the journal could be read: the next seven are of it */
    bool moving;                   /* a transaction of ours was under way, or was left half way */
    bool running;                  /* by a controller that lives */
    enum ferry_txn_state tx_state; /* of `tx` */
    uint64_t deadline_us;          /* of the one that awaits its confirmation; 0: none does */
    char tx[24];                   /* the one that has not ended; "": none */
    char newest[24];               /* of all, and its state */
    enum ferry_txn_state newest_state;
    bool judged; /* the routers were read, and nobody of ours wrote meanwhile: the rest is so */
    struct ferryd_note *notes;
    size_t n_notes;
    bool owing;        /* a router that answers owes something, or a subnet is at two sites */
    bool *unreachable; /* [router] */
    size_t n_routers, n_unreachable;
    uint64_t at_us, took_us; /* since 1970, when it ended; how long it took */
};
void ferryd_sight_clear(struct ferryd_sight *sight);

struct ferryd_server;

struct ferryd {
    const struct ferryd_options *options;
    struct ferry_env env;
    sd_event *event;
    int lock_fd;
    char *state_dir;              /* absolute */
    struct ferryd_worker *looker; /* reads for the daemon */
    struct ferryd_worker *asker;  /* reads for clients, and tries every move */
    struct ferryd_worker *writer; /* recovers, confirms, extends, reconciles */
    struct ferryd_site *site;     /* NULL: no topology */
    struct ferryd_server *server;
    bool stopping;
    char problem[400]; /* what stands at the head of STATUS=: a topology that could not be loaded; "": none */
    char said[900];    /* the STATUS= that was said last */

    /* look.c, drift.c */
    struct ferryd_sight known;
    int *watch_fds; /* [router]; -1: it is polled */
    sd_event_source **watches;
    bool *dirty;      /* [router]: something may have changed there */
    size_t n_watched; /* of these three */
    bool want_all, want_journal, looking;
    sd_event_source *look_timer, *poll_timer, *journal_watch;
    uint64_t gap_us; /* at least so long between two looks */

    /* settle.c */
    bool settling, settle_failed;
    bool looked;                    /* the journal was read once */
    struct ferryd_rest settle_rest; /* of the one that is stuck */
    char settle_tx[24];             /* that one; "": none */
    sd_event_source *deadline_timer;

    /* deliver.c */
    bool delivering;
    struct ferryd_rest deliver_rest;
    struct ferry_err deliver_err; /* of the last time */

    /* ready.c */
    sd_event_source *ready_timer;
    bool trying;
    int ready; /* of the last time that every move was tried: 1 yes, 0 no, -1 not tried */
};

/* ---- log.c ---- */
/* One line for people: to the journal where stderr leads there (with FERRY_TX= where `tx` is given), else to
 * stderr.  From any thread. */
void ferryd_log(int priority, const char *tx, const char *fmt, ...) FERRY_PRINTF(3, 4);
void ferryd_env_log(void *ctx, enum ferry_log_level level, const char *fmt, va_list args);

/* ---- site.c ---- */
struct ferry_fleet_config ferryd_fleet_config(const struct ferryd *d);
int ferryd_site_load(const struct ferryd *d, struct ferryd_site **ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
struct ferryd_site *ferryd_site_ref(struct ferryd_site *site); /* NULL for NULL */
void ferryd_site_unref(struct ferryd_site *site);

/* ---- look.c: when something is read, and what ---- */
int ferryd_look_start(struct ferryd *d, struct ferry_err *err) FERRY_MUST_CHECK;
void ferryd_look_stop(struct ferryd *d);
/* After a reload: other routers. */
void ferryd_look_site(struct ferryd *d);
/* Soon everything, or one router, is read. */
void ferryd_look_all(struct ferryd *d);
void ferryd_look_router(struct ferryd *d, uint32_t router);
/* Listens to a router's kernel anew; to all that are not listened to. */
void ferryd_look_watch(struct ferryd *d, uint32_t router);
void ferryd_look_watches(struct ferryd *d);

/* ---- drift.c: what follows from a look ---- */
/* Takes the sight over. */
void ferryd_take_sight(struct ferryd *d, struct ferryd_sight *sight);
/* What STATUS= says. */
void ferryd_say_status(struct ferryd *d);
/* The document of the request `watch`. */
struct json_object *ferryd_watch_json(const struct ferryd *d);

/* ---- settle.c: deadlines and recovery ---- */
int ferryd_settle_start(struct ferryd *d, struct ferry_err *err) FERRY_MUST_CHECK;
void ferryd_settle_stop(struct ferryd *d);
/* Finishes or undoes what is unfinished, where it is time. */
void ferryd_settle(struct ferryd *d, const char *why);
/* After each look: the deadline may have come or gone, or a controller may have died. */
void ferryd_settle_consider(struct ferryd *d);

/* ---- deliver.c: debts ---- */
/* After each look: brings in line what came back, where there is something to do. */
void ferryd_deliver_consider(struct ferryd *d);

/* ---- ready.c ---- */
int ferryd_ready_start(struct ferryd *d, struct ferry_err *err) FERRY_MUST_CHECK;
void ferryd_ready_stop(struct ferryd *d);

/* ---- server.c ---- */
/* What would keep it from starting, as far as that is seen before anything is made. */
int ferryd_server_check(const struct ferryd *d, struct ferry_err *err) FERRY_MUST_CHECK;
int ferryd_server_start(struct ferryd *d, struct ferry_err *err) FERRY_MUST_CHECK;
void ferryd_server_stop(struct ferryd *d);

/* ---- loop.c ---- */
/* Ends the daemon where the file that it has locked is not the one in its state directory any more: another one could
 * work there already. */
void ferryd_keep_state_dir(struct ferryd *d);
/* Runs until it is told to stop.  0, or a negative code where it could not begin. */
int ferryd_run(const struct ferryd_options *options, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
