/* What follows from a look: what drifted since the last one, who is gone, who came back.
 * SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"
#include "watch/documents.h"
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* ---- Drift. ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static struct ferryd_note *find(const struct ferryd_sight *sight, const struct ferryd_note *note)
{
    for (size_t i = 0; i < sight->n_notes; i++) {
        struct ferryd_note *other = &sight->notes[i];
        if (same_text(other->subnet, note->subnet) && same_text(other->router, note->router) &&
            same_text(other->what, note->what))
            return other;
    }
    return NULL;
}

static const char *note_text(const struct ferryd_note *note, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s: %s%s%s", note->subnet, note->router ? ": " : "",
             note->router ? note->router : "", note->what, note->text[0] ? ": " : "", note->text);
    return buf;
}

static void compare(const struct ferryd_sight *old, struct ferryd_sight *new)
{
    char text[600];
    for (size_t i = 0; i < new->n_notes; i++) {
        const struct ferryd_note *known = find(old, &new->notes[i]);
        new->notes[i].since_us = known ? known->since_us : new->at_us;
        if (!known)
            ferryd_log(4, NULL, "drift: %s", note_text(&new->notes[i], text, sizeof text));
    }
    for (size_t i = 0; i < old->n_notes; i++)
        if (!find(new, &old->notes[i]))
            ferryd_log(5, NULL, "drift is gone: %s", note_text(&old->notes[i], text, sizeof text));
}

/* ---- Routers that go and come. ---- */

static void came_back(struct ferryd *d, uint32_t router)
{
    ferryd_log(5, NULL, "%s can be reached again", d->site->topology->routers[router].name);
    ferryd_look_watch(d, router);
    ferryd_rest_over(&d->deliver_rest); /* what was in the way may be gone with this */
    if (d->known.tx[0] && d->known.tx_state == FERRY_TXN_STUCK && d->options->recover)
        ferryd_settle(d, "a router came back");
}

static void went(struct ferryd *d, uint32_t router)
{
    const struct ferry_live *live = d->site->status.live; /* no look is under way: this one has just ended */
    ferryd_log(4, NULL, "%s cannot be read: %s", d->site->topology->routers[router].name,
               live->unreachable_why[router].text);
    ferryd_look_router(d, router); /* once more, over a fresh connection */
}

static void routers(struct ferryd *d, const bool *old, size_t n_old)
{
    for (uint32_t i = 0; i < d->known.n_routers; i++) {
        bool was = i < n_old && old[i];
        if (d->known.unreachable[i] && !was)
            went(d, i);
        else if (!d->known.unreachable[i] && was)
            came_back(d, i);
    }
}

/* ---- All of it. ---- */

static void keep_routers(struct ferryd_sight *new, struct ferryd_sight *old)
{
    new->notes = FERRY_STEAL(old->notes);
    new->n_notes = old->n_notes;
    new->owing = old->owing;
    new->unreachable = FERRY_STEAL(old->unreachable);
    new->n_routers = old->n_routers;
    new->n_unreachable = old->n_unreachable;
    new->at_us = old->at_us;
    old->n_notes = old->n_routers = 0;
}

void ferryd_take_sight(struct ferryd *d, struct ferryd_sight *sight)
{
    struct ferryd_sight old = d->known;
    bool judged = sight->judged;
    if (!sight->journal) {
        ferryd_sight_clear(sight);
        return;
    }
    if (judged)
        compare(&old, sight);
    else
        keep_routers(sight, &old);
    d->known = *sight;
    *sight = (struct ferryd_sight){0};
    if (judged)
        routers(d, old.unreachable, old.n_routers);
    ferryd_sight_clear(&old);
    ferryd_settle_consider(d);
    if (judged)
        ferryd_deliver_consider(d);
    ferryd_say_status(d);
}

/* ---- For people. ---- */

