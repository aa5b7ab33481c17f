/* Starting and ending machines.  Neighbours: machine.h (what a machine is), files.c (the script that its first process
 * runs), record.c (where that process is noted).
 *
 *  1. The first process of a machine waits at a pipe until the record with its pid is saved.  Where the writer of the
 *     record dies before, the pipe ends and so does the process, which has done nothing.
 *  2. It is the init of a PID namespace: when it ends, the kernel ends all others in it, whoever started them.
 *  3. Only a process with the pid and the start time of the record is ended.
 *
 * SPDX-License-Identifier: MIT */
#include "machine.h"

#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_WAIT_MS 60000
#define END_WAIT_MS   15000
#define POLL_MS       5

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

bool ferry_lab_has_machines(const struct ferry_lab_layout *layout)
{
    for (size_t i = 0; i < layout->n_places; i++) {
        if (layout->places[i].machine != FERRY_LAB_KERNEL) {
            return true;
        }
    }
    return false;
}

/* Field 22 of /proc/PID/stat, 0 where there is no such process. */
static uint64_t start_time(pid_t pid)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("/proc/%d/stat", (int)pid);
    FERRY_AUTOFREE char *text = ferry_lab_file_read(path);
    char *at = text ? strrchr(text, ')') : NULL; /* the name before it may hold anything */
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

bool ferry_lab_process_lives(const struct ferry_lab_record_process *process)
{
    uint64_t start = start_time(process->pid);
    return start && start == process->start;
}

const struct ferry_lab_record_process *ferry_lab_process_of(const struct ferry_lab_record *record,
                                                            const char *netns)
{
    for (size_t i = 0; i < record->n_processes; i++) {
        if (!strcmp(record->processes[i].netns, netns)) {
            return &record->processes[i];
        }
    }
    return NULL;
}

/* ---- Start ---- */

struct birth {
    int netns, log, null, go; /* descriptors that the child needs; all others are closed there */
    const char *script;
};

/* The first process, in its new namespaces.  Only what is safe after a bare clone. */
__attribute__((noreturn)) static void become(const struct birth *birth)
{
    static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C", NULL};
    const char *const argv[] = {"sh", birth->script, NULL};
    sigset_t none;
    char go;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < NSIG; s++) {
        signal(s, SIG_DFL);
    }
    setsid();
    if (dup2(birth->null, 0) < 0 || dup2(birth->log, 1) < 0 || dup2(birth->log, 2) < 0 ||
        read(birth->go, &go, 1) != 1 || setns(birth->netns, CLONE_NEWNET) < 0) {
        _exit(1);
    }
    close_range(3, ~0U, 0);
    execve("/bin/sh", (char *const *)argv, environment);
    _exit(127);
}

