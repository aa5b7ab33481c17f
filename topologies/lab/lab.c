/* Building a lab and taking it down.  Neighbours: layout.c (what), script.c (as commands), run.c and record.c
 * (the machine), machine.h (routers with daemons), status.c (what is there now).
 *
 *  1. Under the lock: no name is taken → record written → namespaces → sysctls → wires → addresses and routes
 *     → machines started and settled → record completed.  A failure at any step, or a signal between
 *     two, runs the same removal as `lab down`.
 *  2. Only namespaces that the record lists are removed, and of a complete record only those whose inode still
 *     agrees; before them the machines whose first process it lists, and its directory after them.
 *
 * SPDX-License-Identifier: MIT */
#include "lab.h"

#include "base/mem.h"
#include "layout.h"
#include "machine.h"
#include "run.h"
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CARRIER_WAIT_MS 15000
#define POLL_MS         10

struct teller {
    ferry_lab_progress *progress;
    void *ctx;
    ferry_lab_interrupted *interrupted;
};

FERRY_PRINTF(2, 3) static void tell(const struct teller *teller, const char *fmt, ...)
{
    if (!teller->progress) {
        return;
    }
    char line[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    teller->progress(teller->ctx, line);
}

static void record_cleanup(struct ferry_lab_record **record)
{
    ferry_lab_record_free(*record);
}

static void layout_cleanup(struct ferry_lab_layout **layout)
{
    ferry_lab_layout_free(*layout);
}

static int need_root(struct ferry_err *err)
{
    return geteuid() == 0
               ? 0
               : ferry_refuse(err, "root", "the lab makes network namespaces: run it as root (sudo)");
}

/* ---- Down ---- */

static void tell_process(void *ctx, size_t index, pid_t pid, const char *name)
{
    (void)index;
    tell(ctx, "process %d (%s) still lives in a namespace of this lab; it is left alone", (int)pid, name);
}

/* Invariant 2. */
static int remove_recorded(const struct ferry_lab_record *record, const struct teller *teller, int lock_fd,
                           struct ferry_err *err)
{
    int r = ferry_lab_machines_end(record, err);
    if (r < 0) {
        return r;
    }
    FERRY_AUTOFREE char *script = NULL;
    size_t len, removed = 0;
    FILE *out = open_memstream(&script, &len);
    FERRY_AUTOFREE ino_t *inodes = ferry_calloc(record->n_netns + 1, sizeof *inodes);
    for (size_t i = 0; i < record->n_netns; i++) {
        const struct ferry_lab_record_netns *n = &record->netns[i];
        ino_t inode = ferry_lab_netns_inode(n->name);
        if (inode && n->inode && n->inode != inode) {
            tell(teller, "%s: no longer the namespace that the lab made; left alone", n->name);
        } else if (inode) {
            fprintf(out, "netns del %s\n", n->name);
            inodes[i] = inode;
            removed++;
        }
    }
    fclose(out);
    ferry_lab_processes(inodes, record->n_netns, tell_process, (void *)teller);
    if ((r = ferry_lab_batch(NULL, NULL, script, lock_fd, err)) < 0 ||
        (record->files && (r = ferry_lab_files_remove(record, err)) < 0) ||
        (r = ferry_lab_record_remove(record->name, err)) < 0) {
        return r;
    }
    tell(teller, "%zu namespace%s removed", removed, removed == 1 ? "" : "s");
    return 0;
}

int ferry_lab_down(const char *topology_name, ferry_lab_progress *progress, void *ctx, struct ferry_err *err)
{
    struct teller teller = {progress, ctx, NULL};
    FERRY_CLEANUP(ferry_lab_unlock) int lock = -1;
    FERRY_CLEANUP(record_cleanup) struct ferry_lab_record *record = NULL;
    int r = need_root(err);
    if (r < 0 || (r = ferry_lab_lock(NULL, &lock, err)) < 0 ||
        (r = ferry_lab_record_load(topology_name, &record, err)) != 0) {
        return r;
    }
    return remove_recorded(record, &teller, lock, err);
}

/* ---- Up ---- */

/* Forwarding without the answers that would hide what happens: every packet that runs out of hops counts, no
 * redirect moves a host away, the asymmetric middle of a move passes, IPv6 addresses work at once. */
static const struct ferry_lab_sysctl router_sysctls[] = {
    {.path = "ipv4/ip_forward", .value = "1"},
    {.path = "ipv4/conf/all/rp_filter", .value = "0"},
    {.path = "ipv4/conf/default/rp_filter", .value = "0"},
    {.path = "ipv4/conf/all/send_redirects", .value = "0"},
    {.path = "ipv4/conf/default/send_redirects", .value = "0"},
    {.path = "ipv4/icmp_ratelimit", .value = "0"},
    {.path = "ipv4/icmp_ratemask", .value = "0"},
    {.path = "ipv4/icmp_msgs_per_sec", .value = "1000000", .optional = true},
    {.path = "ipv4/icmp_msgs_burst", .value = "100000", .optional = true},
    {.path = "ipv6/conf/all/forwarding", .value = "1", .optional = true},
    {.path = "ipv6/conf/default/forwarding", .value = "1", .optional = true},
    {.path = "ipv6/conf/all/accept_dad", .value = "0", .optional = true},
    {.path = "ipv6/conf/default/accept_dad", .value = "0", .optional = true},
    {.path = "ipv6/conf/default/dad_transmits", .value = "0", .optional = true},
    {.path = "ipv6/icmp/ratelimit", .value = "0", .optional = true},
    {.path = NULL},
};

static const struct ferry_lab_sysctl host_sysctls[] = {
    {.path = "ipv4/conf/all/rp_filter", .value = "0"},
    {.path = "ipv4/conf/default/rp_filter", .value = "0"},
    {.path = "ipv4/icmp_ratelimit", .value = "0"},
    {.path = "ipv4/icmp_msgs_per_sec", .value = "1000000", .optional = true},
    {.path = "ipv4/icmp_msgs_burst", .value = "100000", .optional = true},
    {.path = "ipv6/conf/all/accept_dad", .value = "0", .optional = true},
    {.path = "ipv6/conf/default/accept_dad", .value = "0", .optional = true},
    {.path = "ipv6/conf/default/dad_transmits", .value = "0", .optional = true},
    {.path = "ipv6/conf/default/accept_ra", .value = "0", .optional = true},
    {.path = "ipv6/icmp/ratelimit", .value = "0", .optional = true},
    {.path = NULL},
};

/* A bridge forwards frames; it needs no addresses of its own. */
static const struct ferry_lab_sysctl lan_sysctls[] = {
    {.path = "ipv6/conf/all/disable_ipv6", .value = "1", .optional = true},
    {.path = "ipv6/conf/default/disable_ipv6", .value = "1", .optional = true},
    {.path = NULL},
};

static int refuse_taken(const struct ferry_topology *t, const struct ferry_lab_layout *layout,
                        const struct ferry_lab_record *fresh, struct ferry_err *err)
{
    FERRY_CLEANUP(record_cleanup) struct ferry_lab_record *record = NULL;
    int r = ferry_lab_record_load(t->name, &record, err);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        return ferry_refuse(err, "lab-up",
                            record->complete
                                ? "%s is up already: `ferry lab down` first"
                                : "an earlier `lab up` of %s was cut short: `ferry lab down` first",
                            t->name);
    }
    for (size_t i = 0; i < layout->n_places; i++) {
        if (ferry_lab_netns_inode(layout->places[i].netns)) {
            return ferry_refuse(err, "netns-exists",
                                "the namespace %s is there already and is not this lab's",
                                layout->places[i].netns);
        }
    }
    FERRY_AUTOFREE char *dir = ferry_asprintf("%s/%s", FERRY_LAB_DIR, t->name);
    if (ferry_lab_has_machines(layout) && access(dir, F_OK) == 0) {
        return ferry_refuse(err, "lab-files", "%s is there already and is not this lab's", dir);
    }
    for (size_t i = 0; i < fresh->n_paths; i++) {
        if (access(fresh->paths[i], F_OK) == 0) {
            return ferry_refuse(err, "lab-files", "%s is there already and is not this lab's",
                                fresh->paths[i]);
        }
    }
    return 0;
}

