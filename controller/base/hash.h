/* SHA-256 (libcrypto) for identities, a fast 64-bit hash for tables, hex.  SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_HASH_H
#define FERRY_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Lower-case hex of the SHA-256 of the bytes. */
void ferry_sha256(const void *data, size_t len, char ret[static 65]);
/* Mixes `len` bytes into a running hash (start with any seed); not for adversaries. */
uint64_t ferry_hash(uint64_t seed, const void *data, size_t len);
uint64_t ferry_hash_u64(uint64_t seed, uint64_t value);
/* Lower-case hex into buf[2 * len + 1]. */
void ferry_hex(const uint8_t *data, size_t len, char *buf);
/* Number of bytes written to ret (at most strlen/2), or -1 where it is not hex. */
long ferry_unhex(const char *hex, uint8_t *ret);

#endif
