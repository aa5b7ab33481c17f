/* model: strict JSON: values, positions, pointers, limits.  Broken texts are in fixtures/topology too.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/json.h"
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static struct ferry_json *parse(const char *text)
{
    struct ferry_json *doc = NULL;
    struct ferry_err err;
    if (ferry_json_parse("f", text, strlen(text), NULL, NULL, &doc, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return doc;
}

static void refused(const char *text, const char *message)
{
    struct ferry_json *untouched = (struct ferry_json *)(uintptr_t)1, *doc = untouched;
    struct ferry_err err = {0};
    assert_int_equal(ferry_json_parse("f", text, strlen(text), NULL, NULL, &doc, &err), -FERRY_EINPUT);
    assert_ptr_equal(doc, untouched);
    assert_string_equal(err.text, message);
}

static void values_are_what_the_text_says(void **state)
{
    struct ferry_json *doc = parse("{\"a\":[1,-7,9223372036854775807,-9223372036854775808], "
                                   "\"b\":{\"\":true,\"n\":null},\n \"s\":\"a\\u00e9"
                                   "\\ud83d\\ude00\\n/\\/\", \"d\":-1.25e2}");
    struct ferry_err err;
    const char *s = NULL;
    int64_t n = 0;
    double d = 0;
    bool b = false;
    (void)state;
    assert_int_equal(ferry_json_count(doc, FERRY_JSON_ROOT), 4);
    uint32_t a = ferry_json_get(doc, FERRY_JSON_ROOT, "a"), v = ferry_json_first(doc, a);
    assert_int_equal(ferry_json_count(doc, a), 4);
    assert_int_equal(ferry_json_int(doc, v, 1, 1, &n, &err), 0);
    assert_int_equal(n, 1);
    v = ferry_json_next(doc, ferry_json_next(doc, v));
    assert_int_equal(ferry_json_int(doc, v, INT64_MIN, INT64_MAX, &n, &err), 0);
    assert_true(n == INT64_MAX);
    v = ferry_json_next(doc, v);
    assert_int_equal(ferry_json_int(doc, v, INT64_MIN, INT64_MAX, &n, &err), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(ferry_json_next(doc, v), FERRY_JSON_NONE);
    assert_int_equal(ferry_json_bool(doc, ferry_json_at(doc, "/b/"), &b, &err), 0);
    assert_true(b);
    assert_int_equal(ferry_json_type(doc, ferry_json_at(doc, "/b/n")), FERRY_JSON_NULL);
    assert_int_equal(ferry_json_need_string(doc, FERRY_JSON_ROOT, "s", &s, &err), 0);
    assert_string_equal(s, "aé😀\n//");
    assert_int_equal(ferry_json_double(doc, ferry_json_at(doc, "/d"), &d, &err), 0);
    assert_true(d == -125.0);
    ferry_json_free(doc);
}

static void members_are_needed_or_optional(void **state)
{
    struct ferry_json *doc = parse("{\"s\":\"x\",\"n\":5,\"null\":null}");
    struct ferry_err err;
    const char *s = "as before";
    int64_t n = 42;
    bool b = true;
    uint32_t v = 7;
    (void)state;
    assert_int_equal(ferry_json_opt_string(doc, FERRY_JSON_ROOT, "t", &s, &err), 0);
    assert_string_equal(s, "as before");
    assert_int_equal(ferry_json_opt_int(doc, FERRY_JSON_ROOT, "m", 0, 1, &n, &err), 0);
    assert_int_equal(n, 42);
    assert_int_equal(ferry_json_opt_bool(doc, FERRY_JSON_ROOT, "b", &b, &err), 0);
    assert_int_equal(ferry_json_opt(doc, FERRY_JSON_ROOT, "a", FERRY_JSON_ARRAY, &v, &err), 0);
    assert_int_equal(v, 7);
    assert_int_equal(ferry_json_opt_string(doc, FERRY_JSON_ROOT, "null", &s, &err), -FERRY_EINPUT);
    assert_string_equal(err.text, "f:1:23: /null: a string is expected, found null");
    assert_int_equal(ferry_json_need_int(doc, FERRY_JSON_ROOT, "n", 6, 9, &n, &err), -FERRY_EINPUT);
    assert_string_equal(err.text, "f:1:14: /n: 5 is out of range: 6 to 9");
    assert_int_equal(n, 42);
    assert_int_equal(ferry_json_need(doc, FERRY_JSON_ROOT, "k", FERRY_JSON_OBJECT, &v, &err), -FERRY_EINPUT);
    assert_string_equal(err.text, "f:1:1: 'k' is missing");
    ferry_json_free(doc);
}

static void numbers_do_not_clamp(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"9223372036854775808", "f:1:1: 9223372036854775808 is out of range: -9223372036854775808 to "
                                "9223372036854775807"},
        {"-9223372036854775809", "f:1:1: -9223372036854775809 is out of range: -9223372036854775808 to "
                                 "9223372036854775807"},
        {"1.0", "f:1:1: a whole number is expected, found 1.0"},
        {"1E2", "f:1:1: a whole number is expected, found 1E2"},
        {"\"1\"", "f:1:1: a whole number is expected, found a string"},
    };
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_json *doc = parse(cases[i].text);
        struct ferry_err err;
        int64_t n = 42;
        assert_int_equal(ferry_json_int(doc, FERRY_JSON_ROOT, INT64_MIN, INT64_MAX, &n, &err), -FERRY_EINPUT);
        assert_string_equal(err.text, cases[i].message);
        assert_int_equal(n, 42);
        ferry_json_free(doc);
    }
    struct ferry_json *doc = parse("1e999");
    struct ferry_err err;
    double d = 0;
    assert_int_equal(ferry_json_double(doc, FERRY_JSON_ROOT, &d, &err), -FERRY_EINPUT);
    ferry_json_free(doc);
}

static void pointers_lead_to_values_and_back(void **state)
{
    struct ferry_json *doc = parse("{\"a/b\": {\"c~d\": [10, {\"\": [20]}]},\n  \"0\": 30}");
    static const struct {
        const char *pointer;
        unsigned line, column;
    } cases[] = {{"", 1, 1},
                 {"/a~1b/c~0d/0", 1, 18},
                 {"/a~1b/c~0d/1/", 1, 27},
                 {"/a~1b/c~0d/1//0", 1, 28},
                 {"/0", 2, 8}};
    static const char *const nowhere[] = {"/a", "/a~1b/c~0d/2", "/a~1b/c~0d/00", "/a~1b/c~0d/-", "a", "/0/0"};
    struct ferry_err err;
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        FERRY_AUTOFREE char *want = ferry_asprintf("f:%u:%u: %s%shere", cases[i].line, cases[i].column,
                                                   cases[i].pointer, cases[i].pointer[0] ? ": " : "");
        uint32_t v = ferry_json_at(doc, cases[i].pointer);
        assert_int_not_equal(v, FERRY_JSON_NONE);
        assert_int_equal(ferry_json_error(doc, v, &err, "here"), -FERRY_EINPUT);
        assert_string_equal(err.text, want);
    }
    for (size_t i = 0; i < FERRY_COUNT(nowhere); i++)
        assert_int_equal(ferry_json_at(doc, nowhere[i]), FERRY_JSON_NONE);
    ferry_json_free(doc);
}

static void unknown_keys_are_all_reported(void **state)
{
    static const char *const known[] = {"name", "prefix", NULL};
    const char *text = "{\"nam\":1, \"x-y\":2, \"prefix\":3, \"pr\":4}";
    struct ferry_findings findings = {0};
    struct ferry_json *doc = NULL;
    struct ferry_err err;
    (void)state;
    assert_int_equal(ferry_json_parse("f", text, strlen(text), NULL, &findings, &doc, &err), 0);
    assert_int_equal(ferry_json_keys(doc, FERRY_JSON_ROOT, known, &err), -FERRY_EINPUT);
    assert_string_equal(err.text, "f:1:2: /nam: unknown key 'nam'; did you mean 'name'?");
    assert_int_equal(findings.n, 2);
    assert_string_equal(findings.v[1].text, "unknown key 'pr'");
    assert_int_equal(findings.v[1].column, 32);
    ferry_findings_clear(&findings);
    ferry_json_free(doc);
}

static void limits_hold(void **state)
{
    const struct ferry_json_limits limits = {.bytes = 20, .values = 4, .depth = 2};
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[[1]]", NULL},
        {"[[],[],[]]", NULL},
        {"[[[]]]", "f:1:3: /0: nested deeper than 2 levels"},
        {"[{\"a\":{}}]", "f:1:7: /0: nested deeper than 2 levels"},
        {"[1,2,3]", NULL},
        {"[1,2,3,4]", "f:1:8: more than 4 values"},
        {"\"12345678901234567890\"", "f:1:1: more than 20 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        struct ferry_json *doc = NULL;
        struct ferry_err err;
        int r = ferry_json_parse("f", cases[i].text, strlen(cases[i].text), &limits, NULL, &doc, &err);
        assert_int_equal(r, cases[i].message ? -FERRY_EINPUT : 0);
        if (r < 0)
            assert_string_equal(err.text, cases[i].message);
        ferry_json_free(doc);
    }
}

static void broken_texts_are_refused(void **state)
{
    (void)state;
    refused("", "f:1:1: the file is empty");
    refused("[1,]", "f:1:4: a value is expected, found ']'");
    refused("{\"a\":1,}", "f:1:8: a key in double quotes is expected, found '}'");
    refused("[1 2]", "f:1:4: ',' or ']' is expected, found '2'");
    refused("{\"a\" 1}", "f:1:6: ':' is expected, found '1'");
    refused("[+1]", "f:1:2: a value is expected, found '+'");
    refused("[.5]", "f:1:2: a value is expected, found '.'");
    refused("[1.]", "f:1:2: /0: a number without digits behind its point");
    refused("[1e]", "f:1:2: /0: a number without digits in its exponent");
    refused("[-]", "f:1:2: /0: a number without digits");
    refused("[tru]", "f:1:2: a value is expected, found 'tru'");
    refused("[\"\\x\"]", "f:1:3: /0: unknown escape in a string");
    refused("[\"\\u12g4\"]", "f:1:3: /0: \\u needs four hex digits");
    refused("[\"\\ude00\"]", "f:1:3: /0: half a surrogate pair in a string");
    refused("[\"\xed\xa0\x80\"]", "f:1:3: /0: not UTF-8");
    refused("[\"\xf4\x90\x80\x80\"]", "f:1:3: /0: not UTF-8");
    refused("[\"\xe2\x82\"]", "f:1:3: /0: not UTF-8");
    refused("[]]", "f:1:3: text after the end of the document");
    refused("\v[]", "f:1:1: a value is expected, found byte 0x0b");
    refused("{\"\\u00e9\":1,\n\"é\":2}", "f:2:1: /é: the key 'é' is there twice");
}

/* Every prefix of a good text is a bad one, and says so. */
static void truncation_is_noticed_everywhere(void **state)
{
    const char *text = "{\"a\": [1, -2.5e+3, \"x\\u00e9\", true, null, {\"b\": {}}]}";
    struct ferry_err err;
    (void)state;
    for (size_t n = 0; n < strlen(text); n++) {
        struct ferry_json *doc = NULL;
        assert_int_equal(ferry_json_parse("f", text, n, NULL, NULL, &doc, &err), -FERRY_EINPUT);
    }
    ferry_json_free(parse(text));
}

