/* The program `ferryd`: its options.  SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "base/duration.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/std.h"
#include "watch/wire.h"
#include <argp.h>
#include <errno.h>
#include <ferry/driver.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_DIR "/var/lib/ferry"

enum {
    KEY_STATE_DIR = 0x1000,
    KEY_SOCKET,
    KEY_MODE,
    KEY_GROUP,
    KEY_POLL,
    KEY_READINESS,
    KEY_IDLE,
    KEY_NO_RECOVER,
    KEY_NO_RECONCILE
};

/* Exit statuses of the contract. */
enum { OK = 0, FAILED = 1, LOCKED = 8, USAGE = 64, INPUT = 65 };

static const struct argp_option argp_options[] = {
    {"topology", 't', "FILE", 0,
     "The topology file (FERRY_TOPOLOGY).  Without one only confirm deadlines and recovery are seen to", 0},
    {"state-dir", KEY_STATE_DIR, "DIR", 0, "Journal and locks (FERRY_STATE_DIR; " STATE_DIR ")", 0},
    {"socket", KEY_SOCKET, "PATH", 0, "Where it listens (FERRY_SOCKET; " FERRY_WIRE_SOCKET ")", 0},
    {"group", KEY_GROUP, "NAME", 0,
     "Members of this group may use the socket, and confirm; without it root alone, and the daemon's own "
     "user",
     0},
    {"socket-mode", KEY_MODE, "MODE", 0,
     "Octal mode of the socket (0660).  0666: everybody may look; to change anything needs root or the group",
     0},
    {"poll", KEY_POLL, "DURATION", 0,
     "Read everything so often, whatever was heard; routers other than netlink's are watched so (30s)", 1},
    {"readiness", KEY_READINESS, "DURATION", 0,
     "Try every move so often, without writing; 0s: only when asked (5m)", 1},
    {"idle", KEY_IDLE, "DURATION", 0, "A client that asks nothing for so long is let go (30s)", 1},
    {"no-recover", KEY_NO_RECOVER, NULL, 0,
     "Leave what was in flight to `ferry recover`; confirm deadlines are seen to all the same", 1},
    {"no-reconcile", KEY_NO_RECONCILE, NULL, 0,
     "Leave what lost routers owe, and subnets that came back at a second site, to `ferry reconcile`", 1},
    {"help", 'h', NULL, 0, "Show this help", -1},
    {"version", 'V', NULL, 0, "Show the version", -1},
    {0},
};

static const char doc[] =
    "Watches the routers of a topology, owns confirm deadlines, recovers what was in flight, answers "
    "`ferry`.\v"
    "It settles what `apply --confirm-within` left when nobody confirms in time; at its start, and when a "
    "controller has died, it does what `ferry recover` does; when a lost router is back, or a subnet came up "
    "at a second site, what `ferry reconcile` does.  It notices drift: at once where a router is "
    "this machine's kernel or a network namespace, else at the next poll.  It holds no lock while it has "
    "nothing to do: "
    "`ferry apply` works beside it.\n\n"
    "Signals: SIGTERM and SIGINT end it, after what it has begun; SIGHUP reloads the topology, and keeps the "
    "old one "
    "where the new one is no good.  Under systemd: Type=notify, WATCHDOG, STATUS.\n\n"
    "Files:\n"
    "  " STATE_DIR "            the journal; daemon.lock: one daemon a state directory\n"
    "  " FERRY_WIRE_SOCKET "   the control socket: one JSON object a line\n\n"
    "Examples:\n"
    "  ferryd -t /etc/ferry/site.json --group ferry\n"
    "  ferryd -t site.json --state-dir ./state --socket ./ferryd.sock --poll 5s\n\n"
    "Exit status: 0 stopped as asked; 1 an error, or its state directory was taken away; 8 another daemon "
    "works on the state directory or listens "
    "at the "
    "socket; 64 usage; 65 a bad topology at the start.\n";

struct parse {
    struct ferryd_options options;
    struct ferry_err err;
    bool help, version;
};

static int wrong(struct parse *p, const char *option, const char *arg, const char *what)
{
    ferry_error(&p->err, FERRY_EUSAGE, "--%s: '%s' is %s", option, arg, what);
    return EINVAL;
}

