/* Values, errors and pointers of a scanned JSON document; see json.h.  SPDX-License-Identifier: MIT */
#include "model/json_impl.h"

#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_FINDINGS 100

const char *ferry_json_type_name(enum ferry_json_type type)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "an array",      "an object"};
    return names[type];
}

/* ---- Decoding. ---- */

static char *arena(struct ferry_json *doc, size_t size)
{
    struct ferry_json_chunk *chunk = doc->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > 65536 ? size : 65536;
        chunk = ferry_realloc(NULL, sizeof *chunk + room, 1);
        *chunk = (struct ferry_json_chunk){.next = doc->chunks, .size = room};
        doc->chunks = chunk;
    }
    char *p = chunk->bytes + chunk->used;
    chunk->used += size;
    return p;
}

const void *ferry_json_arena(struct ferry_json *doc, const void *data, size_t len)
{
    return memcpy(arena(doc, len), data, len);
}

/* json-c's object of the bytes [start, end), which the scanner has found good. */
static struct json_object *parse_slice(struct ferry_json *doc, uint32_t start, uint32_t end)
{
    if (!doc->tokener) {
        doc->tokener = json_tokener_new_ex((int)doc->limits.depth + 1);
        if (!doc->tokener)
            abort(); /* out of memory, as everywhere */
        json_tokener_set_flags(doc->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    }
    json_tokener_reset(doc->tokener);
    struct json_object *o = json_tokener_parse_ex(doc->tokener, doc->text + start, (int)(end - start));
    if (json_tokener_get_error(doc->tokener) == json_tokener_continue) /* a number: nothing has ended it */
        o = json_tokener_parse_ex(doc->tokener, "", 1);
    return o;
}

const char *ferry_json_decode(struct ferry_json *doc, uint32_t quote, uint32_t len, bool escaped,
                              size_t *ret_len)
{
    struct json_object *o = escaped ? parse_slice(doc, quote, quote + len + 2) : NULL;
    const char *from = o ? json_object_get_string(o) : doc->text + quote + 1;
    size_t n = o ? (size_t)json_object_get_string_len(o) : len;
    char *copy = arena(doc, n + 1);
    memcpy(copy, from, n);
    copy[n] = '\0';
    json_object_put(o);
    if (ret_len)
        *ret_len = n;
    return copy;
}

const char *ferry_json_key_bytes(struct ferry_json *doc, uint32_t v, size_t *ret_len)
{
    const struct ferry_json_node *node = &doc->nodes[v];
    if (node->key_escaped)
        return ferry_json_decode(doc, node->key, node->key_len, true, ret_len);
    *ret_len = node->key_len;
    return doc->text + node->key + 1;
}

struct json_object *ferry_json_tree(struct ferry_json *doc, uint32_t v)
{
    return v == FERRY_JSON_NONE ? NULL : parse_slice(doc, doc->nodes[v].start, doc->nodes[v].end);
}

const char *ferry_json_text(const struct ferry_json *doc, size_t *ret_len)
{
    *ret_len = doc->len;
    return doc->text;
}

/* ---- Walking. ---- */

enum ferry_json_type ferry_json_type(const struct ferry_json *doc, uint32_t v)
{
    return doc->nodes[v].type;
}

uint32_t ferry_json_count(const struct ferry_json *doc, uint32_t v)
{
    return v == FERRY_JSON_NONE ? 0 : doc->nodes[v].count;
}

uint32_t ferry_json_first(const struct ferry_json *doc, uint32_t v)
{
    return ferry_json_count(doc, v) ? v + 1 : FERRY_JSON_NONE;
}

uint32_t ferry_json_next(const struct ferry_json *doc, uint32_t v)
{
    uint32_t next = doc->nodes[v].after;
    return next < doc->n_nodes && doc->nodes[next].parent == doc->nodes[v].parent ? next : FERRY_JSON_NONE;
}

const char *ferry_json_key(struct ferry_json *doc, uint32_t v)
{
    const struct ferry_json_node *node = &doc->nodes[v];
    return node->key ? ferry_json_decode(doc, node->key, node->key_len, node->key_escaped, NULL) : NULL;
}

static uint32_t find_key(struct ferry_json *doc, uint32_t object, const char *key, size_t len)
{
    FERRY_JSON_EACH(doc, object, v)
    {
        size_t n;
        const char *bytes = ferry_json_key_bytes(doc, v, &n);
        if (n == len && memcmp(bytes, key, n) == 0)
            return v;
    }
    return FERRY_JSON_NONE;
}

uint32_t ferry_json_get(struct ferry_json *doc, uint32_t object, const char *key)
{
    if (object == FERRY_JSON_NONE || doc->nodes[object].type != FERRY_JSON_OBJECT)
        return FERRY_JSON_NONE;
    return find_key(doc, object, key, strlen(key));
}

static uint32_t find_element(struct ferry_json *doc, uint32_t array, const char *digits)
{
    char *end;
    unsigned long long want = strtoull(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || (digits[0] == '0' && digits[1]) ||
        want >= doc->nodes[array].count)
        return FERRY_JSON_NONE;
    FERRY_JSON_EACH(doc, array, v)
    if (doc->nodes[v].index == want)
        return v;
    return FERRY_JSON_NONE;
}

uint32_t ferry_json_at(struct ferry_json *doc, const char *pointer)
{
    uint32_t v = FERRY_JSON_ROOT;
    FERRY_AUTOFREE char *token = ferry_calloc(strlen(pointer) + 1, 1);
    while (v != FERRY_JSON_NONE && *pointer == '/') {
        size_t n = 0;
        for (pointer++; *pointer && *pointer != '/'; pointer++) {
            bool tilde = *pointer == '~' && (pointer[1] == '0' || pointer[1] == '1');
            if (tilde)
                pointer++;
            token[n++] = !tilde ? *pointer : *pointer == '0' ? '~' : '/';
        }
        token[n] = '\0';
        if (doc->nodes[v].type == FERRY_JSON_OBJECT)
            v = find_key(doc, v, token, n);
        else
            v = doc->nodes[v].type == FERRY_JSON_ARRAY ? find_element(doc, v, token) : FERRY_JSON_NONE;
    }
    return *pointer ? FERRY_JSON_NONE : v;
}

/* ---- Positions and errors. ---- */

static void index_lines(struct ferry_json *doc)
{
    FERRY_GROW(doc->lines, doc->n_lines);
    doc->lines[doc->n_lines++] = 0;
    for (size_t i = 0; i < doc->len; i++) {
        if (doc->text[i] == '\n') {
            FERRY_GROW(doc->lines, doc->n_lines);
            doc->lines[doc->n_lines++] = (uint32_t)i + 1;
        }
    }
}

static void position(struct ferry_json *doc, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
    if (!doc->lines)
        index_lines(doc);
    size_t low = 0, high = doc->n_lines;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (doc->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    unsigned column = 1;
    for (size_t i = doc->lines[low]; i < offset; i++)
        column += ((unsigned char)doc->text[i] & 0xc0) != 0x80;
    *ret_line = (unsigned)low + 1;
    *ret_column = column;
}

void ferry_json_position(struct ferry_json *doc, uint32_t v, unsigned *ret_line, unsigned *ret_column)
{
    position(doc, doc->nodes[v].start, ret_line, ret_column);
}

/* Cuts a text that was too long for its buffer, and turns control characters into '?'. */
static void tidy(char *buf, size_t size, size_t needed)
{
    if (needed >= size) {
        size_t n = size - 4;
        while (n && ((unsigned char)buf[n] & 0xc0) == 0x80)
            n--;
        memcpy(buf + n, "...", 4);
    }
    ferry_text_tidy(buf);
}

static void append(char *buf, size_t size, size_t *n, char c)
{
    if (*n + 1 < size)
        buf[*n] = c;
    ++*n;
}

/* RFC 6901 §3: "~" is "~0" and "/" is "~1". */
static void append_token(char *buf, size_t size, size_t *n, const char *token)
{
    append(buf, size, n, '/');
    for (; *token; token++) {
        bool special = *token == '~' || *token == '/';
        append(buf, size, n, special ? '~' : *token);
        if (special)
            append(buf, size, n, *token == '~' ? '0' : '1');
    }
}

static void append_pointer(struct ferry_json *doc, uint32_t v, char *buf, size_t size, size_t *n)
{
    const struct ferry_json_node *node = &doc->nodes[v];
    char digits[16];
    if (node->parent == FERRY_JSON_NONE)
        return;
    append_pointer(doc, node->parent, buf, size, n); /* at most limits.depth deep */
    snprintf(digits, sizeof digits, "%" PRIu32, node->index);
    append_token(buf, size, n, node->key ? ferry_json_key(doc, v) : digits);
}

static void write_finding(struct ferry_json *doc, const struct ferry_finding *f, struct ferry_err *err)
{
    ferry_error(err, FERRY_EINPUT, "%s:%u:%u: %s%s%s", doc->name, f->line, f->column, f->pointer,
                f->pointer[0] ? ": " : "", f->text);
    tidy(err->text, sizeof err->text, 0);
}

int ferry_json_verror(struct ferry_json *doc, size_t offset, uint32_t v, const char *key,
                      struct ferry_err *err, const char *fmt, va_list args)
{
    struct ferry_finding f = {0};
    size_t n = 0;
    if (v != FERRY_JSON_NONE)
        append_pointer(doc, v, f.pointer, sizeof f.pointer, &n);
    if (key)
        append_token(f.pointer, sizeof f.pointer, &n, key);
    tidy(f.pointer, sizeof f.pointer, n);
    position(doc, offset, &f.line, &f.column);
    int needed = vsnprintf(f.text, sizeof f.text, fmt, args);
    tidy(f.text, sizeof f.text, needed > 0 ? (size_t)needed : 0);
    write_finding(doc, &f, err);
    if (doc->findings && doc->findings->n < MAX_FINDINGS) {
        FERRY_GROW(doc->findings->v, doc->findings->n);
        doc->findings->v[doc->findings->n++] = f;
    }
    return -FERRY_EINPUT;
}

int ferry_json_error(struct ferry_json *doc, uint32_t v, struct ferry_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int r = ferry_json_verror(doc, doc->nodes[v].start, v, NULL, err, fmt, args);
    va_end(args);
    return r;
}

int ferry_json_error_key(struct ferry_json *doc, uint32_t v, struct ferry_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int r = ferry_json_verror(doc, doc->nodes[v].key, v, NULL, err, fmt, args);
    va_end(args);
    return r;
}

/* ---- Typed values. ---- */

int ferry_json_want(struct ferry_json *doc, uint32_t v, enum ferry_json_type type, struct ferry_err *err)
{
    enum ferry_json_type found = doc->nodes[v].type;
    return found == type ? 0
                         : ferry_json_error(doc, v, err, "%s is expected, found %s",
                                            ferry_json_type_name(type), ferry_json_type_name(found));
}

int ferry_json_string(struct ferry_json *doc, uint32_t v, const char **ret, struct ferry_err *err)
{
    const struct ferry_json_node *node = &doc->nodes[v];
    int r = ferry_json_want(doc, v, FERRY_JSON_STRING, err);
    if (r == 0)
        *ret = ferry_json_decode(doc, node->start, node->end - node->start - 2, node->escaped, NULL);
    return r;
}

/* False where it does not fit. */
static bool to_int(const char *s, size_t n, int64_t *ret)
{
    bool minus = *s == '-';
    int64_t value = 0;
    for (size_t i = minus; i < n; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, minus ? '0' - s[i] : s[i] - '0', &value))
            return false;
    *ret = value;
    return true;
}

int ferry_json_int(struct ferry_json *doc, uint32_t v, int64_t min, int64_t max, int64_t *ret,
                   struct ferry_err *err)
{
    const struct ferry_json_node *node = &doc->nodes[v];
    int64_t value = 0;
    if (node->type != FERRY_JSON_NUMBER)
        return ferry_json_error(doc, v, err, "a whole number is expected, found %s",
                                ferry_json_type_name(node->type));
    const char *text = doc->text + node->start;
    size_t n = node->end - node->start;
    if (node->escaped)
        return ferry_json_error(doc, v, err, "a whole number is expected, found %.*s", n < 40 ? (int)n : 40,
                                text);
    if (!to_int(text, n, &value) || value < min || value > max)
        return ferry_json_error(doc, v, err, "%.*s is out of range: %" PRId64 " to %" PRId64,
                                n < 40 ? (int)n : 40, text, min, max);
    *ret = value;
    return 0;
}

int ferry_json_double(struct ferry_json *doc, uint32_t v, double *ret, struct ferry_err *err)
{
    int r = ferry_json_want(doc, v, FERRY_JSON_NUMBER, err);
    if (r < 0)
        return r;
    struct json_object *o = ferry_json_tree(doc, v);
    double value = o ? json_object_get_double(o) : NAN;
    json_object_put(o);
    if (!isfinite(value))
        return ferry_json_error(doc, v, err, "the number is out of range");
    *ret = value;
    return 0;
}

int ferry_json_bool(struct ferry_json *doc, uint32_t v, bool *ret, struct ferry_err *err)
{
    int r = ferry_json_want(doc, v, FERRY_JSON_BOOL, err);
    if (r == 0)
        *ret = doc->text[doc->nodes[v].start] == 't';
    return r;
}

/* Edits (insert, drop, change) from a to b; for short words. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], na = strlen(a), nb = strlen(b);
    if (na > 40 || nb + 1 > FERRY_COUNT(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
        }
    }
    return row[nb];
}

static int unknown_key(struct ferry_json *doc, uint32_t v, const char *key, const char *const *known,
                       struct ferry_err *err)
{
    const char *best = NULL;
    size_t least = strlen(key) < 5 ? 2 : 3; /* more edits than that are another word */
    for (; *known; known++) {
        size_t d = distance(key, *known);
        if (d < least) {
            best = *known;
            least = d;
        }
    }
    return best ? ferry_json_error_key(doc, v, err, "unknown key '%.80s'; did you mean '%s'?", key, best)
                : ferry_json_error_key(doc, v, err, "unknown key '%.80s'", key);
}

