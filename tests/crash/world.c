/* See world.h.  SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/hash.h"
#include "base/mem.h"
#include "lab/lab.h"

#include <ferry/audit.h>

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void world_die(const char *what, const struct ferry_err *err)
{
    fprintf(stderr, "world: %s: %s\n", what, err ? err->text : "");
    abort();
}

static pid_t lab_owner; /* children that were forked use their parent's lab */

/* ---- Making one. ---- */

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char *text = NULL;
    size_t size = 0, n;
    FILE *out = open_memstream(&text, &size);
    char buf[65536];
    while ((n = fread(buf, 1, sizeof buf, f)))
        fwrite(buf, 1, n, out);
    fclose(f);
    fclose(out);
    *ret_len = size;
    return text;
}

/* Every "driver": {…} becomes one of the given type. */
static char *with_drivers(const char *text, const char *type)
{
    char *ret = NULL;
    size_t size;
    FILE *out = open_memstream(&ret, &size);
    for (const char *p; (p = strstr(text, "\"driver\":")); text = strchr(p, '}') + 1) {
        fwrite(text, 1, (size_t)(p - text), out);
        fprintf(out, "\"driver\": {\"type\": \"%s\"}", type);
    }
    fputs(text, out);
    fclose(out);
    return ret;
}

static void no_sleep(void *ctx, uint64_t us)
{
    (void)ctx, (void)us;
}

/* Namespaces, the topology's own name and the machines of its lab get a prefix of this process. */
static char *with_prefix(const char *text)
{
    static const char *const keys[] = {"\"netns\": \"", "\"name\": \""};
    char *ret = NULL;
    size_t size, named = 0;
    FILE *out = open_memstream(&ret, &size);
    const char *machines = strstr(text, "\"lab\":");
    while (*text) {
        size_t key = 0;
        while (key < 2 && (strncmp(text, keys[key], strlen(keys[key])) ||
                           (key == 1 && named && !(machines && text > machines))))
            key++;
        if (key == 2) {
            fputc(*text++, out);
            continue;
        }
        fprintf(out, "%sferry-crash-%ld-", keys[key], (long)lab_owner);
        text += strlen(keys[key]);
        named += key == 1; /* the topology's is the first one */
    }
    fclose(out);
    return ret;
}

static char *topology_text(const char *topology, const char *drivers)
{
    size_t len = 0;
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/topologies/%s", FERRY_SOURCE_DIR, topology);
    FERRY_AUTOFREE char *text = read_file(path, &len);
    if (!text)
        world_die(path, NULL);
    return strcmp(drivers, "lab") ? with_drivers(text, drivers) : with_prefix(text);
}

void world_init(struct world *w, const char *topology, const char *drivers)
{
    struct ferry_err err;
    FERRY_AUTOFREE char *text = topology_text(topology, drivers);
    *w = (struct world){.env = ferry_env_real};
    w->env.sleep_us = no_sleep;
    const char *base = getenv("TMPDIR"); /* memory is quick to sync, and a kill takes none of it away */
    snprintf(w->dir, sizeof w->dir, "%.32s/ferry-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(w->dir))
        world_die(w->dir, NULL);
    if (ferry_topology_parse(topology, text, strlen(text), &w->topology, NULL, &err) < 0)
        world_die(topology, &err);
    w->config = (struct ferry_fleet_config){
        .env = &w->env, .find = ferry_driver_find, .state_dir = w->dir, .workers = 4, .deadline_ms = 10000};
    if (ferry_journal_open(&w->env, w->dir, &w->journal, &err) < 0)
        world_die("journal", &err);
}

/* ---- The lab. ---- */

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "lab: %s\n", line);
}

unsigned world_step(void)
{
    if (getenv("FERRY_TEST_FULL"))
        return 1;
#ifdef FERRY_SANITIZED
    return 7;
#else
    return lab_owner ? 7 : 1;
#endif
}

bool world_lab_up(const char *topology)
{
    struct ferry_err err;
    struct ferry_topology *t = NULL;
    lab_owner = getpid();
    FERRY_AUTOFREE char *text = topology_text(topology, "lab");
    if (ferry_topology_parse(topology, text, strlen(text), &t, NULL, &err) < 0)
        world_die(topology, &err);
    int r = ferry_lab_up(t, NULL, NULL, NULL, &err);
    if (r < 0)
        fprintf(stderr, "no lab: %s\n", err.text);
    ferry_topology_free(t);
    return r == 0;
}

