/* Reading the documents that we show.  See show.h.  SPDX-License-Identifier: MIT */
#include "ui/show.h"

#include "base/mem.h"
#include <string.h>
#include <time.h>

struct json_object *ui_member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    json_object_object_get_ex(object, key, &value);
    return value;
}

const char *ui_text(struct json_object *object, const char *key)
{
    struct json_object *value = ui_member(object, key);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

size_t ui_number(struct json_object *object, const char *key)
{
    struct json_object *value = ui_member(object, key);
    int64_t n = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
    return n > 0 ? (size_t)n : 0;
}

size_t ui_count(struct json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* Of RFC 3339 as ferry_time_text writes it; 0 for anything else. */
static uint64_t time_of(const char *text)
{
    struct tm tm = {0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;
    time_t at = end && !*end ? timegm(&tm) : 0;
    return at > 0 ? 1000000ull * (uint64_t)at : 0;
}

static enum ferry_txn_state state_of(const char *name)
{
    for (int s = FERRY_TXN_READY; name && s <= FERRY_TXN_PAUSED; s++)
        if (!strcmp(name, ferry_txn_state_name((enum ferry_txn_state)s)))
            return (enum ferry_txn_state)s;
    return FERRY_TXN_STUCK;
}

static char *copy(struct json_object *object, const char *key)
{
    return ferry_strdup(ui_text(object, key));
}

static enum ferry_hook_state hook_state_of(const char *name)
{
    for (int s = FERRY_HOOK_WAITING; name && s <= FERRY_HOOK_UNDO_FAILED; s++)
        if (!strcmp(name, ferry_hook_state_name((enum ferry_hook_state)s)))
            return (enum ferry_hook_state)s;
    return FERRY_HOOK_WAITING;
}

static enum ferry_boundary boundary_of(const char *name)
{
    for (int at = 0; name && at < FERRY_BOUNDARIES; at++)
        if (!strcmp(name, ferry_boundary_name((enum ferry_boundary)at)))
            return (enum ferry_boundary)at;
    return FERRY_BEFORE_PREPARE;
}

/* An argument vector; NULL where there is none. */
static char **words_of(struct json_object *list)
{
    char **words = ui_count(list) ? ferry_calloc(ui_count(list) + 1, sizeof *words) : NULL;
    for (size_t i = 0; i < ui_count(list); i++) {
        const char *word = json_object_get_string(json_object_array_get_idx(list, i));
        words[i] = ferry_strdup(word ? word : "");
    }
    return words;
}

static void take_hook(struct ferry_txn_record *r, struct json_object *doc)
{
    struct ferry_txn_hook *h = r->hooks = ferry_calloc(1, sizeof *h);
    r->n_hooks = 1;
    h->hook.at = boundary_of(ui_text(doc, "at"));
    h->state = hook_state_of(ui_text(doc, "state"));
    h->hook.pause = copy(doc, "pause");
    if (!h->hook.pause) {
        h->hook.run = words_of(ui_member(doc, "run"));
        h->hook.undo = words_of(ui_member(doc, "undo"));
    }
    if (!h->hook.pause && !h->hook.run && !h->hook.undo)
        h->hook.pause = ferry_strdup(""); /* something is printed of it */
    h->started_us = time_of(ui_text(doc, "started"));
    h->ended_us = time_of(ui_text(doc, "ended"));
    h->status = (int)ui_number(doc, "status");
    h->user = copy(doc, "user");
    h->output = copy(doc, "output");
    h->undo_output = copy(doc, "undo_output");
}

struct ferry_txn_record *ui_record_of(struct json_object *doc)
{
    struct ferry_txn_record *r = ferry_calloc(1, sizeof *r);
    struct json_object *hands = ui_member(doc, "needs_hand");
    const char *id = ui_text(doc, "id"), *plan = ui_text(doc, "plan");
    snprintf(r->id, sizeof r->id, "%s", id ? id : "");
    snprintf(r->plan_id, sizeof r->plan_id, "%s", plan ? plan : "");
    r->kind = copy(doc, "kind");
    r->undoes = copy(doc, "undoes");
    r->user = copy(doc, "user");
    r->reason = copy(doc, "reason");
    r->summary = copy(doc, "summary");
    r->state = state_of(ui_text(doc, "state"));
    r->started_us = time_of(ui_text(doc, "started"));
    r->ended_us = time_of(ui_text(doc, "ended"));
    r->deadline_us = time_of(ui_text(doc, "deadline"));
    r->stages_begun = ui_number(ui_member(doc, "paused"), "stages_begun");
    if (ui_member(ui_member(doc, "paused"), "hook"))
        take_hook(r, ui_member(ui_member(doc, "paused"), "hook"));
    r->hands = ferry_calloc(ui_count(hands), sizeof *r->hands);
    for (size_t i = 0; i < ui_count(hands); i++) {
        struct json_object *hand = json_object_array_get_idx(hands, i);
        r->hands[r->n_hands++] = (struct ferry_hand){copy(hand, "router"), copy(hand, "key"),
                                                     copy(hand, "expected"), copy(hand, "found")};
    }
    return r;
}
