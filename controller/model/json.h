/* Strict JSON with positions: what the topology, plans and other documents are read with.
 *
 * Strict means RFC 8259 and, where that is stricter, RFC 7493: UTF-8 without BOM, no duplicate keys (also not
 * by way of escapes), no NUL and no \u0000, no lone surrogates, nothing after the document; and bounded
 * depth, size and number of values.  The scanner here checks all of that and keeps 36 bytes a value; json-c
 * then decodes single values (it alone would let most of these errors pass, and needs 800 bytes an object).
 *
 * A value is a number (`uint32_t`) in its document: FERRY_JSON_ROOT, what ferry_json_get returns, …;
 * FERRY_JSON_NONE is "not there".  Every error is written as "FILE:LINE:COLUMN: POINTER: text" (RFC 6901
 * pointer, left out for the root; columns count characters) and, where the document was opened with
 * `findings`, kept there too, so that a loader may go on and report several.  Texts contain no control
 * characters whatever the file holds.
 *
 *     FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
 *     int r = ferry_json_load(path, NULL, NULL, &doc, err);
 *     if (r < 0) return r;
 *     r = ferry_json_keys(doc, FERRY_JSON_ROOT, (const char *const[]){"name", "hosts", NULL}, err);
 *     r = ferry_json_need_string(doc, FERRY_JSON_ROOT, "name", &name, err);
 *     uint32_t hosts = ferry_json_get(doc, FERRY_JSON_ROOT, "hosts");
 *     FERRY_JSON_EACH(doc, hosts, host) …
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_JSON_H
#define FERRY_MODEL_JSON_H

#include <ferry/err.h>
#include <ferry/topology.h>
#include <stdbool.h>
#include <stdint.h>

struct json_object; /* json-c's */
struct ferry_json;

#define FERRY_JSON_NONE UINT32_MAX
#define FERRY_JSON_ROOT 0u

enum ferry_json_type {
    FERRY_JSON_NULL,
    FERRY_JSON_BOOL,
    FERRY_JSON_NUMBER,
    FERRY_JSON_STRING,
    FERRY_JSON_ARRAY,
    FERRY_JSON_OBJECT,
};
/* "a string", "an array", … */
const char *ferry_json_type_name(enum ferry_json_type type);

struct ferry_json_limits {
    size_t bytes;    /* of the file; at most UINT32_MAX - 1 */
    uint32_t values; /* scalars, arrays and objects together */
    unsigned depth;  /* arrays and objects inside each other */
};
/* 256 MiB, 16 million values, 64 levels. */
extern const struct ferry_json_limits ferry_json_limits_default;

/* ---- Reading. ---- */

/* A whole regular file, NUL-terminated after `len` bytes.  Anything else (directory, FIFO, device, too big,
 * missing, unreadable) is -FERRY_EINPUT; opening never blocks. */
int ferry_file_read(const char *path, size_t max_bytes, char **ret, size_t *ret_len,
                    struct ferry_err *err) FERRY_MUST_CHECK;
/* Copies the text; `name` stands for the file in messages.  `limits` NULL: the default.  `findings` (may be
 * NULL) outlives the document and gets every error, the first included: at most 100. */
