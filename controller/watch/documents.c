/* Records of transactions as documents (docs/contract.md); see documents.h.  SPDX-License-Identifier: MIT */
#include "watch/documents.h"

#include "base/mem.h"
#include <ferry/debt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void ferry_json_object_cleanup(struct json_object **doc)
{
    json_object_put(*doc);
}

const char *ferry_time_text(uint64_t us, char buf[static 32])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    if (us == 0 || !gmtime_r(&seconds, &tm))
        return strcpy(buf, "-");
    strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return buf;
}

bool ferry_txn_state_ended(enum ferry_txn_state state)
{
    return state == FERRY_TXN_COMMITTED || state == FERRY_TXN_UNDONE;
}

static struct json_object *text_or_null(const char *text)
{
    return text ? json_object_new_string(text) : NULL;
}

static struct json_object *time_or_null(uint64_t us)
{
    char buf[32];
    return us ? json_object_new_string(ferry_time_text(us, buf)) : NULL;
}

static struct json_object *number(double value)
{
    char text[64];
    snprintf(text, sizeof text, "%.3f", value);
    return json_object_new_double_s(value, text);
}

struct json_object *ferry_hands_json(const struct ferry_hand *hands, size_t n)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "router", text_or_null(hands[i].router));
        json_object_object_add(o, "key", text_or_null(hands[i].key));
        json_object_object_add(o, "expected", text_or_null(hands[i].expected));
        json_object_object_add(o, "found", text_or_null(hands[i].found));
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *ferry_debts_json(const struct ferry_debts *debts)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < debts->n; i++) {
        const struct ferry_debt *d = &debts->v[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "router", json_object_new_string(d->router));
        json_object_object_add(o, "subnet", json_object_new_string(d->subnet));
        json_object_object_add(o, "prefix", json_object_new_string(d->prefix));
        json_object_object_add(o, "site", json_object_new_string(d->site));
        json_object_object_add(o, "owes", json_object_new_string(d->owes));
        json_object_object_add(o, "transaction", json_object_new_string(d->txn));
        json_object_object_add(o, "since", time_or_null(d->since_us));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *outages_json(const struct ferry_txn_record *r)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < r->n_outages; i++) {
        const struct ferry_outage *v = &r->outages[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "vantage", text_or_null(v->vantage));
        json_object_object_add(o, "ms", number(v->ms));
        json_object_object_add(o, "lost", json_object_new_int64((int64_t)v->lost));
        json_object_object_add(o, "sent", json_object_new_int64((int64_t)v->sent));
        json_object_object_add(o, "ttl_exceeded", json_object_new_int64((int64_t)v->ttl_exceeded));
        json_object_object_add(o, "duplicates", json_object_new_int64((int64_t)v->duplicates));
        json_object_object_add(o, "ended", json_object_new_boolean(!v->lasts));
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *ferry_record_brief_json(const struct ferry_txn_record *r)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "id", json_object_new_string(r->id));
    json_object_object_add(o, "kind", text_or_null(r->kind));
    json_object_object_add(o, "undoes", text_or_null(r->undoes));
    json_object_object_add(o, "state", json_object_new_string(ferry_txn_state_name(r->state)));
    json_object_object_add(o, "plan", json_object_new_string(r->plan_id));
    json_object_object_add(o, "summary", text_or_null(r->summary));
    json_object_object_add(o, "user", text_or_null(r->user));
    json_object_object_add(o, "started", time_or_null(r->started_us));
    json_object_object_add(o, "ended", time_or_null(r->ended_us));
    json_object_object_add(o, "deadline", time_or_null(r->deadline_us));
    json_object_object_add(o, "reason", text_or_null(r->reason));
    json_object_object_add(o, "outage", outages_json(r));
    json_object_object_add(o, "needs_hand", ferry_hands_json(r->hands, r->n_hands));
    return o;
}

/* The worst outcome first: what a person must look at. */
static const enum ferry_outcome worst_first[] = {FERRY_UNKNOWN, FERRY_STALE, FERRY_REFUSED, FERRY_DONE};

struct ferry_tally ferry_record_tally(const struct ferry_txn_record *r, size_t stage, size_t change)
{
    struct ferry_tally t = {.worst = FERRY_DONE};
    const struct ferry_change *c = &r->plan->stages[stage].changes[change];
    for (size_t s = 0; s < r->plan->groups[c->group].n_subnets; s++)
        t.n[ferry_txn_outcome_at(r, stage, change, s)]++;
    for (size_t i = 0; i < FERRY_COUNT(worst_first); i++) {
        if (t.n[worst_first[i]]) {
            t.worst = worst_first[i];
            break;
        }
    }
    return t;
}

