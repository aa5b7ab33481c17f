/* The safety rules, by name: what can refuse, and what a person may override, by name alone (docs/rules.md).
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_RULES_H
#define FERRY_RULES_H

#include <ferry/err.h>
#include <stdbool.h>

/* Rules that refuse only where the topology says so ("rules"). */
enum ferry_opt_in { FERRY_NO_FOREIGN = 1, FERRY_COVERING_ROUTE = 2 };

struct ferry_rule {
    const char *name;
    const char *guards; /* one phrase: what would happen without it */
    const char *firm;   /* why nobody may override it; NULL: it can be overridden */
    unsigned opt_in;    /* enum ferry_opt_in, or 0 */
};
/* In the order of their names. */
extern const struct ferry_rule ferry_rules[];
extern const unsigned ferry_n_rules;
const struct ferry_rule *ferry_rule_find(const char *name);

/* What a person wants overridden, and what the rules would have said.  Zero-initialised: nothing. */
struct ferry_override {
    const struct ferry_rule *rule;
    char *refused; /* the first refusal that it took away; NULL: there was none (yet) */
};
struct ferry_overrides {
    struct ferry_override *v;
    size_t n;
};
void ferry_overrides_clear(struct ferry_overrides *overrides);
/* Once more changes nothing.  -FERRY_EUSAGE with the list: no such rule.  -FERRY_EREFUSED by that rule, with
 * the reason: a firm one. */
int ferry_overrides_add(struct ferry_overrides *overrides, const char *name,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* Takes over what another has, refusals too where there is none yet. */
void ferry_overrides_merge(struct ferry_overrides *overrides, const struct ferry_overrides *more);
bool ferry_overrides_have(const struct ferry_overrides *overrides, const char *rule);
/* How every rule that can be overridden refuses: 0 where it is, which is noted; else like ferry_refuse, with
 * the way past it at the end.  `overrides` may be NULL: nothing is. */
int ferry_rule_refuse(struct ferry_overrides *overrides, struct ferry_err *err, const char *rule,
                      const char *fmt, ...) FERRY_PRINTF(4, 5) FERRY_MUST_CHECK;

#endif
