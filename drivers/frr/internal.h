/* What the files of the FRR driver share.  README.md says which file does what.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_FRR_INTERNAL_H
#define FERRY_FRR_INTERNAL_H

#include "frr.h"
#include "remote/remote.h"

#include <base/mem.h>
#include <string.h>
#include <time.h>

struct json_object;

enum {
    FERRY_FRR_TAG = 2100,      /* of every static route that Ferry makes, docs/contract.md */
    FERRY_FRR_LINE_MAX = 4095, /* vtysh's buffer: a longer line is cut */
    FERRY_FRR_FEW = 4,         /* prefixes that are asked about one by one, and ahead */
    FERRY_FRR_WRITERS =
        4 /* files of a stage before the outage and of the two that make it; sshd has 10 sessions */
};

/* Those that are kept and asked. */
enum ferry_frr_talks {
    FERRY_FRR_SHOW, /* a vtysh that only ever hears `show` commands */
    FERRY_FRR_HAND, /* a shell: lock, daemons, what is saved */
    FERRY_FRR_IP4,  /* `ip -4 -batch`, for the kernel's routes, addresses, links and rules */
    FERRY_FRR_IP6,
    FERRY_FRR_TALKS,
};
struct ferry_frr_talk {
    struct ferry_remote_process *process; /* NULL: not open */
    struct {
        char question[256];
        uint64_t nonce;
    } ahead[12]; /* asked, and not heard yet, in this order */
    size_t n_ahead;
};

struct ferry_frr {
    struct ferry_driver_base base; /* first: the engine sees only this */
    const struct ferry_env *env;
    char *router;                      /* for texts */
    struct ferry_driver_config config; /* its VRFs: as they were seen last (vrf.c) */
    struct ferry_vrf *planned;         /* those that it was opened with: a plan's */
    size_t n_planned;
    bool tables; /* one other than main was asked about */
    struct ferry_remote *remote;
    char *state_dir; /* whose the claim is; or NULL */
    struct ferry_frr_talk talk[FERRY_FRR_TALKS];
    struct ferry_remote_process *writer[FERRY_FRR_WRITERS]; /* started `vtysh -f` that await their lines */
    struct ferry_remote_process
        *wrote; /* one whose lines are in effect, and that may not have ended; or NULL */
    uint64_t writer_since_us[FERRY_FRR_WRITERS]; /* monotonic */
    struct ferry_frr_config *running; /* what was read last, for the quick look of apply; NULL: nothing */
    uint64_t running_since_us;
    bool predicted;               /* it is what lines make of what was read (predict.c) */
    uint64_t checked_us;          /* monotonic: when check last looked at the router itself; 0: never */
    bool unbridged;               /* it was said that no rule could be laid (bridge.c) */
    struct ferry_prefix *bridged; /* whose rules stay until FRR's own route is in the kernel (bridge.c, B4) */
    size_t n_bridged;
    bool locked; /* between the stages of an outage */
    char *links; /* `ip link`, as heard last; NULL: not yet */
    /* What this driver was asked to announce (check): nothing else is held against the neighbours' deafness. */
    struct ferry_prefix *announced;
    size_t n_announced; /* driver.c frees it */
};

/* ---- Text that grows (text.c). ---- */

struct ferry_frr_text {
    char *v; /* NUL-terminated once something was added */
    size_t n, room;
};
void ferry_frr_text_add(struct ferry_frr_text *t, const char *fmt, ...) FERRY_PRINTF(2, 3);
void ferry_frr_text_clear(struct ferry_frr_text *t);

/* ---- Conversation (session.c). ---- */

/* Asks the kept vtysh: one `show` command (the driver's own text, never a topology's), its whole answer.  Opens vtysh
 * where none is open, and once more where the answer is not one.  `ret` is malloc'd and NUL-terminated. */
