/* Copies of jobs; see fleet_parts.h.
 *
 * Entries, gateways and interface names are often the same pointer in a long row of ops (they are interned or
 * belong to a group): the copy of the one before is used again.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/fleet_parts.h"

#include "base/mem.h"

#include <string.h>

#define CHUNK 16384u /* bytes: a stage of a few ops needs one */

struct ferry_arena_chunk {
    struct ferry_arena_chunk *next;
    size_t size;
    max_align_t bytes[];
};

void *ferry_arena_alloc(struct ferry_arena *arena, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (arena->left < size) {
        size_t room = size > CHUNK ? size : CHUNK;
        struct ferry_arena_chunk *chunk = ferry_calloc(1, sizeof *chunk + room);
        chunk->next = arena->chunks;
        chunk->size = room;
        arena->chunks = chunk;
        arena->left = room;
    }
    arena->left -= size;
    return (char *)arena->chunks->bytes + arena->left;
}

void ferry_arena_clear(struct ferry_arena *arena)
{
    while (arena->chunks) {
        struct ferry_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->left = 0;
}

/* The last pointer of each sort and what became of it. */
struct copied {
    const void *from;
    void *to;
};

struct copier {
    struct ferry_arena *arena;
    struct copied before, after, gateway, interface, name;
};

static void *duplicate(struct ferry_arena *arena, const void *from, size_t size)
{
    return size ? memcpy(ferry_arena_alloc(arena, size), from, size) : NULL;
}

static const struct ferry_entry *copy_entry(struct ferry_arena *arena, struct copied *last,
                                            const struct ferry_entry *e)
{
    if (!e || e == last->from)
        return e ? last->to : NULL;
    struct ferry_entry *copy = duplicate(arena, e, sizeof *e);
    copy->nexthops = duplicate(arena, e->nexthops, e->n_nexthops * sizeof *e->nexthops);
    copy->native = duplicate(arena, e->native, e->native_len);
    *last = (struct copied){.from = e, .to = copy};
    return copy;
}

static const void *copy_bytes(struct ferry_arena *arena, struct copied *last, const void *from, size_t size)
{
    if (!from || from == last->from)
        return from ? last->to : NULL;
    *last = (struct copied){.from = from, .to = duplicate(arena, from, size)};
    return last->to;
}

static const struct ferry_gateway *copy_gateway(struct copier *c, const struct ferry_gateway *gateway)
{
    return copy_bytes(c->arena, &c->gateway, gateway, sizeof *gateway);
}

static const char *copy_interface(struct copier *c, const char *interface)
{
    return copy_bytes(c->arena, &c->interface, interface, interface ? strlen(interface) + 1 : 0);
}

static const char *copy_name(struct copier *c, const char *name)
{
    return copy_bytes(c->arena, &c->name, name, name ? strlen(name) + 1 : 0);
}

static struct ferry_op *copy_ops(struct copier *c, const struct ferry_op *ops, size_t n)
{
    struct ferry_op *copies = n ? ferry_arena_alloc(c->arena, n * sizeof *copies) : NULL;
    for (size_t i = 0; i < n; i++) {
        struct ferry_op *to = &copies[i];
        *to = ops[i];
        to->before = copy_entry(c->arena, &c->before, ops[i].before);
        to->after = copy_entry(c->arena, &c->after, ops[i].after);
        to->gateway = copy_gateway(c, ops[i].gateway);
        to->interface = copy_interface(c, ops[i].interface);
        to->name = copy_name(c, ops[i].name);
        to->outcome = FERRY_UNKNOWN;
        to->why = NULL; /* the caller's */
    }
    return copies;
}

static const struct ferry_query *copy_query(struct copier *c, const struct ferry_query *query)
{
    struct ferry_query *copy = duplicate(c->arena, query, sizeof *query);
    struct ferry_query_item *items = duplicate(c->arena, query->items, query->n * sizeof *items);
    for (size_t i = 0; i < query->n; i++) {
        items[i].gateway = copy_gateway(c, items[i].gateway);
        items[i].interface = copy_interface(c, items[i].interface);
        items[i].name = copy_name(c, items[i].name);
    }
    copy->items = items;
    return copy;
}

static const struct ferry_deadman *copy_deadman(struct copier *c, const struct ferry_deadman *deadman)
{
    struct ferry_deadman *copy = duplicate(c->arena, deadman, sizeof *deadman);
    struct ferry_deadman_step *steps =
        duplicate(c->arena, deadman->steps, deadman->n_steps * sizeof *deadman->steps);
    copy->id = duplicate(c->arena, deadman->id, strlen(deadman->id) + 1);
    for (size_t i = 0; i < deadman->n_steps; i++)
        steps[i].ops = copy_ops(c, deadman->steps[i].ops, deadman->steps[i].n_ops);
    copy->steps = steps;
    return copy;
}

void ferry_work_copy(struct ferry_arena *arena, struct ferry_job *job, struct ferry_work *ret)
{
    struct copier c = {.arena = arena};
    *ret = (struct ferry_work){.verb = job->verb, .more = job->more, .last = job->last, .job = job};
    if (job->verb == FERRY_JOB_READ) {
        ret->query = copy_query(&c, job->query);
    } else if (job->verb == FERRY_JOB_DEADMAN) {
        ret->deadman_verb = job->deadman_verb;
        ret->deadman = copy_deadman(&c, job->deadman);
    } else if (job->verb != FERRY_JOB_PERSIST) {
        ret->ops = copy_ops(&c, job->ops, job->n_ops);
        ret->n_ops = job->n_ops;
    }
}

void ferry_work_return(struct ferry_work *work)
{
    struct ferry_job *job = work->job;
    job->result = work->result;
    job->err = work->err;
    job->deadman_state = work->deadman_state;
    job->deadman_left_s = work->deadman_left_s;
    if (job->verb == FERRY_JOB_READ) {
        job->fib = work->fib;
        work->fib = (struct ferry_fib){0};
    }
    if (job->verb != FERRY_JOB_CHECK && job->verb != FERRY_JOB_APPLY)
        return;
    for (size_t i = 0; i < work->n_ops; i++) {
        job->ops[i].outcome = work->ops[i].outcome;
        ferry_op_clear(&job->ops[i]);
        if (work->ops[i].outcome != FERRY_DONE)
            job->ops[i].why = FERRY_STEAL(work->ops[i].why);
    }
}

void ferry_work_fail(struct ferry_work *work, int result, enum ferry_outcome outcome)
{
    work->result = result;
    for (size_t i = 0; i < work->n_ops; i++) {
        work->ops[i].outcome = outcome;
        ferry_op_why(&work->ops[i], "%s", work->err.text);
    }
}

void ferry_task_free(struct ferry_task *task)
{
    for (size_t i = 0; i < task->n; i++) {
        ferry_fib_clear(&task->works[i].fib);
        ferry_ops_clear(task->works[i].ops, task->works[i].n_ops);
    }
    free(task->works);
    ferry_arena_clear(&task->arena);
    free(task);
}
