/* The records that follow a selection: which machines get other addresses, what their name servers hold, the changes.
 * SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include <ferry/dns.h>

#include "base/mem.h"
#include <string.h>

static void add_row(struct ferry_address_rows *rows, struct ferry_address_row row)
{
    FERRY_GROW(rows->v, rows->n);
    rows->v[rows->n++] = row;
}

/* `row` of that NIC, where the topology has it. */
static void add_row_of(struct ferry_address_rows *rows, const struct ferry_networks *n, const char *machine,
                       const char *nic, struct ferry_address_row row)
{
    row.workload = ferry_networks_workload(n, machine);
    if (row.workload == FERRY_NONE)
        return;
    for (row.nic = 0; row.nic < n->workloads[row.workload].n_nics; row.nic++)
        if (strcmp(n->workloads[row.workload].nics[row.nic].name, nic) == 0) {
            add_row(rows, row);
            return;
        }
}

/* The machines that get another address by the plan. */
static void rows_of_plan(const struct ferry_topology *t, const struct ferry_plan *plan,
                         struct ferry_address_rows *ret)
{
    for (size_t i = 0; i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        add_row_of(ret, t->networks, a->machine, a->nic,
                   (struct ferry_address_row){.own = a->own, .before = a->before, .after = a->after});
    }
}

static bool has_row(const struct ferry_address_rows *rows, const struct ferry_networks *n,
                    const struct ferry_reservation *r)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct ferry_workload *w = &n->workloads[rows->v[i].workload];
        if (!strcmp(w->name, r->workload) && !strcmp(w->nics[rows->v[i].nic].name, r->nic) &&
            ferry_addr_equal(&rows->v[i].own, &r->own))
            return true;
    }
    return false;
}

/* The machines that an earlier move gave another address: their names were left where they led if a name
 * server was silent then. */
static void rows_of_journal(const struct ferry_topology *t, const struct ui_selection *s,
                            const struct ferry_reservations *given, struct ferry_address_rows *ret)
{
    const struct ferry_networks *n = t->networks;
    struct ferry_address_rows rows = {0};
    for (size_t i = 0; !s->failback && i < given->n; i++)
        if (given->v[i].assigned_by[0] && !has_row(ret, n, &given->v[i]))
            add_row_of(&rows, n, given->v[i].workload, given->v[i].nic,
                       (struct ferry_address_row){
                           .own = given->v[i].own, .before = given->v[i].own, .after = given->v[i].address});
    for (size_t i = 0; i < rows.n; i++)
        for (size_t k = 0; k < s->n_networks; k++)
            if (ferry_networks_network(n, s->networks[k]) ==
                n->workloads[rows.v[i].workload].nics[rows.v[i].nic].network) {
                add_row(ret, rows.v[i]);
                break;
            }
    ferry_address_rows_clear(&rows);
}

/* The machines of the networks that were named, wherever they are; but no TTL is lowered of what is not created,
 * for it leads nowhere else. */
static int rows_of_networks(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                            struct ferry_address_rows *ret)
{
    const struct ferry_networks *n = t->networks;
    for (size_t i = 0; i < s->n_networks; i++) {
        uint32_t network;
        int r = ui_find_network(ui, n, s->networks[i], &network);
        if (r < 0)
            return r;
        for (uint32_t w = 0; w < n->n_workloads; w++)
            for (uint32_t k = 0; k < n->workloads[w].n_nics; k++) {
                const struct ferry_nic *nic = &n->workloads[w].nics[k];
                if (nic->type == FERRY_NIC_NOT_CREATED && !s->dns_ttl_restore)
                    continue;
                for (size_t a = 0; nic->network == network && a < nic->n_addresses; a++)
                    add_row(ret, (struct ferry_address_row){.workload = w,
                                                            .nic = k,
                                                            .own = nic->addresses[a],
                                                            .before = nic->addresses[a]});
            }
    }
    return 0;
}

