/* Attaching and detaching gateways, with everything that the kernel takes along.
 *
 *  G1. All messages of one op travel in one send where they fit (32 KiB): a process that is killed leaves all
 *      or nothing.
 *  G2. Before an address goes, routes that name it as their source lose that source (a replacement, no gap),
 *      so that the kernel does not delete them with it.  IPv6 does the same by itself. G3. With the last IPv4
 *      address of an interface the kernel deletes every route through it, in every table: those that are not
 *      the gateway's own are put back in the same send; where they went through a machine of the detached
 *      subnet, with `onlink`, because nothing else resolves that machine now.
 *  G4. The snapshot (an entry's native bytes) names every route of G2, and of G3's second kind, as it was:
 *      attaching puts them back, and is refused when somebody has changed them meanwhile.
 *  G5. An IPv6 address is added with nodad, so that it works at once; where the snapshot says that it had no
 *      such flag, a second message takes it away.
 *  G6. An isolated gateway's address is hidden (ferry_device_hiding) in the send that adds it, and what hides
 *      it goes in the send that takes it away.
 *
 * SPDX-License-Identifier: MIT */
#include "apply.h"

enum { ADDRESS_BYTES = 256 /* of one address message */, WORDY = 600 /* of one route's, more or less */ };

static bool connected(const struct ferry_op *op)
{
    return !op->gateway->via.family;
}

static bool detaches(const struct ferry_op *op)
{
    return op->kind == FERRY_KIND_GATEWAY && op->gateway && connected(op) && op->before && !op->after;
}

/* ---- Before and during the look. ---- */

static void prepare_key(struct ferry_linux_apply *a, size_t i, const struct ferry_prefix *prefix,
                        uint32_t table, uint32_t metric, const struct ferry_entry *expected)
{
    bool fresh;
    struct ferry_linux_slot *s = ferry_linux_slot_get(a, prefix, table, metric, &fresh);
    if (!fresh)
        return;
    s->op = (uint32_t)i;
    s->expected = expected;
    s->leaning = true;
}

void ferry_linux_gateway_prepare(struct ferry_linux_apply *a, size_t i)
{
    const struct ferry_op *op = &a->ops[i];
    struct ferry_linux_record r;
    if (!op->gateway)
        return; /* refused when its turn comes */
    uint32_t table = op->table ? op->table : FERRY_TABLE_MAIN;
    ferry_linux_survey_attachment(&a->survey, &op->prefix, table, op->gateway, op->interface);
    a->attachment[i] = (uint32_t)a->survey.n_attachments;
    if (!op->after || op->before)
        return;
    if (!connected(op) || table != FERRY_TABLE_MAIN)
        prepare_key(a, i, &op->prefix, table, op->prefix.addr.family == AF_INET6, NULL);
    for (size_t at = 0; ferry_linux_bytes_next(op->after->native, op->after->native_len, &at, &r);) {
        if (r.tag != FERRY_LINUX_DEPENDENT)
            continue;
        struct ferry_linux_route *route = ferry_calloc(1, sizeof *route);
        FERRY_GROW(a->leaning, a->n_leaning);
        a->leaning[a->n_leaning++] = route;
        if (!ferry_linux_route_unpack(&r, route))
            prepare_key(a, i, &route->prefix, route->entry.table, route->entry.metric, &route->entry);
    }
}

static struct ferry_linux_emptied *emptied_find(struct ferry_linux_apply *a, unsigned ifindex)
{
    for (size_t i = 0; i < a->n_emptied; i++)
        if (a->emptied[i].ifindex == ifindex)
            return &a->emptied[i];
    return NULL;
}

