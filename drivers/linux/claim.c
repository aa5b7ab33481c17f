/* The slot `claim`: one Ferry a router at a time, whatever its state directory.
 *
 * The journal's lock keeps those apart that share a state directory.  What two others read and then write is
 * compared and set by each for itself, and between the two the other one may have been: both could attach.
 *
 *  C1. The claim is a name in the abstract namespace of Unix sockets, of which each network namespace has one:
 *      so it stands for this router whoever looks from wherever, needs no file and no right to one, and goes
 *      with its process.
 *  C2. Anybody on the router can take the name.  It is refused then, and who has it is said: no move is
 *      better than two.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0ferry-writer"};
enum { NAME_BYTES = offsetof(struct sockaddr_un, sun_path) + sizeof "\0ferry-writer" - 1 };

static int open_socket(struct ferry_err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ferry_error(err, FERRY_EIO, "cannot open a socket: %s", strerror(errno));
    return fd;
}

/* Says who has it, where that can be seen. */
static int taken(struct ferry_err *err)
{
    struct ucred who = {0};
    socklen_t len = sizeof who;
    struct ferry_err ignored;
    int fd = open_socket(&ignored);
    bool seen = fd >= 0 && !connect(fd, (const struct sockaddr *)&name, NAME_BYTES) &&
                !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    if (fd >= 0)
        close(fd);
    if (seen && who.pid > 0)
        return ferry_error(err, FERRY_ELOCKED,
                           "another Ferry is working on this router (process %d of user %u)", who.pid,
                           who.uid);
    return ferry_error(err, FERRY_ELOCKED, "another Ferry is working on this router");
}

static int take(void *ctx, struct ferry_err *err)
{
    struct ferry_linux *d = ctx;
    int fd = open_socket(err);
    if (fd < 0)
        return fd;
    if (!bind(fd, (const struct sockaddr *)&name, NAME_BYTES) && !listen(fd, 1)) {
        d->claim_fd = fd;
        return 0;
    }
    int failed = errno;
    close(fd);
    return failed == EADDRINUSE
               ? taken(err)
               : ferry_error(err, FERRY_EIO, "cannot claim this router: %s", strerror(failed));
}

int ferry_linux_claim(struct ferry_driver *driver, bool wanted, struct ferry_err *err)
{
    struct ferry_linux *d = (struct ferry_linux *)driver;
    if (!wanted) {
        if (d->claim_fd)
            close(d->claim_fd);
        d->claim_fd = 0;
        return 0;
    }
    return d->claim_fd ? 0 : ferry_linux_inside(d, take, d, err); /* C1 */
}
