/* See secret.h.  SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

void ferry_no_core(void)
{
    struct rlimit limit;
    /* A core handler (core_pattern "|…") heeds this alone, not the limit. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (!getrlimit(RLIMIT_CORE, &limit)) {
        limit.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &limit);
    }
}

char *ferry_secret_read(const char *path, size_t most)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    char *text = ferry_calloc(most + 2, 1);
    size_t n = 0;
    ssize_t got;
    while (n <= most && ((got = read(fd, text + n, most + 1 - n)) > 0 || (got < 0 && errno == EINTR)))
        n += got > 0 ? (size_t)got : 0;
    int failed = n > most ? EFBIG : got < 0 ? errno : 0;
    close(fd);
    if (!failed)
        return text;
    explicit_bzero(text, n);
    free(text);
    errno = failed;
    return NULL;
}

void ferry_secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void ferry_secret_freep(char **secret)
{
    ferry_secret_free(*secret);
}

/* A frame as deep as what was called from the caller before. */
__attribute__((noinline)) static void scrub_stack(void)
{
    char frame[64 * 1024];
    explicit_bzero(frame, sizeof frame);
}

/* Takes blocks of every size that a key or its text can have, all of them before any is given back, so that they cannot
 * all be fresh; then wipes them. */
void ferry_secret_scrub(void)
{
    enum { SMALL = 1040, LARGE = 6144, EACH_SMALL = 8, EACH_LARGE = 2 };
    void *blocks[(SMALL / 16) * EACH_SMALL + ((LARGE - SMALL) / 64 + 1) * EACH_LARGE];
    size_t n = 0;
    for (size_t size = 16; size < LARGE; size += size < SMALL ? 16 : 64)
        for (int i = 0; i < (size < SMALL ? EACH_SMALL : EACH_LARGE) && n < FERRY_COUNT(blocks); i++)
            if ((blocks[n] = malloc(size)))
                explicit_bzero(blocks[n++], size);
    while (n)
        free(blocks[--n]);
    scrub_stack();
}
