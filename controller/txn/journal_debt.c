/* The journal's debts: what lost routers still owe.  See ferry/debt.h.
 *
 *  D1. Debts are written in the SQLite transaction that makes their plan durable (J2 of journal.c).
 *  D2. A debt counts until it is delivered, unless its transaction was undone: nobody has to take it back.
 *  D3. What is delivered is a debt as it was read, with the older ones behind it; one that came since is another.
 *  D4. A delivery adds an entry to the audit log for each transaction whose debt it pays, in the same SQLite
 *      transaction.
 *
 * The table is made with the first debt.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/journal_audit.h"

#include "base/mem.h"

#include <ferry/debt.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS debt (txn INTEGER NOT NULL REFERENCES txn, router TEXT NOT NULL,"
    " subnet TEXT NOT NULL, prefix TEXT NOT NULL, site TEXT NOT NULL, owes TEXT NOT NULL,"
    " delivered_us INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (txn, router, prefix))";

void ferry_debts_clear(struct ferry_debts *debts)
{
    for (size_t i = 0; i < debts->n; i++) {
        free(debts->v[i].router);
        free(debts->v[i].subnet);
        free(debts->v[i].prefix);
        free(debts->v[i].site);
        free(debts->v[i].owes);
    }
    free(debts->v);
    *debts = (struct ferry_debts){0};
}

/* ---- Writing. ---- */

/* What one router owes for a group: "let go of app; reach app at recovery". */
static char *owed_by(const struct ferry_plan *plan, uint32_t router, uint32_t group)
{
    char *text = NULL;
    for (size_t i = 0; i < plan->n_debts; i++) {
        const struct ferry_change *c = &plan->debts[i];
        if (c->router != router || c->group != group)
            continue;
        char *longer = ferry_asprintf("%s%s%s", text ? text : "", text ? "; " : "",
                                      c->why ? c->why : ferry_kind_name(c->kind));
        free(text);
        text = longer;
    }
    return text;
}

