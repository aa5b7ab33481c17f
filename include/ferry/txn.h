/* Transactions: the fleet of routers, the journal, and the engine that applies, verifies, undoes, recovers.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_H
#define FERRY_TXN_H

#include <ferry/plan.h>
#include <ferry/prove.h>

/* ---- Fleet: one open driver a router, opened when first used, all worked on side by side. ---- */

struct ferry_fleet;

/* Where routers and their drivers come from. */
struct ferry_fleet_config {
    const struct ferry_env *env;
    /* ferry_driver_find in production; tests wrap it with faults. */
    const struct ferry_driver_ops *(*find)(const char *type);
    const char *state_dir;
    /* What a simulated router holds at first; NULL: nothing is known (recovery: it must have state of its
     * own). `ret` is then owned by the fleet. */
    int (*initial)(void *ctx, uint32_t router, struct ferry_fib *ret, struct ferry_err *err);
    void *initial_ctx;
    unsigned workers; /* threads at most; 0: one a router, 64 at most */
    /* How long a router may take for one job, in milliseconds; 0: 10,000.  Big ones get 50 us an op or
     * question on top.  After that the job is -FERRY_EUNKNOWN and the router counts as silent until its
     * worker comes back: jobs for it wait a quarter of this, then fail unsent. */
    unsigned deadline_ms;
};

