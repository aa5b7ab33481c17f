/* What apply.c and gateway.c share: one batch of ops at work.  SPDX-License-Identifier: MIT */
#ifndef FERRY_LINUX_APPLY_H
#define FERRY_LINUX_APPLY_H

#include "internal.h"

/* A key that the batch is about to touch, and what the look found under it.  One cache line: with 100,000 of
 * them that is what the time goes into. */
struct ferry_linux_slot {
    struct ferry_prefix prefix;
    bool leaning, equal, kernel,
        turned; /* the key of a route that leans on a gateway (see alike); found what was
                 * expected; a connected route stands under the same key; `last` is set */
    uint32_t table, metric;
    uint32_t op;                        /* the first one on this key */
    uint32_t last;                      /* the newest op whose turn came: later ones build on its `after` */
    uint32_t found;                     /* how many routes hold the key */
    const struct ferry_entry *expected; /* what the first op wants to find; NULL: nothing */
    struct ferry_entry *held;           /* found, where it is not equal (the last one) */
} __attribute__((aligned(64)));

/* The key of a route message. */
struct ferry_linux_key {
    const struct nlmsghdr *message;
    uint64_t hash;
    struct ferry_prefix prefix;
    uint16_t dst; /* where in the message the destination stands */
    uint32_t table, metric;
};

/* Interfaces that lose their last IPv4 address in this batch: the kernel then deletes every route through
 * them. */
struct ferry_linux_emptied {
    unsigned ifindex;
    uint32_t addresses;              /* IPv4 ones that are left when the ops so far are done */
    uint32_t going;                  /* how many of them the batch removes */
    struct ferry_linux_bytes routes; /* packed: all that go through it */
};

struct ferry_linux_apply {
    struct ferry_linux *d;
    struct ferry_op *ops;
    size_t n;
    struct ferry_linux_survey survey;
    struct ferry_linux_slot *slots;
    size_t n_slots, slots_room;
    struct ferry_linux_place {
        uint32_t tag;  /* the rest of the hash: so that other keys' slots are not looked at */
        uint32_t slot; /* + 1; 0: free */
    } * index;         /* by hash */
    size_t index_mask;
    uint32_t *attachment; /* [n]: index + 1 of the op's attachment; 0: none */
    uint32_t *slot_of;    /* [n]: the slot of a route op */
    struct ferry_linux_emptied *emptied;
    size_t n_emptied;
    struct ferry_linux_batch batch;
    struct ferry_linux_route unpacked;  /* the route out of a snapshot that is at hand */
    struct ferry_linux_route **leaning; /* those that attaches shall restore, as slots expect them */
    size_t n_leaning;
    /* The keys of what was received together (glance): keys[next_key] is most likely the one at hand. */
    struct ferry_linux_key *keys;
    size_t n_keys, next_key;
    const struct nlmsghdr *message; /* at hand during the look, for the shortcut */
    size_t message_dst;
    /* The last message compared, and what it was found equal to. */
    struct {
        uint8_t bytes[512];
        size_t n, dst;
        const struct ferry_entry *equals;
    } seen;
    /* The last message built. */
    struct {
        uint8_t bytes[512];
        size_t n;
        const struct ferry_entry *entry;
        uint16_t type, flags;
        uint8_t family;
    } built;
};

struct ferry_linux_slot *ferry_linux_slot_get(struct ferry_linux_apply *a, const struct ferry_prefix *prefix,
                                              uint32_t table, uint32_t metric, bool *ret_new);
/* Adds one route message for op i to the batch.  Negative: nothing was added. */
int ferry_linux_apply_route(struct ferry_linux_apply *a, size_t i, uint16_t type, uint16_t flags,
                            const struct ferry_prefix *prefix, const struct ferry_entry *entry,
                            struct ferry_err *err);
void ferry_linux_apply_refuse(struct ferry_linux_apply *a, size_t i, enum ferry_outcome outcome,
                              const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* gateway.c: before the look, the keys of routes that lean on the gateway; while looking; and the op's turn.
 */
void ferry_linux_gateway_prepare(struct ferry_linux_apply *a, size_t i);
void ferry_linux_gateway_ready(struct ferry_linux_apply *a);
void ferry_linux_gateway_hear(struct ferry_linux_apply *a, const struct ferry_linux_route *route,
                              const struct ferry_linux_attachment *own);
void ferry_linux_gateway_turn(struct ferry_linux_apply *a, size_t i);
/* Whether a route is one that leans on a gateway as a detach left it, or as it was. */
bool ferry_linux_gateway_alike(const struct ferry_entry *expected, const struct ferry_entry *found);

#endif
