/* --network, --failback: which addresses the machines get, by the rules of ferry/networks.h and what the
 * journal keeps for them.  SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include <string.h>

void ui_readdressing_clear(struct ui_readdressing *r)
{
    for (size_t i = 0; i < r->n_warnings; i++)
        free(r->warnings[i]);
    free(r->warnings);
    free(r->v);
    ferry_reservations_clear(&r->reservations);
}

static void warn(struct ui_readdressing *r, char *text)
{
    FERRY_GROW(r->warnings, r->n_warnings);
    r->warnings[r->n_warnings++] = text;
}

static void add(struct ui_readdressing *r, struct ferry_plan_address address)
{
    FERRY_GROW(r->v, r->n);
    r->v[r->n++] = address;
}

/* Planned offline, nothing is known but the topology. */
static int read_journal(struct ui *ui, const struct ferry_topology *t, const struct ui_selection *s,
                        struct ferry_reservations *ret)
{
    FERRY_CLEANUP(ui_journal_cleanup) struct ferry_journal *journal = NULL;
    int r = s->offline ? 0 : ui_journal_look(ui, &journal);
    if (r == 0 && journal)
        r = ferry_journal_reservations(journal, t->name, ret, &ui->err);
    if (r == 0 && journal)
        r = ferry_journal_assignments(journal, t, ret, &ui->err);
    return r;
}

/* Of the networks that were named; of all, where none was. */
static bool is_meant(const struct ferry_networks *n, const struct ui_selection *s, uint32_t network)
{
    bool meant = !s->n_networks;
    for (size_t i = 0; i < s->n_networks; i++)
        meant = meant || ferry_networks_network(n, s->networks[i]) == network;
    return meant;
}

/* Rule target-address: that the next free one will do has to be said. */
static int check_asked(struct ui *ui, const struct ui_selection *s, const struct ferry_networks *n,
                       const struct ferry_address_row *row)
{
    const struct ferry_workload *w = &n->workloads[row->workload];
    char why[256], after[FERRY_ADDR_STRLEN];
    ferry_address_unavailable_text(n, row, why);
    return why[0] ? ferry_rule_refuse(s->overrides, &ui->err, "target-address", "%s (%s) would get %s: %s",
                                      w->name, w->nics[row->nic].name,
                                      row->after.family ? ferry_addr_text(&row->after, after) : "no address",
                                      why)
                  : 0;
}

static int add_failover(struct ui *ui, const struct ui_selection *s, const struct ferry_networks *n,
                        const struct ferry_address_row *row, struct ui_readdressing *ret)
{
    const struct ferry_workload *w = &n->workloads[row->workload];
    const struct ferry_nic *nic = &w->nics[row->nic];
    const struct ferry_vm_network *from = &n->networks[nic->network], *to = &n->networks[row->network];
    bool stays = !ferry_addr_equal(&row->own, &row->after);
    char own[FERRY_ADDR_STRLEN];
    if (row->why == FERRY_ADDRESS_ASSIGNED || row->why == FERRY_ADDRESS_DHCP)
        return 0; /* it is there; it is nobody's business here */
    int r = w->not_ready && stays ? 0 : check_asked(ui, s, n, row);
    if (r < 0)
        return r;
    if (!row->after.family)
        warn(ret, ferry_asprintf("%s %s: no address of %s is left for %s: it gets none", w->name, nic->name,
                                 to->name, ferry_addr_text(&row->own, own)));
    else if (w->not_ready && stays)
        warn(ret, ferry_asprintf("%s is not ready to move: it keeps %s in %s", w->name,
                                 ferry_addr_text(&row->own, own), from->name));
    else
        add(ret, (struct ferry_plan_address){.machine = w->name,
                                             .nic = nic->name,
                                             .own = row->own,
                                             .network = from->name,
                                             .network_after = to->name,
                                             .before = row->own,
                                             .after = row->after,
                                             .reason = (char *)(uintptr_t)ferry_address_why_name(row->why)});
    return 0;
}

