/* A plan: which changes, in which stages, from which state (docs/plan-document.md).
 *
 * A plan stands alone: proving, applying, undoing and recovering need no topology file.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_H
#define FERRY_PLAN_H

#include <ferry/driver.h>
#include <ferry/fib.h>
#include <ferry/hook.h>
#include <ferry/rules.h>

enum ferry_phase { FERRY_PREPARE, FERRY_DETACH, FERRY_ATTACH, FERRY_SETTLE };
const char *ferry_phase_name(enum ferry_phase phase);

struct ferry_plan_router {
    char *name;
    char *site;                        /* NULL where a hand-made document does not say */
    struct ferry_driver_config driver; /* type NULL likewise */
    /* Not under control while this plan runs: nothing is known of what it holds, and it is neither read nor
     * written.  The plan is safe whatever it does. */
    bool lost;
    uint32_t *neighbours; /* of a lost one: the routers at the other ends of its links */
    size_t n_neighbours;
};

/* A gateway of a moved subnet, by value. */
struct ferry_plan_gateway {
    struct ferry_gateway gateway;  /* router: index into plan->routers; interface: unused */
    char interface[FERRY_DEV_LEN]; /* "" for none */
    /* The attachment as it was found, with the driver's native snapshot; NULL: the plain one. */
    const struct ferry_entry *attached;
};

struct ferry_plan_subnet {
    char *name;
    struct ferry_prefix prefix;
    struct ferry_plan_gateway *gateways;
    size_t n_gateways;
};

/* What a router falls to while it holds nothing for the prefix. */
struct ferry_cover {
    struct ferry_prefix prefix;
    const struct ferry_entry *entry; /* NULL: none */
};

/* Subnets whose changes are the same on every router but for the prefix itself. */
struct ferry_group {
    char *id; /* "g1", …; of a name "d1", … */
    /* Not subnets but one name, whose record sets name servers hold: its subnet is that name, with no prefix. */
    bool dns;
    char *from; /* site, or NULL where it was attached nowhere */
    char *to;
    /* It lives at several sites at once: exclusivity is not asked, but that nothing is lost, in any stage. */
    bool stretched;
    struct ferry_plan_subnet *subnets;
    size_t n_subnets;
    const struct ferry_stack **initial; /* [router]; NULL: holds nothing */
    struct ferry_cover *covers;         /* [router] */
};

/* A machine's address before and after: what a plan gives it, or takes back.  No router holds it: it is the journal's
 * (ferry/reservation.h), and whoever changes machines and DNS goes by it. */
struct ferry_plan_address {
    char *machine, *nic;
    struct ferry_addr own; /* by which the topology knows it */
    char *network, *network_after;
    struct ferry_addr before, after;
    char *reason; /* ferry_address_why_name */
};

struct ferry_change {
    uint32_t router; /* index into plan->routers */
    uint32_t group;  /* index into plan->groups */
    enum ferry_kind kind;
    uint32_t table, metric; /* key of a route; else the table of its subnet's routes, and 0 */
    const struct ferry_entry *before, *after; /* interned in plan->pool; NULL: nothing */
    const char
        *why; /* static text or owned by the plan's pool of strings: one phrase for people; may be NULL */
};

struct ferry_stage {
    enum ferry_phase phase;
    struct ferry_change *changes;
    size_t n_changes;
};

struct ferry_plan {
    char id[65];  /* sha256 of the document without `id` and `proof`, as docs/plan-document.md says */
    char *mode;   /* "planned", "disaster", "reconcile", "test", "undo" */
    char *attest; /* what a person vouches for, so that the lost site counts as dead; or NULL */
    char *topology_name;
    char topology_sha256[65];
    struct ferry_plan_router *routers; /* topology order */
    size_t n_routers; /* with the topology's name servers behind them, where it changes records */
    struct ferry_group *groups;
    size_t n_groups;
    struct ferry_stage *stages;
    size_t n_stages;
    /* What lost routers still owe (and live ones that only a lost one connects): to be done once they are back.
     * `before` is what is believed there. */
    struct ferry_change *debts;
    size_t n_debts;
    struct ferry_plan_address *addresses;
    size_t n_addresses;
    char **warnings;
    size_t n_warnings;
    struct ferry_hooks hooks;         /* what runs before and after its phases */
    struct ferry_overrides overrides; /* rules that a person had overridden when it was made */
    char **strings;                   /* owned texts that changes point to (`why`) */
    size_t n_strings;
    char *proof_states;      /* decimal text, or NULL: not proven yet */
    char *proof_certificate; /* sha256 of the certificate, or NULL */
    struct ferry_pool *pool; /* owned */
};

struct ferry_move {
    uint32_t subnet; /* topology index */
    uint32_t to;     /* site index */
};

/* Plans the moves (each subnet at most once) from `live`, whose columns must hold every moved subnet.
 * `live->pool` is not kept: the plan interns anew.  A move of a subnet that is already there gives no
 * changes. -FERRY_EREFUSED with the rule: two-sites, loop, no-path, more-specific, foreign-attachment,
 * unreachable, … */