static struct ferry_lab_record *new_record(const struct ferry_topology *t,
                                           const struct ferry_lab_layout *layout)
{
    struct ferry_lab_record *record = ferry_calloc(1, sizeof *record);
    record->name = ferry_strdup(t->name);
    memcpy(record->topology_sha256, t->sha256, sizeof record->topology_sha256);
    record->files = ferry_lab_has_machines(layout);
    record->n_netns = layout->n_places;
    record->netns = ferry_calloc(layout->n_places + 1, sizeof *record->netns);
    for (size_t i = 0; i < layout->n_places; i++) {
        record->netns[i].name = ferry_strdup(layout->places[i].netns);
        if (layout->places[i].pathspace) {
            FERRY_GROW(record->paths, record->n_paths);
            record->paths[record->n_paths++] = ferry_asprintf("/etc/frr/%s", layout->places[i].pathspace);
            FERRY_GROW(record->paths, record->n_paths);
            record->paths[record->n_paths++] = ferry_asprintf("/run/frr/%s", layout->places[i].pathspace);
        }
    }
    return record;
}

static int make_namespaces(const struct ferry_lab_layout *layout, int lock_fd, struct ferry_err *err)
{
    FERRY_AUTOFREE char *script = NULL;
    size_t len;
    FILE *out = open_memstream(&script, &len);
    for (size_t i = 0; i < layout->n_places; i++) {
        fprintf(out, "netns add %s\n", layout->places[i].netns);
    }
    fclose(out);
    int r = ferry_lab_batch(NULL, NULL, script, lock_fd, err);
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        const struct ferry_lab_place *p = &layout->places[i];
        const struct ferry_lab_sysctl forward[] = {
            {.path = "ipv4/ip_forward", .value = "1"},
            {.path = "ipv4/conf/all/send_redirects", .value = "0"},
            {.path = "ipv4/conf/default/send_redirects", .value = "0"},
            {.path = "ipv6/conf/all/forwarding", .value = "1", .optional = true},
            {.path = NULL}};
        r = ferry_lab_sysctls(p->netns,
                              p->role == FERRY_LAB_ROUTER ? router_sysctls
                              : p->role == FERRY_LAB_HOST ? host_sysctls
                                                          : lan_sysctls,
                              err);
        if (r == 0 && p->role == FERRY_LAB_HOST && p->forwards) {
            r = ferry_lab_sysctls(p->netns, forward, err);
        }
    }
    return r;
}

