/* The dead-man over a connection; see deadman.h.  The router's side is router/deadman.sh.
 *
 * SPDX-License-Identifier: MIT */
#include "deadman.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define LINE_MOST  4095u  /* bytes: vtysh's own buffer */
#define REPLY_MOST 65536u /* bytes: the answer is one line */
#define TIMEOUT_MS 10000u

/* ---- The undo as it is sent. ---- */

struct text {
    char *v;
    size_t n;
};

static void text_add(struct text *t, const char *bytes, size_t n)
{
    t->v = ferry_realloc(t->v, t->n + n + 1, 1);
    if (n)
        memcpy(t->v + t->n, bytes, n);
    t->n += n;
}

/* The grammar of a step's text is checked here, whoever rendered it.  Returns its lines, or -FERRY_EREFUSED. */
static long count_lines(const struct ferry_remote_undo *step, struct ferry_err *err)
{
    long lines = 0;
    size_t begin = 0;
    for (size_t i = 0; i < step->n_text; i++) {
        char c = step->text[i];
        if (c == '\n') {
            lines++;
            begin = i + 1;
        } else if (c < 0x20 || c > 0x7e || (c == '@' && i == begin) || i - begin >= LINE_MOST) {
            return ferry_refuse(err, "dead-man", "the undo cannot be said in lines of plain text");
        }
    }
    if (begin != step->n_text)
        return ferry_refuse(err, "dead-man", "the last line of the undo does not end");
    return lines;
}

static int render(const struct ferry_remote_undo *undo, size_t n, struct text *ret, struct ferry_err *err)
{
    for (size_t i = 0; i < n; i++) {
        char head[128];
        long lines = count_lines(&undo[i], err);
        if (lines < 0)
            return (int)lines;
        if (!lines)
            continue;
        int len = snprintf(head, sizeof head, "@step %u %s %ld %s\n", undo[i].delay_s,
                           undo[i].kind == FERRY_REMOTE_UNDO_IP ? "ip" : "vtysh", lines,
                           undo[i].pathspace ? undo[i].pathspace : "-");
        if (len < 0 || (size_t)len >= sizeof head)
            return ferry_refuse(err, "dead-man", "the pathspace's name is too long");
        text_add(ret, head, (size_t)len);
        text_add(ret, undo[i].text, undo[i].n_text);
    }
    if (!ret->n)
        return ferry_refuse(err, "dead-man", "there is nothing to undo");
    text_add(ret, "@end\n", 5);
    return 0;
}

/* ---- The answer. ---- */

/* One line, and nothing but what deadman.sh says. */
static int parse(const struct ferry_remote_reply *reply, enum ferry_deadman_state *ret, unsigned *ret_left_s,
                 struct ferry_err *err)
{
    static const struct {
        const char *word;
        enum ferry_deadman_state state;
    } words[] = {{"none", FERRY_DEADMAN_NONE},           {"armed", FERRY_DEADMAN_ARMED},
                 {"moving", FERRY_DEADMAN_MOVING},       {"rests", FERRY_DEADMAN_RESTS},
                 {"confirmed", FERRY_DEADMAN_CONFIRMED}, {"fired", FERRY_DEADMAN_FIRED}};
    size_t len = strcspn(reply->out, " \n");
    for (size_t i = 0; i < FERRY_COUNT(words); i++) {
        if (strlen(words[i].word) != len || strncmp(reply->out, words[i].word, len) != 0)
            continue;
        unsigned left = 0;
        char end;
        if ((words[i].state == FERRY_DEADMAN_ARMED || words[i].state == FERRY_DEADMAN_MOVING ||
             words[i].state == FERRY_DEADMAN_RESTS) &&
            (sscanf(reply->out + len, " %9u%c", &left, &end) != 2 || end != '\n'))
            break;
        if (words[i].state == FERRY_DEADMAN_FIRED)
            left = strstr(reply->out, "is not over") || strstr(reply->out, "about to begin");
        *ret = words[i].state;
        *ret_left_s = left;
        return 0;
    }
    return ferry_error(err, FERRY_EUNKNOWN, "the dead-man's answer is not understood: %.100s", reply->out);
}

