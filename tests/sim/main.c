/* The command line of the simulation, the work shared out to processes, and the figures.  See README.md.
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include "base/mem.h"

#include <getopt.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *const fault_names[F_COUNT] = {
    "reply lost",
    "request lost",
    "request late",
    "request twice",
    "router cut off",
    "cut one way, to",
    "cut one way, from",
    "partition",
    "router frozen",
    "op refused",
    "acknowledged, not done",
    "router restarted",
    "foreign route added",
    "route deleted by a stranger",
    "route replaced by a stranger",
    "other prefix changed by a stranger",
    "longer prefix by a stranger",
    "covering prefix by a stranger",
    "controller killed",
    "controller without power",
    "sector torn",
    "disk full",
    "disk error",
    "clock set back",
    "clock set forward",
    "second controller",
    "dead-man fired",
    "recovery killed",
};

void trace(struct world *w, const char *fmt, ...)
{
    w->trace_hash = (w->trace_hash ^ now_us() ^ (uint64_t)(unsigned char)fmt[0] << 40) * 0x100000001b3u;
    if (!w->options->verbose)
        return;
    bool was = world_enter();
    char text[1200];
    int n = snprintf(text, sizeof text, "%12.6f ", (double)(now_us() - 1000000000) / 1e6);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, args);
    va_end(args);
    char **slot = &w->tail[w->n_tail++ % FERRY_COUNT(w->tail)];
    free(*slot);
    *slot = ferry_strdup(text);
    if (!w->options->quiet)
        puts(text);
    world_leave(was);
}

void violation(struct world *w, const char *fmt, ...)
{
    if (w->violated)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, args);
    va_end(args);
    w->violated = true;
    trace(w, "VIOLATION: %s", w->why);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- Running. ---- */

static size_t shape_index(const struct shape_list *list, const char *name)
{
    size_t i = 0;
    while (i < list->n && strcmp(list->names[i], name))
        i++;
    return i;
}

/* A seed that failed is run again, this time with its trace: it is the same run. */
static void one(const struct options *options, struct counts *counts, const struct shape_list *list,
                uint64_t seed, uint64_t moves)
{
    size_t i = options->shape ? shape_index(list, options->shape) : seed % list->n;
    struct options traced = *options;
    struct counts again = {0};
    uint64_t before = counts->violations;
    episode(options, counts, seed, list->names[i], list->texts[i], moves);
    if (options->verbose || counts->violations == before)
        return;
    traced.verbose = traced.quiet = true;
    episode(&traced, &again, seed, list->names[i], list->texts[i], moves);
    if (!again.violations)
        fprintf(stderr, "seed %llu does not replay\n", (unsigned long long)seed);
}

static void run(const struct options *options, const struct shape_list *list, unsigned job,
                struct counts *counts)
{
    uint64_t moves = options->moves / options->jobs;
    struct counts warm = {0};
    struct options calm = *options;
    calm.faults = calm.verbose = false;
    heap_warm(true); /* what libraries make once */
    episode(&calm, &warm, 1, list->names[0], list->texts[0], 3);
    heap_warm(false);
    time_t end = options->seconds ? time(NULL) + (time_t)options->seconds : 0;
    for (uint64_t seed = options->seed + job; counts->moves < moves && (!end || time(NULL) < end);
         seed += options->jobs) {
        uint64_t left = moves - counts->moves;
        one(options, counts, list, seed, left < options->per_episode ? left : options->per_episode);
        counts->cpu_us = (uint64_t)clock() * 1000000 / CLOCKS_PER_SEC;
        if (counts->violations >= (options->first ? 1 : 20) || options->moves <= options->per_episode)
            break; /* so few moves are one seed's */
    }
}

static void add_up(struct counts *to, const struct counts *from)
{
    uint64_t *a = (uint64_t *)to;
    const uint64_t *b = (const uint64_t *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *a; i++)
        a[i] += b[i];
}

static void run_jobs(const struct options *options, const struct shape_list *list, struct counts *total)
{
    if (options->jobs == 1) {
        run(options, list, 0, total);
        return;
    }
    int pipes[64][2];
    for (unsigned i = 0; i < options->jobs; i++) {
        if (pipe(pipes[i]))
            abort();
        if (fork() == 0) {
            struct counts counts = {0};
            run(options, list, i, &counts);
            _exit(write(pipes[i][1], &counts, sizeof counts) != sizeof counts);
        }
        close(pipes[i][1]);
    }
    for (unsigned i = 0; i < options->jobs; i++) {
        struct counts counts;
        if (read(pipes[i][0], &counts, sizeof counts) == sizeof counts) {
            add_up(total, &counts);
        } else {
            fprintf(stderr, "job %u died\n", i);
            total->violations++;
        }
        close(pipes[i][0]);
    }
    while (wait(NULL) > 0)
        ;
}

/* ---- Figures. ---- */

