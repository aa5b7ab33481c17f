/* The document of `ferry status --json`.  SPDX-License-Identifier: MIT */
#include "watch/status.h"

#include "watch/documents.h"
#include <json-c/json.h>

/* A gateway of the subnet that cannot be read: it may be attached there. */
static bool unseen(const struct ferry_live *live, size_t column, uint32_t router)
{
    const struct ferry_subnet *subnet = &live->topology->subnets[live->subnets[column]];
    for (size_t i = 0; i < subnet->n_gateways; i++)
        if (subnet->gateways[i].router == router)
            return live->unreachable[router];
    return false;
}

static struct json_object *drift_json(const struct ferry_status *s, size_t column)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < s->n_drift; i++) {
        const struct ferry_path_drift *d = &s->drift[i];
        if (d->column != column)
            continue;
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "router",
                               d->router == FERRY_NONE
                                   ? NULL
                                   : json_object_new_string(s->live->topology->routers[d->router].name));
        json_object_object_add(o, "what", json_object_new_string(d->what));
        json_object_object_add(o, "text", json_object_new_string(d->text));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *subnet_json(const struct ferry_status *s, size_t column)
{
    const struct ferry_live *live = s->live;
    const struct ferry_topology *t = live->topology;
    const struct ferry_subnet *subnet = &t->subnets[live->subnets[column]];
    struct json_object *o = json_object_new_object(), *attached = json_object_new_array();
    struct json_object *unknown = json_object_new_array();
    char buf[FERRY_PREFIX_STRLEN];
    bool several;
    uint32_t site = ferry_live_site(live, column, &several);
    for (uint32_t r = 0; r < t->n_routers; r++) {
        if (ferry_live_attached(live, r, column))
            json_object_array_add(attached, json_object_new_string(t->routers[r].name));
        if (unseen(live, column, r))
            json_object_array_add(unknown, json_object_new_string(t->routers[r].name));
    }
    json_object_object_add(o, "name", json_object_new_string(subnet->name));
    json_object_object_add(o, "prefix", json_object_new_string(ferry_prefix_text(&subnet->prefix, buf)));
    json_object_object_add(o, "home", json_object_new_string(t->sites[subnet->home].name));
    json_object_object_add(o, "active",
                           site == FERRY_NONE ? NULL : json_object_new_string(t->sites[site].name));
    json_object_object_add(o, "attached", attached);
    json_object_object_add(o, "unknown", unknown);
    json_object_object_add(o, "drift", drift_json(s, column));
    return o;
}

static struct json_object *routers_json(const struct ferry_live *live)
{
    struct json_object *list = json_object_new_array();
    for (size_t r = 0; r < live->topology->n_routers; r++) {
        const struct ferry_router *router = &live->topology->routers[r];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(router->name));
        json_object_object_add(o, "site", json_object_new_string(live->topology->sites[router->site].name));
        json_object_object_add(o, "reachable", json_object_new_boolean(!live->unreachable[r]));
        json_object_object_add(
            o, "why", live->unreachable[r] ? json_object_new_string(live->unreachable_why[r].text) : NULL);
        json_object_array_add(list, o);
    }
    return list;
}

/* What has not ended; `running`: its controller is at work at this moment. */
static struct json_object *unfinished_json(const struct ferry_unfinished *u)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < u->records.n; i++) {
        struct json_object *o = ferry_record_brief_json(u->records.v[i]);
        json_object_object_add(o, "running", json_object_new_boolean(i == 0 && u->running));
        json_object_object_add(o, "paused", ferry_paused_json(u->records.v[i]));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *all_hands_json(const struct ferry_unfinished *u)
{
    struct json_object *hands = json_object_new_array();
    if (u->newest) {
        json_object_put(hands);
        return ferry_hands_json(u->newest->hands, u->newest->n_hands);
    }
    for (size_t i = 0; i < u->records.n; i++) {
        struct json_object *list = ferry_hands_json(u->records.v[i]->hands, u->records.v[i]->n_hands);
        for (size_t k = 0; k < json_object_array_length(list); k++)
            json_object_array_add(hands, json_object_get(json_object_array_get_idx(list, k)));
        json_object_put(list);
    }
    return hands;
}

struct json_object *ferry_status_json(const struct ferry_status *s)
{
    const struct ferry_unfinished *u = &s->unfinished;
    struct json_object *doc = json_object_new_object(), *subnets = json_object_new_array();
    for (size_t i = 0; i < s->live->n_subnets; i++)
        json_object_array_add(subnets, subnet_json(s, i));
    json_object_object_add(doc, "topology", json_object_new_string(s->live->topology->name));
    json_object_object_add(doc, "subnets", subnets);
    json_object_object_add(doc, "routers", routers_json(s->live));
    json_object_object_add(doc, "unfinished", unfinished_json(u));
    json_object_object_add(doc, "needs_hand", all_hands_json(u));
    json_object_object_add(doc, "ended_with_hands", u->newest ? ferry_record_brief_json(u->newest) : NULL);
    json_object_object_add(doc, "debts", ferry_debts_json(&u->debts));
    json_object_object_add(doc, "differences", json_object_new_boolean(ferry_status_different(s)));
    return doc;
}
