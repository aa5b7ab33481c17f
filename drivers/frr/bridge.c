/* A policy rule of Ferry's own beneath what FRR leaves bare for a moment.
 *
 *  B1. zebra puts a static route in only when the kernel has told it that the connected one went: 7 to 10 ms
 *      later.  And it swaps IPv6 routes by a deletion and an addition, some 50 µs apart (but with
 *      --v6-rr-semantics).  Of a swap between a drop and next hops (L3 of lines.c) staticd tells it in two
 *      messages, which are one change only where no more than 10 ms lie between them.  Packets would follow a
 *      covering or the default route meanwhile, into a loop perhaps.
 *  B2. A bridge is two rules for the prefix in front of the one for table main (ip-rule(8)): look into main,
 *      but take no answer shorter than the prefix; then drop.  It changes nothing while main has a route of
 *      the prefix, and is no route, so nothing of it concerns zebra.  (A blackhole in the kernel's table
 *      instead made zebra 8.4.4 die.)
 *  B3. It is laid only where FRR holds something of the prefix before and after, and lifted when that was
 *      read back, without waiting.  What a Ferry that was killed has left goes with the next check, or the
 *      next apply, of the prefix.
 *  B4. Within an outage the bridge of a gateway that went stays until a later look finds zebra's route in the
 *      kernel: a drop and the bridge are the same to a packet, and nobody waits for zebra.
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

#include <json-c/json.h>
#include <stdio.h>

enum { PRIORITY = 32765 /* RT_TABLE_MAIN's rule is 32766, linux/net/ipv4/fib_rules.c */ };

static bool same_prefix(const struct ferry_frr_slot *a, const struct ferry_frr_slot *b)
{
    return a->key.table == b->key.table && ferry_prefix_equal(&a->key.prefix, &b->key.prefix);
}

static bool held_after(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot)
{
    if (slot->now)
        return true;
    for (size_t i = 0; i < slot->holds.n; i++)
        if (&slot->holds.items[i].entry != slot->was)
            return true;
    for (size_t i = 0; i < a->n_slots; i++)
        if (a->slots[i].now && a->slots[i].key.kind != FERRY_KIND_ANNOUNCEMENT &&
            same_prefix(&a->slots[i], slot))
            return true;
    return false;
}

/* B1, B3.  What a protocol has for the prefix was perhaps not looked at. */
static bool wanted(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot)
{
    const struct ferry_op *key = &slot->key;
    bool protocol = a->d->config.routing != FERRY_ROUTING_STATIC;
    if (key->kind == FERRY_KIND_ANNOUNCEMENT || (key->table && key->table != FERRY_TABLE_MAIN) ||
        ferry_entry_equal(slot->was, slot->now, FERRY_CMP_EXACT))
        return false;
    if (key->prefix.addr.family == AF_INET6)
        return protocol || (slot->holds.n && held_after(a, slot));
    if (key->kind == FERRY_KIND_GATEWAY)
        return key->gateway->address.addr.family && slot->was && (protocol || held_after(a, slot));
    return slot->was && slot->now && (slot->was->type == FERRY_UNICAST) != (slot->now->type == FERRY_UNICAST);
}

/* Lifted in the other order: a rule that drops never stands alone. */
static void lines_add(struct ferry_frr_text *t, const struct ferry_prefix *prefix, bool lay)
{
    char text[FERRY_PREFIX_STRLEN];
    ferry_prefix_text(prefix, text);
    for (int i = 0; i < 2; i++) {
        ferry_frr_text_add(t, "%srule %s pref %d to %s ", t->n ? "\n" : "", lay ? "add" : "del", PRIORITY,
                           text);
        if ((i == 0) == lay)
            ferry_frr_text_add(t, "lookup main suppress_prefixlength %d protocol %d", prefix->len - 1,
                               FERRY_PROTOCOL);
        else
            ferry_frr_text_add(t, "blackhole protocol %d", FERRY_PROTOCOL);
    }
}

