/* Inside the engine: views of what routers hold, batches of ops, and the transaction itself.
 *
 *  - txn_begin.c: what comes before the first write; txn_check.c: the prechecks;
 *  - txn.c: step, abort: the state machine;
 *  - apply.c, txn_undo.c: a stage forward, a stage backward; txn_batch.c: a stage as ops and their read-back;
 *  - txn_view.c: reading routers, comparing;
 *  - txn_await.c, txn_fence.c: waiting for routing protocols, doing without lost routers;
 *  - hooks.c, pause.c: programs and pauses between the stages, going on after a pause;
 *  - verify.c, recover.c: the end state, delivered from everywhere; after a crash.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_ENGINE_H
#define FERRY_TXN_ENGINE_H

#include "txn/journal.h"

#include "base/mem.h"

/* ---- Views: some (router, subnet) pairs and what was read there. ---- */

/* One subnet on one router. */
struct ferry_cell {
    uint32_t router, group, subnet; /* indices into the plan; subnet: into its group */
    const struct ferry_stack *expected;
};

/* The cells of one router, next to each other. */
struct ferry_view_part {
    uint32_t router;
    size_t first_cell, n_cells;
    struct ferry_query query;
    struct ferry_fib fib; /* what was read */
    int result;           /* 0: `fib` says what the router holds */
    struct ferry_err err;
    uint32_t *next; /* [fib item]: the next item of the same cell, plus one */
};

struct ferry_view {
    struct ferry_plan *plan;
    struct ferry_cell *cells;
    struct ferry_query_item *items; /* [cell] */
    uint32_t *head;                 /* [cell]: its first fib item, plus one */
    size_t n_cells;
    struct ferry_view_part *parts; /* by router, ascending */
    size_t n_parts;
};

/* A cell to be: cells must be added router by router. */
void ferry_view_add(struct ferry_view *view, const struct ferry_cell *cell);
/* After the last cell: builds parts and queries. */
void ferry_view_finish(struct ferry_view *view);
void ferry_view_clear(struct ferry_view *view);
/* The READ job of a part, and its result taken over. */
struct ferry_job ferry_view_job(const struct ferry_view_part *part);
void ferry_view_take(struct ferry_view *view, struct ferry_view_part *part, struct ferry_job *job);
/* Reads the parts for which `which[part]` is set (NULL: all), side by side. */
void ferry_view_read(struct ferry_view *view, struct ferry_fleet *fleet, const bool *which);

/* What was found under a key: an entry, NULL for nothing, or `ferry_many` where two entries share the key. */
extern const struct ferry_entry ferry_many;
const struct ferry_entry *ferry_view_key(const struct ferry_view *view, const struct ferry_view_part *part,
                                         size_t cell, enum ferry_kind kind, uint32_t table, uint32_t metric);
/* What forwards there of all that was found, or NULL. */
const struct ferry_entry *ferry_view_best(const struct ferry_view *view, const struct ferry_view_part *part,
                                          size_t cell);
/* Whether a protocol, not the router's driver, makes this change. */
bool ferry_change_by_itself(const struct ferry_change *change);
/* The entry that is meant on this cell: the gateway's snapshot where there is one. */
const struct ferry_entry *ferry_cell_entry(const struct ferry_plan *plan, const struct ferry_cell *cell,
                                           const struct ferry_entry *e);
/* Equal in all but the routers' indices, which drivers do not know.  NULL equals NULL alone. */
bool ferry_entry_same(const struct ferry_entry *a, const struct ferry_entry *b);
/* Whether what was found is what is wanted there, under the rule for a protocol's routes (V3). */
bool ferry_entry_as_wanted(const struct ferry_entry *want, const struct ferry_entry *found);
/* Whether packets go the same way; NULL goes like NULL alone. */
bool ferry_entry_same_way(const struct ferry_entry *a, const struct ferry_entry *b);
/* Whether the cell holds exactly `stack`.  Of a protocol's routes only the one that forwards counts, and of
 * that only where it leads (V3). */
bool ferry_view_holds(const struct ferry_view *view, const struct ferry_view_part *part, size_t cell,
                      const struct ferry_stack *stack);

struct ferry_hands {
    struct ferry_hand *v;
    size_t n;
};
void ferry_hands_add(struct ferry_hands *hands, const char *router, char *key,
                     const struct ferry_entry *expected, const struct ferry_entry *found, bool silent);
