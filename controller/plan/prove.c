/* The prover: every state that a plan can pass through, checked from the plan document alone.
 *
 * Neighbours: prove_parts.h names the parts; docs/prover.md has definitions and proofs.  It shares no code
 * with the planner.  Order of the checks, and with it which fault is reported: first the document against
 * itself (prove_form.c); then, stage by stage, the fault of fewest changes; then what is left at the end.
 *
 * Invariants:
 *  1. p->bad is the best counterexample so far: earliest stage, then fewest events, then enum order, then
 *     group (prove_bad.c).
 *  2. What the graph says about a stage (prove_stage.c) and what walking says about it (prove_walk.c) is the
 *     same, or the proof fails as a whole.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

#define WALK_BITS_MAX 24u /* 16 million states a stage */
/* Routers visited by walking, all stages together: about half a second.  A thousand groups of a thousand
 * routers each would else take minutes, and the graph has said all there is to say. */
#define WALK_VISITS_MAX UINT64_C(20000000)

const char *ferry_violation_name(enum ferry_violation v)
{
    static const char *const names[] = {
        [FERRY_SAFE] = "safe",
        [FERRY_LOOP] = "loop",
        [FERRY_TWO_SITES] = "two-sites",
        [FERRY_LOST] = "lost",
        [FERRY_FALLS] = "falls",
        [FERRY_MISMATCH] = "mismatch",
        [FERRY_FOREIGN] = "foreign",
        [FERRY_UNFINISHED] = "unfinished",
        [FERRY_UNPINNED] = "unpinned",
        [FERRY_LOST_SITE] = "lost-site",
        [FERRY_LOCAL_NETWORK] = "local-network",
        [FERRY_TEST_ISOLATED] = "test-isolated",
    };
    return (size_t)v < FERRY_COUNT(names) ? names[v] : "unknown";
}

void ferry_proof_clear(struct ferry_proof *proof)
{
    free(proof->certificate_text);
    prove_bad_clear(&proof->bad);
    *proof = (struct ferry_proof){0};
}

/* ---- One stage. ---- */

static size_t n_changes(const struct prover *p, uint32_t stage)
{
    size_t n = 0;
    for (size_t i = 0; i < p->class->n_layers && p->plan->n_stages; i++) {
        size_t at = (size_t)p->class->layers[i] * p->plan->n_stages + stage;
        n += p->first[at + 1] - p->first[at];
    }
    return n;
}

/* Whether the stage is to be walked; if so, that is paid for. */
static bool affordable(struct prover *p)
{
    size_t n = n_changes(p, p->stage);
    if (!p->bits || n > p->bits || p->plan->n_routers << n > p->visits_left)
        return false;
    p->visits_left -= p->plan->n_routers << n;
    return true;
}

/* Checks the stage that is in the rows.  `p->found` before is kept aside, so that walking is compared with
 * what the graph says about this stage alone. */
static int check_stage(struct prover *p, struct prove_graph *g, const char *what, struct ferry_err *err)
{
    struct ferry_counterexample before = p->bad;
    bool found_before = p->found;
    p->bad = (struct ferry_counterexample){0};
    p->found = false;
    prove_stage(p, g);
    struct prove_verdict said = {p->found ? p->bad.violation : FERRY_SAFE, (uint32_t)p->bad.n_events},
                         walked = said;
    if (affordable(p)) {
        walked = prove_walk(p);
        p->walked -= p->stage > 0; /* its first state is the last one of the stage before: counted there */
    } else {
        p->all_walked = false;
    }
    if (!p->found && !found_before)
        prove_certify(p, what, g);
    if (found_before)
        prove_bad_offer(p, &before);
    if (said.violation == walked.violation && said.n_events == walked.n_events)
        return 0;
    return ferry_error(
        err, FERRY_EIO,
        "internal fault: the prover disagrees with itself about stage %u, group %s: the graph says %s "
        "(%u changes), walking says %s (%u changes)",
        p->stage + 1, p->plan->groups[p->class->group].id, ferry_violation_name(said.violation),
        said.n_events, ferry_violation_name(walked.violation), walked.n_events); /* (2) */
}

