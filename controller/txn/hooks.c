/* Hooks: what runs between the stages, forward and backward (docs/hooks.md).
 *
 *  H1. Before a program runs, the journal says durably that it does; after a crash, one that the journal
 *      calls running may have done its work, or not.
 *  H2. On the way back every program that ran, or may have, is followed by its `undo`, newest first, each
 *      before the stage that lies before it is undone.  So that `undo` must bear being run once more, and
 *      after half a `run`.
 *  H3. What could not be taken back is a hand (STUCK): the routers go back all the same.
 *  H4. A pause says so durably before anybody is asked; nothing is under way on any router then.
 *
 * Every change of a hook's state goes through ferry_txn_hook_mark.
 *
 * SPDX-License-Identifier: MIT */
#include "txn/program.h"
#include "txn/txn_engine.h"

#include <stdio.h>
#include <string.h>

#define LIST_BYTES 65536u /* of a list in the environment: one string has at most 128 KiB (execve(2)) */

const char *ferry_hook_state_name(enum ferry_hook_state state)
{
    static const char *const names[] = {
        [FERRY_HOOK_WAITING] = "waiting", [FERRY_HOOK_RUNNING] = "running",
        [FERRY_HOOK_PAUSED] = "paused",   [FERRY_HOOK_DONE] = "done",
        [FERRY_HOOK_FAILED] = "failed",   [FERRY_HOOK_SKIPPED] = "skipped",
        [FERRY_HOOK_UNDONE] = "undone",   [FERRY_HOOK_UNDO_FAILED] = "undo-failed",
    };
    return (size_t)state < FERRY_COUNT(names) ? names[state] : "?";
}

void ferry_txn_hook_mark(struct ferry_txn *txn, struct ferry_txn_hook *h, enum ferry_hook_state state)
{
    h->state = state;
    txn->hooks_unsaved = true;
}

/* "hook before-detach: /usr/bin/move-vm app" */
static char *title(const struct ferry_txn_hook *h, char *const *argv)
{
    FERRY_AUTOFREE char *program = argv ? ferry_argv_text(argv) : NULL;
    return ferry_asprintf("hook %s: %s", ferry_boundary_name(h->hook.at), program ? program : h->hook.pause);
}

/* ---- At the beginning. ---- */

void ferry_txn_hooks_init(struct ferry_txn *txn, unsigned pause_before)
{
    struct ferry_hooks hooks = ferry_hooks_copy(&txn->plan->hooks);
    size_t n = 0, planned = hooks.n;
    txn->record.hooks = ferry_calloc(planned + 4, sizeof *txn->record.hooks);
    for (size_t i = 0; i <= planned; i++) {
        unsigned from = i ? (unsigned)hooks.v[i - 1].at : 0,
                 to = i < planned ? (unsigned)hooks.v[i].at : FERRY_BOUNDARIES;
        for (unsigned at = from; at < to; at++) /* after all that the plan has at this boundary */
            if (at % 2 == 0 && pause_before & 1u << at / 2)
                txn->record.hooks[n++] =
                    (struct ferry_txn_hook){.added = true,
                                            .hook = {.at = (enum ferry_boundary)at,
                                                     .pause = ferry_strdup("asked for with --pause-before")}};
        if (i < planned)
            txn->record.hooks[n++].hook = hooks.v[i];
    }
    free(hooks.v);
    txn->record.n_hooks = n;
}

unsigned ferry_txn_hooks_last(const struct ferry_txn *txn)
{
    unsigned long s = 0;
    for (size_t i = 0; i < txn->record.n_hooks; i++)
        s += txn->record.hooks[i].hook.run ? txn->record.hooks[i].hook.timeout_s : 0;
    return s > FERRY_HOOK_TIMEOUT_MOST_S ? FERRY_HOOK_TIMEOUT_MOST_S : (unsigned)s;
}

int ferry_txn_hooks_check(const struct ferry_txn *txn, struct ferry_err *err)
{
    for (size_t i = 0; txn->dead.on && i < txn->record.n_hooks; i++)
        if (txn->record.hooks[i].hook.pause)
            return ferry_refuse(
                err, "pause",
                "%s: the routers' deadline does not wait for a person: leave out the pause or "
                "--confirm-within",
                ferry_boundary_name(txn->record.hooks[i].hook.at));
    return 0;
}