/* "route 192.168.1.0/24 metric 20", "gateway 192.168.1.0/24", "dns app1.example.com. A"; malloc'd.  `name` is
 * of kind dns. */
char *ferry_key_text(const struct ferry_prefix *prefix, const char *name, enum ferry_kind kind,
                     uint32_t table, uint32_t metric);
/* Every key of the cell where `stack` and what was found differ. */
void ferry_view_diff(const struct ferry_view *view, const struct ferry_view_part *part, size_t cell,
                     const struct ferry_stack *stack, struct ferry_hands *hands);

/* ---- State: what every router should hold, by (group, router). ---- */

const struct ferry_stack **ferry_states_initial(const struct ferry_plan *plan);
/* Takes the states over a stage; with `back` the other way. */
void ferry_states_stage(struct ferry_plan *plan, const struct ferry_stack **states, size_t stage, bool back);
static inline size_t ferry_state_at(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    return group * plan->n_routers + router;
}
/* [group * n_routers + router]: the table in which a router holds the routes of a group.  malloc'd. */
uint32_t *ferry_plan_tables(const struct ferry_plan *plan);
/* The gateway of a subnet on a router, or NULL. */
const struct ferry_plan_gateway *ferry_plan_gateway_at(const struct ferry_plan *plan, uint32_t group,
                                                       uint32_t subnet, uint32_t router);

/* ---- Batches: a stage, or a slice of its subnets, as ops with their read-back. ---- */

struct ferry_batch_op {
    const struct ferry_change *change;
    uint32_t subnet;
    size_t cell;    /* in the view */
    size_t outcome; /* index into the record's outcomes */
};

struct ferry_batch {
    struct ferry_view view;
    struct ferry_op *ops; /* by view part, next to each other, in the plan's order */
    struct ferry_batch_op *refs;
    size_t n_ops;
    size_t *part_first;     /* [n_parts + 1]: first op of each part */
    struct ferry_job *jobs; /* APPLY and READ of each part */
};

/* Ops at most in one batch: an op takes 1.2 KiB, and a stage may have ten million. */
#define FERRY_BATCH_OPS 131072u

/* Subnets a batch: a stage is cut by subnets, so that each batch still works on all of its routers at once.
 */
size_t ferry_batch_width(const struct ferry_stage *stage);
/* The subnets [from, from + width) of the stage's groups.  `states`: what is expected once the stage is done
 * (NULL: not compared).  NULL where there are none. */
struct ferry_batch *ferry_batch_new(struct ferry_plan *plan, size_t stage, size_t from, size_t width,
                                    const struct ferry_stack *const *states);
void ferry_batch_free(struct ferry_batch *batch);

/* ---- Exclusivity: which gateways are attached, as last read. ---- */

enum ferry_attached { FERRY_DETACHED, FERRY_ATTACHED, FERRY_ATTACHED_UNKNOWN };

struct ferry_interlock {
    struct ferry_plan *plan;
    uint8_t *state;  /* [gateway of every subnet of every group]; enum ferry_attached */
    size_t **offset; /* [group][subnet]: its first gateway */
    /* [group * n_routers + router]: attached at first, at the end */
    bool *old, *new;
    /* Lost routers count as detached: nobody leads there any more, or all is on its way back to where it was. */
    bool fenced;
};
void ferry_interlock_init(struct ferry_interlock *lock, struct ferry_plan *plan);
void ferry_interlock_clear(struct ferry_interlock *lock);
/* Takes over what a view has read, or could not read. */
void ferry_interlock_see(struct ferry_interlock *lock, const struct ferry_view *view,
                         const struct ferry_view_part *part);
/* The router of another site that is, or may be, attached, so that `router` must not attach; or
 * FERRY_NO_ROUTER. */
uint32_t ferry_interlock_conflict(const struct ferry_interlock *lock, uint32_t group, uint32_t subnet,
                                  uint32_t router);

/* ---- Longer prefixes inside a moved one (txn_specific.c). ---- */

struct ferry_specific {
    uint32_t group, subnet, router;
    struct ferry_prefix prefix;
    uint32_t table, metric;
};
/* Appends those that a view has read. */
void ferry_specifics_collect(const struct ferry_view *view, struct ferry_specific **v, size_t *n);
void ferry_specifics_sort(struct ferry_specific *v, size_t n);
bool ferry_specifics_have(const struct ferry_specific *v, size_t n, const struct ferry_specific *s);

