/* JSON documents from and to files and strings; see json.h.  SPDX-License-Identifier: MIT */
#include "model/json_impl.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static const char *kind_of_file(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

int ferry_file_read(const char *path, size_t max_bytes, char **ret, size_t *ret_len, struct ferry_err *err)
{
    /* O_NONBLOCK: opening a FIFO without a writer would wait for ever. */
    FERRY_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return ferry_error(err, FERRY_EINPUT, "%s: cannot be read: %s", *path ? path : "''", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ferry_error(err, FERRY_EINPUT, "%s: is %s, not a file", path, kind_of_file(st.st_mode));
    if (st.st_size > 0 && (uintmax_t)st.st_size > max_bytes)
        return ferry_error(err, FERRY_EINPUT, "%s: more than %zu bytes", path, max_bytes);
    size_t room = (size_t)st.st_size + 2, len = 0; /* one byte for the NUL, one to see the end */
    FERRY_AUTOFREE char *text = ferry_realloc(NULL, room, 1);
    for (;;) {
        ssize_t n = read(fd, text + len, room - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ferry_error(err, FERRY_EINPUT, "%s: cannot be read: %s", path, strerror(errno));
        len += (size_t)n;
        if (len > max_bytes)
            return ferry_error(err, FERRY_EINPUT, "%s: more than %zu bytes", path, max_bytes);
        if (n == 0)
            break;
        if (len == room - 1) /* it grows under us, or is in /proc */
            text = ferry_realloc(text, room *= 2, 1);
    }
    text[len] = '\0';
    *ret = FERRY_STEAL(text);
    *ret_len = len;
    return 0;
}

int ferry_json_load(const char *path, const struct ferry_json_limits *limits, struct ferry_findings *findings,
                    struct ferry_json **ret, struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = NULL;
    size_t len = 0;
    int r = ferry_file_read(path, limits ? limits->bytes : ferry_json_limits_default.bytes, &text, &len, err);
    if (r == 0)
        return ferry_json_parse(path, text, len, limits, findings, ret, err);
    if (findings) {
        FERRY_GROW(findings->v, findings->n);
        struct ferry_finding *f = &findings->v[findings->n++];
        *f = (struct ferry_finding){0};
        snprintf(f->text, sizeof f->text, "%.500s", err->text);
    }
    return r;
}

char *ferry_json_write(struct json_object *object, bool pretty)
{
    int flags =
        JSON_C_TO_STRING_NOSLASHESCAPE | (pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : 0);
    size_t n = 0;
    const char *text = json_object_to_json_string_length(object, flags, &n);
    if (!text)
        abort(); /* out of memory, as everywhere */
    char *copy = ferry_realloc(NULL, n + 2, 1);
    memcpy(copy, text, n);
    memcpy(copy + n, "\n", 2);
    return ferry_utf8_clean(copy); /* json-c takes whatever it is given */
}
