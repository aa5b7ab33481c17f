/* One stream of echo requests, in a thread of its own inside the vantage's network namespace.  Used by
 * probe.c alone.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_PROBE_STREAM_H
#define FERRY_UI_PROBE_STREAM_H

#include <ferry/addr.h>
#include <ferry/txn.h>
#include <pthread.h>
#include <stdatomic.h>

#define UI_PROBE_PERIOD_US 1000u /* 1 kHz */

struct ui_stream {
    const char *netns; /* under /run/netns, or NULL: this one */
    struct ferry_addr source, target;
    uint16_t ident;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    atomic_size_t answered;        /* distinct probes */
    atomic_uint_least64_t last_us; /* when the newest of the answered ones was sent; 0: none */
    struct ferry_err err;          /* why it could not start; valid once `failed` */
    atomic_bool failed;
    /* The thread's own until it is joined. */
    int fd;
    uint64_t *sent_us; /* [probe], CLOCK_MONOTONIC */
    uint8_t *answers;  /* [probe], saturating */
    size_t n;          /* probes sent */
    uint64_t ttl_exceeded, duplicates;
};

int ui_stream_start(struct ui_stream *s, struct ferry_err *err);
/* Ends it and waits for it. */
void ui_stream_stop(struct ui_stream *s);
/* The longest span from the first lost probe to the sending of the next answered one; counted from the first
 * answer on.  It lasts where the probes of the last 100 ms and more are lost. `vantage` is left alone. */
void ui_stream_outage(const struct ui_stream *s, struct ferry_outage *ret);

#endif
