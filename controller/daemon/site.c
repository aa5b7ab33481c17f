/* A topology with its drivers.  SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/mem.h"

struct ferry_fleet_config ferryd_fleet_config(const struct ferryd *d)
{
    return (struct ferry_fleet_config){.env = &d->env, .find = d->options->find, .state_dir = d->state_dir};
}

int ferryd_site_load(const struct ferryd *d, struct ferryd_site **ret, struct ferry_err *err)
{
    struct ferry_fleet_config config = ferryd_fleet_config(d);
    struct ferry_topology *t = NULL;
    struct ferry_fleet *fleet = NULL;
    int r = ferry_topology_load(d->options->topology_file, &t, NULL, err);
    if (r == 0)
        r = ferry_fleet_for_topology(&config, t, &fleet, err);
    if (r < 0) {
        ferry_topology_free(t);
        return r;
    }
    struct ferryd_site *site = ferry_calloc(1, sizeof *site);
    *site = (struct ferryd_site){.refs = 1, .topology = t, .fleet = fleet};
    *ret = site;
    return 0;
}

struct ferryd_site *ferryd_site_ref(struct ferryd_site *site)
{
    if (site)
        site->refs++;
    return site;
}

void ferryd_site_unref(struct ferryd_site *site)
{
    if (!site || --site->refs)
        return;
    if (site->status.live)
        ferry_status_clear(&site->status);
    ferry_fleet_free(site->fleet);
    ferry_topology_free(site->topology);
    free(site);
}
