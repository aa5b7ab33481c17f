/* The addresses of machines in a plan: copied, reversed, read from a document, held against a topology.
 * Which ones they are is found by the rules of ferry/networks.h; what they mean for the journal says
 * ferry/reservation.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include "model/map.h"

#include <ferry/networks.h>

#include <string.h>

void ferry_plan_address_clear(struct ferry_plan_address *a)
{
    free(a->machine);
    free(a->nic);
    free(a->network);
    free(a->network_after);
    free(a->reason);
    *a = (struct ferry_plan_address){0};
}

void ferry_plan_add_address(struct ferry_plan *plan, const struct ferry_plan_address *a)
{
    FERRY_GROW(plan->addresses, plan->n_addresses);
    plan->addresses[plan->n_addresses++] =
        (struct ferry_plan_address){.machine = ferry_strdup(a->machine),
                                    .nic = ferry_strdup(a->nic),
                                    .own = a->own,
                                    .network = ferry_strdup(a->network),
                                    .network_after = ferry_strdup(a->network_after),
                                    .before = a->before,
                                    .after = a->after,
                                    .reason = ferry_strdup(a->reason)};
}

void ferry_plan_reverse_addresses(const struct ferry_plan *plan, struct ferry_plan *ret)
{
    for (size_t i = 0; i < plan->n_addresses; i++) {
        struct ferry_plan_address back = plan->addresses[i];
        back.network = plan->addresses[i].network_after;
        back.network_after = plan->addresses[i].network;
        back.before = plan->addresses[i].after;
        back.after = plan->addresses[i].before;
        ferry_plan_add_address(ret, &back);
    }
}

/* ---- The document. ---- */

static int parse_one(struct parsing *p, uint32_t v, struct ferry_plan_address *ret, struct ferry_err *err)
{
    static const char *const known[] = {"machine",       "nic",   "own",    "network", "before",
                                        "network_after", "after", "reason", NULL};
    const struct {
        const char *key;
        char **text;
        struct ferry_addr *address;
    } members[] = {{"machine", &ret->machine, NULL}, {"nic", &ret->nic, NULL},
                   {"own", NULL, &ret->own},         {"network", &ret->network, NULL},
                   {"before", NULL, &ret->before},   {"network_after", &ret->network_after, NULL},
                   {"after", NULL, &ret->after},     {"reason", &ret->reason, NULL}};
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    for (size_t i = 0; r == 0 && i < FERRY_COUNT(members); i++) {
        const char *text;
        uint32_t at;
        r = ferry_json_need(p->doc, v, members[i].key, FERRY_JSON_STRING, &at, err);
        if (r == 0 && members[i].address)
            r = parse_addr(p, at, members[i].address, err);
        else if (r == 0 && (r = parse_name(p, at, &text, err)) == 0)
            *members[i].text = ferry_strdup(text);
    }
    if (r == 0 && (ret->own.family != ret->before.family || ret->own.family != ret->after.family))
        r = ferry_json_error(p->doc, v, err, "IPv4 and IPv6 are mixed");
    return r;
}

