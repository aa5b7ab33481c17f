/* The lines between ferry and ferryd: bounds, strictness, and that what one end writes the other reads.
 * SPDX-License-Identifier: MIT */
#include "watch/wire.h"

#include "base/mem.h"
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *line, struct ferry_wire_request *ret)
{
    struct ferry_err err = {0};
    int r = ferry_wire_parse(line, strlen(line), ret, &err);
    assert_true(r == 0 || (r == -FERRY_EINPUT && err.text[0]));
    return r;
}

static void test_requests_come_through(void **state)
{
    static const struct ferry_wire_request requests[] = {
        {.verb = FERRY_WIRE_HELLO},
        {.verb = FERRY_WIRE_WATCH},
        {.verb = FERRY_WIRE_STATUS},
        {.verb = FERRY_WIRE_READINESS},
        {.verb = FERRY_WIRE_CONFIRM},
        {.verb = FERRY_WIRE_CONFIRM, .tx = "20261120-101502-3fa9"},
        {.verb = FERRY_WIRE_EXTEND, .tx = "last", .seconds = 7200},
    };
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(requests); i++) {
        FERRY_AUTOFREE char *line = ferry_wire_request_line(&requests[i]);
        struct ferry_wire_request got;
        size_t n = strlen(line);
        assert_true(n > 1 && n <= FERRY_WIRE_REQUEST_MAX && line[n - 1] == '\n' &&
                    !memchr(line, '\n', n - 1));
        line[n - 1] = '\0';
        assert_int_equal(parse(line, &got), 0);
        assert_int_equal(got.verb, requests[i].verb);
        assert_string_equal(got.tx, requests[i].tx);
        assert_int_equal(got.seconds, requests[i].seconds);
    }
    assert_true(ferry_wire_verb_writes(FERRY_WIRE_CONFIRM) && ferry_wire_verb_writes(FERRY_WIRE_EXTEND));
    assert_false(ferry_wire_verb_writes(FERRY_WIRE_STATUS) || ferry_wire_verb_writes(FERRY_WIRE_HELLO));
}

static void test_bad_requests_are_refused(void **state)
{
    static const char *const lines[] = {
        "",
        "{}",
        "[]",
        "1",
        "{\"ferry\": 1}",
        "{\"request\": \"hello\"}",
        "{\"ferry\": 1.0, \"request\": \"hello\"}",
        "{\"ferry\": \"1\", \"request\": \"hello\"}",
        "{\"ferry\": 1, \"request\": null}",
        "{\"ferry\": 1, \"request\": \"Hello\"}",
        "{\"ferry\": 1, \"request\": \"hello\"} x",
        "{\"ferry\": 1, \"request\": \"hello\", \"tx\": \"2026\"}",
        "{\"ferry\": 1, \"request\": \"confirm\", \"tx\": null}",
        "{\"ferry\": 1, \"request\": \"confirm\", \"tx\": \"\"}",
        "{\"ferry\": 1, \"request\": \"confirm\", \"tx\": \"2026%\"}",
        "{\"ferry\": 1, \"request\": \"confirm\", \"tx\": \"2026\\u0000\"}",
        "{\"ferry\": 1, \"request\": \"confirm\", \"tx\": \"20261120-101502-3fa9-0000\"}",
        "{\"ferry\": 1, \"request\": \"confirm\", \"seconds\": 5}",
        "{\"ferry\": 1, \"request\": \"extend\", \"tx\": \"last\", \"seconds\": 0}",
        "{\"ferry\": 1, \"request\": \"extend\", \"tx\": \"last\", \"seconds\": 7201}",
        "{\"ferry\": 1, \"request\": \"extend\", \"tx\": \"last\", \"seconds\": -1}",
        "{\"ferry\": 1, \"request\": \"extend\", \"tx\": \"last\", \"seconds\": 1e3}",
        "{\"ferry\": 1, \"request\": \"extend\", \"tx\": \"last\"}",
        "{\"ferry\": 1, \"request\": [[[[\"hello\"]]]]}",
    };
    struct ferry_wire_request got = {.seconds = 77};
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(lines); i++) {
        if (parse(lines[i], &got) == 0)
            fail_msg("taken: %s", lines[i]);
        assert_int_equal(got.seconds, 77);
    }
}

/* Bytes in pieces of every size give the same lines. */
static void test_lines_in_any_pieces(void **state)
{
    static const char text[] = "one\n\ntwo two\n"
                               "three\nrest";
    static const char *const expected[] = {"one", "", "two two", "three"};
    (void)state;
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        FERRY_CLEANUP(ferry_wire_lines_clear) struct ferry_wire_lines lines = {.most = 8};
        struct ferry_err err;
        size_t n = 0, len;
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            FERRY_AUTOFREE char *line = NULL;
            ferry_wire_feed(&lines, text + at, left < piece ? left : piece);
            while (ferry_wire_next(&lines, &line, &len, &err) == 1) {
                assert_true(n < FERRY_COUNT(expected));
                assert_string_equal(line, expected[n]);
                assert_int_equal(len, strlen(expected[n]));
                n++;
                free(FERRY_STEAL(line));
            }
        }
        assert_int_equal(n, FERRY_COUNT(expected));
    }
}

