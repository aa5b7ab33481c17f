/* The driver's table, and its life.  SPDX-License-Identifier: MIT */
#include "internal.h"

static void iproute_close(struct ferry_driver *driver)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    if (!d)
        return;
    ferry_iproute_hang_up(d);
    ferry_remote_close(d->remote);
    ferry_iproute_forget(d);
    free(d->links);
    free(d->tags);
    free(d->lines.buf);
    free(d->base.router);
    free(d->state_dir);
    free(d);
}

static void close_pointer(struct ferry_iproute **d)
{
    iproute_close((struct ferry_driver *)*d);
}

static int iproute_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                        const char *router, const char *state_dir, const struct ferry_fib *initial,
                        struct ferry_driver **ret, struct ferry_err *err)
{
    (void)initial;
    FERRY_CLEANUP(close_pointer) struct ferry_iproute *d = ferry_calloc(1, sizeof *d);
    d->base.base.ops = &ferry_driver_iproute;
    d->base.means = &ferry_iproute_means;
    d->base.env = env;
    d->base.router = ferry_strdup(router);
    d->base.fd = -1;
    d->state_dir = ferry_strdup(state_dir);
    int result = ferry_remote_open(env, config, router, &d->remote, err);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", router);
    *ret = (struct ferry_driver *)FERRY_STEAL(d);
    return 0;
}

const struct ferry_driver_ops ferry_driver_iproute = {
    .type = "iproute",
    .open = iproute_open,
    .close = iproute_close,
    .read = ferry_iproute_read,
    .check = ferry_iproute_check,
    .apply = ferry_iproute_apply,
    .announce = ferry_iproute_announce,
    .native = ferry_iproute_native,
    .deadman = ferry_iproute_deadman,
    .claim = ferry_iproute_claim,
};
