/* base: addresses, prefixes, errors, hashes.  SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/std.h"
#include "base/text.h"
#include "base/utf8.h"
#include <fcntl.h>
#include <ferry/addr.h>
#include <ferry/env.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ferry_prefix prefix(const char *text)
{
    struct ferry_err err;
    struct ferry_prefix p = {0};
    if (ferry_prefix_parse(text, &p, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return p;
}

static void prefixes_print_as_they_parse(void **state)
{
    static const char *const texts[] = {"0.0.0.0/0",     "192.168.1.0/24", "10.255.12.1/30", "::/0",
                                        "2001:db8::/32", "fe80::1/64",     "1.2.3.4/32",     "::1/128"};
    char buf[FERRY_PREFIX_STRLEN];
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(texts); i++) {
        struct ferry_prefix p = prefix(texts[i]);
        assert_string_equal(ferry_prefix_text(&p, buf), texts[i]);
    }
}

static void bad_prefixes_are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "/",
                                        "10.0.0.0",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/08",
                                        "10.0.0/8",
                                        "10.0.0.0/8 ",
                                        "10.0.0.0/-1",
                                        "10.00.0.0/8",
                                        "::/129",
                                        "fe80::1%lo/64",
                                        "10.0.0.0/8/8",
                                        "x/8",
                                        "10.0.0.0/99999999999999999999"};
    struct ferry_err err;
    (void)state;
    for (size_t i = 0; i < FERRY_COUNT(texts); i++) {
        struct ferry_prefix p = {.len = 77};
        assert_int_equal(ferry_prefix_parse(texts[i], &p, &err), -FERRY_EINPUT);
        assert_int_equal(p.len, 77); /* outputs untouched on failure */
        assert_non_null(strstr(err.text, "'"));
    }
}

static void host_bits_and_covering(void **state)
{
    struct ferry_prefix a = prefix("192.168.1.1/24"), net = prefix("192.168.1.0/24");
    struct ferry_prefix half = prefix("192.168.1.128/25"), wide = prefix("192.168.0.0/23"),
                        six = prefix("::/0");
    struct ferry_prefix cleared = ferry_prefix_network(&a);
    (void)state;
    assert_true(ferry_prefix_has_host_bits(&a));
    assert_false(ferry_prefix_has_host_bits(&net));
    assert_true(ferry_prefix_equal(&cleared, &net));
    assert_true(ferry_prefix_covers(&net, &half));
    assert_true(ferry_prefix_covers(&net, &net));
    assert_true(ferry_prefix_covers(&wide, &half));
    assert_false(ferry_prefix_covers(&half, &net));
    assert_false(ferry_prefix_covers(&six, &net));
    assert_true(ferry_prefix_contains(&net, &a.addr));
    assert_false(ferry_prefix_contains(&half, &a.addr));
}

static void errors_are_cut_with_dots(void **state)
{
    char longtext[3000];
    struct ferry_err err;
    (void)state;
    memset(longtext, 'x', sizeof longtext - 1);
    longtext[sizeof longtext - 1] = '\0';
    assert_int_equal(ferry_refuse(&err, "loop", "%s", longtext), -FERRY_EREFUSED);
    assert_string_equal(err.rule, "loop");
    assert_string_equal(err.text + strlen(err.text) - 3, "...");
    assert_int_equal(ferry_error(&err, FERRY_EIO, "no answer"), -FERRY_EIO);
    assert_string_equal(err.rule, "");
    assert_int_equal(ferry_error_prefix(&err, -FERRY_EIO, "edge-%s", "third"), -FERRY_EIO);
    assert_string_equal(err.text, "edge-third: no answer");
    assert_int_equal(ferry_error_prefix(&err, -FERRY_EIO, "%s", longtext), -FERRY_EIO);
    assert_string_equal(err.text + strlen(err.text) - 3, "...");
}

static void hashes_and_hex(void **state)
{
    char sum[65], hex[9];
    uint8_t bytes[4];
    (void)state;
    ferry_sha256("abc", 3, sum); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ferry_hex((const uint8_t *)"\x00\xff\x10\xab", 4, hex);
    assert_string_equal(hex, "00ff10ab");
    assert_int_equal(ferry_unhex(hex, bytes), 4);
    assert_memory_equal(bytes, "\x00\xff\x10\xab", 4);
    assert_int_equal(ferry_unhex("0", bytes), -1);
    assert_int_equal(ferry_unhex("0G", bytes), -1);
    assert_true(ferry_hash(1, "ab", 2) != ferry_hash(1, "ab\0", 3));
}