static void test_a_line_that_is_too_long_ends_it(void **state)
{
    FERRY_CLEANUP(ferry_wire_lines_clear) struct ferry_wire_lines lines = {.most = 4};
    struct ferry_err err;
    char *line;
    size_t len;
    (void)state;
    ferry_wire_feed(&lines, "1234\n", 5);
    assert_int_equal(ferry_wire_next(&lines, &line, &len, &err), 1);
    free(line);
    ferry_wire_feed(&lines, "12345\n", 6);
    assert_int_equal(ferry_wire_next(&lines, &line, &len, &err), -FERRY_EINPUT);
    ferry_wire_feed(&lines, "1\n", 2); /* nothing comes any more, and nothing is kept */
    assert_int_equal(ferry_wire_next(&lines, &line, &len, &err), -FERRY_EINPUT);
    assert_int_equal(lines.n, 6);
    /* without a newline too: not kept until one comes */
    ferry_wire_lines_clear(&lines);
    ferry_wire_feed(&lines, "12345", 5);
    assert_int_equal(ferry_wire_next(&lines, &line, &len, &err), -FERRY_EINPUT);
}

static int take(char *line, enum ferry_wire_reply *kind, struct json_object **result, int *code,
                struct ferry_err *err)
{
    int r = ferry_wire_reply(line, strlen(line) - 1, kind, result, code, err);
    free(line);
    return r;
}

static void test_replies_come_through(void **state)
{
    enum ferry_wire_reply kind;
    struct json_object *result = NULL;
    struct ferry_err err = {0}, refused;
    int code = 0;
    (void)state;
    assert_int_equal(take(ferry_wire_progress_line("a \"b\"\n"), &kind, &result, &code, &err), 0);
    assert_int_equal(kind, FERRY_WIRE_PROGRESS);
    assert_string_equal(err.text, "a \"b\"\n");
    assert_int_equal(take(ferry_wire_alive_line(), &kind, &result, &code, &err), 0);
    assert_int_equal(kind, FERRY_WIRE_ALIVE);
    assert_int_equal(take(ferry_wire_result_line(json_object_new_int(7)), &kind, &result, &code, &err), 0);
    assert_int_equal(kind, FERRY_WIRE_RESULT);
    assert_int_equal(json_object_get_int(result), 7);
    json_object_put(result);
    for (int e = FERRY_EIO; e <= FERRY_ESUPPORT; e++) {
        ferry_refuse(&refused, e == FERRY_EREFUSED ? "not-awaiting" : "", "text %d", e);
        assert_int_equal(take(ferry_wire_error_line(-e, &refused), &kind, &result, &code, &err), 0);
        assert_int_equal(kind, FERRY_WIRE_ERROR);
        assert_int_equal(code, -e);
        assert_string_equal(err.rule, refused.rule);
        assert_string_equal(err.text, refused.text);
    }
}

/* A line with a few bytes changed, cut or doubled is refused or read, and neither reads past its end (ASan). */
static void test_noise(void **state)
{
    static const char *const seeds[] = {
        "{\"ferry\": 1, \"request\": \"extend\", \"tx\": \"20261120-101502-3fa9\", \"seconds\": 600}",
        "{\"type\": \"error\", \"error\": {\"kind\": \"refused\", \"rule\": \"hold\", \"message\": \"no\"}}",
        "{\"type\": \"result\", \"result\": {\"a\": [1, 2.5, null, true, \"\\u00e4\"]}}",
    };
    uint32_t random = 1;
    size_t refused = 0, rounds = 60000;
    (void)state;
    for (size_t i = 0; i < rounds; i++) {
        size_t n = strlen(seeds[i % 3]);
        FERRY_AUTOFREE char *line = ferry_memdup(seeds[i % 3], n);
        for (int k = 0; k < 3; k++) {
            random = random * 1664525u + 1013904223u;
            if (random & 0x40000000 && n > 1)
                n -= random % 2;
            line[random % n] = (char)(random >> 16);
        }
        struct ferry_wire_request request;
        struct ferry_err err = {0};
        enum ferry_wire_reply kind = FERRY_WIRE_ALIVE;
        struct json_object *result = NULL;
        int code = 0, r = i % 3 ? ferry_wire_reply(line, n, &kind, &result, &code, &err)
                                : ferry_wire_parse(line, n, &request, &err);
        refused += r < 0;
        if (r < 0)
            assert_true(err.text[0]);
        json_object_put(result);
    }
    assert_true(refused > rounds / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_come_through), cmocka_unit_test(test_bad_requests_are_refused),
        cmocka_unit_test(test_lines_in_any_pieces),   cmocka_unit_test(test_a_line_that_is_too_long_ends_it),
        cmocka_unit_test(test_replies_come_through),  cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
