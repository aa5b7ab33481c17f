/* The interface of a router driver.  docs/writing-a-driver.md walks through the simulator's.
 *
 * One driver object is used by one thread at a time, not always the same one.  A driver writes only what an
 * op names, only where `before` is what it finds, and never says DONE about what it has not been told by the
 * router.  It needs no undo: the engine sends the op with before and after swapped.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DRIVER_H
#define FERRY_DRIVER_H

#include <ferry/env.h>
#include <ferry/fib.h>

enum ferry_kind {
    FERRY_KIND_ROUTE,
    FERRY_KIND_GATEWAY,
    FERRY_KIND_ANNOUNCEMENT,
    FERRY_KIND_DNS,
    FERRY_KIND_SELECTOR,
};
enum ferry_kind ferry_entry_kind(const struct ferry_entry *e);
const char *ferry_kind_name(enum ferry_kind kind); /* "route", "gateway", "announcement", "dns", "selector" */
/* Whether an entry stands under this key; of gateways and announcements a router has one a prefix, of traffic
 * selectors one a tunnel and side, of record sets a name server one a name and type (`metric` both). */
bool ferry_entry_has_key(const struct ferry_entry *e, enum ferry_kind kind, uint32_t table, uint32_t metric);

/* UNKNOWN is 0, so that a forgotten initialisation is safe. */
enum ferry_outcome {
    FERRY_UNKNOWN = 0, /* sent, or perhaps sent, and no answer: read back */
    FERRY_DONE,        /* the router acknowledged it */
    FERRY_REFUSED,     /* the router, or the driver before sending, said no: nothing changed */
    FERRY_STALE,       /* found something else than `before`: nothing changed */
};
const char *ferry_outcome_name(enum ferry_outcome outcome);

/* One change of one key for one prefix. */
struct ferry_op {
    enum ferry_kind kind;
    struct ferry_prefix prefix;
    uint32_t table, metric;           /* the key of a route; else the table of its subnet's routes, and 0 */
    const struct ferry_entry *before; /* what must be found; NULL: nothing under this key */
    const struct ferry_entry *after;  /* what shall be there; NULL: nothing */
    const struct ferry_gateway *gateway; /* kind gateway: where and which address */
    const char *interface;               /* its interface's name, or NULL */
    bool stretched;   /* the subnet lives at another site, too: its address there may answer here */
    const char *name; /* kind dns: whose record set; the prefix is none */
    /* Results. */
    enum ferry_outcome outcome;
    char *why; /* text for REFUSED, STALE and UNKNOWN; NULL: nothing to say.  The op's own: see below */
};

/* Sets `why`, in place of what stood there.  A copy of an op whose `why` is set owns nothing: set the copy's
 * to NULL.  What a driver finds in `why` when it is called is older than the call: it frees that. */
void ferry_op_why(struct ferry_op *op, const char *fmt, ...) FERRY_PRINTF(2, 3);
void ferry_op_clear(struct ferry_op *op); /* frees `why` */
void ferry_ops_clear(struct ferry_op *ops, size_t n);

/* An undo that the router does by itself when nobody confirms in time, also when the controller is gone. */
struct ferry_deadman_step {
    unsigned delay_s; /* after the deadline: steps of one plan keep their order across routers */
    struct ferry_op *ops;
    size_t n_ops;
};
struct ferry_deadman {
    const char *id;                         /* of the transaction: names the record on the router */
    unsigned seconds;                       /* ARM, EXTEND, NEXT: the deadline, from now */
    const struct ferry_deadman_step *steps; /* ARM: in order; before and after swapped already */
    size_t n_steps;
    /* ARM, LIMIT: steps of less delay are not run; LIMIT: nor are those of `to_s` and more (0: of none). */
    unsigned from_s, to_s;
    /* NEXT, MOVE, SETTLE: whether the new deadline is the earlier one. */
    bool earlier;
    /* MOVE: steps of this delay and more are run after the later one of two deadlines. */
    unsigned split_s;
    /* EXTEND: how much is left, as the asker has seen it.  Where that differs by more than
     * FERRY_DEADMAN_LATE_S from what there is, the deadline stays: the message was late, or another one was
     * there first.  0: not asked for. */
    unsigned seen_s;
};
#define FERRY_DEADMAN_LATE_S                                                                                 \
    5u /* less than any two deadlines are apart whose order matters (docs/confirm.md) */
