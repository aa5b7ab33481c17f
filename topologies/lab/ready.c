/* Asking the daemons of a lab: do they work yet, do they still, is their configuration the baseline's?  Neighbours:
 * machine.c (started them), look.c (the kernel's side).
 *
 *  1. A lab is up when every router holds the addresses and routes of its layout, every BGP session is established,
 *     every OSPF neighbour full, and what BGP and OSPF made has stood still for a while.
 *  2. What it is then is kept in the machine's directory, and is the baseline: `running-config` and `learnt`.
 *
 * SPDX-License-Identifier: MIT */
#include "look.h"
#include "machine.h"

#include "base/mem.h"
#include <json-c/json.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_WAIT_MS 60000
#define POLL_MS        50
#define STILL_MS       400

static void put_json(json_object **o)
{
    json_object_put(*o);
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* Runs a program inside a machine, with an end to its time. */
static int inside(const struct ferry_lab_record_process *process, const char *const *words, char **ret,
                  struct ferry_err *err)
{
    FERRY_AUTOFREE char *pid = ferry_asprintf("%d", (int)process->pid);
    const char *argv[32] = {"timeout", "-k", "1", "10", "nsenter", "-t", pid, "-m", "-u", "-n", "-p", "--"};
    for (size_t n = 12; *words && n < FERRY_COUNT(argv) - 1; n++) {
        argv[n] = *words++;
    }
    int r = ferry_lab_process_lives(process) ? ferry_lab_run(argv, -1, ret, err)
                                             : ferry_error(err, FERRY_EIO, "its first process is gone");
    return r < 0 ? ferry_error_prefix(err, r, "%s", process->netns) : 0;
}

static int vtysh(const struct ferry_lab_place *place, const struct ferry_lab_record_process *process,
                 const char *command, char **ret, struct ferry_err *err)
{
    const char *own[] = {"vtysh", "-c", command, NULL};
    const char *named[] = {"vtysh", "-N", place->pathspace, "-c", command, NULL};
    return inside(process, place->pathspace ? named : own, ret, err);
}

/* ---- Neighbours ---- */

/* "show bgp summary json": {"ipv4Unicast": {"peers": {ADDRESS: {"state": …}}}, …} */
static const char *bgp_waits(json_object *root)
{
    json_object_object_foreach(root, name, family)
    {
        json_object *peers, *state;
        (void)name;
        if (!json_object_is_type(family, json_type_object) ||
            !json_object_object_get_ex(family, "peers", &peers)) {
            continue;
        }
        json_object_object_foreach(peers, address, peer)
        {
            if (!json_object_object_get_ex(peer, "state", &state) ||
                strcmp(json_object_get_string(state), "Established") != 0) {
                return address;
            }
        }
    }
    return NULL;
}

/* "show ip ospf neighbor json": {"neighbors": {ID: [{"nbrState": "Full/…"}]}} */
static const char *ospf_waits(json_object *root)
{
    json_object *all, *state;
    if (!json_object_object_get_ex(root, "neighbors", &all)) {
        return NULL; /* none: the routes will say whether that is right */
    }
    json_object_object_foreach(all, id, list)
    {
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            if (!json_object_object_get_ex(json_object_array_get_idx(list, i), "nbrState", &state) ||
                strncmp(json_object_get_string(state), "Full", 4) != 0) {
                return id;
            }
        }
    }
    return NULL;
}

static enum ferry_routing routing_of(const struct ferry_lab_place *place)
{
    return place->machine == FERRY_LAB_FRR ? place->router->driver.routing : FERRY_ROUTING_STATIC;
}

/* 1: a neighbour is not there yet, `err` says which. */
static int wait_neighbours(const struct ferry_lab_place *place,
                           const struct ferry_lab_record_process *process, struct ferry_err *err)
{
    bool bgp = routing_of(place) == FERRY_ROUTING_BGP;
    FERRY_AUTOFREE char *text = NULL;
    int r = vtysh(place, process, bgp ? "show bgp summary json" : "show ip ospf neighbor json", &text, err);
    if (r < 0) {
        return r;
    }
    FERRY_CLEANUP(put_json) json_object *root = json_tokener_parse(text);
    const char *waits = !root ? "?" : bgp ? bgp_waits(root) : ospf_waits(root);
    if (waits) {
        ferry_error(err, FERRY_EIO, "%s: the %s neighbour %s does not come up", place->netns,
                    bgp ? "BGP" : "OSPF", waits);
    }
    return waits ? 1 : 0;
}

