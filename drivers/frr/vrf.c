/* Which routing table is which VRF's.
 *
 *  V1. A table that is a VRF's means that VRF: its static routes stand in the block `vrf NAME` of the
 *      configuration, are asked for by that name, and are written there.  A line `table N` of the default VRF
 *      with the same number is put by zebra into that VRF's RIB, beside those: it is seen around a prefix,
 *      and a prefix that has one itself is refused.  Table main is always the default VRF's.
 *  V2. FRR's configuration has a VRF's table nowhere.  `show vrf` has it, and is asked right behind the
 *      configuration, where that has such a block or a table other than main is in question; on all other
 *      routers nothing is asked.
 *  V3. What is said to vtysh follows from the driver's config alone (lines.c), which has the VRFs as they
 *      were seen last: with a plan, when that was made.  A router on which the table is another's by now
 *      is refused.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "model/driver_config.h"

#include <stdio.h>

bool ferry_frr_vrf_name_fits(const char *name)
{
    return ferry_driver_vrf_ok(name) && ferry_frr_name_fits(name);
}

static uint32_t table_of(const struct ferry_op *op)
{
    return op->table ? op->table : FERRY_TABLE_MAIN;
}

/* ---- What the router says. ---- */

/* "vrf red id 5 table 100 (configured)"; others are inactive, or namespaces.  The name of one that vtysh cannot be told
 * of stays empty. */
static bool line_parse(const char *line, struct ferry_vrf *ret)
{
    char name[64], word[16];
    unsigned id, table;
    if (sscanf(line, "vrf %63s id %u %15s %u", name, &id, word, &table) != 4 || strcmp(word, "table") != 0 ||
        table < 1 || table == FERRY_TABLE_MAIN)
        return false;
    *ret = (struct ferry_vrf){.table = table};
    if (ferry_frr_vrf_name_fits(name))
        strcpy(ret->name, name);
    return true;
}

void ferry_frr_config_vrfs(struct ferry_frr_config *config, const char *text)
{
    FERRY_AUTOFREE char *copy = ferry_strdup(text);
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        struct ferry_vrf vrf;
        if (!line_parse(line, &vrf) || ferry_frr_config_vrf(config, vrf.table))
            continue;
        FERRY_GROW(config->vrfs, config->n_vrfs);
        config->vrfs[config->n_vrfs++] = vrf;
    }
    for (size_t i = 0; i < config->n_statics; i++)
        for (size_t k = 0; k < config->n_vrfs && *config->statics[i].vrf; k++)
            if (config->statics[i].table == FERRY_TABLE_MAIN && /* the line names none */
                !strcmp(config->statics[i].vrf, config->vrfs[k].name))
                config->statics[i].table = config->vrfs[k].table;
}

const struct ferry_vrf *ferry_frr_config_vrf(const struct ferry_frr_config *config, uint32_t table)
{
    for (size_t i = 0; i < config->n_vrfs; i++)
        if (config->vrfs[i].table == table)
            return &config->vrfs[i];
    return NULL;
}

bool ferry_frr_static_counts(const struct ferry_frr_config *config, const struct ferry_frr_static *s)
{
    const struct ferry_vrf *vrf = *s->vrf ? ferry_frr_config_vrf(config, s->table) : NULL;
    return !*s->vrf || (vrf && !strcmp(s->vrf, vrf->name));
}

/* V2.  What was read before does not say it. */
void ferry_frr_vrfs_note(struct ferry_frr *d, uint32_t table)
{
    if (d->tables || !table || table == FERRY_TABLE_MAIN)
        return;
    d->tables = true;
    d->running_since_us = d->checked_us = 0;
}

bool ferry_frr_vrfs_wanted(const struct ferry_frr *d, const struct ferry_frr_config *config)
{
    return d->tables || (config && ferry_frr_config_block(config, "vrf"));
}

