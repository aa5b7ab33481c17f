/* Classes of moves; see class.c.  SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_CLASS_H
#define FERRY_PLAN_CLASS_H

#include "plan/planner.h"

struct ferry_classes {
    struct ferry_class *v; /* in the order of their first moves */
    size_t n;
};
void ferry_classes_free(struct ferry_classes *classes);
/* columns[m]: the live column of move m. */
void ferry_classes_make(const struct ferry_live *live, const struct ferry_move *moves,
                        const uint32_t *columns, size_t n, struct ferry_classes *ret);

#endif
