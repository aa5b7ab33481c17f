/* What is there of a lab now, compared with what `lab up` makes.  Neighbours: layout.c (what it makes), run.c
 * (`ip -j`).
 *
 * SPDX-License-Identifier: MIT */
#include "lab.h"

#include "base/mem.h"
#include "layout.h"
#include "look.h"
#include "machine.h"
#include "run.h"
#include <string.h>
#include <unistd.h>

const char *ferry_lab_state_name(enum ferry_lab_state state)
{
    switch (state) {
    case FERRY_LAB_DOWN:
        return "down";
    case FERRY_LAB_UP:
        return "up";
    case FERRY_LAB_BROKEN:
        return "broken";
    }
    return "?";
}

static void layout_cleanup(struct ferry_lab_layout **layout)
{
    ferry_lab_layout_free(*layout);
}

static void record_cleanup(struct ferry_lab_record **record)
{
    ferry_lab_record_free(*record);
}

/* ---- The whole ---- */

static void count_process(void *ctx, size_t index, pid_t pid, const char *name)
{
    struct ferry_lab_status *status = ctx;
    (void)pid;
    (void)name;
    status->spaces[index].processes++;
}

static const char *role_name(enum ferry_lab_role role)
{
    return role == FERRY_LAB_ROUTER ? "router" : role == FERRY_LAB_LAN ? "lan" : "host";
}

static void status_cleanup(struct ferry_lab_status *status)
{
    ferry_lab_status_clear(status);
}

static bool recorded(const struct ferry_lab_record *record, const char *netns, ino_t inode)
{
    for (size_t i = 0; record && i < record->n_netns; i++) {
        if (!strcmp(record->netns[i].name, netns)) {
            return !record->netns[i].inode || record->netns[i].inode == inode;
        }
    }
    return false;
}

static int read_spaces(const struct ferry_lab_layout *layout, const struct ferry_lab_record *record,
                       struct ferry_lab_status *status, struct ferry_err *err)
{
    FERRY_AUTOFREE ino_t *inodes = ferry_calloc(layout->n_places + 1, sizeof *inodes);
    bool whole = record && record->complete;
    status->baseline = true;
    status->n_spaces = layout->n_places;
    status->spaces = ferry_calloc(layout->n_places + 1, sizeof *status->spaces);
    for (size_t i = 0; i < layout->n_places; i++) {
        const struct ferry_lab_place *p = &layout->places[i];
        ino_t inode = ferry_lab_netns_inode(p->netns);
        struct ferry_lab_space *s = &status->spaces[i];
        *s = (struct ferry_lab_space){.netns = ferry_strdup(p->netns),
                                      .role = role_name(p->role),
                                      .of = ferry_strdup(p->of),
                                      .present = inode && recorded(record, p->netns, inode),
                                      .interfaces = (unsigned)(p->n_interfaces + p->n_ports),
                                      .addresses = p->n_addresses,
                                      .routes = p->n_routes};
        int r = s->present ? ferry_lab_look(p, s, err) : 0;
        if (r < 0) {
            return r;
        }
        ferry_lab_look_daemons(p, record, s);
        inodes[i] = s->present ? inode : 0;
        whole &= s->present && s->interfaces_up == s->interfaces && s->daemons_up == s->daemons;
        status->baseline &= s->present && s->addresses_found == s->addresses &&
                            s->routes_found == s->routes && s->config_same;
    }
    ferry_lab_processes(inodes, layout->n_places, count_process, status);
    status->state = !record ? FERRY_LAB_DOWN : whole ? FERRY_LAB_UP : FERRY_LAB_BROKEN;
    return 0;
}

int ferry_lab_status(const struct ferry_topology *t, struct ferry_lab_status *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_lab_unlock) int lock = -1;
    FERRY_CLEANUP(layout_cleanup) struct ferry_lab_layout *layout = NULL;
    FERRY_CLEANUP(record_cleanup) struct ferry_lab_record *record = NULL;
    FERRY_CLEANUP(status_cleanup) struct ferry_lab_status status = {0};
    if (geteuid() != 0) {
        return ferry_refuse(err, "root", "looking into network namespaces needs root (sudo)");
    }
    int r = ferry_lab_layout_new(t, &layout, err);
    if (r < 0 || (r = ferry_lab_lock(NULL, &lock, err)) < 0 ||
        (r = ferry_lab_record_load(t->name, &record, err)) < 0 ||
        (r = read_spaces(layout, record, &status, err)) < 0) {
        return r;
    }
    if (record) {
        memcpy(status.topology_sha256, record->topology_sha256, sizeof status.topology_sha256);
        status.same_file = !strcmp(record->topology_sha256, t->sha256);
    }
    *ret = status;
    status = (struct ferry_lab_status){0};
    return 0;
}

void ferry_lab_status_clear(struct ferry_lab_status *status)
{
    for (size_t i = 0; i < status->n_spaces; i++) {
        free(status->spaces[i].netns);
        free(status->spaces[i].of);
    }
    free(status->spaces);
    *status = (struct ferry_lab_status){0};
}
