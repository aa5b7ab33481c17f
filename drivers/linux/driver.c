/* The netlink driver's table, and its life: opened once a router, used, closed.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "remote/remote.h"

#include <unistd.h>

static void linux_close(struct ferry_driver *driver)
{
    struct ferry_linux *d = (struct ferry_linux *)driver;
    if (!d)
        return;
    ferry_remote_close(d->remote);
    if (d->sock)
        nl_socket_free(d->sock);
    if (d->packet_fd)
        close(d->packet_fd);
    if (d->member_fd)
        close(d->member_fd);
    if (d->claim_fd)
        close(d->claim_fd);
    free(d->router);
    free(d->netns);
    free(d->buf);
    free(d);
}

static void close_pointer(struct ferry_linux **d)
{
    linux_close((struct ferry_driver *)*d);
}

static int linux_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                      const char *router, const char *state_dir, const struct ferry_fib *initial,
                      struct ferry_driver **ret, struct ferry_err *err)
{
    (void)state_dir;
    (void)initial;
    FERRY_CLEANUP(close_pointer) struct ferry_linux *d = ferry_calloc(1, sizeof *d);
    d->base.ops = &ferry_driver_linux;
    d->env = env;
    d->router = ferry_strdup(router);
    d->netns = ferry_strdup(config->netns);
    int result = ferry_linux_connect(d, err);
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", router);
    *ret = (struct ferry_driver *)FERRY_STEAL(d);
    return 0;
}

const struct ferry_driver_ops ferry_driver_linux = {
    .type = "netlink",
    .open = linux_open,
    .close = linux_close,
    .read = ferry_linux_read,
    .check = ferry_linux_check,
    .apply = ferry_linux_apply,
    .announce = ferry_linux_announce,
    .native = ferry_linux_native,
    .deadman = ferry_linux_deadman,
    .claim = ferry_linux_claim,
    .watch = ferry_linux_watch,
};
