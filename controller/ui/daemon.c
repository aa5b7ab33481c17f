/* The client of ferryd's control socket.  See daemon.h; the lines are watch/wire.h's.
 *
 *  1. A daemon is believed only where it runs as root or as who asks: the socket's path comes from the environment.
 *  2. It is asked only where it means the same: this state directory, and (status) this very topology file.
 *
 * SPDX-License-Identifier: MIT */
#include "ui/daemon.h"

#include "ui/show.h"

#include "base/mem.h"
#include "watch/wire.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct talk {
    struct ui *ui;
    int fd;
    struct ferry_wire_lines lines;
};

static void talk_end(struct talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    ferry_wire_lines_clear(&talk->lines);
}

static bool trusted(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) && (peer.uid == 0 || peer.uid == geteuid());
}

/* 0, or 1 where nobody answers there. */
static int reach(struct talk *talk)
{
    const char *path = talk->ui->socket ? talk->ui->socket : FERRY_WIRE_SOCKET;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = FERRY_WIRE_SILENT_S};
    if (talk->ui->no_daemon || strlen(path) >= sizeof address.sun_path)
        return 1;
    strcpy(address.sun_path, path);
    talk->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (talk->fd < 0)
        return 1;
    (void)setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(talk->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(talk->fd, (struct sockaddr *)&address, sizeof address))
        return 1;
    if (trusted(talk->fd)) /* 1 */
        return 0;
    ui_warn(talk->ui, "%s: belongs neither to root nor to you: not asked", path);
    return 1;
}

static int send_all(struct talk *talk, const char *text)
{
    for (size_t n = strlen(text); n;) {
        ssize_t sent = send(talk->fd, text, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return ferry_error(&talk->ui->err, FERRY_EIO, "the daemon does not listen");
        text += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* The next line; -FERRY_EIO where none comes. */
static int receive(struct talk *talk, char **ret, size_t *ret_len)
{
    struct ferry_err *err = &talk->ui->err;
    char bytes[65536];
    for (;;) {
        int r = ferry_wire_next(&talk->lines, ret, ret_len, err);
        if (r)
            return r < 0 ? -FERRY_EIO : 0;
        ssize_t n = recv(talk->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ferry_error(err, FERRY_EIO, n ? "the daemon does not answer" : "the daemon went away");
        ferry_wire_feed(&talk->lines, bytes, (size_t)n);
    }
}

/* 0 with the result.  -FERRY_EIO with `*ret_answered` false: the daemon said nothing that counts. */
static int ask(struct talk *talk, const struct ferry_wire_request *request, struct json_object **ret,
               bool *ret_answered)
{
    FERRY_AUTOFREE char *text = ferry_wire_request_line(request);
    int r = send_all(talk, text);
    *ret_answered = false;
    while (r == 0) {
        FERRY_AUTOFREE char *line = NULL;
        size_t len;
        enum ferry_wire_reply kind;
        int code = 0;
        r = receive(talk, &line, &len);
        if (r == 0)
            r = ferry_wire_reply(line, len, &kind, ret, &code, &talk->ui->err);
        if (r < 0)
            break;
        *ret_answered = kind == FERRY_WIRE_RESULT || kind == FERRY_WIRE_ERROR;
        if (kind == FERRY_WIRE_PROGRESS)
            ui_note(talk->ui, "%s", talk->ui->err.text);
        if (*ret_answered)
            return kind == FERRY_WIRE_ERROR ? code : 0;
    }
    return r;
}

/* ---- Is it ours? ---- */

static bool same_path(const char *a, const char *b)
{
    FERRY_AUTOFREE char *left = realpath(a, NULL), *right = realpath(b, NULL);
    return left && right && !strcmp(left, right);
}

/* 2 */
static bool same_topology(struct ui *ui, struct json_object *hello)
{
    FERRY_CLEANUP(ui_topology_cleanup) struct ferry_topology *t = NULL;
    struct ferry_err ignored;
    const char *sha256 = ui_text(ui_member(hello, "topology"), "sha256");
    if (!sha256 || !ui->topology_file)
        return sha256 != NULL;
    return ferry_topology_load(ui->topology_file, &t, NULL, &ignored) == 0 && !strcmp(t->sha256, sha256);
}

/* 0: it is open and means the same; else 1. */
static int greet(struct talk *talk, bool topology)
{
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *hello = NULL;
    bool answered;
    if (reach(talk) ||
        ask(talk, &(struct ferry_wire_request){.verb = FERRY_WIRE_HELLO}, &hello, &answered) < 0)
        return 1;
    const char *dir = ui_text(hello, "state_dir");
    return dir && same_path(dir, talk->ui->state_dir) && (!topology || same_topology(talk->ui, hello)) ? 0
                                                                                                       : 1;
}

/* ---- The calls. ---- */

int ui_daemon_status(struct ui *ui, bool readiness, struct json_object **ret)
{
    FERRY_CLEANUP(talk_end) struct talk talk = {ui, -1, {.most = FERRY_WIRE_REPLY_MAX}};
    FERRY_CLEANUP(ferry_json_object_cleanup) struct json_object *doc = NULL, *ready = NULL;
    bool answered = true;
    int r = greet(&talk, true);
    if (r == 0)
        r = ask(&talk, &(struct ferry_wire_request){.verb = FERRY_WIRE_STATUS}, &doc, &answered);
    if (r == 0 && readiness)
        r = ask(&talk, &(struct ferry_wire_request){.verb = FERRY_WIRE_READINESS}, &ready, &answered);
    if (r < 0 && !answered)
        return 1; /* looking twice does no harm */
    if (r)
        return r;
    if (readiness)
        json_object_object_add(doc, "readiness", FERRY_STEAL(ready));
    *ret = FERRY_STEAL(doc);
    return 0;
}

int ui_daemon_settle(struct ui *ui, const char *id, unsigned seconds, struct json_object **ret)
{
    FERRY_CLEANUP(talk_end) struct talk talk = {ui, -1, {.most = FERRY_WIRE_REPLY_MAX}};
    struct ferry_wire_request request = {.verb = seconds ? FERRY_WIRE_EXTEND : FERRY_WIRE_CONFIRM,
                                         .seconds = seconds};
    bool answered = true;
    if (id && !ferry_wire_is_tx(id))
        return 1; /* no id: said here what is wrong with it */
    snprintf(request.tx, sizeof request.tx, "%s", id ? id : "");
    int r = greet(&talk, false);
    if (r)
        return r;
    r = ask(&talk, &request, ret, &answered);
    if (r < 0 && !answered)
        return ferry_error_prefix(&ui->err, -FERRY_EUNKNOWN,
                                  "it is not known what came of it: say it again, or look at `ferry status`");
    return r;
}