/* Reads every name server that is asked something, side by side; who is silent is noted. */
static int ask_servers(struct ui *ui, const struct ferry_topology *t, struct ferry_fleet *fleet,
                       struct ferry_pool *pool, struct ferry_dns_questions *q)
{
    FERRY_AUTOFREE struct ferry_query_item *items = ferry_calloc(q->n, sizeof *items);
    FERRY_AUTOFREE struct ferry_query *queries = ferry_calloc(t->n_name_servers, sizeof *queries);
    FERRY_AUTOFREE struct ferry_job *jobs = ferry_calloc(t->n_name_servers, sizeof *jobs);
    FERRY_AUTOFREE uint32_t *question = ferry_calloc(q->n, sizeof *question); /* [item] */
    size_t n_jobs = 0, at = 0;
    q->silent = ferry_calloc(t->n_name_servers, sizeof *q->silent);
    for (uint32_t s = 0; s < t->n_name_servers; s++) {
        struct ferry_query *query = &queries[n_jobs];
        *query = (struct ferry_query){.items = items + at};
        for (uint32_t i = 0; i < q->n; i++)
            if (q->v[i].server == s) {
                question[at] = i;
                items[at++] = (struct ferry_query_item){.name = q->v[i].name};
                query->n++;
            }
        if (query->n)
            jobs[n_jobs++] = (struct ferry_job){
                .router = (uint32_t)t->n_routers + s, .verb = FERRY_JOB_READ, .query = query};
    }
    ferry_fleet_run(fleet, jobs, n_jobs);
    for (size_t j = 0; j < n_jobs; j++) {
        size_t first = (size_t)(queries[j].items - items);
        if (jobs[j].result < 0) {
            q->silent[jobs[j].router - t->n_routers] = true;
            ui_warn(ui, "%s: %s", t->name_servers[jobs[j].router - t->n_routers].name, jobs[j].err.text);
            continue;
        }
        for (size_t i = 0; i < queries[j].n; i++) {
            const struct ferry_entry *entries[4];
            uint32_t n = 0;
            for (size_t k = 0; k < jobs[j].fib.n && n < FERRY_COUNT(entries); k++)
                if (jobs[j].fib.items[k].query == i)
                    entries[n++] = ferry_pool_entry(pool, &jobs[j].fib.items[k].entry);
            q->v[question[first + i]].found = ferry_pool_stack(pool, entries, n);
        }
        ferry_fib_clear(&jobs[j].fib);
    }
    return 0;
}

int ui_plan_dns(struct ui *ui, const struct ui_selection *s, const struct ferry_topology *t,
                struct ferry_fleet *fleet, const struct ferry_reservations *given, struct ferry_plan *plan)
{
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    FERRY_CLEANUP(ferry_dns_questions_clear) struct ferry_dns_questions q = {0};
    FERRY_CLEANUP(ui_pool_cleanup) struct ferry_pool *pool = ferry_pool_new();
    struct ferry_dns_terms terms = {.what = !s->dns_ttl          ? FERRY_DNS_MOVE
                                            : s->dns_ttl_restore ? FERRY_DNS_TTL_RESTORE
                                                                 : FERRY_DNS_TTL,
                                    .ttl = s->dns_ttl_s,
                                    .overrides = s->overrides};
    if (!t->networks || !t->n_name_servers || !(s->n_networks || s->failback))
        return 0;
    int r = s->dns_ttl ? rows_of_networks(ui, s, t, &rows) : 0;
    if (r < 0)
        return r;
    if (!s->dns_ttl) {
        rows_of_plan(t, plan, &rows);
        rows_of_journal(t, s, given, &rows);
    }
    ferry_dns_ask(t, rows.v, rows.n, &terms, &q);
    if (s->offline)
        ferry_dns_assume(t, rows.v, rows.n, pool, &q);
    else
        r = ask_servers(ui, t, fleet, pool, &q);
    return r < 0 ? r : ferry_plan_dns(plan, t, rows.v, rows.n, &q, &terms, &ui->err);
}
