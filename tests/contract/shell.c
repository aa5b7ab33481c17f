/* See shell.h.  SPDX-License-Identifier: MIT */
#include "shell.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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
