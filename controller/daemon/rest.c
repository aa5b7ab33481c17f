/* See rest.h.
 * SPDX-License-Identifier: MIT */
#include "daemon/rest.h"

bool ferryd_rests(const struct ferryd_rest *rest)
{
    return rest->left > 0;
}

void ferryd_rest_poll(struct ferryd_rest *rest)
{
    rest->left -= rest->left > 0;
}

void ferryd_rest_failed(struct ferryd_rest *rest)
{
    rest->left = !rest->last ? 1 : rest->last < FERRYD_REST_MOST / 2 ? 2 * rest->last : FERRYD_REST_MOST;
    rest->last = rest->left;
}

void ferryd_rest_once(struct ferryd_rest *rest)
{
    rest->left = 1;
    rest->last = 0;
}

void ferryd_rest_over(struct ferryd_rest *rest)
{
    *rest = (struct ferryd_rest){0};
}