static int put_debt(struct ferry_journal *journal, sqlite3_stmt *s, int64_t seq,
                    const struct ferry_plan *plan, const struct ferry_change *debt, struct ferry_err *err)
{
    const struct ferry_group *g = &plan->groups[debt->group];
    FERRY_AUTOFREE char *owes = owed_by(plan, debt->router, debt->group);
    char prefix[FERRY_PREFIX_STRLEN];
    for (size_t i = 0; i < g->n_subnets; i++) {
        sqlite3_bind_int64(s, 1, seq);
        sqlite3_bind_text(s, 2, plan->routers[debt->router].name, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 3, g->subnets[i].name, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, ferry_prefix_text(&g->subnets[i].prefix, prefix), -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(s, 5, g->to ? g->to : "", -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 6, owes, -1, SQLITE_STATIC);
        if (sqlite3_step(s) != SQLITE_DONE)
            return ferry_journal_error(journal, "write debts", err);
        sqlite3_reset(s);
    }
    return 0;
}

int ferry_journal_put_debts(struct ferry_journal *journal, const struct ferry_txn_record *record, int64_t seq,
                            struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    if (!record->plan->n_debts)
        return 0;
    if (sqlite3_exec(journal->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return ferry_journal_error(journal, "make the table of debts", err);
    int r = ferry_journal_prepare(journal,
                                  "INSERT OR IGNORE INTO debt (txn, router, subnet, prefix, site, owes)"
                                  " VALUES (?, ?, ?, ?, ?, ?)",
                                  &s, err);
    for (size_t i = 0; r == 0 && i < record->plan->n_debts; i++)
        r = put_debt(journal, s, seq, record->plan, &record->plan->debts[i], err);
    return r;
}

/* The ids of the transactions whose debts a delivery pays; malloc'd, as are its elements. */
static int find_paid(struct ferry_journal *journal, const struct ferry_debt *debt, char ***ret, size_t *ret_n,
                     struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r =
        ferry_journal_prepare(journal,
                              "SELECT t.id FROM debt d JOIN txn t ON t.seq = d.txn WHERE d.router = ? AND "
                              "d.prefix = ? AND d.delivered_us = 0 AND t.seq <= (SELECT seq FROM txn "
                              "WHERE id = ?) ORDER BY t.seq",
                              &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(s, 1, debt->router, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, debt->prefix, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, debt->txn, -1, SQLITE_STATIC);
    while ((r = sqlite3_step(s)) == SQLITE_ROW) {
        FERRY_GROW(*ret, *ret_n);
        (*ret)[(*ret_n)++] = ferry_strdup((const char *)sqlite3_column_text(s, 0));
    }
    return r == SQLITE_DONE ? 0 : ferry_journal_error(journal, "read debts", err);
}

static int mark_delivered(struct ferry_journal *journal, const struct ferry_debt *debt, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_prepare(journal, /* D3 */
                                  "UPDATE debt SET delivered_us = ? WHERE router = ? AND prefix = ? AND "
                                  "delivered_us = 0 AND txn <= (SELECT seq FROM txn WHERE id = ?)",
                                  &s, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)journal->env->realtime_us(journal->env->ctx));
    sqlite3_bind_text(s, 2, debt->router, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, debt->prefix, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, debt->txn, -1, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? 0 : ferry_journal_error(journal, "mark a debt as delivered", err);
}

/* Each of the transactions gets its entry, or none is delivered (D4). */
static int deliver(struct ferry_journal *journal, const struct ferry_debt *debt, struct ferry_err *err)
{
    char **ids = NULL;
    size_t n = 0;
    int r = ferry_audit_start(journal, err);
    if (r == 0)
        r = find_paid(journal, debt, &ids, &n, err);
    if (r == 0)
        r = mark_delivered(journal, debt, err);
    FERRY_AUTOFREE char *text = ferry_asprintf("%s: %s", debt->router, debt->prefix);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = ferry_audit_add(journal,
                            &(struct ferry_audit_entry){.what = "deliver", .tx = ids[i], .text = text}, err);
    ferry_audit_ids_free(ids, n);
    return r;
}

int ferry_journal_deliver(struct ferry_journal *journal, const struct ferry_debt *debt, struct ferry_err *err)
{
    int r = ferry_journal_execute(journal, "BEGIN IMMEDIATE", "begin", err);
    return r < 0 ? r
                 : ferry_journal_end(journal, deliver(journal, debt, err), "mark a debt as delivered", err);
}

/* ---- Reading. ---- */

static char *text_at(sqlite3_stmt *s, int column)
{
    return ferry_strdup(ferry_journal_text(s, column));
}

static void add_row(struct ferry_debts *debts, sqlite3_stmt *s)
{
    FERRY_GROW(debts->v, debts->n);
    struct ferry_debt *d = &debts->v[debts->n++];
    FERRY_AUTOFREE char *id = text_at(s, 0);
    *d = (struct ferry_debt){.router = text_at(s, 1),
                             .subnet = text_at(s, 2),
                             .prefix = text_at(s, 3),
                             .site = text_at(s, 4),
                             .owes = text_at(s, 5),
                             .since_us = (uint64_t)sqlite3_column_int64(s, 6)};
    memcpy(d->txn, id, strnlen(id, sizeof d->txn - 1));
}

int ferry_journal_debts(struct ferry_journal *journal, const char *router, struct ferry_debts *ret,
                        struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    FERRY_CLEANUP(ferry_debts_clear) struct ferry_debts debts = {0};
    int r = ferry_journal_has_table(journal, "debt", err);
    if (r > 0) /* SQLite: with max() the other columns are those of the same row */
        r = ferry_journal_prepare(
            journal,
            "SELECT t.id, d.router, d.subnet, d.prefix, d.site, d.owes, t.started_us, max(t.seq)"
            " FROM debt d JOIN txn t ON t.seq = d.txn WHERE d.delivered_us = 0 AND t.state <> 'undone'"
            " AND (?1 IS NULL OR d.router = ?1) GROUP BY d.router, d.prefix ORDER BY d.router, d.prefix",
            &s, err);
    if (r < 0)
        return r;
    if (s)
        sqlite3_bind_text(s, 1, router, -1, SQLITE_STATIC);
    int row = SQLITE_DONE;
    while (s && (row = sqlite3_step(s)) == SQLITE_ROW)
        add_row(&debts, s);
    if (row != SQLITE_DONE)
        return ferry_journal_error(journal, "read debts", err);
    *ret = debts;
    debts = (struct ferry_debts){0};
    return 0;
}

/* ---- What may not go on. ---- */

static int refuse_reconciled(const char *router, const char *undoes, struct ferry_err *err)
{
    return ferry_refuse(err, "debt",
                        "%s was done without by %s, and has been brought in line with it since: undone, "
                        "packets would be led there in vain; move back with `ferry apply`",
                        router, undoes);
}

/* A debt of the transaction that was delivered. */
static int refuse_delivered(struct ferry_journal *journal, const char *undoes, struct ferry_err *err)
{
    FERRY_STATEMENT *s = NULL;
    int r = ferry_journal_has_table(journal, "debt", err);
    if (r > 0)
        r = ferry_journal_prepare(journal,
                                  "SELECT d.router FROM debt d JOIN txn t ON t.seq = d.txn WHERE t.id = ?"
                                  " AND d.delivered_us <> 0 LIMIT 1",
                                  &s, err);
    if (r < 0 || !s)
        return r;
    sqlite3_bind_text(s, 1, undoes, -1, SQLITE_STATIC);
    r = sqlite3_step(s);
    return r == SQLITE_DONE  ? 0
           : r != SQLITE_ROW ? ferry_journal_error(journal, "read debts", err)
                             : refuse_reconciled((const char *)sqlite3_column_text(s, 0), undoes, err);
}

struct reconciled {
    const struct ferry_plan *undo;
    const char *router; /* that the undo does without, and a reconciliation changed; NULL: none */
};

static bool look_for_reconciled(void *ctx, const struct ferry_txn_record *record)
{
    struct reconciled *w = ctx;
    const struct ferry_plan *plan = record->plan;
    if (strcmp(record->kind, "reconcile") != 0)
        return true;
    for (size_t v = 0; v < w->undo->n_routers; v++)
        for (size_t s = 0; w->undo->routers[v].lost && s < plan->n_stages; s++)
            for (size_t i = 0; i < plan->stages[s].n_changes; i++)
                if (!strcmp(plan->routers[plan->stages[s].changes[i].router].name, w->undo->routers[v].name))
                    w->router = w->undo->routers[v].name;
    return !w->router;
}

/* A reconciliation may be half done: debts are delivered last. */
int ferry_journal_refuse_reconciled(struct ferry_journal *journal, const struct ferry_plan *undo,
                                    const char *undoes, struct ferry_err *err)
{
    struct reconciled w = {.undo = undo};
    bool any = false;
    for (size_t v = 0; v < undo->n_routers; v++)
        any |= undo->routers[v].lost;
    int r = any ? refuse_delivered(journal, undoes, err) : 0;
    if (r == 0 && any)
        r = ferry_journal_committed(journal, undoes, look_for_reconciled, &w, err);
    return r == 0 && w.router ? refuse_reconciled(w.router, undoes, err) : r;
}

/* Whether a disaster move brings to the debtor's own site what it owes to let go of: the new decision stands
 * for the old one. */
static bool supersedes(const struct ferry_plan *plan, size_t router, const struct ferry_debt *debt)
{
    char prefix[FERRY_PREFIX_STRLEN];
    const char *site = plan->routers[router].site;
    if (strcmp(plan->mode, "disaster") != 0 || !site)
        return false;
    for (size_t g = 0; g < plan->n_groups; g++)
        for (size_t i = 0; i < plan->groups[g].n_subnets; i++)
            if (plan->groups[g].to && !strcmp(plan->groups[g].to, site) &&
                !strcmp(ferry_prefix_text(&plan->groups[g].subnets[i].prefix, prefix), debt->prefix))
                return true;
    return false;
}

int ferry_journal_refuse_debts(struct ferry_journal *journal, const struct ferry_plan *plan,
                               const char *except, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_debts_clear) struct ferry_debts debts = {0};
    if (strcmp(plan->mode, "reconcile") == 0 || !plan->n_stages)
        return 0;
    int r = ferry_journal_debts(journal, NULL, &debts, err);
    for (size_t i = 0; r == 0 && i < debts.n; i++)
        for (size_t v = 0; v < plan->n_routers; v++)
            if (!plan->routers[v].lost && strcmp(plan->routers[v].name, debts.v[i].router) == 0 &&
                !(except && strcmp(except, debts.v[i].txn) == 0) && !supersedes(plan, v, &debts.v[i]))
                return ferry_refuse(err, "debt",
                                    "%s still owes what transaction %s left undone there (%s): run `ferry "
                                    "reconcile` first",
                                    debts.v[i].router, debts.v[i].txn, debts.v[i].owes);
    return r;
}
