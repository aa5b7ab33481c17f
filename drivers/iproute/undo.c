/* The slot `deadman`: an undo as lines that may be run again, for remote/deadman.h to leave on the router.
 *
 *  U1. The lines are those of `native`, with replace for add: what is there already is made so again, and what was to go
 *      and is gone is "No such process" or "not found", which the router takes for done.
 *  U2. What the lines cannot say is refused when the dead-man is armed, before anything is written.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "remote/deadman.h"

static void append(struct ferry_text *t, const char *text, size_t n)
{
    t->buf = ferry_realloc(t->buf, t->n + n + 1, 1);
    memcpy(t->buf + t->n, text, n);
    t->n += n;
    t->buf[t->n] = '\0';
}

/* "ip -6 route add …" → "route replace …" */
static void append_line(struct ferry_text *t, const char *line, size_t n)
{
    static const char *const objects[] = {"route", "addr"};
    size_t skip = !strncmp(line, "ip -6 ", 6) ? 6 : 3;
    line += skip;
    n -= skip;
    for (size_t i = 0; i < FERRY_COUNT(objects); i++) {
        size_t object = strlen(objects[i]);
        if (strncmp(line, objects[i], object) || strncmp(line + object, " add ", 5))
            continue;
        append(t, line, object);
        append(t, " replace", 8);
        line += object + 4;
        n -= object + 4;
        break;
    }
    append(t, line, n);
}

/* The lines that do one op. */
static int render_op(struct ferry_text *t, const struct ferry_op *op, struct ferry_err *err)
{
    const struct ferry_entry *const entries[] = {op->before, op->after};
    size_t size = (size_t)ferry_linux_native(NULL, op, NULL, 0) + 1;
    FERRY_AUTOFREE char *lines = ferry_calloc(1, size);
    char prefix[FERRY_PREFIX_STRLEN];
    ferry_linux_native(NULL, op, lines, size);
    for (size_t i = 0; i < FERRY_COUNT(entries); i++)
        if (entries[i] && entries[i]->type != FERRY_GATEWAY && ferry_iproute_writable(entries[i], err) < 0)
            return ferry_error_prefix(err, -FERRY_EREFUSED, "%s", ferry_prefix_text(&op->prefix, prefix));
    if (strchr(lines, '#'))
        return ferry_refuse(err, "native", "%s: ip has no words for all of the undo",
                            ferry_prefix_text(&op->prefix, prefix));
    for (char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1)
        append_line(t, line, (size_t)(end + 1 - line));
    return 0;
}

struct undo {
    struct ferry_remote_undo *steps;
    struct ferry_text *texts;
    size_t n;
};

static void undo_clear(struct undo *u)
{
    for (size_t i = 0; i < u->n; i++)
        free(u->texts[i].buf);
    free(u->texts);
    free(u->steps);
}

static int render(struct undo *u, const struct ferry_deadman *deadman, struct ferry_err *err)
{
    u->steps = ferry_calloc(deadman->n_steps + 1, sizeof *u->steps);
    u->texts = ferry_calloc(deadman->n_steps + 1, sizeof *u->texts);
    for (; u->n < deadman->n_steps; u->n++) {
        const struct ferry_deadman_step *step = &deadman->steps[u->n];
        struct ferry_text *text = &u->texts[u->n];
        int result = 0;
        for (size_t i = 0; !result && i < step->n_ops; i++)
            result = render_op(text, &step->ops[i], err);
        u->steps[u->n] = (struct ferry_remote_undo){
            .delay_s = step->delay_s, .kind = FERRY_REMOTE_UNDO_IP, .text = text->buf, .n_text = text->n};
        if (result < 0) {
            u->n++;
            return result;
        }
    }
    return 0;
}

int ferry_iproute_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                          const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                          unsigned *ret_left_s, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    FERRY_CLEANUP(undo_clear) struct undo u = {0};
    int result = verb == FERRY_DEADMAN_ARM ? render(&u, deadman, err) : 0;
    if (result < 0)
        return ferry_error_prefix(err, result, "%s", d->base.router);
    return ferry_remote_deadman(d->remote, d->base.router, verb, deadman, u.steps, u.n, ret, ret_left_s, err);
}
