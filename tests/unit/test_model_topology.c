/* model: the topology loader against tests/fixtures/topology, lookups, and what a big file costs.
 *
 * fixtures/topology/expected.json has every finding of every file in broken/, in order; files in valid/ load.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/json.h"
#include <dirent.h>
#include <ferry/topology.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIXTURES FERRY_SOURCE_DIR "/tests/fixtures/topology/"

static const char *text_of(struct ferry_json *doc, uint32_t object, const char *key)
{
    struct ferry_err err;
    const char *text = NULL;
    if (ferry_json_need_string(doc, object, key, &text, &err) < 0)
        fail_msg("%s", err.text);
    return text;
}

static int64_t number_of(struct ferry_json *doc, uint32_t object, const char *key)
{
    struct ferry_err err;
    int64_t n = 0;
    if (ferry_json_need_int(doc, object, key, 1, 100000, &n, &err) < 0)
        fail_msg("%s", err.text);
    return n;
}

static void check_broken(struct ferry_json *doc, uint32_t row)
{
    FERRY_AUTOFREE char *path = ferry_asprintf(FIXTURES "broken/%s", text_of(doc, row, "file"));
    FERRY_AUTOFREE char *first = NULL;
    struct ferry_topology *untouched = (struct ferry_topology *)(uintptr_t)1, *t = untouched;
    struct ferry_findings findings = {0};
    struct ferry_err err = {0};
    assert_int_equal(ferry_topology_load(path, &t, &findings, &err), -FERRY_EINPUT);
    assert_ptr_equal(t, untouched);
    uint32_t list = ferry_json_get(doc, row, "findings");
    size_t i = 0;
    FERRY_JSON_EACH(doc, list, want)
    {
        const char *pointer = text_of(doc, want, "pointer"), *text = text_of(doc, want, "text");
        if (i == 0)
            first = ferry_asprintf("%s:%lld:%lld: %s%s%s", path, (long long)number_of(doc, want, "line"),
                                   (long long)number_of(doc, want, "column"), pointer, *pointer ? ": " : "",
                                   text);
        if (i == findings.n)
            fail_msg("%s: '%s' is not found", path, text);
        const struct ferry_finding *f = &findings.v[i++];
        if (strcmp(f->text, text) != 0 || strcmp(f->pointer, pointer) != 0 ||
            f->line != number_of(doc, want, "line") || f->column != number_of(doc, want, "column"))
            fail_msg("%s:\n  %u:%u: %s: %s is found, expected:\n  %lld:%lld: %s: %s", path, f->line,
                     f->column, f->pointer, f->text, (long long)number_of(doc, want, "line"),
                     (long long)number_of(doc, want, "column"), pointer, text);
    }
    if (i < findings.n)
        fail_msg("%s: also found: %s: %s", path, findings.v[i].pointer, findings.v[i].text);
    assert_string_equal(err.text, first);
    ferry_findings_clear(&findings);
}

static size_t count_files(const char *folder)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void broken_files_are_refused_with_their_messages(void **state)
{
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    struct ferry_err err;
    (void)state;
    if (ferry_json_load(FIXTURES "expected.json", NULL, NULL, &doc, &err) < 0)
        fail_msg("%s", err.text);
    FERRY_JSON_EACH(doc, FERRY_JSON_ROOT, row)
    check_broken(doc, row);
    assert_int_equal(ferry_json_count(doc, FERRY_JSON_ROOT), count_files(FIXTURES "broken"));
}

static struct ferry_topology *load(const char *path)
{
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (ferry_topology_load(path, &t, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static void load_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        size_t n = strlen(d->d_name);
        if (n < 6 || strcmp(d->d_name + n - 5, ".json") != 0 || strcmp(d->d_name, "schema.json") == 0)
            continue;
        FERRY_AUTOFREE char *path = ferry_asprintf("%s/%s", folder, d->d_name);
        ferry_topology_free(load(path));
    }
    closedir(dir);
}

static void good_files_load(void **state)
{
    (void)state;
    load_folder(FIXTURES "valid");
    load_folder(FERRY_SOURCE_DIR "/topologies");
}

static void a_loaded_topology_says_what_the_file_says(void **state)
{
    struct ferry_topology *t = load(FERRY_SOURCE_DIR "/topologies/three-site.json");
    struct ferry_addr a;
    struct ferry_end end;
    struct ferry_err err;
    char buf[FERRY_PREFIX_STRLEN];
    (void)state;
    assert_string_equal(t->name, "three-site");
    assert_int_equal(strlen(t->sha256), 64);
    assert_false(t->ecmp);
    assert_int_equal(t->n_sites, 3);
    assert_int_equal(t->n_routers, 3);
    assert_int_equal(t->n_links, 3);
    assert_int_equal(t->links[2].cost_ab, 10);
    assert_int_equal(ferry_topology_site(t, "third"), 2);
    assert_int_equal(ferry_topology_site(t, "fourth"), FERRY_NONE);
    assert_int_equal(ferry_topology_router(t, "edge-recovery"), 1);
    assert_int_equal(ferry_topology_router(t, ""), FERRY_NONE);
    assert_int_equal(ferry_topology_subnet(t, "app"), 0);
    assert_int_equal(ferry_topology_subnet(t, "192.168.1.0/24"), 0);
    assert_int_equal(ferry_topology_subnet(t, "192.168.1.0/25"), FERRY_NONE);
    assert_int_equal(ferry_topology_subnet(t, "192.168.1.1/24"), FERRY_NONE);
    assert_int_equal(ferry_topology_subnet(t, "web"), FERRY_NONE);
    assert_string_equal(ferry_prefix_text(&t->subnets[0].gateways[1].address, buf), "192.168.1.1/24");
    assert_int_equal(t->subnets[0].gateways[1].router, 1);
    assert_int_equal(t->subnets[0].home, 0);
    assert_string_equal(t->routers[0].driver.netns, "edge-primary");
    assert_int_equal(ferry_topology_table(t, 0, 0), FERRY_TABLE_MAIN);
    assert_int_equal(ferry_addr_parse("10.255.23.1", &a, &err), 0);
    assert_int_equal(ferry_topology_owner(t, &a), 1);
    assert_int_equal(ferry_addr_parse("192.168.1.1", &a, &err), 0);
    assert_int_equal(ferry_topology_owner(t, &a), FERRY_NO_ROUTER);
    assert_int_equal(ferry_topology_neighbour(t, 2, "to-recovery", &end), 1);
    assert_string_equal(t->routers[1].interfaces[end.interface].name, "to-third");
    assert_int_equal(ferry_topology_neighbour(t, 2, "lan0", &end), FERRY_NO_ROUTER);
    ferry_topology_free(t);
}

/* Lookups walk the arrays where there is no index: the same answers. */
static void lookups_need_no_index(void **state)
{
    struct ferry_topology *t = load(FERRY_SOURCE_DIR "/topologies/public-network.json");
    struct ferry_topology bare = *t;
    (void)state;
    bare.index = NULL;
    for (uint32_t r = 0; r < t->n_routers; r++) {
        assert_int_equal(ferry_topology_router(&bare, t->routers[r].name), r);
        assert_int_equal(ferry_topology_router(t, t->routers[r].name), r);
        for (size_t i = 0; i < t->routers[r].n_interfaces; i++) {
            const struct ferry_interface *interface = &t->routers[r].interfaces[i];
            assert_int_equal(ferry_topology_neighbour(t, r, interface->name, NULL),
                             ferry_topology_neighbour(&bare, r, interface->name, NULL));
            for (size_t j = 0; j < interface->n_addresses; j++)
                assert_int_equal(ferry_topology_owner(t, &interface->addresses[j].addr),
                                 ferry_topology_owner(&bare, &interface->addresses[j].addr));
        }
    }
    assert_int_equal(ferry_topology_site(&bare, t->sites[1].name), 1);
    assert_int_equal(ferry_topology_subnet(&bare, t->subnets[1].name), 1);
    ferry_topology_free(t);
}

