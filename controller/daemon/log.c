/* Lines for people.  Where stderr is the system's journal they carry fields, so that `journalctl FERRY_TX=…` finds a
 * transaction.  SPDX-License-Identifier: MIT */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "daemon/daemon.h"

#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

/* $JOURNAL_STREAM is DEVICE:INODE of what systemd has connected (systemd.exec(5)). */
static bool to_journal(void)
{
    unsigned long long device, inode;
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &st) &&
           st.st_dev == device && st.st_ino == inode;
}

void ferryd_log(int priority, const char *tx, const char *fmt, ...)
{
    va_list args;
    char text[2048];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (to_journal())
        (void)sd_journal_send("MESSAGE=%s", text, "PRIORITY=%i", priority, tx && *tx ? "FERRY_TX=%s" : NULL,
                              tx, NULL);
    else
        fprintf(stderr, "ferryd: %s\n", text);
}

void ferryd_env_log(void *ctx, enum ferry_log_level level, const char *fmt, va_list args)
{
    static const int priorities[] = {[FERRY_LOG_ERROR] = LOG_ERR,
                                     [FERRY_LOG_WARNING] = LOG_WARNING,
                                     [FERRY_LOG_INFO] = LOG_INFO,
                                     [FERRY_LOG_DEBUG] = LOG_DEBUG};
    char text[2048];
    (void)ctx;
    if (level > FERRY_LOG_WARNING && !getenv("FERRY_DEBUG"))
        return;
    vsnprintf(text, sizeof text, fmt, args);
    ferryd_log(priorities[level], NULL, "%s", text);
}
