/* Target: what comes over a connection before anybody reads it as an answer: noise, begin and end marks, exit status;
 * the facts that `hello` says; the dead-man's one line; what a kept process says up to a mark.
 *
 * The first byte: what is called, and how it ends.  The nonce is always that of the first process.
 *
 *  - A call that succeeded had its marks: what it returns stands between them.
 *  - Outputs are untouched on failure.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/deadman.h"

#include "fuzz.h"
#include "router.h"

#include <stdio.h>
#include <string.h>

static void call(struct ferry_remote *remote, const uint8_t *data, size_t size)
{
    struct ferry_remote_call c = {.verb = "hello", .words = {"x"}, .most_bytes = 4096};
    struct ferry_remote_reply reply = {.status = 77};
    struct ferry_err err = {0};
    int result = ferry_remote_call(remote, &c, &reply, &err);
    fuzz_said(result, &err);
    if (result < 0) {
        FUZZ_CHECK(reply.status == 77 && !reply.out && !reply.err);
        return;
    }
    char end[64];
    size_t n = (size_t)snprintf(end, sizeof end, "\nferry-end %016x %d\n", 1, reply.status);
    FUZZ_CHECK(size >= n && !memcmp(data + size - n, end, n));
    FUZZ_CHECK(reply.out && reply.err && reply.out[reply.n_out] == 0 && reply.n_out <= 4096);
    ferry_remote_reply_clear(&reply);
}

static void deadman(struct ferry_remote *remote, enum ferry_deadman_verb verb)
{
    struct ferry_deadman d = {.id = "20261120-101502-3fa9", .seconds = 60};
    struct ferry_remote_undo undo = {.text = "route del 10.0.0.0/8\n", .n_text = 21};
    enum ferry_deadman_state state = (enum ferry_deadman_state)77;
    unsigned left = 77;
    struct ferry_err err = {0};
    int result = ferry_remote_deadman(remote, "edge", verb, &d, &undo, 1, &state, &left, &err);
    fuzz_said(result, &err);
    if (result < 0)
        FUZZ_CHECK((int)state == 77 && left == 77);
    else
        FUZZ_CHECK(state <= FERRY_DEADMAN_RESTS &&
                   (state == FERRY_DEADMAN_ARMED || state == FERRY_DEADMAN_MOVING ||
                    state == FERRY_DEADMAN_RESTS || left <= (state == FERRY_DEADMAN_FIRED)));
}

static void expect(struct ferry_remote *remote)
{
    struct ferry_remote_process *p = NULL;
    struct ferry_remote_reply reply = {0};
    struct ferry_err err = {0};
    char *said = NULL;
    size_t n = 0;
    int result = ferry_remote_start(remote, "frr_show", (const char *[]){"-"}, 1, &p, &err);
    fuzz_said(result, &err);
    while (result >= 0 && p) {
        result = ferry_remote_expect(p, "! mark", 4096, 1000, &said, &n, &err);
        fuzz_said(result, &err);
        if (result < 0)
            break;
        FUZZ_CHECK(!memmem(said, n, "! mark", 6) && said[n] == 0);
        free(said);
    }
    if (p && ferry_remote_finish(p, 1000, 4096, &reply, &err) == 0)
        ferry_remote_reply_clear(&reply);
}

/* From the first word on: all of opening a connection. */
static void facts(struct ferry_remote *remote)
{
    struct ferry_err err = {0};
    int result = ferry_remote_meet(remote, ferry_remote_now(remote) + 9000000, &err);
    const struct ferry_remote_facts *f = ferry_remote_facts(remote);
    fuzz_said(result, &err);
    FUZZ_CHECK(memchr(f->boot_id, 0, sizeof f->boot_id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    fuzz_begin();
    static const int ends[] = {0, 0, 1, 64, -1, 0, 255, 0};
    struct ferry_remote *remote = fuzz_raw_router(data + 1, size - 1, ends[data[0] >> 5]);
    switch (data[0] & 7) {
    case 0:
    case 1:
        call(remote, data + 1, size - 1);
        break;
    case 2:
        facts(remote);
        break;
    case 3:
        expect(remote);
        break;
    default:
        deadman(remote, (enum ferry_deadman_verb)((data[0] & 7) - 4));
        break;
    }
    ferry_remote_close(remote);
    return 0;
}
