/* Where live forwarding for a subnet leads, compared with shortest paths.  Used by status, daemon, readiness.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_WATCH_PATHS_H
#define FERRY_WATCH_PATHS_H

#include <ferry/fib.h>

#define FERRY_DRIFT_TWO_SITES "two sites"

struct ferry_path_drift {
    size_t column;
    uint32_t router;  /* FERRY_NONE: the subnet as a whole */
    const char *what; /* "does not deliver", "other path", "two sites", "nowhere", "part", "tunnel"; static */
    char text[256];
};

/* The only site where a column is attached, or FERRY_NONE; `ret_several`: it is attached at more than one.  A
 * stretched subnet may be: of its sites this is its home where it is attached there, else any. */
uint32_t ferry_live_site(const struct ferry_live *live, size_t column, bool *ret_several);
bool ferry_live_attached(const struct ferry_live *live, size_t router, size_t column);
/* All drifts of all columns; unreachable routers are not judged, nor what leads through them.  `ret` is
 * malloc'd. */
void ferry_paths_check(const struct ferry_live *live, struct ferry_path_drift **ret, size_t *ret_n);

/* ---- tunnels.c: what the tunnels of policy-based VPNs carry. ---- */

/* [n_routers]: whose tunnels are judged; malloc'd. */
bool *ferry_tunnels_judged(const struct ferry_live *live);
/* Adds the drifts of one column. */
void ferry_tunnels_check(const struct ferry_live *live, size_t column, const bool *judged,
                         struct ferry_path_drift **drift, size_t *n);

#endif
