/* Simulated time, events, and fibers: what the program under test takes for threads, mutexes, conditions and clocks.
 *
 * The fleet starts threads, waits on conditions with deadlines of CLOCK_MONOTONIC, and gives up on those who
 * do not come back.  All of that stays as it is: the linker puts the functions below in the place of the
 * pthread ones.  Of several fibers that could go on the dice choose one; where none can, time goes on to the
 * next event.
 *
 *  1. A fiber runs until it blocks: nothing else moves meanwhile.
 *  2. A process that dies loses its fibers, whatever they were doing; their stacks are used again.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifdef ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK (1u << 20)
#else
#define STACK (256u << 10)
#endif

#define FIBERS 96

struct fiber {
    ucontext_t context;
    jmp_buf place;
    bool begun;
    void *stack;
    uint64_t id; /* 0: free */
    enum { READY, BLOCKED, ENDED } state;
    const void *on; /* the mutex or condition it waits for */
    bool timed_out;
    void *(*fn)(void *);
    void *arg;
};

static struct {
    struct fiber fibers[FIBERS];
    struct fiber *current;
    ucontext_t scheduler;
    jmp_buf place;
    uint64_t ids;
    bool running, dying;
    const void *main_stack;
    size_t main_stack_size;
} process;

/* ---- Time and events. ---- */

struct event {
    uint64_t when, seq;
    event_fn *fn;
    void *what;
    uint64_t arg;
};

static struct {
    struct event *v;
    size_t n, room;
    uint64_t seq, now;
} queue;

uint64_t now_us(void)
{
    return queue.now;
}

void time_reset(void)
{
    queue.n = 0;
    queue.seq = 0;
    queue.now = 1000000000;
    process.ids = 0;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->when != b->when ? a->when < b->when : a->seq < b->seq;
}

void at(uint64_t when_us, event_fn *fn, void *what, uint64_t arg)
{
    bool was = world_enter();
    if (queue.n == queue.room) {
        queue.room = queue.room ? 2 * queue.room : 256;
        queue.v = realloc(queue.v, queue.room * sizeof *queue.v);
    }
    struct event e = {when_us > queue.now ? when_us : queue.now, queue.seq++, fn, what, arg};
    size_t i = queue.n++;
    for (; i && before(&e, &queue.v[(i - 1) / 2]); i = (i - 1) / 2)
        queue.v[i] = queue.v[(i - 1) / 2];
    queue.v[i] = e;
    world_leave(was);
}

static struct event next_event(void)
{
    struct event first = queue.v[0], last = queue.v[--queue.n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < queue.n; i = child) {
        if (child + 1 < queue.n && before(&queue.v[child + 1], &queue.v[child]))
            child++;
        if (before(&last, &queue.v[child]))
            break;
        queue.v[i] = queue.v[child];
    }
    queue.v[i] = last;
    return first;
}

static void fire(struct world *w)
{
    struct event e = next_event();
    queue.now = e.when;
    w->counts->events++;
    e.fn(w, e.what, e.arg);
}

void world_run(struct world *w, uint64_t until_us)
{
    while (queue.n && queue.v[0].when <= until_us)
        fire(w);
    if (queue.now < until_us)
        queue.now = until_us;
}

/* ---- Switching. ---- */

#ifdef ASAN

