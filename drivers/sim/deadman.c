/* The dead-man of a simulated router: a file beside its state file.
 *
 *   {"id": TX, "state": "armed" | "confirmed" | "fired" | "none", "deadline_us": N, "done": N, "from": S,
 *   "to": S, "steps": [
 *     {"delay": SECONDS, "gone": [{"prefix", "kind", "table", "metric"}, …],
 *      "routes": [as in the state file], "gateways": [likewise], "announcements": [likewise], "selectors":
 *      [likewise]}, …]}
 *
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include "base/mem.h"
#include "model/json.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[] = {
    [FERRY_DEADMAN_NONE] = "none",
    [FERRY_DEADMAN_ARMED] = "armed",
    [FERRY_DEADMAN_CONFIRMED] = "confirmed",
    [FERRY_DEADMAN_FIRED] = "fired",
};

void ferry_sim_deadman_clear(struct ferry_sim_deadman *d)
{
    for (size_t i = 0; i < d->n_steps; i++) {
        ferry_sim_table_clear(&d->steps[i].put);
        free(d->steps[i].gone);
    }
    free(d->steps);
    free(d->id);
    *d = (struct ferry_sim_deadman){0};
}

/* ---- Arming and firing. ---- */

static void take_op(struct ferry_sim_undo *step, const struct ferry_op *op)
{
    uint32_t table = op->kind == FERRY_KIND_ROUTE && !op->table ? FERRY_TABLE_MAIN : op->table;
    if (op->after && op->kind == FERRY_KIND_GATEWAY) {
        struct ferry_sim_place place = ferry_sim_place_of(op->gateway, op->interface, op->table);
        ferry_sim_table_attach(&step->put, &op->prefix, &place, op->after);
    } else if (op->after && op->kind == FERRY_KIND_ANNOUNCEMENT) {
        ferry_sim_table_announce(&step->put, &op->prefix, op->after);
    } else if (op->after && op->kind == FERRY_KIND_SELECTOR) {
        ferry_sim_table_select(&step->put, &op->prefix, op->metric, op->after);
    } else if (op->after) {
        ferry_sim_table_set(&step->put, &op->prefix, table, op->metric, op->after);
    } else {
        FERRY_GROW(step->gone, step->n_gone);
        step->gone[step->n_gone++] = (struct ferry_sim_key){
            .prefix = op->prefix,
            .kind = op->kind,
            .table = table,
            .metric = op->metric,
        };
    }
}

void ferry_sim_deadman_arm(struct ferry_sim_deadman *d, const struct ferry_deadman *deadman)
{
    ferry_sim_deadman_clear(d);
    d->id = ferry_strdup(deadman->id);
    d->state = FERRY_DEADMAN_ARMED;
    d->from_s = deadman->from_s;
    d->steps = ferry_calloc(deadman->n_steps, sizeof *d->steps);
    d->n_steps = deadman->n_steps;
    for (size_t i = 0; i < d->n_steps; i++) {
        d->steps[i].delay_s = deadman->steps[i].delay_s;
        for (size_t k = 0; k < deadman->steps[i].n_ops; k++)
            take_op(&d->steps[i], &deadman->steps[i].ops[k]);
    }
}

static void run(const struct ferry_sim_undo *step, struct ferry_sim_table *table)
{
    for (size_t i = 0; i < step->n_gone; i++) {
        const struct ferry_sim_key *key = &step->gone[i];
        if (key->kind == FERRY_KIND_GATEWAY)
            ferry_sim_table_attach(table, &key->prefix, NULL, NULL);
        else if (key->kind == FERRY_KIND_ANNOUNCEMENT)
            ferry_sim_table_announce(table, &key->prefix, NULL);
        else if (key->kind == FERRY_KIND_SELECTOR)
            ferry_sim_table_select(table, &key->prefix, key->metric, NULL);
        else if (ferry_sim_table_find(table, &key->prefix))
            ferry_sim_table_set(table, &key->prefix, key->table, key->metric, NULL);
    }
    for (size_t i = 0; i < step->put.n; i++) {
        const struct ferry_sim_slot *slot = step->put.slots[i];
        for (size_t k = 0; k < slot->n_routes; k++)
            ferry_sim_table_set(table, &slot->prefix, slot->routes[k].table, slot->routes[k].metric,
                                &slot->routes[k]);
        if (slot->attached)
            ferry_sim_table_attach(table, &slot->prefix, &slot->place, &slot->attachment);
        if (slot->announced)
            ferry_sim_table_announce(table, &slot->prefix, &slot->announcement);
        for (size_t k = 0; k < slot->n_selectors; k++)
            ferry_sim_table_select(table, &slot->prefix, slot->selectors[k].metric, &slot->selectors[k]);
    }
}

