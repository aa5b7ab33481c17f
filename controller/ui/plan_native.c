/* A plan as the commands that a person would type, in order: a script where a shell here reaches all of its routers, else
 * blocks to be entered on the routers that they name.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include "model/driver_config.h"
#include <string.h>

/* The commands of one op, or a comment where this driver has none. */
static int print_op(struct ui *ui, const struct ferry_driver_ops *ops, const struct ferry_plan_router *router,
                    const struct ferry_op *op, FILE *f)
{
    char small[512];
    if (!ops->native) {
        fprintf(f, "# %s: the driver %s has no commands to show\n", router->name, ops->type);
        return 0;
    }
    int n = ops->native(&router->driver, op, small, sizeof small);
    if (n < 0)
        return ferry_error(&ui->err, FERRY_ESUPPORT, "%s: a change that cannot be written as a command",
                           router->name);
    FERRY_AUTOFREE char *large = (size_t)n < sizeof small ? NULL : ferry_calloc(1, (size_t)n + 1);
    if (large)
        ops->native(&router->driver, op, large, (size_t)n + 1);
    const char *text = large ? large : small;
    fputs(text, f);
    if (n > 0 && text[n - 1] != '\n')
        fputc('\n', f);
    return 0;
}

static int print_router(struct ui *ui, const struct ferry_plan *plan, const struct ferry_stage *stage,
                        uint32_t r, FILE *f)
{
    const struct ferry_plan_router *router = &plan->routers[r];
    const struct ferry_driver_ops *ops = router->driver.type ? ferry_driver_find(router->driver.type) : NULL;
    if (!ops)
        return ferry_error(&ui->err, FERRY_ESUPPORT, "%s: no driver %s in this program", router->name,
                           router->driver.type ? router->driver.type : "is named");
    for (size_t k = 0; k < stage->n_changes; k++) {
        const struct ferry_change *c = &stage->changes[k];
        if (c->router != r)
            continue;
        for (size_t s = 0; s < plan->groups[c->group].n_subnets; s++) {
            struct ferry_op op = ferry_plan_op(plan, c, s);
            int e = print_op(ui, ops, router, &op, f);
            if (e < 0)
                return e;
        }
    }
    return 0;
}

/* Comments: who types the commands runs the programs where they stand. */
static void print_hooks(const struct ferry_plan *plan, size_t stage, FILE *f)
{
    for (size_t i = 0; i < plan->hooks.n; i++) {
        const struct ferry_hook *h = &plan->hooks.v[i];
        FERRY_AUTOFREE char *program = h->run ? ferry_argv_text(h->run) : NULL;
        if (ferry_plan_boundary(plan, h->at) == stage && (program || h->pause))
            fprintf(f, "\n# hook %s: %s%s\n", ferry_boundary_name(h->at),
                    program ? "" : "pause: ", program ? program : h->pause);
    }
}

/* Whether the commands of a change, run on this machine, change its router: that is this machine, or a namespace that
 * they name.  Those for another machine, or for a simulated router, would change this one. */
static bool acts_here(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_driver_config *d = &plan->routers[c->router].driver;
    return c->kind != FERRY_KIND_SELECTOR && d->type &&
           (strcmp(d->type, "netlink") == 0 || strcmp(d->type, "dns") == 0 ||
            (strcmp(d->type, "iproute") == 0 && !ferry_driver_by_ssh(d)));
}

/* What stops a shell that is given blocks for several machines is a comment for vtysh. */
static void print_head(const struct ferry_plan *plan, FILE *f)
{
    bool script = true;
    for (size_t i = 0; i < plan->n_stages; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++)
            script = script && acts_here(plan, &plan->stages[i].changes[k]);
    fprintf(f, "%s# ferry plan %.12s, topology %s, mode %s\n", script ? "#!/bin/sh -e\n" : "", plan->id,
            plan->topology_name, plan->mode);
    if (!script)
        fprintf(f,
                "# No script: each block is to be entered on the router that it names.\n"
                "! echo 'no script: each block is for the router that it names' >&2; exit %d\n",
                UI_USAGE);
}

int ui_plan_native(struct ui *ui, const struct ferry_plan *plan, FILE *f)
{
    FERRY_AUTOFREE bool *here = ferry_calloc(plan->n_routers + 1, sizeof *here);
    print_head(plan, f);
    if (!plan->n_stages)
        fprintf(f, "# nothing to do\n");
    for (size_t i = 0; i < plan->n_stages; i++) {
        const struct ferry_stage *stage = &plan->stages[i];
        print_hooks(plan, i, f);
        memset(here, 0, plan->n_routers * sizeof *here);
        for (size_t k = 0; k < stage->n_changes; k++)
            here[stage->changes[k].router] = true;
        for (uint32_t r = 0; r < plan->n_routers; r++) {
            if (!here[r])
                continue;
            fprintf(f, "\n# stage %zu/%zu %s %s %s\n", i + 1, plan->n_stages, ferry_phase_name(stage->phase),
                    ui_dash(ui), plan->routers[r].name);
            int e = print_router(ui, plan, stage, r, f);
            if (e < 0)
                return e;
        }
    }
    print_hooks(plan, plan->n_stages, f);
    return 0;
}
