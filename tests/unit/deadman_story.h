/* Stories (story.h) in which the move awaits a confirmation within WINDOW_S, under a clock that the test turns.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TEST_DEADMAN_STORY_H
#define FERRY_TEST_DEADMAN_STORY_H

#include "story.h"

#define WINDOW_S 60u
#define OVER_S   1000u /* whatever was armed has fired, and every step of it */

int deadman_apply(struct story *s, enum ferry_txn_state *ret, struct ferry_err *err);
/* The same, which must come to await the confirmation; a snapshot of what the routers hold then, malloc'd. */
char *deadman_applied(struct story *s);

/* ferry_txn_confirm or ferry_txn_revert */
typedef int deadman_verb(struct ferry_journal *, const struct ferry_fleet_config *,
                         const struct ferry_txn_options *, const char *, struct ferry_txn_record **,
                         struct ferry_err *);

int deadman_say(struct story *s, deadman_verb *verb, enum ferry_txn_state *ret, struct ferry_err *err);
int deadman_extend(struct story *s, unsigned seconds, enum ferry_txn_state *ret, struct ferry_err *err);

#endif