/* ---- The dead-man (txn_deadman.c). ---- */

struct ferry_dead_man {
    enum ferry_deadman_state state;
    unsigned left_s;
    int result; /* negative: it did not say */
    struct ferry_err err;
    uint64_t asked_us,
        heard_us; /* the last one that it gave: when it was asked for, and when it had come, monotonic */
    uint64_t first_us,
        last_us; /* the last deadline that it was told is not before, and not after, monotonic */
};
struct ferry_dead_men {
    bool on;                        /* this transaction has one */
    bool protocols;                 /* BGP or OSPF must converge in the undo: pins go late */
    unsigned window_s, margin_s;    /* to confirm; for the apply */
    size_t late;                    /* the first stage whose undo waits for it, or n_stages */
    size_t n_fired;                 /* how many were seen to undo by themselves */
    uint64_t fired_us;              /* when an undo by a router was first seen, monotonic; 0: none was */
    uint64_t until_us;              /* the earliest deadline, monotonic; 0: not known */
    bool *changed;                  /* [router]: by the plan: it has an undo */
    struct ferry_dead_man *answers; /* [router]: the last ones */
    bool *maybe;                    /* [router]: it was told to arm, and has not said since that it is not */
};

/* ---- The transaction. ---- */

struct ferry_txn {
    const struct ferry_env *env;
    struct ferry_journal *journal;
    struct ferry_fleet *fleet;
    struct ferry_plan *plan;
    struct ferry_txn_record record; /* its plan is `plan`, which the caller owns */
    void (*progress)(void *ctx, enum ferry_txn_event event, size_t stage, const char *text);
    void *progress_ctx;
    const char *(*interrupted)(void);
    bool hold;
    bool held; /* verified, and waiting */
    unsigned n_reasons;
    bool undo_said; /* the journal knows that the undo has begun */
    size_t stage;   /* forward: stages [0, stage) are done; backward: stages [stage, …) are undone */
    bool ended;
    bool kept;                            /* was committed, and made to last */
    size_t n_due;                         /* the last of record.hands: ferry_txn_persist_due */
    const struct ferry_stack **states;    /* after stages [0, stage), forward only */
    struct ferry_batch **ready;           /* [stage]: built before the outage began */
    size_t first_critical, last_critical; /* stages of the outage: first detach to last attach */
    struct ferry_interlock interlock;
    struct ferry_journal_events events;
    struct ferry_specific *specifics; /* longer prefixes that stood there before, sorted */
    size_t n_specifics;
    struct ferry_dead_men dead;
    bool claimed;                /* some of its routers, or all: txn_claim.c */
    size_t next_hook;            /* forward: hooks [0, next_hook) have been passed */
    size_t back_hook;            /* backward: hooks [back_hook, …) have been looked at */
    bool hooks_unsaved;          /* the journal does not know yet what became of them */
    struct ferry_resumed *taken; /* where it was taken up from the journal: owned */
};

void ferry_txn_point(const struct ferry_env *env, const char *name);
void ferry_txn_say(struct ferry_txn *txn, enum ferry_txn_event event, size_t stage, const char *fmt, ...)
    FERRY_PRINTF(4, 5);
