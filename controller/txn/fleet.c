/* The fleet: one driver a router, opened when first used; see ferry/txn.h.  SPDX-License-Identifier: MIT */
#include "txn/fleet_parts.h"

#include "base/mem.h"
#include "model/map.h"

#include <string.h>

#define DEADLINE_MS 10000u /* ferry/txn.h */
#define WORKERS_MAX 64u    /* ferry/txn.h */

/* What machine a driver reaches, as a person would say it; malloc'd.  NULL: a simulated one. */
static char *machine_of(const char *name, const struct ferry_driver_config *c)
{
    const char *netns = c->netns ? c->netns : "", *type = c->type ? c->type : "sim";
    bool ssh = c->transport ? strcmp(c->transport, "ssh") == 0 : c->host || !strcmp(type, "iproute");
    if (strcmp(type, "netlink") != 0 && strcmp(type, "frr") != 0 && strcmp(type, "iproute") != 0)
        return NULL;
    if (ssh && strcmp(type, "netlink") != 0)
        return ferry_asprintf("%s port %u%s%s%s%s", c->host ? c->host : name, c->port ? c->port : 22u,
                              c->jump ? " through " : "", c->jump ? c->jump : "",
                              netns[0] ? " from namespace " : "", netns);
    if (netns[0])
        return ferry_asprintf("namespace %s", netns);
    return c->pathspace ? ferry_asprintf("pathspace %s", c->pathspace) : ferry_strdup("this machine itself");
}

/* Two routers that are one machine could be two sites that are one. */
static int check_machines(const char *const *names, const struct ferry_driver_config *const *configs,
                          size_t n, struct ferry_err *err)
{
    struct ferry_map machines = {0};
    FERRY_AUTOFREE char **texts = ferry_calloc(n, sizeof *texts);
    int r = 0;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        texts[i] = machine_of(names[i], configs[i]);
        uint32_t other = texts[i] ? ferry_map_add(&machines, texts[i], strlen(texts[i]), i) : FERRY_MAP_NONE;
        if (other != FERRY_MAP_NONE)
            r = ferry_refuse(err, "same-machine", "routers %s and %s are both %s: give each its own '%s'",
                             names[other], names[i], texts[i], strstr(texts[i], " port ") ? "host" : "netns");
    }
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    ferry_map_clear(&machines);
    return r;
}

int ferry_fleet_new(const struct ferry_fleet_config *config, const char *const *names,
                    const struct ferry_driver_config *const *configs, size_t n_routers,
                    struct ferry_fleet **ret, struct ferry_err *err)
{
    int r = check_machines(names, configs, n_routers, err);
    if (r < 0)
        return r;
    struct ferry_fleet *fleet = ferry_calloc(1, sizeof *fleet);
    fleet->config = *config;
    fleet->state_dir = ferry_strdup(config->state_dir);
    fleet->deadline_us = 1000ull * (config->deadline_ms ? config->deadline_ms : DEADLINE_MS);
    fleet->limit = config->workers ? config->workers : n_routers < WORKERS_MAX ? n_routers : WORKERS_MAX;
    fleet->routers = ferry_calloc(n_routers, sizeof *fleet->routers);
    fleet->n_routers = n_routers;
    for (size_t i = 0; i < n_routers; i++) {
        fleet->routers[i].name = ferry_strdup(names[i]);
        fleet->routers[i].config = ferry_driver_config_copy(configs[i]);
    }
    pthread_mutex_init(&fleet->one_run, NULL);
    pthread_mutex_init(&fleet->mutex, NULL);
    pthread_cond_init(&fleet->work, NULL);
    pthread_cond_init(&fleet->gone, NULL);
    fleet->ready_end = &fleet->ready;
    *ret = fleet;
    return 0;
}

void ferry_fleet_close(struct ferry_fleet_router *router)
{
    if (router->driver)
        router->ops->close(router->driver);
    router->driver = NULL;
}