static void append(char *text, size_t size, const char *more)
{
    size_t n = strlen(text);
    snprintf(text + n, size - n, "%s%s", n ? "; " : "", more);
}

void ferryd_say_status(struct ferryd *d)
{
    const struct ferryd_sight *known = &d->known;
    char text[900] = "", part[700], at[32];
    if (d->problem[0])
        append(text, sizeof text, d->problem);
    if (known->tx[0] && known->deadline_us) {
        snprintf(part, sizeof part, "%s awaits its confirmation until %s", known->tx,
                 ferry_time_text(known->deadline_us, at));
        append(text, sizeof text, part);
    } else if (known->tx[0]) {
        snprintf(part, sizeof part, "%s %s", known->tx,
                 d->settling                           ? "is being settled"
                 : known->running                      ? "runs"
                 : known->tx_state == FERRY_TXN_STUCK  ? "is stuck: a person is needed"
                 : known->tx_state == FERRY_TXN_PAUSED ? "is paused: a person is asked for"
                                                       : "has not ended");
        append(text, sizeof text, part);
    }
    if (!d->site) {
        append(text, sizeof text, "no topology");
    } else if (!known->at_us || !known->unreachable) {
        append(text, sizeof text, "reading the routers");
    } else {
        snprintf(part, sizeof part, "%zu routers, %zu subnets", known->n_routers,
                 d->site->topology->n_subnets);
        append(text, sizeof text, part);
        if (known->n_unreachable) {
            snprintf(part, sizeof part, "%zu unreachable", known->n_unreachable);
            append(text, sizeof text, part);
        }
        snprintf(part, sizeof part, known->n_notes ? "drift (%zu): " : "no drift", known->n_notes);
        if (known->n_notes)
            note_text(&known->notes[0], part + strlen(part), sizeof part - strlen(part));
        append(text, sizeof text, part);
    }
    if (d->ready >= 0)
        append(text, sizeof text, d->ready ? "ready" : "NOT ready");
    if (!strcmp(text, d->said))
        return;
    snprintf(d->said, sizeof d->said, "%s", text);
    sd_notifyf(0, "STATUS=%s", text);
}

static struct json_object *text_or_null(const char *text)
{
    return text && *text ? json_object_new_string(text) : NULL;
}

static struct json_object *time_or_null(uint64_t us)
{
    char at[32];
    return us ? json_object_new_string(ferry_time_text(us, at)) : NULL;
}

static struct json_object *note_json(const struct ferryd_note *note)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "subnet", text_or_null(note->subnet));
    json_object_object_add(o, "router", text_or_null(note->router));
    json_object_object_add(o, "what", text_or_null(note->what));
    json_object_object_add(o, "text", text_or_null(note->text));
    json_object_object_add(o, "since", time_or_null(note->since_us));
    return o;
}

struct json_object *ferryd_watch_json(const struct ferryd *d)
{
    const struct ferryd_sight *known = &d->known;
    struct json_object *doc = json_object_new_object(), *drift = json_object_new_array();
    struct json_object *unreachable = json_object_new_array();
    for (size_t i = 0; i < known->n_notes; i++)
        json_object_array_add(drift, note_json(&known->notes[i]));
    for (size_t i = 0; d->site && i < known->n_routers; i++)
        if (known->unreachable[i])
            json_object_array_add(unreachable, json_object_new_string(d->site->topology->routers[i].name));
    json_object_object_add(doc, "drift", drift);
    json_object_object_add(doc, "unreachable", unreachable);
    json_object_object_add(doc, "read", known->unreachable ? time_or_null(known->at_us) : NULL);
    json_object_object_add(doc, "unfinished", text_or_null(known->tx));
    json_object_object_add(doc, "deadline", time_or_null(known->deadline_us));
    json_object_object_add(doc, "ready", d->ready < 0 ? NULL : json_object_new_boolean(d->ready));
    json_object_object_add(doc, "problem", text_or_null(d->problem));
    return doc;
}