int ferry_json_parse(const char *name, const char *text, size_t len, const struct ferry_json_limits *limits,
                     struct ferry_findings *findings, struct ferry_json **ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_load(const char *path, const struct ferry_json_limits *limits, struct ferry_findings *findings,
                    struct ferry_json **ret, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_json_free(struct ferry_json *doc);
void ferry_json_freep(struct ferry_json **doc);
/* The bytes that were parsed. */
const char *ferry_json_text(const struct ferry_json *doc, size_t *ret_len);

/* ---- Walking.  Strings live as long as the document. ---- */

enum ferry_json_type ferry_json_type(const struct ferry_json *doc, uint32_t v);
/* Elements of an array, members of an object, else 0; 0 for NONE. */
uint32_t ferry_json_count(const struct ferry_json *doc, uint32_t v);
/* First child; next sibling; FERRY_JSON_NONE at the end, and as the first child of NONE. */
uint32_t ferry_json_first(const struct ferry_json *doc, uint32_t v);
uint32_t ferry_json_next(const struct ferry_json *doc, uint32_t v);
#define FERRY_JSON_EACH(doc, parent, child)                                                                  \
    for (uint32_t child = ferry_json_first((doc), (parent)); child != FERRY_JSON_NONE;                       \
         child = ferry_json_next((doc), child))
/* The key under which an object holds `v`; NULL elsewhere. */
const char *ferry_json_key(struct ferry_json *doc, uint32_t v);
/* A copy that lives as long as the document, aligned for bytes alone. */
const void *ferry_json_arena(struct ferry_json *doc, const void *data, size_t len);
/* The member of that name or NONE (also where `object` is NONE or no object); linear in the number of
 * members. */
uint32_t ferry_json_get(struct ferry_json *doc, uint32_t object, const char *key);
/* The value at an RFC 6901 pointer, or NONE. */
uint32_t ferry_json_at(struct ferry_json *doc, const char *pointer);
/* Where it starts; from 1. */
void ferry_json_position(struct ferry_json *doc, uint32_t v, unsigned *ret_line, unsigned *ret_column);
/* json-c's tree of a value, for json_object_put; NULL for null.  Whole numbers beyond 64 bits clamp there. */
struct json_object *ferry_json_tree(struct ferry_json *doc, uint32_t v);

/* ---- Typed values.  -FERRY_EINPUT with position, pointer and what was expected. ---- */

/* An error about `v` of the caller's own; always returns -FERRY_EINPUT. */
int ferry_json_error(struct ferry_json *doc, uint32_t v, struct ferry_err *err, const char *fmt, ...)
    FERRY_PRINTF(4, 5);
/* The same at the key of a member rather than at its value. */
int ferry_json_error_key(struct ferry_json *doc, uint32_t v, struct ferry_err *err, const char *fmt, ...)
    FERRY_PRINTF(4, 5);
int ferry_json_want(struct ferry_json *doc, uint32_t v, enum ferry_json_type type,
                    struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_string(struct ferry_json *doc, uint32_t v, const char **ret,
                      struct ferry_err *err) FERRY_MUST_CHECK;
/* Whole numbers in [min, max] without fraction or exponent. */
int ferry_json_int(struct ferry_json *doc, uint32_t v, int64_t min, int64_t max, int64_t *ret,
                   struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_double(struct ferry_json *doc, uint32_t v, double *ret,
                      struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_bool(struct ferry_json *doc, uint32_t v, bool *ret, struct ferry_err *err) FERRY_MUST_CHECK;
/* Refuses members that are not in the NULL-terminated list, keys that start with "x-" excepted.  Reports each
 * of them, returns an error if there was one.  `object` must be one. */
int ferry_json_keys(struct ferry_json *doc, uint32_t object, const char *const *known,
                    struct ferry_err *err) FERRY_MUST_CHECK;

/* Members.  need_…: an error where missing ("'name' is missing", at the object).  opt_…: *ret stays as it is
 * where missing; null is not "missing" but a wrong type.  `object` must be one. */
int ferry_json_need(struct ferry_json *doc, uint32_t object, const char *key, enum ferry_json_type type,
                    uint32_t *ret, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_opt(struct ferry_json *doc, uint32_t object, const char *key, enum ferry_json_type type,
                   uint32_t *ret, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_need_string(struct ferry_json *doc, uint32_t object, const char *key, const char **ret,
                           struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_opt_string(struct ferry_json *doc, uint32_t object, const char *key, const char **ret,
                          struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_need_int(struct ferry_json *doc, uint32_t object, const char *key, int64_t min, int64_t max,
                        int64_t *ret, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_opt_int(struct ferry_json *doc, uint32_t object, const char *key, int64_t min, int64_t max,
                       int64_t *ret, struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_json_opt_bool(struct ferry_json *doc, uint32_t object, const char *key, bool *ret,
                        struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- Writing. ---- */

/* malloc'd, NUL-terminated, newline at its end; slashes not escaped; two blanks a level where `pretty`. */
char *ferry_json_write(struct json_object *object, bool pretty);

#endif