enum ferry_deadman_verb {
    FERRY_DEADMAN_ARM,     /* uploaded, synced, the timer runs, read back */
    FERRY_DEADMAN_EXTEND,  /* another deadline in its place; `seen_s` */
    FERRY_DEADMAN_CONFIRM, /* keeps what holds now, and ends the timer */
    FERRY_DEADMAN_DISARM,  /* after an undo by the engine: the record goes */
    FERRY_DEADMAN_LOOK,    /* only asks */
    FERRY_DEADMAN_LIMIT, /* which steps are run; the deadline stays, and `to_s` only ever gets less; where the
                              others rest `from_s` alone, which only gets more */
    FERRY_DEADMAN_NEXT,  /* a second deadline, `earlier` or later; every step stays with the first one */
    FERRY_DEADMAN_MOVE,  /* steps go over to the new one: `split_s`; none comes back */
    FERRY_DEADMAN_SETTLE, /* all have come to the new one, which is the only one now */
};
#define FERRY_DEADMAN_ALL_EARLIER UINT32_MAX /* a `split_s`: none is */
/* What the router says of its record: armed is left once, under one lock, by whoever comes first. */
enum ferry_deadman_state {
    FERRY_DEADMAN_NONE, /* there is none */
    FERRY_DEADMAN_ARMED,
    FERRY_DEADMAN_CONFIRMED,
    FERRY_DEADMAN_FIRED,  /* the undo has begun, or is done */
    FERRY_DEADMAN_MOVING, /* armed, and there are two deadlines; what is left is left of the first one */
    FERRY_DEADMAN_RESTS, /* of two deadlines the first one's steps are done, the others wait; a disarm ends it */
};

struct ferry_driver; /* each driver's own; begins with a struct ferry_driver_base */

struct ferry_driver_ops {
    const char *type; /* "netlink" */

    /* Reaches the router; writes nothing to it.  `router` indexes the topology or plan that the config is of.
     * `initial` is for the simulator alone: what it holds at first (NULL: nothing); it outlives the driver.
     * -FERRY_EIO where the router cannot be reached. */
    int (*open)(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                struct ferry_err *err);
    void (*close)(struct ferry_driver *driver); /* takes NULL */

    /* What the router holds now, straight from the router, no cache. */
    int (*read)(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                struct ferry_err *err);

    /* Whether the ops could work: interfaces exist and are up, next hops resolve, no address conflict,
     * rp_filter does not bite.  No side effect on the router's state.  Sets ops[i].outcome to DONE (nothing
     * speaks against it) or REFUSED with why; a negative return is about the router as a whole. */
    int (*check)(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);

    /* Applies the ops in order, each compare-and-set on its whole `before`.  Fills every outcome.  Returns 0
     * also when some were not done; negative (-FERRY_EIO, -FERRY_EUNKNOWN) when the connection failed, the
     * outcomes still being honest. */
    int (*apply)(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);

    /* Makes what holds now survive a restart of the router, where the driver can.  NULL: not applicable. */
    int (*persist)(struct ferry_driver *driver, struct ferry_err *err);

    /* Tells the LAN who the gateway is: gratuitous ARP (RFC 5227 §3) or unsolicited NA (RFC 4861 §7.2.6) for
     * the attached gateways of these ops.  Best effort.  NULL: not applicable. */
    int (*announce)(struct ferry_driver *driver, const struct ferry_op *ops, size_t n, struct ferry_err *err);

    /* The commands a person would type for this op, one a line ("ip …"), into buf; what --format native
     * prints. Needs no open driver: static.  Returns the length that it needs, as snprintf. */
    int (*native)(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                  size_t size);

    /* The dead-man.  Returns 0 with what the router says after it; a late CONFIRM or EXTEND finds FIRED and
     * changes nothing.  `ret_left_s`: of ARMED the seconds until the deadline; of FIRED 0 once the undo is over.
     * -FERRY_EIO: nothing was sent; -FERRY_EUNKNOWN: LOOK again.  NULL: not applicable. */
    int (*deadman)(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                   const struct ferry_deadman *deadman, enum ferry_deadman_state *ret, unsigned *ret_left_s,
                   struct ferry_err *err);

    /* Keeps every other Ferry from claiming this router, from before a transaction reads what it will write until
     * it ends (`wanted` false) or the driver is closed.  -FERRY_ELOCKED, and who has it.  NULL: not applicable. */
    int (*claim)(struct ferry_driver *driver, bool wanted, struct ferry_err *err);

    /* For whoever watches the router: a file descriptor that becomes readable when something there may have
     * changed.  Whatever is read from it, an error included, says just that and no more: the router is then
     * to be asked.  Non-blocking; the caller closes it.  Needs no open driver: static.  It ends with the
     * router's namespace: once the router was not reachable, or was another one under the same name, a new
     * one is needed.  -FERRY_EIO where it cannot be reached.  NULL: poll. */
    int (*watch)(const struct ferry_driver_config *config, int *ret_fd, struct ferry_err *err);
};

struct ferry_driver_base {
    const struct ferry_driver_ops *ops;
    /* Set before each apply: another one for this router follows at once, within the outage.  A driver that
     * locks its router may keep the lock until then. */
    bool more;
    /* Set before each apply: the plan has no other one for this router.  Nothing need be made ready. */
    bool last;
};

/* The registry: the only place, beside main, that names concrete drivers.  NULL where there is none. */
const struct ferry_driver_ops *ferry_driver_find(const char *type);

#endif
