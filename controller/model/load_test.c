/* Loads where a subnet is tried out: "test" of a subnet; see load.h, docs/test-failover.md.
 *
 * What makes the test unreachable for everybody else is held against the whole file here (rule
 * test-isolated), so that it is refused before there is a plan:
 *  1. Its table is no router's, no subnet's and no other test's, and none that the kernel looks at by itself.
 *  2. Its interface carries nothing else: no link, no address, no gateway, no other test; nor do the ports of
 *     its bridge.
 *  3. A shadow prefix overlaps no subnet, and no other shadow.
 *
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include <ferry/device.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { TABLE_DEFAULT = 253, TABLE_LOCAL = 255 /* linux/rtnetlink.h */ };

static void load_prefix(struct ferry_loader *l, uint32_t object, const struct ferry_subnet *subnet,
                        struct ferry_test *test)
{
    char buf[FERRY_PREFIX_STRLEN];
    uint32_t v = ferry_json_get(l->doc, object, "prefix");
    test->prefix = subnet->prefix;
    if (v == FERRY_JSON_NONE || !ferry_load_prefix(l, v, &test->prefix))
        return;
    if (test->prefix.addr.family != subnet->prefix.addr.family || test->prefix.len != subnet->prefix.len)
        ferry_json_error(l->doc, v, &l->err, "a shadow of %s has its family and length",
                         ferry_prefix_text(&subnet->prefix, buf));
}

static void load_gateway(struct ferry_loader *l, uint32_t v, const struct ferry_test *test,
                         struct ferry_gateway *gateway)
{
    ferry_load_gateway(l, v, &test->prefix, gateway);
    if (gateway->router == FERRY_NONE)
        return;
    const struct ferry_router *router = &l->t->routers[gateway->router];
    const char *type = router->driver.type;
    if (type && strcmp(type, "netlink") != 0 && strcmp(type, "iproute") != 0 && strcmp(type, "sim") != 0)
        ferry_json_error(l->doc, v, &l->err,
                         "the driver %s isolates nothing: a test needs netlink or iproute (or sim)", type);
    if (ferry_json_get(l->doc, v, "via") != FERRY_JSON_NONE)
        ferry_json_error_key(l->doc, ferry_json_get(l->doc, v, "via"), &l->err,
                             "a test has connected gateways alone: 'interface' and 'address'");
    if (ferry_json_get(l->doc, v, "rules") != FERRY_JSON_NONE)
        ferry_json_error_key(l->doc, ferry_json_get(l->doc, v, "rules"), &l->err,
                             "a test has rules of its own");
    if (gateway->address.addr.family && gateway->interface != FERRY_NONE)
        memcpy(gateway->make, router->interfaces[gateway->interface].make, sizeof gateway->make);
    gateway->isolated = true;
}

static void load_gateways(struct ferry_loader *l, uint32_t object, struct ferry_test *test)
{
    uint32_t array;
    if (ferry_json_need(l->doc, object, "gateways", FERRY_JSON_ARRAY, &array, &l->err) < 0)
        return;
    if (!ferry_json_count(l->doc, array))
        ferry_json_error(l->doc, array, &l->err, "a test needs a gateway");
    test->gateways = ferry_calloc(ferry_json_count(l->doc, array), sizeof *test->gateways);
    FERRY_JSON_EACH(l->doc, array, v)
    {
        struct ferry_gateway *gateway = &test->gateways[test->n_gateways];
        if (ferry_load_full(l))
            return;
        load_gateway(l, v, test, gateway);
        for (size_t i = 0; i < test->n_gateways; i++)
            if (gateway->router != FERRY_NONE && test->gateways[i].router == gateway->router)
                ferry_json_error(l->doc, v, &l->err, "router '%s' has a gateway of this test already",
                                 l->t->routers[gateway->router].name);
        test->n_gateways++;
    }
}

void ferry_load_test(struct ferry_loader *l, uint32_t object, struct ferry_subnet *subnet)
{
    static const char *const keys[] = {"table", "prefix", "gateways", NULL};
    uint32_t v = ferry_json_get(l->doc, object, "test");
    size_t index = (size_t)(subnet - l->t->subnets);
    l->tests[index] = v;
    if (v == FERRY_JSON_NONE || ferry_json_want(l->doc, v, FERRY_JSON_OBJECT, &l->err) < 0)
        return;
    (void)!ferry_json_keys(l->doc, v, keys, &l->err);
    struct ferry_test *test = subnet->test = ferry_calloc(1, sizeof *test);
    test->name = ferry_asprintf("%s.test", subnet->name);
    if (strlen(test->name) > FERRY_NAME_MAX)
        ferry_json_error(l->doc, v, &l->err, "'%s' would be too long a name for the copy", test->name);
    if (ferry_json_get(l->doc, v, "table") == FERRY_JSON_NONE)
        ferry_json_error(l->doc, v, &l->err, "'table' is missing: a test has one of its own");
    ferry_load_table(l, v, &test->table);
    load_prefix(l, v, subnet, test);
    load_gateways(l, v, test);
}

/* ---- Against the whole file. ---- */

