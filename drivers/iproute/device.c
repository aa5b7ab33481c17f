/* What gateways bring along (linux/device.c), by commands.  SPDX-License-Identifier: MIT */
#include "internal.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

int ferry_iproute_refresh(struct ferry_linux *base, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    ferry_iproute_forget(d);
    return ferry_iproute_links(d, err);
}

int ferry_iproute_link(struct ferry_linux *base, const char *name, uint32_t *ret_group, uint32_t *ret_master,
                       struct ferry_err *err)
{
    const struct ferry_iproute *d = (const struct ferry_iproute *)base;
    for (size_t i = 0; i < d->n_links; i++)
        if (!strcmp(d->links[i].name, name)) {
            *ret_group = d->links[i].group;
            *ret_master = d->links[i].enslaved;
            return 0;
        }
    ferry_error(err, FERRY_EIO, "there is no interface %s", name);
    return ENODEV;
}

/* Whether all that ip complains of is that a rule is there already, or gone. */
static bool as_it_shall_be(const char *complaint)
{
    static const char answers[] = "answers: ";
    const char *at = strstr(complaint, answers);
    bool good = at && !strstr(complaint, "Error: ");
    for (; good && at; at = strstr(at, answers)) {
        at += sizeof answers - 1;
        good = !strncmp(at, "File exists", strlen("File exists")) ||
               !strncmp(at, "No such file", strlen("No such file"));
    }
    return good;
}

/* "ip link add …" lines as a batch.  A rule that is there already, or gone, is as it shall be. */
int ferry_iproute_run(struct ferry_linux *base, const char *lines, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    FERRY_AUTOFREE char *batch = ferry_calloc(strlen(lines) + 1, 1), *said = NULL;
    size_t n = 0, n_lines = 0, n_said = 0, at = 0;
    char words[200];
    struct ferry_iproute_part part;
    for (const char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1, n_lines++) {
        line += strncmp(line, "ip ", 3) ? 0 : 3;
        memcpy(batch + n, line, (size_t)(end + 1 - line));
        n += (size_t)(end + 1 - line);
    }
    int result = ferry_iproute_talk(d, "batch", batch, n, n_lines, &said, &n_said, err);
    if (result < 0)
        return result;
    if (!ferry_iproute_part(said, n_said, &at, &part))
        return ferry_error(err, FERRY_EUNKNOWN, "the router's answer is broken");
    FERRY_AUTOFREE char *complaint = ferry_calloc(part.n_err + 1, 1);
    memcpy(complaint, part.err, part.n_err);
    bool rules = !strncmp(batch, "rule ", 5);
    if (!part.status || (rules && as_it_shall_be(complaint)))
        return 0;
    ferry_error(err, FERRY_EIO, "%s", ferry_iproute_words(complaint, words, sizeof words));
    return EIO;
}
