/* How long ferryd leaves alone what has failed.
 * SPDX-License-Identifier: MIT */
#include "daemon/rest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Polls until the next try. */
static unsigned wait_for_it(struct ferryd_rest *rest)
{
    unsigned polls = 0;
    for (; ferryd_rests(rest); polls++) {
        assert_true(polls < 1000);
        ferryd_rest_poll(rest);
    }
    return polls;
}

static void it_doubles_up_to_64_polls(void **unused)
{
    (void)unused;
    static const unsigned waits[] = {1, 2, 4, 8, 16, 32, 64, 64, 64};
    struct ferryd_rest rest = {0};
    assert_false(ferryd_rests(&rest));
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        ferryd_rest_failed(&rest);
        assert_int_equal(wait_for_it(&rest), waits[i]);
        ferryd_rest_poll(&rest); /* one that comes while the try runs */
        assert_false(ferryd_rests(&rest));
    }
}

static void success_and_nothing_to_do_begin_anew(void **unused)
{
    (void)unused;
    struct ferryd_rest rest = {0};
    for (int i = 0; i < 5; i++)
        ferryd_rest_failed(&rest);
    ferryd_rest_over(&rest);
    assert_false(ferryd_rests(&rest));
    ferryd_rest_failed(&rest);
    assert_int_equal(wait_for_it(&rest), 1);
    for (int i = 0; i < 3; i++)
        ferryd_rest_failed(&rest);
    ferryd_rest_once(&rest);
    assert_int_equal(wait_for_it(&rest), 1);
    ferryd_rest_failed(&rest);
    assert_int_equal(wait_for_it(&rest), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_doubles_up_to_64_polls),
        cmocka_unit_test(success_and_nothing_to_do_begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
