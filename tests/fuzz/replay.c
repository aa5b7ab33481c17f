/* Runs a fuzz target over files, and over the files of folders: how every build passes the corpus.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MOST = 1 << 20 };

static int run(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_MOST);
    if (!f || !bytes) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    size_t n = fread(bytes, 1, FILE_MOST, f);
    fclose(f);
    fprintf(stderr, "%s\n", path); /* the last one is it, where the process dies */
    bytes = realloc(bytes, n ? n : 1);
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
    return 1;
}

static int run_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int n = 0;
    if (!folder)
        return run(path);
    while ((entry = readdir(folder))) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        n += run_folder(file);
    }
    closedir(folder);
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++)
        n += run_folder(argv[i]);
    printf("%d inputs\n", n);
    return n ? 0 : 1; /* an empty corpus is a mistake */
}