/* ---- Files that are none. ---- */

static void expect_unreadable(const char *path, const char *why)
{
    FERRY_AUTOFREE char *want = ferry_asprintf("%s: %s", path, why);
    struct ferry_topology *t = NULL;
    struct ferry_findings findings = {0};
    struct ferry_err err;
    assert_int_equal(ferry_topology_load(path, &t, &findings, &err), -FERRY_EINPUT);
    assert_string_equal(err.text, want);
    assert_int_equal(findings.n, 1);
    ferry_findings_clear(&findings);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
    char folder[] = "/tmp/ferry-model-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    FERRY_AUTOFREE char *fifo = ferry_asprintf("%s/fifo", folder), *none = ferry_asprintf("%s/none", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    alarm(20); /* opening a FIFO must not wait for a writer */
    expect_unreadable(fifo, "is a FIFO, not a file");
    expect_unreadable(folder, "is a directory, not a file");
    expect_unreadable("/dev/zero", "is a device, not a file");
    expect_unreadable(none, "cannot be read: No such file or directory");
    alarm(0);
    unlink(fifo);
    rmdir(folder);
}

/* ---- Big files: bounded time and memory, in a child of its own. ---- */

struct big {
    char *text;
    size_t n, room;
};

static void put(struct big *big, const char *fmt, ...) FERRY_PRINTF(2, 3);

static void put(struct big *big, const char *fmt, ...)
{
    va_list args;
    if (big->room - big->n < 1000)
        big->text = ferry_realloc(big->text, big->room = 2 * big->room + 4096, 1);
    va_start(args, fmt);
    big->n += (size_t)vsnprintf(big->text + big->n, big->room - big->n, fmt, args);
    va_end(args);
}

