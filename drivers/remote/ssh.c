/* Transport ssh: one session a router, one channel a process.
 *
 *  S1. Nothing was run where the channel was never opened, or the server refused to run the command; from the moment
 *      that the command was sent, nobody knows.
 *  S2. Nothing to read is not the end; only the peer's end of file is.
 *  S3. All channels of a session share its socket: reading for one moves the bytes of the others into their own
 *      buffers, which the SSH window bounds.  So what is there already is read before poll(2) is asked.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/ssh.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

char *ferry_remote_in_home(const char *path)
{
    const char *home = getenv("HOME"); /* what the shell takes for ~, too */
    if (home && *home == '/')
        return ferry_asprintf("%s/%s", home, path);
    char buf[4096];
    struct passwd me, *found = NULL;
    (void)getpwuid_r(geteuid(), &me, buf, sizeof buf, &found);
    return ferry_asprintf("%s/%s", found ? me.pw_dir : "", path);
}

/* ---- Processes. ---- */

/* `word` is plain, the script is ours: its quotes are the only thing that the login shell must not see. */
static char *command_of(const struct ferry_remote *remote, const char *const *words)
{
    size_t n = 64, k = 0;
    for (const char *c = ferry_router_script; *c; c++)
        n += *c == '\'' ? 4 : 1;
    for (size_t i = 0; words[i]; i++)
        n += strlen(words[i]) + 1;
    char *line = ferry_calloc(n, 1);
    if (remote->sends_script) {
        k += (size_t)snprintf(line, n, "exec /bin/sh -c '");
        for (const char *c = ferry_router_script; *c; c++) {
            const char *text = *c == '\'' ? "'\\''" : (char[]){*c, '\0'};
            memcpy(line + k, text, strlen(text));
            k += strlen(text);
        }
        line[k++] = '\'';
        line[k++] = ' ';
    }
    for (size_t i = 0; words[i]; i++)
        k += (size_t)snprintf(line + k, n - k, "%s%s", i ? " " : "", words[i]);
    return line;
}

static int start(struct ferry_remote *remote, struct ferry_remote_process *p, const char *const *words,
                 uint64_t deadline_us, struct ferry_err *err)
{
    struct ferry_remote_hop *hop = remote->hop;
    FERRY_AUTOFREE char *line = command_of(remote, words);
    int result;
    p->channel = ssh_channel_new(hop->session);
    if (!p->channel)
        return ferry_error(err, FERRY_EIO, "%s: %s", hop->host, ssh_get_error(hop->session));
    while ((result = ssh_channel_open_session(p->channel)) == SSH_AGAIN)
        if ((result = ferry_remote_hop_wait(hop, deadline_us, err)) < 0)
            return result; /* S1 */
    if (result != SSH_OK)
        return ferry_error(err, FERRY_EIO, "%s: %s", hop->host, ssh_get_error(hop->session));
    while ((result = ssh_channel_request_exec(p->channel, line)) == SSH_AGAIN)
        if ((result = ferry_remote_hop_wait(hop, deadline_us, err)) < 0)
            return -FERRY_EUNKNOWN;
    if (result == SSH_OK)
        return 0;
    return ferry_error(err, ssh_is_connected(hop->session) ? FERRY_EIO : FERRY_EUNKNOWN, "%s: %s", hop->host,
                       ssh_get_error(hop->session));
}

static ssize_t write_some(struct ferry_remote_process *p, const void *bytes, size_t n)
{
    uint32_t part = n < READ_BYTES ? (uint32_t)n : READ_BYTES;
    if (!ssh_channel_is_open(p->channel) || !ssh_is_connected(p->remote->hop->session))
        return -1;
    int taken = ssh_channel_write(p->channel, bytes, part);
    ferry_remote_hop_pump(p->remote->hop);
    return taken;
}

static void end_input(struct ferry_remote_process *p)
{
    ssh_channel_send_eof(p->channel);
    ferry_remote_hop_pump(p->remote->hop);
}

/* Whether anything came. */
static bool read_some(struct ferry_remote_process *p, int is_stderr, struct ferry_remote_bytes *to)
{
    char buf[READ_BYTES];
    if (to->ended)
        return false;
    int n = ssh_channel_read_nonblocking(p->channel, buf, sizeof buf, is_stderr);
    if (n > 0)
        ferry_remote_bytes_add(to, buf, (size_t)n);
    else if (n == SSH_EOF || ssh_channel_is_eof(p->channel)) /* S2 */
        to->ended = true;
    return n > 0 || to->ended;
}

static bool read_all(struct ferry_remote_process *p)
{
    bool moved = read_some(p, 0, &p->out);
    moved |= read_some(p, 1, &p->err);
    if (!p->exited) {
        p->status = ssh_channel_get_exit_status(p->channel);
        /* Closed without a status: ended by a signal, or by a server that says nothing. */
        p->exited = p->status >= 0 || (p->out.ended && p->err.ended && ssh_channel_is_closed(p->channel));
        moved |= p->exited;
    }
    return moved;
}

