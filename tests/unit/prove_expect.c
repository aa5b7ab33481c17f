/* See prove_expect.h.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_expect.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct ferry_plan *build_chain(const char *prefix)
{
    struct ferry_plan *p = build_plan(3);
    build_group(p, "p", "q", prefix);
    build_hold(p, 0, 'a', "@");
    build_hold(p, 0, 'b', "20>a");
    build_hold(p, 0, 'c', "20>b");
    return p;
}

void build_move(struct ferry_plan *p)
{
    build_stage(p, FERRY_PREPARE);
    build_change(p, 0, 'a', "-", "2100!");
    build_change(p, 0, 'b', "-", "2100!");
    build_change(p, 0, 'c', "-", "2100!");
    build_stage(p, FERRY_DETACH);
    build_change(p, 0, 'a', "@", "-");
    build_change(p, 0, 'b', "20>a", "-");
    build_change(p, 0, 'c', "20>b", "-");
    build_stage(p, FERRY_ATTACH);
    build_change(p, 0, 'a', "-", "20>b");
    build_change(p, 0, 'b', "-", "20>c");
    build_change(p, 0, 'c', "-", "@");
    build_stage(p, FERRY_SETTLE);
    build_change(p, 0, 'a', "2100!", "-");
    build_change(p, 0, 'b', "2100!", "-");
    build_change(p, 0, 'c', "2100!", "-");
}

void prove_expect_safe(struct ferry_plan *p, const char *states)
{
    struct ferry_proof proof;
    struct ferry_err err = {.text = ""};
    int result = ferry_prove(p, 10, &proof, &err);
    if (result)
        print_error("%s\n", err.text);
    assert_int_equal(result, 0);
    assert_true(proof.safe);
    assert_true(proof.exhaustive);
    if (states) {
        assert_string_equal(proof.states, states);
        assert_int_equal(proof.walked, atoi(states));
    }
    char sha[65];
    ferry_sha256(proof.certificate_text, strlen(proof.certificate_text), sha);
    assert_string_equal(proof.certificate, sha);
    ferry_proof_clear(&proof);
    ferry_plan_free(p);
}

void prove_expect(struct ferry_plan *p, enum ferry_violation violation, uint32_t stage, size_t n_events,
                  const char *routers, const char *words)
{
    for (unsigned bits = 0; bits <= 10; bits += 10) { /* by the graph alone, and walked too */
        struct ferry_proof proof;
        struct ferry_err err;
        assert_int_equal(ferry_prove(p, bits, &proof, &err), -FERRY_EREFUSED);
        assert_false(proof.safe);
        if (proof.bad.violation != violation || !strstr(proof.bad.text, words))
            print_error("%s: %s\n", err.rule, err.text);
        assert_string_equal(err.rule, ferry_violation_name(violation));
        assert_string_equal(err.text, proof.bad.text);
        assert_int_equal(proof.bad.violation, violation);
        assert_int_equal(proof.bad.stage, stage - 1);
        assert_int_equal(proof.bad.n_events, n_events);
        for (size_t i = 0; i < n_events; i++)
            assert_int_equal(proof.bad.events[i].stage, stage - 1);
        assert_int_equal(proof.bad.n_routers, strlen(routers));
        for (size_t i = 0; routers[i]; i++)
            assert_int_equal(proof.bad.routers[i], routers[i] - 'a');
        assert_non_null(strstr(proof.bad.text, words));
        assert_null(proof.certificate_text);
        ferry_proof_clear(&proof);
    }
    ferry_plan_free(p);
}