int ferry_frr_show(struct ferry_frr *d, const char *command, char **ret, size_t *ret_n,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* The same with `json` in the command: calls `each` for every document of the answer.  A negative return of
 * `each` ends it and comes back. */
int ferry_frr_show_json(struct ferry_frr *d, const char *command,
                        int (*each)(void *ctx, struct json_object *document, struct ferry_err *err),
                        void *ctx, struct ferry_err *err) FERRY_MUST_CHECK;
/* Every document of a text. */
int ferry_frr_json(const char *text, size_t n,
                   int (*each)(void *ctx, struct json_object *document, struct ferry_err *err), void *ctx,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* Asks the kept `ip` of a family: lines as `ip -batch` takes them, all they say. */
int ferry_frr_ip(struct ferry_frr *d, uint8_t family, const char *line, char **ret, size_t *ret_n,
                 struct ferry_err *err) FERRY_MUST_CHECK;
static inline enum ferry_frr_talks ferry_frr_ip_of(uint8_t family)
{
    return family == AF_INET6 ? FERRY_FRR_IP6 : FERRY_FRR_IP4;
}
/* Sends a question whose answer will be wanted soon, within this slot: the one who asks finds it on its way (S5). */
void ferry_frr_ahead(struct ferry_frr *d, enum ferry_frr_talks which, const char *question);
/* Says something whose answer nobody waits for. */
void ferry_frr_tell(struct ferry_frr *d, enum ferry_frr_talks which, const char *line);
/* Ends one of those that are kept; the next question starts another.  The hand's lock goes with it. */
void ferry_frr_lose(struct ferry_frr *d, enum ferry_frr_talks which);
/* What was asked ahead is not wanted any more: a slot begins, or lines were sent. */
void ferry_frr_forget(struct ferry_frr *d);
/* Asks the kept shell (router/frr.sh, verb frr_hand): one line, its whole answer. */
int ferry_frr_hand(struct ferry_frr *d, const char *line, char **ret, size_t *ret_n,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* Starts `vtysh -f` for the files that could come, until `wanted` of them wait (S4 of session.c). */
int ferry_frr_warm(struct ferry_frr *d, size_t wanted, struct ferry_err *err) FERRY_MUST_CHECK;
/* Gives lines to vtysh -f as one file; what they do can be seen before vtysh has ended.  -FERRY_EIO: not sent.
 * -FERRY_EUNKNOWN: perhaps. */
int ferry_frr_write_start(struct ferry_frr *d, const struct ferry_frr_text *lines,
                          struct ferry_remote_process **ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* 0: it ended, and what it said is in `ret_said` (malloc'd; "": nothing but what is harmless).  That says nothing about
 * what FRR did: look.  -FERRY_EUNKNOWN: it did not end in time.  Frees `p`. */
int ferry_frr_write_end(struct ferry_frr *d, struct ferry_remote_process *p, char **ret_said,
                        struct ferry_err *err) FERRY_MUST_CHECK;

void ferry_frr_pause(const struct ferry_frr *d, uint64_t us);
void ferry_frr_cool(struct ferry_frr *d);    /* ends those that wait for lines */
void ferry_frr_hang_up(struct ferry_frr *d); /* ends all three */

/* ---- The router's running configuration (config.c). ---- */

/* One `ip route` or `ipv6 route` line. */
struct ferry_frr_static {
    struct ferry_prefix prefix;
    enum ferry_entry_type type; /* unicast; blackhole; unreachable (reject) */
    uint32_t table;             /* FERRY_TABLE_MAIN where the line has none, and its VRF none (vrf.c) */
    uint32_t distance;          /* 1 where the line has none */
    uint32_t tag;               /* 0: none */
    struct ferry_addr via;      /* family 0: none */
    char dev[FERRY_DEV_LEN];    /* "": none, or (in `rest`) too long */
    bool onlink;
    char *vrf;      /* "" for the default one */
    char *line;     /* whole, as FRR prints it, without its indentation */
    unsigned order; /* FRR's */
    char *rest;     /* what the fields above cannot say, in FRR's words and order; "": nothing */
};
/* A top-level line and what is indented beneath it, without indentation, up to its `exit`.  `interface lan0` and
 * `router bgp 65001` are headers; deeper lines keep the indentation beyond one space. */
struct ferry_frr_block {
    char *header;
    char **lines;
    size_t n_lines;
};
struct ferry_frr_config {
    struct ferry_frr_block *blocks; /* all but static routes, in FRR's order */
    size_t n_blocks;
    struct ferry_frr_static *statics; /* by VRF (default first), prefix, table, distance, then FRR's order */
    size_t n_statics;
    struct ferry_vrf *vrfs; /* vrf.c: not from the configuration; name "": vtysh cannot be told */
    size_t n_vrfs;
    uint64_t hash; /* of the text, without what FRR changes by itself (the frame) */
};
/* `text` as `show running-config` says it.  -FERRY_EIO where it is no such thing (no end, NULs, a line without
 * meaning where a route is expected). */
int ferry_frr_config_parse(const char *text, size_t n, struct ferry_frr_config *ret,
                           struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_frr_config_clear(struct ferry_frr_config *config);
int ferry_frr_config_read(struct ferry_frr *d, struct ferry_frr_config *ret,
                          struct ferry_err *err) FERRY_MUST_CHECK;
#define FERRY_FRR_RUNNING "show running-config" /* what it asks */
/* Makes of a configuration that was read what static routes' lines, as vtysh is told them, make of it.  False, and half
 * done, where a line is none of the default VRF's static routes. */
bool ferry_frr_config_edit(struct ferry_frr_config *config, const char *lines) FERRY_MUST_CHECK;
/* Takes over what was read, as the newest. */
void ferry_frr_keep(struct ferry_frr *d, struct ferry_frr_config *running);
/* Whether that was read, not predicted, at most 100 ms ago: between the stages of an outage, in which the
 * lock is kept, it is not read a second time.  Somebody who configures FRR by hand meanwhile is seen by the
 * next look, as in the 3 ms that a look takes. */
bool ferry_frr_just_read(const struct ferry_frr *d);
const char *ferry_frr_after_prefix(const char *line); /* of "ip route PREFIX …" */
/* The first block with this header, or with this beginning and a space after it ("router bgp"), or NULL. */
const struct ferry_frr_block *ferry_frr_config_block(const struct ferry_frr_config *config,
                                                     const char *header);
/* The static routes of one prefix in the VRF that the table is, if that has any; else in the default one, those of
 * its other tables too: the first, and how many. */
const struct ferry_frr_static *ferry_frr_config_statics(const struct ferry_frr_config *config,
                                                        const struct ferry_prefix *prefix, uint32_t table,
                                                        size_t *ret_n);
/* Whether an op's new lines stand at another distance: FRR knows a next hop once a prefix, and would move it (L4 of
 * lines.c). */
bool ferry_frr_config_elsewhere(const struct ferry_frr_config *config, const struct ferry_op *op,
                                uint32_t *ret_distance);
#define FERRY_FRR_ELSEWHERE                                                                                  \
    "FRR has this next hop at distance %u, and would move it: it knows a next hop once a prefix"
/* The block of an interface, or NULL. */
const struct ferry_frr_block *ferry_frr_config_interface(const struct ferry_frr_config *config,
                                                         const char *name);
bool ferry_frr_block_has(const struct ferry_frr_block *block, const char *line); /* false for NULL */

/* ---- VRFs (vrf.c). ---- */

#define FERRY_FRR_VRFS "show vrf" /* what it asks */
/* Takes what `show vrf` says into a configuration: its VRFs, and the tables of their static routes. */
void ferry_frr_config_vrfs(struct ferry_frr_config *config, const char *text);
/* A table is in question. */
void ferry_frr_vrfs_note(struct ferry_frr *d, uint32_t table);
/* Whether it is asked, of a router with this configuration (NULL: not known yet). */
bool ferry_frr_vrfs_wanted(const struct ferry_frr *d, const struct ferry_frr_config *config);
/* Asks it where it is wanted, and keeps it in d->config, too. */
int ferry_frr_vrfs_read(struct ferry_frr *d, struct ferry_frr_config *config,
                        struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_frr_vrfs_ahead(struct ferry_frr *d); /* asks it ahead, behind the configuration */
/* The VRF that a table is, or NULL: the default one's. */
const struct ferry_vrf *ferry_frr_config_vrf(const struct ferry_frr_config *config, uint32_t table);
/* Whether a static route is in its table: not where it stands in the block of a VRF that is inactive or unknown. */
bool ferry_frr_static_counts(const struct ferry_frr_config *config, const struct ferry_frr_static *s);
bool ferry_frr_vrf_name_fits(const char *name); /* for vtysh, and for a plan */
/* Adds to `ret` those of d->running whose tables were asked about. */
void ferry_frr_vrfs_report(const struct ferry_frr *d, const struct ferry_query *query, struct ferry_fib *ret);
/* -FERRY_EREFUSED where it is not clear whose a route of the prefix in this table is. */
int ferry_frr_vrf_clear(const struct ferry_frr_config *config, const struct ferry_prefix *prefix,
                        uint32_t table, struct ferry_err *err) FERRY_MUST_CHECK;
/* The same, and where the op was planned for another VRF; against d->running. */
int ferry_frr_vrf_check(const struct ferry_frr *d, const struct ferry_op *op,
                        struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- The RIB (rib.c). ---- */

struct ferry_frr_leg {
    struct ferry_addr via;      /* family 0: none */
    char dev[FERRY_DEV_LEN];    /* "" for drops, and where not resolved */
    enum ferry_entry_type type; /* unicast; what it drops with else */
    uint16_t weight;            /* at least 1 */
    bool active, fib;           /* as FRR says */
    bool onlink;
    bool recursive; /* itself not in the FIB: what it resolves to follows */
    bool resolver;  /* what the recursive one before it resolves to */
};
struct ferry_frr_route {
    struct ferry_prefix prefix;
    char protocol[16]; /* "static", "connected", "kernel", "bgp", "ospf", … */
    uint32_t table, distance, metric, tag;
    bool selected;  /* FRR's best */
    bool installed; /* selected, destSelected, installed, and not offload failed */
    struct ferry_frr_leg *legs;
    size_t n_legs;
};
struct ferry_frr_rib {
    struct ferry_frr_route *routes;
    size_t n;
};
/* Appends FRR's routes of one table (of the VRF that it is): of one prefix, or of the whole family where `prefix` is NULL. */
int ferry_frr_rib_read(struct ferry_frr *d, uint8_t family, uint32_t table, const struct ferry_prefix *prefix,
                       struct ferry_frr_rib *rib, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_frr_rib_ahead(struct ferry_frr *d, uint8_t family, uint32_t table,
                         const struct ferry_prefix *prefix); /* asks it ahead */
void ferry_frr_rib_clear(struct ferry_frr_rib *rib);
/* Whether FRR's static routes of a prefix are exactly those lines of its configuration that have this table. */
bool ferry_frr_rib_says(const struct ferry_frr_rib *rib, const struct ferry_frr_static *s, size_t n,
                        uint32_t table);

/* ---- The kernel (kernel.c), through the kept `ip`s. ---- */

struct ferry_frr_kernel_route {
    struct ferry_prefix prefix;
    enum ferry_entry_type type;
    uint32_t table, metric;
    uint8_t protocol; /* rtm_protocol; 186 to 198: zebra's */
    struct ferry_nexthop *hops;
    uint16_t n_hops;
};
struct ferry_frr_kernel_address {
    char dev[FERRY_DEV_LEN];
    struct ferry_prefix address;
    bool usable; /* neither tentative nor found taken */
};
struct ferry_frr_kernel {
    struct ferry_frr_kernel_route *routes;
    size_t n_routes;
    struct ferry_frr_kernel_address *addresses;
    size_t n_addresses;
};
/* Appends what the kernel forwards with: of a whole family in every table ("routes"), of a prefix in a table with those
 * that cover it and lie within it ("route"), or of the prefix alone ("exact"). */
int ferry_frr_kernel_routes(struct ferry_frr *d, const char *what, uint8_t family,
                            const struct ferry_prefix *prefix, uint32_t table,
                            struct ferry_frr_kernel *kernel, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_frr_kernel_addresses(struct ferry_frr *d, uint8_t family, struct ferry_frr_kernel *kernel,
                               struct ferry_err *err) FERRY_MUST_CHECK;
/* The same, asked ahead. */
void ferry_frr_kernel_ahead(struct ferry_frr *d, const char *what, uint8_t family,
                            const struct ferry_prefix *prefix, uint32_t table);
void ferry_frr_addresses_ahead(struct ferry_frr *d, uint8_t family);
void ferry_frr_kernel_clear(struct ferry_frr_kernel *kernel);
/* Whether zebra put this route there, and would put it back. */
bool ferry_frr_kernel_zebra(const struct ferry_frr_kernel_route *route);
/* The kernel's best route of exactly this prefix, or NULL. */
const struct ferry_frr_kernel_route *ferry_frr_kernel_best(const struct ferry_frr_kernel *kernel,
                                                           const struct ferry_prefix *prefix, uint32_t table);

/* ---- What a router holds of one prefix (hold.c). ---- */

struct ferry_frr_look {
    const struct ferry_driver_config *config;
    const struct ferry_frr_config *running;
    const struct ferry_frr_rib *rib;       /* of the prefix at least; NULL: not asked */
    const struct ferry_frr_kernel *kernel; /* NULL: only what the configuration says is wanted */
};
/* Appends the entries of exactly the item's prefix, best first. */
void ferry_frr_hold(const struct ferry_frr_look *look, const struct ferry_query_item *item, uint32_t query,
                    enum ferry_relation relation, struct ferry_fib *ret);
/* NULL: RIB and kernel agree about this prefix.  Else what does not (static text). */
const char *ferry_frr_disagree(const struct ferry_frr_look *look, const struct ferry_prefix *prefix,
                               uint32_t table);
/* Whether the lines of a prefix need the RIB to be understood: a next hop without its interface. */
bool ferry_frr_needs_rib(const struct ferry_frr_config *running, const struct ferry_prefix *prefix,
                         uint32_t table);

/* ---- Lines (lines.c): what vtysh is told for an op.  Needs no router: `before` and `after` say it all. ---- */

/* Files in the order in which vtysh gets them; the first makes, the last breaks.  A swap of next hops is whole after
 * the first; a change between forwarding and dropping, which FRR does not let coexist, is one file. */
enum { FERRY_FRR_FILES = 2 };
struct ferry_frr_files {
    struct ferry_frr_text file[FERRY_FRR_FILES];
};
void ferry_frr_files_clear(struct ferry_frr_files *files);
/* Appends the lines of one op, absolute (each context entered from the top and left).  -FERRY_EREFUSED where FRR cannot
 * say it.  Nothing for an op of dynamic entries: their protocol does it. */
int ferry_frr_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                    struct ferry_frr_files *files, struct ferry_err *err) FERRY_MUST_CHECK;
/* The route that a routed gateway is made of. */
struct ferry_entry ferry_frr_gateway_route(const struct ferry_op *op, struct ferry_nexthop *hop);
/* What FRR knows a line (without "ip route PREFIX ") by. */
void ferry_frr_line_identity(const char *line, char *buf, size_t size);
/* Whether a name may stand in a line: an interface's, as the kernel allows it, and [A-Za-z0-9._:@-] only. */
bool ferry_frr_name_fits(const char *name);

/* ---- What protocols do (announce.c, neighbours.c, protocol.c). ---- */

/* The lines of an op of kind announcement, all in the first file.  They go *before* the lines of the same batch's
 * gateways: redistribution looks at a prefix-list in the moment in which the address comes or goes, and else only 5 s
 * later.  `router bgp` without an AS number enters the only instance: none is needed here. */
int ferry_frr_announce_lines(const struct ferry_driver_config *config, const struct ferry_op *op,
                             struct ferry_frr_files *files, struct ferry_err *err) FERRY_MUST_CHECK;
/* What this router originates of a prefix: true, with the entry (native malloc'd in *ret_native where not NULL), or
 * false. From the configuration alone, whether the statement has an effect now or not: a `network` becomes active as
 * soon as any static route of the prefix is selected, a pin too.  `config->area` takes on the notation in which the
 * router has it: FRR rewrites all lines of an area (`area 0 range …`) to that of the last `network`. */
bool ferry_frr_announce_find(struct ferry_driver_config *config, const struct ferry_frr_config *running,
                             const struct ferry_prefix *prefix, struct ferry_entry *ret,
                             uint8_t **ret_native);
const struct ferry_frr_block *ferry_frr_ospf_block(const struct ferry_frr_config *running); /* or NULL */
/* The block of BGP's default instance, or NULL; and the lines of its unicast family one by one: `*i` starts at 0, and
 * lines[*i - 1] is the one that was found.  False at the end. */
const struct ferry_frr_block *ferry_frr_bgp_block(const struct ferry_frr_config *running);
bool ferry_frr_bgp_next(const struct ferry_frr_block *block, uint8_t af, size_t *i);
/* Whether an announcement could be made or withdrawn: instance there, daemon alive, somebody to hear it. */
int ferry_frr_announce_check(struct ferry_frr *d, const struct ferry_frr_config *running,
                             const struct ferry_op *op, struct ferry_err *err) FERRY_MUST_CHECK;
/* After the lines: 1 where the protocol says so too, 0 not yet.  Of a withdrawal always 1: without its statement
 * nothing originates the prefix again, and waiting for bgpd's 50 ms would only lengthen the outage. */
int ferry_frr_announce_settled(struct ferry_frr *d, const struct ferry_op *op,
                               struct ferry_err *err) FERRY_MUST_CHECK;
/* Called by apply for every op before its lines.  Of a route that Ferry takes away again where it has made an
 * announcement (which the plan does last): waits until a neighbour was told, at most some seconds, and
 * refuses where none was.  0 at once for every other op, and where what was kept of the configuration (ferry_frr_keep)
 * has no announcement. */
int ferry_frr_announce_heard(struct ferry_frr *d, const struct ferry_op *op,
                             struct ferry_err *err) FERRY_MUST_CHECK;
/* Called by check once, with all ops, where the router's `routing` is a protocol: whether Ferry's static routes would
 * be redistributed into one, which would make every pinned router an origin. */
int ferry_frr_protocol_check(const struct ferry_frr *d, const struct ferry_frr_config *running,
                             struct ferry_err *err) FERRY_MUST_CHECK;
/* Called by check for every op on a route: whether what its protocol will do can be told from what it does now. */
int ferry_frr_protocol_op_check(const struct ferry_op *op, struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether a route of the RIB is one that BGP or OSPF made and that leads elsewhere, and then the entry it stands for
 * (next hops malloc'd in `ret->nexthops`): metric FERRY_DISTANCE_BGP or _OSPF (its own distance where that would
 * change its place among the static routes of the prefix), resolved legs, no native. */
bool ferry_frr_protocol_entry(const struct ferry_frr_config *running, const struct ferry_frr_route *route,
                              struct ferry_entry *ret);

/* ---- The slots (driver.c, read.c, apply.c, check.c, persist.c, native.c). ---- */

int ferry_frr_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                   struct ferry_err *err);
int ferry_frr_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);
int ferry_frr_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);
/* Lifts the rules that a Ferry left behind at the ops' prefixes (bridge.c). */
int ferry_frr_bridge_sweep(struct ferry_frr *d, const struct ferry_op *ops, size_t n,
                           struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether rules that stay do what FRR's best route will do once the kernel has it: drop. */
bool ferry_frr_bridge_holds(const struct ferry_frr *d, const struct ferry_frr_look *look,
                            const struct ferry_prefix *prefix, uint32_t table);
/* RIB and kernel agree about the prefix: its rules need not stay. */
void ferry_frr_bridge_over(struct ferry_frr *d, const struct ferry_prefix *prefix);
void ferry_frr_bridge_close(struct ferry_frr *d); /* the driver ends: lifts those that stayed */
/* Whether the interfaces that an op leads to exist. */
int ferry_frr_devices(struct ferry_frr *d, const struct ferry_op *op, struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether the daemons that Ferry needs answer; after the running configuration was read (check.c). */
int ferry_frr_daemons(struct ferry_frr *d, const struct ferry_driver_config *config,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether FRR would come back with what it runs with now. */
int ferry_frr_saved(struct ferry_frr *d, bool *ret_same, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_frr_persist(struct ferry_driver *driver, struct ferry_err *err);
int ferry_frr_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                       struct ferry_err *err);
int ferry_frr_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                     size_t size);
int ferry_frr_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                      const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                      unsigned *ret_left_s, struct ferry_err *err);

#endif