int ferry_json_keys(struct ferry_json *doc, uint32_t object, const char *const *known, struct ferry_err *err)
{
    struct ferry_err later;
    int result = 0;
    FERRY_JSON_EACH(doc, object, v)
    {
        const char *key = ferry_json_key(doc, v);
        const char *const *k = known;
        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k && strncmp(key, "x-", 2) != 0)
            result = unknown_key(doc, v, key, known, result ? &later : err);
    }
    return result;
}

int ferry_json_opt(struct ferry_json *doc, uint32_t object, const char *key, enum ferry_json_type type,
                   uint32_t *ret, struct ferry_err *err)
{
    uint32_t v = ferry_json_get(doc, object, key);
    int r = v == FERRY_JSON_NONE ? 0 : ferry_json_want(doc, v, type, err);
    if (r == 0 && v != FERRY_JSON_NONE)
        *ret = v;
    return r;
}

/* `v` or the error that it is missing. */
static int need(struct ferry_json *doc, uint32_t object, const char *key, uint32_t *ret,
                struct ferry_err *err)
{
    uint32_t v = ferry_json_get(doc, object, key);
    if (v == FERRY_JSON_NONE)
        return ferry_json_error(doc, object, err, "'%s' is missing", key);
    *ret = v;
    return 0;
}

