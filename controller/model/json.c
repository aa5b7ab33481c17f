/* The scanner of strict JSON: grammar, UTF-8, duplicate keys, limits, positions; see json.h.
 * Values are decoded in json_value.c.
 *
 * SPDX-License-Identifier: MIT */
#include "model/json_impl.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

const struct ferry_json_limits ferry_json_limits_default = {
    .bytes = 256u << 20,
    .values = 16000000,
    .depth = 64,
};

/* What may come next. */
enum expect { VALUE, FIRST, MEMBER, AFTER };

struct scan {
    struct ferry_json *doc;
    const char *s;
    size_t at, len;
    uint32_t open;   /* innermost open array or object */
    uint32_t scalar; /* being scanned, or NONE */
    unsigned depth;
    uint32_t key, key_len; /* of the member whose value comes next */
    bool key_escaped;
    struct ferry_err *err;
};

static int fail(struct scan *scan, size_t offset, const char *fmt, ...) FERRY_PRINTF(3, 4);

static int fail(struct scan *scan, size_t offset, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    uint32_t v = scan->scalar == FERRY_JSON_NONE ? scan->open : scan->scalar;
    int r = ferry_json_verror(scan->doc, offset, v, NULL, scan->err, fmt, args);
    va_end(args);
    return r;
}

/* What stands at `at`, for messages. */
static int unexpected(struct scan *scan, const char *expected)
{
    if (scan->at >= scan->len)
        return fail(scan, scan->at, "the file ends where %s is expected", expected);
    unsigned char c = (unsigned char)scan->s[scan->at];
    if (c == 0)
        return fail(scan, scan->at, "NUL byte");
    if (c < 0x20 || c >= 0x7f)
        return fail(scan, scan->at, "%s is expected, found byte 0x%02x", expected, c);
    size_t n = strspn(scan->s + scan->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    return fail(scan, scan->at, "%s is expected, found '%.*s'", expected, n ? (int)(n < 20 ? n : 20) : 1,
                scan->s + scan->at);
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->len && (scan->s[scan->at] == ' ' || scan->s[scan->at] == '\n' ||
                                    scan->s[scan->at] == '\t' || scan->s[scan->at] == '\r'))
        scan->at++;
}

