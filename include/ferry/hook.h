/* Hooks: programs that run before and after the phases of a move, and steps that a person does (docs/hooks.md).
 * They stand in the topology and, as part of its content, in every plan.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_HOOK_H
#define FERRY_HOOK_H

#include <ferry/err.h>
#include <stdbool.h>
#include <stdint.h>

/* In the order in which a move comes to them.  2 * phase, plus 1 for "after". */
enum ferry_boundary {
    FERRY_BEFORE_PREPARE,
    FERRY_AFTER_PREPARE,
    FERRY_BEFORE_DETACH,
    FERRY_AFTER_DETACH,  /* from here ... */
    FERRY_BEFORE_ATTACH, /* ... to here the subnets are attached nowhere */
    FERRY_AFTER_ATTACH,
    FERRY_BEFORE_SETTLE,
    FERRY_AFTER_SETTLE,
};
#define FERRY_BOUNDARIES 8
/* "before-prepare", … */
const char *ferry_boundary_name(enum ferry_boundary at);
static inline bool ferry_boundary_in_outage(enum ferry_boundary at)
{
    return at == FERRY_AFTER_DETACH || at == FERRY_BEFORE_ATTACH;
}

#define FERRY_HOOK_TIMEOUT_S      60u /* where none is given */
#define FERRY_HOOK_TIMEOUT_MOST_S 86400u

/* Either programs or a pause.  Owned by whoever holds it. */
struct ferry_hook {
    enum ferry_boundary at;
    char **run;            /* argument vector, NULL-terminated; NULL: nothing on the way there */
    char **undo;           /* what takes back what `run` did; NULL: nothing */
    unsigned timeout_s;    /* for either */
    bool pause_on_failure; /* else the move is undone */
    char *pause;           /* what a person shall do; then run and undo are NULL */
    char *pause_undo;      /* what a person shall do on the way back, or NULL */
};

/* By boundary, then in the order of the file. */
struct ferry_hooks {
    struct ferry_hook *v;
    size_t n;
};
void ferry_hooks_clear(struct ferry_hooks *hooks);
struct ferry_hooks ferry_hooks_copy(const struct ferry_hooks *hooks);
bool ferry_hooks_equal(const struct ferry_hooks *a, const struct ferry_hooks *b);
/* Those of the undo: last first, before and after exchanged, `run` and `undo` too. */
struct ferry_hooks ferry_hooks_reverse(const struct ferry_hooks *hooks);
/* Appends one that runs last at its boundary; takes over what it points to. */
void ferry_hooks_add(struct ferry_hooks *hooks, const struct ferry_hook *hook);
/* "/usr/bin/move-vm app" of an argument vector, quoted where a shell would need it; malloc'd. */
char *ferry_argv_text(char *const *argv);

#endif