/* What `ip` said against it, but for a bridge that stood there. */
static const char *complaint(char *said)
{
    char *rest = NULL;
    for (char *line = strtok_r(said, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!strstr(line, "File exists") && strncmp(line, "Command failed", 14) != 0)
            return line;
    return NULL;
}

static int lay(struct ferry_frr_apply *a, uint8_t family, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_frr_text_clear) struct ferry_frr_text lines = {0};
    FERRY_AUTOFREE char *said = NULL;
    size_t n;
    for (size_t i = 0; i < a->n_slots; i++)
        if (a->slots[i].key.prefix.addr.family == family && wanted(a, &a->slots[i])) {
            a->slots[i].bridged = true;
            lines_add(&lines, &a->slots[i].key.prefix, true);
        }
    int result = lines.n ? ferry_frr_ip(a->d, family, lines.v, &said, &n, err) : 0;
    const char *why = said ? complaint(said) : NULL;
    if (why && !a->d->unbridged)
        ferry_log(
            a->d->env, FERRY_LOG_WARNING,
            "warning: %s: no rule could be laid beneath what FRR changes (%s; Ferry needs root there): for "
            "some milliseconds packets may follow a covering route",
            a->d->router, why);
    a->d->unbridged |= why != NULL;
    return result;
}

int ferry_frr_bridge_lay(struct ferry_frr_apply *a, struct ferry_err *err)
{
    int result = lay(a, AF_INET, err);
    return result < 0 ? result : lay(a, AF_INET6, err);
}

static void lift(struct ferry_frr *d, const struct ferry_prefix *prefix)
{
    FERRY_CLEANUP(ferry_frr_text_clear) struct ferry_frr_text lines = {0};
    lines_add(&lines, prefix, false);
    ferry_frr_tell(d, ferry_frr_ip_of(prefix->addr.family), lines.v);
}

void ferry_frr_bridge_lift(struct ferry_frr_apply *a)
{
    for (size_t i = 0; i < a->n_slots; i++) {
        const struct ferry_frr_slot *slot = &a->slots[i];
        if (slot->outcome == FERRY_UNKNOWN) {
            if (slot->bridged)
                ferry_log(a->d->env, FERRY_LOG_WARNING,
                          "warning: %s: rules of priority %d stay until the next check", a->d->router,
                          PRIORITY);
        } else if (slot->bridged && ferry_frr_bridge_stays(a, slot)) {
            FERRY_GROW(a->d->bridged, a->d->n_bridged);
            a->d->bridged[a->d->n_bridged++] = slot->key.prefix;
        } else if (slot->bridged)
            lift(a->d, &slot->key.prefix);
        else
            ferry_frr_bridge_over(a->d, &slot->key.prefix);
    }
}

/* ---- Those that stay (B4). ---- */

bool ferry_frr_bridge_stays(const struct ferry_frr_apply *a, const struct ferry_frr_slot *slot)
{
    return a->d->base.more && slot->key.kind == FERRY_KIND_GATEWAY && !slot->now;
}

static size_t staying(const struct ferry_frr *d, const struct ferry_prefix *prefix)
{
    size_t i = 0;
    while (i < d->n_bridged && !ferry_prefix_equal(&d->bridged[i], prefix))
        i++;
    return i;
}

bool ferry_frr_bridge_holds(const struct ferry_frr *d, const struct ferry_frr_look *look,
                            const struct ferry_prefix *prefix, uint32_t table)
{
    if (table != FERRY_TABLE_MAIN || staying(d, prefix) == d->n_bridged ||
        ferry_frr_kernel_best(look->kernel, prefix, table))
        return false;
    for (size_t i = 0; i < look->rib->n; i++) {
        const struct ferry_frr_route *r = &look->rib->routes[i];
        if (r->selected && r->table == table && ferry_prefix_equal(&r->prefix, prefix))
            return r->n_legs && r->legs[0].type != FERRY_UNICAST;
    }
    return false;
}