/* ---- Running one. ---- */

struct words {
    char *v;
    size_t n;
};

static void words_add(struct words *w, const char *word)
{
    size_t len = strlen(word);
    w->v = ferry_realloc(w->v, w->n + len + 2, 1);
    if (w->n)
        w->v[w->n++] = ' ';
    memcpy(w->v + w->n, word, len + 1);
    w->n += len;
}

static bool words_have(const struct words *w, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = w->v; at && (at = strstr(at, word)); at++)
        if ((at == w->v || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

/* "NAME PREFIX FROM TO" a line. */
static char *input_of(const struct ferry_plan *plan, struct words *names, struct words *prefixes,
                      struct words *from, struct words *to)
{
    char buf[FERRY_PREFIX_STRLEN], *text = ferry_strdup("");
    size_t len = 0;
    for (size_t g = 0; g < plan->n_groups; g++) {
        const struct ferry_group *group = &plan->groups[g];
        const char *a = group->from ? group->from : "-", *b = group->to ? group->to : "-";
        if (group->dns)
            continue;
        if (!words_have(from, a))
            words_add(from, a);
        if (!words_have(to, b))
            words_add(to, b);
        for (size_t i = 0; i < group->n_subnets; i++) {
            const struct ferry_plan_subnet *s = &group->subnets[i];
            FERRY_AUTOFREE char *line =
                ferry_asprintf("%s %s %s %s\n", s->name, ferry_prefix_text(&s->prefix, buf), a, b);
            size_t n = strlen(line);
            text = ferry_realloc(text, len + n + 1, 1);
            memcpy(text + len, line, n + 1);
            len += n;
            if (names->n < LIST_BYTES)
                words_add(names, s->name);
            if (prefixes->n < LIST_BYTES)
                words_add(prefixes, buf);
        }
    }
    return text;
}

static void run(struct ferry_txn *txn, const struct ferry_txn_hook *h, bool back,
                struct ferry_program_end *ret)
{
    struct words names = {0}, prefixes = {0}, from = {0}, to = {0};
    FERRY_AUTOFREE char *input = input_of(txn->plan, &names, &prefixes, &from, &to);
    const char *const values[][2] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"LC_ALL", "C.UTF-8"},
        {"FERRY_TX", txn->record.id},
        {"FERRY_PHASE", ferry_boundary_name(h->hook.at)},
        {"FERRY_ACTION", back ? "undo" : "run"},
        {"FERRY_KIND", txn->record.kind},
        {"FERRY_MODE", txn->plan->mode},
        {"FERRY_FROM", from.v ? from.v : ""},
        {"FERRY_TO", to.v ? to.v : ""},
        {"FERRY_SUBNETS", names.n < LIST_BYTES && names.v ? names.v : ""}, /* then the input has them */
        {"FERRY_PREFIXES", prefixes.n < LIST_BYTES && prefixes.v ? prefixes.v : ""},
    };
    char *envp[FERRY_COUNT(values) + 1] = {NULL};
    for (size_t i = 0; i < FERRY_COUNT(values); i++)
        envp[i] = ferry_asprintf("%s=%s", values[i][0], values[i][1]);
    struct ferry_program program = {.argv = back ? h->hook.undo : h->hook.run,
                                    .envp = envp,
                                    .input = input,
                                    .timeout_s = h->hook.timeout_s,
                                    .interrupted = back ? NULL : txn->interrupted};
    ferry_txn_point(txn->env, "hook-run");
    ferry_program_run(txn->env, &program, ret);
    ferry_txn_point(txn->env, "hook-run");
    for (size_t i = 0; i < FERRY_COUNT(values); i++)
        free(envp[i]);
    free(names.v);
    free(prefixes.v);
    free(from.v);
    free(to.v);
}

