/* The listener of the control socket.  See server.h.  SPDX-License-Identifier: MIT */
#include "daemon/server.h"

#include "base/mem.h"
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int on_connect(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    (void)events;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0)
        ferryd_client_new(ctx, client);
    return 0;
}

static int find_group(const char *name, gid_t *ret, struct ferry_err *err)
{
    struct group entry, *found = NULL;
    FERRY_AUTOFREE char *buf = ferry_calloc(1, 65536); /* a group of thousands */
    int failed = getgrnam_r(name, &entry, buf, 65536, &found);
    if (!found)
        return ferry_error(err, FERRY_EUSAGE, "--group: '%s': %s", name,
                           failed ? strerror(failed) : "there is no such group");
    *ret = found->gr_gid;
    return 0;
}

static int address_of(const struct ferryd *d, struct sockaddr_un *ret, struct ferry_err *err)
{
    const char *path = d->options->socket;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof ret->sun_path)
        return ferry_error(err, FERRY_EUSAGE, "--socket: '%s' is longer than %zu bytes", path,
                           sizeof ret->sun_path - 1);
    strcpy(ret->sun_path, path);
    return 0;
}

/* 1: there is a socket file that nobody listens at, which a killed daemon left. */
static int look_at_path(const struct sockaddr_un *address, struct ferry_err *err)
{
    struct stat st;
    if (lstat(address->sun_path, &st))
        return errno == ENOENT ? 0
                               : ferry_error(err, FERRY_EIO, "%s: %s", address->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return ferry_error(err, FERRY_EIO, "%s: is no socket: not touched", address->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answers =
        fd >= 0 && (!connect(fd, (const struct sockaddr *)address, sizeof *address) || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    if (answers)
        return ferry_error(err, FERRY_ELOCKED, "%s: another daemon listens there", address->sun_path);
    return 1;
}

static int listen_at(const struct ferryd *d, struct ferryd_server *server, struct ferry_err *err)
{
    const char *path = d->options->socket;
    struct sockaddr_un address;
    int r = address_of(d, &address, err);
    if (r < 0)
        return r;
    FERRY_AUTOFREE char *directory = ferry_strdup(path);
    char *slash = strrchr(directory, '/');
    if (slash && slash != directory) {
        *slash = '\0';
        if (mkdir(directory, 0755) && errno != EEXIST)
            return ferry_error(err, FERRY_EIO, "%s: %s", directory, strerror(errno));
    }
    r = look_at_path(&address, err);
    if (r < 0)
        return r;
    if (r > 0)
        unlink(path);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0777); /* nobody connects before it belongs to whom it shall */
    int failed = server->fd < 0 || bind(server->fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    umask(old);
    if (!failed && server->has_group && chown(path, (uid_t)-1, server->group))
        failed = errno;
    if (!failed && (chmod(path, d->options->socket_mode) || listen(server->fd, 64)))
        failed = errno;
    struct stat st;
    server->inode = lstat(path, &st) ? 0 : st.st_ino;
    return failed ? ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(failed)) : 0;
}

int ferryd_server_check(const struct ferryd *d, struct ferry_err *err)
{
    struct sockaddr_un address;
    gid_t group;
    int r = d->options->group ? find_group(d->options->group, &group, err) : 0;
    if (r == 0)
        r = address_of(d, &address, err);
    if (r == 0)
        r = look_at_path(&address, err);
    return r < 0 ? r : 0;
}

int ferryd_server_start(struct ferryd *d, struct ferry_err *err)
{
    struct ferryd_server *server = ferry_calloc(1, sizeof *server);
    int r = 0;
    server->fd = -1;
    if (d->options->group) {
        r = find_group(d->options->group, &server->group, err);
        server->has_group = r == 0;
    }
    if (r == 0)
        r = listen_at(d, server, err);
    if (r == 0 && sd_event_add_io(d->event, &server->io, server->fd, EPOLLIN, on_connect, d) < 0)
        r = ferry_error(err, FERRY_EIO, "cannot listen");
    if (r < 0) {
        if (server->fd >= 0)
            close(server->fd);
        free(server);
        return r;
    }
    d->server = server;
    return 0;
}

void ferryd_server_stop(struct ferryd *d)
{
    struct ferryd_server *server = d->server;
    struct stat st;
    if (!server)
        return;
    while (server->clients)
        ferryd_client_free(server->clients);
    sd_event_source_disable_unref(server->io);
    close(server->fd);
    if (!lstat(d->options->socket, &st) &&
        st.st_ino == server->inode) /* another one may listen there by now */
        unlink(d->options->socket);
    free(server);
    d->server = NULL;
}
