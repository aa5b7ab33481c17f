/* Transport local: each process is a /bin/sh of its own, in the router's network namespace.
 *
 * It leads a process group, which is killed as a whole, before its input ends: a half-fed vtysh -f would apply what it
 * has.  Standard input is a pipe, not a socket, so that /dev/stdin can be opened.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

struct spawn {
    struct ferry_remote_process *p;
    const char *const *words;
    int in[2], out[2], err[2];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_both(int (*pair)[2])
{
    close_fd(&(*pair)[0]);
    close_fd(&(*pair)[1]);
}

/* In the thread that stands in the namespace: the child inherits it. */
static int spawn_here(void *ctx, struct ferry_err *err)
{
    struct spawn *s = ctx;
    static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C", NULL};
    char *argv[16] = {"sh", "-c", (char *)ferry_router_script};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    for (size_t i = 0; s->words[i] && i + 4 < FERRY_COUNT(argv); i++)
        argv[i + 3] = (char *)s->words[i];
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, s->in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, s->out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, s->err[1], 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    int failed = posix_spawn(&s->p->pid, "/bin/sh", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed ? ferry_error(err, FERRY_EIO, "cannot run /bin/sh: %s", strerror(failed)) : 0;
}

static int start(struct ferry_remote *remote, struct ferry_remote_process *p, const char *const *words,
                 uint64_t deadline_us, struct ferry_err *err)
{
    struct spawn s = {p, words, {-1, -1}, {-1, -1}, {-1, -1}};
    FERRY_CLEANUP(close_both) int in[2] = {-1, -1};
    FERRY_CLEANUP(close_both) int out[2] = {-1, -1};
    FERRY_CLEANUP(close_both) int errs[2] = {-1, -1};
    (void)deadline_us;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(errs, O_CLOEXEC))
        return ferry_error(err, FERRY_EIO, "cannot make a pipe: %s", strerror(errno));
    memcpy(s.in, in, sizeof in);
    memcpy(s.out, out, sizeof out);
    memcpy(s.err, errs, sizeof errs);
    int result = ferry_remote_inside(remote->config.netns, spawn_here, &s, err);
    if (result < 0)
        return result;
    p->pidfd = pidfd_open(p->pid, 0);
    if (p->pidfd < 0) {
        int failed = errno;
        kill(-p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        p->pid = 0;
        return ferry_error(err, FERRY_EUNKNOWN, "cannot watch a process: %s", strerror(failed));
    }
    p->in_fd = in[1];
    p->out_fd = out[0];
    p->err_fd = errs[0];
    in[1] = out[0] = errs[0] = -1;
    for (int i = 0; i < 3; i++)
        (void)fcntl((int[]){p->in_fd, p->out_fd, p->err_fd}[i], F_SETFL, O_NONBLOCK);
    return 0;
}

/* SIGPIPE is nobody's business but this write's, whatever the program does about it. */
static ssize_t write_quietly(int fd, const void *bytes, size_t n)
{
    sigset_t pipe_signal, old, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
    ssize_t done = write(fd, bytes, n);
    int failed = errno;
    if (done < 0 && failed == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_signal, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = failed;
    return done;
}

static ssize_t write_some(struct ferry_remote_process *p, const void *bytes, size_t n)
{
    if (p->in_fd < 0)
        return -1;
    ssize_t done = write_quietly(p->in_fd, bytes, n);
    if (done >= 0)
        return done;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    close_fd(&p->in_fd);
    return -1;
}

static void end_input(struct ferry_remote_process *p)
{
    close_fd(&p->in_fd);
}

static void read_some(int *fd, struct ferry_remote_bytes *to)
{
    char buf[READ_BYTES];
    ssize_t n = read(*fd, buf, sizeof buf);
    if (n > 0)
        ferry_remote_bytes_add(to, buf, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_fd(fd);
        to->ended = true;
    }
}

static int step(struct ferry_remote_process *p, bool writing, uint64_t deadline_us, struct ferry_err *err)
{
    struct pollfd fds[4] = {{.fd = p->out_fd, .events = POLLIN},
                            {.fd = p->err_fd, .events = POLLIN},
                            {.fd = writing ? p->in_fd : -1, .events = POLLOUT},
                            {.fd = p->exited ? -1 : p->pidfd, .events = POLLIN}};
    int ready = poll(fds, FERRY_COUNT(fds), ferry_remote_left_ms(p->remote, deadline_us));
    if (ready < 0 && errno != EINTR)
        return ferry_error(err, FERRY_EUNKNOWN, "poll: %s", strerror(errno));
    if (ready <= 0)
        return 0;
    if (fds[0].revents)
        read_some(&p->out_fd, &p->out);
    if (fds[1].revents)
        read_some(&p->err_fd, &p->err);
    if (fds[3].revents) {
        siginfo_t info = {0};
        /* Left unreaped, so that the number of its group stays its own until `end`. */
        if (!waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOWAIT | WNOHANG) && info.si_pid) {
            p->exited = true;
            p->status = info.si_code == CLD_EXITED ? info.si_status : -1;
        }
    }
    return 0;
}

static void end(struct ferry_remote_process *p)
{
    if (p->pid > 0) {
        /* Also where the shell is gone and something that it left behind still holds its output. */
        if (!p->exited || !p->out.ended || !p->err.ended)
            kill(-p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    p->pid = 0;
    close_fd(&p->in_fd);
    close_fd(&p->out_fd);
    close_fd(&p->err_fd);
    close_fd(&p->pidfd);
}

static void close_nothing(struct ferry_remote *remote)
{
    (void)remote;
}

const struct ferry_remote_transport ferry_remote_local = {
    .start = start,
    .write = write_some,
    .end_input = end_input,
    .step = step,
    .end = end,
    .close = close_nothing,
};
