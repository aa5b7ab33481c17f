/* The registry of safety rules, and overrides.  See ferry/rules.h.
 *
 *  S1. Every rule that a refusal names stands here (tests/scenario/test_rules.py holds the source against the list).
 *  S2. A rule is overridden by its own name, never by another's, never all at once.
 *  S3. What keeps a subnet from two sites, packets from loops, or a stale plan from a router is firm.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/rules.h>

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Why a rule is firm. */
#define PROOF    "it is part of the proof: without it packets could loop, get lost, or reach two sites"
#define STATE    "what the routers hold differs from what was planned; plan again from what they hold"
#define PEOPLE   "it asks for a person's word; give it"
#define ORDER    "transactions come one after the other"
#define ROUTER   "the router or its driver cannot do it, whoever wants it"
#define DOCUMENT "the plan or topology says something that cannot be meant"
#define ACCESS   "who may write through the socket is decided by who started ferryd"
#define LAB      "it belongs to `ferry lab`, which moves nothing"

const struct ferry_rule ferry_rules[] = {
    {"already-undone", "a transaction is rolled back once", ORDER, 0},
    {"announced", "what is announced where it is not attached is not planned around", PROOF, 0},
    {"budget", "one plan takes no more subnets away from a site than the topology's \"budget\" says", NULL,
     0},
    {"confirmation", "nothing is written that nobody has agreed to", PEOPLE, 0},
    {"covering-route", "no router falls to a covering route where the subnet's own would be missing", NULL,
     FERRY_COVERING_ROUTE},
    {"daemon", "every FRR daemon that a change needs runs", ROUTER, 0},
    {"dead-man", "with --confirm-within every changed router can go back by itself", ROUTER, 0},
    {"debt", "what a router owes is delivered before anything else is asked of it", ORDER, 0},
    {"dns-record", "a name leads to its machine before its records are changed", STATE, 0},
    {"drift", "a router that is not as the plan found it is not written to (exit 3)", STATE, 0},
    {"dry-run", "what awaits a person cannot be tried without writing", ORDER, 0},
    {"duplicate-key", "a router holds one route or announcement under a key", ROUTER, 0},
    {"extend", "a deadline is only ever put off", ORDER, 0},
    {"falls", "no router falls to a covering route while a subnet moves", PROOF, 0},
    {"foreign", "a plan changes keys of the moved subnets alone", PROOF, 0},
    {"foreign-attachment", "a subnet is not attached on a device that the topology does not know", PROOF, 0},
    {"frr-bgp-instances", "FRR: one BGP instance", ROUTER, 0},
    {"frr-link-local", "FRR: an IPv6 address beside the link-local one", ROUTER, 0},
    {"frr-no-instance", "FRR: the routing protocol is configured", ROUTER, 0},
    {"frr-no-neighbour", "FRR: somebody hears the announcement", ROUTER, 0},
    {"frr-ospf-area", "FRR: the OSPF area has interfaces", ROUTER, 0},
    {"frr-ospf6", "FRR: OSPF for IPv6 is not supported", ROUTER, 0},
    {"frr-prefix-list", "FRR: the prefix-list is there and lets the subnet through", ROUTER, 0},
    {"frr-redistribute", "FRR: what is redistributed is filtered by the prefix-list", ROUTER, 0},
    {"frr-statement", "FRR: a statement can be written and taken back exactly", ROUTER, 0},
    {"frr-unheard", "FRR: a neighbour takes the announcement in", ROUTER, 0},
    {"gateway-beaten", "no route is stronger than the subnet's gateway", PROOF, 0},
    {"hold-down", "a subnet rests for the topology's \"hold-down\" after a move", NULL, 0},
    {"host-routes", "a subnet with host routes stays where they need it", PROOF, 0},
    {"lab-files", "the lab's files are its own", LAB, 0},
    {"lab-lan", "the lab's LANs hold together", LAB, 0},
    {"lab-up", "the lab stands once", LAB, 0},
    {"last-site", "no plan leaves a subnet without a site", NULL, 0},
    {"lifetime", "an address that expires by itself is not moved", ROUTER, 0},
    {"local-network", "no tunnel takes a prefix away from the site where it is attached", PROOF, 0},
    {"lock", "one transaction at a time (exit 8)", ORDER, 0},
    {"loop", "packets never loop", PROOF, 0},
    {"lost", "no router loses the subnet outside of the hand-over", PROOF, 0},
    {"lost-site", "a lost site is left where every live neighbour is fenced, or a person attests", PEOPLE, 0},
    {"mismatch", "every change starts from what is there", PROOF, 0},
    {"more-specific", "no foreign longer prefix inside a moved subnet stays behind and beats it", NULL, 0},
    {"name-server", "every name server whose records lead to moved machines answers", NULL, 0},
    {"native", "what a router holds can be put back exactly", ROUTER, 0},
    {"nested", "a subnet inside a moved one is not drawn along",
     "packets of a subnet that is not moved would go elsewhere", 0},
    {"netns-exists", "the lab's namespaces are new", LAB, 0},
    {"netns-shared", "the lab's routers have a namespace each", LAB, 0},
    {"no-foreign", "no route that Ferry did not make is replaced, not even for a while", NULL,
     FERRY_NO_FOREIGN},
    {"no-gateway", "the target site has a gateway of the subnet", PROOF, 0},
    {"no-interface", "the router has the interface", ROUTER, 0},
    {"no-metric", "a blackhole fits under the live route", PROOF, 0},
    {"no-netns", "the router's namespace exists", ROUTER, 0},
    {"no-path", "every router that delivers now has a path to the target", PROOF, 0},
    {"not-awaiting", "only what awaits a confirmation is confirmed", ORDER, 0},
    {"not-committed", "only what is committed is rolled back", ORDER, 0},
    {"not-paused", "only what is paused is resumed, retried or skipped", ORDER, 0},
    {"not-ready", "every machine of a subnet that moves as a whole is ready to move", NULL, 0},
    {"nothing-to-undo", "a rollback needs something to roll back", ORDER, 0},
    {"packages", "the lab's programs are installed", LAB, 0},
    {"pause", "a pause is passed by the verb that fits it, and never without a way back", ORDER, 0},
    {"permission",
     "through ferryd's socket root, its own user and the group of the socket write, nobody else", ACCESS, 0},
    {"precheck", "every driver says that it can do what is planned", ROUTER, 0},
    {"probe-before", "what is moved answers before it moves", NULL, 0},
    {"probe-vantage", "somebody can send the probes", ROUTER, 0},
    {"reserved", "an address of a network is reserved for one machine",
     "two machines cannot have one address", 0},
    {"root", "the lab needs root", LAB, 0},
    {"routing", "a router learns and announces as the topology says", PROOF, 0},
    {"same-machine", "two routers are two machines", DOCUMENT, 0},
    {"site-exclusive", "a subnet is attached or announced at one site, checked at every write (exit 5)",
     PROOF, 0},
    {"target-address", "a machine gets the address that is asked for it", NULL, 0},
    {"test-broken", "a test failover that was never whole has not passed", ORDER, 0},
    {"test-isolated", "a test failover changes nothing that packets of others can meet", PROOF, 0},
    {"test-running", "a test failover ends; it is never kept", ORDER, 0},
    {"topology", "a plan is of this topology", DOCUMENT, 0},
    {"two-sites", "a subnet is attached or announced at one site", PROOF, 0},
    {"unfinished", "what was begun is brought to an end first", ORDER, 0},
    {"unpinned", "what a routing protocol may change is held while a subnet moves", PROOF, 0},
    {"unreachable", "every router that the plan needs answers", STATE, 0},
    {"unreadable", "what is begun can be read from the journal again", DOCUMENT, 0},
    {"verification", "success is read back", STATE, 0},
};
const unsigned ferry_n_rules = FERRY_COUNT(ferry_rules);

