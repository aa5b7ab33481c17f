/* The lab: a topology as network namespaces on this machine, with the routes that an administrator would have
 * made.
 *
 * It builds the routers that are namespaces of this machine: driver netlink with a `netns`, and frr and iproute, for
 * which it starts FRR and sshd as well (machine.h); others are left out.  It never touches a namespace, a process or a
 * directory that it has not created, nor the machine's own interfaces and routes: what it creates is written to
 * FERRY_LAB_DIR/NAME.json before it exists, and that record alone says what is removed.  Used by ui/ for `ferry lab`.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LAB_H
#define FERRY_LAB_H

#include <ferry/topology.h>

#define FERRY_LAB_DIR "/run/ferry/lab"

/* One line for people about what is being done, without newline; may be NULL. */
typedef void ferry_lab_progress(void *ctx, const char *line);
/* The name of the signal that asked to stop, or NULL; may be NULL itself. */
typedef const char *ferry_lab_interrupted(void);

/* Builds it; all or nothing: after a failure, or when asked to stop, everything made so far is gone again.  -FERRY_EREFUSED: rule
 * "root" (not root), "lab-up" (it is up already, or an earlier attempt was cut short: take it down first),
 * "netns-exists" (a namespace of that name is there and is not the lab's), "lab-files" (a directory is),
 * "packages" (a program is missing), "no-netns" (nothing to build). -FERRY_ELOCKED: another lab command
 * works.  -FERRY_EIO: `ip` or the kernel failed, the text has its words; or it was asked to stop. */
int ferry_lab_up(const struct ferry_topology *t, ferry_lab_progress *progress, void *ctx,
                 ferry_lab_interrupted *interrupted, struct ferry_err *err) FERRY_MUST_CHECK;

/* Removes exactly what the record of the topology of this name lists, also after a crash half way.  1: there
 * is no record, hence nothing to do.  Machines end with all that runs in them; other processes that still live in a
 * namespace are reported by `progress`, not ended. */
int ferry_lab_down(const char *topology_name, ferry_lab_progress *progress, void *ctx,
                   struct ferry_err *err) FERRY_MUST_CHECK;

enum ferry_lab_state {
    FERRY_LAB_DOWN,   /* nothing of it is there */
    FERRY_LAB_UP,     /* every namespace is there, every interface is up, every daemon answers */
    FERRY_LAB_BROKEN, /* a part is missing or down, or `lab up` was cut short */
};
const char *ferry_lab_state_name(enum ferry_lab_state state); /* "down", "up", "broken" */

/* One namespace of the lab. */
struct ferry_lab_space {
    char *netns;
    const char *role; /* "router", "lan", "host"; static */
    char *of;         /* the router's or host's name; for "lan" the topology's */
    bool present;
    unsigned interfaces, interfaces_up; /* expected; found and up (with carrier) */
    size_t addresses, addresses_found;  /* expected at the baseline; of them found */
    size_t routes, routes_found;        /* baseline routes of protocol static; of them found unchanged */
    unsigned processes;                 /* that live in it now */
    /* Of a router that runs daemons; zero and true of others. */
    unsigned daemons, daemons_up; /* expected; of them alive and answering */
    bool config_same;             /* FRR's running-config, and what BGP and OSPF made, are the baseline's */
};

struct ferry_lab_status {
    enum ferry_lab_state state;
    bool baseline;            /* all addresses and routes are as `lab up` made them (a move changes that) */
    char topology_sha256[65]; /* of the file that was built; "" where down */
    bool same_file;           /* it is that of `t` */
    struct ferry_lab_space *spaces;
    size_t n_spaces;
};
int ferry_lab_status(const struct ferry_topology *t, struct ferry_lab_status *ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_lab_status_clear(struct ferry_lab_status *status);

#endif
