/* What the parts of the plan document's writer share: plan_write.c (the document), plan_write_group.c (routers,
 * groups, names) and plan_write_entry.c (entries).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_PLAN_WRITE_H
#define FERRY_PLAN_WRITE_H

#include "plan/plan_out.h"
#include "plan/planner.h"

/* An entry, or null; the second time it is copied from where it stands. */
void plan_write_entry(struct plan_out *o, const struct ferry_plan *plan, const struct ferry_entry *e);
/* The member "native", where it has one. */
void plan_write_native(struct plan_out *o, const struct ferry_entry *e);

/* The members "routers", "lost", "groups" and "names"; the second and the last only where there are any. */
void plan_write_routers(struct plan_out *o, const struct ferry_plan *plan);
void plan_write_lost(struct plan_out *o, const struct ferry_plan *plan);
void plan_write_groups(struct plan_out *o, const struct ferry_plan *plan);
void plan_write_names(struct plan_out *o, const struct ferry_plan *plan);

#endif
