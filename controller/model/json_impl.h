/* What json.c (scanner) and json_value.c (values) share.  SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_JSON_IMPL_H
#define FERRY_MODEL_JSON_IMPL_H

#include "model/json.h"

#include <stdarg.h>

struct json_tokener;

/* Values in the order of the text, so that a value's descendants follow it directly. */
struct ferry_json_node {
    uint32_t start, end; /* bytes [start, end) of the text */
    uint32_t parent;     /* NONE for the root */
    uint32_t after;      /* the first node behind its descendants */
    uint32_t count;      /* children */
    uint32_t index;      /* among its parent's children */
    uint32_t key;        /* where its key's opening quote is; 0: has none */
    uint32_t key_len;    /* bytes between the quotes */
    uint8_t type;
    bool escaped; /* a string with a backslash, a number with fraction or exponent */
    bool key_escaped;
};

/* Decoded strings, freed together. */
struct ferry_json_chunk {
    struct ferry_json_chunk *next;
    size_t used, size;
    char bytes[];
};

struct ferry_json {
    char *name;
    char *text;
    size_t len;
    struct ferry_json_limits limits;
    struct ferry_json_node *nodes;
    uint32_t n_nodes;
    uint32_t *lines; /* offsets of line starts, made when first needed */
    size_t n_lines;
    struct ferry_json_chunk *chunks;
    struct json_tokener *tokener; /* made when first needed */
    struct ferry_findings *findings;
};

/* A decoded copy of the bytes between the quotes at `quote`, and its length. */
const char *ferry_json_decode(struct ferry_json *doc, uint32_t quote, uint32_t len, bool escaped,
                              size_t *ret_len);
/* The key of a member as bytes; needs no copy where there is no escape. */
const char *ferry_json_key_bytes(struct ferry_json *doc, uint32_t v, size_t *ret_len);
/* The error at a byte of the text, about the value `v` (or NONE) and then, where not NULL, the member `key`
 * of it. */
int ferry_json_verror(struct ferry_json *doc, size_t offset, uint32_t v, const char *key,
                      struct ferry_err *err, const char *fmt, va_list args);

#endif