static int start_one(const char *topology_name, const char *netns, const int go[2],
                     struct ferry_lab_record_process *ret, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("/run/netns/%s", netns);
    FERRY_AUTOFREE char *script = ferry_lab_file(topology_name, netns, "boot");
    FERRY_AUTOFREE char *log_path = ferry_lab_file(topology_name, netns, "boot.log");
    FERRY_CLEANUP(close_fd) int space = open(path, O_RDONLY | O_CLOEXEC);
    FERRY_CLEANUP(close_fd) int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    FERRY_CLEANUP(close_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (space < 0 || log < 0 || null < 0) {
        return ferry_error(err, FERRY_EIO, "%s: %s", space < 0 ? path : log_path, strerror(errno));
    }
    struct birth birth = {.netns = space, .log = log, .null = null, .go = go[0], .script = script};
    /* A fork into new namespaces: fork() alone cannot, and this process must stay in its own. */
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | SIGCHLD, NULL, NULL,
                               NULL, NULL);
    if (pid < 0) {
        return ferry_error(err, FERRY_EIO, "%s: a process in namespaces of its own: %s", netns,
                           strerror(errno));
    }
    if (pid == 0) {
        close(go[1]); /* invariant 1: the pipe ends with the parent */
        become(&birth);
    }
    *ret =
        (struct ferry_lab_record_process){.netns = ferry_strdup(netns), .pid = pid, .start = start_time(pid)};
    return 0;
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The last line that a machine said, for an error. */
static int explain(const char *topology_name, const char *netns, const char *what, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_lab_file(topology_name, netns, "boot.log");
    FERRY_AUTOFREE char *log = ferry_lab_file_read(path);
    char *last = log ? log : "";
    for (size_t n = strlen(last); n && last[n - 1] == '\n'; n--) {
        last[n - 1] = '\0';
    }
    char *newline = strrchr(last, '\n');
    last = newline ? newline + 1 : last;
    return ferry_error(err, FERRY_EIO, "%s: %s%s%.300s", netns, what, *last ? ": " : "", last);
}

static int wait_ready(const char *topology_name, const struct ferry_lab_record_process *p, long until_ms,
                      ferry_lab_interrupted *interrupted, struct ferry_err *err)
{
    FERRY_AUTOFREE char *ready = ferry_lab_file(topology_name, p->netns, "ready");
    while (access(ready, F_OK) < 0) {
        if (waitpid(p->pid, NULL, WNOHANG) != 0) {
            return explain(topology_name, p->netns, "its daemons do not start", err);
        }
        if (now_ms() >= until_ms) {
            return explain(topology_name, p->netns, "its daemons do not start in time", err);
        }
        int r = ferry_lab_may_go_on(interrupted, err);
        if (r < 0) {
            return r;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return 0;
}

int ferry_lab_machines_start(const struct ferry_lab_layout *layout, struct ferry_lab_record *record,
                             ferry_lab_interrupted *interrupted, struct ferry_err *err)
{
    int go[2], r = 0;
    if (pipe2(go, O_CLOEXEC) < 0) {
        return ferry_error(err, FERRY_EIO, "pipe: %s", strerror(errno));
    }
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        if (layout->places[i].machine == FERRY_LAB_KERNEL) {
            continue;
        }
        FERRY_GROW(record->processes, record->n_processes);
        r = start_one(record->name, layout->places[i].netns, go, &record->processes[record->n_processes],
                      err);
        record->n_processes += r == 0;
    }
    if (r == 0) {
        r = ferry_lab_record_save(record, err);
    }
    for (size_t i = 0; r == 0 && i < record->n_processes; i++) {
        if (write(go[1], "g", 1) != 1) {
            r = ferry_error(err, FERRY_EIO, "pipe: %s", strerror(errno));
        }
    }
    close(go[0]);
    close(go[1]);
    for (size_t i = 0, until = (size_t)(now_ms() + START_WAIT_MS); r == 0 && i < record->n_processes; i++) {
        r = wait_ready(record->name, &record->processes[i], (long)until, interrupted, err);
    }
    return r;
}

/* ---- End ---- */

static int pidfd_of(const struct ferry_lab_record_process *p)
{
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd >= 0 &&
        !ferry_lab_process_lives(p)) { /* looked at after it was opened: the pid cannot change hands now */
        close(fd);
        fd = -1;
    }
    return fd;
}

int ferry_lab_machines_end(const struct ferry_lab_record *record, struct ferry_err *err)
{
    FERRY_AUTOFREE struct pollfd *fds = ferry_calloc(record->n_processes + 1, sizeof *fds);
    for (size_t i = 0; i < record->n_processes; i++) {
        fds[i] = (struct pollfd){.fd = pidfd_of(&record->processes[i]), .events = POLLIN};
        if (fds[i].fd >= 0) {
            syscall(SYS_pidfd_send_signal, fds[i].fd, SIGKILL, NULL, 0);
        }
    }
    int r = 0;
    long until = now_ms() + END_WAIT_MS;
    for (size_t i = 0; i < record->n_processes; i++) {
        if (fds[i].fd < 0) {
            continue;
        }
        long left = until - now_ms();
        if (poll(&fds[i], 1, left > 0 ? (int)left : 0) != 1) { /* of an init: all others are gone before it */
            r = ferry_error(err, FERRY_EIO, "%s: process %d does not end", record->processes[i].netns,
                            (int)record->processes[i].pid);
        }
        close(fds[i].fd);
        waitpid(record->processes[i].pid, NULL, WNOHANG); /* ours where `lab up` failed */
    }
    return r;
}
