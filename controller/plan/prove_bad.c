/* The prover's counterexamples: one is made up piece by piece, offered, and kept if it is the best so far.
 * See prove_parts.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void prove_bad_clear(struct ferry_counterexample *bad)
{
    free(bad->events);
    free(bad->routers);
    *bad = (struct ferry_counterexample){0};
}

static bool better(const struct ferry_counterexample *a, const struct ferry_counterexample *b)
{
    if (a->stage != b->stage)
        return a->stage < b->stage;
    if ((a->violation == FERRY_UNFINISHED) != (b->violation == FERRY_UNFINISHED))
        return b->violation == FERRY_UNFINISHED;
    if (a->n_events != b->n_events)
        return a->n_events < b->n_events;
    return a->violation != b->violation ? a->violation < b->violation : a->group < b->group;
}

void prove_bad_router(struct ferry_counterexample *c, uint32_t router)
{
    FERRY_GROW(c->routers, c->n_routers);
    c->routers[c->n_routers++] = router;
}

void prove_bad_event(const struct prover *p, struct ferry_counterexample *c, uint32_t change)
{
    FERRY_GROW(c->events, c->n_events);
    c->events[c->n_events++] = (struct ferry_step){p->stage, change};
}

void prove_bad_events(const struct prover *p, struct ferry_counterexample *c, uint32_t router, uint32_t top,
                      bool fired)
{
    const struct prove_row *row = &p->rows[router];
    for (uint32_t i = 0; i < top; i++)
        if (row->slots[i].now && row->slots[i].rank < PROVE_ANNOUNCEMENT)
            prove_bad_event(p, c, row->slots[i].change);
    if (fired)
        prove_bad_event(p, c, row->slots[top].change);
}

struct ferry_counterexample prove_bad_new(const struct prover *p, enum ferry_violation violation)
{
    return (struct ferry_counterexample){.violation = violation, .group = p->class->group, .stage = p->stage};
}

void prove_bad_say(struct ferry_counterexample *c, const char *fmt, ...)
{
    va_list args;
    size_t len = strlen(c->text);
    va_start(args, fmt);
    vsnprintf(c->text + len, sizeof c->text - len, fmt, args);
    va_end(args);
}

void prove_bad_offer(struct prover *p, struct ferry_counterexample *c)
{
    if (p->found && !better(c, &p->bad)) {
        prove_bad_clear(c);
        return;
    }
    prove_bad_clear(&p->bad);
    p->bad = *c;
    p->found = true;
}