const struct ferry_rule *ferry_rule_find(const char *name)
{
    for (unsigned i = 0; i < ferry_n_rules; i++)
        if (!strcmp(ferry_rules[i].name, name))
            return &ferry_rules[i];
    return NULL;
}

void ferry_overrides_clear(struct ferry_overrides *overrides)
{
    for (size_t i = 0; i < overrides->n; i++)
        free(overrides->v[i].refused);
    free(overrides->v);
    *overrides = (struct ferry_overrides){0};
}

static struct ferry_override *find(const struct ferry_overrides *overrides, const char *rule)
{
    for (size_t i = 0; overrides && i < overrides->n; i++)
        if (!strcmp(overrides->v[i].rule->name, rule))
            return &overrides->v[i];
    return NULL;
}

bool ferry_overrides_have(const struct ferry_overrides *overrides, const char *rule)
{
    return find(overrides, rule) != NULL;
}

static int unknown(const char *name, struct ferry_err *err)
{
    FERRY_AUTOFREE char *list = ferry_strdup("");
    for (unsigned i = 0; i < ferry_n_rules; i++) {
        if (ferry_rules[i].firm)
            continue;
        FERRY_AUTOFREE char *before = list;
        list = ferry_asprintf("%s%s%s", before, *before ? ", " : "", ferry_rules[i].name);
    }
    return ferry_error(err, FERRY_EUSAGE,
                       "there is no rule '%.40s'; these can be overridden: %s (see `ferry rules`)", name,
                       list);
}

int ferry_overrides_add(struct ferry_overrides *overrides, const char *name, struct ferry_err *err)
{
    const struct ferry_rule *rule = ferry_rule_find(name);
    if (!rule)
        return unknown(name, err);
    if (rule->firm)
        return ferry_refuse(err, rule->name, "rule %s is never overridden: %s", rule->name,
                            rule->firm); /* S3 */
    if (find(overrides, name))
        return 0;
    FERRY_GROW(overrides->v, overrides->n);
    overrides->v[overrides->n++] = (struct ferry_override){.rule = rule};
    return 0;
}

void ferry_overrides_merge(struct ferry_overrides *overrides, const struct ferry_overrides *more)
{
    for (size_t i = 0; i < more->n; i++) {
        struct ferry_override *o = find(overrides, more->v[i].rule->name);
        if (!o) {
            FERRY_GROW(overrides->v, overrides->n);
            o = &overrides->v[overrides->n++];
            *o = (struct ferry_override){.rule = more->v[i].rule};
        }
        if (!o->refused)
            o->refused = ferry_strdup(more->v[i].refused);
    }
}

int ferry_rule_refuse(struct ferry_overrides *overrides, struct ferry_err *err, const char *rule,
                      const char *fmt, ...)
{
    char text[768];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct ferry_override *o = find(overrides, rule); /* S2 */
    if (!o)
        return ferry_refuse(err, rule, "%s (`--override-rule %s` goes on all the same)", text, rule);
    if (!o->refused)
        o->refused = ferry_strdup(text);
    return 0;
}
