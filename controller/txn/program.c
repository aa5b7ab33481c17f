/* Running a hook's program: no shell, an environment of its own, a process group of its own, a time limit.
 *
 *  G1. The program gets its argument vector as it stands, the three standard descriptors, default signals,
 *      and nothing else of ours.
 *  G2. It has ended when its first process has; what that leaves behind in the background goes on, and keeps
 *      nobody waiting.
 *  G3. Late, or no longer wanted: the whole group gets SIGTERM, and SIGKILL two seconds later.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/program.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_BYTES 16384u /* of the output: its end, where errors stand */
#define GRACE_US   2000000u
#define LOOK_MS    50 /* how often it is asked whether the program is still wanted */

struct running {
    const struct ferry_env *env;
    const struct ferry_program *program;
    pid_t pid;
    int fd, pidfd; /* its output; itself */
    char buf[2 * KEPT_BYTES];
    size_t n, cut; /* kept; left out before that */
};

/* ---- Its output. ---- */

/* False at the end of it, or where there is none at present. */
static bool take(struct running *r)
{
    if (r->n == sizeof r->buf) {
        memmove(r->buf, r->buf + KEPT_BYTES, KEPT_BYTES);
        r->n -= KEPT_BYTES;
        r->cut += KEPT_BYTES;
    }
    ssize_t n = read(r->fd, r->buf + r->n, sizeof r->buf - r->n);
    r->n += n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* What is kept, fit for journals, documents and terminals. */
static char *printable(const struct running *r)
{
    size_t from = r->n > KEPT_BYTES ? r->n - KEPT_BYTES : 0, cut = r->cut + from, len = 0;
    char *text = cut ? ferry_asprintf("[%zu bytes left out]\n", cut) : ferry_strdup("");
    len = strlen(text);
    text = ferry_realloc(text, len + (r->n - from) + 1, 1);
    for (size_t i = from; i < r->n;) {
        const unsigned char *s = (const unsigned char *)r->buf + i;
        size_t n = ferry_utf8_length(r->buf + i, r->n - i);
        if (n == 1 && (s[0] < ' ' || s[0] == 0x7f) && s[0] != '\n' && s[0] != '\t')
            n = 0;
        if (n)
            memcpy(text + len, s, n);
        else
            text[len] = '?';
        len += n ? n : 1;
        i += n ? n : 1;
    }
    text[len] = '\0';
    return text;
}

/* ---- Its life. ---- */

static int input_of(const char *text)
{
    int fd = memfd_create("ferry-hook", MFD_CLOEXEC);
    size_t len = text ? strlen(text) : 0;
    while (fd >= 0 && len) {
        ssize_t n = write(fd, text, len);
        if (n < 0) {
            close(fd);
            return -1;
        }
        text += n;
        len -= (size_t)n;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* G1.  0, or an errno. */
static int spawn(struct running *r, int in, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawn_file_actions_addchdir_np(&files, "/");
    posix_spawnattr_init(&attr);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int e = posix_spawn(&r->pid, r->program->argv[0], &files, &attr, r->program->argv, r->program->envp);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return e;
}

static int start(struct running *r)
{
    int pipes[2], in = input_of(r->program->input), e = in < 0 ? errno : 0;
    if (e)
        return e;
    if (pipe2(pipes, O_CLOEXEC)) {
        e = errno;
        close(in);
        return e;
    }
    /* The kernel's lowest three may be free here: dup2 onto itself would leave close-on-exec on. */
    e = in > STDERR_FILENO && pipes[1] > STDERR_FILENO ? spawn(r, in, pipes[1]) : EBADF;
    close(in);
    close(pipes[1]);
    if (e) {
        close(pipes[0]);
        return e;
    }
    r->fd = pipes[0];
    fcntl(r->fd, F_SETFL, O_NONBLOCK);
    r->pidfd = pidfd_open(r->pid, 0);
    return 0;
}

/* Whether it has ended; waits a moment for its end or its output. */
static bool has_ended(struct running *r, bool *output)
{
    struct pollfd fds[] = {{.fd = r->pidfd, .events = POLLIN},
                           {.fd = *output ? r->fd : -1, .events = POLLIN}};
    poll(fds, 2, LOOK_MS);
    if (fds[1].revents && !take(r))
        *output = false; /* closed by everybody */
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == r->pid;
}

static void watch(struct running *r, struct ferry_program_end *ret)
{
    const struct ferry_env *env = r->env;
    uint64_t end = env->monotonic_us(env->ctx) + 1000000ull * r->program->timeout_s;
    bool output = true, told = false;
    while (!has_ended(r, &output)) {
        uint64_t now = env->monotonic_us(env->ctx);
        if (!told && r->program->interrupted)
            ret->signal = r->program->interrupted();
        if (!told && (ret->signal || now >= end)) {
            ret->timed_out = !ret->signal;
            kill(-r->pid, SIGTERM); /* G3 */
            told = true;
            end = now + GRACE_US;
        } else if (told && now >= end) {
            kill(-r->pid, SIGKILL);
            end = UINT64_MAX;
        }
    }
    if (told)
        kill(-r->pid, SIGKILL); /* who is left of the group */
}

void ferry_program_run(const struct ferry_env *env, const struct ferry_program *program,
                       struct ferry_program_end *ret)
{
    *ret = (struct ferry_program_end){.status = -1};
    if (env->run_program) {
        env->run_program(env->ctx, program, ret);
        return;
    }
    FERRY_AUTOFREE struct running *r = ferry_calloc(1, sizeof *r);
    *r = (struct running){.env = env, .program = program, .fd = -1, .pidfd = -1};
    int e = start(r), status = 0;
    if (e) {
        ret->output = ferry_asprintf("cannot be started: %s", strerror(e));
        return;
    }
    watch(r, ret);
    while (take(r)) /* G2: what it has written; not what others may write yet */
        ;
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        ;
    ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ret->output = printable(r);
    close(r->fd);
    if (r->pidfd >= 0)
        close(r->pidfd);
}
