/* Reading hooks from a document.  SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_LOAD_HOOKS_H
#define FERRY_MODEL_LOAD_HOOKS_H

#include <ferry/hook.h>

#include "model/json.h"

/* {"before-detach": [{"run": [...]} or {"pause": "..."}, …], …} at `object`, which is an object.  Goes on
 * past errors; *ret is to be cleared in any case. */
int ferry_hooks_load(struct ferry_json *doc, uint32_t object, struct ferry_hooks *ret,
                     struct ferry_err *err) FERRY_MUST_CHECK;

#endif
