/* See std.h.  SPDX-License-Identifier: MIT */
#include "base/std.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void ferry_std_keep(void)
{
    /* open(2) gives the lowest number that is free, and all below `fd` are in use by then. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            abort(); /* without it nothing can be told from a router's socket */
}
