/* Reads hooks, of a topology or of a plan, which write them alike.  See ferry/hook.h.
 * SPDX-License-Identifier: MIT */
#include "model/load_hooks.h"

#include "base/duration.h"
#include "base/mem.h"

#include <string.h>

#define ARGUMENTS_MAX 64
#define HOOKS_MAX     64 /* at one boundary */

/* Control characters would spoil reports, and are no part of a sensible command. */
static int plain_text(struct ferry_json *doc, uint32_t v, const char **ret, struct ferry_err *err)
{
    const char *text;
    int r = ferry_json_string(doc, v, &text, err);
    if (r < 0)
        return r;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            return ferry_json_error(doc, v, err, "control characters are not taken here");
    *ret = text;
    return 0;
}

static int load_argv(struct ferry_json *doc, uint32_t object, const char *key, char ***ret,
                     struct ferry_err *err)
{
    uint32_t array = FERRY_JSON_NONE;
    int r = ferry_json_opt(doc, object, key, FERRY_JSON_ARRAY, &array, err);
    if (r < 0 || array == FERRY_JSON_NONE)
        return r;
    uint32_t n = ferry_json_count(doc, array), i = 0;
    if (n == 0 || n > ARGUMENTS_MAX)
        return ferry_json_error(doc, array, err, "a program and at most %d arguments are expected",
                                ARGUMENTS_MAX - 1);
    *ret = ferry_calloc(n + 1, sizeof **ret);
    FERRY_JSON_EACH(doc, array, v)
    {
        const char *text;
        r = plain_text(doc, v, &text, err);
        if (r < 0)
            return r;
        if (i == 0 && text[0] != '/')
            return ferry_json_error(doc, v, err,
                                    "'%.80s' is no absolute path: no shell and no PATH looks for it", text);
        (*ret)[i++] = ferry_strdup(text);
    }
    return 0;
}

static int load_timeout(struct ferry_json *doc, uint32_t object, unsigned *ret, struct ferry_err *err)
{
    const char *text = NULL;
    uint64_t us;
    int r = ferry_json_opt_string(doc, object, "timeout", &text, err);
    if (r < 0 || !text)
        return r;
    if (!ferry_duration_parse(text, &us) || us == 0 || us % 1000000 ||
        us > 1000000ull * FERRY_HOOK_TIMEOUT_MOST_S)
        return ferry_json_error(doc, ferry_json_get(doc, object, "timeout"), err,
                                "'%.40s' is no time limit: whole seconds from 1s to 24h, as 90s, 5m, 2h",
                                text);
    *ret = (unsigned)(us / 1000000);
    return 0;
}

static int load_on_failure(struct ferry_json *doc, uint32_t object, struct ferry_hook *h,
                           struct ferry_err *err)
{
    const char *text = "undo";
    int r = ferry_json_opt_string(doc, object, "on-failure", &text, err);
    if (r < 0)
        return r;
    h->pause_on_failure = !strcmp(text, "pause");
    uint32_t v = ferry_json_get(doc, object, "on-failure");
    if (!h->pause_on_failure && strcmp(text, "undo"))
        return ferry_json_error(doc, v, err, "'%.40s' is neither undo nor pause", text);
    if (h->pause_on_failure && ferry_boundary_in_outage(h->at))
        return ferry_json_error(doc, v, err,
                                "a failure between detach and attach is undone: a pause would be outage");
    return 0;
}

static int load_program(struct ferry_json *doc, uint32_t object, struct ferry_hook *h, struct ferry_err *err)
{
    static const char *const known[] = {"run", "undo", "timeout", "on-failure", NULL};
    int r = ferry_json_keys(doc, object, known, err);
    if (r == 0)
        r = load_argv(doc, object, "run", &h->run, err);
    if (r == 0)
        r = load_argv(doc, object, "undo", &h->undo, err);
    if (r == 0)
        r = load_timeout(doc, object, &h->timeout_s, err);
    if (r == 0)
        r = load_on_failure(doc, object, h, err);
    if (r == 0 && !h->run && !h->undo)
        r = ferry_json_error(doc, object, err, "'run' is missing: [PROGRAM, ARGUMENT, …]");
    return r;
}

static int load_pause(struct ferry_json *doc, uint32_t object, struct ferry_hook *h, struct ferry_err *err)
{
    static const char *const keys[] = {"pause", "undo"}, *const known[] = {"pause", "undo", NULL};
    char **slots[] = {&h->pause, &h->pause_undo};
    int r = ferry_json_keys(doc, object, known, err);
    for (size_t i = 0; r == 0 && i < FERRY_COUNT(keys); i++) {
        uint32_t v = ferry_json_get(doc, object, keys[i]);
        const char *text = NULL;
        if (v == FERRY_JSON_NONE)
            continue;
        r = plain_text(doc, v, &text, err);
        if (r == 0 && !*text)
            r = ferry_json_error(doc, v, err, "a pause says what a person shall do");
        if (r == 0)
            *slots[i] = ferry_strdup(text);
    }
    return r;
}

static int load_hook(struct ferry_json *doc, uint32_t v, enum ferry_boundary at, struct ferry_hooks *ret,
                     struct ferry_err *err)
{
    struct ferry_hook h = {.at = at, .timeout_s = FERRY_HOOK_TIMEOUT_S};
    int r = ferry_json_want(doc, v, FERRY_JSON_OBJECT, err);
    uint32_t undo = r < 0 ? FERRY_JSON_NONE : ferry_json_get(doc, v, "undo");
    bool pause = r == 0 && (ferry_json_get(doc, v, "pause") != FERRY_JSON_NONE ||
                            (undo != FERRY_JSON_NONE && ferry_json_type(doc, undo) == FERRY_JSON_STRING));
    if (pause && ferry_json_get(doc, v, "run") != FERRY_JSON_NONE)
        r = ferry_json_error(doc, v, err, "'run' and 'pause' exclude each other");
    if (r == 0)
        r = pause ? load_pause(doc, v, &h, err) : load_program(doc, v, &h, err);
    ferry_hooks_add(ret, &h); /* also a broken one: it is freed with the rest */
    return r;
}

int ferry_hooks_load(struct ferry_json *doc, uint32_t object, struct ferry_hooks *ret, struct ferry_err *err)
{
    const char *known[FERRY_BOUNDARIES + 1] = {NULL};
    int first = 0;
    for (unsigned i = 0; i < FERRY_BOUNDARIES; i++)
        known[i] = ferry_boundary_name((enum ferry_boundary)i);
    first = ferry_json_keys(doc, object, known, err);
    for (unsigned i = 0; i < FERRY_BOUNDARIES; i++) {
        uint32_t array = FERRY_JSON_NONE;
        int r = ferry_json_opt(doc, object, known[i], FERRY_JSON_ARRAY, &array, err);
        if (r == 0 && ferry_json_count(doc, array) > HOOKS_MAX)
            r = ferry_json_error(doc, array, err, "more than %d hooks", HOOKS_MAX);
        if (r < 0) {
            first = r;
            continue;
        }
        FERRY_JSON_EACH(doc, array, v)
        {
            r = load_hook(doc, v, (enum ferry_boundary)i, ret, err);
            first = first ? first : r;
        }
    }
    return first;
}
