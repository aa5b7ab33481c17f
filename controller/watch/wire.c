/* Lines, requests and replies; see wire.h.  SPDX-License-Identifier: MIT */
#include "watch/wire.h"

#include "base/mem.h"
#include "model/json.h"
#include <ferry/txn.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* ---- Lines. ---- */

void ferry_wire_feed(struct ferry_wire_lines *lines, const char *bytes, size_t n)
{
    if (lines->overlong || !n)
        return;
    if (lines->n + n > lines->room) {
        size_t room = lines->room ? lines->room : 512;
        while (room < lines->n + n)
            room *= 2;
        lines->bytes = ferry_realloc(lines->bytes, room, 1);
        lines->room = room;
    }
    memcpy(lines->bytes + lines->n, bytes, n);
    lines->n += n;
}

int ferry_wire_next(struct ferry_wire_lines *lines, char **ret, size_t *ret_len, struct ferry_err *err)
{
    char *end = lines->n > lines->scanned
                    ? memchr(lines->bytes + lines->scanned, '\n', lines->n - lines->scanned)
                    : NULL;
    size_t len = end ? (size_t)(end - lines->bytes) : lines->n;
    if (lines->overlong || len > lines->most) {
        lines->overlong = true;
        return ferry_error(err, FERRY_EINPUT, "a line of more than %zu bytes", lines->most);
    }
    lines->scanned = lines->n;
    if (!end)
        return 0;
    char *line = ferry_calloc(len + 1, 1);
    memcpy(line, lines->bytes, len);
    memmove(lines->bytes, end + 1, lines->n - len - 1);
    lines->n -= len + 1;
    lines->scanned = 0;
    *ret = line;
    *ret_len = len;
    return 1;
}

void ferry_wire_lines_clear(struct ferry_wire_lines *lines)
{
    free(lines->bytes);
    *lines = (struct ferry_wire_lines){.most = lines->most};
}

/* ---- Requests. ---- */

static const char *const verbs[] = {
    [FERRY_WIRE_HELLO] = "hello",         [FERRY_WIRE_WATCH] = "watch",     [FERRY_WIRE_STATUS] = "status",
    [FERRY_WIRE_READINESS] = "readiness", [FERRY_WIRE_CONFIRM] = "confirm", [FERRY_WIRE_EXTEND] = "extend",
};

const char *ferry_wire_verb_name(enum ferry_wire_verb verb)
{
    return verbs[verb];
}

bool ferry_wire_verb_writes(enum ferry_wire_verb verb)
{
    return verb == FERRY_WIRE_CONFIRM || verb == FERRY_WIRE_EXTEND;
}

static int find_verb(struct ferry_json *doc, const char *name, enum ferry_wire_verb *ret,
                     struct ferry_err *err)
{
    for (size_t i = 0; i < FERRY_COUNT(verbs); i++)
        if (!strcmp(name, verbs[i])) {
            *ret = (enum ferry_wire_verb)i;
            return 0;
        }
    return ferry_json_error(doc, ferry_json_get(doc, FERRY_JSON_ROOT, "request"), err,
                            "unknown request '%.40s'", name);
}

bool ferry_wire_is_tx(const char *text)
{
    return !strcmp(text, "last") || (*text && strlen(text) <= 23 && !text[strspn(text, "0123456789abcdef-")]);
}

static int read_tx(struct ferry_json *doc, char ret[static 24], struct ferry_err *err)
{
    const char *tx = NULL;
    int r = ferry_json_opt_string(doc, FERRY_JSON_ROOT, "tx", &tx, err);
    if (r < 0 || !tx)
        return r;
    if (!ferry_wire_is_tx(tx))
        return ferry_json_error(doc, ferry_json_get(doc, FERRY_JSON_ROOT, "tx"), err,
                                "no id of a transaction");
    strcpy(ret, tx);
    return 0;
}

static int read_members(struct ferry_json *doc, struct ferry_wire_request *ret, struct ferry_err *err)
{
    static const char *const plain[] = {"ferry", "request", NULL};
    static const char *const confirm[] = {"ferry", "request", "tx", NULL};
    static const char *const extend[] = {"ferry", "request", "tx", "seconds", NULL};
    struct ferry_wire_request request = {0};
    const char *name;
    int64_t version, seconds = 0;
    int r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "ferry", 1, 1, &version, err);
    if (r == 0)
        r = ferry_json_need_string(doc, FERRY_JSON_ROOT, "request", &name, err);
    if (r == 0)
        r = find_verb(doc, name, &request.verb, err);
    if (r == 0)
        r = ferry_json_keys(doc, FERRY_JSON_ROOT,
                            request.verb == FERRY_WIRE_EXTEND    ? extend
                            : request.verb == FERRY_WIRE_CONFIRM ? confirm
                                                                 : plain,
                            err);
    if (r == 0)
        r = read_tx(doc, request.tx, err);
    if (r == 0 && request.verb == FERRY_WIRE_EXTEND)
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "seconds", 1, FERRY_EXTEND_MOST_S, &seconds, err);
    if (r < 0)
        return r;
    request.seconds = (unsigned)seconds;
    *ret = request;
    return 0;
}

