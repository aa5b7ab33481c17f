/* What a person is told of a transaction that was run.  See run.h.  SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"
#include <ferry/test.h>
#include <string.h>

int ui_record_exit(const struct ferry_txn_record *record)
{
    switch (record->state) {
    case FERRY_TXN_COMMITTED:
        return record->n_hands ? UI_UNKNOWN : UI_OK; /* moved, but a restart would bring the old state back */
    case FERRY_TXN_UNDONE:
        return UI_UNDONE;
    case FERRY_TXN_AWAITING_CONFIRM:
    case FERRY_TXN_PAUSED:
        return UI_AWAITING;
    case FERRY_TXN_READY:
    case FERRY_TXN_APPLYING:
    case FERRY_TXN_VERIFYING:
    case FERRY_TXN_UNDOING:
    case FERRY_TXN_STUCK:
        return UI_UNKNOWN;
    }
    return UI_UNKNOWN;
}

/* To whoever collects them, or to stdout. */
void ui_run_say_json(const struct ui_run *how, struct json_object *doc)
{
    if (how->document)
        *how->document = doc;
    else
        ui_print_json(doc);
}

/* Whether what was probed is in a loop still: the routers hold what they shall, and lead nowhere. */
static bool loops(const struct ferry_txn_record *record)
{
    for (size_t i = 0; i < record->n_outages; i++)
        if (record->outages[i].lasts && record->outages[i].ttl_exceeded)
            return true;
    return false;
}

/* Where the journal could not be written to the end, what it shows now may be gone after a power cut: then it is no
 * success, whatever it shows. */
static int final_status(const struct ui_end *end)
{
    int status = ui_record_exit(end->record);
    if (strcmp(end->how->kind, "drill") == 0 && end->record->state == FERRY_TXN_UNDONE)
        status = end->passed ? UI_OK : UI_UNDONE;
    if (status == UI_OK && loops(end->record))
        status = UI_UNKNOWN;
    return end->failed && (status == UI_OK || status == UI_AWAITING) ? UI_UNKNOWN : status;
}

static void report_json(const struct ui *ui, const struct ui_end *end)
{
    struct json_object *doc = ferry_record_json(end->record);
    if (strcmp(end->how->kind, "drill") == 0) {
        json_object_object_add(doc, "applied_verified", json_object_new_boolean(end->verified));
        json_object_object_add(doc, "rolled_back_verified",
                               json_object_new_boolean(end->record->state == FERRY_TXN_UNDONE));
    }
    if (end->failed) {
        struct json_object *error = json_object_new_object();
        json_object_object_add(error, "code", json_object_new_int(final_status(end)));
        json_object_object_add(error, "rule", NULL);
        json_object_object_add(error, "message", json_object_new_string(ui->err.text));
        json_object_object_add(doc, "error", error);
    }
    ui_run_say_json(end->how, doc);
}

void ui_unsaved_text(const struct ui *ui, const struct ferry_txn_record *record)
{
    if (!record->n_hands)
        return;
    ui_hands_text(ui, record->hands, record->n_hands, stdout);
    printf("A restart would bring the old state back there: save by hand (`write memory`).\n");
}

static void report_end(const struct ui *ui, const struct ui_end *end)
{
    const struct ferry_txn_record *record = end->record;
    const char *id = record->id, *reset = ui_reset(ui, stdout);
    if (record->state == FERRY_TXN_COMMITTED && record->n_hands) {
        printf("%scommitted and verified, but not saved%s: transaction %s\n", ui_style(ui, stdout, UI_RED),
               reset, id);
        ui_unsaved_text(ui, record);
    } else if (record->state == FERRY_TXN_COMMITTED && loops(record)) {
        printf("%scommitted, but packets loop%s: a person is needed: transaction %s\n",
               ui_style(ui, stdout, UI_RED), reset, id);
        printf("Look: ferry trace ADDRESS --from ROUTER\nRoll back: ferry rollback %s\n", id);
    } else if (record->state == FERRY_TXN_COMMITTED) {
        printf("%scommitted and verified%s: transaction %s\n", ui_style(ui, stdout, UI_GREEN), reset, id);
        if (strcmp(end->how->kind, "apply") == 0 && record->plan && record->plan->n_debts)
            printf("Routers owe their part: ferry reconcile, once they answer\n");
        else if (strcmp(end->how->kind, "apply") == 0)
            printf("Roll back: ferry rollback %s\n", id);
    } else if (record->state == FERRY_TXN_AWAITING_CONFIRM) {
        ui_awaiting_text(ui, record);
    } else if (record->state == FERRY_TXN_PAUSED) {
        ui_paused_text(ui, record, stdout);
    } else if (record->state == FERRY_TXN_UNDONE && end->passed) {
        printf("%sdrill passed%s: moved, verified, rolled back, verified: transaction %s\n",
               ui_style(ui, stdout, UI_GREEN), reset, id);
    } else if (record->state == FERRY_TXN_UNDONE) {
        if (end->verified)
            printf("%sthe drill has not passed%s\n", ui_style(ui, stdout, UI_RED), reset);
        printf("%srolled back and verified%s: everything is as before: transaction %s\n",
               ui_style(ui, stdout, UI_YELLOW), reset, id);
        if (record->reason)
            printf("reason: %s\n", record->reason);
    } else {
        printf("%s%s: a person is needed%s: transaction %s\n", ui_style(ui, stdout, UI_RED),
               ferry_txn_state_name(record->state), reset, id);
        if (record->reason)
            printf("reason: %s\n", record->reason);
        if (record->n_hands)
            ui_hands_text(ui, record->hands, record->n_hands, stdout);
        printf("See `ferry show %s`; when the routers answer again: ferry recover\n", id);
    }
}

static void report(const struct ui *ui, const struct ui_end *end, const struct ferry_plan *plan)
{
    const struct ferry_txn_record *record = end->record;
    bool moved = record->state == FERRY_TXN_COMMITTED || record->state == FERRY_TXN_AWAITING_CONFIRM;
    for (size_t i = 0; moved && i < plan->n_groups; i++) {
        const struct ferry_group *g = &plan->groups[i];
        if (g->dns) {
            printf("changed the records of %s\n", g->subnets[0].name);
            continue;
        }
        printf(ferry_test_is(record) ? "tried out " : "moved ");
        ui_group_label(ui, g, stdout);
        printf(": %s %s %s\n", g->from ? g->from : "nowhere", ui_arrow(ui), g->to ? g->to : "nowhere");
    }
    if (moved && plan->n_addresses)
        printf("%zu address%s given\n", plan->n_addresses, plan->n_addresses == 1 ? "" : "es");
    ui_outages_text(ui, record, stdout);
    FERRY_AUTOFREE char *took = ui_took_text(record);
    if (took)
        printf("took %s\n", took);
    report_end(ui, end);
}

int ui_run_report(const struct ui *ui, const struct ui_end *end, const struct ferry_plan *plan)
{
    if (ui->json)
        report_json(ui, end);
    else
        report(ui, end, plan);
    return final_status(end);
}
