/* A connection's life: opened, asked who is there, closed.
 * SPDX-License-Identifier: MIT */
#include "remote/internal.h"

#include <stdio.h>
#include <string.h>

/* All of opening: less than the fleet waits for a driver (10 s), so that its text is heard.  A hello needs
 * milliseconds. */
enum { OPEN_MS = 9000, HELLO_MS = 4000 };

const struct ferry_remote_facts *ferry_remote_facts(const struct ferry_remote *remote)
{
    return &remote->facts;
}

const char *ferry_remote_script(void)
{
    return ferry_router_script;
}

void ferry_remote_close(struct ferry_remote *remote)
{
    if (!remote)
        return;
    while (remote->processes)
        ferry_remote_kill(remote->processes);
    if (remote->transport)
        remote->transport->close(remote);
    ferry_driver_config_clear(&remote->config);
    free(remote->name);
    free(remote);
}

static void close_pointer(struct ferry_remote **remote)
{
    ferry_remote_close(*remote);
}

/* Reads what do_hello says, a line each; `hash`: of the script that said it. */
static void read_facts(char *text, struct ferry_remote_facts *facts, char *hash, size_t size)
{
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "router ", 7))
            snprintf(hash, size, "%s", line + 7);
        facts->root |= !strcmp(line, "uid 0");
        facts->vtysh |= !strcmp(line, "has vtysh");
        facts->systemd_run |= !strcmp(line, "has systemd-run");
        if (!strncmp(line, "boot ", 5))
            snprintf(facts->boot_id, sizeof facts->boot_id, "%s", line + 5);
    }
}

/* -FERRY_EIO: it was not run, as a call says. */
static int hello(struct ferry_remote *remote, uint64_t deadline_us, char *hash, size_t size,
                 struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_remote_reply_clear) struct ferry_remote_reply reply = {0};
    int left = ferry_remote_left_ms(remote, deadline_us);
    const struct ferry_remote_call call = {.verb = "hello",
                                           .most_bytes = 64 * 1024,
                                           .timeout_ms = (unsigned)(left > HELLO_MS ? HELLO_MS
                                                                    : left          ? left
                                                                                    : 1)};
    int result = ferry_remote_call(remote, &call, &reply, err);
    if (result < 0)
        return result;
    if (reply.status)
        return ferry_error(err, FERRY_EIO, "hello ended with status %d", reply.status);
    read_facts(reply.out, &remote->facts, hash, size);
    return 0;
}

static bool over_ssh(const struct ferry_driver_config *config)
{
    if (config->transport)
        return !strcmp(config->transport, "ssh");
    return config->host || (config->type && !strcmp(config->type, "iproute"));
}

int ferry_remote_meet(struct ferry_remote *remote, uint64_t deadline_us, struct ferry_err *err)
{
    struct ferry_err second;
    char hash[32] = "";
    int result = hello(remote, deadline_us, hash, sizeof hash, err);
    if (!result && !strcmp(hash, ferry_router_hash)) {
        remote->facts.installed = true;
        return 0;
    }
    if (result == -FERRY_EUNKNOWN) /* it does run something, which does not come to its end */
        return result;
    remote->sends_script = true;
    memset(&remote->facts, 0, sizeof remote->facts);
    int again = hello(remote, deadline_us, hash, sizeof hash, &second);
    if (!again)
        return 0;
    if (!result)
        return ferry_error(
            err, FERRY_EIO,
            "%s: the ferry-router there is of another version of Ferry, and its key runs nothing else: "
            "install this one's (docs/router-setup.md)",
            remote->name);
    *err = second;
    return again;
}

int ferry_remote_open(const struct ferry_env *env, const struct ferry_driver_config *config,
                      const char *router, struct ferry_remote **ret, struct ferry_err *err)
{
    char hash[32] = "";
    int result;
    FERRY_CLEANUP(close_pointer) struct ferry_remote *remote = ferry_calloc(1, sizeof *remote);
    remote->env = env;
    remote->config = ferry_driver_config_copy(config);
    remote->name = ferry_strdup(router);
    uint64_t deadline_us = ferry_remote_now(remote) + 1000ull * OPEN_MS;
    if (over_ssh(config)) {
        remote->transport = &ferry_remote_over_ssh;
        result = ferry_remote_ssh_open(remote, deadline_us, err);
        if (!result)
            result = ferry_remote_meet(remote, deadline_us, err);
    } else {
        remote->transport = &ferry_remote_local;
        result = hello(remote, deadline_us, hash, sizeof hash, err);
    }
    if (result < 0)
        return -FERRY_EIO; /* nothing is written by then */
    *ret = FERRY_STEAL(remote);
    return 0;
}
