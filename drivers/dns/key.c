/* The TSIG key of a name server, from a file as tsig-keygen(8) and BIND have it:
 *
 *     key "ferry" { algorithm hmac-sha256; secret "…"; };
 *
 * hmac-sha256 and hmac-sha512 alone: older ones are broken or weak, and ldns 1.8.3 signs hmac-sha384 wrongly.
 *
 * SPDX-License-Identifier: MIT */
#include "dns/internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILE_MOST = 4096,
    SECRET_MOST = 512,
    SECRET_LEAST = 16
}; /* characters of the secret: 12 bytes at least */

void ferry_dns_key_clear(struct ferry_dns_key *key)
{
    free(key->name);
    free(key->algorithm);
    ferry_secret_free(key->secret);
    *key = (struct ferry_dns_key){0};
}

/* Blanks and comments ("#", "//") before the next word. */
static const char *skip(const char *s)
{
    for (;;) {
        while (isspace((unsigned char)*s))
            s++;
        if (*s != '#' && strncmp(s, "//", 2) != 0)
            return s;
        s += strcspn(s, "\n");
    }
}

/* Whether this very word stands here; then goes on behind it. */
static bool word(const char **s, const char *wanted)
{
    const char *at = skip(*s);
    size_t n = strlen(wanted);
    if (strncmp(at, wanted, n) != 0 ||
        (isalnum((unsigned char)wanted[n - 1]) && isalnum((unsigned char)at[n])))
        return false;
    *s = at + n;
    return true;
}

/* A value, quoted or not, of these characters beside letters and digits; malloc'd. */
static char *value(const char **s, const char *more)
{
    const char *at = skip(*s);
    bool quoted = *at == '"';
    size_t n = 0;
    at += quoted;
    while (at[n] && (isalnum((unsigned char)at[n]) || strchr(more, at[n])))
        n++;
    if (n == 0 || (quoted && at[n] != '"'))
        return NULL;
    char *copy = ferry_calloc(n + 1, 1);
    memcpy(copy, at, n);
    *s = at + n + quoted;
    return copy;
}

static bool parse(const char *s, struct ferry_dns_key *key)
{
    if (!word(&s, "key") || !(key->name = value(&s, "._-")) || !word(&s, "{"))
        return false;
    while (!word(&s, "}")) {
        if (!key->algorithm && word(&s, "algorithm"))
            key->algorithm = value(&s, "-.");
        else if (!key->secret && word(&s, "secret"))
            key->secret = value(&s, "+/=");
        else
            return false;
        if (!word(&s, ";"))
            return false;
    }
    return word(&s, ";") && !*skip(s) && key->algorithm && key->secret;
}

static void dot(char **name)
{
    size_t n = strlen(*name);
    if ((*name)[n - 1] == '.')
        return;
    char *longer = ferry_asprintf("%s.", *name);
    free(*name);
    *name = longer;
}

static int judge(const char *path, struct ferry_dns_key *key, struct ferry_err *err)
{
    size_t n = strlen(key->secret);
    for (char *c = key->algorithm; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    dot(&key->name);
    dot(&key->algorithm);
    if (strcmp(key->algorithm, "hmac-sha256.") != 0 && strcmp(key->algorithm, "hmac-sha512.") != 0)
        return ferry_error(err, FERRY_EIO, "%s: algorithm %.*s: hmac-sha256 and hmac-sha512 are supported",
                           path, (int)strnlen(key->algorithm, 40), key->algorithm);
    if (n < SECRET_LEAST || n > SECRET_MOST || n % 4)
        return ferry_error(err, FERRY_EIO, "%s: its secret is not base64, or too short or long", path);
    return 0;
}

int ferry_dns_key_load(const char *path, struct ferry_dns_key *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_dns_key_clear) struct ferry_dns_key key = {0};
    struct stat st;
    if (stat(path, &st) < 0)
        return ferry_error(err, FERRY_EIO, "key file %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ferry_error(err, FERRY_EIO, "key file %s: not a regular file", path);
    if (st.st_mode & (S_IROTH | S_IWOTH))
        return ferry_error(err, FERRY_EIO, "key file %s: everybody may read or write it: chmod 600, or 640",
                           path);
    FERRY_CLEANUP(ferry_secret_freep) char *text = ferry_secret_read(path, FILE_MOST);
    if (!text)
        return ferry_error(err, FERRY_EIO, "key file %s: %s", path, strerror(errno));
    if (!parse(text, &key))
        return ferry_error(err, FERRY_EIO,
                           "key file %s: no key as tsig-keygen writes it: key \"NAME\" { algorithm …; secret "
                           "\"…\"; };",
                           path);
    int r = judge(path, &key, err);
    if (r < 0)
        return r;
    *ret = key;
    key = (struct ferry_dns_key){0};
    return 0;
}
