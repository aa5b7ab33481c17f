/* A transaction's record as text; as a document: watch/documents.c.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include <ferry/dns.h>

#include "base/mem.h"
#include <string.h>

void ui_hands_text(const struct ui *ui, const struct ferry_hand *hands, size_t n, FILE *f)
{
    static const char *const columns[] = {"ROUTER", "KEY", "EXPECTED", "FOUND", NULL};
    struct libscols_table *table = ui_table_new(ui, f, columns);
    for (size_t i = 0; i < n; i++)
        ui_table_row(table,
                     (const char *[]){hands[i].router, hands[i].key, hands[i].expected, hands[i].found},
                     UI_RED);
    ui_table_print(table);
}

char *ui_took_text(const struct ferry_txn_record *r)
{
    if (!r->ended_us || r->ended_us < r->started_us)
        return NULL;
    return ferry_asprintf("%.3f s", (double)(r->ended_us - r->started_us) / 1e6);
}

void ui_outages_text(const struct ui *ui, const struct ferry_txn_record *r, FILE *f)
{
    for (size_t i = 0; i < r->n_outages; i++) {
        const struct ferry_outage *o = &r->outages[i];
        const char *red = ui_style(ui, f, UI_RED), *reset = ui_reset(ui, f);
        fprintf(f, "outage seen from %s: ", o->vantage);
        if (o->lasts && !o->sent)
            fprintf(f, "%sno answer at all%s\n", red, reset);
        else
            fprintf(f, "%s%s%s%.1f ms (%llu of %llu probes lost, %llu TTL exceeded, %llu duplicates)\n",
                    o->lasts ? red : "", o->lasts ? "no answer since: at least " : "", o->lasts ? reset : "",
                    o->ms, (unsigned long long)o->lost, (unsigned long long)o->sent,
                    (unsigned long long)o->ttl_exceeded, (unsigned long long)o->duplicates);
    }
}

static void print_change(const struct ui *ui, const struct ferry_txn_record *r, size_t i, size_t k, FILE *f)
{
    char before[512], after[512], name[FERRY_DNS_NAME_LEN + 8];
    const struct ferry_change *c = &r->plan->stages[i].changes[k];
    const struct ferry_group *g = &r->plan->groups[c->group];
    struct ferry_tally t = ferry_record_tally(r, i, k);
    bool sent = i < r->stages_begun;
    enum ui_style style = !sent ? UI_DIM : t.worst == FERRY_DONE ? UI_GREEN : UI_RED;
    fprintf(f, "  %s%-8s%s %s: %s: %s %s %s", ui_style(ui, f, style),
            sent ? ferry_outcome_name(t.worst) : "not sent", ui_reset(ui, f),
            r->plan->routers[c->router].name, ferry_change_name(r->plan, c, name, sizeof name),
            ferry_entry_text(c->before, before, sizeof before), ui_arrow(ui),
            ferry_entry_text(c->after, after, sizeof after));
    if (sent && g->n_subnets > 1)
        fprintf(f, "  (%zu of %zu done)", t.n[FERRY_DONE], g->n_subnets);
    fputc('\n', f);
}

static enum ui_style state_style(enum ferry_txn_state state)
{
    return state == FERRY_TXN_COMMITTED ? UI_GREEN : state == FERRY_TXN_UNDONE ? UI_YELLOW : UI_RED;
}

void ui_record_text(const struct ui *ui, const struct ferry_txn_record *r, FILE *f)
{
    char started[32], ended[32];
    fprintf(f, "transaction %s%s%s  %s%s%s\n", ui_style(ui, f, UI_BOLD), r->id, ui_reset(ui, f),
            ui_style(ui, f, state_style(r->state)), ferry_txn_state_name(r->state), ui_reset(ui, f));
    fprintf(f, "  %s%s%s by %s\n", r->kind, r->undoes ? " of " : "", r->undoes ? r->undoes : "",
            r->user ? r->user : "unknown");
    if (r->summary)
        fprintf(f, "  %s\n", r->summary);
    fprintf(f, "  started %s, ended %s\n", ferry_time_text(r->started_us, started),
            ferry_time_text(r->ended_us, ended));
    fprintf(f, "  plan %s\n", r->plan_id);
    if (r->reason)
        fprintf(f, "  reason: %s\n", r->reason);
    for (size_t i = 0; i < r->n_overrides; i++) {
        FERRY_AUTOFREE char *refused = ui_plain(r->overrides[i].refused);
        fprintf(f, "  %soverridden%s: rule %s by %s: %s%s\n", ui_style(ui, f, UI_YELLOW), ui_reset(ui, f),
                r->overrides[i].rule, r->overrides[i].user ? r->overrides[i].user : "unknown",
                refused ? "would have refused: " : "it would not have refused", refused ? refused : "");
    }
    if (r->n_hooks)
        fprintf(f, "\nhooks\n");
    for (size_t i = 0; i < r->n_hooks; i++)
        ui_hook_text(ui, &r->hooks[i], f);
    if (r->plan)
        ui_plan_addresses_text(ui, r->plan, f);
    for (size_t i = 0; r->plan && i < r->plan->n_stages; i++) {
        fprintf(f, "\nstage %zu/%zu %s\n", i + 1, r->plan->n_stages,
                ferry_phase_name(r->plan->stages[i].phase));
        for (size_t k = 0; k < r->plan->stages[i].n_changes; k++)
            print_change(ui, r, i, k, f);
    }
    if (r->n_outages)
        fputc('\n', f);
    ui_outages_text(ui, r, f);
    if (r->n_hands) {
        fprintf(f, "\n%sA person is needed here:%s\n", ui_style(ui, f, UI_RED), ui_reset(ui, f));
        ui_hands_text(ui, r->hands, r->n_hands, f);
    }
}
