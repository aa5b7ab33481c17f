/* Hooks: names, copies, the way back.  load_hooks.c reads them from a document.  SPDX-License-Identifier: MIT */
#include <ferry/hook.h>

#include "base/mem.h"
#include "base/text.h"

#include <string.h>

const char *ferry_boundary_name(enum ferry_boundary at)
{
    static const char *const names[FERRY_BOUNDARIES] = {
        "before-prepare", "after-prepare", "before-detach", "after-detach",
        "before-attach",  "after-attach",  "before-settle", "after-settle",
    };
    return (unsigned)at < FERRY_BOUNDARIES ? names[at] : "unknown";
}

static size_t argv_count(char *const *argv)
{
    size_t n = 0;
    while (argv && argv[n])
        n++;
    return n;
}

static char **argv_copy(char *const *argv)
{
    if (!argv)
        return NULL;
    size_t n = argv_count(argv);
    char **copy = ferry_calloc(n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = ferry_strdup(argv[i]);
    return copy;
}

static void argv_free(char **argv)
{
    for (size_t i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

static bool text_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool argv_equal(char *const *a, char *const *b)
{
    size_t n = argv_count(a);
    bool equal = !a == !b && n == argv_count(b);
    for (size_t i = 0; equal && i < n; i++)
        equal = !strcmp(a[i], b[i]);
    return equal;
}

void ferry_hooks_clear(struct ferry_hooks *hooks)
{
    for (size_t i = 0; i < hooks->n; i++) {
        argv_free(hooks->v[i].run);
        argv_free(hooks->v[i].undo);
        free(hooks->v[i].pause);
        free(hooks->v[i].pause_undo);
    }
    free(hooks->v);
    *hooks = (struct ferry_hooks){0};
}

static struct ferry_hook copy(const struct ferry_hook *h)
{
    struct ferry_hook ret = *h;
    ret.run = argv_copy(h->run);
    ret.undo = argv_copy(h->undo);
    ret.pause = ferry_strdup(h->pause);
    ret.pause_undo = ferry_strdup(h->pause_undo);
    return ret;
}

struct ferry_hooks ferry_hooks_copy(const struct ferry_hooks *hooks)
{
    struct ferry_hooks ret = {ferry_calloc(hooks->n, sizeof *ret.v), hooks->n};
    for (size_t i = 0; i < hooks->n; i++)
        ret.v[i] = copy(&hooks->v[i]);
    return ret;
}

bool ferry_hooks_equal(const struct ferry_hooks *a, const struct ferry_hooks *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++) {
        const struct ferry_hook *x = &a->v[i], *y = &b->v[i];
        equal = x->at == y->at && x->timeout_s == y->timeout_s &&
                x->pause_on_failure == y->pause_on_failure && argv_equal(x->run, y->run) &&
                argv_equal(x->undo, y->undo) && text_equal(x->pause, y->pause) &&
                text_equal(x->pause_undo, y->pause_undo);
    }
    return equal;
}

struct ferry_hooks ferry_hooks_reverse(const struct ferry_hooks *hooks)
{
    struct ferry_hooks ret = {ferry_calloc(hooks->n, sizeof *ret.v), hooks->n};
    for (size_t i = 0; i < hooks->n; i++) {
        const struct ferry_hook *h = &hooks->v[hooks->n - 1 - i];
        struct ferry_hook back = *h;
        back.at = (enum ferry_boundary)(FERRY_BOUNDARIES - 1 - h->at);
        back.run = h->undo;
        back.undo = h->run;
        back.pause = h->pause_undo;
        back.pause_undo = h->pause;
        ret.v[i] = copy(&back);
    }
    return ret;
}

void ferry_hooks_add(struct ferry_hooks *hooks, const struct ferry_hook *hook)
{
    FERRY_GROW(hooks->v, hooks->n);
    size_t at = hooks->n++;
    for (; at > 0 && hooks->v[at - 1].at > hook->at; at--)
        hooks->v[at] = hooks->v[at - 1];
    hooks->v[at] = *hook;
}

char *ferry_argv_text(char *const *argv)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    char *text = ferry_strdup("");
    for (size_t i = 0; argv && argv[i]; i++) {
        bool bare = argv[i][0] && strspn(argv[i], plain) == strlen(argv[i]);
        FERRY_AUTOFREE char *before = text;
        text = ferry_asprintf(bare ? "%s%s%s" : "%s%s'%s'", before, i ? " " : "", argv[i]);
    }
    ferry_text_tidy(text);
    return text;
}
