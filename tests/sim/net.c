/* The driver under the fleet, and the network between it and the routers.
 *
 * A call is a message.  It is retransmitted while its direction is cut, as TCP does, for DEAD_US at most:
 * after that the connection is lost (TCP_USER_TIMEOUT of drivers/remote/tcp.c), and the driver says that it
 * does not know.  What a killed process had sent is still delivered by its machine; what a machine without
 * power had sent is not.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include "base/mem.h"
#include "sim/sim.h"

#include <string.h>

#define DEAD_US    5000000u  /* drivers/remote/tcp.c */
#define PATIENT_US 20000000u /* a driver's own deadline: longer than the fleet's */

struct ferry_driver {
    struct ferry_driver_base base;
    uint32_t router;
    uint64_t session;
    bool lost;
};

/* ---- Messages. ---- */

static void message_free(struct world *w, struct message *m)
{
    if (m->next)
        m->next->before = m->before;
    *(m->before ? &m->before->next : &w->messages) = m->next;
    ferry_fib_clear(&m->work.fib);
    ferry_ops_clear(m->work.ops, m->work.n_ops);
    ferry_arena_clear(&m->memory);
    free(m);
}

void message_let_go(struct world *w, struct message *m)
{
    if (!m->events && !m->waiter)
        message_free(w, m);
}

void messages_orphan(struct world *w)
{
    for (struct message *m = w->messages, *next; m; m = next) {
        next = m->next;
        m->waiter = NULL;
        message_let_go(w, m);
    }
}

void messages_drop(struct world *w)
{
    while (w->messages)
        message_free(w, w->messages);
}

static void wake(struct message *m)
{
    if (m->waiter)
        fiber_wake(m->waiter);
}

static void hang_up(struct world *w, void *what, uint64_t arg)
{
    struct message *m = what;
    (void)arg;
    m->events--;
    if (!m->answered) {
        m->dead = true;
        wake(m);
    }
    message_let_go(w, m);
}

static void answer(struct world *w, void *what, uint64_t arg)
{
    struct message *m = what;
    (void)arg;
    m->events--;
    if (!m->dead) {
        m->answered = true;
        wake(m);
    }
    message_let_go(w, m);
}

static uint64_t way(struct world *w, const struct router *r)
{
    return r->delay_us + (r->jitter_us ? rng_below(&w->rng, r->jitter_us) : 0);
}

static bool by_fault(struct world *w, enum fault f, unsigned per_mille)
{
    if (!w->faulty || !rng_in(&w->rng, per_mille))
        return false;
    w->counts->faults[f]++;
    trace(w, "%s", fault_names[f]);
    return true;
}

void message_reply(struct world *w, struct message *m)
{
    struct router *r = &w->routers[m->router];
    uint64_t when = now_us() + way(w, r);
    if (r->cut_from_us > now_us())
        when = r->cut_from_us + way(w, r);
    if (m->lose_reply || by_fault(w, F_LOST_REPLY, 6))
        return;
    m->events++;
    at(when, answer, m, 0);
}

static void send_message(struct world *w, struct message *m)
{
    struct router *r = &w->routers[m->router];
    uint64_t now = now_us(), when = now + way(w, r), dead = now + DEAD_US;
    m->sent_us = now;
    if (r->cut_to_us > now)
        when = r->cut_to_us + way(w, r);
    if (by_fault(w, F_LATE, 5))
        when += rng_below(&w->rng, DEAD_US);
    m->duplicate = m->work.verb == FERRY_JOB_APPLY && by_fault(w, F_DUPLICATE, 4);
    bool lost = by_fault(w, F_LOST_REQUEST, 5) || when > dead;
    /* Frozen routers acknowledge what they have not read: nobody notices before the driver's own deadline. */
    if (lost || r->cut_to_us > now || r->cut_from_us > now || w->faulty) {
        m->events++;
        at(r->frozen_us > now && !lost ? now + PATIENT_US : dead, hang_up, m, 0);
    }
    if (!lost) {
        m->events++;
        at(when, router_hear, m, 0);
    }
}

static struct message *message_new(struct world *w, uint32_t router, uint64_t session, struct ferry_job *job,
                                   int verb)
{
    struct message *m = ferry_calloc(1, sizeof *m);
    m->router = router;
    m->session = session;
    if (job)
        ferry_work_copy(&m->memory, job, &m->work);
    else
        m->work.verb = verb;
    m->next = w->messages;
    if (m->next)
        m->next->before = m;
    w->messages = m;
    return m;
}

/* What died with its machine before it was on the wire cannot be told from what was: half of it is dropped. */
void messages_unsent(struct world *w)
{
    for (struct message *m = w->messages; m; m = m->next)
        if (!m->closed && rng_below(&w->rng, 2))
            m->closed = true;
}

/* ---- The driver. ---- */

