/* The prover's words: the certificate that others can check with a pencil, and counterexamples for people.
 * See prove_parts.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put(struct prover *p, const char *text)
{
    size_t len = strlen(text);
    if (p->text_len + len + 1 > p->text_room) {
        p->text_room = 2 * (p->text_len + len + 1);
        p->text = ferry_realloc(p->text, p->text_room, 1);
    }
    memcpy(p->text + p->text_len, text, len + 1);
    p->text_len += len;
}

/* One line: the stage, the group, and the routers so that packets only ever travel to the right. */
void prove_certify(struct prover *p, const char *what, const struct prove_graph *g)
{
    char number[24] = "";
    if (!p->text)
        put(p, "ferry certificate 1: within a line packets only travel to the right\n");
    if (p->plan->n_stages)
        snprintf(number, sizeof number, "stage %u ", p->stage + 1);
    put(p, number);
    put(p, what);
    put(p, " ");
    put(p, p->plan->groups[p->class->group].id);
    if (p->class->n_layers > 1) {
        char prefix[FERRY_PREFIX_STRLEN];
        put(p, " ");
        put(p, ferry_prefix_text(&p->plan->groups[p->class->group].subnets[p->class->subnet].prefix, prefix));
    }
    put(p, ":");
    for (size_t i = 0; i < g->n_order; i++) {
        put(p, " ");
        put(p, p->plan->routers[g->order[i]].name);
    }
    put(p, "\n");
}

/* The states of all groups: each starts in one, and a stage of n changes adds 2^n - 1 to the one it starts
 * from. */
void prove_states(const struct prover *p, char ret[static 32])
{
    uint64_t exact = 0;
    bool fits = true;
    double most = 0, sum = 0; /* sum of 2^(n - most) */
    size_t n_counts = p->plan->n_groups * p->plan->n_stages;
    for (size_t i = 0; i < n_counts; i++) {
        double n = (double)(p->first[i + 1] - p->first[i]);
        most = n > most ? n : most;
    }
    for (size_t i = 0; i < n_counts; i++) {
        size_t n = p->first[i + 1] - p->first[i];
        sum += exp2((double)n - most);
        fits &= n < 64 && !__builtin_add_overflow(exact, n < 64 ? (UINT64_C(1) << n) - 1 : 0, &exact);
    }
    uint64_t n_groups = 0;
    for (size_t g = 0; g < p->plan->n_groups; g++)
        n_groups += !p->plan->groups[g].dns;
    fits &= !__builtin_add_overflow(exact, n_groups, &exact);
    if (fits)
        snprintf(ret, 32, "%" PRIu64, exact);
    else
        snprintf(ret, 32, "2^%.1f", most + log2(sum));
}

/* ---- Counterexamples. ---- */

struct words {
    char *at;
    size_t room;
};

static void say(struct words *w, const char *fmt, ...) FERRY_PRINTF(2, 3);

static void say(struct words *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(w->at, w->room, fmt, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < w->room ? (size_t)n : w->room - 1;
    w->at += used;
    w->room -= used;
}

static void say_events(struct words *w, const struct ferry_plan *plan, const struct ferry_counterexample *bad)
{
    if (!bad->n_events)
        say(w, bad->stage ? ", as soon as the stage starts" : ", from the start");
    else if (bad->violation == FERRY_UNFINISHED)
        say(w, ", when all is done");
    else
        say(w, ", after %zu of the stage's changes: ", bad->n_events);
    for (size_t i = 0; i < bad->n_events && bad->violation != FERRY_UNFINISHED; i++) {
        const struct ferry_change *c = &plan->stages[bad->events[i].stage].changes[bad->events[i].change];
        char after[160];
        say(w, "%s%s %s -> %s", i ? "; " : "", plan->routers[c->router].name, ferry_kind_name(c->kind),
            ferry_entry_text(c->after, after, sizeof after));
    }
}

/* Puts place and events around the finding that p->bad.text already says. */
void prove_explain(struct prover *p)
{
    const struct ferry_plan *plan = p->plan;
    struct ferry_counterexample *bad = &p->bad;
    const struct ferry_group *g = &plan->groups[bad->group];
    char finding[sizeof bad->text], prefix[FERRY_PREFIX_STRLEN];
    struct words w = {bad->text, sizeof bad->text};
    memcpy(finding, bad->text, sizeof finding);
    if (plan->n_stages)
        say(&w, "stage %u (%s), ", bad->stage + 1, ferry_phase_name(plan->stages[bad->stage].phase));
    say(&w, "group %s", g->id);
    if (g->n_subnets)
        say(&w, " (%s%s)", ferry_prefix_text(&g->subnets[0].prefix, prefix), g->n_subnets > 1 ? ", …" : "");
    say(&w, ": %s", finding);
    say_events(&w, plan, bad);
}