/* ---- A class, stage by stage, and all classes. ---- */

static int check_class(struct prover *p, struct prove_graph *g, struct prove_course *c, struct ferry_err *err)
{
    const struct prove_ref *none;
    prove_rehearse(p, g, c);
    prove_rows_load(p, p->class);
    prove_protocol_load(p);
    prove_lost_load(p);
    prove_open(p);
    for (uint32_t s = 0; s < p->plan->n_stages || s == 0; s++) {
        if (p->found && p->bad.stage < s)
            return 0;
        if (s && !n_changes(p, s))
            continue;
        prove_ask(p, c, s);
        if (p->plan->n_stages && !prove_rows_stage(p, s, &none))
            return ferry_error(err, FERRY_EIO, "internal fault: a change no longer finds what it expects");
        const char *what = p->plan->n_stages ? ferry_phase_name(p->plan->stages[s].phase) : "unchanged";
        int result = check_stage(p, g, what, err);
        if (result)
            return result;
        if (p->plan->n_stages)
            prove_rows_commit(p);
    }
    p->stage = p->plan->n_stages ? (uint32_t)p->plan->n_stages - 1 : 0;
    prove_end(p, c);
    return 0;
}

static int check_classes(struct prover *p, struct ferry_err *err)
{
    struct prove_graph *g = prove_graph_new(p->plan->n_routers);
    struct prove_course c = prove_course_new(p->plan->n_routers);
    int result = 0;
    prove_classes(p);
    for (size_t i = 0; i < p->n_classes && !result; i++) {
        p->class = &p->classes[i];
        result = check_class(p, g, &c, err);
    }
    if (!result && p->found)
        prove_explain(p);
    prove_course_free(&c);
    prove_graph_free(g);
    return result;
}

static void prover_clear(struct prover *p)
{
    for (size_t r = 0; r < p->plan->n_routers; r++)
        free(p->rows[r].slots);
    free(p->rows);
    free(p->table);
    free(p->exposed_from);
    free(p->refs);
    free(p->first);
    prove_classes_free(p);
    prove_bad_clear(&p->bad);
    free(p->text);
}

int ferry_prove(const struct ferry_plan *plan, unsigned exhaustive_bits, struct ferry_proof *ret,
                struct ferry_err *err)
{
    FERRY_CLEANUP(prover_clear)
    struct prover p = {
        .plan = plan,
        .bits = exhaustive_bits < WALK_BITS_MAX ? exhaustive_bits : WALK_BITS_MAX,
        .undo = plan->mode && strcmp(plan->mode, "undo") == 0,
        .reconcile = plan->mode && strcmp(plan->mode, "reconcile") == 0,
        .all_walked = exhaustive_bits > 0,
        .visits_left = WALK_VISITS_MAX,
        .rows = ferry_calloc(plan->n_routers, sizeof *p.rows),
        .table = ferry_calloc(plan->n_routers, sizeof *p.table),
        .exposed_from = ferry_calloc(plan->n_routers, sizeof *p.exposed_from),
    };
    int result = prove_form(&p) ? check_classes(&p, err) : 0;
    if (result)
        return result;
    struct ferry_proof proof = {.safe = !p.found, .exhaustive = p.all_walked, .walked = p.walked};
    if (p.first)
        prove_states(&p, proof.states);
    if (p.found) {
        proof.exhaustive = false;
        proof.bad = p.bad;
        p.bad = (struct ferry_counterexample){0};
        *ret = proof;
        return ferry_refuse(err, ferry_violation_name(ret->bad.violation), "%s", ret->bad.text);
    }
    proof.certificate_text = p.text ? FERRY_STEAL(p.text) : ferry_strdup("");
    ferry_sha256(proof.certificate_text, strlen(proof.certificate_text), proof.certificate);
    *ret = proof;
    return 0;
}