/* No byte changed at random makes it crash, and what it takes json-c takes too. */
static void damaged_texts_do_no_harm(void **state)
{
    const char *text =
        "{\"ab\": [1, -2.5e+3, \"x\\u00e9\\ud83d\\ude00é\", true, null, {\"b\": {}, \"c\": [[]]}]}";
    uint64_t seed = 20261120;
    size_t len = strlen(text), taken = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        FERRY_AUTOFREE char *copy = ferry_strdup(text);
        struct ferry_json *doc = NULL;
        struct ferry_err err;
        for (int j = 0; j < 1 + i % 3; j++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
            copy[(seed >> 40) % len] = (char)(seed >> 32);
        }
        if (ferry_json_parse("f", copy, len, NULL, NULL, &doc, &err) < 0) {
            assert_true(strlen(err.text) > 5);
            continue;
        }
        struct json_object *o = ferry_json_tree(doc, FERRY_JSON_ROOT);
        assert_true(json_object_is_type(o, json_type_object));
        json_object_put(o);
        ferry_json_free(doc);
        taken++;
    }
    assert_true(taken > 1000);
}

static void messages_hold_no_control_characters(void **state)
{
    struct ferry_json *doc = parse("{\"a\\nb\\u001b[0m\\u009b\": 1}");
    struct ferry_err err;
    (void)state;
    assert_int_equal(ferry_json_keys(doc, FERRY_JSON_ROOT, (const char *const[]){NULL}, &err), -FERRY_EINPUT);
    for (const char *p = err.text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    assert_null(strstr(err.text, "\xc2\x9b"));
    ferry_json_free(doc);
}

static void writing_and_reading_agree(void **state)
{
    struct json_object *o = json_object_new_object();
    (void)state;
    json_object_object_add(o, "path", json_object_new_string("a/b \"é\" \x01"));
    json_object_object_add(o, "n", json_object_new_int64(INT64_MAX));
    for (int pretty = 0; pretty < 2; pretty++) {
        FERRY_AUTOFREE char *text = ferry_json_write(o, pretty);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_non_null(strstr(text, "a/b"));
        struct ferry_json *doc = parse(text);
        struct json_object *back = ferry_json_tree(doc, FERRY_JSON_ROOT);
        assert_true(json_object_equal(o, back));
        json_object_put(back);
        ferry_json_free(doc);
    }
    json_object_put(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_what_the_text_says),
        cmocka_unit_test(members_are_needed_or_optional),
        cmocka_unit_test(numbers_do_not_clamp),
        cmocka_unit_test(pointers_lead_to_values_and_back),
        cmocka_unit_test(unknown_keys_are_all_reported),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(broken_texts_are_refused),
        cmocka_unit_test(truncation_is_noticed_everywhere),
        cmocka_unit_test(damaged_texts_do_no_harm),
        cmocka_unit_test(messages_hold_no_control_characters),
        cmocka_unit_test(writing_and_reading_agree),
    };
    return cmocka_run_group_tests_name("model: json", tests, NULL, NULL);
}
