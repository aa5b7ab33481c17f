/* The slot `deadman`: an undo as lines of ip that may be run again, left on the router (drivers/remote/deadman.h).
 *
 *  U1. The lines are those of `native`, with replace for add: what is there already is made so again, and
 *      what was to go and is gone is "No such process" or "not found", which the router takes for done.
 *  U2. What the lines cannot say is refused when the dead-man is armed, before anything is written: also a name that a
 *      shell would read, and a batch does not (ferry_say_word).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"
#include "native.h"

#include "remote/deadman.h"

static void append(struct ferry_text *t, const char *text, size_t n)
{
    if (t->n + n + 1 > t->size) {
        t->size = 2 * (t->n + n + 1);
        t->buf = ferry_realloc(t->buf, t->size, 1);
    }
    memcpy(t->buf + t->n, text, n);
    t->n += n;
    t->buf[t->n] = '\0';
}

/* "ip -6 route add …" → "route replace …": within a batch ip takes no options, and knows the family by the address. */
static void append_line(struct ferry_text *t, const char *line, size_t n)
{
    static const char *const objects[] = {"route add ", "addr add "};
    const char *end = line + n;
    line += 3;
    if (!strncmp(line, "-6 ", 3))
        line += 3;
    for (size_t i = 0; i < FERRY_COUNT(objects); i++) {
        size_t len = strlen(objects[i]);
        if (strncmp(line, objects[i], len) != 0)
            continue;
        append(t, line, len - 4);
        append(t, "replace ", 8);
        line += len;
        break;
    }
    append(t, line, (size_t)(end - line));
}

static bool lapses(const struct ferry_entry *e)
{
    struct ferry_linux_record r;
    return e && ferry_linux_bytes_find(e->native, e->native_len, FERRY_LINUX_EXPIRES, &r);
}

/* The lines that do one op. */
static int render_op(struct ferry_linux *d, struct ferry_text *t, const struct ferry_op *op,
                     struct ferry_err *err)
{
    const struct ferry_entry *const entries[] = {op->before, op->after};
    size_t size = (size_t)ferry_linux_native(NULL, op, NULL, 0) + 1;
    FERRY_AUTOFREE char *lines = ferry_calloc(1, size);
    char prefix[FERRY_PREFIX_STRLEN];
    bool gateway = op->kind == FERRY_KIND_GATEWAY && op->gateway;
    /* A test's interface is its own (ferry_linux_test_possible): nobody else is left without it. */
    const bool goes = gateway && op->gateway->isolated && op->before && !op->after;
    if (gateway && !goes && (op->gateway->make[0] || op->gateway->rules || op->gateway->isolated))
        return ferry_refuse(err, "dead-man",
                            "%s: lines of ip cannot make again, or take away, what a gateway brings along",
                            ferry_prefix_text(&op->prefix, prefix));
    ferry_linux_native(NULL, op, lines, size);
    for (size_t i = 0; d->means && i < FERRY_COUNT(entries); i++)
        if (entries[i] && entries[i]->type != FERRY_GATEWAY && d->means->writable(entries[i], err) < 0)
            return ferry_error_prefix(err, -FERRY_EREFUSED, "%s", ferry_prefix_text(&op->prefix, prefix));
    if (strpbrk(lines, "#\\") || lapses(op->after)) /* U2 */
        return ferry_refuse(err, "dead-man", "%s: ip has no words for all of the undo",
                            ferry_prefix_text(&op->prefix, prefix));
    bool makes = goes && op->gateway->make[0];
    if (makes && d->means && d->means->refresh(d, err)) /* what it knows may be older than the interface */
        return -FERRY_EIO;
    bool kept = makes && !ferry_linux_device_ours(d, op->interface);
    for (char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1)
        if (!kept || strncmp(line, "ip link del ", 12) != 0)
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

static int render(struct ferry_linux *d, struct undo *u, const struct ferry_deadman *deadman,
                  struct ferry_err *err)
{
    int r = 0;
    u->steps = ferry_calloc(deadman->n_steps + 1, sizeof *u->steps);
    u->texts = ferry_calloc(deadman->n_steps + 1, sizeof *u->texts);
    for (; !r && u->n < deadman->n_steps; u->n++) {
        const struct ferry_deadman_step *step = &deadman->steps[u->n];
        struct ferry_text *text = &u->texts[u->n];
        for (size_t i = 0; !r && i < step->n_ops; i++)
            r = render_op(d, text, &step->ops[i], err);
        u->steps[u->n] = (struct ferry_remote_undo){
            .delay_s = step->delay_s, .kind = FERRY_REMOTE_UNDO_IP, .text = text->buf, .n_text = text->n};
    }
    return r;
}

int ferry_linux_undo(struct ferry_linux *d, struct ferry_remote *remote, enum ferry_deadman_verb verb,
                     const struct ferry_deadman *deadman, enum ferry_deadman_state *ret, unsigned *ret_left_s,
                     struct ferry_err *err)
{
    FERRY_CLEANUP(undo_clear) struct undo u = {0};
    int r = verb == FERRY_DEADMAN_ARM ? render(d, &u, deadman, err) : 0;
    if (r < 0)
        return ferry_error_prefix(err, r, "%s", d->router);
    return ferry_remote_deadman(remote, d->router, verb, deadman, u.steps, u.n, ret, ret_left_s, err);
}

/* The undo must not need this process: it is left with a shell of the router's namespace. */
int ferry_linux_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                        const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                        unsigned *ret_left_s, struct ferry_err *err)
{
    struct ferry_linux *d = (struct ferry_linux *)driver;
    struct ferry_driver_config config = {
        .type = (char *)"netlink", .netns = d->netns, .transport = (char *)"local"};
    int r = d->remote ? 0 : ferry_remote_open(d->env, &config, d->router, &d->remote, err);
    if (r == 0)
        r = ferry_linux_undo(d, d->remote, verb, deadman, ret, ret_left_s, err);
    return r;
}
