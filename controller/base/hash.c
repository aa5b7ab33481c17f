/* Hashes and hex; see hash.h.  SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void ferry_hex(const uint8_t *data, size_t len, char *buf)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        buf[2 * i] = digits[data[i] >> 4];
        buf[2 * i + 1] = digits[data[i] & 15];
    }
    buf[2 * len] = '\0';
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long ferry_unhex(const char *hex, uint8_t *ret)
{
    size_t n = strlen(hex);
    if (n % 2)
        return -1;
    for (size_t i = 0; i < n / 2; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return (long)(n / 2);
}

void ferry_sha256(const void *data, size_t len, char ret[static 65])
{
    uint8_t digest[32];
    if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* no SHA-256 in libcrypto: nothing can be identified */
    ferry_hex(digest, sizeof digest, ret);
}

/* The finaliser of MurmurHash3 (public domain), as a mixing step. */
uint64_t ferry_hash_u64(uint64_t seed, uint64_t value)
{
    uint64_t h = seed * 0x9e3779b97f4a7c15u + value;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

uint64_t ferry_hash(uint64_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t h = ferry_hash_u64(seed, len);
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = ferry_hash_u64(h, word);
    }
    uint64_t word = 0;
    if (len)
        memcpy(&word, p, len);
    return ferry_hash_u64(h, word);
}
