/* Routers that run daemons: FRR or BIRD, and an SSH server, each router like a machine of its own.
 *
 * A machine is a mount, UTS and PID namespace beside its network namespace.  All that it sees of this
 * machine's files it sees as they are, but for those that a router has for itself: /etc/frr, /run, /var/lib,
 * /var/log/frr, /var/tmp, the home of root.  Those stand in FERRY_LAB_DIR/TOPOLOGY/NETNS, which is /run/lab
 * inside.  FRR that is reached from here, without SSH, has a pathspace instead: /etc/frr/NAME and
 * /run/frr/NAME of this machine.  Its first process starts the daemons, and takes all others with it when it
 * ends: nothing of a machine outlives it.
 *
 *   machine.c   starting and ending        files.c   what stands in the directory
 *   bird.c      bird.conf
 *   frr.c       frr.conf                   ready.c   asking a machine; waiting until it works; its baseline
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LAB_MACHINE_H
#define FERRY_LAB_MACHINE_H

#include "lab.h"
#include "layout.h"
#include "run.h"

#define FERRY_LAB_FIRST_AS 65001u /* of the first site; RFC 6996: for private use */

/* ---- files.c ---- */

/* -FERRY_EREFUSED, rule "packages": a program is missing that this lab needs. */
int ferry_lab_files_check(const struct ferry_lab_layout *layout, struct ferry_err *err) FERRY_MUST_CHECK;
/* Makes FERRY_LAB_DIR/TOPOLOGY (0700) with the keys and a directory for each machine. */
int ferry_lab_files_make(const struct ferry_topology *t, const struct ferry_lab_layout *layout, int lock_fd,
                         struct ferry_err *err) FERRY_MUST_CHECK;
/* Removes the lab's directories and what is in them; nothing to do where they are not there. */
int ferry_lab_files_remove(const struct ferry_lab_record *record, struct ferry_err *err) FERRY_MUST_CHECK;
/* FERRY_LAB_DIR/TOPOLOGY/NETNS/NAME, malloc'd. */
char *ferry_lab_file(const char *topology_name, const char *netns, const char *name);
/* Its text, or NULL. */
char *ferry_lab_file_read(const char *path);
int ferry_lab_file_write(const char *path, const char *text, mode_t mode,
                         struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- frr.c ---- */

void ferry_lab_frr_config(const struct ferry_topology *t, const struct ferry_lab_place *place, FILE *out);

/* The AS of a router's site. */
uint32_t ferry_lab_as(const struct ferry_router *router);

/* ---- bird.c ---- */

/* bird.conf of a foreign router, malloc'd. */
char *ferry_lab_bird_config(const struct ferry_topology *t, const struct ferry_lab_place *place);

/* ---- machine.c ---- */

bool ferry_lab_has_machines(const struct ferry_lab_layout *layout);
/* Starts all of them; each first process is in the record, saved, before it does anything.  Returns when each has
 * started its daemons. */
int ferry_lab_machines_start(const struct ferry_lab_layout *layout, struct ferry_lab_record *record,
                             ferry_lab_interrupted *interrupted, struct ferry_err *err) FERRY_MUST_CHECK;
/* Ends those of the record that are still there, with all that runs in them, and waits until they are gone. */
int ferry_lab_machines_end(const struct ferry_lab_record *record, struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether it is still the process of the record. */
bool ferry_lab_process_lives(const struct ferry_lab_record_process *process);
/* The recorded process of a namespace, or NULL. */
const struct ferry_lab_record_process *ferry_lab_process_of(const struct ferry_lab_record *record,
                                                            const char *netns);

/* ---- ready.c ---- */

/* Waits until every router holds its baseline, saves FRR's configurations, and keeps what they and the learnt routes
 * are then. */
int ferry_lab_settle(const struct ferry_lab_layout *layout, const struct ferry_lab_record *record,
                     ferry_lab_interrupted *interrupted, struct ferry_err *err) FERRY_MUST_CHECK;
/* Fills in the daemons of a place, and whether its configuration is the one that was kept. */
void ferry_lab_look_daemons(const struct ferry_lab_place *place, const struct ferry_lab_record *record,
                            struct ferry_lab_space *space);

#endif
