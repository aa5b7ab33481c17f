/* The prober: from which routers, to which addresses; the streams are in probe_stream.c.
 * SPDX-License-Identifier: MIT */
#include "ui/probe.h"

#include "base/mem.h"
#include "model/driver_config.h"
#include "ui/probe_stream.h"
#include <string.h>
#include <time.h>

#define BEFORE_US 300000u /* probed so long before the transaction and after it */

#define MOST_NAMED                                                                                           \
    32 /* addresses that the topology names: each is a thousand packets a second from every vantage */

/* Addresses of the command line, then those that the topology names. */
struct wanted {
    char *const *addresses;
    size_t n, n_asked;
    struct ferry_overrides *overrides;
};

struct ui_probe {
    struct ui_stream *streams;
    struct ferry_outage *outages;
    size_t n;
};

static void sleep_us(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
    nanosleep(&t, NULL);
}

static bool is_link_end(const struct ferry_topology *t, uint32_t router, uint32_t interface)
{
    for (size_t i = 0; i < t->n_links; i++) {
        const struct ferry_link *l = &t->links[i];
        if ((l->a.router == router && l->a.interface == interface) ||
            (l->b.router == router && l->b.interface == interface))
            return true;
    }
    return false;
}

/* The address that a router probes from, or NULL where it is no vantage. */
static const struct ferry_addr *source_address(const struct ferry_topology *t, uint32_t router,
                                               uint8_t family)
{
    const struct ferry_router *r = &t->routers[router];
    for (uint32_t i = 0; i < r->n_interfaces; i++) {
        if (is_link_end(t, router, i))
            continue;
        for (size_t k = 0; k < r->interfaces[i].n_addresses; k++)
            if (r->interfaces[i].addresses[k].addr.family == family)
                return &r->interfaces[i].addresses[k].addr;
    }
    return NULL;
}

/* Whether a router can be a gateway of the subnet that holds the address. */
static bool is_gateway(const struct ferry_topology *t, uint32_t router, const struct ferry_addr *target)
{
    for (size_t i = 0; i < t->n_subnets; i++) {
        const struct ferry_subnet *s = &t->subnets[i];
        if (!ferry_prefix_contains(&s->prefix, target))
            continue;
        for (size_t k = 0; k < s->n_gateways; k++)
            if (s->gateways[k].router == router)
                return true;
    }
    return false;
}

/* Whether the driver's namespace is the router itself: also where SSH goes to the namespace's own loopback. */
static bool is_here(const struct ferry_driver_config *driver)
{
    if (strcmp(driver->type, "netlink") == 0)
        return true;
    if (!ferry_driver_is_remote(driver->type) || !driver->netns || driver->jump)
        return false;
    if (!ferry_driver_by_ssh(driver))
        return true;
    return driver->host && (strncmp(driver->host, "127.", 4) == 0 || strcmp(driver->host, "::1") == 0);
}

static size_t add_target(struct ui *ui, struct ui_probe *p, const struct ferry_topology *t,
                         const struct ferry_addr *target, const char *suffix)
{
    size_t before = p->n;
    for (uint32_t r = 0; r < t->n_routers; r++) {
        const struct ferry_driver_config *driver = &t->routers[r].driver;
        const struct ferry_addr *source = source_address(t, r, target->family);
        if (!source || !is_here(driver) || is_gateway(t, r, target))
            continue;
        size_t n = p->n;
        FERRY_GROW(p->streams, n);
        FERRY_GROW(p->outages, n);
        p->streams[n] =
            (struct ui_stream){.netns = driver->netns, .source = *source, .target = *target, .fd = -1};
        p->streams[n].ident = (uint16_t)ui->env.random(ui->env.ctx);
        p->outages[n] = (struct ferry_outage){.vantage = ferry_asprintf("%s%s", t->routers[r].name, suffix)};
        p->n++;
    }
    return p->n - before;
}

