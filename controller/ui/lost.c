/* Which routers a plan does without: those that --unreachable names, those that do not answer and may be left
 * out, those that are deferred by the topology.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/show.h"

#include "base/mem.h"
#include "watch/paths.h"

#include <ferry/debt.h>
#include <ferry/networks.h>
#include <string.h>

/* Whether a moved subnet can be attached at the router's site, or a network that is failed over is there, so
 * that its loss is what disaster mode is for. */
static bool is_old_site(const struct ferry_live *live, uint32_t router, const struct ui_selection *s,
                        const struct ferry_move *moves, size_t n)
{
    const struct ferry_topology *t = live->topology;
    for (size_t i = 0; i < s->n_networks && !s->failback; i++) {
        uint32_t network = ferry_networks_network(t->networks, s->networks[i]);
        if (network != FERRY_NONE && t->networks->networks[network].site == t->routers[router].site)
            return true;
    }
    for (size_t m = 0; m < n; m++)
        for (size_t i = 0; i < t->subnets[moves[m].subnet].n_gateways; i++) {
            uint32_t site = t->routers[t->subnets[moves[m].subnet].gateways[i].router].site;
            if (site != moves[m].to && site == t->routers[router].site)
                return true;
        }
    return false;
}

static int lose_named(struct ui *ui, const struct ui_selection *s, struct ferry_live *live)
{
    for (size_t i = 0; i < s->n_unreachable; i++) {
        uint32_t router;
        int r = ui_find_router(ui, live->topology, s->unreachable[i], &router);
        if (r < 0)
            return ferry_error_prefix(&ui->err, r, "--unreachable");
        bool seen = false;
        for (size_t c = 0; c < live->n_subnets; c++)
            seen |= ferry_live_attached(live, router, c);
        if (s->attest && seen)
            return ferry_refuse(&ui->err, "lost-site",
                                "--attest says that %s is dead, but it answers, and has a subnet attached",
                                s->unreachable[i]);
        if (!live->unreachable[router] && !s->offline)
            ui_warn(ui, "%s answers; as it is named with --unreachable it is fenced off, and not touched",
                    s->unreachable[i]);
        ferry_live_lose(live, router);
    }
    return 0;
}

int ui_lose_routers(struct ui *ui, const struct ui_selection *s, struct ferry_live *live,
                    const struct ferry_move *moves, size_t n_moves)
{
    const struct ferry_topology *t = live->topology;
    bool disaster = s->mode && strcmp(s->mode, "disaster") == 0;
    int r = lose_named(ui, s, live);
    for (uint32_t v = 0; r == 0 && v < t->n_routers; v++) {
        enum ferry_policy policy = t->routers[v].policy;
        if (live->lost[v])
            continue;
        if (policy == FERRY_POLICY_DEFERRED || (live->unreachable[v] && policy == FERRY_POLICY_BEST_EFFORT) ||
            (live->unreachable[v] && disaster && is_old_site(live, v, s, moves, n_moves)))
            ferry_live_lose(live, v);
        else if (live->unreachable[v])
            return ferry_refuse(&ui->err, "unreachable", "router %s cannot be read: %s%s", t->routers[v].name,
                                live->unreachable_why[v].text,
                                disaster ? "; if it is lost too, name it with --unreachable" : "");
    }
    return r;
}

int ui_refuse_debts(struct ui *ui, const struct ferry_plan *plan)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    int r = ui_journal_look(ui, &journal);
    return r < 0 || !journal ? r : ferry_journal_refuse_debts(journal, plan, NULL, &ui->err);
}

/* ---- Showing debts. ---- */

void ui_debts_text(const struct ui *ui, struct json_object *debts)
{
    static const char *const columns[] = {"DEBT OF", "SUBNET", "OWES", "SINCE", "TRANSACTION", NULL};
    if (!ui_count(debts))
        return;
    putchar('\n');
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < ui_count(debts); i++) {
        struct json_object *d = json_object_array_get_idx(debts, i);
        ui_table_row(table,
                     (const char *[]){ui_text(d, "router"), ui_text(d, "subnet"), ui_text(d, "owes"),
                                      ui_text(d, "since"), ui_text(d, "transaction")},
                     UI_YELLOW);
    }
    ui_table_print(table);
    printf("Delivered by `ferry reconcile` once the router answers.\n");
}
