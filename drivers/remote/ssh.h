/* Between the files of transport ssh: a hop is one SSH session, direct or through another hop (the jump host).
 *
 * libssh never waits here: its sessions are non-blocking, all waiting is ferry_remote_hop_wait, which also carries the
 * bytes of a hop through the one under it (libssh wants a socket: it gets one end of a socket pair).
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_REMOTE_SSH_H
#define FERRY_REMOTE_SSH_H

#include "remote/internal.h"

#include <libssh/libssh.h>

enum { FERRY_REMOTE_PUMP_BYTES = 32 * 1024 };

/* Bytes on their way between a hop's socket pair and the channel of the hop under it. */
struct ferry_remote_pump {
    size_t at, n;
    char bytes[FERRY_REMOTE_PUMP_BYTES];
};

struct ferry_remote_hop {
    const struct ferry_remote *remote;
    const char *netns; /* to connect from; NULL: here */
    char *host, *user; /* user NULL: of this process */
    unsigned port;
    char *identity, *known_hosts; /* as in the config; "~/" is gone */
    char *host_key;               /* NULL: as known_hosts says */
    bool jump;                    /* others go through it, too: connects are counted from the start */

    ssh_session session;
    struct ssh_counter_struct raw; /* what libssh has read from and written to the socket */
    int fd;                        /* of the connection, for poll(2) */
    int given;                     /* the same, libssh's */
    bool verified;                 /* it is who it should be */
    bool slotted;                  /* holds one of the process's places for key exchanges */

    struct ferry_remote_hop *under;
    ssh_channel channel; /* of `under`, to this host */
    int pair;            /* our end of the socket pair */
    bool shut;           /* its writing side is */
    struct ferry_remote_pump *up, *down;
};

/* Connects, verifies the host key, authenticates.  -FERRY_EIO with what to do about it. */
int ferry_remote_hop_open(struct ferry_remote_hop *hop, uint64_t deadline_us,
                          struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_remote_hop_free(struct ferry_remote_hop *hop); /* takes NULL; `under` with it */
/* Waits until anything may have happened, a second at most.  -FERRY_EIO: the deadline has passed. */
int ferry_remote_hop_wait(struct ferry_remote_hop *hop, uint64_t deadline_us,
                          struct ferry_err *err) FERRY_MUST_CHECK;
/* Carries what can be carried at once. */
void ferry_remote_hop_pump(struct ferry_remote_hop *hop);

/* ---- The steps of opening. ---- */

/* A socket to host and port, connected from the namespace. */
int ferry_remote_tcp(struct ferry_remote_hop *hop, uint64_t deadline_us,
                     struct ferry_err *err) FERRY_MUST_CHECK;
/* Looks at the first line without taking it.  1: it hung up, or said that it is busy: try again. */
int ferry_remote_banner(struct ferry_remote_hop *hop, uint64_t deadline_us,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* One of the process's places for key exchanges, of which there are few: sshd refuses crowds (MaxStartups), and key
 * exchanges cost processor time. */
int ferry_remote_slot_take(struct ferry_remote_hop *hop, uint64_t deadline_us,
                           struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_remote_slot_give(struct ferry_remote_hop *hop);
/* 1: the pinned key is of another type than the one that was shown: `families` says which are left to ask for. */
int ferry_remote_verify(struct ferry_remote_hop *hop, unsigned *families,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* As SSH_OPTIONS_HOSTKEYS wants them; "": all, whatever known_hosts has first. */
void ferry_remote_families(unsigned families, char *buf, size_t size);
int ferry_remote_authenticate(struct ferry_remote_hop *hop, uint64_t deadline_us,
                              struct ferry_err *err) FERRY_MUST_CHECK;

/* A path in this user's home directory, which is $HOME, else what the user database has: malloc'd. */
char *ferry_remote_in_home(const char *path);

#endif