static int add_targets(struct ui *ui, struct ui_probe *p, const struct ferry_topology *t,
                       const struct wanted *wanted)
{
    char *const *addresses = wanted->addresses;
    for (size_t i = 0; i < wanted->n; i++) {
        struct ferry_addr target;
        int r = ferry_addr_parse(addresses[i], &target, &ui->err);
        if (r < 0)
            return ferry_error(&ui->err, FERRY_EUSAGE, "--probe: '%s' is no address", addresses[i]);
        FERRY_AUTOFREE char *suffix =
            wanted->n > 1 ? ferry_asprintf(" to %s", addresses[i]) : ferry_strdup("");
        size_t vantages = add_target(ui, p, t, &target, suffix);
        if (!vantages && i >= wanted->n_asked)
            r = ferry_rule_refuse(wanted->overrides, &ui->err, "probe-before",
                                  "%s shall answer before its subnet moves, and nobody here can probe it",
                                  addresses[i]);
        else if (!vantages)
            return ferry_refuse(&ui->err, "probe-vantage",
                                "nobody can probe %s: it takes a router in a namespace of this machine that "
                                "is no gateway of the "
                                "subnet and has an address of this family on an interface that is no link",
                                addresses[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool all_answered(const struct ui_probe *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (!atomic_load(&p->streams[i].answered) && !atomic_load(&p->streams[i].failed))
            return false;
    return true;
}

static int check_answered(struct ui *ui, const struct ui_probe *p, struct ferry_overrides *overrides)
{
    char buf[FERRY_ADDR_STRLEN];
    for (size_t i = 0; i < p->n; i++) {
        const struct ui_stream *s = &p->streams[i];
        if (atomic_load(&s->failed))
            return ferry_error(&ui->err, FERRY_EIO, "probe from %s: %s", p->outages[i].vantage, s->err.text);
        int r = atomic_load(&s->answered)
                    ? 0
                    : ferry_rule_refuse(overrides, &ui->err, "probe-before",
                                        "probe: %s does not answer from %s before the move",
                                        ferry_addr_text(&s->target, buf), p->outages[i].vantage);
        if (r < 0)
            return r;
    }
    return 0;
}

static int start(struct ui *ui, const struct ferry_topology *t, const struct wanted *wanted,
                 struct ui_probe **ret)
{
    FERRY_CLEANUP(ui_probe_cleanup) struct ui_probe *p = ferry_calloc(1, sizeof *p);
    int r = add_targets(ui, p, t, wanted);
    for (size_t i = 0; r == 0 && i < p->n; i++)
        r = ui_stream_start(&p->streams[i], &ui->err);
    if (r < 0)
        return r;
    for (uint64_t waited = 0; waited < UI_PROBE_PATIENCE_US && !all_answered(p); waited += 10000)
        sleep_us(10000);
    r = check_answered(ui, p, wanted->overrides);
    if (r < 0)
        return r;
    sleep_us(BEFORE_US);
    *ret = FERRY_STEAL(p);
    return 0;
}

static bool already(char *const *addresses, size_t n, const char *address)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(addresses[i], address))
            return true;
    return false;
}

int ui_probe_start(struct ui *ui, const struct ferry_plan *plan, const struct ferry_topology *t,
                   const struct ui_probe_asked *asked, struct ui_probe **ret)
{
    size_t n = asked->n, most = n + (t && asked->named ? MOST_NAMED : 0), left_out = 0;
    FERRY_AUTOFREE char **addresses = ferry_calloc(most, sizeof *addresses);
    for (size_t i = 0; i < n; i++)
        addresses[i] = asked->addresses[i];
    for (size_t g = 0; n + left_out <= most && most > asked->n && g < plan->n_groups; g++)
        for (size_t i = 0; i < plan->groups[g].n_subnets; i++) {
            char buf[FERRY_ADDR_STRLEN];
            uint32_t subnet = ferry_topology_subnet(t, plan->groups[g].subnets[i].name);
            const struct ferry_addr *a = subnet == FERRY_NONE ? NULL : &t->subnets[subnet].probe;
            if (!a || !a->family || already(addresses, n, ferry_addr_text(a, buf)))
                continue;
            if (n < most)
                addresses[n++] = ferry_strdup(buf);
            else
                left_out++;
        }
    if (left_out)
        ui_warn(ui, "of the addresses that the topology names only the first %d are probed", MOST_NAMED);
    struct wanted wanted = {addresses, n, asked->n, asked->overrides};
    int r = n ? start(ui, t, &wanted, ret) : 0;
    for (size_t i = asked->n; i < n; i++)
        free(addresses[i]);
    return r;
}

const char *ui_probe_silent(const struct ui_probe *p, uint64_t since_us)
{
    for (size_t i = 0; p && i < p->n; i++) {
        uint64_t last_us = atomic_load(&p->streams[i].last_us);
        if (last_us && last_us < since_us)
            return p->outages[i].vantage;
    }
    return NULL;
}

static void stop(struct ui_probe *p)
{
    for (size_t i = 0; i < p->n; i++)
        atomic_store(&p->streams[i].stop, true);
    for (size_t i = 0; i < p->n; i++)
        ui_stream_stop(&p->streams[i]);
}

void ui_probe_stop(struct ui_probe *p)
{
    sleep_us(BEFORE_US);
    stop(p);
    for (size_t i = 0; i < p->n; i++)
        ui_stream_outage(&p->streams[i], &p->outages[i]);
}

const struct ferry_outage *ui_probe_outages(const struct ui_probe *p, size_t *ret_n)
{
    *ret_n = p->n;
    return p->outages;
}

void ui_probe_free(struct ui_probe *p)
{
    if (!p)
        return;
    stop(p);
    for (size_t i = 0; i < p->n; i++) {
        free(p->streams[i].sent_us);
        free(p->streams[i].answers);
        free(p->outages[i].vantage);
    }
    free(p->streams);
    free(p->outages);
    free(p);
}

void ui_probe_cleanup(struct ui_probe **p)
{
    ui_probe_free(*p);
}
