/* tests/fixtures/plan through the parser and the prover: what is broken is refused with its place, what is
 * unsafe with its rule, what is safe is proven.  expected.tsv is the table.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/prove.h>

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIXTURES FERRY_SOURCE_DIR "/tests/fixtures/plan/"

static bool all_words(const char *text, const char *words)
{
    FERRY_AUTOFREE char *copy = ferry_strdup(words);
    char *save = NULL;
    for (char *word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save))
        if (!strstr(text, word))
            return false;
    return true;
}

static bool as_expected(const char *file, const char *verdict, const char *words)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s%s", FIXTURES, file);
    struct ferry_plan *plan = NULL;
    struct ferry_proof proof = {0};
    struct ferry_err err = {.text = ""};
    int r = ferry_plan_load(path, &plan, NULL, &err);
    bool good;
    if (r < 0) {
        FERRY_AUTOFREE char *message = ferry_asprintf("%s:%s", path, words);
        good = r == -FERRY_EINPUT && strcmp(verdict, "input") == 0 && strcmp(err.text, message) == 0;
    } else {
        r = ferry_prove(plan, 12, &proof, &err);
        good = strcmp(verdict, r ? err.rule : "safe") == 0 &&
               (r ? all_words(err.text, words) : strcmp(proof.states, words) == 0 && proof.exhaustive);
    }
    if (!good)
        print_error("%s: expected %s (%s), found %d %s: %s\n", file, verdict, words, r, err.rule, err.text);
    ferry_proof_clear(&proof);
    ferry_plan_free(plan);
    return good;
}

static void test_fixtures(void **state)
{
    (void)state;
    FILE *f = fopen(FIXTURES "expected.tsv", "r");
    FERRY_AUTOFREE char *line = NULL;
    size_t size = 0, n = 0, bad = 0;
    assert_non_null(f);
    while (getline(&line, &size, f) > 0) {
        char *save = NULL;
        if (*line == '#')
            continue;
        const char *file = strtok_r(line, "\t\n", &save), *verdict = strtok_r(NULL, "\t\n", &save);
        const char *words = strtok_r(NULL, "\n", &save);
        bad += !as_expected(file, verdict, words ? words : "");
        n++;
    }
    fclose(f);
    assert_int_equal(bad, 0);
    assert_true(n >= 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixtures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
