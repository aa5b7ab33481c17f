/* How long the daemon leaves alone what has failed: one poll, then two, four, … up to 64, for each try is
 * work for routers and a page of the journal; and never for good.  Counted in polls, so that who polls seldom
 * tries seldom.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_DAEMON_REST_H
#define FERRY_DAEMON_REST_H

#include <stdbool.h>

#define FERRYD_REST_MOST 64u /* polls */

struct ferryd_rest {
    unsigned left; /* polls until the next try */
    unsigned last; /* how many there were before the last one that failed; 0: the last one did not fail */
};

bool ferryd_rests(const struct ferryd_rest *rest);
/* A poll has passed. */
void ferryd_rest_poll(struct ferryd_rest *rest);
/* A try failed: more polls than the last time. */
void ferryd_rest_failed(struct ferryd_rest *rest);
/* There was nothing to try, or somebody else is at it: the next poll looks again. */
void ferryd_rest_once(struct ferryd_rest *rest);
/* It has worked, or something is otherwise now. */
void ferryd_rest_over(struct ferryd_rest *rest);

#endif