static void check_table(struct ferry_loader *l, size_t index)
{
    const struct ferry_topology *t = l->t;
    uint32_t table = t->subnets[index].test->table, v = ferry_json_get(l->doc, l->tests[index], "table");
    const char *whose = NULL;
    if (!table || v == FERRY_JSON_NONE)
        return;
    if (table >= TABLE_DEFAULT && table <= TABLE_LOCAL)
        whose = "the kernel";
    for (size_t i = 0; i < t->n_routers && !whose; i++)
        if (t->routers[i].table == table)
            whose = t->routers[i].name;
    for (size_t i = 0; i < t->n_subnets && !whose; i++)
        if (t->subnets[i].table == table ||
            (i != index && t->subnets[i].test && t->subnets[i].test->table == table))
            whose = t->subnets[i].name;
    if (whose)
        ferry_json_error(l->doc, v, &l->err, "table %u is that of %s: a test has one of its own", table,
                         whose);
}

static void check_prefix(struct ferry_loader *l, size_t index)
{
    char buf[FERRY_PREFIX_STRLEN];
    const struct ferry_topology *t = l->t;
    const struct ferry_prefix *p = &t->subnets[index].test->prefix;
    uint32_t v = ferry_json_get(l->doc, l->tests[index], "prefix");
    if (v == FERRY_JSON_NONE || ferry_prefix_equal(p, &t->subnets[index].prefix))
        return;
    for (size_t i = 0; i < t->n_subnets; i++) {
        const struct ferry_prefix *others[] = {
            &t->subnets[i].prefix, t->subnets[i].test && i != index ? &t->subnets[i].test->prefix : NULL};
        for (size_t k = 0; k < FERRY_COUNT(others); k++)
            if (others[k] && (ferry_prefix_covers(p, others[k]) || ferry_prefix_covers(others[k], p))) {
                ferry_json_error(l->doc, v, &l->err, "%s overlaps %s '%s'", ferry_prefix_text(p, buf),
                                 k ? "the test of" : "subnet", t->subnets[i].name);
                return;
            }
    }
}

static bool is_at(const struct ferry_gateway *g, uint32_t router, uint32_t interface)
{
    return g->router == router && g->interface == interface;
}

/* What an interface carries beside the test of subnet `index`, or NULL. */
static const char *carries(const struct ferry_topology *t, size_t index, uint32_t router, uint32_t interface)
{
    if (t->routers[router].interfaces[interface].n_addresses)
        return "has an address of its own";
    for (size_t i = 0; i < t->n_links; i++)
        for (int end = 0; end < 2; end++) {
            const struct ferry_end *e = end ? &t->links[i].b : &t->links[i].a;
            if (e->router == router && e->interface == interface)
                return "is the end of a link";
        }
    for (size_t i = 0; i < t->n_subnets; i++) {
        const struct ferry_subnet *s = &t->subnets[i];
        for (size_t k = 0; k < s->n_gateways; k++)
            if (is_at(&s->gateways[k], router, interface))
                return "has a gateway of a subnet";
        for (size_t k = 0; s->test && i != index && k < s->test->n_gateways; k++)
            if (is_at(&s->test->gateways[k], router, interface))
                return "is another test's";
    }
    return NULL;
}

static void check_interface(struct ferry_loader *l, size_t index, uint32_t v, const struct ferry_gateway *g)
{
    const struct ferry_router *router = &l->t->routers[g->router];
    const char *what = carries(l->t, index, g->router, g->interface);
    struct ferry_device device;
    if (what)
        ferry_json_error(l->doc, v, &l->err, "interface '%s' of '%s' %s: a test has one to itself",
                         router->interfaces[g->interface].name, router->name, what);
    if (!ferry_device_parse(g->make, &device) || device.kind != FERRY_DEVICE_BRIDGE)
        return;
    for (size_t i = 0; i < device.n_below; i++)
        for (uint32_t k = 0; k < router->n_interfaces; k++)
            if (!strcmp(router->interfaces[k].name, device.below[i]) &&
                (what = carries(l->t, index, g->router, k)))
                ferry_json_error(l->doc, v, &l->err, "port '%s' of '%s' %s: a test has its bridge to itself",
                                 device.below[i], router->name, what);
}

void ferry_load_check_tests(struct ferry_loader *l)
{
    for (size_t i = 0; i < l->t->n_subnets; i++) {
        const struct ferry_test *test = l->t->subnets[i].test;
        size_t k = 0;
        uint32_t array = test ? ferry_json_get(l->doc, l->tests[i], "gateways") : FERRY_JSON_NONE;
        if (!test)
            continue;
        check_table(l, i);  /* 1 */
        check_prefix(l, i); /* 3 */
        if (!test->n_gateways)
            continue;
        FERRY_JSON_EACH(l->doc, array, v)
        {
            if (k >= test->n_gateways)
                break;
            const struct ferry_gateway *g = &test->gateways[k++];
            if (g->router != FERRY_NONE && g->interface != FERRY_NONE)
                check_interface(l, i, v, g); /* 2 */
        }
    }
}