/* Adds the outcomes to the changes of the plan's own document.  Of a stage that was never begun: null. */
static void add_outcomes(const struct ferry_txn_record *r, struct json_object *stages)
{
    for (size_t i = 0; i < r->plan->n_stages; i++) {
        struct json_object *changes = NULL;
        json_object_object_get_ex(json_object_array_get_idx(stages, i), "changes", &changes);
        for (size_t k = 0; k < r->plan->stages[i].n_changes; k++) {
            struct json_object *change = json_object_array_get_idx(changes, k);
            struct ferry_tally t = ferry_record_tally(r, i, k);
            if (i >= r->stages_begun) {
                json_object_object_add(change, "outcome", NULL);
                continue;
            }
            json_object_object_add(change, "outcome", json_object_new_string(ferry_outcome_name(t.worst)));
            if (r->plan->groups[r->plan->stages[i].changes[k].group].n_subnets == 1)
                continue;
            struct json_object *counts = json_object_new_object();
            for (size_t w = 0; w < FERRY_COUNT(worst_first); w++)
                json_object_object_add(counts, ferry_outcome_name(worst_first[w]),
                                       json_object_new_int64((int64_t)t.n[worst_first[w]]));
            json_object_object_add(change, "outcomes", counts);
        }
    }
}

static struct json_object *overrides_json(const struct ferry_txn_record *r)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < r->n_overrides; i++) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "rule", text_or_null(r->overrides[i].rule));
        json_object_object_add(o, "user", text_or_null(r->overrides[i].user));
        json_object_object_add(o, "at", time_or_null(r->overrides[i].at_us));
        json_object_object_add(o, "refused", text_or_null(r->overrides[i].refused));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *argv_json(char *const *argv)
{
    struct json_object *list = argv ? json_object_new_array() : NULL;
    for (; argv && *argv; argv++)
        json_object_array_add(list, json_object_new_string(*argv));
    return list;
}

static struct json_object *hook_json(const struct ferry_txn_hook *h)
{
    struct json_object *o = json_object_new_object();
    bool pause = h->hook.pause || h->hook.pause_undo;
    json_object_object_add(o, "at", json_object_new_string(ferry_boundary_name(h->hook.at)));
    if (pause) {
        json_object_object_add(o, "pause", text_or_null(h->hook.pause));
        json_object_object_add(o, "undo", text_or_null(h->hook.pause_undo));
    } else {
        json_object_object_add(o, "run", argv_json(h->hook.run));
        json_object_object_add(o, "undo", argv_json(h->hook.undo));
    }
    json_object_object_add(o, "state", json_object_new_string(ferry_hook_state_name(h->state)));
    json_object_object_add(o, "started", time_or_null(h->started_us));
    json_object_object_add(o, "ended", time_or_null(h->ended_us));
    json_object_object_add(o, "tries", json_object_new_int64(h->tries));
    json_object_object_add(o, "status", h->ended_us && !pause ? json_object_new_int(h->status) : NULL);
    json_object_object_add(o, "user", text_or_null(h->user));
    json_object_object_add(o, "output", text_or_null(h->output));
    json_object_object_add(o, "undo_output", text_or_null(h->undo_output));
    return o;
}

static struct json_object *hooks_json(const struct ferry_txn_record *r)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < r->n_hooks; i++)
        json_object_array_add(list, hook_json(&r->hooks[i]));
    return list;
}

struct json_object *ferry_paused_json(const struct ferry_txn_record *r)
{
    const struct ferry_txn_hook *h = ferry_txn_paused_at(r);
    if (r->state != FERRY_TXN_PAUSED)
        return NULL;
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "stages_begun", json_object_new_int64((int64_t)r->stages_begun));
    json_object_object_add(o, "stages", json_object_new_int64(r->plan ? (int64_t)r->plan->n_stages : 0));
    json_object_object_add(o, "hook", h ? hook_json(h) : NULL);
    return o;
}

struct json_object *ferry_record_json(const struct ferry_txn_record *r)
{
    struct json_object *doc = ferry_record_brief_json(r), *groups = NULL, *stages = NULL;
    if (!r->plan)
        return doc;
    FERRY_AUTOFREE char *text = ferry_plan_write(r->plan, false);
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *plan = json_tokener_parse(text);
    json_object_object_get_ex(plan, "groups", &groups);
    json_object_object_get_ex(plan, "stages", &stages);
    add_outcomes(r, stages);
    json_object_object_add(doc, "groups", json_object_get(groups));
    json_object_object_add(doc, "stages", json_object_get(stages));
    json_object_object_add(doc, "hooks", hooks_json(r));
    json_object_object_add(doc, "overrides", overrides_json(r));
    static const char *const extra[] = {"mode", "lost", "attest", "debts", "addresses"};
    for (size_t i = 0; i < FERRY_COUNT(extra); i++) {
        struct json_object *v = NULL;
        if (json_object_object_get_ex(plan, extra[i], &v))
            json_object_object_add(doc, extra[i], json_object_get(v));
    }
    return doc;
}
