/* The dead-man of a simulated router: a file beside its state file.
 *
 *   {"id": TX, "state": "armed" | "confirmed" | "fired" | "none", "deadline_us": N, "next_us": N, "split": S, "done": N,
 *   "from": S, "to": S, "steps": [
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

static bool is_run(const struct ferry_sim_deadman *d, const struct ferry_sim_undo *step)
{
    return step->delay_s >= d->from_s && (!d->to_s || step->delay_s < d->to_s);
}

static bool is_later(const struct ferry_sim_deadman *d, const struct ferry_sim_undo *step)
{
    return d->next_us && step->delay_s >= d->split_s;
}

uint64_t ferry_sim_deadman_due(const struct ferry_sim_deadman *d, const struct ferry_sim_undo *step)
{
    return (is_later(d, step) ? d->next_us : d->deadline_us) + 1000000ull * step->delay_s;
}

/* The first deadline to which anything belongs. */
static uint64_t first_us(const struct ferry_sim_deadman *d)
{
    return d->next_us && !d->split_s ? d->next_us : d->deadline_us;
}

bool ferry_sim_deadman_fire(struct ferry_sim_deadman *d, uint64_t now_us, struct ferry_sim_table *table)
{
    bool any = d->id && d->state == FERRY_DEADMAN_ARMED && first_us(d) <= now_us;
    if (any)
        d->state = FERRY_DEADMAN_FIRED;
    if (!d->id || d->state != FERRY_DEADMAN_FIRED)
        return false;
    for (; d->n_done < d->n_steps; d->n_done++) {
        const struct ferry_sim_undo *step = &d->steps[d->n_done];
        if (ferry_sim_deadman_due(d, step) > now_us)
            break;
        if (is_run(d, step))
            run(step, table);
        any = true;
    }
    return any;
}

/* ---- What is asked of it. ---- */

bool ferry_sim_deadman_waits(const struct ferry_sim_deadman *d)
{
    if (d->state != FERRY_DEADMAN_FIRED || !d->next_us)
        return d->state == FERRY_DEADMAN_ARMED;
    for (size_t i = d->n_done; i < d->n_steps; i++)
        if (is_run(d, &d->steps[i]))
            return true;
    return false;
}

static bool is_seen(uint64_t deadline_us, uint64_t now_us, unsigned seen_s)
{
    uint64_t left_s = deadline_us > now_us ? (deadline_us - now_us) / 1000000 : 0;
    return left_s <= seen_s + FERRY_DEADMAN_LATE_S && seen_s <= left_s + FERRY_DEADMAN_LATE_S;
}

static void extend(struct ferry_sim_deadman *d, const struct ferry_deadman *what, uint64_t now_us)
{
    if (!d->next_us && (!what->seen_s || is_seen(d->deadline_us, now_us, what->seen_s)))
        d->deadline_us = now_us + 1000000ull * what->seconds;
}

static void limit(struct ferry_sim_deadman *d, const struct ferry_deadman *what)
{
    d->from_s = what->from_s;
    if (what->to_s && (!d->to_s || what->to_s < d->to_s))
        d->to_s = what->to_s;
}

/* While steps have moved to another one it is none. */
static void take_next(struct ferry_sim_deadman *d, const struct ferry_deadman *what, uint64_t now_us)
{
    uint64_t old = first_us(d), told = now_us + 1000000ull * what->seconds;
    bool unmoved = !d->next_us || d->split_s == FERRY_DEADMAN_ALL_EARLIER || (!d->split_s && what->earlier);
    if (!unmoved)
        return;
    d->deadline_us = what->earlier && told < old ? told : old;
    d->next_us = what->earlier || told < old ? old : told;
    d->split_s = what->earlier ? 0 : FERRY_DEADMAN_ALL_EARLIER;
}

static void move(struct ferry_sim_deadman *d, const struct ferry_deadman *what, uint64_t now_us)
{
    if (d->next_us && d->deadline_us > now_us &&
        (what->earlier ? what->split_s > d->split_s : what->split_s < d->split_s))
        d->split_s = what->split_s;
}

