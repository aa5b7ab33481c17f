/* Reads the plan document back (docs/plan-document.md), strictly: unknown keys, broken references and values
 * that cannot be are refused with their position.  Documents written by hand may leave out what only Ferry
 * adds: id, mode, topology, routers, warnings, proof, and the gateways of subnets.
 *
 * Whether the plan is safe is not asked here: that is the prover's.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_parse.h"

#include "model/load_hooks.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int parse_head(struct parsing *p, const char **ret_id, struct ferry_err *err)
{
    static const char *const known[] = {"ferry",   "kind",      "id",       "mode",   "attest", "topology",
                                        "routers", "lost",      "groups",   "stages", "debts",  "addresses",
                                        "hooks",   "overrides", "warnings", "proof",  "names",  NULL};
    const char *kind, *mode = "planned", *attest = NULL;
    int64_t version;
    int r = ferry_json_want(p->doc, FERRY_JSON_ROOT, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, FERRY_JSON_ROOT, known, err);
    if (r == 0)
        r = ferry_json_need_int(p->doc, FERRY_JSON_ROOT, "ferry", 1, 1, &version, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, FERRY_JSON_ROOT, "kind", &kind, err);
    if (r < 0)
        return r;
    if (strcmp(kind, "plan"))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, FERRY_JSON_ROOT, "kind"), err,
                                "this is a '%.40s', not a plan", kind);
    r = ferry_json_opt_string(p->doc, FERRY_JSON_ROOT, "id", ret_id, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, FERRY_JSON_ROOT, "mode", &mode, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, FERRY_JSON_ROOT, "attest", &attest, err);
    if (r < 0)
        return r;
    if (strcmp(mode, "planned") && strcmp(mode, "disaster") && strcmp(mode, "reconcile") &&
        strcmp(mode, "undo") && strcmp(mode, "test"))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, FERRY_JSON_ROOT, "mode"), err,
                                "'%.40s' is none of planned, disaster, reconcile, test, undo", mode);
    p->plan->mode = ferry_strdup(mode);
    p->plan->attest = ferry_strdup(attest);
    return 0;
}

static int parse_topology(struct parsing *p, struct ferry_err *err)
{
    static const char *const known[] = {"name", "sha256", NULL};
    uint32_t v = FERRY_JSON_NONE;
    const char *name, *sha256 = "";
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "topology", FERRY_JSON_OBJECT, &v, err);
    if (r < 0 || v == FERRY_JSON_NONE)
        return r;
    r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "name", &name, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, v, "sha256", &sha256, err);
    if (r < 0)
        return r;
    if (sha256[0] && (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64))
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "sha256"), err,
                                "64 lower-case hex digits are expected");
    p->plan->topology_name = ferry_strdup(name);
    memcpy(p->plan->topology_sha256, sha256, strlen(sha256) + 1);
    return 0;
}

static int parse_warnings(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "warnings", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    p->plan->warnings = ferry_calloc(ferry_json_count(p->doc, list), sizeof *p->plan->warnings);
    FERRY_JSON_EACH(p->doc, list, v)
    {
        const char *text;
        r = ferry_json_string(p->doc, v, &text, err);
        if (r < 0)
            return r;
        p->plan->warnings[p->plan->n_warnings++] = ferry_strdup(text);
    }
    return 0;
}

static int parse_hooks(struct parsing *p, struct ferry_err *err)
{
    uint32_t v = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "hooks", FERRY_JSON_OBJECT, &v, err);
    return r < 0 || v == FERRY_JSON_NONE ? r : ferry_hooks_load(p->doc, v, &p->plan->hooks, err);
}

static int parse_override(struct parsing *p, uint32_t v, struct ferry_err *err)
{
    static const char *const known[] = {"rule", "refused", NULL};
    const char *name, *refused = NULL;
    struct ferry_err why;
    int r = ferry_json_want(p->doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "rule", &name, err);
    uint32_t text = r < 0 ? FERRY_JSON_NONE : ferry_json_get(p->doc, v, "refused");
    if (r == 0 && text != FERRY_JSON_NONE && ferry_json_type(p->doc, text) != FERRY_JSON_NULL)
        r = ferry_json_string(p->doc, text, &refused, err);
    if (r < 0)
        return r;
    struct ferry_overrides *o = &p->plan->overrides;
    size_t before = o->n;
    if (ferry_overrides_add(o, name, &why) < 0)
        return ferry_json_error(p->doc, ferry_json_get(p->doc, v, "rule"), err, "%.300s", why.text);
    if (o->n == before)
        return ferry_json_error(p->doc, v, err, "rule %s stands twice", name);
    o->v[before].refused = ferry_strdup(refused);
    return 0;
}

static int parse_overrides(struct parsing *p, struct ferry_err *err)
{
    uint32_t list = FERRY_JSON_NONE;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "overrides", FERRY_JSON_ARRAY, &list, err);
    if (r < 0)
        return r;
    FERRY_JSON_EACH(p->doc, list, v)
    {
        r = parse_override(p, v, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_proof(struct parsing *p, struct ferry_err *err)
{
    static const char *const known[] = {"states", "certificate", NULL};
    uint32_t v = FERRY_JSON_NONE;
    const char *states = NULL, *certificate = NULL;
    int r = ferry_json_opt(p->doc, FERRY_JSON_ROOT, "proof", FERRY_JSON_OBJECT, &v, err);
    if (r < 0 || v == FERRY_JSON_NONE)
        return r;
    r = ferry_json_keys(p->doc, v, known, err);
    if (r == 0)
        r = ferry_json_need_string(p->doc, v, "states", &states, err);
    if (r == 0)
        r = ferry_json_opt_string(p->doc, v, "certificate", &certificate, err);
    if (r < 0)
        return r;
    p->plan->proof_states = ferry_strdup(states);
    p->plan->proof_certificate = ferry_strdup(certificate);
    return 0;
}

static int parse_document(struct parsing *p, bool *ret_id_matches, struct ferry_err *err)
{
    const char *id = NULL;
    int r = parse_head(p, &id, err);
    if (r == 0)
        r = parse_topology(p, err);
    if (r == 0)
        r = parse_routers(p, err);
    if (r == 0)
        r = parse_lost(p, err);
    if (r == 0)
        r = parse_groups(p, err);
    if (r == 0)
        r = parse_names(p, err);
    if (r == 0)
        r = parse_stages(p, err);
    if (r == 0)
        r = parse_debts(p, err);
    if (r == 0)
        parse_tables(p->plan);
    if (r == 0)
        r = parse_addresses(p, err);
    if (r == 0)
        r = parse_hooks(p, err);
    if (r == 0)
        r = parse_overrides(p, err);
    if (r == 0)
        r = parse_warnings(p, err);
    if (r == 0)
        r = parse_proof(p, err);
    if (r < 0)
        return r;
    ferry_plan_seal(p->plan);
    if (ret_id_matches)
        *ret_id_matches = !id || !strcmp(id, p->plan->id); /* without an id it claims nothing */
    return 0;
}