static void vectors_grow_by_doubling(void **state)
{
    int *v = NULL;
    size_t n = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        FERRY_GROW(v, n);
        v[n++] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v[i], i);
    free(v);
}

static void the_clock_moves_forward(void **state)
{
    uint64_t a = ferry_env_real.monotonic_us(NULL), b = ferry_env_real.monotonic_us(NULL);
    (void)state;
    assert_true(b >= a);
    assert_true(ferry_env_real.realtime_us(NULL) > UINT64_C(1700000000000000));
    assert_true(ferry_env_real.random(NULL) != ferry_env_real.random(NULL));
}

/* What a program sees that was started with `closed` (a bit each) of its streams closed; 0 where all is well. */
static int with_closed(unsigned closed)
{
    for (int fd = 0; fd <= 2; fd++)
        if (closed & 1U << fd)
            close(fd);
    ferry_std_keep();
    if (socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) <= 2)
        return 1; /* a router's would be as good as stdout */
    for (int fd = 1; fd <= 2; fd++)
        if (closed & 1U << fd && write(fd, "x", 1) >= 0)
            return 2; /* nobody would hear that the output is lost */
    return 0;
}

static void closed_streams_give_their_numbers_to_nobody(void **state)
{
    (void)state;
    for (unsigned closed = 0; closed < 8; closed++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0)
            _exit(with_closed(closed));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void what_is_no_utf8_becomes_question_marks(void **unused)
{
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"", ""},
        {"a\n\u00e9\u20ac\U0001f600", "a\n\u00e9\u20ac\U0001f600"},
        {"f\xfcr", "f?r"},
        {"\xc3", "?"},                /* cut off */
        {"\xe2\x82", "??"},           /* the same */
        {"\xc0\xaf", "??"},           /* overlong */
        {"\xe0\x80\xaf", "???"},      /* overlong */
        {"\xed\xa0\x80", "???"},      /* a surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF */
        {"\x80z\xffz", "?z?z"},
    };
    (void)unused;
    for (size_t i = 0; i < FERRY_COUNT(cases); i++) {
        char text[32];
        strcpy(text, cases[i].text);
        assert_string_equal(ferry_utf8_clean(text), cases[i].clean);
    }
}

/* What a shell makes of the word. */
static void read_back(const char *word)
{
    FERRY_AUTOFREE char *quoted = ferry_shell_word(word);
    FERRY_AUTOFREE char *command = ferry_asprintf("printf %%s %s", quoted);
    char got[300] = "";
    FILE *f = popen(command, "r");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    assert_int_equal(pclose(f), 0);
    assert_string_equal(got, word);
    for (const char *c = quoted; *c; c++)
        assert_in_range(*c, ' ', '~');
}

static void a_shell_reads_a_word_as_it_is(void **state)
{
    static const char *const words[] = {"",     "$(id>&2)", "a;id",  "a b",        "it's",     "'",
                                        "a\\b", "*",        "~",     "\033[2J%s-", "-\n\t%d'", "l\303\244n",
                                        "\177", "`id`",     "\"x\"", "#a",         "!!"};
    FERRY_AUTOFREE char *plain = ferry_shell_word("lan0.5@a:b%c+d=e,f/g-h_i");
    char all[256], text[] = "a\033b\302\233c\302\240";
    (void)state;
    assert_string_equal(plain, "lan0.5@a:b%c+d=e,f/g-h_i");
    for (size_t i = 0; i < FERRY_COUNT(words); i++)
        read_back(words[i]);
    for (int i = 0; i < 255; i++)
        all[i] = (char)(255 - i); /* a shell drops newlines at the end alone */
    all[255] = '\0';
    read_back(all);
    ferry_text_tidy(text);
    assert_string_equal(text, "a?b??c\302\240");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_print_as_they_parse),
        cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(host_bits_and_covering),
        cmocka_unit_test(errors_are_cut_with_dots),
        cmocka_unit_test(hashes_and_hex),
        cmocka_unit_test(what_is_no_utf8_becomes_question_marks),
        cmocka_unit_test(vectors_grow_by_doubling),
        cmocka_unit_test(the_clock_moves_forward),
        cmocka_unit_test(closed_streams_give_their_numbers_to_nobody),
        cmocka_unit_test(a_shell_reads_a_word_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
