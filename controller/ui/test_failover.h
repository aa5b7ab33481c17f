/* Between test_failover.c (the verb) and test_plan.c (what it runs): copies of subnets, and the production beside them.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_TEST_FAILOVER_H
#define FERRY_UI_TEST_FAILOVER_H

#include "ui/run.h"

#include <ferry/test.h>

/* What all routers hold of all subnets of the topology: looked at before the test and after it began. */
struct ui_production {
    const struct ferry_topology *t; /* not owned */
    struct ferry_pool *pool;
    struct ferry_live *before, *after; /* of the same pool */
};
void ui_production_clear(struct ui_production *p);
/* Reads it into one of the two. */
int ui_production_read(struct ui *ui, struct ui_production *p, struct ferry_fleet *fleet,
                       struct ferry_live **ret);
/* The first difference as a text, malloc'd; NULL: what could be read at first is untouched. */
char *ui_production_difference(const struct ui_production *p);
/* How many stacks were compared. */
size_t ui_production_cells(const struct ui_production *p);

/* The plan of the test, proven and sealed: `moves` are "SUBNET=SITE". */
int ui_test_plan(struct ui *ui, const struct ui_production *p, char *const *moves, size_t n_moves,
                 struct ferry_fleet *fleet, struct ferry_plan **ret);

#endif
