/* Where live forwarding for a subnet leads, compared with shortest paths.  Used by `status`.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_PATHS_H
#define FERRY_UI_PATHS_H

#include <ferry/fib.h>

struct ui_path_drift {
    size_t column;
    uint32_t router;  /* FERRY_NONE: the subnet as a whole */
    const char *what; /* "does not deliver", "other path", "two sites", "nowhere", "part"; static */
    char text[256];
};

bool ui_is_attached(const struct ferry_live *live, size_t router, size_t column);
/* All drifts of all columns; unreachable routers are not judged, nor what leads through them.  `ret` is
 * malloc'd. */
void ui_paths_check(const struct ferry_live *live, struct ui_path_drift **ret, size_t *ret_n);

#endif