void ferry_linux_gateway_ready(struct ferry_linux_apply *a)
{
    for (size_t i = 0; i < a->n_emptied; i++)
        ferry_linux_bytes_clear(&a->emptied[i].routes);
    a->n_emptied = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (!a->attachment[i] || !detaches(&a->ops[i]) || a->ops[i].prefix.addr.family != AF_INET)
            continue;
        const struct ferry_linux_attachment *at = &a->survey.attachments[a->attachment[i] - 1];
        struct ferry_linux_emptied *e = emptied_find(a, at->ifindex);
        if (!e) {
            FERRY_GROW(a->emptied, a->n_emptied);
            e = &a->emptied[a->n_emptied++];
            memset(e, 0, sizeof *e);
            e->ifindex = at->ifindex;
            for (size_t j = 0; j < a->survey.n_addresses; j++)
                e->addresses +=
                    a->survey.addresses[j].family == AF_INET && a->survey.addresses[j].ifindex == at->ifindex;
        }
        e->going += (uint32_t)at->n_addresses;
    }
}

void ferry_linux_gateway_hear(struct ferry_linux_apply *a, const struct ferry_linux_route *route,
                              const struct ferry_linux_attachment *own)
{
    if (own || route->nhid || route->prefix.addr.family != AF_INET)
        return;
    for (size_t i = 0; i < a->n_emptied; i++) {
        struct ferry_linux_emptied *e = &a->emptied[i];
        bool through = false;
        for (uint16_t j = 0; j < route->entry.n_nexthops; j++)
            through |= route->leg_ifindex[j] == e->ifindex;
        if (through && e->going >= e->addresses)
            ferry_linux_route_pack(&e->routes, FERRY_LINUX_DEPENDENT, &route->prefix, &route->entry);
    }
}

bool ferry_linux_gateway_alike(const struct ferry_entry *expected, const struct ferry_entry *found)
{
    if (expected->type != found->type || expected->protocol != found->protocol ||
        expected->n_nexthops != found->n_nexthops)
        return false;
    for (uint16_t i = 0; i < expected->n_nexthops; i++) {
        const struct ferry_nexthop *x = &expected->nexthops[i], *y = &found->nexthops[i];
        if (!ferry_addr_equal(&x->via, &y->via) || strcmp(x->dev, y->dev) || x->weight != y->weight)
            return false;
    }
    return true;
}

/* ---- Messages. ---- */

static void add_address(struct ferry_linux_apply *a, size_t i, uint16_t type, uint16_t flags,
                        const struct ferry_linux_address *address, unsigned ifindex)
{
    uint8_t *at = ferry_linux_batch_room(&a->batch, ADDRESS_BYTES);
    ferry_linux_address_write(at, type, flags, address, ifindex);
    ferry_linux_batch_add(&a->batch, (uint32_t)i);
}

static int add_unpacked(struct ferry_linux_apply *a, size_t i, uint16_t type, uint16_t flags,
                        struct ferry_err *err)
{
    return ferry_linux_apply_route(a, i, type, flags, &a->unpacked.prefix, &a->unpacked.entry, err);
}

/* Whether an address of the router goes away with this batch. */
static bool goes(const struct ferry_linux_apply *a, const struct ferry_addr *source)
{
    for (size_t i = 0; i < a->n; i++) {
        if (!a->attachment[i] || !detaches(&a->ops[i]))
            continue;
        const struct ferry_linux_attachment *at = &a->survey.attachments[a->attachment[i] - 1];
        for (size_t j = 0; j < at->n_addresses; j++)
            if (ferry_addr_equal(&at->addresses[j].local, source))
                return true;
    }
    return false;
}

static bool inside_detached(const struct ferry_linux_apply *a, const struct ferry_addr *via, const char *dev)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->attachment[i] && detaches(&a->ops[i]) && ferry_prefix_contains(&a->ops[i].prefix, via) &&
            !strcmp(a->survey.attachments[a->attachment[i] - 1].interface, dev))
            return true;
    return false;
}

