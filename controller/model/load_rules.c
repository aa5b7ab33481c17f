/* Loads what a topology says about the safety rules: "rules", "budget", "hold-down"; and its hooks.  See load.h.
 * SPDX-License-Identifier: MIT */
#include "model/load.h"

#include "base/duration.h"
#include "model/load_hooks.h"

#include <string.h>

/* {"no-foreign": true}: rules that refuse only where they are asked to. */
static void load_switches(struct ferry_loader *l, uint32_t object)
{
    FERRY_JSON_EACH(l->doc, object, v)
    {
        const char *name = ferry_json_key(l->doc, v);
        const struct ferry_rule *rule = ferry_rule_find(name);
        bool on = false;
        if (!strncmp(name, "x-", 2) || ferry_load_full(l))
            continue;
        if (!rule)
            ferry_json_error_key(l->doc, v, &l->err, "there is no rule '%.40s'; `ferry rules` lists them",
                                 name);
        else if (!rule->opt_in)
            ferry_json_error_key(l->doc, v, &l->err,
                                 "rule %s is always on; only no-foreign and covering-route are switched here",
                                 name);
        else if (ferry_json_bool(l->doc, v, &on, &l->err) == 0 && on)
            l->t->rules |= rule->opt_in;
    }
}

static void load_budget(struct ferry_loader *l, uint32_t object)
{
    static const char *const keys[] = {"withdrawals", "percent", NULL};
    int64_t withdrawals = 0, percent = 0;
    if (ferry_json_keys(l->doc, object, keys, &l->err) < 0)
        return;
    if (ferry_json_opt_int(l->doc, object, "withdrawals", 1, INT32_MAX, &withdrawals, &l->err) < 0 ||
        ferry_json_opt_int(l->doc, object, "percent", 1, 100, &percent, &l->err) < 0)
        return;
    if (!withdrawals && !percent)
        ferry_json_error(l->doc, object, &l->err, "'withdrawals' or 'percent' is missing");
    l->t->budget_withdrawals = (uint32_t)withdrawals;
    l->t->budget_percent = (uint32_t)percent;
}

static void load_hold_down(struct ferry_loader *l)
{
    const char *text = NULL;
    uint64_t us = 0;
    if (ferry_json_opt_string(l->doc, FERRY_JSON_ROOT, "hold-down", &text, &l->err) < 0 || !text)
        return;
    if (!ferry_duration_parse(text, &us) || us % 1000000 || us / 1000000 > 31 * 86400ull)
        ferry_json_error(l->doc, ferry_json_get(l->doc, FERRY_JSON_ROOT, "hold-down"), &l->err,
                         "'%.40s' is no time to rest: whole seconds up to 744h, as 90s, 10m, 2h", text);
    l->t->hold_down_s = (uint32_t)(us / 1000000);
}

void ferry_load_rules(struct ferry_loader *l)
{
    uint32_t rules = FERRY_JSON_NONE, budget = FERRY_JSON_NONE, hooks = FERRY_JSON_NONE;
    if (ferry_json_opt(l->doc, FERRY_JSON_ROOT, "rules", FERRY_JSON_OBJECT, &rules, &l->err) == 0)
        load_switches(l, rules);
    if (ferry_json_opt(l->doc, FERRY_JSON_ROOT, "budget", FERRY_JSON_OBJECT, &budget, &l->err) == 0 &&
        budget != FERRY_JSON_NONE)
        load_budget(l, budget);
    load_hold_down(l);
    if (ferry_json_opt(l->doc, FERRY_JSON_ROOT, "hooks", FERRY_JSON_OBJECT, &hooks, &l->err) == 0 &&
        hooks != FERRY_JSON_NONE)
        (void)!ferry_hooks_load(l->doc, hooks, &l->t->hooks, &l->err);
}