int ferry_wire_parse(const char *line, size_t len, struct ferry_wire_request *ret, struct ferry_err *err)
{
    static const struct ferry_json_limits limits = {
        .bytes = FERRY_WIRE_REQUEST_MAX, .values = 16, .depth = 2};
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_parse("request", line, len, &limits, NULL, &doc, err);
    if (r == 0)
        r = ferry_json_want(doc, FERRY_JSON_ROOT, FERRY_JSON_OBJECT, err);
    return r == 0 ? read_members(doc, ret, err) : r;
}

/* ---- Writing. ---- */

/* One line of a document, which it drops. */
static char *line_of(struct json_object *doc)
{
    char *line = ferry_json_write(doc, false);
    json_object_put(doc);
    return line;
}

char *ferry_wire_request_line(const struct ferry_wire_request *request)
{
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "ferry", json_object_new_int(1));
    json_object_object_add(doc, "request", json_object_new_string(verbs[request->verb]));
    if (request->tx[0])
        json_object_object_add(doc, "tx", json_object_new_string(request->tx));
    if (request->verb == FERRY_WIRE_EXTEND)
        json_object_object_add(doc, "seconds", json_object_new_int64(request->seconds));
    return line_of(doc);
}

static struct json_object *reply(const char *type)
{
    struct json_object *doc = json_object_new_object();
    json_object_object_add(doc, "type", json_object_new_string(type));
    return doc;
}

char *ferry_wire_progress_line(const char *text)
{
    struct json_object *doc = reply("progress");
    json_object_object_add(doc, "text", json_object_new_string(text));
    return line_of(doc);
}

char *ferry_wire_alive_line(void)
{
    return line_of(reply("alive"));
}

char *ferry_wire_result_line(struct json_object *result)
{
    struct json_object *doc = reply("result");
    json_object_object_add(doc, "result", result);
    return line_of(doc);
}

static const char *const kinds[] = {
    [FERRY_EIO] = "error",        [FERRY_EUSAGE] = "usage",         [FERRY_EINPUT] = "input",
    [FERRY_EDRIFT] = "drift",     [FERRY_EREFUSED] = "refused",     [FERRY_ELOCKED] = "locked",
    [FERRY_EUNKNOWN] = "unknown", [FERRY_ESUPPORT] = "unsupported",
};

char *ferry_wire_error_line(int code, const struct ferry_err *err)
{
    struct json_object *doc = reply("error"), *error = json_object_new_object();
    json_object_object_add(error, "kind", json_object_new_string(kinds[-code]));
    json_object_object_add(error, "rule", err->rule[0] ? json_object_new_string(err->rule) : NULL);
    json_object_object_add(error, "message", json_object_new_string(err->text));
    json_object_object_add(doc, "error", error);
    return line_of(doc);
}

/* ---- Replies. ---- */

static const char *member(struct ferry_json *doc, uint32_t object, const char *key)
{
    const char *text = NULL;
    struct ferry_err ignored;
    uint32_t v = ferry_json_get(doc, object, key);
    return v != FERRY_JSON_NONE && ferry_json_type(doc, v) == FERRY_JSON_STRING &&
                   ferry_json_string(doc, v, &text, &ignored) == 0
               ? text
               : NULL;
}

static int read_error(struct ferry_json *doc, int *ret_code, struct ferry_err *err)
{
    uint32_t error = ferry_json_get(doc, FERRY_JSON_ROOT, "error");
    const char *kind = member(doc, error, "kind"), *rule = member(doc, error, "rule");
    const char *message = member(doc, error, "message");
    *ret_code = -FERRY_EIO;
    for (int i = FERRY_EIO; kind && i <= FERRY_ESUPPORT; i++)
        if (!strcmp(kind, kinds[i]))
            *ret_code = -i;
    snprintf(err->rule, sizeof err->rule, "%s", rule ? rule : "");
    snprintf(err->text, sizeof err->text, "%s", message ? message : "the daemon gave no reason");
    return 0;
}

int ferry_wire_reply(const char *line, size_t len, enum ferry_wire_reply *ret,
                     struct json_object **ret_result, int *ret_code, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_parse("reply", line, len, NULL, NULL, &doc, err);
    const char *type = r == 0 ? member(doc, FERRY_JSON_ROOT, "type") : NULL, *text;
    if (!type)
        return ferry_error(err, FERRY_EIO, "what answers is no ferryd");
    if (!strcmp(type, "alive")) {
        *ret = FERRY_WIRE_ALIVE;
    } else if (!strcmp(type, "progress")) {
        *ret = FERRY_WIRE_PROGRESS;
        text = member(doc, FERRY_JSON_ROOT, "text");
        snprintf(err->text, sizeof err->text, "%s", text ? text : "");
    } else if (!strcmp(type, "result")) {
        uint32_t result = ferry_json_get(doc, FERRY_JSON_ROOT, "result");
        *ret = FERRY_WIRE_RESULT;
        *ret_result = result == FERRY_JSON_NONE ? NULL : ferry_json_tree(doc, result);
    } else if (!strcmp(type, "error")) {
        *ret = FERRY_WIRE_ERROR;
        return read_error(doc, ret_code, err);
    } else {
        return ferry_error(err, FERRY_EIO, "what answers is no ferryd");
    }
    return 0;
}