/* Copies native records, without a source that goes, legs with onlink where they need it. */
static void rewrite_native(const struct ferry_linux_apply *a, struct ferry_linux_route *r, bool strip,
                           bool onlink)
{
    struct ferry_linux_bytes out = {0};
    struct ferry_linux_record record;
    for (size_t at = 0; ferry_linux_bytes_next(r->native.v, r->native.n, &at, &record);) {
        if (record.tag == RTA_PREFSRC && strip)
            continue;
        size_t start = out.n;
        ferry_linux_bytes_put(&out, record.tag, record.v, record.len);
        if (record.tag != FERRY_LINUX_LEGS || !onlink || record.len < 20 + FERRY_DEV_LEN)
            continue;
        uint8_t *leg = out.v + start + 4; /* as put by pack_leg (route.c) */
        struct ferry_addr via = {.family = leg[0]};
        memcpy(via.bytes, leg + 4, 16);
        if (inside_detached(a, &via, (const char *)leg + 20))
            leg[1] = 1;
    }
    ferry_linux_bytes_clear(&r->native);
    r->native = out;
    r->entry.native = out.n ? out.v : NULL;
    r->entry.native_len = (uint32_t)out.n;
}

/* Turns a->unpacked into what it will be without the address (G2, G3). */
static void leave(struct ferry_linux_apply *a, bool emptied)
{
    struct ferry_linux_route *r = &a->unpacked;
    bool strip = r->prefsrc.family && goes(a, &r->prefsrc);
    rewrite_native(a, r, strip, emptied);
    for (uint16_t i = 0; emptied && i < r->entry.n_nexthops; i++)
        if (r->legs[i].via.family && inside_detached(a, &r->legs[i].via, r->legs[i].dev))
            r->legs[i].onlink = true;
}

/* G3: first the routes straight to the device, then those through a machine. */
static int put_back(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_emptied *e,
                    struct ferry_err *err)
{
    struct ferry_linux_record r;
    for (int pass = 0; pass < 2; pass++)
        for (size_t at = 0; ferry_linux_bytes_next(e->routes.v, e->routes.n, &at, &r);) {
            if (ferry_linux_route_unpack(&r, &a->unpacked))
                continue;
            bool direct = true;
            for (uint16_t j = 0; j < a->unpacked.entry.n_nexthops; j++)
                direct &= !a->unpacked.legs[j].via.family;
            if (direct != !pass)
                continue;
            leave(a, true);
            int result = add_unpacked(a, i, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, err);
            if (result < 0)
                return result;
        }
    return 0;
}

/* G6. */
static void tell_local(struct ferry_linux_apply *a, size_t i, bool add, uint8_t type, uint32_t table,
                       const uint8_t address[static 4], unsigned ifindex)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg rtm;
        struct nlattr of_address, of_device, of_table;
    } sizes; /* of the message: its parts, and 4 bytes behind each attribute */
    uint8_t *at = ferry_linux_batch_room(&a->batch, sizeof sizes + 12);
    struct nlmsghdr *h = (struct nlmsghdr *)at;
    const void *values[] = {address, &ifindex, &table};
    static const uint16_t types[] = {RTA_DST, RTA_OIF, RTA_TABLE};
    memset(at, 0, sizeof sizes + 12);
    h->nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg));
    h->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
    h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    *(struct rtmsg *)NLMSG_DATA(h) =
        (struct rtmsg){.rtm_family = AF_INET,
                       .rtm_dst_len = 32,
                       .rtm_type = type,
                       .rtm_scope = type == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK,
                       .rtm_protocol = table == RT_TABLE_LOCAL ? RTPROT_KERNEL : FERRY_PROTOCOL,
                       .rtm_table = (uint8_t)(table < 256 ? table : RT_TABLE_UNSPEC)};
    for (size_t k = 0; k < FERRY_COUNT(values); k++) {
        struct nlattr *v = (struct nlattr *)(at + h->nlmsg_len);
        *v = (struct nlattr){.nla_len = NLA_HDRLEN + 4, .nla_type = types[k]};
        memcpy(nla_data(v), values[k], 4);
        h->nlmsg_len += NLA_HDRLEN + 4;
    }
    ferry_linux_batch_add(&a->batch, (uint32_t)i);
}

