/* A router that says what the input says; see router.h.
 *
 * The three ways of speaking are those of drivers/remote/router: a call ends by itself; vtysh, ip and the shell of the
 * FRR driver hear lines and echo or mark them; ip_session frames a list of questions.
 *
 * SPDX-License-Identifier: MIT */
#include "router.h"

#include "fuzz.h"

#include <stdio.h>
#include <string.h>

enum { ANSWERS = 64, HEARD = 1 << 16, RAW_PIECE = 7 };

struct answer {
    const uint8_t *question, *text;
    size_t n_question, n_text;
    bool fails, used;
};

static struct {
    struct answer answers[ANSWERS];
    size_t n_answers;
    bool raw;
    const uint8_t *bytes;
    size_t n_bytes;
    int status;
    char heard[HEARD]; /* of the process that is written to: lines that are not whole yet */
    size_t n_heard;
    const struct ferry_remote_process *hearing;
    bool after_mark; /* ip and vtysh: a question stands between two marks */
    size_t left;     /* lines of ip_session's question list */
    char what[16], nonce[32];
} router;

/* ---- Answers. ---- */

static void take_answers(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size, *at = data;
    router.n_answers = 0;
    while (at < end && router.n_answers < ANSWERS) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
        struct answer a = {.fails = end - at > 1 && at[1] == '!'};
        size_t skip = a.fails ? 3 : 2;
        if (*at != '@' || !line_end || (size_t)(line_end - at) < skip)
            return;
        a.question = at + skip;
        a.n_question = (size_t)(line_end - a.question);
        a.text = line_end + 1;
        at = a.text < end && *a.text == '@' ? a.text : memmem(a.text, (size_t)(end - a.text), "\n@", 2);
        at = !at ? end : at == a.text ? at : at + 1;
        a.n_text = (size_t)(at - a.text);
        router.answers[router.n_answers++] = a;
    }
}

static const struct answer *answer_to(const char *question, size_t n)
{
    static const struct answer nothing = {0};
    struct answer *last = NULL;
    for (size_t i = 0; i < router.n_answers; i++) {
        struct answer *a = &router.answers[i];
        if (a->n_question != n || memcmp(a->question, question, n) != 0)
            continue;
        last = a;
        if (!a->used)
            break;
    }
    if (!last)
        return &nothing;
    last->used = true;
    return last;
}