static void show(const struct options *options, const struct shape_list *list, const struct counts *c,
                 double seconds)
{
    printf("%llu moves in %llu episodes over %zu shapes, %llu processes, %llu router calls, %.0f h "
           "simulated, %llu recoveries\n",
           (unsigned long long)c->moves, (unsigned long long)c->episodes, options->shape ? 1 : list->n,
           (unsigned long long)c->processes, (unsigned long long)c->calls, (double)c->simulated_us / 3.6e9,
           (unsigned long long)c->recovered);
    printf("kinds: %llu apply, %llu drill, %llu with a confirm, %llu rollback\n",
           (unsigned long long)c->kinds[0], (unsigned long long)c->kinds[1], (unsigned long long)c->kinds[2],
           (unsigned long long)c->kinds[3]);
    for (int i = 0; i < E_COUNT; i++)
        printf("ending  %-40s %llu\n", ending_names[i], (unsigned long long)c->endings[i]);
    printf("ending  %-40s %llu\n", "stuck when quiet, then mended by a person",
           (unsigned long long)c->stuck_then_mended);
    for (int i = 0; options->faults && i < F_COUNT; i++)
        printf("fault   %-40s %llu\n", fault_names[i], (unsigned long long)c->faults[i]);
    printf("walker: %llu walks, %llu of them for whole service; %llu claims held against routers; %llu "
           "excused by strangers and "
           "restarts\n",
           (unsigned long long)c->walks, (unsigned long long)c->whole_checks, (unsigned long long)c->claims,
           (unsigned long long)c->excused);
    printf("trace %016llx\n", (unsigned long long)c->trace);
    printf("violations: %llu\n", (unsigned long long)c->violations);
    fprintf(stderr, "%.1f s, %.1f s of CPU: %.0f moves a second of CPU\n", seconds, (double)c->cpu_us / 1e6,
            (double)c->moves * 1e6 / (double)(c->cpu_us ? c->cpu_us : 1));
}

static int usage(int status)
{
    fputs("usage: ferry-sim --seed N [--moves M] [--shape NAME|all] [--jobs J] [--verbose]\n"
          "                 [--no-faults] [--no-strangers] [--unfenced] [--windows] [--per-episode N] "
          "[--edges DIR] "
          "[--list]\n",
          status ? stderr : stdout);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"seed", 1, 0, 's'},         {"moves", 1, 0, 'm'},
                                          {"shape", 1, 0, 'S'},        {"jobs", 1, 0, 'j'},
                                          {"verbose", 0, 0, 'v'},      {"no-faults", 0, 0, 'n'},
                                          {"no-strangers", 0, 0, 'N'}, {"unfenced", 0, 0, 'u'},
                                          {"per-episode", 1, 0, 'p'},  {"edges", 1, 0, 'e'},
                                          {"seconds", 1, 0, 't'},      {"first", 0, 0, 'f'},
                                          {"list", 0, 0, 'l'},         {"windows", 0, 0, 'w'},
                                          {"help", 0, 0, 'h'},         {0}};
    struct options o = {
        .seed = 1, .moves = 20, .jobs = 1, .per_episode = 20, .faults = true, .strangers = true};
    bool list_only = false;
    const char *missing = NULL;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 's':
            o.seed = strtoull(optarg, NULL, 10);
            break;
        case 'm':
            o.moves = strtoull(optarg, NULL, 10);
            break;
        case 'S':
            o.shape = strcmp(optarg, "all") ? optarg : NULL;
            break;
        case 'j':
            o.jobs = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'v':
            o.verbose = true;
            break;
        case 'n':
            o.faults = false;
            break;
        case 'N':
            o.strangers = false;
            break;
        case 'u':
            o.unfenced = true;
            break;
        case 'p':
            o.per_episode = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'e':
            o.edges = optarg;
            break;
        case 'f':
            o.first = true;
            break;
        case 't':
            o.seconds = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            list_only = true;
            break;
        case 'w':
            o.windows = true;
            break;
        case 'h':
            return usage(0);
        default:
            return usage(64);
        }
    }
    if (!o.jobs || o.jobs > 64 || !o.per_episode)
        return usage(64);
    setvbuf(stdout, NULL, _IOLBF, 4096);
    const struct shape_list *list = shapes(o.edges, &missing);
    if (missing)
        fprintf(stderr, "SKIPPED: no public networks: %s is not there\n", missing);
    for (size_t i = 0; list_only && i < list->n; i++)
        puts(list->names[i]);
    if (list_only)
        return 0;
    if (o.shape && shape_index(list, o.shape) == list->n) {
        fprintf(stderr, "there is no shape '%s' (--list names them)\n", o.shape);
        return 64;
    }
    disk_install();
    struct counts total = {0};
    struct timespec from, to;
    timespec_get(&from, TIME_UTC);
    run_jobs(&o, list, &total);
    timespec_get(&to, TIME_UTC);
    show(&o, list, &total, (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    return total.violations ? 1 : 0;
}