int ferry_frr_vrfs_read(struct ferry_frr *d, struct ferry_frr_config *config, struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = NULL;
    size_t n;
    if (!ferry_frr_vrfs_wanted(d, config))
        return 0;
    int result = ferry_frr_show(d, FERRY_FRR_VRFS, &text, &n, err);
    if (result < 0)
        return result;
    ferry_frr_config_vrfs(config, text);
    ferry_driver_config_set_vrfs(&d->config, config->vrfs, config->n_vrfs);
    return 0;
}

void ferry_frr_vrfs_ahead(struct ferry_frr *d)
{
    if (ferry_frr_vrfs_wanted(d, d->running))
        ferry_frr_ahead(d, FERRY_FRR_SHOW, FERRY_FRR_VRFS);
}

void ferry_frr_vrfs_report(const struct ferry_frr *d, const struct ferry_query *query, struct ferry_fib *ret)
{
    const struct ferry_frr_config *c = d->running;
    for (size_t i = 0; i < c->n_vrfs; i++) {
        bool asked = false;
        for (size_t k = 0; k < query->n && !asked; k++)
            asked = query->items[k].table == c->vrfs[i].table;
        if (!asked || !*c->vrfs[i].name)
            continue;
        FERRY_GROW(ret->vrfs, ret->n_vrfs);
        ret->vrfs[ret->n_vrfs++] = c->vrfs[i];
    }
}

/* ---- Refusals. ---- */

static bool beside(const struct ferry_frr_config *c, const struct ferry_prefix *prefix, uint32_t table)
{
    size_t n;
    const struct ferry_frr_static *s = ferry_frr_config_statics(c, prefix, FERRY_TABLE_MAIN, &n);
    for (size_t i = 0; i < n; i++)
        if (s[i].table == table)
            return true;
    return false;
}

int ferry_frr_vrf_clear(const struct ferry_frr_config *config, const struct ferry_prefix *prefix,
                        uint32_t table, struct ferry_err *err)
{
    const struct ferry_vrf *vrf = ferry_frr_config_vrf(config, table);
    if (!vrf)
        return 0;
    if (!*vrf->name)
        return ferry_error(err, FERRY_EREFUSED,
                           "table %u belongs to a VRF whose name vtysh cannot be told: `show vrf`", table);
    if (beside(config, prefix, table))
        return ferry_error(
            err, FERRY_EREFUSED,
            "table %u is VRF %s's, and the default VRF has a static route for this prefix there "
            "(`ip route … table %u`): say it in the VRF's block",
            table, vrf->name, table);
    return 0;
}

/* V3. */
static int as_planned(const struct ferry_frr *d, uint32_t table, struct ferry_err *err)
{
    char header[80];
    const struct ferry_vrf *now = ferry_frr_config_vrf(d->running, table), *then = NULL;
    for (size_t i = 0; i < d->n_planned && !then; i++)
        if (d->planned[i].table == table)
            then = &d->planned[i];
    if (!then || (now && !strcmp(now->name, then->name)))
        return 0;
    snprintf(header, sizeof header, "vrf %s", then->name);
    if (!now && ferry_frr_config_block(d->running, header))
        return ferry_error(
            err, FERRY_EREFUSED,
            "VRF %s is inactive: FRR has it in its configuration, and the kernel has no device of "
            "table %u for it (`ip link add %s type vrf table %u`)",
            then->name, table, then->name, table);
    return ferry_error(err, FERRY_EREFUSED, "table %u was VRF %s's when this was planned, and is %s%s now",
                       table, then->name, now ? "VRF " : "no VRF's", now ? now->name : "");
}

int ferry_frr_vrf_check(const struct ferry_frr *d, const struct ferry_op *op, struct ferry_err *err)
{
    uint32_t table = table_of(op);
    int result = as_planned(d, table, err);
    if (!result)
        result = ferry_frr_vrf_clear(d->running, &op->prefix, table, err);
    if (!result && op->kind == FERRY_KIND_ANNOUNCEMENT && ferry_frr_config_vrf(d->running, table))
        result =
            ferry_error(err, FERRY_EREFUSED, "table %u is VRF %s's: nothing is announced from within VRFs",
                        table, ferry_frr_config_vrf(d->running, table)->name);
    return result;
}
