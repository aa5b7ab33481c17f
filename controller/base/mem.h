/* Memory: allocation that never returns NULL, and cleanup attributes.
 *
 * Running out of memory aborts.  For a controller whose every step is journalled that is a crash like any
 * other, and `ferry recover` is tested against crashes everywhere; half-handled shortage is not.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_MEM_H
#define FERRY_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

void *ferry_calloc(size_t n, size_t size) __attribute__((returns_nonnull, warn_unused_result));
void *ferry_realloc(void *p, size_t n, size_t size) __attribute__((returns_nonnull, warn_unused_result));
void *ferry_memdup(const void *p, size_t n) __attribute__((warn_unused_result)); /* NULL for n == 0 */
char *ferry_strdup(const char *s) __attribute__((warn_unused_result));           /* NULL for NULL */
char *ferry_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Makes room for one more element in a vector (pointer, count); doubles at powers of two. */
#define FERRY_GROW(v, n) ((v) = ferry_grow((v), (n), sizeof *(v)))
void *ferry_grow(void *v, size_t n, size_t size);

static inline void ferry_cleanup_free(void *p)
{
    free(*(void **)p);
}
#define FERRY_AUTOFREE   __attribute__((cleanup(ferry_cleanup_free)))
#define FERRY_CLEANUP(f) __attribute__((cleanup(f)))
/* Moves a pointer out of a cleaned-up variable. */
#define FERRY_STEAL(p)                                                                                       \
    ({                                                                                                       \
        __typeof__(p) _moved = (p);                                                                          \
        (p) = NULL;                                                                                          \
        _moved;                                                                                              \
    })
#define FERRY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