void world_lab_down(const char *topology)
{
    struct ferry_err err;
    struct ferry_topology *t = NULL;
    FERRY_AUTOFREE char *text = topology_text(topology, "lab");
    if (ferry_topology_parse(topology, text, strlen(text), &t, NULL, &err) < 0 ||
        ferry_lab_down(t->name, print_line, NULL, &err) < 0)
        world_die("lab down", &err);
    ferry_topology_free(t);
}

char *world_lab_state(const struct world *w)
{
    static const char *const what[] = {"-d -j route show table all", "-d -j -6 route show table all",
                                       "-j addr", "-j rule", "-j -6 rule"};
    char *ret = NULL;
    size_t size;
    FILE *out = open_memstream(&ret, &size);
    for (size_t r = 0; r < w->topology->n_routers; r++)
        for (size_t i = 0; i < FERRY_COUNT(what); i++) {
            FERRY_AUTOFREE char *command =
                ferry_asprintf("ip -n %s %s", w->topology->routers[r].driver.netns, what[i]);
            FILE *in = popen(command, "re");
            char buf[4096];
            size_t n;
            if (!in)
                world_die(command, NULL);
            fprintf(out, "%s\n", command);
            while ((n = fread(buf, 1, sizeof buf, in)))
                fwrite(buf, 1, n, out);
            if (pclose(in))
                world_die(command, NULL);
        }
    fclose(out);
    return ret;
}