static void reply_cleanup(struct ferry_remote_reply *reply)
{
    ferry_remote_reply_clear(reply);
}

int ferry_remote_deadman(struct ferry_remote *remote, const char *router, enum ferry_deadman_verb verb,
                         const struct ferry_deadman *deadman, const struct ferry_remote_undo *undo,
                         size_t n_undo, enum ferry_deadman_state *ret, unsigned *ret_left_s,
                         struct ferry_err *err)
{
    static const char *const verbs[] = {
        [FERRY_DEADMAN_ARM] = "deadman_arm",         [FERRY_DEADMAN_EXTEND] = "deadman_extend",
        [FERRY_DEADMAN_CONFIRM] = "deadman_confirm", [FERRY_DEADMAN_DISARM] = "deadman_disarm",
        [FERRY_DEADMAN_LOOK] = "deadman_look",       [FERRY_DEADMAN_LIMIT] = "deadman_limit",
        [FERRY_DEADMAN_NEXT] = "deadman_next",       [FERRY_DEADMAN_MOVE] = "deadman_move",
        [FERRY_DEADMAN_SETTLE] = "deadman_settle",
    };
    FERRY_CLEANUP(reply_cleanup) struct ferry_remote_reply reply = {0};
    FERRY_AUTOFREE char *bytes = NULL;
    struct text input = {0};
    char seconds[16], from[16], to[16], seen[16], split[16];
    snprintf(seconds, sizeof seconds, "%u", deadman->seconds);
    snprintf(from, sizeof from, "%u", deadman->from_s);
    snprintf(to, sizeof to, "%u", deadman->to_s);
    snprintf(seen, sizeof seen, "%u", deadman->seen_s);
    snprintf(split, sizeof split, "%u", deadman->split_s);
    struct ferry_remote_call call = {
        .verb = verbs[verb],
        .words = {router, deadman->id, NULL},
        .timeout_ms = TIMEOUT_MS,
        .most_bytes = REPLY_MOST,
    };
    if (verb == FERRY_DEADMAN_ARM || verb == FERRY_DEADMAN_EXTEND || verb == FERRY_DEADMAN_NEXT)
        call.words[2] = seconds;
    if (verb == FERRY_DEADMAN_ARM && deadman->from_s)
        call.words[3] = from;
    if (verb == FERRY_DEADMAN_EXTEND && deadman->seen_s)
        call.words[3] = seen;
    if (verb == FERRY_DEADMAN_NEXT)
        call.words[3] = deadman->earlier ? "earlier" : "later";
    if (verb == FERRY_DEADMAN_MOVE)
        call.words[2] = split;
    if (verb == FERRY_DEADMAN_MOVE)
        call.words[3] = deadman->earlier ? "earlier" : "later";
    if (verb == FERRY_DEADMAN_SETTLE)
        call.words[2] = deadman->earlier ? "earlier" : "later";
    if (verb == FERRY_DEADMAN_LIMIT) {
        call.words[2] = from;
        call.words[3] = to;
    }
    if (verb == FERRY_DEADMAN_ARM) {
        int r = render(undo, n_undo, &input, err);
        bytes = input.v;
        if (r < 0)
            return r;
        call.input = input.v;
        call.n_input = input.n;
    }
    int r = ferry_remote_call(remote, &call, &reply, err);
    if (r < 0)
        return r;
    if (reply.status) {
        reply.err[strcspn(reply.err, "\n")] = '\0';
        return ferry_error(
            err, verb == FERRY_DEADMAN_ARM || verb == FERRY_DEADMAN_LOOK ? FERRY_EIO : FERRY_EUNKNOWN,
            "%s: %.200s", verbs[verb], *reply.err ? reply.err : "failed without a word");
    }
    return parse(&reply, ret, ret_left_s, err);
}