void ferry_txn_set_state(struct ferry_txn *txn, enum ferry_txn_state state);
void ferry_txn_set_reason(struct ferry_txn *txn, const char *text);
/* From here on the journal must not fail unseen: -FERRY_EIO becomes -FERRY_EUNKNOWN. */
int ferry_txn_save(struct ferry_txn *txn, const char *crash_point, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_txn_sleep(struct ferry_txn *txn, uint64_t us);
/* A transaction without journal row yet: what begin, precheck and recover share. */
struct ferry_txn *ferry_txn_new(const struct ferry_env *env, struct ferry_fleet *fleet,
                                struct ferry_plan *plan, const struct ferry_txn_options *options);

/* Keeps other controllers from its routers; see txn_claim.c.  -FERRY_ELOCKED. */
int ferry_txn_claim(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_txn_release(struct ferry_txn *txn);
/* Proves, reads, compares, lets drivers check.  Writes nothing anywhere. */
int ferry_txn_check(struct ferry_txn *txn, struct ferry_hands *drift, struct ferry_err *err) FERRY_MUST_CHECK;
/* 0: the stage is done and read back.  1: it failed, the reason is set. */
int ferry_txn_apply_stage(struct ferry_txn *txn);
/* Waits until the protocol's routes go the way of the plan on those routers that the stage (`back`: its undo)
 * leaves to them.  0: they do.  1: they did not in time, the reason is set.  2: `back`, and routers have
 * undone by themselves meanwhile. */
int ferry_txn_await(struct ferry_txn *txn, size_t stage, bool back);
/* Before a stage that attaches, where routers are lost: the fence is read.  0: it stands.  1: not so, the
 * reason is set. */
int ferry_txn_fence(struct ferry_txn *txn, size_t stage);
/* -FERRY_EREFUSED (rule lost-site) where a router that was attested to be dead answers, and is attached. */
int ferry_txn_check_attested(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* Reads a view of everything; asks again where a router that is needed is silent. */
void ferry_txn_read_patiently(struct ferry_txn *txn, struct ferry_view *view, const bool *needed);
/* 0: every router holds the end state.  1: not so, the reason is set. */
int ferry_txn_verify(struct ferry_txn *txn);
/* 1: a longer prefix has appeared since the prechecks, the reason is set. */
int ferry_txn_verify_specifics(struct ferry_txn *txn, const struct ferry_view *view);
/* Where the undo goes on after routers have undone by themselves: no further than it was. */
void ferry_txn_place(struct ferry_txn *txn);
/* 0: every change of the stage is back at `before`.  1: not all of them are.  2: routers have undone by
 * themselves meanwhile. */
int ferry_txn_undo_stage(struct ferry_txn *txn, size_t stage);
/* Reads everything and says UNDONE or STUCK, with hands. */
void ferry_txn_undo_end(struct ferry_txn *txn);
/* Announces the gateways that the plan, or its undo, has attached. */
void ferry_txn_announce(struct ferry_txn *txn, bool back);
/* A hand for every router that is yet to keep what it holds: the end is durable before, and who dies between
 * the two must not leave a move that a restart would revoke without a word.  `undue` takes them away again. */
void ferry_txn_persist_due(struct ferry_txn *txn);
void ferry_txn_persist_undue(struct ferry_txn *txn);
/* Makes the changed routers keep what they hold; a hand stays where one cannot.  Whether there was anything
 * to do: then the record is saved once more. */
bool ferry_txn_persist(struct ferry_txn *txn);
/* Cells of every router for every moved subnet, a slice of subnets at a time. */
void ferry_txn_view_all(struct ferry_plan *plan, const struct ferry_stack *const *states, size_t from,
                        size_t width, struct ferry_view *ret);
size_t ferry_txn_view_width(const struct ferry_plan *plan);
/* The most subnets of any group. */
size_t ferry_plan_widest(const struct ferry_plan *plan);
/* [router]: whether the plan needs it: it holds something, is changed, or could be attached.  malloc'd. */
bool *ferry_plan_needed(const struct ferry_plan *plan);

/* A transaction that has, or had, a dead-man with this window. */
void ferry_txn_deadman_init(struct ferry_txn *txn, unsigned window_s);
void ferry_txn_deadman_clear(struct ferry_txn *txn);
/* -FERRY_EREFUSED (rule dead-man) where a changed router has none; 0 where none is wanted. */
int ferry_txn_deadman_check(const struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* On all changed routers, or on none. */
int ferry_txn_deadman_arm(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* A new deadline on all of them.  1: some are not armed any more. */
int ferry_txn_deadman_set(struct ferry_txn *txn, unsigned seconds, struct ferry_err *err) FERRY_MUST_CHECK;
/* Before a stage: there is time enough.  1: not so, the reason is set. */
int ferry_txn_deadman_stage(struct ferry_txn *txn);
struct ferry_deadman_look {
    size_t n[FERRY_DEADMAN_RESTS + 1]; /* by state; MOVING is among ARMED too, RESTS among FIRED */
    size_t n_silent;
    size_t n_undoing;      /* of those fired: the undo is not over */
    unsigned least_left_s; /* of those that wait; UINT32_MAX: none does */
    struct ferry_err why;  /* of a silent one */
};
void ferry_txn_deadman_look(struct ferry_txn *txn, struct ferry_deadman_look *ret);
/* A deadline that was put off in part (MOVING) is now put off by all.  As ferry_txn_deadman_set. */
int ferry_txn_deadman_finish(struct ferry_txn *txn, struct ferry_deadman_look *ret,
                             struct ferry_err *err) FERRY_MUST_CHECK;
/* 0: all are confirmed, read back.  1: some had fired.  Negative: some do not say. */
int ferry_txn_deadman_confirm(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* While a stage waits: likewise. */
int ferry_txn_deadman_ahead(struct ferry_txn *txn);
/* Before the engine undoes, each stage of that, and while it waits: no router's own undo comes between.
 * True: some have undone by themselves since it was asked last; ferry_txn_place. */
bool ferry_txn_deadman_back(struct ferry_txn *txn);
/* [router]: those of this stage that may undo later ones by themselves; malloc'd.  And what takes that from them:
 * `armed` are those that have not heard of it. */
bool *ferry_txn_deadman_armed_later(const struct ferry_txn *txn, size_t stage);
void ferry_txn_deadman_give_up_later(struct ferry_txn *txn, size_t stage, bool *armed);
/* After an undone stage.  False: a router may lay its pins again, and the undo must not go on. */
bool ferry_txn_deadman_undone(struct ferry_txn *txn, size_t stage) FERRY_MUST_CHECK;
/* After an undo.  True: some had begun their own, and have ended it: the routers must be read again. */
bool ferry_txn_deadman_disarm(struct ferry_txn *txn);
/* Then: where one did not answer it is a hand, and STUCK. */
void ferry_txn_deadman_left(struct ferry_txn *txn);
/* How long an undo takes on the routers, in seconds from the deadline. */
unsigned ferry_txn_deadman_lasts(const struct ferry_txn *txn);

/* ---- Hooks (hooks.c). ---- */

/* Those of the plan, and a pause before each of these phases (bits). */
void ferry_txn_hooks_init(struct ferry_txn *txn, unsigned pause_before);
/* How long they may take together, in seconds. */
unsigned ferry_txn_hooks_last(const struct ferry_txn *txn);
/* -FERRY_EREFUSED (rule pause) where a dead-man would not wait for a person. */
int ferry_txn_hooks_check(const struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* The one place where a hook's state changes. */
void ferry_txn_hook_mark(struct ferry_txn *txn, struct ferry_txn_hook *hook, enum ferry_hook_state state);
/* Whether one is to be passed before the next stage. */
bool ferry_txn_hook_due(const struct ferry_txn *txn);
/* Passes it, or turns back.  1: step again.  0: paused. */
int ferry_txn_hook_forward(struct ferry_txn *txn);
/* Takes back one that lies behind the stages that are undone; false: none was left. */
bool ferry_txn_hook_backward(struct ferry_txn *txn, bool outage);
/* What the journal does not know yet; that it cannot be written is said, no more. */
void ferry_txn_hooks_save(struct ferry_txn *txn);
/* Whether all of them are done, or skipped. */
bool ferry_txn_hooks_whole(const struct ferry_txn *txn);
/* What a crash has cut off, or NULL; malloc'd. */
char *ferry_txn_hook_cut_off(const struct ferry_txn *txn);
/* A hand for each that is not taken back. */
void ferry_txn_hooks_hands(const struct ferry_txn *txn, struct ferry_hands *hands);
/* From now on step undoes, from this stage on; 1, for ferry_txn_step. */
int ferry_txn_turn(struct ferry_txn *txn, size_t stage);

/* Undoes what is paused. */
int ferry_txn_revert_paused(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- Taking up a transaction of the journal (recover.c, confirm.c). ---- */

struct ferry_resumed {
    struct ferry_txn_record *stored;
    struct ferry_fleet *fleet;
    struct ferry_txn *txn;
};
/* With the lock held. */
int ferry_txn_resume(struct ferry_journal *journal, const struct ferry_fleet_config *config,
                     const struct ferry_txn_options *options, const char *id, struct ferry_resumed *ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_txn_resumed_clear(struct ferry_resumed *resumed);
/* Whether every router holds the end state, verified. */
bool ferry_txn_is_whole(struct ferry_txn *txn);
/* Undoes whatever is found, as after a crash. */
int ferry_txn_recover_undo(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* The same where a dead-man is, or was, armed: routers that undo by themselves are let finish. */
int ferry_txn_turn_back(struct ferry_txn *txn, const char *reason, struct ferry_err *err) FERRY_MUST_CHECK;
/* Of one that awaits its confirmation: leaves it alone before the deadline, settles it after. */
int ferry_txn_overdue(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;
/* COMMITTED, durable, then persisted. */
int ferry_txn_commit(struct ferry_txn *txn, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
