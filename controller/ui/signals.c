/* Signals that ask a running transaction to stop: it then undoes what it did.
 * SPDX-License-Identifier: MIT */
#include "ui/run.h"

#include "base/mem.h"
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t caught;

static void handler(int number)
{
    caught = number;
}

void ui_signals_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART; /* a driver's call in another thread goes on */
    for (size_t i = 0; i < FERRY_COUNT(signals); i++) {
        struct sigaction before;
        /* Under nohup(1), and in a script's background, they do not concern us. */
        if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

const char *ui_signals_caught(void)
{
    switch (caught) {
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    case SIGHUP:
        return "SIGHUP";
    default:
        return NULL;
    }
}