static void hide(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_attachment *at)
{
    const struct ferry_prefix *p = &a->ops[i].gateway->address;
    struct ferry_addr last = p->addr;
    for (unsigned bit = p->len; bit < 32; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    tell_local(a, i, true, RTN_LOCAL, at->table, p->addr.bytes, at->ifindex);
    tell_local(a, i, false, RTN_LOCAL, RT_TABLE_LOCAL, p->addr.bytes, at->ifindex);
    if (p->len < 31)
        tell_local(a, i, false, RTN_BROADCAST, RT_TABLE_LOCAL, last.bytes, at->ifindex);
}

static bool hidden(const struct ferry_op *op)
{
    return op->gateway->isolated && op->prefix.addr.family == AF_INET;
}

/* ---- Detach. ---- */

static int strip_sources(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_attachment *at,
                         struct ferry_err *err)
{
    struct ferry_linux_record r;
    for (size_t n = 0; ferry_linux_bytes_next(at->dependents.v, at->dependents.n, &n, &r);) {
        if (ferry_linux_route_unpack(&r, &a->unpacked) || !a->unpacked.prefsrc.family ||
            !goes(a, &a->unpacked.prefsrc))
            continue;
        leave(a, false);
        int result = add_unpacked(a, i, RTM_NEWROUTE, NLM_F_REPLACE, err);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The gateway's own route, where it is not the kernel's. */
static int own_route(struct ferry_linux_apply *a, size_t i, const struct ferry_entry *snapshot, uint16_t type,
                     uint16_t flags, struct ferry_err *err)
{
    const struct ferry_op *op = &a->ops[i];
    struct ferry_linux_record r;
    struct ferry_nexthop leg;
    if (ferry_linux_bytes_find(snapshot->native, snapshot->native_len, FERRY_LINUX_ROUTE, &r)) {
        if (ferry_linux_route_unpack(&r, &a->unpacked))
            return ferry_refuse(err, "native", "the gateway's native bytes are broken");
        a->unpacked.prefix = op->prefix;
        return add_unpacked(a, i, type, flags, err);
    }
    struct ferry_entry route =
        ferry_linux_gateway_route(op->gateway, op->interface, op->table ? op->table : FERRY_TABLE_MAIN, &leg);
    a->built.n = 0; /* `route` is a local: its address says nothing */
    int result = ferry_linux_apply_route(a, i, type, flags, &op->prefix, &route, err);
    a->built.n = 0;
    return result;
}

static int detach(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_attachment *at,
                  struct ferry_err *err)
{
    const struct ferry_op *op = &a->ops[i];
    struct ferry_linux_emptied *e = emptied_find(a, at->ifindex);
    bool v4 = op->prefix.addr.family == AF_INET, own = !connected(op) || at->table != FERRY_TABLE_MAIN;
    int result = 0;
    ferry_linux_batch_together(&a->batch, 2 * at->n_addresses + 64,
                               at->n_addresses * ADDRESS_BYTES + 2 * at->dependents.n +
                                   (e ? 2 * e->routes.n : 0) + WORDY);
    if (connected(op) && v4)
        result = strip_sources(a, i, at, err);
    if (result >= 0 && own && at->n_own)
        result = own_route(a, i, op->before, RTM_DELROUTE, 0, err);
    if (result < 0 || !connected(op))
        return result;
    if (hidden(op))
        tell_local(a, i, false, RTN_LOCAL, at->table, op->gateway->address.addr.bytes, at->ifindex);
    for (int primary = 0; primary < 2; primary++) /* secondaries first, so that none of them takes over */
        for (size_t j = at->n_addresses; j-- > 0;)
            if (((at->addresses[j].flags & IFA_F_SECONDARY) == 0) == (primary == 1))
                add_address(a, i, RTM_DELADDR, 0, &at->addresses[j], at->ifindex);
    if (v4 && e) {
        e->addresses -= (uint32_t)at->n_addresses;
        if (!e->addresses)
            result = put_back(a, i, e, err);
    }
    return result;
}

/* ---- Attach. ---- */

static bool restorable(struct ferry_linux_apply *a, size_t i)
{
    const struct ferry_entry *want = a->ops[i].after;
    struct ferry_linux_record r;
    struct ferry_linux_address address;
    size_t at = 0;
    while (ferry_linux_bytes_next(want->native, want->native_len, &at, &r)) {
        char prefix[FERRY_PREFIX_STRLEN];
        bool fresh, broken = false;
        if (r.tag == FERRY_LINUX_ADDRESS)
            broken = ferry_linux_address_unpack(&r, &address) != 0;
        else if (r.tag == FERRY_LINUX_DEPENDENT)
            broken = ferry_linux_route_unpack(&r, &a->unpacked) != 0;
        else if (r.tag != FERRY_LINUX_ROUTE)
            broken = true; /* BARE too: an attachment without its route is not something to make */
        if (broken) {
            ferry_linux_apply_refuse(a, i, FERRY_REFUSED,
                                     "the gateway cannot be put back as it was (record %u)", r.tag);
            return false;
        }
        if (r.tag != FERRY_LINUX_DEPENDENT)
            continue;
        const struct ferry_linux_slot *s = ferry_linux_slot_get(
            a, &a->unpacked.prefix, a->unpacked.entry.table, a->unpacked.entry.metric, &fresh);
        if (s->leaning && s->found && (s->found > 1 || !s->equal)) {
            ferry_linux_apply_refuse(a, i, FERRY_STALE,
                                     "the route to %s, which leans on the gateway, was changed meanwhile",
                                     ferry_prefix_text(&a->unpacked.prefix, prefix));
            return false;
        }
    }
    if (at != want->native_len)
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "the gateway's native bytes are broken");
    return at == want->native_len;
}

static void attach_address(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_address *address,
                           unsigned ifindex)
{
    struct ferry_linux_address quick = *address;
    if (address->family == AF_INET6)
        quick.flags |= IFA_F_NODAD;
    add_address(a, i, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &quick, ifindex);
    if (quick.flags != address->flags) /* G5 */
        add_address(a, i, RTM_NEWADDR, NLM_F_REPLACE, address, ifindex);
}

static void attach_addresses(struct ferry_linux_apply *a, size_t i, unsigned ifindex)
{
    const struct ferry_op *op = &a->ops[i];
    struct ferry_linux_address *all = NULL;
    struct ferry_linux_record r;
    size_t n = 0;
    for (size_t at = 0; ferry_linux_bytes_next(op->after->native, op->after->native_len, &at, &r);)
        if (r.tag == FERRY_LINUX_ADDRESS) {
            FERRY_GROW(all, n);
            (void)ferry_linux_address_unpack(&r, &all[n++]);
        }
    if (!n) {
        FERRY_GROW(all, n);
        all[n++] = ferry_linux_address_plain(op->gateway, op->table ? op->table : FERRY_TABLE_MAIN);
    }
    for (size_t j = 0; j < n; j++) /* before anything is sent */
        ferry_linux_lan_join(a->d, ifindex, &all[j].local);
    for (size_t j = 0; j < n; j++) /* IPv6 shows the newest first */
        attach_address(a, i, &all[all[0].family == AF_INET6 ? n - 1 - j : j], ifindex);
    free(all);
}

static int attach(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_attachment *at,
                  struct ferry_err *err)
{
    const struct ferry_op *op = &a->ops[i];
    struct ferry_linux_record r;
    int result = 0;
    ferry_linux_batch_together(&a->batch, 16, 4 * ADDRESS_BYTES + 2 * op->after->native_len + WORDY);
    if (connected(op))
        attach_addresses(a, i, at->ifindex);
    if (hidden(op))
        hide(a, i, at);
    if (!connected(op) || at->table != FERRY_TABLE_MAIN)
        result = own_route(a, i, op->after, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, err);
    for (size_t n = 0; !result && ferry_linux_bytes_next(op->after->native, op->after->native_len, &n, &r);)
        if (r.tag == FERRY_LINUX_DEPENDENT && !ferry_linux_route_unpack(&r, &a->unpacked))
            result = add_unpacked(a, i, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, err); /* G4 */
    return result;
}

/* ---- The turn. ---- */

/* Whether the gateway is as op i expects it; tells the op where not. */
static bool compare(struct ferry_linux_apply *a, size_t i, const struct ferry_linux_attachment *at)
{
    const struct ferry_op *op = &a->ops[i];
    struct ferry_linux_bytes bytes = {0};
    struct ferry_entry now;
    const char *lost;
    bool fresh, attached = ferry_linux_attachment_entry(at, &bytes, &now);
    if (connected(op) && !at->ifindex)
        ferry_linux_apply_refuse(a, i, op->before ? FERRY_STALE : FERRY_REFUSED,
                                 "there is no interface %s%s%s", at->interface, a->d->unmade[0] ? ": " : "",
                                 a->d->unmade);
    else if (!op->before && (op->gateway->rules || op->gateway->isolated) && a->d->unmade[0])
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "%s", a->d->unmade);
    else if (op->before && !attached)
        ferry_linux_apply_refuse(a, i, FERRY_STALE, "the gateway is not attached to %s any more",
                                 at->interface);
    else if (!op->before && attached)
        ferry_linux_apply_refuse(a, i, FERRY_STALE, "the gateway is attached to %s already", at->interface);
    else if (!op->before && connected(op) && at->n_addresses)
        ferry_linux_apply_refuse(a, i, FERRY_STALE, "%s has another address of the subnet", at->interface);
    else if (op->before && (op->before->native_len != now.native_len ||
                            (now.native_len && memcmp(op->before->native, now.native, now.native_len))))
        ferry_linux_apply_refuse(
            a, i, FERRY_STALE,
            "the attachment to %s is not as it was (addresses, or routes that lean on them)", at->interface);
    else if (op->before && op->after)
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "an attachment cannot be changed in place");
    else if (op->before && (lost = ferry_linux_addresses_lost(at->addresses, at->n_addresses)))
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "%s: %s", at->interface, lost);
    ferry_linux_bytes_clear(&bytes);
    if (op->after && !op->before && !op->why && (!connected(op) || at->table != FERRY_TABLE_MAIN)) {
        const struct ferry_linux_slot *s =
            ferry_linux_slot_get(a, &op->prefix, at->table, op->prefix.addr.family == AF_INET6, &fresh);
        if (s->found && !s->turned)
            ferry_linux_apply_refuse(a, i, FERRY_STALE, "another route stands where the gateway's would");
    }
    return !op->why;
}

void ferry_linux_gateway_turn(struct ferry_linux_apply *a, size_t i)
{
    struct ferry_op *op = &a->ops[i];
    struct ferry_err err = {0};
    if (!a->attachment[i]) {
        ferry_linux_apply_refuse(a, i, FERRY_REFUSED, "the change names no gateway");
        return;
    }
    if (op->before && op->after && ferry_entry_equal(op->before, op->after, FERRY_CMP_EXACT)) {
        op->outcome = FERRY_DONE;
        return;
    }
    const struct ferry_linux_attachment *at = &a->survey.attachments[a->attachment[i] - 1];
    if (!compare(a, i, at))
        return;
    uint32_t sent = a->d->seq;
    int result = 0;
    if (op->before)
        result = detach(a, i, at, &err);
    else if (!op->after)
        op->outcome = FERRY_DONE;
    else if (restorable(a, i))
        result = attach(a, i, at, &err);
    if (result < 0) /* some of its messages may be in the batch already: answers decide between them */
        ferry_linux_apply_refuse(a, i, a->d->seq == sent ? FERRY_REFUSED : FERRY_UNKNOWN, "%s", err.text);
}