/* Runs `work` in a child: 0 is good.  At most `seconds` of processor time and `mib` of address space (not
 * with AddressSanitizer, whose shadow alone is terabytes). */
static void bounded(int (*work)(void), unsigned seconds, size_t mib)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit cpu = {seconds, seconds};
        setrlimit(RLIMIT_CPU, &cpu);
#ifndef FERRY_SANITIZED
        struct rlimit space = {mib << 20, mib << 20};
        setrlimit(RLIMIT_AS, &space);
#endif
        (void)mib;
        _exit(work());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Parses and compares the outcome: how many findings, and the first one's text. */
static int expect(const struct big *big, size_t n_findings, const char *text)
{
    struct ferry_topology *t = NULL;
    struct ferry_findings findings = {0};
    struct ferry_err err;
    int r = ferry_topology_parse("big", big->text, big->n, &t, &findings, &err);
    return r == (n_findings ? -FERRY_EINPUT : 0) && findings.n == n_findings &&
                   (n_findings == 0 || strstr(findings.v[0].text, text))
               ? 0
               : 1;
}

static int a_million_objects(void)
{
    struct big big = {0};
    put(&big, "{\"ferry\":1,\"name\":\"big\",\"sites\":[{\"name\":\"s\"}");
    for (int i = 0; i < 1000000; i++)
        put(&big, ",{}\n");
    put(&big, "],\"routers\":[],\"subnets\":[]}");
    return expect(&big, 100, "'name' is missing");
}

static int a_million_keys(void)
{
    struct big big = {0};
    put(&big, "{\"ferry\":1,\"name\":\"big\"");
    for (int i = 0; i < 1000000; i++)
        put(&big, ",\"x-%d\":0", i);
    put(&big, ",\"x-500000\":0}");
    return expect(&big, 1, "the key 'x-500000' is there twice");
}

static int ten_million_values(void)
{
    struct big big = {0};
    put(&big, "[0");
    for (int i = 0; i < 10000000; i++)
        put(&big, ",0");
    put(&big, "]");
    return expect(&big, 1, "more than 8000000 values");
}

/* 1,000 routers in a ring with a hub, 10,000 subnets with two gateways each. */
static int a_big_topology(void)
{
    struct big big = {0};
    put(&big, "{\"ferry\":1,\"name\":\"big\",\"sites\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"routers\":[");
    for (int i = 0; i < 1000; i++)
        put(&big,
            "%s\n{\"name\":\"r%d\",\"site\":\"%s\",\"driver\":{\"type\":\"sim\"},\"interfaces\":[{\"name\":"
            "\"lan0\"},"
            "{\"name\":\"next\",\"addresses\":[\"10.1.%d.%d/"
            "31\"]},{\"name\":\"last\",\"addresses\":[\"10.1.%d.%d/31\"]}]}",
            i ? "," : "", i, i % 2 ? "b" : "a", 2 * i / 256, 2 * i % 256, (2 * i + 1999) % 2000 / 256,
            (2 * i + 1999) % 2000 % 256);
    put(&big, "],\"links\":[");
    for (int i = 0; i < 1000; i++)
        put(&big, "%s\n{\"endpoints\":[\"r%d:next\",\"r%d:last\"]}", i ? "," : "", i, (i + 1) % 1000);
    put(&big, "],\"subnets\":[");
    for (int i = 0; i < 10000; i++)
        put(&big,
            "%s\n{\"name\":\"s%d\",\"prefix\":\"11.%d.%d.0/24\",\"home\":\"a\",\"gateways\":["
            "{\"router\":\"r%d\",\"interface\":\"lan0\",\"address\":\"11.%d.%d.1/24\"},"
            "{\"router\":\"r%d\",\"interface\":\"lan0\",\"address\":\"11.%d.%d.1/24\"}]}",
            i ? "," : "", i, i / 256, i % 256, i % 500 * 2, i / 256, i % 256, i % 500 * 2 + 1, i / 256,
            i % 256);
    put(&big, "]}");
    return expect(&big, 0, "");
}

static void big_files_cost_little(void **state)
{
    (void)state;
    bounded(a_million_objects, 20, 512);
    bounded(a_million_keys, 20, 512);
    bounded(ten_million_values, 20, 1024);
    bounded(a_big_topology, 20, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_files_are_refused_with_their_messages),
        cmocka_unit_test(good_files_load),
        cmocka_unit_test(a_loaded_topology_says_what_the_file_says),
        cmocka_unit_test(lookups_need_no_index),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
        cmocka_unit_test(big_files_cost_little),
    };
    return cmocka_run_group_tests_name("model: topology", tests, NULL, NULL);
}