/* `names` and `configs` are indexed by router and outlive the fleet. */
int ferry_fleet_new(const struct ferry_fleet_config *config, const char *const *names,
                    const struct ferry_driver_config *const *configs, size_t n_routers,
                    struct ferry_fleet **ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* The routers of a topology, sims starting at home; of a plan, sims starting as it found them (one without state of its
 * own was never written to).  `initial` of the config, where there is one, goes first. */
int ferry_fleet_for_topology(const struct ferry_fleet_config *config, const struct ferry_topology *t,
                             struct ferry_fleet **ret, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_fleet_for_plan(const struct ferry_fleet_config *config, const struct ferry_plan *plan,
                         struct ferry_fleet **ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_fleet_free(struct ferry_fleet *fleet);

/* One router's part of a batch. */
struct ferry_job {
    uint32_t router;
    enum {
        FERRY_JOB_READ,
        FERRY_JOB_CHECK,
        FERRY_JOB_APPLY,
        FERRY_JOB_ANNOUNCE,
        FERRY_JOB_PERSIST,
        FERRY_JOB_DEADMAN,
        FERRY_JOB_CLAIM, /* until released, also over a new connection */
        FERRY_JOB_RELEASE,
    } verb;
    const struct ferry_query *query; /* READ */
    struct ferry_fib fib;            /* READ: result */
    struct ferry_op *ops;            /* CHECK, APPLY, ANNOUNCE */
    size_t n_ops;
    bool more, last;                      /* APPLY: see struct ferry_driver_base */
    enum ferry_deadman_verb deadman_verb; /* DEADMAN, with its results: */
    const struct ferry_deadman *deadman;
    enum ferry_deadman_state deadman_state;
    unsigned deadman_left_s;
    int result; /* the driver's, or of opening it */
    struct ferry_err err;
};
/* Runs all jobs, several at once (jobs of one router in order), and waits for all of them, but not longer than the
 * deadline for any.  Works on copies: what the jobs point to need not outlive the call, whoever comes back late.  Where
 * nothing was sent (no driver, not reachable, silent) result is negative and outcomes are REFUSED; where
 * the deadline passed they are UNKNOWN.  A driver whose connection failed is opened anew for the next job. */
void ferry_fleet_run(struct ferry_fleet *fleet, struct ferry_job *jobs, size_t n);
/* Whether the router's driver has a dead-man at all. */
bool ferry_fleet_has_deadman(const struct ferry_fleet *fleet, uint32_t router);
/* Whether it keeps what it holds only when told (persist). */
bool ferry_fleet_has_persist(const struct ferry_fleet *fleet, uint32_t router);
/* Whether other Ferrys can be kept from it. */
bool ferry_fleet_has_claim(const struct ferry_fleet *fleet, uint32_t router);
/* Reads all rows of `live`; unreachable routers are marked there, not an error. */
int ferry_fleet_read_live(struct ferry_fleet *fleet, struct ferry_live *live,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* The same of one router alone, in place of what stood in its row. */
int ferry_fleet_read_row(struct ferry_fleet *fleet, struct ferry_live *live, uint32_t router,
                         struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- Records: what the journal knows of a transaction (docs/contract.md, "Transaction document"). ---- */

enum ferry_txn_state {
    FERRY_TXN_READY,
    FERRY_TXN_APPLYING,
    FERRY_TXN_VERIFYING,
    FERRY_TXN_AWAITING_CONFIRM,
    FERRY_TXN_COMMITTED,
    FERRY_TXN_UNDOING,
    FERRY_TXN_UNDONE,
    FERRY_TXN_STUCK,
    FERRY_TXN_PAUSED, /* a person is asked for, by a hook; see ferry_txn_pass */
};
const char *ferry_txn_state_name(enum ferry_txn_state state);

struct ferry_hand {
    char *router, *key, *expected, *found; /* found: "unknown" where the router is silent */
};

struct ferry_outage {
    char *vantage; /* router from which it was probed */
    double ms;     /* the longest gap between answers that holds lost probes, in milliseconds */
    uint64_t lost, sent;
    uint64_t ttl_exceeded, duplicates;
    bool lasts; /* no answer to the last probes, or to none at all: it goes on, and lasted `ms` at least */
};

/* What became of a hook.  Of one that a crash cut off RUNNING is all that is known. */
enum ferry_hook_state {
    FERRY_HOOK_WAITING,
    FERRY_HOOK_RUNNING,
    FERRY_HOOK_PAUSED,
    FERRY_HOOK_DONE,
    FERRY_HOOK_FAILED,
    FERRY_HOOK_SKIPPED,
    FERRY_HOOK_UNDONE,
    FERRY_HOOK_UNDO_FAILED,
};
const char *ferry_hook_state_name(enum ferry_hook_state state);

struct ferry_txn_hook {
    struct ferry_hook hook; /* owned, like everything here */
    bool added;             /* a pause that only this transaction has (--pause-before) */
    enum ferry_hook_state state;
    uint64_t started_us, ended_us; /* of the last run; since 1970 UTC; 0: not (yet) */
    int status;                    /* of ferry_program_end; 0 while there is none */
    unsigned tries;
    char *user;                 /* who has let it pass, retried or skipped it, or NULL */
    char *output, *undo_output; /* or NULL */
};

/* A rule that was overridden, by whom and when, and what it would have refused (NULL: nothing, as it came out). */
struct ferry_txn_override {
    char *rule, *user, *refused;
    uint64_t at_us;
};

struct ferry_txn_record {
    char id[24];  /* "20261120-101502-3fa9": UTC start and 16 random bits; sorts by time */
    char *kind;   /* "apply", "rollback", "drill" */
    char *undoes; /* id of the transaction that a rollback undoes, or NULL */
    char *user;
    char *reason; /* why it was undone or is stuck; NULL */
    enum ferry_txn_state state;
    uint64_t started_us, ended_us, deadline_us; /* since 1970 UTC; 0: not (yet) */
    struct ferry_plan *plan;                    /* NULL in lists */
    char plan_id[65];
    char *summary; /* "app: primary -> recovery", for lists */
    /* [stage][change][subnet of the change's group], flattened in that order; see ferry_txn_outcome_at.  What became of
     * each change when it was applied; what an undo could not put back is among the hands. */
    enum ferry_outcome *outcomes;
    size_t n_outcomes;
    unsigned guard_s;    /* between stages of the undo by routers; 0: there is none */
    size_t stages_begun; /* of later stages nothing was ever sent: their UNKNOWN means just that */
    struct ferry_hand *hands;
    size_t n_hands;
    struct ferry_outage *outages;
    size_t n_outages;
    struct ferry_txn_hook *hooks; /* in the order in which they run; not in lists */
    size_t n_hooks;
    struct ferry_txn_override *overrides; /* not in lists */
    size_t n_overrides;
};
void ferry_txn_record_free(struct ferry_txn_record *record);
enum ferry_outcome ferry_txn_outcome_at(const struct ferry_txn_record *r, size_t stage, size_t change,
                                        size_t subnet);

/* ---- Journal: SQLite under the state directory. ---- */

struct ferry_journal;
/* Creates directory (0700) and file where missing. */
int ferry_journal_open(const struct ferry_env *env, const char *state_dir, struct ferry_journal **ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* To look at: `ret` stays NULL where there is no journal, and none is made for a look. */
int ferry_journal_look(const struct ferry_env *env, const char *state_dir, struct ferry_journal **ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* What is said where there is none, and a transaction is wanted: that `id` is unknown (-FERRY_EUSAGE); of none in
 * particular (NULL) that there is none in that state, by the rule (-FERRY_EREFUSED). */
int ferry_journal_missing(const char *state_dir, const char *id, const char *rule, const char *text,
                          struct ferry_err *err);
void ferry_journal_close(struct ferry_journal *journal);
/* Newest first, without plans and outcomes; at most `limit` (0: all). */
int ferry_journal_list(struct ferry_journal *journal, size_t limit, struct ferry_txn_record ***ret,
                       size_t *ret_n, struct ferry_err *err) FERRY_MUST_CHECK;
/* `id` may be a unique prefix, or NULL or "last" for the newest.  -FERRY_EUSAGE where there is none. */
int ferry_journal_get(struct ferry_journal *journal, const char *id, struct ferry_txn_record **ret,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* Adds what the prober measured. */
int ferry_journal_add_outage(struct ferry_journal *journal, const char *id,
                             const struct ferry_outage *outages, size_t n,
                             struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- Engine. ---- */

struct ferry_txn;

enum ferry_txn_event { FERRY_EVENT_STAGE_START, FERRY_EVENT_STAGE_DONE, FERRY_EVENT_STATE, FERRY_EVENT_NOTE };

struct ferry_txn_options {
    const char *kind;   /* "apply", "rollback", "drill" */
    const char *undoes; /* id, or NULL */
    const char *user;
    /* Seconds; 0: none.  After the verification it awaits a confirmation for so long; else the routers undo it by
     * themselves, also without the controller (rule "dead-man" where one cannot). */
    unsigned confirm_within_s;
    /* Progress; may be NULL.  `stage` is SIZE_MAX where it does not apply. */
    void (*progress)(void *ctx, enum ferry_txn_event event, size_t stage, const char *text);
    void *progress_ctx;
    /* Rules that the caller has overridden, beside those of the plan; what they would have refused is noted.
     * May be NULL. */
    struct ferry_overrides *overrides;
    /* Seconds that a subnet rests after a committed move (rule hold-down); 0: none.  Not of rollbacks. */
    unsigned hold_down_s;
    /* Of ferry_txn_take_up: simulated routers that were never written to start at home, which the topology
     * knows whole, the plan only for its own subnets.  Used where the plan is of it; may be NULL. */
    const struct ferry_topology *topology;
    /* Pauses before these phases too: bits 1 << enum ferry_phase. */
    unsigned pause_before;
    /* Why a long wait for routing protocols shall end in the undo, or NULL: go on.  May be NULL. */
    const char *(*interrupted)(void);
};

/* Takes the lock, refuses while another transaction is unfinished (rule "unfinished"), claims the routers
 * until the transaction is freed (-FERRY_ELOCKED: another controller has one), proves the plan, reads all
 * routers and compares with the plan's `before`s and initial state (-FERRY_EDRIFT, with every drift in
 * ret_drift), lets the drivers check, then makes the plan and every intent durable.  Nothing is written to a
 * router. -FERRY_ELOCKED, -FERRY_EREFUSED, -FERRY_EDRIFT, -FERRY_EIO. */
int ferry_txn_begin(struct ferry_journal *journal, struct ferry_fleet *fleet, struct ferry_plan *plan,
                    const struct ferry_txn_options *options, struct ferry_txn **ret,
                    struct ferry_hand **ret_drift, size_t *ret_n_drift,
                    struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether ferry_txn_begin would refuse for another transaction's sake, for callers with nothing to begin: what
 * they saw on the routers may be in mid-move, or about to be undone.  -FERRY_EREFUSED (rule unfinished),
 * -FERRY_ELOCKED while it runs. */
int ferry_txn_look(struct ferry_journal *journal, struct ferry_err *err) FERRY_MUST_CHECK;
/* All that ferry_txn_begin would refuse, without lock, claim and write: `apply --dry-run`.  `journal` is NULL
 * where there is none yet.  What a router says only when it is armed (-FERRY_EREFUSED of begin, rule
 * dead-man) is not heard.  Errors: as begin. */
int ferry_txn_rehearse(struct ferry_journal *journal, struct ferry_fleet *fleet, struct ferry_plan *plan,
                       const struct ferry_txn_options *options, struct ferry_hand **ret_drift,
                       size_t *ret_n_drift, struct ferry_err *err) FERRY_MUST_CHECK;
/* What the routers say against it alone: proof, drift, the drivers' checks. */
int ferry_txn_precheck(struct ferry_fleet *fleet, struct ferry_plan *plan, struct ferry_hand **ret_drift,
                       size_t *ret_n_drift, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_hands_free(struct ferry_hand *hands, size_t n);

/* Rule hold-down alone: no subnet of the plan was moved by a transaction that was committed less than so long ago. */
int ferry_txn_rested(struct ferry_journal *journal, const struct ferry_plan *plan, unsigned hold_down_s,
                     struct ferry_overrides *overrides, struct ferry_err *err) FERRY_MUST_CHECK;

/* One step: a hook, a stage applied on all its routers and read back, or the verification, or one stage of
 * the undo.  1: call again.  0: it has ended (or is PAUSED, or waits after verification, where `hold` was
 * asked for or a confirmation is awaited); see the state. */
int ferry_txn_step(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* Steps until it has ended. */
int ferry_txn_run(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* From now on step undoes: after a signal, a failed probe, or at the end of a drill (also when committed).
 * Steps then return 1 until UNDONE or STUCK. */
int ferry_txn_abort(struct ferry_txn *txn, const char *reason, struct ferry_err *err) FERRY_MUST_CHECK;
/* For drills: stay in VERIFYING after a good verification (step returns 0) instead of committing. */
void ferry_txn_hold(struct ferry_txn *txn);
enum ferry_txn_state ferry_txn_state(const struct ferry_txn *txn);
const struct ferry_txn_record *ferry_txn_record(const struct ferry_txn *txn);
/* Releases the lock and the routers.  A transaction that has not ended stays unfinished in the journal, for recover. */
void ferry_txn_free(struct ferry_txn *txn);

/* What a person says of a PAUSED one: the step is done; run what has failed once more; go on without it. */
enum ferry_pass { FERRY_RESUME, FERRY_RETRY, FERRY_SKIP };
/* Lets a transaction of this process go on: step it then.  `user` is noted with the hook.  -FERRY_EREFUSED
 * (rules not-paused, pause): that verb does not fit. */
int ferry_txn_pass(struct ferry_txn *txn, enum ferry_pass how, const char *user,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* Takes up a PAUSED one of the journal (`id` NULL: the one that is), with the lock: proves it again, and
 * every router must hold what the journal says (-FERRY_EDRIFT, nothing was written); then lets it go on.
 * `ret` is to be stepped. */
int ferry_txn_take_up(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, const char *id, enum ferry_pass how,
                      struct ferry_txn **ret, struct ferry_hand **ret_drift, size_t *ret_n_drift,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* What it is paused at, or NULL. */
const struct ferry_txn_hook *ferry_txn_paused_at(const struct ferry_txn_record *record);

/* After a crash: takes the lock, and brings the unfinished transaction, if there is one, to UNDONE or
 * COMMITTED (where every router already holds the post-state) or STUCK, from the journal and the routers
 * alone.  One that awaits its confirmation is left alone until its deadline, a PAUSED one altogether
 * (but for a drill).  1: there was nothing to do.  Running it twice changes
 * nothing more; a stuck transaction is tried again. */
int ferry_txn_recover(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, struct ferry_txn_record **ret,
                      struct ferry_err *err) FERRY_MUST_CHECK;

/* What awaits its confirmation; `id` NULL: the one that does.  Each gives the record as it stands afterwards: when they
 * come too late, or a router has undone its part already, the rest is undone too (UNDONE or STUCK).
 * -FERRY_EIO: a router could not be asked, and all is as before the call.  -FERRY_EREFUSED: it does not await
 * anything (rule not-awaiting), or no longer holds what was applied (rule verification). */
int ferry_txn_confirm(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                      const struct ferry_txn_options *options, const char *id, struct ferry_txn_record **ret,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* The deadline is then `seconds` from now; never earlier than it was (-FERRY_EREFUSED, rule extend). */
int ferry_txn_extend(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                     const struct ferry_txn_options *options, const char *id, unsigned seconds,
                     struct ferry_txn_record **ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* Undoes it now; also a PAUSED one. */
int ferry_txn_revert(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                     const struct ferry_txn_options *options, const char *id, struct ferry_txn_record **ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
/* The longest window, and the longest step of extend, in seconds: clocks of routers differ. */
#define FERRY_CONFIRM_MOST_S 86400u
#define FERRY_EXTEND_MOST_S  7200u

#endif
