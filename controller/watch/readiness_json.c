/* Readiness as a document: `readiness` of `ferry status --readiness --json`.  SPDX-License-Identifier: MIT */
#include "watch/readiness.h"

#include "watch/documents.h"
#include <json-c/json.h>

static struct json_object *text_or_null(const char *text)
{
    return text && *text ? json_object_new_string(text) : NULL;
}

static struct json_object *move_json(const struct ferry_topology *t, const struct ferry_ready_move *move)
{
    struct json_object *o = json_object_new_object();
    char at[32];
    json_object_object_add(o, "to", json_object_new_string(t->sites[move->to].name));
    json_object_object_add(o, "ready", json_object_new_boolean(move->ready));
    json_object_object_add(o, "rule", text_or_null(move->why.rule));
    json_object_object_add(o, "why", text_or_null(move->why.text));
    json_object_object_add(o, "stages", json_object_new_int64((int64_t)move->n_stages));
    json_object_object_add(o, "last_drill",
                           move->drilled_us ? json_object_new_string(ferry_time_text(move->drilled_us, at))
                                            : NULL);
    json_object_object_add(o, "drill", text_or_null(move->drill));
    json_object_object_add(o, "last_test",
                           move->tested_us ? json_object_new_string(ferry_time_text(move->tested_us, at))
                                           : NULL);
    json_object_object_add(o, "test", text_or_null(move->test));
    return o;
}

struct json_object *ferry_readiness_json(const struct ferry_readiness *readiness)
{
    const struct ferry_topology *t = readiness->topology;
    struct json_object *doc = json_object_new_object(), *subnets = json_object_new_array(), *moves = NULL;
    uint32_t last = FERRY_NONE;
    for (size_t i = 0; i < readiness->n_moves; i++) {
        const struct ferry_ready_move *move = &readiness->moves[i];
        if (move->subnet != last) {
            struct json_object *o = json_object_new_object();
            moves = json_object_new_array();
            json_object_object_add(o, "name", json_object_new_string(t->subnets[move->subnet].name));
            json_object_object_add(
                o, "active",
                move->from == FERRY_NONE ? NULL : json_object_new_string(t->sites[move->from].name));
            json_object_object_add(o, "moves", moves);
            json_object_array_add(subnets, o);
            last = move->subnet;
        }
        json_object_array_add(moves, move_json(t, move));
    }
    json_object_object_add(doc, "ready", json_object_new_boolean(ferry_readiness_whole(readiness)));
    json_object_object_add(doc, "subnets", subnets);
    return doc;
}