static int step(struct ferry_remote_process *p, bool writing, uint64_t deadline_us, struct ferry_err *err)
{
    struct ferry_remote_hop *hop = p->remote->hop;
    struct ferry_err late;
    uint64_t before;
    do { /* S3, also among its own: what comes while the one is read may be for the other */
        before = hop->raw.in_bytes;
        if (read_all(p))
            return 0;
    } while (hop->raw.in_bytes != before);
    if (!ssh_is_connected(hop->session))
        return ferry_error(err, FERRY_EUNKNOWN, "%s: the connection is lost: %s", hop->host,
                           ssh_get_error(hop->session));
    /* With room in the window it is the caller who has not tried yet. */
    if (writing && ssh_channel_window_size(p->channel) > 0 &&
        !(ssh_get_poll_flags(hop->session) & SSH_WRITE_PENDING))
        return 0;
    if (ferry_remote_hop_wait(hop, deadline_us, &late) == 0)
        read_all(p);
    return 0;
}

static void end(struct ferry_remote_process *p)
{
    if (!p->channel)
        return;
    if (!p->exited && ssh_channel_is_open(p->channel)) {
        /* Before its input ends: see local.c.  Servers may refuse it; the script is prepared (C4 in core.sh). */
        ssh_channel_request_send_signal(p->channel, "KILL");
        ssh_channel_close(p->channel);
    }
    ssh_channel_free(p->channel);
    p->channel = NULL;
    ferry_remote_hop_pump(p->remote->hop);
}

static void close_session(struct ferry_remote *remote)
{
    ferry_remote_hop_free(remote->hop);
    remote->hop = NULL;
}

const struct ferry_remote_transport ferry_remote_over_ssh = {
    .start = start,
    .write = write_some,
    .end_input = end_input,
    .step = step,
    .end = end,
    .close = close_session,
};

/* ---- The session. ---- */

static char *path_of(const char *path)
{
    return path && !strncmp(path, "~/", 2) ? ferry_remote_in_home(path + 2) : ferry_strdup(path);
}

static bool name_ok(const char *name, const char *signs)
{
    if (!*name || *name == '-' || strlen(name) > 253)
        return false;
    for (; *name; name++)
        if (!((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z') ||
              (*name >= '0' && *name <= '9') || strchr(signs, *name)))
            return false;
    return true;
}

static struct ferry_remote_hop *hop_new(const struct ferry_remote *remote)
{
    struct ferry_remote_hop *hop = ferry_calloc(1, sizeof *hop);
    hop->remote = remote;
    hop->fd = hop->given = hop->pair = -1;
    hop->identity = path_of(remote->config.identity);
    hop->known_hosts = path_of(remote->config.known_hosts);
    return hop;
}

static void free_hop(struct ferry_remote_hop **hop)
{
    ferry_remote_hop_free(*hop);
}

static int check_names(const struct ferry_remote_hop *hop, struct ferry_err *err)
{
    if (!name_ok(hop->host, "._:%-"))
        return ferry_error(err, FERRY_EIO, "'%.100s' is no name or address of a host", hop->host);
    if (hop->user && !name_ok(hop->user, "._-$"))
        return ferry_error(err, FERRY_EIO, "'%.100s' is no name of a user", hop->user);
    return 0;
}

/* "[user@]host[:port]"; an IPv6 address with a port stands in brackets. */
static int parse_jump(const char *text, struct ferry_remote_hop *hop, struct ferry_err *err)
{
    const char *at = strrchr(text, '@'), *host = at ? at + 1 : text, *port = NULL, *end = NULL;
    if (*host == '[' && (end = strchr(host, ']'))) {
        host++;
        port = end[1] == ':' ? end + 2 : end[1] ? "" : NULL;
    } else if ((port = strchr(host, ':')) && port == strrchr(host, ':')) {
        end = port++;
    } else {
        port = NULL;
        end = host + strlen(host);
    }
    char *rest = NULL;
    unsigned long number = port ? strtoul(port, &rest, 10) : 22;
    if (port && (*port < '0' || *port > '9' || *rest || !number || number > 65535))
        return ferry_error(err, FERRY_EIO, "jump '%.100s': no port", text);
    hop->port = (unsigned)number;
    hop->user = at ? strndup(text, (size_t)(at - text)) : NULL;
    hop->host = strndup(host, (size_t)(end - host));
    hop->jump = true;
    return check_names(hop, err);
}

int ferry_remote_ssh_open(struct ferry_remote *remote, uint64_t deadline_us, struct ferry_err *err)
{
    const struct ferry_driver_config *config = &remote->config;
    FERRY_CLEANUP(free_hop) struct ferry_remote_hop *hop = hop_new(remote);
    hop->host = ferry_strdup(config->host ? config->host : remote->name);
    hop->user = ferry_strdup(config->user);
    hop->host_key = ferry_strdup(config->host_key);
    hop->port = config->port ? config->port : 22;
    hop->netns = config->netns;
    int result = check_names(hop, err);
    if (!result && config->jump) {
        hop->under = hop_new(remote);
        hop->under->netns = config->netns;
        hop->up = ferry_calloc(1, sizeof *hop->up);
        hop->down = ferry_calloc(1, sizeof *hop->down);
        result = parse_jump(config->jump, hop->under, err);
        if (!result)
            result = ferry_remote_hop_open(hop->under, deadline_us, err);
    }
    if (!result)
        result = ferry_remote_hop_open(hop, deadline_us, err);
    if (result < 0)
        return result;
    remote->hop = FERRY_STEAL(hop);
    return 0;
}
