/* Asking ferryd, where it runs.  Everything works without it: then a call returns 1, and its caller does the
 * work itself.  SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_DAEMON_H
#define FERRY_UI_DAEMON_H

#include "ui/run.h"

/* The documents of `status`, and of readiness as its member.  1: no daemon of this state directory and
 * topology answers. */
int ui_daemon_status(struct ui *ui, bool readiness, struct json_object **ret) FERRY_MUST_CHECK;
/* `confirm`, or with `seconds` `extend`: the transaction's document.  `id` may be NULL.  1: as above; once it
 * was asked, -FERRY_EUNKNOWN where it went away before it answered. */
int ui_daemon_settle(struct ui *ui, const char *id, unsigned seconds,
                     struct json_object **ret) FERRY_MUST_CHECK;

#endif
