/* The simulated router's driver: the eight calls of ferry/driver.h over a table and a file.
 *
 *  1. What `table` holds is what the state file holds, or `initial` while there is no file: every call first
 *     looks whether the file has changed, every apply ends with writing it, and only then says DONE.
 *  2. An op that is not DONE changed nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"
#include "table.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct ferry_driver {
    struct ferry_driver_base base;
    char *router;
    char *path, *deadman_path;
    const struct ferry_env *env;
    const struct ferry_fib *initial;
    struct ferry_sim_table table;
    struct stat seen; /* the file that `table` is of; st_ino 0: none */
};

static void sim_close(struct ferry_driver *driver)
{
    if (!driver)
        return;
    ferry_sim_table_clear(&driver->table);
    free(driver->router);
    free(driver->path);
    free(driver->deadman_path);
    free(driver);
}

static void sim_closep(struct ferry_driver **driver)
{
    sim_close(*driver);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Forgets the table and takes it from the file, or from `initial`. */
static int load(struct ferry_driver *driver, struct ferry_err *err)
{
    struct stat now = {0};
    if (stat(driver->path, &now) != 0)
        now.st_ino = 0;
    int r = ferry_sim_table_load(driver->path, &driver->table, err);
    if (r < 0)
        return r;
    driver->seen = now;
    if (r == 0)
        return 0;
    ferry_sim_table_clear(&driver->table);
    for (size_t i = 0; driver->initial && i < driver->initial->n; i++)
        ferry_sim_table_seed(&driver->table, &driver->initial->items[i]);
    return 0;
}

/* Invariant 1. */
static int reload(struct ferry_driver *driver, struct ferry_err *err)
{
    struct stat now = {0};
    if (stat(driver->path, &now) != 0)
        now.st_ino = 0;
    return now.st_ino == driver->seen.st_ino && (!now.st_ino || same_file(&now, &driver->seen))
               ? 0
               : load(driver, err);
}

static int save(struct ferry_driver *driver, struct ferry_err *err);

static void deadman_cleanup(struct ferry_sim_deadman *d)
{
    ferry_sim_deadman_clear(d);
}

/* A simulated router has no process of its own: its timer is whoever looks at it first after the deadline. */
static int refresh(struct ferry_driver *driver, struct ferry_err *err)
{
    FERRY_CLEANUP(deadman_cleanup) struct ferry_sim_deadman d = {0};
    int r = reload(driver, err);
    if (r == 0)
        r = ferry_sim_deadman_load(driver->deadman_path, &d, err);
    if (r < 0 || !ferry_sim_deadman_fire(&d, driver->env->realtime_us(driver->env->ctx), &driver->table))
        return r;
    r = save(driver, err);
    if (r == 0)
        r = ferry_sim_deadman_save(driver->deadman_path, &d, err);
    else
        driver->seen = (struct stat){.st_ino = (ino_t)-1}; /* load again at the next call */
    return r;
}

static int make_directory(const char *path, struct ferry_err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    return 0;
}

/* Names come from checked documents; this driver alone makes files of them. */
static bool name_is_safe(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) <= FERRY_NAME_MAX;
}

static int sim_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                    const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                    struct ferry_err *err)
{
    (void)config;
    if (!state_dir)
        return ferry_error(err, FERRY_EIO, "a simulated router needs a state directory");
    if (!name_is_safe(router))
        return ferry_error(err, FERRY_EIO, "'%.80s' cannot be the name of a simulated router", router);
    FERRY_CLEANUP(sim_closep) struct ferry_driver *driver = ferry_calloc(1, sizeof *driver);
    driver->base.ops = &ferry_driver_sim;
    driver->router = ferry_strdup(router);
    driver->path = ferry_asprintf("%s/sim/%s.json", state_dir, router);
    driver->deadman_path = ferry_asprintf("%s/sim/%s.deadman", state_dir, router);
    driver->env = env;
    driver->initial = initial;
    int r = load(driver, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(driver);
    return 0;
}

static int sim_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                    struct ferry_err *err)
{
    int r = refresh(driver, err);
    if (r < 0)
        return r;
    struct ferry_fib fib = {0};
    ferry_sim_table_read(&driver->table, query, &fib);
    *ret = fib;
    return 0;
}

/* ---- Ops. ---- */

static int sim_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    int r = refresh(driver, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        ferry_sim_table_op(&driver->table, &ops[i], false);
    }
    return r;
}