static void to_scheduler(struct fiber *f)
{
    world_leave(false);
    void *fake = NULL;
    __sanitizer_start_switch_fiber(f->state == ENDED ? NULL : &fake, process.main_stack,
                                   process.main_stack_size);
    swapcontext(&f->context, &process.scheduler);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static void to_fiber(struct fiber *f)
{
    void *fake = NULL;
    process.current = f;
    world_leave(true);
    __sanitizer_start_switch_fiber(&fake, f->stack, STACK);
    swapcontext(&process.scheduler, &f->context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
    world_leave(false);
    process.current = NULL;
}

#else

/* swapcontext asks the kernel for the signal mask every time; only the first step onto a stack needs it. */
static void to_scheduler(struct fiber *f)
{
    world_leave(false);
    if (!_setjmp(f->place))
        _longjmp(process.place, 1);
}

static void to_fiber(struct fiber *f)
{
    process.current = f;
    world_leave(true);
    if (!_setjmp(process.place)) {
        if (process.current->begun)
            _longjmp(process.current->place, 1);
        process.current->begun = true;
        setcontext(&process.current->context);
    }
    world_leave(false);
    process.current = NULL;
}

#endif

static void start(void)
{
#ifdef ASAN
    __sanitizer_finish_switch_fiber(NULL, &process.main_stack, &process.main_stack_size);
#endif
    struct fiber *f = process.current;
    f->fn(f->arg);
    f->state = ENDED;
    to_scheduler(f);
    abort();
}

static void prepare(struct fiber *f)
{
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = NULL;
    makecontext(&f->context, start, 0);
}

static struct fiber *fiber_new(void *(*fn)(void *), void *arg)
{
    size_t i = 0;
    while (i < FIBERS && process.fibers[i].id)
        i++;
    if (i == FIBERS)
        return NULL;
    struct fiber *f = &process.fibers[i];
    void *stack = f->stack;
    if (!stack) {
        stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED)
            abort();
    }
    *f = (struct fiber){.stack = stack, .id = ++process.ids, .state = READY, .fn = fn, .arg = arg};
#ifdef ASAN
    ASAN_UNPOISON_MEMORY_REGION(stack, STACK);
#endif
    prepare(f);
    return f;
}

struct fiber *fiber_self(void)
{
    return process.current;
}

static void wake_late(struct world *w, void *what, uint64_t id)
{
    struct fiber *f = what;
    (void)w;
    if (f->id == id && f->state == BLOCKED) {
        f->timed_out = true;
        f->state = READY;
        f->on = NULL;
    }
}

void fiber_block(uint64_t until_us)
{
    struct fiber *f = process.current;
    f->timed_out = false;
    f->state = BLOCKED;
    if (until_us != UINT64_MAX) {
        /* A fiber that was woken earlier and blocks again must not hear the old alarm: each has an id of its own. */
        f->id = ++process.ids;
        at(until_us, wake_late, f, f->id);
    }
    to_scheduler(f);
}

void fiber_wake(struct fiber *f)
{
    if (f->state == BLOCKED) {
        f->state = READY;
        f->on = NULL;
    }
}

void fiber_sleep(uint64_t us)
{
    crash_point(the_world);
    fiber_block(queue.now + us);
}

/* ---- The process. ---- */

static void *main_fiber(void *arg)
{
    void **both = arg;
    void (*fn)(void *);
    memcpy(&fn, &both[0], sizeof fn);
    fn(both[1]);
    return NULL;
}

static struct fiber *choose(struct world *w)
{
    struct fiber *ready[FIBERS];
    unsigned n = 0;
    for (size_t i = 0; i < FIBERS; i++)
        if (process.fibers[i].id && process.fibers[i].state == READY)
            ready[n++] = &process.fibers[i];
    return !n ? NULL : n == 1 ? ready[0] : ready[rng_below(&w->rng, n)];
}

static bool ended(struct world *w, struct fiber *first, uint64_t *turns)
{
    if (first->state == ENDED || process.dying)
        return true;
    if (++*turns > 20000000) {
        violation(w, "the process does not come to an end");
        return true;
    }
    return false;
}

bool process_run(struct world *w, void (*fn)(void *), void *arg)
{
    void *both[2] = {NULL, arg};
    uint64_t turns = 0;
    memcpy(&both[0], &fn, sizeof fn);
    process.running = true;
    process.dying = false;
    struct fiber *first = fiber_new(main_fiber, both);
    while (!ended(w, first, &turns)) {
        struct fiber *f = choose(w);
        if (f) {
            to_fiber(f);
            if (f->state == ENDED && f != first && !process.dying)
                f->id = 0;
        } else if (queue.n) {
            fire(w);
        } else {
            violation(w, "the process waits for what never comes");
            break;
        }
    }
    bool whole = !process.dying && first->state == ENDED;
    for (size_t i = 0; i < FIBERS; i++)
        process.fibers[i].id = 0;
    process.running = process.dying = false;
    return whole;
}

bool process_alive(void)
{
    return process.running && process.current;
}

void process_die(void)
{
    process.dying = true;
    if (!process.current)
        return;
    process.current->state = ENDED;
    to_scheduler(process.current);
    abort();
}

/* ---- In the place of pthreads. ---- */

struct lock {
    struct fiber *owner;
};
_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "a mutex has room for a pointer");

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *end);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_detach(pthread_t thread);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    (void)attr;
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    (void)mutex;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct lock *lock = (void *)mutex;
    while (lock->owner) {
        process.current->on = mutex;
        fiber_block(UINT64_MAX);
    }
    lock->owner = process.current;
    return 0;
}

static void wake_one_of(const void *on, bool all)
{
    struct fiber *waiting[FIBERS];
    unsigned n = 0;
    for (size_t i = 0; i < FIBERS; i++)
        if (process.fibers[i].id && process.fibers[i].state == BLOCKED && process.fibers[i].on == on)
            waiting[n++] = &process.fibers[i];
    for (unsigned i = 0; all && i < n; i++)
        fiber_wake(waiting[i]);
    if (!all && n)
        fiber_wake(waiting[n == 1 ? 0 : rng_below(&the_world->rng, n)]);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    ((struct lock *)(void *)mutex)->owner = NULL;
    wake_one_of(mutex, false);
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    (void)attr;
    memset(cond, 0, sizeof *cond);
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    (void)cond;
    return 0;
}

static int wait_on(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_us)
{
    struct fiber *self = process.current;
    __wrap_pthread_mutex_unlock(mutex);
    self->on = cond;
    fiber_block(until_us);
    bool late = self->timed_out;
    __wrap_pthread_mutex_lock(mutex);
    return late ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    return wait_on(cond, mutex, UINT64_MAX);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *end)
{
    return wait_on(cond, mutex, (uint64_t)end->tv_sec * 1000000 + (uint64_t)end->tv_nsec / 1000);
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    wake_one_of(cond, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    wake_one_of(cond, true);
    return 0;
}

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    (void)attr;
    struct fiber *f = fiber_new(fn, arg);
    if (!f)
        return EAGAIN;
    *ret = (pthread_t)f;
    return 0;
}

/* The fleet joins only those that have said that they end, and from there to the end nothing blocks (1). */
int __wrap_pthread_join(pthread_t thread, void **ret)
{
    (void)thread, (void)ret;
    return 0;
}

int __wrap_pthread_detach(pthread_t thread)
{
    (void)thread;
    return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    (void)how, (void)set, (void)old;
    return 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    uint64_t us = queue.now + (id == CLOCK_REALTIME ? (uint64_t)the_world->wall_skew_us : 0);
    *ret = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    return 0;
}
