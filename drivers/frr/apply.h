/* One apply, shared by apply.c (which decides) and settle.c (which writes and looks what came of it).
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_FRR_APPLY_H
#define FERRY_FRR_APPLY_H

#include "internal.h"

/* One key, and what its ops make of it together. */
struct ferry_frr_slot {
    struct ferry_op key;           /* kind, prefix, table, metric, gateway, interface */
    struct ferry_fib holds;        /* what the router holds of the prefix */
    const struct ferry_entry *was; /* in `holds`, or NULL */
    const struct ferry_entry *now; /* after the ops that were taken */
    bool written;                  /* its lines were given to vtysh */
    bool bridged;                  /* bridge.c: rules of ours lie beneath */
    enum ferry_outcome outcome;
    char *why;
};

struct ferry_frr_apply {
    struct ferry_frr *d;
    struct ferry_frr_config running; /* after the lines: read back, or predicted and told by the RIB */
    bool predicted;
    struct ferry_frr_slot *slots;
    size_t n_slots;
    struct ferry_frr_text said; /* what vtysh said of the lines */
};

void ferry_frr_slot_why(struct ferry_frr_slot *slot, enum ferry_outcome outcome, const char *fmt, ...)
    FERRY_PRINTF(3, 4);
/* Fills slot->holds and slot->was from a configuration; asks FRR and the kernel where they are needed. */
int ferry_frr_slot_look(struct ferry_frr *d, const struct ferry_frr_config *running,
                        struct ferry_frr_slot *slot, struct ferry_err *err) FERRY_MUST_CHECK;
/* Gives the changed slots to vtysh and looks what came of them: fills their outcomes.  -FERRY_EIO: nothing was sent;
 * -FERRY_EUNKNOWN: perhaps. */
int ferry_frr_settle(struct ferry_frr_apply *a, struct ferry_err *err) FERRY_MUST_CHECK;

/* After the lines of `files`, and no complaint: whether FRR's RIB has what they make of the configuration as
 * it was read before (predict.c); a->running is that then.  Else it is empty, and has to be read. */
bool ferry_frr_predict(struct ferry_frr_apply *a, const struct ferry_frr_files *files);

/* Lays rules beneath what would be without any route for a moment; before the lines.  A router that does not let us is
 * warned of. */
int ferry_frr_bridge_lay(struct ferry_frr_apply *a, struct ferry_err *err) FERRY_MUST_CHECK;
/* Takes away those of slots whose outcome is known; after the lines. */
void ferry_frr_bridge_lift(struct ferry_frr_apply *a);
/* Whether a slot's rules may stay behind this apply, so that nobody need wait for zebra (B4). */
bool ferry_frr_bridge_stays(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot);

#endif