static void refuse_all(struct ferry_op *ops, size_t n, const struct ferry_err *why)
{
    for (size_t i = 0; i < n; i++) {
        ops[i].outcome = FERRY_REFUSED;
        ferry_op_why(&ops[i], "%s", why->text);
    }
}

/* STATE_DIR/sim */
static int make_directories(struct ferry_driver *driver, struct ferry_err *err)
{
    FERRY_AUTOFREE char *directory = ferry_strdup(driver->path);
    char *slash = strrchr(directory, '/');
    *slash = '\0';
    char *parent_end = strrchr(directory, '/');
    *parent_end = '\0';
    int r = make_directory(directory, err);
    *parent_end = '/';
    if (r == 0)
        r = make_directory(directory, err);
    return r;
}

static int save(struct ferry_driver *driver, struct ferry_err *err)
{
    int r = make_directories(driver, err);
    if (r == 0)
        r = ferry_sim_table_save(driver->path, driver->router, &driver->table, err);
    if (r == 0 && stat(driver->path, &driver->seen) != 0)
        driver->seen.st_ino = 0; /* someone took it away: the next call sees that */
    return r;
}

static int sim_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    bool changed = false;
    int r = refresh(driver, err);
    if (r < 0) {
        refuse_all(ops, n, err);
        return r;
    }
    for (size_t i = 0; i < n; i++) {
        ferry_sim_table_op(&driver->table, &ops[i], true);
        changed = changed || ops[i].outcome == FERRY_DONE;
    }
    if (!changed)
        return 0;
    r = save(driver, err);
    if (r == 0)
        return 0;
    refuse_all(ops, n, err); /* the old file still stands, so nothing happened */
    struct ferry_err ignored;
    if (load(driver, &ignored) < 0)
        driver->seen = (struct stat){.st_ino = (ino_t)-1}; /* load again at the next call */
    return r;
}

/* The state file outlives the process already. */
static int sim_persist(struct ferry_driver *driver, struct ferry_err *err)
{
    return refresh(driver, err);
}

/* ---- The dead-man. ---- */

/* What is armed for another transaction must neither be lost nor fight with this one's. */
static int arm(struct ferry_driver *driver, struct ferry_sim_deadman *d, const struct ferry_deadman *deadman,
               struct ferry_err *err)
{
    if (d->id && strcmp(d->id, deadman->id) != 0 && ferry_sim_deadman_waits(d))
        return ferry_error(err, FERRY_EIO, "the undo of transaction %s is armed on this router", d->id);
    if (d->id && !strcmp(d->id, deadman->id) && d->state != FERRY_DEADMAN_ARMED &&
        d->state != FERRY_DEADMAN_NONE)
        return 0; /* confirmed or fired: it is left once */
    ferry_sim_deadman_arm(d, deadman);
    return make_directories(driver, err);
}

static int sim_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                       const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                       unsigned *ret_left_s, struct ferry_err *err)
{
    FERRY_CLEANUP(deadman_cleanup) struct ferry_sim_deadman d = {0};
    uint64_t now = driver->env->realtime_us(driver->env->ctx);
    int r = refresh(driver, err); /* fires what is due */
    if (r == 0)
        r = ferry_sim_deadman_load(driver->deadman_path, &d, err);
    if (r == 0 && verb == FERRY_DEADMAN_ARM)
        r = arm(driver, &d, deadman, err);
    if (r < 0)
        return r;
    enum ferry_deadman_state state = FERRY_DEADMAN_NONE;
    unsigned left = 0;
    bool mine = d.id && strcmp(d.id, deadman->id) == 0, waited = mine && ferry_sim_deadman_waits(&d);
    if (waited && verb == FERRY_DEADMAN_ARM && d.state == FERRY_DEADMAN_ARMED)
        d.deadline_us = now + 1000000ull * deadman->seconds;
    if (mine)
        state = ferry_sim_deadman_answer(&d, verb, deadman, now, &left);
    if (waited && verb != FERRY_DEADMAN_LOOK)
        r = ferry_sim_deadman_save(driver->deadman_path, &d, err);
    if (r < 0)
        return r;
    *ret = state;
    *ret_left_s = left;
    return 0;
}

const struct ferry_driver_ops ferry_driver_sim = {
    .type = "sim",
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .check = sim_check,
    .apply = sim_apply,
    .persist = sim_persist,
    .native = ferry_sim_native,
    .deadman = sim_deadman,
};