/* ---- Settling ---- */

/* 1: not yet, `err` says what is missing. */
static int wait_place(const struct ferry_lab_place *place, const struct ferry_lab_record *record,
                      struct ferry_err *err)
{
    const struct ferry_lab_record_process *process = ferry_lab_process_of(record, place->netns);
    struct ferry_lab_space space = {0};
    int r = ferry_lab_look(place, &space, err);
    if (r < 0) {
        return r;
    }
    if (!process || !ferry_lab_process_lives(process)) {
        return ferry_error(err, FERRY_EIO, "%s: its first process is gone", place->netns);
    }
    if (space.addresses_found < place->n_addresses || space.routes_found < place->n_routes) {
        ferry_error(err, FERRY_EIO, "%s: %zu of %zu addresses and %zu of %zu routes are there", place->netns,
                    space.addresses_found, place->n_addresses, space.routes_found, place->n_routes);
        return 1;
    }
    return routing_of(place) == FERRY_ROUTING_STATIC ? 0 : wait_neighbours(place, process, err);
}

static int wait_all(const struct ferry_lab_layout *layout, const struct ferry_lab_record *record, long until,
                    ferry_lab_interrupted *interrupted, struct ferry_err *err)
{
    for (size_t i = 0; i < layout->n_places; i++) {
        int r = 1;
        while (layout->places[i].machine != FERRY_LAB_KERNEL &&
               (r = wait_place(&layout->places[i], record, err)) == 1) {
            if (now_ms() >= until) {
                return -FERRY_EIO;
            }
            if ((r = ferry_lab_may_go_on(interrupted, err)) < 0) {
                return r;
            }
            pause_ms(POLL_MS);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int learnt_of_all(const struct ferry_lab_layout *layout, char **ret, struct ferry_err *err)
{
    size_t len;
    FILE *out = open_memstream(ret, &len);
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        FERRY_AUTOFREE char *learnt = NULL;
        if (routing_of(&layout->places[i]) != FERRY_ROUTING_STATIC &&
            (r = ferry_lab_learnt(&layout->places[i], &learnt, err)) == 0) {
            fprintf(out, "%s:\n%s", layout->places[i].netns, learnt);
        }
    }
    fclose(out);
    return r;
}

static int wait_still(const struct ferry_lab_layout *layout, long until, ferry_lab_interrupted *interrupted,
                      struct ferry_err *err)
{
    FERRY_AUTOFREE char *before = NULL;
    int r = learnt_of_all(layout, &before, err);
    for (long since = now_ms(); r == 0 && *before && now_ms() < since + STILL_MS;) {
        pause_ms(POLL_MS);
        FERRY_AUTOFREE char *now = NULL;
        if ((r = ferry_lab_may_go_on(interrupted, err)) == 0 && (r = learnt_of_all(layout, &now, err)) == 0 &&
            strcmp(before, now) != 0) {
            free(before);
            before = FERRY_STEAL(now);
            since = now_ms();
        }
        if (now_ms() > until) {
            return ferry_error(err, FERRY_EIO, "what BGP and OSPF make does not come to rest");
        }
    }
    return r;
}

static int keep(const char *topology_name, const struct ferry_lab_place *place,
                const struct ferry_lab_record_process *process, struct ferry_err *err)
{
    FERRY_AUTOFREE char *config = NULL, *learnt = NULL, *said = NULL;
    FERRY_AUTOFREE char *config_path = ferry_lab_file(topology_name, place->netns, "running-config");
    FERRY_AUTOFREE char *learnt_path = ferry_lab_file(topology_name, place->netns, "learnt");
    int r;
    if ((r = vtysh(place, process, "write memory", &said, err)) < 0 ||
        (r = vtysh(place, process, "show running-config", &config, err)) < 0 ||
        (r = ferry_lab_learnt(place, &learnt, err)) < 0 ||
        (r = ferry_lab_file_write(config_path, config, 0644, err)) < 0) {
        return r;
    }
    return ferry_lab_file_write(learnt_path, learnt, 0644, err);
}

int ferry_lab_settle(const struct ferry_lab_layout *layout, const struct ferry_lab_record *record,
                     ferry_lab_interrupted *interrupted, struct ferry_err *err)
{
    long until = now_ms() + SETTLE_WAIT_MS;
    int r = wait_all(layout, record, until, interrupted, err);
    if (r == 0) {
        r = wait_still(layout, until, interrupted, err);
    }
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        if (layout->places[i].machine == FERRY_LAB_FRR) {
            r = keep(record->name, &layout->places[i], ferry_lab_process_of(record, layout->places[i].netns),
                     err);
        }
    }
    return r;
}

/* ---- Status ---- */

/* Whether the SSH server says who it is. */
static bool ssh_answers(const struct ferry_lab_place *place, const struct ferry_lab_record_process *process)
{
    const struct ferry_driver_config *driver = &place->router->driver;
    FERRY_AUTOFREE char *port = ferry_asprintf("%u", driver->port ? driver->port : 22u), *out = NULL;
    struct ferry_err ignored;
    const char *words[] = {"ssh-keyscan", "-T", "3", "-p", port, "-t", "ed25519", driver->host, NULL};
    return inside(process, words, &out, &ignored) == 0 && strstr(out, "ssh-ed25519");
}

static bool bird_answers(const struct ferry_lab_record_process *process)
{
    FERRY_AUTOFREE char *out = NULL;
    struct ferry_err ignored;
    const char *words[] = {"birdc", "-s", "/run/bird.ctl", "show", "status", NULL};
    return inside(process, words, &out, &ignored) == 0 && strstr(out, "Daemon is up and running");
}

static bool same_as(const char *path, const char *text)
{
    FERRY_AUTOFREE char *kept = ferry_lab_file_read(path);
    return kept && text && !strcmp(kept, text);
}

static bool config_same(const char *topology_name, const struct ferry_lab_place *place,
                        const struct ferry_lab_record_process *process)
{
    FERRY_AUTOFREE char *config = NULL, *learnt = NULL;
    FERRY_AUTOFREE char *config_path = ferry_lab_file(topology_name, place->netns, "running-config");
    FERRY_AUTOFREE char *learnt_path = ferry_lab_file(topology_name, place->netns, "learnt");
    struct ferry_err ignored;
    return vtysh(place, process, "show running-config", &config, &ignored) == 0 &&
           ferry_lab_learnt(place, &learnt, &ignored) == 0 && same_as(config_path, config) &&
           same_as(learnt_path, learnt);
}

/* How many of the daemons answer: "show daemons" names those that vtysh is connected to. */
static unsigned frr_answers(const struct ferry_lab_place *place,
                            const struct ferry_lab_record_process *process, const char *const *daemons,
                            size_t n)
{
    FERRY_AUTOFREE char *out = NULL;
    struct ferry_err ignored;
    unsigned found = 0;
    if (vtysh(place, process, "show daemons", &out, &ignored) < 0 || !out) {
        return 0;
    }
    for (char *c = strchr(out, '\n'); c; c = strchr(c, '\n')) {
        *c = ' ';
    }
    for (size_t i = 0; i < n; i++) {
        FERRY_AUTOFREE char *word = ferry_asprintf(" %s ", daemons[i]);
        found += strstr(out, word) != NULL;
    }
    return found;
}

void ferry_lab_look_daemons(const struct ferry_lab_place *place, const struct ferry_lab_record *record,
                            struct ferry_lab_space *space)
{
    const struct ferry_lab_record_process *process =
        record ? ferry_lab_process_of(record, place->netns) : NULL;
    const char *daemons[] = {"zebra", "staticd", "watchfrr",
                             routing_of(place) == FERRY_ROUTING_BGP ? "bgpd" : "ospfd"};
    size_t n = FERRY_COUNT(daemons) - (routing_of(place) == FERRY_ROUTING_STATIC);
    space->config_same = true;
    if (place->machine == FERRY_LAB_KERNEL) {
        return;
    }
    if (place->machine == FERRY_LAB_BIRD) {
        space->daemons = 1;
        space->daemons_up = process && space->present && bird_answers(process);
        return;
    }
    space->daemons = place->ssh + (place->machine == FERRY_LAB_FRR ? (unsigned)n : 0);
    space->config_same = place->machine != FERRY_LAB_FRR;
    if (!process || !space->present || !ferry_lab_process_lives(process)) {
        return;
    }
    space->daemons_up = place->ssh && ssh_answers(place, process);
    if (place->machine == FERRY_LAB_FRR) {
        space->daemons_up += frr_answers(place, process, daemons, n);
        space->config_same = config_same(record->name, place, process);
    }
}
