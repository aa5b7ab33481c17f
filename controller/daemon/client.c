/* One client of the control socket.  See server.h.  SPDX-License-Identifier: MIT */
#include "daemon/server.h"

#include "base/mem.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TELL_MOST  65536u    /* more than this unread: progress is dropped */
#define UNREAD_US  30000000u /* an answer that is not read for so long: the client is gone */
#define GROUPS_MAX 256

/* ---- Who it is (C1). ---- */

static bool in_group(int fd, const struct ucred *peer, gid_t group)
{
    gid_t groups[GROUPS_MAX];
    socklen_t n = sizeof groups;
    if (peer->gid == group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n))
        return false; /* in more groups than anybody needs, or an old kernel */
    for (size_t i = 0; i < n / sizeof *groups; i++)
        if (groups[i] == group)
            return true;
    return false;
}

static bool identify(struct ferryd_client *c)
{
    const struct ferryd_server *server = c->d->server;
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
        return false;
    ferry_actor_peer(peer.uid, peer.pid, &c->actor);
    c->may_write = peer.uid == 0 || peer.uid == geteuid() ||
                   (server->has_group && in_group(c->fd, &peer, server->group));
    if (c->actor.user[0])
        memcpy(c->user, c->actor.user, sizeof c->user);
    else
        snprintf(c->user, sizeof c->user, "uid %u", (unsigned)peer.uid);
    return true;
}

/* ---- Out. ---- */

static void set_timer(struct ferryd_client *c)
{
    uint64_t now, us = c->n_out  ? UNREAD_US
                       : c->busy ? 1000000ull * FERRY_WIRE_ALIVE_S
                                 : c->d->options->idle_us;
    sd_event_now(c->d->event, CLOCK_MONOTONIC, &now);
    sd_event_source_set_time(c->timer, now + us);
    sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* Who does not read what he asked for is not asked what else he wants. */
static bool listening(const struct ferryd_client *c)
{
    return !c->busy && !c->ending && c->n_out <= TELL_MOST;
}

static void set_events(struct ferryd_client *c)
{
    sd_event_source_set_io_events(c->io, (listening(c) ? EPOLLIN : 0) | (c->n_out ? EPOLLOUT : 0));
}

/* False where the client is gone. */
static bool flush(struct ferryd_client *c)
{
    size_t before = c->sent;
    while (c->sent < c->n_out) {
        ssize_t n = send(c->fd, c->out + c->sent, c->n_out - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0)
            return false;
        c->sent += (size_t)n;
    }
    if (c->sent == c->n_out) {
        free(FERRY_STEAL(c->out));
        c->n_out = c->sent = 0;
        if (c->ending)
            return false;
    }
    if (c->sent != before || !c->n_out)
        set_timer(c);
    set_events(c);
    return true;
}

static void put(struct ferryd_client *c, char *line)
{
    size_t n = strlen(line);
    bool was_empty = !c->n_out;
    c->out = ferry_realloc(c->out, c->n_out + n, 1);
    memcpy(c->out + c->n_out, line, n);
    c->n_out += n;
    free(line);
    if (was_empty)
        set_timer(c);
    set_events(c); /* it is sent from the loop: whoever calls us still has the client */
}

void ferryd_client_tell(struct ferryd_client *client, char *line)
{
    if (client->n_out - client->sent > TELL_MOST)
        free(line);
    else
        put(client, line);
}

void ferryd_client_answer(struct ferryd_client *client, char *line)
{
    client->busy = false;
    put(client, line);
}

/* ---- In. ---- */

/* The next request that has come, if the last one was answered. */
static void next_request(struct ferryd_client *c)
{
    struct ferry_wire_request request;
    struct ferry_err err = {0};
    while (listening(c)) {
        FERRY_AUTOFREE char *line = NULL;
        size_t len;
        int r = ferry_wire_next(&c->lines, &line, &len, &err);
        if (r == 0)
            break;
        if (r > 0)
            r = ferry_wire_parse(line, len, &request, &err);
        if (r < 0) { /* who cannot speak is not listened to any longer */
            c->ending = true;
            put(c, ferry_wire_error_line(r, &err));
            break;
        }
        c->busy = true;
        ferryd_request(c, &request);
    }
    set_events(c);
}

static bool hear(struct ferryd_client *c)
{
    char bytes[FERRY_WIRE_REQUEST_MAX];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (n <= 0)
        return false;
    ferry_wire_feed(&c->lines, bytes, (size_t)n);
    return true; /* the idle time goes on: only a whole request ends it */
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    struct ferryd_client *c = ctx;
    bool here = !(events & (EPOLLHUP | EPOLLERR));
    (void)source;
    (void)fd;
    if (here && (events & EPOLLIN) && listening(c))
        here = hear(c);
    if (here)
        next_request(c);
    if (here && c->n_out)
        here = flush(c);
    if (!here)
        ferryd_client_free(c);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
    struct ferryd_client *c = ctx;
    (void)source;
    (void)usec;
    if (!c->busy || c->n_out) { /* idle, or it does not read */
        ferryd_client_free(c);
        return 0;
    }
    ferryd_client_tell(c, ferry_wire_alive_line());
    return 0;
}

/* ---- Life. ---- */

static size_t crowd(const struct ferryd_server *server)
{
    size_t n = 0;
    for (const struct ferryd_client *c = server->clients; c; c = c->next)
        n += c->actor.uid != 0;
    return n;
}

/* C2 */
static bool too_many(const struct ferryd_client *c)
{
    const struct ferryd_server *server = c->d->server;
    return server->n_clients >= FERRYD_CLIENTS ||
           (c->actor.uid != 0 && crowd(server) >= FERRYD_CLIENTS - FERRYD_CLIENTS_ROOT);
}

void ferryd_client_new(struct ferryd *d, int fd)
{
    struct ferryd_client *c = ferry_calloc(1, sizeof *c);
    *c = (struct ferryd_client){.d = d, .fd = fd, .serial = ++d->server->serial};
    c->lines.most = FERRY_WIRE_REQUEST_MAX;
    if (!identify(c) || too_many(c)) {
        struct ferry_err err;
        int r = ferry_error(&err, FERRY_ELOCKED, "too many clients");
        FERRY_AUTOFREE char *line = ferry_wire_error_line(r, &err);
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        free(c);
        return;
    }
    if (sd_event_add_io(d->event, &c->io, fd, EPOLLIN, on_client, c) < 0 ||
        sd_event_add_time(d->event, &c->timer, CLOCK_MONOTONIC, 0, 0, on_timer, c) < 0) {
        sd_event_source_disable_unref(c->io);
        close(fd);
        free(c);
        return;
    }
    set_timer(c);
    c->next = d->server->clients;
    d->server->clients = c;
    d->server->n_clients++;
}

void ferryd_client_free(struct ferryd_client *client)
{
    struct ferryd_server *server = client->d->server;
    struct ferryd_client **at = &server->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    server->n_clients--;
    sd_event_source_disable_unref(client->io);
    sd_event_source_disable_unref(client->timer);
    if (client->sent < client->n_out) /* at the daemon's end: an answer that can still go, goes */
        (void)!send(client->fd, client->out + client->sent, client->n_out - client->sent,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    close(client->fd);
    ferry_wire_lines_clear(&client->lines);
    free(client->out);
    free(client);
}

struct ferryd_client *ferryd_client_find(const struct ferryd *d, uint64_t serial)
{
    for (struct ferryd_client *c = d->server ? d->server->clients : NULL; c; c = c->next)
        if (c->serial == serial)
            return c;
    return NULL;
}
