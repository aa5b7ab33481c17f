/* What clients ask for.  See server.h.
 *
 * `status` and `readiness` read the routers when they are asked: nobody is answered from memory.  What was
 * noticed, and when, is `watch`.
 *
 * SPDX-License-Identifier: MIT */
#include "daemon/server.h"

#include "base/mem.h"
#include "watch/documents.h"
#include "watch/readiness.h"
#include <ferry/audit.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A request on a worker. */
struct work {
    struct ferryd_job job;
    struct ferryd *d;
    uint64_t client;
    struct ferry_wire_request request;
    char user[64];
    bool trusted;             /* it may write */
    struct ferry_actor actor; /* on whose behalf the journal is written */
    struct ferryd_site *site; /* STATUS, READINESS */
    char *reply;
};

/* ---- Answers at once. ---- */

static struct json_object *hello(const struct ferryd *d)
{
    struct json_object *doc = json_object_new_object(), *topology = NULL;
    if (d->site) {
        topology = json_object_new_object();
        json_object_object_add(topology, "name", json_object_new_string(d->site->topology->name));
        json_object_object_add(topology, "sha256", json_object_new_string(d->site->topology->sha256));
        json_object_object_add(topology, "file", json_object_new_string(d->options->topology_file));
    }
    json_object_object_add(doc, "ferry", json_object_new_int(1));
    json_object_object_add(doc, "version", json_object_new_string(FERRY_VERSION));
    json_object_object_add(doc, "pid", json_object_new_int64(getpid()));
    json_object_object_add(doc, "state_dir", json_object_new_string(d->state_dir));
    json_object_object_add(doc, "topology", topology);
    return doc;
}

/* ---- On a worker. ---- */

/* What hooks have printed is for those who might have run them. */
static void withhold_output(struct ferry_unfinished *u)
{
    for (size_t i = 0; i < u->records.n; i++)
        for (size_t k = 0; k < u->records.v[i]->n_hooks; k++) {
            struct ferry_txn_hook *h = &u->records.v[i]->hooks[k];
            free(FERRY_STEAL(h->output));
            free(FERRY_STEAL(h->undo_output));
        }
}

static int status(const struct work *w, struct json_object **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_status_clear) struct ferry_status s;
    ferry_status_init(&s, w->site->topology);
    int r = ferry_status_read(&s, w->site->fleet, err);
    if (r == 0)
        r = ferry_unfinished_read(&w->d->env, w->d->state_dir, &s.unfinished, err);
    if (r == 0 && !w->trusted)
        withhold_output(&s.unfinished);
    if (r == 0)
        *ret = ferry_status_json(&s);
    return r;
}

static int readiness(const struct work *w, struct json_object **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_readiness_clear) struct ferry_readiness ready = {0};
    struct ferry_fleet_config config = ferryd_fleet_config(w->d);
    int r = ferry_readiness_read(&config, w->site->topology, &ready, err);
    if (r == 0)
        *ret = ferry_readiness_json(&ready);
    return r;
}

/* A line of progress on its way from the worker to the loop. */
struct note {
    struct ferryd_job job;
    struct ferryd *d;
    uint64_t client;
    char *line;
};

static void note_done(struct ferryd_job *job)
{
    struct note *note = (struct note *)job;
    struct ferryd_client *client = ferryd_client_find(note->d, note->client);
    if (client)
        ferryd_client_tell(client, note->line);
    else
        free(note->line);
    free(note);
}

static void progress(void *ctx, enum ferry_txn_event event, size_t stage, const char *text)
{
    const struct work *w = ctx;
    (void)stage;
    if (!text || (event != FERRY_EVENT_NOTE && event != FERRY_EVENT_STATE))
        return;
    FERRY_AUTOFREE char *shown = ferry_asprintf("%s%s", event == FERRY_EVENT_NOTE ? "  " : "", text);
    struct note *note = ferry_calloc(1, sizeof *note);
    *note = (struct note){.job = {.done = note_done}, .d = w->d, .client = w->client};
    note->line = ferry_wire_progress_line(shown);
    ferryd_worker_post(w->d->writer, &note->job);
}

static void journal_cleanup(struct ferry_journal **journal)
{
    ferry_journal_close(*journal);
}

