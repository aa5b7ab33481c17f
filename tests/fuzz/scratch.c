/* A folder in memory; see scratch.h.  SPDX-License-Identifier: MIT */
#include "scratch.h"

#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static char folder[64];

static void remove_it(void)
{
    char path[PATH_MAX];
    DIR *d = opendir(folder);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    if (d)
        closedir(d);
    (void)rmdir(folder);
}

const char *fuzz_scratch(void)
{
    if (!*folder) {
        snprintf(folder, sizeof folder, "%s/ferry-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        FUZZ_CHECK(mkdtemp(folder));
        atexit(remove_it);
    }
    return folder;
}

const char *fuzz_scratch_file(const char *name, const void *bytes, size_t n)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fuzz_scratch(), name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
    return path;
}