/* "90s", "5m", "2h", "500ms", as everywhere in Ferry. */
static int duration(struct parse *p, const char *option, const char *arg, uint64_t least_us, uint64_t *ret)
{
    uint64_t us;
    if (!ferry_duration_parse(arg, &us))
        return wrong(p, option, arg, "no duration; write 90s, 5m, 2h or 500ms");
    if (us && us < least_us)
        return wrong(p, option, arg, "too short");
    *ret = us;
    return 0;
}

static int mode(struct parse *p, const char *arg)
{
    char *end;
    unsigned long value = strtoul(arg, &end, 8);
    if (!*arg || *end || value > 0777 || !(value & 0600))
        return wrong(p, "socket-mode", arg, "no mode of a socket");
    p->options.socket_mode = (mode_t)value;
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    struct ferryd_options *o = &p->options;
    switch (key) {
    case 't':
        o->topology_file = arg;
        return *arg ? 0 : wrong(p, "topology", arg, "no file");
    case KEY_STATE_DIR:
        o->state_dir = arg;
        return *arg ? 0 : wrong(p, "state-dir", arg, "no directory");
    case KEY_SOCKET:
        o->socket = arg;
        return *arg ? 0 : wrong(p, "socket", arg, "no path");
    case KEY_GROUP:
        o->group = arg;
        return 0;
    case KEY_MODE:
        return mode(p, arg);
    case KEY_POLL:
        return duration(p, "poll", arg, 100000, &o->poll_us) ||
               (o->poll_us ? 0 : wrong(p, "poll", arg, "too short"));
    case KEY_READINESS:
        return duration(p, "readiness", arg, 100000, &o->readiness_us);
    case KEY_IDLE:
        return duration(p, "idle", arg, 100000, &o->idle_us) ||
               (o->idle_us ? 0 : wrong(p, "idle", arg, "too short"));
    case KEY_NO_RECOVER:
        o->recover = false;
        return 0;
    case KEY_NO_RECONCILE:
        o->reconcile = false;
        return 0;
    case 'h':
        p->help = true;
        return 0;
    case 'V':
        p->version = true;
        return 0;
    case ARGP_KEY_ARG:
        ferry_error(&p->err, FERRY_EUSAGE, "unexpected argument '%s'", arg);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = argp_options, .parser = parse, .doc = doc};

static const char *variable(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int exit_status(int code)
{
    switch ((enum ferry_errno) - code) {
    case FERRY_EUSAGE:
        return USAGE;
    case FERRY_EINPUT:
        return INPUT;
    case FERRY_ELOCKED:
        return LOCKED;
    case FERRY_EIO:
    case FERRY_EDRIFT:
    case FERRY_EREFUSED:
    case FERRY_EUNKNOWN:
    case FERRY_ESUPPORT:
        return FAILED;
    }
    return FAILED;
}

int main(int argc, char **argv)
{
    struct parse p = {
        .options = {.topology_file = variable("FERRY_TOPOLOGY", NULL),
                    .state_dir = variable("FERRY_STATE_DIR", STATE_DIR),
                    .socket = variable("FERRY_SOCKET", FERRY_WIRE_SOCKET),
                    .socket_mode = 0660,
                    .poll_us = 30000000,
                    .readiness_us = 300000000,
                    .idle_us = 30000000,
                    .recover = true,
                    .reconcile = true,
                    .find = ferry_driver_find},
    };
    ferry_std_keep();
    ferry_no_core(); /* what is read from routers may be secret */
    setlocale(LC_ALL, "");
    setenv("ARGP_HELP_FMT", "no-dup-args-note,rmargin=100", 0);
    error_t e = argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_NO_EXIT, NULL, &p);
    if (p.help && !e) {
        argp_help(&argp, stdout, ARGP_HELP_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG | ARGP_HELP_POST_DOC,
                  "ferryd");
        return OK;
    }
    if (p.version && !e) {
        printf("ferryd %s\n", FERRY_VERSION);
        return OK;
    }
    if (e) { /* of an unknown option argp has said so itself */
        if (p.err.text[0])
            fprintf(stderr, "ferryd: %s\n", p.err.text);
        return USAGE;
    }
    int r = ferryd_run(&p.options, &p.err);
    if (r < 0)
        ferryd_log(3, NULL, "%s", p.err.text);
    return r < 0 ? exit_status(r) : OK;
}
