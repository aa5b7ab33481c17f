/* Ops: the kinds of their keys, the names of outcomes (docs/contract.md), and the text of what became of one.
 * SPDX-License-Identifier: MIT */
#include <ferry/driver.h>

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

const char *ferry_outcome_name(enum ferry_outcome outcome)
{
    switch (outcome) {
    case FERRY_DONE:
        return "done";
    case FERRY_REFUSED:
        return "refused";
    case FERRY_STALE:
        return "stale";
    case FERRY_UNKNOWN:
        break;
    }
    return "unknown";
}

enum ferry_kind ferry_entry_kind(const struct ferry_entry *e)
{
    return e->type == FERRY_GATEWAY            ? FERRY_KIND_GATEWAY
           : e->type == FERRY_ANNOUNCEMENT     ? FERRY_KIND_ANNOUNCEMENT
           : e->type == FERRY_DNS              ? FERRY_KIND_DNS
           : e->type == FERRY_TRAFFIC_SELECTOR ? FERRY_KIND_SELECTOR
                                               : FERRY_KIND_ROUTE;
}

const char *ferry_kind_name(enum ferry_kind kind)
{
    static const char *const names[] = {"route", "gateway", "announcement", "dns", "selector"};
    return (unsigned)kind < FERRY_COUNT(names) ? names[kind] : "unknown";
}

bool ferry_entry_has_key(const struct ferry_entry *e, enum ferry_kind kind, uint32_t table, uint32_t metric)
{
    bool several = kind == FERRY_KIND_ROUTE || kind == FERRY_KIND_DNS || kind == FERRY_KIND_SELECTOR;
    return ferry_entry_kind(e) == kind && (kind != FERRY_KIND_ROUTE || e->table == table) &&
           (!several || e->metric == metric);
}

void ferry_op_why(struct ferry_op *op, const char *fmt, ...)
{
    struct ferry_err text; /* as long as an error's, so that one may be passed on whole */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text.text, sizeof text.text, fmt, args);
    va_end(args);
    ferry_op_clear(op); /* now: the arguments may point into it */
    op->why = ferry_strdup(text.text);
}

void ferry_op_clear(struct ferry_op *op)
{
    free(op->why);
    op->why = NULL;
}

void ferry_ops_clear(struct ferry_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ferry_op_clear(&ops[i]);
}
