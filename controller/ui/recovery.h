/* Recovery plans on the command line: one plan and one transaction a group.  SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_RECOVERY_H
#define FERRY_UI_RECOVERY_H

#include "ui/run.h"

struct ui_recovery_step {
    const char *name;        /* of the group; the topology's */
    struct ferry_plan *plan; /* owned */
};
struct ui_recovery {
    const char *name;
    struct ui_recovery_step *v;
    size_t n;
};
void ui_recovery_clear(struct ui_recovery *r);
/* A proven plan for every group; -FERRY_EUSAGE where there is no such recovery plan. */
int ui_recovery_select(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                       struct ferry_fleet *fleet, struct ui_recovery *ret);
/* {"ferry": 1, "kind": "recovery-plan", "name": …, "groups": [{"name": …, "plan": …}]}; malloc'd. */
char *ui_recovery_write(const struct ui_recovery *r);
void ui_recovery_text(const struct ui *ui, const struct ui_recovery *r, FILE *f);
/* Runs the groups one after the other, each planned anew; stops at the first that does not end well. */
int ui_recovery_run(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                    struct ferry_fleet *fleet, const struct ui_run *how);

#endif
