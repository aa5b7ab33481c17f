/* Progress of a transaction on stderr.
 *
 *  1. Nothing is written between the start of a detach stage and the end of the attach stages: a slow terminal
 *     must not lengthen the outage.  Such lines are kept and written afterwards.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"
#include <string.h>

struct ui_progress {
    const struct ui *ui;
    const struct ferry_plan *plan;
    uint64_t stage_started_us;
    bool undoing;
    char *kept; /* lines not yet written */
    size_t n_kept;
};

struct ui_progress *ui_progress_new(const struct ui *ui, const struct ferry_plan *plan)
{
    struct ui_progress *p = ferry_calloc(1, sizeof *p);
    p->ui = ui;
    p->plan = plan;
    return p;
}

void ui_progress_plan(struct ui_progress *p, const struct ferry_plan *plan)
{
    p->plan = plan;
}

static void keep(struct ui_progress *p, const char *line)
{
    size_t n = strlen(line);
    p->kept = ferry_realloc(p->kept, p->n_kept + n + 1, 1);
    memcpy(p->kept + p->n_kept, line, n + 1);
    p->n_kept += n;
}

void ui_progress_flush(struct ui_progress *p)
{
    if (p->n_kept)
        fwrite(p->kept, 1, p->n_kept, stderr);
    p->n_kept = 0;
}

void ui_progress_free(struct ui_progress *p)
{
    if (!p)
        return;
    ui_progress_flush(p);
    free(p->kept);
    free(p);
}

static size_t stage_changes(const struct ferry_plan *plan, size_t stage)
{
    size_t n = 0;
    for (size_t k = 0; k < plan->stages[stage].n_changes; k++)
        n += plan->groups[plan->stages[stage].changes[k].group].n_subnets;
    return n;
}

static char *stage_line(const struct ui_progress *p, size_t stage, const char *text)
{
    uint64_t now = p->ui->env.monotonic_us(p->ui->env.ctx);
    double ms = (double)(now - p->stage_started_us) / 1000.0;
    if (!p->plan || stage >= p->plan->n_stages)
        return ferry_asprintf("  %s  %.1f ms\n", text ? text : "stage done", ms);
    size_t n = stage_changes(p->plan, stage);
    return ferry_asprintf("  %sstage %zu/%zu %-8s %6zu change%s %9.1f ms\n", p->undoing ? "undo of " : "",
                          stage + 1, p->plan->n_stages, ferry_phase_name(p->plan->stages[stage].phase), n,
                          n == 1 ? " " : "s", ms);
}

/* Whether the outage may be under way while this stage runs. */
static bool critical(const struct ui_progress *p, size_t stage)
{
    if (!p->plan || stage >= p->plan->n_stages)
        return false;
    enum ferry_phase phase = p->plan->stages[stage].phase;
    return phase == FERRY_DETACH || phase == FERRY_ATTACH;
}

void ui_progress_event(void *progress, enum ferry_txn_event event, size_t stage, const char *text)
{
    struct ui_progress *p = progress;
    FERRY_AUTOFREE char *line = NULL;
    switch (event) {
    case FERRY_EVENT_STAGE_START:
        p->stage_started_us = p->ui->env.monotonic_us(p->ui->env.ctx);
        return;
    case FERRY_EVENT_STAGE_DONE:
        line = stage_line(p, stage, text);
        break;
    case FERRY_EVENT_STATE:
        if (text && strcmp(text, ferry_txn_state_name(FERRY_TXN_COMMITTED)) == 0)
            return; /* not durable yet: the report says so when it is */
        /* fall through */
    case FERRY_EVENT_NOTE:
        if (event == FERRY_EVENT_STATE && text && strcmp(text, ferry_txn_state_name(FERRY_TXN_UNDOING)) == 0)
            p->undoing = true;
        line = ferry_asprintf("%s%s\n", event == FERRY_EVENT_NOTE ? "  " : "", text ? text : "");
        break;
    }
    keep(p, line ? line : "");
    if (!critical(p, stage))
        ui_progress_flush(p);
}

void ui_progress_cleanup(struct ui_progress **p)
{
    ui_progress_free(*p);
}