int parse_addresses(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "addresses", FERRY_JSON_ARRAY, &list, err);
    if (r < 0 || list == FERRY_JSON_NONE)
        return r;
    p->plan->addresses = ferry_calloc(ferry_json_count(p->doc, list), sizeof *p->plan->addresses);
    FERRY_JSON_EACH(p->doc, list, v)
    {
        r = parse_one(p, v, &p->plan->addresses[p->plan->n_addresses++], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- The topology. ---- */

/* `ret_index`: of the NIC's addresses, its own there. */
static const struct ferry_nic *nic_of(const struct ferry_networks *n, const struct ferry_plan_address *a,
                                      size_t *ret_index)
{
    uint32_t w = n ? ferry_networks_workload(n, a->machine) : FERRY_NONE;
    for (size_t i = 0; w != FERRY_NONE && i < n->workloads[w].n_nics; i++)
        for (size_t k = 0; k < n->workloads[w].nics[i].n_addresses; k++)
            if (strcmp(n->workloads[w].nics[i].name, a->nic) == 0 &&
                ferry_addr_equal(&n->workloads[w].nics[i].addresses[k], &a->own)) {
                *ret_index = k;
                return &n->workloads[w].nics[i];
            }
    return NULL;
}

static bool network_has(const struct ferry_networks *n, const char *name, const struct ferry_addr *a)
{
    uint32_t network = ferry_networks_network(n, name);
    for (size_t i = 0; network != FERRY_NONE && i < n->networks[network].n_subnets; i++)
        if (ferry_network_subnet_has(&n->networks[network].subnets[i], a))
            return true;
    return false;
}

/* From its own address in its own network to one of another, or back.  What is not created there is given
 * nothing; but what it was given before, it gives back. */
static bool fits(const struct ferry_networks *n, const struct ferry_plan_address *a)
{
    size_t index;
    const struct ferry_nic *nic = nic_of(n, a, &index);
    const char *home = nic ? n->networks[nic->network].name : "";
    return (nic && nic->type != FERRY_NIC_NOT_CREATED && strcmp(a->network, home) == 0 &&
            ferry_addr_equal(&a->before, &a->own) && network_has(n, a->network_after, &a->after)) ||
           (strcmp(a->network_after, home) == 0 && ferry_addr_equal(&a->after, &a->own) &&
            network_has(n, a->network, &a->before));
}

/* What was given so far: machines' own addresses, and addresses of networks. */
struct given {
    struct ferry_map map;
    char **keys;
    size_t n;
};

static void given_clear(struct given *g)
{
    for (size_t i = 0; i < g->n; i++)
        free(g->keys[i]);
    free(g->keys);
    ferry_map_clear(&g->map);
}

/* False: it was given before.  Takes the key over. */
static bool give(struct given *g, char *key)
{
    FERRY_GROW(g->keys, g->n);
    g->keys[g->n++] = key;
    return ferry_map_add(&g->map, key, strlen(key), 0) == FERRY_MAP_NONE;
}

int ferry_plan_fit_addresses(const struct ferry_plan *plan, const struct ferry_topology *t,
                             struct ferry_err *err)
{
    FERRY_CLEANUP(given_clear) struct given given = {0};
    for (size_t i = 0; i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        char own[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
        ferry_addr_text(&a->own, own);
        ferry_addr_text(&a->after, after);
        if (!fits(t->networks, a))
            return ferry_refuse(
                err, "topology",
                "the plan gives %s (%s) %s in %s, which is no move by the topology; plan again", a->machine,
                a->nic, after, a->network_after);
        if (!give(&given, ferry_asprintf("machine %s %s %s", a->machine, a->nic, own)) ||
            !give(&given, ferry_asprintf("network %s %s", a->network_after, after)))
            return ferry_refuse(err, "topology", "the plan gives %s (%s) %s in %s, and that or another twice",
                                a->machine, a->nic, after, a->network_after);
    }
    return 0;
}

/* Of those that leave their own network: what goes back, or is rolled back, is not asked for. */
int ferry_plan_asked(const struct ferry_plan *plan, const struct ferry_topology *t,
                     struct ferry_overrides *overrides, struct ferry_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < plan->n_addresses; i++) {
        const struct ferry_plan_address *a = &plan->addresses[i];
        size_t index;
        const struct ferry_nic *nic = nic_of(t->networks, a, &index);
        char asked[FERRY_ADDR_STRLEN], after[FERRY_ADDR_STRLEN];
        if (!nic || !nic->asked[index].family ||
            strcmp(a->network, t->networks->networks[nic->network].name) != 0 ||
            ferry_addr_equal(&nic->asked[index], &a->after))
            continue;
        r = ferry_rule_refuse(overrides, err, "target-address",
                              "%s (%s) would get %s in %s, but %s is asked for", a->machine, a->nic,
                              ferry_addr_text(&a->after, after), a->network_after,
                              ferry_addr_text(&nic->asked[index], asked));
    }
    return r;
}