/* "exit status 3: no such machine"; malloc'd. */
static char *failure(const struct ferry_program_end *end, unsigned timeout_s)
{
    const char *last = end->output;
    for (const char *c = end->output; *c; c++)
        if (*c == '\n' && c[1] && c[1] != '\n')
            last = c + 1;
    int len = (int)strcspn(last, "\n");
    if (end->signal)
        return ferry_asprintf("stopped by %s", end->signal);
    if (end->timed_out)
        return ferry_asprintf("not done within %u s, stopped", timeout_s);
    if (end->status < 0)
        return ferry_asprintf("%.*s", len, last);
    if (end->status > 128)
        return ferry_asprintf("ended by signal %d%s%.*s", end->status - 128, len ? ": " : "", len, last);
    return ferry_asprintf("exit status %d%s%.*s", end->status, len ? ": " : "", len < 300 ? len : 300, last);
}

static bool succeeded(const struct ferry_program_end *end)
{
    return end->status == 0 && !end->timed_out && !end->signal;
}

/* ---- Forward. ---- */

static uint64_t now_us(const struct ferry_txn *txn)
{
    return txn->env->realtime_us(txn->env->ctx);
}

/* 0: paused.  1: it could not be made durable, so it is undone. */
static int pause_at(struct ferry_txn *txn, struct ferry_txn_hook *h)
{
    struct ferry_err why;
    if (h->hook.pause) {
        h->started_us = now_us(txn);
        ferry_txn_hook_mark(txn, h, FERRY_HOOK_PAUSED);
    }
    ferry_txn_set_state(txn, FERRY_TXN_PAUSED);
    txn->held = true;
    if (ferry_txn_save(txn, "journal-pause", &why) == 0) /* H4 */
        return 0;
    ferry_txn_set_reason(txn, why.text);
    return ferry_txn_turn(txn, txn->stage);
}

static int failed(struct ferry_txn *txn, struct ferry_txn_hook *h, const char *what, const char *why)
{
    FERRY_AUTOFREE char *text = ferry_asprintf("%s: %s", what, why);
    ferry_txn_hook_mark(txn, h, FERRY_HOOK_FAILED);
    if (!h->hook.pause_on_failure || txn->dead.on) {
        ferry_txn_set_reason(txn, text);
        return ferry_txn_turn(txn, txn->stage);
    }
    ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s", text);
    return pause_at(txn, h);
}

static int run_forward(struct ferry_txn *txn, struct ferry_txn_hook *h)
{
    struct ferry_program_end end;
    struct ferry_err why;
    FERRY_AUTOFREE char *what = title(h, h->hook.run);
    if (ferry_txn_deadman_ahead(txn))
        return ferry_txn_turn(txn, txn->stage);
    h->tries++;
    h->started_us = now_us(txn);
    h->ended_us = 0;
    ferry_txn_hook_mark(txn, h, FERRY_HOOK_RUNNING);
    ferry_txn_set_state(txn, FERRY_TXN_APPLYING);
    if (ferry_txn_save(txn, "journal-hook", &why) < 0) { /* H1 */
        h->tries--;
        ferry_txn_hook_mark(txn, h, FERRY_HOOK_WAITING);
        ferry_txn_set_reason(txn, why.text);
        return ferry_txn_turn(txn, txn->stage);
    }
    ferry_txn_say(txn, FERRY_EVENT_NOTE, txn->stage, "%s", what);
    run(txn, h, false, &end);
    h->ended_us = now_us(txn);
    h->status = end.status;
    free(h->output);
    h->output = end.output;
    if (!succeeded(&end)) {
        FERRY_AUTOFREE char *text = failure(&end, h->hook.timeout_s);
        return failed(txn, h, what, text);
    }
    ferry_txn_hook_mark(txn, h, FERRY_HOOK_DONE);
    if (!ferry_boundary_in_outage(h->hook.at)) /* T2 of txn.c */
        ferry_txn_hooks_save(txn);
    txn->next_hook++;
    return 1;
}

void ferry_txn_hooks_save(struct ferry_txn *txn)
{
    struct ferry_err why;
    if (txn->hooks_unsaved && ferry_txn_save(txn, "journal-hook-done", &why) < 0)
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s",
                      why.text); /* "running" is what recovery then knows */
}

bool ferry_txn_hook_due(const struct ferry_txn *txn)
{
    return txn->next_hook < txn->record.n_hooks &&
           ferry_plan_boundary(txn->plan, txn->record.hooks[txn->next_hook].hook.at) <= txn->stage;
}

