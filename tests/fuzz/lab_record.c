/* Target: the record of what a lab has created, from which `ferry lab down` removes namespaces, processes and folders.
 *
 *  - Nothing that is not a lab's own is named: no path outside of FRR's folders, no namespace with a slash, no process
 *    that is everybody's.
 *
 * SPDX-License-Identifier: MIT */
#include "lab/run.h"

#include "fuzz.h"
#include "scratch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_lab_record *r = NULL;
    struct ferry_err err = {0};
    int result = ferry_lab_record_read(fuzz_scratch_file("lab.json", data, size), "lab", &r, &err);
    fuzz_said(result, &err);
    if (result < 0) {
        FUZZ_CHECK(!r);
        return 0;
    }
    for (size_t i = 0; i < r->n_netns; i++)
        FUZZ_CHECK(*r->netns[i].name && *r->netns[i].name != '.' && !strchr(r->netns[i].name, '/'));
    for (size_t i = 0; i < r->n_processes; i++)
        FUZZ_CHECK(r->processes[i].pid > 1 && r->processes[i].netns);
    for (size_t i = 0; i < r->n_paths; i++) {
        const char *path = r->paths[i];
        FUZZ_CHECK(!strncmp(path, "/etc/frr/", 9) || !strncmp(path, "/run/frr/", 9));
        FUZZ_CHECK(path[9] && path[9] != '.' && !strchr(path + 9, '/'));
    }
    ferry_lab_record_free(r);
    return 0;
}
