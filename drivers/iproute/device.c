/* What gateways bring along (linux/device.c), by commands.  SPDX-License-Identifier: MIT */
#include "internal.h"

#include "base/mem.h"
#include "model/json.h"

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

/* One VLAN of ip's list; the {} of other kinds that some kernels' lists have says nothing. */
static int hear_vlan(struct ferry_json *doc, uint32_t object, const char *name, struct ferry_linux_vlan *ret,
                     struct ferry_err *err)
{
    uint32_t info = FERRY_JSON_NONE, data = FERRY_JSON_NONE;
    const char *called = "", *parent = "", *protocol = "802.1Q";
    int64_t id;
    if (ferry_json_want(doc, object, FERRY_JSON_OBJECT, err) < 0 ||
        ferry_json_opt_string(doc, object, "ifname", &called, err) < 0)
        return -FERRY_EIO;
    if (strcmp(called, name) != 0)
        return 0;
    if (ferry_json_need(doc, object, "linkinfo", FERRY_JSON_OBJECT, &info, err) < 0 ||
        ferry_json_need(doc, info, "info_data", FERRY_JSON_OBJECT, &data, err) < 0 ||
        ferry_json_need_int(doc, data, "id", 0, 4095, &id, err) < 0 ||
        ferry_json_opt_string(doc, data, "protocol", &protocol, err) < 0 ||
        ferry_json_opt_string(doc, object, "link", &parent, err) < 0)
        return -FERRY_EIO;
    ret->id = (uint16_t)id;
    ret->other = strcmp(protocol, "802.1Q") != 0;
    snprintf(ret->parent, sizeof ret->parent, "%s", parent);
    return 0;
}

int ferry_iproute_vlan(struct ferry_linux *base, const char *name, struct ferry_linux_vlan *ret,
                       struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    FERRY_CLEANUP(ferry_json_freep) struct ferry_json *doc = NULL;
    const struct ferry_iproute_answer *a;
    char words[200];
    int result = ferry_iproute_ask(d, FERRY_IPROUTE_VLANS, &a, err);
    if (result < 0)
        return result;
    if (a->status)
        return ferry_error(err, FERRY_EIO, "ip cannot show the VLANs: %s",
                           ferry_iproute_words(a->err, words, sizeof words));
    if (ferry_json_parse("ip link", (char *)a->out, a->n_out, NULL, NULL, &doc, err) < 0 ||
        ferry_json_want(doc, FERRY_JSON_ROOT, FERRY_JSON_ARRAY, err) < 0)
        return -FERRY_EIO;
    FERRY_JSON_EACH(doc, FERRY_JSON_ROOT, vlan)
    if (hear_vlan(doc, vlan, name, ret, err) < 0)
        return -FERRY_EIO;
    return 0;
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
