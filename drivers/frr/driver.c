/* The FRR driver's table, and its life: one connection a router, a kept vtysh, closed.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

static void frr_close(struct ferry_driver *driver)
{
    struct ferry_frr *d = (struct ferry_frr *)driver;
    if (!d)
        return;
    ferry_frr_bridge_close(d);
    ferry_frr_hang_up(d);
    ferry_remote_close(d->remote);
    if (d->running)
        ferry_frr_config_clear(d->running);
    free(d->running);
    ferry_driver_config_clear(&d->config);
    free(d->planned);
    free(d->announced);
    free(d->links);
    free(d->router);
    free(d->state_dir);
    free(d);
}

static void close_pointer(struct ferry_frr **d)
{
    frr_close((struct ferry_driver *)*d);
}

static int frr_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                    const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                    struct ferry_err *err)
{
    (void)initial;
    FERRY_CLEANUP(close_pointer) struct ferry_frr *d = ferry_calloc(1, sizeof *d);
    d->base.ops = &ferry_driver_frr;
    d->env = env;
    d->router = ferry_strdup(router);
    d->state_dir = ferry_strdup(state_dir);
    d->config = ferry_driver_config_copy(config);
    d->planned = ferry_memdup(config->vrfs, config->n_vrfs * sizeof *config->vrfs);
    d->n_planned = config->n_vrfs;
    int result = ferry_remote_open(env, config, router, &d->remote, err);
    if (result < 0)
        return result;
    if (!ferry_remote_facts(d->remote)->vtysh)
        return ferry_error(err, FERRY_EIO, "%s: there is no vtysh: is FRR installed?", router);
    *ret = (struct ferry_driver *)FERRY_STEAL(d);
    return 0;
}

void ferry_frr_keep(struct ferry_frr *d, struct ferry_frr_config *running)
{
    if (d->running)
        ferry_frr_config_clear(d->running);
    else
        d->running = ferry_calloc(1, sizeof *d->running);
    *d->running = *running;
    *running = (struct ferry_frr_config){0};
    d->running_since_us = d->env->monotonic_us(d->env->ctx);
    d->predicted = false;
}

bool ferry_frr_just_read(const struct ferry_frr *d)
{
    enum { JUST_US = 100000 };
    return d->running && !d->predicted && d->env->monotonic_us(d->env->ctx) - d->running_since_us < JUST_US;
}

/* What was started without the claim, or with it, ends: it is started again when it is wanted. */
static int frr_claim(struct ferry_driver *driver, bool wanted, struct ferry_err *err)
{
    struct ferry_frr *d = (struct ferry_frr *)driver;
    if (ferry_remote_claimed(d->remote) == wanted)
        return 0;
    ferry_frr_hang_up(d);
    int result = ferry_remote_claim(d->remote, d->state_dir, wanted, err);
    return result < 0 ? ferry_error_prefix(err, result, "%s", d->router) : 0;
}

const struct ferry_driver_ops ferry_driver_frr = {
    .type = "frr",
    .open = frr_open,
    .close = frr_close,
    .read = ferry_frr_read,
    .check = ferry_frr_check,
    .apply = ferry_frr_apply,
    .persist = ferry_frr_persist,
    .announce = ferry_frr_announce,
    .native = ferry_frr_native,
    .deadman = ferry_frr_deadman,
    .claim = frr_claim,
};