int ferry_plan_make(const struct ferry_live *live, const struct ferry_move *moves, size_t n_moves,
                    struct ferry_plan **ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* How to plan otherwise than by the rules, where routers are lost (`live->lost`), or come back. */
struct ferry_plan_terms {
    /* "planned": a lost router must not be a gateway of a moved subnet elsewhere than at its new site (rule lost-site).
     * "disaster": it may; live routers are fenced from it first.
     * "reconcile": each move names the site where its subnet belongs; one router of another site is detached, or
     * every router is brought to the shortest path.
     * "test": the live state is of ferry_topology_test; copies are attached, and all of it is isolated. */
    const char *mode;
    const char *attest; /* or NULL */
    bool detaching;  /* reconcile: `detach` lets go of what does not belong to its site; else: the routes */
    uint32_t detach; /* router */
    /* What else is said of it; the plan gets copies. */
    const struct ferry_plan_address *addresses;
    size_t n_addresses;
    char *const *warnings;
    size_t n_warnings;
    const struct ferry_hooks *hooks; /* in place of the topology's; NULL: those */
    struct ferry_overrides
        *overrides; /* or NULL; notes what they would have refused, and the plan gets a copy */
};
int ferry_plan_make_on(const struct ferry_live *live, const struct ferry_move *moves, size_t n_moves,
                       const struct ferry_plan_terms *terms, struct ferry_plan **ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether it changes nothing, neither a router nor an address. */
bool ferry_plan_is_empty(const struct ferry_plan *plan);
/* Copies to the end of the plan's. */
void ferry_plan_add_address(struct ferry_plan *plan, const struct ferry_plan_address *address);
bool ferry_plan_has_lost(const struct ferry_plan *plan);
/* Whether this one of plan->routers is a name server: it holds names' groups alone, and routers hold none of those. */
bool ferry_plan_is_name_server(const struct ferry_plan *plan, uint32_t router);
/* "app" of a group of one subnet, "app1.example.com. A" of a change of records: what people call its key. */
const char *ferry_change_name(const struct ferry_plan *plan, const struct ferry_change *change, char *buf,
                              size_t size);
/* The rules that look at a whole plan, and at the topology that it is for (NULL: unknown, as at a rollback): last-site,
 * budget, not-ready, no-foreign, covering-route. */
int ferry_plan_obey(const struct ferry_plan *plan, const struct ferry_topology *t,
                    struct ferry_overrides *overrides, struct ferry_err *err) FERRY_MUST_CHECK;
/* The stage before which a boundary lies: 0 to plan->n_stages. */
size_t ferry_plan_boundary(const struct ferry_plan *plan, enum ferry_boundary at);
void ferry_plan_free(struct ferry_plan *plan);
/* The undo: stages in reverse, before and after swapped, initial = the state after `plan`.  Proof not carried
 * over. */
int ferry_plan_reverse(const struct ferry_plan *plan, struct ferry_plan **ret,
                       struct ferry_err *err) FERRY_MUST_CHECK;
/* What `router` holds for `group` after stages [0, n_stages) are done; interned in plan->pool. */
const struct ferry_stack *ferry_plan_state(struct ferry_plan *plan, uint32_t router, uint32_t group,
                                           size_t n_stages);

/* The document, pretty or one line; malloc'd, NUL-terminated, newline at its end.  Sets nothing. */
char *ferry_plan_write(const struct ferry_plan *plan, bool pretty);
/* Strict like the topology's loader.  -FERRY_EINPUT with FILE:LINE:COLUMN and pointer; `ret_id_matches` (may
 * be NULL) says whether the document's id is that of its content: `apply` refuses where not. */
int ferry_plan_parse(const char *name, const char *text, size_t len, struct ferry_plan **ret,
                     bool *ret_id_matches, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_plan_load(const char *path, struct ferry_plan **ret, bool *ret_id_matches,
                    struct ferry_err *err) FERRY_MUST_CHECK;
/* 0 where what is written of the plan is read as that plan again; else -FERRY_EREFUSED (rule unreadable): it holds what no
 * document may, as a device of a router whose name is no text. */
int ferry_plan_check_readable(const struct ferry_plan *plan, struct ferry_err *err) FERRY_MUST_CHECK;
/* Holds a plan that came from a file against the topology: its routers, sites, drivers, subnets, gateways, tables
 * and where its next hops lead.  Fills in the sites, drivers and gateways that a hand-made document leaves out,
 * and seals.  -FERRY_EREFUSED (rule topology). */
int ferry_plan_fit(struct ferry_plan *plan, const struct ferry_topology *t,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* Fills in the sites that a hand-made document leaves out, nothing else: without them the prover cannot tell a
 * gateway at a third site from a second one at the new site.  The id stays that of the document. */
void ferry_plan_name_sites(struct ferry_plan *plan, const struct ferry_topology *t);
/* Computes plan->id from the content. */
void ferry_plan_seal(struct ferry_plan *plan);

/* The op of a change for one subnet of its group; pointers into the plan.  A gateway's before/after entry is
 * the plan_gateway's `attached` snapshot where there is one. */
struct ferry_op ferry_plan_op(const struct ferry_plan *plan, const struct ferry_change *change,
                              size_t subnet);
/* The opposite op: before and after swapped. */
struct ferry_op ferry_op_swap(const struct ferry_op *op);

#endif
