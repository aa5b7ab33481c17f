/* See prove_both.h.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_both.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define WALKED 12u /* changes of a stage that is walked */

struct proven prove_both(const struct ferry_plan *p, unsigned seed, const char *how)
{
    struct ferry_proof proof;
    struct ferry_err err = {.text = ""};
    struct brute brute = brute_prove(p);
    int result = ferry_prove(p, seed % 3 ? WALKED : 0, &proof, &err);
    enum ferry_violation said = result ? proof.bad.violation : FERRY_SAFE;
    said = said == FERRY_FOREIGN ? FERRY_MISMATCH : said;
    bool same = said == brute.violation && (result == 0 || result == -FERRY_EREFUSED);
    if (same && said && said != FERRY_MISMATCH)
        same = proof.bad.stage == brute.stage && proof.bad.n_events == brute.n_events &&
               brute_replay(p, &proof.bad);
    if (!same)
        print_error(
            "seed %u, %s: prover %s (stage %u, %zu events), brute force %s (stage %u, %zu events)\n%s\n",
            seed, how, ferry_violation_name(said), said ? proof.bad.stage + 1 : 0,
            said ? proof.bad.n_events : 0, ferry_violation_name(brute.violation), brute.stage + 1,
            brute.n_events, err.text);
    ferry_proof_clear(&proof);
    return (struct proven){same, said, brute};
}
