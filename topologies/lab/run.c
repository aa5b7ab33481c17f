/* Child processes, sysctls and processes of a namespace.  Neighbours: run.h, lab.c, status.c.
 * SPDX-License-Identifier: MIT */
#include "run.h"

#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FD_IN_CHILD 9 /* any number that the standard streams do not use */

extern char **environ;

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

int ferry_lab_may_go_on(ferry_lab_interrupted *interrupted, struct ferry_err *err)
{
    const char *name = interrupted ? interrupted() : NULL;
    return name ? ferry_error(err, FERRY_EIO, "interrupted by %s", name) : 0;
}

static int memory_file(const char *text, struct ferry_err *err)
{
    int fd = memfd_create("ferry-lab", MFD_CLOEXEC);
    if (fd < 0) {
        return ferry_error(err, FERRY_EIO, "memfd_create: %s", strerror(errno));
    }
    for (size_t len = text ? strlen(text) : 0, at = 0; at < len;) {
        ssize_t n = write(fd, text + at, len - at);
        if (n < 0) {
            int code = errno;
            close(fd);
            return ferry_error(err, FERRY_EIO, "memfd: %s", strerror(code));
        }
        at += (size_t)n;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static char *memory_text(int fd)
{
    struct stat st;
    size_t size = fstat(fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0, at = 0;
    char *text = ferry_calloc(size + 1, 1);
    while (at < size) {
        ssize_t n = pread(fd, text + at, size - at, (off_t)at);
        if (n <= 0) {
            break;
        }
        at += (size_t)n;
    }
    text[at] = '\0';
    return text;
}

/* The line of the script that `ip` stopped at ("Command failed -:LINE"), so that the error says what failed.
 */
static void explain(const char *netns, const char *said, const char *script, struct ferry_err *err)
{
    FERRY_AUTOFREE char *what = ferry_strdup(said);
    const char *failed = strstr(said, "Command failed -:");
    unsigned line = 0;
    if (failed && script && sscanf(failed, "Command failed -:%u", &line) == 1) {
        for (; line > 1 && script; line--) {
            script = strchr(script, '\n');
            script = script ? script + 1 : NULL;
        }
    }
    char *end = strstr(what, "Command failed");
    if (end && end > what) {
        *end = '\0';
    }
    for (char *p = what; *p; p++) {
        *p = *p == '\n' ? ' ' : *p;
    }
    for (size_t n = strlen(what); n && what[n - 1] == ' '; n--) {
        what[n - 1] = '\0';
    }
    int len = line == 1 && script ? (int)strcspn(script, "\n") : 0;
    ferry_error(err, FERRY_EIO, "%s%sip %.*s: %s", netns ? netns : "", netns ? ": " : "", len,
                len ? script : "", *what ? what : "failed and said nothing");
}

static int spawn(const char *const *argv, int in, int out, int said, int lock_fd, pid_t *ret,
                 struct ferry_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes; /* a process group of its own */
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
    if (lock_fd >= 0) {
        posix_spawn_file_actions_adddup2(&actions, lock_fd, LOCK_FD_IN_CHILD);
    }
    /* Debian's sudo has /usr/sbin in its path, su has not: say where it is if need be. */
    int r = posix_spawnp(ret, argv[0], &actions, &attributes, (char *const *)argv, environ);
    if (r == ENOENT && !strcmp(argv[0], "ip")) {
        r = posix_spawn(ret, "/usr/sbin/ip", &actions, &attributes, (char *const *)argv, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (r) {
        return ferry_error(err, FERRY_EIO, "cannot start %s: %s", argv[0], strerror(r));
    }
    return 0;
}

/* Runs a program to its end: what it printed (malloc'd), what it complained of, how it ended. */
static int run(const char *const *argv, const char *input, int lock_fd, char **ret_out, char **ret_said,
               int *ret_status, struct ferry_err *err)
{
    FERRY_CLEANUP(close_fd) int in = memory_file(input, err);
    FERRY_CLEANUP(close_fd) int out = in < 0 ? -1 : memory_file(NULL, err);
    FERRY_CLEANUP(close_fd) int said = out < 0 ? -1 : memory_file(NULL, err);
    if (said < 0) {
        return -FERRY_EIO;
    }
    pid_t pid;
    int r = spawn(argv, in, out, said, lock_fd, &pid, err), status = 0;
    if (r < 0) {
        return r;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return ferry_error(err, FERRY_EIO, "waiting for %s: %s", argv[0], strerror(errno));
        }
    }
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    *ret_said = memory_text(said);
    *ret_out = memory_text(out);
    return 0;
}

int ferry_lab_ip(const char *netns, const char *const *args, const char *script, int lock_fd, char **ret_out,
                 struct ferry_err *err)
{
    const char *argv[16] = {"ip"};
    size_t n = 1;
    if (netns) {
        argv[n++] = "-n";
        argv[n++] = netns;
    }
    while (*args && n < FERRY_COUNT(argv) - 1) {
        argv[n++] = *args++;
    }
    FERRY_AUTOFREE char *out = NULL, *said = NULL;
    int status = -1, r = run(argv, script, lock_fd, &out, &said, &status, err);
    if (r < 0) {
        return r;
    }
    if (status != 0) {
        explain(netns, said ? said : "", script, err);
        return -FERRY_EIO;
    }
    if (ret_out) {
        *ret_out = FERRY_STEAL(out);
    }
    return 0;
}

int ferry_lab_run(const char *const *argv, int lock_fd, char **ret_out, struct ferry_err *err)
{
    FERRY_AUTOFREE char *out = NULL, *said = NULL;
    int status = -1, r = run(argv, NULL, lock_fd, &out, &said, &status, err);
    if (r < 0) {
        return r;
    }
    if (status != 0) {
        return ferry_error(err, FERRY_EIO, "%s: %.300s", argv[0], said && *said ? said : out ? out : "");
    }
    if (ret_out) {
        *ret_out = FERRY_STEAL(out);
    }
    return 0;
}

int ferry_lab_batch(const char *netns, const char *family, const char *script, int lock_fd,
                    struct ferry_err *err)
{
    if (!*script) {
        return 0;
    }
    const char *args[] = {"-batch", "-", NULL, NULL};
    if (family) {
        args[0] = family;
        args[1] = "-batch";
        args[2] = "-";
    }
    return ferry_lab_ip(netns, args, script, lock_fd, NULL, err);
}

static int write_sysctl(const struct ferry_lab_sysctl *s, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("/proc/sys/net/%s", s->path);
    FERRY_CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t len = (ssize_t)strlen(s->value);
    if ((fd < 0 || write(fd, s->value, (size_t)len) != len) && !s->optional) {
        return ferry_error(err, FERRY_EIO, "%s = %s: %s", path, s->value, strerror(errno));
    }
    return 0;
}

/* Calls `work` with the thread inside the namespace, and brings it back. */
static int inside(const char *netns, int (*work)(void *ctx, struct ferry_err *err), void *ctx,
                  struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("/run/netns/%s", netns);
    FERRY_CLEANUP(close_fd) int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    FERRY_CLEANUP(close_fd) int other = open(path, O_RDONLY | O_CLOEXEC);
    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0) {
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    }
    int r = work(ctx, err);
    if (setns(own, CLONE_NEWNET) < 0) {
        abort(); /* a thread in the wrong namespace would write to the wrong routers */
    }
    return r < 0 ? ferry_error_prefix(err, r, "%s", netns) : 0;
}

static int write_sysctls(void *ctx, struct ferry_err *err)
{
    int r = 0;
    for (const struct ferry_lab_sysctl *s = ctx; r == 0 && s->path; s++) {
        r = write_sysctl(s, err);
    }
    return r;
}

int ferry_lab_sysctls(const char *netns, const struct ferry_lab_sysctl *sysctls, struct ferry_err *err)
{
    return inside(netns, write_sysctls, (void *)sysctls, err);
}

struct running {
    const char *const *names;
    size_t n, first_down;
};

static int look_running(void *ctx, struct ferry_err *err)
{
    struct running *running = ctx;
    FERRY_CLEANUP(close_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return ferry_error(err, FERRY_EIO, "socket: %s", strerror(errno));
    }
    for (size_t i = 0; i < running->n; i++) {
        struct ifreq request = {0};
        memcpy(request.ifr_name, running->names[i], strnlen(running->names[i], sizeof request.ifr_name - 1));
        if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
            return ferry_error(err, FERRY_EIO, "%s: %s", running->names[i], strerror(errno));
        }
        if (!(request.ifr_flags & IFF_RUNNING)) {
            running->first_down = i;
            return 0;
        }
    }
    running->first_down = running->n;
    return 0;
}

int ferry_lab_first_down(const char *netns, const char *const *names, size_t n, size_t *ret,
                         struct ferry_err *err)
{
    struct running running = {.names = names, .n = n};
    int r = inside(netns, look_running, &running, err);
    if (r == 0) {
        *ret = running.first_down;
    }
    return r;
}

ino_t ferry_lab_netns_inode(const char *netns)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("/run/netns/%s", netns);
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void process_name(const char *pid, char *buf, size_t size)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("/proc/%s/comm", pid);
    FERRY_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

void ferry_lab_processes(const ino_t *inodes, size_t n,
                         void (*found)(void *ctx, size_t index, pid_t pid, const char *name), void *ctx)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0) {
            continue;
        }
        FERRY_AUTOFREE char *path = ferry_asprintf("/proc/%s/ns/net", entry->d_name);
        struct stat st;
        for (size_t i = 0, there = stat(path, &st) == 0 ? n : 0; i < there; i++) {
            if (inodes[i] && inodes[i] == st.st_ino) {
                char name[64];
                process_name(entry->d_name, name, sizeof name);
                found(ctx, i, pid, name);
            }
        }
    }
    if (proc) {
        closedir(proc);
    }
}