void ferry_sim_deadman_extend(struct ferry_sim_deadman *d, const struct ferry_deadman *deadman,
                              uint64_t now_us)
{
    uint64_t left_s = (d->deadline_us - now_us) / 1000000, seen_s = deadman->seen_s;
    if (!seen_s || (left_s <= seen_s + FERRY_DEADMAN_LATE_S && seen_s <= left_s + FERRY_DEADMAN_LATE_S))
        d->deadline_us = now_us + 1000000ull * deadman->seconds;
}

void ferry_sim_deadman_limit(struct ferry_sim_deadman *d, const struct ferry_deadman *deadman)
{
    d->from_s = deadman->from_s;
    if (deadman->to_s && (!d->to_s || deadman->to_s < d->to_s))
        d->to_s = deadman->to_s;
}

static bool is_run(const struct ferry_sim_deadman *d, const struct ferry_sim_undo *step)
{
    return step->delay_s >= d->from_s && (!d->to_s || step->delay_s < d->to_s);
}

bool ferry_sim_deadman_undoing(const struct ferry_sim_deadman *d)
{
    for (size_t i = d->n_done; i < d->n_steps; i++)
        if (is_run(d, &d->steps[i]))
            return true;
    return false;
}

bool ferry_sim_deadman_fire(struct ferry_sim_deadman *d, uint64_t now_us, struct ferry_sim_table *table)
{
    bool any = d->id && d->state == FERRY_DEADMAN_ARMED && d->deadline_us <= now_us;
    if (any)
        d->state = FERRY_DEADMAN_FIRED;
    if (!d->id || d->state != FERRY_DEADMAN_FIRED)
        return false;
    for (; d->n_done < d->n_steps; d->n_done++) {
        const struct ferry_sim_undo *step = &d->steps[d->n_done];
        if (d->deadline_us + 1000000ull * step->delay_s > now_us)
            break;
        if (is_run(d, step))
            run(step, table);
        any = true;
    }
    return any;
}

/* ---- The file. ---- */

static void put_step(FILE *f, const struct ferry_sim_undo *step)
{
    const char *between = "";
    char prefix[FERRY_PREFIX_STRLEN];
    fprintf(f, "{\"delay\": %u, \"gone\": [", step->delay_s);
    for (size_t i = 0; i < step->n_gone; i++)
        fprintf(f, "%s{\"prefix\": \"%s\", \"kind\": %u, \"table\": %u, \"metric\": %u}", i ? ", " : "",
                ferry_prefix_text(&step->gone[i].prefix, prefix), step->gone[i].kind, step->gone[i].table,
                step->gone[i].metric);
    fputs("],\n\"routes\": [", f);
    for (size_t i = 0; i < step->put.n; i++)
        for (size_t k = 0; k < step->put.slots[i]->n_routes; k++, between = ", ") {
            fputs(between, f);
            ferry_sim_put_route(f, &step->put.slots[i]->prefix, &step->put.slots[i]->routes[k]);
        }
    fputs("],\n\"gateways\": [", f);
    between = "";
    for (size_t i = 0; i < step->put.n; i++)
        for (bool once = step->put.slots[i]->attached; once; once = false, between = ", ") {
            fputs(between, f);
            ferry_sim_put_gateway(f, step->put.slots[i]);
        }
    fputs("],\n\"announcements\": [", f);
    between = "";
    for (size_t i = 0; i < step->put.n; i++)
        for (bool once = step->put.slots[i]->announced; once; once = false, between = ", ") {
            fputs(between, f);
            ferry_sim_put_announcement(f, step->put.slots[i]);
        }
    fputs("],\n\"selectors\": [", f);
    between = "";
    for (size_t i = 0; i < step->put.n; i++)
        for (size_t k = 0; k < step->put.slots[i]->n_selectors; k++, between = ", ") {
            fputs(between, f);
            ferry_sim_put_selector(f, &step->put.slots[i]->prefix, &step->put.slots[i]->selectors[k]);
        }
    fputs("]}", f);
}

int ferry_sim_deadman_save(const char *path, const struct ferry_sim_deadman *d, struct ferry_err *err)
{
    FERRY_AUTOFREE char *temporary = ferry_asprintf("%s.new", path);
    FILE *f = fopen(temporary, "we");
    if (!f)
        return ferry_error(err, FERRY_EIO, "%s: %s", temporary, strerror(errno));
    fputs("{\"id\": ", f);
    ferry_sim_put_string(f, d->id);
    fprintf(
        f,
        ", \"state\": \"%s\", \"deadline_us\": %llu, \"done\": %zu, \"from\": %u, \"to\": %u, \"steps\": [",
        state_names[d->state], (unsigned long long)d->deadline_us, d->n_done, d->from_s, d->to_s);
    for (size_t i = 0; i < d->n_steps; i++) {
        fputs(i ? ",\n" : "\n", f);
        put_step(f, &d->steps[i]);
    }
    fputs("]}\n", f);
    int failed = ferror(f) ? EIO : 0;
    if (fclose(f) != 0)
        failed = errno;
    if (!failed && rename(temporary, path) != 0)
        failed = errno;
    if (!failed)
        return 0;
    unlink(temporary);
    return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(failed));
}