static void parsing_clear(struct parsing *p)
{
    ferry_map_clear(&p->routers);
    ferry_map_clear(&p->groups);
    ferry_map_clear(&p->prefixes);
    ferry_plan_free(p->plan);
}

static int parse(struct ferry_json *doc, struct ferry_plan **ret, bool *ret_id_matches, struct ferry_err *err)
{
    FERRY_CLEANUP(parsing_clear) struct parsing p = {.doc = doc, .plan = ferry_calloc(1, sizeof *p.plan)};
    p.plan->pool = ferry_pool_new();
    int r = parse_document(&p, ret_id_matches, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(p.plan);
    return 0;
}

int ferry_plan_parse(const char *name, const char *text, size_t len, struct ferry_plan **ret,
                     bool *ret_id_matches, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_parse(name, text, len, NULL, NULL, &doc, err);
    return r < 0 ? r : parse(doc, ret, ret_id_matches, err);
}

int ferry_plan_check_readable(const struct ferry_plan *plan, struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = ferry_plan_write(plan, false);
    struct ferry_plan *again = NULL;
    struct ferry_err why;
    bool same = false;
    int r = ferry_plan_parse("plan", text, strlen(text), &again, &same, &why);
    same = r == 0 && same && !strcmp(again->id, plan->id);
    ferry_plan_free(again);
    return same ? 0
                : ferry_refuse(err, "unreadable", "the plan could not be read again: %s",
                               r < 0 ? why.text : "it would be another one");
}

int ferry_plan_load(const char *path, struct ferry_plan **ret, bool *ret_id_matches, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    int r = ferry_json_load(path, NULL, NULL, &doc, err);
    return r < 0 ? r : parse(doc, ret, ret_id_matches, err);
}