int ferry_txn_hook_forward(struct ferry_txn *txn)
{
    struct ferry_txn_hook *h = &txn->record.hooks[txn->next_hook];
    bool passed = h->state == FERRY_HOOK_DONE || h->state == FERRY_HOOK_SKIPPED;
    if (passed || (!h->hook.run && !h->hook.pause)) { /* the latter has a way back alone */
        txn->next_hook++;
        return 1;
    }
    return h->hook.pause ? pause_at(txn, h) : run_forward(txn, h);
}

bool ferry_txn_hooks_whole(const struct ferry_txn *txn)
{
    for (size_t i = 0; i < txn->record.n_hooks; i++) {
        const struct ferry_txn_hook *h = &txn->record.hooks[i];
        if ((h->hook.run || h->hook.pause) && h->state != FERRY_HOOK_DONE && h->state != FERRY_HOOK_SKIPPED)
            return false;
    }
    return true;
}

char *ferry_txn_hook_cut_off(const struct ferry_txn *txn)
{
    for (size_t i = 0; i < txn->record.n_hooks; i++)
        if (txn->record.hooks[i].state == FERRY_HOOK_RUNNING)
            return title(&txn->record.hooks[i], txn->record.hooks[i].hook.run);
    return NULL;
}

/* ---- Backward. ---- */

/* H2: whether it has, or may have, done something that is not yet taken back. */
static bool may_have_run(const struct ferry_txn_hook *h)
{
    return h->state == FERRY_HOOK_RUNNING || h->state == FERRY_HOOK_DONE || h->state == FERRY_HOOK_FAILED ||
           h->state == FERRY_HOOK_UNDO_FAILED || (h->state == FERRY_HOOK_SKIPPED && h->tries);
}

static void run_backward(struct ferry_txn *txn, struct ferry_txn_hook *h, bool outage)
{
    struct ferry_program_end end;
    FERRY_AUTOFREE char *what = title(h, h->hook.undo);
    ferry_txn_say(txn, FERRY_EVENT_NOTE, txn->stage, "%s: undo", what);
    run(txn, h, true, &end);
    h->ended_us = now_us(txn);
    free(h->undo_output);
    h->undo_output = end.output;
    ferry_txn_hook_mark(txn, h, succeeded(&end) ? FERRY_HOOK_UNDONE : FERRY_HOOK_UNDO_FAILED);
    if (!succeeded(&end)) {
        FERRY_AUTOFREE char *text = failure(&end, h->hook.timeout_s);
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s: undo: %s", what, text); /* H3 */
    }
    if (!outage)
        ferry_txn_hooks_save(txn);
}

bool ferry_txn_hook_backward(struct ferry_txn *txn, bool outage)
{
    while (txn->back_hook > 0) {
        struct ferry_txn_hook *h = &txn->record.hooks[txn->back_hook - 1];
        if (ferry_plan_boundary(txn->plan, h->hook.at) < txn->stage)
            return false;
        txn->back_hook--;
        if (h->hook.pause && h->state == FERRY_HOOK_DONE && h->hook.pause_undo)
            ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX,
                          "hook %s: a person has done \"%s\", and should now: %s",
                          ferry_boundary_name(h->hook.at), h->hook.pause, h->hook.pause_undo);
        if (h->hook.pause || !may_have_run(h))
            continue;
        if (h->hook.undo) {
            run_backward(txn, h, outage);
            return true;
        }
        FERRY_AUTOFREE char *what = title(h, h->hook.run);
        ferry_txn_say(txn, FERRY_EVENT_NOTE, SIZE_MAX, "%s has no undo: what it did stays", what);
    }
    return false;
}

void ferry_txn_hooks_hands(const struct ferry_txn *txn, struct ferry_hands *hands)
{
    for (size_t i = 0; i < txn->record.n_hooks; i++) {
        const struct ferry_txn_hook *h = &txn->record.hooks[i];
        if (!h->hook.undo || h->hook.pause || !may_have_run(h))
            continue;
        FERRY_GROW(hands->v, hands->n);
        hands->v[hands->n++] = (struct ferry_hand){.router = ferry_strdup("-"),
                                                   .key = title(h, h->hook.undo),
                                                   .expected = ferry_strdup("undone"),
                                                   .found = ferry_strdup(h->state == FERRY_HOOK_UNDO_FAILED
                                                                             ? "its undo failed"
                                                                             : "its undo has not run")};
    }
}