/* Its records stay as they are, and lead to nobody: they are right again after the failback, and what is taken
 * out here a failback could not tell from what somebody else took out. */
static void say_left_out(const struct ferry_networks *n, const struct ferry_address_row *row,
                         struct ui_readdressing *ret)
{
    const struct ferry_workload *w = &n->workloads[row->workload];
    const struct ferry_nic *nic = &w->nics[row->nic];
    uint32_t target = n->networks[nic->network].mapped;
    char own[FERRY_ADDR_STRLEN];
    if (w->not_ready || target == FERRY_NONE)
        return; /* it stays where it is */
    ferry_addr_text(&row->own, own);
    warn(ret, row->own.family
                  ? ferry_asprintf("NIC %s of %s is not created in %s: nobody has %s until the failback",
                                   nic->name, w->name, n->networks[target].name, own)
                  : ferry_asprintf("NIC %s of %s is not created in %s", nic->name, w->name,
                                   n->networks[target].name));
    for (size_t i = 0; row->own.family && i < nic->n_dns; i++)
        warn(ret, ferry_asprintf("%s keeps leading to %s, which nobody has until the failback",
                                 nic->dns[i].name, own));
}

/* Whether a machine that was given an address goes back now: at a failback of its network; or where the
 * network that it is in since fails over to its own. */
static bool goes_back(const struct ferry_networks *n, const struct ui_selection *s,
                      const struct ferry_nic *nic, const char *at)
{
    uint32_t network = ferry_networks_network(n, at);
    if (s->failback)
        return is_meant(n, s, nic->network);
    return network != FERRY_NONE && is_meant(n, s, network) && n->networks[network].mapped == nic->network;
}

/* What a failover has given goes back, to the address that the topology says. */
static void add_failback(const struct ferry_networks *n, const struct ui_selection *s,
                         const struct ferry_reservation *r, struct ui_readdressing *ret)
{
    uint32_t w = ferry_networks_workload(n, r->workload);
    for (size_t i = 0; r->assigned_by[0] && w != FERRY_NONE && i < n->workloads[w].n_nics; i++) {
        const struct ferry_nic *nic = &n->workloads[w].nics[i];
        if (strcmp(nic->name, r->nic) != 0 || !goes_back(n, s, nic, r->network))
            continue;
        add(ret, (struct ferry_plan_address){
                     .machine = n->workloads[w].name,
                     .nic = nic->name,
                     .own = r->own,
                     .network = r->network,
                     .network_after = n->networks[nic->network].name,
                     .before = r->address,
                     .after = r->own,
                     .reason = (char *)(uintptr_t)ferry_address_why_name(FERRY_ADDRESS_OWN)});
    }
}

int ui_network_addresses(struct ui *ui, const struct ferry_topology *t, const struct ui_selection *s,
                         struct ui_readdressing *ret)
{
    FERRY_CLEANUP(ferry_address_rows_clear) struct ferry_address_rows rows = {0};
    const struct ferry_networks *n = t->networks;
    if (!n)
        return 0;
    int r = read_journal(ui, t, s, &ret->reservations);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ret->reservations.n; i++)
        add_failback(n, s, &ret->reservations.v[i], ret);
    if (s->failback)
        return 0;
    ferry_networks_addresses(t, false, ret->reservations.v, ret->reservations.n, &rows);
    for (size_t i = 0; r == 0 && i < rows.n; i++) {
        const struct ferry_address_row *row = &rows.v[i];
        if (!is_meant(n, s, n->workloads[row->workload].nics[row->nic].network))
            continue;
        if (row->why == FERRY_ADDRESS_NOT_CREATED)
            say_left_out(n, row, ret);
        else if (row->network != FERRY_NONE)
            r = add_failover(ui, s, n, row, ret);
    }
    return r;
}