/* Runs one of the scripts in a place. */
static int run_script(const struct ferry_lab_place *p, const char *family,
                      void (*write)(const struct ferry_lab_place *p, FILE *out), int lock_fd,
                      struct ferry_err *err)
{
    FERRY_AUTOFREE char *script = NULL;
    size_t len;
    FILE *out = open_memstream(&script, &len);
    write(p, out);
    fclose(out);
    return ferry_lab_batch(p->netns, family, script, lock_fd, err);
}

static int wire(const struct ferry_lab_layout *layout, int lock_fd, struct ferry_err *err)
{
    FERRY_AUTOFREE char *script = NULL;
    size_t len;
    FILE *out = open_memstream(&script, &len);
    ferry_lab_script_wires(layout, out);
    fclose(out);
    int r = ferry_lab_batch(NULL, NULL, script, lock_fd, err);
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        r = run_script(&layout->places[i], NULL, ferry_lab_script_links, lock_fd, err);
    }
    return r;
}

/* The kernel acts on a new carrier up to a second later; until then a bridge port drops, and IPv6 is not
 * ready. */
static int wait_place(const struct ferry_lab_place *p, ferry_lab_interrupted *interrupted,
                      unsigned *waited_ms, struct ferry_err *err)
{
    size_t n = p->n_interfaces + p->n_ports, down = 0;
    FERRY_AUTOFREE const char **names = ferry_calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        names[i] = i < p->n_interfaces ? p->interfaces[i] : p->ports[i - p->n_interfaces].name;
    }
    for (;; *waited_ms += POLL_MS) {
        int r = ferry_lab_first_down(p->netns, names, n, &down, err);
        if (r < 0 || down == n || (r = ferry_lab_may_go_on(interrupted, err)) < 0) {
            return r;
        }
        if (*waited_ms >= CARRIER_WAIT_MS) {
            return ferry_error(err, FERRY_EIO, "%s: interface %s does not come up", p->netns, names[down]);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

static int wait_carrier(const struct ferry_lab_layout *layout, ferry_lab_interrupted *interrupted,
                        struct ferry_err *err)
{
    unsigned waited_ms = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        r = wait_place(&layout->places[i], interrupted, &waited_ms, err);
    }
    return r;
}

/* After every interface is up, so that next hops resolve and no route starts as linkdown. */
static int configure(const struct ferry_lab_layout *layout, int lock_fd, struct ferry_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        const struct ferry_lab_place *p = &layout->places[i];
        r = run_script(p, NULL, ferry_lab_script_config, lock_fd, err);
        if (r == 0 && p->n_tables) {
            r = run_script(p, "-4", ferry_lab_script_rules, lock_fd, err);
        }
        if (r == 0 && p->n_tables && access("/proc/net/if_inet6", F_OK) == 0) {
            r = run_script(p, "-6", ferry_lab_script_rules, lock_fd, err);
        }
    }
    return r;
}

