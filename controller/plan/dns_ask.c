/* What has to be read before records can follow machines; see ferry/dns.h, dns.c.  SPDX-License-Identifier: MIT */
#include "plan/dns.h"

#include <string.h>

/* ---- Questions. ---- */

void ferry_dns_questions_clear(struct ferry_dns_questions *q)
{
    for (size_t i = 0; i < q->n; i++)
        free(q->v[i].name);
    free(q->v);
    free(q->silent);
    *q = (struct ferry_dns_questions){0};
}

void ferry_dns_asked_clear(struct ferry_dns_asked *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->keys[i]);
    free(a->keys);
    ferry_map_clear(&a->map);
}

uint32_t ferry_dns_asked_find(const struct ferry_dns_asked *a, uint32_t server, const char *name)
{
    FERRY_AUTOFREE char *key = ferry_asprintf("%u %s", server, name);
    return ferry_map_get(&a->map, key, strlen(key));
}

static void asked_note(struct ferry_dns_asked *a, uint32_t server, const char *name)
{
    char *key = ferry_asprintf("%u %s", server, name);
    FERRY_GROW(a->keys, a->n);
    a->keys[a->n] = key;
    ferry_map_add(&a->map, key, strlen(key), (uint32_t)a->n++);
}

void ferry_dns_asked_all(struct ferry_dns_asked *a, const struct ferry_dns_questions *q)
{
    for (size_t i = 0; i < q->n; i++)
        asked_note(a, q->v[i].server, q->v[i].name);
}

/* Of every server that has the name's zone, once. */
static void ask(const struct ferry_topology *t, struct ferry_dns_asked *a, const char *name,
                struct ferry_dns_questions *q)
{
    size_t len;
    for (uint32_t s = 0; s < t->n_name_servers; s++) {
        if (!ferry_dns_zone(t->name_servers[s].driver.zones, name, &len) ||
            ferry_dns_asked_find(a, s, name) != FERRY_MAP_NONE)
            continue;
        asked_note(a, s, name);
        FERRY_GROW(q->v, q->n);
        q->v[q->n++] = (struct ferry_dns_question){.server = s, .name = ferry_strdup(name)};
    }
}

const struct ferry_nic *ferry_dns_nic(const struct ferry_topology *t, const struct ferry_address_row *row)
{
    return &t->networks->workloads[row->workload].nics[row->nic];
}

/* Whether the machine has another address after the move, and it is known. */
bool ferry_dns_moves(const struct ferry_address_row *row)
{
    return row->before.family && row->after.family && !ferry_addr_equal(&row->before, &row->after);
}

void ferry_dns_ask(const struct ferry_topology *t, const struct ferry_address_row *rows, size_t n_rows,
                   const struct ferry_dns_terms *terms, struct ferry_dns_questions *ret)
{
    FERRY_CLEANUP(ferry_dns_asked_clear) struct ferry_dns_asked a = {0};
    char name[FERRY_DNS_NAME_LEN];
    ferry_dns_asked_all(&a, ret);
    for (size_t i = 0; i < n_rows; i++) {
        const struct ferry_nic *nic = ferry_dns_nic(t, &rows[i]);
        bool move = terms->what == FERRY_DNS_MOVE;
        if (!nic->n_dns || (move && !ferry_dns_moves(&rows[i])))
            continue;
        for (size_t k = 0; k < nic->n_dns; k++)
            ask(t, &a, nic->dns[k].name, ret);
        for (size_t k = 0; move && k < 2; k++) {
            ferry_dns_reverse(k ? &rows[i].after : &rows[i].before, name);
            ask(t, &a, name, ret);
        }
    }
}

/* ---- What was found. ---- */

const struct ferry_entry *ferry_dns_entry_of(const struct ferry_stack *stack, uint32_t type)
{
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (stack->entries[i]->metric == type)
            return stack->entries[i];
    return NULL;
}

static void assume(struct ferry_pool *pool, struct ferry_dns_question *q, uint32_t type, uint32_t ttl,
                   const char *data)
{
    struct ferry_rrset set = {.ttl = ttl};
    const struct ferry_entry *entries[3], *had = ferry_dns_entry_of(q->found, type);
    uint32_t n = 0;
    if (had && !ferry_rrset_of_entry(had, &set))
        return;
    ferry_rrset_add(&set, data);
    for (uint32_t i = 0; q->found && i < q->found->n && n < 2; i++)
        if (q->found->entries[i] != had)
            entries[n++] = q->found->entries[i];
    entries[n++] = ferry_rrset_entry(pool, type, &set);
    q->found = ferry_pool_stack(pool, entries, n);
    ferry_rrset_clear(&set);
}

void ferry_dns_assume(const struct ferry_topology *t, const struct ferry_address_row *rows, size_t n_rows,
                      struct ferry_pool *pool, struct ferry_dns_questions *q)
{
    FERRY_CLEANUP(ferry_dns_asked_clear) struct ferry_dns_asked a = {0};
    char reverse[FERRY_DNS_NAME_LEN], address[FERRY_ADDR_STRLEN];
    ferry_dns_asked_all(&a, q);
    for (size_t i = 0; i < n_rows; i++) {
        const struct ferry_nic *nic = ferry_dns_nic(t, &rows[i]);
        if (!rows[i].before.family)
            continue;
        ferry_dns_reverse(&rows[i].before, reverse);
        ferry_addr_text(&rows[i].before, address);
        for (size_t k = 0; k < nic->n_dns; k++)
            for (uint32_t s = 0; s < t->n_name_servers; s++) {
                const struct ferry_dns_label *label = &nic->dns[k];
                uint32_t ttl = label->ttl ? label->ttl : FERRY_DNS_TTL_MADE,
                         at = ferry_dns_asked_find(&a, s, label->name);
                if (at != FERRY_MAP_NONE)
                    assume(pool, &q->v[at], ferry_dns_type_of(rows[i].before.family), ttl, address);
                at = k ? FERRY_MAP_NONE : ferry_dns_asked_find(&a, s, reverse);
                if (at != FERRY_MAP_NONE)
                    assume(pool, &q->v[at], FERRY_DNS_PTR, ttl, label->name);
            }
    }
}
