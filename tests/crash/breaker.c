/* A library to be preloaded into the real program: it counts the calls that change something outside of the
 * process, and at the n-th of them the process dies, stands still, or hears of a failure.
 *
 *   BREAKER_KINDS    which calls count, of: write sync name open send announce talk   (comma separated)
 *   BREAKER_AT       the n-th; 0: none, they are only counted
 *   BREAKER_HOW      before | after | half    SIGKILL before it, after it, when half of it is done
 *                    stop                     SIGSTOP before it; goes on when continued
 *                    eio | enospc | eintr     the call fails and does nothing
 *                    short                    half of it is done, and said so
 *                    lost                     it is done, and said to have failed with EIO
 *   BREAKER_STAYS    set: from the n-th on, every one
 *   BREAKER_LOG      a line is appended for each call that counts: "N KIND WHAT", and "fired" where it broke
 *   BREAKER_PROGRAM  only programs of this name count (their children inherit the environment)
 *
 *   write     write and pwrite to regular files          name  rename, link, unlink, ftruncate
 *   sync      fsync and fdatasync                        open  open that may create, and mkdir
 *   send      what changes the kernel's state by rtnetlink; half of a batch: its first half of messages
 *   announce  what is sent by a packet socket          talk  what is sent over TCP
 *
 * B1. Nothing here allocates, and the log is written by the raw system call: a count changes nothing else.
 *
 * SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { WRITE, SYNC, NAME, OPEN, SEND, ANNOUNCE, TALK, N_KINDS };
static const char *const kind_names[N_KINDS] = {"write", "sync", "name", "open", "send", "announce", "talk"};

enum how { BEFORE, AFTER, HALF, STOP, FAIL, SHORT, LOST };

static struct {
    bool counts[N_KINDS], stays;
    unsigned long at, n;
    enum how how;
    int error; /* of FAIL */
    int log;
    pthread_mutex_t mutex;
} breaker = {.log = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- What is wanted. ---- */

static void set_how(const char *how)
{
    static const struct {
        const char *name;
        enum how how;
        int error;
    } known[] = {{"before", BEFORE, 0},  {"after", AFTER, 0}, {"half", HALF, 0},
                 {"stop", STOP, 0},      {"eio", FAIL, EIO},  {"enospc", FAIL, ENOSPC},
                 {"eintr", FAIL, EINTR}, {"short", SHORT, 0}, {"lost", LOST, EIO}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, how)) {
            breaker.how = known[i].how;
            breaker.error = known[i].error;
            return;
        }
    dprintf(STDERR_FILENO, "breaker: BREAKER_HOW=%s is not known\n", how);
    _exit(99);
}

