/* The prover's classes: which subnets of a group see the same network, and need but one proof.  See
 * prove_parts.h.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <string.h>
#include <sys/socket.h>

static int owned_order(const void *a, const void *b)
{
    const struct prove_owned *x = a, *y = b;
    int order = ferry_prefix_compare(&x->prefix, &y->prefix);
    return order ? order : x->group < y->group ? -1 : x->group > y->group;
}

struct prove_owned *prove_owned_sorted(const struct ferry_plan *plan, size_t *ret_n)
{
    struct prove_owned *v = NULL;
    size_t n = 0;
    for (uint32_t g = 0; g < plan->n_groups; g++)
        for (size_t s = 0; !plan->groups[g].dns && s < plan->groups[g].n_subnets; s++) {
            FERRY_GROW(v, n);
            v[n++] = (struct prove_owned){plan->groups[g].subnets[s].prefix, g, s};
        }
    if (n)
        qsort(v, n, sizeof *v, owned_order);
    *ret_n = n;
    return v;
}

static bool class_same(const struct prove_class *a, const struct prove_class *b)
{
    return a->group == b->group && a->family == b->family && a->n_layers == b->n_layers &&
           memcmp(a->layers, b->layers, a->n_layers * sizeof *a->layers) == 0 &&
           memcmp(a->lens, b->lens, a->n_layers * sizeof *a->lens) == 0;
}

static bool connected_v6(const struct ferry_plan_subnet *s)
{
    bool connected = s->n_gateways == 0 && s->prefix.addr.family == AF_INET6;
    for (size_t i = 0; i < s->n_gateways; i++)
        connected |= s->gateways[i].gateway.address.addr.family == AF_INET6;
    return connected;
}

/* Takes the class over, or merges it into an equal one of its group. */
static void class_add(struct prover *p, struct prove_class *c, size_t *first_of_group)
{
    for (size_t i = first_of_group[c->group]; i < p->n_classes && p->classes[i].group == c->group; i++)
        if (class_same(&p->classes[i], c)) {
            p->classes[i].v6_connected |= c->v6_connected;
            free(c->layers);
            free(c->lens);
            return;
        }
    FERRY_GROW(p->classes, p->n_classes);
    p->classes[p->n_classes++] = *c;
}

/* The covering prefixes of v[i] in the plan: v is sorted so that they stand before it, shortest first. */
static struct prove_class class_of(const struct prover *p, const struct prove_owned *v, size_t i,
                                   const size_t *outer)
{
    struct prove_class c = {.group = v[i].group, .subnet = v[i].subnet, .family = v[i].prefix.addr.family};
    for (size_t at = i;; at = outer[at]) {
        c.layers = ferry_realloc(c.layers, c.n_layers + 1, sizeof *c.layers);
        c.lens = ferry_realloc(c.lens, c.n_layers + 1, sizeof *c.lens);
        c.layers[c.n_layers] = v[at].group;
        c.lens[c.n_layers++] = at == i ? 0 : v[at].prefix.len;
        if (outer[at] == SIZE_MAX)
            break;
    }
    c.v6_connected = connected_v6(&p->plan->groups[c.group].subnets[c.subnet]);
    return c;
}

static int by_group(const void *a, const void *b)
{
    const struct prove_class *x = a, *y = b;
    return x->group < y->group     ? -1
           : x->group > y->group   ? 1
           : x->subnet < y->subnet ? -1
                                   : x->subnet > y->subnet;
}

void prove_classes(struct prover *p)
{
    size_t n;
    FERRY_AUTOFREE struct prove_owned *v = prove_owned_sorted(p->plan, &n);
    FERRY_AUTOFREE size_t *outer = ferry_calloc(n, sizeof *outer);
    struct prove_class *all = ferry_calloc(n, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        outer[i] = i ? i - 1 : SIZE_MAX;
        while (outer[i] != SIZE_MAX && !ferry_prefix_covers(&v[outer[i]].prefix, &v[i].prefix))
            outer[i] = outer[outer[i]];
        all[i] = class_of(p, v, i, outer);
    }
    if (n)
        qsort(all, n, sizeof *all, by_group);
    FERRY_AUTOFREE size_t *first = ferry_calloc(p->plan->n_groups, sizeof *first);
    for (size_t i = 0; i < n; i++) {
        if (!i || all[i - 1].group != all[i].group)
            first[all[i].group] = p->n_classes;
        class_add(p, &all[i], first);
    }
    free(all);
}

void prove_classes_free(struct prover *p)
{
    for (size_t i = 0; i < p->n_classes; i++) {
        free(p->classes[i].layers);
        free(p->classes[i].lens);
    }
    free(p->classes);
}
