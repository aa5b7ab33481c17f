/* The prober: a steady stream of echo requests while a transaction runs, and the outage that it saw.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_PROBE_H
#define FERRY_UI_PROBE_H

#include "ui/ui.h"

#define UI_PROBE_PATIENCE_US 2000000u /* how long an answer is waited for, before the move and in a drill */

struct ui_probe;

/* What the caller asks to have probed. */
struct ui_probe_asked {
    char *const *addresses;
    size_t n;
    bool named;                        /* and what the topology names for the moved subnets ("probe") */
    struct ferry_overrides *overrides; /* of rule probe-before; may be NULL */
};

/* Starts one stream for each address and vantage: every router with driver netlink that is no gateway of the
 * address's subnet and has an address of its own of that family on an interface that is no end of a link (so
 * that answers find back).  *ret stays NULL where there is nothing to probe.  Returns when all were answered.
 * -FERRY_EUSAGE (no address), -FERRY_EREFUSED: rules "probe-vantage" (there is none) and "probe-before" (no
 * answer; or no vantage for an address of the topology). */
int ui_probe_start(struct ui *ui, const struct ferry_plan *plan, const struct ferry_topology *t,
                   const struct ui_probe_asked *asked, struct ui_probe **ret);
/* The vantage of a stream that was answered before the move, and of whose probes since (CLOCK_MONOTONIC) none was;
 * NULL: there is none.  Takes NULL. */
const char *ui_probe_silent(const struct ui_probe *probe, uint64_t since_us);
/* Goes on for a moment, then ends the streams.  The outages belong to the probe. */
void ui_probe_stop(struct ui_probe *probe);
const struct ferry_outage *ui_probe_outages(const struct ui_probe *probe, size_t *ret_n);
void ui_probe_free(struct ui_probe *probe); /* takes NULL; stops at once */
void ui_probe_cleanup(struct ui_probe **probe);

#endif