void ferry_fleet_destroy(struct ferry_fleet *fleet)
{
    for (struct ferry_worker *w = fleet->workers, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    for (size_t i = 0; i < fleet->n_routers; i++) {
        ferry_fleet_close(&fleet->routers[i]);
        free(fleet->routers[i].name);
        ferry_driver_config_clear(&fleet->routers[i].config);
        ferry_fib_clear(&fleet->routers[i].initial);
    }
    free(fleet->routers);
    free(fleet->state_dir);
    pthread_mutex_destroy(&fleet->one_run);
    pthread_mutex_destroy(&fleet->mutex);
    pthread_cond_destroy(&fleet->work);
    pthread_cond_destroy(&fleet->gone);
    free(fleet);
}

void ferry_fleet_free(struct ferry_fleet *fleet)
{
    if (!fleet)
        return;
    ferry_home_free(FERRY_STEAL(fleet->home));
    ferry_fleet_stop(fleet);
}

/* ---- On the worker. ---- */

static int open_driver(struct ferry_fleet *fleet, struct ferry_fleet_router *router, struct ferry_err *err)
{
    if (!router->config.type)
        return ferry_error(err, FERRY_EINPUT, "the plan does not say which driver reaches this router");
    router->ops = fleet->config.find(router->config.type);
    if (!router->ops)
        return ferry_error(err, FERRY_ESUPPORT, "there is no driver '%s' in this build", router->config.type);
    return router->ops->open(fleet->config.env, &router->config, router->name, fleet->state_dir,
                             &router->initial, &router->driver, err);
}

/* `claimed` is what is wanted: a router that could not be asked now is claimed by the connection that reaches it. */
static int claim(struct ferry_fleet_router *router, struct ferry_err *err)
{
    return router->ops->claim ? router->ops->claim(router->driver, router->claimed, err) : 0;
}

static int call(struct ferry_fleet_router *router, struct ferry_work *work)
{
    const struct ferry_driver_ops *ops = router->ops;
    switch (work->verb) {
    case FERRY_JOB_READ:
        return ops->read(router->driver, work->query, &work->fib, &work->err);
    case FERRY_JOB_CHECK:
        return ops->check(router->driver, work->ops, work->n_ops, &work->err);
    case FERRY_JOB_APPLY:
        ((struct ferry_driver_base *)router->driver)->more = work->more;
        ((struct ferry_driver_base *)router->driver)->last = work->last;
        return ops->apply(router->driver, work->ops, work->n_ops, &work->err);
    case FERRY_JOB_ANNOUNCE:
        return ops->announce ? ops->announce(router->driver, work->ops, work->n_ops, &work->err) : 0;
    case FERRY_JOB_PERSIST:
        return ops->persist ? ops->persist(router->driver, &work->err) : 0;
    case FERRY_JOB_DEADMAN:
        if (!ops->deadman)
            return ferry_error(&work->err, FERRY_ESUPPORT, "a %s router has no dead-man", ops->type);
        return ops->deadman(router->driver, work->deadman_verb, work->deadman, &work->deadman_state,
                            &work->deadman_left_s, &work->err);
    case FERRY_JOB_CLAIM:
    case FERRY_JOB_RELEASE:
        return claim(router, &work->err);
    default:
        return ferry_error(&work->err, FERRY_EIO, "unknown verb %d", work->verb);
    }
}

bool ferry_fleet_has_deadman(const struct ferry_fleet *fleet, uint32_t router)
{
    const char *type = fleet->routers[router].config.type;
    const struct ferry_driver_ops *ops = type ? fleet->config.find(type) : NULL;
    return ops && ops->deadman;
}

bool ferry_fleet_has_persist(const struct ferry_fleet *fleet, uint32_t router)
{
    const char *type = fleet->routers[router].config.type;
    const struct ferry_driver_ops *ops = type ? fleet->config.find(type) : NULL;
    return ops && ops->persist;
}

bool ferry_fleet_has_claim(const struct ferry_fleet *fleet, uint32_t router)
{
    const char *type = fleet->routers[router].config.type;
    const struct ferry_driver_ops *ops = type ? fleet->config.find(type) : NULL;
    return ops && ops->claim;
}

/* Whoever asked for the job says whose it is: what a driver has said of that already would stand there twice. */
static void drop_name(const struct ferry_fleet_router *router, struct ferry_err *err)
{
    size_t n = strlen(router->name);
    while (!strncmp(err->text, router->name, n) && !strncmp(err->text + n, ": ", 2))
        memmove(err->text, err->text + n + 2, strlen(err->text + n + 2) + 1);
}

void ferry_fleet_execute(struct ferry_fleet *fleet, struct ferry_fleet_router *router,
                         struct ferry_work *work)
{
    if (work->verb == FERRY_JOB_CLAIM || work->verb == FERRY_JOB_RELEASE)
        router->claimed = work->verb == FERRY_JOB_CLAIM;
    if (!router->driver && work->verb == FERRY_JOB_RELEASE) { /* it went with its connection */
        work->result = 0;
        return;
    }
    if (!router->driver) {
        int r = open_driver(fleet, router, &work->err);
        if (r == 0 && router->claimed)
            r = claim(router, &work->err);
        if (r < 0) {
            drop_name(router, &work->err);
            ferry_fleet_close(router);
            ferry_work_fail(work, r, FERRY_REFUSED); /* nothing was sent */
            return;
        }
    }
    work->result = call(router, work);
    if (work->result < 0)
        drop_name(router, &work->err);
    if (work->result == -FERRY_EIO || work->result == -FERRY_EUNKNOWN)
        ferry_fleet_close(router); /* a fresh connection for the next job */
}

/* ---- The usual fleets. ---- */

int ferry_fleet_for_topology(const struct ferry_fleet_config *config, const struct ferry_topology *t,
                             struct ferry_fleet **ret, struct ferry_err *err)
{
    size_t n = t->n_routers + t->n_name_servers; /* a plan with changes of DNS has them in this order too */
    FERRY_AUTOFREE const char **names = ferry_calloc(n, sizeof *names);
    FERRY_AUTOFREE const struct ferry_driver_config **configs = ferry_calloc(n, sizeof *configs);
    for (size_t i = 0; i < t->n_routers; i++) {
        names[i] = t->routers[i].name;
        configs[i] = &t->routers[i].driver;
    }
    for (size_t i = 0; i < t->n_name_servers; i++) {
        names[t->n_routers + i] = t->name_servers[i].name;
        configs[t->n_routers + i] = &t->name_servers[i].driver;
    }
    struct ferry_fleet *fleet;
    int r = ferry_fleet_new(config, names, configs, n, &fleet, err);
    if (r < 0)
        return r;
    fleet->home = ferry_home_of_topology(t);
    *ret = fleet;
    return 0;
}

int ferry_fleet_for_plan(const struct ferry_fleet_config *config, const struct ferry_plan *plan,
                         struct ferry_fleet **ret, struct ferry_err *err)
{
    FERRY_AUTOFREE const char **names = ferry_calloc(plan->n_routers, sizeof *names);
    FERRY_AUTOFREE const struct ferry_driver_config **configs =
        ferry_calloc(plan->n_routers, sizeof *configs);
    for (size_t i = 0; i < plan->n_routers; i++) {
        names[i] = plan->routers[i].name;
        configs[i] = &plan->routers[i].driver;
    }
    struct ferry_fleet *fleet;
    int r = ferry_fleet_new(config, names, configs, plan->n_routers, &fleet, err);
    if (r < 0)
        return r;
    fleet->home = ferry_home_of_plan(plan);
    *ret = fleet;
    return 0;
}
