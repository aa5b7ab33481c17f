/* What `ferry` and `ferryd` say to each other: JSON objects, one a line (docs/daemon.md).
 *
 * Whoever is at the other end may be hostile: lines are bounded before they are looked at, requests are read
 * by the strict parser (unknown, doubled or missing members, NULs, deep nesting: refused), and nothing of a
 * refused line has an effect.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_WATCH_WIRE_H
#define FERRY_WATCH_WIRE_H

#include <ferry/err.h>
#include <stdbool.h>
#include <stddef.h>

struct json_object;

#define FERRY_WIRE_SOCKET      "/run/ferry/ferryd.sock"
#define FERRY_WIRE_REQUEST_MAX 1024u /* bytes of one request, its newline not counted */
#define FERRY_WIRE_REPLY_MAX                                                                                 \
    (256u * 1024u * 1024u)      /* the document of a transaction of 10,000 subnets has 20 MB */
#define FERRY_WIRE_ALIVE_S  5u  /* while a request is worked on its client hears something so often */
#define FERRY_WIRE_SILENT_S 20u /* silence that long: the daemon hangs, or is gone */

/* ---- Lines. ---- */

struct ferry_wire_lines {
    char *bytes;
    size_t n, room, scanned;
    size_t most; /* of one line; more is an error for good */
    bool overlong;
};
/* Takes bytes over as they come. */
void ferry_wire_feed(struct ferry_wire_lines *lines, const char *bytes, size_t n);
/* 1 and the next whole line without its newline, NUL-terminated, malloc'd; 0: there is none yet.
 * -FERRY_EINPUT where one is too long: nothing comes any more. */
int ferry_wire_next(struct ferry_wire_lines *lines, char **ret, size_t *ret_len,
                    struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_wire_lines_clear(struct ferry_wire_lines *lines);

/* ---- Requests. ---- */

enum ferry_wire_verb {
    FERRY_WIRE_HELLO,     /* who are you: version, state directory, topology */
    FERRY_WIRE_WATCH,     /* what the daemon has noticed; reads no router */
    FERRY_WIRE_STATUS,    /* reads the routers now */
    FERRY_WIRE_READINESS, /* tries every move now */
    FERRY_WIRE_CONFIRM,
    FERRY_WIRE_EXTEND,
};
const char *ferry_wire_verb_name(enum ferry_wire_verb verb);
/* Whether it changes anything: for those who may. */
bool ferry_wire_verb_writes(enum ferry_wire_verb verb);

struct ferry_wire_request {
    enum ferry_wire_verb verb;
    char tx[24];      /* CONFIRM, EXTEND: an id or its beginning; "": the one that awaits */
    unsigned seconds; /* EXTEND */
};
/* An id, its beginning ("20261120-1015"), or "last". */
bool ferry_wire_is_tx(const char *text);
/* -FERRY_EINPUT says what is wrong with the line. */
int ferry_wire_parse(const char *line, size_t len, struct ferry_wire_request *ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
/* The line, with its newline; malloc'd. */
char *ferry_wire_request_line(const struct ferry_wire_request *request);

/* ---- Replies: any number of progress and alive lines, then one result or error. ---- */

char *ferry_wire_progress_line(const char *text);
char *ferry_wire_alive_line(void);
char *ferry_wire_result_line(struct json_object *result); /* drops the reference */
char *ferry_wire_error_line(int code, const struct ferry_err *err);

enum ferry_wire_reply { FERRY_WIRE_PROGRESS, FERRY_WIRE_ALIVE, FERRY_WIRE_RESULT, FERRY_WIRE_ERROR };
/* Takes a reply apart.  RESULT: `ret_result` (may be NULL for null).  PROGRESS: `err->text`.  ERROR: `err`
 * and `ret_code` (negative).  -FERRY_EIO where it is none. */
int ferry_wire_reply(const char *line, size_t len, enum ferry_wire_reply *ret,
                     struct json_object **ret_result, int *ret_code, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
