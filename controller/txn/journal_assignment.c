/* The journal's assignments: the addresses that transactions give to machines.  See ferry/reservation.h.
 *
 *  B1. They are written in the SQLite transaction that makes their plan durable (J2 of journal.c), and never
 *      again: what they mean follows from the state of their transaction, so that commit, rollback, crash and
 *      recovery need no write of theirs.
 *  B2. A machine's address is the `after` of the latest transaction about it that is not undone; a rollback
 *      is a transaction of its own and says the opposite.
 *  B3. A transaction begins only if every machine has the address that its plan finds, and nobody else has,
 *      or has reserved, one that it gives.
 *
 * The table is made with the first of them.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal.h"

#include "base/mem.h"
#include "model/map.h"

#include <ferry/reservation.h>
#include <stdio.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS assignment (txn INTEGER NOT NULL REFERENCES txn, topology TEXT NOT NULL,"
    " workload TEXT NOT NULL, nic TEXT NOT NULL, own TEXT NOT NULL, network_before TEXT NOT NULL,"
    " before TEXT NOT NULL, network TEXT NOT NULL, address TEXT NOT NULL,"
    " PRIMARY KEY (txn, topology, workload, nic, own))";

/* ---- Writing. ---- */

static int put_one(struct ferry_journal *journal, sqlite3_stmt *s, int64_t seq, const char *topology,
                   const struct ferry_plan_address *a, struct ferry_err *err)
{
    char own[FERRY_ADDR_STRLEN], before[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
    const char *texts[] = {topology,         a->machine,
                           a->nic,           ferry_addr_text(&a->own, own),
                           a->network,       ferry_addr_text(&a->before, before),
                           a->network_after, ferry_addr_text(&a->after, after)};
    sqlite3_bind_int64(s, 1, seq);
    for (size_t i = 0; i < FERRY_COUNT(texts); i++)
        sqlite3_bind_text(s, (int)i + 2, texts[i], -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        return ferry_journal_error(journal, "write assignments", err);
    sqlite3_reset(s);
    return 0;
}

int ferry_journal_put_assignments(struct ferry_journal *journal, const struct ferry_txn_record *record,
                                  int64_t seq, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    const struct ferry_plan *plan = record->plan;
    if (!plan->n_addresses)
        return 0;
    if (sqlite3_exec(journal->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "make the table of assignments", err);
    int r =
        ferry_journal_prepare(journal, "INSERT INTO assignment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", &s, err);
    for (size_t i = 0; r == 0 && i < plan->n_addresses; i++)
        r = put_one(journal, s, seq, plan->topology_name, &plan->addresses[i], err);
    return r;
}

/* ---- Reading. ---- */

static char *key_of(const char *workload, const char *nic, const char *own)
{
    return ferry_asprintf("%s %s %s", workload, nic, own);
}

/* What is kept for a machine is what it has now, as long as it has it. */
static int merge_row(struct ferry_journal *journal, struct ferry_reservations *list,
                     const struct ferry_map *known, sqlite3_stmt *s, struct ferry_err *err)
{
    FERRY_AUTOFREE char *key =
        key_of(ferry_journal_text(s, 0), ferry_journal_text(s, 1), ferry_journal_text(s, 2));
    uint32_t at = ferry_map_get(known, key, strlen(key));
    struct ferry_addr own, address;
    if (ferry_addr_parse(ferry_journal_text(s, 2), &own, err) < 0 ||
        ferry_addr_parse(ferry_journal_text(s, 4), &address, err) < 0)
        return ferry_error(err, FERRY_EIO, "%s/journal.db: an assignment of %s holds no address",
                           journal->state_dir, ferry_journal_text(s, 0));
    if (at == FERRY_MAP_NONE) {
        at = (uint32_t)list->n;
        FERRY_GROW(list->v, list->n);
        list->v[list->n++] = (struct ferry_reservation){.workload = ferry_strdup(ferry_journal_text(s, 0)),
                                                        .nic = ferry_strdup(ferry_journal_text(s, 1)),
                                                        .own = own,
                                                        .since_us = (uint64_t)sqlite3_column_int64(s, 6)};
    }
    struct ferry_reservation *r = &list->v[at];
    free(r->network);
    r->network = ferry_strdup(ferry_journal_text(s, 3));
    r->address = address;
    snprintf(r->assigned_by, sizeof r->assigned_by, "%s", ferry_journal_text(s, 5));
    return 0;
}

/* B2.  Who is back at its own address and network has nothing assigned. */
static const char latest[] =
    "SELECT a.workload, a.nic, a.own, a.network, a.address, t.id, t.started_us FROM assignment a"
    " JOIN txn t ON t.seq = a.txn WHERE a.topology = ?1 AND a.txn = (SELECT max(b.txn) FROM assignment b"
    " JOIN txn u ON u.seq = b.txn WHERE b.topology = a.topology AND b.workload = a.workload AND b.nic = a.nic"
    " AND b.own = a.own AND u.state <> 'undone') ORDER BY a.workload, a.nic, a.own";

int ferry_journal_assignments(struct ferry_journal *journal, const struct ferry_topology *t,
                              struct ferry_reservations *list, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    FERRY_CLEANUP(ferry_map_clear) struct ferry_map known = {0};
    int r = ferry_journal_has_table(journal, "assignment", err);
    if (r <= 0)
        return r;
    r = ferry_journal_prepare(journal, latest, &s, err);
    if (r < 0)
        return r;
    size_t n = t->networks ? list->n : 0; /* else both stand side by side */
    FERRY_AUTOFREE char **keys = ferry_calloc(n, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        char own[FERRY_ADDR_STRLEN];
        keys[i] = key_of(list->v[i].workload, list->v[i].nic, ferry_addr_text(&list->v[i].own, own));
        ferry_map_add(&known, keys[i], strlen(keys[i]), (uint32_t)i);
    }
    sqlite3_bind_text(s, 1, t->name, -1, SQLITE_STATIC);
    int row = SQLITE_DONE;
    while (r == 0 && (row = sqlite3_step(s)) == SQLITE_ROW)
        if (!ferry_reservation_is_home(t, ferry_journal_text(s, 0), ferry_journal_text(s, 1),
                                       ferry_journal_text(s, 3)))
            r = merge_row(journal, list, &known, s, err);
    for (size_t i = 0; i < n; i++)
        free(keys[i]);
    return r < 0 || row == SQLITE_DONE ? r : ferry_journal_error(journal, "read assignments", err);
}

bool ferry_reservation_is_home(const struct ferry_topology *t, const char *workload, const char *nic,
                               const char *network)
{
    const struct ferry_networks *n = t->networks;
    uint32_t w = n ? ferry_networks_workload(n, workload) : FERRY_NONE;
    for (size_t i = 0; w != FERRY_NONE && i < n->workloads[w].n_nics; i++)
        if (strcmp(n->workloads[w].nics[i].name, nic) == 0)
            return strcmp(n->networks[n->workloads[w].nics[i].network].name, network) == 0;
    return false;
}

/* ---- B3. ---- */

/* Where a machine is by the journal; false where that says nothing. */
static int current(struct ferry_journal *journal, const char *topology, const struct ferry_plan_address *a,
                   bool *ret_known, bool *ret_same, char ret_id[static 24], struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    char own[FERRY_ADDR_STRLEN], before[FERRY_ADDR_STRLEN];
    int r = ferry_journal_prepare(
        journal,
        "SELECT a.network, a.address, t.id FROM assignment a JOIN txn t ON t.seq = a.txn"
        " WHERE a.topology = ? AND a.workload = ? AND a.nic = ? AND a.own = ?"
        " AND t.state <> 'undone' ORDER BY a.txn DESC LIMIT 1",
        &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, topology, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, a->machine, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, a->nic, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, ferry_addr_text(&a->own, own), -1, SQLITE_STATIC);
    r = sqlite3_step(s);
    *ret_known = r == SQLITE_ROW;
    if (r == SQLITE_ROW) {
        *ret_same = !strcmp(ferry_journal_text(s, 0), a->network) &&
                    !strcmp(ferry_journal_text(s, 1), ferry_addr_text(&a->before, before));
        snprintf(ret_id, 24, "%s", ferry_journal_text(s, 2));
    }
    return r == SQLITE_ROW || r == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read assignments", err);
}

static int check_before(struct ferry_journal *journal, const char *topology,
                        const struct ferry_plan_address *a, struct ferry_err *err)
{
    char before[FERRY_ADDR_STRLEN], id[24] = "";
    bool known = false, same = false;
    int r = current(journal, topology, a, &known, &same, id, err);
    if (r < 0 || (known && same))
        return r;
    /* A machine that no transaction ever moved is at home, where the plan starts from or goes back to. */
    if (!known && ferry_addr_equal(&a->own, &a->before))
        return 0;
    return ferry_error(err, FERRY_EDRIFT, "%s (%s) is not at %s in %s any more%s%s; plan again", a->machine,
                       a->nic, ferry_addr_text(&a->before, before), a->network,
                       id[0] ? ", by transaction " : "", id);
}

/* Somebody else's, kept or given. */
static const struct ferry_reservation *taken(const struct ferry_reservations *list,
                                             const struct ferry_plan_address *a)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct ferry_reservation *r = &list->v[i];
        bool his =
            !strcmp(r->workload, a->machine) && !strcmp(r->nic, a->nic) && ferry_addr_equal(&r->own, &a->own);
        if (!his && !strcmp(r->network, a->network_after) && ferry_addr_equal(&r->address, &a->after))
            return r;
    }
    return NULL;
}

/* Both what is reserved and what the latest transactions gave, without a topology. */
static int everything(struct ferry_journal *journal, const char *topology, bool assigned,
                      struct ferry_reservations *ret, struct ferry_err *err)
{
    struct ferry_topology bare = {.name = (char *)(uintptr_t)topology};
    int r = ferry_journal_reservations(journal, topology, ret, err);
    return r == 0 && assigned ? ferry_journal_assignments(journal, &bare, ret, err) : r;
}

int ferry_journal_refuse_addresses(struct ferry_journal *journal, const struct ferry_plan *plan,
                                   struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_reservations_clear) struct ferry_reservations list = {0};
    char after[FERRY_ADDR_STRLEN];
    if (!plan->n_addresses)
        return 0;
    int assigned = ferry_journal_has_table(journal, "assignment", err);
    int r = assigned < 0 ? assigned : everything(journal, plan->topology_name, assigned, &list, err);
    for (size_t i = 0; r == 0 && i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        const struct ferry_reservation *by = taken(&list, a);
        if (by)
            return ferry_refuse(err, "reserved", "%s in %s is %s %s: it cannot be given to %s",
                                ferry_addr_text(&a->after, after), a->network_after,
                                by->assigned_by[0] ? "the address of" : "reserved for", by->workload,
                                a->machine);
        if (assigned)
            r = check_before(journal, plan->topology_name, a, err);
        else if (!ferry_addr_equal(&a->own, &a->before))
            r = ferry_error(err, FERRY_EDRIFT, "%s (%s) was never given another address; plan again",
                            a->machine, a->nic);
    }
    return r;
}