void world_lab_restore(struct world *w, const struct ferry_plan *plan)
{
    struct ferry_err err;
    struct ferry_plan *reverse = NULL;
    enum ferry_txn_state state = FERRY_TXN_READY;
    w->config.find = ferry_driver_find;
    if (ferry_plan_reverse(plan, &reverse, &err) < 0 ||
        world_apply(w, reverse, NULL, &state, NULL, &err) < 0 || state != FERRY_TXN_COMMITTED)
        world_die("restore", &err);
    ferry_plan_free(reverse);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void world_clear(struct world *w)
{
    ferry_journal_close(w->journal);
    ferry_topology_free(w->topology);
    nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct ferry_fleet *world_fleet(struct world *w)
{
    struct ferry_err err;
    struct ferry_fleet *fleet = NULL;
    struct ferry_fleet_config config = w->config;
    config.find = ferry_driver_find;
    if (ferry_fleet_for_topology(&config, w->topology, &fleet, &err) < 0)
        world_die("fleet", &err);
    return fleet;
}

static struct ferry_live *read_live(struct world *w, struct ferry_pool *pool)
{
    struct ferry_err err;
    size_t n = w->topology->n_subnets;
    FERRY_AUTOFREE uint32_t *subnets = ferry_calloc(n, sizeof *subnets);
    for (uint32_t i = 0; i < n; i++)
        subnets[i] = i;
    struct ferry_live *live = ferry_live_new(w->topology, pool, subnets, n);
    struct ferry_fleet *fleet = world_fleet(w);
    if (ferry_fleet_read_live(fleet, live, &err) < 0)
        world_die("read", &err);
    for (size_t r = 0; r < w->topology->n_routers; r++)
        if (live->unreachable[r])
            world_die(w->topology->routers[r].name, &live->unreachable_why[r]);
    ferry_fleet_free(fleet);
    return live;
}

struct ferry_plan *world_try_plan(struct world *w, const char *subnet, const char *site,
                                  struct ferry_err *err)
{
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = read_live(w, pool);
    struct ferry_move move = {ferry_topology_subnet(w->topology, subnet),
                              ferry_topology_site(w->topology, site)};
    struct ferry_plan *plan = NULL;
    if (ferry_plan_make(live, &move, 1, &plan, err) < 0)
        plan = NULL;
    ferry_live_free(live);
    ferry_pool_free(pool);
    return plan;
}

struct ferry_plan *world_plan(struct world *w, const char *subnet, const char *site)
{
    struct ferry_err err;
    struct ferry_plan *plan = world_try_plan(w, subnet, site, &err);
    if (!plan)
        world_die("plan", &err);
    return plan;
}

char *world_snapshot(struct world *w)
{
    char *text = NULL, one[1024];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct ferry_pool *pool = ferry_pool_new();
    struct ferry_live *live = read_live(w, pool);
    for (size_t r = 0; r < w->topology->n_routers; r++)
        for (size_t c = 0; c < live->n_subnets; c++) {
            const struct ferry_stack *stack = live->stacks[r * live->n_subnets + c];
            for (uint32_t i = 0; stack && i < stack->n; i++)
                fprintf(out, "%s %s %s\n", w->topology->routers[r].name,
                        w->topology->subnets[live->subnets[c]].name,
                        ferry_entry_text(stack->entries[i], one, sizeof one));
        }
    fclose(out);
    ferry_live_free(live);
    ferry_pool_free(pool);
    return text;
}

void world_digest(const struct world *w, const char *below, char ret[65])
{
    char *all = NULL;
    size_t size;
    FILE *out = open_memstream(&all, &size);
    FERRY_AUTOFREE char *dir = ferry_asprintf("%s/%s", w->dir, below);
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        FERRY_AUTOFREE char *path = ferry_asprintf("%s/%s", dir, names[i]->d_name);
        size_t len = 0;
        FERRY_AUTOFREE char *text = names[i]->d_type == DT_REG ? read_file(path, &len) : NULL;
        fprintf(out, "%s\n", names[i]->d_name);
        if (text && strcmp(names[i]->d_name, "lock"))
            fwrite(text, 1, len, out);
        free(names[i]);
    }
    free(names);
    fclose(out);
    ferry_sha256(all, size, ret);
    free(all);
}

/* ---- Transactions. ---- */

int world_apply(struct world *w, struct ferry_plan *plan, const struct ferry_txn_options *options,
                enum ferry_txn_state *ret, struct ferry_txn_record **ret_record, struct ferry_err *err)
{
    struct ferry_fleet *fleet = NULL;
    struct ferry_txn *txn = NULL;
    struct ferry_hand *drift = NULL;
    size_t n_drift = 0;
    struct ferry_txn_options plain = {.kind = "apply", .user = "test"};
    /* Of the topology: a plan knows nothing of the subnets that stay, and simulated routers must. */
    int r = ferry_fleet_for_topology(&w->config, w->topology, &fleet, err);
    if (r < 0)
        return r;
    r = ferry_txn_begin(w->journal, fleet, plan, options ? options : &plain, &txn, &drift, &n_drift, err);
    if ((r == -FERRY_EDRIFT) != (n_drift > 0))
        world_die("drift is not told as such", err);
    ferry_hands_free(drift, n_drift);
    if (!r)
        r = ferry_txn_run(txn, err);
    if (!r) {
        *ret = ferry_txn_state(txn);
        if (ret_record)
            r = ferry_journal_get(w->journal, ferry_txn_record(txn)->id, ret_record, err);
    }
    ferry_txn_free(txn);
    ferry_fleet_free(fleet);
    return r;
}

int world_recover(struct world *w, enum ferry_txn_state *ret, struct ferry_txn_record **ret_record,
                  struct ferry_err *err)
{
    struct ferry_txn_record *record = NULL;
    struct ferry_txn_options options = {.user = "test"};
    int r = ferry_txn_recover(w->journal, &w->config, &options, &record, err);
    if (r)
        return r;
    *ret = record->state;
    if (ret_record)
        *ret_record = record;
    else
        ferry_txn_record_free(record);
    return 0;
}

void world_audit(struct world *w)
{
    struct ferry_err err = {0};
    struct ferry_audit_report report = {0};
    if (ferry_audit_verify(w->journal, NULL, &report, &err) < 0)
        world_die("audit", &err);
    if (report.n_problems) {
        snprintf(err.text, sizeof err.text, "entry %llu, transaction %s: %s",
                 (unsigned long long)report.problems[0].seq, report.problems[0].tx, report.problems[0].text);
        world_die("audit", &err);
    }
    ferry_audit_report_clear(&report);
}

struct ferry_op world_route(const char *prefix, struct ferry_entry *entry)
{
    struct ferry_err err;
    struct ferry_op op = {
        .kind = FERRY_KIND_ROUTE, .table = entry->table, .metric = entry->metric, .after = entry};
    if (ferry_prefix_parse(prefix, &op.prefix, &err) < 0)
        world_die(prefix, &err);
    return op;
}

void world_meddle(struct world *w, const char *router, struct ferry_op *op)
{
    struct ferry_fleet *fleet = world_fleet(w);
    struct ferry_job job = {
        .router = ferry_topology_router(w->topology, router), .verb = FERRY_JOB_APPLY, .ops = op, .n_ops = 1};
    ferry_fleet_run(fleet, &job, 1);
    if (job.result < 0)
        world_die("meddle", &job.err);
    if (op->outcome != FERRY_DONE)
        world_die(op->why ? op->why : "meddle", NULL);
    ferry_fleet_free(fleet);
}
