/* What became of an op: the names of outcomes (contract §4), and the text.  SPDX-License-Identifier: MIT */
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