static bool lists(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!strncmp(p, name, len) && (p[len] == ',' || !p[len]))
            return true;
    return false;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *kinds = getenv("BREAKER_KINDS"), *at = getenv("BREAKER_AT"), *how = getenv("BREAKER_HOW"),
               *log = getenv("BREAKER_LOG"), *program = getenv("BREAKER_PROGRAM");
    if (!kinds || (program && strcmp(program, program_invocation_short_name) != 0))
        return;
    for (size_t i = 0; i < N_KINDS; i++)
        breaker.counts[i] = lists(kinds, kind_names[i]);
    breaker.at = at ? strtoul(at, NULL, 10) : 0;
    breaker.stays = getenv("BREAKER_STAYS");
    if (how)
        set_how(how);
    if (log)
        breaker.log =
            (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* ---- Counting. ---- */

static void log_line(unsigned long n, enum kind kind, const char *what, bool fires)
{
    char line[400];
    int len = snprintf(line, sizeof line, "%lu %s %s%s\n", n, kind_names[kind], what, fires ? " fired" : "");
    if (breaker.log >= 0 && len > 0)
        (void)!syscall(SYS_write, breaker.log, line, (size_t)len < sizeof line ? (size_t)len : sizeof line);
}

/* Whether this call is the one that breaks. */
static bool fires(enum kind kind, const char *what)
{
    if (!breaker.counts[kind])
        return false;
    pthread_mutex_lock(&breaker.mutex);
    unsigned long n = ++breaker.n;
    bool now = breaker.at && (n == breaker.at || (breaker.stays && n > breaker.at));
    log_line(n, kind, what, now); /* B1 */
    pthread_mutex_unlock(&breaker.mutex);
    return now;
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* The name of an open file, without its directory. */
static const char *name_of(int fd, char *buf, size_t size)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(buf, '/');
    return slash ? slash + 1 : buf;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    if (!p)
        die();
    return p;
}

/* Breaks a call that moves `n` bytes and comes to `done` when made with all of them, or to a part. */
#define BREAK_BYTES(n, half, call)                                                                           \
    do {                                                                                                     \
        size_t count = (n);                                                                                  \
        switch (breaker.how) {                                                                               \
        case BEFORE:                                                                                         \
            die();                                                                                           \
            break;                                                                                           \
        case AFTER:                                                                                          \
            (void)!(call);                                                                                   \
            die();                                                                                           \
            break;                                                                                           \
        case HALF:                                                                                           \
            count = (half);                                                                                  \
            if (count)                                                                                       \
                (void)!(call);                                                                               \
            die();                                                                                           \
            break;                                                                                           \
        case STOP:                                                                                           \
            raise(SIGSTOP);                                                                                  \
            return (call);                                                                                   \
        case FAIL:                                                                                           \
            errno = breaker.error;                                                                           \
            return -1;                                                                                       \
        case SHORT:                                                                                          \
            count = (half) || !breaker.stays ? (half) : (n); /* else it would be made again for ever */      \
            if (count)                                                                                       \
                return (call);                                                                               \
            errno = EINTR;                                                                                   \
            return -1;                                                                                       \
        case LOST:                                                                                           \
            (void)!(call);                                                                                   \
            errno = breaker.error;                                                                           \
            return -1;                                                                                       \
        }                                                                                                    \
    } while (0)

/* A call that has no half. */
#define BREAK(call) BREAK_BYTES(1, 0, ((void)count, (call)))

/* ---- Files. ---- */

static bool is_file(int fd)
{
    struct stat st;
    return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static bool write_fires(int fd, size_t n)
{
    char path[256], what[300];
    if (!breaker.counts[WRITE] || !is_file(fd))
        return false;
    snprintf(what, sizeof what, "%s %zu", name_of(fd, path, sizeof path), n);
    return fires(WRITE, what);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    if (write_fires(fd, n))
        BREAK_BYTES(n, n / 2, REAL(write)(fd, buf, count));
    return REAL(write)(fd, buf, n);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    if (write_fires(fd, n))
        BREAK_BYTES(n, n / 2, REAL(pwrite)(fd, buf, count, at));
    return REAL(pwrite)(fd, buf, n, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at)
{
    if (write_fires(fd, n))
        BREAK_BYTES(n, n / 2, REAL(pwrite64)(fd, buf, count, at));
    return REAL(pwrite64)(fd, buf, n, at);
}

int fsync(int fd)
{
    char path[256];
    if (breaker.counts[SYNC] && fires(SYNC, name_of(fd, path, sizeof path)))
        BREAK(REAL(fsync)(fd));
    return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    char path[256];
    if (breaker.counts[SYNC] && fires(SYNC, name_of(fd, path, sizeof path)))
        BREAK(REAL(fdatasync)(fd));
    return REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t length)
{
    char path[256];
    if (breaker.counts[NAME] && fires(NAME, name_of(fd, path, sizeof path)))
        BREAK(REAL(ftruncate)(fd, length));
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    char path[256];
    if (breaker.counts[NAME] && fires(NAME, name_of(fd, path, sizeof path)))
        BREAK(REAL(ftruncate64)(fd, length));
    return REAL(ftruncate64)(fd, length);
}

int rename(const char *from, const char *to)
{
    if (fires(NAME, last_part(to)))
        BREAK(REAL(rename)(from, to));
    return REAL(rename)(from, to);
}

int link(const char *from, const char *to)
{
    if (fires(NAME, last_part(to)))
        BREAK(REAL(link)(from, to));
    return REAL(link)(from, to);
}

int unlink(const char *path)
{
    if (fires(NAME, last_part(path)))
        BREAK(REAL(unlink)(path));
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode)
{
    if (fires(OPEN, last_part(path)))
        BREAK(REAL(mkdir)(path, mode));
    return REAL(mkdir)(path, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (flags & O_CREAT && fires(OPEN, last_part(path)))
        BREAK(REAL(open)(path, flags, mode));
    return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (flags & O_CREAT && fires(OPEN, last_part(path)))
        BREAK(REAL(open64)(path, flags, mode));
    return REAL(open64)(path, flags, mode);
}

/* ---- The kernel's state. ---- */

/* Of an rtnetlink datagram: how many messages change something, and the bytes of the first half of all. */
static unsigned changes(const void *buf, size_t n, size_t *ret_half)
{
    unsigned found = 0, all = 0;
    size_t ends[1024]; /* of messages; a batch has fewer */
    for (size_t from = 0; from + NLMSG_HDRLEN <= n && all < 1024; from = ends[all++]) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)((const char *)buf + from);
        if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > n - from)
            break;
        found += h->nlmsg_type >= RTM_BASE && (h->nlmsg_type & 3) != 2; /* all but RTM_GET… */
        ends[all] = from + NLMSG_ALIGN(h->nlmsg_len);
    }
    *ret_half = all / 2 ? ends[all / 2 - 1] : 0;
    return found;
}

static bool send_fires(int fd, const void *buf, size_t n, size_t *ret_half)
{
    int family = 0;
    socklen_t len = sizeof family;
    char what[80];
    *ret_half = 0;
    if ((!breaker.counts[SEND] && !breaker.counts[ANNOUNCE] && !breaker.counts[TALK]) ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len))
        return false;
    if (family == AF_PACKET)
        return fires(ANNOUNCE, "packet");
    if (family == AF_INET || family == AF_INET6) {
        snprintf(what, sizeof what, "%zu bytes", n);
        return fires(TALK, what);
    }
    int protocol = -1;
    len = sizeof protocol;
    if (family != AF_NETLINK || getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) ||
        protocol != NETLINK_ROUTE)
        return false;
    unsigned found = changes(buf, n, ret_half);
    snprintf(what, sizeof what, "%u messages, the first of type %u", found,
             found ? ((const struct nlmsghdr *)buf)->nlmsg_type : 0);
    return found && fires(SEND, what);
}

ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
    size_t half;
    if (send_fires(fd, buf, n, &half))
        BREAK_BYTES(n, half, REAL(sendto)(fd, buf, count, flags, to, len));
    return REAL(sendto)(fd, buf, n, flags, to, len);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    size_t half;
    if (send_fires(fd, buf, n, &half))
        BREAK_BYTES(n, half, REAL(send)(fd, buf, count, flags));
    return REAL(send)(fd, buf, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t half;
    if (message->msg_iovlen == 1 &&
        send_fires(fd, message->msg_iov->iov_base, message->msg_iov->iov_len, &half))
        BREAK(REAL(sendmsg)(fd, message, flags));
    return REAL(sendmsg)(fd, message, flags);
}