int ferry_json_need(struct ferry_json *doc, uint32_t object, const char *key, enum ferry_json_type type,
                    uint32_t *ret, struct ferry_err *err)
{
    uint32_t v = FERRY_JSON_NONE;
    int r = need(doc, object, key, &v, err);
    if (r == 0)
        r = ferry_json_want(doc, v, type, err);
    if (r == 0)
        *ret = v;
    return r;
}

int ferry_json_need_string(struct ferry_json *doc, uint32_t object, const char *key, const char **ret,
                           struct ferry_err *err)
{
    uint32_t v = FERRY_JSON_NONE;
    int r = need(doc, object, key, &v, err);
    return r < 0 ? r : ferry_json_string(doc, v, ret, err);
}

int ferry_json_opt_string(struct ferry_json *doc, uint32_t object, const char *key, const char **ret,
                          struct ferry_err *err)
{
    uint32_t v = ferry_json_get(doc, object, key);
    return v == FERRY_JSON_NONE ? 0 : ferry_json_string(doc, v, ret, err);
}

int ferry_json_need_int(struct ferry_json *doc, uint32_t object, const char *key, int64_t min, int64_t max,
                        int64_t *ret, struct ferry_err *err)
{
    uint32_t v = FERRY_JSON_NONE;
    int r = need(doc, object, key, &v, err);
    return r < 0 ? r : ferry_json_int(doc, v, min, max, ret, err);
}

int ferry_json_opt_int(struct ferry_json *doc, uint32_t object, const char *key, int64_t min, int64_t max,
                       int64_t *ret, struct ferry_err *err)
{
    uint32_t v = ferry_json_get(doc, object, key);
    return v == FERRY_JSON_NONE ? 0 : ferry_json_int(doc, v, min, max, ret, err);
}

int ferry_json_opt_bool(struct ferry_json *doc, uint32_t object, const char *key, bool *ret,
                        struct ferry_err *err)
{
    uint32_t v = ferry_json_get(doc, object, key);
    return v == FERRY_JSON_NONE ? 0 : ferry_json_bool(doc, v, ret, err);
}
