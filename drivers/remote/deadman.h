/* The dead-man of a router that is driven by commands: an undo, in the router's own words, that waits there.
 *
 * Above it stand the slots `deadman` of the drivers, which render ops as text; below it router/deadman.sh, which keeps
 * the record and the timer on the router.  docs/confirm.md has the whole story.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_REMOTE_DEADMAN_H
#define FERRY_REMOTE_DEADMAN_H

#include "remote.h"

#include <ferry/driver.h>

/* A step of the undo.  The router runs each text as a whole, again where it failed, perhaps after a part of it was done
 * before: so every line must be harmless where its work is done already.
 *   ip     lines for `ip -force -batch`, without the word ip and its options ("route replace …").  A line may fail with
 *          "No such process", "Cannot assign requested address" or "File exists": done already.  Everything else is a
 *          failure, and the step is tried again.
 *   vtysh  lines for `vtysh -f`, contexts and all.  What it says without "%" or "Refusing to remove" is no failure.
 * Printable ASCII and newlines alone, no line that begins with '@', lines under 4,096 bytes. */
enum ferry_remote_undo_kind { FERRY_REMOTE_UNDO_IP, FERRY_REMOTE_UNDO_VTYSH };
struct ferry_remote_undo {
    unsigned delay_s; /* after the deadline; never less than the step's before it */
    enum ferry_remote_undo_kind kind;
    const char *pathspace; /* vtysh: as `vtysh -N`; NULL: none */
    const char *text;      /* n_text bytes; none: the step is left out */
    size_t n_text;
};

/* The whole slot but for the rendering: `deadman` as in the slot, its `steps` unused; `undo` is for ARM
 * alone.  `router` is the router's name: routers that share a file system keep their records apart by it.
 * Results as the slot's. */
int ferry_remote_deadman(struct ferry_remote *remote, const char *router, enum ferry_deadman_verb verb,
                         const struct ferry_deadman *deadman, const struct ferry_remote_undo *undo,
                         size_t n_undo, enum ferry_deadman_state *ret, unsigned *ret_left_s,
                         struct ferry_err *err) FERRY_MUST_CHECK;

#endif
