/* The watch: a driver around the real ones that sees every call as the router does, and whether a subnet is
 * ever attached at two sites.  See world.h.
 *
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/mem.h"

#include <pthread.h>
#include <string.h>

struct ferry_driver {
    struct ferry_driver_base base;
    struct ferry_driver *inner;
    const struct ferry_driver_ops *ops;
    uint32_t router;
};

static struct {
    pthread_mutex_t mutex;
    const struct ferry_topology *t;
    bool attached[512][16]; /* [subnet][gateway] */
    unsigned two_sites;
    unsigned long calls;
} watch = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void watch_start(const struct ferry_topology *t)
{
    pthread_mutex_lock(&watch.mutex);
    watch.t = t;
    memset(watch.attached, 0, sizeof watch.attached);
    watch.two_sites = 0;
    watch.calls = 0;
    pthread_mutex_unlock(&watch.mutex);
}

unsigned watch_two_sites(void)
{
    return watch.two_sites;
}

unsigned long watch_calls(void)
{
    return watch.calls;
}

static void look_at_sites(const struct ferry_subnet *s, const bool *attached)
{
    for (size_t a = 0; a < s->n_gateways; a++)
        for (size_t b = 0; b < a; b++)
            if (attached[a] && attached[b] &&
                watch.t->routers[s->gateways[a].router].site != watch.t->routers[s->gateways[b].router].site)
                watch.two_sites++;
}

/* Reads the router's gateways, from inside. */
static void look(struct ferry_driver *d)
{
    pthread_mutex_lock(&watch.mutex);
    watch.calls++;
    for (uint32_t s = 0; s < watch.t->n_subnets; s++)
        for (size_t g = 0; g < watch.t->subnets[s].n_gateways; g++) {
            const struct ferry_gateway *gateway = &watch.t->subnets[s].gateways[g];
            if (gateway->router != d->router)
                continue;
            const struct ferry_router *router = &watch.t->routers[d->router];
            struct ferry_query_item item = {.prefix = watch.t->subnets[s].prefix,
                                            .table = ferry_topology_table(watch.t, d->router, s),
                                            .gateway = gateway,
                                            .interface = gateway->interface == FERRY_NONE
                                                             ? NULL
                                                             : router->interfaces[gateway->interface].name};
            struct ferry_query query = {.items = &item, .n = 1};
            struct ferry_fib fib = {0};
            struct ferry_err err;
            if (d->ops->read(d->inner, &query, &fib, &err) < 0)
                world_die("watch", &err);
            bool found = false;
            for (size_t i = 0; i < fib.n; i++)
                found |= fib.items[i].relation == FERRY_EXACT &&
                         ferry_entry_kind(&fib.items[i].entry) != FERRY_KIND_ROUTE; /* or announced */
            watch.attached[s][g] = found;
            ferry_fib_clear(&fib);
        }
    for (uint32_t s = 0; s < watch.t->n_subnets; s++)
        look_at_sites(&watch.t->subnets[s], watch.attached[s]);
    pthread_mutex_unlock(&watch.mutex);
}

static const struct ferry_driver_ops watch_ops;

static int watch_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                      const char *router, const char *state_dir, const struct ferry_fib *initial,
                      struct ferry_driver **ret, struct ferry_err *err)
{
    const struct ferry_driver_ops *ops = ferry_driver_find(config->type);
    struct ferry_driver *inner = NULL;
    int r = ops->open(env, config, router, state_dir, initial, &inner, err);
    if (r < 0)
        return r;
    struct ferry_driver *d = ferry_calloc(1, sizeof *d);
    *d = (struct ferry_driver){{.ops = &watch_ops}, inner, ops, ferry_topology_router(watch.t, router)};
    look(d);
    *ret = d;
    return 0;
}

static void watch_close(struct ferry_driver *d)
{
    if (!d)
        return;
    d->ops->close(d->inner);
    free(d);
}

static int watch_read(struct ferry_driver *d, const struct ferry_query *query, struct ferry_fib *ret,
                      struct ferry_err *err)
{
    return d->ops->read(d->inner, query, ret, err);
}

static int watch_check(struct ferry_driver *d, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    return d->ops->check(d->inner, ops, n, err);
}

static int watch_apply(struct ferry_driver *d, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    int r = d->ops->apply(d->inner, ops, n, err);
    look(d);
    return r;
}

static int watch_persist(struct ferry_driver *d, struct ferry_err *err)
{
    return d->ops->persist ? d->ops->persist(d->inner, err) : 0;
}

static int watch_announce(struct ferry_driver *d, const struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    return d->ops->announce ? d->ops->announce(d->inner, ops, n, err) : 0;
}

static int watch_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                        size_t size)
{
    return ferry_driver_find(config->type)->native(config, op, buf, size);
}

static int watch_deadman(struct ferry_driver *d, enum ferry_deadman_verb verb,
                         const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                         unsigned *ret_left_s, struct ferry_err *err)
{
    return d->ops->deadman ? d->ops->deadman(d->inner, verb, deadman, ret, ret_left_s, err)
                           : ferry_error(err, FERRY_ESUPPORT, "no dead-man");
}

static const struct ferry_driver_ops watch_ops = {
    .deadman = watch_deadman,
    .type = "watch",
    .open = watch_open,
    .close = watch_close,
    .read = watch_read,
    .check = watch_check,
    .apply = watch_apply,
    .persist = watch_persist,
    .announce = watch_announce,
    .native = watch_native,
};

const struct ferry_driver_ops *watch_find(const char *type)
{
    return ferry_driver_find(type) ? &watch_ops : NULL;
}
