/* How `ferry addresses` shows what it found: table, CSV (RFC 4180), JSON.  SPDX-License-Identifier: MIT */
#include "ui/networks.h"

#include "base/mem.h"
#include <string.h>

static const char *network_name(const struct ferry_networks *n, uint32_t network)
{
    return network == FERRY_NONE ? "disconnected" : n->networks[network].name;
}

static const struct ferry_nic *nic_of(const struct ui_addresses *a, const struct ferry_address_row *row)
{
    return &a->t->networks->workloads[row->workload].nics[row->nic];
}

/* Where a NIC is connected; one that is not created is not disconnected: there is none. */
static const char *place(const struct ui_addresses *a, const struct ferry_address_row *row, uint32_t network)
{
    bool none = network == FERRY_NONE && nic_of(a, row)->type == FERRY_NIC_NOT_CREATED;
    return none ? "not created" : network_name(a->t->networks, network);
}

static const char *subnet_name(const struct ferry_networks *n, uint32_t network, uint32_t subnet)
{
    return network == FERRY_NONE ? NULL : n->networks[network].subnets[subnet].name;
}

/* NULL where there is none. */
static const char *address(const struct ferry_addr *a, char buf[static FERRY_ADDR_STRLEN])
{
    return a->family ? ferry_addr_text(a, buf) : NULL;
}

/* ---- Why. ---- */

/* Why a machine fails back to that network; NULL where nothing is said of it. */
static char *path_text(const struct ui_addresses *a, const struct ferry_address_row *row)
{
    const struct ferry_networks *n = a->t->networks;
    if (row->why == FERRY_ADDRESS_NOT_CREATED)
        return NULL; /* wherever its network is mapped to */
    if (!a->failback && row->network == FERRY_NONE)
        return ferry_asprintf("%s is not mapped", network_name(n, row->from));
    if (!a->failback)
        return NULL;
    switch (row->path) {
    case FERRY_FAILBACK_SOURCE:
        return ferry_strdup("nothing was changed");
    case FERRY_FAILBACK_DISCONNECTED:
        return ferry_strdup("its replica was disconnected");
    case FERRY_FAILBACK_UNMAPPED:
        return ferry_asprintf("%s, where its replica is, is not mapped", network_name(n, row->from));
    case FERRY_FAILBACK_NOT_CREATED:
        return ferry_strdup("it was not created there");
    case FERRY_FAILBACK_MAPPED:
        break;
    }
    return ferry_asprintf("%s is mapped to %s now", network_name(n, row->from),
                          network_name(n, row->network));
}

static char *address_text(const struct ui_addresses *a, const struct ferry_address_row *row)
{
    const char *subnet = subnet_name(a->t->networks, row->network, row->subnet);
    char own[FERRY_ADDR_STRLEN], unavailable[256];
    ferry_addr_text(&row->own, own);
    ferry_address_unavailable_text(a->t->networks, row, unavailable);
    switch (row->why) {
    case FERRY_ADDRESS_KEPT:
        return ferry_asprintf("%s is in the pool and free", own);
    case FERRY_ADDRESS_OWN:
        return ferry_strdup("its own address");
    case FERRY_ADDRESS_RESERVED:
        return ferry_asprintf("reserved%s%s", unavailable[0] ? "; " : "", unavailable);
    case FERRY_ADDRESS_ASSIGNED:
        return ferry_strdup("assigned: a move has made it the machine's");
    case FERRY_ADDRESS_ASKED:
        return ferry_strdup("asked for, and free");
    case FERRY_ADDRESS_UNAVAILABLE:
        return ferry_asprintf("%s: the next free one", unavailable);
    case FERRY_ADDRESS_OUTSIDE:
        return ferry_asprintf("%s is not in the pool: the next free one", own);
    case FERRY_ADDRESS_TAKEN:
        return ferry_asprintf("%s is taken by %s: the next free one", own, row->taken_by);
    case FERRY_ADDRESS_EXHAUSTED:
        return ferry_asprintf("no address of the pool of subnet %s is free", subnet);
    case FERRY_ADDRESS_NO_POOL:
        return ferry_asprintf("subnet %s has no static pool", subnet);
    case FERRY_ADDRESS_DHCP:
        return ferry_strdup("DHCP: not managed");
    case FERRY_ADDRESS_NOT_CREATED:
        return ferry_strdup("the machine has no such NIC there");
    case FERRY_ADDRESS_UNCONNECTED:
        break;
    }
    return NULL;
}

static char *why_text(const struct ui_addresses *a, const struct ferry_address_row *row)
{
    FERRY_AUTOFREE char *path = path_text(a, row), *how = address_text(a, row);
    return ferry_asprintf("%s%s%s%s", path ? path : "", path && how ? "; " : "", how ? how : "",
                          row->stale ? "; what was reserved does not hold any more" : "");
}

/* ---- Table. ---- */

static enum ui_style style_of(const struct ferry_address_row *row)
{
    switch (row->why) {
    case FERRY_ADDRESS_EXHAUSTED:
    case FERRY_ADDRESS_NO_POOL:
        return UI_RED;
    case FERRY_ADDRESS_OUTSIDE:
    case FERRY_ADDRESS_TAKEN:
    case FERRY_ADDRESS_UNAVAILABLE:
    case FERRY_ADDRESS_UNCONNECTED:
        return UI_YELLOW;
    case FERRY_ADDRESS_KEPT:
    case FERRY_ADDRESS_ASKED:
    case FERRY_ADDRESS_OWN:
    case FERRY_ADDRESS_RESERVED:
    case FERRY_ADDRESS_ASSIGNED:
    case FERRY_ADDRESS_DHCP:
    case FERRY_ADDRESS_NOT_CREATED:
        break;
    }
    return UI_PLAIN;
}