static int load_key(struct ferry_json *doc, uint32_t v, struct ferry_sim_undo *step, struct ferry_err *err)
{
    struct ferry_sim_key key = {0};
    int64_t kind = 0, table = 0, metric = 0;
    int r = ferry_sim_get_prefix(doc, v, &key.prefix, err);
    if (r == 0)
        r = ferry_json_need_int(doc, v, "kind", 0, FERRY_KIND_SELECTOR, &kind, err);
    if (r == 0)
        r = ferry_json_need_int(doc, v, "table", 0, UINT32_MAX, &table, err);
    if (r == 0)
        r = ferry_json_need_int(doc, v, "metric", 0, UINT32_MAX, &metric, err);
    if (r < 0)
        return r;
    key.kind = (enum ferry_kind)kind;
    key.table = (uint32_t)table;
    key.metric = (uint32_t)metric;
    FERRY_GROW(step->gone, step->n_gone);
    step->gone[step->n_gone++] = key;
    return 0;
}

static int load_step(struct ferry_json *doc, uint32_t v, struct ferry_sim_undo *step, struct ferry_err *err)
{
    int64_t delay = 0;
    int r = ferry_json_need_int(doc, v, "delay", 0, UINT32_MAX, &delay, err);
    step->delay_s = (unsigned)delay;
    FERRY_JSON_EACH(doc, ferry_json_get(doc, v, "gone"), key)
    if (r == 0)
        r = load_key(doc, key, step, err);
    FERRY_JSON_EACH(doc, ferry_json_get(doc, v, "routes"), route)
    if (r == 0)
        r = ferry_sim_load_route(doc, route, &step->put, err);
    FERRY_JSON_EACH(doc, ferry_json_get(doc, v, "gateways"), gateway)
    if (r == 0)
        r = ferry_sim_load_gateway(doc, gateway, &step->put, err);
    FERRY_JSON_EACH(doc, ferry_json_get(doc, v, "announcements"), announcement)
    if (r == 0)
        r = ferry_sim_load_announcement(doc, announcement, &step->put, err);
    FERRY_JSON_EACH(doc, ferry_json_get(doc, v, "selectors"), selector)
    if (r == 0)
        r = ferry_sim_load_selector(doc, selector, &step->put, err);
    return r;
}

static int load_document(struct ferry_json *doc, struct ferry_sim_deadman *d, struct ferry_err *err)
{
    const char *id, *state;
    int64_t deadline = 0, done = 0, from = 0, to = 0;
    int r = ferry_json_need_string(doc, FERRY_JSON_ROOT, "id", &id, err);
    if (r == 0)
        r = ferry_json_need_string(doc, FERRY_JSON_ROOT, "state", &state, err);
    if (r == 0)
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "deadline_us", 0, INT64_MAX, &deadline, err);
    if (r == 0)
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "done", 0, INT32_MAX, &done, err);
    if (r == 0 && ferry_json_get(doc, FERRY_JSON_ROOT, "from") != FERRY_JSON_NONE) /* older files have none */
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "from", 0, UINT32_MAX, &from, err);
    if (r == 0 && ferry_json_get(doc, FERRY_JSON_ROOT, "to") != FERRY_JSON_NONE)
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "to", 0, UINT32_MAX, &to, err);
    if (r < 0)
        return r;
    uint32_t steps = ferry_json_get(doc, FERRY_JSON_ROOT, "steps");
    d->id = ferry_strdup(id);
    for (size_t i = 0; i < FERRY_COUNT(state_names); i++)
        if (!strcmp(state, state_names[i]))
            d->state = (enum ferry_deadman_state)i;
    d->deadline_us = (uint64_t)deadline;
    d->n_done = (size_t)done;
    d->from_s = (unsigned)from;
    d->to_s = (unsigned)to;
    d->steps = ferry_calloc(ferry_json_count(doc, steps), sizeof *d->steps);
    FERRY_JSON_EACH(doc, steps, v)
    if (r == 0)
        r = load_step(doc, v, &d->steps[d->n_steps++], err);
    return r;
}

int ferry_sim_deadman_load(const char *path, struct ferry_sim_deadman *ret, struct ferry_err *err)
{
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return 0;
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_load(path, NULL, NULL, &doc, err);
    if (r == 0)
        r = load_document(doc, ret, err);
    return r < 0 ? -FERRY_EIO : 0; /* the router's memory, not a file that the user gave us */
}