static int start_machines(const struct ferry_topology *t, const struct ferry_lab_layout *layout,
                          struct ferry_lab_record *record, int lock_fd, const struct teller *teller,
                          struct ferry_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < layout->n_places; i++) {
        n += layout->places[i].machine != FERRY_LAB_KERNEL;
    }
    tell(teller, "starting the daemons of %zu router%s", n, n == 1 ? "" : "s");
    int r = ferry_lab_files_make(t, layout, lock_fd, err);
    if (r < 0 || (r = ferry_lab_may_go_on(teller->interrupted, err)) < 0 ||
        (r = ferry_lab_machines_start(layout, record, teller->interrupted, err)) < 0) {
        return r;
    }
    tell(teller, "waiting until their routes are there");
    return ferry_lab_settle(layout, record, teller->interrupted, err);
}

static int build(const struct ferry_topology *t, const struct ferry_lab_layout *layout,
                 struct ferry_lab_record *record, int lock_fd, const struct teller *teller,
                 struct ferry_err *err)
{
    size_t addresses = 0, routes = 0;
    for (size_t i = 0; i < layout->n_places; i++) {
        addresses += layout->places[i].n_addresses;
        routes += layout->places[i].n_routes;
    }
    tell(teller, "making %zu namespaces", layout->n_places);
    int r = make_namespaces(layout, lock_fd, err);
    if (r < 0 || (r = ferry_lab_may_go_on(teller->interrupted, err)) < 0) {
        return r;
    }
    tell(teller, "joining them by %zu virtual cables", layout->n_wires);
    if ((r = wire(layout, lock_fd, err)) < 0 || (r = wait_carrier(layout, teller->interrupted, err)) < 0) {
        return r;
    }
    tell(teller, "setting %zu addresses and %zu routes", addresses, routes);
    if ((r = configure(layout, lock_fd, err)) < 0 ||
        (record->files && (r = start_machines(t, layout, record, lock_fd, teller, err)) < 0) ||
        (r = ferry_lab_may_go_on(teller->interrupted, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < record->n_netns; i++) {
        record->netns[i].inode = ferry_lab_netns_inode(record->netns[i].name);
    }
    record->complete = true;
    return ferry_lab_record_save(record, err);
}

int ferry_lab_up(const struct ferry_topology *t, ferry_lab_progress *progress, void *ctx,
                 ferry_lab_interrupted *interrupted, struct ferry_err *err)
{
    struct teller teller = {progress, ctx, interrupted};
    FERRY_CLEANUP(ferry_lab_unlock) int lock = -1;
    FERRY_CLEANUP(layout_cleanup) struct ferry_lab_layout *layout = NULL;
    FERRY_CLEANUP(record_cleanup) struct ferry_lab_record *record = NULL;
    int r = need_root(err);
    if (r < 0 || (r = ferry_lab_layout_new(t, &layout, err)) < 0 ||
        (r = ferry_lab_files_check(layout, err)) < 0 || (r = ferry_lab_lock(interrupted, &lock, err)) < 0 ||
        (r = refuse_taken(t, layout, record = new_record(t, layout), err)) < 0) {
        return r;
    }
    if (layout->n_left_out) {
        tell(&teller, "%zu routers are not namespaces of this machine and are left out", layout->n_left_out);
    }
    if ((r = ferry_lab_record_save(record, err)) < 0) {
        return r;
    }
    if ((r = build(t, layout, record, lock, &teller, err)) == 0) {
        return 0;
    }
    struct ferry_err why;
    for (size_t i = 0; i < record->n_netns; i++) {
        record->netns[i].inode = 0;
    }
    tell(&teller, "%s: taking down what was made",
         interrupted && interrupted() ? "interrupted" : "that failed");
    if (remove_recorded(record, &teller, lock, &why) < 0) {
        tell(&teller, "and so did the removal (%s): run `ferry lab down`", why.text);
    }
    return r;
}
