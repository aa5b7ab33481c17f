/* See shell.h.  SPDX-License-Identifier: MIT */
#include "shell.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COMMAND_MAX 4096
#define TEXT_MAX    (1u << 18)

void shell(const char *fmt, ...)
{
    char command[COMMAND_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

char *shell_text(const char *fmt, ...)
{
    char command[COMMAND_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = ferry_calloc(1, TEXT_MAX);
    text[fread(text, 1, TEXT_MAX - 1, pipe)] = 0;
    pclose(pipe);
    return text;
}

/* Until an event that was made now has come through, and all before it.  Who does not listen yet is told again. */
static char *until_marked(const char *netns, const char *file, const char *mark, bool again)
{
    for (int i = 0; i < 3000; i++, usleep(10000)) {
        if (again || i == 0)
            shell("ip -n %s route add blackhole %s && ip -n %s route del blackhole %s", netns, mark, netns,
                  mark);
        char *text = shell_text("cat %s", file);
        if (strstr(text, mark))
            return text;
        free(text);
    }
    fail_msg("%s: the monitor does not hear of %s", netns, mark);
    return NULL;
}

void shell_listen(const char *netns, const char *file)
{
    shell(": >%s; ip -n %s monitor route >%s & echo $! >%s.pid", file, netns, file, file);
    free(until_marked(netns, file, "203.0.113.1", true));
}

char *shell_heard(const char *netns, const char *file)
{
    free(until_marked(netns, file, "203.0.113.2", false));
    return shell_text("kill $(cat %s.pid); grep -v 203.0.113. %s", file, file);
}
