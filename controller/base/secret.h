/* What keeps secrets from outliving their use.  SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_SECRET_H
#define FERRY_BASE_SECRET_H

#include <stddef.h>

/* No core file, no core handler, no ptrace(2) by others of the same user, /proc/PID for root alone: for programs that
 * hold private keys, first of all. */
void ferry_no_core(void);

/* A file's bytes, NUL-terminated, read without buffers that anybody keeps; NULL with errno where it cannot be
 * read or has more than `most`.  ferry_secret_free ends it. */
char *ferry_secret_read(const char *path, size_t most);
/* Wipes and frees; takes NULL. */
void ferry_secret_free(char *secret);
void ferry_secret_freep(char **secret);
/* Wipes what this thread has freed lately, as far as the allocator gives it out again, and 64 KiB of its
 * stack below the caller: for libraries that leave secrets there.  Best effort; costs less than a
 * millisecond. */
void ferry_secret_scrub(void);

#endif