/* 0, or negative where no answer came: then nothing of it is known. */
static int exchange(struct ferry_driver *d, struct ferry_job *job, int verb, struct ferry_err *err)
{
    struct world *w = the_world;
    if (d->lost)
        return ferry_error(err, FERRY_EIO, "the connection was lost");
    crash_point(w);
    bool was = world_enter();
    w->counts->calls++;
    struct message *m = message_new(w, d->router, d->session, job, verb);
    m->waiter = fiber_self();
    trace(w, "> %s %d #%llu", w->topology->routers[d->router].name, m->work.verb,
          (unsigned long long)d->session);
    send_message(w, m);
    world_leave(was);
    while (!m->answered && !m->dead)
        fiber_block(UINT64_MAX);
    int r = m->answered ? m->work.result : -FERRY_EUNKNOWN;
    if (m->answered && job && job->verb == FERRY_JOB_READ)
        for (size_t i = 0; i < m->work.fib.n; i++)
            ferry_fib_add(&job->fib, &m->work.fib.items[i]);
    if (job && job->verb == FERRY_JOB_READ)
        job->fib.cut = m->work.fib.cut;
    for (size_t i = 0; job && i < job->n_ops && job->verb != FERRY_JOB_ANNOUNCE; i++) {
        job->ops[i].outcome = m->answered ? m->work.ops[i].outcome : FERRY_UNKNOWN;
        ferry_op_clear(&job->ops[i]);
        if (m->answered && m->work.ops[i].why)
            ferry_op_why(&job->ops[i], "%s", m->work.ops[i].why);
    }
    if (job) {
        job->deadman_state = m->work.deadman_state;
        job->deadman_left_s = m->work.deadman_left_s;
    }
    if (m->answered && r < 0)
        *err = m->work.err;
    else if (r < 0)
        ferry_error(err, FERRY_EUNKNOWN, "no answer");
    was = world_enter();
    m->waiter = NULL;
    message_let_go(w, m);
    world_leave(was);
    d->lost = r < 0;
    crash_point(w);
    return r;
}

static int net_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                    const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                    struct ferry_err *err)
{
    (void)config, (void)state_dir, (void)initial;
    struct world *w = env->ctx;
    struct ferry_driver *d = ferry_calloc(1, sizeof *d);
    d->base.ops = &sim_driver;
    d->router = ferry_topology_router(w->topology, router);
    d->session = ++w->sessions;
    if (exchange(d, NULL, VERB_OPEN, err) < 0) {
        free(d);
        return ferry_error(err, FERRY_EIO, "cannot be reached");
    }
    *ret = d;
    return 0;
}

static void net_close(struct ferry_driver *d)
{
    free(d);
}

static int net_read(struct ferry_driver *d, const struct ferry_query *query, struct ferry_fib *ret,
                    struct ferry_err *err)
{
    struct ferry_job job = {.verb = FERRY_JOB_READ, .query = query};
    int r = exchange(d, &job, 0, err);
    if (r == 0)
        *ret = job.fib;
    else
        ferry_fib_clear(&job.fib);
    return r;
}

static int with_ops(struct ferry_driver *d, int verb, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct ferry_job job = {.verb = verb, .ops = ops, .n_ops = n};
    bool lost = d->lost;
    int r = exchange(d, &job, 0, err);
    for (size_t i = 0; lost && i < n; i++)
        ops[i].outcome = FERRY_REFUSED; /* nothing was sent */
    return r;
}

static int net_check(struct ferry_driver *d, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    return with_ops(d, FERRY_JOB_CHECK, ops, n, err);
}

static int net_apply(struct ferry_driver *d, struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    return with_ops(d, FERRY_JOB_APPLY, ops, n, err);
}

static int net_announce(struct ferry_driver *d, const struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    return with_ops(d, FERRY_JOB_ANNOUNCE, (struct ferry_op *)ops, n, err);
}

static int net_persist(struct ferry_driver *d, struct ferry_err *err)
{
    struct ferry_job job = {.verb = FERRY_JOB_PERSIST};
    return exchange(d, &job, 0, err);
}

static int net_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                      size_t size)
{
    return ferry_sim_native(config, op, buf, size);
}

static int net_deadman(struct ferry_driver *d, enum ferry_deadman_verb verb,
                       const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                       unsigned *ret_left_s, struct ferry_err *err)
{
    struct ferry_job job = {.verb = FERRY_JOB_DEADMAN, .deadman_verb = verb, .deadman = deadman};
    int r = exchange(d, &job, 0, err);
    if (r == 0) {
        *ret = job.deadman_state;
        *ret_left_s = job.deadman_left_s;
    }
    return r;
}

const struct ferry_driver_ops sim_driver = {
    .type = "simulated",
    .open = net_open,
    .close = net_close,
    .read = net_read,
    .check = net_check,
    .apply = net_apply,
    .persist = net_persist,
    .announce = net_announce,
    .native = net_native,
    .deadman = net_deadman,
};

const struct ferry_driver_ops *sim_find(const char *type)
{
    (void)type;
    return &sim_driver; /* whatever kind of router it is */
}