static void settle(struct ferry_sim_deadman *d, const struct ferry_deadman *what)
{
    if (d->next_us && !what->earlier)
        d->deadline_us = d->next_us;
    d->next_us = 0;
}

static unsigned left_s(uint64_t deadline_us, uint64_t now_us)
{
    return deadline_us > now_us ? (unsigned)((deadline_us - now_us) / 1000000) : 0;
}

static enum ferry_deadman_state say(const struct ferry_sim_deadman *d, uint64_t now_us, unsigned *ret_left_s)
{
    size_t i = d->n_done;
    *ret_left_s = 0;
    if (d->state == FERRY_DEADMAN_ARMED) {
        *ret_left_s = left_s(first_us(d), now_us);
        return d->next_us && d->split_s != FERRY_DEADMAN_ALL_EARLIER ? FERRY_DEADMAN_MOVING : d->state;
    }
    if (d->state != FERRY_DEADMAN_FIRED)
        return d->state;
    while (i < d->n_steps && !is_run(d, &d->steps[i]))
        i++;
    if (i == d->n_steps)
        return d->state;
    bool rests = is_later(d, &d->steps[i]) && d->next_us > now_us;
    *ret_left_s = rests ? left_s(d->next_us, now_us) : 1;
    return rests ? FERRY_DEADMAN_RESTS : d->state;
}

enum ferry_deadman_state ferry_sim_deadman_answer(struct ferry_sim_deadman *d, enum ferry_deadman_verb verb,
                                                  const struct ferry_deadman *what, uint64_t now_us,
                                                  unsigned *ret_left_s)
{
    enum ferry_deadman_state state = say(d, now_us, ret_left_s);
    if (state == FERRY_DEADMAN_RESTS && verb == FERRY_DEADMAN_DISARM)
        d->state = FERRY_DEADMAN_NONE;
    if (state == FERRY_DEADMAN_RESTS && verb == FERRY_DEADMAN_LIMIT && what->from_s > d->from_s)
        d->from_s = what->from_s; /* what rests may begin later, not end earlier */
    if (d->state != FERRY_DEADMAN_ARMED)
        return say(d, now_us, ret_left_s);
    switch (verb) {
    case FERRY_DEADMAN_ARM:
    case FERRY_DEADMAN_LOOK:
        break;
    case FERRY_DEADMAN_EXTEND:
        extend(d, what, now_us);
        break;
    case FERRY_DEADMAN_CONFIRM:
        d->state = FERRY_DEADMAN_CONFIRMED;
        break;
    case FERRY_DEADMAN_DISARM:
        d->state = FERRY_DEADMAN_NONE;
        break;
    case FERRY_DEADMAN_LIMIT:
        limit(d, what);
        break;
    case FERRY_DEADMAN_NEXT:
        take_next(d, what, now_us);
        break;
    case FERRY_DEADMAN_MOVE:
        move(d, what, now_us);
        break;
    case FERRY_DEADMAN_SETTLE:
        settle(d, what);
        break;
    }
    return say(d, now_us, ret_left_s);
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
    fprintf(f, ", \"state\": \"%s\", \"deadline_us\": %llu, \"next_us\": %llu, \"split\": %u, \"done\": %zu",
            state_names[d->state], (unsigned long long)d->deadline_us, (unsigned long long)d->next_us,
            d->split_s, d->n_done);
    fprintf(f, ", \"from\": %u, \"to\": %u, \"steps\": [", d->from_s, d->to_s);
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
    int64_t deadline = 0, done = 0, from = 0, to = 0, next = 0, split = 0;
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
    if (r == 0 && ferry_json_get(doc, FERRY_JSON_ROOT, "next_us") != FERRY_JSON_NONE)
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "next_us", 0, INT64_MAX, &next, err);
    if (r == 0 && ferry_json_get(doc, FERRY_JSON_ROOT, "split") != FERRY_JSON_NONE)
        r = ferry_json_need_int(doc, FERRY_JSON_ROOT, "split", 0, UINT32_MAX, &split, err);
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
    d->next_us = (uint64_t)next;
    d->split_s = (unsigned)split;
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
