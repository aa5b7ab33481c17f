/* What the lab needs of the machine: `ip` as a child process, sysctls of a namespace, the record and its
 * lock.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LAB_RUN_H
#define FERRY_LAB_RUN_H

#include "lab.h"

#include <ferry/err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- run.c ---- */

/* -FERRY_EIO: it was asked to stop. */
int ferry_lab_may_go_on(ferry_lab_interrupted *interrupted, struct ferry_err *err) FERRY_MUST_CHECK;

/* Runs `ip [-n NETNS] ARGS… ` with `script` (may be NULL) on its standard input and waits.  `ret_out` (may be
 * NULL) gets what it printed, malloc'd.  `lock_fd` (-1: none) is inherited, so that the lock outlives a
 * killed parent until the child is done; a terminal's Ctrl-C does not reach it.  -FERRY_EIO with what ip said. */
int ferry_lab_ip(const char *netns, const char *const *args, const char *script, int lock_fd, char **ret_out,
                 struct ferry_err *err) FERRY_MUST_CHECK;
/* Runs a program (argv[0] in the PATH) in the same way. */
int ferry_lab_run(const char *const *argv, int lock_fd, char **ret_out,
                  struct ferry_err *err) FERRY_MUST_CHECK;
/* `ip -batch -`; nothing is run for an empty script.  `family`: "-4", "-6" or NULL. */
int ferry_lab_batch(const char *netns, const char *family, const char *script, int lock_fd,
                    struct ferry_err *err) FERRY_MUST_CHECK;

struct ferry_lab_sysctl {
    const char *path; /* under /proc/sys/net/ */
    const char *value;
    bool optional; /* not every kernel has it for every namespace */
};
/* Writes them inside the namespace; ends at a NULL path.  The calling thread is in its own namespace again
 * afterwards. */
int ferry_lab_sysctls(const char *netns, const struct ferry_lab_sysctl *sysctls,
                      struct ferry_err *err) FERRY_MUST_CHECK;

/* Which of these interfaces is the first that is not running yet (no carrier, or the kernel has not acted on
 * it yet): index, or `n` where all are. */
int ferry_lab_first_down(const char *netns, const char *const *names, size_t n, size_t *ret,
                         struct ferry_err *err) FERRY_MUST_CHECK;

/* Whether the name is there; its inode (0: it is not). */
ino_t ferry_lab_netns_inode(const char *netns);
/* Calls `found` for each process whose network namespace has one of these inodes. */
void ferry_lab_processes(const ino_t *inodes, size_t n,
                         void (*found)(void *ctx, size_t index, pid_t pid, const char *name), void *ctx);

/* ---- record.c ---- */

struct ferry_lab_record_netns {
    char *name;
    ino_t inode; /* 0 until it is known */
};

/* The first process of a machine, which takes the others with it. */
struct ferry_lab_record_process {
    char *netns;
    pid_t pid;
    uint64_t start; /* field 22 of /proc/PID/stat: a pid alone may be somebody else's by now */
};

struct ferry_lab_record {
    char *name;
    char topology_sha256[65];
    bool complete; /* false: `lab up` works, or was cut short */
    struct ferry_lab_record_netns *netns;
    size_t n_netns;
    bool files;   /* FERRY_LAB_DIR/NAME is the lab's */
    char **paths; /* directories of its own outside of that: /etc/frr/NAME and /run/frr/NAME */
    size_t n_paths;
    struct ferry_lab_record_process *processes;
    size_t n_processes;
};
void ferry_lab_record_free(struct ferry_lab_record *record);
/* 1: there is none. */
int ferry_lab_record_load(const char *topology_name, struct ferry_lab_record **ret,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* The same from a file that is there. */
int ferry_lab_record_read(const char *path, const char *topology_name, struct ferry_lab_record **ret,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* Replaces the file at once (rename). */
int ferry_lab_record_save(const struct ferry_lab_record *record, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_lab_record_remove(const char *topology_name, struct ferry_err *err) FERRY_MUST_CHECK;

/* One lab command at a time on this machine; waits up to 30 s for the one before, then -FERRY_ELOCKED. */
int ferry_lab_lock(ferry_lab_interrupted *interrupted, int *ret_fd, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_lab_unlock(int *fd);

#endif
