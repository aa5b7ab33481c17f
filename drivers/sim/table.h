/* The routing tables and attachments of one simulated router.  SPDX-License-Identifier: MIT */
#ifndef FERRY_DRIVERS_SIM_TABLE_H
#define FERRY_DRIVERS_SIM_TABLE_H

#include <ferry/driver.h>
#include <stdio.h>

/* Where a subnet is attached.  `any`: nobody said where (see sim.h). */
struct ferry_sim_place {
    bool any;
    char interface[FERRY_DEV_LEN];
    struct ferry_addr address; /* of the interface; family 0 for a routed gateway */
    struct ferry_addr via;     /* family 0 for a connected one */
    uint32_t table;            /* in which it holds; 0: nobody said, taken for any */
};

/* One prefix with all that is held for it.  Routes are sorted by table, then metric; at most one a key. */
struct ferry_sim_slot {
    struct ferry_prefix prefix;
    struct ferry_entry *routes;
    size_t n_routes;
    bool attached;
    struct ferry_sim_place place;  /* where `attached` */
    struct ferry_entry attachment; /* FERRY_GATEWAY with its native bytes */
    bool announced;
    struct ferry_entry announcement; /* where `announced` */
    struct ferry_entry *selectors;   /* of tunnels; at most one a key, which is the metric */
    size_t n_selectors;
};

/* Slots sorted by ferry_prefix_compare, so that what lies within a prefix stands right after it. */
struct ferry_sim_table {
    struct ferry_sim_slot **slots;
    size_t n;
    size_t lengths[2][129]; /* how many slots have this length; [1]: IPv6 */
    char (*devices)[FERRY_DEV_LEN];
    size_t n_devices;
};

void ferry_sim_table_clear(struct ferry_sim_table *table);
/* The slot, or NULL. */
struct ferry_sim_slot *ferry_sim_table_find(const struct ferry_sim_table *table,
                                            const struct ferry_prefix *prefix);
/* Sets (copies) or, with `e` NULL, removes the route of this key. */
void ferry_sim_table_set(struct ferry_sim_table *table, const struct ferry_prefix *prefix, uint32_t rt_table,
                         uint32_t metric, const struct ferry_entry *e);
/* Attaches (copies), or detaches where `e` is NULL. */
void ferry_sim_table_attach(struct ferry_sim_table *table, const struct ferry_prefix *prefix,
                            const struct ferry_sim_place *place, const struct ferry_entry *e);
/* Announces (copies), or withdraws where `e` is NULL. */
void ferry_sim_table_announce(struct ferry_sim_table *table, const struct ferry_prefix *prefix,
                              const struct ferry_entry *e);
/* Sets (copies) or, with `e` NULL, removes the selector of this key. */
void ferry_sim_table_select(struct ferry_sim_table *table, const struct ferry_prefix *prefix, uint32_t key,
                            const struct ferry_entry *e);
const struct ferry_entry *ferry_sim_slot_selector(const struct ferry_sim_slot *slot, uint32_t key);
/* Takes over one item of `initial`. */
void ferry_sim_table_seed(struct ferry_sim_table *table, const struct ferry_fib_item *item);
/* Whether a route may name the device: unknown devices are refused where any are known. */
bool ferry_sim_table_has_device(const struct ferry_sim_table *table, const char *dev);
void ferry_sim_table_add_device(struct ferry_sim_table *table, const char *dev);

const struct ferry_entry *ferry_sim_slot_route(const struct ferry_sim_slot *slot, uint32_t rt_table,
                                               uint32_t metric);
struct ferry_sim_place ferry_sim_place_of(const struct ferry_gateway *gateway, const char *interface,
                                          uint32_t rt_table);
bool ferry_sim_place_equal(const struct ferry_sim_place *a, const struct ferry_sim_place *b);

/* Answers a query; see struct ferry_fib. */
void ferry_sim_table_read(const struct ferry_sim_table *table, const struct ferry_query *query,
                          struct ferry_fib *ret);

/* Applies an op and says its outcome; without `write` only looks whether it could be (DONE also where
 * `before` is not there: ops build on each other). */
void ferry_sim_table_op(struct ferry_sim_table *table, struct ferry_op *op, bool write);

/* The state file.  load: 1 where there is no such file. */
int ferry_sim_table_load(const char *path, struct ferry_sim_table *ret,
                         struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_sim_table_save(const char *path, const char *router, const struct ferry_sim_table *table,
                         struct ferry_err *err) FERRY_MUST_CHECK;
/* Its parts, for the dead-man's file. */
struct ferry_json;
void ferry_sim_put_string(FILE *f, const char *s);
void ferry_sim_put_route(FILE *f, const struct ferry_prefix *prefix, const struct ferry_entry *e);
void ferry_sim_put_gateway(FILE *f, const struct ferry_sim_slot *slot);
void ferry_sim_put_announcement(FILE *f, const struct ferry_sim_slot *slot);
void ferry_sim_put_selector(FILE *f, const struct ferry_prefix *prefix, const struct ferry_entry *e);
int ferry_sim_load_announcement(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                                struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_sim_load_selector(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                            struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_sim_get_prefix(struct ferry_json *doc, uint32_t v, struct ferry_prefix *ret,
                         struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_sim_load_route(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                         struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_sim_load_gateway(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                           struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- The dead-man (deadman.c). ---- */

/* An undo in waiting: what to take away and what to put there, step by step. */
struct ferry_sim_deadman {
    char *id; /* NULL: there is none */
    enum ferry_deadman_state state;
    uint64_t deadline_us; /* since 1970 UTC: whoever looks at the simulated router after it is its timer */
    uint64_t next_us;     /* of two deadlines the later one; 0: there is one */
    unsigned split_s;     /* steps of this delay and more belong to that one */
    struct ferry_sim_undo {
        unsigned delay_s;
        struct ferry_sim_table put; /* all its routes and attachments */
        struct ferry_sim_key {
            struct ferry_prefix prefix;
            enum ferry_kind kind;
            uint32_t table, metric;
        } * gone;
        size_t n_gone;
    } * steps;
    size_t n_steps, n_done;
    unsigned from_s, to_s; /* the delays of the steps that are run; to_s 0: to the last one */
};
void ferry_sim_deadman_clear(struct ferry_sim_deadman *d);
/* From a file; empty where there is no such file. */
int ferry_sim_deadman_load(const char *path, struct ferry_sim_deadman *ret,
                           struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_sim_deadman_save(const char *path, const struct ferry_sim_deadman *d,
                           struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_sim_deadman_arm(struct ferry_sim_deadman *d, const struct ferry_deadman *deadman);
/* Everything but ARM, and what the router says then.  What is due has been run (ferry_sim_deadman_fire). */
enum ferry_deadman_state ferry_sim_deadman_answer(struct ferry_sim_deadman *d, enum ferry_deadman_verb verb,
                                                  const struct ferry_deadman *deadman, uint64_t now_us,
                                                  unsigned *ret_left_s);
/* Whether it is armed, or a part of it waits. */
bool ferry_sim_deadman_waits(const struct ferry_sim_deadman *d);
/* When a step is due. */
uint64_t ferry_sim_deadman_due(const struct ferry_sim_deadman *d, const struct ferry_sim_undo *step);
/* Runs what is due at `now_us`; at the deadline armed becomes fired, whenever the first step is due.  False:
 * nothing was. */
bool ferry_sim_deadman_fire(struct ferry_sim_deadman *d, uint64_t now_us, struct ferry_sim_table *table);

#endif
