/* Memory of the simulated process: one region that is emptied when the process is gone, however it went.
 *
 *  1. What the world allocates comes from libc; what a fiber of the process allocates comes from the region.  free and
 *     realloc tell them apart by address, so that either may free what the other made.
 *  2. A process that was killed in the middle of anything leaves nothing behind: heap_reset.
 *
 * Under AddressSanitizer malloc is its own, and what killed processes leave is lost: runs there are short.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#ifdef FERRY_SANITIZED
#define OWN_MALLOC 0
#else
#define OWN_MALLOC 1
#endif

static bool in_process, warm;

bool world_enter(void)
{
    bool was = in_process;
    in_process = false;
    return was;
}

void world_leave(bool was)
{
    in_process = was && !warm;
}

void heap_warm(bool on)
{
    warm = on;
}

#if OWN_MALLOC

#define REGION  (256u << 20)
#define SMALL   1024u /* bytes; sizes up to this have lists of their own, 16 bytes apart */
#define CLASSES (SMALL / 16 + 1)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);
extern void *__libc_memalign(size_t alignment, size_t size);

struct block { /* before every piece: 16 bytes, so that pieces are aligned as malloc's are */
    size_t size;
    struct block *next; /* while it is free */
};

static struct {
    char *base;
    size_t used;
    struct block *free[CLASSES], *big;
} heap;

static bool is_ours(const void *p)
{
    return heap.base && (const char *)p >= heap.base && (const char *)p < heap.base + REGION;
}

static void *take(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    size = size ? size : 16;
    if (!heap.base) {
        heap.base =
            mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (heap.base == MAP_FAILED)
            abort();
    }
    struct block **list = size <= SMALL ? &heap.free[size / 16] : &heap.big;
    for (int i = 0; *list && i < 4; i++, list = &(*list)->next)
        if ((*list)->size >= size && (*list)->size < 2 * size) {
            struct block *b = *list;
            *list = b->next;
            return b + 1;
        }
    if (REGION - heap.used < size + sizeof(struct block))
        return __libc_malloc(size);
    struct block *b = (struct block *)(void *)(heap.base + heap.used);
    heap.used += size + sizeof *b;
    b->size = size;
    return b + 1;
}

static void give(void *p)
{
    struct block *b = (struct block *)p - 1, **list = b->size <= SMALL ? &heap.free[b->size / 16] : &heap.big;
    b->next = *list;
    *list = b;
}

void heap_reset(void)
{
    if (heap.used > 8u << 20)
        madvise(heap.base + (8u << 20), heap.used - (8u << 20), MADV_DONTNEED);
    heap.used = 0;
    heap.big = NULL;
    memset(heap.free, 0, sizeof heap.free);
}

void *malloc(size_t size)
{
    return in_process ? take(size) : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    size_t bytes;
    if (!in_process)
        return __libc_calloc(n, size);
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return memset(take(bytes), 0, bytes);
}

void *realloc(void *p, size_t size)
{
    if (!p)
        return malloc(size);
    if (!is_ours(p))
        return __libc_realloc(p, size);
    size_t has = ((struct block *)p - 1)->size;
    if (has >= size)
        return p;
    void *new = malloc(size);
    memcpy(new, p, has);
    give(p);
    return new;
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, bytes);
}

void free(void *p)
{
    if (!p)
        return;
    if (is_ours(p))
        give(p);
    else
        __libc_free(p);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    return alignment <= 16 ? malloc(size) : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    *ret = memalign(alignment, size);
    return *ret ? 0 : ENOMEM;
}

#else

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0"; /* killed processes leak: see above */
}

void heap_reset(void)
{
}

#endif
