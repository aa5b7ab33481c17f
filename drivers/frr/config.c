/* The running configuration, as FRR prints it, taken apart.
 *
 *  C1. Every line is kept: in a block, or as a static route whose words are all accounted for (fields, or `rest`).
 *  C2. A text without its `end` is no configuration: vtysh leaves out, without a word, the part of a daemon that it has
 *      lost; the end says only that vtysh came to its own.  Whether all daemons live is check.c's.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

struct words {
    char *v[64];
    size_t n;
};

/* Cuts `line` (written to) at its spaces. */
static bool split(char *line, struct words *ret)
{
    char *rest = NULL;
    ret->n = 0;
    for (char *w = strtok_r(line, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        if (ret->n == FERRY_COUNT(ret->v))
            return false;
        ret->v[ret->n++] = w;
    }
    return true;
}

static bool number(const char *text, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long v = text && *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : ULONG_MAX;
    if (v > UINT32_MAX || errno || *end)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool drop_type(const char *word, enum ferry_entry_type *ret)
{
    bool reject = !strcmp(word, "reject");
    if (!reject && strcmp(word, "blackhole") != 0 && strcmp(word, "Null0") != 0)
        return false;
    *ret = reject ? FERRY_UNREACHABLE : FERRY_BLACKHOLE;
    return true;
}

/* What follows the next hop: tag, distance, table, onlink in the fields; all else in `rest`. */
static bool static_options(const struct words *w, size_t at, struct ferry_frr_static *s,
                           struct ferry_frr_text *rest)
{
    static const char *const with_value[] = {"label", "nexthop-vrf", "color", "vrf"};
    for (; at < w->n; at++) {
        uint32_t distance;
        bool last = at + 1 == w->n, valued = false;
        if (!strcmp(w->v[at], "tag") && !last) {
            if (!number(w->v[++at], &s->tag))
                return false;
        } else if (!strcmp(w->v[at], "table") && !last) {
            if (!number(w->v[++at], &s->table))
                return false;
        } else if (!strcmp(w->v[at], "onlink")) {
            s->onlink = true;
        } else if (number(w->v[at], &distance)) {
            s->distance = distance;
        } else {
            for (size_t i = 0; i < FERRY_COUNT(with_value); i++)
                valued |= !last && !strcmp(w->v[at], with_value[i]);
            ferry_frr_text_add(rest, "%s%s", rest->n ? " " : "", w->v[at]);
            if (valued)
                ferry_frr_text_add(rest, " %s", w->v[++at]);
        }
    }
    return true;
}

/* Whether this word is an interface's name, and not an option. */
static bool is_option(const char *word)
{
    static const char *const options[] = {"tag",         "table", "onlink", "label",
                                          "nexthop-vrf", "color", "bfd",    "vrf"};
    uint32_t ignored;
    for (size_t i = 0; i < FERRY_COUNT(options); i++)
        if (!strcmp(word, options[i]))
            return true;
    return number(word, &ignored);
}

/* "ip route 10.0.0.0/24 10.1.1.1 eth0 tag 5 30 table 100" */
static bool static_parse(const char *line, const char *vrf, struct ferry_frr_static *ret)
{
    struct ferry_err ignored;
    struct words w;
    FERRY_AUTOFREE char *copy = ferry_strdup(line);
    struct ferry_frr_static s = {.type = FERRY_UNICAST, .table = FERRY_TABLE_MAIN, .distance = 1};
    struct ferry_frr_text rest = {0};
    size_t at = 3;
    if (!split(copy, &w) || w.n < 4 || ferry_prefix_parse(w.v[2], &s.prefix, &ignored) < 0 ||
        ferry_prefix_has_host_bits(&s.prefix))
        return false;
    if (!strcmp(w.v[at], "from") && w.n > at + 2) {
        ferry_frr_text_add(&rest, "from %s", w.v[at + 1]);
        at += 2;
    }
    if (drop_type(w.v[at], &s.type)) {
        if (!strcmp(w.v[at], "Null0")) /* the same to the kernel, another word to its writer */
            ferry_frr_text_add(&rest, "%sNull0", rest.n ? " " : "");
        at++;
    } else {
        if (ferry_addr_parse(w.v[at], &s.via, &ignored) == 0)
            at++;
        if (at < w.n && (!s.via.family || !is_option(w.v[at])) && strlen(w.v[at]) < sizeof s.dev)
            strcpy(s.dev, w.v[at++]);
    }
    if (!static_options(&w, at, &s, &rest)) {
        ferry_frr_text_clear(&rest);
        return false;
    }
    s.rest = rest.v ? rest.v : ferry_strdup("");
    s.line = ferry_strdup(line);
    s.vrf = ferry_strdup(vrf);
    *ret = s;
    return true;
}

static bool is_static(const char *line)
{
    return !strncmp(line, "ip route ", 9) || !strncmp(line, "ipv6 route ", 11);
}

static uint64_t fnv(uint64_t hash, const char *line)
{
    for (; *line; line++)
        hash = (hash ^ (unsigned char)*line) * 1099511628211u;
    return (hash ^ '\n') * 1099511628211u;
}

struct parser {
    struct ferry_frr_config *config;
    struct ferry_frr_block *block; /* the open one, or NULL */
    char vrf[40];                  /* of the open block */
    bool ended;
};

static int take(struct parser *p, const char *line, struct ferry_err *err)
{
    struct ferry_frr_config *c = p->config;
    const char *bare = line + (*line == ' ');
    c->hash = fnv(c->hash, line);
    if (is_static(bare) && (bare == line || *p->vrf)) {
        struct ferry_frr_static s;
        if (!static_parse(bare, bare == line ? "" : p->vrf, &s))
            return ferry_error(err, FERRY_EIO, "a static route that is not understood: %.200s", line);
        FERRY_GROW(c->statics, c->n_statics);
        s.order = (unsigned)c->n_statics;
        c->statics[c->n_statics++] = s;
        return 0;
    }
    if (*line == ' ' && p->block) {
        FERRY_GROW(p->block->lines, p->block->n_lines);
        p->block->lines[p->block->n_lines++] = ferry_strdup(bare);
        return 0;
    }
    *p->vrf = 0;
    p->block = NULL;
    if (!strcmp(line, "exit") || !strcmp(line, "exit-vrf"))
        return 0;
    p->ended = !strcmp(line, "end");
    if (p->ended)
        return 0;
    if (!strncmp(line, "vrf ", 4) && strlen(line + 4) < sizeof p->vrf)
        strcpy(p->vrf, line + 4);
    FERRY_GROW(c->blocks, c->n_blocks);
    c->blocks[c->n_blocks] = (struct ferry_frr_block){.header = ferry_strdup(line)};
    p->block = &c->blocks[c->n_blocks++];
    return 0;
}

static int key_compare(const struct ferry_frr_static *a, const char *vrf, const struct ferry_prefix *prefix)
{
    int c = strcmp(a->vrf, vrf);
    return c ? c : ferry_prefix_compare(&a->prefix, prefix);
}

static int static_compare(const void *x, const void *y)
{
    const struct ferry_frr_static *a = x, *b = y;
    int c = key_compare(a, b->vrf, &b->prefix);
    c = c ? c : a->table < b->table ? -1 : a->table > b->table;
    c = c ? c : a->distance < b->distance ? -1 : a->distance > b->distance;
    return c ? c : a->order < b->order ? -1 : a->order > b->order;
}

static const struct ferry_frr_static *statics_of(const struct ferry_frr_config *config, const char *vrf,
                                                 const struct ferry_prefix *prefix, size_t *ret_n)
{
    size_t low = 0, high = config->n_statics, n = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_compare(&config->statics[middle], vrf, prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + n < config->n_statics && !key_compare(&config->statics[low + n], vrf, prefix))
        n++;
    *ret_n = n;
    return n ? &config->statics[low] : NULL;
}

const struct ferry_frr_static *ferry_frr_config_statics(const struct ferry_frr_config *config,
                                                        const struct ferry_prefix *prefix, uint32_t table,
                                                        size_t *ret_n)
{
    const struct ferry_vrf *vrf = ferry_frr_config_vrf(config, table);
    const struct ferry_frr_static *s = statics_of(config, vrf ? vrf->name : "", prefix, ret_n);
    return s || !vrf ? s : statics_of(config, "", prefix, ret_n); /* V1 of vrf.c */
}

bool ferry_frr_config_elsewhere(const struct ferry_frr_config *config, const struct ferry_op *op,
                                uint32_t *ret_distance)
{
    size_t n;
    const struct ferry_frr_static *s = ferry_frr_config_statics(config, &op->prefix, op->table, &n);
    const struct ferry_entry *e = op->after;
    for (size_t i = 0; i < n && e && op->kind == FERRY_KIND_ROUTE; i++) {
        bool same = e->type != FERRY_UNICAST && s[i].type != FERRY_UNICAST;
        for (uint16_t k = 0; k < e->n_nexthops && e->type == FERRY_UNICAST; k++)
            same |= ferry_addr_equal(&e->nexthops[k].via, &s[i].via) &&
                    !strcmp(e->nexthops[k].dev, s[i].dev) && s[i].type == FERRY_UNICAST;
        if (same && s[i].table == op->table && s[i].distance != op->metric) {
            *ret_distance = s[i].distance;
            return true;
        }
    }
    return false;
}

int ferry_frr_config_parse(const char *text, size_t n, struct ferry_frr_config *ret, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config config = {.hash = 14695981039346656037u};
    struct parser p = {.config = &config};
    FERRY_AUTOFREE char *copy = ferry_calloc(n + 1, 1);
    memcpy(copy, text, n);
    bool begun = false;
    for (char *line = copy, *next; line && *line && !p.ended; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line[strcspn(line, "\r")] = 0;
        size_t length = strlen(line);
        while (length > 1 && line[length - 1] == ' ')
            line[--length] = 0;
        if (!begun) {
            begun = !strcmp(line, "Current configuration:") || !strncmp(line, "frr version ", 12);
            continue;
        }
        if (!*line || *line == '!')
            continue;
        int result = take(&p, line, err);
        if (result < 0)
            return result;
    }
    if (!p.ended)
        return ferry_error(err, FERRY_EIO, "the running configuration has no end");
    if (config.n_statics > 1)
        qsort(config.statics, config.n_statics, sizeof *config.statics, static_compare);
    *ret = config;
    config = (struct ferry_frr_config){0};
    return 0;
}

static void static_clear(struct ferry_frr_static *s)
{
    free(s->vrf);
    free(s->line);
    free(s->rest);
}

const char *ferry_frr_after_prefix(const char *line)
{
    for (int i = 0; i < 3; i++)
        line = strchr(line, ' ') + 1;
    return line;
}

static bool same_identity(const struct ferry_frr_static *a, const struct ferry_frr_static *b)
{
    char x[256], y[256];
    if (*a->vrf || !ferry_prefix_equal(&a->prefix, &b->prefix))
        return false;
    ferry_frr_line_identity(ferry_frr_after_prefix(a->line), x, sizeof x);
    ferry_frr_line_identity(ferry_frr_after_prefix(b->line), y, sizeof y);
    return !strcmp(x, y);
}

/* One line: a next hop that stands there goes, and comes again but for a `no`. */
static bool edit(struct ferry_frr_config *c, const char *line)
{
    struct ferry_frr_static s;
    bool no = !strncmp(line, "no ", 3);
    line += no ? 3 : 0;
    if (!is_static(line) || !static_parse(line, "", &s))
        return false;
    for (size_t i = 0; i < c->n_statics; i++)
        if (same_identity(&c->statics[i], &s)) {
            static_clear(&c->statics[i]);
            memmove(&c->statics[i], &c->statics[i + 1], (--c->n_statics - i) * sizeof s);
            break;
        }
    if (no) {
        static_clear(&s);
        return true;
    }
    s.order = UINT_MAX; /* behind its like */
    size_t at = c->n_statics;
    FERRY_GROW(c->statics, c->n_statics);
    while (at && static_compare(&c->statics[at - 1], &s) > 0)
        at--;
    memmove(&c->statics[at + 1], &c->statics[at], (c->n_statics++ - at) * sizeof s);
    c->statics[at] = s;
    return true;
}

bool ferry_frr_config_edit(struct ferry_frr_config *config, const char *lines)
{
    FERRY_AUTOFREE char *copy = ferry_strdup(lines);
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!edit(config, line))
            return false;
    return true;
}

void ferry_frr_config_clear(struct ferry_frr_config *config)
{
    for (size_t i = 0; i < config->n_blocks; i++) {
        for (size_t k = 0; k < config->blocks[i].n_lines; k++)
            free(config->blocks[i].lines[k]);
        free(config->blocks[i].lines);
        free(config->blocks[i].header);
    }
    for (size_t i = 0; i < config->n_statics; i++) {
        static_clear(&config->statics[i]);
    }
    free(config->blocks);
    free(config->statics);
    free(config->vrfs);
    *config = (struct ferry_frr_config){0};
}

int ferry_frr_config_read(struct ferry_frr *d, struct ferry_frr_config *ret, struct ferry_err *err)
{
    FERRY_AUTOFREE char *text = NULL;
    size_t n;
    int result = ferry_frr_show(d, FERRY_FRR_RUNNING, &text, &n, err);
    if (result < 0)
        return result;
    FERRY_CLEANUP(ferry_frr_config_clear) struct ferry_frr_config config = {0};
    result = ferry_frr_config_parse(text, n, &config, err);
    if (!result)
        result = ferry_frr_vrfs_read(d, &config, err);
    if (result < 0)
        return result;
    *ret = config;
    config = (struct ferry_frr_config){0};
    return 0;
}

const struct ferry_frr_block *ferry_frr_config_block(const struct ferry_frr_config *config,
                                                     const char *header)
{
    size_t n = strlen(header);
    for (size_t i = 0; i < config->n_blocks; i++)
        if (!strncmp(config->blocks[i].header, header, n) &&
            (!config->blocks[i].header[n] || config->blocks[i].header[n] == ' '))
            return &config->blocks[i];
    return NULL;
}

const struct ferry_frr_block *ferry_frr_config_interface(const struct ferry_frr_config *config,
                                                         const char *name)
{
    char header[64];
    snprintf(header, sizeof header, "interface %s", name);
    size_t n = strlen(header);
    for (size_t i = 0; i < config->n_blocks; i++) {
        const char *at = config->blocks[i].header;
        if (!strncmp(at, header, n) && (!at[n] || !strncmp(at + n, " vrf ", 5)))
            return &config->blocks[i];
    }
    return NULL;
}

bool ferry_frr_block_has(const struct ferry_frr_block *block, const char *line)
{
    for (size_t i = 0; block && i < block->n_lines; i++)
        if (!strcmp(block->lines[i], line))
            return true;
    return false;
}