static int settle(struct work *w, struct json_object **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(journal_cleanup) struct ferry_journal *journal = NULL;
    struct ferry_fleet_config config = ferryd_fleet_config(w->d);
    struct ferry_txn_options options = {
        .kind = "confirm", .user = w->user, .progress = progress, .progress_ctx = w};
    struct ferry_txn_record *record = NULL;
    const char *id = w->request.tx[0] ? w->request.tx : NULL;
    int r = ferry_journal_look(&w->d->env, w->d->state_dir, &journal, err);
    if (journal)
        ferry_journal_act(journal, &w->actor);
    if (r == 0 && !journal)
        r = ferry_journal_missing(w->d->state_dir, id, "not-awaiting", "no transaction awaits a confirmation",
                                  err);
    if (r == 0 && w->request.verb == FERRY_WIRE_EXTEND)
        r = ferry_txn_extend(journal, &config, &options, id, w->request.seconds, &record, err);
    else if (r == 0)
        r = ferry_txn_confirm(journal, &config, &options, id, &record, err);
    if (r == 0) {
        ferryd_log(5, record->id, "%s of %s by %s: %s", ferry_wire_verb_name(w->request.verb), record->id,
                   w->user, ferry_txn_state_name(record->state));
        *ret = ferry_record_json(record);
        ferry_txn_record_free(record);
    } else {
        ferryd_log(5, NULL, "%s by %s: %s", ferry_wire_verb_name(w->request.verb), w->user, err->text);
    }
    return r;
}

static void work(struct ferryd_job *job)
{
    struct work *w = (struct work *)job;
    struct json_object *doc = NULL;
    struct ferry_err err = {0};
    int r = w->request.verb == FERRY_WIRE_STATUS      ? status(w, &doc, &err)
            : w->request.verb == FERRY_WIRE_READINESS ? readiness(w, &doc, &err)
                                                      : settle(w, &doc, &err);
    w->reply = r < 0 ? ferry_wire_error_line(r, &err) : ferry_wire_result_line(doc);
}

/* ---- On the loop. ---- */

static void done(struct ferryd_job *job)
{
    struct work *w = (struct work *)job;
    struct ferryd_client *client = ferryd_client_find(w->d, w->client);
    if (client && w->reply)
        ferryd_client_answer(client, FERRY_STEAL(w->reply));
    free(w->reply);
    ferryd_site_unref(w->site);
    free(w);
}

static void refuse(struct ferryd_client *client, int code, const struct ferry_err *err)
{
    ferryd_client_answer(client, ferry_wire_error_line(code, err));
}

static void hand_over(struct ferryd_client *client, const struct ferry_wire_request *request)
{
    struct ferryd *d = client->d;
    bool writes = ferry_wire_verb_writes(request->verb);
    struct work *w = ferry_calloc(1, sizeof *w);
    *w = (struct work){
        .job = {.work = work, .done = done}, .d = d, .client = client->serial, .request = *request};
    memcpy(w->user, client->user, sizeof w->user);
    w->trusted = client->may_write;
    w->actor = client->actor;
    snprintf(w->actor.command, sizeof w->actor.command, "%s", ferry_wire_verb_name(request->verb));
    w->site = writes ? NULL : ferryd_site_ref(d->site);
    ferryd_worker_add(writes ? d->writer : d->asker, &w->job);
}

void ferryd_request(struct ferryd_client *client, const struct ferry_wire_request *request)
{
    struct ferryd *d = client->d;
    struct ferry_err err = {0};
    if (request->verb == FERRY_WIRE_HELLO) {
        ferryd_client_answer(client, ferry_wire_result_line(hello(d)));
    } else if (request->verb == FERRY_WIRE_WATCH) {
        ferryd_client_answer(client, ferry_wire_result_line(ferryd_watch_json(d)));
    } else if (ferry_wire_verb_writes(request->verb) && !client->may_write) {
        ferryd_log(4, NULL, "%s by %s: refused", ferry_wire_verb_name(request->verb), client->user);
        int r = ferry_refuse(&err, "permission", "%s is neither root nor in the group of the socket",
                             client->user);
        refuse(client, r, &err);
    } else if (!ferry_wire_verb_writes(request->verb) && !d->site) {
        int r = ferry_error(&err, FERRY_EUSAGE, "the daemon has no topology");
        refuse(client, r, &err);
    } else {
        hand_over(client, request);
    }
}
