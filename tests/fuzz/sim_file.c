/* Target: the simulator's files: what a router holds, and its dead-man.
 *
 *  - What was loaded and saved is loaded again, and saved the same.
 *
 * SPDX-License-Identifier: MIT */
#include "sim/table.h"

#include "fuzz.h"
#include "scratch.h"

#include <base/mem.h>
#include <stdio.h>
#include <string.h>

/* The file, malloc'd and NUL-terminated. */
static char *contents(const char *path)
{
    static char buf[1 << 20];
    FILE *f = fopen(path, "rb");
    FUZZ_CHECK(f);
    size_t n = fread(buf, 1, sizeof buf - 1, f);
    fclose(f);
    return fuzz_text((uint8_t *)buf, n);
}

static void table(const char *path)
{
    struct ferry_sim_table t = {0}, again = {0};
    struct ferry_err err = {0};
    int result = ferry_sim_table_load(path, &t, &err);
    fuzz_said(result, &err);
    if (result < 0) {
        FUZZ_CHECK(result == -FERRY_EIO && !t.slots && !t.n);
        return;
    }
    for (size_t i = 1; i < t.n; i++)
        FUZZ_CHECK(ferry_prefix_compare(&t.slots[i - 1]->prefix, &t.slots[i]->prefix) < 0);
    FUZZ_CHECK(ferry_sim_table_save(path, "edge", &t, &err) == 0);
    char *first = contents(path), *second;
    if (ferry_sim_table_load(path, &again, &err) < 0)
        fuzz_fail(__FILE__, __LINE__, "what was saved is loaded", err.text);
    FUZZ_CHECK(ferry_sim_table_save(path, "edge", &again, &err) == 0);
    second = contents(path);
    FUZZ_CHECK(!strcmp(first, second));
    free(first);
    free(second);
    ferry_sim_table_clear(&t);
    ferry_sim_table_clear(&again);
}

static void deadman(const char *path)
{
    struct ferry_sim_deadman d = {0};
    struct ferry_sim_table t = {0};
    struct ferry_err err = {0};
    int result = ferry_sim_deadman_load(path, &d, &err);
    fuzz_said(result, &err);
    if (result >= 0) {
        FUZZ_CHECK(ferry_sim_deadman_save(path, &d, &err) == 0);
        (void)ferry_sim_deadman_fire(&d, UINT64_MAX, &t);
    }
    ferry_sim_deadman_clear(&d);
    ferry_sim_table_clear(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    table(fuzz_scratch_file("edge.json", data, size));
    deadman(fuzz_scratch_file("edge.deadman.json", data, size));
    return 0;
}
