/* The slot `deadman`: a step of the undo as the same files that apply would write, for remote/deadman.h to leave on the
 * router.  The second follows the first at once: what is taken away is only missed once what replaces it is there.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "remote/deadman.h"

struct undo {
    struct ferry_remote_undo *steps; /* FERRY_FRR_FILES of each step of the engine */
    struct ferry_frr_files *files;
    size_t n;
};

static void undo_clear(struct undo *u)
{
    for (size_t i = 0; i < u->n; i++)
        ferry_frr_files_clear(&u->files[i]);
    free(u->files);
    free(u->steps);
}

static int render(const struct ferry_frr *d, struct undo *u, const struct ferry_deadman *deadman,
                  struct ferry_err *err)
{
    u->steps = ferry_calloc(FERRY_FRR_FILES * deadman->n_steps + 1, sizeof *u->steps);
    u->files = ferry_calloc(deadman->n_steps + 1, sizeof *u->files);
    while (u->n < deadman->n_steps) {
        const struct ferry_deadman_step *step = &deadman->steps[u->n];
        struct ferry_frr_files *files = &u->files[u->n];
        struct ferry_remote_undo *at = &u->steps[FERRY_FRR_FILES * u->n++];
        int result = 0;
        for (size_t i = 0; i < step->n_ops && !result; i++)
            result = ferry_frr_lines(&d->config, &step->ops[i], files, err);
        if (result < 0)
            return result;
        for (size_t f = 0; f < FERRY_FRR_FILES; f++)
            at[f] = (struct ferry_remote_undo){.delay_s = step->delay_s,
                                               .kind = FERRY_REMOTE_UNDO_VTYSH,
                                               .pathspace = d->config.pathspace,
                                               .text = files->file[f].v,
                                               .n_text = files->file[f].n};
    }
    return 0;
}

int ferry_frr_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                      const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                      unsigned *ret_left_s, struct ferry_err *err)
{
    struct ferry_frr *d = (struct ferry_frr *)driver;
    FERRY_CLEANUP(undo_clear) struct undo u = {0};
    int result = verb == FERRY_DEADMAN_ARM ? render(d, &u, deadman, err) : 0;
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", d->router);
    return ferry_remote_deadman(d->remote, d->router, verb, deadman, u.steps, FERRY_FRR_FILES * u.n, ret,
                                ret_left_s, err);
}
