/* A JSON text that grows: what the plan document is written with, value by value (a plan of a large network
 * has a million of them).  Compact, or `pretty` for people: then whatever is not opened on one line has a
 * line for each of its items.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_OUT_H
#define FERRY_PLAN_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ferry_entry;

/* Where an entry already stands in the text: the same ones come again and again. */
struct plan_written {
    const struct ferry_entry *entry; /* interned: the pointer is the value; NULL: free */
    size_t at, n;
};

/* {.pretty = …} to begin with; `v` and `written` are the caller's to free. */
struct plan_out {
    char *v; /* the text, with a NUL after its n bytes */
    size_t n, room;
    bool pretty;
    unsigned depth;               /* of what is broken into lines */
    unsigned inlined;             /* > 0: inside something that stays on one line */
    bool first;                   /* nothing stands yet in the innermost array or object */
    bool keyed;                   /* a key has just been written */
    struct plan_written *written; /* hashed by pointer; `mask` + 1 places */
    size_t n_written, mask;
};

/* `bracket`: "{" or "["; all inside of what is on one line is so, too. */
void plan_out_open(struct plan_out *o, const char *bracket, bool on_one_line);
void plan_out_close(struct plan_out *o, const char *bracket);
/* The next value is this member's. */
void plan_out_key(struct plan_out *o, const char *name);
/* NULL: null. */
void plan_out_string(struct plan_out *o, const char *s);
void plan_out_member(struct plan_out *o, const char *name, const char *value);
void plan_out_member_number(struct plan_out *o, const char *name, uint64_t value);
void plan_out_member_true(struct plan_out *o, const char *name);

/* For values that are put together by hand: what stands between this one and the one before; then its text.
 * Pointers into the text are good as long as no more is written than was reserved. */
void plan_out_item(struct plan_out *o);
void plan_out_raw(struct plan_out *o, const char *s);
void plan_out_bytes(struct plan_out *o, const char *s, size_t n);
void plan_out_reserve(struct plan_out *o, size_t n);

#endif
