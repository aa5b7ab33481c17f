/* The control socket: its listener (server.c), its clients (client.c), what they ask for (request.c).
 *
 *  C1. Who a client is, the kernel says (SO_PEERCRED, SO_PEERGROUPS), at the moment of its connect; nothing
 *      that it sends.
 *  C2. Everything of a client is bounded: how many there are, the length of a line, how long it may be
 *      silent, how long it may leave an answer unread.  Some places are kept for root.
 *  C3. One request of a client at a time: while it is worked on nothing is read from it.
 *  C4. A request that writes and was begun goes on when its client is gone.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DAEMON_SERVER_H
#define FERRY_DAEMON_SERVER_H

#include "daemon/daemon.h"
#include "watch/wire.h"
#include <ferry/audit.h>

#define FERRYD_CLIENTS      32 /* C2 */
#define FERRYD_CLIENTS_ROOT 8  /* of these are kept for root */

struct ferryd_client {
    struct ferryd_client *next;
    struct ferryd *d;
    uint64_t serial; /* jobs name their client by it: the client may be gone when they end */
    int fd;
    struct ferry_actor actor;
    char user[64];
    bool may_write;
    bool busy;   /* C3 */
    bool ending; /* what is in `out` is sent, then it is closed */
    struct ferry_wire_lines lines;
    char *out;
    size_t n_out, sent;
    sd_event_source *io, *timer;
};

struct ferryd_server {
    int fd;
    ino_t inode; /* of the socket's file */
    uint64_t serial;
    sd_event_source *io;
    struct ferryd_client *clients;
    size_t n_clients;
    gid_t group;
    bool has_group;
};

/* ---- client.c ---- */
/* Takes the descriptor over. */
void ferryd_client_new(struct ferryd *d, int fd);
void ferryd_client_free(struct ferryd_client *client);
/* NULL where it is gone. */
struct ferryd_client *ferryd_client_find(const struct ferryd *d, uint64_t serial);
/* A line on its way that does not end the request; dropped where the client does not read.  Frees `line`. */
void ferryd_client_tell(struct ferryd_client *client, char *line);
/* The last line of a request.  Frees `line`. */
void ferryd_client_answer(struct ferryd_client *client, char *line);

/* ---- request.c ---- */
/* Answers it, now or when a worker has. */
void ferryd_request(struct ferryd_client *client, const struct ferry_wire_request *request);

#endif
