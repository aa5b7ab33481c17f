/* Target: the plan document, and all that is done with one that was taken: written, reversed, proven, said in the words
 * of each driver.
 *
 *  - Writing is a fixed point: what is written is read back, and written the same; its id is that of its content.
 *  - A safe plan, reversed twice, is safe.
 *  - The native bytes in a document are anybody's.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <ferry/plan.h>
#include <ferry/prove.h>
#include <string.h>

enum { INPUT_MOST = 32 * 1024, BITS = 4, CHANGES_MOST = 200 };

static struct ferry_plan *parse(const char *text, bool *ret_same_id)
{
    struct ferry_plan *plan = NULL;
    struct ferry_err err = {0};
    int result = ferry_plan_parse("p.json", text, strlen(text), &plan, ret_same_id, &err);
    if (result < 0)
        fuzz_fail(__FILE__, __LINE__, "a document that Ferry wrote is read", err.text);
    return plan;
}

static void check_fixed_point(const struct ferry_plan *plan)
{
    bool same_id = false, pretty_id = false;
    char *line = ferry_plan_write(plan, false), *pretty, *again;
    struct ferry_plan *second = parse(line, &same_id);
    pretty = ferry_plan_write(second, true);
    struct ferry_plan *third = parse(pretty, &pretty_id);
    again = ferry_plan_write(third, false);
    if (strcmp(line, again) != 0)
        fuzz_fail(__FILE__, __LINE__, "what was read is written the same", again);
    FUZZ_CHECK(same_id == pretty_id);
    ferry_plan_seal(third);
    free(again);
    again = ferry_plan_write(third, false);
    ferry_plan_free(second);
    second = parse(again, &same_id);
    FUZZ_CHECK(same_id);
    ferry_plan_free(second);
    ferry_plan_free(third);
    free(line);
    free(pretty);
    free(again);
}

static void say_native(const struct ferry_plan *plan)
{
    static const char *const types[] = {"netlink", "iproute", "frr", "sim"};
    for (size_t i = 0; i < plan->n_stages; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
            const struct ferry_change *c = &plan->stages[i].changes[k];
            struct ferry_driver_config config = plan->routers[c->router].driver;
            struct ferry_op op = ferry_plan_op(plan, c, 0), undo = ferry_op_swap(&op);
            for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
                char text[512];
                config.type = (char *)types[t];
                const struct ferry_driver_ops *driver = ferry_driver_find(types[t]);
                FUZZ_CHECK(driver->native(&config, &op, text, sizeof text) >= 0);
                FUZZ_CHECK(driver->native(&config, &undo, text, 1) >= 0);
            }
        }
}

static int prove(const struct ferry_plan *plan)
{
    struct ferry_proof proof = {0};
    struct ferry_err err = {0};
    int result = ferry_prove(plan, BITS, &proof, &err);
    fuzz_said(result, &err);
    FUZZ_CHECK(proof.safe == (result == 0) && (proof.safe || *err.rule));
    FUZZ_CHECK(proof.safe || *proof.bad.text);
    ferry_proof_clear(&proof);
    return result;
}

static void check_reverse(const struct ferry_plan *plan)
{
    struct ferry_plan *undo = NULL, *redo = NULL;
    struct ferry_err err = {0};
    int verdict = prove(plan), result = ferry_plan_reverse(plan, &undo, &err);
    fuzz_said(result, &err);
    if (result < 0) {
        FUZZ_CHECK(!undo);
        return;
    }
    check_fixed_point(undo);
    (void)prove(undo);
    result = ferry_plan_reverse(undo, &redo, &err);
    fuzz_said(result, &err);
    if (result == 0)
        FUZZ_CHECK(verdict < 0 || prove(redo) == 0);
    ferry_plan_free(undo);
    ferry_plan_free(redo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_plan *plan = NULL;
    struct ferry_err err = {0};
    bool same_id = false;
    size_t changes = 0;
    if (size > INPUT_MOST)
        return 0;
    char *text = fuzz_text(data, size);
    int result = ferry_plan_parse("p.json", text, size, &plan, &same_id, &err);
    if (result < 0) {
        fuzz_located(result, &err, "p.json");
        FUZZ_CHECK(!plan && !same_id);
    } else {
        for (size_t i = 0; i < plan->n_stages; i++)
            changes += plan->stages[i].n_changes;
        check_fixed_point(plan);
        if (changes <= CHANGES_MOST) {
            say_native(plan);
            check_reverse(plan);
        }
        ferry_plan_free(plan);
    }
    free(text);
    return 0;
}