/* An address, or what stands for one. */
static const char *cell(const struct ui_addresses *a, const struct ferry_address_row *row,
                        const struct ferry_addr *addr, char buf[static FERRY_ADDR_STRLEN])
{
    return addr->family || nic_of(a, row)->assignment == FERRY_ASSIGN_STATIC ? address(addr, buf) : "dhcp";
}

void ui_addresses_table(const struct ui *ui, const struct ui_addresses *a)
{
    static const char *const columns[] = {"MACHINE", "NIC",    "TYPE",  "NETWORK", "BEFORE",
                                          "THEN",    "SUBNET", "AFTER", "WHY",     NULL};
    const struct ferry_networks *n = a->t->networks;
    struct libscols_table *table = ui_table_new(ui, stdout, columns);
    for (size_t i = 0; i < a->rows.n; i++) {
        const struct ferry_address_row *row = &a->rows.v[i];
        const struct ferry_workload *w = &n->workloads[row->workload];
        char before[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
        FERRY_AUTOFREE char *why = why_text(a, row);
        ui_table_row(
            table,
            (const char *[]){w->name, w->nics[row->nic].name, ferry_nic_type_name(nic_of(a, row)->type),
                             place(a, row, row->from), cell(a, row, &row->before, before),
                             place(a, row, row->network), subnet_name(n, row->network, row->subnet),
                             row->network == FERRY_NONE ? NULL : cell(a, row, &row->after, after), why},
            style_of(row));
    }
    ui_table_print(table);
}

/* ---- CSV. ---- */

static void field(const char *text, const char *end)
{
    if (text && strpbrk(text, ",\"\r\n")) {
        putchar('"');
        for (; *text; text++) {
            if (*text == '"')
                putchar('"');
            putchar(*text);
        }
        putchar('"');
    } else if (text) {
        fputs(text, stdout);
    }
    fputs(end, stdout);
}

void ui_addresses_csv(const struct ui_addresses *a)
{
    const struct ferry_networks *n = a->t->networks;
    puts("machine,nic,assignment,network,subnet,before,network_after,subnet_after,after,reason,why,target_"
         "type,asked");
    for (size_t i = 0; i < a->rows.n; i++) {
        const struct ferry_address_row *row = &a->rows.v[i];
        const struct ferry_workload *w = &n->workloads[row->workload];
        char before[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN], asked[FERRY_ADDR_STRLEN];
        FERRY_AUTOFREE char *why = why_text(a, row);
        const char *fields[] = {w->name,
                                w->nics[row->nic].name,
                                ferry_assignment_name(w->nics[row->nic].assignment),
                                row->from == FERRY_NONE ? NULL : network_name(n, row->from),
                                subnet_name(n, row->from, row->from_subnet),
                                address(&row->before, before),
                                row->network == FERRY_NONE ? NULL : network_name(n, row->network),
                                subnet_name(n, row->network, row->subnet),
                                address(&row->after, after),
                                ferry_address_why_name(row->why),
                                why,
                                ferry_nic_type_name(w->nics[row->nic].type),
                                address(&row->asked, asked)};
        for (size_t k = 0; k < FERRY_COUNT(fields); k++)
            field(fields[k], k + 1 < FERRY_COUNT(fields) ? "," : "\n");
    }
}

/* ---- JSON. ---- */

static void add(struct json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static struct json_object *row_json(const struct ui_addresses *a, const struct ferry_address_row *row)
{
    const struct ferry_networks *n = a->t->networks;
    const struct ferry_workload *w = &n->workloads[row->workload];
    struct json_object *o = json_object_new_object();
    char buf[FERRY_ADDR_STRLEN];
    FERRY_AUTOFREE char *why = why_text(a, row);
    add(o, "machine", w->name);
    add(o, "nic", w->nics[row->nic].name);
    add(o, "assignment", ferry_assignment_name(w->nics[row->nic].assignment));
    add(o, "own", address(&row->own, buf));
    add(o, "network", row->from == FERRY_NONE ? NULL : network_name(n, row->from));
    add(o, "subnet", subnet_name(n, row->from, row->from_subnet));
    add(o, "before", address(&row->before, buf));
    add(o, "network_after", row->network == FERRY_NONE ? NULL : network_name(n, row->network));
    add(o, "subnet_after", subnet_name(n, row->network, row->subnet));
    add(o, "after", address(&row->after, buf));
    add(o, "reason", ferry_address_why_name(row->why));
    add(o, "why", why);
    add(o, "target_type", ferry_nic_type_name(w->nics[row->nic].type));
    add(o, "asked", address(&row->asked, buf));
    json_object_object_add(o, "stale_reservation", json_object_new_boolean(row->stale));
    return o;
}

struct json_object *ui_addresses_json(const struct ui_addresses *a)
{
    struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; i < a->rows.n; i++)
        json_object_array_add(list, row_json(a, &a->rows.v[i]));
    json_object_object_add(doc, "topology", json_object_new_string(a->t->name));
    add(doc, "direction", a->failback ? "failback" : "failover");
    json_object_object_add(doc, "addresses", list);
    json_object_object_add(doc, "warnings", json_object_get(a->warnings));
    return doc;
}
