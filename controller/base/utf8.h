/* UTF-8 (RFC 3629 section 4).  SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_UTF8_H
#define FERRY_BASE_UTF8_H

#include <stddef.h>

/* The length of the sequence at `s`, of which `n` bytes are there; 0 where there is none: overlong ones, surrogates, and
 * what is beyond Unicode are none. */
size_t ferry_utf8_length(const char *s, size_t n);
/* Puts '?' for every byte that belongs to no sequence; returns `text`. */
char *ferry_utf8_clean(char *text);

#endif
