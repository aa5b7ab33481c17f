/* JSON, written by hand into one growing buffer; see plan_out.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/plan_out.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

void plan_out_reserve(struct plan_out *o, size_t n)
{
    if (o->room - o->n >= n + 1)
        return;
    o->room = 2 * o->room + n + 64;
    o->v = ferry_realloc(o->v, o->room, 1);
}

void plan_out_bytes(struct plan_out *o, const char *s, size_t n)
{
    plan_out_reserve(o, n);
    memcpy(o->v + o->n, s, n);
    o->n += n;
    o->v[o->n] = '\0';
}

void plan_out_raw(struct plan_out *o, const char *s)
{
    plan_out_bytes(o, s, strlen(s));
}

static void line(struct plan_out *o)
{
    if (!o->pretty || o->inlined)
        return;
    plan_out_raw(o, "\n");
    for (unsigned i = 0; i < o->depth; i++)
        plan_out_raw(o, "  ");
}

void plan_out_item(struct plan_out *o)
{
    if (o->keyed) {
        o->keyed = false;
        return;
    }
    if (!o->first) {
        plan_out_raw(o, ",");
        if (o->pretty && o->inlined)
            plan_out_raw(o, " ");
    }
    if (o->depth || o->inlined)
        line(o);
    o->first = false;
}

void plan_out_open(struct plan_out *o, const char *bracket, bool on_one_line)
{
    plan_out_item(o);
    plan_out_raw(o, bracket);
    if (on_one_line || o->inlined)
        o->inlined++;
    else
        o->depth++;
    o->first = true;
}

void plan_out_close(struct plan_out *o, const char *bracket)
{
    bool empty = o->first;
    if (o->inlined) {
        o->inlined--;
    } else {
        o->depth--;
        if (!empty)
            line(o);
    }
    plan_out_raw(o, bracket);
    o->first = false;
}

/* The escapes that JSON demands, as Python's json.dumps(ensure_ascii=False) writes them. */
static void quoted(struct plan_out *o, const char *s)
{
    static const char shorts[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    plan_out_raw(o, "\"");
    for (const char *p = s; *p;) {
        size_t plain = 0;
        while ((unsigned char)p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\')
            plain++;
        plan_out_bytes(o, p, plain);
        p += plain;
        if (!*p)
            break;
        char escape[8];
        unsigned char c = (unsigned char)*p++;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c < sizeof shorts && shorts[c])
            snprintf(escape, sizeof escape, "\\%c", shorts[c]);
        else
            snprintf(escape, sizeof escape, "\\u%04x", c);
        plan_out_raw(o, escape);
    }
    plan_out_raw(o, "\"");
}

void plan_out_key(struct plan_out *o, const char *name)
{
    plan_out_item(o);
    quoted(o, name);
    plan_out_raw(o, o->pretty ? ": " : ":");
    o->keyed = true;
}

void plan_out_string(struct plan_out *o, const char *s)
{
    plan_out_item(o);
    if (s)
        quoted(o, s);
    else
        plan_out_raw(o, "null");
}

static void number(struct plan_out *o, uint64_t n)
{
    char buf[20], *p = buf + sizeof buf;
    plan_out_item(o);
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    plan_out_bytes(o, p, (size_t)(buf + sizeof buf - p));
}

void plan_out_member(struct plan_out *o, const char *name, const char *value)
{
    plan_out_key(o, name);
    plan_out_string(o, value);
}

void plan_out_member_number(struct plan_out *o, const char *name, uint64_t value)
{
    plan_out_key(o, name);
    number(o, value);
}

void plan_out_member_true(struct plan_out *o, const char *name)
{
    plan_out_key(o, name);
    plan_out_item(o);
    plan_out_raw(o, "true");
}
