/* The slot `persist`: `write memory`, which prints [OK] on a full disk, too, and saves without the part of a daemon
 * that does not run.
 * So: the daemons and the disk first, a copy of what was saved before, and the file against the configuration after.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

/* Bytes that must be free beside the file: vtysh writes a new one before it drops the old one. */
enum { SPARE_KB = 1024 };

static bool counts(const char *line)
{
    static const char *const frame[] = {"frr version ",
                                        "frr defaults ",
                                        "hostname ",
                                        "Building ",
                                        "Current ",
                                        "no ip forwarding",
                                        "no ipv6 forwarding",
                                        "ip forwarding",
                                        "ipv6 forwarding",
                                        "service integrated-vtysh-config",
                                        "no service integrated-vtysh-config",
                                        "username ", /* vtysh.conf's */
                                        "banner ",
                                        "end",
                                        "exit",
                                        "exit-vrf"};
    line += strspn(line, " ");
    if (!*line || *line == '!')
        return false;
    for (size_t i = 0; i < FERRY_COUNT(frame); i++)
        if (!strncmp(line, frame[i], strlen(frame[i])) &&
            (frame[i][strlen(frame[i]) - 1] == ' ' || !line[strlen(frame[i])]))
            return false;
    return true;
}

static int line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines that count, each after its context, sorted: daemons save them in files of their own, or in one. */
struct lines {
    char **v;
    size_t n;
};

static void lines_clear(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
}

static void lines_make(char *text, struct lines *ret)
{
    char *rest = NULL;
    const char *context = "";
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        size_t n = strlen(line);
        while (n && (line[n - 1] == ' ' || line[n - 1] == '\r'))
            line[--n] = 0;
        if (!counts(line))
            continue;
        bool inner = *line == ' ';
        if (!inner)
            context = line;
        FERRY_GROW(ret->v, ret->n);
        ret->v[ret->n++] = inner ? ferry_asprintf("%s /%s", context, line) : ferry_strdup(line);
    }
    if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof *ret->v, line_compare);
    size_t n = 0;
    for (size_t i = 0; i < ret->n; i++)
        if (i && !strcmp(ret->v[i], ret->v[n - 1])) /* a context that two files have */
            free(ret->v[i]);
        else
            ret->v[n++] = ret->v[i];
    ret->n = n;
}

int ferry_frr_saved(struct ferry_frr *d, bool *ret_same, struct ferry_err *err)
{
    FERRY_AUTOFREE char *running = NULL;
    FERRY_AUTOFREE char *saved = NULL;
    FERRY_CLEANUP(lines_clear) struct lines a = {0};
    FERRY_CLEANUP(lines_clear) struct lines b = {0};
    size_t n;
    int result = ferry_frr_show(d, "show running-config", &running, &n, err);
    if (!result)
        result = ferry_frr_hand(d, "saved", &saved, &n, err);
    if (result < 0)
        return result;
    lines_make(running, &a);
    lines_make(saved, &b);
    *ret_same = a.n == b.n;
    for (size_t i = 0; i < a.n && *ret_same; i++)
        *ret_same = !strcmp(a.v[i], b.v[i]);
    return 0;
}

static int disk(struct ferry_frr *d, struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    size_t n;
    unsigned long free_kb, size_kb;
    int result = ferry_frr_hand(d, "disk", &answer, &n, err);
    if (result < 0)
        return result;
    if (sscanf(answer, "%lu %lu", &free_kb, &size_kb) != 2)
        return ferry_error(err, FERRY_EIO,
                           "how much disk is free for FRR's configuration is not known: %.80s", answer);
    if (free_kb < 3 * size_kb + SPARE_KB)
        return ferry_error(
            err, FERRY_EIO,
            "only %lu KiB are free where FRR keeps its configuration: not saved; make room, then `vtysh "
            "-c 'write memory'`",
            free_kb);
    return 0;
}

static int save(struct ferry_frr *d, struct ferry_err *err)
{
    FERRY_AUTOFREE char *answer = NULL;
    size_t n;
    bool same;
    int result = ferry_frr_hand(d, "keep", &answer, &n, err);
    if (!result && strncmp(answer, "kept\n", 5) != 0)
        result = ferry_error(err, FERRY_EIO,
                             "no copy of FRR's saved configuration could be made: not saved: %.200s", answer);
    free(FERRY_STEAL(answer));
    if (!result)
        result = ferry_frr_hand(d, "save", &answer, &n, err);
    if (!result)
        result = ferry_frr_saved(d, &same, err);
    if (!result && !same)
        result = ferry_error(
            err, FERRY_EIO,
            "FRR's saved configuration is not what it runs with, after `write memory`: a copy of the "
            "older one is beside it (*.ferry)");
    return result;
}

int ferry_frr_persist(struct ferry_driver *driver, struct ferry_err *err)
{
    struct ferry_frr *d = (struct ferry_frr *)driver;
    bool same = false;
    int result = ferry_frr_saved(d, &same, err);
    if (!result)
        result = ferry_frr_daemons(d, &d->config, err);
    if (!result && same) /* as after an undo: what is not written cannot be cut short */
        return 0;
    if (!result)
        result = disk(d, err);
    if (!result)
        result = save(d, err);
    return result < 0 ? ferry_error_prefix(err, -FERRY_EIO, "%s", d->router) : 0;
}
