/* An update as a person would type it: nsupdate's words.  The key is named by its file.
 * SPDX-License-Identifier: MIT */
#include "dns/internal.h"

#include <stdio.h>
#include <string.h>

struct text {
    char *v;
    size_t n;
};

static void add(struct text *t, const char *fmt, ...) FERRY_PRINTF(2, 3);

static void add(struct text *t, const char *fmt, ...)
{
    char piece[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(piece, sizeof piece, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    n = (size_t)n < sizeof piece ? n : (int)sizeof piece - 1;
    t->v = ferry_realloc(t->v, t->n + (size_t)n + 1, 1);
    memcpy(t->v + t->n, piece, (size_t)n + 1);
    t->n += (size_t)n;
}

int ferry_dns_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                     size_t size)
{
    struct ferry_rrset before = {0}, after = {0};
    struct text t = {0};
    size_t zone_len = 0;
    const char *type = ferry_dns_type_name(op->metric);
    const char *zone = op->name ? ferry_dns_zone(config->zones, op->name, &zone_len) : NULL;
    bool good = zone && (!op->before || ferry_rrset_of_entry(op->before, &before)) &&
                (!op->after || ferry_rrset_of_entry(op->after, &after));
    if (good) {
        add(&t, "%s%s%snsupdate -k '%s' <<'END'\nserver %s %u\nzone %.*s\n",
            config->netns ? "ip netns exec " : "", config->netns ? config->netns : "",
            config->netns ? " " : "", config->key_file ? config->key_file : "",
            config->host ? config->host : "", config->port ? config->port : 53u, (int)zone_len, zone);
        for (size_t i = 0; i < before.n; i++)
            add(&t, "prereq yxrrset %s %s %s\n", op->name, type, before.data[i]);
        if (before.n)
            add(&t, "update delete %s %s\n", op->name, type);
        else
            add(&t, "prereq nxrrset %s %s\n", op->name, type);
        for (size_t i = 0; i < after.n; i++)
            add(&t, "update add %s %u %s %s\n", op->name, after.ttl, type, after.data[i]);
        add(&t, "send\nEND\n");
    }
    ferry_rrset_clear(&before);
    ferry_rrset_clear(&after);
    int n = good ? snprintf(buf, size, "%s", t.v) : -1;
    free(t.v);
    return n;
}