/* Four hex digits at `p`, or -1; stops at the text's NUL. */
static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The escape at `at`. */
static int scan_escape(struct scan *scan)
{
    const char *p = scan->s + scan->at;
    if (p[1] && strchr("\"\\/bfnrt", p[1])) {
        scan->at += 2;
        return 0;
    }
    if (p[1] != 'u')
        return fail(scan, scan->at, "unknown escape in a string");
    int unit = hex4(p + 2);
    if (unit < 0)
        return fail(scan, scan->at, "\\u needs four hex digits");
    if (unit == 0)
        return fail(scan, scan->at, "\\u0000 in a string");
    if (unit >= 0xd800 && unit <= 0xdfff) {
        int low = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
        if (unit >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
            return fail(scan, scan->at, "half a surrogate pair in a string");
        scan->at += 6;
    }
    scan->at += 6;
    return 0;
}

/* The string whose opening quote is at `at`. */
static int scan_string(struct scan *scan, bool *ret_escaped)
{
    size_t start = scan->at++;
    bool escaped = false;
    while (scan->at < scan->len && scan->s[scan->at] != '"') {
        unsigned char c = (unsigned char)scan->s[scan->at];
        if (c == '\\') {
            escaped = true;
            int r = scan_escape(scan);
            if (r < 0)
                return r;
            continue;
        }
        if (c == 0)
            return fail(scan, scan->at, "NUL byte");
        if (c < 0x20)
            return fail(scan, scan->at, "control character 0x%02x in a string", c);
        size_t n = c < 0x80 ? 1 : ferry_utf8_length(scan->s + scan->at, scan->len - scan->at);
        if (n == 0)
            return fail(scan, scan->at, "not UTF-8");
        scan->at += n;
    }
    if (scan->at >= scan->len)
        return fail(scan, start, "the file ends inside this string");
    scan->at++;
    *ret_escaped = escaped;
    return 0;
}

static size_t scan_digits(struct scan *scan)
{
    size_t start = scan->at;
    while (scan->at < scan->len && scan->s[scan->at] >= '0' && scan->s[scan->at] <= '9')
        scan->at++;
    return scan->at - start;
}

static int scan_number(struct scan *scan, bool *ret_escaped)
{
    size_t start = scan->at;
    if (scan->s[scan->at] == '-')
        scan->at++;
    size_t first = scan->at;
    size_t n = scan_digits(scan);
    if (n == 0 || (n > 1 && scan->s[first] == '0'))
        return fail(scan, start, n ? "a number with a leading zero" : "a number without digits");
    if (scan->s[scan->at] == '.') {
        *ret_escaped = true;
        scan->at++;
        if (scan_digits(scan) == 0)
            return fail(scan, start, "a number without digits behind its point");
    }
    if (scan->s[scan->at] == 'e' || scan->s[scan->at] == 'E') {
        *ret_escaped = true;
        scan->at++;
        if (scan->s[scan->at] == '+' || scan->s[scan->at] == '-')
            scan->at++;
        if (scan_digits(scan) == 0)
            return fail(scan, start, "a number without digits in its exponent");
    }
    return 0;
}

static int new_node(struct scan *scan, enum ferry_json_type type, uint32_t *ret)
{
    struct ferry_json *doc = scan->doc;
    if (doc->n_nodes >= doc->limits.values)
        return fail(scan, scan->at, "more than %" PRIu32 " values", doc->limits.values);
    FERRY_GROW(doc->nodes, doc->n_nodes);
    struct ferry_json_node *node = &doc->nodes[doc->n_nodes];
    *node = (struct ferry_json_node){
        .start = (uint32_t)scan->at,
        .parent = scan->open,
        .after = doc->n_nodes + 1,
        .type = (uint8_t)type,
        .key = scan->key,
        .key_len = scan->key_len,
        .key_escaped = scan->key_escaped,
    };
    if (scan->open != FERRY_JSON_NONE)
        node->index = doc->nodes[scan->open].count++;
    scan->key = 0;
    *ret = doc->n_nodes++;
    return 0;
}

static int scan_scalar(struct scan *scan, enum ferry_json_type type)
{
    uint32_t v = FERRY_JSON_NONE;
    int r = new_node(scan, type, &v);
    if (r < 0)
        return r;
    bool escaped = false;
    scan->scalar = v;
    if (type == FERRY_JSON_STRING)
        r = scan_string(scan, &escaped);
    else if (type == FERRY_JSON_NUMBER)
        r = scan_number(scan, &escaped);
    else
        scan->at += scan->s[scan->at] == 'f' ? 5 : 4;
    scan->doc->nodes[v].escaped = escaped;
    scan->doc->nodes[v].end = (uint32_t)scan->at;
    scan->scalar = FERRY_JSON_NONE;
    return r;
}

static bool literal(const struct scan *scan, const char *word)
{
    size_t n = strlen(word);
    return scan->len - scan->at >= n && memcmp(scan->s + scan->at, word, n) == 0;
}

static int open_container(struct scan *scan, enum ferry_json_type type, enum expect *ret_next)
{
    uint32_t v = FERRY_JSON_NONE;
    if (scan->depth >= scan->doc->limits.depth)
        return fail(scan, scan->at, "nested deeper than %u levels", scan->doc->limits.depth);
    int r = new_node(scan, type, &v);
    if (r < 0)
        return r;
    scan->at++;
    scan->depth++;
    scan->open = v;
    *ret_next = FIRST;
    return 0;
}

static int scan_value(struct scan *scan, enum expect *ret_next)
{
    char c = scan->at < scan->len ? scan->s[scan->at] : '\0';
    if (c == '{' || c == '[')
        return open_container(scan, c == '{' ? FERRY_JSON_OBJECT : FERRY_JSON_ARRAY, ret_next);
    *ret_next = AFTER;
    if (c == '"')
        return scan_scalar(scan, FERRY_JSON_STRING);
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_scalar(scan, FERRY_JSON_NUMBER);
    if (literal(scan, "true") || literal(scan, "false"))
        return scan_scalar(scan, FERRY_JSON_BOOL);
    if (literal(scan, "null"))
        return scan_scalar(scan, FERRY_JSON_NULL);
    return unexpected(scan, "a value");
}

static int scan_key(struct scan *scan)
{
    if (scan->at >= scan->len || scan->s[scan->at] != '"')
        return unexpected(scan, "a key in double quotes");
    scan->key = (uint32_t)scan->at;
    int r = scan_string(scan, &scan->key_escaped);
    if (r < 0)
        return r;
    scan->key_len = (uint32_t)scan->at - scan->key - 2;
    skip_blanks(scan);
    if (scan->at >= scan->len || scan->s[scan->at] != ':')
        return unexpected(scan, "':'");
    scan->at++;
    return 0;
}

struct key {
    const char *bytes;
    size_t len;
    uint32_t node;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    int c = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    if (c == 0)
        c = (a->len > b->len) - (a->len < b->len);
    return c ? c : (a->node > b->node) - (a->node < b->node);
}

/* Sorting, not hashing: no file can make it slow. */
static int check_duplicates(struct scan *scan, uint32_t object)
{
    struct ferry_json *doc = scan->doc;
    size_t n = doc->nodes[object].count, i = 0;
    if (n < 2)
        return 0;
    FERRY_AUTOFREE struct key *keys = ferry_calloc(n, sizeof *keys);
    FERRY_JSON_EACH(doc, object, v)
    {
        keys[i].bytes = ferry_json_key_bytes(doc, v, &keys[i].len);
        keys[i++].node = v;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    uint32_t first = FERRY_JSON_NONE;
    for (i = 1; i < n; i++)
        if (keys[i - 1].len == keys[i].len && memcmp(keys[i - 1].bytes, keys[i].bytes, keys[i].len) == 0 &&
            keys[i].node < first)
            first = keys[i].node;
    return first == FERRY_JSON_NONE
               ? 0
               : ferry_json_error_key(doc, first, scan->err, "the key '%.80s' is there twice",
                                      ferry_json_key(doc, first));
}

static int close_container(struct scan *scan)
{
    struct ferry_json *doc = scan->doc;
    uint32_t v = scan->open;
    scan->at++;
    scan->depth--;
    doc->nodes[v].end = (uint32_t)scan->at;
    doc->nodes[v].after = doc->n_nodes;
    scan->open = doc->nodes[v].parent;
    return doc->nodes[v].type == FERRY_JSON_OBJECT ? check_duplicates(scan, v) : 0;
}

/* What follows a value inside an array or object. */
static int scan_after(struct scan *scan, enum expect *ret_next)
{
    bool object = scan->doc->nodes[scan->open].type == FERRY_JSON_OBJECT;
    char c = scan->at < scan->len ? scan->s[scan->at] : '\0';
    *ret_next = AFTER;
    if (c == (object ? '}' : ']'))
        return close_container(scan);
    if (c != ',')
        return unexpected(scan, object ? "',' or '}'" : "',' or ']'");
    scan->at++;
    *ret_next = object ? MEMBER : VALUE;
    return 0;
}

static int scan_document(struct scan *scan)
{
    enum expect next = VALUE;
    do {
        int r = 0;
        skip_blanks(scan);
        if (next == FIRST) {
            bool object = scan->doc->nodes[scan->open].type == FERRY_JSON_OBJECT;
            if (scan->at < scan->len && scan->s[scan->at] == (object ? '}' : ']')) {
                r = close_container(scan);
                next = AFTER;
            } else {
                next = object ? MEMBER : VALUE;
            }
        } else if (next == MEMBER) {
            r = scan_key(scan);
            next = VALUE;
        } else if (next == VALUE) {
            r = scan_value(scan, &next);
        } else {
            r = scan_after(scan, &next);
        }
        if (r < 0)
            return r;
    } while (next != AFTER || scan->open != FERRY_JSON_NONE);
    skip_blanks(scan);
    return scan->at < scan->len ? fail(scan, scan->at, "text after the end of the document") : 0;
}

int ferry_json_parse(const char *name, const char *text, size_t len, const struct ferry_json_limits *limits,
                     struct ferry_findings *findings, struct ferry_json **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = ferry_calloc(1, sizeof *doc);
    doc->name = ferry_strdup(name);
    doc->limits = limits ? *limits : ferry_json_limits_default;
    doc->findings = findings;
    struct scan scan = {.doc = doc, .len = len, .err = err};
    scan.open = scan.scalar = FERRY_JSON_NONE;
    if (len > doc->limits.bytes)
        return fail(&scan, 0, "more than %zu bytes", doc->limits.bytes);
    doc->text = ferry_calloc(len + 1, 1);
    memcpy(doc->text, text, len);
    doc->len = len;
    scan.s = doc->text;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return fail(&scan, 0, "a byte order mark: plain UTF-8 is expected");
    skip_blanks(&scan);
    if (scan.at == len)
        return fail(&scan, 0, "the file is empty");
    int r = scan_document(&scan);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(doc);
    return 0;
}

void ferry_json_free(struct ferry_json *doc)
{
    if (!doc)
        return;
    while (doc->chunks) {
        struct ferry_json_chunk *next = doc->chunks->next;
        free(doc->chunks);
        doc->chunks = next;
    }
    if (doc->tokener)
        json_tokener_free(doc->tokener);
    free(doc->lines);
    free(doc->nodes);
    free(doc->text);
    free(doc->name);
    free(doc);
}

void ferry_json_freep(struct ferry_json **doc)
{
    ferry_json_free(*doc);
}
