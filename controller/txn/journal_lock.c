/* The journal's lock: one transaction at a time, of all processes (J3 of journal.c).  flock(2), so that it
 * ends with whoever holds it.  SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES    4
#define LOCK_PAUSE_US 10000 /* between two tries for the lock */

/* Who only looks whether the lock is held (ferry_journal_running) has it for some microseconds: that is no
 * transaction, so it is tried for a little while. */
static int take_lock(struct ferry_journal *journal, int fd)
{
    const struct ferry_env *env = journal->env;
    for (unsigned i = 0;; i++) {
        int r = flock(fd, LOCK_EX | LOCK_NB);
        if (!r || errno != EWOULDBLOCK || i == LOCK_TRIES)
            return r;
        if (env->sleep_us)
            env->sleep_us(env->ctx, LOCK_PAUSE_US);
        else
            nanosleep(&(struct timespec){0, 1000l * LOCK_PAUSE_US}, NULL);
        errno = EWOULDBLOCK;
    }
}

/* -FERRY_ELOCKED with what the lock's holder has left in it. */
static int locked(int fd, struct ferry_err *err)
{
    char holder[128] = "";
    ssize_t n = read(fd, holder, sizeof holder - 1);
    holder[n > 0 ? n : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return ferry_error(err, FERRY_ELOCKED, "another transaction is running%s%s", holder[0] ? ": " : "",
                       holder);
}

int ferry_journal_running(const struct ferry_journal *journal, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/lock", journal->state_dir);
    if (journal->lock_fd >= 0)
        return ferry_error(err, FERRY_ELOCKED, "another transaction of this process is running");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int r = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK ? locked(fd, err) : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

int ferry_journal_lock(struct ferry_journal *journal, struct ferry_err *err)
{
    if (journal->lock_fd >= 0) /* J3 */
        return ferry_error(err, FERRY_ELOCKED, "another transaction of this process is running");
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/lock", journal->state_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    if (take_lock(journal, fd)) {
        int e = errno;
        int r = e == EWOULDBLOCK ? locked(fd, err) : ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(e));
        close(fd);
        return r;
    }
    journal->lock_fd = fd;
    ferry_journal_lock_note(journal, NULL);
    return 0;
}

int ferry_journal_lock_holds(const struct ferry_journal *journal, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/lock", journal->state_dir);
    struct stat ours, there;
    assert(journal->lock_fd >= 0); /* J3 */
    if (fstat(journal->lock_fd, &ours) || stat(path, &there))
        return ferry_error(err, FERRY_EIO, "%s: %s", path,
                           errno == ENOENT ? "the lock was taken away" : strerror(errno));
    if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
        return ferry_error(err, FERRY_EIO, "%s: the lock was taken away, and another one made", path);
    return 0;
}

void ferry_journal_lock_note(struct ferry_journal *journal, const char *id)
{
    char text[128];
    int n = snprintf(text, sizeof text, "process %ld%s%s\n", (long)getpid(), id ? ", transaction " : "",
                     id ? id : "");
    /* A hint for people; that it may fail is no matter. */
    if (!ftruncate(journal->lock_fd, 0))
        (void)!pwrite(journal->lock_fd, text, (size_t)n, 0);
}

void ferry_journal_unlock(struct ferry_journal *journal)
{
    if (journal->lock_fd < 0)
        return;
    (void)!ftruncate(journal->lock_fd, 0);
    close(journal->lock_fd);
    journal->lock_fd = -1;
}