void ferry_frr_bridge_over(struct ferry_frr *d, const struct ferry_prefix *prefix)
{
    size_t i = staying(d, prefix);
    if (i == d->n_bridged)
        return;
    lift(d, prefix);
    d->bridged[i] = d->bridged[--d->n_bridged];
}

void ferry_frr_bridge_close(struct ferry_frr *d)
{
    for (size_t i = 0; i < d->n_bridged; i++) {
        FERRY_CLEANUP(ferry_frr_text_clear) struct ferry_frr_text lines = {0};
        FERRY_AUTOFREE char *said = NULL;
        struct ferry_err err;
        size_t n;
        lines_add(&lines, &d->bridged[i], false);
        if (ferry_frr_ip(d, d->bridged[i].addr.family, lines.v, &said, &n, &err) < 0)
            ferry_log(d->env, FERRY_LOG_WARNING,
                      "warning: %s: rules of priority %d stay until the next check: %s", d->router, PRIORITY,
                      err.text);
    }
    free(d->bridged);
}

/* ---- What was left (B3). ---- */

struct sweep {
    const struct ferry_op *ops;
    size_t n;
    struct ferry_prefix *found;
    size_t n_found;
};

static int rules_document(void *ctx, struct json_object *o, struct ferry_err *err)
{
    struct sweep *s = ctx;
    (void)err;
    for (size_t i = 0; json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++) {
        struct json_object *rule = json_object_array_get_idx(o, i), *priority, *protocol, *dst, *len;
        struct ferry_prefix prefix = {0};
        struct ferry_err ignored;
        if (!json_object_object_get_ex(rule, "priority", &priority) ||
            json_object_get_int(priority) != PRIORITY ||
            !json_object_object_get_ex(rule, "protocol", &protocol) ||
            json_object_get_int(protocol) != FERRY_PROTOCOL ||
            !json_object_object_get_ex(rule, "dst", &dst) || !json_object_is_type(dst, json_type_string) ||
            ferry_addr_parse(json_object_get_string(dst), &prefix.addr, &ignored) < 0)
            continue;
        prefix.len = json_object_object_get_ex(rule, "dstlen", &len) ? (uint8_t)json_object_get_int(len)
                                                                     : ferry_addr_bits(prefix.addr.family);
        bool named = false;
        for (size_t k = 0; k < s->n && !named; k++)
            named = ferry_prefix_equal(&s->ops[k].prefix, &prefix);
        for (size_t k = 0; k < s->n_found && named; k++)
            named = !ferry_prefix_equal(&s->found[k], &prefix);
        if (!named)
            continue;
        FERRY_GROW(s->found, s->n_found);
        s->found[s->n_found++] = prefix;
    }
    return 0;
}

int ferry_frr_bridge_sweep(struct ferry_frr *d, const struct ferry_op *ops, size_t n, struct ferry_err *err)
{
    struct sweep s = {.ops = ops, .n = n};
    bool families[2] = {false, false};
    size_t length;
    int result = 0;
    for (size_t i = 0; i < n; i++)
        families[ops[i].prefix.addr.family == AF_INET6] = true;
    for (size_t f = 0; f < 2 && !result; f++) {
        FERRY_AUTOFREE char *answer = NULL;
        if (families[f])
            result = ferry_frr_ip(d, f ? AF_INET6 : AF_INET, "rule show", &answer, &length, err);
        if (families[f] && !result)
            result = ferry_frr_json(answer, length, rules_document, &s, err);
    }
    for (size_t i = 0; i < s.n_found && !result; i++) {
        FERRY_CLEANUP(ferry_frr_text_clear) struct ferry_frr_text lines = {0};
        FERRY_AUTOFREE char *said = NULL;
        lines_add(&lines, &s.found[i], false);
        result = ferry_frr_ip(d, s.found[i].addr.family, lines.v, &said, &length, err);
    }
    free(s.found);
    return result;
}