static void say(struct ferry_remote_process *p, const char *fmt, ...) FERRY_PRINTF(2, 3);
static void say(struct ferry_remote_process *p, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ferry_remote_bytes_add(&p->out, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void say_answer(struct ferry_remote_process *p, const struct answer *a)
{
    if (a->n_text)
        ferry_remote_bytes_add(&p->out, a->text, a->n_text);
}

static void finish(struct ferry_remote_process *p, const struct answer *a)
{
    p->status = a->fails;
    if (a->n_text)
        ferry_remote_bytes_add(a->fails ? &p->err : &p->out, a->text, a->n_text);
    say(p, "\nferry-end %s %d\n", p->nonce, p->status);
    p->exited = p->out.ended = p->err.ended = true;
}

/* ---- The kept processes. ---- */

static bool is_mark(const char *line)
{
    return !strncmp(line, "ferry-", 6) || !strncmp(line, "! ferry-", 8);
}

/* vtysh echoes with its prompt; ip complains about a word that it does not know. */
static void hear_shell(struct ferry_remote_process *p, const char *line)
{
    bool vtysh = !strcmp(p->verb, "frr_show");
    if (vtysh)
        say(p, "r# %s\n", line);
    else if (is_mark(line))
        say(p, "Object \"%s\" is unknown, try \"ip help\".\nCommand failed -:1\n", line);
    if (!is_mark(line))
        say_answer(p, answer_to(line, strlen(line)));
}

static void hear_hand(struct ferry_remote_process *p, const char *line)
{
    char begin[64], end[64];
    int at = 0;
    if (sscanf(line, "%63s %63s %n", begin, end, &at) != 2 || !at)
        return;
    say(p, "%s\n", begin);
    say_answer(p, answer_to(line + at, strlen(line + at)));
    say(p, "\n%s\n", end);
}

static void say_part(struct ferry_remote_process *p, const struct answer *a)
{
    if (!a->fails)
        say_answer(p, a);
    say(p, "\n@ip %d\n", a->fails);
    if (a->fails)
        say_answer(p, a);
    say(p, "\n@err\n");
}

static void hear_session(struct ferry_remote_process *p, const char *line)
{
    if (!router.left && !*router.nonce) {
        if (sscanf(line, "%15s %31s %zu", router.what, router.nonce, &router.left) != 3)
            router.nonce[0] = '\0';
        return;
    }
    if (router.left) {
        router.left--;
        if (!strcmp(router.what, "show"))
            say_part(p, answer_to(line, strlen(line)));
        return;
    }
    if (!strcmp(router.what, "batch"))
        say_part(p, answer_to("batch", 5));
    else if (strcmp(router.what, "show") != 0)
        say_answer(p, answer_to(router.what, strlen(router.what)));
    say(p, "@done %s\n", router.nonce);
    router.nonce[0] = '\0';
}

static void hear(struct ferry_remote_process *p, const char *line)
{
    if (!strcmp(p->verb, "ip_session"))
        hear_session(p, line);
    else if (!strcmp(p->verb, "frr_hand"))
        hear_hand(p, line);
    else if (!strcmp(p->verb, "frr_write")) {
        if (!strcmp(line, "! whole"))
            finish(p, answer_to("frr_write", 9));
    } else
        hear_shell(p, line);
}

/* ---- The transport. ---- */

static bool is_kept(const char *verb)
{
    static const char *const kept[] = {"ip_session", "frr_show", "frr_hand",
                                       "frr_ip4",    "frr_ip6",  "frr_write"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!strcmp(verb, kept[i]))
            return true;
    return false;
}

static int start(struct ferry_remote *remote, struct ferry_remote_process *p, const char *const *words,
                 uint64_t deadline_us, struct ferry_err *err)
{
    (void)remote;
    (void)deadline_us;
    (void)words;
    (void)err;
    if (router.raw)
        return 0;
    say(p, "ferry-begin %s\n", p->nonce);
    if (!is_kept(p->verb))
        finish(p, answer_to(p->verb, strlen(p->verb)));
    return 0;
}

static ssize_t write_some(struct ferry_remote_process *p, const void *bytes, size_t n)
{
    if (router.raw || !is_kept(p->verb) || p->exited)
        return (ssize_t)n;
    if (router.hearing != p) {
        router.hearing = p;
        router.n_heard = 0;
    }
    for (size_t i = 0; i < n; i++) {
        char c = ((const char *)bytes)[i];
        if (c != '\n') {
            router.heard[router.n_heard] = c;
            router.n_heard += router.n_heard + 1 < sizeof router.heard;
            continue;
        }
        router.heard[router.n_heard] = '\0';
        router.n_heard = 0;
        hear(p, router.heard);
    }
    return (ssize_t)n;
}

static void end_input(struct ferry_remote_process *p)
{
    if (!router.raw && !p->exited)
        finish(p, answer_to(p->verb, strlen(p->verb)));
}

/* Raw: the bytes come in small pieces, each process from the first. */
static int step(struct ferry_remote_process *p, bool writing, uint64_t deadline_us, struct ferry_err *err)
{
    (void)writing;
    (void)deadline_us;
    (void)err;
    if (!router.raw || p->exited)
        return 0;
    size_t at = (size_t)p->pid, n = router.n_bytes - at;
    if (n > RAW_PIECE && n > router.n_bytes / 4)
        n = router.n_bytes / 4 + RAW_PIECE;
    if (n > router.n_bytes - at)
        n = router.n_bytes - at;
    if (n)
        ferry_remote_bytes_add(&p->out, router.bytes + at, n);
    p->pid += (pid_t)n;
    if ((size_t)p->pid == router.n_bytes) {
        p->exited = p->out.ended = p->err.ended = true;
        p->status = router.status;
    }
    return 0;
}

static void end(struct ferry_remote_process *p)
{
    if (router.hearing == p)
        router.hearing = NULL;
}

static void hang_up(struct ferry_remote *remote)
{
    (void)remote;
}

static const struct ferry_remote_transport says_the_input = {
    .start = start, .write = write_some, .end_input = end_input, .step = step, .end = end, .close = hang_up};

static struct ferry_remote *open_router(const char *name)
{
    struct ferry_remote *remote = ferry_calloc(1, sizeof *remote);
    remote->env = &fuzz_env;
    remote->transport = &says_the_input;
    remote->name = ferry_strdup(name);
    remote->facts = (struct ferry_remote_facts){.installed = true, .root = true, .vtysh = true};
    return remote;
}

struct ferry_remote *fuzz_router(const char *name, const uint8_t *data, size_t size)
{
    memset(&router, 0, sizeof router);
    take_answers(data, size);
    return open_router(name);
}

struct ferry_remote *fuzz_raw_router(const uint8_t *data, size_t size, int status)
{
    memset(&router, 0, sizeof router);
    router.raw = true;
    router.bytes = data;
    router.n_bytes = size;
    router.status = status;
    return open_router("raw");
}
